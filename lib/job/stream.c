/*
 * stream.c - see stream.h.
 *
 * Drawing a size must not cost what an allocation does: loguniform sizes come
 * from a table of quantiles, between two of which they are linear, which is
 * off by less than the curve bends there: (ln(B/A)/1024)^2 / 8, that is 1e-5
 * for sizes that differ by a factor of 10^4.
 */
#include "config.h"

#include "job/stream.h"

#include <math.h>
#include <string.h>

#include "util/assert.h"

/* Wishes. */
#define ALIGN_SHIFT_MAX 6	/* up to the quantum times 2^6 */
#define WINDOW_SHARE 2		/* a window is half of the arena */

size_t
job_stream_room(const struct job_group *jg)
{
	size_t room = 2;

	/* One more for what is added before another is taken. */
	while (room < jg->jg_live + 1)
		room *= 2;
	return (room);
}

uint64_t
job_stream_seed(uint64_t seed, unsigned int group, unsigned int index,
    uint64_t life)
{
	uint64_t state = seed;

	state = rng_splitmix(&state) + group;
	state = rng_splitmix(&state) + index;
	state = rng_splitmix(&state) + life;
	return (rng_splitmix(&state));
}

static void
init_sizes(struct job_stream *st)
{
	const struct job_sizes *js = &st->st_group->jg_sizes;
	double low = (double)js->js_low, high = (double)js->js_high;

	if (js->js_kind != JOB_SIZES_LOGUNIFORM)
		return;
	for (unsigned int i = 0; i <= JOB_SIZE_TABLE; i++)
		st->st_sizes[i] = (uint64_t)(low *
		    exp(log(high / low) * i / JOB_SIZE_TABLE));
	st->st_sizes[0] = js->js_low;
	st->st_sizes[JOB_SIZE_TABLE] = js->js_high;
}

void
job_stream_init(struct job_stream *st, const struct job_group *jg,
    uint64_t seed, const struct job_space *sp, struct job_range *ranges)
{
	memset(st, 0, sizeof(*st));
	st->st_group = jg;
	st->st_space = *sp;
	st->st_mask = job_stream_room(jg) - 1;
	/* First all places, then all notes. */
	st->st_places = (void *)ranges;
	st->st_notes = (void *)(st->st_places + st->st_mask + 1);
	st->st_lifetime = jg->jg_lifetime;
	st->st_live = jg->jg_live;
	st->st_others = jg->jg_read + jg->jg_write + jg->jg_reap +
	    jg->jg_dump + jg->jg_arenas;
	st->st_constrained =
	    jg->jg_align + jg->jg_nocross + jg->jg_window + jg->jg_at;
	for (unsigned int i = 0; i < JOB_FITS; i++)
		st->st_fits += jg->jg_fit[i];
	rng_init(&st->st_rng, seed);
	st->st_next = rng_next(&st->st_rng);
	init_sizes(st);
}

bool
job_stream_is_plain(const struct job_stream *st)
{
	return (!(st->st_others > 0) && !(st->st_constrained > 0) &&
	    st->st_fits == 0 && !(st->st_group->jg_touch > 0));
}

/* ---- what next ---------------------------------------------------------- */

static enum job_op
draw_other(const struct job_group *jg, double u)
{
	if ((u -= jg->jg_read) < 0)
		return (JOB_READ);
	if ((u -= jg->jg_write) < 0)
		return (JOB_WRITE);
	if ((u -= jg->jg_reap) < 0)
		return (JOB_REAP);
	if (u - jg->jg_dump < 0)
		return (JOB_DUMP);
	return (JOB_ARENA);
}

enum job_op
job_stream_next(struct job_stream *st)
{
	if (st->st_others > 0) {
		double u = rng_unit(&st->st_rng);

		if (u < st->st_others)
			return (draw_other(st->st_group, u));
	}
	return (st->st_count < st->st_live ? JOB_ALLOC : JOB_FREE);
}

/* ---- sizes -------------------------------------------------------------- */

uint64_t
job_stream_size_of_list(struct job_stream *st)
{
	const struct job_sizes *js = &st->st_group->jg_sizes;
	size_t low = 0, high = js->js_count - 1;
	uint64_t x = rng_below(&st->st_rng, js->js_list[high].jz_until);

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (x < js->js_list[middle].jz_until)
			high = middle;
		else
			low = middle + 1;
	}
	return (js->js_list[low].jz_size);
}

/* ---- wishes ------------------------------------------------------------- */

static uint64_t
round_up(uint64_t x, uint64_t unit)
{
	return ((x + unit - 1) / unit * unit);
}

static void
wish_nocross(struct job_stream *st, struct job_want *jw)
{
	uint64_t size = round_up(jw->jw_size, st->st_space.sp_quantum);

	jw->jw_nocross = st->st_space.sp_quantum;
	while (jw->jw_nocross < size)
		jw->jw_nocross *= 2;
	jw->jw_nocross <<= rng_below(&st->st_rng, 3);
}

static void
wish_window(struct job_stream *st, struct job_want *jw)
{
	const struct job_space *sp = &st->st_space;
	uint64_t size = round_up(jw->jw_size, sp->sp_quantum);
	uint64_t width = sp->sp_size / WINDOW_SHARE;
	uint64_t from = sp->sp_base +
	    rng_below(&st->st_rng, sp->sp_size - width + 1);

	if (width < size)
		return;
	jw->jw_min = from;
	jw->jw_max = from + (width - 1);
}

/* Where something was free lately, or anywhere. */
static void
wish_at(struct job_stream *st, struct job_want *jw)
{
	const struct job_space *sp = &st->st_space;
	uint64_t size = round_up(jw->jw_size, sp->sp_quantum);
	bool anywhere = (rng_next(&st->st_rng) & 1) != 0;

	if (size > sp->sp_size)
		return;
	if (anywhere || st->st_freed == 0 ||
	    st->st_freed - sp->sp_base > sp->sp_size - size)
		jw->jw_min = sp->sp_base + sp->sp_quantum *
		    rng_below(&st->st_rng,
			(sp->sp_size - size) / sp->sp_quantum + 1);
	else
		jw->jw_min = st->st_freed;
	jw->jw_max = jw->jw_min + (size - 1);
	jw->jw_at = true;
}

static void
draw_wish(struct job_stream *st, struct job_want *jw)
{
	const struct job_group *jg = st->st_group;
	double u = rng_unit(&st->st_rng);

	if ((u -= jg->jg_align) < 0)
		jw->jw_align = st->st_space.sp_quantum
		    << rng_below(&st->st_rng, ALIGN_SHIFT_MAX + 1);
	else if ((u -= jg->jg_nocross) < 0)
		wish_nocross(st, jw);
	else if (st->st_space.sp_size == 0)
		return;
	else if ((u -= jg->jg_window) < 0)
		wish_window(st, jw);
	else if (u - jg->jg_at < 0)
		wish_at(st, jw);
}

static int
draw_fit(struct job_stream *st)
{
	uint64_t n = rng_below(&st->st_rng, st->st_fits);

	for (int i = 0; i < JOB_FITS; i++)
		if (st->st_group->jg_fit[i] && n-- == 0)
			return (i);
	return (-1);
}

void
job_stream_want(struct job_stream *st, struct job_want *jw)
{
	const struct job_group *jg = st->st_group;

	*jw = (struct job_want) { .jw_size = job_stream_size(st),
		.jw_max = UINT64_MAX, .jw_fit = -1 };
	if (jg->jg_touch > 0)
		jw->jw_touch = jg->jg_touch >= 1 ||
		    rng_unit(&st->st_rng) < jg->jg_touch;
	if (st->st_constrained > 0)
		draw_wish(st, jw);
	if (st->st_fits > 0 && !jw->jw_at)
		jw->jw_fit = draw_fit(st);
}

/* ---- ranges ------------------------------------------------------------- */

void
job_stream_add(struct job_stream *st, const struct job_range *ra)
{
	size_t at = job_stream_pos(st, st->st_count);

	ASSERT(st->st_count <= st->st_mask);
	st->st_places[at] = (struct job_place) { ra->ra_addr, ra->ra_size };
	st->st_notes[at] =
	    (struct job_note) { ra->ra_op, ra->ra_flags, ra->ra_id };
	st->st_count++;
}

static void
range_at(const struct job_stream *st, size_t at, struct job_range *ra)
{
	const struct job_place *pl = &st->st_places[at];
	const struct job_note *no = &st->st_notes[at];

	*ra = (struct job_range) { pl->pl_addr, pl->pl_size, no->no_op,
		no->no_flags, no->no_id };
}

void
job_stream_take(struct job_stream *st, struct job_range *ra)
{
	size_t at, last;

	VERIFY(st->st_count > 0);
	job_stream_turn(st, &at, &last);
	range_at(st, at, ra);
	st->st_places[at] = st->st_places[last];
	st->st_notes[at] = st->st_notes[last];
	st->st_freed = ra->ra_addr;
}

void
job_stream_at(const struct job_stream *st, size_t i, struct job_range *ra)
{
	range_at(st, job_stream_pos(st, i), ra);
}

bool
job_stream_pick(struct job_stream *st, struct job_range *ra)
{
	if (st->st_count == 0)
		return (false);
	job_stream_at(st, rng_below(&st->st_rng, st->st_count), ra);
	return (true);
}
