/*
 * free.c - freeing, whole and in part: arena.c, 4.
 *
 * A free looks up the tag, joins free neighbours, releases an imported span
 * that has become free, and serves who waits.  It needs no memory, and so
 * can't fail; only giving back a part of an allocation adds tags, for what
 * stays.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <inttypes.h>

#include "qcache/check.h"
#include "qcache/fast.h"

/* ---- freeing ------------------------------------------------------------ */

static void __attribute__((__noreturn__, __cold__, __noinline__))
misfreed(const struct vmem *vm, uint64_t addr, uint64_t size, const char *who,
    struct place p)
{
	uint64_t is = to_addr(vm, tag_size(p));

	if (!tag_is_busy(TAG(p)) || to_addr(vm, tag_start(p)) != addr)
		vmem_panic("%s(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): no "
		    "allocation starts there (expected one: freed twice, "
		    "or never allocated?)", who, vm->vm_name, addr, size);
	vmem_panic("%s(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): wrong size "
	    "(expected %" PRIu64 ")", who, vm->vm_name, addr, size, is);
}

/* The tag of exactly that allocation; anything else is misuse. */
static inline __attribute__((always_inline)) struct place
busy_find(struct vmem *vm, uint64_t addr, uint64_t size, const char *who)
{
	struct place p = row_find_inline(vm, to_quanta(vm, addr));

	if (__builtin_expect(
		(TAG(p) & ~(TAG_SPAN | TAG_IMPORTED)) != TAG_BUSY ||
		to_addr(vm, tag_start(p)) != addr ||
		to_addr(vm, tag_size(p)) != size, 0))
		misfreed(vm, addr, size, who, p);
	return (p);
}

/* A free segment beside one that is freed: its tag, which goes; 0: there is
 * none. */
struct joined {
	uint32_t tag;
	uint64_t size;
};

/* Both leave their bins.  If it is one bin, who is last in it goes first: the
 * bin must not look for a tag that isn't there any more. */
static inline void
joined_leave(struct vmem *vm, struct joined one, struct joined other)
{
	struct joined last = other;

	if (one.size == other.size &&
	    (one.tag & TAG_PLACE) > (other.tag & TAG_PLACE)) {
		last = one;
		one = other;
	}
	if (last.tag != 0)
		fl_leave(vm, last.tag, last.size);
	if (one.tag != 0)
		fl_leave(vm, one.tag, one.size);
}

/*
 * The allocated segment at p becomes free, joined with free neighbours: the
 * place of what it is then.
 */
static struct place
release(struct vmem *vm, struct place p)
{
	struct joined lower = { 0, 0 }, upper = { 0, 0 };
	struct place all = p, below, above;

	if (tag_above(p, &above) &&
	    (TAG(above) & (TAG_FREE | TAG_SPAN)) == TAG_FREE)
		upper = (struct joined) { TAG(above), tag_size(above) };
	if ((TAG(p) & TAG_SPAN) == 0 && tag_below(p, &below) &&
	    (TAG(below) & TAG_FREE) != 0) {
		lower = (struct joined) { TAG(below), tag_size(below) };
		all = below;
	}
	row_absorb(vm, all,
	    (unsigned int)(lower.tag != 0) + (upper.tag != 0));
	tag_set(all, (TAG(all) & (TAG_SPAN | TAG_IMPORTED)) | TAG_BUSY);
	joined_leave(vm, lower, upper);
	fl_insert(vm, all);
	return (all);
}

static inline void
count_free(struct vmem *vm, uint64_t size)
{
	vm->vm_inuse -= size;
	vm->vm_nbusy--;
	vm->vm_generation++;
	vm->vm_freed++;
}

/* A span to be given back: its address and size; size 0: none is. */
struct freed {
	uint64_t addr;
	uint64_t size;
};

/* Free an allocated segment; *span: what is to be released, without the
 * lock. */
static void
put_place(struct vmem *vm, struct place p, struct freed *span)
{
	uint64_t size = to_addr(vm, tag_size(p));

	span->size = 0;
	if (__builtin_expect(stock_is_short(vm), 0))
		vm->vm_freed_at = tag_start(p);
	p = release(vm, p);
	count_free(vm, size);
	if (__builtin_expect((TAG(p) & TAG_IMPORTED) != 0, 0) &&
	    span_whole(p))
		span_detach(vm, p, &span->addr, &span->size);
	else
		row_thin(vm, p.row);
}

/* The segment at p begins no span, and what is beside it, in the same row,
 * isn't free: there is nothing to be joined. */
static inline bool
is_alone(struct place p)
{
	const struct row *rw = ROW(p.row);

	return (rw->rw_tag[p.slot] == TAG_BUSY && p.slot > 0 &&
	    p.slot + 1 < rw->rw_count &&
	    (rw->rw_free >> (p.slot - 1) & 5) == 0);
}

/* It has neighbours to be joined with, or may be the last of its span. */
static __attribute__((noinline)) void
put_joined(struct vmem *vm, struct place p) RELEASE(vm->vm_lock)
{
	struct freed span;

	put_place(vm, p, &span);
	vm->vm_frees++;
	leave_inline(vm);
	if (span.size != 0)
		vm->vm_release(vm->vm_source, span.addr, span.size);
}

/* Free without serving who waits. */
static inline __attribute__((always_inline)) void
put_inline(struct vmem *vm, uint64_t addr, uint64_t size, const char *who)
{
	struct place p;

	enter_free_inline(vm);
	p = busy_find(vm, addr, size, who);
	if (!is_alone(p) || __builtin_expect(stock_is_short(vm), 0)) {
		put_joined(vm, p);
		return;
	}
	fl_insert_size(vm, p, to_quanta(vm, size));
	count_free(vm, size);
	vm->vm_frees++;
	leave_inline(vm);
}

void
arena_put_quietly(
    struct vmem *vm, uint64_t addr, uint64_t size, const char *who)
{
	put_inline(vm, addr, size, who);
}

static inline void
serve(struct vmem *vm)
{
	if (__builtin_expect(atomic_load(&vm->vm_waiters_here) != 0, 0))
		wait_serve_tree(vm);
}

void
arena_put(struct vmem *vm, uint64_t addr, uint64_t size, const char *who)
{
	put_inline(vm, addr, size, who);
	serve(vm);
}

/* ---- the interface ------------------------------------------------------ */

/* What has no cache, or isn't taken by a sequence. */
static void __attribute__((__noinline__))
free_slow(struct vmem *vm, vmem_addr_t addr, vmem_size_t size)
{
	if (vm->vm_qcache == NULL || !qcache_free(vm, addr, size))
		arena_put(vm, addr, round_size(vm, size), "vmem_free");
}

static void __attribute__((__noinline__, __cold__))
free_restarted(struct vmem *vm, vmem_addr_t addr, vmem_size_t size)
{
	qcache_restarted(vm->vm_qcache);
	free_slow(vm, addr, size);
}

/* What has been checked, and isn't taken by a sequence. */
static void __attribute__((__noinline__))
free_kept(struct vmem *vm, vmem_addr_t addr, vmem_size_t size)
{
	qcache_keep(qcache_for(vm, size), addr);
}

static void __attribute__((__noinline__, __cold__))
free_kept_restarted(struct vmem *vm, vmem_addr_t addr, vmem_size_t size)
{
	qcache_restarted(vm->vm_qcache);
	free_kept(vm, addr, size);
}

/* The same as vmem_free(), with VM_CHECK. */
static void __attribute__((__noinline__))
free_checked(struct vmem *vm, vmem_addr_t addr, vmem_size_t size)
{
	size_t index = qcache_index(vm, size - 1);

	/* What has no cache, and what isn't right at the first glance. */
	if (__builtin_expect(size - 1 >= vm->vm_front.fr_checked_max, 0) ||
	    __builtin_expect((addr & vm->vm_front.fr_inside) != 0, 0) ||
	    !check_turn(vm, addr, (uint8_t)(index + 1), STATE_CACHED)) {
		free_slow(vm, addr, size);
		return;
	}
	switch (qcache_push(vm, index, addr)) {
	case RSEQ_DONE:
		return;
	case RSEQ_REFUSED:
		free_kept(vm, addr, size);
		return;
	case RSEQ_ABORTED:
		free_kept_restarted(vm, addr, size);
		return;
	}
}

void
vmem_free(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	NOFAULT_ASSERT();
	if (__builtin_expect(size - 1 >= vm->vm_front.fr_max, 0)) {
		if (vm->vm_front.fr_checked_max != 0)
			free_checked(vm, addr, size);
		else
			free_slow(vm, addr, size);
		return;
	}
	switch (qcache_push(vm, qcache_index(vm, size - 1), addr)) {
	case RSEQ_DONE:
		return;
	case RSEQ_REFUSED:
		free_slow(vm, addr, size);
		return;
	case RSEQ_ABORTED:
		free_restarted(vm, addr, size);
		return;
	}
}

void
vmem_xfree(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	NOFAULT_ASSERT();
	size = round_size(vm, size);
	if (vm->vm_qcache != NULL)
		qcache_foreign(vm, addr, size, "vmem_xfree");
	arena_put(vm, addr, size, "vmem_xfree");
}

/* [addr, addr + size) becomes an allocation of its own, and goes.  What stays,
 * if anything does, is one allocation, or two: allocations made less those
 * freed is always how many there are. */
static void
put_part(struct vmem *vm, struct place p, uint64_t addr, uint64_t size,
    struct freed *span)
{
	uint64_t whole = to_addr(vm, tag_size(p));
	bool below = to_addr(vm, tag_start(p)) != addr;
	bool above = to_addr(vm, tag_start(p)) + (whole - 1) !=
	    addr + (size - 1);

	p = arena_carve(
	    vm, p, to_quanta(vm, addr), to_quanta(vm, size), TAG_BUSY);
	vm->vm_nbusy += (uint64_t)below + above;
	if (below && above)
		vm->vm_allocs++;
	else if (!below && !above)
		vm->vm_frees++;
	put_place(vm, p, span);
}

int
vmem_xfree_part(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, vm_flag_t flags)
{
	uint64_t last = addr + (size - 1);
	struct freed span;
	struct place p;

	NOFAULT_ASSERT();
	flags_check(vm, flags, "vmem_xfree_part");
	if (size == 0 || ((addr | size) & (vm->vm_quantum - 1)) != 0 ||
	    last < addr)
		return (EINVAL);
	qcache_foreign(vm, addr, size, "vmem_xfree_part");
	arena_enter_anyhow(vm);
	p = row_find(vm, to_quanta(vm, addr));
	if ((TAG(p) & ~(TAG_SPAN | TAG_IMPORTED)) != TAG_BUSY ||
	    to_addr(vm, tag_start(p) + tag_size(p)) - 1 < last)
		vmem_panic("vmem_xfree_part(\"%s\", 0x%" PRIx64 ", %" PRIu64
		    "): expected a range inside one allocation", vm->vm_name,
		    addr, size);
	if (!arena_affords(vm, p, addr, size)) {
		arena_leave(vm);
		return (ENOMEM);
	}
	put_part(vm, p, addr, size, &span);
	arena_leave(vm);
	if (span.size != 0)
		vm->vm_release(vm->vm_source, span.addr, span.size);
	serve(vm);
	return (0);
}

void
vmem_xfreeall(vmem_t *vm)
{
	struct vmem_seg seg;
	vmem_addr_t cursor = VMEM_ADDR_MIN;
	bool more = true;

	NOFAULT_ASSERT();
	(void)qcache_reap(vm);
	qcache_forget(vm);
	while (more) {
		if (vmem_walk_from(vm, VMEM_ALLOC, &cursor, &seg, 1, &more) == 1)
			arena_put(
			    vm, seg.seg_addr, seg.seg_size, "vmem_xfreeall");
	}
}
