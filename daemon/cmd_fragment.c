/*
 * cmd_fragment.c - fragment: leave an arena as a long life would.
 *
 * `bytes` are allocated in ranges of random sizes; `aging` frees and allocates
 * some more; then they are sorted, parted into what becomes one large hole and
 * what gets small ones (frag_plan.c has the arithmetic), and freed so.
 *
 * What is reported before and after is the space of these ranges alone, and
 * beside it the state of the whole arena.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/fragment.h"
#include "daemon/space.h"

#define RANGES_MAX (1u << 20)
#define AGING_ROUNDS 8u
#define SORT_INLINE_MAX 4096u

static enum step phase_allocate(struct request *rq);
static enum step phase_age(struct request *rq);
static enum step phase_sort(struct request *rq);
static enum step phase_holes(struct request *rq);
static enum step phase_plain(struct request *rq);
static enum step phase_undo(struct request *rq);

static enum step
go(struct request *rq, enum step (*phase)(struct request *))
{
	((struct frag_state *)rq->rq_state)->fg_next = 0;
	rq->rq_step = phase;
	return (phase(rq));
}

static void
frag_fini(struct request *rq)
{
	struct frag_state *fg = rq->rq_state;
	struct registry *rg = &rq->rq_daemon->dm_registry;

	free(fg->fg_ranges);
	reg_group_put(rg, fg->fg_group);
	reg_arena_put(rg, fg->fg_arena);
	free(fg);
}

/* ---- one range ---------------------------------------------------------- */

static enum proto_error
take_range(struct request *rq, vmem_size_t size, struct range *ra)
{
	struct frag_state *fg = rq->rq_state;
	struct registry *rg = &rq->rq_daemon->dm_registry;
	struct client *cl = rq->rq_conn->cn_client;
	const struct space_want sw = { .sw_size = size,
		.sw_max = VMEM_ADDR_MAX,
		.sw_fit = arena_fit_flag(fg->fg_arena->ar_policy) };
	struct alloc *al = alloc_new();
	enum proto_error error;
	bool backed = false;

	if (al == NULL)
		return (PE_INTERNAL);
	if (reg_charge(rg, cl, fg->fg_keep, size, 1) != 0) {
		alloc_delete(al);
		return (PE_QUOTA);
	}
	error = space_take(fg->fg_arena, &sw, al);
	if (error != PE_OK)
		goto fail;
	*ra = (struct range) { .ra_addr = al->al_addr, .ra_size = size };
	error = space_back(fg->fg_arena, al);
	backed = error == PE_OK;
	if (backed &&
	    reg_insert(rg, fg->fg_group, cl, fg->fg_keep, &al, 1) == 0)
		return (PE_OK);
	if (backed)
		error = PE_INTERNAL;
	space_drop(fg->fg_arena, al, backed);
fail:
	reg_uncharge(rg, cl, fg->fg_keep, size, 1);
	alloc_delete(al);
	return (error);
}

/* Somebody else of this uid may have freed it: then it is free all the same. */
static void
drop_range(struct request *rq, struct range *ra)
{
	struct frag_state *fg = rq->rq_state;
	struct registry *rg = &rq->rq_daemon->dm_registry;
	const struct caller ca = request_caller(rq);
	struct alloc *al;

	if (ra->ra_free)
		return;
	ra->ra_free = true;
	if (reg_claim(
		rg, fg->fg_arena, &ca, ra->ra_addr, ra->ra_size, &al) == 0)
		reg_release(rg, al);
}

static enum step
fail(struct request *rq, enum proto_error error)
{
	((struct frag_state *)rq->rq_state)->fg_error = error;
	return (go(rq, phase_undo));
}

/* ---- phases ------------------------------------------------------------- */

static bool
room_for_one(struct frag_state *fg)
{
	size_t room = fg->fg_room == 0 ? 1024 : 2 * fg->fg_room;
	struct range *ranges;

	if (fg->fg_count < fg->fg_room)
		return (true);
	ranges = realloc(fg->fg_ranges, room * sizeof(*ranges));
	if (ranges == NULL)
		return (false);
	fg->fg_ranges = ranges;
	fg->fg_room = room;
	return (true);
}

static enum step
phase_allocate(struct request *rq)
{
	struct frag_state *fg = rq->rq_state;

	while (fg->fg_have < fg->fg_bytes) {
		vmem_size_t size = frag_draw_size(fg);
		enum proto_error error;

		if (size > fg->fg_bytes - fg->fg_have)
			size = fg->fg_bytes - fg->fg_have;
		if (arena_round(fg->fg_arena, size, &size) != 0 ||
		    fg->fg_count == RANGES_MAX)
			break;
		if (!room_for_one(fg))
			return (fail(rq, PE_INTERNAL));
		error = take_range(
		    rq, size, &fg->fg_ranges[fg->fg_count]);
		/* What isn't free after all, of an amount that we chose. */
		if (error == PE_NO_SPACE && !fg->fg_given && fg->fg_count > 0)
			break;
		if (error != PE_OK)
			return (fail(rq, error));
		fg->fg_count++;
		fg->fg_have += size;
		if (fg->fg_count % 16 == 0 && request_slice_over(rq))
			return (STEP_AGAIN);
	}
	if (fg->fg_pattern == AGING)
		return (go(rq, phase_age));
	return (go(rq, phase_sort));
}

/* A range that was freed in this round comes back, as large, in parts. */
static enum proto_error
renew(struct request *rq, size_t index)
{
	struct frag_state *fg = rq->rq_state;
	uint64_t owed = fg->fg_ranges[index].ra_size;
	bool first = true;

	while (owed > 0) {
		vmem_size_t size = frag_draw_size(fg);
		enum proto_error error;
		struct range ra;

		if (size > owed || fg->fg_count == RANGES_MAX)
			size = owed;
		if (!room_for_one(fg))
			return (PE_INTERNAL);
		error = take_range(rq, size, &ra);
		/* Fragmented already: too little in one piece. */
		if (error == PE_NO_SPACE)
			return (PE_OK);
		if (error != PE_OK)
			return (error);
		if (first)
			fg->fg_ranges[index] = ra;
		else
			fg->fg_ranges[fg->fg_count++] = ra;
		first = false;
		owed -= size;
	}
	return (PE_OK);
}

/* Rounds: free a random quarter, then allocate as much again. */
static enum step
phase_age(struct request *rq)
{
	struct frag_state *fg = rq->rq_state;
	bool freeing = fg->fg_round % 2 == 0;

	if (fg->fg_next == 0)
		fg->fg_last = fg->fg_count;
	while (fg->fg_next < fg->fg_last) {
		size_t i = fg->fg_next++;
		enum proto_error error = PE_OK;

		if (freeing && rng_below(&fg->fg_rng, 4) == 0)
			drop_range(rq, &fg->fg_ranges[i]);
		else if (!freeing && fg->fg_ranges[i].ra_free)
			error = renew(rq, i);
		if (error != PE_OK)
			return (fail(rq, error));
		if (i % 16 == 15 && request_slice_over(rq))
			return (STEP_AGAIN);
	}
	if (++fg->fg_round < 2 * AGING_ROUNDS) {
		fg->fg_next = 0;
		return (STEP_AGAIN);
	}
	return (go(rq, phase_sort));
}

static void
arrange_run(struct task *tk)
{
	struct frag_state *fg = (struct frag_state *)(void *)((char *)tk -
	    offsetof(struct frag_state, fg_task));

	frag_arrange(fg);
	fg->fg_before = frag_survey(fg, true);
	frag_divide(fg);
}

static void
arrange_done(struct worker *wk, struct msg *ms)
{
	struct frag_state *fg = (struct frag_state *)(void *)((char *)ms -
	    offsetof(struct frag_state, fg_task.tk_done));

	(void)wk;
	conn_resume(fg->fg_request->rq_conn);
}

static enum step
phase_sort(struct request *rq)
{
	struct frag_state *fg = rq->rq_state;

	rq->rq_step = phase_holes;
	if (fg->fg_count <= SORT_INLINE_MAX) {
		arrange_run(&fg->fg_task);
		return (STEP_AGAIN);
	}
	fg->fg_task.tk_run = arrange_run;
	fg->fg_task.tk_worker = rq->rq_worker;
	fg->fg_task.tk_done.ms_run = arrange_done;
	helper_post(rq->rq_daemon->dm_helper, &fg->fg_task);
	return (STEP_PARKED);
}

static bool
is_hole(struct frag_state *fg, size_t i)
{
	switch (fg->fg_pattern) {
	case CHECKERBOARD:
		return (i % 2 == 1);
	case COMB:
		return (i % 8 != 0);
	default:
		return (rng_below(&fg->fg_rng, 2) == 0);
	}
}

/* The last range stays, so that the holes don't join what is free beyond; and
 * the one after the plain part, so that they don't join that. */
static enum step
phase_holes(struct request *rq)
{
	struct frag_state *fg = rq->rq_state;

	while (fg->fg_next + 1 < fg->fg_count &&
	    fg->fg_hole_bytes < fg->fg_holes_max) {
		size_t i = fg->fg_next++;

		if ((i < fg->fg_from || i > fg->fg_to) && is_hole(fg, i)) {
			drop_range(rq, &fg->fg_ranges[i]);
			fg->fg_hole_bytes += (double)fg->fg_ranges[i].ra_size;
		}
		if (i % 16 == 15 && request_slice_over(rq))
			return (STEP_AGAIN);
	}
	fg->fg_free_bytes = fg->fg_hole_bytes;
	return (go(rq, phase_plain));
}

static void
write_state(struct buf *b, const char *key, uint64_t free_bytes,
    uint64_t largest, uint64_t segments)
{
	jw_kopen(b, key, '{');
	jw_ku64(b, "free_bytes", free_bytes);
	jw_ku64(b, "largest_free", largest);
	jw_ku64(b, "free_segments", segments);
	jw_kreal(b, "external_fragmentation", free_bytes == 0 ? 0 :
	    1 - (double)largest / (double)free_bytes);
	jw_close(b, '}');
}

static enum step
answer(struct request *rq)
{
	struct frag_state *fg = rq->rq_state;
	struct buf *b = reply_begin(rq);
	struct vmem_stat vs;
	uint64_t bytes = 0, kept = 0;

	for (size_t i = 0; i < fg->fg_count; i++)
		if (!fg->fg_ranges[i].ra_free) {
			kept++;
			bytes += fg->fg_ranges[i].ra_size;
		}
	fg->fg_after = frag_survey(fg, false);
	vmem_stat(fg->fg_arena->ar_vm, &vs);
	jw_open(b, '{');
	write_state(b, "before", fg->fg_before.st_free,
	    fg->fg_before.st_largest, fg->fg_before.st_segments);
	write_state(b, "after", fg->fg_after.st_free, fg->fg_after.st_largest,
	    fg->fg_after.st_segments);
	write_state(b, "arena_before", fg->fg_arena_before.vs_free,
	    fg->fg_arena_before.vs_largest_free,
	    fg->fg_arena_before.vs_free_segments);
	write_state(b, "arena_after", vs.vs_free, vs.vs_largest_free,
	    vs.vs_free_segments);
	jw_ku64(b, "allocated", kept);
	jw_ku64(b, "bytes", bytes);
	jw_close(b, '}');
	return (STEP_DONE);
}

/*
 * Free the plain part from its low end, as one growing hole, while the
 * fragmentation comes closer to the target.
 */
static enum step
phase_plain(struct request *rq)
{
	struct frag_state *fg = rq->rq_state;
	double t = fg->fg_target;

	while (fg->fg_from + fg->fg_next < fg->fg_to) {
		struct range *ra = &fg->fg_ranges[fg->fg_from + fg->fg_next];
		double size = (double)ra->ra_size;
		double hole = fg->fg_free_bytes - fg->fg_hole_bytes;
		double now = fg->fg_free_bytes > 0 ?
		    1 - hole / fg->fg_free_bytes : 1;
		double then = 1 - (hole + size) / (fg->fg_free_bytes + size);

		if (now <= t || (then < t && t - then > now - t))
			break;
		drop_range(rq, ra);
		fg->fg_free_bytes += size;
		fg->fg_next++;
		if (fg->fg_next % 16 == 0 && request_slice_over(rq))
			return (STEP_AGAIN);
	}
	return (answer(rq));
}

static enum step
phase_undo(struct request *rq)
{
	struct frag_state *fg = rq->rq_state;

	while (fg->fg_next < fg->fg_count) {
		drop_range(rq, &fg->fg_ranges[fg->fg_next++]);
		if (fg->fg_next % 16 == 0 && request_slice_over(rq))
			return (STEP_AGAIN);
	}
	switch (fg->fg_error) {
	case PE_QUOTA:
		return (reply_fail(rq, PE_QUOTA, "bytes",
		    "over the quota of the connection or the user"));
	case PE_NO_FRAMES:
		return (reply_fail(rq, PE_NO_FRAMES, "bytes",
		    "frames and swap don't cover it"));
	case PE_NO_SPACE:
		return (reply_fail(rq, PE_NO_SPACE, "bytes",
		    "%s can't satisfy it", fg->fg_arena->ar_name));
	default:
		return (reply_fail(rq, fg->fg_error, NULL, "no memory"));
	}
}

/* ---- begin -------------------------------------------------------------- */

/* What could be had: the arena's own, its sources', and no more wired memory
 * than is left. */
static uint64_t
available(struct daemon *dm, const struct arena *ar)
{
	uint64_t bytes = vmem_size(ar->ar_vm, VMEM_FREE);
	const struct arena *from = ar->ar_size == 0 ? ar->ar_source : NULL;

	for (; from != NULL; from = from->ar_source)
		bytes += vmem_size(from->ar_vm, VMEM_FREE);
	if (ar->ar_kind == ARENA_WIRED && ar->ar_size == 0) {
		uint64_t wired = vmpager_wired_bytes(dm->dm_backing.bk_wired);
		uint64_t left = dm->dm_settings.se_wired > wired ?
		    dm->dm_settings.se_wired - wired : 0;

		left += vmem_size(ar->ar_vm, VMEM_FREE);
		if (left < bytes)
			bytes = left;
	}
	return (bytes);
}

static enum step
frag_check(struct request *rq, struct frag_state *fg)
{
	const struct proto_arg *arg = rq->rq_args;
	const char *tag = arg[ARG_FRAGMENT_TAG].pa_string;
	double mean;

	if (fg->fg_arena->ar_private)
		return (reply_fail(rq, PE_NOT_SUPPORTED, "arena",
		    "%s is libvmem's own", fg->fg_arena->ar_name));
	if (tag != NULL && (tag[0] == '\0' || strlen(tag) > PROTO_TAG_MAX))
		return (reply_fail(rq, PE_PARAMS, "tag",
		    "tag: 1 to %d bytes", PROTO_TAG_MAX));
	if (frag_parse_sizes(fg, arg[ARG_FRAGMENT_SIZES].pa_string) != 0)
		return (reply_fail(rq, PE_PARAMS, "sizes",
		    "sizes: fixed:N, uniform:A-B or loguniform:A-B"));
	fg->fg_pattern = arg[ARG_FRAGMENT_PATTERN].pa_enum;
	fg->fg_target = arg[ARG_FRAGMENT_TARGET].pa_real;
	fg->fg_keep = arg[ARG_FRAGMENT_KEEP].pa_bool;
	fg->fg_given = arg[ARG_FRAGMENT_BYTES].pa_given;
	fg->fg_bytes = arg[ARG_FRAGMENT_BYTES].pa_size;
	if (!fg->fg_given) {
		uint64_t most = available(rq->rq_daemon, fg->fg_arena);

		fg->fg_bytes = (uint64_t)(0.9 * (double)most);
		if (fg->fg_bytes > UINT64_C(1) << 30)
			fg->fg_bytes = UINT64_C(1) << 30;
	}
	if (arena_round(fg->fg_arena, fg->fg_bytes, &fg->fg_bytes) != 0 ||
	    fg->fg_bytes == 0)
		return (reply_fail(rq, fg->fg_given ? PE_PARAMS : PE_NO_SPACE,
		    "bytes", "bytes: nothing to work in"));
	mean = frag_mean_size(fg);
	if (mean < (double)fg->fg_arena->ar_quantum)
		mean = (double)fg->fg_arena->ar_quantum;
	if (fg->fg_given && (double)fg->fg_bytes / mean > RANGES_MAX)
		return (reply_fail(rq, PE_PARAMS, "bytes",
		    "bytes: more than %u ranges", RANGES_MAX));
	return (STEP_AGAIN);
}

enum step
cmd_fragment(struct request *rq)
{
	struct registry *rg = &rq->rq_daemon->dm_registry;
	struct arena *ar = request_arena(rq, ARG_FRAGMENT_ARENA);
	struct frag_state *fg;
	enum step step;

	if (ar == NULL)
		return (STEP_DONE);
	fg = calloc(1, sizeof(*fg));
	if (fg == NULL) {
		reg_arena_put(rg, ar);
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	}
	fg->fg_request = rq;
	fg->fg_arena = ar;
	rq->rq_state = fg;
	rq->rq_fini = frag_fini;
	step = frag_check(rq, fg);
	if (step != STEP_AGAIN)
		return (step);
	fg->fg_group = reg_group_get(rg, ar, rq->rq_conn->cn_client,
	    rq->rq_args[ARG_FRAGMENT_TAG].pa_string);
	if (fg->fg_group == NULL)
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	rng_init(&fg->fg_rng, (uint64_t)rq->rq_args[ARG_FRAGMENT_SEED].pa_int);
	vmem_stat(ar->ar_vm, &fg->fg_arena_before);
	return (go(rq, phase_allocate));
}
