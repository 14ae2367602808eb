/*
 * arena_churn.c - random churn: the workload W2.
 *
 * N ranges are live.  Each step frees a random one of them and allocates one of
 * a random size in its place: a *pair*.  Who is freed is found by a random
 * access to an array of N words, which the harness pays as well; its own cost
 * is a contender.
 *
 * The arena is twice what is live on average, so that a policy is free to fill
 * holes or not.  It is filled, then aged by two pairs for each live range (one
 * at 1e7) before anything is timed, and each phase begins with a tenth of its
 * pairs untimed, for the caches.
 *
 * Beside the time a pair takes, each phase says what is resident for each live
 * range, over what was before the first allocation.
 */
#include "config.h"

#include "bench/arena.h"

#include "util/clock.h"
#include "util/rng.h"

#define PHASE_PAIRS 1000000u
#define SIZE_BITS 16u		/* a slot: the address, and pages below */

struct churn {
	const struct ranges *ch_ranges;
	void *ch_arena;
	uint64_t *ch_slots;
	uint64_t ch_live;
	uint64_t ch_pairs;	/* of a phase */
	uint64_t ch_rss;	/* before the arena was made */
	struct sizes ch_sizes;
	struct rng ch_rng;
};

static inline uint64_t
slot_of(uint64_t addr, uint64_t pages)
{
	return (addr << SIZE_BITS | pages);
}

static inline uint64_t
churn_get(struct churn *ch, uint64_t pages)
{
	uint64_t addr =
	    ch->ch_ranges->ra_get(ch->ch_arena, pages * RANGES_PAGE);

	if (__builtin_expect(addr == 0, 0))
		bench_die("%ju pages can't be had", (uintmax_t)pages);
	return (slot_of(addr, pages));
}

static void
churn(struct churn *ch, uint64_t pairs)
{
	const struct ranges *ra = ch->ch_ranges;
	struct rng rng = ch->ch_rng;

	for (uint64_t i = 0; i < pairs; i++) {
		/* One number serves both: they don't share bits. */
		uint64_t r = rng_next(&rng);
		uint64_t *slot = &ch->ch_slots[(r >> 32) * ch->ch_live >> 32];

		ra->ra_put(ch->ch_arena, *slot >> SIZE_BITS,
		    (*slot & ((1u << SIZE_BITS) - 1)) * RANGES_PAGE);
		*slot = churn_get(ch,
		    ch->ch_sizes.sz_pages[r & ((1u << SIZES_BITS) - 1)]);
	}
	ch->ch_rng = rng;
}

static void *
churn_setup(const struct bench_run *run)
{
	struct churn *ch = bench_alloc(sizeof(*ch));
	uint64_t live = run->br_case->bc_number;
	const enum mix *mix = run->br_case->bc_arg;

	if (run->br_quick && live > 2000)
		live = 2000;
	ch->ch_ranges = run->br_contender->bn_arg;
	ch->ch_live = live;
	ch->ch_pairs = run->br_quick ? 2000 : PHASE_PAIRS;
	ch->ch_slots = bench_map(live * sizeof(*ch->ch_slots));
	sizes_init(&ch->ch_sizes, *mix);
	rng_init(&ch->ch_rng, run->br_seed);
	for (uint64_t i = 0; i < live; i++)
		ch->ch_slots[i] = 1;
	ch->ch_rss = bench_rss();
	ch->ch_arena = ranges_open(ch->ch_ranges,
	    RANGES_PAGE * (uint64_t)(2 * ch->ch_sizes.sz_mean * (double)live),
	    live);
	for (uint64_t i = 0; i < live; i++)
		ch->ch_slots[i] = churn_get(ch,
		    ch->ch_sizes.sz_pages[rng_next(&ch->ch_rng) >>
			(64 - SIZES_BITS)]);
	churn(ch, live > 5000000 ? live : 2 * live);
	return (ch);
}

static void
churn_phase(void *state, struct bench_out *out)
{
	struct churn *ch = state;
	uint64_t start, ns;

	churn(ch, ch->ch_pairs / 10);
	start = clock_ns();
	churn(ch, ch->ch_pairs);
	ns = clock_ns() - start;
	bench_value(out, "pair", "ns", (double)ns / (double)ch->ch_pairs);
	bench_value(out, "rss", "B/live",
	    (double)(int64_t)(bench_rss() - ch->ch_rss) / (double)ch->ch_live);
}

#define CHURN(name, ranges)                                                   \
	.bn_name = name, .bn_arg = &(ranges), .bn_setup = churn_setup,        \
	.bn_phase = churn_phase

static const struct bench_contender by_vmem = { CHURN("libvmem", ranges_vmem) };
static const struct bench_contender by_jemalloc = {
	CHURN("jemalloc", ranges_malloc_jemalloc),
	.bn_preload = JEMALLOC_LIBRARY,
	.bn_env = JEMALLOC_ENV,
};
static const struct bench_contender by_mimalloc = {
	CHURN("mimalloc", ranges_malloc_mimalloc),
	.bn_preload = MIMALLOC_LIBRARY,
	.bn_env = MIMALLOC_ENV,
};
static const struct bench_contender by_harness = {
	CHURN("harness", ranges_harness)
};

static const struct bench_contender *const contenders[] = { &by_vmem,
	&by_jemalloc, &by_mimalloc, &by_harness, NULL };

/* ---- cases ---------------------------------------------------------------- */

static const enum mix mix_small = MIX_SMALL, mix_log = MIX_LOG;

#define CASE(name, text, mix, live, most)                                     \
	{                                                                     \
		.bc_name = name,                                              \
		.bc_text = text,                                              \
		.bc_contenders = contenders,                                  \
		.bc_arg = &(mix),                                             \
		.bc_number = live,                                            \
		.bc_aims = { { (most) > 0 ? "pair" : NULL, most } },          \
	}

const struct bench_case churn_cases[] = {
	CASE("churn/small/1e3", "1..16 pages, 1e3 live", mix_small, 1000, 0),
	CASE("churn/small/1e4", "1..16 pages, 1e4 live", mix_small, 10000, 60),
	CASE("churn/small/1e5", "1..16 pages, 1e5 live", mix_small, 100000, 0),
	CASE("churn/small/1e6", "1..16 pages, 1e6 live", mix_small, 1000000,
	    330),
	CASE("churn/small/1e7", "1..16 pages, 1e7 live", mix_small, 10000000,
	    420),
	CASE("churn/log/1e3", "log-uniform 1..1024 pages, 1e3 live", mix_log,
	    1000, 0),
	CASE("churn/log/1e4", "log-uniform 1..1024 pages, 1e4 live", mix_log,
	    10000, 60),
	CASE("churn/log/1e5", "log-uniform 1..1024 pages, 1e5 live", mix_log,
	    100000, 110),
	CASE("churn/log/1e6", "log-uniform 1..1024 pages, 1e6 live", mix_log,
	    1000000, 440),
};
const size_t churn_ncases = sizeof(churn_cases) / sizeof(churn_cases[0]);
