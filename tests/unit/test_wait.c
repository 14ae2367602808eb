/*
 * Goal: who waits is served: in order, by whoever frees, in child arenas too;
 * deadlines and cancellation lose nothing; nobody is woken for nothing.
 * Method: requests of the host's kind where the order can be seen, threads that
 * sleep where it can't; a thousand sleepers over an arena kept full.  Nothing
 * is timed: what must not happen is looked for in counters.
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
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <vmem.h>

#include "util/clock.h"
#include "util/rng.h"

#define PAGE 4096u

struct waiter {
	struct vmem_request vr;
	vmem_addr_t addrs[8];
	unsigned int granted;	/* place in the order of grants, from 1 on */
};

static unsigned int grants;

static void
granted(struct vmem_request *vr, int error)
{
	struct waiter *w = vr->vr_arg;

	assert_int_equal(error, 0);
	assert_int_equal(w->granted, 0);
	w->granted = ++grants;
}

static int
submit(vmem_t *vm, struct waiter *w, vmem_size_t size, unsigned int count)
{
	*w = (struct waiter) { .vr = { .vr_size = size,
				   .vr_max = VMEM_ADDR_MAX,
				   .vr_count = count,
				   .vr_addrs = w->addrs,
				   .vr_done = granted,
				   .vr_arg = w } };
	return (vmem_submit(vm, &w->vr));
}

static vmem_t *
full_arena(unsigned int pages, vmem_addr_t *addrs)
{
	vmem_t *vm = vmem_create("full", 0, pages * PAGE, PAGE, NULL, NULL,
	    NULL, 0, VM_SLEEP);

	assert_non_null(vm);
	for (unsigned int i = 0; i < pages; i++)
		assert_int_equal(vmem_xalloc(vm, PAGE, 0, 0, 0, i * PAGE,
				     i * PAGE + PAGE - 1, VM_NOSLEEP,
				     &addrs[i]),
		    0);
	grants = 0;
	return (vm);
}

static void
finish(vmem_t *vm)
{
	struct vmem_stat vs;

	vmem_stat(vm, &vs);
	assert_int_equal(vs.vs_waiting, 0);
	vmem_xfreeall(vm);
	assert_int_equal(vmem_check(vm), 0);
	vmem_destroy(vm);
}

static void
test_first_come_first_served(void **state)
{
	struct waiter w[3];
	vmem_addr_t a[8];
	vmem_t *vm = full_arena(8, a);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(submit(vm, &w[i], PAGE, 1), EINPROGRESS);
	for (int i = 0; i < 3; i++) {
		vmem_xfree(vm, a[i], PAGE);
		assert_int_equal(w[i].granted, (unsigned int)i + 1);
		assert_int_equal(w[i].addrs[0], a[i]);
	}
	assert_int_equal(vmem_size(vm, VMEM_FREE), 0);
	finish(vm);
}

/* A large request waits on while a smaller one behind it is served, and gets
 * its turn when there is room. */
static void
test_large_holds_up_nobody(void **state)
{
	struct waiter large, small;
	vmem_addr_t a[8];
	vmem_t *vm = full_arena(8, a);

	(void)state;
	assert_int_equal(submit(vm, &large, 3 * PAGE, 1), EINPROGRESS);
	assert_int_equal(submit(vm, &small, PAGE, 1), EINPROGRESS);
	vmem_xfree(vm, a[0], PAGE);
	assert_int_equal(large.granted, 0);
	assert_int_equal(small.granted, 1);
	vmem_xfree(vm, a[4], PAGE);
	vmem_xfree(vm, a[5], PAGE);
	assert_int_equal(large.granted, 0);
	vmem_xfree(vm, a[6], PAGE);
	assert_int_equal(large.granted, 2);
	assert_int_equal(large.addrs[0], a[4]);
	finish(vm);
}

/* Smaller ones overtake it so many times, and then no more: not even who comes
 * when there is room. */
static void
test_large_is_overtaken_so_often(void **state)
{
	struct waiter large, small[3];
	vmem_addr_t a[8], b;
	vmem_t *vm = full_arena(8, a);

	(void)state;
	assert_int_equal(submit(vm, &large, 3 * PAGE, 1), EINPROGRESS);
	vmem_xfree(vm, a[0], PAGE);
	vmem_xfree(vm, a[2], PAGE);
	/* Half of them on arrival, half out of the queue. */
	for (int i = 0; i < VMEM_OVERTAKE_MAX / 2; i++) {
		assert_int_equal(submit(vm, &small[0], PAGE, 1), 0);
		assert_int_equal(submit(vm, &small[1], PAGE, 1), 0);
		assert_int_equal(submit(vm, &small[2], PAGE, 1), EINPROGRESS);
		assert_int_equal(vmem_cancel(vm, &small[2].vr), 0);
		vmem_xfree(vm, small[0].addrs[0], PAGE);
		vmem_xfree(vm, small[1].addrs[0], PAGE);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(submit(vm, &small[i], PAGE, 1), EINPROGRESS);
	assert_int_equal(vmem_alloc_until(vm, PAGE, VM_SLEEP,
	    &(struct timespec) { 0, 0 }, &b), ETIMEDOUT);
	vmem_xfree(vm, a[4], PAGE);
	assert_int_equal(grants, 0);
	assert_int_equal(vmem_size(vm, VMEM_FREE), 3 * PAGE);
	/* Who doesn't wait isn't held up. */
	assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &b), 0);
	vmem_free(vm, b, PAGE);
	vmem_xfree(vm, a[3], PAGE);
	assert_int_equal(large.granted, 1);
	assert_int_equal(large.addrs[0], a[2]);
	/* Then those behind it, in order. */
	assert_int_equal(small[0].granted, 2);
	assert_int_equal(small[1].granted, 0);
	vmem_xfreeall(vm);
	assert_int_equal(small[2].granted, 4);
	finish(vm);
}

/* When it leaves, those that it held up go on at once. */
static void
test_large_leaves(void **state)
{
	struct waiter large, small;
	vmem_addr_t a[8];
	vmem_t *vm = full_arena(8, a);

	(void)state;
	assert_int_equal(submit(vm, &large, 3 * PAGE, 1), EINPROGRESS);
	vmem_xfree(vm, a[0], PAGE);
	for (int i = 0; i < VMEM_OVERTAKE_MAX; i++) {
		assert_int_equal(submit(vm, &small, PAGE, 1), 0);
		vmem_xfree(vm, small.addrs[0], PAGE);
	}
	assert_int_equal(submit(vm, &small, PAGE, 1), EINPROGRESS);
	assert_int_equal(vmem_cancel(vm, &large.vr), 0);
	assert_int_equal(small.granted, 1);
	/* The next that is first can be overtaken as often as it was. */
	assert_int_equal(submit(vm, &large, 3 * PAGE, 1), EINPROGRESS);
	vmem_xfree(vm, small.addrs[0], PAGE);
	assert_int_equal(submit(vm, &small, PAGE, 1), 0);
	assert_int_equal(vmem_cancel(vm, &large.vr), 0);
	finish(vm);
}

static void
test_several_ranges_or_none(void **state)
{
	struct waiter many;
	vmem_addr_t a[8];
	vmem_t *vm = full_arena(8, a);

	(void)state;
	assert_int_equal(submit(vm, &many, PAGE, 3), EINPROGRESS);
	vmem_xfree(vm, a[1], PAGE);
	vmem_xfree(vm, a[3], PAGE);
	assert_int_equal(many.granted, 0);
	assert_int_equal(vmem_size(vm, VMEM_FREE), 2 * PAGE);
	vmem_xfree(vm, a[5], PAGE);
	assert_int_equal(many.granted, 1);
	assert_int_equal(vmem_size(vm, VMEM_FREE), 0);
	finish(vm);
}

/* A request for several that doesn't get all of them has had none: counters
 * know only of what was granted, and of what users freed. */
static void
test_several_ranges_count_once(void **state)
{
	struct waiter many;
	struct vmem_stat vs;
	vmem_addr_t a[8];
	vmem_t *vm = full_arena(8, a);

	(void)state;
	/* Two pages are free, and two ranges of two pages each fit. */
	vmem_xfree(vm, a[1], PAGE);
	vmem_xfree(vm, a[2], PAGE);
	vmem_xfree(vm, a[4], PAGE);
	vmem_xfree(vm, a[6], PAGE);
	assert_int_equal(submit(vm, &many, 2 * PAGE, 2), EINPROGRESS);
	vmem_xfree(vm, a[0], PAGE);
	assert_int_equal(many.granted, 0);
	vmem_stat(vm, &vs);
	assert_int_equal(vs.vs_allocs, 8);
	assert_int_equal(vs.vs_frees, 5);
	vmem_xfree(vm, a[5], PAGE);
	assert_int_equal(many.granted, 1);
	vmem_stat(vm, &vs);
	assert_int_equal(vs.vs_allocs, 10);
	assert_int_equal(vs.vs_frees, 6);
	assert_int_equal(vs.vs_allocs - vs.vs_frees, vs.vs_segments);
	finish(vm);
}

/* Hundreds that can't be met cost a free next to nothing. */
static void
test_hopeless_crowd_costs_nothing(void **state)
{
	enum { WAITERS = 200 };
	static struct waiter w[WAITERS];
	struct vmem_stat before, after;
	vmem_addr_t a[8];
	vmem_t *vm = full_arena(8, a);

	(void)state;
	for (unsigned int i = 0; i < WAITERS; i++)
		assert_int_equal(
		    submit(vm, &w[i], PAGE * (1 + i % 2), i % 4 == 2 ? 5 : 4),
		    EINPROGRESS);
	vmem_stat(vm, &before);
	vmem_xfree(vm, a[0], PAGE);
	vmem_xfree(vm, a[2], PAGE);
	vmem_xfree(vm, a[4], PAGE);
	vmem_stat(vm, &after);
	/* Three free pages are less than any of them wants. */
	assert_int_equal(after.vs_lookups, before.vs_lookups);
	/* Four free pages: the first gets its four. */
	vmem_xfree(vm, a[1], PAGE);
	assert_int_equal(w[0].granted, 1);
	for (unsigned int i = 1; i < WAITERS; i++)
		assert_int_equal(vmem_cancel(vm, &w[i].vr), 0);
	finish(vm);
}

/* A search looks at so many segments only; who waits is not kept waiting for
 * that, here or in the source. */
static void
test_who_waits_looks_at_all(void **state)
{
	enum { HALF = 8 * VMEM_LOOKS_MAX };
	static const vm_flag_t policies[] = { VM_INSTANTFIT, VM_BESTFIT,
		VM_FIRSTFIT, VM_NEXTFIT, VM_LASTFIT };
	vmem_t *vm = vmem_create("holes", 0, 2 * HALF * PAGE, PAGE, NULL, NULL,
	    NULL, 0, VM_SLEEP);
	vmem_t *child = vmem_create("child", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, vm, 0, VM_SLEEP);
	vmem_addr_t a;

	(void)state;
	assert_non_null(vm);
	assert_non_null(child);
	/* Free are pairs of pages, of which one alone is where it should be. */
	for (unsigned int i = 0; i < 2 * HALF; i += 4)
		assert_int_equal(vmem_xalloc_addr(vm,
		    (uint64_t)(i == HALF ? i + 2 : i) * PAGE, 2 * PAGE,
		    VM_NOSLEEP), 0);
	for (unsigned int i = 0; i < 5; i++) {
		vm_flag_t policy = policies[i];

		assert_int_equal(vmem_xalloc(vm, PAGE, HALF * PAGE, 0, 0, PAGE,
		    VMEM_ADDR_MAX, VM_NOSLEEP | policy, &a), ENOMEM);
		assert_int_equal(vmem_xalloc(vm, PAGE, HALF * PAGE, 0, 0, PAGE,
		    VMEM_ADDR_MAX, VM_SLEEP | policy, &a), 0);
		assert_int_equal(a, HALF * PAGE);
		vmem_xfree(vm, a, PAGE);
		assert_int_equal(vmem_xalloc(child, PAGE, HALF * PAGE, 0, 0,
		    PAGE, VMEM_ADDR_MAX, VM_SLEEP | policy, &a), 0);
		assert_int_equal(a, HALF * PAGE);
		vmem_xfree(child, a, PAGE);
	}
	vmem_destroy(child);
	finish(vm);
}

static void
test_hopeless_fails_at_once(void **state)
{
	struct waiter w;
	vmem_addr_t a[8], b;
	vmem_t *vm = full_arena(8, a);

	(void)state;
	assert_int_equal(submit(vm, &w, 9 * PAGE, 1), ENOMEM);
	assert_int_equal(submit(vm, &w, 3 * PAGE, 3), ENOMEM);
	assert_int_equal(submit(vm, &w, 0, 1), EINVAL);
	assert_int_equal(submit(vm, &w, PAGE, 0), EINVAL);
	assert_int_equal(vmem_alloc(vm, 9 * PAGE, VM_SLEEP, &b), ENOMEM);
	finish(vm);
}

static void
test_cancel(void **state)
{
	struct waiter w[2];
	vmem_addr_t a[8];
	vmem_t *vm = full_arena(8, a);

	(void)state;
	assert_int_equal(submit(vm, &w[0], PAGE, 1), EINPROGRESS);
	assert_int_equal(submit(vm, &w[1], PAGE, 1), EINPROGRESS);
	assert_int_equal(vmem_cancel(vm, &w[0].vr), 0);
	assert_int_equal(vmem_cancel(vm, &w[0].vr), ENOENT);
	vmem_xfree(vm, a[0], PAGE);
	assert_int_equal(w[0].granted, 0);
	assert_int_equal(w[1].granted, 1);
	assert_int_equal(vmem_cancel(vm, &w[1].vr), ENOENT);
	finish(vm);
}

/* From within a callback of the very attempt, that can't be. */
static struct waiter *cancelled;

static void
cancel_in_reclaim(void *arg, vmem_t *vm, vmem_size_t wanted, vmem_size_t align,
    vmem_addr_t minaddr, vmem_addr_t maxaddr)
{
	unsigned int *calls = arg;

	(void)align;
	(void)minaddr;
	(void)maxaddr;
	assert_int_equal(wanted, PAGE);
	/* The attempt on arrival is before it queues. */
	assert_int_equal(vmem_cancel(vm, &cancelled->vr),
	    ++*calls == 1 ? ENOENT : EDEADLK);
}

static void
test_cancel_from_callback(void **state)
{
	struct waiter w;
	unsigned int calls = 0;
	vmem_addr_t a[8];
	vmem_t *vm = full_arena(8, a);

	(void)state;
	cancelled = &w;
	vmem_set_reclaim(vm, cancel_in_reclaim, &calls);
	assert_int_equal(submit(vm, &w, PAGE, 1), EINPROGRESS);
	assert_int_equal(calls, 2);
	vmem_set_reclaim(vm, NULL, NULL);
	assert_int_equal(vmem_cancel(vm, &w.vr), 0);
	finish(vm);
}

/* PITFALLS 1.16: space freed in a source reaches sleepers two levels down. */
static void
test_pit_16_source_serves_children(void **state)
{
	vmem_addr_t a[8];
	vmem_t *root = full_arena(8, a), *mid, *leaf;
	struct waiter w;

	(void)state;
	mid = vmem_create("mid", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, root, 0, VM_SLEEP);
	leaf = vmem_create("leaf", 0, 0, 8, vmem_alloc_import,
	    vmem_free_release, mid, 0, VM_SLEEP);
	assert_int_equal(submit(leaf, &w, 24, 1), EINPROGRESS);
	vmem_xfree(root, a[2], PAGE);
	assert_int_equal(w.granted, 1);
	assert_int_equal(w.addrs[0], a[2]);
	vmem_xfree(leaf, w.addrs[0], 24);
	assert_int_equal(vmem_size(root, VMEM_FREE), PAGE);
	vmem_destroy(leaf);
	vmem_destroy(mid);
	finish(root);
}

static int
foreign_import(void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *ap)
{
	return (vmem_alloc_import(src, (size + PAGE - 1) & ~(PAGE - 1u), flags,
	    ap));
}

static void
test_upstream_of_a_foreign_import(void **state)
{
	vmem_addr_t a[8];
	vmem_t *root = full_arena(8, a), *vm;
	struct waiter w;

	(void)state;
	vm = vmem_create("foreign", 0, 0, PAGE, foreign_import,
	    vmem_free_release, root, 0, VM_SLEEP);
	assert_int_equal(vmem_set_upstream(root, vm), 0);
	assert_int_equal(vmem_set_upstream(vm, root), EINVAL); /* a cycle */
	assert_int_equal(vmem_set_upstream(root, NULL), 0);
	/* Unknown to it, the tick finds out. */
	assert_int_equal(submit(vm, &w, PAGE, 1), EINPROGRESS);
	vmem_xfree(root, a[0], PAGE);
	assert_int_equal(w.granted, 0);
	vmem_tick();
	assert_int_equal(w.granted, 1);
	/* Known, at once. */
	assert_int_equal(vmem_set_upstream(vm, root), 0);
	assert_int_equal(submit(vm, &w, PAGE, 1), EINPROGRESS);
	vmem_xfree(root, a[1], PAGE);
	assert_int_equal(w.granted, 2);
	vmem_xfreeall(vm);
	vmem_destroy(vm);
	finish(root);
}

/* What goes into a quantum cache while somebody waits comes out again. */
/* What frees in the source just after the only request's attempt to import has
 * failed there, in another thread, while that attempt is still under way. */
struct late {
	vmem_t *source, *child;
	vmem_addr_t taken;
	bool freed;
};

static void *
late_free(void *arg)
{
	struct late *late = arg;

	vmem_xfree(late->source, late->taken, PAGE);
	return (NULL);
}

static int
late_import(void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp)
{
	struct late *late = src;
	struct vmem_stat vs;
	pthread_t thread;
	int error = vmem_alloc_import(late->source, size, flags, addrp);

	vmem_stat(late->child, &vs);
	if (vs.vs_waiting != 0 && !late->freed) {
		late->freed = true;
		assert_int_equal(
		    pthread_create(&thread, NULL, late_free, late), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
	return (error);
}

static void
late_release(void *src, vmem_addr_t addr, vmem_size_t size)
{
	vmem_xfree(((struct late *)src)->source, addr, size);
}

static void
test_pit_16_source_freed_during_attempt(void **state)
{
	struct late late = { .freed = false };
	struct waiter w;

	(void)state;
	late.source = full_arena(1, &late.taken);
	late.child = vmem_create("child", 0, 0, PAGE, late_import,
	    late_release, &late, 0, VM_SLEEP);
	assert_non_null(late.child);
	assert_int_equal(vmem_set_upstream(late.child, late.source), 0);
	assert_int_equal(submit(late.child, &w, PAGE, 1), 0);
	assert_true(late.freed);
	vmem_xfree(late.child, w.addrs[0], PAGE);
	finish(late.child);
	finish(late.source);
}

/* Requests that import in vain give back, and start no other's attempt. */
static void
test_attempts_in_vain_are_few(void **state)
{
	enum { WAITERS = 50 };
	static struct waiter w[WAITERS];
	vmem_t *source = vmem_create("source", 0, 64 * PAGE, PAGE, NULL, NULL,
	    NULL, 0, VM_SLEEP);
	struct late late = { .source = source, .freed = true };
	vmem_addr_t taken;
	struct vmem_stat vs;

	(void)state;
	assert_non_null(source);
	late.child = vmem_create("child", 0, 0, PAGE, late_import,
	    late_release, &late, 0, VM_SLEEP);
	assert_non_null(late.child);
	assert_int_equal(vmem_set_upstream(late.child, source), 0);
	assert_int_equal(
	    vmem_xalloc_addr(source, 20 * PAGE, PAGE, VM_NOSLEEP), 0);
	assert_int_equal(vmem_xalloc(source, PAGE, 0, 0, 0, 0, VMEM_ADDR_MAX,
			     VM_NOSLEEP, &taken), 0);
	/* Half wants what is taken, half two ranges more than there are. */
	for (unsigned int i = 0; i < WAITERS; i++) {
		w[i].vr = (struct vmem_request) { .vr_size = PAGE,
			.vr_min = 20 * PAGE, .vr_max = 21 * PAGE - 1,
			.vr_count = 1, .vr_addrs = w[i].addrs,
			.vr_done = granted, .vr_arg = &w[i] };
		assert_int_equal(i % 2 == 0 ?
			vmem_submit(late.child, &w[i].vr) :
			submit(late.child, &w[i], 32 * PAGE, 2), EINPROGRESS);
	}
	vmem_xfree(source, taken, PAGE);
	vmem_stat(late.child, &vs);
	assert_true(vs.vs_lookups < WAITERS * WAITERS * 20);
	for (unsigned int i = 0; i < WAITERS; i++)
		assert_int_equal(vmem_cancel(late.child, &w[i].vr), 0);
	vmem_xfree(source, 20 * PAGE, PAGE);
	finish(late.child);
	finish(source);
}

/* A raised limit is a gain like any other. */
static void
test_raised_limit_serves(void **state)
{
	vmem_t *source = vmem_create("source", 0, 4 * PAGE, PAGE, NULL, NULL,
	    NULL, 0, VM_SLEEP);
	vmem_t *vm = vmem_create("limited", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, source, 0, VM_SLEEP);
	struct waiter w[2];

	(void)state;
	assert_non_null(vm);
	grants = 0;
	vmem_set_limit(vm, PAGE);
	assert_int_equal(submit(vm, &w[0], PAGE, 1), 0);
	assert_int_equal(submit(vm, &w[1], PAGE, 1), EINPROGRESS);
	vmem_set_limit(vm, 2 * PAGE);
	assert_int_equal(w[1].granted, 1);
	finish(vm);
	finish(source);
}

/* Who sleeps below an arena that imports from outside tries again, too. */
static atomic_bool outside_has_some;

static int
outside_import(void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp)
{
	(void)src;
	(void)size;
	(void)flags;
	*addrp = PAGE;
	return (atomic_load(&outside_has_some) ? 0 : ENOMEM);
}

static void
outside_release(void *src, vmem_addr_t addr, vmem_size_t size)
{
	(void)src;
	(void)addr;
	(void)size;
}

static void *
sleep_for_page(void *arg)
{
	vmem_addr_t addr;

	assert_int_equal(vmem_alloc(arg, PAGE, VM_SLEEP, &addr), 0);
	vmem_free(arg, addr, PAGE);
	return (NULL);
}

static void
test_sleeper_below_foreign_source_threads(void **state)
{
	vmem_t *source = vmem_create("source", 0, 0, PAGE, outside_import,
	    outside_release, NULL, 0, VM_SLEEP);
	vmem_t *vm = vmem_create("below", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, source, 0, VM_SLEEP);
	struct vmem_stat vs;
	pthread_t thread;

	(void)state;
	assert_non_null(vm);
	assert_int_equal(
	    pthread_create(&thread, NULL, sleep_for_page, vm), 0);
	do {
		(void)sched_yield();
		vmem_stat(vm, &vs);
	} while (vs.vs_waiting == 0);
	atomic_store(&outside_has_some, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	finish(vm);
	finish(source);
}

static void
test_caches_serve_sleepers(void **state)
{
	vmem_t *vm = vmem_create("cached", 0, 8 * PAGE, PAGE, NULL, NULL, NULL,
	    4 * PAGE, VM_SLEEP);
	struct waiter w;
	vmem_addr_t a[8];

	(void)state;
	grants = 0;
	for (int i = 0; i < 8; i++)
		assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &a[i]), 0);
	assert_int_equal(submit(vm, &w, 2 * PAGE, 1), EINPROGRESS);
	for (int i = 0; i < 8 && w.granted == 0; i++)
		vmem_free(vm, a[i], PAGE);
	assert_int_equal(w.granted, 1);
	finish(vm);
}

/* What a sibling's cache holds is a span of the common source: it comes out for
 * whoever waits, before and while it waits. */
static void
test_caches_of_siblings_serve(void **state)
{
	vmem_t *root = vmem_create("root", 0, 8 * PAGE, PAGE, NULL, NULL, NULL,
	    0, VM_SLEEP);
	vmem_t *cached = vmem_create("cached", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, root, 4 * PAGE, VM_SLEEP);
	vmem_t *vm = vmem_create("sibling", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, root, 0, VM_SLEEP);
	struct waiter w;
	vmem_addr_t a[8];

	(void)state;
	assert_non_null(root);
	assert_non_null(cached);
	assert_non_null(vm);
	grants = 0;
	for (int i = 0; i < 8; i++)
		assert_int_equal(
		    vmem_alloc(cached, PAGE, VM_NOSLEEP, &a[i]), 0);
	vmem_free(cached, a[0], PAGE);
	(void)submit(vm, &w, PAGE, 1); /* 0, or granted at once */
	assert_int_equal(w.vr.vr_addrs[0], a[0]);
	vmem_xfree(vm, w.addrs[0], PAGE);
	assert_int_equal(vmem_alloc(cached, PAGE, VM_NOSLEEP, &a[0]), 0);
	grants = 0;
	assert_int_equal(submit(vm, &w, PAGE, 1), EINPROGRESS);
	vmem_free(cached, a[3], PAGE);
	assert_int_equal(w.granted, 1);
	assert_int_equal(w.addrs[0], a[3]);
	finish(vm);
	finish(cached);
	finish(root);
}

/* vr_done may do anything, the end of its arena included. */
static void
destroy_in_done(struct vmem_request *vr, int error)
{
	vmem_t **vmp = vr->vr_arg;

	assert_int_equal(error, 0);
	vmem_xfree(*vmp, vr->vr_addrs[0], vr->vr_size);
	vmem_destroy(*vmp);
	*vmp = NULL;
}

static void
submit_for_the_end(vmem_t **vmp, struct waiter *w)
{
	w->vr = (struct vmem_request) { .vr_size = PAGE,
		.vr_max = VMEM_ADDR_MAX,
		.vr_count = 1,
		.vr_addrs = w->addrs,
		.vr_done = destroy_in_done,
		.vr_arg = vmp };
	assert_int_equal(vmem_submit(*vmp, &w->vr), EINPROGRESS);
}

static void
test_destroy_from_done(void **state)
{
	vmem_t *root = vmem_create("root", 0, PAGE, PAGE, NULL, NULL, NULL, 0,
	    VM_SLEEP);
	vmem_t *vm;
	vmem_addr_t a;
	struct waiter w;

	(void)state;
	assert_non_null(root);
	/* Served by a free in it, by one in its source, by the tick. */
	for (int i = 0; i < 3; i++) {
		vm = vmem_create("ends", i == 0 ? PAGE : 0,
		    i == 0 ? PAGE : 0, PAGE,
		    i == 2 ? foreign_import : i == 1 ? vmem_alloc_import : NULL,
		    i == 0 ? NULL : vmem_free_release, root, 0, VM_SLEEP);
		assert_non_null(vm);
		assert_int_equal(vmem_xalloc(i == 0 ? vm : root, PAGE, 0, 0, 0,
		    0, VMEM_ADDR_MAX, VM_NOSLEEP, &a), 0);
		submit_for_the_end(&vm, &w);
		vmem_xfree(i == 0 ? vm : root, a, PAGE);
		if (i == 2)
			vmem_tick();
		assert_null(vm);
		assert_int_equal(vmem_size(root, VMEM_ALLOC), 0);
	}
	finish(root);
}

static void
test_deadline(void **state)
{
	struct timespec past = { 0, 0 }, soon;
	vmem_addr_t a[8], b = 5;
	vmem_t *vm = full_arena(8, a);
	uint64_t when = clock_ns() + 2000000;

	(void)state;
	assert_int_equal(
	    vmem_alloc_until(vm, PAGE, VM_SLEEP, &past, &b), ETIMEDOUT);
	soon.tv_sec = (time_t)(when / 1000000000u);
	soon.tv_nsec = (long)(when % 1000000000u);
	assert_int_equal(
	    vmem_alloc_until(vm, PAGE, VM_SLEEP, &soon, &b), ETIMEDOUT);
	assert_true(clock_ns() >= when);
	assert_int_equal(b, 5);
	vmem_xfree(vm, a[7], PAGE);
	assert_int_equal(vmem_alloc_until(vm, PAGE, VM_SLEEP, &past, &b), 0);
	finish(vm);
}

/* ---- a thousand threads --------------------------------------------------- */

#define SLEEPERS 1000
#define TURNS 5

static atomic_uint turns_done;

static void *
sleeper(void *arg)
{
	vmem_t *vm = arg;
	vmem_addr_t a;

	for (int i = 0; i < TURNS; i++) {
		if (vmem_alloc(vm, 4 * PAGE, VM_SLEEP, &a) != 0)
			abort();
		if (i % 2 == 0)
			(void)sched_yield();
		vmem_free(vm, a, 4 * PAGE);
		atomic_fetch_add(&turns_done, 1);
	}
	return (NULL);
}

/* PITFALLS 1.17: each of a thousand gets its turns from an arena with room
 * for two; waits are at most the requests made. */
static void
test_odd_deadlines(void **state)
{
	const struct timespec ago = { .tv_sec = -1 };
	const struct timespec odd = { .tv_nsec = 1000000000 };
	vmem_addr_t addr;
	vmem_t *vm = full_arena(1, &addr);

	(void)state;
	assert_int_equal(
	    vmem_alloc_until(vm, PAGE, VM_SLEEP, &ago, &addr), ETIMEDOUT);
	assert_int_equal(
	    vmem_alloc_until(vm, PAGE, VM_SLEEP, &odd, &addr), EINVAL);
	finish(vm);
}

static void
test_pit_17_thousand_sleepers_threads(void **state)
{
	static pthread_t threads[SLEEPERS];
	vmem_t *vm = vmem_create("narrow", 0, 8 * PAGE, PAGE, NULL, NULL, NULL,
	    0, VM_SLEEP);
	struct vmem_stat vs;
	pthread_attr_t attr;

	(void)state;
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
	for (int i = 0; i < SLEEPERS; i++)
		assert_int_equal(
		    pthread_create(&threads[i], &attr, sleeper, vm), 0);
	for (int i = 0; i < SLEEPERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	(void)pthread_attr_destroy(&attr);
	assert_int_equal(atomic_load(&turns_done), SLEEPERS * TURNS);
	vmem_stat(vm, &vs);
	assert_int_equal(vs.vs_allocs, SLEEPERS * TURNS);
	assert_true(vs.vs_waits <= SLEEPERS * TURNS);
	/* Two searches to a turn, as a rule; a herd would make hundreds. */
	assert_true(vs.vs_lookups < 10 * SLEEPERS * TURNS);
	finish(vm);
}

static void
count_reclaim(void *arg, vmem_t *vm, vmem_size_t size, vmem_size_t align,
    vmem_addr_t minaddr, vmem_addr_t maxaddr)
{
	(void)vm, (void)size, (void)align, (void)minaddr, (void)maxaddr;
	(*(unsigned int *)arg)++;
}

/* What one request couldn't have isn't tried for those that want as much. */
static void
test_pit_17_one_attempt_for_all(void **state)
{
	enum { WAITERS = 200 };
	static struct waiter w[WAITERS];
	vmem_addr_t a[8];
	vmem_t *vm = full_arena(8, a);
	unsigned int reclaims = 0;

	(void)state;
	vmem_set_reclaim(vm, count_reclaim, &reclaims);
	for (unsigned int i = 0; i < WAITERS; i++)
		assert_int_equal(submit(vm, &w[i], 2 * PAGE, 1), EINPROGRESS);
	reclaims = 0;
	vmem_xfree(vm, a[3], PAGE);
	assert_in_range(reclaims, 1, 2);
	for (unsigned int i = 0; i < WAITERS; i++)
		assert_int_equal(vmem_cancel(vm, &w[i].vr), 0);
	vmem_set_reclaim(vm, NULL, NULL);
	finish(vm);
}

/* A thousand in four arenas that import from one: what any of them frees goes
 * back there, and on to whoever waits; sizes differ, some have caches, some
 * give up at a deadline.  Lost wake-ups would leave somebody asleep for ever. */
#define FAMILY 4

struct family {
	vmem_t *child[FAMILY];
	unsigned int id;
};

static void *
family_sleeper(void *arg)
{
	struct family *fy = arg;
	vmem_t *vm = fy->child[fy->id % FAMILY];
	vmem_size_t size = (1 + fy->id / FAMILY % 3) * PAGE;
	struct timespec ts;
	vmem_addr_t a;
	uint64_t when;
	int error;

	for (int i = 0; i < TURNS; i++) {
		when = clock_ns() + 1000000u * (1 + fy->id % 7);
		ts.tv_sec = (time_t)(when / 1000000000u);
		ts.tv_nsec = (long)(when % 1000000000u);
		error = fy->id % 5 == 0 ?
		    vmem_alloc_until(vm, size, VM_SLEEP, &ts, &a) :
		    vmem_alloc(vm, size, VM_SLEEP, &a);
		if (error != 0 && (error != ETIMEDOUT || fy->id % 5 != 0))
			abort();
		if (error == 0) {
			(void)sched_yield();
			vmem_free(vm, a, size);
		}
		atomic_fetch_add(&turns_done, 1);
	}
	return (NULL);
}

static void
test_pit_16_thousand_sleepers_in_a_family_threads(void **state)
{
	static pthread_t threads[SLEEPERS];
	static struct family fy[SLEEPERS];
	vmem_t *root = vmem_create("root", 0, 8 * PAGE, PAGE, NULL, NULL, NULL,
	    0, VM_SLEEP);
	pthread_attr_t attr;

	(void)state;
	atomic_store(&turns_done, 0);
	assert_non_null(root);
	for (unsigned int i = 0; i < FAMILY; i++) {
		fy[0].child[i] = vmem_create("child", 0, 0, PAGE,
		    vmem_alloc_import, vmem_free_release, root,
		    i % 2 == 0 ? 0 : 2 * PAGE, VM_SLEEP);
		assert_non_null(fy[0].child[i]);
	}
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
	for (unsigned int i = 0; i < SLEEPERS; i++) {
		fy[i] = fy[0];
		fy[i].id = i;
		assert_int_equal(pthread_create(&threads[i], &attr,
		    family_sleeper, &fy[i]), 0);
	}
	for (int i = 0; i < SLEEPERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	(void)pthread_attr_destroy(&attr);
	assert_int_equal(atomic_load(&turns_done), SLEEPERS * TURNS);
	for (unsigned int i = 0; i < FAMILY; i++)
		finish(fy[0].child[i]);
	assert_int_equal(vmem_size(root, VMEM_ALLOC), 0);
	finish(root);
}

/* ---- deadlines that race with grants -------------------------------------- */

struct racer {
	vmem_t *vm;
	uint64_t seed;
	unsigned int got;
};

static void *
racer(void *arg)
{
	struct racer *rc = arg;
	struct rng rng;
	vmem_addr_t a;

	rng_init(&rng, rc->seed);
	for (int i = 0; i < 400; i++) {
		uint64_t when = clock_ns() + rng_below(&rng, 200000);
		struct timespec ts = { .tv_sec = (time_t)(when / 1000000000u),
			.tv_nsec = (long)(when % 1000000000u) };
		int error = vmem_alloc_until(rc->vm,
		    (1 + rng_below(&rng, 3)) * PAGE, VM_SLEEP, &ts, &a);

		if (error == 0) {
			struct vmem_seg seg;
			vmem_addr_t cursor = a;
			bool more;

			if (vmem_walk_from(rc->vm, VMEM_ALLOC, &cursor, &seg,
				1, &more) != 1 || seg.seg_addr != a)
				abort();
			(void)sched_yield();
			vmem_free(rc->vm, a, seg.seg_size);
			rc->got++;
		} else if (error != ETIMEDOUT)
			abort();
	}
	return (NULL);
}

static void
test_deadlines_race_with_grants_threads(void **state)
{
	vmem_t *vm = vmem_create("race", 0, 4 * PAGE, PAGE, NULL, NULL, NULL, 0,
	    VM_SLEEP);
	struct racer rc[8];
	pthread_t threads[8];

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		rc[i] = (struct racer) { .vm = vm, .seed = i };
		assert_int_equal(
		    pthread_create(&threads[i], NULL, racer, &rc[i]), 0);
	}
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(rc[i].got > 0);
	}
	assert_int_equal(vmem_size(vm, VMEM_ALLOC), 0);
	finish(vm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_come_first_served),
		cmocka_unit_test(test_large_holds_up_nobody),
		cmocka_unit_test(test_large_is_overtaken_so_often),
		cmocka_unit_test(test_large_leaves),
		cmocka_unit_test(test_several_ranges_or_none),
		cmocka_unit_test(test_several_ranges_count_once),
		cmocka_unit_test(test_hopeless_crowd_costs_nothing),
		cmocka_unit_test(test_who_waits_looks_at_all),
		cmocka_unit_test(test_hopeless_fails_at_once),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_cancel_from_callback),
		cmocka_unit_test(test_pit_16_source_serves_children),
		cmocka_unit_test(test_upstream_of_a_foreign_import),
		cmocka_unit_test(test_pit_16_source_freed_during_attempt),
		cmocka_unit_test(test_attempts_in_vain_are_few),
		cmocka_unit_test(test_raised_limit_serves),
		cmocka_unit_test(test_sleeper_below_foreign_source_threads),
		cmocka_unit_test(test_caches_serve_sleepers),
		cmocka_unit_test(test_caches_of_siblings_serve),
		cmocka_unit_test(test_destroy_from_done),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_odd_deadlines),
		cmocka_unit_test(test_pit_17_one_attempt_for_all),
		cmocka_unit_test(test_pit_17_thousand_sleepers_threads),
		cmocka_unit_test(
		    test_pit_16_thousand_sleepers_in_a_family_threads),
		cmocka_unit_test(test_deadlines_race_with_grants_threads),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
