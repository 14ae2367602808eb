/*
 * kmap.h - kernel_map as it was: one structure that hands out addresses and
 * serves faults.
 *
 * 1. The structure.  Entries in address order, each with all that a fault may
 * want to know; a balanced tree of them in which every node knows the largest
 * gap below it, so that space is found in O(log n):
 *
 *	header --- [a,b) --- gap --- [c,d)[d,e) --- gap --- ... --- end
 *	            entry            entry entry
 *
 * `first_free` is where the search begins: no gap lies before it.  `hint` is
 * the entry that was looked up last.
 *
 * 2. Merging.  Entries are large, so a new range that touches one with
 * the same attributes is added to it, at the back, at the front, or between
 * two, which become one:
 *
 *	alloc x, y, z		one entry [x y z)
 *	free y			[x) and [z): two.  Clipping at y's start and at
 *				its end takes two new entries, and then the one
 *				in the middle goes: memory, in order to free
 *				(A-2)
 *
 * 3. Entries come from pages of records (records.h).  Ordinary: from an
 * allocator that doesn't need this map.  Self-fed: a page of entries needs an
 * address, which takes an entry, which may take a page: a kernel's predicament
 * (C).  What the three schemes of DESIGN 2 do about it:
 *
 *	RESERVE_NONE	nothing: an entry is got when it is needed, locked
 *	RESERVE_TWO	two are set aside before locking, what wasn't needed is
 *			given back after.  Setting aside may itself need VA
 *	RESERVE_STASH	an allocation takes an entry even if it merges, and
 *			leaves it in a stash; a split takes one from there.
 *			Sound as long as every free falls on the boundaries of
 *			allocations, which a partial free doesn't
 *	RESERVE_PAGE	a page of entries describes itself with its first: no
 *			entry is needed to get entries, only VA.  When there
 *			is none, a free that needs an entry waits for VA, which
 *			only a free could give
 *
 * 4. Faults look the address up in the same tree, under the same lock, and
 * then need an anon (B).  What an amap needs to find it again is there for
 * nothing, which is kind to the old design.
 *
 * 5. One lock, the map's.
 */
#ifndef MODELS_KMAP_H
#define MODELS_KMAP_H

#include "models/model.h"
#include "models/records.h"
#include "util/lock.h"

#define KMAP_BASE UINT64_C(0x100000000000)

/* As of a map entry of 2008: links, place in the tree, and the payload. */
struct kmap_entry {
	struct kmap_entry *ke_prev, *ke_next;	/* by address */
	struct kmap_entry *ke_left, *ke_right, *ke_parent;
	uint64_t ke_start, ke_end;
	uint64_t ke_gap;	/* from its end to the next one's start */
	uint64_t ke_maxgap;	/* the largest in its subtree */
	const void *ke_object;
	uint64_t ke_offset;	/* into it */
	void *ke_amap;
	int32_t ke_amap_slot;
	int32_t ke_height;
	int32_t ke_type, ke_protection, ke_max_protection, ke_inherit;
	int32_t ke_wired, ke_advice, ke_attributes, ke_flags;
};

#define KE_NOMERGE 0x1
#define KE_PAGEABLE 0x2
#define KE_HOST 0x4	/* a page of entries, which it is in itself */

struct kmap_chunk;
SLIST_HEAD(kmap_chunks, kmap_chunk);
#define KMAP_BUCKETS 16384u

struct kmap {
	struct lock km_lock;		/* all that is below */
	struct model *km_model;		/* whose spec and counts */
	struct kmap_entry km_header;	/* before the first; empty */
	struct kmap_entry *km_root;
	struct kmap_entry *km_first_free, *km_hint;
	uint64_t km_end;
	uint64_t km_generation;		/* of the list of entries */
	uint64_t km_count;		/* entries in the tree */
	uint64_t km_high;		/* end of the highest entry ever */
	struct records km_entries, km_anons;
	struct record_source km_entry_source, km_anon_source;
	struct kmap_entry *km_stash;	/* by ke_next */
	uint64_t km_stash_count;
	struct kmap_chunks km_chunks[KMAP_BUCKETS];
	uint64_t km_chunk_count;
};

int kmap_create(struct model *m, struct kmap **kmp);
void kmap_destroy(struct kmap *km);

/* As model_ops.  flags: KE_PAGEABLE, KE_NOMERGE. */
int kmap_alloc(struct kmap *km, uint64_t size, uint64_t align, int flags,
    uint64_t *addrp);
int kmap_free(struct kmap *km, uint64_t addr, uint64_t size);
int kmap_fault(struct kmap *km, uint64_t addr);
void kmap_stat(struct kmap *km, struct model_stat *ms);
/* Verify every invariant: NULL, or what is wrong. */
const char *kmap_check(struct kmap *km);
/* From now on at most so many entries more than are in use. */
void kmap_shorten(struct kmap *km, uint64_t records);

/* ---- inside: with km_lock held ------------------------------------------ */

/* kmap_tree.c: into the list after `prev`, and the tree; out of both; after a
 * change of start or end; the entry that addr lies in, or the one before. */
void kmap_insert(
    struct kmap *km, struct kmap_entry *prev, struct kmap_entry *ke);
void kmap_remove(struct kmap *km, struct kmap_entry *ke);
void kmap_changed(struct kmap *km, struct kmap_entry *ke);
struct kmap_entry *kmap_seek(
    struct kmap *km, uint64_t addr, uint64_t *stepsp);
/* The lowest address at which it fits, and the entry before; NULL: none. */
struct kmap_entry *kmap_space(struct kmap *km, uint64_t size, uint64_t align,
    uint64_t *startp);

/* kmap_entry.c: what an operation has set aside. */
struct kmap_op {
	struct kmap_entry *ko_list;	/* by ke_next */
	unsigned int ko_count;
};

/* Before locking: RESERVE_TWO.  ENOMEM. */
int kmap_reserve(struct kmap *km, struct kmap_op *ko);
void kmap_unreserve(struct kmap *km, struct kmap_op *ko);
/* An entry, for a split or not; NULL: none can be had.  ko: what the operation
 * has set aside; NULL: it is one within another, and has nothing. */
struct kmap_entry *kmap_entry_get(
    struct kmap *km, struct kmap_op *ko, bool split);
/* One that is no longer needed; one that a merge has made spare, which the
 * stash keeps if there is one. */
void kmap_entry_put(struct kmap *km, struct kmap_entry *ke);
void kmap_entry_spare(struct kmap *km, struct kmap_entry *ke);
void kmap_sources_init(struct kmap *km);

/* kmap.c */
int kmap_alloc_locked(struct kmap *km, struct kmap_op *ko, uint64_t size,
    uint64_t align, int flags, uint64_t *addrp);
int kmap_free_locked(
    struct kmap *km, struct kmap_op *ko, uint64_t addr, uint64_t size);
void kmap_fill(struct kmap_entry *ke, uint64_t start, uint64_t end, int flags);

/* kmap_anon.c: anons by page. */
bool kmap_anon_there(const struct kmap *km, uint64_t addr);
int kmap_anon_add(struct kmap *km, uint64_t addr, void *anon);
void kmap_anons_drop(struct kmap *km, uint64_t addr, uint64_t size);

#endif /* MODELS_KMAP_H */
