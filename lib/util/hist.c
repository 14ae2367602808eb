/*
 * hist.c - log-linear histograms: see hist.h.
 */
#include "config.h"

#include "util/hist.h"

#include <string.h>

#include "util/assert.h"

#define LINEAR (1u << HIST_LINEAR_BITS)
#define SUBS (1u << HIST_SUB_BITS)

/* One writer, so that load and store need not be one step. */
static uint64_t
get(const uint64_t *counter)
{
	return (__atomic_load_n(counter, __ATOMIC_RELAXED));
}

static void
put(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static uint64_t
add_saturating(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return (__builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum);
}

void
hist_init(struct hist *hi)
{
	memset(hi, 0, sizeof(*hi));
	hi->hi_min = UINT64_MAX;
}

unsigned int
hist_index(uint64_t value)
{
	unsigned int exponent, sub;

	if (value < LINEAR)
		return ((unsigned int)value);
	exponent = 63u - (unsigned int)__builtin_clzll(value);
	sub = (unsigned int)(value >> (exponent - HIST_SUB_BITS)) & (SUBS - 1);
	return (
	    LINEAR + ((exponent - HIST_LINEAR_BITS) << HIST_SUB_BITS) + sub);
}

void
hist_bounds(unsigned int index, uint64_t *lowp, uint64_t *highp)
{
	unsigned int exponent, shift, sub;

	VERIFY(index < HIST_BUCKETS);
	if (index < LINEAR) {
		*lowp = *highp = index;
		return;
	}
	exponent = HIST_LINEAR_BITS + ((index - LINEAR) >> HIST_SUB_BITS);
	sub = (index - LINEAR) & (SUBS - 1);
	shift = exponent - HIST_SUB_BITS;
	*lowp = (uint64_t)(SUBS + sub) << shift;
	*highp = *lowp + ((UINT64_C(1) << shift) - 1);
}

void
hist_record(struct hist *hi, uint64_t value)
{
	uint64_t *bucket = &hi->hi_buckets[hist_index(value)];

	put(bucket, get(bucket) + 1);
	put(&hi->hi_count, get(&hi->hi_count) + 1);
	put(&hi->hi_sum, add_saturating(get(&hi->hi_sum), value));
	if (value < get(&hi->hi_min))
		put(&hi->hi_min, value);
	if (value > get(&hi->hi_max))
		put(&hi->hi_max, value);
}

void
hist_record_many(struct hist *hi, const uint64_t *values, size_t n)
{
	uint64_t sum = get(&hi->hi_sum);
	uint64_t min = get(&hi->hi_min), max = get(&hi->hi_max);

	for (size_t i = 0; i < n; i++) {
		uint64_t *bucket = &hi->hi_buckets[hist_index(values[i])];

		put(bucket, get(bucket) + 1);
		sum = add_saturating(sum, values[i]);
		min = values[i] < min ? values[i] : min;
		max = values[i] > max ? values[i] : max;
	}
	put(&hi->hi_count, get(&hi->hi_count) + n);
	put(&hi->hi_sum, sum);
	put(&hi->hi_min, min);
	put(&hi->hi_max, max);
}

void
hist_merge(struct hist *to, const struct hist *from)
{
	uint64_t min = get(&from->hi_min), max = get(&from->hi_max);

	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		put(&to->hi_buckets[i],
		    get(&to->hi_buckets[i]) + get(&from->hi_buckets[i]));
	put(&to->hi_count, get(&to->hi_count) + get(&from->hi_count));
	put(&to->hi_sum, add_saturating(get(&to->hi_sum), get(&from->hi_sum)));
	if (min < get(&to->hi_min))
		put(&to->hi_min, min);
	if (max > get(&to->hi_max))
		put(&to->hi_max, max);
}

void
hist_subtract(struct hist *to, const struct hist *from)
{
	uint64_t low, high, min = to->hi_min, max = to->hi_max;

	to->hi_count = 0;
	to->hi_min = UINT64_MAX;
	to->hi_max = 0;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		to->hi_buckets[i] -= from->hi_buckets[i];
		if (to->hi_buckets[i] == 0)
			continue;
		to->hi_count += to->hi_buckets[i];
		hist_bounds(i, &low, &high);
		if (to->hi_min == UINT64_MAX)
			to->hi_min = low < min ? min : low;
		to->hi_max = high > max ? max : high;
	}
	to->hi_sum -= from->hi_sum;
}

void
hist_copy(struct hist *to, const struct hist *from)
{
	hist_init(to);
	hist_merge(to, from);
}

uint64_t
hist_quantile(const struct hist *hi, double q)
{
	uint64_t total = 0, seen = 0, rank, low, high, value;
	unsigned int i;

	/* The buckets' own total: hi_count may be ahead in a snapshot. */
	for (i = 0; i < HIST_BUCKETS; i++)
		total += hi->hi_buckets[i];
	if (total == 0)
		return (0);
	if (!(q > 0))
		return (hi->hi_min);
	if (q >= 1)
		return (hi->hi_max);
	rank = (uint64_t)(q * (double)total);
	if ((double)rank < q * (double)total)
		rank++;
	for (i = 0; i < HIST_BUCKETS - 1; i++) {
		seen += hi->hi_buckets[i];
		if (seen >= rank)
			break;
	}
	hist_bounds(i, &low, &high);
	value = low + (high - low) / 2;
	if (value < hi->hi_min)
		value = hi->hi_min;
	if (value > hi->hi_max)
		value = hi->hi_max;
	return (value);
}

double
hist_mean(const struct hist *hi)
{
	return (hi->hi_count == 0 ?
	    0.0 : (double)hi->hi_sum / (double)hi->hi_count);
}
