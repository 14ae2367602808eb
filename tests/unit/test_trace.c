/*
 * Goal: a sound trace is read as it is written, plain and compressed; anything
 * else is refused with the file and the line that is wrong.
 * Method: small traces written to temporary files, with one fault each, and
 * the line expected in the message; xz files are made with liblzma, then cut
 * short or changed at every byte.
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
#include <unistd.h>

#include <cmocka.h>
#include <lzma.h>

#include "trace/pieces.h"
#include "trace/trace.h"

#define HEAD "# vmem-trace 1\n"

static char dir[] = "/tmp/test_trace.XXXXXX";

static const char *
file_of(const char *name, const void *bytes, size_t len)
{
	static char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	return (path);
}

static size_t
compress(const char *text, uint8_t *out, size_t room)
{
	size_t used = 0;

	assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL,
	    (const uint8_t *)text, strlen(text), out, &used, room), LZMA_OK);
	return (used);
}

/* What the reader makes of a text; fails the test unless `line` is blamed. */
static void
refused(const char *text, uint32_t line)
{
	struct trace_error err;
	struct trace *tr = NULL;
	char place[32];

	assert_int_equal(
	    trace_load(file_of("bad.vmt", text, strlen(text)), &tr, &err),
	    EBADMSG);
	assert_null(tr);
	(void)snprintf(place, sizeof(place), "bad.vmt: line %u: ", line);
	if (strstr(err.te_text, place) == NULL || err.te_line != line)
		fail_msg("wanted line %u, got: %s", line, err.te_text);
}

static void
test_reads(void **state)
{
	static const char text[] = HEAD
	    "# name: demo\n# program: a program: 1\n# quantum: 4096\n"
	    "# nops: 5\n# allocs: 2\n# threads: 2\n# peak_live_bytes: 12288\n"
	    "# a comment\na 1 8192\na 2 4096 4096 t1\np 1 0 4096\nf 1\n"
	    "f 2 t1\n";
	struct trace_error err;
	struct trace *tr;

	(void)state;
	assert_int_equal(
	    trace_load(file_of("demo.vmt", text, strlen(text)), &tr, &err), 0);
	assert_string_equal(tr->tr_name, "demo");
	assert_string_equal(tr->tr_program, "a program: 1");
	assert_int_equal(tr->tr_quantum, 4096);
	assert_int_equal(tr->tr_nops, 5);
	assert_int_equal(tr->tr_allocs, 2);
	assert_int_equal(tr->tr_aligned, 1);
	assert_int_equal(tr->tr_threads, 2);
	assert_int_equal(tr->tr_peak_bytes, 12288);
	assert_int_equal(tr->tr_peak_count, 2);
	assert_int_equal(tr->tr_end_count, 0);
	assert_int_equal(tr->tr_ops[1].op_kind, TRACE_ALLOC);
	assert_int_equal(tr->tr_ops[1].op_arg, 4096);
	assert_int_equal(tr->tr_ops[1].op_thread, 1);
	assert_int_equal(tr->tr_ops[1].op_line, 11);
	assert_int_equal(tr->tr_ops[2].op_kind, TRACE_PART);
	assert_int_equal(tr->tr_ops[2].op_size, 4096);
	trace_free(tr);
}

static void
test_refuses(void **state)
{
	(void)state;
	refused("", 1);
	refused("a 1 8\n", 1);
	refused("# vmem-trace 2\n", 1);
	refused(HEAD "a 1 8", 2);			/* no line feed */
	refused(HEAD "\n", 2);
	refused(HEAD "a 1 8\nx 1\n", 3);
	refused(HEAD "a 1\n", 2);
	refused(HEAD "a 1 8 8 8\n", 2);
	refused(HEAD "a  1 8\n", 2);
	refused(HEAD "a 1 8 \n", 2);
	refused(HEAD "a 1 -8\n", 2);
	refused(HEAD "a 1 0\n", 2);
	refused(HEAD "a 1 18446744073709551616\n", 2);
	refused(HEAD "a 1 18446744073709551615\na 2 1\n", 3);
	refused(HEAD "a 1 8 3\n", 2);
	refused(HEAD "a 1 8 0\n", 2);
	refused(HEAD "a 1 8 tx\n", 2);
	refused(HEAD "a 1 8 t99999999\n", 2);
	refused(HEAD "a 2 8\n", 2);
	refused(HEAD "a 1 8\na 1 8\n", 3);
	refused(HEAD "f 1\n", 2);
	refused(HEAD "f 0\n", 2);
	refused(HEAD "f 4294967297\n", 2);
	refused(HEAD "a 1 8\nf 1\nf 1\n", 4);
	refused(HEAD "a 1 8\np 1 0 8\n", 3);		/* the last of it */
	refused(HEAD "a 1 8\np 1 4 8\n", 3);
	refused(HEAD "a 1 8\np 1 0 0\n", 3);
	refused(HEAD "a 1 8\np 1 2 2\np 1 0 4\n", 4);	/* not all live */
	refused(HEAD "a 1 8\np 1 18446744073709551615 2\n", 3);
	refused(HEAD "a 1 8\nf 1\np 1 0 4\n", 4);
	refused(HEAD "# quantum: 0\n", 2);
	refused(HEAD "# quantum: 8\na 1 9\n", 3);
	refused(HEAD "# unit: pages\n", 2);
	refused(HEAD "# x: 1\n# x: 2\n", 3);
	refused(HEAD "a 1 8\n# nops: 1\n", 3);
	refused(HEAD "# x: 1\n# nops: 2\na 1 8\n", 3);	/* a wrong total */
	refused(HEAD "# allocs: 2\na 1 8\n", 2);
	refused(HEAD "# live_at_end_bytes: 0\na 1 8\n", 2);
	refused(HEAD "# peak_live_count: many\na 1 8\n", 2);
}

static void
test_refuses_nul_and_long_lines(void **state)
{
	static const char nul[] = HEAD "a 1 8\na 2\0 8\n";
	struct trace_error err;
	struct trace *tr;
	size_t len = sizeof(HEAD) - 1 + 70000;
	char *text = malloc(len + 1);

	(void)state;
	assert_int_equal(trace_load(file_of("nul.vmt", nul, sizeof(nul) - 1),
	    &tr, &err), EBADMSG);
	assert_int_equal(err.te_line, 3);
	memcpy(text, HEAD, sizeof(HEAD) - 1);
	memset(text + sizeof(HEAD) - 1, '#', 70000);
	assert_int_equal(
	    trace_load(file_of("long.vmt", text, len), &tr, &err), EBADMSG);
	assert_int_equal(err.te_line, 2);
	free(text);
	assert_int_equal(trace_load("/nonexistent.vmt", &tr, &err), ENOENT);
	assert_non_null(strstr(err.te_text, "/nonexistent.vmt"));
}

static void
test_xz(void **state)
{
	char text[6000] = HEAD;
	uint8_t packed[4096], broken[4096];
	struct trace_error err;
	struct trace *tr;
	size_t len;

	(void)state;
	for (int i = 1; i < 400; i++)
		(void)snprintf(text + strlen(text), 32, "a %d %d\n", i,
		    i * 37 % 4000 + 1);
	len = compress(text, packed, sizeof(packed));
	assert_int_equal(
	    trace_load(file_of("t.vmt.xz", packed, len), &tr, &err), 0);
	assert_int_equal(tr->tr_nops, 399);
	assert_string_equal(tr->tr_name, "t");
	trace_free(tr);
	for (size_t cut = 0; cut < len; cut++) {
		assert_int_equal(trace_load(
		    file_of("t.vmt.xz", packed, cut), &tr, &err), EBADMSG);
		assert_true(err.te_line >= 1);
		assert_non_null(strstr(err.te_text, "t.vmt.xz: line "));
	}
	for (size_t at = 0; at < len; at++) {
		memcpy(broken, packed, len);
		broken[at] ^= 0x10;
		assert_int_equal(trace_load(
		    file_of("t.vmt.xz", broken, len), &tr, &err), EBADMSG);
		assert_true(err.te_line >= 1);
	}
}

static void
test_times(void **state)
{
	static const char text[] = HEAD "a 1 8\nf 1\n";
	static const char good[] = "0\n250\n", few[] = "0\n", word[] = "0\nx\n";
	static const char many[] = "0\n1\n2\n";
	struct trace_error err;
	struct trace *tr;
	uint8_t packed[256];
	char path[256];
	size_t len;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s",
	    file_of("w.vmt", text, strlen(text)));
	assert_int_equal(trace_load(path, &tr, &err), 0);
	assert_int_equal(trace_load_times(tr, path, &err), ENOENT);
	assert_non_null(strstr(err.te_text, "w.times.xz"));
	(void)file_of("w.times", few, strlen(few));
	assert_int_equal(trace_load_times(tr, path, &err), EBADMSG);
	assert_int_equal(err.te_line, 1);
	(void)file_of("w.times", many, strlen(many));
	assert_int_equal(trace_load_times(tr, path, &err), EBADMSG);
	assert_int_equal(err.te_line, 3);
	(void)file_of("w.times", word, strlen(word));
	assert_int_equal(trace_load_times(tr, path, &err), EBADMSG);
	assert_int_equal(err.te_line, 2);
	assert_null(tr->tr_times);
	len = compress(good, packed, sizeof(packed));
	(void)file_of("w.times.xz", packed, len);
	assert_int_equal(trace_load_times(tr, path, &err), 0);
	assert_int_equal(tr->tr_times[1], 250);
	trace_free(tr);
}

static void
test_pieces(void **state)
{
	struct pieces ps;

	(void)state;
	assert_int_equal(pieces_init(&ps, 100), 0);
	assert_int_equal(pieces_cut(&ps, 10, 10), EINVAL);
	assert_int_equal(pieces_cut(&ps, 90, 101), EINVAL);
	assert_int_equal(pieces_cut(&ps, 10, 20), 0);
	assert_int_equal(pieces_cut(&ps, 5, 11), EINVAL);
	assert_int_equal(pieces_cut(&ps, 30, 40), 0);
	assert_int_equal(pieces_cut(&ps, 20, 30), 0);
	assert_int_equal(ps.ps_count, 2);
	assert_int_equal(ps.ps_list[0].pc_end, 10);
	assert_int_equal(ps.ps_list[1].pc_start, 40);
	assert_int_equal(pieces_cut(&ps, 0, 10), 0);
	assert_int_equal(pieces_cut(&ps, 40, 100), 0);
	assert_int_equal(ps.ps_count, 0);
	pieces_fini(&ps);
}

static int
setup(void **state)
{
	(void)state;
	return (mkdtemp(dir) == NULL);
}

static int
teardown(void **state)
{
	static const char *const names[] = { "bad.vmt", "demo.vmt", "nul.vmt",
		"long.vmt", "t.vmt.xz", "w.vmt", "w.times", "w.times.xz" };
	char path[256];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	return (rmdir(dir));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_refuses_nul_and_long_lines),
		cmocka_unit_test(test_xz),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_pieces),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
