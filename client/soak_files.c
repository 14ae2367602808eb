/*
 * soak_files.c - a soak's files: --log, and what --out gathers.
 *
 *	intervals.ndjson	one JSON object a line, flushed as it is written;
 *				--log is the same
 *	verdict.json		one document, complete or not there: by rename
 *	report.html		the same for eyes
 */
#include "config.h"

#include "client/soak.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "job/metric.h"
#include "util/clock.h"

/* Intervals kept for the page; above that, every second one goes. */
#define INTERVALS_KEPT 1024
#define PATH_LEN 4096

/* ---- opening ------------------------------------------------------------ */

static enum ctl_exit
cant(const struct soak_run *sr, const char *path)
{
	return (ctl_fail(sr->sr_ctl, CTL_USAGE, "output", "soak: %s: %s", path,
	    strerror(errno)));
}

enum ctl_exit
soak_files_open(struct soak_run *sr)
{
	char path[PATH_LEN];

	sr->sr_intervals = json_array();
	sr->sr_interval_stride = 1;
	if (sr->sr_log != NULL) {
		sr->sr_log_file = fopen(sr->sr_log, "we");
		if (sr->sr_log_file == NULL)
			return (cant(sr, sr->sr_log));
	}
	if (sr->sr_out == NULL)
		return (CTL_DONE);
	if (mkdir(sr->sr_out, 0777) != 0 && errno != EEXIST)
		return (cant(sr, sr->sr_out));
	/* What an earlier run left must not be taken for this one's. */
	(void)snprintf(path, sizeof(path), "%s/verdict.json", sr->sr_out);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/report.html", sr->sr_out);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/intervals.ndjson", sr->sr_out);
	sr->sr_interval_file = fopen(path, "we");
	return (sr->sr_interval_file != NULL ? CTL_DONE : cant(sr, path));
}

/* ---- intervals ---------------------------------------------------------- */

static void
put_u64(json_t *object, const char *name, uint64_t value)
{
	(void)json_object_set_new(object, name, value <= INT64_MAX ?
	    json_integer((json_int_t)value) : json_real((double)value));
}

static void
put_real(json_t *object, const char *name, double value)
{
	(void)json_object_set_new(
	    object, name, isfinite(value) ? json_real(value) : json_null());
}

/* Latency in this interval alone: what was recorded since the last. */
static json_t *
latency_since(const struct soak_run *sr)
{
	json_t *all = json_object();

	for (unsigned int op = 0; op < JOB_OPS; op++) {
		struct hist now = sr->sr_total.su_latency[op];
		json_t *one;

		hist_subtract(&now, &sr->sr_before.su_latency[op]);
		if (now.hi_count == 0)
			continue;
		one = json_object();
		put_real(one, "p50", (double)hist_quantile(&now, .5) / 1e3);
		put_real(one, "p99", (double)hist_quantile(&now, .99) / 1e3);
		put_real(one, "max", (double)hist_quantile(&now, 1) / 1e3);
		(void)json_object_set_new(all, job_op_names[op], one);
	}
	return (all);
}

/* How full each cell is, and where the cells are. */
static json_t *
map_of(const struct soak_look *lo)
{
	const json_t *cells = json_object_get(lo->lo_map, "cells");
	json_t *object = json_object(), *used = json_array(), *cell;
	size_t i;

	json_array_foreach(cells, i, cell) {
		double share =
		    json_number_value(json_object_get(cell, "used"));

		/* Three digits are plenty for an eye. */
		(void)json_array_append_new(
		    used, json_real(round(share * 1000) / 1000));
	}
	(void)json_object_set(
	    object, "start", json_object_get(lo->lo_map, "start"));
	(void)json_object_set(
	    object, "end", json_object_get(lo->lo_map, "end"));
	(void)json_object_set_new(object, "used", used);
	return (object);
}

static json_t *
interval_json(const struct soak_run *sr)
{
	double at = (double)(clock_ns() - sr->sr_start_ns) / 1e9;
	double span = at - sr->sr_before_s;
	const struct soak_look *lo = &sr->sr_during;
	const struct soak_sum *su = &sr->sr_total;
	json_t *object = json_object();

	put_real(object, "t_s", at);
	put_u64(object, "ops", su->su_ops);
	put_real(object, "ops_per_s", span > 0 ?
	    (double)(su->su_ops - sr->sr_before.su_ops) / span : 0);
	put_u64(object, "fails", soak_sum_fails(su));
	put_u64(object, "kills", su->su_kills);
	put_u64(object, "violations",
	    su->su_violations + sr->sr_own_violations);
	put_u64(object, "live_bytes", su->su_live_bytes);
	put_u64(object, "inuse_bytes", lo->lo_inuse);
	put_u64(object, "free_bytes", lo->lo_free);
	put_u64(object, "largest_free_bytes", lo->lo_largest);
	put_real(object, "external_fragmentation", lo->lo_fragmentation);
	put_u64(object, "segments", lo->lo_segments);
	put_u64(object, "rss_bytes", lo->lo_rss);
	put_u64(object, "open_files", lo->lo_files);
	put_u64(object, "tasks", lo->lo_tasks);
	(void)json_object_set_new(object, "latency_us", latency_since(sr));
	(void)json_object_set_new(object, "map", map_of(lo));
	return (object);
}

void
soak_keep_interval(json_t *intervals, unsigned int *stridep,
    unsigned int *countp, json_t *object)
{
	if ((*countp)++ % *stridep == 0)
		(void)json_array_append(intervals, object);
	if (json_array_size(intervals) < INTERVALS_KEPT)
		return;
	for (size_t i = json_array_size(intervals); i-- > 0;)
		if (i % 2 == 1)
			(void)json_array_remove(intervals, i);
	*stridep *= 2;
}

static void
keep_rss(struct soak_run *sr)
{
	if (sr->sr_rss_count == sr->sr_rss_room) {
		size_t room = sr->sr_rss_room * 2 + 64;
		double *more =
		    realloc(sr->sr_rss, room * sizeof(sr->sr_rss[0]));

		if (more == NULL)
			return;
		sr->sr_rss = more;
		sr->sr_rss_room = room;
	}
	sr->sr_rss[sr->sr_rss_count++] = (double)sr->sr_during.lo_rss;
}

/* A line at once, so that who reads along never sees half of one. */
static void
write_line(struct soak_run *sr, FILE *file, const char *name, const char *text)
{
	if (file == NULL || text == NULL)
		return;
	if ((fprintf(file, "%s\n", text) >= 0 && fflush(file) == 0) ||
	    sr->sr_unwritten)
		return;
	(void)cant(sr, name);
	sr->sr_unwritten = true;
}

void
soak_interval(struct soak_run *sr)
{
	json_t *object = interval_json(sr);
	char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));

	write_line(sr, sr->sr_log_file, sr->sr_log, text);
	write_line(sr, sr->sr_interval_file, "intervals.ndjson", text);
	/* As `report` will read it: the digits that were written. */
	json_decref(object);
	object = text != NULL ? json_loads(text, 0, NULL) : NULL;
	free(text);
	soak_keep_interval(sr->sr_intervals, &sr->sr_interval_stride,
	    &sr->sr_interval_count, object);
	keep_rss(sr);
	json_decref(object);
	soak_sum_fini(&sr->sr_before);
	sr->sr_before = sr->sr_total;
	sr->sr_before.su_findings = NULL;
	sr->sr_before_s = (double)(clock_ns() - sr->sr_start_ns) / 1e9;
}

/* ---- the verdict -------------------------------------------------------- */

static json_t *
machine_json(void)
{
	struct utsname un;

	if (uname(&un) != 0)
		return (json_object());
	return (json_pack("{s:s, s:s, s:s, s:I, s:I}", "system", un.sysname,
	    "release", un.release, "machine", un.machine, "cpus",
	    (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "memory_bytes",
	    (json_int_t)sysconf(_SC_PHYS_PAGES) *
		(json_int_t)sysconf(_SC_PAGESIZE)));
}

static json_t *
look_json(const struct soak_look *lo)
{
	json_t *object;

	if (lo->lo_map == NULL)
		return (json_null());
	object = json_object();
	put_u64(object, "inuse_bytes", lo->lo_inuse);
	put_u64(object, "free_bytes", lo->lo_free);
	put_u64(object, "largest_free_bytes", lo->lo_largest);
	put_real(object, "external_fragmentation", lo->lo_fragmentation);
	put_u64(object, "segments", lo->lo_segments);
	put_u64(object, "rss_bytes", lo->lo_rss);
	put_u64(object, "open_files", lo->lo_files);
	put_u64(object, "tasks", lo->lo_tasks);
	(void)json_object_set_new(object, "map", map_of(lo));
	return (object);
}

static json_t *
judgements_json(const struct soak_run *sr)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < sr->sr_judgement_count; i++) {
		const struct soak_judgement *sj = &sr->sr_judgements[i];
		json_t *one = json_object();

		(void)json_object_set_new(
		    one, "metric", json_string(sj->sj_name));
		(void)json_object_set_new(one, "compare",
		    json_string(job_compare_text(sj->sj_compare)));
		put_real(one, "limit", sj->sj_limit);
		put_real(one, "measured", sj->sj_measured ? sj->sj_value : NAN);
		(void)json_object_set_new(
		    one, "held", json_boolean(sj->sj_held));
		if (sj->sj_excused)
			(void)json_object_set_new(one, "excused", json_true());
		(void)json_array_append_new(list, one);
	}
	return (list);
}

/* What was done wrong on purpose, and how often. */
static void
put_faults(const struct soak_run *sr, json_t *verdict)
{
	json_t *faults = json_object(), *count;
	const char *name;

	(void)json_object_set_new(
	    verdict, "chaos", json_boolean(sr->sr_chaos));
	(void)json_object_set_new(verdict, "plant", sr->sr_plant != NULL ?
	    json_string(sr->sr_plant) : json_null());
	json_object_foreach(sr->sr_first.lo_faults, name, count)
		put_u64(faults, name, soak_faults(sr, name));
	(void)json_object_set_new(verdict, "faults", faults);
}

static void
put_groups(const struct soak_run *sr, json_t *verdict)
{
	json_t *groups = json_object();

	for (unsigned int g = 0; g < sr->sr_job->jo_group_count; g++) {
		const struct job_group *jg = &sr->sr_job->jo_groups[g];
		json_t *one = soak_sum_json(&sr->sr_sums[g]);

		(void)json_object_set_new(one, "where",
		    json_string(jg->jg_where == JOB_DAEMON ? "daemon" :
							     "client"));
		put_u64(one, "workers", jg->jg_workers);
		(void)json_object_set_new(groups, jg->jg_name, one);
	}
	(void)json_object_set_new(verdict, "groups", groups);
	(void)json_object_set_new(
	    verdict, "total", soak_sum_json(&sr->sr_total));
}

json_t *
soak_verdict_json(const struct soak_run *sr, enum ctl_exit code)
{
	char when[32], *job = job_text(sr->sr_job);
	time_t now = time(NULL);
	struct tm tm;
	json_t *verdict;

	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ",
	    gmtime_r(&now, &tm));
	verdict = json_pack("{s:i, s:s, s:i, s:b, s:s, s:I, s:s, s:s, s:s}",
	    "schema_version", SOAK_SCHEMA_VERSION, "verdict",
	    ctl_verdict(code, "missed"), "exit", (int)code, "complete",
	    sr->sr_interrupted == 0 && sr->sr_broken == CTL_DONE, "job",
	    sr->sr_job->jo_name, "seed", (json_int_t)sr->sr_job->jo_seed,
	    "job_hash", sr->sr_hash, "again", sr->sr_again, "ended", when);
	(void)json_object_set_new(
	    verdict, "job_text", json_string(job != NULL ? job : ""));
	free(job);
	(void)json_object_set_new(verdict, "versions",
	    json_pack("{s:s, s:O?}", "vmemctl", PACKAGE_VERSION, "vmemd",
		json_object_get(sr->sr_info, "version")));
	(void)json_object_set_new(verdict, "machine", machine_json());
	put_real(verdict, "seconds",
	    (double)(sr->sr_end_ns - sr->sr_start_ns) / 1e9);
	(void)json_object_set_new(verdict, "finding",
	    sr->sr_finding[0] != '\0' ? json_string(sr->sr_finding) :
					json_null());
	put_u64(verdict, "violations",
	    sr->sr_total.su_violations + sr->sr_own_violations);
	put_u64(verdict, "checks", sr->sr_checks);
	put_real(verdict, "rss_growth_percent", soak_rss_growth(sr));
	put_faults(sr, verdict);
	(void)json_object_set_new(
	    verdict, "thresholds", judgements_json(sr));
	(void)json_object_set_new(verdict, "before", look_json(&sr->sr_first));
	(void)json_object_set_new(verdict, "during",
	    look_json(&sr->sr_during));
	(void)json_object_set_new(verdict, "after", look_json(&sr->sr_last));
	put_groups(sr, verdict);
	return (verdict);
}

static enum ctl_exit
write_verdict(struct soak_run *sr, const json_t *verdict, enum ctl_exit code)
{
	char path[PATH_LEN], temporary[PATH_LEN + 8];

	(void)snprintf(path, sizeof(path), "%s/verdict.json", sr->sr_out);
	(void)snprintf(temporary, sizeof(temporary), "%s.new", path);
	if (json_dump_file(verdict, temporary, JSON_INDENT(1) |
	    JSON_REAL_PRECISION(12)) != 0 || rename(temporary, path) != 0) {
		(void)cant(sr, path);
		(void)unlink(temporary);
		return (code == CTL_DONE ? CTL_USAGE : code);
	}
	return (code);
}

enum ctl_exit
soak_files_write(struct soak_run *sr, const json_t *verdict,
    enum ctl_exit code)
{
	char path[PATH_LEN];

	/* Flushed line by line, and each line's failure told. */
	if (sr->sr_log_file != NULL)
		(void)fclose(sr->sr_log_file);
	if (sr->sr_interval_file != NULL)
		(void)fclose(sr->sr_interval_file);
	sr->sr_log_file = sr->sr_interval_file = NULL;
	if (sr->sr_unwritten && code == CTL_DONE)
		code = CTL_USAGE;
	if (sr->sr_out == NULL)
		return (code);
	code = write_verdict(sr, verdict, code);
	(void)snprintf(path, sizeof(path), "%s/report.html", sr->sr_out);
	if (soak_html_write(path, verdict, sr->sr_intervals) != 0 &&
	    code == CTL_DONE)
		code = cant(sr, path);
	return (code);
}
