/*
 * bench.c - the main program of a benchmark: options, and the cases one after
 * the other.  See bench.h.
 */
#include "config.h"

#include "bench/bench_impl.h"

#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
usage(const struct bench *be, FILE *to)
{
	(void)fprintf(to,
	    "usage: %s [--quick] [--json[=FILE]] [--only PATTERN]...\n"
	    "       [--phases N] [--seed N]\n"
	    "       %s --list | --help\n"
	    "\n"
	    "  --only PATTERN  cases that match, as a shell's pattern or by how"
	    " they begin\n"
	    "  --phases N      measured phases of each case, %u to %u (%u)\n"
	    "  --quick         smoke sizes, 2 phases: whether it works, not how"
	    " fast\n"
	    "  --json[=FILE]   one JSON document in place of the table, or in"
	    " FILE beside it\n"
	    "  --seed N        of every random choice (1)\n"
	    "  --list          the cases\n"
	    "\n"
	    "An aim that is missed has a `!' in the table, \"reached\":false in"
	    " JSON; exit 1\n"
	    "means that a contender failed, not that it was slow.  For example:"
	    "\n\n"
	    "  %s --only '%s'\n"
	    "  %s --quick --json | jq '.cases[].name'\n",
	    be->be_name, be->be_name, PHASES_MIN, PHASES_MAX, PHASES_MIN,
	    be->be_name, be->be_cases[0].bc_name, be->be_name);
}

static bool
selected(const struct bench_case *bc, const struct options *op)
{
	for (unsigned int i = 0; i < op->op_nonly; i++)
		if (fnmatch(op->op_only[i], bc->bc_name, 0) == 0 ||
		    strncmp(op->op_only[i], bc->bc_name,
			strlen(op->op_only[i])) == 0)
			return (true);
	return (op->op_nonly == 0);
}

static int
list(const struct bench *be, const struct options *op)
{
	for (size_t i = 0; i < be->be_ncases; i++)
		if (selected(&be->be_cases[i], op))
			(void)printf("%-24s %s\n", be->be_cases[i].bc_name,
			    be->be_cases[i].bc_text);
	return (0);
}

/* ---- one case ------------------------------------------------------------ */

static void
case_init(struct case_result *cr, const struct bench *be,
    const struct bench_case *bc)
{
	const struct bench_contender *const *floors =
	    be->be_floors != NULL ? be->be_floors : bench_floors;

	memset(cr, 0, sizeof(*cr));
	cr->cr_case = bc;
	for (unsigned int i = 0; bc->bc_contenders[i] != NULL; i++)
		if (cr->cr_count < CONTENDERS_MAX)
			cr->cr_results[cr->cr_count++].re_contender =
			    bc->bc_contenders[i];
	if (bc->bc_once || bc->bc_nofloors)
		return;
	for (unsigned int i = 0; floors[i] != NULL; i++)
		if (cr->cr_count < CONTENDERS_MAX) {
			cr->cr_results[cr->cr_count].re_floor = true;
			cr->cr_results[cr->cr_count++].re_contender = floors[i];
		}
}

static void
progress(const struct case_result *cr, const char *what)
{
	if (isatty(STDERR_FILENO))
		(void)fprintf(stderr, "\r%-40.40s %-30.30s\r",
		    what[0] != '\0' ? cr->cr_case->bc_name : "", what);
}

/* Set all up, then rounds of one phase each; the first warms up. */
static void
case_run(struct case_result *cr, const struct options *op)
{
	unsigned int rounds = cr->cr_case->bc_once ? 1 : op->op_phases + 1;
	char what[32];

	for (unsigned int i = 0; i < cr->cr_count; i++) {
		struct result *re = &cr->cr_results[i];

		(void)snprintf(what, sizeof(what), "sets up %s",
		    re->re_contender->bn_name);
		progress(cr, what);
		(void)run_start(re, cr->cr_case, op);
	}
	for (unsigned int r = 0; r < rounds; r++)
		for (unsigned int i = 0; i < cr->cr_count; i++) {
			struct result *re = &cr->cr_results[i];

			(void)snprintf(what, sizeof(what), "%u of %u: %s",
			    r + 1, rounds, re->re_contender->bn_name);
			progress(cr, what);
			if (re->re_status == STATUS_OK)
				(void)run_phase(re,
				    r > 0 || cr->cr_case->bc_once);
		}
	for (unsigned int i = 0; i < cr->cr_count; i++)
		run_end(&cr->cr_results[i]);
	progress(cr, "");
}

static bool
any_failed(const struct case_result *cr)
{
	for (unsigned int i = 0; i < cr->cr_count; i++)
		if (cr->cr_results[i].re_status == STATUS_FAILED)
			return (true);
	return (false);
}

static int
write_json(const struct bench *be, const struct options *op, json_t *cases)
{
	json_t *document = json_head(be, op);
	const char *name = op->op_json_file;
	FILE *f = name != NULL ? fopen(name, "w") : stdout;
	int error = f == NULL;

	(void)json_object_set(document, "cases", cases);
	error = error || json_dumpf(document, f, JSON_INDENT(1)) != 0 ||
	    fputc('\n', f) == EOF;
	if (name != NULL && f != NULL)
		error = fclose(f) != 0 || error;
	if (error)
		(void)fprintf(stderr, "%s: %s can't be written\n",
		    be->be_name, name != NULL ? name : "standard output");
	json_decref(document);
	return (error);
}

static int
run_all(const struct bench *be, const struct options *op)
{
	struct case_result *cr = calloc(1, sizeof(*cr));
	json_t *cases = json_array();
	int status = 0;
	size_t ran = 0;

	if (cr == NULL || cases == NULL)
		return (1);
	if (op->op_table)
		report_head(be, op);
	for (size_t i = 0; i < be->be_ncases; i++) {
		if (!selected(&be->be_cases[i], op))
			continue;
		case_init(cr, be, &be->be_cases[i]);
		cr->cr_judged = !op->op_quick;
		case_run(cr, op);
		if (op->op_table)
			report_case(cr);
		(void)json_array_append_new(cases, json_case(cr));
		if (any_failed(cr))
			status = 1;
		ran++;
	}
	free(cr);
	if (ran == 0) {
		(void)fprintf(stderr, "%s: no case matches; see --list\n",
		    be->be_name);
		status = 1;
	} else if (op->op_json && write_json(be, op, cases) != 0)
		status = 1;
	json_decref(cases);
	return (fflush(stdout) == 0 ? status : 1);
}

/* ---- this process is a contender ----------------------------------------- */

static int
run_peer(const struct bench *be, const char *peer, const char *name,
    const struct options *op)
{
	const struct bench_contender *const *floors =
	    be->be_floors != NULL ? be->be_floors : bench_floors;

	for (size_t i = 0; name != NULL && i < be->be_ncases; i++) {
		const struct bench_case *bc = &be->be_cases[i];
		const struct bench_contender *const *bn = bc->bc_contenders;

		if (strcmp(bc->bc_name, name) != 0)
			continue;
		for (; *bn != NULL; bn++)
			if (strcmp((*bn)->bn_name, peer) == 0)
				return (child_main(bc, *bn, op));
		for (bn = floors; *bn != NULL; bn++)
			if (strcmp((*bn)->bn_name, peer) == 0)
				return (child_main(bc, *bn, op));
	}
	(void)fprintf(stderr, "%s: no such peer or case: %s, %s\n",
	    be->be_name, peer, name != NULL ? name : "(no --case)");
	return (1);
}

static bool
parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *valuep)
{
	char *end;

	*valuep = strtoull(text, &end, 0);
	return (*end == '\0' && end != text && *text != '-' &&
	    *valuep >= low && *valuep <= high);
}

int
bench_main(const struct bench *be, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "json", optional_argument, NULL, 'j' },
		{ "only", required_argument, NULL, 'o' },
		{ "phases", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "peer", required_argument, NULL, 'p' },
		{ "case", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	struct options op = { .op_table = true, .op_phases = PHASES_MIN, .op_seed = 1 };
	const char *peer = NULL, *name = NULL;
	bool listing = false, bad = false;
	uint64_t number = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'q':
			op.op_quick = true;
			break;
		case 'j':
			op.op_json = true;
			op.op_json_file = optarg;
			op.op_table = optarg != NULL;
			break;
		case 'o':
			bad = bad || op.op_nonly == 16;
			if (!bad)
				op.op_only[op.op_nonly++] = optarg;
			break;
		case 'n':
			bad = bad || !parse_number(optarg, PHASES_MIN,
			    PHASES_MAX, &number);
			op.op_phases = (unsigned int)number;
			break;
		case 's':
			bad = bad || !parse_number(optarg, 0, INT64_MAX,
			    &op.op_seed);
			break;
		case 'l':
			listing = true;
			break;
		case 'h':
			usage(be, stdout);
			return (0);
		case 'p':
			peer = optarg;
			break;
		case 'c':
			name = optarg;
			break;
		default:
			bad = true;
		}
	}
	if (bad || optind != argc) {
		usage(be, stderr);
		return (1);
	}
	if (op.op_quick)
		op.op_phases = 2;
	if (peer != NULL)
		return (run_peer(be, peer, name, &op));
	if (listing)
		return (list(be, &op));
	/* A contender that died is an error of writing, not the end. */
	(void)signal(SIGPIPE, SIG_IGN);
	return (run_all(be, &op));
}
