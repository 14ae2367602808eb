/*
 * cmd_alloc.c - alloc.
 *
 *	check -> charge -> take (in slices) ------------> finish -> answer
 *	              \--> submit ... granted, later ---/
 *
 * All or nothing: whatever fails, finish() undoes what was done before it.
 * It runs here, or with the helper when there is much to back or to undo.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/plant.h"
#include "daemon/request.h"
#include "daemon/space.h"
#include "daemon/wait.h"
#include "util/clock.h"

/* More ranges than this are finished by the helper. */
#define COUNT_INLINE_MAX 1024u

struct alloc_state {
	struct request *as_request;
	struct arena *as_arena;		/* referenced */
	struct holding *as_group;		/* referenced */
	struct space_want as_want;
	uint64_t as_count;
	uint64_t as_bytes;		/* charged */
	bool as_keep;
	bool as_charged;
	bool as_finished;
	enum proto_error as_error;
	uint64_t as_taken;		/* of as_allocs: with space */
	struct alloc **as_allocs;	/* as_count of them */
	vmem_addr_t *as_addrs;		/* and their addresses */
	struct waiter *as_waiter;
	struct task as_task;
};

static void
alloc_fini(struct request *rq)
{
	struct alloc_state *as = rq->rq_state;
	struct registry *rg = &rq->rq_daemon->dm_registry;

	if (as->as_charged)
		reg_uncharge(rg, rq->rq_conn->cn_client, as->as_keep,
		    as->as_bytes, as->as_count);
	for (uint64_t i = 0; as->as_allocs != NULL && i < as->as_count; i++)
		alloc_delete(as->as_allocs[i]);
	free(as->as_allocs);
	free(as->as_addrs);
	wait_drop(as->as_waiter);
	reg_group_put(rg, as->as_group);
	reg_arena_put(rg, as->as_arena);
	free(as);
}

/* ---- check -------------------------------------------------------------- */

static bool
power_of_two(uint64_t x)
{
	return ((x & (x - 1)) == 0);
}

/* What vmem_xalloc() would find invalid, named; NULL: nothing. */
static const char *
bad_constraint(const struct arena *ar, const struct space_want *sw,
    const char **whyp)
{
	*whyp = "not a power of two";
	if (!power_of_two(sw->sw_align))
		return ("align");
	if (!power_of_two(sw->sw_nocross))
		return ("nocross");
	*whyp = "not below align, or no multiple of the quantum";
	if (sw->sw_phase != 0 && (sw->sw_phase >= sw->sw_align ||
	    sw->sw_phase % ar->ar_quantum != 0))
		return ("phase");
	*whyp = "less than size";
	if (sw->sw_nocross != 0 && sw->sw_nocross < sw->sw_size)
		return ("nocross");
	*whyp = "less than min, or the range between is smaller than size";
	if (sw->sw_max < sw->sw_min ||
	    sw->sw_max - sw->sw_min < sw->sw_size - 1)
		return ("max");
	return (NULL);
}

/* `at`: a range of its own, which excludes every other wish. */
static enum step
check_at(struct request *rq, struct alloc_state *as)
{
	static const unsigned int excluded[] = { ARG_ALLOC_ALIGN,
		ARG_ALLOC_PHASE, ARG_ALLOC_NOCROSS, ARG_ALLOC_MIN,
		ARG_ALLOC_MAX, ARG_ALLOC_FIT };
	struct space_want *sw = &as->as_want;
	vmem_addr_t at = rq->rq_args[ARG_ALLOC_AT].pa_size;

	for (size_t i = 0; i < sizeof(excluded) / sizeof(excluded[0]); i++)
		if (rq->rq_args[excluded[i]].pa_given)
			return (reply_fail(rq, PE_PARAMS, "at",
			    "at goes with no other constraint"));
	if (as->as_count != 1)
		return (reply_fail(rq, PE_PARAMS, "count",
		    "at is the address of one range"));
	if (at % as->as_arena->ar_quantum != 0)
		return (reply_fail(rq, PE_PARAMS, "at",
		    "at: not a multiple of the quantum"));
	if (at > VMEM_ADDR_MAX - (sw->sw_size - 1))
		return (reply_fail(rq, PE_NO_SPACE, "at",
		    "the range would end past 2^64-1"));
	sw->sw_at = true;
	sw->sw_min = at;
	sw->sw_max = at + (sw->sw_size - 1);
	return (STEP_AGAIN);
}

static enum step
check_size(struct request *rq, struct alloc_state *as)
{
	uint64_t size = rq->rq_args[ARG_ALLOC_SIZE].pa_size;

	as->as_count = (uint64_t)rq->rq_args[ARG_ALLOC_COUNT].pa_int;
	if (size == 0)
		return (reply_fail(rq, PE_PARAMS, "size",
		    "size: at least 1"));
	if (arena_round(as->as_arena, size, &as->as_want.sw_size) != 0 ||
	    __builtin_mul_overflow(
		as->as_want.sw_size, as->as_count, &as->as_bytes))
		return (reply_fail(rq, PE_NO_SPACE, "size",
		    "larger than any arena"));
	return (STEP_AGAIN);
}

/* STEP_AGAIN: fine. */
static enum step
alloc_check(struct request *rq, struct alloc_state *as)
{
	const struct proto_arg *arg = rq->rq_args;
	struct space_want *sw = &as->as_want;
	const char *tag = arg[ARG_ALLOC_TAG].pa_string, *field, *why;
	enum step step;

	if (arg[ARG_ALLOC_IDEM].pa_given)
		return (reply_fail(rq, PE_NOT_SUPPORTED, "idem",
		    "idem isn't supported in this version"));
	if (tag != NULL && (tag[0] == '\0' || strlen(tag) > PROTO_TAG_MAX))
		return (reply_fail(rq, PE_PARAMS, "tag",
		    "tag: 1 to %d bytes", PROTO_TAG_MAX));
	if (as->as_arena->ar_private)
		return (reply_fail(rq, PE_NOT_SUPPORTED, "arena",
		    "%s is libvmem's own", as->as_arena->ar_name));
	step = check_size(rq, as);
	if (step != STEP_AGAIN)
		return (step);
	sw->sw_max = VMEM_ADDR_MAX;
	if (arg[ARG_ALLOC_AT].pa_given)
		return (check_at(rq, as));
	sw->sw_align = arg[ARG_ALLOC_ALIGN].pa_size;
	sw->sw_phase = arg[ARG_ALLOC_PHASE].pa_size;
	sw->sw_nocross = arg[ARG_ALLOC_NOCROSS].pa_size;
	sw->sw_min = arg[ARG_ALLOC_MIN].pa_size;
	if (arg[ARG_ALLOC_MAX].pa_given)
		sw->sw_max = arg[ARG_ALLOC_MAX].pa_size;
	if (arg[ARG_ALLOC_FIT].pa_given)
		sw->sw_fit = arena_fit_flag(arg[ARG_ALLOC_FIT].pa_enum);
	field = bad_constraint(as->as_arena, sw, &why);
	if (field != NULL)
		return (reply_fail(rq, PE_PARAMS, field, "%s: %s", field, why));
	return (STEP_AGAIN);
}

/* ---- finish ------------------------------------------------------------- */

static void
undo(struct alloc_state *as, uint64_t backed)
{
	for (uint64_t i = 0; i < as->as_taken; i++)
		space_drop(as->as_arena, as->as_allocs[i], i < backed);
	as->as_taken = 0;
}

/* Back and record all that was taken; or, after an error, undo it.  In the
 * worker, or in the helper: the connection waits, or isn't concerned yet. */
static void
finish(struct alloc_state *as)
{
	struct request *rq = as->as_request;
	uint64_t i = 0;

	while (as->as_error == PE_OK && i < as->as_count) {
		as->as_addrs[i] = as->as_allocs[i]->al_addr;
		as->as_error = space_back(as->as_arena, as->as_allocs[i]);
		if (as->as_error == PE_OK)
			i++;
	}
	if (as->as_error == PE_OK &&
	    reg_insert(&rq->rq_daemon->dm_registry, as->as_group,
		rq->rq_conn->cn_client, as->as_keep, as->as_allocs,
		as->as_count) != 0)
		as->as_error = PE_INTERNAL;
	if (as->as_error != PE_OK)
		undo(as, i);
	else {
		/* The registry's from now on: another connection of this uid
		 * may free them before they are answered. */
		as->as_charged = false;
		memset(as->as_allocs, 0, as->as_count * sizeof(struct alloc *));
	}
	as->as_finished = true;
}

static bool
finish_is_long(const struct alloc_state *as)
{
	return (as->as_count > COUNT_INLINE_MAX ||
	    space_is_long(as->as_arena, as->as_bytes));
}

static void
finish_task(struct task *tk)
{
	struct alloc_state *as = (struct alloc_state *)(void *)((char *)tk -
	    offsetof(struct alloc_state, as_task));

	finish(as);
}

static void
finish_post(struct alloc_state *as,
    void (*done)(struct worker *, struct msg *))
{
	as->as_task.tk_run = finish_task;
	as->as_task.tk_worker = as->as_request->rq_worker;
	as->as_task.tk_done.ms_run = done;
	helper_post(as->as_request->rq_daemon->dm_helper, &as->as_task);
}

static struct alloc_state *
state_of_done(struct msg *ms)
{
	return ((struct alloc_state *)(void *)((char *)ms -
	    offsetof(struct alloc_state, as_task.tk_done)));
}

/* ---- answer ------------------------------------------------------------- */

static enum step
answer_error(struct request *rq, const struct alloc_state *as)
{
	const char *name = as->as_arena->ar_name;

	switch (as->as_error) {
	case PE_NO_SPACE:
		return (reply_fail(rq, PE_NO_SPACE, "size",
		    "%s can't satisfy it", name));
	case PE_EXISTS:
		return (reply_fail(rq, PE_EXISTS, "at",
		    "%s: the address is taken", name));
	case PE_PARAMS:
		return (reply_fail(rq, PE_PARAMS,
		    as->as_want.sw_nocross != 0 ? "nocross" : "size",
		    "nothing could satisfy it"));
	case PE_NO_FRAMES:
		return (reply_fail(rq, PE_NO_FRAMES, "size",
		    "%s: frames and swap don't cover it", name));
	case PE_QUOTA:
		return (reply_fail(rq, PE_QUOTA, "size",
		    "over the quota of the connection or the user"));
	case PE_TIMED_OUT:
		return (reply_fail(rq, PE_TIMED_OUT, NULL,
		    "%s: no space in time", name));
	case PE_CANCELLED:
		return (reply_fail(rq, PE_CANCELLED, NULL, "cancelled"));
	case PE_SHUTTING_DOWN:
		return (reply_fail(rq, PE_SHUTTING_DOWN, NULL,
		    "the daemon is shutting down"));
	case PE_BUSY:
		return (reply_fail(rq, PE_BUSY, NULL,
		    "too many requests of this connection wait"));
	default:
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	}
}

static enum step
answer(struct request *rq, struct alloc_state *as)
{
	struct buf *b;

	if (as->as_error != PE_OK)
		return (answer_error(rq, as));
	b = reply_begin(rq);
	jw_open(b, '{');
	if (rq->rq_args[ARG_ALLOC_COUNT].pa_given && as->as_count > 1) {
		jw_kopen(b, "addrs", '[');
		for (uint64_t i = 0; i < as->as_count; i++)
			jw_addr(b, as->as_addrs[i]);
		jw_close(b, ']');
	} else {
		jw_kaddr(b, "addr", plant_address(as->as_addrs[0],
		    as->as_want.sw_size, as->as_arena->ar_quantum));
	}
	jw_ku64(b, "size", as->as_want.sw_size);
	jw_close(b, '}');
	return (STEP_DONE);
}

static void
parked_done(struct worker *wk, struct msg *ms)
{
	(void)wk;
	conn_resume(state_of_done(ms)->as_request->rq_conn);
}

static enum step
alloc_step(struct request *rq)
{
	struct alloc_state *as = rq->rq_state;

	while (!as->as_finished && as->as_error == PE_OK &&
	    as->as_taken < as->as_count) {
		as->as_error = space_take(as->as_arena, &as->as_want,
		    as->as_allocs[as->as_taken]);
		if (as->as_error == PE_OK)
			as->as_taken++;
		if (as->as_taken % 64 == 0 && request_slice_over(rq))
			return (STEP_AGAIN);
	}
	if (!as->as_finished && finish_is_long(as)) {
		finish_post(as, parked_done);
		return (STEP_PARKED);
	}
	if (!as->as_finished)
		finish(as);
	arena_latency(
	    as->as_arena, ARENA_OP_ALLOC, clock_ns() - rq->rq_start_ns);
	return (answer(rq, as));
}

/* ---- waiting ------------------------------------------------------------ */

static void
waiting_answer(struct alloc_state *as)
{
	(void)answer(as->as_request, as);
	request_finish(as->as_request);
}

static void
waiting_done(struct worker *wk, struct msg *ms)
{
	struct alloc_state *as = state_of_done(ms);
	struct conn *cn = as->as_request->rq_conn;

	(void)wk;
	waiting_answer(as);
	conn_wake(cn);
}

/* The addresses that the waiter was granted, into the records. */
static void
adopt_granted(struct alloc_state *as)
{
	for (uint64_t i = 0; i < as->as_count; i++) {
		as->as_allocs[i]->al_addr = as->as_addrs[i];
		as->as_allocs[i]->al_size = as->as_want.sw_size;
		as->as_allocs[i]->al_cached = as->as_waiter->wt_vr.vr_cached;
		as->as_allocs[i]->al_align = as->as_want.sw_align;
	}
	as->as_taken = as->as_count;
}

static void
waiting_end(struct waiter *wt, enum proto_error error)
{
	struct alloc_state *as = wt->wt_request->rq_state;

	as->as_error = error;
	if (error == PE_OK)
		adopt_granted(as);
	if (error == PE_OK && finish_is_long(as)) {
		finish_post(as, waiting_done);
		return;
	}
	if (error == PE_OK)
		finish(as);
	waiting_answer(as);
}

/* STEP_WAITING; or done at once, and then as if it had never waited. */
static enum step
alloc_wait(struct request *rq, struct alloc_state *as)
{
	const struct space_want *sw = &as->as_want;
	struct waiter *wt = wait_new(rq, as->as_arena, waiting_end);
	struct vmem_request *vr;
	int error;

	as->as_waiter = wt;
	if (wt == NULL)
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	vr = &wt->wt_vr;
	vr->vr_size = sw->sw_size;
	vr->vr_align = sw->sw_align;
	vr->vr_phase = sw->sw_phase;
	vr->vr_nocross = sw->sw_nocross;
	vr->vr_min = sw->sw_min;
	vr->vr_max = sw->sw_max;
	vr->vr_flags = sw->sw_fit;
	/* libvmem knows its own caches only: who waits for a size of kmem's
	 * table is given a range of its own. */
	vr->vr_cached = as->as_arena->ar_kmem == NULL &&
	    space_cached(as->as_arena, sw);
	vr->vr_count = (unsigned int)as->as_count;
	vr->vr_addrs = as->as_addrs;
	error = wait_begin(wt, rq->rq_args[ARG_ALLOC_SLEEP_MS].pa_int);
	switch (error) {
	case EINPROGRESS:
		return (STEP_WAITING);
	case 0:
		adopt_granted(as);
		return (alloc_step(rq));
	case EINVAL:
		as->as_error = PE_PARAMS;
		break;
	case EBUSY:
		as->as_error = PE_BUSY;
		break;
	default:
		as->as_error = PE_NO_SPACE;
		break;
	}
	return (answer(rq, as));
}

/* ---- begin -------------------------------------------------------------- */

static enum step
alloc_begin(struct request *rq, struct alloc_state *as)
{
	struct registry *rg = &rq->rq_daemon->dm_registry;
	struct client *cl = rq->rq_conn->cn_client;

	as->as_keep = rq->rq_args[ARG_ALLOC_KEEP].pa_bool;
	if (reg_charge(rg, cl, as->as_keep, as->as_bytes, as->as_count) != 0) {
		as->as_error = PE_QUOTA;
		return (answer(rq, as));
	}
	as->as_charged = true;
	as->as_error = PE_INTERNAL;
	as->as_group = reg_group_get(
	    rg, as->as_arena, cl, rq->rq_args[ARG_ALLOC_TAG].pa_string);
	as->as_allocs = calloc(as->as_count, sizeof(struct alloc *));
	as->as_addrs = calloc(as->as_count, sizeof(vmem_addr_t));
	if (as->as_group == NULL || as->as_allocs == NULL ||
	    as->as_addrs == NULL)
		return (answer(rq, as));
	for (uint64_t i = 0; i < as->as_count; i++) {
		as->as_allocs[i] = alloc_new();
		if (as->as_allocs[i] == NULL)
			return (answer(rq, as));
	}
	as->as_error = PE_OK;
	rq->rq_must = true;
	if (rq->rq_args[ARG_ALLOC_SLEEP_MS].pa_int != 0)
		return (alloc_wait(rq, as));
	return (STEP_AGAIN);
}

enum step
cmd_alloc(struct request *rq)
{
	struct arena *ar = request_arena(rq, ARG_ALLOC_ARENA);
	struct alloc_state *as;
	enum step step;

	if (ar == NULL)
		return (STEP_DONE);
	as = calloc(1, sizeof(*as));
	if (as == NULL) {
		reg_arena_put(&rq->rq_daemon->dm_registry, ar);
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	}
	as->as_request = rq;
	as->as_arena = ar;
	rq->rq_state = as;
	rq->rq_fini = alloc_fini;
	rq->rq_step = alloc_step;
	step = alloc_check(rq, as);
	if (step == STEP_AGAIN)
		step = alloc_begin(rq, as);
	if (step == STEP_AGAIN)
		step = alloc_step(rq);
	return (step);
}
