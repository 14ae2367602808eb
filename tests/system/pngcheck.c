/*
 * pngcheck.c - decodes a PNG wholly, and says how large it is: 0 if it could
 * and the picture isn't all of one colour.
 */
#include "config.h"

#include <err.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
main(int argc, char **argv)
{
	png_image image = { .version = PNG_IMAGE_VERSION };
	png_bytep pixels;
	size_t count;

	if (argc != 2)
		errx(2, "usage: pngcheck FILE");
	if (!png_image_begin_read_from_file(&image, argv[1]))
		errx(1, "%s: %s", argv[1], image.message);
	image.format = PNG_FORMAT_RGBA;
	if ((pixels = malloc(PNG_IMAGE_SIZE(image))) == NULL)
		err(1, "malloc");
	if (!png_image_finish_read(&image, NULL, pixels, 0, NULL))
		errx(1, "%s: %s", argv[1], image.message);
	count = (size_t)image.width * image.height;
	(void)printf("%u x %u\n", image.width, image.height);
	for (size_t i = 1; i < count; i++)
		if (memcmp(pixels, pixels + 4 * i, 4) != 0) {
			free(pixels);
			return (0);
		}
	errx(1, "%s: all of one colour", argv[1]);
}
