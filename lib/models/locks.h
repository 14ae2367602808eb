/*
 * locks.h - how long locks are held and waited for: the models' and libvmem's
 * alike, for all are of util/lock.h, which tells who watches.  While nobody
 * does, that is one test of a pointer.
 */
#ifndef MODELS_LOCKS_H
#define MODELS_LOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "util/hist.h"

struct lock_stat {
	uint64_t ls_taken, ls_waits;
	struct hist ls_hold_ns, ls_wait_ns;
};

/* For this thread, from now on, into `ls`; NULL: no more. */
void lock_watch(struct lock_stat *ls);
void lock_stat_init(struct lock_stat *ls);
void lock_stat_merge(struct lock_stat *to, const struct lock_stat *from);

#endif /* MODELS_LOCKS_H */
