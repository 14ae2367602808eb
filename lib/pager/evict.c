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
 * In the modes of the MMU a page must leave the address space, which interrupts
 * other CPUs: so neighbours that are idle too go with a victim, and each run of
 * adjacent pages leaves at once.
 *
 * Runs inside faults: nothing here may allocate memory.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
/* Steps of a walk over frames between two chances for others to take the lock:
 * some tens of microseconds. */
#define YIELD_STEPS 1024u

/* ---- looking --------------------------------------------------------------*/

static bool
swap_full(const struct vmpager *pg)
{
	return (atomic_load_explicit(
		    &pg->pg_swap.sw_free, memory_order_relaxed) == 0);
}

/* The page in a frame, and its entry; false if none is. */
static bool
frame_page(struct vmpager *pg, uint32_t frame, struct victim *vi)
    REQUIRES(pg->pg_lock)
{
	uint64_t owner = atomic_load_explicit(
	    &pg->pg_pool.fp_frames[frame].fr_owner, memory_order_acquire);

	if (owner < (uint64_t)1 << OWNER_MAP_SHIFT)
		return (false);
	vi->vi_map = pg->pg_maps[owner >> OWNER_MAP_SHIFT];
	vi->vi_page = owner & (MAP_PAGES_MAX - 1);
	vi->vi_frame = frame;
	vi->vi_pte = atomic_load_explicit(
	    &vi->vi_map->mp_ptes[vi->vi_page], memory_order_acquire);
	return (true);
}

/* Resident in the frame still, and not in use? */
static bool
victim_idle(const struct victim *vi)
{
	return (pte_state(vi->vi_pte) == PTE_RESIDENT &&
	    pte_number(vi->vi_pte) == vi->vi_frame &&
	    (vi->vi_pte & (PTE_PINS | PTE_HELD)) == 0);
}

/* To evict it, would a slot have to be found? */
static bool
victim_needs_slot(struct vmpager *pg, const struct victim *vi)
{
	return ((vi->vi_pte & PTE_DIRTY) != 0 &&
	    atomic_load_explicit(&pg->pg_pool.fp_frames[vi->vi_frame].fr_slot,
		memory_order_relaxed) == NO_SLOT);
}

/* ---- claiming -------------------------------------------------------------*/

/* A slot to write a claimed page to.  False: all have been taken meanwhile. */
static bool
victim_place(struct vmpager *pg, struct victim *vi, struct evict *ev)
{
	vi->vi_fresh = victim_needs_slot(pg, vi);
	if (!vi->vi_fresh) {
		vi->vi_slot = atomic_load_explicit(
		    &pg->pg_pool.fp_frames[vi->vi_frame].fr_slot,
		    memory_order_relaxed);
		return (true);
	}
	vi->vi_slot = ev->ev_slot;
	ev->ev_slot = NO_SLOT;
	if (vi->vi_slot == NO_SLOT)
		vi->vi_slot = swap_alloc(&pg->pg_swap);
	return (vi->vi_slot != NO_SLOT);
}

void
evict_yield(struct vmpager *pg, uint64_t steps)
{
	if (steps % YIELD_STEPS == YIELD_STEPS - 1) {
		lock_release(&pg->pg_lock);
		lock_acquire(&pg->pg_lock);
	}
}

/* Could the page in the frame go?  If not for its mark, that is taken off. */
static enum evict_verdict
look_at(struct vmpager *pg, uint32_t frame, struct victim *vi, bool placed)
    REQUIRES(pg->pg_lock)
{
	if (!frame_page(pg, frame, vi) || !victim_idle(vi))
		return (EVICT_NOT);
	if (!placed && swap_full(pg) && victim_needs_slot(pg, vi))
		return (EVICT_NOT);	/* nowhere to write it to */
	if ((vi->vi_pte & PTE_REF) == 0)
		return (EVICT_TAKEN);
	(void)atomic_fetch_and_explicit(&vi->vi_map->mp_ptes[vi->vi_page],
	    ~PTE_REF, memory_order_relaxed);
	return (EVICT_SPARED);
}

enum evict_verdict
evict_look(struct vmpager *pg, uint32_t frame)
{
	struct victim vi;

	return (look_at(pg, frame, &vi, false));
}

static enum evict_verdict
claim_one(struct vmpager *pg, uint32_t frame, struct evict *ev)
    REQUIRES(pg->pg_lock)
{
	struct victim *vi = &ev->ev_victim[ev->ev_count];
	enum evict_verdict verdict =
	    look_at(pg, frame, vi, ev->ev_slot != NO_SLOT);
	pte_t *ptep;

	if (verdict != EVICT_TAKEN)
		return (verdict);
	ptep = &vi->vi_map->mp_ptes[vi->vi_page];
	if (!pte_claim(ptep, vi->vi_pte, PTE_BUSY_OUT))
		return (EVICT_NOT);	/* someone was faster */
	if (!victim_place(pg, vi, ev)) {
		pte_settle(ptep, vi->vi_pte);
		return (EVICT_NOT);
	}
	ev->ev_count++;
	return (EVICT_TAKEN);
}

/* A page of the victim's cluster goes with it: if it is idle, not referenced,
 * and there is room for it in the batch. */
static bool
claim_neighbour(struct vmpager *pg, struct vmpager_map *mp, uint64_t page,
    struct evict *ev) REQUIRES(pg->pg_lock)
{
	uint64_t pte;

	if (ev->ev_count == EVICT_BATCH || page >= mp->mp_pages)
		return (false);
	pte = atomic_load_explicit(&mp->mp_ptes[page], memory_order_acquire);
	if (pte_state(pte) != PTE_RESIDENT || (pte & PTE_REF) != 0)
		return (false);
	return (claim_one(pg, pte_number(pte), ev) == EVICT_TAKEN);
}

enum evict_verdict
evict_claim(struct vmpager *pg, uint32_t frame, struct evict *ev)
{
	struct victim *vi = &ev->ev_victim[ev->ev_count];
	enum evict_verdict verdict = claim_one(pg, frame, ev);
	uint64_t page, begin;

	if (verdict != EVICT_TAKEN || !vi->vi_map->mp_mmu ||
	    ev->ev_want == 1)
		return (verdict);
	page = vi->vi_page;
	begin = page - page % CLUSTER_PAGES;
	while (page + 1 < begin + CLUSTER_PAGES &&
	    claim_neighbour(pg, vi->vi_map, page + 1, ev))
		page++;
	page = vi->vi_page;
	while (page > begin && claim_neighbour(pg, vi->vi_map, page - 1, ev))
		page--;
	return (verdict);
}

/* ---- evicting -------------------------------------------------------------*/

/* Evicted: the page is in its slot, or zeros, and the frame is free. */
static void
victim_finish(struct vmpager *pg, const struct victim *vi)
{
	struct frame *fr = &pg->pg_pool.fp_frames[vi->vi_frame];
	pte_t *ptep = &vi->vi_map->mp_ptes[vi->vi_page];

	ghost_add(pg, map_owner(vi->vi_map, vi->vi_page),
	    replace_removed(pg, vi->vi_frame));
	atomic_store_explicit(&fr->fr_owner, OWNER_HAND, memory_order_relaxed);
	count_add(vi->vi_map, (vi->vi_pte & PTE_DIRTY) != 0 ?
	    COUNT_EVICT_DIRTY : COUNT_EVICT_CLEAN);
	if ((vi->vi_pte & PTE_AHEAD) != 0)
		count_add(vi->vi_map, COUNT_AHEAD_WASTE);
	pte_settle(ptep, vi->vi_slot == NO_SLOT ? PTE_NEW :
	    pte_make_swapped(vi->vi_slot,
		swap_gen(&pg->pg_swap, vi->vi_slot)));
	frame_put(&pg->pg_pool, vi->vi_frame);
}

/* It couldn't be written: it stays, dirty, where it was. */
static void
victim_restore(struct vmpager *pg, struct victim *vi)
{
	if (vi->vi_fresh) {
		swap_free(&pg->pg_swap, vi->vi_slot);
		swap_avoid(&pg->pg_swap, vi->vi_slot);
	}
	pg->pg_mode->md_restore(pg, vi);
	/* As good as it was: one that wasn't on trial is proven. */
	replace_inserted(
	    pg, vi->vi_frame, !replace_removed(pg, vi->vi_frame));
	pte_settle(&vi->vi_map->mp_ptes[vi->vi_page], vi->vi_pte);
}

static int
victim_write(
    struct vmpager *pg, const struct victim *vi, const struct victim *next)
{
	if ((vi->vi_pte & PTE_DIRTY) == 0)
		return (0);
	return (swap_write(&pg->pg_swap, vi->vi_slot,
	    map_owner(vi->vi_map, vi->vi_page), vi->vi_bytes,
	    next != NULL ? next->vi_bytes : NULL));
}

/* Those of a run that could be written leave; the others stay. */
static void
run_finish(struct vmpager *pg, struct evict *ev, struct victim *vi,
    unsigned int n)
{
	unsigned int end;

	for (unsigned int i = 0; i < n; i = end) {
		end = i + 1;
		if (!vi[i].vi_written) {
			victim_restore(pg, &vi[i]);
			continue;
		}
		while (end < n && vi[end].vi_written)
			end++;
		pg->pg_mode->md_drop(pg, vi + i, end - i);
		for (; i < end; i++) {
			victim_finish(pg, &vi[i]);
			ev->ev_freed++;
		}
	}
}

/* Evict n victims; in the modes of the MMU they are adjacent pages. */
static void
run_evict(struct vmpager *pg, struct evict *ev, struct victim *vi,
    unsigned int n)
{
	int error = pg->pg_mode->md_revoke(pg, vi, n);

	for (unsigned int i = 0; i < n; i++) {
		if (error == 0)
			error = victim_write(
			    pg, &vi[i], i + 1 < n ? &vi[i + 1] : NULL);
		vi[i].vi_written = error == 0;
		if (error != 0 && error != ENOMEM) {
			count_add(vi[i].vi_map, COUNT_WRITE_ERROR);
			ev->ev_error = error;
			error = 0;	/* others may be luckier */
		}
	}
	run_finish(pg, ev, vi, n);
}

static bool
victim_before(const struct victim *a, const struct victim *b)
{
	if (a->vi_map != b->vi_map)
		return ((uintptr_t)a->vi_map < (uintptr_t)b->vi_map);
	return (a->vi_page < b->vi_page);
}

/* By address, so that runs show. */
static void
evict_sort(struct evict *ev)
{
	struct victim *vi = ev->ev_victim, one;
	unsigned int j;

	for (unsigned int i = 1; i < ev->ev_count; i++) {
		one = vi[i];
		for (j = i; j > 0 && victim_before(&one, &vi[j - 1]); j--)
			vi[j] = vi[j - 1];
		vi[j] = one;
	}
}

static void
evict_victims(struct vmpager *pg, struct evict *ev)
{
	struct victim *vi = ev->ev_victim;
	unsigned int end;

	if (!pg->pg_mode->md_mmu) {
		run_evict(pg, ev, vi, ev->ev_count);
		return;
	}
	evict_sort(ev);
	for (unsigned int i = 0; i < ev->ev_count; i = end) {
		end = i + 1;
		while (end < ev->ev_count &&
		    vi[end].vi_map == vi[i].vi_map &&
		    vi[end].vi_page == vi[end - 1].vi_page + 1)
			end++;
		run_evict(pg, ev, vi + i, end - i);
	}
}

/* ---- running out ----------------------------------------------------------
 *
 * When may an access be refused?  That no victim was found proves nothing: a
 * frame may be on its way from the thread that evicted to the one that faults,
 * or a page be claimed just while the hand passed.  Under strict commit a wrong
 * refusal would be a broken promise.
 *
 * It is sure when the swap is full, as many frames as there are for residents
 * have been seen each with a page that is dirty, idle and without a slot, or
 * pinned by advice (and so without a slot), all
 * the others on the free list, and none was taken from that or put there
 * meanwhile.  For let the access be one that strict commit has granted: then
 * there are F + S - 1 other pages at most.  No slot is free, so S of them have
 * one, and at most F - 1 pages are in frames or on their way.  An F-th stuck
 * page can have come only by taking a frame from the list.
 *
 * It stays so until a frame is taken or given back, or a slot given back: the
 * finding is kept, so that a pager that is out of frames refuses quickly.
 */

static void
stillness_take(struct vmpager *pg, struct stillness *sl)
{
	(void)frame_cached(&pg->pg_pool, &sl->sl_changes);
	sl->sl_head = atomic_load(&pg->pg_pool.fp_head);
	sl->sl_frees = atomic_load(&pg->pg_swap.sw_frees);
}

static bool
hopeless_still(struct vmpager *pg) REQUIRES(pg->pg_lock)
{
	struct stillness now;

	stillness_take(pg, &now);
	return (swap_full(pg) && now.sl_head == pg->pg_hopeless.sl_head &&
	    now.sl_changes == pg->pg_hopeless.sl_changes &&
	    now.sl_frees == pg->pg_hopeless.sl_frees);
}

/* The number of frames whose pages can't be evicted for want of a slot; 0 if
 * there are others, or frames in somebody's hands. */
static uint32_t
stuck_frames(struct vmpager *pg) REQUIRES(pg->pg_lock)
{
	uint32_t stuck = 0;
	struct victim vi;

	for (uint32_t frame = 0; frame < frame_total(&pg->pg_pool); frame++) {
		if (frame_page(pg, frame, &vi)) {
			if ((vi.vi_pte & PTE_HELD) == 0 &&
			    (!victim_idle(&vi) || !victim_needs_slot(pg, &vi)))
				return (0);
			stuck++;
		} else if (atomic_load_explicit(
			       &pg->pg_pool.fp_frames[frame].fr_owner,
			       memory_order_relaxed) == OWNER_HAND)
			return (0);
		evict_yield(pg, frame);
	}
	return (stuck);
}

void
evict_frames(struct vmpager *pg, struct evict *ev)
{
	ASSERT(ev->ev_want > 0 && ev->ev_want <= EVICT_BATCH);
	ev->ev_count = ev->ev_freed = 0;
	ev->ev_error = 0;
	lock_acquire(&pg->pg_lock);
	if (ev->ev_slot != NO_SLOT || !hopeless_still(pg))
		pg->pg_replace->rp_select(pg, ev);
	lock_release(&pg->pg_lock);
	evict_victims(pg, ev);
}

/* The page has just been in the frame, and nothing else is asked for: not even
 * a look at its mark. */
uint64_t
evict_page(struct vmpager_map *mp, uint64_t page, uint32_t frame, int *errorp)
{
	struct vmpager *pg = mp->mp_pager;
	struct evict ev;

	ev.ev_slot = NO_SLOT;
	ev.ev_want = 1;
	ev.ev_count = ev.ev_freed = 0;
	ev.ev_error = 0;
	lock_acquire(&pg->pg_lock);
	if (atomic_load_explicit(&pg->pg_pool.fp_frames[frame].fr_owner,
		memory_order_relaxed) == map_owner(mp, page) &&
	    claim_one(pg, frame, &ev) == EVICT_SPARED)
		(void)claim_one(pg, frame, &ev);
	lock_release(&pg->pg_lock);
	evict_victims(pg, &ev);
	*errorp = ev.ev_error;
	return (ev.ev_freed);
}

bool
evict_hopeless(struct vmpager *pg)
{
	const struct frame_pool *fp = &pg->pg_pool;
	struct stillness before, after;
	bool hopeless;

	stillness_take(pg, &before);
	if (!swap_full(pg) || frame_cached(fp, NULL) != 0)
		return (false);
	lock_acquire(&pg->pg_lock);
	hopeless = hopeless_still(pg);
	if (!hopeless && stuck_frames(pg) >= fp->fp_bound) {
		stillness_take(pg, &after);
		hopeless = before.sl_head == after.sl_head &&
		    before.sl_changes == after.sl_changes;
		if (hopeless)
			pg->pg_hopeless = before;
	}
	lock_release(&pg->pg_lock);
	return (hopeless);
}
