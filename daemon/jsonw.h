/*
 * jsonw.h - JSON written straight into a buffer, without a tree.
 *
 * A writer has no state of its own: whether a comma is due follows from the
 * last byte written.  None after '{', '[' and ':', one after anything else.
 * So a value may be written wherever one is expected, and the caller only has
 * to close what it opened.
 */
#ifndef DAEMON_JSONW_H
#define DAEMON_JSONW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/buf.h"

void jw_open(struct buf *b, char bracket);	/* '{' or '[' */
void jw_close(struct buf *b, char bracket);	/* '}' or ']' */
void jw_key(struct buf *b, const char *key);	/* plain text, not escaped */

void jw_str(struct buf *b, const char *text);	/* UTF-8; NULL writes null */
void jw_u64(struct buf *b, uint64_t value);	/* "0x…" above 2^63-1 */
void jw_i64(struct buf *b, int64_t value);
void jw_addr(struct buf *b, uint64_t addr);	/* "0x…" */
void jw_bool(struct buf *b, bool value);
void jw_real(struct buf *b, double value);
void jw_raw(struct buf *b, const char *json, size_t len);

/* A member: key and value. */
void jw_kstr(struct buf *b, const char *key, const char *text);
void jw_ku64(struct buf *b, const char *key, uint64_t value);
void jw_kaddr(struct buf *b, const char *key, uint64_t addr);
void jw_kbool(struct buf *b, const char *key, bool value);
void jw_kreal(struct buf *b, const char *key, double value);
void jw_kopen(struct buf *b, const char *key, char bracket);

#endif /* DAEMON_JSONW_H */
