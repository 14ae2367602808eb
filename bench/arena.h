/*
 * arena.h - the parts of bench_arena: each file has its cases.
 */
#ifndef BENCH_ARENA_H
#define BENCH_ARENA_H

#include "bench/bench.h"
#include "bench/ranges.h"

extern const struct bench_case churn_cases[], holes_cases[], space_cases[],
    tail_cases[];
extern const size_t churn_ncases, holes_ncases, space_ncases, tail_ncases;

/* A case for each trace there is, at most `room`; how many. */
size_t traces_cases(struct bench_case *cases, size_t room);

#endif /* BENCH_ARENA_H */
