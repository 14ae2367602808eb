/*
 * stat.c - medians and spreads of a few numbers.
 */
#include "config.h"

#include "bench/bench_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x < y ? -1 : x > y);
}

/* Of `count` numbers, at least one; sorts them. */
static double
median(double *values, unsigned int count)
{
	qsort(values, count, sizeof(*values), compare);
	return (count % 2 != 0 ?
	    values[count / 2] :
	    (values[count / 2 - 1] + values[count / 2]) / 2);
}

struct summary
summarize(const struct metric *me)
{
	struct summary su = { 0 };
	double v[PHASES_MAX];
	unsigned int n = me->me_count;

	if (n == 0)
		return (su);
	memcpy(v, me->me_values, n * sizeof(v[0]));
	su.su_median = median(v, n);
	su.su_min = v[0];
	su.su_max = v[n - 1];
	for (unsigned int i = 0; i < n; i++)
		v[i] = fabs(me->me_values[i] - su.su_median);
	su.su_mad = median(v, n);
	return (su);
}
