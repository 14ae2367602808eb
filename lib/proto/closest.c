/*
 * closest.c - see closest.h.
 */
#include "config.h"

#include "proto/closest.h"

#include <string.h>

#define WORD_MAX 64
#define LIKE_MAX 2		/* typing errors that are guessed at */

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
