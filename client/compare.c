/*
 * compare.c - the command `compare`: see compare.h.
 */
#include "config.h"

#include "client/compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/args.h"
#include "util/clock.h"

const struct proto_param compare_params[] = {
	{ "trace", PT_STRING, PP_REQUIRED, NULL, NULL, 0, 0,
	    "a trace, NAME.vmt or NAME.vmt.xz; or a soak job" },
	{ "models", PT_STRING, 0, NULL, NULL, 0, 0,
	    "which, separated by commas (default: 16 of them)" },
	{ "shortage", PT_INT, 0, NULL, NULL, 1, 100,
	    "records there are, in percent of what the model had at most"
	    " (default: 90, then 50)" },
	{ "threads", PT_INT, 0, "8", NULL, 1, RUN_THREADS_MAX,
	    "replay with 1, 2, 4, 8 threads, up to so many" },
	{ "pageable", PT_INT, 0, "25", NULL, 0, 100,
	    "percent of the ranges that take faults" },
	{ "stop_at", PT_INT, 0, NULL, NULL, 1, INT64_MAX,
	    "replay only so many operations" },
	{ "svg", PT_STRING, 0, NULL, NULL, 0, 0,
	    "draw bars into this file, too" },
	{ "progress", PT_BOOL, 0, "false", NULL, 0, 0,
	    "show progress though standard error is no terminal" },
	{ NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }
};

const char compare_help[] =
    "Replays it through models of older designs and through libvmem, and says\n"
    "for each what it cost and which troubles showed, with the operation at\n"
    "which each did first: --stop-at replays up to it. Needs no daemon.\n\n"
    "A model is a design and toggles after a +:\n"
    "  kernel_map   map entries that serve faults too\n"
    "    +nomerge   neighbouring entries stay apart\n"
    "    +self      entries live in the map itself\n"
    "    +reserve2, +stash, +page   three schemes to reserve entries\n"
    "  vacache      caches of page addresses before it (+low: 1 to 8 pages)\n"
    "  pools        pools of 4 KiB to 16 MiB pages before it\n"
    "  kmem         the kmem size table (+kernel_map, +pools, +vmem)\n"
    "  vmem         libvmem (+direct_map: single wired pages cost no VA)\n\n"
    "  vmemctl compare a-make-redis.vmt.xz --models kernel_map,vmem\n"
    "  vmemctl compare b-sqlite3.vmt.xz --svg bars.svg\n";

/* ---- what is asked ------------------------------------------------------ */

static const char *
text_of(const struct args *ar, const char *name)
{
	return (json_string_value(json_object_get(ar->ar_own, name)));
}

static uint64_t
number_of(const struct args *ar, const char *name, uint64_t without)
{
	const json_t *value = json_object_get(ar->ar_own, name);

	return (value != NULL ? (uint64_t)json_integer_value(value) : without);
}

static enum ctl_exit
add_model(struct compare *co, const char *name)
{
	char why[MODEL_WHY_MAX];
	struct compare_row *cr;

	if (co->co_count == COMPARE_MODELS_MAX)
		return (ctl_usage(co->co_ctl, "compare", "models",
		    "at most %u models", COMPARE_MODELS_MAX));
	cr = calloc(1, sizeof(*cr));
	if (cr == NULL)
		return (ctl_fail(co->co_ctl, CTL_USAGE, "no_memory",
		    "compare: out of memory"));
	co->co_rows[co->co_count++] = cr;
	if (model_parse(name, &cr->cr_spec, why) != 0)
		return (ctl_usage(
		    co->co_ctl, "compare", "models", "%s", why));
	return (CTL_DONE);
}

static enum ctl_exit
take_models(struct compare *co, const char *list)
{
	enum ctl_exit code = CTL_DONE;
	char name[MODEL_NAME_MAX];

	for (size_t i = 0; list == NULL && code == CTL_DONE &&
	     model_defaults[i] != NULL; i++)
		code = add_model(co, model_defaults[i]);
	while (list != NULL && code == CTL_DONE) {
		size_t len = strcspn(list, ",");

		(void)snprintf(name, sizeof(name), "%.*s",
		    (int)(len < sizeof(name) ? len : sizeof(name)), list);
		code = add_model(co, name);
		list = list[len] == ',' ? list + len + 1 : NULL;
	}
	return (code);
}

static void
take_options(struct compare *co, const struct args *ar)
{
	co->co_path = text_of(ar, "trace");
	co->co_svg = text_of(ar, "svg");
	co->co_pageable = (unsigned int)number_of(ar, "pageable", 25);
	co->co_threads_max =
	    (unsigned int)number_of(ar, "threads", RUN_THREADS_MAX);
	co->co_short[0] = (unsigned int)number_of(ar, "shortage", 90);
	co->co_short[1] =
	    json_object_get(ar->ar_own, "shortage") == NULL ? 50 : 0;
	co->co_progress = !co->co_ctl->ct_json && isatty(STDERR_FILENO);
	if (json_object_get(ar->ar_own, "progress") != NULL)
		co->co_progress =
		    json_is_true(json_object_get(ar->ar_own, "progress"));
}

static enum ctl_exit
load(struct compare *co, const struct args *ar)
{
	struct trace_error err;
	uint64_t stop_at = number_of(ar, "stop_at", 0);
	enum ctl_exit code;

	if (compare_is_job(co->co_path)) {
		code = compare_load_job(co->co_ctl, co->co_path, &co->co_trace);
		if (code != CTL_DONE)
			return (code);
	} else if (trace_load(co->co_path, &co->co_trace, &err) != 0)
		return (ctl_fail(co->co_ctl, CTL_USAGE, "trace", "compare: %s",
		    err.te_text));
	/* Idle pool pages age by them; without, an operation is a ms. */
	(void)trace_load_times(co->co_trace, co->co_path, &err);
	co->co_nops = co->co_trace->tr_nops;
	co->co_stopped_at = stop_at != 0;
	if (stop_at != 0 && stop_at < co->co_nops)
		co->co_nops = (uint32_t)stop_at;
	if (co->co_trace->tr_allocs == 0 || co->co_nops == 0)
		return (ctl_fail(co->co_ctl, CTL_USAGE, "trace",
		    "compare: %s allocates nothing", co->co_path));
	co->co_sample = run_peak_op(co->co_trace, co->co_nops);
	return (CTL_DONE);
}

/* ---- the whole ---------------------------------------------------------- */

static unsigned int
runs_of_a_row(const struct compare *co)
{
	unsigned int n = 1 + COMPARE_SWEEPS;

	for (unsigned int i = 0; i < COMPARE_SHORTAGES; i++)
		n += co->co_short[i] != 0;
	for (unsigned int t = 1; t <= co->co_threads_max; t *= 2)
		n++;
	return (n);
}

static enum ctl_exit
write_svg(const struct compare *co)
{
	FILE *out = fopen(co->co_svg, "w");
	int error = out == NULL ? errno : 0;

	if (out != NULL) {
		compare_svg(co, out);
		if (ferror(out))
			error = EIO;
		if (fclose(out) != 0)
			error = errno;
	}
	if (error != 0)
		return (ctl_fail(co->co_ctl, CTL_USAGE, "svg",
		    "compare: %s: %s", co->co_svg, strerror(error)));
	return (CTL_DONE);
}

static enum ctl_exit
report(const struct compare *co)
{
	enum ctl_exit code = CTL_DONE;
	json_t *tree;

	if (co->co_ctl->ct_json) {
		tree = compare_json(co);
		if (tree == NULL)
			return (ctl_fail(co->co_ctl, CTL_USAGE, "no_memory",
			    "compare: out of memory"));
		(void)json_dumpf(tree, stdout, JSON_COMPACT |
		    JSON_REAL_PRECISION(6));
		(void)putchar('\n');
		json_decref(tree);
	} else
		compare_text(co, stdout);
	if (co->co_svg != NULL)
		code = write_svg(co);
	for (unsigned int i = 0; i < co->co_count; i++)
		if (code == CTL_DONE && co->co_rows[i]->cr_failed != NULL)
			code = CTL_FAILED;
	return (code);
}

static enum ctl_exit
run(struct compare *co)
{
	uint64_t start = clock_ns();
	enum ctl_exit code = CTL_DONE;

	ctl_catch();
	co->co_runs = co->co_count * runs_of_a_row(co);
	for (unsigned int i = 0; code == CTL_DONE && i < co->co_count; i++)
		code = compare_run_row(co, co->co_rows[i]);
	if (co->co_progress)
		(void)fprintf(stderr, "\r%*s\r", 78, "");
	co->co_seconds = (double)(clock_ns() - start) / 1e9;
	return (code != CTL_DONE ? code : report(co));
}

enum ctl_exit
cmd_compare(struct ctl *ct, const struct command *cm, struct args *ar)
{
	struct compare *co = calloc(1, sizeof(*co));
	enum ctl_exit code;

	(void)cm;
	if (co == NULL)
		return (ctl_fail(ct, CTL_USAGE, "no_memory", "out of memory"));
	co->co_ctl = ct;
	take_options(co, ar);
	code = take_models(co, text_of(ar, "models"));
	if (code == CTL_DONE)
		code = load(co, ar);
	if (code == CTL_DONE)
		code = run(co);
	for (unsigned int i = 0; i < co->co_count; i++)
		free(co->co_rows[i]);
	trace_free(co->co_trace);
	free(co);
	return (code);
}
