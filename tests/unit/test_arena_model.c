/*
 * Goal: every strategy and constraint gives what it promises, keeps the books
 * right, and refuses only what can't be had; near 0 and near 2^64-1 too.
 * Method: random operations on a small arena, beside a naive model that knows
 * of each quantum whether it is taken; what fits is found by trying every
 * address.  The arena's own checker runs after each step.
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

#define QUANTA 256
#define SPANS_MAX 8

struct model {
	vmem_t *vm;
	uint64_t base;		/* of quantum 0 */
	uint64_t quantum;
	vm_flag_t policy;	/* the arena's own */
	uint64_t state[QUANTA];	/* 0: no span; 1: free; else the owner + 2 */
	unsigned int span[QUANTA]; /* which span it is in, from 1 on */
	unsigned int nspans;
	uint64_t owners;	/* ids given so far */
	uint64_t cursor;	/* after the last range handed out */
	uint64_t cursor_next;	/* after the last one by next fit */
	struct rng rng;
};

static uint64_t
addr_of(const struct model *m, unsigned int q)
{
	return (m->base + q * m->quantum);
}

static unsigned int
quantum_of(const struct model *m, uint64_t addr)
{
	assert_int_equal((addr - m->base) % m->quantum, 0);
	return ((unsigned int)((addr - m->base) / m->quantum));
}

/* May the request be put at quantum q?  Sums in 128 bits, so that nothing
 * wraps. */
static bool
may_be_at(const struct model *m, const struct ref_request *r, unsigned int q)
{
	unsigned int n =
	    (unsigned int)((r->size + m->quantum - 1) / m->quantum);
	unsigned __int128 a = addr_of(m, q);
	unsigned __int128 last = a + (unsigned __int128)n * m->quantum - 1;

	if (q + n > QUANTA || a < r->min || last > r->max)
		return (false);
	for (unsigned int i = q; i < q + n; i++)
		if (m->state[i] != 1 || m->span[i] != m->span[q])
			return (false);
	if (r->align != 0 && (uint64_t)(a - r->phase) % r->align != 0)
		return (false);
	return (r->nocross == 0 || a / r->nocross == last / r->nocross);
}

/* The size in quanta of the free segment around q. */
static unsigned int
segment_around(const struct model *m, unsigned int q)
{
	unsigned int lo = q, hi = q;

	while (lo > 0 && m->state[lo - 1] == 1 && m->span[lo - 1] == m->span[q])
		lo--;
	while (hi + 1 < QUANTA && m->state[hi + 1] == 1 &&
	    m->span[hi + 1] == m->span[q])
		hi++;
	return (hi - lo + 1);
}

/* The first place from `from` on, else from the start. */
static unsigned int
next_place(const struct model *m, const struct ref_request *r, uint64_t from)
{
	unsigned int i;

	for (i = 0; i < QUANTA; i++)
		if (addr_of(m, i) >= from && may_be_at(m, r, i))
			return (i);
	for (i = 0; i < QUANTA && !may_be_at(m, r, i); i++)
		continue;
	return (i);
}

/*
 * So many segments that are large enough disappoint that the strategy may have
 * looked at no more: test_arena_edges knows what it does then.
 */
static bool
may_give_up(const struct model *m, const struct ref_request *r)
{
	uint64_t n = (r->size + m->quantum - 1) / m->quantum;
	unsigned int looks = 0, i, len;
	bool fits;

	for (i = 0; i < QUANTA; i += len) {
		len = 1;
		if (m->state[i] != 1)
			continue;
		len = segment_around(m, i);
		fits = false;
		for (unsigned int j = i; j < i + len; j++)
			fits = fits || may_be_at(m, r, j);
		looks += len >= n && !fits;
	}
	return (looks >= (r->policy == VM_INSTANTFIT ? INSTANT_LOOKS :
						       FIT_LOOKS));
}

/* What the strategy promises of the place that it chose. */
static void
check_choice(const struct model *m, const struct ref_request *r, unsigned int q)
{
	unsigned int mine = segment_around(m, q);

	assert_true(may_be_at(m, r, q));
	if (may_give_up(m, r))
		return;
	if (r->policy == VM_NEXTFIT)
		assert_true(q == next_place(m, r, m->cursor) ||
		    q == next_place(m, r, m->cursor_next));
	for (unsigned int i = 0; i < QUANTA; i++) {
		if (!may_be_at(m, r, i))
			continue;
		if (r->policy == VM_FIRSTFIT)
			assert_true(i >= q);
		if (r->policy == VM_LASTFIT)
			assert_true(i <= q);
		if (r->policy == VM_BESTFIT)
			assert_true(segment_around(m, i) >= mine);
	}
}

static bool
possible(const struct model *m, const struct ref_request *r)
{
	for (unsigned int i = 0; i < QUANTA; i++)
		if (may_be_at(m, r, i))
			return (true);
	return (false);
}

static void
take(struct model *m, unsigned int q, uint64_t size)
{
	unsigned int n = (unsigned int)((size + m->quantum - 1) / m->quantum);
	uint64_t id = 2 + m->owners++;

	for (unsigned int i = q; i < q + n; i++)
		m->state[i] = id;
}

/* One allocation at random: its first quantum and length; 0 if there's none. */
static unsigned int
pick(struct model *m, unsigned int *firstp)
{
	unsigned int q = (unsigned int)rng_below(&m->rng, QUANTA), n = 1;

	for (unsigned int i = 0; i < QUANTA && m->state[q] < 2; i++)
		q = (q + 1) % QUANTA;
	if (m->state[q] < 2)
		return (0);
	while (q > 0 && m->state[q - 1] == m->state[q])
		q--;
	while (q + n < QUANTA && m->state[q + n] == m->state[q])
		n++;
	*firstp = q;
	return (n);
}

static struct ref_request
random_request(struct model *m)
{
	static const vm_flag_t policies[] = { 0, VM_INSTANTFIT, VM_BESTFIT,
		VM_FIRSTFIT, VM_NEXTFIT, VM_LASTFIT };
	struct ref_request r = { .max = VMEM_ADDR_MAX };
	uint64_t top = addr_of(m, QUANTA - 1) + (m->quantum - 1);

	r.size = 1 + rng_below(&m->rng, m->quantum * 24);
	if (rng_below(&m->rng, 20) == 0)
		r.size = m->quantum * (1 + rng_below(&m->rng, QUANTA));
	r.policy = policies[rng_below(&m->rng, 6)];
	if (rng_below(&m->rng, 3) == 0) {
		r.align = UINT64_C(1) << rng_below(&m->rng, 16);
		if (r.align > m->quantum && rng_below(&m->rng, 2) == 0)
			r.phase = rng_below(&m->rng, r.align / m->quantum) *
			    m->quantum;
	}
	if (rng_below(&m->rng, 4) == 0)
		for (r.nocross = m->quantum; r.nocross < r.size;)
			r.nocross *= 2;
	if (rng_below(&m->rng, 3) == 0) {
		r.min = m->base + rng_below(&m->rng, top - m->base);
		r.max = r.min + rng_below(&m->rng, top - r.min + 1);
	}
	return (r);
}

static void
step_alloc(struct model *m)
{
	struct ref_request r = random_request(m);
	bool plain = r.align == 0 && r.nocross == 0 && r.min == 0 &&
	    r.max == VMEM_ADDR_MAX && rng_below(&m->rng, 2) == 0;
	uint64_t addr;
	int error = plain ?
	    vmem_alloc(m->vm, r.size, VM_NOSLEEP | r.policy, &addr) :
	    vmem_xalloc(m->vm, r.size, r.align, r.phase, r.nocross, r.min,
		r.max, VM_NOSLEEP | r.policy, &addr);

	if (r.policy == 0)
		r.policy = m->policy != 0 ? m->policy : VM_INSTANTFIT;
	if (error != 0) {
		assert_true(error == ENOMEM || error == EINVAL);
		assert_true(!possible(m, &r) || may_give_up(m, &r));
		return;
	}
	check_choice(m, &r, quantum_of(m, addr));
	take(m, quantum_of(m, addr), r.size);
	m->cursor = addr + (uint64_t)ref_size(&r, m->quantum);
	if (r.policy == VM_NEXTFIT)
		m->cursor_next = m->cursor;
}

static void
step_alloc_at(struct model *m)
{
	unsigned int q = (unsigned int)rng_below(&m->rng, QUANTA);
	struct ref_request r = { .size = 1 + rng_below(&m->rng, m->quantum * 20),
		.max = VMEM_ADDR_MAX };
	unsigned int n = (unsigned int)((r.size + m->quantum - 1) / m->quantum);
	int error = vmem_xalloc_addr(m->vm, addr_of(m, q), r.size, VM_NOSLEEP);

	if (q + n <= QUANTA)
		assert_int_equal(error == 0, may_be_at(m, &r, q));
	else
		assert_true(error == ENOMEM || error == EINVAL);
	if (error == 0)
		take(m, q, r.size);
}

static void
step_free(struct model *m)
{
	unsigned int q, n = pick(m, &q);

	if (n == 0)
		return;
	vmem_xfree(m->vm, addr_of(m, q), n * m->quantum);
	for (unsigned int i = q; i < q + n; i++)
		m->state[i] = 1;
}

static void
step_free_part(struct model *m)
{
	unsigned int q, n = pick(m, &q), from, len;

	if (n == 0)
		return;
	from = (unsigned int)rng_below(&m->rng, n);
	len = 1 + (unsigned int)rng_below(&m->rng, n - from);
	assert_int_equal(vmem_xfree_part(m->vm, addr_of(m, q + from),
			     len * m->quantum, VM_NOSLEEP),
	    0);
	for (unsigned int i = q + from; i < q + from + len; i++)
		m->state[i] = 1;
	/* What stays above is another allocation now. */
	m->owners++;
	for (unsigned int i = q + from + len; i < q + n; i++)
		m->state[i] = 1 + m->owners;
}

static void
add(struct model *m, unsigned int q, unsigned int n)
{
	bool taken = false;
	unsigned int i;

	for (i = q; i < q + n; i++)
		taken = taken || m->state[i] != 0;
	assert_int_equal(
	    vmem_add(m->vm, addr_of(m, q), n * m->quantum, VM_NOSLEEP),
	    taken ? EINVAL : 0);
	if (taken)
		return;
	m->nspans++;
	for (i = q; i < q + n; i++) {
		m->state[i] = 1;
		m->span[i] = m->nspans;
	}
}

static void
step_add(struct model *m)
{
	unsigned int q = (unsigned int)rng_below(&m->rng, QUANTA);
	unsigned int n = 1 + (unsigned int)rng_below(&m->rng, 64);

	if (q + n <= QUANTA && m->nspans < SPANS_MAX)
		add(m, q, n);
}

static void
check_books(struct model *m)
{
	uint64_t inuse = 0, free = 0, largest = 0;
	const char *why = NULL;

	for (unsigned int i = 0; i < QUANTA; i++) {
		inuse += m->state[i] >= 2 ? m->quantum : 0;
		free += m->state[i] == 1 ? m->quantum : 0;
		if (m->state[i] == 1 &&
		    segment_around(m, i) * m->quantum > largest)
			largest = segment_around(m, i) * m->quantum;
	}
	assert_int_equal(vmem_size(m->vm, VMEM_ALLOC), inuse);
	assert_int_equal(vmem_size(m->vm, VMEM_FREE), free);
	assert_int_equal(vmem_size(m->vm, VMEM_MAXFREE), largest);
	if (vmem_check_why(m->vm, &why) != 0)
		fail_msg("vmem_check: %s", why);
}

/* The walk shows just what the model holds, in order. */
static void
check_walk(struct model *m)
{
	struct vmem_seg segs[3];
	vmem_addr_t cursor = VMEM_ADDR_MIN;
	unsigned int q = 0;
	bool more = true;

	while (more) {
		size_t n = vmem_walk_from(m->vm, VMEM_ALLOC | VMEM_FREE,
		    &cursor, segs, 3, &more);

		for (size_t i = 0; i < n; i++) {
			unsigned int at = quantum_of(m, segs[i].seg_addr);
			uint64_t len = segs[i].seg_size / m->quantum;

			for (; q < at; q++)
				assert_int_equal(m->state[q], 0);
			for (; q < at + len; q++)
				assert_int_equal(m->state[q] >= 2 ?
					VMEM_ALLOC :
					VMEM_FREE,
				    segs[i].seg_type);
		}
	}
	for (; q < QUANTA; q++)
		assert_int_equal(m->state[q], 0);
}

static void
run_model(uint64_t base, uint64_t quantum, vm_flag_t policy)
{
	static struct model m;

	m = (struct model) { .base = base, .quantum = quantum,
		.policy = policy };
	rng_init(&m.rng, ref_seed);
	m.vm = vmem_create("model", 0, 0, quantum, NULL, NULL, NULL, 0,
	    VM_SLEEP | policy);
	assert_non_null(m.vm);
	/* The first and the last address are what this is about. */
	add(&m, 0, 24);
	add(&m, QUANTA - 24, 24);
	for (uint64_t i = 0; i < ref_steps; i++) {
		uint64_t what = rng_below(&m.rng, 100);

		if (what < 45)
			step_alloc(&m);
		else if (what < 50)
			step_alloc_at(&m);
		else if (what < 85)
			step_free(&m);
		else if (what < 97)
			step_free_part(&m);
		else
			step_add(&m);
		check_books(&m);
		if (i % 64 == 0)
			check_walk(&m);
	}
	vmem_xfreeall(m.vm);
	assert_int_equal(vmem_size(m.vm, VMEM_ALLOC), 0);
	assert_int_equal(vmem_check(m.vm), 0);
	vmem_destroy(m.vm);
}

static void
test_near_zero(void **state)
{
	(void)state;
	run_model(0, 4096, 0);
	run_model(0, 1, VM_BESTFIT);
}

static void
test_near_the_top(void **state)
{
	(void)state;
	run_model(0 - (uint64_t)QUANTA * 4096, 4096, 0);
	run_model(0 - (uint64_t)QUANTA, 1, VM_NEXTFIT);
}

static void
test_in_the_middle(void **state)
{
	(void)state;
	run_model(UINT64_C(0x7f0000000000), 8, VM_FIRSTFIT);
	run_model((UINT64_C(1) << 63) - 128 * 64, 64, VM_LASTFIT);
}

/* The large segments' tree, and bins beyond the exact ones: sizes of up to
 * 2^40 quanta, against sums alone. */
static void
test_large_segments(void **state)
{
	enum { LIVE = 512 };
	static struct { uint64_t addr, size; } live[LIVE];
	struct rng rng;
	uint64_t inuse = 0;
	vmem_t *vm = vmem_create("large", 0, UINT64_C(1) << 60, 1, NULL, NULL,
	    NULL, 0, VM_SLEEP);

	(void)state;
	assert_non_null(vm);
	memset(live, 0, sizeof(live));
	rng_init(&rng, ref_seed);
	for (uint64_t i = 0; i < ref_steps * 2; i++) {
		unsigned int k = (unsigned int)rng_below(&rng, LIVE);

		if (live[k].size != 0) {
			vmem_xfree(vm, live[k].addr, live[k].size);
			inuse -= live[k].size;
		}
		live[k].size = 1 + (rng_next(&rng) >> (24 + rng_below(&rng, 36)));
		assert_int_equal(vmem_xalloc(vm, live[k].size, 0, 0, 0, 0,
				     VMEM_ADDR_MAX, VM_NOSLEEP, &live[k].addr),
		    0);
		inuse += live[k].size;
		assert_int_equal(vmem_size(vm, VMEM_ALLOC), inuse);
		assert_int_equal(vmem_check(vm), 0);
	}
	vmem_xfreeall(vm);
	assert_int_equal(vmem_size(vm, VMEM_MAXFREE), UINT64_C(1) << 60);
	vmem_destroy(vm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_near_zero),
		cmocka_unit_test(test_near_the_top),
		cmocka_unit_test(test_in_the_middle),
		cmocka_unit_test(test_large_segments),
	};

	ref_options(20000);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
