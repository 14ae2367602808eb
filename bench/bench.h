/*
 * bench.h - what the benchmarks share.
 *
 * 1. Terms
 *
 * A *benchmark* is a program with one question.  It consists of *cases*, and
 * in each the *contenders* (libvmem, its peers, a bare loop) do the same work.
 * A contender does it in *phases* of equal work, each of which gives the same
 * *metrics*: one number with a unit a phase.  A *floor* is a contender that
 * says how fast this machine is today, whatever the case: a pop and a push on
 * a thread-local stack, a random access to 1 GiB.
 *
 * 2. How it is measured
 *
 * Each contender of a case runs in a process of its own (this program again,
 * with --peer and --case, a library preloaded if it asks for one), so that none
 * sees another's heap, page tables or signal handlers.  They are set up one
 * after the other, and then take turns phase by phase, floors among them:
 *
 *	parent          libvmem     jemalloc      stack      1 GiB
 *	  | "go" ---------> |           |           |          |
 *	  | <--{values}---- |           |           |          |
 *	  | "go" ---------------------> |           |          |
 *	  | <--{values}---------------- |           |          |
 *	   ...                                                     and again
 *
 * A machine that slows down slows all of them down alike, and only one runs at
 * a time.  The first round warms up and isn't counted.  A phase finds its
 * caches cold from the others' turns: it begins with some work that isn't
 * timed, where that matters.
 *
 * The median of the phases is the result; the spread is the median absolute
 * deviation from it (MAD), with the minimum and the maximum.  What is counted
 * and not timed needs one phase only: bc_once.
 *
 * 3. Adding one
 *
 * bench_NAME.c describes its cases and calls bench_main(); its .am fragment
 * adds it to bench_programs.  See bench_arena.c.  Every case must do in --quick,
 * at a small size, what it does at full size: `make check` runs them all so.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/hist.h"

#ifdef __cplusplus
extern "C" {
#endif

struct bench_case;
struct bench_out;

/* What a contender is told when it is set up. */
struct bench_run {
	const struct bench_case *br_case;
	const struct bench_contender *br_contender;
	bool br_quick;		/* a smoke run: sizes small, times meaningless */
	uint64_t br_seed;	/* for every random choice */
};

struct bench_contender {
	const char *bn_name;	/* at most 10 characters */
	const char *bn_preload;	/* library to be loaded before all, or NULL */
	const char *bn_env;	/* "NAME=VALUE" for it, or NULL */
	const void *bn_arg;	/* its own */
	/* Make the state, or leave by bench_skip() or bench_die(). */
	void *(*bn_setup)(const struct bench_run *run);
	/* One phase: work, and bench_value() for each metric. */
	void (*bn_phase)(void *state, struct bench_out *out);
	void (*bn_teardown)(void *state);	/* or NULL */
};

/* A figure to reach by our own contender, the first of a case. */
struct bench_aim {
	const char *ba_metric;	/* NULL ends the list */
	double ba_most;		/* the metric's median is at most this */
};

#define BENCH_AIMS_MAX 4

struct bench_case {
	const char *bc_name;	/* "churn/small/1e6" */
	const char *bc_text;	/* what is done, one line */
	const char *bc_note;	/* what the metrics' names mean, or NULL */
	const struct bench_contender *const *bc_contenders; /* NULL at the end */
	bool bc_once;		/* counted, not timed: one phase, no floors */
	bool bc_nofloors;	/* timed, but multiples would say nothing */
	struct bench_aim bc_aims[BENCH_AIMS_MAX];
	const void *bc_arg;	/* the contenders' own */
	uint64_t bc_number;	/* and another */
};

struct bench {
	const char *be_name;	/* "bench_arena" */
	const char *be_question;
	const char *be_workload;
	const char *be_warmup;
	const struct bench_case *be_cases;
	size_t be_ncases;
	/* Floors for every timed case; NULL: bench_floors. */
	const struct bench_contender *const *be_floors;
};

/* The whole of main(): options, contenders, report.  Returns the exit code:
 * 0, or 1 when a contender failed or the usage was wrong. */
int bench_main(const struct bench *be, int argc, char **argv);

/* ---- for contenders, in their own process -------------------------------- */

/* One metric of this phase; the same ones, in the same order, each phase.
 * Name and unit have 12 characters in all to fit the table.
 * A unit that begins with "ns" is given as a multiple of each floor too. */
void bench_value(struct bench_out *out, const char *metric, const char *unit,
    double value);

/* p50, p99, p99.9, p99.99 and max of a histogram of ns, as five metrics. */
void bench_tail(struct bench_out *out, const struct hist *hi);

/* This contender can't do this here, and why: it is left out. */
void bench_skip(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2), __noreturn__));

/* Something is wrong: the run goes on and fails in the end. */
void bench_die(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2), __noreturn__));

/* Memory, zeroed, from malloc or (map) straight from mmap, on huge pages if
 * large; never NULL, never freed. */
void *bench_alloc(size_t size);
void *bench_map(size_t size);

/* Bytes resident, of this process. */
uint64_t bench_rss(void);

/* Keeps the compiler from leaving out what makes `value`. */
static inline void
bench_use(uint64_t value)
{
	__asm__ volatile("" : : "r"(value) : "memory");
}

/* ---- floors -------------------------------------------------------------- */

extern const struct bench_contender bench_floor_stack;	/* ns/pair */
extern const struct bench_contender bench_floor_memory;	/* ns/access */
extern const struct bench_contender *const bench_floors[]; /* both */

/* Contenders for cases of tails: the wall clock of doing nothing, and of half
 * a microsecond of arithmetic. */
extern const struct bench_contender bench_empty_loop, bench_spin_loop;
#define BENCH_TAIL_OPS(run) ((run)->br_quick ? 2000u : 1000000u)

#ifdef __cplusplus
}
#endif

#endif /* BENCH_BENCH_H */
