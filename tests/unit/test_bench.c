/*
 * test_bench.c - goal: what benchmarks say is what they measured.  Method:
 * medians and deviations of known numbers; and the reference placement against
 * a map of every unit of a small space, on which first and best fit are found
 * by looking at all of it.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench_impl.h"
#include "bench/refplace.h"
#include "util/rng.h"

/* ---- medians -------------------------------------------------------------- */

static struct summary
summary_of(const double *values, unsigned int count)
{
	static struct metric me;

	memcpy(me.me_values, values, count * sizeof(values[0]));
	me.me_count = count;
	return (summarize(&me));
}

static void
test_odd(void **state)
{
	const double values[] = { 9, 1, 5, 2, 100 };
	struct summary su = summary_of(values, 5);

	(void)state;
	assert_true(su.su_median == 5);
	assert_true(su.su_min == 1 && su.su_max == 100);
	/* Deviations 4, 4, 0, 3, 95. */
	assert_true(su.su_mad == 4);
}

static void
test_even(void **state)
{
	const double values[] = { 4, 1, 2, 3 };
	struct summary su = summary_of(values, 4);

	(void)state;
	assert_true(su.su_median == 2.5);
	/* Deviations 1.5, 1.5, 0.5, 0.5. */
	assert_true(su.su_mad == 1);
}

static void
test_one(void **state)
{
	const double value = 7;
	struct summary su = summary_of(&value, 1);

	(void)state;
	assert_true(su.su_median == 7 && su.su_mad == 0);
	assert_true(su.su_min == 7 && su.su_max == 7);
}

/* ---- the reference placement ---------------------------------------------- */

#define SPACE 4096u
#define LIVE_MAX 64u
#define STEPS 200000u

struct model {
	bool mo_taken[SPACE];
	uint64_t mo_top;	/* one past the last taken */
	uint64_t mo_extent;
};

static uint64_t
up(uint64_t addr, uint64_t align)
{
	return ((addr + align - 1) / align * align);
}

/* Where the policy says; by the definition in refplace.h. */
static uint64_t
model_find(const struct model *mo, enum refplace_policy policy, uint64_t size,
    uint64_t align)
{
	uint64_t found = up(mo->mo_top, align), found_size = UINT64_MAX, end;

	for (uint64_t a = 0; a < mo->mo_top; a = end + 1) {
		for (end = a; end < mo->mo_top && !mo->mo_taken[end];)
			end++;
		if (up(a, align) + size > end || end - a >= found_size)
			continue;
		found = up(a, align);
		found_size = policy == REFPLACE_FIRST ? 0 : end - a;
	}
	return (found);
}

static void
model_set(struct model *mo, uint64_t addr, uint64_t size, bool taken)
{
	assert_true(addr + size <= SPACE);
	for (uint64_t a = addr; a < addr + size; a++) {
		assert_true(mo->mo_taken[a] != taken);
		mo->mo_taken[a] = taken;
	}
	if (addr + size > mo->mo_top)
		mo->mo_top = addr + size;
	while (mo->mo_top > 0 && !mo->mo_taken[mo->mo_top - 1])
		mo->mo_top--;
	if (mo->mo_top > mo->mo_extent)
		mo->mo_extent = mo->mo_top;
}

static void
place_at_random(enum refplace_policy policy, uint64_t seed)
{
	static struct model mo;
	struct refplace *rp = refplace_create(policy);
	struct {
		uint64_t addr, size;
	} live[LIVE_MAX];
	unsigned int count = 0;
	struct rng rng;

	print_message("seed %ju\n", (uintmax_t)seed);
	memset(&mo, 0, sizeof(mo));
	rng_init(&rng, seed);
	for (unsigned int step = 0; step < STEPS; step++) {
		uint64_t size = 1 + rng_below(&rng, 24);
		uint64_t align = UINT64_C(1) << rng_below(&rng, 5);

		if (count < LIVE_MAX && rng_below(&rng, 2) == 0) {
			live[count].addr = refplace_get(rp, size, align);
			live[count].size = size;
			assert_true(live[count].addr ==
			    model_find(&mo, policy, size, align));
			model_set(&mo, live[count++].addr, size, true);
		} else if (count > 0) {
			unsigned int i = (unsigned int)rng_below(&rng, count);
			/* Half of them in part, from the front. */
			uint64_t part = rng_below(&rng, 2) == 0 ?
			    live[i].size : 1 + rng_below(&rng, live[i].size);

			refplace_put(rp, live[i].addr, part);
			model_set(&mo, live[i].addr, part, false);
			live[i].addr += part;
			live[i].size -= part;
			if (live[i].size == 0)
				live[i] = live[--count];
		}
		assert_true(refplace_extent(rp) == mo.mo_extent);
	}
	refplace_destroy(rp);
}

static void
test_first(void **state)
{
	(void)state;
	place_at_random(REFPLACE_FIRST, 1);
}

static void
test_best(void **state)
{
	(void)state;
	place_at_random(REFPLACE_BEST, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_even),
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_best),
	};

	return (cmocka_run_group_tests_name("bench", tests, NULL, NULL));
}
