/*
 * shadow.h - a second opinion on what is allocated.
 *
 * The daemon's word isn't taken for it: a replay keeps its own map of the
 * ranges it was given, over all its connections, and an address handed out
 * twice is an overlap here.  A range is entered when its reply has come, and
 * taken out before its free is sent, so that between the two no range of
 * another connection may touch it, whatever the order in which the daemon
 * answers.
 *
 * Any number of threads.  Ranges are [start, last], inclusive, for the one
 * that ends at 2^64-1.
 */
#ifndef CLIENT_SHADOW_H
#define CLIENT_SHADOW_H

#include <stddef.h>
#include <stdint.h>

struct shadow;

int shadow_create(struct shadow **shp);	/* ENOMEM */
void shadow_destroy(struct shadow *sh);	/* NULL is ignored */

/* A range that is held: by whom is the caller's to know. */
struct shadow_range {
	uint64_t sr_start, sr_last;
	uint32_t sr_owner;
};

/* Enter a range.  EEXIST: it overlaps one, *conflict; it isn't entered. */
int shadow_insert(struct shadow *sh, const struct shadow_range *range,
    struct shadow_range *conflict);

/*
 * Take out [start, last], all of which one range holds; what is left of that
 * stays.  ENOENT: no range holds all of it.
 */
int shadow_remove(struct shadow *sh, uint64_t start, uint64_t last);

/* Ranges held. */
size_t shadow_count(struct shadow *sh);

#endif /* CLIENT_SHADOW_H */
