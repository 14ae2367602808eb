/*
 * Goal: wired memory is zero, there at once, bounded, and given back.
 * Method: address space mapped by the test, residency asked of the kernel.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include <vmpager.h>

#include "util/rng.h"

#define PAGE ((uint64_t)VMPAGER_PAGE)
#define SPAN 256u	/* pages */

static struct vmpager_wired *wired;
static unsigned char *mem;
static vmem_addr_t base;

static int
setup(void **state)
{
	(void)state;
	mem = mmap(NULL, SPAN * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	base = (vmem_addr_t)(uintptr_t)mem;
	return (mem == MAP_FAILED ||
	    vmpager_wired_create(16 * PAGE, &wired) != 0);
}

static int
teardown(void **state)
{
	(void)state;
	vmpager_wired_destroy(wired);
	return (munmap(mem, SPAN * PAGE));
}

static unsigned int
resident(uint64_t page, uint64_t count)
{
	unsigned char vec[SPAN];
	unsigned int n = 0;

	assert_int_equal(mincore(mem + page * PAGE, count * PAGE, vec), 0);
	for (uint64_t i = 0; i < count; i++)
		n += vec[i] & 1;
	return (n);
}

static void
assert_zero(uint64_t page, uint64_t count)
{
	for (size_t i = page * PAGE; i < (page + count) * PAGE; i++)
		if (mem[i] != 0)
			fail_msg("byte %zu isn't zero", i);
}

static void
test_populated_and_given_back(void **state)
{
	(void)state;
	assert_int_equal(resident(0, 16), 0);
	assert_int_equal(vmpager_wire(wired, base + PAGE, 4 * PAGE), 0);
	assert_int_equal(resident(0, 16), 4);
	assert_int_equal(vmpager_wired_bytes(wired), 4 * PAGE);
	memset(mem + PAGE, 0xaa, 4 * PAGE);
	vmpager_unwire(wired, base + 2 * PAGE, 2 * PAGE);	/* a part */
	assert_int_equal(resident(0, 16), 2);
	assert_int_equal(vmpager_wired_bytes(wired), 2 * PAGE);
	assert_int_equal(mem[PAGE], 0xaa);
	vmpager_unwire(wired, base + PAGE, PAGE);
	vmpager_unwire(wired, base + 4 * PAGE, PAGE);
	assert_int_equal(vmpager_wired_bytes(wired), 0);
	assert_int_equal(vmpager_wire(wired, base + PAGE, 4 * PAGE), 0);
	assert_zero(1, 4);
	vmpager_unwire(wired, base + PAGE, 4 * PAGE);
	assert_int_equal(vmpager_wire(wired, base, 0), 0);
	vmpager_unwire(wired, base, 0);
}

static void
test_bound(void **state)
{
	(void)state;
	assert_int_equal(vmpager_wire(wired, base, 17 * PAGE), ENOMEM);
	assert_int_equal(vmpager_wired_bytes(wired), 0);
	assert_int_equal(resident(0, 17), 0);
	assert_int_equal(vmpager_wire(wired, base, 16 * PAGE), 0);
	assert_int_equal(vmpager_wire(wired, base + 20 * PAGE, 1), ENOMEM);
	assert_int_equal(
	    vmpager_wire(wired, base + 20 * PAGE, UINT64_MAX / 2), ENOMEM);
	vmpager_unwire(wired, base, PAGE);
	assert_int_equal(vmpager_wire(wired, base + 20 * PAGE, 1), 0);
	assert_int_equal(vmpager_wired_bytes(wired), 16 * PAGE);
	vmpager_unwire(wired, base + 20 * PAGE, 1);
	vmpager_unwire(wired, base + PAGE, 15 * PAGE);
}

/* What can't be populated, or isn't mapped at all, isn't wired. */
static void
test_unsuitable_memory_is_enomem(void **state)
{
	unsigned char *hole = mmap(NULL, PAGE, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(hole != MAP_FAILED);
	assert_int_equal(vmpager_wire(wired, (uintptr_t)hole, PAGE), ENOMEM);
	(void)munmap(hole, PAGE);
	assert_int_equal(vmpager_wire(wired, (uintptr_t)hole, PAGE), ENOMEM);
	assert_int_equal(vmpager_wired_bytes(wired), 0);
}

/* PITFALLS 2.7: MADV_DONTNEED refuses locked memory. */
static void
test_pitfall_7_locked_memory_is_given_back(void **state)
{
	(void)state;
	assert_int_equal(vmpager_wire(wired, base, 4 * PAGE), 0);
	memset(mem, 0xbb, 4 * PAGE);
	if (mlock(mem, 2 * PAGE) != 0) {
		vmpager_unwire(wired, base, 4 * PAGE);
		print_message("skipped: mlock: %s\n", strerror(errno));
		skip();
	}
	vmpager_unwire(wired, base, 4 * PAGE);
	assert_int_equal(vmpager_wired_bytes(wired), 0);
	assert_int_equal(vmpager_wire(wired, base, 4 * PAGE), 0);
	assert_zero(0, 4);
	vmpager_unwire(wired, base, 4 * PAGE);
}

#define THREADS 4
#define ROUNDS 2000

/* Each thread in its own part of the span; the bound is common.  Refused, it
 * lets the others go on: who holds what is wanted may not be running. */
static void *
wire_at_random(void *arg)
{
	unsigned int me = *(unsigned int *)arg;
	uint64_t mine = base + me * (SPAN / THREADS) * PAGE;
	struct rng rng;

	rng_init(&rng, me);
	for (int i = 0; i < ROUNDS;) {
		uint64_t size = (1 + rng_below(&rng, 8)) * PAGE;

		if (vmpager_wired_bytes(wired) > 16 * PAGE)
			return (arg);
		if (vmpager_wire(wired, mine, size) != 0) {
			(void)sched_yield();
			continue;
		}
		memset((void *)(uintptr_t)mine, 1, size);
		vmpager_unwire(wired, mine, size);
		i++;
	}
	return (NULL);
}

static void
test_bound_holds_between_threads(void **state)
{
	unsigned int number[THREADS];
	pthread_t thread[THREADS];
	void *failed;

	(void)state;
	for (unsigned int i = 0; i < THREADS; i++) {
		number[i] = i;
		assert_int_equal(pthread_create(&thread[i], NULL,
				     wire_at_random, &number[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(vmpager_wired_bytes(wired), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_populated_and_given_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_unsuitable_memory_is_enomem, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_pitfall_7_locked_memory_is_given_back, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    test_bound_holds_between_threads, setup, teardown),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
