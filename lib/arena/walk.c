/*
 * walk.c - looking at an arena: walks, sizes, statistics.
 *
 * A walk goes in slices, each under the lock, its results copied out; no
 * callback runs under it (PITFALLS 1.34).  Between slices it remembers an
 * address, not a tag: tags come and go (1.40).
 *
 * arena_seek() finds the segment that an address lies in.  If an allocation
 * starts there, the hash knows.  Else the nearest segment below that an index
 * by address knows (a free one, or a span) is where a walk along the list
 * begins.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <string.h>

#include "qcache/qcache.h"

#define SLICE 64u

/* The segment that contains addr, else the next above it, else TAG_NIL.  With
 * vm_lock held. */
uint32_t
arena_seek(struct vmem *vm, uint64_t addr)
{
	uint32_t t, free = TAG_NIL;
	struct hashplace hp;

	if (hash_find(vm, addr, &hp))
		return (hp.hp_tag);
	t = addrtree_last(&vm->vm_spantree, addr, 0);
	if (t == TAG_NIL)
		t = vm->vm_head;
	if (fl_index_all(vm) == 0)
		free = addrtree_last(&vm->vm_freetree, addr, 0);
	if (free != TAG_NIL &&
	    (t == vm->vm_head || TAG(free)->bt_start >= TAG(t)->bt_start))
		t = free;
	/* Forward to the segment that ends at or after addr. */
	if (t == vm->vm_head)
		t = TAG(t)->bt_next;
	while (t != vm->vm_head && (tag_is_span(TAG(t)) || tag_last(TAG(t)) < addr))
		t = TAG(t)->bt_next;
	return (t == vm->vm_head ? TAG_NIL : t);
}

static int
walk_type(const struct tag *bt)
{
	return (bt->bt_type == TAG_BUSY ? VMEM_ALLOC :
		    bt->bt_type == TAG_FREE ? VMEM_FREE :
					      0);
}

size_t
vmem_walk_from(vmem_t *vm, int typemask, vmem_addr_t *cursor,
    struct vmem_seg *segs, size_t max, bool *more)
{
	size_t n = 0, looked = 0;
	uint32_t t;

	arena_enter_look(vm);
	t = arena_seek(vm, *cursor);
	*more = false;
	for (; t != TAG_NIL && t != vm->vm_head; t = TAG(t)->bt_next) {
		const struct tag *bt = TAG(t);

		if (tag_is_span(bt))
			continue;
		/* Segments that aren't wanted count too: a slice is bounded. */
		if (n == max || looked++ == max + SLICE) {
			*cursor = bt->bt_start;
			*more = true;
			break;
		}
		if ((walk_type(bt) & typemask) == 0)
			continue;
		segs[n++] = (struct vmem_seg) { .seg_addr = bt->bt_start,
			.seg_size = bt->bt_size,
			.seg_type = walk_type(bt) };
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
	uint32_t t;
	bool in;

	if (size == 0 || addr + (size - 1) < addr)
		return (false);
	lock_acquire(&vm->vm_lock);
	t = addrtree_last(&vm->vm_spantree, addr, 0);
	in = t != TAG_NIL && tag_last(TAG(t)) >= addr + (size - 1);
	lock_release(&vm->vm_lock);
	return (in);
}

vmem_size_t
vmem_size(vmem_t *vm, int typemask)
{
	vmem_size_t size = 0;

	lock_acquire(&vm->vm_lock);
	if ((typemask & VMEM_MAXFREE) != 0)
		size = fl_max(vm);
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
	vs->vs_largest_free = fl_max(vm);
	vs->vs_limit = vm->vm_limit;
	vs->vs_segments = vm->vm_hash.hs_count;
	vs->vs_free_segments = vm->vm_free.fl_count;
	vs->vs_spans = vm->vm_nspans;
	vs->vs_allocs = vm->vm_allocs;
	vs->vs_frees = vm->vm_frees;
	vs->vs_fails = vm->vm_fails;
	vs->vs_waits = vm->vm_waits;
	vs->vs_waiting = vm->vm_waiting;
	vs->vs_imports = vm->vm_imports;
	vs->vs_releases = vm->vm_releases;
	vs->vs_lookups = vm->vm_lookups;
	vs->vs_tags = vm->vm_tags_used;
	vs->vs_tags_free = vm->vm_ntags;
	vs->vs_meta_bytes = hash_bytes(vm) + sizeof(*vm);
	lock_release(&vm->vm_lock);
	qcache_stat_sum(vm, vs);
}

/* The host's clock: what is put off is done. */
void
vmem_tick(void)
{
	struct vmem *vm;
	uint64_t id = 0;

	while ((vm = arenas_next(NULL, id)) != NULL) {
		id = vm->vm_id;
		qcache_tick(vm);
		arena_enter_free(vm);
		for (unsigned int i = 0; i < SLICE; i++)
			hash_step(vm);
		arena_leave(vm);
		if (atomic_load(&vm->vm_waiters_below) != 0)
			wait_serve(vm);
		arena_unpin(vm);
	}
}
