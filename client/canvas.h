/*
 * canvas.h - what a picture is drawn on: rectangles and text, in pixels from
 * the top left.  One layout (map_picture.c) so serves SVG and PNG.
 */
#ifndef CLIENT_CANVAS_H
#define CLIENT_CANVAS_H

#include <stdint.h>

enum canvas_font { FONT_TITLE, FONT_TEXT, FONT_MONO };

struct canvas {
	void (*cv_rect)(struct canvas *cv, unsigned int x, unsigned int y,
	    unsigned int w, unsigned int h, uint32_t rgb);
	/* From (x, y), the left end of its base line; or, `right`, to it. */
	void (*cv_text)(struct canvas *cv, unsigned int x, unsigned int y,
	    enum canvas_font font, int right, uint32_t rgb, const char *text);
};

struct map;

/* The picture's size, and the picture. */
void map_picture_size(
    const struct map *mp, unsigned int *width, unsigned int *height);
void map_picture(const struct map *mp, struct canvas *cv);

/* Width of a text in pixels, in the font that PNG has. */
unsigned int canvas_text_width(enum canvas_font font, const char *text);

#endif /* CLIENT_CANVAS_H */
