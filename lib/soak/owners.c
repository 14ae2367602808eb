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
#include <sys/mman.h>

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

/* Who is in the way. */
OWNERS_RACES enum owners_error
owners_conflict_in(const struct owners *ow, size_t first, size_t count,
    unsigned int want, struct owners_conflict *conflict)
{
	size_t at = first;

	while (at < first + count - 1 && ow->ow_owners[at] == want)
		at++;
	conflict->oc_addr = ow->ow_base + ((uint64_t)at << ow->ow_shift);
	conflict->oc_owner = ow->ow_owners[at];
	return (want == 0 ? OWNERS_TAKEN : OWNERS_NOT_THEIRS);
}

/*
 * Untouched parts are holes, which mincore(2) doesn't tell from others but
 * which read as zeros: bytes are looked at only where a word isn't zero, at
 * memory speed.
 */
OWNERS_RACES uint64_t
owners_clear(struct owners *ow, unsigned int owner)
{
	uint64_t cleared = 0;

	for (size_t w = 0; w < ow->ow_bytes; w += 8) {
		if (owners_load(ow->ow_owners + w) == 0)
			continue;
		for (size_t i = w; i < w + 8; i++)
			if (ow->ow_owners[i] == owner) {
				ow->ow_owners[i] = 0;
				cleared++;
			}
	}
	return (cleared);
}

OWNERS_RACES unsigned int
owners_of(const struct owners *ow, uint64_t addr)
{
	size_t first, count;

	if (owners_quanta(ow, addr & ~(ow->ow_quantum - 1), ow->ow_quantum, &first,
		&count) != OWNERS_OK)
		return (0);
	return (ow->ow_owners[first]);
}
