/*
 * registry_impl.h - what the parts of the registry share.  All of it, but
 * reg_tables_init(), with the registry's lock held.
 */
#ifndef DAEMON_REGISTRY_IMPL_H
#define DAEMON_REGISTRY_IMPL_H

#include "daemon/registry.h"

/* The tables of a new arena. */
void reg_tables_init(struct arena *ar);

/* Into the tables and lists, the group set and the bytes charged: ENOMEM, for
 * an arena's first only.  Out of them: the group's reference stays with the
 * allocation. */
int reg_link_locked(struct registry *rg, struct alloc *al)
    REQUIRES(rg->rg_lock);
void reg_unlink_locked(struct registry *rg, struct alloc *al)
    REQUIRES(rg->rg_lock);

/* The allocation that addr lies in, unless it is claimed; or NULL. */
struct alloc *reg_inside_locked(struct arena *ar, vmem_addr_t addr);

/* 0, or EPERM: it is another uid's. */
int reg_may(const struct caller *ca, const struct alloc *al);

/* Uncount bytes and segments of an allocation's owner. */
void reg_uncount_locked(struct alloc *al, uint64_t bytes, uint64_t segments);

void reg_group_put_locked(struct registry *rg, struct holding *gr)
    REQUIRES(rg->rg_lock);

#endif /* DAEMON_REGISTRY_IMPL_H */
