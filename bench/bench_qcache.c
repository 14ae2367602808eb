/*
 * bench_qcache.c - question: what does a pair of alloc and free cost that a
 * cache serves, on one thread and on many?
 *
 * Workloads:
 *
 *	hot	one page allocated and freed again and again
 *	threads	the same on 1, 2 and 16 threads at once: CPU time a pair, and
 *		what 2 and 16 threads cost as a multiple of 1 and 2
 *	handed	one thread allocates, another frees, through a ring of 1024
 *	churn	1e6 ranges of 1 to 16 pages live: a random one is freed and one
 *		of a random size allocated in its place
 *	parked	all of an arena lies in another CPU's caches: an allocation that
 *		must fail, one that would sleep and can have it all, and one
 *		that fails when nothing is parked
 *	woken	all of it but one range does, and another thread sleeps for all
 *		of it: from the free of that range until it has it; beside
 *		them, a thread that sleeps for a semaphore
 *
 * Peers are malloc() of jemalloc and of mimalloc, whose thread caches serve the
 * same sizes.  Floors: a pop and a push by restartable sequences on memory of
 * this CPU, which is the least that something per CPU can cost, and on a
 * thread-local stack.
 */
#include "config.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmem.h>

#include "bench/bench.h"
#include "bench/parked.h"
#include "bench/ranges.h"
#include "qcache/percpu.h"
#include "util/clock.h"
#include "util/rng.h"

#define SPAN (UINT64_C(1) << 40)

/* ---- libvmem with caches, as ranges ---------------------------------------- */

static void *
open_with(uint64_t span, vm_flag_t flags)
{
	return (vmem_create("bench", RANGES_BASE, span, RANGES_PAGE, NULL, NULL,
	    NULL, PARKED_PAGES * RANGES_PAGE, VM_SLEEP | flags));
}

static void *
cached_open(uint64_t span)
{
	return (open_with(span, 0));
}

static void *
checked_open(uint64_t span)
{
	return (open_with(span, VM_CHECK));
}

static const struct ranges cached = { .ra_open = cached_open,
	.ra_get = ranges_vmem_get, .ra_put = ranges_vmem_put, .ra_rss_each = 64 };
static const struct ranges checked = { .ra_open = checked_open,
	.ra_get = ranges_vmem_get, .ra_put = ranges_vmem_put, .ra_rss_each = 64 };

/* ---- the floor ------------------------------------------------------------- */

#define FLOOR_PAIRS 20000000u

struct floor_slot {
	_Alignas(64) uint64_t word;
	uint64_t *rounds;
	uint64_t round[32];
};

struct floor {
	struct rseq_front front;
	uint64_t pairs;
};

static void *
floor_setup(const struct bench_run *run)
{
	struct floor *fl = bench_alloc(sizeof(*fl));
	const struct percpu *pc = percpu_get();
	void **areas = bench_alloc(pc->pc_count * sizeof(*areas));

	if (pc->pc_mode == PERCPU_LOCK)
		bench_skip("no restartable sequences here");
	fl->pairs = run->br_quick ? 10000 : FLOOR_PAIRS;
	for (unsigned int k = 0; k < pc->pc_count; k++) {
		struct floor_slot *sl =
		    aligned_alloc(64, sizeof(struct floor_slot));

		memset(sl, 0, sizeof(*sl));
		sl->word = RSEQ_MAKE(0, 16, 16);
		sl->rounds = sl->round;
		areas[k] = sl;
	}
	fl->front = (struct rseq_front) { areas, pc->pc_place };
	return (fl);
}

static void
floor_phase(void *state, struct bench_out *out)
{
	const struct floor *fl = state;
	uint64_t start = 0, addr = 0;

	for (unsigned int round = 0; round < 2; round++) {
		uint64_t n = round == 0 ? fl->pairs / 4 : fl->pairs;

		start = clock_ns();
		for (uint64_t i = 0; i < n; i++) {
			while (rseq_pop(&fl->front, 0, &addr) != RSEQ_DONE)
				continue;
			while (rseq_push(&fl->front, 0, addr) != RSEQ_DONE)
				continue;
		}
	}
	bench_value(out, "pair", "ns",
	    (double)(clock_ns() - start) / (double)fl->pairs);
}

static const struct bench_contender floor_rseq = { .bn_name = "rseq",
	.bn_setup = floor_setup, .bn_phase = floor_phase };
static const struct bench_contender *const floors[] = { &floor_rseq,
	&bench_floor_stack, NULL };

/* ---- hot, on any number of threads ------------------------------------------ */

struct hot {
	const struct ranges *ra;
	void *arena;
	uint64_t pairs;
	pthread_barrier_t start;
};

static void *
hot_setup(const struct bench_run *run)
{
	struct hot *ho = bench_alloc(sizeof(*ho));

	ho->ra = run->br_contender->bn_arg;
	ho->arena = ranges_open(ho->ra, SPAN, 1000);
	ho->pairs = run->br_quick ? 10000 : 10000000;
	return (ho);
}

static void
hot_loop(const struct hot *ho, uint64_t pairs)
{
	uint64_t (*get)(void *, uint64_t) = ho->ra->ra_get;
	void (*put)(void *, uint64_t, uint64_t) = ho->ra->ra_put;
	void *arena = ho->arena;

	for (uint64_t i = 0; i < pairs; i++) {
		uint64_t addr = get(arena, RANGES_PAGE);

		bench_use(addr);
		put(arena, addr, RANGES_PAGE);
	}
}

static void
hot_phase(void *state, struct bench_out *out)
{
	struct hot *ho = state;
	uint64_t start;

	hot_loop(ho, ho->pairs / 4);
	start = clock_ns();
	hot_loop(ho, ho->pairs);
	bench_value(out, "pair", "ns",
	    (double)(clock_ns() - start) / (double)ho->pairs);
}

static void *
hot_thread(void *arg)
{
	struct hot *ho = arg;

	hot_loop(ho, ho->pairs / 100);
	(void)pthread_barrier_wait(&ho->start);
	hot_loop(ho, ho->pairs);
	return (NULL);
}

#define THREADS_MAX 16u

/* CPU time of a pair, with so many threads on so many CPUs. */
static double
hot_threads(struct hot *ho, unsigned int threads, uint64_t pairs)
{
	pthread_t id[THREADS_MAX];
	unsigned int cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t start;
	struct hot each = *ho;

	each.pairs = pairs / threads;
	(void)pthread_barrier_init(&each.start, NULL, threads + 1);
	for (unsigned int i = 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, hot_thread, &each) != 0)
			bench_die("can't make %u threads", threads);
	(void)pthread_barrier_wait(&each.start);
	start = clock_ns();
	for (unsigned int i = 0; i < threads; i++)
		(void)pthread_join(id[i], NULL);
	return ((double)(clock_ns() - start) *
	    (threads < cpus ? threads : cpus) /
	    (double)(each.pairs * threads));
}

static void
threads_phase(void *state, struct bench_out *out)
{
	struct hot *ho = state;
	double one = hot_threads(ho, 1, ho->pairs);
	double two = hot_threads(ho, 2, 2 * ho->pairs);
	double many = hot_threads(ho, THREADS_MAX, 2 * ho->pairs);

	bench_value(out, "t1", "ns", one);
	bench_value(out, "t2", "ns", two);
	bench_value(out, "t16", "ns", many);
	bench_value(out, "t2/t1", "x", two / one);
	bench_value(out, "t16/t2", "x", many / two);
}

/* ---- handed over ------------------------------------------------------------ */

/* The other one is at it, unless there are fewer CPUs than threads. */
static void
wait_turn(unsigned int *turns)
{
	if (++*turns % 256 == 0)
		(void)sched_yield();
#ifdef __x86_64__
	else
		__builtin_ia32_pause();
#endif
}

#define RING 1024u

struct ring {
	struct hot *ho;
	uint64_t pairs;
	_Alignas(64) atomic_ullong put; /* release, pairs with the taker's */
	_Alignas(64) atomic_ullong taken; /* and the other way round */
	_Alignas(64) uint64_t at[RING];
};

static void *
taker(void *arg)
{
	struct ring *ri = arg;
	unsigned int turns = 0;

	for (uint64_t i = 0; i < ri->pairs;) {
		uint64_t n = atomic_load_explicit(
		    &ri->put, memory_order_acquire);

		if (n == i) {
			wait_turn(&turns);
			continue;
		}
		for (; i < n; i++)
			ri->ho->ra->ra_put(
			    ri->ho->arena, ri->at[i % RING], RANGES_PAGE);
		atomic_store_explicit(&ri->taken, i, memory_order_release);
	}
	return (NULL);
}

static void
handed_phase(void *state, struct bench_out *out)
{
	static struct ring ri;
	struct hot *ho = state;
	pthread_t id;
	uint64_t start, room = RING;
	unsigned int turns = 0;

	ri.ho = ho;
	ri.pairs = ho->pairs;
	atomic_store(&ri.put, 0);
	atomic_store(&ri.taken, 0);
	start = clock_ns();
	if (pthread_create(&id, NULL, taker, &ri) != 0)
		bench_die("can't make a thread");
	for (uint64_t i = 0; i < ri.pairs; i++) {
		while (i >= room) {
			room = RING + atomic_load_explicit(
			    &ri.taken, memory_order_acquire);
			if (i >= room)
				wait_turn(&turns);
		}
		ri.at[i % RING] = ho->ra->ra_get(ho->arena, RANGES_PAGE);
		if (i % 16 == 15 || i + 1 == ri.pairs)
			atomic_store_explicit(
			    &ri.put, i + 1, memory_order_release);
	}
	(void)pthread_join(id, NULL);
	bench_value(out, "pair", "ns",
	    (double)(clock_ns() - start) / (double)ri.pairs);
}

/* ---- churn ------------------------------------------------------------------- */

struct churn {
	const struct ranges *ra;
	void *arena;
	uint64_t *slots;	/* address, and pages in the low bits */
	uint64_t live, pairs;
	struct rng rng;
};

static inline uint64_t *
place(const struct churn *ch, uint64_t r)
{
	return (&ch->slots[(r >> 32) * ch->live >> 32]);
}

static void
churn_pairs(struct churn *ch, uint64_t pairs)
{
	uint64_t next = rng_next(&ch->rng);

	for (uint64_t i = 0; i < pairs; i++) {
		uint64_t r = next, *slot = place(ch, r), pages;

		next = rng_next(&ch->rng);
		__builtin_prefetch(place(ch, next), 1);
		if (*slot != 0)
			ch->ra->ra_put(ch->arena, *slot & ~UINT64_C(4095),
			    (*slot & 4095) * RANGES_PAGE);
		pages = 1 + (r & 15);
		*slot = ch->ra->ra_get(ch->arena, pages * RANGES_PAGE);
		if (*slot == 0)
			bench_die("out of space");
		*slot |= pages;
	}
}

static void *
churn_setup(const struct bench_run *run)
{
	struct churn *ch = bench_alloc(sizeof(*ch));

	ch->ra = run->br_contender->bn_arg;
	ch->live = run->br_quick ? 2000 : run->br_case->bc_number;
	ch->pairs = run->br_quick ? 2000 : 2000000;
	ch->slots = bench_map(ch->live * sizeof(*ch->slots));
	rng_init(&ch->rng, run->br_seed);
	ch->arena = ranges_open(ch->ra, SPAN, ch->live);
	for (uint64_t i = 0; i < ch->live; i++) {
		uint64_t pages = 1 + (rng_next(&ch->rng) & 15);

		ch->slots[i] = ch->ra->ra_get(ch->arena, pages * RANGES_PAGE);
		ch->slots[i] |= pages;
	}
	churn_pairs(ch, 2 * ch->live);
	return (ch);
}

static void
churn_phase(void *state, struct bench_out *out)
{
	struct churn *ch = state;
	uint64_t start;

	churn_pairs(ch, ch->pairs / 10);
	start = clock_ns();
	churn_pairs(ch, ch->pairs);
	bench_value(out, "pair", "ns",
	    (double)(clock_ns() - start) / (double)ch->pairs);
}

/* ---- cases -------------------------------------------------------------------- */

#define LIBVMEM(setup, phase)                                                 \
	static const struct bench_contender                                  \
	    phase##_vmem = { BY_RANGES("libvmem", cached, setup, phase) },   \
	    phase##_check = { BY_RANGES("VM_CHECK", checked, setup, phase) }, \
	    phase##_cpu = { BY_RANGES("by cpu_id", cached, setup, phase),    \
		    .bn_env = "VMEM_RSEQ=cpu" },                             \
	    phase##_lock = { BY_RANGES("by lock", cached, setup, phase),     \
		    .bn_env = "VMEM_RSEQ=off" },                             \
	    phase##_je = BY_JEMALLOC(setup, phase),                          \
	    phase##_mi = BY_MIMALLOC(setup, phase);                          \
	static const struct bench_contender *const phase##_all[] = {         \
		&phase##_vmem, &phase##_check, &phase##_cpu, &phase##_lock,  \
		&phase##_je, &phase##_mi, NULL }

LIBVMEM(hot_setup, hot_phase);
LIBVMEM(hot_setup, threads_phase);
LIBVMEM(hot_setup, handed_phase);
LIBVMEM(churn_setup, churn_phase);

static const struct bench_case cases[] = {
	{ .bc_name = "hot", .bc_text = "one page, allocated and freed",
	    .bc_contenders = hot_phase_all, .bc_aims = { { "pair", 10 } } },
	{ .bc_name = "threads", .bc_text = "hot on 1, 2 and 16 threads",
	    .bc_contenders = threads_phase_all,
	    .bc_aims = { { "t2/t1", 1.2 }, { "t16/t2", 1.0 } } },
	{ .bc_name = "handed", .bc_text = "one allocates, another frees",
	    .bc_contenders = handed_phase_all, .bc_aims = { { "pair", 60 } } },
	{ .bc_name = "churn/1e6", .bc_text = "1..16 pages, 1e6 live",
	    .bc_contenders = churn_phase_all, .bc_number = 1000000,
	    .bc_aims = { { "pair", 100 } } },
	{ .bc_name = "parked", .bc_text = "all memory in another CPU's caches",
	    .bc_contenders = parked_contenders },
	{ .bc_name = "woken", .bc_text = "who sleeps for all of it is served",
	    .bc_contenders = woken_contenders },
};

int
main(int argc, char **argv)
{
	const struct bench be = {
		.be_name = "bench_qcache",
		.be_question = "what does a pair of alloc and free cost that a"
		    " cache serves, on one thread and on many?",
		.be_workload = "ranges of one page (churn: 1 to 16) of an arena"
		    " with quantum caches, and malloc of the same size",
		.be_warmup = "a quarter of each phase's pairs untimed; churn:"
		    " filled, and aged by 2 N pairs",
		.be_cases = cases,
		.be_ncases = sizeof(cases) / sizeof(cases[0]),
		.be_floors = floors,
	};

	return (bench_main(&be, argc, argv));
}
