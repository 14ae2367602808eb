/*
 * compare_run.c - see compare.h: a model's runs, each in a process of its own.
 *
 * A child writes messages to a pipe: how far it is, and in the end its result
 * (of the same program, so that a struct can be sent as it is).  Whatever ends
 * it otherwise is said in the row.  The parent waits with an eye on signals, and
 * ends its child by its pid.
 */
#include "config.h"

#include "client/compare.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLL_MS 100

const uint64_t compare_sweeps[COMPARE_SWEEPS] = { 100, 1000, 10000, 100000 };

/* One run, as it is asked for. */
struct task {
	const struct compare *ta_compare;
	struct model_spec ta_spec;
	unsigned int ta_threads;	/* 0: a sweep over */
	uint64_t ta_ranges;		/* so many ranges */
	bool ta_watch;
	const char *ta_what;		/* for the progress */
};

enum message { MSG_PROGRESS, MSG_RESULT, MSG_LOOKUPS, MSG_ERROR, MSG_BROKEN };
#define BROKEN_MAX 64u

struct head {
	enum message hd_message;
	uint32_t hd_size;
};

/* ---- the child ---------------------------------------------------------- */

static void
put(int fd, const void *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(1);	/* nobody listens any more */
		data = (const char *)data + n;
		size -= (size_t)n;
	}
}

static void
send_message(int fd, enum message message, const void *data, uint32_t size)
{
	const struct head hd = { message, size };

	put(fd, &hd, sizeof(hd));
	put(fd, data, size);
}

static bool
child_progress(void *arg, uint32_t done)
{
	send_message(*(int *)arg, MSG_PROGRESS, &done, sizeof(done));
	return (true);
}

static int
child_trace(const struct task *ta, struct model *m, int fd)
{
	const struct compare *co = ta->ta_compare;
	const struct run_config rc = { .rc_trace = co->co_trace,
		.rc_nops = co->co_nops, .rc_sample = co->co_sample,
		.rc_pageable = co->co_pageable, .rc_threads = ta->ta_threads,
		.rc_watch = ta->ta_watch,
		.rc_progress = co->co_progress ? child_progress : NULL,
		.rc_arg = &fd };
	struct run_result *rr = malloc(sizeof(*rr));
	int error = rr == NULL ? ENOMEM : run_trace(m, &rc, rr);
	const char *why = error == 0 ? m->m_ops->mo_check(m) : NULL;
	char text[BROKEN_MAX] = "";

	if (why != NULL) {
		(void)snprintf(text, sizeof(text), "%s", why);
		send_message(fd, MSG_BROKEN, text, sizeof(text));
	} else if (error == 0)
		send_message(fd, MSG_RESULT, rr, sizeof(*rr));
	return (error);
}

static void __attribute__((__noreturn__))
child(const struct task *ta, int fd)
{
	struct model *m;
	double lookups;
	int error;

	/* Should vmemctl be killed, nobody is left to listen. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGINT, SIG_IGN);	/* the parent's to judge */
	(void)signal(SIGTERM, SIG_DFL);
	error = model_create(&ta->ta_spec, &m);
	if (error == 0 && ta->ta_threads == 0) {
		error = run_lookups(m, ta->ta_ranges, &lookups);
		if (error == 0)
			send_message(
			    fd, MSG_LOOKUPS, &lookups, sizeof(lookups));
	} else if (error == 0)
		error = child_trace(ta, m, fd);
	if (error != 0)
		send_message(fd, MSG_ERROR, &error, sizeof(error));
	_exit(0);
}

/* ---- the parent --------------------------------------------------------- */

static void
progress(const struct task *ta, uint32_t done)
{
	const struct compare *co = ta->ta_compare;
	char line[192];

	if (!co->co_progress)
		return;
	(void)snprintf(line, sizeof(line), "%3.0f%%  %s: %s, %.0f%% of %u"
	    " operations", 100.0 * co->co_runs_done / co->co_runs,
	    ta->ta_spec.sp_name, ta->ta_what,
	    100.0 * done / co->co_nops, co->co_nops);
	(void)fprintf(stderr, "\r%-78.78s", line);
	(void)fflush(stderr);
}

/* All of it, unless a signal comes or the child ends: then false. */
static bool
get(int fd, void *data, size_t size)
{
	struct pollfd pf = { .fd = fd, .events = POLLIN };

	while (size > 0) {
		ssize_t n;

		if (ctl_caught() != 0)
			return (false);
		if (poll(&pf, 1, POLL_MS) <= 0)
			continue;
		n = read(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (false);
		data = (char *)data + n;
		size -= (size_t)n;
	}
	return (true);
}

/* Until the result is there: true; false: it ended without one. */
static bool
listen_to(const struct task *ta, int fd, void *result, size_t size,
    int *errorp, char broken[BROKEN_MAX])
{
	struct head hd;
	uint32_t done;

	while (get(fd, &hd, sizeof(hd))) {
		if (hd.hd_message == MSG_PROGRESS) {
			if (hd.hd_size != sizeof(done) ||
			    !get(fd, &done, sizeof(done)))
				return (false);
			progress(ta, done);
		} else if (hd.hd_message == MSG_ERROR) {
			return (hd.hd_size == sizeof(*errorp) &&
			    get(fd, errorp, sizeof(*errorp)) && false);
		} else if (hd.hd_message == MSG_BROKEN) {
			return (hd.hd_size == BROKEN_MAX &&
			    get(fd, broken, BROKEN_MAX) && false);
		} else
			return (hd.hd_size == size && get(fd, result, size));
	}
	return (false);
}

static void
say_failed(struct compare_row *cr, const struct task *ta, int error,
    const char *broken, int status)
{
	if (cr->cr_failed != NULL)
		return;
	if (broken[0] != '\0')
		(void)snprintf(cr->cr_why, sizeof(cr->cr_why), "%s: %s",
		    ta->ta_what, broken);
	else if (error != 0)
		(void)snprintf(cr->cr_why, sizeof(cr->cr_why), "%s: %s",
		    ta->ta_what, strerror(error));
	else if (WIFSIGNALED(status))
		(void)snprintf(cr->cr_why, sizeof(cr->cr_why),
		    "%s: ended by signal %d", ta->ta_what, WTERMSIG(status));
	else
		(void)snprintf(cr->cr_why, sizeof(cr->cr_why),
		    "%s: ended with %d and no result", ta->ta_what,
		    WEXITSTATUS(status));
	cr->cr_failed = cr->cr_why;
}

static enum ctl_exit
run_task(struct compare *co, struct compare_row *cr, struct task *ta,
    void *result, size_t size)
{
	char broken[BROKEN_MAX] = "";
	int fds[2], status = 0, error = 0;
	bool there;
	pid_t pid;

	ta->ta_compare = co;
	progress(ta, 0);
	(void)fflush(stdout);
	if (pipe(fds) != 0)
		return (ctl_fail(co->co_ctl, CTL_USAGE, "pipe", "compare: %s",
		    strerror(errno)));
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		child(ta, fds[1]);
	}
	error = pid < 0 ? errno : 0;
	(void)close(fds[1]);
	if (error != 0) {
		(void)close(fds[0]);
		return (ctl_fail(co->co_ctl, CTL_USAGE, "fork", "compare: %s",
		    strerror(error)));
	}
	there = listen_to(ta, fds[0], result, size, &error, broken);
	(void)close(fds[0]);
	if (!there)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (ctl_caught() != 0)
		return ((enum ctl_exit)ctl_caught());
	if (!there)
		say_failed(cr, ta, error, broken, status);
	co->co_runs_done++;
	return (CTL_DONE);
}

/* ---- the runs of a row -------------------------------------------------- */

static enum ctl_exit
run_shortages(struct compare *co, struct compare_row *cr)
{
	uint64_t most = cr->cr_base.rr_end.ms_records_peak;
	enum ctl_exit code = CTL_DONE;

	/* libvmem's gauges are read at the peak, and have what is there before
	 * the first range. */
	if (cr->cr_base.rr_sample.ms_records_peak > most)
		most = cr->cr_base.rr_sample.ms_records_peak;
	most -= cr->cr_base.rr_begin.ms_records_peak;
	for (unsigned int i = 0; code == CTL_DONE && i < COMPARE_SHORTAGES &&
	     co->co_short[i] != 0; i++) {
		struct task ta = { .ta_spec = cr->cr_spec, .ta_threads = 1,
			.ta_what = "short of records" };

		cr->cr_short[i].percent = co->co_short[i];
		cr->cr_short[i].records = most * co->co_short[i] / 100;
		if (cr->cr_short[i].records == 0)
			cr->cr_short[i].records = 1;
		ta.ta_spec.sp_records_max = cr->cr_short[i].records;
		code = run_task(co, cr, &ta, &cr->cr_short[i].result,
		    sizeof(cr->cr_short[i].result));
	}
	return (code);
}

static enum ctl_exit
run_threads(struct compare *co, struct compare_row *cr)
{
	enum ctl_exit code = CTL_DONE;
	unsigned int i = 0;

	for (unsigned int t = 1; code == CTL_DONE && t <= co->co_threads_max;
	     t *= 2, i++) {
		struct task ta = { .ta_spec = cr->cr_spec, .ta_threads = t,
			.ta_watch = true, .ta_what = "threads" };

		cr->cr_threads[i].threads = t;
		code = run_task(co, cr, &ta, &cr->cr_threads[i].result,
		    sizeof(cr->cr_threads[i].result));
	}
	return (code);
}

enum ctl_exit
compare_run_row(struct compare *co, struct compare_row *cr)
{
	struct task ta = { .ta_spec = cr->cr_spec, .ta_threads = 1,
		.ta_what = "replay" };
	enum ctl_exit code;

	code = run_task(co, cr, &ta, &cr->cr_base, sizeof(cr->cr_base));
	if (code == CTL_DONE && cr->cr_failed == NULL)
		code = run_shortages(co, cr);
	if (code == CTL_DONE && cr->cr_failed == NULL)
		code = run_threads(co, cr);
	for (unsigned int i = 0; code == CTL_DONE && cr->cr_failed == NULL &&
	     i < COMPARE_SWEEPS; i++) {
		ta.ta_threads = 0;
		ta.ta_ranges = compare_sweeps[i];
		ta.ta_what = "lookups";
		code = run_task(co, cr, &ta, &cr->cr_lookups[i],
		    sizeof(cr->cr_lookups[i]));
	}
	return (code);
}
