/*
 * fault.c - the fault path.
 *
 * An access goes page by page.  fault_page() makes one resident and pins it:
 *
 *	RESIDENT	a hit: one compare-and-swap sets the marks and the pin
 *	ZERO		claim it, fill a frame with zeros, settle; or, without
 *			an MMU, in a single step: fill.c
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
 * the page in the address space.
 *
 * Nothing here allocates memory: see hot.c.
 */
#include "config.h"

#include "pager/fault.h"

#include <errno.h>
#include <string.h>

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

	latency_end(mp->mp_pager, VMPAGER_FAULT_UPGRADE, begin, 1);
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

/* Batches of victims that may all fail to be written before a fault gives up:
 * the file may be bad at some of its places only. */
#define EVICT_TRIES 8u

/* Evict until there is a frame, or the reason why not: 0, or an errno if pages
 * couldn't be written. */
static int
fault_evict_some(struct vmpager *pg, uint32_t want, uint32_t *framep)
{
	struct evict ev;
	unsigned int tries = 0;

	do {
		ev.ev_slot = NO_SLOT;
		ev.ev_want = want < EVICT_BATCH ? want : EVICT_BATCH;
		evict_frames(pg, &ev);
		*framep = frame_get(&pg->pg_pool, pg->pg_pool.fp_reserve);
	} while (*framep == NO_FRAME && ev.ev_error != 0 &&
	    ++tries < EVICT_TRIES);
	return (*framep == NO_FRAME ? ev.ev_error : 0);
}

/*
 * Evict something, or better a batch, and take a frame.  EAGAIN: none could be
 * had at the moment.  ENOMEM: nor will one, until something is given back.
 * EIO, ENOSPC: pages couldn't be written.
 */
static __attribute__((noinline)) int
fault_evict(struct vmpager *pg, uint32_t *framep)
{
	struct frame_pool *fp = &pg->pg_pool;
	uint32_t count = frame_free_count(fp);
	int error;

	if (frame_drain(fp)) {
		*framep = frame_get(fp, fp->fp_reserve);
		if (*framep != NO_FRAME)
			return (0);
	}
	error = fault_evict_some(
	    pg, count < fp->fp_target ? fp->fp_target - count : 1, framep);
	if (error != 0 || *framep != NO_FRAME)
		return (error);
	return (evict_hopeless(pg) ? ENOMEM : EAGAIN);
}

/* How many free frames a fault leaves to others.  They are kept above the
 * minimum as long as there is room to evict to; the last are for those who come
 * when there is none. */
static uint32_t
fault_keep(const struct vmpager *pg)
{
	const struct frame_pool *fp = &pg->pg_pool;

	return (atomic_load_explicit(&pg->pg_swap.sw_free,
		    memory_order_relaxed) != 0 ?
		fp->fp_reserve + fp->fp_min : fp->fp_reserve);
}

static int
fault_frame(struct vmpager *pg, uint32_t *framep)
{
	*framep = frame_take(&pg->pg_pool, fault_keep(pg));
	return (*framep != NO_FRAME ? 0 : fault_evict(pg, framep));
}

#include "pager/fill.c"

/* ---- pages in -------------------------------------------------------------*/

/* The frame has the page: make it resident. */
static void
page_publish(struct run *rn, unsigned int i, uint32_t slot, uint64_t flags)
{
	struct vmpager_map *mp = rn->rn_map;
	struct vmpager *pg = mp->mp_pager;
	struct frame *fr = &pg->pg_pool.fp_frames[rn->rn_frame[i]];
	bool trial = false;
	bool refault = pte_state(rn->rn_pte[i]) == PTE_SWAPPED &&
	    ghost_has(pg, map_owner(mp, rn->rn_first + i), &trial);

	if (refault)
		count_add(mp, COUNT_REFAULT);
	atomic_store_explicit(&fr->fr_slot, slot, memory_order_relaxed);
	/* Release: for evict_claim(), which gets to the page from here. */
	atomic_store_explicit(&fr->fr_owner, map_owner(mp, rn->rn_first + i),
	    memory_order_release);
	replace_inserted(pg, rn->rn_frame[i], refault && trial);
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

/* The page itself didn't come: it is lost, or only couldn't be read now and
 * stays where it is (and claimed). */
static int
fault_unread(struct fault *ft, struct run *rn, unsigned int self, int error)
{
	count_add(ft->ft_map, COUNT_READ_ERROR);
	if (error == EBADMSG)
		fault_lost(ft, rn, self);
	else {
		run_shrink(rn, self);
		frame_put(&ft->ft_map->mp_pager->pg_pool, rn->rn_frame[0]);
	}
	return (EIO);
}

/*
 * Read the claimed run into the room.  EIO: not even the page itself; its frame
 * has gone back.  A neighbour that can't be read is left alone, with all others,
 * for who really wants it.
 */
static int
fault_read(struct fault *ft, struct run *rn, unsigned int *selfp, char *room)
{
	unsigned int self = *selfp;
	int error = run_read(rn, self, room);

	if (error != 0)
		return (fault_unread(ft, rn, self, error));
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

/* Take note of who faults.  Not by count_me(): a program's later threads all
 * have one number there, and are no less a crowd. */
static void
fault_note(struct vmpager *pg)
{
	uintptr_t me = (uintptr_t)pthread_self();
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
			if (fault_fill(ft))
				return (0);
			break;
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
		latency_end(pg, kinds[ft->ft_kind], begin, 1);
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

/* ---- from the CPU ---------------------------------------------------------*/

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
