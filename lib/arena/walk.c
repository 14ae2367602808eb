/*
 * walk.c - looking at an arena: walks, sizes, statistics.
 *
 * A walk goes in slices, each under the lock, its results copied out; no
 * callback runs under it (PITFALLS 1.34).  Between slices it remembers an
 * address, not a tag: tags come and go (1.40).
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <string.h>

#include "qcache/qcache.h"

#define SLICE 64u

static int
walk_type(uint32_t tag)
{
	return ((tag & TAG_FREE) != 0 ? VMEM_FREE :
		    tag_is_busy(tag)  ? VMEM_ALLOC :
					0);
}

size_t
vmem_walk_from(vmem_t *vm, int typemask, vmem_addr_t *cursor,
    struct vmem_seg *segs, size_t max, bool *more)
{
	size_t n = 0, looked = 0;
	struct place p;
	bool in;

	arena_enter_free(vm);
	p = row_find(vm, to_quanta(vm, *cursor));
	*more = false;
	for (in = true; in; in = tag_above(p, &p)) {
		int type = walk_type(TAG(p));

		/* Segments that aren't wanted count too: a slice is bounded. */
		if (n == max || looked++ == max + SLICE) {
			*cursor = to_addr(vm, tag_start(p));
			*more = true;
			break;
		}
		if ((type & typemask) == 0)
			continue;
		segs[n++] = (struct vmem_seg) {
			.seg_addr = to_addr(vm, tag_start(p)),
			.seg_size = to_addr(vm, tag_size(p)),
			.seg_type = type };
	}
	arena_leave(vm);
	return (n);
}

void
vmem_walk(vmem_t *vm, int typemask,
    int (*fn)(void *, vmem_addr_t, vmem_size_t), void *arg)
{
	struct vmem_seg segs[SLICE];
	vmem_addr_t cursor = VMEM_ADDR_MIN;
	bool more = true;

	while (more) {
		size_t n = vmem_walk_from(
		    vm, typemask, &cursor, segs, SLICE, &more);

		for (size_t i = 0; i < n; i++)
			if (fn(arg, segs[i].seg_addr, segs[i].seg_size) != 0)
				return;
	}
}

bool
vmem_contains(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	struct addrentry span;
	vmem_addr_t start;
	bool in;

	if (size == 0 || addr + (size - 1) < addr)
		return (false);
	lock_acquire(&vm->vm_lock);
	in = addrtree_last(&vm->vm_spans, to_quanta(vm, addr), 0, &span);
	if (in) {
		start = to_addr(vm, span.ae_key);
		in = start + (to_addr(vm, span.ae_max) - 1) >=
		    addr + (size - 1);
	}
	lock_release(&vm->vm_lock);
	return (in);
}

vmem_size_t
vmem_size(vmem_t *vm, int typemask)
{
	vmem_size_t size = 0;

	lock_acquire(&vm->vm_lock);
	if ((typemask & VMEM_MAXFREE) != 0)
		size = to_addr(vm, fl_max(vm));
	else {
		if ((typemask & VMEM_ALLOC) != 0)
			size += vm->vm_inuse;
		if ((typemask & VMEM_FREE) != 0)
			size += vm->vm_size - vm->vm_inuse;
	}
	lock_release(&vm->vm_lock);
	return (size);
}

void
vmem_set_limit(vmem_t *vm, vmem_size_t limit)
{
	lock_acquire(&vm->vm_lock);
	vm->vm_limit = limit;
	vm->vm_freed++; /* who waits may import now */
	lock_release(&vm->vm_lock);
	wait_serve_tree(vm);
}

void
vmem_set_reclaim(vmem_t *vm, vmem_reclaim_t *fn, void *arg)
{
	lock_acquire(&vm->vm_lock);
	vm->vm_reclaim = fn;
	vm->vm_reclaim_arg = arg;
	lock_release(&vm->vm_lock);
}

void
vmem_stat(const vmem_t *cvm, struct vmem_stat *vs)
{
	struct vmem *vm = (struct vmem *)(uintptr_t)cvm; /* for its lock */

	memset(vs, 0, sizeof(*vs));
	lock_acquire(&vm->vm_lock);
	memcpy(vs->vs_name, vm->vm_name, sizeof(vs->vs_name));
	vs->vs_quantum = vm->vm_quantum;
	vs->vs_qcache_max = vm->vm_qcache_max;
	vs->vs_policy = vm->vm_flags & VM_FITMASK;
	vs->vs_size = vm->vm_size;
	vs->vs_inuse = vm->vm_inuse;
	vs->vs_free = vm->vm_size - vm->vm_inuse;
	vs->vs_largest_free = to_addr(vm, fl_max(vm));
	vs->vs_limit = vm->vm_limit;
	vs->vs_segments = vm->vm_nbusy;
	vs->vs_free_segments = vm->vm_free.fl_count;
	vs->vs_spans = vm->vm_spans.at_count;
	vs->vs_allocs = vm->vm_allocs;
	vs->vs_frees = vm->vm_frees;
	vs->vs_fails = vm->vm_fails;
	vs->vs_waits = vm->vm_waits;
	vs->vs_waiting = vm->vm_waiting;
	vs->vs_imports = vm->vm_imports;
	vs->vs_releases = vm->vm_releases;
	vs->vs_lookups = vm->vm_lookups;
	vs->vs_tags = vm->vm_ntags;
	vs->vs_tags_free = (vm->vm_rows.at_count + vm->vm_nunits) * ROW_TAGS -
	    vm->vm_ntags;
	vs->vs_meta_bytes = sizeof(*vm);
	lock_release(&vm->vm_lock);
	qcache_stat_sum(vm, vs);
}

/* The host's clock: what is put off is done. */
void
vmem_tick(void)
{
	struct visit v;

	visit_start(&v, NULL);
	while (visit_next(&v)) {
		arena_enter_free(v.vs_vm); /* takes strays in, if any */
		arena_leave(v.vs_vm);
		if (atomic_load(&v.vs_vm->vm_waiters_here) != 0)
			wait_serve(v.vs_vm);
		/* Serving may have been the end of it. */
		if (v.vs_vm != NULL)
			qcache_tick(v.vs_vm);
	}
}
