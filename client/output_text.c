/*
 * output_text.c - results as text.
 *
 * What a shell reads is bare: alloc's addresses, a line each.  Everything else
 * is laid out by its shape, so that a member the daemon adds is seen without a
 * change here.  Bytes are short in tables ("64K") and exact besides in lists.
 */
#include "config.h"

#include "client/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/quantity.h"

#define COLUMNS_MAX 40
#define INDENT 2
#define GUTTER 2		/* between columns */

/* ---- one value ---------------------------------------------------------- */

/* Is a number of that name a number of bytes? */
static bool
is_bytes(const char *key)
{
	static const char *const names[] = { "size", "bytes", "quantum",
		"qcache_max", "largest_free" };
	size_t len = strlen(key);

	if (len > 6 && strcmp(key + len - 6, "_bytes") == 0)
		return (true);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(key, names[i]) == 0)
			return (true);
	return (false);
}

static bool
is_scalar(const json_t *value)
{
	return (!json_is_object(value) && !json_is_array(value));
}

/* A scalar in `buf`; `exact`: "65536 (64K)" rather than "64K". */
static const char *
scalar(const char *key, const json_t *value, bool exact, char *buf, size_t size)
{
	char human[32];

	switch (json_typeof(value)) {
	case JSON_STRING:
		return (json_string_value(value));
	case JSON_INTEGER: {
		json_int_t n = json_integer_value(value);

		(void)snprintf(buf, size, "%" JSON_INTEGER_FORMAT, n);
		if (!is_bytes(key) || n < 1024)
			return (buf);
		(void)quantity_format((uint64_t)n, human, sizeof(human));
		if (exact)
			(void)snprintf(buf, size,
			    "%" JSON_INTEGER_FORMAT " (%s)", n, human);
		else
			(void)snprintf(buf, size, "%s", human);
		return (buf);
	}
	case JSON_REAL:
		(void)snprintf(buf, size, "%.3f", json_real_value(value));
		return (buf);
	case JSON_TRUE:
		return ("yes");
	case JSON_FALSE:
		return ("no");
	case JSON_NULL:
		return ("-");
	default:
		return ("...");
	}
}

/* ---- tables ------------------------------------------------------------- */

/* What stands above a column: its key, but short. */
static const char *
heading(const char *key)
{
	static const struct {
		const char *key, *heading;
	} headings[] = {
		{ "size_bytes", "size" }, { "inuse_bytes", "in use" },
		{ "free_bytes", "free" }, { "largest_free_bytes", "largest" },
		{ "external_fragmentation", "frag" },
		{ "backlog_bytes", "backlog" }, { "qcache_max", "qcache" },
	};

	for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++)
		if (strcmp(headings[i].key, key) == 0)
			return (headings[i].heading);
	return (key);
}

struct table {
	const char *keys[COLUMNS_MAX];
	int widths[COLUMNS_MAX];
	bool right[COLUMNS_MAX];	/* numbers */
	size_t count;
};

static void
add_column(struct table *tb, const char *key)
{
	for (size_t i = 0; i < tb->count; i++)
		if (strcmp(tb->keys[i], key) == 0)
			return;
	if (tb->count < COLUMNS_MAX)
		tb->keys[tb->count++] = key;
}

/* The columns: those asked for that any row has, or all scalars. */
static void
choose_columns(
    struct table *tb, const json_t *rows, const char *const columns[])
{
	size_t i;
	json_t *row, *value;
	const char *key;

	for (; columns != NULL && *columns != NULL; columns++)
		json_array_foreach(rows, i, row)
			if (json_object_get(row, *columns) != NULL)
				add_column(tb, *columns);
	if (tb->count > 0)
		return;
	json_array_foreach(rows, i, row)
		json_object_foreach(row, key, value)
			if (is_scalar(value))
				add_column(tb, key);
}

static void
measure(struct table *tb, const json_t *rows)
{
	char buf[64];
	size_t i;
	json_t *row;

	for (size_t c = 0; c < tb->count; c++) {
		tb->widths[c] = (int)strlen(heading(tb->keys[c]));
		tb->right[c] = true;
		json_array_foreach(rows, i, row) {
			json_t *value = json_object_get(row, tb->keys[c]);
			int len;

			if (value == NULL)
				continue;
			len = (int)strlen(scalar(tb->keys[c], value, false, buf,
			    sizeof(buf)));
			if (len > tb->widths[c])
				tb->widths[c] = len;
			if (!json_is_number(value))
				tb->right[c] = false;
		}
	}
}

/* *gapp: blanks owed to the line, so that none are left at its end. */
static void
put_cell(const struct table *tb, size_t c, const char *text, int *gapp)
{
	int len = (int)strlen(text);
	int blanks = len < tb->widths[c] ? tb->widths[c] - len : 0;

	if (tb->right[c])
		*gapp += blanks;
	if (len > 0) {
		(void)printf("%*s%s", *gapp, "", text);
		*gapp = 0;
	}
	*gapp += tb->right[c] ? GUTTER : blanks + GUTTER;
}

static void
put_row(const struct table *tb, const json_t *row)
{
	char buf[64];
	int gap = 0;

	for (size_t c = 0; c < tb->count; c++) {
		json_t *value = json_object_get(row, tb->keys[c]);

		put_cell(tb, c, row == NULL ? heading(tb->keys[c]) :
		    value == NULL ? "" : scalar(tb->keys[c], value, false, buf,
		    sizeof(buf)), &gap);
	}
	(void)putchar('\n');
}

static void
put_table(const json_t *rows, const char *const columns[], bool header)
{
	struct table tb = { .count = 0 };
	size_t i;
	json_t *row;

	choose_columns(&tb, rows, columns);
	measure(&tb, rows);
	if (header)
		put_row(&tb, NULL);
	json_array_foreach(rows, i, row)
		put_row(&tb, row);
}

/* ---- lists -------------------------------------------------------------- */

static bool
is_table(const json_t *value)
{
	size_t i;
	json_t *item;

	if (!json_is_array(value) || json_array_size(value) == 0)
		return (false);
	json_array_foreach(value, i, item)
		if (!json_is_object(item))
			return (false);
	return (true);
}

static void
put_pair(const char *key, const json_t *value, int width, int indent)
{
	char buf[64];

	(void)printf("%*s%-*s  %s\n", indent, "", width, key,
	    scalar(key, value, true, buf, sizeof(buf)));
}

/* A list of scalars on one line: "rseq, uffd". */
static void
put_words(const char *key, const json_t *list, int width, int indent)
{
	char buf[64];
	size_t i;
	json_t *item;

	(void)printf("%*s%-*s  ", indent, "", width, key);
	json_array_foreach(list, i, item)
		(void)printf("%s%s", i > 0 ? ", " : "", is_scalar(item) ?
		    scalar(key, item, true, buf, sizeof(buf)) : "...");
	(void)puts(json_array_size(list) == 0 ? "-" : "");
}

/* {"alloc": {...}, "free": {...}}: a row each, its name first; nothing of what
 * has a count and never happened. */
static void
put_named(json_t *object, const char *title, const char *const columns[])
{
	json_t *rows = json_array(), *value;
	const char *key;

	json_object_foreach(object, key, value) {
		const json_t *count = json_object_get(value, "count");
		json_t *row;

		if (count != NULL && json_integer_value(count) == 0)
			continue;
		row = json_object();
		(void)json_object_set_new(row, title, json_string(key));
		(void)json_object_update_missing(row, value);
		(void)json_array_append_new(rows, row);
	}
	if (json_array_size(rows) > 0)
		put_table(rows, columns, true);
	json_decref(rows);
}

static void
put_members(json_t *object, int indent)
{
	const char *key;
	json_t *value;
	int width = 0;

	json_object_foreach(object, key, value)
		if (!is_table(value) && !json_is_object(value) &&
		    (int)strlen(key) > width)
			width = (int)strlen(key);
	json_object_foreach(object, key, value)
		if (is_scalar(value))
			put_pair(key, value, width, indent);
		else if (json_is_array(value) && !is_table(value))
			put_words(key, value, width, indent);
	json_object_foreach(object, key, value) {
		if (strcmp(key, "latency") == 0 && json_is_object(value)) {
			(void)putchar('\n');
			put_named(value, key, NULL);
		} else if (json_is_object(value) &&
		    json_object_size(value) > 0) {
			(void)printf("%*s%s:\n", indent, "", key);
			/* Bounded by the parser's depth. */
			put_members(value, indent + INDENT);
		} else if (is_table(value)) {
			(void)printf("%s%s:\n", indent == 0 ? "\n" : "", key);
			put_table(value, NULL, true);
		}
	}
}

void
output_value(json_t *value, const char *const columns[], bool header)
{
	char buf[64];
	size_t i;
	json_t *item;

	if (is_table(value))
		put_table(value, columns, header);
	else if (json_is_object(value))
		put_members(value, 0);
	else if (json_is_array(value))
		json_array_foreach(value, i, item)
			output_value(item, columns, header);
	else
		(void)puts(scalar("", value, true, buf, sizeof(buf)));
}

/* ---- by command --------------------------------------------------------- */

static const char *const arena_columns[] = { "name", "base", "size", "quantum",
	"qcache_max", "source", "policy", "pageable", "shared", NULL };
static const char *const stats_columns[] = { "name", "arena", "size_bytes",
	"inuse_bytes", "free_bytes", "largest_free_bytes",
	"external_fragmentation", "segments", "allocs", "frees", "fails",
	NULL };

static void
print_alloc(json_t *result)
{
	json_t *addr = json_object_get(result, "addr"), *item;
	size_t i;

	if (addr != NULL)
		(void)puts(json_string_value(addr));
	json_array_foreach(json_object_get(result, "addrs"), i, item)
		(void)puts(json_string_value(item));
}

/* "bytes  65536 (64K)" as one line for the commands that count. */
static void
print_line(json_t *result)
{
	const char *key, *sep = "";
	json_t *value;
	char buf[64];

	json_object_foreach(result, key, value) {
		if (!is_scalar(value))
			continue;
		(void)printf("%s%s %s", sep, key,
		    scalar(key, value, true, buf, sizeof(buf)));
		sep = ", ";
	}
	(void)puts(*sep == '\0' ? "done" : "");
}

static void
print_stats(json_t *result)
{
	json_t *arenas = json_object_get(result, "arenas");

	if (json_is_object(arenas)) {
		put_named(arenas, "arena", stats_columns);
		(void)putchar('\n');
		(void)json_object_del(result, "arenas");
	}
	put_members(result, 0);
}

/* A page of `dump`; counters aren't a table. */
static void
print_dump(json_t *result)
{
	json_t *entries = json_object_get(result, "entries");
	const char *what = json_string_value(json_object_get(result, "what"));
	size_t i;
	json_t *item;

	if (entries == NULL)
		put_members(result, 0);
	else if (what != NULL && strcmp(what, "stats") == 0)
		json_array_foreach(entries, i, item)
			put_members(item, 0);
	else
		output_value(entries, NULL, true);
}

static void
print_methods(json_t *result)
{
	static const char *const columns[] = { "name", "summary", "help",
		NULL };

	output_value(result, columns, false);
}

static void
print_arenas(json_t *result)
{
	json_t *list = json_is_array(result) ? result :
	    json_object_get(result, "arenas");

	output_value(list != NULL ? list : result, arena_columns, true);
}

static void
print_clients(json_t *result)
{
	json_t *list = json_is_array(result) ? result :
	    json_object_get(result, "clients");

	output_value(list != NULL ? list : result, NULL, true);
}

static void
print_any(json_t *result)
{
	if (json_is_object(result) && json_object_size(result) == 0)
		return;
	output_value(result, NULL, true);
}

static const struct {
	const char *name;
	void (*print)(json_t *result);
} printers[] = {
	{ "alloc", print_alloc },
	{ "free", print_line },
	{ "touch", print_line },
	{ "write", print_line },
	{ "fill", print_line },
	{ "verify", print_line },
	{ "reap", print_line },
	{ "check", print_line },
	{ "stats", print_stats },
	{ "methods", print_methods },
	{ "arena list", print_arenas },
	{ "clients", print_clients },
	{ "dump", print_dump },
	{ "ping", print_line },
};

void
output_tree(struct ctl *ct, const struct command *cm, json_t *result)
{
	char *text;

	if (ct->ct_json) {
		text = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);
		if (text != NULL)
			(void)puts(text);
		free(text);
		return;
	}
	for (size_t i = 0; i < sizeof(printers) / sizeof(printers[0]); i++)
		if (strcmp(printers[i].name, cm->cm_name) == 0) {
			printers[i].print(result);
			return;
		}
	print_any(result);
}

enum ctl_exit
output_result(struct ctl *ct, const struct command *cm, const char *result)
{
	json_t *tree;

	if (ct->ct_json) {
		(void)puts(result);
		return (CTL_DONE);
	}
	tree = json_loads(result, JSON_DECODE_ANY, NULL);
	if (tree == NULL)
		return (ctl_fail(ct, CTL_UNREACHED, "unreachable",
		    "%s: the result is no JSON that can be shown; see it"
		    " with -j", cm->cm_name));
	output_tree(ct, cm, tree);
	json_decref(tree);
	return (CTL_DONE);
}

bool
output_closed(void)
{
	return (fflush(stdout) != 0 || ferror(stdout) != 0);
}
