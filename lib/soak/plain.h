/*
 * plain.h - the loop of workers that only allocate and free.
 *
 * What such a worker does beside the allocator is to cost little beside it: an
 * allocation out of a quantum cache takes some 13 ns, of which 20 % is the
 * time of one read of the clock.  So the loop is a template that a target
 * instantiates around its own two calls, inline; it goes in batches, and what
 * needn't be done for each operation is done at the end of one (plain.c):
 *
 *	time	is read once for each operation, where nothing of the
 *		worker's own came in between: the end of one is the start of
 *		the next, which so includes some 3 ns for drawing it
 *	books	histograms, counters and the clock of the run, once a batch
 *	turns	drawn one ahead, see job_stream_turn()
 *	notes	none: who is plain needs address and size of a range alone
 *
 * Which operations there are, what they are for, and what is hashed of them is
 * exactly as in the loop of worker.c: the same job gives the same event hash by
 * either, which a test sees to.
 */
#ifndef SOAK_PLAIN_H
#define SOAK_PLAIN_H

#include "soak/impl.h"
#include "soak/soak.h"
#include "util/ticks.h"

struct soak_batch {
	uint64_t sb_now;	/* the reading at the end of the last operation;
				 * 0: none, or work of ours came after it */
	uint64_t sb_ops, sb_oracles;
	uint64_t sb_live_bytes, sb_live_ranges;	/* modulo 2^64 */
	unsigned int sb_counts[2];	/* of JOB_ALLOC, JOB_FREE */
	unsigned int sb_timed[2];
	uint64_t sb_ticks[2][SOAK_BATCH];
};

/* What a target does, in line; as st_alloc and st_free. */
typedef enum soak_outcome soak_get_fn(struct soak_worker *sw, uint64_t size,
    struct job_range *ra, struct soak_result *sr);
typedef void soak_put_fn(struct soak_worker *sw, uint64_t addr, uint64_t size);
/* And recording: before a free, after an allocation, at that time. */
struct soak_tape;
typedef void soak_note_fn(struct soak_tape *tape, enum job_op op,
    uint64_t ticks, uint64_t addr, uint64_t size);

/* The rarer parts, out of line. */
void soak_plain_failed(struct soak_worker *sw, uint64_t size,
    enum soak_outcome outcome, const struct soak_result *sr);
void soak_plain_wish(
    struct soak_worker *sw, uint64_t size, uint64_t addr, uint64_t given);
bool soak_plain_conflict(
    struct soak_worker *sw, uint64_t addr, uint64_t size, bool claim);
void soak_plain_books(struct soak_worker *sw, const struct soak_batch *sb);

#define SOAK_INLINE static inline __attribute__((__always_inline__))

/* When the operation began; 0: it isn't timed. */
SOAK_INLINE uint64_t
soak_plain_begin(
    struct soak_worker *sw, const struct soak_batch *sb, enum job_op op)
{
	if (--sw->sw_untimed[op] != 0)
		return (0);
	sw->sw_untimed[op] = sw->sw_time_every;
	return (sb->sb_now != 0 ? sb->sb_now : ticks_now());
}

SOAK_INLINE void
soak_plain_end(struct soak_batch *sb, enum job_op op, uint64_t from)
{
	sb->sb_counts[op]++;
	sb->sb_now = 0;
	if (from == 0)
		return;
	sb->sb_now = ticks_now();
	sb->sb_ticks[op][sb->sb_timed[op]++] = sb->sb_now - from;
}

/*
 * What is given: large enough, and nobody else's?  What isn't its own is left
 * alone: false.  And before it goes back: still its own?
 */
SOAK_INLINE bool
soak_plain_claim(struct soak_worker *sw, struct soak_batch *sb, uint64_t size,
    uint64_t addr, uint64_t given)
{
	struct owners_conflict oc;
	uint64_t from;

	/* All that an allocation without wishes can break. */
	if (__builtin_expect(given - size >= sw->sw_space.sp_quantum ||
		addr + (given - 1) < addr, 0))
		soak_plain_wish(sw, size, addr, given);
	from = soak_oracle_begin(sw, SOAK_ORACLE_OWNERS);
	if (__builtin_expect(owners_claim(sw->sw_owners, addr, given,
		sw->sw_owner, &oc) != OWNERS_OK, 0))
		return (soak_plain_conflict(sw, addr, given, true));
	soak_oracle_timed(sw, SOAK_ORACLE_OWNERS, from);
	sb->sb_oracles++;
	return (true);
}

SOAK_INLINE void
soak_plain_disown(
    struct soak_worker *sw, struct soak_batch *sb, const struct job_place *pl)
{
	struct owners_conflict oc;
	uint64_t from = soak_oracle_begin(sw, SOAK_ORACLE_OWNERS);

	if (__builtin_expect(owners_release(sw->sw_owners, pl->pl_addr,
		pl->pl_size, sw->sw_owner, &oc) != OWNERS_OK, 0))
		(void)soak_plain_conflict(
		    sw, pl->pl_addr, pl->pl_size, false);
	soak_oracle_timed(sw, SOAK_ORACLE_OWNERS, from);
	sb->sb_oracles++;
	soak_remember_free(sw, pl->pl_addr, pl->pl_size);
}

SOAK_INLINE void
soak_plain_alloc(struct soak_worker *sw, struct soak_batch *sb, bool verify,
    soak_get_fn *get, struct soak_tape *tape, soak_note_fn *note)
{
	struct job_stream *st = &sw->sw_stream;
	uint64_t size = job_stream_size(st), from;
	enum soak_outcome outcome;
	struct soak_result sr;
	struct job_range ra;

	from = soak_plain_begin(sw, sb, JOB_ALLOC);
	outcome = get(sw, size, &ra, &sr);
	soak_plain_end(sb, JOB_ALLOC, from);
	if (__builtin_expect(outcome != SOAK_DONE, 0)) {
		sb->sb_now = 0;
		soak_plain_failed(sw, size, outcome, &sr);
		return;
	}
	if (__builtin_expect(tape != NULL, 0))
		note(tape, JOB_ALLOC, sb->sb_now != 0 ? sb->sb_now :
		    ticks_now(), ra.ra_addr, ra.ra_size);
	soak_hash(sw, JOB_ALLOC, size, ra.ra_addr, SOAK_DONE);
	sw->sw_refused = false;
	if (verify) {
		sb->sb_now = 0;
		/* Whose turn is next has come into the cache by now. */
		owners_expect(sw->sw_owners, job_stream_next_place(st)->pl_addr);
		if (!soak_plain_claim(sw, sb, size, ra.ra_addr, ra.ra_size))
			return;
	}
	job_stream_add_place(st, ra.ra_addr, ra.ra_size);
	sb->sb_live_bytes += ra.ra_size;
	sb->sb_live_ranges++;
}

SOAK_INLINE void
soak_plain_free(struct soak_worker *sw, struct soak_batch *sb, bool verify,
    soak_put_fn *put, struct soak_tape *tape, soak_note_fn *note)
{
	struct job_place pl = job_stream_take_place(&sw->sw_stream);
	uint64_t from;

	sw->sw_refused = false;
	if (verify) {
		sb->sb_now = 0;
		soak_plain_disown(sw, sb, &pl);
	}
	from = soak_plain_begin(sw, sb, JOB_FREE);
	if (__builtin_expect(tape != NULL, 0))
		note(tape, JOB_FREE, from != 0 ? from : ticks_now(),
		    pl.pl_addr, pl.pl_size);
	put(sw, pl.pl_addr, pl.pl_size);
	soak_plain_end(sb, JOB_FREE, from);
	soak_hash(sw, JOB_FREE, pl.pl_size, pl.pl_addr, SOAK_DONE);
	sb->sb_live_bytes -= pl.pl_size;
	sb->sb_live_ranges--;
}

SOAK_INLINE void
soak_plain_batch(struct soak_worker *sw, unsigned int n, bool verify,
    soak_get_fn *get, soak_put_fn *put, struct soak_tape *tape,
    soak_note_fn *note)
{
	struct job_stream *st = &sw->sw_stream;
	struct soak_batch sb;

	sb.sb_now = sb.sb_oracles = 0;
	sb.sb_live_bytes = sb.sb_live_ranges = 0;
	sb.sb_counts[JOB_ALLOC] = sb.sb_counts[JOB_FREE] = 0;
	sb.sb_timed[JOB_ALLOC] = sb.sb_timed[JOB_FREE] = 0;
	if (sw->sw_ending)
		n = st->st_count < n ? (unsigned int)st->st_count : n;
	sb.sb_ops = sw->sw_ending ? 0 : n;
	for (unsigned int i = 0; i < n; i++) {
		if (sw->sw_ending || st->st_count >= st->st_live ||
		    (sw->sw_refused && st->st_count > 0))
			soak_plain_free(sw, &sb, verify, put, tape, note);
		else
			soak_plain_alloc(sw, &sb, verify, get, tape, note);
		sw->sw_op += !sw->sw_ending;
	}
	soak_plain_books(sw, &sb);
}

/*
 * Up to n operations, at most SOAK_BATCH; at the end only frees, as long as
 * there is something to free.  What a target's st_plain calls: twice the code,
 * so that the loop without oracles and recording has no traces of them.
 */
SOAK_INLINE void
soak_plain(struct soak_worker *sw, unsigned int n, soak_get_fn *get,
    soak_put_fn *put, struct soak_tape *tape, soak_note_fn *note)
{
	if (sw->sw_owners == NULL && tape == NULL)
		soak_plain_batch(sw, n, false, get, put, NULL, note);
	else
		soak_plain_batch(
		    sw, n, sw->sw_owners != NULL, get, put, tape, note);
}

#endif /* SOAK_PLAIN_H */
