/*
 * compare_claim.c - see compare.h: what the numbers of a row say about DESIGN
 * 1's claims.
 *
 *	A-1	a record is far larger than what one was in 2001: more than two
 *	A-2	a whole range's free asked for a record, or was refused
 *	A-3	a reservation didn't have what it was for, or locked itself out
 *	B	a fault asked for memory
 *	C	allocating VA needed VA of the same map first
 *
 * Freeing a part is judged by itself: where one range was, two may remain, for
 * which any design needs one record more.
 */
#include "config.h"

#include "client/compare.h"

#define TAG_BYTES 32u	/* links, start, size */

static uint64_t
sum(const uint64_t *numbers, unsigned int n)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < n; i++)
		total += numbers[i];
	return (total);
}

/* The first of all runs, which begins with the one that wants for nothing. */
static uint64_t
first_of(const struct compare_row *cr, enum model_claim claim)
{
	uint64_t first = cr->cr_base.rr_counts.first[claim];

	for (unsigned int i = 0; first == 0 && i < COMPARE_SHORTAGES; i++)
		first = cr->cr_short[i].result.rr_counts.first[claim];
	return (first);
}

static uint64_t
reserve_trouble(const struct run_counts *rc)
{
	return (rc->exhausted + sum(rc->deadlocks, PHASES) -
	    rc->deadlocks[PHASE_FAULT]);
}

void
compare_claim(const struct compare_row *cr, enum model_claim claim,
    struct compare_claim *cc)
{
	const struct run_counts *rc = &cr->cr_base.rr_counts;

	*cc = (struct compare_claim) { .cc_first = first_of(cr, claim) };
	switch (claim) {
	case CLAIM_A1:
		cc->cc_value = cr->cr_base.rr_sample.ms_record_size;
		cc->cc_shown = cc->cc_value > 2 * TAG_BYTES;
		cc->cc_first = cc->cc_shown ? 1 : 0;
		return;
	case CLAIM_A2:
		cc->cc_value = rc->asked[PHASE_FREE];
		break;
	case CLAIM_A3:
		cc->cc_value = cr->cr_spec.sp_reserve == RESERVE_NONE ? 0 :
		    reserve_trouble(rc);
		for (unsigned int i = 0; cc->cc_value == 0 &&
		     cc->cc_first != 0 && i < COMPARE_SHORTAGES; i++)
			cc->cc_value = reserve_trouble(
			    &cr->cr_short[i].result.rr_counts);
		break;
	case CLAIM_B:
		cc->cc_value = rc->asked[PHASE_FAULT];
		break;
	case CLAIM_C:
		cc->cc_value = rc->depth;
		break;
	case CLAIMS:
		break;
	}
	cc->cc_shown = cc->cc_first != 0;
}

double
compare_ns_per_op(const struct run_result *rr)
{
	const struct hist *hi[] = { &rr->rr_alloc_ns, &rr->rr_free_ns,
		&rr->rr_part_ns };
	uint64_t ops = 0;
	double ns = 0;

	for (size_t i = 0; i < sizeof(hi) / sizeof(hi[0]); i++) {
		ops += hi[i]->hi_count;
		ns += (double)hi[i]->hi_sum;
	}
	return (ops == 0 ? 0 : ns / (double)ops);
}

double
compare_bytes_per_range(const struct compare_row *cr)
{
	uint64_t live = cr->cr_base.rr_live;

	return (live == 0 ? 0 : (double)(cr->cr_base.rr_sample.ms_bytes -
	    cr->cr_base.rr_begin.ms_bytes) / (double)live);
}

double
compare_extent(const struct compare_row *cr)
{
	return (cr->cr_base.rr_peak == 0 ? 0 :
	    (double)cr->cr_base.rr_end.ms_extent /
	    (double)cr->cr_base.rr_peak);
}

uint64_t
compare_free_failures(const struct compare_row *cr)
{
	uint64_t n = cr->cr_base.rr_free_fails + cr->cr_base.rr_part_fails;

	for (unsigned int i = 0; i < COMPARE_SHORTAGES; i++)
		n += cr->cr_short[i].result.rr_free_fails +
		    cr->cr_short[i].result.rr_part_fails;
	return (n);
}
