/*
 * run.c - `run FILE|-`: one command a line, # for comments.
 *
 * Requests are sent ahead of the replies to those before, and their results
 * printed in the order of the lines.  How far ahead depends on what may happen
 * on an error:
 *
 *	-k	the script goes on anyhow: everything that is one request is
 *		sent ahead, up to WINDOW
 *	else	no command after one that failed may have changed anything; so
 *		what changes something is sent only when everything before it
 *		has been answered, and what only reads may go ahead
 *
 * Commands of more than one request (dump, read, ...) wait their turn alike.
 */
#include "config.h"

#include "client/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/output.h"
#include "client/words.h"

#define WINDOW 256
#define INPUT_STEP 65536u
#define LINE_MAX_BYTES (1024u * 1024)

const struct proto_param run_params[] = {
	{ "file", PT_STRING, PP_REQUIRED, NULL, NULL, 0, 0,
	    "script, - for standard input: a command a line" },
	{ "keep_going", PT_BOOL, 0, "false", NULL, 0, 0,
	    "go on after errors; the exit code is the first one's" },
	{ NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }
};

/* A request under way. */
struct ahead {
	uint64_t ah_id;
	unsigned int ah_line;
	const struct command *ah_command;
};

struct script {
	struct ctl *sc_ctl;
	bool sc_keep_going;
	enum ctl_exit sc_first;	/* the first error's code, or CTL_DONE */
	struct ahead sc_ring[WINDOW];
	unsigned int sc_head, sc_count;
	struct vmemclient_reply sc_reply;
};

/* Note how a line ended. */
static void
ended(struct script *sc, enum ctl_exit code)
{
	if (sc->sc_first == CTL_DONE)
		sc->sc_first = code;
}

/* No further line is to be run. */
static bool
stopped(const struct script *sc)
{
	return (sc->sc_first == CTL_UNREACHED ||
	    (sc->sc_first != CTL_DONE && !sc->sc_keep_going) ||
	    ferror(stdout) != 0);
}

/* Take the reply to the oldest request, and print it. */
static void
settle_one(struct script *sc)
{
	struct ahead *ah = &sc->sc_ring[sc->sc_head];
	struct ctl *ct = sc->sc_ctl;
	unsigned int line = ct->ct_line;
	const char *method = ah->ah_command->cm_method->pm_name;
	int error;

	sc->sc_head = (sc->sc_head + 1) % WINDOW;
	sc->sc_count--;
	error = vmemclient_receive_id(
	    ct->ct_conn, ah->ah_id, ct->ct_timeout_ms, &sc->sc_reply);
	ct->ct_line = ah->ah_line;
	/* After the end, replies to what was only read are of no interest. */
	if (stopped(sc))
		;
	else if (error != 0)
		ended(sc, ctl_broken(ct, method, error));
	else if (sc->sc_reply.code != 0)
		ended(sc, ctl_refused(ct, method, &sc->sc_reply));
	else
		ended(sc, output_result(
		    ct, ah->ah_command, sc->sc_reply.result));
	ct->ct_line = line;
}

static void
settle(struct script *sc, unsigned int left)
{
	while (sc->sc_count > left && sc->sc_first != CTL_UNREACHED)
		settle_one(sc);
}

/* Send a command of one request. */
static void
send_ahead(struct script *sc, const struct command *cm, struct args *ar)
{
	struct ahead *ah =
	    &sc->sc_ring[(sc->sc_head + sc->sc_count) % WINDOW];
	struct vmemclient *vc;
	const char *method;
	char *params;
	int error;

	if (ctl_connect(sc->sc_ctl, &vc) != CTL_DONE) {
		ended(sc, CTL_UNREACHED);
		return;
	}
	params = cmd_request(cm, ar, &method);
	error = params == NULL ? ENOMEM :
	    vmemclient_send(vc, method, params, &ah->ah_id);
	free(params);
	if (error != 0) {
		ended(sc, ctl_broken(sc->sc_ctl, method, error));
		return;
	}
	ah->ah_line = sc->sc_ctl->ct_line;
	ah->ah_command = cm;
	sc->sc_count++;
}

/* Of vmemctl's own commands only `call` makes sense within a script. */
static bool
allowed(const struct command *cm)
{
	return (cm->cm_method != NULL || strcmp(cm->cm_name, "call") == 0);
}

static void
run_words(struct script *sc, int argc, char *const argv[])
{
	const struct command *cm;
	struct cmd_fault fault;
	struct args ar;
	bool simple, reads;

	if (cmd_parse(argc, argv, &cm, &ar, &fault) != 0) {
		settle(sc, 0);
		if (!stopped(sc))
			ended(sc, cmd_tell(sc->sc_ctl, &fault));
		return;
	}
	simple = cmd_is_simple(cm, &ar) && !ar.ar_help;
	reads = cm->cm_method != NULL &&
	    (cm->cm_method->pm_flags & PM_READS) != 0;
	settle(sc, simple && (reads || sc->sc_keep_going) ? WINDOW - 1 : 0);
	if (stopped(sc))
		;
	else if (!allowed(cm) || ar.ar_help)
		ended(sc, ctl_usage(sc->sc_ctl, cm->cm_name, NULL,
		    "not in a script: only the commands of methods, and call"));
	else if (simple)
		send_ahead(sc, cm, &ar);
	else
		ended(sc, cm->cm_run(sc->sc_ctl, cm, &ar));
	args_fini(&ar);
}

static void
run_line(struct script *sc, char *line, size_t len)
{
	static char *words[WORDS_MAX + 1];
	const char *why;
	int count = 0;

	sc->sc_ctl->ct_line++;
	why = memchr(line, '\0', len) != NULL ? "the line holds a NUL byte" :
	    words_split(line, words, &count);
	if (why == NULL && count > 0)
		run_words(sc, count, words);
	if (why == NULL)
		return;
	settle(sc, 0);
	if (!stopped(sc))
		ended(sc, ctl_usage(sc->sc_ctl, NULL, NULL, "%s", why));
}

/* ---- input -------------------------------------------------------------- */

/* Lines off a descriptor: unlike stdio's, this knows when it is about to wait
 * for more. */
struct input {
	int in_fd;
	char *in_buf;
	size_t in_start, in_end, in_room;
};

/* Whoever feeds the script may be waiting for results before it goes on. */
static void
before_waiting(struct script *sc, int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (poll(&pfd, 1, 0) != 0)
		return;
	settle(sc, 0);
	(void)fflush(stdout);
}

/* More input; *endp: there is none. */
static int
refill(struct script *sc, struct input *in, bool *endp)
{
	ssize_t n;
	char *grown;

	if (in->in_start > 0)
		memmove(in->in_buf, in->in_buf + in->in_start,
		    in->in_end - in->in_start);
	in->in_end -= in->in_start;
	in->in_start = 0;
	if (in->in_room - in->in_end < INPUT_STEP) {
		grown = in->in_end > LINE_MAX_BYTES ? NULL :
		    realloc(in->in_buf, in->in_room + INPUT_STEP);
		if (grown == NULL)
			return (in->in_end > LINE_MAX_BYTES ? E2BIG : ENOMEM);
		in->in_buf = grown;
		in->in_room += INPUT_STEP;
	}
	before_waiting(sc, in->in_fd);
	do {
		/* One byte is kept for the NUL of a last line without LF. */
		n = read(in->in_fd, in->in_buf + in->in_end,
		    in->in_room - in->in_end - 1);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return (errno);
	*endp = n == 0;
	in->in_end += (size_t)n;
	return (0);
}

static int
run_input(struct script *sc, struct input *in)
{
	bool end = false;
	char *line, *lf;
	int error;

	while (!stopped(sc)) {
		line = in->in_buf + in->in_start;
		lf = in->in_end == in->in_start ? NULL :
		    memchr(line, '\n', in->in_end - in->in_start);
		if (lf == NULL && !end) {
			error = refill(sc, in, &end);
			if (error != 0)
				return (error);
			continue;
		}
		if (lf == NULL) {
			if (in->in_end == in->in_start)
				break;
			lf = in->in_buf + in->in_end++;
		}
		*lf = '\0';
		in->in_start = (size_t)(lf - in->in_buf) + 1;
		run_line(sc, line, (size_t)(lf - line));
	}
	return (0);
}

enum ctl_exit
cmd_run_script(struct ctl *ct, const struct command *cm, struct args *ar)
{
	const char *name =
	    json_string_value(json_object_get(ar->ar_own, "file"));
	bool from_stdin = strcmp(name, "-") == 0;
	struct input in = { .in_fd = STDIN_FILENO };
	struct script *sc = calloc(1, sizeof(*sc));
	enum ctl_exit code;
	int error;

	if (sc == NULL)
		return (ctl_fail(ct, CTL_USAGE, "no_memory", "out of memory"));
	if (!from_stdin)
		in.in_fd = open(name, O_RDONLY | O_CLOEXEC);
	if (in.in_fd < 0) {
		free(sc);
		return (ctl_usage(ct, cm->cm_name, "file", "%s: %s", name,
		    strerror(errno)));
	}
	sc->sc_ctl = ct;
	sc->sc_keep_going =
	    json_is_true(json_object_get(ar->ar_own, "keep_going"));
	ct->ct_script = from_stdin ? "stdin" : name;
	error = run_input(sc, &in);
	settle(sc, 0);
	ct->ct_script = NULL;
	if (error != 0)
		ended(sc, ctl_usage(ct, cm->cm_name, "file", "%s: %s", name,
		    error == E2BIG ? "a line is longer than 1M" :
				     strerror(error)));
	code = sc->sc_first;
	if (!from_stdin)
		(void)close(in.in_fd);
	vmemclient_reply_fini(&sc->sc_reply);
	free(in.in_buf);
	free(sc);
	return (code);
}
