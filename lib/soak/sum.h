/*
 * sum.h - what workers did, added up; and as JSON, there and back.
 *
 * The daemon sends the sums of its groups as JSON, vmemctl adds those to its
 * own: nothing is lost on the way, histograms go bucket by bucket.
 */
#ifndef SOAK_SUM_H
#define SOAK_SUM_H

#include <jansson.h>

#include "soak/soak.h"

/* Of one group, or of all. */
struct soak_sum {
	uint64_t su_ops;
	uint64_t su_counts[JOB_OPS];
	uint64_t su_causes[JOB_CAUSES];
	uint64_t su_live_bytes, su_live_ranges;
	uint64_t su_violations;
	uint64_t su_oracle_count[SOAK_ORACLES];
	uint64_t su_oracle_timed[SOAK_ORACLES];
	uint64_t su_oracle_ns[SOAK_ORACLES];
	uint64_t su_hash;	/* of its workers' hashes, in their order */
	uint64_t su_kills;
	struct hist su_latency[JOB_OPS];
	json_t *su_findings;	/* array of texts, or NULL */
};

void soak_sum_init(struct soak_sum *su);
void soak_sum_fini(struct soak_sum *su);

/* Add a worker's, while it runs or after; or another sum. */
void soak_sum_tally(struct soak_sum *su, const struct soak_tally *ta);
void soak_sum_add(struct soak_sum *to, const struct soak_sum *from);

/* All failures that aren't somebody else's `at`. */
uint64_t soak_sum_fails(const struct soak_sum *su);

/* NULL: no memory. */
json_t *soak_sum_json(const struct soak_sum *su);
/* EINVAL: not what soak_sum_json() makes. */
int soak_sum_parse(const json_t *object, struct soak_sum *su);

/* {count, p50_ns, ..., buckets: [[index, n]]}: as in `stats`. */
json_t *hist_json(const struct hist *hi);
int hist_parse(const json_t *object, struct hist *hi);

#endif /* SOAK_SUM_H */
