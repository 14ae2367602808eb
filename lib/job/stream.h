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
	uint32_t ra_flags;	/* the caller's, as what follows */
	uint32_t ra_id;
};

/*
 * The same in a stream's table: what every operation needs, 16 bytes of it, is
 * apart from what few do, so that a cache holds as many as can be.
 */
struct job_place {
	uint64_t pl_addr, pl_size;
};

struct job_note {
	uint64_t no_op;
	uint32_t no_flags, no_id;
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
	struct job_place *st_places;	/* a ring, of a power of two */
	struct job_note *st_notes;	/* as long */
	size_t st_mask;
	size_t st_head;			/* the oldest */
	size_t st_count;
	uint64_t st_live;		/* to hold */
	uint64_t st_next;		/* RANDOM: whose turn is next, of 2^64 */
	unsigned int st_lifetime;	/* enum job_lifetime */
	double st_others;		/* share of reads, ... all together */
	double st_constrained;
	unsigned int st_fits;
	uint64_t st_freed;		/* an address freed lately, or 0 */
	uint64_t st_sizes[JOB_SIZE_TABLE + 1];	/* LOGUNIFORM: quantiles */
};

/* Room that job_stream_init() needs for a group's ranges, in ranges: a power
 * of two. */
size_t job_stream_room(const struct job_group *jg);

/* `ranges` is memory for job_stream_room() of them, the stream's from now on. */
void job_stream_init(struct job_stream *st, const struct job_group *jg,
    uint64_t seed, const struct job_space *sp, struct job_range *ranges);

/* A seed for worker `index` of group `group`, in its n-th life. */
uint64_t job_stream_seed(uint64_t seed, unsigned int group,
    unsigned int index, uint64_t life);

enum job_op job_stream_next(struct job_stream *st);
void job_stream_want(struct job_stream *st, struct job_want *jw);

/* There is room for one more than `live`. */
void job_stream_add(struct job_stream *st, const struct job_range *ra);
/* Take out the one whose turn it is; there must be one. */
void job_stream_take(struct job_stream *st, struct job_range *ra);
/* One that stays, at random; false: there is none. */
bool job_stream_pick(struct job_stream *st, struct job_range *ra);
/* The i-th that is held. */
void job_stream_at(
    const struct job_stream *st, size_t i, struct job_range *ra);

/* ---- plain streams -------------------------------------------------------
 * Those that allocate and free, and wish for nothing: the next operation is an
 * allocation while fewer than `live` are held, its size is all that is drawn
 * for it, and nobody takes notes.  The same choices as above, in line.
 */
bool job_stream_is_plain(const struct job_stream *st);

uint64_t job_stream_size_of_list(struct job_stream *st);

static inline size_t
job_stream_pos(const struct job_stream *st, size_t i)
{
	return ((st->st_head + i) & st->st_mask);
}

static inline uint64_t
job_stream_size(struct job_stream *st)
{
	const struct job_sizes *js = &st->st_group->jg_sizes;
	uint64_t width = js->js_high - js->js_low, bits;
	unsigned int i;

	switch (js->js_kind) {
	case JOB_SIZES_UNIFORM:
		return (js->js_low + (width == UINT64_MAX ?
		    rng_next(&st->st_rng) :
		    rng_below(&st->st_rng, width + 1)));
	case JOB_SIZES_LOGUNIFORM:
		bits = rng_next(&st->st_rng);
		i = (unsigned int)(bits >> 54);	/* of 1024 */
		width = st->st_sizes[i + 1] - st->st_sizes[i];
		return (st->st_sizes[i] +
		    (uint64_t)(((unsigned __int128)(width + 1) *
			(bits << 10)) >> 64));
	case JOB_SIZES_LIST:
		return (job_stream_size_of_list(st));
	case JOB_SIZES_FIXED:
	case JOB_SIZES_TRACE:
		break;
	}
	return (js->js_low);
}

/* Whose turn will be next, in a steady state. */
static inline const struct job_place *
job_stream_next_place(const struct job_stream *st)
{
	return (&st->st_places[job_stream_pos(st, (size_t)(((unsigned __int128)
	    st->st_next * st->st_live) >> 64))]);
}

/*
 * Take one out whose turn it is: it is at *atp, where what is at *lastp is to
 * go.  Random turns are drawn one ahead, so that the next is on its way into
 * the cache while this one is freed and another allocated.
 */
static inline void
job_stream_turn(struct job_stream *st, size_t *atp, size_t *lastp)
{
	size_t last = job_stream_pos(st, st->st_count - 1), at = last;

	if (st->st_lifetime == JOB_RANDOM) {
		at = job_stream_pos(st, (size_t)(((unsigned __int128)
		    st->st_next * st->st_count) >> 64));
		st->st_next = rng_next(&st->st_rng);
		__builtin_prefetch(job_stream_next_place(st), 1);
	} else if (st->st_lifetime == JOB_FIFO) {
		last = at = st->st_head;
		st->st_head = (st->st_head + 1) & st->st_mask;
	}
	st->st_count--;
	*atp = at;
	*lastp = last;
}

static inline struct job_place
job_stream_take_place(struct job_stream *st)
{
	struct job_place pl;
	size_t at, last;

	job_stream_turn(st, &at, &last);
	pl = st->st_places[at];
	st->st_places[at] = st->st_places[last];
	return (pl);
}

static inline void
job_stream_add_place(struct job_stream *st, uint64_t addr, uint64_t size)
{
	st->st_places[job_stream_pos(st, st->st_count++)] =
	    (struct job_place) { addr, size };
}

#endif /* JOB_STREAM_H */
