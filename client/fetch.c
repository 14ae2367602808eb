/*
 * fetch.c - see fetch.h.
 */
#include "config.h"

#include "client/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SOURCES_MAX 16		/* arenas above an arena */
#define PARAMS_MAX 1024

json_t *
fetch(struct ctl *ct, const char *method, const char *params,
    enum ctl_exit *codep)
{
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	json_t *tree = NULL;

	*codep = ctl_call(ct, method, params, &reply);
	if (*codep == CTL_DONE) {
		tree = json_loads(reply.result, JSON_DECODE_ANY, NULL);
		if (tree == NULL)
			*codep = ctl_broken(ct, method, EPROTO);
	}
	vmemclient_reply_fini(&reply);
	return (tree);
}

json_t *
fetch_arena(struct ctl *ct, const char *method, const char *arena_json,
    const char *more, enum ctl_exit *codep)
{
	char params[PARAMS_MAX];

	(void)snprintf(params, sizeof(params), "{\"arena\":%s%s}", arena_json,
	    more);
	return (fetch(ct, method, params, codep));
}

uint64_t
fetch_u64(const json_t *object, const char *name, uint64_t without)
{
	const json_t *value = json_object_get(object, name);

	if (json_is_integer(value))
		return ((uint64_t)json_integer_value(value));
	if (json_is_string(value))
		return (strtoull(json_string_value(value), NULL, 0));
	return (without);
}

json_t *
fetch_root(struct ctl *ct, json_t *arena, enum ctl_exit *codep)
{
	json_t *at = json_incref(arena);

	*codep = CTL_DONE;
	for (unsigned int i = 0; i < SOURCES_MAX && at != NULL; i++) {
		const char *source =
		    json_string_value(json_object_get(at, "source"));
		char quoted[64];
		json_t *above;

		if (source == NULL || *source == '\0' ||
		    json_is_true(json_object_get(at, "pageable")) ||
		    json_is_true(json_object_get(at, "shared")))
			break;
		(void)snprintf(quoted, sizeof(quoted), "\"%.40s\"", source);
		above = fetch_arena(ct, "arena.info", quoted, "", codep);
		json_decref(at);
		at = above;
	}
	return (at);
}
