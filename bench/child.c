/*
 * child.c - a contender in its own process: sets itself up, then does one
 * phase for each line on standard input, and answers each with a line of JSON
 * on standard output: {"ready":true}, {"skip":WHY}, {"fail":WHY}, or
 * {"metrics":[[NAME, UNIT, VALUE], ...]}.
 */
#include "config.h"

#include "bench/bench_impl.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmem.h>

struct bench_out {
	json_t *ou_metrics;
};

/* The answers' own descriptor: what a library prints on standard output must
 * not get among them. */
static FILE *answers;

static void
answer(json_t *value)
{
	if (value == NULL || json_dumpf(value, answers, JSON_COMPACT) != 0 ||
	    fputc('\n', answers) == EOF || fflush(answers) != 0)
		_exit(1);	/* the parent is gone */
	json_decref(value);
}

static void
answer_and_exit(const char *key, const char *fmt, va_list ap)
{
	char text[200];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	answer(json_pack("{s:s}", key, text));
	_exit(0);
}

void
bench_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	answer_and_exit("skip", fmt, ap);
	abort();
}

void
bench_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	answer_and_exit("fail", fmt, ap);
	abort();
}

void
bench_value(struct bench_out *out, const char *metric, const char *unit,
    double value)
{
	if (json_array_append_new(out->ou_metrics,
		json_pack("[s,s,f]", metric, unit, value)) != 0)
		bench_die("%s: not a number, or no memory", metric);
}

void
bench_tail(struct bench_out *out, const struct hist *hi)
{
	bench_value(out, "p50", "ns", (double)hist_quantile(hi, 0.5));
	bench_value(out, "p99", "ns", (double)hist_quantile(hi, 0.99));
	bench_value(out, "p99.9", "ns", (double)hist_quantile(hi, 0.999));
	bench_value(out, "p99.99", "ns", (double)hist_quantile(hi, 0.9999));
	bench_value(out, "max", "ns", (double)hi->hi_max);
}

void *
bench_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		bench_die("no memory for %zu bytes", size);
	return (p);
}

void *
bench_map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		bench_die("no memory for %zu bytes", size);
	(void)madvise(p, size, MADV_HUGEPAGE);
	return (p);
}

uint64_t
bench_rss(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	uint64_t size, resident = 0;

	if (f == NULL || fscanf(f, "%" SCNu64 " %" SCNu64, &size,
	    &resident) != 2)
		bench_die("/proc/self/statm can't be read");
	(void)fclose(f);
	return (resident * (uint64_t)sysconf(_SC_PAGESIZE));
}

static void
panicked(const char *message)
{
	bench_die("%s", message);
}

int
child_main(const struct bench_case *bc, const struct bench_contender *bn,
    const struct options *op)
{
	struct bench_run run = { bc, bn, op->op_quick, op->op_seed };
	struct bench_out out;
	char line[16];
	void *state;
	int fd = dup(STDOUT_FILENO);

	if (fd == -1 || (answers = fdopen(fd, "w")) == NULL ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) == -1)
		return (1);
	vmem_set_panic(panicked);
	state = bn->bn_setup(&run);
	answer(json_pack("{s:b}", "ready", 1));
	while (fgets(line, sizeof(line), stdin) != NULL) {
		out.ou_metrics = json_array();
		bn->bn_phase(state, &out);
		answer(json_pack("{s:o}", "metrics", out.ou_metrics));
	}
	if (bn->bn_teardown != NULL)
		bn->bn_teardown(state);
	/* States live as long as the process: nothing for a leak checker. */
	_exit(0);
}
