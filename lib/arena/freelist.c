/*
 * freelist.c - free segments, by size.
 *
 * A segment of up to 4096 quanta is in the bin of exactly its size (bin.c); a
 * bitmap of two levels says which bins aren't empty.  So the smallest segment
 * that fits is two find-first-set away: best fit at the price of instant fit,
 * and "none" is found as fast.  Against bins of powers of two this halves the
 * free segments under random churn, which is footprint, and footprint is time.
 * From a bin the last one is taken: what was freed lately is in the cache.
 * Keeping bins in order of address would cost a cache miss a level.  But where
 * a segment is cut the lowest of the last four is taken, and of the last sixteen
 * where best fit is asked for, which packs as well: on the real traces the
 * extent is within 1.023, and 1.007, of a best fit that always takes the lowest
 * address.
 * Larger segments are in a balanced tree by size (large.c).  The bins of sizes
 * that aren't free don't exist, as a rule: an arena is a page.  A piece of them
 * comes with its first item, and goes when units go back to the pool anyway.
 *
 * By address free segments are found through their rows (row.c).
 *
 * A bin or the tree may want for a unit to take a segment, and a free must not
 * fail.  Then the segment is a stray: it is free and in no bin.  Requests that
 * find nothing else look for strays by address, and as soon as there are units
 * again operations take them in, some rows at a time (fl_adopt()).  So strays
 * exist only where memory for tags has run out.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <string.h>

/* Segments of one size that fl_lowest() compares: for who wants any that fits,
 * and for best fit, which has more time. */
#ifndef FL_TIES
#define FL_TIES 4u
#define FL_TIES_BEST 16u
#endif
/* Rows that an operation looks through for strays. */
#define ADOPT_ROWS 8u

static inline bool
bin_has(const struct freelist *fl, unsigned int bin)
{
	return ((fl->fl_bits[bin / 64] >> (bin % 64) & 1) != 0);
}

static inline void
bit_on(struct freelist *fl, unsigned int bin)
{
	fl->fl_bits[bin / 64] |= UINT64_C(1) << (bin % 64);
	fl->fl_summary |= UINT64_C(1) << (bin / 64);
}

/* If it is empty, which can't be foretold. */
static inline void
bit_off(struct freelist *fl, unsigned int bin, bool empty)
{
	uint64_t bits = fl->fl_bits[bin / 64] &
	    ~((uint64_t)empty << (bin % 64));

	fl->fl_bits[bin / 64] = bits;
	fl->fl_summary &= ~((uint64_t)(bits == 0) << (bin / 64));
}

/* What a bin has of a segment: its row, and where in it the tag was then. */
static inline uint32_t
item_of(struct place p)
{
	return (p.row | p.slot << UNIT_BITS);
}

static inline struct place
item_place(uint32_t item)
{
	return ((struct place) { .row = item & ((1u << UNIT_BITS) - 1),
	    .slot = item >> UNIT_BITS });
}

/* The segment that a bin has at that place. */
static inline struct place
item_check(uint32_t item, unsigned int bin, uint32_t place)
{
	struct place p = item_place(item);

	p.slot = row_slot(ROW(p.row), p.slot, TAG_FREE | place, bin + 1);
	return (p);
}

static inline uint32_t
tag_placed(uint32_t tag, uint32_t place)
{
	return ((tag & (TAG_SPAN | TAG_IMPORTED)) | TAG_FREE | place);
}

/* ---- in and out --------------------------------------------------------- */

/* The first item comes for a bin of that piece: an empty one takes it without
 * a unit more.  false: there is none to spare. */
static bool __attribute__((__noinline__))
piece_make(struct vmem *vm, unsigned int bin)
{
	struct freelist *fl = &vm->vm_free;
	uint32_t unit;

	if (!units_at_hand(vm, BIN_UNITS))
		return (false);
	unit = unit_take(vm);
	memset(UNIT(unit), 0, UNIT_BYTES);
	fl->fl_piece[(bin - BINS_SMALL) / BINS_PIECE] = unit;
	return (true);
}

/* With vm_lock held: the pieces all of whose bins are empty, as units; how
 * many.  Room for BIN_PIECES. */
unsigned int
fl_trim(struct vmem *vm, uint32_t *units)
{
	struct freelist *fl = &vm->vm_free;
	unsigned int n = 0;

	for (unsigned int i = 0; i < BIN_PIECES; i++) {
		unsigned int bin = BINS_SMALL + i * BINS_PIECE;

		if (fl->fl_piece[i] == UNIT_NIL ||
		    (uint32_t)(fl->fl_bits[bin / 64] >> (bin % 64)) != 0)
			continue;
		units[n++] = fl->fl_piece[i];
		fl->fl_piece[i] = UNIT_NIL;
	}
	return (n);
}
_Static_assert(BINS_PIECE == 32 && BINS_SMALL % BINS_PIECE == 0,
    "a piece's bits are half a word");

/* The tag's place in what it was put into, or PLACE_NONE. */
static __attribute__((noinline)) uint32_t
place_large(struct vmem *vm, struct place p, uint64_t size)
{
	struct freelist *fl = &vm->vm_free;
	uint32_t record = large_insert(
	    vm, &fl->fl_large, tag_start(p), size, p.row);

	if (record == LARGE_NIL)
		return (PLACE_NONE);
	if (size > fl->fl_largest)
		fl->fl_largest = size;
	return (TAG_LARGE | record);
}

static inline __attribute__((always_inline)) uint32_t
place_make(struct vmem *vm, struct place p, uint64_t size)
{
	struct freelist *fl = &vm->vm_free;
	struct bin *bn;

	if (__builtin_expect(size > FL_EXACT, 0))
		return (place_large(vm, p, size));
	bn = BIN(fl, (unsigned int)size - 1);
	if (__builtin_expect(!bin_is_there(fl, (unsigned int)size - 1), 0)) {
		if (!piece_make(vm, (unsigned int)size - 1))
			return (PLACE_NONE);
		bn = BIN(fl, (unsigned int)size - 1);
	}
	if (__builtin_expect(!push_inline(vm, bn, item_of(p)), 0))
		return (PLACE_NONE);
	bit_on(fl, (unsigned int)size - 1);
	return (bn->bn_count - 1);
}

/* A segment of that size, at p, has become free: put it where it belongs. */
static inline __attribute__((always_inline)) void
fl_insert_size(struct vmem *vm, struct place p, uint64_t size)
{
	struct row *rw = ROW(p.row);
	uint32_t place;

	WELCOME(vm, place = place_make(vm, p, size));
	rw->rw_tag[p.slot] = tag_placed(rw->rw_tag[p.slot], place);
	rw->rw_free |= UINT64_C(1) << p.slot;
	if (__builtin_expect(place == PLACE_NONE, 0))
		vm->vm_free.fl_strays++;
	vm->vm_free.fl_count++;
	row_due(vm, p.row, size > rw->rw_max);
}

void
fl_insert(struct vmem *vm, struct place p)
{
	fl_insert_size(vm, p, tag_size(p));
}

/* The last of the bin goes to the place that `tag' leaves. */
static void
bin_remove(struct vmem *vm, unsigned int bin, uint32_t place)
{
	struct freelist *fl = &vm->vm_free;
	struct bin *bn = BIN(fl, bin);
	uint32_t last = bn->bn_count - 1;
	struct place p;

	if (place != last) {
		p = item_check(bin_last(bn), bin, last);
		*bin_item(bn, place) = item_of(p);
		ROW(p.row)->rw_tag[p.slot] = tag_placed(TAG(p), place);
		STEP(vm);
	}
	bin_pop(vm, bn);
	bit_off(fl, bin, last == 0);
}

/* Out of its bin: a segment whose tag is, or was, that.  The largest of its row
 * is for the caller to see to. */
static void
fl_leave(struct vmem *vm, uint32_t tag, uint64_t size)
{
	struct freelist *fl = &vm->vm_free;
	uint32_t place = tag & TAG_PLACE;

	ASSERT((tag & TAG_FREE) != 0);
	if (__builtin_expect((tag & TAG_LARGE) != 0, 0)) {
		large_remove(vm, &fl->fl_large, place);
		if (size == fl->fl_largest)
			fl->fl_largest = large_max(&fl->fl_large);
	} else if (__builtin_expect(place == PLACE_NONE, 0))
		fl->fl_strays--;
	else
		bin_remove(vm, (unsigned int)size - 1, place);
	fl->fl_count--;
}

/* The segment at p is about to change.  Until it is binned again, or its tag is
 * set, it counts as a gap. */
void
fl_remove(struct vmem *vm, struct place p)
{
	uint32_t tag = TAG(p);
	uint64_t size = tag_size(p);

	tag_set(p, (tag & (TAG_SPAN | TAG_IMPORTED)) | TAG_GAP);
	fl_leave(vm, tag, size);
	row_due(vm, p.row, size == ROW(p.row)->rw_max);
}

/* The tag at p, in its bin still, has come into another row. */
void
fl_moved(struct vmem *vm, struct place p)
{
	uint32_t tag = TAG(p), place = tag & TAG_PLACE;

	if ((tag & TAG_LARGE) != 0)
		large_move(place, p.row);
	else if (place != PLACE_NONE)
		*bin_item(BIN(&vm->vm_free, (unsigned int)tag_size(p) - 1),
		    place) = item_of(p);
}

/* ---- strays ------------------------------------------------------------- */

/* Where memory for tags had run out: take in what a few rows have, but leave
 * what operations need. */
void
fl_adopt(struct vmem *vm)
{
	struct freelist *fl = &vm->vm_free;
	struct place p = row_find(vm, fl->fl_stray_from);

	for (unsigned int n = 0; n < ADOPT_ROWS && fl->fl_strays > 0; n++) {
		for (p.slot = 0; p.slot < ROW(p.row)->rw_count; p.slot++) {
			if ((TAG(p) & ~(TAG_SPAN | TAG_IMPORTED)) !=
			    (TAG_FREE | PLACE_NONE))
				continue;
			if (!units_at_hand(vm, vm->vm_low + BIN_UNITS))
				return;
			fl_remove(vm, p);
			fl_insert(vm, p);
			vm->vm_generation++; /* a check that is under way */
			STEP(vm);
		}
		p.row = ROW(p.row)->rw_next;
		fl->fl_stray_from = p.row == UNIT_NIL ? 0 :
							ROW(p.row)->rw_base;
		if (p.row == UNIT_NIL)
			break;
	}
}

/* ---- finding ------------------------------------------------------------ */

/* The first bin that isn't empty from `bin` on, or FL_EXACT. */
static inline unsigned int
bin_first(const struct freelist *fl, unsigned int bin)
{
	unsigned int word = bin / 64;
	uint64_t bits;

	if (bin >= FL_EXACT)
		return (FL_EXACT);
	bits = fl->fl_bits[word] & (~UINT64_C(0) << (bin % 64));
	if (bits == 0) {
		bits = word == 63 ? 0 :
				    fl->fl_summary & (~UINT64_C(1) << word);
		if (bits == 0)
			return (FL_EXACT);
		word = (unsigned int)__builtin_ctzll(bits);
		bits = fl->fl_bits[word];
	}
	return (word * 64 + (unsigned int)__builtin_ctzll(bits));
}

static struct place
large_place(uint32_t record)
{
	uint32_t row;

	if (record == LARGE_NIL)
		return (PLACE_NIL);
	row = large_row(record);
	return ((struct place) { row, row_slot(ROW(row), 0,
	    TAG_FREE | TAG_LARGE | record, large_size(record)) });
}

static inline struct place
bin_top(struct freelist *fl, unsigned int bin)
{
	struct bin *bn = BIN(fl, bin);

	return (item_check(bin_last(bn), bin, bn->bn_count - 1));
}

/* The smallest free segment of at least so many quanta; PLACE_NIL: there is
 * none, but for strays. */
struct place
fl_best(struct vmem *vm, uint64_t size)
{
	struct freelist *fl = &vm->vm_free;
	unsigned int bin = FL_EXACT;

	STEP(vm);
	if (size <= FL_EXACT)
		bin = bin_first(fl, (unsigned int)size - 1);
	if (bin < FL_EXACT)
		return (bin_top(fl, bin));
	return (large_place(large_lower(&fl->fl_large, size)));
}

/* The same, and of the last few of that size the one with the lowest address
 * (that of its row, which is as good): packs closer, for some more time. */
struct place
fl_lowest(struct vmem *vm, uint64_t size, unsigned int ties)
{
	struct freelist *fl = &vm->vm_free;
	unsigned int bin = FL_EXACT;
	uint32_t place, item, lowest;
	struct bin *bn;

	if (size <= FL_EXACT)
		bin = bin_first(fl, (unsigned int)size - 1);
	if (bin >= FL_EXACT)
		return (fl_best(vm, size));
	STEP(vm);
	bn = BIN(fl, bin);
	place = bn->bn_count - 1;
	item = bin_last(bn);
	lowest = place;
	for (unsigned int n = 1; n < ties && place > 0; n++) {
		uint32_t other = *bin_item(bn, --place);

		STEP(vm);
		if (ROW(item_place(other).row)->rw_base <
		    ROW(item_place(item).row)->rw_base) {
			item = other;
			lowest = place;
		}
	}
	return (item_check(item, bin, lowest));
}

/*
 * The last one freed of exactly that size becomes allocated; false: there is
 * none.  fl_best() and fl_remove() in one, for most requests that recur.
 */
static inline __attribute__((always_inline)) bool
fl_take(struct vmem *vm, uint64_t size, struct place *p)
{
	struct freelist *fl = &vm->vm_free;
	unsigned int bin = (unsigned int)size - 1;
	struct bin *bn;
	struct row *rw;

	if (size > FL_EXACT)
		return (false);
	bn = BIN(fl, bin);
	if (bn->bn_count == 0)
		return (false);
	STEP(vm);
	*p = item_check(bin_last(bn), bin, bn->bn_count - 1);
	rw = ROW(p->row);
	rw->rw_tag[p->slot] = (rw->rw_tag[p->slot] &
	    (TAG_SPAN | TAG_IMPORTED)) | TAG_BUSY;
	rw->rw_free &= ~(UINT64_C(1) << p->slot);
	bin_pop(vm, bn);
	bit_off(fl, bin, bn->bn_count == 0);
	fl->fl_count--;
	row_due(vm, p->row, size == rw->rw_max);
	return (true);
}

/* The one after that in the order of fl_best(): no smaller; or PLACE_NIL. */
struct place
fl_after(struct vmem *vm, struct place p)
{
	struct freelist *fl = &vm->vm_free;
	uint32_t tag = TAG(p), place = tag & TAG_PLACE;
	uint64_t size = tag_size(p);
	unsigned int bin;

	STEP(vm);
	if ((tag & TAG_LARGE) != 0)
		return (large_place(large_next(&fl->fl_large, place)));
	if (place > 0) {
		bin = (unsigned int)size - 1;
		return (item_check(
		    *bin_item(BIN(fl, bin), place - 1), bin, place - 1));
	}
	bin = bin_first(fl, (unsigned int)size);
	if (bin < FL_EXACT)
		return (bin_top(fl, bin));
	return (large_place(large_lower(&fl->fl_large, 1)));
}

/* The largest free segment, in quanta, exact. */
uint64_t
fl_max(struct vmem *vm)
{
	const struct freelist *fl = &vm->vm_free;
	unsigned int word;

	if (__builtin_expect(fl->fl_strays > 0, 0)) {
		rows_settle(vm);
		return (addrtree_max(&vm->vm_rows));
	}
	if (fl->fl_largest != 0)
		return (fl->fl_largest);
	if (fl->fl_summary == 0)
		return (0);
	word = 63 - (unsigned int)__builtin_clzll(fl->fl_summary);
	return (word * 64 + 64 - (uint64_t)__builtin_clzll(fl->fl_bits[word]));
}

/* ---- the end, and the check --------------------------------------------- */

void
fl_fini(struct vmem *vm)
{
	struct freelist *fl = &vm->vm_free;

	for (unsigned int bin = 0; bin < FL_EXACT; bin++)
		if (bin_is_there(fl, bin))
			bin_fini(vm, BIN(fl, bin));
	for (unsigned int i = 0; i < BIN_PIECES; i++)
		if (fl->fl_piece[i] != UNIT_NIL)
			pool_put(&fl->fl_piece[i], 1);
	large_fini(vm, &vm->vm_free.fl_large);
}

/* The segment at p is where its tag says. */
static bool
placed_right(struct vmem *vm, struct place p)
{
	uint32_t tag = TAG(p), place = tag & TAG_PLACE;
	uint64_t size = tag_size(p);
	struct bin *bn;

	if ((tag & TAG_LARGE) != 0)
		return (size > FL_EXACT && large_row(place) == p.row &&
		    large_size(place) == size);
	if (place == PLACE_NONE)
		return (true);
	if (size > FL_EXACT)
		return (false);
	bn = BIN(&vm->vm_free, (unsigned int)size - 1);
	return (place < bn->bn_count &&
	    item_place(*bin_item(bn, place)).row == p.row);
}

/* All tags of a row; counts free segments and strays. */
const char *
fl_check_row(struct vmem *vm, uint32_t row, uint64_t *count, uint64_t *strays)
{
	struct place p = { row, 0 };

	for (; p.slot < ROW(row)->rw_count; p.slot++) {
		if ((TAG(p) & TAG_FREE) == 0)
			continue;
		(*count)++;
		if ((TAG(p) & (TAG_LARGE | TAG_PLACE)) == PLACE_NONE)
			(*strays)++;
		if (!placed_right(vm, p))
			return ("a free segment isn't in the bin of its size");
	}
	return (NULL);
}

/* The bins alone: each free segment is in one (fl_check_row()), so if they
 * hold as many, they hold nothing else. */
const char *
fl_check(struct vmem *vm)
{
	struct freelist *fl = &vm->vm_free;
	uint64_t count = fl->fl_large.lg_count + fl->fl_strays;
	const char *why = large_check(&fl->fl_large);

	rows_settle(vm);
	if (why != NULL)
		return (why);
	for (unsigned int bin = 0; bin < FL_EXACT; bin++) {
		if (bin_has(fl, bin) != (BIN(fl, bin)->bn_count != 0))
			return ("the bitmap of bins is wrong");
		count += BIN(fl, bin)->bn_count;
	}
	for (unsigned int w = 0; w < FL_WORDS; w++)
		if ((fl->fl_summary >> w & 1) != (fl->fl_bits[w] != 0))
			return ("the summary of the bitmap is wrong");
	if (count != fl->fl_count)
		return ("the bins lost a free segment");
	if (fl->fl_largest != large_max(&fl->fl_large))
		return ("the largest free segment isn't the largest");
	return (addrtree_check(&vm->vm_rows));
}
