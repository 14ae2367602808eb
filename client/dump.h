/*
 * dump.h - walking a `dump` page by page.
 */
#ifndef CLIENT_DUMP_H
#define CLIENT_DUMP_H

#include <jansson.h>

#include "client/ctl.h"
#include "client/map.h"

/* Called for each page's entries; CTL_DONE to go on. */
typedef enum ctl_exit dump_page(void *arg, json_t *entries);

/*
 * `dump` with these params, from its cursor on if it has one, until there is no
 * more.  `params` is changed: the cursor.
 */
enum ctl_exit dump_walk(
    struct ctl *ct, json_t *params, dump_page *fn, void *arg);

/*
 * Fetch the map of an arena: all of it, or from where its use begins to where
 * it ends.  On success the map is the caller's, for map_fini().
 */
enum ctl_exit dump_map(struct ctl *ct, const char *arena, bool whole,
    unsigned int columns, unsigned int rows, struct map *mp);

#endif /* CLIENT_DUMP_H */
