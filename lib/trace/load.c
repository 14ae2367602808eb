/*
 * load.c - reading a trace whole, and checking it as it is read.
 *
 * What is live is kept by id: ids run 1, 2, 3, so that arrays will do.
 *
 *	sl_live[id]	live bytes; 0: freed
 *	sl_cut[id]	0, or 1 + the place of its pieces in sl_pieces, for the
 *			ids that a partial free has touched
 *
 * Totals are counted as the operations come, and compared at the end with
 * those header lines that state them; the line of each is remembered for the
 * message.
 */
#include "config.h"

#include "trace/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/lines.h"
#include "trace/pieces.h"
#include "util/assert.h"

#define FIRST_LINE "# vmem-trace 1"
#define FIELDS_MAX 5		/* a ID SIZE ALIGN tN */
#define KEYS_MAX 256		/* header lines */
#define OPS_MAX (UINT32_MAX - 1)

/* The header keys that the operations can contradict. */
enum total {
	T_NOPS, T_ALLOCS, T_FREES, T_PARTS, T_ALIGNED, T_THREADS, T_PEAK_BYTES,
	T_PEAK_COUNT, T_END_BYTES, T_END_COUNT, T_COUNT
};

static const char *const total_keys[T_COUNT] = {
	"nops", "allocs", "frees", "partial_frees", "aligned", "threads",
	"peak_live_bytes", "peak_live_count", "live_at_end_bytes",
	"live_at_end_count"
};

struct loader {
	struct trace *sl_trace;
	struct lines *sl_lines;
	size_t sl_ops_room;
	uint64_t *sl_live;
	uint32_t *sl_cut;
	size_t sl_ids_room;	/* of both */
	struct pieces *sl_pieces;
	uint32_t sl_pieces_count, sl_pieces_room;
	uint64_t sl_live_bytes;
	uint32_t sl_live_count;
	unsigned char sl_threads[TRACE_THREADS_MAX / 8];	/* seen */
	char *sl_keys[KEYS_MAX];
	unsigned int sl_keys_count;
	uint64_t sl_totals[T_COUNT];	/* as the header has them */
	uint32_t sl_totals_line[T_COUNT];	/* 0: it doesn't say */
};

/* ---- small parts -------------------------------------------------------- */

#define bad(sl, ...)                                                         \
	lines_error((sl)->sl_lines, lines_number((sl)->sl_lines), __VA_ARGS__)

static int
no_memory(struct loader *sl)
{
	(void)bad(sl, "out of memory");
	return (ENOMEM);
}

/* Make room for one more of `count` entries in an array. */
static int
grow(void *arrayp, size_t *room, size_t count, size_t size)
{
	void *array, *grown;
	size_t want = *room == 0 ? 1024 : *room * 2;

	if (count < *room)
		return (0);
	memcpy(&array, arrayp, sizeof(array));
	grown = reallocarray(array, want, size);
	if (grown == NULL)
		return (ENOMEM);
	memcpy(arrayp, &grown, sizeof(grown));
	*room = want;
	return (0);
}

/* All of `text` is a decimal number, no sign. */
static bool
number(const char *text, uint64_t *valuep)
{
	uint64_t value = 0;

	if (*text == '\0')
		return (false);
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return (false);
		if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
		    __builtin_add_overflow(
			value, (uint64_t)(*text - '0'), &value))
			return (false);
	}
	*valuep = value;
	return (true);
}

/* Part at single spaces, in place; 0: an empty field or too many. */
static unsigned int
split(char *line, char *fields[FIELDS_MAX])
{
	unsigned int n = 0;
	char *space;

	for (;;) {
		if (n == FIELDS_MAX)
			return (0);
		fields[n++] = line;
		space = strchr(line, ' ');
		if (space == line || *line == '\0')
			return (0);
		if (space == NULL)
			return (n);
		*space = '\0';
		line = space + 1;
	}
}

/* ---- the header --------------------------------------------------------- */

static int
keep_text(char **textp, const char *value)
{
	char *copy = strdup(value);

	if (copy == NULL)
		return (ENOMEM);
	free(*textp);
	*textp = copy;
	return (0);
}

static int
header_value(struct loader *sl, const char *key, const char *value)
{
	struct trace *tr = sl->sl_trace;
	uint64_t n;

	if (strcmp(key, "name") == 0)
		return (keep_text(&tr->tr_name, value) != 0 ?
		    no_memory(sl) : 0);
	if (strcmp(key, "program") == 0)
		return (keep_text(&tr->tr_program, value) != 0 ?
		    no_memory(sl) : 0);
	if (strcmp(key, "quantum") == 0) {
		if (!number(value, &n) || n == 0)
			return (bad(sl, "quantum \"%s\" is not a number above"
			    " 0", value));
		tr->tr_quantum = n;
		return (0);
	}
	if (strcmp(key, "unit") == 0 && strcmp(value, "bytes") != 0)
		return (bad(sl, "unit \"%s\": only bytes are known", value));
	for (unsigned int i = 0; i < T_COUNT; i++) {
		if (strcmp(key, total_keys[i]) != 0)
			continue;
		if (!number(value, &sl->sl_totals[i]))
			return (bad(sl, "%s \"%s\" is not a number", key,
			    value));
		sl->sl_totals_line[i] = lines_number(sl->sl_lines);
	}
	return (0);
}

/* "# key: value"; any other line that begins with # is a comment. */
static int
header_line(struct loader *sl, char *line)
{
	char *colon = strstr(line, ": ");
	char *key = line + 2, *copy;

	if (line[1] != ' ' || colon == NULL || strchr(key, ' ') < colon)
		return (0);
	if (sl->sl_trace->tr_nops > 0)
		return (bad(sl, "a header line after the first operation"));
	*colon = '\0';
	for (unsigned int i = 0; i < sl->sl_keys_count; i++)
		if (strcmp(sl->sl_keys[i], key) == 0)
			return (bad(sl, "a second \"%s\" in the header", key));
	if (sl->sl_keys_count == KEYS_MAX)
		return (bad(sl, "more than %d header lines", KEYS_MAX));
	copy = strdup(key);
	if (copy == NULL)
		return (no_memory(sl));
	sl->sl_keys[sl->sl_keys_count++] = copy;
	return (header_value(sl, key, colon + 2));
}

/* ---- operations --------------------------------------------------------- */

static int
check_alloc(struct loader *sl, const struct trace_op *op)
{
	struct trace *tr = sl->sl_trace;
	size_t room = sl->sl_ids_room;

	if (op->op_id != tr->tr_allocs + 1)
		return (bad(sl, "id %" PRIu32 " is out of order: ids run 1, 2,"
		    " 3, and the next is %" PRIu32, op->op_id,
		    tr->tr_allocs + 1));
	if (op->op_size == 0)
		return (bad(sl, "a size of 0"));
	if (op->op_arg != 0 && (op->op_arg & (op->op_arg - 1)) != 0)
		return (bad(sl, "alignment %" PRIu64 " is not a power of two",
		    op->op_arg));
	if (op->op_size % tr->tr_quantum != 0)
		return (bad(sl, "size %" PRIu64 " is not a multiple of the"
		    " quantum, %" PRIu64, op->op_size, tr->tr_quantum));
	if (__builtin_add_overflow(
		sl->sl_live_bytes, op->op_size, &sl->sl_live_bytes))
		return (bad(sl, "more than 2^64-1 bytes are live"));
	if (grow(&sl->sl_live, &room, op->op_id, sizeof(sl->sl_live[0])) != 0 ||
	    grow(&sl->sl_cut, &sl->sl_ids_room, op->op_id,
		sizeof(sl->sl_cut[0])) != 0)
		return (no_memory(sl));
	sl->sl_live[op->op_id] = op->op_size;
	sl->sl_cut[op->op_id] = 0;
	tr->tr_allocs++;
	if (op->op_arg != 0)
		tr->tr_aligned++;
	sl->sl_live_count++;
	if (sl->sl_live_bytes > tr->tr_peak_bytes)
		tr->tr_peak_bytes = sl->sl_live_bytes;
	if (sl->sl_live_count > tr->tr_peak_count)
		tr->tr_peak_count = sl->sl_live_count;
	return (0);
}

/* `f` and `p` alike name an id that is live. */
static int
check_live(struct loader *sl, const struct trace_op *op)
{
	if (op->op_id == 0 || op->op_id > sl->sl_trace->tr_allocs)
		return (bad(sl, "id %" PRIu32 " was never allocated",
		    op->op_id));
	if (sl->sl_live[op->op_id] == 0)
		return (bad(sl, "id %" PRIu32 " is already freed", op->op_id));
	return (0);
}

static int
check_free(struct loader *sl, const struct trace_op *op)
{
	int error = check_live(sl, op);

	if (error != 0)
		return (error);
	sl->sl_live_bytes -= sl->sl_live[op->op_id];
	sl->sl_live[op->op_id] = 0;
	sl->sl_live_count--;
	sl->sl_trace->tr_frees++;
	if (sl->sl_cut[op->op_id] != 0)
		pieces_fini(&sl->sl_pieces[sl->sl_cut[op->op_id] - 1]);
	return (0);
}

/* The pieces of an id; those of an id not cut before are made: all of it. */
static int
pieces_of(struct loader *sl, uint32_t id, struct pieces **psp)
{
	size_t room = sl->sl_pieces_room;

	if (sl->sl_cut[id] == 0) {
		if (grow(&sl->sl_pieces, &room, sl->sl_pieces_count,
			sizeof(sl->sl_pieces[0])) != 0)
			return (ENOMEM);
		sl->sl_pieces_room = (uint32_t)room;
		if (pieces_init(&sl->sl_pieces[sl->sl_pieces_count],
			sl->sl_live[id]) != 0)
			return (ENOMEM);
		sl->sl_cut[id] = ++sl->sl_pieces_count;
	}
	*psp = &sl->sl_pieces[sl->sl_cut[id] - 1];
	return (0);
}

static int
check_part(struct loader *sl, const struct trace_op *op)
{
	uint64_t quantum = sl->sl_trace->tr_quantum, end;
	struct pieces *ps;
	int error = check_live(sl, op);

	if (error != 0)
		return (error);
	if (op->op_size == 0)
		return (bad(sl, "a size of 0"));
	if (op->op_arg % quantum != 0 || op->op_size % quantum != 0)
		return (bad(sl, "offset %" PRIu64 " or size %" PRIu64 " is not"
		    " a multiple of the quantum, %" PRIu64, op->op_arg,
		    op->op_size, quantum));
	if (pieces_of(sl, op->op_id, &ps) != 0)
		return (no_memory(sl));
	error = __builtin_add_overflow(op->op_arg, op->op_size, &end) ?
	    EINVAL : pieces_cut(ps, op->op_arg, end);
	if (error == ENOMEM)
		return (no_memory(sl));
	if (error != 0)
		return (bad(sl, "frees %" PRIu64 " bytes at offset %" PRIu64
		    " of id %" PRIu32 ", which are not all live in one piece",
		    op->op_size, op->op_arg, op->op_id));
	if (op->op_size == sl->sl_live[op->op_id])
		return (bad(sl, "frees the last of id %" PRIu32
		    ": that is for an f", op->op_id));
	sl->sl_live[op->op_id] -= op->op_size;
	sl->sl_live_bytes -= op->op_size;
	sl->sl_trace->tr_parts++;
	return (0);
}

/* The ` tTHREAD` at the end, if there is one. */
static int
parse_thread(struct loader *sl, char *fields[], unsigned int *np,
    struct trace_op *op)
{
	uint64_t thread = 0;
	unsigned char *byte, bit;

	if (*np > 1 && fields[*np - 1][0] == 't') {
		if (!number(fields[*np - 1] + 1, &thread) ||
		    thread >= TRACE_THREADS_MAX)
			return (bad(sl, "\"%s\" is not a thread (t0 to t%u)",
			    fields[*np - 1], TRACE_THREADS_MAX - 1));
		(*np)--;
	}
	op->op_thread = (uint32_t)thread;
	byte = &sl->sl_threads[thread / 8];
	bit = (unsigned char)(1u << (thread % 8));
	if ((*byte & bit) == 0)
		sl->sl_trace->tr_threads++;
	*byte = (unsigned char)(*byte | bit);
	return (0);
}

static int
parse_numbers(struct loader *sl, char *fields[], unsigned int n,
    struct trace_op *op)
{
	static const char *const names[] = { "id", "size", "alignment" };
	static const char *const names_part[] = { "id", "offset", "size" };
	uint64_t values[3] = { 0, 0, 0 };

	for (unsigned int i = 1; i < n; i++)
		if (!number(fields[i], &values[i - 1]))
			return (bad(sl, "%s \"%s\" is not a number up to"
			    " 2^64-1", op->op_kind == TRACE_PART ?
			    names_part[i - 1] : names[i - 1], fields[i]));
	if (values[0] > OPS_MAX)
		return (bad(sl, "id %" PRIu64 " is too large", values[0]));
	op->op_id = (uint32_t)values[0];
	op->op_size = op->op_kind == TRACE_PART ? values[2] : values[1];
	op->op_arg = op->op_kind == TRACE_PART ? values[1] : values[2];
	return (0);
}

static int
op_line(struct loader *sl, char *line)
{
	struct trace *tr = sl->sl_trace;
	char *fields[FIELDS_MAX];
	struct trace_op *op;
	unsigned int n;
	int error;

	if (tr->tr_nops == OPS_MAX)
		return (bad(sl, "more than %u operations", OPS_MAX));
	if (grow(&tr->tr_ops, &sl->sl_ops_room, tr->tr_nops,
		sizeof(tr->tr_ops[0])) != 0)
		return (no_memory(sl));
	op = &tr->tr_ops[tr->tr_nops];
	op->op_line = lines_number(sl->sl_lines);
	n = split(line, fields);
	if (n == 0)
		return (bad(sl, "empty, or fields not parted by one space"));
	error = parse_thread(sl, fields, &n, op);
	if (error != 0)
		return (error);
	if (strcmp(fields[0], "a") == 0 && (n == 3 || n == 4))
		op->op_kind = TRACE_ALLOC;
	else if (strcmp(fields[0], "f") == 0 && n == 2)
		op->op_kind = TRACE_FREE;
	else if (strcmp(fields[0], "p") == 0 && n == 4)
		op->op_kind = TRACE_PART;
	else
		return (bad(sl, "not an operation: a ID SIZE [ALIGN], f ID or"
		    " p ID OFFSET SIZE"));
	error = parse_numbers(sl, fields, n, op);
	if (error == 0 && op->op_kind == TRACE_ALLOC)
		error = n == 4 && op->op_arg == 0 ?
		    bad(sl, "an alignment of 0") : check_alloc(sl, op);
	else if (error == 0 && op->op_kind == TRACE_FREE)
		error = check_free(sl, op);
	else if (error == 0)
		error = check_part(sl, op);
	if (error == 0)
		tr->tr_nops++;
	return (error);
}

/* ---- the whole ---------------------------------------------------------- */

static int
check_totals(struct loader *sl)
{
	const struct trace *tr = sl->sl_trace;
	const uint64_t counted[T_COUNT] = { tr->tr_nops, tr->tr_allocs,
		tr->tr_frees, tr->tr_parts, tr->tr_aligned, tr->tr_threads,
		tr->tr_peak_bytes, tr->tr_peak_count, tr->tr_end_bytes,
		tr->tr_end_count };

	for (unsigned int i = 0; i < T_COUNT; i++)
		if (sl->sl_totals_line[i] != 0 &&
		    sl->sl_totals[i] != counted[i])
			return (lines_error(sl->sl_lines, sl->sl_totals_line[i],
			    "the header says %s: %" PRIu64 ", the operations"
			    " make it %" PRIu64, total_keys[i],
			    sl->sl_totals[i], counted[i]));
	return (0);
}

static int
load_lines(struct loader *sl)
{
	struct trace *tr = sl->sl_trace;
	size_t len;
	char *line;
	int error;

	for (;;) {
		error = lines_next(sl->sl_lines, &line, &len);
		if (error != 0 || line == NULL)
			break;
		if (lines_number(sl->sl_lines) == 1)
			error = strcmp(line, FIRST_LINE) == 0 ? 0 :
			    bad(sl, "not a trace: it must be \"" FIRST_LINE
				"\"");
		else if (line[0] == '#')
			error = header_line(sl, line);
		else
			error = op_line(sl, line);
		if (error != 0)
			return (error);
	}
	if (error == 0 && lines_number(sl->sl_lines) == 0)
		return (lines_error(sl->sl_lines, 1,
		    "the file is empty: a trace begins with \"" FIRST_LINE
		    "\""));
	tr->tr_end_bytes = sl->sl_live_bytes;
	tr->tr_end_count = sl->sl_live_count;
	return (error != 0 ? error : check_totals(sl));
}

static void
loader_free(struct loader *sl)
{
	if (sl == NULL)
		return;
	for (uint32_t i = 0; i < sl->sl_pieces_count; i++)
		pieces_fini(&sl->sl_pieces[i]);
	for (unsigned int i = 0; i < sl->sl_keys_count; i++)
		free(sl->sl_keys[i]);
	free(sl->sl_pieces);
	free(sl->sl_live);
	free(sl->sl_cut);
	lines_close(sl->sl_lines);
	trace_free(sl->sl_trace);
	free(sl);
}

/* The name of a trace that doesn't say: its file's, without the endings. */
static char *
name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = strdup(slash != NULL ? slash + 1 : path), *dot;

	if (name != NULL && (dot = strstr(name, ".vmt")) != NULL && dot != name)
		*dot = '\0';
	return (name);
}

int
trace_load(const char *path, struct trace **trp, struct trace_error *err)
{
	struct loader *sl = calloc(1, sizeof(*sl));
	int error = ENOMEM;

	if (sl == NULL || (sl->sl_trace = calloc(1, sizeof(struct trace))) ==
	    NULL || (sl->sl_trace->tr_name = name_of(path)) == NULL ||
	    (sl->sl_trace->tr_program = strdup("")) == NULL) {
		(void)snprintf(err->te_text, sizeof(err->te_text),
		    "%s: out of memory", path);
		goto out;
	}
	sl->sl_trace->tr_quantum = 1;
	error = lines_open(path, err, &sl->sl_lines);
	if (error != 0)
		goto out;
	error = load_lines(sl);
	if (error != 0)
		goto out;
	*trp = sl->sl_trace;
	sl->sl_trace = NULL;
out:
	loader_free(sl);
	return (error);
}

void
trace_free(struct trace *tr)
{
	if (tr == NULL)
		return;
	free(tr->tr_name);
	free(tr->tr_program);
	free(tr->tr_ops);
	free(tr->tr_times);
	free(tr);
}

/* ---- times -------------------------------------------------------------- */

/* NAME.vmt[.xz] -> NAME.times.xz if it is there, else NAME.times. */
static char *
times_path(const char *trace_path)
{
	size_t len = strlen(trace_path);
	char *path = malloc(len + sizeof(".times.xz")), *end;

	if (path == NULL)
		return (NULL);
	memcpy(path, trace_path, len + 1);
	end = path + len;
	if (len > 3 && strcmp(end - 3, ".xz") == 0)
		*(end -= 3) = '\0';
	if (end - path > 4 && strcmp(end - 4, ".vmt") == 0)
		*(end -= 4) = '\0';
	memcpy(end, ".times.xz", sizeof(".times.xz"));
	if (access(path, F_OK) != 0) {
		end[sizeof(".times") - 1] = '\0';
		if (access(path, F_OK) != 0)
			end[sizeof(".times") - 1] = '.';
	}
	return (path);
}

static int
load_times(struct trace *tr, struct lines *ln, uint64_t *times)
{
	uint64_t now = 0, delta;
	uint32_t n = 0;
	size_t len;
	char *line;
	int error;

	for (;;) {
		error = lines_next(ln, &line, &len);
		if (error != 0)
			return (error);
		if (line == NULL)
			break;
		if (n == tr->tr_nops)
			return (lines_error(ln, lines_number(ln),
			    "more times than the trace has operations, %"
			    PRIu32, tr->tr_nops));
		if (!number(line, &delta))
			return (lines_error(ln, lines_number(ln),
			    "\"%.40s\" is not a number of nanoseconds", line));
		if (__builtin_add_overflow(now, delta, &now))
			return (lines_error(ln, lines_number(ln),
			    "the times add up to more than 2^64-1 ns"));
		times[n++] = now;
	}
	if (n < tr->tr_nops)
		return (lines_error(ln, lines_number(ln), "ends after %" PRIu32
		    " times; the trace has %" PRIu32 " operations", n,
		    tr->tr_nops));
	return (0);
}

int
trace_load_times(
    struct trace *tr, const char *trace_path, struct trace_error *err)
{
	char *path = times_path(trace_path);
	uint64_t *times = calloc((size_t)tr->tr_nops + 1, sizeof(*times));
	struct lines *ln = NULL;
	int error = ENOMEM;

	if (path == NULL || times == NULL) {
		(void)snprintf(err->te_text, sizeof(err->te_text),
		    "%s: out of memory", trace_path);
		goto out;
	}
	error = lines_open(path, err, &ln);
	if (error == 0)
		error = load_times(tr, ln, times);
	if (error == 0) {
		free(tr->tr_times);
		tr->tr_times = times;
		times = NULL;
	}
out:
	lines_close(ln);
	free(times);
	free(path);
	return (error);
}
