/*
 * locks.h - how long locks are held and waited for, of all that a program
 * links: the models' and libvmem's alike.
 *
 * A program that is linked with lock_watch_ldflags has its calls of
 * pthread_mutex_lock(), _trylock() and _unlock() pass through here.  While no
 * watch is on, that is one test of a flag; in a program linked without, there
 * is nothing, and lock_watch_works() says so.
 */
#ifndef MODELS_LOCKS_H
#define MODELS_LOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "util/hist.h"

struct lock_stat {
	bool ls_valid;		/* there was something to watch with */
	uint64_t ls_taken, ls_waits;
	struct hist ls_hold_ns, ls_wait_ns;
};

bool lock_watch_works(void);
/* For this thread, from now on, into `ls`; NULL: no more. */
void lock_watch(struct lock_stat *ls);
void lock_stat_init(struct lock_stat *ls);
void lock_stat_merge(struct lock_stat *to, const struct lock_stat *from);

#endif /* MODELS_LOCKS_H */
