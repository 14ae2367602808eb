/*
 * check.h - VM_CHECK's fast path: the theory is in check.c.
 */
#ifndef QCACHE_CHECK_H
#define QCACHE_CHECK_H

#include "qcache/slab.h"

/*
 * addr is in state `was', and gets another.  false: it isn't, or its slab isn't
 * the first of its chain; check_out() or check_in() will know.  (Of an address of
 * which nothing is allocated it may be another slab's state that is looked at,
 * if that one takes the header at this moment.)
 */
static inline bool
check_turn(const struct vmem *vm, vmem_addr_t addr, uint8_t was, uint8_t now)
{
	const struct slabs *sb = vm->vm_front.fr_slabs;
	uint64_t start = addr & sb->sb_mask;
	uint32_t h = slab_first(sb, start);
	struct slab *sl = SLAB(h);
	_Atomic(uint8_t) *state;

	if (__builtin_expect(h == UNIT_NIL || atomic_load_explicit(
		&sl->sl_addr, memory_order_relaxed) != start, 0))
		return (false);
	state = slab_state_of(sl, (addr ^ start) >> vm->vm_front.fr_shift);
	if (__builtin_expect(atomic_load_explicit(
		state, memory_order_relaxed) != was, 0))
		return (false);
	atomic_store_explicit(state, now, memory_order_relaxed);
	return (true);
}

#endif /* QCACHE_CHECK_H */
