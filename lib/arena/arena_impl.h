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

#include "qcache/rseq.h"
#include "util/assert.h"
#include "util/lock.h"
#include "util/nofault.h"

/*
 * The sizes of the structures below may be given otherwise on the compiler's
 * command line: tests/unit/tiny.am makes all of them tiny, so that what happens
 * at their borders happens all the time.  An array's length is what its unit has
 * room for (..._PLACES), how much of it is used may be less.
 */

/* ---- units of memory (unit.c) ------------------------------------------ */

/*
 * All that an arena remembers is in units of 512 bytes from one table of
 * address space, so that a reference is 23 bits: 2^23 units, 4 GiB, room for
 * 3 * 10^8 segments.  Unit 0 is never handed out.
 */
#ifndef UNIT_BITS
#define UNIT_BITS 23u
#endif
#define UNIT_BYTES 512u
#define UNIT_NIL 0u

extern char *unit_table;

static inline void *
UNIT(uint32_t unit)
{
	return (unit_table + (size_t)unit * UNIT_BYTES);
}

/* The stock of an arena: refilled below vm_low (see arena_low()) to that and
 * _FILL more, drained above that and _HIGH more. */
#define UNITS_FILL (2 * BIN_UNITS)
#define UNITS_HIGH 40u
/* The most that arena_low() comes to; and room for what one operation gives
 * back.  That is most where a free is the end of a span: five rows (two joined
 * with what becomes free, two with the gap, and a sparse one), their places in
 * the tree, the span's place in its own, and what four bins shrink by. */
#define UNITS_LOW_MAX (3 * ADDRTREE_LEVELS + 7 + BIN_UNITS)
#define UNITS_BACK_MAX (5 + 6 * ADDRTREE_LEVELS + 4 * BIN_UNITS)
#define UNITS_MAX (UNITS_LOW_MAX + UNITS_HIGH + UNITS_BACK_MAX)

unsigned int pool_get(uint32_t *units, unsigned int want);
void pool_inject(uint64_t first, uint64_t count, bool scarce);
uint64_t pool_calls(void);
void pool_put(const uint32_t *units, unsigned int count);

int pool_open(bool bootstrap);
bool pool_ready(void);
int units_refill(struct vmem *vm);
void units_drain(struct vmem *vm);
void units_return_all(struct vmem *vm);
static inline bool units_at_hand(const struct vmem *vm, unsigned int count);
static inline uint32_t unit_take(struct vmem *vm);
static inline void unit_give(struct vmem *vm, uint32_t unit);

/* Memory for arenas and caches: page-sized, zero, from meta or mmap. */
bool meta_is(const struct vmem *vm);
void *meta_alloc(size_t size);
void meta_free(void *ptr, size_t size);

/* ---- what is due --------------------------------------------------------- */

/*
 * Units that have changed in a way that others need not know yet: rows (row.c,
 * 4), leaves (addrtree.c).  Each has its place in a ring, plus 1, in a field of
 * its own, or 0.  Rows of an arena with 10^4 segments are 400: most that change
 * are due already.
 */
#ifndef DUE_ROWS
#define DUE_ROWS 240u
#define DUE_LEAVES 64u
#define DUE_RETIRE 16u	/* the oldest, seen to when all places are in use */
#endif
_Static_assert(DUE_ROWS < UINT8_MAX && DUE_LEAVES < UINT8_MAX, "places");
_Static_assert(DUE_ROWS % DUE_RETIRE == 0 && DUE_LEAVES % DUE_RETIRE == 0,
    "whole batches");

struct due {
	unsigned int du_at;	/* the next one's place: always unused */
	unsigned int du_count;
};

/* If `is', the unit is due, if it isn't yet.  That can't be foretold, so there
 * is no branch.  true: DUE_RETIRE from du_at on are to be seen to at once. */
static inline bool
due_add(struct due *du, uint32_t *ring, unsigned int size, uint32_t unit,
    uint8_t *place, bool is)
{
	unsigned int at = du->du_at, due = is & (*place == 0);

	ring[at] = unit & (0 - due);
	*place = (uint8_t)(*place + ((at + 1) & (0 - due)));
	at += due;
	du->du_at = at = at == size ? 0 : at;
	du->du_count += due;
	return ((due & (at % DUE_RETIRE == 0)) != 0);
}

static inline void
due_drop(struct due *du, uint32_t *ring, uint8_t *place)
{
	if (*place == 0)
		return;
	ring[*place - 1] = UNIT_NIL;
	du->du_count--;
	*place = 0;
}

/* The newest before *at, or UNIT_NIL: where few are due, they aren't far. */
static inline uint32_t
due_newest(const struct due *du, const uint32_t *ring, unsigned int size,
    unsigned int *at)
{
	while (du->du_count > 0) {
		*at = (*at == 0 ? size : *at) - 1;
		if (ring[*at] != UNIT_NIL)
			return (ring[*at]);
	}
	return (UNIT_NIL);
}

/* ---- ordered by address (addrtree.c) ----------------------------------- */

struct addrtree {
	uint32_t at_root;	/* a unit, or UNIT_NIL */
	uint32_t at_depth;	/* levels, 0 when empty */
	uint64_t at_count;	/* entries */
};

struct addrentry {
	uint64_t ae_key;
	uint64_t ae_max;
	uint32_t ae_child;
};

/* A tree has no more levels: addrtree.c. */
#ifndef ADDRTREE_LEVELS
#define ADDRTREE_LEVELS 10u
#endif

void addrtree_insert(
    struct vmem *vm, struct addrtree *at, const struct addrentry *entry);
void addrtree_remove(struct vmem *vm, struct addrtree *at, uint64_t key);
void addrtree_change(
    struct vmem *vm, struct addrtree *at, uint64_t key, uint64_t newkey);
/* The first entry from `from` on, the last up to `upto`, whose max is at least
 * `size`. */
bool addrtree_first(const struct addrtree *at, uint64_t from, uint64_t size,
    struct addrentry *entry);
bool addrtree_last(const struct addrtree *at, uint64_t upto, uint64_t size,
    struct addrentry *entry);
uint64_t addrtree_max(const struct addrtree *at);
void addrtree_settle(struct vmem *vm);
void addrtree_fini(struct vmem *vm, struct addrtree *at);
const char *addrtree_check(const struct addrtree *at);

/* ---- boundary tags, in rows (row.c) ------------------------------------- */

#define ROW_PLACES 56u
#ifndef ROW_TAGS
#define ROW_TAGS ROW_PLACES
#endif
/* Starts in a row are less than this many quanta apart. */
#ifndef ROW_REACH
#define ROW_REACH (UINT64_C(0x7ffffffe))
#endif

/*
 * A boundary tag says where a segment begins and what it is; it ends where the
 * next begins.  So a tag is two words: an offset in the row, and these bits.
 */
#define TAG_FREE 0x80000000u	 /* a free segment */
#define TAG_SPAN 0x40000000u	 /* a span begins here */
#define TAG_IMPORTED 0x20000000u /* ... that goes back to the source */
#define TAG_LARGE 0x10000000u	 /* free: its place is a record of large.c */
#define TAG_BUSY 0x10000000u	 /* not free: allocated */
#define TAG_GAP 0x00000000u	 /* not free, nor allocated: in no span */
/* The place of a free segment: in its bin, or a record. */
#define TAG_PLACE 0x07ffffffu
#define PLACE_NONE TAG_PLACE	 /* in no bin: there was no memory for it */

struct row {
	uint32_t rw_prev;	/* neighbours by address, or UNIT_NIL */
	uint32_t rw_next;
	uint32_t rw_up;		/* the node of vm_rows with its entry */
	uint16_t rw_count;	/* tags */
	uint8_t rw_due;		/* 1 + its place in vm_due_row, or 0 */
	uint8_t rw_slot;	/* where in rw_up that entry was */
	uint64_t rw_base;	/* quanta: where the first segment begins */
	uint64_t rw_end;	/* quanta: where the last one ends, mod 2^64 */
	uint64_t rw_max;	/* quanta: what its leaf has as the largest free
				 * segment's size; it is, unless rw_due */
	uint64_t rw_free;	/* a bit for each tag of a free segment */
	uint8_t rw_hinted;	/* hint.c may name it */
	uint8_t rw_spare[15];
	int32_t rw_off[ROW_PLACES]; /* quanta from rw_base; INT32_MAX: unused */
	uint32_t rw_tag[ROW_PLACES];
};
_Static_assert(sizeof(struct row) == UNIT_BYTES, "a row is a unit");

static inline struct row *
ROW(uint32_t unit)
{
	return (UNIT(unit));
}

/*
 * A tag: valid until the next tag is inserted or removed.  Passed by value, for
 * who writes its halves and reads the whole waits for all writes before.
 */
struct place {
	uint32_t row;
	unsigned int slot;
};
#define PLACE_NIL ((struct place) { UNIT_NIL, 0 })

static inline bool
is_place(struct place p)
{
	return (p.row != UNIT_NIL);
}

static inline uint32_t
TAG(struct place p)
{
	return (ROW(p.row)->rw_tag[p.slot]);
}

static inline void
tag_set(struct place p, uint32_t tag)
{
	struct row *rw = ROW(p.row);
	uint64_t bit = UINT64_C(1) << p.slot;

	rw->rw_tag[p.slot] = tag;
	rw->rw_free = (rw->rw_free & ~bit) |
	    ((uint64_t)(tag >> 31) << p.slot);
}

/* Where its segment begins, and how large it is, in quanta. */
static inline uint64_t
tag_start(struct place p)
{
	const struct row *rw = ROW(p.row);

	return (rw->rw_base + (uint64_t)rw->rw_off[p.slot]);
}

static inline uint64_t
row_size(const struct row *rw, unsigned int slot)
{
	if (slot + 1 < rw->rw_count)
		return ((uint64_t)(rw->rw_off[slot + 1] - rw->rw_off[slot]));
	return (rw->rw_end - (rw->rw_base + (uint64_t)rw->rw_off[slot]));
}

static inline uint64_t
tag_size(struct place p)
{
	return (row_size(ROW(p.row), p.slot));
}

static inline bool
tag_is_busy(uint32_t tag)
{
	return ((tag & (TAG_FREE | TAG_BUSY)) == TAG_BUSY);
}

void rows_init(struct vmem *vm);
void rows_fini(struct vmem *vm);
struct place row_find(struct vmem *vm, uint64_t quantum);
bool tag_above(struct place p, struct place *above);
bool tag_below(struct place p, struct place *below);
struct place row_part(struct vmem *vm, struct place p, uint64_t start,
    uint64_t end, uint32_t tag, uint32_t rest);
void row_absorb(struct vmem *vm, struct place p, unsigned int n);
void rows_settle(struct vmem *vm);
void row_thin(struct vmem *vm, uint32_t row);
uint64_t row_max(const struct row *rw);

/* ---- free segments, by size (freelist.c, bin.c, large.c) ---------------- */

/*
 * Segments of up to FL_EXACT quanta have a bin for each size.  4096 = 64 * 64:
 * a bitmap of two levels, two words to search.
 */
#ifndef FL_EXACT
#define FL_EXACT 4096u
#endif
#define FL_WORDS (FL_EXACT / 64)
#ifndef BIN_INLINE
#define BIN_INLINE 3u
#endif

/* Free segments of one size: bin.c. */
struct bin {
	uint32_t bn_count;
	uint32_t bn_item[3];	/* more: a root, its depth, the last unit */
};
_Static_assert(BIN_INLINE <= 3, "bn_item");

/*
 * The bins of the smallest sizes are in the arena, the others in pieces, units
 * that come with their first item, and go back with others (fl_trim()): most
 * arenas have few sizes, and fit into a page with that.
 */
#ifndef BINS_SMALL
#define BINS_SMALL 32u
#endif
#define BINS_PIECE 32u
#define BIN_PIECES ((FL_EXACT - BINS_SMALL) / BINS_PIECE)
_Static_assert(BINS_PIECE * sizeof(struct bin) <= UNIT_BYTES,
    "a piece of the bins is a unit");

/* What the worst push needs: a new root, and the way down: bin.c. */
#ifndef BIN_UNITS
#define BIN_UNITS 4u
#endif

bool bin_push(struct vmem *vm, struct bin *bn, uint32_t item);
void bin_pop(struct vmem *vm, struct bin *bn);
uint32_t bin_last(struct bin *bn);
uint32_t *bin_item(struct bin *bn, uint32_t place);
bool bin_turns(uint32_t place);
void bin_fini(struct vmem *vm, struct bin *bn);

#define LARGE_NIL 0u

struct larges {
	uint32_t lg_root;	/* records by (size, start), or LARGE_NIL */
	uint32_t lg_open;	/* units with unused records: a list */
	uint64_t lg_count;
};

uint32_t large_insert(struct vmem *vm, struct larges *lg, uint64_t start,
    uint64_t size, uint32_t row);
void large_remove(struct vmem *vm, struct larges *lg, uint32_t record);
uint32_t large_lower(const struct larges *lg, uint64_t size);
uint64_t large_max(const struct larges *lg);
uint32_t large_next(const struct larges *lg, uint32_t record);
uint64_t large_size(uint32_t record);
uint32_t large_row(uint32_t record);
void large_move(uint32_t record, uint32_t row);
void large_fini(struct vmem *vm, struct larges *lg);
const char *large_check(const struct larges *lg);

struct freelist {
	uint64_t fl_summary;		 /* bit w: fl_bits[w] isn't 0 */
	uint64_t fl_bits[FL_WORDS];	 /* bit: that bin isn't empty */
	struct larges fl_large;		 /* the larger ones */
	uint64_t fl_largest;		 /* quanta, the largest of those, or 0 */
	uint64_t fl_count;		 /* free segments */
	uint64_t fl_strays;		 /* of them in no bin */
	uint64_t fl_stray_from;		 /* quanta: where to look for strays */
	struct bin fl_small[BINS_SMALL]; /* those of size i+1 */
	uint32_t fl_piece[BIN_PIECES];	 /* and on; UNIT_NIL: all are empty */
};

/* A bin by its number, size - 1.  Unit 0 is nobody's and all zero: so bins of a
 * piece that isn't there are found empty. */
static inline struct bin *
BIN(struct freelist *fl, unsigned int bin)
{
	if (__builtin_expect(bin < BINS_SMALL, 1))
		return (&fl->fl_small[bin]);
	bin -= BINS_SMALL;
	return ((struct bin *)UNIT(fl->fl_piece[bin / BINS_PIECE]) +
	    bin % BINS_PIECE);
}

static inline bool
bin_is_there(const struct freelist *fl, unsigned int bin)
{
	return (bin < BINS_SMALL ||
	    fl->fl_piece[(bin - BINS_SMALL) / BINS_PIECE] != UNIT_NIL);
}

void fl_insert(struct vmem *vm, struct place p);
void fl_remove(struct vmem *vm, struct place p);
void fl_moved(struct vmem *vm, struct place p);
struct place fl_best(struct vmem *vm, uint64_t size);
struct place fl_lowest(struct vmem *vm, uint64_t size, unsigned int ties);
struct place fl_after(struct vmem *vm, struct place p);
uint64_t fl_max(struct vmem *vm);
void fl_adopt(struct vmem *vm);
unsigned int fl_trim(struct vmem *vm, uint32_t *units);
void fl_fini(struct vmem *vm);
const char *fl_check_row(
    struct vmem *vm, uint32_t row, uint64_t *count, uint64_t *strays);
const char *fl_check(struct vmem *vm);

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
	bool ft_all;		/* look at all: find.c */
};

/* Segments that are looked at under constraints: find.c. */
#ifndef FIT_LOOKS
#define FIT_LOOKS VMEM_LOOKS_MAX
#endif
#ifndef INSTANT_LOOKS
#define INSTANT_LOOKS 64u
#endif
/* Of flags, with a request that another arena passes on: ft_all. */
#define VM_FIT_ALL 0x80000000u

int fit_init(const struct vmem *vm, struct fit *ft, uint64_t size,
    uint64_t align, uint64_t phase, uint64_t nocross, uint64_t minaddr,
    uint64_t maxaddr, vm_flag_t flags);
bool fit_low(const struct fit *ft, uint64_t first, uint64_t last, uint64_t *ap);
bool fit_high(
    const struct fit *ft, uint64_t first, uint64_t last, uint64_t *ap);
uint64_t fit_sure(const struct fit *ft);

/* ---- the arena ---------------------------------------------------------- */

#define VMEM_DEPTH_MAX 16 /* arenas from a leaf to its root */

struct qcaches;
struct slabs;

/* All that most operations need, in one line: lib/qcache/fast.h. */
struct front {
	struct rseq_front fr_rseq; /* rf_areas: [a] lib/qcache/drain.c */
	uint64_t fr_max;	/* [I] up to here by sequences; 0: never */
	uint64_t fr_checked_max; /* [I] likewise, in VM_CHECK arenas */
	const struct slabs *fr_slabs; /* [I] */
	unsigned int fr_shift;	/* [I] log2 of the quantum */
	uint64_t fr_inside;	/* [I] the quantum less one */
};

struct vmem {
	_Alignas(64) struct front vm_front;

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
	struct qcaches *vm_qcache;
	unsigned int vm_qcache_count;
	atomic_uint vm_waiters_below;	/* [a] any in its tree?  Pairs with
					 * itself (tree.c) */

	_Alignas(64) struct lock vm_lock;
	unsigned int vm_low;		/* [L] units an operation may need */
	unsigned int vm_nunits;		/* [L] stock of units */
	struct addrtree vm_rows;	/* [L] rows of tags, by address */
	struct due vm_due_rows;		/* [L] rows to be settled */
	uint32_t vm_due_row[DUE_ROWS];	/* [L] ... or UNIT_NIL */
	struct due vm_due_leaves;	/* [L] leaves of vm_rows likewise */
	uint32_t vm_due_leaf[DUE_LEAVES]; /* [L] */
	unsigned int vm_hint_shift;	/* [L] of a granule, in quanta */
	uint32_t *vm_hint;		/* [L] rows by granule, or NULL: hint.c */
	uint32_t vm_hint_mask;		/* [L] its entries, less 1 */
	bool vm_hint_due;		/* [L] it doesn't fit the rows */
	uint64_t vm_hint_above;		/* [L] ... from that number of rows on */
	uint64_t vm_hint_below;		/* [L] ... or with less than that */
	uint64_t vm_hint_wrong;		/* [L] guesses that were, lately */
	uint64_t vm_size;		/* [L] bytes in spans */
	uint64_t vm_inuse;		/* [L] bytes allocated */
	uint64_t vm_nbusy;		/* [L] allocated segments */
	uint64_t vm_ntags;		/* [L] */
	uint64_t vm_limit;		/* [L] 0: none */
	uint64_t vm_cursor;		/* [L] next fit goes on here */
	uint64_t vm_generation;		/* [L] changes of the segments */
	uint64_t vm_freed;		/* [L] times space was gained */
	uint64_t vm_freed_at;		/* [L] quanta: the last free that found
					 * the stock short: scarce.c */
	struct addrtree vm_spans;	/* [L] spans, by address */
	vmem_reclaim_t *vm_reclaim;	/* [L] */
	void *vm_reclaim_arg;		/* [L] */
	uint32_t vm_units[UNITS_MAX];	/* [L] */
#ifdef VMEM_DEBUG
	unsigned int vm_entered_low;	/* [L] vm_low at arena_enter() */
	unsigned int vm_taken;		/* [L] units taken since, by need */
	unsigned int vm_taken_max;	/* [L] the most that an operation took */
	uint64_t vm_entered_steps;	/* [L] arena_steps then */
	uint64_t vm_steps_max;		/* [L] the most that one took */
#endif

	/* Counters [L], but for those that caches keep. */
	uint64_t vm_allocs, vm_frees, vm_fails, vm_waits;
	uint64_t vm_imports, vm_releases, vm_lookups;

	/* Requests that wait (wait.c). */
	struct vmem_request *vm_wait_root; /* [L] the queue (waitq.c) */
	uint64_t vm_waiting;		    /* [L] */
	uint64_t vm_ticket;		    /* [L] of the last that came */
	unsigned int vm_overtaken;	    /* [L] times the first of them was */
	atomic_uint vm_waiters_here;	/* [a] requests here or below; pairs with
					 * itself (tree.c) */

	/* The tree of arenas [T]. */
	TAILQ_ENTRY(vmem) vm_list;
	unsigned int vm_children;
	atomic_uint vm_pins;		/* [a] visitors; destroy waits */

	struct freelist vm_free;	/* [L] last: it is large */
};
_Static_assert(sizeof(struct vmem) <= 4096, "an arena is a page");

/* The stock's own accessors: with vm_lock held. */
static inline bool
units_at_hand(const struct vmem *vm, unsigned int count)
{
	return (vm->vm_nunits >= count);
}

static inline uint32_t
unit_take(struct vmem *vm)
{
	VERIFY(vm->vm_nunits > 0);
#ifdef VMEM_DEBUG
	vm->vm_taken++;
#endif
	return (vm->vm_units[--vm->vm_nunits]);
}

static inline void
unit_give(struct vmem *vm, uint32_t unit)
{
	VERIFY(vm->vm_nunits < UNITS_MAX);
	vm->vm_units[vm->vm_nunits++] = unit;
}

/*
 * Units that an operation may need.  The most is an import and the allocation
 * that it is for: two segments are carved, out of a gap and out of that.
 * Carving adds two tags: two rows at most (the row splits, or they are too far
 * apart for one), so both together four, which are entered into the tree of
 * rows between the same two neighbours.  These may be of different leaves, and
 * a separator may lie anywhere between the two, so the four entries go down two
 * ways that have the root in common.  Of each way each node splits once at
 * most, for then it has room for more than four: 2 D - 1 nodes with the root,
 * and a new root.  Importing adds a span, a split a level and a root too.  A
 * free segment may want a bin to grow, once an operation for sure: the rest is
 * welcome, not needed (freelist.c).
 */
static inline unsigned int
arena_low(const struct vmem *vm)
{
	return (4 + 2 * (vm->vm_rows.at_depth + 1) + vm->vm_spans.at_depth + 1 +
	    BIN_UNITS);
}

/* Less than that is there: nothing is to be wasted.  scarce.c */
static inline bool
stock_is_short(const struct vmem *vm)
{
	return (vm->vm_nunits < vm->vm_low);
}

/*
 * What is counted in debug builds, by thread and arena.  Steps: nodes and rows
 * that an operation looks at, and tags that it moves from row to row.  Units
 * that are welcome, not needed, don't count as taken.
 */
#ifdef VMEM_DEBUG
extern __thread __attribute__((tls_model("initial-exec"))) uint64_t arena_steps;
#define STEP(x) ((void)(x), (void)arena_steps++)
#define WELCOME(vm, statement)                                              \
	do {                                                                 \
		unsigned int taken_ = (vm)->vm_taken;                        \
		statement;                                                   \
		(vm)->vm_taken = taken_;                                     \
	} while (0)
#else
#define STEP(x) ((void)(x))
#define WELCOME(vm, statement) statement
#endif

/*
 * The most steps that an operation takes.  D: levels of the tree of rows, one
 * more if the root grows; L: of the large segments' (AVL: 1.44 log2).
 *
 *	look	find a row by address, or go on to the next that is large
 *		enough: down and, cut by the bound, up and down again; then the
 *		row; or the next by size		3 D + L + 2
 *	bin	in or out of a bin, the last one takes the place, the row's
 *		maximum goes up the tree		2 L + D + 2
 *	split	or join, of rows: the tree, both maxima, the free tags that
 *		move (the other tags are nobody's)	3 D + ROW_TAGS
 *	settle	a row; or a leaf, and up the tree	1; D + 1
 *
 * The largest is an import and the allocation that it is for: two segments
 * carved, each one out of a bin, two into bins, and two splits.  A free is one
 * out and two joins less.  Searches look once if plain; under constraints, at
 * LOOKS_INSTANT segments by instant fit, at LOOKS_EXACT by best, first and last
 * fit, and twice as many by next fit (find.c), unless the request waits.  What
 * looks by address settles all rows and leaves that are due; any other change
 * a few of them.
 */
#define LOOKS_INSTANT (INSTANT_LOOKS + 3u) /* the smallest, what surely
					   * fits, the ends */
#define LOOKS_EXACT (FIT_LOOKS + 2u)
#define LOOKS_NEXT (2 * LOOKS_EXACT)

static inline uint64_t
arena_steps_bound(uint64_t depth, uint64_t larges, uint64_t looks)
{
	uint64_t d = depth + 1, l = 2;

	for (; larges != 0; larges /= 2)
		l += 2; /* 1.44, rounded up */
	return ((looks + 3) * (3 * d + l + 2) + 2 * 3 * (2 * l + d + 2) +
	    2 * 2 * (3 * d + ROW_TAGS) + DUE_ROWS + DUE_LEAVES * (d + 1));
}

/* Addresses and quanta. */
static inline uint64_t
to_quanta(const struct vmem *vm, uint64_t addr)
{
	return (addr >> vm->vm_shift);
}

static inline uint64_t
to_addr(const struct vmem *vm, uint64_t quanta)
{
	return (quanta << vm->vm_shift);
}

/* hint.c */
void hint_fit(struct vmem *vm);
void hint_fini(struct vmem *vm);
const char *hint_check(const struct vmem *vm);

/* arena.c */
/* 0: vm_lock is held, units are there. */
int arena_enter(struct vmem *vm) TRY_ACQUIRE(0, vm->vm_lock);
void arena_enter_free(struct vmem *vm) ACQUIRE(vm->vm_lock);
int arena_get_at(struct vmem *vm, uint64_t addr, uint64_t size, bool refill);
void arena_leave(struct vmem *vm) RELEASE(vm->vm_lock);
struct place arena_find(
    struct vmem *vm, const struct fit *ft, uint64_t *addrp);
struct place arena_find_scarce(
    struct vmem *vm, const struct fit *ft, uint64_t *addrp);
bool arena_affords(
    struct vmem *vm, struct place p, uint64_t addr, uint64_t size);
int arena_take(struct vmem *vm, const struct fit *ft, uint64_t *addrp);
int arena_get(struct vmem *vm, const struct fit *ft, uint64_t *addrp);
void arena_put(struct vmem *vm, uint64_t addr, uint64_t size, const char *who);
int arena_get_slab(struct vmem *vm, uint64_t size, uint64_t *addrp);
void arena_put_quietly(
    struct vmem *vm, uint64_t addr, uint64_t size, const char *who);
struct place arena_carve(struct vmem *vm, struct place p, uint64_t start,
    uint64_t size, uint32_t tag);

/* span.c */
int span_add_locked(struct vmem *vm, uint64_t addr, uint64_t size,
    bool imported);
int span_import(struct vmem *vm, const struct fit *ft, uint64_t *addrp);
bool span_whole(struct place p);
void span_detach(struct vmem *vm, struct place p, uint64_t *addrp,
    uint64_t *sizep);
uint64_t span_largest(const struct vmem *vm);

/* tree.c */
struct visit {
	struct vmem *vs_vm;	/* where it is; NULL: that has been destroyed */
	const struct vmem *vs_root;
	uint64_t vs_id;
	struct visit *vs_outer;
};

void arenas_add(struct vmem *vm);
void arenas_remove(struct vmem *vm);
int arenas_set_parent(struct vmem *vm, struct vmem *parent);
void arenas_count_waiting(struct vmem *vm, int sign);
void arena_unpin(struct vmem *vm);
void visit_begin(struct visit *v, struct vmem *vm);
void visit_end(struct visit *v);
void visit_start(struct visit *v, const struct vmem *root);
bool visit_next(struct visit *v);
void tree_reap(struct vmem *vm);

/* fork.c, and what it needs of the others */
void fork_register(void);
void tree_fork(bool hold);
struct vmem *tree_after(const struct vmem *vm);
void tree_fork_child(void);
void pool_fork(bool hold);
void wait_forget(struct vmem *vm);

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
