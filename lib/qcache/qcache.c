/*
 * qcache.c - quantum caches.
 *
 * 1. What for.  Most requests are for a few quanta.  Each such size has a
 * cache of ranges that are allocated in the arena and free to the user, so
 * that a pair of alloc and free touches no boundary tag, takes no lock, and
 * writes no cache line that another CPU writes (the paper, 3 and 4.4.4).
 *
 * 2. Layers, from the top; each is dealt with when the one above is empty, or
 * full, and in bulk:
 *
 *	slot	loaded and previous magazine of this CPU and size (slot.c)
 *	depot	full and empty magazines of this size (depot.c)
 *	slabs	pieces of the arena cut into ranges of this size (slab.c)
 *	arena	boundary tags
 *
 *	alloc:	loaded -> previous (exchange) -> a full one of the depot
 *		-> a magazine's worth from slabs, one of them new if need be
 *		-> this one range from the arena
 *	free:	loaded -> previous (exchange) -> an empty one of the depot, the
 *		full one goes there -> or, if that has enough, back to the slabs
 *
 * With two magazines a CPU, a run of allocs or frees goes to the depot once in a
 * magazine's worth of operations at worst.
 *
 * 3. Per CPU, truly.  The fast path is one restartable sequence: it reads which
 * CPU it is on and commits with one store, and if it was interrupted, the slow
 * path does it (rseq.h; fast.h has the whole of it).  What takes more than one
 * store closes the slot first (slot.c); who empties the slots of other CPUs bars
 * all of the arena (drain.c).  Where there are no sequences, a slot has a lock,
 * which is nearly always free, for only who was moved between asking for its CPU
 * and locking competes for it (percpu.c says when, and how to choose).  A thread
 * that ends leaves nothing behind, since nothing is a thread's.
 *
 * 4. Sizes.  There is a cache for each multiple of the quantum; slabs are shared
 * by neighbouring ones (slab.c, 1.).
 *
 * 5. Giving back.  Before a request fails or sleeps, all caches of the arena are
 * emptied; while requests wait, frees pass the caches by, and refills take no
 * more than is asked for.  vmem_tick() gives back what was not needed for a
 * period (drain.c).
 *
 * 6. VM_CHECK: check.c.
 *
 * 7. Locks: slot, then bar or depot; slabs apart.  None is held when the arena's or
 * the pool's is taken.
 *
 * 8. Bootstrap.  Until the pool has its final place (unit.c, 2.), a magazine
 * or header might move; so an arena made with VM_BOOTSTRAP caches nothing up to
 * then.
 */
#include "config.h"

#include "qcache/fast.h"

#include <errno.h>

/* ---- life cycle --------------------------------------------------------- */

static size_t
align64(size_t size)
{
	return ((size + 63) & ~(size_t)63);
}

/* One piece of memory: the set, the slabs, their classes, the caches. */
static struct qcaches *
caches_make(struct vmem *vm, unsigned int areas, unsigned int count)
{
	size_t head = align64(sizeof(struct qcaches) + areas * sizeof(void *));
	size_t slabs = align64(sizeof(struct slabs));
	size_t classes = align64(count * sizeof(struct slabclass));
	size_t bytes = head + slabs + classes + count * sizeof(struct qcache);
	char *base = meta_alloc(bytes);
	struct qcaches *qs = (struct qcaches *)(void *)base;

	if (base == NULL)
		return (NULL);
	qs->qs_vm = vm;
	qs->qs_areas = (uint16_t)areas;
	qs->qs_count = (uint16_t)count;
	qs->qs_bytes = bytes;
	qs->qs_slabs = (struct slabs *)(void *)(base + head);
	qs->qs_classes = (struct slabclass *)(void *)(base + head + slabs);
	qs->qs_caches =
	    (struct qcache *)(void *)(base + head + slabs + classes);
	lock_init(&qs->qs_bar_lock, "bar", LOCK_QCACHE_BAR);
	for (unsigned int k = 0; k < areas; k++)
		qs->qs_area[k] = (void *)(uintptr_t)slot_nowhere;
	return (qs);
}

static void
cache_init(struct qcaches *qs, unsigned int index)
{
	struct qcache *qc = &qs->qs_caches[index];

	qc->qc_set = qs;
	qc->qc_index = index;
	qc->qc_size = (vmem_size_t)(index + 1) << qs->qs_vm->vm_shift;
	depot_init(&qc->qc_depot);
}

/* What sequences find from now on. */
void
qcache_front(struct vmem *vm, bool barred)
{
	struct rseq_front *rf = &vm->vm_front.fr_rseq;
	void *const *areas = barred ? slot_barred : vm->vm_qcache->qs_area;

	__atomic_store_n(&rf->rf_areas, areas, __ATOMIC_RELEASE);
}

/* Where sequences are to be had, operations begin with them. */
static void
front_init(struct vmem *vm, const struct qcaches *qs)
{
	struct front *fr = &vm->vm_front;
	vmem_size_t max = (vmem_size_t)qs->qs_count << vm->vm_shift;

	fr->fr_rseq.rf_place = qs->qs_place;
	fr->fr_shift = vm->vm_shift;
	fr->fr_inside = vm->vm_quantum - 1;
	fr->fr_slabs = qs->qs_slabs;
	qcache_front(vm, false);
	if (qs->qs_rseq)
		*(qs->qs_check ? &fr->fr_checked_max : &fr->fr_max) = max;
}

int
qcache_init(struct vmem *vm, vmem_size_t qcache_max)
{
	const struct percpu *pc = percpu_get();
	unsigned int count = (unsigned int)((qcache_max + vm->vm_quantum - 1) >>
	    vm->vm_shift);
	struct qcaches *qs = caches_make(vm, pc->pc_count, count);
	int error;

	if (qs == NULL)
		return (ENOMEM);
	qs->qs_percpu = pc;
	qs->qs_place = pc->pc_place;
	qs->qs_rseq = pc->pc_mode != PERCPU_LOCK;
	qs->qs_check = (vm->vm_flags & VM_CHECK) != 0;
	for (unsigned int i = 0; i < count; i++)
		cache_init(qs, i);
	vm->vm_qcache = qs;
	error = slabs_init(qs);
	if (error != 0)
		return (error);
	vm->vm_qcache_count = count;
	vm->vm_qcache_max = (vmem_size_t)count << vm->vm_shift;
	front_init(vm, qs);
	return (0);
}

void
qcache_fini(struct vmem *vm)
{
	struct qcaches *qs = vm->vm_qcache;

	if (qs == NULL)
		return;
	(void)qcache_reap(vm);
	vm->vm_qcache_count = 0;
	vm->vm_qcache_max = 0;
	vm->vm_front = (struct front) { 0 };
	vm->vm_qcache = NULL;
	slot_areas_fini(qs);
	for (unsigned int i = 0; i < qs->qs_count; i++)
		depot_fini(&qs->qs_caches[i].qc_depot);
	slabs_fini(qs);
	lock_fini(&qs->qs_bar_lock);
	meta_free(qs, qs->qs_bytes);
}

struct qcache *
qcache_for(struct vmem *vm, vmem_size_t size)
{
	if (size - 1 >= vm->vm_qcache_max)
		return (NULL);
	return (&vm->vm_qcache->qs_caches[(size - 1) >> vm->vm_shift]);
}

void
qcache_restarted(struct qcaches *qs)
{
	atomic_fetch_add_explicit(&qs->qs_restarts, 1, memory_order_relaxed);
}

/* ---- putting ranges into the slot --------------------------------------- */

/* Ranges of a cache, on their way into this CPU's slot. */
struct load {
	const vmem_addr_t *ld_addrs;
	unsigned int ld_count;
	bool ld_freed;		/* by the user: counted */
	uint32_t ld_spare;	/* an empty magazine, if one is wanted */
	uint32_t ld_victim;	/* a full one that nobody has a use for */
};

/* Put in what there is room for; 0: there is no magazine, or no slot. */
static unsigned int
load_once(struct qcache *qc, struct load *ld)
{
	struct slot *sl = slot_enter(qc);
	unsigned int n = 0;

	if (sl == NULL)
		return (0);
	if (slot_load_empty(qc, sl, &ld->ld_spare, &ld->ld_victim)) {
		if (ld->ld_freed) {
			slot_push(sl, ld->ld_addrs[0]);
			n = 1;
		} else
			n = slot_stash(sl, ld->ld_addrs, ld->ld_count);
	}
	slot_leave(qc, sl);
	return (n);
}

/* Into this CPU's slot, with a new magazine if need be; returns how many. */
static unsigned int
load_slot(struct qcache *qc, struct load *ld)
{
	unsigned int n;

	n = pool_ready() ? load_once(qc, ld) : 0;
	if (n == 0 && pool_ready() &&
	    pool_get(&ld->ld_spare, 1) == 1)
		n = load_once(qc, ld);
	if (ld->ld_spare != UNIT_NIL)
		pool_put(&ld->ld_spare, 1);
	if (ld->ld_victim != UNIT_NIL)
		magazine_spill(qc, ld->ld_victim);
	return (n);
}

/* ---- allocating --------------------------------------------------------- */

/* From this CPU's slot, or the depot. */
static bool
slot_serves(struct qcache *qc, vmem_addr_t *addrp)
{
	struct slot *sl = slot_enter(qc);
	bool ok;

	if (sl == NULL)
		return (false);
	ok = slot_load_full(qc, sl);
	if (ok)
		*addrp = slot_pop(sl);
	else
		sl->sl_misses++;
	slot_leave(qc, sl);
	return (ok);
}

/* From slabs: some more for the slot, unless others wait for them. */
static unsigned int
slabs_serve(struct qcache *qc, vmem_addr_t *addrp)
{
	struct vmem *vm = qc->qc_set->qs_vm;
	vmem_addr_t addrs[ROUNDS_MAX];
	unsigned int want = 1, n;
	struct load ld;

	if (!qcache_has_waiters(vm))
		want = atomic_load_explicit(
		    &qc->qc_depot.dp_size, memory_order_relaxed);
	n = slab_get(qc, addrs, want);
	if (n == 0 && want > 1 && pool_ready() && slab_make(qc) == 0)
		n = slab_get(qc, addrs, want);
	if (n == 0)
		return (0);
	*addrp = addrs[0];
	if (n > 1) {
		unsigned int in;

		ld = (struct load) { .ld_addrs = addrs + 1,
			.ld_count = n - 1 };
		in = load_slot(qc, &ld) + 1;
		if (in < n)
			(void)slab_put(qc, addrs + in, n - in, SLAB_KEEP_ONE);
		qcache_settle(vm);
	}
	return (n);
}

/* This one range from the arena, which does all it can. */
static int
arena_serves(struct qcache *qc, const struct fit *ft, vmem_addr_t *addrp)
{
	struct qcaches *qs = qc->qc_set;
	int error = arena_get(qs->qs_vm, ft, addrp);

	if (error != 0)
		return (error);
	slabs_counted(qs, &qs->qs_slabs->sb_gets);
	if (qs->qs_check && slab_single(qc, *addrp) != 0) {
		/* No memory to remember it in. */
		slabs_counted(qs, &qs->qs_slabs->sb_puts);
		arena_put_quietly(
		    qs->qs_vm, *addrp, qc->qc_size, "vmem_alloc");
		return (ENOMEM);
	}
	return (0);
}

/* What the slot hasn't got. */
static int
refill(struct qcache *qc, const struct fit *ft, vmem_addr_t *addrp)
{
	struct qcaches *qs = qc->qc_set;
	int error = 0;

	if (slabs_serve(qc, addrp) == 0) {
		error = arena_serves(qc, ft, addrp);
		/* It has emptied the caches: into slabs, perhaps. */
		if (error != 0 && slab_get(qc, addrp, 1) == 1)
			error = 0;
	}
	if (error == 0)
		slabs_counted(qs, &qs->qs_slabs->sb_served);
	return (error);
}

int
qcache_alloc(struct qcache *qc, const struct fit *ft, vmem_addr_t *addrp)
{
	struct qcaches *qs = qc->qc_set;
	vmem_addr_t addr;
	int error = 0;

	if (ft->ft_policy != VM_POLICY(qs->qs_vm, 0)) {
		/* Where it lies matters; but it will be freed to here. */
		error = arena_serves(qc, ft, &addr);
		if (error == 0)
			slabs_counted(qs, &qs->qs_slabs->sb_served);
	} else if (!slot_serves(qc, &addr))
		error = refill(qc, ft, &addr);
	if (error != 0)
		return (error);
	if (qs->qs_check)
		check_out(qc, addr);
	*addrp = addr;
	return (0);
}

/* ---- freeing ------------------------------------------------------------ */

/* To the slab, or the arena; who waits may have it. */
static void
pass_by(struct qcache *qc, vmem_addr_t addr)
{
	qcache_free_through(qc, addr);
	wait_serve_tree(qc->qc_set->qs_vm);
}

void
qcache_keep(struct qcache *qc, vmem_addr_t addr)
{
	struct load ld = { .ld_addrs = &addr, .ld_count = 1,
		.ld_freed = true };

	if (qcache_has_waiters(qc->qc_set->qs_vm) || load_slot(qc, &ld) == 0)
		pass_by(qc, addr);
}

bool
qcache_free(struct vmem *vm, vmem_addr_t addr, vmem_size_t size)
{
	struct qcache *qc = qcache_for(vm, size);

	if (qc == NULL)
		return (false);
	if (qc->qc_set->qs_check)
		check_in(qc, addr, "vmem_free");
	qcache_keep(qc, addr);
	return (true);
}

void
qcache_free_through(struct qcache *qc, vmem_addr_t addr)
{
	struct qcaches *qs = qc->qc_set;

	slabs_counted(qs, &qs->qs_slabs->sb_passed);
	if (slab_put(qc, &addr, 1, SLAB_KEEP_NONE) == 0)
		qcache_gain(qs->qs_vm);
}
