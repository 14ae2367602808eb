/*
 * soak.h - `vmemctl soak JOB`, and what its parts share.
 *
 *	soak.c		the command: what is asked, seed, verdict, exit code
 *	soak_run.c	the run: workers' processes, the daemon's half, kills,
 *			intervals, the end
 *	soak_target.c	a worker's operations, as requests
 *	soak_look.c	looking at the daemon: arena, memory, map
 *	soak_judge.c	thresholds and baselines
 *	soak_report.c	progress, and the report for people
 *	soak_files.c	verdict.json, intervals.ndjson
 *	soak_html.c	report.html, from these two
 *	soak_cmd.c	`soak start`, `record start` and `report`
 *
 * The parent forks a process for each client worker, and keeps in memory that
 * all of them share: the control block, their books, the owners' map, and the
 * queues of groups that free for others.  It is the only one to speak to the
 * terminal and to write files, and it never waits for a worker without looking
 * at the clock.
 */
#ifndef CLIENT_SOAK_H
#define CLIENT_SOAK_H

#include <jansson.h>
#include <sys/types.h>

#include "client/command.h"
#include "client/ctl.h"
#include "job/job.h"
#include "soak/soak.h"
#include "soak/sum.h"

extern const struct proto_param soak_params[], report_params[];
extern const char soak_help[];
command_run cmd_soak, cmd_soak_start, cmd_report, cmd_record_start;

/* ---- inside ------------------------------------------------------------- */

#define SOAK_SCHEMA_VERSION 1
#define SOAK_COLUMNS 64		/* cells of the arena's map */

/* A client worker; in shared memory. */
struct soak_slot {
	pid_t sl_pid;			/* the parent's */
	bool sl_running;		/* the parent's */
	unsigned int sl_group, sl_index, sl_owner;
	uint64_t sl_life;
	struct soak_tally sl_tally;
};

struct soak_shared {
	struct soak_control ss_control;
	struct handover ss_handover[JOB_GROUPS_MAX];	/* by who gives */
	struct soak_slot ss_slots[];
};

/* What the daemon looks like at one moment. */
struct soak_look {
	uint64_t lo_inuse, lo_free, lo_largest, lo_segments;
	double lo_fragmentation;
	uint64_t lo_rss, lo_files, lo_tasks, lo_clients;
	json_t *lo_faults;		/* injected so far, or NULL */
	json_t *lo_map;			/* `dump map`, or NULL: not looked */
};

/* A threshold, or one that always is there, and what was measured. */
struct soak_judgement {
	char sj_name[96];
	enum job_compare sj_compare;
	double sj_limit, sj_value;
	bool sj_held;
	bool sj_measured;		/* false: there was nothing to measure */
	bool sj_excused;		/* not held, by --chaos */
	bool sj_verification;		/* not holding is exit 5, not 3 */
};
#define SOAK_JUDGEMENTS_MAX (JOB_THRESHOLDS_MAX + 8)

struct soak_run {
	/* As asked for. */
	struct ctl *sr_ctl;
	const char *sr_name;		/* of the job, as typed */
	struct job *sr_job;
	char sr_hash[17];
	const char *sr_out;		/* directory, or NULL */
	const char *sr_log;		/* file, or NULL */
	const char *sr_record;		/* file, or NULL */
	const char *sr_plant;		/* or NULL */
	bool sr_chaos;
	bool sr_progress;
	char sr_again[512];		/* the command to run it again */
	/* The daemon. */
	char sr_arena_json[80];		/* "\"heap\"" */
	char sr_tag[32];		/* of ranges that are handed over */
	json_t *sr_info;
	json_t *sr_arena;		/* arena.info */
	struct job_space sr_space;
	struct job_space sr_world;	/* what owners are kept of */
	bool sr_has_memory;
	bool sr_made;			/* the arena is ours */
	uint64_t sr_daemon_job;		/* soak.start's id; 0: none */
	bool sr_daemon_done;
	json_t *sr_daemon_status;	/* what it said last */
	/* The workers. */
	pid_t sr_pid;			/* the parent's */
	struct soak_shared *sr_shared;
	size_t sr_shared_bytes;
	unsigned int sr_workers;	/* client workers: slots */
	unsigned int sr_running;
	struct owners sr_owners;
	struct rng sr_rng;		/* of kills */
	uint64_t sr_kill_due[JOB_GROUPS_MAX];	/* ns; 0: none */
	/* The run. */
	uint64_t sr_start_ns, sr_end_ns;
	uint64_t sr_interval_due, sr_check_due;
	struct soak_sum *sr_sums;	/* by group, as of the last look */
	struct soak_sum sr_total, sr_before;	/* now; an interval ago */
	double sr_before_s;
	uint64_t sr_checks;
	FILE *sr_log_file, *sr_interval_file;
	bool sr_unwritten;		/* one of them has failed, which was told */
	json_t *sr_intervals;		/* those kept for report.html */
	unsigned int sr_interval_stride, sr_interval_count;
	/* Before; at the last interval; after. */
	struct soak_look sr_first, sr_during, sr_last;
	double *sr_rss;			/* bytes, by interval: for growth */
	size_t sr_rss_count, sr_rss_room;
	bool sr_started;
	bool sr_sabotaged;		/* a bug or chaos is on */
	/* The outcome. */
	int sr_interrupted;		/* CTL_SIGINT, CTL_SIGTERM, or 0 */
	enum ctl_exit sr_broken;	/* CTL_DONE, or it couldn't be run */
	char sr_finding[SOAK_FINDING_MAX];	/* the first; "" */
	uint64_t sr_own_violations;	/* found by the parent */
	struct soak_judgement sr_judgements[SOAK_JUDGEMENTS_MAX];
	unsigned int sr_judgement_count;
};

/* The worker's process, from its fork to its end: never returns. */
_Noreturn void soak_worker_main(struct soak_run *sr, struct soak_slot *sl);

/* Run it, from the baseline to the last look.  CTL_DONE: it came to an end,
 * whatever it found; otherwise told. */
enum ctl_exit soak_run(struct soak_run *sr);

/* Have an arena (in JSON) be recorded into a file.  CTL_DONE, or told. */
enum ctl_exit soak_record(struct ctl *ct, const char *arena_json,
    const char *path);

/* Have the daemon plant its bug and inject its faults, or no more. */
enum ctl_exit soak_sabotage(struct soak_run *sr, bool on);

/* Note what the parent found. */
void soak_note_finding(struct soak_run *sr, const char *fmt, ...)
    __attribute__((__format__(__printf__, 2, 3)));

/* ---- looking -------------------------------------------------------------
 * soak_prepare: the arena (made, if it is the job's own) and what is known of
 * it.  soak_look: without `map` it leaves lo_map alone.
 */
enum ctl_exit soak_prepare(struct soak_run *sr);
void soak_unprepare(struct soak_run *sr);
enum ctl_exit soak_look(struct soak_run *sr, struct soak_look *lo, bool map);
void soak_look_fini(struct soak_look *lo);
/* reap, so that what the caches hold doesn't count as in use. */
enum ctl_exit soak_settle(struct soak_run *sr);

/* ---- judging, telling ---------------------------------------------------- */

void soak_judge(struct soak_run *sr);
enum ctl_exit soak_verdict(const struct soak_run *sr);
/* How often a fault ("import", ..., "plant") was injected during the run. */
uint64_t soak_faults(const struct soak_run *sr, const char *name);
/* Growth of resident memory after the warm-up, in percent; NAN: too short. */
double soak_rss_growth(const struct soak_run *sr);

/* One line; `last` ends it.  It is rewritten in place. */
void soak_progress(struct soak_run *sr, bool last);
/* The same, on a line of its own: SIGUSR1. */
void soak_status(struct soak_run *sr);
void soak_report(const struct soak_run *sr, enum ctl_exit code);

/* One interval: to the log, to the file in --out, and kept for the page.  A
 * file that can't be written is told at once, and makes the run end with 1. */
void soak_interval(struct soak_run *sr);
enum ctl_exit soak_files_open(struct soak_run *sr);
/* The verdict as JSON; and into --out, by rename, with the page. */
json_t *soak_verdict_json(const struct soak_run *sr, enum ctl_exit code);
enum ctl_exit soak_files_write(
    struct soak_run *sr, const json_t *verdict, enum ctl_exit code);

/* Interval reports as they were written; those that a page has room for. */
void soak_keep_interval(json_t *intervals, unsigned int *stridep,
    unsigned int *countp, json_t *object);

/* The page: of a verdict, and its intervals (an array). */
int soak_html_write(
    const char *path, const json_t *verdict, const json_t *intervals);

#endif /* CLIENT_SOAK_H */
