/*
 * methods.h - the table of methods (SPEC 3).
 *
 * One row a method: its name, parameters with types and units, privileges and
 * help.  The daemon's parser and dispatcher, the `methods` reply, vmemctl's
 * options, help and completions, and the tables of doc/protocol.md all come
 * from it, so that they can't differ.  Data only: handlers are bound to rows
 * by the daemon, commands by the client.
 */
#ifndef PROTO_METHODS_H
#define PROTO_METHODS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum proto_type {
	PT_STRING,
	PT_BOOL,
	PT_INT,		/* integer within [pp_min, pp_max], may be negative */
	PT_SIZE,	/* bytes: integer, "0x…", "64K"; 0 … 2^64-1 */
	PT_ADDR,	/* an address: integer or "0x…"; 0 … 2^64-1 */
	PT_ADDRS,	/* array of addresses, not empty */
	PT_REAL,	/* number within [pp_min, pp_max] */
	PT_ENUM,	/* one of pp_values, separated by spaces */
	PT_DATA,	/* bytes, in base64 */
	PT_ANY		/* any JSON value: checked by the handler */
};

/* pp_flags */
#define PP_REQUIRED 0x01   /* must be given; positional on the command line */
#define PP_POSITIONAL 0x02 /* may be given as a positional argument */
#define PP_STDIN 0x04	   /* vmemctl takes it from standard input */

struct proto_param {
	const char *pp_name;	/* as in `params`; --name with - for _ */
	enum proto_type pp_type;
	unsigned int pp_flags;
	const char *pp_default;	/* as a user would write it; NULL: none */
	const char *pp_values;	/* PT_ENUM */
	int64_t pp_min, pp_max; /* PT_INT, PT_REAL */
	const char *pp_help;	/* with the unit */
};

/* pm_flags */
#define PM_READS 0x01	/* changes nothing: allowed once `corrupt` */
#define PM_ADMIN 0x02	/* root or the daemon's uid only */
#define PM_WAITS 0x04	/* may answer later, out of order */
#define PM_STREAM 0x08	/* may send `chunk` notifications first */
#define PM_DRAINS 0x10	/* allowed once `corrupt` and while draining */
#define PM_LATER 0x20	/* not_supported in this version */
#define PM_SLICED 0x40	/* may be long: runs in slices */

#define PROTO_PARAMS_MAX 16

struct proto_method {
	const char *pm_name;
	unsigned int pm_flags;
	const char *pm_summary;	/* one line, for lists */
	const char *pm_result;	/* what `result` holds */
	const struct proto_param *pm_params;	/* ends with a NULL name */
};

/*
 * The place of each parameter in its method's row: the table is written with
 * these, and the daemon's handlers read their arguments by them.
 */
enum { ARG_ALL_ARENA };			/* stats, reap, check */
enum { ARG_ONLY_ARENA };			/* record.start, record.stop */
enum { ARG_SET_NAME, ARG_SET_VALUE };
enum { ARG_INFO_ARENA };
enum { ARG_CREATE_NAME, ARG_CREATE_SIZE, ARG_CREATE_SOURCE, ARG_CREATE_BASE,
	ARG_CREATE_QUANTUM, ARG_CREATE_QCACHE_MAX, ARG_CREATE_POLICY,
	ARG_CREATE_PAGEABLE, ARG_CREATE_SHARED };
enum { ARG_DESTROY_ARENA, ARG_DESTROY_FORCE };
enum { ARG_ALLOC_ARENA, ARG_ALLOC_SIZE, ARG_ALLOC_COUNT, ARG_ALLOC_ALIGN,
	ARG_ALLOC_PHASE, ARG_ALLOC_NOCROSS, ARG_ALLOC_MIN, ARG_ALLOC_MAX,
	ARG_ALLOC_AT, ARG_ALLOC_FIT, ARG_ALLOC_SLEEP_MS, ARG_ALLOC_KEEP,
	ARG_ALLOC_TAG, ARG_ALLOC_IDEM };
enum { ARG_FREE_ARENA, ARG_FREE_ADDR, ARG_FREE_ADDRS, ARG_FREE_TAG,
	ARG_FREE_ALL, ARG_FREE_SIZE, ARG_FREE_PARTIAL, ARG_FREE_FORCE };
enum { ARG_TOUCH_ARENA, ARG_TOUCH_ADDR, ARG_TOUCH_LEN, ARG_TOUCH_WRITE };
enum { ARG_ADVISE_ARENA, ARG_ADVISE_ADDR, ARG_ADVISE_LEN, ARG_ADVISE_ADVICE };
enum { ARG_WRITE_ARENA, ARG_WRITE_ADDR, ARG_WRITE_DATA };
enum { ARG_READ_ARENA, ARG_READ_ADDR, ARG_READ_LEN };
enum { ARG_FILL_ARENA, ARG_FILL_ADDR, ARG_FILL_LEN, ARG_FILL_SEED };
enum { ARG_FRAGMENT_ARENA, ARG_FRAGMENT_PATTERN, ARG_FRAGMENT_TARGET,
	ARG_FRAGMENT_BYTES, ARG_FRAGMENT_SIZES, ARG_FRAGMENT_SEED,
	ARG_FRAGMENT_TAG, ARG_FRAGMENT_KEEP };
enum { ARG_DUMP_WHAT, ARG_DUMP_ARENA, ARG_DUMP_LIMIT, ARG_DUMP_CURSOR,
	ARG_DUMP_STREAM, ARG_DUMP_COLUMNS };
enum { ARG_SOAK_JOB, ARG_SOAK_KEEP };
enum { ARG_SOAK_ID };
enum { ARG_CANCEL_ID, ARG_CANCEL_CLIENT };

/* The strategies, in the order of the `fit` and `policy` enumerations. */
#define PROTO_FITS "instant best first next last"

extern const struct proto_method proto_methods[];	/* ends with NULL name */
extern const size_t proto_method_count;

/* The row of that name, or NULL. */
const struct proto_method *proto_method_find(const char *name);
/* The parameter of that name, or NULL; *indexp (if not NULL): its place. */
const struct proto_param *proto_param_find(
    const struct proto_method *pm, const char *name, unsigned int *indexp);
unsigned int proto_param_count(const struct proto_method *pm);

/*
 * Shapes of results that hold more than a few members.  Addresses are "0x…"
 * strings, sizes integers (strings "0x…" above 2^63-1).
 *
 * stats	{"daemon": {…}, "total": {COUNTERS}, "arenas": {NAME: {COUNTERS}}};
 *		with `arena`: {"arena": NAME, COUNTERS}.  COUNTERS are the names
 *		of SPEC 5, "qcache": {hits, misses, fills, drains, held_bytes,
 *		idle_bytes: free in slabs, counted as free, slabs, restarts},
 *		"pager": {…}, "latency": {"alloc": HIST, "free": HIST, "fault":
 *		HIST} and in daemon "latency": {METHOD: HIST}; HIST: {count,
 *		p50_ns, p90_ns, p99_ns, p999_ns, max_ns, buckets: [[index, n]]}
 * arena.list	[as arena.info]
 * arena.info	{"name", "kind": "identifiers" "va" "wired" "pageable", "base",
 *		"size", "quantum", "qcache_max", "source", "policy", "pageable",
 *		"shared", "builtin", "uid", "inuse_bytes", "free_bytes"}
 * methods	[{"name", "summary", "result", "params": SCHEMA, "reads",
 *		"admin", "waits", "streams", "supported"}]
 * clients	[{"client", "uid", "pid", "requests", "bytes", "segments",
 *		"backlog_bytes", "waiting": [ID]}]
 * soak.start	{"id"}; then, each interval of the job, {"method": "progress",
 *		"params": STATUS}, to the connection that started it, the last
 *		with "running": false
 * soak.status	STATUS: {"id", "job", "arena", "seed", "running", "seconds",
 *		"ops", "fails", "violations", "checks", "finding": null or TEXT,
 *		"groups": {NAME: {"ops", "counts", "fails", "live_bytes",
 *		"live_ranges", "kills", "violations", "findings", "event_hash",
 *		"oracles", "latency": {OPERATION: HIST}}}}; progress is without
 *		groups
 * fragment	{"before": STATE, "after": STATE, "allocated", "bytes"}, STATE:
 *		{free_bytes, largest_free, free_segments, external_fragmentation}
 * check	{"violations": 0}
 * dump		{"arena", "what", "entries": […], "cursor": null or STRING}; with
 *		`stream`: {"method": "chunk", "params": {"id", "what",
 *		"entries": […]}}, then {"arena", "what", "count"}.  Entries:
 *   segments	{"addr", "size", "type": "alloc" "cached" "arena"}, and for
 *		alloc also "uid", "client" (null: none), "keep", "tag"
 *   free	{"addr", "size"}
 *   caches	{"size", "hits", "misses", "fills", "drains", "held", "magazine",
 *		"slabs", "slab_free", "depot_waits", "mechanism"}
 *   faults	{"addr", "size", "state"}: runs of pages in one state: "zero"
 *		(never touched), "resident", "dirty", "swapped"
 *   stats	one entry, as stats with that arena
 *   map	no entries: {"arena", "what", "base", "size" (all of the
 *		arena), "start", "end" (what the cells cover: from the lowest
 *		to the highest allocation), "cell_bytes", "cells": [{"used",
 *		"free", "resident"}]}: shares of each cell, 0 to 1
 *   all	{"arena", "what", "stats", "caches", "map"} and the segments and
 *		free segments as entries, in address order
 */

/* Limits of the protocol (SPEC 3). */
#define PROTO_LINE_MAX (64u * 1024)	   /* one request, without its LF */
#define PROTO_BATCH_MAX (1024u * 1024)	   /* a batch, without its LF */
#define PROTO_DEPTH_MAX 32
#define PROTO_COUNT_MAX 65536		   /* `count` of alloc */
#define PROTO_READ_MAX (1024u * 1024)	   /* bytes of one `read` */
#define PROTO_TAG_MAX 128		   /* bytes of a tag */

#endif /* PROTO_METHODS_H */
