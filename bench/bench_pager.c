/*
 * bench_pager.c - question: what does a fault cost beyond what the machine asks
 * for it anyway?
 *
 * Each case is one kind of fault in one mode, beside a bare loop of the same
 * system calls, signals and copies, with nothing around them: no page table, no
 * checksum, no replacement (pager_bare.c).  Both run in the same process and
 * take turns many times a phase; a phase gives the time of each and their
 * ratio, which is what counts, since both have the machine of that moment.
 *
 *	software/zero	touch a page for the first time	 | pop a frame, memset
 *	software/zero-1	the same, a page a call		 | the same
 *	software/hit	touch a page that is resident	 | load from it
 *	software/evict	a fault that evicts and reads	 | pwrite, pread
 *	uffd/fault	a page alone, for the first time | SIGBUS, UFFDIO_COPY
 *	uffd-thr./fault	the same in uffd-thread mode	 | poll, read, UFFDIO_COPY
 *							 | in another thread
 *	uffd/cluster	16 adjacent pages, by the page	 | the same by 16
 *	uffd/evict	a fault that evicts and reads	 | SIGBUS, MOVE, pwrite,
 *							 | pread, MOVE
 *	uffd/evict-wp	the same without UFFDIO_MOVE	 | SIGBUS, protect, pwrite,
 *							 | pread, drop, COPY
 *	sigsegv/fault	a page alone, for the first time | SIGSEGV, mprotect
 *	register/64K	register 16 pages		 | 16 stores
 *	*-2		two threads at once: how much more than one gets done,
 *			beside the same of the bare loop
 *	modes		the four modes beside each other (pager_modes.c):
 *			bench_pager --only modes
 *
 * Evictions go through all pages in one random order, again and again, twice as
 * many as there are frames: nearly each is a fault (only those count), and
 * neighbours don't help.  Pages
 * alone have unregistered neighbours.
 */
#include "config.h"

#include "bench/pager.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <vmpager.h>

#include "util/clock.h"
#include "util/rng.h"

/* ---- one contender's state ------------------------------------------------*/

struct pager_state {
	const struct pager_case *st_case;
	struct vmpager *st_pager;
	struct vmpager_map *st_map;
	char *st_base;
	uint64_t st_pages;		/* a chunk's, or all that are looped */
	uint64_t st_chunks;		/* turns a phase */
	uint64_t st_at;			/* in st_order */
	uint32_t *st_order;		/* evict: a random order of pages */
	struct bare *st_bare;
};

static void
must(int error, const char *what)
{
	if (error != 0)
		bench_die("%s: %s", what, strerror(error));
}

static vmem_addr_t
address(const struct pager_state *st, uint64_t page)
{
	return ((vmem_addr_t)(uintptr_t)st->st_base + page * VMPAGER_PAGE);
}

static void
shuffle(struct pager_state *st, uint64_t seed)
{
	struct rng rng;

	rng_init(&rng, seed);
	st->st_order = bench_alloc(st->st_pages * sizeof(uint32_t));
	for (uint64_t i = 0; i < st->st_pages; i++) {
		uint64_t j = rng_below(&rng, i + 1);

		st->st_order[i] = st->st_order[j];
		st->st_order[j] = (uint32_t)i;
	}
}

/* ---- chunks of ours: ns a page --------------------------------------------*/

static void
touch(struct pager_state *st, uint64_t page, uint64_t count)
{
	struct vmpager_touched pt;

	must(vmpager_touch(st->st_map, address(st, page),
		 count * VMPAGER_PAGE, true, &pt), "touch");
}

/* By pointer where there are any: the CPU's fault, and nothing beside it. */
static void
store(const struct pager_state *st, uint64_t page)
{
	((volatile char *)st->st_base)[page * VMPAGER_PAGE] = 1;
}

static uint64_t
ours_zero(struct pager_state *st)
{
	uint64_t start;

	must(vmpager_register(st->st_map, address(st, 0),
		 st->st_pages * VMPAGER_PAGE), "register");
	start = clock_ns();
	touch(st, 0, st->st_pages);
	start = clock_ns() - start;
	vmpager_unregister(
	    st->st_map, address(st, 0), st->st_pages * VMPAGER_PAGE);
	return (start);
}

/* A page a call, as accesses do that come one by one. */
static uint64_t
ours_zero_one(struct pager_state *st)
{
	uint64_t start;

	must(vmpager_register(st->st_map, address(st, 0),
		 st->st_pages * VMPAGER_PAGE), "register");
	start = clock_ns();
	for (uint64_t page = 0; page < st->st_pages; page++)
		touch(st, page, 1);
	start = clock_ns() - start;
	vmpager_unregister(
	    st->st_map, address(st, 0), st->st_pages * VMPAGER_PAGE);
	return (start);
}

static uint64_t
ours_hit(struct pager_state *st)
{
	uint64_t start = clock_ns();

	touch(st, 0, st->st_pages);
	return (clock_ns() - start);
}

/* EVICT_TURN pages of the loop. */
static uint64_t
ours_evict(struct pager_state *st)
{
	bool mmu = st->st_case->pc_mode != VMPAGER_SOFTWARE;
	uint64_t start = clock_ns();

	for (unsigned int i = 0; i < EVICT_TURN; i++) {
		uint64_t page = st->st_order[st->st_at];

		st->st_at = (st->st_at + 1) % st->st_pages;
		if (mmu)
			store(st, page);
		else
			touch(st, page, 1);
	}
	return (clock_ns() - start);
}

static uint64_t
ours_alone(struct pager_state *st)
{
	uint64_t start;

	for (uint64_t i = 0; i < st->st_pages; i++)
		must(vmpager_register(st->st_map, address(st, i * ALONE),
			 VMPAGER_PAGE), "register");
	start = clock_ns();
	for (uint64_t i = 0; i < st->st_pages; i++)
		store(st, i * ALONE);
	start = clock_ns() - start;
	for (uint64_t i = 0; i < st->st_pages; i++)
		vmpager_unregister(
		    st->st_map, address(st, i * ALONE), VMPAGER_PAGE);
	return (start);
}

static uint64_t
ours_cluster(struct pager_state *st)
{
	uint64_t start;

	must(vmpager_register(st->st_map, address(st, 0),
		 st->st_pages * VMPAGER_PAGE), "register");
	start = clock_ns();
	for (uint64_t page = 0; page < st->st_pages; page++)
		store(st, page);
	start = clock_ns() - start;
	vmpager_unregister(
	    st->st_map, address(st, 0), st->st_pages * VMPAGER_PAGE);
	return (start);
}

static uint64_t
ours_register(struct pager_state *st)
{
	uint64_t start = clock_ns();

	for (uint64_t i = 0; i < st->st_pages; i++)
		must(vmpager_register(st->st_map, address(st, i * 16),
			 16 * VMPAGER_PAGE), "register");
	start = clock_ns() - start;
	for (uint64_t i = 0; i < st->st_pages; i++)
		vmpager_unregister(st->st_map, address(st, i * 16),
		    16 * VMPAGER_PAGE);
	return (start);
}

/* ---- two threads ----------------------------------------------------------*/

struct pair {
	pthread_barrier_t pr_barrier;
	uint64_t (*pr_run)(struct pair *pr, unsigned int half);
	struct pager_state *pr_state;
};

struct half {
	struct pair *hf_pair;
	unsigned int hf_number;
	uint64_t hf_begin_ns, hf_end_ns;
};

static uint64_t
pair_ours(struct pair *pr, unsigned int half)
{
	const struct pager_state *st = pr->pr_state;

	for (uint64_t i = half; i < st->st_pages; i += 2)
		store(st, i * ALONE);
	return (0);
}

static uint64_t
pair_bare(struct pair *pr, unsigned int half)
{
	const struct pager_state *st = pr->pr_state;

	bare_store(st->st_bare, st->st_pages, half, 2);
	return (0);
}

static uint64_t
pair_ours_zero(struct pair *pr, unsigned int half)
{
	touch(pr->pr_state, half * (pr->pr_state->st_pages / 2),
	    pr->pr_state->st_pages / 2);
	return (0);
}

static uint64_t
pair_bare_zero(struct pair *pr, unsigned int half)
{
	bare_zero_half(pr->pr_state->st_bare, half);
	return (0);
}

static void *
half_main(void *arg)
{
	struct half *hf = arg;

	(void)pthread_barrier_wait(&hf->hf_pair->pr_barrier);
	hf->hf_begin_ns = clock_ns();
	(void)hf->hf_pair->pr_run(hf->hf_pair, hf->hf_number);
	hf->hf_end_ns = clock_ns();
	return (NULL);
}

/* From when the first begins until the last ends. */
static uint64_t
run_pair(struct pager_state *st,
    uint64_t (*run)(struct pair *pr, unsigned int half))
{
	struct pair pr = { .pr_run = run, .pr_state = st };
	struct half hf[2] = { { .hf_pair = &pr, .hf_number = 0 },
		{ .hf_pair = &pr, .hf_number = 1 } };
	uint64_t begin, end;
	pthread_t other;

	(void)pthread_barrier_init(&pr.pr_barrier, NULL, 2);
	if (pthread_create(&other, NULL, half_main, &hf[1]) != 0)
		bench_die("no second thread");
	(void)half_main(&hf[0]);
	(void)pthread_join(other, NULL);
	(void)pthread_barrier_destroy(&pr.pr_barrier);
	begin = hf[0].hf_begin_ns < hf[1].hf_begin_ns ? hf[0].hf_begin_ns
						      : hf[1].hf_begin_ns;
	end = hf[0].hf_end_ns > hf[1].hf_end_ns ? hf[0].hf_end_ns
						: hf[1].hf_end_ns;
	return (end - begin);
}

static uint64_t
ours_two(struct pager_state *st)
{
	uint64_t time;

	for (uint64_t i = 0; i < st->st_pages; i++)
		must(vmpager_register(st->st_map, address(st, i * ALONE),
			 VMPAGER_PAGE), "register");
	time = run_pair(st, pair_ours);
	for (uint64_t i = 0; i < st->st_pages; i++)
		vmpager_unregister(
		    st->st_map, address(st, i * ALONE), VMPAGER_PAGE);
	return (time);
}

static uint64_t
bare_two(struct pager_state *st)
{
	uint64_t time;

	bare_begin(st->st_bare);
	time = run_pair(st, pair_bare);
	bare_end(st->st_bare);
	bare_empty(st->st_bare);
	return (time);
}

static uint64_t
ours_zero_two(struct pager_state *st)
{
	uint64_t time;

	must(vmpager_register(st->st_map, address(st, 0),
		 st->st_pages * VMPAGER_PAGE), "register");
	time = run_pair(st, pair_ours_zero);
	vmpager_unregister(
	    st->st_map, address(st, 0), st->st_pages * VMPAGER_PAGE);
	return (time);
}

static uint64_t
bare_zero_two(struct pager_state *st)
{
	return (run_pair(st, pair_bare_zero));
}

/* ---- phases ---------------------------------------------------------------*/

static uint64_t
pages_in(const struct pager_state *st)
{
	struct vmpager_stat ps;

	vmpager_stat(st->st_pager, &ps);
	return (ps.ps_swapins);
}

/* ns a page of each, and their ratio.  Evicting, some pages are still there when
 * their turn comes, since replacement isn't strictly first in, first out as the
 * bare loop is: so ours is of the pages that came. */
static void
phase(void *state, struct bench_out *out)
{
	struct pager_state *st = state;
	const struct pager_case *pc = st->st_case;
	uint64_t ours_ns = 0, bare_ns = 0, pages, came = pages_in(st);
	double ours, bare;

	pages = st->st_chunks * (pc->pc_evict ? EVICT_TURN : st->st_pages);
	for (uint64_t i = 0; i < st->st_chunks; i++) {
		ours_ns += pc->pc_ours(st);
		bare_ns += pc->pc_bare(st->st_bare);
	}
	came = pc->pc_evict ? pages_in(st) - came : pages;
	ours = (double)ours_ns / (double)came;
	bare = (double)bare_ns / (double)pages;
	bench_value(out, "ours", "ns", ours);
	bench_value(out, "bare", "ns", bare);
	bench_value(out, "ratio", "x", ours / bare);
}

/* How much more two threads do than one, of each, and the ratio of that. */
static void
phase_two(void *state, struct bench_out *out)
{
	struct pager_state *st = state;
	uint64_t ours[2] = { 0, 0 }, bare[2] = { 0, 0 };
	double scale_ours, scale_bare;

	for (uint64_t i = 0; i < st->st_chunks; i++) {
		ours[0] += st->st_case->pc_ours(st);
		bare[0] += st->st_case->pc_bare(st->st_bare);
		ours[1] += st->st_case->pc_ours_two(st);
		bare[1] += st->st_case->pc_bare_two(st);
	}
	scale_ours = (double)ours[0] / (double)ours[1];
	scale_bare = (double)bare[0] / (double)bare[1];
	bench_value(out, "ours", "x", scale_ours);
	bench_value(out, "bare", "x", scale_bare);
	/* So that less is better, as in all the others. */
	bench_value(out, "bare/ours", "x", scale_bare / scale_ours);
}

/* ---- setting up -----------------------------------------------------------*/

static void *
server_main(void *arg)
{
	(void)vmpager_serve(arg);
	return (NULL);
}

/* All on one CPU, the bare loop's thread too: a message costs 5 us there and 60
 * across CPUs (they sleep meanwhile, in a virtual machine), and the scheduler
 * would choose for each of the two loops by itself. */
static void
make_server(struct vmpager *pager)
{
	cpu_set_t set;
	pthread_t server;

	CPU_ZERO(&set);
	CPU_SET((unsigned int)sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0 ||
	    pthread_create(&server, NULL, server_main, pager) != 0 ||
	    pthread_detach(server) != 0)
		bench_die("no thread");
}

static void
make_pager(struct pager_state *st, uint64_t frames, uint64_t slots,
    uint64_t span)
{
	const struct pager_case *pc = st->st_case;
	const struct vmpager_config config = {
		.pc_frames_bytes = frames * VMPAGER_PAGE,
		.pc_swap_bytes = slots * VMPAGER_PAGE,
		.pc_swap = slots == 0 ? "none" : NULL,
		.pc_mode = pc->pc_mode,
		.pc_without = pc->pc_without,
	};
	struct vmpager_support su;

	vmpager_support(&su);
	if (su.su_error[pc->pc_mode] != 0)
		bench_skip("%s", su.su_why[pc->pc_mode]);
	if (pc->pc_needs != 0 && (su.su_kernel & pc->pc_needs) == 0)
		bench_skip("the kernel has no UFFDIO_MOVE");
	st->st_base = mmap(NULL, span * VMPAGER_PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (st->st_base == MAP_FAILED)
		bench_die("no address space");
	must(vmpager_create(&config, &st->st_pager), "vmpager_create");
	must(vmpager_map_create(st->st_pager, address(st, 0),
		 span * VMPAGER_PAGE, &st->st_map), "vmpager_map_create");
	if (pc->pc_mode == VMPAGER_UFFD_THREAD)
		make_server(st->st_pager);
}

static void *
setup(const struct bench_run *run)
{
	const struct pager_case *pc = run->br_case->bc_arg;
	struct pager_state *st = bench_alloc(sizeof(*st));
	uint64_t frames, span;

	st->st_case = pc;
	st->st_pages = run->br_quick ? pc->pc_quick_pages : pc->pc_pages;
	st->st_chunks = run->br_quick ? 2 : pc->pc_chunks;
	/* Evicting: half fit.  Otherwise all, well above the free target. */
	frames = pc->pc_evict ? st->st_pages / 2 : st->st_pages + 8192;
	span = st->st_pages * pc->pc_stride;
	make_pager(st, frames, pc->pc_evict ? 2 * st->st_pages :
	    pc->pc_swap ? 4096 : 0, span);
	st->st_bare = bare_make(pc->pc_kind, st->st_pages, frames);
	if (pc->pc_evict) {
		must(vmpager_register(st->st_map, address(st, 0),
			 span * VMPAGER_PAGE), "register");
		shuffle(st, run->br_seed);
		bare_order(st->st_bare, st->st_order);
		for (uint64_t i = 0; i < 2 * st->st_pages; i += EVICT_TURN) {
			(void)pc->pc_ours(st);
			(void)pc->pc_bare(st->st_bare);
		}
	} else if (pc->pc_ours == ours_hit) {
		must(vmpager_register(st->st_map, address(st, 0),
			 span * VMPAGER_PAGE), "register");
		touch(st, 0, st->st_pages);
	}
	return (st);
}

static const struct bench_contender vmpager = {
	.bn_name = "vmpager", .bn_setup = setup, .bn_phase = phase };
static const struct bench_contender vmpager_two = {
	.bn_name = "vmpager", .bn_setup = setup, .bn_phase = phase_two };
static const struct bench_contender *const one[] = { &vmpager, NULL };
static const struct bench_contender *const two[] = { &vmpager_two, NULL };

/* ---- the cases ------------------------------------------------------------*/

static const struct pager_case zero = { .pc_mode = VMPAGER_SOFTWARE,
	.pc_ours = ours_zero, .pc_kind = BARE_ZERO, .pc_bare = bare_zero,
	.pc_pages = 1024, .pc_quick_pages = 64, .pc_chunks = 250,
	.pc_stride = 1 };
static const struct pager_case zero_one = { .pc_mode = VMPAGER_SOFTWARE,
	.pc_ours = ours_zero_one, .pc_kind = BARE_ZERO, .pc_bare = bare_zero,
	.pc_pages = 1024, .pc_quick_pages = 64, .pc_chunks = 250,
	.pc_stride = 1 };
static const struct pager_case zero_two = { .pc_mode = VMPAGER_SOFTWARE,
	.pc_ours = ours_zero, .pc_kind = BARE_ZERO, .pc_bare = bare_zero,
	.pc_ours_two = ours_zero_two, .pc_bare_two = bare_zero_two,
	.pc_pages = 8192, .pc_quick_pages = 64, .pc_chunks = 60,
	.pc_stride = 1 };
static const struct pager_case hit = { .pc_mode = VMPAGER_SOFTWARE,
	.pc_ours = ours_hit, .pc_kind = BARE_HIT, .pc_bare = bare_hit,
	.pc_pages = 256, .pc_quick_pages = 256, .pc_chunks = 8000,
	.pc_stride = 1 };
static const struct pager_case soft_evict = { .pc_mode = VMPAGER_SOFTWARE,
	.pc_ours = ours_evict, .pc_kind = BARE_IO, .pc_bare = bare_io,
	.pc_pages = 16384, .pc_quick_pages = 512, .pc_chunks = 60,
	.pc_stride = 1, .pc_evict = true };
static const struct pager_case uffd = { .pc_mode = VMPAGER_UFFD,
	.pc_ours = ours_alone, .pc_kind = BARE_UFFD, .pc_bare = bare_alone,
	.pc_ours_two = ours_two, .pc_bare_two = bare_two,
	.pc_pages = 512, .pc_quick_pages = 64, .pc_chunks = 20,
	.pc_stride = ALONE, .pc_swap = true };
static const struct pager_case uffd_thread = { .pc_mode = VMPAGER_UFFD_THREAD,
	.pc_ours = ours_alone, .pc_kind = BARE_THREAD, .pc_bare = bare_alone,
	.pc_pages = 512, .pc_quick_pages = 64, .pc_chunks = 10,
	.pc_stride = ALONE, .pc_swap = true };
static const struct pager_case cluster = { .pc_mode = VMPAGER_UFFD,
	.pc_ours = ours_cluster, .pc_kind = BARE_CLUSTER,
	.pc_bare = bare_cluster, .pc_pages = 2048, .pc_quick_pages = 64,
	.pc_chunks = 20, .pc_stride = 1, .pc_swap = true };
static const struct pager_case uffd_evict = { .pc_mode = VMPAGER_UFFD,
	.pc_ours = ours_evict, .pc_kind = BARE_MOVE, .pc_bare = bare_move,
	.pc_pages = 16384, .pc_quick_pages = 512, .pc_chunks = 40,
	.pc_stride = 1, .pc_evict = true, .pc_needs = VMPAGER_HAS_MOVE };
static const struct pager_case uffd_protect = { .pc_mode = VMPAGER_UFFD,
	.pc_ours = ours_evict, .pc_kind = BARE_PROTECT, .pc_bare = bare_move,
	.pc_pages = 16384, .pc_quick_pages = 512, .pc_chunks = 40,
	.pc_stride = 1, .pc_evict = true, .pc_without = VMPAGER_HAS_MOVE };
static const struct pager_case segv = { .pc_mode = VMPAGER_SIGSEGV,
	.pc_ours = ours_alone, .pc_kind = BARE_SEGV, .pc_bare = bare_alone,
	.pc_ours_two = ours_two, .pc_bare_two = bare_two,
	.pc_pages = 512, .pc_quick_pages = 64, .pc_chunks = 20,
	.pc_stride = ALONE, .pc_swap = true };
static const struct pager_case reg = { .pc_mode = VMPAGER_SOFTWARE,
	.pc_ours = ours_register, .pc_kind = BARE_STORES,
	.pc_bare = bare_stores, .pc_pages = 1024, .pc_quick_pages = 64,
	.pc_chunks = 200, .pc_stride = 16 };

#define CASE(name, text, list, arg, ...)				\
	{ .bc_name = (name), .bc_text = (text), .bc_contenders = (list),	\
		.bc_nofloors = true, .bc_aims = { __VA_ARGS__ },	\
		.bc_arg = &(arg) }

static const struct bench_case cases[] = {
	CASE("software/zero", "first touch of a page, beside pop + memset",
	    one, zero, { "ratio", 1.3 }),
	CASE("software/zero-1", "the same, each by a call of its own",
	    one, zero_one, { "ratio", 1.3 }),
	CASE("software/hit", "touch of a resident page, beside a load",
	    one, hit, { "ratio", 1.5 }),
	CASE("software/evict", "evict and read back, beside pwrite + pread",
	    one, soft_evict, { "ratio", 1.3 }),
	CASE("uffd/fault", "a page alone, beside SIGBUS + UFFDIO_COPY",
	    one, uffd, { "ratio", 1.15 }),
	CASE("uffd-thr./fault", "a page alone, beside a thread that copies",
	    one, uffd_thread, { NULL, 0 }),
	CASE("uffd/cluster", "a page of 16, beside SIGBUS + COPY of 16",
	    one, cluster, { "ratio", 1.2 }),
	CASE("uffd/evict", "evict and read back, beside bare MOVE and I/O",
	    one, uffd_evict, { "ratio", 1.25 }),
	CASE("uffd/evict-wp", "the same without MOVE, beside bare WP and I/O",
	    one, uffd_protect, { "ratio", 1.25 }),
	CASE("sigsegv/fault", "a page alone, beside SIGSEGV + mprotect",
	    one, segv, { "ratio", 1.2 }),
	CASE("register/64K", "register 16 pages, beside 16 stores",
	    one, reg, { "ours", 200 }),
	{ .bc_name = "modes", .bc_nofloors = true,
		.bc_text = "the modes beside each other, ns a page",
		.bc_note = modes_note,
		.bc_contenders = modes_contenders },
	CASE("software/zero-2", "two threads against one, beside the bare loop",
	    two, zero_two, { "bare/ours", 1 / 0.95 }),
	CASE("uffd/fault-2", "two threads against one, beside the bare loop",
	    two, uffd, { "bare/ours", 1 / 0.95 }),
	CASE("sigsegv/fault-2", "two threads against one, beside the bare loop",
	    two, segv, { "bare/ours", 1 / 0.95 }),
};

int
main(int argc, char **argv)
{
	static const struct bench be = {
		.be_name = "bench_pager",
		.be_question = "what does a fault cost beyond what the machine"
		    " asks for it anyway?",
		.be_workload = "one kind of fault a case, by turns with a bare"
		    " loop of the same system calls in the same process; evict:"
		    " all pages in one random order, twice the frames",
		.be_warmup = "evict: twice through all pages; every case: one"
		    " phase that isn't counted",
		.be_cases = cases,
		.be_ncases = sizeof(cases) / sizeof(cases[0]),
	};

	return (bench_main(&be, argc, argv));
}
