/*
 * cmd_admin.c - set, cancel, shutdown.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/log.h"
#include "daemon/plant.h"
#include "daemon/request.h"
#include "daemon/wait.h"
#include "kmem/direct.h"
#include "proto/quantity.h"

/* ---- set ---------------------------------------------------------------- */

static enum step
bad_value(struct request *rq, const char *expected)
{
	return (reply_fail(
	    rq, PE_PARAMS, "value", "value: expected %s", expected));
}

static enum step
set_log_level(struct request *rq, const json_t *value)
{
	enum log_level level;

	if (!json_is_string(value) ||
	    log_level_parse(json_string_value(value), &level) != 0)
		return (bad_value(rq, "error, warn, info or debug"));
	log_set_level(level);
	return (STEP_AGAIN);
}

static enum step
set_commit(struct request *rq, const json_t *value)
{
	const char *text =
	    json_is_string(value) ? json_string_value(value) : "";
	enum vmpager_commit commit = VMPAGER_OVERCOMMIT;

	if (strcmp(text, "strict") == 0)
		commit = VMPAGER_STRICT;
	else if (strcmp(text, "overcommit") != 0)
		return (bad_value(rq, "overcommit or strict"));
	if (vmpager_set_commit(rq->rq_daemon->dm_backing.bk_pager, commit) != 0)
		return (reply_fail(rq, PE_NO_FRAMES, "value",
		    "what is registered exceeds frames and swap"));
	atomic_store(&rq->rq_daemon->dm_commit, commit);
	return (STEP_AGAIN);
}

static enum step
set_quota(struct request *rq, const json_t *value, _Atomic uint64_t *quota)
{
	uint64_t n;

	if (json_is_integer(value) && json_integer_value(value) >= 0)
		n = (uint64_t)json_integer_value(value);
	else if (!json_is_string(value) ||
	    quantity_size(json_string_value(value), &n) != 0)
		return (bad_value(rq, "a number, or a size such as \"64M\""));
	atomic_store(quota, n);
	return (STEP_AGAIN);
}

static enum step
set_replacement(struct request *rq, const json_t *value)
{
	if (!json_is_string(value) ||
	    vmpager_set_replacement(rq->rq_daemon->dm_backing.bk_pager,
		json_string_value(value)) != 0)
		return (bad_value(rq, "clock, s3fifo or random2"));
	return (STEP_AGAIN);
}

/* Pages that were handed out under the other setting stay what they are. */
static enum step
set_direct_map(struct request *rq, const json_t *value)
{
	const char *text =
	    json_is_string(value) ? json_string_value(value) : "";
	bool on = json_is_true(value) || strcmp(text, "on") == 0;

	if (!on && !json_is_boolean(value) && strcmp(text, "off") != 0)
		return (bad_value(rq, "on or off"));
	direct_switch(rq->rq_daemon->dm_backing.bk_direct, on);
	return (STEP_AGAIN);
}

/* Bugs and faults on purpose: see plant.h. */
#ifdef VMEM_FAULT_INJECTION
static enum step
set_plant(struct request *rq, const json_t *value)
{
	const char *name = json_string_value(value), *at = PLANT_NAMES;
	enum plant plant = PLANT_NONE;

	for (; name != NULL && *at != '\0'; plant++) {
		size_t len = strcspn(at, " ");

		if (strlen(name) == len && strncmp(name, at, len) == 0) {
			plant_set(plant);
			return (STEP_AGAIN);
		}
		at += len + strspn(at + len, " ");
	}
	return (bad_value(rq, "one of " PLANT_NAMES));
}

static enum step
set_chaos(struct request *rq, const json_t *value)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return (bad_value(rq, "a seed; 0 for none"));
	chaos_set((uint64_t)json_integer_value(value));
	return (STEP_AGAIN);
}
#else
static enum step
set_plant(struct request *rq, const json_t *value)
{
	(void)value;
	return (reply_fail(rq, PE_NOT_SUPPORTED, "name",
	    "vmemd was built without --enable-fault-injection"));
}
#define set_chaos set_plant
#endif

static enum step
set_by_name(struct request *rq, const char *name, const json_t *value)
{
	struct registry *rg = &rq->rq_daemon->dm_registry;

	if (strcmp(name, "log_level") == 0)
		return (set_log_level(rq, value));
	if (strcmp(name, "commit") == 0)
		return (set_commit(rq, value));
	if (strcmp(name, "quota_bytes") == 0)
		return (set_quota(rq, value, &rg->rg_quota_bytes));
	if (strcmp(name, "quota_segments") == 0)
		return (set_quota(rq, value, &rg->rg_quota_segments));
	if (strcmp(name, "replacement") == 0)
		return (set_replacement(rq, value));
	if (strcmp(name, "direct_map") == 0)
		return (set_direct_map(rq, value));
	if (strcmp(name, "plant") == 0)
		return (set_plant(rq, value));
	if (strcmp(name, "chaos") == 0)
		return (set_chaos(rq, value));
	return (reply_fail(rq, PE_PARAMS, "name", "no setting %.64s", name));
}

enum step
cmd_set(struct request *rq)
{
	const char *name = rq->rq_args[ARG_SET_NAME].pa_string;
	const json_t *value = rq->rq_args[ARG_SET_VALUE].pa_json;
	enum step step = set_by_name(rq, name, value);
	struct buf *b;
	char *text;

	if (step != STEP_AGAIN)
		return (step);
	text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	log_info("uid %u: set %s = %s", (unsigned int)request_caller(rq).ca_uid,
	    name, text != NULL ? text : "?");
	b = reply_begin(rq);
	jw_open(b, '{');
	jw_kstr(b, "name", name);
	jw_key(b, "value");
	if (text != NULL)
		jw_raw(b, text, strlen(text));
	else
		jw_str(b, NULL);
	jw_close(b, '}');
	free(text);
	return (STEP_DONE);
}

/* ---- cancel ------------------------------------------------------------- */

/* May this caller end a request of that connection? */
static int
may_cancel(struct request *rq, uint64_t client)
{
	struct registry *rg = &rq->rq_daemon->dm_registry;
	const struct caller ca = request_caller(rq);
	const struct client *cl;
	int error = ENOENT;

	lock_acquire(&rg->rg_lock);
	TAILQ_FOREACH(cl, &rg->rg_clients, cl_link)
		if (cl->cl_id == client)
			error = ca.ca_privileged || cl->cl_uid == ca.ca_uid ?
			    0 : EPERM;
	lock_release(&rg->rg_lock);
	return (error);
}

enum step
cmd_cancel(struct request *rq)
{
	const struct proto_arg *arg = rq->rq_args;
	uint64_t client = arg[ARG_CANCEL_CLIENT].pa_given ?
	    (uint64_t)arg[ARG_CANCEL_CLIENT].pa_int :
	    rq->rq_conn->cn_client->cl_id;
	char *id;
	int error;

	error = may_cancel(rq, client);
	if (error == EPERM)
		return (reply_fail(rq, PE_NOT_OWNER, "client",
		    "connection %llu is another user's",
		    (unsigned long long)client));
	if (error != 0)
		return (reply_fail(rq, PE_PARAMS, "client",
		    "no connection %llu", (unsigned long long)client));
	id = json_dumps(
	    arg[ARG_CANCEL_ID].pa_json, JSON_ENCODE_ANY | JSON_COMPACT);
	if (id == NULL)
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	error = wait_cancel(rq->rq_daemon, client, id, PE_CANCELLED);
	free(id);
	if (error != 0)
		return (reply_fail(rq, PE_PARAMS, "id",
		    "no such request waits"));
	return (STEP_DONE);
}

/* ---- shutdown ----------------------------------------------------------- */

enum step
cmd_shutdown(struct request *rq)
{
	log_info("uid %u, client %llu: shutdown",
	    (unsigned int)request_caller(rq).ca_uid,
	    (unsigned long long)rq->rq_conn->cn_client->cl_id);
	daemon_shutdown(rq->rq_daemon);
	return (STEP_DONE);
}
