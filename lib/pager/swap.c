/*
 * swap.c - slots on disk for evicted pages.
 *
 * The file is allocated in full when the pager is created (posix_fallocate):
 * a full disk is an error of the start, with its errno, and not a failed write
 * when there is no way back.  A bitmap says which slots are taken; the search
 * goes on where the last one ended, so that what is evicted together lies
 * together.
 *
 * Beside the file, in memory, each slot has a stamp: whose page it holds, how
 * many times it has been written, and a CRC-32C of all that and the bytes.  A
 * page table entry carries the low bits of the count.  So a page is returned
 * only if the slot holds that page, that version of it, and those bytes; what
 * was lost, misdirected or changed on its way to the disk and back is EIO.
 *
 * Stamps belong to whoever has claimed the page that has the slot, and need no
 * lock.  I/O runs with no lock held.
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

#include "util/crc32c.h"

#define WORD_BITS 64u

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

/* ---- slots ----------------------------------------------------------------*/

static size_t
bitmap_words(uint32_t slots)
{
	return (((size_t)slots + WORD_BITS - 1) / WORD_BITS);
}

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
	words = bitmap_words(sw->sw_slots);
	sw->sw_bitmap = pager_mmap(words * sizeof(uint64_t), 0);
	sw->sw_stamps = pager_mmap(slots * sizeof(struct stamp), 0);
	if (sw->sw_bitmap == NULL || sw->sw_stamps == NULL)
		return (ENOMEM);
	/* What the last word has beyond the end is taken for good. */
	if (slots % WORD_BITS != 0)
		sw->sw_bitmap[words - 1] = UINT64_MAX << (slots % WORD_BITS);
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
	    sw->sw_bitmap, bitmap_words(sw->sw_slots) * sizeof(uint64_t));
	pager_munmap(sw->sw_stamps, sw->sw_slots * sizeof(struct stamp));
	lock_fini(&sw->sw_lock);
}

uint32_t
swap_alloc(struct swap *sw)
{
	uint32_t free, word, slot = NO_SLOT;
	unsigned int bit;

	if (atomic_load_explicit(&sw->sw_free, memory_order_relaxed) == 0)
		return (NO_SLOT);
	lock_acquire(&sw->sw_lock);
	free = atomic_load_explicit(&sw->sw_free, memory_order_relaxed);
	if (free != 0) {
		/* One is free, so the search ends. */
		for (word = sw->sw_hint; sw->sw_bitmap[word] == UINT64_MAX;)
			if (++word == bitmap_words(sw->sw_slots))
				word = 0;
		bit = (unsigned int)__builtin_ctzll(~sw->sw_bitmap[word]);
		sw->sw_bitmap[word] |= (uint64_t)1 << bit;
		sw->sw_hint = word;
		slot = word * WORD_BITS + bit;
		atomic_store_explicit(
		    &sw->sw_free, free - 1, memory_order_relaxed);
	}
	lock_release(&sw->sw_lock);
	return (slot);
}

void
swap_free(struct swap *sw, uint32_t slot)
{
	uint64_t bit = (uint64_t)1 << (slot % WORD_BITS);
	uint64_t *word = &sw->sw_bitmap[slot / WORD_BITS];

	VERIFY(slot < sw->sw_slots);
	sw->sw_stamps[slot].st_owner = OWNER_FREE;
	lock_acquire(&sw->sw_lock);
	VERIFY((*word & bit) != 0);
	*word &= ~bit;
	atomic_store_explicit(&sw->sw_free,
	    atomic_load_explicit(&sw->sw_free, memory_order_relaxed) + 1,
	    memory_order_relaxed);
	atomic_store_explicit(&sw->sw_frees,
	    atomic_load_explicit(&sw->sw_frees, memory_order_relaxed) + 1,
	    memory_order_relaxed);
	lock_release(&sw->sw_lock);
}

bool
swap_taken(struct swap *sw, uint32_t slot)
{
	bool taken = false;

	if (slot < sw->sw_slots) {
		lock_acquire(&sw->sw_lock);
		taken = sw->sw_bitmap[slot / WORD_BITS] >> (slot % WORD_BITS) &
		    1;
		lock_release(&sw->sw_lock);
	}
	return (taken);
}

/* ---- pages in and out -----------------------------------------------------*/

/* `ahead` is the page that will be summed next, or NULL. */
static uint32_t
stamp_sum(const struct stamp *st, const char *bytes, const char *ahead)
{
	uint32_t sum = crc32c_lanes(bytes, VMPAGER_PAGE, ahead);

	sum = crc32c(sum, &st->st_owner, sizeof(st->st_owner));
	return (crc32c(sum, &st->st_gen, sizeof(st->st_gen)));
}

static off_t
slot_offset(uint32_t slot)
{
	return ((off_t)slot << PAGE_SHIFT);
}

/*
 * One call for each page, though a batch has neighbours: written at once they
 * would be kept in one large folio by the page cache (ext4 of Linux 6.16 on),
 * in which every later write of a single page walks the buffers of all.
 * Measured with runs of 64 KiB: 0.9 us a page instead of 1.3 when filling, but
 * 5.2 instead of 3.2 when evicting and reading at random from then on.
 */
int
swap_write(struct swap *sw, uint32_t slot, uint64_t owner, const char *bytes,
    const char *ahead)
{
	struct stamp *st = &sw->sw_stamps[slot];
	size_t have = 0;
	ssize_t done;

	VERIFY(slot < sw->sw_slots);
	st->st_owner = owner;
	st->st_gen++;
	st->st_sum = stamp_sum(st, bytes, ahead);
	while (have < VMPAGER_PAGE) {
		done = pwrite(sw->sw_fd, bytes + have, VMPAGER_PAGE - have,
		    slot_offset(slot) + (off_t)have);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return (EIO);
		have += (size_t)done;
	}
	return (0);
}

int
swap_read(struct swap *sw, uint32_t slot, uint64_t owner, uint32_t gen,
    char *bytes)
{
	const struct stamp *st = &sw->sw_stamps[slot];
	size_t have = 0;
	ssize_t done;

	if (slot >= sw->sw_slots || st->st_owner != owner ||
	    (st->st_gen & SLOT_GEN_MASK) != gen)
		return (EIO);
	while (have < VMPAGER_PAGE) {
		done = pread(sw->sw_fd, bytes + have, VMPAGER_PAGE - have,
		    slot_offset(slot) + (off_t)have);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return (EIO);	/* 0: the file has been cut short */
		have += (size_t)done;
	}
	return (st->st_sum == stamp_sum(st, bytes, NULL) ? 0 : EIO);
}

uint32_t
swap_gen(const struct swap *sw, uint32_t slot)
{
	return (sw->sw_stamps[slot].st_gen & SLOT_GEN_MASK);
}
