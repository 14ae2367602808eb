/*
 * dump.h - the state of a dump (cmd_dump.c).
 */
#ifndef DAEMON_DUMP_H
#define DAEMON_DUMP_H

#include "daemon/request.h"

#define DUMP_WALK 256	/* segments fetched at a time */

struct dump_cell {	/* bytes of one cell of a map */
	uint64_t dc_used, dc_free, dc_resident;
};

struct dump_state {
	struct arena *ds_arena;		/* referenced */
	unsigned int ds_what;
	const char *ds_name;		/* of it */
	bool ds_stream;
	bool (*ds_next)(struct request *rq, struct dump_state *ds);
	struct buf ds_entries;		/* written, and not sent yet */
	struct buf ds_extra;		/* `all`: what comes before them */
	uint64_t ds_count;		/* entries in all */
	uint64_t ds_left;		/* that still fit the page */

	vmem_addr_t ds_from;		/* the cursor that was given */
	vmem_addr_t ds_from_within;
	bool ds_from_inside;
	vmem_addr_t ds_cursor;		/* and the one to give */
	vmem_addr_t ds_within;		/* inside the segment at ds_cursor */
	bool ds_inside;			/* ds_within counts */

	int ds_mask;			/* the walk: kinds of segments */
	bool ds_window;			/* pages of the direct map, too */
	vmem_addr_t ds_walk;		/* where it goes on */
	bool ds_more;
	size_t ds_seg, ds_segs;		/* [ds_seg, ds_segs) of the buffer */
	struct vmem_seg ds_buffer[DUMP_WALK];

	uint64_t ds_columns;		/* the map */
	struct dump_cell *ds_cells;
	bool ds_any;			/* an allocation was seen */
	vmem_addr_t ds_first, ds_last;	/* inclusive */
	vmem_size_t ds_cell;		/* bytes of one; 0: not known yet */
};

/* A walk over segments of these kinds; the next of them, or NULL at the end. */
void dump_walk(struct dump_state *ds, int mask, vmem_addr_t from);
const struct vmem_seg *dump_peek(struct dump_state *ds);

/* The map (dump_map.c), each over a walk begun by the caller; false: the slice
 * is over, call again.  Then its members, without the braces. */
bool dump_map_extent(struct request *rq, struct dump_state *ds);
bool dump_map_cells(struct request *rq, struct dump_state *ds);
void dump_map_write(struct dump_state *ds, struct buf *b);

#endif /* DAEMON_DUMP_H */
