/*
 * span.c - spans, imports and releases.
 *
 * A span is a range that the arena owns: added (static), or imported from the
 * source and given back to it once wholly free.  To add one is to carve it out
 * of a gap.  Its first segment's tag says that a span begins there, so
 * neighbours in different spans never join; a tree of spans by address answers
 * what is asked of them alone.
 *
 * Importing runs without locks.  What was imported is then used for the very
 * request that it was imported for, under one hold of the lock, so nobody can
 * snatch it; and if somebody freed or imported meanwhile, so that the request
 * can be met without it, it goes back (PITFALLS 1.14).  A constrained request
 * imports once: if the range that it gets doesn't do, that goes back and the
 * request fails, rather than draining the source (1.13).
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <inttypes.h>

#include "util/fault.h"

/* VM_LARGEIMPORT asks for so many times what is needed (NetBSD's figure). */
#define LARGE_IMPORT 16u

/* ---- spans -------------------------------------------------------------- */

/* With vm_lock held. */
static bool
limit_allows(const struct vmem *vm, uint64_t size)
{
	return (vm->vm_limit == 0 ||
	    (vm->vm_size <= vm->vm_limit && size <= vm->vm_limit - vm->vm_size));
}

/* With vm_lock held, after arena_enter().  EINVAL: it overlaps a span. */
int
span_add_locked(struct vmem *vm, uint64_t addr, uint64_t size, bool imported)
{
	struct place p = row_find(vm, to_quanta(vm, addr));
	uint64_t last = to_addr(vm, tag_start(p) + tag_size(p)) - 1, total;
	struct addrentry entry = { .ae_key = to_quanta(vm, addr),
		.ae_max = to_quanta(vm, size) };

	/* All of it must lie in one gap. */
	if ((TAG(p) & (TAG_FREE | TAG_BUSY)) != 0 ||
	    last < addr + (size - 1) ||
	    __builtin_add_overflow(vm->vm_size, size, &total))
		return (EINVAL);
	p = arena_carve(vm, p, to_quanta(vm, addr), to_quanta(vm, size),
	    TAG_SPAN | (imported ? TAG_IMPORTED : 0));
	fl_insert(vm, p);
	addrtree_insert(vm, &vm->vm_spans, &entry);
	vm->vm_size = total;
	return (0);
}

int
vmem_add(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, vm_flag_t flags)
{
	int error;

	NOFAULT_ASSERT();
	(void)flags; /* tags are had without waiting, or not at all */
	if (size == 0 || ((addr | size) & (vm->vm_quantum - 1)) != 0 ||
	    addr + (size - 1) < addr)
		return (EINVAL);
	error = arena_enter(vm);
	if (error != 0)
		return (error);
	if (!limit_allows(vm, size))
		error = ENOMEM;
	else
		error = span_add_locked(vm, addr, size, false);
	if (error == 0)
		vm->vm_freed++;
	arena_leave(vm);
	if (error == 0)
		wait_serve_tree(vm);
	return (error);
}

/* Is the free segment at p all of its span? */
bool
span_whole(struct place p)
{
	struct place above;

	return ((TAG(p) & TAG_SPAN) != 0 &&
	    (!tag_above(p, &above) || (TAG(above) & TAG_SPAN) != 0 ||
		(TAG(above) & (TAG_FREE | TAG_BUSY)) == 0));
}

static bool
is_gap(struct place p)
{
	return ((TAG(p) & (TAG_FREE | TAG_BUSY | TAG_SPAN)) == 0);
}

/* Take a free span out of the arena: it becomes a gap, joined with others.  The
 * caller releases it, without the lock. */
void
span_detach(struct vmem *vm, struct place p, uint64_t *addrp, uint64_t *sizep)
{
	struct place below, above;
	bool down = tag_below(p, &below) && is_gap(below);
	bool up = tag_above(p, &above) && is_gap(above);

	*addrp = to_addr(vm, tag_start(p));
	*sizep = to_addr(vm, tag_size(p));
	addrtree_remove(vm, &vm->vm_spans, tag_start(p));
	fl_remove(vm, p);
	tag_set(p, TAG_GAP);
	if (down)
		p = below;
	row_absorb(vm, p, (unsigned int)down + up);
	row_thin(vm, p.row);
	vm->vm_size -= *sizep;
	vm->vm_generation++;
	vm->vm_releases++;
}

/* The size of the largest span. */
uint64_t
span_largest(const struct vmem *vm)
{
	return (to_addr(vm, addrtree_max(&vm->vm_spans)));
}

/* ---- importing ---------------------------------------------------------- */

static bool
within_limit(struct vmem *vm, uint64_t size)
{
	bool ok;

	lock_acquire(&vm->vm_lock);
	ok = limit_allows(vm, size);
	lock_release(&vm->vm_lock);
	return (ok);
}

/* One call of the source.  A span is whole quanta of the arena. */
static int
import_call(struct vmem *vm, uint64_t size, vm_flag_t policy, uint64_t *addrp,
    uint64_t *sizep)
{
	int error;

	if (!within_limit(vm, size) || FAULT(FAULT_IMPORT))
		return (ENOMEM);
	*sizep = size;
	lock_assert_none();
	if (vm->vm_import != NULL)
		error = vm->vm_import(
		    vm->vm_source, size, sizep, VM_NOSLEEP | policy, addrp);
	else
		error = vm->vm_import_exact(
		    vm->vm_source, size, VM_NOSLEEP | policy, addrp);
	if (error != 0)
		return (error);
	if (*sizep < size || ((*addrp | *sizep) & (vm->vm_quantum - 1)) != 0 ||
	    *addrp + (*sizep - 1) < *addrp)
		vmem_panic("vmem: import into \"%s\" gave [0x%" PRIx64 ", +%"
		    PRIu64 "): expected at least %" PRIu64
		    " bytes of whole quanta", vm->vm_name, *addrp, *sizep,
		    size);
	return (0);
}

/* How much to import for a request: what any placement of it needs, in whole
 * quanta of the source, for the source would round up and nobody use it. */
static uint64_t
import_size(const struct vmem *vm, const struct fit *ft)
{
	uint64_t mask = vm->vm_quantum - 1, size;

	if (vm->vm_import_exact == vmem_alloc_import &&
	    ((const struct vmem *)vm->vm_source)->vm_quantum > mask)
		mask = ((const struct vmem *)vm->vm_source)->vm_quantum - 1;
	size = ft->ft_plain ? ft->ft_size : fit_sure(ft);
	return (size > UINT64_MAX - mask ? 0 : (size + mask) & ~mask);
}

/* A source that is an arena can meet the constraints itself.  EINVAL: not
 * these, with its quantum. */
static int
import_constrained(struct vmem *vm, const struct fit *ft, uint64_t *addrp,
    uint64_t *sizep)
{
	const struct vmem *source = vm->vm_source;
	uint64_t mask = source->vm_quantum - 1;
	uint64_t size = (ft->ft_size + mask) & ~mask;

	if (size < ft->ft_size || !within_limit(vm, size))
		return (ENOMEM);
	*sizep = size;
	return (vmem_xalloc(vm->vm_source, size, ft->ft_align, ft->ft_phase,
	    ft->ft_nocross, ft->ft_min, ft->ft_max,
	    VM_NOSLEEP | ft->ft_policy | (ft->ft_all ? VM_FIT_ALL : 0), addrp));
}

static int
import_span(struct vmem *vm, const struct fit *ft, uint64_t *addrp,
    uint64_t *sizep)
{
	uint64_t size = import_size(vm, ft), large;
	vm_flag_t policy = ft->ft_policy;

	if (size == 0)
		return (ENOMEM);
	if (!ft->ft_plain && vm->vm_import_exact == vmem_alloc_import &&
	    import_constrained(vm, ft, addrp, sizep) == 0)
		return (0);
	if ((vm->vm_flags & VM_LARGEIMPORT) != 0 &&
	    !__builtin_mul_overflow(size, (uint64_t)LARGE_IMPORT, &large) &&
	    import_call(vm, large, policy, addrp, sizep) == 0)
		return (0);
	return (import_call(vm, size, policy, addrp, sizep));
}

/* Take it out of that span, which a search that doesn't look at all may have
 * missed.  With vm_lock held, after arena_enter(). */
static int
take_in(struct vmem *vm, const struct fit *ft, uint64_t span, uint64_t size,
    uint64_t *addrp)
{
	struct fit in = *ft;

	in.ft_window = true;
	if (span > in.ft_min)
		in.ft_min = span;
	if (span + (size - 1) < in.ft_max)
		in.ft_max = span + (size - 1);
	return (arena_take(vm, &in, addrp));
}

/*
 * Import for one request, and meet it.  ENOMEM: there is no source, or it has
 * nothing, or not where the request wants it.
 */
int
span_import(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint64_t span, size, at, mark = wait_mark();
	int error;

	if (vm->vm_import == NULL && vm->vm_import_exact == NULL)
		return (ENOMEM);
	/* What can't be given back must not come in vain. */
	if (vm->vm_release == NULL && units_refill(vm) != 0)
		return (ENOMEM);
	if (import_span(vm, ft, &span, &size) != 0)
		return (ENOMEM);
	error = arena_enter(vm);
	if (error != 0)
		goto give_back;
	if (vm->vm_release != NULL && arena_take(vm, ft, addrp) == 0) {
		/* It can be met without, after all. */
		arena_leave(vm);
		wait_return(vm, span, size, mark);
		return (0);
	}
	/* Others may have imported up to the limit meanwhile, or the source
	 * have given more than was asked. */
	error = vm->vm_release != NULL && (!limit_allows(vm, size) ||
		!fit_low(ft, span, span + (size - 1), &at)) ?
	    ENOMEM :
	    span_add_locked(vm, span, size, vm->vm_release != NULL);
	if (error == EINVAL)
		vmem_panic("vmem: import into \"%s\" gave [0x%" PRIx64 ", +%"
		    PRIu64 "): expected a range that it hasn't got yet",
		    vm->vm_name, span, size);
	if (error == 0) {
		vm->vm_imports++;
		error = arena_take(vm, ft, addrp);
		if (error != 0)
			error = take_in(vm, ft, span, size, addrp);
		/* What can't be given back stays, though it didn't do. */
		ASSERT(error == 0 || vm->vm_release == NULL);
	}
	if (error == 0 && size > ft->ft_size)
		wait_gain_own(vm);
	arena_leave(vm);
	if (error == 0) {
		if (size > ft->ft_size)
			wait_surplus(vm);
		return (0);
	}
give_back:
	if (vm->vm_release != NULL)
		wait_return(vm, span, size, mark);
	return (ENOMEM);
}

int
vmem_alloc_import(
    void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp)
{
	return (vmem_xalloc(src, size, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX,
	    (flags & VM_FITMASK) | VM_NOSLEEP, addrp));
}

void
vmem_free_release(void *src, vmem_addr_t addr, vmem_size_t size)
{
	vmem_xfree(src, addr, size);
}
