/*
 * Goal: soak jobs are parsed strictly, printed so that they parse to the same,
 * and give the operations they promise.
 * Method: every built-in job there and back; each mistake with the line and
 * the hint it must name; streams against what their group says, with a seed.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "job/job.h"
#include "job/stream.h"

#define SEED 20261126u

static struct job *
parsed(const char *text)
{
	struct job_error err;
	struct job *job = NULL;

	if (job_parse(text, "test", &job, &err) != 0)
		fail_msg("%s", err.je_text);
	return (job);
}

static void
test_builtins_there_and_back(void **state)
{
	const struct job_builtin *jb;
	size_t n;

	(void)state;
	for (n = 0; (jb = job_builtin_at(n)) != NULL; n++) {
		struct job *job = parsed(jb->jb_text), *again;
		char *text = job_text(job), *twice, hash[2][17];

		again = parsed(text);
		twice = job_text(again);
		assert_string_equal(text, twice);
		job_hash(job, hash[0]);
		job_hash(again, hash[1]);
		assert_string_equal(hash[0], hash[1]);
		assert_ptr_equal(job_builtin_find(jb->jb_name), jb);
		free(text);
		free(twice);
		job_free(job);
		job_free(again);
	}
	assert_int_equal(n, 10);
	assert_null(job_builtin_find("nothing"));
}

static void
test_the_example_of_the_contract(void **state)
{
	struct job *job = parsed(
	    "[global]\nseed = 42            ; every random choice\n"
	    "duration = 60s       ; or ops = N\narena = heap\n"
	    "verify = pattern     ; off | overlap | pattern\ninterval = 1s\n"
	    "\n[small]\nwhere = client       ; or daemon\nworkers = 4\n"
	    "sizes = loguniform:4K-64K   ; fixed:N uniform:A-B\nlive = 10000\n"
	    "lifetime = random\ntouch = 0.5\nrate = 0\n\tkill = 0.1/s\n"
	    "\n[thresholds]\nalloc_p99_us <= 200\nfails = 0\n");
	const struct job_group *jg = &job->jo_groups[0];

	(void)state;
	assert_true(job->jo_seeded);
	assert_int_equal(job->jo_seed, 42);
	assert_int_equal(job->jo_duration_ns, UINT64_C(60000000000));
	assert_int_equal(job->jo_verify, JOB_VERIFY_PATTERN);
	assert_int_equal(job->jo_group_count, 1);
	assert_string_equal(jg->jg_name, "small");
	assert_int_equal(jg->jg_workers, 4);
	assert_int_equal(jg->jg_sizes.js_low, 4096);
	assert_int_equal(jg->jg_sizes.js_high, 65536);
	assert_true(jg->jg_kill > .09 && jg->jg_kill < .11);
	assert_int_equal(job->jo_threshold_count, 2);
	assert_int_equal(job->jo_thresholds[0].jt_stat, JOB_QUANTILE);
	assert_int_equal(job->jo_thresholds[0].jt_op, JOB_ALLOC);
	assert_int_equal(job->jo_thresholds[0].jt_compare, JOB_AT_MOST);
	assert_int_equal(job->jo_thresholds[1].jt_compare, JOB_EQUAL);
	assert_int_equal(job_workers(job, -1), 4);
	job_free(job);
}

/* Each mistake: the text, and what the message must say. */
static const struct {
	const char *text, *says;
} mistakes[] = {
	{ "[global]\nverfy = off\n[a]\n", "test:2: [global] has no key"
	    " \"verfy\"; did you mean \"verify\"?" },
	{ "[a]\nworkrs = 2\n", "did you mean \"workers\"?" },
	{ "[a]\nseed = 2\n", "seed goes into [global]" },
	{ "[global]\nlive = 2\n[a]\n", "live goes into a group's section" },
	{ "workers = 2\n", "a section comes first" },
	{ "[global]\n", "no group" },
	{ "[a]\nworkers = 0\n", "out of range" },
	{ "[a]\nworkers = 1\nworkers = 2\n", "test:3: workers is given twice" },
	{ "[a]\nsizes = sometimes\n", "expected fixed:N" },
	{ "[a]\nsizes = uniform:64K-4K\n", "lower bound is above" },
	{ "[a]\nsizes = fixed:0\n", "at least 1" },
	{ "[a]\nsizes = list:4K*0\n", "SIZE*WEIGHT" },
	{ "[a]\ntouch = 1.5\n", "a share, 0 to 1" },
	{ "[a]\nlifetime = forever\n", "random lifo fifo" },
	{ "[a]\nrate = many\n", "a rate per second" },
	{ "[a]\nfit = worst\n", "expected some of" },
	{ "[a]\nalign = 0.6\nat = 0.6\n", "more than 1 together" },
	{ "[a]\nread = 0.5\nwrite = 0.5\n", "nothing would be allocated" },
	{ "[a]\nwhere = daemon\nkill = 1/s\n", "kill goes with where" },
	{ "[a]\nfree_by = b\n", "no group \"b\"" },
	{ "[a]\nfree_by = b\n[b]\nwhere = daemon\n", "of one place" },
	{ "[a]\nfree_by = b\nkill = 1/s\n[b]\n", "doesn't go with kill" },
	{ "[a]\nworkers = 200\n[b]\nworkers = 200\n", "more than 250" },
	{ "[a b]\nworkers = 2\n", "a group's name" },
	{ "[a]\nworkers\n", "test:2: expected [SECTION], KEY = VALUE" },
	{ "[a]\n[thresholds]\nops < 3\n", "test:3: expected [SECTION]" },
	{ "[a]\nworkers = 251\n", "which is 1 to 250" },
	{ "[global]\ninterval = 1ms\n[a]\n", "which is 10ms to" },
	{ "[global]\narena =\n[a]\n", "a name has 1 to 31 of" },
	{ "[global]\narena = a\"b\n[a]\n", "a name has 1 to 31 of" },
	{ "[a]\nwhere = demon\n", "did you mean \"daemon\"?" },
	{ "[globl]\nseed = 1\n[a]\n", "did you mean [global]?" },
	{ "[treshold]\nfails = 1\n[a]\n", "did you mean [thresholds]?" },
	{ "[global]\nduration = 10\n[a]\n", "expected a time" },
	{ "[global]\narena_quantum = 3\n[a]\n", "not a power of two" },
	{ "[global]\narena_pageable = yes\n[a]\n", "arena_size is missing" },
	{ "[a]\n[thresholds]\nallc_p99_us <= 1\n", "did you mean"
	    " \"alloc_p99_us\"?" },
	{ "[a]\n[thresholds]\nb.fails = 0\n", "test:3: [thresholds] no metric"
	    " \"b.fails\"" },
	{ "[a]\n[thresholds]\na.violations = 0\n", "no metric" },
	{ "[a]\n[thresholds]\nfails <= few\n", "is no number" },
};

static void
test_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		struct job_error err;
		struct job *job;

		if (job_parse(mistakes[i].text, "test", &job, &err) != EINVAL)
			fail_msg("accepted: %s", mistakes[i].text);
		if (strstr(err.je_text, mistakes[i].says) == NULL)
			fail_msg("\"%s\" doesn't say \"%s\"", err.je_text,
			    mistakes[i].says);
	}
}

/* Long lines, as a trace's sizes give, are one line all the same. */
static void
test_long_line(void **state)
{
	char text[8192] = "[a]\nsizes = list:";
	struct job *job;

	(void)state;
	for (unsigned int i = 1; i <= 500; i++)
		(void)sprintf(text + strlen(text), "%s%u*3", i > 1 ? "," : "",
		    i * 4096);
	job = parsed(strcat(text, "\n"));
	assert_int_equal(job->jo_groups[0].jg_sizes.js_count, 500);
	assert_int_equal(job->jo_groups[0].jg_sizes.js_high, 500 * 4096);
	job_free(job);
}

/* ---- streams ------------------------------------------------------------ */

static const struct job_space space = { 1u << 30, 1u << 26, 4096 };

struct run {
	uint64_t counts[JOB_OPS];
	uint64_t hash;
	uint64_t low, high;	/* of sizes */
	double mean;
};

/* N operations of the first group, each allocation at the next address. */
static void
run_stream(struct job *job, uint64_t seed, unsigned int n, struct run *run)
{
	const struct job_group *jg = &job->jo_groups[0];
	struct job_range *ranges = calloc(job_stream_room(jg), sizeof(*ranges));
	struct job_stream *st = calloc(1, sizeof(*st));
	struct job_range ra = { 0 };
	struct job_want jw;
	uint64_t addr = space.sp_base;

	assert_non_null(ranges);
	assert_non_null(st);
	*run = (struct run) { .low = UINT64_MAX };
	job_stream_init(st, jg, seed, &space, ranges);
	for (unsigned int i = 0; i < n; i++) {
		enum job_op op = job_stream_next(st);

		run->counts[op]++;
		run->hash = (run->hash ^ op) * 0x100000001b3u;
		if (op == JOB_ALLOC) {
			job_stream_want(st, &jw);
			run->hash = (run->hash ^ jw.jw_size) * 0x100000001b3u;
			run->low = jw.jw_size < run->low ? jw.jw_size :
			    run->low;
			run->high = jw.jw_size > run->high ? jw.jw_size :
			    run->high;
			run->mean += (double)jw.jw_size;
			ra = (struct job_range) { .ra_addr = addr++,
				.ra_size = jw.jw_size, .ra_op = i };
			job_stream_add(st, &ra);
		} else if (op == JOB_FREE) {
			job_stream_take(st, &ra);
			run->hash = (run->hash ^ ra.ra_op) * 0x100000001b3u;
		}
		assert_true(st->st_count <= jg->jg_live);
	}
	run->mean /= (double)run->counts[JOB_ALLOC];
	free(st);
	free(ranges);
}

static void
test_stream_repeats(void **state)
{
	struct job *job = parsed("[a]\nlive = 100\nread = 0.1\ndump = 0.01\n"
	    "align = 0.2\nat = 0.2\nwindow = 0.2\nnocross = 0.2\nfit = best"
	    " first\n");
	struct run a, b, c;

	(void)state;
	run_stream(job, SEED, 20000, &a);
	run_stream(job, SEED, 20000, &b);
	run_stream(job, SEED + 1, 20000, &c);
	assert_int_equal(a.hash, b.hash);
	assert_true(a.hash != c.hash);
	assert_in_range(a.counts[JOB_READ], 1700, 2300);
	assert_in_range(a.counts[JOB_DUMP], 120, 280);
	assert_int_equal(a.counts[JOB_WRITE], 0);
	assert_true(a.counts[JOB_ALLOC] - a.counts[JOB_FREE] <= 100);
	job_free(job);
}

static void
test_sizes_are_as_said(void **state)
{
	static const struct {
		const char *sizes;
		uint64_t low, high;
		double mean;
	} cases[] = {
		{ "fixed:4K", 4096, 4096, 4096 },
		{ "uniform:4K-64K", 4096, 65536, 34816 },
		/* (B - A) / ln(B/A) */
		{ "loguniform:4K-64K", 4096, 65536, 22159.8 },
		{ "list:1K*3,5K*1", 1024, 5120, 2048 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[128];
		struct job *job;
		struct run run;

		(void)snprintf(text, sizeof(text), "[a]\nlive = 10\nsizes ="
		    " %s\n", cases[i].sizes);
		job = parsed(text);
		run_stream(job, SEED, 200000, &run);
		assert_true(run.low >= cases[i].low);
		assert_true(run.high <= cases[i].high);
		if (run.mean < cases[i].mean * .99 ||
		    run.mean > cases[i].mean * 1.01)
			fail_msg("%s: mean %g, expected %g", cases[i].sizes,
			    run.mean, cases[i].mean);
		job_free(job);
	}
}

static void
test_lifetimes(void **state)
{
	static const char *const texts[] = {
		"[a]\nlive = 8\nlifetime = fifo\n",
		"[a]\nlive = 8\nlifetime = lifo\n"
	};

	(void)state;
	for (unsigned int t = 0; t < 2; t++) {
		struct job *job = parsed(texts[t]);
		struct job_range ranges[16], ra;
		struct job_stream *st = calloc(1, sizeof(*st));

		assert_non_null(st);
		assert_int_equal(job_stream_room(&job->jo_groups[0]), 16);
		job_stream_init(st, &job->jo_groups[0], SEED, &space, ranges);
		for (uint64_t i = 0; i < 8; i++) {
			ra.ra_addr = i;
			job_stream_add(st, &ra);
		}
		for (uint64_t i = 0; i < 8; i++) {
			job_stream_take(st, &ra);
			assert_int_equal(ra.ra_addr, t == 0 ? i : 7 - i);
		}
		free(st);
		job_free(job);
	}
}

/* What is wished for can be had: powers of two, windows inside the arena. */
static void
test_wishes_make_sense(void **state)
{
	struct job *job = parsed("[a]\nlive = 10\nalign = 0.25\nnocross = 0.25"
	    "\nwindow = 0.25\nat = 0.25\n");
	struct job_range ranges[16];
	struct job_stream *st = calloc(1, sizeof(*st));
	uint64_t last = space.sp_base + (space.sp_size - 1);
	unsigned int kinds[4] = { 0 };
	struct job_want jw;

	(void)state;
	assert_non_null(st);
	job_stream_init(st, &job->jo_groups[0], SEED, &space, ranges);
	for (unsigned int i = 0; i < 10000; i++) {
		job_stream_want(st, &jw);
		kinds[0] += jw.jw_align != 0;
		kinds[1] += jw.jw_nocross != 0;
		kinds[2] += !jw.jw_at && jw.jw_max != UINT64_MAX;
		kinds[3] += jw.jw_at;
		assert_int_equal(jw.jw_align & (jw.jw_align - 1), 0);
		assert_int_equal(jw.jw_nocross & (jw.jw_nocross - 1), 0);
		assert_true(jw.jw_nocross == 0 || jw.jw_nocross >= jw.jw_size);
		if (jw.jw_max != UINT64_MAX) {
			assert_true(jw.jw_min >= space.sp_base);
			assert_true(jw.jw_max <= last);
			assert_true(jw.jw_max - jw.jw_min >= jw.jw_size - 1);
		}
		assert_true(!jw.jw_at || jw.jw_min % 4096 == 0);
	}
	for (unsigned int k = 0; k < 4; k++)
		assert_in_range(kinds[k], 2200, 2800);
	free(st);
	job_free(job);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_builtins_there_and_back),
		cmocka_unit_test(test_the_example_of_the_contract),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_stream_repeats),
		cmocka_unit_test(test_sizes_are_as_said),
		cmocka_unit_test(test_lifetimes),
		cmocka_unit_test(test_wishes_make_sense),
	};

	job_setup();
	(void)printf("seed %u\n", SEED);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
