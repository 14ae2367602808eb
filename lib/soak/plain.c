/*
 * plain.c - see plain.h: what is done once a batch, or rarely.
 */
#include "config.h"

#include "soak/plain.h"

void
soak_plain_failed(struct soak_worker *sw, uint64_t size,
    enum soak_outcome outcome, const struct soak_result *sr)
{
	soak_hash(sw, JOB_ALLOC, size, 0, outcome);
	soak_account(sw, outcome, sr);
	sw->sw_refused = outcome == SOAK_FAILED;
}

void
soak_plain_wish(
    struct soak_worker *sw, uint64_t size, uint64_t addr, uint64_t given)
{
	const struct job_range ra = { addr, given, sw->sw_op, 0, sw->sw_owner };
	const struct job_want jw = { .jw_size = size, .jw_max = UINT64_MAX,
		.jw_fit = -1 };

	soak_wish_broken(sw, given < size ||
	    given - size >= sw->sw_space.sp_quantum ? "size" :
	    "the end of the address space", &jw, &ra);
}

/* The same again, with what is to be done about it. */
bool
soak_plain_conflict(
    struct soak_worker *sw, uint64_t addr, uint64_t size, bool claim)
{
	const struct job_range ra = { addr, size, sw->sw_op, 0, sw->sw_owner };

	if (claim)
		return (soak_claim(sw, &ra));
	soak_disown(sw, &ra);
	return (true);
}

static void
book_latencies(struct soak_tally *ta, const struct soak_batch *sb,
    enum job_op op)
{
	uint64_t ns[SOAK_BATCH];

	for (unsigned int i = 0; i < sb->sb_timed[op]; i++)
		ns[i] = ticks_ns(sb->sb_ticks[op][i]);
	hist_record_many(&ta->ta_latency[op], ns, sb->sb_timed[op]);
}

void
soak_plain_books(struct soak_worker *sw, const struct soak_batch *sb)
{
	struct soak_tally *ta = sw->sw_tally;

	soak_add(&ta->ta_ops, sb->sb_ops);
	for (enum job_op op = JOB_ALLOC; op <= JOB_FREE; op++) {
		soak_add(&ta->ta_counts[op], sb->sb_counts[op]);
		if (sb->sb_timed[op] > 0)
			book_latencies(ta, sb, op);
	}
	soak_add(&ta->ta_oracle_count[SOAK_ORACLE_OWNERS], sb->sb_oracles);
	soak_add(&ta->ta_live_bytes, sb->sb_live_bytes);
	soak_add(&ta->ta_live_ranges, sb->sb_live_ranges);
}
