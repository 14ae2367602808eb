/*
 * ranges.h - allocators of ranges behind one interface, for benchmarks that
 * run libvmem and its peers through the same work.
 *
 *	libvmem		an arena without quantum caches, default policy
 *	best fit	the same with VM_BESTFIT
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

#ifdef __cplusplus
extern "C" {
#endif

struct ranges {
	/* An allocator of `span` bytes, if it is one that has bounds. */
	void *(*ra_open)(uint64_t span);
	/* 0: it can't. */
	uint64_t (*ra_get)(void *arena, uint64_t size);
	void (*ra_put)(void *arena, uint64_t addr, uint64_t size);
	uint64_t (*ra_get_aligned)(void *arena, uint64_t size, uint64_t align);
	void (*ra_put_aligned)(void *arena, uint64_t addr, uint64_t size);
	/* What becomes resident, about: for each range, and of the span. */
	uint64_t ra_rss_each;
	double ra_rss_share;
};

extern const struct ranges ranges_vmem, ranges_best, ranges_jemalloc,
    ranges_mimalloc, ranges_boost, ranges_harness;

/* libvmem's, whatever arena it is. */
uint64_t ranges_vmem_get(void *arena, uint64_t size);
void ranges_vmem_put(void *arena, uint64_t addr, uint64_t size);

#define RANGES_PAGE 4096u
#define RANGES_BASE (UINT64_C(1) << 40)	/* where libvmem's arenas begin */

/*
 * Opens one for about `live` ranges; leaves by bench_skip() if this machine
 * hasn't the memory for that.
 */
void *ranges_open(const struct ranges *ra, uint64_t span, uint64_t live);

/* Contenders by these, for initialisers. */
#define BY_RANGES(name, ranges, setup, phase)                                 \
	.bn_name = name, .bn_arg = &(ranges), .bn_setup = setup,              \
	.bn_phase = phase
#define BY_VMEM(setup, phase)                                                 \
	{ BY_RANGES("libvmem", ranges_vmem, setup, phase) }
#define BY_BEST(setup, phase)                                                 \
	{ BY_RANGES("best fit", ranges_best, setup, phase) }
#define BY_JEMALLOC(setup, phase)                                             \
	{ BY_RANGES("jemalloc", ranges_jemalloc, setup, phase),               \
		.bn_preload = "libjemalloc.so.2",                             \
		.bn_env =                                                     \
		    "MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1" }
#define BY_MIMALLOC(setup, phase)                                             \
	{ BY_RANGES("mimalloc", ranges_mimalloc, setup, phase),               \
		.bn_preload = "libmimalloc.so.2",                             \
		.bn_env = "MIMALLOC_ALLOW_DECOMMIT=0" }
#define BY_BOOST(setup, phase)                                                \
	{ BY_RANGES("boost", ranges_boost, setup, phase) }
#define BY_HARNESS(setup, phase)                                              \
	{ BY_RANGES("harness", ranges_harness, setup, phase) }

/* ---- sizes ---------------------------------------------------------------- */

#define SIZES_BITS 13u		/* of the table: 16 KiB */

struct sizes {
	uint16_t sz_pages[1u << SIZES_BITS];
	double sz_mean;		/* pages */
};

enum mix {
	MIX_SMALL,	/* uniform, 1 ... 16 pages */
	MIX_LOG,	/* log-uniform, 1 ... 1024 pages */
	MIX_POWERS	/* 64 KiB, 128 KiB, ... 2 MiB alike */
};

void sizes_init(struct sizes *sz, enum mix mix);

/* Of a random number's low SIZES_BITS. */
static inline uint64_t
sizes_pages(const struct sizes *sz, uint64_t random)
{
	return (sz->sz_pages[random & ((1u << SIZES_BITS) - 1)]);
}

#ifdef __cplusplus
}
#endif

#endif /* BENCH_RANGES_H */
