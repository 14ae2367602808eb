/*
 * Goal: the bootstrap of a system that has no other memory: static tags, a
 * root arena, a meta arena over it, the switch, and growth from there on; when
 * that memory runs out, allocations fail cleanly and frees go on.
 * Method: a reservation of its own as the machine's memory, whose commits are
 * counted and can be refused; a process for each test, since the switch is
 * made once in a process's life.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arena/arena_impl.h"
#include "machine.h"

static void
grow_and_shrink(void *arg)
{
	enum { MANY = 300000 };
	vmem_addr_t *a = malloc(MANY * sizeof(*a));
	struct vmem_meta_stat ms;
	struct machine mc;
	uint64_t grown;
	vmem_t *vm;

	(void)arg;
	machine_start(&mc, 1024 * MIB);
	vm = vmem_create("many", 0, UINT64_C(1) << 44, PAGE, NULL, NULL, NULL,
	    0, VM_NOSLEEP);
	CHECK(NULL != vm);
	for (unsigned int i = 0; i < MANY; i++)
		CHECK(vmem_alloc(vm, PAGE, VM_NOSLEEP, &a[i]) == 0);
	CHECK(vmem_check(vm) == 0);
	machine_check(&mc);
	vmem_meta_stat(&ms);
	CHECK(ms.ms_tags_total >= MANY);
	CHECK(ms.ms_tags_free >= ms.ms_reserve);
	CHECK(mc.committed >= ms.ms_tag_bytes);
	grown = mc.committed;
	for (unsigned int i = 0; i < MANY; i++)
		vmem_free(vm, a[i], PAGE);
	vmem_destroy(vm);
	machine_check(&mc);
	/* Memory goes back after a mass free. */
	CHECK(mc.committed < grown / 4);
	free(a);
}

static void
test_grow_and_shrink(void **state)
{
	(void)state;
	assert_int_equal(in_child(grow_and_shrink, NULL), 0);
}

/* Pieces of bins that are there, and those of them that are empty. */
static unsigned int
pieces(vmem_t *vm, unsigned int *empty)
{
	unsigned int n = 0;

	*empty = 0;
	for (unsigned int i = 0; i < BIN_PIECES; i++) {
		uint64_t items = 0;

		if (vm->vm_free.fl_piece[i] == UNIT_NIL)
			continue;
		n++;
		for (unsigned int b = 0; b < BINS_PIECE; b++)
			items += BIN(&vm->vm_free, BINS_SMALL + i * BINS_PIECE +
			    b)->bn_count;
		*empty += items == 0;
	}
	return (n);
}

/* Holes of many sizes come and go as all is freed: their bins go too, for a
 * unit that stays keeps a block of 64 KiB. */
static void
bins_go_back(void *arg)
{
	enum { MANY = 40000, STEP = 12289 };	/* no divisor in common */
	static vmem_addr_t a[MANY];
	unsigned int most = 0, empty;
	struct machine mc;
	vmem_t *vm;

	(void)arg;
	machine_start(&mc, 1024 * MIB);
	vm = vmem_create("bins", 0, UINT64_C(1) << 44, PAGE, NULL, NULL, NULL,
	    0, VM_NOSLEEP);
	CHECK(vm != NULL);
	for (unsigned int i = 0; i < MANY; i++)
		CHECK(vmem_alloc(vm, PAGE, VM_NOSLEEP, &a[i]) == 0);
	for (unsigned int i = 0; i < MANY; i++) {
		vmem_free(vm, a[(uint64_t)i * STEP % MANY], PAGE);
		if (i % 100 == 0 && pieces(vm, &empty) > most)
			most = pieces(vm, &empty);
	}
	CHECK(most > 0);
	units_drain(vm);
	CHECK(vmem_check(vm) == 0);
	(void)pieces(vm, &empty);
	CHECK(empty == 0);
	vmem_destroy(vm);
	machine_check(&mc);
}

static void
test_bins_go_back(void **state)
{
	(void)state;
	assert_int_equal(in_child(bins_go_back, NULL), 0);
}

/* With memory for a few blocks only: refused when it ends, and all is well
 * as soon as something is freed; frees never fail. */
static void
run_out(void *arg)
{
	enum { MANY = 200000 };
	vmem_addr_t *a = malloc(MANY * sizeof(*a)), at, hole;
	unsigned int n = 0;
	struct machine mc;
	vmem_t *vm;

	(void)arg;
	machine_start(&mc, 2 * MIB);
	vm = vmem_create("short", 0, UINT64_C(1) << 44, PAGE, NULL, NULL, NULL,
	    0, VM_NOSLEEP);
	CHECK(NULL != vm);
	while (n < MANY && vmem_alloc(vm, PAGE, VM_NOSLEEP, &a[n]) == 0)
		n++;
	CHECK(n > 10000 && n < MANY);
	CHECK(vmem_alloc(vm, PAGE, VM_NOSLEEP, &at) == ENOMEM);
	CHECK(NULL == vmem_create("no", 0, PAGE, PAGE, NULL, NULL, NULL, 0,
	    VM_NOSLEEP));
	CHECK(vmem_check(vm) == 0);
	machine_check(&mc);
	/* What is freed can be had again, though no unit came back. */
	for (unsigned int i = 0; i < n; i += 101) {
		vmem_free(vm, a[i], PAGE);
		CHECK(vmem_alloc(vm, PAGE, VM_NOSLEEP, &a[i]) == 0);
	}
	/* Every second one: as many free segments as there can be, with next
	 * to no memory for bins. */
	for (unsigned int i = 0; i < n; i += 2)
		vmem_free(vm, a[i], PAGE);
	CHECK(vmem_check(vm) == 0);
	hole = a[n / 2 & ~1u];
	CHECK(vmem_xalloc(vm, PAGE, 0, 0, 0, hole, hole + PAGE - 1, VM_NOSLEEP,
		  &at) == 0);
	CHECK(at == hole);
	vmem_xfree(vm, at, PAGE);
	for (unsigned int i = 1; i < n; i += 2)
		vmem_free(vm, a[i], PAGE);
	CHECK(vmem_size(vm, VMEM_MAXFREE) == UINT64_C(1) << 44);
	CHECK(vmem_check(vm) == 0);
	vmem_destroy(vm);
	machine_check(&mc);
	free(a);
}

static void
test_run_out(void **state)
{
	(void)state;
	assert_int_equal(in_child(run_out, NULL), 0);
}

/* The meta arena has many segments of its own: their tags come from it too. */
static void
many_arenas(void *arg)
{
	enum { MANY = 2000 };
	static vmem_t *vm[MANY];
	struct vmem_stat vs;
	struct machine mc;

	(void)arg;
	machine_start(&mc, 1024 * MIB);
	for (unsigned int i = 0; i < MANY; i++) {
		vm[i] = vmem_create("one", 0, PAGE, PAGE, NULL, NULL, NULL, 0,
		    VM_NOSLEEP);
		CHECK(NULL != vm[i]);
	}
	vmem_stat(mc.meta, &vs);
	CHECK(vs.vs_segments > MANY);
	machine_check(&mc);
	for (unsigned int i = 0; i < MANY; i++)
		vmem_destroy(vm[i]);
	machine_check(&mc);
}

static void
test_many_arenas(void **state)
{
	(void)state;
	assert_int_equal(in_child(many_arenas, NULL), 0);
}

/* The table grows though the meta arena has neither a unit of its own nor room
 * in the row of tags where it grows: from what the pool keeps back. */
static void
reserve(void *arg)
{
	enum { MANY = 200000 };
	struct vmem_meta_stat ms = { 0 };
	struct machine mc;
	vmem_addr_t a;
	vmem_t *vm;
	uint64_t next;

	(void)arg;
	machine_start(&mc, 1024 * MIB);
	vm = vmem_create("many", 0, UINT64_C(1) << 44, PAGE, NULL, NULL, NULL,
	    0, VM_NOSLEEP);
	CHECK(NULL != vm);
	next = ((uintptr_t)unit_table + MIB) / PAGE;
	vmem_meta_stat(&ms);
	for (unsigned int i = 0; i < MANY && ms.ms_tag_bytes <= MIB; i++) {
		while (ROW(row_find(mc.meta, next).row)->rw_count < ROW_TAGS)
			CHECK(vmem_xalloc(mc.meta, PAGE, 0, 0, 0, 0,
				  VMEM_ADDR_MAX, VM_NOSLEEP | VM_LASTFIT,
				  &a) == 0);
		while (mc.meta->vm_nunits > 0)
			pool_put(&mc.meta->vm_units[--mc.meta->vm_nunits], 1);
		CHECK(vmem_alloc(vm, PAGE, VM_NOSLEEP, &a) == 0);
		vmem_meta_stat(&ms);
	}
	CHECK(ms.ms_tag_bytes > MIB);
	machine_check(&mc);
}

static void
test_reserve_serves_growth(void **state)
{
	(void)state;
	assert_int_equal(in_child(reserve, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grow_and_shrink),
		cmocka_unit_test(test_bins_go_back),
		cmocka_unit_test(test_run_out),
		cmocka_unit_test(test_many_arenas),
		cmocka_unit_test(test_reserve_serves_growth),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
