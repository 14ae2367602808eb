/*
 * mode_sigsegv.c - pages in the address space, by mprotect(2) and SIGSEGV.
 *
 * For kernels without userfaultfd(2), or that refuse it.  A page that isn't
 * resident is PROT_NONE, a clean one PROT_READ, a dirty one writable.  A fault
 * is a signal to the thread that faulted (trap.c).
 *
 * In.  A page of zeros is one that the kernel hasn't provided yet: changing its
 * protection is all.  Bytes from swap get there through /proc/self/mem, which
 * writes to pages that nobody can reach yet; so they are whole when they can.
 *
 * Out.  A run is made read-only, written where it is, then made unreachable,
 * then given back to the kernel: in this order, or a reader would see zeros.
 *
 * Every change of protection between neighbours is another mapping, and those
 * are bounded (vm.max_map_count).  So pages come and go by clusters as far as
 * possible, which is also what makes two system calls a page bearable; and
 * sigsegv_init() refuses more frames than there could be mappings for if each
 * were alone, so that no change of protection fails for want of one.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pager/sigsegv.h"

static size_t
run_bytes(unsigned int n)
{
	return ((size_t)n << PAGE_SHIFT);
}

static char *
sigsegv_room(struct vmpager *pg, const struct run *rn, char *bounce)
{
	(void)pg;
	(void)rn;
	return (bounce);
}

/* Write bytes to pages that are PROT_NONE; 0 or ENOMEM. */
static int
sigsegv_fill(struct vmpager *pg, const char *to, const char *from, size_t len)
{
	ssize_t done;
	size_t have = 0;

	while (have < len) {
		done = pwrite(pg->pg_fd, from + have, len - have,
		    (off_t)(uintptr_t)to + (off_t)have);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return (ENOMEM);
		have += (size_t)done;
	}
	return (0);
}

static void
sigsegv_empty(char *at, size_t len)
{
	if (madvise(at, len, MADV_DONTNEED) == 0)
		return;
	(void)munlock(at, len);		/* mlockall(2) of the host */
	VERIFY(madvise(at, len, MADV_DONTNEED) == 0);
}

static int
sigsegv_enter(const struct run *rn, const char *room, bool write)
{
	struct vmpager_map *mp = rn->rn_map;
	char *at = map_address(mp, rn->rn_first);
	size_t len = run_bytes(rn->rn_count);
	int error = 0;

	if (room != NULL)
		error = sigsegv_fill(mp->mp_pager, at, room, len);
	if (error == 0 &&
	    mprotect(at, len, write ? PROT_READ | PROT_WRITE : PROT_READ) != 0)
		error = ENOMEM;
	if (error != 0 && room != NULL)
		sigsegv_empty(at, len);
	return (error);
}

static int
sigsegv_upgrade(struct vmpager_map *mp, uint64_t page)
{
	return (mprotect(map_address(mp, page), VMPAGER_PAGE,
		    PROT_READ | PROT_WRITE) == 0 ? 0 : ENOMEM);
}

static int
sigsegv_revoke(struct vmpager *pg, struct victim *vi, unsigned int n)
{
	char *at = map_address(vi->vi_map, vi->vi_page);
	bool dirty = false;

	(void)pg;
	for (unsigned int i = 0; i < n; i++) {
		vi[i].vi_bytes = at + run_bytes(i);
		dirty |= (vi[i].vi_pte & PTE_DIRTY) != 0;
	}
	/* What is clean can't be written to as it is. */
	if (dirty && mprotect(at, run_bytes(n), PROT_READ) != 0)
		return (ENOMEM);
	return (0);
}

static void
sigsegv_hide(char *at, size_t len)
{
	VERIFY(mprotect(at, len, PROT_NONE) == 0);
}

static void
sigsegv_drop(struct vmpager *pg, struct victim *vi, unsigned int n)
{
	(void)pg;
	sigsegv_hide(map_address(vi->vi_map, vi->vi_page), run_bytes(n));
	sigsegv_empty(map_address(vi->vi_map, vi->vi_page), run_bytes(n));
}

static void
sigsegv_restore(struct vmpager *pg, struct victim *vi)
{
	(void)pg;
	/* If this fails, the next write will be a fault, and try again. */
	if ((vi->vi_pte & PTE_DIRTY) != 0)
		(void)sigsegv_upgrade(vi->vi_map, vi->vi_page);
}

static void
sigsegv_discard(struct vmpager_map *mp, uint64_t page, unsigned int n)
{
	sigsegv_hide(map_address(mp, page), run_bytes(n));
	sigsegv_empty(map_address(mp, page), run_bytes(n));
}

static void *
sigsegv_bytes(struct vmpager_map *mp, uint64_t page, uint32_t frame)
{
	(void)frame;
	return (map_address(mp, page));
}

const struct mode mode_sigsegv = {
	.md_name = "sigsegv",
	.md_mmu = true,
	.md_clusters = true,
	.md_signal = SIGSEGV,
	.md_probe = sigsegv_probe,
	.md_init = sigsegv_init,
	.md_fini = sigsegv_fini,
	.md_map_init = sigsegv_map_init,
	.md_map_fini = sigsegv_map_fini,
	.md_room = sigsegv_room,
	.md_enter = sigsegv_enter,
	.md_revoke = sigsegv_revoke,
	.md_drop = sigsegv_drop,
	.md_restore = sigsegv_restore,
	.md_discard = sigsegv_discard,
	.md_bytes = sigsegv_bytes,
	.md_upgrade = sigsegv_upgrade,
};
