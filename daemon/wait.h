/*
 * wait.h - allocations that wait for space.
 *
 * A waiter is libvmem's waiting request and who it is for.  It ends in exactly
 * one way, by whoever gets it out of libvmem's queue:
 *
 *   - it is granted, in the thread that frees: a message to its worker;
 *   - vmem_cancel() succeeds, for one caller only: its worker, because time is
 *     up or the connection ends; or another thread (`cancel`, the arena's
 *     destruction), which sends the worker a message with the reason.
 *
 * So its worker hears of the end once, and until then the waiter stays: it has
 * a reference for the worker and one for each thread that is cancelling it.
 */
#ifndef DAEMON_WAIT_H
#define DAEMON_WAIT_H

#include <vmem.h>

#include "daemon/conn.h"
#include "daemon/request.h"

#define WAITS_MAX 16384u	/* of one connection */

struct waiter {
	TAILQ_ENTRY(waiter) wt_link;		/* [R] all */
	TAILQ_ENTRY(waiter) wt_client_link;	/* [R] its client's */
	struct client *wt_client;		/* [I] */
	struct arena *wt_arena;			/* [I] */
	struct worker *wt_worker;		/* [I] */
	struct request *wt_request;		/* [W] */
	const char *wt_id;			/* [I] the request's, or NULL */
	unsigned int wt_refs;			/* [R] */
	struct vmem_request wt_vr;
	struct event wt_timer;			/* [W] */
	bool wt_timed;				/* [I] */
	struct msg wt_msg;
	enum proto_error wt_error;		/* with the message */
	/* [W] The end: PE_OK: wt_vr's addresses have been granted. */
	void (*wt_done)(struct waiter *wt, enum proto_error error);
};

/* For rq, into ar; the caller fills wt_vr but its vr_done and vr_arg. */
struct waiter *wait_new(struct request *rq, struct arena *ar,
    void (*done)(struct waiter *wt, enum proto_error error));
/* 0: granted at once; EINPROGRESS: wt_done will be called, after timeout_ms
 * (-1: never) at the latest; EINVAL, ENOMEM as vmem_submit(); EBUSY: WAITS_MAX.
 * But for EINPROGRESS the caller then drops it. */
int wait_begin(struct waiter *wt, int64_t timeout_ms);
void wait_drop(struct waiter *wt);

/* All of a connection's, by its worker. */
void wait_cancel_client(struct conn *cn, enum proto_error why);
/* The one with that id (JSON text), from any thread.  0, or ENOENT. */
int wait_cancel(struct daemon *dm, uint64_t client, const char *id,
    enum proto_error why);
/* Some of an arena's, from any thread; the number of those found. */
size_t wait_cancel_arena(
    struct daemon *dm, struct arena *ar, enum proto_error why);

#endif /* DAEMON_WAIT_H */
