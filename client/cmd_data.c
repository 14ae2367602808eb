/*
 * cmd_data.c - read, write and free of more than one request holds.
 *
 * The protocol bounds its lines (64 KiB a request) and a read (1 MiB); people
 * shouldn't have to.  Slices are pipelined, a few at a time, in order.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/output.h"
#include "proto/base64.h"

#define WINDOW 8			/* slices under way */
/* 40 KiB of data make 55 KiB of base64: a line's 64 KiB leave room for the
 * rest, and slices of an aligned range stay aligned to pages. */
#define WRITE_SLICE 40960u
/* A multiple of 3, so that the slices' base64 can be joined. */
#define READ_SLICE (PROTO_READ_MAX - PROTO_READ_MAX % 3)
#define FREE_SLICE 2048u		/* addresses: 21 bytes each at most */

/* One transfer: requests go out at tr_sent, replies come in at tr_done. */
struct transfer {
	struct ctl *tr_ctl;
	struct vmemclient *tr_conn;
	const char *tr_method;
	struct args *tr_args;
	uint64_t tr_addr;
	uint64_t tr_sent, tr_done;	/* bytes */
	unsigned int tr_window;		/* requests under way */
	struct vmemclient_reply tr_reply;
};

static enum ctl_exit
transfer_init(struct transfer *tr, struct ctl *ct, const struct command *cm,
    struct args *ar)
{
	struct vmemclient_reply empty = VMEMCLIENT_REPLY_INIT;
	const char *addr =
	    json_string_value(json_object_get(ar->ar_params, "addr"));

	memset(tr, 0, sizeof(*tr));
	tr->tr_ctl = ct;
	tr->tr_method = cm->cm_method->pm_name;
	tr->tr_args = ar;
	tr->tr_reply = empty;
	tr->tr_addr = strtoull(addr, NULL, 16);
	return (ctl_connect(ct, &tr->tr_conn));
}

/* Send the slice at tr_sent: what is in tr_args, with its address. */
static enum ctl_exit
transfer_send(struct transfer *tr, uint64_t len)
{
	char hex[32], *params;
	uint64_t id, addr = tr->tr_addr + tr->tr_sent;
	int error;

	if (addr < tr->tr_addr)
		return (ctl_usage(tr->tr_ctl, tr->tr_method, "addr",
		    "the range goes past 2^64-1"));
	(void)snprintf(hex, sizeof(hex), "0x%" PRIx64, addr);
	(void)json_object_set_new(
	    tr->tr_args->ar_params, "addr", json_string(hex));
	params = json_dumps(tr->tr_args->ar_params, JSON_COMPACT);
	error = params == NULL ? ENOMEM :
	    vmemclient_send(tr->tr_conn, tr->tr_method, params, &id);
	free(params);
	if (error != 0)
		return (ctl_broken(tr->tr_ctl, tr->tr_method, error));
	tr->tr_sent += len;
	tr->tr_window++;
	return (CTL_DONE);
}

/* Take the reply to the oldest slice. */
static enum ctl_exit
transfer_receive(struct transfer *tr)
{
	int error = vmemclient_receive(
	    tr->tr_conn, tr->tr_ctl->ct_timeout_ms, &tr->tr_reply);

	tr->tr_window--;
	if (error != 0)
		return (ctl_broken(tr->tr_ctl, tr->tr_method, error));
	if (tr->tr_reply.code != 0)
		return (ctl_refused(
		    tr->tr_ctl, tr->tr_method, &tr->tr_reply));
	return (CTL_DONE);
}

/* After an error: the replies to what else is under way, untold. */
static void
transfer_fini(struct transfer *tr, enum ctl_exit code)
{
	while (tr->tr_window > 0 && code != CTL_UNREACHED) {
		tr->tr_window--;
		if (vmemclient_receive(tr->tr_conn, tr->tr_ctl->ct_timeout_ms,
			&tr->tr_reply) != 0)
			break;
	}
	vmemclient_reply_fini(&tr->tr_reply);
}

/* ---- write -------------------------------------------------------------- */

/* Up to a slice of standard input; *lenp 0 at its end. */
static int
read_slice(unsigned char *buf, size_t *lenp)
{
	size_t len = 0;
	ssize_t n = 1;

	while (len < WRITE_SLICE && n != 0) {
		n = read(STDIN_FILENO, buf + len, WRITE_SLICE - len);
		if (n < 0 && errno != EINTR)
			return (errno);
		if (n > 0)
			len += (size_t)n;
	}
	*lenp = len;
	return (0);
}

static enum ctl_exit
write_slices(struct transfer *tr)
{
	static unsigned char bytes[WRITE_SLICE];
	static char text[BASE64_ENCODED(WRITE_SLICE) + 1];
	enum ctl_exit code = CTL_DONE;
	size_t len = 0;
	int error;

	for (;;) {
		error = read_slice(bytes, &len);
		if (error != 0)
			return (ctl_fail(tr->tr_ctl, CTL_USAGE, "input",
			    "write: standard input: %s", strerror(error)));
		if (len == 0 && tr->tr_sent > 0)
			break;
		base64_encode(bytes, len, text);
		(void)json_object_set_new(
		    tr->tr_args->ar_params, "data", json_string(text));
		code = transfer_send(tr, len);
		if (code == CTL_DONE && tr->tr_window == WINDOW)
			code = transfer_receive(tr);
		if (code != CTL_DONE || len < WRITE_SLICE)
			break;
	}
	while (code == CTL_DONE && tr->tr_window > 0)
		code = transfer_receive(tr);
	return (code);
}

enum ctl_exit
cmd_write(struct ctl *ct, const struct command *cm, struct args *ar)
{
	struct transfer tr;
	enum ctl_exit code;
	json_t *result;

	if (ct->ct_script != NULL)
		return (ctl_usage(ct, cm->cm_name, NULL, "takes its data from"
		    " standard input, which a script can't give it; use fill"));
	if (isatty(STDIN_FILENO))
		ctl_note("write: type what to write, and end it with ^D");
	code = transfer_init(&tr, ct, cm, ar);
	if (code != CTL_DONE)
		return (code);
	code = write_slices(&tr);
	if (code == CTL_DONE) {
		result = json_pack("{s:I}", "bytes", (json_int_t)tr.tr_sent);
		output_tree(ct, cm, result);
		json_decref(result);
	}
	transfer_fini(&tr, code);
	return (code);
}

/* ---- read --------------------------------------------------------------- */

/* Where what is read goes: standard output, or (with -j) a growing text. */
struct sink {
	char *si_text;
	size_t si_len;
	unsigned char *si_bytes;	/* a slice, decoded */
};

static enum ctl_exit
sink_slice(struct transfer *tr, struct sink *si)
{
	json_t *result = json_loads(tr->tr_reply.result, 0, NULL);
	const char *data = json_string_value(json_object_get(result, "data"));
	size_t len = data != NULL ? strlen(data) : 0, decoded;
	enum ctl_exit code = CTL_DONE;
	char *grown;

	if (data == NULL || len > BASE64_ENCODED(READ_SLICE)) {
		code = ctl_broken(tr->tr_ctl, tr->tr_method, EPROTO);
	} else if (tr->tr_ctl->ct_json) {
		grown = realloc(si->si_text, si->si_len + len + 1);
		if (grown == NULL)
			code = ctl_broken(tr->tr_ctl, tr->tr_method, ENOMEM);
		else
			si->si_text = grown;
		if (grown != NULL)
			memcpy(grown + si->si_len, data, len + 1);
		si->si_len += grown != NULL ? len : 0;
	} else if (base64_decode(data, len, si->si_bytes, &decoded) != 0) {
		code = ctl_broken(tr->tr_ctl, tr->tr_method, EPROTO);
	} else {
		(void)fwrite(si->si_bytes, 1, decoded, stdout);
	}
	json_decref(result);
	return (code);
}

static enum ctl_exit
read_slices(struct transfer *tr, struct sink *si, uint64_t total)
{
	enum ctl_exit code = CTL_DONE;
	uint64_t len;

	do {
		while (code == CTL_DONE && tr->tr_window < WINDOW &&
		    (tr->tr_sent < total || total == 0)) {
			len = total - tr->tr_sent < READ_SLICE ?
			    total - tr->tr_sent : READ_SLICE;
			(void)json_object_set_new(tr->tr_args->ar_params, "len",
			    json_integer((json_int_t)len));
			code = transfer_send(tr, len);
			if (total == 0)
				break;
		}
		if (code == CTL_DONE)
			code = transfer_receive(tr);
		if (code == CTL_DONE)
			code = sink_slice(tr, si);
	} while (code == CTL_DONE && tr->tr_window > 0 && !ferror(stdout));
	return (code);
}

enum ctl_exit
cmd_read(struct ctl *ct, const struct command *cm, struct args *ar)
{
	const json_t *len = json_object_get(ar->ar_params, "len");
	struct sink si = { NULL, 0, malloc(READ_SLICE + 3) };
	struct transfer tr;
	enum ctl_exit code;

	if (json_is_string(len) || si.si_bytes == NULL) {
		free(si.si_bytes);
		return (ctl_usage(ct, cm->cm_name, "len",
		    "no allocation is that large"));
	}
	code = transfer_init(&tr, ct, cm, ar);
	if (code == CTL_DONE)
		code = read_slices(
		    &tr, &si, (uint64_t)json_integer_value(len));
	if (code == CTL_DONE && ct->ct_json)
		(void)printf("{\"data\":\"%s\"}\n",
		    si.si_text != NULL ? si.si_text : "");
	transfer_fini(&tr, code);
	free(si.si_text);
	free(si.si_bytes);
	return (code);
}

/* ---- free --------------------------------------------------------------- */

/* Add the members of a reply to those of the replies before. */
static void
add_up(json_t *sum, const char *result)
{
	json_t *tree = json_loads(result, 0, NULL), *value;
	const char *key;

	json_object_foreach(tree, key, value)
		(void)json_object_set_new(sum, key,
		    json_integer(json_integer_value(value) +
			json_integer_value(json_object_get(sum, key))));
	json_decref(tree);
}

static enum ctl_exit
free_slices(struct ctl *ct, const struct command *cm, json_t *params,
    json_t *addrs)
{
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	json_t *sum = json_object();
	size_t at = 0, count = json_array_size(addrs);
	enum ctl_exit code = CTL_DONE;
	char *text;

	while (code == CTL_DONE && at < count) {
		json_t *slice = json_array();

		for (size_t i = 0; i < FREE_SLICE && at < count; i++, at++)
			(void)json_array_append(
			    slice, json_array_get(addrs, at));
		(void)json_object_set_new(params, "addrs", slice);
		text = json_dumps(params, JSON_COMPACT);
		code = ctl_call(ct, "free", text, &reply);
		free(text);
		if (code == CTL_DONE)
			add_up(sum, reply.result);
	}
	if (code == CTL_DONE)
		output_tree(ct, cm, sum);
	json_decref(sum);
	vmemclient_reply_fini(&reply);
	return (code);
}

static enum ctl_exit
free_once(struct ctl *ct, const struct command *cm, struct args *ar)
{
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	const char *method;
	char *params = cmd_request(cm, ar, &method);
	enum ctl_exit code = ctl_call(ct, method, params, &reply);

	if (code == CTL_DONE)
		code = output_result(ct, cm, reply.result);
	free(params);
	vmemclient_reply_fini(&reply);
	return (code);
}

enum ctl_exit
cmd_free(struct ctl *ct, const struct command *cm, struct args *ar)
{
	json_t *params = ar->ar_params;
	json_t *addrs = json_object_get(params, "addrs");
	enum ctl_exit code;

	if (addrs == NULL && json_object_get(params, "addr") == NULL &&
	    json_object_get(params, "tag") == NULL &&
	    !json_is_true(json_object_get(params, "all")))
		return (ctl_usage(ct, cm->cm_name, "addr",
		    "nothing to free: give addresses, --tag TEXT or --all"));
	if (addrs == NULL || json_array_size(addrs) <= FREE_SLICE)
		return (free_once(ct, cm, ar));
	json_incref(addrs);
	code = free_slices(ct, cm, params, addrs);
	json_decref(addrs);
	return (code);
}
