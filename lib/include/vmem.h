/*
 * vmem.h - libvmem, a general purpose range allocator.
 *
 * Copyright (c) 2026, the vmemd authors.  SPDX-License-Identifier: BSD-2-Clause
 *
 * An arena (vmem_t) is a set of spans of integers, and hands out ranges of
 * them.  What the integers mean (virtual addresses, minor numbers, offsets in
 * a GPU's memory) is the caller's: the library never touches what it hands
 * out.  Arenas import spans from others, and so form a tree.
 *
 * The model is NetBSD's vmem(9), after J. Bonwick and J. Adams, "Magazines and
 * Vmem: Extending the Slab Allocator to Many CPUs and Arbitrary Resources",
 * USENIX ATC 2001 ("the paper" below).  A consumer written for vmem(9) changes
 * the include, drops the ipl argument and casts the callbacks' source.
 *
 * Conventions, for every function here:
 *
 *  - Units.  Addresses and sizes are counted in the caller's units (bytes, as
 *    a rule).  Ranges are [addr, addr + size); minaddr and maxaddr are both
 *    inclusive.  0 and 2^64-1 are valid addresses.
 *  - Errors.  Functions that can fail return 0 or a positive errno.  Results
 *    leave through pointers, written on success only.  EINVAL: arguments that
 *    nothing could satisfy.  ENOMEM: exhaustion, now or (if said) for ever.
 *  - Misuse (freeing what isn't allocated, a wrong size, destroying an arena
 *    in use, a bad combination of flags) is a panic: see vmem_set_panic().
 *  - Threads.  Everything is safe to call from any number of threads, but for
 *    the life cycle of one arena: nobody may use it while it is destroyed.
 *    No lock is held while a callback of the caller's runs, so callbacks may
 *    call the library, unless said otherwise.
 *  - Memory.  The library takes its own from mmap(2), or from an arena given
 *    to vmem_set_meta().  It never calls malloc, makes no threads, never logs.
 *  - fork(2).  The child may use every arena, whatever other threads were at:
 *    the thread that forks waits until nobody is half-way.  Requests that
 *    waited aren't the child's.  Not from within a callback.
 *  - Blocking.  Nothing blocks for longer than a lock, except allocation with
 *    VM_SLEEP and what the caller's import callback does.
 */
#ifndef VMEM_H
#define VMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define VMEM_WARN_UNUSED __attribute__((__warn_unused_result__))
#define VMEM_EXPORT __attribute__((__visibility__("default")))
#else
#define VMEM_WARN_UNUSED
#define VMEM_EXPORT
#endif

typedef uint64_t vmem_addr_t;
typedef uint64_t vmem_size_t;
typedef unsigned int vm_flag_t;
typedef struct vmem vmem_t;
struct timespec;	/* strict C99's <time.h> has none */

#define VMEM_ADDR_MIN ((vmem_addr_t)0)
#define VMEM_ADDR_MAX (~(vmem_addr_t)0)

/* Longest name of an arena that is kept, with its NUL; longer ones are cut. */
#define VMEM_NAME_MAX 32

/* Quantum caches serve at most this many multiples of the quantum. */
#define VMEM_QCACHE_MAX 64

/* The request that has waited longest in an arena is overtaken by so many
 * others at most. */
#define VMEM_OVERTAKE_MAX 64

/*
 * Under constraints (align, nocross, bounds) any number of free segments may be
 * large enough and yet not fit.  A request looks at so many of them, in its
 * strategy's order: up to that, and without constraints always, what a strategy
 * promises is exact.  After these it takes, in the same order, the first that
 * is so large that the request fits wherever the segment lies: size + align
 * less a quantum, twice that with nocross.  If there is none (best fit within
 * bounds: nor one that fits among those it looked at), ENOMEM, or the request
 * waits: one that waits looks at all.  Instant fit takes that one first, by
 * size (within bounds, by address), and looks at 64 others if there is none; but
 * where size is a multiple of align, it tries the smallest that is large enough
 * before.
 */
#define VMEM_LOOKS_MAX 1024

/*
 * Flags.  An allocation has exactly one of VM_SLEEP and VM_NOSLEEP, and at
 * most one strategy; without one, the arena's own (see vmem_create()) is used,
 * which is VM_INSTANTFIT unless its creator said otherwise.
 */
#define VM_SLEEP 0x00000001u	   /* wait until it can be met */
#define VM_NOSLEEP 0x00000002u	   /* fail with ENOMEM instead */
#define VM_INSTANTFIT 0x00001000u  /* O(1): a segment that surely fits */
#define VM_BESTFIT 0x00002000u	   /* the smallest that fits */
#define VM_FIRSTFIT 0x00004000u	   /* the lowest address that fits */
#define VM_NEXTFIT 0x00008000u	   /* the next after the last one handed out */
#define VM_LASTFIT 0x00010000u	   /* the highest address that fits */
#define VM_FITMASK 0x0001f000u
#define VM_LARGEIMPORT 0x00020000u /* create: import in larger pieces */
#define VM_BOOTSTRAP 0x00040000u   /* create: before the tag pool is up; one
				    * thread only, until it is: that is,
				    * until vmem_set_meta() or another
				    * arena's creation has returned */
#define VM_CHECK 0x00080000u	   /* create: detect misuse in caches too */

/* Kinds of segments, for vmem_size() and vmem_walk(). */
#define VMEM_ALLOC 0x01		/* allocated */
#define VMEM_FREE 0x02		/* free */
#define VMEM_MAXFREE 0x10	/* vmem_size() only: the largest free segment */

/*
 * Import callbacks.  `src` is the arena's `source`.  They are called without
 * locks, with VM_NOSLEEP and the strategy of the request.  vmem_import_t must
 * return a range of exactly `size`; vmem_ximport_t one of at least `size`, and
 * says how large in *actual.  0 or ENOMEM.
 */
typedef int vmem_import_t(
    void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp);
typedef int vmem_ximport_t(void *src, vmem_size_t size, vmem_size_t *actual,
    vm_flag_t flags, vmem_addr_t *addrp);
typedef void vmem_release_t(void *src, vmem_addr_t addr, vmem_size_t size);

/*
 * vmem_create: make an arena, whose first span is [base, base + size) if size
 * isn't 0 (vmem(9)).
 *
 * quantum	the smallest unit handed out, a power of two; base and size
 *		must be multiples of it
 * import, release, source
 *		where more comes from when the arena is exhausted, and where a
 *		span that has become free goes back to; NULL: nowhere
 * qcache_max	sizes up to this, rounded up to the quantum, are served by
 *		quantum caches; 0: none.  At most VMEM_QCACHE_MAX quanta
 * flags	VM_SLEEP or VM_NOSLEEP; a strategy becomes the default of the
 *		arena's allocations; VM_LARGEIMPORT, VM_BOOTSTRAP, VM_CHECK
 *
 * Returns NULL and sets errno: EINVAL (quantum, base, size, qcache_max), ENOMEM
 * (no memory for the arena, or the reserve of boundary tags can't be kept for
 * one more level).
 */
VMEM_EXPORT vmem_t *vmem_create(const char *name, vmem_addr_t base,
    vmem_size_t size, vmem_size_t quantum, vmem_import_t *import,
    vmem_release_t *release, void *source, vmem_size_t qcache_max,
    vm_flag_t flags) VMEM_WARN_UNUSED;

/* vmem_xcreate: the same, with an import that may return more than asked. */
VMEM_EXPORT vmem_t *vmem_xcreate(const char *name, vmem_addr_t base,
    vmem_size_t size, vmem_size_t quantum, vmem_ximport_t *import,
    vmem_release_t *release, void *source, vmem_size_t qcache_max,
    vm_flag_t flags) VMEM_WARN_UNUSED;

/*
 * vmem_destroy: gives back the caches' contents and the imported spans, then
 * the arena.  NULL is ignored.  Panics if something is still allocated, if
 * requests wait, or if another arena imports from this one.  Not from within an
 * import, release or reclaim callback of this arena.
 */
VMEM_EXPORT void vmem_destroy(vmem_t *vm);

/*
 * vmem_add: one more span, static (never released).  EINVAL: size 0, not a
 * multiple of the quantum, runs past VMEM_ADDR_MAX, overlaps a span, or the
 * arena's size would pass 2^64-1.  ENOMEM: no boundary tags, or VM_NOSLEEP.
 * Segments of different spans never coalesce, even if adjacent.
 */
VMEM_EXPORT int vmem_add(vmem_t *vm, vmem_addr_t addr, vmem_size_t size,
    vm_flag_t flags) VMEM_WARN_UNUSED;

/*
 * vmem_alloc: allocate `size`, rounded up to the quantum, through the quantum
 * cache if small enough.  EINVAL: size 0.  ENOMEM: with VM_NOSLEEP, when it
 * can't be had now; with VM_SLEEP, when it never can: it is larger than every
 * span and there is no source, or above the limit (vmem_set_limit()).
 * Sleepers are served in the order in which they came (FIFO), as far as they
 * can be met: one who wants more than is free doesn't hold up those behind, but
 * is overtaken VMEM_OVERTAKE_MAX times at most; then all who sleep in that
 * arena wait for the one that has waited longest.  (So nobody starves; and who
 * sleeps while holding what others wait for, may wait for ever.)
 * Pairs with vmem_free(), with the same size.
 */
VMEM_EXPORT int vmem_alloc(vmem_t *vm, vmem_size_t size, vm_flag_t flags,
    vmem_addr_t *addrp) VMEM_WARN_UNUSED;
VMEM_EXPORT void vmem_free(vmem_t *vm, vmem_addr_t addr, vmem_size_t size);

/*
 * vmem_alloc_until: as vmem_alloc() with VM_SLEEP, but gives up with ETIMEDOUT
 * at `deadline` (absolute, CLOCK_MONOTONIC).  EINVAL: its tv_nsec isn't one.
 */
VMEM_EXPORT int vmem_alloc_until(vmem_t *vm, vmem_size_t size, vm_flag_t flags,
    const struct timespec *deadline, vmem_addr_t *addrp) VMEM_WARN_UNUSED;

/*
 * vmem_xalloc: allocate under constraints, never from a quantum cache.
 *
 * align	0 or a power of two: the address is `phase` after a multiple
 * phase	less than align
 * nocross	0 or a power of two not below size: the range crosses no
 *		multiple of it
 * minaddr, maxaddr	bound the range's first and last address, inclusive:
 *		VMEM_ADDR_MIN and VMEM_ADDR_MAX for none
 *
 * EINVAL for what nothing could satisfy: size 0, align or nocross not a power
 * of two, phase >= align or no multiple of the quantum, nocross < size (or, by
 * align and phase, never satisfiable), minaddr > maxaddr, a window smaller
 * than size.  Otherwise as vmem_alloc().  Pairs with vmem_xfree().
 */
VMEM_EXPORT int vmem_xalloc(vmem_t *vm, vmem_size_t size, vmem_size_t align,
    vmem_size_t phase, vmem_size_t nocross, vmem_addr_t minaddr,
    vmem_addr_t maxaddr, vm_flag_t flags, vmem_addr_t *addrp) VMEM_WARN_UNUSED;
VMEM_EXPORT void vmem_xfree(vmem_t *vm, vmem_addr_t addr, vmem_size_t size);

/*
 * vmem_xalloc_addr: allocate exactly [addr, addr + size).  addr must be a
 * multiple of the quantum (EINVAL); size is rounded up.  ENOMEM: part of it is
 * taken, or in no span.  VM_NOSLEEP only.  Never imports.
 */
VMEM_EXPORT int vmem_xalloc_addr(vmem_t *vm, vmem_addr_t addr,
    vmem_size_t size, vm_flag_t flags) VMEM_WARN_UNUSED;

/* vmem_xfreeall: free every allocation, those held by caches too. */
VMEM_EXPORT void vmem_xfreeall(vmem_t *vm);

/*
 * vmem_xfree_part: give back [addr, addr + size), a quantum-aligned part of
 * one allocation made by vmem_xalloc() (not one from a quantum cache).  The
 * pieces that stay, up to two, are allocations of their own from then on.
 * May need two boundary tags: ENOMEM, and nothing has changed.
 */
VMEM_EXPORT int vmem_xfree_part(vmem_t *vm, vmem_addr_t addr, vmem_size_t size,
    vm_flag_t flags) VMEM_WARN_UNUSED;

/*
 * The waiting request: the one object behind VM_SLEEP, deadlines, and hosts
 * that answer later instead of blocking a thread.
 *
 * vmem_submit() tries at once.  0: granted, vr_addrs is filled, vr_done won't
 * be called.  EINPROGRESS: it is queued, FIFO; the space is handed to it by
 * whoever frees it, and vr_done(request, 0) is called once, in that thread,
 * with no lock held.  EINVAL, ENOMEM (can never be met): as vmem_xalloc().
 * The request must stay valid until it is granted or cancelled.  vr_done may
 * call the library, to destroy this arena even, but must not block.  All
 * vr_count ranges, or none, are taken.  vr_cached: sizes that a quantum cache serves come from it, and are
 * freed with vmem_free(); otherwise with vmem_xfree().
 *
 * vmem_cancel() withdraws it.  0: it is no longer queued, vr_done won't be
 * called.  ENOENT: it isn't queued: it has been granted, and vr_done has been
 * or is about to be called.  EDEADLK: it is being attempted by this very
 * thread, which is in an import, release or reclaim callback: nothing was done.
 * An attempt by another thread is waited for.
 */
struct vmem_request {
	vmem_size_t vr_size;
	vmem_size_t vr_align;
	vmem_size_t vr_phase;
	vmem_size_t vr_nocross;
	vmem_addr_t vr_min;	/* inclusive; VMEM_ADDR_MIN for none */
	vmem_addr_t vr_max;	/* inclusive; VMEM_ADDR_MAX for none */
	vm_flag_t vr_flags;	/* a strategy, or 0 */
	bool vr_cached;		/* plain vmem_alloc(): caches may serve it */
	unsigned int vr_count;	/* ranges wanted, at least 1 */
	vmem_addr_t *vr_addrs;	/* out: room for vr_count */
	void (*vr_done)(struct vmem_request *, int error);
	void *vr_arg;		/* the caller's */
	/* The library's own. */
	struct vmem_request *vr_up;
	struct vmem_request *vr_left;
	struct vmem_request *vr_right;
	uint64_t vr_ticket;
	vmem_size_t vr_wants;
	vmem_size_t vr_least;
	unsigned int vr_state;
};

VMEM_EXPORT int vmem_submit(vmem_t *vm, struct vmem_request *vr)
    VMEM_WARN_UNUSED;
VMEM_EXPORT int vmem_cancel(vmem_t *vm, struct vmem_request *vr)
    VMEM_WARN_UNUSED;

/*
 * vmem_size: VMEM_ALLOC, VMEM_FREE, both added, or VMEM_MAXFREE (the size of
 * the largest free segment, exact).  What caches hold counts as allocated, and
 * so do the segments (slabs) that they cut it from, as a whole.
 */
VMEM_EXPORT vmem_size_t vmem_size(vmem_t *vm, int typemask);

/*
 * vmem_walk: call fn(arg, addr, size) for every segment of the kinds in
 * typemask, in address order within each span.  Taken in slices: no lock is
 * held while fn runs, and what changes meanwhile may be seen or not, but what
 * stays allocated (free) all along is seen exactly once.
 *
 * vmem_walk_from: the same in pages: fills at most `max` entries of `segs`
 * with segments from *cursor on, returns how many, and leaves in *cursor where
 * to go on; *more says whether anything may follow.
 */
struct vmem_seg {
	vmem_addr_t seg_addr;
	vmem_size_t seg_size;
	int seg_type;		/* VMEM_ALLOC or VMEM_FREE */
};

VMEM_EXPORT void vmem_walk(vmem_t *vm, int typemask,
    int (*fn)(void *arg, vmem_addr_t addr, vmem_size_t size), void *arg);
VMEM_EXPORT size_t vmem_walk_from(vmem_t *vm, int typemask, vmem_addr_t *cursor,
    struct vmem_seg *segs, size_t max, bool *more);

/* vmem_contains: is all of [addr, addr + size) inside one span, taken or not? */
VMEM_EXPORT bool vmem_contains(vmem_t *vm, vmem_addr_t addr, vmem_size_t size);

/*
 * vmem_check: verify every invariant of the arena, in slices.  0, or EIO (and
 * then *why, if not NULL, is left with a static text).
 */
VMEM_EXPORT int vmem_check(vmem_t *vm);
VMEM_EXPORT int vmem_check_why(vmem_t *vm, const char **why);

/* vmem_reap: empty the quantum caches back into the arena. */
VMEM_EXPORT void vmem_reap(vmem_t *vm);

/*
 * vmem_set_reclaim: fn is called, with no lock held, before a request fails
 * or sleeps for want of `wanted` (rounded) with that alignment within
 * [minaddr, maxaddr]; it frees what it can and returns.  NULL: none.
 */
typedef void vmem_reclaim_t(void *arg, vmem_t *vm, vmem_size_t wanted,
    vmem_size_t align, vmem_addr_t minaddr, vmem_addr_t maxaddr);
VMEM_EXPORT void vmem_set_reclaim(vmem_t *vm, vmem_reclaim_t *fn, void *arg);

/*
 * vmem_set_upstream: what vm's own import callback gives comes, in the end,
 * out of the arena `source`: so sleepers in vm are served when space is freed
 * there.  Known by itself for vmem_alloc_import().  EINVAL: a cycle, or more
 * than 16 levels.
 */
VMEM_EXPORT int vmem_set_upstream(vmem_t *vm, vmem_t *source) VMEM_WARN_UNUSED;

/* vmem_set_limit: at most this much may be imported or added in all; 0: no
 * limit.  What is there already stays. */
VMEM_EXPORT void vmem_set_limit(vmem_t *vm, vmem_size_t limit);

/*
 * vmem_set_meta: from now on boundary tags and arenas live in `meta`,
 * whose addresses must be memory: commit(arg, addr, size) makes a range of it
 * usable and zero (0 or ENOMEM), decommit gives the frames back; both may run
 * with the tag pool's lock held, and must not call vmem_*().  meta has a span
 * already (its size is given to vmem_create(), or it is vmem_add()ed): up to
 * half of its largest free segment is for tags, 32 bytes at most for each
 * segment that the process will ever hold at once (far apart ones, by 2^31
 * quanta and more, take 512); the rest serves arenas and caches.
 * To be called once, before other threads use the library, after the arenas
 * below `meta` and itself have been made with VM_BOOTSTRAP; neither is ever
 * destroyed.  EBUSY: too late (another arena was made), or twice.  ENOMEM: the
 * span is smaller than 2 MiB, or commit failed.
 */
VMEM_EXPORT int vmem_set_meta(vmem_t *meta,
    int (*commit)(void *arg, vmem_addr_t addr, vmem_size_t size),
    void (*decommit)(void *arg, vmem_addr_t addr, vmem_size_t size), void *arg)
    VMEM_WARN_UNUSED;

/* One quantum cache, for statistics. */
struct vmem_qcache_stat {
	vmem_size_t qs_size;	/* what it hands out */
	uint64_t qs_hits;	/* allocations served without the arena */
	uint64_t qs_misses;	/* allocations that went to it */
	uint64_t qs_fills;	/* magazines taken full from the depot */
	uint64_t qs_drains;	/* ranges given back to the arena */
	uint64_t qs_frees;	/* frees that stayed in the cache */
	uint64_t qs_held;	/* ranges held free in the cache, now */
	uint32_t qs_magazine;	/* ranges a magazine may have, now */
	uint64_t qs_slabs;	/* slabs that its ranges are cut from; a
				 * neighbouring size may share them */
	uint64_t qs_slab_free;	/* ranges free in those, besides qs_held */
	uint64_t qs_depot_waits; /* times that a CPU waited for another one at
				  * the depot */
};

/* SPEC 5: counters since creation, and gauges.  A consistent snapshot of the
 * arena; the caches' counters are summed without stopping anybody. */
struct vmem_stat {
	char vs_name[VMEM_NAME_MAX];
	vmem_size_t vs_quantum;
	vmem_size_t vs_qcache_max;
	vm_flag_t vs_policy;		/* the default strategy */
	vmem_size_t vs_size;		/* of all spans */
	vmem_size_t vs_inuse;		/* allocated, and held by caches; but not
					 * what is free in their slabs */
	vmem_size_t vs_free;
	vmem_size_t vs_largest_free;	/* exact */
	vmem_size_t vs_limit;
	uint64_t vs_segments;		/* allocated segments */
	uint64_t vs_free_segments;
	uint64_t vs_spans;
	uint64_t vs_allocs;		/* granted, by caches too */
	uint64_t vs_frees;
	uint64_t vs_fails;		/* refused with ENOMEM */
	uint64_t vs_waits;		/* requests that had to queue */
	uint64_t vs_waiting;		/* queued now */
	uint64_t vs_imports;
	uint64_t vs_releases;
	uint64_t vs_lookups;		/* searches for a fitting segment */
	uint64_t vs_tags;		/* boundary tags the arena has in use */
	uint64_t vs_tags_free;		/* and has room for, its reserve too */
	uint64_t vs_meta_bytes;		/* the arena itself, without its tags */
	uint64_t vs_qc_hits;
	uint64_t vs_qc_misses;
	uint64_t vs_qc_fills;
	uint64_t vs_qc_drains;
	uint64_t vs_qc_held_bytes;
	unsigned int vs_qc_count;	/* quantum caches: vmem_qcache_stat() */
	uint64_t vs_qc_slabs;		/* segments cut up for the caches */
	vmem_size_t vs_qc_idle_bytes;	/* not used in them: counts as free */
	uint64_t vs_qc_restarts;	/* of restartable sequences */
};
VMEM_EXPORT void vmem_stat(const vmem_t *vm, struct vmem_stat *vs);
VMEM_EXPORT int vmem_qcache_stat(
    const vmem_t *vm, unsigned int index, struct vmem_qcache_stat *qs);

/*
 * vmem_qcache_mechanism: what makes quantum caches per CPU in this process:
 * "rseq-mm_cid" or "rseq-cpu" (restartable sequences, indexed by concurrency id
 * or by CPU), or "lock" (a lock for each CPU).  The best that kernel and libc
 * have, unless VMEM_RSEQ in the environment is "cpu" or "off".
 */
VMEM_EXPORT const char *vmem_qcache_mechanism(void);

/* What the library holds in all, for boundary tags. */
struct vmem_meta_stat {
	uint64_t ms_tags_total;	/* tags that there is memory for */
	uint64_t ms_tags_free;	/* of that, what no arena has taken */
	uint64_t ms_tag_bytes;	/* their memory */
	uint64_t ms_reserve;	/* tags kept back for refilling */
};
VMEM_EXPORT void vmem_meta_stat(struct vmem_meta_stat *ms);

/*
 * vmem_tick: the host's periodic call, about once a second: working-set reaping
 * of the caches, and retries for sleepers whose source isn't an arena.
 * Optional: without it those happen later, with the next operation.
 */
VMEM_EXPORT void vmem_tick(void);

/*
 * vmem_set_panic: what to do on misuse and on broken invariants, instead of
 * writing the message to standard error and abort(3).  If fn returns, the
 * process is aborted all the same.
 */
VMEM_EXPORT void vmem_set_panic(void (*fn)(const char *message));

/* Ready-made callbacks for an arena whose source is an arena: the source
 * pointer is the vmem_t of the source. */
VMEM_EXPORT int vmem_alloc_import(
    void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp);
VMEM_EXPORT void vmem_free_release(
    void *src, vmem_addr_t addr, vmem_size_t size);

#ifdef __cplusplus
}
#endif

#endif /* VMEM_H */
