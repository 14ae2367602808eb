/*
 * complete.c - a completion script for bash, from the tables.
 *
 * The script knows all words itself, so that completing asks nobody: a case of
 * the command gives its options, a case of the option before the cursor its
 * values; only the names of arenas are fetched from the daemon.
 */
#include "config.h"

#include "client/help.h"

#include <stdio.h>
#include <string.h>

#include "client/args.h"

static void
put_words(FILE *f, const struct proto_param *pp)
{
	char name[64];

	for (; pp->pp_name != NULL; pp++) {
		if (pp->pp_type == PT_ADDRS || (pp->pp_flags & PP_STDIN) != 0)
			continue;
		if (pp->pp_type == PT_ENUM &&
		    (pp->pp_flags & (PP_REQUIRED | PP_POSITIONAL)) != 0)
			(void)fprintf(f, " %s", pp->pp_values);
		else
			(void)fprintf(f, " --%s",
			    args_option_name(pp, name, sizeof(name)));
		if (pp->pp_type == PT_BOOL)
			(void)fprintf(f, " --no-%s", name);
	}
}

/* What may follow --fit, --policy, ... in this command. */
static void
put_values(FILE *f, const struct command *cm, const struct proto_param *pp)
{
	char name[64];

	for (; pp->pp_name != NULL; pp++) {
		if (pp->pp_type != PT_ENUM)
			continue;
		(void)fprintf(f, "\t'%s --%s') words='%s' ;;\n", cm->cm_name,
		    args_option_name(pp, name, sizeof(name)), pp->pp_values);
	}
}

static void
put_first_words(FILE *f)
{
	char word[32], last[32] = "";

	(void)fputs("\t'') words='", f);
	for (size_t i = 0; i < command_count(); i++) {
		(void)snprintf(word, sizeof(word), "%.*s",
		    (int)strcspn(command_at(i)->cm_name, " "),
		    command_at(i)->cm_name);
		if (strcmp(word, last) != 0)
			(void)fprintf(f, "%s ", word);
		(void)strcpy(last, word);
	}
	(void)fputs("-s -j -t -h -V' ;;\n", f);
}

/* "arena": its second words. */
static void
put_second_words(FILE *f)
{
	char group[32] = "";

	for (size_t i = 0; i < command_count(); i++) {
		const char *name = command_at(i)->cm_name;
		size_t len = strcspn(name, " ");

		if (name[len] == '\0')
			continue;
		if (strlen(group) != len || strncmp(group, name, len) != 0) {
			(void)fprintf(f, "%s\t%.*s) words='",
			    group[0] != '\0' ? "' ;;\n" : "", (int)len, name);
			(void)snprintf(
			    group, sizeof(group), "%.*s", (int)len, name);
		}
		(void)fprintf(f, "%s ", name + len + 1);
	}
	(void)fputs("' ;;\n", f);
}

static const char prologue[] =
    "# bash completion for vmemctl: made by `vmemctl completion bash`.\n"
    "_vmemctl()\n"
    "{\n"
    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "\tlocal i cmd='' words='' word skip=0\n"
    "\n"
    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
    "\t\tword=${COMP_WORDS[i]}\n"
    "\t\tif ((skip)); then skip=0; continue; fi\n"
    "\t\tcase $word in\n"
    "\t\t-s|-t) skip=1 ;;\n"
    "\t\t-*) ;;\n"
    "\t\t*)\n"
    "\t\t\tcase $cmd in\n"
    "\t\t\t'') cmd=$word ;;\n"
    "\t\t\tarena|soak|record) cmd+=\" $word\" ;;\n"
    "\t\t\tesac ;;\n"
    "\t\tesac\n"
    "\tdone\n"
    "\tcase $prev in\n"
    "\t-s) compopt -o default; return ;;\n"
    "\t--svg|--png) compopt -o default; return ;;\n"
    "\t--arena|--source)\n"
    "\t\twords=$(vmemctl -t 500 arena list 2>/dev/null |\n"
    "\t\t    sed -n '2,$s/ .*//p')\n"
    "\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "\t\treturn ;;\n"
    "\tesac\n"
    "\tcase \"$cmd $prev\" in\n";

static const char epilogue[] =
    "\tesac\n"
    "\tcase $cmd in\n"
    "\trun|replay) [[ $cur != -* ]] && compopt -o default ;;\n"
    "\tesac\n"
    "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "}\n"
    "complete -F _vmemctl vmemctl\n";

void
help_completion_bash(FILE *f)
{
	(void)fputs(prologue, f);
	for (size_t i = 0; i < command_count(); i++) {
		put_values(f, command_at(i), command_at(i)->cm_params);
		put_values(f, command_at(i), command_at(i)->cm_own);
	}
	(void)fputs("\t*) case $cmd in\n", f);
	put_first_words(f);
	put_second_words(f);
	for (size_t i = 0; i < command_count(); i++) {
		const struct command *cm = command_at(i);

		/* Nothing to complete; and `soak` is a group of others. */
		if (cm->cm_run == NULL)
			continue;
		(void)fprintf(f, "\t'%s') words='--help", cm->cm_name);
		put_words(f, cm->cm_params);
		put_words(f, cm->cm_own);
		(void)fputs("' ;;\n", f);
	}
	(void)fputs("\tesac ;;\n", f);
	(void)fputs(epilogue, f);
}
