/*
 * report.c - results as a table for people, 80 columns wide, and as JSON.
 */
#include "config.h"

#include "bench/bench_impl.h"

#include <gnu/libc-version.h>
#include <math.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* ---- where and of what --------------------------------------------------- */

static void
chomp(char *s)
{
	s[strcspn(s, "\n")] = '\0';
}

static void
cpu_name(char *text, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[256], *colon;

	(void)snprintf(text, size, "unknown CPU");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "model name", 10) == 0 &&
		    (colon = strchr(line, ':')) != NULL) {
			chomp(line);
			(void)snprintf(text, size, "%s", colon + 2);
			break;
		}
	if (f != NULL)
		(void)fclose(f);
}

/* Of the tree that this was built from, if it is one, as it is now. */
static void
commit_name(char *text, size_t size)
{
	FILE *f = popen("git -C '" BENCH_SRCDIR "' -c safe.directory='*' "
	    "describe --always --dirty --abbrev=12 2>/dev/null", "r");

	if (f == NULL || fgets(text, (int)size, f) == NULL)
		(void)snprintf(text, size, "unknown");
	chomp(text);
	if (f != NULL)
		(void)pclose(f);
}

void
about_get(struct about *ab)
{
	struct utsname un;
	struct sysinfo si;
	time_t now = time(NULL);
	struct tm tm;

	memset(ab, 0, sizeof(*ab));
	cpu_name(ab->ab_cpu, sizeof(ab->ab_cpu));
	commit_name(ab->ab_commit, sizeof(ab->ab_commit));
	if (uname(&un) == 0)
		(void)snprintf(ab->ab_kernel, sizeof(ab->ab_kernel),
		    "%s %s", un.sysname, un.release);
	if (sysinfo(&si) == 0)
		ab->ab_memory = (uint64_t)si.totalram * si.mem_unit;
	ab->ab_cpus = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __clang__
	(void)snprintf(ab->ab_compiler, sizeof(ab->ab_compiler), "clang %s",
	    __clang_version__);
#else
	(void)snprintf(ab->ab_compiler, sizeof(ab->ab_compiler), "gcc %s",
	    __VERSION__);
#endif
	(void)snprintf(ab->ab_libc, sizeof(ab->ab_libc), "glibc %s",
	    gnu_get_libc_version());
	if (gmtime_r(&now, &tm) != NULL)
		(void)strftime(ab->ab_date, sizeof(ab->ab_date),
		    "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* What makes times of this build meaningless, or NULL. */
static const char *
not_for_times(const struct options *op)
{
#if defined(VMEM_SANITIZED)
	(void)op;
	return ("built with a sanitizer: times mean nothing");
#elif defined(VMEM_DEBUG)
	(void)op;
	return ("built with --enable-debug: times mean nothing");
#else
	return (op->op_quick ? "--quick: times mean nothing" : NULL);
#endif
}

/* ---- the table ----------------------------------------------------------- */

/* Words, broken at column 79, indented but for the first line. */
static void
print_wrapped(const char *label, const char *text)
{
	int column = printf("%-9s", label);

	while (*text != '\0') {
		int n = (int)strcspn(text, " ");

		if (column + 1 + n > 79)
			column = printf("\n%-9s", "") - 1;
		column += printf(" %.*s", n, text);
		text += n;
		text += strspn(text, " ");
	}
	(void)printf("\n");
}

void
report_head(const struct bench *be, const struct options *op)
{
	struct about ab;
	char text[512];

	about_get(&ab);
	(void)printf("%s, commit %s, %s\n", be->be_name, ab.ab_commit,
	    ab.ab_date);
	(void)snprintf(text, sizeof(text), "%ld x %s, %.1f GiB, %s, %s, %s",
	    ab.ab_cpus, ab.ab_cpu, (double)ab.ab_memory / 0x1p30,
	    ab.ab_kernel, ab.ab_libc, ab.ab_compiler);
	print_wrapped("machine", text);
	print_wrapped("question", be->be_question);
	print_wrapped("workload", be->be_workload);
	print_wrapped("warm-up", be->be_warmup);
	(void)snprintf(text, sizeof(text), "median of %u phases (counted ones:"
	    " 1), after one that isn't counted; contenders, each a process,"
	    " and floors take turns phase by phase; MAD is the median absolute"
	    " deviation; x: multiples of the floors' medians in the same case",
	    op->op_phases);
	print_wrapped("spread", text);
	if (not_for_times(op) != NULL)
		print_wrapped("NOTE", not_for_times(op));
	(void)fflush(stdout);
}

/* Four digits, in seven columns at most. */
static const char *
number(double value, char *text, size_t size)
{
	double a = fabs(value);

	if (a >= 1e6)
		(void)snprintf(text, size, "%.1e", value);
	else if (a >= 1000 || value == 0)
		(void)snprintf(text, size, "%.0f", value);
	else
		(void)snprintf(text, size, "%.*f",
		    a >= 100 ? 1 : a >= 10 ? 2 : a >= 1 ? 3 : 4, value);
	return (text);
}

static const struct result *
floor_result(const struct case_result *cr, unsigned int nth)
{
	for (unsigned int i = 0; i < cr->cr_count; i++)
		if (cr->cr_results[i].re_floor && nth-- == 0)
			return (&cr->cr_results[i]);
	return (NULL);
}

/* The metric as a multiple of the nth floor; 0: there is none. */
static double
multiple(const struct case_result *cr, const struct metric *me,
    unsigned int nth)
{
	const struct result *fl = floor_result(cr, nth);
	double f;

	if (fl == NULL || fl->re_status != STATUS_OK || fl->re_nmetrics == 0 ||
	    strncmp(me->me_unit, "ns", 2) != 0)
		return (0);
	f = summarize(&fl->re_metrics[0]).su_median;
	return (f > 0 ? summarize(me).su_median / f : 0);
}

static const struct bench_aim *
aim_of(const struct case_result *cr, const struct result *re,
    const struct metric *me)
{
	const struct bench_aim *ba = cr->cr_case->bc_aims;

	if (re != &cr->cr_results[0] || !cr->cr_judged)
		return (NULL);
	for (unsigned int i = 0; i < BENCH_AIMS_MAX; i++)
		if (ba[i].ba_metric != NULL &&
		    strcmp(ba[i].ba_metric, me->me_name) == 0)
			return (&ba[i]);
	return (NULL);
}

static void
print_metric(const struct case_result *cr, const struct result *re,
    const struct metric *me)
{
	struct summary su = summarize(me);
	const struct bench_aim *ba = aim_of(cr, re, me);
	char a[24], b[24], c[24], d[24], label[48];

	(void)snprintf(label, sizeof(label), "%s%s%s", me->me_name,
	    me->me_unit[0] != '\0' ? " " : "", me->me_unit);
	(void)printf("  %-10s %-13s %7s %6s %7s %7s", re->re_contender->bn_name,
	    label, number(su.su_median, a, sizeof(a)),
	    number(su.su_mad, b, sizeof(b)), number(su.su_min, c, sizeof(c)),
	    number(su.su_max, d, sizeof(d)));
	for (unsigned int nth = 0; nth < 2 && !re->re_floor; nth++) {
		double x = multiple(cr, me, nth);

		if (floor_result(cr, nth) != NULL && (x > 0 || ba != NULL))
			(void)printf(" %6s",
			    x > 0 ? number(x, a, sizeof(a)) : "");
	}
	if (ba != NULL)
		(void)printf(" %5s%s", number(ba->ba_most, a, sizeof(a)),
		    su.su_median > ba->ba_most ? "!" : "");
	(void)printf("\n");
}

/* Floors' names head their columns. */
static void
print_columns(const struct case_result *cr)
{
	(void)printf("  %-10s %-13s %7s %6s %7s %7s", "contender", "metric",
	    "median", "MAD", "min", "max");
	for (unsigned int nth = 0; nth < 2; nth++) {
		const struct result *fl = floor_result(cr, nth);
		char name[16];

		(void)snprintf(name, sizeof(name), "x%s",
		    fl != NULL ? fl->re_contender->bn_name : "");
		if (fl != NULL)
			(void)printf(" %6.6s", name);
	}
	(void)printf("%s\n", cr->cr_judged && cr->cr_case->bc_aims[0].ba_metric
	    != NULL ? "   aim" : "");
}

void
report_case(const struct case_result *cr)
{
	(void)printf("\n%s: %s\n", cr->cr_case->bc_name, cr->cr_case->bc_text);
	if (cr->cr_case->bc_note != NULL)
		print_wrapped("", cr->cr_case->bc_note);
	print_columns(cr);
	for (unsigned int i = 0; i < cr->cr_count; i++) {
		const struct result *re = &cr->cr_results[i];

		if (re->re_status != STATUS_OK) {
			(void)printf("  %-10s %s: %s\n",
			    re->re_contender->bn_name,
			    re->re_status == STATUS_SKIPPED ? "skipped" :
							      "FAILED",
			    re->re_reason);
			continue;
		}
		for (unsigned int j = 0; j < re->re_nmetrics; j++)
			print_metric(cr, re, &re->re_metrics[j]);
	}
	(void)fflush(stdout);
}

/* ---- JSON ---------------------------------------------------------------- */

json_t *
json_head(const struct bench *be, const struct options *op)
{
	struct about ab;

	about_get(&ab);
	return (json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:i,"
			  " s:s, s:s, s:s, s:s?, s:{s:s, s:I, s:I, s:s, s:s, s:s}}",
	    "schema_version", 1, "bench", be->be_name, "version",
	    PACKAGE_VERSION, "question", be->be_question, "workload",
	    be->be_workload, "warmup", be->be_warmup, "quick", op->op_quick,
	    "seed", (json_int_t)op->op_seed, "phases", (int)op->op_phases,
	    "spread", "MAD", "date", ab.ab_date, "commit", ab.ab_commit, "note", not_for_times(op),
	    "machine", "cpu", ab.ab_cpu, "cpus", (json_int_t)ab.ab_cpus,
	    "memory_bytes", (json_int_t)ab.ab_memory, "kernel", ab.ab_kernel,
	    "libc", ab.ab_libc, "compiler", ab.ab_compiler));
}

static json_t *
json_metric(const struct case_result *cr, const struct result *re,
    const struct metric *me)
{
	struct summary su = summarize(me);
	const struct bench_aim *ba = aim_of(cr, re, me);
	json_t *phases = json_array();
	json_t *value;

	for (unsigned int i = 0; i < me->me_count; i++)
		(void)json_array_append_new(
		    phases, json_real(me->me_values[i]));
	value = json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:o}", "name",
	    me->me_name, "unit", me->me_unit, "median", su.su_median, "mad",
	    su.su_mad, "min", su.su_min, "max", su.su_max, "phases", phases);
	for (unsigned int nth = 0; nth < 2 && !re->re_floor; nth++)
		if (multiple(cr, me, nth) > 0) {
			char key[24];

			(void)snprintf(key, sizeof(key), "x_%s",
			    floor_result(cr, nth)->re_contender->bn_name);
			(void)json_object_set_new(
			    value, key, json_real(multiple(cr, me, nth)));
		}
	if (ba != NULL)
		(void)json_object_update_new(value, json_pack("{s:f, s:b}",
		    "aim", ba->ba_most, "reached",
		    su.su_median <= ba->ba_most));
	return (value);
}

json_t *
json_case(const struct case_result *cr)
{
	static const char *const names[] = { "ok", "skipped", "failed" };
	json_t *results = json_array();

	for (unsigned int i = 0; i < cr->cr_count; i++) {
		const struct result *re = &cr->cr_results[i];
		json_t *metrics = json_array();

		for (unsigned int j = 0; j < re->re_nmetrics; j++)
			(void)json_array_append_new(metrics,
			    json_metric(cr, re, &re->re_metrics[j]));
		(void)json_array_append_new(results,
		    json_pack("{s:s, s:b, s:s, s:s?, s:o}", "contender",
			re->re_contender->bn_name, "floor", re->re_floor,
			"status", names[re->re_status], "reason",
			re->re_status == STATUS_OK ? NULL : re->re_reason,
			"metrics", metrics));
	}
	return (json_pack("{s:s, s:s, s:b, s:o}", "name",
	    cr->cr_case->bc_name, "text", cr->cr_case->bc_text, "counted",
	    cr->cr_case->bc_once, "results", results));
}
