/*
 * Goal: libvmemclient pairs replies with requests in whatever order they come,
 * delivers notifications, survives time-outs, and takes nothing that isn't the
 * protocol; its scanner knows JSON from what isn't.
 * Method: a socket pair whose other end is the test itself, or a thread where
 * both ends must move; texts and the place of their fault in a table.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/scan.h"
#include "vmemclient.h"

struct pair {
	struct vmemclient *vc;
	int peer;
	struct vmemclient_reply reply;
};

static int
setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(vmemclient_attach(fds[0], &p->vc), 0);
	p->peer = fds[1];
	*state = p;
	return (0);
}

static int
teardown(void **state)
{
	struct pair *p = *state;

	vmemclient_reply_fini(&p->reply);
	vmemclient_close(p->vc);
	if (p->peer >= 0)
		(void)close(p->peer);
	free(p);
	return (0);
}

static void
say(struct pair *p, const char *text)
{
	assert_int_equal(
	    write(p->peer, text, strlen(text)), (ssize_t)strlen(text));
}

static uint64_t
ask(struct pair *p, const char *method)
{
	uint64_t id;

	assert_int_equal(vmemclient_send(p->vc, method, NULL, &id), 0);
	return (id);
}

static void
test_request_line(void **state)
{
	struct pair *p = *state;
	char buf[512];
	uint64_t id;
	ssize_t n;

	assert_int_equal(vmemclient_send(p->vc, "x\"y",
	    "{\"size\":\n\"64K\"}", &id), 0);
	assert_int_equal(id, 1);
	assert_int_equal(vmemclient_flush(p->vc, 1000), 0);
	n = read(p->peer, buf, sizeof(buf) - 1);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_string_equal(buf, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
	    "\"x\\u0022y\",\"params\":{\"size\": \"64K\"}}\n");
	assert_int_equal(vmemclient_send(p->vc, "m", "{", &id), EINVAL);
	assert_int_equal(vmemclient_send(p->vc, "m", "{} {}", &id), EINVAL);
}

static void
test_any_order(void **state)
{
	struct pair *p = *state;

	(void)ask(p, "a");
	(void)ask(p, "b");
	(void)ask(p, "c");
	say(p, "{\"id\":3,\"result\":{\"n\":[3,{}]}}\n"
	       "{\"result\":2,\"jsonrpc\":\"2.0\",\"id\":2}\r\n"
	       "{\"id\":1,\"result\":\"one\" }\n");
	assert_int_equal(vmemclient_pending(p->vc), 3);
	assert_int_equal(vmemclient_receive_id(p->vc, 2, -1, &p->reply), 0);
	assert_string_equal(p->reply.result, "2");
	assert_int_equal(vmemclient_receive(p->vc, -1, &p->reply), 0);
	assert_int_equal(p->reply.id, 3);
	assert_string_equal(p->reply.result, "{\"n\":[3,{}]}");
	assert_int_equal(vmemclient_receive_id(p->vc, 1, -1, &p->reply), 0);
	assert_string_equal(p->reply.result, "\"one\"");
	assert_int_equal(vmemclient_receive(p->vc, -1, &p->reply), ENOENT);
	assert_int_equal(vmemclient_pending(p->vc), 0);
}

static void
test_error_fields(void **state)
{
	struct pair *p = *state;

	say(p, "{\"id\":1,\"error\":{\"code\":1,\"message\":"
	       "\"no \\\"space\\\"\\n\\u00e9\\ud83d\\ude00\\ud800\","
	       "\"data\":{\"name\":\"no_space\",\"errno\":\"ENOMEM\","
	       "\"field\":\"size\",\"n\":1}}}\n"
	       "{\"id\":null,\"error\":{\"code\":-32700,\"message\":\"?\"}}\n");
	assert_int_equal(vmemclient_call(p->vc, "a", NULL, -1, &p->reply), 0);
	assert_null(p->reply.result);
	assert_int_equal(p->reply.code, 1);
	assert_string_equal(p->reply.name, "no_space");
	assert_string_equal(p->reply.errno_name, "ENOMEM");
	assert_string_equal(p->reply.field, "size");
	assert_string_equal(p->reply.message,
	    "no \"space\"\n\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd");
	assert_string_equal(p->reply.data, "{\"name\":\"no_space\","
	    "\"errno\":\"ENOMEM\",\"field\":\"size\",\"n\":1}");
	assert_int_equal(p->reply.error[0], '{');
	assert_int_equal(vmemclient_call(p->vc, "b", NULL, -1, &p->reply), 0);
	assert_int_equal(p->reply.id, 0);
	assert_int_equal(p->reply.code, -32700);
	assert_null(p->reply.name);
}

static void
test_timeout_then_late_reply(void **state)
{
	struct pair *p = *state;

	assert_int_equal(
	    vmemclient_call(p->vc, "slow", NULL, 1, &p->reply), ETIMEDOUT);
	assert_int_equal(vmemclient_pending(p->vc), 0);
	say(p, "{\"id\":1,\"result\":1}\n{\"id\":2,\"result\":2}\n");
	assert_int_equal(vmemclient_call(p->vc, "b", NULL, -1, &p->reply), 0);
	assert_string_equal(p->reply.result, "2");
	(void)ask(p, "c");
	assert_int_equal(vmemclient_receive(p->vc, 0, &p->reply), ETIMEDOUT);
	say(p, "{\"id\":3,\"re");
	assert_int_equal(vmemclient_receive(p->vc, 0, &p->reply), ETIMEDOUT);
	say(p, "sult\":3}\n");
	assert_int_equal(vmemclient_receive(p->vc, 0, &p->reply), 0);
	assert_string_equal(p->reply.result, "3");
}

static void
note(void *arg, const char *method, const char *params)
{
	char *log = arg;

	(void)sprintf(log + strlen(log), "%s%s;", method,
	    params == NULL ? "" : params);
}

static void
test_notifications(void **state)
{
	struct pair *p = *state;
	char log[200] = "";

	vmemclient_set_notify(p->vc, note, log);
	say(p, "{\"method\":\"chunk\",\"params\":{\"a\":[1]}}\n"
	       "{\"method\":\"progress\"}\n{\"id\":1,\"result\":1}\n");
	assert_int_equal(vmemclient_call(p->vc, "a", NULL, -1, &p->reply), 0);
	assert_string_equal(log, "chunk{\"a\":[1]};progress;");
}

static void
broken_by(const char *text)
{
	void *state;
	struct pair *p;

	(void)setup(&state);
	p = state;
	say(p, text);
	assert_int_equal(
	    vmemclient_call(p->vc, "a", NULL, -1, &p->reply), EPROTO);
	/* And it stays so. */
	assert_int_equal(
	    vmemclient_call(p->vc, "a", NULL, -1, &p->reply), EPROTO);
	(void)teardown(&state);
}

static void
test_not_the_protocol(void **state)
{
	(void)state;
	broken_by("hello\n");
	broken_by("\n");
	broken_by("[]\n");
	broken_by("{\"id\":1}\n");
	broken_by("{\"result\":1}\n");
	broken_by("{\"id\":7,\"result\":1}\n");		/* never sent */
	broken_by("{\"id\":\"1\",\"result\":1}\n");
	broken_by("{\"id\":null,\"result\":1}\n");
	broken_by("{\"id\":1,\"result\":1,\"error\":{\"code\":1}}\n");
	broken_by("{\"id\":1,\"error\":{}}\n");
	broken_by("{\"id\":1,\"error\":{\"code\":0}}\n");
	broken_by("{\"id\":1,\"error\":\"no\"}\n");
}

static void
test_breaks_off(void **state)
{
	struct pair *p = *state;

	/* What was said before the end still counts. */
	say(p, "{\"id\":1,\"result\":1}\n{\"id\":2,");
	(void)close(p->peer);
	p->peer = -1;
	assert_int_equal(vmemclient_call(p->vc, "a", NULL, -1, &p->reply), 0);
	assert_int_equal(
	    vmemclient_call(p->vc, "b", NULL, -1, &p->reply), ECONNRESET);
}

#define FLOOD 20000

/* Answers everything, and only then reads on: it would wait for its replies to
 * be taken before it takes more requests. */
static void *
flood_server(void *arg)
{
	int fd = *(int *)arg;
	char in[4096], out[64];
	unsigned int seen = 0, n;

	while (seen < FLOOD) {
		ssize_t got = read(fd, in, sizeof(in));

		for (ssize_t i = 0; i < got; i++) {
			if (in[i] != '\n')
				continue;
			n = (unsigned int)snprintf(out, sizeof(out),
			    "{\"id\":%u,\"result\":%u}\n", seen + 1, seen);
			if (write(fd, out, n) != (ssize_t)n)
				return (NULL);
			seen++;
		}
		if (got <= 0)
			break;
	}
	return (NULL);
}

static void
test_flood_does_not_deadlock(void **state)
{
	struct pair *p = *state;
	pthread_t thread;

	assert_int_equal(
	    pthread_create(&thread, NULL, flood_server, &p->peer), 0);
	for (int i = 0; i < FLOOD; i++)
		(void)ask(p, "ping");
	assert_int_equal(vmemclient_flush(p->vc, -1), 0);
	for (uint64_t i = 1; i <= FLOOD; i++) {
		assert_int_equal(vmemclient_receive(p->vc, -1, &p->reply), 0);
		assert_int_equal(p->reply.id, i);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void
test_json_fault(void **state)
{
	static const struct {
		const char *text;
		int at;		/* -1: it is JSON */
	} cases[] = {
		{ "{}", -1 }, { " [ ] ", -1 }, { "0", -1 }, { "-0.5e+3", -1 },
		{ "{\"a\":[1,{\"b\":null}],\"c\":true}", -1 },
		{ "\"\\u12aF\\n\"", -1 }, { "[[],[[]],{}]", -1 },
		{ "", 0 }, { "{", 1 }, { "[1,]", 3 }, { "[,1]", 1 },
		{ "{\"a\"}", 4 }, { "{\"a\":}", 5 }, { "{a:1}", 1 },
		{ "{\"a\":1,}", 7 }, { "[1}", 2 }, { "01", 1 }, { "1.", 2 },
		{ "-", 1 }, { "\"\\x\"", 1 }, { "\"\\u12g4\"", 1 },
		{ "\"a\nb\"", 2 }, { "\"a", 2 }, { "nul", 0 }, { "1 2", 2 },
		{ "[1 2]", 3 }, { "{\"a\" 1}", 5 },
	};
	char deep[2 * SCAN_DEPTH_MAX + 3];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *text = cases[i].text;
		const char *fault = vmemclient_json_fault(text);

		if ((fault == NULL ? -1 : (int)(fault - text)) != cases[i].at)
			fail_msg("%s: fault at %d, wanted %d", text, fault ==
			    NULL ? -1 : (int)(fault - text), cases[i].at);
	}
	memset(deep, '[', SCAN_DEPTH_MAX);
	memset(deep + SCAN_DEPTH_MAX, ']', SCAN_DEPTH_MAX);
	deep[2 * SCAN_DEPTH_MAX] = '\0';
	assert_null(vmemclient_json_fault(deep));
	memset(deep, '[', SCAN_DEPTH_MAX + 1);
	assert_non_null(vmemclient_json_fault(deep));
}

static void
test_socket_path(void **state)
{
	char buf[108], path[200];

	(void)state;
	(void)setenv("VMEMD_SOCKET", "/a/b.sock", 1);
	assert_int_equal(vmemclient_socket_path("/x", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "/x");
	assert_int_equal(vmemclient_socket_path(NULL, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "/a/b.sock");
	(void)unsetenv("VMEMD_SOCKET");
	(void)setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
	assert_int_equal(vmemclient_socket_path(NULL, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "/run/vmemd/vmemd.sock");
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(
	    vmemclient_socket_path(path, buf, sizeof(buf)), ENAMETOOLONG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_request_line, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_error_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_timeout_then_late_reply, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_notifications, setup, teardown),
		cmocka_unit_test(test_not_the_protocol),
		cmocka_unit_test_setup_teardown(
		    test_breaks_off, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_flood_does_not_deadlock, setup, teardown),
		cmocka_unit_test(test_json_fault),
		cmocka_unit_test(test_socket_path),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
