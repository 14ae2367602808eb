/*
 * reply.c - from a line to a reply or a notification.
 *
 * The line is copied into the reply's own buffer, and the texts of `result`
 * and `error` are ended in place there: what follows a member's value is a
 * comma, a bracket or white space that nobody needs any more.  The strings
 * within an error have to be unescaped, and go to a second buffer.
 */
#include "config.h"

#include "client/conn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/scan.h"

enum { M_ID, M_RESULT, M_ERROR, M_METHOD, M_PARAMS, M_COUNT };
static const char *const members[M_COUNT] = {
	"id", "result", "error", "method", "params"
};

enum { E_CODE, E_MESSAGE, E_DATA, E_COUNT };
static const char *const error_members[E_COUNT] = { "code", "message", "data" };

enum { D_NAME, D_ERRNO, D_FIELD, D_COUNT };
static const char *const data_members[D_COUNT] = { "name", "errno", "field" };

/* An integer in at most 19 digits, maybe negative. */
static int
integer(const struct span *sp, int64_t *valuep)
{
	const char *p = sp->sp_start;
	bool negative = p < sp->sp_end && *p == '-';
	int64_t value = 0;

	if (negative)
		p++;
	if (p == sp->sp_end)
		return (EPROTO);
	for (; p < sp->sp_end; p++) {
		if (*p < '0' || *p > '9' ||
		    __builtin_mul_overflow(value, INT64_C(10), &value) ||
		    __builtin_add_overflow(value, (int64_t)(*p - '0'), &value))
			return (EPROTO);
	}
	*valuep = negative ? -value : value;
	return (0);
}

/* End the text of a member where it ends; it lies in a buffer of ours. */
static const char *
ended(char *base, const char *line, const struct span *sp)
{
	if (sp->sp_start == NULL)
		return (NULL);
	base[sp->sp_end - line] = '\0';
	return (base + (sp->sp_start - line));
}

/* A string member into *top; what isn't one is as if it weren't there. */
static const char *
text(const struct span *sp, char **top)
{
	const char *start = *top;
	char *end = scan_string(sp, *top);

	if (end == NULL)
		return (NULL);
	*top = end + 1;
	return (start);
}

static int
parse_error(struct vmemclient_reply *reply)
{
	size_t len = strlen(reply->error), data_len;
	const char *end = reply->error + len;
	struct span sp[E_COUNT], data[D_COUNT];
	int64_t code;
	char *to;

	if (scan_members(reply->error, end, error_members, sp, E_COUNT) != 0 ||
	    sp[E_CODE].sp_start == NULL || integer(&sp[E_CODE], &code) != 0 ||
	    code == 0 || code < INT32_MIN || code > INT32_MAX)
		return (EPROTO);
	/* `data` again, and each of the strings, which it holds at most. */
	reply->own_error = to = malloc(2 * len + E_COUNT + D_COUNT);
	if (to == NULL)
		return (ENOMEM);
	reply->code = (int)code;
	reply->message = text(&sp[E_MESSAGE], &to);
	if (sp[E_DATA].sp_start == NULL)
		return (0);
	data_len = (size_t)(sp[E_DATA].sp_end - sp[E_DATA].sp_start);
	memcpy(to, sp[E_DATA].sp_start, data_len);
	to[data_len] = '\0';
	reply->data = to;
	to += data_len + 1;
	if (scan_members(sp[E_DATA].sp_start, sp[E_DATA].sp_end, data_members,
		data, D_COUNT) != 0)
		return (0);
	reply->name = text(&data[D_NAME], &to);
	reply->errno_name = text(&data[D_ERRNO], &to);
	reply->field = text(&data[D_FIELD], &to);
	return (0);
}

/* Forget what the reply was, but keep its buffer. */
static void
clear(struct vmemclient_reply *reply)
{
	struct vmemclient_reply empty = VMEMCLIENT_REPLY_INIT;

	free(reply->own_error);
	empty.own = reply->own;
	empty.own_size = reply->own_size;
	*reply = empty;
}

void
vmemclient_reply_fini(struct vmemclient_reply *reply)
{
	clear(reply);
	free(reply->own);
	reply->own = NULL;
	reply->own_size = 0;
}

static int
notification(struct vmemclient *vc, const struct span sp[M_COUNT])
{
	const struct span *method = &sp[M_METHOD], *params = &sp[M_PARAMS];
	size_t method_len = (size_t)(method->sp_end - method->sp_start);
	size_t params_len = params->sp_start == NULL ? 0 :
	    (size_t)(params->sp_end - params->sp_start);
	char *copy, *to;

	if (vc->cn_notify == NULL)
		return (0);
	copy = malloc(method_len + 1 + params_len + 1);
	if (copy == NULL)
		return (ENOMEM);
	to = scan_string(method, copy);
	if (to == NULL) {
		free(copy);
		return (EPROTO);
	}
	if (params_len > 0)
		memcpy(to + 1, params->sp_start, params_len);
	to[1 + params_len] = '\0';
	vc->cn_notify(vc->cn_notify_arg, copy, params_len > 0 ? to + 1 : NULL);
	free(copy);
	return (0);
}

int
conn_message(struct vmemclient *vc, const char *line, size_t len,
    struct vmemclient_reply *reply, enum message *kind)
{
	struct span sp[M_COUNT];
	int64_t id = 0;
	bool null_id;

	if (scan_members(line, line + len, members, sp, M_COUNT) != 0)
		return (EPROTO);
	if (sp[M_METHOD].sp_start != NULL && sp[M_ID].sp_start == NULL) {
		*kind = MESSAGE_NOTIFICATION;
		return (notification(vc, sp));
	}
	null_id = sp[M_ID].sp_start != NULL && *sp[M_ID].sp_start == 'n';
	if (sp[M_ID].sp_start == NULL ||
	    (!null_id && integer(&sp[M_ID], &id) != 0) ||
	    (sp[M_RESULT].sp_start == NULL) == (sp[M_ERROR].sp_start == NULL))
		return (EPROTO);
	if (null_id ? sp[M_ERROR].sp_start == NULL :
	    id < 1 || (uint64_t)id >= vc->cn_next_id)
		return (EPROTO);
	clear(reply);
	if (conn_reserve(&reply->own, &reply->own_size, len + 1) != 0)
		return (ENOMEM);
	memcpy(reply->own, line, len + 1);
	reply->id = (uint64_t)id;
	reply->result = ended(reply->own, line, &sp[M_RESULT]);
	reply->error = ended(reply->own, line, &sp[M_ERROR]);
	*kind = MESSAGE_REPLY;
	return (reply->error != NULL ? parse_error(reply) : 0);
}
