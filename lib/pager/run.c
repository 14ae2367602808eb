/*
 * run.c - the neighbours that come in with a page.
 *
 * Where a fault is dear, its neighbours in the cluster come in with it, as far
 * as they are in the same state, nobody else is at them, and there are frames
 * for them without evicting anything: they are only likely to be wanted.  Each
 * is claimed as the page itself is.
 */
#include "config.h"

#include "pager/fault.h"

#include <string.h>

/* A frame for a neighbour; one that is staged is better used alone. */
static uint32_t
run_frame(struct vmpager *pg)
{
	struct frame_pool *fp = &pg->pg_pool;
	uint32_t keep = pg->pg_mode->md_clusters ? 0 : 2 * fp->fp_target;
	uint32_t frame = frame_get(fp, fp->fp_reserve + keep);

	if (frame != NO_FRAME && fp->fp_staged != NULL &&
	    atomic_load_explicit(
		&fp->fp_staged[frame], memory_order_relaxed) != 0) {
		frame_put(fp, frame);
		frame = NO_FRAME;
	}
	return (frame);
}

/* Claim a neighbour at this distance from the page; false: it can't come. */
static bool
run_take(const struct fault *ft, struct run *rn, unsigned int at, int distance)
{
	uint64_t page = ft->ft_page + (uint64_t)(int64_t)distance;
	pte_t *ptep = &ft->ft_map->mp_ptes[page];
	uint64_t pte = atomic_load_explicit(ptep, memory_order_acquire);

	if (pte_state(pte) != pte_state(ft->ft_pte))
		return (false);
	if (pte_state(pte) == PTE_SWAPPED &&
	    pte_number(pte) != pte_number(ft->ft_pte) + (uint32_t)distance)
		return (false);		/* not adjacent in the swap */
	rn->rn_frame[at] = run_frame(ft->ft_map->mp_pager);
	if (rn->rn_frame[at] == NO_FRAME)
		return (false);
	if (!pte_claim(ptep, pte, PTE_BUSY_IN)) {
		frame_put(&ft->ft_map->mp_pager->pg_pool, rn->rn_frame[at]);
		return (false);
	}
	rn->rn_pte[at] = pte;
	return (true);
}

/* May neighbours come along?  Not if they might end in frames and slots that
 * pages which are really used will want. */
static bool
run_wanted(const struct fault *ft, uint32_t frame)
{
	struct vmpager *pg = ft->ft_map->mp_pager;

	return (ft->ft_map->mp_mmu && !ft->ft_ahead &&
	    atomic_load_explicit(&pg->pg_swap.sw_free, memory_order_relaxed) >
		CLUSTER_PAGES &&
	    (pg->pg_pool.fp_staged == NULL ||
		atomic_load_explicit(&pg->pg_pool.fp_staged[frame],
		    memory_order_relaxed) == 0));
}

/* The run of a fault that has a frame: the page alone, or with neighbours.
 * Returns the page's place in it. */
static unsigned int
run_make(const struct fault *ft, uint32_t frame, struct run *rn)
{
	unsigned int self = (unsigned int)(ft->ft_page % CLUSTER_PAGES);
	unsigned int low = self, high = self + 1, last = CLUSTER_PAGES;
	uint64_t begin = ft->ft_page - self;

	rn->rn_map = ft->ft_map;
	rn->rn_frame[self] = frame;
	rn->rn_pte[self] = ft->ft_pte;
	if (run_wanted(ft, frame)) {
		if (ft->ft_map->mp_pages - begin < last)
			last = (unsigned int)(ft->ft_map->mp_pages - begin);
		while (high < last &&
		    run_take(ft, rn, high, (int)high - (int)self))
			high++;
		while (low > 0 &&
		    run_take(ft, rn, low - 1, (int)low - 1 - (int)self))
			low--;
	}
	rn->rn_first = begin + low;
	rn->rn_count = high - low;
	if (low != 0) {
		memmove(rn->rn_frame, rn->rn_frame + low,
		    rn->rn_count * sizeof(rn->rn_frame[0]));
		memmove(rn->rn_pte, rn->rn_pte + low,
		    rn->rn_count * sizeof(rn->rn_pte[0]));
	}
	return (self - low);
}

/* Give the neighbours [from, to) of a run back, as they were. */
static void
run_give_back(struct run *rn, unsigned int from, unsigned int to)
{
	struct vmpager *pg = rn->rn_map->mp_pager;

	for (unsigned int i = from; i < to; i++) {
		frame_put(&pg->pg_pool, rn->rn_frame[i]);
		pte_settle(&rn->rn_map->mp_ptes[rn->rn_first + i],
		    rn->rn_pte[i]);
	}
}

/* All but the page itself. */
static void
run_shrink(struct run *rn, unsigned int self)
{
	run_give_back(rn, self + 1, rn->rn_count);
	run_give_back(rn, 0, self);
	rn->rn_first += self;
	rn->rn_frame[0] = rn->rn_frame[self];
	rn->rn_pte[0] = rn->rn_pte[self];
	rn->rn_count = 1;
}
