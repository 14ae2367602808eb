/*
 * command.h - the commands: one for each method, and vmemctl's own.
 */
#ifndef CLIENT_COMMAND_H
#define CLIENT_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "client/ctl.h"
#include "proto/methods.h"

struct args;
struct command;

typedef enum ctl_exit command_run(
    struct ctl *ct, const struct command *cm, struct args *ar);

struct command {
	char cm_name[32];	/* as typed: "arena list" */
	const char *cm_summary;
	const struct proto_method *cm_method;	/* NULL: vmemctl's own */
	const struct proto_param *cm_params;	/* the method's, or none */
	const struct proto_param *cm_own;	/* options of our own */
	const char *cm_shorts;	/* "k=keep-going": short options of cm_own */
	const char *cm_example;	/* for help, or NULL */
	command_run *cm_run;	/* NULL: comes later */
};

extern const struct proto_param command_no_params[];

/* All, in the order of the help. */
extern const struct command *const command_own[];	/* ends with NULL */
size_t command_count(void);
const struct command *command_at(size_t index);

/*
 * The command that argv begins with, and in *wordsp how many words its name
 * took; NULL if there is none.  A method's name with its dot will do too.
 */
const struct command *command_find(
    int argc, char *const argv[], int *wordsp);

/* The closest name of a command, or NULL if none is close. */
const char *command_like(const char *name);

#endif /* CLIENT_COMMAND_H */
