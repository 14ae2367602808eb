/*
 * space.c - see space.h.
 */
#include "config.h"

#include "daemon/space.h"

#include <errno.h>
#include <string.h>

#include "daemon/cache.h"
#include "daemon/plant.h"

/* Zeroing runs at some GB/s, registering and unregistering at about 2 ns a
 * page: each of these is well below a turn. */
#define WIRED_INLINE_MAX (512u * 1024)
#define PAGEABLE_INLINE_MAX (UINT64_C(1) << 30)

bool
space_is_long(const struct arena *ar, uint64_t bytes)
{
	switch (ar->ar_kind) {
	case ARENA_WIRED:
		return (bytes > WIRED_INLINE_MAX);
	case ARENA_PAGEABLE:
		return (bytes > PAGEABLE_INLINE_MAX);
	case ARENA_IDENTIFIERS:
	case ARENA_VA:
		break;
	}
	return (false);
}

static bool
constrained(const struct space_want *sw)
{
	return (sw->sw_at || sw->sw_align != 0 || sw->sw_phase != 0 ||
	    sw->sw_nocross != 0 || sw->sw_min != VMEM_ADDR_MIN ||
	    sw->sw_max != VMEM_ADDR_MAX || sw->sw_fit != 0);
}

bool
space_cached(const struct arena *ar, const struct space_want *sw)
{
	return (!constrained(sw) && sw->sw_size <= ar->ar_qcache_max);
}

static int
take(struct arena *ar, const struct space_want *sw, bool cached,
    vmem_addr_t *addrp)
{
	if (cached)
		return (cache_get(ar, sw->sw_size, addrp));
	if (!sw->sw_at)
		return (vmem_xalloc(ar->ar_vm, sw->sw_size, sw->sw_align,
		    sw->sw_phase, sw->sw_nocross, sw->sw_min, sw->sw_max,
		    VM_NOSLEEP | sw->sw_fit, addrp));
	*addrp = sw->sw_min;
	return (vmem_xalloc_addr(
	    ar->ar_vm, sw->sw_min, sw->sw_size, VM_NOSLEEP));
}

enum proto_error
space_take(struct arena *ar, const struct space_want *sw, struct alloc *al)
{
	bool cached = space_cached(ar, sw);
	int error = take(ar, sw, cached, &al->al_addr);

	/* A slab can't be had, but the range itself perhaps. */
	if (error == ENOMEM && cached && ar->ar_kmem != NULL) {
		cached = false;
		error = take(ar, sw, cached, &al->al_addr);
	}
	if (error == EINVAL)
		return (PE_PARAMS);
	if (error != 0)
		return (sw->sw_at &&
		    vmem_contains(ar->ar_vm, sw->sw_min, sw->sw_size) ?
		    PE_EXISTS : PE_NO_SPACE);
	al->al_size = sw->sw_size;
	al->al_cached = cached;
	al->al_align = sw->sw_align;
	return (PE_OK);
}

enum proto_error
space_back(struct arena *ar, const struct alloc *al)
{
	if (ar->ar_kind == ARENA_PAGEABLE &&
	    vmpager_register(ar->ar_map, al->al_addr, al->al_size) != 0)
		return (PE_NO_FRAMES);
	if (ar->ar_kind == ARENA_PAGEABLE && plant_bears(PLANT_STALE))
		(void)vmpager_write(ar->ar_map, al->al_addr, "stale", 5);
	/* What was another's must not be seen, whosever it was. */
	if (ar->ar_kind == ARENA_WIRED)
		memset((void *)(uintptr_t)al->al_addr, 0, al->al_size);
	return (PE_OK);
}

void
space_drop(struct arena *ar, const struct alloc *al, bool backed)
{
	if (backed && ar->ar_kind == ARENA_PAGEABLE)
		vmpager_unregister(ar->ar_map, al->al_addr, al->al_size);
	if (al->al_cached)
		cache_put(ar, al->al_addr, al->al_size);
	else
		vmem_xfree(ar->ar_vm, al->al_addr, al->al_size);
}
