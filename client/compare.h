/*
 * compare.h - `vmemctl compare TRACE|JOB`, and what its parts share.
 *
 *	compare.c	the command: what is asked, and the trace or job
 *	compare_run.c	the models' runs, each in a process of its own
 *	compare_job.c	a job's operations as a trace
 *	compare_claim.c	what the numbers say about each claim
 *	compare_text.c	the tables
 *	compare_json.c	the same as JSON
 *	compare_svg.c	the same as bars
 *
 * A model is run several times, since a run changes it: as it is; short of
 * records; by several threads; and to see what faults look up.  Each run is a
 * process of its own (libvmem can be set up once in one, and a design that goes
 * astray takes nobody along), one after the other, so that none disturbs
 * another's times.  No daemon is needed.
 */
#ifndef CLIENT_COMPARE_H
#define CLIENT_COMPARE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/command.h"
#include "models/model.h"
#include "models/run.h"
#include "trace/trace.h"

extern const struct proto_param compare_params[];
extern const char compare_help[];
command_run cmd_compare;

/* ---- inside ------------------------------------------------------------- */

#define COMPARE_MODELS_MAX 64u
#define COMPARE_SHORTAGES 2u	/* at most */
#define COMPARE_THREADS 4u	/* runs: 1, 2, 4, 8 */
#define COMPARE_SWEEPS 4u	/* of 100 to 100,000 ranges */

extern const uint64_t compare_sweeps[COMPARE_SWEEPS];

struct compare_row {
	struct model_spec cr_spec;
	const char *cr_failed;		/* NULL, or why there is no result */
	char cr_why[96];
	struct run_result cr_base;
	struct {
		unsigned int percent;
		uint64_t records;
		struct run_result result;
	} cr_short[COMPARE_SHORTAGES];
	struct {
		unsigned int threads;
		struct run_result result;
	} cr_threads[COMPARE_THREADS];
	double cr_lookups[COMPARE_SWEEPS];	/* entries a fault */
};

struct compare {
	/* As asked for. */
	struct ctl *co_ctl;
	const char *co_path;
	const char *co_svg;		/* or NULL */
	bool co_progress;
	unsigned int co_pageable;	/* percent */
	unsigned int co_short[COMPARE_SHORTAGES];	/* percent; 0: none */
	unsigned int co_threads_max;
	/* The trace. */
	struct trace *co_trace;
	uint32_t co_nops;
	bool co_stopped_at;		/* --stop-at was given */
	uint32_t co_sample;
	/* The rows. */
	unsigned int co_count;
	struct compare_row *co_rows[COMPARE_MODELS_MAX];
	unsigned int co_runs, co_runs_done;	/* for the progress */
	double co_seconds;
};

/* A job's operations, as a trace; CTL_DONE, or it has been told why not. */
enum ctl_exit compare_load_job(
    struct ctl *ct, const char *path, struct trace **trp);
/* Is it a job rather than a trace? */
bool compare_is_job(const char *path);

/* All runs of a model; a run that fails is said in the row.  CTL_DONE, or
 * interrupted. */
enum ctl_exit compare_run_row(struct compare *co, struct compare_row *cr);

/* What a claim came to, in all runs of a row. */
struct compare_claim {
	bool cc_shown;
	uint64_t cc_value;
	uint64_t cc_first;		/* operation, from 1; 0: none */
};
void compare_claim(const struct compare_row *cr, enum model_claim claim,
    struct compare_claim *cc);
/* What an allocation or free takes on average; faults aren't among them. */
double compare_ns_per_op(const struct run_result *rr);
/* Beyond what was there before the first. */
double compare_bytes_per_range(const struct compare_row *cr);
double compare_extent(const struct compare_row *cr);
/* Of whole frees and of parts, refused under all shortages together. */
uint64_t compare_free_failures(const struct compare_row *cr);

/* What a look at the clock takes. */
uint64_t compare_clock_ns(void);
void compare_text(const struct compare *co, FILE *out);
json_t *compare_json(const struct compare *co);
void compare_svg(const struct compare *co, FILE *out);

#endif /* CLIENT_COMPARE_H */
