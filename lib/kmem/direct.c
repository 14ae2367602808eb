/*
 * direct.c - see direct.h.
 */
#include "config.h"

#include "kmem/direct.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "util/assert.h"
#include "util/lock.h"

/* Free pages that stay wired: as much as a wired arena imports at once. */
#define WARM_MAX 256u

/* [I] immutable, [D] dm_lock, [a] atomic */
struct direct {
	struct lock dm_lock;
	struct direct_backing dm_backing;	/* [I] */
	uint64_t dm_base;		/* [I] */
	uint32_t dm_pages;		/* [I] */
	_Atomic bool dm_on;		/* [a] a hint: orders nothing */
	uint32_t dm_fresh;		/* [D] never used from here on */
	uint32_t dm_nbare, dm_nwarm;	/* [D] */
	uint64_t dm_gets, dm_puts, dm_fails, dm_used;	/* [D] */
	uint32_t dm_warm[WARM_MAX];	/* [D] */
	uint64_t *dm_bits;		/* [D] a set bit: out */
	uint32_t *dm_bare;		/* [D] room for all */
	size_t dm_bytes;		/* [I] of the mapping of these */
};

int
direct_create(uint64_t base, uint64_t size,
    const struct direct_backing *backing, struct direct **dmp)
{
	uint64_t pages = size / DIRECT_PAGE;
	size_t words = (size_t)(pages + 63) / 64;
	size_t bytes = sizeof(struct direct) + words * sizeof(uint64_t) +
	    (size_t)pages * sizeof(uint32_t);
	struct direct *dm;

	if (pages == 0 || pages > UINT32_MAX)
		return (EINVAL);
	dm = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (dm == MAP_FAILED)
		return (ENOMEM);
	lock_init(&dm->dm_lock, "direct map", LOCK_KMEM);
	if (backing != NULL)
		dm->dm_backing = *backing;
	dm->dm_base = base;
	dm->dm_pages = (uint32_t)pages;
	dm->dm_bits = (uint64_t *)(void *)(dm + 1);
	dm->dm_bare = (uint32_t *)(void *)(dm->dm_bits + words);
	dm->dm_bytes = bytes;
	*dmp = dm;
	return (0);
}

void
direct_destroy(struct direct *dm)
{
	if (dm == NULL)
		return;
	(void)direct_reap(dm);
	if (dm->dm_used != 0)
		vmem_panic("direct_destroy: %" PRIu64 " pages are out "
		    "(expected none)", dm->dm_used);
	lock_fini(&dm->dm_lock);
	(void)munmap(dm, dm->dm_bytes);
}

void
direct_switch(struct direct *dm, bool on)
{
	atomic_store_explicit(&dm->dm_on, on, memory_order_relaxed);
}

bool
direct_on(const struct direct *dm)
{
	return (dm != NULL &&
	    atomic_load_explicit(&dm->dm_on, memory_order_relaxed));
}

bool
direct_contains(const struct direct *dm, uint64_t addr)
{
	return (dm != NULL && addr - dm->dm_base <
	    (uint64_t)dm->dm_pages * DIRECT_PAGE);
}

static uint64_t
page_addr(const struct direct *dm, uint32_t page)
{
	return (dm->dm_base + (uint64_t)page * DIRECT_PAGE);
}

static void
mark_out(struct direct *dm, uint32_t page)
{
	dm->dm_bits[page / 64] |= UINT64_C(1) << (page % 64);
	dm->dm_used++;
	dm->dm_gets++;
}

int
direct_get(struct direct *dm, uint64_t *addrp)
{
	uint32_t page;
	int error = 0;

	lock_acquire(&dm->dm_lock);
	if (dm->dm_nwarm > 0) {
		page = dm->dm_warm[--dm->dm_nwarm];
		mark_out(dm, page);
		lock_release(&dm->dm_lock);
		*addrp = page_addr(dm, page);
		return (0);
	}
	if (dm->dm_nbare == 0 && dm->dm_fresh == dm->dm_pages) {
		dm->dm_fails++;
		lock_release(&dm->dm_lock);
		return (ENOMEM);
	}
	page = dm->dm_nbare > 0 ? dm->dm_bare[--dm->dm_nbare] : dm->dm_fresh++;
	lock_release(&dm->dm_lock);

	/* It is on no stack and not out: nobody else's. */
	if (dm->dm_backing.db_wire != NULL)
		error = dm->dm_backing.db_wire(dm->dm_backing.db_arg,
		    page_addr(dm, page), DIRECT_PAGE);
	lock_acquire(&dm->dm_lock);
	if (error == 0)
		mark_out(dm, page);
	else {
		dm->dm_bare[dm->dm_nbare++] = page;
		dm->dm_fails++;
	}
	lock_release(&dm->dm_lock);
	if (error == 0)
		*addrp = page_addr(dm, page);
	return (error);
}

static void
unwire(struct direct *dm, uint32_t page)
{
	if (dm->dm_backing.db_unwire != NULL)
		dm->dm_backing.db_unwire(dm->dm_backing.db_arg,
		    page_addr(dm, page), DIRECT_PAGE);
}

void
direct_put(struct direct *dm, uint64_t addr)
{
	uint64_t page = (addr - dm->dm_base) / DIRECT_PAGE;
	bool warm;

	lock_acquire(&dm->dm_lock);
	if (page >= dm->dm_pages || addr % DIRECT_PAGE != 0 ||
	    (dm->dm_bits[page / 64] >> (page % 64) & 1) == 0)
		vmem_panic("direct_put(0x%" PRIx64 "): expected a page that "
		    "is out", addr);
	dm->dm_bits[page / 64] &= ~(UINT64_C(1) << (page % 64));
	dm->dm_used--;
	dm->dm_puts++;
	warm = dm->dm_nwarm < WARM_MAX;
	if (warm)
		dm->dm_warm[dm->dm_nwarm++] = (uint32_t)page;
	lock_release(&dm->dm_lock);
	if (warm)
		return;
	unwire(dm, (uint32_t)page);
	lock_acquire(&dm->dm_lock);
	dm->dm_bare[dm->dm_nbare++] = (uint32_t)page;
	lock_release(&dm->dm_lock);
}

uint64_t
direct_reap(struct direct *dm)
{
	uint64_t bytes = 0;

	lock_acquire(&dm->dm_lock);
	while (dm->dm_nwarm > 0) {
		uint32_t page = dm->dm_warm[--dm->dm_nwarm];

		lock_release(&dm->dm_lock);
		unwire(dm, page);
		bytes += DIRECT_PAGE;
		lock_acquire(&dm->dm_lock);
		dm->dm_bare[dm->dm_nbare++] = page;
	}
	lock_release(&dm->dm_lock);
	return (bytes);
}

bool
direct_next(struct direct *dm, uint64_t from, uint64_t *addrp)
{
	uint64_t page = from <= dm->dm_base ? 0 :
	    (from - dm->dm_base + DIRECT_PAGE - 1) / DIRECT_PAGE;
	bool found = false;

	lock_acquire(&dm->dm_lock);
	while (!found && page < dm->dm_fresh) {
		uint64_t word = dm->dm_bits[page / 64] >> (page % 64);

		if (word == 0) {
			page = (page / 64 + 1) * 64;
			continue;
		}
		page += (uint64_t)__builtin_ctzll(word);
		found = true;
	}
	lock_release(&dm->dm_lock);
	if (found)
		*addrp = dm->dm_base + page * DIRECT_PAGE;
	return (found);
}

void
direct_stat(struct direct *dm, struct direct_stat *ds)
{
	lock_acquire(&dm->dm_lock);
	*ds = (struct direct_stat) { .ds_base = dm->dm_base,
		.ds_size = (uint64_t)dm->dm_pages * DIRECT_PAGE,
		.ds_gets = dm->dm_gets, .ds_puts = dm->dm_puts,
		.ds_fails = dm->dm_fails, .ds_used = dm->dm_used,
		.ds_warm = dm->dm_nwarm,
		.ds_meta = sizeof(*dm) +
		    (uint64_t)(dm->dm_fresh + 63) / 64 * sizeof(uint64_t) +
		    (uint64_t)dm->dm_nbare * sizeof(uint32_t) };
	lock_release(&dm->dm_lock);
}
