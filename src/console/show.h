/*
 * show.h - one SHOW is a table of columns and a function that walks its rows.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "build.h"
#include "console_int.h"
#include "result.h"

struct config;
struct table;

/* No show has more. */
#define SHOW_COLUMNS_MAX 32

/* The longest text that a getter makes itself; what it only points to may be longer. */
#define SHOW_TEXT_MAX 80

/* Rows on their way. The first error is kept, and what follows does nothing. */
struct show_output {
    struct console *console; /* borrowed, as the next two */
    const struct config *config;
    struct snapshot *snapshot; /* NULL where show->snapshot is 0 */
    const struct show *show;
    /* Takes a row of texts; 0 or -errno. One of those that follow has it: an answer, or a table. */
    int (*put)(struct show_output *output, const char *const *texts);
    struct buf *buf;
    const struct formats *formats; /* borrowed; NULL: text */
    struct table *table;
    struct msg_column described[SHOW_COLUMNS_MAX];
    size_t column_count;
    int error;
};

/* A value as text, NULL for NULL; field is column->offset into the row. May use text. */
typedef const char *show_get_fn(const void *field, const struct show_output *output,
                                char text[static SHOW_TEXT_MAX]);

struct show_column {
    const char *name;
    enum pg_type type;
    show_get_fn *get;
    size_t offset;
};

/* The column of a field of a row. */
#define SHOW_COLUMN(name, type, get, row, field)                                                   \
    {                                                                                              \
        name, PG_TYPE_##type, get, offsetof(struct row, field)                                     \
    }

struct show {
    const char *name;
    unsigned snapshot; /* SNAPSHOT_*: what the workers are asked for; 0: nothing */
    const struct show_column *columns;
    size_t column_count;
    size_t legacy_count; /* columns behind these, with console_legacy_columns */
    void (*rows)(struct show_output *output); /* calls show_row for each */
};

/* To add one: a struct show in one of the show_*.c, a line here, and one in show.c. */
extern const struct show show_columns;               /* show_columns.c */
extern const struct show show_databases, show_pools; /* show_pools.c */
extern const struct show show_active_sockets, show_clients, show_servers, show_sockets,
    show_waits; /* show_sockets.c */
extern const struct show show_dns_hosts, show_dns_zones, show_mem, show_peer_pools,
    show_peers; /* show_net.c */
extern const struct show show_stats, show_stats_averages, show_stats_totals, show_totals;
extern const struct show show_config, show_help, show_lists, show_state, show_tasks, show_users,
    show_version; /* show_daemon.c */

/* Appends a row of the kind that the show's columns look at. */
void show_row(struct show_output *output, const void *row);

/* All of them, by number; NULL behind the last. */
const struct show *show_at(size_t number);
/* For queries: a table called as the show, in lower case, with its columns and no rows. 0 or
 * -ENOMEM. */
int show_make_table(const struct config *config, const struct show *show, struct table **ret_table);
/* Its rows, as they are now. 0 or -errno. */
int show_fill_table(struct console *console, const struct show *show, struct snapshot *snapshot,
                    struct table *table);

/* Getters for the usual fields. */
show_get_fn show_get_chars;         /* char[] */
show_get_fn show_get_chars_or_null; /* char[], "" is NULL */
show_get_fn show_get_string;        /* const char * */
show_get_fn show_get_int;           /* int */
show_get_fn show_get_unsigned;      /* unsigned */
show_get_fn show_get_uint64;        /* uint64_t or usec_t */
show_get_fn show_get_bool;          /* bool, as 0 or 1 */
show_get_fn show_get_seconds;       /* usec_t, its whole seconds */
show_get_fn show_get_micros;        /* usec_t, what is left of them */
show_get_fn show_get_time;          /* usec_t, wall clock */
