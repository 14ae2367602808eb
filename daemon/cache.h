/*
 * cache.h - what is before an arena: libvmem's quantum caches, or the kmem size
 * table, and behind that the direct map.
 *
 * Most arenas have quantum caches, inside libvmem.  `kmem` has the caches of
 * NetBSD's size table instead (lib/kmem): sizes up to 16 KiB come from slabs,
 * which are ranges of the arena.  While the direct map is on, a slab of one page
 * is a page of the window, and costs no address space at all:
 *
 *	alloc 100 --> cache of 112 --> slab of 4096 --> arena kmem --> kmem_va
 *	                                          `---> window (direct map)
 *
 * So what is handed out of either is freed by the same call: a page's address
 * says where it is from.  The caches hold slabs that nobody uses; an allocation
 * that would fail or wait has them emptied first, and so does every free while
 * somebody waits.
 */
#ifndef DAEMON_CACHE_H
#define DAEMON_CACHE_H

#include "daemon/arena.h"

/* Put the size table before an arena just made.  ENOMEM. */
int cache_open(struct arena *ar);
/* Its end: everything is back in the arena.  Panics if an item is out. */
void cache_close(struct arena *ar);

/* From a cache if the size has one, else from the arena: vmem_alloc() and
 * vmem_free(), whatever is before the arena. */
static inline int cache_get(
    const struct arena *ar, vmem_size_t size, vmem_addr_t *addrp);
static inline void cache_put(
    const struct arena *ar, vmem_addr_t addr, vmem_size_t size);
/* The same where there is a size table. */
int cache_get_item(
    const struct arena *ar, vmem_size_t size, vmem_addr_t *addrp);
void cache_put_item(
    const struct arena *ar, vmem_addr_t addr, vmem_size_t size);

/* Back into the arena, and the direct map's free pages: the bytes. */
uint64_t cache_reap(const struct arena *ar);
/* One cache, by its place; ENOENT past the last. */
int cache_stat(
    const struct arena *ar, unsigned int index, struct vmem_qcache_stat *qs);
/* The arena's counters as clients see them: requests, not slabs. */
void cache_count(const struct arena *ar, struct vmem_stat *vs);
/* Arena and caches: 0; or EIO, and *why. */
int cache_check(const struct arena *ar, const char **why);

/* vmem_walk_from(), and with VMEM_ALLOC the pages of the window after that. */
size_t cache_walk_from(const struct arena *ar, int mask, vmem_addr_t *cursor,
    struct vmem_seg *segs, size_t max, bool *more);

static inline int
cache_get(const struct arena *ar, vmem_size_t size, vmem_addr_t *addrp)
{
	return (ar->ar_kmem != NULL ? cache_get_item(ar, size, addrp) :
	    vmem_alloc(ar->ar_vm, size, VM_NOSLEEP, addrp));
}

static inline void
cache_put(const struct arena *ar, vmem_addr_t addr, vmem_size_t size)
{
	if (ar->ar_kmem != NULL)
		cache_put_item(ar, addr, size);
	else
		vmem_free(ar->ar_vm, addr, size);
}

#endif /* DAEMON_CACHE_H */
