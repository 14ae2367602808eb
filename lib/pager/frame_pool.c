/*
 * frame_pool.c - making the pool of frames.
 *
 * In software mode all memory for resident pages is mapped and populated when
 * the pager is created, so that a fault never waits for, nor fails in, the
 * kernel.  In the modes of the MMU the kernel provides a page as it enters the
 * address space, and a frame is the right to have one: a number, or, for uffd,
 * also a place where an evicted page stays until the frame is used again.
 *
 * The bytes and descriptors aren't inherited by fork(2) children: a child that
 * went on paging to the same swap file would corrupt its parent's pages.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Keep 1/256 of the frames free, so that faults evict in batches, but no more
 * than three of those; and none in pools so small that each frame counts.
 */
#define FRAME_MIN_SHARE 256u
#define FRAME_MIN_MAX (3 * EVICT_BATCH)

/* A pool of fewer frames has no magazines: each frame counts. */
#define MAGAZINE_POOL_MIN 4096u

static int
pool_memory(struct frame_pool *fp, uint64_t total, enum frame_memory memory)
{
	size_t len = (size_t)(total << PAGE_SHIFT);

	fp->fp_frames = pager_mmap(total * sizeof(struct frame), 0);
	if (fp->fp_frames == NULL)
		return (ENOMEM);
	if (memory == FRAME_NUMBERS)
		return (0);
	fp->fp_bytes =
	    pager_mmap(len, memory == FRAME_STAGED ? MAP_NORESERVE : 0);
	if (fp->fp_bytes == NULL)
		return (ENOMEM);
	if (memory == FRAME_STAGED) {
		(void)madvise(fp->fp_bytes, len, MADV_NOHUGEPAGE);
		fp->fp_staged = pager_mmap(total, 0);
		return (fp->fp_staged != NULL ? 0 : ENOMEM);
	}
	(void)madvise(fp->fp_bytes, len, MADV_HUGEPAGE);
	return (pager_populate(fp->fp_bytes, len));
}

int
frame_pool_init(struct frame_pool *fp, uint64_t bytes, bool reserve,
    enum frame_memory memory)
{
	uint64_t bound = bytes >> PAGE_SHIFT, total;
	int error;

	fp->fp_reserve = reserve ? FRAME_RESERVE : 0;
	if (bound == 0 || bound >= NO_FRAME - fp->fp_reserve)
		return (EINVAL);
	total = bound + fp->fp_reserve;
	fp->fp_bound = (uint32_t)bound;
	fp->fp_min = fp->fp_bound / FRAME_MIN_SHARE;
	if (fp->fp_min > FRAME_MIN_MAX)
		fp->fp_min = FRAME_MIN_MAX;
	fp->fp_target = (fp->fp_min * 4 + 2) / 3;
	error = pool_memory(fp, total, memory);
	if (error != 0)
		return (error);
	if (bound >= MAGAZINE_POOL_MIN) {
		long cpus = sysconf(_SC_NPROCESSORS_CONF);

		fp->fp_magazines = cpus < 1 ? 1 :
		    cpus > (long)MAGAZINES_MAX ? MAGAZINES_MAX : (uint32_t)cpus;
	}
	/* Lowest frames on top, so that a small working set stays together. */
	atomic_init(&fp->fp_head, NO_FRAME);
	for (uint32_t frame = (uint32_t)total; frame-- > 0;) {
		atomic_init(&fp->fp_frames[frame].fr_slot, NO_SLOT);
		frame_put(fp, frame);
	}
	return (0);
}

void
frame_pool_fini(struct frame_pool *fp)
{
	size_t total = frame_total(fp);

	pager_munmap(fp->fp_bytes, total << PAGE_SHIFT);
	pager_munmap((void *)(uintptr_t)fp->fp_staged, total);
	pager_munmap(fp->fp_frames, total * sizeof(struct frame));
}
