/*
 * keys.c - see keys.h.
 */
#include "config.h"

#include "job/keys.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/closest.h"
#include "proto/methods.h"
#include "proto/quantity.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define DAYS_30 (30 * 24 * 3600 * NS_PER_S)
#define RATE_MAX 1e9

#define G(member) offsetof(struct job, member)
#define W(member) offsetof(struct job_group, member)
#define SHARE(name, member, text)                                            \
	{ name, JK_SHARE, W(member), "0", NULL, 0, 0, text }
#define END { NULL, JK_COUNT, 0, NULL, NULL, 0, 0, NULL }

const struct job_key job_global_keys[] = {
	{ "seed", JK_COUNT, G(jo_seed), "0", NULL, 0, INT64_MAX,
	    "every random choice derives from it (default: a new one)" },
	{ "duration", JK_TIME, G(jo_duration_ns), "0", NULL, 0, DAYS_30,
	    "how long: 500ms, 10s, 5m, 8h (default: 10s, or as ops says)" },
	{ "ops", JK_COUNT, G(jo_ops), "0", NULL, 0, INT64_MAX,
	    "operations of each worker; 0: as long as duration says" },
	{ "arena", JK_NAME, G(jo_arena), "heap", NULL, 0, 0,
	    "the arena under test" },
	{ "arena_size", JK_SIZE, G(jo_arena_size), "0", NULL, 0, INT64_MAX,
	    "make it, of that size, and destroy it after; 0: it is there" },
	{ "arena_source", JK_NAME, G(jo_arena_source), "", NULL, 0, 0,
	    "make it out of this arena (default: numbers, not memory); without"
	    " arena_size it imports as it goes" },
	{ "arena_quantum", JK_SIZE, G(jo_arena_quantum), "4K", NULL, 1,
	    INT64_MAX, "its quantum" },
	{ "arena_qcache_max", JK_SIZE, G(jo_arena_qcache_max), "0", NULL, 0,
	    INT64_MAX, "its quantum caches serve sizes up to this" },
	{ "arena_policy", JK_ENUM, G(jo_arena_policy), "instant", PROTO_FITS,
	    0, 0, "its own fit" },
	{ "arena_pageable", JK_BOOL, G(jo_arena_pageable), "no", NULL, 0, 0,
	    "its ranges are registered for faults, and have bytes" },
	{ "verify", JK_ENUM, G(jo_verify), "pattern", "off overlap pattern",
	    0, 0, "what is verified: nothing; that no two ranges overlap; and"
	    " that bytes stay" },
	{ "timed", JK_COUNT, G(jo_timed), "1", NULL, 1, 1000000,
	    "daemon workers time one operation in so many of each kind; 1:"
	    " all" },
	{ "interval", JK_TIME, G(jo_interval_ns), "1s", NULL, 10 * NS_PER_MS,
	    DAYS_30, "between interval reports" },
	{ "check", JK_TIME, G(jo_check_ns), "10s", NULL, 0, DAYS_30,
	    "between checks of every invariant; 0: at the end only" },
	{ "rss_bound", JK_SIZE, G(jo_rss_bytes), "64M", NULL, 0, INT64_MAX,
	    "how much larger the daemon may end than it began" },
	END
};

const struct job_key job_group_keys[] = {
	{ "where", JK_ENUM, W(jg_where), "client", "client daemon", 0, 0,
	    "processes with a connection each, or threads inside vmemd" },
	{ "workers", JK_COUNT, W(jg_workers), "1", NULL, 1, JOB_WORKERS_MAX,
	    "how many of them" },
	{ "sizes", JK_SIZES, W(jg_sizes), "loguniform:4K-64K", NULL, 0, 0,
	    "fixed:N uniform:A-B loguniform:A-B list:A*W,B*W trace:FILE" },
	{ "live", JK_COUNT, W(jg_live), "1000", NULL, 1, JOB_LIVE_MAX,
	    "ranges that a worker holds in its steady state" },
	{ "lifetime", JK_ENUM, W(jg_lifetime), "random", "random lifo fifo", 0,
	    0, "which of them it frees" },
	{ "touch", JK_SHARE, W(jg_touch), "0.5", NULL, 0, 0,
	    "share of ranges whose pages are touched; filled, with verify ="
	    " pattern" },
	{ "rate", JK_RATE, W(jg_rate), "0", NULL, 0, 0,
	    "operations/s of a worker, with latencies from the intended start;"
	    " 0: one after the other" },
	{ "kill", JK_RATE, W(jg_kill), "0", NULL, 0, 0,
	    "client workers killed with SIGKILL and restarted, per second" },
	{ "sleep_ms", JK_WAIT, W(jg_sleep_ms), "0", NULL, 0, 60000,
	    "how long an allocation waits for space, up to a minute" },
	SHARE("align", jg_align, "share of allocations that are aligned"),
	SHARE("nocross", jg_nocross, "share that must not cross a boundary"),
	SHARE("window", jg_window, "share between a lowest and highest"
	    " address"),
	SHARE("at", jg_at, "share at an address of their own choice"),
	{ "fit", JK_FITS, W(jg_fit), "", NULL, 0, 0,
	    "one or more of instant best first next last, drawn evenly"
	    " (default: the arena's)" },
	SHARE("read", jg_read, "share of operations that read bytes"),
	SHARE("write", jg_write, "share of operations that write bytes"),
	SHARE("reap", jg_reap, "share that empty the quantum caches"),
	SHARE("dump", jg_dump, "share that list a page of segments"),
	SHARE("arenas", jg_arenas, "share that make, use and destroy an arena"),
	{ "free_by", JK_NAME, W(jg_free_by), "", NULL, 0, 0,
	    "group that frees what this one allocates" },
	END
};

const struct job_key *
job_key_find(const struct job_key *keys, const char *name)
{
	for (; keys->jk_name != NULL; keys++)
		if (strcmp(keys->jk_name, name) == 0)
			return (keys);
	return (NULL);
}

const char *
job_key_like(const struct job_key *keys, const char *name)
{
	const char *names[64];
	size_t n = 0;

	for (; keys->jk_name != NULL && n < 64; keys++)
		names[n++] = keys->jk_name;
	return (closest(name, names, n));
}

/* ---- words -------------------------------------------------------------- */

/* The place of a word among those of `values`; -1: it is none of them. */
static int
place_of(const char *values, const char *word, size_t len)
{
	for (int i = 0; *values != '\0'; i++) {
		size_t n = strcspn(values, " ");

		if (n == len && strncmp(values, word, n) == 0)
			return (i);
		values += n + strspn(values + n, " ");
	}
	return (-1);
}

static const char *
word_at(const char *values, unsigned int index, int *lenp)
{
	while (index-- > 0) {
		values += strcspn(values, " ");
		values += strspn(values, " ");
	}
	*lenp = (int)strcspn(values, " ");
	return (values);
}

/* ---- values ------------------------------------------------------------- */

/* A number as it may be written in a job. */
static void
print_number(const struct job_key *jk, uint64_t value, char *buf, size_t size)
{
	if (jk->jk_kind == JK_SIZE)
		(void)job_size_text(value, buf, size);
	else if (jk->jk_kind != JK_TIME)
		(void)snprintf(buf, size, "%" PRIu64, value);
	else if (value % NS_PER_S == 0)
		(void)snprintf(buf, size, "%" PRIu64 "s", value / NS_PER_S);
	else
		(void)snprintf(
		    buf, size, "%.17gms", (double)value / NS_PER_MS);
}

static int
set_number(const struct job_key *jk, uint64_t *to, uint64_t value,
    const char **whyp)
{
	static _Thread_local char why[128];
	char least[32], most[32];

	if (value >= jk->jk_min && value <= jk->jk_max) {
		*to = value;
		return (0);
	}
	print_number(jk, jk->jk_min, least, sizeof(least));
	print_number(jk, jk->jk_max, most, sizeof(most));
	(void)snprintf(why, sizeof(why), "out of range, which is %s to %s",
	    least, most);
	*whyp = why;
	return (EINVAL);
}

static int
real_of(const char *text, double *valuep, char **endp)
{
	errno = 0;
	*valuep = strtod(text, endp);
	return (errno == 0 && *endp != text && isfinite(*valuep) &&
	    *valuep >= 0 ? 0 : EINVAL);
}

static int
time_of(const char *text, uint64_t *nsp)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = { { "ms", NS_PER_MS }, { "s", NS_PER_S },
		{ "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S } };
	double value;
	char *end;

	if (real_of(text, &value, &end) != 0)
		return (EINVAL);
	if (*end == '\0' && value == 0) {
		*nsp = 0;
		return (0);
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].name) == 0 &&
		    value * (double)units[i].ns < 1e18) {
			*nsp = (uint64_t)llround(value * (double)units[i].ns);
			return (0);
		}
	return (EINVAL);
}

static int
set_fits(bool *fits, const char *text, const char **whyp)
{
	bool new[JOB_FITS] = { false };

	*whyp = "expected some of " PROTO_FITS;
	while (*text != '\0') {
		size_t len = strcspn(text, " ,");
		int place = place_of(PROTO_FITS, text, len);

		if (place < 0)
			return (EINVAL);
		new[place] = true;
		text += len + strspn(text + len, " ,");
	}
	memcpy(fits, new, sizeof(new));
	return (0);
}

static int
set_real(double *to, const char *text, double max, const char *unit)
{
	double value;
	char *end;

	if (real_of(text, &value, &end) != 0 || value > max ||
	    (*end != '\0' && strcmp(end, unit) != 0))
		return (EINVAL);
	*to = value;
	return (0);
}

/* What a word may be, and which of them it is like. */
static const char *
one_of(const struct job_key *jk, const char *text)
{
	static _Thread_local char why[128];
	char words[8][16];
	const char *names[8], *like;
	size_t n = 0;

	for (const char *at = jk->jk_values; *at != '\0' && n < 8; n++) {
		int len = (int)strcspn(at, " ");

		(void)snprintf(words[n], sizeof(words[n]), "%.*s", len, at);
		names[n] = words[n];
		at += len + (int)strspn(at + len, " ");
	}
	like = closest(text, names, n);
	(void)snprintf(why, sizeof(why), "expected one of %s%s%s%s",
	    jk->jk_values, like != NULL ? "; did you mean \"" : "",
	    like != NULL ? like : "", like != NULL ? "\"?" : "");
	return (why);
}

/* As arenas have them, and groups; nothing, where that is the default. */
static bool
is_name(const struct job_key *jk, const char *text)
{
	size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789_.-");

	return (text[len] == '\0' && len < JOB_NAME_MAX &&
	    (len > 0 || jk->jk_default[0] == '\0'));
}

static int
set_word(const struct job_key *jk, void *at, const char *text,
    const char **whyp)
{
	int place;

	if (jk->jk_kind == JK_NAME) {
		*whyp = "a name has 1 to 31 of A-Z a-z 0-9 _ . -";
		if (!is_name(jk, text))
			return (EINVAL);
		memcpy(at, text, strlen(text) + 1);
		return (0);
	}
	*whyp = jk->jk_kind == JK_BOOL ? "expected yes or no" : one_of(jk, text);
	place = place_of(jk->jk_kind == JK_BOOL ? "no yes" : jk->jk_values,
	    text, strlen(text));
	if (place < 0)
		return (EINVAL);
	if (jk->jk_kind == JK_BOOL)
		*(bool *)at = place == 1;
	else
		*(unsigned int *)at = (unsigned int)place;
	return (0);
}

int
job_key_set(const struct job_key *jk, void *object, const char *text,
    const char **whyp)
{
	void *at = (char *)object + jk->jk_offset;
	uint64_t value;

	switch (jk->jk_kind) {
	case JK_COUNT:
		*whyp = "expected a number";
		if (quantity_addr(text, &value) != 0)
			return (EINVAL);
		return (set_number(jk, at, value, whyp));
	case JK_SIZE:
		*whyp = "expected a size, as in 64K or 1G";
		if (quantity_size(text, &value) != 0)
			return (EINVAL);
		return (set_number(jk, at, value, whyp));
	case JK_TIME:
		*whyp = "expected a time, as in 500ms, 10s, 5m or 2h";
		if (time_of(text, &value) != 0)
			return (EINVAL);
		return (set_number(jk, at, value, whyp));
	case JK_SHARE:
		*whyp = "expected a share, 0 to 1";
		return (set_real(at, text, 1, ""));
	case JK_RATE:
		*whyp = "expected a rate per second, as in 0.1/s";
		return (set_real(at, text, RATE_MAX, "/s"));
	case JK_WAIT:
		*whyp = "expected milliseconds, 0 to 60000";
		if (quantity_addr(text, &value) != 0 || value > jk->jk_max)
			return (EINVAL);
		*(int64_t *)at = (int64_t)value;
		return (0);
	case JK_FITS:
		return (set_fits(at, text, whyp));
	case JK_SIZES:
		return (job_sizes_parse(text, at, whyp));
	case JK_ENUM:
	case JK_BOOL:
	case JK_NAME:
		break;
	}
	return (set_word(jk, at, text, whyp));
}

int
job_keys_default(const struct job_key *keys, void *object)
{
	const char *why;
	int error = 0;

	/* A default may lie below jk_min, as "not said". */
	for (; keys->jk_name != NULL && error == 0; keys++)
		error = job_key_set(keys, object, keys->jk_default, &why);
	return (error);
}

/* ---- printing ----------------------------------------------------------- */

static void
print_fits(const bool *fits, FILE *out)
{
	const char *space = "";

	for (unsigned int i = 0; i < JOB_FITS; i++) {
		int len;
		const char *word = word_at(PROTO_FITS, i, &len);

		if (!fits[i])
			continue;
		(void)fprintf(out, "%s%.*s", space, len, word);
		space = " ";
	}
}

void
job_key_print(const struct job_key *jk, const void *object, FILE *out)
{
	const void *at = (const char *)object + jk->jk_offset;
	const char *word;
	char number[32];
	int len;

	switch (jk->jk_kind) {
	case JK_COUNT:
	case JK_SIZE:
	case JK_TIME:
		print_number(jk, *(const uint64_t *)at, number, sizeof(number));
		(void)fputs(number, out);
		break;
	case JK_SHARE:
	case JK_RATE:
		(void)fprintf(out, "%.17g", *(const double *)at);
		break;
	case JK_WAIT:
		(void)fprintf(out, "%" PRId64, *(const int64_t *)at);
		break;
	case JK_ENUM:
		word = word_at(jk->jk_values, *(const unsigned int *)at, &len);
		(void)fprintf(out, "%.*s", len, word);
		break;
	case JK_BOOL:
		(void)fputs(*(const bool *)at ? "yes" : "no", out);
		break;
	case JK_NAME:
		(void)fputs(at, out);
		break;
	case JK_FITS:
		print_fits(at, out);
		break;
	case JK_SIZES:
		job_sizes_print(at, out);
		break;
	}
}

/* Words, in lines that end before column 80 and begin at `indent`, where the
 * first one is. */
static void
put_wrapped(FILE *out, int indent, const char *text)
{
	int column = indent;

	while (*text != '\0') {
		int len = (int)strcspn(text, " ");

		if (column > indent && column + 1 + len > 79) {
			(void)fprintf(out, "\n%*s", indent, "");
			column = indent;
		}
		column += fprintf(out, "%s%.*s", column > indent ? " " : "",
		    len, text);
		text += len + (int)strspn(text + len, " ");
	}
	(void)fputc('\n', out);
}

static void
help_keys(const struct job_key *keys, FILE *out)
{
	for (; keys->jk_name != NULL; keys++) {
		(void)fprintf(out, "  %-17s ", keys->jk_name);
		put_wrapped(out, 20, keys->jk_help);
		if (keys->jk_values != NULL)
			(void)fprintf(out, "  %-17s   one of %s\n", "",
			    keys->jk_values);
		if (keys->jk_default[0] != '\0' &&
		    strcmp(keys->jk_default, "0") != 0)
			(void)fprintf(out, "  %-17s   default: %s\n", "",
			    keys->jk_default);
	}
}

void
job_help(FILE *out)
{
	(void)fputs("[global]\n", out);
	help_keys(job_global_keys, out);
	(void)fputs("\n[GROUP]: workers that behave alike, any number of"
	    " sections\n", out);
	help_keys(job_group_keys, out);
	(void)fputs("\n[thresholds]: METRIC <= NUMBER, >= or =; a metric is\n"
	    "  OP_p50_us OP_p90_us OP_p99_us OP_p99_9_us OP_max_us OP_ops,\n"
	    "    OP: alloc free touch verify read write reap dump arena\n"
	    "  ops ops_per_s fails no_space no_frames quota timed_out exists\n"
	    "  kills violations rss_growth_percent, and GROUP.METRIC\n", out);
}
