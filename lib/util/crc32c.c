/*
 * crc32c.c - CRC-32C by instruction or by tables.
 *
 * The tables are those of slicing by eight (M. Kounavis, F. Berry, 2005):
 * table[k][b] is the CRC of byte b followed by k zeros, so that eight bytes are
 * taken in one step.  They are made by a constructor, once, before there are
 * threads.
 */
#include "config.h"

#include "util/crc32c.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "util/assert.h"

#define POLYNOMIAL 0x82f63b78u	/* 0x1edc6f41, bits reversed */
#define SLICES 8
#define LANES 4

static uint32_t table[SLICES][256];
static bool have_instruction;

__attribute__((constructor)) static void
crc32c_init(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
		table[0][byte] = crc;
	}
	for (int k = 1; k < SLICES; k++)
		for (int byte = 0; byte < 256; byte++) {
			uint32_t crc = table[k - 1][byte];

			table[k][byte] = (crc >> 8) ^ table[0][crc & 0xff];
		}
#ifdef __x86_64__
	have_instruction = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

/* The CRC of the lanes' CRCs; each comes inverted still. */
static uint32_t
lanes_join(const uint32_t lane[LANES])
{
	uint32_t crc[LANES];

	for (int i = 0; i < LANES; i++)
		crc[i] = htole32(~lane[i]);
	return (crc32c(0, crc, sizeof(crc)));
}

static inline uint64_t
load64(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return (word);
}

/* Eight bytes more, by tables; the CRC is inverted throughout. */
static inline uint32_t
step8(uint32_t crc, const unsigned char *p)
{
	uint64_t w = le64toh(load64(p)) ^ crc;

	crc = 0;
	for (int k = 0; k < SLICES; k++, w >>= 8)
		crc ^= table[SLICES - 1 - k][w & 0xff];
	return (crc);
}

uint32_t
crc32c_portable(uint32_t crc, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	crc = ~crc;
	for (; len >= 8; p += 8, len -= 8)
		crc = step8(crc, p);
	for (; len != 0; p++, len--)
		crc = (crc >> 8) ^ table[0][(crc ^ *p) & 0xff];
	return (~crc);
}

uint32_t
crc32c_lanes_portable(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint32_t lane[LANES] = { ~0u, ~0u, ~0u, ~0u };

	for (const unsigned char *end = p + len; p < end; p += 8 * LANES)
		for (int i = 0; i < LANES; i++)
			lane[i] = step8(lane[i], p + 8 * i);
	return (lanes_join(lane));
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
crc32c_sse42(uint32_t crc, const unsigned char *p, size_t len)
{
	uint64_t c = ~crc;

	for (; len >= 8; p += 8, len -= 8)
		c = __builtin_ia32_crc32di(c, load64(p));
	for (; len != 0; p++, len--)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p);
	return (~(uint32_t)c);
}

/* One cache line of `p`, and of what is ahead, a turn. */
__attribute__((target("sse4.2"))) static uint32_t
lanes_sse42(const unsigned char *p, size_t len, const unsigned char *ahead)
{
	uint64_t a = UINT32_MAX, b = a, c = a, d = a;
	uint32_t lane[LANES];

	for (size_t at = 0; at < len; at += 64) {
		__builtin_prefetch(ahead + at);
		a = __builtin_ia32_crc32di(a, load64(p + at));
		b = __builtin_ia32_crc32di(b, load64(p + at + 8));
		c = __builtin_ia32_crc32di(c, load64(p + at + 16));
		d = __builtin_ia32_crc32di(d, load64(p + at + 24));
		a = __builtin_ia32_crc32di(a, load64(p + at + 32));
		b = __builtin_ia32_crc32di(b, load64(p + at + 40));
		c = __builtin_ia32_crc32di(c, load64(p + at + 48));
		d = __builtin_ia32_crc32di(d, load64(p + at + 56));
	}
	lane[0] = (uint32_t)a;
	lane[1] = (uint32_t)b;
	lane[2] = (uint32_t)c;
	lane[3] = (uint32_t)d;
	return (lanes_join(lane));
}
#else
#define crc32c_sse42(crc, p, len) crc32c_portable(crc, p, len)
#define lanes_sse42(p, len, ahead) crc32c_lanes_portable(p, len)
#endif

uint32_t
crc32c(uint32_t crc, const void *bytes, size_t len)
{
	if (have_instruction)
		return (crc32c_sse42(crc, bytes, len));
	return (crc32c_portable(crc, bytes, len));
}

uint32_t
crc32c_lanes(const void *bytes, size_t len, const void *ahead)
{
	ASSERT(len % 64 == 0);
	if (!have_instruction)
		return (crc32c_lanes_portable(bytes, len));
	/* Prefetching what is there already costs next to nothing. */
	return (lanes_sse42(bytes, len, ahead != NULL ? ahead : bytes));
}
