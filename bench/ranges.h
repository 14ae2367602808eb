/*
 * ranges.h - allocators of ranges behind one interface, for benchmarks that
 * run libvmem and its peers through the same work.
 *
 *	libvmem		an arena without quantum caches, default policy
 *	libvmem-bf	the same with VM_BESTFIT
 *	jemalloc, mimalloc
 *			malloc() of the process, which that library has taken
 *			over by being preloaded
 *	boost		Boost.Interprocess's rbtree_best_fit over a mapping of
 *			its own, if this was built with it
 *	harness		hands out nothing: the cost of the benchmark itself
 *
 * What is fair.  libvmem hands out numbers; the others hand out memory, and
 * nothing in the benchmark touches it.  All are asked for the same sizes, and
 * none is given threads or a lock to share.  jemalloc and mimalloc are told to
 * keep what is freed, so that they spend no time on giving pages back.  They
 * still may choose the address, round sizes up to classes (which wastes space,
 * and saves them from coalescing), and write to the pages that they hand out:
 * mimalloc and Boost keep links and headers in them, which shows as resident
 * bytes for each live range.
 */
#ifndef BENCH_RANGES_H
#define BENCH_RANGES_H

#include "bench/bench.h"

struct ranges {
	/* An allocator with room for `span` bytes and about `live` ranges. */
	void *(*ra_open)(uint64_t span, uint64_t live);
	/* 0: it can't. */
	uint64_t (*ra_get)(void *arena, uint64_t size);
	void (*ra_put)(void *arena, uint64_t addr, uint64_t size);
	uint64_t (*ra_get_aligned)(void *arena, uint64_t size, uint64_t align);
	void (*ra_put_aligned)(void *arena, uint64_t addr, uint64_t size);
	uint64_t ra_page_each;	/* bytes resident for a live range, about:
				 * what the machine must have */
};

extern const struct ranges ranges_vmem, ranges_vmem_best, ranges_malloc_jemalloc,
    ranges_malloc_mimalloc, ranges_boost, ranges_harness;

#define RANGES_PAGE 4096u

#define JEMALLOC_LIBRARY "libjemalloc.so.2"
#define JEMALLOC_ENV "MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1"
#define MIMALLOC_LIBRARY "libmimalloc.so.2"
#define MIMALLOC_ENV "MIMALLOC_ALLOW_DECOMMIT=0"

/* Leaves by bench_skip() if this machine hasn't the memory for `live`. */
void *ranges_open(const struct ranges *ra, uint64_t span, uint64_t live);

/* ---- sizes ---------------------------------------------------------------- */

#define SIZES_BITS 13u		/* of the table: 16 KiB */

struct sizes {
	uint16_t sz_pages[1u << SIZES_BITS];
	double sz_mean;		/* pages */
};

enum mix {
	MIX_SMALL,	/* uniform, 1 ... 16 pages */
	MIX_LOG		/* log-uniform, 1 ... 1024 pages */
};

void sizes_init(struct sizes *sz, enum mix mix);

#endif /* BENCH_RANGES_H */
