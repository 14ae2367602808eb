/*
 * Goal: the table of methods is sound, and its parser takes what the table
 * allows and nothing else.  Method: every row and its defaults are walked; a
 * list of good and bad params, with the field that is to be blamed; and the
 * schema of each row is one.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/params.h"

static struct proto_arg args[PROTO_PARAMS_MAX];
static struct proto_params_error pe;

/* Parse text as the params of a method; the JSON lives until the next call. */
static int
parse(const char *method, const char *text)
{
	static json_t *json;
	const struct proto_method *pm = proto_method_find(method);

	assert_non_null(pm);
	json_decref(json);
	json = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
	assert_true(text == NULL || json != NULL);
	memset(&pe, 0, sizeof(pe));
	return (proto_params_parse(pm, json, args, &pe));
}

static void
refused(const char *method, const char *text, enum proto_error code,
    const char *field)
{
	assert_int_not_equal(parse(method, text), 0);
	assert_int_equal(pe.pe_code, code);
	assert_string_equal(pe.pe_field, field);
	assert_true(pe.pe_why[0] != '\0');
}

static void
test_table(void **state)
{
	(void)state;
	for (const struct proto_method *pm = proto_methods;
	     pm->pm_name != NULL; pm++) {
		unsigned int n = proto_param_count(pm), index;

		assert_true(n <= PROTO_PARAMS_MAX);
		assert_ptr_equal(proto_method_find(pm->pm_name), pm);
		assert_non_null(pm->pm_summary);
		assert_non_null(pm->pm_result);
		for (unsigned int i = 0; i < n; i++) {
			const struct proto_param *pp = &pm->pm_params[i];

			assert_ptr_equal(
			    proto_param_find(pm, pp->pp_name, &index), pp);
			assert_int_equal(index, i);
			assert_non_null(pp->pp_help);
			assert_true((pp->pp_values != NULL) ==
			    (pp->pp_type == PT_ENUM));
			assert_false((pp->pp_flags & PP_REQUIRED) &&
			    pp->pp_default != NULL);
		}
	}
	assert_null(proto_method_find("nope"));
}

static void
test_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse("alloc", "{\"size\":1}"), 0);
	assert_string_equal(args[ARG_ALLOC_ARENA].pa_string, "heap");
	assert_false(args[ARG_ALLOC_ARENA].pa_given);
	assert_true(args[ARG_ALLOC_SIZE].pa_given);
	assert_int_equal(args[ARG_ALLOC_COUNT].pa_int, 1);
	assert_int_equal(args[ARG_ALLOC_SLEEP_MS].pa_int, 0);
	assert_false(args[ARG_ALLOC_KEEP].pa_bool);
	assert_null(args[ARG_ALLOC_TAG].pa_string);
	assert_int_equal(parse("fragment", NULL), 0);
	assert_int_equal(args[ARG_FRAGMENT_PATTERN].pa_enum, 1);
	assert_true(args[ARG_FRAGMENT_TARGET].pa_real == 0.5);
	assert_int_equal(parse("arena.create", "{\"name\":\"x\"}"), 0);
	assert_int_equal(args[ARG_CREATE_QUANTUM].pa_size, 4096);
}

static void
test_accepted(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} sizes[] = { { "0", 0 }, { "4096", 4096 },
		{ "9223372036854775807", INT64_MAX },
		{ "\"0xffffffffffffffff\"", UINT64_MAX },
		{ "\"18446744073709551615\"", UINT64_MAX }, { "\"64K\"", 65536 },
		{ "\"2m\"", 2 << 20 }, { "\"15E\"", UINT64_C(15) << 60 } };
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		(void)snprintf(
		    text, sizeof(text), "{\"size\":%s}", sizes[i].text);
		assert_int_equal(parse("alloc", text), 0);
		assert_true(args[ARG_ALLOC_SIZE].pa_size == sizes[i].size);
	}
	assert_int_equal(
	    parse("free", "{\"addrs\":[0,\"0x10\",4096],\"force\":true}"), 0);
	assert_int_equal(
	    json_array_size(args[ARG_FREE_ADDRS].pa_json), 3);
	assert_true(args[ARG_FREE_FORCE].pa_bool);
	assert_int_equal(parse("alloc", "{\"size\":1,\"fit\":\"last\"}"), 0);
	assert_int_equal(args[ARG_ALLOC_FIT].pa_enum, 4);
	assert_int_equal(parse("ping", NULL), 0);
	assert_int_equal(parse("ping", "{}"), 0);
}

static void
test_refused(void **state)
{
	static const char *const bad_sizes[] = { "-1", "1.0", "true", "null",
		"[]", "{}", "\"\"", "\"64Q\"", "\"-1\"", "\" 1\"", "\"1 \"",
		"\"0x\"", "\"0xg\"", "\"16E\"", "\"18446744073709551616\"",
		"\"64KK\"", "\"K\"" };
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(bad_sizes) / sizeof(bad_sizes[0]); i++) {
		(void)snprintf(text, sizeof(text), "{\"size\":%s}",
		    bad_sizes[i]);
		refused("alloc", text, PE_PARAMS, "size");
	}
	refused("alloc", NULL, PE_PARAMS, "size");
	refused("alloc", "[1]", PE_PARAMS, "");
	refused("alloc", "{\"size\":1,\"sise\":1}", PE_PARAMS, "sise");
	refused("ping", "{\"x\":1}", PE_PARAMS, "x");
	refused("ping", "{\"idem\":\"a\"}", PE_NOT_SUPPORTED, "idem");
	refused("alloc", "{\"size\":1,\"count\":0}", PE_PARAMS, "count");
	refused("alloc", "{\"size\":1,\"count\":65537}", PE_PARAMS, "count");
	refused("alloc", "{\"size\":1,\"at\":\"64K\"}", PE_PARAMS, "at");
	refused("alloc", "{\"size\":1,\"fit\":\"inst\"}", PE_PARAMS, "fit");
	refused("alloc", "{\"size\":1,\"fit\":\"instant best\"}", PE_PARAMS,
	    "fit");
	refused("alloc", "{\"size\":1,\"keep\":1}", PE_PARAMS, "keep");
	refused("free", "{\"addrs\":[]}", PE_PARAMS, "addrs");
	refused("free", "{\"addrs\":[1,-1]}", PE_PARAMS, "addrs");
	refused("fragment", "{\"target\":1.01}", PE_PARAMS, "target");
	refused("write", "{\"addr\":0,\"data\":1}", PE_PARAMS, "data");
}

static void
test_schema(void **state)
{
	(void)state;
	for (const struct proto_method *pm = proto_methods;
	     pm->pm_name != NULL; pm++) {
		json_t *schema = proto_params_schema(pm);
		json_t *properties = json_object_get(schema, "properties");

		assert_non_null(schema);
		assert_int_equal(
		    json_object_size(properties), proto_param_count(pm));
		assert_true(json_is_false(
		    json_object_get(schema, "additionalProperties")));
		for (unsigned int i = 0; i < proto_param_count(pm); i++)
			assert_non_null(json_object_get(
			    properties, pm->pm_params[i].pp_name));
		json_decref(schema);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_schema),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	(void)parse("ping", NULL);	/* lets go of the last JSON */
	return (failed);
}
