/*
 * bin.c - bins: where there are free segments of one size.
 *
 * A bin is an array in no order, and each free segment's tag has its place in
 * the array.  A tag hasn't got an address of its own (it moves as its row
 * changes), but a row does: an item is a row's number, and where in the row the
 * tag was when the item was written (freelist.c).
 *
 * Adding is at the end.  Removing moves the last one to the place that became
 * free, and its tag is told.  Against linked lists that is half
 * the memory, and where a list's removal touches two neighbours that were freed
 * at any time, the last one here was freed lately, and is in the cache.
 *
 * Three fit in the bin itself.  More are in a tree of units of 128 items:
 * place n's is the base-128 digits of n.  It grows a root, or loses one, as the
 * array does, so nothing is ever copied but the first three, and a push needs
 * a new root and one unit a level at most: BIN_UNITS, at three levels below it
 * (2^27 places).  What is added or taken is at the end, nearly always, so the
 * bin remembers the unit that the last item is in.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <string.h>

#ifndef DIGIT_BITS
#define DIGIT_BITS 7u
#endif
#define DIGITS (1u << DIGIT_BITS)
_Static_assert(DIGITS * sizeof(uint32_t) <= UNIT_BYTES, "a node is a unit");

#define BIN_ROOT(bn) ((bn)->bn_item[0])
#define BIN_DEPTH(bn) ((bn)->bn_item[1])
#define BIN_TAIL(bn) ((bn)->bn_item[2])

static uint32_t *
WORDS(uint32_t unit)
{
	return (UNIT(unit));
}

/* Places below a node at that height. */
static inline uint64_t
below(unsigned int depth)
{
	return (UINT64_C(1) << (DIGIT_BITS * (depth + 1)));
}

static inline unsigned int
digit(uint32_t place, unsigned int depth)
{
	return ((place >> (DIGIT_BITS * depth)) % DIGITS);
}

/* Where place n's item is kept: n < bn_count. */
uint32_t *
bin_item(struct bin *bn, uint32_t place)
{
	uint32_t unit = BIN_ROOT(bn);

	if (bn->bn_count <= BIN_INLINE)
		return (&bn->bn_item[place]);
	for (unsigned int d = BIN_DEPTH(bn); d > 0; d--)
		unit = WORDS(unit)[digit(place, d)];
	return (&WORDS(unit)[digit(place, 0)]);
}

/* The unit of the new place n: those that it is the first in are made. */
static uint32_t
way_make(struct vmem *vm, struct bin *bn, uint32_t place)
{
	uint32_t unit = BIN_ROOT(bn), *word;

	for (unsigned int d = BIN_DEPTH(bn); d > 0; d--) {
		word = &WORDS(unit)[digit(place, d)];
		if (place % below(d - 1) == 0)
			*word = unit_take(vm);
		unit = *word;
	}
	return (unit);
}

/* Does the bin take a unit with that place, and give one back with it? */
inline bool
bin_turns(uint32_t place)
{
	return ((place == BIN_INLINE) |
	    ((place > BIN_INLINE) & (place % DIGITS == 0)));
}

/* Where the last one's item is, or the next one's if the bin doesn't turn with
 * it.  Many bins have about as many as fit into them: so no branch. */
static inline uint32_t *
bin_end(struct bin *bn, uint32_t place)
{
	uint32_t *inside = &bn->bn_item[place & 3];
	uint32_t *beyond = &WORDS(BIN_TAIL(bn))[digit(place, 0)];
	uintptr_t which = 0 - (uintptr_t)(place >= BIN_INLINE);

	return ((void *)(((uintptr_t)beyond & which) |
	    ((uintptr_t)inside & ~which)));
}

/* The first item of a unit. */
static __attribute__((noinline)) bool
push_unit(struct vmem *vm, struct bin *bn, uint32_t item)
{
	uint32_t place = bn->bn_count, unit;

	if (!units_at_hand(vm, BIN_UNITS) || place > PLACE_NONE - DIGITS)
		return (false);
	if (place == BIN_INLINE) {
		unit = unit_take(vm);
		memcpy(WORDS(unit), bn->bn_item, BIN_INLINE * sizeof(uint32_t));
		BIN_ROOT(bn) = unit;
		BIN_DEPTH(bn) = 0;
	} else if (place == below(BIN_DEPTH(bn))) {
		unit = unit_take(vm);
		WORDS(unit)[0] = BIN_ROOT(bn);
		BIN_ROOT(bn) = unit;
		BIN_DEPTH(bn)++;
	}
	BIN_TAIL(bn) = way_make(vm, bn, place);
	WORDS(BIN_TAIL(bn))[digit(place, 0)] = item;
	bn->bn_count++;
	return (true);
}

/* One more at the end; false: no unit is at hand for it, or no number. */
static inline bool
push_inline(struct vmem *vm, struct bin *bn, uint32_t item)
{
	uint32_t n = bn->bn_count;

	if (__builtin_expect(bin_turns(n), 0))
		return (push_unit(vm, bn, item));
	*bin_end(bn, n) = item;
	bn->bn_count = n + 1;
	return (true);
}

bool
bin_push(struct vmem *vm, struct bin *bn, uint32_t item)
{
	return (push_inline(vm, bn, item));
}

/* Give back the units that only this place was in: it was the first of one,
 * and so of all below the unit where it isn't. */
static void
way_end(struct vmem *vm, struct bin *bn, uint32_t place)
{
	uint32_t unit = BIN_ROOT(bn), next;

	for (unsigned int d = BIN_DEPTH(bn); d > 0; d--, unit = next) {
		next = WORDS(unit)[digit(place, d)];
		if (d < BIN_DEPTH(bn) && place % below(d) == 0)
			unit_give(vm, unit);
	}
	unit_give(vm, unit);
	if (place == below(BIN_DEPTH(bn) - 1)) {
		unit = BIN_ROOT(bn);
		BIN_ROOT(bn) = WORDS(unit)[0];
		BIN_DEPTH(bn)--;
		unit_give(vm, unit);
	}
}

static __attribute__((noinline)) void
pop_unit(struct vmem *vm, struct bin *bn, uint32_t place)
{
	uint32_t unit = BIN_ROOT(bn);

	if (place == BIN_INLINE) {
		memcpy(bn->bn_item, WORDS(unit), BIN_INLINE * sizeof(uint32_t));
		unit_give(vm, unit);
		return;
	}
	way_end(vm, bn, place);
	unit = BIN_ROOT(bn);
	for (unsigned int d = BIN_DEPTH(bn); d > 0; d--)
		unit = WORDS(unit)[digit(place - 1, d)];
	BIN_TAIL(bn) = unit;
}

/* The last one goes. */
void
bin_pop(struct vmem *vm, struct bin *bn)
{
	uint32_t n = --bn->bn_count;

	if (__builtin_expect(bin_turns(n), 0))
		pop_unit(vm, bn, n);
}

/* The last one: bn_count > 0. */
uint32_t
bin_last(struct bin *bn)
{
	return (*bin_end(bn, bn->bn_count - 1));
}

/* At the end of an arena: all units go back to the pool. */
static void
units_fini(uint32_t unit, unsigned int depth, uint64_t count)
{
	if (depth > 0)
		for (uint64_t i = 0; i * below(depth - 1) < count; i++) {
			uint64_t rest = count - i * below(depth - 1);

			units_fini(WORDS(unit)[i], depth - 1,
			    rest < below(depth - 1) ? rest : below(depth - 1));
		}
	pool_put(&unit, 1);
}

void
bin_fini(struct vmem *vm, struct bin *bn)
{
	(void)vm;
	if (bn->bn_count > BIN_INLINE)
		units_fini(BIN_ROOT(bn), BIN_DEPTH(bn), bn->bn_count);
	bn->bn_count = 0;
}
