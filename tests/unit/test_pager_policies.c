/*
 * Goal: the replacement policies are what they are called: each misses as often
 * as the algorithm it is named after.
 * Method: a plain simulation of each algorithm (arrays, counters of accesses and
 * the time of the last, one page at a time), and the pager with that policy,
 * given the same strings of pages: a loop somewhat larger than memory, pages by
 * Zipf's law, and those with scans between.  The pager sees one mark instead of
 * counts and times, evicts ahead, and its ghosts are hashed: so it may miss a
 * little more often, by WORSE, and less by BETTER.  (Most in a loop: there what
 * was accessed longest ago is just what comes next, and a mark, which doesn't
 * tell so well, helps.)  In software mode, where every access is seen.
 */
#include "config.h"

#include "unit/pager_fixture.h"

#include "util/rng.h"

#define SEED 1968u
#define FRAMES 512u
#define PAGES 4096u
#define WARM 20000u		/* accesses before those that are counted */
#define COUNTED 60000u
#define WORSE 0.02
#define BETTER 0.12

static struct fixture fx;

/* ---- strings of pages -----------------------------------------------------*/

struct string {
	const char *sr_name;
	uint32_t (*sr_next)(struct string *sr);
	struct rng sr_rng;
	uint64_t sr_at;
};

static double zipf_sum[PAGES + 1];	/* of 1/i, i to the entry's number */

static void
zipf_init(void)
{
	for (unsigned int i = 1; i <= PAGES; i++)
		zipf_sum[i] = zipf_sum[i - 1] + 1.0 / i;
}

/* Page i as often as 1/(i + 1), scattered over the map. */
static uint32_t
zipf_page(struct rng *rng)
{
	double x = rng_unit(rng) * zipf_sum[PAGES];
	uint32_t low = 0, high = PAGES;

	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;

		if (zipf_sum[middle] <= x)
			low = middle;
		else
			high = middle;
	}
	return (low * 1361u % PAGES);
}

static uint32_t
next_loop(struct string *sr)
{
	return ((uint32_t)(sr->sr_at++ % (FRAMES * 5 / 4)));
}

static uint32_t
next_zipf(struct string *sr)
{
	return (zipf_page(&sr->sr_rng));
}

/* After every thousand accesses, as many pages once, one after the other. */
static uint32_t
next_scan(struct string *sr)
{
	uint64_t at = sr->sr_at++;

	if (at % 2000 < 1000)
		return (zipf_page(&sr->sr_rng));
	return ((uint32_t)((at / 2000 * 1000 + at % 1000) % PAGES));
}

static struct string
string_make(unsigned int which)
{
	static const struct string strings[] = {
		{ .sr_name = "loop of 1.25", .sr_next = next_loop },
		{ .sr_name = "zipf", .sr_next = next_zipf },
		{ .sr_name = "zipf and scans", .sr_next = next_scan },
	};
	struct string sr = strings[which];

	rng_init(&sr.sr_rng, SEED);
	return (sr);
}
#define STRINGS 3u

/* ---- the models -----------------------------------------------------------*/

/* Who is where: sets of pages as arrays, in the order that they came. */
struct list {
	uint32_t ls_page[PAGES];
	uint32_t ls_count;
};

struct model {
	struct list md_main, md_small, md_ghost;
	bool md_in[PAGES];
	unsigned int md_freq[PAGES];
	uint64_t md_last[PAGES];	/* access */
	uint64_t md_now;
	uint32_t md_hand;
	bool md_full;			/* something has been evicted */
	struct rng md_rng;
};

static uint32_t
list_pop(struct list *ls)
{
	uint32_t page = ls->ls_page[0];

	memmove(ls->ls_page, ls->ls_page + 1,
	    --ls->ls_count * sizeof(ls->ls_page[0]));
	return (page);
}

static void
list_push(struct list *ls, uint32_t page)
{
	ls->ls_page[ls->ls_count++] = page;
}

static bool
list_remove(struct list *ls, uint32_t page)
{
	for (uint32_t i = 0; i < ls->ls_count; i++)
		if (ls->ls_page[i] == page) {
			memmove(&ls->ls_page[i], &ls->ls_page[i + 1],
			    (--ls->ls_count - i) * sizeof(ls->ls_page[0]));
			return (true);
		}
	return (false);
}

/* The hand's page goes unless it was accessed since it came by; the new one
 * takes its place. */
static void
clock_miss(struct model *md, uint32_t page)
{
	if (md->md_main.ls_count < FRAMES) {
		list_push(&md->md_main, page);
		return;
	}
	for (;;) {
		uint32_t *placep = &md->md_main.ls_page[md->md_hand];

		md->md_hand = (md->md_hand + 1) % FRAMES;
		if (md->md_freq[*placep] == 0) {
			md->md_in[*placep] = false;
			*placep = page;
			return;
		}
		md->md_freq[*placep] = 0;
	}
}

/* Algorithm 1 of the paper.  (What is to be promoted from the small queue was
 * accessed in it at all: more the pager's mark can't say.) */
static void
s3_evict(struct model *md)
{
	struct list *small = &md->md_small, *main = &md->md_main;
	bool from_small = small->ls_count > FRAMES / 10 || main->ls_count == 0;
	uint32_t page = list_pop(from_small ? small : main);

	if (md->md_freq[page] > 0) {
		md->md_freq[page] = from_small ? 0 : md->md_freq[page] - 1;
		list_push(main, page);
		return;
	}
	md->md_in[page] = false;
	md->md_full = true;
	if (!from_small)
		return;
	if (md->md_ghost.ls_count == FRAMES - FRAMES / 10)
		(void)list_pop(&md->md_ghost);
	list_push(&md->md_ghost, page);
}

static void
s3_miss(struct model *md, uint32_t page)
{
	while (md->md_small.ls_count + md->md_main.ls_count >= FRAMES)
		s3_evict(md);
	if (list_remove(&md->md_ghost, page) ||
	    (!md->md_full && md->md_small.ls_count > FRAMES / 10))
		list_push(&md->md_main, page);
	else
		list_push(&md->md_small, page);
}

/* Of two pages the one that was accessed longer ago. */
static void
random_miss(struct model *md, uint32_t page)
{
	uint32_t a, b;

	if (md->md_main.ls_count < FRAMES) {
		list_push(&md->md_main, page);
		return;
	}
	a = (uint32_t)rng_below(&md->md_rng, FRAMES);
	b = (uint32_t)rng_below(&md->md_rng, FRAMES);
	if (md->md_last[md->md_main.ls_page[b]] <
	    md->md_last[md->md_main.ls_page[a]])
		a = b;
	md->md_in[md->md_main.ls_page[a]] = false;
	md->md_main.ls_page[a] = page;
}

static const struct {
	const char *name;
	void (*miss)(struct model *md, uint32_t page);
} policies[] = {
	{ "clock", clock_miss },
	{ "s3fifo", s3_miss },
	{ "random2", random_miss },
};
#define POLICIES 3u

static double
model_misses(unsigned int policy, unsigned int which)
{
	struct string sr = string_make(which);
	struct model *md = calloc(1, sizeof(*md));
	unsigned int misses = 0;

	assert_non_null(md);
	rng_init(&md->md_rng, SEED);
	for (unsigned int i = 0; i < WARM + COUNTED; i++) {
		uint32_t page = sr.sr_next(&sr);

		md->md_last[page] = ++md->md_now;
		if (md->md_in[page]) {
			md->md_freq[page] += md->md_freq[page] < 3;
			continue;
		}
		misses += i >= WARM;
		policies[policy].miss(md, page);
		md->md_in[page] = true;
		md->md_freq[page] = 0;
	}
	free(md);
	return ((double)misses / COUNTED);
}

/* ---- the pager ------------------------------------------------------------*/

static uint64_t
faults(void)
{
	struct vmpager_stat ps;

	vmpager_stat(fx.fx_pager, &ps);
	return (ps.ps_faults_minor + ps.ps_faults_major);
}

static double
pager_misses(unsigned int policy, unsigned int which)
{
	struct string sr = string_make(which);
	struct vmpager_touched pt;
	uint64_t before = 0;

	fx = fixture_open(FRAMES, 2 * PAGES, VMPAGER_OVERCOMMIT, NULL, PAGES);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, PAGES * PAGE), 0);
	assert_int_equal(
	    vmpager_set_replacement(fx.fx_pager, policies[policy].name), 0);
	for (unsigned int i = 0; i < WARM + COUNTED; i++) {
		if (i == WARM)
			before = faults();
		assert_int_equal(vmpager_touch(fx.fx_map,
		    BASE + sr.sr_next(&sr) * PAGE, 1, true, &pt), 0);
	}
	before = faults() - before;
	fixture_close(&fx);
	return ((double)before / COUNTED);
}

static void
test_policies_miss_as_their_models(void **state)
{
	unsigned int wrong = 0;
	double ours, model;

	(void)state;
	for (unsigned int which = 0; which < STRINGS; which++)
		for (unsigned int i = 0; i < POLICIES; i++) {
			ours = pager_misses(i, which);
			model = model_misses(i, which);
			printf("%-15s %-8s misses %.3f, its model %.3f\n",
			    string_make(which).sr_name, policies[i].name, ours,
			    model);
			wrong += ours > model + WORSE || ours < model - BETTER;
		}
	assert_int_equal(wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policies_miss_as_their_models),
	};

	printf("seed %u\n", SEED);
	zipf_init();
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
