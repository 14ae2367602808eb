/*
 * find.c - a free segment for a request, by its strategy: arena.c, 5.
 *
 * Searching changes no segment.  Every loop here looks at segments that are large
 * enough; what makes one disappoint is alignment, a border not to be crossed,
 * or the window.
 */
#include "config.h"

#include "arena/arena_impl.h"

/* Segments that instant fit looks at beyond the one that is sure to fit. */
#define INSTANT_LOOKS 64u

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

/* Smallest first. */
static bool
find_by_size(struct vmem *vm, const struct fit *ft, struct place *p,
    uint64_t *addrp)
{
	uint64_t sure = fit_sure(ft);
	unsigned int looks = INSTANT_LOOKS;
	bool found;

	if (ft->ft_policy == VM_INSTANTFIT &&
	    fl_best(vm, to_quanta(vm, sure), p) && fits(vm, ft, *p, addrp))
		return (true);
	for (found = fl_best(vm, to_quanta(vm, ft->ft_size), p); found;
	     found = fl_after(vm, p)) {
		if (fits(vm, ft, *p, addrp))
			return (true);
		if (ft->ft_policy == VM_INSTANTFIT && --looks == 0)
			break;
	}
	return (false);
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

/* Lowest address first, from `from` on; segments of at least `size`. */
static bool
find_upwards(struct vmem *vm, const struct fit *ft, uint64_t from,
    uint64_t size, unsigned int looks, struct place *p, uint64_t *addrp)
{
	*p = row_find(vm, to_quanta(vm, from));
	for (; seek_up(vm, p, to_quanta(vm, size)) &&
	     tag_addr(vm, *p) <= ft->ft_max; p->slot++) {
		if (fits(vm, ft, *p, addrp))
			return (true);
		if (--looks == 0)
			break;
	}
	return (false);
}

static bool
find_downwards(struct vmem *vm, const struct fit *ft, struct place *p,
    uint64_t *addrp)
{
	*p = row_find(vm, to_quanta(vm, ft->ft_max));
	for (; seek_down(vm, p, to_quanta(vm, ft->ft_size)); p->slot--) {
		if (fits(vm, ft, *p, addrp))
			return (true);
		if (tag_addr(vm, *p) <= ft->ft_min)
			break;
	}
	return (false);
}

/* The smallest that fits within the window: looks at all in it that might. */
static bool
find_best_in_window(struct vmem *vm, const struct fit *ft, struct place *bestp,
    uint64_t *addrp)
{
	struct place p = row_find(vm, to_quanta(vm, ft->ft_min));
	uint64_t best = 0, addr;

	for (; seek_up(vm, &p, to_quanta(vm, ft->ft_size)) &&
	     tag_addr(vm, p) <= ft->ft_max; p.slot++)
		if ((best == 0 || tag_size(p) < best) &&
		    fits(vm, ft, p, &addr)) {
			best = tag_size(p);
			*bestp = p;
			*addrp = addr;
		}
	return (best != 0);
}

/* From the cursor on, then from the start. */
static bool
find_next(struct vmem *vm, const struct fit *ft, struct place *p,
    uint64_t *addrp)
{
	struct fit rest = *ft;

	if (vm->vm_cursor > ft->ft_min && vm->vm_cursor <= ft->ft_max) {
		rest.ft_min = vm->vm_cursor;
		if (find_upwards(vm, &rest, rest.ft_min, ft->ft_size,
			UINT32_MAX, p, addrp))
			return (true);
	}
	return (find_upwards(
	    vm, ft, ft->ft_min, ft->ft_size, UINT32_MAX, p, addrp));
}

static bool
find_in_window(struct vmem *vm, const struct fit *ft, struct place *p,
    uint64_t *addrp)
{
	if (ft->ft_policy == VM_BESTFIT)
		return (find_best_in_window(vm, ft, p, addrp));
	/* Two segments at most may be cut by the window, and disappoint. */
	return (find_upwards(vm, ft, ft->ft_min, fit_sure(ft), 3, p, addrp) ||
	    find_upwards(vm, ft, ft->ft_min, ft->ft_size, INSTANT_LOOKS, p,
		addrp));
}

static bool
find_by_address(struct vmem *vm, const struct fit *ft, struct place *p,
    uint64_t *addrp)
{
	rows_settle(vm);
	switch (ft->ft_policy) {
	case VM_FIRSTFIT:
		return (find_upwards(vm, ft, ft->ft_min, ft->ft_size,
		    UINT32_MAX, p, addrp));
	case VM_LASTFIT:
		return (find_downwards(vm, ft, p, addrp));
	case VM_NEXTFIT:
		return (find_next(vm, ft, p, addrp));
	default:
		return (find_in_window(vm, ft, p, addrp));
	}
}

static bool
by_address(const struct fit *ft)
{
	return (ft->ft_window ||
	    (ft->ft_policy & (VM_INSTANTFIT | VM_BESTFIT)) == 0);
}

/* A free segment in which the request fits, and where: with vm_lock held. */
bool
arena_find(struct vmem *vm, const struct fit *ft, struct place *p,
    uint64_t *addrp)
{
	bool found;

	vm->vm_lookups++;
	if (by_address(ft))
		return (find_by_address(vm, ft, p, addrp));
	if (ft->ft_plain) {
		found = fl_lowest(vm, to_quanta(vm, ft->ft_size), p);
		if (found)
			*addrp = tag_addr(vm, *p);
	} else
		found = find_by_size(vm, ft, p, addrp);
	/* What is in no bin is found by its address. */
	if (!found && __builtin_expect(vm->vm_free.fl_strays > 0, 0))
		found = find_by_address(vm, ft, p, addrp);
	return (found);
}
