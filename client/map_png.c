/*
 * map_png.c - the picture as PNG: rectangles and letters into a raster.
 *
 * Letters of 5x7 are enlarged by Scale2x (E. Liira's EPX), once for text and
 * twice for titles: each pixel becomes four, and a corner takes the colour of
 * the two neighbours it lies between if they agree, so that slants are slants.
 */
#include "config.h"

#include "client/map.h"

#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "client/canvas.h"
#include "client/font.h"

#define TITLE_SCALE 4		/* powers of two: what Scale2x makes */
#define TEXT_SCALE 2
#define SCALE_MAX 4

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

static void
put_pixel(struct raster *ra, unsigned int x, unsigned int y, uint32_t rgb)
{
	unsigned char *p;

	if (x >= ra->ra_width || y >= ra->ra_height)
		return;
	p = ra->ra_pixels + 3 * ((size_t)y * ra->ra_width + x);
	p[0] = (unsigned char)(rgb >> 16);
	p[1] = (unsigned char)(rgb >> 8);
	p[2] = (unsigned char)rgb;
}

static void
raster_rect(struct canvas *cv, unsigned int x, unsigned int y, unsigned int w,
    unsigned int h, uint32_t rgb)
{
	for (unsigned int j = y; j < y + h; j++)
		for (unsigned int i = x; i < x + w; i++)
			put_pixel(of_canvas(cv), i, j, rgb);
}

/* ---- letters ------------------------------------------------------------ */

/* A letter as a bitmap, with room for the largest. */
struct letter {
	int width, height;
	bool bits[SCALE_MAX * FONT_HEIGHT][SCALE_MAX * FONT_WIDTH];
};

static bool
bit(const struct letter *le, int x, int y)
{
	return (x >= 0 && x < le->width && y >= 0 && y < le->height &&
	    le->bits[y][x]);
}

static void
scale2x(struct letter *le)
{
	struct letter to = { 2 * le->width, 2 * le->height, { { false } } };

	for (int y = 0; y < le->height; y++)
		for (int x = 0; x < le->width; x++) {
			bool p = bit(le, x, y), up = bit(le, x, y - 1),
			     down = bit(le, x, y + 1),
			     left = bit(le, x - 1, y),
			     right = bit(le, x + 1, y);
			bool corner = left != right && up != down;

			to.bits[2 * y][2 * x] =
			    corner && left == up ? left : p;
			to.bits[2 * y][2 * x + 1] =
			    corner && up == right ? right : p;
			to.bits[2 * y + 1][2 * x] =
			    corner && left == down ? left : p;
			to.bits[2 * y + 1][2 * x + 1] =
			    corner && down == right ? right : p;
		}
	*le = to;
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

static void
put_letter(struct raster *ra, int x, int y, enum canvas_font font, char c,
    int first, uint32_t rgb)
{
	struct letter le = { FONT_WIDTH, FONT_HEIGHT, { { false } } };
	int scale = scale_of(font);

	for (int j = 0; j < FONT_HEIGHT; j++)
		for (int i = 0; i < FONT_WIDTH; i++)
			le.bits[j][i] = font_pixel(c, i, j);
	for (int s = 1; s < scale; s *= 2)
		scale2x(&le);
	x -= first * scale;
	y -= FONT_BASE * scale;
	for (int j = 0; j < le.height; j++)
		for (int i = 0; i < le.width; i++)
			if (le.bits[j][i] && x + i >= 0 && y + j >= 0)
				put_pixel(ra, (unsigned int)(x + i),
				    (unsigned int)(y + j), rgb);
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
