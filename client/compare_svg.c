/*
 * compare_svg.c - see compare.h: a panel of bars for each figure.
 *
 * Self-contained: no script, no font but the reader's.  One column of names at
 * the left of each panel, bars from zero, each with its number; libvmem's in a
 * colour of its own.
 */
#include "config.h"

#include "client/compare.h"

#include <inttypes.h>
#include <string.h>

#define WIDTH 960
#define MARGIN 24
#define NAMES 210	/* width of the column of names */
#define NUMBERS 90	/* room to the right of the longest bar */
#define BAR 18		/* height of a row */
#define TITLE 46	/* and of a panel's title */

struct panel {
	const char *title, *text, *format;
	double (*value)(const struct compare_row *cr);
};

static double
ns_alloc(const struct compare_row *cr)
{
	return ((double)hist_quantile(&cr->cr_base.rr_alloc_ns, 0.5));
}

static double
ns_free(const struct compare_row *cr)
{
	return ((double)hist_quantile(&cr->cr_base.rr_free_ns, 0.5));
}

static double
free_time(const struct compare_row *cr)
{
	return ((double)(cr->cr_base.rr_counts.asked[PHASE_FREE] +
	    cr->cr_base.rr_counts.asked[PHASE_PART]));
}

static double
refused(const struct compare_row *cr)
{
	return ((double)compare_free_failures(cr));
}

static double
fault_time(const struct compare_row *cr)
{
	return ((double)cr->cr_base.rr_counts.asked[PHASE_FAULT]);
}

static double
lookups(const struct compare_row *cr)
{
	return (cr->cr_lookups[COMPARE_SWEEPS - 1]);
}

static const struct panel panels[] = {
	{ "Allocating", "ns, median", "%.0f", ns_alloc },
	{ "Freeing", "ns, median", "%.0f", ns_free },
	{ "Metadata", "bytes for each live range (A-1)", "%.1f",
	    compare_bytes_per_range },
	{ "Extent", "addresses reached into, over what was live", "%.3f",
	    compare_extent },
	{ "Records asked for while freeing", "whole ranges and parts (A-2)",
	    "%.0f", free_time },
	{ "Frees refused", "under the shortages (A-2)", "%.0f", refused },
	{ "Allocations while faulting", "(B)", "%.0f", fault_time },
	{ "Entries looked at by a fault", "beside 100,000 wired ranges",
	    "%.1f", lookups },
};

#define PANELS (sizeof(panels) / sizeof(panels[0]))

static void
escaped(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '<' || *text == '>' || *text == '&')
			(void)fprintf(out, "&#%d;", *text);
		else
			(void)fputc(*text, out);
}

static const char *
colour(const struct compare_row *cr)
{
	return (strstr(cr->cr_spec.sp_name, "vmem") != NULL ? "#0b7285" :
							      "#868e96");
}

static void
panel(const struct compare *co, FILE *out, const struct panel *pn, unsigned int y)
{
	double most = 0;

	for (unsigned int i = 0; i < co->co_count; i++)
		if (pn->value(co->co_rows[i]) > most)
			most = pn->value(co->co_rows[i]);
	(void)fprintf(out, "<text x=\"%d\" y=\"%u\" class=\"t\">", MARGIN,
	    y + 24);
	escaped(out, pn->title);
	(void)fprintf(out, "<tspan class=\"u\" dx=\"8\">");
	escaped(out, pn->text);
	(void)fprintf(out, "</tspan></text>\n");
	for (unsigned int i = 0; i < co->co_count; i++) {
		const struct compare_row *cr = co->co_rows[i];
		double value = pn->value(cr);
		unsigned int at = y + TITLE - 10 + i * BAR;
		double length = most > 0 ? value / most *
		    (WIDTH - 2 * MARGIN - NAMES - NUMBERS) : 0;

		(void)fprintf(out, "<text x=\"%d\" y=\"%u\" class=\"n\">%s"
		    "</text><rect x=\"%d\" y=\"%u\" width=\"%.1f\""
		    " height=\"%d\" fill=\"%s\"/>", MARGIN, at + BAR - 6,
		    cr->cr_spec.sp_name, MARGIN + NAMES, at + 2,
		    length < 1 ? 1.0 : length, BAR - 5, colour(cr));
		(void)fprintf(out, "<text x=\"%.1f\" y=\"%u\" class=\"n\">",
		    MARGIN + NAMES + length + 6, at + BAR - 6);
		if (cr->cr_failed != NULL)
			(void)fputs("failed", out);
		else {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			(void)fprintf(out, pn->format, value);
#pragma GCC diagnostic pop
		}
		(void)fputs("</text>\n", out);
	}
}

void
compare_svg(const struct compare *co, FILE *out)
{
	unsigned int step = TITLE + co->co_count * BAR + 10;
	unsigned int height = 60 + (unsigned int)PANELS * step + MARGIN;

	(void)fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\""
	    " viewBox=\"0 0 %d %u\" width=\"%d\" height=\"%u\">\n<style>"
	    ".h{font:600 22px system-ui,'DejaVu Sans',sans-serif}"
	    ".t{font:600 15px system-ui,'DejaVu Sans',sans-serif}"
	    ".u{font:400 13px system-ui,'DejaVu Sans',sans-serif;"
	    "fill:#495057}"
	    ".n{font:12px ui-monospace,'DejaVu Sans Mono',monospace}"
	    "</style>\n<title>Designs compared on ", WIDTH, height, WIDTH,
	    height);
	escaped(out, co->co_trace->tr_name);
	(void)fprintf(out, "</title>\n<rect width=\"%d\" height=\"%u\""
	    " fill=\"#fff\"/>\n<text x=\"%d\" y=\"40\" class=\"h\">", WIDTH,
	    height, MARGIN);
	escaped(out, co->co_trace->tr_name);
	(void)fprintf(out, "<tspan class=\"u\" dx=\"10\">%" PRIu32
	    " operations, %u%% of the ranges pageable</tspan></text>\n",
	    co->co_nops, co->co_pageable);
	for (unsigned int i = 0; i < PANELS; i++)
		panel(co, out, &panels[i], 60 + i * step);
	(void)fputs("</svg>\n", out);
}
