/*
 * map.h - an arena's address space as rows of cells, to be drawn.
 *
 * A window of the address space is parted into cells of a power of two of
 * bytes, mp_columns to a row, each with the share of it that is in use, and
 * the share that the arena has at all.  The drawings (output_map.c for the
 * terminal, map_picture.c for files) know nothing else.
 */
#ifndef CLIENT_MAP_H
#define CLIENT_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct map {
	/* About the arena: the caller's to fill in. */
	char mp_arena[64];
	uint64_t mp_quantum;
	uint64_t mp_size, mp_inuse, mp_free, mp_largest;	/* bytes */
	uint64_t mp_held;		/* of those in use, by quantum caches */
	uint64_t mp_ranges, mp_free_ranges;
	double mp_fragmentation;	/* external: 1 - largest / free */
	/* The window, as map_layout() has chosen it. */
	uint64_t mp_start, mp_last;	/* addresses, inclusive */
	unsigned int mp_cell_shift;	/* a cell is 2^this bytes */
	unsigned int mp_columns, mp_rows;
	/* Of each cell, in bytes; mp_columns * mp_rows of them. */
	double *mp_used, *mp_there, *mp_cached;
};

/* What a range is. */
enum map_kind { MAP_RANGE_FREE, MAP_RANGE_USED, MAP_RANGE_CACHED };

/*
 * Choose cells for [first, last]: at most `rows` rows of `columns` (a power of
 * two), none smaller than the quantum.  The window begins at a row's multiple.
 * ENOMEM.
 */
int map_layout(struct map *mp, uint64_t first, uint64_t last,
    unsigned int columns, unsigned int rows);
void map_fini(struct map *mp);

/* [addr, addr + size) is the arena's, and of that kind, a `share` of it (0 to
 * 1, evenly spread; the rest is free).  What is outside the window is left out.
 */
void map_add(struct map *mp, uint64_t addr, uint64_t size, enum map_kind kind,
    double share);

/* How full a cell is. */
enum map_shade {
	MAP_NOTHING,		/* not the arena's */
	MAP_FREE,
	MAP_SPARSE,		/* up to a third in use */
	MAP_HALF,		/* up to two thirds */
	MAP_DENSE,
	MAP_FULL,
	MAP_CACHED		/* in use by nobody but quantum caches */
};
#define MAP_SHADES 7
enum map_shade map_shade(
    const struct map *mp, unsigned int row, unsigned int column);
extern const char *const map_shade_names[MAP_SHADES];
const char *map_glyph(enum map_shade shade, bool utf8);
/* Of a share in use, 0 to 1. */
enum map_shade map_shade_of(double share);

uint64_t map_row_address(const struct map *mp, unsigned int row);

/* The two lines of numbers under the title. */
void map_numbers(const struct map *mp, char *first, char *second, size_t size);

/* Draw: on a terminal; as SVG; as PNG (an errno). */
void map_draw_text(const struct map *mp, FILE *f, bool color, bool utf8);
void map_draw_svg(const struct map *mp, FILE *f);
int map_draw_png(const struct map *mp, FILE *f);

#endif /* CLIENT_MAP_H */
