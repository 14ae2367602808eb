/*
 * Goal: the structures of the arena's core by themselves, and at their borders:
 * rows, trees and bins that split, join, grow a level and lose it with every
 * other step.
 * Method: this program is compiled with tiny sizes (tiny.am), as is the library
 * that it is linked with.  Trees and bins are compared with sorted arrays;
 * arenas are filled and emptied in each order, and checked after each step; and
 * until all units that a reference can name are in use.
 * The seed is printed; TEST_SEED and TEST_STEPS set it and the length.
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
#include <vmem.h>

#include "arena/arena_impl.h"
#include "reference.h"

#define TOP VMEM_ADDR_MAX

static struct rng rng;

static vmem_t *
arena_new(uint64_t size)
{
	vmem_t *vm = vmem_create(
	    "tiny", 0, size, 1, NULL, NULL, NULL, 0, VM_NOSLEEP);

	assert_non_null(vm);
	return (vm);
}

/* ---- the tree by address ------------------------------------------------- */

/* The tree of spans of an arena that has none is the one under test: so that
 * the arena's stock suffices for it. */
#define ENTRIES_MAX 700

struct entries {
	vmem_t *vm;
	struct addrtree *tree;
	struct addrentry e[ENTRIES_MAX]; /* by key */
	unsigned int count;
};

static struct entries en;

/* The first with a key of at least that. */
static unsigned int
entry_from(uint64_t key)
{
	unsigned int i = 0;

	while (i < en.count && en.e[i].ae_key < key)
		i++;
	return (i);
}

static uint64_t
any_key(void)
{
	if (en.count > 0 && rng_below(&rng, 3) != 0)
		return (en.e[rng_below(&rng, en.count)].ae_key +
		    rng_below(&rng, 5) - 2);
	return (rng_next(&rng) >> rng_below(&rng, 64));
}

static void
entry_insert(void)
{
	struct addrentry entry = { .ae_key = any_key(),
		.ae_max = rng_next(&rng) >> rng_below(&rng, 64) };
	unsigned int at = entry_from(entry.ae_key);

	if (at < en.count && en.e[at].ae_key == entry.ae_key)
		return;
	assert_int_equal(arena_enter(en.vm), 0);
	addrtree_insert(en.vm, en.tree, &entry);
	arena_leave(en.vm);
	memmove(&en.e[at + 1], &en.e[at], (en.count - at) * sizeof(en.e[0]));
	en.e[at] = entry;
	en.count++;
}

static void
entry_remove(unsigned int at)
{
	assert_int_equal(arena_enter(en.vm), 0);
	addrtree_remove(en.vm, en.tree, en.e[at].ae_key);
	arena_leave(en.vm);
	en.count--;
	memmove(&en.e[at], &en.e[at + 1], (en.count - at) * sizeof(en.e[0]));
}

/* Its key moves, between its neighbours' keys. */
static void
entry_change(unsigned int at)
{
	uint64_t lo = at == 0 ? 0 : en.e[at - 1].ae_key + 1;
	uint64_t hi = at + 1 == en.count ? UINT64_MAX : en.e[at + 1].ae_key - 1;
	uint64_t room = hi - lo, key;

	key = rng_below(&rng, 4) == 0 ? lo :
	    rng_below(&rng, 4) == 0   ? hi :
					lo + rng_below(&rng, room + (room != UINT64_MAX));
	assert_int_equal(arena_enter(en.vm), 0);
	addrtree_change(en.vm, en.tree, en.e[at].ae_key, key);
	arena_leave(en.vm);
	en.e[at].ae_key = key;
}

static void
entry_searches(void)
{
	uint64_t key = any_key(), most = 0;
	uint64_t size = rng_next(&rng) >> rng_below(&rng, 64);
	struct addrentry got;
	unsigned int i = entry_from(key);
	bool found = addrtree_first(en.tree, key, size, &got);

	while (i < en.count && en.e[i].ae_max < size)
		i++;
	assert_int_equal(found, i < en.count);
	if (found)
		assert_true(got.ae_key == en.e[i].ae_key &&
		    got.ae_max == en.e[i].ae_max);
	i = entry_from(key);
	if (i < en.count && en.e[i].ae_key == key)
		i++;
	while (i > 0 && en.e[i - 1].ae_max < size)
		i--;
	found = addrtree_last(en.tree, key, size, &got);
	assert_int_equal(found, i > 0);
	if (found)
		assert_true(got.ae_key == en.e[i - 1].ae_key &&
		    got.ae_max == en.e[i - 1].ae_max);
	for (i = 0; i < en.count; i++)
		most = en.e[i].ae_max > most ? en.e[i].ae_max : most;
	assert_true(addrtree_max(en.tree) == most);
}

static void
test_tree_alone(void **state)
{
	unsigned int deepest = 0;
	bool growing = true;

	(void)state;
	rng_init(&rng, ref_seed);
	en = (struct entries) { .vm = arena_new(0) };
	en.tree = &en.vm->vm_spans;
	for (uint64_t i = 0; i < ref_steps || en.count > 0; i++) {
		if (en.count == ENTRIES_MAX)
			growing = false;
		else if (en.count < 2)
			growing = true;
		if (rng_below(&rng, 8) < (growing ? 5u : 2u) &&
		    en.count < ENTRIES_MAX && i < ref_steps)
			entry_insert();
		else if (en.count > 0 && rng_below(&rng, 3) == 0)
			entry_change((unsigned int)rng_below(&rng, en.count));
		else if (en.count > 0)
			entry_remove((unsigned int)rng_below(&rng, en.count));
		if (en.tree->at_depth > deepest)
			deepest = en.tree->at_depth;
		entry_searches();
		assert_null(addrtree_check(en.tree));
		assert_true(en.tree->at_count == en.count);
	}
	printf("%u levels\n", deepest);
	assert_true(deepest >= 4);
	assert_int_equal(en.tree->at_depth, 0);
	vmem_destroy(en.vm);
}

/* ---- bins ------------------------------------------------------------------ */

static void
test_bin_alone(void **state)
{
	enum { ITEMS = 3000 };
	static uint32_t item[ITEMS];
	struct bin bin = { .bn_count = 0 };
	unsigned int n = 0, place;
	bool growing = true;
	vmem_t *vm = arena_new(0);
	struct vmem_meta_stat before, after;

	(void)state;
	rng_init(&rng, ref_seed);
	vmem_meta_stat(&before);
	for (uint64_t i = 0; i < ref_steps || n > 0; i++) {
		if (n == ITEMS)
			growing = false;
		else if (n == 0)
			growing = true;
		assert_int_equal(arena_enter(vm), 0);
		if (rng_below(&rng, 8) < (growing ? 7u : 1u) && n < ITEMS &&
		    i < ref_steps) {
			item[n] = (uint32_t)rng_next(&rng);
			WELCOME(vm, assert_true(bin_push(vm, &bin, item[n])));
			n++;
		} else if (n > 0) {
			bin_pop(vm, &bin);
			n--;
		}
		arena_leave(vm);
		assert_int_equal(bin.bn_count, n);
		if (n > 0)
			assert_int_equal(bin_last(&bin), item[n - 1]);
		for (unsigned int k = 0; k < 4 && n > 0; k++) {
			place = k == 0 ? n - 1 :
					 (unsigned int)rng_below(&rng, n);
			assert_int_equal(*bin_item(&bin, place), item[place]);
		}
	}
	vmem_destroy(vm);
	vmem_meta_stat(&after);
	assert_true(after.ms_tags_total - after.ms_tags_free <
	    before.ms_tags_total - before.ms_tags_free);
}

/* ---- records of large segments ---------------------------------------------- */

static uint64_t
units_used(const vmem_t *vm)
{
	struct vmem_meta_stat ms;

	vmem_meta_stat(&ms);
	return ((ms.ms_tags_total - ms.ms_tags_free) / ROW_TAGS - vm->vm_nunits);
}

/* A unit that was full takes records again as soon as one of its has gone. */
static void
test_records_are_reused(void **state)
{
	enum { MANY = 64 };
	uint32_t record[MANY];
	vmem_t *vm = arena_new(0);
	struct larges lg = { .lg_root = LARGE_NIL };
	uint64_t none = units_used(vm), full;

	(void)state;
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < MANY; i++) {
			if (round > 0 && i % 2 != 0)
				continue;
			assert_int_equal(arena_enter(vm), 0);
			record[i] = large_insert(vm, &lg, i, 1000, 1);
			arena_leave(vm);
			assert_int_not_equal(record[i], LARGE_NIL);
		}
		full = units_used(vm);
		assert_int_equal(full - none, (MANY + 1) / 2);
		assert_null(large_check(&lg));
		for (unsigned int i = 0; i < MANY; i += 2) {
			arena_enter_free(vm);
			large_remove(vm, &lg, record[i]);
			arena_leave(vm);
		}
		assert_int_equal(units_used(vm), full);
	}
	large_fini(vm, &lg);
	assert_int_equal(units_used(vm), none);
	vmem_destroy(vm);
}

/* ---- arenas, filled and emptied in every order ----------------------------- */

#define RANGES 600u

enum order { UP, DOWN, ALTERNATE, RANDOM, ORDERS };

/* A permutation of 0 .. RANGES - 1. */
static void
permute(unsigned int *at, enum order order)
{
	for (unsigned int i = 0; i < RANGES; i++)
		at[i] = order == UP   ? i :
		    order == DOWN     ? RANGES - 1 - i :
		    order == ALTERNATE ? (i < RANGES / 2 ?
			2 * i : 2 * (i - RANGES / 2) + 1) : i;
	if (order != RANDOM)
		return;
	for (unsigned int i = RANGES - 1; i > 0; i--) {
		unsigned int k = (unsigned int)rng_below(&rng, i + 1);
		unsigned int swap = at[i];

		at[i] = at[k];
		at[k] = swap;
	}
}

static void
must_check(vmem_t *vm)
{
	const char *why = NULL;

	if (vmem_check_why(vm, &why) != 0)
		fail_msg("vmem_check: %s", why);
}

/* Ranges `pitch' quanta apart: beyond a row's reach, or adjoining. */
static void
fill_and_empty(uint64_t pitch, uint64_t size, enum order in, enum order out)
{
	unsigned int at[RANGES], deepest = 0;
	vmem_t *vm = arena_new(RANGES * pitch);

	permute(at, in);
	for (unsigned int i = 0; i < RANGES; i++) {
		assert_int_equal(vmem_xalloc_addr(
		    vm, at[i] * pitch, size, VM_NOSLEEP), 0);
		must_check(vm);
	}
	if (vm->vm_rows.at_depth > deepest)
		deepest = vm->vm_rows.at_depth;
	assert_true(deepest >= 4);
	permute(at, out);
	for (unsigned int i = 0; i < RANGES; i++) {
		vmem_xfree(vm, at[i] * pitch, size);
		must_check(vm);
	}
	assert_true(vmem_size(vm, VMEM_MAXFREE) == RANGES * pitch);
	/* One span and the gap above it. */
	assert_int_equal(vm->vm_ntags, 2);
	assert_true(vm->vm_rows.at_depth <= 2);
	vmem_destroy(vm);
}

static void
test_every_order(void **state)
{
	static const struct { uint64_t pitch, size; } forms[] = {
		{ 2, 1 }, { 3, 3 }, { 64, 1 }, { 70, 5 }, { 100, 1 },
		{ 200, 150 }, { UINT64_C(1) << 40, UINT64_C(1) << 39 } };

	(void)state;
	rng_init(&rng, ref_seed);
	for (unsigned int f = 0; f < sizeof(forms) / sizeof(forms[0]); f++)
		for (unsigned int in = 0; in < ORDERS; in++)
			for (unsigned int out = 0; out < ORDERS; out++)
				fill_and_empty(forms[f].pitch, forms[f].size,
				    (enum order)in, (enum order)out);
}

/* ---- the reserve --------------------------------------------------------- */

/*
 * Operations that take more units than any other: two rows each, into trees of
 * many levels, some of which are full all the way.  That arena_low() covers it
 * is asserted by arena_leave() in debug builds.
 */
static void
test_reserve_covers_deep_trees(void **state)
{
	enum { LIVE = 3000 };
	static uint64_t at[LIVE];
	vmem_t *vm = arena_new(UINT64_C(1) << 40);

	(void)state;
	rng_init(&rng, ref_seed);
	pool_inject(0, 0, true);
	for (uint64_t i = 0; i < 20 * LIVE; i++) {
		uint64_t *addr = &at[i % LIVE];

		if (i >= LIVE)
			vmem_xfree(vm, *addr, 150);
		do
			*addr = rng_below(&rng, (UINT64_C(1) << 40) - 150);
		while (vmem_xalloc_addr(vm, *addr, 150, VM_NOSLEEP) != 0);
	}
	pool_inject(0, 0, false);
#ifdef VMEM_DEBUG
	/* Both rows, and a node a level. */
	printf("%u units at most, at %u levels\n", vm->vm_taken_max,
	    vm->vm_rows.at_depth);
	assert_true(vm->vm_taken_max >= vm->vm_rows.at_depth);
#endif
	must_check(vm);
	vmem_xfreeall(vm);
	vmem_destroy(vm);
}

/* ---- the table is full --------------------------------------------------- */

/* How many could be allocated, every other quantum from `from' on: until there
 * is no unit left. */
static uint64_t
fill_table(vmem_t *vm, uint64_t from)
{
	uint64_t n = 0;
	int error;

	while ((error = vmem_xalloc_addr(vm, from + 2 * n, 1, VM_NOSLEEP)) == 0)
		n++;
	assert_int_equal(error, ENOMEM);
	must_check(vm);
	return (n);
}

/*
 * All units that references reach are in use: what needs one is refused, and
 * nothing has changed; what needs none isn't; and after frees all goes on.
 */
static void
test_table_is_full(void **state)
{
	uint64_t n, again, other;
	vmem_t *vm = arena_new(UINT64_C(1) << 40), *small = arena_new(100);
	struct vmem_meta_stat ms;
	vmem_addr_t a;

	(void)state;
	assert_int_equal(vmem_xalloc_addr(small, 50, 1, VM_NOSLEEP), 0);
	n = fill_table(vm, 0);
	vmem_meta_stat(&ms);
	assert_int_equal(ms.ms_tag_bytes, (uint64_t)UNIT_BYTES << UNIT_BITS);
	/* Of two tags a segment, six in a row and half of these in use. */
	assert_true(n > (UINT64_C(1) << UNIT_BITS) / 2);
	errno = 0;
	assert_null(vmem_create("more", 0, 100, 1, NULL, NULL, NULL, 0,
	    VM_NOSLEEP));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(vmem_xalloc(
	    vm, 1, 1 << 30, 0, 0, 4 * n, TOP, VM_NOSLEEP, &a), ENOMEM);
	/* One goes, and one of its size can be had; an arena with room in its
	 * rows isn't concerned. */
	vmem_xfree(vm, n / 2 * 2, 1);
	assert_int_equal(
	    vmem_xalloc_addr(vm, n / 2 * 2, 1, VM_NOSLEEP), 0);
	vmem_xfree(small, 50, 1);
	assert_int_equal(vmem_xalloc_addr(small, 50, 1, VM_NOSLEEP), 0);
	must_check(vm);
	/* A quarter goes: so much can be had again, by another arena too. */
	for (uint64_t i = 0; i < n / 4; i++)
		vmem_xfree(vm, 2 * i, 1);
	must_check(vm);
	again = fill_table(vm, 2 * n);
	assert_true(again > n / 5);
	for (uint64_t i = 0; i < again; i++)
		vmem_xfree(vm, 2 * n + 2 * i, 1);
	vmem_xfreeall(small);
	vmem_destroy(small);
	small = arena_new(UINT64_C(1) << 40);
	other = fill_table(small, 0);
	assert_true(other > n / 5);
	vmem_xfreeall(vm);
	assert_int_equal(vmem_size(vm, VMEM_MAXFREE), UINT64_C(1) << 40);
	vmem_destroy(vm);
	vmem_xfreeall(small);
	vmem_destroy(small);
	/* Nothing is lost. */
	vm = arena_new(UINT64_C(1) << 40);
	assert_true(fill_table(vm, 0) >= n - n / 100);
	vmem_xfreeall(vm);
	vmem_destroy(vm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree_alone),
		cmocka_unit_test(test_bin_alone),
		cmocka_unit_test(test_records_are_reused),
		cmocka_unit_test(test_every_order),
		cmocka_unit_test(test_reserve_covers_deep_trees),
		cmocka_unit_test(test_table_is_full),
	};

	ref_options(20000);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
