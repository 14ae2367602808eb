/*
 * help.c - what commands there are, and one command's help, from the tables.
 */
#include "config.h"

#include "client/help.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "client/args.h"

#define WIDTH 80
#define OPTION_COLUMN 28	/* where the texts of options begin */

static const char intro[] =
    "usage: vmemctl [-s SOCKET] [-j] [-t MS] COMMAND [ARGUMENT...]\n"
    "\n"
    "Drives vmemd, the daemon that hosts vmem arenas.\n"
    "\n"
    "  -s SOCKET   the daemon's socket (else $VMEMD_SOCKET, else\n"
    "              $XDG_RUNTIME_DIR/vmemd.sock or /run/vmemd/vmemd.sock)\n"
    "  -j          results and errors as JSON\n"
    "  -t MS       give up on a reply after so many milliseconds\n"
    "  -h, -V      this help; the version\n";

static const char outro[] =
    "\n"
    "vmemctl help COMMAND says more about one. Try:\n"
    "\n"
    "  A=$(vmemctl alloc 64K) && vmemctl free $A\n"
    "  vmemctl fragment --pattern comb --bytes 64M && vmemctl dump map\n"
    "\n"
    "Exit status: 0 done, 1 usage, 2 refused by the daemon, 3 a threshold was\n"
    "missed, 4 no daemon (or -t ran out), 5 verification failed, 130 or 143\n"
    "interrupted.\n";

void
help_all(FILE *f)
{
	(void)fputs(intro, f);
	(void)fputs("\nCommands, one for each method of the protocol:\n\n", f);
	for (size_t i = 0; i < command_count(); i++) {
		const struct command *cm = command_at(i);

		if (i == proto_method_count)
			(void)fputs("\nCommands of vmemctl's own:\n\n", f);
		(void)fprintf(f, "  %-15s %s%s\n", cm->cm_name, cm->cm_summary,
		    cm->cm_method != NULL &&
			(cm->cm_method->pm_flags & PM_LATER) != 0 ?
			" (later)" : cm->cm_run == NULL ? " (later)" : "");
	}
	(void)fputs(outro, f);
}

/* Words from `column` on, broken before the right margin. */
static void
put_wrapped(FILE *f, const char *text, int column)
{
	int at = column;

	while (*text != '\0') {
		int len = (int)strcspn(text, " ");

		if (at > column && at + 1 + len > WIDTH) {
			(void)fprintf(f, "\n%*s", column, "");
			at = column;
		} else if (at > column) {
			(void)fputc(' ', f);
			at++;
		}
		(void)fprintf(f, "%.*s", len, text);
		at += len;
		text += len;
		text += strspn(text, " ");
	}
	(void)fputc('\n', f);
}

/* "SIZE", "[WHAT]", "ADDR..." */
static void
put_positional(FILE *f, const struct proto_param *pp)
{
	bool needed = (pp->pp_flags & PP_REQUIRED) != 0;
	char name[64], *p;

	(void)args_option_name(pp, name, sizeof(name));
	for (p = name; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
	(void)fprintf(f, needed ? " %s" : " [%s]", name);
}

static bool
is_positional(const struct proto_param *pp)
{
	return ((pp->pp_flags & (PP_REQUIRED | PP_POSITIONAL)) != 0 &&
	    (pp->pp_flags & PP_STDIN) == 0);
}

static void
put_usage(FILE *f, const struct proto_param *pp)
{
	bool addresses = false;

	for (; pp->pp_name != NULL; pp++) {
		if (pp->pp_type == PT_ADDRS)
			continue;
		addresses = pp->pp_type == PT_ADDR && pp[1].pp_name != NULL &&
		    pp[1].pp_type == PT_ADDRS;
		if (addresses)
			(void)fputs(" [ADDR...]", f);
		else if (is_positional(pp))
			put_positional(f, pp);
		if ((pp->pp_flags & PP_STDIN) != 0)
			(void)fputs(" < DATA", f);
	}
}

/* The default in a command line's spelling; `keep` is the other way round. */
static const char *
default_of(const struct command *cm, const struct proto_param *pp)
{
	if (cm->cm_method != NULL && pp->pp_type == PT_BOOL &&
	    strcmp(pp->pp_name, "keep") == 0)
		return ("true");
	return (pp->pp_default);
}

static void
put_option(FILE *f, const struct command *cm, const struct proto_param *pp)
{
	char name[64], left[160], text[512];
	const char *value = default_of(cm, pp);
	bool on = value != NULL && strcmp(value, "true") == 0;

	(void)args_option_name(pp, name, sizeof(name));
	if (is_positional(pp)) {
		char *p;

		for (p = name; *p != '\0'; p++)
			*p = (char)toupper((unsigned char)*p);
		(void)snprintf(left, sizeof(left), "%s", name);
	} else if (pp->pp_type == PT_BOOL) {
		(void)snprintf(
		    left, sizeof(left), "--%s%s", on ? "[no-]" : "", name);
	} else {
		(void)snprintf(left, sizeof(left), "--%s %s", name,
		    args_placeholder(pp));
	}
	if (cm->cm_shorts != NULL && strcmp(cm->cm_shorts + 2, name) == 0)
		(void)snprintf(left + strlen(left), sizeof(left) - strlen(left),
		    ", -%c", cm->cm_shorts[0]);
	(void)snprintf(text, sizeof(text), "%s%s%s%s%s%s%s", pp->pp_help,
	    pp->pp_type == PT_ENUM ? ": " : "",
	    pp->pp_type == PT_ENUM ? pp->pp_values : "",
	    value != NULL && (pp->pp_type != PT_BOOL || on) ?
		" (default: " : "",
	    value == NULL || (pp->pp_type == PT_BOOL && !on) ? "" :
	    on ? "yes" : value,
	    value != NULL && (pp->pp_type != PT_BOOL || on) ? ")" : "", "");
	(void)fprintf(f, "  %-*s", OPTION_COLUMN - 3, left);
	if (strlen(left) > OPTION_COLUMN - 3)
		(void)fprintf(f, "\n%*s", OPTION_COLUMN, "");
	else
		(void)fputc(' ', f);
	put_wrapped(f, text, OPTION_COLUMN);
}

static void
put_options(FILE *f, const struct command *cm, const struct proto_param *pp)
{
	for (; pp->pp_name != NULL; pp++)
		if (pp->pp_type != PT_ADDRS && (pp->pp_flags & PP_STDIN) == 0)
			put_option(f, cm, pp);
}

void
help_command(FILE *f, const struct command *cm)
{
	const struct proto_method *pm = cm->cm_method;
	bool options = cm->cm_params->pp_name != NULL ||
	    cm->cm_own->pp_name != NULL;
	char about[512];

	(void)fprintf(f, "usage: vmemctl %s", cm->cm_name);
	put_usage(f, cm->cm_params);
	put_usage(f, cm->cm_own);
	(void)fprintf(f, "%s\n\n", options ? " [OPTION...]" : "");
	(void)snprintf(about, sizeof(about), "%c%s.%s%s%s",
	    toupper((unsigned char)cm->cm_summary[0]), cm->cm_summary + 1,
	    pm != NULL ? " Result: " : "", pm != NULL ? pm->pm_result : "",
	    pm != NULL ? "." : "");
	put_wrapped(f, about, 0);
	if (pm != NULL && (pm->pm_flags & PM_ADMIN) != 0)
		(void)fputs("For root and the daemon's user only.\n", f);
	if (cm->cm_run == NULL || (pm != NULL &&
		(pm->pm_flags & PM_LATER) != 0))
		(void)fputs("Not supported by this version yet.\n", f);
	if (options)
		(void)fputc('\n', f);
	put_options(f, cm, cm->cm_params);
	put_options(f, cm, cm->cm_own);
	if (cm->cm_example != NULL)
		(void)fprintf(f, "\n%s", cm->cm_example);
}
