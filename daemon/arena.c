/*
 * arena.c - see arena.h.
 */
#include "config.h"

#include "daemon/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/backing.h"
#include "daemon/cache.h"
#include "daemon/record.h"

/*
 * Wired arenas import this much at least: spans of different imports never
 * coalesce, so small ones fragment the arena for good.  Replaying b-sqlite3
 * into kmem, spans of 64 KiB cost an extent of 2.0 times the peak, spans of
 * 1 MiB 1.2; and a thousandth of --wired is little to hold.
 */
#define WIRED_IMPORT 1048576u

static const char *const fit_names[] = { "instant", "best", "first", "next",
	"last" };
static const vm_flag_t fit_flags[] = { VM_INSTANTFIT, VM_BESTFIT, VM_FIRSTFIT,
	VM_NEXTFIT, VM_LASTFIT };

vm_flag_t
arena_fit_flag(unsigned int fit)
{
	return (fit_flags[fit]);
}

const char *
arena_fit_name(unsigned int fit)
{
	return (fit_names[fit]);
}

const char *
arena_kind_name(enum arena_kind kind)
{
	switch (kind) {
	case ARENA_IDENTIFIERS:
		return ("identifiers");
	case ARENA_VA:
		return ("va");
	case ARENA_WIRED:
		return ("wired");
	case ARENA_PAGEABLE:
		return ("pageable");
	}
	return (NULL);
}

static int
round_up(vmem_size_t size, vmem_size_t quantum, vmem_size_t *out)
{
	vmem_size_t sum;

	if (__builtin_add_overflow(size, quantum - 1, &sum))
		return (ERANGE);
	*out = sum & ~(quantum - 1);
	return (0);
}

/* ---- import and release ------------------------------------------------- */

/*
 * A span of exactly `size`, a multiple of the source's quantum, aligned to
 * ours.  Sizes that a cache of the source serves come through it: what is
 * taken and given back in small spans is what caches are for.  Which way a
 * span came follows from its size, so that release needs no record.
 */
static bool
through_cache(const struct arena *ar, vmem_size_t size)
{
	return (size <= ar->ar_source->ar_qcache_max &&
	    ar->ar_quantum <= ar->ar_source->ar_quantum);
}

static int
span_take(struct arena *ar, vmem_size_t size, vm_flag_t flags,
    vmem_addr_t *addrp)
{
	struct arena *from = ar->ar_source;
	vm_flag_t how = VM_NOSLEEP | (flags & VM_FITMASK);

	if (through_cache(ar, size))
		return (vmem_alloc(from->ar_vm, size, how, addrp));
	return (vmem_xalloc(from->ar_vm, size,
	    ar->ar_quantum > from->ar_quantum ? ar->ar_quantum : 0, 0, 0,
	    VMEM_ADDR_MIN, VMEM_ADDR_MAX, how, addrp));
}

static void
span_give(struct arena *ar, vmem_addr_t addr, vmem_size_t size)
{
	if (through_cache(ar, size))
		vmem_free(ar->ar_source->ar_vm, addr, size);
	else
		vmem_xfree(ar->ar_source->ar_vm, addr, size);
}

static int
import_exact(struct arena *ar, vmem_size_t size, vm_flag_t flags,
    vmem_addr_t *addrp)
{
	vmem_addr_t addr;
	int error = span_take(ar, size, flags, &addr);

	if (error != 0)
		return (error);
	if (ar->ar_kind == ARENA_WIRED &&
	    ar->ar_source->ar_kind == ARENA_VA) {
		error = vmpager_wire(ar->ar_backing->bk_wired, addr, size);
		if (error != 0) {
			span_give(ar, addr, size);
			return (ENOMEM);
		}
	}
	*addrp = addr;
	return (0);
}

static int
arena_import(void *src, vmem_size_t size, vmem_size_t *actual, vm_flag_t flags,
    vmem_addr_t *addrp)
{
	struct arena *ar = src;
	vmem_size_t unit = ar->ar_quantum > ar->ar_source->ar_quantum ?
	    ar->ar_quantum : ar->ar_source->ar_quantum;
	vmem_size_t want;
	int error = ENOMEM;

	if (round_up(size, unit, &want) != 0)
		return (ENOMEM);
	if (ar->ar_kind == ARENA_WIRED && want < WIRED_IMPORT) {
		error = import_exact(ar, WIRED_IMPORT, flags, addrp);
		if (error == 0)
			*actual = WIRED_IMPORT;
	}
	if (error != 0) {
		error = import_exact(ar, want, flags, addrp);
		if (error == 0)
			*actual = want;
	}
	return (error);
}

static void
arena_release(void *src, vmem_addr_t addr, vmem_size_t size)
{
	struct arena *ar = src;

	if (ar->ar_kind == ARENA_WIRED && ar->ar_source->ar_kind == ARENA_VA)
		vmpager_unwire(ar->ar_backing->bk_wired, addr, size);
	span_give(ar, addr, size);
}

/* ---- shared memory ------------------------------------------------------ */

/*
 * A memory file in the place of the span.  Sealed, so that a client that maps
 * it can't truncate it under us; allocated in full, so that running out is an
 * error here and not a signal at the first store.
 */
static int
shared_map(struct arena *ar)
{
	int error, fd = memfd_create(
	    ar->ar_name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *at = (void *)(uintptr_t)ar->ar_base;

	if (fd < 0)
		return (errno);
	if (fchmod(fd, 0600) != 0 || ftruncate(fd, (off_t)ar->ar_size) != 0)
		error = errno;
	else
		error = posix_fallocate(fd, 0, (off_t)ar->ar_size);
	if (error == 0 && fcntl(fd, F_ADD_SEALS,
	    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		error = errno;
	if (error == 0 && mmap(at, ar->ar_size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		error = errno;
	if (error != 0) {
		(void)close(fd);
		return (error);
	}
	ar->ar_fd = fd;
	return (0);
}

static void
shared_unmap(struct arena *ar)
{
	void *at = (void *)(uintptr_t)ar->ar_base;

	if (ar->ar_fd < 0)
		return;
	(void)mmap(at, ar->ar_size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	(void)madvise(at, ar->ar_size, MADV_DONTFORK);
	(void)madvise(at, ar->ar_size, MADV_DONTDUMP);
	(void)close(ar->ar_fd);
	ar->ar_fd = -1;
}

/* What goes with a span that was taken whole. */
static int
span_back(struct arena *ar)
{
	struct backing *bk = ar->ar_backing;
	int error;

	if (ar->ar_kind == ARENA_PAGEABLE)
		return (vmpager_map_create(
		    bk->bk_pager, ar->ar_base, ar->ar_size, &ar->ar_map));
	if (ar->ar_kind != ARENA_WIRED)
		return (0);
	if (ar->ar_shared) {
		error = shared_map(ar);
		if (error != 0)
			return (error);
	}
	error = vmpager_wire(bk->bk_wired, ar->ar_base, ar->ar_size);
	if (error != 0)
		shared_unmap(ar);
	return (error);
}

static void
span_unback(struct arena *ar)
{
	if (ar->ar_kind == ARENA_PAGEABLE)
		vmpager_map_destroy(ar->ar_map);
	if (ar->ar_kind == ARENA_WIRED) {
		vmpager_unwire(
		    ar->ar_backing->bk_wired, ar->ar_base, ar->ar_size);
		shared_unmap(ar);
	}
}

/* ---- life --------------------------------------------------------------- */

static struct arena *
arena_describe(struct backing *bk, const struct arena_spec *as)
{
	struct arena *ar = calloc(1, sizeof(*ar));

	if (ar == NULL)
		return (NULL);
	(void)strncpy(ar->ar_name, as->as_name, sizeof(ar->ar_name) - 1);
	ar->ar_kind = as->as_kind;
	ar->ar_shared = as->as_shared;
	ar->ar_uid = as->as_uid;
	ar->ar_source = as->as_source;
	ar->ar_backing = bk;
	ar->ar_base = as->as_base;
	ar->ar_size = as->as_size;
	ar->ar_quantum = as->as_quantum;
	ar->ar_qcache_max = as->as_qcache_max;
	ar->ar_policy = as->as_policy;
	ar->ar_fd = -1;
	lock_init(&ar->ar_latency_lock, "arena latency", LOCK_LEAF);
	for (unsigned int i = 0; i < ARENA_OPS; i++)
		hist_init(&ar->ar_latency[i]);
	return (ar);
}

int
arena_make(struct backing *bk, const struct arena_spec *as, struct arena **arp)
{
	struct arena *ar = arena_describe(bk, as);
	bool whole = as->as_source != NULL && as->as_size != 0;
	bool imports = as->as_source != NULL && as->as_size == 0;
	int error;

	if (ar == NULL)
		return (ENOMEM);
	if (whole) {
		error = span_take(ar, ar->ar_size, 0, &ar->ar_base);
		if (error != 0)
			goto fail;
		error = span_back(ar);
		if (error != 0)
			goto fail_span;
	}
	ar->ar_vm = vmem_xcreate(ar->ar_name, ar->ar_base, ar->ar_size,
	    ar->ar_quantum, imports ? arena_import : NULL,
	    imports ? arena_release : NULL, ar, as->as_kmem ? 0 : ar->ar_qcache_max,
	    VM_NOSLEEP | VM_CHECK | arena_fit_flag(ar->ar_policy) |
	    (as->as_bootstrap ? VM_BOOTSTRAP : 0));
	if (ar->ar_vm == NULL) {
		error = errno;
		goto fail_back;
	}
	error = as->as_kmem ? cache_open(ar) : 0;
	if (error != 0) {
		vmem_destroy(ar->ar_vm);
		goto fail_back;
	}
	*arp = ar;
	return (0);
fail_back:
	if (whole)
		span_unback(ar);
fail_span:
	if (whole)
		span_give(ar, ar->ar_base, ar->ar_size);
fail:
	lock_fini(&ar->ar_latency_lock);
	free(ar);
	return (error);
}

struct arena *
arena_unmake(struct arena *ar)
{
	struct arena *source;
	uint64_t ops;

	if (ar == NULL)
		return (NULL);
	source = ar->ar_source;
	cache_close(ar);
	(void)record_stop(ar, &ops);
	record_delete(atomic_load(&ar->ar_recorder));
	vmem_destroy(ar->ar_vm);
	if (source != NULL && ar->ar_size != 0) {
		span_unback(ar);
		span_give(ar, ar->ar_base, ar->ar_size);
	}
	lock_fini(&ar->ar_latency_lock);
	free(ar);
	return (source);
}

void
arena_latency(struct arena *ar, enum arena_op op, uint64_t ns)
{
	lock_acquire(&ar->ar_latency_lock);
	hist_record(&ar->ar_latency[op], ns);
	lock_release(&ar->ar_latency_lock);
}

bool
arena_lost(const struct arena *ar, vmem_addr_t addr, vmem_size_t len,
    vmem_addr_t *badp)
{
	vmem_addr_t page = addr & ~(vmem_addr_t)(VMPAGER_PAGE - 1);

	for (; page - addr < len || page < addr; page += VMPAGER_PAGE)
		if (vmpager_page_state(ar->ar_map, page) == 'x') {
			*badp = page;
			return (true);
		}
	return (false);
}
