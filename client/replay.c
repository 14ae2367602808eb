/*
 * replay.c - the command `replay`: see replay.h.
 */
#include "config.h"

#include "client/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/args.h"
#include "client/fetch.h"
#include "util/clock.h"

#define PAGE 4096
#define PROGRESS_NS 200000000
/*
 * How many operations the clients may be apart: few beside what is live, and
 * beside the trace, so that the live set stays the trace's; and more than that
 * doesn't make full pipelines any fuller.
 */
#define DRIFT_SHARE 128
#define DRIFT_LIVE_SHARE 4
#define DRIFT_MIN 16u
#define DRIFT_MAX 1024u
/* And how many bytes are few beside what is live, so that the drift's number
 * of operations on as many each stays about as little. */
#define SLACK_SHARE 256
#define WINDOW_MIN 2u
#define WINDOW_MAX 64u

const struct proto_param replay_params[] = {
	{ "trace", PT_STRING, PP_REQUIRED, NULL, NULL, 0, 0,
	    "a trace, NAME.vmt or NAME.vmt.xz" },
	{ "clients", PT_INT, 0, "1", NULL, 1, GATE_CLIENTS_MAX,
	    "connections at once; ids are spread over them" },
	{ "arena", PT_STRING, 0, "heap", NULL, 0, 0,
	    "arena to allocate from; sizes are rounded up to its quantum" },
	{ "fit", PT_ENUM, 0, NULL, "instant best first next last", 0, 0,
	    "strategy (default: the arena's)" },
	{ "speed", PT_ENUM, 0, "max", "max recorded", 0, 0,
	    "as fast as it goes, or by NAME.times.xz beside the trace" },
	{ "max_fails", PT_INT, 0, "0", NULL, 0, INT64_MAX,
	    "refused allocations that are tolerated" },
	{ "verify", PT_ENUM, 0, "overlap", "overlap pattern off", 0, 0,
	    "keep a map of what is given; fill pages and check them, too" },
	{ "stop_at", PT_INT, 0, NULL, NULL, 1, INT64_MAX,
	    "replay only so many operations" },
	{ "progress", PT_BOOL, 0, "false", NULL, 0, 0,
	    "show progress though standard error is no terminal" },
	{ NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }
};

const char replay_help[] =
    "At the end everything is freed, the arena checked, and its bytes in use\n"
    "compared with those before (quantum caches are emptied first, by reap).\n"
    "Exit status: 5 for an overlap, changed bytes, lost bytes or a violation;\n"
    "3 for more refused allocations than --max-fails.\n\n"
    "  vmemctl replay b-sqlite3.vmt.xz --arena kmem --clients 4\n";

/* ---- findings ----------------------------------------------------------- */

void
replay_finding(struct replay *rp, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)pthread_mutex_lock(&rp->rp_lock);
	if (rp->rp_findings_count < REPLAY_FINDINGS_MAX)
		(void)vsnprintf(rp->rp_findings[rp->rp_findings_count],
		    sizeof(rp->rp_findings[0]), fmt, ap);
	rp->rp_findings_count++;
	(void)pthread_mutex_unlock(&rp->rp_lock);
	va_end(ap);
}

/* ---- what is asked ------------------------------------------------------ */

static const char *
text_of(const struct args *ar, const char *name, const char *without)
{
	const json_t *value = json_object_get(ar->ar_own, name);

	return (value != NULL ? json_string_value(value) : without);
}

static uint64_t
number_of(const struct args *ar, const char *name, uint64_t without)
{
	const json_t *value = json_object_get(ar->ar_own, name);

	return (value != NULL ? (uint64_t)json_integer_value(value) : without);
}

static void
take_options(struct replay *rp, const struct args *ar)
{
	const char *verify = text_of(ar, "verify", "overlap");

	rp->rp_path = text_of(ar, "trace", NULL);
	rp->rp_arena = text_of(ar, "arena", "heap");
	rp->rp_fit = text_of(ar, "fit", NULL);
	rp->rp_recorded = strcmp(text_of(ar, "speed", "max"), "recorded") == 0;
	rp->rp_verify = strcmp(verify, "off") == 0 ? VERIFY_OFF :
	    strcmp(verify, "pattern") == 0 ? VERIFY_PATTERN : VERIFY_OVERLAP;
	rp->rp_max_fails = number_of(ar, "max_fails", 0);
	rp->rp_clients_count = (unsigned int)number_of(ar, "clients", 1);
	rp->rp_progress = !rp->rp_ctl->ct_json && isatty(STDERR_FILENO);
	if (json_object_get(ar->ar_own, "progress") != NULL)
		rp->rp_progress =
		    json_is_true(json_object_get(ar->ar_own, "progress"));
}

static enum ctl_exit
load(struct replay *rp, const struct args *ar)
{
	struct trace_error err;
	uint64_t stop_at = number_of(ar, "stop_at", UINT32_MAX);
	uint32_t allocs;

	if (trace_load(rp->rp_path, &rp->rp_trace, &err) != 0 ||
	    (rp->rp_recorded &&
		trace_load_times(rp->rp_trace, rp->rp_path, &err) != 0))
		return (ctl_fail(rp->rp_ctl, CTL_USAGE, "trace", "replay: %s",
		    err.te_text));
	rp->rp_nops = rp->rp_trace->tr_nops;
	if (stop_at < rp->rp_nops)
		rp->rp_nops = (uint32_t)stop_at;
	allocs = rp->rp_trace->tr_allocs;
	rp->rp_ids = calloc((size_t)allocs + 1, sizeof(rp->rp_ids[0]));
	rp->rp_put_off =
	    calloc((size_t)rp->rp_nops + 1, sizeof(rp->rp_put_off[0]));
	if (rp->rp_ids == NULL || rp->rp_put_off == NULL)
		return (ctl_fail(rp->rp_ctl, CTL_USAGE, "no_memory",
		    "replay: no memory for %" PRIu32 " operations",
		    rp->rp_nops));
	return (CTL_DONE);
}

/* ---- the daemon's side -------------------------------------------------- */

static void
limit(struct replay *rp, uint64_t bytes, const char *why)
{
	if (bytes != 0 && bytes < rp->rp_capacity) {
		rp->rp_capacity = bytes;
		rp->rp_capacity_why = why;
	}
}

/* The largest range the arena may ever give. */
static enum ctl_exit
arena_limits(struct replay *rp, json_t *arena)
{
	enum ctl_exit code;
	json_t *root = fetch_root(rp->rp_ctl, arena, &code);

	if (root != NULL)
		limit(rp, fetch_u64(root, "size", 0), "the arena");
	json_decref(root);
	return (code);
}

/* Frames and swap bound a range where memory is committed strictly, and where
 * it is wired. */
static void
memory_limits(struct replay *rp, const json_t *arena, const json_t *info)
{
	const json_t *limits = json_object_get(info, "limits");
	const char *commit =
	    json_string_value(json_object_get(info, "commit"));
	const char *kind =
	    json_string_value(json_object_get(arena, "kind"));

	if (json_is_true(json_object_get(arena, "pageable")) &&
	    commit != NULL && strcmp(commit, "strict") == 0)
		limit(rp, fetch_u64(limits, "frames_bytes", 0) +
		    fetch_u64(limits, "swap_bytes", 0),
		    "frames and swap (strict commit)");
	if (kind != NULL && strcmp(kind, "wired") == 0)
		limit(rp, fetch_u64(limits, "wired_bytes", 0), "wired memory");
}

static enum ctl_exit
inspect_arena(struct replay *rp)
{
	json_t *name = json_string(rp->rp_arena), *arena, *info = NULL;
	char *quoted = json_dumps(name, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	enum ctl_exit code = CTL_USAGE;

	json_decref(name);
	if (quoted == NULL || strlen(quoted) >= sizeof(rp->rp_arena_json)) {
		free(quoted);
		return (ctl_usage(rp->rp_ctl, "replay", "arena",
		    "a name has at most 31 bytes"));
	}
	(void)strcpy(rp->rp_arena_json, quoted);
	free(quoted);
	rp->rp_capacity = UINT64_MAX;
	rp->rp_capacity_why = "the arena";
	rp->rp_page = PAGE;
	arena = fetch_arena(
	    rp->rp_ctl, "arena.info", rp->rp_arena_json, "", &code);
	if (arena == NULL)
		return (code);
	rp->rp_quantum = fetch_u64(arena, "quantum", 1);
	if (rp->rp_quantum == 0)
		rp->rp_quantum = 1;
	code = arena_limits(rp, arena);
	if (code == CTL_DONE)
		info = fetch(rp->rp_ctl, "info", "{}", &code);
	if (info != NULL)
		memory_limits(rp, arena, info);
	json_decref(info);
	json_decref(arena);
	return (code);
}

/* A pattern needs memory: try on one range, rather than fail on each. */
static enum ctl_exit
try_pattern(struct replay *rp)
{
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	char params[800];
	json_t *range;
	const char *addr;
	enum ctl_exit code;

	(void)snprintf(params, sizeof(params), "{\"arena\":%s,\"size\":%" PRIu64
	    "}", rp->rp_arena_json, rp->rp_quantum);
	range = fetch(rp->rp_ctl, "alloc", params, &code);
	if (range == NULL)
		return (code);
	addr = json_string_value(json_object_get(range, "addr"));
	(void)snprintf(params, sizeof(params), "{\"arena\":%s,\"addr\":\"%s\"}",
	    rp->rp_arena_json, addr != NULL ? addr : "");
	if (vmemclient_call(rp->rp_ctl->ct_conn, "fill", params,
		rp->rp_ctl->ct_timeout_ms, &reply) == 0 && reply.code != 0)
		code = ctl_usage(rp->rp_ctl, "replay", "verify", "pattern needs"
		    " an arena with memory, and %s can't be filled (%s); use"
		    " --verify overlap", rp->rp_arena, reply.message);
	if (vmemclient_call(rp->rp_ctl->ct_conn, "free", params,
		rp->rp_ctl->ct_timeout_ms, &reply) != 0 && code == CTL_DONE)
		code = ctl_broken(rp->rp_ctl, "free", ECONNRESET);
	vmemclient_reply_fini(&reply);
	json_decref(range);
	return (code);
}

/* Bytes in use, once the quantum caches have given back what they hold. */
static enum ctl_exit
measure(struct replay *rp, uint64_t *bytesp)
{
	enum ctl_exit code;
	json_t *tree;

	tree = fetch_arena(
	    rp->rp_ctl, "reap", rp->rp_arena_json, "", &code);
	if (tree == NULL)
		return (code);
	json_decref(tree);
	tree = fetch_arena(
	    rp->rp_ctl, "stats", rp->rp_arena_json, "", &code);
	if (tree == NULL)
		return (code);
	*bytesp = fetch_u64(tree, "inuse_bytes", 0);
	json_decref(tree);
	return (CTL_DONE);
}

static enum ctl_exit
check(struct replay *rp)
{
	enum ctl_exit code;
	json_t *tree;

	tree = fetch_arena(
	    rp->rp_ctl, "check", rp->rp_arena_json, "", &code);
	if (tree != NULL)
		rp->rp_violations = fetch_u64(tree, "violations", 0);
	else if (code == CTL_FAILED)
		rp->rp_violations = 1;
	json_decref(tree);
	return (code == CTL_FAILED ? CTL_DONE : code);
}

/* ---- likeness ----------------------------------------------------------- */

/*
 * What is live after each operation, in the arena's quanta; ri_size counts what
 * is left of each id, and is left as it was.
 */
static enum ctl_exit
trace_live(struct replay *rp)
{
	uint64_t quantum = rp->rp_quantum, live = 0, peak = 0;

	rp->rp_trace_live =
	    calloc((size_t)rp->rp_nops + 1, sizeof(rp->rp_trace_live[0]));
	if (rp->rp_trace_live == NULL)
		return (ctl_fail(rp->rp_ctl, CTL_USAGE, "no_memory",
		    "replay: out of memory"));
	for (uint32_t i = 0; i < rp->rp_nops; i++) {
		const struct trace_op *op = &rp->rp_trace->tr_ops[i];
		struct replay_id *ri = &rp->rp_ids[op->op_id];
		uint64_t freed = op->op_kind == TRACE_FREE ? ri->ri_size :
		    op->op_size / quantum * quantum;

		if (op->op_kind == TRACE_ALLOC &&
		    op->op_size <= rp->rp_capacity) {
			ri->ri_size = (op->op_size + quantum - 1) / quantum *
			    quantum;
			live += ri->ri_size;
		} else if (op->op_kind != TRACE_ALLOC) {
			if (freed > ri->ri_size)
				freed = ri->ri_size;
			ri->ri_size -= freed;
			live -= freed;
		}
		rp->rp_trace_live[i] = live;
		if (live > peak)
			peak = live;
	}
	for (uint32_t id = 0; id <= rp->rp_trace->tr_allocs; id++)
		rp->rp_ids[id].ri_size = 0;
	rp->rp_trace_peak = peak;
	rp->rp_slack = peak / SLACK_SHARE;
	return (CTL_DONE);
}

/* ---- the run ------------------------------------------------------------ */

static unsigned int
clamp(unsigned int value, unsigned int least, unsigned int most)
{
	return (value < least ? least : value > most ? most : value);
}

static enum ctl_exit
prepare_clients(struct replay *rp)
{
	unsigned int n = rp->rp_clients_count;
	uint32_t by_length = rp->rp_nops / DRIFT_SHARE;
	uint32_t by_live = rp->rp_trace->tr_peak_count / DRIFT_LIVE_SHARE;
	uint32_t drift = clamp(by_length < by_live ? by_length : by_live,
	    DRIFT_MIN, DRIFT_MAX);
	int error;

	rp->rp_window = clamp(drift / n, WINDOW_MIN, WINDOW_MAX);
	rp->rp_clients = calloc(n, sizeof(rp->rp_clients[0]));
	if (rp->rp_clients == NULL ||
	    gate_create(n, drift, &rp->rp_gate) != 0 ||
	    (rp->rp_verify != VERIFY_OFF &&
		shadow_create(&rp->rp_shadow) != 0))
		return (ctl_fail(rp->rp_ctl, CTL_USAGE, "no_memory",
		    "replay: out of memory"));
	for (unsigned int i = 0; i < n; i++) {
		struct replay_client *cl = &rp->rp_clients[i];

		cl->cl_replay = rp;
		cl->cl_index = i;
		cl->cl_counts.rc_low = UINT64_MAX;
		hist_init(&cl->cl_alloc_ns);
		hist_init(&cl->cl_free_ns);
		error = vmemclient_connect(rp->rp_ctl->ct_socket,
		    rp->rp_ctl->ct_timeout_ms, &cl->cl_conn);
		if (error != 0)
			return (ctl_fail(rp->rp_ctl, CTL_UNREACHED,
			    "unreachable", "replay: connection %u of %u: %s",
			    i + 1, n, strerror(error)));
	}
	return (CTL_DONE);
}

/* Signals are the main thread's: the clients' are started with them blocked. */
static enum ctl_exit
start_clients(struct replay *rp)
{
	unsigned int started = 0;
	sigset_t all, old;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rp->rp_running = rp->rp_clients_count;
	while (started < rp->rp_clients_count &&
	    pthread_create(&rp->rp_clients[started].cl_thread, NULL,
		replay_client_main, &rp->rp_clients[started]) == 0)
		started++;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (started == rp->rp_clients_count)
		return (CTL_DONE);
	atomic_store(&rp->rp_stop, 1);
	for (unsigned int i = 0; i < started; i++)
		(void)pthread_join(rp->rp_clients[i].cl_thread, NULL);
	return (ctl_fail(rp->rp_ctl, CTL_USAGE, "no_memory",
	    "replay: can't start %u threads", rp->rp_clients_count));
}

/* Until all have ended; meanwhile progress, and an eye on signals. */
static void
await_clients(struct replay *rp)
{
	struct timespec until;

	(void)pthread_mutex_lock(&rp->rp_lock);
	while (rp->rp_running > 0) {
		(void)clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += PROGRESS_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		(void)pthread_cond_timedwait(
		    &rp->rp_ended, &rp->rp_lock, &until);
		if (ctl_caught() != 0)
			atomic_store(&rp->rp_stop, 1);
		if (rp->rp_progress)
			replay_progress(rp, rp->rp_running == 0);
	}
	(void)pthread_mutex_unlock(&rp->rp_lock);
	for (unsigned int i = 0; i < rp->rp_clients_count; i++)
		(void)pthread_join(rp->rp_clients[i].cl_thread, NULL);
}

static void
add_counts(struct replay_counts *to, const struct replay_counts *from)
{
	to->rc_allocs += from->rc_allocs;
	to->rc_frees += from->rc_frees;
	to->rc_parts += from->rc_parts;
	to->rc_refused += from->rc_refused;
	to->rc_unfilled += from->rc_unfilled;
	to->rc_skipped += from->rc_skipped;
	to->rc_idle += from->rc_idle;
	to->rc_kept += from->rc_kept;
	to->rc_overlaps += from->rc_overlaps;
	to->rc_corrupt += from->rc_corrupt;
	to->rc_bad_frees += from->rc_bad_frees;
	if (from->rc_low < to->rc_low)
		to->rc_low = from->rc_low;
	if (from->rc_high > to->rc_high)
		to->rc_high = from->rc_high;
}

/* Add up what the clients have; the first that went wrong says how. */
static enum ctl_exit
gather(struct replay *rp)
{
	enum ctl_exit code = CTL_DONE;

	rp->rp_counts.rc_low = UINT64_MAX;
	hist_init(&rp->rp_alloc_ns);
	hist_init(&rp->rp_free_ns);
	for (unsigned int i = 0; i < rp->rp_clients_count; i++) {
		struct replay_client *cl = &rp->rp_clients[i];

		add_counts(&rp->rp_counts, &cl->cl_counts);
		hist_merge(&rp->rp_alloc_ns, &cl->cl_alloc_ns);
		hist_merge(&rp->rp_free_ns, &cl->cl_free_ns);
		if (code == CTL_DONE)
			code = cl->cl_code;
	}
	return (code);
}

static enum ctl_exit
verdict(struct replay *rp, enum ctl_exit code)
{
	const struct replay_counts *rc = &rp->rp_counts;

	if (rc->rc_overlaps + rc->rc_corrupt + rc->rc_bad_frees > 0 ||
	    rp->rp_violations > 0 ||
	    (rp->rp_checked && rp->rp_inuse_after > rp->rp_inuse_before))
		return (CTL_FAILED);
	if (ctl_caught() != 0)
		return ((enum ctl_exit)ctl_caught());
	if (code != CTL_DONE)
		return (code);
	return (rc->rc_refused + rc->rc_unfilled > rp->rp_max_fails ?
	    CTL_MISSED : CTL_DONE);
}

static enum ctl_exit
run(struct replay *rp)
{
	enum ctl_exit code, end;

	code = trace_live(rp);
	if (code == CTL_DONE)
		code = prepare_clients(rp);
	if (code == CTL_DONE && rp->rp_verify == VERIFY_PATTERN)
		code = try_pattern(rp);
	if (code == CTL_DONE)
		code = measure(rp, &rp->rp_inuse_before);
	if (code != CTL_DONE)
		return (code);
	ctl_catch();
	rp->rp_start_ns = clock_ns();
	code = start_clients(rp);
	if (code != CTL_DONE)
		return (code);
	await_clients(rp);
	rp->rp_seconds = (double)(clock_ns() - rp->rp_start_ns) / 1e9;
	code = gather(rp);
	if (code != CTL_UNREACHED) {
		end = measure(rp, &rp->rp_inuse_after);
		if (end == CTL_DONE)
			end = check(rp);
		rp->rp_checked = end == CTL_DONE;
		if (code == CTL_DONE)
			code = end;
	}
	code = verdict(rp, code);
	replay_report(rp, code);
	return (code);
}

static void
replay_free(struct replay *rp)
{
	for (unsigned int i = 0;
	     rp->rp_clients != NULL && i < rp->rp_clients_count; i++)
		vmemclient_close(rp->rp_clients[i].cl_conn);
	for (uint32_t id = 1; rp->rp_ids != NULL && rp->rp_trace != NULL &&
	     id <= rp->rp_trace->tr_allocs; id++)
		if (rp->rp_ids[id].ri_cut != NULL) {
			pieces_fini(rp->rp_ids[id].ri_cut);
			free(rp->rp_ids[id].ri_cut);
		}
	shadow_destroy(rp->rp_shadow);
	gate_destroy(rp->rp_gate);
	trace_free(rp->rp_trace);
	free(rp->rp_clients);
	free(rp->rp_ids);
	free(rp->rp_put_off);
	free(rp->rp_trace_live);
	(void)pthread_cond_destroy(&rp->rp_ended);
	(void)pthread_mutex_destroy(&rp->rp_lock);
	free(rp);
}

enum ctl_exit
cmd_replay(struct ctl *ct, const struct command *cm, struct args *ar)
{
	struct replay *rp = calloc(1, sizeof(*rp));
	struct vmemclient *vc;
	enum ctl_exit code;

	(void)cm;
	if (rp == NULL)
		return (ctl_fail(ct, CTL_USAGE, "no_memory", "out of memory"));
	rp->rp_ctl = ct;
	(void)pthread_mutex_init(&rp->rp_lock, NULL);
	(void)pthread_cond_init(&rp->rp_ended, NULL);
	take_options(rp, ar);
	code = load(rp, ar);
	if (code == CTL_DONE)
		code = ctl_connect(ct, &vc);
	if (code == CTL_DONE)
		code = inspect_arena(rp);
	if (code == CTL_DONE)
		code = run(rp);
	replay_free(rp);
	return (code);
}
