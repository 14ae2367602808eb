/*
 * parked.c - what it costs to get at what lies in another CPU's caches: the
 * cases parked and woken of bench_qcache, which says what they are.
 */
#include "config.h"

#include "bench/parked.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vmem.h>

#include "bench/ranges.h"
#include "util/clock.h"

/* ---- parked elsewhere -------------------------------------------------------- */

#define PARKED 4096u		/* pages of the arena */
#define EACH (PARKED_PAGES * RANGES_PAGE)
#define COUNT (PARKED / PARKED_PAGES)

struct parked {
	vmem_t *vm;
	unsigned int times;
	uint64_t addr[COUNT];
};

static void
run_on(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

/* All of the arena into this CPU's caches, but so many ranges. */
static void
park(struct parked *pk, unsigned int but)
{
	for (unsigned int i = 0; i < COUNT; i++)
		if (vmem_alloc(pk->vm, EACH, VM_NOSLEEP, &pk->addr[i]) != 0)
			bench_die("the arena is smaller than it is");
	for (unsigned int i = but; i < COUNT; i++)
		vmem_free(pk->vm, pk->addr[i], EACH);
}

static void *
parker(void *arg)
{
	run_on(1);
	park(arg, 0);
	return (NULL);
}

static void *
parked_setup(const struct bench_run *run)
{
	struct parked *pk = bench_alloc(sizeof(*pk));

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		bench_skip("one CPU only");
	pk->vm = vmem_create("parked", RANGES_BASE, PARKED * RANGES_PAGE,
	    RANGES_PAGE, NULL, NULL, NULL, EACH, VM_SLEEP);
	pk->times = run->br_quick ? 3 : 200;
	run_on(0);
	return (pk);
}

/* Has another CPU's caches hold something, then asks for `pages`. */
static double
parked_ask(struct parked *pk, uint64_t pages, vm_flag_t flags, bool park,
    int expected)
{
	vmem_addr_t addr;
	uint64_t start, took;
	pthread_t id;

	if (park && (pthread_create(&id, NULL, parker, pk) != 0 ||
			pthread_join(id, NULL) != 0))
		bench_die("can't make a thread");
	start = clock_ns();
	if (vmem_alloc(pk->vm, pages * RANGES_PAGE, flags, &addr) != expected)
		bench_die("an allocation that didn't do as expected");
	took = clock_ns() - start;
	if (expected == 0)
		vmem_free(pk->vm, addr, pages * RANGES_PAGE);
	return ((double)took);
}

static void
parked_phase(void *state, struct bench_out *out)
{
	struct parked *pk = state;
	double fails = 0, sleeps = 0, again = 0;

	for (unsigned int i = 0; i < pk->times; i++) {
		fails += parked_ask(pk, PARKED + 1, VM_NOSLEEP, true, ENOMEM);
		again += parked_ask(pk, PARKED + 1, VM_NOSLEEP, false, ENOMEM);
		sleeps += parked_ask(pk, PARKED, VM_SLEEP, true, 0);
	}
	bench_value(out, "fails", "us", fails / pk->times / 1e3);
	bench_value(out, "sleep", "us", sleeps / pk->times / 1e3);
	bench_value(out, "again", "us", again / pk->times / 1e3);
}

/* ---- woken ------------------------------------------------------------------- */

struct woken {
	struct parked parked;
	bool semaphore;		/* that's all */
	sem_t sem;
	atomic_int tid;		/* of the sleeper, once it is about to sleep */
	uint64_t got_ns;
};

static void *
sleeper(void *arg)
{
	struct woken *wo = arg;
	vmem_addr_t addr;

	run_on(0);
	atomic_store(&wo->tid, (int)syscall(SYS_gettid));
	if (wo->semaphore)
		(void)sem_wait(&wo->sem);
	else if (vmem_alloc(wo->parked.vm, PARKED * RANGES_PAGE, VM_SLEEP,
		     &addr) != 0)
		bench_die("an allocation that sleeps has failed");
	wo->got_ns = clock_ns();
	if (!wo->semaphore)
		vmem_free(wo->parked.vm, addr, PARKED * RANGES_PAGE);
	return (NULL);
}

/* It does nothing else that sleeps. */
static bool
sleeps(int tid)
{
	char path[64], text[512] = "";
	const char *end;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	if (file == NULL)
		return (false);
	if (fread(text, 1, sizeof(text) - 1, file) == 0)
		text[0] = '\0';
	(void)fclose(file);
	end = strrchr(text, ')');
	return (end != NULL && end[1] == ' ' && end[2] == 'S');
}

static bool
queued(const struct woken *wo)
{
	struct vmem_stat vs;

	if (wo->semaphore)
		return (true);
	vmem_stat(wo->parked.vm, &vs);
	return (vs.vs_waiting == 1);
}

static double
woken_once(struct woken *wo)
{
	uint64_t start;
	pthread_t id;

	if (!wo->semaphore)
		park(&wo->parked, 1);
	atomic_store(&wo->tid, 0);
	if (pthread_create(&id, NULL, sleeper, wo) != 0)
		bench_die("can't make a thread");
	while (atomic_load(&wo->tid) == 0 || !queued(wo) ||
	    !sleeps(atomic_load(&wo->tid)))
		(void)sched_yield();
	start = clock_ns();
	if (wo->semaphore)
		(void)sem_post(&wo->sem);
	else
		vmem_free(wo->parked.vm, wo->parked.addr[0], EACH);
	(void)pthread_join(id, NULL);
	return ((double)(wo->got_ns - start));
}

static void *
woken_setup(const struct bench_run *run)
{
	struct woken *wo = bench_alloc(sizeof(*wo));
	struct parked *pk = parked_setup(run);

	wo->parked = *pk;
	wo->semaphore = run->br_contender->bn_arg != NULL;
	(void)sem_init(&wo->sem, 0, 0);
	run_on(1);
	return (wo);
}

static void
woken_phase(void *state, struct bench_out *out)
{
	struct woken *wo = state;
	double took = 0;

	for (unsigned int i = 0; i < wo->parked.times; i++)
		took += woken_once(wo);
	bench_value(out, "woken", "us", took / wo->parked.times / 1e3);
}

/* ---- contenders -------------------------------------------------------------- */

static const struct bench_contender by_parked = { .bn_name = "libvmem",
	.bn_setup = parked_setup, .bn_phase = parked_phase },
    by_parked_lock = { .bn_name = "by lock", .bn_env = "VMEM_RSEQ=off",
	    .bn_setup = parked_setup, .bn_phase = parked_phase };
const struct bench_contender *const parked_contenders[] = { &by_parked,
	&by_parked_lock, NULL };

static const struct bench_contender by_woken = { .bn_name = "libvmem",
	.bn_setup = woken_setup, .bn_phase = woken_phase },
    by_woken_lock = { .bn_name = "by lock", .bn_env = "VMEM_RSEQ=off",
	    .bn_setup = woken_setup, .bn_phase = woken_phase },
    by_woken_sem = { .bn_name = "semaphore", .bn_arg = "",
	    .bn_setup = woken_setup, .bn_phase = woken_phase };
const struct bench_contender *const woken_contenders[] = { &by_woken,
	&by_woken_lock, &by_woken_sem, NULL };
