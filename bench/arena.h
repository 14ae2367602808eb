/*
 * arena.h - the parts of bench_arena: each file has its cases.
 */
#ifndef BENCH_ARENA_H
#define BENCH_ARENA_H

#include "bench/bench.h"
#include "bench/ranges.h"

extern const struct bench_case churn_cases[];
extern const size_t churn_ncases;

#endif /* BENCH_ARENA_H */
