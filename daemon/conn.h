/*
 * conn.h - a connection: bytes in, requests in order, bytes out.
 *
 * A turn takes at most TURN_READ bytes from the socket and runs at most
 * TURN_REQUESTS requests; their replies gather in one buffer and leave in one
 * write.  What is left over waits in the worker's ready list for its next
 * turn, behind everybody else's.
 *
 *	socket --> frame (lines) --> request --> out --> socket
 *	                              |    ^
 *	                      a job --+----+-- a waiter
 *
 * One request at a time is under way, so that replies come in order: a sliced
 * method makes it the connection's job, and the lines behind it wait.  A
 * waiting allocation isn't a job: it answers when it is done.
 *
 * A peer that doesn't read fills `out`; above OUT_HIGH no more of its requests
 * are run, and none read, until it is below OUT_LOW; STALL_S without progress
 * closes it.
 *
 * The end.  A peer that has closed its side for writing has its requests
 * answered first.  conn_close() closes the descriptor at once; the record goes
 * when its job and waiters have ended and what it owns has been released,
 * which takes slices if there is much.
 */
#ifndef DAEMON_CONN_H
#define DAEMON_CONN_H

#include <event2/event_struct.h>
#include <jansson.h>
#include <sys/queue.h>

#include "daemon/buf.h"
#include "daemon/frame.h"
#include "daemon/registry.h"
#include "daemon/worker.h"

#define OUT_HIGH (256u * 1024)
#define OUT_LOW (64u * 1024)
#define STALL_S 30
#define BATCH_OUT_MAX (16u * 1024 * 1024)	/* replies of one batch */

#define CONN_FDS_MAX 4u			/* descriptors of a connection */

struct request;
struct soak_watch;

/* A batch: its members one after the other, its replies gathered. */
struct batch {
	json_t *ba_members;
	size_t ba_next;			/* the member to run next */
	unsigned int ba_running;	/* begun, and not answered */
	struct buf ba_out;
};

struct conn {			/* [W] all of it */
	TAILQ_ENTRY(conn) cn_link;
	TAILQ_ENTRY(conn) cn_ready_link;
	struct worker *cn_worker;
	struct client *cn_client;
	int cn_fd;			/* -1: closed */
	struct frame cn_frame;
	struct buf cn_out;
	struct event cn_read_event;
	struct event cn_write_event;
	struct event cn_timer;		/* stall, or the peer's full close */
	struct request *cn_job;
	struct batch *cn_batch;		/* with members still to run */
	unsigned int cn_requests;	/* under way: job, waiters, batches */
	LIST_HEAD(, soak_watch) cn_soaks; /* jobs that it started */
	int cn_fds[CONN_FDS_MAX];	/* that came, and weren't taken yet */
	unsigned int cn_fd_count;
	bool cn_ready;			/* in the worker's ready list */
	bool cn_parked;			/* the job is with the helper */
	bool cn_blocked;		/* the job waits for `out` to drain */
	bool cn_more;			/* there may be a line to run */
	bool cn_reading, cn_writing;	/* events that are added */
	bool cn_stalling;		/* cn_timer runs for a stall */
	bool cn_full;			/* went above OUT_HIGH */
	bool cn_eof;			/* nothing more will come */
	bool cn_dead;			/* nobody reads: replies are dropped */
	bool cn_closing;
};

int conn_create(struct worker *wk, int fd, struct client *cl);

/* Its turn: what it has to do, for a slice. */
void conn_turn(struct conn *cn);
/* The parked job may go on; or replies were added outside of a turn. */
void conn_resume(struct conn *cn);
void conn_wake(struct conn *cn);
void conn_drain(struct conn *cn);
void conn_close(struct conn *cn);

/* Where a reply outside of a batch goes. */
struct buf *conn_out(struct conn *cn);

/* The first descriptor that the peer has passed and nobody has taken: the
 * caller's from now on.  -1: there is none. */
int conn_take_fd(struct conn *cn);

/* May more be written now?  For streams. */
static inline bool
conn_writable(const struct conn *cn)
{
	return (cn->cn_dead || buf_len(&cn->cn_out) < OUT_HIGH);
}

/* A member has been answered; the batch goes out with its last. */
void conn_batch_done(struct conn *cn, struct batch *ba);

#endif /* DAEMON_CONN_H */
