/*
 * locks.c - see locks.h.
 *
 * The linker's --wrap turns calls of pthread_mutex_lock() into calls of
 * __wrap_pthread_mutex_lock(), and __real_ is the C library's.  Each thread
 * watches into a place of its own; what it holds is a short stack, since locks
 * nest by rank.
 */
#include "config.h"

#include "models/locks.h"

#include <pthread.h>
#include <string.h>

#include "util/clock.h"

#define NEST_MAX 16u

struct held {
	const pthread_mutex_t *he_mutex;
	uint64_t he_since;
};

static _Thread_local struct lock_stat *watching;
static _Thread_local struct held held[NEST_MAX];
static _Thread_local unsigned int nested;

#define WEAK __attribute__((__weak__))
extern int __real_pthread_mutex_lock(pthread_mutex_t *mutex) WEAK;
extern int __real_pthread_mutex_trylock(pthread_mutex_t *mutex) WEAK;
extern int __real_pthread_mutex_unlock(pthread_mutex_t *mutex) WEAK;
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

static void
took(const pthread_mutex_t *mutex, uint64_t now)
{
	watching->ls_taken++;
	if (nested < NEST_MAX)
		held[nested++] = (struct held) { mutex, now };
}

int
__wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	uint64_t start, now;
	int error;

	if (watching == NULL)
		return (__real_pthread_mutex_lock(mutex));
	if (__real_pthread_mutex_trylock(mutex) == 0) {
		took(mutex, clock_ns());
		return (0);
	}
	start = clock_ns();
	error = __real_pthread_mutex_lock(mutex);
	now = clock_ns();
	if (error == 0) {
		watching->ls_waits++;
		hist_record(&watching->ls_wait_ns, now - start);
		took(mutex, now);
	}
	return (error);
}

int
__wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	int error = __real_pthread_mutex_trylock(mutex);

	if (watching != NULL && error == 0)
		took(mutex, clock_ns());
	return (error);
}

int
__wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	unsigned int i = nested;

	while (watching != NULL && i-- > 0)
		if (held[i].he_mutex == mutex) {
			hist_record(&watching->ls_hold_ns,
			    clock_ns() - held[i].he_since);
			memmove(&held[i], &held[i + 1],
			    (nested - i - 1) * sizeof(held[0]));
			nested--;
			break;
		}
	return (__real_pthread_mutex_unlock(mutex));
}

bool
lock_watch_works(void)
{
	return (__real_pthread_mutex_lock != NULL);
}

void
lock_watch(struct lock_stat *ls)
{
	watching = lock_watch_works() ? ls : NULL;
	nested = 0;
}

void
lock_stat_init(struct lock_stat *ls)
{
	memset(ls, 0, sizeof(*ls));
	ls->ls_valid = lock_watch_works();
	hist_init(&ls->ls_hold_ns);
	hist_init(&ls->ls_wait_ns);
}

void
lock_stat_merge(struct lock_stat *to, const struct lock_stat *from)
{
	to->ls_valid = to->ls_valid && from->ls_valid;
	to->ls_taken += from->ls_taken;
	to->ls_waits += from->ls_waits;
	hist_merge(&to->ls_hold_ns, &from->ls_hold_ns);
	hist_merge(&to->ls_wait_ns, &from->ls_wait_ns);
}
