/*
 * quantity.c - parsing and printing sizes.
 */
#include "config.h"

#include "proto/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char suffixes[] = "KMGTPE";

/* Digits of `base` up to the first that isn't; at least one. */
static int
digits(const char **sp, unsigned int base, uint64_t *valuep)
{
	const char *s = *sp;
	uint64_t value = 0;

	for (; isxdigit((unsigned char)*s); s++) {
		unsigned int d = isdigit((unsigned char)*s) ?
		    (unsigned int)(*s - '0') :
		    (unsigned int)(tolower((unsigned char)*s) - 'a' + 10);

		if (d >= base)
			break;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)d, &value))
			return (ERANGE);
	}
	if (s == *sp)
		return (EINVAL);
	*sp = s;
	*valuep = value;
	return (0);
}

int
quantity_addr(const char *text, uint64_t *valuep)
{
	unsigned int base = 10;
	uint64_t value;
	int error;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	error = digits(&text, base, &value);
	if (error == 0 && *text != '\0')
		error = EINVAL;
	if (error == 0)
		*valuep = value;
	return (error);
}

int
quantity_size(const char *text, uint64_t *valuep)
{
	const char *suffix;
	uint64_t value;
	int error;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return (quantity_addr(text, valuep));
	error = digits(&text, 10, &value);
	if (error != 0)
		return (error);
	if (*text != '\0') {
		suffix = strchr(suffixes, toupper((unsigned char)*text));
		if (suffix == NULL || text[1] != '\0')
			return (EINVAL);
		for (long i = suffix - suffixes; i >= 0; i--)
			if (__builtin_mul_overflow(value, UINT64_C(1024),
				&value))
				return (ERANGE);
	}
	*valuep = value;
	return (0);
}

char *
quantity_format(uint64_t bytes, char *buf, size_t size)
{
	unsigned int unit = 0;
	uint64_t scale = 1;

	while (unit < 6 && bytes / scale >= 1024) {
		scale *= 1024;
		unit++;
	}
	if (unit == 0)
		(void)snprintf(buf, size, "%" PRIu64, bytes);
	else if (bytes % scale == 0)
		(void)snprintf(
		    buf, size, "%" PRIu64 "%c", bytes / scale, suffixes[unit - 1]);
	else
		(void)snprintf(buf, size, "%.1f%c",
		    (double)bytes / (double)scale, suffixes[unit - 1]);
	return (buf);
}
