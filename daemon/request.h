/*
 * request.h - one request, from its JSON to its reply.
 *
 * A handler is a step function: called with checked arguments, it does its
 * work or a slice of it, and says what is to happen next.  It answers by
 * exactly one of: writing a value to what reply_begin() returns; reply_fail();
 * or neither, for an empty object.  All of an answer is written in the step
 * that returns STEP_DONE, because others may write to the same connection
 * between steps.
 */
#ifndef DAEMON_REQUEST_H
#define DAEMON_REQUEST_H

#include <jansson.h>

#include "daemon/buf.h"
#include "daemon/conn.h"
#include "daemon/jsonw.h"
#include "daemon/worker.h"
#include "proto/params.h"

enum step {
	STEP_DONE,	/* answered */
	STEP_AGAIN,	/* a slice is done: call rq_step again in a turn */
	STEP_BLOCKED,	/* a stream: call again when the peer has read */
	STEP_PARKED,	/* with the helper: call again after conn_resume() */
	STEP_WAITING	/* answers later by request_finish(); holds up nobody */
};

struct request {
	struct conn *rq_conn;
	struct worker *rq_worker;
	struct daemon *rq_daemon;
	const struct proto_method *rq_method;
	unsigned int rq_index;		/* of the method in the table */
	json_t *rq_json;		/* what rq_args point into */
	char *rq_id;			/* JSON text; NULL: a notification */
	struct batch *rq_batch;		/* or NULL */
	uint64_t rq_start_ns;
	uint64_t rq_until_ns;		/* the end of this slice */
	struct proto_arg rq_args[PROTO_PARAMS_MAX];

	enum step (*rq_step)(struct request *rq);
	/* Frees rq_state and lets go of what it holds; may be NULL.  Called
	 * once, after the answer, or instead of it when the peer is gone. */
	void (*rq_fini)(struct request *rq);
	void *rq_state;
	bool rq_must;			/* runs to its end, peer or no peer */

	struct buf *rq_out;		/* while an answer is written */
	size_t rq_mark;			/* where it begins in rq_out */
	enum { REPLY_NONE, REPLY_OPEN, REPLY_FAILED } rq_reply;
};

/* For conn.c: begin a request (json is borrowed), run a job's next step, drop
 * a job (false: it must run on). */
void request_begin(struct conn *cn, struct batch *ba, json_t *json);
void request_step(struct request *rq);
bool request_abort(struct request *rq);
/* An error for what never became a request; json: for its id, or NULL. */
void request_refuse(struct buf *out, const json_t *json, enum proto_error code,
    const char *why);

/* A STEP_WAITING request has been answered. */
void request_finish(struct request *rq);

/* Bind the handlers to the rows of the table; every one that isn't PM_LATER
 * has one (VERIFY). */
void request_bind(void);

/* ---- for handlers -------------------------------------------------------- */

struct buf *reply_begin(struct request *rq);

/* Always STEP_DONE.  field: the parameter to blame, or NULL. */
enum step reply_fail(struct request *rq, enum proto_error code,
    const char *field, const char *fmt, ...)
    __attribute__((__format__(__printf__, 4, 5)));
/* The same with a member of its own in `data`: the address that is at fault. */
enum step reply_fail_addr(struct request *rq, enum proto_error code,
    vmem_addr_t addr, const char *fmt, ...)
    __attribute__((__format__(__printf__, 4, 5)));

/* Is the slice over? */
bool request_slice_over(const struct request *rq);

/* The caller, for the registry. */
struct caller request_caller(const struct request *rq);

/*
 * The arena that argument `index` names, with a reference, to be put by
 * reg_arena_put(); NULL: there is none, and the request has failed.
 */
struct arena *request_arena(struct request *rq, unsigned int index);

typedef enum step handler_fn(struct request *rq);

handler_fn cmd_ping, cmd_info, cmd_methods, cmd_stats, cmd_set, cmd_arena_list,
    cmd_arena_info, cmd_arena_create, cmd_arena_destroy, cmd_alloc, cmd_free,
    cmd_advise, cmd_touch, cmd_write, cmd_read, cmd_fill, cmd_verify,
    cmd_fragment, cmd_reap, cmd_check, cmd_dump, cmd_cancel, cmd_clients,
    cmd_shutdown, cmd_record_start, cmd_record_stop,
    cmd_soak_start, cmd_soak_status, cmd_soak_stop;

#endif /* DAEMON_REQUEST_H */
