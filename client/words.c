/*
 * words.c - see words.h.
 */
#include "config.h"

#include "client/words.h"

#include <stddef.h>
#include <string.h>

static const char blank[] = " \t\r\n";

/* One word from *fromp to *top, both moved on.  NULL, or why not. */
static const char *
word(char **fromp, char **top)
{
	char *from = *fromp, *to = *top, quote = '\0';

	for (; *from != '\0'; from++) {
		if (quote == '\0' && strchr(blank, *from) != NULL)
			break;
		if (quote == '\0' && (*from == '\'' || *from == '"')) {
			quote = *from;
		} else if (quote != '\0' && *from == quote) {
			quote = '\0';
		} else if (*from == '\\' && (quote == '\0' ||
		    (quote == '"' && (from[1] == '"' || from[1] == '\\')))) {
			if (*++from == '\0')
				return ("a backslash at the end of the line");
			*to++ = *from;
		} else {
			*to++ = *from;
		}
	}
	if (quote != '\0')
		return (quote == '"' ? "a \" that isn't closed" :
				       "a ' that isn't closed");
	*fromp = from;
	*top = to;
	return (NULL);
}

const char *
words_split(char *line, char *words[], int *countp)
{
	char *from = line, *to;
	const char *why;
	int n = 0;

	for (;;) {
		from += strspn(from, blank);
		if (*from == '\0' || *from == '#')
			break;
		if (n == WORDS_MAX)
			return ("too many words");
		words[n++] = to = from;
		why = word(&from, &to);
		if (why != NULL)
			return (why);
		/* The word may end where what follows it begins. */
		if (*from != '\0')
			from++;
		*to = '\0';
	}
	words[n] = NULL;
	*countp = n;
	return (NULL);
}
