/*
 * Goal: quantum caches lose no range and hand none out twice, however threads
 * are moved, interrupted and stepped through; and what other CPUs' caches hold
 * can be had.
 * Method: threads allocate, hand over and free at random; each page has an
 * owner word, set and cleared by exchange, so that whoever comes second to a
 * page sees it.  Meanwhile they are moved between CPUs without pause, get
 * signals and a timer's ticks every millisecond, and the caches are emptied;
 * or a tracer steps through every instruction, which aborts every restartable
 * sequence.  In the end all ranges are freed, and the arena must be whole and
 * its counters must agree with the threads' own.  Each mechanism (VMEM_RSEQ)
 * has a process of its own.
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

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmem.h>

#include "in_child.h"
#include "qcache/rseq.h"
#include "util/rng.h"

#define PAGE 4096u
#define PAGES 65536u
#define WORKERS 4u
#define SLOTS 512u
#define SEED 2001u

static atomic_uint owner[PAGES];
static _Atomic(uint64_t) slot[SLOTS]; /* address + pages of who is parked */
static atomic_bool stop;
static atomic_ullong allocs, frees;
static vmem_t *vm;

/* TEST_OPS: operations of each worker, for valgrind. */
static unsigned int
ops_wanted(void)
{
	const char *text = getenv("TEST_OPS");

#ifdef VMEM_SANITIZED
	return (text != NULL ? (unsigned int)atoi(text) : 20000);
#else
	return (text != NULL ? (unsigned int)atoi(text) : 300000);
#endif
}

static void
in_child(void (*test)(vm_flag_t), vm_flag_t flags, const char *mechanism)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (mechanism != NULL)
			(void)setenv("VMEM_RSEQ", mechanism, 1);
		test(flags);
		_exit(0);
	}
	child_passes(pid);
}

/* ---- the books ----------------------------------------------------------- */

static void
claim(uint64_t addr, uint64_t pages, unsigned int who)
{
	for (uint64_t p = addr / PAGE; p < addr / PAGE + pages; p++)
		CHECK(p < PAGES && atomic_exchange(&owner[p], who) == 0);
}

static void
disclaim(uint64_t addr, uint64_t pages)
{
	for (uint64_t p = addr / PAGE; p < addr / PAGE + pages; p++)
		CHECK(atomic_exchange(&owner[p], 0) != 0);
}

static void
put(uint64_t range)
{
	uint64_t addr = range & ~(uint64_t)(PAGE - 1), pages = range % PAGE;

	disclaim(addr, pages);
	vmem_free(vm, addr, pages * PAGE);
	atomic_fetch_add(&frees, 1);
}

static void
open_arena(vm_flag_t flags)
{
	vm = vmem_create("storm", 0, (uint64_t)PAGES * PAGE, PAGE, NULL, NULL,
	    NULL, 8 * PAGE, VM_SLEEP | flags);
	CHECK(vm != NULL);
}

/* Everything is back, and was counted. */
static void
close_arena(void)
{
	struct vmem_stat vs;

	for (unsigned int i = 0; i < SLOTS; i++)
		if (atomic_load(&slot[i]) != 0)
			put(atomic_exchange(&slot[i], 0));
	for (unsigned int p = 0; p < PAGES; p++)
		CHECK(atomic_load(&owner[p]) == 0);
	vmem_stat(vm, &vs);
	CHECK(vs.vs_allocs == atomic_load(&allocs));
	CHECK(vs.vs_frees == atomic_load(&frees));
	CHECK(vs.vs_allocs == vs.vs_frees);
	CHECK(vs.vs_inuse == vs.vs_qc_held_bytes);
	vmem_reap(vm);
	vmem_stat(vm, &vs);
	CHECK(vs.vs_inuse == 0 && vs.vs_qc_idle_bytes == 0);
	CHECK(vmem_size(vm, VMEM_MAXFREE) == (uint64_t)PAGES * PAGE);
	CHECK(vmem_check(vm) == 0);
	printf("%s: %llu pairs, %llu restarts\n", vmem_qcache_mechanism(),
	    (unsigned long long)atomic_load(&frees),
	    (unsigned long long)vs.vs_qc_restarts);
	(void)fflush(stdout);
	vmem_destroy(vm);
}

/* ---- storms -------------------------------------------------------------- */

static void *
worker(void *arg)
{
	unsigned int who = (unsigned int)(uintptr_t)arg, ops = ops_wanted();
	uint64_t addr, old, pages;
	struct rng rng;

	rng_init(&rng, SEED + who);
	for (unsigned int i = 0; i < ops; i++) {
		pages = 1 + rng_below(&rng, 8);
		if (vmem_alloc(vm, pages * PAGE, VM_NOSLEEP, &addr) != 0)
			continue;
		atomic_fetch_add(&allocs, 1);
		claim(addr, pages, who);
		/* Mostly straight back; else whoever comes by frees it. */
		old = addr + pages;
		if (rng_below(&rng, 4) == 0)
			old = atomic_exchange(
			    &slot[rng_below(&rng, SLOTS)], old);
		if (old != 0)
			put(old);
	}
	return (NULL);
}

static void
ignore_signal(int sig)
{
	(void)sig;
}

static int
cpus(int *cpu, int max)
{
	cpu_set_t set;
	int n = 0;

	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
	for (int c = 0; c < CPU_SETSIZE && n < max; c++)
		if (CPU_ISSET(c, &set))
			cpu[n++] = c;
	return (n);
}

static void
pin(pthread_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)pthread_setaffinity_np(thread, sizeof(set), &set);
}

/* Moves them around and interrupts them until they are done. */
static void *
tormentor(void *arg)
{
	pthread_t *threads = arg;
	int cpu[64], n = cpus(cpu, 64);
	struct rng rng;

	rng_init(&rng, SEED);
	for (unsigned int i = 0; !atomic_load(&stop); i++) {
		pthread_t t = threads[rng_below(&rng, WORKERS)];

		pin(t, cpu[rng_below(&rng, (uint64_t)n)]);
		(void)pthread_kill(t, SIGUSR1);
		if (i % 16 == 0)
			vmem_reap(vm);
		if (i % 64 == 0)
			vmem_tick();
		if (i % 256 == 0)
			CHECK(vmem_check(vm) == 0);
	}
	return (NULL);
}

static void
storm(vm_flag_t flags)
{
	struct sigaction sa = { .sa_handler = ignore_signal,
		.sa_flags = SA_RESTART };
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } };
	pthread_t threads[WORKERS], other;

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	open_arena(flags);
	CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
	for (uintptr_t i = 0; i < WORKERS; i++)
		CHECK(pthread_create(
			  &threads[i], NULL, worker, (void *)(i + 1)) == 0);
	CHECK(pthread_create(&other, NULL, tormentor, threads) == 0);
	/* Joined only after the tormentor: it uses their names. */
	while (atomic_load(&allocs) < (uint64_t)WORKERS * ops_wanted() * 9 / 10)
		(void)sched_yield();
	atomic_store(&stop, true);
	CHECK(pthread_join(other, NULL) == 0);
	for (unsigned int i = 0; i < WORKERS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	close_arena();
}

static void
test_storm(void **state)
{
	(void)state;
	in_child(storm, 0, NULL);
	in_child(storm, VM_CHECK, NULL);
}

static void
test_storm_by_cpu(void **state)
{
	(void)state;
	in_child(storm, 0, "cpu");
}

static void
test_storm_with_locks(void **state)
{
	(void)state;
	in_child(storm, 0, "off");
	in_child(storm, VM_CHECK, "off");
}

/* ---- a debugger ----------------------------------------------------------- */

#define STEPPED_PAIRS 60

static void
stepped(vm_flag_t flags)
{
	uint64_t addr[STEPPED_PAIRS];
	struct vmem_stat vs;

	open_arena(flags);
	for (unsigned int i = 0; i < 2; i++) {
		CHECK(vmem_alloc(vm, PAGE, VM_NOSLEEP, &addr[i]) == 0);
		vmem_free(vm, addr[i], PAGE);
		atomic_fetch_add(&allocs, 1);
		atomic_fetch_add(&frees, 1);
	}
	CHECK(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
	(void)raise(SIGSTOP);	/* from here on, step by step */
	for (unsigned int i = 0; i < STEPPED_PAIRS; i++) {
		CHECK(vmem_alloc(vm, PAGE, VM_NOSLEEP, &addr[i]) == 0);
		claim(addr[i], 1, 1);
	}
	for (unsigned int i = 0; i < STEPPED_PAIRS; i++) {
		disclaim(addr[i], 1);
		vmem_free(vm, addr[i], PAGE);
	}
	(void)raise(SIGSTOP);	/* on at full speed */
	atomic_fetch_add(&allocs, STEPPED_PAIRS);
	atomic_fetch_add(&frees, STEPPED_PAIRS);
	vmem_stat(vm, &vs);
	/* Each was aborted, and got on all the same. */
	CHECK(strcmp(vmem_qcache_mechanism(), "lock") == 0 ||
	    vs.vs_qc_restarts >= 2 * STEPPED_PAIRS);
	close_arena();
}

static void
step_through(vm_flag_t flags, const char *mechanism)
{
	unsigned int stops = 0;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (mechanism != NULL)
			(void)setenv("VMEM_RSEQ", mechanism, 1);
		stepped(flags);
		_exit(0);
	}
	for (;;) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) == SIGSTOP)
			stops++;
		(void)ptrace(stops == 1 ? PTRACE_SINGLESTEP : PTRACE_CONT, pid,
		    NULL, NULL);
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(stops, 2);
}

static void
test_stepped_through(void **state)
{
	(void)state;
#ifdef VMEM_SANITIZED
	skip();
#endif
	if (getenv("TEST_OPS") != NULL)
		skip(); /* valgrind traces by itself */
	step_through(0, NULL);
	step_through(VM_CHECK, "cpu");
	step_through(0, "off");
}

/* ---- a thread without restartable sequences -------------------------------- */

#ifdef HAVE_RSEQ
/* What glibc did when the thread began, undone: as for a thread whose
 * registration was refused. */
static void
unregister(void)
{
	CHECK(syscall(SYS_rseq, (char *)__builtin_thread_pointer() +
		  __rseq_offset, 32, 1 /* RSEQ_FLAG_UNREGISTER */,
		  RSEQ_SIG) == 0);
}

static void *
unregistered(void *arg)
{
	uint64_t addr[100];

	(void)arg;
	unregister();
	for (unsigned int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < 100; i++) {
			CHECK(vmem_alloc(vm, PAGE, VM_NOSLEEP, &addr[i]) == 0);
			atomic_fetch_add(&allocs, 1);
			claim(addr[i], 1, 99);
		}
		for (unsigned int i = 0; i < 100; i++)
			put(addr[i] + 1);
	}
	return (NULL);
}

/* One such beside others, which have sequences. */
static void
with_unregistered(vm_flag_t flags)
{
	pthread_t threads[2], other;

	if (strcmp(vmem_qcache_mechanism(), "lock") == 0)
		return; /* nobody is registered */
	open_arena(flags);
	CHECK(pthread_create(&other, NULL, unregistered, NULL) == 0);
	for (uintptr_t i = 0; i < 2; i++)
		CHECK(pthread_create(
			  &threads[i], NULL, worker, (void *)(i + 1)) == 0);
	CHECK(pthread_join(other, NULL) == 0);
	for (unsigned int i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	close_arena();
}

static void
test_unregistered_thread(void **state)
{
	(void)state;
	in_child(with_unregistered, 0, NULL);
	in_child(with_unregistered, VM_CHECK, "cpu");
}
#else
static void
test_unregistered_thread(void **state)
{
	(void)state;
	skip();
}
#endif

/* ---- other CPUs ------------------------------------------------------------ */

/* Leaves all of the arena in the caches of the CPU that it runs on. */
static void *
parker(void *arg)
{
	static uint64_t addr[PAGES / 16];
	int cpu[64], n = cpus(cpu, 64);

	(void)arg;
	pin(pthread_self(), cpu[n - 1]);
	for (unsigned int i = 0; i < PAGES / 16; i++) {
		CHECK(vmem_alloc(vm, PAGE, VM_NOSLEEP, &addr[i]) == 0);
		atomic_fetch_add(&allocs, 1);
	}
	for (unsigned int i = 0; i < PAGES / 16; i++) {
		vmem_free(vm, addr[i], PAGE);
		atomic_fetch_add(&frees, 1);
	}
	return (NULL);
}

static void
parked(vm_flag_t flags)
{
	int cpu[64];
	pthread_t thread;
	struct vmem_stat vs;
	vmem_addr_t all;

	(void)cpus(cpu, 64);
	open_arena(flags);
	for (unsigned int i = 0; i < (getenv("TEST_OPS") ? 2 : 50); i++) {
		/* Each from a thread that is gone by then. */
		CHECK(pthread_create(&thread, NULL, parker, NULL) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
		pin(pthread_self(), cpu[0]);
		vmem_stat(vm, &vs);
		CHECK(vs.vs_qc_held_bytes > 0);
		CHECK(vmem_alloc(vm, (uint64_t)PAGES * PAGE,
			  i % 2 ? VM_NOSLEEP : VM_SLEEP, &all) == 0);
		atomic_fetch_add(&allocs, 1);
		vmem_free(vm, all, (uint64_t)PAGES * PAGE);
		atomic_fetch_add(&frees, 1);
	}
	close_arena();
}

static void
test_parked_elsewhere(void **state)
{
	(void)state;
	in_child(parked, 0, NULL);
	in_child(parked, VM_CHECK, "cpu");
	in_child(parked, 0, "off");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_storm_by_cpu),
		cmocka_unit_test(test_storm_with_locks),
		cmocka_unit_test(test_stepped_through),
		cmocka_unit_test(test_unregistered_thread),
		cmocka_unit_test(test_parked_elsewhere),
	};

	printf("seed %u\n", SEED);
	(void)fflush(stdout);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
