/*
 * passing.c - requests that take a descriptor along (SCM_RIGHTS).
 *
 * It goes with the first byte of the request's line: everything before has
 * been written by then, so that the daemon gets it when it reads that line.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "client/conn.h"

/* The first bytes of what is queued, and the descriptor with them. */
static int
write_first(struct vmemclient *vc, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { vc->cn_out + vc->cn_out_sent,
		vc->cn_out_len - vc->cn_out_sent };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room) };
	struct cmsghdr *cm;
	ssize_t n;

	memset(&control, 0, sizeof(control));
	cm = CMSG_FIRSTHDR(&mh);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &fd, sizeof(int));
	do
		n = sendmsg(vc->cn_fd, &mh, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return (errno == EPIPE ? ECONNRESET : errno);
	vc->cn_out_sent += (size_t)n;
	return (0);
}

int
vmemclient_call_fd(struct vmemclient *vc, const char *method,
    const char *params, int fd, int timeout_ms,
    struct vmemclient_reply *reply)
{
	uint64_t deadline = conn_deadline(timeout_ms), id;
	int error = conn_drain(vc, deadline);

	if (error == 0)
		error = vmemclient_send(vc, method, params, &id);
	/* Drained, so that there is room: a socket takes a line at once. */
	if (error == 0)
		error = write_first(vc, fd);
	if (error == 0)
		error = vmemclient_receive_id(vc, id, timeout_ms, reply);
	return (error);
}
