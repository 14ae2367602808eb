/*
 * Goal: arenas that import from each other, with caches, large imports,
 * sources that give more than asked or fail now and then, and limits: nothing
 * is handed out twice or lost, a span that is wholly free goes back, and
 * nothing is refused that any of them could give.
 * Method: random operations on the leaf of a small tree of arenas, beside an
 * array that knows of each unit whether it is taken.  A refusal is held
 * against the free segments of all arenas, tried one by one (reference.h).
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
#define LIVE_MAX 80
#endif
#define UNITS 2048	/* of the root: in the leaf's quanta */
#define BASE UINT64_C(0x10000)
#define TOP VMEM_ADDR_MAX

struct live {
	uint64_t addr, size;
	bool cached;		/* from vmem_alloc() */
};

struct tree {
	vmem_t *root, *mid, *leaf; /* mid: NULL if there are two only */
	uint64_t quantum;	/* of the leaf */
	uint64_t root_quantum;
	uint64_t qcache_max;
	vm_flag_t flags;	/* of the leaf */
	bool exact;		/* a refusal means that there is none */
	uint64_t limit;
	bool taken[UNITS];
	struct live live[LIVE_MAX];
	unsigned int count;
	struct rng rng;
};

static struct tree tr;

/* ---- sources that aren't plain ------------------------------------------ */

static unsigned int fail_one_in;

static int
moody_import(void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp)
{
	if (fail_one_in != 0 && rng_below(&tr.rng, fail_one_in) == 0)
		return (ENOMEM);
	return (vmem_alloc_import(src, size, flags, addrp));
}

/* More than was asked for, sometimes. */
static int
generous_import(void *src, vmem_size_t size, vmem_size_t *actual,
    vm_flag_t flags, vmem_addr_t *addrp)
{
	uint64_t more = size + rng_below(&tr.rng, 8) * tr.root_quantum;

	more = (more + tr.root_quantum - 1) & ~(tr.root_quantum - 1);
	if (vmem_alloc_import(src, more, flags, addrp) == 0) {
		*actual = more;
		return (0);
	}
	*actual = (size + tr.root_quantum - 1) & ~(tr.root_quantum - 1);
	return (vmem_alloc_import(src, *actual, flags, addrp));
}

/* ---- the array ---------------------------------------------------------- */

static void
take(uint64_t addr, uint64_t size)
{
	for (uint64_t u = (addr - BASE) / tr.quantum;
	     u < (addr - BASE + size) / tr.quantum; u++) {
		assert_true(u < UNITS);
		assert_false(tr.taken[u]);
		tr.taken[u] = true;
	}
}

static void
give(uint64_t addr, uint64_t size)
{
	for (uint64_t u = (addr - BASE) / tr.quantum;
	     u < (addr - BASE + size) / tr.quantum; u++) {
		assert_true(tr.taken[u]);
		tr.taken[u] = false;
	}
}

static struct ref_request
any_request(void)
{
	static const vm_flag_t policies[] = { 0, 0, 0, VM_BESTFIT, VM_FIRSTFIT,
		VM_NEXTFIT, VM_LASTFIT };
	struct ref_request r = { .size = 1 + rng_below(&tr.rng,
		tr.quantum * (rng_below(&tr.rng, 8) == 0 ? 400 : 24)),
		.max = TOP };
	uint64_t width = UNITS * tr.quantum;

	r.policy = policies[rng_below(&tr.rng, 7)];
	if (rng_below(&tr.rng, 4) == 0) {
		r.align = tr.quantum << rng_below(&tr.rng, 7);
		r.phase = rng_below(&tr.rng, r.align / tr.quantum) *
		    tr.quantum;
	}
	if (rng_below(&tr.rng, 6) == 0)
		for (r.nocross = tr.quantum; r.nocross < r.size;)
			r.nocross *= 2;
	if (rng_below(&tr.rng, 5) == 0) {
		r.min = BASE + rng_below(&tr.rng, width);
		r.max = r.min + rng_below(&tr.rng, width);
	}
	return (r);
}

static bool
is_plain(const struct ref_request *r)
{
	return ((r->align | r->phase | r->nocross | r->min) == 0 &&
	    r->max == TOP);
}

/* Could an arena give it out of one of its free segments? */
struct question {
	const struct ref_request *r;
	uint64_t quantum;
	unsigned int looks;	/* segments that are large enough */
	bool yes;
};

static int
ask(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	struct question *q = arg;
	uint64_t at;

	q->looks += size >= q->r->size;
	q->yes = q->yes ||
	    ref_lowest(q->r, q->quantum, addr, addr + size - 1, &at);
	return (0);
}

static bool
could_give(vmem_t *vm, uint64_t quantum, const struct ref_request *r)
{
	struct ref_request whole = *r;
	struct question q = { .r = &whole, .quantum = quantum };

	whole.size = (uint64_t)ref_size(r, quantum);
	if (ref_invalid(&whole, quantum))
		return (false);
	vmem_walk(vm, VMEM_FREE, ask, &q);
	/* It may not have looked at more (vmem.h, VMEM_LOOKS_MAX): the models of
	 * one arena know what it does then. */
	return (q.yes && (is_plain(r) ||
		(q.looks <= INSTANT_LOOKS && q.looks <= FIT_LOOKS)));
}

/* A refusal is right if none of the arenas could have done it.  What the
 * limit, a mood or a coarser quantum's constraints forbid can't be told; then
 * only what the leaf has itself counts. */
static void
check_refusal(const struct ref_request *r)
{
	bool ask_sources = tr.exact && tr.limit == 0 && fail_one_in == 0 &&
	    (is_plain(r) || tr.root_quantum == tr.quantum);
	uint64_t inuse;

	/* Caches are emptied before anything is refused. */
	inuse = vmem_size(tr.leaf, VMEM_ALLOC);
	vmem_reap(tr.leaf);
	assert_int_equal(vmem_size(tr.leaf, VMEM_ALLOC), inuse);
	assert_false(could_give(tr.leaf, tr.quantum, r));
	if (!ask_sources)
		return;
	if (tr.mid != NULL)
		assert_false(could_give(tr.mid, tr.root_quantum, r));
	assert_false(could_give(tr.root, tr.root_quantum, r));
}

/* ---- steps -------------------------------------------------------------- */

static void
step_alloc(void)
{
	struct ref_request r = any_request();
	struct live *lv = &tr.live[tr.count];
	uint64_t at;
	int error;

	lv->cached = is_plain(&r) && rng_below(&tr.rng, 4) != 0;
	lv->size = (uint64_t)ref_size(&r, tr.quantum);
	if (lv->cached)
		error = vmem_alloc(
		    tr.leaf, r.size, VM_NOSLEEP | r.policy, &lv->addr);
	else
		error = vmem_xalloc(tr.leaf, r.size, r.align, r.phase,
		    r.nocross, r.min, r.max, VM_NOSLEEP | r.policy, &lv->addr);
	assert_int_equal(error == EINVAL, ref_invalid(&r, tr.quantum));
	if (error == 0) {
		assert_true(ref_lowest(&r, tr.quantum, lv->addr,
		    lv->addr + (lv->size - 1), &at));
		assert_true(vmem_contains(tr.leaf, lv->addr, lv->size));
		take(lv->addr, lv->size);
		tr.count++;
	} else if (error != EINVAL)
		check_refusal(&r);
}

static void
step_free(void)
{
	unsigned int i;
	struct live lv;

	if (tr.count == 0)
		return;
	i = (unsigned int)rng_below(&tr.rng, tr.count);
	lv = tr.live[i];
	tr.live[i] = tr.live[--tr.count];
	give(lv.addr, lv.size);
	if (lv.cached)
		vmem_free(tr.leaf, lv.addr, lv.size);
	else
		vmem_xfree(tr.leaf, lv.addr, lv.size);
}

static void
step_limit(void)
{
	tr.limit = rng_below(&tr.rng, 2) == 0 ?
	    0 :
	    rng_below(&tr.rng, UNITS) * tr.quantum;
	vmem_set_limit(tr.leaf, tr.limit);
}

/* ---- the books ---------------------------------------------------------- */

/* Every span of the leaf has something in it, once the caches are empty. */
static int
span_is_used(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	uint64_t from = (addr - BASE) / tr.quantum, used = 0;

	(void)arg;
	for (uint64_t u = from; u < from + size / tr.quantum; u++)
		used += tr.taken[u];
	assert_true(used > 0);
	return (0);
}

static void
check_books(void)
{
	vmem_t *source = tr.mid != NULL ? tr.mid : tr.root;
	struct vmem_stat vs;
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < tr.count; i++)
		bytes += tr.live[i].size;
	vmem_stat(tr.leaf, &vs);
	assert_true(vs.vs_inuse == bytes + vs.vs_qc_held_bytes);
	assert_true(vs.vs_size == vmem_size(source, VMEM_ALLOC));
	assert_int_equal(vmem_check(tr.leaf), 0);
	if (tr.mid != NULL) {
		assert_int_equal(vmem_check(tr.mid), 0);
		assert_true(vmem_size(tr.mid, VMEM_ALLOC | VMEM_FREE) ==
		    vmem_size(tr.root, VMEM_ALLOC));
	}
}

static void
check_all(void)
{
	vmem_reap(tr.leaf);
	vmem_walk(tr.mid != NULL ? tr.mid : tr.root, VMEM_ALLOC, span_is_used,
	    NULL);
	assert_int_equal(vmem_check(tr.root), 0);
}

static void
tree_run(void)
{
	rng_init(&tr.rng, ref_seed);
	for (uint64_t i = 0; i < ref_steps; i++) {
		uint64_t what = rng_below(&tr.rng, 1000);

		if (what < 550 && tr.count < LIVE_MAX)
			step_alloc();
		else if (what < 990)
			step_free();
		else if (what < 994)
			step_limit();
		else if (what < 996)
			vmem_tick();
		else
			check_all();
		check_books();
	}
	while (tr.count > 0)
		step_free();
	vmem_destroy(tr.leaf);
	vmem_destroy(tr.mid);
	assert_true(vmem_size(tr.root, VMEM_MAXFREE) == UNITS * tr.quantum);
	vmem_destroy(tr.root);
}

/* ---- the trees ---------------------------------------------------------- */

static void
tree_root(uint64_t quantum, uint64_t root_quantum)
{
	tr = (struct tree) { .quantum = quantum,
		.root_quantum = root_quantum, .exact = true };
	fail_one_in = 0;
	tr.root = vmem_create("root", BASE, UNITS * quantum, root_quantum,
	    NULL, NULL, NULL, 0, VM_SLEEP);
	assert_non_null(tr.root);
}

static void
tree_leaf(vmem_import_t *import, vmem_t *source, uint64_t qcache_max,
    vm_flag_t flags)
{
	tr.leaf = vmem_create("leaf", 0, 0, tr.quantum, import,
	    vmem_free_release, source, qcache_max, VM_SLEEP | flags);
	assert_non_null(tr.leaf);
	tree_run();
}

static void
test_one_quantum(void **state)
{
	(void)state;
	tree_root(4096, 4096);
	tree_leaf(vmem_alloc_import, tr.root, 0, 0);
	tree_root(16, 16);
	tree_leaf(vmem_alloc_import, tr.root, 0, VM_NEXTFIT);
}

static void
test_coarser_source(void **state)
{
	(void)state;
	tree_root(8, 64);
	tree_leaf(vmem_alloc_import, tr.root, 0, 0);
	tree_root(8, 64);
	tree_leaf(vmem_alloc_import, tr.root, 0, VM_LARGEIMPORT | VM_BESTFIT);
}

static void
test_large_import(void **state)
{
	(void)state;
	tree_root(4096, 4096);
	tree_leaf(vmem_alloc_import, tr.root, 0, VM_LARGEIMPORT);
}

static void
test_generous_source(void **state)
{
	(void)state;
	tree_root(16, 64);
	tr.exact = false; /* it may give more than fits beside the rest */
	tr.leaf = vmem_xcreate("leaf", 0, 0, 16, generous_import,
	    vmem_free_release, tr.root, 0, VM_SLEEP);
	assert_non_null(tr.leaf);
	tree_run();
}

static void
test_moody_source(void **state)
{
	(void)state;
	tree_root(4096, 4096);
	fail_one_in = 3;
	tree_leaf(moody_import, tr.root, 0, VM_LARGEIMPORT);
	tree_root(4096, 4096);
	fail_one_in = 3;
	tree_leaf(moody_import, tr.root, 8 * 4096, VM_CHECK);
}

static void
test_caches(void **state)
{
	(void)state;
	tree_root(4096, 4096);
	tree_leaf(vmem_alloc_import, tr.root, 16 * 4096, 0);
	tree_root(4096, 4096);
	tree_leaf(vmem_alloc_import, tr.root, 16 * 4096, VM_CHECK);
	tree_root(8, 128);
	tree_leaf(vmem_alloc_import, tr.root, 40 * 8, VM_LARGEIMPORT);
}

static void
test_three_levels(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		tree_root(4096, 4096);
		tr.mid = vmem_create("mid", 0, 0, 4096, vmem_alloc_import,
		    vmem_free_release, tr.root, 0,
		    VM_SLEEP | (i == 0 ? 0 : VM_LARGEIMPORT));
		assert_non_null(tr.mid);
		tree_leaf(vmem_alloc_import, tr.mid, i * 8 * 4096, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_quantum),
		cmocka_unit_test(test_coarser_source),
		cmocka_unit_test(test_large_import),
		cmocka_unit_test(test_generous_source),
		cmocka_unit_test(test_moody_source),
		cmocka_unit_test(test_caches),
		cmocka_unit_test(test_three_levels),
	};

	ref_options(10000);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
