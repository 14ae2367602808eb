/*
 * test_pattern - the fill pattern: any part of what was filled can be checked
 * alone, and nothing else passes for it.
 *
 * Method: a filled image is compared with fills of its parts at every small
 * alignment and length; then single bytes are spoilt and must be named.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "util/pattern.h"
#include "util/rng.h"

#define IMAGE 9000u

static unsigned char image[IMAGE], part[IMAGE];

static void
test_parts_agree_with_the_whole(void **state)
{
	const uint64_t addr = 0x10007003, seed = 7;

	(void)state;
	pattern_fill(image, sizeof(image), addr, seed);
	for (size_t from = 0; from < 20; from++)
		for (size_t len = 0; len < 150; len++) {
			memset(part, 0xee, sizeof(part));
			pattern_fill(part + 8, len, addr + from, seed);
			assert_memory_equal(part + 8, image + from, len);
			assert_int_equal(part[7], 0xee);
			assert_int_equal(part[8 + len], 0xee);
			assert_true(pattern_verify(
			    image + from, len, addr + from, seed, NULL));
		}
}

static void
test_first_bad_byte_is_named(void **state)
{
	struct rng rng;
	const uint64_t rng_seed = 20260101;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)rng_seed);
	rng_init(&rng, rng_seed);
	for (int i = 0; i < 5000; i++) {
		uint64_t addr = rng_next(&rng), seed = rng_next(&rng), bad = 0;
		size_t len = 1 + rng_below(&rng, IMAGE);
		size_t first = rng_below(&rng, len);
		size_t second = first + rng_below(&rng, len - first);

		pattern_fill(image, len, addr, seed);
		image[first] ^= (unsigned char)(1u << rng_below(&rng, 8));
		if (second != first)
			image[second] ^= 0x80;
		assert_false(pattern_verify(image, len, addr, seed, &bad));
		assert_true(bad == addr + first);
	}
}

/* Zeros, another page's bytes and another seed's must all be told apart. */
static void
test_other_bytes_fail(void **state)
{
	uint64_t bad;

	(void)state;
	memset(image, 0, sizeof(image));
	for (uint64_t seed = 0; seed < 100; seed++) {
		assert_false(pattern_verify(image, 4096, 0, seed, &bad));
		assert_true(bad < 8);
	}
	pattern_fill(image, 4096, 0x1000, 1);
	assert_false(pattern_verify(image, 4096, 0x2000, 1, NULL));
	assert_false(pattern_verify(image, 4096, 0x1000, 2, NULL));
	assert_false(pattern_verify(image + 8, 4088, 0x1000, 1, NULL));
}

/* Addresses wrap at 2^64, and the two sides of it agree with one fill. */
static void
test_top_of_the_address_space(void **state)
{
	(void)state;
	pattern_fill(image, 64, UINT64_MAX - 30, 3);
	assert_true(pattern_verify(image, 31, UINT64_MAX - 30, 3, NULL));
	assert_true(pattern_verify(image + 31, 33, 0, 3, NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts_agree_with_the_whole),
		cmocka_unit_test(test_first_bad_byte_is_named),
		cmocka_unit_test(test_other_bytes_fail),
		cmocka_unit_test(test_top_of_the_address_space),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
