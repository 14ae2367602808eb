/*
 * main.c - vmemctl: global options, and how it ends.
 */
#include "config.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/help.h"
#include "job/job.h"

struct start {
	bool st_help, st_version;
	const char *st_timeout;
	char **st_words;	/* the command and its arguments */
	int st_count;
};

/* -s X, -sX: the value, or NULL if there is none. */
static const char *
value(int argc, char *argv[], int *ip)
{
	if (argv[*ip][2] != '\0')
		return (argv[*ip] + 2);
	return (*ip + 1 < argc ? argv[++*ip] : NULL);
}

/*
 * -s, -j and -t stand before the command, or anywhere after it but behind "--":
 * no command has options of these letters.
 */
static enum ctl_exit
parse(struct ctl *ct, struct start *st, int argc, char *argv[])
{
	bool options = true;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *given = NULL;

		if (strcmp(arg, "--") == 0)
			options = false;
		if (!options || arg[0] != '-' || arg[1] == '\0' ||
		    strchr("sjthV", arg[1]) == NULL) {
			if (st->st_count == 0 && options && arg[0] == '-' &&
			    strcmp(arg, "--help") == 0)
				st->st_help = true;
			else if (st->st_count == 0 && options &&
			    strcmp(arg, "--version") == 0)
				st->st_version = true;
			else if (st->st_count == 0 && arg[0] == '-')
				return (ctl_usage(ct, NULL, NULL, "unknown"
				    " option %s; see vmemctl help", arg));
			else
				st->st_words[st->st_count++] = argv[i];
			continue;
		}
		if (arg[1] == 's' || arg[1] == 't') {
			given = value(argc, argv, &i);
			if (given == NULL)
				return (ctl_usage(ct, NULL, NULL, "-%c needs a"
				    " value: %s", arg[1], arg[1] == 's' ?
				    "the path of a socket" : "milliseconds"));
		} else if (arg[2] != '\0') {
			return (ctl_usage(ct, NULL, NULL, "unknown option %s;"
			    " see vmemctl help", arg));
		}
		if (arg[1] == 's')
			ct->ct_socket = given;
		else if (arg[1] == 't')
			st->st_timeout = given;
		else if (arg[1] == 'j')
			ct->ct_json = true;
		else if (arg[1] == 'h')
			st->st_help = true;
		else
			st->st_version = true;
	}
	return (CTL_DONE);
}

static enum ctl_exit
set_timeout(struct ctl *ct, const char *text)
{
	char *end;
	long ms;

	errno = 0;
	ms = strtol(text, &end, 10);
	if (*text == '\0' || *end != '\0' || errno != 0 || ms < 1 ||
	    ms > INT32_MAX)
		return (ctl_usage(ct, NULL, "-t", "\"%s\" is not a number of"
		    " milliseconds above 0", text));
	ct->ct_timeout_ms = (int)ms;
	return (CTL_DONE);
}

static char help_option[] = "--help";

static enum ctl_exit
start(struct ctl *ct, struct start *st, int argc, char *argv[])
{
	enum ctl_exit code = parse(ct, st, argc, argv);

	if (code == CTL_DONE && st->st_timeout != NULL)
		code = set_timeout(ct, st->st_timeout);
	if (code != CTL_DONE)
		return (code);
	if (st->st_version) {
		(void)puts("vmemctl " PACKAGE_VERSION);
		return (CTL_DONE);
	}
	if (st->st_help && st->st_count > 0)
		st->st_words[st->st_count++] = help_option;
	else if (st->st_help) {
		help_all(stdout);
		return (CTL_DONE);
	}
	if (st->st_count == 0)
		return (ctl_usage(ct, NULL, NULL, "which command? See vmemctl"
		    " help, or try vmemctl ping"));
	return (cmd_run_line(ct, st->st_count, st->st_words));
}

int
main(int argc, char *argv[])
{
	struct ctl ct = { .ct_timeout_ms = -1 };
	struct start st = { .st_words = calloc((size_t)argc + 2,
				sizeof(char *)) };
	enum ctl_exit code;

	(void)setlocale(LC_CTYPE, "");
	ctl_signals();
	job_setup();
	if (st.st_words == NULL)
		return (CTL_USAGE);
	code = start(&ct, &st, argc, argv);
	vmemclient_close(ct.ct_conn);
	free(st.st_words);
	/* Whoever stops reading, as head(1) does, has seen enough. */
	errno = 0;
	if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE &&
	    errno != 0 && code == CTL_DONE)
		code = ctl_fail(&ct, CTL_USAGE, "output",
		    "standard output: %s", strerror(errno));
	return (code);
}
