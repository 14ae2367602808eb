/*
 * gate.c - see gate.h.
 *
 * Positions are atomics, read by all; the lock is only for sleeping.  A waiter
 * asks to be woken when the slowest has come within half the drift, not at
 * each of its steps: gt_wake_at is the least position that any waiter waits
 * for, and whoever passes it wakes them all.
 *
 * A waiter writes gt_wake_at and then reads the positions; a passer writes its
 * position and then reads gt_wake_at.  Both in sequentially consistent order,
 * so that one of them sees the other; a wait is bounded all the same.
 */
#include "config.h"

#include "client/gate.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define CACHE_LINE 64
#define WAIT_NS 100000000

struct place {
	_Atomic uint32_t pl_position;
	char pl_pad[CACHE_LINE - sizeof(uint32_t)];
};

struct gate {
	unsigned int gt_clients;	/* [I] */
	uint32_t gt_drift;		/* [I] */
	_Atomic uint32_t gt_slowest;	/* as last computed: a lower bound */
	_Atomic uint32_t gt_wake_at;	/* UINT32_MAX: nobody waits */
	pthread_mutex_t gt_lock;
	pthread_cond_t gt_moved;
	struct place gt_places[];
};

int
gate_create(unsigned int clients, uint32_t drift, struct gate **gtp)
{
	struct gate *gt =
	    calloc(1, sizeof(*gt) + clients * sizeof(gt->gt_places[0]));
	pthread_condattr_t attr;

	if (gt == NULL)
		return (ENOMEM);
	gt->gt_clients = clients;
	gt->gt_drift = drift;
	atomic_init(&gt->gt_wake_at, UINT32_MAX);
	(void)pthread_mutex_init(&gt->gt_lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&gt->gt_moved, &attr);
	(void)pthread_condattr_destroy(&attr);
	*gtp = gt;
	return (0);
}

void
gate_destroy(struct gate *gt)
{
	if (gt == NULL)
		return;
	(void)pthread_cond_destroy(&gt->gt_moved);
	(void)pthread_mutex_destroy(&gt->gt_lock);
	free(gt);
}

static uint32_t
slowest(struct gate *gt)
{
	uint32_t least = UINT32_MAX;

	for (unsigned int i = 0; i < gt->gt_clients; i++) {
		uint32_t position =
		    atomic_load(&gt->gt_places[i].pl_position);

		if (position < least)
			least = position;
	}
	atomic_store_explicit(&gt->gt_slowest, least, memory_order_relaxed);
	return (least);
}

static void
move(struct gate *gt, unsigned int who, uint32_t position)
{
	atomic_store(&gt->gt_places[who].pl_position, position);
	if (position < atomic_load(&gt->gt_wake_at))
		return;
	(void)pthread_mutex_lock(&gt->gt_lock);
	atomic_store(&gt->gt_wake_at, UINT32_MAX);
	(void)pthread_cond_broadcast(&gt->gt_moved);
	(void)pthread_mutex_unlock(&gt->gt_lock);
}

bool
gate_try(struct gate *gt, unsigned int who, uint32_t position)
{
	uint32_t least;

	move(gt, who, position);
	least = atomic_load_explicit(&gt->gt_slowest, memory_order_relaxed);
	if (position - least <= gt->gt_drift)
		return (true);
	return (position - slowest(gt) <= gt->gt_drift);
}

bool
gate_wait(struct gate *gt, unsigned int who, uint32_t position)
{
	uint32_t enough = position - gt->gt_drift / 2;
	struct timespec until;
	bool pass;

	move(gt, who, position);
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += WAIT_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void)pthread_mutex_lock(&gt->gt_lock);
	for (;;) {
		if (atomic_load(&gt->gt_wake_at) > enough)
			atomic_store(&gt->gt_wake_at, enough);
		pass = slowest(gt) >= enough;
		if (pass || pthread_cond_timedwait(&gt->gt_moved, &gt->gt_lock,
				&until) != 0)
			break;
	}
	(void)pthread_mutex_unlock(&gt->gt_lock);
	return (pass || position - slowest(gt) <= gt->gt_drift);
}

void
gate_leave(struct gate *gt, unsigned int who)
{
	move(gt, who, UINT32_MAX);
}
