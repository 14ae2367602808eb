/*
 * pager_modes.c - the fault modes beside each other: the same work, through the
 * same function (vmpager_touch(), which in the modes of the MMU is a store by
 * the CPU), each in a process of its own.
 *
 *	first	touch 16 MiB for the first time, in order
 *	alone	the same, of pages whose neighbours aren't registered
 *	again	touch them again: they are resident
 *	evict	touch twice as many pages as there are frames, in a random
 *		order that comes again and again: each evicts and reads back
 *	two	the same by two threads, each with half of the pages
 *
 * All in ns a page.
 */
#include "config.h"

#include "bench/pager.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "util/clock.h"
#include "util/rng.h"

struct modes_state {
	struct vmpager *ms_pager;
	struct vmpager_map *ms_map;
	vmem_addr_t ms_base;
	uint64_t ms_pages;		/* twice the frames */
	uint64_t ms_turns;		/* of evict, in pages */
	uint64_t ms_at;
	uint32_t *ms_order;
	pthread_t ms_server;
};

static void
touch(const struct modes_state *ms, uint64_t page, uint64_t count)
{
	struct vmpager_touched pt;
	int error = vmpager_touch(ms->ms_map, ms->ms_base + page * VMPAGER_PAGE,
	    count * VMPAGER_PAGE, true, &pt);

	if (error != 0)
		bench_die("touch: %s", strerror(error));
}

static void
registered(const struct modes_state *ms, uint64_t count, uint64_t stride,
    bool on)
{
	for (uint64_t i = 0; i < count; i += stride) {
		uint64_t run = stride == 1 ? count : 1;
		vmem_addr_t addr = ms->ms_base + i * VMPAGER_PAGE;

		if (!on)
			vmpager_unregister(
			    ms->ms_map, addr, run * VMPAGER_PAGE);
		else if (vmpager_register(
			     ms->ms_map, addr, run * VMPAGER_PAGE) != 0)
			bench_die("register");
		if (stride == 1)
			break;
	}
}

static void
phase_first(const struct modes_state *ms, struct bench_out *out)
{
	uint64_t count = ms->ms_pages / 4, first, again;

	registered(ms, count, 1, true);
	first = clock_ns();
	touch(ms, 0, count);
	again = clock_ns();
	touch(ms, 0, count);
	bench_value(out, "first", "ns",
	    (double)(again - first) / (double)count);
	bench_value(out, "again", "ns",
	    (double)(clock_ns() - again) / (double)count);
	registered(ms, count, 1, false);
}

static void
phase_alone(const struct modes_state *ms, struct bench_out *out)
{
	uint64_t count = ms->ms_pages / 2, start;

	registered(ms, count, ALONE, true);
	start = clock_ns();
	for (uint64_t i = 0; i < count; i += ALONE)
		touch(ms, i, 1);
	bench_value(out, "alone", "ns",
	    (double)(clock_ns() - start) / (double)(count / ALONE));
	registered(ms, count, ALONE, false);
}

struct half {
	const struct modes_state *hf_state;
	uint64_t hf_from, hf_count, hf_turns;
	uint64_t hf_at;
};

static void *
half_main(void *arg)
{
	struct half *hf = arg;

	for (uint64_t i = 0; i < hf->hf_turns; i++) {
		touch(hf->hf_state,
		    hf->hf_state->ms_order[hf->hf_from + hf->hf_at], 1);
		hf->hf_at = (hf->hf_at + 1) % hf->hf_count;
	}
	return (NULL);
}

static void
phase_evict(struct modes_state *ms, struct bench_out *out)
{
	struct half all = { ms, 0, ms->ms_pages, ms->ms_turns, ms->ms_at };
	struct half half[2] = {
		{ ms, 0, ms->ms_pages / 2, ms->ms_turns / 2, 0 },
		{ ms, ms->ms_pages / 2, ms->ms_pages / 2, ms->ms_turns / 2, 0 },
	};
	pthread_t other;
	uint64_t start;

	registered(ms, ms->ms_pages, 1, true);
	for (uint64_t i = 0; i < ms->ms_pages; i++)
		touch(ms, ms->ms_order[i], 1);
	start = clock_ns();
	(void)half_main(&all);
	bench_value(out, "evict", "ns",
	    (double)(clock_ns() - start) / (double)ms->ms_turns);
	start = clock_ns();
	if (pthread_create(&other, NULL, half_main, &half[1]) != 0)
		bench_die("no second thread");
	(void)half_main(&half[0]);
	(void)pthread_join(other, NULL);
	bench_value(out, "two", "ns",
	    (double)(clock_ns() - start) / (double)ms->ms_turns);
	registered(ms, ms->ms_pages, 1, false);
}

static void
modes_phase(void *state, struct bench_out *out)
{
	phase_first(state, out);
	phase_alone(state, out);
	phase_evict(state, out);
}

static void *
server_main(void *arg)
{
	(void)vmpager_serve(arg);
	return (NULL);
}

static void *
modes_setup(const struct bench_run *run)
{
	enum vmpager_mode mode =
	    *(const enum vmpager_mode *)run->br_contender->bn_arg;
	struct modes_state *ms = bench_alloc(sizeof(*ms));
	struct vmpager_config config = { .pc_mode = mode };
	struct vmpager_support su;
	struct rng rng;
	size_t len;
	void *mem;

	vmpager_support(&su);
	if (su.su_error[mode] != 0)
		bench_skip("%s", su.su_why[mode]);
	ms->ms_pages = run->br_quick ? 1024 : 16384;
	ms->ms_turns = run->br_quick ? 512 : 16384;
	len = ms->ms_pages * VMPAGER_PAGE;
	config.pc_frames_bytes = len / 2;
	config.pc_swap_bytes = 2 * len;
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ms->ms_base = (vmem_addr_t)(uintptr_t)mem;
	if (mem == MAP_FAILED || vmpager_create(&config, &ms->ms_pager) != 0 ||
	    vmpager_map_create(
		ms->ms_pager, ms->ms_base, len, &ms->ms_map) != 0)
		bench_die("no pager");
	if (mode == VMPAGER_UFFD_THREAD && pthread_create(&ms->ms_server, NULL,
		server_main, ms->ms_pager) != 0)
		bench_die("no thread");
	ms->ms_order = bench_alloc(ms->ms_pages * sizeof(uint32_t));
	rng_init(&rng, run->br_seed);
	for (uint64_t i = 0; i < ms->ms_pages; i++) {
		uint64_t j = rng_below(&rng, i + 1);

		ms->ms_order[i] = ms->ms_order[j];
		ms->ms_order[j] = (uint32_t)i;
	}
	return (ms);
}

static const enum vmpager_mode modes[] = { VMPAGER_SOFTWARE, VMPAGER_UFFD,
	VMPAGER_UFFD_THREAD, VMPAGER_SIGSEGV };

#define MODE(name, i)							\
	{ .bn_name = (name), .bn_arg = &modes[i], .bn_setup = modes_setup,	\
		.bn_phase = modes_phase }

static const struct bench_contender contender[] = { MODE("software", 0),
	MODE("uffd", 1), MODE("uffd-thr.", 2), MODE("sigsegv", 3) };

const char modes_note[] = "first, again: pages in order, touched for the first"
    " time, and again when they are resident; alone: first touches of pages"
    " whose neighbours aren't registered; evict: pages in random order, twice"
    " as many as frames, so that most of them evict one and read one back; two:"
    " the same by two threads";

const struct bench_contender *const modes_contenders[] = { &contender[0],
	&contender[1], &contender[2], &contender[3], NULL };
