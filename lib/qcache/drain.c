/*
 * drain.c - giving back: reaping, the periodic call, and for who waits.
 *
 * 1. Emptying other CPUs' slots.  The arena is barred: its sequences find a
 * table of closed slots in place of theirs (rseq.h, 4), and who enters a slot
 * does without (slot_enter()).  One membarrier() restarts what is in sequences,
 * on whatever CPU; after that nobody but who holds a slot's lock touches it, and
 * its magazines are taken.  Then the bar is lifted, and what was in them given
 * back.  It needs nothing of the CPU itself: one that was unplugged, or that no
 * thread may run on any more, is emptied like others.
 *
 * 2. When.  All of an arena, before a request fails or waits, and by
 * vmem_reap().  By the periodic call what wasn't needed for a period: magazines
 * that the depot never went without, and slots that nobody used.
 *
 * 3. No lost wake-up.  While requests wait in its tree of arenas, an arena is
 * barred.  A request counts itself as waiting, which bars (tree.c), then empties
 * the caches: so what was pushed before the bar it finds, and who frees after it
 * doesn't push, but goes on to serve (qcache_free_through()).  Only who has
 * ranges in hand meanwhile, on their way from slabs into a slot, has to ask again
 * (qcache_settle()).  Thus operations need not look whether anybody waits.
 *
 * 4. A request that fails without anybody waiting only looks, without locks,
 * whether there is something to empty.
 */
#include "config.h"

#include "qcache/fast.h"

/* ---- magazines ---------------------------------------------------------- */

static void
drains_count(struct qcache *qc, uint64_t ranges)
{
	lock_acquire(&qc->qc_depot.dp_lock);
	qc->qc_depot.dp_drains += ranges;
	lock_release(&qc->qc_depot.dp_lock);
}

/* Give back what is in it; the magazine stays.  Returns how many. */
static unsigned int
magazine_empty(struct qcache *qc, uint32_t unit)
{
	struct magazine *mg = MAG(unit);
	unsigned int n = mg->mg_rounds;

	if (n > 0)
		(void)slab_put(qc, mg->mg_round, n, SLAB_KEEP_ONE);
	mg->mg_rounds = 0;
	return (n);
}

/* Give back a list of magazines with all that is in them; returns bytes. */
static vmem_size_t
magazines_drain(struct qcache *qc, uint32_t units)
{
	uint64_t ranges = 0;

	for (uint32_t u = units; u != UNIT_NIL; u = MAG(u)->mg_next)
		ranges += magazine_empty(qc, u);
	magazines_return(units);
	if (ranges > 0)
		drains_count(qc, ranges);
	return (ranges * qc->qc_size);
}

/* A full one that the depot had no use for. */
void
magazine_spill(struct qcache *qc, uint32_t unit)
{
	drains_count(qc, magazine_empty(qc, unit));
	(void)depot_put(qc, unit, false);
}

/* ---- slots -------------------------------------------------------------- */

/* Bar the arena's caches, or lift that bar: its caller's own, others stay. */
void
qcache_bar(struct vmem *vm, bool bar)
{
	struct qcaches *qs = vm->vm_qcache;
	unsigned int bars;

	if (qs == NULL)
		return;
	lock_acquire(&qs->qs_bar_lock);
	bars = atomic_load_explicit(&qs->qs_bars, memory_order_relaxed);
	bars += bar ? 1 : 0 - 1u;
	atomic_store_explicit(&qs->qs_bars, bars, memory_order_relaxed);
	qcache_front(vm, bars != 0);
	lock_release(&qs->qs_bar_lock);
}

/* Which slots of each area: a bit for each cache. */
struct selection {
	uint64_t sn_slots[PERCPU_MAX];
};

/* Has nobody used it since this was last asked, and does it hold anything? */
static bool
slot_idle(struct slot *sl)
{
	uint64_t now = atomic_load_explicit(
	    &sl->sl_word, memory_order_relaxed);
	bool idle = now == sl->sl_seen && slot_held(sl) > 0;

	sl->sl_seen = now;
	return (idle);
}

static uint64_t
area_select(struct qcaches *qs, unsigned int k, bool idle_only, bool all)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < qs->qs_count; i++) {
		struct slot *sl = slot_at(&qs->qs_caches[i], k);
		bool take = true;

		if (sl == NULL)
			break;
		if (!all && slot_held(sl) == 0)
			continue;
		if (idle_only) {
			lock_acquire(&sl->sl_lock);
			take = slot_idle(sl);
			lock_release(&sl->sl_lock);
		}
		if (take)
			bits |= UINT64_C(1) << i;
	}
	return (bits);
}

/* Those that hold something, or the idle ones of them, or all; false: none. */
static bool
slots_select(struct qcaches *qs, bool idle_only, bool all,
    struct selection *sn)
{
	bool any = false;

	for (unsigned int k = 0; k < qs->qs_areas; k++) {
		sn->sn_slots[k] = area_select(qs, k, idle_only, all);
		any |= sn->sn_slots[k] != 0;
	}
	return (any);
}

/* With the arena barred: its magazines, before those of a list. */
static uint32_t
slot_unload(struct qcache *qc, struct slot *sl, uint32_t list)
{
	uint32_t units, last;

	lock_acquire(&sl->sl_lock);
	slot_shut(sl);
	units = slot_take_all(sl);
	slot_open(qc, sl);
	lock_release(&sl->sl_lock);
	if (units == UNIT_NIL)
		return (list);
	for (last = units; MAG(last)->mg_next != UNIT_NIL;)
		last = MAG(last)->mg_next;
	MAG(last)->mg_next = list;
	return (units);
}

static vmem_size_t
slots_drain(struct qcaches *qs, bool idle_only, bool all)
{
	uint32_t units[VMEM_QCACHE_MAX] = { UNIT_NIL };
	vmem_size_t bytes = 0;
	struct selection sn;

	if (!slots_select(qs, idle_only, all, &sn))
		return (0);
	qcache_bar(qs->qs_vm, true);
	if (qs->qs_rseq)
		percpu_fence();
	for (unsigned int k = 0; k < qs->qs_areas; k++)
		for (uint64_t bits = sn.sn_slots[k]; bits != 0;
		     bits &= bits - 1) {
			int i = __builtin_ctzll(bits);
			struct qcache *qc = &qs->qs_caches[i];

			units[i] = slot_unload(qc, slot_at(qc, k), units[i]);
		}
	qcache_bar(qs->qs_vm, false);
	for (unsigned int i = 0; i < qs->qs_count; i++)
		bytes += magazines_drain(&qs->qs_caches[i], units[i]);
	return (bytes);
}

/* ---- all of an arena ---------------------------------------------------- */

/* Is there anything in the depots, or a slab that isn't used? */
static bool
depots_hold(const struct qcaches *qs)
{
	for (unsigned int i = 0; i < qs->qs_count; i++)
		if (atomic_load_explicit(
			&qs->qs_caches[i].qc_depot.dp_rounds,
			memory_order_relaxed) != 0)
			return (true);
	return (atomic_load_explicit(
	    &qs->qs_slabs->sb_empty, memory_order_relaxed) != 0);
}

/* Space was gained, though the arena may not have noticed: a range went back
 * to a slab that isn't free yet.  Attempts that failed are to be repeated. */
void
qcache_gain(struct vmem *vm)
{
	lock_acquire(&vm->vm_lock);
	vm->vm_freed++;
	lock_release(&vm->vm_lock);
}

vmem_size_t
qcache_reap(struct vmem *vm)
{
	struct qcaches *qs = vm->vm_qcache;
	vmem_size_t bytes;
	bool waiters;

	if (qs == NULL)
		return (0);
	waiters = qcache_has_waiters(vm);
	bytes = slots_drain(qs, false, waiters);
	if (waiters || depots_hold(qs)) {
		for (unsigned int i = 0; i < qs->qs_count; i++) {
			struct qcache *qc = &qs->qs_caches[i];

			bytes += magazines_drain(
			    qc, depot_take_spare(&qc->qc_depot, true));
		}
		bytes += (vmem_size_t)slabs_trim(qs) << qs->qs_slabs->sb_shift;
	}
	if (bytes > 0)
		qcache_gain(vm);
	return (bytes);
}

void
qcache_forget(struct vmem *vm)
{
	if (vm->vm_qcache != NULL)
		slabs_forget(vm->vm_qcache);
}

void
vmem_reap(vmem_t *vm)
{
	if (qcache_reap(vm) > 0)
		wait_serve_tree(vm);
}

/* Somebody began to wait while this thread put ranges into the caches. */
void
qcache_settle(struct vmem *vm)
{
	if (qcache_has_waiters(vm) && qcache_reap(vm) > 0)
		wait_serve_tree(vm);
}

void
qcache_tick(struct vmem *vm)
{
	struct qcaches *qs = vm->vm_qcache;
	vmem_size_t bytes;

	if (qs == NULL)
		return;
	bytes = slots_drain(qs, true, false);
	for (unsigned int i = 0; i < qs->qs_count; i++) {
		struct qcache *qc = &qs->qs_caches[i];

		bytes += magazines_drain(
		    qc, depot_take_spare(&qc->qc_depot, false));
	}
	if (bytes > 0) {
		qcache_gain(vm);
		wait_serve_tree(vm);
	}
}
