/*
 * Goal: vmpager_check() finds what is broken, and says what.  A checker that
 * always answers 0 would pass every other test.
 * Method: the only test that looks inside: one member is spoilt at a time, the
 * checker must name it, the member is put back, and the checker is content.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "pager/pager_impl.h"
#include "unit/pager_fixture.h"

static struct fixture fx;

/* Pages 0 .. 3 are registered: 0 and 1 in slots, 2 and 3 resident. */
static int
setup(void **state)
{
	struct vmpager_touched pt;

	(void)state;
	fx = fixture_open(2, 8, VMPAGER_OVERCOMMIT, NULL, 8);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, 4 * PAGE), 0);
	for (uint64_t page = 0; page < 4; page++)
		assert_int_equal(vmpager_touch(fx.fx_map, BASE + page * PAGE,
				     PAGE, true, &pt), 0);
	fixture_check(&fx);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	fixture_close(&fx);
	return (0);
}

static void
assert_wrong(const char *text)
{
	const char *why = "";

	assert_int_equal(vmpager_check(fx.fx_pager, &why), EIO);
	assert_string_equal(why, text);
	assert_int_equal(vmpager_check(fx.fx_pager, NULL), EIO);
}

/* Change an entry, expect the complaint, and take the change back. */
static void
spoil_entry(uint64_t page, uint64_t flip, const char *text)
{
	pte_t *ptep = &fx.fx_map->mp_ptes[page];

	(void)atomic_fetch_xor(ptep, flip);
	assert_wrong(text);
	(void)atomic_fetch_xor(ptep, flip);
	fixture_check(&fx);
}

static void
test_entries(void **state)
{
	uint64_t number = (uint64_t)1 << PTE_NUMBER_SHIFT;

	(void)state;
	assert_string_equal(fixture_states(&fx, 0, 5), "ssdd.");
	spoil_entry(0, number, "a swapped page's slot is another's");
	spoil_entry(0, number << 20, "a swapped page's slot is another's");
	spoil_entry(0, (uint64_t)1 << PTE_GEN_SHIFT,
	    "a swapped page's slot holds another generation");
	spoil_entry(0, PTE_PIN, "a page without a frame is pinned");
	spoil_entry(2, number, "a resident page's frame has another owner");
	spoil_entry(2, number << 20,
	    "a page table entry names a frame that isn't");
	spoil_entry(1, PTE_SWAPPED ^ PTE_STATE,
	    "a page table entry has no valid state");
	spoil_entry(4, PTE_DIRTY, "an unregistered page has an entry");
	spoil_entry(1, PTE_FIRST, "the count of registered ranges is wrong");
}

static void
test_frames_and_slots(void **state)
{
	struct vmpager *pg = fx.fx_pager;
	uint32_t slot = pte_number(fx.fx_map->mp_ptes[0]);
	uint32_t frame = pte_number(fx.fx_map->mp_ptes[2]);
	struct frame *fr = &pg->pg_pool.fp_frames[frame];
	uint64_t owner = fr->fr_owner;

	(void)state;
	fr->fr_owner = owner + 1;
	assert_wrong("a resident page's frame has another owner");
	fr->fr_owner = owner;
	fr->fr_slot = slot;
	assert_wrong("a resident page's slot is another's");
	fr->fr_slot = NO_SLOT;
	pg->pg_swap.sw_stamps[slot].st_owner++;
	assert_wrong("a swapped page's slot is another's");
	pg->pg_swap.sw_stamps[slot].st_owner--;
	fixture_check(&fx);
}

static void
test_sums(void **state)
{
	struct vmpager *pg = fx.fx_pager;
	uint32_t slot = swap_alloc(&pg->pg_swap);
	uint32_t frame = frame_get(&pg->pg_pool, 0);

	(void)state;
	assert_int_not_equal(slot, NO_SLOT);
	assert_int_not_equal(frame, NO_FRAME);
	/* A frame in somebody's hands isn't lost: no sums are compared. */
	assert_int_equal(vmpager_check(pg, NULL), 0);
	pg->pg_pool.fp_frames[frame].fr_owner = map_owner(fx.fx_map, 5);
	assert_wrong("frames belong to pages that aren't resident");
	frame_put(&pg->pg_pool, frame);
	assert_wrong("slots are taken by no page");
	swap_free(&pg->pg_swap, slot);
	(void)atomic_fetch_add(&pg->pg_commit, COMMIT_PAGE);
	assert_wrong("the count of registered pages is wrong");
	(void)atomic_fetch_sub(&pg->pg_commit, COMMIT_PAGE);
	fixture_check(&fx);
}

/* Pinned pages are in use: they are skipped, and so are the sums. */
static void
test_pinned_pages_are_skipped(void **state)
{
	pte_t *ptep = &fx.fx_map->mp_ptes[2];

	(void)state;
	(void)atomic_fetch_add(ptep, PTE_PIN);
	assert_int_equal(vmpager_check(fx.fx_pager, NULL), 0);
	pte_unpin(ptep);
	fixture_check(&fx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_entries),
		TEST(test_frames_and_slots),
		TEST(test_sums),
		TEST(test_pinned_pages_are_skipped),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
