/*
 * scan.h - finding one's way in a JSON text without building a tree.
 *
 * A client at full speed needs of a reply its id and where its result is; a
 * tree of it would cost more than everything else together.  These functions
 * check the grammar (RFC 8259; not the encoding, nor duplicate keys) and give
 * places in the text.  Iterative: nesting costs a bit a level, and no more
 * than SCAN_DEPTH_MAX levels are taken.
 */
#ifndef CLIENT_SCAN_H
#define CLIENT_SCAN_H

#include <stddef.h>

#define SCAN_DEPTH_MAX 4096

/* A part of a text: [sp_start, sp_end); sp_start is NULL for none. */
struct span {
	const char *sp_start, *sp_end;
};

/*
 * The value at `p` (white space before it is passed over).  Returns what
 * follows it, and in *value, if not NULL, where it is; NULL: not JSON, and
 * *faultp, if not NULL, is where.
 */
const char *scan_value(const char *p, const char *end, struct span *value,
    const char **faultp);

/*
 * The members of the object [start, end) that are called names[0 ... count-1],
 * into values[]; those it lacks have sp_start NULL.  The last of a name counts.
 * 0, or EPROTO: it isn't one JSON object and nothing else.
 */
int scan_members(const char *start, const char *end, const char *const names[],
    struct span values[], size_t count);

/*
 * Write the string that `value` (with its quotes) means to `to`, with a NUL;
 * it is never longer than the JSON text.  Returns the end, the NUL's place;
 * NULL: `value` isn't a string.
 */
char *scan_string(const struct span *value, char *to);

#endif /* CLIENT_SCAN_H */
