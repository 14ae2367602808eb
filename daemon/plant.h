/*
 * plant.h - bugs on purpose, in builds with --enable-fault-injection: does the
 * soak find them?  (`set plant NAME`, `vmemctl soak --plant NAME`)
 *
 * Each is what a bug of the allocator, the pager or the waiters would look
 * like from outside, planted between libvmem and who uses it, for clients and
 * for the daemon's own workers alike:
 *
 *	overlap		a range is handed out that another's is part of
 *	double-hand-out	the same address is handed out again
 *	leak		a free is acknowledged, and not done
 *	flip		a bit of a page that was written changes
 *	stale-mapping	fresh memory holds what was there before
 *	lost-wakeup	who waits is granted its space, and not told
 *
 * A plant bears after PLANT_FIRST opportunities, and then once in PLANT_EVERY.
 */
#ifndef DAEMON_PLANT_H
#define DAEMON_PLANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLANT_NAMES                                                          \
	"none overlap leak flip lost-wakeup double-hand-out stale-mapping"

enum plant {
	PLANT_NONE,
	PLANT_OVERLAP,
	PLANT_LEAK,
	PLANT_FLIP,
	PLANT_LOST_WAKEUP,
	PLANT_DOUBLE,
	PLANT_STALE
};

#ifdef VMEM_FAULT_INJECTION

struct msg;
struct worker;

void plant_set(enum plant plant);
/* How often any has borne, ever. */
uint64_t plant_count(void);
/* Is this the moment for it? */
bool plant_bears(enum plant plant);
/* The address that is told instead of addr; most often addr itself. */
uint64_t plant_address(uint64_t addr, uint64_t size, uint64_t quantum);
void plant_flip(void *bytes, size_t len);
/* Keep a message back until the plant is taken away; false: it isn't. */
bool plant_keeps(struct worker *wk, struct msg *ms);

/* Faults at random (util/fault.h): on with a seed above 0. */
void chaos_set(uint64_t seed);

#else

#define plant_bears(plant) false
#define plant_address(addr, size, quantum) (addr)
#define plant_flip(bytes, len) ((void)0)
#define plant_keeps(wk, ms) false

#endif

#endif /* DAEMON_PLANT_H */
