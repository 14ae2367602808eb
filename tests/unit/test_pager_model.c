/*
 * Goal: whatever is done, the pager reads back what a plain memory image says.
 * Method: random registrations, partial unregistrations, reads, writes and
 * touches of any alignment and length over a small map, on so few frames and
 * slots that nearly every page has moved; a byte image, a list of registered
 * pages, and after every step the checker and the counts.  Run with plenty of
 * swap, with too little (ENOMEM is then an answer, and the image says which
 * bytes are still certain), with none, and under strict commit (where ENOMEM
 * of an access is a failure).
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit/pager_fixture.h"
#include "util/rng.h"

#define PAGES 48u
#define STEPS 6000
#define LEN_MAX (5 * VMPAGER_PAGE)
#define AT_REST_MS 10000u	/* a fault takes microseconds */

static struct fixture fx;
static struct rng rng;
static unsigned char image[PAGES * VMPAGER_PAGE];
static bool registered[PAGES];
static unsigned char buf[LEN_MAX];
static uint64_t registered_count, strict_limit;
static bool may_fail;		/* accesses may be refused with ENOMEM */

static bool
all_are(uint64_t first, uint64_t count, bool value)
{
	for (uint64_t i = first; i < first + count; i++)
		if (registered[i] != value)
			return (false);
	return (true);
}

static void
random_pages(uint64_t *firstp, uint64_t *countp)
{
	*firstp = rng_below(&rng, PAGES);
	*countp = 1 + rng_below(&rng, 8);
	if (*countp > PAGES - *firstp)
		*countp = PAGES - *firstp;
}

static void
step_register(void)
{
	uint64_t first, count;
	int error, want = 0;

	random_pages(&first, &count);
	if (registered_count + count > strict_limit)
		want = ENOMEM;
	else if (!all_are(first, count, false))
		want = EEXIST;
	error = vmpager_register(
	    fx.fx_map, BASE + first * PAGE, count * PAGE);
	assert_int_equal(error, want);
	if (error != 0)
		return;
	memset(image + first * PAGE, 0, count * PAGE);
	for (uint64_t i = first; i < first + count; i++)
		registered[i] = true;
	registered_count += count;
}

/* What is registered of a random stretch, whatever ranges it came from. */
static void
step_unregister(void)
{
	uint64_t first, count, run;

	random_pages(&first, &count);
	while (count > 0 && !registered[first]) {
		first++;
		count--;
	}
	for (run = 0; run < count && registered[first + run]; run++)
		registered[first + run] = false;
	if (run == 0)
		return;
	vmpager_unregister(fx.fx_map, BASE + first * PAGE, run * PAGE);
	registered_count -= run;
}

static uint64_t
random_bytes(size_t *lenp)
{
	uint64_t from = rng_below(&rng, sizeof(image));

	*lenp = (size_t)rng_below(&rng, 2) ? rng_below(&rng, LEN_MAX) + 1
					   : rng_below(&rng, 64) + 1;
	if (*lenp > sizeof(image) - from)
		*lenp = sizeof(image) - from;
	return (from);
}

/* 0, or the refusal that the model expects or allows. */
static int
judge(int error, uint64_t from, size_t len)
{
	uint64_t first = from / PAGE, last = (from + len - 1) / PAGE;

	if (!all_are(first, last - first + 1, true))
		assert_int_equal(error, EFAULT);
	else if (error != 0) {
		assert_int_equal(error, ENOMEM);
		assert_true(may_fail);
	}
	return (error);
}

static void
step_read(void)
{
	size_t len;
	uint64_t from = random_bytes(&len);

	if (judge(vmpager_read(fx.fx_map, BASE + from, buf, len), from, len) ==
	    0)
		assert_memory_equal(buf, image + from, len);
}

/* A write that ran out of frames has written the pages before: the image takes
 * over what is there, which must be the old bytes or the new. */
static void
write_partly(uint64_t from, size_t len)
{
	unsigned char now;
	size_t done = 0;

	for (size_t i = 0; i < len; i++) {
		if (vmpager_read(fx.fx_map, BASE + from + i, &now, 1) != 0)
			break;
		if (now == buf[i] && done == i)
			done++;
		else
			assert_int_equal(now, image[from + i]);
	}
	memcpy(image + from, buf, done);
}

static void
step_write(void)
{
	size_t len;
	uint64_t from = random_bytes(&len);
	int error;

	for (size_t i = 0; i < len; i++)
		buf[i] = (unsigned char)rng_next(&rng);
	error = judge(
	    vmpager_write(fx.fx_map, BASE + from, buf, len), from, len);
	if (error == 0)
		memcpy(image + from, buf, len);
	else if (error == ENOMEM)
		write_partly(from, len);
}

static void
step_touch(void)
{
	struct vmpager_touched pt;
	size_t len;
	uint64_t from = random_bytes(&len);

	if (judge(vmpager_touch(fx.fx_map, BASE + from, len,
		      rng_below(&rng, 2) != 0, &pt), from, len) == 0)
		assert_int_equal(pt.pt_pages,
		    (from + len - 1) / PAGE - from / PAGE + 1);
}

/* What the pager counts, beside what the pages say. */
struct counted {
	uint64_t ct_registered, ct_resident, ct_dirty;
};

static bool
counts_agree(struct counted *says, struct counted *is)
{
	struct vmpager_stat ps;
	char page;

	*is = (struct counted) { .ct_registered = registered_count };
	for (uint64_t i = 0; i < PAGES; i++) {
		page = vmpager_page_state(fx.fx_map, BASE + i * PAGE);
		assert_int_equal(page != '.', registered[i]);
		is->ct_resident += page == 'r' || page == 'd';
		is->ct_dirty += page == 'd';
	}
	vmpager_stat(fx.fx_pager, &ps);
	*says = (struct counted) { ps.ps_registered_pages,
		ps.ps_resident_pages, ps.ps_dirty_pages };
	return (memcmp(says, is, sizeof(*is)) == 0);
}

/*
 * Exactly, at rest.  In uffd-thread another thread serves faults: one that is
 * woken for a page, and finds it gone again, leaves a message behind, and that
 * fault may be served (a page go, another come) while we look.  So there, and
 * there only, look until that has ended.
 */
static void
compare_counts(void)
{
	struct counted says, is;

	for (unsigned int i = 0; !counts_agree(&says, &is) && i < AT_REST_MS &&
	     fixture_mode == VMPAGER_UFFD_THREAD; i++)
		(void)usleep(1000);
	assert_int_equal(says.ct_registered, is.ct_registered);
	assert_int_equal(says.ct_resident, is.ct_resident);
	assert_int_equal(says.ct_dirty, is.ct_dirty);
}

static void
run(uint64_t frames, uint64_t slots, enum vmpager_commit commit, uint64_t seed)
{
	rng_init(&rng, seed);
	memset(registered, 0, sizeof(registered));
	registered_count = 0;
	strict_limit = commit == VMPAGER_STRICT ? frames + slots : UINT64_MAX;
	may_fail = commit != VMPAGER_STRICT && frames + slots < PAGES;
	fx = fixture_open(frames, slots, commit, NULL, PAGES);
	for (int i = 0; i < STEPS; i++) {
		uint64_t kind = rng_below(&rng, 100);

		if (kind < 12)
			step_register();
		else if (kind < 20)
			step_unregister();
		else if (kind < 50)
			step_read();
		else if (kind < 80)
			step_write();
		else
			step_touch();
		fixture_check(&fx);
		compare_counts();
	}
	fixture_close(&fx);
}

static uint64_t
seed_of(const char *name, uint64_t seed)
{
	const char *text = getenv("TEST_SEED");

	if (text != NULL)
		seed = strtoull(text, NULL, 0);
	print_message("%s: seed %llu (TEST_SEED to change it)\n", name,
	    (unsigned long long)seed);
	return (seed);
}

static void
test_plenty_of_swap(void **state)
{
	(void)state;
	run(5, 64, VMPAGER_OVERCOMMIT, seed_of("plenty of swap", 1));
}

static void
test_one_frame(void **state)
{
	(void)state;
	run(1, 64, VMPAGER_OVERCOMMIT, seed_of("one frame", 2));
}

static void
test_too_little_swap(void **state)
{
	(void)state;
	run(4, 9, VMPAGER_OVERCOMMIT, seed_of("too little swap", 3));
}

static void
test_no_swap(void **state)
{
	(void)state;
	run(12, NO_SWAP, VMPAGER_OVERCOMMIT, seed_of("no swap", 4));
}

static void
test_strict(void **state)
{
	(void)state;
	run(5, 14, VMPAGER_STRICT, seed_of("strict", 5));
}

static void
test_strict_one_and_one(void **state)
{
	(void)state;
	run(1, 1, VMPAGER_STRICT, seed_of("strict, one and one", 6));
}

static void
test_strict_no_swap(void **state)
{
	(void)state;
	run(7, NO_SWAP, VMPAGER_STRICT, seed_of("strict, no swap", 7));
}

static int
group(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plenty_of_swap),
		cmocka_unit_test(test_one_frame),
		cmocka_unit_test(test_too_little_swap),
		cmocka_unit_test(test_no_swap),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_strict_one_and_one),
		cmocka_unit_test(test_strict_no_swap),
	};

	return (cmocka_run_group_tests_name(name, tests, NULL, NULL));
}

int
main(void)
{
	return (fixture_each_mode(group));
}
