/*
 * compare_json.c - see compare.h: everything that was measured, as JSON.
 */
#include "config.h"

#include "client/compare.h"

static json_t *
number(uint64_t n)
{
	return (json_integer((json_int_t)n));
}

static void
set(json_t *to, const char *name, uint64_t n)
{
	(void)json_object_set_new(to, name, number(n));
}

static void
set_real(json_t *to, const char *name, double x)
{
	(void)json_object_set_new(to, name, json_real(x));
}

/* Counts, quantiles, and the buckets that aren't empty: [index, count]. */
static json_t *
histogram(const struct hist *hi)
{
	json_t *to = json_object(), *buckets = json_array();

	set(to, "count", hi->hi_count);
	set_real(to, "mean_ns", hist_mean(hi));
	set(to, "p50_ns", hist_quantile(hi, 0.5));
	set(to, "p90_ns", hist_quantile(hi, 0.9));
	set(to, "p99_ns", hist_quantile(hi, 0.99));
	set(to, "p999_ns", hist_quantile(hi, 0.999));
	set(to, "max_ns", hi->hi_max);
	for (unsigned int i = 0; hi->hi_count > 0 && i < HIST_BUCKETS; i++)
		if (hi->hi_buckets[i] != 0)
			(void)json_array_append_new(buckets,
			    json_pack("[I,I]", (json_int_t)i,
				(json_int_t)hi->hi_buckets[i]));
	(void)json_object_set_new(to, "buckets", buckets);
	return (to);
}

static json_t *
claims(const struct compare_row *cr)
{
	json_t *all = json_object();

	for (unsigned int c = 0; c < CLAIMS; c++) {
		struct compare_claim cc;
		json_t *to = json_object();

		compare_claim(cr, (enum model_claim)c, &cc);
		(void)json_object_set_new(
		    to, "shown", json_boolean(cc.cc_shown));
		set(to, "value", cc.cc_value);
		(void)json_object_set_new(to, "first_op",
		    cc.cc_first != 0 ? number(cc.cc_first) : json_null());
		(void)json_object_set_new(all, model_claim_names[c], to);
	}
	return (all);
}

static json_t *
shortages(const struct compare_row *cr)
{
	json_t *all = json_array();

	for (unsigned int i = 0; i < COMPARE_SHORTAGES; i++) {
		const struct run_result *rr = &cr->cr_short[i].result;
		json_t *to;

		if (cr->cr_short[i].percent == 0)
			continue;
		to = json_object();
		set(to, "percent", cr->cr_short[i].percent);
		set(to, "records", cr->cr_short[i].records);
		set(to, "failed_allocs", rr->rr_alloc_fails);
		set(to, "free_time_allocations",
		    rr->rr_counts.asked[PHASE_FREE] +
			rr->rr_counts.asked[PHASE_PART]);
		set(to, "failed_frees", rr->rr_free_fails);
		set(to, "failed_parts", rr->rr_part_fails);
		set(to, "stuck_frees", rr->rr_stuck);
		set(to, "exhausted", rr->rr_counts.exhausted);
		(void)json_array_append_new(all, to);
	}
	return (all);
}

static json_t *
threads(const struct compare_row *cr)
{
	json_t *all = json_array();

	for (unsigned int i = 0; i < COMPARE_THREADS; i++) {
		const struct run_result *rr = &cr->cr_threads[i].result;
		json_t *to;

		if (cr->cr_threads[i].threads == 0)
			continue;
		to = json_object();
		set(to, "threads", cr->cr_threads[i].threads);
		set_real(to, "ns_per_op", compare_ns_per_op(rr));
		set(to, "wall_ns", rr->rr_wall_ns);
		set(to, "locks_taken", rr->rr_locks.ls_taken);
		set(to, "lock_waits", rr->rr_locks.ls_waits);
		(void)json_object_set_new(
		    to, "hold", histogram(&rr->rr_locks.ls_hold_ns));
		(void)json_object_set_new(
		    to, "wait", histogram(&rr->rr_locks.ls_wait_ns));
		(void)json_array_append_new(all, to);
	}
	return (all);
}

static json_t *
lookups(const struct compare_row *cr)
{
	json_t *all = json_array();

	for (unsigned int i = 0; i < COMPARE_SWEEPS; i++)
		(void)json_array_append_new(all,
		    json_pack("{s:I,s:f}", "wired_ranges",
			(json_int_t)compare_sweeps[i], "per_fault",
			cr->cr_lookups[i]));
	return (all);
}

static json_t *
pools(const struct compare_row *cr)
{
	json_t *all = json_array();

	for (unsigned int i = 0; i < MODEL_POOL_SIZES; i++) {
		const struct model_stat *ms = &cr->cr_base.rr_end;

		if (ms->ms_pool[i].pp_size == 0)
			continue;
		(void)json_array_append_new(all,
		    json_pack("{s:I,s:I,s:I}", "page_bytes",
			(json_int_t)ms->ms_pool[i].pp_size, "peak_bytes",
			(json_int_t)ms->ms_pool[i].pp_bytes, "waste_bytes",
			(json_int_t)ms->ms_pool[i].pp_waste));
	}
	return (all);
}

static json_t *
reservations(const struct run_counts *rc)
{
	json_t *to = json_object();

	set(to, "made", rc->made);
	set(to, "unused", rc->unused);
	set(to, "exhausted", rc->exhausted);
	return (to);
}

static void
add_counts(json_t *to, const struct compare_row *cr)
{
	const struct run_result *rr = &cr->cr_base;
	const struct run_counts *rc = &rr->rr_counts;

	set(to, "allocs", rr->rr_allocs);
	set(to, "frees", rr->rr_frees);
	set(to, "parts", rr->rr_parts);
	set(to, "parts_kept", rr->rr_kept);
	set(to, "failed_allocs", rr->rr_alloc_fails);
	set(to, "free_time_allocations",
	    rc->asked[PHASE_FREE] + rc->asked[PHASE_PART]);
	set(to, "free_time_allocations_whole", rc->asked[PHASE_FREE]);
	set(to, "free_time_allocations_part", rc->asked[PHASE_PART]);
	set(to, "free_time_failures", compare_free_failures(cr));
	set(to, "alloc_time_allocations", rc->asked[PHASE_ALLOC]);
	set(to, "fault_time_allocations", rc->asked[PHASE_FAULT]);
	set(to, "faults", rc->faults);
	set(to, "fault_retries", rc->retries);
	set(to, "failed_faults", rr->rr_fault_fails);
	set(to, "deadlocks_alloc", rc->deadlocks[PHASE_ALLOC]);
	set(to, "deadlocks_free",
	    rc->deadlocks[PHASE_FREE] + rc->deadlocks[PHASE_PART]);
	set(to, "deadlocks_fault", rc->deadlocks[PHASE_FAULT]);
	set(to, "recursion_depth", rc->depth);
	set(to, "merges", rc->merges);
	set(to, "splits", rc->splits);
}

static json_t *
row(const struct compare_row *cr)
{
	const struct run_result *rr = &cr->cr_base;
	json_t *to = json_object();

	(void)json_object_set_new(
	    to, "model", json_string(cr->cr_spec.sp_name));
	(void)json_object_set_new(
	    to, "about", json_string(model_about(&cr->cr_spec)));
	if (cr->cr_failed != NULL)
		(void)json_object_set_new(
		    to, "error", json_string(cr->cr_failed));
	set(to, "ns_alloc", hist_quantile(&rr->rr_alloc_ns, 0.5));
	set(to, "ns_free", hist_quantile(&rr->rr_free_ns, 0.5));
	set(to, "ns_part", hist_quantile(&rr->rr_part_ns, 0.5));
	set(to, "ns_fault", hist_quantile(&rr->rr_fault_ns, 0.5));
	set_real(to, "bytes_per_range", compare_bytes_per_range(cr));
	set(to, "fixed_bytes", rr->rr_begin.ms_bytes);
	set(to, "record_bytes", rr->rr_sample.ms_record_size);
	set(to, "records", rr->rr_sample.ms_records);
	set(to, "records_set_aside", rr->rr_sample.ms_stash);
	set(to, "live_ranges", rr->rr_live);
	set(to, "held_bytes", rr->rr_sample.ms_held);
	set_real(to, "extent_over_peak", compare_extent(cr));
	set(to, "extent_bytes", rr->rr_end.ms_extent);
	add_counts(to, cr);
	(void)json_object_set_new(
	    to, "reservations", reservations(&rr->rr_counts));
	(void)json_object_set_new(to, "shortages", shortages(cr));
	(void)json_object_set_new(to, "lookups", lookups(cr));
	(void)json_object_set_new(to, "threads", threads(cr));
	(void)json_object_set_new(to, "pool_pages", pools(cr));
	(void)json_object_set_new(
	    to, "alloc_latency", histogram(&rr->rr_alloc_ns));
	(void)json_object_set_new(
	    to, "free_latency", histogram(&rr->rr_free_ns));
	(void)json_object_set_new(
	    to, "fault_latency", histogram(&rr->rr_fault_ns));
	(void)json_object_set_new(to, "claims", claims(cr));
	return (to);
}

json_t *
compare_json(const struct compare *co)
{
	json_t *to = json_object(), *models = json_array();

	for (unsigned int i = 0; i < co->co_count; i++)
		(void)json_array_append_new(models, row(co->co_rows[i]));
	(void)json_object_set_new(
	    to, "trace", json_string(co->co_trace->tr_name));
	set(to, "ops", co->co_nops);
	set(to, "peak_live_bytes", co->co_rows[0]->cr_base.rr_peak);
	set(to, "pageable_percent", co->co_pageable);
	set(to, "clock_ns", compare_clock_ns());
	set_real(to, "seconds", co->co_seconds);
	(void)json_object_set_new(to, "models", models);
	return (to);
}
