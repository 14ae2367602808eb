/*
 * owners.h - who has which quantum: an oracle outside of the allocator.
 *
 * A byte for each quantum of the arena's addresses, 0 or the number of the
 * worker that was given it.  A range is claimed when it has been handed out,
 * and released before it is freed; so no claim may ever meet another's, in
 * whatever order things happen, and a range that was handed out twice, or that
 * overlaps one, is found by whoever comes second; of two at the very same moment,
 * by the one that frees it first.
 *
 *	claim	8 quanta at a time, by plain loads and stores (owners.c says why
 *		that will do): no locks, so that it works among threads, and
 *		among processes that share it and may be killed in the middle
 *		of anything
 *	memory	reserved, and populated as it is used: 1/4096 of an arena of
 *		pages; what is left of a dead process is found by its number
 *
 * Any number of threads and processes.
 */
#ifndef SOAK_OWNERS_H
#define SOAK_OWNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OWNERS_MAX 255			/* numbers are 1 ... OWNERS_MAX */
#define OWNERS_QUANTA_MAX (UINT64_C(1) << 34)	/* 16 GiB of reservation */

struct owners {
	unsigned char *ow_owners;	/* of each quantum, the lowest first */
	size_t ow_count;
	size_t ow_bytes;		/* of the mapping: whole words */
	uint64_t ow_base, ow_last;	/* of the addresses, inclusive */
	uint64_t ow_quantum;
	unsigned int ow_shift;		/* log2 of the quantum */
};

/* For [base, base + size); shared with the children of a fork(2).  EFBIG: more
 * than OWNERS_QUANTA_MAX quanta; EINVAL: an empty span, or a quantum that is
 * not a power of two; ENOMEM. */
int owners_init(struct owners *ow, uint64_t base, uint64_t size,
    uint64_t quantum);
void owners_fini(struct owners *ow);	/* or one that is all zeros */

enum owners_error {
	OWNERS_OK,
	OWNERS_OUTSIDE,		/* not inside the span */
	OWNERS_UNALIGNED,	/* not whole quanta */
	OWNERS_TAKEN,		/* part of it is somebody's: *conflict */
	OWNERS_NOT_THEIRS	/* release: part of it isn't the owner's */
};

struct owners_conflict {
	uint64_t oc_addr;	/* the first quantum in question */
	unsigned int oc_owner;	/* whose it is; 0: nobody's */
};

/* All or nothing: who fails has changed nothing. */
enum owners_error owners_claim(struct owners *ow, uint64_t addr, uint64_t size,
    unsigned int owner, struct owners_conflict *conflict);
enum owners_error owners_release(struct owners *ow, uint64_t addr,
    uint64_t size, unsigned int owner, struct owners_conflict *conflict);

/* Release all that is left of an owner who is no more; in quanta. */
uint64_t owners_clear(struct owners *ow, unsigned int owner);

/* Whose the quantum at addr is; 0: nobody's. */
unsigned int owners_of(const struct owners *ow, uint64_t addr);

#endif /* SOAK_OWNERS_H */
