/*
 * buf.h - a growing run of bytes, filled at its end and drained at its start.
 *
 * Running out of memory is sticky: b_failed is set, what follows is dropped,
 * and whoever owns the buffer looks once, before using it.  So the code that
 * writes a reply of twenty members needs no twenty checks.
 */
#ifndef DAEMON_BUF_H
#define DAEMON_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct buf {
	char *b_data;
	size_t b_start;		/* [b_start, b_end) is what it holds */
	size_t b_end;
	size_t b_cap;
	bool b_failed;
};

void buf_fini(struct buf *b);
void buf_append(struct buf *b, const void *bytes, size_t len);
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((__format__(__printf__, 2, 3)));

/* Room for at least len bytes at the end, to be taken by buf_commit(); NULL
 * when there is no memory. */
char *buf_reserve(struct buf *b, size_t len);

/* Forget the first len bytes; a large empty buffer gives its memory back. */
void buf_consume(struct buf *b, size_t len);

static inline void
buf_commit(struct buf *b, size_t len)
{
	b->b_end += len;
}

static inline size_t
buf_len(const struct buf *b)
{
	return (b->b_end - b->b_start);
}

/* Cut it back to the length it had before. */
static inline void
buf_truncate(struct buf *b, size_t len)
{
	b->b_end = b->b_start + len;
}

#endif /* DAEMON_BUF_H */
