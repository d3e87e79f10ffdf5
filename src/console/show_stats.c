/*
 * show_stats.c - SHOW STATS and its kin: what was counted, and how much of it a second.
 */
#include <stdio.h>

#include "sampler.h"
#include "show.h"
#include "str.h"

struct stats_row {
    char database[SNAPSHOT_NAME];
    struct stats total;
    struct stats average;
};

#define NUMBER(name, field)                                                                        \
    {                                                                                              \
        name, PG_TYPE_NUMERIC, show_get_uint64, offsetof(struct stats_row, field)                  \
    }
#define TOTAL(name, field)   NUMBER(name, total.field)
#define AVERAGE(name, field) NUMBER(name, average.field)

/* The names differ from SHOW to SHOW as PgBouncer's do. */
// clang-format off
static const struct show_column stats_columns[] = {
    { "database", PG_TYPE_TEXT, show_get_chars, offsetof(struct stats_row, database) },
    TOTAL("total_server_assignment_count", server_assignments),
    TOTAL("total_xact_count", xacts),
    TOTAL("total_query_count", queries),
    TOTAL("total_received", received),
    TOTAL("total_sent", sent),
    TOTAL("total_xact_time", xact_time),
    TOTAL("total_query_time", query_time),
    TOTAL("total_wait_time", wait_time),
    TOTAL("total_client_parse_count", client_parses),
    TOTAL("total_server_parse_count", server_parses),
    TOTAL("total_bind_count", binds),
    TOTAL("total_client_login_count", client_logins),
    AVERAGE("avg_server_assignment_count", server_assignments),
    AVERAGE("avg_xact_count", xacts),
    AVERAGE("avg_query_count", queries),
    AVERAGE("avg_recv", received),
    AVERAGE("avg_sent", sent),
    AVERAGE("avg_xact_time", xact_time),
    AVERAGE("avg_query_time", query_time),
    AVERAGE("avg_wait_time", wait_time),
    AVERAGE("avg_client_parse_count", client_parses),
    AVERAGE("avg_server_parse_count", server_parses),
    AVERAGE("avg_bind_count", binds),
    AVERAGE("avg_client_login_count", client_logins),
    TOTAL("total_requests", queries), /* legacy: until PgBouncer 1.8 */
};

static const struct show_column stats_totals_columns[] = {
    { "database", PG_TYPE_TEXT, show_get_chars, offsetof(struct stats_row, database) },
    TOTAL("server_assignment_count", server_assignments),
    TOTAL("xact_count", xacts),
    TOTAL("query_count", queries),
    TOTAL("bytes_received", received),
    TOTAL("bytes_sent", sent),
    TOTAL("xact_time", xact_time),
    TOTAL("query_time", query_time),
    TOTAL("wait_time", wait_time),
    TOTAL("client_parse_count", client_parses),
    TOTAL("server_parse_count", server_parses),
    TOTAL("bind_count", binds),
    TOTAL("client_login_count", client_logins),
};

static const struct show_column stats_averages_columns[] = {
    { "database", PG_TYPE_TEXT, show_get_chars, offsetof(struct stats_row, database) },
    AVERAGE("server_assignment_count", server_assignments),
    AVERAGE("xact_count", xacts),
    AVERAGE("query_count", queries),
    AVERAGE("bytes_received", received),
    AVERAGE("bytes_sent", sent),
    AVERAGE("xact_time", xact_time),
    AVERAGE("query_time", query_time),
    AVERAGE("wait_time", wait_time),
    AVERAGE("avg_client_parse_count", client_parses),
    AVERAGE("avg_server_parse_count", server_parses),
    AVERAGE("avg_bind_count", binds),
    AVERAGE("avg_client_login_count", client_logins),
};
// clang-format on

/* ---- a row a database ------------------------------------------------------------------------ */

static void
stats_row(struct show_output *output, const char *database, const struct stats *total)
{
    struct stats_row row = {.total = *total};

    str_copy(row.database, sizeof(row.database), database);
    row.average = *sampler_average(output->console->sampler, database);
    show_row(output, &row);
}

static void
stats_rows(struct show_output *output)
{
    const struct snapshot *snapshot = output->snapshot;

    for (size_t i = 0; i < snapshot->database_count; i++)
        stats_row(output, snapshot->databases[i].name, &snapshot->databases[i].total);
    stats_row(output, "pgbouncer", &output->console->stats);
}

const struct show show_stats = {
    .name = "STATS",
    .snapshot = SNAPSHOT_DATABASES | SNAPSHOT_STATS,
    .columns = stats_columns,
    .column_count = ARRAY_SIZE(stats_columns) - 1,
    .legacy_count = 1,
    .rows = stats_rows,
};

const struct show show_stats_totals = {
    .name = "STATS_TOTALS",
    .snapshot = SNAPSHOT_DATABASES | SNAPSHOT_STATS,
    .columns = stats_totals_columns,
    .column_count = ARRAY_SIZE(stats_totals_columns),
    .rows = stats_rows,
};

const struct show show_stats_averages = {
    .name = "STATS_AVERAGES",
    .snapshot = SNAPSHOT_DATABASES | SNAPSHOT_STATS,
    .columns = stats_averages_columns,
    .column_count = ARRAY_SIZE(stats_averages_columns),
    .rows = stats_rows,
};

/* ---- TOTALS ---------------------------------------------------------------------------------- */

struct named_number {
    const char *name;
    uint64_t value;
};

static const struct show_column totals_columns[] = {
    {"name", PG_TYPE_TEXT, show_get_string, offsetof(struct named_number, name)},
    {"value", PG_TYPE_NUMERIC, show_get_uint64, offsetof(struct named_number, value)},
};

// clang-format off
static const struct {
    const char *name;
    size_t offset; /* into struct stats_row */
} totals[] = {
    { "total_server_assignment_count", offsetof(struct stats_row, total.server_assignments) },
    { "total_xact_count", offsetof(struct stats_row, total.xacts) },
    { "total_query_count", offsetof(struct stats_row, total.queries) },
    { "total_client_bytes", offsetof(struct stats_row, total.received) },
    { "total_server_bytes", offsetof(struct stats_row, total.sent) },
    { "total_xact_time", offsetof(struct stats_row, total.xact_time) },
    { "total_query_time", offsetof(struct stats_row, total.query_time) },
    { "total_wait_time", offsetof(struct stats_row, total.wait_time) },
    { "total_ps_client_parse_count", offsetof(struct stats_row, total.client_parses) },
    { "total_ps_server_parse_count", offsetof(struct stats_row, total.server_parses) },
    { "total_ps_bind_count", offsetof(struct stats_row, total.binds) },
    { "total_client_login_count", offsetof(struct stats_row, total.client_logins) },
    { "avg_server_assignment_count", offsetof(struct stats_row, average.server_assignments) },
    { "avg_xact_count", offsetof(struct stats_row, average.xacts) },
    { "avg_query_count", offsetof(struct stats_row, average.queries) },
    { "avg_client_bytes", offsetof(struct stats_row, average.received) },
    { "avg_server_bytes", offsetof(struct stats_row, average.sent) },
    { "avg_xact_time", offsetof(struct stats_row, average.xact_time) },
    { "avg_query_time", offsetof(struct stats_row, average.query_time) },
    { "avg_wait_time", offsetof(struct stats_row, average.wait_time) },
    { "avg_ps_client_parse_count", offsetof(struct stats_row, average.client_parses) },
    { "avg_ps_server_parse_count", offsetof(struct stats_row, average.server_parses) },
    { "avg_ps_bind_count", offsetof(struct stats_row, average.binds) },
    { "avg_client_login_count", offsetof(struct stats_row, average.client_logins) },
};
// clang-format on

static void
totals_rows(struct show_output *output)
{
    const struct snapshot *snapshot = output->snapshot;
    struct stats_row sum = {
        .total = output->console->stats,
        .average = *sampler_sum(output->console->sampler),
    };

    for (size_t i = 0; i < snapshot->database_count; i++)
        stats_add(&sum.total, &snapshot->databases[i].total);
    for (size_t i = 0; i < ARRAY_SIZE(totals); i++) {
        const uint64_t *value = (const void *)((const char *)&sum + totals[i].offset);

        show_row(output, &(struct named_number){totals[i].name, *value});
    }
}

const struct show show_totals = {
    .name = "TOTALS",
    .snapshot = SNAPSHOT_DATABASES | SNAPSHOT_STATS,
    .columns = totals_columns,
    .column_count = ARRAY_SIZE(totals_columns),
    .rows = totals_rows,
};
