/*
 * parse.c - see job.h: job_parse().
 *
 * inih finds sections and keys; its handler isn't told the line, so its reader
 * counts them.  The reader also takes indentation away, which inih would take
 * for a continued value.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "job/keys.h"
#include "job/metric.h"
#include "proto/closest.h"

#define DURATION_DEFAULT_NS UINT64_C(10000000000)
#define KEYS_MAX 64

struct parser {
	struct job *pa_job;
	struct job_error *pa_error;
	const char *pa_next;		/* the text from the next line on */
	unsigned int pa_line;
	int pa_failed;			/* EINVAL or ENOMEM; the first */
	bool pa_global[KEYS_MAX];	/* keys that were given */
	bool pa_given[JOB_GROUPS_MAX][KEYS_MAX];
};

static int fail(struct parser *pa, int error, const char *fmt, ...)
    __attribute__((__format__(__printf__, 3, 4)));

static int
fail(struct parser *pa, int error, const char *fmt, ...)
{
	struct job_error *err = pa->pa_error;
	va_list ap;
	int n;

	if (pa->pa_failed != 0)
		return (pa->pa_failed);
	pa->pa_failed = error;
	err->je_line = pa->pa_line;
	n = pa->pa_line > 0 ?
	    snprintf(err->je_text, sizeof(err->je_text), "%.60s:%u: ",
		pa->pa_job->jo_name, pa->pa_line) :
	    snprintf(err->je_text, sizeof(err->je_text), "%.60s: ",
		pa->pa_job->jo_name);
	va_start(ap, fmt);
	(void)vsnprintf(
	    err->je_text + n, sizeof(err->je_text) - (size_t)n, fmt, ap);
	va_end(ap);
	return (error);
}

/* ---- keys --------------------------------------------------------------- */

static int
unknown_key(struct parser *pa, const struct job_key *keys, const char *where,
    const char *name)
{
	const struct job_key *other = keys == job_global_keys ?
	    job_group_keys : job_global_keys;
	const char *const special[] = { "global", "thresholds" };
	const char *like = job_key_like(keys, name);

	if (job_key_find(other, name) != NULL && (keys == job_global_keys ||
	    closest(where, special, 2) == NULL))
		return (fail(pa, EINVAL, "%.40s goes into %s", name,
		    other == job_global_keys ? "[global]" :
		    "a group's section"));
	if (keys != job_global_keys && closest(where, special, 2) != NULL)
		return (fail(pa, EINVAL, "[%.31s] is a group, and has no key"
		    " \"%.40s\"; did you mean [%s]?", where, name,
		    closest(where, special, 2)));
	return (fail(pa, EINVAL, "[%.31s] has no key \"%.40s\"%s%s%s", where,
	    name, like != NULL ? "; did you mean \"" : "",
	    like != NULL ? like : "", like != NULL ? "\"?" : ""));
}

static int
set_key(struct parser *pa, const struct job_key *keys, bool *given,
    const char *section, void *object, const char *name, const char *value)
{
	const struct job_key *jk = job_key_find(keys, name);
	const char *why = "";
	int error;

	if (jk == NULL)
		return (unknown_key(pa, keys, section, name));
	if (given[jk - keys])
		return (fail(pa, EINVAL, "%s is given twice", name));
	given[jk - keys] = true;
	error = job_key_set(jk, object, value, &why);
	if (error == EINVAL)
		return (fail(pa, EINVAL, "%s: \"%.60s\": %s", name, value,
		    why));
	return (error == 0 ? 0 : fail(pa, error, "no memory"));
}

/* ---- sections ----------------------------------------------------------- */

static bool
name_valid(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) &&
		    strchr("_-", name[i]) == NULL)
			return (false);
	return (len >= 1 && len < JOB_NAME_MAX);
}

static unsigned int
group_index(const struct job *job, const char *name)
{
	for (unsigned int i = 0; i < job->jo_group_count; i++)
		if (strcmp(job->jo_groups[i].jg_name, name) == 0)
			return (i);
	return (JOB_NONE);
}

static int
group_begin(struct parser *pa, const char *name, unsigned int *indexp)
{
	struct job *job = pa->pa_job;
	struct job_group *jg;

	*indexp = group_index(job, name);
	if (*indexp != JOB_NONE)
		return (0);
	if (!name_valid(name))
		return (fail(pa, EINVAL, "\"%.40s\": a group's name has 1 to 31"
		    " of A-Z a-z 0-9 _ -", name));
	if (job->jo_group_count == JOB_GROUPS_MAX)
		return (fail(pa, EINVAL, "more than %d groups",
		    JOB_GROUPS_MAX));
	*indexp = job->jo_group_count++;
	jg = &job->jo_groups[*indexp];
	memcpy(jg->jg_name, name, strlen(name) + 1);
	return (job_keys_default(job_group_keys, jg) == 0 ? 0 :
	    fail(pa, ENOMEM, "no memory"));
}

/*
 * inih parts a line at its first = or :, so that "fails <= 3" comes as "fails
 * <" and "3".
 */
static int
threshold_add(struct parser *pa, const char *name, const char *value)
{
	struct job *job = pa->pa_job;
	struct job_threshold *jt;
	size_t len = strlen(name);
	char *end;

	if (job->jo_threshold_count == JOB_THRESHOLDS_MAX)
		return (fail(pa, EINVAL, "more than %d thresholds",
		    JOB_THRESHOLDS_MAX));
	jt = &job->jo_thresholds[job->jo_threshold_count];
	jt->jt_compare = JOB_EQUAL;
	if (len > 0 && (name[len - 1] == '<' || name[len - 1] == '>'))
		jt->jt_compare =
		    name[--len] == '<' ? JOB_AT_MOST : JOB_AT_LEAST;
	while (len > 0 && isspace((unsigned char)name[len - 1]))
		len--;
	if (len == 0 || len >= sizeof(jt->jt_metric))
		return (fail(pa, EINVAL, "expected METRIC <= NUMBER"));
	memcpy(jt->jt_metric, name, len);
	jt->jt_metric[len] = '\0';
	errno = 0;
	jt->jt_limit = strtod(value, &end);
	if (errno != 0 || end == value || *end != '\0')
		return (fail(pa, EINVAL, "%s: \"%.40s\" is no number",
		    jt->jt_metric, value));
	jt->jt_line = pa->pa_line;
	job->jo_threshold_count++;
	return (0);
}

static int
on_key(void *arg, const char *section, const char *name, const char *value)
{
	struct parser *pa = arg;
	unsigned int index;

	if (pa->pa_failed != 0)
		return (0);
	if (section[0] == '\0')
		(void)fail(pa, EINVAL, "a section comes first, as [global]");
	else if (strcmp(section, "global") == 0)
		(void)set_key(pa, job_global_keys, pa->pa_global, section,
		    pa->pa_job, name, value);
	else if (strcmp(section, "thresholds") == 0)
		(void)threshold_add(pa, name, value);
	else if (group_begin(pa, section, &index) == 0)
		(void)set_key(pa, job_group_keys, pa->pa_given[index], section,
		    &pa->pa_job->jo_groups[index], name, value);
	return (pa->pa_failed == 0);
}

/* A line, in the manner of fgets(3), without its indentation. */
static char *
next_line(char *to, int room, void *arg)
{
	struct parser *pa = arg;
	size_t len, skip;

	if (*pa->pa_next == '\0' || pa->pa_failed != 0)
		return (NULL);
	pa->pa_line++;
	len = strcspn(pa->pa_next, "\n");
	skip = strspn(pa->pa_next, " \t");
	if (skip > len)
		skip = len;
	if (len - skip + 2 > (size_t)room) {
		(void)fail(pa, EINVAL, "the line is too long");
		return (NULL);
	}
	memcpy(to, pa->pa_next + skip, len - skip);
	to[len - skip] = '\n';
	to[len - skip + 1] = '\0';
	pa->pa_next += len + (pa->pa_next[len] == '\n');
	/* A section may be empty: all its keys at their defaults. */
	if (to[0] == '[' && strchr(to, ']') != NULL) {
		char name[JOB_NAME_MAX + 1];
		unsigned int index;

		(void)snprintf(name, sizeof(name), "%.*s",
		    (int)strcspn(to + 1, "]"), to + 1);
		if (strcmp(name, "global") != 0 &&
		    strcmp(name, "thresholds") != 0)
			(void)group_begin(pa, name, &index);
	}
	return (to);
}

void
job_setup(void)
{
	ini_use_stack = false;
	ini_initial_alloc = (int)JOB_TEXT_MAX;
	ini_max_line = (int)JOB_TEXT_MAX;
}

/* ---- the whole ---------------------------------------------------------- */

static int
check_freer(struct parser *pa, struct job_group *jg)
{
	struct job *job = pa->pa_job;
	struct job_group *freer;

	jg->jg_freer = JOB_NONE;
	if (jg->jg_free_by[0] == '\0')
		return (0);
	jg->jg_freer = group_index(job, jg->jg_free_by);
	if (jg->jg_freer == JOB_NONE)
		return (fail(pa, EINVAL, "[%s] free_by: no group \"%s\"",
		    jg->jg_name, jg->jg_free_by));
	freer = &job->jo_groups[jg->jg_freer];
	if (freer == jg || freer->jg_free_by[0] != '\0')
		return (fail(pa, EINVAL, "[%s] free_by: \"%s\" must free what"
		    " it gets itself", jg->jg_name, jg->jg_free_by));
	if (freer->jg_where != jg->jg_where)
		return (fail(pa, EINVAL, "[%s] free_by: both groups must be of"
		    " one place (where)", jg->jg_name));
	if (jg->jg_kill > 0 || freer->jg_kill > 0)
		return (fail(pa, EINVAL, "[%s] free_by doesn't go with kill:"
		    " what is handed over would go with who made it",
		    jg->jg_name));
	freer->jg_frees = true;
	return (0);
}

static int
check_group(struct parser *pa, struct job_group *jg)
{
	double shares = jg->jg_read + jg->jg_write + jg->jg_reap +
	    jg->jg_dump + jg->jg_arenas;

	if (jg->jg_align + jg->jg_nocross + jg->jg_window + jg->jg_at > 1)
		return (fail(pa, EINVAL, "[%s] align, nocross, window and at"
		    " are more than 1 together", jg->jg_name));
	if (shares > 0.95)
		return (fail(pa, EINVAL, "[%s] read, write, reap, dump and"
		    " arenas are more than 0.95 together: nothing would be"
		    " allocated", jg->jg_name));
	if (jg->jg_where == JOB_DAEMON && jg->jg_kill > 0)
		return (fail(pa, EINVAL, "[%s] kill goes with where = client",
		    jg->jg_name));
	if (jg->jg_kill > 0 && jg->jg_arenas > 0)
		return (fail(pa, EINVAL, "[%s] kill doesn't go with arenas: one"
		    " whose maker is killed would stay", jg->jg_name));
	return (check_freer(pa, jg));
}

static int
check_arena(struct parser *pa)
{
	const struct job *job = pa->pa_job;
	uint64_t q = job->jo_arena_quantum;

	if ((q & (q - 1)) != 0)
		return (fail(pa, EINVAL, "arena_quantum: not a power of two"));
	if (job->jo_arena_size % q != 0)
		return (fail(pa, EINVAL,
		    "arena_size: not a multiple of arena_quantum"));
	if (job->jo_arena_size == 0 && job->jo_arena_pageable)
		return (fail(pa, EINVAL, "arena_size is missing: a pageable"
		    " arena takes its whole span when it is made"));
	return (0);
}

static int
check_job(struct parser *pa)
{
	struct job *job = pa->pa_job;
	int error;

	pa->pa_line = 0;
	if (job->jo_group_count == 0)
		return (fail(pa, EINVAL,
		    "no group: add a section, as [workers]"));
	for (unsigned int i = 0; i < job->jo_group_count; i++) {
		error = check_group(pa, &job->jo_groups[i]);
		if (error != 0)
			return (error);
	}
	if (job_workers(job, -1) > JOB_WORKERS_MAX)
		return (fail(pa, EINVAL, "more than %d workers",
		    JOB_WORKERS_MAX));
	for (unsigned int i = 0; i < job->jo_threshold_count; i++) {
		struct job_threshold *jt = &job->jo_thresholds[i];
		const char *like;

		pa->pa_line = jt->jt_line;
		if (job_metric_parse(job, jt, &like) != 0)
			return (fail(pa, EINVAL, "[thresholds] no metric"
			    " \"%s\"%s%s%s", jt->jt_metric,
			    like != NULL ? "; did you mean \"" : "",
			    like != NULL ? like : "",
			    like != NULL ? "\"?" : ""));
	}
	pa->pa_line = 0;
	if (job->jo_duration_ns == 0 && job->jo_ops == 0)
		job->jo_duration_ns = DURATION_DEFAULT_NS;
	return (check_arena(pa));
}

static struct job *
job_new(const char *name)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return (NULL);
	(void)snprintf(job->jo_name, sizeof(job->jo_name), "%s", name);
	job->jo_groups = calloc(JOB_GROUPS_MAX, sizeof(job->jo_groups[0]));
	job->jo_thresholds =
	    calloc(JOB_THRESHOLDS_MAX, sizeof(job->jo_thresholds[0]));
	if (job->jo_groups == NULL || job->jo_thresholds == NULL ||
	    job_keys_default(job_global_keys, job) != 0) {
		job_free(job);
		return (NULL);
	}
	return (job);
}

int
job_parse(const char *text, const char *name, struct job **jobp,
    struct job_error *err)
{
	struct parser pa = { .pa_job = job_new(name), .pa_error = err,
		.pa_next = text };
	int line;

	*err = (struct job_error) { 0, "no memory" };
	if (pa.pa_job == NULL)
		return (ENOMEM);
	if (strlen(text) > JOB_TEXT_MAX)
		(void)fail(&pa, EINVAL, "longer than %u bytes", JOB_TEXT_MAX);
	line = pa.pa_failed != 0 ? 0 :
	    ini_parse_stream(next_line, &pa, on_key, &pa);
	if (pa.pa_failed == 0 && line != 0) {
		pa.pa_line = line > 0 ? (unsigned int)line : 0;
		(void)fail(&pa, line > 0 ? EINVAL : ENOMEM,
		    "expected [SECTION], KEY = VALUE, or below [thresholds]"
		    " METRIC <= NUMBER (or >=, =)");
	}
	pa.pa_job->jo_seeded =
	    pa.pa_global[job_key_find(job_global_keys, "seed") -
		job_global_keys];
	if (pa.pa_failed == 0)
		(void)check_job(&pa);
	if (pa.pa_failed != 0)
		job_free(pa.pa_job);
	else
		*jobp = pa.pa_job;
	return (pa.pa_failed);
}

void
job_free(struct job *job)
{
	if (job == NULL)
		return;
	for (unsigned int i = 0; i < job->jo_group_count; i++)
		job_sizes_fini(&job->jo_groups[i].jg_sizes);
	free(job->jo_groups);
	free(job->jo_thresholds);
	free(job);
}

unsigned int
job_workers(const struct job *job, int where)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < job->jo_group_count; i++)
		if (where < 0 || job->jo_groups[i].jg_where ==
		    (unsigned int)where)
			n += job->jo_groups[i].jg_workers;
	return ((unsigned int)n);
}

bool
job_repeats(const struct job *job)
{
	return (job_workers(job, -1) == 1 && job->jo_ops != 0 &&
	    job->jo_arena_size != 0 && job->jo_arena_qcache_max == 0 &&
	    (job->jo_arena_source[0] == '\0' || job->jo_arena_pageable) &&
	    job->jo_groups[0].jg_kill <= 0);
}
