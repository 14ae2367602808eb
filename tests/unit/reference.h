/*
 * reference.h - what an allocation under constraints means, in the plainest
 * arithmetic there is: 128 bits, so that nothing wraps, and no cleverness.
 * What the arena does is compared with it.  And how such tests take their seed
 * and length.
 */
#ifndef UNIT_REFERENCE_H
#define UNIT_REFERENCE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <vmem.h>

#include "util/rng.h"

typedef unsigned __int128 ref_wide;

struct ref_request {
	uint64_t size, align, phase, nocross, min, max;
	vm_flag_t policy;
};

/* size rounded up to the quantum. */
static inline ref_wide
ref_size(const struct ref_request *r, uint64_t quantum)
{
	return (((ref_wide)r->size + quantum - 1) / quantum * quantum);
}

static inline bool
ref_pow2(uint64_t x)
{
	return (x != 0 && (x & (x - 1)) == 0);
}

/* Can nothing satisfy it, whatever is free? */
static inline bool
ref_invalid(const struct ref_request *r, uint64_t quantum)
{
	ref_wide size = ref_size(r, quantum);

	if (r->size == 0 || size > UINT64_MAX)
		return (true);
	if ((r->align != 0 && !ref_pow2(r->align)) ||
	    (r->nocross != 0 && !ref_pow2(r->nocross)))
		return (true);
	if (r->phase % quantum != 0 || (r->phase != 0 && r->phase >= r->align))
		return (true);
	if (r->min > r->max || (ref_wide)r->max - r->min + 1 < size)
		return (true);
	/* The lowest place in a block that alignment and phase allow. */
	return (r->nocross != 0 && r->phase % r->nocross + size > r->nocross);
}

static inline ref_wide
ref_align(const struct ref_request *r, uint64_t quantum)
{
	return (r->align > quantum ? r->align : quantum);
}

static inline bool
ref_crosses(const struct ref_request *r, ref_wide a, ref_wide size)
{
	return (r->nocross != 0 &&
	    a / r->nocross != (a + size - 1) / r->nocross);
}

/* The lowest place in [first, last] (inclusive), of a valid request. */
static inline bool
ref_lowest(const struct ref_request *r, uint64_t quantum, uint64_t first,
    uint64_t last, uint64_t *addrp)
{
	ref_wide size = ref_size(r, quantum), align = ref_align(r, quantum);
	ref_wide a = first > r->min ? first : r->min;
	ref_wide hi = last < r->max ? last : r->max;

	for (;;) {
		a += (align - (a + align - r->phase % align) % align) % align;
		if (a + size - 1 > hi)
			return (false);
		if (!ref_crosses(r, a, size))
			break;
		a = (a / r->nocross + 1) * r->nocross;
	}
	*addrp = (uint64_t)a;
	return (true);
}

/* The highest. */
static inline bool
ref_highest(const struct ref_request *r, uint64_t quantum, uint64_t first,
    uint64_t last, uint64_t *addrp)
{
	ref_wide size = ref_size(r, quantum), align = ref_align(r, quantum);
	ref_wide lo = first > r->min ? first : r->min;
	ref_wide end = (ref_wide)(last < r->max ? last : r->max) + 1;

	for (;;) {
		ref_wide a, past;

		if (end < lo + size)
			return (false);
		a = end - size;
		past = (a + align - r->phase % align) % align;
		if (a < lo + past)
			return (false);
		a -= past;
		if (!ref_crosses(r, a, size)) {
			*addrp = (uint64_t)a;
			return (true);
		}
		end = (a + size - 1) / r->nocross * r->nocross;
	}
}

/* The length of a test: TEST_STEPS, or that many; TEST_SEED likewise. */
static uint64_t ref_seed = 20111122, ref_steps;

static inline void
ref_options(uint64_t default_steps)
{
	const char *text = getenv("TEST_SEED");

	if (text != NULL)
		ref_seed = strtoull(text, NULL, 0);
	text = getenv("TEST_STEPS");
	ref_steps = text != NULL ? strtoull(text, NULL, 0) : default_steps;
	printf("seed %llu, %llu steps (TEST_SEED, TEST_STEPS)\n",
	    (unsigned long long)ref_seed, (unsigned long long)ref_steps);
}

#endif /* UNIT_REFERENCE_H */
