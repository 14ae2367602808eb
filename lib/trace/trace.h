/*
 * trace.h - allocation traces in memory ("# vmem-trace 1", .vmt and .vmt.xz).
 *
 * A trace is one operation a line: `a ID SIZE [ALIGN]` allocates, `f ID` frees
 * all that is live of an id, `p ID OFFSET SIZE` frees a part; each may end in
 * ` tTHREAD`.  Header lines `# key: value` come first.  trace_load() reads one
 * whole, and takes nothing on trust: an operation on what isn't live, ids out
 * of order, a header whose totals aren't those of the operations are errors
 * that name the file and the line.  Whoever replays what it returns needs no
 * checks: every `p` cuts live bytes and leaves some, every `f` has its `a`.
 */
#ifndef TRACE_TRACE_H
#define TRACE_TRACE_H

#include <stdint.h>

enum trace_kind {
	TRACE_ALLOC,	/* op_size, op_arg: alignment, 0: the allocator's own */
	TRACE_FREE,
	TRACE_PART	/* op_size bytes from op_arg on are freed */
};

struct trace_op {
	uint64_t op_size;
	uint64_t op_arg;
	uint32_t op_id;		/* from 1 */
	uint32_t op_line;	/* of the file */
	uint32_t op_thread;
	enum trace_kind op_kind;
};

/* Counted from the operations; the header agreed wherever it said so. */
struct trace {
	char *tr_name;		/* header `name`, else the file's name */
	char *tr_program;	/* header `program`, else "" */
	uint64_t tr_quantum;	/* of every size; 1 if unsaid */
	struct trace_op *tr_ops;
	uint64_t *tr_times;	/* of each op, ns since the first; or NULL */
	uint32_t tr_nops;
	uint32_t tr_allocs;	/* ids are 1 ... tr_allocs */
	uint32_t tr_frees;
	uint32_t tr_parts;
	uint32_t tr_aligned;
	uint32_t tr_threads;
	uint32_t tr_peak_count;
	uint32_t tr_end_count;
	uint64_t tr_peak_bytes;	/* sizes as asked for, not rounded */
	uint64_t tr_end_bytes;
};

/* te_text is one line for people: "FILE: line N: what is wrong". */
struct trace_error {
	char te_text[512];
	uint32_t te_line;	/* 0: no line is to blame */
};

/*
 * Read a trace.  0; ENOENT and the like of the file; EBADMSG: it is no sound
 * trace; ENOMEM.  `err` is filled in on failure.
 */
int trace_load(const char *path, struct trace **trp, struct trace_error *err);
void trace_free(struct trace *tr);

/*
 * Read the times beside a trace: NAME.times.xz, or NAME.times, for NAME.vmt or
 * NAME.vmt.xz.  One line an operation: ns since the one before.  EBADMSG: more
 * or fewer than the trace has operations, not numbers, a sum above 2^64-1.
 */
int trace_load_times(
    struct trace *tr, const char *trace_path, struct trace_error *err);

#define TRACE_THREADS_MAX (1u << 20)

#endif /* TRACE_TRACE_H */
