/*
 * pager.h - what bench_pager.c and its bare loops share.
 */
#ifndef BENCH_PAGER_H
#define BENCH_PAGER_H

#include <stdbool.h>
#include <stdint.h>

#include <vmpager.h>

#include "bench/bench.h"

#define EVICT_TURN 256u	/* pages of the loop a turn */
#define ALONE 16u	/* distance of pages that are to be alone */

enum bare_kind { BARE_ZERO, BARE_HIT, BARE_IO, BARE_UFFD, BARE_THREAD,
	BARE_CLUSTER, BARE_MOVE, BARE_PROTECT, BARE_SEGV, BARE_STORES };

struct pager_state;
struct bare;

struct pager_case {
	enum vmpager_mode pc_mode;
	enum bare_kind pc_kind;
	uint64_t (*pc_ours)(struct pager_state *st);	/* a turn: ns */
	uint64_t (*pc_bare)(struct bare *ba);
	/* The same by two threads, for cases about those. */
	uint64_t (*pc_ours_two)(struct pager_state *st);
	uint64_t (*pc_bare_two)(struct pager_state *st);
	uint64_t pc_pages, pc_quick_pages;	/* a turn's; evict: all */
	uint64_t pc_chunks;			/* turns a phase */
	uint64_t pc_stride;			/* pages of span for each */
	bool pc_evict;
	bool pc_swap;		/* has some, so that neighbours may come in */
	uint32_t pc_needs;	/* VMPAGER_HAS_* */
	uint32_t pc_without;	/* the same: not to be used */
};

/* pager_modes.c: the modes beside each other. */
extern const struct bench_contender *const modes_contenders[];
extern const char modes_note[];

/* pager_bare.c: the same work with nothing around it. */
struct bare *bare_make(
    enum bare_kind kind, uint64_t pages, uint64_t frames);
void bare_order(struct bare *ba, const uint32_t *order);
uint64_t bare_zero(struct bare *ba);
uint64_t bare_hit(struct bare *ba);
uint64_t bare_io(struct bare *ba);
uint64_t bare_alone(struct bare *ba);
uint64_t bare_cluster(struct bare *ba);
uint64_t bare_move(struct bare *ba);
uint64_t bare_stores(struct bare *ba);

/* Half of bare_zero(): 0 or 1. */
void bare_zero_half(struct bare *ba, unsigned int half);

/* The parts of bare_alone(), for two threads: its handler in place of the
 * pager's; every step-th page from first; its pages gone again. */
void bare_begin(struct bare *ba);
void bare_store(
    struct bare *ba, uint64_t pages, uint64_t first, uint64_t step);
void bare_end(struct bare *ba);
void bare_empty(struct bare *ba);

#endif /* BENCH_PAGER_H */
