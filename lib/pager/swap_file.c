/*
 * swap_file.c - the file behind the slots, and their table.
 *
 * The file is allocated in full when the pager is created (posix_fallocate):
 * a full disk is an error of the start, with its errno, and not a failed write
 * when there is no way back.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file -------------------------------------------------------------*/

/* A file without a name in `dir`: by O_TMPFILE, or made and unlinked where the
 * file system lacks it.  0 or an errno. */
static int
open_unlinked(const char *dir, int *fdp)
{
	char path[PATH_MAX];
	int fd, len;

	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd < 0) {
		len = snprintf(path, sizeof(path), "%s/vmpager.XXXXXX", dir);
		if (len < 0 || (size_t)len >= sizeof(path))
			return (ENAMETOOLONG);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd < 0)
			return (errno);
		(void)unlink(path);
	}
	*fdp = fd;
	return (0);
}

static int
open_temporary(int *fdp)
{
	const char *dir = secure_getenv("TMPDIR");

	if (dir != NULL && dir[0] != '\0')
		return (open_unlinked(dir, fdp));
	/* /var/tmp is meant for large files; /tmp may well be memory. */
	if (open_unlinked("/var/tmp", fdp) == 0)
		return (0);
	return (open_unlinked("/tmp", fdp));
}

/*
 * A named file, regular, ours, and nobody else's: other users must not read
 * what is paged out, and a second pager must not write to it (EBUSY).
 */
static int
open_named(const char *path, int *fdp)
{
	struct stat st;
	int error, fd;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return (errno);
	if (fstat(fd, &st) != 0)
		error = errno;
	else if (!S_ISREG(st.st_mode))
		error = EINVAL;
	else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		error = errno == EWOULDBLOCK ? EBUSY : errno;
	else if ((st.st_mode & 077) != 0 && fchmod(fd, 0600) != 0)
		error = errno;
	else
		error = 0;
	if (error != 0)
		(void)close(fd);
	else
		*fdp = fd;
	return (error);
}

static int
swap_open(const char *path, uint64_t bytes, int *fdp)
{
	int error, fd;

	if (bytes > INT64_MAX)
		return (EFBIG);
	error = path == NULL ? open_temporary(&fd) : open_named(path, &fd);
	if (error != 0)
		return (error);
	do
		error = posix_fallocate(fd, 0, (off_t)bytes);
	while (error == EINTR);
	if (error != 0)
		(void)close(fd);
	else
		*fdp = fd;
	return (error);
}

/* ---- the table ------------------------------------------------------------*/

int
swap_init(struct swap *sw, const char *path, uint64_t bytes)
{
	uint64_t slots = bytes >> PAGE_SHIFT;
	size_t words;
	int error;

	sw->sw_fd = -1;
	lock_init(&sw->sw_lock, "pager swap", LOCK_PAGER_SWAP);
	if ((path != NULL && strcmp(path, "none") == 0) || slots == 0)
		return (0);
	if (slots >= NO_SLOT)
		return (EFBIG);
	error = swap_open(path, slots << PAGE_SHIFT, &sw->sw_fd);
	if (error != 0)
		return (error);
	sw->sw_slots = (uint32_t)slots;
	words = swap_words(sw->sw_slots);
	sw->sw_bitmap = pager_mmap(words * sizeof(uint64_t), 0);
	sw->sw_stamps = pager_mmap(slots * sizeof(struct stamp), 0);
	if (sw->sw_bitmap == NULL || sw->sw_stamps == NULL)
		return (ENOMEM);
	/* What the last word has beyond the end is taken for good. */
	if (slots % SWAP_WORD_BITS != 0)
		sw->sw_bitmap[words - 1] = UINT64_MAX << (slots % SWAP_WORD_BITS);
	atomic_init(&sw->sw_free, sw->sw_slots);
	return (0);
}

void
swap_fini(struct swap *sw)
{
	if (sw->sw_fd >= 0)
		(void)close(sw->sw_fd);
	sw->sw_fd = -1;
	pager_munmap(
	    sw->sw_bitmap, swap_words(sw->sw_slots) * sizeof(uint64_t));
	pager_munmap(sw->sw_stamps, sw->sw_slots * sizeof(struct stamp));
	lock_fini(&sw->sw_lock);
}
