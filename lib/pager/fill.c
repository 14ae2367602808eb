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

/* The filled frame is the page's from now on, with these marks; false: somebody
 * was faster. */
static inline bool
fill_publish(
    struct vmpager_map *mp, uint64_t page, uint32_t frame, uint64_t marks)
{
	struct vmpager *pg = mp->mp_pager;
	_Atomic uint64_t *ownerp = &pg->pg_pool.fp_frames[frame].fr_owner;
	pte_t *ptep = &mp->mp_ptes[page];
	uint64_t pte = atomic_load_explicit(ptep, memory_order_relaxed);

	marks |= pte_make(PTE_RESIDENT, frame);
	/* Release: for evict_claim(), which gets to the page from here, and
	 * COUNT_FILL, for check.c. */
	atomic_store_explicit(
	    ownerp, map_owner(mp, page), memory_order_release);
	replace_inserted(pg, frame, false);
	while (pte_state(pte) == PTE_ZERO)
		/* Release: the zeros, and the frame's descriptor. */
		if (atomic_compare_exchange_weak_explicit(ptep, &pte,
			marks | (pte & PTE_FIRST), memory_order_release,
			memory_order_relaxed))
			return (true);
	(void)replace_removed(pg, frame);
	atomic_store_explicit(ownerp, OWNER_HAND, memory_order_relaxed);
	return (false);
}

static inline unsigned int
fill_frames(struct vmpager *pg, uint32_t *frames, unsigned int count)
{
	if (count > 1)
		return (frame_get_many(
		    &pg->pg_pool, fault_keep(pg), frames, count));
	frames[0] = frame_take(&pg->pg_pool, fault_keep(pg));
	return (frames[0] != NO_FRAME ? 1 : 0);
}

/*
 * Fill `count` pages, all ZERO when they were looked at, as far as there are
 * frames for them without evicting; how many, and the first one's frame.  0: it
 * is another's turn.  Inline, so that a single page, which is asked for most, is
 * a straight run of code.
 */
static inline __attribute__((always_inline)) unsigned int
fill_pages(struct vmpager_map *mp, uint64_t page, unsigned int count,
    uint64_t marks, uint32_t *framep)
{
	struct frame_pool *fp = &mp->mp_pager->pg_pool;
	uint32_t frames[CLUSTER_PAGES];
	unsigned int got = fill_frames(mp->mp_pager, frames, count), done = 0;

	if (got == 0)
		return (0);
	count_many(mp, COUNT_FILL, got);
	for (unsigned int i = 0; i < got; i++)
		memset(frame_bytes(fp, frames[i]), 0, VMPAGER_PAGE);
	*framep = frames[0];
	while (done < got &&
	    fill_publish(mp, page + done, frames[done], marks))
		done++;
	for (unsigned int i = done; i < got; i++)
		frame_put(fp, frames[i]);
	count_many(mp, (marks & PTE_DIRTY) != 0 ? COUNT_ZERO_WRITE
						: COUNT_ZERO_READ, done);
	if ((marks & PTE_AHEAD) != 0)
		count_many(mp, COUNT_AHEAD, done);
	count_many(mp, COUNT_FILLED, got);
	return (done);
}

/* A fault's page. */
static bool
fault_fill(struct fault *ft)
{
	uint64_t marks = (ft->ft_write ? PTE_DIRTY : 0) |
	    (ft->ft_pin ? PTE_PIN : 0) | (ft->ft_ahead ? PTE_AHEAD : 0);

	if (ft->ft_map->mp_mmu || fill_pages(
		ft->ft_map, ft->ft_page, 1, marks, &ft->ft_frame) == 0)
		return (false);
	ft->ft_kind = FAULT_MINOR;
	return (true);
}

static __attribute__((noinline)) unsigned int
fill_many(struct vmpager_map *mp, uint64_t page, unsigned int count,
    uint64_t marks)
{
	uint32_t frame;

	return (fill_pages(mp, page, count, marks, &frame));
}

/* The pages from this one on, at most `want`, that were never touched. */
static inline unsigned int
fill_count(const struct vmpager_map *mp, uint64_t page, uint64_t want)
{
	unsigned int count = 0;

	while (count < want && count < CLUSTER_PAGES &&
	    pte_state(atomic_load_explicit(&mp->mp_ptes[page + count],
		memory_order_relaxed)) == PTE_ZERO)
		count++;
	return (count);
}

/* Fill a page and those that follow it, at most `want` and a cluster, as a
 * fault of its own: with its time.  How many; 0: it needs more than that. */
static inline unsigned int
fault_zeros(struct vmpager_map *mp, uint64_t page, uint64_t want, bool write)
{
	struct vmpager *pg = mp->mp_pager;
	unsigned int count = mp->mp_mmu ? 0 : fill_count(mp, page, want);
	uint64_t marks = write ? PTE_DIRTY : 0, begin;
	uint32_t frame;

	if (count == 0)
		return (0);
	begin = latency_begin(pg);
	nofault_enter();
	count = count == 1 ? fill_pages(mp, page, 1, marks, &frame)
			   : fill_many(mp, page, count, marks);
	nofault_leave();
	if (count != 0)
		latency_end(pg, VMPAGER_FAULT_ZERO, begin, count);
	return (count);
}
