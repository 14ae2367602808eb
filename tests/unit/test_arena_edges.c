/*
 * Goal: every strategy and constraint gives exactly what it promises, with
 * addresses, sizes and alignments from 1 to 2^64-1: at 0, around 2^63, at the
 * top; and arguments that nothing could satisfy are told from exhaustion.
 * Method: random operations beside a sorted list of segments, searched from end
 * to end in 128-bit arithmetic (reference.h).  The books are compared after
 * each step, the whole list often.
 * The seed is printed; TEST_SEED and TEST_STEPS set it and the length.
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
#include <vmem.h>

#include "arena/arena_impl.h"
#include "reference.h"

#ifndef LIVE_MAX
#define LIVE_MAX 60
#endif
#define SEGS_MAX (4 * LIVE_MAX + 16)
#define TOP VMEM_ADDR_MAX

struct seg {
	uint64_t first, last;	/* inclusive */
	bool busy;
	bool begins_span;
};

struct model {
	vmem_t *vm;
	uint64_t quantum;
	struct seg seg[SEGS_MAX]; /* by address */
	unsigned int count, live;
	uint64_t cursor;	/* after the last one handed out */
	uint64_t cursor_next;	/* after the last one by next fit */
	bool dry;		/* no memory for tags is to be had now */
	uint64_t refused;	/* for that reason */
	uint64_t again;		/* had again after a free, all the same */
	struct rng rng;
};

/* ---- the list ----------------------------------------------------------- */

static uint64_t
seg_size(const struct seg *sg)
{
	return (sg->last - sg->first + 1);
}

static void
seg_insert(struct model *m, unsigned int at, struct seg sg)
{
	assert_true(m->count < SEGS_MAX);
	memmove(&m->seg[at + 1], &m->seg[at],
	    (m->count - at) * sizeof(m->seg[0]));
	m->seg[at] = sg;
	m->count++;
}

static void
seg_delete(struct model *m, unsigned int at)
{
	m->count--;
	memmove(&m->seg[at], &m->seg[at + 1],
	    (m->count - at) * sizeof(m->seg[0]));
}

/* Make [first, last], inside segment `at`, one of its own; returns where. */
static unsigned int
seg_cut(struct model *m, unsigned int at, uint64_t first, uint64_t last)
{
	struct seg whole = m->seg[at], upper;

	if (whole.last != last) {
		upper = whole;
		upper.first = last + 1;
		upper.begins_span = false;
		seg_insert(m, at + 1, upper);
		m->seg[at].last = last;
	}
	if (whole.first != first) {
		upper = m->seg[at];
		upper.first = first;
		upper.begins_span = false;
		m->seg[at].last = first - 1;
		seg_insert(m, ++at, upper);
	}
	return (at);
}

static void
seg_free(struct model *m, unsigned int at)
{
	m->seg[at].busy = false;
	if (at + 1 < m->count && !m->seg[at + 1].busy &&
	    !m->seg[at + 1].begins_span) {
		m->seg[at].last = m->seg[at + 1].last;
		seg_delete(m, at + 1);
	}
	if (at > 0 && !m->seg[at - 1].busy && !m->seg[at].begins_span) {
		m->seg[at - 1].last = m->seg[at].last;
		seg_delete(m, at);
	}
}

/* The segment that addr lies in, or -1. */
static int
seg_at(const struct model *m, uint64_t addr)
{
	for (unsigned int i = 0; i < m->count; i++)
		if (m->seg[i].first <= addr && addr <= m->seg[i].last)
			return ((int)i);
	return (-1);
}

static void
seg_take(struct model *m, uint64_t addr, uint64_t size)
{
	int at = seg_at(m, addr);

	assert_true(at >= 0 && !m->seg[at].busy &&
	    m->seg[at].last - addr >= size - 1);
	m->seg[seg_cut(m, (unsigned int)at, addr, addr + (size - 1))].busy =
	    true;
	m->live++;
}

/* A busy one at random, or -1. */
static int
pick(struct model *m)
{
	unsigned int at;

	if (m->live == 0)
		return (-1);
	do
		at = (unsigned int)rng_below(&m->rng, m->count);
	while (!m->seg[at].busy);
	return ((int)at);
}

/* ---- requests ----------------------------------------------------------- */

/* Of any magnitude. */
static uint64_t
any(struct model *m)
{
	uint64_t x = rng_next(&m->rng) >> rng_below(&m->rng, 64);

	return (rng_below(&m->rng, 8) == 0 ? 0 - x : x);
}

static uint64_t
any_pow2(struct model *m)
{
	return (rng_below(&m->rng, 50) == 0 ? any(m) :
					       UINT64_C(1)
		    << rng_below(&m->rng, 64));
}

/* An address that matters: at the border of a segment. */
static uint64_t
border(struct model *m)
{
	const struct seg *sg = &m->seg[rng_below(&m->rng, m->count)];
	uint64_t near = rng_below(&m->rng, 3) * m->quantum;

	return (rng_below(&m->rng, 2) == 0 ? sg->first + near :
					     sg->last - near);
}

static uint64_t
any_size(struct model *m)
{
	const struct seg *sg = &m->seg[rng_below(&m->rng, m->count)];

	switch (rng_below(&m->rng, 8)) {
	case 0:
		return (seg_size(sg));
	case 1:
		return (seg_size(sg) - m->quantum);
	case 2:
		return (any(m));
	default:
		/* 64 quanta at most, or half of all there is. */
		return (1 + (rng_next(&m->rng) >> (8 + rng_below(&m->rng, 56))) %
			(m->quantum > TOP / 128 ? TOP / 2 : m->quantum * 64));
	}
}

static struct ref_request
any_request(struct model *m)
{
	static const vm_flag_t policies[] = { 0, VM_INSTANTFIT, VM_BESTFIT,
		VM_FIRSTFIT, VM_NEXTFIT, VM_LASTFIT };
	struct ref_request r = { .size = any_size(m), .max = TOP };

	r.policy = policies[rng_below(&m->rng, 6)];
	if (rng_below(&m->rng, 3) == 0) {
		r.align = any_pow2(m);
		if (rng_below(&m->rng, 2) == 0 && r.align > m->quantum)
			r.phase = rng_below(&m->rng, r.align / m->quantum) *
			    m->quantum;
		else if (rng_below(&m->rng, 50) == 0)
			r.phase = any(m);
	}
	if (rng_below(&m->rng, 4) == 0)
		r.nocross = any_pow2(m);
	if (rng_below(&m->rng, 3) == 0) {
		r.min = rng_below(&m->rng, 4) == 0 ? any(m) : border(m);
		r.max = rng_below(&m->rng, 4) == 0 ? TOP : border(m);
		if (r.min > r.max && rng_below(&m->rng, 20) != 0) {
			uint64_t low = r.max;

			r.max = r.min;
			r.min = low;
		}
	}
	return (r);
}

/* ---- what is promised --------------------------------------------------- */

/* The lowest place from `from` on. */
static bool
lowest_from(const struct model *m, const struct ref_request *r, uint64_t from,
    uint64_t *addrp)
{
	struct ref_request rest = *r;

	if (from > rest.min)
		rest.min = from;
	if (ref_invalid(&rest, m->quantum))
		return (false);
	for (unsigned int i = 0; i < m->count; i++)
		if (!m->seg[i].busy && ref_lowest(&rest, m->quantum,
		    m->seg[i].first, m->seg[i].last, addrp))
			return (true);
	return (false);
}

/* The size of the smallest segment in which it fits. */
static uint64_t
smallest(const struct model *m, const struct ref_request *r)
{
	uint64_t best = TOP, addr;

	for (unsigned int i = 0; i < m->count; i++)
		if (!m->seg[i].busy && seg_size(&m->seg[i]) < best &&
		    ref_lowest(r, m->quantum, m->seg[i].first, m->seg[i].last,
			&addr))
			best = seg_size(&m->seg[i]);
	return (best);
}

/*
 * What a strategy gives, to the letter (vmem.h, VMEM_LOOKS_MAX): the segments
 * that might do in its order; after FIT_LOOKS of them only those that surely do.
 */
static bool
might_do(const struct model *m, const struct ref_request *r, unsigned int i)
{
	return (!m->seg[i].busy && seg_size(&m->seg[i]) >=
		ref_size(r, m->quantum) && m->seg[i].last >= r->min &&
	    m->seg[i].first <= r->max);
}

static bool
surely_does(const struct model *m, const struct ref_request *r, unsigned int i)
{
	ref_wide sure = ref_size(r, m->quantum) + ref_align(r, m->quantum) -
	    m->quantum;

	return (seg_size(&m->seg[i]) >= (r->nocross != 0 ? 2 * sure : sure));
}

static bool
does(const struct model *m, const struct ref_request *r, unsigned int i,
    uint64_t *addrp)
{
	return ((r->policy == VM_LASTFIT ? ref_highest : ref_lowest)(r,
	    m->quantum, m->seg[i].first, m->seg[i].last, addrp));
}

/* By address, upwards from `from` on, or downwards (step -1). */
static bool
given(const struct model *m, const struct ref_request *r, uint64_t from,
    int step, uint64_t *addrp)
{
	struct ref_request rest = *r;
	unsigned int looks = 0;

	if (from > rest.min)
		rest.min = from;
	for (unsigned int n = 0; n < m->count && rest.min <= rest.max; n++) {
		unsigned int i = step > 0 ? n : m->count - 1 - n;

		if (!might_do(m, &rest, i) ||
		    (looks++ >= FIT_LOOKS && !surely_does(m, &rest, i)))
			continue;
		if (does(m, &rest, i, addrp))
			return (true);
	}
	return (false);
}

/* Next fit goes on after the last range handed out. */
static bool
next_given(const struct model *m, const struct ref_request *r, uint64_t cursor,
    uint64_t *addrp)
{
	return (given(m, r, cursor, 1, addrp) || given(m, r, 0, 1, addrp));
}

static bool
is_next(const struct model *m, const struct ref_request *r, uint64_t cursor,
    uint64_t addr)
{
	uint64_t next;

	return (next_given(m, r, cursor, &next) && next == addr);
}

/*
 * The sizes of the segments that best fit may choose: the smallest that fits;
 * or, if FIT_LOOKS no larger ones disappoint, another (*orp): within bounds of
 * those that are looked at by address, else of those that surely fit.  0: none.
 */
static uint64_t
best_given(const struct model *m, const struct ref_request *r, uint64_t *orp)
{
	uint64_t best = smallest(m, r), seen = 0, sure = 0, addr, size;
	bool window = r->min != 0 || r->max != TOP;
	unsigned int looks = 0, smaller = 0, as_small = 0;

	for (unsigned int i = 0; i < m->count; i++) {
		size = seg_size(&m->seg[i]);
		if (m->seg[i].busy || size < ref_size(r, m->quantum))
			continue;
		smaller += size < best;
		as_small += size <= best && !does(m, r, i, &addr);
		if (!might_do(m, r, i))
			continue;
		if (looks++ < FIT_LOOKS) {
			if (window && does(m, r, i, &addr) &&
			    (seen == 0 || size < seen))
				seen = size;
		} else if (window ? sure == 0 && surely_does(m, r, i) &&
			does(m, r, i, &addr) : false)
			sure = size;
		if (!window && surely_does(m, r, i) &&
		    (sure == 0 || size < sure))
			sure = size;
	}
	if (best == TOP && !lowest_from(m, r, 0, &addr))
		best = 0;
	if (as_small < FIT_LOOKS || (window && looks <= FIT_LOOKS)) {
		*orp = best;
		return (best);
	}
	*orp = seen != 0 ? seen : sure;
	/* Which ones of a size it looks at first is its own affair. */
	return (smaller < FIT_LOOKS ? best : *orp);
}

/* Instant fit may give up under constraints, having looked at so many segments
 * that are large enough, if none is so large that it fits anywhere in it. */
static bool
instant_may_refuse(const struct model *m, const struct ref_request *r)
{
	unsigned int looks = 0;

	for (unsigned int i = 0; i < m->count; i++) {
		if (m->seg[i].busy ||
		    seg_size(&m->seg[i]) < ref_size(r, m->quantum))
			continue;
		if (surely_does(m, r, i) && r->min == 0 && r->max == TOP)
			return (false);
		looks++;
	}
	return (looks > INSTANT_LOOKS);
}

static bool
may_refuse(const struct model *m, const struct ref_request *r)
{
	uint64_t other;

	if (!lowest_from(m, r, 0, &other))
		return (true);
	switch (r->policy) {
	case VM_FIRSTFIT:
		return (!given(m, r, 0, 1, &other));
	case VM_LASTFIT:
		return (!given(m, r, 0, -1, &other));
	case VM_NEXTFIT:
		return (!next_given(m, r, m->cursor, &other) ||
		    !next_given(m, r, m->cursor_next, &other));
	case VM_BESTFIT:
		(void)best_given(m, r, &other);
		return (other == 0);
	default:
		return (instant_may_refuse(m, r));
	}
}

static void
check_choice(
    const struct model *m, const struct ref_request *r, uint64_t addr)
{
	int at = seg_at(m, addr);
	uint64_t other, size;

	assert_true(at >= 0 && !m->seg[at].busy);
	/* It is where it may be: the lowest place from there on is there. */
	assert_true(ref_lowest(r, m->quantum, addr, m->seg[at].last, &other));
	assert_true(other == addr);
	switch (r->policy) {
	case VM_FIRSTFIT:
		assert_true(given(m, r, 0, 1, &other));
		assert_true(other == addr);
		break;
	case VM_LASTFIT:
		assert_true(given(m, r, 0, -1, &other));
		assert_true(other == addr);
		break;
	case VM_BESTFIT:
		size = seg_size(&m->seg[at]);
		assert_true(size == best_given(m, r, &other) || size == other);
		break;
	case VM_NEXTFIT:
		assert_true(is_next(m, r, m->cursor, addr) ||
		    is_next(m, r, m->cursor_next, addr));
		break;
	default:
		break;
	}
}

/* ---- steps -------------------------------------------------------------- */

static void
step_alloc(struct model *m)
{
	struct ref_request r = any_request(m);
	uint64_t addr = 0, size, other;
	bool plain = (r.align | r.phase | r.nocross | r.min) == 0 &&
	    r.max == TOP && rng_below(&m->rng, 2) == 0;
	int error = plain ?
	    vmem_alloc(m->vm, r.size, VM_NOSLEEP | r.policy, &addr) :
	    vmem_xalloc(m->vm, r.size, r.align, r.phase, r.nocross, r.min,
		r.max, VM_NOSLEEP | r.policy, &addr);

	if (ref_invalid(&r, m->quantum)) {
		assert_int_equal(error, EINVAL);
		return;
	}
	if (error != 0) {
		assert_int_equal(error, ENOMEM);
		if (m->dry && lowest_from(m, &r, 0, &other))
			m->refused++;
		else
			assert_true(may_refuse(m, &r));
		return;
	}
	if (m->dry)
		r.policy = VM_INSTANTFIT;
	check_choice(m, &r, addr);
	size = (uint64_t)ref_size(&r, m->quantum);
	seg_take(m, addr, size);
	m->cursor = addr + size;
	if (r.policy == VM_NEXTFIT)
		m->cursor_next = addr + size;
}

static void
step_alloc_at(struct model *m)
{
	struct ref_request r = { .size = any_size(m) };
	uint64_t addr = border(m) & ~(m->quantum - 1);
	ref_wide size = ref_size(&r, m->quantum);
	int error = vmem_xalloc_addr(m->vm, addr, r.size, VM_NOSLEEP), at;

	if (r.size == 0 || size > UINT64_MAX || addr + size - 1 > TOP) {
		assert_int_equal(error, EINVAL);
		return;
	}
	at = seg_at(m, addr);
	if (m->dry && error == ENOMEM)
		return;
	assert_int_equal(error == 0,
	    at >= 0 && !m->seg[at].busy && m->seg[at].last - addr >= size - 1);
	if (error == 0)
		seg_take(m, addr, (uint64_t)size);
	else
		assert_int_equal(error, ENOMEM);
}

static void
step_free(struct model *m)
{
	static const vm_flag_t policies[] = { 0, VM_BESTFIT, VM_FIRSTFIT,
		VM_NEXTFIT, VM_LASTFIT };
	int at = pick(m);
	uint64_t addr, size;

	if (at < 0)
		return;
	size = seg_size(&m->seg[at]);
	vmem_xfree(m->vm, m->seg[at].first, size);
	seg_free(m, (unsigned int)at);
	m->live--;
	if (!m->dry || rng_below(&m->rng, 2) == 0)
		return;
	/* What was freed can be had again, whatever has run out. */
	assert_int_equal(vmem_xalloc(m->vm, size, 0, 0, 0, 0, TOP, VM_NOSLEEP |
	    policies[rng_below(&m->rng, 5)], &addr), 0);
	seg_take(m, addr, size);
	m->cursor = addr + size;
	m->cursor_next = addr + size;
	m->again++;
}

static void
step_free_part(struct model *m)
{
	int at = pick(m);
	uint64_t quanta, first, last;
	unsigned int before = m->count;
	int error;

	if (at < 0)
		return;
	quanta = seg_size(&m->seg[at]) / m->quantum;
	first = m->seg[at].first + rng_below(&m->rng, quanta) * m->quantum;
	quanta = (m->seg[at].last - first + 1) / m->quantum;
	last = first + (1 + rng_below(&m->rng, quanta)) * m->quantum - 1;
	error = vmem_xfree_part(m->vm, first, last - first + 1, VM_NOSLEEP);
	if (m->dry && error == ENOMEM)
		return;
	assert_int_equal(error, 0);
	at = (int)seg_cut(m, (unsigned int)at, first, last);
	m->live += m->count - before;
	seg_free(m, (unsigned int)at);
	m->live--;
}

/* ---- the books ---------------------------------------------------------- */

static void
check_books(struct model *m)
{
	uint64_t inuse = 0, free = 0, largest = 0;
	const char *why = NULL;

	for (unsigned int i = 0; i < m->count; i++) {
		uint64_t size = seg_size(&m->seg[i]);

		if (m->seg[i].busy)
			inuse += size;
		else {
			free += size;
			largest = size > largest ? size : largest;
		}
	}
	assert_true(vmem_size(m->vm, VMEM_ALLOC) == inuse);
	assert_true(vmem_size(m->vm, VMEM_FREE) == free);
	assert_true(vmem_size(m->vm, VMEM_MAXFREE) == largest);
	if (vmem_check_why(m->vm, &why) != 0)
		fail_msg("vmem_check: %s", why);
}

static void
check_list(struct model *m)
{
	struct vmem_seg segs[7];
	vmem_addr_t cursor = VMEM_ADDR_MIN;
	unsigned int at = 0;
	bool more = true;

	while (more) {
		size_t n = vmem_walk_from(m->vm, VMEM_ALLOC | VMEM_FREE,
		    &cursor, segs, 7, &more);

		for (size_t i = 0; i < n; i++, at++) {
			assert_true(at < m->count);
			assert_true(segs[i].seg_addr == m->seg[at].first);
			assert_true(segs[i].seg_size == seg_size(&m->seg[at]));
			assert_int_equal(segs[i].seg_type,
			    m->seg[at].busy ? VMEM_ALLOC : VMEM_FREE);
		}
	}
	assert_int_equal(at, m->count);
}

/* All calls for memory for tags fail from now on, or none does. */
static void
step_drought(struct model *m)
{
	m->dry = !m->dry;
	pool_inject(0, m->dry ? UINT64_MAX : 0, rng_below(&m->rng, 2) == 0);
}

struct span {
	uint64_t first, last;
};

static struct model m;

static void
run(uint64_t quantum, const struct span *spans, unsigned int nspans,
    bool droughts)
{
	m = (struct model) { .quantum = quantum };
	rng_init(&m.rng, ref_seed);
	m.vm = vmem_create(
	    "edges", 0, 0, quantum, NULL, NULL, NULL, 0, VM_SLEEP);
	assert_non_null(m.vm);
	for (unsigned int i = 0; i < nspans; i++) {
		assert_int_equal(vmem_add(m.vm, spans[i].first,
		    spans[i].last - spans[i].first + 1, VM_NOSLEEP), 0);
		seg_insert(&m, i, (struct seg) { .first = spans[i].first,
		    .last = spans[i].last, .begins_span = true });
	}
	for (uint64_t i = 0; i < ref_steps; i++) {
		uint64_t what = rng_below(&m.rng, 100);

		if (droughts && rng_below(&m.rng, 200) == 0)
			step_drought(&m);
		if (what >= 60 || m.live >= LIVE_MAX) {
			if (what % 5 == 0)
				step_free_part(&m);
			else
				step_free(&m);
		} else if (what < 52)
			step_alloc(&m);
		else
			step_alloc_at(&m);
		check_books(&m);
		if (i % 16 == 0)
			check_list(&m);
	}
	vmem_xfreeall(m.vm);
	assert_true(vmem_size(m.vm, VMEM_ALLOC) == 0);
	assert_int_equal(vmem_check(m.vm), 0);
	vmem_destroy(m.vm);
	pool_inject(0, 0, false);
}

/* All that there is but one: the size of all of it is no 64-bit number. */
static void
test_all_addresses(void **state)
{
	static const struct span low[] = { { 0, TOP - 1 } };
	static const struct span high[] = { { 1, TOP } };
	static const struct span pages[] = { { 0x100000, TOP } };

	(void)state;
	run(1, low, 1, false);
	run(1, high, 1, false);
	run(0x100000, pages, 1, false);
}

/* Spans that touch each other, at both ends and in the middle. */
static void
test_spans_that_touch(void **state)
{
	static const uint64_t half = UINT64_C(1) << 63;
	const struct span spans[] = { { 0, 0xfffff },
		{ 0x100000, 0xffffff }, { half - 0x10000, half - 1 },
		{ half, half + 0xffff }, { TOP - 0xffff, TOP - 0xf000 },
		{ TOP - 0xefff, TOP } };

	(void)state;
	run(1, spans, 6, false);
	run(16, spans, 4, false);
}

/* The least there can be. */
static void
test_few_quanta(void **state)
{
	static const uint64_t half = UINT64_C(1) << 63;
	const struct span ends[] = { { 0, 40 }, { TOP - 40, TOP } };
	const struct span halves[] = { { half, TOP } };

	(void)state;
	run(1, ends, 2, false);
	run(half, halves, 1, false);
	run(UINT64_C(1) << 58, halves, 1, false);
}

/* Memory for tags runs out, and comes back: what is refused changes nothing,
 * nothing is lost, and strays are found. */
static void
test_droughts(void **state)
{
	static const struct span pages[] = { { 0x100000, TOP } };
	static const struct span bytes[] = { { 0, 0xffff }, { 0x10000, TOP - 1 } };
	(void)state;
	run(0x100000, pages, 1, true);
	printf("%llu refused, %llu had again\n",
	    (unsigned long long)m.refused, (unsigned long long)m.again);
	run(1, bytes, 2, true);
	printf("%llu refused, %llu had again\n",
	    (unsigned long long)m.refused, (unsigned long long)m.again);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_addresses),
		cmocka_unit_test(test_spans_that_touch),
		cmocka_unit_test(test_few_quanta),
		cmocka_unit_test(test_droughts),
	};

	ref_options(20000);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
