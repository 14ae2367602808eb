/*
 * arena.h - an arena that the daemon hosts: libvmem's, and what backs it.
 *
 * The kinds (SPEC 2):
 *
 *   IDENTIFIERS	integers, nothing behind them
 *   VA			addresses of the reservation, nothing behind them:
 *			neither populated nor registered, so that the fault
 *			path refuses them
 *   WIRED		populated from the import on, never evicted; `shared`
 *			ones are a sealed memory file
 *   PAGEABLE		the whole span is taken when the arena is made and has a
 *			fault map; an allocation is registered in it
 *
 * Only WIRED and PAGEABLE have bytes.  An arena is found by name through the
 * registry, which counts references; whoever holds one may use it, and it goes
 * when the last is put after arena_destroy has been asked for.
 */
#ifndef DAEMON_ARENA_H
#define DAEMON_ARENA_H

#include <errno.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <stdatomic.h>
#include <vmem.h>
#include <vmpager.h>

#include "daemon/htab.h"
#include "kmem/slab.h"
#include "util/hist.h"
#include "util/lock.h"

struct backing;
struct holding;
struct kmem;
struct recorder;

enum arena_kind { ARENA_IDENTIFIERS, ARENA_VA, ARENA_WIRED, ARENA_PAGEABLE };

/* What is timed, in each arena. */
enum arena_op { ARENA_OP_ALLOC, ARENA_OP_FREE, ARENA_OP_FAULT, ARENA_OPS };

#define SIZE_CLASSES 65		/* by powers of two of the quantum */

/* [I] immutable, [R] the registry's lock */
struct arena {
	char ar_name[VMEM_NAME_MAX];	/* [I] */
	vmem_t *ar_vm;			/* [I] */
	enum arena_kind ar_kind;	/* [I] */
	bool ar_shared;			/* [I] */
	bool ar_builtin;		/* [I] part of the layout: stays */
	bool ar_private;		/* [I] not for clients' allocations */
	uid_t ar_uid;			/* [I] who made it */
	struct arena *ar_source;	/* [I] imports from it; referenced */
	struct backing *ar_backing;	/* [I] wired memory and pager */
	vmem_addr_t ar_base;		/* [I] of its first span */
	vmem_size_t ar_size;		/* [I] of its first span; 0: imports */
	vmem_size_t ar_quantum;		/* [I] */
	vmem_size_t ar_qcache_max;	/* [I] of what is before it: cache.h */
	struct kmem *ar_kmem;		/* [I] the size table, or NULL */
	struct slab_source ar_slabs;	/* [I] where its slabs are from */
	_Atomic unsigned int ar_waiters; /* requests that wait, or are about to */
	unsigned int ar_policy;		/* [I] place in PROTO_FITS */
	struct vmpager_map *ar_map;	/* [I] PAGEABLE */
	int ar_fd;			/* [I] shared: its memory file, or -1 */

	TAILQ_ENTRY(arena) ar_link;	/* [R] */
	unsigned int ar_refs;		/* [R] */
	unsigned int ar_children;	/* [R] arenas that import from it */
	bool ar_dying;			/* [R] no new references by name */
	uint64_t ar_allocs;		/* [R] of clients, being freed too */
	uint64_t ar_inuse;		/* [R] bytes of them */
	struct htab ar_starts;		/* [R] allocations by first address */
	struct htab ar_windows;		/* [R] and by class and window */
	uint64_t ar_classes[SIZE_CLASSES]; /* [R] allocations in each class */
	LIST_HEAD(, holding) ar_groups;	/* [R] */

	_Atomic(struct recorder *) ar_recorder;	/* or NULL: see record.h */

	struct lock ar_latency_lock;	/* what is below */
	struct hist ar_latency[ARENA_OPS];	/* nanoseconds */
};

/* What an arena is to be. */
struct arena_spec {
	const char *as_name;
	enum arena_kind as_kind;
	bool as_shared;
	bool as_bootstrap;	/* VM_BOOTSTRAP: before tags have an arena */
	struct arena *as_source; /* the reference passes to the arena */
	vmem_addr_t as_base;
	vmem_size_t as_size;	/* of the span made or taken now; or 0 */
	vmem_size_t as_quantum;
	vmem_size_t as_qcache_max;
	bool as_kmem;		/* the kmem size table, for quantum caches */
	unsigned int as_policy;
	uid_t as_uid;
};

/*
 * Make one.  ENOMEM: no space in the source, no memory, no tags; EINVAL: what
 * vmem_create() finds invalid; others of memfd_create(2) and mmap(2).
 */
int arena_make(struct backing *bk, const struct arena_spec *spec,
    struct arena **arp);
/* The end of one that nobody refers to any more; NULL is ignored.  The source
 * that it referred to is returned, for the caller to put. */
struct arena *arena_unmake(struct arena *ar);

void arena_latency(struct arena *ar, enum arena_op op, uint64_t ns);

/* Round up to the quantum; ERANGE past 2^64-1. */
static inline int
arena_round(const struct arena *ar, vmem_size_t size, vmem_size_t *out)
{
	vmem_size_t sum;

	if (__builtin_add_overflow(size, ar->ar_quantum - 1, &sum))
		return (ERANGE);
	*out = sum & ~(ar->ar_quantum - 1);
	return (0);
}

/* Have bytes of it any meaning? */
static inline bool
arena_has_memory(const struct arena *ar)
{
	return (ar->ar_kind == ARENA_WIRED || ar->ar_kind == ARENA_PAGEABLE);
}

/* Is one of the pages of [addr, addr + len) lost?  The first: in *badp. */
bool arena_lost(const struct arena *ar, vmem_addr_t addr, vmem_size_t len,
    vmem_addr_t *badp);

/* The strategy's flag, by its place in PROTO_FITS. */
vm_flag_t arena_fit_flag(unsigned int fit);
const char *arena_fit_name(unsigned int fit);
const char *arena_kind_name(enum arena_kind kind);

#endif /* DAEMON_ARENA_H */
