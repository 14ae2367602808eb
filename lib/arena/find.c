/*
 * find.c - a free segment for a request, by its strategy: arena.c, 5.
 *
 * Searching changes no segment.  Every loop here looks at segments that are large
 * enough; what makes one disappoint is alignment, a border not to be crossed,
 * or the window.
 *
 * Under such constraints any number may disappoint: no order of segments that
 * there could be has those that fit together, for each alignment and phase and
 * window.  So that every search ends soon, it goes in two rounds.  The first
 * looks at segments that are large enough, in the strategy's order, but at no
 * more than FIT_LOOKS.  The second goes on from there, in the same order, among
 * those that are so large that the request fits wherever they lie (fit_sure()):
 * of these the first will do.  So strategies are exact as long as no more than
 * FIT_LOOKS disappoint, and for requests without constraints always; beyond,
 * they keep their order among the segments that surely fit, and if there is
 * none, there is nothing to be had.  Instant fit begins with the second round,
 * and then looks at INSTANT_LOOKS.  But first, if the size is a multiple of the
 * alignment, it looks at one segment that is large enough: where there are such
 * ranges, what was freed last of just that size is aligned as a rule, and taken
 * whole it costs no tag, nor the free that follows a join.
 *
 * Who waits would wait for ever for what isn't looked at: for such requests the
 * first round has no end (ft_all).
 */
#include "config.h"

#include "arena/arena_impl.h"

static bool
fits(const struct vmem *vm, const struct fit *ft, struct place p,
    uint64_t *addrp)
{
	uint64_t start = tag_start(p);
	uint64_t first = to_addr(vm, start);
	uint64_t last = to_addr(vm, start + tag_size(p)) - 1;

	if (ft->ft_policy == VM_LASTFIT)
		return (fit_high(ft, first, last, addrp));
	return (fit_low(ft, first, last, addrp));
}

static uint64_t
tag_addr(const struct vmem *vm, struct place p)
{
	return (to_addr(vm, tag_start(p)));
}

/* So many are looked at in the first round. */
static uint64_t
looks_of(const struct fit *ft)
{
	return (ft->ft_all ? UINT64_MAX : FIT_LOOKS);
}

/* Smallest first, of those of at least `size'. */
static struct place
look_by_size(struct vmem *vm, const struct fit *ft, uint64_t size,
    uint64_t looks, uint64_t *addrp)
{
	struct place p = fl_best(vm, to_quanta(vm, size));

	for (; is_place(p) && !fits(vm, ft, p, addrp); p = fl_after(vm, p))
		if (--looks == 0)
			return (PLACE_NIL);
	return (p);
}

static struct place
find_by_size(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint64_t sure = fit_sure(ft);
	struct place p;

	if (ft->ft_policy != VM_INSTANTFIT) {
		p = look_by_size(vm, ft, ft->ft_size, looks_of(ft), addrp);
		return (is_place(p) ? p :
			look_by_size(vm, ft, sure, 1, addrp));
	}
	if ((ft->ft_size & (ft->ft_align - 1)) == 0) {
		p = look_by_size(vm, ft, ft->ft_size, 1, addrp);
		if (is_place(p))
			return (p);
	}
	p = look_by_size(vm, ft, sure, 1, addrp);
	return (is_place(p) ? p :
		look_by_size(vm, ft, ft->ft_size, INSTANT_LOOKS, addrp));
}

/* ---- by address --------------------------------------------------------- */

/* The first free segment of so many quanta in a row, from *slot on. */
static bool
row_first(const struct row *rw, uint64_t size, unsigned int *slot)
{
	uint64_t bits = *slot < ROW_PLACES ? rw->rw_free >> *slot << *slot : 0;

	for (; bits != 0; bits &= bits - 1) {
		*slot = (unsigned int)__builtin_ctzll(bits);
		if (row_size(rw, *slot) >= size)
			return (true);
	}
	return (false);
}

/* The last one, down from *slot, which may be one below the row. */
static bool
row_last(const struct row *rw, uint64_t size, unsigned int *slot)
{
	uint64_t bits;

	if (*slot >= ROW_PLACES)
		return (false);
	bits = rw->rw_free & ((UINT64_C(2) << *slot) - 1);
	while (bits != 0) {
		*slot = 63 - (unsigned int)__builtin_clzll(bits);
		if (row_size(rw, *slot) >= size)
			return (true);
		bits &= ~(UINT64_C(1) << *slot);
	}
	return (false);
}

/* The first free segment of so many quanta from p on. */
static bool
seek_up(const struct vmem *vm, struct place *p, uint64_t size)
{
	struct addrentry entry;

	for (;;) {
		const struct row *rw = ROW(p->row);

		STEP(vm);
		if (rw->rw_max >= size && row_first(rw, size, &p->slot))
			return (true);
		/* Where the next row begins; 0: there is none. */
		if (rw->rw_end == 0 || !addrtree_first(&vm->vm_rows,
			rw->rw_end, size, &entry))
			return (false);
		*p = (struct place) { entry.ae_child, 0 };
	}
}

/* The last one up to p; p.slot may be one below its row. */
static bool
seek_down(const struct vmem *vm, struct place *p, uint64_t size)
{
	struct addrentry entry;

	for (;;) {
		const struct row *rw = ROW(p->row);

		STEP(vm);
		if (rw->rw_max >= size && row_last(rw, size, &p->slot))
			return (true);
		if (rw->rw_base == 0 || !addrtree_last(&vm->vm_rows,
			rw->rw_base - 1, size, &entry))
			return (false);
		*p = (struct place) { entry.ae_child,
			ROW(entry.ae_child)->rw_count - 1u };
	}
}

/* Lowest address first, from p on, of those of at least `size'. */
static bool
look_upwards(struct vmem *vm, const struct fit *ft, uint64_t size,
    uint64_t looks, struct place *p, uint64_t *addrp)
{
	for (; looks > 0 && seek_up(vm, p, to_quanta(vm, size)) &&
	     tag_addr(vm, *p) <= ft->ft_max; p->slot++, looks--)
		if (fits(vm, ft, *p, addrp))
			return (true);
	return (false);
}

static bool
look_downwards(struct vmem *vm, const struct fit *ft, uint64_t size,
    uint64_t looks, struct place *p, uint64_t *addrp)
{
	for (; looks > 0 && seek_down(vm, p, to_quanta(vm, size));
	     p->slot--, looks--) {
		if (fits(vm, ft, *p, addrp))
			return (true);
		if (tag_addr(vm, *p) <= ft->ft_min)
			break;
	}
	return (false);
}

/* Those that surely fit, further on: the window may cut the last one. */
#define SURE_LOOKS 2u

static bool
find_upwards(struct vmem *vm, const struct fit *ft, struct place *p,
    uint64_t *addrp)
{
	*p = row_find(vm, to_quanta(vm, ft->ft_min));
	return (look_upwards(vm, ft, ft->ft_size, looks_of(ft), p, addrp) ||
	    look_upwards(vm, ft, fit_sure(ft), SURE_LOOKS, p, addrp));
}

static bool
find_downwards(struct vmem *vm, const struct fit *ft, struct place *p,
    uint64_t *addrp)
{
	*p = row_find(vm, to_quanta(vm, ft->ft_max));
	return (look_downwards(vm, ft, ft->ft_size, looks_of(ft), p, addrp) ||
	    look_downwards(vm, ft, fit_sure(ft), SURE_LOOKS, p, addrp));
}

/*
 * The smallest that fits within the window.  By address and by size at the same
 * time, until one way is at its end: all in the window have been seen, or the
 * first in order of size is in it.  If neither is, the smallest that was seen
 * will do.  Strays are found by address alone.
 */
static bool
find_best_in_window(struct vmem *vm, const struct fit *ft, struct place *bestp,
    uint64_t *addrp)
{
	uint64_t size = to_quanta(vm, ft->ft_size), best = 0, addr;
	uint64_t looks = looks_of(ft);
	struct place p = row_find(vm, to_quanta(vm, ft->ft_min));
	struct place q = vm->vm_free.fl_strays == 0 ? fl_best(vm, size) :
						      PLACE_NIL;

	for (; looks > 0 && seek_up(vm, &p, size) &&
	     tag_addr(vm, p) <= ft->ft_max; p.slot++, looks--) {
		if ((best == 0 || tag_size(p) < best) &&
		    fits(vm, ft, p, &addr)) {
			best = tag_size(p);
			*bestp = p;
			*addrp = addr;
		}
		if (is_place(q) && fits(vm, ft, q, addrp)) {
			*bestp = q;
			return (true);
		}
		q = is_place(q) ? fl_after(vm, q) : q;
	}
	if (best != 0)
		return (true);
	*bestp = p;
	return (look_upwards(vm, ft, fit_sure(ft), SURE_LOOKS, bestp, addrp));
}

/* From the cursor on, then from the start. */
static bool
find_next(struct vmem *vm, const struct fit *ft, struct place *p,
    uint64_t *addrp)
{
	struct fit rest = *ft;

	if (vm->vm_cursor > ft->ft_min && vm->vm_cursor <= ft->ft_max) {
		rest.ft_min = vm->vm_cursor;
		if (find_upwards(vm, &rest, p, addrp))
			return (true);
	}
	return (find_upwards(vm, ft, p, addrp));
}

/* Two segments at most may be cut by the window, and disappoint. */
static bool
find_instant_in_window(struct vmem *vm, const struct fit *ft, struct place *p,
    uint64_t *addrp)
{
	struct place first = row_find(vm, to_quanta(vm, ft->ft_min));

	*p = first;
	if (look_upwards(vm, ft, fit_sure(ft), 1 + SURE_LOOKS, p, addrp))
		return (true);
	*p = first;
	return (look_upwards(vm, ft, ft->ft_size, INSTANT_LOOKS, p, addrp));
}

static struct place
find_by_address(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	struct place p;
	bool found;

	rows_settle(vm);
	switch (ft->ft_policy) {
	case VM_FIRSTFIT:
		found = find_upwards(vm, ft, &p, addrp);
		break;
	case VM_LASTFIT:
		found = find_downwards(vm, ft, &p, addrp);
		break;
	case VM_NEXTFIT:
		found = find_next(vm, ft, &p, addrp);
		break;
	case VM_BESTFIT:
		found = find_best_in_window(vm, ft, &p, addrp);
		break;
	default:
		found = find_instant_in_window(vm, ft, &p, addrp);
	}
	return (found ? p : PLACE_NIL);
}

static bool
by_address(const struct fit *ft)
{
	return (ft->ft_window ||
	    (ft->ft_policy & (VM_INSTANTFIT | VM_BESTFIT)) == 0);
}

/* A free segment in which the request fits, and where, or PLACE_NIL: with
 * vm_lock held. */
struct place
arena_find(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	struct place p;

	vm->vm_lookups++;
	if (by_address(ft))
		return (find_by_address(vm, ft, addrp));
	if (ft->ft_plain) {
		p = fl_lowest(vm, to_quanta(vm, ft->ft_size),
		    ft->ft_policy == VM_BESTFIT ? FL_TIES_BEST : FL_TIES);
		if (is_place(p))
			*addrp = tag_addr(vm, p);
	} else
		p = find_by_size(vm, ft, addrp);
	/* What is in no bin is found by its address. */
	if (!is_place(p) && __builtin_expect(vm->vm_free.fl_strays > 0, 0))
		p = find_by_address(vm, ft, addrp);
	return (p);
}
