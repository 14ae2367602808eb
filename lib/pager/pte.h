/*
 * pte.h - page table entries: their bits, and what turns them.
 */
#ifndef PAGER_PTE_H
#define PAGER_PTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- page table entries (theory: pager.c §2) ------------------------------
 *
 *  63            32 31       18  17    16   15     7   6    5     4    3   2   0
 * +----------------+-----------+-----+----+--------+-----+----+-----+---+-------+
 * | frame or slot  |generation |ahead|held|  pins  |first|wait|dirty|ref| state |
 * +----------------+-----------+-----+----+--------+-----+----+-----+---+-------+
 *
 * The number is a frame where the page is resident (or was, when eviction or
 * unregistration claimed it), a slot or NO_SLOT in the other states.  The
 * generation is that of the slot's contents (its low bits), and 0 where the
 * number isn't a slot.  Everything that a waiter waits for is in the low half,
 * which is what it gives to futex(2).
 */
typedef _Atomic uint64_t pte_t;

enum pte_state {
	PTE_UNREGISTERED,	/* takes no faults: EFAULT */
	PTE_ZERO,		/* reads as zeros; has no frame, no slot */
	PTE_RESIDENT,		/* in a frame */
	PTE_BUSY_IN,		/* claimed by a fault */
	PTE_BUSY_OUT,		/* claimed by eviction or unregistration */
	PTE_SWAPPED,		/* in a slot */
	PTE_FAILED		/* its contents are lost: EIO */
};

#define PTE_STATE ((uint64_t)7)
#define PTE_REF ((uint64_t)1 << 3)	/* accessed since the hand passed */
#define PTE_DIRTY ((uint64_t)1 << 4)	/* differs from its slot, or from zeros
					 * if it has none */
#define PTE_WAIT ((uint64_t)1 << 5)	/* someone sleeps on it */
#define PTE_FIRST ((uint64_t)1 << 6)	/* first page of a registered range */
#define PTE_PIN ((uint64_t)1 << 7)	/* one pin */
#define PTE_PINS ((uint64_t)0x1ff << 7)
#define PTE_HELD ((uint64_t)1 << 16)	/* resident by advice: isn't evicted */
#define PTE_AHEAD ((uint64_t)1 << 17)	/* brought in, and not accessed yet */
#define PTE_GEN_SHIFT 18
#define PTE_GEN ((uint64_t)0x3fff << PTE_GEN_SHIFT)
#define PTE_NUMBER_SHIFT 32
#define SLOT_GEN_MASK ((uint32_t)0x3fff)

/* What others may change in an entry while its page is claimed. */
#define PTE_SHARED (PTE_WAIT | PTE_FIRST)

#define NO_SLOT UINT32_MAX
#define NO_FRAME UINT32_MAX

static inline enum pte_state
pte_state(uint64_t pte)
{
	return ((enum pte_state)(pte & PTE_STATE));
}

static inline uint32_t
pte_number(uint64_t pte)
{
	return ((uint32_t)(pte >> PTE_NUMBER_SHIFT));
}

static inline uint32_t
pte_gen(uint64_t pte)
{
	return ((uint32_t)((pte & PTE_GEN) >> PTE_GEN_SHIFT));
}

static inline bool
pte_busy(uint64_t pte)
{
	return (pte_state(pte) == PTE_BUSY_IN ||
	    pte_state(pte) == PTE_BUSY_OUT);
}

static inline uint64_t
pte_make(enum pte_state state, uint32_t number)
{
	return ((uint64_t)state | (uint64_t)number << PTE_NUMBER_SHIFT);
}

/* What registering leaves: a page that reads as zeros. */
#define PTE_NEW pte_make(PTE_ZERO, NO_SLOT)

static inline uint64_t
pte_make_swapped(uint32_t slot, uint32_t gen)
{
	return (pte_make(PTE_SWAPPED, slot) | (uint64_t)gen << PTE_GEN_SHIFT);
}

static inline uint32_t
pte_pins(uint64_t pte)
{
	return ((uint32_t)((pte & PTE_PINS) / PTE_PIN));
}

/* The same page in another state, everything else as it was. */
static inline uint64_t
pte_with_state(uint64_t pte, enum pte_state state)
{
	return ((pte & ~PTE_STATE) | (uint64_t)state);
}

#endif /* PAGER_PTE_H */
