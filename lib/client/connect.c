/*
 * connect.c - finding the daemon's socket, connecting, closing.
 */
#include "config.h"

#include "vmemclient.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/conn.h"
#include "util/clock.h"

#define SYSTEM_SOCKET "/run/vmemd/vmemd.sock"

/* A daemon whose backlog is full is asked again after this long. */
#define BACKLOG_RETRY_MS 5

static int
copy_path(const char *dir, const char *name, char *buf, size_t size)
{
	struct sockaddr_un sun;
	int n = snprintf(buf, size, "%s%s", dir, name);

	return (n < 0 || (size_t)n >= size ||
	    (size_t)n >= sizeof(sun.sun_path) ? ENAMETOOLONG : 0);
}

int
vmemclient_socket_path(const char *path, char *buf, size_t size)
{
	const char *env = getenv("VMEMD_SOCKET");
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (path != NULL)
		return (copy_path(path, "", buf, size));
	if (env != NULL && *env != '\0')
		return (copy_path(env, "", buf, size));
	if (runtime != NULL && *runtime != '\0' &&
	    copy_path(runtime, "/vmemd.sock", buf, size) == 0 &&
	    access(buf, F_OK) == 0)
		return (0);
	return (copy_path(SYSTEM_SOCKET, "", buf, size));
}

/*
 * A non-blocking connect(2) to a UNIX socket succeeds or fails at once, but for
 * a full backlog: EAGAIN, and nothing to poll for.
 */
static int
connect_until(int fd, const struct sockaddr_un *sun, uint64_t deadline)
{
	while (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return (errno);
		if (clock_ns() >= deadline)
			return (ETIMEDOUT);
		(void)poll(NULL, 0, BACKLOG_RETRY_MS);
	}
	return (0);
}

int
vmemclient_connect(const char *path, int timeout_ms, struct vmemclient **vcp)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int error, fd;

	error = vmemclient_socket_path(
	    path, sun.sun_path, sizeof(sun.sun_path));
	if (error != 0)
		return (error);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return (errno);
	error = connect_until(fd, &sun, conn_deadline(timeout_ms));
	if (error == 0)
		error = vmemclient_attach(fd, vcp);
	if (error != 0)
		(void)close(fd);
	return (error);
}

int
vmemclient_attach(int fd, struct vmemclient **vcp)
{
	struct vmemclient *vc;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return (errno);
	vc = calloc(1, sizeof(*vc));
	if (vc == NULL)
		return (ENOMEM);
	vc->cn_fd = fd;
	vc->cn_next_id = 1;
	vc->cn_stash_tail = &vc->cn_stash;
	*vcp = vc;
	return (0);
}

void
vmemclient_close(struct vmemclient *vc)
{
	struct stashed *sh;

	if (vc == NULL)
		return;
	while ((sh = vc->cn_stash) != NULL) {
		vc->cn_stash = sh->sh_next;
		vmemclient_reply_fini(&sh->sh_reply);
		free(sh);
	}
	(void)close(vc->cn_fd);
	free(vc->cn_dropped);
	free(vc->cn_out);
	free(vc->cn_in);
	free(vc);
}

int
vmemclient_fd(const struct vmemclient *vc)
{
	return (vc->cn_fd);
}

unsigned int
vmemclient_pending(const struct vmemclient *vc)
{
	return (vc->cn_wire - vc->cn_dropped_count + vc->cn_stash_count);
}

void
vmemclient_set_notify(
    struct vmemclient *vc, vmemclient_notify_t *fn, void *arg)
{
	vc->cn_notify = fn;
	vc->cn_notify_arg = arg;
}
