/*
 * pager.c - the pager: theory, creation, statistics.
 *
 * 1. What it is for
 *
 * Kernels allocate their addresses out of the same structure that their page
 * faults consult, and so must allocate memory to record a range, to free a part
 * of one, and to handle a fault.  Here the two jobs are apart.  Addresses come
 * from an arena, which knows nothing of pages.  The pager knows nothing of
 * arenas: it has a page table for a span of addresses, and a range of it takes
 * faults from when it is registered until it is unregistered.
 *
 * 2. Structures
 *
 *	 map (map.c)			frames (frame.c)	swap (swap.c)
 *	+-----------------+		+---------+--------+	+-----+-------+
 *	| ...             |	    .-->| owner --|-- page |  .>| ... | stamp |
 *	| RESIDENT, frame |--------'	| slot ---|--------|-' +-----+-------+
 *	| ZERO            |		+---------+--------+    | ... | stamp |
 *	| SWAPPED, slot   |--------.	| free -->| next   |  .>|     |       |
 *	| UNREGISTERED    |	    \	+---------+--------+ /  +-----+-------+
 *	+-----------------+	     `----------------------'
 *
 * A page is in one of the states of enum pte_state, and its entry names the
 * frame or the slot that holds it.  A frame names the page in it, so that
 * replacement can go from frames to pages; it also remembers the slot that the
 * page was last written to.  As long as the page stays clean that slot is as
 * good as the frame, and eviction writes nothing; when it gets dirty it is
 * where the page will be written to again.
 *
 *		      register
 *	UNREGISTERED ----------> ZERO
 *	      ^			   |  touched: a frame of zeros
 *	      |			   v
 *	      |			RESIDENT <------.
 *	      |			   |		| touched: read back
 *	      |		   evicted |		|
 *	      | unregister	   v		|
 *	      | (from any)	 SWAPPED -------'---> FAILED: what is read
 *	      `-------------- ...			isn't what was written
 *
 * An evicted page that was never written to is ZERO again.  One that has FAILED
 * is refused (EIO) until it is unregistered.
 *
 * 3. Concurrency
 *
 * An entry is a 64-bit atomic and is its page's lock.  Whoever is to move the
 * page claims it by a compare-and-swap to a BUSY state, does its I/O with no
 * lock held, and settles the entry.  (Only what has nothing to lose goes from
 * one state to the next in a single step: fill.c.)  Whoever uses the bytes holds a pin, a
 * count in the entry; a pinned page isn't claimed.  So hits on different pages
 * share nothing, faults on different pages run side by side, and faults on one
 * page do its work once.  Waiters spin for a moment, then sleep on the entry.
 *
 * Two locks remain: pg_lock for the choice of victims, and sw_lock for the
 * bitmap of slots.  Neither is held during I/O, a hit takes neither, and a
 * fault with a free frame doesn't either.  Nobody who has claimed a page waits
 * for another page, nor for a frame, so there are no cycles.
 *
 * 4. Promises
 *
 * Overcommit registers what is asked and refuses the access that finds nothing
 * left.  Strict commit registers no more pages than there are frames and slots;
 * then every page can be touched: let F frames and S slots be there, and the
 * page that faults be one of at most F + S.  If it is ZERO, at most S - 1 of
 * the others are outside the F frames, so a slot is free, or is kept by a page
 * in a frame, which can be evicted to it.  If it is in a slot, that slot is
 * where a victim goes (fault_exchange()).
 *
 * 5. Memory
 *
 * All from mmap(2), when the pager or a map is created: frames and their
 * descriptors, the bitmap and the stamps, page tables.  Page tables are not
 * populated: their address space costs nothing until a range is registered,
 * which stores to every entry that a later fault will need.  So a fault itself
 * allocates nothing, and can be served when memory is short, which is when
 * pagers are needed.
 *
 * In the modes of the MMU the kernel provides a page as it enters the address
 * space, and takes it back as it leaves: that memory is what the frames count,
 * and never more of it.  Everything else is there from the beginning as well,
 * the buffers that bytes pass through included (bounce.c).
 *
 * None of it is for fork(2) children (MADV_DONTFORK): one that accessed a page
 * would be killed by SIGSEGV, instead of sharing the swap file with its parent
 * and reading other pages than it wrote.
 *
 * References: uvm(9) and uvm_pdaemon.c of NetBSD (busy pages; the free target
 * as 4/3 of the free minimum); ZFS, for keeping a checksum apart from what it
 * sums.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* ---- memory ---------------------------------------------------------------*/

void *
pager_mmap(size_t len, int flags)
{
	void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	NOFAULT_ASSERT();
	if (mem == MAP_FAILED)
		return (NULL);
	(void)madvise(mem, len, MADV_DONTFORK);
	return (mem);
}

void
pager_munmap(void *mem, size_t len)
{
	NOFAULT_ASSERT();
	if (mem != NULL)
		(void)munmap(mem, len);
}

static int
populate(char *mem, size_t len)
{
	int error;

	do
		error = madvise(mem, len, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
	while (error == EINTR || error == EAGAIN);
	return (error);
}

/* EINVAL may mean memory that can't be populated, or a kernel before 5.14,
 * which can't populate any. */
static bool
populate_works(void)
{
	char *page = pager_mmap(VMPAGER_PAGE, 0);
	bool works = page != NULL && populate(page, VMPAGER_PAGE) != EINVAL;

	pager_munmap(page, VMPAGER_PAGE);
	return (works);
}

int
pager_populate(char *mem, size_t len)
{
	int error = populate(mem, len);

	NOFAULT_ASSERT();
	if (error == EINVAL && !populate_works()) {
		for (size_t at = 0; at < len; at += VMPAGER_PAGE)
			((volatile char *)mem)[at] = 0;
		error = 0;
	}
	return (error == 0 ? 0 : ENOMEM);
}

/* ---- counters -------------------------------------------------------------*/

/* What came less what went.  While threads count, a sum may have seen the one
 * and not the other: then it is at least not below 0. */
static uint64_t
difference(uint64_t came, uint64_t went)
{
	return (came > went ? came - went : 0);
}

static uint64_t
count_resident(const struct counts *c)
{
	return (difference(c->c_count[COUNT_ZERO_READ] +
		c->c_count[COUNT_ZERO_WRITE] + c->c_count[COUNT_SWAPIN],
	    c->c_count[COUNT_EVICT_CLEAN] + c->c_count[COUNT_EVICT_DIRTY] +
		c->c_count[COUNT_DROP_CLEAN] + c->c_count[COUNT_DROP_DIRTY]));
}

static uint64_t
count_dirty(const struct counts *c)
{
	return (difference(
	    c->c_count[COUNT_ZERO_WRITE] + c->c_count[COUNT_DIRTIED],
	    c->c_count[COUNT_EVICT_DIRTY] + c->c_count[COUNT_DROP_DIRTY]));
}

/* The members of a vmpager_stat that come from the counters of maps. */
static void
stat_counts(const struct counts *c, struct vmpager_stat *ps)
{
	ps->ps_faults_zero =
	    c->c_count[COUNT_ZERO_READ] + c->c_count[COUNT_ZERO_WRITE];
	ps->ps_faults_minor = ps->ps_faults_zero;
	ps->ps_faults_major = ps->ps_swapins = c->c_count[COUNT_SWAPIN];
	ps->ps_writebacks = c->c_count[COUNT_EVICT_DIRTY];
	ps->ps_evictions = ps->ps_writebacks + c->c_count[COUNT_EVICT_CLEAN];
	ps->ps_accesses = c->c_count[COUNT_ACCESS];
	ps->ps_traps = c->c_count[COUNT_TRAP];
	ps->ps_upgrades = c->c_count[COUNT_UPGRADE];
	ps->ps_refaults = c->c_count[COUNT_REFAULT];
	ps->ps_prefetched = c->c_count[COUNT_AHEAD];
	ps->ps_prefetch_hits = c->c_count[COUNT_AHEAD_HIT];
	ps->ps_prefetch_waste = c->c_count[COUNT_AHEAD_WASTE];
	ps->ps_waits = c->c_count[COUNT_WAIT];
	ps->ps_read_errors = c->c_count[COUNT_READ_ERROR];
	ps->ps_write_errors = c->c_count[COUNT_WRITE_ERROR];
	ps->ps_resident_pages = count_resident(c);
	ps->ps_dirty_pages = count_dirty(c);
}

void
vmpager_stat(struct vmpager *pg, struct vmpager_stat *ps)
{
	const struct swap *sw = &pg->pg_swap;
	struct counts sum, one;

	memset(ps, 0, sizeof(*ps));
	lock_acquire(&pg->pg_lock);
	sum = pg->pg_retired;
	for (uint32_t i = 1; i <= pg->pg_maps_high; i++) {
		if (pg->pg_maps[i] == NULL)
			continue;
		map_count_sum(pg->pg_maps[i], &one);
		for (int kind = 0; kind < COUNT_KINDS; kind++)
			sum.c_count[kind] += one.c_count[kind];
	}
	ps->ps_scanned = pg->pg_scanned;
	ps->ps_reactivated = pg->pg_reactivated;
	lock_release(&pg->pg_lock);
	stat_counts(&sum, ps);
	ps->ps_frames_total = pg->pg_pool.fp_bound;
	ps->ps_frames_free = frame_free_count(&pg->pg_pool) +
	    frame_cached(&pg->pg_pool, NULL);
	ps->ps_swap_total_bytes = (uint64_t)sw->sw_slots << PAGE_SHIFT;
	ps->ps_swap_used_bytes =
	    (uint64_t)(sw->sw_slots -
		atomic_load_explicit(&sw->sw_free, memory_order_relaxed))
	    << PAGE_SHIFT;
	ps->ps_pinned_pages =
	    atomic_load_explicit(&pg->pg_held, memory_order_relaxed);
	ps->ps_no_frames =
	    atomic_load_explicit(&pg->pg_no_frames, memory_order_relaxed);
	ps->ps_registered_pages =
	    atomic_load_explicit(&pg->pg_commit, memory_order_relaxed) /
	    COMMIT_PAGE;
	ps->ps_map_entries =
	    atomic_load_explicit(&pg->pg_entries, memory_order_relaxed);
}

void
vmpager_map_stat(struct vmpager_map *mp, struct vmpager_stat *ps)
{
	struct counts sum;

	memset(ps, 0, sizeof(*ps));
	map_count_sum(mp, &sum);
	stat_counts(&sum, ps);
	ps->ps_registered_pages =
	    atomic_load_explicit(&mp->mp_registered, memory_order_relaxed);
	ps->ps_map_entries =
	    atomic_load_explicit(&mp->mp_entries, memory_order_relaxed);
}

/* ---- pagers ---------------------------------------------------------------*/

#define LATENCY_BYTES (VMPAGER_FAULTS * sizeof(struct latency))

static int
latency_init(struct vmpager *pg)
{
	pg->pg_latency = pager_mmap(LATENCY_BYTES, 0);
	if (pg->pg_latency == NULL)
		return (ENOMEM);
	for (unsigned int kind = 0; kind < VMPAGER_FAULTS; kind++)
		hist_init(&pg->pg_latency[kind].lt_hist);
	return (pager_populate((char *)pg->pg_latency, LATENCY_BYTES));
}

int
vmpager_create(const struct vmpager_config *config, struct vmpager **pagerp)
{
	const struct mode *mode;
	struct vmpager *pg;
	int error;

	error = mode_find(config->pc_mode, &mode);
	if (error != 0)
		return (error);
	if (config->pc_commit != VMPAGER_OVERCOMMIT &&
	    config->pc_commit != VMPAGER_STRICT)
		return (EINVAL);
	pg = pager_mmap(sizeof(*pg), 0);
	if (pg == NULL)
		return (ENOMEM);
	pg->pg_mode = mode;
	pg->pg_without = config->pc_without;
	pg->pg_fd = pg->pg_stop_fd = -1;
	lock_init(&pg->pg_lock, "pager", LOCK_PAGER);
	error = swap_init(
	    &pg->pg_swap, config->pc_swap, config->pc_swap_bytes);
	if (error == 0)
		error = mode->md_init(pg, config->pc_frames_bytes);
	if (error == 0)
		error = replace_init(pg);
	if (error == 0)
		error = latency_init(pg);
	if (error == 0 && mode->md_signal != 0)
		error = trap_install(mode->md_signal);
	if (error != 0) {
		vmpager_destroy(pg);
		return (error);
	}
	pg->pg_capacity =
	    (uint64_t)pg->pg_pool.fp_bound + pg->pg_swap.sw_slots;
	atomic_init(&pg->pg_commit,
	    config->pc_commit == VMPAGER_STRICT ? COMMIT_STRICT : 0);
	*pagerp = pg;
	return (0);
}

void
vmpager_destroy(struct vmpager *pg)
{
	if (pg == NULL)
		return;
	for (uint32_t i = 1; i <= pg->pg_maps_high; i++)
		vmpager_map_destroy(pg->pg_maps[i]);
	pg->pg_mode->md_fini(pg);
	replace_fini(pg);
	pager_munmap(pg->pg_latency, LATENCY_BYTES);
	frame_pool_fini(&pg->pg_pool);
	swap_fini(&pg->pg_swap);
	lock_fini(&pg->pg_lock);
	pager_munmap(pg, sizeof(*pg));
}

int
vmpager_set_commit(struct vmpager *pg, enum vmpager_commit commit)
{
	uint64_t old =
	    atomic_load_explicit(&pg->pg_commit, memory_order_relaxed);
	uint64_t strict = commit == VMPAGER_STRICT ? COMMIT_STRICT : 0;

	/* One word holds the policy and what it is about, so that no range is
	 * registered under the old one after the new one has been granted. */
	do {
		if (strict != 0 && old / COMMIT_PAGE > pg->pg_capacity)
			return (ENOMEM);
	} while (!atomic_compare_exchange_weak_explicit(&pg->pg_commit, &old,
	    (old & ~COMMIT_STRICT) | strict, memory_order_relaxed,
	    memory_order_relaxed));
	return (0);
}
