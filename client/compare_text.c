/*
 * compare_text.c - see compare.h: the tables, 80 columns wide.
 */
#include "config.h"

#include "client/compare.h"

#include <inttypes.h>
#include <string.h>

#include "proto/quantity.h"
#include "util/clock.h"

#define NAME 24	/* columns of a model's name */

/* 1234, 12.3k, 1.2M: at most six characters. */
static const char *
brief(uint64_t n, char buf[24])
{
	if (n < 10000)
		(void)snprintf(buf, 24, "%" PRIu64, n);
	else if (n < 1000000)
		(void)snprintf(buf, 24, "%.1fk", (double)n / 1e3);
	else if (n < UINT64_C(1000000000))
		(void)snprintf(buf, 24, "%.1fM", (double)n / 1e6);
	else
		(void)snprintf(buf, 24, "%.1fG", (double)n / 1e9);
	return (buf);
}

/* Half of the time that looking at the clock twice takes is in every figure. */
uint64_t
compare_clock_ns(void)
{
	uint64_t start = clock_ns();

	for (unsigned int i = 0; i < 1000; i++)
		(void)clock_ns();
	return ((clock_ns() - start) / 1000);
}

static void
name(FILE *out, const struct compare_row *cr)
{
	(void)fprintf(out, "%-*s", NAME, cr->cr_spec.sp_name);
}

/* A row that has no numbers says why; false: it has. */
static bool
failed(FILE *out, const struct compare_row *cr)
{
	if (cr->cr_failed == NULL)
		return (false);
	name(out, cr);
	(void)fprintf(out, " failed: %s\n", cr->cr_failed);
	return (true);
}

/* ---- the tables --------------------------------------------------------- */

static void
head(const struct compare *co, FILE *out)
{
	static const char kinds[] = { 'a', 'f', 'p' };
	const struct run_result *rr = &co->co_rows[0]->cr_base;
	char bytes[32];

	(void)fprintf(out, "%s: %" PRIu32 " operations, peak %s in %" PRIu64
	    " ranges, %u%% pageable\n", co->co_trace->tr_name,
	    co->co_nops, quantity_format(rr->rr_peak, bytes, sizeof(bytes)),
	    rr->rr_live, co->co_pageable);
	if (co->co_stopped_at) {
		const struct trace_op *op =
		    &co->co_trace->tr_ops[co->co_nops - 1];

		(void)fprintf(out, "stopped after operation %" PRIu32 ": %c %"
		    PRIu32 "%s (line %" PRIu32 ")\n", co->co_nops,
		    kinds[op->op_kind], op->op_id, op->op_kind == TRACE_PART ?
		    " ..." : "", op->op_line);
	}
}

/* What is there before the first range is no range's. */
static void
fixed(const struct compare *co, FILE *out)
{
	const char *before = "Beside these bytes, tables of a fixed size:";
	unsigned int column = 0;
	char bytes[32];

	for (unsigned int i = 0; i < co->co_count; i++) {
		const struct compare_row *cr = co->co_rows[i];
		int n;

		if (cr->cr_base.rr_begin.ms_bytes < MODEL_PAGE)
			continue;
		(void)quantity_format(
		    cr->cr_base.rr_begin.ms_bytes, bytes, sizeof(bytes));
		n = (int)(strlen(cr->cr_spec.sp_name) + strlen(bytes)) + 2;
		if (column == 0)
			column = (unsigned int)fprintf(out, "%s", before);
		if (column + (unsigned int)n > 78) {
			(void)fputs("\n ", out);
			column = 1;
		}
		column += (unsigned int)fprintf(
		    out, " %s %s", cr->cr_spec.sp_name, bytes);
	}
	if (column != 0)
		(void)fputc('\n', out);
}

static void
costs(const struct compare *co, FILE *out)
{
	(void)fprintf(out, "\n%-*s alloc    ns  free    ns  bytes extent  "
	    "lookups a fault\n", NAME, "costs");
	(void)fprintf(out, "%-*s   p50   p99   p50   p99 /range  /peak   "
	    "at 100  at 100k\n", NAME, "");
	for (unsigned int i = 0; i < co->co_count; i++) {
		const struct compare_row *cr = co->co_rows[i];
		const struct run_result *rr = &cr->cr_base;

		if (failed(out, cr))
			continue;
		name(out, cr);
		(void)fprintf(out, " %5" PRIu64 " %5" PRIu64 " %5" PRIu64
		    " %5" PRIu64 " %6.1f %6.3f  %7.1f %8.1f\n",
		    hist_quantile(&rr->rr_alloc_ns, 0.5),
		    hist_quantile(&rr->rr_alloc_ns, 0.99),
		    hist_quantile(&rr->rr_free_ns, 0.5),
		    hist_quantile(&rr->rr_free_ns, 0.99),
		    compare_bytes_per_range(cr), compare_extent(cr),
		    cr->cr_lookups[0], cr->cr_lookups[COMPARE_SWEEPS - 1]);
	}
	fixed(co, out);
}

static void
claim(FILE *out, const struct compare_row *cr, enum model_claim which)
{
	struct compare_claim cc;
	char number[24], text[32];

	compare_claim(cr, which, &cc);
	if (!cc.cc_shown)
		(void)snprintf(text, sizeof(text), "no");
	else if (which == CLAIM_A1)
		(void)snprintf(text, sizeof(text), "%" PRIu64 " B",
		    cc.cc_value);
	else
		(void)snprintf(text, sizeof(text), "%s@%" PRIu64,
		    brief(cc.cc_value, number), cc.cc_first);
	(void)fprintf(out, which == CLAIM_A1 ? " %5s" : " %11s", text);
}

static void
claims(const struct compare *co, FILE *out)
{
	(void)fprintf(out, "\n%-*s %5s %11s %11s %11s %11s\n", NAME,
	    "claims: how much@first", "A-1", "A-2", "A-3", "B", "C");
	for (unsigned int i = 0; i < co->co_count; i++) {
		const struct compare_row *cr = co->co_rows[i];

		if (cr->cr_failed != NULL)
			continue;
		name(out, cr);
		for (unsigned int c = 0; c < CLAIMS; c++)
			claim(out, cr, (enum model_claim)c);
		(void)fputc('\n', out);
	}
	(void)fprintf(out,
	    "A-1 bytes of a record; A-2 records asked for in freeing whole"
	    " ranges; A-3 times\na reserve failed; B allocations in faults; C"
	    " how deep allocating VA nests.\n--stop-at N replays to operation"
	    " @N, where it first showed.\n");
}

/* How often memory was wanted in a free, and what a shortage did to it. */
static void
shortages(const struct compare *co, FILE *out)
{
	const struct compare_row *first = co->co_rows[0];
	char b[4][24];

	(void)fprintf(out, "\n%-*s  asked for in", NAME, "records");
	for (unsigned int s = 0; s < COMPARE_SHORTAGES; s++)
		if (first->cr_short[s].percent != 0)
			(void)fprintf(out, "  refused at %3u%%:  ",
			    first->cr_short[s].percent);
	(void)fprintf(out, "\n%-*s  free   part", NAME, "");
	for (unsigned int s = 0; s < COMPARE_SHORTAGES; s++)
		if (first->cr_short[s].percent != 0)
			(void)fprintf(out, "   alloc  free  part");
	(void)fputc('\n', out);
	for (unsigned int i = 0; i < co->co_count; i++) {
		const struct compare_row *cr = co->co_rows[i];
		const struct run_counts *rc = &cr->cr_base.rr_counts;

		if (cr->cr_failed != NULL)
			continue;
		name(out, cr);
		(void)fprintf(out, " %5s %6s", brief(rc->asked[PHASE_FREE],
		    b[0]), brief(rc->asked[PHASE_PART], b[1]));
		for (unsigned int s = 0; s < COMPARE_SHORTAGES; s++) {
			const struct run_result *rr = &cr->cr_short[s].result;

			if (cr->cr_short[s].percent == 0)
				continue;
			(void)fprintf(out, "  %6s %5s %5s",
			    brief(rr->rr_alloc_fails, b[0]),
			    brief(rr->rr_free_fails, b[1]),
			    brief(rr->rr_part_fails, b[2]));
		}
		(void)fputc('\n', out);
	}
}

static void
reservations(const struct compare *co, FILE *out)
{
	char b[8][24];

	(void)fprintf(out, "\n%-*s records   set  reservations          "
	    "deadlocks in\n", NAME, "reserves");
	(void)fprintf(out, "%-*s    live aside   made unused failed  alloc"
	    "  free fault\n", NAME, "");
	for (unsigned int i = 0; i < co->co_count; i++) {
		const struct compare_row *cr = co->co_rows[i];
		const struct run_counts *rc = &cr->cr_base.rr_counts;

		if (cr->cr_failed != NULL)
			continue;
		name(out, cr);
		(void)fprintf(out, " %7s %5s %6s %6s %6s %6s %5s %5s\n",
		    brief(cr->cr_base.rr_sample.ms_records, b[0]),
		    brief(cr->cr_base.rr_sample.ms_stash, b[1]),
		    brief(rc->made, b[2]), brief(rc->unused, b[3]),
		    brief(rc->exhausted, b[4]),
		    brief(rc->deadlocks[PHASE_ALLOC], b[5]),
		    brief(rc->deadlocks[PHASE_FREE] +
			rc->deadlocks[PHASE_PART], b[6]),
		    brief(rc->deadlocks[PHASE_FAULT], b[7]));
	}
}

static void
threads(const struct compare *co, FILE *out)
{
	const struct compare_row *first = co->co_rows[0];

	(void)fprintf(out, "\n%-*s", NAME, "threads");
	for (unsigned int t = 0; t < COMPARE_THREADS; t++)
		if (first->cr_threads[t].threads != 0)
			(void)fprintf(out, " %7u", first->cr_threads[t].threads);
	(void)fprintf(out, "  ns: held p99  waited p99\n");
	for (unsigned int i = 0; i < co->co_count; i++) {
		const struct compare_row *cr = co->co_rows[i];
		const struct run_result *last = NULL;

		if (cr->cr_failed != NULL)
			continue;
		name(out, cr);
		for (unsigned int t = 0; t < COMPARE_THREADS; t++) {
			if (cr->cr_threads[t].threads == 0)
				continue;
			last = &cr->cr_threads[t].result;
			(void)fprintf(out, " %7.0f", compare_ns_per_op(last));
		}
		if (last != NULL)
			(void)fprintf(out, "  %8" PRIu64 "  %10" PRIu64,
			    hist_quantile(&last->rr_locks.ls_hold_ns, 0.99),
			    hist_quantile(&last->rr_locks.ls_wait_ns, 0.99));
		(void)fputc('\n', out);
	}
	(void)fprintf(out, "ns an allocation or free takes, on average, its"
	    " locks being watched; held and\nwaited for with the most"
	    " threads.\n");
}

static void
pools(const struct compare *co, FILE *out)
{
	for (unsigned int i = 0; i < co->co_count; i++) {
		const struct compare_row *cr = co->co_rows[i];
		const struct model_stat *ms = &cr->cr_base.rr_end;
		char size[32], bytes[32];

		if (cr->cr_failed != NULL ||
		    cr->cr_spec.sp_kind != MODEL_POOLS)
			continue;
		(void)fprintf(out, "\n%s: pool pages, at most, and what of"
		    " them was no item's\n", cr->cr_spec.sp_name);
		for (unsigned int c = 0; c < MODEL_POOL_SIZES; c++)
			if (ms->ms_pool[c].pp_size != 0)
				(void)fprintf(out, "%10s %10s  %3.0f%%\n",
				    quantity_format(ms->ms_pool[c].pp_size,
					size, sizeof(size)),
				    quantity_format(ms->ms_pool[c].pp_bytes,
					bytes, sizeof(bytes)),
				    100.0 * (double)ms->ms_pool[c].pp_waste /
					(double)ms->ms_pool[c].pp_bytes);
	}
}

void
compare_text(const struct compare *co, FILE *out)
{
	head(co, out);
	costs(co, out);
	claims(co, out);
	shortages(co, out);
	reservations(co, out);
	threads(co, out);
	pools(co, out);
	(void)fprintf(out, "\n%.0f s; a look at the clock takes %" PRIu64
	    " ns, and is in every time.\n", co->co_seconds,
	    compare_clock_ns());
}
