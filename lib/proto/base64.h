/*
 * base64.h - RFC 4648 section 4, padded, strict.
 */
#ifndef PROTO_BASE64_H
#define PROTO_BASE64_H

#include <stddef.h>

#define BASE64_ENCODED(n) (((n) + 2) / 3 * 4)

/* Writes BASE64_ENCODED(len) characters and a NUL. */
void base64_encode(const void *bytes, size_t len, char *text);

/* Writes at most len / 4 * 3 bytes; EINVAL for anything not canonical. */
int base64_decode(const char *text, size_t len, void *bytes, size_t *lenp);

#endif /* PROTO_BASE64_H */
