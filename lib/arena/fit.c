/*
 * fit.c - where in a free range a request fits: pure arithmetic.
 *
 * Ranges are given by their first and last address, both inclusive, so that
 * nothing wraps at 2^64-1 (PITFALLS 1.1, 1.2).  Congruences modulo a power of
 * two survive wrap-around, so phases are taken off modulo 2^64.
 *
 * nocross.  Within a block of `nocross` the lowest address congruent to phase
 * modulo align lies (phase mod nocross) or less after the block's start, so a
 * request fits in a block if and only if (phase mod nocross) + size <= nocross;
 * what can't is EINVAL in fit_init().  Hence one bump to the next block, and
 * one more alignment, always end the search upwards; downwards likewise.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>

static bool
is_pow2(uint64_t x)
{
	return (x != 0 && (x & (x - 1)) == 0);
}

/* A request for a size alone. */
static inline int
fit_init_plain(
    const struct vmem *vm, struct fit *ft, uint64_t size, vm_flag_t flags)
{
	uint64_t mask = vm->vm_quantum - 1;

	if (size - 1 >= UINT64_MAX - mask) /* 0 as well */
		return (EINVAL);
	*ft = (struct fit) { .ft_size = (size + mask) & ~mask,
		.ft_quantum = vm->vm_quantum,
		.ft_align = vm->vm_quantum,
		.ft_max = VMEM_ADDR_MAX,
		.ft_policy = VM_POLICY(vm, flags),
		.ft_plain = true };
	return (0);
}

int
fit_init(const struct vmem *vm, struct fit *ft, uint64_t size, uint64_t align,
    uint64_t phase, uint64_t nocross, uint64_t minaddr, uint64_t maxaddr,
    vm_flag_t flags)
{
	uint64_t mask = vm->vm_quantum - 1;

	if ((align | phase | nocross | minaddr) == 0 && ~maxaddr == 0)
		return (fit_init_plain(vm, ft, size, flags));
	if (size == 0 || size > UINT64_MAX - mask)
		return (EINVAL);
	size = (size + mask) & ~mask;
	if ((align != 0 && !is_pow2(align)) ||
	    (nocross != 0 && !is_pow2(nocross)))
		return (EINVAL);
	if ((phase & mask) != 0 || (phase != 0 && phase >= align))
		return (EINVAL);
	if (minaddr > maxaddr || maxaddr - minaddr < size - 1)
		return (EINVAL);
	if (nocross != 0 &&
	    (nocross < size || (phase & (nocross - 1)) > nocross - size))
		return (EINVAL);
	ft->ft_size = size;
	ft->ft_quantum = vm->vm_quantum;
	ft->ft_align = align > vm->vm_quantum ? align : vm->vm_quantum;
	ft->ft_phase = align > vm->vm_quantum ? phase : 0;
	ft->ft_nocross = nocross;
	ft->ft_min = minaddr;
	ft->ft_max = maxaddr;
	ft->ft_policy = VM_POLICY(vm, flags);
	ft->ft_all = (flags & VM_FIT_ALL) != 0;
	ft->ft_window = minaddr != VMEM_ADDR_MIN || maxaddr != VMEM_ADDR_MAX;
	ft->ft_plain = !ft->ft_window && nocross == 0 &&
	    ft->ft_align == vm->vm_quantum;
	return (0);
}

/* The next address from `a` on that is phase after a multiple of align. */
static bool
align_up(const struct fit *ft, uint64_t a, uint64_t *ap)
{
	uint64_t past = (a - ft->ft_phase) & (ft->ft_align - 1);

	if (past != 0 && __builtin_add_overflow(a, ft->ft_align - past, &a))
		return (false);
	*ap = a;
	return (true);
}

static bool
crosses(const struct fit *ft, uint64_t a)
{
	return (ft->ft_nocross != 0 &&
	    ((a ^ (a + (ft->ft_size - 1))) & ~(ft->ft_nocross - 1)) != 0);
}

/* The lowest fit in [first, last], both inclusive. */
bool
fit_low(const struct fit *ft, uint64_t first, uint64_t last, uint64_t *ap)
{
	uint64_t lo = first > ft->ft_min ? first : ft->ft_min;
	uint64_t hi = last < ft->ft_max ? last : ft->ft_max;
	uint64_t span = ft->ft_size - 1, a;

	if (lo > hi || hi - lo < span || !align_up(ft, lo, &a) || a > hi ||
	    hi - a < span)
		return (false);
	if (crosses(ft, a)) {
		a = (a | (ft->ft_nocross - 1)) + 1;
		if (a == 0 || !align_up(ft, a, &a) || a > hi || hi - a < span)
			return (false);
		ASSERT(!crosses(ft, a));
	}
	*ap = a;
	return (true);
}

/* The highest fit in [first, last], both inclusive. */
bool
fit_high(const struct fit *ft, uint64_t first, uint64_t last, uint64_t *ap)
{
	uint64_t lo = first > ft->ft_min ? first : ft->ft_min;
	uint64_t hi = last < ft->ft_max ? last : ft->ft_max;
	uint64_t span = ft->ft_size - 1, mask = ft->ft_align - 1, a, past;

	if (lo > hi || hi - lo < span)
		return (false);
	a = hi - span;
	past = (a - ft->ft_phase) & mask;
	if (a < past || a - past < lo)
		return (false);
	a -= past;
	if (crosses(ft, a)) {
		/* Down, to end where the block that it runs into begins. */
		a = ((a + span) & ~(ft->ft_nocross - 1));
		if (a < ft->ft_size)
			return (false);
		a -= ft->ft_size;
		past = (a - ft->ft_phase) & mask;
		if (a < past || a - past < lo)
			return (false);
		a -= past;
		ASSERT(!crosses(ft, a));
	}
	*ap = a;
	return (true);
}

/*
 * The size of a free segment in which the request fits wherever it lies
 * (within the window): size + align - quantum, for it starts at a quantum; and if a
 * block's border may be in the way, as much again (the part before it is less
 * than size, and aligning anew costs less than align).  UINT64_MAX: none.
 */
uint64_t
fit_sure(const struct fit *ft)
{
	uint64_t sure = ft->ft_size;

	if (__builtin_add_overflow(sure, ft->ft_align - ft->ft_quantum, &sure))
		return (UINT64_MAX);
	if (ft->ft_nocross != 0 &&
	    __builtin_add_overflow(sure, sure, &sure))
		return (UINT64_MAX);
	return (sure);
}
