/*
 * qcache.h - quantum caches: small multiples of the quantum, per CPU.
 *
 * Between lib/arena and lib/qcache only.  The theory is in qcache.c.
 */
#ifndef QCACHE_H
#define QCACHE_H

#include <vmem.h>

struct fit;
struct qcache;
struct vmem;

/* Caches for every multiple of the quantum up to qcache_max.  ENOMEM. */
int qcache_init(struct vmem *vm, vmem_size_t qcache_max);
/* Give back everything; vm may have no caches, or half of them. */
void qcache_fini(struct vmem *vm);

/* The cache for a rounded size, or NULL. */
struct qcache *qcache_for(struct vmem *vm, vmem_size_t size);

/* From the cache, else from the arena (arena_get()); ENOMEM. */
int qcache_alloc(struct qcache *qc, const struct fit *ft, vmem_addr_t *addrp);
/* To the cache; to the arena if it is full, or if requests wait. */
void qcache_free(struct qcache *qc, vmem_addr_t addr, const char *who);
/* To the arena at once, serving nobody. */
void qcache_free_through(struct qcache *qc, vmem_addr_t addr);

/* Empty all caches of the arena; the bytes that it got back. */
vmem_size_t qcache_reap(struct vmem *vm);
/* The periodic call: give back what was not needed since the last one. */
void qcache_tick(struct vmem *vm);

/* Add the caches' counters to *vs. */
void qcache_stat_sum(struct vmem *vm, struct vmem_stat *vs);

#endif /* QCACHE_H */
