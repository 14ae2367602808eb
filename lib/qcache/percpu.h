/*
 * percpu.h - which mechanism makes the caches per CPU: see percpu.c.
 */
#ifndef QCACHE_PERCPU_H
#define QCACHE_PERCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "qcache/rseq.h"

/* Areas at most: beyond so many CPUs some share one, under its lock. */
#define PERCPU_MAX 512u

enum percpu_mode {
	PERCPU_LOCK,	/* a lock an area, sched_getcpu() */
	PERCPU_CPU,	/* sequences, indexed by cpu_id */
	PERCPU_CID	/* sequences, indexed by mm_cid */
};

struct percpu {
	enum percpu_mode pc_mode;
	struct rseq_place pc_place;
	unsigned int pc_count;	/* areas: every index is below */
	unsigned int pc_cpus;	/* CPUs, as far as is known */
};

/* The same for the whole life of the process. */
const struct percpu *percpu_get(void);

/* This thread's index, as a rule; it may change at any time. */
unsigned int percpu_index(const struct percpu *pc);

/* For tests: how many CPUs a list of the kernel's goes up to. */
unsigned int percpu_parse(const char *text);

/* All threads are outside of sequences, and see what was stored before; what
 * they stored is seen.  Not with PERCPU_LOCK. */
void percpu_fence(void);

#endif /* QCACHE_PERCPU_H */
