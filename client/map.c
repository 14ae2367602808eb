/*
 * map.c - cells, and what is in them.
 */
#include "config.h"

#include "client/map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/quantity.h"

const char *const map_shade_names[MAP_SHADES] = {
	"no span", "free", "up to 1/3 in use", "up to 2/3", "more", "full",
	"in a cache"
};

int
map_layout(struct map *mp, uint64_t first, uint64_t last,
    unsigned int columns, unsigned int rows)
{
	unsigned int column_bits = (unsigned int)__builtin_ctz(columns);
	unsigned int shift = 0, row_shift;

	while (shift < 63 && (UINT64_C(1) << shift) < mp->mp_quantum)
		shift++;
	/* The rows that [first, last] touches, with rows of 2^row_shift. */
	for (;; shift++) {
		row_shift = shift + column_bits;
		if (row_shift > 63 ||
		    (last >> row_shift) - (first >> row_shift) < rows)
			break;
	}
	if (row_shift > 63)
		row_shift = 63;
	mp->mp_cell_shift = row_shift - column_bits;
	mp->mp_columns = columns;
	mp->mp_rows =
	    (unsigned int)((last >> row_shift) - (first >> row_shift)) + 1;
	mp->mp_start = first >> row_shift << row_shift;
	mp->mp_last = last;
	mp->mp_used = calloc((size_t)mp->mp_rows * columns, sizeof(double));
	mp->mp_there = calloc((size_t)mp->mp_rows * columns, sizeof(double));
	mp->mp_cached = calloc((size_t)mp->mp_rows * columns, sizeof(double));
	if (mp->mp_used == NULL || mp->mp_there == NULL ||
	    mp->mp_cached == NULL) {
		map_fini(mp);
		return (ENOMEM);
	}
	return (0);
}

void
map_fini(struct map *mp)
{
	free(mp->mp_used);
	free(mp->mp_there);
	free(mp->mp_cached);
	mp->mp_used = mp->mp_there = mp->mp_cached = NULL;
}

void
map_add(struct map *mp, uint64_t addr, uint64_t size, enum map_kind kind,
    double share)
{
	uint64_t last, cell, end;
	uint64_t cells = (uint64_t)mp->mp_rows * mp->mp_columns;

	if (size == 0)
		return;
	if (__builtin_add_overflow(addr, size - 1, &last))
		last = UINT64_MAX;
	if (last < mp->mp_start)
		return;
	if (addr < mp->mp_start)
		addr = mp->mp_start;
	while (addr <= last) {
		double bytes;

		cell = (addr - mp->mp_start) >> mp->mp_cell_shift;
		if (cell >= cells)
			return;
		end = mp->mp_start + ((cell + 1) << mp->mp_cell_shift) - 1;
		if (end > last)
			end = last;
		bytes = (double)(end - addr) + 1;
		mp->mp_there[cell] += bytes;
		if (kind != MAP_RANGE_FREE)
			mp->mp_used[cell] += bytes * share;
		if (kind == MAP_RANGE_CACHED)
			mp->mp_cached[cell] += bytes * share;
		if (end == last)
			return;
		addr = end + 1;
	}
}

enum map_shade
map_shade_of(double share)
{
	if (share > 0.999)
		return (MAP_FULL);
	if (share > 2.0 / 3)
		return (MAP_DENSE);
	if (share > 1.0 / 3)
		return (MAP_HALF);
	return (share > 0 ? MAP_SPARSE : MAP_FREE);
}

/* What caches hold is free to nobody else, but in nobody's use either: a cell
 * is as full as its allocations make it. */
enum map_shade
map_shade(const struct map *mp, unsigned int row, unsigned int column)
{
	size_t cell = (size_t)row * mp->mp_columns + column;
	double there = mp->mp_there[cell], cached = mp->mp_cached[cell];
	double used = mp->mp_used[cell] - cached;

	if (there < 0.5)
		return (MAP_NOTHING);
	if (used < 0.5)
		return (cached < 0.5 ? MAP_FREE : MAP_CACHED);
	return (map_shade_of(used / there));
}

uint64_t
map_row_address(const struct map *mp, unsigned int row)
{
	return (mp->mp_start +
	    ((uint64_t)row * mp->mp_columns << mp->mp_cell_shift));
}

void
map_numbers(const struct map *mp, char *first, char *second, size_t size)
{
	char total[32], inuse[32], nfree[32], largest[32], cell[32], row[32];
	char held[32];
	uint64_t bytes = UINT64_C(1) << mp->mp_cell_shift;

	(void)quantity_format(mp->mp_size, total, sizeof(total));
	(void)quantity_format(mp->mp_inuse, inuse, sizeof(inuse));
	(void)quantity_format(mp->mp_free, nfree, sizeof(nfree));
	(void)quantity_format(mp->mp_largest, largest, sizeof(largest));
	(void)snprintf(first, size, "size %s, in use %s (%" PRIu64
	    "), free %s (%" PRIu64 "), largest free %s", total, inuse,
	    mp->mp_ranges, nfree, mp->mp_free_ranges, largest);
	(void)quantity_format(bytes, cell, sizeof(cell));
	(void)quantity_format(bytes * mp->mp_columns, row, sizeof(row));
	(void)snprintf(second, size, "external fragmentation %.3f, caches hold"
	    " %s; a cell is %s, a row %s", mp->mp_fragmentation,
	    quantity_format(mp->mp_held, held, sizeof(held)), cell, row);
}
