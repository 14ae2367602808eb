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

extern const struct proto_method proto_methods[];	/* ends with NULL name */
extern const size_t proto_method_count;

/* The row of that name, or NULL. */
const struct proto_method *proto_method_find(const char *name);
/* The parameter of that name, or NULL; *indexp (if not NULL): its place. */
const struct proto_param *proto_param_find(
    const struct proto_method *pm, const char *name, unsigned int *indexp);
unsigned int proto_param_count(const struct proto_method *pm);

/* Limits of the protocol (SPEC 3). */
#define PROTO_LINE_MAX (64u * 1024)	   /* one request, without its LF */
#define PROTO_BATCH_MAX (1024u * 1024)	   /* a batch, without its LF */
#define PROTO_DEPTH_MAX 32
#define PROTO_COUNT_MAX 65536		   /* `count` of alloc */
#define PROTO_READ_MAX (1024u * 1024)	   /* bytes of one `read` */
#define PROTO_TAG_MAX 128		   /* bytes of a tag */

#endif /* PROTO_METHODS_H */
