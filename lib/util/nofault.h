/*
 * nofault.h - is this thread in the middle of a page fault?  Debug builds.
 *
 * The fault path (lib/pager/hot.c) can't name what allocates; that nothing it
 * calls does so after all is asserted at the doors: each function that takes
 * memory or addresses begins with NOFAULT_ASSERT().
 */
#ifndef UTIL_NOFAULT_H
#define UTIL_NOFAULT_H

#include "util/assert.h"

#ifdef VMEM_DEBUG
extern __thread __attribute__((tls_model("initial-exec"))) unsigned int
    nofault_depth;

static inline void
nofault_enter(void)
{
	nofault_depth++;
}

static inline void
nofault_leave(void)
{
	nofault_depth--;
}

#define NOFAULT_ASSERT()                                                     \
	do {                                                                 \
		if (nofault_depth != 0)                                      \
			vmem_panic("%s: called during a page fault, which "  \
				   "must not allocate", __func__);           \
	} while (0)
#else
static inline void
nofault_enter(void)
{
}

static inline void
nofault_leave(void)
{
}

#define NOFAULT_ASSERT() ((void)0)
#endif

#endif /* UTIL_NOFAULT_H */
