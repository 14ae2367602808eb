/*
 * Goal: every operation takes a bounded number of steps, however many segments
 * there are; and no more units of memory than are set apart for it.
 * Method: debug builds count both (arena_impl.h: STEP(), arena_low()).  A
 * million live segments, churned; then the most that any operation of a kind
 * took is held against the bound that is derived there.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <vmem.h>

#include "arena/arena_impl.h"
#include "reference.h"

#ifndef VMEM_DEBUG
static void
test_pit_12_steps_are_bounded(void **state)
{
	(void)state;
	printf("steps are counted by --enable-debug\n");
}
#else
#define TOP VMEM_ADDR_MAX

static struct live {
	uint64_t addr, size;
} *live;
static uint64_t many;
static vmem_t *vm;
static struct rng rng;

static uint64_t
random_size(bool large)
{
	return (large ? 1 + (rng_next(&rng) >> (44 + rng_below(&rng, 20))) :
			1 + rng_below(&rng, 16));
}

static void
exchange(struct live *lv, bool large)
{
	vmem_xfree(vm, lv->addr, lv->size);
	lv->size = random_size(large);
	assert_int_equal(vmem_xalloc(vm, lv->size, 0, 0, 0, 0, TOP,
	    VM_NOSLEEP, &lv->addr), 0);
}

static void
exchange_constrained(struct live *lv, bool large)
{
	uint64_t at = lv->addr, size = lv->size;

	vmem_xfree(vm, at, size);
	lv->size = random_size(large);
	if (vmem_xalloc(vm, lv->size, 64, 0, 0, at / 2, at + (at / 2),
	    VM_NOSLEEP, &lv->addr) != 0 &&
	    vmem_xalloc(vm, lv->size, 4096, 8, 1 << 30, 0, TOP, VM_NOSLEEP,
		&lv->addr) != 0)
		assert_int_equal(vmem_xalloc(vm, lv->size, 0, 0, 0, 0, TOP,
		    VM_NOSLEEP, &lv->addr), 0);
}

/* PITFALLS 1.12: by the tree, from the cursor on. */
static void
exchange_next(struct live *lv, bool large)
{
	vmem_xfree(vm, lv->addr, lv->size);
	lv->size = random_size(large);
	assert_int_equal(vmem_xalloc(vm, lv->size, 0, 0, 0, 0, TOP,
	    VM_NOSLEEP | VM_NEXTFIT, &lv->addr), 0);
}

/* Two segments at most are cut by the window. */
static void
exchange_in_window(struct live *lv, bool large)
{
	uint64_t at = lv->addr, room = rng_next(&rng) >> (16 +
	    rng_below(&rng, 48));

	vmem_xfree(vm, at, lv->size);
	lv->size = random_size(large);
	if (vmem_xalloc(vm, lv->size, 0, 0, 0, at, at + lv->size + room,
	    VM_NOSLEEP | (at % 2 == 0 ? VM_FIRSTFIT : VM_LASTFIT),
	    &lv->addr) != 0)
		assert_int_equal(vmem_xalloc(vm, lv->size, 0, 0, 0, 0, TOP,
		    VM_NOSLEEP, &lv->addr), 0);
}

static void
exchange_at(struct live *lv, bool large)
{
	(void)large;
	vmem_xfree(vm, lv->addr, lv->size);
	assert_int_equal(
	    vmem_xalloc_addr(vm, lv->addr, lv->size, VM_NOSLEEP), 0);
}

static void
free_part(struct live *lv, bool large)
{
	uint64_t mid = lv->addr + lv->size / 2;

	if (lv->size < 3) {
		exchange(lv, large);
		return;
	}
	assert_int_equal(vmem_xfree_part(vm, mid, 1, VM_NOSLEEP), 0);
	assert_int_equal(vmem_xalloc_addr(vm, mid, 1, VM_NOSLEEP), 0);
	vmem_xfree(vm, mid, 1);
	vmem_xfree(vm, mid + 1, lv->addr + lv->size - mid - 1);
	lv->size = mid - lv->addr;
}

static void
walk_slice(struct live *lv, bool large)
{
	struct vmem_seg segs[16];
	vmem_addr_t cursor = lv->addr + lv->size / 2;
	bool more;

	(void)large;
	assert_true(vmem_walk_from(vm, VMEM_ALLOC | VMEM_FREE, &cursor, segs,
	    16, &more) > 0);
	assert_int_equal(segs[0].seg_addr, lv->addr);
}

static const struct kind {
	const char *name;
	void (*fn)(struct live *, bool);
	uint64_t looks;
} kinds[] = {
	{ "alloc and free", exchange, 0 },
	{ "under constraints", exchange_constrained, ARENA_LOOKS },
	{ "next fit", exchange_next, 1 },
	{ "first, last fit", exchange_in_window, 3 },
	{ "at an address", exchange_at, 0 },
	{ "free of a part", free_part, 0 },
	{ "a page of a walk", walk_slice, 0 },
};

static void
check_kind(const struct kind *kd, bool large)
{
	uint64_t bound;

	vm->vm_steps_max = 0;
	vm->vm_taken_max = 0;
	for (uint64_t i = 0; i < many / 8; i++)
		kd->fn(&live[rng_below(&rng, many)], large);
	bound = arena_steps_bound(vm->vm_rows.at_depth,
	    vm->vm_free.fl_large.lg_count, kd->looks);
	printf("%-18s %4llu steps at most, bound %4llu; %u units, bound %u\n",
	    kd->name, (unsigned long long)vm->vm_steps_max,
	    (unsigned long long)bound, vm->vm_taken_max,
	    vm->vm_low - BIN_UNITS);
	assert_true(vm->vm_steps_max > 0 && vm->vm_steps_max <= bound);
}

static void
run(bool large)
{
	live = malloc(many * sizeof(*live));
	assert_non_null(live);
	rng_init(&rng, ref_seed);
	vm = vmem_create("steps", 0, UINT64_C(1) << 50, 1, NULL, NULL, NULL, 0,
	    VM_NOSLEEP);
	assert_non_null(vm);
	for (uint64_t i = 0; i < many; i++) {
		live[i].size = random_size(large);
		assert_int_equal(vmem_xalloc(vm, live[i].size, 0, 0, 0, 0, TOP,
		    VM_NOSLEEP, &live[i].addr), 0);
	}
	printf("%llu live segments, %s\n", (unsigned long long)many,
	    large ? "log-uniform" : "1..16");
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		check_kind(&kinds[k], large);
	assert_int_equal(vmem_check(vm), 0);
	vmem_xfreeall(vm);
	vmem_destroy(vm);
	free(live);
}

static void
test_pit_12_steps_are_bounded(void **state)
{
	(void)state;
	many = ref_steps;
	run(false);
	run(true);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pit_12_steps_are_bounded),
	};

	ref_options(1000000);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
