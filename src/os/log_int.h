/*
 * log_int.h - between log.c, which builds the lines, and log_target.c, which writes them.
 */
#pragma once

#include <stddef.h>

#include "cleanup.h"
#include "log.h"

/* One complete line: "time [pid] LEVEL " and a message of subject and text, then a newline. */
struct log_line {
    enum log_level level;
    size_t len;
    size_t message; /* where the message begins; it ends before the newline */
    char text[16384];
};

/* Where lines go. Immutable, but for the file's descriptor. */
struct log_target {
    char *path;  /* owned; NULL: no file */
    int file;    /* owned; -1: no file */
    int journal; /* owned; -1: no journal */
    bool to_stderr;
    bool with_prefix; /* stderr is the journal, but its socket is out of reach: "<6>" says the level
                       */
    char *ident;      /* owned; NULL: no syslog */
    int facility;
};

/* Opens everything. 0 or -errno. */
int log_target_new(const struct log_options *options, struct log_target **ret_target);
void log_target_free(struct log_target *target);
DEFINE_CLEANUP(struct log_target *, log_target_free);
/* Opens path for appending: a descriptor or -errno. */
int log_target_open_file(const char *path);
/* Whether stderr leads to the journal, as JOURNAL_STREAM tells. */
bool log_target_stderr_is_journal(void);
void log_target_write(const struct log_target *target, const struct log_line *line);

/* A socket that is connected to the journal's, or -errno. */
int log_journal_open(const char *socket_path);
/* 0 or -errno. */
int log_journal_write(int journal, int priority, const char *message, size_t len);
