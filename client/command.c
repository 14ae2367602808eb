/*
 * command.c - finding commands.
 *
 * The commands for methods are made from the table of methods, so that a row
 * added there is a command, with its help and completion, without a line here.
 * What text a command prints, and how its input is gathered where it isn't
 * just parameters, is bound by name in cmd.c.
 */
#include "config.h"

#include "client/command.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "client/cmd.h"
#include "proto/closest.h"

#define WORD_MAX 64

const struct proto_param command_no_params[] = {
	{ NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }
};

static size_t
own_count(void)
{
	size_t n = 0;

	while (command_own[n] != NULL)
		n++;
	return (n);
}

size_t
command_count(void)
{
	return (proto_method_count + own_count());
}

/* "arena.list" -> "arena list" */
static void
spaced(const char *name, char *buf, size_t size)
{
	char *dot;

	(void)snprintf(buf, size, "%s", name);
	while ((dot = strchr(buf, '.')) != NULL)
		*dot = ' ';
}

const struct command *
command_at(size_t index)
{
	static struct command made[WORD_MAX];
	struct command *cm = &made[index % WORD_MAX];

	if (index >= proto_method_count)
		return (command_own[index - proto_method_count]);
	if (cm->cm_method == NULL) {
		const struct proto_method *pm = &proto_methods[index];

		spaced(pm->pm_name, cm->cm_name, sizeof(cm->cm_name));
		cm->cm_summary = pm->pm_summary;
		cm->cm_params = pm->pm_params;
		cm->cm_own = command_no_params;
		cmd_bind(cm, pm->pm_name);
		cm->cm_method = pm;
	}
	return (cm);
}

const struct command *
command_find(int argc, char *const argv[], int *wordsp)
{
	char first[WORD_MAX], both[2 * WORD_MAX];
	const struct command *found = NULL;

	if (argc < 1)
		return (NULL);
	spaced(argv[0], first, sizeof(first));
	(void)snprintf(both, sizeof(both), "%s %.*s", first, WORD_MAX - 1,
	    argc > 1 ? argv[1] : "");
	for (size_t i = 0; i < command_count(); i++) {
		const struct command *cm = command_at(i);

		if (argc > 1 && strcmp(cm->cm_name, both) == 0) {
			*wordsp = 2;
			return (cm);
		}
		if (strcmp(cm->cm_name, first) == 0)
			found = cm;
	}
	*wordsp = 1;
	return (found);
}

/* ---- guessing ----------------------------------------------------------- */

const char *
command_like(const char *name)
{
	const char *names[2 * WORD_MAX];
	size_t n = 0;

	for (size_t i = 0; i < command_count() && n < 2 * WORD_MAX; i++)
		names[n++] = command_at(i)->cm_name;
	return (closest(name, names, n));
}
