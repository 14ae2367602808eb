/*
 * cmd_dump.c - dump: pages with a cursor, or a stream of chunks.
 *
 * Entries are written by hand, as they are found, into a buffer: a page goes
 * out with the reply, a stream in `chunk` notifications of CHUNK_BYTES, and
 * only while the peer reads.  The arena isn't held while it is walked; what
 * changes meanwhile may be seen or not (vmem_walk_from()).
 *
 * A cursor is "0xSEGMENT", or "0xSEGMENT:0xWITHIN" where a page ended inside a
 * segment that is listed in parts.
 *
 * Segments.  libvmem knows a quantum cache's slab as one allocated segment; a
 * client knows the ranges it was handed out of it.  So a segment that isn't
 * one allocation is listed in parts: what clients own, and the rest as
 * "cached" (or "arena": what an arena below has taken).  The parts tile it.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/cache.h"
#include "daemon/counters.h"
#include "daemon/dump.h"
#include "proto/quantity.h"

#define CHUNK_BYTES 16384u

/* Segments of more quanta than this aren't slabs, nor shared by pieces: they
 * aren't looked through. */
#define PARTS_QUANTA_MAX 16384u

enum { WHAT_STATS, WHAT_SEGMENTS, WHAT_FREE, WHAT_CACHES, WHAT_FAULTS, WHAT_MAP,
	WHAT_ALL };

static void
dump_fini(struct request *rq)
{
	struct dump_state *ds = rq->rq_state;

	buf_fini(&ds->ds_entries);
	buf_fini(&ds->ds_extra);
	free(ds->ds_cells);
	reg_arena_put(&rq->rq_daemon->dm_registry, ds->ds_arena);
	free(ds);
}

/* ---- segments ----------------------------------------------------------- */

static void
entry_open(struct dump_state *ds, vmem_addr_t addr, vmem_size_t size)
{
	struct buf *b = &ds->ds_entries;

	jw_open(b, '{');
	jw_kaddr(b, "addr", addr);
	jw_ku64(b, "size", size);
	ds->ds_count++;
	ds->ds_left--;
}

static void
entry_typed(struct dump_state *ds, vmem_addr_t addr, vmem_size_t size,
    const char *type)
{
	entry_open(ds, addr, size);
	jw_kstr(&ds->ds_entries, "type", type);
	jw_close(&ds->ds_entries, '}');
}

static void
entry_alloc(struct dump_state *ds, vmem_addr_t addr,
    const struct alloc_info *ai)
{
	struct buf *b = &ds->ds_entries;

	entry_open(ds, addr, ai->ai_size);
	jw_kstr(b, "type", "alloc");
	jw_ku64(b, "uid", ai->ai_uid);
	jw_key(b, "client");
	if (ai->ai_client != 0)
		jw_u64(b, ai->ai_client);
	else
		jw_str(b, NULL);
	jw_kbool(b, "keep", ai->ai_client == 0);
	jw_kstr(b, "tag", ai->ai_tag[0] != '\0' ? ai->ai_tag : NULL);
	jw_close(b, '}');
}

/* Who holds what no client owns. */
static const char *
held_by(const struct arena *ar)
{
	return (ar->ar_qcache_max != 0 && ar->ar_children == 0 ? "cached" :
								 "arena");
}

/*
 * The parts of a segment, from ds_within on.  true: all of it is listed;
 * false: the page or the slice is full, and ds_within says where to go on.
 */
static bool
parts(struct request *rq, struct dump_state *ds, const struct vmem_seg *seg)
{
	struct registry *rg = &rq->rq_daemon->dm_registry;
	struct arena *ar = ds->ds_arena;
	vmem_addr_t gap = ds->ds_within, pos = gap;
	vmem_addr_t last = seg->seg_addr + (seg->seg_size - 1);
	struct alloc_info ai;

	while (pos <= last && pos >= gap && ds->ds_left > 0) {
		bool found = reg_describe(rg, ar, pos, &ai);

		if (found && pos > gap) {
			entry_typed(ds, gap, pos - gap, held_by(ar));
			gap = ds->ds_within = pos;
			if (ds->ds_left == 0)
				return (false);
		}
		if (found) {
			entry_alloc(ds, pos, &ai);
			if (ai.ai_size - 1 >= last - pos)
				return (true);
			pos += ai.ai_size;
			gap = ds->ds_within = pos;
		} else {
			if (last - pos < ar->ar_quantum)
				break;
			pos += ar->ar_quantum;
		}
	}
	if (ds->ds_left == 0)
		return (false);
	entry_typed(ds, gap, last - gap + 1, held_by(ar));
	return (true);
}

/* true: done with it. */
static bool
segment(struct request *rq, struct dump_state *ds, const struct vmem_seg *seg)
{
	struct arena *ar = ds->ds_arena;
	struct alloc_info ai;

	if (seg->seg_type == VMEM_FREE) {
		if (ds->ds_what == WHAT_FREE) {
			entry_open(ds, seg->seg_addr, seg->seg_size);
			jw_close(&ds->ds_entries, '}');
		} else {
			entry_typed(ds, seg->seg_addr, seg->seg_size, "free");
		}
		return (true);
	}
	if (!ds->ds_inside && reg_describe(&rq->rq_daemon->dm_registry, ar,
	    seg->seg_addr, &ai) && ai.ai_size == seg->seg_size) {
		entry_alloc(ds, seg->seg_addr, &ai);
		return (true);
	}
	if (seg->seg_size / ar->ar_quantum > PARTS_QUANTA_MAX) {
		entry_typed(ds, seg->seg_addr, seg->seg_size, held_by(ar));
		return (true);
	}
	/* A cursor from before may not fit what is there now. */
	if (!ds->ds_inside || ds->ds_within < seg->seg_addr ||
	    ds->ds_within - seg->seg_addr >= seg->seg_size)
		ds->ds_within = seg->seg_addr;
	ds->ds_inside = !parts(rq, ds, seg);
	return (!ds->ds_inside);
}

const struct vmem_seg *
dump_peek(struct dump_state *ds)
{
	while (ds->ds_seg == ds->ds_segs && ds->ds_more) {
		ds->ds_seg = 0;
		ds->ds_segs = ds->ds_window ?
		    cache_walk_from(ds->ds_arena, ds->ds_mask, &ds->ds_walk,
			ds->ds_buffer, DUMP_WALK, &ds->ds_more) :
		    vmem_walk_from(ds->ds_arena->ar_vm, ds->ds_mask,
			&ds->ds_walk, ds->ds_buffer, DUMP_WALK, &ds->ds_more);
	}
	return (ds->ds_seg < ds->ds_segs ? &ds->ds_buffer[ds->ds_seg] : NULL);
}

void
dump_walk(struct dump_state *ds, int mask, vmem_addr_t from)
{
	ds->ds_mask = mask;
	ds->ds_walk = from;
	ds->ds_more = true;
	ds->ds_seg = ds->ds_segs = 0;
}

static bool
next_segment(struct request *rq, struct dump_state *ds)
{
	const struct vmem_seg *seg = dump_peek(ds);

	if (seg == NULL)
		return (false);
	ds->ds_cursor = seg->seg_addr;
	if (segment(rq, ds, seg)) {
		ds->ds_seg++;
		ds->ds_inside = false;
		seg = dump_peek(ds);
		if (seg != NULL)
			ds->ds_cursor = seg->seg_addr;
	}
	return (dump_peek(ds) != NULL);
}

/* ---- faults ------------------------------------------------------------- */

static const char *
state_name(char state)
{
	return (state == 'z' ? "zero" : state == 'r' ? "resident" :
		state == 'd' ? "dirty" : "swapped");
}

/* One run of pages in one state, from ds_within on in the segment; pages that
 * aren't registered are passed over. */
static bool
next_run(struct request *rq, struct dump_state *ds)
{
	const struct vmem_seg *seg = dump_peek(ds);
	vmem_addr_t pos, from;
	char state;

	if (seg == NULL)
		return (false);
	pos = seg->seg_addr;
	if (ds->ds_inside && ds->ds_within > pos &&
	    ds->ds_within - pos < seg->seg_size)
		pos = ds->ds_within;
	from = pos;
	state = vmpager_page_state(ds->ds_arena->ar_map, pos);
	do
		pos += VMPAGER_PAGE;
	while (pos - seg->seg_addr < seg->seg_size &&
	    vmpager_page_state(ds->ds_arena->ar_map, pos) == state &&
	    ((pos - from) % (VMPAGER_PAGE * 1024) != 0 ||
		!request_slice_over(rq)));
	if (state != '.') {
		entry_open(ds, from, pos - from);
		jw_kstr(&ds->ds_entries, "state", state_name(state));
		jw_close(&ds->ds_entries, '}');
	}
	ds->ds_cursor = seg->seg_addr;
	ds->ds_within = pos;
	ds->ds_inside = pos - seg->seg_addr < seg->seg_size;
	if (ds->ds_inside)
		return (true);
	ds->ds_seg++;
	seg = dump_peek(ds);
	if (seg != NULL)
		ds->ds_cursor = seg->seg_addr;
	return (seg != NULL);
}

/* ---- caches, stats ------------------------------------------------------ */

static void
write_cache(struct buf *b, const struct vmem_qcache_stat *qs)
{
	jw_open(b, '{');
	jw_ku64(b, "size", qs->qs_size);
	jw_ku64(b, "hits", qs->qs_hits);
	jw_ku64(b, "misses", qs->qs_misses);
	jw_ku64(b, "fills", qs->qs_fills);
	jw_ku64(b, "drains", qs->qs_drains);
	jw_ku64(b, "held", qs->qs_held);
	jw_ku64(b, "magazine", qs->qs_magazine);
	jw_ku64(b, "slabs", qs->qs_slabs);
	jw_ku64(b, "slab_free", qs->qs_slab_free);
	jw_ku64(b, "depot_waits", qs->qs_depot_waits);
	jw_kstr(b, "mechanism", vmem_qcache_mechanism());
	jw_close(b, '}');
}

static bool
next_cache(struct request *rq, struct dump_state *ds)
{
	struct vmem_qcache_stat qs;

	(void)rq;
	if (cache_stat(ds->ds_arena, (unsigned int)ds->ds_cursor, &qs) != 0)
		return (false);
	write_cache(&ds->ds_entries, &qs);
	ds->ds_count++;
	ds->ds_left--;
	ds->ds_cursor++;
	return (cache_stat(
		    ds->ds_arena, (unsigned int)ds->ds_cursor, &qs) == 0);
}

static void
write_stats(struct dump_state *ds, struct buf *b)
{
	struct counters *co = malloc(sizeof(*co));

	jw_open(b, '{');
	jw_kstr(b, "arena", ds->ds_arena->ar_name);
	if (co != NULL) {
		counters_of(ds->ds_arena, co);
		counters_write(b, co);
	}
	jw_close(b, '}');
	free(co);
}

static bool
next_stats(struct request *rq, struct dump_state *ds)
{
	(void)rq;
	write_stats(ds, &ds->ds_entries);
	ds->ds_count++;
	return (false);
}

/* ---- pages and chunks --------------------------------------------------- */

static void
flush_chunk(struct request *rq, struct dump_state *ds)
{
	static const char head[] =
	    "{\"jsonrpc\":\"2.0\",\"method\":\"chunk\",\"params\":{\"id\":";
	struct buf *out = conn_out(rq->rq_conn), *in = &ds->ds_entries;

	if (buf_len(in) == 0)
		return;
	buf_append(out, head, sizeof(head) - 1);
	buf_append(out, rq->rq_id, strlen(rq->rq_id));
	jw_kstr(out, "what", ds->ds_name);
	jw_kopen(out, "entries", '[');
	buf_append(out, in->b_data + in->b_start, buf_len(in));
	buf_append(out, "]}}\n", 4);
	buf_truncate(in, 0);
}

static void
write_head(struct dump_state *ds, struct buf *b)
{
	jw_open(b, '{');
	jw_kstr(b, "arena", ds->ds_arena->ar_name);
	jw_kstr(b, "what", ds->ds_name);
}

static enum step
answer_stream(struct request *rq, struct dump_state *ds)
{
	struct buf *b;

	flush_chunk(rq, ds);
	b = reply_begin(rq);
	write_head(ds, b);
	jw_ku64(b, "count", ds->ds_count);
	jw_close(b, '}');
	return (STEP_DONE);
}

static enum step
answer_page(struct request *rq, struct dump_state *ds, bool more)
{
	struct buf *b = reply_begin(rq), *in = &ds->ds_entries;

	write_head(ds, b);
	if (buf_len(&ds->ds_extra) > 0)
		jw_raw(b, ds->ds_extra.b_data + ds->ds_extra.b_start,
		    buf_len(&ds->ds_extra));
	jw_kopen(b, "entries", '[');
	if (buf_len(in) > 0)
		buf_append(b, in->b_data + in->b_start, buf_len(in));
	jw_close(b, ']');
	jw_key(b, "cursor");
	if (more) {
		char text[48];
		int n = snprintf(text, sizeof(text), "0x%llx",
		    (unsigned long long)ds->ds_cursor);

		if (ds->ds_inside)
			(void)snprintf(text + n, sizeof(text) - (size_t)n,
			    ":0x%llx", (unsigned long long)ds->ds_within);
		jw_str(b, text);
	} else {
		jw_str(b, NULL);
	}
	jw_close(b, '}');
	return (STEP_DONE);
}

static enum step
entries_step(struct request *rq)
{
	struct dump_state *ds = rq->rq_state;
	bool more;

	do {
		more = ds->ds_next(rq, ds);
		if (ds->ds_stream && buf_len(&ds->ds_entries) >= CHUNK_BYTES) {
			flush_chunk(rq, ds);
			if (more && !conn_writable(rq->rq_conn))
				return (STEP_BLOCKED);
		}
		if (ds->ds_stream)
			ds->ds_left = UINT64_MAX;
		else if (ds->ds_left == 0)
			return (answer_page(rq, ds, more));
		if (more && request_slice_over(rq))
			return (STEP_AGAIN);
	} while (more);
	return (ds->ds_stream ? answer_stream(rq, ds) :
				answer_page(rq, ds, false));
}

/* ---- map and all -------------------------------------------------------- */

static void
entries_start(struct dump_state *ds)
{
	ds->ds_inside = ds->ds_from_inside;
	ds->ds_within = ds->ds_from_within;
	ds->ds_cursor = ds->ds_from;
	ds->ds_window = true;
	dump_walk(ds, ds->ds_what == WHAT_FREE ? VMEM_FREE :
	    ds->ds_what == WHAT_ALL ? VMEM_ALLOC | VMEM_FREE : VMEM_ALLOC,
	    ds->ds_from);
}

/* What `all` says before its entries. */
static void
write_extra(struct dump_state *ds)
{
	struct buf *b = &ds->ds_extra;
	struct vmem_qcache_stat qs;

	jw_key(b, "stats");
	write_stats(ds, b);
	jw_kopen(b, "caches", '[');
	for (unsigned int i = 0; cache_stat(ds->ds_arena, i, &qs) == 0; i++)
		write_cache(b, &qs);
	jw_close(b, ']');
	jw_kopen(b, "map", '{');
	dump_map_write(ds, b);
	jw_close(b, '}');
}

static enum step
map_step(struct request *rq)
{
	struct dump_state *ds = rq->rq_state;
	struct buf *b;

	if (ds->ds_cell == 0) {
		if (!dump_map_extent(rq, ds))
			return (STEP_AGAIN);
		dump_walk(ds, VMEM_ALLOC | VMEM_FREE, ds->ds_first);
	}
	if (!dump_map_cells(rq, ds))
		return (STEP_AGAIN);
	if (ds->ds_what == WHAT_ALL) {
		write_extra(ds);
		entries_start(ds);
		rq->rq_step = entries_step;
		return (STEP_AGAIN);
	}
	b = reply_begin(rq);
	write_head(ds, b);
	dump_map_write(ds, b);
	jw_close(b, '}');
	return (STEP_DONE);
}

static enum step
map_start(struct request *rq, struct dump_state *ds)
{
	ds->ds_columns = (uint64_t)rq->rq_args[ARG_DUMP_COLUMNS].pa_int;
	ds->ds_cells = calloc(ds->ds_columns, sizeof(*ds->ds_cells));
	if (ds->ds_cells == NULL)
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	dump_walk(ds, VMEM_ALLOC, 0);
	rq->rq_step = map_step;
	return (map_step(rq));
}

/* ---- begin -------------------------------------------------------------- */

/* "0xA" or "0xA:0xB" */
static bool
parse_cursor(struct dump_state *ds, const char *text)
{
	char first[24];
	const char *colon;
	size_t n;

	if (text == NULL)
		return (true);
	colon = strchr(text, ':');
	n = colon != NULL ? (size_t)(colon - text) : strlen(text);
	if (n >= sizeof(first))
		return (false);
	memcpy(first, text, n);
	first[n] = '\0';
	ds->ds_from_inside = colon != NULL;
	return (quantity_addr(first, &ds->ds_from) == 0 &&
	    (colon == NULL ||
		quantity_addr(colon + 1, &ds->ds_from_within) == 0));
}

static enum step
dump_start(struct request *rq, struct dump_state *ds)
{
	const struct proto_arg *arg = rq->rq_args;
	static bool (*const producers[])(
	    struct request *, struct dump_state *) = {
		[WHAT_STATS] = next_stats,
		[WHAT_SEGMENTS] = next_segment,
		[WHAT_FREE] = next_segment,
		[WHAT_CACHES] = next_cache,
		[WHAT_FAULTS] = next_run,
		[WHAT_ALL] = next_segment,
	};
	static const char *const names[] = { "stats", "segments", "free",
		"caches", "faults", "map", "all" };

	ds->ds_what = arg[ARG_DUMP_WHAT].pa_enum;
	ds->ds_name = names[ds->ds_what];
	ds->ds_next = producers[ds->ds_what];
	/* A notification gets no reply, nor anything else. */
	ds->ds_stream = arg[ARG_DUMP_STREAM].pa_bool && rq->rq_id != NULL;
	ds->ds_left = ds->ds_stream ? UINT64_MAX :
				      (uint64_t)arg[ARG_DUMP_LIMIT].pa_int;
	if (!parse_cursor(ds, arg[ARG_DUMP_CURSOR].pa_string))
		return (reply_fail(rq, PE_PARAMS, "cursor",
		    "cursor: not one of a reply before"));
	if (ds->ds_what == WHAT_FAULTS &&
	    ds->ds_arena->ar_kind != ARENA_PAGEABLE)
		return (reply_fail(rq, PE_NOT_PAGEABLE, "arena",
		    "%s isn't pageable", ds->ds_arena->ar_name));
	if (ds->ds_what == WHAT_MAP || (ds->ds_what == WHAT_ALL &&
	    !arg[ARG_DUMP_CURSOR].pa_given && !ds->ds_stream))
		return (map_start(rq, ds));
	entries_start(ds);
	rq->rq_step = entries_step;
	return (entries_step(rq));
}

enum step
cmd_dump(struct request *rq)
{
	struct arena *ar = request_arena(rq, ARG_DUMP_ARENA);
	struct dump_state *ds;

	if (ar == NULL)
		return (STEP_DONE);
	ds = calloc(1, sizeof(*ds));
	if (ds == NULL) {
		reg_arena_put(&rq->rq_daemon->dm_registry, ar);
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	}
	ds->ds_arena = ar;
	rq->rq_state = ds;
	rq->rq_fini = dump_fini;
	return (dump_start(rq, ds));
}
