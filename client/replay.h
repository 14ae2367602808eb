/*
 * replay.h - `vmemctl replay TRACE`, and what its parts share.
 *
 *	replay.c	the command: what is asked, the trace and the arena,
 *			the clients' threads, the verdict
 *	replay_client.c	one client: its operations, pipelined, and what is
 *			verified of each
 *	replay_report.c	what is told: progress, the report, JSON
 *
 * N clients are N threads with a connection each; id i is client i mod N's,
 * whose state nobody else touches.  Shared are the shadow map (shadow.h), the
 * gate that keeps the clients together (gate.h), counters, and findings.
 */
#ifndef CLIENT_REPLAY_H
#define CLIENT_REPLAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "client/command.h"
#include "client/gate.h"
#include "client/shadow.h"
#include "trace/pieces.h"
#include "trace/trace.h"
#include "util/hist.h"

extern const struct proto_param replay_params[];
extern const char replay_help[];
command_run cmd_replay;

/* ---- inside ------------------------------------------------------------- */

#define REPLAY_NONE UINT32_MAX		/* no operation */
#define REPLAY_FINDINGS_MAX 20		/* that are told; all are counted */

enum replay_verify { VERIFY_OFF, VERIFY_OVERLAP, VERIFY_PATTERN };

enum replay_state {
	ID_NONE = 0,		/* its allocation hasn't come yet */
	ID_ASKED,		/* the request is under way */
	ID_LIVE,
	ID_GONE,		/* freed */
	ID_REFUSED,		/* the daemon had no space */
	ID_SKIPPED		/* too large to be asked for */
};

/* An id of the trace; its client's. */
struct replay_id {
	uint64_t ri_addr;
	uint64_t ri_size;	/* as given: rounded up */
	struct pieces *ri_cut;	/* what is left, once part was freed */
	uint32_t ri_op;		/* its allocation's index */
	uint32_t ri_first;	/* operations put off until it is answered */
	uint32_t ri_last;
	uint8_t ri_state;
	bool ri_unfilled;	/* its pattern couldn't be written */
};

/* Counted by each client, and added up. */
struct replay_counts {
	uint64_t rc_allocs, rc_frees, rc_parts;	/* granted, done */
	uint64_t rc_refused;	/* allocations: no space, frames, quota */
	uint64_t rc_unfilled;		/* patterns: no frames */
	uint64_t rc_skipped;		/* allocations: larger than the arena */
	uint64_t rc_idle;		/* operations on ids never granted */
	uint64_t rc_kept;		/* partial frees below the quantum */
	uint64_t rc_overlaps, rc_corrupt, rc_bad_frees;
	uint64_t rc_low, rc_high;	/* lowest start, highest last byte */
};

struct replay;

struct replay_client {
	struct replay *cl_replay;
	unsigned int cl_index;
	struct vmemclient *cl_conn;
	pthread_t cl_thread;
	enum ctl_exit cl_code;		/* how it ended; told already */
	struct replay_counts cl_counts;
	struct hist cl_alloc_ns, cl_free_ns;
	_Atomic uint32_t cl_done;	/* operations, for the progress */
	_Atomic uint32_t cl_settled;	/* all of its before are answered */
};

struct replay {
	/* As asked for. */
	struct ctl *rp_ctl;
	const char *rp_path;
	const char *rp_arena;
	const char *rp_fit;		/* or NULL */
	bool rp_recorded;
	bool rp_progress;
	enum replay_verify rp_verify;
	uint64_t rp_max_fails;
	unsigned int rp_clients_count;
	/* The trace, and its ids' and operations' state. */
	struct trace *rp_trace;
	uint32_t rp_nops;		/* to replay */
	struct replay_id *rp_ids;	/* by id */
	uint32_t *rp_put_off;		/* by operation: the next put off */
	uint64_t *rp_trace_live;	/* by operation: bytes live after it */
	uint64_t rp_trace_peak;		/* the most of those */
	uint64_t rp_slack;		/* bytes that are few beside that */
	/* The arena. */
	char rp_arena_json[600];	/* "\"heap\"" */
	uint64_t rp_quantum;
	uint64_t rp_capacity;		/* larger ranges can never be had */
	const char *rp_capacity_why;
	uint64_t rp_page;
	/* The run. */
	struct replay_client *rp_clients;
	struct shadow *rp_shadow;	/* NULL: verify off */
	struct gate *rp_gate;
	unsigned int rp_window;		/* requests under way, a client */
	uint64_t rp_start_ns;
	atomic_int rp_stop;		/* nothing new is to be begun */
	_Atomic uint64_t rp_live, rp_peak;	/* bytes, rounded */
	_Atomic uint64_t rp_claimed;	/* asked for, or not yet surely freed */
	pthread_mutex_t rp_lock;	/* findings, rp_running */
	pthread_cond_t rp_ended;
	unsigned int rp_running;	/* clients */
	char rp_findings[REPLAY_FINDINGS_MAX][256];
	unsigned int rp_findings_count;
	/* The outcome. */
	struct replay_counts rp_counts;
	struct hist rp_alloc_ns, rp_free_ns;
	double rp_seconds;
	uint64_t rp_inuse_before, rp_inuse_after;
	uint64_t rp_violations;
	bool rp_checked;		/* the end could be inspected */
};

/* A client's thread: replays what is its own, frees what is left. */
void *replay_client_main(void *client);

/* Note what is wrong: a line, naming the operations. */
void replay_finding(struct replay *rp, const char *fmt, ...)
    __attribute__((__format__(__printf__, 2, 3)));

/* One line on standard error, written over and over; `last` ends it. */
void replay_progress(struct replay *rp, bool last);

/* The report; `code` is the verdict. */
void replay_report(struct replay *rp, enum ctl_exit code);

#endif /* CLIENT_REPLAY_H */
