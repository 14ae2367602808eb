/*
 * mode_uffd.c - pages in the address space, by userfaultfd(2).
 *
 * 1. The spans of maps are registered for missing pages and for write
 * protection.  With UFFD_FEATURE_SIGBUS a fault isn't a message to another
 * thread but a signal to the one that faulted, which runs the fault path by
 * itself (trap.c): a wake-up on another CPU would cost more than the rest.
 * UFFD_USER_MODE_ONLY makes all this available without privileges; faults of
 * the kernel, as it copies for a system call, end in EFAULT.
 *
 * 2. In.  UFFDIO_COPY makes a page present at once and whole, and interrupts no
 * other CPU.  A page that is only read comes in write protected, so that it
 * stays known as clean; its first write is a second fault (md_upgrade).
 *
 * 3. Out.  A page must leave before its bytes are final.  Two ways:
 *
 *    UFFDIO_MOVE (Linux 6.8) to the place of the page's frame.  It is written
 *	  from there, and the frame keeps the memory ("staged"): the next page
 *	  that comes into this frame is prepared there and moved in.  Nothing is
 *	  copied, allocated or freed; but each move is an interruption of every
 *	  other CPU that runs a thread of the process (some 10 us in a virtual
 *	  machine).
 *
 *    Write protect, write it where it is, drop.  Interrupts twice, but for a
 *	  run of up to 16 pages at a time, and coming in again costs none.
 *
 * The first is for a thread that is alone (fault_alone()), the second for
 * several, for old kernels, and for what the first refuses.  A frame that is
 * staged when a page must come in write protected, which UFFDIO_MOVE can't,
 * gives its memory back.
 *
 * Costs on one machine, in ns a page, alone / beside another thread: COPY 1200
 * / 1000, MOVE 750 / 10300, write protection 600 / 10500, dropping 1100 /
 * 11300; by 16: COPY 700 / 700, MOVE 155 / 800, protection 150 / 720, dropping
 * 380 / 940.
 */
#include "config.h"

#include "pager/uffd.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "pager/uapi.h"

/* EAGAIN of the kernel means that the address space is being changed: it is
 * tried again, and this is far more often than ever needed. */
#define UFFD_TRIES 100000

static uint64_t
address(const void *p)
{
	return ((uint64_t)(uintptr_t)p);
}

/* ---- the four operations --------------------------------------------------*/

/* Drop whatever is at a page that isn't resident: a poison marker. */
static void
uffd_clear(char *to, size_t len)
{
	(void)madvise(to, len, MADV_DONTNEED);
}

static int
uffd_copy(struct vmpager *pg, char *to, const char *from, size_t len,
    bool write)
{
	struct uffdio_copy copy = { .mode = write ? 0 : UFFDIO_COPY_MODE_WP };
	size_t done = 0;

	for (int i = 0; i < UFFD_TRIES; i++) {
		copy.dst = address(to) + done;
		copy.src = address(from) + done;
		copy.len = len - done;
		copy.copy = 0;
		if (ioctl(pg->pg_fd, UFFDIO_COPY, &copy) == 0)
			return (0);
		if (errno == EEXIST)
			uffd_clear(to + done, VMPAGER_PAGE);
		else if (errno != EAGAIN)
			break;
		if (copy.copy > 0)
			done += (size_t)copy.copy;
	}
	uffd_clear(to, len);
	return (ENOMEM);
}

static int
uffd_move(struct vmpager *pg, char *to, char *from, size_t len)
{
	struct uffdio_move move = { 0 };
	size_t done = 0;

	for (int i = 0; i < UFFD_TRIES; i++) {
		move.dst = address(to) + done;
		move.src = address(from) + done;
		move.len = len - done;
		move.move = 0;
		if (ioctl(pg->pg_fd, UFFDIO_MOVE, &move) == 0)
			return (0);
		if (errno == EEXIST)
			uffd_clear(to + done, VMPAGER_PAGE);
		else if (errno != EAGAIN)
			break;
		if (move.move > 0)
			done += (size_t)move.move;
	}
	if (done != 0)
		VERIFY(uffd_move(pg, from, to, done) == 0);
	return (ENOMEM);
}

static int
uffd_protect(struct vmpager *pg, char *at, size_t len, bool on)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = address(at), .len = len },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	for (int i = 0; i < UFFD_TRIES; i++) {
		if (ioctl(pg->pg_fd, UFFDIO_WRITEPROTECT, &wp) == 0)
			return (0);
		if (errno != EAGAIN)
			break;
	}
	return (ENOMEM);
}

static void
uffd_drop_pages(char *at, size_t len)
{
	int error;

	do
		error = madvise(at, len, MADV_DONTNEED) == 0 ? 0 : errno;
	while (error == EAGAIN || error == EINTR);
	if (error == EINVAL) {
		/* Locked, by mlockall(2) of the host. */
		(void)munlock(at, len);
		error = madvise(at, len, MADV_DONTNEED) == 0 ? 0 : errno;
	}
	VERIFY(error == 0);
}

/* ---- staged frames --------------------------------------------------------*/

static bool
staged(const struct frame_pool *fp, uint32_t frame)
{
	return (atomic_load_explicit(&fp->fp_staged[frame],
		    memory_order_relaxed) != 0);
}

static void
stage(struct frame_pool *fp, uint32_t frame, bool on)
{
	atomic_store_explicit(
	    &fp->fp_staged[frame], on ? 1 : 0, memory_order_relaxed);
}

static void
unstage(struct frame_pool *fp, uint32_t frame)
{
	uffd_drop_pages(frame_bytes(fp, frame), VMPAGER_PAGE);
	stage(fp, frame, false);
}

/* ---- in -------------------------------------------------------------------*/

static char *
uffd_room(struct vmpager *pg, const struct run *rn, char *bounce)
{
	const struct frame_pool *fp = &pg->pg_pool;

	if (rn->rn_count == 1 && staged(fp, rn->rn_frame[0]))
		return (frame_bytes(fp, rn->rn_frame[0]));
	return (bounce);
}

static int
uffd_enter(const struct run *rn, const char *room, bool write)
{
	struct vmpager_map *mp = rn->rn_map;
	struct vmpager *pg = mp->mp_pager;
	struct frame_pool *fp = &pg->pg_pool;
	char *to = map_address(mp, rn->rn_first);
	uint32_t frame = rn->rn_frame[0];
	int error;

	if (rn->rn_count == 1 && write && staged(fp, frame)) {
		if (room == NULL)
			memset(frame_bytes(fp, frame), 0, VMPAGER_PAGE);
		else if (room != frame_bytes(fp, frame))
			memcpy(frame_bytes(fp, frame), room, VMPAGER_PAGE);
		if (uffd_move(pg, to, frame_bytes(fp, frame), VMPAGER_PAGE) ==
		    0) {
			stage(fp, frame, false);
			return (0);
		}
	}
	error = uffd_copy(pg, to, room != NULL ? room : pg->pg_bounce.bn_zeros,
	    (size_t)rn->rn_count << PAGE_SHIFT, write);
	for (unsigned int i = 0; error == 0 && i < rn->rn_count; i++)
		if (staged(fp, rn->rn_frame[i]))
			unstage(fp, rn->rn_frame[i]);
	return (error);
}

static int
uffd_upgrade(struct vmpager_map *mp, uint64_t page)
{
	return (uffd_protect(mp->mp_pager, map_address(mp, page), VMPAGER_PAGE,
	    false));
}

/* ---- out ------------------------------------------------------------------*/

/* Move a run, as far as its frames are adjacent as well; how many. */
static unsigned int
uffd_move_out(struct vmpager *pg, struct victim *vi, unsigned int n)
{
	struct frame_pool *fp = &pg->pg_pool;
	char *to = frame_bytes(fp, vi->vi_frame);
	unsigned int count = 1;

	while (count < n && vi[count].vi_frame == vi->vi_frame + count)
		count++;
	if (uffd_move(pg, to, map_address(vi->vi_map, vi->vi_page),
		(size_t)count << PAGE_SHIFT) != 0)
		return (0);
	for (unsigned int i = 0; i < count; i++) {
		vi[i].vi_bytes = to + ((size_t)i << PAGE_SHIFT);
		stage(fp, vi[i].vi_frame, true);
	}
	return (count);
}

/* Leave a run where it is, but protected.  What is clean is so already. */
static int
uffd_protect_out(struct vmpager *pg, struct victim *vi, unsigned int n)
{
	char *at = map_address(vi->vi_map, vi->vi_page);
	bool dirty = false;

	for (unsigned int i = 0; i < n; i++) {
		vi[i].vi_bytes = at + ((size_t)i << PAGE_SHIFT);
		dirty |= (vi[i].vi_pte & PTE_DIRTY) != 0;
	}
	return (dirty ? uffd_protect(pg, at, (size_t)n << PAGE_SHIFT, true)
		      : 0);
}

static bool
all_clean(const struct victim *vi, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if ((vi[i].vi_pte & PTE_DIRTY) != 0)
			return (false);
	return (true);
}

static int
uffd_revoke(struct vmpager *pg, struct victim *vi, unsigned int n)
{
	unsigned int done = 0, count;

	/* Clean pages aren't looked at: dropping them is all there is to do. */
	if (pg->pg_move && fault_alone(pg) && !all_clean(vi, n))
		for (; done < n; done += count) {
			count = uffd_move_out(pg, vi + done, n - done);
			if (count == 0)
				break;
		}
	if (done == n)
		return (0);
	/* Those that were moved can go on; the rest by the other way. */
	return (uffd_protect_out(pg, vi + done, n - done));
}

static void
uffd_drop(struct vmpager *pg, struct victim *vi, unsigned int n)
{
	unsigned int end;

	for (unsigned int i = 0; i < n; i = end) {
		end = i + 1;
		if (staged(&pg->pg_pool, vi[i].vi_frame))
			continue;
		while (end < n && !staged(&pg->pg_pool, vi[end].vi_frame))
			end++;
		uffd_drop_pages(map_address(vi[i].vi_map, vi[i].vi_page),
		    (size_t)(end - i) << PAGE_SHIFT);
	}
}

static void
uffd_restore(struct vmpager *pg, struct victim *vi)
{
	struct frame_pool *fp = &pg->pg_pool;
	char *at = map_address(vi->vi_map, vi->vi_page);
	char *from = frame_bytes(fp, vi->vi_frame);
	bool dirty = (vi->vi_pte & PTE_DIRTY) != 0;

	if (!staged(fp, vi->vi_frame)) {
		if (dirty)
			(void)uffd_protect(pg, at, VMPAGER_PAGE, false);
		return;
	}
	if (dirty && uffd_move(pg, at, from, VMPAGER_PAGE) == 0) {
		stage(fp, vi->vi_frame, false);
		return;
	}
	/* There is memory for it in the frame, and nowhere else to go. */
	VERIFY(uffd_copy(pg, at, from, VMPAGER_PAGE, dirty) == 0);
	unstage(fp, vi->vi_frame);
}

static void
uffd_discard(struct vmpager_map *mp, uint64_t page, unsigned int n)
{
	uffd_drop_pages(map_address(mp, page), (size_t)n << PAGE_SHIFT);
}

static void *
uffd_bytes(struct vmpager_map *mp, uint64_t page, uint32_t frame)
{
	(void)frame;
	return (map_address(mp, page));
}

#define MODE_UFFD							\
	.md_mmu = true,							\
	.md_signal = SIGBUS,						\
	.md_fini = uffd_fini,						\
	.md_map_init = uffd_map_init,					\
	.md_map_fini = uffd_map_fini,					\
	.md_room = uffd_room,						\
	.md_enter = uffd_enter,						\
	.md_revoke = uffd_revoke,					\
	.md_drop = uffd_drop,						\
	.md_restore = uffd_restore,					\
	.md_discard = uffd_discard,					\
	.md_bytes = uffd_bytes,						\
	.md_upgrade = uffd_upgrade

const struct mode mode_uffd = {
	.md_name = "uffd",
	.md_probe = uffd_probe,
	.md_init = uffd_init,
	MODE_UFFD,
};

/* The same, but a thread of the host's runs the fault path: see serve.c. */
const struct mode mode_uffd_thread = {
	.md_name = "uffd-thread",
	.md_probe = uffd_thread_probe,
	.md_init = uffd_thread_init,
	MODE_UFFD,
};
