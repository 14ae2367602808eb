/*
 * stream.h - what a worker of a group does next: the operations of a job, one
 * after the other, whoever carries them out.
 *
 *	for (;;)
 *		switch (job_stream_next(st)) {
 *		case JOB_ALLOC:
 *			job_stream_want(st, &want);
 *			... allocate ...
 *			job_stream_add(st, &range);
 *			break;
 *		case JOB_FREE:
 *			job_stream_take(st, &range);
 *			... free it ...
 *
 * A worker allocates until it holds `live` ranges, then frees one and allocates
 * one in turn; reads, writes and the rest come in between by their shares.
 * Everything random comes from the seed, and from the order of the calls: the
 * same calls give the same answers.  One thread.
 */
#ifndef JOB_STREAM_H
#define JOB_STREAM_H

#include "job/job.h"
#include "util/rng.h"

/* A range that is held.  What isn't said is the caller's. */
struct job_range {
	uint64_t ra_addr;
	uint64_t ra_size;	/* as given: rounded */
	uint64_t ra_op;		/* number of the operation that made it */
	uint16_t ra_flags;	/* the caller's, as what follows */
	uint16_t ra_id;
	uint32_t ra_record;
};

/* What is wanted of the next allocation: as in the method `alloc`. */
struct job_want {
	uint64_t jw_size;
	uint64_t jw_align, jw_nocross;	/* 0: none */
	uint64_t jw_min, jw_max;	/* inclusive; 0 and UINT64_MAX: none */
	bool jw_at;			/* exactly at jw_min */
	bool jw_touch;			/* its pages are to be used */
	int jw_fit;			/* place in PROTO_FITS; -1: the arena's */
};

/* The arena, as far as wishes for addresses need it. */
struct job_space {
	uint64_t sp_base, sp_size;	/* size 0: not known, no such wishes */
	uint64_t sp_quantum;
};

#define JOB_SIZE_TABLE 1024

struct job_stream {
	const struct job_group *st_group;
	struct job_space st_space;
	struct rng st_rng;
	struct job_range *st_ranges;	/* a ring, of a power of two */
	size_t st_mask;
	size_t st_head;			/* the oldest */
	size_t st_count;
	uint64_t st_live;		/* to hold */
	double st_others;		/* share of reads, ... all together */
	double st_constrained;
	unsigned int st_fits;
	uint64_t st_freed;		/* an address freed lately, or 0 */
	uint64_t st_sizes[JOB_SIZE_TABLE + 1];	/* LOGUNIFORM: quantiles */
};

/* Room that job_stream_init() needs for a group's ranges, in ranges: a power
 * of two. */
size_t job_stream_room(const struct job_group *jg);

/* `ranges` has job_stream_room() entries, and is the stream's from now on. */
void job_stream_init(struct job_stream *st, const struct job_group *jg,
    uint64_t seed, const struct job_space *sp, struct job_range *ranges);

/* A seed for worker `index` of group `group`, in its n-th life. */
uint64_t job_stream_seed(uint64_t seed, unsigned int group,
    unsigned int index, uint64_t life);

enum job_op job_stream_next(struct job_stream *st);
void job_stream_want(struct job_stream *st, struct job_want *jw);
uint64_t job_stream_size(struct job_stream *st);

/* There is room for one more than `live`. */
void job_stream_add(struct job_stream *st, const struct job_range *ra);
/* Take out the one whose turn it is; there must be one. */
void job_stream_take(struct job_stream *st, struct job_range *ra);
/* One that stays, at random; NULL: there is none. */
struct job_range *job_stream_pick(struct job_stream *st);

/* The i-th that is held. */
static inline struct job_range *
job_stream_at(struct job_stream *st, size_t i)
{
	return (&st->st_ranges[(st->st_head + i) & st->st_mask]);
}

#endif /* JOB_STREAM_H */
