/*
 * cache.c - see cache.h.
 */
#include "config.h"

#include "daemon/cache.h"

#include <errno.h>

#include "daemon/backing.h"
#include "kmem/direct.h"
#include "kmem/kmem.h"

/* ---- slabs -------------------------------------------------------------- */

static struct direct *
window_of(const struct arena *ar)
{
	return (ar->ar_kmem != NULL ? ar->ar_backing->bk_direct : NULL);
}

static int
slab_take(void *arg, uint64_t size, uint64_t align, uint64_t *addrp)
{
	struct arena *ar = arg;
	struct direct *dm = window_of(ar);

	if (size == DIRECT_PAGE && direct_on(dm) && direct_get(dm, addrp) == 0)
		return (0);
	if (align < SLAB_PAGE)
		align = SLAB_PAGE;
	return (vmem_xalloc(ar->ar_vm, size, align, 0, 0, VMEM_ADDR_MIN,
	    VMEM_ADDR_MAX, VM_NOSLEEP, addrp));
}

static int
slab_give(void *arg, uint64_t addr, uint64_t size)
{
	struct arena *ar = arg;
	struct direct *dm = window_of(ar);

	if (direct_contains(dm, addr))
		direct_put(dm, addr);
	else
		vmem_xfree(ar->ar_vm, addr, size);
	return (0);
}

/* Before a request for a range of its own fails or waits. */
static void
reclaim(void *arg, vmem_t *vm, vmem_size_t wanted, vmem_size_t align,
    vmem_addr_t minaddr, vmem_addr_t maxaddr)
{
	struct arena *ar = arg;

	(void)vm;
	(void)wanted;
	(void)align;
	(void)minaddr;
	(void)maxaddr;
	(void)kmem_reap(ar->ar_kmem);
}

int
cache_open(struct arena *ar)
{
	int error;

	ar->ar_slabs = (struct slab_source) { slab_take, slab_give, ar };
	error = kmem_create(&ar->ar_slabs, &ar->ar_kmem);
	if (error == 0)
		vmem_set_reclaim(ar->ar_vm, reclaim, ar);
	return (error);
}

void
cache_close(struct arena *ar)
{
	if (ar->ar_kmem == NULL)
		return;
	vmem_set_reclaim(ar->ar_vm, NULL, NULL);
	kmem_destroy(ar->ar_kmem);
	ar->ar_kmem = NULL;
}

/* ---- items -------------------------------------------------------------- */

int
cache_get_item(const struct arena *ar, vmem_size_t size, vmem_addr_t *addrp)
{
	if (size <= KMEM_MAX)
		return (kmem_alloc(ar->ar_kmem, size, addrp));
	return (vmem_alloc(ar->ar_vm, size, VM_NOSLEEP, addrp));
}

void
cache_put_item(const struct arena *ar, vmem_addr_t addr, vmem_size_t size)
{
	if (size > KMEM_MAX) {
		vmem_free(ar->ar_vm, addr, size);
		return;
	}
	kmem_free(ar->ar_kmem, addr, size);
	/* Whoever waits was counted before the caches were emptied for it: the
	 * slab went back then, or it does now.  Pairs with wait_begin(). */
	if (atomic_load_explicit(&ar->ar_waiters, memory_order_seq_cst) > 0)
		(void)kmem_reap(ar->ar_kmem);
}

uint64_t
cache_reap(const struct arena *ar)
{
	struct vmem_stat before, after;
	uint64_t bytes = 0;

	if (ar->ar_kmem != NULL) {
		bytes = kmem_reap(ar->ar_kmem);
		(void)direct_reap(ar->ar_backing->bk_direct);
	}
	vmem_stat(ar->ar_vm, &before);
	vmem_reap(ar->ar_vm);
	vmem_stat(ar->ar_vm, &after);
	if (before.vs_qc_held_bytes > after.vs_qc_held_bytes)
		bytes += before.vs_qc_held_bytes - after.vs_qc_held_bytes;
	return (bytes);
}

/* ---- statistics --------------------------------------------------------- */

int
cache_stat(
    const struct arena *ar, unsigned int index, struct vmem_qcache_stat *qs)
{
	struct slab_stat st;
	int error;

	if (ar->ar_kmem == NULL)
		return (vmem_qcache_stat(ar->ar_vm, index, qs));
	error = kmem_stat(ar->ar_kmem, index, &st);
	if (error == 0)
		*qs = (struct vmem_qcache_stat) { .qs_size = st.st_item,
			.qs_hits = st.st_hits, .qs_misses = st.st_misses,
			.qs_fills = st.st_fills, .qs_drains = st.st_drains,
			.qs_frees = st.st_frees, .qs_held = st.st_held,
			.qs_magazine = (uint32_t)st.st_items };
	return (error);
}

void
cache_count(const struct arena *ar, struct vmem_stat *vs)
{
	struct vmem_qcache_stat qs;
	struct direct_stat ds;
	uint64_t fills = 0, drains = 0;

	vmem_stat(ar->ar_vm, vs);
	if (ar->ar_kmem == NULL)
		return;
	for (unsigned int i = 0; cache_stat(ar, i, &qs) == 0; i++) {
		vs->vs_allocs += qs.qs_hits + qs.qs_misses;
		vs->vs_frees += qs.qs_frees;
		vs->vs_qc_hits += qs.qs_hits;
		vs->vs_qc_misses += qs.qs_misses;
		vs->vs_qc_held_bytes += qs.qs_held * qs.qs_size;
		fills += qs.qs_fills;
		drains += qs.qs_drains;
		vs->vs_qc_count++;
	}
	vs->vs_qc_fills += fills;
	vs->vs_qc_drains += drains;
	/* Slabs are nobody's requests; those of the window weren't counted. */
	direct_stat(ar->ar_backing->bk_direct, &ds);
	vs->vs_allocs -= fills - ds.ds_gets;
	vs->vs_frees -= drains - ds.ds_puts;
	vs->vs_qcache_max = KMEM_MAX;
}

int
cache_check(const struct arena *ar, const char **why)
{
	int error = vmem_check_why(ar->ar_vm, why);

	if (error == 0 && ar->ar_kmem != NULL)
		error = kmem_check(ar->ar_kmem, why);
	return (error);
}

size_t
cache_walk_from(const struct arena *ar, int mask, vmem_addr_t *cursor,
    struct vmem_seg *segs, size_t max, bool *more)
{
	struct direct *dm = window_of(ar);
	vmem_addr_t page;
	size_t n = 0;

	/* The window is above every address of the reservation. */
	if (!direct_contains(dm, *cursor)) {
		n = vmem_walk_from(ar->ar_vm, mask, cursor, segs, max, more);
		if (*more || dm == NULL || (mask & VMEM_ALLOC) == 0)
			return (n);
		*cursor = ar->ar_backing->bk_base + ar->ar_backing->bk_size;
	}
	while (n < max && direct_next(dm, *cursor, &page)) {
		segs[n++] = (struct vmem_seg) { page, DIRECT_PAGE,
			VMEM_ALLOC };
		*cursor = page + DIRECT_PAGE;
	}
	*more = n == max && direct_next(dm, *cursor, &page);
	return (n);
}
