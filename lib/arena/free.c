/*
 * free.c - freeing, whole and in part: arena.c, 4.
 *
 * A free looks up the tag, joins free neighbours, releases an imported span
 * that has become free, and serves who waits.  It needs no memory, and so
 * can't fail; only giving back the middle of an allocation takes tags, for what
 * stays.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <inttypes.h>

#include "qcache/qcache.h"

/* ---- freeing ------------------------------------------------------------ */

static void __attribute__((__noreturn__, __cold__, __noinline__))
misfreed(const struct vmem *vm, uint64_t addr, uint64_t size, const char *who,
    const struct tag *bt)
{
	if (bt == NULL)
		vmem_panic("%s(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): no "
		    "allocation starts there (expected one: freed twice, "
		    "or never allocated?)", who, vm->vm_name, addr, size);
	if (bt->bt_size != size)
		vmem_panic("%s(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): wrong "
		    "size (expected %" PRIu64 ")", who, vm->vm_name, addr,
		    size, bt->bt_size);
	vmem_panic("%s(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): freed already "
	    "(expected an allocated range)", who, vm->vm_name, addr, size);
}

/* Where exactly that allocation is; anything else is misuse. */
void
arena_hash_get(struct vmem *vm, uint64_t addr, uint64_t size, const char *who,
    struct hashplace *hp)
{
	if (!hash_find(vm, addr, hp))
		misfreed(vm, addr, size, who, NULL);
	if (TAG(hp->hp_tag)->bt_size != size)
		misfreed(vm, addr, size, who, TAG(hp->hp_tag));
}

/* Join an allocated segment, out of the hash already, with free neighbours;
 * returns the free segment that it is part of now. */
static uint32_t
coalesce(struct vmem *vm, uint32_t tag)
{
	uint32_t prev = TAG(tag)->bt_prev, next = TAG(tag)->bt_next;
	uint64_t start = TAG(tag)->bt_start, size = TAG(tag)->bt_size;
	bool below = TAG(prev)->bt_type == TAG_FREE;
	bool above = TAG(next)->bt_type == TAG_FREE;

	if (below && above) {
		size += TAG(next)->bt_size;
		fl_remove(vm, next);
		segment_drop(vm, next);
	}
	if (below) {
		fl_change(vm, prev, TAG(prev)->bt_start,
		    TAG(prev)->bt_size + size);
		segment_drop(vm, tag);
		return (prev);
	}
	if (above) {
		fl_change(vm, next, start, TAG(next)->bt_size + size);
		segment_drop(vm, tag);
		return (next);
	}
	fl_insert(vm, tag);
	return (tag);
}

/* Free an allocated segment; true: a span is to be released, which one. */
static bool
put_place(struct vmem *vm, const struct hashplace *hp, uint64_t *spanp,
    uint64_t *sizep)
{
	uint32_t tag = hp->hp_tag;
	uint64_t size = TAG(tag)->bt_size;

	__builtin_prefetch(TAG(TAG(tag)->bt_prev));
	__builtin_prefetch(TAG(TAG(tag)->bt_next));
	hash_remove(vm, hp);
	tag = coalesce(vm, tag);
	vm->vm_inuse -= size;
	vm->vm_generation++;
	vm->vm_freed++;
	return (TAG(TAG(tag)->bt_prev)->bt_type == TAG_SPAN_IMPORTED &&
	    span_detach(vm, tag, spanp, sizep));
}

/* Free without serving who waits; `cached`: out of a quantum cache. */
static void
put(struct vmem *vm, uint64_t addr, uint64_t size, bool cached,
    const char *who)
{
	struct hashplace hp;
	uint64_t span, span_size;
	bool release;

	arena_enter_free(vm);
	arena_hash_get(vm, addr, size, who, &hp);
	if (!cached && TAG(hp.hp_tag)->bt_state == TAG_CACHED)
		misfreed(vm, addr, size, who, TAG(hp.hp_tag));
	release = put_place(vm, &hp, &span, &span_size);
	vm->vm_frees++;
	arena_leave(vm);
	if (release)
		vm->vm_release(vm->vm_source, span, span_size);
}

void
arena_put_quietly(
    struct vmem *vm, uint64_t addr, uint64_t size, const char *who)
{
	put(vm, addr, size, false, who);
}

void
arena_put_cached(struct vmem *vm, uint64_t addr, uint64_t size)
{
	put(vm, addr, size, true, "vmem_reap");
}

void
arena_put(struct vmem *vm, uint64_t addr, uint64_t size, const char *who)
{
	arena_put_quietly(vm, addr, size, who);
	wait_serve_tree(vm);
}

/* ---- the interface ------------------------------------------------------ */

void
vmem_free(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	struct qcache *qc;

	size = round_size(vm, size);
	qc = qcache_for(vm, size);
	if (qc != NULL)
		qcache_free(qc, addr, "vmem_free");
	else
		arena_put(vm, addr, size, "vmem_free");
}

void
vmem_xfree(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	arena_put(vm, addr, round_size(vm, size), "vmem_xfree");
}

/* Make two allocations of one, parted at addr inside it: the upper part gets a
 * tag and a place in the hash.  ENOMEM: there is no place. */
static int
split_busy(struct vmem *vm, uint32_t tag, uint64_t addr)
{
	uint64_t lower = addr - TAG(tag)->bt_start;
	uint32_t upper = segment_make(
	    vm, tag, addr, TAG(tag)->bt_size - lower, TAG_BUSY);
	int error = hash_insert(vm, upper);

	if (error != 0)
		segment_drop(vm, upper);
	else
		TAG(tag)->bt_size = lower;
	return (error);
}

/* Undo that. */
static void
join_busy(struct vmem *vm, uint32_t tag)
{
	uint32_t upper = TAG(tag)->bt_next;
	struct hashplace hp;

	VERIFY(hash_find(vm, TAG(upper)->bt_start, &hp));
	hash_remove(vm, &hp);
	TAG(tag)->bt_size += TAG(upper)->bt_size;
	segment_drop(vm, upper);
}

/* Part [addr, last] from the allocation that it lies in; its start is then
 * addr.  ENOMEM: nothing has changed. */
static int
split_out(struct vmem *vm, uint32_t tag, uint64_t addr, uint64_t last)
{
	bool above = tag_last(TAG(tag)) != last;
	int error = 0;

	if (above)
		error = split_busy(vm, tag, last + 1);
	if (error == 0 && TAG(tag)->bt_start != addr) {
		error = split_busy(vm, tag, addr);
		if (error != 0 && above)
			join_busy(vm, tag);
	}
	return (error);
}

int
vmem_xfree_part(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, vm_flag_t flags)
{
	uint64_t last = addr + (size - 1), span, span_size;
	struct hashplace hp;
	bool release = false;
	uint32_t busy;
	int error;

	flags_check(vm, flags, "vmem_xfree_part");
	if (size == 0 || ((addr | size) & (vm->vm_quantum - 1)) != 0 ||
	    last < addr)
		return (EINVAL);
	error = arena_enter_indexed(vm);
	if (error != 0)
		return (error);
	busy = arena_seek(vm, addr);
	if (busy == TAG_NIL || TAG(busy)->bt_type != TAG_BUSY ||
	    TAG(busy)->bt_state == TAG_CACHED || TAG(busy)->bt_start > addr || tag_last(TAG(busy)) < last)
		vmem_panic("vmem_xfree_part(\"%s\", 0x%" PRIx64 ", %" PRIu64
		    "): expected a range inside one allocation", vm->vm_name,
		    addr, size);
	error = split_out(vm, busy, addr, last);
	if (error == 0) {
		arena_hash_get(vm, addr, size, "vmem_xfree_part", &hp);
		release = put_place(vm, &hp, &span, &span_size);
		vm->vm_frees++;
	}
	arena_leave(vm);
	if (release)
		vm->vm_release(vm->vm_source, span, span_size);
	if (error == 0)
		wait_serve_tree(vm);
	return (error);
}

void
vmem_xfreeall(vmem_t *vm)
{
	struct vmem_seg seg;
	vmem_addr_t cursor = VMEM_ADDR_MIN;
	bool more = true;

	(void)qcache_reap(vm);
	while (more) {
		if (vmem_walk_from(vm, VMEM_ALLOC, &cursor, &seg, 1, &more) == 1)
			arena_put(
			    vm, seg.seg_addr, seg.seg_size, "vmem_xfreeall");
	}
}
