/*
 * map.c - the fault map: page table entries, claims, registration.
 *
 * The entries of a map are one flat array, reserved in full and given memory
 * by the kernel as it is first stored to; registering is a run of stores into
 * it.  An entry says all there is to know about a page, and changes by
 * compare-and-swap: no lock is taken for it, here or in the fault path.
 *
 * A claim is the right to change a page: it turns PTE_BUSY_IN or PTE_BUSY_OUT.
 * Until it is settled, others may only ask to be woken (PTE_WAIT), make the
 * page the first of a range (PTE_FIRST) because the one before it went, or take
 * a mark (PTE_REF) off that means nothing any more.
 * Settling comes last: after it a page may be unregistered, and its map be
 * destroyed, at any moment, so nothing of either is touched any more.
 *
 * Ranges aren't recorded.  They are counted, for the statistics, by the mark on
 * the first page of each; a range of which a part goes becomes two if pages
 * remain on both sides, which is when the page after the part gets a mark.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "util/futex.h"

/* Looks at an entry before sleeping: about as long as it takes another CPU to
 * fill a page with zeros. */
#define SPIN_MAX 100

/* ---- entries --------------------------------------------------------------*/

/* The half of the entry that waiters watch. */
static const volatile void *
pte_word(pte_t *ptep)
{
	uintptr_t word = (uintptr_t)ptep;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word += sizeof(uint32_t);
#endif
	return ((const volatile void *)word);
}

bool
pte_claim(pte_t *ptep, uint64_t pte, enum pte_state state)
{
	ASSERT(!pte_busy(pte) && (pte & PTE_PINS) == 0);
	/* Acquire: what those who had the page pinned did to its bytes
	 * (pte_unpin()), and what its last claimant did (pte_settle()). */
	return (atomic_compare_exchange_strong_explicit(ptep, &pte,
	    pte_with_state(pte, state), memory_order_acquire,
	    memory_order_relaxed));
}

void
pte_settle(pte_t *ptep, uint64_t pte)
{
	uint64_t old = atomic_load_explicit(ptep, memory_order_relaxed);

	ASSERT(pte_busy(old) && !pte_busy(pte));
	/* Release: the page's bytes, and its frame's descriptor. */
	while (!atomic_compare_exchange_weak_explicit(ptep, &old,
	    (pte & ~PTE_SHARED) | (old & PTE_FIRST), memory_order_release,
	    memory_order_relaxed))
		continue;
	if ((old & PTE_WAIT) != 0)
		futex_wake(pte_word(ptep), INT_MAX);
}

void
pte_wait(pte_t *ptep, uint64_t pte)
{
	for (int i = 0; i < SPIN_MAX; i++) {
		if (atomic_load_explicit(ptep, memory_order_relaxed) != pte)
			return;
		cpu_pause();
	}
	if ((pte & PTE_WAIT) == 0 &&
	    !atomic_compare_exchange_strong_explicit(ptep, &pte,
		pte | PTE_WAIT, memory_order_relaxed, memory_order_relaxed))
		return;
	futex_wait(pte_word(ptep), (uint32_t)(pte | PTE_WAIT), NULL);
}

void
pte_unpin(pte_t *ptep)
{
	/* Release: what was done to the bytes, for who claims the page. */
	uint64_t old =
	    atomic_fetch_sub_explicit(ptep, PTE_PIN, memory_order_release);

	ASSERT(pte_state(old) == PTE_RESIDENT && pte_pins(old) > 0);
	if ((old & PTE_WAIT) != 0 && pte_pins(old) == 1) {
		(void)atomic_fetch_and_explicit(
		    ptep, ~PTE_WAIT, memory_order_relaxed);
		futex_wake(pte_word(ptep), INT_MAX);
	}
}

/* ---- ranges ---------------------------------------------------------------*/

uint64_t
map_owner(const struct vmpager_map *mp, uint64_t page)
{
	return ((uint64_t)mp->mp_index << OWNER_MAP_SHIFT | page);
}

int
map_pages(const struct vmpager_map *mp, vmem_addr_t addr, uint64_t len,
    uint64_t *firstp, uint64_t *countp)
{
	uint64_t offset = addr - mp->mp_base, size = mp->mp_pages << PAGE_SHIFT;

	/* Unsigned: an address below the base is a huge offset. */
	if (offset >= size || len > size - offset)
		return (EFAULT);
	*firstp = offset >> PAGE_SHIFT;
	*countp = ((offset + len - 1) >> PAGE_SHIFT) - *firstp + 1;
	return (0);
}

bool
map_registered(struct vmpager_map *mp, uint64_t first, uint64_t count)
{
	for (uint64_t page = first; page < first + count; page++)
		if (pte_state(atomic_load_explicit(&mp->mp_ptes[page],
			memory_order_relaxed)) == PTE_UNREGISTERED)
			return (false);
	return (true);
}

/* A page-aligned range inside the map, as pages; EINVAL. */
static int
map_range(const struct vmpager_map *mp, vmem_addr_t addr, vmem_size_t size,
    uint64_t *firstp, uint64_t *countp)
{
	if (size == 0 || (size | (addr - mp->mp_base)) % VMPAGER_PAGE != 0 ||
	    map_pages(mp, addr, size, firstp, countp) != 0)
		return (EINVAL);
	return (0);
}

static void
map_mark_used(struct vmpager_map *mp, uint64_t first, uint64_t count)
{
	for (uint64_t chunk = first / PTES_PER_CHUNK;
	     chunk <= (first + count - 1) / PTES_PER_CHUNK; chunk++)
		if (atomic_load_explicit(
			&mp->mp_used[chunk], memory_order_relaxed) == 0)
			atomic_store_explicit(
			    &mp->mp_used[chunk], 1, memory_order_relaxed);
}

/* Between these, sums over the entries and the counters may differ: for
 * vmpager_check(), which compares them. */
static void
map_begin(struct vmpager *pg)
{
	(void)atomic_fetch_add(&pg->pg_begun, 1);
}

static void
map_end(struct vmpager *pg)
{
	(void)atomic_fetch_add(&pg->pg_done, 1);
}

/* ---- unregistering --------------------------------------------------------*/

/* Give back what a claimed resident page has: its frame and its slot. */
static void
page_drop_resident(struct vmpager_map *mp, uint64_t page, uint64_t pte)
{
	struct vmpager *pg = mp->mp_pager;
	uint32_t frame = pte_number(pte);
	uint32_t slot = atomic_load_explicit(
	    &pg->pg_pool.fp_frames[frame].fr_slot, memory_order_relaxed);

	pg->pg_mode->md_remove(mp, page, frame);
	if (pg->pg_replace->rp_remove != NULL)
		pg->pg_replace->rp_remove(pg, frame);
	if (slot != NO_SLOT)
		swap_free(&pg->pg_swap, slot);
	frame_put(&pg->pg_pool, frame);
	count_add(mp,
	    (pte & PTE_DIRTY) != 0 ? COUNT_DROP_DIRTY : COUNT_DROP_CLEAN);
}

/* Unregister one page, when nobody uses it any more.  Returns whether it was
 * the first of a range. */
static bool
page_unregister(struct vmpager_map *mp, uint64_t page)
{
	pte_t *ptep = &mp->mp_ptes[page];
	uint64_t pte, old;

	for (;;) {
		pte = atomic_load_explicit(ptep, memory_order_acquire);
		if (pte_state(pte) == PTE_UNREGISTERED)
			vmem_panic("vmpager_unregister: expected page %#llx "
				   "to be registered",
			    (unsigned long long)(mp->mp_base +
				(page << PAGE_SHIFT)));
		if (pte_busy(pte) || (pte & PTE_PINS) != 0)
			pte_wait(ptep, pte);
		else if (pte_claim(ptep, pte, PTE_BUSY_OUT))
			break;
	}
	if (pte_state(pte) == PTE_RESIDENT)
		page_drop_resident(mp, page, pte);
	else if (pte_state(pte) == PTE_SWAPPED)
		swap_free(&mp->mp_pager->pg_swap, pte_number(pte));
	/* Not pte_settle(), for the mark goes as well. */
	old = atomic_exchange_explicit(
	    ptep, pte_make(PTE_UNREGISTERED, 0), memory_order_release);
	if ((old & PTE_WAIT) != 0)
		futex_wake(pte_word(ptep), INT_MAX);
	return ((old & PTE_FIRST) != 0);
}

/* The page after an unregistered part: if it belongs to the same range, it
 * begins one of its own now.  Returns whether it does. */
static bool
page_make_first(pte_t *ptep)
{
	uint64_t pte = atomic_load_explicit(ptep, memory_order_relaxed);

	do {
		if (pte_state(pte) == PTE_UNREGISTERED ||
		    (pte & PTE_FIRST) != 0)
			return (false);
	} while (!atomic_compare_exchange_weak_explicit(ptep, &pte,
	    pte | PTE_FIRST, memory_order_relaxed, memory_order_relaxed));
	return (true);
}

/* Forget [first, first + count), all of it registered. */
static void
map_drop(struct vmpager_map *mp, uint64_t first, uint64_t count)
{
	struct vmpager *pg = mp->mp_pager;
	uint64_t entries = 0;

	map_begin(pg);
	for (uint64_t page = first; page < first + count; page++)
		entries += page_unregister(mp, page);
	if (first + count < mp->mp_pages)
		entries -= page_make_first(&mp->mp_ptes[first + count]);
	(void)atomic_fetch_sub_explicit(
	    &pg->pg_entries, entries, memory_order_relaxed);
	(void)atomic_fetch_sub_explicit(
	    &mp->mp_entries, entries, memory_order_relaxed);
	(void)atomic_fetch_sub_explicit(
	    &mp->mp_registered, count, memory_order_relaxed);
	(void)atomic_fetch_sub_explicit(
	    &pg->pg_commit, count * COMMIT_PAGE, memory_order_relaxed);
	map_end(pg);
}

void
vmpager_unregister(struct vmpager_map *mp, vmem_addr_t addr, vmem_size_t size)
{
	uint64_t first, count;

	if (map_range(mp, addr, size, &first, &count) != 0)
		vmem_panic("vmpager_unregister(%#llx, %#llx): expected whole "
			   "pages inside the map",
		    (unsigned long long)addr, (unsigned long long)size);
	map_drop(mp, first, count);
}

/* ---- registering ----------------------------------------------------------*/

/* Promise `count` pages more; ENOMEM if strict commit can't keep it. */
static int
commit_charge(struct vmpager *pg, uint64_t count)
{
	uint64_t old =
	    atomic_load_explicit(&pg->pg_commit, memory_order_relaxed);

	do {
		if ((old & COMMIT_STRICT) != 0 &&
		    (old / COMMIT_PAGE > pg->pg_capacity ||
			count > pg->pg_capacity - old / COMMIT_PAGE))
			return (ENOMEM);
	} while (!atomic_compare_exchange_weak_explicit(&pg->pg_commit, &old,
	    old + count * COMMIT_PAGE, memory_order_relaxed,
	    memory_order_relaxed));
	return (0);
}

int
vmpager_register(struct vmpager_map *mp, vmem_addr_t addr, vmem_size_t size)
{
	struct vmpager *pg = mp->mp_pager;
	uint64_t first, count, page, unregistered, done;
	uint64_t mark = PTE_FIRST;
	int error;

	error = map_range(mp, addr, size, &first, &count);
	if (error != 0)
		return (error);
	map_begin(pg);
	error = commit_charge(pg, count);
	if (error != 0)
		goto out;
	map_mark_used(mp, first, count);
	for (page = first; page < first + count; page++, mark = 0) {
		unregistered = pte_make(PTE_UNREGISTERED, 0);
		if (!atomic_compare_exchange_strong_explicit(
			&mp->mp_ptes[page], &unregistered, PTE_NEW | mark,
			memory_order_release, memory_order_relaxed))
			break;
	}
	done = page - first;
	(void)atomic_fetch_add_explicit(
	    &mp->mp_registered, done, memory_order_relaxed);
	if (done != 0) {
		(void)atomic_fetch_add_explicit(
		    &pg->pg_entries, 1, memory_order_relaxed);
		(void)atomic_fetch_add_explicit(
		    &mp->mp_entries, 1, memory_order_relaxed);
	}
	if (done == count)
		goto out;
	error = EEXIST;
	(void)atomic_fetch_sub_explicit(&pg->pg_commit,
	    (count - done) * COMMIT_PAGE, memory_order_relaxed);
	if (done != 0)
		map_drop(mp, first, done);
out:
	map_end(pg);
	return (error);
}

bool
vmpager_registered(struct vmpager_map *mp, vmem_addr_t addr, vmem_size_t size)
{
	uint64_t first, count;

	return (size == 0 || (map_pages(mp, addr, size, &first, &count) == 0 &&
	    map_registered(mp, first, count)));
}

char
vmpager_page_state(struct vmpager_map *mp, vmem_addr_t addr)
{
	uint64_t first, count, pte;

	if (map_pages(mp, addr, 1, &first, &count) != 0)
		return ('.');
	pte = atomic_load_explicit(&mp->mp_ptes[first], memory_order_relaxed);
	switch (pte_state(pte)) {
	case PTE_UNREGISTERED:
		break;
	case PTE_ZERO:
		return ('z');
	case PTE_RESIDENT:
	case PTE_BUSY_OUT:
		return ((pte & PTE_DIRTY) != 0 ? 'd' : 'r');
	case PTE_BUSY_IN:
		return (pte_number(pte) == NO_SLOT ? 'z' : 's');
	case PTE_SWAPPED:
		return ('s');
	case PTE_FAILED:
		return ('x');
	}
	return ('.');
}

/* ---- maps -----------------------------------------------------------------*/

/* Bytes of what is mapped for a map of `pages`: the entries, then mp_used. */
static size_t
map_bytes(uint64_t pages)
{
	return ((size_t)(pages * sizeof(pte_t) + pages / PTES_PER_CHUNK + 1));
}

static int
map_number(struct vmpager *pg, struct vmpager_map *mp)
{
	uint32_t index = 1;

	lock_acquire(&pg->pg_lock);
	while (index <= MAPS_MAX && pg->pg_maps[index] != NULL)
		index++;
	if (index <= MAPS_MAX) {
		mp->mp_index = index;
		pg->pg_maps[index] = mp;
		if (index > pg->pg_maps_high)
			pg->pg_maps_high = index;
	}
	lock_release(&pg->pg_lock);
	return (index <= MAPS_MAX ? 0 : ENOMEM);
}

/* From here on no policy sees the map, nor do statistics. */
static void
map_unnumber(struct vmpager *pg, struct vmpager_map *mp)
{
	struct counts sum;

	map_count_sum(mp, &sum);
	lock_acquire(&pg->pg_lock);
	for (int kind = 0; kind < COUNT_KINDS; kind++)
		pg->pg_retired.c_count[kind] += sum.c_count[kind];
	pg->pg_maps[mp->mp_index] = NULL;
	lock_release(&pg->pg_lock);
}

int
vmpager_map_create(struct vmpager *pg, vmem_addr_t base, vmem_size_t size,
    struct vmpager_map **mapp)
{
	struct vmpager_map *mp;
	uint64_t pages = size >> PAGE_SHIFT;
	int error;

	if (pages == 0 || (base | size) % VMPAGER_PAGE != 0 ||
	    pages > MAP_PAGES_MAX || base + (size - 1) < base)
		return (EINVAL);
	mp = pager_mmap(sizeof(*mp), 0);
	if (mp == NULL)
		return (ENOMEM);
	mp->mp_pager = pg;
	mp->mp_base = base;
	mp->mp_pages = pages;
	mp->mp_ptes = pager_mmap(map_bytes(pages), MAP_NORESERVE);
	if (mp->mp_ptes == NULL) {
		error = ENOMEM;
		goto fail;
	}
	mp->mp_used = (atomic_uchar *)(mp->mp_ptes + pages);
	error = pg->pg_mode->md_map_init(mp);
	if (error != 0)
		goto fail;
	error = map_number(pg, mp);
	if (error != 0) {
		pg->pg_mode->md_map_fini(mp);
		goto fail;
	}
	*mapp = mp;
	return (0);
fail:
	pager_munmap(mp->mp_ptes, map_bytes(pages));
	pager_munmap(mp, sizeof(*mp));
	return (error);
}

/* Unregister what is registered in [page, end). */
static void
map_drop_all(struct vmpager_map *mp, uint64_t page, uint64_t end)
{
	uint64_t run;

	for (; page < end; page += run) {
		run = 0;
		while (page + run < end && map_registered(mp, page + run, 1))
			run++;
		if (run != 0)
			map_drop(mp, page, run);
		else
			run = 1;
	}
}

void
vmpager_map_destroy(struct vmpager_map *mp)
{
	struct vmpager *pg;
	uint64_t end;

	if (mp == NULL)
		return;
	pg = mp->mp_pager;
	for (uint64_t page = 0; page < mp->mp_pages; page = end) {
		end = map_chunk_end(mp, page);
		if (map_chunk_used(mp, page))
			map_drop_all(mp, page, end);
	}
	map_unnumber(pg, mp);
	pg->pg_mode->md_map_fini(mp);
	pager_munmap(mp->mp_ptes, map_bytes(mp->mp_pages));
	pager_munmap(mp, sizeof(*mp));
}

bool
map_chunk_used(const struct vmpager_map *mp, uint64_t page)
{
	return (atomic_load_explicit(&mp->mp_used[page / PTES_PER_CHUNK],
		    memory_order_relaxed) != 0);
}

uint64_t
map_chunk_end(const struct vmpager_map *mp, uint64_t page)
{
	uint64_t end = (page / PTES_PER_CHUNK + 1) * PTES_PER_CHUNK;

	return (end < mp->mp_pages ? end : mp->mp_pages);
}

void
map_count_sum(const struct vmpager_map *mp, struct counts *c)
{
	memset(c, 0, sizeof(*c));
	for (int shard = 0; shard < COUNT_SHARDS; shard++)
		for (int kind = 0; kind < COUNT_KINDS; kind++)
			c->c_count[kind] += atomic_load_explicit(
			    &mp->mp_count[shard].cs_count[kind],
			    memory_order_relaxed);
}
