/*
 * Goal: a stream is cut into the same lines however it arrives, limits hold to
 * the byte, and what is over them costs one refusal and nothing of what
 * follows.  Method: every case is fed whole, byte by byte, and in random
 * pieces (seed printed); the sequence of results must be the same.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

#include "daemon/frame.h"
#include "proto/methods.h"
#include "util/rng.h"

#define RESULTS_MAX 64

struct outcome {
	unsigned int count;
	struct {
		enum frame_result result;
		size_t len;
		char first;	/* of the line, or 0 */
	} at[RESULTS_MAX];
};

static void
take_all(struct frame *fr, struct outcome *oc)
{
	enum frame_result result;
	char *line = NULL;
	size_t len = 0;

	while ((result = frame_next(fr, &line, &len)) != FRAME_MORE) {
		assert_true(oc->count < RESULTS_MAX);
		oc->at[oc->count].result = result;
		oc->at[oc->count].len = result == FRAME_LINE ? len : 0;
		oc->at[oc->count].first =
		    result == FRAME_LINE && len > 0 ? line[0] : 0;
		oc->count++;
	}
}

/* Feed in pieces of 1 to `piece` bytes. */
static struct outcome
feed(const char *text, size_t len, size_t piece, struct rng *rng)
{
	struct frame fr = { 0 };
	struct outcome oc = { 0 };

	for (size_t i = 0; i < len;) {
		size_t n = piece == 1 ? 1 : 1 + (size_t)rng_below(rng, piece);
		char *room;

		if (n > len - i)
			n = len - i;
		room = frame_room(&fr, n);
		assert_non_null(room);
		memcpy(room, text + i, n);
		frame_filled(&fr, n);
		take_all(&fr, &oc);
		i += n;
	}
	frame_fini(&fr);
	return (oc);
}

static void
expect_same(const struct outcome *a, const struct outcome *b)
{
	assert_int_equal(a->count, b->count);
	for (unsigned int i = 0; i < a->count; i++) {
		assert_int_equal(a->at[i].result, b->at[i].result);
		assert_int_equal(a->at[i].len, b->at[i].len);
		assert_int_equal(a->at[i].first, b->at[i].first);
	}
}

static struct outcome
feed_all_ways(const char *text, size_t len)
{
	uint64_t seed = (uint64_t)time(NULL);
	struct outcome whole, other;
	struct rng rng;

	print_message("seed %llu\n", (unsigned long long)seed);
	rng_init(&rng, seed);
	other = feed(text, len, 1, &rng);
	for (size_t piece = 2; piece <= 4 * 65536; piece *= 8) {
		whole = feed(text, len, piece, &rng);
		expect_same(&whole, &other);
	}
	return (other);
}

static void
test_lines(void **state)
{
	static const char text[] = "one\n\n  two\r\nthree";
	struct outcome oc = feed_all_ways(text, sizeof(text) - 1);

	(void)state;
	assert_int_equal(oc.count, 3);
	assert_int_equal(oc.at[0].len, 3);
	assert_int_equal(oc.at[1].len, 0);
	assert_int_equal(oc.at[2].len, 6);
}

/* A line of `len` bytes that begins with `head`, then "x\n". */
static struct outcome
one_long(const char *head, size_t len)
{
	size_t n = strlen(head);
	char *text = malloc(len + 4);
	struct outcome oc;

	assert_non_null(text);
	memset(text, 'y', len);
	memcpy(text, head, n);
	memcpy(text + len, "\nx\n", 3);
	oc = feed_all_ways(text, len + 3);
	free(text);
	return (oc);
}

static void
test_limits(void **state)
{
	static const struct {
		const char *head;
		size_t limit;
	} cases[] = { { "{", PROTO_LINE_MAX }, { "[", PROTO_BATCH_MAX },
		{ " \t [", PROTO_BATCH_MAX }, { "   ", PROTO_LINE_MAX } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outcome fits = one_long(cases[i].head, cases[i].limit);
		struct outcome over =
		    one_long(cases[i].head, cases[i].limit + 1);
		struct outcome far_over =
		    one_long(cases[i].head, 2 * cases[i].limit);

		assert_int_equal(fits.count, 2);
		assert_int_equal(fits.at[0].result, FRAME_LINE);
		assert_int_equal(fits.at[0].len, cases[i].limit);
		assert_int_equal(over.count, 2);
		assert_int_equal(over.at[0].result, FRAME_TOO_LONG);
		assert_int_equal(over.at[1].first, 'x');
		expect_same(&over, &far_over);
	}
}

static void
test_check(void **state)
{
	char deep[2 * PROTO_DEPTH_MAX + 4];

	(void)state;
	assert_null(frame_check("{\"a\":[1]}", 9));
	assert_non_null(frame_check("{}\0", 3));
	memset(deep, '[', PROTO_DEPTH_MAX);
	memset(deep + PROTO_DEPTH_MAX, ']', PROTO_DEPTH_MAX);
	assert_null(frame_check(deep, 2 * PROTO_DEPTH_MAX));
	memset(deep, '[', PROTO_DEPTH_MAX + 1);
	assert_non_null(frame_check(deep, PROTO_DEPTH_MAX + 1));
	/* In strings brackets don't count, nor do escaped quotes end them. */
	memset(deep, '[', sizeof(deep));
	deep[0] = '"';
	deep[1] = '\\';
	deep[2] = '"';
	deep[sizeof(deep) - 1] = '"';
	assert_null(frame_check(deep, sizeof(deep)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_check),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
