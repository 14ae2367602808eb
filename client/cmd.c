/*
 * cmd.c - the commands of methods: one request each, but for the few that need
 * more.
 */
#include "config.h"

#include "client/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/help.h"
#include "client/output.h"
#include "client/soak.h"

/* ---- what isn't in the table -------------------------------------------- */

static const struct proto_param own_dump[] = {
	{ "svg", PT_STRING, 0, NULL, NULL, 0, 0,
	    "with map: draw a picture into this file" },
	{ "png", PT_STRING, 0, NULL, NULL, 0, 0,
	    "with map: draw a picture into this file" },
	{ "whole", PT_BOOL, 0, "false", NULL, 0, 0,
	    "with map: all of the arena, not only as far as it is used" },
	{ NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }
};

static const struct proto_param own_record[] = {
	{ "file", PT_STRING, PP_REQUIRED, NULL, NULL, 0, 0,
	    "where to: it is made, or emptied" },
	{ NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }
};

static command_run cmd_method;

static const struct {
	const char *method;
	command_run *run;
	const struct proto_param *own;
	const char *example;
} bindings[] = {
	{ "alloc", cmd_method, command_no_params,
	    "Prints the address, one a line. What it allocates is kept when\n"
	    "vmemctl ends, unless --no-keep.\n\n"
	    "  A=$(vmemctl alloc 64K) && vmemctl free $A\n" },
	{ "free", cmd_free, command_no_params,
	    "  vmemctl free 0x7f0000000000 0x7f0000010000\n"
	    "  vmemctl free 0x7f0000001000 --size 4K --partial\n"
	    "  vmemctl free --tag experiment\n\n"
	    "More than 2048 addresses are freed in several requests, each all\n"
	    "or nothing.\n" },
	{ "write", cmd_write, command_no_params,
	    "Writes what it reads from standard input.\n\n"
	    "  echo hello | vmemctl write $A\n" },
	{ "read", cmd_read, command_no_params,
	    "Writes the bytes, as they are, to standard output; with -j in\n"
	    "base64. There is no limit of 1M here.\n\n"
	    "  vmemctl read $A 64K | hexdump -C\n" },
	{ "dump", cmd_dump, own_dump,
	    "Lists everything, page by page, unless --limit is given; with -j\n"
	    "one page and its cursor, or, with --stream, a line a chunk.\n\n"
	    "  vmemctl dump segments\n"
	    "  vmemctl dump map --svg heap.svg\n" },
	{ "fragment", cmd_method, command_no_params,
	    "What it allocates is kept when vmemctl ends, unless --no-keep.\n\n"
	    "  vmemctl fragment --pattern comb --target 0.7 --tag f\n"
	    "  vmemctl free --tag f\n" },
	{ "record.start", cmd_record_start, own_record,
	    "What vmemctl replay takes. It goes on until record stop.\n\n"
	    "  vmemctl record start heap.vmt; ...; vmemctl record stop\n"
	    "  vmemctl replay heap.vmt\n" },
	{ "soak.start", cmd_soak_start, command_no_params,
	    "The job is named as for `soak`; only its daemon groups are run.\n"
	    "It goes on when vmemctl ends, unless --no-keep.\n\n"
	    "  vmemctl soak start churn\n" },
	{ "arena.create", cmd_method, command_no_params,
	    "  vmemctl arena create ids --base 1 --size 1M --quantum 1\n" },
};

void
cmd_bind(struct command *cm, const char *method)
{
	cm->cm_run = cmd_method;
	for (size_t i = 0; i < sizeof(bindings) / sizeof(bindings[0]); i++)
		if (strcmp(bindings[i].method, method) == 0) {
			cm->cm_run = bindings[i].run;
			cm->cm_own = bindings[i].own;
			cm->cm_example = bindings[i].example;
		}
}

/* ---- requests ----------------------------------------------------------- */

/*
 * A process that ends at once would lose what it allocates: so that it can be
 * used by the next one, it is kept unless --no-keep.
 */
static void
keep_by_default(const struct command *cm, struct args *ar)
{
	if (proto_param_find(cm->cm_method, "keep", NULL) != NULL &&
	    json_object_get(ar->ar_params, "keep") == NULL)
		(void)json_object_set_new(ar->ar_params, "keep", json_true());
}

char *
cmd_request(
    const struct command *cm, struct args *ar, const char **methodp)
{
	keep_by_default(cm, ar);
	*methodp = cm->cm_method->pm_name;
	return (json_dumps(ar->ar_params, JSON_COMPACT));
}

bool
cmd_is_simple(const struct command *cm, const struct args *ar)
{
	if (cm->cm_run == cmd_method)
		return (true);
	/* One address, a tag, or all: a request like any other. */
	return (cm->cm_run == cmd_free &&
	    json_object_get(ar->ar_params, "addrs") == NULL &&
	    json_object_size(ar->ar_params) > 0);
}

static enum ctl_exit
cmd_method(struct ctl *ct, const struct command *cm, struct args *ar)
{
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	const char *method;
	char *params = cmd_request(cm, ar, &method);
	enum ctl_exit code;

	if (params == NULL)
		return (ctl_fail(ct, CTL_USAGE, "no_memory", "out of memory"));
	code = ctl_call(ct, method, params, &reply);
	if (code == CTL_DONE)
		code = output_result(ct, cm, reply.result);
	free(params);
	vmemclient_reply_fini(&reply);
	return (code);
}

/* ---- lines -------------------------------------------------------------- */

/* The first word of commands of two? */
static bool
is_group(const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i < command_count(); i++)
		if (strncmp(command_at(i)->cm_name, word, len) == 0 &&
		    command_at(i)->cm_name[len] == ' ')
			return (true);
	return (false);
}

static int
no_command(int argc, char *const argv[], struct args_error *err)
{
	char both[96];
	const char *like;

	(void)snprintf(both, sizeof(both), "%.40s%s%.40s", argv[0],
	    argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
	like = command_like(both);
	if (like == NULL)
		like = command_like(argv[0]);
	err->ae_field[0] = '\0';
	(void)snprintf(err->ae_text, sizeof(err->ae_text), "no command \"%s\""
	    "%s%s%s; see vmemctl help", is_group(argv[0]) ? both : argv[0],
	    like != NULL ? "; did you mean \"" : "", like != NULL ? like : "",
	    like != NULL ? "\"?" : "");
	return (EINVAL);
}

int
cmd_parse(int argc, char *const argv[], const struct command **cmp,
    struct args *ar, struct cmd_fault *fault)
{
	const struct command *cm;
	int error, words;

	fault->cf_command = cm = command_find(argc, argv, &words);
	if (cm == NULL)
		return (no_command(argc, argv, &fault->cf_error));
	error = args_parse(
	    cm, argc - words, argv + words, ar, &fault->cf_error);
	if (error == 0 && cm->cm_run == NULL && !ar->ar_help) {
		error = EINVAL;
		fault->cf_error.ae_field[0] = '\0';
		(void)snprintf(fault->cf_error.ae_text,
		    sizeof(fault->cf_error.ae_text),
		    "not_supported: not in this version yet");
	}
	if (error != 0)
		args_fini(ar);
	else
		*cmp = cm;
	return (error);
}

enum ctl_exit
cmd_tell(const struct ctl *ct, const struct cmd_fault *fault)
{
	const struct args_error *err = &fault->cf_error;

	return (ctl_usage(ct,
	    fault->cf_command != NULL ? fault->cf_command->cm_name : NULL,
	    err->ae_field[0] != '\0' ? err->ae_field : NULL, "%s",
	    err->ae_text));
}

enum ctl_exit
cmd_run_line(struct ctl *ct, int argc, char *const argv[])
{
	const struct command *cm;
	struct cmd_fault fault;
	enum ctl_exit code = CTL_DONE;
	struct args ar;

	if (cmd_parse(argc, argv, &cm, &ar, &fault) != 0)
		return (cmd_tell(ct, &fault));
	if (ar.ar_help)
		help_command(stdout, cm);
	else
		code = cm->cm_run(ct, cm, &ar);
	args_fini(&ar);
	return (code);
}
