/*
 * cmdline.h - the command line: PgBouncer's flags, --check and --explain.
 *
 * It only parses; nothing is read, printed or set elsewhere.
 *
 * Thread: main. Life: cmdline_parse, then the strings of argv.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

struct buf;

enum cmdline_action {
    CMDLINE_RUN,
    CMDLINE_CHECK,   /* read and check the file, start nothing */
    CMDLINE_EXPLAIN, /* the same, and tell what is not as with PgBouncer */
    CMDLINE_HELP,    /* print cmdline_usage, exit 0 */
    CMDLINE_VERSION, /* exit 0 */
};

struct cmdline {
    enum cmdline_action action;
    bool daemon;
    bool quiet;
    int verbose;      /* how many -v */
    const char *user; /* borrowed from argv; NULL: not given */
    const char *file; /* borrowed from argv; NULL with HELP and VERSION only */
};

/*
 * Leaves argv as it is. Returns 0, or -EINVAL after it has added what is wrong, a line or two for
 * people, to message. -ENOMEM.
 */
int cmdline_parse(int argc, char *const argv[], struct cmdline *ret_cmdline, struct buf *message);
void cmdline_usage(const char *program, FILE *file);
