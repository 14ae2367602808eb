/*
 * soak_report.c - progress while a soak runs, and its report for people.
 */
#include "config.h"

#include "client/soak.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/map.h"
#include "job/metric.h"
#include "proto/quantity.h"
#include "util/clock.h"

#define LABEL "%-12s "

/* ---- progress ----------------------------------------------------------- */

/* Shares of the line: what doesn't fit isn't told. */
static void
progress_text(const struct soak_run *sr, char *to, size_t room)
{
	double at = (double)(clock_ns() - sr->sr_start_ns) / 1e9;
	double whole = (double)sr->sr_job->jo_duration_ns / 1e9;
	double p99 = (double)hist_quantile(
	    &sr->sr_total.su_latency[JOB_ALLOC], .99) / 1e3;
	char eta[32] = "", inuse[32];
	double rate = at > 0 ? (double)sr->sr_total.su_ops / at : 0;

	if (whole > 0)
		(void)snprintf(eta, sizeof(eta), "/%.0f s, ETA %.0f s", whole,
		    at < whole ? whole - at : 0.0);
	(void)quantity_format(sr->sr_during.lo_inuse, inuse, sizeof(inuse));
	(void)snprintf(to, room, "%.16s %.0f%s, %.0f/s, in use %s, frag %.2f,"
	    " p99 %.1f us, %" PRIu64 " fails", sr->sr_job->jo_name, at,
	    eta[0] != '\0' ? eta : " s", rate, inuse,
	    sr->sr_during.lo_fragmentation, p99, soak_sum_fails(&sr->sr_total));
}

void
soak_progress(struct soak_run *sr, bool last)
{
	unsigned int width = ctl_columns();
	char text[256];

	progress_text(sr, text, sizeof(text));
	if (width > sizeof(text))
		width = sizeof(text);
	/* As wide as the terminal less one, so that it never wraps. */
	(void)fprintf(stderr, "\r%-*.*s%s", (int)width - 1, (int)width - 1,
	    text, last ? "\n" : "");
	(void)fflush(stderr);
}

void
soak_status(struct soak_run *sr)
{
	char text[256];

	progress_text(sr, text, sizeof(text));
	(void)fprintf(stderr, "%s%s\n", sr->sr_progress ? "\r" : "", text);
}

/* ---- the report --------------------------------------------------------- */

static void
put_latency(const struct soak_sum *su, enum job_op op)
{
	const struct hist *hi = &su->su_latency[op];

	if (su->su_counts[op] == 0)
		return;
	(void)printf("  %-8s %12" PRIu64, job_op_names[op], su->su_counts[op]);
	if (hi->hi_count == 0) {
		(void)puts("");
		return;
	}
	(void)printf(" %9.1f %9.1f %9.1f %9.1f %9.0f\n",
	    (double)hist_quantile(hi, .5) / 1e3,
	    (double)hist_quantile(hi, .9) / 1e3,
	    (double)hist_quantile(hi, .99) / 1e3,
	    (double)hist_quantile(hi, .999) / 1e3, (double)hi->hi_max / 1e3);
}

static void
put_fails(const struct soak_sum *su)
{
	const char *comma = "  refused  ";

	for (unsigned int i = 0; i < JOB_CAUSES; i++) {
		if (su->su_causes[i] == 0)
			continue;
		(void)printf("%s%s %" PRIu64, comma, job_cause_names[i],
		    su->su_causes[i]);
		comma = ", ";
	}
	if (*comma == ',')
		(void)puts("");
}

static void
put_group(const struct soak_run *sr, unsigned int g, double seconds)
{
	const struct job_group *jg = &sr->sr_job->jo_groups[g];
	const struct soak_sum *su = &sr->sr_sums[g];
	bool one = jg->jg_workers == 1;

	(void)printf("\n[%s] %" PRIu64 " %s: %" PRIu64 " operations, %.0f/s",
	    jg->jg_name, jg->jg_workers, jg->jg_where == JOB_DAEMON ?
	    (one ? "thread in vmemd" : "threads in vmemd") :
	    (one ? "process" : "processes"),
	    su->su_ops, seconds > 0 ? (double)su->su_ops / seconds : 0.0);
	if (su->su_kills > 0)
		(void)printf(", killed %" PRIu64 " time%s", su->su_kills,
		    su->su_kills == 1 ? "" : "s");
	(void)printf("\n  %-8s %12s %9s %9s %9s %9s %9s\n", "us", "count",
	    "p50", "p90", "p99", "p99.9", "max");
	for (unsigned int op = 0; op < JOB_OPS; op++)
		put_latency(su, op);
	put_fails(su);
}

/* What an oracle took in all, from what was timed in each group: their workers
 * time differently many of their operations. */
static double
oracle_ns(const struct soak_run *sr, unsigned int oracle)
{
	double ns = 0;

	for (unsigned int g = 0; g < sr->sr_job->jo_group_count; g++) {
		const struct soak_sum *su = &sr->sr_sums[g];

		if (su->su_oracle_timed[oracle] > 0)
			ns += (double)su->su_oracle_ns[oracle] *
			    (double)su->su_oracle_count[oracle] /
			    (double)su->su_oracle_timed[oracle];
	}
	return (ns);
}

static void
put_oracles(const struct soak_run *sr, double seconds)
{
	double workers = job_workers(sr->sr_job, -1);

	(void)printf(LABEL "mean, and share of the workers' time", "oracles");
	for (unsigned int i = 0; i < SOAK_ORACLES; i++) {
		uint64_t count = sr->sr_total.su_oracle_count[i];
		double ns = oracle_ns(sr, i);

		if (count > 0)
			(void)printf("\n" LABEL "  %-8s %8.2f us %5.1f %%", "",
			    soak_oracle_names[i],
			    ns / (double)count / 1e3,
			    ns / (seconds * workers * 1e7));
	}
	(void)printf("\n" LABEL "%" PRIu64 "\n", "checks", sr->sr_checks);
}

static void
put_faults(const struct soak_run *sr)
{
	const char *name, *comma = "";
	uint64_t planted = soak_faults(sr, "plant");
	json_t *count;

	if (sr->sr_plant != NULL)
		(void)printf(LABEL "%s, %" PRIu64 " time%s%s\n", "planted",
		    sr->sr_plant, planted, planted == 1 ? "" : "s",
		    planted == 0 ? ": this job gave it no occasion" : "");
	if (!sr->sr_chaos)
		return;
	(void)printf(LABEL, "injected");
	json_object_foreach(sr->sr_first.lo_faults, name, count) {
		if (strcmp(name, "plant") == 0)
			continue;
		(void)printf("%s%s %" PRIu64, comma, name,
		    soak_faults(sr, name));
		comma = ", ";
	}
	(void)puts("");
}

/* Bytes are rounded where that hides nothing. */
static const char *
value_text(const struct soak_judgement *sj, double value, char *buf,
    size_t size)
{
	size_t len = strlen(sj->sj_name);

	if (sj->sj_held && value >= 0 && len > 6 &&
	    strcmp(sj->sj_name + len - 6, "_bytes") == 0)
		return (quantity_format((uint64_t)value, buf, size));
	(void)snprintf(buf, size, "%.10g", value);
	return (buf);
}

static void
put_judgements(const struct soak_run *sr)
{
	char text[32];

	(void)printf("\n%-9s %-28s %14s    %s\n", "", "threshold", "measured",
	    "limit");
	for (unsigned int i = 0; i < sr->sr_judgement_count; i++) {
		const struct soak_judgement *sj = &sr->sr_judgements[i];

		(void)printf("%-9s %-28s ", !sj->sj_held ? "NOT HELD" :
		    sj->sj_excused ? "excused" : sj->sj_measured ? "held" :
		    "-", sj->sj_name);
		(void)printf("%14s", sj->sj_measured ? value_text(sj,
		    sj->sj_value, text, sizeof(text)) : "too short");
		(void)printf(" %2s %s\n", job_compare_text(sj->sj_compare),
		    value_text(sj, sj->sj_limit, text, sizeof(text)));
	}
}

/* The arena as a strip, from its lowest to its highest allocation. */
static void
put_strip(const struct soak_look *lo)
{
	const json_t *cells = json_object_get(lo->lo_map, "cells");
	bool utf8 = ctl_utf8();
	size_t i;
	json_t *cell;

	if (json_array_size(cells) == 0)
		return;
	(void)printf(LABEL "[", "");
	json_array_foreach(cells, i, cell)
		(void)fputs(map_glyph(map_shade_of(json_number_value(
		    json_object_get(cell, "used"))), utf8), stdout);
	(void)puts("]");
}

static void
put_map(const char *when, const struct soak_look *lo)
{
	char inuse[32], largest[32];

	if (lo->lo_map == NULL)
		return;		/* the run was shorter than an interval */
	(void)printf(LABEL "in use %s, largest free %s, frag %.3f, %" PRIu64
	    " segments\n", when,
	    quantity_format(lo->lo_inuse, inuse, sizeof(inuse)),
	    quantity_format(lo->lo_largest, largest, sizeof(largest)),
	    lo->lo_fragmentation, lo->lo_segments);
	put_strip(lo);
}

static void
put_texts(const struct soak_run *sr)
{
	size_t i;
	json_t *text;

	if (sr->sr_finding[0] == '\0')
		return;
	(void)printf("\n" LABEL "%s\n", "first", sr->sr_finding);
	json_array_foreach(sr->sr_total.su_findings, i, text)
		if (strcmp(json_string_value(text), sr->sr_finding) != 0)
			(void)printf(
			    LABEL "%s\n", "also", json_string_value(text));
}

void
soak_report(const struct soak_run *sr, enum ctl_exit code)
{
	double seconds = (double)(sr->sr_end_ns - sr->sr_start_ns) / 1e9;

	(void)printf(LABEL "%s: workers: %u in clients, %u in vmemd; arena"
	    " %s\n", "soak", sr->sr_job->jo_name,
	    job_workers(sr->sr_job, JOB_CLIENT),
	    job_workers(sr->sr_job, JOB_DAEMON), sr->sr_job->jo_arena);
	(void)printf(LABEL "%.2f s, %" PRIu64 " operations, %.0f/s\n", "ran",
	    seconds, sr->sr_total.su_ops,
	    seconds > 0 ? (double)sr->sr_total.su_ops / seconds : 0.0);
	put_map("before", &sr->sr_first);
	put_map("during", &sr->sr_during);
	put_map("after", &sr->sr_last);
	for (unsigned int g = 0; g < sr->sr_job->jo_group_count; g++)
		put_group(sr, g, seconds);
	(void)puts("");
	put_oracles(sr, seconds);
	put_faults(sr);
	(void)printf(LABEL "%016" PRIx64 "\n", "event hash",
	    sr->sr_total.su_hash);
	put_judgements(sr);
	put_texts(sr);
	(void)printf("\n" LABEL "%s\n", "verdict", ctl_verdict(code, "missed"));
	(void)printf(LABEL "%s\n", "again", sr->sr_again);
	if (code == CTL_FAILED && sr->sr_record != NULL)
		(void)printf(LABEL "vmemctl replay %s --arena %s --verify"
		    " pattern\n", "replay", sr->sr_record,
		    sr->sr_job->jo_arena);
}
