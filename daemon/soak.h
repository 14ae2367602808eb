/*
 * soak.h - soak jobs that run inside the daemon.
 *
 * A job's workers are threads that go to libvmem directly, past connections,
 * requests and the registry, so that what is measured and verified is the
 * library under the load of a program that links it.  What they hold is
 * recorded with nobody; it is theirs alone, and gone when the job is done.
 *
 *	soak.start	checks the job, takes a reference to its arena, starts
 *			one thread that leads it (soak_lead) and is done
 *	the leader	starts the workers, checks the arena at intervals, joins
 *			the workers, checks once more, and tells who waits
 *	soak.status	adds up the workers' books as they run
 *	soak.stop	has them end, waits, gives the last sums, forgets it
 *
 * A job ends with the connection that started it, unless `keep`; a connection
 * hears of it by `progress` notifications, from a timer on its own worker.
 */
#ifndef DAEMON_SOAK_H
#define DAEMON_SOAK_H

#include <event2/event_struct.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/queue.h>

#include "daemon/conn.h"
#include "job/job.h"
#include "soak/soak.h"
#include "soak/sum.h"

#define SOAK_JOBS_MAX 16		/* running, or not yet stopped */
#define SOAK_LIVE_MAX 16777216u		/* ranges of a job's workers, in all */

/* Who waits for a job's end: a request parked by soak.stop. */
struct soak_waiter {
	STAILQ_ENTRY(soak_waiter) sk_link;
	struct request *sk_request;
	struct worker *sk_worker;
	struct msg sk_msg;
};

struct soak_thread {
	pthread_t st_thread;
	struct soak_worker st_worker;
	struct soak_tally st_tally;
};

struct soak_job {
	TAILQ_ENTRY(soak_job) sj_link;	/* [S] */
	unsigned int sj_refs;		/* [S] */
	uint64_t sj_id;			/* [I] */
	uid_t sj_uid;			/* [I] */
	bool sj_keep;			/* [I] */
	struct daemon *sj_daemon;	/* [I] */
	struct job *sj_job;		/* [I] */
	struct arena *sj_arena;		/* referenced; the leader's, till its
					 * end */
	struct soak_control *sj_control; /* [I] */
	struct owners sj_owners;	/* [I] */
	struct handover *sj_handovers;	/* [I] by group, or NULL */
	struct soak_thread *sj_threads;	/* [I] */
	unsigned int sj_thread_count;	/* [I] */
	bool sj_ended;			/* [S] */
	STAILQ_HEAD(, soak_waiter) sj_waiters;	/* [S] */
	uint64_t sj_started_ns;		/* [I] */
	_Atomic uint64_t sj_ended_ns;	/* 0: it runs */
	_Atomic uint64_t sj_checks;
};

/* A connection that watches the job it started; its worker's. */
struct soak_watch {
	LIST_ENTRY(soak_watch) sw_link;
	struct soak_job *sw_job;	/* referenced */
	struct conn *sw_conn;
	struct event sw_timer;
};

void soak_init(void);

/*
 * Start one; `job` is its own from now on, on success.  EAGAIN: SOAK_JOBS_MAX;
 * ENOMEM; EFBIG: the arena has too many addresses for verification.  *sjp is
 * referenced for the caller.
 */
int soak_start(struct daemon *dm, struct arena *ar, struct job *job, uid_t uid,
    bool keep, struct soak_job **sjp);
/* By id, with a reference; NULL. */
struct soak_job *soak_get(uint64_t id);
void soak_put(struct soak_job *sj);	/* NULL is ignored */

/* Have it end.  soak_forget: and be found no more. */
void soak_end(struct soak_job *sj);
void soak_forget(struct soak_job *sj);
/* True: it has ended.  False: `sk` will be told, by its message. */
bool soak_wait(struct soak_job *sj, struct soak_waiter *sk);

/* {id, running, seconds, groups: {NAME: sum}, finding, ...}; NULL: no
 * memory.  `brief`: as a progress notification has it. */
json_t *soak_status_json(struct soak_job *sj, bool brief);

/* Progress to a connection, each interval of the job; and its end. */
int soak_watch(struct soak_job *sj, struct conn *cn);
void soak_conn_gone(struct conn *cn);

/* At the end: have all end, from any thread; then wait until they have. */
void soak_end_all(void);
void soak_join_all(void);

/* How a worker reaches the arena (soak_target.c); by its kind. */
const struct soak_target *soak_target_of(const struct arena *ar);

#endif /* DAEMON_SOAK_H */
