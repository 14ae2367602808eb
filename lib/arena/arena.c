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
 *	  vm_head --> [head]<->[span]<->[busy]<->[free]<->[busy]<->[span]<-> ...
 *	                         |        |        |
 *	  vm_spantree -----------'        |        +--- vm_freetree (by address)
 *	  vm_hash (allocated, by start) --'        '--- vm_free     (by size)
 *
 * Every segment, allocated or free, has a boundary tag of 32 bytes (tag.c),
 * and the tags of an arena are one list in order of address, each span's tag
 * before its segments.  So a free finds its neighbours at hand (the paper,
 * 4.4.2).  The rest are indexes over that list:
 *
 *	by size		free ones: exact bins and a bitmap (freelist.c)
 *	by address	free ones, and spans (addrtree.c)
 *	by start	allocated ones (hash.c)
 *
 * 3. Invariants, checked by vmem_check().  Segments of a span cover it without
 * a gap; no two neighbours are free; neighbours in different spans are never
 * joined; vm_inuse is the sum of the allocated ones.
 *
 * 4. The life of an allocation.  vmem_alloc() takes it from a quantum cache
 * (lib/qcache) if small; else vmem_xalloc()'s way: arena_get() makes sure that
 * the arena has tags for the worst case, takes the lock, finds (arena_find()),
 * carves, and lets go.  If nothing fits: import from the source (span.c), then
 * empty the quantum caches, then ask the reclaim callback, each followed by
 * another look; then ENOMEM, or the request queues (wait.c).  A free looks up
 * the tag, joins the neighbours, releases an imported span that has become
 * free, and serves who waits.
 *
 * 5. Strategies.  Instant and best fit are one search here, for the bins are
 * exact (freelist.c), and differ under constraints: instant fit asks for so
 * much more that any segment of that size will do ("over-ask"), and looks at
 * no more than INSTANT_LOOKS others; best fit looks at all that could do.
 * First, last and next fit search by address.  Next fit has a cursor, an
 * address, not a tag in the list: it blocks no joining and pins no span
 * (PITFALLS 1.11, 1.12).
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

/* ---- entering and leaving ----------------------------------------------- */

/* Enough for the insertions, and room for what removals give back: who left
 * a surplus drains it, but without the lock, and others come in between. */
static bool
nodes_suffice(const struct vmem *vm)
{
	return (vm->vm_nnodes - NODES_PER_OP <= NODES_HIGH - NODES_PER_OP);
}

static bool
stock_suffices(const struct vmem *vm)
{
	return (vm->vm_ntags >= TAGS_PER_OP && nodes_suffice(vm) &&
	    !hash_wants_resize(&vm->vm_hash));
}

/*
 * Take the lock with all at hand that an operation may need.  ENOMEM: the tags
 * can't be had, and the lock isn't held.  Nodes, and a hash table of the right
 * size, are welcome but not needed.
 */
int
arena_enter(struct vmem *vm)
{
	int error = 0;

	lock_acquire(&vm->vm_lock);
	if (stock_suffices(vm))
		return (0);
	arena_leave(vm);
	error = tags_refill(vm);
	hash_resize(vm);
	if (error != 0)
		return (error);
	lock_acquire(&vm->vm_lock);
	if (vm->vm_ntags >= TAGS_PER_OP && vm->vm_nnodes <= NODES_HIGH)
		return (0);
	/* Others were quicker: rare enough to begin again. */
	lock_release(&vm->vm_lock);
	return (arena_enter(vm));
}

/*
 * The same, and all free segments indexed by address (fl_index_all()), if the
 * nodes for it can be had.  Each turn has nodes for some insertions at least,
 * so as many turns as this are enough for what is pending.
 */
int
arena_enter_indexed(struct vmem *vm) NO_THREAD_SAFETY_ANALYSIS
{
	int error = arena_enter(vm);

	for (unsigned int turn = 0; error == 0 && turn < FL_PENDING / 4 &&
	     fl_index_all(vm) != 0; turn++) {
		arena_leave(vm);
		error = arena_enter(vm);
	}
	return (error);
}

/* To look around: it can't fail, at worst with less of an index. */
void
arena_enter_look(struct vmem *vm) NO_THREAD_SAFETY_ANALYSIS
{
	if (arena_enter_indexed(vm) != 0)
		arena_enter_free(vm);
}

/* The same for a free, which needs nothing that it might not get. */
void
arena_enter_free(struct vmem *vm)
{
	lock_acquire(&vm->vm_lock);
	if (nodes_suffice(vm) && !hash_wants_resize(&vm->vm_hash))
		return;
	arena_leave(vm);
	(void)tags_refill(vm);
	hash_resize(vm);
	lock_acquire(&vm->vm_lock);
	while (vm->vm_nnodes > NODES_HIGH) {
		arena_leave(vm);
		lock_acquire(&vm->vm_lock);
	}
}

void
arena_leave(struct vmem *vm)
{
	bool surplus = vm->vm_ntags > TAGS_HIGH || vm->vm_nnodes > NODES_HIGH;

	lock_release(&vm->vm_lock);
	if (surplus)
		tags_drain(vm);
}

/* ---- the list of segments ----------------------------------------------- */

void
list_insert_after(uint32_t at, uint32_t tag)
{
	uint32_t next = TAG(at)->bt_next;

	TAG(tag)->bt_prev = at & TAG_INDEX_MASK;
	TAG(tag)->bt_next = next & TAG_INDEX_MASK;
	TAG(at)->bt_next = tag & TAG_INDEX_MASK;
	TAG(next)->bt_prev = tag & TAG_INDEX_MASK;
}

void
list_remove(uint32_t tag)
{
	uint32_t prev = TAG(tag)->bt_prev, next = TAG(tag)->bt_next;

	TAG(prev)->bt_next = next & TAG_INDEX_MASK;
	TAG(next)->bt_prev = prev & TAG_INDEX_MASK;
}

static uint32_t
segment_make(struct vmem *vm, uint32_t after, uint64_t start, uint64_t size,
    enum tag_type type)
{
	uint32_t tag = tag_take(vm);
	struct tag *bt = TAG(tag);

	bt->bt_start = start;
	bt->bt_size = size;
	bt->bt_type = type & 15;
	bt->bt_state = 0;
	list_insert_after(after, tag);
	return (tag);
}

static void
segment_drop(struct vmem *vm, uint32_t tag)
{
	list_remove(tag);
	tag_give(vm, tag);
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
	uint32_t t;

	qcache_fini(vm);
	if (vm->vm_head != TAG_NIL) {
		while ((t = TAG(vm->vm_head)->bt_next) != vm->vm_head)
			segment_drop(vm, t);
		tag_give(vm, vm->vm_head);
		vm->vm_head = TAG_NIL;
	}
	addrtree_fini(vm, &vm->vm_freetree);
	addrtree_fini(vm, &vm->vm_spantree);
	tags_return_all(vm);
	hash_fini(vm);
	lock_fini(&vm->vm_lock);
	meta_free(vm, sizeof(*vm));
}

static int
head_init(struct vmem *vm)
{
	int error = arena_enter(vm);

	if (error != 0)
		return (error);
	vm->vm_head = tag_take(vm);
	TAG(vm->vm_head)->bt_type = TAG_HEAD;
	TAG(vm->vm_head)->bt_start = 0;
	TAG(vm->vm_head)->bt_size = 0;
	TAG(vm->vm_head)->bt_prev = vm->vm_head & TAG_INDEX_MASK;
	TAG(vm->vm_head)->bt_next = vm->vm_head & TAG_INDEX_MASK;
	arena_leave(vm);
	return (0);
}

static int
arena_init(struct vmem *vm, vmem_addr_t base, vmem_size_t size,
    vmem_size_t qcache_max, vm_flag_t flags)
{
	int error = hash_init(vm);

	if (error == 0)
		error = head_init(vm);
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
