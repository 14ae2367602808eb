/*
 * replay_report.c - progress while a replay runs, and its report.
 */
#include "config.h"

#include "client/replay.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/quantity.h"
#include "util/clock.h"

#define US 1000.0		/* ns in one */

static const char *const verify_names[] = { "off", "overlap", "pattern" };

/* ---- progress ----------------------------------------------------------- */

static uint32_t
done(const struct replay *rp)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < rp->rp_clients_count; i++)
		sum += atomic_load_explicit(
		    &rp->rp_clients[i].cl_done, memory_order_relaxed);
	return (sum);
}

/* Seconds to go: by the share done, or by the recorded times. */
static double
remaining(const struct replay *rp, uint32_t n, double seconds)
{
	if (rp->rp_nops == 0 || n == 0)
		return (0);
	if (rp->rp_recorded) {
		double total =
		    (double)rp->rp_trace->tr_times[rp->rp_nops - 1] / 1e9;

		return (total > seconds ? total - seconds : 0);
	}
	return (seconds * (rp->rp_nops - n) / n);
}

void
replay_progress(struct replay *rp, bool last)
{
	double seconds = (double)(clock_ns() - rp->rp_start_ns) / 1e9;
	uint32_t n = done(rp);
	char live[32];

	(void)quantity_format(atomic_load(&rp->rp_live), live, sizeof(live));
	/* The line may be shorter than the one it is written over. */
	(void)fprintf(stderr, "\r%s: %3.0f%%, %" PRIu32 " operations, %.0f/s,"
	    " live %s, ETA %.0f s   %s", rp->rp_trace->tr_name,
	    rp->rp_nops > 0 ? 100.0 * n / rp->rp_nops : 100.0, n,
	    seconds > 0 ? n / seconds : 0.0, live, remaining(rp, n, seconds),
	    last ? "\n" : "");
	(void)fflush(stderr);
}

/* ---- the report --------------------------------------------------------- */

static uint64_t
extent(const struct replay *rp)
{
	const struct replay_counts *rc = &rp->rp_counts;

	return (rc->rc_allocs == 0 ? 0 : rc->rc_high - rc->rc_low + 1);
}

static double
ratio(const struct replay *rp)
{
	uint64_t peak = atomic_load(&rp->rp_peak);

	return (peak == 0 ? 0 : (double)extent(rp) / (double)peak);
}

static int64_t
lost_bytes(const struct replay *rp)
{
	return ((int64_t)(rp->rp_inuse_after - rp->rp_inuse_before));
}

static json_t *
latency_json(const struct hist *hi)
{
	return (json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "count",
	    (json_int_t)hi->hi_count, "mean", hist_mean(hi) / US, "p50",
	    (double)hist_quantile(hi, .5) / US, "p99",
	    (double)hist_quantile(hi, .99) / US, "p99_9",
	    (double)hist_quantile(hi, .999) / US, "max",
	    (double)hi->hi_max / US));
}

static json_t *
findings_json(const struct replay *rp)
{
	json_t *list = json_array();

	for (unsigned int i = 0;
	     i < rp->rp_findings_count && i < REPLAY_FINDINGS_MAX; i++)
		(void)json_array_append_new(
		    list, json_string(rp->rp_findings[i]));
	return (list);
}

static void
put_number(json_t *object, const char *name, uint64_t value)
{
	(void)json_object_set_new(
	    object, name, json_integer((json_int_t)value));
}

static void
put_counts(json_t *object, const struct replay *rp)
{
	const struct replay_counts *rc = &rp->rp_counts;

	put_number(object, "operations", done(rp));
	put_number(object, "allocs", rc->rc_allocs);
	put_number(object, "frees", rc->rc_frees);
	put_number(object, "partial_frees", rc->rc_parts);
	put_number(object, "partial_frees_kept", rc->rc_kept);
	put_number(object, "failed_allocs", rc->rc_refused);
	put_number(object, "unfilled", rc->rc_unfilled);
	put_number(object, "skipped_ranges", rc->rc_skipped);
	put_number(object, "skipped_operations", rc->rc_idle);
	put_number(object, "peak_live_bytes", atomic_load(&rp->rp_peak));
	put_number(object, "extent_bytes", extent(rp));
	put_number(object, "overlaps", rc->rc_overlaps);
	put_number(object, "corrupt", rc->rc_corrupt);
	put_number(object, "refused_frees", rc->rc_bad_frees);
}

static void
report_json(const struct replay *rp, enum ctl_exit code)
{
	json_t *object = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:i}",
	    "trace", rp->rp_trace->tr_name, "program",
	    rp->rp_trace->tr_program, "arena", rp->rp_arena, "clients",
	    (int)rp->rp_clients_count, "speed",
	    rp->rp_recorded ? "recorded" : "max", "verify",
	    verify_names[rp->rp_verify], "verdict", ctl_verdict(code, "refused"), "exit",
	    (int)code);
	char *text;

	(void)json_object_set_new(object, "fit", rp->rp_fit != NULL ?
	    json_string(rp->rp_fit) : json_null());
	put_counts(object, rp);
	(void)json_object_set_new(
	    object, "seconds", json_real(rp->rp_seconds));
	(void)json_object_set_new(object, "ops_per_s", json_real(
	    rp->rp_seconds > 0 ? done(rp) / rp->rp_seconds : 0));
	(void)json_object_set_new(
	    object, "extent_over_peak", json_real(ratio(rp)));
	(void)json_object_set_new(
	    object, "alloc_us", latency_json(&rp->rp_alloc_ns));
	(void)json_object_set_new(
	    object, "free_us", latency_json(&rp->rp_free_ns));
	if (rp->rp_checked) {
		put_number(object, "inuse_before_bytes", rp->rp_inuse_before);
		put_number(object, "inuse_after_bytes", rp->rp_inuse_after);
		(void)json_object_set_new(
		    object, "lost_bytes", json_integer(lost_bytes(rp)));
		put_number(object, "violations", rp->rp_violations);
	}
	(void)json_object_set_new(object, "findings", findings_json(rp));
	text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(6));
	if (text != NULL)
		(void)puts(text);
	free(text);
	json_decref(object);
}

static void
put_latency(const char *name, const struct hist *hi)
{
	(void)printf("%-12s p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max"
	    " %.0f us\n", name, (double)hist_quantile(hi, .5) / US,
	    (double)hist_quantile(hi, .99) / US,
	    (double)hist_quantile(hi, .999) / US, (double)hi->hi_max / US);
}

static void
put_bytes(const char *name, uint64_t bytes)
{
	char human[32];

	(void)printf("%-12s %" PRIu64 " (%s)", name, bytes,
	    quantity_format(bytes, human, sizeof(human)));
}

/* What didn't go as the trace has it, if anything. */
static void
put_exceptions(const struct replay *rp)
{
	const struct replay_counts *rc = &rp->rp_counts;
	char human[32];

	(void)printf("%-12s %" PRIu64 " allocations (tolerated: %" PRIu64
	    ")\n", "refused", rc->rc_refused, rp->rp_max_fails);
	if (rc->rc_unfilled > 0)
		(void)printf("%-12s %" PRIu64 " ranges: no frames for their"
		    " pattern\n", "unverified", rc->rc_unfilled);
	if (rc->rc_skipped > 0)
		(void)printf("%-12s %" PRIu64 " ranges larger than %s, %s\n",
		    "skipped", rc->rc_skipped, rp->rp_capacity_why,
		    quantity_format(rp->rp_capacity, human, sizeof(human)));
	if (rc->rc_idle > 0)
		(void)printf("%-12s %" PRIu64 " operations on ranges that were"
		    " refused or skipped\n", "", rc->rc_idle);
	if (rc->rc_kept > 0)
		(void)printf("%-12s %" PRIu64 " partial frees below the"
		    " quantum, done with the rest\n", "kept", rc->rc_kept);
}

static void
put_verdict(const struct replay *rp, enum ctl_exit code)
{
	const struct replay_counts *rc = &rp->rp_counts;

	if (rp->rp_verify != VERIFY_OFF)
		(void)printf("%-12s %" PRIu64 "\n", "overlaps",
		    rc->rc_overlaps);
	if (rp->rp_verify == VERIFY_PATTERN || rc->rc_corrupt > 0)
		(void)printf("%-12s %" PRIu64 "\n", "corrupt",
		    rc->rc_corrupt);
	if (rc->rc_bad_frees > 0)
		(void)printf("%-12s %" PRIu64 " frees were refused\n", "lost",
		    rc->rc_bad_frees);
	if (rp->rp_checked) {
		(void)printf("%-12s %" PRId64 " (in use before %" PRIu64
		    ", after %" PRIu64 "; caches emptied by reap)\n",
		    "lost bytes", lost_bytes(rp), rp->rp_inuse_before,
		    rp->rp_inuse_after);
		(void)printf("%-12s %" PRIu64 "\n", "violations",
		    rp->rp_violations);
	}
	(void)printf("%-12s %s\n", "verdict", ctl_verdict(code, "refused"));
}

static void
report_text(const struct replay *rp, enum ctl_exit code)
{
	const struct replay_counts *rc = &rp->rp_counts;

	(void)printf("%-12s %s%s%s\n", "trace", rp->rp_trace->tr_name,
	    rp->rp_trace->tr_program[0] != '\0' ? ": " : "",
	    rp->rp_trace->tr_program);
	(void)printf("%-12s %s, quantum %" PRIu64 "%s%s; %u client%s, speed %s,"
	    " verify %s\n", "arena", rp->rp_arena, rp->rp_quantum,
	    rp->rp_fit != NULL ? ", fit " : "",
	    rp->rp_fit != NULL ? rp->rp_fit : "", rp->rp_clients_count,
	    rp->rp_clients_count == 1 ? "" : "s",
	    rp->rp_recorded ? "recorded" : "max", verify_names[rp->rp_verify]);
	(void)printf("%-12s %" PRIu32 " in %.2f s: %.0f/s\n", "operations",
	    done(rp), rp->rp_seconds,
	    rp->rp_seconds > 0 ? done(rp) / rp->rp_seconds : 0.0);
	(void)printf("%-12s %" PRIu64 " allocations, %" PRIu64 " frees, %"
	    PRIu64 " partial\n", "", rc->rc_allocs, rc->rc_frees, rc->rc_parts);
	put_latency("alloc", &rp->rp_alloc_ns);
	put_latency("free", &rp->rp_free_ns);
	put_bytes("peak live", atomic_load(&rp->rp_peak));
	(void)putchar('\n');
	put_bytes("extent", extent(rp));
	(void)printf(", %.4f of the peak\n", ratio(rp));
	put_exceptions(rp);
	put_verdict(rp, code);
}

void
replay_report(struct replay *rp, enum ctl_exit code)
{
	char peak[32], capacity[32];

	if (rp->rp_ctl->ct_json)
		report_json(rp, code);
	else
		report_text(rp, code);
	if (rp->rp_ctl->ct_json)
		return;
	for (unsigned int i = 0;
	     i < rp->rp_findings_count && i < REPLAY_FINDINGS_MAX; i++)
		ctl_note("replay: %s", rp->rp_findings[i]);
	if (rp->rp_findings_count > REPLAY_FINDINGS_MAX)
		ctl_note("replay: %u more findings", rp->rp_findings_count -
		    REPLAY_FINDINGS_MAX);
	if (code == CTL_MISSED)
		ctl_note("replay: %" PRIu64 " allocations were refused,"
		    " --max-fails tolerates %" PRIu64,
		    rp->rp_counts.rc_refused +
		    rp->rp_counts.rc_unfilled, rp->rp_max_fails);
	if (code == CTL_MISSED && rp->rp_trace_peak > rp->rp_capacity)
		ctl_note("replay: the trace's peak is %s, %s has %s: start"
		    " vmemd with more, or replay into a larger arena",
		    quantity_format(rp->rp_trace_peak, peak, sizeof(peak)),
		    rp->rp_capacity_why, quantity_format(rp->rp_capacity,
		    capacity, sizeof(capacity)));
	if (rp->rp_checked && lost_bytes(rp) != 0)
		ctl_note("replay: the arena's use differs by %" PRId64 " bytes;"
		    " if others use it too, replay into an arena of its own",
		    lost_bytes(rp));
}
