/*
 * pattern.c - bytes that can be foretold from their address.
 *
 * A range is a head up to the first aligned address, whole words, and a tail.
 * The words are stored and compared in blocks, with nothing carried from one
 * to the next, so that the multiplications of several are under way at once:
 * the loops run at several bytes a cycle.  A comparison gathers the
 * differences of a block and looks for the guilty byte only if there is one.
 */
#include "config.h"

#include "util/pattern.h"

#include <endian.h>
#include <string.h>

#include "util/rng.h"

#define WORD sizeof(uint64_t)
#define BLOCK 8u	/* words compared between two branches */

/*
 * Mixes with two multiplications, each by an odd constant and so one to one,
 * and a fold of the well-mixed upper half onto the lower: no two words of a
 * seed are equal.
 */
static inline uint64_t
pattern_word(uint64_t addr, uint64_t key)
{
	uint64_t x = (addr + key) * 0x9e3779b97f4a7c15u;

	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	return (htole64(x ^ (x >> 32)));
}

/* Neighbouring seeds (1, 2, 3) must not give shifted copies of one pattern. */
static uint64_t
pattern_key(uint64_t seed)
{
	return (rng_splitmix(&seed));
}

/* How much of [addr, addr + len) comes before its first whole word: all of it
 * if it is shorter than that. */
static size_t
head_len(uint64_t addr, size_t len)
{
	size_t head = (size_t)(-addr & (WORD - 1));

	return (head < len ? head : len);
}

/* The pattern of less than a word: bytes [addr, addr + len) of the one that
 * holds them all. */
static void
pattern_part(void *out, size_t len, uint64_t addr, uint64_t key)
{
	uint64_t word = pattern_word(addr & ~(uint64_t)(WORD - 1), key);

	memcpy(out, (const char *)&word + (addr & (WORD - 1)), len);
}

void
pattern_fill(void *bytes, size_t len, uint64_t addr, uint64_t seed)
{
	uint64_t key = pattern_key(seed), word;
	size_t head = head_len(addr, len);
	unsigned char *p = bytes;

	if (head != 0)
		pattern_part(p, head, addr, key);
	p += head;
	addr += head;
	len -= head;
	for (; len >= WORD; p += WORD, addr += WORD, len -= WORD) {
		word = pattern_word(addr, key);
		memcpy(p, &word, WORD);
	}
	if (len != 0)
		pattern_part(p, len, addr, key);
}

/* Compare a stretch shorter than a word, or one known to be bad, by bytes. */
static bool
part_verify(const unsigned char *p, size_t len, uint64_t addr, uint64_t key,
    uint64_t *badp)
{
	unsigned char want;

	for (size_t i = 0; i < len; i++) {
		pattern_part(&want, 1, addr + i, key);
		if (p[i] == want)
			continue;
		if (badp != NULL)
			*badp = addr + i;
		return (false);
	}
	return (true);
}

bool
pattern_verify(const void *bytes, size_t len, uint64_t addr, uint64_t seed,
    uint64_t *badp)
{
	uint64_t key = pattern_key(seed), diff, word;
	size_t head = head_len(addr, len);
	const unsigned char *p = bytes;

	if (!part_verify(p, head, addr, key, badp))
		return (false);
	p += head;
	addr += head;
	len -= head;
	while (len >= BLOCK * WORD) {
		diff = 0;
		for (size_t i = 0; i < BLOCK; i++) {
			memcpy(&word, p + i * WORD, WORD);
			diff |= word ^ pattern_word(addr + i * WORD, key);
		}
		if (diff != 0)
			break;
		p += BLOCK * WORD;
		addr += BLOCK * WORD;
		len -= BLOCK * WORD;
	}
	return (part_verify(p, len < BLOCK * WORD ? len : BLOCK * WORD, addr,
	    key, badp));
}
