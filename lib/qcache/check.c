/*
 * check.c - VM_CHECK: frees that are wrong, caught in the caches.
 *
 * Each quantum of a slab has a byte (slab.h): at the first one of a range that is
 * allocated, how many quanta; STATE_CACHED if it is free; the other quanta have
 * STATE_INSIDE.  So one comparison tells a right free from a second one, one with
 * another size, and one of an address where no range begins.  The cost is
 * bounded: a hash, and a byte, without a lock (check.h); a hot pair of alloc and
 * free takes 1.8 times as long as without.  What isn't as it should be at the
 * first glance is looked at again here.
 *
 * The byte is read and written, not exchanged: an exchange takes longer (4.5 ns)
 * than the whole pair of operations without it (3.5 ns).  So two frees of one
 * range on two CPUs, within the time that a store takes to become visible to
 * others (some ten nanoseconds), both pass.  Then the range is in the caches
 * twice, and whoever is handed it while it is allocated panics, before two have
 * it; at the latest the slab finds its bit set.  It would take another such
 * coincidence, of the two being handed out within that time, for two to have it.
 * No order of plain loads and stores does better: each CPU sees its own stores
 * before others do, so of two that test and set, neither may see the other.  All
 * other double frees are caught in the act.  Without sequences, where a pair
 * costs a lock anyway, the byte is exchanged, and that caveat doesn't apply.
 *
 * A range without a slab has a header of its own for its byte (slab.c, 3.).
 */
#include "config.h"

#include "qcache/qcache_impl.h"

#include <inttypes.h>

static void __attribute__((__noreturn__, __cold__, __noinline__))
misuse(const struct qcache *qc, vmem_addr_t addr, unsigned int state,
    const char *who)
{
	const struct vmem *vm = qc->qc_set->qs_vm;
	uint64_t size = qc->qc_size;

	if (state == STATE_CACHED)
		vmem_panic("%s(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): freed "
		    "already (expected an allocated range)", who, vm->vm_name,
		    addr, size);
	if (state == STATE_INSIDE)
		vmem_panic("%s(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): no range "
		    "starts there (expected one that was allocated)", who,
		    vm->vm_name, addr, size);
	vmem_panic("%s(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): wrong size "
	    "(expected %" PRIu64 ")", who, vm->vm_name, addr, size,
	    (uint64_t)state << vm->vm_shift);
}

static void __attribute__((__noreturn__, __cold__, __noinline__))
handed_out(const struct qcache *qc, vmem_addr_t addr, const char *who)
{
	vmem_panic("%s(\"%s\", %" PRIu64 "): 0x%" PRIx64 " is in the cache, but "
	    "handed out already (expected a free range: freed twice at once?)",
	    who, qc->qc_set->qs_vm->vm_name, qc->qc_size, addr);
}

static void __attribute__((__noreturn__, __cold__, __noinline__))
unknown(const struct qcache *qc, vmem_addr_t addr, const char *who)
{
	const struct vmem *vm = qc->qc_set->qs_vm;

	vmem_panic("%s(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): no allocation "
	    "starts there (expected one of vmem_alloc(): freed twice, or never "
	    "allocated?)", who, vm->vm_name, addr, qc->qc_size);
}

/* From one state into another, if it is in that one; which one it was in. */
static unsigned int
state_turn(const struct qcaches *qs, _Atomic(uint8_t) *state, uint8_t was,
    uint8_t now)
{
	uint8_t is = was;

	if (!qs->qs_rseq) {
		(void)atomic_compare_exchange_strong_explicit(state, &is, now,
		    memory_order_relaxed, memory_order_relaxed);
		return (is);
	}
	is = atomic_load_explicit(state, memory_order_relaxed);
	if (is == was)
		atomic_store_explicit(state, now, memory_order_relaxed);
	return (is);
}

/* addr leaves the caches, and is the user's. */
void
check_out(struct qcache *qc, vmem_addr_t addr)
{
	_Atomic(uint8_t) *state = slab_state(qc->qc_set, addr);

	if (state == NULL || state_turn(qc->qc_set, state, STATE_CACHED,
		(uint8_t)(qc->qc_index + 1)) != STATE_CACHED)
		handed_out(qc, addr, "vmem_alloc");
}

/* addr comes back. */
void
check_in(struct qcache *qc, vmem_addr_t addr, const char *who)
{
	struct vmem *vm = qc->qc_set->qs_vm;
	_Atomic(uint8_t) *state = NULL;
	unsigned int was;

	if ((addr & (vm->vm_quantum - 1)) == 0)
		state = slab_state(qc->qc_set, addr);
	if (state == NULL)
		unknown(qc, addr, who);
	was = state_turn(qc->qc_set, state, (uint8_t)(qc->qc_index + 1),
	    STATE_CACHED);
	if (was != qc->qc_index + 1)
		misuse(qc, addr, was, who);
}

/* An address goes to the arena past the caches: it must be none of theirs. */
void
qcache_foreign(
    struct vmem *vm, vmem_addr_t addr, vmem_size_t size, const char *who)
{
	struct qcaches *qs = vm->vm_qcache;
	_Atomic(uint8_t) *state;

	if (qs == NULL)
		return;
	state = slab_state(qs, addr);
	if (state == NULL)
		return;
	if (qs->qs_check && atomic_load_explicit(
		state, memory_order_relaxed) == STATE_CACHED)
		vmem_panic("%s(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): freed "
		    "already (expected a range inside one allocation)", who,
		    vm->vm_name, addr, size);
	vmem_panic("%s(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): a range of a "
	    "quantum cache (expected one inside one allocation of "
	    "vmem_xalloc())", who, vm->vm_name, addr, size);
}
