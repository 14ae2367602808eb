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
 *   EIO	a page's stamp or checksum didn't match, or the swap file
 *		couldn't be read (`corrupt`): the page's data is lost, and it
 *		stays refused until it is unregistered; or, for want of a
 *		frame, another page couldn't be written (nothing is lost)
 *
 * A pager doesn't survive fork(2): a child that uses it gets SIGSEGV.  Create
 * it after daemonizing.
 */
#ifndef VMPAGER_H
#define VMPAGER_H

#include <vmem.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VMPAGER_PAGE 4096u

enum vmpager_mode {
	VMPAGER_SOFTWARE,	/* data reached through vmpager_access() only */
	VMPAGER_UFFD,
	VMPAGER_UFFD_THREAD,
	VMPAGER_SIGSEGV
};
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
};

struct vmpager;
struct vmpager_map;

/*
 * Sizes are rounded down to pages.  ENOTSUP: the mode isn't available here.
 * EINVAL: not one whole frame, or no such policy.  ENOMEM.  Or the errno of the
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
	uint64_t ps_scanned;		/* frames the clock hand passed */
	uint64_t ps_reactivated;	/* of them spared: referenced */
};
VMEM_EXPORT void vmpager_stat(struct vmpager *pager, struct vmpager_stat *ps);
/* The same for one map: registered, ranges, resident, dirty, faults, evictions,
 * writebacks and swapins only; the rest is 0. */
VMEM_EXPORT void vmpager_map_stat(
    struct vmpager_map *map, struct vmpager_stat *ps);

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
