/*
 * soak_run.c - the run: see soak.h.
 *
 *	baseline -> workers forked, the daemon's half started -> go
 *	  each tick: who has ended?  who is to be killed?  an interval? a check?
 *	all have ended -> connections gone -> check, reap, last look
 *
 * A run ends by time or operations (the workers see to that themselves), by a
 * finding, by a signal, or by the daemon's end.  Workers then verify and free
 * what they hold; who doesn't within END_MAX_S is killed, and that is a
 * finding.
 */
#include "config.h"

#include "client/soak.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/fetch.h"
#include "util/clock.h"

#define TICK_NS 20000000
#define END_MAX_S 60
#define GONE_MAX_S 20		/* for the daemon to see that clients are gone */
#define LEAK_PAGES_MAX 1000
#define NS UINT64_C(1000000000)

static volatile sig_atomic_t status_wanted;

static void
on_status(int signo)
{
	(void)signo;
	status_wanted = 1;
}

void
soak_note_finding(struct soak_run *sr, const char *fmt, ...)
{
	char text[SOAK_FINDING_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sr->sr_own_violations++;
	if (sr->sr_finding[0] == '\0')
		memcpy(sr->sr_finding, text, sizeof(text));
	if (sr->sr_shared != NULL)
		atomic_store(&sr->sr_shared->ss_control.co_stop, 1);
}

/* ---- workers ------------------------------------------------------------ */

static enum ctl_exit
make_shared(struct soak_run *sr)
{
	const struct job *job = sr->sr_job;
	unsigned int slot = 0, owner = 1;
	struct soak_shared *ss;

	sr->sr_workers = job_workers(job, JOB_CLIENT);
	sr->sr_shared_bytes = sizeof(struct soak_shared) +
	    sr->sr_workers * sizeof(struct soak_slot);
	ss = mmap(NULL, sr->sr_shared_bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ss == MAP_FAILED)
		return (ctl_fail(sr->sr_ctl, CTL_USAGE, "no_memory",
		    "soak: no memory for %u workers", sr->sr_workers));
	sr->sr_shared = ss;
	for (unsigned int g = 0; g < job->jo_group_count; g++) {
		const struct job_group *jg = &job->jo_groups[g];
		unsigned int givers = 0;

		for (unsigned int i = 0; i < job->jo_group_count; i++)
			if (job->jo_groups[i].jg_freer == g)
				givers += (unsigned int)
				    job->jo_groups[i].jg_workers;
		handover_init(&ss->ss_handover[g], givers);
		for (unsigned int i = 0; i < jg->jg_workers; i++, owner++) {
			struct soak_slot *sl = &ss->ss_slots[slot];

			if (jg->jg_where != JOB_CLIENT)
				continue;
			slot++;
			sl->sl_group = g;
			sl->sl_index = i;
			sl->sl_owner = owner;
			soak_tally_init(&sl->sl_tally);
		}
	}
	return (CTL_DONE);
}

static enum ctl_exit
fork_worker(struct soak_run *sr, struct soak_slot *sl)
{
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	if (pid < 0)
		return (ctl_fail(sr->sr_ctl, CTL_USAGE, "fork",
		    "soak: can't start a worker: %s", strerror(errno)));
	if (pid == 0)
		soak_worker_main(sr, sl);
	sl->sl_pid = pid;	/* the slot is shared with the child */
	sl->sl_running = true;
	sr->sr_running++;
	atomic_store(&sl->sl_tally.ta_lives, sl->sl_life + 1);
	return (CTL_DONE);
}

static const char *
group_name(const struct soak_run *sr, const struct soak_slot *sl)
{
	return (sr->sr_job->jo_groups[sl->sl_group].jg_name);
}

/* One has ended: by itself, by our hand, or as it shouldn't. */
static void
worker_ended(struct soak_run *sr, struct soak_slot *sl, int status)
{
	_Atomic unsigned char *dying =
	    &sr->sr_shared->ss_control.co_dying[sl->sl_owner];
	bool killed = atomic_load(dying) != 0 && WIFSIGNALED(status) &&
	    WTERMSIG(status) == SIGKILL;

	sl->sl_running = false;
	sr->sr_running--;
	if (killed) {
		if (sr->sr_owners.ow_owners != NULL)
			(void)owners_clear(&sr->sr_owners, sl->sl_owner);
		atomic_store(&sl->sl_tally.ta_live_bytes, 0);
		atomic_store(&sl->sl_tally.ta_live_ranges, 0);
		atomic_store(dying, 0);
		sl->sl_life++;
		if (atomic_load(&sr->sr_shared->ss_control.co_stop) == 0 &&
		    sr->sr_broken == CTL_DONE)
			sr->sr_broken = fork_worker(sr, sl);
		return;
	}
	atomic_store(dying, 0);
	if (WIFSIGNALED(status))
		soak_note_finding(sr, "%s/%u was ended by signal %d: %s",
		    group_name(sr, sl), sl->sl_index, WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0 &&
	    atomic_load(&sl->sl_tally.ta_violations) == 0 &&
	    atomic_load(&sr->sr_shared->ss_control.co_lost) == 0)
		soak_note_finding(sr, "%s/%u ended with %d: no memory?",
		    group_name(sr, sl), sl->sl_index, WEXITSTATUS(status));
}

static void
collect(struct soak_run *sr)
{
	int status;
	pid_t pid;

	while (sr->sr_running > 0 && (pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned int i = 0; i < sr->sr_workers; i++) {
			struct soak_slot *sl = &sr->sr_shared->ss_slots[i];

			if (sl->sl_running && sl->sl_pid == pid) {
				worker_ended(sr, sl, status);
				break;
			}
		}
}

static void
kill_all(struct soak_run *sr)
{
	for (unsigned int i = 0; i < sr->sr_workers; i++) {
		struct soak_slot *sl = &sr->sr_shared->ss_slots[i];

		if (sl->sl_running)
			(void)kill(sl->sl_pid, SIGKILL);
	}
}

/* ---- kills -------------------------------------------------------------- */

/* Kills come at random, as many a second as the group has it. */
static uint64_t
next_kill(struct soak_run *sr, double rate)
{
	return ((uint64_t)(-log(1 - rng_unit(&sr->sr_rng)) / rate * 1e9));
}

static void
kill_one(struct soak_run *sr, unsigned int group)
{
	uint64_t n = sr->sr_job->jo_groups[group].jg_workers;
	uint64_t which = rng_below(&sr->sr_rng, n);

	for (unsigned int i = 0; i < sr->sr_workers; i++) {
		struct soak_slot *sl = &sr->sr_shared->ss_slots[i];

		if (sl->sl_group != group || which-- > 0)
			continue;
		/* Said before it is done: see was_dying() in lib/soak. */
		if (!sl->sl_running)
			return;
		atomic_store(
		    &sr->sr_shared->ss_control.co_dying[sl->sl_owner], 1);
		(void)kill(sl->sl_pid, SIGKILL);
		(void)atomic_fetch_add(&sl->sl_tally.ta_kills, 1);
		return;
	}
}

static void
kills(struct soak_run *sr, uint64_t now)
{
	const struct job *job = sr->sr_job;
	uint64_t duration = job->jo_duration_ns;

	/* Not in the last moment: who is restarted should do something. */
	if (duration != 0 && now - sr->sr_start_ns + NS / 2 > duration)
		return;
	for (unsigned int g = 0; g < job->jo_group_count; g++) {
		double rate = job->jo_groups[g].jg_kill;

		if (!(rate > 0))
			continue;
		if (sr->sr_kill_due[g] == 0)
			sr->sr_kill_due[g] = now + next_kill(sr, rate);
		if (now < sr->sr_kill_due[g])
			continue;
		sr->sr_kill_due[g] = now + next_kill(sr, rate);
		kill_one(sr, g);
	}
}

/* ---- the daemon's half -------------------------------------------------- */

static enum ctl_exit
start_daemon_job(struct soak_run *sr)
{
	char *text, *params;
	enum ctl_exit code;
	json_t *object, *id;

	if (job_workers(sr->sr_job, JOB_DAEMON) == 0)
		return (CTL_DONE);
	text = job_text(sr->sr_job);
	object = json_pack("{s:s}", "job", text != NULL ? text : "");
	params = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	free(text);
	id = fetch(sr->sr_ctl, "soak.start", params, &code);
	free(params);
	sr->sr_daemon_job = fetch_u64(id, "id", 0);
	json_decref(id);
	return (code);
}

/* Its sums, by group, into the run's. */
static void
take_groups(struct soak_run *sr, const json_t *status)
{
	const json_t *groups = json_object_get(status, "groups");
	const char *finding =
	    json_string_value(json_object_get(status, "finding"));

	for (unsigned int g = 0; g < sr->sr_job->jo_group_count; g++) {
		const struct job_group *jg = &sr->sr_job->jo_groups[g];
		struct soak_sum su;

		if (jg->jg_where != JOB_DAEMON)
			continue;
		if (soak_sum_parse(json_object_get(groups, jg->jg_name), &su) ==
		    0)
			soak_sum_add(&sr->sr_sums[g], &su);
		soak_sum_fini(&su);
	}
	if (finding != NULL && finding[0] != '\0') {
		if (sr->sr_finding[0] == '\0')
			(void)snprintf(sr->sr_finding, sizeof(sr->sr_finding),
			    "%s", finding);
		atomic_store(&sr->sr_shared->ss_control.co_stop, 1);
	}
	sr->sr_daemon_done = !json_is_true(json_object_get(status, "running"));
}

/* What it says is kept: once it has been stopped, it is no more. */
static enum ctl_exit
ask_daemon_job(struct soak_run *sr, const char *method)
{
	enum ctl_exit code = CTL_DONE;
	char params[64];
	json_t *status;

	if (sr->sr_daemon_job != 0 && sr->sr_broken == CTL_DONE) {
		(void)snprintf(params, sizeof(params), "{\"id\":%" PRIu64 "}",
		    sr->sr_daemon_job);
		status = fetch(sr->sr_ctl, method, params, &code);
		if (status != NULL) {
			json_decref(sr->sr_daemon_status);
			sr->sr_daemon_status = status;
		}
	}
	if (sr->sr_daemon_status != NULL)
		take_groups(sr, sr->sr_daemon_status);
	return (code);
}

/* ---- books -------------------------------------------------------------- */

/* A worker has lost the daemon: the run is broken off, with no finding. */
static void
note_loss(struct soak_run *sr)
{
	const struct soak_control *co = &sr->sr_shared->ss_control;

	if (sr->sr_finding[0] != '\0' ||
	    atomic_load_explicit(&co->co_lost, memory_order_acquire) == 0)
		return;
	memcpy(sr->sr_finding, co->co_first, sizeof(sr->sr_finding));
	/* The parent may have seen it first. */
	if (sr->sr_broken == CTL_DONE)
		sr->sr_broken = ctl_fail(sr->sr_ctl, CTL_UNREACHED, "lost",
		    "soak: %s", sr->sr_finding);
}

/* All sums anew: the workers' books, and what the daemon says. */
static enum ctl_exit
sum_up(struct soak_run *sr, const char *method)
{
	unsigned int groups = sr->sr_job->jo_group_count;
	enum ctl_exit code;

	for (unsigned int g = 0; g < groups; g++) {
		soak_sum_fini(&sr->sr_sums[g]);
		soak_sum_init(&sr->sr_sums[g]);
	}
	for (unsigned int i = 0; i < sr->sr_workers; i++) {
		const struct soak_slot *sl = &sr->sr_shared->ss_slots[i];

		soak_sum_tally(&sr->sr_sums[sl->sl_group], &sl->sl_tally);
	}
	code = ask_daemon_job(sr, method);
	soak_sum_fini(&sr->sr_total);
	soak_sum_init(&sr->sr_total);
	for (unsigned int g = 0; g < groups; g++)
		soak_sum_add(&sr->sr_total, &sr->sr_sums[g]);
	if (sr->sr_finding[0] == '\0' &&
	    atomic_load(&sr->sr_shared->ss_control.co_violations) != 0)
		memcpy(sr->sr_finding, sr->sr_shared->ss_control.co_first,
		    sizeof(sr->sr_finding));
	return (code);
}

/* ---- ticks -------------------------------------------------------------- */

static enum ctl_exit
check(struct soak_run *sr)
{
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	struct vmemclient *vc;
	enum ctl_exit code = ctl_connect(sr->sr_ctl, &vc);
	char params[128];
	int error;

	if (code != CTL_DONE)
		return (code);
	(void)snprintf(
	    params, sizeof(params), "{\"arena\":%s}", sr->sr_arena_json);
	error = vmemclient_call(
	    vc, "check", params, sr->sr_ctl->ct_timeout_ms, &reply);
	if (error != 0)
		code = ctl_broken(sr->sr_ctl, "check", error);
	else if (reply.code != 0 && ctl_exit_of(reply.code) == CTL_FAILED)
		soak_note_finding(sr, "check: %s", reply.message);
	else if (reply.code != 0)
		code = ctl_refused(sr->sr_ctl, "check", &reply);
	sr->sr_checks++;
	vmemclient_reply_fini(&reply);
	return (code);
}

/* Once workers free what they hold, the arena is no longer worth a look. */
static bool
still_loaded(const struct soak_run *sr, uint64_t now)
{
	uint64_t duration = sr->sr_job->jo_duration_ns;

	return (atomic_load(&sr->sr_shared->ss_control.co_stop) == 0 &&
	    (duration == 0 || now - sr->sr_start_ns < duration));
}

/* What has come due; a run that was broken off asks for nothing more. */
static void
due(struct soak_run *sr, uint64_t now)
{
	const struct job *job = sr->sr_job;

	if (sr->sr_broken != CTL_DONE)
		return;
	if (now >= sr->sr_interval_due && still_loaded(sr, now)) {
		sr->sr_interval_due = now + job->jo_interval_ns;
		sr->sr_broken = sum_up(sr, "soak.status");
		if (sr->sr_broken == CTL_DONE)
			sr->sr_broken = soak_look(sr, &sr->sr_during, true);
		if (sr->sr_broken == CTL_DONE)
			soak_interval(sr);
		if (sr->sr_progress)
			soak_progress(sr, false);
	}
	if (job->jo_check_ns != 0 && now >= sr->sr_check_due &&
	    sr->sr_broken == CTL_DONE) {
		sr->sr_check_due = now + job->jo_check_ns;
		sr->sr_broken = check(sr);
	}
	if (status_wanted) {
		status_wanted = 0;
		soak_status(sr);
	}
}

static bool
all_ended(const struct soak_run *sr)
{
	return (sr->sr_running == 0 && (sr->sr_daemon_job == 0 ||
	    sr->sr_daemon_done || sr->sr_broken != CTL_DONE));
}

/* Have the daemon's half end, too, and its last word. */
static void
end_daemon_job(struct soak_run *sr)
{
	enum ctl_exit code = sum_up(sr, "soak.stop");

	if (sr->sr_broken == CTL_DONE)
		sr->sr_broken = code;
	sr->sr_daemon_job = 0;
}

static void
wait_for_end(struct soak_run *sr)
{
	const struct timespec tick = { 0, TICK_NS };
	struct soak_control *co = &sr->sr_shared->ss_control;
	uint64_t late = 0;

	while (!all_ended(sr)) {
		uint64_t now;

		(void)nanosleep(&tick, NULL);
		now = clock_ns();
		collect(sr);
		if (sr->sr_interrupted == 0)
			sr->sr_interrupted = ctl_caught();
		note_loss(sr);
		if (sr->sr_interrupted != 0 || sr->sr_broken != CTL_DONE)
			atomic_store(&co->co_stop, 1);
		if (atomic_load(&co->co_stop) == 0) {
			kills(sr, now);
		} else if (late == 0) {
			late = now + END_MAX_S * NS;
			if (sr->sr_broken != CTL_DONE)
				atomic_store(&co->co_abandon, 1);
			end_daemon_job(sr);
		} else if (now > late) {
			soak_note_finding(sr, "%u workers didn't end within %d"
			    " s", sr->sr_running, END_MAX_S);
			kill_all(sr);
			late = UINT64_MAX;
		}
		due(sr, now);
		/* Between intervals, when only the daemon's half runs on. */
		if (sr->sr_running == 0 && sr->sr_daemon_job != 0 &&
		    !sr->sr_daemon_done && sr->sr_broken == CTL_DONE)
			sr->sr_broken = sum_up(sr, "soak.status");
	}
}

/* ---- begin and end ------------------------------------------------------ */

/* A short run is looked at halfway. */
static uint64_t
first_interval(const struct job *job)
{
	uint64_t half = job->jo_duration_ns / 2;

	return (half != 0 && half < job->jo_interval_ns ? half :
		job->jo_interval_ns);
}

static enum ctl_exit
begin(struct soak_run *sr)
{
	struct sigaction sa = { .sa_handler = on_status,
		.sa_flags = SA_RESTART };
	enum ctl_exit code = make_shared(sr);

	if (code == CTL_DONE)
		code = soak_settle(sr);
	if (code == CTL_DONE)
		code = soak_look(sr, &sr->sr_first, true);
	if (code != CTL_DONE)
		return (code);
	(void)sigaction(SIGUSR1, &sa, NULL);
	ctl_catch();
	for (unsigned int i = 0; i < sr->sr_workers && code == CTL_DONE; i++)
		code = fork_worker(sr, &sr->sr_shared->ss_slots[i]);
	if (code == CTL_DONE && sr->sr_record != NULL)
		code = soak_record(
		    sr->sr_ctl, sr->sr_arena_json, sr->sr_record);
	if (code == CTL_DONE)
		code = soak_sabotage(sr, true);
	if (code == CTL_DONE)
		code = start_daemon_job(sr);
	if (code != CTL_DONE)
		return (code);
	sr->sr_start_ns = clock_ns();
	sr->sr_interval_due = sr->sr_start_ns + first_interval(sr->sr_job);
	sr->sr_check_due = sr->sr_start_ns + sr->sr_job->jo_check_ns;
	sr->sr_started = true;
	atomic_store(
	    &sr->sr_shared->ss_control.co_start_ns, sr->sr_start_ns);
	return (CTL_DONE);
}

/* The workers' connections have ended; the daemon hears of it, and gives back
 * what they held, when it gets to it. */
static enum ctl_exit
await_gone(struct soak_run *sr)
{
	const struct timespec tick = { 0, TICK_NS };
	uint64_t until = clock_ns() + GONE_MAX_S * NS;
	enum ctl_exit code;

	do {
		code = soak_look(sr, &sr->sr_last, false);
		if (code != CTL_DONE ||
		    sr->sr_last.lo_clients <= sr->sr_first.lo_clients)
			break;
		(void)nanosleep(&tick, NULL);
	} while (clock_ns() < until);
	return (code);
}

/* What was handed over outlives its maker: if anything is left of it, somebody
 * was ended before he could free it, or has lost it. */
static enum ctl_exit
free_handed_over(struct soak_run *sr)
{
	enum ctl_exit code = CTL_DONE;
	char params[192];
	json_t *freed;

	(void)snprintf(params, sizeof(params), "{\"arena\":%s,\"tag\":\"%s\"}",
	    sr->sr_arena_json, sr->sr_tag);
	freed = fetch(sr->sr_ctl, "free", params, &code);
	if (fetch_u64(freed, "freed", 0) != 0 && sr->sr_finding[0] == '\0')
		soak_note_finding(sr, "%" PRIu64 " ranges that were handed over"
		    " were never freed", fetch_u64(freed, "freed", 0));
	json_decref(freed);
	return (code);
}

/* Did one of our workers free that range? */
static bool
tell_leak(struct soak_run *sr, uint64_t addr, uint64_t size)
{
	for (unsigned int i = 0; i < sr->sr_workers; i++) {
		const struct soak_slot *sl = &sr->sr_shared->ss_slots[i];
		uint64_t op;

		if (!soak_find_freed(&sl->sl_tally, addr, size,
			sr->sr_space.sp_quantum, &op))
			continue;
		soak_note_finding(sr, "%s/%u operation %" PRIu64 ": leak: 0x%"
		    PRIx64 " (%" PRIu64 " bytes) was freed, and is still"
		    " allocated (seed %" PRIu64 ")", group_name(sr, sl),
		    sl->sl_index, op, addr, size, sr->sr_job->jo_seed);
		return (true);
	}
	return (false);
}

/* No client worker knows of it: one in vmemd, or it was too long ago. */
static void
tell_unknown_leak(struct soak_run *sr, uint64_t addr, uint64_t size)
{
	uint64_t more = sr->sr_last.lo_inuse - sr->sr_first.lo_inuse;

	if (sr->sr_finding[0] != '\0')
		return;
	/* In an arena that was empty, whatever there is shouldn't be. */
	if (sr->sr_first.lo_inuse == 0 && size != 0)
		soak_note_finding(sr, "leak: %" PRIu64 " bytes are still"
		    " allocated, first 0x%" PRIx64 " (%" PRIu64 " bytes), which"
		    " none of the %u client workers has freed lately (seed %"
		    PRIu64 ")", more, addr, size, sr->sr_workers,
		    sr->sr_job->jo_seed);
	else
		soak_note_finding(sr, "leak: %" PRIu64 " bytes more than before"
		    " are allocated, of which none of the %u client workers has"
		    " freed any lately (seed %" PRIu64 ")", more,
		    sr->sr_workers, sr->sr_job->jo_seed);
}

/* What is in use that wasn't before: go through the arena's segments. */
static enum ctl_exit
find_leak(struct soak_run *sr)
{
	enum ctl_exit code = CTL_DONE;
	char params[256], cursor[64] = "";
	uint64_t first = 0, size = 0;
	bool told = false;

	for (unsigned int page = 0; page < LEAK_PAGES_MAX && !told; page++) {
		json_t *dump, *entries, *entry;
		const char *next;
		size_t i;

		(void)snprintf(params, sizeof(params), "{\"arena\":%s,\"what\":"
		    "\"segments\",\"limit\":1000%s%s%s}", sr->sr_arena_json,
		    cursor[0] != '\0' ? ",\"cursor\":\"" : "", cursor,
		    cursor[0] != '\0' ? "\"" : "");
		dump = fetch(sr->sr_ctl, "dump", params, &code);
		if (dump == NULL)
			break;
		entries = json_object_get(dump, "entries");
		json_array_foreach(entries, i, entry) {
			if (size == 0) {
				first = fetch_u64(entry, "addr", 0);
				size = fetch_u64(entry, "size", 0);
			}
			told = told || tell_leak(sr,
			    fetch_u64(entry, "addr", 0),
			    fetch_u64(entry, "size", 0));
		}
		next = json_string_value(json_object_get(dump, "cursor"));
		(void)snprintf(cursor, sizeof(cursor), "%s",
		    next != NULL ? next : "");
		json_decref(dump);
		if (next == NULL)
			break;
	}
	if (code == CTL_DONE && !told)
		tell_unknown_leak(sr, first, size);
	return (code);
}

static enum ctl_exit
stop_recording(struct soak_run *sr)
{
	enum ctl_exit code;
	char params[128];

	(void)snprintf(
	    params, sizeof(params), "{\"arena\":%s}", sr->sr_arena_json);
	json_decref(fetch(sr->sr_ctl, "record.stop", params, &code));
	return (code);
}

static enum ctl_exit
finish(struct soak_run *sr)
{
	enum ctl_exit code = sr->sr_broken;

	sr->sr_end_ns = clock_ns();
	if (code == CTL_DONE && sr->sr_record != NULL)
		code = stop_recording(sr);
	/* What is on purpose ends before the end is judged. */
	if (code == CTL_DONE)
		code = soak_sabotage(sr, false);
	if (code == CTL_DONE)
		code = await_gone(sr);
	if (code == CTL_DONE)
		code = free_handed_over(sr);
	if (code == CTL_DONE)
		code = check(sr);
	if (code == CTL_DONE)
		code = soak_settle(sr);
	if (code == CTL_DONE)
		code = soak_look(sr, &sr->sr_last, true);
	if (code == CTL_DONE && sr->sr_last.lo_inuse > sr->sr_first.lo_inuse)
		code = find_leak(sr);
	return (code);
}

enum ctl_exit
soak_run(struct soak_run *sr)
{
	enum ctl_exit code;

	sr->sr_pid = getpid();
	(void)snprintf(sr->sr_tag, sizeof(sr->sr_tag), "soak-%d",
	    (int)sr->sr_pid);
	rng_init(&sr->sr_rng, sr->sr_job->jo_seed);
	soak_sum_init(&sr->sr_total);
	soak_sum_init(&sr->sr_before);
	sr->sr_sums = calloc(sr->sr_job->jo_group_count + 1,
	    sizeof(sr->sr_sums[0]));
	if (sr->sr_sums == NULL)
		return (ctl_fail(sr->sr_ctl, CTL_USAGE, "no_memory",
		    "soak: out of memory"));
	for (unsigned int g = 0; g < sr->sr_job->jo_group_count; g++)
		soak_sum_init(&sr->sr_sums[g]);
	code = begin(sr);
	if (code != CTL_DONE) {
		sr->sr_broken = code;
		if (sr->sr_shared != NULL)
			kill_all(sr);
		if (code != CTL_UNREACHED)
			(void)soak_sabotage(sr, false);
		return (code);
	}
	wait_for_end(sr);
	note_loss(sr);
	if (sr->sr_broken == CTL_UNREACHED && sr->sr_finding[0] == '\0')
		(void)strcpy(sr->sr_finding, "the daemon broke off");
	end_daemon_job(sr);
	if (sr->sr_progress)
		soak_progress(sr, true);
	code = finish(sr);
	if (sr->sr_broken == CTL_DONE)
		sr->sr_broken = code;
	return (CTL_DONE);
}
