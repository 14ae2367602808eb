/*
 * replace.c - which page to evict: the clock.
 *
 * The frames stand in a circle, and a hand goes around.  A page that has been
 * accessed since the hand last passed (PTE_REF) is spared, and loses its mark;
 * the first without one goes.  A page that comes in stands just behind the
 * hand and without a mark, so it has a whole turn to be accessed once more: a
 * scan that touches every page once doesn't drive out what is in use.
 * (F. Corbato, "A Paging Experiment with the Multics System", 1968.)
 *
 * Costs: a step is two loads, of the frame's descriptor and the page's entry.
 * One turn suffices unless marks were cleared; two always do.  When one page
 * has been found the others of a batch are looked for only a little further,
 * so that a fault doesn't go round the clock to fill it.
 */
#include "config.h"

#include "pager/pager_impl.h"

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

const struct replace replace_clock = {
	.rp_name = "clock",
	.rp_select = clock_select,
};
