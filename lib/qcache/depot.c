/*
 * depot.c - the full and the empty magazines of one cache, for all CPUs.
 *
 * 1. A CPU comes here when neither of its two magazines serves: once in a
 * magazine's worth of operations at worst.
 *
 * 2. What it keeps.  Full ones up to FULL_MAX a CPU; beyond, what they hold goes
 * back to the slabs.  Within that, reaping keeps the working set (the paper,
 * 3.3): `spare' is the fewest that lay here at any moment since the last tick,
 * and so many nobody would have missed.
 *
 * 3. The size of magazines.  Small ones hold little in idle CPUs, large ones
 * come here rarely.  The paper starts small, and grows them when the depot's
 * lock is contended; so here: ROUNDS_FIRST, then twice that and one, up to
 * what a unit of the pool holds.  When: a visit that has to wait costs about
 * 5 us (a futex sleep and a wake-up), a pair of operations about 5 ns; with p
 * the share of visits that wait, and M operations for each visit, contention
 * costs p * 5000 / M ns for each operation.  It shall be less than a tenth,
 * that is p < M / 10^4.  Out of a window of 1024 visits (DEPOT_WINDOW) that is
 * M/10 that may wait: at 15 rounds 1, at 31 rounds 3 (depot_next_size()).  A
 * window is reached, with all CPUs counted, within 1024 * M operations, so size
 * adapts within microseconds of load, and a single accident doesn't count.
 *
 * 4. Waiting.  A visit takes some 100 ns, 50 times less than sleeping until the
 * lock is let go; so who finds it held tries again for about half a microsecond
 * before it sleeps.  doc/depot.md has what that and larger magazines come to with
 * up to 256 CPUs, simulated.
 */
#include "config.h"

#include "qcache/qcache_impl.h"

#include "util/futex.h"

#define FULL_MAX 16u
#define SPINS 16u
#define SPIN_PAUSES 4u

void
depot_init(struct depot *dp)
{
	lock_init(&dp->dp_lock, "depot", LOCK_QCACHE_DEPOT);
	atomic_init(&dp->dp_size, ROUNDS_FIRST);
}

/* Give back a list of magazines, which hold nothing (more). */
void
magazines_return(uint32_t units)
{
	while (units != UNIT_NIL) {
		uint32_t next = MAG(units)->mg_next;

		pool_put(&units, 1);
		units = next;
	}
}

void
depot_fini(struct depot *dp)
{
	magazines_return(dp->dp_full.ml_first);
	magazines_return(dp->dp_empty.ml_first);
	lock_fini(&dp->dp_lock);
}

static void
window_close(struct depot *dp)
{
	unsigned int size =
	    atomic_load_explicit(&dp->dp_size, memory_order_relaxed);

	atomic_store_explicit(&dp->dp_size,
	    depot_next_size(size, dp->dp_waited), memory_order_relaxed);
	dp->dp_visits = 0;
	dp->dp_waited = 0;
}

/* The lock is let go, or not for a while. */
static bool
lock_soon(struct lock *lk) TRY_ACQUIRE(true, lk) NO_THREAD_SAFETY_ANALYSIS
{
	for (unsigned int i = 0; i < SPINS; i++) {
		for (unsigned int k = 0; k < SPIN_PAUSES; k++)
			cpu_pause();
		if (lock_try(lk))
			return (true);
	}
	return (false);
}

static void
depot_lock(struct depot *dp) ACQUIRE(dp->dp_lock) NO_THREAD_SAFETY_ANALYSIS
{
	if (!lock_try(&dp->dp_lock)) {
		if (!lock_soon(&dp->dp_lock))
			lock_acquire(&dp->dp_lock);
		dp->dp_waited++;
		dp->dp_waits++;
	}
	if (++dp->dp_visits >= DEPOT_WINDOW)
		window_close(dp);
}

static uint32_t
list_pop(struct maglist *ml)
{
	uint32_t unit = ml->ml_first;

	if (unit != UNIT_NIL) {
		ml->ml_first = MAG(unit)->mg_next;
		ml->ml_count--;
		if (ml->ml_spare > ml->ml_count)
			ml->ml_spare = ml->ml_count;
	}
	return (unit);
}

static void
list_push(struct maglist *ml, uint32_t unit)
{
	MAG(unit)->mg_next = ml->ml_first;
	ml->ml_first = unit;
	ml->ml_count++;
}

/* With the lock. */
static void
rounds_add(struct depot *dp, uint64_t count)
{
	atomic_store_explicit(&dp->dp_rounds,
	    atomic_load_explicit(&dp->dp_rounds, memory_order_relaxed) + count,
	    memory_order_relaxed);
}

/* With the lock: false, it has enough full ones. */
static bool
keep(struct qcache *qc, uint32_t unit, bool full)
{
	struct depot *dp = &qc->qc_depot;

	if (full && dp->dp_full.ml_count >=
		FULL_MAX * qc->qc_set->qs_percpu->pc_cpus)
		return (false);
	list_push(full ? &dp->dp_full : &dp->dp_empty, unit);
	if (full)
		rounds_add(dp, MAG(unit)->mg_rounds);
	return (true);
}

/*
 * Get a full magazine, or an empty one, for one of the other kind, if `give' is
 * one.  UNIT_NIL: there is none, and `give' stays.  *victimp: it had enough like
 * `give', which is the caller's.
 */
uint32_t
depot_exchange(struct qcache *qc, bool full, uint32_t give, uint32_t *victimp)
{
	struct depot *dp = &qc->qc_depot;
	uint32_t unit;

	depot_lock(dp);
	unit = list_pop(full ? &dp->dp_full : &dp->dp_empty);
	if (full && unit != UNIT_NIL)
		rounds_add(dp, 0 - (uint64_t)MAG(unit)->mg_rounds);
	if (unit != UNIT_NIL && give != UNIT_NIL && !keep(qc, give, !full))
		*victimp = give;
	lock_release(&dp->dp_lock);
	return (unit);
}

/* false: it has enough full ones. */
bool
depot_put(struct qcache *qc, uint32_t unit, bool full)
{
	bool ok;

	depot_lock(&qc->qc_depot);
	ok = keep(qc, unit, full);
	lock_release(&qc->qc_depot.dp_lock);
	return (ok);
}

/*
 * A list of the magazines, full and empty, that the working set doesn't need,
 * or of all; the period begins anew.
 */
uint32_t
depot_take_spare(struct depot *dp, bool all)
{
	struct maglist *lists[2] = { &dp->dp_full, &dp->dp_empty };
	uint32_t units = UNIT_NIL, unit;

	lock_acquire(&dp->dp_lock);
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int n = all ? lists[i]->ml_count : lists[i]->ml_spare;

		for (; n > 0 && (unit = list_pop(lists[i])) != UNIT_NIL; n--) {
			if (i == 0)
				rounds_add(dp,
				    0 - (uint64_t)MAG(unit)->mg_rounds);
			else
				MAG(unit)->mg_rounds = 0;
			MAG(unit)->mg_next = units;
			units = unit;
		}
		lists[i]->ml_spare = lists[i]->ml_count;
	}
	lock_release(&dp->dp_lock);
	return (units);
}
