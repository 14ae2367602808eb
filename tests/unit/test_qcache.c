/*
 * Goal: what one thread can see of quantum caches: counters that add up, slabs
 * that are shared and given back, and misuse that VM_CHECK catches in ranges of
 * slabs.
 * Method: an arena with room for slabs; each misuse in a child, whose panic is
 * read from its exit code.
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

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmem.h>

#include "qcache/percpu.h"

#define PAGE 4096u
#define SIZE (UINT64_C(1) << 30)
#define MANY 1000u
#define PANICKED 42

static vmem_t *
arena(vm_flag_t flags)
{
	vmem_t *vm = vmem_create("cached", 0, SIZE, PAGE, NULL, NULL, NULL,
	    16 * PAGE, VM_SLEEP | flags);

	assert_non_null(vm);
	return (vm);
}

static vmem_addr_t
get(vmem_t *vm, unsigned int pages)
{
	vmem_addr_t addr;

	assert_int_equal(vmem_alloc(vm, pages * PAGE, VM_NOSLEEP, &addr), 0);
	return (addr);
}

static void
finish(vmem_t *vm)
{
	assert_int_equal(vmem_check(vm), 0);
	vmem_reap(vm);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC), 0);
	assert_true(vmem_size(vm, VMEM_MAXFREE) == SIZE);
	vmem_destroy(vm);
}

static void
counters(vm_flag_t flags)
{
	static vmem_addr_t addr[16][MANY];
	vmem_t *vm = arena(flags);
	struct vmem_qcache_stat qs;
	struct vmem_stat vs;
	uint64_t bytes = 0, slabs;

	for (unsigned int q = 1; q <= 16; q++)
		for (unsigned int i = 0; i < MANY; i++) {
			addr[q - 1][i] = get(vm, q);
			bytes += q * PAGE;
		}
	vmem_stat(vm, &vs);
	slabs = vs.vs_qc_slabs;
	assert_int_equal(vs.vs_qc_count, 16);
	assert_int_equal(vs.vs_allocs, 16 * MANY);
	assert_int_equal(vs.vs_frees, 0);
	assert_int_equal(vs.vs_qc_hits + vs.vs_qc_misses, 16 * MANY);
	assert_true(vs.vs_qc_hits > vs.vs_qc_misses * 2);
	assert_true(vs.vs_inuse == bytes + vs.vs_qc_held_bytes);
	assert_true(vs.vs_inuse + vs.vs_free == vs.vs_size);
	assert_true(slabs >= bytes / (64 * PAGE));
	assert_true(slabs * 64 * PAGE ==
	    vs.vs_inuse + vs.vs_qc_idle_bytes);
	for (unsigned int q = 1; q <= 16; q++)
		for (unsigned int i = 0; i < MANY; i++)
			vmem_free(vm, addr[q - 1][i], q * PAGE);
	vmem_stat(vm, &vs);
	assert_int_equal(vs.vs_frees, 16 * MANY);
	assert_true(vs.vs_inuse == vs.vs_qc_held_bytes);
	/* 13 to 16 pages: four to a slab, and so the same slabs. */
	assert_int_equal(vmem_qcache_stat(vm, 12, &qs), 0);
	slabs = qs.qs_slabs;
	assert_int_equal(vmem_qcache_stat(vm, 15, &qs), 0);
	assert_int_equal(qs.qs_slabs, slabs);
	assert_int_equal(qs.qs_size, 16 * PAGE);
	vmem_reap(vm);
	vmem_stat(vm, &vs);
	assert_int_equal(vs.vs_qc_held_bytes, 0);
	assert_int_equal(vs.vs_qc_slabs, 0);
	assert_true(vs.vs_qc_drains > 0);
	finish(vm);
}

static void
test_counters(void **state)
{
	(void)state;
	counters(0);
	counters(VM_CHECK);
}

/* What nobody used for a period goes back. */
static void
test_tick_gives_back_the_idle(void **state)
{
	vmem_t *vm = arena(0);
	vmem_addr_t addr[100];
	struct vmem_stat vs;

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		addr[i] = get(vm, 2);
	for (unsigned int i = 0; i < 100; i++)
		vmem_free(vm, addr[i], 2 * PAGE);
	vmem_stat(vm, &vs);
	assert_true(vs.vs_qc_held_bytes > 0);
	for (unsigned int i = 0; i < 3; i++)
		vmem_tick();
	vmem_stat(vm, &vs);
	assert_int_equal(vs.vs_qc_held_bytes, 0);
	finish(vm);
}

/* Slabs of which parts are in use go with all the rest. */
static void
test_xfreeall(void **state)
{
	vmem_t *vm = arena(VM_CHECK);

	(void)state;
	for (unsigned int q = 1; q <= 20; q++)
		(void)get(vm, q);
	vmem_xfreeall(vm);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC), 0);
	vmem_free(vm, get(vm, 3), 3 * PAGE);
	finish(vm);
}

/* A strategy of its own goes past the caches, and yet is freed into them. */
static void
test_strategy_goes_past(void **state)
{
	vmem_t *vm = arena(VM_CHECK);
	vmem_addr_t low, high;

	(void)state;
	(void)get(vm, 1);
	assert_int_equal(
	    vmem_alloc(vm, 11 * PAGE, VM_NOSLEEP | VM_LASTFIT, &high), 0);
	assert_true(high == SIZE - 11 * PAGE);
	assert_int_equal(
	    vmem_alloc(vm, 12 * PAGE, VM_NOSLEEP | VM_FIRSTFIT, &low), 0);
	vmem_free(vm, high, 11 * PAGE);
	vmem_free(vm, low, 12 * PAGE);
	assert_true(get(vm, 11) == high);
	assert_true(get(vm, 12) == low);
	vmem_xfreeall(vm);
	finish(vm);
}

/* ---- misuse --------------------------------------------------------------- */

static const char *wanted;

static void
on_panic(const char *message)
{
	_exit(strstr(message, wanted) != NULL ? PANICKED : 1);
}

static void
expect_panic(void (*misuse)(vmem_t *), const char *text)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		wanted = text;
		vmem_set_panic(on_panic);
		misuse(arena(VM_CHECK));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), PANICKED);
}

static void
free_twice(vmem_t *vm)
{
	vmem_addr_t addr = get(vm, 3);

	vmem_free(vm, addr, 3 * PAGE);
	vmem_free(vm, addr, 3 * PAGE);
}

static void
free_wrong_class(vmem_t *vm)
{
	vmem_free(vm, get(vm, 3), 4 * PAGE);
}

/* 13 and 14 pages are of the same slabs. */
static void
free_wrong_neighbour(vmem_t *vm)
{
	vmem_free(vm, get(vm, 13), 14 * PAGE);
}

static void
free_interior(vmem_t *vm)
{
	vmem_free(vm, get(vm, 3) + PAGE, 3 * PAGE);
}

static void
free_unaligned(vmem_t *vm)
{
	vmem_free(vm, get(vm, 3) + 1, 3 * PAGE);
}

static void
free_foreign(vmem_t *vm)
{
	(void)get(vm, 3);
	vmem_free(vm, SIZE / 2, 3 * PAGE);
}

static void
xfree_cached(vmem_t *vm)
{
	vmem_addr_t addr = get(vm, 3);

	vmem_free(vm, addr, 3 * PAGE);
	vmem_xfree(vm, addr, 3 * PAGE);
}

static void
xfree_allocated(vmem_t *vm)
{
	vmem_xfree(vm, get(vm, 3), 3 * PAGE);
}

/* A slab as a whole, by who knows its size. */
static void
xfree_slab(vmem_t *vm)
{
	vmem_addr_t addr = get(vm, 1) & ~(vmem_addr_t)(64 * PAGE - 1);

	vmem_xfree(vm, addr, 64 * PAGE);
}

static void
free_part(vmem_t *vm)
{
	if (vmem_xfree_part(vm, get(vm, 4), PAGE, VM_NOSLEEP) != 0)
		_exit(1);
}

/* Of slabs none is there yet; the first would begin at 0. */
static void
free_in_none(vmem_t *vm)
{
	vmem_free(vm, 0, PAGE);
}

static void
test_misuse(void **state)
{
	(void)state;
	expect_panic(free_twice, "freed already");
	expect_panic(free_wrong_class, "wrong size (expected 12288)");
	expect_panic(free_wrong_neighbour, "wrong size (expected 53248)");
	expect_panic(free_interior, "no range starts there");
	expect_panic(free_unaligned, "no allocation starts there");
	expect_panic(free_foreign, "no allocation starts there");
	expect_panic(free_in_none, "no allocation starts there");
	expect_panic(xfree_cached, "freed already");
	expect_panic(xfree_allocated, "a range of a quantum cache");
	expect_panic(xfree_slab, "a range of a quantum cache");
	expect_panic(free_part, "inside one allocation");
}

/* Lists of CPUs: what an index is below. */
static void
test_possible_cpus(void **state)
{
	(void)state;
	assert_int_equal(percpu_parse("0\n"), 1);
	assert_int_equal(percpu_parse("0-1\n"), 2);
	assert_int_equal(percpu_parse("0-3,8-15\n"), 16);
	assert_int_equal(percpu_parse("0,2,4\n"), 5);
	assert_int_equal(percpu_parse("0-511"), 512);
	assert_int_equal(percpu_parse(""), 0);
	assert_int_equal(percpu_parse("\n"), 0);
	assert_int_equal(percpu_parse("0-\n"), 0);
	assert_int_equal(percpu_parse(",1\n"), 0);
	assert_int_equal(percpu_parse("all\n"), 0);
	assert_int_equal(percpu_parse("0-99999999999\n"), 0);
	/* More than a table takes: locks, and indices that wrap. */
	assert_true(percpu_get()->pc_count >= 1 &&
	    percpu_get()->pc_count <= PERCPU_MAX);
	assert_true(percpu_index(percpu_get()) < percpu_get()->pc_count);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_possible_cpus),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_tick_gives_back_the_idle),
		cmocka_unit_test(test_xfreeall),
		cmocka_unit_test(test_strategy_goes_past),
		cmocka_unit_test(test_misuse),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
