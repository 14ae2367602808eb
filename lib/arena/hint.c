/*
 * hint.c - guesses which row an address lies in.
 *
 * The tree of rows finds an address's row by a descent: a level for each factor
 * of 16, and for many rows a cache miss more than the row's own.  So where an
 * address was found before is remembered, by granules of a few hundred quanta:
 * a table of row numbers, direct-mapped by (quantum >> vm_hint_shift).  A guess
 * is right if the row's range, which is in its first line, has the address; if
 * not, the tree is asked, and the table learns.
 *
 *	quantum  ....|....|....|....|....|....|....
 *	rows     <--- 17 ---><------ 4 -------><--- 23 ---
 *	table    [17] [17] [4 ] [4 ] [4 ] [23]
 *
 * 1. An entry is UNIT_NIL, or names a row that has something of the granule.
 * Rows come, go, and change where they begin or end in one way only: a part of
 * one, or all of it, becomes its neighbour's.  Before that hint_hand() looks at
 * the part's granules, and what names the giver names the taker from then on,
 * so that nothing is unlearnt.  Rows of more than HINT_GRANULES aren't named:
 * so this is bounded.
 *
 * 2. The table has HINT_LEAST entries a row, up to twice that, so it doubles
 * as the rows do.  A granule is so large that the rows have about as many of
 * them as there are entries: what a row's range is, a sample says, without what
 * is unlike the others.  Measured under random churn, one guess in eight is the
 * neighbour of the row that it should be, and one in a hundred wrong; where as
 * many were as there are entries, the granule's size is looked at again.  A new
 * table begins empty.  It is made after an operation, when the lock has been
 * released (stock_leave()); if there is no memory, nothing is lost but time.
 * The arena that tables come from has none itself.
 */
#include "config.h"

#include "arena/arena_impl.h"

#ifndef HINT_GRANULES
#define HINT_GRANULES 64u
#endif
#define HINT_LEAST 4u
#define HINT_SAMPLE 33u
/* Rows from which on there is a table; its smallest is a page. */
#ifndef HINT_FROM
#define HINT_FROM 8u
#define HINT_MIN 1024u
#endif

static inline uint32_t *
hint_of(const struct vmem *vm, uint64_t granule)
{
	return (&vm->vm_hint[granule & vm->vm_hint_mask]);
}

static inline bool
row_has(const struct row *rw, uint64_t quantum)
{
	return (quantum - rw->rw_base < rw->rw_end - rw->rw_base);
}

/* The row that has the quantum, or UNIT_NIL: ask the tree. */
static inline uint32_t
hint_find(const struct vmem *vm, uint64_t quantum)
{
	const struct row *rw;
	uint32_t row;

	if (__builtin_expect(vm->vm_hint == NULL, 0))
		return (UNIT_NIL);
	row = *hint_of(vm, quantum >> vm->vm_hint_shift);
	rw = ROW(row);
	unit_prefetch(rw);
	if (row == UNIT_NIL)
		return (UNIT_NIL);
	if (__builtin_expect(row_has(rw, quantum), 1))
		return (row);
	/* A granule that rows meet in. */
	row = quantum < rw->rw_base ? rw->rw_prev : rw->rw_next;
	return (row != UNIT_NIL && row_has(ROW(row), quantum) ? row : UNIT_NIL);
}

/* The row's granules, both inclusive; false: they are too many. */
static inline bool
granules(const struct vmem *vm, const struct row *rw, uint64_t *first,
    uint64_t *last)
{
	*first = rw->rw_base >> vm->vm_hint_shift;
	*last = (rw->rw_end - 1) >> vm->vm_hint_shift;
	return (*last - *first < HINT_GRANULES);
}

static void
hint_learn(struct vmem *vm, uint64_t quantum, uint32_t row)
{
	struct row *rw = ROW(row);
	uint64_t first, last;

	if (vm->vm_hint == NULL)
		return;
	/* As many as there are entries: it's time to look at the range. */
	if (++vm->vm_hint_wrong > vm->vm_hint_mask)
		vm->vm_hint_due = true;
	if (!granules(vm, rw, &first, &last))
		return;
	*hint_of(vm, quantum >> vm->vm_hint_shift) = row;
	rw->rw_hinted = 1;
}

/* What names the row among the granules of [from, upto), a part of it, names
 * another, or UNIT_NIL. */
static inline void
hint_rename(
    struct vmem *vm, uint32_t row, uint64_t from, uint64_t upto, uint32_t other)
{
	uint64_t first, last;

	if (ROW(row)->rw_hinted == 0 || !granules(vm, ROW(row), &first, &last))
		return; /* or it is learnt by a former table */
	last = (upto - 1) >> vm->vm_hint_shift;
	for (uint64_t i = from >> vm->vm_hint_shift; i <= last; i++)
		if (*hint_of(vm, i) == row)
			*hint_of(vm, i) = other;
}

/* Before [from, upto), at one end of a row or all of it, becomes part of its
 * neighbour `to', which may have nothing else. */
static void
hint_hand(struct vmem *vm, uint32_t row, uint64_t from, uint64_t upto,
    uint32_t to)
{
	struct row *rw = ROW(to);
	uint64_t base = from < rw->rw_base ? from : rw->rw_base;
	uint64_t last = upto - 1 > rw->rw_end - 1 ? upto - 1 : rw->rw_end - 1;

	if (vm->vm_hint == NULL)
		return;
	if ((last >> vm->vm_hint_shift) - (base >> vm->vm_hint_shift) >=
	    HINT_GRANULES) {
		hint_rename(vm, to, rw->rw_base, rw->rw_end, UNIT_NIL);
		rw->rw_hinted = 0;
		to = UNIT_NIL;
	} else
		rw->rw_hinted |= ROW(row)->rw_hinted;
	hint_rename(vm, row, from, upto, to);
}

/* ---- the table ---------------------------------------------------------- */

/* There are more rows, or fewer. */
static inline void
hint_count(struct vmem *vm)
{
	uint64_t rows = vm->vm_rows.at_count;

	if (__builtin_expect(rows >= vm->vm_hint_above, 0) ||
	    __builtin_expect(rows < vm->vm_hint_below, 0))
		vm->vm_hint_due = true;
}

static uint64_t
hint_entries(const struct vmem *vm)
{
	uint64_t n = HINT_MIN, rows = vm->vm_rows.at_count;

	if (rows < HINT_FROM || meta_is(vm))
		return (0);
	while (n < rows * HINT_LEAST)
		n *= 2;
	return (n);
}

static inline unsigned int
log2_of(uint64_t x)
{
	return (x == 0 ? 0 : 63 - (unsigned int)__builtin_clzll(x));
}

/* A row's range, as a rule: the mean of those that follow where was allocated
 * last, but for what is far beyond the median: less than a 32nd of all. */
static uint64_t
range_sample(struct vmem *vm)
{
	unsigned int count[64] = { 0 }, n = 0, below = 0, log2 = 0;
	uint64_t range[HINT_SAMPLE], sum = 0, most;
	uint32_t row = addrtree_child(
	    vm, &vm->vm_rows, to_quanta(vm, vm->vm_cursor));

	for (; n < HINT_SAMPLE && row != UNIT_NIL; row = ROW(row)->rw_next) {
		range[n] = ROW(row)->rw_end - ROW(row)->rw_base;
		count[log2_of(range[n++])]++;
	}
	while (below + count[log2] <= n / 2)
		below += count[log2++];
	most = log2 > 60 ? UINT64_MAX / HINT_SAMPLE : UINT64_C(4) << log2;
	for (unsigned int i = 0; i < n; i++)
		sum += range[i] < most ? range[i] : most;
	return (sum / n);
}

/* Of a granule: such that the rows have no more of them than there are entries,
 * nor less than half as many.  The present one will do if that's about so. */
static unsigned int
hint_shift(struct vmem *vm, uint64_t entries)
{
	uint64_t each = 8 * range_sample(vm) /
	    (8 * entries / vm->vm_rows.at_count);
	unsigned int now = vm->vm_hint_shift;

	if (vm->vm_hint != NULL && now > log2_of(each - each / 4) &&
	    now <= log2_of(each + each / 4) + 1)
		return (now);
	return (log2_of(each) + 1);
}

/* Between what numbers of rows the present table, or none, is right. */
static void
hint_bounds(struct vmem *vm, uint64_t entries)
{
	vm->vm_hint_wrong = 0;
	vm->vm_hint_above = meta_is(vm) ? UINT64_MAX :
	    entries == 0 ? HINT_FROM : entries / HINT_LEAST + 1;
	vm->vm_hint_below = entries == 0 ? 0 :
	    entries == HINT_MIN ? HINT_FROM / 2 : entries / HINT_LEAST / 8;
}

static size_t
hint_bytes(const struct vmem *vm)
{
	return (((size_t)vm->vm_hint_mask + 1) * sizeof(uint32_t));
}

/* Without the lock: a table that fits the rows. */
void
hint_fit(struct vmem *vm)
{
	uint64_t entries, has;
	uint32_t *table = NULL, *old;
	unsigned int shift;
	size_t bytes;
	bool fits;

	lock_acquire(&vm->vm_lock);
	entries = hint_entries(vm);
	has = vm->vm_hint == NULL ? 0 : (uint64_t)vm->vm_hint_mask + 1;
	shift = entries == 0 ? 0 : hint_shift(vm, entries);
	vm->vm_hint_due = false;
	hint_bounds(vm, entries);
	fits = entries == has && (has == 0 || shift == vm->vm_hint_shift);
	lock_release(&vm->vm_lock);
	if (fits)
		return;
	if (entries != 0) {
		table = meta_alloc(entries * sizeof(*table));
		if (table == NULL)
			return;
	}
	lock_acquire(&vm->vm_lock);
	old = vm->vm_hint;
	bytes = hint_bytes(vm);
	vm->vm_hint = table;
	vm->vm_hint_mask = (uint32_t)(entries - 1);
	vm->vm_hint_shift = shift;
	lock_release(&vm->vm_lock);
	if (old != NULL)
		meta_free(old, bytes);
}

void
hint_fini(struct vmem *vm)
{
	if (vm->vm_hint != NULL)
		meta_free(vm->vm_hint, hint_bytes(vm));
	vm->vm_hint = NULL;
}

/* Each entry names a row that is there, and has something of the granule. */
const char *
hint_check(const struct vmem *vm)
{
	uint64_t first, last;

	for (uint64_t i = 0; vm->vm_hint != NULL && i <= vm->vm_hint_mask; i++) {
		uint32_t row = vm->vm_hint[i];
		const struct row *rw = ROW(row);

		if (row == UNIT_NIL)
			continue;
		if (addrtree_child(vm, &vm->vm_rows, rw->rw_base) != row ||
		    rw->rw_hinted == 0 || !granules(vm, rw, &first, &last) ||
		    ((i - first) & vm->vm_hint_mask) > last - first)
			return ("a hint names a row that isn't there");
	}
	return (NULL);
}
