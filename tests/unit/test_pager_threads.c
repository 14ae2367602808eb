/*
 * Goal: any number of threads may use the pager at once, and nothing is lost:
 * every byte read is the last one written, with four times as many pages as
 * frames; ranges that go while others access them go cleanly.
 * Method: threads with pages of their own, which they verify, and pages shared
 * by all, on which each has its own bytes; the checker runs beside them, and
 * everything is added up at the end.  Meant for ThreadSanitizer as well.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "unit/pager_fixture.h"
#include "util/pattern.h"
#include "util/rng.h"

#define THREADS 4u
#define SEED 2011u

struct worker {
	unsigned int wk_number;
	const char *wk_wrong;	/* what went wrong, or NULL */
};

static struct fixture fx;
static atomic_bool stop;

static vmem_addr_t
at(uint64_t page)
{
	return (BASE + page * PAGE);
}

/* Run fn in every thread; join; say what went wrong. */
static void
run(void *(*fn)(void *), unsigned int threads)
{
	struct worker worker[2 * THREADS];
	pthread_t thread[2 * THREADS];

	atomic_store(&stop, false);
	for (unsigned int i = 0; i < threads; i++) {
		worker[i] = (struct worker){ .wk_number = i };
		assert_int_equal(
		    pthread_create(&thread[i], NULL, fn, &worker[i]), 0);
	}
	for (unsigned int i = 0; i < threads; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	for (unsigned int i = 0; i < threads; i++)
		if (worker[i].wk_wrong != NULL)
			fail_msg("thread %u: %s", i, worker[i].wk_wrong);
}

/* ---- thrashing ------------------------------------------------------------*/

#define OWN_PAGES 64u	/* of each thread */
#define OWN_STEPS 8000

static const char *
thrash_step(struct rng *rng, unsigned int me, uint64_t *version)
{
	unsigned char bytes[VMPAGER_PAGE];
	uint64_t mine = rng_below(rng, OWN_PAGES), page;
	struct vmpager_touched pt;
	const char *why;

	page = me * OWN_PAGES + mine;
	switch (rng_below(rng, 8)) {
	case 0:
	case 1:
	case 2:
		version[mine]++;
		pattern_fill(bytes, PAGE, at(page), version[mine]);
		if (vmpager_write(fx.fx_map, at(page), bytes, PAGE) != 0)
			return ("write failed");
		return (NULL);
	case 3:
		if (vmpager_touch(fx.fx_map, at(me * OWN_PAGES), 8 * PAGE,
			false, &pt) != 0)
			return ("touch failed");
		return (NULL);
	case 4:
		if (rng_below(rng, 100) == 0 &&
		    vmpager_check(fx.fx_pager, &why) != 0)
			return (why);
		return (NULL);
	default:
		if (vmpager_read(fx.fx_map, at(page), bytes, PAGE) != 0)
			return ("read failed");
		if (version[mine] != 0 && !pattern_verify(bytes, PAGE,
			at(page), version[mine], NULL))
			return ("bytes are lost");
		return (NULL);
	}
}

static void *
thrash(void *arg)
{
	struct worker *wk = arg;
	uint64_t version[OWN_PAGES] = { 0 };
	struct rng rng;

	rng_init(&rng, SEED + wk->wk_number);
	for (int i = 0; i < OWN_STEPS && wk->wk_wrong == NULL; i++)
		wk->wk_wrong = thrash_step(&rng, wk->wk_number, version);
	return (NULL);
}

static void
thrash_on(uint64_t frames, uint64_t slots, enum vmpager_commit commit)
{
	const uint64_t pages = THREADS * OWN_PAGES;

	fx = fixture_open(frames, slots, commit, NULL, pages);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, pages * PAGE), 0);
	run(thrash, THREADS);
	fixture_close(&fx);
}

static void
test_thrashing_four_times_the_frames(void **state)
{
	(void)state;
	thrash_on(OWN_PAGES, THREADS * OWN_PAGES, VMPAGER_OVERCOMMIT);
}

/* Not one page to spare: all frames dirty and the swap full, all the time. */
static void
test_thrashing_strict_to_the_last_page(void **state)
{
	(void)state;
	thrash_on(OWN_PAGES, (THREADS - 1) * OWN_PAGES, VMPAGER_STRICT);
}

/* As many frames as threads: pins take them all now and then. */
static void
test_thrashing_on_a_frame_each(void **state)
{
	(void)state;
	thrash_on(THREADS, THREADS * OWN_PAGES, VMPAGER_OVERCOMMIT);
}

/* ---- the same pages -------------------------------------------------------*/

#define SHARED_PAGES 24u
#define SHARED_STEPS 8000

/* On every page each thread has a counter of its own, in a line of its own;
 * what it adds to them must be there when they are summed up. */
static void *
share(void *arg)
{
	struct worker *wk = arg;
	uint64_t mine[SHARED_PAGES] = { 0 }, value;
	vmem_addr_t addr;
	struct rng rng;

	rng_init(&rng, SEED + wk->wk_number);
	for (int i = 0; i < SHARED_STEPS; i++) {
		uint64_t page = rng_below(&rng, SHARED_PAGES);

		addr = at(page) + wk->wk_number * 64;
		if (vmpager_read(fx.fx_map, addr, &value, sizeof(value)) != 0 ||
		    value != mine[page])
			wk->wk_wrong = "a counter isn't what it was";
		value = ++mine[page];
		if (vmpager_write(fx.fx_map, addr, &value, sizeof(value)) != 0)
			wk->wk_wrong = "write failed";
		if (wk->wk_wrong != NULL)
			break;
	}
	return (NULL);
}

static void
test_threads_share_pages(void **state)
{
	(void)state;
	fx = fixture_open(
	    8, SHARED_PAGES, VMPAGER_OVERCOMMIT, NULL, SHARED_PAGES);
	assert_int_equal(
	    vmpager_register(fx.fx_map, BASE, SHARED_PAGES * PAGE), 0);
	run(share, 2 * THREADS);
	fixture_close(&fx);
}

/* ---- magazines ------------------------------------------------------------*/

#define MANY 4096u	/* frames: so many that CPUs have magazines */
#define MANY_ROUNDS 20

/* Each has a quarter of all the frames there are, and gives parts of it back in
 * between: what is in some CPU's magazine mustn't be missing elsewhere. */
static void *
take_and_give(void *arg)
{
	struct worker *wk = arg;
	uint64_t first = wk->wk_number * (MANY / THREADS), part;
	struct vmpager_touched pt;
	struct rng rng;

	rng_init(&rng, SEED + wk->wk_number);
	for (int i = 0; i < MANY_ROUNDS && wk->wk_wrong == NULL; i++) {
		for (uint64_t page = 0; page < MANY / THREADS; page++)
			if (vmpager_touch(fx.fx_map, at(first + page), 1, true,
				&pt) != 0)
				wk->wk_wrong = "refused a frame";
		part = rng_below(&rng, MANY / THREADS) + 1;
		vmpager_unregister(fx.fx_map, at(first), part * PAGE);
		if (vmpager_register(fx.fx_map, at(first), part * PAGE) != 0)
			wk->wk_wrong = "register failed";
		if (wk->wk_number == 0 && vmpager_check(fx.fx_pager, NULL) != 0)
			wk->wk_wrong = "check";
	}
	return (NULL);
}

static void
test_magazines_keep_nothing_back(void **state)
{
	(void)state;
	fx = fixture_open(MANY, NO_SWAP, VMPAGER_STRICT, NULL, MANY);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, MANY * PAGE), 0);
	run(take_and_give, THREADS);
	fixture_close(&fx);
}

/* ---- first touches --------------------------------------------------------*/

#define FIRST_PAGES 48u
#define FIRST_STEPS 4000

static _Atomic uint64_t first_faults;	/* that touches have told of */

static const char *
first_step(struct rng *rng, unsigned int me)
{
	uint64_t page = rng_below(rng, FIRST_PAGES);
	uint64_t count = 1 + rng_below(rng, FIRST_PAGES - page), affected;
	struct vmpager_touched pt;
	const char *why;

	if (me == 0 && vmpager_check(fx.fx_pager, &why) != 0)
		return (why);
	if (rng_below(rng, 4) == 0)
		return (vmpager_advise(fx.fx_map, at(page), count * PAGE,
			    VMPAGER_DONTNEED, &affected) == 0 ? NULL :
			"advise failed");
	if (vmpager_touch(fx.fx_map, at(page), count * PAGE, false, &pt) != 0)
		return ("touch failed");
	(void)atomic_fetch_add(&first_faults, pt.pt_minor);
	return (pt.pt_major == 0 ? NULL : "a page of zeros was in the swap");
}

static void *
first_touches(void *arg)
{
	struct worker *wk = arg;
	struct rng rng;

	rng_init(&rng, SEED + wk->wk_number);
	for (int i = 0; i < FIRST_STEPS && wk->wk_wrong == NULL; i++)
		wk->wk_wrong = first_step(&rng, wk->wk_number);
	return (NULL);
}

/* Who comes second gives the frame back that it has filled; each page that has
 * turned up is one fault, and the checker is never in doubt.  (A touch in the
 * modes of the MMU tells what it saw before it touched.) */
static void
test_first_touches_race(void **state)
{
	struct vmpager_stat ps;

	(void)state;
	for (int i = 0; i < 2; i++) {
		fx = fixture_open(FIRST_PAGES + 2 * THREADS * 16, 16,
		    VMPAGER_OVERCOMMIT, NULL, FIRST_PAGES);
		assert_int_equal(vmpager_set_replacement(
				     fx.fx_pager, i == 0 ? "clock" : "s3fifo"), 0);
		assert_int_equal(
		    vmpager_register(fx.fx_map, BASE, FIRST_PAGES * PAGE), 0);
		atomic_store(&first_faults, 0);
		run(first_touches, THREADS);
		vmpager_stat(fx.fx_pager, &ps);
		if (fixture_mode == VMPAGER_SOFTWARE)
			assert_int_equal(
			    ps.ps_faults_zero, atomic_load(&first_faults));
		fixture_close(&fx);
	}
}

/* ---- ranges that go -------------------------------------------------------*/

#define GOING_PAGES 8u
#define GUARD 2u	/* never registered: an access reaches that far */
#define OTHER_PAGES 64u
#define GOING_ROUNDS 3000

static int
zeros_or_own(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	bool *wrong = arg;

	(void)addr;
	for (size_t i = 0; i < len; i++)
		*wrong |= ((const unsigned char *)bytes)[i] != 0;
	return (0);
}

/*
 * Thread 0 registers and unregisters, the whole or by halves; the others read
 * and touch regardless.  What they get is EFAULT or zeros, for it is never
 * written to: anything else would be another page's.  A range filled with such
 * other pages lies beside.
 */
static void *
go_and_access(void *arg)
{
	struct worker *wk = arg;
	struct vmpager_touched pt;
	bool wrong = false;
	struct rng rng;
	int error;

	rng_init(&rng, SEED + wk->wk_number);
	for (int i = 0; wk->wk_number == 0 && i < GOING_ROUNDS; i++) {
		error = vmpager_register(fx.fx_map, BASE, GOING_PAGES * PAGE);
		if (error != 0)
			wk->wk_wrong = "register failed";
		(void)vmpager_touch(
		    fx.fx_map, BASE, GOING_PAGES * PAGE, true, &pt);
		if (i % 2 == 0) {
			vmpager_unregister(
			    fx.fx_map, at(GOING_PAGES / 2), 4 * PAGE);
			vmpager_unregister(fx.fx_map, BASE, 4 * PAGE);
		} else
			vmpager_unregister(
			    fx.fx_map, BASE, GOING_PAGES * PAGE);
	}
	if (wk->wk_number == 0)
		atomic_store(&stop, true);
	while (!atomic_load(&stop)) {
		uint64_t page = rng_below(&rng, GOING_PAGES + OTHER_PAGES);

		if (page >= GOING_PAGES) {
			error = vmpager_write(fx.fx_map,
			    at(page + GUARD) + wk->wk_number * 64, "junk", 4);
			if (error != 0)
				wk->wk_wrong = "another page's write failed";
			continue;
		}
		error = vmpager_access(fx.fx_map, at(page) + 10,
		    rng_below(&rng, 2 * PAGE) + 1, false, zeros_or_own, &wrong);
		if (error != 0 && error != EFAULT)
			wk->wk_wrong = "neither EFAULT nor data";
		if (wrong)
			wk->wk_wrong = "another page's bytes";
	}
	return (NULL);
}

static void
test_unregister_races_with_access(void **state)
{
	(void)state;
	fx = fixture_open(16, 256, VMPAGER_OVERCOMMIT, NULL, 128);
	assert_int_equal(
	    vmpager_register(fx.fx_map, at(GOING_PAGES + GUARD),
		OTHER_PAGES * PAGE), 0);
	run(go_and_access, THREADS);
	fixture_close(&fx);
}

/* ---- waiting for who is inside --------------------------------------------*/

static atomic_bool inside, left;

/* Stay until the other thread must be waiting, or would have to have gone past:
 * how long doesn't matter, only that it doesn't return first. */
static int
linger(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	(void)arg;
	(void)addr;
	(void)len;
	atomic_store(&inside, true);
	for (int i = 0; i < 2000; i++)
		(void)sched_yield();
	memset(bytes, 1, len);
	atomic_store(&left, true);
	return (0);
}

static void *
linger_or_unregister(void *arg)
{
	struct worker *wk = arg;

	if (wk->wk_number == 0) {
		if (vmpager_access(fx.fx_map, BASE, PAGE, true, linger, NULL))
			wk->wk_wrong = "access failed";
		return (NULL);
	}
	while (!atomic_load(&inside))
		(void)sched_yield();
	vmpager_unregister(fx.fx_map, BASE, PAGE);
	if (!atomic_load(&left))
		wk->wk_wrong = "unregistered under an access";
	return (NULL);
}

static void
test_unregister_waits_for_access(void **state)
{
	(void)state;
	fx = fixture_open(2, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 16);
	for (int i = 0; i < 20; i++) {
		atomic_store(&inside, false);
		atomic_store(&left, false);
		assert_int_equal(vmpager_register(fx.fx_map, BASE, PAGE), 0);
		run(linger_or_unregister, 2);
	}
	fixture_close(&fx);
}

/* ---- the same range -------------------------------------------------------*/

static _Atomic unsigned int holders;

/* All want overlapping ranges; who gets one has it alone until it gives it
 * back, and it reads as zeros each time. */
static void *
grab(void *arg)
{
	struct worker *wk = arg;
	struct rng rng;
	uint64_t value;

	rng_init(&rng, SEED + wk->wk_number);
	for (int i = 0; i < 3000 && wk->wk_wrong == NULL; i++) {
		/* Every one of these has pages 4 and 5. */
		uint64_t first = rng_below(&rng, 5);
		uint64_t end = 6 + rng_below(&rng, 5);

		if (vmpager_register(
			fx.fx_map, at(first), (end - first) * PAGE) != 0)
			continue;
		if (atomic_fetch_add(&holders, 1) != 0)
			wk->wk_wrong = "two have the same page";
		if (vmpager_read(fx.fx_map, at(4), &value, 8) != 0 ||
		    value != 0)
			wk->wk_wrong = "not zeros";
		value = 1;
		if (vmpager_write(fx.fx_map, at(4), &value, 8) != 0)
			wk->wk_wrong = "write failed";
		(void)atomic_fetch_sub(&holders, 1);
		vmpager_unregister(
		    fx.fx_map, at(first), (end - first) * PAGE);
	}
	return (NULL);
}

static void
test_registering_is_exclusive(void **state)
{
	(void)state;
	fx = fixture_open(4, 64, VMPAGER_OVERCOMMIT, NULL, 16);
	run(grab, THREADS);
	fixture_close(&fx);
}

/* ---- maps that go ---------------------------------------------------------*/

/* Each thread makes maps, fills and destroys them; their frames are evicted by
 * the others, who must not run into what is gone. */
static void *
come_and_go(void *arg)
{
	struct worker *wk = arg;
	unsigned char bytes[VMPAGER_PAGE];
	struct vmpager_map *map;
	vmem_addr_t base = at((wk->wk_number + 1) * 1000);

	for (int i = 0; i < 200 && wk->wk_wrong == NULL; i++) {
		if (vmpager_map_create(
			fx.fx_pager, base, 24 * PAGE, &map) != 0) {
			wk->wk_wrong = "no map";
			break;
		}
		if (vmpager_register(map, base, 24 * PAGE) != 0)
			wk->wk_wrong = "register failed";
		for (uint64_t p = 0; p < 24; p++) {
			pattern_fill(bytes, PAGE, base + p * PAGE, SEED);
			if (vmpager_write(map, base + p * PAGE, bytes, PAGE))
				wk->wk_wrong = "write failed";
		}
		for (uint64_t p = 0; p < 24; p++) {
			if (vmpager_read(map, base + p * PAGE, bytes, PAGE))
				wk->wk_wrong = "read failed";
			else if (!pattern_verify(
				bytes, PAGE, base + p * PAGE, SEED, NULL))
				wk->wk_wrong = "bytes are lost";
		}
		vmpager_map_destroy(map);
		if (i % 20 == 0 && vmpager_check(fx.fx_pager, NULL) != 0)
			wk->wk_wrong = "check";
	}
	return (NULL);
}

static void
test_maps_come_and_go(void **state)
{
	(void)state;
	fixture_room = (THREADS + 1) * 1000;
	fx = fixture_open(16, 256, VMPAGER_OVERCOMMIT, NULL, 16);
	fixture_room = 0;
	run(come_and_go, THREADS);
	fixture_close(&fx);
}

static int
group(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thrashing_four_times_the_frames),
		cmocka_unit_test(test_thrashing_strict_to_the_last_page),
		cmocka_unit_test(test_thrashing_on_a_frame_each),
		cmocka_unit_test(test_threads_share_pages),
		cmocka_unit_test(test_magazines_keep_nothing_back),
		cmocka_unit_test(test_first_touches_race),
		cmocka_unit_test(test_unregister_races_with_access),
		cmocka_unit_test(test_unregister_waits_for_access),
		cmocka_unit_test(test_registering_is_exclusive),
		cmocka_unit_test(test_maps_come_and_go),
	};

	return (cmocka_run_group_tests_name(name, tests, NULL, NULL));
}

int
main(void)
{
	printf("seed %u\n", SEED);
	return (fixture_each_mode(group));
}
