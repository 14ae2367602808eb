/*
 * conn.h - a connection, as the parts of libvmemclient see it.
 *
 * Two buffers and some counting:
 *
 *	cn_out	requests, ready to be written, [0, cn_out_len), of which
 *		cn_out_sent have been
 *	cn_in	what has come, [cn_in_start, cn_in_end); no LF is before
 *		cn_in_scanned, so that a long line isn't searched again and
 *		again as it grows
 *
 * Replies come in any order.  One that isn't waited for goes to the stash, a
 * list in the order of arrival; an id that was given up on (a call that timed
 * out) goes to cn_dropped, and its reply, when it comes, to nowhere.
 *
 *	requests queued = replies on their way (cn_wire) + stash + taken
 *
 * The first failure is kept in cn_error and returned from then on.
 */
#ifndef CLIENT_CONN_H
#define CLIENT_CONN_H

#include <stdint.h>

#include "vmemclient.h"

struct stashed {
	struct vmemclient_reply sh_reply;
	struct stashed *sh_next;
};

struct vmemclient {
	int cn_fd;
	int cn_error;
	uint64_t cn_next_id;
	unsigned int cn_wire;	/* replies on their way, dropped ones too */
	unsigned int cn_stash_count;
	struct stashed *cn_stash, **cn_stash_tail;
	uint64_t *cn_dropped;
	unsigned int cn_dropped_count, cn_dropped_room;
	char *cn_out;
	size_t cn_out_len, cn_out_sent, cn_out_room;
	char *cn_in;
	size_t cn_in_start, cn_in_end, cn_in_scanned, cn_in_room;
	vmemclient_notify_t *cn_notify;
	void *cn_notify_arg;
};

/* When a wait ends: clock_ns(), 0 for at once, UINT64_MAX for never. */
uint64_t conn_deadline(int timeout_ms);

/* Write what can be written and, if nothing whole is there to be read, wait
 * until some input has come.  ETIMEDOUT, or the connection's end. */
int conn_pump(struct vmemclient *vc, uint64_t deadline);

/* Write everything queued, reading meanwhile. */
int conn_drain(struct vmemclient *vc, uint64_t deadline);

/* A whole line that has come, with a NUL for its LF; NULL: none yet. */
char *conn_line(struct vmemclient *vc, size_t *lenp);

/* Make [*buf, *room) at least `want` bytes, by doubling.  ENOMEM. */
int conn_reserve(char **buf, size_t *room, size_t want);

/* What conn_message() found. */
enum message { MESSAGE_REPLY, MESSAGE_NOTIFICATION };

/* Understand a line: fill in the reply, or have the notification delivered.
 * EPROTO, ENOMEM. */
int conn_message(struct vmemclient *vc, const char *line, size_t len,
    struct vmemclient_reply *reply, enum message *kind);

#endif /* CLIENT_CONN_H */
