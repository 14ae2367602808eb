/*
 * evict.c - eviction: from a frame that a policy points at to a free frame.
 *
 * A round has three parts.  Under pg_lock the policy offers frames, and those
 * that will do are claimed, each with the slot it will be written to.  Then,
 * without the lock, each is written if it is dirty, and settled, and its frame
 * goes to the free list.  Batches take the lock less often, and let a page be
 * fetched into the cache while the one before is summed.
 *
 * Pages that can't be written don't stop those that needn't be: a clean page
 * that has a slot is simply dropped for it, and a clean one without has never
 * been written to and turns back into zeros.  When the swap is full, a dirty
 * page that has a slot of its own still can be evicted to it; one that hasn't
 * is passed over.
 *
 * Runs inside faults: nothing here may allocate memory.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#pragma GCC poison malloc calloc realloc free mmap munmap

/* May the page be evicted, as far as can be seen without claiming it? */
static enum evict_verdict
evict_look(struct vmpager *pg, const struct frame *fr, uint32_t frame,
    uint64_t pte, struct evict *ev)
{
	if (pte_busy(pte) || (pte & PTE_PINS) != 0) {
		ev->ev_transient = true;
		return (EVICT_NOT);
	}
	if (pte_state(pte) != PTE_RESIDENT || pte_number(pte) != frame)
		return (EVICT_NOT);	/* it has left the frame meanwhile */
	if ((pte & PTE_DIRTY) != 0 && ev->ev_slot == NO_SLOT &&
	    atomic_load_explicit(&fr->fr_slot, memory_order_relaxed) ==
		NO_SLOT &&
	    atomic_load_explicit(&pg->pg_swap.sw_free, memory_order_relaxed) ==
		0)
		return (EVICT_NOT);	/* nowhere to write it to */
	return (EVICT_TAKEN);
}

/* A slot to write a claimed page to.  False: all have been taken meanwhile. */
static bool
victim_place(struct vmpager *pg, struct victim *vi, struct evict *ev)
{
	vi->vi_slot = atomic_load_explicit(
	    &pg->pg_pool.fp_frames[vi->vi_frame].fr_slot, memory_order_relaxed);
	vi->vi_fresh = false;
	if (vi->vi_slot != NO_SLOT || (vi->vi_pte & PTE_DIRTY) == 0)
		return (true);
	vi->vi_fresh = true;
	vi->vi_slot = ev->ev_slot;
	ev->ev_slot = NO_SLOT;
	if (vi->vi_slot == NO_SLOT)
		vi->vi_slot = swap_alloc(&pg->pg_swap);
	return (vi->vi_slot != NO_SLOT);
}

enum evict_verdict
evict_claim(struct vmpager *pg, uint32_t frame, struct evict *ev)
{
	struct frame *fr = &pg->pg_pool.fp_frames[frame];
	struct victim *vi = &ev->ev_victim[ev->ev_count];
	enum evict_verdict verdict;
	uint64_t owner, pte;
	pte_t *ptep;

	owner = atomic_load_explicit(&fr->fr_owner, memory_order_acquire);
	if (owner < (uint64_t)1 << OWNER_MAP_SHIFT) {
		/* One on its way to a page may be had soon. */
		ev->ev_transient |= owner == OWNER_HAND;
		return (EVICT_NOT);
	}
	vi->vi_map = pg->pg_maps[owner >> OWNER_MAP_SHIFT];
	vi->vi_page = owner & (MAP_PAGES_MAX - 1);
	vi->vi_frame = frame;
	ptep = &vi->vi_map->mp_ptes[vi->vi_page];
	pte = atomic_load_explicit(ptep, memory_order_acquire);
	verdict = evict_look(pg, fr, frame, pte, ev);
	if (verdict != EVICT_TAKEN)
		return (verdict);
	if ((pte & PTE_REF) != 0) {
		(void)atomic_fetch_and_explicit(
		    ptep, ~PTE_REF, memory_order_relaxed);
		return (EVICT_SPARED);
	}
	if (!pte_claim(ptep, pte, PTE_BUSY_OUT)) {
		ev->ev_transient = true;
		return (EVICT_NOT);
	}
	vi->vi_pte = pte;
	if (!victim_place(pg, vi, ev)) {
		pte_settle(ptep, pte);
		return (EVICT_NOT);
	}
	ev->ev_count++;
	return (EVICT_TAKEN);
}

/* Evicted: the page is in its slot, or zeros, and the frame is free. */
static void
victim_finish(struct vmpager *pg, const struct victim *vi)
{
	struct frame *fr = &pg->pg_pool.fp_frames[vi->vi_frame];
	pte_t *ptep = &vi->vi_map->mp_ptes[vi->vi_page];

	if (pg->pg_replace->rp_remove != NULL)
		pg->pg_replace->rp_remove(pg, vi->vi_frame);
	atomic_store_explicit(&fr->fr_owner, OWNER_HAND, memory_order_relaxed);
	count_add(vi->vi_map, (vi->vi_pte & PTE_DIRTY) != 0 ?
	    COUNT_EVICT_DIRTY : COUNT_EVICT_CLEAN);
	pte_settle(ptep, vi->vi_slot == NO_SLOT ? PTE_NEW :
	    pte_make_swapped(vi->vi_slot,
		swap_gen(&pg->pg_swap, vi->vi_slot)));
	frame_put(&pg->pg_pool, vi->vi_frame);
}

/* It couldn't be written: it stays, dirty, where it was. */
static void
victim_restore(struct vmpager *pg, const struct victim *vi)
{
	if (vi->vi_fresh)
		swap_free(&pg->pg_swap, vi->vi_slot);
	pg->pg_mode->md_enter(vi->vi_map, vi->vi_page, vi->vi_frame, true);
	pte_settle(&vi->vi_map->mp_ptes[vi->vi_page], vi->vi_pte);
}

static int
victim_write(
    struct vmpager *pg, const struct victim *vi, const struct victim *next)
{
	const char *ahead = NULL;

	if ((vi->vi_pte & PTE_DIRTY) == 0)
		return (0);
	if (next != NULL)
		ahead = frame_bytes(&pg->pg_pool, next->vi_frame);
	return (swap_write(&pg->pg_swap, vi->vi_slot,
	    map_owner(vi->vi_map, vi->vi_page),
	    frame_bytes(&pg->pg_pool, vi->vi_frame), ahead));
}

static void
evict_victims(struct vmpager *pg, struct evict *ev)
{
	const struct victim *vi, *next;
	int error;

	for (unsigned int i = 0; i < ev->ev_count; i++) {
		vi = &ev->ev_victim[i];
		next = i + 1 < ev->ev_count ? vi + 1 : NULL;
		error = victim_write(pg, vi, next);
		if (error == 0) {
			victim_finish(pg, vi);
			ev->ev_freed++;
		} else {
			victim_restore(pg, vi);
			ev->ev_error = error;
		}
	}
}

void
evict_frames(struct vmpager *pg, struct evict *ev)
{
	struct frame_pool *fp = &pg->pg_pool;
	uint64_t head = atomic_load(&fp->fp_head);
	bool full = atomic_load_explicit(&pg->pg_swap.sw_free,
			memory_order_relaxed) == 0 && ev->ev_slot == NO_SLOT;

	ASSERT(ev->ev_want > 0 && ev->ev_want <= EVICT_BATCH);
	ev->ev_count = ev->ev_freed = 0;
	ev->ev_error = 0;
	ev->ev_transient = false;
	/*
	 * With the swap full, a search may find that every page is dirty and
	 * has no slot.  As long as no frame has been taken or given back since,
	 * that is still so: pages become clean only by eviction, and come in
	 * only with a frame.  So a daemon that is out of frames refuses
	 * quickly, instead of going round the clock for each refusal.
	 */
	if (full && atomic_load_explicit(
			&pg->pg_barren, memory_order_relaxed) == head)
		return;
	lock_acquire(&pg->pg_lock);
	pg->pg_replace->rp_select(pg, ev);
	lock_release(&pg->pg_lock);
	for (unsigned int i = 0; i < ev->ev_count; i++) {
		const struct victim *vi = &ev->ev_victim[i];

		pg->pg_mode->md_remove(vi->vi_map, vi->vi_page, vi->vi_frame);
	}
	evict_victims(pg, ev);
	/* A frame that was given back behind the search, and taken again before
	 * the caller could, must not look like there is none. */
	if (atomic_load(&fp->fp_head) != head)
		ev->ev_transient = true;
	if (full && ev->ev_count == 0 && !ev->ev_transient)
		atomic_store_explicit(
		    &pg->pg_barren, head, memory_order_relaxed);
}
