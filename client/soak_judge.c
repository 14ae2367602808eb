/*
 * soak_judge.c - what a run comes to: what always must hold, then the job's
 * own thresholds, each with the value that was measured.
 */
#include "config.h"

#include "client/soak.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/fetch.h"
#include "job/metric.h"

/* The accept queue, a log: descriptors that may come and go beside a run. */
#define FILES_SLACK 2
/* Resident memory is settled after a fifth of the run, as far as growth is
 * concerned, and below so many intervals there is nothing to be said. */
#define WARM_SHARE 5
#define GROWTH_INTERVALS_MIN 20
#define GROWTH_LAST_SHARE 10

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x < y ? -1 : x > y);
}

/* The median of rss[from ... to), which it sorts in a copy. */
static double
median_rss(const struct soak_run *sr, size_t from, size_t to)
{
	size_t n = to - from;
	double *copy = calloc(n, sizeof(copy[0])), median;

	if (copy == NULL)
		return (NAN);
	memcpy(copy, sr->sr_rss + from, n * sizeof(copy[0]));
	qsort(copy, n, sizeof(copy[0]), by_value);
	median = copy[n / 2];
	free(copy);
	return (median);
}

double
soak_rss_growth(const struct soak_run *sr)
{
	size_t n = sr->sr_rss_count, warm = n / WARM_SHARE;
	size_t tail = n / GROWTH_LAST_SHARE;
	double from, to;

	if (n < GROWTH_INTERVALS_MIN)
		return (NAN);
	from = median_rss(sr, warm, warm + tail);
	to = median_rss(sr, n - tail, n);
	return (from > 0 ? (to - from) * 100 / from : NAN);
}

static double
seconds(const struct soak_run *sr)
{
	return ((double)(sr->sr_end_ns - sr->sr_start_ns) / 1e9);
}

static double
measure(const struct soak_run *sr, const struct job_threshold *jt)
{
	const struct soak_sum *su = jt->jt_group == JOB_NONE ? &sr->sr_total :
	    &sr->sr_sums[jt->jt_group];
	const struct hist *hi = &su->su_latency[jt->jt_op];

	switch (jt->jt_stat) {
	case JOB_QUANTILE:
		return (hi->hi_count == 0 ? NAN :
		    (double)hist_quantile(hi, jt->jt_quantile) / 1e3);
	case JOB_OP_COUNT:
		return ((double)su->su_counts[jt->jt_op]);
	case JOB_COUNT:
		return ((double)su->su_ops);
	case JOB_PER_S:
		return (seconds(sr) > 0 ? (double)su->su_ops / seconds(sr) :
		    NAN);
	case JOB_FAILS:
		return ((double)soak_sum_fails(su));
	case JOB_CAUSE:
		return ((double)su->su_causes[jt->jt_cause]);
	case JOB_KILLS:
		return ((double)su->su_kills);
	case JOB_VIOLATIONS:
		return ((double)(su->su_violations + sr->sr_own_violations));
	case JOB_RSS_GROWTH:
		return (soak_rss_growth(sr));
	}
	return (NAN);
}

static void
judge(struct soak_run *sr, const char *name, enum job_compare compare,
    double value, double limit, bool verification)
{
	struct soak_judgement *sj = &sr->sr_judgements[sr->sr_judgement_count];

	if (sr->sr_judgement_count == SOAK_JUDGEMENTS_MAX)
		return;
	sr->sr_judgement_count++;
	(void)snprintf(sj->sj_name, sizeof(sj->sj_name), "%s", name);
	sj->sj_compare = compare;
	sj->sj_value = value;
	sj->sj_limit = limit;
	sj->sj_measured = !isnan(value);
	sj->sj_held =
	    !sj->sj_measured || job_compare_holds(compare, value, limit);
	sj->sj_verification = verification;
}

/* The daemon as it was: its arena, its memory, what it has open. */
static void
judge_baselines(struct soak_run *sr)
{
	const struct soak_look *was = &sr->sr_first, *is = &sr->sr_last;

	judge(sr, "inuse_bytes", JOB_EQUAL, (double)is->lo_inuse,
	    (double)was->lo_inuse, true);
	judge(sr, "rss_bytes", JOB_AT_MOST, (double)is->lo_rss,
	    (double)(was->lo_rss + sr->sr_job->jo_rss_bytes), true);
	judge(sr, "open_files", JOB_AT_MOST, (double)is->lo_files,
	    (double)(was->lo_files + FILES_SLACK), true);
	judge(sr, "tasks", JOB_AT_MOST, (double)is->lo_tasks,
	    (double)was->lo_tasks, true);
}

uint64_t
soak_faults(const struct soak_run *sr, const char *name)
{
	/* Of a run that was broken off there is no last look. */
	const struct soak_look *lo =
	    sr->sr_last.lo_faults != NULL ? &sr->sr_last : &sr->sr_during;
	uint64_t before = fetch_u64(sr->sr_first.lo_faults, name, 0);

	return (fetch_u64(lo->lo_faults, name, before) - before);
}

/* What is refused because of a fault that was injected is as it should be. */
static void
excuse(struct soak_judgement *sj)
{
	sj->sj_excused = !sj->sj_held;
	sj->sj_held = true;
}

void
soak_judge(struct soak_run *sr)
{
	const struct job *job = sr->sr_job;

	sr->sr_judgement_count = 0;
	judge(sr, "violations", JOB_EQUAL, (double)(sr->sr_total.su_violations +
	    sr->sr_own_violations), 0, true);
	/* A run that was broken off says nothing about the end. */
	if (sr->sr_broken == CTL_DONE)
		judge_baselines(sr);
	for (unsigned int i = 0; i < job->jo_threshold_count; i++) {
		const struct job_threshold *jt = &job->jo_thresholds[i];

		if (jt->jt_stat == JOB_VIOLATIONS)
			continue;	/* always judged, above */
		judge(sr, jt->jt_metric, jt->jt_compare, measure(sr, jt),
		    jt->jt_limit, false);
		if (sr->sr_chaos && (jt->jt_stat == JOB_FAILS ||
		    jt->jt_stat == JOB_CAUSE))
			excuse(&sr->sr_judgements[sr->sr_judgement_count - 1]);
	}
}

enum ctl_exit
soak_verdict(const struct soak_run *sr)
{
	enum ctl_exit code = CTL_DONE;

	for (unsigned int i = 0; i < sr->sr_judgement_count; i++) {
		const struct soak_judgement *sj = &sr->sr_judgements[i];

		if (!sj->sj_held && sj->sj_verification)
			return (CTL_FAILED);
		if (!sj->sj_held)
			code = CTL_MISSED;
	}
	if (sr->sr_interrupted != 0)
		return ((enum ctl_exit)sr->sr_interrupted);
	return (sr->sr_broken != CTL_DONE ? sr->sr_broken : code);
}
