/*
 * soak_target.c - a client worker: its process, and its operations as requests.
 *
 * One request at a time: what is measured is what a client sees.  A worker
 * holds nothing that the parent needs: killed at any moment, its books and its
 * claims are in shared memory, its ranges the daemon's to free.
 */
#include "config.h"

#include "client/soak.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "client/range.h"
#include "client/scan.h"
#include "proto/base64.h"
#include "proto/errors.h"
#include "util/clock.h"
#include "util/pattern.h"

/* No reply for so long: the daemon is stuck. */
#define REPLY_MS 60000
/* Who waits looks this often whether the run ends... */
#define LOOK_MS 100
/* ... and a reply so long after its time was up never comes. */
#define WAKE_GRACE_MS 5000
#define DATA_MAX 4096
#define READY_NS 200000

struct link {
	struct vmemclient *ln_conn;
	struct vmemclient_reply ln_reply;
	const char *ln_arena;		/* in JSON */
	const char *ln_tag;		/* of what is handed over */
	unsigned int ln_number;		/* of arenas made */
	char ln_params[2 * DATA_MAX + 256];
};

static const char *const fits[] = { "instant", "best", "first", "next",
	"last" };

/* ---- calls -------------------------------------------------------------- */

static enum soak_outcome
lost(struct soak_result *sr, const char *method, int error)
{
	(void)snprintf(sr->sr_text, sizeof(sr->sr_text), "%s: %s", method,
	    error == ETIMEDOUT ? "no reply for a minute" :
	    error == ECONNRESET ? "the daemon broke off the connection" :
	    strerror(error));
	return (SOAK_LOST);
}

/* What the daemon answered, as an outcome. */
static enum soak_outcome
outcome_of(struct link *ln, const char *method, struct soak_result *sr)
{
	const struct vmemclient_reply *reply = &ln->ln_reply;

	switch (reply->code) {
	case 0:
		return (SOAK_DONE);
	case PE_NO_SPACE:
		sr->sr_cause = JOB_NO_SPACE;
		return (SOAK_FAILED);
	case PE_NO_FRAMES:
		sr->sr_cause = JOB_NO_FRAMES;
		return (SOAK_FAILED);
	case PE_QUOTA:
		sr->sr_cause = JOB_QUOTA;
		return (SOAK_FAILED);
	case PE_TIMED_OUT:
		sr->sr_cause = JOB_TIMED_OUT;
		return (SOAK_FAILED);
	case PE_EXISTS:
		sr->sr_cause = JOB_EXISTS;
		return (SOAK_FAILED);
	case PE_CANCELLED:
		return (SOAK_STOPPED);
	default:
		(void)snprintf(sr->sr_text, sizeof(sr->sr_text), "%s%s: %s: %s",
		    reply->code == PE_MISMATCH ? "bytes changed: " : "", method,
		    reply->name != NULL ? reply->name : "error",
		    reply->message != NULL ? reply->message : "");
		return (SOAK_WRONG);
	}
}

static enum soak_outcome
call(struct link *ln, const char *method, struct soak_result *sr)
{
	int error = vmemclient_call(
	    ln->ln_conn, method, ln->ln_params, REPLY_MS, &ln->ln_reply);

	if (error != 0)
		return (lost(sr, method, error));
	return (outcome_of(ln, method, sr));
}

/* About a part of a range; more members follow. */
static int
about(struct link *ln, const struct job_range *ra, uint64_t offset)
{
	return (snprintf(ln->ln_params, sizeof(ln->ln_params),
	    "{\"arena\":%s,\"addr\":\"0x%" PRIx64 "\"", ln->ln_arena,
	    ra->ra_addr + offset));
}

/* ---- alloc, free -------------------------------------------------------- */

/* Numbers above 2^63-1 are strings. */
static int
put_wishes(char *to, size_t room, const struct job_want *jw)
{
	int n = 0;

	if (jw->jw_align != 0)
		n += snprintf(to + n, room - (size_t)n, ",\"align\":%" PRIu64,
		    jw->jw_align);
	if (jw->jw_nocross != 0)
		n += snprintf(to + n, room - (size_t)n, ",\"nocross\":%" PRIu64,
		    jw->jw_nocross);
	if (jw->jw_at)
		n += snprintf(to + n, room - (size_t)n,
		    ",\"at\":\"0x%" PRIx64 "\"", jw->jw_min);
	else if (jw->jw_max != UINT64_MAX)
		n += snprintf(to + n, room - (size_t)n, ",\"min\":\"0x%" PRIx64
		    "\",\"max\":\"0x%" PRIx64 "\"", jw->jw_min, jw->jw_max);
	if (jw->jw_fit >= 0)
		n += snprintf(to + n, room - (size_t)n, ",\"fit\":\"%s\"",
		    fits[jw->jw_fit]);
	return (n);
}

/*
 * An allocation that may wait: its reply is looked for until its time is up and
 * a while longer, which is counted in looks: if everything was stopped for a
 * while, both ends were.  When the run ends meanwhile, it is cancelled.
 */
static enum soak_outcome
await(struct soak_worker *sw, struct link *ln, uint64_t id,
    struct soak_result *sr)
{
	struct vmemclient_reply other = VMEMCLIENT_REPLY_INIT;
	int64_t looks = (sw->sw_group->jg_sleep_ms + WAKE_GRACE_MS) / LOOK_MS;
	bool cancelled = false;
	char params[64];
	int error;

	do {
		error = vmemclient_receive_id(
		    ln->ln_conn, id, LOOK_MS, &ln->ln_reply);
		if (error == ETIMEDOUT && soak_stopping(sw) && !cancelled) {
			cancelled = true;
			(void)snprintf(params, sizeof(params),
			    "{\"id\":%" PRIu64 "}", id);
			error = vmemclient_call(ln->ln_conn, "cancel", params,
			    REPLY_MS, &other);
			if (error == 0)
				error = ETIMEDOUT;
		}
	} while (error == ETIMEDOUT && looks-- > 0);
	vmemclient_reply_fini(&other);
	if (error == 0)
		return (outcome_of(ln, "alloc", sr));
	if (error != ETIMEDOUT)
		return (lost(sr, "alloc", error));
	(void)snprintf(sr->sr_text, sizeof(sr->sr_text), "lost wake-up: an"
	    " allocation with sleep_ms %" PRId64 " is unanswered %d ms after"
	    " its time", sw->sw_group->jg_sleep_ms, WAKE_GRACE_MS);
	return (SOAK_WRONG);
}

static enum soak_outcome
do_alloc(struct soak_worker *sw, const struct job_want *jw,
    struct job_range *ra, struct soak_result *sr)
{
	struct link *ln = sw->sw_own;
	int64_t sleep_ms = jw->jw_at ? 0 : sw->sw_group->jg_sleep_ms;
	enum soak_outcome outcome;
	uint64_t id;
	int n, error;

	n = snprintf(ln->ln_params, sizeof(ln->ln_params),
	    "{\"arena\":%s,\"size\":%" PRIu64, ln->ln_arena, jw->jw_size);
	n += put_wishes(
	    ln->ln_params + n, sizeof(ln->ln_params) - (size_t)n, jw);
	if (sleep_ms != 0)
		n += snprintf(ln->ln_params + n,
		    sizeof(ln->ln_params) - (size_t)n,
		    ",\"sleep_ms\":%" PRId64, sleep_ms);
	/* What another connection is to free must outlive this one. */
	if (sw->sw_give != NULL)
		n += snprintf(ln->ln_params + n,
		    sizeof(ln->ln_params) - (size_t)n,
		    ",\"keep\":true,\"tag\":\"%s\"", ln->ln_tag);
	(void)strcpy(ln->ln_params + n, "}");
	if (sleep_ms == 0) {
		outcome = call(ln, "alloc", sr);
	} else {
		error = vmemclient_send(
		    ln->ln_conn, "alloc", ln->ln_params, &id);
		if (error != 0)
			return (lost(sr, "alloc", error));
		outcome = await(sw, ln, id, sr);
	}
	if (outcome != SOAK_DONE)
		return (outcome);
	if (range_of_result(ln->ln_reply.result, &ra->ra_addr, &ra->ra_size) &&
	    ra->ra_size != 0)
		return (SOAK_DONE);
	(void)snprintf(sr->sr_text, sizeof(sr->sr_text),
	    "alloc was answered by %.80s", ln->ln_reply.result);
	return (SOAK_WRONG);
}

static enum soak_outcome
do_free(struct soak_worker *sw, const struct job_range *ra,
    struct soak_result *sr)
{
	struct link *ln = sw->sw_own;

	(void)strcpy(ln->ln_params + about(ln, ra, 0), "}");
	return (call(ln, "free", sr));
}

/* ---- bytes -------------------------------------------------------------- */

static enum soak_outcome
do_touch(struct soak_worker *sw, const struct job_range *ra,
    struct soak_result *sr)
{
	struct link *ln = sw->sw_own;

	(void)strcpy(ln->ln_params + about(ln, ra, 0), ",\"write\":true}");
	return (call(ln, "touch", sr));
}

static enum soak_outcome
patterned(struct soak_worker *sw, const char *method,
    const struct job_range *ra, uint64_t offset, uint64_t len, uint64_t seed,
    struct soak_result *sr)
{
	struct link *ln = sw->sw_own;
	int n = about(ln, ra, offset);

	(void)snprintf(ln->ln_params + n, sizeof(ln->ln_params) - (size_t)n,
	    ",\"len\":%" PRIu64 ",\"seed\":%" PRIu64 "}", len, seed);
	return (call(ln, method, sr));
}

static enum soak_outcome
do_fill(struct soak_worker *sw, const struct job_range *ra, uint64_t offset,
    uint64_t len, uint64_t seed, struct soak_result *sr)
{
	return (patterned(sw, "fill", ra, offset, len, seed, sr));
}

static enum soak_outcome
do_verify(struct soak_worker *sw, const struct job_range *ra, uint64_t offset,
    uint64_t len, uint64_t seed, struct soak_result *sr)
{
	return (patterned(sw, "verify", ra, offset, len, seed, sr));
}

/* The bytes that a read gives, decoded; SOAK_DONE: all of them are there. */
static enum soak_outcome
fetch(struct soak_worker *sw, const struct job_range *ra, uint64_t offset,
    uint64_t len, char *bytes, struct soak_result *sr)
{
	static const char *const names[] = { "data" };
	struct link *ln = sw->sw_own;
	int n = about(ln, ra, offset);
	enum soak_outcome outcome;
	const char *result;
	struct span sp;
	size_t got = 0;

	(void)snprintf(ln->ln_params + n, sizeof(ln->ln_params) - (size_t)n,
	    ",\"len\":%" PRIu64 "}", len);
	outcome = call(ln, "read", sr);
	if (outcome != SOAK_DONE)
		return (outcome);
	result = ln->ln_reply.result;
	if (scan_members(result, result + strlen(result), names, &sp, 1) == 0 &&
	    sp.sp_start != NULL &&
	    (size_t)(sp.sp_end - sp.sp_start) ==
		BASE64_ENCODED((size_t)len) + 2 &&
	    base64_decode(sp.sp_start + 1, BASE64_ENCODED((size_t)len), bytes,
		&got) == 0 && got == len)
		return (SOAK_DONE);
	(void)snprintf(sr->sr_text, sizeof(sr->sr_text),
	    "read of %" PRIu64 " bytes was answered by %.60s", len, result);
	return (SOAK_WRONG);
}

/* Of `fresh` pages: are they zero?  Else: are they the pattern's? */
static enum soak_outcome
compare(struct soak_worker *sw, const struct job_range *ra, uint64_t offset,
    uint64_t len, const uint64_t *seed, struct soak_result *sr)
{
	char bytes[DATA_MAX + 3];
	uint64_t addr = ra->ra_addr + offset, bad = addr;
	enum soak_outcome outcome = fetch(sw, ra, offset, len, bytes, sr);

	if (outcome != SOAK_DONE)
		return (outcome);
	if (seed != NULL) {
		if (pattern_verify(bytes, (size_t)len, addr, *seed, &bad))
			return (SOAK_DONE);
	} else {
		while (bad - addr < len && bytes[bad - addr] == 0)
			bad++;
		if (bad - addr == len)
			return (SOAK_DONE);
	}
	(void)snprintf(sr->sr_text, sizeof(sr->sr_text), "%s: 0x%" PRIx64
	    " holds another byte", seed != NULL ? "bytes changed: read" :
	    "stale bytes: fresh memory isn't zero", bad);
	return (SOAK_WRONG);
}

static enum soak_outcome
do_zero(struct soak_worker *sw, const struct job_range *ra, uint64_t offset,
    uint64_t len, struct soak_result *sr)
{
	return (compare(sw, ra, offset, len, NULL, sr));
}

static enum soak_outcome
do_read(struct soak_worker *sw, const struct job_range *ra, uint64_t offset,
    uint64_t len, uint64_t seed, struct soak_result *sr)
{
	return (compare(sw, ra, offset, len, &seed, sr));
}

static enum soak_outcome
do_write(struct soak_worker *sw, const struct job_range *ra, uint64_t offset,
    uint64_t len, uint64_t seed, struct soak_result *sr)
{
	struct link *ln = sw->sw_own;
	char bytes[DATA_MAX];
	int n = about(ln, ra, offset);

	pattern_fill(bytes, (size_t)len, ra->ra_addr + offset, seed);
	n += sprintf(ln->ln_params + n, ",\"data\":\"");
	base64_encode(bytes, (size_t)len, ln->ln_params + n);
	(void)strcat(ln->ln_params + n, "\"}");
	return (call(ln, "write", sr));
}

/* ---- the rest ----------------------------------------------------------- */

static enum soak_outcome
do_reap(struct soak_worker *sw, struct soak_result *sr)
{
	struct link *ln = sw->sw_own;

	(void)snprintf(ln->ln_params, sizeof(ln->ln_params),
	    "{\"arena\":%s}", ln->ln_arena);
	return (call(ln, "reap", sr));
}

static enum soak_outcome
do_dump(struct soak_worker *sw, struct soak_result *sr)
{
	struct link *ln = sw->sw_own;

	(void)snprintf(ln->ln_params, sizeof(ln->ln_params),
	    "{\"arena\":%s,\"what\":\"segments\",\"limit\":200}",
	    ln->ln_arena);
	return (call(ln, "dump", sr));
}

/* An arena of its own: made, used, and destroyed with what is in it.  Every
 * second one imports what it gives. */
static enum soak_outcome
do_arena(struct soak_worker *sw, struct soak_result *sr)
{
	static const struct {
		const char *method, *name, *rest;
	} steps[] = {
		{ "arena.create", "name", NULL },
		{ "alloc", "arena", ",\"size\":20000,\"count\":3" },
		{ "check", "arena", "" },
		{ "arena.destroy", "arena", ",\"force\":true" }
	};
	struct link *ln = sw->sw_own;
	enum soak_outcome outcome = SOAK_DONE;

	const char *made = ln->ln_number++ % 2 == 0 ?
	    ",\"size\":1048576" : ",\"source\":\"kernel_va\"";

	for (size_t i = 0; i < 4 && outcome == SOAK_DONE; i++) {
		(void)snprintf(ln->ln_params, sizeof(ln->ln_params),
		    "{\"%s\":\"soak-%d-%u\"%s}", steps[i].name,
		    (int)getpid(), ln->ln_number,
		    steps[i].rest != NULL ? steps[i].rest : made);
		outcome = call(ln, steps[i].method, sr);
	}
	return (outcome);
}

static const struct soak_target target = { do_alloc, do_free, do_touch,
	do_zero, do_fill, do_verify, do_read, do_write, do_reap, do_dump,
	do_arena, NULL };
static const struct soak_target target_without_memory = { do_alloc, do_free,
	NULL, NULL, NULL, NULL, NULL, NULL, do_reap, do_dump, do_arena, NULL };

/* ---- the process -------------------------------------------------------- */

/* The terminal's signals are the parent's; and without it there is no run. */
static void
detach(pid_t parent)
{
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGUSR1, SIG_IGN);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

static void
make_worker(struct soak_run *sr, struct soak_slot *sl, struct soak_worker *sw)
{
	const struct job_group *jg = &sr->sr_job->jo_groups[sl->sl_group];
	struct soak_shared *ss = sr->sr_shared;

	*sw = (struct soak_worker) { .sw_job = sr->sr_job, .sw_group = jg,
		.sw_group_index = sl->sl_group, .sw_index = sl->sl_index,
		.sw_owner = sl->sl_owner, .sw_life = sl->sl_life,
		.sw_target = sr->sr_has_memory ? &target :
						 &target_without_memory,
		.sw_control = &ss->ss_control, .sw_tally = &sl->sl_tally,
		.sw_space = sr->sr_space,
		.sw_pattern = sr->sr_has_memory &&
		    sr->sr_job->jo_verify == JOB_VERIFY_PATTERN };
	sw->sw_hash_addresses = job_repeats(sr->sr_job);
	if (sr->sr_job->jo_verify != JOB_VERIFY_OFF)
		sw->sw_owners = &sr->sr_owners;
	if (jg->jg_freer != JOB_NONE)
		sw->sw_give = &ss->ss_handover[jg->jg_freer];
	if (jg->jg_frees)
		sw->sw_take = &ss->ss_handover[sl->sl_group];
}

_Noreturn void
soak_worker_main(struct soak_run *sr, struct soak_slot *sl)
{
	static struct link ln = { .ln_reply = VMEMCLIENT_REPLY_INIT };
	static struct soak_worker sw;
	const struct timespec pause = { 0, READY_NS };
	char why[128];
	int error;

	detach(sr->sr_pid);
	ln.ln_arena = sr->sr_arena_json;
	ln.ln_tag = sr->sr_tag;
	make_worker(sr, sl, &sw);
	sw.sw_own = &ln;
	error = vmemclient_connect(
	    sr->sr_ctl->ct_socket, REPLY_MS, &ln.ln_conn);
	if (error != 0) {
		(void)snprintf(why, sizeof(why), "can't connect: %s",
		    strerror(error));
		soak_lost(&sw, why);
		_exit(1);
	}
	while (atomic_load(&sw.sw_control->co_start_ns) == 0 &&
	    !soak_stopping(&sw))
		(void)nanosleep(&pause, NULL);
	error = soak_worker_run(&sw);
	vmemclient_close(ln.ln_conn);
	/* The parent's streams and handlers are the parent's. */
	_exit(error == 0 ? 0 : 1);
}
