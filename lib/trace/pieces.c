/*
 * pieces.c - see pieces.h.
 */
#include "config.h"

#include "trace/pieces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/assert.h"

int
pieces_init(struct pieces *ps, uint64_t size)
{
	ASSERT(size > 0);
	ps->ps_room = 2;
	ps->ps_list = malloc(ps->ps_room * sizeof(ps->ps_list[0]));
	if (ps->ps_list == NULL)
		return (ENOMEM);
	ps->ps_list[0].pc_start = 0;
	ps->ps_list[0].pc_end = size;
	ps->ps_count = 1;
	return (0);
}

void
pieces_fini(struct pieces *ps)
{
	free(ps->ps_list);
	ps->ps_list = NULL;
	ps->ps_count = ps->ps_room = 0;
}

/* The only piece that may hold `start`: the last that begins at or before. */
static size_t
locate(const struct pieces *ps, uint64_t start)
{
	size_t low = 0, high = ps->ps_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ps->ps_list[mid].pc_start <= start)
			low = mid + 1;
		else
			high = mid;
	}
	return (low);	/* one past it */
}

int
pieces_cut(struct pieces *ps, uint64_t start, uint64_t end)
{
	size_t at = locate(ps, start);
	struct piece *pc, *grown;

	if (start >= end || at == 0 || end > ps->ps_list[at - 1].pc_end)
		return (EINVAL);
	if (ps->ps_count == ps->ps_room) {
		grown = realloc(
		    ps->ps_list, 2 * ps->ps_room * sizeof(ps->ps_list[0]));
		if (grown == NULL)
			return (ENOMEM);
		ps->ps_list = grown;
		ps->ps_room *= 2;
	}
	pc = &ps->ps_list[at - 1];
	if (start > pc->pc_start && end < pc->pc_end) {
		memmove(pc + 2, pc + 1, (ps->ps_count - at) * sizeof(*pc));
		pc[1].pc_start = end;
		pc[1].pc_end = pc->pc_end;
		pc->pc_end = start;
		ps->ps_count++;
	} else if (start > pc->pc_start) {
		pc->pc_end = start;
	} else if (end < pc->pc_end) {
		pc->pc_start = end;
	} else {
		memmove(pc, pc + 1, (ps->ps_count - at) * sizeof(*pc));
		ps->ps_count--;
	}
	return (0);
}
