/*
 * Goal: what is written by hand is JSON, and says what it was told.  Method:
 * random documents, and the corners of each type, are read back by jansson.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>
#include <time.h>

#include "daemon/buf.h"
#include "daemon/jsonw.h"
#include "util/rng.h"

static json_t *
parse(struct buf *b)
{
	json_error_t error;
	json_t *json;

	assert_false(b->b_failed);
	json = json_loadb(b->b_data + b->b_start, buf_len(b),
	    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (json == NULL)
		fail_msg("%s: %.*s", error.text, (int)buf_len(b),
		    b->b_data + b->b_start);
	return (json);
}

static void
test_values(void **state)
{
	struct buf b = { 0 };
	json_t *json;

	(void)state;
	jw_open(&b, '{');
	jw_ku64(&b, "zero", 0);
	jw_ku64(&b, "most", INT64_MAX);
	jw_ku64(&b, "more", UINT64_C(1) << 63);
	jw_kaddr(&b, "addr", UINT64_MAX);
	jw_kaddr(&b, "null", 0);
	jw_kbool(&b, "yes", true);
	jw_kreal(&b, "half", 0.5);
	jw_kreal(&b, "nan", 0.0 / 0.0);
	jw_kstr(&b, "text", "a\"\\\n\x01/\xc3\xa9:{[");
	jw_kstr(&b, "none", NULL);
	jw_kopen(&b, "list", '[');
	jw_i64(&b, INT64_MIN);
	jw_str(&b, "");
	jw_open(&b, '{');
	jw_close(&b, '}');
	jw_close(&b, ']');
	jw_close(&b, '}');
	json = parse(&b);
	assert_int_equal(
	    json_integer_value(json_object_get(json, "most")), INT64_MAX);
	assert_string_equal(json_string_value(json_object_get(json, "more")),
	    "0x8000000000000000");
	assert_string_equal(json_string_value(json_object_get(json, "addr")),
	    "0xffffffffffffffff");
	assert_string_equal(
	    json_string_value(json_object_get(json, "null")), "0x0");
	assert_string_equal(json_string_value(json_object_get(json, "text")),
	    "a\"\\\n\x01/\xc3\xa9:{[");
	assert_true(json_is_null(json_object_get(json, "none")));
	assert_true(json_number_value(json_object_get(json, "nan")) == 0);
	assert_int_equal(json_array_size(json_object_get(json, "list")), 3);
	assert_int_equal(json_integer_value(json_array_get(
	    json_object_get(json, "list"), 0)), INT64_MIN);
	json_decref(json);
	buf_fini(&b);
}

/* A random value, to a depth; counts the scalars. */
static unsigned int
write_random(struct buf *b, struct rng *rng, unsigned int depth)
{
	unsigned int n = (unsigned int)rng_below(rng, 5), scalars = 0;
	char key[16];

	switch (depth == 0 ? 2 : rng_below(rng, 3)) {
	case 0:
		jw_open(b, '[');
		for (unsigned int i = 0; i < n; i++)
			scalars += write_random(b, rng, depth - 1);
		jw_close(b, ']');
		return (scalars);
	case 1:
		jw_open(b, '{');
		for (unsigned int i = 0; i < n; i++) {
			(void)snprintf(key, sizeof(key), "k%u", i);
			jw_key(b, key);
			scalars += write_random(b, rng, depth - 1);
		}
		jw_close(b, '}');
		return (scalars);
	default:
		if (n % 2 == 0)
			jw_u64(b, rng_next(rng));
		else
			jw_str(b, "x[{:,");
		return (1);
	}
}

static unsigned int
count_scalars(const json_t *json)
{
	unsigned int n = 0;
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_array(json)) {
		json_array_foreach(json, i, value)
			n += count_scalars(value);
		return (n);
	}
	if (!json_is_object(json))
		return (1);
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
		n += count_scalars(value);
	return (n);
}

static void
test_random(void **state)
{
	uint64_t seed = (uint64_t)time(NULL);
	struct buf b = { 0 };
	struct rng rng;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	rng_init(&rng, seed);
	for (int i = 0; i < 2000; i++) {
		unsigned int scalars;
		json_t *json;

		buf_truncate(&b, 0);
		scalars = write_random(&b, &rng, 6);
		json = parse(&b);
		assert_int_equal(count_scalars(json), scalars);
		json_decref(json);
	}
	buf_fini(&b);
}

/* A buffer is a queue of bytes: what goes in comes out, in order. */
static void
test_buf(void **state)
{
	uint64_t seed = (uint64_t)time(NULL);
	unsigned char in = 0, out = 0, bytes[700];
	struct buf b = { 0 };
	struct rng rng;

	(void)state;
	rng_init(&rng, seed);
	for (int i = 0; i < 20000; i++) {
		size_t n = (size_t)rng_below(&rng, sizeof(bytes));

		if (rng_below(&rng, 2) == 0) {
			for (size_t j = 0; j < n; j++)
				bytes[j] = in++;
			buf_append(&b, bytes, n);
		} else {
			if (n > buf_len(&b))
				n = buf_len(&b);
			for (size_t j = 0; j < n; j++)
				assert_int_equal((unsigned char)
				    b.b_data[b.b_start + j], out++);
			buf_consume(&b, n);
		}
	}
	assert_false(b.b_failed);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_buf),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
