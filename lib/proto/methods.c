/*
 * methods.c - the table of methods: data, and how to look it up.
 */
#include "config.h"

#include "proto/methods.h"

#include <string.h>

#define END { NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }

#define P_ARENA                                                              \
	{ "arena", PT_STRING, 0, "heap", NULL, 0, 0, "arena to act on" }
#define P_ARENA_ALL                                                          \
	{ "arena", PT_STRING, 0, NULL, NULL, 0, 0,                           \
	    "arena to act on (default: every one)" }
#define P_ARENA_NAME(f)                                                      \
	{ "arena", PT_STRING, (f), NULL, NULL, 0, 0, "name of the arena" }
#define P_ADDR_IN                                                            \
	{ "addr", PT_ADDR, PP_REQUIRED, NULL, NULL, 0, 0,                    \
	    "address inside an allocation" }
#define P_LEN_WHOLE                                                          \
	{ "len", PT_SIZE, 0, NULL, NULL, 0, 0,                               \
	    "bytes (default: to the end of the allocation)" }
#define P_SEED                                                               \
	{ "seed", PT_INT, 0, "1", NULL, 0, INT64_MAX, "seed of the pattern" }

static const struct proto_param params_none[] = { END };
static const struct proto_param params_arena_all[] = {
	[ARG_ALL_ARENA] = P_ARENA_ALL,
	END
};
static const struct proto_param params_arena_only[] = {
	[ARG_ONLY_ARENA] = P_ARENA,
	END
};

static const struct proto_param params_set[] = {
	[ARG_SET_NAME] =
	    { "name", PT_STRING, PP_REQUIRED, NULL, NULL, 0, 0,
	    "setting: commit, log_level, quota_bytes, quota_segments, "
		"replacement, direct_map; plant, chaos (fault injection)" },
	[ARG_SET_VALUE] =
	    { "value", PT_ANY, PP_REQUIRED, NULL, NULL, 0, 0, "its new value" },
	END
};

static const struct proto_param params_arena_info[] = {
	[ARG_INFO_ARENA] = P_ARENA_NAME(PP_REQUIRED),
	END
};

static const struct proto_param params_arena_create[] = {
	[ARG_CREATE_NAME] =
	    { "name", PT_STRING, PP_REQUIRED, NULL, NULL, 0, 0,
	    "name of the new arena: 1 to 31 of A-Z a-z 0-9 _ . -" },
	[ARG_CREATE_SIZE] =
	    { "size", PT_SIZE, 0, NULL, NULL, 0, 0,
	    "bytes of its first span (this or source)" },
	[ARG_CREATE_SOURCE] =
	    { "source", PT_STRING, 0, NULL, NULL, 0, 0,
	    "arena to import from" },
	[ARG_CREATE_BASE] =
	    { "base", PT_ADDR, 0, "0", NULL, 0, 0,
	    "first address, without a source" },
	[ARG_CREATE_QUANTUM] =
	    { "quantum", PT_SIZE, 0, "4096", NULL, 0, 0,
	    "smallest unit in bytes, a power of two" },
	[ARG_CREATE_QCACHE_MAX] =
	    { "qcache_max", PT_SIZE, 0, "0", NULL, 0, 0,
	    "largest size in bytes served by quantum caches" },
	[ARG_CREATE_POLICY] =
	    { "policy", PT_ENUM, 0, "instant", PROTO_FITS, 0, 0,
	    "default fit of its allocations" },
	[ARG_CREATE_PAGEABLE] =
	    { "pageable", PT_BOOL, 0, "false", NULL, 0, 0,
	    "register its allocations for faults" },
	[ARG_CREATE_SHARED] =
	    { "shared", PT_BOOL, 0, "false", NULL, 0, 0,
	    "wired, backed by a memory file that clients may map" },
	END
};

static const struct proto_param params_arena_destroy[] = {
	[ARG_DESTROY_ARENA] = P_ARENA_NAME(PP_REQUIRED),
	[ARG_DESTROY_FORCE] =
	    { "force", PT_BOOL, 0, "false", NULL, 0, 0,
	    "free what is allocated and cancel who waits" },
	END
};

static const struct proto_param params_alloc[] = {
	[ARG_ALLOC_ARENA] = P_ARENA,
	[ARG_ALLOC_SIZE] =
	    { "size", PT_SIZE, PP_REQUIRED, NULL, NULL, 0, 0,
	    "bytes, rounded up to the arena's quantum" },
	[ARG_ALLOC_COUNT] =
	    { "count", PT_INT, 0, "1", NULL, 1, PROTO_COUNT_MAX,
	    "ranges of that size: all or nothing" },
	[ARG_ALLOC_ALIGN] =
	    { "align", PT_SIZE, 0, NULL, NULL, 0, 0,
	    "bytes, a power of two: alignment of the address" },
	[ARG_ALLOC_PHASE] =
	    { "phase", PT_SIZE, 0, NULL, NULL, 0, 0,
	    "bytes after a multiple of align" },
	[ARG_ALLOC_NOCROSS] =
	    { "nocross", PT_SIZE, 0, NULL, NULL, 0, 0,
	    "bytes, a power of two: cross no multiple of it" },
	[ARG_ALLOC_MIN] =
	    { "min", PT_ADDR, 0, NULL, NULL, 0, 0,
	    "lowest address, inclusive" },
	[ARG_ALLOC_MAX] =
	    { "max", PT_ADDR, 0, NULL, NULL, 0, 0,
	    "highest address of the last byte, inclusive" },
	[ARG_ALLOC_AT] =
	    { "at", PT_ADDR, 0, NULL, NULL, 0, 0, "exactly this address" },
	[ARG_ALLOC_FIT] =
	    { "fit", PT_ENUM, 0, NULL, PROTO_FITS, 0, 0,
	    "strategy (default: the arena's)" },
	[ARG_ALLOC_SLEEP_MS] =
	    { "sleep_ms", PT_INT, 0, "0", NULL, -1, INT32_MAX,
	    "milliseconds to wait for space; -1: for ever" },
	[ARG_ALLOC_KEEP] =
	    { "keep", PT_BOOL, 0, "false", NULL, 0, 0,
	    "keep it when the connection ends" },
	[ARG_ALLOC_TAG] =
	    { "tag", PT_STRING, 0, NULL, NULL, 0, 0,
	    "label, to free by: 1 to 128 bytes" },
	[ARG_ALLOC_IDEM] =
	    { "idem", PT_STRING, 0, NULL, NULL, 0, 0,
	    "idempotency id (not supported yet)" },
	END
};

static const struct proto_param params_free[] = {
	[ARG_FREE_ARENA] = P_ARENA,
	[ARG_FREE_ADDR] =
	    { "addr", PT_ADDR, PP_POSITIONAL, NULL, NULL, 0, 0,
	    "start of an allocation" },
	[ARG_FREE_ADDRS] =
	    { "addrs", PT_ADDRS, PP_POSITIONAL, NULL, NULL, 0, 0,
	    "starts of allocations: all or nothing" },
	[ARG_FREE_TAG] =
	    { "tag", PT_STRING, 0, NULL, NULL, 0, 0,
	    "all of yours with that tag in the arena" },
	[ARG_FREE_ALL] =
	    { "all", PT_BOOL, 0, "false", NULL, 0, 0,
	    "all of yours in the arena" },
	[ARG_FREE_SIZE] =
	    { "size", PT_SIZE, 0, NULL, NULL, 0, 0,
	    "bytes: must match; with partial, what to give back" },
	[ARG_FREE_PARTIAL] =
	    { "partial", PT_BOOL, 0, "false", NULL, 0, 0,
	    "give back only [addr, addr + size)" },
	[ARG_FREE_FORCE] =
	    { "force", PT_BOOL, 0, "false", NULL, 0, 0,
	    "everyone's, not only yours (root or the daemon's uid)" },
	END
};

static const struct proto_param params_advise[] = {
	[ARG_ADVISE_ARENA] = P_ARENA,
	[ARG_ADVISE_ADDR] = P_ADDR_IN,
	[ARG_ADVISE_LEN] =
	{ "len", PT_SIZE, PP_REQUIRED, NULL, NULL, 0, 0, "bytes" },
	/* In the order of enum vmpager_advice. */
	[ARG_ADVISE_ADVICE] =
	{ "advice", PT_ENUM, PP_REQUIRED, NULL,
	    "prefetch dontneed pin unpin", 0, 0,
	    "bring in; evict; keep resident; no longer" },
	END
};

static const struct proto_param params_touch[] = {
	[ARG_TOUCH_ARENA] = P_ARENA,
	[ARG_TOUCH_ADDR] = P_ADDR_IN,
	[ARG_TOUCH_LEN] = P_LEN_WHOLE,
	[ARG_TOUCH_WRITE] =
	    { "write", PT_BOOL, 0, "false", NULL, 0, 0,
	    "as if written to: the pages become dirty" },
	END
};

static const struct proto_param params_write[] = {
	[ARG_WRITE_ARENA] = P_ARENA,
	[ARG_WRITE_ADDR] = P_ADDR_IN,
	[ARG_WRITE_DATA] =
	    { "data", PT_DATA, PP_REQUIRED | PP_STDIN, NULL, NULL, 0, 0,
	    "bytes to write, in base64" },
	END
};

static const struct proto_param params_read[] = {
	[ARG_READ_ARENA] = P_ARENA,
	[ARG_READ_ADDR] = P_ADDR_IN,
	[ARG_READ_LEN] =
	    { "len", PT_SIZE, PP_REQUIRED, NULL, NULL, 0, 0,
	    "bytes, at most 1M" },
	END
};

static const struct proto_param params_fill[] = {
	[ARG_FILL_ARENA] = P_ARENA,
	[ARG_FILL_ADDR] = P_ADDR_IN,
	[ARG_FILL_LEN] = P_LEN_WHOLE,
	[ARG_FILL_SEED] = P_SEED,
	END
};

static const struct proto_param params_fragment[] = {
	[ARG_FRAGMENT_ARENA] = P_ARENA,
	[ARG_FRAGMENT_PATTERN] =
	    { "pattern", PT_ENUM, 0, "random",
	    "checkerboard random comb aging", 0, 0, "shape of the holes" },
	[ARG_FRAGMENT_TARGET] =
	    { "target", PT_REAL, 0, "0.5", NULL, 0, 1,
	    "external fragmentation wanted, 0 to 1" },
	[ARG_FRAGMENT_BYTES] =
	    { "bytes", PT_SIZE, 0, NULL, NULL, 0, 0,
	    "bytes to work in (default: 1G or 0.9 of what is free)" },
	[ARG_FRAGMENT_SIZES] =
	    { "sizes", PT_STRING, 0, "loguniform:4K-256K", NULL, 0, 0,
	    "fixed:N, uniform:A-B or loguniform:A-B" },
	[ARG_FRAGMENT_SEED] = P_SEED,
	[ARG_FRAGMENT_TAG] =
	    { "tag", PT_STRING, 0, NULL, NULL, 0, 0,
	    "label of what is allocated" },
	[ARG_FRAGMENT_KEEP] =
	    { "keep", PT_BOOL, 0, "false", NULL, 0, 0,
	    "keep it when the connection ends" },
	END
};

static const struct proto_param params_dump[] = {
	[ARG_DUMP_WHAT] =
	    { "what", PT_ENUM, PP_POSITIONAL, "stats",
	    "stats segments free caches faults map all", 0, 0,
	    "what to list" },
	[ARG_DUMP_ARENA] = P_ARENA,
	[ARG_DUMP_LIMIT] =
	    { "limit", PT_INT, 0, "1000", NULL, 1, 100000,
	    "entries of one page" },
	[ARG_DUMP_CURSOR] =
	    { "cursor", PT_STRING, 0, NULL, NULL, 0, 0,
	    "where to go on, from the reply before" },
	[ARG_DUMP_STREAM] =
	    { "stream", PT_BOOL, 0, "false", NULL, 0, 0,
	    "all of it, as chunk notifications" },
	[ARG_DUMP_COLUMNS] =
	    { "columns", PT_INT, 0, "64", NULL, 1, 65536, "cells of a map" },
	END
};

static const struct proto_param params_soak_start[] = {
	[ARG_SOAK_JOB] =
	    { "job", PT_STRING, PP_REQUIRED, NULL, NULL, 0, 0,
	    "text of a job (doc/soak.md): its daemon groups are run" },
	[ARG_SOAK_KEEP] =
	    { "keep", PT_BOOL, 0, "false", NULL, 0, 0,
	    "go on when the connection ends" },
	END
};

static const struct proto_param params_soak_id[] = {
	[ARG_SOAK_ID] =
	    { "id", PT_INT, PP_REQUIRED, NULL, NULL, 0, INT64_MAX,
	    "as soak.start said" },
	END
};

static const struct proto_param params_subscribe[] = {
	{ "events", PT_ANY, 0, NULL, NULL, 0, 0, "kinds of events" },
	P_ARENA,
	{ "min_size", PT_SIZE, 0, "0", NULL, 0, 0, "bytes, at least" },
	END
};

static const struct proto_param params_map[] = {
	P_ARENA_NAME(PP_REQUIRED),
	{ "write", PT_BOOL, 0, "false", NULL, 0, 0, "writable" },
	END
};

static const struct proto_param params_cancel[] = {
	[ARG_CANCEL_ID] =
	    { "id", PT_ANY, PP_REQUIRED, NULL, NULL, 0, 0,
	    "id of the waiting request" },
	[ARG_CANCEL_CLIENT] =
	    { "client", PT_INT, 0, NULL, NULL, 0, INT64_MAX,
	    "connection it is of (default: this one)" },
	END
};

const struct proto_method proto_methods[] = {
	{ "ping", PM_READS | PM_DRAINS, "answer at once", "an empty object",
	    params_none },
	{ "info", PM_READS | PM_DRAINS,
	    "version, limits and features of the daemon",
	    "version, pid, uptime_s, limits, features, uid", params_none },
	{ "methods", PM_READS | PM_DRAINS,
	    "every method with the JSON Schema of its params",
	    "an array of methods", params_none },
	{ "stats", PM_READS | PM_DRAINS, "counters and gauges",
	    "counters of the daemon and of the arenas", params_arena_all },
	{ "set", PM_ADMIN, "change a setting of the running daemon",
	    "name, value", params_set },
	{ "arena.list", PM_READS, "every arena", "an array of arenas",
	    params_none },
	{ "arena.info", PM_READS, "one arena's properties",
	    "name, base, size, quantum, ...", params_arena_info },
	{ "arena.create", 0, "make an arena", "as arena.info",
	    params_arena_create },
	{ "arena.destroy", PM_SLICED, "end an arena", "an empty object",
	    params_arena_destroy },
	{ "alloc", PM_WAITS, "allocate a range, or several",
	    "addr (or addrs) and size", params_alloc },
	{ "free", PM_DRAINS | PM_SLICED, "give ranges back, whole or in part",
	    "freed, bytes", params_free },
	{ "advise", PM_SLICED, "say what is expected of a range",
	    "pages", params_advise },
	{ "touch", PM_SLICED, "run the fault path over a range",
	    "pages, faults, minor, major", params_touch },
	{ "write", 0, "write bytes into an allocation", "bytes",
	    params_write },
	{ "read", PM_READS, "read bytes of an allocation", "data (base64)",
	    params_read },
	{ "fill", PM_SLICED, "write a pattern", "bytes", params_fill },
	{ "verify", PM_READS | PM_SLICED, "check the pattern that fill wrote",
	    "bytes", params_fill },
	{ "fragment", PM_SLICED, "allocate and free until fragmented",
	    "before, after", params_fragment },
	{ "reap", 0, "empty the quantum caches", "bytes", params_arena_all },
	{ "check", PM_READS | PM_SLICED, "verify every invariant",
	    "violations", params_arena_all },
	{ "dump", PM_READS | PM_STREAM | PM_SLICED,
	    "list segments, caches, faults, or the arena's map",
	    "entries and a cursor", params_dump },
	{ "soak.start", PM_ADMIN, "start a soak job inside the daemon", "id",
	    params_soak_start },
	{ "soak.status", PM_READS, "how a soak job goes",
	    "id, running, groups, ...", params_soak_id },
	{ "soak.stop", PM_ADMIN | PM_READS | PM_DRAINS,
	    "end a soak job, and forget it", "as soak.status",
	    params_soak_id },
	{ "record.start", PM_ADMIN,
	    "record an arena as a trace, into the descriptor passed along",
	    "an empty object", params_arena_only },
	{ "record.stop", PM_ADMIN | PM_DRAINS, "end recording", "operations",
	    params_arena_only },
	{ "subscribe", PM_LATER | PM_READS, "send events", "an empty object",
	    params_subscribe },
	{ "unsubscribe", PM_LATER | PM_READS, "send no more events",
	    "an empty object", params_none },
	{ "map", PM_LATER, "hand out a shared arena's memory file",
	    "base, size", params_map },
	{ "cancel", 0, "end a waiting request", "an empty object",
	    params_cancel },
	{ "clients", PM_READS | PM_DRAINS, "the connections",
	    "an array of connections", params_none },
	{ "shutdown", PM_ADMIN | PM_DRAINS, "drain and stop the daemon",
	    "an empty object", params_none },
	{ NULL, 0, NULL, NULL, NULL }
};

const size_t proto_method_count =
    sizeof(proto_methods) / sizeof(proto_methods[0]) - 1;

const struct proto_method *
proto_method_find(const char *name)
{
	const struct proto_method *pm;

	for (pm = proto_methods; pm->pm_name != NULL; pm++)
		if (strcmp(pm->pm_name, name) == 0)
			return (pm);
	return (NULL);
}

const struct proto_param *
proto_param_find(
    const struct proto_method *pm, const char *name, unsigned int *indexp)
{
	const struct proto_param *pp;

	for (pp = pm->pm_params; pp->pp_name != NULL; pp++)
		if (strcmp(pp->pp_name, name) == 0) {
			if (indexp != NULL)
				*indexp = (unsigned int)(pp - pm->pm_params);
			return (pp);
		}
	return (NULL);
}

unsigned int
proto_param_count(const struct proto_method *pm)
{
	unsigned int n = 0;

	while (pm->pm_params[n].pp_name != NULL)
		n++;
	return (n);
}
