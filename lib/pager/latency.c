/*
 * latency.c - how long faults take, by their kind.
 *
 * A histogram is written by one thread at a time (util/hist.h); who finds it
 * taken leaves its sample out rather than wait.  Where a fault takes less time
 * than looking at the clock twice, only one of LATENCY_SAMPLE in each thread is
 * looked at.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include "util/clock.h"

#define LATENCY_SAMPLE 64u

/* Faults that this thread has served. */
static __thread __attribute__((tls_model("initial-exec"))) unsigned int
    latency_turn;

/* The time now, or 0: this one isn't measured. */
static inline uint64_t
latency_begin(const struct vmpager *pg)
{
	if (!pg->pg_mode->md_mmu && latency_turn % LATENCY_SAMPLE != 0)
		return (0);
	return (clock_ns());
}

static __attribute__((noinline)) void
latency_record(struct latency *lt, uint64_t begin, unsigned int faults)
{
	/* Acquire and release: between one writer and the next. */
	if (atomic_exchange_explicit(
		&lt->lt_taken, true, memory_order_acquire))
		return;
	hist_record(&lt->lt_hist, (clock_ns() - begin) / faults);
	atomic_store_explicit(&lt->lt_taken, false, memory_order_release);
}

/* Faults that were served together have taken the same time each.  It is here
 * that the next one's turn comes, so that a fault that is begun twice (fill.c)
 * takes no other's. */
static inline void
latency_end(struct vmpager *pg, enum vmpager_fault kind, uint64_t begin,
    unsigned int faults)
{
	latency_turn++;
	if (begin != 0)
		latency_record(&pg->pg_latency[kind], begin, faults);
}

void
vmpager_latency(struct vmpager *pg, enum vmpager_fault kind,
    void (*fn)(void *arg, uint64_t low_ns, uint64_t high_ns, uint64_t count),
    void *arg)
{
	const struct hist *hi = &pg->pg_latency[kind].lt_hist;
	uint64_t low, high, count;

	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		count = __atomic_load_n(&hi->hi_buckets[i], __ATOMIC_RELAXED);
		if (count == 0)
			continue;
		hist_bounds(i, &low, &high);
		fn(arg, low, high, count);
	}
}
