/*
 * daemon.c - see daemon.h.
 */
#include "config.h"

#include "daemon/daemon.h"

#include <unistd.h>

#include "daemon/log.h"

void
daemon_set_corrupt(struct daemon *dm, const char *where, const char *why)
{
	if (!atomic_exchange(&dm->dm_corrupt, true))
		log_error("%s: broken invariant: %s: from now on only reading, "
		    "free and shutdown", where, why);
}

void
daemon_shutdown(struct daemon *dm)
{
	const uint64_t one = 1;

	atomic_store(&dm->dm_draining, true);
	(void)!write(dm->dm_wake_fd, &one, sizeof(one));
}
