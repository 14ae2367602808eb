/*
 * ticks.h - time for intervals of some nanoseconds: the CPU's own counter.
 *
 * Reading the clock costs 20 ns, which is an allocation; reading the counter
 * behind it (TSC) less than half.  It is used where the kernel itself keeps
 * time by it, that is where it runs at one rate and alike on all CPUs; else a
 * tick is a nanosecond of the clock.
 *
 * A reading is not a barrier: the CPU may take it some instructions early or
 * late, a few nanoseconds.
 */
#ifndef UTIL_TICKS_H
#define UTIL_TICKS_H

#include <stdbool.h>
#include <stdint.h>

#include "util/clock.h"

#define TICKS_SHIFT 24

struct ticks {
	bool tk_tsc;
	uint64_t tk_mult;	/* ns << TICKS_SHIFT of a tick */
};

/* Set by ticks_init(); until then ticks are nanoseconds. */
extern struct ticks ticks_unit;

/* Find out what a tick is: once, before any is read; takes 2 ms.  Any thread,
 * any number of times: the first does it. */
void ticks_init(void);

static inline uint64_t
ticks_now(void)
{
#ifdef __x86_64__
	if (__builtin_expect(ticks_unit.tk_tsc, 1))
		return (__builtin_ia32_rdtsc());
#endif
	return (clock_ns());
}

/*
 * A reading not before all that the thread has seen so far: for times that are
 * compared with other threads'.  Without that the CPU may read it while it waits
 * for a line of another's, 100 ns early.
 */
static inline uint64_t
ticks_after(void)
{
#ifdef __x86_64__
	__builtin_ia32_lfence();
#endif
	return (ticks_now());
}

/* A difference of two readings; those of two CPUs may be some ticks off, and
 * so below 0, which counts as none. */
static inline uint64_t
ticks_ns(uint64_t ticks)
{
	if (__builtin_expect((int64_t)ticks < 0, 0))
		return (0);
	return ((uint64_t)(((unsigned __int128)ticks * ticks_unit.tk_mult) >>
	    TICKS_SHIFT));
}

#endif /* UTIL_TICKS_H */
