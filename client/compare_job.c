/*
 * compare_job.c - see compare.h: the operations of a soak job, as a trace.
 *
 * Every worker of every group has its stream (lib/job), and they take turns,
 * one operation each; allocations and frees are kept, the rest is for a daemon.
 * A worker does as many as `ops` says, or, in a job that runs by the clock,
 * four for every range that it is to hold: it fills up, and then turns over.
 */
#include "config.h"

#include "client/compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/job.h"
#include "job/stream.h"

#define OPS_MAX 4000000u	/* of all workers */
#define TURNS 4u		/* operations for each range held, by default */

struct worker {
	struct job_stream wo_stream;
	struct job_range *wo_ranges;
	uint64_t wo_left;	/* operations to do */
};

struct maker {
	const struct job *mk_job;
	struct worker *mk_workers;
	unsigned int mk_count;
	struct trace *mk_trace;
	uint64_t mk_live;	/* bytes */
	uint32_t mk_live_count;
};

/* ---- which it is -------------------------------------------------------- */

static bool
ends_in(const char *path, const char *end)
{
	size_t len = strlen(path), n = strlen(end);

	return (len >= n && strcmp(path + len - n, end) == 0);
}

/* By its name; or, a file of another name, by its first bytes: a trace's header
 * line, or an xz file. */
bool
compare_is_job(const char *path)
{
	static const char header[] = "# vmem-trace";
	char start[sizeof(header)] = "";
	FILE *in;
	size_t n;

	if (ends_in(path, ".vmt") || ends_in(path, ".vmt.xz"))
		return (false);
	in = strcmp(path, "-") != 0 ? fopen(path, "re") : NULL;
	if (in == NULL)
		return (true);
	n = fread(start, 1, sizeof(start) - 1, in);
	(void)fclose(in);
	return (n > 0 && strncmp(start, header, n) != 0 && start[0] != '\xfd');
}

/* ---- workers ------------------------------------------------------------ */

static int
add_worker(struct maker *mk, unsigned int group, unsigned int index)
{
	const struct job_group *jg = &mk->mk_job->jo_groups[group];
	const struct job_space nowhere = { 0, 0, MODEL_PAGE };
	struct worker *wo = &mk->mk_workers[mk->mk_count];

	wo->wo_ranges =
	    calloc(job_stream_room(jg), sizeof(wo->wo_ranges[0]));
	if (wo->wo_ranges == NULL)
		return (ENOMEM);
	job_stream_init(&wo->wo_stream, jg,
	    job_stream_seed(mk->mk_job->jo_seed, group, index, 0), &nowhere,
	    wo->wo_ranges);
	wo->wo_left = mk->mk_job->jo_ops != 0 ? mk->mk_job->jo_ops :
						TURNS * jg->jg_live;
	mk->mk_count++;
	return (0);
}

static int
add_workers(struct maker *mk)
{
	int error = 0;

	mk->mk_workers =
	    calloc(job_workers(mk->mk_job, -1), sizeof(mk->mk_workers[0]));
	if (mk->mk_workers == NULL)
		return (ENOMEM);
	for (unsigned int g = 0; g < mk->mk_job->jo_group_count; g++)
		for (unsigned int i = 0; error == 0 &&
		     i < mk->mk_job->jo_groups[g].jg_workers; i++)
			error = add_worker(mk, g, i);
	return (error);
}

/* ---- operations --------------------------------------------------------- */

static struct trace_op *
op_new(struct maker *mk, enum trace_kind kind, uint32_t id, uint32_t worker)
{
	struct trace *tr = mk->mk_trace;
	struct trace_op *op = &tr->tr_ops[tr->tr_nops++];

	*op = (struct trace_op) { .op_kind = kind, .op_id = id,
		.op_line = tr->tr_nops, .op_thread = worker };
	return (op);
}

static void
make_alloc(struct maker *mk, struct job_stream *st, uint32_t worker)
{
	struct trace *tr = mk->mk_trace;
	uint32_t id = ++tr->tr_allocs;
	struct job_range ra = { .ra_id = id };
	struct trace_op *op;
	struct job_want jw;

	job_stream_want(st, &jw);
	op = op_new(mk, TRACE_ALLOC, id, worker);
	op->op_size = jw.jw_size;
	op->op_arg = jw.jw_align;
	ra.ra_size = jw.jw_size;
	job_stream_add(st, &ra);
	mk->mk_live += jw.jw_size;
	if (mk->mk_live > tr->tr_peak_bytes)
		tr->tr_peak_bytes = mk->mk_live;
	if (++mk->mk_live_count > tr->tr_peak_count)
		tr->tr_peak_count = mk->mk_live_count;
}

static void
make_free(struct maker *mk, struct job_stream *st, uint32_t worker)
{
	struct job_range ra;

	job_stream_take(st, &ra);
	(void)op_new(mk, TRACE_FREE, ra.ra_id, worker);
	mk->mk_trace->tr_frees++;
	mk->mk_live -= ra.ra_size;
	mk->mk_live_count--;
}

/* One operation of a worker; what a model can't do passes. */
static void
turn(struct maker *mk, uint32_t worker)
{
	struct worker *wo = &mk->mk_workers[worker];

	wo->wo_left--;
	switch (job_stream_next(&wo->wo_stream)) {
	case JOB_ALLOC:
		make_alloc(mk, &wo->wo_stream, worker);
		break;
	case JOB_FREE:
		make_free(mk, &wo->wo_stream, worker);
		break;
	default:
		break;
	}
}

static int
make_ops(struct maker *mk)
{
	struct trace *tr = mk->mk_trace;
	bool any = true;

	tr->tr_ops = calloc(OPS_MAX, sizeof(tr->tr_ops[0]));
	if (tr->tr_ops == NULL)
		return (ENOMEM);
	while (any && tr->tr_nops < OPS_MAX) {
		any = false;
		for (uint32_t i = 0; i < mk->mk_count; i++)
			if (mk->mk_workers[i].wo_left > 0 &&
			    tr->tr_nops < OPS_MAX) {
				any = true;
				turn(mk, i);
			}
	}
	tr->tr_end_count = mk->mk_live_count;
	tr->tr_end_bytes = mk->mk_live;
	tr->tr_threads = mk->mk_count;
	return (0);
}

static int
make_trace(struct maker *mk)
{
	struct trace *tr = calloc(1, sizeof(*tr));

	mk->mk_trace = tr;
	if (tr == NULL)
		return (ENOMEM);
	tr->tr_quantum = 1;
	tr->tr_name = strdup(mk->mk_job->jo_name);
	tr->tr_program = strdup("a soak job");
	if (tr->tr_name == NULL || tr->tr_program == NULL ||
	    add_workers(mk) != 0)
		return (ENOMEM);
	return (make_ops(mk));
}

enum ctl_exit
compare_load_job(struct ctl *ct, const char *path, struct trace **trp)
{
	struct maker mk = { 0 };
	struct job *job;
	enum ctl_exit code;
	int error;

	job_setup();
	code = job_open(ct, "compare", path, &job);
	if (code != CTL_DONE)
		return (code);
	mk.mk_job = job;
	error = make_trace(&mk);
	for (unsigned int i = 0; i < mk.mk_count; i++)
		free(mk.mk_workers[i].wo_ranges);
	free(mk.mk_workers);
	job_free(job);
	*trp = mk.mk_trace;	/* in part or whole, the caller's */
	if (error != 0)
		return (ctl_fail(ct, CTL_USAGE, "no_memory",
		    "compare: out of memory"));
	return (CTL_DONE);
}
