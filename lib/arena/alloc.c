/*
 * alloc.c - allocating: arena.c, 4.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <inttypes.h>

#include "qcache/qcache.h"

/* ---- carving ------------------------------------------------------------ */

/*
 * Make [addr, addr + size) of the free segment `t` an allocated one.  The tag
 * of what stays free, if anything does, remains where it is indexed.
 */
static int
carve(struct vmem *vm, uint32_t t, uint64_t addr, uint64_t size)
{
	uint64_t start = TAG(t)->bt_start, total = TAG(t)->bt_size;
	uint64_t head = addr - start, tail = total - head - size;
	uint32_t busy = t, rest;

	ASSERT(addr >= start && head <= total && size <= total - head);
	if (head != 0 || tail != 0)
		busy = segment_make(vm,
		    head != 0 ? t : TAG(t)->bt_prev, addr, size, TAG_BUSY);
	if (hash_insert(vm, busy) != 0) {
		if (busy != t)
			segment_drop(vm, busy);
		return (ENOMEM);
	}
	if (busy == t)
		fl_remove(vm, t);
	else if (head == 0)
		fl_change(vm, t, addr + size, tail);
	else {
		fl_change(vm, t, start, head);
		if (tail != 0) {
			rest = segment_make(
			    vm, busy, addr + size, tail, TAG_FREE);
			fl_insert(vm, rest);
		}
	}
	TAG(busy)->bt_type = TAG_BUSY;
	TAG(busy)->bt_state = 0;
	vm->vm_inuse += size;
	vm->vm_generation++;
	return (0);
}

/* With vm_lock held, after arena_enter(). */
int
arena_take(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint64_t addr;
	uint32_t t = arena_find(vm, ft, &addr);
	int error;

	if (t == TAG_NIL)
		return (ENOMEM);
	error = carve(vm, t, addr, ft->ft_size);
	if (error != 0)
		return (error);
	vm->vm_cursor = addr + ft->ft_size;
	vm->vm_allocs++;
	*addrp = addr;
	return (0);
}

/* With an index by address, if it will be asked. */
static int
enter_for(struct vmem *vm, const struct fit *ft)
    TRY_ACQUIRE(0, vm->vm_lock) NO_THREAD_SAFETY_ANALYSIS
{
	return (by_address(ft) ? arena_enter_indexed(vm) : arena_enter(vm));
}

static int
take_once(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	int error = enter_for(vm, ft);

	if (error != 0)
		return (error);
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

/* All that can be done without waiting: see the theory, 4. */
int
arena_get(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	int error = take_once(vm, ft, addrp);

	if (error == 0)
		return (0);
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

/* Exactly [addr, addr + size): with vm_lock held, after arena_enter(). */
static int
take_at(struct vmem *vm, uint64_t addr, uint64_t size) REQUIRES(vm->vm_lock)
{
	uint64_t last = addr + (size - 1);
	uint32_t t;
	int error = ENOMEM;

	vm->vm_lookups++;
	/* The index does not hold it all only when nodes are wanting: then the
	 * list is walked. */
	t = fl_index_all(vm) == 0 ?
	    addrtree_last(&vm->vm_freetree, addr, 0) :
	    arena_seek(vm, addr);
	if (t != TAG_NIL && TAG(t)->bt_type == TAG_FREE &&
	    TAG(t)->bt_start <= addr && tag_last(TAG(t)) >= last)
		error = carve(vm, t, addr, size);
	if (error == 0)
		vm->vm_allocs++;
	return (error);
}

/* The same without it.  Without refill: ENOBUFS if the stock of tags is
 * short. */
int
arena_get_at(struct vmem *vm, uint64_t addr, uint64_t size, bool refill)
{
	int error;

	if (refill) {
		error = arena_enter_indexed(vm);
		if (error == 0) {
			error = take_at(vm, addr, size);
			arena_leave(vm);
		}
		return (error);
	}
	lock_acquire(&vm->vm_lock);
	error = vm->vm_ntags < TAGS_PER_OP ? ENOBUFS :
					     take_at(vm, addr, size);
	lock_release(&vm->vm_lock);
	return (error);
}

/* ---- the interface ------------------------------------------------------ */

static void
flags_check(const struct vmem *vm, vm_flag_t flags, const char *who)
{
	vm_flag_t wait = flags & (VM_SLEEP | VM_NOSLEEP);
	vm_flag_t fit = flags & VM_FITMASK;

	if (wait != VM_SLEEP && wait != VM_NOSLEEP)
		vmem_panic("%s(\"%s\"): flags 0x%x: expected exactly one of "
		    "VM_SLEEP and VM_NOSLEEP", who, vm->vm_name, flags);
	if ((fit & (fit - 1)) != 0)
		vmem_panic("%s(\"%s\"): flags 0x%x: expected one strategy at "
		    "most", who, vm->vm_name, flags);
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

int
vmem_xalloc(vmem_t *vm, vmem_size_t size, vmem_size_t align,
    vmem_size_t phase, vmem_size_t nocross, vmem_addr_t minaddr,
    vmem_addr_t maxaddr, vm_flag_t flags, vmem_addr_t *addrp)
{
	struct fit ft;
	int error;

	flags_check(vm, flags, "vmem_xalloc");
	error = fit_init(
	    vm, &ft, size, align, phase, nocross, minaddr, maxaddr, flags);
	if (error != 0)
		return (error);
	if ((flags & VM_SLEEP) != 0) {
		struct vmem_request vr = { .vr_size = size, .vr_align = align,
			.vr_phase = phase, .vr_nocross = nocross,
			.vr_min = minaddr, .vr_max = maxaddr,
			.vr_flags = flags & VM_FITMASK };

		return (alloc_request(vm, &vr, NULL, addrp));
	}
	error = arena_get(vm, &ft, addrp);
	if (error != 0)
		fail_count(vm);
	return (error);
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
	if (qc != NULL && (flags & VM_FITMASK) == 0)
		return (qcache_alloc(qc, &ft, addrp));
	return (arena_get(vm, &ft, addrp));
}

int
vmem_alloc(vmem_t *vm, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp)
{
	int error;

	flags_check(vm, flags, "vmem_alloc");
	if ((flags & VM_SLEEP) != 0)
		return (vmem_alloc_until(vm, size, flags, NULL, addrp));
	error = alloc_plain(vm, size, flags, addrp);
	if (error == ENOMEM)
		fail_count(vm);
	return (error);
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
