/*
 * fork.c - the locks of an arena's quantum caches around a fork(2): see
 * lib/arena/fork.c.
 *
 * An area of slots may be made, without any lock, after the others' locks were
 * taken: it isn't marked, so it isn't let go; the child, in which a thread that
 * is no more may have its locks, does without it.  What went into such an area
 * within that moment is lost to the child.
 */
#include "config.h"

#include "qcache/qcache_impl.h"

static void
hold_slots(struct qcaches *qs, bool hold)
{
	for (unsigned int q = 0; q < qs->qs_count; q++)
		for (unsigned int k = 0; k < qs->qs_areas; k++) {
			struct slot *sl = slot_at(&qs->qs_caches[q], k);

			if (sl == NULL || sl->sl_forking == hold)
				continue;
			if (hold)
				lock_hold(&sl->sl_lock);
			sl->sl_forking = hold;
			if (!hold)
				lock_let_go(&sl->sl_lock);
		}
}

/* Take, or release, the locks of that rank. */
void
qcache_fork(struct vmem *vm, enum lock_rank rank, bool hold)
{
	struct qcaches *qs = vm->vm_qcache;
	void (*fn)(struct lock *) = hold ? lock_hold : lock_let_go;

	if (qs == NULL)
		return;
	if (rank == LOCK_QCACHE_CPU)
		hold_slots(qs, hold);
	else if (rank == LOCK_QCACHE_BAR)
		fn(&qs->qs_bar_lock);
	else if (rank == LOCK_QCACHE_SLAB)
		fn(&qs->qs_slabs->sb_lock);
	else
		for (unsigned int q = 0; q < qs->qs_count; q++)
			fn(&qs->qs_caches[q].qc_depot.dp_lock);
}

/* In the child, before the locks are released: nobody bars, for nobody waits or
 * drains. */
void
qcache_fork_child(struct vmem *vm)
{
	struct qcaches *qs = vm->vm_qcache;

	if (qs == NULL)
		return;
	atomic_store_explicit(&qs->qs_bars, 0, memory_order_relaxed);
	qcache_front(vm, false);
	for (unsigned int k = 0; k < qs->qs_areas; k++) {
		struct slot *sl = slot_at(&qs->qs_caches[0], k);

		if (sl != NULL && !sl->sl_forking)
			__atomic_store_n(&qs->qs_area[k],
			    (void *)(uintptr_t)slot_nowhere, __ATOMIC_RELEASE);
	}
}
