/*
 * jsonw.c - see jsonw.h.
 */
#include "config.h"

#include "daemon/jsonw.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static void
put(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

/* The comma that is due before a key or value. */
static void
separate(struct buf *b)
{
	char last;

	if (b->b_end == b->b_start)
		return;
	last = b->b_data[b->b_end - 1];
	if (last != '{' && last != '[' && last != ':' && last != '\n')
		put(b, ',');
}

void
jw_open(struct buf *b, char bracket)
{
	separate(b);
	put(b, bracket);
}

void
jw_close(struct buf *b, char bracket)
{
	put(b, bracket);
}

void
jw_key(struct buf *b, const char *key)
{
	separate(b);
	put(b, '"');
	buf_append(b, key, strlen(key));
	buf_append(b, "\":", 2);
}

void
jw_raw(struct buf *b, const char *json, size_t len)
{
	separate(b);
	buf_append(b, json, len);
}

void
jw_str(struct buf *b, const char *text)
{
	const char *plain = text;

	if (text == NULL) {
		jw_raw(b, "null", 4);
		return;
	}
	separate(b);
	put(b, '"');
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_append(b, plain, (size_t)(text - plain));
		plain = text + 1;
		if (c < 0x20)
			buf_printf(b, "\\u%04x", c);
		else {
			put(b, '\\');
			put(b, (char)c);
		}
	}
	buf_append(b, plain, (size_t)(text - plain));
	put(b, '"');
}

/* The digits of a value in a base, written backwards into the end of `text`;
 * returns where they begin. */
static char *
digits(char *end, uint64_t value, unsigned int base)
{
	do {
		*--end = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	return (end);
}

void
jw_addr(struct buf *b, uint64_t addr)
{
	char text[24], *end = text + sizeof(text), *p;

	*--end = '"';
	p = digits(end, addr, 16);
	*--p = 'x';
	*--p = '0';
	*--p = '"';
	jw_raw(b, p, (size_t)(end + 1 - p));
}

void
jw_u64(struct buf *b, uint64_t value)
{
	char text[24], *end = text + sizeof(text), *p;

	if (value > INT64_MAX) {
		jw_addr(b, value);
		return;
	}
	p = digits(end, value, 10);
	jw_raw(b, p, (size_t)(end - p));
}

void
jw_i64(struct buf *b, int64_t value)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRId64, value);

	jw_raw(b, text, (size_t)n);
}

void
jw_bool(struct buf *b, bool value)
{
	jw_raw(b, value ? "true" : "false", value ? 4 : 5);
}

/* JSON has no infinities and no NaN; a share of nothing is 0. */
void
jw_real(struct buf *b, double value)
{
	char text[40];
	int n = snprintf(
	    text, sizeof(text), "%.6g", isfinite(value) ? value : 0);

	jw_raw(b, text, (size_t)n);
}

void
jw_kstr(struct buf *b, const char *key, const char *text)
{
	jw_key(b, key);
	jw_str(b, text);
}

void
jw_ku64(struct buf *b, const char *key, uint64_t value)
{
	jw_key(b, key);
	jw_u64(b, value);
}

void
jw_kaddr(struct buf *b, const char *key, uint64_t addr)
{
	jw_key(b, key);
	jw_addr(b, addr);
}

void
jw_kbool(struct buf *b, const char *key, bool value)
{
	jw_key(b, key);
	jw_bool(b, value);
}

void
jw_kreal(struct buf *b, const char *key, double value)
{
	jw_key(b, key);
	jw_real(b, value);
}

void
jw_kopen(struct buf *b, const char *key, char bracket)
{
	jw_key(b, key);
	jw_open(b, bracket);
}
