/*
 * qcache_impl.h - what the files of lib/qcache share.  The theory is in
 * qcache.c; each file's own at its head.
 *
 * Letters at fields: [I] constant after creation, [S] the slot's lock, and it
 * is closed, [D] the depot's lock, [B] the slabs' lock, [G] the bar's lock, [a]
 * atomic.
 */
#ifndef QCACHE_IMPL_H
#define QCACHE_IMPL_H

#include "arena/arena_impl.h"
#include "qcache/percpu.h"
#include "qcache/qcache.h"

/* ---- magazines ---------------------------------------------------------- */

/* A magazine is one unit of the pool: room for 63 addresses. */
#define ROUNDS_MAX 63u
/* How many it is allowed to have at first: depot.c, 3. */
#define ROUNDS_FIRST 15u

struct magazine {
	uint32_t mg_next;	/* in a list of them: a unit, or UNIT_NIL */
	uint32_t mg_rounds;	/* addresses in it, unless it is loaded */
	uint64_t mg_round[ROUNDS_MAX];
};
_Static_assert(sizeof(struct magazine) == UNIT_BYTES,
    "a magazine is one unit of the pool");

static inline struct magazine *
MAG(uint32_t unit)
{
	return (UNIT(unit));
}

/* ---- slots: one CPU's share of one cache (slot.c) ----------------------- */

/* What sequences see comes first, in one cache line: rseq.h, 3. */
struct slot {
	_Alignas(64) _Atomic(uint64_t) sl_word; /* pairs with itself: whoever
						 * else stores has closed it */
	uint64_t *sl_rounds;	/* [S] of the loaded magazine */
	uint8_t sl_count;	/* [S] rounds in it, while closed */
	uint8_t sl_base;	/* [S] rounds when pops were last 0 */
	_Atomic(uint8_t) sl_behind; /* [S] rounds in the previous one; also
				     * read without, as a hint */
	bool sl_forking;	/* [its lock] it is held for a fork */
	_Atomic(uint32_t) sl_loaded; /* [S] magazines; UNIT_NIL at first; also
				      * read without, as a hint */
	uint32_t sl_previous;	/* [S] */
	uint64_t sl_hits;	/* [S] up to when pops were last 0 */
	uint64_t sl_pushes;	/* [S] likewise */

	_Alignas(64) struct lock sl_lock;
	uint64_t sl_misses;	/* [its lock] */
	uint64_t sl_fills;	/* [its lock] */
	uint64_t sl_seen;	/* [its lock] sl_word at the last tick */
};
_Static_assert(offsetof(struct slot, sl_word) == RSEQ_WORD &&
    offsetof(struct slot, sl_rounds) == RSEQ_ROUNDS,
    "sequences know the offsets");

/* ---- the depot (depot.c) ------------------------------------------------ */

struct maglist {
	uint32_t ml_first;	/* [D] */
	unsigned int ml_count;	/* [D] */
	unsigned int ml_spare;	/* [D] fewest since the last tick */
};

struct depot {
	_Alignas(64) struct lock dp_lock;
	struct maglist dp_full;
	struct maglist dp_empty;
	_Atomic(uint64_t) dp_rounds; /* [D] in the full ones; a hint without */
	unsigned int dp_visits;	/* [D] since the window began */
	unsigned int dp_waited;	/* [D] of them those that had to wait */
	uint64_t dp_waits;	/* [D] in all */
	uint64_t dp_drains;	/* [D] ranges given back to slabs and arena */
	atomic_uint dp_size;	/* [a] rounds a magazine may have; a hint */
};

/* Visits after which the size of magazines is thought over. */
#define DEPOT_WINDOW 1024u

/* What it is from then on, if so many of them had to wait: depot.c, 3. */
static inline unsigned int
depot_next_size(unsigned int size, unsigned int waited)
{
	if (waited <= size / 10)
		return (size);
	return (2 * size + 1 < ROUNDS_MAX ? 2 * size + 1 : ROUNDS_MAX);
}

/* ---- slabs (slab.c) ----------------------------------------------------- */

/* Slabs cut alike, and of them those that have something free, the wholly free
 * ones last. */
struct slabclass {
	uint32_t sc_first, sc_last; /* [B] */
	uint64_t sc_slabs;	/* [B] in all */
	uint64_t sc_free;	/* [B] ranges free in them */
	uint64_t sc_empty;	/* [B] wholly free slabs */
	vmem_size_t sc_pitch;	/* [I] from one range to the next */
	unsigned int sc_objects; /* [I] ranges in a slab */
};

struct slabtable;

struct slabs {
	/* Read by every operation of VM_CHECK arenas. */
	_Alignas(64) _Atomic(struct slabtable *) sb_table; /* [a] pairs with
							    * itself */
	uint64_t sb_mask;	/* [I] of where a slab begins */
	unsigned int sb_shift;	/* [I] log2 of a slab's size */
	unsigned int sb_quantum; /* [I] log2 of the arena's quantum */
	unsigned int sb_header;	/* [I] a header's size */
	unsigned int sb_words;	/* [I] of bits in it */
	bool sb_stated;		/* [I] the arena is VM_CHECK: it has states */

	_Alignas(64) struct lock sb_lock;
	uint32_t sb_headers;	/* [B] list of unused headers */
	uint32_t sb_units;	/* [B] list of the units they are cut from */
	unsigned int sb_columns; /* [B] of the first sheet, that are unused */
	char *sb_sheets;	/* [B] list of sheets of states */
	uint64_t sb_count;	/* [B] slabs */
	uint64_t sb_entries;	/* [B] in the table: single ranges too */
	_Atomic(uint64_t) sb_empty; /* [B] wholly free ones; a hint without */
	uint64_t sb_gets, sb_puts; /* [B] caches' dealings with the arena */
	uint64_t sb_served;	/* [B] misses that were met */
	uint64_t sb_passed;	/* [B] frees that passed the magazines by */
};

/* ---- an arena's caches -------------------------------------------------- */

struct qcache {
	struct qcaches *qc_set;	/* [I] */
	struct slabclass *qc_class; /* [I] maybe with other caches */
	vmem_size_t qc_size;	/* [I] what it hands out */
	unsigned int qc_index;	/* [I] so many quanta, less one */
	uint64_t qc_out;	/* [B] ranges that it has of slabs */
	struct depot qc_depot;
};

struct qcaches {
	struct vmem *qs_vm;	/* [I] */
	struct rseq_place qs_place; /* [I] */
	bool qs_rseq;		/* [I] by sequences, not by locks */
	bool qs_check;		/* [I] the arena is VM_CHECK */
	uint16_t qs_areas;	/* [I] how many there can be */
	uint16_t qs_count;	/* [I] caches: one for each number of quanta */
	const struct percpu *qs_percpu; /* [I] */
	struct qcache *qs_caches; /* [I] */
	struct slabs *qs_slabs;	/* [I] */
	struct slabclass *qs_classes; /* [I] */
	unsigned int qs_nclasses; /* [I] */
	size_t qs_bytes;	/* [I] of all this */
	_Alignas(64) atomic_ullong qs_restarts; /* [a] of sequences; counter */
	struct lock qs_bar_lock;
	atomic_uint qs_bars;	/* [G] who bars them; [a] read with a slot's
				 * lock, which orders it */
	/* [a] one area for each index, made when it is first used; release,
	 * pairs with the sequences and with slot_at(). */
	_Alignas(64) void *qs_area[];
};

/* slot.c */
struct slot *slot_enter(struct qcache *qc);
void slot_leave(struct qcache *qc, struct slot *sl);
struct slot *slot_at(struct qcache *qc, unsigned int index);
bool slot_load_full(struct qcache *qc, struct slot *sl);
bool slot_load_empty(struct qcache *qc, struct slot *sl, uint32_t *sparep,
    uint32_t *victimp);
vmem_addr_t slot_pop(struct slot *sl);
void slot_push(struct slot *sl, vmem_addr_t addr);
unsigned int slot_stash(
    struct slot *sl, const vmem_addr_t *addrs, unsigned int count);
uint64_t slot_hits(const struct slot *sl);
uint64_t slot_pushes(const struct slot *sl);
unsigned int slot_held(const struct slot *sl);
uint32_t slot_take_all(struct slot *sl);
void slot_shut(struct slot *sl);
void slot_open(struct qcache *qc, struct slot *sl);
void slot_areas_fini(struct qcaches *qs);
extern const char slot_nowhere[];
extern void *const slot_barred[];

/* depot.c */
void depot_init(struct depot *dp);
void depot_fini(struct depot *dp);
uint32_t depot_exchange(
    struct qcache *qc, bool full, uint32_t give, uint32_t *victimp);
bool depot_put(struct qcache *qc, uint32_t unit, bool full);
uint32_t depot_take_spare(struct depot *dp, bool all);
void magazines_return(uint32_t units);

/* slab.c */
int slabs_init(struct qcaches *qs);
void slabs_fini(struct qcaches *qs);
unsigned int slab_get(
    struct qcache *qc, vmem_addr_t *addrs, unsigned int want);
int slab_make(struct qcache *qc);
enum slab_keep { SLAB_KEEP_ONE, SLAB_KEEP_NONE };
unsigned int slab_put(struct qcache *qc, const vmem_addr_t *addrs,
    unsigned int count, enum slab_keep keep);
unsigned int slabs_trim(struct qcaches *qs);
void slabs_forget(struct qcaches *qs);
void slabs_counted(struct qcaches *qs, uint64_t *counter);
vmem_size_t slabs_idle(struct qcaches *qs);
_Atomic(uint8_t) *slab_state(struct qcaches *qs, vmem_addr_t addr);
int slab_single(struct qcache *qc, vmem_addr_t addr);
const char *slabs_check(struct qcaches *qs);

/* State of a quantum of a slab, in VM_CHECK arenas: 1 to VMEM_QCACHE_MAX: a
 * range of so many quanta begins there and is allocated; or one of these. */
#define STATE_INSIDE 0u	/* no range begins there */
#define STATE_CACHED 255u /* one does, and it is free */

/* check.c */
void check_out(struct qcache *qc, vmem_addr_t addr);
void check_in(struct qcache *qc, vmem_addr_t addr, const char *who);

/* drain.c */
void qcache_settle(struct vmem *vm);
void qcache_gain(struct vmem *vm);
void qcache_front(struct vmem *vm, bool barred);
void magazine_spill(struct qcache *qc, uint32_t unit);

#endif /* QCACHE_IMPL_H */
