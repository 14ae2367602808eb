/*
 * fragment.h - the state of a fragment (cmd_fragment.c) and what it computes
 * without a thought for requests (frag_plan.c).
 */
#ifndef DAEMON_FRAGMENT_H
#define DAEMON_FRAGMENT_H

#include "daemon/request.h"
#include "util/rng.h"

enum { CHECKERBOARD, RANDOM, COMB, AGING };

struct range {
	vmem_addr_t ra_addr;
	vmem_size_t ra_size;
	bool ra_free;
};

struct space_state {
	uint64_t st_free, st_largest, st_segments;
};

struct frag_state {
	struct request *fg_request;
	struct arena *fg_arena;		/* referenced */
	struct holding *fg_group;		/* referenced */
	bool fg_keep;
	unsigned int fg_pattern;
	double fg_target;
	unsigned int fg_sizes;		/* the distribution */
	uint64_t fg_low, fg_high;	/* and its bounds, in bytes */
	struct rng fg_rng;
	uint64_t fg_bytes;		/* wanted */
	bool fg_given;			/* by the caller: all or nothing */
	uint64_t fg_have;		/* allocated so far */
	struct range *fg_ranges;
	size_t fg_count, fg_room;
	size_t fg_next;			/* where the phase at hand is */
	size_t fg_from, fg_to;		/* the plain part: [from, to) */
	double fg_holes_max;		/* bytes of holes, at most */
	unsigned int fg_round;		/* of aging */
	size_t fg_last;			/* of this round */
	double fg_free_bytes, fg_hole_bytes;
	struct space_state fg_before, fg_after;
	struct vmem_stat fg_arena_before;
	enum proto_error fg_error;
	struct task fg_task;
};

/* "fixed:N", "uniform:A-B", "loguniform:A-B"; EINVAL. */
int frag_parse_sizes(struct frag_state *fg, const char *text);
/* The mean of that, in bytes, and one of it, rounded to the quantum. */
double frag_mean_size(const struct frag_state *fg);
vmem_size_t frag_draw_size(struct frag_state *fg);

/* Forget what is free, and sort the rest by address. */
void frag_arrange(struct frag_state *fg);
/* Choose the plain part, and how many bytes of holes there may be. */
void frag_divide(struct frag_state *fg);
/* The free space among the ranges (or, with `all`: what they make up). */
struct space_state frag_survey(const struct frag_state *fg, bool all);

#endif /* DAEMON_FRAGMENT_H */
