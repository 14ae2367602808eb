/*
 * pte.c - page table entries: claims, waiting, pins.
 *
 * An entry says all there is to know about a page, and changes by
 * compare-and-swap: no lock is taken for it.
 *
 * A claim is the right to change a page: it turns PTE_BUSY_IN or PTE_BUSY_OUT.
 * Until it is settled, others may only ask to be woken (PTE_WAIT), make the
 * page the first of a range (PTE_FIRST) because the one before it went, or take
 * a mark (PTE_REF) off that means nothing any more.
 * Settling comes last: after it a page may be unregistered, and its map be
 * destroyed, at any moment, so nothing of either is touched any more.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include "util/futex.h"

/* Looks at an entry before sleeping: about as long as it takes another CPU to
 * fill a page with zeros. */
#define SPIN_MAX 100

/* The half of the entry that waiters watch. */
static const volatile void *
pte_word(pte_t *ptep)
{
	uintptr_t word = (uintptr_t)ptep;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word += sizeof(uint32_t);
#endif
	return ((const volatile void *)word);
}

bool
pte_claim(pte_t *ptep, uint64_t pte, enum pte_state state)
{
	ASSERT(!pte_busy(pte) && (pte & PTE_PINS) == 0);
	/* Acquire: what those who had the page pinned did to its bytes
	 * (pte_unpin()), and what its last claimant did (pte_settle()). */
	return (atomic_compare_exchange_strong_explicit(ptep, &pte,
	    pte_with_state(pte, state), memory_order_acquire,
	    memory_order_relaxed));
}

void
pte_settle(pte_t *ptep, uint64_t pte)
{
	uint64_t old = atomic_load_explicit(ptep, memory_order_relaxed);

	ASSERT(pte_busy(old) && !pte_busy(pte));
	/* Release: the page's bytes, and its frame's descriptor. */
	while (!atomic_compare_exchange_weak_explicit(ptep, &old,
	    (pte & ~PTE_SHARED) | (old & PTE_FIRST), memory_order_release,
	    memory_order_relaxed))
		continue;
	if ((old & PTE_WAIT) != 0)
		futex_wake(pte_word(ptep), INT_MAX);
}

bool
pte_clear(pte_t *ptep)
{
	/* Not pte_settle(), for the mark goes as well. */
	uint64_t old = atomic_exchange_explicit(
	    ptep, pte_make(PTE_UNREGISTERED, 0), memory_order_release);

	if ((old & PTE_WAIT) != 0)
		futex_wake(pte_word(ptep), INT_MAX);
	return ((old & PTE_FIRST) != 0);
}

void
pte_wait(pte_t *ptep, uint64_t pte)
{
	for (int i = 0; i < SPIN_MAX; i++) {
		if (atomic_load_explicit(ptep, memory_order_relaxed) != pte)
			return;
		cpu_pause();
	}
	if ((pte & PTE_WAIT) == 0 &&
	    !atomic_compare_exchange_strong_explicit(ptep, &pte,
		pte | PTE_WAIT, memory_order_relaxed, memory_order_relaxed))
		return;
	futex_wait(pte_word(ptep), (uint32_t)(pte | PTE_WAIT), NULL);
}

void
pte_unpin(pte_t *ptep)
{
	/* Release: what was done to the bytes, for who claims the page. */
	uint64_t old =
	    atomic_fetch_sub_explicit(ptep, PTE_PIN, memory_order_release);

	ASSERT(pte_state(old) == PTE_RESIDENT && pte_pins(old) > 0);
	if ((old & PTE_WAIT) != 0 && pte_pins(old) == 1) {
		(void)atomic_fetch_and_explicit(
		    ptep, ~PTE_WAIT, memory_order_relaxed);
		futex_wake(pte_word(ptep), INT_MAX);
	}
}
