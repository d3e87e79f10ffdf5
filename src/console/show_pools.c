/*
 * show_pools.c - SHOW POOLS, DATABASES, CLIENTS, SERVERS: PgBouncer's columns over a snapshot, with
 * the console's own sessions among them.
 */
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "show.h"
#include "str.h"
#include "tls.h"

#define COLUMN(name, type, get, row, field)                                                        \
    {                                                                                              \
        name, PG_TYPE_##type, get, offsetof(struct row, field)                                     \
    }

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

#define UNSIGNED(field) COLUMN(#field, INT4, show_get_unsigned, pool_row, field)

static const struct show_column pool_columns[] = {
    COLUMN("database", TEXT, show_get_chars, pool_row, database),
    COLUMN("user", TEXT, show_get_chars, pool_row, user),
    UNSIGNED(cl_active),
    UNSIGNED(cl_waiting),
    COLUMN("cl_active_cancel_req", INT4, show_get_unsigned, pool_row, cl_active_cancel),
    COLUMN("cl_waiting_cancel_req", INT4, show_get_unsigned, pool_row, cl_waiting_cancel),
    UNSIGNED(sv_active),
    UNSIGNED(sv_active_cancel),
    UNSIGNED(sv_being_canceled),
    UNSIGNED(sv_idle),
    UNSIGNED(sv_used),
    UNSIGNED(sv_tested),
    UNSIGNED(sv_login),
    COLUMN("maxwait", INT4, show_get_seconds, pool_row, max_wait),
    COLUMN("maxwait_us", INT4, show_get_micros, pool_row, max_wait),
    COLUMN("pool_mode", TEXT, show_get_string, pool_row, pool_mode),
    COLUMN("load_balance_hosts", TEXT, get_load_balance, pool_row, database),
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

#define INTEGER(field) COLUMN(#field, INT4, show_get_int, database_row, field)

static const struct show_column database_columns[] = {
    COLUMN("name", TEXT, show_get_chars, database_row, name),
    COLUMN("host", TEXT, show_get_chars_or_null, database_row, host),
    INTEGER(port),
    COLUMN("database", TEXT, show_get_chars, database_row, database),
    COLUMN("force_user", TEXT, show_get_chars_or_null, database_row, force_user),
    INTEGER(pool_size),
    INTEGER(min_pool_size),
    INTEGER(reserve_pool_size),
    COLUMN("server_lifetime", TEXT, show_get_seconds, database_row, server_lifetime),
    COLUMN("pool_mode", TEXT, show_get_string, database_row, pool_mode),
    COLUMN("load_balance_hosts", TEXT, get_load_balance, database_row, name),
    INTEGER(max_connections),
    INTEGER(current_connections),
    INTEGER(max_client_connections),
    INTEGER(current_client_connections),
    COLUMN("paused", INT4, show_get_bool, database_row, paused),
    COLUMN("disabled", INT4, show_get_bool, database_row, disabled),
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
    .column_count = ARRAY_SIZE(database_columns),
    .rows = database_rows,
};

/* ---- CLIENTS, SERVERS ------------------------------------------------------------------------ */

static const char *
get_socket_type(const void *is_server, const struct show_output *output,
                char text[static SHOW_TEXT_MAX])
{
    (void)output;
    (void)text;
    return *(const bool *)is_server ? "S" : "C";
}

/* Where PgBouncer tells a pointer: something that names the connection. */
static const char *
get_pointer(const void *id, const struct show_output *output, char text[static SHOW_TEXT_MAX])
{
    const uint64_t value = *(const uint64_t *)id;

    (void)output;
    if (value == 0)
        return "";
    snprintf(text, SHOW_TEXT_MAX, "0x%llx", (unsigned long long)value);
    return text;
}

static const struct show_column socket_columns[] = {
    COLUMN("type", TEXT, get_socket_type, socket_row, is_server),
    COLUMN("user", TEXT, show_get_chars, socket_row, user),
    COLUMN("database", TEXT, show_get_chars, socket_row, database),
    COLUMN("replication", TEXT, show_get_string, socket_row, replication),
    COLUMN("state", TEXT, show_get_string, socket_row, state),
    COLUMN("addr", TEXT, show_get_chars, socket_row, addr),
    COLUMN("port", INT4, show_get_int, socket_row, port),
    COLUMN("local_addr", TEXT, show_get_chars, socket_row, local_addr),
    COLUMN("local_port", INT4, show_get_int, socket_row, local_port),
    COLUMN("connect_time", TEXT, show_get_time, socket_row, connect_time),
    COLUMN("request_time", TEXT, show_get_time, socket_row, request_time),
    COLUMN("wait", INT4, show_get_seconds, socket_row, wait),
    COLUMN("wait_us", INT4, show_get_micros, socket_row, wait),
    COLUMN("close_needed", INT4, show_get_bool, socket_row, close_needed),
    COLUMN("ptr", TEXT, get_pointer, socket_row, id),
    COLUMN("link", TEXT, get_pointer, socket_row, link_id),
    COLUMN("remote_pid", INT4, show_get_int, socket_row, remote_pid),
    COLUMN("tls", TEXT, show_get_chars, socket_row, tls),
    COLUMN("application_name", TEXT, show_get_chars, socket_row, application_name),
    COLUMN("prepared_statements", INT4, show_get_unsigned, socket_row, prepared_statements),
    COLUMN("id", INT4, show_get_uint64, socket_row, id),
};

static void
copy_address(const struct peer_address *address, char *host, size_t size, int *ret_port,
             int *ret_pid)
{
    int pid;

    str_copy(host, size, address->is_unix ? "unix" : address->host);
    *ret_port = address->port;
    if (address->is_unix && sscanf(address->host, "unix(%d)", &pid) == 1)
        *ret_pid = pid;
}

static void
session_row(struct show_output *output, const struct session *session)
{
    const struct console_visitor *visitor = session->visitor;
    struct socket_row row = {
        .replication = "none",
        .state = "active",
        .connect_time = visitor->connect_time,
        .request_time = session->request_time,
        .id = visitor->id,
    };

    str_copy(row.database, sizeof(row.database), "pgbouncer");
    str_copy(row.user, sizeof(row.user), visitor->user);
    if (visitor->application_name != NULL)
        str_copy(row.application_name, sizeof(row.application_name), visitor->application_name);
    copy_address(&visitor->local, row.local_addr, sizeof(row.local_addr), &row.local_port,
                 &row.remote_pid);
    copy_address(&visitor->peer, row.addr, sizeof(row.addr), &row.port, &row.remote_pid);
    if (session->stream.tls != NULL)
        tls_describe(session->stream.tls, row.tls, sizeof(row.tls));
    show_row(output, &row);
}

static void
socket_rows(struct show_output *output, bool servers)
{
    const struct snapshot *snapshot = output->snapshot;

    for (size_t i = 0; i < snapshot->socket_count; i++) {
        if (snapshot->sockets[i].is_server == servers)
            show_row(output, &snapshot->sockets[i]);
    }
}

static void
client_rows(struct show_output *output)
{
    const struct session *session;

    socket_rows(output, false);
    LIST_FOREACH (session, &output->console->sessions, link)
        session_row(output, session);
}

static void
server_rows(struct show_output *output)
{
    socket_rows(output, true);
}

const struct show show_clients = {
    .name = "CLIENTS",
    .snapshot = SNAPSHOT_CLIENTS,
    .columns = socket_columns,
    .column_count = ARRAY_SIZE(socket_columns),
    .rows = client_rows,
};

const struct show show_servers = {
    .name = "SERVERS",
    .snapshot = SNAPSHOT_SERVERS,
    .columns = socket_columns,
    .column_count = ARRAY_SIZE(socket_columns),
    .rows = server_rows,
};
