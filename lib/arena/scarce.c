/*
 * scarce.c - allocating when memory for boundary tags has run out.
 *
 * As a rule nothing begins with less than the worst case takes (arena_low()).
 * When so much isn't to be had, most requests could still be met: one for a
 * free segment of just that size needs no tag, and a tag needs no unit where
 * its row has room, or the next row has.  So then the arena looks for a place
 * that it can afford: what the strategy says; else in the segment that was
 * freed last; else in some that are large enough, the smallest first.
 *
 * The one that was freed last, for who frees a range expects that one of its
 * size can be had again.  A free that joins neighbours takes out their tags,
 * and to put it back restores them: where a tag was taken out there is room for
 * one, and where its row went with it, the units that went are in the stock
 * (lib/arena/row.c, addrtree.c: an insertion splits no more than it must).  So
 * besides both ends of that segment the very place is tried.
 *
 * With vm_lock held.
 */
#include "config.h"

#include "arena/arena_impl.h"

/* Segments looked at for one that needs no unit. */
#define SCARCE_LOOKS 32u

/* ---- what a place costs ------------------------------------------------ */

/* The units that an insertion into the tree takes. */
static unsigned int
entry_need(const struct vmem *vm, uint64_t key)
{
	unsigned int full = addrtree_full(&vm->vm_rows, key);

	return (full + (full == vm->vm_rows.at_depth)); /* a new root */
}

/* The units that one tag after p takes, if the stock is short. */
static unsigned int
need_one(const struct vmem *vm, struct place p, uint64_t start)
{
	const struct row *rw = ROW(p.row);
	uint64_t base = start;

	if (row_reaches(rw, start) && rw->rw_count < ROW_TAGS)
		return (0);
	if (row_spills(p, start, 1))
		return (0);
	if (p.slot + 1 != rw->rw_count)
		base = rw->rw_base + (uint64_t)rw->rw_off[split_at(rw, p.slot)];
	return (1 + entry_need(vm, base));
}

/* Two tags, at `start` and `end`. */
static unsigned int
need_two(const struct vmem *vm, struct place p, uint64_t start, uint64_t end)
{
	const struct row *rw = ROW(p.row);
	bool last = p.slot + 1 == rw->rw_count;

	if (row_reaches(rw, end) && rw->rw_count + 2u <= ROW_TAGS)
		return (0);
	if (last && row_reaches(rw, start) && rw->rw_count < ROW_TAGS)
		return (row_spills(p, end, 1) ?
			0 :
			1 + entry_need(vm, end));
	if (last && row_spills(p, start, 2))
		return (0);
	if (last && !row_spills(p, start, 1) &&
	    (end - start < ROW_REACH || row_spills(p, end, 1)))
		return (1 + entry_need(vm, start));
	/* Two rows, and two ways down that have the root in common. */
	return (2 + 2 * vm->vm_rows.at_depth);
}

/*
 * The units that it takes to cut [start, start + size) out of the segment at p
 * (arena_carve()) if the stock is short: an upper bound, and exact but for two
 * tags that need two rows.
 */
static unsigned int
row_need(const struct vmem *vm, struct place p, uint64_t start, uint64_t size)
{
	uint64_t end = start + size;
	bool head = start != tag_start(p), tail = end != tag_start(p) + tag_size(p);

	if (head && tail)
		return (need_two(vm, p, start, end));
	return (head ? need_one(vm, p, start) :
		tail ? need_one(vm, p, end) :
		       0);
}

/* Can [addr, addr + size) be cut out of the segment at p? */
bool
arena_affords(
    struct vmem *vm, struct place p, uint64_t addr, uint64_t size)
{
	uint32_t tag = TAG(p);
	unsigned int need, bin, back = 0;

	if (__builtin_expect(!stock_is_short(vm), 1))
		return (true);
	need = row_need(vm, p, to_quanta(vm, addr), to_quanta(vm, size));
	/* Its bin may give one back. */
	if ((tag & (TAG_FREE | TAG_LARGE)) == TAG_FREE &&
	    (tag & TAG_PLACE) != PLACE_NONE) {
		bin = (unsigned int)tag_size(p) - 1;
		back = bin_turns(BIN(&vm->vm_free, bin)->bn_count - 1);
	}
	return (need <= vm->vm_nunits + back);
}

/* ---- finding one ---------------------------------------------------------- */

/* At either end of the segment at p, or from `at` on. */
static bool
affordable_in(struct vmem *vm, const struct fit *ft, struct place p,
    uint64_t at, uint64_t *addrp)
{
	uint64_t first = tag_addr(vm, p);
	uint64_t last = to_addr(vm, tag_start(p) + tag_size(p)) - 1;

	if (at < first || at > last)
		at = first;
	return ((fit_low(ft, first, last, addrp) &&
		    arena_affords(vm, p, *addrp, ft->ft_size)) ||
	    (fit_high(ft, first, last, addrp) &&
		arena_affords(vm, p, *addrp, ft->ft_size)) ||
	    (fit_low(ft, at, last, addrp) &&
		arena_affords(vm, p, *addrp, ft->ft_size)));
}

/* As arena_find(), but a place that it can afford. */
struct place
arena_find_scarce(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint64_t freed = to_addr(vm, vm->vm_freed_at);
	struct place p = arena_find(vm, ft, addrp);

	if (!is_place(p) || arena_affords(vm, p, *addrp, ft->ft_size))
		return (p);
	p = row_find(vm, vm->vm_freed_at);
	if ((TAG(p) & TAG_FREE) != 0 &&
	    affordable_in(vm, ft, p, freed, addrp))
		return (p);
	p = fl_best(vm, to_quanta(vm, ft->ft_size));
	for (unsigned int n = 0; is_place(p) && n < SCARCE_LOOKS; n++) {
		if (affordable_in(vm, ft, p, 0, addrp))
			return (p);
		p = fl_after(vm, p);
	}
	return (PLACE_NIL);
}
