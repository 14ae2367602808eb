/*
 * Goal: cells of a map hold what is in their bytes, at any scale and at both
 * ends of the address space; the drawing is the one that people are shown.
 * Method: a small arena drawn in ASCII and compared letter by letter; layouts
 * whose cells and rows are worked out by hand; SVG and PNG by their marks.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/map.h"

static const char golden[] =
    "lab: size 128K, in use 44K (3), free 84K (3), largest free 64K\n"
    "external fragmentation 0.238, caches hold 4K; a cell is 4K, a row 64K\n"
    "\n"
    "       0x10000  ##.....+##......\n"
    "       0x20000  #####c          \n"
    "\n"
    ". free  - up to 1/3 in use  + up to 2/3  * more  # full  c in a cache\n";

static void
demo(struct map *mp)
{
	memset(mp, 0, sizeof(*mp));
	(void)strcpy(mp->mp_arena, "lab");
	mp->mp_quantum = 4096;
	mp->mp_size = 128 * 1024;
	mp->mp_inuse = 44 * 1024;
	mp->mp_free = 84 * 1024;
	mp->mp_largest = 64 * 1024;
	mp->mp_held = 4096;
	mp->mp_ranges = mp->mp_free_ranges = 3;
	mp->mp_fragmentation = 1 - 64.0 / 84;
	assert_int_equal(map_layout(mp, 0x10000, 0x25fff, 16, 8), 0);
	map_add(mp, 0x10000, 0x2000, MAP_RANGE_USED, 1);
	map_add(mp, 0x12000, 0x5000, MAP_RANGE_FREE, 1);
	map_add(mp, 0x17000, 0x800, MAP_RANGE_USED, 1);
	map_add(mp, 0x17800, 0x800, MAP_RANGE_FREE, 1);
	map_add(mp, 0x18000, 0x2000, MAP_RANGE_USED, 1);
	map_add(mp, 0x1a000, 0x6000, MAP_RANGE_FREE, 1);
	map_add(mp, 0x20000, 0x5000, MAP_RANGE_USED, 1);
	map_add(mp, 0x25000, 0x1000, MAP_RANGE_CACHED, 1);
}

static void
test_golden(void **state)
{
	struct map map;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	demo(&map);
	map_draw_text(&map, f, false, false);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text, golden);
	free(text);
	map_fini(&map);
}

static void
test_pictures(void **state)
{
	struct map map;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	demo(&map);
	(void)strcpy(map.mp_arena, "a<b");
	map_draw_svg(&map, f);
	assert_int_equal(fclose(f), 0);
	assert_memory_equal(text, "<svg ", 5);
	assert_non_null(strstr(text, "Arena a&lt;b"));
	assert_non_null(strstr(text, "</svg>\n"));
	free(text);
	f = open_memstream(&text, &len);
	assert_int_equal(map_draw_png(&map, f), 0);
	assert_int_equal(fclose(f), 0);
	assert_true(len > 100);
	assert_memory_equal(text, "\x89PNG\r\n\x1a\n", 8);
	free(text);
	map_fini(&map);
}

static double
total(const struct map *mp, const double *cells)
{
	double sum = 0;

	for (unsigned int i = 0; i < mp->mp_rows * mp->mp_columns; i++)
		sum += cells[i];
	return (sum);
}

static void
test_scales(void **state)
{
	struct map map;

	(void)state;
	/* 1 GiB in at most 4 rows of 64: cells of 4 MiB. */
	memset(&map, 0, sizeof(map));
	map.mp_quantum = 4096;
	assert_int_equal(map_layout(&map, 0, (1u << 30) - 1, 64, 4), 0);
	assert_int_equal(map.mp_cell_shift, 22);
	assert_int_equal(map.mp_rows, 4);
	map_add(&map, 12345, 1u << 29, MAP_RANGE_USED, 0.5);
	assert_true(total(&map, map.mp_there) == (double)(1u << 29));
	assert_true(total(&map, map.mp_used) == (double)(1u << 28));
	map_fini(&map);
	/* All of 2^64, and its last byte. */
	assert_int_equal(map_layout(&map, 0, UINT64_MAX, 64, 24), 0);
	assert_int_equal(map.mp_rows, 16 > map.mp_rows ? map.mp_rows : 16);
	map_add(&map, UINT64_MAX, 1, MAP_RANGE_USED, 1);
	assert_int_equal(
	    map_shade(&map, map.mp_rows - 1, 63), MAP_FULL);
	map_fini(&map);
	/* One address; nothing below the window counts. */
	map.mp_quantum = 1;
	assert_int_equal(map_layout(&map, 100, 100, 16, 4), 0);
	assert_int_equal(map.mp_cell_shift, 0);
	assert_int_equal(map.mp_rows, 1);
	map_add(&map, 0, 96, MAP_RANGE_USED, 1);
	map_add(&map, 100, 1, MAP_RANGE_USED, 1);
	assert_true(total(&map, map.mp_there) == 1);
	assert_int_equal(map_shade(&map, 0, 4), MAP_FULL);
	assert_int_equal(map_shade(&map, 0, 5), MAP_NOTHING);
	map_fini(&map);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_pictures),
		cmocka_unit_test(test_scales),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
