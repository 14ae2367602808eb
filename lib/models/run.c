/*
 * run.c - see run.h.
 */
#include "config.h"

#include "models/run.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "trace/pieces.h"
#include "util/clock.h"
#include "util/rng.h"

#define PROGRESS_OPS 4096u

/* An id of the trace. */
struct range {
	uint64_t ra_addr, ra_size;
	struct pieces *ra_cut;	/* what is left, once part was freed */
	uint8_t ra_how;
	bool ra_live;
	bool ra_whole;		/* parts are kept: freed whole, at the end */
};

/* A free that was refused. */
struct stuck {
	struct stuck *st_next;
	uint64_t st_addr, st_size;
	unsigned int st_how;
};

/* Held until all threads are there; and then, whether they are to run. */
struct gate {
	pthread_mutex_t ga_mutex;
	bool ga_off;
};

/* One thread's. */
struct runner {
	const struct run_config *ru_config;
	struct model *ru_model;
	struct range *ru_ranges;	/* by id; this thread's are its own */
	unsigned int ru_index;
	struct gate *ru_gate;
	struct stuck *ru_stuck;
	uint64_t ru_live, ru_live_bytes;
	int ru_error;
	struct run_result ru_result;
};

/* ---- one operation ------------------------------------------------------- */

static unsigned int
how_of(const struct run_config *rc, const struct trace_op *op)
{
	uint64_t seed = op->op_id;
	unsigned int how = 0;

	if (rng_splitmix(&seed) % 100 < rc->rc_pageable)
		how |= MODEL_PAGEABLE;
	if (op->op_arg > 16)	/* what malloc aligns to anyway */
		how |= MODEL_ALIGNED;
	return (how);
}

static void
op_alloc(struct runner *ru, const struct trace_op *op)
{
	struct run_result *rr = &ru->ru_result;
	struct range *ra = &ru->ru_ranges[op->op_id];
	struct model *m = ru->ru_model;
	uint64_t start;
	int error;

	ra->ra_how = (uint8_t)how_of(ru->ru_config, op);
	ra->ra_size = op->op_size;
	model_context.cx_phase = PHASE_ALLOC;
	start = clock_ns();
	error = m->m_ops->mo_alloc(m, op->op_size,
	    (ra->ra_how & MODEL_ALIGNED) != 0 ? op->op_arg : 0, ra->ra_how,
	    &ra->ra_addr);
	hist_record(&rr->rr_alloc_ns, clock_ns() - start);
	if (error != 0) {
		rr->rr_alloc_fails++;
		return;
	}
	ra->ra_live = true;
	rr->rr_allocs++;
	ru->ru_live++;
	ru->ru_live_bytes += op->op_size;
	if (ru->ru_live_bytes > rr->rr_peak)
		rr->rr_peak = ru->ru_live_bytes;
	if ((ra->ra_how & MODEL_PAGEABLE) == 0)
		return;
	model_context.cx_phase = PHASE_FAULT;
	start = clock_ns();
	error = m->m_ops->mo_fault(m, ra->ra_addr);
	hist_record(&rr->rr_fault_ns, clock_ns() - start);
	rr->rr_fault_fails += error != 0;
}

static void
remember_stuck(
    struct runner *ru, uint64_t addr, uint64_t size, unsigned int how)
{
	struct stuck *st = malloc(sizeof(*st));

	if (st == NULL) {
		ru->ru_error = ENOMEM;
		return;
	}
	*st = (struct stuck) { ru->ru_stuck, addr, size, how };
	ru->ru_stuck = st;
}

static void
free_piece(
    struct runner *ru, uint64_t addr, uint64_t size, unsigned int how)
{
	struct run_result *rr = &ru->ru_result;
	struct model *m = ru->ru_model;
	uint64_t start = clock_ns();
	int error = m->m_ops->mo_free(m, addr, size, how);

	hist_record(&rr->rr_free_ns, clock_ns() - start);
	if (error == 0)
		return;
	rr->rr_free_fails++;
	remember_stuck(ru, addr, size, how);
}

static void
op_free(struct runner *ru, const struct trace_op *op)
{
	struct range *ra = &ru->ru_ranges[op->op_id];
	const struct pieces *ps = ra->ra_cut;

	if (!ra->ra_live)
		return;
	model_context.cx_phase = PHASE_FREE;
	if (ps == NULL || ra->ra_whole) {
		free_piece(ru, ra->ra_addr, ra->ra_size, ra->ra_how);
		ru->ru_live_bytes -= ra->ra_size;
		ru->ru_live--;
	} else {
		for (size_t i = 0; i < ps->ps_count; i++) {
			uint64_t from = ps->ps_list[i].pc_start;
			uint64_t size = ps->ps_list[i].pc_end - from;

			free_piece(ru, ra->ra_addr + from, size,
			    ra->ra_how | MODEL_ALIGNED);
			ru->ru_live_bytes -= size;
			ru->ru_live--;
		}
	}
	ra->ra_live = false;
	ru->ru_result.rr_frees++;
}

static int
cut(struct range *ra, const struct trace_op *op, uint64_t *livep)
{
	int error;

	if (ra->ra_cut == NULL) {
		ra->ra_cut = malloc(sizeof(*ra->ra_cut));
		if (ra->ra_cut == NULL)
			return (ENOMEM);
		if (pieces_init(ra->ra_cut, ra->ra_size) != 0) {
			free(ra->ra_cut);
			ra->ra_cut = NULL;
			return (ENOMEM);
		}
	}
	*livep -= ra->ra_cut->ps_count;
	error = pieces_cut(ra->ra_cut, op->op_arg, op->op_arg + op->op_size);
	*livep += ra->ra_cut->ps_count;
	return (error);
}

static void
op_part(struct runner *ru, const struct trace_op *op)
{
	struct run_result *rr = &ru->ru_result;
	struct range *ra = &ru->ru_ranges[op->op_id];
	struct model *m = ru->ru_model;
	uint64_t start;
	int error = EBUSY;

	if (!ra->ra_live)
		return;
	model_context.cx_phase = PHASE_PART;
	start = clock_ns();
	if (!ra->ra_whole) {
		error = m->m_ops->mo_part(m, ra->ra_addr + op->op_arg,
		    op->op_size, ra->ra_size,
		    ra->ra_how | (ra->ra_cut != NULL ? MODEL_ALIGNED : 0));
		hist_record(&rr->rr_part_ns, clock_ns() - start);
	}
	if (error == EBUSY) {
		ra->ra_whole = true;
		rr->rr_kept++;
	} else if (error != 0)
		rr->rr_part_fails++;
	else if (cut(ra, op, &ru->ru_live) != 0)
		ru->ru_error = ENOMEM;
	else {
		rr->rr_parts++;
		ru->ru_live_bytes -= op->op_size;
	}
}

/* ---- a thread ------------------------------------------------------------ */

static void
run_op(struct runner *ru, uint32_t i)
{
	const struct trace_op *op = &ru->ru_config->rc_trace->tr_ops[i];

	model_context.cx_op = (uint64_t)i + 1;
	switch (op->op_kind) {
	case TRACE_ALLOC:
		op_alloc(ru, op);
		break;
	case TRACE_FREE:
		op_free(ru, op);
		break;
	case TRACE_PART:
		op_part(ru, op);
		break;
	}
}

static void
tick(const struct runner *ru, uint32_t i)
{
	const struct trace *tr = ru->ru_config->rc_trace;

	ru->ru_model->m_ops->mo_tick(ru->ru_model,
	    tr->tr_times != NULL ? tr->tr_times[i] : i * (uint64_t)RUN_OP_NS);
}

/* What was refused once more, now that nothing else is to come. */
static void
retry_stuck(struct runner *ru)
{
	struct model *m = ru->ru_model;
	struct stuck *st;

	model_context.cx_phase = PHASE_CREATE;
	while ((st = ru->ru_stuck) != NULL) {
		ru->ru_stuck = st->st_next;
		if (m->m_ops->mo_free(
		    m, st->st_addr, st->st_size, st->st_how) != 0)
			ru->ru_result.rr_stuck++;
		free(st);
	}
}

static void
runner_loop(struct runner *ru)
{
	const struct run_config *rc = ru->ru_config;
	const struct trace_op *ops = rc->rc_trace->tr_ops;
	struct run_result *rr = &ru->ru_result;
	bool first = ru->ru_index == 0;

	for (uint32_t i = 0; i < rc->rc_nops && ru->ru_error == 0; i++) {
		if (first && i % RUN_TICK_OPS == 0)
			tick(ru, i);
		if (first && i % PROGRESS_OPS == 0 &&
		    rc->rc_progress != NULL &&
		    !rc->rc_progress(rc->rc_arg, i)) {
			rr->rr_stopped = true;
			break;
		}
		if (rc->rc_threads > 1 &&
		    ops[i].op_id % rc->rc_threads != ru->ru_index)
			continue;
		run_op(ru, i);
		if (i == rc->rc_sample && rc->rc_threads == 1) {
			ru->ru_model->m_ops->mo_stat(
			    ru->ru_model, &rr->rr_sample);
			rr->rr_live = ru->ru_live;
		}
	}
}

static void *
runner_main(void *arg)
{
	struct runner *ru = arg;
	struct run_result *rr = &ru->ru_result;
	uint64_t start;
	bool off;

	hist_init(&rr->rr_alloc_ns);
	hist_init(&rr->rr_free_ns);
	hist_init(&rr->rr_part_ns);
	hist_init(&rr->rr_fault_ns);
	lock_stat_init(&rr->rr_locks);
	model_context = (struct model_context) { 0, PHASE_CREATE, 0 };
	(void)pthread_mutex_lock(&ru->ru_gate->ga_mutex);
	off = ru->ru_gate->ga_off;
	(void)pthread_mutex_unlock(&ru->ru_gate->ga_mutex);
	if (off)
		return (NULL);
	/* Watching costs two looks at the clock for each lock: it is for the
	 * runs that are about locks. */
	if (ru->ru_config->rc_watch)
		lock_watch(&rr->rr_locks);
	start = clock_ns();
	runner_loop(ru);
	rr->rr_wall_ns = clock_ns() - start;
	lock_watch(NULL);
	model_context.cx_op = 0;
	retry_stuck(ru);
	return (NULL);
}

/* ---- all of it ----------------------------------------------------------- */

static void
copy_counts(struct run_counts *to, const struct model_counts *ct)
{
	for (unsigned int i = 0; i < PHASES; i++) {
		to->asked[i] = model_read(&ct->ct_asked[i]);
		to->failed[i] = model_read(&ct->ct_failed[i]);
		to->deadlocks[i] = model_read(&ct->ct_deadlocks[i]);
	}
	for (unsigned int i = 0; i < CLAIMS; i++)
		to->first[i] = model_read(&ct->ct_first[i]);
	to->made = model_read(&ct->ct_made);
	to->unused = model_read(&ct->ct_unused);
	to->exhausted = model_read(&ct->ct_exhausted);
	to->depth = model_read(&ct->ct_depth);
	to->merges = model_read(&ct->ct_merges);
	to->splits = model_read(&ct->ct_splits);
	to->faults = model_read(&ct->ct_faults);
	to->steps = model_read(&ct->ct_steps);
	to->retries = model_read(&ct->ct_retries);
}

static void
merge(struct run_result *to, const struct run_result *from)
{
	to->rr_peak += from->rr_peak;	/* one thread: exact */
	to->rr_allocs += from->rr_allocs;
	to->rr_frees += from->rr_frees;
	to->rr_parts += from->rr_parts;
	to->rr_alloc_fails += from->rr_alloc_fails;
	to->rr_free_fails += from->rr_free_fails;
	to->rr_part_fails += from->rr_part_fails;
	to->rr_fault_fails += from->rr_fault_fails;
	to->rr_stuck += from->rr_stuck;
	to->rr_kept += from->rr_kept;
	to->rr_stopped = to->rr_stopped || from->rr_stopped;
	if (from->rr_wall_ns > to->rr_wall_ns)
		to->rr_wall_ns = from->rr_wall_ns;
	hist_merge(&to->rr_alloc_ns, &from->rr_alloc_ns);
	hist_merge(&to->rr_free_ns, &from->rr_free_ns);
	hist_merge(&to->rr_part_ns, &from->rr_part_ns);
	hist_merge(&to->rr_fault_ns, &from->rr_fault_ns);
	lock_stat_merge(&to->rr_locks, &from->rr_locks);
}

static void
result_init(struct run_result *rr)
{
	memset(rr, 0, sizeof(*rr));
	hist_init(&rr->rr_alloc_ns);
	hist_init(&rr->rr_free_ns);
	hist_init(&rr->rr_part_ns);
	hist_init(&rr->rr_fault_ns);
	lock_stat_init(&rr->rr_locks);
}

static void
ranges_free(struct range *ranges, uint32_t count)
{
	for (uint32_t id = 1; id <= count; id++)
		if (ranges[id].ra_cut != NULL) {
			pieces_fini(ranges[id].ra_cut);
			free(ranges[id].ra_cut);
		}
	free(ranges);
}

/* The first runs in this thread.  EAGAIN: no more threads can be had. */
static int
run_all(struct runner *runners, unsigned int n)
{
	struct gate gate = { PTHREAD_MUTEX_INITIALIZER, false };
	pthread_t threads[RUN_THREADS_MAX];
	unsigned int started = 1;
	int error = 0;

	(void)pthread_mutex_lock(&gate.ga_mutex);
	for (unsigned int i = 0; i < n; i++)
		runners[i].ru_gate = &gate;
	while (error == 0 && started < n) {
		error = pthread_create(&threads[started], NULL, runner_main,
		    &runners[started]);
		if (error == 0)
			started++;
	}
	gate.ga_off = error != 0;
	(void)pthread_mutex_unlock(&gate.ga_mutex);
	(void)runner_main(&runners[0]);
	for (unsigned int i = 1; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	return (error);
}

int
run_trace(
    struct model *m, const struct run_config *rc, struct run_result *rr)
{
	unsigned int n = rc->rc_threads;
	struct runner *runners = calloc(n, sizeof(*runners));
	struct range *ranges =
	    calloc((size_t)rc->rc_trace->tr_allocs + 1, sizeof(*ranges));
	int error = runners == NULL || ranges == NULL ? ENOMEM : 0;

	result_init(rr);
	m->m_ops->mo_stat(m, &rr->rr_begin);
	for (unsigned int i = 0; error == 0 && i < n; i++)
		runners[i] = (struct runner) { .ru_config = rc, .ru_model = m,
			.ru_ranges = ranges, .ru_index = i };
	if (error == 0)
		error = run_all(runners, n);
	for (unsigned int i = 0; error == 0 && i < n; i++) {
		merge(rr, &runners[i].ru_result);
		error = runners[i].ru_error;
	}
	if (error == 0) {
		rr->rr_sample = runners[0].ru_result.rr_sample;
		rr->rr_live = runners[0].ru_result.rr_live;
		m->m_ops->mo_stat(m, &rr->rr_end);
		copy_counts(&rr->rr_counts, m->m_counts);
	}
	if (ranges != NULL)
		ranges_free(ranges, rc->rc_trace->tr_allocs);
	free(runners);
	return (error);
}

uint32_t
run_peak_op(const struct trace *tr, uint32_t nops)
{
	uint32_t live = 0, peak = 0, at = 0;

	for (uint32_t i = 0; i < nops; i++) {
		if (tr->tr_ops[i].op_kind == TRACE_ALLOC)
			live++;
		else if (tr->tr_ops[i].op_kind == TRACE_FREE)
			live--;
		if (live > peak) {
			peak = live;
			at = i;
		}
	}
	return (at);
}

/* ---- what separation buys ------------------------------------------------ */

#define SWEEP_PAGEABLE 64u
#define SWEEP_FAULTS 4096u

/* Wired ranges that can't merge: every other one of twice as many is freed. */
static int
fill_wired(struct model *m, uint64_t ranges)
{
	uint64_t *gaps = calloc(ranges, sizeof(*gaps));
	uint64_t addr, size = 17 * MODEL_PAGE;	/* beyond every quantum cache */
	int error = gaps == NULL ? ENOMEM : 0;

	for (uint64_t i = 0; error == 0 && i < ranges; i++) {
		error = m->m_ops->mo_alloc(m, size, 0, 0, &gaps[i]);
		if (error == 0)
			error = m->m_ops->mo_alloc(m, size, 0, 0, &addr);
	}
	for (uint64_t i = 0; error == 0 && i < ranges; i++)
		error = m->m_ops->mo_free(m, gaps[i], size, 0);
	free(gaps);
	return (error);
}

int
run_lookups(struct model *m, uint64_t ranges, double *per_faultp)
{
	uint64_t at[SWEEP_PAGEABLE], before;
	const unsigned int pages = 17;
	struct rng rng;
	int error = 0;

	rng_init(&rng, ranges);
	model_context = (struct model_context) { 0, PHASE_CREATE, 0 };
	for (unsigned int i = 0; error == 0 && i < SWEEP_PAGEABLE; i++) {
		error = m->m_ops->mo_alloc(
		    m, pages * MODEL_PAGE, 0, MODEL_PAGEABLE, &at[i]);
		if (error == 0)
			error = fill_wired(m, ranges / SWEEP_PAGEABLE);
	}
	if (error != 0)
		return (error);
	before = model_read(&m->m_counts->ct_steps);
	for (unsigned int i = 0; i < SWEEP_FAULTS; i++)
		(void)m->m_ops->mo_fault(m,
		    at[rng_below(&rng, SWEEP_PAGEABLE)] +
		    rng_below(&rng, pages) * MODEL_PAGE);
	*per_faultp = (double)(model_read(&m->m_counts->ct_steps) - before) /
	    SWEEP_FAULTS;
	return (0);
}
