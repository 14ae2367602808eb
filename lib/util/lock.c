/*
 * lock.c - lock ranks, checked as the program runs (debug builds).
 *
 * Each thread keeps the locks that it holds in an array of its own
 * (initial-exec, so that a first use allocates nothing); its depth is bounded
 * by the number of ranks, since ranks only rise.
 */
#include "config.h"

#include "util/lock.h"

#include "util/assert.h"

void
lock_init(struct lock *lk, const char *name, enum lock_rank rank)
{
	(void)pthread_mutex_init(&lk->lk_mutex, NULL);
#ifdef VMEM_DEBUG
	lk->lk_name = name;
	lk->lk_rank = rank;
#else
	(void)name;
	(void)rank;
#endif
}

void
lock_fini(struct lock *lk)
{
	(void)pthread_mutex_destroy(&lk->lk_mutex);
}

#ifdef VMEM_DEBUG
#define HELD_MAX 16

static __thread __attribute__((tls_model("initial-exec"))) struct {
	const struct lock *lock[HELD_MAX];
	unsigned int count;
} held;

static void
held_push(const struct lock *lk)
{
	if (held.count == HELD_MAX)
		vmem_panic("lock_acquire: more than %d locks held at %s",
		    HELD_MAX, lk->lk_name);
	held.lock[held.count++] = lk;
}

static void
order_check(const struct lock *lk)
{
	for (unsigned int i = 0; i < held.count; i++)
		if (held.lock[i]->lk_rank >= lk->lk_rank)
			vmem_panic("lock order: %s (rank %d) taken while "
			    "holding %s (rank %d): expected a rising rank",
			    lk->lk_name, lk->lk_rank, held.lock[i]->lk_name,
			    held.lock[i]->lk_rank);
}

void
lock_acquire(struct lock *lk) NO_THREAD_SAFETY_ANALYSIS
{
	order_check(lk);
	(void)pthread_mutex_lock(&lk->lk_mutex);
	held_push(lk);
}

/* A lock that is only tried can't deadlock: any order will do. */
int
lock_try(struct lock *lk) NO_THREAD_SAFETY_ANALYSIS
{
	if (pthread_mutex_trylock(&lk->lk_mutex) != 0)
		return (0);
	held_push(lk);
	return (1);
}

void
lock_release(struct lock *lk) NO_THREAD_SAFETY_ANALYSIS
{
	unsigned int i;

	for (i = held.count; i > 0 && held.lock[i - 1] != lk; i--)
		continue;
	if (i == 0)
		vmem_panic("lock_release: %s isn't held by this thread",
		    lk->lk_name);
	for (; i < held.count; i++)
		held.lock[i - 1] = held.lock[i];
	held.count--;
	(void)pthread_mutex_unlock(&lk->lk_mutex);
}

void
lock_assert_held(const struct lock *lk)
{
	for (unsigned int i = 0; i < held.count; i++)
		if (held.lock[i] == lk)
			return;
	vmem_panic("%s: expected to be held by this thread", lk->lk_name);
}

void
lock_assert_none(void)
{
	if (held.count != 0)
		vmem_panic("expected no lock to be held here, but %s is",
		    held.lock[held.count - 1]->lk_name);
}
#endif
