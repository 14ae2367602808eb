/*
 * kmem.c - see kmem.h.
 */
#include "config.h"

#include "kmem/kmem.h"

#include <errno.h>
#include <sys/mman.h>

#include "util/assert.h"

#define SMALL_MAX 1024u		/* up to here a table has the cache */
#define SMALL_CACHES 22u
#define BIG_SHIFT 11		/* above, sizes are powers of two from 2048 */

/* Slabs kept idle in each cache: what a burst gives and takes back, and no
 * more than 64 pages in all of the small ones. */
#define IDLE_MAX 2u

static const uint16_t sizes[KMEM_CACHES] = { 8, 16, 24, 32, 40, 48, 56, 64, 80,
	96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 768, 1024, 2048,
	4096, 8192, 16384 };

struct kmem {
	uint8_t km_index[SMALL_MAX / KMEM_ALIGN + 1];	/* by size / 8 */
	struct slab_cache km_cache[KMEM_CACHES];
};

int
kmem_create(const struct slab_source *source, struct kmem **kmp)
{
	struct kmem *km = mmap(NULL, sizeof(*km), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t c = 0;

	if (km == MAP_FAILED)
		return (ENOMEM);
	for (unsigned int i = 0; i < KMEM_CACHES; i++)
		slab_cache_init(&km->km_cache[i], source, sizes[i],
		    sizes[i] < SLAB_PAGE ? SLAB_PAGE : sizes[i], IDLE_MAX);
	for (unsigned int i = 0; i <= SMALL_MAX / KMEM_ALIGN; i++) {
		while (sizes[c] < i * KMEM_ALIGN)
			c++;
		km->km_index[i] = c;
	}
	*kmp = km;
	return (0);
}

void
kmem_destroy(struct kmem *km)
{
	if (km == NULL)
		return;
	for (unsigned int i = 0; i < KMEM_CACHES; i++)
		slab_cache_fini(&km->km_cache[i]);
	(void)munmap(km, sizeof(*km));
}

/* The smallest power of two from 2048 on that holds it. */
static unsigned int
big_index(uint64_t size)
{
	unsigned int i = SMALL_CACHES;

	for (size = (size - 1) >> BIG_SHIFT; size != 0; size >>= 1)
		i++;
	return (i);
}

static struct slab_cache *
cache_of(struct kmem *km, uint64_t size)
{
	VERIFY(size >= 1 && size <= KMEM_MAX);
	if (size <= SMALL_MAX)
		return (&km->km_cache[
		    km->km_index[(size + KMEM_ALIGN - 1) / KMEM_ALIGN]]);
	return (&km->km_cache[big_index(size)]);
}

int
kmem_alloc(struct kmem *km, uint64_t size, uint64_t *addrp)
{
	return (slab_alloc(cache_of(km, size), addrp));
}

void
kmem_free(struct kmem *km, uint64_t addr, uint64_t size)
{
	slab_free(cache_of(km, size), addr);
}

uint64_t
kmem_rounded(uint64_t size)
{
	unsigned int i = 0;

	while (i < KMEM_CACHES - 1 && sizes[i] < size)
		i++;
	return (sizes[i]);
}

uint64_t
kmem_reap(struct kmem *km)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < KMEM_CACHES; i++)
		bytes += slab_reap(&km->km_cache[i], UINT64_MAX);
	return (bytes);
}

int
kmem_stat(struct kmem *km, unsigned int index, struct slab_stat *st)
{
	if (index >= KMEM_CACHES)
		return (ENOENT);
	slab_cache_stat(&km->km_cache[index], st);
	return (0);
}

int
kmem_check(struct kmem *km, const char **why)
{
	int error = 0;

	for (unsigned int i = 0; error == 0 && i < KMEM_CACHES; i++)
		error = slab_check(&km->km_cache[i], why);
	return (error);
}
