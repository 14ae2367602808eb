/*
 * stat.c - what the caches count.
 *
 * Each CPU counts in its own slot, and a depot under its lock: no counter is
 * shared by CPUs that don't meet there anyway.  A reader adds them up, slot by
 * slot under the slot's lock, and stops nobody: pops and pushes by sequences go
 * on, and each slot's part is of one moment.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "qcache/qcache_impl.h"

static void
slots_add(struct qcache *qc, struct vmem_qcache_stat *qt)
{
	for (unsigned int k = 0; k < qc->qc_set->qs_areas; k++) {
		struct slot *sl = slot_at(qc, k);

		if (sl == NULL)
			continue;
		lock_acquire(&sl->sl_lock);
		qt->qs_hits += slot_hits(sl);
		qt->qs_frees += slot_pushes(sl);
		qt->qs_misses += sl->sl_misses;
		qt->qs_fills += sl->sl_fills;
		qt->qs_held += slot_held(sl);
		lock_release(&sl->sl_lock);
	}
}

int
vmem_qcache_stat(
    const vmem_t *vm, unsigned int index, struct vmem_qcache_stat *qt)
{
	struct qcache *qc;
	struct slabs *sb;

	if (index >= vm->vm_qcache_count)
		return (ENOENT);
	qc = &vm->vm_qcache->qs_caches[index];
	sb = qc->qc_set->qs_slabs;
	memset(qt, 0, sizeof(*qt));
	qt->qs_size = qc->qc_size;
	qt->qs_magazine = atomic_load_explicit(
	    &qc->qc_depot.dp_size, memory_order_relaxed);
	slots_add(qc, qt);
	lock_acquire(&qc->qc_depot.dp_lock);
	qt->qs_held += qc->qc_depot.dp_rounds;
	qt->qs_drains = qc->qc_depot.dp_drains;
	qt->qs_depot_waits = qc->qc_depot.dp_waits;
	lock_release(&qc->qc_depot.dp_lock);
	lock_acquire(&sb->sb_lock);
	qt->qs_slabs = qc->qc_class->sc_slabs;
	qt->qs_slab_free = qc->qc_class->sc_free;
	lock_release(&sb->sb_lock);
	return (0);
}

void
qcache_stat_sum(struct vmem *vm, struct vmem_stat *vs)
{
	struct qcaches *qs = vm->vm_qcache;
	struct vmem_qcache_stat qt;

	if (qs == NULL)
		return;
	vs->vs_qc_count = vm->vm_qcache_count;
	for (unsigned int i = 0; i < vm->vm_qcache_count; i++) {
		(void)vmem_qcache_stat(vm, i, &qt);
		vs->vs_qc_hits += qt.qs_hits;
		vs->vs_qc_misses += qt.qs_misses;
		vs->vs_qc_fills += qt.qs_fills;
		vs->vs_qc_drains += qt.qs_drains;
		vs->vs_qc_held_bytes += qt.qs_held * qt.qs_size;
		/* What the user did, and the arena didn't see. */
		vs->vs_allocs += qt.qs_hits;
		vs->vs_frees += qt.qs_frees;
	}
	/* What is free in slabs is in nobody's use. */
	vs->vs_qc_idle_bytes = slabs_idle(qs);
	if (vs->vs_qc_idle_bytes > vs->vs_inuse) /* of another moment */
		vs->vs_qc_idle_bytes = vs->vs_inuse;
	vs->vs_inuse -= vs->vs_qc_idle_bytes;
	vs->vs_free += vs->vs_qc_idle_bytes;
	vs->vs_qc_restarts = atomic_load_explicit(
	    &qs->qs_restarts, memory_order_relaxed);
	/* What the arena saw, and the user didn't do. */
	lock_acquire(&qs->qs_slabs->sb_lock);
	vs->vs_qc_slabs = qs->qs_slabs->sb_count;
	vs->vs_allocs += qs->qs_slabs->sb_served - qs->qs_slabs->sb_gets;
	vs->vs_frees += qs->qs_slabs->sb_passed - qs->qs_slabs->sb_puts;
	lock_release(&qs->qs_slabs->sb_lock);
}

const char *
qcache_check(struct vmem *vm)
{
	return (vm->vm_qcache == NULL ? NULL : slabs_check(vm->vm_qcache));
}
