/*
 * find.c - a free segment for a request, by its strategy: arena.c, 5.
 *
 * Searching changes nothing but the index by address, which is completed when
 * it is asked.  Every loop here looks at segments that are large enough; what
 * makes one disappoint is alignment, a border not to be crossed, or the window.
 */
#include "config.h"

#include "arena/arena_impl.h"

/* Segments that instant fit looks at beyond the one that is sure to fit. */
#define INSTANT_LOOKS 64u

static bool
fits(const struct fit *ft, uint32_t tag, uint64_t *addrp)
{
	const struct tag *bt = TAG(tag);

	if (ft->ft_policy == VM_LASTFIT)
		return (fit_high(ft, bt->bt_start, tag_last(bt), addrp));
	return (fit_low(ft, bt->bt_start, tag_last(bt), addrp));
}

/* Smallest first. */
static uint32_t
find_by_size(const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint64_t sure = fit_sure(ft);
	unsigned int looks = INSTANT_LOOKS;
	uint32_t t;

	if (ft->ft_policy == VM_INSTANTFIT && sure <= fl_max(vm)) {
		t = fl_best(vm, sure);
		if (t != TAG_NIL && fits(ft, t, addrp))
			return (t);
	}
	for (t = fl_best(vm, ft->ft_size); t != TAG_NIL; t = fl_after(vm, t)) {
		if (fits(ft, t, addrp))
			return (t);
		if (ft->ft_policy == VM_INSTANTFIT && --looks == 0)
			break;
	}
	return (TAG_NIL);
}

/* Lowest address first, from `from` on; segments of at least `size`. */
static uint32_t
find_upwards(const struct vmem *vm, const struct fit *ft, uint64_t from,
    uint64_t size, unsigned int looks, uint64_t *addrp)
{
	uint32_t t = addrtree_last(&vm->vm_freetree, from, 0);

	/* The one that `from` lies in, then those after it. */
	if (t == TAG_NIL || tag_last(TAG(t)) < from || TAG(t)->bt_size < size)
		t = addrtree_first(&vm->vm_freetree, from, size);
	for (; t != TAG_NIL && TAG(t)->bt_start <= ft->ft_max;
	     t = addrtree_first(
		 &vm->vm_freetree, TAG(t)->bt_start + 1, size)) {
		if (fits(ft, t, addrp))
			return (t);
		if (--looks == 0 || TAG(t)->bt_start == UINT64_MAX)
			break;
	}
	return (TAG_NIL);
}

static uint32_t
find_downwards(const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint32_t t =
	    addrtree_last(&vm->vm_freetree, ft->ft_max, ft->ft_size);

	for (; t != TAG_NIL && tag_last(TAG(t)) >= ft->ft_min;
	     t = addrtree_last(
		 &vm->vm_freetree, TAG(t)->bt_start - 1, ft->ft_size)) {
		if (fits(ft, t, addrp))
			return (t);
		if (TAG(t)->bt_start == 0)
			break;
	}
	return (TAG_NIL);
}

/* The smallest that fits within the window: looks at all in it that might. */
static uint32_t
find_best_in_window(
    const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint32_t best = TAG_NIL, t;
	uint64_t from = ft->ft_min, addr;

	for (;;) {
		t = find_upwards(vm, ft, from, ft->ft_size, UINT32_MAX, &addr);
		if (t == TAG_NIL)
			break;
		if (best == TAG_NIL || TAG(t)->bt_size < TAG(best)->bt_size) {
			best = t;
			*addrp = addr;
		}
		from = tag_last(TAG(t));
		if (from == UINT64_MAX)
			break;
		from++;
	}
	return (best);
}

/* From the cursor on, then from the start. */
static uint32_t
find_next(const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	struct fit rest = *ft;
	uint32_t t;

	if (vm->vm_cursor > ft->ft_min && vm->vm_cursor <= ft->ft_max) {
		rest.ft_min = vm->vm_cursor;
		t = find_upwards(vm, &rest, rest.ft_min, ft->ft_size,
		    UINT32_MAX, addrp);
		if (t != TAG_NIL)
			return (t);
	}
	return (find_upwards(
	    vm, ft, ft->ft_min, ft->ft_size, UINT32_MAX, addrp));
}

static uint32_t
find_in_window(const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint64_t sure = fit_sure(ft);
	uint32_t t;

	if (ft->ft_policy == VM_BESTFIT)
		return (find_best_in_window(vm, ft, addrp));
	/* Two segments at most may be cut by the window, and disappoint. */
	t = find_upwards(vm, ft, ft->ft_min, sure, 3, addrp);
	if (t == TAG_NIL)
		t = find_upwards(vm, ft, ft->ft_min, ft->ft_size,
		    INSTANT_LOOKS, addrp);
	return (t);
}

/* Without an index by address (no nodes could be had): every segment. */
static uint32_t
find_by_walking(const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint32_t best = TAG_NIL, t = TAG(vm->vm_head)->bt_next;
	uint64_t addr;

	for (; t != vm->vm_head; t = TAG(t)->bt_next) {
		if (TAG(t)->bt_type != TAG_FREE || !fits(ft, t, &addr))
			continue;
		if (best != TAG_NIL && ft->ft_policy != VM_LASTFIT &&
		    (ft->ft_policy != VM_BESTFIT ||
			TAG(best)->bt_size <= TAG(t)->bt_size))
			continue;
		best = t;
		*addrp = addr;
	}
	return (best);
}

static bool
by_address(const struct fit *ft)
{
	return (ft->ft_window ||
	    (ft->ft_policy & (VM_INSTANTFIT | VM_BESTFIT)) == 0);
}

/* A free segment in which the request fits, and where: with vm_lock held. */
uint32_t
arena_find(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint32_t t;

	vm->vm_lookups++;
	if (fl_max(vm) < ft->ft_size)
		return (TAG_NIL);
	if (!by_address(ft)) {
		if (!ft->ft_plain)
			return (find_by_size(vm, ft, addrp));
		t = fl_best(vm, ft->ft_size);
		*addrp = TAG(t)->bt_start;
		return (t);
	}
	if (fl_index_all(vm) != 0)
		return (find_by_walking(vm, ft, addrp));
	switch (ft->ft_policy) {
	case VM_FIRSTFIT:
		return (find_upwards(
		    vm, ft, ft->ft_min, ft->ft_size, UINT32_MAX, addrp));
	case VM_LASTFIT:
		return (find_downwards(vm, ft, addrp));
	case VM_NEXTFIT:
		return (find_next(vm, ft, addrp));
	default:
		return (find_in_window(vm, ft, addrp));
	}
}
