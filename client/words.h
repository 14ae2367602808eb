/*
 * words.h - a line of a script into words, quoted as in sh(1).
 */
#ifndef CLIENT_WORDS_H
#define CLIENT_WORDS_H

#define WORDS_MAX 4096		/* of a line */

/*
 * Part `line` at white space, in place: 'quotes' keep everything, "quotes" all
 * but \" and \\, a backslash the next character, and # at the start of a word
 * begins a comment.  Nothing else of the shell's is known: no variables, no
 * patterns.  Fills words[] (room for WORDS_MAX + 1; a NULL ends them) and
 * *countp.  NULL, or why not.
 */
const char *words_split(char *line, char *words[], int *countp);

#endif /* CLIENT_WORDS_H */
