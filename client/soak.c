/*
 * soak.c - the command `soak`: see soak.h.
 */
#include "config.h"

#include "client/soak.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/args.h"
#include "client/job.h"
#include "job/keys.h"
#include "util/clock.h"

/* Short enough to be typed again. */
#define SEED_BELOW 1000000000

const struct proto_param soak_params[] = {
	{ "job", PT_STRING, PP_POSITIONAL, NULL, NULL, 0, 0,
	    "a job file, - for standard input, or a built-in job" },
	{ "seed", PT_INT, 0, NULL, NULL, 0, INT64_MAX,
	    "instead of the job's" },
	{ "duration", PT_STRING, 0, NULL, NULL, 0, 0,
	    "instead of the job's: 500ms, 10s, 5m, 8h" },
	{ "ops", PT_INT, 0, NULL, NULL, 0, INT64_MAX,
	    "operations of each worker, instead of the job's" },
	{ "verify", PT_ENUM, 0, NULL, "off overlap pattern", 0, 0,
	    "instead of the job's" },
	{ "arena", PT_STRING, 0, NULL, NULL, 0, 0, "instead of the job's" },
	{ "out", PT_STRING, 0, NULL, NULL, 0, 0,
	    "directory for verdict.json, intervals.ndjson, report.html" },
	{ "log", PT_STRING, 0, NULL, NULL, 0, 0,
	    "write interval reports to this file, a JSON object a line" },
	{ "parse_only", PT_BOOL, 0, "false", NULL, 0, 0,
	    "parse the job, print it with every key, and do nothing" },
	{ "list", PT_BOOL, 0, "false", NULL, 0, 0,
	    "what jobs are built in" },
	{ "print", PT_STRING, 0, NULL, NULL, 0, 0,
	    "print a built-in job, to be changed" },
	{ "keys", PT_BOOL, 0, "false", NULL, 0, 0,
	    "what a job may say" },
	{ "record", PT_STRING, 0, NULL, NULL, 0, 0,
	    "record the arena's operations into this file, for replay" },
	{ "plant", PT_ENUM, 0, NULL, "overlap leak flip lost-wakeup "
	    "double-hand-out stale-mapping", 0, 0,
	    "have the daemon do this wrong: is it found? (builds with "
		"fault injection)" },
	{ "chaos", PT_BOOL, 0, "false", NULL, 0, 0,
	    "have imports, frames and swap fail, and wake-ups be late, at "
		"random (likewise)" },
	{ "progress", PT_BOOL, 0, "false", NULL, 0, 0,
	    "show progress though standard error is no terminal" },
	{ NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }
};

const char soak_help[] =
    "Client workers are processes with a connection each, daemon workers are\n"
    "threads inside vmemd. Everything they are given is verified; at the end\n"
    "the arena is checked, and must be as it was. SIGUSR1 prints a status.\n"
    "Exit status: 5 for anything wrong, which the report names; 3 for a\n"
    "threshold that was missed; 130 when interrupted, with what there is.\n\n"
    "  vmemctl soak smoke\n"
    "  vmemctl soak --print churn >my.job && vmemctl soak my.job --out run1\n";

/* ---- what is asked ------------------------------------------------------ */

static const char *
text_of(const struct args *ar, const char *name)
{
	return (json_string_value(json_object_get(ar->ar_own, name)));
}

static bool
asked(const struct args *ar, const char *name)
{
	return (json_is_true(json_object_get(ar->ar_own, name)));
}

static void
list_jobs(void)
{
	const struct job_builtin *jb;

	for (size_t i = 0; (jb = job_builtin_at(i)) != NULL; i++)
		(void)printf("%-18s %s\n", jb->jb_name, jb->jb_summary);
}

static enum ctl_exit
print_job(const struct ctl *ct, const char *name)
{
	const struct job_builtin *jb = job_builtin_find(name);

	if (jb == NULL)
		return (ctl_usage(ct, "soak", "print", "no built-in job"
		    " \"%s\"; vmemctl soak --list has them", name));
	(void)fputs(jb->jb_text, stdout);
	return (CTL_DONE);
}

/* Options that stand for keys of [global]. */
static enum ctl_exit
override(struct soak_run *sr, const struct args *ar)
{
	static const char *const names[] = { "seed", "duration", "ops",
		"verify", "arena" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const json_t *value = json_object_get(ar->ar_own, names[i]);
		char number[32];
		const char *text = json_string_value(value), *why = "";

		if (value == NULL)
			continue;
		if (json_is_integer(value)) {
			(void)snprintf(number, sizeof(number), "%lld",
			    (long long)json_integer_value(value));
			text = number;
		}
		if (job_key_set(job_key_find(job_global_keys, names[i]),
			sr->sr_job, text, &why) != 0)
			return (ctl_usage(sr->sr_ctl, "soak", names[i], "%s",
			    why));
	}
	if (json_object_get(ar->ar_own, "seed") != NULL)
		sr->sr_job->jo_seeded = true;
	/* By operations alone, then; unless both are said. */
	if (json_object_get(ar->ar_own, "ops") != NULL &&
	    json_object_get(ar->ar_own, "duration") == NULL &&
	    sr->sr_job->jo_ops != 0)
		sr->sr_job->jo_duration_ns = 0;
	return (CTL_DONE);
}

/* A word of a command line, quoted if the shell would take it apart. */
static void
put_word(char *to, size_t room, const char *word)
{
	size_t len = strlen(to);

	if (word[strcspn(word, " \t\n'\"\\$`*?[]#~=%|&;()<>!{}")] == '\0')
		(void)snprintf(to + len, room - len, " %s", word);
	else
		(void)snprintf(to + len, room - len, " '%s'", word);
}

/* The command that does the same again. */
static void
make_again(struct soak_run *sr, const struct args *ar)
{
	static const char *const names[] = { "duration", "ops", "verify",
		"arena", "plant" };
	char seed[32], *to = sr->sr_again;
	size_t room = sizeof(sr->sr_again);

	(void)snprintf(to, room, "vmemctl soak");
	put_word(to, room, sr->sr_name);
	(void)snprintf(seed, sizeof(seed), "%" PRIu64, sr->sr_job->jo_seed);
	put_word(to, room, "--seed");
	put_word(to, room, seed);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const json_t *value = json_object_get(ar->ar_own, names[i]);
		char option[32], number[32];

		if (value == NULL)
			continue;
		(void)snprintf(option, sizeof(option), "--%s", names[i]);
		put_word(to, room, option);
		(void)snprintf(number, sizeof(number), "%lld",
		    (long long)json_integer_value(value));
		put_word(to, room, json_is_integer(value) ? number :
		    json_string_value(value));
	}
	if (asked(ar, "chaos"))
		put_word(to, room, "--chaos");
}

static enum ctl_exit
prepare_job(struct soak_run *sr, const struct args *ar)
{
	uint64_t seed = 0;
	enum ctl_exit code =
	    job_open(sr->sr_ctl, "soak", sr->sr_name, &sr->sr_job);

	if (code == CTL_DONE)
		code = override(sr, ar);
	if (code != CTL_DONE)
		return (code);
	if (!sr->sr_job->jo_seeded) {
		if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
			seed = clock_ns();
		sr->sr_job->jo_seed = seed % SEED_BELOW;
		sr->sr_job->jo_seeded = true;
	}
	job_hash(sr->sr_job, sr->sr_hash);
	make_again(sr, ar);
	return (CTL_DONE);
}

static enum ctl_exit
parse_only(struct soak_run *sr)
{
	char *text = job_text(sr->sr_job);

	if (text == NULL)
		return (ctl_fail(sr->sr_ctl, CTL_USAGE, "no_memory",
		    "soak: out of memory"));
	(void)fputs(text, stdout);
	free(text);
	return (CTL_DONE);
}

/* ---- the run ------------------------------------------------------------ */

static void
release(struct soak_run *sr)
{
	if (sr->sr_job == NULL)
		return;
	soak_unprepare(sr);
	for (unsigned int g = 0; sr->sr_sums != NULL &&
	     g < sr->sr_job->jo_group_count; g++)
		soak_sum_fini(&sr->sr_sums[g]);
	free(sr->sr_sums);
	soak_sum_fini(&sr->sr_total);
	soak_look_fini(&sr->sr_first);
	soak_look_fini(&sr->sr_during);
	soak_look_fini(&sr->sr_last);
	json_decref(sr->sr_daemon_status);
	json_decref(sr->sr_intervals);
	free(sr->sr_rss);
	if (sr->sr_shared != NULL)
		(void)munmap(sr->sr_shared, sr->sr_shared_bytes);
	job_free(sr->sr_job);
}

static enum ctl_exit
tell(struct soak_run *sr)
{
	enum ctl_exit code, written;
	json_t *verdict;
	char *text;

	soak_judge(sr);
	code = soak_verdict(sr);
	verdict = soak_verdict_json(sr, code);
	written = soak_files_write(sr, verdict, code);
	if (sr->sr_ctl->ct_json) {
		text = json_dumps(
		    verdict, JSON_COMPACT | JSON_REAL_PRECISION(12));
		(void)puts(text != NULL ? text : "");
		free(text);
	} else {
		soak_report(sr, code);
	}
	json_decref(verdict);
	if (code == CTL_FAILED && sr->sr_finding[0] != '\0')
		ctl_note("soak: %s", sr->sr_finding);
	return (written);
}

static enum ctl_exit
run(struct soak_run *sr, const struct args *ar)
{
	enum ctl_exit code;

	sr->sr_out = text_of(ar, "out");
	sr->sr_log = text_of(ar, "log");
	sr->sr_record = text_of(ar, "record");
	sr->sr_plant = text_of(ar, "plant");
	sr->sr_chaos = asked(ar, "chaos");
	sr->sr_progress = !sr->sr_ctl->ct_json && isatty(STDERR_FILENO);
	if (json_object_get(ar->ar_own, "progress") != NULL)
		sr->sr_progress = asked(ar, "progress");
	/* Before anything else: however it ends, it can be done again. */
	if (sr->sr_ctl->ct_json)
		ctl_note("soak: seed %" PRIu64 "; again: %s",
		    sr->sr_job->jo_seed, sr->sr_again);
	else
		(void)printf("%-12s %" PRIu64 "; again: %s\n", "seed",
		    sr->sr_job->jo_seed, sr->sr_again);
	(void)fflush(stdout);
	code = soak_prepare(sr);
	if (code == CTL_DONE)
		code = soak_files_open(sr);
	if (code == CTL_DONE)
		code = soak_run(sr);
	if (sr->sr_started)
		code = tell(sr);
	return (code);
}

enum ctl_exit
cmd_soak(struct ctl *ct, const struct command *cm, struct args *ar)
{
	struct soak_run *sr;
	enum ctl_exit code;

	if (asked(ar, "list") || asked(ar, "keys")) {
		if (asked(ar, "list"))
			list_jobs();
		else
			job_help(stdout);
		return (CTL_DONE);
	}
	if (text_of(ar, "print") != NULL)
		return (print_job(ct, text_of(ar, "print")));
	if (text_of(ar, "job") == NULL)
		return (ctl_usage(ct, cm->cm_name, "job", "which job? vmemctl"
		    " soak --list has the built-in ones"));
	/* Asked for its status before it has any, it goes on. */
	(void)signal(SIGUSR1, SIG_IGN);
	sr = calloc(1, sizeof(*sr));
	if (sr == NULL)
		return (ctl_fail(ct, CTL_USAGE, "no_memory",
		    "soak: out of memory"));
	sr->sr_ctl = ct;
	sr->sr_name = text_of(ar, "job");
	code = prepare_job(sr, ar);
	if (code == CTL_DONE)
		code = asked(ar, "parse_only") ? parse_only(sr) : run(sr, ar);
	release(sr);
	free(sr);
	return (code);
}
