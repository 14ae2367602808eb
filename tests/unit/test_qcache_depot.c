/*
 * Goal: magazines grow when the depot is contended, by the rule of
 * lib/qcache/depot.c and no other, and what they hold follows.
 * Method: a thread is made to wait for a depot's lock as often as the test
 * wants, by holding it until the kernel says that it sleeps.  So how often
 * visits waited is known exactly, and nothing depends on time.
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

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vmem.h>

#include "qcache/qcache_impl.h"

#define PAGE 4096u
#define SPAN (UINT64_C(1) << 30)

/* ---- a visitor that waits ------------------------------------------------- */

struct visitor {
	struct qcache *vr_cache;
	atomic_int vr_tid;	/* 0 until it is about to visit */
};

/* Ask for a full magazine, of which there are none. */
static void
visit(struct qcache *qc)
{
	uint32_t victim = UNIT_NIL;

	assert_int_equal(
	    depot_exchange(qc, true, UNIT_NIL, &victim), UNIT_NIL);
}

static void *
visitor(void *arg)
{
	struct visitor *vr = arg;

	atomic_store(&vr->vr_tid, (int)syscall(SYS_gettid));
	visit(vr->vr_cache);
	return (NULL);
}

/* From then on it runs into the lock only: does it sleep there? */
static bool
sleeps(int tid)
{
	char path[64], text[512], *end;
	FILE *file;
	size_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	(void)fclose(file);
	text[n] = '\0';
	end = strrchr(text, ')');
	assert_non_null(end);
	return (end[1] == ' ' && end[2] == 'S');
}

static void
visit_waiting(struct qcache *qc) NO_THREAD_SAFETY_ANALYSIS
{
	struct visitor vr = { .vr_cache = qc };
	struct depot *dp = &qc->qc_depot;
	pthread_t id;

	lock_acquire(&dp->dp_lock);
	assert_int_equal(pthread_create(&id, NULL, visitor, &vr), 0);
	while (atomic_load(&vr.vr_tid) == 0 ||
	    !sleeps(atomic_load(&vr.vr_tid)))
		(void)sched_yield();
	lock_release(&dp->dp_lock);
	assert_int_equal(pthread_join(id, NULL), 0);
}

/* A window of visits, of which so many wait. */
static void
window(struct qcache *qc, unsigned int waits)
{
	const struct depot *dp = &qc->qc_depot;

	assert_int_equal(dp->dp_visits, 0);
	for (unsigned int i = 0; i < waits; i++)
		visit_waiting(qc);
	for (unsigned int i = waits; i < DEPOT_WINDOW; i++)
		visit(qc);
	assert_int_equal(dp->dp_visits, 0);
}

/* ---- tests ---------------------------------------------------------------- */

static vmem_t *
arena(void)
{
	vmem_t *vm = vmem_create("contended", 0, SPAN, PAGE, NULL, NULL, NULL,
	    2 * PAGE, VM_SLEEP);

	assert_non_null(vm);
	return (vm);
}

static unsigned int
magazine(vmem_t *vm, unsigned int cache)
{
	struct vmem_qcache_stat qs;

	assert_int_equal(vmem_qcache_stat(vm, cache, &qs), 0);
	return ((unsigned int)qs.qs_magazine);
}

static void
test_grow_by_the_rule(void **state)
{
	vmem_t *vm = arena();
	struct qcache *qc = &vm->vm_qcache->qs_caches[0];
	struct vmem_qcache_stat qs;

	(void)state;
	assert_int_equal(magazine(vm, 0), 15);
	window(qc, 0);
	window(qc, 1);		/* an accident */
	assert_int_equal(magazine(vm, 0), 15);
	window(qc, 2);
	assert_int_equal(magazine(vm, 0), 31);
	window(qc, 3);		/* larger ones come more rarely */
	assert_int_equal(magazine(vm, 0), 31);
	window(qc, 4);
	assert_int_equal(magazine(vm, 0), 63);
	window(qc, 20);		/* what a unit of the pool holds */
	assert_int_equal(magazine(vm, 0), 63);
	assert_int_equal(magazine(vm, 1), 15); /* another cache's depot */
	assert_int_equal(vmem_qcache_stat(vm, 0, &qs), 0);
	assert_int_equal(qs.qs_depot_waits, 0 + 1 + 2 + 3 + 4 + 20);
	assert_int_equal(vmem_qcache_stat(vm, 1, &qs), 0);
	assert_int_equal(qs.qs_depot_waits, 0);
	vmem_destroy(vm);
}

#define MANY 1024u

/* Visits to the depot for so many allocations, and as many frees. */
static unsigned int
visits_for_many(vmem_t *vm)
{
	static vmem_addr_t addr[MANY];
	const struct depot *dp = &vm->vm_qcache->qs_caches[0].qc_depot;
	unsigned int before;

	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(
		    vmem_alloc(vm, PAGE, VM_NOSLEEP, &addr[i]), 0);
	before = dp->dp_visits;
	for (unsigned int i = 0; i < MANY; i++)
		vmem_free(vm, addr[i], PAGE);
	return (dp->dp_visits - before);
}

/* Larger magazines are filled further, those that are there already, too. */
static void
test_larger_ones_visit_rarely(void **state)
{
	vmem_t *vm = arena();
	struct qcache *qc = &vm->vm_qcache->qs_caches[0];
	unsigned int at_15, at_63;

	(void)state;
	at_15 = visits_for_many(vm);
	vmem_reap(vm);
	while (qc->qc_depot.dp_visits != 0)
		visit(qc);
	window(qc, 2);
	window(qc, 4);
	at_63 = visits_for_many(vm);
	printf("%u frees: %u visits to the depot, then %u\n", MANY, at_15,
	    at_63);
	assert_true(at_15 >= MANY / 15);
	assert_true(at_63 < at_15 / 2);
	vmem_reap(vm);
	assert_int_equal(vmem_check(vm), 0);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC), 0);
	vmem_destroy(vm);
}

/* It is the visits of one window that count, not those of long ago. */
static void
test_waits_far_between(void **state)
{
	vmem_t *vm = arena();
	struct qcache *qc = &vm->vm_qcache->qs_caches[0];

	(void)state;
	for (unsigned int i = 0; i < 8; i++)
		window(qc, 1);
	assert_int_equal(magazine(vm, 0), 15);
	vmem_destroy(vm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grow_by_the_rule),
		cmocka_unit_test(test_larger_ones_visit_rarely),
		cmocka_unit_test(test_waits_far_between),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
