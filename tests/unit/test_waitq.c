/*
 * Goal: the queue of waiting requests gives the next after any place that
 * wants less than any size, in the order of arrival, whoever leaves from the
 * middle; and doesn't grow deep.
 * Method: random operations beside a plain array.  The seed is printed.
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

#include <vmem.h>

#include "arena/arena_impl.h"
#include "reference.h"

#define MANY 1000

static struct vmem vm;	/* only its queue is used */
static struct vmem_request pool[MANY];
static struct vmem_request *queue[MANY]; /* in order of arrival */
static unsigned int count;
static struct rng rng;

static struct vmem_request *
naive_next(uint64_t ticket, uint64_t size)
{
	for (unsigned int i = 0; i < count; i++)
		if (queue[i]->vr_ticket > ticket && queue[i]->vr_wants < size)
			return (queue[i]);
	return (NULL);
}

static void
step_append(void)
{
	struct vmem_request *vr = pool;

	while (vr->vr_state != 0)
		vr++;
	vr->vr_state = 1;
	vr->vr_size = 1 + (rng_next(&rng) >> (34 + rng_below(&rng, 30)));
	waitq_append(&vm, vr);
	queue[count++] = vr;
}

static void
step_remove(unsigned int i)
{
	waitq_remove(&vm, queue[i]);
	queue[i]->vr_state = 0;
	memmove(&queue[i], &queue[i + 1],
	    (--count - i) * sizeof(queue[0]));
}

static unsigned int
depth_of(const struct vmem_request *vr)
{
	unsigned int depth = 0;

	for (; vr != NULL; vr = vr->vr_up)
		depth++;
	return (depth);
}

static void
test_against_an_array(void **state)
{
	unsigned int deepest = 0;

	(void)state;
	rng_init(&rng, ref_seed);
	for (uint64_t i = 0; i < ref_steps; i++) {
		/* Waves: it fills up, and empties again. */
		bool rise = i / 2000 % 2 == 0;
		uint64_t ticket = rng_below(&rng, vm.vm_ticket + 2);
		unsigned int at;

		if (count < MANY && rng_below(&rng, 4) < (rise ? 3 : 1))
			step_append();
		else if (count > 0)
			step_remove((unsigned int)rng_below(&rng, count));
		assert_int_equal(vm.vm_waiting, count);
		assert_ptr_equal(
		    waitq_first(&vm), count == 0 ? NULL : queue[0]);
		if (count == 0)
			continue;
		at = (unsigned int)rng_below(&rng, count);
		waitq_serving(queue[at], rng_below(&rng, 2) == 0);
		if (depth_of(queue[at]) > deepest)
			deepest = depth_of(queue[at]);
		for (int bits = 0; bits < 64; bits += 9) {
			uint64_t size = rng_next(&rng) >> bits;

			assert_ptr_equal(waitq_next(&vm, ticket, size),
			    naive_next(ticket, size));
			assert_ptr_equal(waitq_next(&vm, 0, size),
			    naive_next(0, size));
		}
	}
	/* ln(1000) / ln(2) = 10: 40 is as good as impossible by chance. */
	assert_in_range(deepest, 1, 40);
	while (count > 0)
		step_remove(count / 2);
	assert_null(waitq_first(&vm));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_an_array),
	};

	ref_options(20000);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
