/*
 * base64.c - see base64.h.
 */
#include "config.h"

#include "proto/base64.h"

#include <errno.h>
#include <stdint.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(const void *bytes, size_t len, char *text)
{
	const uint8_t *p = bytes;

	for (; len >= 3; len -= 3, p += 3) {
		*text++ = alphabet[p[0] >> 2];
		*text++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
		*text++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
		*text++ = alphabet[p[2] & 63];
	}
	if (len > 0) {
		unsigned int second = len == 2 ? p[1] : 0;

		*text++ = alphabet[p[0] >> 2];
		*text++ = alphabet[(p[0] & 3u) << 4 | second >> 4];
		*text++ = len == 2 ? alphabet[(second & 15) << 2] : '=';
		*text++ = '=';
	}
	*text = '\0';
}

static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (c - 'A');
	if (c >= 'a' && c <= 'z')
		return (c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (c - '0' + 52);
	return (c == '+' ? 62 : c == '/' ? 63 : -1);
}

int
base64_decode(const char *text, size_t len, void *bytes, size_t *lenp)
{
	uint8_t *out = bytes;
	size_t pad = 0;

	if (len % 4 != 0)
		return (EINVAL);
	if (len > 0 && text[len - 1] == '=')
		pad = text[len - 2] == '=' ? 2 : 1;
	for (size_t i = 0; i < len; i += 4) {
		size_t missing = i + 4 == len ? pad : 0;
		uint32_t word = 0;

		for (size_t j = 0; j < 4; j++) {
			int v = j >= 4 - missing ? 0 : value_of(text[i + j]);

			if (v < 0)
				return (EINVAL);
			word = word << 6 | (uint32_t)v;
		}
		if ((missing == 1 && (word & 0xff) != 0) ||
		    (missing == 2 && (word & 0xffff) != 0))
			return (EINVAL);
		*out++ = (uint8_t)(word >> 16);
		if (missing < 2)
			*out++ = (uint8_t)(word >> 8);
		if (missing < 1)
			*out++ = (uint8_t)word;
	}
	*lenp = (size_t)(out - (uint8_t *)bytes);
	return (0);
}
