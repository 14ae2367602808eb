/*
 * worker.h - a thread with an event base, and the connections that live and
 * die on it.
 *
 * Other threads talk to a worker through its inbox: a queue of messages under
 * a lock, and an eventfd that is written when the queue was empty.  A message
 * is embedded in what it is about, so that posting never allocates; a thread
 * that frees a range may do so from deep within.
 *
 * The ready list holds connections that have something to do without I/O: a
 * job's next slice, or lines that were left when a turn's budget was spent.
 * It is served by a timer of zero, not by activating an event: libevent would
 * otherwise run what is active without ever polling again.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <sys/queue.h>

#include "daemon/daemon.h"
#include "daemon/buf.h"
#include "util/hist.h"
#include "util/lock.h"

/* A turn: how long a worker may be held, and how much a connection may do,
 * before the others have theirs. */
#define TURN_NS 1000000u
#define TURN_REQUESTS 64u
#define TURN_READ 16384u

struct conn;

TAILQ_HEAD(conn_list, conn);

struct msg {
	STAILQ_ENTRY(msg) ms_link;
	/* Called in the worker's thread. */
	void (*ms_run)(struct worker *wk, struct msg *ms);
};

struct worker {			/* [W] its own, unless said otherwise */
	struct daemon *wk_daemon;	/* [I] */
	unsigned int wk_index;		/* [I] */
	pthread_t wk_thread;		/* [main] */
	struct event_base *wk_base;
	int wk_event_fd;		/* [I] */
	struct event wk_inbox_event;
	struct event wk_turn_event;	/* the ready list, by a timer of zero */
	struct event wk_drain_event;	/* the end of patience */
	bool wk_turn_armed;
	struct conn_list wk_conns;
	struct conn_list wk_ready;
	struct buf wk_discard;		/* replies that nobody gets */
	_Atomic unsigned int wk_conn_count;	/* read by main, to balance */
	_Atomic(struct hist *) wk_latency[48];	/* by method; others read */
	struct msg wk_drain_msg;
	bool wk_draining;

	struct lock wk_inbox_lock;
	STAILQ_HEAD(, msg) wk_inbox;	/* under wk_inbox_lock */
};

/* Start one; stop is by draining, then join.  An errno. */
int worker_start(struct daemon *dm, unsigned int index, struct worker **wkp);
void worker_drain(struct worker *wk);
void worker_join(struct worker *wk);	/* waits for its end */
void worker_free(struct worker *wk);	/* when all have ended: they look at
					 * each other's statistics */

/* From any thread: run ms->ms_run in the worker's. */
void worker_post(struct worker *wk, struct msg *ms);
/* A new connection for it: takes the descriptor, also on failure (an errno). */
int worker_adopt(
    struct worker *wk, int fd, uid_t uid, pid_t pid, bool privileged);

/* In the worker's own thread. */
void worker_ready(struct worker *wk, struct conn *cn);
void worker_conn_gone(struct worker *wk);	/* one has been freed */
void worker_record(struct worker *wk, unsigned int method, uint64_t ns);

/*
 * The helper: one thread for what holds a thread for long and can't be
 * sliced (checking all of an arena, populating one).  run() is called there,
 * then `done` is posted to the worker.
 */
struct task {
	STAILQ_ENTRY(task) tk_link;
	void (*tk_run)(struct task *tk);
	struct worker *tk_worker;
	struct msg tk_done;
};

int helper_start(struct helper **hpp);
void helper_stop(struct helper *hp);	/* when it has nothing to do; or NULL */
void helper_post(struct helper *hp, struct task *tk);

#endif /* DAEMON_WORKER_H */
