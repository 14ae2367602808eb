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

/* Segments that instant fit looks at beyond the one that is sure to fit. */
#define INSTANT_LOOKS 64u

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

/* ---- finding ------------------------------------------------------------ */

static bool
fits(const struct fit *ft, uint32_t tag, uint64_t *addrp)
{
	const struct tag *bt = TAG(tag);

	if (ft->ft_policy == VM_LASTFIT)
		return (fit_high(ft, bt->bt_start, tag_last(bt), addrp));
	return (fit_low(ft, bt->bt_start, tag_last(bt), addrp));
}

/* Smallest first. */
static uint32_t
find_by_size(const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint64_t sure = fit_sure(ft);
	unsigned int looks = INSTANT_LOOKS;
	uint32_t t;

	if (ft->ft_policy == VM_INSTANTFIT && sure <= fl_max(vm)) {
		t = fl_best(vm, sure);
		if (t != TAG_NIL && fits(ft, t, addrp))
			return (t);
	}
	for (t = fl_best(vm, ft->ft_size); t != TAG_NIL; t = fl_after(vm, t)) {
		if (fits(ft, t, addrp))
			return (t);
		if (ft->ft_policy == VM_INSTANTFIT && --looks == 0)
			break;
	}
	return (TAG_NIL);
}

/* Lowest address first, from `from` on; segments of at least `size`. */
static uint32_t
find_upwards(const struct vmem *vm, const struct fit *ft, uint64_t from,
    uint64_t size, unsigned int looks, uint64_t *addrp)
{
	uint32_t t = addrtree_last(&vm->vm_freetree, from, 0);

	/* The one that `from` lies in, then those after it. */
	if (t == TAG_NIL || tag_last(TAG(t)) < from || TAG(t)->bt_size < size)
		t = addrtree_first(&vm->vm_freetree, from, size);
	for (; t != TAG_NIL && TAG(t)->bt_start <= ft->ft_max;
	     t = addrtree_first(
		 &vm->vm_freetree, TAG(t)->bt_start + 1, size)) {
		if (fits(ft, t, addrp))
			return (t);
		if (--looks == 0 || TAG(t)->bt_start == UINT64_MAX)
			break;
	}
	return (TAG_NIL);
}

static uint32_t
find_downwards(const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint32_t t =
	    addrtree_last(&vm->vm_freetree, ft->ft_max, ft->ft_size);

	for (; t != TAG_NIL && tag_last(TAG(t)) >= ft->ft_min;
	     t = addrtree_last(
		 &vm->vm_freetree, TAG(t)->bt_start - 1, ft->ft_size)) {
		if (fits(ft, t, addrp))
			return (t);
		if (TAG(t)->bt_start == 0)
			break;
	}
	return (TAG_NIL);
}

/* The smallest that fits within the window: looks at all in it that might. */
static uint32_t
find_best_in_window(
    const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint32_t best = TAG_NIL, t;
	uint64_t from = ft->ft_min, addr;

	for (;;) {
		t = find_upwards(vm, ft, from, ft->ft_size, UINT32_MAX, &addr);
		if (t == TAG_NIL)
			break;
		if (best == TAG_NIL || TAG(t)->bt_size < TAG(best)->bt_size) {
			best = t;
			*addrp = addr;
		}
		from = tag_last(TAG(t));
		if (from == UINT64_MAX)
			break;
		from++;
	}
	return (best);
}

/* From the cursor on, then from the start. */
static uint32_t
find_next(const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	struct fit rest = *ft;
	uint32_t t;

	if (vm->vm_cursor > ft->ft_min && vm->vm_cursor <= ft->ft_max) {
		rest.ft_min = vm->vm_cursor;
		t = find_upwards(vm, &rest, rest.ft_min, ft->ft_size,
		    UINT32_MAX, addrp);
		if (t != TAG_NIL)
			return (t);
	}
	return (find_upwards(
	    vm, ft, ft->ft_min, ft->ft_size, UINT32_MAX, addrp));
}

static uint32_t
find_in_window(const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint64_t sure = fit_sure(ft);
	uint32_t t;

	if (ft->ft_policy == VM_BESTFIT)
		return (find_best_in_window(vm, ft, addrp));
	/* Two segments at most may be cut by the window, and disappoint. */
	t = find_upwards(vm, ft, ft->ft_min, sure, 3, addrp);
	if (t == TAG_NIL)
		t = find_upwards(vm, ft, ft->ft_min, ft->ft_size,
		    INSTANT_LOOKS, addrp);
	return (t);
}

/* Without an index by address (no nodes could be had): every segment. */
static uint32_t
find_by_walking(const struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint32_t best = TAG_NIL, t = TAG(vm->vm_head)->bt_next;
	uint64_t addr;

	for (; t != vm->vm_head; t = TAG(t)->bt_next) {
		if (TAG(t)->bt_type != TAG_FREE || !fits(ft, t, &addr))
			continue;
		if (best != TAG_NIL && ft->ft_policy != VM_LASTFIT &&
		    (ft->ft_policy != VM_BESTFIT ||
			TAG(best)->bt_size <= TAG(t)->bt_size))
			continue;
		best = t;
		*addrp = addr;
	}
	return (best);
}

static bool
by_address(const struct fit *ft)
{
	return (ft->ft_window ||
	    (ft->ft_policy & (VM_INSTANTFIT | VM_BESTFIT)) == 0);
}

/* A free segment in which the request fits, and where: with vm_lock held. */
uint32_t
arena_find(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	uint32_t t;

	vm->vm_lookups++;
	if (fl_max(vm) < ft->ft_size)
		return (TAG_NIL);
	if (!by_address(ft)) {
		if (!ft->ft_plain)
			return (find_by_size(vm, ft, addrp));
		t = fl_best(vm, ft->ft_size);
		*addrp = TAG(t)->bt_start;
		return (t);
	}
	if (fl_index_all(vm) != 0)
		return (find_by_walking(vm, ft, addrp));
	switch (ft->ft_policy) {
	case VM_FIRSTFIT:
		return (find_upwards(
		    vm, ft, ft->ft_min, ft->ft_size, UINT32_MAX, addrp));
	case VM_LASTFIT:
		return (find_downwards(vm, ft, addrp));
	case VM_NEXTFIT:
		return (find_next(vm, ft, addrp));
	default:
		return (find_in_window(vm, ft, addrp));
	}
}

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

static int
take_once(struct vmem *vm, const struct fit *ft, uint64_t *addrp)
{
	int error = arena_enter(vm);

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
		error = arena_enter(vm);
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
	error = arena_enter(vm);
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
