/*
 * fast.h - what nearly every vmem_alloc() and vmem_free() of a small range is:
 * one sequence on this CPU's slot.  Everything else is out of line.
 *
 * All that it needs is in one line of the arena (struct front): fr_max says at
 * one comparison whether a size has a cache, sequences are to be had, and the
 * arena isn't VM_CHECK; the table of areas, whether it is barred.  The way out is
 * always a tail call, so that neither function has a frame, or saves a register.
 *
 * There is one attempt.  A sequence is interrupted if a preemption, a migration
 * or a signal falls into its few nanoseconds, once in 10^5 at a timer of 1 ms;
 * then, as when it was refused, the slot's lock is taken, which gets on even
 * under a debugger that steps through every instruction (slot_enter()).
 */
#ifndef QCACHE_FAST_H
#define QCACHE_FAST_H

#include "qcache/qcache_impl.h"

/* Does anybody wait in the arena's tree? */
static inline bool
qcache_has_waiters(struct vmem *vm)
{
	return (__builtin_expect(atomic_load_explicit(&vm->vm_waiters_below,
	    memory_order_relaxed) != 0, 0));
}

/* Which cache is for a size, less one, that has one. */
static inline size_t
qcache_index(const struct vmem *vm, vmem_size_t size_less_1)
{
	return (size_less_1 >> vm->vm_front.fr_shift);
}

/* By this CPU's slot of that cache. */
static inline enum rseq_result
qcache_pop(struct vmem *vm, size_t index, vmem_addr_t *addrp)
{
	return (rseq_pop(
	    &vm->vm_front.fr_rseq, index * sizeof(struct slot), addrp));
}

static inline enum rseq_result
qcache_push(struct vmem *vm, size_t index, vmem_addr_t addr)
{
	return (rseq_push(
	    &vm->vm_front.fr_rseq, index * sizeof(struct slot), addr));
}

#endif /* QCACHE_FAST_H */
