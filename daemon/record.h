/*
 * record.h - an arena's operations as a trace, into a file that a client
 * passed (record.start): what `vmemctl replay` takes.
 *
 * Who allocates or frees says so on a lane of its own thread (lane.h); a thread
 * of the recorder's merges the lanes by time, and writes the trace (tape.h).
 *
 *	soak-1       lane --.
 *	soak-2       lane --+-- merged by time -- tape -- file
 *	vmemd-w0     lane --'
 *
 * Clients' allocations are told in the registry (reg_insert(), reg_release(),
 * reg_free_part()), the daemon's own workers' where they make them.  What was
 * allocated before recording began is left out, with its free.
 *
 * Memory is bounded: 1 MiB for each thread that has told anything, at most 64
 * bytes for each range that is live; nobody waits for a disk but when a lane is
 * full.
 */
#ifndef DAEMON_RECORD_H
#define DAEMON_RECORD_H

#include <stdatomic.h>

#include <vmem.h>

#include "daemon/lane.h"

struct arena;
struct recorder;

/* What is left of a range, once part of it was freed; its pieces share it. */
struct record_left {
	uint64_t rl_number;	/* 0: it isn't recorded */
	vmem_addr_t rl_base;
	vmem_size_t rl_bytes;
};

/*
 * record_start: fd, a regular file, is the recorder's from now on, on success.
 * EINVAL: it isn't one, or not writable; EBUSY: the arena is being recorded;
 * ENOMEM.
 * record_stop: *opsp: how many.  ENOENT: it isn't recorded; or what writing
 * failed with: the trace ends early.
 */
int record_start(struct arena *ar, int fd);
int record_stop(struct arena *ar, uint64_t *opsp);
void record_delete(struct recorder *rc);	/* stopped; NULL is ignored */

/*
 * The thread's lane, open, if the arena is being recorded now; else NULL.
 * record_leave() soon after: meanwhile the trace isn't written any further than
 * this thread's last event, and it must not sleep.
 */
struct lane *record_enter(struct arena *ar);
void record_leave(struct lane *ln);
/* The thread, which is about to end, won't need its lane any more. */
void record_retire(struct arena *ar);

/* One event: after an allocation; before a free.  align 0: none asked. */
void record_alloc(
    struct arena *ar, vmem_addr_t addr, vmem_size_t size, vmem_size_t align);
void record_free(struct arena *ar, vmem_addr_t addr);
/*
 * Before a part of it is freed for the first time: from then on the range that
 * begins at addr is known by the number that is returned (its first bytes may
 * be another's soon).  0: it isn't recorded.
 */
uint64_t record_cut(struct arena *ar, vmem_addr_t addr);
void record_part(struct arena *ar, uint64_t number, vmem_size_t offset,
    vmem_size_t size);
void record_last(struct arena *ar, uint64_t number);

/* A lane is half full. */
void record_ring(struct recorder *rc);

/* Is anything to be recorded at all?  What each operation costs without. */
#define record_wanted(ar)                                                    \
	(atomic_load_explicit(&(ar)->ar_recorder, memory_order_relaxed) !=   \
	    NULL)

#endif /* DAEMON_RECORD_H */
