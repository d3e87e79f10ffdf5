/*
 * show_pools.c - SHOW POOLS, DATABASES: PgBouncer's columns over a snapshot, and the console's own.
 */
#include <string.h>

#include "config.h"
#include "show.h"

/* ---- POOLS ----------------------------------------------------------------------------------- */

/* Of a database whose hosts are several, else NULL. */
static const char *
load_balance_of(const struct config *config, const char *database)
{
    const struct config_database *db = config_find_database(config, database);

    if (db == NULL || db->host == NULL || strchr(db->host, ',') == NULL)
        return NULL;
    return load_balance_name(db->load_balance_hosts);
}

/* Of a row that begins with the database's name. */
static const char *
get_load_balance(const void *name, const struct show_output *output,
                 char text[static SHOW_TEXT_MAX])
{
    (void)text;
    return load_balance_of(output->config, name);
}

#define UNSIGNED(field) SHOW_COLUMN(#field, INT4, show_get_unsigned, pool_row, field)

static const struct show_column pool_columns[] = {
    SHOW_COLUMN("database", TEXT, show_get_chars, pool_row, database),
    SHOW_COLUMN("user", TEXT, show_get_chars, pool_row, user),
    UNSIGNED(cl_active),
    UNSIGNED(cl_waiting),
    SHOW_COLUMN("cl_active_cancel_req", INT4, show_get_unsigned, pool_row, cl_active_cancel),
    SHOW_COLUMN("cl_waiting_cancel_req", INT4, show_get_unsigned, pool_row, cl_waiting_cancel),
    UNSIGNED(sv_active),
    UNSIGNED(sv_active_cancel),
    UNSIGNED(sv_being_canceled),
    UNSIGNED(sv_idle),
    UNSIGNED(sv_used),
    UNSIGNED(sv_tested),
    UNSIGNED(sv_login),
    SHOW_COLUMN("maxwait", INT4, show_get_seconds, pool_row, max_wait),
    SHOW_COLUMN("maxwait_us", INT4, show_get_micros, pool_row, max_wait),
    SHOW_COLUMN("pool_mode", TEXT, show_get_string, pool_row, pool_mode),
    SHOW_COLUMN("load_balance_hosts", TEXT, get_load_balance, pool_row, database),
};

static void
pool_rows(struct show_output *output)
{
    const struct pool_row own = {
        .database = "pgbouncer",
        .user = "pgbouncer",
        .cl_active = (unsigned)list_count(&output->console->sessions),
        .pool_mode = "statement",
    };
    const struct snapshot *snapshot = output->snapshot;

    for (size_t i = 0; i < snapshot->pool_count; i++)
        show_row(output, &snapshot->pools[i]);
    show_row(output, &own);
}

const struct show show_pools = {
    .name = "POOLS",
    .snapshot = SNAPSHOT_POOLS,
    .columns = pool_columns,
    .column_count = ARRAY_SIZE(pool_columns),
    .rows = pool_rows,
};

/* ---- DATABASES ------------------------------------------------------------------------------- */

#define INTEGER(field) SHOW_COLUMN(#field, INT4, show_get_int, database_row, field)

static const struct show_column database_columns[] = {
    SHOW_COLUMN("name", TEXT, show_get_chars, database_row, name),
    SHOW_COLUMN("host", TEXT, show_get_chars_or_null, database_row, host),
    INTEGER(port),
    SHOW_COLUMN("database", TEXT, show_get_chars, database_row, database),
    SHOW_COLUMN("force_user", TEXT, show_get_chars_or_null, database_row, force_user),
    INTEGER(pool_size),
    INTEGER(min_pool_size),
    INTEGER(reserve_pool_size),
    SHOW_COLUMN("server_lifetime", TEXT, show_get_seconds, database_row, server_lifetime),
    SHOW_COLUMN("pool_mode", TEXT, show_get_string, database_row, pool_mode),
    SHOW_COLUMN("load_balance_hosts", TEXT, get_load_balance, database_row, name),
    INTEGER(max_connections),
    INTEGER(current_connections),
    INTEGER(max_client_connections),
    INTEGER(current_client_connections),
    SHOW_COLUMN("paused", INT4, show_get_bool, database_row, paused),
    SHOW_COLUMN("disabled", INT4, show_get_bool, database_row, disabled),
    SHOW_COLUMN("reserve_pool", INT4, show_get_int, database_row, reserve_pool_size), /* legacy */
};

static void
database_rows(struct show_output *output)
{
    const struct database_row own = {
        .name = "pgbouncer",
        .database = "pgbouncer",
        .force_user = "pgbouncer",
        .port = output->config->listen_port,
        .pool_size = 2,
        .server_lifetime = output->config->server_lifetime,
        .pool_mode = "statement",
        .current_client_connections = (int)list_count(&output->console->sessions),
    };
    const struct snapshot *snapshot = output->snapshot;

    for (size_t i = 0; i < snapshot->database_count; i++)
        show_row(output, &snapshot->databases[i]);
    show_row(output, &own);
}

const struct show show_databases = {
    .name = "DATABASES",
    .snapshot = SNAPSHOT_DATABASES,
    .columns = database_columns,
    .column_count = ARRAY_SIZE(database_columns) - 1,
    .legacy_count = 1,
    .rows = database_rows,
};
