/*
 * slab.h - headers of slabs, and looking one up without a lock: slab.c.
 */
#ifndef QCACHE_SLAB_H
#define QCACHE_SLAB_H

#include "qcache/qcache_impl.h"

struct slab {
	_Atomic(uint64_t) sl_addr;	/* [B] also read without */
	_Atomic(uint32_t) sl_link;	/* [B] next in its chain; likewise */
	uint32_t sl_next, sl_prev;	/* [B] in its class' list */
	_Atomic(uint8_t) sl_kind;	/* [B] release, pairs with find() */
	uint8_t sl_class;		/* [B] whose; single: which cache's */
	uint16_t sl_free;		/* [B] ranges free in it; if any, it is in
					 * the list */
	uint64_t sl_bits[];		/* [B] which */
};
_Static_assert(sizeof(struct slab) == 24, "with 64 ranges it is 32 bytes");

/*
 * In VM_CHECK arenas a header is a cache line, with the address of its states at
 * the end, and every quantum of the slab has one.  A slab's states are a column,
 * one byte wide, of a sheet, which has a line for each quantum:
 *
 *		 slab 0  1  2  3 ..	 55
 *	quantum 0     o  o  o  o  o  o  o  o  (next sheet)
 *	quantum 1     o  o  o  o  o  o  o  o
 *	 ..
 *
 * So no two ranges of one slab share a line, while CPUs do share slabs, and a
 * byte for each quantum is all that it costs.
 */
#define SLAB_LINE 64u
#define SLAB_STATES 56u
#define SLAB_QUANTA_MAX 256u
_Static_assert(sizeof(struct slab) + SLAB_QUANTA_MAX / 64 * sizeof(uint64_t) <=
    SLAB_STATES, "bits, and what is behind them");

/* Headers cut from a unit, but for the first place; and columns of a sheet. */
#define UNIT_HEADERS (UNIT_BYTES / SLAB_LINE - 1)
#define SHEET_COLUMNS (8 * UNIT_HEADERS)
#define SHEET_NEXT SHEET_COLUMNS
_Static_assert(SHEET_NEXT + sizeof(void *) <= SLAB_LINE, "a link fits");

/* Chains of headers, by a hash of where the slab begins. */
struct slabtable {
	struct slabtable *st_old;	/* outgrown */
	size_t st_bytes;
	unsigned int st_shift;
	_Atomic(uint32_t) st_chain[];	/* header, or UNIT_NIL; release, pairs
					 * with find() without the lock */
};

/* A header is named by where in the table of units it begins: 32 bits. */
static inline struct slab *
SLAB(uint32_t header)
{
	return ((struct slab *)(void *)(unit_table + header));
}

static inline size_t
slab_hash(const struct slabtable *st, uint64_t start)
{
	return ((start * UINT64_C(0x9e3779b97f4a7c15)) >> st->st_shift);
}

/* Where its states begin: constant, once it has been cut. */
static inline _Atomic(uint8_t) **
slab_states(struct slab *sl)
{
	return ((_Atomic(uint8_t) **)(void *)((char *)sl + SLAB_STATES));
}

/* The state of a quantum, by its number in the slab. */
static inline _Atomic(uint8_t) *
slab_state_of(struct slab *sl, uint64_t quantum)
{
	return (*slab_states(sl) + quantum * SLAB_LINE);
}

/* The first header of the chain in which that of a slab would be, or UNIT_NIL. */
static inline uint32_t
slab_first(const struct slabs *sb, uint64_t start)
{
	const struct slabtable *st =
	    atomic_load_explicit(&sb->sb_table, memory_order_acquire);

	return (atomic_load_explicit(
	    &st->st_chain[slab_hash(st, start)], memory_order_acquire));
}

#endif /* QCACHE_SLAB_H */
