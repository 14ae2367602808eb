/*
 * settings.h - the daemon's settings: one table for the command line, the
 * configuration file, `--help` and what SIGHUP may change.
 *
 * Precedence: the command line, then the file, then the defaults.  A setting
 * of a later version is known, and refused with that reason.
 */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <vmpager.h>

struct settings {
	char *se_socket;	/* NULL: by the rule of SPEC 4 */
	char *se_config;	/* NULL: the system's, if there is one */
	uint64_t se_threads;	/* 0: the number of CPUs, up to 4 */
	uint64_t se_va_size;
	uint64_t se_va_base;	/* 0: wherever the kernel puts it */
	uint64_t se_frames;
	char *se_swap;		/* NULL: an unlinked temporary file */
	uint64_t se_swap_size;
	unsigned int se_commit;		/* enum vmpager_commit */
	unsigned int se_fault_mode;	/* enum vmpager_mode */
	uint64_t se_wired;
	bool se_direct_map;
	char *se_group;		/* of the socket; NULL: the daemon's */
	uint64_t se_quota_bytes;	/* 0: none */
	uint64_t se_quota_segments;	/* 0: none */
	char *se_state_dir;
	bool se_sync;
	char *se_http;
	char *se_read_only_socket;
	unsigned int se_log_level;	/* enum log_level */
	bool se_foreground;
	bool se_daemonize;
	bool se_help;
	bool se_version;
	uint64_t se_given;	/* a bit for each row set by the command line */
};

/* Why a setting was refused, for people. */
#define SETTINGS_WHY_MAX 256

/*
 * Defaults, then argv, then the file.  0; or EINVAL with `why` filled, and
 * `se` to be finished all the same.
 */
int settings_load(struct settings *se, int argc, char **argv,
    char why[SETTINGS_WHY_MAX]);

/* The file once more, for SIGHUP: into a copy of `old`, all as above. */
int settings_reload(struct settings *se, const struct settings *old,
    char why[SETTINGS_WHY_MAX]);

/*
 * Compare, and call changed(arg, name, reloadable) for every setting that
 * differs: what isn't reloadable takes a restart.
 */
void settings_diff(const struct settings *old, const struct settings *new,
    void (*changed)(void *arg, const char *name, bool reloadable), void *arg);

void settings_fini(struct settings *se);
void settings_help(FILE *out);

#endif /* DAEMON_SETTINGS_H */
