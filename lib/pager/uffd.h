/*
 * uffd.h - what mode_uffd.c (in the fault path) and uffd_init.c (not) share.
 */
#ifndef PAGER_UFFD_H
#define PAGER_UFFD_H

#include "pager/pager_impl.h"

/* VMPAGER_HAS_*. */
uint32_t uffd_kernel_has(void);
int uffd_probe(const char **why);
int uffd_thread_probe(const char **why);
int uffd_init(struct vmpager *pg, uint64_t frames);
int uffd_thread_init(struct vmpager *pg, uint64_t frames);
void uffd_fini(struct vmpager *pg);
int uffd_map_init(struct vmpager_map *mp);
void uffd_map_fini(struct vmpager_map *mp);

#endif /* PAGER_UFFD_H */
