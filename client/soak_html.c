/*
 * soak_html.c - report.html: a soak for eyes, in one file without scripts.
 *
 * It is made of the verdict and the intervals alone, as they are written, so
 * that `vmemctl report DIR` makes the same page of another machine's run.
 * Drawings are SVG: each series has its own axis from 0 to its maximum, with
 * the numbers at it, and the time below; a point's value shows when it is
 * pointed at.
 */
#include "config.h"

#include "client/soak.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/quantity.h"

#define WIDTH 720
#define HEIGHT 150
#define LEFT 70			/* of the plot: the axis' numbers are there */
#define BOTTOM 22
#define PLOT_W (WIDTH - LEFT - 10)
#define PLOT_H (HEIGHT - BOTTOM - 12)
#define MAP_ROWS_MAX 160

static const char style[] =
"body{font:14px/1.45 system-ui,sans-serif;max-width:60em;margin:2em auto;"
"padding:0 1em;color:#222;background:#fff}"
"h1{font-size:1.5em}h2{font-size:1.1em;margin:1.6em 0 .3em}"
"table{border-collapse:collapse}td,th{padding:.15em .7em;text-align:right;"
"border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left;"
"padding-left:0}code,pre{font:13px/1.4 ui-monospace,monospace}"
"pre{background:#f4f4f4;padding:.7em;overflow-x:auto}"
".passed{color:#1a7f37}.failed,.missed,.bad{color:#b42318}"
"svg{display:block;max-width:100%;height:auto}"
"svg text{font:11px system-ui,sans-serif;fill:#555}"
".axis{stroke:#bbb;stroke-width:1;fill:none}"
".line{fill:none;stroke:#1f5fbf;stroke-width:1.5}"
".line2{fill:none;stroke:#c2711a;stroke-width:1.5}"
".key,.key2{font-weight:normal;margin-left:.8em}"
".key::before,.key2::before{content:'';display:inline-block;width:1.6em;"
"margin-right:.4em;vertical-align:middle;border-top:2px solid #1f5fbf}"
".key2::before{border-color:#c2711a}"
".dot{fill:transparent}.dot:hover{fill:#b42318}"
"@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}"
"pre{background:#242424}td,th{border-color:#444}svg text{fill:#aaa}"
".axis{stroke:#666}.line{stroke:#6ea8fe}.line2{stroke:#f0a35e}"
".key::before{border-color:#6ea8fe}.key2::before{border-color:#f0a35e}"
".passed{color:#57c273}.failed,.missed,.bad{color:#ff7b72}}";

/* ---- text --------------------------------------------------------------- */

static void
put_escaped(FILE *out, const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
		switch (*text) {
		case '<':
			(void)fputs("&lt;", out);
			break;
		case '>':
			(void)fputs("&gt;", out);
			break;
		case '&':
			(void)fputs("&amp;", out);
			break;
		case '"':
			(void)fputs("&quot;", out);
			break;
		default:
			(void)fputc(*text, out);
		}
}

static const char *
text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return (text != NULL ? text : "");
}

/* "a.b" of an object; NAN: there is none. */
static double
number_at(const json_t *object, const char *path)
{
	char name[64];
	const char *dot;

	while ((dot = strchr(path, '.')) != NULL) {
		(void)snprintf(name, sizeof(name), "%.*s", (int)(dot - path),
		    path);
		object = json_object_get(object, name);
		path = dot + 1;
	}
	object = json_object_get(object, path);
	return (json_is_number(object) ? json_number_value(object) : NAN);
}

/* ---- series ------------------------------------------------------------- */

enum unit { UNIT_NUMBER, UNIT_BYTES, UNIT_US, UNIT_SHARE };

struct series {
	const char *title;
	const char *path, *path2;	/* members of an interval */
	const char *name, *name2;
	enum unit unit;
};

static const struct series all_series[] = {
	{ "Operations per second", "ops_per_s", NULL, "", "", UNIT_NUMBER },
	{ "Latency of alloc, microseconds", "latency_us.alloc.p99",
	    "latency_us.alloc.p50", "p99", "p50", UNIT_US },
	{ "Latency of free, microseconds", "latency_us.free.p99",
	    "latency_us.free.p50", "p99", "p50", UNIT_US },
	{ "Bytes in use", "inuse_bytes",
	    NULL, "", "", UNIT_BYTES },
	{ "External fragmentation", "external_fragmentation", NULL, "", "",
	    UNIT_SHARE },
	{ "Resident memory of vmemd", "rss_bytes", NULL, "", "", UNIT_BYTES },
	{ "Refused operations, in all", "fails", NULL, "", "", UNIT_NUMBER },
};

static const char *
value_text(double value, enum unit unit, char *buf, size_t size)
{
	if (unit == UNIT_BYTES)
		return (quantity_format((uint64_t)value, buf, size));
	(void)snprintf(buf, size, value >= 1e6 ? "%.3g" : "%.4g", value);
	return (buf);
}

static double
maximum(const json_t *intervals, const char *path)
{
	double most = 0;
	size_t i;
	json_t *one;

	if (path == NULL)
		return (0);
	json_array_foreach(intervals, i, one) {
		double value = number_at(one, path);

		if (value > most)
			most = value;
	}
	return (most);
}

static double
last_time(const json_t *intervals)
{
	return (number_at(json_array_get(
	    intervals, json_array_size(intervals) - 1), "t_s"));
}

static void
put_line(FILE *out, const json_t *intervals, const char *path,
    const char *class, enum unit unit, double most)
{
	double end = last_time(intervals);
	char text[32];
	size_t i;
	json_t *one;

	(void)fprintf(out, "<polyline class=\"%s\" points=\"", class);
	json_array_foreach(intervals, i, one) {
		double value = number_at(one, path);

		if (!isnan(value))
			(void)fprintf(out, "%.1f,%.1f ", LEFT + PLOT_W *
			    number_at(one, "t_s") / end,
			    10 + PLOT_H * (1 - value / most));
	}
	(void)fputs("\"/>\n", out);
	json_array_foreach(intervals, i, one) {
		double value = number_at(one, path);

		if (isnan(value))
			continue;
		(void)fprintf(out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f"
		    "\" r=\"4\"><title>%.1f s: %s</title></circle>\n",
		    LEFT + PLOT_W * number_at(one, "t_s") / end,
		    10 + PLOT_H * (1 - value / most), number_at(one, "t_s"),
		    value_text(value, unit, text, sizeof(text)));
	}
}

static void
put_time_axis(FILE *out, double end, int height)
{
	for (int i = 0; i <= 4; i++)
		(void)fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\""
		    "%s\">%.*f s</text>\n", LEFT + PLOT_W * i / 4, height - 5,
		    i == 4 ? "end" : i == 0 ? "start" : "middle",
		    end < 20 ? 1 : 0, end * i / 4);
}

static void
put_series(FILE *out, const json_t *intervals, const struct series *se)
{
	double most = maximum(intervals, se->path);
	double most2 = maximum(intervals, se->path2);
	char text[32];

	if (most2 > most)
		most = most2;
	(void)fprintf(out, "<h2>%s", se->title);
	/* Beside the title, where no curve comes. */
	if (se->path2 != NULL)
		(void)fprintf(out, " <span class=\"key\">%s</span> <span "
		    "class=\"key2\">%s</span>", se->name, se->name2);
	(void)fputs("</h2>\n", out);
	if (!(most > 0)) {
		(void)fputs("<p>0 all along.</p>\n", out);
		return;
	}
	(void)fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n"
	    "<polyline class=\"axis\" points=\"%d,10 %d,%d %d,%d\"/>\n", WIDTH,
	    HEIGHT, LEFT, LEFT, 10 + PLOT_H, LEFT + PLOT_W, 10 + PLOT_H);
	(void)fprintf(out, "<text x=\"%d\" y=\"16\" text-anchor=\"end\">%s"
	    "</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"end\">0</text>\n",
	    LEFT - 6, value_text(most, se->unit, text, sizeof(text)), LEFT - 6,
	    10 + PLOT_H);
	put_time_axis(out, last_time(intervals), HEIGHT);
	put_line(out, intervals, se->path, "line", se->unit, most);
	if (se->path2 != NULL)
		put_line(out, intervals, se->path2, "line2", se->unit, most);
	(void)fputs("</svg>\n", out);
}

/* ---- the arena over time ------------------------------------------------ */

static double
address_at(const json_t *interval, const char *name)
{
	const json_t *map = json_object_get(interval, "map");
	const json_t *value = json_object_get(map, name);

	if (json_is_string(value))
		return ((double)strtoull(json_string_value(value), NULL, 0));
	return (json_is_number(value) ? json_number_value(value) : NAN);
}

/* One interval, a column of cells, from the lowest address up: each map has
 * its own start and end, all are drawn on one scale. */
static void
put_column(FILE *out, const json_t *interval, double x, double width,
    double low, double high)
{
	const json_t *used = json_object_get(
	    json_object_get(interval, "map"), "used"), *cell;
	double start = address_at(interval, "start");
	double end = address_at(interval, "end");
	size_t n = json_array_size(used), i;
	double step = (end - start) / (double)n;

	if (!(end > start))
		return;
	json_array_foreach((json_t *)(uintptr_t)used, i, cell) {
		double share = json_number_value(cell);
		double top = start + step * (double)(i + 1);

		if (share < 0.002)
			continue;
		(void)fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\""
		    " height=\"%.2f\" fill=\"#1f5fbf\" fill-opacity=\"%.2f\""
		    "/>\n", x, 10 + MAP_ROWS_MAX * (high - top) / (high - low),
		    width + .3, MAP_ROWS_MAX * step / (high - low) + .3,
		    .12 + .88 * share);
	}
}

static void
put_heat(FILE *out, const json_t *intervals)
{
	size_t n = json_array_size(intervals), skip = n / 180 + 1, i;
	double low = NAN, high = NAN, end = last_time(intervals);
	char text[32];
	json_t *one;

	json_array_foreach(intervals, i, one) {
		double from = address_at(one, "start");
		double to = address_at(one, "end");

		if (!(to > from))
			continue;
		low = isnan(low) || from < low ? from : low;
		high = isnan(high) || to > high ? to : high;
	}
	(void)fputs("<h2>The arena over time: addresses, darker where more of"
	    " them is in use</h2>\n", out);
	if (!(high > low)) {
		(void)fputs("<p>Nothing was in use at any interval.</p>\n",
		    out);
		return;
	}
	(void)fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH,
	    MAP_ROWS_MAX + 36);
	for (i = 0; i < n; i += skip)
		put_column(out, json_array_get(intervals, i),
		    LEFT + (double)PLOT_W * (double)i / (double)n,
		    (double)PLOT_W * (double)skip / (double)n, low, high);
	(void)fprintf(out, "<polyline class=\"axis\" points=\"%d,10 %d,%d %d,%d"
	    "\"/>\n<text x=\"%d\" y=\"16\" text-anchor=\"end\">+%s</text>\n"
	    "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">start</text>\n", LEFT,
	    LEFT, 10 + MAP_ROWS_MAX, LEFT + PLOT_W, 10 + MAP_ROWS_MAX, LEFT - 6,
	    quantity_format((uint64_t)(high - low), text, sizeof(text)),
	    LEFT - 6, 10 + MAP_ROWS_MAX);
	put_time_axis(out, end, MAP_ROWS_MAX + 32);
	(void)fputs("</svg>\n", out);
}

/* ---- tables ------------------------------------------------------------- */

static void
put_thresholds(FILE *out, const json_t *verdict)
{
	const json_t *list = json_object_get(verdict, "thresholds");
	size_t i;
	json_t *one;

	(void)fputs("<h2>Thresholds</h2>\n<table><tr><th>metric</th><th>"
	    "measured</th><th></th><th>limit</th><th></th></tr>\n", out);
	json_array_foreach((json_t *)(uintptr_t)list, i, one) {
		bool held = json_is_true(json_object_get(one, "held"));
		double measured = number_at(one, "measured");

		(void)fputs("<tr><td>", out);
		put_escaped(out, text_of(one, "metric"));
		if (isnan(measured))
			(void)fputs("</td><td>too short</td><td>", out);
		else
			(void)fprintf(out, "</td><td>%.10g</td><td>", measured);
		put_escaped(out, text_of(one, "compare"));
		(void)fprintf(out, "</td><td>%.10g</td><td class=\"%s\">%s</td>"
		    "</tr>\n", number_at(one, "limit"),
		    held ? "passed" : "bad", held ? "held" : "not held");
	}
	(void)fputs("</table>\n", out);
}

static void
put_latencies(FILE *out, const char *group, const json_t *one)
{
	static const char *const quantiles[] = { "p50_ns", "p90_ns", "p99_ns",
		"p999_ns", "max_ns" };
	const json_t *latency = json_object_get(one, "latency");
	const char *op;
	json_t *hist;

	json_object_foreach((json_t *)(uintptr_t)latency, op, hist) {
		(void)fputs("<tr><td>", out);
		put_escaped(out, group);
		(void)fprintf(out, "</td><td>%s</td><td>%.0f</td>", op,
		    number_at(json_object_get(one, "counts"), op));
		for (size_t q = 0; q < 5; q++)
			(void)fprintf(out, "<td>%.1f</td>",
			    number_at(hist, quantiles[q]) / 1e3);
		(void)fputs("</tr>\n", out);
	}
}

static void
put_groups(FILE *out, const json_t *verdict)
{
	const json_t *groups = json_object_get(verdict, "groups");
	const char *name;
	json_t *one;

	(void)fputs("<h2>Latency by group, microseconds</h2>\n<table><tr><th>"
	    "group</th><th>operation</th><th>count</th><th>p50</th><th>p90"
	    "</th><th>p99</th><th>p99.9</th><th>max</th></tr>\n", out);
	json_object_foreach((json_t *)(uintptr_t)groups, name, one)
		put_latencies(out, name, one);
	(void)fputs("</table>\n", out);
}

/* What was done wrong on purpose. */
static void
put_faults(FILE *out, const json_t *verdict)
{
	const json_t *faults = json_object_get(verdict, "faults");
	const char *plant = text_of(verdict, "plant"), *name;
	bool chaos = json_is_true(json_object_get(verdict, "chaos"));
	json_t *count;

	if (!chaos && plant[0] == '\0')
		return;
	(void)fputs("<p>On purpose:", out);
	json_object_foreach((json_t *)(uintptr_t)faults, name, count) {
		bool is_plant = strcmp(name, "plant") == 0;

		if (is_plant ? plant[0] == '\0' : !chaos)
			continue;
		(void)fputc(' ', out);
		put_escaped(out, is_plant ? plant : name);
		(void)fprintf(out, " %.0f", json_number_value(count));
	}
	(void)fputs(".</p>\n", out);
}

static void
put_head(FILE *out, const json_t *verdict)
{
	const char *word = text_of(verdict, "verdict");
	const char *finding = text_of(verdict, "finding");

	(void)fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\""
	    "utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">"
	    "\n<title>", out);
	put_escaped(out, text_of(verdict, "job"));
	(void)fprintf(out, ": %s</title>\n<style>%s</style></head><body>\n"
	    "<h1>", word, style);
	put_escaped(out, text_of(verdict, "job"));
	(void)fprintf(out, ": <span class=\"%s\">%s</span></h1>\n<p>", word,
	    word);
	put_escaped(out, text_of(verdict, "ended"));
	(void)fprintf(out, ", %.1f s, %.0f operations, seed %.0f, vmemd ",
	    number_at(verdict, "seconds"), number_at(verdict, "total.ops"),
	    number_at(verdict, "seed"));
	put_escaped(out, text_of(json_object_get(verdict, "versions"),
	    "vmemd"));
	(void)fputs(". Again:</p>\n<pre>", out);
	put_escaped(out, text_of(verdict, "again"));
	(void)fputs("</pre>\n", out);
	put_faults(out, verdict);
	if (finding[0] == '\0')
		return;
	(void)fputs("<p class=\"bad\">", out);
	put_escaped(out, finding);
	(void)fputs("</p>\n", out);
}

int
soak_html_write(
    const char *path, const json_t *verdict, const json_t *intervals)
{
	char temporary[4200];
	FILE *out;
	bool failed;

	(void)snprintf(temporary, sizeof(temporary), "%s.new", path);
	out = fopen(temporary, "we");
	if (out == NULL)
		return (errno);
	put_head(out, verdict);
	put_thresholds(out, verdict);
	if (json_array_size(intervals) > 0) {
		for (size_t i = 0;
		     i < sizeof(all_series) / sizeof(all_series[0]); i++)
			put_series(out, intervals, &all_series[i]);
		put_heat(out, intervals);
	}
	put_groups(out, verdict);
	(void)fputs("<h2>The job</h2>\n<pre>", out);
	put_escaped(out, text_of(verdict, "job_text"));
	(void)fputs("</pre>\n</body></html>\n", out);
	failed = ferror(out) != 0;
	if (fclose(out) == 0 && !failed && rename(temporary, path) == 0)
		return (0);
	failed = errno != 0;
	(void)unlink(temporary);
	return (failed ? ENOSPC : EIO);
}
