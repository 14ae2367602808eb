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

/* The same by tables alone: what machines without the instruction run. */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len);

/*
 * A checksum of a block whose length is a multiple of 32: the CRC-32C of the
 * CRC-32Cs of its four quarters (little-endian).  As strong as the CRC of the
 * whole against damage within a quarter, 2^-32 otherwise, and three times as
 * fast: the quarters are independent, so that the instruction's latency hides.
 */
uint32_t crc32c_quarters(const void *bytes, size_t len);

#endif /* UTIL_CRC32C_H */
