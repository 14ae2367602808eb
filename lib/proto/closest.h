/*
 * closest.h - what may have been meant: for names of commands, options, keys.
 */
#ifndef PROTO_CLOSEST_H
#define PROTO_CLOSEST_H

#include <stddef.h>

/* The closest of n words to one mistyped, or NULL. */
const char *closest(const char *word, const char *const words[], size_t n);

#endif /* PROTO_CLOSEST_H */
