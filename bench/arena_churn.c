/*
 * arena_churn.c - random churn: the workload W2.
 *
 * N ranges are live.  Each step frees a random one of them and allocates one of
 * a random size in its place: a *pair*.  Who is freed is found by a random
 * access to an array of N words (address and size in one), on huge pages, which
 * is prefetched a pair ahead; what remains of the harness's own cost is in the
 * figures, and a contender (`harness`) by itself.  Sizes:
 *
 *	small	uniform, 1 ... 16 pages
 *	log	log-uniform, 1 ... 1024 pages
 *	powers	64 KiB ... 2 MiB, powers of two, each aligned to its own size
 *	aligned	1 ... 16 pages, aligned to 64 KiB ... 2 MiB at random
 *
 * The arena has twice the bytes that are live on average, so that a policy is
 * free to fill holes or not; 1.5 times for `powers`, 640 KiB a range for
 * `aligned`.  It is filled, then aged by two pairs for each live range (one at
 * 1e7) before anything is timed, and each phase begins with a tenth of its
 * pairs untimed, for the caches.  A phase has 1e6 pairs, fewer (5e4 at least)
 * for a contender that would take longer than 0.4 s for them.
 *
 * Beside the time a pair takes, each phase says what is resident for each live
 * range, over what was before the first allocation; with `growth`, the time of
 * a pair as a multiple of that with 1e3 live, taken in the same phase by the
 * same process; and if any request has failed, their share.
 */
#include "config.h"

#include "bench/arena.h"

#include "util/clock.h"
#include "util/rng.h"

#define PHASE_PAIRS 1000000u
#define PHASE_PAIRS_MIN 50000u
#define PHASE_NS 400000000u
#define GROWTH_FROM 1000u
#define SIZE_BITS 16u		/* a slot: the address, and pages below */
#define SIZE_MASK ((UINT64_C(1) << SIZE_BITS) - 1)

struct churn_kind {
	enum mix ck_mix;
	bool ck_aligned;	/* to the range's size, or at random */
	bool ck_growth;
	double ck_room;		/* the arena, of what is live on average */
};

struct churn {
	const struct ranges *ch_ranges;
	const struct churn_kind *ch_kind;
	void *ch_arena;
	uint64_t *ch_slots;	/* 0: the request failed */
	uint64_t ch_live;
	uint64_t ch_pairs;	/* of a phase */
	uint64_t ch_failed;
	uint64_t ch_rss;	/* before the arena was made */
	struct sizes ch_sizes;
	struct rng ch_rng;
	struct churn *ch_base;	/* what growth is relative to, or NULL */
};

typedef uint64_t get_fn(struct churn *ch, uint64_t pages, uint64_t random);

static inline __attribute__((__always_inline__)) uint64_t
get_plain(struct churn *ch, uint64_t pages, uint64_t random)
{
	(void)random;
	return (ch->ch_ranges->ra_get(ch->ch_arena, pages * RANGES_PAGE));
}

static inline __attribute__((__always_inline__)) uint64_t
get_aligned(struct churn *ch, uint64_t pages, uint64_t random)
{
	uint64_t align = ch->ch_kind->ck_mix == MIX_POWERS ?
	    pages * RANGES_PAGE :
	    UINT64_C(65536) << random * 6 / (1u << 16);

	return (ch->ch_ranges->ra_get_aligned(
	    ch->ch_arena, pages * RANGES_PAGE, align));
}

/* Bits of one random number: 0-12 the size, 16-31 the alignment, 32-63 which
 * slot. */
static inline __attribute__((__always_inline__)) uint64_t
get_slot(struct churn *ch, uint64_t r, get_fn *get)
{
	uint64_t pages = sizes_pages(&ch->ch_sizes, r);
	uint64_t addr = get(ch, pages, r >> 16 & 0xffff);

	if (__builtin_expect(addr == 0, 0)) {
		ch->ch_failed++;
		return (0);
	}
	return (addr << SIZE_BITS | pages);
}

static inline uint64_t *
slot_of(const struct churn *ch, uint64_t r)
{
	return (&ch->ch_slots[(r >> 32) * ch->ch_live >> 32]);
}

static inline __attribute__((__always_inline__)) void
churn_with(struct churn *ch, uint64_t pairs, get_fn *get,
    void (*put)(void *, uint64_t, uint64_t))
{
	struct rng rng = ch->ch_rng;
	uint64_t next = rng_next(&rng);

	for (uint64_t i = 0; i < pairs; i++) {
		uint64_t r = next, *slot = slot_of(ch, r);

		next = rng_next(&rng);
		__builtin_prefetch(slot_of(ch, next), 1);
		if (__builtin_expect(*slot != 0, 1))
			put(ch->ch_arena, *slot >> SIZE_BITS,
			    (*slot & SIZE_MASK) * RANGES_PAGE);
		*slot = get_slot(ch, r, get);
	}
	ch->ch_rng = rng;
}

static void
churn(struct churn *ch, uint64_t pairs)
{
	if (ch->ch_kind->ck_aligned)
		churn_with(
		    ch, pairs, get_aligned, ch->ch_ranges->ra_put_aligned);
	else
		churn_with(ch, pairs, get_plain, ch->ch_ranges->ra_put);
}

/* How many pairs a phase has. */
static uint64_t
calibrate(struct churn *ch)
{
	uint64_t start = clock_ns(), pairs;

	churn(ch, PHASE_PAIRS_MIN);
	pairs = (uint64_t)PHASE_PAIRS_MIN * PHASE_NS / (clock_ns() - start);
	pairs = pairs < PHASE_PAIRS_MIN ? PHASE_PAIRS_MIN : pairs;
	return (pairs > PHASE_PAIRS ? PHASE_PAIRS : pairs);
}

static struct churn *
churn_open(const struct bench_run *run, uint64_t live)
{
	struct churn *ch = bench_alloc(sizeof(*ch));

	ch->ch_ranges = run->br_contender->bn_arg;
	ch->ch_kind = run->br_case->bc_arg;
	ch->ch_live = live;
	ch->ch_slots = bench_map(live * sizeof(*ch->ch_slots));
	sizes_init(&ch->ch_sizes, ch->ch_kind->ck_mix);
	rng_init(&ch->ch_rng, run->br_seed);
	for (uint64_t i = 0; i < live; i++)
		ch->ch_slots[i] = 1;	/* resident from now on */
	ch->ch_rss = bench_rss();
	ch->ch_arena = ranges_open(ch->ch_ranges,
	    RANGES_PAGE * (uint64_t)(ch->ch_kind->ck_room *
			      ch->ch_sizes.sz_mean * (double)live), live);
	for (uint64_t i = 0; i < live; i++)
		ch->ch_slots[i] = get_slot(ch, rng_next(&ch->ch_rng),
		    ch->ch_kind->ck_aligned ? get_aligned : get_plain);
	churn(ch, live > 5000000 ? live : 2 * live);
	ch->ch_pairs = run->br_quick ? 2000 : calibrate(ch);
	ch->ch_failed = 0;
	return (ch);
}

static void *
churn_setup(const struct bench_run *run)
{
	uint64_t live = run->br_case->bc_number;
	struct churn *ch;

	if (run->br_quick && live > 2000)
		live = 2000;
	ch = churn_open(run, live);
	if (ch->ch_kind->ck_growth)
		ch->ch_base = churn_open(run, GROWTH_FROM);
	return (ch);
}

/* ns a pair. */
static double
churn_time(struct churn *ch)
{
	uint64_t start;

	churn(ch, ch->ch_pairs / 10);
	start = clock_ns();
	churn(ch, ch->ch_pairs);
	return ((double)(clock_ns() - start) / (double)ch->ch_pairs);
}

static void
churn_phase(void *state, struct bench_out *out)
{
	struct churn *ch = state;
	double ns = churn_time(ch);

	bench_value(out, "pair", "ns", ns);
	if (ch->ch_base != NULL)
		bench_value(out, "growth", "x", ns / churn_time(ch->ch_base));
	bench_value(out, "rss", "B/live",
	    (double)(int64_t)(bench_rss() - ch->ch_rss) / (double)ch->ch_live);
	if (ch->ch_kind->ck_aligned)
		bench_value(out, "failed", "%",
		    100.0 * (double)ch->ch_failed / (double)ch->ch_pairs);
	ch->ch_failed = 0;
}

static const struct bench_contender
    by_vmem = BY_VMEM(churn_setup, churn_phase),
    by_jemalloc = BY_JEMALLOC(churn_setup, churn_phase),
    by_mimalloc = BY_MIMALLOC(churn_setup, churn_phase),
    by_boost = BY_BOOST(churn_setup, churn_phase),
    by_harness = BY_HARNESS(churn_setup, churn_phase);

static const struct bench_contender *const contenders[] = { &by_vmem,
	&by_jemalloc, &by_mimalloc, &by_boost, &by_harness, NULL };

/* ---- cases ---------------------------------------------------------------- */

static const struct churn_kind small = { MIX_SMALL, false, false, 2 };
static const struct churn_kind small_growth = { MIX_SMALL, false, true, 2 };
static const struct churn_kind log_uniform = { MIX_LOG, false, false, 2 };
static const struct churn_kind powers = { MIX_POWERS, true, false, 1.5 };
/* 640 KiB a range, of 8.5 pages on average. */
static const struct churn_kind aligned = { MIX_SMALL, true, false, 18.83 };

#define CASE(name, text, kind, live, ...)                                     \
	{                                                                     \
		.bc_name = name,                                              \
		.bc_text = text,                                              \
		.bc_contenders = contenders,                                  \
		.bc_arg = &(kind),                                            \
		.bc_number = live,                                            \
		.bc_aims = { __VA_ARGS__ },                                   \
	}

const struct bench_case churn_cases[] = {
	CASE("churn/small/1e3", "1..16 pages, 1e3 live", small, 1000, { 0 }),
	CASE("churn/small/1e4", "1..16 pages, 1e4 live", small, 10000,
	    { "pair", 60 }),
	CASE("churn/small/1e5", "1..16 pages, 1e5 live", small, 100000, { 0 }),
	CASE("churn/small/1e6", "1..16 pages, 1e6 live", small, 1000000,
	    { "pair", 330 }),
	CASE("churn/small/1e7", "1..16 pages, 1e7 live; growth from 1e3",
	    small_growth, 10000000, { "pair", 420 }, { "growth", 6 }),
	CASE("churn/log/1e3", "log-uniform 1..1024 pages, 1e3 live",
	    log_uniform, 1000, { 0 }),
	CASE("churn/log/1e4", "log-uniform 1..1024 pages, 1e4 live",
	    log_uniform, 10000, { "pair", 60 }),
	CASE("churn/log/1e5", "log-uniform 1..1024 pages, 1e5 live",
	    log_uniform, 100000, { "pair", 110 }),
	CASE("churn/log/1e6", "log-uniform 1..1024 pages, 1e6 live",
	    log_uniform, 1000000, { "pair", 440 }),
	CASE("aligned/powers", "64K..2M, each aligned to its size, 1e5 live",
	    powers, 100000, { "pair", 200 }),
	CASE("aligned/small", "1..16 pages aligned to 64K..2M, 1e5 live",
	    aligned, 100000, { "pair", 200 }),
};
const size_t churn_ncases = sizeof(churn_cases) / sizeof(churn_cases[0]);
