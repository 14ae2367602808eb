/*
 * server.c - see server.h.
 *
 * Taking the address.  A lock file beside the socket (PATH.lock) says who may:
 * two daemons that start at once can't both find the other's socket stale.
 * Under it, a socket that answers belongs to a live daemon (of another
 * version, maybe); one that refuses is stale, and goes; anything that isn't a
 * socket is left alone, and refused.
 *
 * Out of descriptors.  accept(2) leaves the connection in the backlog, and the
 * event would fire for ever.  So one descriptor is kept in reserve: it is given
 * up to accept and close that connection (its peer learns at once), taken
 * again, and the listener pauses for a while.
 */
#include "config.h"

#include "daemon/server.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/worker.h"

#define BACKLOG 512
#define ACCEPTS_PER_TURN 64
#define PAUSE_MS 200

struct server {
	struct daemon *sv_daemon;
	char sv_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *sv_lock_path;
	int sv_lock_fd;
	int sv_fd;
	bool sv_bound;
	int sv_reserve_fd;
	struct event sv_accept;
	struct event sv_resume;
	bool sv_added;
};

char *
server_path(const struct settings *se)
{
	const char *env = getenv("VMEMD_SOCKET"), *dir;
	char *path = NULL;

	if (se->se_socket != NULL)
		return (strdup(se->se_socket));
	if (env != NULL && env[0] != '\0')
		return (strdup(env));
	dir = getenv("XDG_RUNTIME_DIR");
	if (dir == NULL || dir[0] == '\0')
		return (strdup("/run/vmemd/vmemd.sock"));
	if (asprintf(&path, "%s/vmemd.sock", dir) < 0)
		path = NULL;
	return (path);
}

/* ---- accepting ---------------------------------------------------------- */

static struct worker *
least_loaded(struct daemon *dm)
{
	struct worker *best = dm->dm_workers[0];
	unsigned int fewest = UINT32_MAX;

	for (unsigned int i = 0; i < dm->dm_worker_count; i++) {
		unsigned int n = atomic_load_explicit(
		    &dm->dm_workers[i]->wk_conn_count, memory_order_relaxed);

		if (n < fewest) {
			fewest = n;
			best = dm->dm_workers[i];
		}
	}
	return (best);
}

static void
welcome(struct server *sv, int fd)
{
	struct daemon *dm = sv->sv_daemon;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
		log_warn("a connection without credentials: %s",
		    strerror(errno));
		(void)close(fd);
		return;
	}
	if (worker_adopt(least_loaded(dm), fd, peer.uid, peer.pid,
		peer.uid == 0 || peer.uid == dm->dm_uid) != 0)
		log_warn("no memory for a connection");
}

static void
exhausted(struct server *sv)
{
	const struct timeval pause = { 0, PAUSE_MS * 1000 };
	int fd;

	(void)close(sv->sv_reserve_fd);
	fd = accept4(sv->sv_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		(void)close(fd);
	sv->sv_reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)event_del(&sv->sv_accept);
	(void)evtimer_add(&sv->sv_resume, &pause);
	log_warn("out of descriptors: a connection was refused");
}

static void
resume(evutil_socket_t fd, short what, void *arg)
{
	struct server *sv = arg;

	(void)fd;
	(void)what;
	(void)event_add(&sv->sv_accept, NULL);
}

static void
acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct server *sv = arg;

	(void)what;
	for (unsigned int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int peer = accept4(
		    fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (peer >= 0) {
			welcome(sv, peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			exhausted(sv);
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

/* ---- the address -------------------------------------------------------- */

static int
fail(char *why, const char *path, const char *what, int error)
{
	(void)snprintf(why, SETTINGS_WHY_MAX, "%.120s: %s: %s", path, what,
	    strerror(error));
	return (error);
}

/* /run/vmemd is ours to make; other directories have to be there. */
static void
make_directory(const char *path)
{
	if (strcmp(path, "/run/vmemd/vmemd.sock") == 0)
		(void)mkdir("/run/vmemd", 0755);
}

/* Is the file that is locked still the one of that name?  The daemon that had
 * the lock takes the name away before it lets go. */
static bool
lock_is_current(const struct server *sv)
{
	struct stat held, named;

	return (fstat(sv->sv_lock_fd, &held) == 0 &&
	    stat(sv->sv_lock_path, &named) == 0 &&
	    held.st_dev == named.st_dev && held.st_ino == named.st_ino);
}

static int
lock_address(struct server *sv, char *why)
{
	if (asprintf(&sv->sv_lock_path, "%s.lock", sv->sv_path) < 0) {
		sv->sv_lock_path = NULL;
		return (fail(why, sv->sv_path, "socket", ENOMEM));
	}
	for (;;) {
		sv->sv_lock_fd = open(
		    sv->sv_lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (sv->sv_lock_fd < 0)
			return (fail(why, sv->sv_lock_path, "socket", errno));
		if (flock(sv->sv_lock_fd, LOCK_EX | LOCK_NB) != 0) {
			(void)snprintf(why, SETTINGS_WHY_MAX,
			    "%.120s: a daemon is running there", sv->sv_path);
			return (EADDRINUSE);
		}
		if (lock_is_current(sv))
			return (0);
		(void)close(sv->sv_lock_fd);
	}
}

/* Is anybody there?  0: nobody, and nothing; else why we can't have it. */
static int
probe(struct server *sv, const struct sockaddr_un *sun, char *why)
{
	struct stat st;
	int fd, error;

	if (lstat(sv->sv_path, &st) != 0)
		return (errno == ENOENT ? 0 :
		    fail(why, sv->sv_path, "socket", errno));
	if (!S_ISSOCK(st.st_mode))
		return (fail(why, sv->sv_path, "isn't a socket", EEXIST));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return (fail(why, sv->sv_path, "socket", errno));
	error = connect(fd, (const struct sockaddr *)(const void *)sun,
	    sizeof(*sun)) == 0 ? 0 : errno;
	(void)close(fd);
	if (error == 0 || error == EAGAIN) {
		(void)snprintf(why, SETTINGS_WHY_MAX,
		    "%.120s: a daemon is running there", sv->sv_path);
		return (EADDRINUSE);
	}
	if (error != ECONNREFUSED)
		return (fail(why, sv->sv_path, "connect", error));
	log_info("%s: stale: taken over", sv->sv_path);
	return (unlink(sv->sv_path) == 0 ? 0 :
	    fail(why, sv->sv_path, "unlink", errno));
}

static int
set_group(struct server *sv, char *why)
{
	const char *name = sv->sv_daemon->dm_settings.se_group;
	struct group *gr;

	if (name == NULL)
		return (0);
	gr = getgrnam(name);
	if (gr == NULL) {
		(void)snprintf(why, SETTINGS_WHY_MAX,
		    "--group: no group %.64s", name);
		return (ENOENT);
	}
	if (chown(sv->sv_path, (uid_t)-1, gr->gr_gid) != 0)
		return (fail(why, sv->sv_path, "--group", errno));
	return (0);
}

static int
listen_at(struct server *sv, char *why)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	mode_t mask;
	int error;

	(void)memcpy(sun.sun_path, sv->sv_path, sizeof(sun.sun_path));
	make_directory(sv->sv_path);
	error = lock_address(sv, why);
	if (error == 0)
		error = probe(sv, &sun, why);
	if (error != 0)
		return (error);
	sv->sv_fd = socket(
	    AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sv->sv_fd < 0)
		return (fail(why, sv->sv_path, "socket", errno));
	/* 0660 from the first moment: between bind and chmod anybody could
	 * connect. */
	mask = umask(0117);
	error = bind(sv->sv_fd, (const struct sockaddr *)(const void *)&sun,
	    sizeof(sun)) == 0 ? 0 : errno;
	(void)umask(mask);
	if (error != 0)
		return (fail(why, sv->sv_path, "bind", error));
	sv->sv_bound = true;
	error = set_group(sv, why);
	if (error == 0 && listen(sv->sv_fd, BACKLOG) != 0)
		error = fail(why, sv->sv_path, "listen", errno);
	return (error);
}

/* ---- life --------------------------------------------------------------- */

int
server_start(struct daemon *dm, struct event_base *base, const char *path,
    struct server **svp, char why[SETTINGS_WHY_MAX])
{
	struct server *sv = calloc(1, sizeof(*sv));
	int error;

	if (sv == NULL)
		return (fail(why, path, "socket", ENOMEM));
	sv->sv_daemon = dm;
	sv->sv_fd = sv->sv_lock_fd = -1;
	sv->sv_reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (strlen(path) >= sizeof(sv->sv_path))
		error = fail(why, path, "--socket", ENAMETOOLONG);
	else {
		memcpy(sv->sv_path, path, strlen(path));
		error = listen_at(sv, why);
	}
	if (error != 0) {
		server_stop(sv);
		return (error);
	}
	(void)event_assign(&sv->sv_accept, base, sv->sv_fd,
	    EV_READ | EV_PERSIST, acceptable, sv);
	(void)evtimer_assign(&sv->sv_resume, base, resume, sv);
	(void)event_add(&sv->sv_accept, NULL);
	sv->sv_added = true;
	*svp = sv;
	return (0);
}

void
server_stop(struct server *sv)
{
	if (sv == NULL)
		return;
	if (sv->sv_added) {
		(void)event_del(&sv->sv_accept);
		(void)evtimer_del(&sv->sv_resume);
	}
	/* The socket goes while the lock is held: it is surely ours. */
	if (sv->sv_bound)
		(void)unlink(sv->sv_path);
	if (sv->sv_fd >= 0)
		(void)close(sv->sv_fd);
	if (sv->sv_bound)
		(void)unlink(sv->sv_lock_path);
	if (sv->sv_lock_fd >= 0)
		(void)close(sv->sv_lock_fd);
	if (sv->sv_reserve_fd >= 0)
		(void)close(sv->sv_reserve_fd);
	free(sv->sv_lock_path);
	free(sv);
}
