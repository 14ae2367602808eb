/*
 * cmd_arena.c - arena.list, arena.info, arena.create, arena.destroy.
 *
 * Making an arena may populate its memory, and ending one drops it: both are
 * the helper's work.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/request.h"
#include "daemon/wait.h"

/* ---- list, info --------------------------------------------------------- */

static void
write_arena(struct buf *b, const struct arena *ar)
{
	struct vmem_stat vs;

	vmem_stat(ar->ar_vm, &vs);
	jw_open(b, '{');
	jw_kstr(b, "name", ar->ar_name);
	jw_kstr(b, "kind", arena_kind_name(ar->ar_kind));
	jw_kaddr(b, "base", ar->ar_base);
	jw_ku64(b, "size", vs.vs_size);
	jw_ku64(b, "quantum", ar->ar_quantum);
	jw_ku64(b, "qcache_max", ar->ar_qcache_max);
	jw_kstr(b, "source",
	    ar->ar_source != NULL ? ar->ar_source->ar_name : NULL);
	jw_kstr(b, "policy", arena_fit_name(ar->ar_policy));
	jw_kbool(b, "pageable", ar->ar_kind == ARENA_PAGEABLE);
	jw_kbool(b, "shared", ar->ar_shared);
	jw_kbool(b, "builtin", ar->ar_builtin);
	jw_ku64(b, "uid", ar->ar_uid);
	jw_ku64(b, "inuse_bytes", vs.vs_inuse);
	jw_ku64(b, "free_bytes", vs.vs_free);
	jw_close(b, '}');
}

enum step
cmd_arena_list(struct request *rq)
{
	struct buf *b = reply_begin(rq);
	struct arena *ar = NULL;

	jw_open(b, '[');
	while ((ar = reg_arena_next(&rq->rq_daemon->dm_registry, ar)) != NULL)
		write_arena(b, ar);
	jw_close(b, ']');
	return (STEP_DONE);
}

enum step
cmd_arena_info(struct request *rq)
{
	struct arena *ar = request_arena(rq, ARG_INFO_ARENA);

	if (ar == NULL)
		return (STEP_DONE);
	write_arena(reply_begin(rq), ar);
	reg_arena_put(&rq->rq_daemon->dm_registry, ar);
	return (STEP_DONE);
}

/* ---- create ------------------------------------------------------------- */

struct create_state {
	struct request *cs_request;
	struct arena_spec cs_spec;
	struct arena *cs_arena;		/* made; the registry's once added */
	int cs_error;
	struct task cs_task;
};

static void
create_fini(struct request *rq)
{
	struct create_state *cs = rq->rq_state;

	/* The source's reference is the arena's, once there is one. */
	reg_arena_put(&rq->rq_daemon->dm_registry, cs->cs_spec.as_source);
	free(cs);
}

static bool
name_valid(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) &&
		    strchr("_.-", name[i]) == NULL)
			return (false);
	return (len >= 1 && len < VMEM_NAME_MAX);
}

static bool
is_quantum(uint64_t q)
{
	return (q != 0 && (q & (q - 1)) == 0);
}

/* The kind that follows from what is asked, and whether it can be. */
static enum step
create_kind(struct request *rq, struct arena_spec *as)
{
	const struct proto_arg *arg = rq->rq_args;
	bool pageable = arg[ARG_CREATE_PAGEABLE].pa_bool;
	bool shared = arg[ARG_CREATE_SHARED].pa_bool;
	const char *source = arg[ARG_CREATE_SOURCE].pa_string;

	if (pageable && shared)
		return (reply_fail(rq, PE_PARAMS, "shared",
		    "an arena is pageable or shared, not both"));
	if ((pageable || shared) && as->as_size == 0)
		return (reply_fail(rq, PE_PARAMS, "size",
		    "a pageable or shared arena takes its whole span when it "
		    "is made: size is missing"));
	if (source == NULL && (pageable || shared))
		source = "kernel_va";
	if (source == NULL) {
		as->as_kind = ARENA_IDENTIFIERS;
		return (STEP_AGAIN);
	}
	as->as_source = reg_arena_get(&rq->rq_daemon->dm_registry, source);
	if (as->as_source == NULL)
		return (reply_fail(rq, PE_NO_ARENA, "source", "no arena %.64s",
		    source));
	if (as->as_source->ar_private || ((pageable || shared) &&
	    as->as_source->ar_kind != ARENA_VA))
		return (reply_fail(rq, PE_PARAMS, "source",
		    "%s isn't an arena of plain addresses", source));
	/* What is cut from wired memory is wired; from identifiers, those. */
	switch (as->as_source->ar_kind) {
	case ARENA_IDENTIFIERS:
		as->as_kind = ARENA_IDENTIFIERS;
		break;
	case ARENA_WIRED:
		as->as_kind = ARENA_WIRED;
		break;
	case ARENA_VA:
	case ARENA_PAGEABLE:
		as->as_kind = pageable ? ARENA_PAGEABLE :
		    shared ? ARENA_WIRED : ARENA_VA;
		break;
	}
	as->as_shared = shared;
	return (STEP_AGAIN);
}

/* Quantum, span, caches: what vmem_create() would find invalid, named. */
static enum step
create_numbers(struct request *rq, struct arena_spec *as)
{
	uint64_t unit = as->as_quantum;

	if (as->as_kind == ARENA_PAGEABLE && as->as_quantum % VMPAGER_PAGE != 0)
		return (reply_fail(rq, PE_PARAMS, "quantum",
		    "quantum: a pageable arena's is a multiple of a page"));
	if (as->as_source != NULL && as->as_size != 0 &&
	    as->as_source->ar_quantum > unit)
		unit = as->as_source->ar_quantum;
	if (as->as_size % unit != 0)
		return (reply_fail(rq, PE_PARAMS, "size",
		    "size: not a multiple of the quantum (%llu)",
		    (unsigned long long)unit));
	if (as->as_source != NULL && rq->rq_args[ARG_CREATE_BASE].pa_given)
		return (reply_fail(rq, PE_PARAMS, "base",
		    "base: with a source, the addresses are the source's"));
	if (as->as_base % as->as_quantum != 0)
		return (reply_fail(rq, PE_PARAMS, "base",
		    "base: not a multiple of the quantum"));
	if (as->as_size != 0 && as->as_base > VMEM_ADDR_MAX - (as->as_size - 1))
		return (reply_fail(rq, PE_PARAMS, "size",
		    "the span would end past 2^64-1"));
	if (as->as_qcache_max % as->as_quantum != 0 ||
	    as->as_qcache_max / as->as_quantum > VMEM_QCACHE_MAX)
		return (reply_fail(rq, PE_PARAMS, "qcache_max",
		    "qcache_max: a multiple of the quantum, at most %d of it",
		    VMEM_QCACHE_MAX));
	return (STEP_AGAIN);
}

static enum step
create_check(struct request *rq, struct arena_spec *as)
{
	const struct proto_arg *arg = rq->rq_args;
	enum step step;

	as->as_name = arg[ARG_CREATE_NAME].pa_string;
	as->as_size = arg[ARG_CREATE_SIZE].pa_size;
	as->as_base = arg[ARG_CREATE_BASE].pa_size;
	as->as_quantum = arg[ARG_CREATE_QUANTUM].pa_size;
	as->as_qcache_max = arg[ARG_CREATE_QCACHE_MAX].pa_size;
	as->as_policy = arg[ARG_CREATE_POLICY].pa_enum;
	as->as_uid = rq->rq_conn->cn_client->cl_uid;
	if (!name_valid(as->as_name))
		return (reply_fail(rq, PE_PARAMS, "name",
		    "name: 1 to %d of A-Z a-z 0-9 _ . -", VMEM_NAME_MAX - 1));
	if (arg[ARG_CREATE_SIZE].pa_given && as->as_size == 0)
		return (reply_fail(rq, PE_PARAMS, "size", "size: at least 1"));
	if (!arg[ARG_CREATE_SIZE].pa_given && !arg[ARG_CREATE_SOURCE].pa_given)
		return (reply_fail(rq, PE_PARAMS, "size",
		    "expected size or source"));
	if (!is_quantum(as->as_quantum))
		return (reply_fail(rq, PE_PARAMS, "quantum",
		    "quantum: not a power of two"));
	step = create_kind(rq, as);
	return (step == STEP_AGAIN ? create_numbers(rq, as) : step);
}

static void
create_run(struct task *tk)
{
	struct create_state *cs = (struct create_state *)(void *)((char *)tk -
	    offsetof(struct create_state, cs_task));
	struct daemon *dm = cs->cs_request->rq_daemon;

	cs->cs_error =
	    arena_make(&dm->dm_backing, &cs->cs_spec, &cs->cs_arena);
	if (cs->cs_error != 0)
		return;
	cs->cs_error = reg_arena_add(&dm->dm_registry, cs->cs_arena);
	if (cs->cs_error != 0)
		cs->cs_spec.as_source = arena_unmake(cs->cs_arena);
	else
		cs->cs_spec.as_source = NULL;
}

static void
create_done(struct worker *wk, struct msg *ms)
{
	struct create_state *cs = (struct create_state *)(void *)((char *)ms -
	    offsetof(struct create_state, cs_task.tk_done));

	(void)wk;
	conn_resume(cs->cs_request->rq_conn);
}

static enum step
create_answer(struct request *rq)
{
	struct create_state *cs = rq->rq_state;
	const char *name = rq->rq_args[ARG_CREATE_NAME].pa_string;
	struct arena *ar;

	switch (cs->cs_error) {
	case 0:
		break;
	case EEXIST:
		return (reply_fail(rq, PE_EXISTS, "name",
		    "there is an arena %s", name));
	case ENOENT:
		return (reply_fail(rq, PE_NO_ARENA, "source",
		    "the source is being destroyed"));
	case EMFILE:
		return (reply_fail(rq, PE_BUSY, NULL,
		    "there are %d arenas: no more", ARENAS_MAX));
	case EINVAL:
		return (reply_fail(rq, PE_PARAMS, NULL,
		    "no arena can be like that"));
	default:
		return (reply_fail(rq, PE_NO_SPACE, "size",
		    "can't have the span: %s", strerror(cs->cs_error)));
	}
	/* By name: it may be gone already. */
	ar = reg_arena_get(&rq->rq_daemon->dm_registry, name);
	if (ar == NULL)
		return (reply_fail(rq, PE_NO_ARENA, "name",
		    "%s was destroyed at once", name));
	write_arena(reply_begin(rq), ar);
	reg_arena_put(&rq->rq_daemon->dm_registry, ar);
	return (STEP_DONE);
}

enum step
cmd_arena_create(struct request *rq)
{
	struct create_state *cs = calloc(1, sizeof(*cs));
	enum step step;

	if (cs == NULL)
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	cs->cs_request = rq;
	rq->rq_state = cs;
	rq->rq_fini = create_fini;
	step = create_check(rq, &cs->cs_spec);
	if (step != STEP_AGAIN)
		return (step);
	rq->rq_must = true;
	rq->rq_step = create_answer;
	cs->cs_task.tk_run = create_run;
	cs->cs_task.tk_worker = rq->rq_worker;
	cs->cs_task.tk_done.ms_run = create_done;
	helper_post(rq->rq_daemon->dm_helper, &cs->cs_task);
	return (STEP_PARKED);
}

/* ---- destroy ------------------------------------------------------------ */

struct destroy_state {
	struct request *de_request;
	struct arena *de_arena;
	bool de_gone;
	struct task de_task;
};

static void
destroy_fini(struct request *rq)
{
	free(rq->rq_state);
}

static void
destroy_run(struct task *tk)
{
	struct destroy_state *de = (struct destroy_state *)(void *)(
	    (char *)tk - offsetof(struct destroy_state, de_task));

	reg_arena_remove(
	    &de->de_request->rq_daemon->dm_registry, de->de_arena);
	de->de_gone = true;
}

static void
destroy_done(struct worker *wk, struct msg *ms)
{
	struct destroy_state *de = (struct destroy_state *)(void *)(
	    (char *)ms - offsetof(struct destroy_state, de_task.tk_done));

	(void)wk;
	conn_resume(de->de_request->rq_conn);
}

/* It is ours alone to end: cancel who waits, free what is left, wait for the
 * requests that are still at it. */
static enum step
destroy_step(struct request *rq)
{
	struct destroy_state *de = rq->rq_state;
	struct daemon *dm = rq->rq_daemon;
	struct registry *rg = &dm->dm_registry;
	struct alloc *some[64];
	size_t n;

	if (de->de_gone)
		return (STEP_DONE);
	(void)wait_cancel_arena(dm, de->de_arena, PE_CANCELLED);
	do {
		n = reg_claim_matching(
		    rg, de->de_arena, 0, true, NULL, some, 64);
		for (size_t i = 0; i < n; i++)
			reg_release(rg, some[i]);
	} while (n > 0 && !request_slice_over(rq));
	if (n > 0 || !reg_arena_idle(rg, de->de_arena))
		return (STEP_AGAIN);
	de->de_task.tk_run = destroy_run;
	de->de_task.tk_worker = rq->rq_worker;
	de->de_task.tk_done.ms_run = destroy_done;
	helper_post(dm->dm_helper, &de->de_task);
	return (STEP_PARKED);
}

static enum step
destroy_check(struct request *rq, const struct arena *ar)
{
	const struct client *cl = rq->rq_conn->cn_client;

	if (ar->ar_builtin)
		return (reply_fail(rq, PE_BUSY, "arena",
		    "%s is the daemon's own", ar->ar_name));
	if (!cl->cl_privileged && ar->ar_uid != cl->cl_uid)
		return (reply_fail(rq, PE_NOT_OWNER, "arena",
		    "%s is another user's", ar->ar_name));
	if (!cl->cl_privileged && rq->rq_args[ARG_DESTROY_FORCE].pa_bool)
		return (reply_fail(rq, PE_NOT_OWNER, "force",
		    "force is for root and the daemon's user"));
	return (STEP_AGAIN);
}

enum step
cmd_arena_destroy(struct request *rq)
{
	struct registry *rg = &rq->rq_daemon->dm_registry;
	struct arena *ar = request_arena(rq, ARG_DESTROY_ARENA);
	struct destroy_state *de;
	enum step step;

	if (ar == NULL)
		return (STEP_DONE);
	step = destroy_check(rq, ar);
	de = step == STEP_AGAIN ? calloc(1, sizeof(*de)) : NULL;
	if (step == STEP_AGAIN && de == NULL)
		step = reply_fail(rq, PE_INTERNAL, NULL, "no memory");
	if (step == STEP_AGAIN && reg_arena_retire(rg, ar,
	    rq->rq_args[ARG_DESTROY_FORCE].pa_bool) != 0)
		step = reply_fail(rq, PE_BUSY, "arena", "%s is in use",
		    ar->ar_name);
	if (step != STEP_AGAIN) {
		free(de);
		reg_arena_put(rg, ar);
		return (step);
	}
	de->de_request = rq;
	de->de_arena = ar;
	rq->rq_state = de;
	rq->rq_fini = destroy_fini;
	rq->rq_must = true;
	rq->rq_step = destroy_step;
	return (destroy_step(rq));
}
