/*
 * dump_map.c - see dump.h: the map of an arena, in two walks: one to find what
 * it has to cover, from the lowest to the highest allocation, and one to count
 * the bytes of each cell.
 */
#include "config.h"

#include "daemon/dump.h"

bool
dump_map_extent(struct request *rq, struct dump_state *ds)
{
	const struct vmem_seg *seg;
	vmem_size_t cell;

	while ((seg = dump_peek(ds)) != NULL) {
		vmem_addr_t last = seg->seg_addr + (seg->seg_size - 1);

		if (!ds->ds_any || seg->seg_addr < ds->ds_first)
			ds->ds_first = seg->seg_addr;
		if (!ds->ds_any || last > ds->ds_last)
			ds->ds_last = last;
		ds->ds_any = true;
		ds->ds_seg++;
		if (ds->ds_seg == ds->ds_segs && request_slice_over(rq))
			return (false);
	}
	if (!ds->ds_any) {
		ds->ds_first = ds->ds_arena->ar_base;
		ds->ds_last = ds->ds_first + (ds->ds_arena->ar_size - 1);
	}
	cell = (ds->ds_last - ds->ds_first) / ds->ds_columns + 1;
	if (arena_round(ds->ds_arena, cell, &ds->ds_cell) != 0)
		ds->ds_cell = cell;
	return (true);
}

/* Count a range to the cells that it meets. */
static void
map_count(struct dump_state *ds, vmem_addr_t addr, vmem_size_t size,
    size_t field)
{
	while (size > 0) {
		uint64_t cell = (addr - ds->ds_first) / ds->ds_cell;
		vmem_size_t left =
		    ds->ds_cell - (addr - ds->ds_first) % ds->ds_cell;
		vmem_size_t n = size < left ? size : left;

		if (cell >= ds->ds_columns)
			return;
		*(uint64_t *)(void *)((char *)&ds->ds_cells[cell] + field) += n;
		addr += n;
		size -= n;
	}
}

/* Resident pages of a segment; false: go on later, at ds_within. */
static bool
map_resident(struct request *rq, struct dump_state *ds,
    const struct vmem_seg *seg)
{
	vmem_addr_t pos = ds->ds_inside ? ds->ds_within : seg->seg_addr;

	if (ds->ds_arena->ar_kind == ARENA_WIRED)
		map_count(ds, seg->seg_addr, seg->seg_size,
		    offsetof(struct dump_cell, dc_resident));
	if (ds->ds_arena->ar_kind != ARENA_PAGEABLE)
		return (true);
	for (; pos - seg->seg_addr < seg->seg_size; pos += VMPAGER_PAGE) {
		char state = vmpager_page_state(ds->ds_arena->ar_map, pos);

		if (state == 'r' || state == 'd')
			map_count(ds, pos, VMPAGER_PAGE,
			    offsetof(struct dump_cell, dc_resident));
		if (pos / VMPAGER_PAGE % 4096 == 0 && request_slice_over(rq) &&
		    pos > seg->seg_addr) {
			ds->ds_inside = true;
			ds->ds_within = pos + VMPAGER_PAGE;
			return (false);
		}
	}
	ds->ds_inside = false;
	return (true);
}

bool
dump_map_cells(struct request *rq, struct dump_state *ds)
{
	const struct vmem_seg *seg;

	while ((seg = dump_peek(ds)) != NULL) {
		if (seg->seg_addr >= ds->ds_first &&
		    seg->seg_addr <= ds->ds_last) {
			if (!ds->ds_inside)
				map_count(ds, seg->seg_addr, seg->seg_size,
				    seg->seg_type == VMEM_ALLOC ?
				    offsetof(struct dump_cell, dc_used) :
				    offsetof(struct dump_cell, dc_free));
			if (seg->seg_type == VMEM_ALLOC &&
			    !map_resident(rq, ds, seg))
				return (false);
		}
		ds->ds_seg++;
		if (ds->ds_seg == ds->ds_segs && request_slice_over(rq))
			return (false);
	}
	return (true);
}

void
dump_map_write(struct dump_state *ds, struct buf *b)
{
	double cell = (double)ds->ds_cell;
	vmem_size_t size = vmem_size(
	    ds->ds_arena->ar_vm, VMEM_ALLOC | VMEM_FREE);
	uint64_t cells = (ds->ds_last - ds->ds_first) / ds->ds_cell + 1;

	jw_kaddr(b, "base", ds->ds_arena->ar_base);
	jw_ku64(b, "size", size);
	jw_kaddr(b, "start", ds->ds_first);
	jw_kaddr(b, "end", ds->ds_last == VMEM_ADDR_MAX ? VMEM_ADDR_MAX :
	    ds->ds_last + 1);
	jw_ku64(b, "columns", cells);
	jw_ku64(b, "cell_bytes", ds->ds_cell);
	jw_kopen(b, "cells", '[');
	for (uint64_t i = 0; i < cells && i < ds->ds_columns; i++) {
		jw_open(b, '{');
		jw_kreal(b, "used", (double)ds->ds_cells[i].dc_used / cell);
		jw_kreal(b, "free", (double)ds->ds_cells[i].dc_free / cell);
		jw_kreal(b, "resident",
		    (double)ds->ds_cells[i].dc_resident / cell);
		jw_close(b, '}');
	}
	jw_close(b, ']');
}
