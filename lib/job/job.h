/*
 * job.h - soak jobs: what is to be done to an arena, by whom, for how long.
 *
 * A job is written as INI, as fio's are (doc/soak.md has every key):
 *
 *	[global]	the arena, the seed, how long, what is verified
 *	[GROUP]		workers that behave alike; any number of sections
 *	[thresholds]	METRIC <= NUMBER: what the verdict hangs on
 *
 * job_parse() takes nothing on trust; what it returns can be run.  vmemctl
 * parses a job to run its client groups, the daemon parses the same text to
 * run its own, `compare` feeds its operations to models: so this knows neither
 * sockets nor arenas.  What a group draws (sizes, wishes, which range to free)
 * comes from stream.h.
 *
 * One table of keys (keys.c) feeds parser, printer and help.
 */
#ifndef JOB_JOB_H
#define JOB_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define JOB_NAME_MAX 32		/* of a group, with its NUL */
#define JOB_TEXT_MAX (48u * 1024)	/* of a whole job: it fits in a request */
#define JOB_GROUPS_MAX 32
#define JOB_WORKERS_MAX 250	/* of all groups */
#define JOB_LIVE_MAX 16777216	/* of one worker */
#define JOB_THRESHOLDS_MAX 64
#define JOB_FITS 5		/* in the order of PROTO_FITS */
#define JOB_SIZES_MAX 512	/* distinct sizes of a list */
#define JOB_NONE UINT32_MAX	/* no group */

enum job_where { JOB_CLIENT, JOB_DAEMON };
enum job_verify { JOB_VERIFY_OFF, JOB_VERIFY_OVERLAP, JOB_VERIFY_PATTERN };
enum job_lifetime { JOB_RANDOM, JOB_LIFO, JOB_FIFO };

/*
 * A distribution of sizes in bytes: fixed:N, uniform:A-B, loguniform:A-B,
 * list:SIZE*WEIGHT,..., and trace:FILE, which vmemctl turns into the list of
 * what the trace asks for (client/job.h).
 */
enum job_sizes_kind {
	JOB_SIZES_FIXED,
	JOB_SIZES_UNIFORM,
	JOB_SIZES_LOGUNIFORM,
	JOB_SIZES_LIST,
	JOB_SIZES_TRACE
};

struct job_size {
	uint64_t jz_size;
	uint64_t jz_until;	/* weights of the list up to and with this */
};

struct job_sizes {
	enum job_sizes_kind js_kind;
	uint64_t js_low, js_high;	/* bytes, inclusive */
	struct job_size *js_list;	/* by size */
	size_t js_count;
	char *js_path;			/* of a trace */
};

struct job_group {
	char jg_name[JOB_NAME_MAX];
	unsigned int jg_where;		/* enum job_where */
	uint64_t jg_workers;
	struct job_sizes jg_sizes;
	uint64_t jg_live;		/* ranges a worker holds */
	unsigned int jg_lifetime;	/* enum job_lifetime */
	double jg_touch;		/* share of ranges whose pages are used */
	double jg_rate;			/* operations/s, a worker; 0: closed */
	double jg_kill;			/* workers killed, per second */
	int64_t jg_sleep_ms;		/* what an allocation may wait */
	double jg_align, jg_nocross, jg_window, jg_at;	/* shares */
	bool jg_fit[JOB_FITS];		/* none: the arena's own */
	double jg_read, jg_write, jg_reap, jg_dump, jg_arenas;	/* shares */
	char jg_free_by[JOB_NAME_MAX];	/* "": who allocates frees */
	unsigned int jg_freer;		/* that group's index, or JOB_NONE */
	bool jg_frees;			/* it frees another group's */
};

/* What a worker does, and is timed and counted by. */
enum job_op {
	JOB_ALLOC,
	JOB_FREE,
	JOB_TOUCH,	/* or fill */
	JOB_CHECK,	/* of a range's bytes, before it is freed: "verify" */
	JOB_READ,
	JOB_WRITE,
	JOB_REAP,
	JOB_DUMP,
	JOB_ARENA,	/* one made, used and destroyed */
	JOB_OPS
};
extern const char *const job_op_names[JOB_OPS];

/* Why an allocation, or the use of its pages, may fail without anything being
 * wrong. */
enum job_cause {
	JOB_NO_SPACE,
	JOB_NO_FRAMES,
	JOB_QUOTA,
	JOB_TIMED_OUT,
	JOB_EXISTS,	/* `at`, taken by somebody else */
	JOB_CAUSES
};
extern const char *const job_cause_names[JOB_CAUSES];

/* METRIC OP LIMIT */
enum job_compare { JOB_AT_MOST, JOB_AT_LEAST, JOB_EQUAL };
enum job_stat {
	JOB_QUANTILE,		/* jt_quantile of jt_op's latency, in us */
	JOB_OP_COUNT,		/* of jt_op */
	JOB_COUNT,		/* all operations */
	JOB_PER_S,
	JOB_FAILS,		/* all causes but `exists` */
	JOB_CAUSE,		/* jt_cause alone */
	JOB_KILLS,
	JOB_VIOLATIONS,
	JOB_RSS_GROWTH		/* in percent, after the warm-up */
};

struct job_threshold {
	char jt_metric[80];		/* as written: "small.alloc_p99_us" */
	unsigned int jt_group;		/* or JOB_NONE: all together */
	enum job_stat jt_stat;
	enum job_op jt_op;
	enum job_cause jt_cause;
	double jt_quantile;
	enum job_compare jt_compare;
	double jt_limit;
	unsigned int jt_line;		/* of the job's text */
};

struct job {
	char jo_name[64];
	uint64_t jo_seed;
	bool jo_seeded;			/* the job says which */
	uint64_t jo_duration_ns;	/* 0: by operations alone */
	uint64_t jo_ops;		/* of each worker; 0: by time alone */
	char jo_arena[JOB_NAME_MAX];
	unsigned int jo_verify;		/* enum job_verify */
	uint64_t jo_timed;		/* one operation in so many, in daemons */
	uint64_t jo_interval_ns;	/* of reports */
	uint64_t jo_check_ns;		/* of `check`s; 0: at the end only */
	uint64_t jo_rss_bytes;		/* the daemon may end larger by this */
	/* An arena of the job's own, made before and destroyed after, if it has
	 * a size or a source: with a source alone it imports as it goes. */
	uint64_t jo_arena_size;
	char jo_arena_source[JOB_NAME_MAX];
	uint64_t jo_arena_quantum;
	uint64_t jo_arena_qcache_max;
	unsigned int jo_arena_policy;	/* place in PROTO_FITS */
	bool jo_arena_pageable;
	struct job_group *jo_groups;
	unsigned int jo_group_count;
	struct job_threshold *jo_thresholds;
	unsigned int jo_threshold_count;
};

/* Why a job is refused: one line, "NAME:LINE: what is wrong". */
struct job_error {
	unsigned int je_line;		/* 0: no line is to blame */
	char je_text[256];
};

/* Set up inih; once, before there are threads. */
void job_setup(void);

/* Parse a job's text; `name` is for messages.  0; EINVAL and `err` says why;
 * ENOMEM. */
int job_parse(const char *text, const char *name, struct job **jobp,
    struct job_error *err);
void job_free(struct job *job);		/* NULL is ignored */

/* The job in its canonical form, every key written out: equal jobs give equal
 * texts.  The caller frees it; NULL: no memory. */
char *job_text(const struct job *job);
/* 16 hexadecimal digits that stand for that text. */
void job_hash(const struct job *job, char hash[17]);

/* Is jo_arena made for the job? */
static inline bool
job_makes_arena(const struct job *job)
{
	return (job->jo_arena_size != 0 || job->jo_arena_source[0] != '\0');
}

/* Workers, of one place or (where < 0) of both. */
unsigned int job_workers(const struct job *job, int where);

/* Does the same seed give the same addresses each time?  One worker alone, by
 * operations, in an arena of its own without caches, which differ by CPU. */
bool job_repeats(const struct job *job);

/* Built-in jobs, in the order of the list: name and text; NULL: no more. */
struct job_builtin {
	const char *jb_name;
	const char *jb_summary;
	const char *jb_text;
};
const struct job_builtin *job_builtin_at(size_t index);
const struct job_builtin *job_builtin_find(const char *name);

/* Every key with its meaning, for people. */
void job_help(FILE *out);

/* ---- sizes ---------------------------------------------------------------
 * 0; EINVAL: not of that form (and why in *whyp); ENOMEM.
 */
int job_sizes_parse(const char *text, struct job_sizes *js, const char **whyp);
void job_sizes_fini(struct job_sizes *js);
/* A number of bytes, exact, and short where it can be; returns buf. */
const char *job_size_text(uint64_t size, char *buf, size_t room);
/* As it would be written. */
void job_sizes_print(const struct job_sizes *js, FILE *out);

#endif /* JOB_JOB_H */
