/*
 * keys.h - the keys of a job's sections.
 *
 * A row has a key's name, the kind of its value, where it goes in struct job
 * or struct job_group, and what it means.  Parser, printer, "did you mean",
 * and `vmemctl soak --keys` go by these rows.
 */
#ifndef JOB_KEYS_H
#define JOB_KEYS_H

#include "job/job.h"

enum job_kind {
	JK_COUNT,	/* uint64_t, from jk_min to jk_max */
	JK_SIZE,	/* uint64_t bytes: 64K */
	JK_TIME,	/* uint64_t ns: 500ms 10s 5m 2h */
	JK_SHARE,	/* double, 0 to 1 */
	JK_RATE,	/* double per second: 0.1/s */
	JK_WAIT,	/* int64_t milliseconds, -1: for ever */
	JK_ENUM,	/* unsigned int: place in jk_values */
	JK_BOOL,	/* bool: yes no */
	JK_NAME,	/* char[JOB_NAME_MAX] */
	JK_FITS,	/* bool[JOB_FITS]: names, separated by spaces */
	JK_SIZES	/* struct job_sizes */
};

struct job_key {
	const char *jk_name;
	enum job_kind jk_kind;
	size_t jk_offset;
	const char *jk_default;		/* as it would be written */
	const char *jk_values;		/* JK_ENUM */
	uint64_t jk_min, jk_max;	/* JK_COUNT, JK_SIZE, JK_TIME */
	const char *jk_help;
};

extern const struct job_key job_global_keys[];	/* end with a NULL name */
extern const struct job_key job_group_keys[];

const struct job_key *job_key_find(
    const struct job_key *keys, const char *name);
/* The name of a key, of the first or second table (may be NULL), that may have
 * been meant; or NULL. */
const char *job_key_like(const struct job_key *keys, const char *name);

/* Set every member to its default. */
int job_keys_default(const struct job_key *keys, void *object);
/* Set one from its text.  EINVAL, with *whyp; ENOMEM. */
int job_key_set(const struct job_key *jk, void *object, const char *text,
    const char **whyp);
/* Write its value; nothing for an empty one. */
void job_key_print(const struct job_key *jk, const void *object, FILE *out);

#endif /* JOB_KEYS_H */
