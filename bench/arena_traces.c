/*
 * arena_traces.c - how much more address space than is live at its peak do the
 * recorded allocations of real programs take?
 *
 * Each trace is replayed through arenas without an upper bound, by best fit,
 * by the default policy and by first fit, and through the reference
 * (refplace.h).  The *extent* is the highest end that any range ever had.
 * Counted once; nothing here is timed.
 *
 *	best, default, first
 *			libvmem's extent, as a multiple of the peak of what was
 *			live (rounded to the quantum)
 *	best/ref	libvmem's best fit, as a multiple of the reference's
 *	dflt/ref	libvmem's default, as a multiple of the better of the
 *			reference's first and best fit
 *	ref best, ref first
 *			the reference's own, as a multiple of the peak
 *
 * The traces are those in $VMEM_TRACES, or beside the tree, or the tree's own.
 * Sizes are rounded to the trace's quantum, 16 at least.
 */
#include "config.h"

#include "bench/arena.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmem.h>

#include "bench/refplace.h"
#include "trace/pieces.h"
#include "trace/trace.h"

#define QUANTUM_MIN 16u
#define QUICK_OPS 20000u
#define TRACES_MAX 64u

/* Where ranges are put: libvmem by one policy, or the reference. */
struct place {
	vmem_t *pl_arena;		/* or NULL, and */
	struct refplace *pl_reference;
	uint64_t pl_extent;
};

static uint64_t
place_get(struct place *pl, uint64_t size, uint64_t align)
{
	vmem_addr_t addr;

	if (pl->pl_arena == NULL) {
		addr = refplace_get(pl->pl_reference, size, align);
		pl->pl_extent = refplace_extent(pl->pl_reference);
		return (addr);
	}
	if (vmem_xalloc(pl->pl_arena, size, align, 0, 0, VMEM_ADDR_MIN,
	    VMEM_ADDR_MAX, VM_NOSLEEP, &addr) != 0)
		bench_die("an arena without bounds refuses");
	if (addr + size > pl->pl_extent)
		pl->pl_extent = addr + size;
	return (addr);
}

/* `whole`: the range is freed, and not a part of it. */
static void
place_put(struct place *pl, uint64_t addr, uint64_t size, bool whole)
{
	if (pl->pl_arena == NULL)
		refplace_put(pl->pl_reference, addr, size);
	else if (whole)
		vmem_xfree(pl->pl_arena, addr, size);
	else if (vmem_xfree_part(pl->pl_arena, addr, size, VM_NOSLEEP) != 0)
		bench_die("a part can't be freed");
}

/* ---- one trace through one place ----------------------------------------------- */

struct live {
	uint64_t li_addr, li_size;
	struct pieces *li_pieces;	/* NULL: whole */
};

struct replay {
	struct trace *rp_trace;
	uint32_t rp_nops;		/* of it */
	uint64_t rp_quantum;
	struct live *rp_live;		/* by id */
	uint64_t rp_now, rp_peak;	/* bytes live */
};

static uint64_t
rounded(const struct replay *rp, uint64_t size)
{
	return ((size + rp->rp_quantum - 1) / rp->rp_quantum * rp->rp_quantum);
}

static void
replay_alloc(struct replay *rp, const struct trace_op *op, struct place *pl)
{
	struct live *li = &rp->rp_live[op->op_id];

	li->li_size = rounded(rp, op->op_size);
	li->li_addr = place_get(pl, li->li_size,
	    op->op_arg > rp->rp_quantum ? op->op_arg : rp->rp_quantum);
	rp->rp_now += li->li_size;
	if (rp->rp_now > rp->rp_peak)
		rp->rp_peak = rp->rp_now;
}

static void
replay_free(struct replay *rp, const struct trace_op *op, struct place *pl)
{
	struct live *li = &rp->rp_live[op->op_id];
	struct pieces *ps = li->li_pieces;

	for (size_t i = 0; ps != NULL && i < ps->ps_count; i++) {
		const struct piece *pc = &ps->ps_list[i];
		uint64_t size = pc->pc_end - pc->pc_start;

		place_put(pl, li->li_addr + pc->pc_start, size, true);
		rp->rp_now -= size;
	}
	if (ps != NULL) {
		pieces_fini(ps);
		free(ps);
		li->li_pieces = NULL;
		return;
	}
	place_put(pl, li->li_addr, li->li_size, true);
	rp->rp_now -= li->li_size;
}

static void
replay_part(struct replay *rp, const struct trace_op *op, struct place *pl)
{
	struct live *li = &rp->rp_live[op->op_id];

	if (li->li_pieces == NULL) {
		li->li_pieces = bench_alloc(sizeof(*li->li_pieces));
		if (pieces_init(li->li_pieces, li->li_size) != 0)
			bench_die("no memory");
	}
	place_put(pl, li->li_addr + op->op_arg, op->op_size,
	    false);
	if (pieces_cut(li->li_pieces, op->op_arg,
	    op->op_arg + op->op_size) != 0)
		bench_die("line %u frees what isn't live", op->op_line);
	rp->rp_now -= op->op_size;
}

/* The extent. */
static uint64_t
replay(struct replay *rp, struct place *pl)
{
	rp->rp_now = rp->rp_peak = 0;
	for (uint32_t i = 0; i < rp->rp_nops; i++) {
		const struct trace_op *op = &rp->rp_trace->tr_ops[i];

		switch (op->op_kind) {
		case TRACE_ALLOC:
			replay_alloc(rp, op, pl);
			break;
		case TRACE_FREE:
			replay_free(rp, op, pl);
			break;
		case TRACE_PART:
			replay_part(rp, op, pl);
			break;
		}
	}
	/* What is live at the end may be in pieces. */
	for (uint32_t id = 1; id <= rp->rp_trace->tr_allocs; id++)
		if (rp->rp_live[id].li_pieces != NULL) {
			pieces_fini(rp->rp_live[id].li_pieces);
			free(rp->rp_live[id].li_pieces);
			rp->rp_live[id].li_pieces = NULL;
		}
	return (pl->pl_extent);
}

static double
by_vmem(struct replay *rp, vm_flag_t policy)
{
	struct place pl = { vmem_create("trace", 0, UINT64_C(1) << 62,
				rp->rp_quantum, NULL, NULL, NULL, 0,
				VM_NOSLEEP | policy), NULL, 0 };

	if (pl.pl_arena == NULL)
		bench_die("no arena");
	return ((double)replay(rp, &pl));
}

static double
by_reference(struct replay *rp, enum refplace_policy policy)
{
	struct place pl = { NULL, refplace_create(policy), 0 };
	double extent = (double)replay(rp, &pl);

	refplace_destroy(pl.pl_reference);
	return (extent);
}

/* ---- the case ------------------------------------------------------------------- */

static void *
traces_setup(const struct bench_run *run)
{
	struct replay *rp = bench_alloc(sizeof(*rp));
	struct trace_error error;

	if (trace_load(run->br_case->bc_arg, &rp->rp_trace, &error) != 0)
		bench_die("%s", error.te_text);
	rp->rp_nops = rp->rp_trace->tr_nops;
	if (run->br_quick && rp->rp_nops > QUICK_OPS)
		rp->rp_nops = QUICK_OPS;
	rp->rp_quantum = rp->rp_trace->tr_quantum > QUANTUM_MIN ?
	    rp->rp_trace->tr_quantum : QUANTUM_MIN;
	rp->rp_live = bench_map(
	    (rp->rp_trace->tr_allocs + 1) * sizeof(*rp->rp_live));
	return (rp);
}

static void
traces_phase(void *state, struct bench_out *out)
{
	struct replay *rp = state;
	double best = by_vmem(rp, VM_BESTFIT);
	double instant = by_vmem(rp, VM_INSTANTFIT);
	double first = by_vmem(rp, VM_FIRSTFIT);
	double ref_best = by_reference(rp, REFPLACE_BEST);
	double ref_first = by_reference(rp, REFPLACE_FIRST);
	double peak = (double)rp->rp_peak;

	bench_value(out, "best/ref", "x", best / ref_best);
	bench_value(out, "dflt/ref", "x",
	    instant / (ref_best < ref_first ? ref_best : ref_first));
	bench_value(out, "best", "x", best / peak);
	bench_value(out, "default", "x", instant / peak);
	bench_value(out, "first", "x", first / peak);
	bench_value(out, "ref best", "x", ref_best / peak);
	bench_value(out, "ref first", "x", ref_first / peak);
}

static const struct bench_contender traces_vmem = {
	.bn_name = "libvmem",
	.bn_setup = traces_setup,
	.bn_phase = traces_phase,
};
static const struct bench_contender *const by_traces[] = { &traces_vmem, NULL };

/* ---- which traces ---------------------------------------------------------------- */

static int
find(const char *dir, glob_t *gl)
{
	char pattern[1024];

	(void)snprintf(pattern, sizeof(pattern), "%s/*.vmt.xz", dir);
	return (glob(pattern, 0, NULL, gl));
}

/* "traces/a-python" */
static char *
case_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	char text[64];

	(void)snprintf(text, sizeof(text), "traces/%.50s",
	    slash != NULL ? slash + 1 : path);
	*strstr(text, ".vmt") = '\0';
	return (strdup(text));
}

size_t
traces_cases(struct bench_case *cases, size_t room)
{
	const char *dir = getenv("VMEM_TRACES");
	glob_t gl;
	size_t n = 0;

	if ((dir == NULL || find(dir, &gl) != 0) &&
	    find(BENCH_SRCDIR "/../shared/traces", &gl) != 0 &&
	    find(BENCH_SRCDIR "/tests/traces", &gl) != 0)
		return (0);
	for (; n < gl.gl_pathc && n < room && n < TRACES_MAX; n++) {
		cases[n].bc_name = case_name(gl.gl_pathv[n]);
		cases[n].bc_text = "extent by policy, beside the reference";
		cases[n].bc_contenders = by_traces;
		cases[n].bc_once = true;
		cases[n].bc_arg = strdup(gl.gl_pathv[n]);
		cases[n].bc_aims[0] = (struct bench_aim){ "best/ref", 1.01 };
		cases[n].bc_aims[1] = (struct bench_aim){ "dflt/ref", 1.05 };
	}
	globfree(&gl);
	return (n);
}
