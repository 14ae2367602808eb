/*
 * map_picture.c - the layout of a picture of an arena.
 *
 *	title
 *	numbers
 *	        0x7f00...  [row of cells                              ]
 *	        0x7f01...  [row of cells                              ]
 *	                   |---- 16M ----|                       (scale)
 *	                   [] free  [] up to 1/3  ...           (legend)
 *
 * Cells of one shade side by side are one rectangle.
 */
#include "config.h"

#include "client/map.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/canvas.h"
#include "proto/quantity.h"

#define MARGIN 24u
#define LABEL 188u		/* width of the addresses */
#define GRID 1024u		/* width of a row */
#define ROW 18u			/* height of one, with the gap below it */
#define GAP 2u
#define HEAD 96u		/* above the rows */
#define FOOT 84u		/* below them */
#define SWATCH 14u

#define INK 0x1b1f24u
#define MUTED 0x57606au
#define PAPER 0xffffffu

static const uint32_t colors[MAP_SHADES] = {
	0xffffff, 0xe6ebf0, 0xb3d1ec, 0x6ba6d9, 0x2f75b8, 0x0b3f7d,
	0xf0c674
};

void
map_picture_size(
    const struct map *mp, unsigned int *width, unsigned int *height)
{
	*width = MARGIN + LABEL + GRID + MARGIN;
	*height = HEAD + mp->mp_rows * ROW + FOOT;
}

static void
draw_row(const struct map *mp, unsigned int row, struct canvas *cv)
{
	unsigned int cell = GRID / mp->mp_columns, y = HEAD + row * ROW;
	unsigned int from = 0;
	char label[32];

	(void)snprintf(
	    label, sizeof(label), "0x%" PRIx64, map_row_address(mp, row));
	cv->cv_text(cv, MARGIN + LABEL - 12, y + ROW - 5, FONT_MONO, 1, MUTED,
	    label);
	for (unsigned int column = 1; column <= mp->mp_columns; column++) {
		enum map_shade shade = map_shade(mp, row, from);

		if (column < mp->mp_columns &&
		    map_shade(mp, row, column) == shade)
			continue;
		if (shade != MAP_NOTHING)
			cv->cv_rect(cv, MARGIN + LABEL + from * cell, y,
			    (column - from) * cell, ROW - GAP, colors[shade]);
		from = column;
	}
}

/* A bar as long as a quarter of a row, and how many bytes that is. */
static void
draw_scale(const struct map *mp, unsigned int y, struct canvas *cv)
{
	uint64_t bytes = (uint64_t)(mp->mp_columns / 4) << mp->mp_cell_shift;
	unsigned int x = MARGIN + LABEL;
	char text[32];

	cv->cv_rect(cv, x, y + 4, GRID / 4, 2, MUTED);
	cv->cv_rect(cv, x, y, 2, 10, MUTED);
	cv->cv_rect(cv, x + GRID / 4 - 2, y, 2, 10, MUTED);
	cv->cv_text(cv, x + GRID / 4 + 10, y + 10, FONT_TEXT, 0, MUTED,
	    quantity_format(bytes, text, sizeof(text)));
}

static void
draw_legend(unsigned int y, struct canvas *cv)
{
	unsigned int x = MARGIN + LABEL;

	for (int shade = MAP_FREE; shade < MAP_SHADES; shade++) {
		cv->cv_rect(cv, x, y, SWATCH, SWATCH, colors[shade]);
		cv->cv_text(cv, x + SWATCH + 8, y + 12, FONT_TEXT, 0, INK,
		    map_shade_names[shade]);
		x += SWATCH + 8 + 28 +
		    canvas_text_width(FONT_TEXT, map_shade_names[shade]);
	}
}

void
map_picture(const struct map *mp, struct canvas *cv)
{
	unsigned int width, height, y;
	char title[96], first[160], second[160];

	map_picture_size(mp, &width, &height);
	cv->cv_rect(cv, 0, 0, width, height, PAPER);
	(void)snprintf(title, sizeof(title), "Arena %s", mp->mp_arena);
	map_numbers(mp, first, second, sizeof(first));
	cv->cv_text(cv, MARGIN, 38, FONT_TITLE, 0, INK, title);
	cv->cv_text(cv, MARGIN, 60, FONT_TEXT, 0, INK, first);
	cv->cv_text(cv, MARGIN, 80, FONT_TEXT, 0, MUTED, second);
	for (unsigned int row = 0; row < mp->mp_rows; row++)
		draw_row(mp, row, cv);
	y = HEAD + mp->mp_rows * ROW + 10;
	draw_scale(mp, y, cv);
	draw_legend(y + 34, cv);
}
