/*
 * sim.h - what the files of sim_depot share: see sim_depot.c.
 */
#ifndef BENCH_SIM_H
#define BENCH_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/trace.h"

#define SIZES 3u	/* that magazines can have: 15, 31, 63 */
#define ROLES 2u
#define VISITS 20000u	/* recorded of each role and size, at most */

struct exchange {
	float vi_gap_ns;	/* since this thread's previous one */
	uint32_t vi_ops;	/* likewise: allocations and frees */
	uint8_t vi_cache;
};

/* Of one role, with magazines of one size. */
struct recording {
	uint32_t re_count;
	struct exchange re_visit[VISITS];
};
extern struct recording recordings[SIZES][ROLES];

struct work;

extern const struct workload {
	const char *wl_name, *wl_text;
	void (*wl_work)(struct work *wk);
	unsigned int wl_roles;
	unsigned int wl_quantum, wl_quanta;
} workloads[];
extern const size_t workloads_count;

/* What the user asked for. */
extern bool sim_quick;
extern uint64_t sim_seed;

void die(const char *fmt, ...)
    __attribute__((__noreturn__, __format__(__printf__, 1, 2)));

/* Rounds of a magazine of the index-th size. */
unsigned int size_at(unsigned int index);

/* Runs a workload for each size, into `recordings'; what a visit to a depot
 * takes that nobody else visits, in ns. */
double record(const struct workload *wl, const struct trace *tr);

/* What a cache line takes from one CPU to another, in ns. */
double measure_line(void);

#endif /* BENCH_SIM_H */
