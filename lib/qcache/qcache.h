/*
 * qcache.h - quantum caches: small multiples of the quantum, per CPU.
 *
 * Between lib/arena and lib/qcache only; what every operation does is in
 * fast.h.  The theory is in qcache.c.
 */
#ifndef QCACHE_H
#define QCACHE_H

#include <stdbool.h>
#include <vmem.h>

#include "util/lock.h"

struct fit;
struct qcache;
struct qcaches;
struct vmem;

/* Caches for every multiple of the quantum up to qcache_max.  ENOMEM. */
int qcache_init(struct vmem *vm, vmem_size_t qcache_max);
/* Give back everything; vm may have no caches, or half of them. */
void qcache_fini(struct vmem *vm);

/* The cache for a rounded size, or NULL. */
struct qcache *qcache_for(struct vmem *vm, vmem_size_t size);

/* From the cache, else from the arena (arena_get()): always, if ft has another
 * strategy than the arena's own.  ENOMEM. */
int qcache_alloc(struct qcache *qc, const struct fit *ft, vmem_addr_t *addrp);
/* To the cache, from who found the fast way barred; to the arena if the cache
 * is full, or if requests wait.  false: the size has no cache. */
bool qcache_free(struct vmem *vm, vmem_addr_t addr, vmem_size_t size);
/* The same for what has been checked. */
void qcache_keep(struct qcache *qc, vmem_addr_t addr);
/* To the slab or the arena at once, serving nobody: one gain. */
void qcache_free_through(struct qcache *qc, vmem_addr_t addr);

/* Panics if addr, which the caller gives to the arena, is of a cache. */
void qcache_foreign(
    struct vmem *vm, vmem_addr_t addr, vmem_size_t size, const char *who);

/* A sequence was interrupted. */
void qcache_restarted(struct qcaches *qs);
/* Nobody gets at the slots until as many bars are lifted; who is in a sequence
 * may still be. */
void qcache_bar(struct vmem *vm, bool bar);

/* Empty all caches of the arena; the bytes that were given back. */
vmem_size_t qcache_reap(struct vmem *vm);
/* Give back slabs of which parts are still allocated: all of them. */
void qcache_forget(struct vmem *vm);
/* The periodic call: give back what was not needed since the last one. */
void qcache_tick(struct vmem *vm);

/* Around a fork(2): take or release the locks of that rank; and in the child,
 * before they are released. */
void qcache_fork(struct vmem *vm, enum lock_rank rank, bool hold);
void qcache_fork_child(struct vmem *vm);

/* Add the caches' counters to *vs. */
void qcache_stat_sum(struct vmem *vm, struct vmem_stat *vs);
/* NULL, or which invariant is broken. */
const char *qcache_check(struct vmem *vm);

#endif /* QCACHE_H */
