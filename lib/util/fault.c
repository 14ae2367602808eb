/*
 * fault.c - see fault.h.
 */
#include "config.h"

#include "util/fault.h"

#ifdef VMEM_FAULT_INJECTION

#include <stdatomic.h>
#include <time.h>

#include "util/rng.h"

#define DELAY_NS_MAX 1000000u

const char *const fault_names[FAULT_POINTS] = {
	[FAULT_IMPORT] = "import",
	[FAULT_FRAME] = "frame",
	[FAULT_SWAP_READ] = "swap_read",
	[FAULT_SWAP_WRITE] = "swap_write",
	[FAULT_WAKE] = "wake"
};

/* Relaxed all of it: nothing is ordered by a fault. */
static struct {
	_Atomic uint64_t every, seed, passed, happened;
} points[FAULT_POINTS];

void
fault_set(enum fault_point point, uint64_t every, uint64_t seed)
{
	atomic_store_explicit(
	    &points[point].seed, seed, memory_order_relaxed);
	atomic_store_explicit(&points[point].passed, 0, memory_order_relaxed);
	atomic_store_explicit(
	    &points[point].every, every, memory_order_relaxed);
}

/* A number that follows from the seed, the point and the pass; 0: no fault. */
static uint64_t
draw(enum fault_point point)
{
	uint64_t every = atomic_load_explicit(
	    &points[point].every, memory_order_relaxed);
	uint64_t state, x;

	if (every == 0)
		return (0);
	state = atomic_load_explicit(
	    &points[point].seed, memory_order_relaxed) +
	    ((uint64_t)point << 56) + atomic_fetch_add_explicit(
	    &points[point].passed, 1, memory_order_relaxed);
	x = rng_splitmix(&state);
	if (x % every != 0)
		return (0);
	atomic_fetch_add_explicit(
	    &points[point].happened, 1, memory_order_relaxed);
	return (x | 1);
}

bool
fault_happens(enum fault_point point)
{
	return (draw(point) != 0);
}

uint64_t
fault_count(enum fault_point point)
{
	return (atomic_load_explicit(
	    &points[point].happened, memory_order_relaxed));
}

void
fault_delay(enum fault_point point)
{
	uint64_t x = draw(point);
	struct timespec ts = { 0, (long)(x >> 32) % DELAY_NS_MAX };

	if (x != 0)
		(void)nanosleep(&ts, NULL);
}

#else

/* A file must have something in it. */
extern const char fault_compiled_out;
const char fault_compiled_out = 0;

#endif
