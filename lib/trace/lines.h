/*
 * lines.h - the lines of a text file, plain or compressed with xz.
 */
#ifndef TRACE_LINES_H
#define TRACE_LINES_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/trace.h"

struct lines;

/*
 * Open a file; one that begins with xz's magic bytes, or is called *.xz, is
 * decompressed.  0, or an errno, and `err` says what and where.
 */
int lines_open(const char *path, struct trace_error *err, struct lines **lnp);
void lines_close(struct lines *ln);

/*
 * The next line, without its LF but with a NUL in its place; it is the
 * caller's to change, until the next call.  *textp is NULL at the end of the
 * file.  EBADMSG: the compressed data is truncated or corrupt, the last line
 * has no LF, a line is longer than LINES_MAX or holds a NUL byte.
 */
int lines_next(struct lines *ln, char **textp, size_t *lenp);

/* The number, from 1, of the line that lines_next() gave last. */
uint32_t lines_number(const struct lines *ln);

/* Fill in the file's error with a place, "FILE: line N: "; gives EBADMSG. */
int lines_error(const struct lines *ln, uint32_t line, const char *fmt, ...)
    __attribute__((__format__(__printf__, 3, 4)));

#define LINES_MAX 65536u	/* bytes of a line: the header's can be long */

#endif /* TRACE_LINES_H */
