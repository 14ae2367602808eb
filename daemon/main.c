/*
 * main.c - vmemd: options, start, signals, the end.
 *
 * Start: settings, signals, reservation and pager, arenas, workers, socket,
 * and only then readiness (the notification, or the parent's exit).  The end
 * is the same backwards: listener, connections (drained), workers, arenas,
 * log.  Signals are this thread's; every other one has them blocked.
 */
#include "config.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/counters.h"
#include "daemon/daemon.h"
#include "daemon/layout.h"
#include "daemon/log.h"
#include "daemon/plant.h"
#include "daemon/request.h"
#include "daemon/server.h"
#include "daemon/soak.h"
#include "daemon/worker.h"
#include "kmem/direct.h"
#include "util/clock.h"

#define EXIT_BROKEN 5
#define THREADS_DEFAULT_MAX 4

static struct event_base *main_base;
static struct server *main_server;

/* ---- signals ------------------------------------------------------------ */

static void
begin_drain(struct daemon *dm, const char *why)
{
	if (atomic_exchange(&dm->dm_draining, true) && main_server == NULL)
		return;
	log_info("%s: draining", why);
	server_stop(main_server);
	main_server = NULL;
	soak_end_all();
#ifdef VMEM_FAULT_INJECTION
	plant_set(PLANT_NONE);
#endif
	for (unsigned int i = 0; i < dm->dm_worker_count; i++)
		worker_drain(dm->dm_workers[i]);
	(void)event_base_loopbreak(main_base);
}

static void
on_terminate(evutil_socket_t sig, short what, void *arg)
{
	(void)what;
	begin_drain(arg, sig == SIGINT ? "SIGINT" : "SIGTERM");
}

static void
setting_changed(void *arg, const char *name, bool reloadable)
{
	(void)arg;
	if (reloadable)
		log_info("%s: changed", name);
	else
		log_warn("%s: can't be changed without a restart", name);
}

/* What may change while running, from settings to where it is used. */
static void
apply_settings(struct daemon *dm, const struct settings *se)
{
	struct registry *rg = &dm->dm_registry;

	log_set_level((enum log_level)se->se_log_level);
	atomic_store(&rg->rg_quota_bytes, se->se_quota_bytes);
	atomic_store(&rg->rg_quota_segments, se->se_quota_segments);
	direct_switch(dm->dm_backing.bk_direct, se->se_direct_map);
	if (vmpager_set_commit(dm->dm_backing.bk_pager,
		(enum vmpager_commit)se->se_commit) != 0)
		log_warn("commit: what is registered exceeds frames and swap");
	else
		atomic_store(&dm->dm_commit, se->se_commit);
}

static void
on_hangup(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *dm = arg;
	struct settings se;
	char why[SETTINGS_WHY_MAX];

	(void)sig;
	(void)what;
	if (settings_reload(&se, &dm->dm_settings, why) != 0)
		log_error("SIGHUP: nothing changed: %s", why);
	else {
		settings_diff(&dm->dm_settings, &se, setting_changed, NULL);
		apply_settings(dm, &se);
		/* Only these: workers read the others without a lock. */
		dm->dm_settings.se_log_level = se.se_log_level;
		dm->dm_settings.se_quota_bytes = se.se_quota_bytes;
		dm->dm_settings.se_quota_segments = se.se_quota_segments;
		dm->dm_settings.se_commit = se.se_commit;
		dm->dm_settings.se_direct_map = se.se_direct_map;
		log_info("SIGHUP: settings read again");
	}
	settings_fini(&se);
}

static void
on_summary(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *dm = arg;
	struct registry *rg = &dm->dm_registry;
	struct arena *ar = NULL;
	struct vmem_stat vs;
	uint64_t clients, allocs;

	(void)sig;
	(void)what;
	lock_acquire(&rg->rg_lock);
	clients = rg->rg_client_count;
	allocs = rg->rg_allocs;
	lock_release(&rg->rg_lock);
	log_info("summary: up %llu s, %llu clients, %llu allocations, "
	    "%llu wired bytes%s",
	    (unsigned long long)((clock_ns() - dm->dm_started_ns) / 1000000000),
	    (unsigned long long)clients, (unsigned long long)allocs,
	    (unsigned long long)vmpager_wired_bytes(dm->dm_backing.bk_wired),
	    daemon_corrupt(dm) ? ", corrupt" : "");
	while ((ar = reg_arena_next(rg, ar)) != NULL) {
		vmem_stat(ar->ar_vm, &vs);
		log_info("summary: %s: %llu of %llu bytes in use, %llu "
		    "segments, %llu allocs, %llu frees, %llu fails, %llu "
		    "waiting", ar->ar_name, (unsigned long long)vs.vs_inuse,
		    (unsigned long long)vs.vs_size,
		    (unsigned long long)vs.vs_segments,
		    (unsigned long long)vs.vs_allocs,
		    (unsigned long long)vs.vs_frees,
		    (unsigned long long)vs.vs_fails,
		    (unsigned long long)vs.vs_waiting);
	}
}

/* ---- the daemon --------------------------------------------------------- */

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	begin_drain(arg, "shutdown");
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	vmem_tick();
}

/* libvmem's last words: no memory, no locks from here on. */
static void
on_panic(const char *message)
{
	log_error("panic: %s", message);
	_exit(EXIT_BROKEN);
}

static unsigned int
thread_count(const struct settings *se)
{
	cpu_set_t set;
	int n = 1;

	if (se->se_threads != 0)
		return ((unsigned int)se->se_threads);
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	return (n > THREADS_DEFAULT_MAX ? THREADS_DEFAULT_MAX :
					  (unsigned int)n);
}

static int
start_threads(struct daemon *dm, char *why)
{
	unsigned int n = thread_count(&dm->dm_settings);
	int error;

	dm->dm_workers = calloc(n, sizeof(struct worker *));
	error = dm->dm_workers != NULL ? helper_start(&dm->dm_helper) : ENOMEM;
	for (unsigned int i = 0; i < n && error == 0; i++) {
		error = worker_start(dm, i, &dm->dm_workers[i]);
		dm->dm_worker_count += error == 0;
	}
	if (error != 0)
		(void)snprintf(why, SETTINGS_WHY_MAX,
		    "can't start --threads %u: %s", n, strerror(error));
	return (error);
}

static void
stop_threads(struct daemon *dm)
{
	for (unsigned int i = 0; i < dm->dm_worker_count; i++)
		worker_join(dm->dm_workers[i]);
	soak_join_all();
	helper_stop(dm->dm_helper);
	for (unsigned int i = 0; i < dm->dm_worker_count; i++)
		worker_free(dm->dm_workers[i]);
	dm->dm_worker_count = 0;
	free(dm->dm_workers);
}

/* ---- readiness ---------------------------------------------------------- */

/* Tell a service manager that asks for it (sd_notify(3), without the
 * library). */
static void
notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(sun.sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, "READY=1", 7, MSG_NOSIGNAL,
	    (const struct sockaddr *)(const void *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	(void)close(fd);
}

/*
 * Detach: the parent stays until the child says that it is ready, or why not,
 * so that who starts it knows.  Returns in the child, with the descriptor to
 * say it through; -1: not detached.
 */
static int
detach(void)
{
	int fds[2];
	pid_t pid;
	char c;

	if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
		(void)fprintf(stderr, "vmemd: --daemonize: %s\n",
		    strerror(errno));
		exit(1);
	}
	if (pid != 0) {
		(void)close(fds[1]);
		/* A byte: ready.  The end: it has failed, and said why. */
		exit(read(fds[0], &c, 1) == 1 ? 0 : 1);
	}
	(void)close(fds[0]);
	(void)setsid();
	return (fds[1]);
}

static void
ready(struct daemon *dm, int detached, const char *path)
{
	int null;

	log_info("ready: %s, %u threads, pid %d", path, dm->dm_worker_count,
	    (int)getpid());
	notify_ready();
	if (detached < 0)
		return;
	null = open("/dev/null", O_RDWR);
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			(void)close(null);
	}
	log_set_syslog(true);
	(void)!chdir("/");
	(void)!write(detached, "", 1);
	(void)close(detached);
}

/* ---- main --------------------------------------------------------------- */

/* As many descriptors as we may have: each connection is one. */
static void
raise_descriptors(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static void
add_signal(struct daemon *dm, int sig, event_callback_fn fn, struct event **ev)
{
	*ev = evsignal_new(main_base, sig, fn, dm);
	if (*ev != NULL)
		(void)event_add(*ev, NULL);
}

/* Serve until told to stop. */
static void
serve(struct daemon *dm)
{
	const struct timeval second = { 1, 0 };
	struct event *signals[4], tick, wake;

	add_signal(dm, SIGTERM, on_terminate, &signals[0]);
	add_signal(dm, SIGINT, on_terminate, &signals[1]);
	add_signal(dm, SIGHUP, on_hangup, &signals[2]);
	add_signal(dm, SIGUSR1, on_summary, &signals[3]);
	(void)event_assign(&tick, main_base, -1, EV_PERSIST, on_tick, dm);
	(void)event_add(&tick, &second);
	(void)event_assign(
	    &wake, main_base, dm->dm_wake_fd, EV_READ, on_wake, dm);
	(void)event_add(&wake, NULL);
	(void)event_base_loop(main_base, EVLOOP_NO_EXIT_ON_EMPTY);
	(void)event_del(&tick);
	(void)event_del(&wake);
	for (unsigned int i = 0; i < 4; i++)
		if (signals[i] != NULL)
			event_free(signals[i]);
}

static int
start(struct daemon *dm, const char *path, char *why)
{
	int error = backing_init(&dm->dm_backing, &dm->dm_settings, why);

	if (error != 0)
		return (error);
	error = layout_make(
	    &dm->dm_registry, &dm->dm_backing, &dm->dm_settings, why);
	if (error == 0)
		error = start_threads(dm, why);
	if (error == 0)
		error = server_start(dm, main_base, path, &main_server, why);
	return (error);
}

static int
run(struct daemon *dm, int detached)
{
	char why[SETTINGS_WHY_MAX] = "out of memory";
	char *path = server_path(&dm->dm_settings);
	int status = 0;

	dm->dm_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	main_base = event_base_new();
	if (path == NULL || main_base == NULL || dm->dm_wake_fd < 0 ||
	    start(dm, path, why) != 0) {
		log_error("can't start: %s", why);
		for (unsigned int i = 0; i < dm->dm_worker_count; i++)
			worker_drain(dm->dm_workers[i]);
		status = 1;
	} else {
		apply_settings(dm, &dm->dm_settings);
		ready(dm, detached, path);
		serve(dm);
	}
	stop_threads(dm);
	if (status == 0 && (layout_unmake(&dm->dm_registry) != 0 ||
	    daemon_corrupt(dm)))
		status = EXIT_BROKEN;
	if (status == 0)
		log_info("stopped");
	if (status != EXIT_BROKEN)
		backing_fini(&dm->dm_backing);
	if (main_base != NULL)
		event_base_free(main_base);
	if (dm->dm_wake_fd >= 0)
		(void)close(dm->dm_wake_fd);
	free(path);
	return (status);
}

int
main(int argc, char **argv)
{
	static struct daemon dm;
	char why[SETTINGS_WHY_MAX];
	int detached = -1, status;

	job_setup();
	if (settings_load(&dm.dm_settings, argc, argv, why) != 0) {
		(void)fprintf(stderr, "vmemd: %s\n", why);
		settings_fini(&dm.dm_settings);
		return (1);
	}
	if (dm.dm_settings.se_help || dm.dm_settings.se_version) {
		if (dm.dm_settings.se_help)
			settings_help(stdout);
		else
			(void)printf("vmemd %s\n", PACKAGE_VERSION);
		settings_fini(&dm.dm_settings);
		return (0);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (dm.dm_settings.se_daemonize)
		detached = detach();
	log_set_level((enum log_level)dm.dm_settings.se_log_level);
	json_object_seed(0);
	raise_descriptors();
	request_bind();
	soak_init();
	vmem_set_panic(on_panic);
	dm.dm_uid = geteuid();
	dm.dm_started_ns = clock_ns();
	dm.dm_wake_fd = -1;
	registry_init(&dm.dm_registry);
	status = run(&dm, detached);
	registry_fini(&dm.dm_registry);
	settings_fini(&dm.dm_settings);
	libevent_global_shutdown();
	return (status);
}
