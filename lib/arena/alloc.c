/*
 * alloc.c - allocating: arena.c, 4.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <inttypes.h>

#include "qcache/check.h"
#include "qcache/fast.h"

static int plain_slow(
    struct vmem *vm, uint64_t size, vm_flag_t flags, uint64_t *addrp);
static int plain_more(
    struct vmem *vm, uint64_t size, vm_flag_t flags, uint64_t *addrp);

/* ---- carving ------------------------------------------------------------ */

/*
 * The lowest `size' quanta of the free segment at p become another segment, of
 * type `tag'; the rest of it stays free.
 */
static inline void
carve_low(struct vmem *vm, struct place p, uint64_t size, uint32_t tag)
{
	uint64_t start = tag_start(p), total = tag_size(p);
	struct place upper;

	fl_leave(vm, TAG(p), total);
	row_due(vm, p.row, total == ROW(p.row)->rw_max);
	p = row_part(vm, p, start, start + size, tag, TAG_GAP);
	if (total != size && tag_above(p, &upper))
		fl_insert_size(vm, upper, total - size);
}

/*
 * Make [start, start + size), in quanta, part of the segment at p, another
 * segment, of type `tag'.  What is left below and above stays what it was.
 * Returns its place.
 */
struct place
arena_carve(struct vmem *vm, struct place p, uint64_t start, uint64_t size,
    uint32_t tag)
{
	uint64_t total = tag_size(p);
	uint64_t head = start - tag_start(p), tail = total - head - size;
	uint32_t old = TAG(p), rest = old & TAG_BUSY;
	bool free = (old & TAG_FREE) != 0;
	struct place other;

	if (free) {
		fl_leave(vm, old, total);
		row_due(vm, p.row, total == ROW(p.row)->rw_max);
		rest = TAG_GAP;
	}
	p = row_part(vm, p, start, start + size, tag, rest);
	if (free && tail != 0 && tag_above(p, &other))
		fl_insert_size(vm, other, tail);
	if (free && head != 0 && tag_below(p, &other))
		fl_insert_size(vm, other, head);
	vm->vm_generation++;
	return (p);
}

static inline void
count_alloc(struct vmem *vm, uint64_t size)
{
	vm->vm_inuse += size;
	vm->vm_nbusy++;
	vm->vm_allocs++;
}

/* With vm_lock held, after arena_enter(): `size' quanta of the segment at p,
 * from addr on. */
static void
take(struct vmem *vm, struct place p, uint64_t addr, uint64_t size)
{
	(void)arena_carve(vm, p, to_quanta(vm, addr), to_quanta(vm, size),
	    TAG_BUSY);
	count_alloc(vm, size);
}

/* With vm_lock held, after arena_enter(). */
int
arena_take(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint64_t addr;
	struct place p = arena_find(vm, ft, &addr);

	if (!is_place(p))
		return (ENOMEM);
	take(vm, p, addr, ft->ft_size);
	vm->vm_cursor = addr + ft->ft_size;
	*addrp = addr;
	return (0);
}

/* With vm_lock held, after arena_enter(): what any way to allocate ends with. */
static inline __attribute__((always_inline)) void
taken_plain(struct vmem *vm, struct place p, uint64_t size, uint64_t *addrp)
{
	uint64_t addr = to_addr(vm, tag_start(p));

	vm->vm_lookups++;
	vm->vm_cursor = addr + size;
	vm->vm_generation++;
	count_alloc(vm, size);
	*addrp = addr;
}

/* After arena_enter(), which ends here: a segment that is larger. */
static __attribute__((noinline)) int
take_larger(struct vmem *vm, uint64_t size, vm_flag_t flags, uint64_t *addrp)
    RELEASE(vm->vm_lock)
{
	struct place p = fl_lowest(vm, to_quanta(vm, size), FL_TIES);
	bool all;

	if (!is_place(p)) {
		/* Strays are in no bin. */
		all = vm->vm_free.fl_strays == 0;
		vm->vm_lookups += all;
		leave_inline(vm);
		return (all && (flags & VM_NOSLEEP) != 0 ?
			plain_more(vm, size, flags, addrp) :
			plain_slow(vm, size, flags, addrp));
	}
	taken_plain(vm, p, size, addrp);
	carve_low(vm, p, to_quanta(vm, size), TAG_BUSY);
	leave_inline(vm);
	return (0);
}

/*
 * What most requests are: any `size' bytes, by instant fit.  No more
 * than arena_take() does, in fewer steps; the ways on from here are elsewhere,
 * and nothing is kept for them, so that the compiler has registers for this.
 */
static __attribute__((noinline)) int
take_plain(struct vmem *vm, uint64_t size, vm_flag_t flags, uint64_t *addrp)
{
	struct place p;

	if (__builtin_expect(enter_inline(vm) != 0, 0))
		return (plain_slow(vm, size, flags, addrp));
	if (!fl_take(vm, to_quanta(vm, size), &p))
		return (take_larger(vm, size, flags, addrp));
	taken_plain(vm, p, size, addrp);
	leave_inline(vm);
	return (0);
}

static inline bool
is_plain(const struct vmem *vm, vm_flag_t flags)
{
	return ((VM_POLICY(vm, flags) & VM_INSTANTFIT) != 0);
}

/* There are no units: what needs none can be had all the same. */
static int
take_scarce(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	struct place p;
	uint64_t addr;

	arena_enter_free(vm);
	p = arena_find_scarce(vm, ft, &addr);
	if (is_place(p)) {
		take(vm, p, addr, ft->ft_size);
		vm->vm_cursor = addr + ft->ft_size;
		*addrp = addr;
	}
	arena_leave(vm);
	return (is_place(p) ? 0 : ENOMEM);
}

static int
take_once(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	int error = arena_enter(vm);

	if (error != 0)
		return (take_scarce(vm, ft, addrp));
	error = arena_take(vm, ft, addrp);
	arena_leave(vm);
	return (error);
}

static bool
reclaim_call(struct vmem *vm, const struct fit *ft)
{
	vmem_reclaim_t *fn;
	void *arg;

	lock_acquire(&vm->vm_lock);
	fn = vm->vm_reclaim;
	arg = vm->vm_reclaim_arg;
	lock_release(&vm->vm_lock);
	if (fn == NULL)
		return (false);
	fn(arg, vm, ft->ft_size, ft->ft_align, ft->ft_min, ft->ft_max);
	return (true);
}

/* What can be done without waiting where nothing was found: see the theory, 4. */
static int
get_more(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	int error = ENOMEM;

	if (span_import(vm, ft, addrp) == 0)
		return (0);
	if (qcache_reap(vm) > 0) {
		/* The source may have got back what the caches kept. */
		error = take_once(vm, ft, addrp);
		if (error != 0)
			error = span_import(vm, ft, addrp);
		wait_serve_tree(vm);
		if (error == 0)
			return (0);
	}
	if (reclaim_call(vm, ft)) {
		error = take_once(vm, ft, addrp);
		if (error == 0)
			return (0);
		error = span_import(vm, ft, addrp);
	}
	return (error);
}

/* All that can be done without waiting. */
int
arena_get(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	int error = take_once(vm, ft, addrp);

	return (error == 0 ? 0 : get_more(vm, ft, addrp));
}

/* A slab for a quantum cache, aligned to its size: what is there, or can be
 * imported; nothing is emptied for it. */
int
arena_get_slab(struct vmem *vm, uint64_t size, uint64_t *addrp)
{
	struct fit ft;
	int error = fit_init(vm, &ft, size, size, 0, 0, VMEM_ADDR_MIN,
	    VMEM_ADDR_MAX, 0);

	if (error == 0)
		error = take_once(vm, &ft, addrp);
	if (error == ENOMEM)
		error = span_import(vm, &ft, addrp);
	return (error);
}

/* Exactly [addr, addr + size): with vm_lock held.  ENOBUFS: the stock of units
 * is too short. */
static int
take_at(struct vmem *vm, uint64_t addr, uint64_t size) REQUIRES(vm->vm_lock)
{
	struct place p = row_find(vm, to_quanta(vm, addr));
	uint64_t last = to_addr(vm, tag_start(p) + tag_size(p)) - 1;

	vm->vm_lookups++;
	if ((TAG(p) & TAG_FREE) == 0 || last < addr + (size - 1))
		return (ENOMEM);
	if (!arena_affords(vm, p, addr, size))
		return (ENOBUFS);
	take(vm, p, addr, size);
	return (0);
}

/* The same without it.  Without refill the stock is what it is. */
int
arena_get_at(struct vmem *vm, uint64_t addr, uint64_t size, bool refill)
{
	int error;

	if (refill) {
		arena_enter_anyhow(vm);
		error = take_at(vm, addr, size);
		arena_leave(vm);
		return (error == ENOBUFS ? ENOMEM : error);
	}
	lock_acquire(&vm->vm_lock);
	error = take_at(vm, addr, size);
	lock_release(&vm->vm_lock);
	return (error);
}

/* ---- the interface ------------------------------------------------------ */

static __attribute__((noinline, cold)) void
flags_misused(const struct vmem *vm, vm_flag_t flags, const char *who)
{
	vm_flag_t wait = flags & (VM_SLEEP | VM_NOSLEEP);

	if (wait != VM_SLEEP && wait != VM_NOSLEEP)
		vmem_panic("%s(\"%s\"): flags 0x%x: expected exactly one of "
		    "VM_SLEEP and VM_NOSLEEP", who, vm->vm_name, flags);
	vmem_panic("%s(\"%s\"): flags 0x%x: expected one strategy at most",
	    who, vm->vm_name, flags);
}

static inline void
flags_check(const struct vmem *vm, vm_flag_t flags, const char *who)
{
	vm_flag_t wait = flags & (VM_SLEEP | VM_NOSLEEP);
	vm_flag_t fit = flags & VM_FITMASK;

	if (__builtin_expect(wait == 0 || (wait & (wait - 1)) != 0 ||
		(fit & (fit - 1)) != 0, 0))
		flags_misused(vm, flags, who);
}

static vmem_size_t
round_size(const struct vmem *vm, vmem_size_t size)
{
	return ((size + vm->vm_quantum - 1) & ~(vm->vm_quantum - 1));
}

static void
fail_count(struct vmem *vm)
{
	lock_acquire(&vm->vm_lock);
	vm->vm_fails++;
	lock_release(&vm->vm_lock);
}

/* An allocation of any kind, waiting until the deadline if it must. */
static int
alloc_request(struct vmem *vm, struct vmem_request *vr,
    const struct timespec *deadline, vmem_addr_t *addrp)
{
	vmem_addr_t addr;
	int error;

	vr->vr_count = 1;
	vr->vr_addrs = &addr;
	error = wait_sleep(vm, vr, deadline);
	if (error == 0)
		*addrp = addr;
	return (error);
}

/* Who would sleep must not overtake those who do: wait.c, 2. */
static inline bool
must_queue(struct vmem *vm, vm_flag_t flags)
{
	return ((flags & VM_SLEEP) != 0 &&
	    atomic_load_explicit(&vm->vm_waiters_here,
		memory_order_relaxed) != 0);
}

/* The same, where there is no free segment for it. */
static __attribute__((noinline)) int
plain_more(struct vmem *vm, uint64_t size, vm_flag_t flags, uint64_t *addrp)
{
	struct fit ft;
	int error = fit_init_plain(vm, &ft, size, flags);

	if (error == 0)
		error = get_more(vm, &ft, addrp);
	if (error != 0)
		fail_count(vm);
	return (error);
}

static __attribute__((noinline)) int
xalloc_sleep(struct vmem *vm, vmem_size_t size, vmem_size_t align,
    vmem_size_t phase, vmem_size_t nocross, vmem_addr_t minaddr,
    vmem_addr_t maxaddr, vm_flag_t flags, vmem_addr_t *addrp)
{
	struct vmem_request vr = { .vr_size = size, .vr_align = align,
		.vr_phase = phase, .vr_nocross = nocross,
		.vr_min = minaddr, .vr_max = maxaddr,
		.vr_flags = flags & VM_FITMASK };

	return (alloc_request(vm, &vr, NULL, addrp));
}

/* All that a request may come to. */
static __attribute__((noinline)) int
xalloc_slow(struct vmem *vm, vmem_size_t size, vmem_size_t align,
    vmem_size_t phase, vmem_size_t nocross, vmem_addr_t minaddr,
    vmem_addr_t maxaddr, vm_flag_t flags, vmem_addr_t *addrp)
{
	struct fit ft;
	int error;

	error = fit_init(vm, &ft, size, align, phase, nocross, minaddr,
	    maxaddr, flags);
	if (error != 0)
		return (error);
	if ((flags & VM_SLEEP) != 0)
		return (xalloc_sleep(vm, size, align, phase, nocross, minaddr,
		    maxaddr, flags, addrp));
	error = arena_get(vm, &ft, addrp);
	if (error != 0)
		fail_count(vm);
	return (error);
}

/* A plain request that take_plain() couldn't meet. */
static __attribute__((noinline)) int
plain_slow(struct vmem *vm, uint64_t size, vm_flag_t flags, uint64_t *addrp)
{
	return (xalloc_slow(vm, size, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX,
	    flags, addrp));
}

/* May a request for a size alone be tried at once, by take_plain()? */
static inline bool
may_take(struct vmem *vm, vmem_size_t size, vm_flag_t flags)
{
	return (size - 1 < UINT64_MAX - (vm->vm_quantum - 1) &&
	    is_plain(vm, flags) && !must_queue(vm, flags));
}

int
vmem_xalloc(vmem_t *vm, vmem_size_t size, vmem_size_t align,
    vmem_size_t phase, vmem_size_t nocross, vmem_addr_t minaddr,
    vmem_addr_t maxaddr, vm_flag_t flags, vmem_addr_t *addrp)
{
	NOFAULT_ASSERT();
	flags_check(vm, flags, "vmem_xalloc");
	if ((align | phase | nocross | minaddr | ~maxaddr) == 0 &&
	    may_take(vm, size, flags))
		return (take_plain(vm, round_size(vm, size), flags, addrp));
	return (xalloc_slow(vm, size, align, phase, nocross, minaddr, maxaddr,
	    flags, addrp));
}

static int
alloc_plain(struct vmem *vm, vmem_size_t size, vm_flag_t flags,
    vmem_addr_t *addrp)
{
	struct qcache *qc;
	struct fit ft;
	int error = fit_init_plain(vm, &ft, size, flags);

	if (error != 0)
		return (error);
	qc = qcache_for(vm, ft.ft_size);
	if (qc != NULL)
		return (qcache_alloc(qc, &ft, addrp));
	return (arena_get(vm, &ft, addrp));
}

/* What neither a sequence nor take_plain() is for. */
static int __attribute__((__noinline__))
alloc_any(struct vmem *vm, vmem_size_t size, vm_flag_t flags,
    vmem_addr_t *addrp)
{
	int error;

	if ((flags & VM_SLEEP) != 0)
		return (vmem_alloc_until(vm, size, flags, NULL, addrp));
	error = alloc_plain(vm, size, flags, addrp);
	if (error == ENOMEM)
		fail_count(vm);
	return (error);
}

/* What isn't in a cache, or not to be had by a sequence. */
static int __attribute__((__noinline__))
alloc_slow(struct vmem *vm, vmem_size_t size, vm_flag_t flags,
    vmem_addr_t *addrp)
{
	flags_check(vm, flags, "vmem_alloc");
	if (round_size(vm, size) - 1 >= vm->vm_qcache_max &&
	    may_take(vm, size, flags))
		return (take_plain(vm, round_size(vm, size), flags, addrp));
	return (alloc_any(vm, size, flags, addrp));
}

static int __attribute__((__noinline__, __cold__))
alloc_restarted(struct vmem *vm, vmem_size_t size, vm_flag_t flags,
    vmem_addr_t *addrp)
{
	qcache_restarted(vm->vm_qcache);
	return (alloc_slow(vm, size, flags, addrp));
}

/* What came from a cache, and isn't seen to be free at the first glance. */
static int __attribute__((__noinline__))
alloc_looked_at(struct vmem *vm, vmem_size_t size, vmem_addr_t addr,
    vmem_addr_t *addrp)
{
	check_out(qcache_for(vm, size), addr);
	*addrp = addr;
	return (0);
}

/* The same as vmem_alloc(), with VM_CHECK. */
static int __attribute__((__noinline__))
alloc_checked(struct vmem *vm, vmem_size_t size, vm_flag_t flags,
    vmem_addr_t *addrp)
{
	size_t index = qcache_index(vm, size - 1);
	vmem_addr_t addr;

	if (__builtin_expect(size - 1 >= vm->vm_front.fr_checked_max, 0))
		return (alloc_slow(vm, size, flags, addrp));
	switch (qcache_pop(vm, index, &addr)) {
	case RSEQ_DONE:
		if (!check_turn(vm, addr, STATE_CACHED, (uint8_t)(index + 1)))
			return (alloc_looked_at(vm, size, addr, addrp));
		*addrp = addr;
		return (0);
	case RSEQ_REFUSED:
		return (alloc_slow(vm, size, flags, addrp));
	case RSEQ_ABORTED:
		break;
	}
	return (alloc_restarted(vm, size, flags, addrp));
}

int
vmem_alloc(vmem_t *vm, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp)
{
	NOFAULT_ASSERT();
	/* One of VM_SLEEP and VM_NOSLEEP, and no strategy? */
	if (__builtin_expect(flags - VM_SLEEP > VM_NOSLEEP - VM_SLEEP, 0))
		return (alloc_slow(vm, size, flags, addrp));
	if (__builtin_expect(size - 1 >= vm->vm_front.fr_max, 0)) {
		if (vm->vm_front.fr_checked_max != 0)
			return (alloc_checked(vm, size, flags, addrp));
		return (alloc_slow(vm, size, flags, addrp));
	}
	switch (qcache_pop(vm, qcache_index(vm, size - 1), addrp)) {
	case RSEQ_DONE:
		return (0);
	case RSEQ_REFUSED:
		return (alloc_slow(vm, size, flags, addrp));
	case RSEQ_ABORTED:
		break;
	}
	return (alloc_restarted(vm, size, flags, addrp));
}

int
vmem_alloc_until(vmem_t *vm, vmem_size_t size, vm_flag_t flags,
    const struct timespec *deadline, vmem_addr_t *addrp)
{
	struct vmem_request vr = { .vr_size = size,
		.vr_max = VMEM_ADDR_MAX,
		.vr_flags = flags & VM_FITMASK,
		.vr_cached = true };
	struct timespec until;

	flags_check(vm, flags | VM_SLEEP, "vmem_alloc_until");
	if (deadline != NULL) {
		if (deadline->tv_nsec < 0 || deadline->tv_nsec >= 1000000000)
			return (EINVAL);
		/* Before the clock began is as long ago as when it did. */
		until = deadline->tv_sec < 0 ? (struct timespec) { 0, 0 } :
					       *deadline;
		deadline = &until;
	}
	return (alloc_request(vm, &vr, deadline, addrp));
}

int
vmem_xalloc_addr(vmem_t *vm, vmem_addr_t addr, vmem_size_t size,
    vm_flag_t flags)
{
	vmem_size_t rounded = round_size(vm, size);
	int error;

	NOFAULT_ASSERT();
	flags_check(vm, flags, "vmem_xalloc_addr");
	if ((flags & VM_SLEEP) != 0)
		vmem_panic("vmem_xalloc_addr(\"%s\"): expected VM_NOSLEEP",
		    vm->vm_name);
	if (size == 0 || rounded < size || (addr & (vm->vm_quantum - 1)) != 0 ||
	    addr + (rounded - 1) < addr)
		return (EINVAL);
	error = arena_get_at(vm, addr, rounded, true);
	if (error != 0 && qcache_reap(vm) > 0) {
		error = arena_get_at(vm, addr, rounded, true);
		wait_serve_tree(vm);
	}
	if (error != 0)
		fail_count(vm);
	return (error);
}
