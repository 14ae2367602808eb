/*
 * arena_space.c - what isn't time: memory for the books, and room that is
 * there but of no use.  Counted once; nothing here is timed.
 *
 * memory: N ranges are allocated, then aged by 2 N pairs of random churn, then
 * all freed, in random order.  The process's resident bytes over what they were
 * before the first allocation, for each of the N ranges, after each step.
 *
 * room: an arena of 1.10 times B bytes, where B is what N ranges have on
 * average.  Ranges are allocated until the next one would bring what is live
 * above B; then 10 N times: random ones are freed until a new one of a random
 * size keeps what is live within B, and that one is asked for.  Since there
 * are always more than 0.10 B bytes free, every failure is fragmentation.  The
 * share of the requests that fail is the result, fill and churn counted apart.
 */
#include "config.h"

#include "bench/arena.h"

#include "util/rng.h"

struct range {
	uint64_t rg_addr;
	uint32_t rg_pages;
} __attribute__((__packed__));	/* fewer bytes for the same bench */

struct space {
	const struct ranges *sp_ranges;
	void *sp_arena;
	struct range *sp_list;
	uint64_t sp_count, sp_target;
	uint64_t sp_live;	/* pages */
	uint64_t sp_rss;
	struct sizes sp_sizes;
	struct rng sp_rng;
};

static struct space *
space_open(const struct bench_run *run, double room)
{
	struct space *sp = bench_alloc(sizeof(*sp));
	const enum mix *mix = run->br_case->bc_arg;
	size_t bytes;

	sp->sp_ranges = run->br_contender->bn_arg;
	sp->sp_target = run->br_case->bc_number;
	if (run->br_quick && sp->sp_target > 2000)
		sp->sp_target = 2000;
	/* More than N of them, when they happen to be small. */
	bytes = (2 * sp->sp_target + 1000) * sizeof(*sp->sp_list);
	sp->sp_list = bench_map(bytes);
	for (size_t i = 0; i < bytes / sizeof(*sp->sp_list); i++)
		sp->sp_list[i].rg_pages = 1;	/* resident from now on */
	sizes_init(&sp->sp_sizes, *mix);
	rng_init(&sp->sp_rng, run->br_seed);
	sp->sp_rss = bench_rss();
	sp->sp_arena = ranges_open(sp->sp_ranges,
	    RANGES_PAGE * (uint64_t)(room * sp->sp_sizes.sz_mean *
			      (double)sp->sp_target), sp->sp_target);
	return (sp);
}

static uint64_t
random_pages(struct space *sp)
{
	return (sizes_pages(&sp->sp_sizes, rng_next(&sp->sp_rng)));
}

static bool
take(struct space *sp, uint64_t pages)
{
	uint64_t addr =
	    sp->sp_ranges->ra_get(sp->sp_arena, pages * RANGES_PAGE);

	if (addr == 0)
		return (false);
	sp->sp_list[sp->sp_count++] =
	    (struct range){ addr, (uint32_t)pages };
	sp->sp_live += pages;
	return (true);
}

static void
drop_random(struct space *sp)
{
	uint64_t i = rng_below(&sp->sp_rng, sp->sp_count);
	struct range rg = sp->sp_list[i];

	sp->sp_list[i] = sp->sp_list[--sp->sp_count];
	sp->sp_live -= rg.rg_pages;
	sp->sp_ranges->ra_put(
	    sp->sp_arena, rg.rg_addr, (uint64_t)rg.rg_pages * RANGES_PAGE);
}

/* ---- memory ----------------------------------------------------------------- */

static void *
memory_setup(const struct bench_run *run)
{
	return (space_open(run, 2));
}

static void
memory_value(const struct space *sp, struct bench_out *out, const char *when)
{
	bench_value(out, when, "B",
	    (double)(int64_t)(bench_rss() - sp->sp_rss) /
		(double)sp->sp_target);
}

static void
must_take(struct space *sp)
{
	if (!take(sp, random_pages(sp)))
		bench_die("an arena that is half empty has no room");
}

static void
memory_phase(void *state, struct bench_out *out)
{
	struct space *sp = state;

	while (sp->sp_count < sp->sp_target)
		must_take(sp);
	memory_value(sp, out, "filled");
	for (uint64_t i = 0; i < 2 * sp->sp_target; i++) {
		drop_random(sp);
		must_take(sp);
	}
	memory_value(sp, out, "churned");
	while (sp->sp_count > 0)
		drop_random(sp);
	memory_value(sp, out, "freed");
}

/* ---- room ------------------------------------------------------------------- */

static void *
room_setup(const struct bench_run *run)
{
	return (space_open(run, 1.10));
}

static void
room_phase(void *state, struct bench_out *out)
{
	struct space *sp = state;
	uint64_t most =
	    (uint64_t)(sp->sp_sizes.sz_mean * (double)sp->sp_target);
	uint64_t fill_failed = 0, churn_failed = 0, filled = 0, pages;

	while (sp->sp_live + (pages = random_pages(sp)) <= most) {
		filled++;
		fill_failed += !take(sp, pages);
		if (fill_failed > sp->sp_target)
			bench_die("it can't be filled");
	}
	for (uint64_t i = 0; i < 10 * sp->sp_target; i++) {
		pages = random_pages(sp);
		while (sp->sp_live + pages > most)
			drop_random(sp);
		churn_failed += !take(sp, pages);
	}
	bench_value(out, "filling", "%",
	    100.0 * (double)fill_failed / (double)filled);
	bench_value(out, "failing", "%",
	    10.0 * (double)churn_failed / (double)sp->sp_target);
}

/* ---- cases ------------------------------------------------------------------ */

static const struct bench_contender
    memory_vmem = BY_VMEM(memory_setup, memory_phase),
    memory_best = BY_BEST(memory_setup, memory_phase),
    memory_jemalloc = BY_JEMALLOC(memory_setup, memory_phase),
    memory_mimalloc = BY_MIMALLOC(memory_setup, memory_phase),
    memory_boost = BY_BOOST(memory_setup, memory_phase),
    room_vmem = BY_VMEM(room_setup, room_phase),
    room_best = BY_BEST(room_setup, room_phase),
    room_boost = BY_BOOST(room_setup, room_phase);

static const struct bench_contender *const by_memory[] = { &memory_vmem,
	&memory_best, &memory_jemalloc, &memory_mimalloc, &memory_boost, NULL };
static const struct bench_contender *const by_room[] = { &room_vmem,
	&room_boost, NULL };
static const struct bench_contender *const by_room_best[] = { &room_best,
	&room_boost, NULL };

static const enum mix small = MIX_SMALL, log_uniform = MIX_LOG;

#define CASE(name, text, by, mix, count, ...)                                 \
	{                                                                     \
		.bc_name = name,                                              \
		.bc_text = text,                                              \
		.bc_contenders = by,                                          \
		.bc_once = true,                                              \
		.bc_arg = &(mix),                                             \
		.bc_number = count,                                           \
		.bc_aims = { __VA_ARGS__ },                                   \
	}

const struct bench_case space_cases[] = {
	CASE("memory/small", "resident bytes a range, 1..16 pages, 1e6",
	    by_memory, small, 1000000, { "filled", 44 }, { "churned", 44 }),
	CASE("memory/log", "resident bytes a range, 1..1024 pages, 1e6",
	    by_memory, log_uniform, 1000000, { "filled", 48 },
	    { "churned", 48 }),
	CASE("room/small", "default policy, 1.10x live, 1..16 pages, 1e5",
	    by_room, small, 100000, { "filling", 0.5 }, { "failing", 0.5 }),
	CASE("room/log", "default policy, 1.10x live, 1..1024 pages, 1e5",
	    by_room, log_uniform, 100000, { "filling", 0.5 },
	    { "failing", 0.5 }),
	CASE("room/best/small", "best fit, 1.10x live, 1..16 pages, 1e5",
	    by_room_best, small, 100000, { "filling", 0 }, { "failing", 0 }),
	CASE("room/best/log", "best fit, 1.10x live, 1..1024 pages, 1e5",
	    by_room_best, log_uniform, 100000, { "filling", 0 },
	    { "failing", 0 }),
};
const size_t space_ncases = sizeof(space_cases) / sizeof(space_cases[0]);
