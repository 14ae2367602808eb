/*
 * drain.c - giving back: reaping, the periodic call, and for who waits.
 *
 * 1. Emptying other CPUs' slots.  A slot is closed by its gate, for all who are
 * to be emptied at once; then one membarrier() restarts what runs in sequences,
 * on whatever CPU; after that nobody but who holds a slot's lock touches it, and
 * its magazines are taken.  Between the two it is marked (sl_draining), so that
 * its own CPU doesn't wait: who finds it so does without.  It needs nothing of
 * the CPU itself: one that was unplugged, or that no thread may run on any more,
 * is emptied like others.
 *
 * 2. When.  All of an arena, before a request fails or waits, and by
 * vmem_reap().  By the periodic call what wasn't needed for a period: magazines
 * that the depot never went without, and slots that nobody used.
 *
 * 3. No lost wake-up.  A free pushes (plain stores), then looks whether anybody
 * waits (a plain load, which the processor may do before the stores are seen by
 * others).  A request counts itself as waiting, then empties the caches.  With
 * two plain sides both could miss each other; the fence is on the side that can
 * afford it: when somebody waits, qcache_reap() has the kernel fence all CPUs
 * before it looks.  So either it sees what was pushed, or who pushed sees the
 * request, and empties the caches itself (qcache_settle()).
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

static void
slot_mark(struct slot *sl)
{
	sl->sl_draining++;
	__atomic_store_n(&sl->sl_gate, RSEQ_GATE_CLOSED, __ATOMIC_RELEASE);
}

/* Mark those that hold something, or the idle ones, or all; false: none. */
static bool
slots_select(struct qcaches *qs, bool idle_only, bool all,
    struct selection *sn)
{
	bool any = false;

	for (unsigned int k = 0; k < qs->qs_areas; k++) {
		sn->sn_slots[k] = 0;
		for (unsigned int i = 0; i < qs->qs_count; i++) {
			struct slot *sl = slot_at(&qs->qs_caches[i], k);

			if (sl == NULL)
				break;
			if (!all && slot_held(sl) == 0)
				continue;
			lock_acquire(&sl->sl_lock);
			if (!idle_only || slot_idle(sl)) {
				slot_mark(sl);
				sn->sn_slots[k] |= UINT64_C(1) << i;
				any = true;
			}
			lock_release(&sl->sl_lock);
		}
	}
	return (any);
}

/* Take the magazines of a marked slot, and open it. */
static uint32_t
slot_unload(struct slot *sl)
{
	uint32_t units;

	lock_acquire(&sl->sl_lock);
	units = slot_take_all(sl);
	if (--sl->sl_draining == 0)
		__atomic_store_n(&sl->sl_gate, 0, __ATOMIC_RELEASE);
	lock_release(&sl->sl_lock);
	return (units);
}

static vmem_size_t
slots_drain(struct qcaches *qs, bool idle_only, bool all)
{
	struct selection sn;
	vmem_size_t bytes = 0;

	if (!slots_select(qs, idle_only, all, &sn))
		return (0);
	if (qs->qs_rseq)
		percpu_fence();
	for (unsigned int k = 0; k < qs->qs_areas; k++)
		for (uint64_t bits = sn.sn_slots[k]; bits != 0;
		     bits &= bits - 1) {
			struct qcache *qc =
			    &qs->qs_caches[__builtin_ctzll(bits)];

			bytes += magazines_drain(
			    qc, slot_unload(slot_at(qc, k)));
		}
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
