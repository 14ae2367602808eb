/*
 * Goal: nothing is lost or handed out twice, whatever threads do at once, with
 * quantum caches and imports in play.
 * Method: threads allocate and free at random from a tree of three arenas and
 * hand ranges to each other; every quantum has an owner word, set and cleared
 * by exchange, so that an overlap is seen by whoever comes second.  A thread
 * ticks, reaps, walks, and checks invariants all along.
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
#include <stdatomic.h>
#include <vmem.h>

#include "util/rng.h"

#define PAGE 4096u
#define PAGES 4096u
#define THREADS 4
#define LIVE 200
#define SEED 1994u

static atomic_uint owner[PAGES];
static atomic_bool stop;
static atomic_uint overlaps, violations;

struct range {
	_Atomic(uint64_t) addr; /* page + 1; 0: none */
	uint64_t pages;
	bool cached;
};

struct shared {
	vmem_t *vm;
	struct range slot[THREADS * LIVE];
	atomic_uint lock[THREADS * LIVE];
};

static void
claim(uint64_t addr, uint64_t pages, unsigned int id)
{
	for (uint64_t p = addr / PAGE; p < addr / PAGE + pages; p++)
		if (atomic_exchange(&owner[p], id) != 0)
			atomic_fetch_add(&overlaps, 1);
}

static void
disclaim(uint64_t addr, uint64_t pages)
{
	for (uint64_t p = addr / PAGE; p < addr / PAGE + pages; p++)
		if (atomic_exchange(&owner[p], 0) == 0)
			atomic_fetch_add(&overlaps, 1);
}

static int
get(vmem_t *vm, struct rng *rng, struct range *r, uint64_t *addrp)
{
	r->pages = 1 + rng_below(rng, 12);
	r->cached = rng_below(rng, 4) != 0;
	if (r->cached)
		return (vmem_alloc(vm, r->pages * PAGE, VM_NOSLEEP, addrp));
	return (vmem_xalloc(vm, r->pages * PAGE, PAGE << rng_below(rng, 3), 0,
	    0, 0, VMEM_ADDR_MAX,
	    VM_NOSLEEP | (rng_below(rng, 2) ? VM_FIRSTFIT : VM_BESTFIT),
	    addrp));
}

static void
put(vmem_t *vm, const struct range *r, uint64_t addr)
{
	if (r->cached)
		vmem_free(vm, addr, r->pages * PAGE);
	else
		vmem_xfree(vm, addr, r->pages * PAGE);
}

struct worker {
	struct shared *sh;
	unsigned int id;
};

/* Any slot, of any thread: so what one allocates another frees. */
static void *
worker(void *arg)
{
	struct worker *w = arg;
	struct shared *sh = w->sh;
	struct rng rng;
	uint64_t addr;

	rng_init(&rng, SEED + w->id);
	for (int i = 0; i < 30000; i++) {
		unsigned int k =
		    (unsigned int)rng_below(&rng, THREADS * LIVE);
		struct range *r = &sh->slot[k];

		if (atomic_exchange(&sh->lock[k], 1) != 0)
			continue;
		addr = atomic_load(&r->addr);
		if (addr != 0) {
			disclaim(addr - 1, r->pages);
			put(sh->vm, r, addr - 1);
			atomic_store(&r->addr, 0);
		} else if (get(sh->vm, &rng, r, &addr) == 0) {
			claim(addr, r->pages, w->id);
			atomic_store(&r->addr, addr + 1);
		}
		atomic_store(&sh->lock[k], 0);
	}
	return (NULL);
}

static int
count_seg(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	(void)addr;
	*(uint64_t *)arg += size;
	return (0);
}

static void *
observer(void *arg)
{
	struct shared *sh = arg;
	struct vmem_stat vs;
	uint64_t bytes;

	while (!atomic_load(&stop)) {
		if (vmem_check(sh->vm) != 0)
			atomic_fetch_add(&violations, 1);
		vmem_tick();
		vmem_stat(sh->vm, &vs);
		bytes = 0;
		vmem_walk(sh->vm, VMEM_ALLOC, count_seg, &bytes);
		vmem_reap(sh->vm);
	}
	return (NULL);
}

static void
run(vm_flag_t flags, vmem_size_t qcache)
{
	static struct shared sh;
	struct worker w[THREADS];
	pthread_t threads[THREADS], watch;
	vmem_t *root, *mid;

	memset(&sh, 0, sizeof(sh));
	atomic_store(&stop, false);
	root = vmem_create("root", 0, PAGES * PAGE, PAGE, NULL, NULL, NULL, 0,
	    VM_SLEEP);
	mid = vmem_create("mid", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, root, 0, VM_SLEEP | VM_LARGEIMPORT);
	sh.vm = vmem_create("leaf", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, mid, qcache, VM_SLEEP | flags);
	assert_non_null(sh.vm);
	for (unsigned int i = 0; i < THREADS; i++) {
		w[i] = (struct worker) { .sh = &sh, .id = i + 1 };
		assert_int_equal(
		    pthread_create(&threads[i], NULL, worker, &w[i]), 0);
	}
	assert_int_equal(pthread_create(&watch, NULL, observer, &sh), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(watch, NULL), 0);
	for (unsigned int k = 0; k < THREADS * LIVE; k++)
		if (sh.slot[k].addr != 0) {
			disclaim(sh.slot[k].addr - 1, sh.slot[k].pages);
			put(sh.vm, &sh.slot[k], sh.slot[k].addr - 1);
		}
	assert_int_equal(atomic_load(&overlaps), 0);
	assert_int_equal(atomic_load(&violations), 0);
	vmem_reap(sh.vm);
	assert_int_equal(vmem_size(sh.vm, VMEM_ALLOC | VMEM_FREE), 0);
	vmem_destroy(sh.vm);
	vmem_destroy(mid);
	assert_int_equal(vmem_size(root, VMEM_MAXFREE), PAGES * PAGE);
	vmem_destroy(root);
}

static void
test_without_caches(void **state)
{
	(void)state;
	run(0, 0);
}

static void
test_with_caches(void **state)
{
	(void)state;
	run(0, 8 * PAGE);
}

static void
test_with_checked_caches(void **state)
{
	(void)state;
	run(VM_CHECK, 8 * PAGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_caches),
		cmocka_unit_test(test_with_caches),
		cmocka_unit_test(test_with_checked_caches),
	};

	printf("seed %u\n", SEED);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
