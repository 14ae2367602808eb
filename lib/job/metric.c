/*
 * metric.c - see metric.h.
 *
 * [GROUP.]OP_STAT for what one kind of operation did, [GROUP.]STAT for all.
 */
#include "config.h"

#include "job/metric.h"

#include <errno.h>
#include <string.h>

#include "proto/closest.h"

const char *const job_op_names[JOB_OPS] = { "alloc", "free", "touch", "verify",
	"read", "write", "reap", "dump", "arena" };
const char *const job_cause_names[JOB_CAUSES] = { "no_space", "no_frames",
	"quota", "timed_out", "exists" };

static const struct {
	const char *name;
	enum job_stat stat;
	double quantile;
} op_stats[] = {
	{ "_p50_us", JOB_QUANTILE, .5 },
	{ "_p90_us", JOB_QUANTILE, .9 },
	{ "_p99_us", JOB_QUANTILE, .99 },
	{ "_p99_9_us", JOB_QUANTILE, .999 },
	{ "_max_us", JOB_QUANTILE, 1 },
	{ "_ops", JOB_OP_COUNT, 0 },
};

static const struct {
	const char *name;
	enum job_stat stat;
	enum job_cause cause;
} plain_stats[] = {
	{ "ops", JOB_COUNT, 0 },
	{ "ops_per_s", JOB_PER_S, 0 },
	{ "fails", JOB_FAILS, 0 },
	{ "no_space", JOB_CAUSE, JOB_NO_SPACE },
	{ "no_frames", JOB_CAUSE, JOB_NO_FRAMES },
	{ "quota", JOB_CAUSE, JOB_QUOTA },
	{ "timed_out", JOB_CAUSE, JOB_TIMED_OUT },
	{ "exists", JOB_CAUSE, JOB_EXISTS },
	{ "kills", JOB_KILLS, 0 },
	{ "violations", JOB_VIOLATIONS, 0 },
	{ "rss_growth_percent", JOB_RSS_GROWTH, 0 },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool
find_plain(const char *name, struct job_threshold *jt)
{
	for (size_t i = 0; i < COUNT(plain_stats); i++)
		if (strcmp(plain_stats[i].name, name) == 0) {
			jt->jt_stat = plain_stats[i].stat;
			jt->jt_cause = plain_stats[i].cause;
			return (true);
		}
	return (false);
}

static bool
find_of_op(const char *name, struct job_threshold *jt)
{
	for (unsigned int op = 0; op < JOB_OPS; op++) {
		size_t len = strlen(job_op_names[op]);

		if (strncmp(name, job_op_names[op], len) != 0)
			continue;
		for (size_t i = 0; i < COUNT(op_stats); i++)
			if (strcmp(op_stats[i].name, name + len) == 0) {
				jt->jt_stat = op_stats[i].stat;
				jt->jt_op = op;
				jt->jt_quantile = op_stats[i].quantile;
				return (true);
			}
	}
	return (false);
}

/* The process and the whole have no groups. */
static bool
of_groups(const struct job_threshold *jt)
{
	return (jt->jt_stat != JOB_VIOLATIONS &&
	    jt->jt_stat != JOB_RSS_GROWTH);
}

static const char *
like(const char *name)
{
	static char names[COUNT(plain_stats) + JOB_OPS * COUNT(op_stats)][32];
	const char *words[COUNT(plain_stats) + JOB_OPS * COUNT(op_stats)];
	size_t n = 0;

	for (size_t i = 0; i < COUNT(plain_stats); i++, n++)
		(void)snprintf(
		    names[n], sizeof(names[n]), "%s", plain_stats[i].name);
	for (unsigned int op = 0; op < JOB_OPS; op++)
		for (size_t i = 0; i < COUNT(op_stats); i++, n++)
			(void)snprintf(names[n], sizeof(names[n]), "%s%s",
			    job_op_names[op], op_stats[i].name);
	for (size_t i = 0; i < n; i++)
		words[i] = names[i];
	return (closest(name, words, n));
}

int
job_metric_parse(const struct job *job, struct job_threshold *jt,
    const char **likep)
{
	const char *dot = strchr(jt->jt_metric, '.'), *name = jt->jt_metric;

	*likep = NULL;
	jt->jt_group = JOB_NONE;
	if (dot != NULL) {
		for (unsigned int i = 0; i < job->jo_group_count; i++) {
			const char *group = job->jo_groups[i].jg_name;
			size_t len = (size_t)(dot - jt->jt_metric);

			if (strlen(group) == len &&
			    strncmp(group, jt->jt_metric, len) == 0)
				jt->jt_group = i;
		}
		if (jt->jt_group == JOB_NONE)
			return (EINVAL);
		name = dot + 1;
	}
	if ((find_plain(name, jt) || find_of_op(name, jt)) &&
	    (jt->jt_group == JOB_NONE || of_groups(jt)))
		return (0);
	*likep = like(name);
	return (EINVAL);
}

const char *
job_compare_text(enum job_compare compare)
{
	switch (compare) {
	case JOB_AT_MOST:
		return ("<=");
	case JOB_AT_LEAST:
		return (">=");
	case JOB_EQUAL:
		break;
	}
	return ("=");
}

bool
job_compare_holds(enum job_compare compare, double value, double limit)
{
	switch (compare) {
	case JOB_AT_MOST:
		return (value <= limit);
	case JOB_AT_LEAST:
		return (value >= limit);
	case JOB_EQUAL:
		break;
	}
	return (!(value < limit) && !(value > limit));
}
