/*
 * refplace.c - placement by definition: see refplace.h.
 *
 * The holes are in two treaps: one ordered by address, in which each node knows
 * the largest hole of its subtree (first fit goes left whenever that is enough;
 * a hole that touches what is given back is found there, too), and one ordered
 * by size and then address (best fit is the first that fits from there on).
 * One implementation serves both: a key is a pair of numbers.
 */
#include "config.h"

#include "bench/refplace.h"

#include <stdbool.h>
#include <stdlib.h>

#include "util/assert.h"
#include "util/rng.h"

enum order { BY_ADDR, BY_SIZE, ORDERS };

struct hole {
	uint64_t ho_addr, ho_size;
	struct {
		struct hole *li_left, *li_right;
		uint64_t li_max;	/* largest in this subtree */
	} ho_link[ORDERS];
	uint64_t ho_priority;
	struct hole *ho_unused;		/* next of the unused ones */
};

struct refplace {
	enum refplace_policy rp_policy;
	struct hole *rp_root[ORDERS];
	struct hole *rp_unused;
	uint64_t rp_top, rp_extent;
	struct rng rp_rng;
};

#define LEFT(ho, o) ((ho)->ho_link[o].li_left)
#define RIGHT(ho, o) ((ho)->ho_link[o].li_right)

/* ---- treaps ------------------------------------------------------------------ */

/* Is `ho` before the place (addr, size)? */
static bool
before(const struct hole *ho, enum order o, uint64_t addr, uint64_t size)
{
	if (o == BY_SIZE && ho->ho_size != size)
		return (ho->ho_size < size);
	return (ho->ho_addr < addr);
}

static uint64_t
subtree_max(const struct hole *ho, enum order o)
{
	return (ho != NULL ? ho->ho_link[o].li_max : 0);
}

static void
update(struct hole *ho, enum order o)
{
	uint64_t max = ho->ho_size, left = subtree_max(LEFT(ho, o), o),
		 right = subtree_max(RIGHT(ho, o), o);

	max = left > max ? left : max;
	ho->ho_link[o].li_max = right > max ? right : max;
}

/* What is before the place, and the rest. */
static void
divide(struct hole *ho, enum order o, uint64_t addr, uint64_t size,
    struct hole **lowp, struct hole **highp)
{
	if (ho == NULL) {
		*lowp = *highp = NULL;
		return;
	}
	if (before(ho, o, addr, size)) {
		divide(RIGHT(ho, o), o, addr, size, &RIGHT(ho, o), highp);
		*lowp = ho;
	} else {
		divide(LEFT(ho, o), o, addr, size, lowp, &LEFT(ho, o));
		*highp = ho;
	}
	update(ho, o);
}

static struct hole *
unite(struct hole *low, struct hole *high, enum order o)
{
	if (low == NULL || high == NULL)
		return (low != NULL ? low : high);
	if (low->ho_priority > high->ho_priority) {
		RIGHT(low, o) = unite(RIGHT(low, o), high, o);
		update(low, o);
		return (low);
	}
	LEFT(high, o) = unite(low, LEFT(high, o), o);
	update(high, o);
	return (high);
}

static void
insert(struct refplace *rp, uint64_t addr, uint64_t size)
{
	struct hole *ho = rp->rp_unused, *low, *high;

	if (ho != NULL)
		rp->rp_unused = ho->ho_unused;
	else {
		ho = malloc(sizeof(*ho));
		VERIFY(ho != NULL);
	}
	*ho = (struct hole){ .ho_addr = addr, .ho_size = size,
		.ho_priority = rng_next(&rp->rp_rng) };
	for (enum order o = BY_ADDR; o < ORDERS; o++) {
		update(ho, o);
		divide(rp->rp_root[o], o, addr, size, &low, &high);
		rp->rp_root[o] = unite(unite(low, ho, o), high, o);
	}
}

static void
erase(struct refplace *rp, struct hole *ho)
{
	for (enum order o = BY_ADDR; o < ORDERS; o++) {
		struct hole *low, *one, *high;

		divide(rp->rp_root[o], o, ho->ho_addr, ho->ho_size, &low,
		    &high);
		divide(high, o, ho->ho_addr + 1, ho->ho_size, &one, &high);
		VERIFY(one == ho);
		rp->rp_root[o] = unite(low, high, o);
	}
	ho->ho_unused = rp->rp_unused;
	rp->rp_unused = ho;
}

/* The last hole that begins before addr. */
static struct hole *
last_before(const struct refplace *rp, uint64_t addr)
{
	struct hole *ho = rp->rp_root[BY_ADDR], *found = NULL;

	while (ho != NULL)
		if (ho->ho_addr < addr) {
			found = ho;
			ho = RIGHT(ho, BY_ADDR);
		} else
			ho = LEFT(ho, BY_ADDR);
	return (found);
}

/* ---- policies ---------------------------------------------------------------- */

static uint64_t
aligned(uint64_t addr, uint64_t align)
{
	return ((addr + (align - 1)) & ~(align - 1));
}

static bool
fits(const struct hole *ho, uint64_t size, uint64_t align)
{
	uint64_t skip = aligned(ho->ho_addr, align) - ho->ho_addr;

	return (skip <= ho->ho_size && size <= ho->ho_size - skip);
}

/* The first in this order that fits.  In both, a subtree without a hole of
 * that size has none that fits. */
static struct hole *
first_that_fits(
    struct hole *ho, enum order o, uint64_t size, uint64_t align)
{
	struct hole *found;

	if (subtree_max(ho, o) < size)
		return (NULL);
	found = first_that_fits(LEFT(ho, o), o, size, align);
	if (found != NULL || fits(ho, size, align))
		return (found != NULL ? found : ho);
	return (first_that_fits(RIGHT(ho, o), o, size, align));
}

uint64_t
refplace_get(struct refplace *rp, uint64_t size, uint64_t align)
{
	enum order o = rp->rp_policy == REFPLACE_FIRST ? BY_ADDR : BY_SIZE;
	struct hole *ho = first_that_fits(rp->rp_root[o], o, size, align);
	uint64_t low, high, addr;

	if (ho == NULL) {
		low = rp->rp_top;
		addr = aligned(low, align);
		high = rp->rp_top = addr + size;
		if (rp->rp_top > rp->rp_extent)
			rp->rp_extent = rp->rp_top;
	} else {
		low = ho->ho_addr;
		high = low + ho->ho_size;
		addr = aligned(low, align);
		erase(rp, ho);
	}
	if (addr > low)
		insert(rp, low, addr - low);
	if (addr + size < high)
		insert(rp, addr + size, high - (addr + size));
	return (addr);
}

void
refplace_put(struct refplace *rp, uint64_t addr, uint64_t size)
{
	uint64_t end = addr + size;
	struct hole *ho;

	VERIFY(end <= rp->rp_top);
	while ((ho = last_before(rp, end + 1)) != NULL &&
	    ho->ho_addr + ho->ho_size >= addr) {
		/* It touches, and doesn't overlap. */
		VERIFY(ho->ho_addr == end || ho->ho_addr + ho->ho_size == addr);
		addr = ho->ho_addr < addr ? ho->ho_addr : addr;
		end = ho->ho_addr + ho->ho_size > end ?
		    ho->ho_addr + ho->ho_size : end;
		erase(rp, ho);
	}
	if (end == rp->rp_top)
		rp->rp_top = addr;
	else
		insert(rp, addr, end - addr);
}

uint64_t
refplace_extent(const struct refplace *rp)
{
	return (rp->rp_extent);
}

/* ---- life ---------------------------------------------------------------------- */

struct refplace *
refplace_create(enum refplace_policy policy)
{
	struct refplace *rp = calloc(1, sizeof(*rp));

	VERIFY(rp != NULL);
	rp->rp_policy = policy;
	rng_init(&rp->rp_rng, 1);
	return (rp);
}

static void
free_tree(struct hole *ho)
{
	if (ho == NULL)
		return;
	free_tree(LEFT(ho, BY_ADDR));
	free_tree(RIGHT(ho, BY_ADDR));
	free(ho);
}

void
refplace_destroy(struct refplace *rp)
{
	struct hole *ho;

	free_tree(rp->rp_root[BY_ADDR]);
	while ((ho = rp->rp_unused) != NULL) {
		rp->rp_unused = ho->ho_unused;
		free(ho);
	}
	free(rp);
}
