/*
 * crc32c.h - CRC-32C (Castagnoli: polynomial 0x1edc6f41, reflected), by the
 * processor's instruction where it has one.
 */
#ifndef UTIL_CRC32C_H
#define UTIL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continue `crc` (0 to begin) over len bytes.  crc32c(0, "123456789", 9) is
 * 0xe3069283. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

/*
 * A checksum of a block whose length is a multiple of 64: its 8-byte words are
 * dealt to four lanes in turn, and the sum is the CRC-32C of the lanes'
 * CRC-32Cs (little-endian).  As strong as the CRC of the whole against damage
 * within a word, 2^-32 otherwise, and three times as fast: the lanes are
 * independent, so that the instruction's latency hides.
 *
 * `ahead`, unless NULL, is a block of the same length that will be read next:
 * it is fetched into the cache meanwhile, and sums of a run of cold blocks cost
 * little more than their copies would have without.
 */
uint32_t crc32c_lanes(const void *bytes, size_t len, const void *ahead);

/* The same two by tables alone: what machines without the instruction run. */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len);
uint32_t crc32c_lanes_portable(const void *bytes, size_t len);

#endif /* UTIL_CRC32C_H */
