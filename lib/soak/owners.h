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
#include <string.h>

#include "util/assert.h"

#define OWNERS_ONES UINT64_C(0x0101010101010101)
/* Its races are the point: they are what is looked for. */
#define OWNERS_RACES __attribute__((__no_sanitize__("thread")))

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

/* Release all that is left of an owner who is no more; in quanta. */
uint64_t owners_clear(struct owners *ow, unsigned int owner);

/* Whose the quantum at addr is; 0: nobody's. */
unsigned int owners_of(const struct owners *ow, uint64_t addr);

/* Who is in the way of [first, first + count), which should be want's. */
__attribute__((__noinline__, __cold__)) enum owners_error owners_conflict_in(
    const struct owners *ow, size_t first, size_t count, unsigned int want,
    struct owners_conflict *conflict);

/* A range's quanta: the first, and how many. */
static inline enum owners_error
owners_quanta(const struct owners *ow, uint64_t addr, uint64_t size,
    size_t *firstp, size_t *countp)
{
	uint64_t offset = addr - ow->ow_base;

	if (addr < ow->ow_base || addr > ow->ow_last || size == 0 ||
	    size - 1 > ow->ow_last - addr)
		return (OWNERS_OUTSIDE);
	if (((offset | size) & (ow->ow_quantum - 1)) != 0)
		return (OWNERS_UNALIGNED);
	*firstp = (size_t)(offset >> ow->ow_shift);
	*countp = (size_t)((size - 1) >> ow->ow_shift) + 1;
	return (OWNERS_OK);
}

/* ---- n bytes, without a loop where they are few --------------------------
 * Of 4 bytes or more, as two words that may overlap; between them whole ones.
 */
static inline uint64_t
owners_load(const unsigned char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return (x);
}

static inline uint32_t
owners_load_half(const unsigned char *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return (x);
}

OWNERS_RACES static inline bool
owners_all_are(const unsigned char *p, size_t n, uint64_t want)
{
	uint64_t other = 0;

	if (n >= 8) {
		for (size_t i = 0; i < n - 8; i += 8)
			other |= owners_load(p + i) ^ want;
		return ((other | (owners_load(p + n - 8) ^ want)) == 0);
	}
	if (n >= 4)
		return (((owners_load_half(p) ^ (uint32_t)want) |
		    (owners_load_half(p + n - 4) ^ (uint32_t)want)) == 0);
	for (size_t i = 0; i < n; i++)
		other |= p[i] ^ (want & 0xff);
	return (other == 0);
}

OWNERS_RACES static inline void
owners_make_all(unsigned char *p, size_t n, uint64_t to)
{
	const uint32_t half = (uint32_t)to;

	if (n >= 8) {
		for (size_t i = 0; i < n - 8; i += 8)
			memcpy(p + i, &to, 8);
		memcpy(p + n - 8, &to, 8);
	} else if (n >= 4) {
		memcpy(p, &half, 4);
		memcpy(p + n - 4, &half, 4);
	} else
		for (size_t i = 0; i < n; i++)
			p[i] = (unsigned char)to;
}

/* ---- claims, all or nothing: who fails has changed nothing ---------------- */

static inline enum owners_error
owners_change(struct owners *ow, uint64_t addr, uint64_t size,
    unsigned int from, unsigned int to, struct owners_conflict *conflict)
{
	size_t first, count;
	enum owners_error error =
	    owners_quanta(ow, addr, size, &first, &count);

	if (__builtin_expect(error != OWNERS_OK, 0))
		return (error);
	if (__builtin_expect(!owners_all_are(ow->ow_owners + first, count,
		from * OWNERS_ONES), 0))
		return (owners_conflict_in(ow, first, count, from, conflict));
	owners_make_all(ow->ow_owners + first, count, to * OWNERS_ONES);
	return (OWNERS_OK);
}

static inline enum owners_error
owners_claim(struct owners *ow, uint64_t addr, uint64_t size,
    unsigned int owner, struct owners_conflict *conflict)
{
	ASSERT(owner >= 1 && owner <= OWNERS_MAX);
	return (owners_change(ow, addr, size, 0, owner, conflict));
}

static inline enum owners_error
owners_release(struct owners *ow, uint64_t addr, uint64_t size,
    unsigned int owner, struct owners_conflict *conflict)
{
	ASSERT(owner >= 1 && owner <= OWNERS_MAX);
	return (owners_change(ow, addr, size, owner, 0, conflict));
}

/* A range will be released soon. */
static inline void
owners_expect(const struct owners *ow, uint64_t addr)
{
	__builtin_prefetch(ow->ow_owners +
	    ((addr - ow->ow_base) >> ow->ow_shift), 1);
}

#endif /* SOAK_OWNERS_H */
