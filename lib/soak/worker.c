/*
 * worker.c - see soak.h.
 */
#include "config.h"

#include "soak/soak.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "soak/impl.h"
#include "util/clock.h"
#include "util/ticks.h"

#define PAUSE_NS 50000		/* of who has nothing to take, or no room */
#define SLEEP_MAX_NS 20000000u	/* between looks at the control block */
#define DYING_MAX_NS UINT64_C(30000000000)

const char *const soak_oracle_names[SOAK_ORACLES] = { "owners", "fill",
	"verify", "zero" };

/* ---- books -------------------------------------------------------------- */

void
soak_tally_init(struct soak_tally *ta)
{
	for (unsigned int i = 0; i < JOB_OPS; i++)
		hist_init(&ta->ta_latency[i]);
}

char *
soak_who(const struct soak_worker *sw, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s/%u operation %" PRIu64,
	    sw->sw_group->jg_name, sw->sw_index, sw->sw_op);
	return (buf);
}

void
soak_finding(struct soak_worker *sw, const char *fmt, ...)
{
	struct soak_control *co = sw->sw_control;
	struct soak_tally *ta = sw->sw_tally;
	char text[SOAK_FINDING_MAX], who[96];
	uint64_t n = atomic_load_explicit(
	    &ta->ta_violations, memory_order_relaxed);
	int len;
	va_list ap;

	len = snprintf(text, sizeof(text), "%s: ",
	    soak_who(sw, who, sizeof(who)));
	va_start(ap, fmt);
	(void)vsnprintf(text + len, sizeof(text) - (size_t)len, fmt, ap);
	va_end(ap);
	if (n < SOAK_FINDINGS)
		memcpy(ta->ta_findings[n], text, sizeof(text));
	/* Release: who sees the count sees the text. */
	atomic_store_explicit(&ta->ta_violations, n + 1, memory_order_release);
	if (atomic_exchange(&co->co_told, 1) == 0) {
		memcpy(co->co_first, text, sizeof(text));
		atomic_store_explicit(
		    &co->co_violations, 1, memory_order_release);
	}
	atomic_store(&co->co_stop, 1);
}

void
soak_lost(struct soak_worker *sw, const char *text)
{
	struct soak_control *co = sw->sw_control;
	char who[96];

	if (atomic_exchange(&co->co_told, 1) == 0) {
		(void)snprintf(co->co_first, sizeof(co->co_first), "%s: %s",
		    soak_who(sw, who, sizeof(who)), text);
		/* Release: who sees it sees the text. */
		atomic_store_explicit(&co->co_lost, 1, memory_order_release);
	}
	atomic_store(&co->co_abandon, 1);
	atomic_store(&co->co_stop, 1);
}

bool
soak_stopping(const struct soak_worker *sw)
{
	return (atomic_load_explicit(
	    &sw->sw_control->co_stop, memory_order_relaxed) != 0);
}

void
soak_account(struct soak_worker *sw, enum soak_outcome outcome,
    const struct soak_result *sr)
{
	if (outcome == SOAK_FAILED)
		soak_add(&sw->sw_tally->ta_causes[sr->sr_cause], 1);
	else if (outcome == SOAK_WRONG)
		soak_finding(sw, "%s", sr->sr_text);
	else if (outcome == SOAK_LOST)
		soak_lost(sw, sr->sr_text);
}

/* ---- timing ------------------------------------------------------------- */

/* When an operation began, in ticks, or was to begin, by the clock; 0: it
 * isn't timed. */
static inline uint64_t
begin(struct soak_worker *sw, enum job_op op)
{
	if (sw->sw_group->jg_rate > 0)
		return (sw->sw_ending ? 0 : sw->sw_intended_ns);
	if (--sw->sw_untimed[op] != 0)
		return (0);
	sw->sw_untimed[op] = sw->sw_time_every;
	return (ticks_now());
}

static inline void
end(struct soak_worker *sw, enum job_op op, uint64_t from)
{
	uint64_t now;

	soak_add(&sw->sw_tally->ta_counts[op], 1);
	if (from == 0)
		return;
	if (sw->sw_group->jg_rate > 0) {
		now = clock_ns();
		now = now > from ? now - from : 0;
	} else
		now = ticks_ns(ticks_now() - from);
	hist_record(&sw->sw_tally->ta_latency[op], now);
}

static void
sleep_ns(uint64_t ns)
{
	const struct timespec ts = { (time_t)(ns / 1000000000),
		(long)(ns % 1000000000) };

	(void)nanosleep(&ts, NULL);
}

/* ---- the oracle of owners ----------------------------------------------- */

/*
 * A range of a worker that is being killed is freed by the daemon, and given
 * to others, before its claims are cleared.  True: it was so, and is over.
 */
static bool
was_dying(struct soak_worker *sw, unsigned int owner)
{
	_Atomic unsigned char *dying = &sw->sw_control->co_dying[owner];
	uint64_t until = clock_ns() + DYING_MAX_NS;

	if (atomic_load(dying) == 0)
		return (false);
	while (atomic_load(dying) != 0 && clock_ns() < until)
		sleep_ns(PAUSE_NS);
	return (true);
}

static char *
owner_name(const struct soak_worker *sw, unsigned int owner, char *buf,
    size_t size)
{
	const struct job *job = sw->sw_job;
	unsigned int first = 1;

	(void)snprintf(buf, size, "nobody");
	for (unsigned int i = 0; owner > 0 && i < job->jo_group_count; i++) {
		unsigned int n = (unsigned int)job->jo_groups[i].jg_workers;

		if (owner >= first && owner - first < n)
			(void)snprintf(buf, size, "%s/%u%s",
			    job->jo_groups[i].jg_name, owner - first,
			    owner == sw->sw_owner ? " (itself)" : "");
		first += n;
	}
	return (buf);
}

bool
soak_claim(struct soak_worker *sw, const struct job_range *ra)
{
	char who[64];
	struct owners_conflict oc = { 0, 0 };
	enum owners_error error;
	uint64_t from;
	bool again;

	if (sw->sw_owners == NULL)
		return (true);
	from = soak_oracle_begin(sw, SOAK_ORACLE_OWNERS);
	do {
		error = owners_claim(sw->sw_owners, ra->ra_addr, ra->ra_size,
		    sw->sw_owner, &oc);
		again = error == OWNERS_TAKEN && was_dying(sw, oc.oc_owner);
	} while (again);
	soak_oracle_end(sw, SOAK_ORACLE_OWNERS, from);
	if (error == OWNERS_TAKEN)
		soak_finding(sw, "overlap: was given 0x%" PRIx64 " (%" PRIu64
		    " bytes), but 0x%" PRIx64 " is held by %s", ra->ra_addr,
		    ra->ra_size, oc.oc_addr, owner_name(sw, oc.oc_owner, who,
		    sizeof(who)));
	else if (error != OWNERS_OK)
		soak_finding(sw, "was given 0x%" PRIx64 " (%" PRIu64 " bytes),"
		    " which %s", ra->ra_addr, ra->ra_size,
		    error == OWNERS_OUTSIDE ? "lies outside of the arena" :
		    "isn't whole quanta");
	return (error == OWNERS_OK);
}

void
soak_disown(struct soak_worker *sw, const struct job_range *ra)
{
	struct owners_conflict oc = { 0, 0 };
	char who[64];
	uint64_t from;

	if (sw->sw_owners == NULL)
		return;
	from = soak_oracle_begin(sw, SOAK_ORACLE_OWNERS);
	if (owners_release(sw->sw_owners, ra->ra_addr, ra->ra_size, ra->ra_id,
		&oc) != OWNERS_OK)
		soak_finding(sw, "0x%" PRIx64 " (%" PRIu64 " bytes) is to be"
		    " freed, but 0x%" PRIx64 " is held by %s", ra->ra_addr,
		    ra->ra_size, oc.oc_addr, owner_name(sw, oc.oc_owner, who,
		    sizeof(who)));
	soak_oracle_end(sw, SOAK_ORACLE_OWNERS, from);
}

/* ---- the oracle of wishes ----------------------------------------------- */

/* NULL, or the wish that wasn't honoured. */
static const char *
broken_wish(const struct soak_worker *sw, const struct job_want *jw,
    const struct job_range *ra)
{
	uint64_t last = ra->ra_addr + (ra->ra_size - 1);

	if (ra->ra_size < jw->jw_size ||
	    ra->ra_size - jw->jw_size >= sw->sw_space.sp_quantum)
		return ("size");
	if (last < ra->ra_addr)
		return ("the end of the address space");
	if (jw->jw_align != 0 && (ra->ra_addr & (jw->jw_align - 1)) != 0)
		return ("align");
	if (jw->jw_nocross != 0 && (ra->ra_addr & ~(jw->jw_nocross - 1)) !=
	    (last & ~(jw->jw_nocross - 1)))
		return ("nocross");
	if (jw->jw_at && ra->ra_addr != jw->jw_min)
		return ("at");
	if (ra->ra_addr < jw->jw_min ||
	    (jw->jw_max != UINT64_MAX && last > jw->jw_max))
		return ("min and max");
	return (NULL);
}

void
soak_wish_broken(struct soak_worker *sw, const char *wish,
    const struct job_want *jw, const struct job_range *ra)
{
	soak_finding(sw, "%s: asked for %" PRIu64 " bytes (align %" PRIu64
	    ", nocross %" PRIu64 ", min 0x%" PRIx64 ", max 0x%" PRIx64
	    "), was given 0x%" PRIx64 " (%" PRIu64 ")", wish, jw->jw_size,
	    jw->jw_align, jw->jw_nocross, jw->jw_min, jw->jw_max, ra->ra_addr,
	    ra->ra_size);
}

/* ---- the oracle of bytes ------------------------------------------------ */

static uint64_t
pattern_seed(const struct job_range *ra)
{
	return ((uint64_t)ra->ra_id << 40 ^ ra->ra_op);
}

/* The parts of a range that have a pattern; returns how many. */
static unsigned int
patterned(const struct job_range *ra, uint64_t offsets[2], uint64_t lens[2])
{
	offsets[0] = 0;
	lens[0] = ra->ra_size;
	if (ra->ra_size <= 2 * SOAK_PATTERN_END)
		return (1);
	lens[0] = lens[1] = SOAK_PATTERN_END;
	offsets[1] = ra->ra_size - SOAK_PATTERN_END;
	return (2);
}

static enum soak_outcome
on_parts(struct soak_worker *sw, const struct job_range *ra,
    enum soak_outcome (*fn)(struct soak_worker *, const struct job_range *,
	uint64_t, uint64_t, uint64_t, struct soak_result *),
    struct soak_result *sr)
{
	uint64_t offsets[2], lens[2];
	unsigned int n = patterned(ra, offsets, lens);
	enum soak_outcome outcome = SOAK_DONE;

	for (unsigned int i = 0; i < n && outcome == SOAK_DONE; i++)
		outcome = fn(
		    sw, ra, offsets[i], lens[i], pattern_seed(ra), sr);
	return (outcome);
}

static void
look_for_zeros(struct soak_worker *sw, const struct job_range *ra)
{
	const struct soak_target *st = sw->sw_target;
	struct soak_result sr;
	uint64_t from;

	/* Counted by itself: allocations may all be odd operations. */
	if (!sw->sw_pattern || st->st_zero == NULL ||
	    sw->sw_touched++ % SOAK_ZERO_EVERY != 0)
		return;
	from = soak_oracle_begin(sw, SOAK_ORACLE_ZERO);
	soak_account(sw, st->st_zero(sw, ra, 0, ra->ra_size < 4096 ? ra->ra_size :
	    4096, &sr), &sr);
	soak_oracle_end(sw, SOAK_ORACLE_ZERO, from);
}

/* Use a new range's pages. */
static void
do_touch(struct soak_worker *sw, struct job_range *ra)
{
	const struct soak_target *st = sw->sw_target;
	struct soak_result sr;
	enum soak_outcome outcome;
	uint64_t from;

	look_for_zeros(sw, ra);
	from = begin(sw, JOB_TOUCH);
	if (sw->sw_pattern) {
		uint64_t of = soak_oracle_begin(sw, SOAK_ORACLE_FILL);

		outcome = on_parts(sw, ra, st->st_fill, &sr);
		soak_oracle_end(sw, SOAK_ORACLE_FILL, of);
		if (outcome == SOAK_DONE)
			ra->ra_flags |= SOAK_FILLED;
	} else
		outcome = st->st_touch(sw, ra, &sr);
	soak_account(sw, outcome, &sr);
	end(sw, JOB_TOUCH, from);
}

static void
do_verify(struct soak_worker *sw, const struct job_range *ra)
{
	struct soak_result sr;
	uint64_t from, of;

	if ((ra->ra_flags & SOAK_FILLED) == 0)
		return;
	from = begin(sw, JOB_CHECK);
	of = soak_oracle_begin(sw, SOAK_ORACLE_VERIFY);
	soak_account(sw, on_parts(sw, ra, sw->sw_target->st_verify, &sr), &sr);
	soak_oracle_end(sw, SOAK_ORACLE_VERIFY, of);
	end(sw, JOB_CHECK, from);
}

/* ---- operations --------------------------------------------------------- */

static void
do_alloc(struct soak_worker *sw)
{
	struct soak_tally *ta = sw->sw_tally;
	struct job_range ra = { .ra_op = sw->sw_op, 
		.ra_id = sw->sw_owner };
	struct job_want jw;
	struct soak_result sr;
	enum soak_outcome outcome;
	const char *wish;
	uint64_t from;

	job_stream_want(&sw->sw_stream, &jw);
	from = begin(sw, JOB_ALLOC);
	outcome = sw->sw_target->st_alloc(sw, &jw, &ra, &sr);
	end(sw, JOB_ALLOC, from);
	soak_hash(sw, JOB_ALLOC, jw.jw_size, ra.ra_addr, outcome);
	soak_account(sw, outcome, &sr);
	sw->sw_refused = outcome == SOAK_FAILED && sr.sr_cause != JOB_EXISTS;
	if (outcome != SOAK_DONE)
		return;
	if (sw->sw_owners != NULL &&
	    (wish = broken_wish(sw, &jw, &ra)) != NULL)
		soak_wish_broken(sw, wish, &jw, &ra);
	/* What isn't its own can't be freed: it is left alone. */
	if (!soak_claim(sw, &ra))
		return;
	if (jw.jw_touch && sw->sw_target->st_fill != NULL)
		do_touch(sw, &ra);
	soak_add(&ta->ta_live_bytes, ra.ra_size);
	soak_add(&ta->ta_live_ranges, 1);
	if (sw->sw_give == NULL) {
		job_stream_add(&sw->sw_stream, &ra);
		return;
	}
	/* From here on it is somebody else's, in the books too. */
	while (!handover_give(sw->sw_give, &ra) &&
	    atomic_load(&sw->sw_control->co_abandon) == 0)
		sleep_ns(PAUSE_NS);
	soak_add(&ta->ta_live_bytes, -ra.ra_size);
	soak_add(&ta->ta_live_ranges, (uint64_t)-1);
}

bool
soak_find_freed(const struct soak_tally *ta, uint64_t addr, uint64_t size,
    uint64_t quantum, uint64_t *opp)
{
	uint64_t quanta = soak_quanta(size, quantum);
	uint64_t n = atomic_load_explicit(
	    &ta->ta_freed_count, memory_order_acquire);

	for (uint64_t i = n; i > 0 && n - i < SOAK_FREED; i--) {
		const struct soak_freed *sf =
		    &ta->ta_freed[(i - 1) % SOAK_FREED];

		if (sf->sf_addr != addr ||
		    (sf->sf_what & SOAK_QUANTA_MASK) != quanta)
			continue;
		*opp = sf->sf_what >> SOAK_QUANTA_BITS;
		return (true);
	}
	return (false);
}

static void
free_range(struct soak_worker *sw, const struct job_range *ra)
{
	struct soak_tally *ta = sw->sw_tally;
	struct soak_result sr;
	enum soak_outcome outcome;
	uint64_t from;

	do_verify(sw, ra);
	soak_disown(sw, ra);
	if (sw->sw_owners != NULL)
		soak_remember_free(sw, ra->ra_addr, ra->ra_size);
	from = begin(sw, JOB_FREE);
	outcome = sw->sw_target->st_free(sw, ra, &sr);
	end(sw, JOB_FREE, from);
	soak_hash(sw, JOB_FREE, ra->ra_size, ra->ra_addr, outcome);
	soak_account(sw, outcome, &sr);
	soak_add(&ta->ta_live_bytes, -ra->ra_size);
	soak_add(&ta->ta_live_ranges, (uint64_t)-1);
}

static void
do_free(struct soak_worker *sw)
{
	struct job_range ra;

	sw->sw_refused = false;
	job_stream_take(&sw->sw_stream, &ra);
	free_range(sw, &ra);
}

/* A part of a range whose bytes are known. */
static void
do_data(struct soak_worker *sw, enum job_op op)
{
	const struct soak_target *st = sw->sw_target;
	struct job_range ra = { 0 };
	bool any = job_stream_pick(&sw->sw_stream, &ra);
	struct rng *rng = &sw->sw_stream.st_rng;
	uint64_t room, offset, len, from;
	struct soak_result sr;

	/* Drawn whatever becomes of it, so that a run can be repeated. */
	offset = rng_next(rng);
	len = 1 + rng_below(rng, 4096);
	if (!any || st->st_read == NULL ||
	    (ra.ra_flags & SOAK_FILLED) == 0)
		return;
	room = ra.ra_size < 2 * SOAK_PATTERN_END ? ra.ra_size :
	    SOAK_PATTERN_END;
	offset %= room;
	len = len < room - offset ? len : room - offset;
	from = begin(sw, op);
	soak_account(sw, (op == JOB_READ ? st->st_read : st->st_write)(sw, &ra,
	    offset, len, pattern_seed(&ra), &sr), &sr);
	end(sw, op, from);
}

static void
do_other(struct soak_worker *sw, enum job_op op)
{
	const struct soak_target *st = sw->sw_target;
	struct soak_result sr;
	uint64_t from = begin(sw, op);

	soak_account(sw, (op == JOB_REAP ? st->st_reap : op == JOB_DUMP ?
	    st->st_dump : st->st_arena)(sw, &sr), &sr);
	end(sw, op, from);
}

/*
 * A group that frees another's: what it is handed counts as its allocation.
 * False: there is nothing, now.
 */
static bool
take_over(struct soak_worker *sw)
{
	struct job_range ra;

	if (!handover_take(sw->sw_take, &ra)) {
		sleep_ns(PAUSE_NS);
		return (false);
	}
	job_stream_add(&sw->sw_stream, &ra);
	soak_add(&sw->sw_tally->ta_live_bytes, ra.ra_size);
	soak_add(&sw->sw_tally->ta_live_ranges, 1);
	return (true);
}

/* ---- the loop ----------------------------------------------------------- */

/* The time for the next operation of an open loop; false: the run ends. */
static bool
await_turn(struct soak_worker *sw, uint64_t *duep)
{
	uint64_t now;

	sw->sw_intended_ns = *duep;
	*duep += (uint64_t)(1e9 / sw->sw_group->jg_rate);
	while ((now = clock_ns()) < sw->sw_intended_ns) {
		uint64_t wait = sw->sw_intended_ns - now;

		if (soak_stopping(sw))
			return (false);
		sleep_ns(wait < SLEEP_MAX_NS ? wait : SLEEP_MAX_NS);
	}
	return (true);
}

static bool
time_is_up(const struct soak_worker *sw, uint64_t start)
{
	uint64_t duration = sw->sw_job->jo_duration_ns;

	return (duration != 0 && clock_ns() - start >= duration);
}

/* False: none has been done. */
static bool
do_operation(struct soak_worker *sw)
{
	enum job_op op = job_stream_next(&sw->sw_stream);

	/* Who is refused makes room, if it can, as programs do: otherwise
	 * those that fill an arena would fail for ever. */
	if (op == JOB_ALLOC && sw->sw_refused && sw->sw_stream.st_count > 0)
		op = JOB_FREE;
	switch (op) {
	case JOB_ALLOC:
		if (sw->sw_take == NULL) {
			do_alloc(sw);
			break;
		}
		/* To be handed a range is no operation; to free one is. */
		if (!take_over(sw) ||
		    sw->sw_stream.st_count < sw->sw_stream.st_live)
			return (false);
		__attribute__((__fallthrough__));
	case JOB_FREE:
		do_free(sw);
		break;
	case JOB_READ:
	case JOB_WRITE:
		do_data(sw, op);
		break;
	default:
		do_other(sw, op);
		break;
	}
	return (true);
}

static void
loop(struct soak_worker *sw)
{
	uint64_t start = atomic_load(&sw->sw_control->co_start_ns);
	uint64_t due = clock_ns();
	bool open = sw->sw_group->jg_rate > 0;

	for (uint64_t n = 0; !soak_stopping(sw); n++) {
		if (sw->sw_job->jo_ops != 0 && n == sw->sw_job->jo_ops)
			break;
		if (time_is_up(sw, start))
			break;
		if (open && !await_turn(sw, &due))
			break;
		if (!do_operation(sw))
			continue;
		sw->sw_op++;
		soak_add(&sw->sw_tally->ta_ops, 1);
	}
}

/* The same of one that only allocates and frees: by batches. */
static bool
is_plain(const struct soak_worker *sw)
{
	const struct job_group *jg = sw->sw_group;

	return (sw->sw_target->st_plain != NULL &&
	    job_stream_is_plain(&sw->sw_stream) && !(jg->jg_rate > 0) &&
	    jg->jg_sleep_ms == 0 && sw->sw_give == NULL &&
	    sw->sw_take == NULL);
}

static void
plain_loop(struct soak_worker *sw)
{
	uint64_t start = atomic_load(&sw->sw_control->co_start_ns);
	uint64_t left = sw->sw_job->jo_ops != 0 ? sw->sw_job->jo_ops :
						  UINT64_MAX;

	while (left > 0 && !soak_stopping(sw) && !time_is_up(sw, start)) {
		unsigned int n =
		    left < SOAK_BATCH ? (unsigned int)left : SOAK_BATCH;

		sw->sw_target->st_plain(sw, n);
		left -= n;
	}
}

static void
free_the_rest(struct soak_worker *sw, bool plain)
{
	while (sw->sw_stream.st_count > 0 &&
	    atomic_load(&sw->sw_control->co_abandon) == 0)
		if (plain)
			sw->sw_target->st_plain(sw, SOAK_BATCH);
		else
			do_free(sw);
}

/* Who frees for others stays until they have ended. */
static void
take_the_rest(struct soak_worker *sw)
{
	struct job_range ra;

	while (!handover_over(sw->sw_take) &&
	    atomic_load(&sw->sw_control->co_abandon) == 0) {
		if (!handover_take(sw->sw_take, &ra)) {
			sleep_ns(PAUSE_NS);
			continue;
		}
		soak_add(&sw->sw_tally->ta_live_bytes, ra.ra_size);
		soak_add(&sw->sw_tally->ta_live_ranges, 1);
		free_range(sw, &ra);
	}
}

static void
init_timing(struct soak_worker *sw)
{
	ticks_init();
	if (sw->sw_time_every == 0)
		sw->sw_time_every = 1;
	if (sw->sw_oracle_every == 0)
		sw->sw_oracle_every = 1;
	for (unsigned int i = 0; i < JOB_OPS; i++)
		sw->sw_untimed[i] = 1;
}

int
soak_worker_run(struct soak_worker *sw)
{
	const struct job_group *jg = sw->sw_group;
	struct job_range *ranges =
	    calloc(job_stream_room(jg), sizeof(ranges[0]));
	bool plain;

	if (ranges == NULL)
		return (ENOMEM);
	job_stream_init(&sw->sw_stream, jg,
	    job_stream_seed(sw->sw_job->jo_seed, sw->sw_group_index,
		sw->sw_index, sw->sw_life),
	    &sw->sw_space, ranges);
	init_timing(sw);
	sw->sw_hash = sw->sw_life;
	plain = is_plain(sw);
	(plain ? plain_loop : loop)(sw);
	if (sw->sw_give != NULL)
		handover_leave(sw->sw_give);
	/* The end keeps to no rate: it is verified, but not timed by one. */
	sw->sw_ending = true;
	free_the_rest(sw, plain);
	if (sw->sw_take != NULL)
		take_the_rest(sw);
	atomic_store_explicit(
	    &sw->sw_tally->ta_hash, sw->sw_hash, memory_order_release);
	free(ranges);
	return (0);
}
