/*
 * backing.h - what is behind the arenas: the reservation of address space, the
 * accounts of wired memory, the pager.
 */
#ifndef DAEMON_BACKING_H
#define DAEMON_BACKING_H

#include <pthread.h>

#include <vmpager.h>

#include "daemon/settings.h"

struct direct;

struct backing {
	vmem_addr_t bk_base;		/* of the reservation */
	vmem_size_t bk_size;
	vmem_size_t bk_window;		/* bytes after it: the direct map's */
	struct direct *bk_direct;
	struct vmpager *bk_pager;
	pthread_t bk_server;		/* uffd-thread: serves its faults */
	bool bk_serving;
	struct vmpager_wired *bk_wired;	/* what clients have */
	/* libvmem's own memory is wired too, but counted apart, with the same
	 * bound: clients that use up theirs must not be able to keep others
	 * from boundary tags. */
	struct vmpager_wired *bk_meta;
};

/* Reserve, and make the pager.  An errno, with `why` filled and what there is
 * of it to be finished all the same. */
int backing_init(struct backing *bk, const struct settings *se,
    char why[SETTINGS_WHY_MAX]);
void backing_fini(struct backing *bk);

#endif /* DAEMON_BACKING_H */
