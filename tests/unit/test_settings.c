/*
 * Goal: settings come from the command line, then the file, then the defaults;
 * what is wrong is refused by name and line; SIGHUP's second reading sees what
 * has changed.  Method: files in a directory of the test's own.
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

#include <unistd.h>

#include "daemon/settings.h"

static char dir[] = "/tmp/vmemd-settings.XXXXXX";
static char path[64];
static char why[SETTINGS_WHY_MAX];

static void
write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int
load(struct settings *se, ...)
{
	char *argv[16], name[] = "vmemd";
	int argc = 1;
	va_list ap;

	argv[0] = name;
	va_start(ap, se);
	while ((argv[argc] = va_arg(ap, char *)) != NULL)
		argc++;
	va_end(ap);
	why[0] = '\0';
	return (settings_load(se, argc, argv, why));
}

/* Refused, and the reason says `word`. */
#define REFUSED(word, ...)                                                   \
	do {                                                                 \
		struct settings se_;                                         \
		assert_int_not_equal(load(&se_, __VA_ARGS__, NULL), 0);      \
		if (strstr(why, word) == NULL)                               \
			fail_msg("no \"%s\" in: %s", word, why);             \
		settings_fini(&se_);                                         \
	} while (0)

static void
test_defaults(void **state)
{
	struct settings se;

	(void)state;
	write_file("");
	assert_int_equal(load(&se, "--config", path, NULL), 0);
	assert_true(se.se_va_size == UINT64_C(64) << 30);
	assert_true(se.se_frames == 256 << 20);
	assert_int_equal(se.se_commit, VMPAGER_OVERCOMMIT);
	assert_null(se.se_swap);
	settings_fini(&se);
}

static void
test_precedence(void **state)
{
	struct settings se;

	(void)state;
	write_file("; comment\n[vmemd]\nframes = 32M\nswap_size=2M\n"
	    "socket = /file\n");
	assert_int_equal(load(&se, "-c", path, "--frames", "16M", NULL), 0);
	assert_true(se.se_frames == 16 << 20);
	assert_true(se.se_swap_size == 2 << 20);
	assert_string_equal(se.se_socket, "/file");
	settings_fini(&se);
	assert_int_equal(load(&se, "-c", path, "-s", "/line", NULL), 0);
	assert_string_equal(se.se_socket, "/line");
	settings_fini(&se);
}

static void
test_refused(void **state)
{
	(void)state;
	REFUSED("frames", "--frames", "many");
	REFUSED("frames", "--frames", "64Q");
	REFUSED("frames", "--frames", "1");
	REFUSED("va-size", "--va-size", "0");
	REFUSED("va-size", "--va-size", "1025");
	REFUSED("va-base", "--va-base", "1");
	REFUSED("threads", "--threads", "0");
	REFUSED("threads", "--threads", "1000");
	REFUSED("threads", "--threads", "-1");
	REFUSED("commit", "--commit", "maybe");
	REFUSED("log-level", "--log-level", "loud");
	REFUSED("--nope", "--nope");
	REFUSED("needs a value", "--frames");
	REFUSED("unexpected", "stray");
	REFUSED("not both", "--foreground", "--daemonize");
	REFUSED("not supported", "--state-dir", "/x");
	REFUSED("not supported", "--http", "127.0.0.1:1");
	REFUSED("not supported", "--sync");
	REFUSED("direct-map", "--direct-map", "perhaps");
	REFUSED("/nonexistent", "--config", "/nonexistent/file");
}

static void
test_bad_file(void **state)
{
	(void)state;
	write_file("frames = 32M\nframe = 1\n");
	REFUSED(":2: unknown setting: frame", "-c", path);
	write_file("\n\nfoo\n");
	REFUSED(":3", "-c", path);
	write_file("[other]\nframes = 1M\n");
	REFUSED("unknown section", "-c", path);
	write_file("config = /x\n");
	REFUSED("unknown setting", "-c", path);
	write_file("frames = x\n");
	REFUSED(":1: frames", "-c", path);
	write_file("state-dir = /x\n");
	REFUSED("not supported", "-c", path);
	write_file("direct-map = off\nsync = no\n");
	assert_true(why[0] != '\0');
}

static unsigned int changed_reloadable, changed_fixed;

static void
on_change(void *arg, const char *name, bool reloadable)
{
	(void)arg;
	(void)name;
	if (reloadable)
		changed_reloadable++;
	else
		changed_fixed++;
}

static void
test_reload(void **state)
{
	struct settings old, new;

	(void)state;
	write_file("quota-bytes = 1M\nframes = 32M\n");
	assert_int_equal(
	    load(&old, "-c", path, "--quota-segments", "5", NULL), 0);
	write_file("quota-bytes = 2M\nquota-segments = 9\nframes = 64M\n"
	    "log-level = debug\n");
	assert_int_equal(settings_reload(&new, &old, why), 0);
	assert_true(new.se_quota_bytes == 2 << 20);
	assert_true(new.se_quota_segments == 5);	/* the command line's */
	settings_diff(&old, &new, on_change, NULL);
	assert_int_equal(changed_reloadable, 2);	/* bytes, log-level */
	assert_int_equal(changed_fixed, 1);		/* frames */
	settings_fini(&new);
	write_file("nonsense\n");
	assert_int_not_equal(settings_reload(&new, &old, why), 0);
	settings_fini(&new);
	settings_fini(&old);
}

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return (1);
	(void)snprintf(path, sizeof(path), "%s/vmemd.conf", dir);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	return (rmdir(dir));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bad_file),
		cmocka_unit_test(test_reload),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
