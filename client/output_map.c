/*
 * output_map.c - the map of an arena, on a terminal.
 */
#include "config.h"

#include "client/map.h"

#include <inttypes.h>
#include <stdio.h>

struct style {
	const char *utf8;
	const char *ascii;
	const char *color;	/* SGR: 256 colours, blue as in the pictures */
};

static const struct style styles[MAP_SHADES] = {
	{ " ", " ", "" },
	{ "\xc2\xb7", ".", "\033[38;5;245m" },		/* middle dot */
	{ "\xe2\x96\x91", "-", "\033[38;5;153m" },	/* light shade */
	{ "\xe2\x96\x92", "+", "\033[38;5;75m" },	/* medium */
	{ "\xe2\x96\x93", "*", "\033[38;5;33m" },	/* dark */
	{ "\xe2\x96\x88", "#", "\033[38;5;26m" },	/* full block */
	{ "\xe2\x97\xa6", "c", "\033[38;5;179m" },	/* white bullet */
};
static const char reset[] = "\033[0m";

const char *
map_glyph(enum map_shade shade, bool utf8)
{
	return (utf8 ? styles[shade].utf8 : styles[shade].ascii);
}

static void
draw_row(
    const struct map *mp, unsigned int row, FILE *f, bool color, bool utf8)
{
	enum map_shade shade, before = MAP_NOTHING;

	(void)fprintf(f, "%#14" PRIx64 "  ", map_row_address(mp, row));
	for (unsigned int column = 0; column < mp->mp_columns; column++) {
		shade = map_shade(mp, row, column);
		if (color && shade != before)
			(void)fprintf(f, "%s%s", reset, styles[shade].color);
		(void)fputs(map_glyph(shade, utf8), f);
		before = shade;
	}
	(void)fprintf(f, "%s\n", color ? reset : "");
}

static void
draw_legend(FILE *f, bool color, bool utf8)
{
	for (int shade = MAP_FREE; shade < MAP_SHADES; shade++)
		(void)fprintf(f, "%s%s%s %s%s",
		    color ? styles[shade].color : "",
		    map_glyph((enum map_shade)shade, utf8), color ? reset : "",
		    map_shade_names[shade],
		    shade + 1 < MAP_SHADES ? "  " : "\n");
}

void
map_draw_text(const struct map *mp, FILE *f, bool color, bool utf8)
{
	char first[160], second[160];

	map_numbers(mp, first, second, sizeof(first));
	(void)fprintf(f, "%s: %s\n%s\n\n", mp->mp_arena, first, second);
	for (unsigned int row = 0; row < mp->mp_rows; row++)
		draw_row(mp, row, f, color, utf8);
	(void)fputc('\n', f);
	draw_legend(f, color, utf8);
}
