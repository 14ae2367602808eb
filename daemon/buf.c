/*
 * buf.c - see buf.h.
 */
#include "config.h"

#include "daemon/buf.h"

#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST 512u		/* a few replies */
#define BUF_IDLE_MAX 65536u	/* kept by an empty buffer */

void
buf_fini(struct buf *b)
{
	free(b->b_data);
	memset(b, 0, sizeof(*b));
}

char *
buf_reserve(struct buf *b, size_t len)
{
	size_t used = buf_len(b), cap = b->b_cap;
	char *data;

	if (b->b_failed)
		return (NULL);
	if (len <= b->b_cap - b->b_end)
		return (b->b_data + b->b_end);
	/* Move to the front if that frees at least half, so that the bytes
	 * moved are paid for by those consumed. */
	if (b->b_start >= b->b_cap / 2 && len <= b->b_cap - used && used > 0) {
		memmove(b->b_data, b->b_data + b->b_start, used);
	} else {
		if (cap < BUF_FIRST)
			cap = BUF_FIRST;
		while (cap - b->b_end < len)
			cap *= 2;
		data = realloc(b->b_data, cap);
		if (data == NULL) {
			b->b_failed = true;
			return (NULL);
		}
		b->b_data = data;
		b->b_cap = cap;
		return (b->b_data + b->b_end);
	}
	b->b_start = 0;
	b->b_end = used;
	return (b->b_data + b->b_end);
}

void
buf_append(struct buf *b, const void *bytes, size_t len)
{
	char *room = buf_reserve(b, len);

	if (room == NULL)
		return;
	memcpy(room, bytes, len);
	b->b_end += len;
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char *room;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	room = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
	if (room == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(room, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->b_end += (size_t)n;
}

void
buf_consume(struct buf *b, size_t len)
{
	b->b_start += len;
	if (b->b_start < b->b_end)
		return;
	b->b_start = b->b_end = 0;
	if (b->b_cap > BUF_IDLE_MAX) {
		free(b->b_data);
		b->b_data = NULL;
		b->b_cap = 0;
	}
}
