/*
 * log.c - see log.h.
 */
#include "config.h"

#include "daemon/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const int syslog_levels[] = { LOG_ERR, LOG_WARNING, LOG_INFO,
	LOG_DEBUG };

static _Atomic int log_level = LEVEL_INFO;
static _Atomic bool log_syslog;

int
log_level_parse(const char *text, enum log_level *levelp)
{
	for (unsigned int i = 0; i < 4; i++)
		if (strcmp(text, level_names[i]) == 0) {
			*levelp = (enum log_level)i;
			return (0);
		}
	return (EINVAL);
}

const char *
log_level_name(enum log_level level)
{
	return (level_names[level]);
}

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

enum log_level
log_get_level(void)
{
	return ((enum log_level)atomic_load_explicit(
	    &log_level, memory_order_relaxed));
}

void
log_set_syslog(bool on)
{
	openlog("vmemd", LOG_PID, LOG_DAEMON);
	atomic_store(&log_syslog, on);
}

static void log_line(int level, const char *fmt, va_list ap)
    __attribute__((__format__(__printf__, 2, 0)));

static void
log_line(int level, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES];
	int n, m;

	if (level > atomic_load_explicit(&log_level, memory_order_relaxed))
		return;
	if (atomic_load(&log_syslog)) {
		vsyslog(syslog_levels[level], fmt, ap);
		return;
	}
	n = snprintf(line, sizeof(line), "vmemd: %s: ", level_names[level]);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	if (m < 0)
		return;
	n += m;
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)n);
}

#define LOG_FUNCTION(name, level)                                            \
	void name(const char *fmt, ...)                                      \
	{                                                                    \
		va_list ap;                                                  \
                                                                             \
		va_start(ap, fmt);                                           \
		log_line(level, fmt, ap);                                    \
		va_end(ap);                                                  \
	}

LOG_FUNCTION(log_error, LEVEL_ERROR)
LOG_FUNCTION(log_warn, LEVEL_WARN)
LOG_FUNCTION(log_info, LEVEL_INFO)
LOG_FUNCTION(log_debug, LEVEL_DEBUG)
