/*
 * sum.c - see sum.h.
 */
#include "config.h"

#include "soak/sum.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FNV UINT64_C(0x100000001b3)

static uint64_t
load(const _Atomic uint64_t *counter)
{
	return (atomic_load_explicit(counter, memory_order_relaxed));
}

void
soak_sum_init(struct soak_sum *su)
{
	memset(su, 0, sizeof(*su));
	for (unsigned int i = 0; i < JOB_OPS; i++)
		hist_init(&su->su_latency[i]);
}

void
soak_sum_fini(struct soak_sum *su)
{
	json_decref(su->su_findings);
	su->su_findings = NULL;
}

static void
add_finding(struct soak_sum *su, const char *text)
{
	if (su->su_findings == NULL)
		su->su_findings = json_array();
	(void)json_array_append_new(su->su_findings, json_string(text));
}

void
soak_sum_tally(struct soak_sum *su, const struct soak_tally *ta)
{
	/* Acquire: with the count come the texts. */
	uint64_t violations = atomic_load_explicit(
	    &ta->ta_violations, memory_order_acquire);

	su->su_ops += load(&ta->ta_ops);
	for (unsigned int i = 0; i < JOB_OPS; i++) {
		su->su_counts[i] += load(&ta->ta_counts[i]);
		hist_merge(&su->su_latency[i], &ta->ta_latency[i]);
	}
	for (unsigned int i = 0; i < JOB_CAUSES; i++)
		su->su_causes[i] += load(&ta->ta_causes[i]);
	for (unsigned int i = 0; i < SOAK_ORACLES; i++) {
		su->su_oracle_count[i] += load(&ta->ta_oracle_count[i]);
		su->su_oracle_timed[i] += load(&ta->ta_oracle_timed[i]);
		su->su_oracle_ns[i] += load(&ta->ta_oracle_ns[i]);
	}
	su->su_live_bytes += load(&ta->ta_live_bytes);
	su->su_live_ranges += load(&ta->ta_live_ranges);
	su->su_violations += violations;
	for (uint64_t i = 0; i < violations && i < SOAK_FINDINGS; i++)
		add_finding(su, ta->ta_findings[i]);
	su->su_hash = (su->su_hash ^ load(&ta->ta_hash)) * FNV;
	su->su_kills += load(&ta->ta_kills);
}

void
soak_sum_add(struct soak_sum *to, const struct soak_sum *from)
{
	size_t i;
	json_t *text;

	to->su_ops += from->su_ops;
	for (i = 0; i < JOB_OPS; i++) {
		to->su_counts[i] += from->su_counts[i];
		hist_merge(&to->su_latency[i], &from->su_latency[i]);
	}
	for (i = 0; i < JOB_CAUSES; i++)
		to->su_causes[i] += from->su_causes[i];
	for (i = 0; i < SOAK_ORACLES; i++) {
		to->su_oracle_count[i] += from->su_oracle_count[i];
		to->su_oracle_timed[i] += from->su_oracle_timed[i];
		to->su_oracle_ns[i] += from->su_oracle_ns[i];
	}
	to->su_live_bytes += from->su_live_bytes;
	to->su_live_ranges += from->su_live_ranges;
	to->su_violations += from->su_violations;
	to->su_kills += from->su_kills;
	to->su_hash = (to->su_hash ^ from->su_hash) * FNV;
	json_array_foreach(from->su_findings, i, text)
		add_finding(to, json_string_value(text));
}

uint64_t
soak_sum_fails(const struct soak_sum *su)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < JOB_CAUSES; i++)
		if (i != JOB_EXISTS)
			n += su->su_causes[i];
	return (n);
}

/* ---- histograms --------------------------------------------------------- */

static void
put(json_t *object, const char *name, uint64_t value)
{
	(void)json_object_set_new(
	    object, name, json_integer((json_int_t)value));
}

json_t *
hist_json(const struct hist *hi)
{
	json_t *object = json_object(), *buckets = json_array();

	put(object, "count", hi->hi_count);
	if (hi->hi_count == 0) {
		(void)json_object_set_new(object, "buckets", buckets);
		return (object);
	}
	put(object, "sum_ns", hi->hi_sum > INT64_MAX ?
	    (uint64_t)INT64_MAX : hi->hi_sum);
	put(object, "min_ns", hi->hi_min);
	put(object, "p50_ns", hist_quantile(hi, .5));
	put(object, "p90_ns", hist_quantile(hi, .9));
	put(object, "p99_ns", hist_quantile(hi, .99));
	put(object, "p999_ns", hist_quantile(hi, .999));
	put(object, "max_ns", hi->hi_max);
	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		if (hi->hi_buckets[i] != 0)
			(void)json_array_append_new(buckets,
			    json_pack("[iI]", (int)i,
				(json_int_t)hi->hi_buckets[i]));
	(void)json_object_set_new(object, "buckets", buckets);
	return (object);
}

static uint64_t
get(const json_t *object, const char *name)
{
	return ((uint64_t)json_integer_value(json_object_get(object, name)));
}

int
hist_parse(const json_t *object, struct hist *hi)
{
	const json_t *buckets = json_object_get(object, "buckets");
	size_t i;
	json_t *pair;

	hist_init(hi);
	if (!json_is_array(buckets))
		return (EINVAL);
	json_array_foreach(buckets, i, pair) {
		json_int_t index = json_integer_value(json_array_get(pair, 0));

		if (index < 0 || index >= (json_int_t)HIST_BUCKETS)
			return (EINVAL);
		hi->hi_buckets[index] = (uint64_t)json_integer_value(
		    json_array_get(pair, 1));
	}
	hi->hi_count = get(object, "count");
	if (hi->hi_count > 0) {
		hi->hi_sum = get(object, "sum_ns");
		hi->hi_min = get(object, "min_ns");
		hi->hi_max = get(object, "max_ns");
	}
	return (0);
}

/* ---- sums --------------------------------------------------------------- */

static json_t *
numbers(const char *const *names, const uint64_t *values, unsigned int n)
{
	json_t *object = json_object();

	for (unsigned int i = 0; i < n; i++)
		put(object, names[i], values[i]);
	return (object);
}

static json_t *
oracles_json(const struct soak_sum *su)
{
	json_t *object = json_object();

	for (unsigned int i = 0; i < SOAK_ORACLES; i++)
		(void)json_object_set_new(object, soak_oracle_names[i],
		    json_pack("{s:I, s:I, s:I}", "count",
			(json_int_t)su->su_oracle_count[i], "timed",
			(json_int_t)su->su_oracle_timed[i], "timed_ns",
			(json_int_t)su->su_oracle_ns[i]));
	return (object);
}

json_t *
soak_sum_json(const struct soak_sum *su)
{
	json_t *object = json_object(), *latency = json_object();
	char hash[17];

	put(object, "ops", su->su_ops);
	(void)json_object_set_new(object, "counts",
	    numbers(job_op_names, su->su_counts, JOB_OPS));
	(void)json_object_set_new(object, "fails",
	    numbers(job_cause_names, su->su_causes, JOB_CAUSES));
	put(object, "live_bytes", su->su_live_bytes);
	put(object, "live_ranges", su->su_live_ranges);
	put(object, "kills", su->su_kills);
	put(object, "violations", su->su_violations);
	(void)json_object_set_new(object, "findings",
	    su->su_findings != NULL ? json_deep_copy(su->su_findings) :
				      json_array());
	(void)snprintf(hash, sizeof(hash), "%016" PRIx64, su->su_hash);
	(void)json_object_set_new(object, "event_hash", json_string(hash));
	(void)json_object_set_new(object, "oracles", oracles_json(su));
	for (unsigned int i = 0; i < JOB_OPS; i++)
		if (su->su_latency[i].hi_count > 0)
			(void)json_object_set_new(latency, job_op_names[i],
			    hist_json(&su->su_latency[i]));
	(void)json_object_set_new(object, "latency", latency);
	return (object);
}

static void
parse_oracles(const json_t *object, struct soak_sum *su)
{
	for (unsigned int i = 0; i < SOAK_ORACLES; i++) {
		const json_t *one =
		    json_object_get(object, soak_oracle_names[i]);

		su->su_oracle_count[i] = get(one, "count");
		su->su_oracle_timed[i] = get(one, "timed");
		su->su_oracle_ns[i] = get(one, "timed_ns");
	}
}

int
soak_sum_parse(const json_t *object, struct soak_sum *su)
{
	const json_t *counts = json_object_get(object, "counts");
	const json_t *fails = json_object_get(object, "fails");
	const json_t *latency = json_object_get(object, "latency");
	const char *hash =
	    json_string_value(json_object_get(object, "event_hash"));
	json_t *findings = json_object_get(object, "findings");

	soak_sum_init(su);
	if (!json_is_object(counts) || !json_is_object(fails) ||
	    !json_is_object(latency) || hash == NULL)
		return (EINVAL);
	su->su_ops = get(object, "ops");
	for (unsigned int i = 0; i < JOB_OPS; i++) {
		const json_t *hist = json_object_get(latency, job_op_names[i]);

		su->su_counts[i] = get(counts, job_op_names[i]);
		if (hist != NULL && hist_parse(hist, &su->su_latency[i]) != 0)
			return (EINVAL);
	}
	for (unsigned int i = 0; i < JOB_CAUSES; i++)
		su->su_causes[i] = get(fails, job_cause_names[i]);
	su->su_live_bytes = get(object, "live_bytes");
	su->su_live_ranges = get(object, "live_ranges");
	su->su_kills = get(object, "kills");
	su->su_violations = get(object, "violations");
	su->su_hash = strtoull(hash, NULL, 16);
	parse_oracles(json_object_get(object, "oracles"), su);
	if (json_array_size(findings) > 0)
		su->su_findings = json_deep_copy(findings);
	return (0);
}
