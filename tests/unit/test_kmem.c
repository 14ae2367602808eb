/*
 * Goal: caches hand out each item once, inside a slab of theirs; give slabs
 * back, all of them when reaped; a free needs nothing; misuse is noticed.  The
 * size table is NetBSD's.  The direct map hands out each page once, and works
 * on when it is switched off.
 * Method: random operations against a naive list, over a source that counts,
 * and that may refuse; the checker after each step; several threads.
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
#include <sys/wait.h>
#include <unistd.h>
#include <vmem.h>

#include "kmem/direct.h"
#include "kmem/kmem.h"
#include "util/rng.h"

/* ---- a source: an arena --------------------------------------------------- */

static vmem_t *arena;
static _Atomic bool refuse_get, refuse_put;

static int
get(void *arg, uint64_t size, uint64_t align, uint64_t *addrp)
{
	(void)arg;
	if (atomic_load(&refuse_get))
		return (ENOMEM);
	return (vmem_xalloc(arena, size, align, 0, 0, VMEM_ADDR_MIN,
	    VMEM_ADDR_MAX, VM_NOSLEEP, addrp));
}

static int
put(void *arg, uint64_t addr, uint64_t size)
{
	(void)arg;
	if (atomic_load(&refuse_put))
		return (ENOMEM);
	vmem_xfree(arena, addr, size);
	return (0);
}

static const struct slab_source source = { get, put, NULL };

static int
make_arena(void **state)
{
	(void)state;
	arena = vmem_create("slabs", 1 << 30, 1 << 30, SLAB_PAGE, NULL, NULL,
	    NULL, 0, VM_NOSLEEP);
	return (arena == NULL);
}

static int
end_arena(void **state)
{
	(void)state;
	vmem_destroy(arena);	/* panics if a slab is still out */
	return (0);
}

/* ---- one cache ------------------------------------------------------------ */

#define LIVE_MAX 600u

static uint64_t live[LIVE_MAX];

static void
random_cache(uint64_t item, uint64_t slab, uint32_t idle_max, struct rng *rng)
{
	struct slab_cache sc;
	struct slab_stat st;
	unsigned int n = 0;
	uint64_t addr;

	slab_cache_init(&sc, &source, item, slab, idle_max);
	for (unsigned int step = 0; step < 4000; step++) {
		bool grow = rng_below(rng, 100) <
		    (step / 500 % 2 == 0 ? 70u : 30u);

		if (n == 0 || (grow && n < LIVE_MAX)) {
			assert_int_equal(slab_alloc(&sc, &addr), 0);
			for (unsigned int i = 0; i < n; i++)
				assert_true(addr >= live[i] + item ||
				    live[i] >= addr + item);
			live[n++] = addr;
		} else {
			unsigned int i = (unsigned int)rng_below(rng, n);

			slab_free(&sc, live[i]);
			live[i] = live[--n];
		}
		assert_int_equal(slab_check(&sc, NULL), 0);
	}
	slab_cache_stat(&sc, &st);
	assert_int_equal(st.st_used, n);
	assert_int_equal(st.st_held, st.st_slabs * st.st_items - n);
	assert_int_equal(st.st_hits + st.st_misses - st.st_frees, n);
	assert_int_equal(st.st_fills - st.st_drains, st.st_slabs);
	assert_true(st.st_idle <= idle_max);
	while (n > 0)
		slab_free(&sc, live[--n]);
	(void)slab_reap(&sc, UINT64_MAX);
	slab_cache_stat(&sc, &st);
	assert_int_equal(st.st_slabs, 0);
	assert_int_equal(vmem_size(arena, VMEM_ALLOC), 0);
	slab_cache_fini(&sc);
}

static void
test_random(void **state)
{
	struct rng rng;
	uint64_t seed = (uint64_t)getpid();

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	rng_init(&rng, seed);
	random_cache(8, 4096, 2, &rng);
	random_cache(768, 4096, 0, &rng);
	random_cache(1024, 4096, 4, &rng);
	random_cache(4096, 131072, 1, &rng);
	random_cache(3 * 4096, 131072, 1, &rng);
	random_cache(16384, 16384, 8, &rng);
}

static void
test_source_refuses(void **state)
{
	struct slab_cache sc;
	struct slab_stat st;
	uint64_t a, b;

	(void)state;
	slab_cache_init(&sc, &source, 2048, 4096, 0);
	atomic_store(&refuse_get, true);
	assert_int_equal(slab_alloc(&sc, &a), ENOMEM);
	atomic_store(&refuse_get, false);
	assert_int_equal(slab_alloc(&sc, &a), 0);
	assert_int_equal(slab_alloc(&sc, &b), 0);
	/* A slab that isn't taken back stays, and serves on. */
	atomic_store(&refuse_put, true);
	slab_free(&sc, a);
	slab_free(&sc, b);
	slab_cache_stat(&sc, &st);
	assert_int_equal(st.st_slabs, 1);
	assert_int_equal(st.st_refused, 1);
	assert_int_equal(slab_check(&sc, NULL), 0);
	assert_int_equal(slab_alloc(&sc, &a), 0);
	atomic_store(&refuse_put, false);
	slab_free(&sc, a);
	assert_int_equal(vmem_size(arena, VMEM_ALLOC), 0);
	slab_cache_fini(&sc);
}

/* Idle slabs go by age. */
static void
test_reap_by_age(void **state)
{
	struct slab_cache sc;
	uint64_t a, b;

	(void)state;
	slab_cache_init(&sc, &source, 8192, 8192, UINT32_MAX);
	assert_int_equal(slab_alloc(&sc, &a), 0);
	assert_int_equal(slab_alloc(&sc, &b), 0);
	slab_tick(&sc, 100);
	slab_free(&sc, a);
	slab_tick(&sc, 200);
	slab_free(&sc, b);
	assert_int_equal(slab_reap(&sc, 99), 0);
	assert_int_equal(slab_reap(&sc, 100), 8192);
	assert_int_equal(slab_reap(&sc, UINT64_MAX), 8192);
	slab_cache_fini(&sc);
}

/* ---- misuse --------------------------------------------------------------- */

#define NOTICED 42

static void
on_panic(const char *text)
{
	_exit(strstr(text, "slab_free") != NULL &&
	    strstr(text, "expected") != NULL ? NOTICED : 1);
}

/* A panic is the end of a process: in one of its own. */
static void
misuse(uint64_t offset)
{
	struct slab_cache sc;
	uint64_t addr;

	vmem_set_panic(on_panic);
	slab_cache_init(&sc, &source, 64, 4096, 0);
	if (slab_alloc(&sc, &addr) == 0)
		slab_free(&sc, addr + offset);
	_exit(0);
}

static void
test_misuse(void **state)
{
	/* Not out; inside an item; of no slab. */
	static const uint64_t offsets[] = { 64, 1, 4096 };

	(void)state;
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			misuse(offsets[i]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), NOTICED);
	}
}

/* ---- the size table ------------------------------------------------------- */

static void
test_size_table(void **state)
{
	struct slab_stat st;
	struct kmem *km;
	uint64_t addr;

	(void)state;
	assert_int_equal(kmem_create(&source, &km), 0);
	for (uint64_t size = 1; size <= KMEM_MAX; size++) {
		uint64_t rounded = kmem_rounded(size);

		assert_true(rounded >= size);
		assert_int_equal(kmem_rounded(rounded), rounded);
		/* No more than the table's steps: a half at most. */
		assert_true(size <= 8 || rounded < 2 * size);
	}
	assert_int_equal(kmem_rounded(100), 112);
	assert_int_equal(kmem_rounded(513), 768);
	assert_int_equal(kmem_rounded(1025), 2048);
	assert_int_equal(kmem_alloc(km, 100, &addr), 0);
	kmem_free(km, addr, 112);
	for (unsigned int i = 0; kmem_stat(km, i, &st) == 0; i++)
		assert_int_equal(st.st_misses, st.st_item == 112 ? 1 : 0);
	assert_int_equal(kmem_stat(km, KMEM_CACHES, &st), ENOENT);
	assert_int_equal(kmem_check(km, NULL), 0);
	assert_int_equal(kmem_reap(km), 4096);
	kmem_destroy(km);
}

/* ---- threads -------------------------------------------------------------- */

static struct kmem *shared;

static void *
churn(void *arg)
{
	uint64_t mine[64], sizes[64];
	unsigned int n = 0;
	struct rng rng;

	rng_init(&rng, (uint64_t)(uintptr_t)arg);
	for (unsigned int step = 0; step < 20000; step++) {
		if (n == 0 || (n < 64 && rng_below(&rng, 2) == 0)) {
			sizes[n] = 1 + rng_below(&rng, KMEM_MAX);
			if (kmem_alloc(shared, sizes[n], &mine[n]) == 0)
				n++;
		} else {
			n--;
			kmem_free(shared, mine[n], sizes[n]);
		}
		if (step % 1000 == 0)
			(void)kmem_reap(shared);
	}
	while (n > 0) {
		n--;
		kmem_free(shared, mine[n], sizes[n]);
	}
	return (NULL);
}

static void
test_threads(void **state)
{
	pthread_t threads[4];

	(void)state;
	assert_int_equal(kmem_create(&source, &shared), 0);
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(
		    &threads[i], NULL, churn, (void *)(i + 1)), 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(kmem_check(shared, NULL), 0);
	(void)kmem_reap(shared);
	assert_int_equal(vmem_size(arena, VMEM_ALLOC), 0);
	kmem_destroy(shared);
}

/* ---- the direct map ------------------------------------------------------- */

static uint64_t wired;
static bool refuse_wire;

static int
wire(void *arg, uint64_t addr, uint64_t size)
{
	(void)arg;
	(void)addr;
	if (refuse_wire)
		return (ENOMEM);
	wired += size;
	return (0);
}

static void
unwire(void *arg, uint64_t addr, uint64_t size)
{
	(void)arg;
	(void)addr;
	wired -= size;
}

#define WINDOW 1000u

static void
test_direct(void **state)
{
	const struct direct_backing backing = { wire, unwire, NULL };
	static uint64_t pages[WINDOW];
	struct direct_stat ds;
	struct direct *dm;
	uint64_t addr;

	(void)state;
	assert_int_equal(direct_create(
	    UINT64_C(1) << 40, WINDOW * DIRECT_PAGE, &backing, &dm), 0);
	assert_false(direct_on(dm));
	assert_false(direct_on(NULL));
	direct_switch(dm, true);
	assert_true(direct_on(dm));
	for (unsigned int i = 0; i < WINDOW; i++) {
		assert_int_equal(direct_get(dm, &pages[i]), 0);
		assert_true(direct_contains(dm, pages[i]));
		assert_int_equal(pages[i] % DIRECT_PAGE, 0);
	}
	assert_int_equal(direct_get(dm, &addr), ENOMEM);
	assert_int_equal(wired, WINDOW * DIRECT_PAGE);
	/* Each once: they are all there, in order. */
	addr = 0;
	for (unsigned int i = 0; i < WINDOW; i++) {
		assert_true(direct_next(dm, addr, &addr));
		assert_int_equal(
		    addr, (UINT64_C(1) << 40) + i * DIRECT_PAGE);
		addr++;
	}
	assert_false(direct_next(dm, addr, &addr));
	direct_switch(dm, false);
	for (unsigned int i = 0; i < WINDOW; i++)
		direct_put(dm, pages[i]);
	direct_stat(dm, &ds);
	assert_int_equal(ds.ds_used, 0);
	assert_int_equal(ds.ds_warm * DIRECT_PAGE, wired);
	assert_true(direct_reap(dm) > 0);
	assert_int_equal(wired, 0);
	refuse_wire = true;
	assert_int_equal(direct_get(dm, &addr), ENOMEM);
	refuse_wire = false;
	assert_int_equal(direct_get(dm, &addr), 0);
	direct_put(dm, addr);
	direct_destroy(dm);
	assert_int_equal(wired, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_source_refuses),
		cmocka_unit_test(test_reap_by_age),
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_size_table),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_direct),
	};

	return (cmocka_run_group_tests(tests, make_arena, end_arena));
}
