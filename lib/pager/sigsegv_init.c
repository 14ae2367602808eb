/*
 * sigsegv_init.c - what mode_sigsegv.c needs of the kernel.
 */
#include "config.h"

#include "pager/sigsegv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The kernel's own, where it doesn't say. */
#define MAP_COUNT_DEFAULT 65530u

/* Left to the program: libraries, stacks, what malloc maps. */
#define MAP_COUNT_OTHERS 4096u

/* Can a page that nobody may reach be written to through the file? */
static bool
mem_writes(int fd)
{
	static const char byte = 1;
	char *page = pager_mmap(VMPAGER_PAGE, 0);
	bool works;

	if (page == NULL)
		return (false);
	works = mprotect(page, VMPAGER_PAGE, PROT_NONE) == 0 &&
	    pwrite(fd, &byte, 1, (off_t)(uintptr_t)page) == 1 &&
	    mprotect(page, VMPAGER_PAGE, PROT_READ) == 0 && *page == byte;
	pager_munmap(page, VMPAGER_PAGE);
	return (works);
}

static int
mem_open(int *fdp)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return (ENOTSUP);
	if (!mem_writes(fd)) {
		(void)close(fd);
		return (ENOTSUP);
	}
	*fdp = fd;
	return (0);
}

int
sigsegv_probe(const char **why)
{
	int fd;

	if (mem_open(&fd) != 0) {
		*why = "the kernel refuses to write to /proc/self/mem";
		return (ENOTSUP);
	}
	(void)close(fd);
	return (0);
}

static uint64_t
map_count_max(void)
{
	char text[32];
	uint64_t max = 0;
	ssize_t len = -1;
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		len = read(fd, text, sizeof(text));
		(void)close(fd);
	}
	for (ssize_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
		max = max * 10 + (uint64_t)(text[i] - '0');
	return (max != 0 ? max : MAP_COUNT_DEFAULT);
}

/* A frame alone is a mapping, and parts the one that it lies in. */
static uint64_t
frames_max(void)
{
	uint64_t max = map_count_max();

	return (max > MAP_COUNT_OTHERS ? (max - MAP_COUNT_OTHERS) / 2 : 0);
}

int
sigsegv_init(struct vmpager *pg, uint64_t frames)
{
	int error;

	if ((frames >> PAGE_SHIFT) > frames_max())
		return (E2BIG);
	error = mem_open(&pg->pg_fd);
	if (error == 0)
		error = frame_pool_init(&pg->pg_pool, frames,
		    pg->pg_swap.sw_slots != 0, FRAME_NUMBERS);
	if (error == 0)
		error = bounce_init(&pg->pg_bounce);
	return (error);
}

void
sigsegv_fini(struct vmpager *pg)
{
	if (pg->pg_fd >= 0)
		(void)close(pg->pg_fd);
	bounce_fini(&pg->pg_bounce);
}

/* The memory of a map is the caller's again. */
static void
sigsegv_open(struct vmpager_map *mp)
{
	(void)mprotect(map_address(mp, 0),
	    (size_t)(mp->mp_pages << PAGE_SHIFT), PROT_READ | PROT_WRITE);
}

int
sigsegv_map_init(struct vmpager_map *mp)
{
	char *at = map_address(mp, 0);
	size_t len = (size_t)(mp->mp_pages << PAGE_SHIFT);
	int error;

	/*
	 * Pages that are touched one by one, with others between that never
	 * were, would each begin an anon_vma of their own, by which the kernel
	 * then never joins them again, protected alike or not: a page that is
	 * touched before there are parts gives them all the same one.
	 */
	*(volatile char *)at = 0;
	/* A huge page would be more than the frames that were counted. */
	if (madvise(at, len, MADV_NOHUGEPAGE) != 0 && errno != EINVAL)
		return (errno);
	if (madvise(at, len, MADV_DONTNEED) != 0 ||
	    madvise(at, len, MADV_DONTFORK) != 0 ||
	    mprotect(at, len, PROT_NONE) != 0)
		return (errno);
	error = trap_add(mp);
	if (error != 0)
		sigsegv_open(mp);
	return (error);
}

void
sigsegv_map_fini(struct vmpager_map *mp)
{
	trap_remove(mp);
	sigsegv_open(mp);
}
