/*
 * receive.c - taking replies, in the order they come or by their id.
 */
#include "config.h"

#include "vmemclient.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "client/conn.h"

/* Is it the reply to a call that was given up?  Then it is forgotten. */
static bool
was_dropped(struct vmemclient *vc, uint64_t id)
{
	for (unsigned int i = 0; i < vc->cn_dropped_count; i++)
		if (vc->cn_dropped[i] == id) {
			vc->cn_dropped[i] =
			    vc->cn_dropped[--vc->cn_dropped_count];
			return (true);
		}
	return (false);
}

static int
drop(struct vmemclient *vc, uint64_t id)
{
	unsigned int room = vc->cn_dropped_room;
	uint64_t *grown;

	if (vc->cn_dropped_count == room) {
		room = room == 0 ? 8 : 2 * room;
		grown = reallocarray(vc->cn_dropped, room, sizeof(*grown));
		if (grown == NULL)
			return (ENOMEM);
		vc->cn_dropped = grown;
		vc->cn_dropped_room = room;
	}
	vc->cn_dropped[vc->cn_dropped_count++] = id;
	return (0);
}

/* The next reply off the wire that somebody may want. */
static int
next_reply(struct vmemclient *vc, uint64_t deadline,
    struct vmemclient_reply *reply)
{
	enum message kind;
	size_t len;
	char *line;
	int error;

	for (;;) {
		if (vc->cn_wire == vc->cn_dropped_count)
			return (vc->cn_error != 0 ? vc->cn_error : ENOENT);
		while ((line = conn_line(vc, &len)) == NULL) {
			error = vc->cn_error != 0 ? vc->cn_error :
			    conn_pump(vc, deadline);
			if (error != 0)
				return (error);
		}
		error = conn_message(vc, line, len, reply, &kind);
		if (error != 0) {
			vc->cn_error = error;
			return (error);
		}
		if (kind == MESSAGE_NOTIFICATION)
			continue;
		vc->cn_wire--;
		if (!was_dropped(vc, reply->id))
			return (0);
	}
}

/* Give the stash's first reply of that id, 0 for any. */
static bool
take_stashed(struct vmemclient *vc, uint64_t id, struct vmemclient_reply *reply)
{
	struct stashed **shp, *sh;

	for (shp = &vc->cn_stash; (sh = *shp) != NULL; shp = &sh->sh_next) {
		if (id != 0 && sh->sh_reply.id != id)
			continue;
		*shp = sh->sh_next;
		if (sh->sh_next == NULL)
			vc->cn_stash_tail = shp;
		vc->cn_stash_count--;
		vmemclient_reply_fini(reply);
		*reply = sh->sh_reply;
		free(sh);
		return (true);
	}
	return (false);
}

static int
stash(struct vmemclient *vc, struct vmemclient_reply *reply)
{
	struct vmemclient_reply empty = VMEMCLIENT_REPLY_INIT;
	struct stashed *sh = malloc(sizeof(*sh));

	if (sh == NULL) {
		vc->cn_error = ENOMEM;
		return (ENOMEM);
	}
	sh->sh_reply = *reply;
	sh->sh_next = NULL;
	*reply = empty;
	*vc->cn_stash_tail = sh;
	vc->cn_stash_tail = &sh->sh_next;
	vc->cn_stash_count++;
	return (0);
}

int
vmemclient_receive(
    struct vmemclient *vc, int timeout_ms, struct vmemclient_reply *reply)
{
	if (take_stashed(vc, 0, reply))
		return (0);
	return (next_reply(vc, conn_deadline(timeout_ms), reply));
}

int
vmemclient_receive_id(struct vmemclient *vc, uint64_t id, int timeout_ms,
    struct vmemclient_reply *reply)
{
	uint64_t deadline = conn_deadline(timeout_ms);
	int error;

	if (take_stashed(vc, id, reply))
		return (0);
	for (;;) {
		error = next_reply(vc, deadline, reply);
		if (error != 0 || reply->id == id || reply->id == 0)
			return (error);
		error = stash(vc, reply);
		if (error != 0)
			return (error);
	}
}

int
vmemclient_call(struct vmemclient *vc, const char *method, const char *params,
    int timeout_ms, struct vmemclient_reply *reply)
{
	uint64_t id;
	int error;

	error = vmemclient_send(vc, method, params, &id);
	if (error != 0)
		return (error);
	error = vmemclient_receive_id(vc, id, timeout_ms, reply);
	if (error == ETIMEDOUT && drop(vc, id) != 0)
		error = vc->cn_error = ENOMEM;
	return (error);
}
