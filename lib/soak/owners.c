/*
 * owners.c - see owners.h.
 *
 * A range is looked at, then written: two steps, by plain loads and stores of
 * its own bytes and no others.  Of two that are given the same quantum one
 * after the other, the second finds the first's number.  Of two at the same
 * moment, who writes last has its number there, and the other misses its own
 * when it gives the range back: found later, but found.  So there is no need
 * of compare-and-swap, which cost as much as all the rest.
 *
 * Order among workers comes with the range, from the allocator: a quantum is
 * cleared before its range is freed, and looked at after it was handed out.
 * Where that order is missing, the allocator lacks it, and this finds it.
 */
#include "config.h"

#include "soak/owners.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "util/assert.h"

#define ONES UINT64_C(0x0101010101010101)

/* Its races are the point: they are what is looked for. */
#define RACES __attribute__((__no_sanitize__("thread")))

int
owners_init(struct owners *ow, uint64_t base, uint64_t size, uint64_t quantum)
{
	uint64_t quanta;
	void *map;

	if (quantum == 0 || (quantum & (quantum - 1)) != 0 || size < quantum ||
	    base > UINT64_MAX - (size - 1))
		return (EINVAL);
	*ow = (struct owners) { .ow_base = base, .ow_last = base + (size - 1),
		.ow_quantum = quantum,
		.ow_shift = (unsigned int)__builtin_ctzll(quantum) };
	quanta = ((size - 1) >> ow->ow_shift) + 1;
	if (quanta > OWNERS_QUANTA_MAX)
		return (EFBIG);
	ow->ow_count = (size_t)quanta;
	ow->ow_bytes = (ow->ow_count + 7) & ~(size_t)7;
	map = mmap(NULL, ow->ow_bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		*ow = (struct owners) { 0 };
		return (ENOMEM);
	}
	ow->ow_owners = map;
	return (0);
}

void
owners_fini(struct owners *ow)
{
	if (ow->ow_owners != NULL)
		(void)munmap(ow->ow_owners, ow->ow_bytes);
	*ow = (struct owners) { 0 };
}

/* A range's quanta: the first, and how many. */
static inline enum owners_error
quanta_of(const struct owners *ow, uint64_t addr, uint64_t size,
    size_t *firstp, size_t *countp)
{
	uint64_t offset = addr - ow->ow_base;

	if (addr < ow->ow_base || addr > ow->ow_last || size == 0 ||
	    size - 1 > ow->ow_last - addr)
		return (OWNERS_OUTSIDE);
	if (((offset | size) & (ow->ow_quantum - 1)) != 0)
		return (OWNERS_UNALIGNED);
	*firstp = (size_t)(offset >> ow->ow_shift);
	*countp = (size_t)((size - 1) >> ow->ow_shift) + 1;
	return (OWNERS_OK);
}

/* ---- n bytes, without a loop where they are few --------------------------
 * Of 4 bytes or more, as two words that may overlap; between them whole ones.
 */
static inline uint64_t
load_8(const unsigned char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return (x);
}

static inline uint32_t
load_4(const unsigned char *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return (x);
}

RACES static inline bool
all_are(const unsigned char *p, size_t n, uint64_t want)
{
	uint64_t other = 0;

	if (n >= 8) {
		for (size_t i = 0; i < n - 8; i += 8)
			other |= load_8(p + i) ^ want;
		return ((other | (load_8(p + n - 8) ^ want)) == 0);
	}
	if (n >= 4)
		return (((load_4(p) ^ (uint32_t)want) |
		    (load_4(p + n - 4) ^ (uint32_t)want)) == 0);
	for (size_t i = 0; i < n; i++)
		other |= p[i] ^ (want & 0xff);
	return (other == 0);
}

RACES static inline void
make_all(unsigned char *p, size_t n, uint64_t to)
{
	const uint32_t half = (uint32_t)to;

	if (n >= 8) {
		for (size_t i = 0; i < n - 8; i += 8)
			memcpy(p + i, &to, 8);
		memcpy(p + n - 8, &to, 8);
	} else if (n >= 4) {
		memcpy(p, &half, 4);
		memcpy(p + n - 4, &half, 4);
	} else
		for (size_t i = 0; i < n; i++)
			p[i] = (unsigned char)to;
}

/* ---- claims ------------------------------------------------------------- */

/* Who is in the way. */
RACES static __attribute__((__noinline__, __cold__)) enum owners_error
conflict_in(const struct owners *ow, size_t first, size_t count,
    unsigned int want, struct owners_conflict *conflict)
{
	size_t at = first;

	while (at < first + count - 1 && ow->ow_owners[at] == want)
		at++;
	conflict->oc_addr = ow->ow_base + ((uint64_t)at << ow->ow_shift);
	conflict->oc_owner = ow->ow_owners[at];
	return (want == 0 ? OWNERS_TAKEN : OWNERS_NOT_THEIRS);
}

static inline enum owners_error
change(struct owners *ow, uint64_t addr, uint64_t size, unsigned int from,
    unsigned int to, struct owners_conflict *conflict)
{
	size_t first, count;
	enum owners_error error = quanta_of(ow, addr, size, &first, &count);

	if (error != OWNERS_OK)
		return (error);
	if (__builtin_expect(
		!all_are(ow->ow_owners + first, count, from * ONES), 0))
		return (conflict_in(ow, first, count, from, conflict));
	make_all(ow->ow_owners + first, count, to * ONES);
	return (OWNERS_OK);
}

enum owners_error
owners_claim(struct owners *ow, uint64_t addr, uint64_t size,
    unsigned int owner, struct owners_conflict *conflict)
{
	ASSERT(owner >= 1 && owner <= OWNERS_MAX);
	return (change(ow, addr, size, 0, owner, conflict));
}

enum owners_error
owners_release(struct owners *ow, uint64_t addr, uint64_t size,
    unsigned int owner, struct owners_conflict *conflict)
{
	ASSERT(owner >= 1 && owner <= OWNERS_MAX);
	return (change(ow, addr, size, owner, 0, conflict));
}

/*
 * Untouched parts are holes, which mincore(2) doesn't tell from others but
 * which read as zeros: bytes are looked at only where a word isn't zero, at
 * memory speed.
 */
RACES uint64_t
owners_clear(struct owners *ow, unsigned int owner)
{
	uint64_t cleared = 0;

	for (size_t w = 0; w < ow->ow_bytes; w += 8) {
		if (load_8(ow->ow_owners + w) == 0)
			continue;
		for (size_t i = w; i < w + 8; i++)
			if (ow->ow_owners[i] == owner) {
				ow->ow_owners[i] = 0;
				cleared++;
			}
	}
	return (cleared);
}

RACES unsigned int
owners_of(const struct owners *ow, uint64_t addr)
{
	size_t first, count;

	if (quanta_of(ow, addr & ~(ow->ow_quantum - 1), ow->ow_quantum, &first,
		&count) != OWNERS_OK)
		return (0);
	return (ow->ow_owners[first]);
}
