/*
 * own.c - vmemctl's own commands: those that aren't a method's.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/compare.h"
#include "client/help.h"
#include "client/output.h"
#include "client/replay.h"
#include "client/run.h"
#include "client/soak.h"

static const struct proto_param call_params[] = {
	{ "method", PT_STRING, PP_REQUIRED, NULL, NULL, 0, 0,
	    "name of a method, as in the protocol" },
	{ "params", PT_STRING, PP_POSITIONAL, "{}", NULL, 0, 0,
	    "its params: JSON, sent as it is" },
	{ NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }
};

static const struct proto_param completion_params[] = {
	{ "shell", PT_ENUM, PP_REQUIRED, NULL, "bash", 0, 0, "for this shell" },
	{ NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }
};

static const struct proto_param help_params[] = {
	{ "command", PT_STRING, PP_POSITIONAL, NULL, NULL, 0, 0,
	    "what to help with" },
	{ "subcommand", PT_STRING, PP_POSITIONAL, NULL, NULL, 0, 0,
	    "its second word" },
	{ NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }
};

static const char *
own_text(const struct args *ar, const char *name)
{
	return (json_string_value(json_object_get(ar->ar_own, name)));
}

/* Raw: the result as it came, whether or not -j is given. */
static enum ctl_exit
cmd_call(struct ctl *ct, const struct command *cm, struct args *ar)
{
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	const char *params = own_text(ar, "params");
	const char *fault;
	enum ctl_exit code;

	if (params == NULL)
		params = "{}";
	fault = vmemclient_json_fault(params);
	if (fault != NULL)
		return (ctl_usage(ct, cm->cm_name, "params", "not JSON from"
		    " character %d on: \"%.20s\"", (int)(fault - params) + 1,
		    fault));
	code = ctl_call(ct, own_text(ar, "method"), params, &reply);
	if (code == CTL_DONE)
		(void)puts(reply.result);
	vmemclient_reply_fini(&reply);
	return (code);
}

static enum ctl_exit
cmd_completion(struct ctl *ct, const struct command *cm, struct args *ar)
{
	(void)ct;
	(void)cm;
	(void)ar;
	help_completion_bash(stdout);
	return (CTL_DONE);
}

static enum ctl_exit
cmd_help(struct ctl *ct, const struct command *cm, struct args *ar)
{
	char first[64], second[64];
	char *argv[2] = { first, second };
	const char *word = own_text(ar, "command");
	const char *more = own_text(ar, "subcommand");
	const struct command *found;
	const char *like;
	int words;

	if (word == NULL) {
		help_all(stdout);
		return (CTL_DONE);
	}
	(void)snprintf(first, sizeof(first), "%s", word);
	(void)snprintf(second, sizeof(second), "%s", more != NULL ? more : "");
	found = command_find(more != NULL ? 2 : 1, argv, &words);
	if (found != NULL) {
		help_command(stdout, found);
		return (CTL_DONE);
	}
	like = command_like(word);
	return (ctl_usage(ct, cm->cm_name, NULL, "no command \"%s%s%s\"%s%s%s",
	    word, more != NULL ? " " : "", more != NULL ? more : "",
	    like != NULL ? "; did you mean \"" : "",
	    like != NULL ? like : "", like != NULL ? "\"?" : ""));
}

#define OWN(var, name, summary, params, shorts, example, run)               \
	static const struct command var = { name, summary, NULL,             \
		command_no_params, params, shorts, example, run }

OWN(own_call, "call", "call any method with params as JSON", call_params, NULL,
    "  vmemctl call alloc '{\"size\":\"64K\",\"keep\":true}'\n", cmd_call);
OWN(own_run, "run", "run a script: one command a line", run_params,
    "k=keep-going",
    "A command stands as it would after vmemctl, quoted as in sh; # begins a\n"
    "comment. What reads is sent ahead of the replies before it; with -k, so\n"
    "is everything. Without -k the first error ends the script.\n\n"
    "  printf 'alloc 64K --tag t\\nfree --tag t\\n' | vmemctl run -\n",
    cmd_run_script);
OWN(own_replay, "replay", "replay a trace, and verify what it is given",
    replay_params, NULL, replay_help, cmd_replay);
OWN(own_help, "help", "what commands there are; how one is used", help_params,
    NULL, NULL, cmd_help);
OWN(own_completion, "completion", "print a completion script for a shell",
    completion_params, NULL, "  . <(vmemctl completion bash)\n",
    cmd_completion);
OWN(own_monitor, "monitor", "watch events", command_no_params, NULL, NULL,
    NULL);
OWN(own_top, "top", "live view", command_no_params, NULL, NULL, NULL);
OWN(own_shell, "shell", "interactive command line", command_no_params, NULL,
    NULL, NULL);
OWN(own_soak, "soak", "run a soak job, and judge it", soak_params, NULL,
    soak_help, cmd_soak);
OWN(own_compare, "compare", "compare designs on a trace or job",
    compare_params, NULL, compare_help, cmd_compare);
OWN(own_merge, "merge", "add up the shards of a soak job", command_no_params,
    NULL, NULL, NULL);
OWN(own_report, "report", "make a page of a soak's results", report_params,
    NULL, "  vmemctl soak smoke --out run1\n  vmemctl report run1\n",
    cmd_report);

const struct command *const command_own[] = {
	&own_call, &own_run, &own_replay, &own_help, &own_completion,
	&own_monitor, &own_top, &own_shell, &own_soak, &own_compare,
	&own_merge, &own_report, NULL
};
