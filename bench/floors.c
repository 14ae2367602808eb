/*
 * floors.c - what this machine can do today, whatever is benchmarked.
 *
 * stack	pops an address off a thread-local stack and pushes it again:
 *		the least that a cache in front of an allocator can cost
 * 1GiB		one access to 1 GiB of memory on huge pages, at random, each
 *		depending on the one before: what a cache miss and a TLB miss
 *		cost; metadata that outgrows the caches costs at least one
 * empty loop	reads the clock twice with nothing between, again and again for
 *		half a second: what the clock, the kernel and the hypervisor
 *		add to any operation's wall clock
 * spin		the same with half a microsecond of arithmetic between: as often
 *		interrupted as an operation that takes as long
 */
#include "config.h"

#include "bench/bench.h"

#include <string.h>

#include "util/clock.h"
#include "util/rng.h"

/* ---- a thread-local stack ------------------------------------------------ */

#define STACK_DEPTH 64u

static _Thread_local struct {
	uint32_t st_top;
	uint64_t st_slot[STACK_DEPTH];
} stack __attribute__((__tls_model__("initial-exec")));

struct stack_state {
	uint64_t sk_pairs;
};

static __attribute__((__noinline__)) uint64_t
stack_pop(void)
{
	return (stack.st_top > 0 ? stack.st_slot[--stack.st_top] : 0);
}

static __attribute__((__noinline__)) void
stack_push(uint64_t addr)
{
	if (stack.st_top < STACK_DEPTH)
		stack.st_slot[stack.st_top++] = addr;
}

static void *
stack_setup(const struct bench_run *run)
{
	struct stack_state *sk = bench_alloc(sizeof(*sk));

	sk->sk_pairs = run->br_quick ? 10000 : 20000000;
	for (uint64_t i = 1; i <= STACK_DEPTH / 2; i++)
		stack_push(i << 12);
	return (sk);
}

static void
stack_phase(void *state, struct bench_out *out)
{
	const struct stack_state *sk = state;
	uint64_t start = 0;

	for (unsigned int round = 0; round < 2; round++) {
		/* The first quarter isn't timed. */
		uint64_t n = round == 0 ? sk->sk_pairs / 4 : sk->sk_pairs;

		start = clock_ns();
		for (uint64_t i = 0; i < n; i++)
			stack_push(stack_pop());
	}
	bench_value(out, "pair", "ns",
	    (double)(clock_ns() - start) / (double)sk->sk_pairs);
}

const struct bench_contender bench_floor_stack = {
	.bn_name = "stack",
	.bn_setup = stack_setup,
	.bn_phase = stack_phase,
};

/* ---- one random access to 1 GiB ------------------------------------------ */

#define LINE_BYTES 64u

struct memory_state {
	uint64_t *mm_lines;	/* word 0 of a line is the next line's number */
	uint64_t mm_count;	/* lines */
	uint64_t mm_at;
	uint64_t mm_accesses;
};

static inline uint64_t *
line(const struct memory_state *mm, uint64_t i)
{
	return (&mm->mm_lines[i * (LINE_BYTES / sizeof(uint64_t))]);
}

/* One cycle through all lines, in random order (S. Sattolo's shuffle). */
static void *
memory_setup(const struct bench_run *run)
{
	struct memory_state *mm = bench_alloc(sizeof(*mm));
	uint64_t bytes = run->br_quick ? 1u << 20 : 1u << 30;
	struct rng rng;

	rng_init(&rng, run->br_seed);
	mm->mm_count = bytes / LINE_BYTES;
	mm->mm_lines = bench_map(bytes);
	mm->mm_accesses = run->br_quick ? 1000 : 1000000;
	for (uint64_t i = 0; i < mm->mm_count; i++)
		*line(mm, i) = i;
	for (uint64_t i = mm->mm_count - 1; i > 0; i--) {
		uint64_t j = rng_below(&rng, i), saved = *line(mm, i);

		*line(mm, i) = *line(mm, j);
		*line(mm, j) = saved;
	}
	return (mm);
}

static void
memory_phase(void *state, struct bench_out *out)
{
	struct memory_state *mm = state;
	uint64_t at = mm->mm_at, start = clock_ns();

	for (uint64_t i = 0; i < mm->mm_accesses; i++)
		at = *line(mm, at);
	bench_value(out, "access", "ns",
	    (double)(clock_ns() - start) / (double)mm->mm_accesses);
	mm->mm_at = at;
}

const struct bench_contender bench_floor_memory = {
	.bn_name = "1GiB",
	.bn_setup = memory_setup,
	.bn_phase = memory_phase,
};

const struct bench_contender *const bench_floors[] = {
	&bench_floor_stack, &bench_floor_memory, NULL
};

/* ---- the wall clock of doing nothing ------------------------------------- */

#define EMPTY_NS 500000000u	/* of a phase */
#define SPIN_NS 500u		/* of one spin, about */

struct empty_state {
	struct hist es_hist;
	uint64_t es_ns;		/* how long a phase lasts */
	uint64_t es_turns;	/* of one spin; 0: none */
};

/* Arithmetic alone: no memory, no system call. */
static inline void
spin(uint64_t turns)
{
	uint64_t x = turns;

	for (uint64_t i = 0; i < turns; i++) {
		x = x * 3 + 1;
		__asm__ volatile("" : "+r"(x));
	}
}

static void *
empty_setup(const struct bench_run *run)
{
	struct empty_state *es = bench_alloc(sizeof(*es));

	es->es_ns = run->br_quick ? 100000 : EMPTY_NS;
	return (es);
}

static void *
spin_setup(const struct bench_run *run)
{
	struct empty_state *es = empty_setup(run);
	uint64_t turns = 100000, least = UINT64_MAX;

	/* The fastest of many: one may be interrupted. */
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t start = clock_ns(), ns;

		spin(turns);
		ns = clock_ns() - start;
		least = ns < least ? ns : least;
	}
	es->es_turns = turns * SPIN_NS / least;
	return (es);
}

static void
empty_phase(void *state, struct bench_out *out)
{
	struct empty_state *es = state;
	uint64_t first = clock_ns(), start, now;

	hist_init(&es->es_hist);
	do {
		start = clock_ns();
		spin(es->es_turns);
		now = clock_ns();
		hist_record(&es->es_hist, now - start);
	} while (now - first < es->es_ns);
	bench_tail(out, &es->es_hist);
}

const struct bench_contender bench_empty_loop = {
	.bn_name = "empty loop",
	.bn_setup = empty_setup,
	.bn_phase = empty_phase,
};

const struct bench_contender bench_spin_loop = {
	.bn_name = "spin",
	.bn_setup = spin_setup,
	.bn_phase = empty_phase,
};
