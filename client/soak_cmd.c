/*
 * soak_cmd.c - `soak start`, which leaves a job with the daemon; `record start`;
 * and `report`, which makes the page of what a soak has left in a directory.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/job.h"
#include "client/output.h"
#include "client/soak.h"

const struct proto_param report_params[] = {
	{ "dir", PT_STRING, PP_REQUIRED, NULL, NULL, 0, 0,
	    "what soak --out was given" },
	{ NULL, PT_ANY, 0, NULL, NULL, 0, 0, NULL }
};

/* ---- soak start --------------------------------------------------------- */

/* The daemon takes a job's text: it reads no files of ours. */
enum ctl_exit
cmd_soak_start(struct ctl *ct, const struct command *cm, struct args *ar)
{
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	const char *name =
	    json_string_value(json_object_get(ar->ar_params, "job"));
	struct job *job;
	enum ctl_exit code = job_open(ct, cm->cm_name, name, &job);
	const char *method;
	char *text;

	if (code != CTL_DONE)
		return (code);
	text = job_text(job);
	job_free(job);
	(void)json_object_set_new(ar->ar_params, "job",
	    json_string(text != NULL ? text : ""));
	free(text);
	text = cmd_request(cm, ar, &method);
	if (text == NULL)
		return (ctl_fail(ct, CTL_USAGE, "no_memory", "out of memory"));
	code = ctl_call(ct, method, text, &reply);
	if (code == CTL_DONE)
		code = output_result(ct, cm, reply.result);
	free(text);
	vmemclient_reply_fini(&reply);
	return (code);
}

/* ---- record start ------------------------------------------------------- */

enum ctl_exit
soak_record(struct ctl *ct, const char *arena_json, const char *path)
{
	struct vmemclient_reply reply = VMEMCLIENT_REPLY_INIT;
	struct vmemclient *vc;
	enum ctl_exit code = ctl_connect(ct, &vc);
	char params[128];
	int fd, error;

	if (code != CTL_DONE)
		return (code);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return (ctl_fail(ct, CTL_USAGE, "output", "record: %s: %s",
		    path, strerror(errno)));
	(void)snprintf(
	    params, sizeof(params), "{\"arena\":%.100s}", arena_json);
	error = vmemclient_call_fd(
	    vc, "record.start", params, fd, ct->ct_timeout_ms, &reply);
	(void)close(fd);
	if (error != 0)
		code = ctl_broken(ct, "record.start", error);
	else if (reply.code != 0)
		code = ctl_refused(ct, "record.start", &reply);
	vmemclient_reply_fini(&reply);
	return (code);
}

enum ctl_exit
cmd_record_start(struct ctl *ct, const struct command *cm, struct args *ar)
{
	const json_t *arena = json_object_get(ar->ar_params, "arena");
	char *text = arena != NULL ?
	    json_dumps(arena, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) :
	    strdup("\"heap\"");
	enum ctl_exit code;

	(void)cm;
	if (text == NULL)
		return (ctl_fail(ct, CTL_USAGE, "no_memory", "out of memory"));
	code = soak_record(ct, text,
	    json_string_value(json_object_get(ar->ar_own, "file")));
	free(text);
	return (code);
}

/* ---- report ------------------------------------------------------------- */

static enum ctl_exit
read_intervals(const struct ctl *ct, const char *path, json_t *intervals)
{
	unsigned int stride = 1, count = 0;
	FILE *in = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	bool bad = false;

	if (in == NULL)
		return (ctl_fail(ct, CTL_USAGE, "input", "report: %s: %s", path,
		    strerror(errno)));
	while (!bad && getline(&line, &room, in) > 0) {
		json_t *one = json_loads(line, 0, NULL);

		bad = one == NULL;
		if (!bad)
			soak_keep_interval(intervals, &stride, &count, one);
		json_decref(one);
	}
	free(line);
	(void)fclose(in);
	return (bad ? ctl_fail(ct, CTL_USAGE, "input", "report: %s: line %u is"
	    " not JSON", path, count + 1) : CTL_DONE);
}

enum ctl_exit
cmd_report(struct ctl *ct, const struct command *cm, struct args *ar)
{
	const char *dir =
	    json_string_value(json_object_get(ar->ar_own, "dir"));
	json_t *intervals = json_array(), *verdict;
	json_error_t error;
	char path[4096];
	enum ctl_exit code = CTL_DONE;

	(void)cm;
	(void)snprintf(path, sizeof(path), "%s/verdict.json", dir);
	verdict = json_load_file(path, 0, &error);
	if (verdict == NULL)
		code = ctl_fail(ct, CTL_USAGE, "input", "report: %s: %s", path,
		    error.text);
	(void)snprintf(path, sizeof(path), "%s/intervals.ndjson", dir);
	if (code == CTL_DONE)
		code = read_intervals(ct, path, intervals);
	(void)snprintf(path, sizeof(path), "%s/report.html", dir);
	if (code == CTL_DONE && soak_html_write(path, verdict, intervals) != 0)
		code = ctl_fail(ct, CTL_USAGE, "output", "report: %s: %s", path,
		    strerror(errno));
	if (code == CTL_DONE)
		(void)puts(path);
	json_decref(verdict);
	json_decref(intervals);
	return (code);
}
