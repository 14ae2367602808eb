/*
 * cmd.h - running the commands of methods.
 */
#ifndef CLIENT_CMD_H
#define CLIENT_CMD_H

#include "client/args.h"

/* Fill in cm_run, cm_own and cm_example of a method's command. */
void cmd_bind(struct command *cm, const char *method);

/* Parse and run a command line, argv[0] being the command's name. */
enum ctl_exit cmd_run_line(struct ctl *ct, int argc, char *const argv[]);

/* Why a line is no command. */
struct cmd_fault {
	const struct command *cf_command;	/* or NULL */
	struct args_error cf_error;
};

/*
 * Find the command of a line and parse its arguments.  0, and *ar is to be
 * given to args_fini(); EINVAL, and `fault` says why, for cmd_tell().
 */
int cmd_parse(int argc, char *const argv[], const struct command **cmp,
    struct args *ar, struct cmd_fault *fault);
enum ctl_exit cmd_tell(const struct ctl *ct, const struct cmd_fault *fault);

/* Is the command one request, whose result is printed?  Then it can be sent
 * ahead of others' replies: cmd_request() gives the method and its params
 * (the caller's to free; NULL: no memory). */
bool cmd_is_simple(const struct command *cm, const struct args *ar);
char *cmd_request(const struct command *cm, struct args *ar,
    const char **methodp);

/* The commands that aren't: see their files. */
command_run cmd_free, cmd_read, cmd_write, cmd_dump;

#endif /* CLIENT_CMD_H */
