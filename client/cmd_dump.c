/*
 * cmd_dump.c - the command `dump`: lists, and the map.
 *
 * People get all of it, page by page, each printed as it comes; with -j or
 * --limit one page is what the method gives.  The map is drawn, in the
 * terminal or into a file.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/dump.h"
#include "client/output.h"

#define PAGE_ENTRIES 5000
#define TEXT_LABEL 16u		/* columns of an address on a terminal */
#define TEXT_ROWS 24u
#define PICTURE_COLUMNS 256u
#define PICTURE_ROWS 64u

/* ---- lists -------------------------------------------------------------- */

static const char *const segment_columns[] = { "addr", "size", "type", "state",
	"uid", "tag", "keep", "client", NULL };

struct listing {
	bool header;	/* still to be printed */
};

static enum ctl_exit
print_page(void *arg, json_t *entries)
{
	struct listing *li = arg;
	const json_t *first = json_array_get(entries, 0);
	bool ranges = json_object_get(first, "addr") != NULL;

	output_value(entries, ranges ? segment_columns : NULL, li->header);
	if (json_array_size(entries) > 0)
		li->header = false;
	return (CTL_DONE);
}

static enum ctl_exit
list_page(struct ctl *ct, const struct command *cm, struct args *ar)
{
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	const char *method;
	enum ctl_exit code;
	json_t *result, *cursor;
	char *params;

	params = cmd_request(cm, ar, &method);
	code = ctl_call(ct, method, params, &reply);
	if (code == CTL_DONE)
		code = output_result(ct, cm, reply.result);
	if (code == CTL_DONE && !ct->ct_json) {
		result = json_loads(reply.result, 0, NULL);
		cursor = json_object_get(result, "cursor");
		if (json_is_string(cursor))
			ctl_note("dump: there is more: --cursor %s",
			    json_string_value(cursor));
		json_decref(result);
	}
	free(params);
	vmemclient_reply_fini(&reply);
	return (code);
}

static enum ctl_exit
list_all(struct ctl *ct, struct args *ar)
{
	struct listing li = { true };

	(void)json_object_set_new(
	    ar->ar_params, "limit", json_integer(PAGE_ENTRIES));
	return (dump_walk(ct, ar->ar_params, print_page, &li));
}

/* ---- streams ------------------------------------------------------------ */

static void
print_chunk(void *arg, const char *method, const char *params)
{
	struct ctl *ct = arg;
	struct listing li = { true };
	json_t *chunk;

	if (strcmp(method, "chunk") != 0 || params == NULL)
		return;
	if (ct->ct_json) {
		(void)puts(params);
		return;
	}
	chunk = json_loads(params, 0, NULL);
	(void)print_page(&li, json_object_get(chunk, "entries"));
	json_decref(chunk);
}

static enum ctl_exit
stream(struct ctl *ct, const struct command *cm, struct args *ar)
{
	struct vmemclient *vc;
	enum ctl_exit code = ctl_connect(ct, &vc);
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	const char *method;
	char *params;

	if (code != CTL_DONE)
		return (code);
	params = cmd_request(cm, ar, &method);
	vmemclient_set_notify(vc, print_chunk, ct);
	code = ctl_call(ct, method, params, &reply);
	vmemclient_set_notify(vc, NULL, NULL);
	if (code == CTL_DONE)
		code = output_result(ct, cm, reply.result);
	free(params);
	vmemclient_reply_fini(&reply);
	return (code);
}

/* ---- the map ------------------------------------------------------------ */

static const char *
text_of(const json_t *object, const char *name)
{
	return (json_string_value(json_object_get(object, name)));
}

/* Draw into a file beside `path`, and put it there when it is whole. */
static enum ctl_exit
draw_file(struct ctl *ct, const struct map *mp, const char *path, bool png)
{
	char part[4096];
	FILE *f;
	int error = 0;

	if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
		return (ctl_usage(ct, "dump", png ? "png" : "svg",
		    "the path is too long"));
	f = fopen(part, "we");
	if (f == NULL)
		return (ctl_usage(ct, "dump", png ? "png" : "svg", "%s: %s",
		    part, strerror(errno)));
	if (png)
		error = map_draw_png(mp, f);
	else
		map_draw_svg(mp, f);
	if (ferror(f) != 0 && error == 0)
		error = EIO;
	if (fclose(f) != 0 && error == 0)
		error = errno;
	if (error == 0 && rename(part, path) != 0)
		error = errno;
	if (error == 0)
		return (CTL_DONE);
	(void)unlink(part);
	return (ctl_usage(ct, "dump", png ? "png" : "svg", "%s: %s", path,
	    strerror(error)));
}

/* The most columns, a power of two, that fit the terminal. */
static unsigned int
text_columns(void)
{
	unsigned int room = ctl_columns() - TEXT_LABEL, columns = 16;

	while (columns * 2 <= room)
		columns *= 2;
	return (columns);
}

static enum ctl_exit
draw(struct ctl *ct, struct args *ar)
{
	const char *svg = text_of(ar->ar_own, "svg");
	const char *png = text_of(ar->ar_own, "png");
	const char *arena = text_of(ar->ar_params, "arena");
	bool picture = svg != NULL || png != NULL;
	struct map map;
	enum ctl_exit code;

	code = dump_map(ct, arena != NULL ? arena : "heap",
	    json_is_true(json_object_get(ar->ar_own, "whole")),
	    picture ? PICTURE_COLUMNS : text_columns(),
	    picture ? PICTURE_ROWS : TEXT_ROWS, &map);
	if (code != CTL_DONE)
		return (code);
	if (map.mp_size == 0)
		ctl_note("dump: %s has nothing yet: it imports from its source"
		    " as it is used", map.mp_arena);
	if (svg != NULL)
		code = draw_file(ct, &map, svg, false);
	if (png != NULL && code == CTL_DONE)
		code = draw_file(ct, &map, png, true);
	if (!picture)
		map_draw_text(
		    &map, stdout, ctl_color(STDOUT_FILENO), ctl_utf8());
	map_fini(&map);
	return (code);
}

enum ctl_exit
cmd_dump(struct ctl *ct, const struct command *cm, struct args *ar)
{
	const char *what = text_of(ar->ar_params, "what");
	bool map = what != NULL && strcmp(what, "map") == 0;
	bool picture = json_object_get(ar->ar_own, "svg") != NULL ||
	    json_object_get(ar->ar_own, "png") != NULL;

	if (json_object_size(ar->ar_own) > 0 && !map)
		return (ctl_usage(ct, cm->cm_name, "what",
		    "only a map can be drawn: vmemctl dump map"));
	if (map && (picture || !ct->ct_json) &&
	    json_object_get(ar->ar_params, "columns") == NULL)
		return (draw(ct, ar));
	if (json_is_true(json_object_get(ar->ar_params, "stream")))
		return (stream(ct, cm, ar));
	if (what == NULL || strcmp(what, "stats") == 0 || map || ct->ct_json ||
	    json_object_get(ar->ar_params, "limit") != NULL)
		return (list_page(ct, cm, ar));
	return (list_all(ct, ar));
}
