/*
 * record.h - an arena's operations as a trace, into a file that a client
 * passed (record.start): what `vmemctl replay` takes.
 *
 * Who allocates or frees appends a line to a buffer, under a lock of its own;
 * a thread of the recorder's writes full buffers out, so that nobody waits for
 * a disk but when RECORD_BUFFERS of them are full.  Ids are given under that
 * lock, so they come in order; what was allocated before recording began has
 * none, and its free is left out.
 *
 * Clients' allocations are recorded in the registry (reg_insert(), reg_release(),
 * reg_free_part()), the daemon's own workers' where they make them.
 */
#ifndef DAEMON_RECORD_H
#define DAEMON_RECORD_H

#include <stdatomic.h>

#include <vmem.h>

struct arena;
struct recorder;

/* What is left of an id, once part of it was freed; its pieces share it. */
struct record_left {
	uint32_t rl_id;
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

/* The id of a new allocation; 0: it isn't recorded.  align 0: none asked. */
uint32_t record_alloc(struct arena *ar, vmem_size_t size, vmem_size_t align);
void record_free(struct arena *ar, uint32_t id);
void record_part(struct arena *ar, uint32_t id, vmem_size_t offset,
    vmem_size_t size);

/* Is anything to be recorded at all?  What each operation costs without. */
#define record_wanted(ar)                                                    \
	(atomic_load_explicit(&(ar)->ar_recorder, memory_order_relaxed) !=   \
	    NULL)

#endif /* DAEMON_RECORD_H */
