/*
 * slab.c - see slab.h.
 */
#include "config.h"

#include "kmem/slab.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "util/assert.h"

#define CHUNK_BYTES 16384u	/* of headers */
#define HASH_MIN 64u

/* ---- memory of its own -------------------------------------------------- */

static void *
map_bytes(size_t size)
{
	void *ptr = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return (ptr == MAP_FAILED ? NULL : ptr);
}

static size_t
header_size(const struct slab_cache *sc)
{
	return (sizeof(struct slab) + sc->sc_words * sizeof(uint64_t));
}

/* A chunk's first word links it to the one before; headers follow. */
static int
chunk_new(struct slab_cache *sc)
{
	size_t size = header_size(sc), used = sizeof(struct slab);
	char *chunk = map_bytes(CHUNK_BYTES);

	if (chunk == NULL)
		return (ENOMEM);
	memcpy(chunk, &sc->sc_chunks, sizeof(sc->sc_chunks));
	sc->sc_chunks = chunk;
	sc->sc_meta += CHUNK_BYTES;
	for (; used + size <= CHUNK_BYTES; used += size) {
		struct slab *sl = (struct slab *)(void *)(chunk + used);

		TAILQ_INSERT_TAIL(&sc->sc_headers, sl, sl_link);
	}
	return (0);
}

static struct slab *
header_take(struct slab_cache *sc)
{
	struct slab *sl;

	if (TAILQ_EMPTY(&sc->sc_headers) && chunk_new(sc) != 0)
		return (NULL);
	sl = TAILQ_FIRST(&sc->sc_headers);
	TAILQ_REMOVE(&sc->sc_headers, sl, sl_link);
	return (sl);
}

/* ---- the hash table ----------------------------------------------------- */

static size_t
hash_slot(const struct slab_cache *sc, uint64_t base)
{
	return ((size_t)((base / SLAB_PAGE * UINT64_C(0x9e3779b97f4a7c15)) >>
	    20) & (sc->sc_hash_size - 1));
}

static void
hash_put(struct slab_cache *sc, struct slab *sl)
{
	size_t i = hash_slot(sc, sl->sl_base);

	while (sc->sc_hash[i] != NULL)
		i = (i + 1) & (sc->sc_hash_size - 1);
	sc->sc_hash[i] = sl;
}

/* Room for one more, at most half full. */
static int
hash_room(struct slab_cache *sc)
{
	size_t old_size = sc->sc_hash_size;
	size_t size = old_size == 0 ? HASH_MIN : 2 * old_size;
	struct slab **old = sc->sc_hash, **table;

	if (2 * (sc->sc_slabs + 1) <= old_size)
		return (0);
	table = map_bytes(size * sizeof(*table));
	if (table == NULL)
		return (ENOMEM);
	sc->sc_hash = table;
	sc->sc_hash_size = size;
	sc->sc_meta += size * sizeof(*table) - old_size * sizeof(*table);
	for (size_t i = 0; i < old_size; i++)
		if (old[i] != NULL)
			hash_put(sc, old[i]);
	if (old != NULL)
		(void)munmap(old, old_size * sizeof(*old));
	return (0);
}

static struct slab *
hash_find(const struct slab_cache *sc, uint64_t base, size_t *slotp)
{
	size_t i;

	if (sc->sc_hash_size == 0)
		return (NULL);
	for (i = hash_slot(sc, base); sc->sc_hash[i] != NULL;
	    i = (i + 1) & (sc->sc_hash_size - 1))
		if (sc->sc_hash[i]->sl_base == base) {
			*slotp = i;
			return (sc->sc_hash[i]);
		}
	return (NULL);
}

/* Close the hole at slot i: later ones of its run move up. */
static void
hash_remove(struct slab_cache *sc, size_t i)
{
	size_t mask = sc->sc_hash_size - 1;

	for (size_t j = (i + 1) & mask; sc->sc_hash[j] != NULL;
	    j = (j + 1) & mask) {
		size_t home = hash_slot(sc, sc->sc_hash[j]->sl_base);

		if (((j - home) & mask) < ((j - i) & mask))
			continue;
		sc->sc_hash[i] = sc->sc_hash[j];
		i = j;
	}
	sc->sc_hash[i] = NULL;
}

/* ---- slabs -------------------------------------------------------------- */

static void
bits_fill(const struct slab_cache *sc, struct slab *sl)
{
	for (uint32_t i = 0; i < sc->sc_words; i++) {
		uint32_t n = sc->sc_items - i * 64;

		sl->sl_bits[i] = n >= 64 ? UINT64_MAX :
					   (UINT64_C(1) << n) - 1;
	}
	sl->sl_free = sc->sc_items;
	sl->sl_hint = 0;
}

static int
slab_adopt(struct slab_cache *sc, uint64_t base)
{
	struct slab *sl;

	if (hash_room(sc) != 0)
		return (ENOMEM);
	sl = header_take(sc);
	if (sl == NULL)
		return (ENOMEM);
	sl->sl_base = base;
	bits_fill(sc, sl);
	hash_put(sc, sl);
	TAILQ_INSERT_HEAD(&sc->sc_partial, sl, sl_link);
	sc->sc_slabs++;
	sc->sc_fills++;
	return (0);
}

/* One more slab on the list, with sc_lock dropped while the source works. */
static int
slab_get(struct slab_cache *sc) REQUIRES(sc->sc_lock)
{
	const struct slab_source *ss = sc->sc_source;
	uint64_t base;
	int error;

	lock_release(&sc->sc_lock);
	error = ss->ss_get(ss->ss_arg, sc->sc_slab,
	    sc->sc_items > 1 ? sc->sc_slab : 0, &base);
	lock_acquire(&sc->sc_lock);
	if (error != 0)
		return (error);
	error = slab_adopt(sc, base);
	if (error != 0) {
		lock_release(&sc->sc_lock);
		(void)ss->ss_put(ss->ss_arg, base, sc->sc_slab);
		lock_acquire(&sc->sc_lock);
	}
	return (error);
}

/* Give the longest idle slab back, if it is idle since `before`.  false:
 * there is none, or the source doesn't take it. */
static bool
drain_one(struct slab_cache *sc, uint64_t before) REQUIRES(sc->sc_lock)
{
	const struct slab_source *ss = sc->sc_source;
	struct slab *sl = TAILQ_FIRST(&sc->sc_idle), *found;
	size_t slot = 0;
	int error;

	if (sl == NULL || sl->sl_idle_since > before)
		return (false);
	/* Gone from the table before the source has it: another thread may be
	 * given the same addresses at once.  It still counts as a slab, so
	 * that the table has room for it should it have to come back. */
	found = hash_find(sc, sl->sl_base, &slot);
	VERIFY(found == sl);
	hash_remove(sc, slot);
	TAILQ_REMOVE(&sc->sc_idle, sl, sl_link);
	sc->sc_idles--;
	sc->sc_leaving++;
	lock_release(&sc->sc_lock);
	error = ss->ss_put(ss->ss_arg, sl->sl_base, sc->sc_slab);
	lock_acquire(&sc->sc_lock);
	sc->sc_leaving--;
	if (error == 0) {
		TAILQ_INSERT_HEAD(&sc->sc_headers, sl, sl_link);
		sc->sc_slabs--;
		sc->sc_drains++;
	} else {
		hash_put(sc, sl);
		TAILQ_INSERT_HEAD(&sc->sc_idle, sl, sl_link);
		sc->sc_idles++;
		sc->sc_refused++;
	}
	return (error == 0);
}

static uint64_t
item_take(struct slab_cache *sc, struct slab *sl)
{
	uint32_t i = sl->sl_hint;
	unsigned int bit;

	while (sl->sl_bits[i] == 0)
		i++;
	bit = (unsigned int)__builtin_ctzll(sl->sl_bits[i]);
	sl->sl_bits[i] &= sl->sl_bits[i] - 1;
	sl->sl_hint = i;
	if (--sl->sl_free == 0)
		TAILQ_REMOVE(&sc->sc_partial, sl, sl_link);
	sc->sc_used++;
	return (sl->sl_base + (i * 64 + bit) * sc->sc_item);
}

/* ---- the interface ------------------------------------------------------ */

void
slab_cache_init(struct slab_cache *sc, const struct slab_source *source,
    uint64_t item, uint64_t slab, uint32_t idle_max)
{
	memset(sc, 0, sizeof(*sc));
	lock_init(&sc->sc_lock, "slab cache", LOCK_KMEM);
	sc->sc_source = source;
	sc->sc_item = item;
	sc->sc_slab = slab;
	sc->sc_items = (uint32_t)(slab / item);
	sc->sc_words = (sc->sc_items + 63) / 64;
	sc->sc_idle_max = idle_max;
	VERIFY(sc->sc_items >= 1 && sc->sc_items <= SLAB_ITEMS_MAX);
	VERIFY(sc->sc_items == 1 || (slab & (slab - 1)) == 0);
	TAILQ_INIT(&sc->sc_partial);
	TAILQ_INIT(&sc->sc_idle);
	TAILQ_INIT(&sc->sc_headers);
}

void
slab_cache_fini(struct slab_cache *sc)
{
	void *chunk, *before;

	(void)slab_reap(sc, UINT64_MAX);
	if (sc->sc_used != 0)
		vmem_panic("slab_cache_fini(%" PRIu64 " bytes): %" PRIu64
		    " items are out (expected none)", sc->sc_item,
		    sc->sc_used);
	for (chunk = sc->sc_chunks; chunk != NULL; chunk = before) {
		memcpy(&before, chunk, sizeof(before));
		(void)munmap(chunk, CHUNK_BYTES);
	}
	if (sc->sc_hash != NULL)
		(void)munmap(sc->sc_hash,
		    sc->sc_hash_size * sizeof(*sc->sc_hash));
	lock_fini(&sc->sc_lock);
}

int
slab_alloc(struct slab_cache *sc, uint64_t *addrp)
{
	struct slab *sl;
	bool hit = true;
	int error = 0;

	lock_acquire(&sc->sc_lock);
	while ((sl = TAILQ_FIRST(&sc->sc_partial)) == NULL) {
		sl = TAILQ_LAST(&sc->sc_idle, slab_list);
		if (sl != NULL) {
			TAILQ_REMOVE(&sc->sc_idle, sl, sl_link);
			sc->sc_idles--;
			TAILQ_INSERT_HEAD(&sc->sc_partial, sl, sl_link);
			break;
		}
		hit = false;
		error = slab_get(sc);
		if (error != 0)
			break;
	}
	if (error == 0) {
		*addrp = item_take(sc, sl);
		sc->sc_hits += hit;
		sc->sc_misses += !hit;
	}
	lock_release(&sc->sc_lock);
	return (error);
}

static void __attribute__((__noreturn__, __cold__))
misfreed(const struct slab_cache *sc, uint64_t addr, const char *expected)
{
	vmem_panic("slab_free(%" PRIu64 " bytes, 0x%" PRIx64 "): expected %s",
	    sc->sc_item, addr, expected);
}

void
slab_free(struct slab_cache *sc, uint64_t addr)
{
	uint64_t base = sc->sc_items > 1 ? addr & ~(sc->sc_slab - 1) : addr;
	struct slab *sl;
	size_t slot;
	uint32_t item;

	lock_acquire(&sc->sc_lock);
	sl = hash_find(sc, base, &slot);
	if (sl == NULL || (addr - base) % sc->sc_item != 0 ||
	    (addr - base) / sc->sc_item >= sc->sc_items)
		misfreed(sc, addr, "the start of an item");
	item = (uint32_t)((addr - base) / sc->sc_item);
	if (sl->sl_bits[item / 64] >> (item % 64) & 1)
		misfreed(sc, addr, "an item that is out (freed twice?)");
	sl->sl_bits[item / 64] |= UINT64_C(1) << (item % 64);
	if (item / 64 < sl->sl_hint)
		sl->sl_hint = item / 64;
	sc->sc_used--;
	sc->sc_frees++;
	if (sl->sl_free++ > 0)
		TAILQ_REMOVE(&sc->sc_partial, sl, sl_link);
	if (sl->sl_free == sc->sc_items) {
		sl->sl_idle_since = sc->sc_clock;
		TAILQ_INSERT_TAIL(&sc->sc_idle, sl, sl_link);
		if (++sc->sc_idles > sc->sc_idle_max)
			(void)drain_one(sc, UINT64_MAX);
	} else {
		TAILQ_INSERT_HEAD(&sc->sc_partial, sl, sl_link);
	}
	lock_release(&sc->sc_lock);
}

void
slab_tick(struct slab_cache *sc, uint64_t now)
{
	lock_acquire(&sc->sc_lock);
	sc->sc_clock = now;
	lock_release(&sc->sc_lock);
}

uint64_t
slab_reap(struct slab_cache *sc, uint64_t before)
{
	uint64_t bytes = 0;

	lock_acquire(&sc->sc_lock);
	while (drain_one(sc, before))
		bytes += sc->sc_slab;
	lock_release(&sc->sc_lock);
	return (bytes);
}

void
slab_cache_stat(struct slab_cache *sc, struct slab_stat *st)
{
	lock_acquire(&sc->sc_lock);
	*st = (struct slab_stat) { .st_item = sc->sc_item,
		.st_slab = sc->sc_slab, .st_items = sc->sc_items,
		.st_hits = sc->sc_hits, .st_misses = sc->sc_misses,
		.st_frees = sc->sc_frees, .st_fills = sc->sc_fills,
		.st_drains = sc->sc_drains, .st_refused = sc->sc_refused,
		.st_slabs = sc->sc_slabs, .st_idle = sc->sc_idles,
		.st_used = sc->sc_used,
		.st_held = sc->sc_slabs * sc->sc_items - sc->sc_used,
		.st_meta = sc->sc_meta,
		.st_meta_used = sc->sc_slabs * header_size(sc) +
		    sc->sc_hash_size * sizeof(*sc->sc_hash) };
	lock_release(&sc->sc_lock);
}

/* ---- the checker -------------------------------------------------------- */

static uint32_t
bits_count(const struct slab_cache *sc, const struct slab *sl)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < sc->sc_words; i++)
		n += (uint32_t)__builtin_popcountll(sl->sl_bits[i]);
	return (n);
}

static const char *
check_locked(struct slab_cache *sc)
{
	uint64_t slabs = 0, held = 0, idle = 0, partial = 0, listed = 0;
	struct slab *sl;

	for (size_t i = 0; i < sc->sc_hash_size; i++) {
		sl = sc->sc_hash[i];
		if (sl == NULL)
			continue;
		if (bits_count(sc, sl) != sl->sl_free)
			return ("a slab's free items aren't those of its bits");
		slabs++;
		held += sl->sl_free;
		idle += sl->sl_free == sc->sc_items;
		partial += sl->sl_free > 0 && sl->sl_free < sc->sc_items;
	}
	TAILQ_FOREACH(sl, &sc->sc_partial, sl_link)
		listed++;
	if (listed != partial)
		return ("the list of partial slabs isn't those that are");
	if (slabs + sc->sc_leaving != sc->sc_slabs || idle != sc->sc_idles ||
	    slabs * sc->sc_items - held != sc->sc_used)
		return ("a slab cache's counts aren't those of its slabs");
	return (NULL);
}

int
slab_check(struct slab_cache *sc, const char **why)
{
	const char *wrong;

	lock_acquire(&sc->sc_lock);
	wrong = check_locked(sc);
	lock_release(&sc->sc_lock);
	if (wrong != NULL && why != NULL)
		*why = wrong;
	return (wrong != NULL ? EIO : 0);
}
