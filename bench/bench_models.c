/*
 * bench_models.c - question: what do the designs of lib/models cost, beside
 * libvmem in the same layering, as there are more ranges?
 *
 *	pages/N		churn of wired ranges of 1..16 pages, N live
 *	bytes/N		churn of 8..1024 bytes through the kmem size table
 *	parts/N		of three equal parts the middle one is freed, then the
 *			others: what a record is needed for in a free
 *	fault/N		a fault on a page that is there, of 64 pageable ranges,
 *			beside N wired ones
 *
 * Workload: a pair frees a random range and allocates one of a random size in
 * its place.  Nothing is touched.  Warm-up: filled, then aged by N pairs before
 * the first phase.  `vmemctl compare` counts what is only timed here.
 */
#include "config.h"

#include "bench/bench.h"

#include <stdlib.h>
#include <string.h>

#include "models/model.h"
#include "util/clock.h"
#include "util/rng.h"

#define PAIRS 200000u		/* of a phase */
#define PAIRS_QUICK 2000u
#define FAULTY 64u		/* pageable ranges */
#define FAULTY_PAGES 17u	/* beyond the quantum caches */

enum work { WORK_PAGES, WORK_BYTES, WORK_PARTS, WORK_FAULT };

struct churn {
	struct model *ch_model;
	enum work ch_work;
	uint64_t ch_count, ch_pairs;
	uint64_t *ch_addrs;
	uint32_t *ch_sizes;
	struct rng ch_rng;
};

/* ---- the models ---------------------------------------------------------- */

static void *setup(const struct bench_run *run);
static void phase(void *state, struct bench_out *out);

static const struct bench_contender vmem = { .bn_name = "vmem",
	.bn_arg = "vmem", .bn_setup = setup, .bn_phase = phase };
static const struct bench_contender direct = { .bn_name = "direct_map",
	.bn_arg = "vmem+direct_map", .bn_setup = setup, .bn_phase = phase };
static const struct bench_contender map = { .bn_name = "kernel_map",
	.bn_arg = "kernel_map", .bn_setup = setup, .bn_phase = phase };
static const struct bench_contender nomerge = { .bn_name = "nomerge",
	.bn_arg = "kernel_map+nomerge", .bn_setup = setup, .bn_phase = phase };
static const struct bench_contender reserve2 = { .bn_name = "reserve2",
	.bn_arg = "kernel_map+reserve2", .bn_setup = setup,
	.bn_phase = phase };
static const struct bench_contender stash = { .bn_name = "stash",
	.bn_arg = "kernel_map+stash", .bn_setup = setup, .bn_phase = phase };
static const struct bench_contender page = { .bn_name = "page",
	.bn_arg = "kernel_map+page", .bn_setup = setup, .bn_phase = phase };
static const struct bench_contender vacache = { .bn_name = "vacache",
	.bn_arg = "vacache+low", .bn_setup = setup, .bn_phase = phase };
static const struct bench_contender pools = { .bn_name = "pools",
	.bn_arg = "pools", .bn_setup = setup, .bn_phase = phase };
static const struct bench_contender kmem_vmem = { .bn_name = "kmem/vmem",
	.bn_arg = "kmem+vmem", .bn_setup = setup, .bn_phase = phase };
static const struct bench_contender kmem_map = { .bn_name = "kmem/map",
	.bn_arg = "kmem+kernel_map", .bn_setup = setup, .bn_phase = phase };
static const struct bench_contender kmem_pools = { .bn_name = "kmem/pools",
	.bn_arg = "kmem+pools", .bn_setup = setup, .bn_phase = phase };

static const struct bench_contender *const by_pages[] = { &vmem, &direct, &map,
	&nomerge, &reserve2, &stash, &page, &vacache, &pools, NULL };
static const struct bench_contender *const by_bytes[] = { &kmem_vmem,
	&kmem_map, &kmem_pools, NULL };
static const struct bench_contender *const by_parts[] = { &vmem, &map,
	&nomerge, &reserve2, &stash, &page, NULL };
static const struct bench_contender *const by_faults[] = { &vmem, &map,
	&nomerge, NULL };

/* ---- the work ------------------------------------------------------------ */

static uint32_t
draw(struct churn *ch)
{
	if (ch->ch_work == WORK_BYTES)
		return ((uint32_t)(8 + rng_below(&ch->ch_rng, 1017)));
	return ((uint32_t)(1 + rng_below(&ch->ch_rng, 16)) * MODEL_PAGE);
}

static uint64_t
get(struct churn *ch, uint64_t size, unsigned int how)
{
	uint64_t addr;

	model_context.cx_phase = PHASE_ALLOC;
	if (ch->ch_model->m_ops->mo_alloc(
	    ch->ch_model, size, 0, how, &addr) != 0)
		bench_die("%s: no space", ch->ch_model->m_spec.sp_name);
	return (addr);
}

static void
put(struct churn *ch, uint64_t addr, uint64_t size, unsigned int how)
{
	model_context.cx_phase = PHASE_FREE;
	if (ch->ch_model->m_ops->mo_free(ch->ch_model, addr, size, how) != 0)
		bench_die("%s: a free is refused",
		    ch->ch_model->m_spec.sp_name);
}

static void
pair(struct churn *ch)
{
	uint64_t i = rng_below(&ch->ch_rng, ch->ch_count);

	put(ch, ch->ch_addrs[i], ch->ch_sizes[i], 0);
	ch->ch_sizes[i] = draw(ch);
	ch->ch_addrs[i] = get(ch, ch->ch_sizes[i], 0);
}

/* Of a range of three parts the middle goes, and then what is left. */
static void
thirds(struct churn *ch)
{
	const uint64_t third = 20 * MODEL_PAGE;
	uint64_t addr = get(ch, 3 * third, 0);

	model_context.cx_phase = PHASE_PART;
	if (ch->ch_model->m_ops->mo_part(ch->ch_model, addr + third, third,
	    3 * third, 0) != 0)
		bench_die("%s: a part is refused",
		    ch->ch_model->m_spec.sp_name);
	put(ch, addr, third, MODEL_ALIGNED);
	put(ch, addr + 2 * third, third, MODEL_ALIGNED);
}

static void
fault(struct churn *ch)
{
	uint64_t i = rng_below(&ch->ch_rng, FAULTY);
	uint64_t at = rng_below(&ch->ch_rng, FAULTY_PAGES) * MODEL_PAGE;

	model_context.cx_phase = PHASE_FAULT;
	if (ch->ch_model->m_ops->mo_fault(
	    ch->ch_model, ch->ch_addrs[i] + at) != 0)
		bench_die("%s: a fault fails", ch->ch_model->m_spec.sp_name);
}

static void
step(struct churn *ch)
{
	switch (ch->ch_work) {
	case WORK_PAGES:
	case WORK_BYTES:
		pair(ch);
		break;
	case WORK_PARTS:
		thirds(ch);
		break;
	case WORK_FAULT:
		fault(ch);
		break;
	}
}

/* ---- setting up ---------------------------------------------------------- */

/* Wired ranges that can't merge, among the pageable ones: every other one of
 * twice as many is freed. */
static void
fill_faults(struct churn *ch)
{
	const uint64_t size = FAULTY_PAGES * MODEL_PAGE;
	uint64_t n = ch->ch_count;
	uint64_t *gaps = bench_alloc(n * sizeof(*gaps));

	for (uint64_t i = 0; i < FAULTY; i++) {
		ch->ch_addrs[i] = get(ch, size, MODEL_PAGEABLE);
		for (uint64_t j = i * n / FAULTY; j < (i + 1) * n / FAULTY;
		     j++) {
			gaps[j] = get(ch, size, 0);
			(void)get(ch, size, 0);
		}
	}
	for (uint64_t j = 0; j < n; j++)
		put(ch, gaps[j], size, 0);
	for (uint64_t i = 0; i < 20 * FAULTY * FAULTY_PAGES; i++)
		fault(ch);
}

static void
fill(struct churn *ch)
{
	if (ch->ch_work == WORK_FAULT) {
		fill_faults(ch);
		return;
	}
	for (uint64_t i = 0; i < ch->ch_count; i++) {
		ch->ch_sizes[i] = draw(ch);
		ch->ch_addrs[i] = get(ch, ch->ch_sizes[i], 0);
	}
	for (uint64_t i = 0; i < ch->ch_count; i++)
		pair(ch);
}

static void *
setup(const struct bench_run *run)
{
	struct churn *ch = bench_alloc(sizeof(*ch));
	struct model_spec spec;
	char why[MODEL_WHY_MAX];

	if (model_parse(run->br_contender->bn_arg, &spec, why) != 0 ||
	    model_create(&spec, &ch->ch_model) != 0)
		bench_die("%s can't be made",
		    (const char *)run->br_contender->bn_arg);
	ch->ch_work = *(const enum work *)run->br_case->bc_arg;
	ch->ch_count = run->br_case->bc_number;
	ch->ch_pairs = PAIRS;
	if (run->br_quick) {
		ch->ch_count = ch->ch_count < 500 ? ch->ch_count : 500;
		ch->ch_pairs = PAIRS_QUICK;
	}
	ch->ch_addrs = bench_alloc(
	    (ch->ch_count + FAULTY) * sizeof(ch->ch_addrs[0]));
	ch->ch_sizes = bench_alloc(ch->ch_count * sizeof(ch->ch_sizes[0]));
	rng_init(&ch->ch_rng, run->br_seed);
	fill(ch);
	return (ch);
}

static void
phase(void *state, struct bench_out *out)
{
	struct churn *ch = state;
	uint64_t start;

	for (uint64_t i = 0; i < ch->ch_pairs / 10; i++)
		step(ch);
	start = clock_ns();
	for (uint64_t i = 0; i < ch->ch_pairs; i++)
		step(ch);
	bench_value(out, "time", ch->ch_work == WORK_FAULT ? "ns/fault" :
	    ch->ch_work == WORK_PARTS ? "ns/range" : "ns/pair",
	    (double)(clock_ns() - start) / (double)ch->ch_pairs);
}

/* ---- cases --------------------------------------------------------------- */

static const enum work work_pages = WORK_PAGES, work_bytes = WORK_BYTES,
	work_parts = WORK_PARTS, work_fault = WORK_FAULT;

static const struct bench_case cases[] = {
	{ .bc_name = "pages/1e3", .bc_contenders = by_pages,
	    .bc_text = "1..16 pages, a thousand live",
	    .bc_arg = &work_pages, .bc_number = 1000 },
	{ .bc_name = "pages/1e5", .bc_contenders = by_pages,
	    .bc_text = "1..16 pages, a hundred thousand live",
	    .bc_arg = &work_pages, .bc_number = 100000 },
	{ .bc_name = "bytes/1e5", .bc_contenders = by_bytes,
	    .bc_text = "8..1024 bytes, a hundred thousand live",
	    .bc_arg = &work_bytes, .bc_number = 100000 },
	{ .bc_name = "parts/1e4", .bc_contenders = by_parts,
	    .bc_text = "the middle of 60 pages, then the rest, beside 1e4",
	    .bc_arg = &work_parts, .bc_number = 10000 },
	{ .bc_name = "fault/1e2", .bc_contenders = by_faults,
	    .bc_text = "a fault on what is there, beside 100 wired ranges",
	    .bc_arg = &work_fault, .bc_number = 100 },
	{ .bc_name = "fault/1e5", .bc_contenders = by_faults,
	    .bc_text = "a fault on what is there, beside 1e5 wired ranges",
	    .bc_arg = &work_fault, .bc_number = 100000 },
};

int
main(int argc, char **argv)
{
	const struct bench be = {
		.be_name = "bench_models",
		.be_question = "what do the older designs cost, beside libvmem"
		    " in the same layering, as there are more ranges?",
		.be_workload = "pages, bytes: N ranges live; a pair frees a"
		    " random one and allocates one of a random size in its"
		    " place. parts: the middle third of a range is freed, then"
		    " the others. fault: lookups alone, the pages are there",
		.be_warmup = "filled, then aged by N pairs before the first"
		    " phase; the first tenth of a phase isn't timed",
		.be_cases = cases,
		.be_ncases = sizeof(cases) / sizeof(cases[0]),
	};

	return (bench_main(&be, argc, argv));
}
