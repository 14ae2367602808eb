/*
 * Goal: a command line becomes the params that the table of methods says, or
 * an error that names the parameter; scripts' lines are parted as sh does.
 * Method: command lines with the JSON or the blamed field expected of each;
 * every row of the table is given as an option and must arrive.
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

#include <cmocka.h>

#include "client/args.h"
#include "client/cmd.h"
#include "client/help.h"
#include "client/words.h"

/* Parse a line as `run` would; params as JSON, or "!field" or "!". */
static char *
parsed(const char *text)
{
	char line[4096], *words[WORDS_MAX + 1], *result;
	const struct command *cm;
	struct cmd_fault fault;
	struct args ar;
	int count;

	(void)snprintf(line, sizeof(line), "%s", text);
	assert_null(words_split(line, words, &count));
	if (cmd_parse(count, words, &cm, &ar, &fault) != 0) {
		assert_true(fault.cf_error.ae_text[0] != '\0');
		result = malloc(80);
		(void)snprintf(result, 80, "!%s", fault.cf_error.ae_field);
		return (result);
	}
	result = json_dumps(json_object_size(ar.ar_own) > 0 ? ar.ar_own :
	    ar.ar_params, JSON_COMPACT |
	    JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
	args_fini(&ar);
	return (result);
}

static void
test_lines(void **state)
{
	static const struct {
		const char *line, *want;
	} cases[] = {
		{ "ping", "{}" },
		{ "ping x", "!" },
		{ "pong", "!" },
		{ "alloc 64K", "{\"size\":65536}" },
		{ "alloc 0x10 --count=3", "{\"count\":3,\"size\":16}" },
		{ "alloc --size 1 --tag 'a b'",
		    "{\"size\":1,\"tag\":\"a b\"}" },
		{ "alloc", "!size" },
		{ "alloc 64Q", "!size" },
		{ "alloc -5", "!size" },
		{ "alloc ''", "!size" },
		{ "alloc 0", "{\"size\":0}" },
		{ "alloc 9223372036854775808",
		    "{\"size\":\"0x8000000000000000\"}" },
		{ "alloc 16E", "!size" },
		{ "alloc 18446744073709551616", "!size" },
		{ "alloc 1 2", "!" },
		{ "alloc 1 --count 0", "!count" },
		{ "alloc 1 --count 65537", "!count" },
		{ "alloc 1 --count x", "!count" },
		{ "alloc 1 --count", "!count" },
		{ "alloc 1 --count 1 --count 1", "!count" },
		{ "alloc 1 --sleep-ms -1", "{\"size\":1,\"sleep_ms\":-1}" },
		{ "alloc 1 --no-keep", "{\"keep\":false,\"size\":1}" },
		{ "alloc 1 --keep=1", "!keep" },
		{ "alloc 1 --fit worst", "!fit" },
		{ "alloc 1 --fit best", "{\"fit\":\"best\",\"size\":1}" },
		{ "alloc 1 --frob 1", "!" },
		{ "alloc -- 1", "{\"size\":1}" },
		{ "alloc 1 --min 0x10", "{\"min\":\"0x10\",\"size\":1}" },
		{ "alloc 1 --min 1K", "!min" },
		{ "free 0x1000", "{\"addr\":\"0x1000\"}" },
		{ "free 4096 8192", "{\"addrs\":[\"0x1000\",\"0x2000\"]}" },
		{ "free 0x1000 zzz", "!addrs" },
		{ "free zzz", "!addr" },
		{ "free --tag x", "{\"tag\":\"x\"}" },
		{ "arena list", "{}" },
		{ "arena.list", "{}" },
		{ "arena", "!" },
		{ "arena create ids --size 1M --quantum 1",
		    "{\"name\":\"ids\",\"quantum\":1,\"size\":1048576}" },
		{ "arena create", "!name" },
		{ "fragment --target 0.7", "{\"target\":0.7}" },
		{ "fragment --target 1.5", "!target" },
		{ "fragment --target nan", "!target" },
		{ "set log_level debug",
		    "{\"name\":\"log_level\",\"value\":\"debug\"}" },
		{ "set direct_map true",
		    "{\"name\":\"direct_map\",\"value\":true}" },
		{ "dump segments --arena kmem",
		    "{\"arena\":\"kmem\",\"what\":\"segments\"}" },
		{ "dump segmnts", "!what" },
		{ "cancel 7", "{\"id\":7}" },
		{ "cancel '\"x\"'", "{\"id\":\"x\"}" },
		{ "write 0x1000", "{\"addr\":\"0x1000\"}" },
		{ "run - -k", "{\"file\":\"-\",\"keep_going\":true}" },
		{ "replay", "!trace" },
		{ "replay t --clients 0", "!clients" },
		{ "replay t --verify all", "!verify" },
		{ "call ping '{}'",
		    "{\"method\":\"ping\",\"params\":\"{}\"}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *got = parsed(cases[i].line);

		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: got %s, wanted %s", cases[i].line, got,
			    cases[i].want);
		free(got);
	}
}

/* A valid value for a parameter, as a user would write it. */
static const char *
example(const struct proto_param *pp)
{
	static char word[64];

	switch (pp->pp_type) {
	case PT_ENUM:
		(void)snprintf(word, sizeof(word), "%.*s",
		    (int)strcspn(pp->pp_values, " "), pp->pp_values);
		return (word);
	case PT_REAL:
		return ("0.5");
	case PT_ADDR:
		return ("0x1000");
	default:
		return ("1");
	}
}

static void
test_every_row_is_an_option(void **state)
{
	(void)state;
	for (size_t i = 0; i < proto_method_count; i++) {
		const struct proto_method *pm = &proto_methods[i];
		const struct proto_param *pp;

		for (pp = pm->pm_params; pp->pp_name != NULL; pp++) {
			char line[256], option[64], *got;

			if (pp->pp_type == PT_ADDRS || pp->pp_type == PT_DATA)
				continue;
			(void)args_option_name(pp, option, sizeof(option));
			(void)snprintf(line, sizeof(line), "%s --%s %s",
			    pm->pm_name, option,
			    pp->pp_type == PT_BOOL ? "" : example(pp));
			/* Other required ones may be missing; not this. */
			got = parsed(line);
			if (got[0] == '!' ? strcmp(got + 1, pp->pp_name) == 0 ||
			    got[1] == '\0' : strstr(got, pp->pp_name) == NULL)
				fail_msg("%s: %s", line, got);
			free(got);
		}
	}
}

static void
test_words(void **state)
{
	static const struct {
		const char *line, *want;	/* joined by |; NULL: wrong */
	} cases[] = {
		{ "", "" }, { "   # all of it", "" }, { "a b\tc\r\n", "a|b|c" },
		{ "a#b #c", "a#b" }, { "'a b' \"c d\"", "a b|c d" },
		{ "a\\ b", "a b" }, { "'' x", "|x" },
		{ "\"a\\\"b\\\\c\\d\"", "a\"b\\c\\d" }, { "'a\\'", "a\\" },
		{ "x'y'\"z\"", "xyz" }, { "a\\#", "a#" },
		{ "'a", NULL }, { "\"a", NULL }, { "a\\", NULL },
	};
	char line[64], joined[64], *words[WORDS_MAX + 1];
	int count;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *why;

		(void)strcpy(line, cases[i].line);
		why = words_split(line, words, &count);
		if (cases[i].want == NULL) {
			assert_non_null(why);
			continue;
		}
		assert_null(why);
		joined[0] = '\0';
		for (int w = 0; w < count; w++) {
			if (w > 0)
				(void)strcat(joined, "|");
			(void)strcat(joined, words[w]);
		}
		assert_string_equal(joined, cases[i].want);
		assert_null(words[count]);
	}
}

static void
test_guesses(void **state)
{
	(void)state;
	assert_string_equal(command_like("aloc"), "alloc");
	assert_string_equal(command_like("fere"), "free");
	assert_string_equal(command_like("arena lst"), "arena list");
	assert_string_equal(command_like("stat"), "stats");
	assert_null(command_like("zzzzzz"));
}

static void
test_help_fits_80_columns(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	assert_non_null(f);
	help_all(f);
	for (size_t i = 0; i < command_count(); i++)
		help_command(f, command_at(i));
	assert_int_equal(fclose(f), 0);
	for (char *line = strtok(text, "\n"); line != NULL;
	     line = strtok(NULL, "\n"))
		if (strlen(line) > 80)
			fail_msg("%zu columns: %s", strlen(line), line);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_every_row_is_an_option),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_guesses),
		cmocka_unit_test(test_help_fits_80_columns),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
