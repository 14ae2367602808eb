/*
 * cmd_record.c - record.start, record.stop.
 *
 * The file's descriptor comes with the request (SCM_RIGHTS): the daemon opens
 * nothing that a client names.  Stopping waits for the last buffer to be
 * written: the helper does.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/record.h"
#include "daemon/request.h"

enum step
cmd_record_start(struct request *rq)
{
	struct arena *ar = request_arena(rq, ARG_ONLY_ARENA);
	int fd = conn_take_fd(rq->rq_conn), error;

	if (ar == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return (STEP_DONE);
	}
	if (fd < 0) {
		reg_arena_put(&rq->rq_daemon->dm_registry, ar);
		return (reply_fail(rq, PE_PARAMS, NULL, "no descriptor came"
		    " with the request (SCM_RIGHTS)"));
	}
	error = record_start(ar, fd);
	reg_arena_put(&rq->rq_daemon->dm_registry, ar);
	if (error == 0)
		return (STEP_DONE);
	(void)close(fd);
	switch (error) {
	case EINVAL:
		return (reply_fail(rq, PE_PARAMS, NULL, "the descriptor is not"
		    " of a regular file, open for writing"));
	case EBUSY:
		return (reply_fail(rq, PE_BUSY, "arena",
		    "it is being recorded already"));
	default:
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	}
}

struct stop_state {
	struct request *ss_request;
	struct arena *ss_arena;		/* referenced */
	uint64_t ss_ops;
	int ss_error;
	struct task ss_task;
};

static void
stop_fini(struct request *rq)
{
	struct stop_state *ss = rq->rq_state;

	reg_arena_put(&rq->rq_daemon->dm_registry, ss->ss_arena);
	free(ss);
}

static void
stop_run(struct task *tk)
{
	struct stop_state *ss = (struct stop_state *)(void *)((char *)tk -
	    offsetof(struct stop_state, ss_task));

	ss->ss_error = record_stop(ss->ss_arena, &ss->ss_ops);
}

static void
stop_done(struct worker *wk, struct msg *ms)
{
	struct stop_state *ss = (struct stop_state *)(void *)((char *)ms -
	    offsetof(struct stop_state, ss_task.tk_done));

	(void)wk;
	conn_resume(ss->ss_request->rq_conn);
}

static enum step
stop_answer(struct request *rq)
{
	struct stop_state *ss = rq->rq_state;
	struct buf *b;

	if (ss->ss_error == ENOENT)
		return (reply_fail(rq, PE_PARAMS, "arena",
		    "arena: it isn't being recorded"));
	if (ss->ss_error != 0)
		return (reply_fail(rq, PE_INTERNAL, NULL,
		    "the trace ends early: %s", strerror(ss->ss_error)));
	b = reply_begin(rq);
	jw_open(b, '{');
	jw_ku64(b, "operations", ss->ss_ops);
	jw_close(b, '}');
	return (STEP_DONE);
}

enum step
cmd_record_stop(struct request *rq)
{
	struct arena *ar = request_arena(rq, ARG_ONLY_ARENA);
	struct stop_state *ss;

	if (ar == NULL)
		return (STEP_DONE);
	ss = calloc(1, sizeof(*ss));
	if (ss == NULL) {
		reg_arena_put(&rq->rq_daemon->dm_registry, ar);
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	}
	ss->ss_request = rq;
	ss->ss_arena = ar;
	ss->ss_task.tk_run = stop_run;
	ss->ss_task.tk_worker = rq->rq_worker;
	ss->ss_task.tk_done.ms_run = stop_done;
	rq->rq_state = ss;
	rq->rq_fini = stop_fini;
	rq->rq_step = stop_answer;
	rq->rq_must = true;
	helper_post(rq->rq_daemon->dm_helper, &ss->ss_task);
	return (STEP_PARKED);
}
