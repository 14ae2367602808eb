/*
 * pieces.h - what is left of one range after partial frees.
 *
 * A sorted list of disjoint, non-empty [start, end), offsets from where the
 * range began.  Ranges are cut seldom and into few pieces (in the traces we
 * have, 30 at the most), so an array will do.
 */
#ifndef TRACE_PIECES_H
#define TRACE_PIECES_H

#include <stddef.h>
#include <stdint.h>

struct piece {
	uint64_t pc_start, pc_end;	/* [start, end) */
};

struct pieces {
	struct piece *ps_list;
	size_t ps_count, ps_room;
};

/* One piece, [0, size), size > 0.  ENOMEM. */
int pieces_init(struct pieces *ps, uint64_t size);
void pieces_fini(struct pieces *ps);

/*
 * Take out [start, end).  EINVAL: empty, or not all inside one piece; ENOMEM.
 * Nothing has changed then.
 */
int pieces_cut(struct pieces *ps, uint64_t start, uint64_t end);

#endif /* TRACE_PIECES_H */
