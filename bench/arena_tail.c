/*
 * arena_tail.c - the wall clock of single operations: how long does the slowest
 * of a million take, and how much of that is the machine?
 *
 * Every operation is timed by itself (two readings of the clock, which are in
 * the figures), and goes into a histogram: p50, p99, p99.9, p99.99, the
 * maximum.  Beside it, phase by phase, an empty loop and one that spins for
 * half a microsecond: what they show in the tail is interrupts, the hypervisor
 * and the clock, and nobody's doing.
 *
 *	alloc, free	the halves of random churn's pairs, 1e6 ranges of
 *			1..16 pages live (arena_churn.c)
 *	xalloc		within a window of 1/64 of the arena, in the same churn:
 *			the range freed is put back by a constrained request
 *	at		in the same churn: a range is freed (untimed) and taken
 *			back at its own address (timed)
 *	growth		allocations alone, from none to 1e6: each that makes the
 *			hash table and the table of tags grow is among them
 *
 * A phase of `growth` begins with a new arena; the others with 1e5 operations
 * that aren't recorded.
 */
#include "config.h"

#include "bench/arena.h"

#include <vmem.h>

#include "util/clock.h"
#include "util/rng.h"

#define LIVE 1000000u

enum what { WHAT_ALLOC, WHAT_FREE, WHAT_XALLOC, WHAT_AT, WHAT_GROWTH };

struct range {
	uint64_t rg_addr, rg_size;
};

struct tail {
	const struct ranges *tl_ranges;
	enum what tl_what;
	void *tl_arena;
	struct range *tl_list;
	uint64_t tl_live, tl_ops, tl_span;
	struct sizes tl_sizes;
	struct rng tl_rng;
	struct hist tl_hist;
};

static uint64_t
random_size(struct tail *tl)
{
	return (RANGES_PAGE * sizes_pages(&tl->tl_sizes, rng_next(&tl->tl_rng)));
}

static void
must_get(struct tail *tl, struct range *rg)
{
	rg->rg_size = random_size(tl);
	rg->rg_addr = tl->tl_ranges->ra_get(tl->tl_arena, rg->rg_size);
	if (rg->rg_addr == 0)
		bench_die("no room in an arena that is half empty");
}

static void *
tail_setup(const struct bench_run *run)
{
	struct tail *tl = bench_alloc(sizeof(*tl));

	tl->tl_ranges = run->br_contender->bn_arg;
	tl->tl_what = (enum what)run->br_case->bc_number;
	tl->tl_live = run->br_quick ? 2000 : LIVE;
	tl->tl_ops = BENCH_TAIL_OPS(run);
	tl->tl_list = bench_map(tl->tl_live * sizeof(*tl->tl_list));
	sizes_init(&tl->tl_sizes, MIX_SMALL);
	rng_init(&tl->tl_rng, run->br_seed);
	tl->tl_span = RANGES_PAGE *
	    (uint64_t)(2 * tl->tl_sizes.sz_mean * (double)tl->tl_live);
	tl->tl_arena = ranges_open(tl->tl_ranges, tl->tl_span, tl->tl_live);
	if (tl->tl_what == WHAT_GROWTH)
		return (tl);
	for (uint64_t i = 0; i < tl->tl_live; i++)
		must_get(tl, &tl->tl_list[i]);
	for (uint64_t i = 0; i < 2 * tl->tl_live; i++) {
		struct range *rg =
		    &tl->tl_list[rng_below(&tl->tl_rng, tl->tl_live)];

		tl->tl_ranges->ra_put(tl->tl_arena, rg->rg_addr, rg->rg_size);
		must_get(tl, rg);
	}
	return (tl);
}

/* ---- one operation each; the time it took, in ns ----------------------------- */

static uint64_t
time_alloc(struct tail *tl, struct range *rg)
{
	uint64_t size = random_size(tl), start;

	tl->tl_ranges->ra_put(tl->tl_arena, rg->rg_addr, rg->rg_size);
	start = clock_ns();
	rg->rg_addr = tl->tl_ranges->ra_get(tl->tl_arena, size);
	start = clock_ns() - start;
	rg->rg_size = size;
	return (start);
}

static uint64_t
time_free(struct tail *tl, struct range *rg)
{
	uint64_t start = clock_ns();

	tl->tl_ranges->ra_put(tl->tl_arena, rg->rg_addr, rg->rg_size);
	start = clock_ns() - start;
	must_get(tl, rg);
	return (start);
}

static uint64_t
time_xalloc(struct tail *tl, struct range *rg)
{
	uint64_t size = random_size(tl), width = tl->tl_span / 64;
	uint64_t low = RANGES_BASE + rng_below(&tl->tl_rng,
	    tl->tl_span / 2 - width);	/* the half that is in use */
	vmem_addr_t addr = 0;
	uint64_t start;
	int error;

	tl->tl_ranges->ra_put(tl->tl_arena, rg->rg_addr, rg->rg_size);
	start = clock_ns();
	error = vmem_xalloc(tl->tl_arena, size, 0, 0, 0, low, low + width - 1,
	    VM_NOSLEEP, &addr);
	start = clock_ns() - start;
	if (error == 0) {
		/* Without caches, xalloc's ranges may be freed as alloc's. */
		rg->rg_addr = addr;
		rg->rg_size = size;
	} else
		must_get(tl, rg);
	return (start);
}

static uint64_t
time_at(struct tail *tl, struct range *rg)
{
	uint64_t start;
	int error;

	tl->tl_ranges->ra_put(tl->tl_arena, rg->rg_addr, rg->rg_size);
	start = clock_ns();
	error = vmem_xalloc_addr(
	    tl->tl_arena, rg->rg_addr, rg->rg_size, VM_NOSLEEP);
	start = clock_ns() - start;
	if (error != 0)
		bench_die("what was just freed can't be had");
	return (start);
}

static uint64_t
time_one(struct tail *tl)
{
	struct range *rg = &tl->tl_list[rng_below(&tl->tl_rng, tl->tl_live)];

	switch (tl->tl_what) {
	case WHAT_ALLOC:
		return (time_alloc(tl, rg));
	case WHAT_FREE:
		return (time_free(tl, rg));
	case WHAT_XALLOC:
		return (time_xalloc(tl, rg));
	case WHAT_AT:
	default:
		return (time_at(tl, rg));
	}
}

static void
tail_phase(void *state, struct bench_out *out)
{
	struct tail *tl = state;

	hist_init(&tl->tl_hist);
	for (uint64_t i = 0; i < tl->tl_ops / 10; i++)
		(void)time_one(tl);
	for (uint64_t i = 0; i < tl->tl_ops; i++)
		hist_record(&tl->tl_hist, time_one(tl));
	bench_tail(out, &tl->tl_hist);
}

static void
growth_phase(void *state, struct bench_out *out)
{
	struct tail *tl = state;
	vmem_t *vm = ranges_open(tl->tl_ranges, tl->tl_span, tl->tl_live);

	hist_init(&tl->tl_hist);
	for (uint64_t i = 0; i < tl->tl_live; i++) {
		uint64_t size = random_size(tl), addr, start = clock_ns();

		addr = tl->tl_ranges->ra_get(vm, size);
		hist_record(&tl->tl_hist, clock_ns() - start);
		bench_use(addr);
	}
	bench_tail(out, &tl->tl_hist);
	vmem_xfreeall(vm);
	vmem_destroy(vm);
}

/* ---- cases ------------------------------------------------------------------ */

static const struct bench_contender tail_vmem = BY_VMEM(tail_setup, tail_phase),
    tail_jemalloc = BY_JEMALLOC(tail_setup, tail_phase),
    tail_mimalloc = BY_MIMALLOC(tail_setup, tail_phase),
    tail_boost = BY_BOOST(tail_setup, tail_phase),
    growth_vmem = BY_VMEM(tail_setup, growth_phase);

static const struct bench_contender *const by_all[] = { &tail_vmem,
	&bench_empty_loop, &bench_spin_loop, &tail_jemalloc, &tail_mimalloc,
	&tail_boost, NULL };
static const struct bench_contender *const by_us[] = { &tail_vmem,
	&bench_empty_loop, &bench_spin_loop, NULL };
static const struct bench_contender *const by_growth[] = { &growth_vmem,
	&bench_empty_loop, &bench_spin_loop, NULL };

#define CASE(name, text, by, what)                                            \
	{                                                                     \
		.bc_name = name,                                              \
		.bc_text = text,                                              \
		.bc_contenders = by,                                          \
		.bc_nofloors = true,                                          \
		.bc_number = what,                                            \
	}

const struct bench_case tail_cases[] = {
	CASE("tail/alloc", "wall clock of each alloc, 1e6 live", by_all,
	    WHAT_ALLOC),
	CASE("tail/free", "wall clock of each free, 1e6 live", by_all,
	    WHAT_FREE),
	CASE("tail/xalloc", "wall clock of each within a window, 1e6 live",
	    by_us, WHAT_XALLOC),
	CASE("tail/at", "wall clock of each at an address, 1e6 live", by_us,
	    WHAT_AT),
	CASE("tail/growth", "wall clock of each alloc, from 0 to 1e6 live",
	    by_growth, WHAT_GROWTH),
};
const size_t tail_ncases = sizeof(tail_cases) / sizeof(tail_cases[0]);
