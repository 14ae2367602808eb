/*
 * lines.c - reading a text file by lines, through liblzma where need be.
 *
 * Three stages, each with a buffer of its own: bytes of the file (ln_in), bytes
 * of the text (ln_text; for a plain file they are read straight into it), and
 * lines, which are handed out in place.  When no whole line is left in
 * ln_text, the rest is moved to its front and more is put behind it; the
 * buffer's size is therefore the longest line there can be.
 *
 * An .xz file may hold several streams (LZMA_CONCATENATED), as xz(1) allows.
 */
#include "config.h"

#include "trace/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/assert.h"

#define IN_SIZE 65536u
/* A preset of xz -9 needs 65 MiB; nothing honest needs more than this. */
#define LZMA_MEMORY_MAX (UINT64_C(256) << 20)

static const unsigned char xz_magic[6] = { 0xfd, '7', 'z', 'X', 'Z', 0 };

struct lines {
	const char *ln_path;	/* the caller's */
	struct trace_error *ln_error;
	int ln_fd;
	bool ln_xz;
	bool ln_file_end;	/* read(2) has said so */
	bool ln_text_end;	/* all text is in ln_text */
	uint32_t ln_number;	/* of the line handed out last */
	lzma_stream ln_lzma;
	size_t ln_start, ln_end;	/* what is left in ln_text */
	unsigned char ln_in[IN_SIZE];
	char ln_text[LINES_MAX + 1];
};

int
lines_error(const struct lines *ln, uint32_t line, const char *fmt, ...)
{
	struct trace_error *err = ln->ln_error;
	va_list ap;
	int n;

	n = snprintf(err->te_text, sizeof(err->te_text), "%s: line %" PRIu32
	    ": ", ln->ln_path, line);
	va_start(ap, fmt);
	if (n > 0 && (size_t)n < sizeof(err->te_text))
		(void)vsnprintf(err->te_text + n,
		    sizeof(err->te_text) - (size_t)n, fmt, ap);
	va_end(ap);
	err->te_line = line;
	return (EBADMSG);
}

static int
file_error(const char *path, struct trace_error *err, int error)
{
	(void)snprintf(err->te_text, sizeof(err->te_text), "%s: %s", path,
	    strerror(error));
	err->te_line = 0;
	return (error);
}

static int
read_some(struct lines *ln, void *buf, size_t size, size_t *np)
{
	ssize_t n;

	do {
		n = read(ln->ln_fd, buf, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return (file_error(ln->ln_path, ln->ln_error, errno));
	if (n == 0)
		ln->ln_file_end = true;
	*np = (size_t)n;
	return (0);
}

/* Whether it is xz: by its first bytes, which are then input already. */
static int
detect(struct lines *ln)
{
	size_t n, total = 0, len = strlen(ln->ln_path);
	int error;

	while (total < sizeof(xz_magic) && !ln->ln_file_end) {
		error = read_some(ln, ln->ln_in + total, IN_SIZE - total, &n);
		if (error != 0)
			return (error);
		total += n;
	}
	ln->ln_xz = (total >= sizeof(xz_magic) &&
	    memcmp(ln->ln_in, xz_magic, sizeof(xz_magic)) == 0) ||
	    (len > 3 && strcmp(ln->ln_path + len - 3, ".xz") == 0);
	if (!ln->ln_xz) {
		memcpy(ln->ln_text, ln->ln_in, total);
		ln->ln_end = total;
		return (0);
	}
	ln->ln_lzma.next_in = ln->ln_in;
	ln->ln_lzma.avail_in = total;
	if (lzma_stream_decoder(&ln->ln_lzma, LZMA_MEMORY_MAX,
		LZMA_CONCATENATED) != LZMA_OK)
		return (file_error(ln->ln_path, ln->ln_error, ENOMEM));
	return (0);
}

int
lines_open(const char *path, struct trace_error *err, struct lines **lnp)
{
	static const lzma_stream lzma_init = LZMA_STREAM_INIT;
	struct lines *ln;
	int error;

	ln = calloc(1, sizeof(*ln));
	if (ln == NULL)
		return (file_error(path, err, ENOMEM));
	ln->ln_path = path;
	ln->ln_error = err;
	ln->ln_lzma = lzma_init;
	ln->ln_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (ln->ln_fd < 0) {
		error = file_error(path, err, errno);
		goto fail;
	}
	error = detect(ln);
	if (error != 0)
		goto fail;
	*lnp = ln;
	return (0);
fail:
	lines_close(ln);
	return (error);
}

void
lines_close(struct lines *ln)
{
	if (ln == NULL)
		return;
	lzma_end(&ln->ln_lzma);
	if (ln->ln_fd >= 0)
		(void)close(ln->ln_fd);
	free(ln);
}

/* Why the decoder gave up; text may still be waiting before the fault. */
static int
lzma_error(struct lines *ln, lzma_ret ret)
{
	uint32_t line = ln->ln_number + 1;

	switch ((int)ret) {
	case LZMA_BUF_ERROR:
		return (lines_error(ln, line,
		    "the xz data ends here: the file is truncated"));
	case LZMA_FORMAT_ERROR:
		return (lines_error(ln, line, "not in the xz format"));
	case LZMA_MEMLIMIT_ERROR:
	case LZMA_MEM_ERROR:
		return (lines_error(ln, line,
		    "decompressing the xz data needs too much memory"));
	default:
		return (lines_error(ln, line, "the xz data is corrupt"));
	}
}

/* More text behind ln_end; none is an end. */
static int
refill_xz(struct lines *ln)
{
	lzma_stream *lz = &ln->ln_lzma;
	size_t room = sizeof(ln->ln_text) - ln->ln_end;
	lzma_ret ret;
	int error;

	lz->next_out = (unsigned char *)ln->ln_text + ln->ln_end;
	lz->avail_out = room;
	do {
		if (lz->avail_in == 0 && !ln->ln_file_end) {
			lz->next_in = ln->ln_in;
			error = read_some(ln, ln->ln_in, IN_SIZE,
			    &lz->avail_in);
			if (error != 0)
				return (error);
		}
		ret = lzma_code(lz, ln->ln_file_end ? LZMA_FINISH : LZMA_RUN);
	} while (ret == LZMA_OK && lz->avail_out == room);
	ln->ln_end += room - lz->avail_out;
	if (ret == LZMA_STREAM_END)
		ln->ln_text_end = true;
	else if (ret != LZMA_OK && lz->avail_out == room)
		return (lzma_error(ln, ret));
	return (0);
}

static int
refill(struct lines *ln)
{
	size_t n;
	int error;

	memmove(ln->ln_text, ln->ln_text + ln->ln_start,
	    ln->ln_end - ln->ln_start);
	ln->ln_end -= ln->ln_start;
	ln->ln_start = 0;
	if (ln->ln_end == sizeof(ln->ln_text))
		return (lines_error(ln, ln->ln_number + 1,
		    "longer than %u bytes", LINES_MAX));
	if (ln->ln_xz)
		return (refill_xz(ln));
	error = read_some(ln, ln->ln_text + ln->ln_end,
	    sizeof(ln->ln_text) - ln->ln_end, &n);
	if (error != 0)
		return (error);
	ln->ln_end += n;
	ln->ln_text_end = ln->ln_file_end;
	return (0);
}

int
lines_next(struct lines *ln, char **textp, size_t *lenp)
{
	char *text, *lf;
	int error;

	for (;;) {
		text = ln->ln_text + ln->ln_start;
		lf = memchr(text, '\n', ln->ln_end - ln->ln_start);
		if (lf != NULL)
			break;
		if (ln->ln_text_end) {
			*textp = NULL;
			if (ln->ln_start == ln->ln_end)
				return (0);
			return (lines_error(ln, ln->ln_number + 1,
			    "no line feed at its end: the file is truncated"));
		}
		error = refill(ln);
		if (error != 0)
			return (error);
	}
	if (ln->ln_number == UINT32_MAX)
		return (lines_error(ln, UINT32_MAX, "too many lines"));
	ln->ln_number++;
	*lf = '\0';
	ln->ln_start = (size_t)(lf - ln->ln_text) + 1;
	ASSERT(ln->ln_start <= ln->ln_end);
	if (memchr(text, '\0', (size_t)(lf - text)) != NULL)
		return (lines_error(ln, ln->ln_number, "holds a NUL byte"));
	*textp = text;
	*lenp = (size_t)(lf - text);
	return (0);
}

uint32_t
lines_number(const struct lines *ln)
{
	return (ln->ln_number);
}
