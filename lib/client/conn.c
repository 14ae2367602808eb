/*
 * conn.c - bytes in and out, and requests.
 *
 * The socket never blocks; waiting is poll(2)'s.  Whoever waits to write also
 * reads what comes: a daemon that has stopped reading, because its replies
 * aren't taken, would otherwise wait for us as we wait for it.
 */
#include "config.h"

#include "client/conn.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "client/scan.h"
#include "util/assert.h"
#include "util/clock.h"

#define NS_PER_MS 1000000u
#define READ_SIZE 65536u
/* Queued requests are written when this much has gathered: some 200 of them,
 * so that the system call costs little of each. */
#define WRITE_SIZE 16384u

uint64_t
conn_deadline(int timeout_ms)
{
	if (timeout_ms < 0)
		return (UINT64_MAX);
	if (timeout_ms == 0)
		return (0);
	return (clock_ns() + (uint64_t)timeout_ms * NS_PER_MS);
}

int
conn_reserve(char **buf, size_t *room, size_t want)
{
	size_t size = *room == 0 ? 4096 : *room;
	char *grown;

	if (want <= *room)
		return (0);
	while (size < want)
		if (__builtin_mul_overflow(size, (size_t)2, &size))
			return (ENOMEM);
	grown = realloc(*buf, size);
	if (grown == NULL)
		return (ENOMEM);
	*buf = grown;
	*room = size;
	return (0);
}

static int
broken(struct vmemclient *vc, int error)
{
	vc->cn_error = error;
	return (error);
}

/* Write what the socket takes. */
static int
write_some(struct vmemclient *vc)
{
	ssize_t n;

	while (vc->cn_out_sent < vc->cn_out_len) {
		n = send(vc->cn_fd, vc->cn_out + vc->cn_out_sent,
		    vc->cn_out_len - vc->cn_out_sent, MSG_NOSIGNAL);
		if (n >= 0)
			vc->cn_out_sent += (size_t)n;
		else if (errno == EAGAIN)
			return (0);
		else if (errno != EINTR)
			return (broken(vc,
			    errno == EPIPE ? ECONNRESET : errno));
	}
	vc->cn_out_sent = vc->cn_out_len = 0;
	return (0);
}

/* Read once; *gotp: whether something came. */
static int
read_some(struct vmemclient *vc, bool *gotp)
{
	ssize_t n;

	*gotp = false;
	if (vc->cn_in_start > 0) {
		memmove(vc->cn_in, vc->cn_in + vc->cn_in_start,
		    vc->cn_in_end - vc->cn_in_start);
		vc->cn_in_end -= vc->cn_in_start;
		vc->cn_in_scanned -= vc->cn_in_start;
		vc->cn_in_start = 0;
	}
	if (conn_reserve(&vc->cn_in, &vc->cn_in_room,
		vc->cn_in_end + READ_SIZE) != 0)
		return (broken(vc, ENOMEM));
	do {
		n = recv(vc->cn_fd, vc->cn_in + vc->cn_in_end,
		    vc->cn_in_room - vc->cn_in_end, 0);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return (broken(vc, ECONNRESET));
	if (n < 0)
		return (errno == EAGAIN ? 0 : broken(vc, errno));
	vc->cn_in_end += (size_t)n;
	*gotp = true;
	return (0);
}

/* Milliseconds for poll(2), rounded up: a wait must not end early. */
static int
poll_timeout(uint64_t deadline)
{
	uint64_t now, ms;

	if (deadline == UINT64_MAX)
		return (-1);
	if (deadline == 0)
		return (0);
	now = clock_ns();
	if (now >= deadline)
		return (0);
	ms = (deadline - now + NS_PER_MS - 1) / NS_PER_MS;
	return (ms > INT32_MAX ? INT32_MAX : (int)ms);
}

/* Wait for input, and for room if there is output. */
static int
wait_ready(struct vmemclient *vc, uint64_t deadline)
{
	struct pollfd pfd = { .fd = vc->cn_fd, .events = POLLIN };
	int timeout = poll_timeout(deadline), n;

	if (vc->cn_out_len > 0)
		pfd.events |= POLLOUT;
	n = poll(&pfd, 1, timeout);
	if (n < 0 && errno != EINTR)
		return (broken(vc, errno));
	if (n == 0 && (timeout == 0 || poll_timeout(deadline) == 0))
		return (ETIMEDOUT);
	return (0);
}

int
conn_pump(struct vmemclient *vc, uint64_t deadline)
{
	bool got;
	int error;

	for (;;) {
		if (vc->cn_error != 0)
			return (vc->cn_error);
		error = vc->cn_out_len > 0 ? write_some(vc) : 0;
		/* Its last words may be waiting in the socket. */
		if (error != 0 && error != ECONNRESET)
			return (error);
		error = read_some(vc, &got);
		if (error != 0 || got)
			return (error);
		error = wait_ready(vc, deadline);
		if (error != 0)
			return (error);
	}
}

int
conn_drain(struct vmemclient *vc, uint64_t deadline)
{
	bool got;
	int error;

	while (vc->cn_error == 0 && vc->cn_out_len > 0) {
		error = write_some(vc);
		if (error != 0 || vc->cn_out_len == 0)
			return (error);
		error = wait_ready(vc, deadline);
		if (error == 0)
			error = read_some(vc, &got);
		if (error != 0)
			return (error);
	}
	return (vc->cn_error);
}

char *
conn_line(struct vmemclient *vc, size_t *lenp)
{
	char *line = vc->cn_in + vc->cn_in_start, *lf;

	if (vc->cn_in_scanned == vc->cn_in_end)
		return (NULL);
	lf = memchr(vc->cn_in + vc->cn_in_scanned, '\n',
	    vc->cn_in_end - vc->cn_in_scanned);
	if (lf == NULL) {
		vc->cn_in_scanned = vc->cn_in_end;
		if (vc->cn_in_end - vc->cn_in_start > VMEMCLIENT_LINE_MAX)
			(void)broken(vc, EPROTO);
		return (NULL);
	}
	*lf = '\0';
	*lenp = (size_t)(lf - line);
	vc->cn_in_start = (size_t)(lf - vc->cn_in) + 1;
	vc->cn_in_scanned = vc->cn_in_start;
	ASSERT(vc->cn_in_start <= vc->cn_in_end);
	return (line);
}

/* ---- requests ----------------------------------------------------------- */

/* A method's name as a JSON string: what it may be is the daemon's to say. */
static char *
put_name(char *to, const char *name)
{
	for (; *name != '\0'; name++) {
		unsigned char c = (unsigned char)*name;

		if (c < 0x20 || c == '"' || c == '\\')
			to += sprintf(to, "\\u%04x", c);
		else
			*to++ = (char)c;
	}
	return (to);
}

/* One line: white space between tokens may be line feeds. */
static char *
put_params(char *to, const char *params, size_t len)
{
	char *lf = to, *end = to + len;

	memcpy(to, params, len);
	while ((lf = memchr(lf, '\n', (size_t)(end - lf))) != NULL)
		*lf = ' ';
	return (end);
}

int
vmemclient_send(struct vmemclient *vc, const char *method, const char *params,
    uint64_t *idp)
{
	size_t len;
	char *to;

	if (params == NULL)
		params = "{}";
	if (vc->cn_error != 0)
		return (vc->cn_error);
	if (vmemclient_json_fault(params) != NULL)
		return (EINVAL);
	if (vc->cn_wire + vc->cn_stash_count >= VMEMCLIENT_PENDING_MAX)
		return (EAGAIN);
	len = strlen(params);
	if (conn_reserve(&vc->cn_out, &vc->cn_out_room, vc->cn_out_len +
		sizeof("{\"jsonrpc\":\"2.0\",\"id\":18446744073709551615,"
		       "\"method\":\"\",\"params\":}\n") +
		6 * strlen(method) + len) != 0)
		return (broken(vc, ENOMEM));
	to = vc->cn_out + vc->cn_out_len;
	to += sprintf(to, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64
	    ",\"method\":\"", vc->cn_next_id);
	to = put_name(to, method);
	to = stpcpy(to, "\",\"params\":");
	to = put_params(to, params, len);
	to = stpcpy(to, "}\n");
	vc->cn_out_len = (size_t)(to - vc->cn_out);
	*idp = vc->cn_next_id++;
	vc->cn_wire++;
	/* A failure here is that of the next wait: replies may have come. */
	if (vc->cn_out_len - vc->cn_out_sent >= WRITE_SIZE)
		(void)write_some(vc);
	return (0);
}

int
vmemclient_flush(struct vmemclient *vc, int timeout_ms)
{
	return (conn_drain(vc, conn_deadline(timeout_ms)));
}

const char *
vmemclient_json_fault(const char *text)
{
	const char *end = text + strlen(text), *fault = NULL, *p;

	p = scan_value(text, end, NULL, &fault);
	if (p == NULL)
		return (fault);
	while (p < end && strchr(" \t\r\n", *p) != NULL)
		p++;
	return (p == end ? NULL : p);
}
