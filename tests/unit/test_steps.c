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

#include <errno.h>
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
static uint64_t holes_end;	/* beyond is one free segment */
static uint64_t hole_max;	/* no hole is larger */
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

/*
 * Every strategy, under each constraint: with holes enough that search by
 * search more disappoint than are looked at.
 */
static void
exchange_by(struct live *lv, vm_flag_t policy)
{
	static const struct {
		uint64_t align, nocross;
	} hard[] = { { 0, 0 }, { 64, 0 }, { 1 << 20, 0 }, { 1 << 20, 1 << 20 },
		{ 0, 16 }, { 16, 32 } };
	uint64_t at = lv->addr, min = 0, max = TOP;
	size_t i = rng_below(&rng, 6);

	if (rng_below(&rng, 2) == 0) {
		min = rng_below(&rng, at + 1);
		max = at + 16 + rng_below(&rng, at + 1);
	}
	vmem_xfree(vm, at, lv->size);
	lv->size = 1 + rng_below(&rng, 16);
	if (vmem_xalloc(vm, lv->size, hard[i].align, 0, hard[i].nocross, min,
	    max, VM_NOSLEEP | policy, &lv->addr) != 0)
		assert_int_equal(vmem_xalloc(vm, lv->size, 0, 0, 0, 0, TOP,
		    VM_NOSLEEP, &lv->addr), 0);
}

/*
 * PITFALLS 1.12: from the cursor, at the lowest hole, to the next segment that
 * is larger than all holes are rows without number: the tree leads past them.
 */
static void
pass_holes(struct live *lv, vm_flag_t policy)
{
	bool up = (policy & (VM_FIRSTFIT | VM_NEXTFIT)) != 0;
	uint64_t min = (policy & (VM_BESTFIT | VM_INSTANTFIT)) != 0;
	uint64_t max = up ? TOP : holes_end - 1, low, far;

	(void)lv;
	assert_int_equal(vmem_xalloc(vm, 1, 0, 0, 0, 0, TOP,
	    VM_NOSLEEP | VM_FIRSTFIT, &low), 0);
	assert_int_equal(vmem_xalloc(vm, hole_max + 1, 0, 0, 0, min, max,
	    VM_NOSLEEP | policy, &far), up ? 0 : ENOMEM);
	if (up)
		vmem_xfree(vm, far, hole_max + 1);
	vmem_xfree(vm, low, 1);
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

/* Without constraints: one look. */
static void
exchange_plain_next(struct live *lv, bool large)
{
	vmem_xfree(vm, lv->addr, lv->size);
	lv->size = random_size(large);
	assert_int_equal(vmem_xalloc(vm, lv->size, 0, 0, 0, 0, TOP,
	    VM_NOSLEEP | VM_NEXTFIT, &lv->addr), 0);
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

struct kind {
	const char *name;
	void (*fn)(struct live *, bool);
	uint64_t looks;
	unsigned int times;	/* one in so many of the live segments */
	void (*by)(struct live *, vm_flag_t); /* in place of fn, ... */
	vm_flag_t policy;	/* ... with that */
};

static const struct kind kinds[] = {
	{ "alloc and free", exchange, 0, 8, NULL, 0 },
	{ "under constraints", exchange_constrained, LOOKS_INSTANT, 8, NULL, 0 },
	{ "next fit", exchange_plain_next, 1, 8, NULL, 0 },
	{ "first, last fit", exchange_in_window, 3, 8, NULL, 0 },
	{ "at an address", exchange_at, 0, 8, NULL, 0 },
	{ "free of a part", free_part, 0, 8, NULL, 0 },
	{ "a page of a walk", walk_slice, 0, 8, NULL, 0 },
};

/* With a hole after every other segment. */
static const struct kind kinds_of_holes[] = {
	{ "instant, far", NULL, 3, 1024, pass_holes, VM_INSTANTFIT },
	{ "best, far", NULL, 3, 1024, pass_holes, VM_BESTFIT },
	{ "first, far", NULL, 1, 1024, pass_holes, VM_FIRSTFIT },
	{ "last, far", NULL, 3, 1024, pass_holes, VM_LASTFIT },
	{ "next, far", NULL, 2, 1024, pass_holes, VM_NEXTFIT },
	{ "instant, hard", NULL, LOOKS_INSTANT, 1024, exchange_by,
		VM_INSTANTFIT },
	{ "best, hard", NULL, LOOKS_EXACT, 1024, exchange_by, VM_BESTFIT },
	{ "first, hard", NULL, LOOKS_EXACT, 1024, exchange_by, VM_FIRSTFIT },
	{ "last, hard", NULL, LOOKS_EXACT, 1024, exchange_by, VM_LASTFIT },
	{ "next, hard", NULL, LOOKS_NEXT, 1024, exchange_by, VM_NEXTFIT },
};

static void
check_kind(const struct kind *kd, bool large)
{
	uint64_t bound = 0;

	vm->vm_steps_max = 0;
	vm->vm_taken_max = 0;
	for (uint64_t i = 0; i <= many / kd->times; i++) {
		struct live *lv = &live[2 * rng_below(&rng, many / 2)];

		if (kd->by != NULL)
			kd->by(lv, kd->policy);
		else
			kd->fn(lv, large);
		bound = arena_steps_bound(vm->vm_rows.at_depth,
		    vm->vm_free.fl_large.lg_count, kd->looks);
		if (vm->vm_steps_max > bound)
			break;
	}
	printf("%-18s %6llu steps at most, bound %6llu; %u units, bound %u\n",
	    kd->name, (unsigned long long)vm->vm_steps_max,
	    (unsigned long long)bound, vm->vm_taken_max,
	    vm->vm_low - BIN_UNITS);
	assert_true(vm->vm_steps_max > 0 && vm->vm_steps_max <= bound);
}

static int
by_addr(const void *a, const void *b)
{
	const struct live *x = a, *y = b;

	return (x->addr < y->addr ? -1 : x->addr > y->addr);
}

static int
see_hole(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	(void)arg;
	if (addr < holes_end && size > hole_max)
		hole_max = size;
	return (0);
}

/* Every other segment by address goes; and what is beyond them is one. */
static void
make_holes(void)
{
	qsort(live, many, sizeof(*live), by_addr);
	for (uint64_t i = 1; i < many; i += 2)
		vmem_xfree(vm, live[i].addr, live[i].size);
	holes_end = live[(many - 1) / 2 * 2].addr +
	    live[(many - 1) / 2 * 2].size;
	hole_max = 0;
	vmem_walk(vm, VMEM_FREE, see_hole, NULL);
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
	make_holes();
	for (size_t k = 0;
	     k < sizeof(kinds_of_holes) / sizeof(kinds_of_holes[0]); k++)
		check_kind(&kinds_of_holes[k], large);
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
