/*
 * fast.h - what nearly every vmem_alloc() and vmem_free() of a small range is:
 * one sequence on this CPU's slot.  Everything else is out of line.
 */
#ifndef QCACHE_FAST_H
#define QCACHE_FAST_H

#include "qcache/qcache_impl.h"

/*
 * Attempts at a sequence.  It is interrupted if a preemption, a migration or a
 * signal falls into its few nanoseconds: once in 10^5 at a timer of 1 ms, twice
 * in a row by chance never.  Three in a row is a debugger that steps through
 * it; then the slot's lock is taken, which is slow, and gets on.
 */
#define RESTARTS_MAX 3u

void qcache_restarted(struct qcaches *qs);

/* The counterpart of the fence in qcache_reap(): see drain.c. */
static inline bool
qcache_has_waiters(struct vmem *vm)
{
	return (__builtin_expect(
	    atomic_load_explicit(
		&vm->vm_waiters_below, memory_order_seq_cst) != 0, 0));
}

static inline bool
qcache_pop(struct qcaches *qs, unsigned int cache, vmem_addr_t *addrp)
{
	for (unsigned int try = 0; try < RESTARTS_MAX; try++) {
		enum rseq_result result = rseq_pop(&qs->qs_place,
		    (void *const *)(const void *)qs->qs_area,
		    cache * sizeof(struct slot), addrp);

		if (result != RSEQ_ABORTED)
			return (result == RSEQ_DONE);
		qcache_restarted(qs);
	}
	return (false);
}

static inline bool
qcache_push(struct qcaches *qs, unsigned int cache, vmem_addr_t addr)
{
	for (unsigned int try = 0; try < RESTARTS_MAX; try++) {
		enum rseq_result result = rseq_push(&qs->qs_place,
		    (void *const *)(const void *)qs->qs_area,
		    cache * sizeof(struct slot), addr);

		if (result != RSEQ_ABORTED)
			return (result == RSEQ_DONE);
		qcache_restarted(qs);
	}
	return (false);
}

/* false: not this way, for whatever reason. */
static inline bool
qcache_get(struct vmem *vm, vmem_size_t size, vmem_addr_t *addrp)
{
	struct qcaches *qs = vm->vm_qcache;
	unsigned int cache;

	if (size - 1 >= vm->vm_qcache_max || !qs->qs_rseq)
		return (false);
	cache = (unsigned int)((size - 1) >> vm->vm_shift);
	if (!qcache_pop(qs, cache, addrp))
		return (false);
	if (__builtin_expect(qs->qs_check, 0))
		check_out(&qs->qs_caches[cache], *addrp);
	return (true);
}

/* false: the size has no cache. */
static inline bool
qcache_put(struct vmem *vm, vmem_addr_t addr, vmem_size_t size)
{
	struct qcaches *qs = vm->vm_qcache;
	unsigned int cache;

	if (size - 1 >= vm->vm_qcache_max)
		return (false);
	cache = (unsigned int)((size - 1) >> vm->vm_shift);
	if (__builtin_expect(qs->qs_check, 0))
		check_in(&qs->qs_caches[cache], addr, "vmem_free");
	if (!qs->qs_rseq || qcache_has_waiters(vm) ||
	    !qcache_push(qs, cache, addr))
		qcache_free(&qs->qs_caches[cache], addr);
	else if (qcache_has_waiters(vm))
		qcache_settle(vm);
	return (true);
}

#endif /* QCACHE_FAST_H */
