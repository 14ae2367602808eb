/*
 * bench_impl.h - what the files of the framework share: the results, in the
 * parent, of cases and contenders.
 */
#ifndef BENCH_BENCH_IMPL_H
#define BENCH_BENCH_IMPL_H

#include "bench/bench.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

#define PHASES_MIN 5u		/* of a run whose results count */
#define PHASES_MAX 101u
#define METRICS_MAX 24u		/* of a contender */
#define CONTENDERS_MAX 16u	/* of a case, floors among them */

struct options {
	bool op_quick;
	bool op_table;			/* on standard output */
	bool op_json;			/* a document, there or */
	const char *op_json_file;	/* in this file, unless NULL */
	unsigned int op_phases;
	uint64_t op_seed;
	const char *op_only[16];	/* patterns: any of them */
	unsigned int op_nonly;
};

/* One metric over the phases. */
struct metric {
	char me_name[24];
	char me_unit[16];
	double me_values[PHASES_MAX];
	unsigned int me_count;
};

struct summary {
	double su_median, su_mad, su_min, su_max;
};

enum status { STATUS_OK, STATUS_SKIPPED, STATUS_FAILED };

/* One contender of a case, and its process while there is one. */
struct result {
	const struct bench_contender *re_contender;
	bool re_floor;
	enum status re_status;
	char re_reason[256];		/* unless OK */
	struct metric re_metrics[METRICS_MAX];
	unsigned int re_nmetrics;
	/* The process. */
	pid_t re_pid;			/* 0: none */
	FILE *re_to, *re_from;
};

struct case_result {
	const struct bench_case *cr_case;
	bool cr_judged;		/* aims mean something: not --quick */
	struct result cr_results[CONTENDERS_MAX];	/* floors come last */
	unsigned int cr_count;
};

/* run.c: the contenders' processes, driven from the parent. */
int run_start(struct result *re, const struct bench_case *bc,
    const struct options *op);
int run_phase(struct result *re, bool counts);
void run_end(struct result *re);

/* child.c: this process is a contender. */
int child_main(const struct bench_case *bc, const struct bench_contender *bn,
    const struct options *op);

/* stat.c */
struct summary summarize(const struct metric *me);

/* report.c */
struct about {
	char ab_cpu[128], ab_kernel[160], ab_compiler[64], ab_commit[64];
	char ab_date[40], ab_libc[32];
	long ab_cpus;
	uint64_t ab_memory;
};
void about_get(struct about *ab);
void report_head(const struct bench *be, const struct options *op);
void report_case(const struct case_result *cr);
json_t *json_head(const struct bench *be, const struct options *op);
json_t *json_case(const struct case_result *cr);

#endif /* BENCH_BENCH_IMPL_H */
