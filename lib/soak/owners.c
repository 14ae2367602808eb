/*
 * owners.c - see owners.h.
 *
 * A range covers whole words but for its ends.  Words are claimed from the
 * first to the last; one that isn't free ends it, and those before are given
 * back.  For that moment a claim that is about to fail may make another fail,
 * too: but then there has been an overlap already.
 */
#include "config.h"

#include "soak/owners.h"

#include <errno.h>
#include <sys/mman.h>

#include "util/assert.h"

#define PER_WORD 8u
#define ONES UINT64_C(0x0101010101010101)

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
	ow->ow_bytes = (size_t)(quanta + PER_WORD - 1) / PER_WORD * PER_WORD;
	map = mmap(NULL, ow->ow_bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		*ow = (struct owners) { 0 };
		return (ENOMEM);
	}
	ow->ow_words = map;
	return (0);
}

void
owners_fini(struct owners *ow)
{
	if (ow->ow_words != NULL)
		(void)munmap((void *)(uintptr_t)ow->ow_words, ow->ow_bytes);
	*ow = (struct owners) { 0 };
}

/* Quanta [*firstp, *lastp] of a range. */
static enum owners_error
quanta_of(const struct owners *ow, uint64_t addr, uint64_t size,
    uint64_t *firstp, uint64_t *lastp)
{
	uint64_t offset = addr - ow->ow_base;

	if (addr < ow->ow_base || addr > ow->ow_last || size == 0 ||
	    size - 1 > ow->ow_last - addr)
		return (OWNERS_OUTSIDE);
	if (((offset | size) & (ow->ow_quantum - 1)) != 0)
		return (OWNERS_UNALIGNED);
	*firstp = offset >> ow->ow_shift;
	*lastp = (offset + (size - 1)) >> ow->ow_shift;
	return (OWNERS_OK);
}

/* The bytes of word w that [first, last] covers, as 0xff each. */
static inline uint64_t
mask_of(uint64_t w, uint64_t first, uint64_t last)
{
	uint64_t mask = UINT64_MAX;

	if (w == first / PER_WORD)
		mask <<= first % PER_WORD * 8;
	if (w == last / PER_WORD)
		mask &= UINT64_MAX >> (PER_WORD - 1 - last % PER_WORD) * 8;
	return (mask);
}

static void
conflict_in(const struct owners *ow, uint64_t w, uint64_t bytes,
    uint64_t word, struct owners_conflict *conflict)
{
	unsigned int at = (unsigned int)__builtin_ctzll(bytes) / 8;

	conflict->oc_addr =
	    ow->ow_base + ((w * PER_WORD + at) << ow->ow_shift);
	conflict->oc_owner = (unsigned int)(word >> at * 8) & 0xff;
}

/*
 * The bytes of a word that are under the mask: from `from` to `to`.  False:
 * some aren't `from`; then *wordp is what is there.  Acquire and release: who
 * finds a byte free also finds what its last owner wrote before, in the next
 * owner's operations by this same word.
 */
static bool
exchange(_Atomic uint64_t *at, uint64_t mask, uint64_t from, uint64_t to,
    uint64_t *wordp)
{
	uint64_t word = atomic_load_explicit(at, memory_order_relaxed);

	do {
		if ((word & mask) != (from & mask)) {
			*wordp = word;
			return (false);
		}
	} while (!atomic_compare_exchange_weak_explicit(at, &word,
	    (word & ~mask) | (to & mask), memory_order_acq_rel,
	    memory_order_relaxed));
	return (true);
}

static enum owners_error
change(struct owners *ow, uint64_t addr, uint64_t size, uint64_t from,
    uint64_t to, struct owners_conflict *conflict)
{
	uint64_t first, last, w, word, mask;
	enum owners_error error = quanta_of(ow, addr, size, &first, &last);

	if (error != OWNERS_OK)
		return (error);
	for (w = first / PER_WORD; w <= last / PER_WORD; w++) {
		mask = mask_of(w, first, last);
		if (exchange(&ow->ow_words[w], mask, from, to, &word))
			continue;
		conflict_in(ow, w, (word ^ from) & mask, word, conflict);
		while (w-- > first / PER_WORD)
			(void)exchange(&ow->ow_words[w],
			    mask_of(w, first, last), to, from, &word);
		return (from == 0 ? OWNERS_TAKEN : OWNERS_NOT_THEIRS);
	}
	return (OWNERS_OK);
}

enum owners_error
owners_claim(struct owners *ow, uint64_t addr, uint64_t size,
    unsigned int owner, struct owners_conflict *conflict)
{
	ASSERT(owner >= 1 && owner <= OWNERS_MAX);
	return (change(ow, addr, size, 0, owner * ONES, conflict));
}

enum owners_error
owners_release(struct owners *ow, uint64_t addr, uint64_t size,
    unsigned int owner, struct owners_conflict *conflict)
{
	ASSERT(owner >= 1 && owner <= OWNERS_MAX);
	return (change(ow, addr, size, owner * ONES, 0, conflict));
}

/*
 * Untouched parts are holes, which mincore(2) doesn't tell from others but
 * which read as zeros: a word is looked at only if it isn't zero, at memory
 * speed.
 */
uint64_t
owners_clear(struct owners *ow, unsigned int owner)
{
	uint64_t cleared = 0;

	for (size_t w = 0; w < ow->ow_bytes / PER_WORD; w++) {
		uint64_t word = atomic_load_explicit(
		    &ow->ow_words[w], memory_order_relaxed);
		uint64_t mask = 0, ignored;

		if (word == 0)
			continue;
		for (unsigned int i = 0; i < PER_WORD; i++)
			if ((word >> i * 8 & 0xff) == owner) {
				mask |= UINT64_C(0xff) << i * 8;
				cleared++;
			}
		if (mask != 0)
			(void)exchange(&ow->ow_words[w], mask, owner * ONES, 0,
			    &ignored);
	}
	return (cleared);
}

unsigned int
owners_of(const struct owners *ow, uint64_t addr)
{
	uint64_t first, last;

	if (quanta_of(ow, addr & ~(ow->ow_quantum - 1), ow->ow_quantum, &first,
		&last) != OWNERS_OK)
		return (0);
	return ((unsigned int)(atomic_load_explicit(
	    &ow->ow_words[first / PER_WORD], memory_order_relaxed) >>
	    first % PER_WORD * 8) & 0xff);
}
