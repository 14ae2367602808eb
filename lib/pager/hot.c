/*
 * hot.c - the fault path, all of it, in one translation unit that can't
 * allocate.
 *
 * A fault may be what stands between the program and memory, so handling it
 * must not need any: not malloc's, nor the kernel's, nor addresses of an arena.
 * Below this line their names don't compile.  All that a fault needs was there
 * when its range was registered: entries of the page table with the map, frames
 * and slots with the pager.  In debug builds the doors of malloc's kin here
 * (pager_mmap(), the arenas' entries) assert besides that no fault is under
 * way: util/nofault.h.
 *
 * The compiler sees it whole, too, which a hit of some nanoseconds needs.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "pager/pager_impl.h"
#include "pager/uapi.h"
#include "pager/sigsegv.h"
#include "pager/uffd.h"
#include "util/clock.h"
#include "util/crc32c.h"
#include "util/futex.h"
#include "util/hist.h"

#pragma GCC poison malloc calloc realloc reallocarray free aligned_alloc
#pragma GCC poison posix_memalign memalign valloc strdup strndup
#pragma GCC poison mmap mmap64 munmap mremap brk sbrk
#pragma GCC poison pager_mmap pager_munmap pager_populate
/* All that libvmem.map has of arenas: tests/lint/exports.sh. */
#pragma GCC poison vmem_create vmem_xcreate vmem_destroy vmem_add
#pragma GCC poison vmem_alloc vmem_free vmem_alloc_until
#pragma GCC poison vmem_xalloc vmem_xfree vmem_xalloc_addr vmem_xfreeall
#pragma GCC poison vmem_xfree_part vmem_submit vmem_cancel
#pragma GCC poison vmem_size vmem_walk vmem_walk_from vmem_contains
#pragma GCC poison vmem_check vmem_check_why vmem_reap
#pragma GCC poison vmem_set_reclaim vmem_set_upstream vmem_set_limit
#pragma GCC poison vmem_set_meta vmem_set_panic
#pragma GCC poison vmem_stat vmem_qcache_stat vmem_qcache_mechanism
#pragma GCC poison vmem_meta_stat vmem_tick vmem_alloc_import vmem_free_release

#include "pager/count.c"
#include "pager/latency.c"
#include "pager/pte.c"
#include "pager/frame.c"
#include "pager/swap.c"
#include "pager/bounce.c"
#include "pager/mode_software.c"
#include "pager/mode_uffd.c"
#include "pager/mode_sigsegv.c"
#include "pager/evict.c"
#include "pager/replace.c"
#include "pager/run.c"
#include "pager/fault.c"
#include "pager/access.c"
#include "pager/trap.c"
