/*
 * pager_impl.h - inside the pager.  The theory is at the head of pager.c.
 *
 * Letters say what guards a field: [I] immutable once created; [a] atomic;
 * [L] pg_lock; [S] sw_lock; [B] whoever has claimed the page (its PTE is BUSY
 * and the claim is theirs), or holds the frame before any PTE names it.
 */
#ifndef PAGER_IMPL_H
#define PAGER_IMPL_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmpager.h>

#include "pager/pte.h"
#include "util/assert.h"
#include "util/hist.h"
#include "util/lock.h"
#include "util/nofault.h"

#define PAGE_SHIFT 12
#define CACHE_LINE 64

/* Pages that are brought in, and evicted, together where that is cheaper; an
 * aligned group of them is a cluster. */
#define CLUSTER_PAGES 16u
#define CLUSTER_BYTES (CLUSTER_PAGES << PAGE_SHIFT)

static_assert(VMPAGER_PAGE == 1u << PAGE_SHIFT, "page size and shift");

/* ---- counters -------------------------------------------------------------
 *
 * Threads count in COUNT_SHARDS places, each a cache line, and readers add them
 * up.  The first threads to count have one each, for good, and so need no
 * locked instruction; those that come later share the last.  Gauges are
 * differences of counters, so that a fault counts once.
 */
#define COUNT_SHARDS 16u

enum count {
	COUNT_ZERO_READ,	/* zero fills for a read */
	COUNT_ZERO_WRITE,	/* and for a write: born dirty */
	COUNT_SWAPIN,		/* pages read from swap */
	COUNT_DIRTIED,		/* resident pages that became dirty */
	COUNT_EVICT_CLEAN,	/* evicted without I/O */
	COUNT_EVICT_DIRTY,	/* evicted by writing: writebacks */
	COUNT_DROP_CLEAN,	/* unregistered while resident and clean */
	COUNT_DROP_DIRTY,	/* and while dirty */
	COUNT_ACCESS,		/* pages that accesses met */
	COUNT_TRAP,		/* faults of the CPU */
	COUNT_UPGRADE,		/* of them, first writes to a clean page */
	COUNT_AHEAD,		/* pages brought in beside the one wanted */
	COUNT_AHEAD_HIT,	/* of them, accessed later (as far as is seen) */
	COUNT_AHEAD_WASTE,	/* of them, evicted before */
	COUNT_REFAULT,		/* came back soon after eviction: replace.h */
	COUNT_WAIT,		/* waits for a page that was busy */
	COUNT_READ_ERROR,	/* pages that couldn't be read from swap */
	COUNT_WRITE_ERROR,	/* or written */
	COUNT_FILL,		/* frames taken to be filled, without a claim */
	COUNT_FILLED,		/* of them, in place or given back: check.c */
	COUNT_KINDS
};

struct count_shard {
	_Alignas(CACHE_LINE) _Atomic uint64_t cs_count[COUNT_KINDS];
};

static_assert(
    sizeof(struct count_shard) == 3 * CACHE_LINE, "three lines a shard");

/* A sum over the shards. */
struct counts {
	uint64_t c_count[COUNT_KINDS];
};

/* ---- frames ---------------------------------------------------------------
 *
 * Who has a frame: OWNER_FREE (in the free list), OWNER_HAND (taken from it,
 * not yet, or no longer, behind a PTE), or the page in it: the map's number,
 * from 1, above OWNER_MAP_SHIFT and the page's below.  The same word says in a
 * slot's stamp whose page it holds.
 */
#define OWNER_FREE ((uint64_t)0)
#define OWNER_HAND ((uint64_t)1)
#define OWNER_MAP_SHIFT 44
#define MAPS_MAX 4096u
#define MAP_PAGES_MAX ((uint64_t)1 << OWNER_MAP_SHIFT)

struct frame {
	_Atomic uint64_t fr_owner;	/* [a] written by [B] */
	_Atomic uint32_t fr_slot;	/* [a] written by [B]: where the page
					 * was last written to, or NO_SLOT */
	_Atomic uint32_t fr_next;	/* [a] link of the free list */
};

/*
 * A few free frames of each CPU's own, so that faults on different CPUs don't
 * take turns at the free list.  Whoever runs there takes the magazine for some
 * nanoseconds; who finds it taken goes to the list.
 */
#define MAGAZINE_FRAMES 13u
#define MAGAZINES_MAX 64u

struct magazine {
	_Alignas(CACHE_LINE) atomic_bool mg_taken;
	_Atomic uint32_t mg_count;	/* [a] written by who has taken it */
	_Atomic uint32_t mg_changes;	/* [a] likewise: only grows */
	uint32_t mg_frame[MAGAZINE_FRAMES];
};

static_assert(sizeof(struct magazine) == CACHE_LINE, "one line a CPU");

/*
 * Frames beyond the bound that hold a page only while it changes places with
 * another, when all frames and all slots are taken (fault_exchange()).  Each
 * exchange under way takes one, so this many may run at once.
 */
#define FRAME_RESERVE 16u

struct frame_pool {
	char *fp_bytes;		/* [I] frame n is at n * VMPAGER_PAGE; or
				 * NULL: frames are a number only */
	struct frame *fp_frames; /* [I] their descriptors */
	uint32_t fp_bound;	/* [I] frames for resident pages */
	uint32_t fp_reserve;	/* [I] and those for exchanges */
	uint32_t fp_min;	/* [I] fewer free: evict, in batches, ... */
	uint32_t fp_target;	/* [I] ... until this many are: 4/3 of it */
	atomic_uchar *fp_staged; /* [a] uffd: 1: the frame has memory, at its
				 * place in fp_bytes; by who holds it */
	/* The free list and how many are on it, the reserve too, in lines of
	 * their own.  The upper half of the head counts its changes. */
	_Alignas(CACHE_LINE) _Atomic uint64_t fp_head; /* [a] tag | first */
	_Alignas(CACHE_LINE) _Atomic uint32_t fp_free; /* [a] */
	uint32_t fp_magazines;	/* [I] how many are used; 0 in small pools */
	struct magazine fp_magazine[MAGAZINES_MAX];
	_Atomic uint32_t fp_event;	/* [a] futex: bumped for sleepers */
	_Atomic uint32_t fp_sleepers;	/* [a] threads waiting for a frame */
};

/* ---- swap -----------------------------------------------------------------*/

/* What a slot must hold: kept outside of it, checked when it is read back. */
struct stamp {
	uint64_t st_owner;	/* [B] the page, as in fr_owner */
	uint32_t st_gen;	/* [B] counts the writes to this slot */
	uint32_t st_sum;	/* [B] CRC32C of the bytes, st_owner, st_gen */
};

#define SWAP_WORD_BITS 64u

struct swap {
	int sw_fd;		/* [I] -1: no swap */
	uint32_t sw_slots;	/* [I] */
	_Atomic uint32_t sw_free;	/* [a] slots not taken; set under [S] */
	struct lock sw_lock;	/* guards the bitmap; rank LOCK_PAGER_SWAP */
	_Atomic uint64_t sw_frees;	/* [a] slots ever given back; likewise */
	uint32_t sw_hint;	/* [S] word where the last search ended */
	uint64_t *sw_bitmap;	/* [S] a bit a slot, 1: taken */
	struct stamp *sw_stamps; /* [I] the array; entries belong to [B] */
};

/* ---- maps -----------------------------------------------------------------*/

/* Entries in one page of the page table: what mp_used has a byte for. */
#define PTES_PER_CHUNK (VMPAGER_PAGE / sizeof(pte_t))

struct vmpager_map {
	struct vmpager *mp_pager;	/* [I] */
	vmem_addr_t mp_base;		/* [I] */
	uint64_t mp_pages;		/* [I] */
	uint32_t mp_index;		/* [I] in pg_maps, from 1 */
	uint32_t mp_trap;		/* [I] in trap.c's table */
	bool mp_mmu;			/* [I] pages are in the address space */
	pte_t *mp_ptes;			/* [I] mp_pages of them; [a] */
	atomic_uchar *mp_used;		/* [a] 1: the chunk has had entries, so
					 * that walks skip what never was */
	_Atomic uint64_t mp_registered;	/* [a] pages */
	_Atomic uint64_t mp_entries;	/* [a] registered ranges */
	struct count_shard mp_count[COUNT_SHARDS]; /* [a] */
};

/* ---- eviction -------------------------------------------------------------*/

#define EVICT_BATCH 16u	/* pages chosen under pg_lock at a time */

struct victim {
	struct vmpager_map *vi_map;
	uint64_t vi_page;
	uint64_t vi_pte;	/* as claimed: dirty or not */
	uint32_t vi_frame;
	uint32_t vi_slot;	/* it has, or gets, or NO_SLOT: of zeros */
	bool vi_fresh;		/* the slot was taken for this eviction */
	bool vi_written;	/* it is in its slot */
	const char *vi_bytes;	/* what to write: from md_revoke() */
};

/* One round of eviction: what is wanted, and what came of it. */
struct evict {
	struct victim ev_victim[EVICT_BATCH];
	unsigned int ev_want;	/* at most EVICT_BATCH */
	unsigned int ev_count;	/* claimed */
	unsigned int ev_freed;	/* frames given to the free list */
	uint32_t ev_slot;	/* offered by the caller; NO_SLOT once used */
	int ev_error;		/* of writing: 0, ENOSPC or EIO */
};

/* Unchanged: no frame was taken or given back, and no slot given back. */
struct stillness {
	uint64_t sl_head;	/* fp_head, whose tag only grows */
	uint64_t sl_changes;	/* of magazines */
	uint64_t sl_frees;	/* sw_frees */
};

enum evict_verdict {
	EVICT_TAKEN,		/* claimed, and a victim */
	EVICT_SPARED,		/* referenced; the bit is cleared now */
	EVICT_NOT		/* no page, in use, or nowhere to put it */
};

/*
 * A replacement policy: which resident pages to evict.  rp_select is called
 * with pg_lock held, and offers frames to evict_claim() until ev_want are taken
 * or it has done what is reasonable.  rp_insert and rp_remove (either may be NULL)
 * tell it of frames that get and lose a page.  They are called with the page
 * claimed and without the lock, by faults that would rather not take it.  A page
 * leaves on trial if its coming back soon would prove that it should have been
 * kept (rp_remove says so); `proven` is one that did.
 */
struct replace {
	const char *rp_name;
	void (*rp_start)(struct vmpager *pg);	/* pg_lock held; or NULL */
	void (*rp_select)(struct vmpager *pg, struct evict *ev);
	void (*rp_insert)(struct vmpager *pg, uint32_t frame, bool proven);
	bool (*rp_remove)(struct vmpager *pg, uint32_t frame);	/* on trial? */
};

/* What the policies keep of frames: replace.c. */
enum queue_kind { QUEUE_NONE, QUEUE_SMALL, QUEUE_MAIN };
#define QUEUES 3

struct queue {
	uint32_t qu_first, qu_last;	/* frames, or NO_FRAME */
	uint32_t qu_count;
};

struct queue_link {
	uint32_t ql_next, ql_prev;
	enum queue_kind ql_queue;
	bool ql_trial;		/* the last queue that it was in was the small */
	unsigned int ql_worth;	/* accesses to its credit */
};

struct replace_state {
	_Atomic uint64_t *rs_ghost;	/* [a] hash, on trial, its eviction:
					 * 31, 1 and 32 bits */
	unsigned int rs_ghost_shift;	/* [I] of a hash, to its place */
	_Atomic uint32_t rs_evictions;	/* [a] the clock of ages */
	_Atomic uint32_t *rs_stamp;	/* [a] 2-random, by frame */
	uint64_t rs_random;		/* [L] */
	struct queue rs_queue[QUEUES];	/* [L] S3-FIFO */
	struct queue_link *rs_links;	/* [L] by frame */
};

/* ---- modes ----------------------------------------------------------------
 *
 * A fault mode: how a page's bytes get from the pager to whoever uses them.
 * "Run" is a run of adjacent pages, at most CLUSTER_PAGES, all claimed by the
 * caller.  In the modes of the MMU a page is present in the address space, and
 * writable there only if it counts as dirty.
 *
 *	md_room		where the bytes of a run are to be put
 *	md_enter	make them the pages': from `room`, or NULL: zeros.  Not
 *			writable unless `write`.  0; ENOMEM: nothing is done
 *	md_revoke	of victims that form a run: from now on nobody changes
 *			them, and they can be read at vi_bytes.  0 or ENOMEM
 *	md_drop		a run of those: take them away
 *	md_restore	or give one back, writable
 *	md_discard	take a run away without having looked at it
 *	md_bytes	where a resident page is
 *	md_upgrade	a resident page, and pinned, is dirty from now on: let
 *			it be written to.  0 or ENOMEM
 */
struct run {
	struct vmpager_map *rn_map;
	uint64_t rn_first;	/* page */
	unsigned int rn_count;
	uint32_t rn_frame[CLUSTER_PAGES];
	uint64_t rn_pte[CLUSTER_PAGES];	/* as claimed */
};

struct mode {
	const char *md_name;
	bool md_mmu;		/* pages are in the address space */
	bool md_clusters;	/* neighbours are worth evicting others for */
	int md_signal;		/* how the CPU's faults get here, or 0 */
	int (*md_probe)(const char **why);	/* 0 or ENOTSUP */
	int (*md_init)(struct vmpager *pg, uint64_t frames);
	void (*md_fini)(struct vmpager *pg);
	int (*md_map_init)(struct vmpager_map *mp);	/* 0 or an errno */
	void (*md_map_fini)(struct vmpager_map *mp);
	char *(*md_room)(struct vmpager *pg, const struct run *rn, char *bounce);
	int (*md_enter)(const struct run *rn, const char *room, bool write);
	int (*md_revoke)(struct vmpager *pg, struct victim *vi, unsigned int n);
	void (*md_drop)(struct vmpager *pg, struct victim *vi, unsigned int n);
	void (*md_restore)(struct vmpager *pg, struct victim *vi);
	void (*md_discard)(
	    struct vmpager_map *mp, uint64_t page, unsigned int n);
	void *(*md_bytes)(
	    struct vmpager_map *mp, uint64_t page, uint32_t frame);
	int (*md_upgrade)(struct vmpager_map *mp, uint64_t page);
};
extern const struct mode mode_software;
extern const struct mode mode_uffd;
extern const struct mode mode_uffd_thread;
extern const struct mode mode_sigsegv;

/* support.c: 0, ENOTSUP (probed once) or EINVAL. */
int mode_find(enum vmpager_mode mode, const struct mode **modep);

/*
 * Wired memory that bytes pass through on their way between swap and pages of
 * the MMU: a cluster's worth for each fault under way.  More faults than
 * BOUNCES wait for one another.
 */
#define BOUNCES 16u

struct bounce {
	char *bn_bytes;			/* [I] CLUSTER_BYTES each */
	const char *bn_zeros;		/* [I] CLUSTER_BYTES of them */
	_Atomic uint32_t bn_taken;	/* [a] a bit each */
};

struct latency {
	struct hist lt_hist;		/* by who has set lt_taken */
	atomic_bool lt_taken;
};

/* ---- the pager ------------------------------------------------------------*/

struct vmpager {
	const struct mode *pg_mode;		/* [I] */
	_Atomic(const struct replace *) pg_replace; /* [a] set under [L] */
	struct frame_pool pg_pool;
	struct swap pg_swap;
	struct bounce pg_bounce;	/* modes of the MMU */
	int pg_fd;		/* [I] uffd; or /proc/self/mem; or -1 */
	int pg_stop_fd;		/* [I] uffd-thread: ends vmpager_serve() */
	uint32_t pg_without;	/* [I] features not to be used: pc_without */
	bool pg_move;		/* [I] uffd: UFFDIO_MOVE is there */
	_Atomic uint32_t pg_servers;	/* [a] threads in vmpager_serve() */
	_Atomic uintptr_t pg_faulter;	/* [a] who faulted last, and ... */
	_Atomic uint32_t pg_crowd;	/* [a] ... for how many faults more that
					 * counts as several: fault_alone() */
	uint64_t pg_capacity;	/* [I] frames + slots: strict's limit */
	_Atomic uint64_t pg_commit; /* [a] registered pages * 2 + (strict) */
	_Atomic uint64_t pg_entries; /* [a] registered ranges */
	_Atomic uint64_t pg_begun; /* [a] (un)registrations begun, ... */
	_Atomic uint64_t pg_done; /* [a] ... and ended: see check.c */
	_Atomic uint64_t pg_no_frames; /* [a] accesses refused */
	_Atomic uint64_t pg_held; /* [a] pages with PTE_HELD */
	struct lock pg_lock;	/* rank LOCK_PAGER; guards replacement and the
				 * table of maps */
	struct replace_state pg_policy;
	struct stillness pg_hopeless; /* [L] when evict_hopeless() was so */
	uint32_t pg_hand;	/* [L] the clock's */
	uint64_t pg_scanned;	/* [L] frames that policies looked at */
	uint64_t pg_reactivated; /* [L] of them spared */
	struct latency *pg_latency; /* [I] VMPAGER_FAULTS of them */
	struct counts pg_retired; /* [L] of the maps destroyed */
	uint32_t pg_maps_high;	/* [L] the highest number ever given */
	struct vmpager_map *pg_maps[MAPS_MAX + 1]; /* [L] by number, from 1; an
				 * entry lasts while a claim on a page does */
};

#define COMMIT_STRICT ((uint64_t)1)
#define COMMIT_PAGE ((uint64_t)2)

/* pager.c: memory for the pager's own use, zero and from mmap(2) only. */
void *pager_mmap(size_t len, int flags);	/* NULL: ENOMEM */
void pager_munmap(void *mem, size_t len);	/* NULL is ignored */
/* Make the kernel provide the memory of a range now, zero; ENOMEM. */
int pager_populate(char *mem, size_t len);
void count_add(struct vmpager_map *mp, enum count kind);

/* map.c */
static inline uint64_t
map_owner(const struct vmpager_map *mp, uint64_t page)
{
	return ((uint64_t)mp->mp_index << OWNER_MAP_SHIFT | page);
}

/* Where a page is, in the modes of the MMU. */
static inline char *
map_address(const struct vmpager_map *mp, uint64_t page)
{
	return ((char *)(uintptr_t)(mp->mp_base + (page << PAGE_SHIFT)));
}

/* The pages [*firstp, *firstp + *countp) that [addr, addr + len) meets; EFAULT
 * if it isn't inside the map.  len is not 0. */
static inline int
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

bool map_registered(struct vmpager_map *mp, uint64_t first, uint64_t count);
/* Has the chunk of entries that `page` is in ever been stored to? */
bool map_chunk_used(const struct vmpager_map *mp, uint64_t page);
uint64_t map_chunk_end(const struct vmpager_map *mp, uint64_t page);
void map_count_sum(const struct vmpager_map *mp, struct counts *c);

/* pte.c */
/* Claim: from exactly `pte` to `state`.  The claimant alone may change it. */
bool pte_claim(pte_t *ptep, uint64_t pte, enum pte_state state);
/* End a claim: leave `pte` (its shared bits are kept), and wake who waits. */
void pte_settle(pte_t *ptep, uint64_t pte);
/* End a claim by unregistering; returns whether it was the first of a range. */
bool pte_clear(pte_t *ptep);
/* Wait until the entry is no longer as `pte`: that is BUSY, or pinned. */
void pte_wait(pte_t *ptep, uint64_t pte);
/* Take back a pin. */
void pte_unpin(pte_t *ptep);

/* frame.c */
/* Frames have memory; or addresses for it, which the mode gives and takes; or
 * are numbers only. */
enum frame_memory { FRAME_POPULATED, FRAME_STAGED, FRAME_NUMBERS };
int frame_pool_init(struct frame_pool *fp, uint64_t bytes, bool reserve,
    enum frame_memory memory);
void frame_pool_fini(struct frame_pool *fp);
/* Take a frame, leaving at least `keep` (count the reserve in); NO_FRAME. */
uint32_t frame_get(struct frame_pool *fp, uint32_t keep);
/* The same of up to `want`; returns how many. */
uint32_t frame_get_many(struct frame_pool *fp, uint32_t keep, uint32_t *frames,
    uint32_t want);
void frame_put(struct frame_pool *fp, uint32_t frame);
/* Frames in magazines, and how often those have changed. */
uint32_t frame_cached(const struct frame_pool *fp, uint64_t *changesp);
/* Have all that is in magazines on the free list; false: nothing was. */
bool frame_drain(struct frame_pool *fp);
uint32_t frame_free_count(const struct frame_pool *fp);	/* without reserve */
/* One access's waiting for a frame; zero to begin with. */
struct frame_wait {
	uint64_t fw_deadline;
	unsigned int fw_naps;
};
/* Sleep for a moment, or until there may be a free frame.  False: it has taken
 * too long already. */
bool frame_wait(struct frame_pool *fp, struct frame_wait *fw);

static inline uint32_t
frame_total(const struct frame_pool *fp)
{
	return (fp->fp_bound + fp->fp_reserve);
}

static inline char *
frame_bytes(const struct frame_pool *fp, uint32_t frame)
{
	return (fp->fp_bytes + ((size_t)frame << PAGE_SHIFT));
}

/* swap.c */
int swap_init(struct swap *sw, const char *path, uint64_t bytes);
void swap_fini(struct swap *sw);
uint32_t swap_alloc(struct swap *sw);	/* NO_SLOT: full */
void swap_free(struct swap *sw, uint32_t slot);
/* Go on looking for free slots somewhere else than there. */
void swap_avoid(struct swap *sw, uint32_t slot);
bool swap_taken(struct swap *sw, uint32_t slot);
static inline size_t
swap_words(uint32_t slots)
{
	return (((size_t)slots + SWAP_WORD_BITS - 1) / SWAP_WORD_BITS);
}
/* Write a page to its slot, stamped as the owner's; 0, ENOSPC or EIO.  `ahead` is the
 * page that the next call will write, or NULL. */
int swap_write(struct swap *sw, uint32_t slot, uint64_t owner,
    const char *bytes, const char *ahead);
/* Read one back.  EIO: it couldn't be read, now.  EBADMSG: it isn't the page
 * (generation) that it ought to be, or not its bytes, or not all of them. */
int swap_read(struct swap *sw, uint32_t slot, uint64_t owner, uint32_t gen,
    char *bytes);
/* The generation of what a slot holds, as page table entries have it. */
uint32_t swap_gen(const struct swap *sw, uint32_t slot);

/* evict.c */
enum evict_verdict evict_claim(struct vmpager *pg, uint32_t frame,
    struct evict *ev) REQUIRES(pg->pg_lock);
/* The same, but it isn't claimed: EVICT_TAKEN is one that could be. */
enum evict_verdict evict_look(struct vmpager *pg, uint32_t frame)
    REQUIRES(pg->pg_lock);
/* Once in a number of steps: let others have the lock for a moment. */
void evict_yield(struct vmpager *pg, uint64_t steps) REQUIRES(pg->pg_lock);
/* Evict up to ev_want pages; fills in the rest of *ev. */
void evict_frames(struct vmpager *pg, struct evict *ev);
/* Evict this page, which was in that frame; 1, or 0 if it is in use or can't be
 * written (*errorp is the errno of that, or 0). */
uint64_t evict_page(struct vmpager_map *mp, uint64_t page, uint32_t frame,
    int *errorp);
/* Is every frame's page dirty, with no slot to go to?  False also if it can't
 * be told because something moves: then it is worth waiting for. */
bool evict_hopeless(struct vmpager *pg);

/* replace.c */
int replace_init(struct vmpager *pg);
void replace_fini(struct vmpager *pg);
/* A frame has got, or lost, a page. */
static inline void
replace_inserted(struct vmpager *pg, uint32_t frame, bool proven)
{
	const struct replace *rp = atomic_load(&pg->pg_replace);

	if (rp->rp_insert != NULL)
		rp->rp_insert(pg, frame, proven);
}

static inline bool
replace_removed(struct vmpager *pg, uint32_t frame)
{
	const struct replace *rp = atomic_load(&pg->pg_replace);

	return (rp->rp_remove != NULL && rp->rp_remove(pg, frame));
}

void ghost_add(struct vmpager *pg, uint64_t owner, bool trial);
/* Has the page been evicted of late?  And was it on trial? */
bool ghost_has(struct vmpager *pg, uint64_t owner, bool *trialp);

/* fault.c */
/* Has no other thread faulted of late?  Then unmapping a page costs no
 * interruption of another CPU. */
bool fault_alone(struct vmpager *pg);
/* A fault of the CPU at an address of the map; an errno of vmpager.h. */
int fault_trap(struct vmpager_map *mp, vmem_addr_t addr, bool write);

/* bounce.c */
int bounce_init(struct bounce *bn);
void bounce_fini(struct bounce *bn);
char *bounce_get(struct bounce *bn);
void bounce_put(struct bounce *bn, char *bytes);

/* trap.c */
/* The map that has the address, or NULL. */
struct vmpager_map *trap_find(uint64_t addr);
/* Have faults of the map's addresses served; ENOMEM: too many maps. */
int trap_add(struct vmpager_map *mp);
void trap_remove(struct vmpager_map *mp);
/* Install the handler of a signal, unless it is; 0 or an errno. */
int trap_install(int signal);

#endif /* PAGER_IMPL_H */
