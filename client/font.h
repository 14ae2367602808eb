/*
 * font.h - a small bitmap font, for pictures without a font library.
 */
#ifndef CLIENT_FONT_H
#define CLIENT_FONT_H

#include <stdbool.h>

#define FONT_WIDTH 5
#define FONT_HEIGHT 8		/* 7, and one below the base line */
#define FONT_BASE 7		/* rows above the base line */

/* Is this pixel of a character set?  Anything not ASCII is a box. */
bool font_pixel(char c, int x, int y);

/* The columns that a character needs, from *firstp on; a space needs some. */
int font_extent(char c, int *firstp);

#endif /* CLIENT_FONT_H */
