/*
 * plant.c - see plant.h.
 */
#include "config.h"

#include "daemon/plant.h"

#ifdef VMEM_FAULT_INJECTION

#include <stdatomic.h>

#include "daemon/log.h"
#include "daemon/worker.h"
#include "util/fault.h"
#include "util/lock.h"

/* Late enough that there is something to be wrong about. */
#define PLANT_FIRST 300u
#define PLANT_FIRST_WAIT 5u
#define PLANT_EVERY 500u
#define RECENT 16u		/* ranges handed out last: most are live */
#define KEPT_MAX 64u

/* How often, on average, under chaos. */
#define CHAOS_IMPORT 20u
#define CHAOS_FRAME 50u
#define CHAOS_SWAP 200u
#define CHAOS_WAKE 10u

static _Atomic unsigned int planted;
static _Atomic uint64_t passed, borne;

static struct lock plant_lock;		/* what is below; a leaf */
static pthread_once_t plant_once = PTHREAD_ONCE_INIT;
static struct {
	uint64_t addr, size;
} recent[RECENT];
static unsigned int recent_next;
static struct {
	struct worker *worker;
	struct msg *msg;
} kept[KEPT_MAX];
static unsigned int kept_count;

static void
plant_init(void)
{
	lock_init(&plant_lock, "plant", LOCK_LEAF);
}

bool
plant_bears(enum plant plant)
{
	uint64_t n, first;

	if (atomic_load_explicit(&planted, memory_order_relaxed) != plant)
		return (false);
	n = atomic_fetch_add(&passed, 1);
	/* Waits are rare beside other operations. */
	first = plant == PLANT_LOST_WAKEUP ? PLANT_FIRST_WAIT : PLANT_FIRST;
	if (n < first || (n - first) % PLANT_EVERY != 0)
		return (false);
	atomic_fetch_add_explicit(&borne, 1, memory_order_relaxed);
	return (true);
}

uint64_t
plant_count(void)
{
	return (atomic_load_explicit(&borne, memory_order_relaxed));
}

void
plant_set(enum plant plant)
{
	struct msg *msgs[KEPT_MAX];
	struct worker *workers[KEPT_MAX];
	unsigned int n;

	(void)pthread_once(&plant_once, plant_init);
	atomic_store(&passed, 0);
	atomic_store(&planted, plant);
	lock_acquire(&plant_lock);
	recent_next = 0;
	n = kept_count;
	for (unsigned int i = 0; i < n; i++) {
		msgs[i] = kept[i].msg;
		workers[i] = kept[i].worker;
	}
	kept_count = 0;
	lock_release(&plant_lock);
	for (unsigned int i = 0; i < n; i++)
		worker_post(workers[i], msgs[i]);
	if (plant != PLANT_NONE)
		log_warn("a bug is planted: %u", (unsigned int)plant);
}

/* One of those handed out lately, that is large enough to be overlapped. */
static uint64_t
another(uint64_t quantum, uint64_t without)
{
	bool whole = atomic_load(&planted) == PLANT_DOUBLE;

	for (unsigned int i = 0; i < RECENT; i++) {
		if (recent_next < RECENT || recent[i].addr == without)
			continue;
		if (whole)
			return (recent[i].addr);
		if (recent[i].size > quantum)
			return (recent[i].addr + quantum);
	}
	return (without);
}

uint64_t
plant_address(uint64_t addr, uint64_t size, uint64_t quantum)
{
	unsigned int which = atomic_load_explicit(
	    &planted, memory_order_relaxed);
	uint64_t told = addr;

	if (which != PLANT_OVERLAP && which != PLANT_DOUBLE)
		return (addr);
	lock_acquire(&plant_lock);
	if (plant_bears(which))
		told = another(quantum, addr);
	recent[recent_next % RECENT].addr = addr;
	recent[recent_next % RECENT].size = size;
	recent_next++;
	lock_release(&plant_lock);
	return (told);
}

void
plant_flip(void *bytes, size_t len)
{
	if (plant_bears(PLANT_FLIP))
		((unsigned char *)bytes)[len / 2] ^= 0x10;
}

bool
plant_keeps(struct worker *wk, struct msg *ms)
{
	bool keeps = false;

	if (!plant_bears(PLANT_LOST_WAKEUP))
		return (false);
	lock_acquire(&plant_lock);
	if (kept_count < KEPT_MAX) {
		kept[kept_count].worker = wk;
		kept[kept_count++].msg = ms;
		keeps = true;
	}
	lock_release(&plant_lock);
	return (keeps);
}

void
chaos_set(uint64_t seed)
{
	bool on = seed != 0;

	fault_set(FAULT_IMPORT, on ? CHAOS_IMPORT : 0, seed);
	fault_set(FAULT_FRAME, on ? CHAOS_FRAME : 0, seed);
	fault_set(FAULT_SWAP_READ, on ? CHAOS_SWAP : 0, seed);
	fault_set(FAULT_SWAP_WRITE, on ? CHAOS_SWAP : 0, seed);
	fault_set(FAULT_WAKE, on ? CHAOS_WAKE : 0, seed);
	log_warn("chaos: %s", on ? "on" : "off");
}

#else

extern const char plant_compiled_out;
const char plant_compiled_out = 0;

#endif
