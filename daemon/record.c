/*
 * record.c - see record.h.
 *
 * An arena's recorder stays with it until the arena ends, stopped or not:
 * whoever has just read the pointer may use it without a reference.  Another
 * record_start() puts it to work again.
 *
 *	buffers	filled in turn, by number: rc_filling is appended to,
 *		[rc_writing, rc_filling) are full, and the thread's
 */
#include "config.h"

#include "daemon/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/arena.h"
#include "daemon/thread.h"

#define RECORD_BUFFERS 8u
#define BUFFER_SIZE (256u * 1024)
#define LINE_MAX_BYTES 64u

struct recorder {
	pthread_mutex_t rc_mutex;	/* a leaf; with two conditions */
	pthread_cond_t rc_full;		/* the thread has something to do */
	pthread_cond_t rc_empty;	/* there is room, or it has ended */
	pthread_t rc_thread;
	int rc_fd;			/* -1: stopped */
	bool rc_running;
	bool rc_ending;
	int rc_error;			/* the first */
	uint32_t rc_session;		/* of which rc_next counts */
	uint32_t rc_first;		/* id before this session's first */
	uint32_t rc_next;		/* ids ever given */
	uint64_t rc_ops;
	unsigned int rc_filling, rc_writing;
	size_t rc_len[RECORD_BUFFERS];
	char *rc_buffers[RECORD_BUFFERS];
};

/* ---- writing out -------------------------------------------------------- */

static int
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (n < 0 ? errno : EIO);
		bytes += n;
		len -= (size_t)n;
	}
	return (0);
}

static void *
writer_main(void *arg)
{
	struct recorder *rc = arg;

	(void)pthread_setname_np(pthread_self(), "vmemd-record");
	(void)pthread_mutex_lock(&rc->rc_mutex);
	for (;;) {
		unsigned int at = rc->rc_writing % RECORD_BUFFERS;
		int error = 0;

		if (rc->rc_writing == rc->rc_filling) {
			if (rc->rc_ending)
				break;
			(void)pthread_cond_wait(&rc->rc_full, &rc->rc_mutex);
			continue;
		}
		(void)pthread_mutex_unlock(&rc->rc_mutex);
		if (rc->rc_error == 0)
			error = write_all(rc->rc_fd, rc->rc_buffers[at],
			    rc->rc_len[at]);
		(void)pthread_mutex_lock(&rc->rc_mutex);
		if (rc->rc_error == 0)
			rc->rc_error = error;
		rc->rc_len[at] = 0;
		rc->rc_writing++;
		(void)pthread_cond_broadcast(&rc->rc_empty);
	}
	(void)pthread_mutex_unlock(&rc->rc_mutex);
	return (NULL);
}

/* The buffer at hand is the thread's now. */
static void
pass_on(struct recorder *rc)
{
	rc->rc_filling++;
	(void)pthread_cond_signal(&rc->rc_full);
	while (rc->rc_filling - rc->rc_writing == RECORD_BUFFERS)
		(void)pthread_cond_wait(&rc->rc_empty, &rc->rc_mutex);
}

/* ---- lines -------------------------------------------------------------- */

static char *
put_number(char *to, uint64_t n)
{
	char digits[20];
	unsigned int len = 0;

	do
		digits[len++] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	while (len > 0)
		*to++ = digits[--len];
	return (to);
}

/* "KIND A B C", of which those that are 0 at the end are left out. */
static void
put_line(struct recorder *rc, char kind, uint64_t a, uint64_t b, uint64_t c)
{
	unsigned int at = rc->rc_filling % RECORD_BUFFERS;
	char *line = rc->rc_buffers[at] + rc->rc_len[at], *to = line;

	*to++ = kind;
	*to++ = ' ';
	to = put_number(to, a);
	if (kind != 'f') {
		*to++ = ' ';
		to = put_number(to, b);
	}
	if (kind == 'p' || c != 0) {
		*to++ = ' ';
		to = put_number(to, c);
	}
	*to++ = '\n';
	rc->rc_len[at] += (size_t)(to - line);
	rc->rc_ops++;
	if (rc->rc_len[at] + LINE_MAX_BYTES > BUFFER_SIZE)
		pass_on(rc);
}

static struct recorder *
enter(struct arena *ar)
{
	/* Acquire: its members are there, see record_start(). */
	struct recorder *rc = atomic_load_explicit(
	    &ar->ar_recorder, memory_order_acquire);

	if (rc == NULL)
		return (NULL);
	(void)pthread_mutex_lock(&rc->rc_mutex);
	if (rc->rc_running)
		return (rc);
	(void)pthread_mutex_unlock(&rc->rc_mutex);
	return (NULL);
}

uint32_t
record_alloc(struct arena *ar, vmem_size_t size, vmem_size_t align)
{
	struct recorder *rc = enter(ar);
	uint32_t id = 0;

	if (rc == NULL)
		return (0);
	/* The last id is never given. */
	if (rc->rc_next < UINT32_MAX - 1) {
		id = ++rc->rc_next;
		put_line(rc, 'a', id - rc->rc_first, size, align);
	}
	(void)pthread_mutex_unlock(&rc->rc_mutex);
	return (id);
}

void
record_free(struct arena *ar, uint32_t id)
{
	struct recorder *rc = enter(ar);

	if (rc == NULL)
		return;
	/* One of an earlier session is unknown to this trace. */
	if (id > rc->rc_first)
		put_line(rc, 'f', id - rc->rc_first, 0, 0);
	(void)pthread_mutex_unlock(&rc->rc_mutex);
}

void
record_part(struct arena *ar, uint32_t id, vmem_size_t offset,
    vmem_size_t size)
{
	struct recorder *rc = enter(ar);

	if (rc == NULL)
		return;
	if (id > rc->rc_first)
		put_line(rc, 'p', id - rc->rc_first, offset, size);
	(void)pthread_mutex_unlock(&rc->rc_mutex);
}

/* ---- start and stop ----------------------------------------------------- */

static struct recorder *
recorder_new(void)
{
	struct recorder *rc = calloc(1, sizeof(*rc));

	if (rc == NULL)
		return (NULL);
	for (unsigned int i = 0; i < RECORD_BUFFERS; i++) {
		rc->rc_buffers[i] = malloc(BUFFER_SIZE);
		if (rc->rc_buffers[i] == NULL) {
			record_delete(rc);
			return (NULL);
		}
	}
	rc->rc_fd = -1;
	(void)pthread_mutex_init(&rc->rc_mutex, NULL);
	(void)pthread_cond_init(&rc->rc_full, NULL);
	(void)pthread_cond_init(&rc->rc_empty, NULL);
	return (rc);
}

void
record_delete(struct recorder *rc)
{
	for (unsigned int i = 0; rc != NULL && i < RECORD_BUFFERS; i++)
		free(rc->rc_buffers[i]);
	free(rc);
}

static int
check_file(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	/* A pipe or a terminal could hold us up for ever. */
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY ||
	    fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return (EINVAL);
	return (0);
}

/* The recorder's mutex is held. */
static int
begin(struct recorder *rc, const struct arena *ar, int fd)
{
	int error;

	if (rc->rc_running)
		return (EBUSY);
	rc->rc_fd = fd;
	rc->rc_ending = false;
	rc->rc_error = 0;
	rc->rc_ops = 0;
	rc->rc_first = rc->rc_next;
	rc->rc_filling = rc->rc_writing = 0;
	memset(rc->rc_len, 0, sizeof(rc->rc_len));
	rc->rc_len[0] = (size_t)snprintf(rc->rc_buffers[0], BUFFER_SIZE,
	    "# vmem-trace 1\n# name: %s\n# program: vmemd, arena %s\n"
	    "# kind: range\n# unit: bytes\n# quantum: %llu\n", ar->ar_name,
	    ar->ar_name, (unsigned long long)ar->ar_quantum);
	error = thread_start(&rc->rc_thread, writer_main, rc);
	rc->rc_running = error == 0;
	return (error);
}

int
record_start(struct arena *ar, int fd)
{
	struct recorder *rc = atomic_load_explicit(
	    &ar->ar_recorder, memory_order_acquire), *none = NULL;
	int error = check_file(fd);

	if (error != 0)
		return (error);
	if (rc == NULL) {
		rc = recorder_new();
		if (rc == NULL)
			return (ENOMEM);
		/* Release: with the pointer come its members. */
		if (!atomic_compare_exchange_strong_explicit(&ar->ar_recorder,
			&none, rc, memory_order_acq_rel,
			memory_order_acquire)) {
			record_delete(rc);
			rc = none;
		}
	}
	(void)pthread_mutex_lock(&rc->rc_mutex);
	error = begin(rc, ar, fd);
	(void)pthread_mutex_unlock(&rc->rc_mutex);
	return (error);
}

int
record_stop(struct arena *ar, uint64_t *opsp)
{
	struct recorder *rc = enter(ar);
	int error;

	if (rc == NULL)
		return (ENOENT);
	rc->rc_running = false;
	rc->rc_filling++;
	rc->rc_ending = true;
	(void)pthread_cond_signal(&rc->rc_full);
	(void)pthread_mutex_unlock(&rc->rc_mutex);
	(void)pthread_join(rc->rc_thread, NULL);
	error = rc->rc_error;
	if (close(rc->rc_fd) != 0 && error == 0)
		error = errno;
	rc->rc_fd = -1;
	*opsp = rc->rc_ops;
	return (error);
}
