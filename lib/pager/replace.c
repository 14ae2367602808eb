/*
 * replace.c - which page to evict: clock, S3-FIFO, 2-random.
 *
 * A policy sees frames and one bit of each page, PTE_REF: accessed since it was
 * last looked at.  Which it is can be changed at any time, so what each needs
 * to know about frames has its place from the beginning (struct replace_state).
 *
 *	clock	The frames stand in a circle, and a hand goes around.  A page
 *		that has been accessed since the hand last passed is spared, and
 *		loses its mark; the first without one goes.  A page that comes
 *		in stands just behind the hand and without a mark, so it has a
 *		whole turn to be accessed once more.  (F. Corbato, "A Paging
 *		Experiment with the Multics System", 1968.)
 *	s3fifo	A small queue that pages enter, and a main queue for those that
 *		were accessed again while they were in it, or come back soon
 *		after they went from it: most pages of a scan do neither, and
 *		leave the main queue alone.  (What went from the main queue has
 *		had its time, and is on trial again: or a loop larger than
 *		memory would go round in the main queue alone, where what is
 *		evicted is what comes next.)  (J. Yang et al., "FIFO Queues are All You
 *		Need for Cache Eviction", SOSP 2023.  Their counter of accesses
 *		is here one of the times that the mark was found set.)
 *	random2	Of two frames taken at random, the one that was accessed, or
 *		filled, longer ago goes.  No order to keep; and a loop slightly
 *		larger than memory, which makes the others miss every time,
 *		costs in proportion.
 *
 * The ghosts: a table of the pages that were evicted last, as many as there are
 * frames, by which S3-FIFO knows who comes back, and all policies are counted:
 * a refault is a fault that a somewhat larger memory would have spared.  It is
 * hashed and lossy, and needs no lock.
 *
 * Where the CPU reaches pages by itself, an access after the first isn't seen
 * unless it is the first write: the marks are fewer, and clock is close to first
 * in, first out.
 *
 * Costs: a step is two loads, of the frame's descriptor and the page's entry.
 * One turn of the hand suffices unless marks were cleared; two always do.  When
 * one page has been found the others of a batch are looked for only a little
 * further, so that a fault doesn't go round the clock to fill it.  S3-FIFO's
 * queues take pg_lock for each page that comes and goes.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <string.h>

/* ---- ghosts ---------------------------------------------------------------*/

/* An owner's: its top chooses the place, what is left of it the tag. */
static uint64_t
ghost_hash(uint64_t owner)
{
	return ((owner ^ owner >> 29) * UINT64_C(0x9e3779b97f4a7c15));
}

#define GHOST_TAG ((uint64_t)UINT32_MAX << 33)
#define GHOST_TRIAL ((uint64_t)1 << 32)

void
ghost_add(struct vmpager *pg, uint64_t owner, bool trial)
{
	struct replace_state *rs = &pg->pg_policy;
	uint64_t hash = ghost_hash(owner);
	uint32_t now = atomic_fetch_add_explicit(
	    &rs->rs_evictions, 1, memory_order_relaxed);

	atomic_store_explicit(&rs->rs_ghost[hash >> rs->rs_ghost_shift],
	    (hash << 33) | (trial ? GHOST_TRIAL : 0) | now,
	    memory_order_relaxed);
}

bool
ghost_has(struct vmpager *pg, uint64_t owner, bool *trialp)
{
	struct replace_state *rs = &pg->pg_policy;
	uint64_t hash = ghost_hash(owner);
	uint64_t ghost = atomic_load_explicit(
	    &rs->rs_ghost[hash >> rs->rs_ghost_shift], memory_order_relaxed);
	uint32_t age = atomic_load_explicit(
	    &rs->rs_evictions, memory_order_relaxed) - (uint32_t)ghost;

	*trialp = (ghost & GHOST_TRIAL) != 0;
	return (ghost != 0 && (ghost & GHOST_TAG) == hash << 33 &&
	    age <= pg->pg_pool.fp_bound);
}

/* ---- clock ----------------------------------------------------------------*/

/* Steps for each page wanted, once there is one. */
#define CLOCK_REACH 16u

static uint32_t
clock_advance(struct vmpager *pg, uint32_t total) REQUIRES(pg->pg_lock)
{
	uint32_t frame = pg->pg_hand;

	pg->pg_hand = frame + 1 < total ? frame + 1 : 0;
	pg->pg_scanned++;
	return (frame);
}

static void
clock_select(struct vmpager *pg, struct evict *ev) REQUIRES(pg->pg_lock)
{
	uint32_t total = frame_total(&pg->pg_pool);
	uint64_t steps = 0, limit = total, reach = CLOCK_REACH * ev->ev_want;
	bool found = false;

	while (ev->ev_count < ev->ev_want && steps < limit) {
		switch (evict_claim(pg, clock_advance(pg, total), ev)) {
		case EVICT_TAKEN:
			if (!found && limit - steps > reach)
				limit = steps + reach;
			found = true;
			break;
		case EVICT_SPARED:
			pg->pg_reactivated++;
			/* Marks went: another turn may find what this one
			 * spared. */
			if (ev->ev_count == 0)
				limit = 2 * (uint64_t)total;
			break;
		case EVICT_NOT:
			break;
		}
		evict_yield(pg, steps++);
	}
}

static const struct replace replace_clock = {
	.rp_name = "clock",
	.rp_select = clock_select,
};

/* ---- S3-FIFO --------------------------------------------------------------*/

/* The small queue's share of the pages, in percent, and how often a page can
 * have been found accessed to its credit: the paper's. */
#define S3_SMALL_SHARE 10u
#define S3_WORTH_MAX 3u

static void
queue_unlink(struct replace_state *rs, uint32_t frame)
{
	struct queue_link *ql = &rs->rs_links[frame];
	struct queue *qu = &rs->rs_queue[ql->ql_queue];

	if (ql->ql_prev != NO_FRAME)
		rs->rs_links[ql->ql_prev].ql_next = ql->ql_next;
	else
		qu->qu_first = ql->ql_next;
	if (ql->ql_next != NO_FRAME)
		rs->rs_links[ql->ql_next].ql_prev = ql->ql_prev;
	else
		qu->qu_last = ql->ql_prev;
	qu->qu_count--;
	ql->ql_trial = ql->ql_queue == QUEUE_SMALL;
	ql->ql_queue = QUEUE_NONE;
}

static void
queue_append(struct replace_state *rs, uint32_t frame, enum queue_kind kind,
    unsigned int worth)
{
	struct queue_link *ql = &rs->rs_links[frame];
	struct queue *qu = &rs->rs_queue[kind];

	ql->ql_queue = kind;
	ql->ql_worth = worth;
	ql->ql_next = NO_FRAME;
	ql->ql_prev = qu->qu_last;
	if (qu->qu_last != NO_FRAME)
		rs->rs_links[qu->qu_last].ql_next = frame;
	else
		qu->qu_first = frame;
	qu->qu_last = frame;
	qu->qu_count++;
}

static void
s3_insert(struct vmpager *pg, uint32_t frame, bool proven)
{
	struct replace_state *rs = &pg->pg_policy;
	bool main = proven;

	lock_acquire(&pg->pg_lock);
	/* While there is room for all, who is there first is as good as any. */
	if (atomic_load_explicit(&rs->rs_evictions, memory_order_relaxed) == 0)
		main = (uint64_t)rs->rs_queue[QUEUE_SMALL].qu_count * 100 >=
		    (uint64_t)pg->pg_pool.fp_bound * S3_SMALL_SHARE;
	if (rs->rs_links[frame].ql_queue == QUEUE_NONE)
		queue_append(rs, frame, main ? QUEUE_MAIN : QUEUE_SMALL, 0);
	lock_release(&pg->pg_lock);
}

static bool
s3_remove(struct vmpager *pg, uint32_t frame)
{
	struct replace_state *rs = &pg->pg_policy;
	bool trial;

	lock_acquire(&pg->pg_lock);
	if (rs->rs_links[frame].ql_queue != QUEUE_NONE)
		queue_unlink(rs, frame);
	trial = rs->rs_links[frame].ql_trial;
	lock_release(&pg->pg_lock);
	return (trial);
}

/* Everything into the main queue; what was there of an earlier time goes. */
static void
s3_start(struct vmpager *pg) REQUIRES(pg->pg_lock)
{
	struct replace_state *rs = &pg->pg_policy;
	uint32_t total = frame_total(&pg->pg_pool);

	for (unsigned int i = 0; i < QUEUES; i++)
		rs->rs_queue[i] = (struct queue){ NO_FRAME, NO_FRAME, 0 };
	for (uint32_t frame = 0; frame < total; frame++)
		rs->rs_links[frame].ql_queue = QUEUE_NONE;
	for (uint32_t frame = 0; frame < total; frame++)
		if (atomic_load(&pg->pg_pool.fp_frames[frame].fr_owner) >>
			OWNER_MAP_SHIFT != 0)
			queue_append(rs, frame, QUEUE_MAIN, 0);
}

/* The queue to evict from: the small one while it has more than its share. */
static enum queue_kind
s3_queue(const struct replace_state *rs)
{
	uint64_t small = rs->rs_queue[QUEUE_SMALL].qu_count;
	uint64_t main = rs->rs_queue[QUEUE_MAIN].qu_count;

	return (small * 100 > (small + main) * S3_SMALL_SHARE || main == 0 ?
		QUEUE_SMALL : QUEUE_MAIN);
}

/* The first page of a queue, off it: evict it, or put it where it belongs. */
static void
s3_step(struct vmpager *pg, struct evict *ev, enum queue_kind kind,
    uint32_t frame) REQUIRES(pg->pg_lock)
{
	struct replace_state *rs = &pg->pg_policy;
	unsigned int worth = rs->rs_links[frame].ql_worth;
	enum evict_verdict verdict;

	/* One that has credit is asked for its mark only. */
	verdict = worth > 0 ? evict_look(pg, frame)
			    : evict_claim(pg, frame, ev);
	if (verdict == EVICT_TAKEN && worth == 0)
		return;
	if (verdict == EVICT_NOT) {
		/* In use, or there is nowhere to write it to. */
		queue_append(rs, frame, kind, worth);
		return;
	}
	pg->pg_reactivated++;
	if (verdict == EVICT_TAKEN)
		worth--;
	else if (worth < S3_WORTH_MAX)
		worth++;
	queue_append(rs, frame, QUEUE_MAIN, worth);
}

static void
s3_select(struct vmpager *pg, struct evict *ev) REQUIRES(pg->pg_lock)
{
	struct replace_state *rs = &pg->pg_policy;
	uint64_t limit =
	    (S3_WORTH_MAX + 2) * (uint64_t)frame_total(&pg->pg_pool);
	enum queue_kind kind;
	uint32_t frame;

	for (uint64_t steps = 0; ev->ev_count < ev->ev_want && steps < limit;) {
		kind = s3_queue(rs);
		frame = rs->rs_queue[kind].qu_first;
		if (frame == NO_FRAME)
			break;
		pg->pg_scanned++;
		queue_unlink(rs, frame);
		s3_step(pg, ev, kind, frame);
		evict_yield(pg, steps++);
	}
	/* Pages that no queue has: they came in while the policy changed. */
	if (ev->ev_count == 0)
		clock_select(pg, ev);
}

static const struct replace replace_s3 = {
	.rp_name = "s3fifo",
	.rp_start = s3_start,
	.rp_select = s3_select,
	.rp_insert = s3_insert,
	.rp_remove = s3_remove,
};

/* ---- 2-random -------------------------------------------------------------*/

/* Pairs looked at for each page wanted, before the clock is asked. */
#define RANDOM_PAIRS 32u

static uint32_t
random_frame(struct vmpager *pg) REQUIRES(pg->pg_lock)
{
	struct replace_state *rs = &pg->pg_policy;

	/* xorshift64 (G. Marsaglia, 2003); the high bits, scaled. */
	rs->rs_random ^= rs->rs_random << 13;
	rs->rs_random ^= rs->rs_random >> 7;
	rs->rs_random ^= rs->rs_random << 17;
	pg->pg_scanned++;
	return ((uint32_t)((rs->rs_random >> 32) *
	    frame_total(&pg->pg_pool) >> 32));
}

/* How long ago the page was filled or seen accessed, in evictions; false: none
 * that could go. */
static bool
random_age(struct vmpager *pg, uint32_t frame, uint32_t *agep)
    REQUIRES(pg->pg_lock)
{
	struct replace_state *rs = &pg->pg_policy;
	uint32_t now =
	    atomic_load_explicit(&rs->rs_evictions, memory_order_relaxed);

	switch (evict_look(pg, frame)) {
	case EVICT_NOT:
		return (false);
	case EVICT_SPARED:
		pg->pg_reactivated++;
		atomic_store_explicit(
		    &rs->rs_stamp[frame], now, memory_order_relaxed);
		break;
	case EVICT_TAKEN:
		break;
	}
	*agep = now - atomic_load_explicit(
	    &rs->rs_stamp[frame], memory_order_relaxed);
	return (true);
}

static void
random_insert(struct vmpager *pg, uint32_t frame, bool proven)
{
	struct replace_state *rs = &pg->pg_policy;

	(void)proven;
	atomic_store_explicit(&rs->rs_stamp[frame],
	    atomic_load_explicit(&rs->rs_evictions, memory_order_relaxed),
	    memory_order_relaxed);
}

static void
random_select(struct vmpager *pg, struct evict *ev) REQUIRES(pg->pg_lock)
{
	uint64_t pairs = (uint64_t)ev->ev_want * RANDOM_PAIRS;
	uint32_t a, b, age_a = 0, age_b = 0;
	bool has_a, has_b;

	for (uint64_t i = 0; ev->ev_count < ev->ev_want && i < pairs; i++) {
		a = random_frame(pg);
		b = random_frame(pg);
		has_a = random_age(pg, a, &age_a);
		has_b = random_age(pg, b, &age_b);
		if (!has_a && !has_b)
			continue;
		if (has_a && has_b)
			has_a = age_a >= age_b;
		(void)evict_claim(pg, has_a ? a : b, ev);
		evict_yield(pg, i);
	}
	if (ev->ev_count == 0)
		clock_select(pg, ev);
}

static const struct replace replace_random = {
	.rp_name = "random2",
	.rp_select = random_select,
	.rp_insert = random_insert,
};

/* ---- the choice -----------------------------------------------------------*/

static const struct replace *const policies[] = {
	&replace_clock, &replace_s3, &replace_random,
};

int
vmpager_set_replacement(struct vmpager *pg, const char *name)
{
	const struct replace *rp = NULL;

	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		if (strcmp(policies[i]->rp_name, name) == 0)
			rp = policies[i];
	if (rp == NULL)
		return (EINVAL);
	lock_acquire(&pg->pg_lock);
	if (atomic_load(&pg->pg_replace) != rp) {
		/* First: a page that comes in from now on tells the new one,
		 * those before are found by it. */
		atomic_store(&pg->pg_replace, rp);
		if (rp->rp_start != NULL)
			rp->rp_start(pg);
	}
	lock_release(&pg->pg_lock);
	return (0);
}

const char *
vmpager_replacement(struct vmpager *pg)
{
	return (atomic_load(&pg->pg_replace)->rp_name);
}
