/*
 * lane.c - see lane.h.
 */
#include "config.h"

#include "daemon/lane.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/record.h"

bool lane_needs_fence;

static void
setup(void)
{
	lane_needs_fence = syscall(SYS_membarrier,
	    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0;
}

void
lane_setup(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	ticks_init();
	(void)pthread_once(&once, setup);
}

void
lane_barrier(void)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (!lane_needs_fence)
		(void)syscall(SYS_membarrier,
		    MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

static uint64_t
room(const struct lane *ln)
{
	/* Acquire: what was read there may be written over. */
	return (LANE_WORDS -
	    (atomic_load_explicit(&ln->ln_tail, memory_order_relaxed) -
		atomic_load_explicit(&ln->ln_head, memory_order_acquire)));
}

void
lane_wait(struct lane *ln)
{
	const struct timespec pause = { 0, 50000 };
	uint64_t left = room(ln), next;

	/* There is some yet, but it will be needed. */
	if (left < LANE_WORDS / 2)
		record_ring(ln->ln_recorder);
	while (left < LANE_WORDS / 8) {
		(void)nanosleep(&pause, NULL);
		left = room(ln);
	}
	next = left < LANE_WORDS / 4 ? left : LANE_WORDS / 4;
	ln->ln_look =
	    atomic_load_explicit(&ln->ln_tail, memory_order_relaxed) + next -
	    LANE_EVENT_WORDS;
}

uint64_t
lane_horizon(_Atomic(struct lane *) *lanes, uint64_t base, bool *closedp)
{
	uint64_t horizon = ticks_now() - base;

	lane_barrier();
	*closedp = true;
	/* A lane that isn't in the list yet is as one that is closed.
	 * Acquire: its members are there. */
	for (struct lane *ln = atomic_load_explicit(
		 lanes, memory_order_acquire); ln != NULL; ln = ln->ln_next) {
		/* Acquire: partner lane_close(). */
		bool open = atomic_load_explicit(
		    &ln->ln_open, memory_order_acquire) != 0;
		uint64_t last = atomic_load_explicit(
		    &ln->ln_last, memory_order_relaxed);

		if (open) {
			*closedp = false;
			horizon = last < horizon ? last : horizon;
		}
		/* Acquire: partner lane_put(). */
		ln->ln_seen = atomic_load_explicit(
		    &ln->ln_tail, memory_order_acquire);
	}
	return (horizon);
}
