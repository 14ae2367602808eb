/*
 * bounce.c - wired memory between swap and pages of the MMU.
 *
 * Such a page becomes present at once and whole, or other threads would see it
 * half filled: so it is prepared elsewhere.  And a system call can't read into
 * one that isn't present.  A fault takes a buffer for as long as it has bytes
 * in it, and never waits for anything else meanwhile but I/O and pg_lock.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <sched.h>

char *
bounce_get(struct bounce *bn)
{
	uint32_t taken =
	    atomic_load_explicit(&bn->bn_taken, memory_order_relaxed);
	unsigned int i;

	static_assert(BOUNCES < 32, "a bit each");
	for (;;) {
		i = (unsigned int)__builtin_ctz(~taken);
		if (i >= BOUNCES) {
			(void)sched_yield();
			taken = atomic_load_explicit(
			    &bn->bn_taken, memory_order_relaxed);
			continue;
		}
		/* Acquire: the last user has done with it, bounce_put(). */
		if (atomic_compare_exchange_weak_explicit(&bn->bn_taken, &taken,
			taken | UINT32_C(1) << i, memory_order_acquire,
			memory_order_relaxed))
			return (bn->bn_bytes + (size_t)i * CLUSTER_BYTES);
	}
}

void
bounce_put(struct bounce *bn, char *bytes)
{
	size_t i = (size_t)(bytes - bn->bn_bytes) / CLUSTER_BYTES;

	(void)atomic_fetch_and_explicit(
	    &bn->bn_taken, ~(UINT32_C(1) << i), memory_order_release);
}
