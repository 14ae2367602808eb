/*
 * soak_look.c - what the daemon says about itself and the arena under test.
 */
#include "config.h"

#include "client/soak.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/fetch.h"

/* ---- the arena ---------------------------------------------------------- */

static enum ctl_exit
create_arena(struct soak_run *sr)
{
	const struct job *job = sr->sr_job;
	static const char *const fits[] = { "instant", "best", "first",
		"next", "last" };
	json_t *params = json_object(), *made;
	enum ctl_exit code = CTL_USAGE;
	char *text;

	(void)json_object_set_new(params, "name", json_string(job->jo_arena));
	if (job->jo_arena_size != 0)
		(void)json_object_set_new(params, "size",
		    json_integer((json_int_t)job->jo_arena_size));
	(void)json_object_set_new(params, "quantum",
	    json_integer((json_int_t)job->jo_arena_quantum));
	(void)json_object_set_new(params, "qcache_max",
	    json_integer((json_int_t)job->jo_arena_qcache_max));
	(void)json_object_set_new(
	    params, "policy", json_string(fits[job->jo_arena_policy]));
	if (job->jo_arena_source[0] != '\0')
		(void)json_object_set_new(
		    params, "source", json_string(job->jo_arena_source));
	(void)json_object_set_new(
	    params, "pageable", json_boolean(job->jo_arena_pageable));
	text = json_dumps(params, JSON_COMPACT);
	json_decref(params);
	made = text != NULL ?
	    fetch(sr->sr_ctl, "arena.create", text, &code) : NULL;
	free(text);
	json_decref(made);
	return (code);
}

/* The addresses that the arena may ever hand out. */
static enum ctl_exit
find_world(struct soak_run *sr)
{
	enum ctl_exit code;
	json_t *root = fetch_root(sr->sr_ctl, sr->sr_arena, &code);

	if (root == NULL)
		return (code);
	sr->sr_world.sp_base = fetch_u64(root, "base", 0);
	sr->sr_world.sp_size = fetch_u64(root, "size", 0);
	sr->sr_world.sp_quantum = sr->sr_space.sp_quantum;
	/* Wishes for addresses make sense within a span that stays. */
	if (root == sr->sr_arena) {
		sr->sr_space.sp_base = sr->sr_world.sp_base;
		sr->sr_space.sp_size = sr->sr_world.sp_size;
	}
	json_decref(root);
	return (CTL_DONE);
}

static enum ctl_exit
look_at_arena(struct soak_run *sr)
{
	const struct job *job = sr->sr_job;
	enum ctl_exit code;
	const char *kind;

	sr->sr_arena = fetch_arena(
	    sr->sr_ctl, "arena.info", sr->sr_arena_json, "", &code);
	if (sr->sr_arena == NULL)
		return (code);
	sr->sr_space.sp_quantum = fetch_u64(sr->sr_arena, "quantum", 1);
	kind = json_string_value(json_object_get(sr->sr_arena, "kind"));
	sr->sr_has_memory = kind != NULL && (strcmp(kind, "pageable") == 0 ||
	    strcmp(kind, "wired") == 0);
	if (job->jo_verify == JOB_VERIFY_PATTERN && !sr->sr_has_memory)
		return (ctl_usage(sr->sr_ctl, "soak", "verify", "pattern needs"
		    " an arena with memory, and %s has none; write verify ="
		    " overlap", job->jo_arena));
	code = find_world(sr);
	if (code != CTL_DONE || job->jo_verify == JOB_VERIFY_OFF)
		return (code);
	switch (owners_init(&sr->sr_owners, sr->sr_world.sp_base,
	    sr->sr_world.sp_size, sr->sr_world.sp_quantum)) {
	case 0:
		return (CTL_DONE);
	case EFBIG:
		return (ctl_usage(sr->sr_ctl, "soak", "verify", "%s has too"
		    " many addresses to keep an owner of each; write verify = off",
		    job->jo_arena));
	default:
		return (ctl_fail(sr->sr_ctl, CTL_USAGE, "no_memory",
		    "soak: no memory for the map of owners"));
	}
}

enum ctl_exit
soak_prepare(struct soak_run *sr)
{
	const struct job *job = sr->sr_job;
	enum ctl_exit code = CTL_DONE;

	(void)snprintf(sr->sr_arena_json, sizeof(sr->sr_arena_json), "\"%s\"",
	    job->jo_arena);
	sr->sr_info = fetch(sr->sr_ctl, "info", "{}", &code);
	if (code == CTL_DONE && job_makes_arena(job)) {
		code = create_arena(sr);
		sr->sr_made = code == CTL_DONE;
	}
	if (code == CTL_DONE)
		code = look_at_arena(sr);
	return (code);
}

void
soak_unprepare(struct soak_run *sr)
{
	enum ctl_exit code;

	if (sr->sr_made && sr->sr_broken != CTL_UNREACHED)
		json_decref(fetch_arena(sr->sr_ctl, "arena.destroy",
		    sr->sr_arena_json, ",\"force\":true", &code));
	sr->sr_made = false;
	json_decref(sr->sr_info);
	json_decref(sr->sr_arena);
	owners_fini(&sr->sr_owners);
	sr->sr_info = sr->sr_arena = NULL;
}

enum ctl_exit
soak_sabotage(struct soak_run *sr, bool on)
{
	enum ctl_exit code = CTL_DONE;
	char params[128];

	if (!on && !sr->sr_sabotaged)
		return (CTL_DONE);
	if (sr->sr_plant != NULL) {
		(void)snprintf(params, sizeof(params),
		    "{\"name\":\"plant\",\"value\":\"%s\"}",
		    on ? sr->sr_plant : "none");
		json_decref(fetch(sr->sr_ctl, "set", params, &code));
	}
	if (sr->sr_chaos && code == CTL_DONE) {
		(void)snprintf(params, sizeof(params),
		    "{\"name\":\"chaos\",\"value\":%" PRIu64 "}",
		    on ? sr->sr_job->jo_seed % INT32_MAX + 1 : 0);
		json_decref(fetch(sr->sr_ctl, "set", params, &code));
	}
	sr->sr_sabotaged = on && code == CTL_DONE;
	return (code);
}

/* ---- looks -------------------------------------------------------------- */

enum ctl_exit
soak_settle(struct soak_run *sr)
{
	enum ctl_exit code;

	json_decref(fetch_arena(
	    sr->sr_ctl, "reap", sr->sr_arena_json, "", &code));
	return (code);
}

void
soak_look_fini(struct soak_look *lo)
{
	json_decref(lo->lo_map);
	json_decref(lo->lo_faults);
	lo->lo_map = lo->lo_faults = NULL;
}

enum ctl_exit
soak_look(struct soak_run *sr, struct soak_look *lo, bool map)
{
	enum ctl_exit code;
	json_t *stats = fetch(sr->sr_ctl, "stats", "{}", &code), *one, *daemon;
	char columns[64];

	if (stats == NULL)
		return (code);
	one = json_object_get(
	    json_object_get(stats, "arenas"), sr->sr_job->jo_arena);
	daemon = json_object_get(stats, "daemon");
	lo->lo_inuse = fetch_u64(one, "inuse_bytes", 0);
	lo->lo_free = fetch_u64(one, "free_bytes", 0);
	lo->lo_largest = fetch_u64(one, "largest_free_bytes", 0);
	lo->lo_segments = fetch_u64(one, "segments", 0);
	lo->lo_fragmentation = json_number_value(
	    json_object_get(one, "external_fragmentation"));
	lo->lo_rss = fetch_u64(daemon, "rss_bytes", 0);
	lo->lo_files = fetch_u64(daemon, "open_files", 0);
	lo->lo_tasks = fetch_u64(daemon, "tasks", 0);
	lo->lo_clients = fetch_u64(daemon, "clients", 0);
	json_decref(lo->lo_faults);
	lo->lo_faults = json_incref(json_object_get(daemon, "faults"));
	json_decref(stats);
	if (!map)
		return (CTL_DONE);
	(void)snprintf(columns, sizeof(columns),
	    ",\"what\":\"map\",\"columns\":%d", SOAK_COLUMNS);
	json_decref(lo->lo_map);
	lo->lo_map = fetch_arena(
	    sr->sr_ctl, "dump", sr->sr_arena_json, columns, &code);
	return (code);
}
