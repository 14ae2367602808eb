/*
 * settings.c - see settings.h.
 */
#include "config.h"

#include "daemon/settings.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ini.h>

#include "proto/quantity.h"

enum setting_type { ST_STRING, ST_SIZE, ST_COUNT, ST_WORD, ST_ON_OFF, ST_FLAG };

#define SF_RELOAD 0x1	/* SIGHUP may change it */
#define SF_LATER 0x2	/* not supported in this version */
#define SF_CLI 0x4	/* of the command line only */
#define SF_NONZERO 0x8	/* 0 stands for the default, and can't be given */

struct setting {
	const char *st_name;	/* the option; the key of vmemd.conf */
	char st_letter;		/* or 0 */
	enum setting_type st_type;
	unsigned int st_flags;
	size_t st_offset;
	const char *st_default;
	const char *st_words;	/* ST_WORD: its values, separated by spaces */
	const char *st_argument; /* for --help */
	const char *st_help;
};

#define AT(field) offsetof(struct settings, field)

static const struct setting settings[] = {
	{ "socket", 's', ST_STRING, 0, AT(se_socket), NULL, NULL, "PATH",
	    "listen there (default: $VMEMD_SOCKET, "
	    "$XDG_RUNTIME_DIR/vmemd.sock, /run/vmemd/vmemd.sock)" },
	{ "config", 'c', ST_STRING, SF_CLI, AT(se_config), NULL, NULL, "FILE",
	    "read settings from FILE (default: " SYSCONFDIR "/vmemd.conf)" },
	{ "threads", 't', ST_COUNT, SF_NONZERO, AT(se_threads), "0", NULL, "N",
	    "worker threads (default: the number of CPUs, up to 4)" },
	{ "va-size", 0, ST_SIZE, 0, AT(se_va_size), "64G", NULL, "SIZE",
	    "address space to reserve" },
	{ "va-base", 0, ST_SIZE, 0, AT(se_va_base), "0", NULL, "ADDR",
	    "reserve it at this address" },
	{ "frames", 0, ST_SIZE, 0, AT(se_frames), "256M", NULL, "SIZE",
	    "resident pageable memory, at most" },
	{ "swap", 0, ST_STRING, 0, AT(se_swap), NULL, NULL, "FILE|none",
	    "where evicted pages go (default: a temporary file)" },
	{ "swap-size", 0, ST_SIZE, 0, AT(se_swap_size), "1G", NULL, "SIZE",
	    "size of the swap file" },
	{ "commit", 0, ST_WORD, SF_RELOAD, AT(se_commit), "overcommit",
	    "overcommit strict", "POLICY",
	    "overcommit, or strict: refuse what frames and swap don't cover" },
	{ "fault-mode", 0, ST_WORD, 0, AT(se_fault_mode), "software",
	    "software uffd uffd-thread sigsegv", "MODE",
	    "software, uffd, uffd-thread or sigsegv" },
	{ "wired", 0, ST_SIZE, 0, AT(se_wired), "1G", NULL, "SIZE",
	    "wired memory, at most" },
	{ "direct-map", 0, ST_ON_OFF, SF_RELOAD, AT(se_direct_map), "off", NULL,
	    "on|off", "a window in which single wired pages cost no VA" },
	{ "group", 0, ST_STRING, 0, AT(se_group), NULL, NULL, "NAME",
	    "group of the socket" },
	{ "quota-bytes", 0, ST_SIZE, SF_RELOAD, AT(se_quota_bytes), "0", NULL,
	    "SIZE", "bytes per connection and per uid; 0: no limit" },
	{ "quota-segments", 0, ST_COUNT, SF_RELOAD, AT(se_quota_segments), "0",
	    NULL, "N", "ranges per connection and per uid; 0: no limit" },
	{ "state-dir", 0, ST_STRING, SF_LATER, AT(se_state_dir), NULL, NULL,
	    "DIR", "keep what is allocated with `keep` over restarts" },
	{ "sync", 0, ST_FLAG, SF_LATER, AT(se_sync), "off", NULL, NULL,
	    "make that hold over loss of power" },
	{ "http", 0, ST_STRING, SF_LATER, AT(se_http), NULL, NULL, "ADDR:PORT",
	    "serve metrics there" },
	{ "read-only-socket", 0, ST_STRING, SF_LATER, AT(se_read_only_socket),
	    NULL, NULL, "PATH", "serve methods that only read there" },
	{ "log-level", 0, ST_WORD, SF_RELOAD, AT(se_log_level), "info",
	    "error warn info debug", "LEVEL", "error, warn, info or debug" },
	{ "foreground", 'f', ST_FLAG, 0, AT(se_foreground), "off", NULL, NULL,
	    "stay in the foreground (the default)" },
	{ "daemonize", 'd', ST_FLAG, 0, AT(se_daemonize), "off", NULL, NULL,
	    "detach once ready; log to syslog" },
	{ "help", 'h', ST_FLAG, SF_CLI, AT(se_help), "off", NULL, NULL,
	    "say this and exit" },
	{ "version", 'V', ST_FLAG, SF_CLI, AT(se_version), "off", NULL, NULL,
	    "say the version and exit" },
};

#define SETTINGS_COUNT (sizeof(settings) / sizeof(settings[0]))

static int complain(char *why, const char *fmt, ...)
    __attribute__((__format__(__printf__, 2, 3)));

static int
complain(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, SETTINGS_WHY_MAX, fmt, ap);
	va_end(ap);
	return (EINVAL);
}

static int
word_index(const char *words, const char *text, unsigned int *indexp)
{
	size_t len = strlen(text);

	for (unsigned int i = 0; *words != '\0'; i++) {
		size_t n = strcspn(words, " ");

		if (n == len && memcmp(words, text, n) == 0) {
			*indexp = i;
			return (0);
		}
		words += n + (words[n] == ' ');
	}
	return (EINVAL);
}

static int
on_off(const char *text, bool *onp)
{
	unsigned int i;

	if (word_index("off no false 0 on yes true 1", text, &i) != 0)
		return (EINVAL);
	*onp = i >= 4;
	return (0);
}

/* Put the text into its field; the previous value of a string is freed. */
static int
assign(struct settings *se, const struct setting *st, const char *text)
{
	void *field = (char *)se + st->st_offset;
	char **string;

	switch (st->st_type) {
	case ST_STRING:
		string = field;
		free(*string);
		*string = text != NULL ? strdup(text) : NULL;
		return (text != NULL && *string == NULL ? ENOMEM : 0);
	case ST_SIZE:
		return (quantity_size(text, field));
	case ST_COUNT:
		return (quantity_addr(text, field));
	case ST_WORD:
		return (word_index(st->st_words, text, field));
	case ST_ON_OFF:
	case ST_FLAG:
		return (on_off(text, field));
	}
	return (EINVAL);
}

/* As assign(), for what a user wrote: checks, and says what is wrong. */
static int
set(struct settings *se, const struct setting *st, const char *text, char *why)
{
	bool on;

	if (st->st_flags & SF_LATER &&
	    (st->st_type == ST_STRING || on_off(text, &on) != 0 || on))
		return (complain(why,
		    "%s: not supported in this version", st->st_name));
	if (assign(se, st, text) != 0 || (st->st_flags & SF_NONZERO &&
	    *(uint64_t *)(void *)((char *)se + st->st_offset) == 0))
		return (complain(why, "%s: invalid value: %s", st->st_name,
		    text));
	return (0);
}

/* ---- the configuration file --------------------------------------------- */

struct config_reader {
	struct settings *cr_settings;
	char *cr_why;
	bool cr_failed;
};

static const struct setting *
setting_find(const char *name)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const char *a = settings[i].st_name, *b = name;

		/* Keys may be written with _ for -. */
		while (*a != '\0' && (*a == *b || (*a == '-' && *b == '_'))) {
			a++;
			b++;
		}
		if (*a == '\0' && *b == '\0')
			return (&settings[i]);
	}
	return (NULL);
}

/* inih's handler: 1 is success. */
static int
config_key(void *arg, const char *section, const char *name, const char *value)
{
	struct config_reader *cr = arg;
	const struct setting *st = setting_find(name);
	int error = 0;

	if (cr->cr_failed)
		return (1);
	if (section[0] != '\0' && strcmp(section, "vmemd") != 0)
		error = complain(cr->cr_why, "unknown section [%s]", section);
	else if (st == NULL || st->st_flags & SF_CLI)
		error = complain(cr->cr_why, "unknown setting: %s", name);
	else if ((cr->cr_settings->se_given >> (st - settings) & 1) == 0)
		error = set(cr->cr_settings, st, value, cr->cr_why);
	cr->cr_failed = error != 0;
	return (error == 0);
}

static int
config_read(struct settings *se, char *why)
{
	const char *path =
	    se->se_config != NULL ? se->se_config : SYSCONFDIR "/vmemd.conf";
	char detail[SETTINGS_WHY_MAX];
	struct config_reader cr = { se, detail, false };
	int line;

	if (se->se_config == NULL && access(path, F_OK) != 0)
		return (0);
	line = ini_parse(path, config_key, &cr);
	if (line == 0)
		return (0);
	if (line < 0)
		return (complain(why, "%.100s: %s", path,
		    line == -1 ? strerror(errno) : "out of memory"));
	return (complain(why, "%.100s:%d: %.120s", path, line,
	    cr.cr_failed ? detail : "not of the form KEY = VALUE"));
}

/* ---- the command line --------------------------------------------------- */

static int
command_line(struct settings *se, int argc, char **argv, char *why)
{
	struct option options[SETTINGS_COUNT + 1];
	char letters[2 * SETTINGS_COUNT + 2], *l = letters;
	int c, which = -1;

	memset(options, 0, sizeof(options));
	*l++ = ':';
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		bool argument = settings[i].st_type != ST_FLAG;

		options[i].name = settings[i].st_name;
		options[i].has_arg = argument ? required_argument : no_argument;
		options[i].val = 256 + (int)i;
		if (settings[i].st_letter != 0) {
			*l++ = settings[i].st_letter;
			if (argument)
				*l++ = ':';
		}
	}
	*l = '\0';
	optind = 0;	/* glibc: begin anew, also when called again */
	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (c == '?' || c == ':')
			return (complain(why, "%s %s",
			    argv[optind > 0 ? optind - 1 : 0], c == '?' ?
			    "isn't an option" : "needs a value"));
		which = c - 256;
		for (size_t i = 0; c < 256 && i < SETTINGS_COUNT; i++)
			if (settings[i].st_letter == c)
				which = (int)i;
		se->se_given |= UINT64_C(1) << which;
		if (set(se, &settings[which],
			settings[which].st_type == ST_FLAG ? "on" : optarg,
			why) != 0)
			return (EINVAL);
	}
	if (optind < argc)
		return (complain(why, "unexpected argument: %s", argv[optind]));
	return (0);
}

/* What doesn't hang on one setting alone. */
static int
check_all(const struct settings *se, char *why)
{
	const uint64_t page = VMPAGER_PAGE;

	if (se->se_threads > 64)
		return (complain(why, "threads: at most 64"));
	if (se->se_va_size < UINT64_C(16) << 20 || se->se_va_size % page != 0 ||
	    se->se_va_size > UINT64_C(1) << 47)
		return (complain(why,
		    "va-size: a multiple of 4K, from 16M to 128T"));
	if (se->se_va_base % page != 0)
		return (complain(why, "va-base: a multiple of 4K"));
	if (se->se_frames < 16 * page)
		return (complain(why, "frames: at least 64K"));
	if (se->se_wired < 16 * page)
		return (complain(why, "wired: at least 64K"));
	if (se->se_foreground && se->se_daemonize)
		return (complain(why, "foreground and daemonize: not both"));
	return (0);
}

int
settings_load(struct settings *se, int argc, char **argv,
    char why[SETTINGS_WHY_MAX])
{
	int error;

	memset(se, 0, sizeof(*se));
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		if (settings[i].st_default != NULL)
			(void)assign(se, &settings[i], settings[i].st_default);
	error = command_line(se, argc, argv, why);
	if (error != 0 || se->se_help || se->se_version)
		return (error);
	error = config_read(se, why);
	return (error != 0 ? error : check_all(se, why));
}

int
settings_reload(struct settings *se, const struct settings *old,
    char why[SETTINGS_WHY_MAX])
{
	int error;

	memset(se, 0, sizeof(*se));
	se->se_given = old->se_given;
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *st = &settings[i];

		/* What the command line gave stays; the rest begins anew. */
		if (st->st_type == ST_STRING) {
			if (old->se_given >> i & 1)
				(void)assign(se, st,
				    *(char *const *)(const void *)(
					(const char *)old + st->st_offset));
		} else if (old->se_given >> i & 1) {
			size_t size = st->st_type == ST_WORD ?
			    sizeof(unsigned int) :
			    st->st_type == ST_SIZE || st->st_type == ST_COUNT ?
			    sizeof(uint64_t) : sizeof(bool);

			memcpy((char *)se + st->st_offset,
			    (const char *)old + st->st_offset, size);
		} else {
			(void)assign(se, st, st->st_default);
		}
	}
	error = config_read(se, why);
	return (error != 0 ? error : check_all(se, why));
}

static bool
same(const struct settings *a, const struct settings *b,
    const struct setting *st)
{
	const void *x = (const char *)a + st->st_offset;
	const void *y = (const char *)b + st->st_offset;
	const char *s, *t;

	switch (st->st_type) {
	case ST_STRING:
		s = *(char *const *)x;
		t = *(char *const *)y;
		return (s == t || (s != NULL && t != NULL &&
		    strcmp(s, t) == 0));
	case ST_SIZE:
	case ST_COUNT:
		return (*(const uint64_t *)x == *(const uint64_t *)y);
	case ST_WORD:
		return (*(const unsigned int *)x == *(const unsigned int *)y);
	case ST_ON_OFF:
	case ST_FLAG:
		return (*(const bool *)x == *(const bool *)y);
	}
	return (true);
}

void
settings_diff(const struct settings *old, const struct settings *new,
    void (*changed)(void *, const char *, bool), void *arg)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		if (!same(old, new, &settings[i]))
			changed(arg, settings[i].st_name,
			    settings[i].st_flags & SF_RELOAD);
}

void
settings_fini(struct settings *se)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		if (settings[i].st_type == ST_STRING)
			(void)assign(se, &settings[i], NULL);
}

void
settings_help(FILE *out)
{
	(void)fprintf(out, "usage: vmemd [OPTION]...\n"
	    "Host arenas, and serve them on a UNIX socket.\n\n");
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *st = &settings[i];
		char name[48];

		(void)snprintf(name, sizeof(name), "--%s%s%s", st->st_name,
		    st->st_argument != NULL ? " " : "",
		    st->st_argument != NULL ? st->st_argument : "");
		if (st->st_letter != 0)
			(void)fprintf(out, "  -%c, ", st->st_letter);
		else
			(void)fprintf(out, "      ");
		(void)fprintf(out, "%-24s %s%s", name, st->st_help,
		    st->st_flags & SF_LATER ? " (not supported yet)" : "");
		if (st->st_type != ST_FLAG && st->st_default != NULL &&
		    st->st_default[0] != '0')
			(void)fprintf(out, " (default: %s)", st->st_default);
		(void)fputc('\n', out);
	}
	(void)fprintf(out, "\nEach is also a key of vmemd.conf.  Exit: 0 after "
	    "a drained SIGTERM or SIGINT,\n1 when it can't start, 5 after a "
	    "broken invariant.\n");
}
