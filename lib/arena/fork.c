/*
 * fork.c - fork(2): the child of a process with threads may go on with all
 * arenas (PITFALLS 1.35).
 *
 * The thread that forks first takes every lock of lib/arena and lib/qcache, so
 * that nobody is half-way through anything in the child's copy of memory; both
 * sides release them.  They are taken rank by rank in the order of
 * doc/locking.md; within a rank, in the order of the list, for nobody else ever
 * holds two of one rank.  (Hence this is the one place that does, and so
 * bypasses the checker of ranks.)  Sequences of lib/qcache hold no lock and
 * need none: each is one store.
 *
 * What is lost to the child is what other threads had in hand between two
 * locks: a span on its way from a source, units for a stock.  It is space and
 * memory that nobody in the child will give back; nothing else depends on it.
 * Other threads' waiting requests aren't the child's: its queues begin empty.
 *
 * The handlers are registered when the library is loaded, not by any call:
 * pthread_atfork() has room of its own for the first few dozens, but might
 * call malloc beyond.
 *
 * The pager isn't for the child: its memory isn't inherited (vmpager.h).
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <pthread.h>

#include "qcache/qcache.h"

static const enum lock_rank cache_ranks[] = { LOCK_QCACHE_CPU,
	LOCK_QCACHE_BAR, LOCK_QCACHE_DEPOT, LOCK_QCACHE_SLAB };
#define CACHE_RANKS (sizeof(cache_ranks) / sizeof(cache_ranks[0]))

static void
fork_prepare(void)
{
	struct vmem *vm;

	tree_fork(true);
	pool_fork(true);
	for (size_t i = 0; i < CACHE_RANKS; i++)
		for (vm = tree_after(NULL); vm != NULL; vm = tree_after(vm))
			qcache_fork(vm, cache_ranks[i], true);
	for (vm = tree_after(NULL); vm != NULL; vm = tree_after(vm))
		lock_hold(&vm->vm_lock);
}

static void
fork_release(void)
{
	struct vmem *vm;

	for (vm = tree_after(NULL); vm != NULL; vm = tree_after(vm))
		lock_let_go(&vm->vm_lock);
	for (size_t i = CACHE_RANKS; i-- > 0;)
		for (vm = tree_after(NULL); vm != NULL; vm = tree_after(vm))
			qcache_fork(vm, cache_ranks[i], false);
	pool_fork(false);
	tree_fork(false);
}

static void
fork_child(void)
{
	struct vmem *vm;

	for (vm = tree_after(NULL); vm != NULL; vm = tree_after(vm)) {
		wait_forget(vm);
		qcache_fork_child(vm);
	}
	tree_fork_child();
	fork_release();
}

void
fork_register(void)
{
	(void)pthread_atfork(fork_prepare, fork_release, fork_child);
}
