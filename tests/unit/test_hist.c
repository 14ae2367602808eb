/*
 * Goal: the histogram counts every value once, in a bucket that holds it, with
 * quantiles within 1 % of the true ones, and merging two is the same as having
 * recorded all in one.
 * Method: every bucket's bounds; the edges of all powers of two; quantiles of
 * random values against the sorted list; merges compared member by member.
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

#include "util/hist.h"
#include "util/rng.h"

#define VALUES 20000
#define SEED 20081106u

static void
test_buckets_tile_the_range(void **state)
{
	uint64_t low, high, next = 0;

	(void)state;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		hist_bounds(i, &low, &high);
		assert_int_equal(low, next);
		assert_true(high >= low);
		assert_int_equal(hist_index(low), i);
		assert_int_equal(hist_index(high), i);
		next = high + 1;
	}
	assert_int_equal(next, 0);	/* past 2^64-1 */
}

static void
test_edges(void **state)
{
	static struct hist hi;

	(void)state;
	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t edge = UINT64_C(1) << bit;

		for (int off = -1; off <= 1; off++) {
			uint64_t value = edge + (uint64_t)(int64_t)off, got;

			hist_init(&hi);
			hist_record(&hi, value);
			got = hist_quantile(&hi, 0.5);
			assert_int_equal(got, value);
			assert_int_equal(hi.hi_min, value);
			assert_int_equal(hi.hi_max, value);
		}
	}
}

static void
test_empty_and_sum(void **state)
{
	static struct hist hi;

	(void)state;
	hist_init(&hi);
	assert_int_equal(hist_quantile(&hi, 0.5), 0);
	assert_true(hist_mean(&hi) == 0.0);
	hist_record(&hi, UINT64_MAX);
	assert_int_equal(hi.hi_sum, UINT64_MAX);
	hist_record(&hi, UINT64_MAX);
	assert_int_equal(hi.hi_sum, UINT64_MAX);	/* saturates */
	assert_int_equal(hi.hi_count, 2);
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x < y ? -1 : x > y);
}

static void
test_quantiles(void **state)
{
	static const double shares[] = { 0, .001, .25, .5, .9, .99, .999, 1 };
	static uint64_t values[VALUES];
	static struct hist hi;
	struct rng rng;

	(void)state;
	rng_init(&rng, SEED);
	hist_init(&hi);
	for (size_t i = 0; i < VALUES; i++) {
		values[i] = rng_next(&rng) >> rng_below(&rng, 64);
		hist_record(&hi, values[i]);
	}
	qsort(values, VALUES, sizeof(values[0]), compare);
	for (size_t s = 0; s < sizeof(shares) / sizeof(shares[0]); s++) {
		double exact = shares[s] * VALUES;
		size_t rank = (size_t)exact;
		uint64_t want, got = hist_quantile(&hi, shares[s]);

		if ((double)rank < exact)
			rank++;
		want = values[rank == 0 ? 0 : rank - 1];
		if (want == got)
			continue;
		assert_true((double)got >= 0.99 * (double)want);
		assert_true((double)got <= 1.01 * (double)want);
	}
}

static void
test_merge_is_exact(void **state)
{
	static struct hist all, part[3], sum;
	struct rng rng;

	(void)state;
	rng_init(&rng, SEED + 1);
	hist_init(&all);
	for (int p = 0; p < 3; p++)
		hist_init(&part[p]);
	for (int i = 0; i < VALUES; i++) {
		uint64_t value = rng_next(&rng) >> (16 + rng_below(&rng, 48));

		hist_record(&all, value);
		hist_record(&part[rng_below(&rng, 3)], value);
	}
	hist_copy(&sum, &part[0]);
	hist_merge(&sum, &part[1]);
	hist_merge(&sum, &part[2]);
	assert_memory_equal(&sum, &all, sizeof(all));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets_tile_the_range),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_empty_and_sum),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_merge_is_exact),
	};

	printf("seed %u\n", SEED);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
