/*
 * wired.c - memory that is populated from the start and never evicted.
 *
 * The caller has mapped the addresses; a wired range gets its frames from the
 * kernel at once (MADV_POPULATE_WRITE, one call a range), so that using it
 * neither faults nor fails, and gives them back when it goes.  One counter,
 * moved by compare-and-swap before anything is populated, bounds it all.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <sys/mman.h>

struct vmpager_wired {
	uint64_t wi_limit;		/* [I] bytes */
	_Atomic uint64_t wi_bytes;	/* [a] wired now */
};

int
vmpager_wired_create(uint64_t limit_bytes, struct vmpager_wired **wiredp)
{
	struct vmpager_wired *wired = pager_mmap(sizeof(*wired), 0);

	if (wired == NULL)
		return (ENOMEM);
	wired->wi_limit = limit_bytes;
	*wiredp = wired;
	return (0);
}

void
vmpager_wired_destroy(struct vmpager_wired *wired)
{
	pager_munmap(wired, sizeof(*wired));
}

/* Outwards to whole pages; a range at the very end of the address space would
 * wrap, but nothing is mapped there. */
static void
round_out(vmem_addr_t *addr, vmem_size_t *size)
{
	vmem_addr_t end = *addr + *size;

	*addr -= *addr % VMPAGER_PAGE;
	end += -end % VMPAGER_PAGE;
	*size = end - *addr;
}

static int
wired_charge(struct vmpager_wired *wired, uint64_t bytes)
{
	uint64_t old =
	    atomic_load_explicit(&wired->wi_bytes, memory_order_relaxed);

	do {
		if (old > wired->wi_limit || bytes > wired->wi_limit - old)
			return (ENOMEM);
	} while (!atomic_compare_exchange_weak_explicit(&wired->wi_bytes, &old,
	    old + bytes, memory_order_relaxed, memory_order_relaxed));
	return (0);
}

/*
 * Give the frames of a range back, so that it reads as zeros.  Locked memory
 * refuses MADV_DONTNEED with EINVAL (as all of it is after mlockall(2) in the
 * host), so it is unlocked first.  Returns an errno.
 */
static int
range_drop(vmem_addr_t addr, vmem_size_t size)
{
	void *mem = (void *)(uintptr_t)addr;

	if (madvise(mem, (size_t)size, MADV_DONTNEED) == 0)
		return (0);
	(void)munlock(mem, (size_t)size);
	return (madvise(mem, (size_t)size, MADV_DONTNEED) == 0 ? 0 : errno);
}

int
vmpager_wire(struct vmpager_wired *wired, vmem_addr_t addr, vmem_size_t size)
{
	int error;

	round_out(&addr, &size);
	if (size == 0)
		return (0);
	error = wired_charge(wired, size);
	if (error != 0)
		return (error);
	error = pager_populate((char *)(uintptr_t)addr, (size_t)size);
	if (error != 0) {
		/* It is the caller's to know what isn't mapped. */
		(void)range_drop(addr, size);
		(void)atomic_fetch_sub_explicit(
		    &wired->wi_bytes, size, memory_order_relaxed);
	}
	return (error);
}

void
vmpager_unwire(struct vmpager_wired *wired, vmem_addr_t addr, vmem_size_t size)
{
	uint64_t old;
	int error;

	round_out(&addr, &size);
	if (size == 0)
		return;
	error = range_drop(addr, size);
	if (error != 0)
		vmem_panic("vmpager_unwire(%#llx, %#llx): expected private "
			   "memory (errno %d)",
		    (unsigned long long)addr, (unsigned long long)size, error);
	old = atomic_fetch_sub_explicit(
	    &wired->wi_bytes, size, memory_order_relaxed);
	VERIFY(old >= size);
}

uint64_t
vmpager_wired_bytes(const struct vmpager_wired *wired)
{
	return (atomic_load_explicit(&wired->wi_bytes, memory_order_relaxed));
}
