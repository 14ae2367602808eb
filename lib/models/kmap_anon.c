/*
 * kmap_anon.c - the anons of a map, by page: what amaps do.
 *
 * A hash table of chunks of 64 pages.  It costs the design nothing here: its
 * memory is ours, only the anons are counted (kmap.h, 4).
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "models/kmap.h"

#define CHUNK_PAGES 64u
#define CHUNK_SHIFT 18	/* 64 pages of 4 KiB */

struct kmap_chunk {
	SLIST_ENTRY(kmap_chunk) kc_link;
	uint64_t kc_key;
	uint64_t kc_bits;	/* pages that have an anon */
	void *kc_anons[CHUNK_PAGES];
};

static struct kmap_chunks *
bucket(struct kmap *km, uint64_t key)
{
	return (&km->km_chunks[
	    (key * UINT64_C(0x9e3779b97f4a7c15)) >> 50]);
}

static struct kmap_chunk *
find(const struct kmap *km, uint64_t key)
{
	struct kmap_chunk *kc;

	SLIST_FOREACH(kc, bucket((struct kmap *)(uintptr_t)km, key), kc_link)
		if (kc->kc_key == key)
			return (kc);
	return (NULL);
}

static unsigned int
page_in(uint64_t addr)
{
	return ((unsigned int)(addr / MODEL_PAGE % CHUNK_PAGES));
}

bool
kmap_anon_there(const struct kmap *km, uint64_t addr)
{
	const struct kmap_chunk *kc = find(km, addr >> CHUNK_SHIFT);

	return (kc != NULL && (kc->kc_bits >> page_in(addr) & 1) != 0);
}

int
kmap_anon_add(struct kmap *km, uint64_t addr, void *anon)
{
	uint64_t key = addr >> CHUNK_SHIFT;
	struct kmap_chunk *kc = find(km, key);

	if (kc == NULL) {
		kc = calloc(1, sizeof(*kc));
		if (kc == NULL)
			return (ENOMEM);
		kc->kc_key = key;
		SLIST_INSERT_HEAD(bucket(km, key), kc, kc_link);
		km->km_chunk_count++;
	}
	kc->kc_bits |= UINT64_C(1) << page_in(addr);
	kc->kc_anons[page_in(addr)] = anon;
	return (0);
}

/* Those of pages [first, last] of a chunk. */
static void
drop(struct kmap *km, struct kmap_chunk *kc, unsigned int first,
    unsigned int last)
{
	for (unsigned int i = first; i <= last; i++)
		if (kc->kc_bits >> i & 1)
			records_give(&km->km_anons, kc->kc_anons[i]);
	kc->kc_bits &= ~((UINT64_MAX >> (63 - last)) &
	    (UINT64_MAX << first));
	if (kc->kc_bits == 0) {
		SLIST_REMOVE(
		    bucket(km, kc->kc_key), kc, kmap_chunk, kc_link);
		km->km_chunk_count--;
		free(kc);
	}
}

void
kmap_anons_drop(struct kmap *km, uint64_t addr, uint64_t size)
{
	uint64_t last = addr + size - 1;

	for (uint64_t key = addr >> CHUNK_SHIFT;
	     km->km_chunk_count > 0 && key <= last >> CHUNK_SHIFT; key++) {
		struct kmap_chunk *kc = find(km, key);

		if (kc != NULL)
			drop(km, kc,
			    key == addr >> CHUNK_SHIFT ? page_in(addr) : 0,
			    key == last >> CHUNK_SHIFT ? page_in(last) :
							 CHUNK_PAGES - 1);
	}
}
