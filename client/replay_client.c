/*
 * replay_client.c - one client of a replay.
 *
 * 1. Order.  The client walks over the trace and picks the operations of its
 * ids.  Requests are pipelined, up to rp_window, so an operation may come
 * before the reply that says where its range is.  It is then put off: hung to
 * its id, and done when the reply comes.  The operations of an id so stay in
 * order, and no round trip is waited for; as many as rp_window may be put off,
 * so that nothing is freed much later than it was.  On one connection the
 * daemon works in the order of the requests, so that what needs no reply (a
 * fill, a verify and a free of the same range) is sent in a row.
 *
 * 2. Likeness.  The gate keeps the clients within some operations of each
 * other.  That is little beside what is live, but for traces of few and large
 * ranges: a realloc whose two halves are different clients' could come the
 * wrong way round, and the peak be far off the trace's.  So an operation on a
 * large range (above rp_slack) waits until every operation before it is
 * answered, and an allocation by which more would be claimed than is live in
 * the trace at that point, until there is space or that is so.  The slowest
 * client never waits for long: the others, all ahead of it, have taken their
 * replies.
 *
 * 3. Pieces.  The first partial free of an id makes a list of what is left of
 * it (in rounded bytes), and a later free frees every piece.  Offsets that
 * aren't multiples of the arena's quantum are rounded inwards; what that keeps
 * is freed with the rest.
 *
 * 4. Verification.  A range is in the shadow map from when its reply comes to
 * just before its free is sent.  With `pattern`, its first and last page are
 * filled with a seed of its own, and checked before they are freed, in the
 * pieces in which they are.  A fill that the daemon refuses for want of frames
 * is counted, and its range isn't checked.
 */
#include "config.h"

#include "client/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/range.h"
#include "proto/errors.h"
#include "util/clock.h"

#define PARAMS_MAX 1024
/* Addresses of one free: 21 bytes each, in a line of 64 KiB. */
#define ADDRS_MAX 2000
/* Replies to requests that may be under way: the window, and what was put off
 * and is sent all at once.  A power of two. */
#define PENDING_ROOM 16384u
#define PAUSE_NS 50000000u	/* looks at rp_stop this often */
#define TURN_PAUSE_NS 20000u	/* and at other clients: a round trip */

enum kind { ASK_ALLOC, ASK_FREE, ASK_PART, ASK_FILL, ASK_VERIFY };

/* A request under way; its place is its id modulo PENDING_ROOM. */
struct pending {
	uint64_t pe_sent_ns;
	uint64_t pe_bytes;		/* claimed until it is answered */
	uint32_t pe_id;			/* of the trace */
	uint32_t pe_op;			/* index, or REPLAY_NONE */
	enum kind pe_kind;
};

struct client {
	struct replay_client *c_shared;
	struct replay *c_replay;
	struct vmemclient *c_conn;
	struct replay_counts *c_counts;
	struct vmemclient_reply c_reply;
	uint64_t c_request;		/* the last's id */
	unsigned int c_pending;		/* requests */
	unsigned int c_put_off;		/* operations */
	bool c_ended;		/* the connection, or all sense of going on */
	struct pending c_table[PENDING_ROOM];
	char c_params[PARAMS_MAX + 21 * ADDRS_MAX];
};

static void do_op(struct client *c, uint32_t op_index);

/* ---- sending ------------------------------------------------------------ */

static void
end_with(struct client *c, enum ctl_exit code)
{
	if (c->c_shared->cl_code == CTL_DONE)
		c->c_shared->cl_code = code;
	c->c_ended = true;
	atomic_store(&c->c_replay->rp_stop, 1);
}

/* The connection has failed: told once, by whoever is first. */
static void
lost(struct client *c, int error)
{
	if (atomic_exchange(&c->c_replay->rp_stop, 1) == 0)
		(void)ctl_broken(c->c_replay->rp_ctl, "replay", error);
	end_with(c, CTL_UNREACHED);
}

/* Send c_params. */
static void
ask(struct client *c, enum kind kind, uint32_t id, uint32_t op)
{
	static const char *const methods[] = { "alloc", "free", "free", "fill",
		"verify" };
	struct pending *pe;
	uint64_t request;
	int error;

	if (c->c_ended)
		return;
	error = c->c_pending == PENDING_ROOM ? EAGAIN :
	    vmemclient_send(c->c_conn, methods[kind], c->c_params, &request);
	if (error != 0) {
		lost(c, error);
		return;
	}
	c->c_request = request;
	pe = &c->c_table[request % PENDING_ROOM];
	pe->pe_bytes = 0;
	pe->pe_sent_ns = clock_ns();
	pe->pe_id = id;
	pe->pe_op = op;
	pe->pe_kind = kind;
	c->c_pending++;
}

/* The request just sent frees so many bytes. */
static void
frees(struct client *c, uint64_t bytes)
{
	c->c_table[c->c_request % PENDING_ROOM].pe_bytes = bytes;
}

static uint64_t
rounded(const struct replay *rp, uint64_t size)
{
	return ((size + rp->rp_quantum - 1) / rp->rp_quantum * rp->rp_quantum);
}

static void
ask_alloc(struct client *c, const struct trace_op *op, uint32_t op_index)
{
	struct replay *rp = c->c_replay;
	char *to = c->c_params;

	to += sprintf(to, "{\"arena\":%s,\"size\":%" PRIu64, rp->rp_arena_json,
	    op->op_size);
	if (op->op_arg != 0)
		to += sprintf(to, ",\"align\":%" PRIu64, op->op_arg);
	if (rp->rp_fit != NULL)
		to += sprintf(to, ",\"fit\":\"%s\"", rp->rp_fit);
	(void)strcpy(to, "}");
	ask(c, ASK_ALLOC, op->op_id, op_index);
	(void)atomic_fetch_add(&rp->rp_claimed, rounded(rp, op->op_size));
}

/* ---- the pattern -------------------------------------------------------- */

/* Which bytes of a range are filled: of its first page, and of its last. */
static unsigned int
filled(const struct replay *rp, uint64_t size, struct piece slices[2])
{
	uint64_t page = rp->rp_page;

	slices[0].pc_start = 0;
	slices[0].pc_end = size < page ? size : page;
	if (size <= page)
		return (1);
	slices[1].pc_end = size;
	slices[1].pc_start = size - page < page ? page : size - page;
	return (2);
}

static void
ask_pattern(struct client *c, enum kind kind, uint32_t id, uint64_t start,
    uint64_t end, uint32_t op)
{
	(void)sprintf(c->c_params, "{\"arena\":%s,\"addr\":\"0x%" PRIx64
	    "\",\"len\":%" PRIu64 ",\"seed\":%" PRIu32 "}",
	    c->c_replay->rp_arena_json,
	    c->c_replay->rp_ids[id].ri_addr + start, end - start, id);
	ask(c, kind, id, op);
}

/* Check what was filled of the part [start, end) of an id's range. */
static void
verify_part(struct client *c, uint32_t id, uint64_t start, uint64_t end,
    uint32_t op)
{
	const struct replay_id *ri = &c->c_replay->rp_ids[id];
	struct piece slices[2];
	unsigned int n;

	if (c->c_replay->rp_verify != VERIFY_PATTERN || ri->ri_unfilled)
		return;
	n = filled(c->c_replay, ri->ri_size, slices);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t from = slices[i].pc_start > start ?
		    slices[i].pc_start : start;
		uint64_t to = slices[i].pc_end < end ? slices[i].pc_end : end;

		if (from < to)
			ask_pattern(c, ASK_VERIFY, id, from, to, op);
	}
}

/* ---- allocations -------------------------------------------------------- */

static void
op_alloc(struct client *c, uint32_t op_index)
{
	struct replay *rp = c->c_replay;
	const struct trace_op *op = &rp->rp_trace->tr_ops[op_index];
	struct replay_id *ri = &rp->rp_ids[op->op_id];

	ri->ri_op = op_index;
	ri->ri_first = ri->ri_last = REPLAY_NONE;
	if (op->op_size > rp->rp_capacity) {
		ri->ri_state = ID_SKIPPED;
		c->c_counts->rc_skipped++;
		return;
	}
	ri->ri_state = ID_ASKED;
	ask_alloc(c, op, op_index);
}

static uint32_t
line_of(const struct replay *rp, uint32_t op_index)
{
	return (op_index == REPLAY_NONE ? 0 :
	    rp->rp_trace->tr_ops[op_index].op_line);
}

static void
enter_shadow(struct client *c, uint32_t id)
{
	struct replay *rp = c->c_replay;
	struct replay_id *ri = &rp->rp_ids[id];
	struct shadow_range range = { ri->ri_addr,
		ri->ri_addr + (ri->ri_size - 1), id };
	struct shadow_range other;
	int error;

	if (rp->rp_shadow == NULL)
		return;
	error = shadow_insert(rp->rp_shadow, &range, &other);
	if (error == ENOMEM)
		lost(c, ENOMEM);
	if (error != EEXIST)
		return;
	c->c_counts->rc_overlaps++;
	replay_finding(rp, "overlap: line %" PRIu32 " (a %" PRIu32 ") was given"
	    " 0x%" PRIx64 "-0x%" PRIx64 ", line %" PRIu32 " (a %" PRIu32
	    ") holds 0x%" PRIx64 "-0x%" PRIx64, line_of(rp, ri->ri_op), id,
	    range.sr_start, range.sr_last,
	    line_of(rp, rp->rp_ids[other.sr_owner].ri_op), other.sr_owner,
	    other.sr_start, other.sr_last);
}

static void
count_live(struct replay *rp, uint64_t size)
{
	uint64_t live = atomic_fetch_add(&rp->rp_live, size) + size;
	uint64_t peak = atomic_load(&rp->rp_peak);

	while (live > peak &&
	    !atomic_compare_exchange_weak(&rp->rp_peak, &peak, live))
		;
}

/* Does the reply make sense?  addr and size, not below what was asked for,
 * aligned, and not past the end of the world. */
static bool
read_range(struct client *c, const struct trace_op *op, struct replay_id *ri)
{
	uint64_t end;

	if (!range_of_result(
		c->c_reply.result, &ri->ri_addr, &ri->ri_size))
		return (false);
	if (ri->ri_size < op->op_size || ri->ri_size == 0 ||
	    ri->ri_addr % c->c_replay->rp_quantum != 0 ||
	    (op->op_arg != 0 && ri->ri_addr % op->op_arg != 0))
		return (false);
	return (!__builtin_add_overflow(ri->ri_addr, ri->ri_size - 1, &end));
}

static void
granted(struct client *c, const struct pending *pe)
{
	struct replay *rp = c->c_replay;
	const struct trace_op *op = &rp->rp_trace->tr_ops[pe->pe_op];
	struct replay_id *ri = &rp->rp_ids[pe->pe_id];
	struct piece slices[2];
	unsigned int n;

	if (!read_range(c, op, ri)) {
		replay_finding(rp, "line %" PRIu32 ": asked for %" PRIu64
		    " bytes aligned to %" PRIu64 ", was given %s", op->op_line,
		    op->op_size, op->op_arg, c->c_reply.result);
		c->c_counts->rc_corrupt++;
		end_with(c, CTL_FAILED);
		return;
	}
	ri->ri_state = ID_LIVE;
	/* More than was claimed, if a cache rounds up further. */
	(void)atomic_fetch_add(
	    &rp->rp_claimed, ri->ri_size - rounded(rp, op->op_size));
	c->c_counts->rc_allocs++;
	if (ri->ri_addr < c->c_counts->rc_low)
		c->c_counts->rc_low = ri->ri_addr;
	if (ri->ri_addr + (ri->ri_size - 1) > c->c_counts->rc_high)
		c->c_counts->rc_high = ri->ri_addr + (ri->ri_size - 1);
	count_live(rp, ri->ri_size);
	enter_shadow(c, pe->pe_id);
	if (rp->rp_verify != VERIFY_PATTERN)
		return;
	n = filled(rp, ri->ri_size, slices);
	for (unsigned int i = 0; i < n; i++)
		ask_pattern(c, ASK_FILL, pe->pe_id, slices[i].pc_start,
		    slices[i].pc_end, pe->pe_op);
}

/* ---- frees -------------------------------------------------------------- */

/* Out of the shadow map and the live bytes; nothing of it may be given away
 * before this. */
static void
leave(struct client *c, uint32_t id, uint64_t start, uint64_t end)
{
	struct replay *rp = c->c_replay;
	uint64_t addr = rp->rp_ids[id].ri_addr;

	(void)atomic_fetch_sub(&rp->rp_live, end - start);
	/* An overlapped range isn't in it: that has been told. */
	if (rp->rp_shadow != NULL)
		(void)shadow_remove(
		    rp->rp_shadow, addr + start, addr + (end - 1));
}

static void
free_pieces(struct client *c, uint32_t id, uint32_t op)
{
	struct replay_id *ri = &c->c_replay->rp_ids[id];
	const struct pieces *ps = ri->ri_cut;
	size_t i = 0;

	while (i < ps->ps_count) {
		char *to = c->c_params;
		const char *comma = "";
		uint64_t bytes = 0;

		for (size_t j = i; j < ps->ps_count && j < i + ADDRS_MAX; j++)
			verify_part(c, id, ps->ps_list[j].pc_start,
			    ps->ps_list[j].pc_end, op);
		to += sprintf(to, "{\"arena\":%s,\"addrs\":[",
		    c->c_replay->rp_arena_json);
		for (size_t n = 0; n < ADDRS_MAX && i < ps->ps_count;
		     n++, i++) {
			const struct piece *pc = &ps->ps_list[i];

			leave(c, id, pc->pc_start, pc->pc_end);
			bytes += pc->pc_end - pc->pc_start;
			to += sprintf(to, "%s\"0x%" PRIx64 "\"", comma,
			    ri->ri_addr + pc->pc_start);
			comma = ",";
		}
		(void)strcpy(to, "]}");
		ask(c, ASK_FREE, id, op);
		frees(c, bytes);
	}
}

/* Free all that is live of an id; `op` is for findings. */
static void
free_id(struct client *c, uint32_t id, uint32_t op)
{
	struct replay_id *ri = &c->c_replay->rp_ids[id];

	if (ri->ri_cut != NULL) {
		free_pieces(c, id, op);
		pieces_fini(ri->ri_cut);
		free(ri->ri_cut);
		ri->ri_cut = NULL;
	} else {
		verify_part(c, id, 0, ri->ri_size, op);
		leave(c, id, 0, ri->ri_size);
		(void)sprintf(c->c_params, "{\"arena\":%s,\"addr\":\"0x%" PRIx64
		    "\"}", c->c_replay->rp_arena_json, ri->ri_addr);
		ask(c, ASK_FREE, id, op);
		frees(c, ri->ri_size);
	}
	ri->ri_state = ID_GONE;
}

/* What a partial free frees: whole quanta of the rounded range. */
static struct piece
rounded_part(const struct replay *rp, const struct trace_op *op)
{
	const struct replay_id *ri = &rp->rp_ids[op->op_id];
	uint64_t quantum = rp->rp_quantum, asked, end;
	struct piece pc;

	asked = rp->rp_trace->tr_ops[ri->ri_op].op_size;
	end = op->op_arg + op->op_size;
	pc.pc_start = (op->op_arg + quantum - 1) / quantum * quantum;
	pc.pc_end = end == asked ? ri->ri_size : end / quantum * quantum;
	if (pc.pc_end <= pc.pc_start)
		pc.pc_start = pc.pc_end = 0;
	return (pc);
}

static void
op_part(struct client *c, uint32_t op_index)
{
	struct replay *rp = c->c_replay;
	const struct trace_op *op = &rp->rp_trace->tr_ops[op_index];
	struct replay_id *ri = &rp->rp_ids[op->op_id];
	struct piece pc = rounded_part(rp, op);

	if (pc.pc_end == 0) {
		c->c_counts->rc_kept++;
		return;
	}
	if (ri->ri_cut == NULL) {
		ri->ri_cut = calloc(1, sizeof(*ri->ri_cut));
		if (ri->ri_cut == NULL ||
		    pieces_init(ri->ri_cut, ri->ri_size) != 0) {
			lost(c, ENOMEM);
			return;
		}
	}
	if (pieces_cut(ri->ri_cut, pc.pc_start, pc.pc_end) != 0) {
		lost(c, ENOMEM);
		return;
	}
	verify_part(c, op->op_id, pc.pc_start, pc.pc_end, op_index);
	leave(c, op->op_id, pc.pc_start, pc.pc_end);
	(void)sprintf(c->c_params, "{\"arena\":%s,\"addr\":\"0x%" PRIx64
	    "\",\"size\":%" PRIu64 ",\"partial\":true}", rp->rp_arena_json,
	    ri->ri_addr + pc.pc_start, pc.pc_end - pc.pc_start);
	ask(c, ASK_PART, op->op_id, op_index);
	frees(c, pc.pc_end - pc.pc_start);
}

/* ---- replies ------------------------------------------------------------ */

static bool
is_exhaustion(int code)
{
	return (code == PE_NO_SPACE || code == PE_NO_FRAMES ||
	    code == PE_QUOTA);
}

static void
refused_free(struct client *c, const struct pending *pe)
{
	struct replay *rp = c->c_replay;

	c->c_counts->rc_bad_frees++;
	replay_finding(rp, "line %" PRIu32 ": freeing %sid %" PRIu32
	    " at 0x%" PRIx64 " was refused: %s: %s", line_of(rp, pe->pe_op),
	    pe->pe_kind == ASK_PART ? "part of " : "", pe->pe_id,
	    rp->rp_ids[pe->pe_id].ri_addr,
	    c->c_reply.name != NULL ? c->c_reply.name : "error",
	    c->c_reply.message != NULL ? c->c_reply.message : "");
}

static void
mismatch(struct client *c, const struct pending *pe)
{
	struct replay *rp = c->c_replay;

	if (rp->rp_ids[pe->pe_id].ri_unfilled)
		return;
	c->c_counts->rc_corrupt++;
	replay_finding(rp, "corrupt: the bytes of line %" PRIu32 " (a %" PRIu32
	    ", 0x%" PRIx64 ") were changed before line %" PRIu32 ": %s",
	    line_of(rp, rp->rp_ids[pe->pe_id].ri_op), pe->pe_id,
	    rp->rp_ids[pe->pe_id].ri_addr, line_of(rp, pe->pe_op),
	    c->c_reply.message != NULL ? c->c_reply.message : "");
}

/* An error: one that a replay counts, or one that ends it. */
static void
refused(struct client *c, const struct pending *pe)
{
	struct replay *rp = c->c_replay;
	struct replay_id *ri = &rp->rp_ids[pe->pe_id];
	int code = c->c_reply.code;

	if (pe->pe_kind == ASK_ALLOC) {
		ri->ri_state = ID_REFUSED;
		(void)atomic_fetch_sub(&rp->rp_claimed,
		    rounded(rp, rp->rp_trace->tr_ops[pe->pe_op].op_size));
	}
	if (pe->pe_kind == ASK_ALLOC && is_exhaustion(code)) {
		c->c_counts->rc_refused++;
	} else if (pe->pe_kind == ASK_FILL && is_exhaustion(code)) {
		c->c_counts->rc_unfilled++;
		ri->ri_unfilled = true;
	} else if (pe->pe_kind == ASK_VERIFY && is_exhaustion(code)) {
		c->c_counts->rc_unfilled++;
	} else if (pe->pe_kind == ASK_VERIFY && code == PE_MISMATCH) {
		mismatch(c, pe);
	} else if ((pe->pe_kind == ASK_FREE || pe->pe_kind == ASK_PART) &&
	    (code == PE_NOT_ALLOCATED || code == PE_NOT_OWNER)) {
		refused_free(c, pe);
	} else {
		/* Told once: the others will hear the same. */
		if (atomic_exchange(&rp->rp_stop, 1) == 0)
			end_with(c, ctl_refused(
			    rp->rp_ctl, "replay", &c->c_reply));
		else if (c->c_shared->cl_code == CTL_DONE)
			c->c_shared->cl_code = ctl_exit_of(code);
	}
}

/* Do what was put off until an id's reply came. */
static void
catch_up(struct client *c, struct replay_id *ri)
{
	uint32_t op = ri->ri_first;

	ri->ri_first = ri->ri_last = REPLAY_NONE;
	while (op != REPLAY_NONE) {
		uint32_t next = c->c_replay->rp_put_off[op];

		c->c_put_off--;
		do_op(c, op);
		op = next;
	}
}

/* Take a reply, and do what it calls for. */
static void
take_reply(struct client *c)
{
	struct replay *rp = c->c_replay;
	struct pending pe;
	uint64_t ns;
	int error;

	error = vmemclient_receive(
	    c->c_conn, rp->rp_ctl->ct_timeout_ms, &c->c_reply);
	if (error == 0 && c->c_reply.id == 0)
		error = EPROTO;
	if (error != 0) {
		lost(c, error);
		return;
	}
	pe = c->c_table[c->c_reply.id % PENDING_ROOM];
	c->c_pending--;
	(void)atomic_fetch_sub(&rp->rp_claimed, pe.pe_bytes);
	ns = clock_ns() - pe.pe_sent_ns;
	if (pe.pe_kind == ASK_ALLOC)
		hist_record(&c->c_shared->cl_alloc_ns, ns);
	else if (pe.pe_kind == ASK_FREE || pe.pe_kind == ASK_PART)
		hist_record(&c->c_shared->cl_free_ns, ns);
	if (c->c_reply.code != 0)
		refused(c, &pe);
	else if (pe.pe_kind == ASK_ALLOC)
		granted(c, &pe);
	else if (pe.pe_kind == ASK_FREE)
		c->c_counts->rc_frees++;
	else if (pe.pe_kind == ASK_PART)
		c->c_counts->rc_parts++;
	if (pe.pe_kind == ASK_ALLOC)
		catch_up(c, &rp->rp_ids[pe.pe_id]);
}

/* Until at most `left` are under way. */
static void
take_replies(struct client *c, unsigned int left)
{
	while (c->c_pending > left && !c->c_ended)
		take_reply(c);
}

/* ---- operations --------------------------------------------------------- */

/* Hang an operation to its id, behind those put off before. */
static void
put_off(struct client *c, struct replay_id *ri, uint32_t op_index)
{
	uint32_t *next = c->c_replay->rp_put_off;

	next[op_index] = REPLAY_NONE;
	if (ri->ri_first == REPLAY_NONE)
		ri->ri_first = op_index;
	else
		next[ri->ri_last] = op_index;
	ri->ri_last = op_index;
	c->c_put_off++;
}

static void
do_op(struct client *c, uint32_t op_index)
{
	struct replay *rp = c->c_replay;
	const struct trace_op *op = &rp->rp_trace->tr_ops[op_index];
	struct replay_id *ri = &rp->rp_ids[op->op_id];

	if (op->op_kind == TRACE_ALLOC)
		op_alloc(c, op_index);
	else if (ri->ri_state == ID_ASKED)
		put_off(c, ri, op_index);
	else if (ri->ri_state != ID_LIVE)
		c->c_counts->rc_idle++;
	else if (op->op_kind == TRACE_FREE)
		free_id(c, op->op_id, op_index);
	else
		op_part(c, op_index);
}

static void
pause_until(uint64_t due_ns)
{
	uint64_t now = clock_ns(), wait;
	struct timespec ts = { 0, 0 };

	if (now >= due_ns)
		return;
	wait = due_ns - now < PAUSE_NS ? due_ns - now : PAUSE_NS;
	ts.tv_nsec = (long)wait;
	(void)nanosleep(&ts, NULL);
}

/* --speed recorded: not before its time. */
static void
await_time(struct client *c, uint32_t op_index)
{
	struct replay *rp = c->c_replay;
	uint64_t due = rp->rp_start_ns + rp->rp_trace->tr_times[op_index];

	if (clock_ns() >= due)
		return;
	take_replies(c, 0);
	while (clock_ns() < due && !atomic_load(&rp->rp_stop))
		pause_until(due);
}

/*
 * Say up to where everything of this client's is answered.  Replies come in the
 * order of the requests, but requests not in that of the operations: what was
 * put off comes late.  What still is put off is behind its allocation.
 */
static void
settle(struct client *c, uint32_t op_index)
{
	for (uint64_t r = c->c_request - c->c_pending + 1; r <= c->c_request;
	     r++)
		if (c->c_table[r % PENDING_ROOM].pe_op < op_index)
			op_index = c->c_table[r % PENDING_ROOM].pe_op;
	atomic_store(&c->c_shared->cl_settled, op_index);
}

static bool
all_settled(struct replay *rp, uint32_t op_index)
{
	for (unsigned int i = 0; i < rp->rp_clients_count; i++)
		if (atomic_load(&rp->rp_clients[i].cl_settled) < op_index)
			return (false);
	return (true);
}

/* How many bytes an operation is about. */
static uint64_t
weight(const struct replay *rp, const struct trace_op *op)
{
	const struct replay_id *ri = &rp->rp_ids[op->op_id];

	return (rounded(rp, op->op_kind != TRACE_FREE ? op->op_size :
	    rp->rp_trace->tr_ops[ri->ri_op].op_size));
}

/* May it be done though earlier operations are still unanswered? */
static bool
may_overtake(const struct replay *rp, uint32_t op_index)
{
	const struct trace_op *op = &rp->rp_trace->tr_ops[op_index];
	uint64_t bytes = weight(rp, op);

	if (bytes > rp->rp_slack)
		return (bytes > rp->rp_capacity);	/* is skipped */
	return (op->op_kind != TRACE_ALLOC ||
	    atomic_load(&rp->rp_claimed) + bytes <=
		rp->rp_trace_live[op_index] + rp->rp_slack);
}

/* See 2. above. */
static void
await_turn(struct client *c, uint32_t op_index)
{
	struct replay *rp = c->c_replay;
	struct timespec pause = { 0, TURN_PAUSE_NS };

	if (rp->rp_clients_count == 1 || may_overtake(rp, op_index))
		return;
	take_replies(c, 0);
	settle(c, op_index);
	while (!may_overtake(rp, op_index) && !all_settled(rp, op_index) &&
	    !atomic_load(&rp->rp_stop))
		(void)nanosleep(&pause, NULL);
}

/* Not too far ahead of the other clients. */
static void
await_others(struct client *c, uint32_t op_index)
{
	struct replay *rp = c->c_replay;
	unsigned int me = c->c_shared->cl_index;

	if (gate_try(rp->rp_gate, me, op_index))
		return;
	take_replies(c, 0);
	settle(c, op_index);
	while (!atomic_load(&rp->rp_stop) &&
	    !gate_wait(rp->rp_gate, me, op_index))
		;
}

static void
replay_ops(struct client *c)
{
	struct replay *rp = c->c_replay;
	unsigned int clients = rp->rp_clients_count;
	unsigned int me = c->c_shared->cl_index;
	uint32_t done = 0;

	for (uint32_t i = 0; i < rp->rp_nops; i++) {
		if (rp->rp_trace->tr_ops[i].op_id % clients != me)
			continue;
		if (atomic_load_explicit(&rp->rp_stop, memory_order_relaxed))
			break;
		await_others(c, i);
		if (rp->rp_recorded)
			await_time(c, i);
		await_turn(c, i);
		do_op(c, i);
		take_replies(c, rp->rp_window - 1);
		while (c->c_put_off >= rp->rp_window && !c->c_ended)
			take_reply(c);
		settle(c, i + 1);
		atomic_store_explicit(
		    &c->c_shared->cl_done, ++done, memory_order_relaxed);
	}
	take_replies(c, 0);
	settle(c, REPLAY_NONE);
	gate_leave(rp->rp_gate, me);
}

/* What is left when the trace has ended, or was stopped. */
static void
free_rest(struct client *c)
{
	struct replay *rp = c->c_replay;

	for (uint32_t id = 1; id <= rp->rp_trace->tr_allocs && !c->c_ended;
	     id++) {
		if (id % rp->rp_clients_count != c->c_shared->cl_index ||
		    rp->rp_ids[id].ri_state != ID_LIVE)
			continue;
		free_id(c, id, REPLAY_NONE);
		take_replies(c, rp->rp_window - 1);
	}
	take_replies(c, 0);
}

void *
replay_client_main(void *arg)
{
	struct replay_client *cl = arg;
	struct replay *rp = cl->cl_replay;
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		cl->cl_code = ctl_broken(rp->rp_ctl, "replay", ENOMEM);
		atomic_store(&cl->cl_settled, REPLAY_NONE);
		atomic_store(&rp->rp_stop, 1);
		gate_leave(rp->rp_gate, cl->cl_index);
	} else {
		c->c_shared = cl;
		c->c_replay = rp;
		c->c_conn = cl->cl_conn;
		c->c_counts = &cl->cl_counts;
		replay_ops(c);
		free_rest(c);
		vmemclient_reply_fini(&c->c_reply);
		free(c);
	}
	(void)pthread_mutex_lock(&rp->rp_lock);
	rp->rp_running--;
	(void)pthread_cond_signal(&rp->rp_ended);
	(void)pthread_mutex_unlock(&rp->rp_lock);
	return (NULL);
}
