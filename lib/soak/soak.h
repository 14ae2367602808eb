/*
 * soak.h - a worker of a soak job: the loop, its oracles, its books.
 *
 * The same loop runs in the threads of vmemd and in the processes of vmemctl;
 * what differs is how an operation reaches the arena, and that is a struct
 * soak_target.  What a worker believes, it knows from itself:
 *
 *	owners	each range it is given belongs to nobody else (owners.h)
 *	wishes	it is where it was wanted, as large as was asked
 *	zeros	fresh pages are zero (one range in SOAK_ZERO_EVERY)
 *	bytes	a pattern written after the allocation is there when it is read
 *		and before the free, whatever was evicted in between
 *	waking	who waits is woken, or told that time is up
 *
 * Whatever is wrong is a finding: it names the operation, the first one stops
 * the run, and the verdict is that of the oracle, not of the allocator.
 *
 * Memory.  A worker's books (struct soak_tally) and the control block are
 * written by it, and read by others all the while; in vmemctl they lie in
 * memory that processes share, so that they outlive a worker that is killed.
 */
#ifndef SOAK_SOAK_H
#define SOAK_SOAK_H

#include <stdatomic.h>

#include "job/job.h"
#include "job/stream.h"
#include "soak/handover.h"
#include "soak/owners.h"
#include "util/hist.h"

#define SOAK_FINDING_MAX 320	/* bytes of a text */
#define SOAK_FINDINGS 4		/* texts kept of each worker; all are counted */
#define SOAK_ZERO_EVERY 16u
#define SOAK_FREED 65536u	/* frees remembered of each worker */
#define SOAK_BATCH 64u		/* operations of a plain worker between books */
/* A range's pattern: all of it, or so much at each end. */
#define SOAK_PATTERN_END 32768u

/* ---- targets ------------------------------------------------------------ */

enum soak_outcome {
	SOAK_DONE,
	SOAK_FAILED,	/* for sr_cause: nothing is wrong */
	SOAK_STOPPED,	/* by the end of the run, while it waited */
	SOAK_WRONG,	/* a finding: sr_text says what */
	SOAK_LOST	/* the daemon is gone; sr_text */
};

struct soak_result {
	enum job_cause sr_cause;
	char sr_text[SOAK_FINDING_MAX / 2];
};

struct soak_worker;

/*
 * What a worker does to an arena.  ra_addr, ra_size are filled by st_alloc
 * (ra_flags below SOAK_TARGET_FLAGS are the target's own).  `seed` is the
 * pattern's.  st_zero: are the bytes zero?  Members that are NULL don't apply:
 * an arena without memory has no bytes.
 */
struct soak_target {
	enum soak_outcome (*st_alloc)(struct soak_worker *sw,
	    const struct job_want *jw, struct job_range *ra,
	    struct soak_result *sr);
	enum soak_outcome (*st_free)(struct soak_worker *sw,
	    const struct job_range *ra, struct soak_result *sr);
	enum soak_outcome (*st_touch)(struct soak_worker *sw,
	    const struct job_range *ra, struct soak_result *sr);
	enum soak_outcome (*st_zero)(struct soak_worker *sw,
	    const struct job_range *ra, uint64_t offset, uint64_t len,
	    struct soak_result *sr);
	enum soak_outcome (*st_fill)(struct soak_worker *sw,
	    const struct job_range *ra, uint64_t offset, uint64_t len,
	    uint64_t seed, struct soak_result *sr);
	enum soak_outcome (*st_verify)(struct soak_worker *sw,
	    const struct job_range *ra, uint64_t offset, uint64_t len,
	    uint64_t seed, struct soak_result *sr);
	/* The bytes of a read are compared, those of a write are the
	 * pattern's again. */
	enum soak_outcome (*st_read)(struct soak_worker *sw,
	    const struct job_range *ra, uint64_t offset, uint64_t len,
	    uint64_t seed, struct soak_result *sr);
	enum soak_outcome (*st_write)(struct soak_worker *sw,
	    const struct job_range *ra, uint64_t offset, uint64_t len,
	    uint64_t seed, struct soak_result *sr);
	enum soak_outcome (*st_reap)(
	    struct soak_worker *sw, struct soak_result *sr);
	enum soak_outcome (*st_dump)(
	    struct soak_worker *sw, struct soak_result *sr);
	enum soak_outcome (*st_arena)(
	    struct soak_worker *sw, struct soak_result *sr);
	/* Up to SOAK_BATCH operations of a plain worker, see plain.h; NULL: it
	 * has no faster way for them. */
	void (*st_plain)(struct soak_worker *sw, unsigned int n);
};

#define SOAK_TARGET_FLAGS 0xffu	/* of ra_flags */
#define SOAK_FILLED 0x100u	/* its pattern is there */

/* ---- books -------------------------------------------------------------- */

/* What oracles cost: some are timed, all are counted. */
enum soak_oracle {
	SOAK_ORACLE_OWNERS,
	SOAK_ORACLE_FILL,
	SOAK_ORACLE_VERIFY,
	SOAK_ORACLE_ZERO,
	SOAK_ORACLES
};
extern const char *const soak_oracle_names[SOAK_ORACLES];

/* 16 bytes, since all of a worker's frees pass through its cache. */
struct soak_freed {
	uint64_t sf_addr;
	uint64_t sf_what;	/* op << 24 | quanta, or that many ones */
};

struct soak_tally {
	_Atomic uint64_t ta_ops;
	_Atomic uint64_t ta_counts[JOB_OPS];
	_Atomic uint64_t ta_causes[JOB_CAUSES];
	_Atomic uint64_t ta_live_bytes, ta_live_ranges;
	_Atomic uint64_t ta_violations;
	_Atomic uint64_t ta_oracle_count[SOAK_ORACLES];
	_Atomic uint64_t ta_oracle_timed[SOAK_ORACLES];
	_Atomic uint64_t ta_oracle_ns[SOAK_ORACLES];
	_Atomic uint64_t ta_hash;	/* of its events, in order */
	_Atomic uint64_t ta_kills, ta_lives;
	struct hist ta_latency[JOB_OPS];
	char ta_findings[SOAK_FINDINGS][SOAK_FINDING_MAX];
	/* A ring: what is still allocated at the end, who had freed it? */
	_Atomic uint64_t ta_freed_count;
	struct soak_freed ta_freed[SOAK_FREED];
};

/* Shared by all workers of a run. */
struct soak_control {
	_Atomic uint64_t co_start_ns;	/* 0: not yet */
	_Atomic unsigned int co_stop;	/* finish, and free what is left */
	_Atomic unsigned int co_abandon; /* don't even free */
	_Atomic uint64_t co_violations;
	_Atomic unsigned int co_lost;	/* the daemon is gone: co_first */
	_Atomic unsigned char co_dying[OWNERS_MAX + 1];	/* by owner */
	_Atomic unsigned int co_told;	/* the first finding has been taken */
	char co_first[SOAK_FINDING_MAX];
};

/* ---- a worker ----------------------------------------------------------- */

struct soak_worker {
	/* What it is. */
	const struct job *sw_job;
	const struct job_group *sw_group;
	unsigned int sw_group_index;
	unsigned int sw_index;		/* within its group */
	unsigned int sw_owner;		/* 1 ...: of all workers of the job */
	uint64_t sw_life;		/* 0, and one up with each restart */
	const struct soak_target *sw_target;
	void *sw_own;			/* the target's */
	struct soak_control *sw_control;
	struct soak_tally *sw_tally;
	struct owners *sw_owners;	/* NULL: verify = off */
	struct handover *sw_give;	/* NULL: frees its own */
	struct handover *sw_take;	/* NULL: allocates its own */
	struct job_space sw_space;
	/* Of each kind, one operation in so many is timed, and one oracle's
	 * work; 0: each. */
	unsigned int sw_time_every, sw_oracle_every;
	bool sw_pattern;		/* bytes are verified */
	bool sw_hash_addresses;		/* they are the same in each run */
	/* Where it is. */
	unsigned int sw_untimed[JOB_OPS];	/* until the next that is */
	unsigned int sw_oracle_untimed[SOAK_ORACLES];	/* before it */
	struct job_stream sw_stream;
	uint64_t sw_op;
	uint64_t sw_intended_ns;	/* open loop: when this one was due */
	uint64_t sw_hash;
	uint64_t sw_touched;		/* ranges */
	bool sw_refused;		/* its last allocation was */
	bool sw_ending;
};

/*
 * Run it: until its operations are done, its time is up, or the control says
 * stop; then what it holds is verified and freed.  0; ENOMEM.
 */
int soak_worker_run(struct soak_worker *sw);

/* Is the run to end?  For targets that wait. */
bool soak_stopping(const struct soak_worker *sw);

/* Prepare a tally, or the control block, in zeroed memory. */
void soak_tally_init(struct soak_tally *ta);

/* Note what is wrong; the first of a run stops it. */
void soak_finding(struct soak_worker *sw, const char *fmt, ...)
    __attribute__((__format__(__printf__, 2, 3)));

/* The daemon is gone: no finding, but there is nothing more to be done. */
void soak_lost(struct soak_worker *sw, const char *text);

/* Was exactly that range freed last by a worker's operation *opp, as far as is
 * remembered (that is with oracles on)? */
bool soak_find_freed(const struct soak_tally *ta, uint64_t addr,
    uint64_t size, uint64_t quantum, uint64_t *opp);

/* "clients/1 operation 1234": for texts; returns buf. */
char *soak_who(const struct soak_worker *sw, char *buf, size_t size);

#endif /* SOAK_SOAK_H */
