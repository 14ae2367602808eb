/*
 * handover.c - see handover.h.
 *
 * Slot i is to be filled by the giver with number n, n mod SLOTS = i, when its
 * turn is n, and emptied by the taker with number n when it is n + 1; that
 * sets it to n + SLOTS.  Release when a turn is passed on, acquire when it is
 * seen: with it goes the range.
 */
#include "config.h"

#include "soak/handover.h"

void
handover_init(struct handover *ho, unsigned int givers)
{
	for (uint64_t i = 0; i < HANDOVER_SLOTS; i++)
		atomic_init(&ho->ho_slots[i].hs_turn, i);
	atomic_init(&ho->ho_givers, givers);
}

/* The slot whose turn is `ahead` of the counter's; NULL: full, or empty. */
static struct handover_slot *
my_slot(struct handover *ho, _Atomic uint64_t *counter, uint64_t ahead,
    uint64_t *np)
{
	uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);

	for (;;) {
		struct handover_slot *hs = &ho->ho_slots[n % HANDOVER_SLOTS];
		int64_t turn = (int64_t)(atomic_load_explicit(
		    &hs->hs_turn, memory_order_acquire) - (n + ahead));

		if (turn < 0)
			return (NULL);
		if (turn == 0 && atomic_compare_exchange_weak_explicit(counter,
		    &n, n + 1, memory_order_relaxed, memory_order_relaxed)) {
			*np = n;
			return (hs);
		}
		if (turn > 0)
			n = atomic_load_explicit(
			    counter, memory_order_relaxed);
	}
}

bool
handover_give(struct handover *ho, const struct job_range *ra)
{
	uint64_t n;
	struct handover_slot *hs = my_slot(ho, &ho->ho_in, 0, &n);

	if (hs == NULL)
		return (false);
	hs->hs_range = *ra;
	atomic_store_explicit(&hs->hs_turn, n + 1, memory_order_release);
	return (true);
}

bool
handover_take(struct handover *ho, struct job_range *ra)
{
	uint64_t n;
	struct handover_slot *hs = my_slot(ho, &ho->ho_out, 1, &n);

	if (hs == NULL)
		return (false);
	*ra = hs->hs_range;
	atomic_store_explicit(
	    &hs->hs_turn, n + HANDOVER_SLOTS, memory_order_release);
	return (true);
}

void
handover_leave(struct handover *ho)
{
	/* Release: what it gave is seen by who sees it gone. */
	(void)atomic_fetch_sub_explicit(
	    &ho->ho_givers, 1, memory_order_release);
}

bool
handover_over(const struct handover *ho)
{
	return (atomic_load_explicit(&ho->ho_givers, memory_order_acquire) ==
	    0 && atomic_load_explicit(&ho->ho_in, memory_order_acquire) ==
	    atomic_load_explicit(&ho->ho_out, memory_order_acquire));
}
