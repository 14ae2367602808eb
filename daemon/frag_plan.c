/*
 * frag_plan.c - see fragment.h: the arithmetic of fragment.
 *
 * The ranges are sorted by address, and some are freed, so that what is free
 * among them has the external fragmentation t that was asked for,
 * 1 - largest / free:
 *
 *	|<------- plain: one hole L ------->|<---- holed: holes H ---->|
 *	 . . . . . . . . . . . . . . . . . # . # . # . # . # . # . # . #
 *
 * The plain part begins the longest run of ranges that touch each other, and is
 * freed from its low end as far as t allows.  All others are the holed part,
 * and get holes after the pattern (a share h of it is freed).  With F = L + hB
 * free, B the holed part's bytes, L = (1 - t) F gives L = hB (1 - t) / t; and
 * L + B is all there is:  B = bytes / (1 + h (1 - t) / t).  If no run is as
 * long as L then (the arena was fragmented before), the holes end where they
 * make up what t allows beside the longest.  The holes come first, then L is
 * grown range by range while t isn't undershot, so that the result is within
 * one range's share of the target.  No quantum cache has a part in it: what it
 * holds would be no hole.
 *
 *	checkerboard	every other range is freed
 *	random		each with probability 1/2
 *	comb		seven of eight: long gaps between thin teeth
 *	aging		as random, after rounds of freeing a quarter of the
 *			ranges and allocating as much anew
 */
#include "config.h"

#include "daemon/fragment.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "proto/quantity.h"

enum { FIXED, UNIFORM, LOGUNIFORM };

/* ---- sizes -------------------------------------------------------------- */

int
frag_parse_sizes(struct frag_state *fg, const char *text)
{
	static const char *const names[] = { "fixed:", "uniform:",
		"loguniform:" };
	char low[32];
	const char *dash;
	size_t n;

	for (fg->fg_sizes = 0; fg->fg_sizes < 3; fg->fg_sizes++)
		if (strncmp(text, names[fg->fg_sizes],
			strlen(names[fg->fg_sizes])) == 0)
			break;
	if (fg->fg_sizes == 3)
		return (EINVAL);
	text += strlen(names[fg->fg_sizes]);
	dash = fg->fg_sizes == FIXED ? text + strlen(text) : strchr(text, '-');
	n = dash != NULL ? (size_t)(dash - text) : sizeof(low);
	if (n >= sizeof(low))
		return (EINVAL);
	memcpy(low, text, n);
	low[n] = '\0';
	if (quantity_size(low, &fg->fg_low) != 0)
		return (EINVAL);
	fg->fg_high = fg->fg_low;
	if (fg->fg_sizes != FIXED && quantity_size(dash + 1, &fg->fg_high) != 0)
		return (EINVAL);
	return (fg->fg_low >= 1 && fg->fg_low <= fg->fg_high &&
		fg->fg_high <= UINT64_C(1) << 40 ? 0 : EINVAL);
}

double
frag_mean_size(const struct frag_state *fg)
{
	double low = (double)fg->fg_low, high = (double)fg->fg_high;

	if (fg->fg_sizes == LOGUNIFORM && high > low)
		return ((high - low) / log(high / low));
	return ((low + high) / 2);
}

vmem_size_t
frag_draw_size(struct frag_state *fg)
{
	uint64_t size = fg->fg_low;
	vmem_size_t rounded = 0;

	if (fg->fg_sizes == UNIFORM)
		size += rng_below(&fg->fg_rng, fg->fg_high - fg->fg_low + 1);
	if (fg->fg_sizes == LOGUNIFORM)
		size = (uint64_t)((double)fg->fg_low *
		    pow((double)fg->fg_high / (double)fg->fg_low,
			rng_unit(&fg->fg_rng)));
	/* Bounded by 2^40: can't run over. */
	(void)arena_round(fg->fg_arena, size, &rounded);
	return (rounded);
}

/* ---- the plan ----------------------------------------------------------- */

static int
by_address(const void *a, const void *b)
{
	vmem_addr_t x = ((const struct range *)a)->ra_addr;
	vmem_addr_t y = ((const struct range *)b)->ra_addr;

	return ((x > y) - (x < y));
}

/* Forget what aging left free; sort; see what these ranges make up. */
void
frag_arrange(struct frag_state *fg)
{
	size_t n = 0;

	for (size_t i = 0; i < fg->fg_count; i++)
		if (!fg->fg_ranges[i].ra_free)
			fg->fg_ranges[n++] = fg->fg_ranges[i];
	fg->fg_count = n;
	qsort(fg->fg_ranges, n, sizeof(*fg->fg_ranges), by_address);
}

/* Does the range touch the one before it? */
static bool
touches(const struct frag_state *fg, size_t i)
{
	const struct range *ra = &fg->fg_ranges[i];

	return (i > 0 && ra[-1].ra_addr + ra[-1].ra_size == ra->ra_addr);
}

/* The runs of adjacent ranges that are free (or: of all of them). */
struct space_state
frag_survey(const struct frag_state *fg, bool all)
{
	struct space_state st = { 0, 0, 0 };
	uint64_t run = 0;

	for (size_t i = 0; i < fg->fg_count; i++) {
		const struct range *ra = &fg->fg_ranges[i];

		if (!all && !ra->ra_free) {
			run = 0;
			continue;
		}
		if (!touches(fg, i))
			run = 0;
		st.st_segments += run == 0;
		run += ra->ra_size;
		st.st_free += ra->ra_size;
		if (run > st.st_largest)
			st.st_largest = run;
	}
	return (st);
}

/* Where the longest run begins. */
static size_t
longest_run(const struct frag_state *fg)
{
	size_t best = 0, from = 0;
	uint64_t longest = 0, run = 0;

	for (size_t i = 0; i < fg->fg_count; i++) {
		if (!touches(fg, i)) {
			from = i;
			run = 0;
		}
		run += fg->fg_ranges[i].ra_size;
		if (run > longest) {
			longest = run;
			best = from;
		}
	}
	return (best);
}

/* Part the ranges: see the head of this file. */
void
frag_divide(struct frag_state *fg)
{
	static const double shares[] = { 0.5, 0.5, 0.875, 0.5 };
	double h = shares[fg->fg_pattern], t = fg->fg_target;
	double total = 0, plain, sum = 0;

	for (size_t i = 0; i < fg->fg_count; i++)
		total += (double)fg->fg_ranges[i].ra_size;
	plain = t > 0 ? total - total / (1 + h * (1 - t) / t) : total;
	fg->fg_from = fg->fg_to = longest_run(fg);
	while (fg->fg_to < fg->fg_count && sum < plain &&
	    (fg->fg_to == fg->fg_from || touches(fg, fg->fg_to)))
		sum += (double)fg->fg_ranges[fg->fg_to++].ra_size;
	fg->fg_holes_max = t < 1 ? sum * t / (1 - t) : total;
}
