/*
 * run.c - the contenders' processes, as the parent sees them: see bench.h §2
 * for the order of things, child.c for what goes over the pipes.
 *
 * A contender that dies, hangs or talks nonsense is a failed result, and the
 * others go on.  None outlives the parent: each reads end of file from its
 * pipe, and is killed by the kernel if it doesn't look.
 */
#include "config.h"

#include "bench/bench_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PHASE_TIMEOUT_MS (600 * 1000)	/* of setting up, and of a phase */
#define LINE_BYTES_MAX 8192

static int
failed(struct result *re, enum status status, const char *fmt, ...)
    __attribute__((__format__(__printf__, 3, 4)));

static int
failed(struct result *re, enum status status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(re->re_reason, sizeof(re->re_reason), fmt, ap);
	va_end(ap);
	re->re_status = status;
	run_end(re);
	return (EIO);
}

/* In the child: becomes the contender. */
static void
become(const struct result *re, const struct bench_case *bc,
    const struct options *op, int in, int out)
{
	const struct bench_contender *bn = re->re_contender;
	char seed[24];
	char *argv[] = { strdup("bench"), strdup("--peer"),
		strdup(bn->bn_name), strdup("--case"), strdup(bc->bc_name),
		strdup("--seed"), seed, op->op_quick ? strdup("--quick") : NULL,
		NULL };

	(void)snprintf(seed, sizeof(seed), "%" PRIu64, op->op_seed);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(in, STDIN_FILENO) == -1 || dup2(out, STDOUT_FILENO) == -1)
		_exit(127);
	if (bn->bn_preload != NULL)
		(void)setenv("LD_PRELOAD", bn->bn_preload, 1);
	if (bn->bn_env != NULL)
		(void)putenv(strdup(bn->bn_env));
	(void)execv("/proc/self/exe", argv);
	_exit(127);
}

/* The process has ended, or must: why, if it says so itself. */
static int
ended(struct result *re)
{
	int status = 0;

	(void)waitpid(re->re_pid, &status, 0);
	re->re_pid = 0;
	if (WIFSIGNALED(status))
		return (failed(re, STATUS_FAILED, "ended by signal %d (%s)",
		    WTERMSIG(status), strsignal(WTERMSIG(status))));
	return (failed(re, STATUS_FAILED, "ended with exit code %d",
	    WEXITSTATUS(status)));
}

/* One answer; NULL: none, and the result says why. */
static json_t *
receive(struct result *re)
{
	struct pollfd pfd = { fileno(re->re_from), POLLIN, 0 };
	char line[LINE_BYTES_MAX];
	json_t *value, *why;
	int n;

	while ((n = poll(&pfd, 1, PHASE_TIMEOUT_MS)) == -1 && errno == EINTR)
		continue;
	if (n <= 0) {
		(void)kill(re->re_pid, SIGKILL);
		(void)failed(re, STATUS_FAILED, "no answer in %d s",
		    PHASE_TIMEOUT_MS / 1000);
		return (NULL);
	}
	if (fgets(line, sizeof(line), re->re_from) == NULL) {
		(void)ended(re);
		return (NULL);
	}
	value = json_loads(line, 0, NULL);
	if (value == NULL)
		(void)failed(re, STATUS_FAILED, "not an answer: %.60s", line);
	else if ((why = json_object_get(value, "skip")) != NULL)
		(void)failed(re, STATUS_SKIPPED, "%s", json_string_value(why));
	else if ((why = json_object_get(value, "fail")) != NULL)
		(void)failed(re, STATUS_FAILED, "%s", json_string_value(why));
	else
		return (value);
	json_decref(value);
	return (NULL);
}

int
run_start(struct result *re, const struct bench_case *bc,
    const struct options *op)
{
	int to[2], from[2];
	json_t *ready;

#ifdef VMEM_SANITIZED
	if (re->re_contender->bn_preload != NULL)
		return (failed(re, STATUS_SKIPPED,
		    "can't be loaded into a program built with a sanitizer"));
#endif
	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
		return (failed(re, STATUS_FAILED, "no pipe: %s",
		    strerror(errno)));
	re->re_pid = fork();
	if (re->re_pid == 0)
		become(re, bc, op, to[0], from[1]);
	(void)close(to[0]);
	(void)close(from[1]);
	re->re_to = fdopen(to[1], "w");
	re->re_from = fdopen(from[0], "r");
	if (re->re_pid == -1 || re->re_to == NULL || re->re_from == NULL) {
		re->re_pid = re->re_pid == -1 ? 0 : re->re_pid;
		return (failed(re, STATUS_FAILED, "no process: %s",
		    strerror(errno)));
	}
	ready = receive(re);
	if (ready == NULL)
		return (EIO);
	json_decref(ready);
	return (0);
}

/* The i-th metric of a phase. */
static int
take_metric(struct result *re, unsigned int i, json_t *triple)
{
	struct metric *me;
	const char *name, *unit;
	double value;

	if (i >= METRICS_MAX ||
	    json_unpack(triple, "[s,s,F]", &name, &unit, &value) != 0)
		return (failed(re, STATUS_FAILED, "metric %u isn't one", i));
	me = &re->re_metrics[i];
	if (i == re->re_nmetrics) {
		(void)snprintf(me->me_name, sizeof(me->me_name), "%s", name);
		(void)snprintf(me->me_unit, sizeof(me->me_unit), "%s", unit);
		re->re_nmetrics++;
	} else if (strcmp(me->me_name, name) != 0)
		return (failed(re, STATUS_FAILED, "metric %u is %s, was %s", i,
		    name, me->me_name));
	if (me->me_count < PHASES_MAX)
		me->me_values[me->me_count++] = value;
	return (0);
}

int
run_phase(struct result *re, bool counts)
{
	json_t *value, *triple;
	size_t i;
	int error = 0;

	if (fputs("go\n", re->re_to) == EOF || fflush(re->re_to) != 0)
		return (ended(re));
	value = receive(re);
	if (value == NULL)
		return (EIO);
	if (counts) {
		json_array_foreach(json_object_get(value, "metrics"), i, triple)
			if ((error = take_metric(re, (unsigned int)i,
			    triple)) != 0)
				break;
	}
	json_decref(value);
	return (error);
}

void
run_end(struct result *re)
{
	if (re->re_to != NULL)
		(void)fclose(re->re_to);	/* end of file: it ends */
	if (re->re_from != NULL)
		(void)fclose(re->re_from);
	re->re_to = re->re_from = NULL;
	if (re->re_pid > 0)
		(void)waitpid(re->re_pid, NULL, 0);
	re->re_pid = 0;
}
