/*
 * parked.h - two cases of bench_qcache: parked.c.
 */
#ifndef BENCH_PARKED_H
#define BENCH_PARKED_H

#include "bench/bench.h"

#define PARKED_PAGES 16u	/* the largest ranges that caches keep */

extern const struct bench_contender *const parked_contenders[];
extern const struct bench_contender *const woken_contenders[];

#endif /* BENCH_PARKED_H */
