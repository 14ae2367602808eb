/*
 * run.h - scripts of commands.
 */
#ifndef CLIENT_RUN_H
#define CLIENT_RUN_H

#include "client/command.h"

extern const struct proto_param run_params[];
command_run cmd_run_script;

#endif /* CLIENT_RUN_H */
