/*
 * map.c - the fault map: page table entries, claims, registration.
 *
 * The entries of a map are one flat array, reserved in full and given memory
 * by the kernel as it is first stored to; registering is a run of stores into
 * it.
 *
 * Unregistering claims pages one by one.  Those that are resident and adjacent
 * are taken from the address space together, since each time may interrupt
 * other CPUs; but before it waits for a page, those that it has claimed go, so
 * that nobody who has claimed a page waits for another.
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

/* ---- ranges ---------------------------------------------------------------*/

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

/* Give back what a claimed resident page had: its frame and its slot. */
static void
page_release(struct vmpager_map *mp, uint64_t pte)
{
	struct vmpager *pg = mp->mp_pager;
	uint32_t frame = pte_number(pte);
	uint32_t slot = atomic_load_explicit(
	    &pg->pg_pool.fp_frames[frame].fr_slot, memory_order_relaxed);

	(void)replace_removed(pg, frame);
	if ((pte & PTE_HELD) != 0)
		(void)atomic_fetch_sub_explicit(
		    &pg->pg_held, 1, memory_order_relaxed);
	if (slot != NO_SLOT)
		swap_free(&pg->pg_swap, slot);
	frame_put(&pg->pg_pool, frame);
	count_add(mp,
	    (pte & PTE_DIRTY) != 0 ? COUNT_DROP_DIRTY : COUNT_DROP_CLEAN);
}

/* Unregister the claimed resident pages of a run, and begin another.  Returns
 * how many were the first of a range. */
static uint64_t
run_release(struct run *rn)
{
	struct vmpager_map *mp = rn->rn_map;
	uint64_t entries = 0;

	if (rn->rn_count != 0)
		mp->mp_pager->pg_mode->md_discard(
		    mp, rn->rn_first, rn->rn_count);
	for (unsigned int i = 0; i < rn->rn_count; i++) {
		page_release(mp, rn->rn_pte[i]);
		entries += pte_clear(&mp->mp_ptes[rn->rn_first + i]);
	}
	rn->rn_count = 0;
	return (entries);
}

/* Claim a page for unregistering; what has been claimed goes before it waits.
 */
static uint64_t
page_claim(struct run *rn, uint64_t page, uint64_t *entriesp)
{
	struct vmpager_map *mp = rn->rn_map;
	pte_t *ptep = &mp->mp_ptes[page];
	uint64_t pte;

	for (;;) {
		pte = atomic_load_explicit(ptep, memory_order_acquire);
		if (pte_state(pte) == PTE_UNREGISTERED)
			vmem_panic("vmpager_unregister: expected page %#llx "
				   "to be registered",
			    (unsigned long long)(mp->mp_base +
				(page << PAGE_SHIFT)));
		if (pte_busy(pte) || (pte & PTE_PINS) != 0) {
			*entriesp += run_release(rn);
			pte_wait(ptep, pte);
		} else if (pte_claim(ptep, pte, PTE_BUSY_OUT))
			return (pte);
	}
}

/* Unregister one page, or leave it claimed at the end of the run. */
static uint64_t
page_unregister(struct run *rn, uint64_t page)
{
	struct vmpager_map *mp = rn->rn_map;
	uint64_t entries = 0, pte = page_claim(rn, page, &entries);

	if (pte_state(pte) == PTE_RESIDENT) {
		if (rn->rn_count == CLUSTER_PAGES ||
		    rn->rn_first + rn->rn_count != page)
			entries += run_release(rn);
		if (rn->rn_count == 0)
			rn->rn_first = page;
		rn->rn_pte[rn->rn_count++] = pte;
		return (entries);
	}
	if (pte_state(pte) == PTE_SWAPPED)
		swap_free(&mp->mp_pager->pg_swap, pte_number(pte));
	return (entries + pte_clear(&mp->mp_ptes[page]));
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
	struct run rn;
	uint64_t entries = 0;

	rn.rn_map = mp;
	rn.rn_first = rn.rn_count = 0;
	map_begin(pg);
	for (uint64_t page = first; page < first + count; page++)
		entries += page_unregister(&rn, page);
	entries += run_release(&rn);
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
	mp->mp_mmu = pg->pg_mode->md_mmu;
	mp->mp_ptes = pager_mmap(map_bytes(pages), MAP_NORESERVE);
	if (mp->mp_ptes == NULL) {
		error = ENOMEM;
		goto fail;
	}
	mp->mp_used = (atomic_uchar *)(mp->mp_ptes + pages);
	error = map_number(pg, mp);
	if (error != 0)
		goto fail;
	error = pg->pg_mode->md_map_init(mp);
	if (error != 0) {
		map_unnumber(pg, mp);
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
	for (unsigned int shard = 0; shard < COUNT_SHARDS; shard++)
		for (int kind = 0; kind < COUNT_KINDS; kind++)
			c->c_count[kind] += atomic_load_explicit(
			    &mp->mp_count[shard].cs_count[kind],
			    memory_order_relaxed);
}
