/*
 * locks.c - see locks.h.
 *
 * Each thread watches into a place of its own; what it holds is a short stack,
 * since locks nest by rank.
 */
#include "config.h"

#include "models/locks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "util/clock.h"
#include "util/lock.h"

#define NEST_MAX 16u

struct held {
	const struct lock *he_lock;
	uint64_t he_since;
};

static _Thread_local struct lock_stat *watching;
static _Thread_local struct held held[NEST_MAX];
static _Thread_local unsigned int nested;

static void
took(const struct lock *lk, bool waited, uint64_t wait_ns)
{
	if (watching == NULL)
		return;
	if (waited) {
		watching->ls_waits++;
		hist_record(&watching->ls_wait_ns, wait_ns);
	}
	watching->ls_taken++;
	if (nested < NEST_MAX)
		held[nested++] = (struct held) { lk, clock_ns() };
}

static void
leaves(const struct lock *lk)
{
	unsigned int i = nested;

	while (watching != NULL && i-- > 0)
		if (held[i].he_lock == lk) {
			hist_record(&watching->ls_hold_ns,
			    clock_ns() - held[i].he_since);
			memmove(&held[i], &held[i + 1],
			    (nested - i - 1) * sizeof(held[0]));
			nested--;
			break;
		}
}

/* How many threads do, and whether they are told. */
static pthread_mutex_t watchers_mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned int watchers;

void
lock_watch(struct lock_stat *ls)
{
	static const struct lock_watcher watcher = { took, leaves };

	(void)pthread_mutex_lock(&watchers_mutex);
	watchers += (unsigned int)(ls != NULL) - (watching != NULL);
	atomic_store(&lock_watcher, watchers != 0 ? &watcher : NULL);
	(void)pthread_mutex_unlock(&watchers_mutex);
	watching = ls;
	nested = 0;
}

void
lock_stat_init(struct lock_stat *ls)
{
	memset(ls, 0, sizeof(*ls));
	hist_init(&ls->ls_hold_ns);
	hist_init(&ls->ls_wait_ns);
}

void
lock_stat_merge(struct lock_stat *to, const struct lock_stat *from)
{
	to->ls_taken += from->ls_taken;
	to->ls_waits += from->ls_waits;
	hist_merge(&to->ls_hold_ns, &from->ls_hold_ns);
	hist_merge(&to->ls_wait_ns, &from->ls_wait_ns);
}
