/*
 * fault.h - faults at points of our choice, in builds with
 * --enable-fault-injection; compiled out otherwise.
 *
 * A point is a place where something may fail anyway: FAULT(FAULT_FRAME) is
 * true now and then, and the code around it does what it does when there is no
 * frame.  How often is set for each point; when follows from a seed and from
 * how often the point was passed, so that one thread alone sees the same run
 * again.
 */
#ifndef UTIL_FAULT_H
#define UTIL_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum fault_point {
	FAULT_IMPORT,		/* an import from a source fails */
	FAULT_FRAME,		/* no frame can be had at once */
	FAULT_SWAP_READ,	/* a transfer fails: nothing is lost by it */
	FAULT_SWAP_WRITE,
	FAULT_WAKE,		/* who made room is slow to say so */
	FAULT_POINTS
};

#ifdef VMEM_FAULT_INJECTION

/* One in `every` passes of the point fails; 0: none.  Any thread. */
void fault_set(enum fault_point point, uint64_t every, uint64_t seed);
bool fault_happens(enum fault_point point);
/* How often it did, ever. */
uint64_t fault_count(enum fault_point point);
/* "import", "frame", ... */
extern const char *const fault_names[FAULT_POINTS];
/* Sleep for a moment, up to a millisecond, if the point says so. */
void fault_delay(enum fault_point point);

#define FAULT(point) fault_happens(point)
#define FAULT_DELAY(point) fault_delay(point)

#else

#define FAULT(point) false
#define FAULT_DELAY(point) ((void)0)

#endif

#endif /* UTIL_FAULT_H */
