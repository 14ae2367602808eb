/*
 * fill.c - pages of zeros, in software mode: without a claim, and many at once.
 *
 * A page that is ZERO has nothing that could be lost or seen half done.  So its
 * frame is filled first, while no one else knows of it, and becomes the page's
 * by one compare-and-swap from ZERO to RESIDENT.  Two threads that touch a page
 * for the first time both fill a frame, and the slower one gives its own back.
 *
 * What a locked instruction costs here is not itself but that it waits until
 * the stores before it are done, and those are a page: 7 ns on one machine for
 * a claim, 5 for settling it, beside 43 for the zeros.  So pages that are
 * touched together are filled together, and only then made known.
 *
 * A frame says whose it is before the page does: see page_publish().  Until the
 * page does, replacement finds that it isn't there, and passes it over.
 */
#include "config.h"

#include "pager/fault.h"

#include <string.h>

/* The filled frame is the page's from now on; false: somebody was faster. */
static bool
fill_publish(const struct fault *ft, uint64_t page, uint32_t frame)
{
	struct vmpager_map *mp = ft->ft_map;
	struct vmpager *pg = mp->mp_pager;
	_Atomic uint64_t *ownerp = &pg->pg_pool.fp_frames[frame].fr_owner;
	pte_t *ptep = &mp->mp_ptes[page];
	uint64_t pte = atomic_load_explicit(ptep, memory_order_relaxed);
	uint64_t want = pte_make(PTE_RESIDENT, frame) |
	    (ft->ft_write ? PTE_DIRTY : 0) | (ft->ft_pin ? PTE_PIN : 0) |
	    (ft->ft_ahead ? PTE_AHEAD : 0);

	/* Release: for evict_claim(), which gets to the page from here, and
	 * COUNT_FILL, for check.c. */
	atomic_store_explicit(
	    ownerp, map_owner(mp, page), memory_order_release);
	replace_inserted(pg, frame, false);
	while (pte_state(pte) == PTE_ZERO)
		/* Release: the zeros, and the frame's descriptor. */
		if (atomic_compare_exchange_weak_explicit(ptep, &pte,
			want | (pte & PTE_FIRST), memory_order_release,
			memory_order_relaxed))
			return (true);
	(void)replace_removed(pg, frame);
	atomic_store_explicit(ownerp, OWNER_HAND, memory_order_relaxed);
	return (false);
}

static unsigned int
fill_frames(const struct fault *ft, uint32_t *frames, unsigned int count)
{
	struct vmpager *pg = ft->ft_map->mp_pager;

	if (count > 1)
		return (frame_get_many(
		    &pg->pg_pool, fault_keep(pg), frames, count));
	frames[0] = frame_take(&pg->pg_pool, fault_keep(pg));
	return (frames[0] != NO_FRAME ? 1 : 0);
}

/* The pages from ft_page on, at most `want`, that were never touched. */
static unsigned int
fill_count(const struct fault *ft, uint64_t want)
{
	const pte_t *ptep = &ft->ft_map->mp_ptes[ft->ft_page];
	unsigned int count = 0;

	while (count < want && count < CLUSTER_PAGES &&
	    pte_state(atomic_load_explicit(
		&ptep[count], memory_order_relaxed)) == PTE_ZERO)
		count++;
	return (count);
}

/*
 * Fill ft_page and those that follow it, at most `want`, a cluster, and what
 * there are frames for without evicting; how many.  0: it is another's turn.
 */
static unsigned int
fault_fill(struct fault *ft, uint64_t want)
{
	struct vmpager_map *mp = ft->ft_map;
	struct frame_pool *fp = &mp->mp_pager->pg_pool;
	uint32_t frames[CLUSTER_PAGES];
	unsigned int count, got, done = 0;

	count = mp->mp_mmu ? 0 : fill_count(ft, want);
	got = count == 0 ? 0 : fill_frames(ft, frames, count);
	if (got == 0)
		return (0);
	count_many(mp, COUNT_FILL, got);
	for (unsigned int i = 0; i < got; i++)
		memset(frame_bytes(fp, frames[i]), 0, VMPAGER_PAGE);
	ft->ft_frame = frames[0];
	while (done < got && fill_publish(ft, ft->ft_page + done, frames[done]))
		done++;
	for (unsigned int i = done; i < got; i++)
		frame_put(fp, frames[i]);
	count_many(
	    mp, ft->ft_write ? COUNT_ZERO_WRITE : COUNT_ZERO_READ, done);
	if (ft->ft_ahead)
		count_many(mp, COUNT_AHEAD, done);
	count_many(mp, COUNT_FILLED, got);
	if (done != 0)
		ft->ft_kind = FAULT_MINOR;
	return (done);
}

/* The same, as a fault of its own: with its time. */
static unsigned int
fault_zeros(struct fault *ft, uint64_t want)
{
	struct vmpager *pg = ft->ft_map->mp_pager;
	unsigned int filled;
	uint64_t begin;

	if (want < 2 || fill_count(ft, 2) < 2)
		return (0);
	begin = latency_begin(pg);
	nofault_enter();
	filled = fault_fill(ft, want);
	nofault_leave();
	if (filled != 0)
		latency_end(pg, VMPAGER_FAULT_ZERO, begin, filled);
	return (filled);
}
