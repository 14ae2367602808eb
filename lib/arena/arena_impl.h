/*
 * arena_impl.h - what the files of lib/arena share.  The theory is at the head
 * of arena.c; each file's own at its head.
 *
 * Letters at fields: [I] constant after creation, [L] vm_lock, [P] the tag
 * pool's lock, [T] the arena list's lock, [a] atomic.
 */
#ifndef ARENA_IMPL_H
#define ARENA_IMPL_H

#include <stdatomic.h>
#include <sys/queue.h>

#include <vmem.h>

#include "util/assert.h"
#include "util/lock.h"

/* ---- boundary tags (tag.c) -------------------------------------------- */

/*
 * A boundary tag: one segment, one span, or the head of an arena's list.  Two
 * to a cache line, for footprint is speed: a tag is found by a random access.
 * Links are indexes into one table; 28 bits of them name 2^28 tags (8 GiB).
 */
#define TAG_INDEX_BITS 28
#define TAG_INDEX_MASK ((1u << TAG_INDEX_BITS) - 1)
#define TAG_NIL 0u /* index 0 is never handed out */

enum tag_type {
	TAG_UNUSED,
	TAG_FREE,	  /* a free segment */
	TAG_BUSY,	  /* an allocated one */
	TAG_SPAN_STATIC,  /* a span added by the arena's owner */
	TAG_SPAN_IMPORTED, /* one that goes back to the source when free */
	TAG_HEAD	  /* before the first span, after the last segment */
};

/* bt_state of a free segment. */
#define TAG_UNINDEXED 0u
#define TAG_INDEXED 1u /* its address is in vm_freetree */
#define TAG_PENDING 2u /* ... or will be: it is in fl_pending[slot] */
/* bt_state of an allocated one: 0, or */
#define TAG_CACHED 3u /* free, but held by a quantum cache (VM_CHECK) */

struct tag {
	uint64_t bt_start;
	uint64_t bt_size;
	uint32_t bt_prev : TAG_INDEX_BITS, /* neighbours by address */
	    bt_type : 4;
	uint32_t bt_next : TAG_INDEX_BITS, bt_state : 2, bt_slot_hi : 2;
	uint32_t bt_link : TAG_INDEX_BITS, /* free: next in the bin, or left */
	    bt_slot_lo : 4;
	uint32_t bt_back : TAG_INDEX_BITS, /* free: previous, or right */
	    bt_slot_mid : 2, bt_balance : 2;
};
_Static_assert(sizeof(struct tag) == 32, "two tags to a cache line");

extern struct tag *tag_table;

static inline struct tag *
TAG(uint32_t index)
{
	return (&tag_table[index]);
}

static inline bool
tag_is_span(const struct tag *bt)
{
	return (bt->bt_type >= TAG_SPAN_STATIC);
}

/* Last address of a segment or span: never wraps. */
static inline uint64_t
tag_last(const struct tag *bt)
{
	return (bt->bt_start + (bt->bt_size - 1));
}

/* Units of 512 bytes from the tags' table: nodes of trees, magazines. */
#define TAGS_PER_UNIT 16u

enum pool_kind { POOL_TAGS, POOL_UNITS, POOL_KINDS };

/* Most an operation takes: an import (2) and a split (2). */
#define TAGS_PER_OP 4u
/* Nodes one insertion can take: one a level and a root. */
#define NODES_PER_OP 8u
/* An arena's own stock: refilled below _LOW to _FILL, drained above _HIGH. */
#define TAGS_FILL 32u
#define TAGS_HIGH 128u
#define NODES_FILL 16u
#define NODES_HIGH 48u
/* An operation removes from trees thrice at most, 14 levels each. */
#define NODES_MAX (NODES_HIGH + 48u)

unsigned int pool_get(enum pool_kind kind, uint32_t *units, unsigned int want);
void pool_put(enum pool_kind kind, const uint32_t *units, unsigned int count);
void *unit_ptr(uint32_t unit);

int pool_open(bool bootstrap);
int tags_refill(struct vmem *vm);
void tags_drain(struct vmem *vm);
void tags_return_all(struct vmem *vm);

/* Memory for arenas and hash tables: page-sized, zero, from meta or mmap. */
void *meta_alloc(size_t size);
void meta_free(void *ptr, size_t size);

/* ---- ordered by address (addrtree.c) ----------------------------------- */

struct addrtree {
	uint32_t at_root;	/* a unit, or TAG_NIL */
	uint32_t at_depth;	/* levels, 0 when empty */
	uint64_t at_count;	/* entries */
};

int addrtree_insert(struct vmem *vm, struct addrtree *at, uint32_t tag);
void addrtree_remove(struct vmem *vm, struct addrtree *at, uint64_t start);
void addrtree_change(struct addrtree *at, uint64_t start, uint64_t newstart,
    uint64_t newsize);
/* First entry from `from` on, last up to `upto`, of at least `size`. */
uint32_t addrtree_first(
    const struct addrtree *at, uint64_t from, uint64_t size);
uint32_t addrtree_last(const struct addrtree *at, uint64_t upto, uint64_t size);
void addrtree_fini(struct vmem *vm, struct addrtree *at);
const char *addrtree_check(const struct addrtree *at);

/* ---- ordered by size (sizetree.c) -------------------------------------- */

void sizetree_insert(uint32_t *root, uint32_t tag);
void sizetree_remove(uint32_t *root, uint32_t tag);
uint32_t sizetree_lower(uint32_t root, uint64_t size); /* smallest >= size */
uint32_t sizetree_max(uint32_t root);
uint32_t sizetree_next(uint32_t root, uint32_t tag);
const char *sizetree_check(uint32_t root, uint64_t *countp);

/* ---- free segments (freelist.c) ---------------------------------------- */

/*
 * Segments of up to FL_EXACT quanta have a bin for each size.  4096 = 64 * 64:
 * a bitmap of two levels, two words to search.
 */
#define FL_EXACT 4096u
#define FL_WORDS (FL_EXACT / 64)
/* Insertions into the address tree that are put off: the slot has 8 bits. */
#define FL_PENDING 256u

struct freelist {
	uint64_t fl_summary;		 /* bit w: fl_bits[w] isn't 0 */
	uint64_t fl_bits[FL_WORDS];	 /* bit: that bin isn't empty */
	uint32_t fl_bin[FL_EXACT];	 /* head of the list of size i+1 */
	uint32_t fl_large;		 /* sizetree of the larger ones */
	uint32_t fl_largest;		 /* the largest of them, cached */
	uint64_t fl_count;		 /* free segments */
	uint64_t fl_unindexed;		 /* neither indexed nor pending */
	uint32_t fl_pending[FL_PENDING]; /* ring of tags yet to be indexed */
	unsigned int fl_hand;		 /* where the next one goes */
};

void fl_insert(struct vmem *vm, uint32_t tag);
void fl_remove(struct vmem *vm, uint32_t tag);
void fl_change(struct vmem *vm, uint32_t tag, uint64_t start, uint64_t size);
uint32_t fl_best(const struct vmem *vm, uint64_t size);
uint32_t fl_after(const struct vmem *vm, uint32_t tag);
uint64_t fl_max(const struct vmem *vm);
int fl_index_all(struct vmem *vm);
const char *fl_check(struct vmem *vm);

/* ---- allocated segments (hash.c) --------------------------------------- */

struct hashline;

struct hashtable {
	struct hashline *ht_line;
	uint64_t ht_lines;
};

/* An entry found: valid until the next insertion or removal. */
struct hashplace {
	struct hashtable *hp_table;
	uint64_t hp_home, hp_line;
	unsigned int hp_slot;
	uint32_t hp_tag;
};

struct hash {
	struct hashtable hs_now;  /* where entries go */
	struct hashtable hs_old;  /* being emptied into hs_now, or none */
	uint64_t hs_moved;	  /* home buckets of hs_old emptied so far */
	uint64_t hs_seed;	  /* of the keys */
	uint64_t hs_count;	  /* entries */
	uint64_t hs_grow_above;	  /* counts beyond which to resize */
	uint64_t hs_shrink_below;
	bool hs_busy;		  /* somebody resizes it, without the lock */
};

int hash_init(struct vmem *vm);
void hash_fini(struct vmem *vm);
int hash_insert(struct vmem *vm, uint32_t tag);
bool hash_find(struct vmem *vm, uint64_t start, struct hashplace *hp);
void hash_remove(struct vmem *vm, const struct hashplace *hp);
void hash_resize(struct vmem *vm);   /* no lock held */
void hash_step(struct vmem *vm);
uint64_t hash_bytes(const struct vmem *vm);

static inline bool
hash_wants_resize(const struct hash *hs)
{
	return (hs->hs_count > hs->hs_grow_above ||
	    hs->hs_count < hs->hs_shrink_below);
}

/* ---- constraints (fit.c) ----------------------------------------------- */

struct fit {
	uint64_t ft_size;	/* rounded up to the quantum */
	uint64_t ft_quantum;
	uint64_t ft_align;	/* at least the quantum */
	uint64_t ft_phase;
	uint64_t ft_nocross;	/* 0: none */
	uint64_t ft_min, ft_max; /* inclusive */
	vm_flag_t ft_policy;	/* one of VM_FITMASK */
	bool ft_plain;		/* size only */
	bool ft_window;		/* min or max given */
};

int fit_init(const struct vmem *vm, struct fit *ft, uint64_t size,
    uint64_t align, uint64_t phase, uint64_t nocross, uint64_t minaddr,
    uint64_t maxaddr, vm_flag_t flags);
bool fit_low(const struct fit *ft, uint64_t first, uint64_t last, uint64_t *ap);
bool fit_high(
    const struct fit *ft, uint64_t first, uint64_t last, uint64_t *ap);
uint64_t fit_sure(const struct fit *ft);

/* ---- the arena ---------------------------------------------------------- */

#define VMEM_DEPTH_MAX 16 /* arenas from a leaf to its root */

struct qcache;

struct vmem {
	/* Constant after creation [I]. */
	char vm_name[VMEM_NAME_MAX];
	uint64_t vm_id;			/* in order of creation */
	uint64_t vm_quantum;
	unsigned int vm_shift;		/* log2 of the quantum */
	vm_flag_t vm_flags;		/* of creation; the policy among them */
	vmem_ximport_t *vm_import;
	vmem_import_t *vm_import_exact;
	vmem_release_t *vm_release;
	void *vm_source;
	struct vmem *vm_parent;		/* vm_source, if it is an arena */
	uint64_t vm_qcache_max;
	struct qcache *vm_qcache;	/* an array, one for each size */
	unsigned int vm_qcache_count;

	_Alignas(64) struct lock vm_lock;
	uint32_t vm_head;		/* [L] tag: the list's head */
	uint32_t vm_tags;		/* [L] stock of tags, by bt_link */
	unsigned int vm_ntags;		/* [L] */
	unsigned int vm_nnodes;		/* [L] stock of nodes */
	uint32_t vm_nodes[NODES_MAX];	/* [L] */
	uint64_t vm_size;		/* [L] bytes in spans */
	uint64_t vm_inuse;		/* [L] bytes allocated */
	uint64_t vm_limit;		/* [L] 0: none */
	uint64_t vm_nspans;		/* [L] */
	uint64_t vm_cursor;		/* [L] next fit goes on here */
	uint64_t vm_generation;		/* [L] changes of the segments */
	uint64_t vm_freed;		/* [L] times space was gained */
	uint64_t vm_tags_used;		/* [L] in the list of segments */
	struct addrtree vm_freetree;	/* [L] free segments by address */
	struct addrtree vm_spantree;	/* [L] spans by address */
	struct hash vm_hash;		/* [L] allocated ones by address */
	vmem_reclaim_t *vm_reclaim;	/* [L] */
	void *vm_reclaim_arg;		/* [L] */

	/* Counters [L], but for those that caches keep. */
	uint64_t vm_allocs, vm_frees, vm_fails, vm_waits;
	uint64_t vm_imports, vm_releases, vm_lookups;

	/* Requests that wait (wait.c). */
	struct vmem_request *vm_wait_root; /* [L] the queue (waitq.c) */
	uint64_t vm_waiting;		    /* [L] */
	uint64_t vm_ticket;		    /* [L] of the last that came */
	unsigned int vm_overtaken;	    /* [L] times the first of them was */
	atomic_uint vm_waiters_below;	/* [a] waiting here or in descendants;
					 * pairs with itself, a hint */

	/* The tree of arenas [T]. */
	TAILQ_ENTRY(vmem) vm_list;
	unsigned int vm_children;
	atomic_uint vm_pins;		/* [a] visitors; destroy waits */

	struct freelist vm_free;	/* [L] last: it is large */
};

/* arena.c */
/* 0: vm_lock is held, tags are there. */
int arena_enter(struct vmem *vm) TRY_ACQUIRE(0, vm->vm_lock);
int arena_enter_indexed(struct vmem *vm) TRY_ACQUIRE(0, vm->vm_lock);
void arena_enter_free(struct vmem *vm) ACQUIRE(vm->vm_lock);
void arena_enter_look(struct vmem *vm) ACQUIRE(vm->vm_lock);
int arena_get_at(struct vmem *vm, uint64_t addr, uint64_t size, bool refill);
void arena_leave(struct vmem *vm) RELEASE(vm->vm_lock);
uint32_t arena_find(struct vmem *vm, const struct fit *ft, uint64_t *addrp);
int arena_take(struct vmem *vm, const struct fit *ft, uint64_t *addrp);
int arena_get(struct vmem *vm, const struct fit *ft, uint64_t *addrp);
void arena_put(struct vmem *vm, uint64_t addr, uint64_t size, const char *who);
void arena_put_cached(struct vmem *vm, uint64_t addr, uint64_t size);
void arena_put_quietly(
    struct vmem *vm, uint64_t addr, uint64_t size, const char *who);
uint32_t tag_take(struct vmem *vm);
void tag_give(struct vmem *vm, uint32_t index);
void list_insert_after(uint32_t at, uint32_t tag);
void list_remove(uint32_t tag);
void arena_hash_get(struct vmem *vm, uint64_t addr, uint64_t size,
    const char *who, struct hashplace *hp);

/* span.c */
int span_add_locked(struct vmem *vm, uint64_t addr, uint64_t size,
    enum tag_type type, uint32_t *freep);
int span_import(struct vmem *vm, const struct fit *ft, uint64_t *addrp);
bool span_detach(struct vmem *vm, uint32_t freetag, uint64_t *addrp,
    uint64_t *sizep);
void arenas_add(struct vmem *vm);
void arenas_remove(struct vmem *vm);
struct vmem *arenas_next(const struct vmem *root, uint64_t after);
int arenas_set_parent(struct vmem *vm, struct vmem *parent);
void arenas_count_waiting(struct vmem *vm, int sign);
void arena_unpin(struct vmem *vm);

/* walk.c */
uint32_t arena_seek(struct vmem *vm, uint64_t addr);

/* waitq.c */
void waitq_append(struct vmem *vm, struct vmem_request *vr);
void waitq_remove(struct vmem *vm, struct vmem_request *vr);
void waitq_serving(struct vmem_request *vr, bool serving);
struct vmem_request *waitq_first(const struct vmem *vm);
struct vmem_request *waitq_next(
    const struct vmem *vm, uint64_t ticket, uint64_t size);

/* sleep.c */
int wait_sleep(struct vmem *vm, struct vmem_request *vr,
    const struct timespec *deadline);

/* wait.c */
void wait_serve(struct vmem *vm);
void wait_serve_tree(struct vmem *vm);	/* after space was gained */
void wait_gain_own(struct vmem *vm);
void wait_surplus(struct vmem *vm);
uint64_t wait_mark(void);
void wait_return(struct vmem *vm, uint64_t addr, uint64_t size, uint64_t mark);

#define VM_POLICY(vm, flags)                                                  \
	(((flags) & VM_FITMASK) != 0 ? ((flags) & VM_FITMASK) :               \
				       ((vm)->vm_flags & VM_FITMASK))

#endif /* ARENA_IMPL_H */
