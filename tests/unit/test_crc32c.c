/*
 * Goal: CRC-32C is the standard one, by instruction and by tables alike, and
 * the sum of four lanes notices what a CRC notices.
 * Method: published check values (RFC 3720 §B.4), random buffers at every
 * alignment through both, single flipped bits.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <endian.h>
#include <string.h>

#include "util/crc32c.h"
#include "util/rng.h"

#define SEED 3720u

static unsigned char buf[4096];

static void
test_published_values(void **state)
{
	(void)state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
	assert_int_equal(crc32c(0, "", 0), 0);
	memset(buf, 0, 32);
	assert_int_equal(crc32c(0, buf, 32), 0x8a9136aau);
	memset(buf, 0xff, 32);
	assert_int_equal(crc32c(0, buf, 32), 0x62a8ab43u);
	for (unsigned int i = 0; i < 32; i++)
		buf[i] = (unsigned char)i;
	assert_int_equal(crc32c(0, buf, 32), 0x46dd794eu);
}

static void
test_tables_agree_with_instruction(void **state)
{
	struct rng rng;

	(void)state;
	rng_init(&rng, SEED);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (unsigned char)rng_next(&rng);
	for (size_t from = 0; from < 9; from++)
		for (size_t len = 0; len < 100; len++) {
			uint32_t whole = crc32c(7, buf + from, len);
			size_t cut = len / 3;

			assert_int_equal(
			    crc32c_portable(7, buf + from, len), whole);
			assert_int_equal(
			    crc32c(crc32c(7, buf + from, cut),
				buf + from + cut, len - cut),
			    whole);
		}
}

static void
test_lanes(void **state)
{
	unsigned char dealt[4][sizeof(buf) / 4];
	uint32_t crc[4], sum;

	(void)state;
	for (size_t i = 0; i < sizeof(buf); i++)
		dealt[i / 8 % 4][i / 32 * 8 + i % 8] = buf[i];
	for (size_t i = 0; i < 4; i++)
		crc[i] = htole32(
		    crc32c_portable(0, dealt[i], sizeof(dealt[i])));
	sum = crc32c_lanes(buf, sizeof(buf), NULL);
	assert_int_equal(sum, crc32c_portable(0, crc, sizeof(crc)));
	assert_int_equal(sum, crc32c_lanes(buf, sizeof(buf), dealt));
	assert_int_equal(sum, crc32c_lanes_portable(buf, sizeof(buf)));
	for (size_t bit = 0; bit < sizeof(buf) * 8; bit += 7) {
		buf[bit / 8] ^= (unsigned char)(1u << bit % 8);
		assert_int_not_equal(
		    crc32c_lanes(buf, sizeof(buf), NULL), sum);
		buf[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_values),
		cmocka_unit_test(test_tables_agree_with_instruction),
		cmocka_unit_test(test_lanes),
	};

	printf("seed %u\n", SEED);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
