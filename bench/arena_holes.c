/*
 * arena_holes.c - single operations in an arena full of holes.
 *
 * The arena is filled to the last page with 2 H ranges of random sizes (`small`
 * or `log`, see arena_churn.c) and a few that take up the rest; then every
 * other one is freed, in random order: H holes, no two of which touch.
 *
 *	fail	a request larger than any hole
 *	best	exact best fit of a random size
 *	window	1..16 pages within a window [min, max] at a random place, of a
 *		random width from 1 MiB to the whole arena (log-uniform)
 *	at	one page at a random address inside a random hole
 *	stat	VMEM_MAXFREE and vmem_stat(), alone and after each of a pair
 *
 * A phase is timed in batches of 1000 operations; between batches, untimed,
 * what they took is freed in random order, so that each begins with the same
 * holes (all of them coalesce).  One batch is done before, untimed.
 */
#include "config.h"

#include "bench/arena.h"

#include <vmem.h>

#include "util/clock.h"
#include "util/rng.h"

#define BATCH_MAX 1000u
#define BATCHES 200u		/* of a phase */

struct hole {
	uint64_t ho_addr, ho_size;
};

struct holes {
	const struct ranges *hs_ranges;
	void *hs_arena;
	struct hole *hs_holes;	/* in random order */
	uint64_t hs_count;
	uint64_t hs_next;	/* the hole whose turn it is */
	uint64_t hs_span;
	struct sizes hs_sizes;
	struct rng hs_rng;
	unsigned int hs_batch;	/* operations in one */
	unsigned int hs_batches;
	struct holes *hs_base;	/* 1e3 holes, for growth; or NULL */
};

struct holes_kind {
	enum mix hk_mix;
	bool hk_growth;
};

#define GROWTH_FROM 1000u

static void
shuffle(struct hole *list, uint64_t count, struct rng *rng)
{
	for (uint64_t i = count; i > 1; i--) {
		uint64_t j = rng_below(rng, i);
		struct hole saved = list[i - 1];

		list[i - 1] = list[j];
		list[j] = saved;
	}
}

/* Takes all that is left, in pieces as large as can be had. */
static void
take_rest(const struct holes *hs)
{
	uint64_t size = UINT64_C(1) << 46;

	while (size >= RANGES_PAGE)
		if (hs->hs_ranges->ra_get(hs->hs_arena, size) == 0)
			size /= 2;
}

static struct holes *
holes_open(const struct bench_run *run, uint64_t count)
{
	const struct holes_kind *hk = run->br_case->bc_arg;
	struct holes *hs = bench_alloc(sizeof(*hs));
	struct hole *all = bench_map(2 * count * sizeof(*all));

	hs->hs_ranges = run->br_contender->bn_arg;
	hs->hs_count = count;
	/* Few enough that holes of every size are left. */
	hs->hs_batch = run->br_quick ? 20 : BATCH_MAX;
	hs->hs_batches = run->br_quick ? 20 : BATCHES;
	sizes_init(&hs->hs_sizes, hk->hk_mix);
	rng_init(&hs->hs_rng, run->br_seed);
	hs->hs_span = RANGES_PAGE *
	    (uint64_t)(2.2 * hs->hs_sizes.sz_mean * (double)count);
	hs->hs_arena = ranges_open(hs->hs_ranges, hs->hs_span, count);
	for (uint64_t i = 0; i < 2 * count; i++) {
		uint64_t random = rng_next(&hs->hs_rng);

		all[i].ho_size =
		    sizes_pages(&hs->hs_sizes, random) * RANGES_PAGE;
		all[i].ho_addr = hs->hs_ranges->ra_get(
		    hs->hs_arena, all[i].ho_size);
		if (all[i].ho_addr == 0)
			bench_die("the arena is too small");
	}
	take_rest(hs);
	hs->hs_holes = bench_map(count * sizeof(*all));
	for (uint64_t i = 0; i < count; i++)
		hs->hs_holes[i] = all[2 * i];
	shuffle(hs->hs_holes, count, &hs->hs_rng);
	for (uint64_t i = 0; i < count; i++)
		hs->hs_ranges->ra_put(hs->hs_arena, hs->hs_holes[i].ho_addr,
		    hs->hs_holes[i].ho_size);
	return (hs);
}

static void *
holes_setup(const struct bench_run *run)
{
	const struct holes_kind *hk = run->br_case->bc_arg;
	uint64_t count = run->br_case->bc_number;
	struct holes *hs;

	if (run->br_quick && count > 1500)
		count = 1500;
	hs = holes_open(run, count);
	if (hk->hk_growth)
		hs->hs_base = holes_open(run, GROWTH_FROM);
	return (hs);
}

/* ---- batches -------------------------------------------------------------- */

/* What a batch asks for, made before the clock starts, and what it got. */
struct ask {
	uint64_t as_size, as_min, as_max;
	uint64_t as_addr;	/* 0: nothing */
};

typedef void prepare_fn(struct holes *hs, struct ask *as);
typedef uint64_t ask_fn(struct holes *hs, const struct ask *as);

static void
give_back(struct holes *hs, struct ask *asks,
    void (*put)(void *, uint64_t, uint64_t))
{
	for (uint64_t i = hs->hs_batch; i > 1; i--) {
		uint64_t j = rng_below(&hs->hs_rng, i);
		struct ask saved = asks[i - 1];

		asks[i - 1] = asks[j];
		asks[j] = saved;
	}
	for (uint64_t i = 0; i < hs->hs_batch; i++)
		if (asks[i].as_addr != 0)
			put(hs->hs_arena, asks[i].as_addr, asks[i].as_size);
}

/* ns an operation; the share that got nothing in *failedp. */
static inline __attribute__((__always_inline__)) double
batches(struct holes *hs, prepare_fn *prepare, ask_fn *ask,
    void (*put)(void *, uint64_t, uint64_t), double *failedp)
{
	static struct ask asks[BATCH_MAX];
	uint64_t ns = 0, failed = 0;

	for (unsigned int b = 0; b <= hs->hs_batches; b++) {
		uint64_t start;

		for (unsigned int i = 0; i < hs->hs_batch; i++)
			prepare(hs, &asks[i]);
		start = clock_ns();
		for (unsigned int i = 0; i < hs->hs_batch; i++)
			asks[i].as_addr = ask(hs, &asks[i]);
		start = clock_ns() - start;
		if (b > 0) {	/* the first one warms up */
			ns += start;
			for (unsigned int i = 0; i < hs->hs_batch; i++)
				failed += asks[i].as_addr == 0;
		}
		give_back(hs, asks, put);
	}
	*failedp = (double)failed / (hs->hs_batches * hs->hs_batch);
	return ((double)ns / (hs->hs_batches * hs->hs_batch));
}

static void
random_size(struct holes *hs, struct ask *as)
{
	as->as_size = RANGES_PAGE *
	    sizes_pages(&hs->hs_sizes, rng_next(&hs->hs_rng));
}

/* ---- fail, best ------------------------------------------------------------ */

static void
too_large(struct holes *hs, struct ask *as)
{
	(void)hs;
	as->as_size = 1025 * RANGES_PAGE;
}

static uint64_t
ask_plain(struct holes *hs, const struct ask *as)
{
	return (hs->hs_ranges->ra_get(hs->hs_arena, as->as_size));
}

static void
fail_phase(void *state, struct bench_out *out)
{
	struct holes *hs = state;
	double failed;

	bench_value(out, "fail", "ns", batches(hs, too_large, ask_plain,
	    hs->hs_ranges->ra_put, &failed));
	if (failed < 1)
		bench_die("something larger than any hole was had");
}

static void
best_phase(void *state, struct bench_out *out)
{
	struct holes *hs = state;
	double failed;

	bench_value(out, "alloc", "ns", batches(hs, random_size, ask_plain,
	    hs->hs_ranges->ra_put, &failed));
	/* Larger than the largest hole that is left: where there are few. */
	bench_value(out, "not had", "%", 100 * failed);
}

/* ---- window, at: libvmem alone can ----------------------------------------- */

static void
random_window(struct holes *hs, struct ask *as)
{
	unsigned int bits = 64 - (unsigned int)__builtin_clzll(hs->hs_span);
	uint64_t width = UINT64_C(1) << (20 + rng_below(&hs->hs_rng,
	    bits > 20 ? bits - 20 : 1));

	as->as_size = RANGES_PAGE * (1 + rng_below(&hs->hs_rng, 16));
	width = width > hs->hs_span ? hs->hs_span : width;
	as->as_min = RANGES_BASE +
	    rng_below(&hs->hs_rng, hs->hs_span - width + 1);
	as->as_max = as->as_min + width - 1;
}

static uint64_t
ask_window(struct holes *hs, const struct ask *as)
{
	vmem_addr_t addr;

	return (vmem_xalloc(hs->hs_arena, as->as_size, 0, 0, 0, as->as_min,
	    as->as_max, VM_NOSLEEP, &addr) == 0 ? addr : 0);
}

static void
window_phase(void *state, struct bench_out *out)
{
	struct holes *hs = state;
	double ns, failed, ignored;

	ns = batches(hs, random_window, ask_window,
	    hs->hs_ranges->ra_put_aligned, &failed);
	bench_value(out, "xalloc", "ns", ns);
	if (hs->hs_base != NULL)
		bench_value(out, "growth", "x", ns / batches(hs->hs_base,
		    random_window, ask_window, hs->hs_ranges->ra_put_aligned,
		    &ignored));
	bench_value(out, "not had", "%", 100 * failed);
}

/* The next hole: no two of a batch are the same. */
static void
random_place(struct holes *hs, struct ask *as)
{
	const struct hole *ho = &hs->hs_holes[hs->hs_next];

	hs->hs_next = (hs->hs_next + 1) % hs->hs_count;
	as->as_size = RANGES_PAGE;
	as->as_min = ho->ho_addr + RANGES_PAGE *
	    rng_below(&hs->hs_rng, ho->ho_size / RANGES_PAGE);
}

static uint64_t
ask_at(struct holes *hs, const struct ask *as)
{
	return (vmem_xalloc_addr(hs->hs_arena, as->as_min, as->as_size,
	    VM_NOSLEEP) == 0 ? as->as_min : 0);
}

static void
at_phase(void *state, struct bench_out *out)
{
	struct holes *hs = state;
	double failed;

	bench_value(out, "at", "ns", batches(hs, random_place, ask_at,
	    hs->hs_ranges->ra_put_aligned, &failed));
	if (failed > 0)
		bench_die("%g of the free places couldn't be had", failed);
}

/* ---- stat ------------------------------------------------------------------ */

static void
stat_phase(void *state, struct bench_out *out)
{
	struct holes *hs = state;
	unsigned int n = hs->hs_batches * hs->hs_batch;
	struct vmem_stat vs;
	uint64_t start = clock_ns();

	for (unsigned int i = 0; i < n; i++)
		bench_use(vmem_size(hs->hs_arena, VMEM_MAXFREE));
	bench_value(out, "maxfree", "ns",
	    (double)(clock_ns() - start) / n);
	start = clock_ns();
	for (unsigned int i = 0; i < n; i++) {
		vmem_stat(hs->hs_arena, &vs);
		bench_use(vs.vs_largest_free);
	}
	bench_value(out, "stat", "ns", (double)(clock_ns() - start) / n);
	/* The largest hole comes and goes. */
	start = clock_ns();
	for (unsigned int i = 0; i < n; i++) {
		uint64_t size = vmem_size(hs->hs_arena, VMEM_MAXFREE);
		uint64_t addr = hs->hs_ranges->ra_get(hs->hs_arena, size);

		bench_use(vmem_size(hs->hs_arena, VMEM_MAXFREE));
		hs->hs_ranges->ra_put(hs->hs_arena, addr, size);
	}
	bench_value(out, "changed", "ns", (double)(clock_ns() - start) / n);
}

/* ---- cases ----------------------------------------------------------------- */

static const struct bench_contender
    fail_vmem = BY_VMEM(holes_setup, fail_phase),
    fail_boost = BY_BOOST(holes_setup, fail_phase),
    best_vmem = BY_BEST(holes_setup, best_phase),
    best_boost = BY_BOOST(holes_setup, best_phase),
    window_vmem = BY_VMEM(holes_setup, window_phase),
    at_vmem = BY_VMEM(holes_setup, at_phase),
    stat_vmem = BY_VMEM(holes_setup, stat_phase);

static const struct bench_contender *const by_fail[] = { &fail_vmem,
	&fail_boost, NULL };
static const struct bench_contender *const by_best[] = { &best_vmem,
	&best_boost, NULL };
static const struct bench_contender *const by_window[] = { &window_vmem, NULL };
static const struct bench_contender *const by_at[] = { &at_vmem, NULL };
static const struct bench_contender *const by_stat[] = { &stat_vmem, NULL };

static const struct holes_kind small = { MIX_SMALL, false };
static const struct holes_kind small_growth = { MIX_SMALL, true };
static const struct holes_kind log_uniform = { MIX_LOG, false };

#define CASE(name, text, by, kind, count, ...)                                \
	{                                                                     \
		.bc_name = name,                                              \
		.bc_text = text,                                              \
		.bc_contenders = by,                                          \
		.bc_arg = &(kind),                                            \
		.bc_number = count,                                           \
		.bc_aims = { __VA_ARGS__ },                                   \
	}

const struct bench_case holes_cases[] = {
	CASE("fail/small", "must fail, 250k holes of 1..16 pages", by_fail,
	    small, 250000, { "fail", 100 }),
	CASE("fail/log", "must fail, 250k holes of 1..1024 pages", by_fail,
	    log_uniform, 250000, { "fail", 100 }),
	CASE("best/small", "exact best fit, 250k holes of 1..16 pages",
	    by_best, small, 250000, { "alloc", 300 }),
	CASE("best/log", "exact best fit, 250k holes of 1..1024 pages",
	    by_best, log_uniform, 250000, { "alloc", 300 }),
	CASE("window/1e3", "within [min, max], 1e3 holes", by_window, small,
	    1000, { 0 }),
	CASE("window/1e4", "within [min, max], 1e4 holes", by_window,
	    small_growth, 10000, { 0 }),
	CASE("window/1e5", "within [min, max], 1e5 holes; growth from 1e3",
	    by_window, small_growth, 100000, { "xalloc", 500 }),
	CASE("window/1e6", "within [min, max], 1e6 holes; growth from 1e3",
	    by_window, small_growth, 1000000, { 0 }),
	CASE("at/1e5", "a page at an address, 1e5 holes", by_at, small, 100000,
	    { "at", 500 }),
	CASE("at/1e6", "a page at an address, 1e6 holes", by_at, small,
	    1000000, { 0 }),
	CASE("stat/1e3", "largest free, statistics, 1e3 holes", by_stat,
	    small, 1000, { 0 }),
	CASE("stat/1e5", "largest free, statistics, 1e5 holes", by_stat,
	    small, 100000, { 0 }),
	CASE("stat/1e6", "largest free, statistics, 1e6 holes", by_stat,
	    small, 1000000, { 0 }),
};
const size_t holes_ncases = sizeof(holes_cases) / sizeof(holes_cases[0]);
