/*
 * access.c - touches, accesses and advice: page by page, each by the fault path
 * (fault.c) if it isn't resident.
 *
 * In the modes of the MMU an access has its pages brought in and pinned
 * beforehand, as a kernel does for its I/O, so that it doesn't trap; a touch is
 * the CPU's own, under a recovery point.
 */
#include "config.h"

#include "pager/fault.h"

#include <errno.h>
#include <string.h>

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

static __attribute__((noinline)) int
touch_mmu(struct vmpager_map *mp, uint64_t first, uint64_t count, bool write,
    struct vmpager_touched *out)
{
	struct touch to = { .to_map = mp, .to_page = first,
		.to_end = first + count, .to_write = write,
		.to_done = { .pt_pages = count } };
	int error = vmpager_guard(touch_pages, &to);

	if (error == 0)
		*out = to.to_done;
	return (error);
}

/* A page that needs more than zeros. */
static __attribute__((noinline)) int
touch_page(
    struct vmpager_map *mp, uint64_t page, bool write, enum fault_kind *kindp)
{
	struct fault ft = { .ft_map = mp, .ft_page = page, .ft_write = write };
	int error = fault_page(&ft);

	*kindp = ft.ft_kind;
	return (error);
}

static int
touch_software(struct vmpager_map *mp, uint64_t first, uint64_t count,
    bool write, struct vmpager_touched *out)
{
	uint64_t page = first, end = first + count, minor = 0, major = 0;
	enum fault_kind kind;
	unsigned int filled;
	int error;

	while (page < end) {
		filled = fault_zeros(mp, page, end - page, write);
		minor += filled;
		page += filled;
		if (filled != 0)
			continue;
		error = touch_page(mp, page, write, &kind);
		if (error != 0)
			return (error);
		minor += kind == FAULT_MINOR;
		major += kind == FAULT_MAJOR;
		page++;
	}
	*out = (struct vmpager_touched){ count, minor, major };
	return (0);
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
static inline int
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
	uint64_t first = 0, count = 0;
	int error = 0;

	if (len != 0)
		error = map_pages(mp, addr, len, &first, &count);
	if (error == 0)
		error = touch_look(mp, first, count, write);
	if (error != 0 && error != EALREADY)
		return (error);
	count_many(mp, COUNT_ACCESS, count);
	if (error == 0)
		return (touch_traps(mp) ?
			touch_mmu(mp, first, count, write, out) :
			touch_software(mp, first, count, write, out));
	*out = (struct vmpager_touched){ .pt_pages = count };
	return (0);
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
	if ((old & PTE_DIRTY) == 0) {
		count_add(mp, COUNT_DIRTIED);
		/* What is dirty can be written to; if this fails, the first
		 * write will be a fault, and try again. */
		(void)pg->pg_mode->md_upgrade(mp, page);
	}
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
