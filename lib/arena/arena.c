/*
 * arena.c - vmem arenas.
 *
 *			Big theory statement
 *
 * 1. The problem.  Hand out ranges of integers, of any size and under
 * constraints, in a time that doesn't depend on how many there are; keep
 * neighbouring free ranges joined; depend on no allocator.  After J. Bonwick
 * and J. Adams, "Magazines and Vmem", USENIX ATC 2001 ("the paper"), with the
 * interface of NetBSD's vmem(9).
 *
 * 2. Structures.
 *
 *	struct vmem
 *	  vm_rows  ->  rows of boundary tags, all segments by address
 *	               [gap|busy|free|busy|..]<->[busy|busy|free|gap|..]
 *	                          ^                          ^
 *	  vm_free  ->  by size: bins, each an array of the rows that have one
 *	  vm_spans ->  spans by address
 *
 * Every segment, allocated or free, has a boundary tag, and tags are kept in
 * rows of up to 56, the leaves of one tree by address (row.c).  So an address
 * finds its tag by a descent, or where it was found last (hint.c), a free finds
 * its neighbours at hand (the paper, 4.4.2), and what is asked by address, first
 * or last fit, a window, exactly there, a walk, is asked of the same tree, which
 * knows the largest free segment below each of its nodes (addrtree.c).  By size
 * free segments are found in exact bins (freelist.c, bin.c), the largest in a
 * tree (large.c).  All of it is in units of 512 bytes (unit.c).
 *
 * Before, tags of 32 bytes were linked in a list, with a hash table for the
 * allocated ones and a tree for the free ones: 42 bytes a live segment under
 * random churn of 1..16 pages, where rows take 19, and four to six cache misses
 * a pair of free and alloc where they take two.
 *
 * 3. Invariants, checked by vmem_check().  Segments cover the address space
 * without a gap; no two neighbours of a span are free, nor two gaps; neighbours
 * in different spans are never joined; vm_inuse is the sum of the allocated
 * ones; each free one is in the bin of its size.
 *
 * 4. The life of an allocation.  vmem_alloc() takes it from a quantum cache
 * (lib/qcache) if small; else vmem_xalloc()'s way: arena_get() makes sure that
 * the arena has units for the worst case, takes the lock, finds (arena_find()),
 * carves, and lets go.  If nothing fits: import from the source (span.c), then
 * empty the quantum caches, then ask the reclaim callback, each followed by
 * another look; then ENOMEM, or the request queues (wait.c).  A free looks up
 * the tag, joins the neighbours, releases an imported span that has become
 * free, and serves who waits.
 *
 * 5. Strategies.  Instant and best fit are one search here, for the bins are
 * exact (freelist.c), and differ under constraints: instant fit asks for so
 * much more that any segment of that size will do ("over-ask"), but first looks
 * at the smallest if ranges are aligned to their own size, and then at some
 * others; best fit looks at many that might do, and over-asks then.  First,
 * last and next fit search by address, and likewise.  All of them are bounded
 * (find.c).  Next fit has a cursor, an address, not a tag in the list: it
 * blocks no joining and pins no span (PITFALLS 1.11, 1.12).
 *
 * 6. Locks.  One lock an arena.  Nothing foreign runs under it: not import,
 * release, reclaim or who waits; no other arena's lock is taken under it.
 * What was true before it was dropped is tested anew.
 *
 * 7. Misuse panics with what was expected; exhaustion returns ENOMEM.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "qcache/qcache.h"

#ifdef VMEM_DEBUG
__thread __attribute__((tls_model("initial-exec"))) uint64_t arena_steps;
#endif

/* ---- entering and leaving ----------------------------------------------- */

/* Units enough for the worst case, and room for what is given back: who left a
 * surplus drains it, but without the lock, and others come in between. */
static inline bool
stock_suffices(const struct vmem *vm)
{
	return (vm->vm_nunits - vm->vm_low <= UNITS_HIGH);
}

static __attribute__((noinline)) void
leave_busy(struct vmem *vm, bool surplus) RELEASE(vm->vm_lock)
{
	bool hint = vm->vm_hint_due;

	lock_release(&vm->vm_lock);
	if (surplus)
		units_drain(vm);
	if (hint)
		hint_fit(vm);
}

/* Release the lock; a surplus goes back to the pool, and what is due for the
 * sake of speed is done. */
static inline void
stock_leave(struct vmem *vm) RELEASE(vm->vm_lock)
{
	bool surplus = vm->vm_nunits > vm->vm_low + UNITS_HIGH;

	if (__builtin_expect(surplus || vm->vm_hint_due, 0))
		leave_busy(vm, surplus);
	else
		lock_release(&vm->vm_lock);
}

/* The lock is held, and all is there. */
static inline void
entered(struct vmem *vm)
{
#ifdef VMEM_DEBUG
	vm->vm_entered_low = vm->vm_low;
	vm->vm_taken = 0;
	vm->vm_entered_steps = arena_steps;
#else
	(void)vm;
#endif
}

/* Strays wait for units that no operation needs: with the lock, which may be
 * dropped meanwhile. */
static void
strays_refill(struct vmem *vm) REQUIRES(vm->vm_lock)
{
	if (vm->vm_free.fl_strays == 0 ||
	    units_at_hand(vm, vm->vm_low + BIN_UNITS))
		return;
	lock_release(&vm->vm_lock);
	(void)units_refill(vm);
	lock_acquire(&vm->vm_lock);
}

static inline bool
enters_at_once(const struct vmem *vm)
{
	return (stock_suffices(vm) && vm->vm_free.fl_strays == 0);
}

/* With the lock, which isn't held any more if that fails. */
static int __attribute__((__noinline__))
enter_slowly(struct vmem *vm) NO_THREAD_SAFETY_ANALYSIS
{
	int error;

	strays_refill(vm);
	while (!stock_suffices(vm)) {
		/* Others may be quicker, and use it up: then again. */
		stock_leave(vm);
		error = units_refill(vm);
		if (error != 0)
			return (error);
		lock_acquire(&vm->vm_lock);
	}
	ASSERT(units_at_hand(vm, vm->vm_low));
	entered(vm);
	if (vm->vm_free.fl_strays > 0)
		fl_adopt(vm);
	return (0);
}

static void __attribute__((__noinline__))
enter_free_slowly(struct vmem *vm) NO_THREAD_SAFETY_ANALYSIS
{
	strays_refill(vm);
	if (!stock_suffices(vm)) {
		stock_leave(vm);
		(void)units_refill(vm);
		lock_acquire(&vm->vm_lock);
		while (vm->vm_nunits > vm->vm_low + UNITS_HIGH) {
			stock_leave(vm);
			lock_acquire(&vm->vm_lock);
		}
	}
	entered(vm);
	if (vm->vm_free.fl_strays > 0)
		fl_adopt(vm);
}

/* arena_enter() and arena_enter_free(), for the hot path. */
static inline int
enter_inline(struct vmem *vm) TRY_ACQUIRE(0, vm->vm_lock)
    NO_THREAD_SAFETY_ANALYSIS
{
	lock_acquire(&vm->vm_lock);
	if (__builtin_expect(!enters_at_once(vm), 0))
		return (enter_slowly(vm));
	entered(vm);
	return (0);
}

static inline void
enter_free_inline(struct vmem *vm) ACQUIRE(vm->vm_lock)
    NO_THREAD_SAFETY_ANALYSIS
{
	lock_acquire(&vm->vm_lock);
	if (__builtin_expect(!enters_at_once(vm), 0))
		enter_free_slowly(vm);
	else
		entered(vm);
}

/* Take the lock with all at hand that an operation may need.  ENOMEM: the units
 * can't be had, and the lock isn't held. */
int
arena_enter(struct vmem *vm)
{
	return (enter_inline(vm));
}

/* The same for a free, which needs nothing that it might not get. */
void
arena_enter_free(struct vmem *vm)
{
	enter_free_inline(vm);
}

/* With the units that there are, be it less than an operation may need: see
 * scarce.c. */
static inline void
arena_enter_anyhow(struct vmem *vm) ACQUIRE(vm->vm_lock)
{
	if (__builtin_expect(arena_enter(vm) != 0, 0))
		arena_enter_free(vm);
}

static inline void
leave_inline(struct vmem *vm) RELEASE(vm->vm_lock)
{
#ifdef VMEM_DEBUG
	uint64_t steps = arena_steps - vm->vm_entered_steps;

	/* The proof of unit.c, 3: no more than was sure to be there.  The one
	 * bin that counts in arena_low() is among the welcome. */
	ASSERT(vm->vm_taken + BIN_UNITS <= vm->vm_entered_low);
	if (vm->vm_taken > vm->vm_taken_max)
		vm->vm_taken_max = vm->vm_taken;
	if (steps > vm->vm_steps_max)
		vm->vm_steps_max = steps;
#endif
	stock_leave(vm);
}

void
arena_leave(struct vmem *vm)
{
	leave_inline(vm);
}

/* ---- life cycle --------------------------------------------------------- */

static bool
create_args_ok(vmem_addr_t base, vmem_size_t size, vmem_size_t quantum,
    vmem_size_t qcache_max, vm_flag_t flags)
{
	vm_flag_t fit = flags & VM_FITMASK;

	if (quantum == 0 || (quantum & (quantum - 1)) != 0)
		return (false);
	if (((base | size) & (quantum - 1)) != 0)
		return (false);
	if (size != 0 && base + (size - 1) < base)
		return (false);
	if (qcache_max / quantum > VMEM_QCACHE_MAX ||
	    (qcache_max / quantum == VMEM_QCACHE_MAX &&
		qcache_max % quantum != 0))
		return (false);
	return ((fit & (fit - 1)) == 0);
}

/* Everything that vmem_destroy() ends; vm may be half made.  Nobody else uses
 * it any more, so no lock. */
static void
arena_fini(struct vmem *vm)
{
	qcache_fini(vm);
	fl_fini(vm);
	rows_fini(vm);
	hint_fini(vm);
	addrtree_fini(vm, &vm->vm_spans);
	units_return_all(vm);
	lock_fini(&vm->vm_lock);
	meta_free(vm, sizeof(*vm));
}

/* All of the address space, in no span. */
static int
space_init(struct vmem *vm)
{
	int error;

	vm->vm_low = arena_low(vm);
	error = arena_enter(vm);
	if (error == 0) {
		rows_init(vm);
		arena_leave(vm);
	}
	return (error);
}

static int
arena_init(struct vmem *vm, vmem_addr_t base, vmem_size_t size,
    vmem_size_t qcache_max, vm_flag_t flags)
{
	int error = space_init(vm);

	if (error == 0 && size != 0)
		error = vmem_add(vm, base, size, flags & VM_NOSLEEP ?
			VM_NOSLEEP :
			VM_SLEEP);
	if (error == 0 && qcache_max != 0)
		error = qcache_init(vm, qcache_max);
	if (error == 0 && vm->vm_import_exact == vmem_alloc_import)
		error = arenas_set_parent(vm, vm->vm_source);
	return (error);
}

static vmem_t *
arena_create(const char *name, vmem_addr_t base, vmem_size_t size,
    vmem_size_t quantum, vmem_import_t *import, vmem_ximport_t *ximport,
    vmem_release_t *release, void *source, vmem_size_t qcache_max,
    vm_flag_t flags)
{
	struct vmem *vm;
	int error;

	if (!create_args_ok(base, size, quantum, qcache_max, flags)) {
		errno = EINVAL;
		return (NULL);
	}
	error = pool_open((flags & VM_BOOTSTRAP) != 0);
	vm = error == 0 ? meta_alloc(sizeof(*vm)) : NULL;
	if (vm == NULL) {
		errno = ENOMEM;
		return (NULL);
	}
	(void)strncpy(vm->vm_name, name, sizeof(vm->vm_name) - 1);
	vm->vm_quantum = quantum;
	vm->vm_shift = (unsigned int)__builtin_ctzll(quantum);
	vm->vm_flags = flags | VM_INSTANTFIT;
	if ((flags & VM_FITMASK) != 0)
		vm->vm_flags = flags;
	vm->vm_import = ximport;
	vm->vm_import_exact = import;
	vm->vm_release = release;
	vm->vm_source = source;
	lock_init(&vm->vm_lock, vm->vm_name, LOCK_ARENA);
	error = arena_init(vm, base, size, qcache_max, flags);
	if (error != 0) {
		(void)arenas_set_parent(vm, NULL);
		arena_fini(vm);
		errno = error;
		return (NULL);
	}
	arenas_add(vm);
	return (vm);
}

vmem_t *
vmem_create(const char *name, vmem_addr_t base, vmem_size_t size,
    vmem_size_t quantum, vmem_import_t *import, vmem_release_t *release,
    void *source, vmem_size_t qcache_max, vm_flag_t flags)
{
	return (arena_create(name, base, size, quantum, import, NULL, release,
	    source, qcache_max, flags));
}

vmem_t *
vmem_xcreate(const char *name, vmem_addr_t base, vmem_size_t size,
    vmem_size_t quantum, vmem_ximport_t *import, vmem_release_t *release,
    void *source, vmem_size_t qcache_max, vm_flag_t flags)
{
	NOFAULT_ASSERT();
	return (arena_create(name, base, size, quantum, NULL, import, release,
	    source, qcache_max, flags));
}

void
vmem_destroy(vmem_t *vm)
{
	if (vm == NULL)
		return;
	arenas_remove(vm);
	(void)qcache_reap(vm);
	lock_acquire(&vm->vm_lock);
	if (vm->vm_inuse != 0)
		vmem_panic("vmem_destroy(\"%s\"): %" PRIu64 " bytes are still "
		    "allocated (expected 0)", vm->vm_name, vm->vm_inuse);
	if (vm->vm_waiting != 0)
		vmem_panic("vmem_destroy(\"%s\"): %" PRIu64 " requests wait "
		    "(expected 0)", vm->vm_name, vm->vm_waiting);
	lock_release(&vm->vm_lock);
	arena_fini(vm);
}
