/*
 * cmd_free.c - free: by address, by addresses, by tag, all, or in part.
 *
 * Addresses are all or nothing: each is claimed first, and only when all are
 * does the first one go.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/request.h"
#include "daemon/space.h"
#include "util/clock.h"

#define CLAIM_BATCH 64u

struct free_state {
	struct request *fs_request;
	struct arena *fs_arena;		/* referenced */
	struct caller fs_caller;
	const json_t *fs_addrs;		/* by addresses; else by matching */
	vmem_size_t fs_size;		/* that each must have; 0: any */
	size_t fs_count;		/* addresses; or matches, at most */
	size_t fs_claimed;		/* [0, fs_claimed) have been claimed */
	size_t fs_released;		/* and [0, fs_released) released */
	struct alloc **fs_allocs;
	const char *fs_tag;		/* by matching; NULL: any */
	bool fs_everyone;
	uint64_t fs_freed;
	uint64_t fs_bytes;
	struct task fs_task;
};

static enum step
answer(struct request *rq, uint64_t freed, uint64_t bytes)
{
	struct buf *b = reply_begin(rq);

	jw_open(b, '{');
	jw_ku64(b, "freed", freed);
	jw_ku64(b, "bytes", bytes);
	jw_close(b, '}');
	return (STEP_DONE);
}

static enum step
answer_error(struct request *rq, int error, vmem_addr_t addr)
{
	switch (error) {
	case EPERM:
		return (reply_fail_addr(rq, PE_NOT_OWNER, addr,
		    "0x%llx is another user's", (unsigned long long)addr));
	case EINVAL:
		return (reply_fail_addr(rq, PE_NOT_ALLOCATED, addr,
		    "0x%llx isn't of that size", (unsigned long long)addr));
	case ENOMEM:
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	default:
		return (reply_fail_addr(rq, PE_NOT_ALLOCATED, addr,
		    "0x%llx isn't the start of an allocation",
		    (unsigned long long)addr));
	}
}

static void
free_fini(struct request *rq)
{
	struct free_state *fs = rq->rq_state;

	free(fs->fs_allocs);
	reg_arena_put(&rq->rq_daemon->dm_registry, fs->fs_arena);
	free(fs);
}

/* ---- release ------------------------------------------------------------ */

static void
release_next(struct free_state *fs)
{
	struct registry *rg = &fs->fs_request->rq_daemon->dm_registry;
	struct alloc *al = fs->fs_allocs[fs->fs_released++];

	fs->fs_freed++;
	fs->fs_bytes += al->al_size;
	reg_release(rg, al);
}

static void
release_task(struct task *tk)
{
	release_next((struct free_state *)(void *)((char *)tk -
	    offsetof(struct free_state, fs_task)));
}

static void
release_done(struct worker *wk, struct msg *ms)
{
	struct free_state *fs = (struct free_state *)(void *)((char *)ms -
	    offsetof(struct free_state, fs_task.tk_done));

	(void)wk;
	conn_resume(fs->fs_request->rq_conn);
}

/* All that is claimed, in slices; one that takes long, with the helper.
 * STEP_DONE: nothing is left. */
static enum step
release_some(struct request *rq, struct free_state *fs)
{
	while (fs->fs_released < fs->fs_claimed) {
		if (space_is_long(fs->fs_arena,
			fs->fs_allocs[fs->fs_released]->al_size) &&
		    fs->fs_arena->ar_kind == ARENA_PAGEABLE) {
			fs->fs_task.tk_run = release_task;
			fs->fs_task.tk_worker = rq->rq_worker;
			fs->fs_task.tk_done.ms_run = release_done;
			helper_post(rq->rq_daemon->dm_helper, &fs->fs_task);
			return (STEP_PARKED);
		}
		release_next(fs);
		if (fs->fs_released % 16 == 0 && request_slice_over(rq))
			return (STEP_AGAIN);
	}
	return (STEP_DONE);
}

/* ---- by address --------------------------------------------------------- */

static vmem_addr_t
address(const struct free_state *fs, size_t i)
{
	vmem_addr_t addr = 0;

	(void)proto_addr_of(fs->fs_addrs != NULL ?
	    json_array_get(fs->fs_addrs, i) : NULL, &addr);
	return (addr);
}

static enum step
by_addresses(struct request *rq)
{
	struct free_state *fs = rq->rq_state;
	struct registry *rg = &rq->rq_daemon->dm_registry;
	enum step step;

	while (fs->fs_claimed < fs->fs_count) {
		vmem_addr_t addr = fs->fs_addrs != NULL ?
		    address(fs, fs->fs_claimed) :
		    rq->rq_args[ARG_FREE_ADDR].pa_size;
		int error = reg_claim(rg, fs->fs_arena, &fs->fs_caller, addr,
		    fs->fs_size, &fs->fs_allocs[fs->fs_claimed]);

		if (error != 0) {
			while (fs->fs_claimed > 0)
				reg_unclaim(
				    rg, fs->fs_allocs[--fs->fs_claimed]);
			return (answer_error(rq, error, addr));
		}
		fs->fs_claimed++;
		if (fs->fs_claimed % CLAIM_BATCH == 0 &&
		    request_slice_over(rq))
			return (STEP_AGAIN);
	}
	step = release_some(rq, fs);
	if (step != STEP_DONE)
		return (step);
	arena_latency(
	    fs->fs_arena, ARENA_OP_FREE, clock_ns() - rq->rq_start_ns);
	return (answer(rq, fs->fs_freed, fs->fs_bytes));
}

/* ---- by tag, or all ----------------------------------------------------- */

static enum step
by_matching(struct request *rq)
{
	struct free_state *fs = rq->rq_state;
	struct registry *rg = &rq->rq_daemon->dm_registry;
	enum step step;

	for (;;) {
		step = release_some(rq, fs);
		if (step != STEP_DONE)
			return (step);
		/* No more than there were at first: it must end, however
		 * busy the others of that uid are. */
		fs->fs_released = fs->fs_claimed = 0;
		if (fs->fs_count == 0)
			break;
		fs->fs_claimed = reg_claim_matching(rg, fs->fs_arena,
		    fs->fs_caller.ca_uid, fs->fs_everyone, fs->fs_tag,
		    fs->fs_allocs,
		    fs->fs_count < CLAIM_BATCH ? fs->fs_count : CLAIM_BATCH);
		if (fs->fs_claimed == 0)
			break;
		fs->fs_count -= fs->fs_claimed;
	}
	return (answer(rq, fs->fs_freed, fs->fs_bytes));
}

/* ---- in part ------------------------------------------------------------ */

static enum step
in_part(struct request *rq)
{
	struct free_state *fs = rq->rq_state;
	struct arena *ar = fs->fs_arena;
	vmem_addr_t addr = rq->rq_args[ARG_FREE_ADDR].pa_size;
	vmem_size_t size = rq->rq_args[ARG_FREE_SIZE].pa_size;
	int error;

	if (addr % ar->ar_quantum != 0)
		return (reply_fail(rq, PE_PARAMS, "addr",
		    "addr: not a multiple of the quantum"));
	if (size == 0 || size % ar->ar_quantum != 0)
		return (reply_fail(rq, PE_PARAMS, "size",
		    "size: not a multiple of the quantum"));
	error = reg_free_part(&rq->rq_daemon->dm_registry, ar, &fs->fs_caller,
	    addr, size);
	if (error == EAGAIN)
		return (STEP_AGAIN);
	if (error == EINVAL)
		return (reply_fail_addr(rq, PE_NOT_ALLOCATED, addr,
		    "the range reaches beyond its allocation"));
	if (error == ENOENT)
		return (reply_fail_addr(rq, PE_NOT_ALLOCATED, addr,
		    "0x%llx isn't allocated", (unsigned long long)addr));
	if (error != 0)
		return (answer_error(rq, error, addr));
	arena_latency(ar, ARENA_OP_FREE, clock_ns() - rq->rq_start_ns);
	return (answer(rq, 1, size));
}

/* ---- begin -------------------------------------------------------------- */

/* STEP_AGAIN: the combination makes sense. */
static enum step
free_check(struct request *rq)
{
	const struct proto_arg *arg = rq->rq_args;
	unsigned int ways = (arg[ARG_FREE_ADDR].pa_given != 0) +
	    (arg[ARG_FREE_ADDRS].pa_given != 0) +
	    (arg[ARG_FREE_TAG].pa_given != 0) +
	    (arg[ARG_FREE_ALL].pa_bool != 0);

	if (ways != 1)
		return (reply_fail(rq, PE_PARAMS,
		    ways == 0 ? "addr" : NULL,
		    "expected one of addr, addrs, tag and all"));
	if (arg[ARG_FREE_PARTIAL].pa_bool &&
	    (!arg[ARG_FREE_ADDR].pa_given || !arg[ARG_FREE_SIZE].pa_given))
		return (reply_fail(rq, PE_PARAMS,
		    arg[ARG_FREE_ADDR].pa_given ? "size" : "addr",
		    "partial goes with addr and size"));
	if (arg[ARG_FREE_SIZE].pa_given &&
	    (arg[ARG_FREE_TAG].pa_given || arg[ARG_FREE_ALL].pa_bool))
		return (reply_fail(rq, PE_PARAMS, "size",
		    "size goes with addr or addrs"));
	if (arg[ARG_FREE_SIZE].pa_given && arg[ARG_FREE_SIZE].pa_size == 0)
		return (reply_fail(rq, PE_PARAMS, "size",
		    "size: at least 1"));
	if (arg[ARG_FREE_FORCE].pa_bool &&
	    !rq->rq_conn->cn_client->cl_privileged)
		return (reply_fail(rq, PE_NOT_OWNER, "force",
		    "force is for root and the daemon's user"));
	return (STEP_AGAIN);
}

static enum step
free_start(struct request *rq, struct free_state *fs)
{
	const struct proto_arg *arg = rq->rq_args;

	if (arg[ARG_FREE_PARTIAL].pa_bool) {
		rq->rq_step = in_part;
		return (STEP_AGAIN);
	}
	if (arg[ARG_FREE_TAG].pa_given || arg[ARG_FREE_ALL].pa_bool) {
		rq->rq_step = by_matching;
		fs->fs_tag = arg[ARG_FREE_TAG].pa_string;
		fs->fs_everyone = arg[ARG_FREE_FORCE].pa_bool;
		fs->fs_count = reg_count_matching(&rq->rq_daemon->dm_registry,
		    fs->fs_arena, fs->fs_caller.ca_uid, fs->fs_everyone,
		    fs->fs_tag);
		fs->fs_allocs = calloc(CLAIM_BATCH, sizeof(struct alloc *));
	} else {
		rq->rq_step = by_addresses;
		fs->fs_addrs = arg[ARG_FREE_ADDRS].pa_json;
		fs->fs_count =
		    fs->fs_addrs != NULL ? json_array_size(fs->fs_addrs) : 1;
		fs->fs_allocs = calloc(fs->fs_count, sizeof(struct alloc *));
		/* A size that can't be rounded is nobody's. */
		if (arg[ARG_FREE_SIZE].pa_given &&
		    arena_round(fs->fs_arena, arg[ARG_FREE_SIZE].pa_size,
			&fs->fs_size) != 0)
			return (answer_error(rq, EINVAL,
			    arg[ARG_FREE_ADDR].pa_size));
	}
	if (fs->fs_allocs == NULL)
		return (answer_error(rq, ENOMEM, 0));
	return (STEP_AGAIN);
}

enum step
cmd_free(struct request *rq)
{
	struct free_state *fs;
	struct arena *ar;
	enum step step = free_check(rq);

	if (step != STEP_AGAIN)
		return (step);
	ar = request_arena(rq, ARG_FREE_ARENA);
	if (ar == NULL)
		return (STEP_DONE);
	fs = calloc(1, sizeof(*fs));
	if (fs == NULL) {
		reg_arena_put(&rq->rq_daemon->dm_registry, ar);
		return (answer_error(rq, ENOMEM, 0));
	}
	fs->fs_request = rq;
	fs->fs_arena = ar;
	fs->fs_caller = request_caller(rq);
	rq->rq_state = fs;
	rq->rq_fini = free_fini;
	rq->rq_must = true;
	step = free_start(rq, fs);
	return (step == STEP_AGAIN ? rq->rq_step(rq) : step);
}
