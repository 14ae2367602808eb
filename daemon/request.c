/*
 * request.c - see request.h.
 */
#include "config.h"

#include "daemon/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/assert.h"
#include "util/clock.h"

#define METHODS_MAX 48
#define ID_MAX 1024	/* bytes of an id's JSON text */

static const struct handler {
	const char *ha_method;
	handler_fn *ha_fn;
} handlers[] = {
	{ "ping", cmd_ping },
	{ "info", cmd_info },
	{ "methods", cmd_methods },
	{ "stats", cmd_stats },
	{ "set", cmd_set },
	{ "arena.list", cmd_arena_list },
	{ "arena.info", cmd_arena_info },
	{ "arena.create", cmd_arena_create },
	{ "arena.destroy", cmd_arena_destroy },
	{ "alloc", cmd_alloc },
	{ "free", cmd_free },
	{ "advise", cmd_advise },
	{ "touch", cmd_touch },
	{ "write", cmd_write },
	{ "read", cmd_read },
	{ "fill", cmd_fill },
	{ "verify", cmd_verify },
	{ "fragment", cmd_fragment },
	{ "reap", cmd_reap },
	{ "check", cmd_check },
	{ "dump", cmd_dump },
	{ "record.start", cmd_record_start },
	{ "record.stop", cmd_record_stop },
	{ "soak.start", cmd_soak_start },
	{ "soak.status", cmd_soak_status },
	{ "soak.stop", cmd_soak_stop },
	{ "cancel", cmd_cancel },
	{ "clients", cmd_clients },
	{ "shutdown", cmd_shutdown },
};

static handler_fn *bound[METHODS_MAX];	/* by row; set once, by main */

void
request_bind(void)
{
	VERIFY(proto_method_count <= METHODS_MAX);
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		const struct proto_method *pm =
		    proto_method_find(handlers[i].ha_method);

		VERIFY(pm != NULL);
		bound[pm - proto_methods] = handlers[i].ha_fn;
	}
	for (size_t i = 0; i < proto_method_count; i++)
		VERIFY((bound[i] != NULL) !=
		    ((proto_methods[i].pm_flags & PM_LATER) != 0));
}

/* ---- replies ------------------------------------------------------------ */

static void
write_head(struct buf *b, const char *id)
{
	static const char version[] = "\"jsonrpc\":\"2.0\",\"id\":";

	jw_open(b, '{');
	buf_append(b, version, sizeof(version) - 1);
	buf_append(b, id, strlen(id));
}

static void
write_error(struct buf *b, enum proto_error code, const char *why,
    const char *field)
{
	jw_kopen(b, "error", '{');
	jw_key(b, "code");
	jw_i64(b, code);
	jw_kstr(b, "message", why);
	jw_kopen(b, "data", '{');
	jw_kstr(b, "name", proto_error_name(code));
	jw_kstr(b, "errno", proto_error_errno(code));
	if (field != NULL && field[0] != '\0')
		jw_kstr(b, "field", field);
}

/* Where the answer goes: the batch, the connection, or nowhere. */
static struct buf *
reply_open(struct request *rq)
{
	if (rq->rq_id == NULL) {
		rq->rq_out = &rq->rq_worker->wk_discard;
		buf_truncate(rq->rq_out, 0);
	} else if (rq->rq_batch != NULL) {
		rq->rq_out = &rq->rq_batch->ba_out;
	} else {
		rq->rq_out = conn_out(rq->rq_conn);
	}
	rq->rq_mark = buf_len(rq->rq_out);
	write_head(rq->rq_out, rq->rq_id != NULL ? rq->rq_id : "null");
	return (rq->rq_out);
}

struct buf *
reply_begin(struct request *rq)
{
	ASSERT(rq->rq_reply == REPLY_NONE);
	(void)reply_open(rq);
	jw_key(rq->rq_out, "result");
	rq->rq_reply = REPLY_OPEN;
	return (rq->rq_out);
}

/* An answer that was begun is taken back: an error replaces it. */
static void
fail_begin(struct request *rq, enum proto_error code, const char *field,
    const char *why)
{
	if (rq->rq_reply == REPLY_OPEN)
		buf_truncate(rq->rq_out, rq->rq_mark);
	(void)reply_open(rq);
	write_error(rq->rq_out, code, why, field);
	rq->rq_reply = REPLY_FAILED;
}

static void
fail_end(struct request *rq)
{
	buf_append(rq->rq_out, "}}}", 3);
}

enum step
reply_fail(struct request *rq, enum proto_error code, const char *field,
    const char *fmt, ...)
{
	char why[PROTO_WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	fail_begin(rq, code, field, why);
	fail_end(rq);
	return (STEP_DONE);
}

enum step
reply_fail_addr(struct request *rq, enum proto_error code, vmem_addr_t addr,
    const char *fmt, ...)
{
	char why[PROTO_WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	fail_begin(rq, code, "addr", why);
	jw_kaddr(rq->rq_out, "addr", addr);
	fail_end(rq);
	return (STEP_DONE);
}

/* ---- ids ---------------------------------------------------------------- */

/* The text of a valid id; NULL for others, and without memory. */
static char *
id_text(const json_t *id)
{
	char *text;

	if (!json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return (NULL);
	text = json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT);
	if (text != NULL && strlen(text) > ID_MAX) {
		free(text);
		text = NULL;
	}
	return (text);
}

void
request_refuse(struct buf *out, const json_t *json, enum proto_error code,
    const char *why)
{
	char *id = id_text(json_object_get(json, "id"));
	bool in_batch = json != NULL;

	write_head(out, id != NULL ? id : "null");
	write_error(out, code, why, NULL);
	buf_append(out, "}}}\n", in_batch ? 3 : 4);
	free(id);
}

/* ---- the envelope ------------------------------------------------------- */

/* NULL if the object is a request, else what is wrong with it. */
static const char *
envelope_check(const json_t *json)
{
	const char *key, *version;
	json_t *value;

	if (!json_is_object(json))
		return ("a request is an object");
	version = json_string_value(json_object_get(json, "jsonrpc"));
	if (version == NULL || strcmp(version, "2.0") != 0)
		return ("jsonrpc: expected \"2.0\"");
	if (!json_is_string(json_object_get(json, "method")))
		return ("method: expected a string");
	json_object_foreach((json_t *)(uintptr_t)json, key, value) {
		if (strcmp(key, "jsonrpc") != 0 && strcmp(key, "method") != 0 &&
		    strcmp(key, "params") != 0 && strcmp(key, "id") != 0)
			return ("a request has jsonrpc, id, method and params "
			    "only");
		if (strcmp(key, "params") == 0 && !json_is_object(value) &&
		    !json_is_array(value))
			return ("params: expected an object");
	}
	return (NULL);
}

/* What is refused whatever the parameters are; true: refused. */
static bool
refused_by_state(struct request *rq)
{
	const unsigned int flags = rq->rq_method->pm_flags;
	const char *name = rq->rq_method->pm_name;

	if (flags & PM_LATER)
		(void)reply_fail(rq, PE_NOT_SUPPORTED, NULL,
		    "%s isn't supported in this version", name);
	else if (flags & PM_ADMIN && !rq->rq_conn->cn_client->cl_privileged)
		(void)reply_fail(rq, PE_NOT_OWNER, NULL,
		    "%s is for root and the daemon's user", name);
	else if (!(flags & (PM_READS | PM_DRAINS)) &&
	    daemon_corrupt(rq->rq_daemon))
		(void)reply_fail(rq, PE_CORRUPT, NULL,
		    "an invariant is broken: only reading, free and shutdown");
	else if (!(flags & PM_DRAINS) && daemon_draining(rq->rq_daemon))
		(void)reply_fail(rq, PE_SHUTTING_DOWN, NULL,
		    "the daemon is shutting down");
	return (rq->rq_reply != REPLY_NONE);
}

/* Method and parameters; true: the handler may run. */
static bool
resolve(struct request *rq)
{
	const char *name =
	    json_string_value(json_object_get(rq->rq_json, "method"));
	struct proto_params_error pe;
	const json_t *params;

	rq->rq_method = proto_method_find(name);
	if (rq->rq_method == NULL) {
		(void)reply_fail(rq, PE_METHOD, NULL, "no method %.64s", name);
		return (false);
	}
	rq->rq_index = (unsigned int)(rq->rq_method - proto_methods);
	rq->rq_step = bound[rq->rq_index];
	if (refused_by_state(rq))
		return (false);
	params = json_object_get(rq->rq_json, "params");
	if (proto_params_parse(rq->rq_method, params, rq->rq_args, &pe) == 0)
		return (true);
	(void)reply_fail(rq, pe.pe_code, pe.pe_field, "%s", pe.pe_why);
	return (false);
}

/* ---- life --------------------------------------------------------------- */

static void
request_free(struct request *rq)
{
	struct conn *cn = rq->rq_conn;
	struct batch *ba = rq->rq_batch;

	if (rq->rq_fini != NULL)
		rq->rq_fini(rq);
	json_decref(rq->rq_json);
	free(rq->rq_id);
	free(rq);
	cn->cn_requests--;
	if (ba != NULL) {
		ba->ba_running--;
		conn_batch_done(cn, ba);
	}
}

void
request_finish(struct request *rq)
{
	if (rq->rq_reply == REPLY_NONE)
		jw_open(reply_begin(rq), '{'), jw_close(rq->rq_out, '}');
	if (rq->rq_reply == REPLY_OPEN)
		buf_append(rq->rq_out, "}", 1);
	if (rq->rq_batch == NULL)
		buf_append(rq->rq_out, "\n", 1);
	if (rq->rq_step != NULL)
		worker_record(rq->rq_worker, rq->rq_index,
		    clock_ns() - rq->rq_start_ns);
	request_free(rq);
}

void
request_step(struct request *rq)
{
	struct conn *cn = rq->rq_conn;
	enum step step;

	rq->rq_until_ns = clock_ns() + TURN_NS;
	step = rq->rq_step(rq);
	cn->cn_job = NULL;
	switch (step) {
	case STEP_DONE:
		request_finish(rq);
		break;
	case STEP_BLOCKED:
		cn->cn_blocked = true;
		cn->cn_full = true;
		cn->cn_job = rq;
		break;
	case STEP_PARKED:
		cn->cn_parked = true;
		cn->cn_job = rq;
		break;
	case STEP_AGAIN:
		cn->cn_job = rq;
		break;
	case STEP_WAITING:
		break;
	}
}

bool
request_abort(struct request *rq)
{
	if (rq->rq_must)
		return (false);
	rq->rq_conn->cn_job = NULL;
	request_free(rq);
	return (true);
}

void
request_begin(struct conn *cn, struct batch *ba, json_t *json)
{
	const json_t *id = json_object_get(json, "id");
	struct request *rq;
	const char *why;

	atomic_fetch_add_explicit(
	    &cn->cn_client->cl_requests, 1, memory_order_relaxed);
	why = envelope_check(json);
	rq = why == NULL ? calloc(1, sizeof(*rq)) : NULL;
	if (rq != NULL && id != NULL) {
		rq->rq_id = id_text(id);
		if (rq->rq_id == NULL) {
			free(rq);
			rq = NULL;
			why = "id: expected a string, a number or null";
		}
	}
	if (rq == NULL) {
		request_refuse(ba != NULL ? &ba->ba_out : conn_out(cn), json,
		    why != NULL ? PE_REQUEST : PE_INTERNAL,
		    why != NULL ? why : "no memory");
		if (ba == NULL)
			buf_append(conn_out(cn), "\n", 1);
		return;
	}
	rq->rq_conn = cn;
	rq->rq_worker = cn->cn_worker;
	rq->rq_daemon = cn->cn_worker->wk_daemon;
	rq->rq_json = json_incref(json);
	rq->rq_batch = ba;
	rq->rq_start_ns = clock_ns();
	cn->cn_requests++;
	if (ba != NULL)
		ba->ba_running++;
	if (resolve(rq))
		request_step(rq);
	else {
		rq->rq_step = NULL;	/* not counted as the method's */
		request_finish(rq);
	}
}

/* ---- for handlers ------------------------------------------------------- */

bool
request_slice_over(const struct request *rq)
{
	return (clock_ns() >= rq->rq_until_ns);
}

struct caller
request_caller(const struct request *rq)
{
	return ((struct caller) { .ca_uid = rq->rq_conn->cn_client->cl_uid,
	    .ca_privileged = rq->rq_conn->cn_client->cl_privileged });
}

struct arena *
request_arena(struct request *rq, unsigned int index)
{
	const char *name = rq->rq_args[index].pa_string;
	struct arena *ar = reg_arena_get(&rq->rq_daemon->dm_registry, name);

	if (ar == NULL)
		(void)reply_fail(rq, PE_NO_ARENA, "arena", "no arena %.64s",
		    name);
	return (ar);
}
