/*
 * counters.h - the counters of SPEC 5: collected, added up, written.
 */
#ifndef DAEMON_COUNTERS_H
#define DAEMON_COUNTERS_H

#include <vmpager.h>

#include "daemon/arena.h"
#include "daemon/buf.h"
#include "kmem/direct.h"
#include "util/hist.h"

struct counters {
	struct vmem_stat co_vmem;
	uint64_t co_tag_bytes;
	bool co_has_pager;
	struct vmpager_stat co_pager;
	bool co_has_direct, co_direct_on;
	struct direct_stat co_direct;
	struct vmpager *co_vmpager;	/* of the total only, else NULL */
	struct hist co_latency[ARENA_OPS];
};

/* Of one arena.  A snapshot of each part, not of all at one moment. */
void counters_of(struct arena *ar, struct counters *co);

/* Add an arena's to the total: counters of all; gauges of those that have no
 * source, since what the others hold is inside them. */
void counters_add(struct counters *total, const struct arena *ar,
    const struct counters *co);
void counters_clear(struct counters *total);

/* Their members, without the braces. */
void counters_write(struct buf *b, const struct counters *co);

/* {count, p50_ns, …, buckets} */
void hist_write(struct buf *b, const struct hist *hi);

#endif /* DAEMON_COUNTERS_H */
