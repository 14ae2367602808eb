/*
 * Goal: each replacement policy finds victims, whatever is done; keeps what it
 * says it keeps; and can be changed at any moment.  Advice does what vmpager.h
 * says, and never changes a byte.
 * Method: reference strings whose misses are known or bounded (a scan beside a
 * working set, a loop slightly larger than memory), random work beside an image
 * with the policy changed all the time; in software mode, where every access is
 * seen.
 */
#include "config.h"

#include "unit/pager_fixture.h"

#include <errno.h>
#include <stdatomic.h>

#include "util/pattern.h"
#include "util/rng.h"

#define SEED 31u

static const char *const policies[] = { "clock", "s3fifo", "random2" };
#define POLICIES 3u

static struct fixture fx;

static vmem_addr_t
at(uint64_t page)
{
	return (BASE + page * PAGE);
}

static void
open_with(const char *policy, uint64_t frames, uint64_t pages)
{
	fx = fixture_open(frames, 2 * pages, VMPAGER_OVERCOMMIT, NULL, pages);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, pages * PAGE), 0);
	assert_int_equal(vmpager_set_replacement(fx.fx_pager, policy), 0);
	assert_string_equal(vmpager_replacement(fx.fx_pager), policy);
}

static void
touch(uint64_t page)
{
	struct vmpager_touched pt;

	assert_int_equal(vmpager_touch(fx.fx_map, at(page), 1, true, &pt), 0);
}

static uint64_t
faults(void)
{
	struct vmpager_stat ps;

	vmpager_stat(fx.fx_pager, &ps);
	return (ps.ps_faults_minor + ps.ps_faults_major);
}

/* ---- policies -------------------------------------------------------------*/

static void
test_names(void **state)
{
	(void)state;
	open_with("clock", 8, 16);
	assert_int_equal(
	    vmpager_set_replacement(fx.fx_pager, "lru"), EINVAL);
	assert_int_equal(vmpager_set_replacement(fx.fx_pager, ""), EINVAL);
	assert_string_equal(vmpager_replacement(fx.fx_pager), "clock");
	fixture_close(&fx);
}

/* A loop of 1.25 times the frames: clock misses always, 2-random in proportion,
 * S3-FIFO no more often, since what its main queue evicts is on trial again. */
static double
loop_misses(const char *policy)
{
	const uint64_t frames = 256, pages = 320, rounds = 20;
	uint64_t before;

	open_with(policy, frames, pages);
	for (uint64_t page = 0; page < 2 * pages; page++)
		touch(page % pages);
	before = faults();
	for (uint64_t i = 0; i < rounds * pages; i++)
		touch(i % pages);
	before = faults() - before;
	fixture_close(&fx);
	return ((double)before / (double)(rounds * pages));
}

static void
test_loop(void **state)
{
	double misses[POLICIES];

	(void)state;
	for (unsigned int i = 0; i < POLICIES; i++) {
		misses[i] = loop_misses(policies[i]);
		printf("loop of 1.25: %s misses %.3f\n", policies[i], misses[i]);
	}
	assert_true(misses[0] > 0.95);
	assert_true(misses[1] < 0.6);
	assert_true(misses[2] < 0.8);
}

/* A working set of half the frames, accessed again and again, and between two
 * of its rounds a long scan of pages that are never seen again.  S3-FIFO must
 * keep the set; how the others fare is printed. */
static double
scan_misses(const char *policy)
{
	const uint64_t frames = 256, set = 128, scan = 512, rounds = 12;
	uint64_t next = set, count = 0, before;

	open_with(policy, frames, set + rounds * scan);
	for (int i = 0; i < 4; i++)
		for (uint64_t page = 0; page < set; page++)
			touch(page);
	for (uint64_t round = 0; round < rounds; round++) {
		for (uint64_t i = 0; i < scan; i++)
			touch(next++);
		before = faults();
		for (uint64_t page = 0; page < set; page++)
			touch(page);
		/* The first rounds are for the policy to find out. */
		if (round >= rounds / 2)
			count += faults() - before;
	}
	fixture_close(&fx);
	return ((double)count / (double)(set * rounds / 2));
}

static void
test_scan(void **state)
{
	double misses;

	(void)state;
	for (unsigned int i = 0; i < POLICIES; i++) {
		misses = scan_misses(policies[i]);
		printf("set beside scans: %s misses %.3f\n", policies[i],
		    misses);
		if (strcmp(policies[i], "s3fifo") == 0)
			assert_true(misses < 0.05);
	}
}

/* Refaults: what comes back after fewer evictions than there are frames, and
 * nothing else. */
static void
test_refaults(void **state)
{
	struct vmpager_stat ps;

	(void)state;
	open_with("clock", 64, 1024);
	for (uint64_t page = 0; page < 80; page++)
		touch(page);
	for (uint64_t page = 0; page < 8; page++)
		touch(page);
	vmpager_stat(fx.fx_pager, &ps);
	assert_int_equal(ps.ps_refaults, 8);
	for (uint64_t page = 100; page < 1000; page++)
		touch(page);
	for (uint64_t page = 0; page < 8; page++)
		touch(page);
	vmpager_stat(fx.fx_pager, &ps);
	assert_int_equal(ps.ps_refaults, 8);
	assert_int_equal(ps.ps_accesses, 80 + 8 + 900 + 8);
	fixture_close(&fx);
}

#define IMAGE_PAGES 96u

/* Whatever the policy, and while it changes, bytes stay what they were; on so
 * few frames that all are pinned, or dirty without a slot, now and then. */
static void
change_and_work(uint64_t frames, uint64_t slots)
{
	static uint64_t image[IMAGE_PAGES];
	struct rng rng;
	uint64_t page, value;
	int error;

	rng_init(&rng, SEED);
	memset(image, 0, sizeof(image));
	fx = fixture_open(
	    frames, slots, VMPAGER_OVERCOMMIT, NULL, IMAGE_PAGES);
	for (page = 0; page < IMAGE_PAGES; page += 8)
		assert_int_equal(
		    vmpager_register(fx.fx_map, at(page), 8 * PAGE), 0);
	for (int i = 0; i < 30000; i++) {
		page = rng_below(&rng, IMAGE_PAGES);
		if (i % 97 == 0)
			assert_int_equal(vmpager_set_replacement(fx.fx_pager,
			    policies[rng_below(&rng, POLICIES)]), 0);
		if (i % 61 == 0) {
			page -= page % 8;
			vmpager_unregister(fx.fx_map, at(page), 8 * PAGE);
			assert_int_equal(vmpager_register(
			    fx.fx_map, at(page), 8 * PAGE), 0);
			memset(image + page, 0, 8 * sizeof(image[0]));
		}
		error = vmpager_read(
		    fx.fx_map, at(page) + 8, &value, sizeof(value));
		if (error == 0)
			assert_int_equal(value, image[page]);
		value = (uint64_t)i;
		if (error == 0 && rng_below(&rng, 2) == 0)
			error = vmpager_write(
			    fx.fx_map, at(page) + 8, &value, sizeof(value));
		else
			value = image[page];
		if (error == 0)
			image[page] = value;
		else
			assert_int_equal(error, ENOMEM);
		if (i % 1000 == 0)
			fixture_check(&fx);
	}
	fixture_close(&fx);
}

static void
test_policies_change(void **state)
{
	(void)state;
	change_and_work(24, 256);
	change_and_work(3, 256);
	change_and_work(1, 256);
	change_and_work(24, 40);
}

/* ---- advice ---------------------------------------------------------------*/

static uint64_t
advise(uint64_t page, uint64_t count, enum vmpager_advice advice)
{
	uint64_t affected = 4242;

	assert_int_equal(vmpager_advise(fx.fx_map, at(page), count * PAGE,
			     advice, &affected), 0);
	return (affected);
}

static void
fill(uint64_t page, uint64_t count)
{
	unsigned char bytes[VMPAGER_PAGE];

	for (uint64_t p = page; p < page + count; p++) {
		pattern_fill(bytes, PAGE, at(p), SEED);
		assert_int_equal(
		    vmpager_write(fx.fx_map, at(p), bytes, PAGE), 0);
	}
}

static void
verify(uint64_t page, uint64_t count)
{
	unsigned char bytes[VMPAGER_PAGE];

	for (uint64_t p = page; p < page + count; p++) {
		assert_int_equal(
		    vmpager_read(fx.fx_map, at(p), bytes, PAGE), 0);
		assert_true(pattern_verify(bytes, PAGE, at(p), SEED, NULL));
	}
}

static void
test_advise_dontneed_and_prefetch(void **state)
{
	struct vmpager_stat ps;
	uint64_t before;

	(void)state;
	open_with("clock", 64, 128);
	fill(0, 16);
	assert_int_equal(advise(0, 16, VMPAGER_DONTNEED), 16);
	assert_string_equal(
	    fixture_states(&fx, 0, 18), "sssssssssssssssszz");
	assert_int_equal(advise(0, 16, VMPAGER_DONTNEED), 0);
	assert_int_equal(advise(0, 18, VMPAGER_PREFETCH), 18);
	assert_string_equal(
	    fixture_states(&fx, 0, 18), "rrrrrrrrrrrrrrrrrr");
	assert_int_equal(advise(0, 18, VMPAGER_PREFETCH), 0);
	before = faults();
	verify(0, 16);
	assert_int_equal(faults(), before);
	assert_int_equal(advise(16, 2, VMPAGER_DONTNEED), 2);
	vmpager_stat(fx.fx_pager, &ps);
	assert_int_equal(ps.ps_prefetched, 18);
	assert_int_equal(ps.ps_prefetch_hits, 16);
	assert_int_equal(ps.ps_prefetch_waste, 2);
	/* More than there are frames isn't an error. */
	assert_true(advise(0, 128, VMPAGER_PREFETCH) > 0);
	verify(0, 16);
	fixture_close(&fx);
}

static void
test_advise_pin(void **state)
{
	uint64_t affected = 0;
	struct vmpager_stat ps;

	(void)state;
	for (unsigned int i = 0; i < POLICIES; i++) {
		open_with(policies[i], 16, 128);
		fill(0, 8);
		assert_int_equal(advise(0, 8, VMPAGER_PIN), 8);
		assert_int_equal(advise(0, 8, VMPAGER_PIN), 0);
		vmpager_stat(fx.fx_pager, &ps);
		assert_int_equal(ps.ps_pinned_pages, 8);
		for (int round = 0; round < 5; round++)
			for (uint64_t page = 8; page < 128; page++)
				touch(page);
		assert_string_equal(fixture_states(&fx, 0, 8), "dddddddd");
		assert_int_equal(advise(0, 8, VMPAGER_DONTNEED), 0);
		/* Twelve of sixteen, and no more. */
		assert_int_equal(vmpager_advise(fx.fx_map, at(8), 8 * PAGE,
				     VMPAGER_PIN, &affected), ENOMEM);
		assert_int_equal(affected, 4);
		assert_int_equal(advise(0, 4, VMPAGER_UNPIN), 4);
		assert_int_equal(advise(0, 4, VMPAGER_UNPIN), 0);
		/* What goes is unpinned. */
		vmpager_unregister(fx.fx_map, at(4), 8 * PAGE);
		vmpager_stat(fx.fx_pager, &ps);
		assert_int_equal(ps.ps_pinned_pages, 0);
		verify(0, 4);
		fixture_close(&fx);
	}
}

static void
test_advise_refusals(void **state)
{
	uint64_t affected;

	(void)state;
	fx = fixture_open(8, 64, VMPAGER_OVERCOMMIT, NULL, 32);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, 4 * PAGE), 0);
	for (int advice = 0; advice < 4; advice++) {
		assert_int_equal(vmpager_advise(fx.fx_map, at(8), PAGE,
		    (enum vmpager_advice)advice, &affected), EFAULT);
		assert_int_equal(vmpager_advise(fx.fx_map, at(3), 2 * PAGE,
		    (enum vmpager_advice)advice, &affected), EFAULT);
		assert_int_equal(vmpager_advise(fx.fx_map, at(3), 0,
		    (enum vmpager_advice)advice, &affected), 0);
		assert_int_equal(affected, 0);
	}
	assert_int_equal(vmpager_advise(
	    fx.fx_map, at(0), PAGE, (enum vmpager_advice)4, NULL), EINVAL);
	fixture_close(&fx);
}

/* ---- threads --------------------------------------------------------------*/

#define THREADS 4u

static atomic_bool wrong;

/* Each has pages of its own, and gives advice on everybody's. */
static void *
advise_and_work(void *arg)
{
	uint64_t first = *(const unsigned int *)arg * 32u, version[32] = { 0 };
	unsigned char bytes[VMPAGER_PAGE];
	struct rng rng;

	rng_init(&rng, SEED + first);
	for (int i = 0; i < 6000 && !atomic_load(&wrong); i++) {
		uint64_t mine = rng_below(&rng, 32);
		vmem_addr_t addr = at(first + mine);

		(void)vmpager_advise(fx.fx_map,
		    at(rng_below(&rng, THREADS * 32 - 4)), 4 * PAGE,
		    (enum vmpager_advice)rng_below(&rng, 4), NULL);
		if (i % 500 == 0)
			(void)vmpager_set_replacement(fx.fx_pager,
			    policies[rng_below(&rng, POLICIES)]);
		if (vmpager_read(fx.fx_map, addr, bytes, PAGE) != 0 ||
		    (version[mine] != 0 && !pattern_verify(
			bytes, PAGE, addr, version[mine], NULL)))
			atomic_store(&wrong, true);
		if (i % 3 != 0)
			continue;
		pattern_fill(bytes, PAGE, addr, ++version[mine]);
		if (vmpager_write(fx.fx_map, addr, bytes, PAGE) != 0)
			atomic_store(&wrong, true);
	}
	return (NULL);
}

static void
test_threads_advise(void **state)
{
	static const unsigned int number[THREADS] = { 0, 1, 2, 3 };
	pthread_t thread[THREADS];

	(void)state;
	atomic_store(&wrong, false);
	fx = fixture_open(48, 512, VMPAGER_OVERCOMMIT, NULL, THREADS * 32);
	assert_int_equal(
	    vmpager_register(fx.fx_map, BASE, THREADS * 32 * PAGE), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL,
		    advise_and_work, (void *)(uintptr_t)&number[i]), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_false(atomic_load(&wrong));
	vmpager_unregister(fx.fx_map, BASE, THREADS * 32 * PAGE);
	fixture_close(&fx);
}

static int
threads_group(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_advise),
	};

	return (cmocka_run_group_tests_name(name, tests, NULL, NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_refaults),
		cmocka_unit_test(test_policies_change),
		cmocka_unit_test(test_advise_dontneed_and_prefetch),
		cmocka_unit_test(test_advise_pin),
		cmocka_unit_test(test_advise_refusals),
	};

	printf("seed %u\n", SEED);
	return (cmocka_run_group_tests(tests, NULL, NULL) +
	    fixture_each_mode(threads_group));
}
