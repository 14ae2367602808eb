/*
 * frame.c - see frame.h.
 */
#include "config.h"

#include "daemon/frame.h"

#include <stdlib.h>
#include <string.h>

#include "proto/methods.h"

#define FRAME_FIRST 16384u	/* one turn's reading */

void
frame_fini(struct frame *fr)
{
	free(fr->fr_data);
	memset(fr, 0, sizeof(*fr));
}

char *
frame_room(struct frame *fr, size_t want)
{
	size_t used = fr->fr_end - fr->fr_start;
	size_t cap = fr->fr_cap > 0 ? fr->fr_cap : FRAME_FIRST;
	char *data;

	/* Bounded: the owner reads no more while there is a line to take, so
	 * what is held is less than one line's limit and one turn's reading. */
	if (fr->fr_start > 0 && used > 0)
		memmove(fr->fr_data, fr->fr_data + fr->fr_start, used);
	fr->fr_scanned -= fr->fr_start;
	fr->fr_start = 0;
	fr->fr_end = used;
	if (used == 0 && cap > FRAME_FIRST && want <= FRAME_FIRST) {
		free(fr->fr_data);
		fr->fr_data = NULL;
		fr->fr_cap = 0;
		cap = FRAME_FIRST;
	}
	while (cap - used < want)
		cap *= 2;
	if (cap > fr->fr_cap) {
		data = realloc(fr->fr_data, cap);
		if (data == NULL)
			return (NULL);
		fr->fr_data = data;
		fr->fr_cap = cap;
	}
	return (fr->fr_data + fr->fr_end);
}

void
frame_filled(struct frame *fr, size_t len)
{
	fr->fr_end += len;
}

static size_t
line_limit(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return (line[i] == '[' ? PROTO_BATCH_MAX :
						 PROTO_LINE_MAX);
	return (PROTO_LINE_MAX);
}

enum frame_result
frame_next(struct frame *fr, char **linep, size_t *lenp)
{
	for (;;) {
		char *line, *lf;
		size_t len;

		if (fr->fr_end == fr->fr_start)
			return (FRAME_MORE);
		line = fr->fr_data + fr->fr_start;
		lf = memchr(fr->fr_data + fr->fr_scanned, '\n',
		    fr->fr_end - fr->fr_scanned);
		len = (lf != NULL ? (size_t)(lf - fr->fr_data) : fr->fr_end) -
		    fr->fr_start;
		fr->fr_scanned = fr->fr_start + len + (lf != NULL);
		if (fr->fr_skipping) {
			fr->fr_start = fr->fr_scanned;
			fr->fr_skipping = lf == NULL;
			continue;
		}
		if (len > line_limit(line, len)) {
			fr->fr_start = fr->fr_scanned;
			fr->fr_skipping = lf == NULL;
			return (FRAME_TOO_LONG);
		}
		if (lf == NULL)
			return (FRAME_MORE);
		fr->fr_start = fr->fr_scanned;
		*linep = line;
		*lenp = len;
		return (FRAME_LINE);
	}
}

const char *
frame_check(const char *line, size_t len)
{
	unsigned int depth = 0;
	bool quoted = false;

	if (memchr(line, '\0', len) != NULL)
		return ("a NUL byte");
	for (size_t i = 0; i < len; i++) {
		char c = line[i];

		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		} else if (c == '"') {
			quoted = true;
		} else if (c == '{' || c == '[') {
			if (++depth > PROTO_DEPTH_MAX)
				return ("nested too deeply");
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return (NULL);
}
