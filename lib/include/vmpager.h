/*
 * vmpager.h - the pager of libvmem: fault map, frames, replacement, swap.
 *
 * Copyright (c) 2026, the vmemd authors.  SPDX-License-Identifier: BSD-2-Clause
 *
 * The second half of the seed's argument: addresses come from a vmem arena;
 * a range is registered here if and only if it takes faults.  The pager knows
 * no arenas.  It is given the span of one (vmpager_map_create()), and keeps a
 * flat array of page table entries for it, so that registering is a run of
 * stores and a fault never allocates.
 *
 * Conventions as in vmem.h: 0 or a positive errno, safe from any thread, no
 * malloc (memory from mmap(2)), no logging.  Addresses and sizes in bytes;
 * pages are VMPAGER_PAGE bytes.  Errors of every access:
 *
 *   EFAULT	[addr, addr + len) isn't wholly registered (`not_pageable`):
 *		nothing has been done, unless part of it was unregistered
 *		meanwhile.  A length of 0 is always fine
 *   ENOMEM	no frame could be had: everything is dirty and the swap is full
 *		or `none`, or has stayed in use for two seconds
 *		(`no_frames`).  Pages before the refused one have been done.
 *		Only a page that was never touched is refused for a full swap
 *   EIO	a page's stamp or checksum didn't match, or the swap file is
 *		too short (`corrupt`): the page's data is lost, its state 'x',
 *		and it stays refused until it is unregistered.  Or the swap
 *		couldn't be read, and the page is still there, 's', or, for
 *		want of a frame, others couldn't be written, and are in theirs:
 *		nothing is lost, and another try may be luckier
 *   ENOSPC	the same, for want of space where the swap is
 *
 * A pager doesn't survive fork(2): a child that uses it, or the addresses of a
 * map in a mode of the MMU, gets SIGSEGV.  Create it after daemonizing.
 */
#ifndef VMPAGER_H
#define VMPAGER_H

#include <vmem.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VMPAGER_PAGE 4096u

/*
 * How pages are reached.  In software mode, through the accessors below: the
 * addresses of a map are numbers.  In the other modes, those of the MMU, also
 * by pointers: the CPU's fault for a page that isn't resident is served by the
 * pager, and the instruction goes on.  The accessors work in all modes alike.
 */
enum vmpager_mode {
	VMPAGER_SOFTWARE,	/* deterministic, portable */
	VMPAGER_UFFD,		/* userfaultfd(2), served by a SIGBUS handler
				 * in the thread that faults; Linux 5.11 */
	VMPAGER_UFFD_THREAD,	/* the same, served by another thread: see
				 * vmpager_serve(); Linux 6.6 */
	VMPAGER_SIGSEGV		/* mprotect(2), served by a SIGSEGV handler */
};
#define VMPAGER_MODES 4u
enum vmpager_commit { VMPAGER_OVERCOMMIT, VMPAGER_STRICT };

struct vmpager_config {
	uint64_t pc_frames_bytes;	/* resident pageable memory, at most;
					 * populated at creation */
	uint64_t pc_swap_bytes;		/* ignored without swap; 0: none */
	const char *pc_swap;		/* a path: a regular file, created or
					 * taken over, made mode 0600; NULL: an
					 * unlinked temporary file below
					 * $TMPDIR, else /var/tmp, else /tmp;
					 * "none" */
	enum vmpager_mode pc_mode;
	enum vmpager_commit pc_commit;
	uint32_t pc_without;		/* do as on a kernel that lacks it:
					 * VMPAGER_HAS_MOVE, or 0 */
};

struct vmpager;
struct vmpager_map;

/* What works here, looked at once. */
struct vmpager_support {
	int su_error[VMPAGER_MODES];	/* by mode: 0 or ENOTSUP, ... */
	const char *su_why[VMPAGER_MODES]; /* ... and why, a static text */
	uint32_t su_kernel;		/* VMPAGER_HAS_* */
};
#define VMPAGER_HAS_UFFD 0x1u		/* userfaultfd(2), in user mode */
#define VMPAGER_HAS_SIGBUS 0x2u		/* and its features */
#define VMPAGER_HAS_WP 0x4u
#define VMPAGER_HAS_POISON 0x8u
#define VMPAGER_HAS_WP_ASYNC 0x10u
#define VMPAGER_HAS_MOVE 0x20u
VMEM_EXPORT void vmpager_support(struct vmpager_support *su);
VMEM_EXPORT const char *vmpager_mode_name(enum vmpager_mode mode); /* or NULL */

/*
 * Sizes are rounded down to pages.  ENOTSUP: the mode isn't available here.
 * EINVAL: not one whole frame, or no such mode or
 * policy.  E2BIG: in sigsegv mode,
 * more frames than vm.max_map_count allows mappings for.  ENOMEM.  Or the errno of the
 * swap file: ENOSPC or EFBIG (its size can't be had: it is allocated in full at
 * creation), EBUSY (another pager has it), EINVAL (not a regular file), or
 * open(2)'s.
 */
VMEM_EXPORT int vmpager_create(
    const struct vmpager_config *config, struct vmpager **pagerp);
VMEM_EXPORT void vmpager_destroy(struct vmpager *pager); /* NULL is ignored */

/*
 * A map: the page table of one span, all of it UNREGISTERED at first.  base
 * and size are multiples of VMPAGER_PAGE (EINVAL).  ENOMEM, also for more than
 * 4096 maps.  Destroying it unregisters what is left; no access may be under
 * way.  NULL is ignored.  Destroying the pager destroys its maps.
 *
 * In the modes of the MMU the caller has mapped the span: private, anonymous,
 * readable and writable, better with MAP_NORESERVE (else an errno of
 * madvise(2), mprotect(2) or userfaultfd(2)).  Its contents are lost, its
 * protection is the pager's business until the map is destroyed, and then it
 * is readable, writable and zero again.  Children of fork(2) don't have it, also
 * after that (MADV_DONTFORK): what isn't resident would read as zeros there.
 */
VMEM_EXPORT int vmpager_map_create(struct vmpager *pager, vmem_addr_t base,
    vmem_size_t size, struct vmpager_map **mapp);
VMEM_EXPORT void vmpager_map_destroy(struct vmpager_map *map);

/*
 * Register [addr, addr + size), page aligned, for faults: from now on it reads
 * as zeros.  No system call, no allocation.  ENOMEM: under strict commit,
 * frames and swap wouldn't cover it.  EINVAL: outside the map or unaligned.
 * EEXIST: part of it is registered.  All or nothing.
 * Unregistering drops the contents, frames and slots; it waits for accesses
 * under way to the same pages.  The range must be registered, else it panics;
 * it may be part of what was registered at once, or several such ranges.
 */
VMEM_EXPORT int vmpager_register(
    struct vmpager_map *map, vmem_addr_t addr, vmem_size_t size);
VMEM_EXPORT void vmpager_unregister(
    struct vmpager_map *map, vmem_addr_t addr, vmem_size_t size);

/* Run the fault path for every page that [addr, addr + len) meets; `write`
 * marks them dirty.  *out is set on success only. */
struct vmpager_touched {
	uint64_t pt_pages;	/* pages met */
	uint64_t pt_minor;	/* faults served without I/O (zero fill) */
	uint64_t pt_major;	/* faults that read the swap */
};
VMEM_EXPORT int vmpager_touch(struct vmpager_map *map, vmem_addr_t addr,
    vmem_size_t len, bool write, struct vmpager_touched *out);

/*
 * Advice, for every page that [addr, addr + len) meets; it never changes what
 * they hold.
 *
 *	PREFETCH	bring them in, as far as there are frames: accesses
 *			won't have to wait.  Running out is no error
 *	DONTNEED	evict those that aren't in use: they won't be accessed
 *			soon
 *	PIN		bring them in, and keep them until they are unpinned
 *			or unregistered; pinning twice is the same as once.
 *			ENOMEM also if more than three quarters of the frames
 *			would be pinned
 *	UNPIN		they may be evicted again
 *
 * *affected, unless NULL, is the number of pages brought in, evicted, pinned or
 * unpinned: also in part on an error, which is as of an access.
 */
enum vmpager_advice {
	VMPAGER_PREFETCH,
	VMPAGER_DONTNEED,
	VMPAGER_PIN,
	VMPAGER_UNPIN
};
VMEM_EXPORT int vmpager_advise(struct vmpager_map *map, vmem_addr_t addr,
    vmem_size_t len, enum vmpager_advice advice, uint64_t *affected);

/*
 * Access: fn(arg, addr, bytes, len) for each page's share of [addr, addr+len),
 * in order, the page resident and pinned while fn runs; `write` marks it dirty.
 * fn returns 0 to go on; anything else ends the access and is returned.  It
 * should be brief: whoever evicts or unregisters the page waits.  It must not
 * access or unregister pageable memory itself.
 */
VMEM_EXPORT int vmpager_access(struct vmpager_map *map, vmem_addr_t addr,
    vmem_size_t len, bool write,
    int (*fn)(void *arg, vmem_addr_t addr, void *bytes, size_t len), void *arg);
VMEM_EXPORT int vmpager_read(
    struct vmpager_map *map, vmem_addr_t addr, void *buf, size_t len);
VMEM_EXPORT int vmpager_write(
    struct vmpager_map *map, vmem_addr_t addr, const void *buf, size_t len);

/*
 * Pointers, in the modes of the MMU.  A fault that the pager can't serve (an
 * address that isn't registered, no frame, a lost page) ends fn, given to
 * vmpager_guard(), where it stands, and the errno is returned as if by an
 * access; else what fn returns.  So fn should hold nothing that would be lost:
 * no lock, no memory.  Without a guard in the thread such a fault is SIGBUS or
 * SIGSEGV as if the pager weren't there.
 *
 * A pager installs a handler for its mode's signal when it is created, and
 * passes what isn't its own to the handler that was there before; one that is
 * installed later must do the same.  It runs on the thread's alternate stack if
 * there is one: a thread whose stack is itself pageable needs that.  A system
 * call that is given an address of a page that isn't resident fails with
 * EFAULT: copy by vmpager_read() and vmpager_write(), which do so in and out
 * of memory that is.  What is accessed by pointers isn't seen by counters, nor,
 * but for faults and first writes, by replacement.
 */
VMEM_EXPORT int vmpager_guard(int (*fn)(void *arg), void *arg);

/*
 * uffd-thread: serve faults in this thread until vmpager_serve_stop().  Some
 * thread must, or who faults waits.  It mustn't access pageable memory itself.
 * 0, or an errno; ENOTSUP in other modes.
 */
VMEM_EXPORT int vmpager_serve(struct vmpager *pager);
VMEM_EXPORT void vmpager_serve_stop(struct vmpager *pager);

/* Is every page of the range registered? */
VMEM_EXPORT bool vmpager_registered(
    struct vmpager_map *map, vmem_addr_t addr, vmem_size_t size);

/* State of the page at addr, for dumps: '.' unregistered (or outside the map),
 * 'z' registered, zeros, and in no frame, 'r' resident, 'd' resident and dirty,
 * 's' swapped out, 'x' lost (EIO). */
VMEM_EXPORT char vmpager_page_state(struct vmpager_map *map, vmem_addr_t addr);

/* ENOMEM: strict, and what is registered now exceeds frames and swap. */
VMEM_EXPORT int vmpager_set_commit(
    struct vmpager *pager, enum vmpager_commit commit);

/*
 * Which pages are evicted: "clock" (from the beginning), "s3fifo" (a scan
 * doesn't drive out what is in use) or "random2".  At any time; EINVAL: no such
 * policy.
 */
VMEM_EXPORT int vmpager_set_replacement(
    struct vmpager *pager, const char *name);
VMEM_EXPORT const char *vmpager_replacement(struct vmpager *pager);

/* Verify the page tables against frames and slots; 0, or EIO (and *why, unless
 * why is NULL, is a static text).  Safe at any time: pages in use are skipped,
 * and sums compared only if nothing changed meanwhile. */
VMEM_EXPORT int vmpager_check(struct vmpager *pager, const char **why);

struct vmpager_stat {
	uint64_t ps_frames_total, ps_frames_free;
	uint64_t ps_swap_total_bytes, ps_swap_used_bytes;
	uint64_t ps_faults_minor, ps_faults_major, ps_faults_zero;
	uint64_t ps_evictions, ps_writebacks, ps_swapins;
	uint64_t ps_no_frames;		/* accesses refused for want of one */
	uint64_t ps_registered_pages;
	uint64_t ps_map_entries;	/* ranges registered now */
	uint64_t ps_resident_pages, ps_dirty_pages;
	uint64_t ps_scanned;		/* frames that replacement looked at */
	uint64_t ps_reactivated;	/* of them spared: referenced */
	uint64_t ps_accesses;		/* pages that accesses met; with the
					 * faults that is the miss ratio */
	uint64_t ps_traps;		/* faults of the CPU */
	uint64_t ps_upgrades;		/* first writes to a clean page */
	uint64_t ps_refaults;		/* came back when as many pages as
					 * there are frames, or fewer, had been
					 * evicted meanwhile */
	uint64_t ps_prefetched;		/* brought in before they were asked
					 * for: by advice or as neighbours */
	uint64_t ps_prefetch_hits;	/* of them, accessed later */
	uint64_t ps_prefetch_waste;	/* of them, evicted before */
	uint64_t ps_waits;		/* accesses that found a page busy */
	uint64_t ps_read_errors;	/* pages that couldn't be had from swap,
					 * as read or as they were */
	uint64_t ps_write_errors;	/* that couldn't be written to it, and
					 * stayed in their frames */
	uint64_t ps_pinned_pages;	/* by advice; of the pager only */
};
VMEM_EXPORT void vmpager_stat(struct vmpager *pager, struct vmpager_stat *ps);
/* The same for one map: registered, ranges, resident, dirty, faults, evictions,
 * writebacks, swapins, and from accesses to waits; the rest is 0. */
VMEM_EXPORT void vmpager_map_stat(
    struct vmpager_map *map, struct vmpager_stat *ps);

/*
 * How long faults took, from where they are recognised to where the access can
 * go on: fn(arg, low_ns, high_ns, count) for each range of times that occurred,
 * a bucket of a log-linear histogram at most 1/64 wide.  In software mode one
 * of 64 is measured.
 */
enum vmpager_fault {
	VMPAGER_FAULT_ZERO,
	VMPAGER_FAULT_MAJOR,
	VMPAGER_FAULT_UPGRADE,
	VMPAGER_FAULT_WAIT	/* another thread brought the page in */
};
#define VMPAGER_FAULTS 4u
VMEM_EXPORT void vmpager_latency(struct vmpager *pager,
    enum vmpager_fault kind,
    void (*fn)(void *arg, uint64_t low_ns, uint64_t high_ns, uint64_t count),
    void *arg);

/*
 * Wired memory: address space that the caller has mapped (readable, writable,
 * private, not reserved) is populated or given back, within a bound.
 * vmpager_wire(): ENOMEM above the bound, or when the kernel has no memory;
 * the range reads as zeros if it is new or has been unwired.  vmpager_unwire()
 * drops contents and frames; what was wired may be unwired in parts.  Ranges
 * are rounded outwards to pages, so no two may share one.
 */
struct vmpager_wired;
VMEM_EXPORT int vmpager_wired_create(
    uint64_t limit_bytes, struct vmpager_wired **wiredp);
VMEM_EXPORT void vmpager_wired_destroy(struct vmpager_wired *wired);
VMEM_EXPORT int vmpager_wire(
    struct vmpager_wired *wired, vmem_addr_t addr, vmem_size_t size);
VMEM_EXPORT void vmpager_unwire(
    struct vmpager_wired *wired, vmem_addr_t addr, vmem_size_t size);
VMEM_EXPORT uint64_t vmpager_wired_bytes(const struct vmpager_wired *wired);

#ifdef __cplusplus
}
#endif

#endif /* VMPAGER_H */
