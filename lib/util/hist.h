/*
 * hist.h - log-linear histograms of 64-bit values (latencies, sizes).
 *
 * Values below 128 have a bucket each.  Above, every power of two is parted
 * into 64 equal buckets, so that a bucket is at most 1/64 of its values wide
 * and its middle at most 1/128 (0.8 %) away from any of them:
 *
 *	0 1 2 ... 127 | 128-129 130-131 ... | 256-259 ... | ... 2^64-1
 *	  exact       |   64 buckets of 2   | 64 of 4     |
 *
 * That is 128 + 57 * 64 buckets for the whole range of a uint64_t: a fixed
 * size, no allocation, O(1) to record, and merging is adding: the histogram of
 * two runs is exactly the sum of theirs, which no average of percentiles is.
 *
 * Threads: one writer at a time, and any number of readers beside it (a
 * snapshot by hist_copy(), whose parts may differ by what is just being
 * recorded).  Counters are relaxed atomics for that reason only; nothing is
 * ordered by them.
 */
#ifndef UTIL_HIST_H
#define UTIL_HIST_H

#include <stddef.h>
#include <stdint.h>

#define HIST_LINEAR_BITS 7	/* values below 2^7 are exact */
#define HIST_SUB_BITS 6		/* 2^6 buckets a power of two above */
#define HIST_BUCKETS                                                         \
	((1u << HIST_LINEAR_BITS) +                                          \
	    ((64u - HIST_LINEAR_BITS) << HIST_SUB_BITS))

struct hist {
	uint64_t hi_count;
	uint64_t hi_sum;	/* stays at 2^64-1 once it would pass it */
	uint64_t hi_min;	/* 2^64-1 while empty */
	uint64_t hi_max;	/* 0 while empty */
	uint64_t hi_buckets[HIST_BUCKETS];
};

/* Empty it; a histogram must be initialised before anything else. */
void hist_init(struct hist *hi);

/* Record one value. */
void hist_record(struct hist *hi, uint64_t value);
/* Or many, at less cost each. */
void hist_record_many(struct hist *hi, const uint64_t *values, size_t n);

/* Add what `from` holds to `to`, exactly. */
void hist_merge(struct hist *to, const struct hist *from);

/* Take away what `from` holds, which was part of `to`: what came since.  Its
 * min and max are then those of the buckets that are left. */
void hist_subtract(struct hist *to, const struct hist *from);

/* A snapshot of a histogram that another thread may be writing. */
void hist_copy(struct hist *to, const struct hist *from);

/*
 * The value that a share `q` (0 to 1) of what was recorded doesn't exceed,
 * within 1 %, and never outside [min, max]; 0 while empty.
 */
uint64_t hist_quantile(const struct hist *hi, double q);

/* The mean; 0 while empty. */
double hist_mean(const struct hist *hi);

/* The bucket of a value, and the values [*lowp, *highp] of a bucket. */
unsigned int hist_index(uint64_t value);
void hist_bounds(unsigned int index, uint64_t *lowp, uint64_t *highp);

#endif /* UTIL_HIST_H */
