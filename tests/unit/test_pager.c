/*
 * Goal: the pager keeps the contract of vmpager.h, clause by clause, and the
 * PITFALLS (§2) that concern paging in software don't happen.
 * Method: few frames and slots, one thread, one clause a test; every test ends
 * with the checker and with nothing left (fixture_close).
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/pager_fixture.h"
#include "util/pattern.h"

#define SEED 4711

static struct fixture fx;
static unsigned char page_bytes[VMPAGER_PAGE];

static vmem_addr_t
at(uint64_t page)
{
	return (BASE + page * PAGE);
}

static int
touch(uint64_t page, uint64_t count, bool write)
{
	struct vmpager_touched pt;

	return (vmpager_touch(
	    fx.fx_map, at(page), count * PAGE, write, &pt));
}

static void
put(uint64_t page)
{
	pattern_fill(page_bytes, PAGE, at(page), SEED);
	assert_int_equal(
	    vmpager_write(fx.fx_map, at(page), page_bytes, PAGE), 0);
}

static void
expect(uint64_t page)
{
	assert_int_equal(
	    vmpager_read(fx.fx_map, at(page), page_bytes, PAGE), 0);
	assert_true(
	    pattern_verify(page_bytes, PAGE, at(page), SEED, NULL));
}

static struct vmpager_stat
stat_now(void)
{
	struct vmpager_stat ps;

	vmpager_stat(fx.fx_pager, &ps);
	return (ps);
}

/* ---- registration ---------------------------------------------------------*/

static void
test_register_reads_zero(void **state)
{
	unsigned char buf[3 * 100];

	(void)state;
	fx = fixture_open(8, 8, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(2), 2 * PAGE), 0);
	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(
	    vmpager_read(fx.fx_map, at(3) - 150, buf, sizeof(buf)), 0);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0);
	fixture_close(&fx);
}

static void
test_states(void **state)
{
	(void)state;
	fx = fixture_open(2, 8, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_string_equal(fixture_states(&fx, 0, 6), "......");
	assert_int_equal(vmpager_register(fx.fx_map, at(1), 4 * PAGE), 0);
	assert_string_equal(fixture_states(&fx, 0, 6), ".zzzz.");
	assert_int_equal(touch(1, 1, false), 0);
	assert_int_equal(touch(2, 1, true), 0);
	assert_string_equal(fixture_states(&fx, 0, 6), ".rdzz.");
	/* The clean page of zeros goes back to what it was; the dirty one to
	 * the swap. */
	assert_int_equal(touch(3, 1, true), 0);
	assert_int_equal(touch(4, 1, true), 0);
	assert_string_equal(fixture_states(&fx, 0, 6), ".zsdd.");
	assert_int_equal(vmpager_page_state(fx.fx_map, BASE - 1), '.');
	assert_int_equal(vmpager_page_state(fx.fx_map, at(16)), '.');
	fixture_close(&fx);
}

static void
test_register_refusals(void **state)
{
	struct vmpager_map *map = fx.fx_map;

	(void)state;
	fx = fixture_open(8, 8, VMPAGER_OVERCOMMIT, NULL, 16);
	map = fx.fx_map;
	assert_int_equal(vmpager_register(map, at(4), 4 * PAGE), 0);
	assert_int_equal(vmpager_register(map, at(4), PAGE), EEXIST);
	assert_int_equal(vmpager_register(map, at(7), 2 * PAGE), EEXIST);
	/* All or nothing: the pages before the taken one are as they were. */
	assert_int_equal(vmpager_register(map, at(1), 4 * PAGE), EEXIST);
	assert_string_equal(fixture_states(&fx, 0, 9), "....zzzz.");
	assert_int_equal(stat_now().ps_registered_pages, 4);
	assert_int_equal(stat_now().ps_map_entries, 1);
	assert_int_equal(vmpager_register(map, at(1), 0), EINVAL);
	assert_int_equal(vmpager_register(map, at(1) + 1, PAGE), EINVAL);
	assert_int_equal(vmpager_register(map, at(1), PAGE + 1), EINVAL);
	assert_int_equal(vmpager_register(map, BASE - PAGE, PAGE), EINVAL);
	assert_int_equal(vmpager_register(map, at(15), 2 * PAGE), EINVAL);
	assert_int_equal(vmpager_register(map, at(16), PAGE), EINVAL);
	assert_int_equal(
	    vmpager_register(map, at(1), UINT64_MAX - 4095), EINVAL);
	assert_true(vmpager_registered(map, at(4), 4 * PAGE));
	assert_true(vmpager_registered(map, at(4) + 5, 7));
	assert_false(vmpager_registered(map, at(4), 4 * PAGE + 1));
	assert_false(vmpager_registered(map, at(4) - 1, 2));
	assert_false(vmpager_registered(map, 0, 1));
	fixture_close(&fx);
}

/* Parts of ranges may go; what stays are ranges, and are counted as such. */
static void
test_partial_unregister_counts_ranges(void **state)
{
	(void)state;
	fx = fixture_open(8, 8, VMPAGER_OVERCOMMIT, NULL, 32);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 10 * PAGE), 0);
	assert_int_equal(vmpager_register(fx.fx_map, at(10), 2 * PAGE), 0);
	assert_int_equal(touch(0, 12, true), 0);
	assert_int_equal(stat_now().ps_map_entries, 2);
	vmpager_unregister(fx.fx_map, at(4), 2 * PAGE);	/* the middle */
	assert_int_equal(stat_now().ps_map_entries, 3);
	fixture_check(&fx);
	vmpager_unregister(fx.fx_map, at(0), PAGE);	/* the head */
	assert_int_equal(stat_now().ps_map_entries, 3);
	fixture_check(&fx);
	vmpager_unregister(fx.fx_map, at(9), PAGE);	/* a tail */
	assert_int_equal(stat_now().ps_map_entries, 3);
	fixture_check(&fx);
	vmpager_unregister(fx.fx_map, at(1), 3 * PAGE);	/* a whole */
	assert_int_equal(stat_now().ps_map_entries, 2);
	assert_int_equal(stat_now().ps_registered_pages, 5);
	vmpager_unregister(fx.fx_map, at(6), 3 * PAGE);
	vmpager_unregister(fx.fx_map, at(10), 2 * PAGE);
	assert_int_equal(stat_now().ps_map_entries, 0);
	fixture_close(&fx);
}

/* What was in an unregistered range doesn't come back with the next one. */
static void
test_unregister_forgets(void **state)
{
	(void)state;
	fx = fixture_open(2, 8, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 6 * PAGE), 0);
	for (uint64_t page = 0; page < 6; page++)
		put(page);
	vmpager_unregister(fx.fx_map, at(0), 6 * PAGE);
	assert_int_equal(stat_now().ps_swap_used_bytes, 0);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 6 * PAGE), 0);
	for (uint64_t page = 0; page < 6; page++) {
		assert_int_equal(vmpager_read(
				     fx.fx_map, at(page), page_bytes, PAGE), 0);
		for (size_t i = 0; i < PAGE; i++)
			assert_int_equal(page_bytes[i], 0);
	}
	fixture_close(&fx);
}

/* ---- accesses -------------------------------------------------------------*/

static void
test_efault_at_every_edge(void **state)
{
	struct vmpager_touched pt = { 77, 77, 77 };
	struct vmpager_map *map;
	unsigned char buf[3 * VMPAGER_PAGE] = { 0 };

	(void)state;
	fx = fixture_open(8, 8, VMPAGER_OVERCOMMIT, NULL, 16);
	map = fx.fx_map;
	assert_int_equal(vmpager_register(map, at(4), 2 * PAGE), 0);
	assert_int_equal(vmpager_read(map, at(4) - 1, buf, 1), EFAULT);
	assert_int_equal(vmpager_read(map, at(4) - 1, buf, 2), EFAULT);
	assert_int_equal(vmpager_read(map, at(6) - 1, buf, 1), 0);
	assert_int_equal(vmpager_read(map, at(6) - 1, buf, 2), EFAULT);
	assert_int_equal(vmpager_read(map, at(6), buf, 1), EFAULT);
	assert_int_equal(vmpager_read(map, BASE - 1, buf, 1), EFAULT);
	assert_int_equal(vmpager_read(map, at(16) - 1, buf, 1), EFAULT);
	assert_int_equal(vmpager_read(map, at(16), buf, 1), EFAULT);
	assert_int_equal(vmpager_read(map, 0, buf, 1), EFAULT);
	assert_int_equal(
	    vmpager_touch(map, at(4), UINT64_MAX, false, &pt), EFAULT);
	assert_int_equal(pt.pt_pages, 77);	/* written on success only */
	/* A write that runs over the end writes nothing at all. */
	memset(buf, 0x55, sizeof(buf));
	assert_int_equal(vmpager_write(map, at(5), buf, 2 * PAGE), EFAULT);
	assert_int_equal(vmpager_read(map, at(5), buf, 1), 0);
	assert_int_equal(buf[0], 0);
	/* Nothing is in no range, so it is in every one. */
	assert_int_equal(vmpager_read(map, at(12), buf, 0), 0);
	assert_int_equal(vmpager_touch(map, at(12), 0, true, &pt), 0);
	assert_int_equal(pt.pt_pages, 0);
	fixture_close(&fx);
}

static void
test_touch_counts(void **state)
{
	struct vmpager_touched pt;

	(void)state;
	fx = fixture_open(4, 8, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 8 * PAGE), 0);
	/* Two bytes, two pages. */
	assert_int_equal(
	    vmpager_touch(fx.fx_map, at(1) - 1, 2, true, &pt), 0);
	assert_int_equal(pt.pt_pages, 2);
	assert_int_equal(pt.pt_minor, 2);
	assert_int_equal(pt.pt_major, 0);
	assert_int_equal(
	    vmpager_touch(fx.fx_map, at(0), 8 * PAGE, true, &pt), 0);
	assert_int_equal(pt.pt_pages, 8);
	assert_int_equal(pt.pt_minor, 6);
	assert_int_equal(
	    vmpager_touch(fx.fx_map, at(0), PAGE, false, &pt), 0);
	assert_int_equal(pt.pt_major, 1);
	assert_int_equal(stat_now().ps_faults_zero, 8);
	assert_int_equal(stat_now().ps_faults_major, 1);
	fixture_close(&fx);
}

struct seen {
	vmem_addr_t addr[4];
	size_t len[4];
	unsigned int count;
	int answer;		/* of the second call */
};

static int
see(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	struct seen *seen = arg;

	(void)bytes;
	seen->addr[seen->count] = addr;
	seen->len[seen->count] = len;
	return (++seen->count == 2 ? seen->answer : 0);
}

static void
test_access_goes_page_by_page(void **state)
{
	struct seen seen = { .count = 0 };

	(void)state;
	fx = fixture_open(1, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 3 * PAGE), 0);
	/* One frame is enough: a page is let go before the next. */
	assert_int_equal(vmpager_access(fx.fx_map, at(0) + 100, 2 * PAGE, false,
			     see, &seen), 0);
	assert_int_equal(seen.count, 3);
	assert_true(seen.addr[0] == at(0) + 100 && seen.len[0] == PAGE - 100);
	assert_true(seen.addr[1] == at(1) && seen.len[1] == PAGE);
	assert_true(seen.addr[2] == at(2) && seen.len[2] == 100);
	memset(&seen, 0, sizeof(seen));
	seen.answer = ECANCELED;
	assert_int_equal(vmpager_access(fx.fx_map, at(0) + 100, 2 * PAGE, false,
			     see, &seen), ECANCELED);
	assert_int_equal(seen.count, 2);
	fixture_close(&fx);
}

/* ---- eviction -------------------------------------------------------------*/

static void
test_evicted_pages_come_back(void **state)
{
	(void)state;
	fx = fixture_open(4, 64, VMPAGER_OVERCOMMIT, NULL, 64);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 64 * PAGE), 0);
	for (uint64_t page = 0; page < 64; page++)
		put(page);
	fixture_check(&fx);
	for (uint64_t page = 0; page < 64; page++)
		expect(page);
	assert_true(stat_now().ps_resident_pages <= 4);
	fixture_close(&fx);
}

/* A clean page has its slot still, and goes without being written again. */
static void
test_clean_pages_are_not_rewritten(void **state)
{
	uint64_t written;

	(void)state;
	fx = fixture_open(4, 64, VMPAGER_OVERCOMMIT, NULL, 64);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 16 * PAGE), 0);
	for (uint64_t page = 0; page < 16; page++)
		put(page);
	for (uint64_t page = 0; page < 16; page++)
		expect(page);
	written = stat_now().ps_writebacks;
	for (uint64_t page = 0; page < 16; page++)
		expect(page);
	assert_int_equal(stat_now().ps_writebacks, written);
	assert_true(stat_now().ps_evictions > written);
	fixture_close(&fx);
}

/* The clock spares what has been used: a page that is touched between others
 * stays while they pass through. */
static void
test_clock_spares_the_referenced(void **state)
{
	struct vmpager_touched pt;

	(void)state;
	fx = fixture_open(4, 64, VMPAGER_OVERCOMMIT, NULL, 64);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 64 * PAGE), 0);
	put(0);
	for (uint64_t page = 1; page < 64; page++) {
		assert_int_equal(touch(page, 1, true), 0);
		assert_int_equal(
		    vmpager_touch(fx.fx_map, at(0), PAGE, false, &pt), 0);
		assert_int_equal(pt.pt_major, 0);
	}
	assert_true(stat_now().ps_reactivated > 0);
	assert_true(stat_now().ps_scanned >= stat_now().ps_evictions);
	fixture_close(&fx);
}

/* More frames than one batch, so that minimum and target come into play. */
static void
test_free_frames_are_kept(void **state)
{
	(void)state;
	fx = fixture_open(2048, 8192, VMPAGER_OVERCOMMIT, NULL, 8192);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 8192 * PAGE), 0);
	assert_int_equal(touch(0, 8192, true), 0);
	assert_true(stat_now().ps_frames_free > 0);
	assert_true(stat_now().ps_frames_free <= 16);
	fixture_close(&fx);
}

/* When every page has been referenced the hand goes round once, in slices, and
 * takes the marks; then it finds one. */
static void
test_clock_goes_round_a_large_pool(void **state)
{
	(void)state;
	fx = fixture_open(16384, 64, VMPAGER_OVERCOMMIT, NULL, 20000);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 20000 * PAGE), 0);
	/* Up to the minimum of free frames: nothing is evicted so far. */
	assert_int_equal(touch(0, 16300, true), 0);
	assert_int_equal(touch(0, 16300, false), 0);
	assert_int_equal(stat_now().ps_evictions, 0);
	assert_int_equal(touch(16300, 84 + 64, true), 0);
	assert_true(stat_now().ps_reactivated >= 16300);
	assert_int_equal(stat_now().ps_evictions, 64);
	/* The swap is full now, and so are the frames. */
	assert_int_equal(touch(19999, 1, true), ENOMEM);
	fixture_close(&fx);
}

/* ---- running out ----------------------------------------------------------*/

static void
test_no_frames_without_swap(void **state)
{
	(void)state;
	fx = fixture_open(4, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 16 * PAGE), 0);
	for (uint64_t page = 0; page < 4; page++)
		put(page);
	assert_int_equal(touch(4, 1, false), ENOMEM);
	assert_int_equal(touch(5, 1, true), ENOMEM);
	assert_int_equal(stat_now().ps_no_frames, 2);
	assert_string_equal(fixture_states(&fx, 0, 7), "ddddzzz");
	/* The others are none the worse, and room makes it good. */
	for (uint64_t page = 0; page < 4; page++)
		expect(page);
	vmpager_unregister(fx.fx_map, at(1), PAGE);
	put(4);
	expect(4);
	assert_int_equal(touch(5, 1, true), ENOMEM);
	fixture_close(&fx);
}

static void
test_swap_full_then_recovers(void **state)
{
	(void)state;
	fx = fixture_open(4, 4, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 16 * PAGE), 0);
	for (uint64_t page = 0; page < 8; page++)
		put(page);
	assert_int_equal(touch(8, 1, true), ENOMEM);
	assert_int_equal(touch(8, 1, true), ENOMEM);
	/* What exists stays reachable, all of it: pages change places. */
	for (int round = 0; round < 3; round++)
		for (uint64_t page = 0; page < 8; page++)
			expect(page);
	for (uint64_t page = 8; page-- > 0;)
		put(page);
	fixture_check(&fx);
	vmpager_unregister(fx.fx_map, at(3), PAGE);
	put(8);
	for (uint64_t page = 4; page <= 8; page++)
		expect(page);
	assert_int_equal(touch(9, 1, true), ENOMEM);
	fixture_close(&fx);
}

/* A fault that fails in the middle of a touch leaves what was done. */
static void
test_no_frames_is_the_operations_alone(void **state)
{
	(void)state;
	fx = fixture_open(4, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 16 * PAGE), 0);
	assert_int_equal(touch(0, 16, true), ENOMEM);
	assert_string_equal(fixture_states(&fx, 0, 6), "ddddzz");
	fixture_close(&fx);
}

static int
touch_from_inside(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	(void)addr;
	(void)bytes;
	(void)len;
	*(int *)arg = touch(1, 1, true);
	return (0);
}

/* With every frame pinned an access waits, but not for ever.  (Accesses aren't
 * to be nested; here it is the way to keep a pin.) */
static void
test_all_pinned_is_bounded(void **state)
{
	int inner = 0;

	(void)state;
	fx = fixture_open(1, 4, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 2 * PAGE), 0);
	assert_int_equal(vmpager_access(fx.fx_map, at(0), PAGE, true,
			     touch_from_inside, &inner), 0);
	assert_int_equal(inner, ENOMEM);
	assert_int_equal(touch(1, 1, true), 0);
	fixture_close(&fx);
}

/* The same with the swap full: the page that can't change places with another
 * stays in its slot, unharmed. */
static void
test_all_pinned_and_swap_full_is_bounded(void **state)
{
	int inner = 0;

	(void)state;
	fx = fixture_open(1, 1, VMPAGER_STRICT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 2 * PAGE), 0);
	put(1);
	put(0);
	assert_string_equal(fixture_states(&fx, 0, 2), "ds");
	assert_int_equal(vmpager_access(fx.fx_map, at(0), PAGE, true,
			     touch_from_inside, &inner), 0);
	assert_int_equal(inner, ENOMEM);
	fixture_check(&fx);
	expect(1);
	fixture_close(&fx);
}

/* ---- commit ---------------------------------------------------------------*/

static void
test_strict_commit_to_the_last_page(void **state)
{
	(void)state;
	fx = fixture_open(4, 8, VMPAGER_STRICT, NULL, 32);
	assert_int_equal(
	    vmpager_register(fx.fx_map, at(0), 13 * PAGE), ENOMEM);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 11 * PAGE), 0);
	assert_int_equal(
	    vmpager_register(fx.fx_map, at(20), 2 * PAGE), ENOMEM);
	assert_int_equal(vmpager_register(fx.fx_map, at(11), PAGE), 0);
	assert_int_equal(vmpager_register(fx.fx_map, at(20), PAGE), ENOMEM);
	/* The promise: every page can be written, and read, in any order. */
	for (int round = 0; round < 3; round++) {
		for (uint64_t page = 0; page < 12; page++)
			put(page * 5 % 12);
		for (uint64_t page = 0; page < 12; page++)
			expect(page * 7 % 12);
	}
	assert_int_equal(stat_now().ps_no_frames, 0);
	vmpager_unregister(fx.fx_map, at(5), PAGE);
	assert_int_equal(vmpager_register(fx.fx_map, at(20), PAGE), 0);
	put(20);
	fixture_close(&fx);
}

static void
test_strict_without_swap_is_the_frames(void **state)
{
	(void)state;
	fx = fixture_open(4, NO_SWAP, VMPAGER_STRICT, NULL, 32);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 5 * PAGE), ENOMEM);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 4 * PAGE), 0);
	for (uint64_t page = 0; page < 4; page++)
		put(page);
	for (uint64_t page = 0; page < 4; page++)
		expect(page);
	fixture_close(&fx);
}

static void
test_commit_policy_changes(void **state)
{
	(void)state;
	fx = fixture_open(4, 4, VMPAGER_OVERCOMMIT, NULL, 32);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 9 * PAGE), 0);
	assert_int_equal(
	    vmpager_set_commit(fx.fx_pager, VMPAGER_STRICT), ENOMEM);
	assert_int_equal(vmpager_register(fx.fx_map, at(9), PAGE), 0);
	vmpager_unregister(fx.fx_map, at(0), 2 * PAGE);
	assert_int_equal(vmpager_set_commit(fx.fx_pager, VMPAGER_STRICT), 0);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), PAGE), ENOMEM);
	assert_int_equal(
	    vmpager_set_commit(fx.fx_pager, VMPAGER_OVERCOMMIT), 0);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), PAGE), 0);
	fixture_close(&fx);
}

/* ---- pitfalls (PITFALLS section 2, by number) -----------------------------*/

static unsigned int
count_lines(const char *path)
{
	FILE *f = fopen(path, "r");
	unsigned int lines = 0;
	int c;

	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		lines += c == '\n';
	(void)fclose(f);
	return (lines);
}

static int
note_thread(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	(void)addr;
	(void)bytes;
	(void)len;
	*(pthread_t *)arg = pthread_self();
	return (0);
}

/* 2.1: a fault is handled in the thread that has it: there is no other. */
static void
test_pitfall_1_faults_stay_in_their_thread(void **state)
{
	pthread_t thread;

	(void)state;
	fx = fixture_open(1, 8, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 4 * PAGE), 0);
	for (uint64_t page = 0; page < 8; page++) {
		assert_int_equal(vmpager_access(fx.fx_map, at(page % 4), 1,
				     true, note_thread, &thread), 0);
		assert_true(pthread_equal(thread, pthread_self()));
	}
	fixture_close(&fx);
}

static int
send_bytes(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	(void)addr;
	return (write(*(int *)arg, bytes, len) == (ssize_t)len ? 0 : errno);
}

/* 2.2: system calls get bytes that are resident and pinned, never EFAULT. */
static void
test_pitfall_2_system_calls_on_swapped_pages(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	fx = fixture_open(1, 8, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 2 * PAGE), 0);
	put(0);
	put(1);
	assert_string_equal(fixture_states(&fx, 0, 2), "sd");
	assert_int_equal(vmpager_access(fx.fx_map, at(0), 2 * PAGE, false,
			     send_bytes, &fds[1]), 0);
	for (uint64_t page = 0; page < 2; page++) {
		assert_int_equal(read(fds[0], page_bytes, PAGE), PAGE);
		assert_true(
		    pattern_verify(page_bytes, PAGE, at(page), SEED, NULL));
	}
	(void)close(fds[0]);
	(void)close(fds[1]);
	fixture_close(&fx);
}

/* 2.3: alternate pages use up no kernel map entries (vm.max_map_count). */
static void
test_pitfall_3_scattered_pages_map_nothing(void **state)
{
	unsigned int before;

	(void)state;
	fx = fixture_open(64, 4096, VMPAGER_OVERCOMMIT, NULL, 8192);
	before = count_lines("/proc/self/maps");
	for (uint64_t page = 0; page < 8192; page += 2) {
		assert_int_equal(
		    vmpager_register(fx.fx_map, at(page), PAGE), 0);
		assert_int_equal(touch(page, 1, true), 0);
	}
	assert_int_equal(stat_now().ps_map_entries, 4096);
	/* The page table itself may be split by what the kernel merges. */
	assert_true(count_lines("/proc/self/maps") <= before + 4);
	fixture_close(&fx);
}

/* 2.4: a forked child must not go on with pages that it has no part in. */
static void
test_pitfall_4_fork_is_caught(void **state)
{
	const struct rlimit no_core = { 0, 0 };
	char byte;
	pid_t pid;
	int status;

	(void)state;
	fx = fixture_open(2, 8, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), PAGE), 0);
	put(0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)signal(SIGSEGV, SIG_DFL);
		_exit(vmpager_read(fx.fx_map, at(0), &byte, 1) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	expect(0);
	fixture_close(&fx);
}

/* ---- misuse ---------------------------------------------------------------*/

static jmp_buf panicked;
static char panic_text[512];

static void
catch_panic(const char *message)
{
	(void)snprintf(panic_text, sizeof(panic_text), "%s", message);
	longjmp(panicked, 1);
}

/* The pager is left as it was when it panicked, so it isn't closed. */
static void
test_unregistering_what_isnt_panics(void **state)
{
	(void)state;
	fx = fixture_open(4, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), PAGE), 0);
	vmem_set_panic(catch_panic);
	if (setjmp(panicked) == 0) {
		vmpager_unregister(fx.fx_map, at(0), 2 * PAGE);
		fail_msg("unregistered a page that wasn't");
	}
	assert_non_null(strstr(panic_text, "vmpager_unregister"));
	if (setjmp(panicked) == 0) {
		vmpager_unregister(fx.fx_map, at(1) + 1, PAGE);
		fail_msg("unregistered half a page");
	}
	vmem_set_panic(NULL);
}

static void
test_create_refusals(void **state)
{
	struct vmpager_config config = { .pc_frames_bytes = 4 * PAGE,
		.pc_swap = "none" };
	struct vmpager_map *map;
	struct vmpager *pager;

	(void)state;
	config.pc_frames_bytes = PAGE - 1;
	assert_int_equal(vmpager_create(&config, &pager), EINVAL);
	config.pc_frames_bytes = 0;
	assert_int_equal(vmpager_create(&config, &pager), EINVAL);
	config.pc_frames_bytes = 4 * PAGE;
	config.pc_mode = (enum vmpager_mode)17;
	assert_int_equal(vmpager_create(&config, &pager), EINVAL);
	config.pc_mode = VMPAGER_SOFTWARE;
	config.pc_commit = (enum vmpager_commit)2;
	assert_int_equal(vmpager_create(&config, &pager), EINVAL);
	config.pc_commit = VMPAGER_STRICT;
	assert_int_equal(vmpager_create(&config, &pager), 0);
	assert_int_equal(
	    vmpager_map_create(pager, BASE + 1, PAGE, &map), EINVAL);
	assert_int_equal(
	    vmpager_map_create(pager, BASE, PAGE + 1, &map), EINVAL);
	assert_int_equal(vmpager_map_create(pager, BASE, 0, &map), EINVAL);
	assert_int_equal(vmpager_map_create(
			     pager, UINT64_MAX - 4095, 2 * PAGE, &map), EINVAL);
	vmpager_map_destroy(NULL);
	vmpager_destroy(pager);
	vmpager_destroy(NULL);
}

/* The last page of all addresses is one like any other. */
static void
test_map_at_the_top(void **state)
{
	struct vmpager_map *map;
	unsigned char buf[4] = { 1, 2, 3, 4 }, back[4];
	const vmem_addr_t last = UINT64_MAX - (PAGE - 1);

	(void)state;
	fx = fixture_open(4, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_map_create(
			     fx.fx_pager, last - PAGE, 2 * PAGE, &map), 0);
	assert_int_equal(vmpager_register(map, last, PAGE), 0);
	assert_int_equal(vmpager_write(map, UINT64_MAX - 3, buf, 4), 0);
	assert_int_equal(vmpager_read(map, UINT64_MAX - 3, back, 4), 0);
	assert_memory_equal(buf, back, 4);
	assert_int_equal(vmpager_read(map, UINT64_MAX - 2, back, 4), EFAULT);
	vmpager_unregister(map, last, PAGE);
	vmpager_map_destroy(map);
	fixture_close(&fx);
}

/* Two maps share frames and swap, and each goes without the other. */
static void
test_maps_are_apart(void **state)
{
	struct vmpager_map *other;
	struct vmpager_stat ps;

	(void)state;
	fx = fixture_open(2, 32, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(
	    vmpager_map_create(fx.fx_pager, PAGE, 8 * PAGE, &other), 0);
	assert_int_equal(vmpager_register(fx.fx_map, at(0), 8 * PAGE), 0);
	assert_int_equal(vmpager_register(other, PAGE, 8 * PAGE), 0);
	for (uint64_t page = 0; page < 8; page++) {
		put(page);
		pattern_fill(page_bytes, PAGE, page, SEED);
		assert_int_equal(vmpager_write(other, PAGE + page * PAGE,
				     page_bytes, PAGE), 0);
	}
	fixture_check(&fx);
	vmpager_map_stat(other, &ps);
	assert_int_equal(ps.ps_registered_pages, 8);
	assert_int_equal(ps.ps_map_entries, 1);
	assert_int_equal(ps.ps_faults_zero, 8);
	vmpager_map_destroy(other);
	for (uint64_t page = 0; page < 8; page++)
		expect(page);
	/* What the destroyed one counted is in the totals still. */
	assert_int_equal(stat_now().ps_faults_zero, 16);
	fixture_close(&fx);
}

static void
test_too_many_maps(void **state)
{
	static struct vmpager_map *maps[4096];
	struct vmpager_map *map;
	size_t n = 0;

	(void)state;
	fx = fixture_open(2, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 1);
	while (n < 4096 && vmpager_map_create(fx.fx_pager, BASE, PAGE,
			       &maps[n]) == 0)
		n++;
	assert_int_equal(n, 4095);	/* and the fixture's own */
	vmpager_map_destroy(maps[--n]);
	assert_int_equal(
	    vmpager_map_create(fx.fx_pager, BASE, PAGE, &map), 0);
	vmpager_map_destroy(map);
	while (n > 0)
		vmpager_map_destroy(maps[--n]);
	fixture_close(&fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register_reads_zero),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_register_refusals),
		cmocka_unit_test(test_partial_unregister_counts_ranges),
		cmocka_unit_test(test_unregister_forgets),
		cmocka_unit_test(test_efault_at_every_edge),
		cmocka_unit_test(test_touch_counts),
		cmocka_unit_test(test_access_goes_page_by_page),
		cmocka_unit_test(test_evicted_pages_come_back),
		cmocka_unit_test(test_clean_pages_are_not_rewritten),
		cmocka_unit_test(test_clock_spares_the_referenced),
		cmocka_unit_test(test_free_frames_are_kept),
		cmocka_unit_test(test_clock_goes_round_a_large_pool),
		cmocka_unit_test(test_no_frames_without_swap),
		cmocka_unit_test(test_swap_full_then_recovers),
		cmocka_unit_test(test_no_frames_is_the_operations_alone),
		cmocka_unit_test(test_all_pinned_is_bounded),
		cmocka_unit_test(test_all_pinned_and_swap_full_is_bounded),
		cmocka_unit_test(test_strict_commit_to_the_last_page),
		cmocka_unit_test(test_strict_without_swap_is_the_frames),
		cmocka_unit_test(test_commit_policy_changes),
		cmocka_unit_test(test_pitfall_1_faults_stay_in_their_thread),
		cmocka_unit_test(test_pitfall_2_system_calls_on_swapped_pages),
		cmocka_unit_test(test_pitfall_3_scattered_pages_map_nothing),
		cmocka_unit_test(test_pitfall_4_fork_is_caught),
		cmocka_unit_test(test_unregistering_what_isnt_panics),
		cmocka_unit_test(test_create_refusals),
		cmocka_unit_test(test_map_at_the_top),
		cmocka_unit_test(test_maps_are_apart),
		cmocka_unit_test(test_too_many_maps),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
