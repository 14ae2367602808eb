/*
 * ctl.h - what the commands of vmemctl share: the global options, the
 * connection, exit codes, and how errors are told.
 *
 * Results go to standard output, everything else to standard error.  With -j
 * an error is one JSON object on one line, and standard output stays empty;
 * without, it is
 *
 *	vmemctl: METHOD: NAME: message		the daemon refused
 *	vmemctl: COMMAND: field: message	the command line is wrong
 *	vmemctl: message			the daemon can't be reached, ...
 *
 * with FILE:LINE after "vmemctl: " for a command of a script.
 */
#ifndef CLIENT_CTL_H
#define CLIENT_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include "vmemclient.h"

/* SPEC 4.  Functions that return one of these have told the user why. */
enum ctl_exit {
	CTL_DONE = 0,
	CTL_USAGE = 1,		/* the command line, or the configuration */
	CTL_REFUSED = 2,	/* the daemon answered with an error */
	CTL_MISSED = 3,		/* a threshold */
	CTL_UNREACHED = 4,	/* no daemon, it broke off, or -t ran out */
	CTL_FAILED = 5,		/* verification failed */
	CTL_SIGINT = 130,
	CTL_SIGTERM = 143
};

struct ctl {
	const char *ct_socket;	/* -s, or NULL */
	bool ct_json;		/* -j */
	int ct_timeout_ms;	/* -t, or -1 */
	struct vmemclient *ct_conn;	/* NULL until it is needed */
	const char *ct_script;	/* in `run`: the file, and the line */
	unsigned int ct_line;
	const char *ct_method;	/* whose error it is, for ctl_broken() */
};

/* The connection, made when first asked for.  CTL_DONE or CTL_UNREACHED. */
enum ctl_exit ctl_connect(struct ctl *ct, struct vmemclient **vcp);

/* Call and wait.  CTL_DONE: reply has a result; otherwise it has been told. */
enum ctl_exit ctl_call(struct ctl *ct, const char *method, const char *params,
    struct vmemclient_reply *reply);

/* The command line is wrong: `field` (may be NULL) is to blame. */
enum ctl_exit ctl_usage(const struct ctl *ct, const char *command,
    const char *field, const char *fmt, ...)
    __attribute__((__format__(__printf__, 4, 5)));

/* The same, for what isn't a mistake of the command line: files, memory. */
enum ctl_exit ctl_fail(const struct ctl *ct, enum ctl_exit code,
    const char *name, const char *fmt, ...)
    __attribute__((__format__(__printf__, 4, 5)));

/* The daemon refused: CTL_REFUSED or CTL_FAILED, by the error's code. */
enum ctl_exit ctl_refused(const struct ctl *ct, const char *method,
    const struct vmemclient_reply *reply);

/* The connection failed with this errno: CTL_UNREACHED. */
enum ctl_exit ctl_broken(const struct ctl *ct, const char *method, int error);

/* The exit code of a daemon's error. */
enum ctl_exit ctl_exit_of(int code);

/* An exit code as a verdict in a word; `missed` is that of CTL_MISSED. */
const char *ctl_verdict(enum ctl_exit code, const char *missed);

/* A remark on standard error, not in JSON: hints and warnings. */
void ctl_note(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2)));

/* Are colours (and cursor movements) wanted on this descriptor?  A terminal,
 * not TERM=dumb, and no NO_COLOR. */
bool ctl_color(int fd);

/* Does the locale write UTF-8? */
bool ctl_utf8(void);

/* Width to draw for: $COLUMNS, else the terminal's, else 80. */
unsigned int ctl_columns(void);

/* Set by the first SIGINT or SIGTERM once ctl_catch() has been called; before
 * that, and at the second, the process exits with 130 or 143. */
void ctl_signals(void);
void ctl_catch(void);
int ctl_caught(void);		/* 0, CTL_SIGINT or CTL_SIGTERM */

#endif /* CLIENT_CTL_H */
