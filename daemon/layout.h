/*
 * layout.h - the arenas that a daemon starts with (SPEC 2).
 */
#ifndef DAEMON_LAYOUT_H
#define DAEMON_LAYOUT_H

#include "daemon/backing.h"
#include "daemon/registry.h"

/* Make kernel_va, vmem_meta, kmem_va, kmem and heap.  An errno, and `why`. */
int layout_make(struct registry *rg, struct backing *bk,
    const struct settings *se, char why[SETTINGS_WHY_MAX]);

/*
 * The end: every allocation is released, every arena ended but the two that
 * libvmem itself lives in.  0, or EIO: something was left over, or an
 * invariant broken (and logged).
 */
int layout_unmake(struct registry *rg);

#endif /* DAEMON_LAYOUT_H */
