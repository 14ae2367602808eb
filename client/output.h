/*
 * output.h - results, as text for people and shells, or as JSON.
 */
#ifndef CLIENT_OUTPUT_H
#define CLIENT_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>

#include "client/command.h"

/* The result of a command: as it came with -j, else as text.  CTL_DONE, or
 * CTL_UNREACHED if it isn't JSON. */
enum ctl_exit output_result(
    struct ctl *ct, const struct command *cm, const char *result);

/* The same for a result that is a tree already. */
void output_tree(struct ctl *ct, const struct command *cm, json_t *result);

/*
 * A value as text: an object's members a line each, a list of objects as a
 * table with a column for each member, whatever else as it is.  `columns`
 * chooses and orders a table's columns; NULL: all there are.  With `header`
 * false a table comes without its first line.
 */
void output_value(
    json_t *value, const char *const columns[], bool header);

/* Nothing more needs to be written: the reader has gone. */
bool output_closed(void);

#endif /* CLIENT_OUTPUT_H */
