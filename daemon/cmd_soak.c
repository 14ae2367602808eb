/*
 * cmd_soak.c - soak.start, soak.status, soak.stop; and progress.
 *
 * Adding up the books of many workers takes longer than a turn: the helper
 * does it.  Waiting for a job's end parks the connection that asked.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/request.h"
#include "daemon/soak.h"
#include "util/clock.h"

/* ---- progress ----------------------------------------------------------- */

static void
watch_end(struct soak_watch *sw)
{
	(void)evtimer_del(&sw->sw_timer);
	LIST_REMOVE(sw, sw_link);
	soak_put(sw->sw_job);
	free(sw);
}

static void
watch_arm(struct soak_watch *sw)
{
	uint64_t ns = sw->sw_job->sj_job->jo_interval_ns;
	const struct timeval tv = { (time_t)(ns / 1000000000),
		(suseconds_t)(ns % 1000000000 / 1000) };

	(void)evtimer_add(&sw->sw_timer, &tv);
}

/* A peer that doesn't read misses some, but never the last. */
static void
watch_tell(evutil_socket_t fd, short what, void *arg)
{
	static const char head[] =
	    "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":";
	struct soak_watch *sw = arg;
	struct conn *cn = sw->sw_conn;
	bool last = atomic_load(&sw->sw_job->sj_ended_ns) != 0;
	json_t *status;
	char *text;

	(void)fd;
	(void)what;
	if (!conn_writable(cn)) {
		watch_arm(sw);
		return;
	}
	status = soak_status_json(sw->sw_job, true);
	text = status != NULL ? json_dumps(status, JSON_COMPACT |
	    JSON_REAL_PRECISION(9)) : NULL;
	if (text != NULL) {
		struct buf *out = conn_out(cn);

		buf_append(out, head, sizeof(head) - 1);
		buf_append(out, text, strlen(text));
		buf_append(out, "}\n", 2);
	}
	free(text);
	json_decref(status);
	if (last)
		watch_end(sw);
	else
		watch_arm(sw);
	conn_wake(cn);
}

/* The job has been stopped by the connection that watches it: its last word
 * comes now, and its memory needn't wait for the timer. */
static void
watch_last(struct conn *cn, const struct soak_job *sj)
{
	struct soak_watch *sw;

	LIST_FOREACH(sw, &cn->cn_soaks, sw_link)
		if (sw->sw_job == sj) {
			watch_tell(-1, 0, sw);
			return;
		}
}

int
soak_watch(struct soak_job *sj, struct conn *cn)
{
	struct soak_watch *sw = calloc(1, sizeof(*sw));

	if (sw == NULL)
		return (ENOMEM);
	sw->sw_job = sj;
	sw->sw_conn = cn;
	(void)evtimer_assign(
	    &sw->sw_timer, cn->cn_worker->wk_base, watch_tell, sw);
	LIST_INSERT_HEAD(&cn->cn_soaks, sw, sw_link);
	watch_arm(sw);
	return (0);
}

void
soak_conn_gone(struct conn *cn)
{
	struct soak_watch *sw;

	while ((sw = LIST_FIRST(&cn->cn_soaks)) != NULL) {
		if (!sw->sw_job->sj_keep) {
			soak_end(sw->sw_job);
			soak_forget(sw->sw_job);
		}
		watch_end(sw);
	}
}

/* ---- start -------------------------------------------------------------- */

/* What a job may ask of the daemon, beyond what any job may. */
static enum step
check_job(struct request *rq, const struct job *job)
{
	uint64_t live = 0;

	if (job_workers(job, JOB_DAEMON) == 0)
		return (reply_fail(rq, PE_PARAMS, "job",
		    "the job has no group with where = daemon"));
	for (unsigned int i = 0; i < job->jo_group_count; i++) {
		const struct job_group *jg = &job->jo_groups[i];

		if (jg->jg_where == JOB_DAEMON)
			live += jg->jg_workers * jg->jg_live;
		if (jg->jg_sizes.js_kind == JOB_SIZES_TRACE)
			return (reply_fail(rq, PE_PARAMS, "job", "[%s] sizes:"
			    " the daemon reads no traces; vmemctl sends their"
			    " sizes as a list", jg->jg_name));
	}
	if (live > SOAK_LIVE_MAX)
		return (reply_fail(rq, PE_PARAMS, "job",
		    "its workers would hold more than %u ranges",
		    SOAK_LIVE_MAX));
	return (STEP_AGAIN);
}

static enum step
check_arena(struct request *rq, const struct job *job, const struct arena *ar)
{
	if (ar == NULL)
		return (reply_fail(rq, PE_NO_ARENA, "job", "no arena %.31s",
		    job->jo_arena));
	if (ar->ar_private)
		return (reply_fail(rq, PE_NOT_SUPPORTED, "job",
		    "%s is libvmem's own", ar->ar_name));
	if (job->jo_verify == JOB_VERIFY_PATTERN && !arena_has_memory(ar))
		return (reply_fail(rq, PE_PARAMS, "job", "verify = pattern"
		    " needs an arena with memory, and %s has none",
		    ar->ar_name));
	return (STEP_AGAIN);
}

static enum step
start_answer(struct request *rq, struct soak_job *sj)
{
	struct buf *b;

	if (soak_watch(sj, rq->rq_conn) != 0) {
		soak_end(sj);
		soak_forget(sj);
		soak_put(sj);
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	}
	b = reply_begin(rq);
	jw_open(b, '{');
	jw_ku64(b, "id", sj->sj_id);
	jw_close(b, '}');
	return (STEP_DONE);
}

static enum step
start(struct request *rq, struct job *job, struct arena *ar)
{
	struct soak_job *sj;
	int error = soak_start(rq->rq_daemon, ar, job,
	    rq->rq_conn->cn_client->cl_uid,
	    rq->rq_args[ARG_SOAK_KEEP].pa_bool, &sj);

	switch (error) {
	case 0:
		return (start_answer(rq, sj));
	case EAGAIN:
		job_free(job);
		return (reply_fail(rq, PE_BUSY, NULL,
		    "%d soak jobs run, or wait to be stopped", SOAK_JOBS_MAX));
	case EFBIG:
		job_free(job);
		return (reply_fail(rq, PE_PARAMS, "job", "%s has too many"
		    " addresses to keep an owner of each: verify = off",
		    ar->ar_name));
	default:
		job_free(job);
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	}
}

enum step
cmd_soak_start(struct request *rq)
{
	struct registry *rg = &rq->rq_daemon->dm_registry;
	struct job_error err;
	struct arena *ar;
	struct job *job;
	enum step step;

	if (job_parse(rq->rq_args[ARG_SOAK_JOB].pa_string, "job", &job,
		&err) != 0)
		return (reply_fail(rq, PE_PARAMS, "job", "%s", err.je_text));
	step = check_job(rq, job);
	if (step != STEP_AGAIN) {
		job_free(job);
		return (step);
	}
	ar = reg_arena_get(rg, job->jo_arena);
	step = check_arena(rq, job, ar);
	if (step == STEP_AGAIN)
		step = start(rq, job, ar);
	else
		job_free(job);
	reg_arena_put(rg, ar);
	return (step);
}

/* ---- status and stop ---------------------------------------------------- */

struct status_state {
	struct soak_job *ss_job;	/* referenced */
	struct request *ss_request;
	char *ss_text;
	struct soak_waiter ss_waiter;
	struct task ss_task;
	bool ss_stop;
};

static void
status_fini(struct request *rq)
{
	struct status_state *ss = rq->rq_state;

	soak_put(ss->ss_job);
	free(ss->ss_text);
	free(ss);
}

static void
status_run(struct task *tk)
{
	struct status_state *ss = (struct status_state *)(void *)((char *)tk -
	    offsetof(struct status_state, ss_task));
	json_t *status = soak_status_json(ss->ss_job, false);

	if (status != NULL)
		ss->ss_text = json_dumps(
		    status, JSON_COMPACT | JSON_REAL_PRECISION(12));
	json_decref(status);
}

static void
status_done(struct worker *wk, struct msg *ms)
{
	struct status_state *ss = (struct status_state *)(void *)((char *)ms -
	    offsetof(struct status_state, ss_task.tk_done));

	(void)wk;
	conn_resume(ss->ss_request->rq_conn);
}

static enum step
status_answer(struct request *rq)
{
	struct status_state *ss = rq->rq_state;
	struct buf *b;

	if (ss->ss_stop) {
		watch_last(rq->rq_conn, ss->ss_job);
		soak_forget(ss->ss_job);
	}
	if (ss->ss_text == NULL)
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	b = reply_begin(rq);
	jw_raw(b, ss->ss_text, strlen(ss->ss_text));
	return (STEP_DONE);
}

static enum step
status_gather(struct request *rq)
{
	struct status_state *ss = rq->rq_state;

	rq->rq_step = status_answer;
	ss->ss_task.tk_run = status_run;
	ss->ss_task.tk_worker = rq->rq_worker;
	ss->ss_task.tk_done.ms_run = status_done;
	helper_post(rq->rq_daemon->dm_helper, &ss->ss_task);
	return (STEP_PARKED);
}

static struct status_state *
status_new(struct request *rq)
{
	struct soak_job *sj =
	    soak_get((uint64_t)rq->rq_args[ARG_SOAK_ID].pa_int);
	struct status_state *ss;

	if (sj == NULL) {
		(void)reply_fail(rq, PE_PARAMS, "id", "no soak job %lld",
		    (long long)rq->rq_args[ARG_SOAK_ID].pa_int);
		return (NULL);
	}
	ss = calloc(1, sizeof(*ss));
	if (ss == NULL) {
		soak_put(sj);
		(void)reply_fail(rq, PE_INTERNAL, NULL, "no memory");
		return (NULL);
	}
	ss->ss_job = sj;
	ss->ss_request = rq;
	rq->rq_state = ss;
	rq->rq_fini = status_fini;
	rq->rq_must = true;
	return (ss);
}

enum step
cmd_soak_status(struct request *rq)
{
	return (status_new(rq) != NULL ? status_gather(rq) : STEP_DONE);
}

static void
ended(struct worker *wk, struct msg *ms)
{
	struct status_state *ss = (struct status_state *)(void *)((char *)ms -
	    offsetof(struct status_state, ss_waiter.sk_msg));

	(void)wk;
	conn_resume(ss->ss_request->rq_conn);
}

enum step
cmd_soak_stop(struct request *rq)
{
	struct status_state *ss = status_new(rq);

	if (ss == NULL)
		return (STEP_DONE);
	ss->ss_stop = true;
	ss->ss_waiter.sk_request = rq;
	ss->ss_waiter.sk_worker = rq->rq_worker;
	ss->ss_waiter.sk_msg.ms_run = ended;
	soak_end(ss->ss_job);
	rq->rq_step = status_gather;
	return (soak_wait(ss->ss_job, &ss->ss_waiter) ? status_gather(rq) :
							STEP_PARKED);
}
