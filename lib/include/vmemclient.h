/*
 * vmemclient.h - libvmemclient, a client of vmemd's protocol.
 *
 * Copyright (c) 2026, the vmemd authors.  SPDX-License-Identifier: BSD-2-Clause
 *
 * The tour.  A connection is made, called, and closed; replies are kept in a
 * struct that is reused from call to call:
 *
 *	struct vmemclient *vc;
 *	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
 *	int error;
 *
 *	error = vmemclient_connect(NULL, -1, &vc);
 *	if (error != 0)
 *		errx(1, "no daemon: %s", strerror(error));
 *	error = vmemclient_call(vc, "alloc", "{\"size\":\"64K\"}", -1, &reply);
 *	if (error != 0)
 *		errx(1, "%s", strerror(error));
 *	if (reply.code != 0)
 *		errx(1, "%s: %s", reply.name, reply.message);
 *	puts(reply.result);
 *	vmemclient_reply_fini(&reply);
 *	vmemclient_close(vc);
 *
 * which prints {"addr":"0x…","size":65536}.  `error` is about the connection,
 * reply.code about what was asked of the daemon.
 *
 * Many requests can be under way at once: vmemclient_send() queues one and
 * gives its id, vmemclient_receive() takes the next reply, whichever it is of,
 * vmemclient_receive_id() that of one request and keeps the others for later.
 * Sending never blocks for good, however slow the reader at the other end:
 * while output can't be written, input is taken in.
 *
 * Conventions:
 *
 *  - Parameters and results are JSON texts; which JSON library to use, if any,
 *    is the caller's choice.
 *  - Functions return 0 or a positive errno.  What the daemon refuses is no
 *    such error: the call worked, and reply.code says what was refused.
 *    ECONNRESET (the daemon broke off), EPROTO (what came isn't the protocol)
 *    and ENOMEM end the connection: all that can be done is to close it.
 *    ETIMEDOUT doesn't.
 *  - Timeouts are in milliseconds; below 0: wait for ever; 0: don't wait.
 *  - Blocking I/O; signals are no errors (the wait goes on).  SIGPIPE is not
 *    raised.
 *  - Threads: the library has no global state.  A connection is used by one
 *    thread at a time; have one each.
 */
#ifndef VMEMCLIENT_H
#define VMEMCLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define VMEMCLIENT_EXPORT __attribute__((__visibility__("default")))
#define VMEMCLIENT_CHECK __attribute__((__warn_unused_result__))
#else
#define VMEMCLIENT_EXPORT
#define VMEMCLIENT_CHECK
#endif

struct vmemclient;

/* Requests sent and not yet answered, at most: EAGAIN beyond. */
#define VMEMCLIENT_PENDING_MAX 65536
/* Bytes of one line from the daemon, at most: EPROTO beyond. */
#define VMEMCLIENT_LINE_MAX (64u * 1024 * 1024)

/*
 * A reply.  All texts are NUL-terminated and the reply's own, until it is
 * filled in again or given to vmemclient_reply_fini(); those that don't apply
 * are NULL.  Of `result` and `code` exactly one is set.
 */
struct vmemclient_reply {
	uint64_t id;		/* of the request; 0: the daemon couldn't tell,
				 * since it couldn't parse what was sent */
	const char *result;	/* JSON text */
	int code;		/* 0, or the error's code (protocol.md) */
	const char *name;	/* "no_space", ... */
	const char *errno_name; /* "ENOMEM", ... */
	const char *message;	/* for people */
	const char *field;	/* the parameter to blame */
	const char *data;	/* the error's `data`, JSON text */
	const char *error;	/* the whole error object, JSON text */
	char *own;		/* the library's */
	size_t own_size;
	char *own_error;
};

#define VMEMCLIENT_REPLY_INIT                                                \
	{ 0, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL }

/*
 * The socket to use: `path` if not NULL, else $VMEMD_SOCKET, else whichever
 * exists of $XDG_RUNTIME_DIR/vmemd.sock and /run/vmemd/vmemd.sock (else the
 * second).  ENAMETOOLONG: it doesn't fit in a socket address (or in `size`).
 */
VMEMCLIENT_EXPORT int vmemclient_socket_path(
    const char *path, char *buf, size_t size) VMEMCLIENT_CHECK;

/*
 * Connect, as vmemclient_socket_path() says.  ENOENT, ECONNREFUSED: there is no
 * daemon; EACCES; ENAMETOOLONG; ETIMEDOUT; ENOMEM, EMFILE.
 */
VMEMCLIENT_EXPORT int vmemclient_connect(const char *path, int timeout_ms,
    struct vmemclient **vcp) VMEMCLIENT_CHECK;

/* Take over a connected stream socket; on success it is closed with the
 * connection. */
VMEMCLIENT_EXPORT int vmemclient_attach(
    int fd, struct vmemclient **vcp) VMEMCLIENT_CHECK;

/* Close.  What was allocated without `keep` is freed by the daemon.  NULL is
 * ignored. */
VMEMCLIENT_EXPORT void vmemclient_close(struct vmemclient *vc);

/* The connection's descriptor, for poll(2); it is non-blocking. */
VMEMCLIENT_EXPORT int vmemclient_fd(const struct vmemclient *vc);

/*
 * Call a method and wait for its reply.  params: a JSON object, NULL for {}.
 * ETIMEDOUT: no reply in time; whether the daemon did what was asked is not
 * known, and a reply that comes later is dropped.  EINVAL: params isn't JSON.
 * Otherwise as vmemclient_send() and vmemclient_receive().
 */
VMEMCLIENT_EXPORT int vmemclient_call(struct vmemclient *vc, const char *method,
    const char *params, int timeout_ms,
    struct vmemclient_reply *reply) VMEMCLIENT_CHECK;

/* The same with a descriptor for the daemon, which gets a copy (`record.start`
 * takes one).  What is queued is sent before. */
VMEMCLIENT_EXPORT int vmemclient_call_fd(struct vmemclient *vc,
    const char *method, const char *params, int fd, int timeout_ms,
    struct vmemclient_reply *reply) VMEMCLIENT_CHECK;

/*
 * Queue a request, and give its id (from 1, one up each time) in *idp.  It is
 * sent when enough has gathered, by vmemclient_flush(), or by whatever waits
 * for a reply.  EINVAL: params isn't JSON (how it is meant is the daemon's to
 * judge).  EAGAIN: VMEMCLIENT_PENDING_MAX are under way.
 */
VMEMCLIENT_EXPORT int vmemclient_send(struct vmemclient *vc, const char *method,
    const char *params, uint64_t *idp) VMEMCLIENT_CHECK;

/* Send what is queued.  ETIMEDOUT: part of it still is. */
VMEMCLIENT_EXPORT int vmemclient_flush(
    struct vmemclient *vc, int timeout_ms) VMEMCLIENT_CHECK;

/*
 * Take a reply: the next that comes, or that of request `id` (or one that the
 * daemon couldn't attribute, with id 0).  ENOENT: nothing is under way, or not
 * that request.  ETIMEDOUT: none in time; it may be waited for again.
 */
VMEMCLIENT_EXPORT int vmemclient_receive(struct vmemclient *vc, int timeout_ms,
    struct vmemclient_reply *reply) VMEMCLIENT_CHECK;
VMEMCLIENT_EXPORT int vmemclient_receive_id(struct vmemclient *vc, uint64_t id,
    int timeout_ms, struct vmemclient_reply *reply) VMEMCLIENT_CHECK;

/* Requests sent whose replies haven't been taken. */
VMEMCLIENT_EXPORT unsigned int vmemclient_pending(const struct vmemclient *vc);

/*
 * Have fn called for each notification (`chunk`, `progress`, `event`), with its
 * params as JSON text (valid during the call), from within the functions that
 * wait.  It must not use the connection.  NULL: they are dropped.
 */
typedef void vmemclient_notify_t(
    void *arg, const char *method, const char *params);
VMEMCLIENT_EXPORT void vmemclient_set_notify(
    struct vmemclient *vc, vmemclient_notify_t *fn, void *arg);

/* Frees what a reply holds, and makes it as initialised. */
VMEMCLIENT_EXPORT void vmemclient_reply_fini(struct vmemclient_reply *reply);

/* NULL if text is one JSON value, else where it stops being one. */
VMEMCLIENT_EXPORT const char *vmemclient_json_fault(const char *text);

#ifdef __cplusplus
}
#endif

#endif /* VMEMCLIENT_H */
