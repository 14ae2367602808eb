/*
 * Goal: no text whatever, given as a job, does harm: it is refused in one line
 * that names a line of it, or it is a job that prints as one that is equal, and
 * whose groups can be drawn from.
 * Method: built-in jobs and the contract's example, damaged at random by bytes,
 * pieces, lines and words of the language; each as it is, and damaged again.
 * The seed is printed; TEST_SEED and TEST_STEPS set it and the length.  It is
 * worth most under the sanitizers.
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
#include "util/rng.h"

#define STEPS 20000u
#define TEXT_MAX (JOB_TEXT_MAX + 4096u)
#define DRAWN_LIVE_MAX 4096u

static struct rng rng;
static unsigned int accepted;

static const char *const words[] = { "[", "]", "=", "<=", ">=", ":", ";", "#",
	"\n", "\r\n", "\t", " ", "global", "thresholds", "[global]\n",
	"[thresholds]\n", "[a]\n", "where = daemon\n", "free_by = a\n",
	"sizes = list:4K*1,8K*2\n", "sizes = trace:x\n", "fixed:", "uniform:1-",
	"loguniform:1-18446744073709551615", "18446744073709551615",
	"18446744073709551616", "9223372036854775807", "-1", "0", "1e308",
	"1e-308", "nan", "inf", "0x", "99999999999999999999", "1K", "16E", "4.5",
	"ops = ", "arena_quantum = 1\n", "arena_size = 1\n", "alloc_p99_us <= ",
	"a.alloc_p99_9_us >= 1\n", "violations = 0\n", "%s%n%d", "\xff\xfe",
	"\xef\xbb\xbf", "arena = \"\\\n", "fit = instant best,last\n" };

#define WORDS (sizeof(words) / sizeof(words[0]))

/* ---- damage ------------------------------------------------------------- */

/* Replace `gone` bytes at `at` by n bytes of `with`. */
static void
replace(char *text, size_t at, size_t gone, const char *with, size_t n)
{
	size_t len = strlen(text);

	if (len - gone + n >= TEXT_MAX)
		return;
	memmove(text + at + n, text + at + gone, len - at - gone + 1);
	memcpy(text + at, with, n);
}

static void
damage(char *text)
{
	char piece[256];
	size_t len = strlen(text), at = rng_below(&rng, len + 1);
	size_t n = rng_below(&rng, sizeof(piece)), from;
	const char *word = words[rng_below(&rng, WORDS)];

	if (n > len - at)
		n = len - at;
	switch (rng_below(&rng, 6)) {
	case 0:		/* another byte */
		piece[0] = (char)(1 + rng_below(&rng, 255));
		replace(text, at, n > 0, piece, 1);
		break;
	case 1:		/* a piece less */
		replace(text, at, n, "", 0);
		break;
	case 2:		/* a piece elsewhere again, perhaps often */
		memcpy(piece, text + at, n);
		for (uint64_t i = rng_below(&rng, 8); i < 8; i++) {
			from = rng_below(&rng, strlen(text) + 1);
			replace(text, from, 0, piece, n);
		}
		break;
	case 3:		/* a word of the language, in place of one */
		n = strcspn(text + at, " \n=,:-*");
		replace(text, at, n, word, strlen(word));
		break;
	case 4:		/* a line less */
		n = strcspn(text + at, "\n");
		replace(text, at, n + (text[at + n] == '\n'), "", 0);
		break;
	default:
		replace(text, at, 0, word, strlen(word));
	}
}

/* ---- what must hold ----------------------------------------------------- */

static void
look_at_refusal(const char *text, const struct job_error *err)
{
	size_t lines = 1;

	for (const char *at = text; *at != '\0'; at++)
		lines += *at == '\n';
	assert_true(strlen(err->je_text) > 6);
	assert_null(strchr(err->je_text, '\n'));
	assert_true(err->je_line <= lines);
}

/* Some operations of each group, as a worker would do them. */
static void
draw(const struct job *job, unsigned int group)
{
	const struct job_group *jg = &job->jo_groups[group];
	const struct job_space space = { 0, UINT64_C(1) << 40,
		job->jo_arena_quantum };
	struct job_stream *st;
	struct job_range *ranges;
	struct job_want want;

	if (jg->jg_live > DRAWN_LIVE_MAX ||
	    jg->jg_sizes.js_kind == JOB_SIZES_TRACE)
		return;
	st = malloc(sizeof(*st));
	ranges = calloc(job_stream_room(jg), sizeof(ranges[0]));
	assert_non_null(st);
	assert_non_null(ranges);
	job_stream_init(st, jg, job->jo_seed, &space, ranges);
	for (unsigned int i = 0; i < 64; i++)
		if (job_stream_next(st) == JOB_ALLOC) {
			job_stream_want(st, &want);
			assert_in_range(want.jw_size, jg->jg_sizes.js_low,
			    jg->jg_sizes.js_high);
		}
	free(ranges);
	free(st);
}

static void
look_at_job(struct job *job)
{
	char *text = job_text(job), *twice;
	struct job_error err;
	struct job *again;

	accepted++;
	assert_non_null(text);
	if (job_parse(text, "again", &again, &err) != 0)
		fail_msg("%s, of:\n%s", err.je_text, text);
	twice = job_text(again);
	assert_string_equal(text, twice);
	assert_in_range(job_workers(job, -1), 1, JOB_WORKERS_MAX);
	for (unsigned int i = 0; i < job->jo_group_count; i++)
		draw(job, i);
	free(text);
	free(twice);
	job_free(again);
}

static void
try(const char *text)
{
	struct job_error err;
	struct job *job = NULL;
	int error = job_parse(text, "fuzz", &job, &err);

	if (error == 0)
		look_at_job(job);
	else if (error == EINVAL)
		look_at_refusal(text, &err);
	else
		fail_msg("error %d of:\n%s", error, text);
	if (error == 0)
		job_free(job);
}

/* ---- the test ----------------------------------------------------------- */

static uint64_t
setting(const char *name, uint64_t without)
{
	const char *text = getenv(name);

	return (text != NULL ? strtoull(text, NULL, 0) : without);
}

static void
test_damaged_jobs(void **state)
{
	uint64_t seed = setting("TEST_SEED", 20261126);
	uint64_t steps = setting("TEST_STEPS", STEPS);
	char *text = malloc(TEXT_MAX);
	size_t builtins = 0;

	(void)state;
	assert_non_null(text);
	print_message("seed %llu, %llu steps (TEST_SEED, TEST_STEPS)\n",
	    (unsigned long long)seed, (unsigned long long)steps);
	rng_init(&rng, seed);
	while (job_builtin_at(builtins) != NULL)
		builtins++;
	for (uint64_t i = 0; i < steps;) {
		const struct job_builtin *jb =
		    job_builtin_at(rng_below(&rng, builtins));

		(void)strcpy(text, jb->jb_text);
		for (uint64_t n = rng_below(&rng, 4); n < 4; n++, i++) {
			damage(text);
			try(text);
		}
	}
	print_message("%u of them are jobs\n", accepted);
	/* Else nothing but refusals was tried. */
	assert_true(accepted > steps / 100);
	free(text);
}

/* As long as a job may be, and longer. */
static void
test_too_long(void **state)
{
	char *text = calloc(1, TEXT_MAX);
	struct job_error err;
	struct job *job;

	(void)state;
	assert_non_null(text);
	(void)strcpy(text, "[a]\n;");
	memset(text + 5, 'x', JOB_TEXT_MAX - 5);
	assert_int_equal(job_parse(text, "long", &job, &err), 0);
	job_free(job);
	(void)strcat(text, "x");
	assert_int_equal(job_parse(text, "long", &job, &err), EINVAL);
	assert_non_null(strstr(err.je_text, "longer than"));
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damaged_jobs),
		cmocka_unit_test(test_too_long),
	};

	job_setup();
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
