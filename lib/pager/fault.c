/*
 * fault.c - the fault path, and the accesses that run it.
 *
 * An access goes page by page.  fault_page() makes one resident and pins it:
 *
 *	RESIDENT	a hit: one compare-and-swap sets the marks and the pin
 *	ZERO		claim it, fill a frame with zeros, settle
 *	SWAPPED		claim it, read the slot into a frame, check it, settle
 *	BUSY		wait for whoever has claimed it, look again
 *	FAILED		EIO
 *	UNREGISTERED	EFAULT
 *
 * The frame comes from the free list, or from eviction in this same thread: a
 * wake-up of another would cost more than the fault.  If every frame is pinned
 * or on its way somewhere, the claim is given up, so that nobody waits for one
 * who waits, and the access tries again for a bounded time.
 *
 * When every frame is dirty and the swap is full, a page in a slot still can
 * come in: it changes places with a victim (fault_exchange()).  So a page that
 * exists stays reachable; only a page that has never been touched is refused.
 * It is also what makes strict commit keep its word to the last page.
 *
 * Nothing here allocates memory: not by malloc, not from the kernel.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#pragma GCC poison malloc calloc realloc free mmap munmap

enum fault_kind {
	FAULT_NONE,		/* it was resident */
	FAULT_MINOR,		/* served without I/O */
	FAULT_MAJOR		/* read from swap */
};

struct fault {
	struct vmpager_map *ft_map;
	uint64_t ft_page;
	bool ft_write;		/* mark it dirty */
	bool ft_pin;		/* leave it pinned: else it may go at once */
	bool ft_claimed;	/* the page is ours, and ft_pte what it was */
	uint64_t ft_pte;
	uint32_t ft_frame;	/* out: where it is; holds while pinned */
	enum fault_kind ft_kind; /* out */
};

/* ---- hits -----------------------------------------------------------------*/

/* The page is resident, `pte` says.  False: not quite, look again. */
static inline bool
fault_hit(struct fault *ft, pte_t *ptep, uint64_t pte)
{
	uint64_t want = pte | PTE_REF | (ft->ft_write ? PTE_DIRTY : 0);

	if (ft->ft_pin) {
		/* Pins used up, or someone waits for them to go: let it. */
		if ((pte & PTE_PINS) == PTE_PINS || (pte & PTE_WAIT) != 0) {
			pte_wait(ptep, pte);
			return (false);
		}
		want += PTE_PIN;
	}
	/* Acquire: the bytes, from pte_settle(). */
	if (want != pte && !atomic_compare_exchange_weak_explicit(ptep, &pte,
	    want, memory_order_acquire, memory_order_relaxed))
		return (false);
	if (((want ^ pte) & PTE_DIRTY) != 0)
		count_add(ft->ft_map, COUNT_DIRTIED);
	ft->ft_frame = pte_number(pte);
	return (true);
}

/* ---- frames for faults ----------------------------------------------------*/

/*
 * Evict something, or better a batch, and take a frame.  EAGAIN: none could be
 * had at the moment.  ENOMEM: nor will one, until something is given back.
 * EIO: a page couldn't be written.
 */
static __attribute__((noinline)) int
fault_evict(struct vmpager *pg, uint32_t *framep)
{
	struct frame_pool *fp = &pg->pg_pool;
	uint32_t count = frame_free_count(fp);
	struct evict ev;

	ev.ev_slot = NO_SLOT;
	ev.ev_want = count < fp->fp_target ? fp->fp_target - count : 1;
	if (ev.ev_want > EVICT_BATCH)
		ev.ev_want = EVICT_BATCH;
	evict_frames(pg, &ev);
	*framep = frame_get(fp, fp->fp_reserve);
	if (*framep != NO_FRAME)
		return (0);
	if (ev.ev_error != 0)
		return (ev.ev_error);
	return (evict_hopeless(pg) ? ENOMEM : EAGAIN);
}

static int
fault_frame(struct vmpager *pg, uint32_t *framep)
{
	struct frame_pool *fp = &pg->pg_pool;
	uint32_t keep = fp->fp_reserve;

	/* Free frames are kept above the minimum as long as there is room to
	 * evict to; the last are for those who come when there is none. */
	if (atomic_load_explicit(&pg->pg_swap.sw_free, memory_order_relaxed) !=
	    0)
		keep += fp->fp_min;
	*framep = frame_get(fp, keep);
	return (*framep != NO_FRAME ? 0 : fault_evict(pg, framep));
}

/* ---- pages in -------------------------------------------------------------*/

/* The frame holds the page's bytes: make it resident.  A page that came from
 * swap and has no slot any more is dirty, written to or not. */
static void
fault_publish(struct fault *ft, uint32_t frame, uint32_t slot, bool dirty)
{
	struct vmpager_map *mp = ft->ft_map;
	struct vmpager *pg = mp->mp_pager;
	struct frame *fr = &pg->pg_pool.fp_frames[frame];

	pg->pg_mode->md_enter(mp, ft->ft_page, frame, dirty);
	atomic_store_explicit(&fr->fr_slot, slot, memory_order_relaxed);
	/* Release: for evict_claim(), which gets to the page from here. */
	atomic_store_explicit(&fr->fr_owner, map_owner(mp, ft->ft_page),
	    memory_order_release);
	if (pg->pg_replace->rp_insert != NULL)
		pg->pg_replace->rp_insert(pg, frame);
	pte_settle(&mp->mp_ptes[ft->ft_page], pte_make(PTE_RESIDENT, frame) |
	    (dirty ? PTE_DIRTY : 0) | (ft->ft_pin ? PTE_PIN : 0));
	ft->ft_claimed = false;
	ft->ft_frame = frame;
}

static int
fault_zero(struct fault *ft)
{
	struct vmpager *pg = ft->ft_map->mp_pager;
	uint32_t frame;
	int error;

	error = fault_frame(pg, &frame);
	if (error != 0)
		return (error);
	memset(frame_bytes(&pg->pg_pool, frame), 0, VMPAGER_PAGE);
	count_add(ft->ft_map,
	    ft->ft_write ? COUNT_ZERO_WRITE : COUNT_ZERO_READ);
	ft->ft_kind = FAULT_MINOR;
	fault_publish(ft, frame, NO_SLOT, ft->ft_write);
	return (0);
}

/* The page has been read into `frame`; its slot is still its own, or went to
 * another and is NO_SLOT. */
static void
fault_enter_read(struct fault *ft, uint32_t frame, uint32_t slot)
{
	bool dirty = ft->ft_write || slot == NO_SLOT;

	count_add(ft->ft_map, COUNT_SWAPIN);
	if (dirty)
		count_add(ft->ft_map, COUNT_DIRTIED);
	ft->ft_kind = FAULT_MAJOR;
	fault_publish(ft, frame, slot, dirty);
}

/* Read the claimed page into the frame.  EIO: what the slot holds isn't the
 * page, which is lost for good: the frame is given back, the claim settled. */
static int
fault_read(struct fault *ft, uint32_t frame)
{
	struct vmpager *pg = ft->ft_map->mp_pager;
	uint32_t slot = pte_number(ft->ft_pte);
	int error;

	error = swap_read(&pg->pg_swap, slot,
	    map_owner(ft->ft_map, ft->ft_page), pte_gen(ft->ft_pte),
	    frame_bytes(&pg->pg_pool, frame));
	if (error == 0)
		return (0);
	frame_put(&pg->pg_pool, frame);
	swap_free(&pg->pg_swap, slot);
	pte_settle(&ft->ft_map->mp_ptes[ft->ft_page],
	    pte_make(PTE_FAILED, NO_SLOT));
	ft->ft_claimed = false;
	return (error);
}

/*
 * Every frame is dirty and no slot is free: read the page into a frame of the
 * reserve, then evict a victim to the slot it came from.  The victim's frame
 * takes the place of the one of the reserve.  EAGAIN: no victim, or no reserve,
 * at the moment.
 */
static int
fault_exchange(struct fault *ft)
{
	struct vmpager *pg = ft->ft_map->mp_pager;
	uint32_t frame = frame_get(&pg->pg_pool, 0);
	struct evict ev;
	int error;

	if (frame == NO_FRAME)
		return (EAGAIN);
	error = fault_read(ft, frame);
	if (error != 0)
		return (error);
	ev.ev_slot = pte_number(ft->ft_pte);
	ev.ev_want = 1;
	evict_frames(pg, &ev);
	/*
	 * If the slot went and yet nothing was freed, writing to it failed: the
	 * victim stays, and so does this page, in a frame that the reserve is
	 * short of until one is given back.
	 */
	if (ev.ev_freed == 0 && ev.ev_slot != NO_SLOT) {
		frame_put(&pg->pg_pool, frame);
		return (EAGAIN);
	}
	fault_enter_read(ft, frame, ev.ev_slot);
	return (0);
}

static int
fault_swapped(struct fault *ft)
{
	struct vmpager *pg = ft->ft_map->mp_pager;
	uint32_t frame;
	int error;

	error = fault_frame(pg, &frame);
	if ((error == ENOMEM || error == EAGAIN) &&
	    atomic_load_explicit(&pg->pg_swap.sw_free, memory_order_relaxed) ==
		0)
		return (fault_exchange(ft));
	if (error == 0)
		error = fault_read(ft, frame);
	if (error == 0)
		fault_enter_read(ft, frame, pte_number(ft->ft_pte));
	return (error);
}

/* ---- the fault path -------------------------------------------------------*/

/* The page isn't resident, or wasn't quite when fault_page() looked. */
static __attribute__((noinline)) int
fault_slow(struct fault *ft)
{
	struct vmpager *pg = ft->ft_map->mp_pager;
	pte_t *ptep = &ft->ft_map->mp_ptes[ft->ft_page];
	struct frame_wait wait = { 0 };
	int error;

	for (;;) {
		ft->ft_pte = atomic_load_explicit(ptep, memory_order_acquire);
		switch (pte_state(ft->ft_pte)) {
		case PTE_UNREGISTERED:
			return (EFAULT);
		case PTE_FAILED:
			return (EIO);
		case PTE_RESIDENT:
			if (fault_hit(ft, ptep, ft->ft_pte))
				return (0);
			continue;
		case PTE_BUSY_IN:
		case PTE_BUSY_OUT:
			pte_wait(ptep, ft->ft_pte);
			continue;
		case PTE_ZERO:
		case PTE_SWAPPED:
			break;
		}
		if (!pte_claim(ptep, ft->ft_pte, PTE_BUSY_IN))
			continue;
		ft->ft_claimed = true;
		error = pte_state(ft->ft_pte) == PTE_ZERO ? fault_zero(ft)
							  : fault_swapped(ft);
		if (ft->ft_claimed)
			pte_settle(ptep, ft->ft_pte);	/* as it was */
		if (error != EAGAIN)
			break;
		if (!frame_wait(&pg->pg_pool, &wait)) {
			error = ENOMEM;
			break;
		}
	}
	if (error == ENOMEM)
		(void)atomic_fetch_add_explicit(
		    &pg->pg_no_frames, 1, memory_order_relaxed);
	return (error);
}

static inline int
fault_page(struct fault *ft)
{
	pte_t *ptep = &ft->ft_map->mp_ptes[ft->ft_page];
	uint64_t pte = atomic_load_explicit(ptep, memory_order_acquire);

	ft->ft_kind = FAULT_NONE;
	if (pte_state(pte) == PTE_RESIDENT && fault_hit(ft, ptep, pte))
		return (0);
	return (fault_slow(ft));
}

/* ---- accesses -------------------------------------------------------------*/

/*
 * The pages of an access, all of which must be registered: so an access that
 * runs over the end of a range does nothing, rather than half of its work.  One
 * page needs no look ahead: the fault path will say.
 */
static int
access_pages(struct vmpager_map *mp, vmem_addr_t addr, vmem_size_t len,
    uint64_t *firstp, uint64_t *countp)
{
	int error = map_pages(mp, addr, len, firstp, countp);

	if (error == 0 && *countp > 1 && !map_registered(mp, *firstp, *countp))
		error = EFAULT;
	return (error);
}

int
vmpager_touch(struct vmpager_map *mp, vmem_addr_t addr, vmem_size_t len,
    bool write, struct vmpager_touched *out)
{
	struct vmpager_touched pt = { 0 };
	struct fault ft = { .ft_map = mp, .ft_write = write };
	uint64_t first = 0;
	int error = 0;

	if (len != 0)
		error = access_pages(mp, addr, len, &first, &pt.pt_pages);
	for (uint64_t i = 0; i < pt.pt_pages && error == 0; i++) {
		ft.ft_page = first + i;
		error = fault_page(&ft);
		pt.pt_minor += ft.ft_kind == FAULT_MINOR;
		pt.pt_major += ft.ft_kind == FAULT_MAJOR;
	}
	if (error == 0)
		*out = pt;
	return (error);
}

int
vmpager_access(struct vmpager_map *mp, vmem_addr_t addr, vmem_size_t len,
    bool write, int (*fn)(void *arg, vmem_addr_t addr, void *bytes, size_t len),
    void *arg)
{
	struct fault ft = { .ft_map = mp, .ft_write = write, .ft_pin = true };
	const struct mode *md = mp->mp_pager->pg_mode;
	uint64_t count;
	size_t offset, share;
	char *bytes;
	int error;

	if (len == 0)
		return (0);
	error = access_pages(mp, addr, len, &ft.ft_page, &count);
	for (; len != 0 && error == 0; ft.ft_page++) {
		error = fault_page(&ft);
		if (error != 0)
			break;
		offset = (size_t)(addr % VMPAGER_PAGE);
		share = VMPAGER_PAGE - offset;
		if (share > len)
			share = (size_t)len;
		bytes = md->md_bytes(mp, ft.ft_page, ft.ft_frame);
		error = fn(arg, addr, bytes + offset, share);
		pte_unpin(&mp->mp_ptes[ft.ft_page]);
		addr += share;
		len -= share;
	}
	return (error);
}

/* The caller's side of a copy moves on with each page. */
static int
copy_out(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	char **to = arg;

	(void)addr;
	memcpy(*to, bytes, len);
	*to += len;
	return (0);
}

static int
copy_in(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	const char **from = arg;

	(void)addr;
	memcpy(bytes, *from, len);
	*from += len;
	return (0);
}

int
vmpager_read(struct vmpager_map *mp, vmem_addr_t addr, void *buf, size_t len)
{
	char *to = buf;

	return (vmpager_access(mp, addr, len, false, copy_out, &to));
}

int
vmpager_write(
    struct vmpager_map *mp, vmem_addr_t addr, const void *buf, size_t len)
{
	const char *from = buf;

	return (vmpager_access(mp, addr, len, true, copy_in, &from));
}
