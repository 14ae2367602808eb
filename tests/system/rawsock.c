/*
 * rawsock.c - bytes to a socket and lines from it, as they are: for tests that
 * send what no client of ours would.
 *
 *	rawsock SOCKET COUNT
 *
 * Sends standard input, prints what comes back, and ends once COUNT lines have
 * come and standard input is at its end; with COUNT 0 right after sending.  1
 * if the server closes first.
 */
#include "config.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int
connect_to(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path))
		errx(2, "%s: too long", path);
	memcpy(sun.sun_path, path, strlen(path));
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		err(2, "socket");
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		err(2, "%s", path);
	return (fd);
}

static void
write_all(int fd, const char *buf, size_t len)
{
	ssize_t n;

	for (; len > 0; buf += n, len -= (size_t)n)
		if ((n = write(fd, buf, len)) == -1)
			err(1, "write");
}

/* Passes on what one descriptor has; false at its end. */
static int
pass(int from, int to, unsigned long *linesp)
{
	char buf[65536];
	ssize_t n = read(from, buf, sizeof(buf));

	if (n == -1)
		err(1, "read");
	for (ssize_t i = 0; i < n; i++)
		*linesp += buf[i] == '\n';
	write_all(to, buf, (size_t)n);
	return (n != 0);
}

int
main(int argc, char **argv)
{
	struct pollfd pfd[2];
	unsigned long want, sent = 0, got = 0;

	if (argc != 3)
		errx(2, "usage: rawsock SOCKET COUNT");
	want = strtoul(argv[2], NULL, 10);
	pfd[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	pfd[1] = (struct pollfd){ .fd = connect_to(argv[1]),
		.events = POLLIN };
	while (pfd[0].fd != -1 || got < want) {
		if (poll(pfd, 2, -1) == -1)
			err(2, "poll");
		if (pfd[1].revents != 0 &&
		    !pass(pfd[1].fd, STDOUT_FILENO, &got))
			errx(1, "closed by the server after %lu lines", got);
		if (pfd[0].revents != 0 &&
		    !pass(STDIN_FILENO, pfd[1].fd, &sent))
			pfd[0].fd = -1;
	}
	return (0);
}
