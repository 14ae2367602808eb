/*
 * lock.h - mutexes with a place in the order.
 *
 * Every lock has a rank.  A thread may take a lock only if its rank is above
 * that of every lock it holds: the order is checked as the program runs in
 * debug builds (the panic names both locks), and the guarded data by clang's
 * -Wthread-safety through the annotations below.  doc/locking.md draws the
 * order; this enum is it.
 */
#ifndef UTIL_LOCK_H
#define UTIL_LOCK_H

#include <pthread.h>

#if defined(__clang__)
#define LOCK_ATTR(x) __attribute__((x))
#else
#define LOCK_ATTR(x)
#endif
#define CAPABILITY(x) LOCK_ATTR(capability(x))
/* Of variables: in C, clang knows no member by name inside its struct. */
#define GUARDED_BY(x) LOCK_ATTR(guarded_by(x))
#define PT_GUARDED_BY(x) LOCK_ATTR(pt_guarded_by(x))
#define REQUIRES(...) LOCK_ATTR(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) LOCK_ATTR(acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) LOCK_ATTR(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) LOCK_ATTR(release_capability(__VA_ARGS__))
#define EXCLUDES(...) LOCK_ATTR(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS LOCK_ATTR(no_thread_safety_analysis)

/* Outer to inner. */
enum lock_rank {
	LOCK_NONE = 0,
	LOCK_REGISTRY = 10,	/* daemon: arenas and allocations by owner */
	LOCK_ARENA_LIST = 20,	/* lib/arena: the tree of arenas */
	LOCK_KMEM = 25,		/* lib/kmem: a cache, or the direct map */
	LOCK_MODEL = 27,	/* lib/models: a map */
	LOCK_TAG_POOL = 30,	/* lib/arena: refilling boundary tags */
	LOCK_QCACHE_CPU = 40,	/* lib/qcache: one CPU's magazines */
	LOCK_QCACHE_BAR = 45,	/* lib/qcache: who bars an arena's caches */
	LOCK_QCACHE_DEPOT = 50,	/* lib/qcache: a depot */
	LOCK_QCACHE_SLAB = 55,	/* lib/qcache: an arena's slabs */
	LOCK_ARENA = 60,	/* lib/arena: one arena */
	LOCK_PAGER = 70,	/* lib/pager: choosing victims, table of maps */
	LOCK_PAGER_SWAP = 75,	/* lib/pager: the bitmap of slots */
	LOCK_INBOX = 90,	/* daemon: a worker's inbox */
	LOCK_LEAF = 100		/* logs and the like: nothing is taken below */
};

struct CAPABILITY("mutex") lock {
	pthread_mutex_t lk_mutex;
#ifdef VMEM_DEBUG
	const char *lk_name;
	enum lock_rank lk_rank;
#endif
};

void lock_init(struct lock *lk, const char *name, enum lock_rank rank);
void lock_fini(struct lock *lk);

#ifdef VMEM_DEBUG
void lock_acquire(struct lock *lk) ACQUIRE(lk);
int lock_try(struct lock *lk) TRY_ACQUIRE(1, lk);	/* 1: taken */
void lock_release(struct lock *lk) RELEASE(lk);
void lock_assert_held(const struct lock *lk);
void lock_assert_none(void);	/* before anything foreign is called */
#else
static inline void lock_acquire(struct lock *lk) ACQUIRE(lk)
    NO_THREAD_SAFETY_ANALYSIS;
static inline int lock_try(struct lock *lk) TRY_ACQUIRE(1, lk)
    NO_THREAD_SAFETY_ANALYSIS;
static inline void lock_release(struct lock *lk) RELEASE(lk)
    NO_THREAD_SAFETY_ANALYSIS;

static inline void
lock_acquire(struct lock *lk)
{
	(void)pthread_mutex_lock(&lk->lk_mutex);
}

static inline int
lock_try(struct lock *lk)
{
	return (pthread_mutex_trylock(&lk->lk_mutex) == 0);
}

static inline void
lock_release(struct lock *lk)
{
	(void)pthread_mutex_unlock(&lk->lk_mutex);
}

static inline void
lock_assert_held(const struct lock *lk)
{
	(void)lk;
}

static inline void
lock_assert_none(void)
{
}
#endif

/*
 * Take and release, unseen by the checkers: for who forks, and takes them all
 * (lib/arena/fork.c).
 */
static inline void
lock_hold(struct lock *lk) NO_THREAD_SAFETY_ANALYSIS
{
	(void)pthread_mutex_lock(&lk->lk_mutex);
}

static inline void
lock_let_go(struct lock *lk) NO_THREAD_SAFETY_ANALYSIS
{
	(void)pthread_mutex_unlock(&lk->lk_mutex);
}

#endif /* UTIL_LOCK_H */
