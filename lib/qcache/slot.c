/*
 * slot.c - one CPU's share of one cache: its two magazines.
 *
 * The fast path pops and pushes by a sequence (rseq.h), or, without sequences,
 * under the slot's lock.  Everything else is here, the same for both: exchange
 * the two magazines, get another from the depot.  For that a thread enters the
 * slot: it takes the lock, so that it is alone here, and closes the slot, so
 * that it is alone with the sequences; then all is plain memory.
 *
 * Counting.  The word holds the rounds loaded and the pops since those were
 * last 0, when there were sl_base rounds; hence
 *
 *	pushes since = rounds - sl_base + pops
 *
 * and each time another magazine is loaded, both are added up.  A reader with
 * the lock adds what the word says to that, and disturbs nobody.
 *
 * Areas.  An index' slots, one for each cache, are an area of their own, made
 * when a thread first runs there: so CPUs that aren't there cost nothing.  Until
 * then the index has slot_nowhere, whose slots have neither rounds nor room.
 */
#include "config.h"

#include "qcache/qcache_impl.h"

/* Attempts to close a slot by a sequence.  One fails when it is interrupted, or
 * the thread was moved since it asked where it runs: a window of nanoseconds.
 * When that happens time and again, somebody is stepping through it. */
#define CLOSE_TRIES 3u

const char slot_nowhere[VMEM_QCACHE_MAX * sizeof(struct slot)]
    __attribute__((aligned(64)));

/* The table of areas while an arena is barred: drain.c, 1. */
#define NOWHERE_8(x) (x), (x), (x), (x), (x), (x), (x), (x)
#define NOWHERE_64(x)                                                        \
	NOWHERE_8(x), NOWHERE_8(x), NOWHERE_8(x), NOWHERE_8(x),              \
	    NOWHERE_8(x), NOWHERE_8(x), NOWHERE_8(x), NOWHERE_8(x)
#define NOWHERE ((void *)(uintptr_t)slot_nowhere)
void *const slot_barred[] = { NOWHERE_64(NOWHERE), NOWHERE_64(NOWHERE),
	NOWHERE_64(NOWHERE), NOWHERE_64(NOWHERE), NOWHERE_64(NOWHERE),
	NOWHERE_64(NOWHERE), NOWHERE_64(NOWHERE), NOWHERE_64(NOWHERE) };
_Static_assert(sizeof(slot_barred) / sizeof(slot_barred[0]) == PERCPU_MAX,
    "one for each index");

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

static void
word_store(struct slot *sl, uint64_t w)
{
	atomic_store_explicit(&sl->sl_word, w, memory_order_release);
}

static unsigned int
behind(const struct slot *sl)
{
	return (atomic_load_explicit(&sl->sl_behind, memory_order_relaxed));
}

static uint32_t
loaded(const struct slot *sl)
{
	return (atomic_load_explicit(&sl->sl_loaded, memory_order_relaxed));
}

/* With its lock, for the following. */
uint64_t
slot_hits(const struct slot *sl)
{
	return (sl->sl_hits + RSEQ_POPS(word(sl)));
}

static uint64_t
pushes(const struct slot *sl, unsigned int count)
{
	return (sl->sl_pushes + count - sl->sl_base + RSEQ_POPS(word(sl)));
}

uint64_t
slot_pushes(const struct slot *sl)
{
	return (pushes(sl, RSEQ_N(word(sl))));
}

/* Ranges in it: without its lock a hint, 0 only if there are none or it is open
 * by now.  (Who has it closed may be about to leave some.) */
unsigned int
slot_held(const struct slot *sl)
{
	uint64_t w = word(sl);

	if (!RSEQ_OPEN(w) && loaded(sl) != UNIT_NIL)
		return (1);
	return (RSEQ_N(w) + behind(sl));
}

/* With it closed: so many rounds that nobody pushed, and what was counted is
 * kept. */
static void
count_set(struct slot *sl, unsigned int count)
{
	sl->sl_pushes = pushes(sl, sl->sl_count);
	sl->sl_hits = slot_hits(sl);
	sl->sl_base = sl->sl_count = (uint8_t)count;
	word_store(sl, 0);
}

static void
previous_set(struct slot *sl, uint32_t unit)
{
	sl->sl_previous = unit;
	atomic_store_explicit(&sl->sl_behind,
	    unit == UNIT_NIL ? 0 : (uint8_t)MAG(unit)->mg_rounds,
	    memory_order_relaxed);
}

/* ---- entering and leaving ----------------------------------------------- */

/* Close it: with its lock, where sequences can't be. */
void
slot_shut(struct slot *sl)
{
	uint64_t w = word(sl);

	sl->sl_count = (uint8_t)RSEQ_N(w);
	word_store(sl, RSEQ_MAKE(RSEQ_POPS(w), 0, 0));
}

/* Sequences may be there again. */
void
slot_open(struct qcache *qc, struct slot *sl)
{
	unsigned int n = sl->sl_count, size = 0;

	if (loaded(sl) != UNIT_NIL)
		size = atomic_load_explicit(
		    &qc->qc_depot.dp_size, memory_order_relaxed);
	word_store(sl,
	    RSEQ_MAKE(RSEQ_POPS(word(sl)), n, size > n ? size - n : 0));
}

/* With its lock: false, another index is this thread's by now. */
static bool
slot_close(struct qcaches *qs, struct slot *sl, unsigned int index,
    unsigned int try)
{
	uint64_t w;

	if (!qs->qs_rseq) {
		slot_shut(sl);
		return (true);
	}
	switch (rseq_close(&qs->qs_place, index, sl, &w)) {
	case RSEQ_DONE:
		sl->sl_count = (uint8_t)RSEQ_N(w);
		return (true);
	case RSEQ_ABORTED:
		qcache_restarted(qs);
		break;
	case RSEQ_REFUSED:
		break;
	}
	if (try + 1 < CLOSE_TRIES)
		return (false);
	qcache_bar(qs->qs_vm, true);
	percpu_fence();
	slot_shut(sl);
	qcache_bar(qs->qs_vm, false);
	return (true);
}

/* The slot that this thread runs on: locked, and closed.  NULL: there is none
 * to be had, or the arena is barred: do without. */
struct slot *
slot_enter(struct qcache *qc) NO_THREAD_SAFETY_ANALYSIS
{
	struct qcaches *qs = qc->qc_set;

	for (unsigned int try = 0;; try++) {
		unsigned int index = percpu_index(qs->qs_percpu);
		struct slot *sl = slot_at(qc, index);
		bool barred;

		if (sl == NULL) {
			if (area_make(qs, index) == NULL)
				return (NULL);
			sl = slot_at(qc, index);
		}
		lock_acquire(&sl->sl_lock);
		barred = atomic_load_explicit(
		    &qs->qs_bars, memory_order_relaxed) != 0;
		if (!barred && slot_close(qs, sl, index, try))
			return (sl);
		lock_release(&sl->sl_lock);
		if (barred)
			return (NULL);
	}
}

/* Open it, and let go. */
void
slot_leave(struct qcache *qc, struct slot *sl) NO_THREAD_SAFETY_ANALYSIS
{
	slot_open(qc, sl);
	lock_release(&sl->sl_lock);
}

/* ---- with the slot entered ---------------------------------------------- */

static void
load(struct slot *sl, uint32_t unit)
{
	atomic_store_explicit(&sl->sl_loaded, unit, memory_order_relaxed);
	sl->sl_rounds = unit == UNIT_NIL ? NULL : MAG(unit)->mg_round;
	count_set(sl, unit == UNIT_NIL ? 0 : MAG(unit)->mg_rounds);
}

/* What is loaded becomes the previous one, and `unit` is loaded. */
static void
shift(struct slot *sl, uint32_t unit)
{
	if (loaded(sl) != UNIT_NIL)
		MAG(loaded(sl))->mg_rounds = sl->sl_count;
	previous_set(sl, loaded(sl));
	load(sl, unit);
}

/* Make the loaded magazine one with something in it. */
bool
slot_load_full(struct qcache *qc, struct slot *sl)
{
	uint32_t unit, previous = sl->sl_previous;

	if (sl->sl_count > 0)
		return (true);
	if (behind(sl) > 0) {
		shift(sl, previous);
		return (true);
	}
	unit = depot_exchange(qc, true, previous, &previous);
	if (unit == UNIT_NIL)
		return (false);
	sl->sl_fills++;
	shift(sl, unit);
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

	if (loaded(sl) != UNIT_NIL && sl->sl_count < size)
		return (true);
	if (previous != UNIT_NIL && behind(sl) < size) {
		shift(sl, previous);
		return (true);
	}
	if (*sparep == UNIT_NIL) {
		unit = depot_exchange(qc, false, previous, victimp);
		if (unit == UNIT_NIL)
			return (false);
	} else {
		unit = *sparep;
		*sparep = UNIT_NIL;
		if (previous != UNIT_NIL && !depot_put(qc, previous, true))
			*victimp = previous;
	}
	MAG(unit)->mg_rounds = 0;
	shift(sl, unit);
	return (true);
}

vmem_addr_t
slot_pop(struct slot *sl)
{
	ASSERT(sl->sl_count > 0);
	word_store(sl, word(sl) + RSEQ_MAKE(1, 0, 0));
	return (sl->sl_rounds[--sl->sl_count]);
}

void
slot_push(struct slot *sl, vmem_addr_t addr)
{
	ASSERT(sl->sl_count < ROUNDS_MAX);
	sl->sl_rounds[sl->sl_count++] = addr;
}

/* Add ranges that nobody freed; returns how many it had room for. */
unsigned int
slot_stash(struct slot *sl, const vmem_addr_t *addrs, unsigned int count)
{
	unsigned int n = sl->sl_count, i;

	for (i = 0; i < count && n < ROUNDS_MAX; i++)
		sl->sl_rounds[n++] = addrs[i];
	count_set(sl, n);
	return (i);
}

/* Unload both magazines: a list of them. */
uint32_t
slot_take_all(struct slot *sl)
{
	uint32_t units = sl->sl_previous, unit = loaded(sl);

	if (units != UNIT_NIL)
		MAG(units)->mg_next = UNIT_NIL;
	if (unit != UNIT_NIL) {
		MAG(unit)->mg_rounds = sl->sl_count;
		MAG(unit)->mg_next = units;
		units = unit;
	}
	previous_set(sl, UNIT_NIL);
	load(sl, UNIT_NIL);
	return (units);
}
