/*
 * sigsegv.h - what mode_sigsegv.c (in the fault path) and sigsegv_init.c (not)
 * share.
 */
#ifndef PAGER_SIGSEGV_H
#define PAGER_SIGSEGV_H

#include "pager/pager_impl.h"

int sigsegv_probe(const char **why);
int sigsegv_init(struct vmpager *pg, uint64_t frames);
void sigsegv_fini(struct vmpager *pg);
int sigsegv_map_init(struct vmpager_map *mp);
void sigsegv_map_fini(struct vmpager_map *mp);

#endif /* PAGER_SIGSEGV_H */
