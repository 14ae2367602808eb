/*
 * scan.c - see scan.h.
 */
#include "config.h"

#include "client/scan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static const char *
space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return (p);
}

static bool
is_digit(const char *p, const char *end)
{
	return (p < end && *p >= '0' && *p <= '9');
}

static bool
is_hex(char c)
{
	return ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
	    (c >= 'A' && c <= 'F'));
}

/* What follows the escape whose backslash is at `p`; NULL: it isn't one. */
static const char *
escape(const char *p, const char *end)
{
	if (++p == end || *p == '\0' || strchr("\"\\/bfnrtu", *p) == NULL)
		return (NULL);
	if (*p != 'u')
		return (p + 1);
	if (end - p < 5)
		return (NULL);
	for (int i = 1; i <= 4; i++)
		if (!is_hex(p[i]))
			return (NULL);
	return (p + 5);
}

/* Each of these is at its first character, and gives what follows it; NULL and
 * *faultp if it isn't one. */

static const char *
string(const char *p, const char *end, const char **faultp)
{
	const char *next;

	for (p++; p < end && (unsigned char)*p >= 0x20; p = next) {
		if (*p == '"')
			return (p + 1);
		next = *p == '\\' ? escape(p, end) : p + 1;
		if (next == NULL)
			break;
	}
	*faultp = p;
	return (NULL);
}

static const char *
number(const char *p, const char *end, const char **faultp)
{
	if (p < end && *p == '-')
		p++;
	if (!is_digit(p, end))
		goto fault;
	if (*p == '0')
		p++;
	else
		while (is_digit(p, end))
			p++;
	if (p < end && *p == '.') {
		if (!is_digit(++p, end))
			goto fault;
		while (is_digit(p, end))
			p++;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		if (!is_digit(p, end))
			goto fault;
		while (is_digit(p, end))
			p++;
	}
	return (p);
fault:
	*faultp = p;
	return (NULL);
}

static const char *
scalar(const char *p, const char *end, const char **faultp)
{
	static const char *const words[] = { "true", "false", "null" };

	if (p < end && *p == '"')
		return (string(p, end, faultp));
	for (size_t i = 0; i < 3; i++) {
		size_t len = strlen(words[i]);

		if ((size_t)(end - p) >= len && memcmp(p, words[i], len) == 0)
			return (p + len);
	}
	return (number(p, end, faultp));
}

/* "key" : */
static const char *
key(const char *p, const char *end, const char **faultp)
{
	p = space(p, end);
	if (p == end || *p != '"') {
		*faultp = p;
		return (NULL);
	}
	p = string(p, end, faultp);
	if (p == NULL)
		return (NULL);
	p = space(p, end);
	if (p == end || *p != ':') {
		*faultp = p;
		return (NULL);
	}
	return (p + 1);
}

/* Which of the levels around `p` are objects, by a bit each. */
struct nesting {
	unsigned int ne_depth;
	uint64_t ne_objects[SCAN_DEPTH_MAX / 64];
};

static bool
in_object(const struct nesting *ne)
{
	unsigned int level = ne->ne_depth - 1;

	return ((ne->ne_objects[level / 64] >> (level % 64) & 1) != 0);
}

static bool
enter(struct nesting *ne, bool object)
{
	unsigned int level = ne->ne_depth;
	uint64_t bit = UINT64_C(1) << (level % 64);

	if (level == SCAN_DEPTH_MAX)
		return (false);
	if (object)
		ne->ne_objects[level / 64] |= bit;
	else
		ne->ne_objects[level / 64] &= ~bit;
	ne->ne_depth++;
	return (true);
}

/*
 * From behind a value to where the next one begins: over closing brackets, then
 * a comma, and the key if that is in an object; or to the end, at depth 0.
 */
static const char *
advance(const char *p, const char *end, struct nesting *ne, const char **faultp)
{
	while (ne->ne_depth > 0) {
		p = space(p, end);
		*faultp = p;
		if (p == end)
			return (NULL);
		if (*p == ',')
			return (in_object(ne) ? key(p + 1, end, faultp) :
						p + 1);
		if (*p != (in_object(ne) ? '}' : ']'))
			return (NULL);
		ne->ne_depth--;
		p++;
	}
	return (p);
}

const char *
scan_value(const char *p, const char *end, struct span *value,
    const char **faultp)
{
	struct nesting ne;
	const char *start, *fault;

	if (faultp == NULL)
		faultp = &fault;
	ne.ne_depth = 0;
	start = p = space(p, end);
	do {
		bool object;

		p = space(p, end);
		object = p < end && *p == '{';
		if (!object && !(p < end && *p == '[')) {
			p = scalar(p, end, faultp);
		} else if (!enter(&ne, object)) {
			*faultp = p;
			return (NULL);
		} else {
			p = space(p + 1, end);
			if (!(p < end && *p == (object ? '}' : ']'))) {
				if (object)
					p = key(p, end, faultp);
				if (p == NULL)
					return (NULL);
				continue;	/* with its first value */
			}
		}
		if (p == NULL)
			return (NULL);
		p = advance(p, end, &ne, faultp);
		if (p == NULL)
			return (NULL);
	} while (ne.ne_depth > 0);
	if (value != NULL) {
		value->sp_start = start;
		value->sp_end = p;
	}
	return (p);
}

/* Note a member whose name, between the quotes, is one of names[]. */
static void
note(const char *name, size_t len, const struct span *value,
    const char *const names[], struct span values[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			values[i] = *value;
}

int
scan_members(const char *start, const char *end, const char *const names[],
    struct span values[], size_t count)
{
	const char *p = space(start, end), *name, *fault;
	struct span value;

	memset(values, 0, count * sizeof(values[0]));
	if (p == end || *p != '{')
		return (EPROTO);
	p = space(p + 1, end);
	if (p < end && *p == '}')
		return (space(p + 1, end) == end ? 0 : EPROTO);
	for (;;) {
		const char *name_end;

		name = space(p, end);
		if (name == end || *name != '"')
			return (EPROTO);
		name_end = string(name, end, &fault);
		p = name_end == NULL ? NULL : key(name, end, &fault);
		if (p != NULL)
			p = scan_value(p, end, &value, NULL);
		if (p == NULL)
			return (EPROTO);
		note(name + 1, (size_t)(name_end - name) - 2, &value, names,
		    values, count);
		p = space(p, end);
		if (p < end && *p == '}')
			return (space(p + 1, end) == end ? 0 : EPROTO);
		if (p == end || *p != ',')
			return (EPROTO);
		p++;
	}
}

static unsigned int
hex4(const char *p)
{
	unsigned int value = 0;

	for (int i = 0; i < 4; i++) {
		unsigned int c = (unsigned char)p[i];

		value = value * 16 +
		    (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return (value);
}

static char *
put_utf8(char *to, unsigned int c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return (to);
}

/* \uXXXX at its X's, a second one with it if they are a pair; a lone half is
 * written as U+FFFD. */
static const char *
unescape(const char *p, const char *end, char **to)
{
	unsigned int c = hex4(p), low;

	p += 4;
	if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' &&
	    p[1] == 'u') {
		low = hex4(p + 2);
		if (low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			p += 6;
		}
	}
	if (c >= 0xd800 && c < 0xe000)
		c = 0xfffd;
	*to = put_utf8(*to, c);
	return (p);
}

char *
scan_string(const struct span *value, char *to)
{
	static const char from[] = "bfnrt", into[] = "\b\f\n\r\t";
	const char *p = value->sp_start, *end = value->sp_end, *at;

	if (p == NULL || end - p < 2 || *p != '"')
		return (NULL);
	for (p++, end--; p < end;) {
		if (*p != '\\') {
			*to++ = *p++;
		} else if (p[1] == 'u') {
			p = unescape(p + 2, end, &to);
		} else {
			at = strchr(from, p[1]);
			*to++ = at != NULL ? into[at - from] : p[1];
			p += 2;
		}
	}
	*to = '\0';
	return (to);
}
