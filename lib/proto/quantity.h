/*
 * quantity.h - sizes and addresses as people write them.
 */
#ifndef PROTO_QUANTITY_H
#define PROTO_QUANTITY_H

#include <stddef.h>
#include <stdint.h>

/*
 * A size: decimal, "0x…", or decimal with one of K M G T P E (powers of 1024,
 * either case).  An address: decimal or "0x…".  The whole string, no spaces,
 * no sign.  EINVAL: not of that form.  ERANGE: above 2^64-1.
 */
int quantity_size(const char *text, uint64_t *valuep);
int quantity_addr(const char *text, uint64_t *valuep);

/* "64K", "1.5G", "4097": short, exact where it can be. Returns buf. */
char *quantity_format(uint64_t bytes, char *buf, size_t size);

#endif /* PROTO_QUANTITY_H */
