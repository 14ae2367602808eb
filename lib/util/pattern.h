/*
 * pattern.h - bytes that can be foretold from their address.
 *
 * Every aligned 8-byte word of memory filled by pattern_fill() is a mix of its
 * own address and a seed, in little-endian order.  So any part of what was
 * filled can be checked alone, whatever its alignment and length, by whoever
 * knows the seed; and a page that turns up at another address, an older one, or
 * one of zeros doesn't pass.  Addresses wrap at 2^64.
 */
#ifndef UTIL_PATTERN_H
#define UTIL_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fill the len bytes at `bytes`, which hold [addr, addr + len). */
void pattern_fill(void *bytes, size_t len, uint64_t addr, uint64_t seed);

/* Are they as pattern_fill() leaves them?  If not, *badp (unless badp is NULL)
 * is the address of the first byte that isn't. */
bool pattern_verify(const void *bytes, size_t len, uint64_t addr,
    uint64_t seed, uint64_t *badp);

#endif /* UTIL_PATTERN_H */
