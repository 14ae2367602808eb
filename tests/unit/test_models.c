/*
 * Goal: DESIGN 1's claims, each on a handful of operations that can be followed
 * by hand: merging makes free allocate, and without a reserve it fails
 * there; each of the three reservation schemes has a hole of its own; a
 * fault allocates (B); allocating VA may need VA (C).  And that libvmem shows
 * none of it for whole frees, and what a partial free costs it.  Then, that the
 * models are what they say: random operations, checked after each step.
 *
 * In the drawings a letter is a page of that range, brackets are one map entry,
 * and a dot is a free page.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "in_child.h"
#include "models/kmap.h"
#include "models/model.h"
#include "util/rng.h"

/* What fits a page of entries: the drawings that fill one depend on it. */
#define PAGE_ENTRIES ((MODEL_PAGE - 64) / (unsigned int)sizeof(struct kmap_entry))

/* ---- following a trace by hand ------------------------------------------- */

static uint64_t op;

static struct model *
make(const char *name, uint64_t pages, uint64_t records_max)
{
	struct model_spec spec;
	char why[MODEL_WHY_MAX];
	struct model *m;

	assert_int_equal(model_parse(name, &spec, why), 0);
	if (pages != 0)
		spec.sp_va_size = pages * MODEL_PAGE;
	spec.sp_records_max = records_max;
	assert_int_equal(model_create(&spec, &m), 0);
	op = 0;
	return (m);
}

static int
try_alloc(struct model *m, unsigned int pages, unsigned int how, uint64_t *addrp)
{
	model_context.cx_op = ++op;
	model_context.cx_phase = PHASE_ALLOC;
	return (m->m_ops->mo_alloc(m, pages * MODEL_PAGE, 0, how, addrp));
}

static uint64_t
alloc(struct model *m, unsigned int pages, unsigned int how)
{
	uint64_t addr;

	assert_int_equal(try_alloc(m, pages, how, &addr), 0);
	return (addr);
}

static int
release(struct model *m, uint64_t addr, unsigned int pages)
{
	model_context.cx_op = ++op;
	model_context.cx_phase = PHASE_FREE;
	return (m->m_ops->mo_free(m, addr, pages * MODEL_PAGE, 0));
}

/* Page `first` of a range of `whole` pages, and so many. */
static int
part(struct model *m, uint64_t addr, unsigned int first, unsigned int pages,
    unsigned int whole)
{
	model_context.cx_op = ++op;
	model_context.cx_phase = PHASE_PART;
	return (m->m_ops->mo_part(m, addr + first * MODEL_PAGE,
	    pages * MODEL_PAGE, whole * MODEL_PAGE, 0));
}

static uint64_t
records(struct model *m)
{
	struct model_stat ms;

	m->m_ops->mo_stat(m, &ms);
	return (ms.ms_records);
}

static uint64_t
asked(struct model *m, enum model_phase phase)
{
	return (model_read(&m->m_counts->ct_asked[phase]));
}

static uint64_t
deadlocks(struct model *m, enum model_phase phase)
{
	return (model_read(&m->m_counts->ct_deadlocks[phase]));
}

static uint64_t
exhausted(struct model *m)
{
	return (model_read(&m->m_counts->ct_exhausted));
}

static uint64_t
first(struct model *m, enum model_claim claim)
{
	return (model_read(&m->m_counts->ct_first[claim]));
}

static void
sound(struct model *m)
{
	const char *why = m->m_ops->mo_check(m);

	if (why != NULL)
		fail_msg("%s: %s", m->m_spec.sp_name, why);
}

/* libvmem is one in a process: whatever uses it has one of its own. */
static void
in_child(void (*test)(void))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		test();
		_exit(0);
	}
	child_passes(pid);
}

/* ---- merging --------------------------------------------------- */

/*
 *	1  alloc A	[A)
 *	2  alloc B	[A B)		merged: no entry of its own
 *	3  alloc C	[A B C)
 *	4  free B	[A) . [C)	clipped at B's start and at its end: two
 *					entries, and the one between goes
 */
static void
test_merging_makes_free_allocate(void **state)
{
	struct model *m = make("kernel_map", 0, 0);
	uint64_t b;

	(void)state;
	(void)alloc(m, 1, 0);
	b = alloc(m, 1, 0);
	(void)alloc(m, 1, 0);
	assert_int_equal(records(m), 1);
	assert_int_equal(asked(m, PHASE_ALLOC), 1);
	assert_int_equal(release(m, b, 1), 0);
	assert_int_equal(asked(m, PHASE_FREE), 2);
	assert_int_equal(records(m), 2);
	assert_int_equal(first(m, CLAIM_A2), 4);
	sound(m);
	model_destroy(m);
}

/* The same without merging: [A) [B) [C), and freeing B takes nothing.  The
 * price is an entry for every range, of more than four boundary tags. */
static void
test_without_merging_free_takes_nothing(void **state)
{
	struct model *m = make("kernel_map+nomerge", 0, 0);
	struct model_stat ms;
	uint64_t b;

	(void)state;
	(void)alloc(m, 1, 0);
	b = alloc(m, 1, 0);
	(void)alloc(m, 1, 0);
	assert_int_equal(records(m), 3);
	assert_int_equal(release(m, b, 1), 0);
	assert_int_equal(asked(m, PHASE_FREE), 0);
	assert_int_equal(first(m, CLAIM_A2), 0);
	m->m_ops->mo_stat(m, &ms);
	assert_true(ms.ms_record_size > 4 * 32);
	model_destroy(m);
}

/*
 * No reserve fails there.  There is memory for one entry, and [A B C) has it:
 *
 *	4  free B	refused: clipping needs two.  A B C are all still there,
 *			and no amount of freeing in the middle would help
 *	5  free A B C	(a range of that size, as one): nothing is clipped
 */
static void
test_no_reserve_fails_in_free(void **state)
{
	struct model *m = make("kernel_map", 0, 1);
	uint64_t a, b;

	(void)state;
	a = alloc(m, 1, 0);
	b = alloc(m, 1, 0);
	(void)alloc(m, 1, 0);
	assert_int_equal(release(m, b, 1), ENOMEM);
	assert_int_equal(model_read(&m->m_counts->ct_failed[PHASE_FREE]), 1);
	assert_int_equal(records(m), 1);
	sound(m);
	assert_int_equal(release(m, a, 3), 0);
	assert_int_equal(records(m), 0);
	model_destroy(m);
}

/* ---- two entries before locking ------------------------------------- */

/*
 * Its hole: what is reserved must be had, needed or not.  There is memory for
 * two entries:
 *
 *	1  alloc A	reserves 2, uses 1, gives 1 back	[A)
 *	2  free A	reserves 2: there is one.  Refused, though freeing the
 *			whole of [A) needs none, and would give one back
 */
static void
test_reserve2_refuses_what_needs_nothing(void **state)
{
	struct model *m = make("kernel_map+reserve2", 0, 2);
	uint64_t a;

	(void)state;
	a = alloc(m, 1, 0);
	assert_int_equal(exhausted(m), 0);
	assert_int_equal(model_read(&m->m_counts->ct_made), 2);
	assert_int_equal(model_read(&m->m_counts->ct_unused), 1);
	assert_int_equal(release(m, a, 1), ENOMEM);
	assert_int_equal(exhausted(m), 1);
	assert_int_equal(first(m, CLAIM_A3), 2);
	assert_int_equal(records(m), 1);
	model_destroy(m);
}

/* Ranges that can't merge: every other one takes faults. */
static unsigned int
nth_how(unsigned int i)
{
	return (i % 2 != 0 ? MODEL_PAGEABLE : 0);
}

static void
fill_entries(struct model *m, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		(void)alloc(m, 1, nth_how(i));
}

/*
 * And its other one: reserving can itself need VA.  Entries live in the map,
 * PAGE_ENTRIES to a page:
 *
 *	[A)[b)[A)[b) ...		all but one entry of the page are used
 *	next alloc	reserves two: takes the last one; for the second a page
 *			is wanted, for which an address is wanted, for which an
 *			entry is wanted: a deadlock
 */
static void
test_reserve2_needs_an_entry_to_get_an_entry(void **state)
{
	struct model *m = make("kernel_map+self+reserve2", 0, 0);

	(void)state;
	fill_entries(m, PAGE_ENTRIES - 1);
	assert_int_equal(deadlocks(m, PHASE_ALLOC), 0);
	(void)alloc(m, 1, nth_how(PAGE_ENTRIES - 1));
	assert_int_equal(deadlocks(m, PHASE_ALLOC), 1);
	assert_int_equal(first(m, CLAIM_A3), PAGE_ENTRIES);
	assert_int_equal(first(m, CLAIM_C), PAGE_ENTRIES);
	sound(m);
	model_destroy(m);
}

/* ---- the stash ------------------------------------------------------ */

/*
 *	1  alloc A	[A)		an entry
 *	2  alloc B	[A B)		its entry isn't needed: stashed
 *	3  free B	[A)		the split takes the one from the stash
 *
 * As many splits as there were merges: a free needs no memory.
 */
static void
test_stash_is_sound_on_boundaries(void **state)
{
	struct model *m = make("kernel_map+stash", 0, 0);
	uint64_t b;

	(void)state;
	(void)alloc(m, 1, 0);
	b = alloc(m, 1, 0);
	assert_int_equal(records(m), 2);	/* which saves nothing */
	assert_int_equal(release(m, b, 1), 0);
	assert_int_equal(asked(m, PHASE_FREE), 0);
	assert_int_equal(exhausted(m), 0);
	assert_int_equal(records(m), 1);
	sound(m);
	model_destroy(m);
}

/*
 * Its hole: a free that falls on no boundary.
 *
 *	1  alloc A	[A A A)		nothing merged: the stash is empty
 *	2  free A's second page: [A) . [A)	wants two, and there is none
 *
 * Worse, it takes what is another's:
 *
 *	1  alloc A, 2  alloc B	[A A A B)	one in the stash, for B
 *	3  free A's third page	[A A) . [B)	takes it, and one more
 *	4  free A's first page	[A) [B) ...	and wants another
 */
static void
test_stash_is_empty_within_a_range(void **state)
{
	struct model *m = make("kernel_map+stash", 0, 0);
	uint64_t a;

	(void)state;
	a = alloc(m, 3, 0);
	assert_int_equal(part(m, a, 1, 1, 3), 0);
	assert_int_equal(exhausted(m), 2);
	assert_int_equal(asked(m, PHASE_PART), 2);
	assert_int_equal(first(m, CLAIM_A3), 2);
	sound(m);
	model_destroy(m);

	m = make("kernel_map+stash", 0, 0);
	a = alloc(m, 3, 0);
	(void)alloc(m, 1, 0);
	assert_int_equal(part(m, a, 2, 1, 3), 0);
	assert_int_equal(exhausted(m), 1);
	assert_int_equal(part(m, a, 0, 1, 3), 0);
	assert_int_equal(exhausted(m), 2);
	model_destroy(m);
}

/* ---- pages that hold themselves ------------------------------------- */

/*
 *	[A)[b)[A)[b) ... all entries of the page are used
 *	next alloc	a page is wanted.  Its first entry describes it:
 *			... [b)[P)[A)	no entry was needed to get entries
 */
static void
test_page_describes_itself(void **state)
{
	struct model *m = make("kernel_map+page", 0, 0);

	(void)state;
	fill_entries(m, PAGE_ENTRIES);
	assert_int_equal(records(m), PAGE_ENTRIES);
	(void)alloc(m, 1, nth_how(PAGE_ENTRIES));
	assert_int_equal(records(m), PAGE_ENTRIES + 2);
	assert_int_equal(deadlocks(m, PHASE_ALLOC), 0);
	assert_int_equal(exhausted(m), 0);
	/* But VA was allocated to allocate VA. */
	assert_int_equal(model_read(&m->m_counts->ct_depth), 2);
	assert_int_equal(first(m, CLAIM_C), PAGE_ENTRIES + 1);
	sound(m);
	model_destroy(m);
}

/*
 * Its hole: it needs VA.  The map is full, and so is the page of entries:
 *
 *	[A A A)[b)[A)[b) ... [b)	PAGE_ENTRIES entries, no page free
 *	free A's second page		wants two entries, so a page, so VA; of
 *					which there is none until something is
 *					freed: the free waits for a free
 *	free [b) whole			needs no entry, and gives one and a page
 *	free A's second page		once more: now it can
 */
static void
test_page_has_no_va_in_a_free(void **state)
{
	struct model *m = make("kernel_map+page", PAGE_ENTRIES + 2, 0);
	uint64_t a, b, none;

	(void)state;
	a = alloc(m, 3, 0);
	b = alloc(m, 1, MODEL_PAGEABLE);
	fill_entries(m, PAGE_ENTRIES - 2);
	assert_int_equal(try_alloc(m, 1, 0, &none), ENOMEM);
	assert_int_equal(part(m, a, 1, 1, 3), ENOMEM);
	assert_true(exhausted(m) > 0);
	assert_int_equal(deadlocks(m, PHASE_PART), 1);
	sound(m);
	assert_int_equal(release(m, b, 1), 0);
	assert_int_equal(part(m, a, 1, 1, 3), 0);
	assert_int_equal(deadlocks(m, PHASE_PART), 1);
	sound(m);
	model_destroy(m);
}

/* ---- B: faults; C -------------------------------------------------------- */

/*
 *	1  alloc b	[b)	it takes faults
 *	2  a fault	looks up the entry, and allocates an anon
 *
 * If anons live in the map: a page for them needs an address from the map that
 * the fault has locked.
 */
static void
test_faults_allocate(void **state)
{
	struct model *m = make("kernel_map", 0, 0);
	uint64_t b;

	(void)state;
	b = alloc(m, 1, MODEL_PAGEABLE);
	model_context.cx_op = ++op;
	model_context.cx_phase = PHASE_FAULT;
	assert_int_equal(m->m_ops->mo_fault(m, b), 0);
	assert_int_equal(asked(m, PHASE_FAULT), 1);
	assert_int_equal(first(m, CLAIM_B), 2);
	assert_int_equal(m->m_ops->mo_fault(m, b), 0);	/* it is there now */
	assert_int_equal(asked(m, PHASE_FAULT), 1);
	assert_int_equal(m->m_ops->mo_fault(m, b + MODEL_PAGE), EFAULT);
	assert_int_equal(deadlocks(m, PHASE_FAULT), 0);
	model_destroy(m);

	m = make("kernel_map+self", 0, 0);
	b = alloc(m, 1, MODEL_PAGEABLE);
	model_context.cx_phase = PHASE_FAULT;
	assert_int_equal(m->m_ops->mo_fault(m, b), 0);
	assert_int_equal(deadlocks(m, PHASE_FAULT), 1);
	assert_int_equal(model_read(&m->m_counts->ct_retries), 1);
	model_destroy(m);
}

/*
 * Entries in the map and no scheme: when a page of them is full, an entry is
 * needed to get an entry.
 *
 *	... [A)[b)	the last takes faults, so a page of entries, which
 *			doesn't, can't become part of it
 */
static void
test_self_fed_deadlocks(void **state)
{
	struct model *m = make("kernel_map+self", 0, 0);

	(void)state;
	for (unsigned int i = PAGE_ENTRIES; i > 0; i--)
		(void)alloc(m, 1, nth_how(i));
	assert_int_equal(deadlocks(m, PHASE_ALLOC), 0);
	(void)alloc(m, 1, 0);
	assert_int_equal(deadlocks(m, PHASE_ALLOC), 1);
	assert_int_equal(first(m, CLAIM_C), PAGE_ENTRIES + 1);
	sound(m);
	model_destroy(m);
}

/* ---- libvmem ------------------------------------------------------------- */

#define BIG 20u	/* pages: beyond the quantum caches */

/* The same A B C, and a fault: nothing is asked for but in allocating. */
static void
vmem_whole(void)
{
	struct model *m = make("vmem", 0, 0);
	uint64_t a[3], f;

	for (unsigned int i = 0; i < 3; i++)
		a[i] = alloc(m, BIG, 0);
	f = alloc(m, BIG, MODEL_PAGEABLE);
	model_context.cx_phase = PHASE_FAULT;
	CHECK(m->m_ops->mo_fault(m, f) == 0);
	CHECK(m->m_ops->mo_fault(m, a[0]) == EFAULT);	/* not registered */
	CHECK(release(m, a[1], BIG) == 0);
	CHECK(release(m, a[0], BIG) == 0);
	CHECK(release(m, a[2], BIG) == 0);
	CHECK(asked(m, PHASE_FREE) == 0);
	CHECK(asked(m, PHASE_FAULT) == 0);
	for (unsigned int c = 0; c < CLAIMS; c++)
		CHECK(first(m, (enum model_claim)c) == 0);
	CHECK(m->m_ops->mo_check(m) == NULL);
}

/*
 * Its own cost.  Where A was one range, two remain, and a gap:
 *
 *	1  alloc A		|A A A A|	one tag
 *	2  free its middle	|A|.|A A|	three: two more, from the
 *						arena's stock
 *
 * At an edge it is one more.
 */
static void
vmem_parts(void)
{
	struct model *m = make("vmem", 0, 0);
	uint64_t a = alloc(m, 4 * BIG, 0), before = records(m);

	CHECK(part(m, a, BIG, BIG, 4 * BIG) == 0);
	CHECK(records(m) == before + 2);
	CHECK(asked(m, PHASE_PART) == 2);
	CHECK(model_read(&m->m_counts->ct_failed[PHASE_PART]) == 0);
	a = alloc(m, 4 * BIG, 0);
	before = records(m);
	CHECK(part(m, a, 3 * BIG, BIG, 4 * BIG) == 0);
	CHECK(records(m) <= before + 1);
	CHECK(m->m_ops->mo_check(m) == NULL);
}

#define RANGES_MAX 4096u
#define HOLES 8u
#define HOLED (2 * HOLES * BIG)

/* Free every second BIG of ranges, one range after the other, until that is
 * refused: in which range, and at which offset; false: it never was. */
static bool
part_until_refused(struct model *m, const uint64_t *at, unsigned int n,
    unsigned int *range, uint64_t *offset)
{
	for (unsigned int i = 0; i < n; i++)
		for (uint64_t off = BIG; off < HOLED; off += 2 * BIG) {
			int error = part(m, at[i], off, BIG, HOLED);

			*range = i;
			*offset = off;
			if (error == ENOMEM)
				return (true);
			CHECK(error == 0);
		}
	return (false);
}

/*
 * With the reserve empty.  There are few tags, and no memory for more:
 * allocate until that is refused, cleanly; then parts are freed, which takes
 * what rows have room for, until that is refused too, and has changed nothing;
 * then whole ranges go, each of them, and give tags; and then the part can be
 * freed.
 */
static void
vmem_short(void)
{
	struct model *m = make("vmem", 0, 64);
	static uint64_t at[RANGES_MAX];
	unsigned int n = 0, range;
	uint64_t offset;

	while (n < RANGES_MAX && try_alloc(m, HOLED, 0, &at[n]) == 0)
		n++;
	CHECK(n > 1 && n < RANGES_MAX);
	CHECK(part_until_refused(m, at, n, &range, &offset));
	CHECK(m->m_ops->mo_check(m) == NULL);
	CHECK(part(m, at[range], offset, BIG, HOLED) == ENOMEM);
	/* What is still whole. */
	CHECK(range + 1 < n);
	for (unsigned int i = range + 1; i < n; i++)
		CHECK(release(m, at[i], HOLED) == 0);
	CHECK(part(m, at[range], offset, BIG, HOLED) == 0);
	CHECK(first(m, CLAIM_A2) == 0);
	CHECK(m->m_ops->mo_check(m) == NULL);
}

/* A single wired page costs no VA, while the direct map is on. */
static void
vmem_direct(void)
{
	struct model *m = make("vmem+direct_map", 0, 0);
	struct model_stat before, after;
	uint64_t addr;

	m->m_ops->mo_stat(m, &before);
	addr = alloc(m, 1, 0);
	m->m_ops->mo_stat(m, &after);
	CHECK(after.ms_extent == before.ms_extent);
	CHECK(after.ms_records == before.ms_records);
	CHECK(release(m, addr, 1) == 0);
	(void)alloc(m, 2, 0);
	m->m_ops->mo_stat(m, &after);
	CHECK(after.ms_extent > before.ms_extent);
}

static void
test_vmem_whole(void **state)
{
	(void)state;
	in_child(vmem_whole);
}

static void
test_vmem_parts(void **state)
{
	(void)state;
	in_child(vmem_parts);
}

static void
test_vmem_short(void **state)
{
	(void)state;
	in_child(vmem_short);
}

static void
test_vmem_direct(void **state)
{
	(void)state;
	in_child(vmem_direct);
}

/* ---- names --------------------------------------------------------------- */

static void
test_names(void **state)
{
	static const char *const wrong[] = { "", "uvm", "kernel_map+", "vmem+self",
		"kernel_map+low", "pools+direct_map", "kmem+kmem",
		"kernel_map+selfish", "kmem+vmem+stash" };
	struct model_spec spec;
	char why[MODEL_WHY_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		why[0] = '\0';
		assert_int_equal(model_parse(wrong[i], &spec, why), EINVAL);
		assert_true(strlen(why) > 0);
	}
	for (size_t i = 0; model_defaults[i] != NULL; i++)
		assert_int_equal(
		    model_parse(model_defaults[i], &spec, why), 0);
	assert_int_equal(model_parse("pools+self+page", &spec, why), 0);
	assert_true(spec.sp_self && spec.sp_reserve == RESERVE_PAGE);
	assert_int_equal(
	    model_parse("kmem+vmem+direct_map", &spec, why), 0);
}

/* ---- random operations against a naive list ------------------------------ */

#define LIVE_MAX 400u
#define STEPS 6000u

struct live {
	uint64_t addr, size;
	unsigned int how;
};

static struct live lives[LIVE_MAX];
static unsigned int live_count;

static void
check_apart(uint64_t addr, uint64_t size)
{
	for (unsigned int i = 0; i < live_count; i++)
		CHECK(addr >= lives[i].addr + lives[i].size ||
		    lives[i].addr >= addr + size);
}

/* Mostly small, now and then larger; of whole pages or of bytes. */
static uint64_t
random_size(struct rng *rng)
{
	uint64_t size = 1 + rng_below(rng, UINT64_C(1) << (4 + rng_below(rng, 14)));

	return (rng_below(rng, 2) == 0 ? size :
	    (size + MODEL_PAGE - 1) / MODEL_PAGE * MODEL_PAGE);
}

static void
random_alloc(struct model *m, struct rng *rng)
{
	struct live *li = &lives[live_count];
	int error;

	if (live_count == LIVE_MAX)
		return;
	model_context.cx_phase = PHASE_ALLOC;
	li->size = random_size(rng);
	li->how = rng_below(rng, 4) == 0 ? MODEL_PAGEABLE : 0;
	if (m->m_ops->mo_alloc(m, li->size, 0, li->how, &li->addr) != 0)
		return;
	check_apart(li->addr, li->size);
	live_count++;
	model_context.cx_phase = PHASE_FAULT;
	if ((li->how & MODEL_PAGEABLE) == 0)
		return;
	error = m->m_ops->mo_fault(m, li->addr);
	/* Anons may live in the map, and it may be full. */
	CHECK(error == 0 || (error == ENOMEM && m->m_spec.sp_self));
}

static void
random_free(struct model *m, struct rng *rng)
{
	unsigned int i = (unsigned int)rng_below(rng, live_count);
	struct live *li = &lives[i];
	uint64_t pages = li->size / MODEL_PAGE;

	model_context.cx_phase = PHASE_PART;
	/* Keep the lower part of some. */
	if (rng_below(rng, 3) == 0 && pages > 1 && li->size % MODEL_PAGE == 0 &&
	    m->m_ops->mo_part(m, li->addr + pages / 2 * MODEL_PAGE,
		li->size - pages / 2 * MODEL_PAGE, li->size, li->how) == 0) {
		li->size = pages / 2 * MODEL_PAGE;
		li->how |= MODEL_ALIGNED;
		return;
	}
	model_context.cx_phase = PHASE_FREE;
	if (m->m_ops->mo_free(m, li->addr, li->size, li->how) == 0)
		lives[i] = lives[--live_count];
}

static uint64_t seed;

/* Short of records now and then: what is refused must have changed nothing. */
static void
random_run(const char *name, uint64_t records_max)
{
	struct model *m = make(name, 4096, records_max);
	struct rng rng;
	const char *why;

	rng_init(&rng, seed);
	live_count = 0;
	for (unsigned int i = 0; i < STEPS; i++) {
		model_context.cx_op = i + 1;
		if (live_count == 0 || rng_below(&rng, 100) <
		    (i / 1000 % 2 == 0 ? 60 : 40))
			random_alloc(m, &rng);
		else
			random_free(m, &rng);
		m->m_ops->mo_tick(m, i * UINT64_C(20000000));
		why = i % 8 == 0 ? m->m_ops->mo_check(m) : NULL;
		if (why != NULL)
			(void)fprintf(stderr, "%s, step %u: %s\n", name, i,
			    why);
		CHECK(why == NULL);
	}
	model_context.cx_op = 0;
	while (live_count > 0) {
		const struct live *li = &lives[live_count - 1];

		if (m->m_ops->mo_free(m, li->addr, li->size, li->how) != 0)
			break;
		live_count--;
	}
	CHECK(live_count == 0 || records_max != 0);
	CHECK(m->m_ops->mo_check(m) == NULL);
	if (live_count == 0)
		model_destroy(m);
}

static const char *random_name;
static uint64_t random_records;

static void
random_child(void)
{
	random_run(random_name, random_records);
}

static void
test_random(void **state)
{
	(void)state;
	seed = (uint64_t)getpid();
	print_message("seed %llu\n", (unsigned long long)seed);
	for (size_t i = 0; model_defaults[i] != NULL; i++) {
		random_name = model_defaults[i];
		random_records = 0;
		in_child(random_child);
		random_records = 60;
		in_child(random_child);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merging_makes_free_allocate),
		cmocka_unit_test(test_without_merging_free_takes_nothing),
		cmocka_unit_test(test_no_reserve_fails_in_free),
		cmocka_unit_test(test_reserve2_refuses_what_needs_nothing),
		cmocka_unit_test(test_reserve2_needs_an_entry_to_get_an_entry),
		cmocka_unit_test(test_stash_is_sound_on_boundaries),
		cmocka_unit_test(test_stash_is_empty_within_a_range),
		cmocka_unit_test(test_page_describes_itself),
		cmocka_unit_test(test_page_has_no_va_in_a_free),
		cmocka_unit_test(test_faults_allocate),
		cmocka_unit_test(test_self_fed_deadlocks),
		cmocka_unit_test(test_vmem_whole),
		cmocka_unit_test(test_vmem_parts),
		cmocka_unit_test(test_vmem_short),
		cmocka_unit_test(test_vmem_direct),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_random),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
