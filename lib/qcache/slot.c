/*
 * slot.c - one CPU's share of one cache: its two magazines.
 *
 * The fast path pops and pushes by a sequence (rseq.h), or, without sequences,
 * under the slot's lock.  Everything else is here, the same for both: exchange
 * the two magazines, get another from the depot.  For that a thread enters the
 * slot: it takes the lock, so that it is alone here, and closes the gate, so
 * that it is alone with the sequences; then all is plain memory.
 *
 * Counting.  The word holds the rounds loaded and the pops since it was last
 * set, when there were sl_base rounds; hence
 *
 *	pushes since = rounds - sl_base + pops
 *
 * and each time the word is set anew, both are added up.  A reader with the
 * lock adds what the word says to that, and disturbs nobody.
 *
 * Areas.  An index' slots, one for each cache, are an area of their own, made
 * when a thread first runs there: so CPUs that aren't there cost nothing.  Until
 * then the index has slot_nowhere, whose slots are closed to pops and pushes,
 * being empty and of no size.
 */
#include "config.h"

#include "qcache/qcache_impl.h"

/* Attempts to close a slot by a sequence.  One fails when it is interrupted, or
 * the thread was moved since it asked where it runs: a window of nanoseconds.
 * When that happens time and again, somebody is stepping through it. */
#define CLOSE_TRIES 3u

const char slot_nowhere[VMEM_QCACHE_MAX * sizeof(struct slot)]
    __attribute__((aligned(64)));

/* ---- areas -------------------------------------------------------------- */

static size_t
area_bytes(const struct qcaches *qs)
{
	return (qs->qs_count * sizeof(struct slot));
}

static void *
area_make(struct qcaches *qs, unsigned int index)
{
	void *expected = (void *)(uintptr_t)slot_nowhere;
	struct slot *area = meta_alloc(area_bytes(qs));

	if (area == NULL)
		return (NULL);
	for (unsigned int i = 0; i < qs->qs_count; i++)
		lock_init(&area[i].sl_lock, "quantum cache", LOCK_QCACHE_CPU);
	if (__atomic_compare_exchange_n(&qs->qs_area[index], &expected, area,
		false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return (area);
	meta_free(area, area_bytes(qs)); /* another thread was quicker */
	return (expected);
}

/* The slot of that index, or NULL: nobody has run there yet. */
struct slot *
slot_at(struct qcache *qc, unsigned int index)
{
	void *area = __atomic_load_n(
	    &qc->qc_set->qs_area[index], __ATOMIC_ACQUIRE);

	return (area == (const void *)slot_nowhere ?
		NULL :
		(struct slot *)area + qc->qc_index);
}

void
slot_areas_fini(struct qcaches *qs)
{
	for (unsigned int k = 0; k < qs->qs_areas; k++) {
		struct slot *area = slot_at(&qs->qs_caches[0], k);

		if (area == NULL)
			continue;
		for (unsigned int i = 0; i < qs->qs_count; i++)
			lock_fini(&area[i].sl_lock);
		meta_free(area, area_bytes(qs));
	}
}

/* ---- the word ----------------------------------------------------------- */

static uint64_t
word(const struct slot *sl)
{
	return (atomic_load_explicit(&sl->sl_word, memory_order_relaxed));
}

static unsigned int
rounds(const struct slot *sl)
{
	return (word(sl) & 255);
}

uint64_t
slot_hits(const struct slot *sl)
{
	return (sl->sl_hits + (word(sl) >> 8));
}

uint64_t
slot_pushes(const struct slot *sl)
{
	uint64_t w = word(sl);

	return (sl->sl_pushes + (w & 255) - sl->sl_base + (w >> 8));
}

/* With the slot entered: so many rounds, and what the word counted is kept. */
static void
word_set(struct slot *sl, unsigned int count)
{
	sl->sl_hits = slot_hits(sl);
	sl->sl_pushes = slot_pushes(sl);
	sl->sl_base = (uint8_t)count;
	atomic_store_explicit(&sl->sl_word, count, memory_order_relaxed);
}

static unsigned int
behind(const struct slot *sl)
{
	return (atomic_load_explicit(&sl->sl_behind, memory_order_relaxed));
}

static void
previous_set(struct slot *sl, uint32_t unit)
{
	sl->sl_previous = unit;
	atomic_store_explicit(&sl->sl_behind,
	    unit == UNIT_NIL ? 0 : (uint8_t)MAG(unit)->mg_rounds,
	    memory_order_relaxed);
}

/* Ranges in it, now: without its lock a hint. */
unsigned int
slot_held(const struct slot *sl)
{
	return (rounds(sl) + behind(sl));
}

/* ---- entering and leaving ----------------------------------------------- */

static void
gate_set(struct slot *sl, uint16_t gate)
{
	__atomic_store_n(&sl->sl_gate, gate, __ATOMIC_RELEASE);
}

/* With its lock: false, another index is this thread's by now. */
static bool
slot_close(struct qcaches *qs, struct slot *sl, unsigned int index,
    unsigned int try)
{
	if (!qs->qs_rseq)
		return (true);
	switch (rseq_close(&qs->qs_place, index, &sl->sl_gate)) {
	case RSEQ_DONE:
		return (true);
	case RSEQ_ABORTED:
		atomic_fetch_add_explicit(
		    &qs->qs_restarts, 1, memory_order_relaxed);
		break;
	case RSEQ_REFUSED:
		break;
	}
	if (try + 1 < CLOSE_TRIES)
		return (false);
	gate_set(sl, RSEQ_GATE_CLOSED);
	percpu_fence();
	return (true);
}

/* The slot that this thread runs on: locked, and closed.  NULL: there is none
 * to be had, or it is being emptied: do without. */
struct slot *
slot_enter(struct qcache *qc) NO_THREAD_SAFETY_ANALYSIS
{
	struct qcaches *qs = qc->qc_set;

	for (unsigned int try = 0;; try++) {
		unsigned int index = percpu_index(qs->qs_percpu);
		struct slot *sl = slot_at(qc, index);

		if (sl == NULL) {
			if (area_make(qs, index) == NULL)
				return (NULL);
			sl = slot_at(qc, index);
		}
		lock_acquire(&sl->sl_lock);
		if (sl->sl_draining == 0 && slot_close(qs, sl, index, try))
			return (sl);
		if (sl->sl_draining != 0) {
			lock_release(&sl->sl_lock);
			return (NULL);
		}
		lock_release(&sl->sl_lock);
	}
}

/* Open it, and let go. */
void
slot_leave(struct qcache *qc, struct slot *sl) NO_THREAD_SAFETY_ANALYSIS
{
	unsigned int size = 0;

	if (sl->sl_loaded != UNIT_NIL)
		size = atomic_load_explicit(
		    &qc->qc_depot.dp_size, memory_order_relaxed);
	gate_set(sl, (uint16_t)(size << 8));
	lock_release(&sl->sl_lock);
}

/* ---- with the slot entered ---------------------------------------------- */

static void
load(struct slot *sl, uint32_t unit)
{
	sl->sl_loaded = unit;
	sl->sl_rounds = unit == UNIT_NIL ? NULL : MAG(unit)->mg_round;
	word_set(sl, unit == UNIT_NIL ? 0 : MAG(unit)->mg_rounds);
}

/* What is loaded becomes the previous one, and `unit` is loaded. */
static void
shift(struct slot *sl, uint32_t unit)
{
	if (sl->sl_loaded != UNIT_NIL)
		MAG(sl->sl_loaded)->mg_rounds = rounds(sl);
	previous_set(sl, sl->sl_loaded);
	load(sl, unit);
}

/* Make the loaded magazine one with something in it. */
bool
slot_load_full(struct qcache *qc, struct slot *sl)
{
	uint32_t unit, previous = sl->sl_previous;

	if (rounds(sl) > 0)
		return (true);
	if (behind(sl) > 0) {
		shift(sl, previous);
		return (true);
	}
	unit = depot_get(&qc->qc_depot, true);
	if (unit == UNIT_NIL)
		return (false);
	sl->sl_fills++;
	shift(sl, unit);
	if (previous != UNIT_NIL)
		(void)depot_put(qc, previous, false);
	return (true);
}

/*
 * Make the loaded magazine one with room.  *sparep is an empty one, if any; it
 * is taken if need be.  *victimp: a full one that the depot has no use for.
 * false: there is no empty one.
 */
bool
slot_load_empty(struct qcache *qc, struct slot *sl, uint32_t *sparep,
    uint32_t *victimp)
{
	uint32_t unit, previous = sl->sl_previous;
	unsigned int size = atomic_load_explicit(
	    &qc->qc_depot.dp_size, memory_order_relaxed);

	if (sl->sl_loaded != UNIT_NIL && rounds(sl) < size)
		return (true);
	if (previous != UNIT_NIL && behind(sl) < size) {
		shift(sl, previous);
		return (true);
	}
	unit = *sparep != UNIT_NIL ? *sparep : depot_get(&qc->qc_depot, false);
	if (unit == UNIT_NIL)
		return (false);
	if (unit == *sparep)
		*sparep = UNIT_NIL;
	MAG(unit)->mg_rounds = 0;
	shift(sl, unit);
	if (previous != UNIT_NIL && !depot_put(qc, previous, true))
		*victimp = previous;
	return (true);
}

vmem_addr_t
slot_pop(struct slot *sl)
{
	unsigned int n = rounds(sl);

	ASSERT(n > 0);
	atomic_store_explicit(
	    &sl->sl_word, word(sl) + RSEQ_POP, memory_order_relaxed);
	return (sl->sl_rounds[n - 1]);
}

void
slot_push(struct slot *sl, vmem_addr_t addr)
{
	ASSERT(rounds(sl) < ROUNDS_MAX);
	sl->sl_rounds[rounds(sl)] = addr;
	atomic_store_explicit(
	    &sl->sl_word, word(sl) + 1, memory_order_relaxed);
}

/* Add ranges that nobody freed; returns how many it had room for. */
unsigned int
slot_stash(struct slot *sl, const vmem_addr_t *addrs, unsigned int count)
{
	unsigned int n = rounds(sl), i;

	for (i = 0; i < count && n < ROUNDS_MAX; i++)
		sl->sl_rounds[n++] = addrs[i];
	word_set(sl, n);
	return (i);
}

/* Unload both magazines: a list of them. */
uint32_t
slot_take_all(struct slot *sl)
{
	uint32_t units = sl->sl_previous, unit = sl->sl_loaded;

	if (units != UNIT_NIL)
		MAG(units)->mg_next = UNIT_NIL;
	if (unit != UNIT_NIL) {
		MAG(unit)->mg_rounds = rounds(sl);
		MAG(unit)->mg_next = units;
		units = unit;
	}
	previous_set(sl, UNIT_NIL);
	load(sl, UNIT_NIL);
	return (units);
}
