/*
 * job.c - see job.h.
 */
#include "config.h"

#include "client/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/closest.h"
#include "trace/trace.h"

/* ---- the text ----------------------------------------------------------- */

/* All of a stream; NULL and errno. */
static char *
read_all(FILE *in)
{
	char *text = malloc(JOB_TEXT_MAX + 2);
	size_t len;

	if (text == NULL)
		return (NULL);
	len = fread(text, 1, JOB_TEXT_MAX + 1, in);
	text[len] = '\0';
	if (ferror(in) || strlen(text) != len) {
		if (!ferror(in))
			errno = EILSEQ;
		free(text);
		return (NULL);
	}
	return (text);
}

static enum ctl_exit
no_job(const struct ctl *ct, const char *command, const char *name)
{
	const char *names[32], *like;
	size_t n = 0;

	while (n < 32 && job_builtin_at(n) != NULL) {
		names[n] = job_builtin_at(n)->jb_name;
		n++;
	}
	like = closest(name, names, n);
	if (like != NULL)
		return (ctl_usage(ct, command, "job", "no file and no built-in"
		    " job \"%s\"; did you mean \"%s\"?", name, like));
	return (ctl_usage(ct, command, "job", "%s: %s; vmemctl soak --list has"
	    " the built-in jobs", name, strerror(errno)));
}

static enum ctl_exit
read_job(const struct ctl *ct, const char *command, const char *name,
    char **textp)
{
	const struct job_builtin *jb = strpbrk(name, "/.") == NULL ?
	    job_builtin_find(name) : NULL;
	FILE *in;

	if (jb != NULL) {
		*textp = strdup(jb->jb_text);
		return (*textp != NULL ? CTL_DONE : ctl_fail(ct, CTL_USAGE,
		    "no_memory", "%s: out of memory", command));
	}
	in = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
	if (in == NULL)
		return (no_job(ct, command, name));
	*textp = read_all(in);
	if (*textp == NULL)
		(void)ctl_usage(ct, command, "job", "%s: %s", name,
		    strerror(errno));
	if (in != stdin)
		(void)fclose(in);
	return (*textp != NULL ? CTL_DONE : CTL_USAGE);
}

/* ---- traces ------------------------------------------------------------- */

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x < y ? -1 : x > y);
}

/*
 * What a trace asks for, as a list of sizes and how often each.  If there are
 * more of them than a list may have, equal shares of all the requests are
 * taken together, as the largest of each: no request becomes smaller.
 */
static int
sizes_of(const struct trace *tr, struct job_sizes *js)
{
	uint64_t *all = calloc((size_t)tr->tr_allocs + 1, sizeof(all[0]));
	size_t n = 0, distinct = 0, share;
	struct job_size *list =
	    calloc(JOB_SIZES_MAX, sizeof(list[0]));

	if (all == NULL || list == NULL || tr->tr_allocs == 0) {
		free(all);
		free(list);
		return (tr->tr_allocs == 0 ? EINVAL : ENOMEM);
	}
	for (uint32_t i = 0; i < tr->tr_nops; i++)
		if (tr->tr_ops[i].op_kind == TRACE_ALLOC)
			all[n++] = tr->tr_ops[i].op_size;
	qsort(all, n, sizeof(all[0]), by_size);
	for (size_t i = 0; i < n; i++)
		distinct += i + 1 == n || all[i] != all[i + 1];
	/* Half of the entries by shares leaves room for their remainders. */
	share = distinct <= JOB_SIZES_MAX ? 1 : n / (JOB_SIZES_MAX / 2) + 1;
	js->js_low = all[0];
	js->js_high = all[n - 1];
	js->js_count = 0;
	for (size_t i = share - 1, until = 0; until < n; i += share) {
		if (i >= n)
			i = n - 1;
		while (i + 1 < n && all[i + 1] == all[i])
			i++;
		until = i + 1;
		list[js->js_count++] = (struct job_size) { all[i], until };
	}
	free(all);
	js->js_kind = JOB_SIZES_LIST;
	js->js_list = list;
	return (0);
}

static enum ctl_exit
load_traces(const struct ctl *ct, const char *command, struct job *job)
{
	for (unsigned int i = 0; i < job->jo_group_count; i++) {
		struct job_sizes *js = &job->jo_groups[i].jg_sizes;
		struct trace_error err;
		struct trace *tr;
		int error;

		if (js->js_kind != JOB_SIZES_TRACE)
			continue;
		if (trace_load(js->js_path, &tr, &err) != 0)
			return (ctl_usage(ct, command, NULL, "[%s] sizes: %s",
			    job->jo_groups[i].jg_name, err.te_text));
		error = sizes_of(tr, js);
		trace_free(tr);
		if (error != 0)
			return (ctl_usage(ct, command, NULL, "[%s] sizes: %s:"
			    " %s", job->jo_groups[i].jg_name, js->js_path,
			    error == EINVAL ? "allocates nothing" :
					      strerror(error)));
	}
	return (CTL_DONE);
}

enum ctl_exit
job_open(const struct ctl *ct, const char *command, const char *name,
    struct job **jobp)
{
	struct job_error err;
	char *text = NULL;
	struct job *job;
	enum ctl_exit code = read_job(ct, command, name, &text);

	if (code != CTL_DONE)
		return (code);
	if (job_parse(text, name, &job, &err) != 0) {
		free(text);
		return (ctl_usage(ct, command, NULL, "%s", err.je_text));
	}
	free(text);
	code = load_traces(ct, command, job);
	if (code != CTL_DONE)
		job_free(job);
	else
		*jobp = job;
	return (code);
}
