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

#define WORD_MAX 64
#define LIKE_MAX 2		/* typing errors that are guessed at */

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

static size_t
least(size_t a, size_t b)
{
	return (a < b ? a : b);
}

/*
 * Edits (a letter more, less, changed, or two swapped) between two words, by
 * rows of the usual matrix: this one, the one before, and the one before that.
 */
static size_t
distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1], la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return (WORD_MAX);
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3], *up = rows[(i - 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			row[j] = least(least(up[j], row[j - 1]) + 1,
			    up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = least(
				    row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return (rows[la % 3][lb]);
}

const char *
closest(const char *word, const char *const words[], size_t n)
{
	size_t best = LIKE_MAX + 1;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, words[i]);

		/* A beginning counts as one edit, whatever is left out. */
		if (strlen(word) >= 2 &&
		    strncmp(word, words[i], strlen(word)) == 0)
			d = least(d, 1);
		/* Of a short word too little would be left. */
		if (d < best && d < strlen(words[i])) {
			best = d;
			found = words[i];
		}
	}
	return (found);
}

const char *
command_like(const char *name)
{
	const char *names[2 * WORD_MAX];
	size_t n = 0;

	for (size_t i = 0; i < command_count() && n < 2 * WORD_MAX; i++)
		names[n++] = command_at(i)->cm_name;
	return (closest(name, names, n));
}
