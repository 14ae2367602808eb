/*
 * lock.h - mutexes with a place in the order.
 *
 * A lock is a word, and who must wait for it sleeps on that: futex(2), after U.
 * Drepper, "Futexes are tricky", mutex 3.  It is taken and released within the
 * caller: an operation on an arena is a few hundred instructions, and
 * pthread_mutex_lock() and _unlock(), which first look what kind of mutex this
 * is, were a tenth of a free and an allocation.  As long as the process has one
 * thread, neither needs an atomic instruction (glibc does the same for its
 * own): no other thread can begin while this one holds a lock, for nothing
 * foreign runs under it.
 *
 * Every lock has a rank.  A thread may take a lock only if its rank is above
 * that of every lock it holds: the order is checked as the program runs in
 * debug builds (the panic names both locks), and the guarded data by clang's
 * -Wthread-safety through the annotations below.  doc/locking.md draws the
 * order; this enum is it.
 */
#ifndef UTIL_LOCK_H
#define UTIL_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef HAVE_SYS_SINGLE_THREADED_H
#include <sys/single_threaded.h>
#endif

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

enum {
	LOCK_FREE = 0,
	LOCK_HELD,
	LOCK_WANTED,	/* held, and somebody may sleep */
};

struct CAPABILITY("mutex") lock {
	atomic_uint lk_word;	/* pairs with itself */
#ifdef VMEM_DEBUG
	const char *lk_name;
	enum lock_rank lk_rank;
#endif
};

void lock_init(struct lock *lk, const char *name, enum lock_rank rank);
void lock_fini(struct lock *lk);

/* What isn't done in a few instructions (lock.c). */
void lock_wait(struct lock *lk);
void lock_wake(struct lock *lk);

/*
 * Who wants to know how long locks are held and waited for (lib/models/locks.c):
 * told by the thread that has taken one, after a wait of so long or at once, and
 * that is about to release it.  NULL: nobody.
 */
struct lock_watcher {
	void (*lw_took)(const struct lock *lk, bool waited, uint64_t wait_ns);
	void (*lw_leaves)(const struct lock *lk);
};

extern _Atomic(const struct lock_watcher *) lock_watcher
    __attribute__((__visibility__("hidden"))); /* pairs with itself */
void lock_hold_watched(struct lock *lk);

static inline const struct lock_watcher *
lock_is_watched(void)
{
	return (atomic_load_explicit(&lock_watcher, memory_order_acquire));
}

static inline bool
lock_alone(void)
{
#ifdef HAVE_SYS_SINGLE_THREADED_H
	return (__libc_single_threaded != 0);
#else
	return (false);
#endif
}

/* Take it if it is free. */
static inline bool
lock_take(struct lock *lk)
{
	unsigned int is = LOCK_FREE;

	if (atomic_load_explicit(&lk->lk_word, memory_order_relaxed) !=
	    LOCK_FREE)
		return (false);
	if (lock_alone()) {
		atomic_store_explicit(
		    &lk->lk_word, LOCK_HELD, memory_order_relaxed);
		return (true);
	}
	return (atomic_compare_exchange_strong_explicit(&lk->lk_word, &is,
	    LOCK_HELD, memory_order_acquire, memory_order_relaxed));
}

static inline bool
lock_try_hold(struct lock *lk)
{
	const struct lock_watcher *lw = lock_is_watched();
	bool taken = lock_take(lk);

	if (__builtin_expect(lw != NULL, 0) && taken)
		lw->lw_took(lk, false, 0);
	return (taken);
}

/*
 * Take and release, unseen by the checkers: what the functions below come to,
 * and for who forks, and takes them all (lib/arena/fork.c).
 */
static inline void
lock_hold(struct lock *lk) NO_THREAD_SAFETY_ANALYSIS
{
	if (__builtin_expect(lock_is_watched() != NULL, 0))
		lock_hold_watched(lk);
	else if (__builtin_expect(!lock_take(lk), 0))
		lock_wait(lk);
}

static inline void
lock_let_go(struct lock *lk) NO_THREAD_SAFETY_ANALYSIS
{
	const struct lock_watcher *lw = lock_is_watched();

	if (__builtin_expect(lw != NULL, 0))
		lw->lw_leaves(lk);
	if (lock_alone())
		atomic_store_explicit(
		    &lk->lk_word, LOCK_FREE, memory_order_relaxed);
	else if (__builtin_expect(atomic_exchange_explicit(&lk->lk_word,
		     LOCK_FREE, memory_order_release) == LOCK_WANTED, 0))
		lock_wake(lk);
}

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
	lock_hold(lk);
}

static inline int
lock_try(struct lock *lk)
{
	return (lock_try_hold(lk));
}

static inline void
lock_release(struct lock *lk)
{
	lock_let_go(lk);
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

#endif /* UTIL_LOCK_H */
