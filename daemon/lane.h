/*
 * lane.h - what threads tell the recorder of an arena, each on a lane of its
 * own.
 *
 * A lane is a ring of events, written by one thread and read by the recorder's
 * (record.c), so that who allocates takes no lock and shares no line but that.
 * Each event has the time, in ticks, at which it counts: that of a free is
 * taken before the range goes back, and after what the thread has seen of the
 * range until then (ticks_after()), that of an allocation after it was handed
 * out.  So by these times a range is always freed before anybody has it again,
 * whichever threads they are, and merging lanes by time gives a trace that can
 * be replayed.
 *
 * How far may the recorder merge?  To where no lane will say anything earlier:
 *
 *	lane_open()	ln_open = 1
 *	read the time
 *	lane_put()	ln_last = its time; the event; ln_tail
 *	lane_close()	ln_open = 0
 *
 * A lane that is closed will be opened, and the time be read, after the
 * recorder has looked: its times will be later than the recorder's own.  One
 * that is open says nothing earlier than what it said last (times grow on a
 * lane).  The order of "open" and "read the time" as others see it would take
 * a barrier, which costs as much as all of this; the recorder makes all threads
 * have one instead, by membarrier(2), before it looks.  While a lane is open
 * its thread doesn't sleep, but to wait for room on it.
 *
 * When a lane is full its thread waits: the trace is whole, or ends with an
 * error that record.stop tells; nothing is left out in between.
 */
#ifndef DAEMON_LANE_H
#define DAEMON_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/ticks.h"

#define LANE_WORDS 131072u	/* 1 MiB: 1 ms of a thread's fastest */
#define LANE_EVENT_WORDS 4u	/* the longest */
#define LANE_AHEAD 64u		/* words */

/* What an event is of: the words that follow its first.  A key is an address
 * of which a range begins, or in _PIECE the number it was given when it was
 * first cut in pieces. */
enum lane_event {
	LANE_ALLOC,		/* key, size; align */
	LANE_FREE,		/* key */
	LANE_CUT,		/* key, number */
	LANE_PART,		/* number, offset, size */
	LANE_FREE_PIECE		/* number: the last piece of it */
};

/* The first word: ticks since the recorder's base, log2(align) + 1, event. */
#define LANE_TICKS_SHIFT 10
#define LANE_ALIGN_SHIFT 3
#define LANE_EVENT_MASK 7u

struct recorder;

struct lane {
	/* The thread's. */
	struct recorder *ln_recorder;	/* [I] */
	uint64_t ln_base;		/* [I] ticks: times count from here */
	uint64_t ln_look;		/* the tail from which there may be no
					 * room */
	_Atomic uint64_t ln_tail;	/* words ever written */
	_Atomic uint64_t ln_last;	/* time of the last event */
	_Atomic unsigned int ln_open;
	const void *ln_owner;		/* a thread, or NULL; under the
					 * recorder's lock */
	/* The recorder's. */
	_Alignas(64) _Atomic uint64_t ln_head;	/* words ever read */
	struct lane *ln_next;		/* [I] */
	uint64_t ln_seen;		/* the tail, as of this round */
	_Alignas(64) uint64_t ln_words[LANE_WORDS];
};

/* Set if the kernel has no membarrier(2). */
extern bool lane_needs_fence;
void lane_setup(void);

/* Wait until there is room for an event, the recorder having been told. */
void lane_wait(struct lane *ln);

static inline void
lane_open(struct lane *ln)
{
	atomic_store_explicit(&ln->ln_open, 1, memory_order_relaxed);
	/* Partner: lane_barrier(). */
	if (__builtin_expect(lane_needs_fence, 0))
		atomic_thread_fence(memory_order_seq_cst);
	else
		atomic_signal_fence(memory_order_seq_cst);
}

static inline void
lane_close(struct lane *ln)
{
	/* Release: who sees it closed sees what was put. */
	atomic_store_explicit(&ln->ln_open, 0, memory_order_release);
}

/* To write to it; what the compiler has for that is a read, by default. */
static inline void
lane_prefetch(const void *p)
{
#ifdef __x86_64__
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/* An event of `count` words after the first; the lane is open. */
static inline void
lane_put(struct lane *ln, enum lane_event event, uint64_t ticks,
    uint64_t align, const uint64_t *words, unsigned int count)
{
	uint64_t tail =
	    atomic_load_explicit(&ln->ln_tail, memory_order_relaxed);
	uint64_t time = ticks - ln->ln_base;

	if (__builtin_expect(tail >= ln->ln_look, 0))
		lane_wait(ln);
	/* The recorder has had that line: ask for it in time. */
	lane_prefetch(&ln->ln_words[(tail + LANE_AHEAD) % LANE_WORDS]);
	ln->ln_words[tail % LANE_WORDS] = time << LANE_TICKS_SHIFT |
	    (align == 0 ? 0 :
	    (uint64_t)__builtin_ctzll(align) + 1) << LANE_ALIGN_SHIFT | event;
	for (unsigned int i = 0; i < count; i++)
		ln->ln_words[(tail + 1 + i) % LANE_WORDS] = words[i];
	atomic_store_explicit(&ln->ln_last, time, memory_order_relaxed);
	/* Release: with the tail come the words. */
	atomic_store_explicit(
	    &ln->ln_tail, tail + 1 + count, memory_order_release);
}

static inline void
lane_put_alloc(struct lane *ln, uint64_t ticks, uint64_t addr, uint64_t size,
    uint64_t align)
{
	const uint64_t words[] = { addr, size };

	lane_put(ln, LANE_ALLOC, ticks, align, words, 2);
}

static inline void
lane_put_free(struct lane *ln, uint64_t ticks, uint64_t addr)
{
	lane_put(ln, LANE_FREE, ticks, 0, &addr, 1);
}

/* ---- the recorder's side ------------------------------------------------- */

/* Whatever a thread did before it sees what we did before: it was seen by us
 * after this, or will see it. */
void lane_barrier(void);

/*
 * A round: no lane will have an event of an earlier time than what this
 * returns, and all those of up to then are below ln_seen.  *closedp: no lane
 * was open.
 */
uint64_t lane_horizon(
    _Atomic(struct lane *) *lanes, uint64_t base, bool *closedp);

#endif /* DAEMON_LANE_H */
