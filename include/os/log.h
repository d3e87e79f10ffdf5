/*
 * log.h - the daemon's log, line by line as PgBouncer writes it.
 *
 *     2026-11-21 03:00:16.037 UTC [29901] LOG C-4711: shop/alice@10.0.0.7:50112 text
 *
 * A line is complete, in all its targets, before log_msg returns. Control characters are written as
 * escapes, so that nothing that came from a peer can forge a line or steer a terminal. Until
 * log_open, lines go to stderr.
 *
 * Thread: log_msg and log_level_enabled any; the others one at a time, while any may log.
 */
#pragma once

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "macros.h"

enum log_level {
    LOG_LEVEL_FATAL,   /* the daemon ends */
    LOG_LEVEL_ERROR,   /* asks for a person */
    LOG_LEVEL_WARNING, /* tells how the daemon goes on */
    LOG_LEVEL_INFO,    /* "LOG" in the line */
    LOG_LEVEL_DEBUG,   /* -v */
    LOG_LEVEL_NOISE,   /* -vv */
};

/* The strings are copied. */
struct log_options {
    const char *file;            /* appended to; NULL or "" is none */
    const char *syslog_ident;    /* NULL or "" is no syslog */
    const char *syslog_facility; /* "daemon", "local0"...; NULL is daemon */
    enum log_level level;        /* the least important that is still written */
    bool quiet;                  /* not to stderr, nor to the journal behind it */
};

/*
 * Builds all targets, then puts them in place of those before. Where stderr is the systemd journal,
 * lines go there as journal entries instead. 0, -EINVAL for an unknown facility, or the -errno of
 * opening the file: then all stays as it was.
 */
int log_open(const struct log_options *options);
/* Opens the file anew, after it was moved away. 0 or -errno, then the old one stays in use. */
int log_reopen(void);
/* Back to stderr. */
void log_close(void);

void log_set_level(enum log_level level);

/* Read with log_level_enabled only. */
extern atomic_int log_level_max;

/* Cheap: ask before building a costly message. */
static inline bool
log_level_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level_max, memory_order_relaxed);
}

/* subject is who the line is about, "C-4711: shop/alice@10.0.0.7:50112", or NULL. Keeps errno. */
void log_msg(enum log_level level, const char *subject, const char *format, ...) PRINTF_LIKE(3, 4);
void log_vmsg(enum log_level level, const char *subject, const char *format, va_list args)
    PRINTF_LIKE(3, 0);

/* The arguments are evaluated only when the level is written. */
#define log_at(level, ...)                                                                         \
    do {                                                                                           \
        if (log_level_enabled(level))                                                              \
            log_msg(level, NULL, __VA_ARGS__);                                                     \
    } while (0)

#define log_fatal(...)   log_at(LOG_LEVEL_FATAL, __VA_ARGS__)
#define log_error(...)   log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_noise(...)   log_at(LOG_LEVEL_NOISE, __VA_ARGS__)
