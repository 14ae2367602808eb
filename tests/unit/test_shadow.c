/*
 * Goal: the shadow map finds every overlap and nothing else; the gate lets no
 * client run ahead by more than its drift, and never stops all of them.
 * Method: random inserts and removals, whole and in part, against an array of
 * owners by address; also at both ends of the address space.  Threads that pass
 * the gate check each other's positions.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "client/gate.h"
#include "client/shadow.h"
#include "util/rng.h"

#define SPACE 600
#define STEPS 60000
#define SEED 4242u

static uint32_t owners[SPACE];		/* 0: nobody */

static bool
model_free(uint64_t start, uint64_t last)
{
	for (uint64_t i = start; i <= last; i++)
		if (owners[i] != 0)
			return (false);
	return (true);
}

/* All of one range: the same owner throughout (owners are never reused). */
static bool
model_held(uint64_t start, uint64_t last)
{
	for (uint64_t i = start; i <= last; i++)
		if (owners[i] == 0 || owners[i] != owners[start])
			return (false);
	return (true);
}

static size_t
model_count(void)
{
	size_t count = 0;

	for (size_t i = 0; i < SPACE; i++)
		if (owners[i] != 0 && (i == 0 || owners[i - 1] != owners[i]))
			count++;
	return (count);
}

static void
against_model(uint64_t base)
{
	struct shadow_range other;
	struct shadow *sh;
	struct rng rng;
	uint32_t next = 1;

	memset(owners, 0, sizeof(owners));
	rng_init(&rng, SEED);
	assert_int_equal(shadow_create(&sh), 0);
	for (int step = 0; step < STEPS; step++) {
		uint64_t a = rng_below(&rng, SPACE);
		uint64_t b = a + rng_below(&rng, 12);
		struct shadow_range range = { base + a, base + b, next };

		if (b >= SPACE)
			continue;
		range.sr_last = base + b;
		if (rng_below(&rng, 2) == 0) {
			bool can = model_free(a, b);

			assert_int_equal(shadow_insert(sh, &range, &other),
			    can ? 0 : EEXIST);
			if (!can)
				assert_int_equal(other.sr_owner,
				    owners[other.sr_start - base]);
			for (uint64_t i = a; can && i <= b; i++)
				owners[i] = next;
			next += can;
		} else {
			bool can = model_held(a, b);

			assert_int_equal(shadow_remove(sh, base + a, base + b),
			    can ? 0 : ENOENT);
			for (uint64_t i = a; can && i <= b; i++)
				owners[i] = 0;
		}
		/* Pieces of one range that touch are one run in the model. */
		assert_true(shadow_count(sh) >= model_count());
	}
	shadow_destroy(sh);
}

static void
test_against_model(void **state)
{
	(void)state;
	against_model(0);
	against_model(UINT64_C(0x7f0000000000));
	against_model(UINT64_MAX - (SPACE - 1));
}

#define CLIENTS 4
#define POSITIONS 20000u
#define DRIFT 64u

static struct gate *gate;
static _Atomic uint32_t positions[CLIENTS];
static atomic_int too_far;

static void *
walker(void *arg)
{
	unsigned int me = *(unsigned int *)arg;

	for (uint32_t i = me; i < POSITIONS; i += CLIENTS) {
		/* Told before the gate, so that nobody is thought behind. */
		atomic_store(&positions[me], i);
		if (!gate_try(gate, me, i))
			while (!gate_wait(gate, me, i))
				;
		for (unsigned int other = 0; other < CLIENTS; other++)
			if (atomic_load(&positions[other]) + DRIFT < i)
				atomic_store(&too_far, 1);
	}
	atomic_store(&positions[me], UINT32_MAX / 2);
	gate_leave(gate, me);
	return (NULL);
}

static void
test_gate(void **state)
{
	pthread_t threads[CLIENTS];
	unsigned int indices[CLIENTS];

	(void)state;
	assert_int_equal(gate_create(CLIENTS, DRIFT, &gate), 0);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		indices[i] = i;
		assert_int_equal(pthread_create(
		    &threads[i], NULL, walker, &indices[i]), 0);
	}
	for (unsigned int i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&too_far), 0);
	gate_destroy(gate);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_model),
		cmocka_unit_test(test_gate),
	};

	printf("seed %u\n", SEED);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
