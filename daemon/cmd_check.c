/*
 * cmd_check.c - check and reap: libvmem goes over a whole arena, in slices of
 * its own as far as locks are concerned, but in one call.  So the helper does
 * it, and no worker is held.
 */
#include "config.h"

#include <stdlib.h>

#include "daemon/cache.h"
#include "daemon/request.h"

struct check_state {
	struct request *ck_request;
	struct arena *ck_arena;		/* the only one, or the one at hand */
	bool ck_all;
	const char *ck_why;		/* NULL: nothing is broken */
	char ck_where[VMEM_NAME_MAX];
	uint64_t ck_bytes;
	struct task ck_task;
};

static void
check_fini(struct request *rq)
{
	struct check_state *ck = rq->rq_state;

	reg_arena_put(&rq->rq_daemon->dm_registry, ck->ck_arena);
	free(ck);
}

static struct check_state *
state_of_task(struct task *tk)
{
	return ((struct check_state *)(void *)((char *)tk -
	    offsetof(struct check_state, ck_task)));
}

static void
check_arena(struct check_state *ck, struct arena *ar)
{
	const char *why = NULL;

	if (cache_check(ar, &why) == 0 &&
	    (ar->ar_kind != ARENA_PAGEABLE ||
		vmpager_check(ar->ar_backing->bk_pager, &why) == 0))
		return;
	ck->ck_why = why != NULL ? why : "an invariant";
	memcpy(ck->ck_where, ar->ar_name, sizeof(ck->ck_where));
}

static void
reap_arena(struct check_state *ck, struct arena *ar)
{
	ck->ck_bytes += cache_reap(ar);
}

static void
for_each(struct check_state *ck,
    void (*fn)(struct check_state *, struct arena *))
{
	struct registry *rg = &ck->ck_request->rq_daemon->dm_registry;

	if (!ck->ck_all) {
		fn(ck, ck->ck_arena);
		return;
	}
	while ((ck->ck_arena = reg_arena_next(rg, ck->ck_arena)) != NULL)
		fn(ck, ck->ck_arena);
}

static void
check_run(struct task *tk)
{
	for_each(state_of_task(tk), check_arena);
}

static void
reap_run(struct task *tk)
{
	for_each(state_of_task(tk), reap_arena);
}

static void
task_done(struct worker *wk, struct msg *ms)
{
	struct check_state *ck = (struct check_state *)(void *)((char *)ms -
	    offsetof(struct check_state, ck_task.tk_done));

	(void)wk;
	conn_resume(ck->ck_request->rq_conn);
}

static enum step
check_answer(struct request *rq)
{
	struct check_state *ck = rq->rq_state;
	struct buf *b;

	if (ck->ck_why != NULL) {
		daemon_set_corrupt(rq->rq_daemon, ck->ck_where, ck->ck_why);
		return (reply_fail(rq, PE_CORRUPT, NULL, "%s: %s",
		    ck->ck_where, ck->ck_why));
	}
	b = reply_begin(rq);
	jw_open(b, '{');
	jw_ku64(b, "violations", 0);
	jw_close(b, '}');
	return (STEP_DONE);
}

static enum step
reap_answer(struct request *rq)
{
	struct check_state *ck = rq->rq_state;
	struct buf *b = reply_begin(rq);

	jw_open(b, '{');
	jw_ku64(b, "bytes", ck->ck_bytes);
	jw_close(b, '}');
	return (STEP_DONE);
}

static enum step
begin(struct request *rq, void (*run)(struct task *), handler_fn *answer)
{
	bool all = !rq->rq_args[ARG_ALL_ARENA].pa_given;
	struct arena *ar = NULL;
	struct check_state *ck;

	if (!all && (ar = request_arena(rq, ARG_ALL_ARENA)) == NULL)
		return (STEP_DONE);
	ck = calloc(1, sizeof(*ck));
	if (ck == NULL) {
		reg_arena_put(&rq->rq_daemon->dm_registry, ar);
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	}
	ck->ck_request = rq;
	ck->ck_all = all;
	ck->ck_arena = ar;
	ck->ck_task.tk_run = run;
	ck->ck_task.tk_worker = rq->rq_worker;
	ck->ck_task.tk_done.ms_run = task_done;
	rq->rq_state = ck;
	rq->rq_fini = check_fini;
	rq->rq_step = answer;
	rq->rq_must = true;
	helper_post(rq->rq_daemon->dm_helper, &ck->ck_task);
	return (STEP_PARKED);
}

enum step
cmd_check(struct request *rq)
{
	return (begin(rq, check_run, check_answer));
}

enum step
cmd_reap(struct request *rq)
{
	return (begin(rq, reap_run, reap_answer));
}
