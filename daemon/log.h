/*
 * log.h - what the daemon has to say: one line on standard error (or syslog,
 * once detached), written whole, so that threads' lines don't mix.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdbool.h>

enum log_level { LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG };

/* "error" "warn" "info" "debug": EINVAL for others. */
int log_level_parse(const char *text, enum log_level *levelp);
const char *log_level_name(enum log_level level);

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_syslog(bool on);	/* once, when the daemon detaches */

void log_error(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2)));
void log_warn(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2)));
void log_info(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2)));
void log_debug(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2)));

#endif /* DAEMON_LOG_H */
