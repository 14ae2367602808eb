/*
 * ctl.c - see ctl.h.
 */
#include "config.h"

#include "client/ctl.h"

#include <errno.h>
#include <jansson.h>
#include <langinfo.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/errors.h"

#define MESSAGE_MAX 2048
#define COLUMNS_MIN 40
#define COLUMNS_MAX 400

/* ---- telling errors ----------------------------------------------------- */

/* One line of JSON on standard error; takes over `error`. */
static void
tell_json(const struct ctl *ct, json_t *error)
{
	char *text;

	if (error == NULL)
		return;
	if (ct->ct_script != NULL) {
		(void)json_object_set_new(
		    error, "file", json_string(ct->ct_script));
		(void)json_object_set_new(
		    error, "line", json_integer(ct->ct_line));
	}
	text = json_dumps(error, JSON_COMPACT);
	if (text != NULL)
		(void)fprintf(stderr, "%s\n", text);
	free(text);
	json_decref(error);
}

/* "vmemctl: FILE:LINE: " */
static void
tell_prefix(const struct ctl *ct)
{
	(void)fputs("vmemctl: ", stderr);
	if (ct->ct_script != NULL)
		(void)fprintf(
		    stderr, "%s:%u: ", ct->ct_script, ct->ct_line);
}

/* Errors of our own look like the daemon's: the names are other ones. */
static json_t *
own_error(int code, const char *name, const char *message, const char *field)
{
	json_t *data = json_pack("{s:s}", "name", name);

	if (field != NULL)
		(void)json_object_set_new(data, "field", json_string(field));
	return (json_pack("{s:i, s:s, s:o}", "code", code, "message", message,
	    "data", data));
}

enum ctl_exit
ctl_usage(const struct ctl *ct, const char *command, const char *field,
    const char *fmt, ...)
{
	char message[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (ct->ct_json) {
		tell_json(ct, own_error(PE_PARAMS, "usage", message, field));
		return (CTL_USAGE);
	}
	tell_prefix(ct);
	if (command != NULL)
		(void)fprintf(stderr, "%s: ", command);
	if (field != NULL)
		(void)fprintf(stderr, "%s: ", field);
	(void)fprintf(stderr, "%s\n", message);
	return (CTL_USAGE);
}

enum ctl_exit
ctl_fail(const struct ctl *ct, enum ctl_exit code, const char *name,
    const char *fmt, ...)
{
	char message[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (ct->ct_json) {
		tell_json(ct, own_error(PE_INTERNAL, name, message, NULL));
		return (code);
	}
	tell_prefix(ct);
	(void)fprintf(stderr, "%s\n", message);
	return (code);
}

enum ctl_exit
ctl_exit_of(int code)
{
	return (code == PE_CORRUPT || code == PE_MISMATCH ? CTL_FAILED :
							    CTL_REFUSED);
}

/* A reply's name; an error of JSON-RPC itself may come without. */
static const char *
name_of(const struct vmemclient_reply *reply)
{
	const char *name = reply->name;

	if (name == NULL)
		name = proto_error_name((enum proto_error)reply->code);
	return (name != NULL ? name : "error");
}

enum ctl_exit
ctl_refused(const struct ctl *ct, const char *method,
    const struct vmemclient_reply *reply)
{
	if (ct->ct_json) {
		tell_json(ct, json_loads(reply->error, 0, NULL));
		return (ctl_exit_of(reply->code));
	}
	tell_prefix(ct);
	(void)fprintf(stderr, "%s: %s: %s", method, name_of(reply),
	    reply->message != NULL ? reply->message : "");
	/* The message names the field as a rule, but need not. */
	if (reply->field != NULL &&
	    (reply->message == NULL ||
		strstr(reply->message, reply->field) == NULL))
		(void)fprintf(stderr, " (%s)", reply->field);
	(void)fputc('\n', stderr);
	return (ctl_exit_of(reply->code));
}

static const char *
broken_text(int error)
{
	switch (error) {
	case ECONNRESET:
		return ("the daemon broke off the connection");
	case EPROTO:
		return ("what answers isn't vmemd: it broke the protocol");
	case ETIMEDOUT:
		return ("no reply within the time of -t; whether the daemon"
			" did it isn't known");
	default:
		return (strerror(error));
	}
}

enum ctl_exit
ctl_broken(const struct ctl *ct, const char *method, int error)
{
	if (error == EINVAL || error == EAGAIN)
		return (ctl_fail(ct, CTL_USAGE, "usage", "%s: %s", method,
		    error == EINVAL ? "the parameters aren't JSON" :
				      "too many requests at once"));
	return (ctl_fail(ct, CTL_UNREACHED,
	    error == ETIMEDOUT ? "timed_out" : "unreachable", "%s: %s", method,
	    broken_text(error)));
}

const char *
ctl_verdict(enum ctl_exit code, const char *missed)
{
	switch (code) {
	case CTL_DONE:
		return ("passed");
	case CTL_MISSED:
		return (missed);
	case CTL_FAILED:
		return ("failed");
	case CTL_SIGINT:
	case CTL_SIGTERM:
		return ("interrupted");
	default:
		return ("broken off");
	}
}

void
ctl_note(const char *fmt, ...)
{
	va_list ap;

	(void)fputs("vmemctl: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

/* ---- the connection ----------------------------------------------------- */

enum ctl_exit
ctl_connect(struct ctl *ct, struct vmemclient **vcp)
{
	char path[512];
	int error = 0;

	if (ct->ct_conn == NULL)
		error = vmemclient_connect(
		    ct->ct_socket, ct->ct_timeout_ms, &ct->ct_conn);
	if (error == 0) {
		*vcp = ct->ct_conn;
		return (CTL_DONE);
	}
	if (vmemclient_socket_path(ct->ct_socket, path, sizeof(path)) != 0)
		(void)snprintf(path, sizeof(path), "%.400s",
		    ct->ct_socket != NULL ? ct->ct_socket : "the socket");
	return (ctl_fail(ct, CTL_UNREACHED, "unreachable",
	    "can't reach vmemd at %s: %s%s", path, strerror(error),
	    error == ENOENT || error == ECONNREFUSED ?
		"; start it, or name its socket with -s or $VMEMD_SOCKET" :
	    error == ENAMETOOLONG ?
		"; a socket's path has at most 107 bytes" : ""));
}

enum ctl_exit
ctl_call(struct ctl *ct, const char *method, const char *params,
    struct vmemclient_reply *reply)
{
	struct vmemclient *vc;
	enum ctl_exit code = ctl_connect(ct, &vc);
	int error;

	if (code != CTL_DONE)
		return (code);
	error = vmemclient_call(vc, method, params, ct->ct_timeout_ms, reply);
	if (error != 0)
		return (ctl_broken(ct, method, error));
	return (reply->code != 0 ? ctl_refused(ct, method, reply) : CTL_DONE);
}

/* ---- the terminal ------------------------------------------------------- */

bool
ctl_color(int fd)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return ((no_color == NULL || *no_color == '\0') && isatty(fd) &&
	    term != NULL && strcmp(term, "dumb") != 0);
}

bool
ctl_utf8(void)
{
	return (strcmp(nl_langinfo(CODESET), "UTF-8") == 0);
}

unsigned int
ctl_columns(void)
{
	const char *env = getenv("COLUMNS");
	unsigned long columns = env != NULL ? strtoul(env, NULL, 10) : 0;
	struct winsize ws;

	if (columns == 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0)
		columns = ws.ws_col;
	if (columns == 0)
		columns = 80;
	return ((unsigned int)(columns < COLUMNS_MIN ? COLUMNS_MIN :
		columns > COLUMNS_MAX ? COLUMNS_MAX : columns));
}

/* ---- signals ------------------------------------------------------------ */

static volatile sig_atomic_t catching, caught;

static void
on_signal(int signo)
{
	int code = signo == SIGINT ? CTL_SIGINT : CTL_SIGTERM;

	if (!catching || caught != 0)
		_exit(code);
	caught = code;
}

void
ctl_signals(void)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	(void)sigemptyset(&sa.sa_mask);
	sa.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &sa, NULL);
	sa.sa_handler = on_signal;
	sa.sa_flags = SA_RESTART;
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
}

void
ctl_catch(void)
{
	catching = 1;
}

int
ctl_caught(void)
{
	return (caught);
}
