/*
 * handover.h - ranges from those who allocate to those who free.
 *
 * A bounded queue for any number of threads, or of processes that share its
 * memory, at both ends (after D. Vyukov's bounded MPMC queue): a slot's
 * sequence number says whether it is to be filled or emptied next, so that
 * each end only ever competes for its own counter.  Nobody sleeps in it: who
 * finds it full or empty has other things to do, or pauses.
 */
#ifndef SOAK_HANDOVER_H
#define SOAK_HANDOVER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "job/stream.h"

#define HANDOVER_SLOTS 256u		/* a power of two */

struct handover {
	_Alignas(64) _Atomic uint64_t ho_in;	/* slots ever filled */
	_Alignas(64) _Atomic uint64_t ho_out;	/* and emptied */
	_Alignas(64) _Atomic unsigned int ho_givers;	/* at work */
	struct handover_slot {
		_Atomic uint64_t hs_turn;
		struct job_range hs_range;
	} ho_slots[HANDOVER_SLOTS];
};

/* Make one in memory that is all zeros; givers: who will call
 * handover_leave(). */
void handover_init(struct handover *ho, unsigned int givers);

bool handover_give(struct handover *ho, const struct job_range *ra);
bool handover_take(struct handover *ho, struct job_range *ra);

/* A giver has given its last. */
void handover_leave(struct handover *ho);
/* Is everything that will ever come taken? */
bool handover_over(const struct handover *ho);

#endif /* SOAK_HANDOVER_H */
