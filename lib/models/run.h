/*
 * run.h - a trace through a model, measured.
 *
 * One thread replays the operations in their order; or several share the ids
 * (id i is thread i mod N's, in its order), to see what the model's locks do.
 * A fixed share of the ranges, picked by id, is pageable: its first page is
 * touched as soon as it is allocated.
 *
 * A free that is refused for want of memory leaves the range live, as it does
 * in the kernel; it is tried again at the end.
 */
#ifndef MODELS_RUN_H
#define MODELS_RUN_H

#include "models/locks.h"
#include "models/model.h"
#include "trace/trace.h"
#include "util/hist.h"

#define RUN_THREADS_MAX 8u
#define RUN_TICK_OPS 256u	/* operations between looks at the clock */
#define RUN_OP_NS 1000000u	/* an operation's time, if the trace has none */

struct run_config {
	const struct trace *rc_trace;
	uint32_t rc_nops;		/* to replay */
	uint32_t rc_sample;		/* operation after which gauges are
					 * read: the one with most ranges live */
	unsigned int rc_pageable;	/* percent of the ranges */
	unsigned int rc_threads;	/* 1..RUN_THREADS_MAX */
	bool rc_watch;			/* the locks */
	/* Called now and then; false: stop.  NULL: not. */
	bool (*rc_progress)(void *arg, uint32_t done);
	void *rc_arg;
};

/* The counters, as plain numbers. */
struct run_counts {
	uint64_t asked[PHASES], failed[PHASES], deadlocks[PHASES];
	uint64_t made, unused, exhausted, depth, merges, splits;
	uint64_t faults, steps, retries, first[CLAIMS];
};

struct run_result {
	struct run_counts rr_counts;
	struct model_stat rr_begin;	/* before the first operation */
	struct model_stat rr_sample;	/* at rc_sample */
	struct model_stat rr_end;
	uint64_t rr_live;		/* ranges live at rc_sample: a range
					 * of which the middle went is two */
	uint64_t rr_peak;		/* bytes live, as asked for, at most */
	uint64_t rr_allocs, rr_frees, rr_parts;	/* done */
	uint64_t rr_alloc_fails;	/* no space, or no record */
	uint64_t rr_free_fails;		/* of whole ranges */
	uint64_t rr_part_fails;
	uint64_t rr_fault_fails;
	uint64_t rr_stuck;		/* frees refused at the end, too */
	uint64_t rr_kept;		/* parts kept until the whole went */
	uint64_t rr_wall_ns;
	bool rr_stopped;
	struct hist rr_alloc_ns, rr_free_ns, rr_part_ns, rr_fault_ns;
	struct lock_stat rr_locks;
};

/* 0; ENOMEM.  The model is left with what the trace leaves live. */
int run_trace(struct model *m, const struct run_config *rc,
    struct run_result *rr);

/* The operation after which most ranges are live, of the first nops. */
uint32_t run_peak_op(const struct trace *tr, uint32_t nops);

/*
 * Entries looked at per fault, with so many wired ranges beside 64 pageable
 * ones; in a model made for this.  ENOMEM.
 */
int run_lookups(struct model *m, uint64_t ranges, double *per_faultp);

#endif /* MODELS_RUN_H */
