/*
 * check.c - verify the page tables against frames and slots.
 *
 * Each page by itself can be checked at any time: it is claimed while its frame
 * or slot is looked at, so that nothing can change.  A frame and a stamp name
 * one owner each, so two pages can't have the same.  Pages that are pinned or
 * busy are skipped.
 *
 * Sums mean something only if nothing moved meanwhile.  Whatever changes them
 * leaves a trace: registrations say when they begin and end, a page that comes
 * or goes takes a frame or gives one back, and so moves the head of the free
 * list; one that is being written to a new slot has taken that.  A fingerprint
 * of these, before and after, tells whether it was quiet.  A frame in the hands
 * of an eviction that has settled its page, but not yet given the frame back,
 * shows in the frame's descriptor; one that is being filled for a page that
 * isn't claimed (fill.c), in two counters.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <string.h>

/* Unchanged from before a walk until after it: nothing moved. */
struct fingerprint {
	uint64_t fi_begun, fi_done;	/* registrations */
	uint64_t fi_head;		/* of the free frames, with its tag */
	uint64_t fi_changes;		/* of magazines */
	uint64_t fi_filled, fi_fills;	/* ended, begun */
	uint64_t fi_free_slots;
	uint64_t fi_registered;		/* pages */
	uint64_t fi_entries;
};

/* What the page tables of all maps hold. */
struct tally {
	uint64_t ta_registered;
	uint64_t ta_entries;	/* first pages of ranges */
	uint64_t ta_resident;
	uint64_t ta_slots;	/* named by swapped pages and by frames */
	bool ta_busy;		/* met what couldn't be looked at */
};

static uint64_t
count_total(struct vmpager *pg, enum count kind)
{
	struct counts sum;
	uint64_t total;

	lock_acquire(&pg->pg_lock);
	total = pg->pg_retired.c_count[kind];
	for (uint32_t i = 1; i <= pg->pg_maps_high; i++)
		if (pg->pg_maps[i] != NULL) {
			map_count_sum(pg->pg_maps[i], &sum);
			total += sum.c_count[kind];
		}
	lock_release(&pg->pg_lock);
	return (total);
}

static void
fingerprint_take(struct vmpager *pg, struct fingerprint *fi)
{
	/* The members are compared as bytes, so leave no gaps unset. */
	memset(fi, 0, sizeof(*fi));
	fi->fi_begun = atomic_load(&pg->pg_begun);
	fi->fi_done = atomic_load(&pg->pg_done);
	(void)frame_cached(&pg->pg_pool, &fi->fi_changes);
	fi->fi_head = atomic_load(&pg->pg_pool.fp_head);
	/* In this order: if they are equal, none was under way in between. */
	fi->fi_filled = count_total(pg, COUNT_FILLED);
	fi->fi_fills = count_total(pg, COUNT_FILL);
	fi->fi_free_slots = atomic_load(&pg->pg_swap.sw_free);
	fi->fi_registered = atomic_load(&pg->pg_commit) / COMMIT_PAGE;
	fi->fi_entries = atomic_load(&pg->pg_entries);
}

/* ---- pages ----------------------------------------------------------------*/

static bool
slot_is(struct vmpager *pg, uint32_t slot, uint64_t owner)
{
	return (swap_taken(&pg->pg_swap, slot) &&
	    pg->pg_swap.sw_stamps[slot].st_owner == owner);
}

/* The page is claimed, and was resident. */
static const char *
check_resident(
    struct vmpager_map *mp, uint64_t page, uint64_t pte, struct tally *ta)
{
	struct vmpager *pg = mp->mp_pager;
	uint64_t owner = map_owner(mp, page);
	const struct frame *fr;
	uint32_t slot;

	if (pte_number(pte) >= frame_total(&pg->pg_pool))
		return ("a page table entry names a frame that isn't");
	fr = &pg->pg_pool.fp_frames[pte_number(pte)];
	if (atomic_load_explicit(&fr->fr_owner, memory_order_relaxed) != owner)
		return ("a resident page's frame has another owner");
	slot = atomic_load_explicit(&fr->fr_slot, memory_order_relaxed);
	if (slot != NO_SLOT && !slot_is(pg, slot, owner))
		return ("a resident page's slot is another's");
	ta->ta_resident++;
	ta->ta_slots += slot != NO_SLOT;
	return (NULL);
}

/* The page is claimed, and was in a slot. */
static const char *
check_swapped(
    struct vmpager_map *mp, uint64_t page, uint64_t pte, struct tally *ta)
{
	struct vmpager *pg = mp->mp_pager;

	if (!slot_is(pg, pte_number(pte), map_owner(mp, page)))
		return ("a swapped page's slot is another's");
	if (swap_gen(&pg->pg_swap, pte_number(pte)) != pte_gen(pte))
		return ("a swapped page's slot holds another generation");
	ta->ta_slots++;
	return (NULL);
}

/* Returns what is wrong with the page, or NULL. */
static const char *
check_page(struct vmpager_map *mp, uint64_t page, struct tally *ta)
{
	pte_t *ptep = &mp->mp_ptes[page];
	uint64_t pte = atomic_load_explicit(ptep, memory_order_acquire);
	enum pte_state state = pte_state(pte);
	const char *why;

	if (state == PTE_UNREGISTERED)
		return (pte == 0 ? NULL : "an unregistered page has an entry");
	if (state > PTE_FAILED)
		return ("a page table entry has no valid state");
	if (state != PTE_RESIDENT && (pte & PTE_PINS) != 0)
		return ("a page without a frame is pinned");
	ta->ta_registered++;
	ta->ta_entries += (pte & PTE_FIRST) != 0;
	if (state == PTE_ZERO || state == PTE_FAILED)
		return (NULL);
	if (pte_busy(pte) || (pte & PTE_PINS) != 0 ||
	    !pte_claim(ptep, pte, PTE_BUSY_OUT)) {
		ta->ta_busy = true;
		return (NULL);
	}
	why = state == PTE_RESIDENT ? check_resident(mp, page, pte, ta)
				    : check_swapped(mp, page, pte, ta);
	pte_settle(ptep, pte);
	return (why);
}

/* The pages of a map, in slices under pg_lock, which keeps the map there. */
static const char *
check_map(struct vmpager *pg, uint32_t index, struct tally *ta)
{
	struct vmpager_map *mp;
	const char *why = NULL;
	uint64_t page = 0, end, pages;

	do {
		lock_acquire(&pg->pg_lock);
		mp = pg->pg_maps[index];
		pages = mp == NULL ? 0 : mp->mp_pages;
		end = page < pages ? map_chunk_end(mp, page) : page;
		if (end > page && !map_chunk_used(mp, page))
			page = end;
		for (; page < end && why == NULL; page++)
			why = check_page(mp, page, ta);
		lock_release(&pg->pg_lock);
	} while (why == NULL && page < pages);
	return (why);
}

/* ---- sums -----------------------------------------------------------------*/

static const char *
check_sums(struct vmpager *pg, const struct fingerprint *fi, struct tally *ta)
{
	const struct frame_pool *fp = &pg->pg_pool;
	uint64_t owner, owned = 0, unowned = 0;

	for (uint32_t frame = 0; frame < frame_total(fp); frame++) {
		/* Acquire: what began before the frame was given. */
		owner = atomic_load_explicit(
		    &fp->fp_frames[frame].fr_owner, memory_order_acquire);
		if (owner == OWNER_HAND)
			ta->ta_busy = true;
		else if (owner == OWNER_FREE)
			unowned++;
		else
			owned++;
	}
	if (atomic_load(&fp->fp_free) + frame_cached(fp, NULL) != unowned)
		ta->ta_busy = true;
	if (ta->ta_busy)
		return (NULL);
	if (owned != ta->ta_resident)
		return ("frames belong to pages that aren't resident");
	if (pg->pg_swap.sw_slots - fi->fi_free_slots != ta->ta_slots)
		return ("slots are taken by no page");
	if (fi->fi_registered != ta->ta_registered)
		return ("the count of registered pages is wrong");
	if (fi->fi_entries != ta->ta_entries)
		return ("the count of registered ranges is wrong");
	return (NULL);
}

int
vmpager_check(struct vmpager *pg, const char **why)
{
	struct fingerprint before, after;
	struct tally ta = { 0 };
	const char *wrong = NULL, *sums;
	uint32_t high;

	lock_acquire(&pg->pg_lock);
	high = pg->pg_maps_high;
	lock_release(&pg->pg_lock);
	fingerprint_take(pg, &before);
	for (uint32_t i = 1; i <= high && wrong == NULL; i++)
		wrong = check_map(pg, i, &ta);
	if (wrong == NULL && before.fi_begun == before.fi_done &&
	    before.fi_fills == before.fi_filled) {
		sums = check_sums(pg, &before, &ta);
		fingerprint_take(pg, &after);
		if (memcmp(&before, &after, sizeof(before)) == 0)
			wrong = sums;
	}
	if (wrong == NULL)
		return (0);
	if (why != NULL)
		*why = wrong;
	return (EIO);
}
