/*
 * fetch.h - what the daemon answers, as trees of JSON: for commands that look
 * at it beside their work, as soak and replay do.
 */
#ifndef CLIENT_FETCH_H
#define CLIENT_FETCH_H

#include <jansson.h>
#include <stdint.h>

#include "client/ctl.h"

/* Call, and give the result, which is the caller's; NULL: *codep says why, and
 * it has been told. */
json_t *fetch(struct ctl *ct, const char *method, const char *params,
    enum ctl_exit *codep);

/* The same about an arena, whose name is in JSON; `more` members follow, as in
 * ",\"limit\":1", or none. */
json_t *fetch_arena(struct ctl *ct, const char *method, const char *arena_json,
    const char *more, enum ctl_exit *codep);

/* A number that may be too large for a JSON integer, and a string then. */
uint64_t fetch_u64(const json_t *object, const char *name, uint64_t without);

/*
 * The arena whose span holds whatever `arena`, an arena.info, may ever give:
 * itself, if it took its span when it was made; else what the arena that it
 * imports from has, and so on.  Another reference; NULL: *codep, told.
 */
json_t *fetch_root(struct ctl *ct, json_t *arena, enum ctl_exit *codep);

#endif /* CLIENT_FETCH_H */
