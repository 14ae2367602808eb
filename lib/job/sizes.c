/*
 * sizes.c - distributions of sizes: how they are written.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "job/job.h"
#include "proto/quantity.h"

/* "A-B" */
static int
parse_span(const char *text, struct job_sizes *js, const char **whyp)
{
	const char *dash = strchr(text, '-');
	char low[32];

	*whyp = "expected LOW-HIGH, as in 4K-64K";
	if (dash == NULL || (size_t)(dash - text) >= sizeof(low))
		return (EINVAL);
	memcpy(low, text, (size_t)(dash - text));
	low[dash - text] = '\0';
	if (quantity_size(low, &js->js_low) != 0 ||
	    quantity_size(dash + 1, &js->js_high) != 0)
		return (EINVAL);
	*whyp = "the lower bound is above the upper";
	return (js->js_low <= js->js_high ? 0 : EINVAL);
}

/* "SIZE*WEIGHT" or "SIZE" */
static int
parse_entry(char *entry, struct job_sizes *js)
{
	struct job_size *jz = &js->js_list[js->js_count];
	uint64_t weight = 1, before = 0;
	char *star = strchr(entry, '*');

	if (star != NULL) {
		*star = '\0';
		if (quantity_addr(star + 1, &weight) != 0 || weight == 0 ||
		    weight > UINT32_MAX)
			return (EINVAL);
	}
	if (quantity_size(entry, &jz->jz_size) != 0)
		return (EINVAL);
	if (js->js_count > 0)
		before = js->js_list[js->js_count - 1].jz_until;
	jz->jz_until = before + weight;
	if (js->js_count == 0 || jz->jz_size < js->js_low)
		js->js_low = jz->jz_size;
	if (jz->jz_size > js->js_high)
		js->js_high = jz->jz_size;
	js->js_count++;
	return (0);
}

static int
parse_list(const char *text, struct job_sizes *js, const char **whyp)
{
	char *copy = strdup(text), *rest = copy, *entry;
	int error = 0;

	js->js_list = calloc(JOB_SIZES_MAX, sizeof(js->js_list[0]));
	if (copy == NULL || js->js_list == NULL)
		error = ENOMEM;
	*whyp = "expected SIZE*WEIGHT,..., at most 512 of them";
	while (error == 0 && (entry = strsep(&rest, ",")) != NULL)
		error = js->js_count < JOB_SIZES_MAX ?
		    parse_entry(entry, js) : EINVAL;
	free(copy);
	return (error);
}

static int
parse_kind(const char *text, struct job_sizes *js, const char **whyp)
{
	const char *colon = strchr(text, ':');
	size_t len = colon != NULL ? (size_t)(colon - text) : 0;

	*whyp = "expected fixed:N, uniform:A-B, loguniform:A-B, list:A*W,... or"
	    " trace:FILE";
	if (colon == NULL)
		return (EINVAL);
	text = colon + 1;
	if (len == 5 && strncmp(colon - len, "fixed", len) == 0) {
		*whyp = "expected a size, as in 64K";
		js->js_kind = JOB_SIZES_FIXED;
		if (quantity_size(text, &js->js_low) != 0)
			return (EINVAL);
		js->js_high = js->js_low;
		return (0);
	}
	if (len == 7 && strncmp(colon - len, "uniform", len) == 0) {
		js->js_kind = JOB_SIZES_UNIFORM;
		return (parse_span(text, js, whyp));
	}
	if (len == 10 && strncmp(colon - len, "loguniform", len) == 0) {
		js->js_kind = JOB_SIZES_LOGUNIFORM;
		return (parse_span(text, js, whyp));
	}
	if (len == 4 && strncmp(colon - len, "list", len) == 0) {
		js->js_kind = JOB_SIZES_LIST;
		return (parse_list(text, js, whyp));
	}
	if (len == 5 && strncmp(colon - len, "trace", len) == 0 &&
	    *text != '\0') {
		js->js_kind = JOB_SIZES_TRACE;
		js->js_low = js->js_high = 1;
		js->js_path = strdup(text);
		return (js->js_path != NULL ? 0 : ENOMEM);
	}
	return (EINVAL);
}

int
job_sizes_parse(const char *text, struct job_sizes *js, const char **whyp)
{
	struct job_sizes new = { .js_kind = JOB_SIZES_FIXED };
	int error = parse_kind(text, &new, whyp);

	if (error == 0 && new.js_low == 0) {
		*whyp = "a size is at least 1";
		error = EINVAL;
	}
	if (error != 0) {
		job_sizes_fini(&new);
		return (error);
	}
	job_sizes_fini(js);
	*js = new;
	return (0);
}

void
job_sizes_fini(struct job_sizes *js)
{
	free(js->js_list);
	free(js->js_path);
	memset(js, 0, sizeof(*js));
}

const char *
job_size_text(uint64_t size, char *buf, size_t room)
{
	static const char *const units[] = { "", "K", "M", "G", "T", "P" };
	unsigned int unit = 0;

	while (unit < 5 && size != 0 && size % 1024 == 0) {
		size /= 1024;
		unit++;
	}
	(void)snprintf(buf, room, "%" PRIu64 "%s", size, units[unit]);
	return (buf);
}

static void
print_size(uint64_t size, FILE *out)
{
	char text[32];

	(void)fputs(job_size_text(size, text, sizeof(text)), out);
}

void
job_sizes_print(const struct job_sizes *js, FILE *out)
{
	static const char *const names[] = { "fixed", "uniform", "loguniform",
		"list", "trace" };
	uint64_t before = 0;

	(void)fprintf(out, "%s:", names[js->js_kind]);
	switch (js->js_kind) {
	case JOB_SIZES_FIXED:
		print_size(js->js_low, out);
		break;
	case JOB_SIZES_UNIFORM:
	case JOB_SIZES_LOGUNIFORM:
		print_size(js->js_low, out);
		(void)fputc('-', out);
		print_size(js->js_high, out);
		break;
	case JOB_SIZES_LIST:
		for (size_t i = 0; i < js->js_count; i++) {
			const struct job_size *jz = &js->js_list[i];

			(void)fputs(i > 0 ? "," : "", out);
			print_size(jz->jz_size, out);
			(void)fprintf(out, "*%" PRIu64, jz->jz_until - before);
			before = jz->jz_until;
		}
		break;
	case JOB_SIZES_TRACE:
		(void)fputs(js->js_path, out);
		break;
	}
}
