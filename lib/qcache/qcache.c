/*
 * qcache.c - quantum caches.
 *
 * 1. What for.  Most requests are for a few quanta.  Each such size has a
 * cache of ranges that are allocated in the arena and free to the user, so
 * that a pair of alloc and free touches no boundary tag (the paper, 4.4.4).
 *
 * 2. Structures (the paper, 3.1).  A magazine is a unit of the tag pool with
 * room for 62 addresses.  Each CPU has, for each size, a loaded magazine and
 * the previous one; a depot has full and empty ones for all CPUs:
 *
 *	alloc:	loaded -> previous (exchange) -> a full one of the depot
 *		-> the arena
 *	free:	loaded -> previous (exchange) -> an empty one of the depot
 *		-> a new one -> the arena
 *
 * With two magazines a CPU, runs of allocs or frees go to the depot once in 62
 * operations at worst.
 *
 * 3. Per CPU.  A CPU's pair is a cache line of its own, with a lock that is
 * nearly always free, for only who was moved to another CPU between asking
 * (sched_getcpu()) and locking competes for it.  So it is right on any number
 * of threads and CPUs, and a thread that ends leaves nothing behind.
 *
 * 4. Giving back.  Before a request fails or sleeps, all caches of the arena
 * are emptied (qcache_reap()); while requests wait, frees pass the caches by.
 * qcache_tick() gives back the full magazines that the depot never went
 * without since the last tick: the working set stays (the paper, 3.3).
 *
 * 5. VM_CHECK.  A range in a cache is marked in its boundary tag, so a double
 * free, a wrong size or a foreign address is caught as without caches, for
 * the price of the arena's lock.
 *
 * 6. Locks: CPU, then depot; neither is held when the arena's or the tag
 * pool's is taken.
 */
#include "config.h"

#include "qcache/qcache.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "arena/arena_impl.h"

#define ROUNDS 62u
/* Full magazines a depot keeps: beyond, frees go to the arena. */
#define DEPOT_FULL_MAX 16u
#define CPUS_MAX 64u

struct magazine {
	uint32_t mg_next;	/* in the depot: a unit, or UNIT_NIL */
	uint32_t mg_rounds;	/* addresses in it */
	uint64_t mg_spare;
	uint64_t mg_round[ROUNDS];
};
_Static_assert(sizeof(struct magazine) == UNIT_BYTES,
    "a magazine is one unit of the pool");

/* One CPU's share of one cache; all [its lock]. */
struct qcache_cpu {
	_Alignas(64) struct lock qp_lock;
	uint32_t qp_loaded;	/* magazines; UNIT_NIL at first */
	uint32_t qp_previous;
	uint64_t qp_hits;
	uint64_t qp_misses;
	uint64_t qp_fills;
	uint64_t qp_drains;
	uint64_t qp_frees;
};

struct depot {
	_Alignas(64) struct lock dp_lock;
	uint32_t dp_full;	/* lists of magazines */
	uint32_t dp_empty;
	unsigned int dp_nfull;
	unsigned int dp_nempty;
	unsigned int dp_spare;	/* fewest full ones since the last tick */
};

struct qcache {
	struct vmem *qc_vm;
	vmem_size_t qc_size;
	unsigned int qc_ncpus;
	bool qc_check;		/* the arena is VM_CHECK */
	struct depot qc_depot;
	struct qcache_cpu qc_cpu[];
};

static struct magazine *
MAG(uint32_t unit)
{
	return (UNIT(unit));
}

/* ---- life cycle --------------------------------------------------------- */

static unsigned int
cpu_count(void)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	return (n < 1 ? 1 : n > (long)CPUS_MAX ? CPUS_MAX : (unsigned int)n);
}

static size_t
qcache_stride(unsigned int ncpus)
{
	return (sizeof(struct qcache) + ncpus * sizeof(struct qcache_cpu));
}

static struct qcache *
qcache_at(const struct vmem *vm, unsigned int i)
{
	char *base = (char *)vm->vm_qcache;

	return ((struct qcache *)(void *)(base +
	    i * qcache_stride(vm->vm_qcache->qc_ncpus)));
}

int
qcache_init(struct vmem *vm, vmem_size_t qcache_max)
{
	unsigned int ncpus = cpu_count();
	unsigned int count = (unsigned int)((qcache_max + vm->vm_quantum - 1) >>
	    vm->vm_shift);
	struct qcache *qc = meta_alloc(count * qcache_stride(ncpus));

	if (qc == NULL)
		return (ENOMEM);
	vm->vm_qcache = qc;
	vm->vm_qcache_max = (uint64_t)count << vm->vm_shift;
	qc->qc_ncpus = ncpus;
	for (unsigned int i = 0; i < count; i++) {
		qc = qcache_at(vm, i);
		qc->qc_vm = vm;
		qc->qc_size = (uint64_t)(i + 1) << vm->vm_shift;
		qc->qc_ncpus = ncpus;
		qc->qc_check = (vm->vm_flags & VM_CHECK) != 0;
		lock_init(&qc->qc_depot.dp_lock, "depot", LOCK_QCACHE_DEPOT);
		for (unsigned int c = 0; c < ncpus; c++)
			lock_init(&qc->qc_cpu[c].qp_lock, "quantum cache",
			    LOCK_QCACHE_CPU);
	}
	vm->vm_qcache_count = count;
	return (0);
}

static void
list_return(uint32_t unit)
{
	uint32_t next;

	for (; unit != UNIT_NIL; unit = next) {
		next = MAG(unit)->mg_next;
		pool_put(&unit, 1);
	}
}

static void
qcache_destroy(struct qcache *qc)
{
	for (unsigned int c = 0; c < qc->qc_ncpus; c++) {
		struct qcache_cpu *qp = &qc->qc_cpu[c];

		if (qp->qp_loaded != UNIT_NIL)
			pool_put(&qp->qp_loaded, 1);
		if (qp->qp_previous != UNIT_NIL)
			pool_put(&qp->qp_previous, 1);
		lock_fini(&qp->qp_lock);
	}
	list_return(qc->qc_depot.dp_empty);
	lock_fini(&qc->qc_depot.dp_lock);
}

void
qcache_fini(struct vmem *vm)
{
	unsigned int count = vm->vm_qcache_count;
	size_t size;

	if (vm->vm_qcache == NULL)
		return;
	(void)qcache_reap(vm);
	size = count * qcache_stride(vm->vm_qcache->qc_ncpus);
	for (unsigned int i = 0; i < count; i++)
		qcache_destroy(qcache_at(vm, i));
	vm->vm_qcache_count = 0;
	meta_free(vm->vm_qcache, size);
	vm->vm_qcache = NULL;
}

struct qcache *
qcache_for(struct vmem *vm, vmem_size_t size)
{
	uint64_t quanta = size >> vm->vm_shift;

	if (quanta == 0 || quanta > vm->vm_qcache_count)
		return (NULL);
	return (qcache_at(vm, (unsigned int)quanta - 1));
}

/* ---- the depot ---------------------------------------------------------- */

static uint32_t
depot_get(struct depot *dp, bool full)
{
	uint32_t *list = full ? &dp->dp_full : &dp->dp_empty, unit;

	lock_acquire(&dp->dp_lock);
	unit = *list;
	if (unit != UNIT_NIL) {
		*list = MAG(unit)->mg_next;
		if (full) {
			dp->dp_nfull--;
			if (dp->dp_spare > dp->dp_nfull)
				dp->dp_spare = dp->dp_nfull;
		} else
			dp->dp_nempty--;
	}
	lock_release(&dp->dp_lock);
	return (unit);
}

/* false: it has enough full ones. */
static bool
depot_put(struct depot *dp, uint32_t unit, bool full)
{
	uint32_t *list = full ? &dp->dp_full : &dp->dp_empty;
	bool ok;

	lock_acquire(&dp->dp_lock);
	ok = !full || dp->dp_nfull < DEPOT_FULL_MAX;
	if (ok) {
		MAG(unit)->mg_next = *list;
		*list = unit;
		if (full)
			dp->dp_nfull++;
		else
			dp->dp_nempty++;
	}
	lock_release(&dp->dp_lock);
	return (ok);
}

/* ---- one CPU ------------------------------------------------------------ */

/* The one that this thread runs on, as a rule: it may move at any time. */
static struct qcache_cpu *
cpu_this(struct qcache *qc)
{
	int cpu = sched_getcpu();

	return (&qc->qc_cpu[(cpu < 0 ? 0 : (unsigned int)cpu) % qc->qc_ncpus]);
}

static void
exchange(struct qcache_cpu *qp)
{
	uint32_t unit = qp->qp_loaded;

	qp->qp_loaded = qp->qp_previous;
	qp->qp_previous = unit;
}

static bool
has_rounds(uint32_t unit)
{
	return (unit != UNIT_NIL && MAG(unit)->mg_rounds > 0);
}

static bool
has_room(uint32_t unit)
{
	return (unit != UNIT_NIL && MAG(unit)->mg_rounds < ROUNDS);
}

/* Make the loaded magazine one with something in it. */
static bool
load_full(struct qcache *qc, struct qcache_cpu *qp)
{
	uint32_t unit;

	if (has_rounds(qp->qp_loaded))
		return (true);
	if (has_rounds(qp->qp_previous)) {
		exchange(qp);
		return (true);
	}
	unit = depot_get(&qc->qc_depot, true);
	if (unit == UNIT_NIL)
		return (false);
	qp->qp_fills++;
	if (qp->qp_previous != UNIT_NIL)
		(void)depot_put(&qc->qc_depot, qp->qp_previous, false);
	qp->qp_previous = qp->qp_loaded;
	qp->qp_loaded = unit;
	return (true);
}

/* Make the loaded magazine one with room; `spare` is an empty one, if any. */
static bool
load_empty(struct qcache *qc, struct qcache_cpu *qp, uint32_t *spare)
{
	uint32_t unit;

	if (has_room(qp->qp_loaded))
		return (true);
	if (has_room(qp->qp_previous)) {
		exchange(qp);
		return (true);
	}
	unit = *spare != UNIT_NIL ? *spare : depot_get(&qc->qc_depot, false);
	if (unit == UNIT_NIL)
		return (false);
	if (qp->qp_previous != UNIT_NIL &&
	    !depot_put(&qc->qc_depot, qp->qp_previous, true)) {
		if (unit != *spare)
			(void)depot_put(&qc->qc_depot, unit, false);
		return (false);
	}
	if (unit == *spare)
		*spare = UNIT_NIL;
	qp->qp_previous = qp->qp_loaded;
	qp->qp_loaded = unit;
	return (true);
}

int
qcache_alloc(struct qcache *qc, const struct fit *ft, vmem_addr_t *addrp)
{
	struct qcache_cpu *qp = cpu_this(qc);
	struct magazine *mg;
	vmem_addr_t addr = 0;
	bool hit;

	lock_acquire(&qp->qp_lock);
	hit = load_full(qc, qp);
	if (hit) {
		mg = MAG(qp->qp_loaded);
		addr = mg->mg_round[--mg->mg_rounds];
		qp->qp_hits++;
	} else
		qp->qp_misses++;
	lock_release(&qp->qp_lock);
	if (!hit)
		return (arena_get(qc->qc_vm, ft, addrp));
	if (qc->qc_check)
		arena_mark_cached(qc->qc_vm, addr, qc->qc_size, false,
		    "vmem_alloc");
	*addrp = addr;
	return (0);
}

/* Into a magazine of this CPU; false: there was no room. */
static bool
push(struct qcache *qc, vmem_addr_t addr, uint32_t *spare)
{
	struct qcache_cpu *qp = cpu_this(qc);
	bool ok;

	lock_acquire(&qp->qp_lock);
	ok = load_empty(qc, qp, spare);
	if (ok) {
		struct magazine *mg = MAG(qp->qp_loaded);

		mg->mg_round[mg->mg_rounds++] = addr;
		qp->qp_frees++;
	}
	lock_release(&qp->qp_lock);
	return (ok);
}

void
qcache_free(struct qcache *qc, vmem_addr_t addr, const char *who)
{
	struct vmem *vm = qc->qc_vm;
	uint32_t spare = UNIT_NIL;
	bool ok;

	if (qc->qc_check)
		arena_mark_cached(vm, addr, qc->qc_size, true, who);
	ok = atomic_load_explicit(&vm->vm_waiters_below,
		 memory_order_relaxed) == 0;
	if (ok)
		ok = push(qc, addr, &spare);
	if (!ok && pool_get(&spare, 1) == 1) {
		MAG(spare)->mg_rounds = 0;
		ok = atomic_load(&vm->vm_waiters_below) == 0 &&
		    push(qc, addr, &spare);
		if (spare != UNIT_NIL)
			pool_put(&spare, 1);
	}
	if (!ok) {
		arena_put_cached(vm, addr, qc->qc_size);
		wait_serve_tree(vm);
	} else if (atomic_load(&vm->vm_waiters_below) != 0) {
		/* Somebody began to wait while this went into the cache. */
		if (qcache_reap(vm) > 0)
			wait_serve_tree(vm);
	}
}

void
qcache_free_through(struct qcache *qc, vmem_addr_t addr)
{
	arena_put_quietly(qc->qc_vm, addr, qc->qc_size, "vmem_submit");
}

/* ---- giving back -------------------------------------------------------- */

/* Free what is in a magazine, which stays. */
static vmem_size_t
magazine_empty(struct qcache *qc, uint32_t unit)
{
	struct magazine *mg = MAG(unit);
	vmem_size_t bytes = mg->mg_rounds * qc->qc_size;

	while (mg->mg_rounds > 0)
		arena_put_cached(qc->qc_vm, mg->mg_round[--mg->mg_rounds],
		    qc->qc_size);
	return (bytes);
}

/* Empty up to `count` of the depot's full magazines, and return them. */
static vmem_size_t
depot_drain(struct qcache *qc, unsigned int count, uint64_t *rounds)
{
	vmem_size_t bytes = 0, got;
	uint32_t unit;

	while (count-- > 0 &&
	    (unit = depot_get(&qc->qc_depot, true)) != UNIT_NIL) {
		got = magazine_empty(qc, unit);
		*rounds += got / qc->qc_size;
		bytes += got;
		pool_put(&unit, 1);
	}
	return (bytes);
}

static vmem_size_t
cpu_drain(struct qcache *qc, struct qcache_cpu *qp)
{
	uint32_t units[2];
	vmem_size_t bytes = 0;

	lock_acquire(&qp->qp_lock);
	units[0] = qp->qp_loaded;
	units[1] = qp->qp_previous;
	qp->qp_loaded = qp->qp_previous = UNIT_NIL;
	lock_release(&qp->qp_lock);
	for (unsigned int i = 0; i < 2; i++)
		if (units[i] != UNIT_NIL) {
			bytes += magazine_empty(qc, units[i]);
			pool_put(&units[i], 1);
		}
	return (bytes);
}

static void
drains_count(struct qcache *qc, uint64_t rounds)
{
	struct qcache_cpu *qp = cpu_this(qc);

	lock_acquire(&qp->qp_lock);
	qp->qp_drains += rounds;
	lock_release(&qp->qp_lock);
}

static vmem_size_t
qcache_drain(struct qcache *qc)
{
	vmem_size_t bytes = 0;
	uint64_t rounds = 0;
	uint32_t unit;

	for (unsigned int c = 0; c < qc->qc_ncpus; c++)
		bytes += cpu_drain(qc, &qc->qc_cpu[c]);
	bytes += depot_drain(qc, UINT32_MAX, &rounds);
	while ((unit = depot_get(&qc->qc_depot, false)) != UNIT_NIL)
		pool_put(&unit, 1);
	if (bytes > 0)
		drains_count(qc, bytes / qc->qc_size);
	return (bytes);
}

vmem_size_t
qcache_reap(struct vmem *vm)
{
	vmem_size_t bytes = 0;

	for (unsigned int i = 0; i < vm->vm_qcache_count; i++)
		bytes += qcache_drain(qcache_at(vm, i));
	return (bytes);
}

void
vmem_reap(vmem_t *vm)
{
	if (qcache_reap(vm) > 0)
		wait_serve_tree(vm);
}

void
qcache_tick(struct vmem *vm)
{
	vmem_size_t bytes = 0;

	for (unsigned int i = 0; i < vm->vm_qcache_count; i++) {
		struct qcache *qc = qcache_at(vm, i);
		struct depot *dp = &qc->qc_depot;
		unsigned int spare;
		uint64_t rounds = 0;

		lock_acquire(&dp->dp_lock);
		spare = dp->dp_spare;
		lock_release(&dp->dp_lock);
		bytes += depot_drain(qc, spare, &rounds);
		if (rounds > 0)
			drains_count(qc, rounds);
		lock_acquire(&dp->dp_lock);
		dp->dp_spare = dp->dp_nfull;
		lock_release(&dp->dp_lock);
	}
	if (bytes > 0)
		wait_serve_tree(vm);
}

/* ---- statistics --------------------------------------------------------- */

static uint64_t
rounds_of(uint32_t unit)
{
	return (unit == UNIT_NIL ? 0 : MAG(unit)->mg_rounds);
}

int
vmem_qcache_stat(
    const vmem_t *vm, unsigned int index, struct vmem_qcache_stat *qs)
{
	struct qcache *qc;

	if (index >= vm->vm_qcache_count)
		return (ENOENT);
	qc = qcache_at(vm, index);
	memset(qs, 0, sizeof(*qs));
	qs->qs_size = qc->qc_size;
	qs->qs_magazine = ROUNDS;
	for (unsigned int c = 0; c < qc->qc_ncpus; c++) {
		struct qcache_cpu *qp = &qc->qc_cpu[c];

		lock_acquire(&qp->qp_lock);
		qs->qs_hits += qp->qp_hits;
		qs->qs_misses += qp->qp_misses;
		qs->qs_fills += qp->qp_fills;
		qs->qs_drains += qp->qp_drains;
		qs->qs_frees += qp->qp_frees;
		qs->qs_held += rounds_of(qp->qp_loaded) +
		    rounds_of(qp->qp_previous);
		lock_release(&qp->qp_lock);
	}
	lock_acquire(&qc->qc_depot.dp_lock);
	qs->qs_held += (uint64_t)qc->qc_depot.dp_nfull * ROUNDS;
	lock_release(&qc->qc_depot.dp_lock);
	return (0);
}

void
qcache_stat_sum(struct vmem *vm, struct vmem_stat *vs)
{
	struct vmem_qcache_stat qs;

	vs->vs_qc_count = vm->vm_qcache_count;
	for (unsigned int i = 0; i < vm->vm_qcache_count; i++) {
		(void)vmem_qcache_stat(vm, i, &qs);
		vs->vs_qc_hits += qs.qs_hits;
		vs->vs_qc_misses += qs.qs_misses;
		vs->vs_qc_fills += qs.qs_fills;
		vs->vs_qc_drains += qs.qs_drains;
		vs->vs_qc_held_bytes += qs.qs_held * qs.qs_size;
		/* A hit is an allocation that the arena didn't see; what was
		 * drained, a free that the user didn't make. */
		vs->vs_allocs += qs.qs_hits;
		vs->vs_frees += qs.qs_frees - qs.qs_drains;
	}
}
