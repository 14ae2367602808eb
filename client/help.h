/*
 * help.h - help, written from the tables of commands and parameters.
 */
#ifndef CLIENT_HELP_H
#define CLIENT_HELP_H

#include <stdio.h>

#include "client/command.h"

/* Every command, a line each. */
void help_all(FILE *f);

/* One command: usage, what it does, its options. */
void help_command(FILE *f, const struct command *cm);

/* A completion script for bash. */
void help_completion_bash(FILE *f);

#endif /* CLIENT_HELP_H */
