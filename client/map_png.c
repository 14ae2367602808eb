/*
 * map_png.c - the picture as PNG: rectangles and letters into a raster.
 *
 * Letters of 5x7 are enlarged by interpolating between the pixels and keeping
 * what is above the middle, with a soft edge: slants come out as slants, where
 * enlarged pixels would be stairs.
 */
#include "config.h"

#include "client/map.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "client/canvas.h"
#include "client/font.h"

#define TITLE_SCALE 4
#define TEXT_SCALE 2
/* Where a letter begins and where it is solid, of 0 (off) to 1 (on). */
#define EDGE_LOW 0.3
#define EDGE_HIGH 0.7

struct raster {
	struct canvas ra_canvas;	/* first: see of_canvas() */
	unsigned int ra_width, ra_height;
	unsigned char *ra_pixels;	/* RGB */
};

static struct raster *
of_canvas(struct canvas *cv)
{
	return ((struct raster *)(void *)cv);
}

/* Paint a pixel, over what is there; alpha: 0 leaves it, 1 covers it. */
static void
put_pixel(struct raster *ra, int x, int y, uint32_t rgb, double alpha)
{
	unsigned char *p;

	if (x < 0 || y < 0 || (unsigned int)x >= ra->ra_width ||
	    (unsigned int)y >= ra->ra_height)
		return;
	p = ra->ra_pixels +
	    3 * ((size_t)y * ra->ra_width + (unsigned int)x);
	for (int i = 0; i < 3; i++) {
		double ink = rgb >> (16 - 8 * i) & 0xff;

		p[i] = (unsigned char)(p[i] + (ink - p[i]) * alpha + 0.5);
	}
}

static void
raster_rect(struct canvas *cv, unsigned int x, unsigned int y, unsigned int w,
    unsigned int h, uint32_t rgb)
{
	for (unsigned int j = y; j < y + h; j++)
		for (unsigned int i = x; i < x + w; i++)
			put_pixel(of_canvas(cv), (int)i, (int)j, rgb, 1);
}

/* ---- letters ------------------------------------------------------------ */

/* How much of a letter is at (x, y), in its own pixels: pixel (i, j) has its
 * middle at (i + 0.5, j + 0.5), and between middles is interpolated. */
static double
coverage(char c, double x, double y)
{
	int i = (int)floor(x - 0.5), j = (int)floor(y - 0.5);
	double u = x - 0.5 - i, v = y - 0.5 - j, sum;

	sum = (1 - u) * (1 - v) * font_pixel(c, i, j) +
	    u * (1 - v) * font_pixel(c, i + 1, j) +
	    (1 - u) * v * font_pixel(c, i, j + 1) +
	    u * v * font_pixel(c, i + 1, j + 1);
	sum = (sum - EDGE_LOW) / (EDGE_HIGH - EDGE_LOW);
	return (sum < 0 ? 0 : sum > 1 ? 1 : sum);
}

static int
scale_of(enum canvas_font font)
{
	return (font == FONT_TITLE ? TITLE_SCALE : TEXT_SCALE);
}

/* How far a letter moves the pen; a fixed-width one always as far. */
static int
advance(enum canvas_font font, char c, int *firstp)
{
	int width = font_extent(c, firstp);

	if (font == FONT_MONO) {
		*firstp = 0;
		width = FONT_WIDTH;
	}
	return ((width + 1) * scale_of(font));
}

/* With its left edge at x and its base line at y. */
static void
put_letter(struct raster *ra, int x, int y, enum canvas_font font, char c,
    int first, uint32_t rgb)
{
	int scale = scale_of(font);

	/* A pixel more on each side, for the soft edge. */
	for (int j = -scale; j < (FONT_HEIGHT + 1) * scale; j++)
		for (int i = -scale; i < (FONT_WIDTH + 1) * scale; i++)
			put_pixel(ra, x + i - first * scale,
			    y + j - FONT_BASE * scale, rgb,
			    coverage(c, (i + 0.5) / scale, (j + 0.5) / scale));
}

unsigned int
canvas_text_width(enum canvas_font font, const char *text)
{
	int width = 0, first;

	for (; *text != '\0'; text++)
		width += advance(font, *text, &first);
	return ((unsigned int)width);
}

static void
raster_text(struct canvas *cv, unsigned int x, unsigned int y,
    enum canvas_font font, int right, uint32_t rgb, const char *text)
{
	int pen = (int)x, first, step;

	if (right)
		pen -= (int)canvas_text_width(font, text);
	for (; *text != '\0'; text++) {
		step = advance(font, *text, &first);
		put_letter(of_canvas(cv), pen, (int)y, font, *text, first, rgb);
		pen += step;
	}
}

/* ---- the file ----------------------------------------------------------- */

static int
write_png(const struct raster *ra, FILE *f)
{
	png_image image;

	memset(&image, 0, sizeof(image));
	image.version = PNG_IMAGE_VERSION;
	image.width = ra->ra_width;
	image.height = ra->ra_height;
	image.format = PNG_FORMAT_RGB;
	errno = 0;
	if (png_image_write_to_stdio(
		&image, f, 0, ra->ra_pixels, 0, NULL) == 0)
		return (errno != 0 ? errno : EIO);
	return (0);
}

int
map_draw_png(const struct map *mp, FILE *f)
{
	struct raster ra = { { raster_rect, raster_text }, 0, 0, NULL };
	int error;

	map_picture_size(mp, &ra.ra_width, &ra.ra_height);
	ra.ra_pixels = calloc((size_t)ra.ra_width * ra.ra_height, 3);
	if (ra.ra_pixels == NULL)
		return (ENOMEM);
	map_picture(mp, &ra.ra_canvas);
	error = write_png(&ra, f);
	free(ra.ra_pixels);
	return (error);
}
