/*
 * uffd_init.c - userfaultfd(2): what the kernel has, and what is registered.
 *
 * Spans are registered once, when a map is made, and never page by page: every
 * boundary of a registration is a mapping of its own, and those are bounded
 * (vm.max_map_count).
 */
#include "config.h"

#include "pager/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pager/uapi.h"

/* A descriptor with exactly these features, or -1 and errno. */
static int
uffd_open(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int error, fd;

	fd = (int)syscall(SYS_userfaultfd,
	    O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		return (-1);
	if (ioctl(fd, UFFDIO_API, &api) == 0)
		return (fd);
	error = errno;
	(void)close(fd);
	errno = error;
	return (-1);
}

static bool
uffd_has(uint64_t features)
{
	int fd = uffd_open(features);

	if (fd >= 0)
		(void)close(fd);
	return (fd >= 0);
}

#define UFFD_WANTED (UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP)
#define UFFD_THREAD_WANTED                                                   \
	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_POISON)

int
uffd_probe(const char **why)
{
	if (uffd_has(UFFD_WANTED))
		return (0);
	*why = errno == EINVAL
	    ? "the kernel's userfaultfd lacks SIGBUS or write protection (5.7)"
	    : "the kernel refuses userfaultfd(2) in user mode (5.11)";
	return (ENOTSUP);
}

int
uffd_thread_probe(const char **why)
{
	int error = uffd_probe(why);

	if (error == 0 && !uffd_has(UFFD_THREAD_WANTED)) {
		*why = "the kernel's userfaultfd lacks UFFDIO_POISON (6.6)";
		error = ENOTSUP;
	}
	return (error);
}

uint32_t
uffd_kernel_has(void)
{
	static const struct {
		uint64_t feature;
		uint32_t bit;
	} table[] = {
		{ UFFD_FEATURE_SIGBUS, VMPAGER_HAS_SIGBUS },
		{ UFFD_FEATURE_PAGEFAULT_FLAG_WP, VMPAGER_HAS_WP },
		{ UFFD_FEATURE_POISON, VMPAGER_HAS_POISON },
		{ UFFD_FEATURE_WP_ASYNC, VMPAGER_HAS_WP_ASYNC },
		{ UFFD_FEATURE_MOVE, VMPAGER_HAS_MOVE },
	};
	uint32_t has = uffd_has(0) ? VMPAGER_HAS_UFFD : 0;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (has != 0 && uffd_has(table[i].feature))
			has |= table[i].bit;
	return (has);
}

static int
uffd_register(struct vmpager *pg, const void *at, size_t len)
{
	struct uffdio_register rg = {
		.range = { .start = (uint64_t)(uintptr_t)at, .len = len },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	return (ioctl(pg->pg_fd, UFFDIO_REGISTER, &rg) == 0 ? 0 : errno);
}

static int
uffd_start(struct vmpager *pg, uint64_t frames, uint64_t features)
{
	const struct frame_pool *fp = &pg->pg_pool;
	int error;

	if ((pg->pg_without & VMPAGER_HAS_MOVE) == 0)
		pg->pg_fd = uffd_open(features | UFFD_FEATURE_MOVE);
	pg->pg_move = pg->pg_fd >= 0;
	if (pg->pg_fd < 0)
		pg->pg_fd = uffd_open(features);
	if (pg->pg_fd < 0)
		return (errno == EINVAL ? ENOTSUP : errno);
	error = frame_pool_init(&pg->pg_pool, frames,
	    pg->pg_swap.sw_slots != 0, FRAME_STAGED);
	/* The places of frames are where pages are moved to, and so belong to
	 * the same descriptor. */
	if (error == 0)
		error = uffd_register(pg, fp->fp_bytes,
		    (size_t)frame_total(fp) << PAGE_SHIFT);
	if (error == 0)
		error = bounce_init(&pg->pg_bounce);
	return (error);
}

int
uffd_init(struct vmpager *pg, uint64_t frames)
{
	return (uffd_start(pg, frames, UFFD_WANTED));
}

int
uffd_thread_init(struct vmpager *pg, uint64_t frames)
{
	pg->pg_stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pg->pg_stop_fd < 0)
		return (errno);
	return (uffd_start(pg, frames, UFFD_THREAD_WANTED));
}

void
uffd_fini(struct vmpager *pg)
{
	if (pg->pg_fd >= 0)
		(void)close(pg->pg_fd);
	if (pg->pg_stop_fd >= 0)
		(void)close(pg->pg_stop_fd);
	bounce_fini(&pg->pg_bounce);
}

/* The memory of a map is the caller's again, and nothing is left in it: not the
 * markers of faults that couldn't be served, either (serve.c). */
static void
uffd_unregister(struct vmpager_map *mp)
{
	char *at = map_address(mp, 0);
	size_t len = (size_t)(mp->mp_pages << PAGE_SHIFT);
	struct uffdio_range range = { .start = (uint64_t)(uintptr_t)at,
		.len = len };

	(void)ioctl(mp->mp_pager->pg_fd, UFFDIO_UNREGISTER, &range);
	if (madvise(at, len, MADV_DONTNEED) != 0) {
		(void)munlock(at, len);		/* mlockall(2) of the host */
		(void)madvise(at, len, MADV_DONTNEED);
	}
}

int
uffd_map_init(struct vmpager_map *mp)
{
	char *at = map_address(mp, 0);
	size_t len = (size_t)(mp->mp_pages << PAGE_SHIFT);
	int error;

	/* A huge page would come in without a fault for each of its pages. */
	if (madvise(at, len, MADV_NOHUGEPAGE) != 0 && errno != EINVAL)
		return (errno);
	/* A child's pages wouldn't be registered, and read as zeros. */
	if (madvise(at, len, MADV_DONTNEED) != 0 ||
	    madvise(at, len, MADV_DONTFORK) != 0)
		return (errno);
	error = uffd_register(mp->mp_pager, at, len);
	if (error != 0)
		return (error);
	error = trap_add(mp);
	if (error != 0)
		uffd_unregister(mp);
	return (error);
}

void
uffd_map_fini(struct vmpager_map *mp)
{
	trap_remove(mp);
	uffd_unregister(mp);
}
