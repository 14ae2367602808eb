/*
 * dump.c - see dump.h.
 *
 * A map is made of the lists of segments: exact, at any scale.  An arena of
 * more segments than are worth fetching (SEGMENTS_MAX) is drawn from the
 * daemon's own map, whose cells are finer than any drawing's.
 */
#include "config.h"

#include "client/dump.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/output.h"

#define PAGES_MAX 1000000u	/* a cursor that never ends is broken */
#define PAGE_ENTRIES 20000
#define SEGMENTS_MAX 200000u
#define CELLS 65536

/* ---- pages -------------------------------------------------------------- */

static enum ctl_exit
fetch(struct ctl *ct, const char *method, const json_t *params, json_t **treep)
{
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	char *text = json_dumps(params, JSON_COMPACT);
	enum ctl_exit code;

	code = text == NULL ? ctl_broken(ct, method, ENOMEM) :
	    ctl_call(ct, method, text, &reply);
	free(text);
	if (code == CTL_DONE) {
		*treep = json_loads(reply.result, JSON_DECODE_ANY, NULL);
		if (*treep == NULL)
			code = ctl_broken(ct, method, EPROTO);
	}
	vmemclient_reply_fini(&reply);
	return (code);
}

enum ctl_exit
dump_walk(struct ctl *ct, json_t *params, dump_page *fn, void *arg)
{
	enum ctl_exit code;
	bool more = true;

	for (unsigned int page = 0; more; page++) {
		json_t *result, *cursor, *entries;

		if (page == PAGES_MAX)
			return (ctl_broken(ct, "dump", EPROTO));
		code = fetch(ct, "dump", params, &result);
		if (code != CTL_DONE)
			return (code);
		entries = json_object_get(result, "entries");
		cursor = json_object_get(result, "cursor");
		code = json_is_array(entries) ? fn(arg, entries) :
		    ctl_broken(ct, "dump", EPROTO);
		more = code == CTL_DONE && json_is_string(cursor) &&
		    !output_closed();
		if (more)
			(void)json_object_set(params, "cursor", cursor);
		json_decref(result);
		if (code != CTL_DONE)
			return (code);
	}
	return (CTL_DONE);
}

/* ---- ranges ------------------------------------------------------------- */

struct range {
	uint64_t addr, size;
	enum map_kind kind;
	double share;		/* of it that is of that kind */
};

struct ranges {
	struct ctl *ctl;
	struct range *list;
	size_t count, room;
};

/* A number, or a string if it is an address or too large for JSON. */
static uint64_t
u64_of(const json_t *value)
{
	if (json_is_string(value))
		return (strtoull(json_string_value(value), NULL, 0));
	return ((uint64_t)json_integer_value(value));
}

static int
add_range(struct ranges *ra, uint64_t addr, uint64_t size, enum map_kind kind,
    double share)
{
	size_t room = ra->room == 0 ? 1024 : 2 * ra->room;
	struct range *grown;

	if (size == 0)
		return (0);
	if (ra->count == ra->room) {
		grown = reallocarray(ra->list, room, sizeof(*grown));
		if (grown == NULL)
			return (ENOMEM);
		ra->list = grown;
		ra->room = room;
	}
	ra->list[ra->count++] = (struct range) { addr, size, kind, share };
	return (0);
}

static enum map_kind
kind_of(const json_t *entry)
{
	const json_t *type = json_object_get(entry, "type");

	/* The list of free ranges gives no types. */
	if (type == NULL || strcmp(json_string_value(type), "free") == 0)
		return (MAP_RANGE_FREE);
	return (strcmp(json_string_value(type), "cached") == 0 ?
	    MAP_RANGE_CACHED : MAP_RANGE_USED);
}

static enum ctl_exit
take_segments(void *arg, json_t *entries)
{
	struct ranges *ra = arg;
	json_t *entry;
	size_t i;

	json_array_foreach(entries, i, entry) {
		if (add_range(ra, u64_of(json_object_get(entry, "addr")),
			u64_of(json_object_get(entry, "size")),
			kind_of(entry), 1) != 0)
			return (ctl_broken(ra->ctl, "dump", ENOMEM));
	}
	return (CTL_DONE);
}

static enum ctl_exit
fetch_list(struct ctl *ct, const char *arena, const char *what,
    struct ranges *ra)
{
	json_t *params = json_pack("{s:s, s:s, s:i}", "arena", arena, "what",
	    what, "limit", PAGE_ENTRIES);
	enum ctl_exit code = dump_walk(ct, params, take_segments, ra);

	json_decref(params);
	return (code);
}

static enum ctl_exit
fetch_segments(struct ctl *ct, const char *arena, struct ranges *ra)
{
	enum ctl_exit code = fetch_list(ct, arena, "segments", ra);

	return (code != CTL_DONE ? code : fetch_list(ct, arena, "free", ra));
}

/* ---- numbers ------------------------------------------------------------ */

static enum ctl_exit
fetch_numbers(struct ctl *ct, const char *arena, struct map *mp)
{
	json_t *params = json_pack("{s:s}", "arena", arena);
	json_t *info = NULL, *as = NULL;
	enum ctl_exit code;

	code = fetch(ct, "arena.info", params, &info);
	if (code == CTL_DONE)
		code = fetch(ct, "stats", params, &as);
	if (code == CTL_DONE) {
		(void)snprintf(
		    mp->mp_arena, sizeof(mp->mp_arena), "%s", arena);
		mp->mp_quantum = u64_of(json_object_get(info, "quantum"));
		mp->mp_size = u64_of(json_object_get(as, "size_bytes"));
		mp->mp_inuse = u64_of(json_object_get(as, "inuse_bytes"));
		mp->mp_held = u64_of(json_object_get(
		    json_object_get(as, "qcache"), "held_bytes"));
		mp->mp_free = u64_of(json_object_get(as, "free_bytes"));
		mp->mp_largest =
		    u64_of(json_object_get(as, "largest_free_bytes"));
		mp->mp_ranges = u64_of(json_object_get(as, "segments"));
		mp->mp_free_ranges =
		    u64_of(json_object_get(as, "free_segments"));
		mp->mp_fragmentation = json_number_value(
		    json_object_get(as, "external_fragmentation"));
	}
	json_decref(params);
	json_decref(info);
	json_decref(as);
	return (code);
}

/* ---- the map ------------------------------------------------------------ */

/*
 * The window: everything there is, or from the first to the last address in
 * use; an arena not used at all is drawn whole.
 */
static void
window(const struct ranges *ra, bool whole, uint64_t *firstp, uint64_t *lastp)
{
	uint64_t first = UINT64_MAX, last = 0;

	for (int pass = whole ? 1 : 0; pass < 2 && first > last; pass++)
		for (size_t i = 0; i < ra->count; i++) {
			const struct range *r = &ra->list[i];

			if (pass == 0 && (r->kind == MAP_RANGE_FREE ||
			    r->share == 0))
				continue;
			if (r->addr < first)
				first = r->addr;
			if (r->addr + (r->size - 1) > last)
				last = r->addr + (r->size - 1);
		}
	*firstp = first <= last ? first : 0;
	*lastp = first <= last ? last : 0;
}

/* What lies outside the extent of the daemon's map is the arena's, and free. */
static int
add_margins(struct ranges *ra, const json_t *map, uint64_t start, uint64_t end)
{
	uint64_t base = u64_of(json_object_get(map, "base"));
	uint64_t last = base + (u64_of(json_object_get(map, "size")) - 1);

	if (start > base &&
	    add_range(ra, base, start - base, MAP_RANGE_FREE, 1) != 0)
		return (ENOMEM);
	return (last > end ? add_range(ra, end, last - end + 1,
	    MAP_RANGE_FREE, 1) : 0);
}

static enum ctl_exit
fetch_cells(
    struct ctl *ct, const char *arena, bool whole, struct ranges *ra)
{
	json_t *params = json_pack("{s:s, s:s, s:i}", "arena", arena, "what",
	    "map", "columns", CELLS);
	json_t *map = NULL, *cell;
	enum ctl_exit code = fetch(ct, "dump", params, &map);
	uint64_t addr, bytes, start;
	int error = 0;
	size_t i;

	json_decref(params);
	if (code != CTL_DONE)
		return (code);
	addr = start = u64_of(json_object_get(map, "start"));
	bytes = u64_of(json_object_get(map, "cell_bytes"));
	json_array_foreach(json_object_get(map, "cells"), i, cell) {
		double used =
		    json_number_value(json_object_get(cell, "used"));
		double there = used +
		    json_number_value(json_object_get(cell, "free"));

		error |= add_range(ra, addr, (uint64_t)(there * (double)bytes),
		    MAP_RANGE_USED, used / there);
		addr += bytes;
	}
	if (whole && error == 0)
		error = add_margins(ra, map, start, addr);
	json_decref(map);
	return (error != 0 ? ctl_broken(ct, "dump", ENOMEM) : CTL_DONE);
}

enum ctl_exit
dump_map(struct ctl *ct, const char *arena, bool whole, unsigned int columns,
    unsigned int rows, struct map *mp)
{
	struct ranges ra = { .ctl = ct };
	uint64_t first, last;
	enum ctl_exit code;

	memset(mp, 0, sizeof(*mp));
	code = fetch_numbers(ct, arena, mp);
	if (code == CTL_DONE)
		code = mp->mp_ranges + mp->mp_free_ranges <= SEGMENTS_MAX ?
		    fetch_segments(ct, arena, &ra) :
		    fetch_cells(ct, arena, whole, &ra);
	if (code != CTL_DONE)
		goto out;
	window(&ra, whole, &first, &last);
	if (map_layout(mp, first, last, columns, rows) != 0) {
		code = ctl_broken(ct, "dump", ENOMEM);
		goto out;
	}
	for (size_t i = 0; i < ra.count; i++)
		map_add(mp, ra.list[i].addr, ra.list[i].size, ra.list[i].kind,
		    ra.list[i].share);
out:
	free(ra.list);
	return (code);
}
