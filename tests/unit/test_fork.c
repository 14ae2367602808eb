/*
 * Goal: after a fork in the midst of other threads' work the child can use
 * every arena: no lock stays taken, nothing is half done; the parent goes on.
 * Method: threads churn a tree of arenas with caches, and wait in it; meanwhile
 * the main thread forks, again and again, and each child checks, allocates,
 * frees, and destroys.  A child that hangs is ended by an alarm.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmem.h>

#include "in_child.h"
#include "util/rng.h"

#define PAGE 4096u
#define FORKS 60
#define THREADS 3
#define LIVE 64
static vmem_t *root, *leaf, *narrow;
static atomic_bool stop;

static void *
churner(void *arg)
{
	struct { vmem_addr_t addr; vmem_size_t size; } live[LIVE] = { 0 };
	struct rng rng;

	rng_init(&rng, (uintptr_t)arg);
	while (!atomic_load(&stop)) {
		unsigned int k = (unsigned int)rng_below(&rng, LIVE);

		if (live[k].size != 0)
			vmem_free(leaf, live[k].addr, live[k].size);
		live[k].size = (1 + rng_below(&rng, 12)) * PAGE;
		if (vmem_alloc(leaf, live[k].size, VM_NOSLEEP,
			&live[k].addr) != 0)
			live[k].size = 0;
		if (rng_below(&rng, 500) == 0)
			vmem_reap(leaf);
	}
	for (unsigned int k = 0; k < LIVE; k++)
		if (live[k].size != 0)
			vmem_free(leaf, live[k].addr, live[k].size);
	return (NULL);
}

/* Two of them take turns in an arena that has room for one. */
static void *
waiter(void *arg)
{
	vmem_addr_t a;

	(void)arg;
	while (!atomic_load(&stop)) {
		if (vmem_alloc(narrow, PAGE, VM_SLEEP, &a) != 0)
			abort();
		(void)sched_yield();
		vmem_free(narrow, a, PAGE);
	}
	return (NULL);
}

static void
child(vmem_addr_t mine)
{
	struct vmem_stat vs;
	vmem_addr_t a[100];
	vmem_t *vm;

	(void)alarm(60);
	CHECK(vmem_check(root) == 0);
	CHECK(vmem_check(leaf) == 0);
	CHECK(vmem_check(narrow) == 0);
	vmem_stat(narrow, &vs);
	CHECK(vs.vs_waiting == 0);
	for (unsigned int i = 0; i < 100; i++)
		CHECK(vmem_alloc(leaf, (1 + i % 12) * PAGE, VM_NOSLEEP,
			  &a[i]) == 0);
	for (unsigned int i = 0; i < 100; i++)
		vmem_free(leaf, a[i], (1 + i % 12) * PAGE);
	vmem_free(leaf, mine, 2 * PAGE);
	vmem_reap(leaf);
	vmem_tick();
	CHECK(vmem_check(leaf) == 0);
	/* What the others had is in their hands no more. */
	vmem_xfreeall(narrow);
	CHECK(vmem_alloc(narrow, PAGE, VM_SLEEP, &a[0]) == 0);
	vmem_free(narrow, a[0], PAGE);
	vmem_destroy(narrow);
	vm = vmem_create("new", 0, 8 * PAGE, PAGE, NULL, NULL, NULL, 2 * PAGE,
	    VM_NOSLEEP);
	CHECK(vm != NULL);
	vmem_destroy(vm);
	_exit(0);
}

static void
test_pit_35_fork_among_threads(void **state)
{
	pthread_t threads[THREADS + 2];
	vmem_addr_t mine;
	int status;
	pid_t pid;

	(void)state;
	root = vmem_create("root", 0, 4096 * PAGE, PAGE, NULL, NULL, NULL, 0,
	    VM_SLEEP);
	leaf = vmem_create("leaf", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, root, 8 * PAGE, VM_SLEEP);
	narrow = vmem_create("narrow", 0, PAGE, PAGE, NULL, NULL, NULL, 0,
	    VM_SLEEP);
	assert_non_null(leaf);
	assert_non_null(narrow);
	for (uintptr_t i = 0; i < THREADS + 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
		    i < THREADS ? churner : waiter, (void *)i), 0);
	for (int i = 0; i < FORKS; i++) {
		assert_int_equal(
		    vmem_alloc(leaf, 2 * PAGE, VM_SLEEP, &mine), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			child(mine);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		vmem_free(leaf, mine, 2 * PAGE);
	}
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < THREADS + 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	vmem_destroy(narrow);
	vmem_destroy(leaf);
	assert_int_equal(vmem_size(root, VMEM_ALLOC), 0);
	vmem_destroy(root);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pit_35_fork_among_threads),
	};

#if defined(VMEM_SANITIZED) && defined(__SANITIZE_THREAD__)
	printf("skipped: the thread sanitizer knows no fork among threads\n");
	return (77);
#endif
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
