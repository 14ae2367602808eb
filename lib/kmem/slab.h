/*
 * slab.h - caches of ranges of one size, carved from slabs.
 *
 * A cache takes slabs of one size from a source and hands out items of one
 * size from them.  An item is a range of addresses: it is never touched here,
 * so there need be no memory behind it, and what its owner writes can't break
 * the cache.  What is known of a slab is kept out of band:
 *
 *	slab	|item 0|item 1|item 2|...|item n-1|waste|    in the source
 *	header	base, free count, a bit for each item	     in mmap(2)ed chunks
 *
 * A slab of several items is aligned to its size, so that an item's address
 * gives the slab's, which a hash table turns into the header.  Slabs with free
 * items are a list, the last freed into first; those wholly free another, the
 * longest idle first, of which a bounded number is kept, or all until they are
 * reaped by age.
 *
 * Allocating may need a slab, and memory for a header.  Freeing needs nothing
 * at all.  The source is called without a lock held.  It may refuse to take a
 * slab back (the older designs that lib/models has do): then the slab stays.
 */
#ifndef KMEM_SLAB_H
#define KMEM_SLAB_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/lock.h"

#define SLAB_PAGE 4096u
#define SLAB_ITEMS_MAX 512u	/* of a slab: 8 bytes in a page */

/* Where slabs come from; both return 0 or an errno. */
struct slab_source {
	int (*ss_get)(
	    void *arg, uint64_t size, uint64_t align, uint64_t *addrp);
	int (*ss_put)(void *arg, uint64_t addr, uint64_t size);
	void *ss_arg;
};

struct slab {
	TAILQ_ENTRY(slab) sl_link;
	uint64_t sl_base;
	uint64_t sl_idle_since;	/* by the cache's clock */
	uint32_t sl_free;	/* items */
	uint32_t sl_hint;	/* no word before this one has a free item */
	uint64_t sl_bits[];	/* a set bit: free */
};

TAILQ_HEAD(slab_list, slab);

/* [I] immutable, [S] sc_lock */
struct slab_cache {
	struct lock sc_lock;
	const struct slab_source *sc_source;	/* [I] */
	uint64_t sc_item;		/* [I] bytes */
	uint64_t sc_slab;		/* [I] bytes */
	uint32_t sc_items;		/* [I] in a slab */
	uint32_t sc_words;		/* [I] of sl_bits */
	uint32_t sc_idle_max;		/* [I] slabs kept idle */
	struct slab_list sc_partial;	/* [S] some items free */
	struct slab_list sc_idle;	/* [S] all items free */
	struct slab **sc_hash;		/* [S] open addressing, by base */
	size_t sc_hash_size;		/* [S] a power of two, or 0 */
	struct slab_list sc_headers;	/* [S] unused headers */
	void *sc_chunks;		/* [S] memory of headers */
	uint64_t sc_clock;		/* [S] */
	uint64_t sc_slabs, sc_idles;	/* [S] now */
	uint64_t sc_leaving;		/* [S] idle ones on the way out */
	uint64_t sc_used;		/* [S] items handed out */
	uint64_t sc_hits, sc_misses, sc_frees, sc_fills, sc_drains; /* [S] */
	uint64_t sc_refused;		/* [S] slabs the source didn't take */
	uint64_t sc_meta;		/* [S] bytes of chunks and hash table */
};

/* A snapshot. */
struct slab_stat {
	uint64_t st_item, st_slab;
	uint64_t st_items;	/* in a slab */
	uint64_t st_hits;	/* allocations from slabs that were there */
	uint64_t st_misses;	/* those that needed a new one */
	uint64_t st_frees;
	uint64_t st_fills;	/* slabs taken from the source */
	uint64_t st_drains;	/* slabs given back */
	uint64_t st_refused;
	uint64_t st_slabs, st_idle;	/* slabs now, those wholly free */
	uint64_t st_used, st_held;	/* items handed out, items free */
	uint64_t st_meta;		/* bytes of its own */
	uint64_t st_meta_used;		/* of headers in use, and the table */
};

/*
 * Make a cache of items of `item` bytes in slabs of `slab` bytes (a power of
 * two if it holds more than one item).  At most idle_max slabs are kept that
 * are wholly free; UINT32_MAX: all, until slab_reap().
 */
void slab_cache_init(struct slab_cache *sc, const struct slab_source *source,
    uint64_t item, uint64_t slab, uint32_t idle_max);
/* Gives back every slab; panics if an item is still out. */
void slab_cache_fini(struct slab_cache *sc);

/* 0, or the source's errno; ENOMEM also if there is no memory for a header. */
int slab_alloc(struct slab_cache *sc, uint64_t *addrp);
/* Panics on what isn't an item that is out. */
void slab_free(struct slab_cache *sc, uint64_t addr);

/* The cache's clock, in the caller's units; what is idle is stamped with it. */
void slab_tick(struct slab_cache *sc, uint64_t now);
/* Give back slabs idle since `before` or longer (UINT64_MAX: all that are);
 * returns how many bytes went. */
uint64_t slab_reap(struct slab_cache *sc, uint64_t before);

void slab_cache_stat(struct slab_cache *sc, struct slab_stat *st);
/* Verify the invariants: 0, or EIO and *why. */
int slab_check(struct slab_cache *sc, const char **why);

#endif /* KMEM_SLAB_H */
