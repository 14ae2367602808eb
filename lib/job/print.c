/*
 * print.c - a job's canonical text, and its hash.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "job/keys.h"
#include "job/metric.h"

static void
print_section(const char *name, const struct job_key *keys, const void *object,
    FILE *out)
{
	(void)fprintf(out, "[%s]\n", name);
	for (; keys->jk_name != NULL; keys++) {
		const void *at = (const char *)object + keys->jk_offset;

		/* What isn't said has no text of its own. */
		if ((keys->jk_kind == JK_NAME && *(const char *)at == '\0') ||
		    (keys->jk_kind == JK_FITS &&
			memchr(at, true, JOB_FITS) == NULL))
			continue;
		(void)fprintf(out, "%s = ", keys->jk_name);
		job_key_print(keys, object, out);
		(void)fputc('\n', out);
	}
}

static void
print_job(const struct job *job, FILE *out)
{
	print_section("global", job_global_keys, job, out);
	for (unsigned int i = 0; i < job->jo_group_count; i++) {
		(void)fputc('\n', out);
		print_section(job->jo_groups[i].jg_name, job_group_keys,
		    &job->jo_groups[i], out);
	}
	if (job->jo_threshold_count > 0)
		(void)fputs("\n[thresholds]\n", out);
	for (unsigned int i = 0; i < job->jo_threshold_count; i++) {
		const struct job_threshold *jt = &job->jo_thresholds[i];

		(void)fprintf(out, "%s %s %.17g\n", jt->jt_metric,
		    job_compare_text(jt->jt_compare), jt->jt_limit);
	}
}

char *
job_text(const struct job *job)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	bool failed;

	if (out == NULL)
		return (NULL);
	print_job(job, out);
	failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed) {
		free(text);
		return (NULL);
	}
	return (text);
}

/* FNV-1a: it tells jobs apart, it needn't resist anybody. */
void
job_hash(const struct job *job, char hash[17])
{
	char *text = job_text(job);
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (const char *s = text; s != NULL && *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	(void)snprintf(hash, 17, "%016" PRIx64, h);
	free(text);
}
