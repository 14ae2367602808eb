/*
 * map_svg.c - the picture as SVG: self-contained, with the fonts of the reader.
 */
#include "config.h"

#include "client/map.h"

#include <stdio.h>

#include "client/canvas.h"

struct svg {
	struct canvas sv_canvas;	/* first: see of_canvas() */
	FILE *sv_file;
};

static struct svg *
of_canvas(struct canvas *cv)
{
	return ((struct svg *)(void *)cv);
}

static void
svg_rect(struct canvas *cv, unsigned int x, unsigned int y, unsigned int w,
    unsigned int h, uint32_t rgb)
{
	(void)fprintf(of_canvas(cv)->sv_file, "<rect x=\"%u\" y=\"%u\""
	    " width=\"%u\" height=\"%u\" fill=\"#%06x\"/>\n", x, y, w, h,
	    (unsigned int)rgb);
}

static void
put_escaped(FILE *f, const char *text)
{
	for (; *text != '\0'; text++)
		switch (*text) {
		case '<':
			(void)fputs("&lt;", f);
			break;
		case '>':
			(void)fputs("&gt;", f);
			break;
		case '&':
			(void)fputs("&amp;", f);
			break;
		default:
			(void)fputc(*text, f);
		}
}

static void
svg_text(struct canvas *cv, unsigned int x, unsigned int y,
    enum canvas_font font, int right, uint32_t rgb, const char *text)
{
	static const char *const classes[] = { "title", "text", "mono" };
	FILE *f = of_canvas(cv)->sv_file;

	(void)fprintf(f, "<text x=\"%u\" y=\"%u\" class=\"%s\"%s"
	    " fill=\"#%06x\">", x, y, classes[font],
	    right ? " text-anchor=\"end\"" : "", (unsigned int)rgb);
	put_escaped(f, text);
	(void)fputs("</text>\n", f);
}

void
map_draw_svg(const struct map *mp, FILE *f)
{
	struct svg sv = { { svg_rect, svg_text }, f };
	unsigned int width, height;

	map_picture_size(mp, &width, &height);
	(void)fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\""
	    " viewBox=\"0 0 %u %u\" width=\"%u\" height=\"%u\""
	    " shape-rendering=\"crispEdges\">\n<style>"
	    ".title{font:600 22px system-ui,'DejaVu Sans',sans-serif}"
	    ".text{font:14px system-ui,'DejaVu Sans',sans-serif}"
	    ".mono{font:11px ui-monospace,'DejaVu Sans Mono',monospace}"
	    "</style>\n", width, height, width, height);
	(void)fprintf(f, "<title>Arena ");
	put_escaped(f, mp->mp_arena);
	(void)fputs("</title>\n", f);
	map_picture(mp, &sv.sv_canvas);
	(void)fputs("</svg>\n", f);
}
