/*
 * args.h - command lines against rows of the table of methods.
 *
 * Required parameters are positional in the table's order; every one may also
 * be given as --name VALUE or --name=VALUE, with - for _; booleans are --name
 * and --no-name.  Values are checked for their type and bounds, and become the
 * JSON that the protocol wants: sizes and addresses as integers, or as "0x…"
 * above 2^63-1; what else they mean is the daemon's to judge.
 */
#ifndef CLIENT_ARGS_H
#define CLIENT_ARGS_H

#include <jansson.h>
#include <stdbool.h>

#include "client/command.h"

struct args {
	json_t *ar_params;	/* for the method */
	json_t *ar_own;		/* the command's own options, same shape */
	bool ar_help;		/* --help was among them */
};

/* Why not: ae_field is the parameter to blame, or "". */
struct args_error {
	char ae_field[64];
	char ae_text[512];
};

/*
 * Parse the arguments after the command's name.  0, or EINVAL and `err` says
 * why; ENOMEM.  With --help nothing else is checked.
 */
int args_parse(const struct command *cm, int argc, char *const argv[],
    struct args *ar, struct args_error *err);
void args_fini(struct args *ar);

/* "--sleep-ms" of "sleep_ms", without the dashes; returns buf. */
char *args_option_name(const struct proto_param *pp, char *buf, size_t size);

/* What stands for a value in help: "BYTES", "N", "instant|best|…". */
const char *args_placeholder(const struct proto_param *pp);

#endif /* CLIENT_ARGS_H */
