/*
 * Goal: the checker of lock ranks is itself right: it accepts a rising order,
 * stops a falling one, naming both locks, and knows what a thread holds.
 * Method: each misuse runs in a child, whose panic comes back over a pipe.
 * Without --enable-debug there is no checker, and only the locking is tested.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmem.h>

#include "util/lock.h"

static struct lock arena, pager, other_arena;

static void
locks_init(void)
{
	lock_init(&arena, "arena", LOCK_ARENA);
	lock_init(&other_arena, "other arena", LOCK_ARENA);
	lock_init(&pager, "pager", LOCK_PAGER);
}

static void
locks_fini(void)
{
	lock_fini(&arena);
	lock_fini(&other_arena);
	lock_fini(&pager);
}

#ifdef VMEM_DEBUG
static int panic_fd;

static void
panic_to_pipe(const char *message)
{
	(void)!write(panic_fd, message, strlen(message));
	_exit(0);
}

/* The panic that fn ends in; "" if it returns. */
static void
panic_of(void (*fn)(void), char *buf, size_t size)
{
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		panic_fd = fds[1];
		vmem_set_panic(panic_to_pipe);
		fn();
		_exit(0);
	}
	(void)close(fds[1]);
	n = read(fds[0], buf, size - 1);
	assert_true(n >= 0);
	buf[n] = '\0';
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
take_falling(void) NO_THREAD_SAFETY_ANALYSIS
{
	lock_acquire(&pager);
	lock_acquire(&arena);
}

static void
take_two_of_a_rank(void) NO_THREAD_SAFETY_ANALYSIS
{
	lock_acquire(&arena);
	lock_acquire(&other_arena);
}

static void
release_unheld(void) NO_THREAD_SAFETY_ANALYSIS
{
	lock_release(&arena);
}

static void
expect_none(void) NO_THREAD_SAFETY_ANALYSIS
{
	lock_acquire(&arena);
	lock_assert_none();
}

static void
expect_held(void) NO_THREAD_SAFETY_ANALYSIS
{
	lock_acquire(&pager);
	lock_assert_held(&arena);
}

static void
test_misuse(void **state)
{
	static const struct {
		void (*fn)(void);
		const char *says[2];
	} cases[] = {
		{ take_falling, { "arena (rank 60)", "pager (rank 70)" } },
		{ take_two_of_a_rank, { "other arena", "expected" } },
		{ release_unheld, { "lock_release", "arena" } },
		{ expect_none, { "expected no lock", "arena" } },
		{ expect_held, { "arena", "expected to be held" } },
	};
	char message[512];

	(void)state;
	locks_init();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		panic_of(cases[i].fn, message, sizeof(message));
		for (size_t j = 0; j < 2; j++)
			if (strstr(message, cases[i].says[j]) == NULL)
				fail_msg("case %zu: '%s' isn't in '%s'", i,
				    cases[i].says[j], message);
	}
	locks_fini();
}
#endif

static void
test_rising_order(void **state) NO_THREAD_SAFETY_ANALYSIS
{
	(void)state;
	locks_init();
	lock_assert_none();
	lock_acquire(&arena);
	lock_acquire(&pager);
	lock_assert_held(&arena);
	lock_assert_held(&pager);
	/* Released out of order, and taken up again. */
	lock_release(&arena);
	lock_release(&pager);
	lock_acquire(&arena);
	lock_release(&arena);
	lock_assert_none();
	locks_fini();
}

/* Trying can't deadlock, so any order will do. */
static void
test_try(void **state) NO_THREAD_SAFETY_ANALYSIS
{
	(void)state;
	locks_init();
	lock_acquire(&pager);
	assert_true(lock_try(&arena));
	assert_false(lock_try(&arena));
	lock_release(&arena);
	lock_release(&pager);
	lock_assert_none();
	locks_fini();
}

#define THREADS 4
#define TURNS 20000

static uint64_t counter;

static void *
count(void *arg)
{
	for (int i = 0; i < TURNS; i++) {
		lock_acquire(&arena);
		counter++;
		lock_release(&arena);
	}
	return (arg);
}

static void
test_excludes(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	locks_init();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, count, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(counter, THREADS * TURNS);
	locks_fini();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef VMEM_DEBUG
		cmocka_unit_test(test_misuse),
#endif
		cmocka_unit_test(test_rising_order),
		cmocka_unit_test(test_try),
		cmocka_unit_test(test_excludes),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
