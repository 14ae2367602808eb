/*
 * row.c - boundary tags, in rows.
 *
 * 1. The structure.  The tags of an arena are the leaves of one tree by
 * address.  A leaf, a row, is 512 bytes: up to 56 tags that follow each other,
 * and the tree above (addrtree.c, vm_rows) has an entry for each row: where it
 * begins, and its largest free segment.
 *
 *	vm_rows        [ 0 | 4711 | 9042 ]
 *	                 |     |      '--------------.
 *	                 v     v                     v
 *	row         <->[...]<->[off 0 3 9 12 ..    ]<->[...]
 *	                       [tag B F B B F ..   ]
 *
 * They cover all of the arena's address space without a gap, from 0 on: what
 * is in no span is a segment too, of type GAP.  So every address lies in one
 * segment, and every change, adding a span, allocating, freeing, releasing, is
 * the same: part of a segment gets another type, and what can be joined is.
 *
 * 2. Why.  A tag here is eight bytes: its size is its neighbour's start less
 * its own, its links are where it is.  At two thirds full, that is twelve bytes
 * a segment, a quarter of a tag with start, size and links beside a hash
 * table; and footprint is time, for a tag is found by a random access.  A free
 * finds its tag by a descent whose upper levels stay in the cache, and then has
 * both neighbours at hand in the same row (the paper, 4.4.2: boundary tags are
 * for that).  There is no hash table to grow, nor addresses that collide; an
 * address inside an allocation is found as fast as its start.
 *
 * 3. Rows split when full: in the middle, or, where tags come one after the
 * other from one end, at the place of the insertion, so that filling an arena
 * fills its rows.  A row below a third is joined with a neighbour if both fill
 * three quarters of one at most (as in addrtree.c, and by the same argument
 * rows are a third full on average at worst).  Offsets have 31 bits: a tag
 * further off from its row's begin than that begins a row of its own.
 *
 * 4. rw_max is what the tree has as the row's maximum.  Only searches by address
 * want it, while every allocation and free changes it, more often than not back
 * to what it was: what was freed last is allocated next.  So a change makes the
 * row due, and the last DUE_ROWS of these are remembered.  When they are all in
 * use, the oldest DUE_RETIRE are settled: that is, their tags are looked at, and
 * the leaf of the tree is told, which may become due in its turn (addrtree.c).
 * A search first settles all (rows_settle()).  Hence the tree is exact when
 * asked, by a number of steps that is bounded.
 *
 * Everything here with vm_lock held.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <inttypes.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A row with fewer tags looks for another to join; so full is the result at
 * most. */
#define ROW_SPARSE (ROW_TAGS / 3)
#define ROW_MERGED (ROW_TAGS * 3 / 4)
#define OFF_UNUSED INT32_MAX

/* ---- finding ------------------------------------------------------------ */

/*
 * How many offsets are <= off, which unused ones never are.  In two steps: which
 * cache line of sixteen (of the last the half that there is, and what is before
 * it), then all of that, without branches.
 */
static inline unsigned int
offs_upto(const struct row *rw, int32_t off)
{
	const int32_t *at = rw->rw_off;
	unsigned int n = 16u * ((unsigned int)(at[15] <= off) +
		(at[31] <= off) + (at[47] <= off));

	n -= n == 48 ? 64 - ROW_PLACES : 0;
#ifdef __SSE2__
	const __m128i *four = (const __m128i *)(const void *)(at + n);
	__m128i above = _mm_set1_epi32(off + 1), sum;

	/* A true comparison is -1. */
	sum = _mm_add_epi32(
	    _mm_add_epi32(_mm_cmpgt_epi32(above, _mm_load_si128(four)),
		_mm_cmpgt_epi32(above, _mm_load_si128(four + 1))),
	    _mm_add_epi32(_mm_cmpgt_epi32(above, _mm_load_si128(four + 2)),
		_mm_cmpgt_epi32(above, _mm_load_si128(four + 3))));
	sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
	sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
	return (n - (unsigned int)_mm_cvtsi128_si32(sum));
#else
	for (unsigned int upto = n + 16; n < upto && at[n] <= off; n++)
		continue;
	return (n);
#endif
}
_Static_assert(ROW_PLACES == 56, "three lines of 16, and two 4s");
_Static_assert(ROW_TAGS <= ROW_PLACES, "an array's use, and its length");

static __attribute__((noinline)) uint32_t
row_descend(struct vmem *vm, uint64_t quantum)
{
	uint32_t row = addrtree_child(vm, &vm->vm_rows, quantum);

	unit_prefetch(ROW(row));
	hint_learn(vm, quantum, row);
	return (row);
}

/* row_find(), for the hot path. */
static inline __attribute__((always_inline)) struct place
row_find_inline(struct vmem *vm, uint64_t quantum)
{
	struct place p = { .row = hint_find(vm, quantum) };
	const struct row *rw;
	uint64_t off;

	STEP(vm);
	if (__builtin_expect(p.row == UNIT_NIL, 0))
		p.row = row_descend(vm, quantum);
	rw = ROW(p.row);
	off = quantum - rw->rw_base;
	p.slot = offs_upto(rw, off < ROW_REACH ? (int32_t)off :
						 (int32_t)ROW_REACH) - 1;
	return (p);
}

/* The tag of the segment that this quantum lies in. */
struct place
row_find(struct vmem *vm, uint64_t quantum)
{
	return (row_find_inline(vm, quantum));
}

static inline bool
is_it(const struct row *rw, unsigned int slot, uint32_t tag, uint64_t size)
{
	return ((rw->rw_tag[slot] & ~(TAG_SPAN | TAG_IMPORTED)) == tag &&
	    row_size(rw, slot) == size);
}

/* It moved in its row, or is the last there: all free ones are looked at, which
 * are few: a third of all at most, as a rule one in twenty. */
static __attribute__((noinline)) unsigned int
row_search(const struct row *rw, uint32_t tag, uint64_t size)
{
	for (uint64_t bits = rw->rw_free; bits != 0; bits &= bits - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(bits);

		if (is_it(rw, slot, tag, size))
			return (slot);
	}
	vmem_panic("no free segment of %" PRIu64 " quanta in a row (expected "
	    "one: its bin says so)", size);
}

/*
 * Where in the row the free segment of that size is whose tag is that, but for
 * the bits of spans.  It was at `slot' when it was put where the caller has
 * that from, and is so still, as a rule.
 */
static inline __attribute__((always_inline)) unsigned int
row_slot(const struct row *rw, unsigned int slot, uint32_t tag, uint64_t size)
{
	if (__builtin_expect(slot + 1 < rw->rw_count &&
		is_it(rw, slot, tag, size), 1))
		return (slot);
	return (row_search(rw, tag, size));
}

/* The segment's neighbours; false at the ends of the address space. */
bool
tag_above(struct place p, struct place *above)
{
	const struct row *rw = ROW(p.row);

	if (p.slot + 1 < rw->rw_count) {
		*above = (struct place) { p.row, p.slot + 1 };
		return (true);
	}
	*above = (struct place) { rw->rw_next, 0 };
	return (rw->rw_next != UNIT_NIL);
}

bool
tag_below(struct place p, struct place *below)
{
	const struct row *rw = ROW(p.row);

	if (p.slot > 0) {
		*below = (struct place) { p.row, p.slot - 1 };
		return (true);
	}
	if (rw->rw_prev == UNIT_NIL)
		return (false);
	*below = (struct place) { rw->rw_prev, ROW(rw->rw_prev)->rw_count - 1u };
	return (true);
}

/* ---- the largest free segment ------------------------------------------- */

static struct addrentry
entry_of(uint32_t row)
{
	return ((struct addrentry) { .ae_key = ROW(row)->rw_base,
	    .ae_max = ROW(row)->rw_max,
	    .ae_child = row });
}

/* As a rule no more than four are free: so many are looked at without a branch
 * that couldn't be foretold. */
inline uint64_t
row_max(const struct row *rw)
{
	uint64_t max = 0, size, bits = rw->rw_free;

	do {
#pragma GCC unroll 4
		for (unsigned int i = 0; i < 4; i++) {
			size = row_size(rw, (unsigned int)__builtin_ctzll(
			    bits != 0 ? bits : 1));
			size = bits != 0 ? size : 0;
			max = size > max ? size : max;
			bits &= bits - 1;
		}
	} while (bits != 0);
	return (max);
}

/* rw_slot is where the entry was seen last, and seldom moves. */
static inline void
max_set(struct vmem *vm, uint32_t row, uint64_t max)
{
	struct row *rw = ROW(row);
	struct node *nd = NODE(rw->rw_up);

	rw->rw_max = max;
	if (rw->rw_slot >= nd->nd_count || nd->nd_child[rw->rw_slot] != row)
		rw->rw_slot = child_for(nd, rw->rw_base) & 31;
	max_change(vm, nd, rw->rw_slot, max);
}

/* The row isn't due any more, whatever its maximum. */
static inline void
row_undue(struct vmem *vm, struct row *rw)
{
	due_drop(&vm->vm_due_rows, vm->vm_due_row, &rw->rw_due);
}

static inline void
row_settle(struct vmem *vm, uint32_t row)
{
	struct row *rw = ROW(row);

	STEP(vm);
	row_undue(vm, rw);
	max_set(vm, row, row_max(rw));
}

/* The oldest ones are settled, to make room.  Each has a cache miss or two of
 * its own, which needn't wait for those of the others. */
static __attribute__((noinline)) void
rows_retire(struct vmem *vm)
{
	const uint32_t *due = &vm->vm_due_row[vm->vm_due_rows.du_at];

	for (unsigned int i = 0; i < DUE_RETIRE; i++) {
		const struct row *rw = ROW(due[i]);
		const struct node *nd = NODE(rw->rw_up);

		__builtin_prefetch(&nd->nd_top);
		__builtin_prefetch(&nd->nd_max[rw->rw_slot], 1);
		__builtin_prefetch(&nd->nd_child[rw->rw_slot], 1);
	}
	for (unsigned int i = 0; i < DUE_RETIRE; i++)
		if (due[i] != UNIT_NIL)
			row_settle(vm, due[i]);
}

/* A free segment came or went: if `is', one of the row's largest. */
static inline void
row_due(struct vmem *vm, uint32_t row, bool is)
{
	if (__builtin_expect(due_add(&vm->vm_due_rows, vm->vm_due_row,
		DUE_ROWS, row, &ROW(row)->rw_due, is), 0))
		rows_retire(vm);
}

/* Before a search by address. */
void
rows_settle(struct vmem *vm)
{
	unsigned int at = vm->vm_due_rows.du_at;
	uint32_t row;

	while ((row = due_newest(&vm->vm_due_rows, vm->vm_due_row, DUE_ROWS,
		    &at)) != UNIT_NIL)
		row_settle(vm, row);
	addrtree_settle(vm);
}

/* ---- rows --------------------------------------------------------------- */

static void
offs_clear(struct row *rw, unsigned int from, unsigned int upto)
{
	for (unsigned int i = from; i < upto; i++)
		rw->rw_off[i] = OFF_UNUSED;
}

/* A new row from `base' on, without tags, after another (UNIT_NIL: none). */
static uint32_t
row_make(struct vmem *vm, uint32_t after, uint64_t base, uint64_t end)
{
	uint32_t unit = unit_take(vm);
	struct row *rw = ROW(unit);

	rw->rw_count = 0;
	rw->rw_prev = after;
	rw->rw_next = UNIT_NIL;
	rw->rw_due = 0;
	rw->rw_hinted = 0;
	rw->rw_slot = 0;
	rw->rw_base = base;
	rw->rw_end = end;
	rw->rw_max = 0;
	rw->rw_free = 0;
	offs_clear(rw, 0, ROW_PLACES);
	if (after != UNIT_NIL) {
		hint_hand(vm, after, base, end, unit);
		rw->rw_next = ROW(after)->rw_next;
		ROW(after)->rw_next = unit;
		ROW(after)->rw_end = base;
	}
	if (rw->rw_next != UNIT_NIL)
		ROW(rw->rw_next)->rw_prev = unit;
	return (unit);
}

/* Take it out of the list and the tree: its range is its lower neighbour's. */
static void
row_drop(struct vmem *vm, uint32_t row)
{
	struct row *rw = ROW(row);

	row_undue(vm, rw);
	hint_hand(vm, row, rw->rw_base, rw->rw_end, rw->rw_prev);
	addrtree_remove(vm, &vm->vm_rows, rw->rw_base);
	hint_count(vm);
	ROW(rw->rw_prev)->rw_next = rw->rw_next;
	ROW(rw->rw_prev)->rw_end = rw->rw_end;
	if (rw->rw_next != UNIT_NIL)
		ROW(rw->rw_next)->rw_prev = rw->rw_prev;
	unit_give(vm, row);
}

void
rows_init(struct vmem *vm)
{
	uint64_t end = vm->vm_shift == 0 ? 0 :
					   UINT64_C(1) << (64 - vm->vm_shift);
	uint32_t row = row_make(vm, UNIT_NIL, 0, end);
	struct addrentry entry;

	ROW(row)->rw_count = 1;
	ROW(row)->rw_off[0] = 0;
	ROW(row)->rw_tag[0] = TAG_GAP;
	vm->vm_ntags = 1;
	hint_bounds(vm, 0);
	entry = entry_of(row);
	addrtree_insert(vm, &vm->vm_rows, &entry);
}

void
rows_fini(struct vmem *vm)
{
	struct addrentry entry;
	uint32_t row = UNIT_NIL, next;

	if (addrtree_first(&vm->vm_rows, 0, 0, &entry))
		row = entry.ae_child;
	for (; row != UNIT_NIL; row = next) {
		next = ROW(row)->rw_next;
		pool_put(&row, 1);
	}
	addrtree_fini(vm, &vm->vm_rows);
}

/* ---- moving tags between rows ------------------------------------------- */

/* What refers to the free segments from `slot' on hears that they are here. */
static void
tags_moved(struct vmem *vm, uint32_t row, unsigned int slot)
{
	for (; slot < ROW(row)->rw_count; slot++)
		if (ROW(row)->rw_tag[slot] & TAG_FREE) {
			STEP(vm);
			fl_moved(vm, (struct place) { row, slot });
		}
}

static inline uint64_t
bits_below(unsigned int slot)
{
	return ((UINT64_C(1) << slot) - 1);
}

/* Append the tags of `from`, from `slot' on, to those of `to'; their offsets
 * are `shift' more there. */
static void
tags_append(struct row *to, struct row *from, unsigned int slot, int32_t shift)
{
	unsigned int n = to->rw_count;

	to->rw_free |= from->rw_free >> slot << n;
	from->rw_free &= bits_below(slot);
	for (unsigned int i = slot; i < from->rw_count; i++, n++) {
		to->rw_off[n] = from->rw_off[i] + shift;
		to->rw_tag[n] = from->rw_tag[i];
	}
	to->rw_count = (uint16_t)n;
	offs_clear(from, slot, from->rw_count);
	from->rw_count = (uint16_t)slot;
}

static bool
row_reaches(const struct row *rw, uint64_t start)
{
	return (start - rw->rw_base < ROW_REACH);
}

/* Split a row before `slot`; returns the upper one. */
static uint32_t
row_split(struct vmem *vm, uint32_t row, unsigned int slot)
{
	struct row *rw = ROW(row), *up;
	uint64_t base = rw->rw_base + (uint64_t)rw->rw_off[slot];
	uint64_t end = rw->rw_end;
	uint32_t unit = row_make(vm, row, base, end);
	struct addrentry entry;

	up = ROW(unit);
	tags_append(up, rw, slot, -rw->rw_off[slot]);
	up->rw_max = row_max(up);
	entry = entry_of(unit);
	addrtree_insert(vm, &vm->vm_rows, &entry);
	hint_count(vm);
	row_undue(vm, rw);
	max_set(vm, row, row_max(rw));
	tags_moved(vm, unit, 0);
	return (unit);
}

/* Join a row with the next one, if both exist and fit well. */
static bool
rows_join(struct vmem *vm, uint32_t lower, uint32_t upper)
{
	struct row *lo, *up;
	unsigned int n;

	if (lower == UNIT_NIL || upper == UNIT_NIL)
		return (false);
	lo = ROW(lower);
	up = ROW(upper);
	n = lo->rw_count;
	if (n + up->rw_count > ROW_MERGED ||
	    !row_reaches(lo,
		up->rw_base + (uint64_t)up->rw_off[up->rw_count - 1]))
		return (false);
	tags_append(lo, up, 0, (int32_t)(up->rw_base - lo->rw_base));
	row_drop(vm, upper);
	row_undue(vm, lo);
	max_set(vm, lower, row_max(lo));
	tags_moved(vm, lower, n);
	return (true);
}

/* After removals: a sparse row looks for another. */
void
row_thin(struct vmem *vm, uint32_t row)
{
	if (ROW(row)->rw_count < ROW_SPARSE &&
	    !rows_join(vm, row, ROW(row)->rw_next))
		(void)rows_join(vm, ROW(row)->rw_prev, row);
}

/* ---- inserting and removing tags ---------------------------------------- */

/* Tags are moved by vectors of four words, those of both arrays in one loop,
 * for how often it runs can't be foretold. */
typedef int32_t four
    __attribute__((__vector_size__(16), __aligned__(4), __may_alias__));

static inline four *
FOUR(int32_t *words, int at)
{
	return ((four *)(void *)(words + at));
}

/* Both arrays in one: what is before its begin, or beyond its end, is read and
 * not used. */
static inline int32_t *
ROW_WORDS(struct row *rw)
{
	return ((int32_t *)(void *)((char *)rw + offsetof(struct row, rw_off)));
}
#define TAG_WORDS ((int)ROW_PLACES)
#define LAST_FOUR ((int)ROW_PLACES - 4)
_Static_assert(offsetof(struct row, rw_tag) - offsetof(struct row, rw_off) ==
    ROW_PLACES * sizeof(int32_t), "TAG_WORDS");

/* Tag `to' and the next three become those from `from' on. */
static inline void
four_move(int32_t *words, int to, int from)
{
	*FOUR(words, to) = *FOUR(words, from);
	*FOUR(words, TAG_WORDS + to) = *FOUR(words, TAG_WORDS + from);
}

/* The same, but for those before `slot'. */
static inline void
four_blend(int32_t *words, int to, int from, int slot)
{
	four beyond = (four) { 0, 1, 2, 3 } >= slot - to;
	four *off = FOUR(words, to), *tag = FOUR(words, TAG_WORDS + to);

	*off = (*off & ~beyond) | (*FOUR(words, from) & beyond);
	*tag = (*tag & ~beyond) | (*FOUR(words, TAG_WORDS + from) & beyond);
}

/* Room for `n' tags, one or two, before `slot'. */
static inline void
tags_open(struct row *rw, unsigned int slot, unsigned int n)
{
	int32_t *words = ROW_WORDS(rw);
	int to;

	for (to = (int)((rw->rw_count + n - 1) & ~3u); to > (int)slot; to -= 4)
		four_move(words, to, to - (int)n);
	four_blend(words, to, to - (int)n, (int)slot);
	rw->rw_free = (rw->rw_free & bits_below(slot)) |
	    (rw->rw_free & ~bits_below(slot)) << n;
	rw->rw_count = (uint16_t)(rw->rw_count + n);
}

/* Take out `n' tags, one or two, from `slot' on. */
static inline void
tags_close(struct row *rw, unsigned int slot, unsigned int n)
{
	int32_t *words = ROW_WORDS(rw);
	unsigned int count = rw->rw_count;
	int to = (int)(slot & ~3u);
	int last = (int)count < LAST_FOUR ? (int)count : LAST_FOUR;

	if (to < LAST_FOUR)
		four_blend(words, to, to + (int)n, (int)slot);
	for (to += 4; to < last; to += 4)
		four_move(words, to, to + (int)n);
	for (unsigned int i = slot > LAST_FOUR ? slot : LAST_FOUR;
	     i + n < count; i++) {
		rw->rw_off[i] = rw->rw_off[i + n];
		rw->rw_tag[i] = rw->rw_tag[i + n];
	}
	rw->rw_off[count - n] = OFF_UNUSED;
	rw->rw_off[count - 1] = OFF_UNUSED;
	rw->rw_free = (rw->rw_free & bits_below(slot)) |
	    (rw->rw_free >> n & ~bits_below(slot));
	rw->rw_count = (uint16_t)(count - n);
}

/* Where a row is split that has no room for what comes after `slot`. */
static unsigned int
split_at(const struct row *rw, unsigned int slot)
{
	if (slot + 2 >= rw->rw_count)
		return (slot);
	return (slot <= 1 ? slot + 1 : rw->rw_count / 2u);
}

/* Room for `count` tags after p, which may move to the new row. */
static struct place
row_room(struct vmem *vm, struct place p, unsigned int count)
{
	struct row *rw = ROW(p.row);
	unsigned int at;
	uint32_t upper;

	if (__builtin_expect(rw->rw_count + count <= ROW_TAGS, 1))
		return (p);
	at = split_at(rw, p.slot);
	upper = row_split(vm, p.row, at);
	return (p.slot < at ? p : (struct place) { upper, p.slot - at });
}

/* Is p the last of its row, and has the next one room, and reach, for `count`
 * tags more, which come first, from `start` on? */
static bool
row_spills(struct place p, uint64_t start, unsigned int count)
{
	const struct row *rw = ROW(p.row), *up = ROW(rw->rw_next);

	if (p.slot + 1 != rw->rw_count || rw->rw_next == UNIT_NIL)
		return (false);
	return (up->rw_count + count <= ROW_TAGS &&
	    up->rw_base + (uint64_t)up->rw_off[up->rw_count - 1] - start <
		ROW_REACH);
}

/* A new first tag. */
static struct place
first_insert(struct vmem *vm, uint32_t row, uint64_t start, uint32_t tag)
{
	struct place p = { row, 0 };
	struct row *rw = ROW(row);
	uint64_t base = rw->rw_base;

	hint_hand(vm, rw->rw_prev, start, base, row);
	tags_open(rw, 0, 1);
	for (unsigned int i = 1; i < rw->rw_count; i++)
		rw->rw_off[i] += (int32_t)(base - start);
	rw->rw_off[0] = 0;
	rw->rw_base = start;
	ROW(rw->rw_prev)->rw_end = start;
	addrtree_change(vm, &vm->vm_rows, base, start);
	tag_set(p, tag);
	return (p);
}

/* A new tag beyond p, the last of its row: the first of the next one, if there
 * is no unit to waste; or of a row of its own. */
static struct place
row_extend(struct vmem *vm, struct place p, uint64_t start, uint32_t tag)
{
	struct addrentry entry;

	ASSERT(p.slot + 1 == ROW(p.row)->rw_count);
	if (stock_is_short(vm) && row_spills(p, start, 1))
		return (first_insert(vm, ROW(p.row)->rw_next, start, tag));
	p.row = row_make(vm, p.row, start, ROW(p.row)->rw_end);
	p.slot = 0;
	ROW(p.row)->rw_count = 1;
	ROW(p.row)->rw_off[0] = 0;
	tag_set(p, tag);
	entry = entry_of(p.row);
	addrtree_insert(vm, &vm->vm_rows, &entry);
	hint_count(vm);
	return (p);
}

/* A new tag after p: p's segment ends at `start`, and the rest of it is the new
 * tag's.  `more` tags will follow at once.  Returns the new tag's place. */
static struct place
row_insert(struct vmem *vm, struct place p, uint64_t start, uint32_t tag,
    unsigned int more)
{
	struct row *rw = ROW(p.row);

	vm->vm_ntags++;
	/* So far up that p is the last of its row. */
	if (__builtin_expect(!row_reaches(rw, start), 0))
		return (row_extend(vm, p, start, tag));
	if (__builtin_expect(stock_is_short(vm), 0)) {
		more = 0;
		if (rw->rw_count == ROW_TAGS && p.slot + 1 == rw->rw_count)
			return (row_extend(vm, p, start, tag));
	}
	p = row_room(vm, p, 1 + more);
	rw = ROW(p.row);
	p.slot++;
	tags_open(rw, p.slot, 1);
	rw->rw_off[p.slot] = (int32_t)(start - rw->rw_base);
	tag_set(p, tag);
	return (p);
}

/* What the row has no room for, or what lies too far apart. */
static __attribute__((noinline)) struct place
part_slowly(struct vmem *vm, struct place p, uint64_t start, uint64_t end,
    uint32_t tag, uint32_t rest)
{
	uint32_t span = TAG(p) & (TAG_SPAN | TAG_IMPORTED);
	bool head = start != tag_start(p);
	bool tail = end != tag_start(p) + tag_size(p);

	tag_set(p, span | rest);
	if (head)
		p = row_insert(vm, p, start, rest, tail);
	if (tail) {
		p = row_insert(vm, p, end, rest, 0);
		(void)tag_below(p, &p);
	}
	tag_set(p, tag | (head ? 0 : span));
	return (p);
}

/*
 * [start, end) becomes a segment of its own, with that tag, out of the one at
 * p, which is in no bin.  What is left of it, one below, one above, has the tag
 * `rest'.  None is free.  A span that begins at p still does.  Returns the place
 * of [start, end).
 */
struct place
row_part(struct vmem *vm, struct place p, uint64_t start, uint64_t end,
    uint32_t tag, uint32_t rest)
{
	struct row *rw = ROW(p.row);
	uint32_t span = TAG(p) & (TAG_SPAN | TAG_IMPORTED);
	unsigned int head = start != tag_start(p);
	unsigned int tail = end != tag_start(p) + tag_size(p), n = head + tail;

	if (__builtin_expect(rw->rw_count + n > ROW_TAGS ||
		!row_reaches(rw, tail != 0 ? end : start), 0))
		return (part_slowly(vm, p, start, end, tag, rest));
	vm->vm_ntags += n;
	if (n != 0) {
		tags_open(rw, p.slot + 1, n);
		rw->rw_off[p.slot + n] = (int32_t)(end - rw->rw_base);
		rw->rw_tag[p.slot + n] = rest;
	}
	if (head != 0) {
		tag_set(p, span | rest);
		p.slot++;
		rw->rw_off[p.slot] = (int32_t)(start - rw->rw_base);
		span = 0;
	}
	tag_set(p, span | tag);
	return (p);
}

/* The first tag of a row goes: the row begins where the next one does. */
static void
first_remove(struct vmem *vm, uint32_t row)
{
	struct row *rw = ROW(row);
	uint64_t base = rw->rw_base;
	int32_t shift;

	if (rw->rw_count == 1) {
		row_drop(vm, row);
		return;
	}
	shift = rw->rw_off[1];
	hint_hand(vm, row, base, base + (uint64_t)shift, rw->rw_prev);
	tags_close(rw, 0, 1);
	for (unsigned int i = 0; i < rw->rw_count; i++)
		rw->rw_off[i] -= shift;
	rw->rw_base += (uint64_t)shift;
	ROW(rw->rw_prev)->rw_end = rw->rw_base;
	addrtree_change(vm, &vm->vm_rows, base, rw->rw_base);
	row_due(vm, row, true); /* it may have been the largest */
}

/*
 * The segments of the next `n' tags become part of the one at p, whatever they
 * were.  Rows that these tags alone were in are gone then.
 */
void
row_absorb(struct vmem *vm, struct place p, unsigned int n)
{
	struct place above;

	vm->vm_ntags -= n;
	if (__builtin_expect(p.slot + n < ROW(p.row)->rw_count, 1)) {
		if (n != 0)
			tags_close(ROW(p.row), p.slot + 1, n);
		return;
	}
	for (; n > 0 && tag_above(p, &above); n--)
		if (above.slot > 0)
			tags_close(ROW(above.row), above.slot, 1);
		else
			first_remove(vm, above.row);
}
