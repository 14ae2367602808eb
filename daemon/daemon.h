/*
 * daemon.h - what all of the daemon's modules share.
 *
 * Threads (doc/architecture.md draws them): main accepts, and has the signals
 * and the clock; N workers have an event base and their connections each; one
 * helper does what takes libvmem long and can't be sliced.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdatomic.h>

#include "daemon/backing.h"
#include "daemon/registry.h"
#include "daemon/settings.h"

struct worker;
struct helper;

struct daemon {
	struct settings dm_settings;	/* [I] but for what SIGHUP changes */
	struct registry dm_registry;
	struct backing dm_backing;
	struct worker **dm_workers;	/* [I] once started */
	unsigned int dm_worker_count;
	struct helper *dm_helper;
	uid_t dm_uid;			/* [I] */
	uint64_t dm_started_ns;		/* [I] */
	int dm_wake_fd;			/* [I] an eventfd: main, look again */
	_Atomic unsigned int dm_commit;	/* enum vmpager_commit, as set */
	_Atomic bool dm_shutdown;	/* a client has asked for it */
	_Atomic bool dm_draining;
	_Atomic bool dm_corrupt;
};

static inline bool
daemon_draining(const struct daemon *dm)
{
	return (atomic_load_explicit(&dm->dm_draining, memory_order_acquire));
}

static inline bool
daemon_corrupt(const struct daemon *dm)
{
	return (atomic_load_explicit(&dm->dm_corrupt, memory_order_acquire));
}

/* An invariant is broken: say so, once, and from now on only read (SPEC 3). */
void daemon_set_corrupt(struct daemon *dm, const char *where, const char *why);

/* Begin to drain; from any thread. */
void daemon_shutdown(struct daemon *dm);

#endif /* DAEMON_DAEMON_H */
