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
 * In the modes of the MMU a fault begins with a signal (trap.c), and ends with
 * the page in the address space.  An access has its pages brought in and pinned
 * beforehand, as a kernel does for its I/O, so that it doesn't trap.
 *
 * Nothing here allocates memory: see hot.c.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <string.h>

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
	bool ft_trap;		/* the CPU couldn't reach it */
	bool ft_ahead;		/* nobody has asked for it yet */
	bool ft_claimed;	/* the page is ours, and ft_pte what it was */
	uint64_t ft_pte;
	uint32_t ft_frame;	/* out: where it is; holds while pinned */
	enum fault_kind ft_kind; /* out */
};

/* ---- hits -----------------------------------------------------------------*/

/*
 * A resident page is written to for the first time since it came in: in the
 * modes of the MMU it must be made writable, and stay where it is meanwhile.
 * That it is dirty is known before anybody can write to it.  `pte` is as it is
 * now, with a pin of ours.
 */
static __attribute__((noinline)) int
fault_upgrade(struct fault *ft, pte_t *ptep)
{
	struct vmpager_map *mp = ft->ft_map;
	uint64_t begin = latency_begin(mp->mp_pager);
	int error = mp->mp_pager->pg_mode->md_upgrade(mp, ft->ft_page);

	latency_end(mp->mp_pager, VMPAGER_FAULT_UPGRADE, begin);
	count_add(mp, COUNT_UPGRADE);
	if (!ft->ft_pin || error != 0)
		pte_unpin(ptep);
	return (error);
}

/* The page is resident, `pte` says.  EBUSY: not quite, look again. */
static inline int
fault_hit(struct fault *ft, pte_t *ptep, uint64_t pte)
{
	uint64_t want = pte | PTE_REF | (ft->ft_write ? PTE_DIRTY : 0);
	bool upgrade = ft->ft_write && ft->ft_map->mp_mmu &&
	    (ft->ft_trap || (pte & PTE_DIRTY) == 0);

	if (ft->ft_ahead)
		return (0);
	want &= ~PTE_AHEAD;
	if (ft->ft_pin || upgrade) {
		/* Pins used up, or someone waits for them to go: let it. */
		if ((pte & PTE_PINS) == PTE_PINS || (pte & PTE_WAIT) != 0) {
			pte_wait(ptep, pte);
			return (EBUSY);
		}
		want += PTE_PIN;
	}
	/* Acquire: the bytes, from pte_settle(). */
	if (want != pte && !atomic_compare_exchange_weak_explicit(ptep, &pte,
	    want, memory_order_acquire, memory_order_relaxed))
		return (EBUSY);
	if (((want ^ pte) & PTE_DIRTY) != 0)
		count_add(ft->ft_map, COUNT_DIRTIED);
	if ((pte & PTE_AHEAD) != 0)
		count_add(ft->ft_map, COUNT_AHEAD_HIT);
	ft->ft_frame = pte_number(pte);
	return (upgrade ? fault_upgrade(ft, ptep) : 0);
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
	if (frame_drain(fp)) {
		*framep = frame_get(fp, fp->fp_reserve);
		if (*framep != NO_FRAME)
			return (0);
	}
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
	*framep = frame_take(fp, keep);
	return (*framep != NO_FRAME ? 0 : fault_evict(pg, framep));
}

/* ---- runs -----------------------------------------------------------------
 *
 * Where a fault is dear, its neighbours in the cluster come in with it, as far
 * as they are in the same state, nobody else is at them, and there are frames
 * for them without evicting anything: they are only likely to be wanted.  Each
 * is claimed as the page itself is.
 */

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

/* ---- pages in -------------------------------------------------------------*/

/* The frame has the page: make it resident. */
static void
page_publish(struct run *rn, unsigned int i, uint32_t slot, uint64_t flags)
{
	struct vmpager_map *mp = rn->rn_map;
	struct vmpager *pg = mp->mp_pager;
	struct frame *fr = &pg->pg_pool.fp_frames[rn->rn_frame[i]];
	bool refault = pte_state(rn->rn_pte[i]) == PTE_SWAPPED &&
	    ghost_has(pg, map_owner(mp, rn->rn_first + i));

	if (refault)
		count_add(mp, COUNT_REFAULT);
	atomic_store_explicit(&fr->fr_slot, slot, memory_order_relaxed);
	/* Release: for evict_claim(), which gets to the page from here. */
	atomic_store_explicit(&fr->fr_owner, map_owner(mp, rn->rn_first + i),
	    memory_order_release);
	replace_inserted(pg, rn->rn_frame[i], refault);
	pte_settle(&mp->mp_ptes[rn->rn_first + i],
	    pte_make(PTE_RESIDENT, rn->rn_frame[i]) | flags);
}

/* The run has entered: make it resident.  A page that came from swap and has no
 * slot any more (`slotless`) is dirty, written to or not. */
static void
run_publish(
    struct fault *ft, struct run *rn, unsigned int self, bool slotless)
{
	bool zero = pte_state(ft->ft_pte) == PTE_ZERO;
	bool dirty = ft->ft_write || slotless;
	uint64_t flags;

	ft->ft_frame = rn->rn_frame[self];
	ft->ft_kind = zero ? FAULT_MINOR : FAULT_MAJOR;
	ft->ft_claimed = false;
	for (unsigned int i = 0; i < rn->rn_count; i++) {
		count_add(ft->ft_map, !zero ? COUNT_SWAPIN :
		    dirty ? COUNT_ZERO_WRITE : COUNT_ZERO_READ);
		if (dirty && !zero)
			count_add(ft->ft_map, COUNT_DIRTIED);
		flags = dirty ? PTE_DIRTY : 0;
		if (i == self && ft->ft_pin)
			flags |= PTE_PIN;
		if (i != self || ft->ft_ahead) {
			flags |= PTE_AHEAD;
			count_add(ft->ft_map, COUNT_AHEAD);
		}
		page_publish(rn, i, zero || slotless ? NO_SLOT :
		    pte_number(rn->rn_pte[i]), flags);
	}
}

static int
fault_zero(struct fault *ft)
{
	struct vmpager *pg = ft->ft_map->mp_pager;
	struct run rn;
	unsigned int self;
	uint32_t frame;
	int error;

	error = fault_frame(pg, &frame);
	if (error != 0)
		return (error);
	self = run_make(ft, frame, &rn);
	error = pg->pg_mode->md_enter(&rn, NULL, ft->ft_write);
	if (error != 0) {
		run_shrink(&rn, self);
		frame_put(&pg->pg_pool, frame);
	} else
		run_publish(ft, &rn, self, false);
	return (error);
}

/* Read page i of the run to its place in the room. */
static int
run_read(const struct run *rn, unsigned int i, char *room)
{
	struct vmpager *pg = rn->rn_map->mp_pager;

	return (swap_read(&pg->pg_swap, pte_number(rn->rn_pte[i]),
	    map_owner(rn->rn_map, rn->rn_first + i), pte_gen(rn->rn_pte[i]),
	    room + ((size_t)i << PAGE_SHIFT)));
}

/* What the page's slot holds isn't the page: it is lost for good. */
static void
fault_lost(struct fault *ft, struct run *rn, unsigned int self)
{
	struct vmpager *pg = ft->ft_map->mp_pager;

	run_shrink(rn, self);
	frame_put(&pg->pg_pool, rn->rn_frame[0]);
	swap_free(&pg->pg_swap, pte_number(ft->ft_pte));
	pte_settle(&ft->ft_map->mp_ptes[ft->ft_page],
	    pte_make(PTE_FAILED, NO_SLOT));
	ft->ft_claimed = false;
}

/*
 * Read the claimed run into the room.  EIO: the page itself is lost, and its
 * claim settled.  A neighbour that can't be read is left alone, with all
 * others, for who really wants it.
 */
static int
fault_read(struct fault *ft, struct run *rn, unsigned int *selfp, char *room)
{
	unsigned int self = *selfp;
	int error = run_read(rn, self, room);

	if (error != 0) {
		fault_lost(ft, rn, self);
		return (error);
	}
	for (unsigned int i = 0; i < rn->rn_count && error == 0; i++)
		if (i != self)
			error = run_read(rn, i, room);
	if (error != 0) {
		memmove(room, room + ((size_t)self << PAGE_SHIFT),
		    VMPAGER_PAGE);
		run_shrink(rn, self);
		*selfp = 0;
	}
	return (0);
}

/*
 * Every frame is dirty and no slot is free: the page, read into a frame of the
 * reserve, enters, and a victim is evicted to the slot that it came from.  The
 * victim's frame takes the place of the one of the reserve.  The page can't be
 * written to before it is certain that it stays.  EAGAIN: no victim at the
 * moment.
 */
static int
fault_exchange(struct fault *ft, const struct run *rn, const char *room,
    bool *slotlessp)
{
	struct vmpager *pg = ft->ft_map->mp_pager;
	const struct mode *md = pg->pg_mode;
	struct evict ev;
	int error;

	error = md->md_enter(rn, room, false);
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
		md->md_discard(ft->ft_map, rn->rn_first, 1);
		return (EAGAIN);
	}
	*slotlessp = ev.ev_slot == NO_SLOT;
	/* If this fails, the first write will be a fault, and try again. */
	if (ft->ft_write || *slotlessp)
		(void)md->md_upgrade(ft->ft_map, rn->rn_first);
	return (0);
}

/* The page is in a slot, and there is a frame for it. */
static int
fault_swapped_to(struct fault *ft, uint32_t frame, bool exchange)
{
	struct vmpager *pg = ft->ft_map->mp_pager;
	const struct mode *md = pg->pg_mode;
	char *bounce = NULL, *room;
	struct run rn;
	unsigned int self;
	bool slotless = false;
	int error;

	if (md->md_mmu)
		bounce = bounce_get(&pg->pg_bounce);
	self = run_make(ft, frame, &rn);
	room = md->md_room(pg, &rn, bounce);
	error = fault_read(ft, &rn, &self, room);
	if (error != 0)
		goto out;
	if (exchange)
		error = fault_exchange(ft, &rn, room, &slotless);
	else
		error = md->md_enter(&rn, room, ft->ft_write);
	if (error != 0) {
		run_shrink(&rn, self);
		frame_put(&pg->pg_pool, frame);
	} else
		run_publish(ft, &rn, self, slotless);
out:
	if (bounce != NULL)
		bounce_put(&pg->pg_bounce, bounce);
	return (error);
}

static int
fault_swapped(struct fault *ft)
{
	struct vmpager *pg = ft->ft_map->mp_pager;
	bool exchange;
	uint32_t frame;
	int error;

	error = fault_frame(pg, &frame);
	exchange = (error == ENOMEM || error == EAGAIN) && !ft->ft_ahead &&
	    atomic_load_explicit(&pg->pg_swap.sw_free, memory_order_relaxed) ==
		0;
	if (exchange) {
		frame = frame_get(&pg->pg_pool, 0);
		error = frame == NO_FRAME ? EAGAIN : 0;
	}
	return (error == 0 ? fault_swapped_to(ft, frame, exchange) : error);
}

/* ---- the fault path -------------------------------------------------------*/

/* Faults by one thread after one by another that count as several. */
#define CROWD_FAULTS 64u

/* Take note of who faults. */
static void
fault_note(struct vmpager *pg)
{
	unsigned int me = count_me();
	uint32_t crowd =
	    atomic_load_explicit(&pg->pg_crowd, memory_order_relaxed);

	if (atomic_load_explicit(&pg->pg_faulter, memory_order_relaxed) != me) {
		atomic_store_explicit(
		    &pg->pg_faulter, me, memory_order_relaxed);
		crowd = CROWD_FAULTS + 1;
	}
	if (crowd != 0)
		atomic_store_explicit(
		    &pg->pg_crowd, crowd - 1, memory_order_relaxed);
}

bool
fault_alone(struct vmpager *pg)
{
	return (atomic_load_explicit(&pg->pg_crowd, memory_order_relaxed) == 0);
}

static int
fault_serve(struct fault *ft)
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
			error = fault_hit(ft, ptep, ft->ft_pte);
			if (error != EBUSY)
				return (error);
			continue;
		case PTE_BUSY_IN:
		case PTE_BUSY_OUT:
			count_add(ft->ft_map, COUNT_WAIT);
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

/* The page isn't resident, or wasn't quite when fault_page() looked. */
static __attribute__((noinline)) int
fault_slow(struct fault *ft)
{
	static const enum vmpager_fault kinds[] = {
		[FAULT_NONE] = VMPAGER_FAULT_WAIT,
		[FAULT_MINOR] = VMPAGER_FAULT_ZERO,
		[FAULT_MAJOR] = VMPAGER_FAULT_MAJOR,
	};
	struct vmpager *pg = ft->ft_map->mp_pager;
	uint64_t begin = latency_begin(pg);
	int error;

	nofault_enter();
	if (pg->pg_mode->md_mmu)
		fault_note(pg);
	error = fault_serve(ft);
	nofault_leave();
	if (error == 0)
		latency_end(pg, kinds[ft->ft_kind], begin);
	return (error);
}

static inline int
fault_page(struct fault *ft)
{
	pte_t *ptep = &ft->ft_map->mp_ptes[ft->ft_page];
	uint64_t pte = atomic_load_explicit(ptep, memory_order_acquire);
	int error = EBUSY;

	ft->ft_kind = FAULT_NONE;
	if (pte_state(pte) == PTE_RESIDENT)
		error = fault_hit(ft, ptep, pte);
	return (error != EBUSY ? error : fault_slow(ft));
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

/*
 * A touch in the modes of the MMU: by the CPU, so that its faults are the
 * kernel's, and come here by the signal.  What they will be is seen before.
 */
struct touch {
	struct vmpager_map *to_map;
	uint64_t to_page;
	uint64_t to_end;
	bool to_write;
	struct vmpager_touched to_done;
};

static void
touch_by_cpu(const struct touch *to)
{
	volatile unsigned char *byte =
	    (unsigned char *)map_address(to->to_map, to->to_page);

	if (to->to_write)	/* changes nothing, and loses no other's */
		(void)__atomic_fetch_or(byte, 0, __ATOMIC_RELAXED);
	else
		(void)*byte;
}

static int
touch_pages(void *arg)
{
	struct touch *to = arg;
	uint64_t pte;

	for (; to->to_page < to->to_end; to->to_page++) {
		pte_t *ptep = &to->to_map->mp_ptes[to->to_page];

		pte = atomic_load_explicit(ptep, memory_order_relaxed);
		if (pte_state(pte) == PTE_FAILED)
			return (EIO);
		to->to_done.pt_minor += pte_state(pte) == PTE_ZERO;
		to->to_done.pt_major += pte_state(pte) == PTE_SWAPPED;
		touch_by_cpu(to);
		if (pte_state(pte) == PTE_RESIDENT && (pte & PTE_REF) == 0)
			(void)atomic_compare_exchange_strong_explicit(ptep,
			    &pte, (pte | PTE_REF) & ~PTE_AHEAD,
			    memory_order_relaxed, memory_order_relaxed);
	}
	return (0);
}

static int
touch_mmu(struct vmpager_map *mp, uint64_t first, bool write,
    struct vmpager_touched *pt)
{
	struct touch to = { .to_map = mp, .to_page = first, .to_write = write };
	int error;

	to.to_end = first + pt->pt_pages;
	error = vmpager_guard(touch_pages, &to);
	pt->pt_minor = to.to_done.pt_minor;
	pt->pt_major = to.to_done.pt_major;
	return (error);
}

static int
touch_software(struct vmpager_map *mp, uint64_t first, bool write,
    struct vmpager_touched *pt)
{
	struct fault ft = { .ft_map = mp, .ft_write = write };
	int error = 0;

	for (uint64_t i = 0; i < pt->pt_pages && error == 0; i++) {
		ft.ft_page = first + i;
		error = fault_page(&ft);
		pt->pt_minor += ft.ft_kind == FAULT_MINOR;
		pt->pt_major += ft.ft_kind == FAULT_MAJOR;
	}
	return (error);
}

/* Will faults of the CPU be served?  Not if the thread that should isn't. */
static bool
touch_traps(const struct vmpager_map *mp)
{
	struct vmpager *pg = mp->mp_pager;

	return (mp->mp_mmu && (pg->pg_mode != &mode_uffd_thread ||
	    atomic_load_explicit(&pg->pg_servers, memory_order_relaxed) != 0));
}

/*
 * Look over the pages of a touch before any is touched.  EFAULT: not all are
 * registered.  EALREADY: all are resident and bear the marks that the touch
 * would leave, so that there is nothing to do; which is what touching again
 * mostly is, and costs one load a page.
 */
static int
touch_look(struct vmpager_map *mp, uint64_t first, uint64_t count, bool write)
{
	uint64_t mask = PTE_STATE | PTE_REF | PTE_AHEAD, want, other = 0, pte;

	want = PTE_RESIDENT | PTE_REF;
	if (write) {
		mask |= PTE_DIRTY;
		want |= PTE_DIRTY;
	}
	for (uint64_t page = first; page < first + count; page++) {
		pte = atomic_load_explicit(
		    &mp->mp_ptes[page], memory_order_relaxed);
		other |= (pte & mask) ^ want;
		if (pte_state(pte) == PTE_UNREGISTERED)
			return (EFAULT);
	}
	return (other == 0 ? EALREADY : 0);
}

int
vmpager_touch(struct vmpager_map *mp, vmem_addr_t addr, vmem_size_t len,
    bool write, struct vmpager_touched *out)
{
	struct vmpager_touched pt = { 0 };
	uint64_t first = 0;
	int error = 0;

	if (len != 0)
		error = map_pages(mp, addr, len, &first, &pt.pt_pages);
	if (error == 0)
		error = touch_look(mp, first, pt.pt_pages, write);
	if (error == 0 || error == EALREADY)
		count_many(mp, COUNT_ACCESS, pt.pt_pages);
	if (error == EALREADY)
		error = 0;
	else if (error == 0) {
		error = touch_traps(mp) ?
		    touch_mmu(mp, first, write, &pt) :
		    touch_software(mp, first, write, &pt);
	}
	if (error == 0)
		*out = pt;
	return (error);
}

/*
 * What became resident may be gone again before the instruction is repeated,
 * and is then a fault once more.  A page that is resident already needs
 * nothing but, for a write, to be made writable.
 */
int
fault_trap(struct vmpager_map *mp, vmem_addr_t addr, bool write)
{
	struct fault ft = { .ft_map = mp, .ft_write = write, .ft_trap = true };

	count_add(mp, COUNT_TRAP);
	ft.ft_page = (addr - mp->mp_base) >> PAGE_SHIFT;
	return (fault_page(&ft));
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
	if (error == 0)
		count_many(mp, COUNT_ACCESS, count);
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

/* ---- advice ---------------------------------------------------------------*/

/* 1, if the page was brought in; an errno is left in *errorp. */
static uint64_t
advise_prefetch(struct vmpager_map *mp, uint64_t page, int *errorp)
{
	struct fault ft = { .ft_map = mp, .ft_page = page, .ft_ahead = true };

	*errorp = fault_page(&ft);
	return (*errorp == 0 && ft.ft_kind != FAULT_NONE);
}

static uint64_t
advise_dontneed(struct vmpager_map *mp, uint64_t page, int *errorp)
{
	uint64_t pte = atomic_load_explicit(
	    &mp->mp_ptes[page], memory_order_relaxed);

	if (pte_state(pte) == PTE_UNREGISTERED)
		*errorp = EFAULT;
	if (pte_state(pte) != PTE_RESIDENT)
		return (0);
	return (evict_page(mp, page, pte_number(pte), errorp));
}

/* As many as may be pinned: the others are for all who fault. */
static bool
held_charge(struct vmpager *pg)
{
	uint64_t max = pg->pg_pool.fp_bound / 4 * 3, held;

	held = atomic_fetch_add_explicit(
	    &pg->pg_held, 1, memory_order_relaxed);
	if (held < max)
		return (true);
	(void)atomic_fetch_sub_explicit(&pg->pg_held, 1, memory_order_relaxed);
	return (false);
}

/*
 * A pinned page has no slot: what it holds is in its frame, for as long as it
 * may take, and the slot is worth more to others.  (So the frames and slots
 * that strict commit counts on are there, too.)  Ours is a pin, so nobody has
 * claimed the page; another thread that pins it gets the slot or we do.
 */
static void
held_give_slot(struct vmpager_map *mp, uint64_t page, uint32_t frame)
{
	struct vmpager *pg = mp->mp_pager;
	uint64_t old;
	uint32_t slot;

	old = atomic_fetch_or_explicit(
	    &mp->mp_ptes[page], PTE_DIRTY, memory_order_relaxed);
	if ((old & PTE_DIRTY) == 0)
		count_add(mp, COUNT_DIRTIED);
	slot = atomic_exchange_explicit(&pg->pg_pool.fp_frames[frame].fr_slot,
	    NO_SLOT, memory_order_relaxed);
	if (slot != NO_SLOT)
		swap_free(&pg->pg_swap, slot);
}

static uint64_t
advise_pin(struct vmpager_map *mp, uint64_t page, int *errorp)
{
	struct fault ft = { .ft_map = mp, .ft_page = page, .ft_pin = true };
	struct vmpager *pg = mp->mp_pager;
	uint64_t old;

	*errorp = fault_page(&ft);
	if (*errorp != 0)
		return (0);
	if (held_charge(pg)) {
		old = atomic_fetch_or_explicit(
		    &mp->mp_ptes[page], PTE_HELD, memory_order_relaxed);
		if ((old & PTE_HELD) == 0)
			held_give_slot(mp, page, ft.ft_frame);
		pte_unpin(&mp->mp_ptes[page]);
		if ((old & PTE_HELD) == 0)
			return (1);
		(void)atomic_fetch_sub_explicit(
		    &pg->pg_held, 1, memory_order_relaxed);
		return (0);
	}
	old = atomic_load_explicit(&mp->mp_ptes[page], memory_order_relaxed);
	pte_unpin(&mp->mp_ptes[page]);
	if ((old & PTE_HELD) == 0)
		*errorp = ENOMEM;
	return (0);
}

static uint64_t
advise_unpin(struct vmpager_map *mp, uint64_t page, int *errorp)
{
	pte_t *ptep = &mp->mp_ptes[page];
	uint64_t pte = atomic_load_explicit(ptep, memory_order_relaxed);

	for (;;) {
		if (pte_state(pte) == PTE_UNREGISTERED)
			*errorp = EFAULT;
		if (pte_busy(pte)) {	/* being looked at, or unregistered */
			pte_wait(ptep, pte);
			pte = atomic_load_explicit(ptep, memory_order_relaxed);
		} else if (pte_state(pte) != PTE_RESIDENT ||
		    (pte & PTE_HELD) == 0)
			return (0);
		else if (atomic_compare_exchange_weak_explicit(ptep, &pte,
			     pte & ~PTE_HELD, memory_order_relaxed,
			     memory_order_relaxed))
			break;
	}
	(void)atomic_fetch_sub_explicit(
	    &mp->mp_pager->pg_held, 1, memory_order_relaxed);
	return (1);
}

int
vmpager_advise(struct vmpager_map *mp, vmem_addr_t addr, vmem_size_t len,
    enum vmpager_advice advice, uint64_t *affected)
{
	static uint64_t (*const advise[])(
	    struct vmpager_map *mp, uint64_t page, int *errorp) = {
		[VMPAGER_PREFETCH] = advise_prefetch,
		[VMPAGER_DONTNEED] = advise_dontneed,
		[VMPAGER_PIN] = advise_pin,
		[VMPAGER_UNPIN] = advise_unpin,
	};
	uint64_t first = 0, count = 0, done = 0;
	int error = 0;

	if ((unsigned int)advice >= sizeof(advise) / sizeof(advise[0]))
		return (EINVAL);
	if (len != 0)
		error = access_pages(mp, addr, len, &first, &count);
	for (uint64_t i = 0; i < count && error == 0; i++)
		done += advise[advice](mp, first + i, &error);
	if (advice == VMPAGER_PREFETCH && error == ENOMEM)
		error = 0;
	if (affected != NULL)
		*affected = done;
	return (error);
}
