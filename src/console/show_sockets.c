/*
 * show_sockets.c - SHOW CLIENTS, SERVERS, SOCKETS, ACTIVE_SOCKETS, WAITS: one row a connection,
 * with the console's own sessions among them.
 */
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "show.h"
#include "str.h"
#include "tls.h"

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

/* PgBouncer's lists have names of their own: cl_active, sv_login. */
static const char *
get_list(const void *row, const struct show_output *output, char text[static SHOW_TEXT_MAX])
{
    const struct socket_row *const socket = row;
    const bool is_new = str_eq(socket->state, "new");

    (void)output;
    snprintf(text, SHOW_TEXT_MAX, "%s_%s", socket->is_server ? "sv" : "cl",
             is_new ? "login" : socket->state);
    return text;
}

/* What PgBouncer's buffers hold: there are no such buffers here. */
static const char *
get_nothing(const void *row, const struct show_output *output, char text[static SHOW_TEXT_MAX])
{
    (void)row;
    (void)output;
    (void)text;
    return "0";
}

#define NOTHING(name)                                                                              \
    {                                                                                              \
        name, PG_TYPE_INT4, get_nothing, 0                                                         \
    }

/* Before and behind the state, which CLIENTS and SOCKETS tell in different words. */
#define COLUMNS_BEFORE                                                                             \
    SHOW_COLUMN("type", TEXT, get_socket_type, socket_row, is_server),                             \
        SHOW_COLUMN("user", TEXT, show_get_chars, socket_row, user),                               \
        SHOW_COLUMN("database", TEXT, show_get_chars, socket_row, database),                       \
        SHOW_COLUMN("replication", TEXT, show_get_string, socket_row, replication)
#define COLUMNS_BEHIND                                                                             \
    SHOW_COLUMN("addr", TEXT, show_get_chars, socket_row, addr),                                   \
        SHOW_COLUMN("port", INT4, show_get_int, socket_row, port),                                 \
        SHOW_COLUMN("local_addr", TEXT, show_get_chars, socket_row, local_addr),                   \
        SHOW_COLUMN("local_port", INT4, show_get_int, socket_row, local_port),                     \
        SHOW_COLUMN("connect_time", TEXT, show_get_time, socket_row, connect_time),                \
        SHOW_COLUMN("request_time", TEXT, show_get_time, socket_row, request_time),                \
        SHOW_COLUMN("wait", INT4, show_get_seconds, socket_row, wait),                             \
        SHOW_COLUMN("wait_us", INT4, show_get_micros, socket_row, wait),                           \
        SHOW_COLUMN("close_needed", INT4, show_get_bool, socket_row, close_needed),                \
        SHOW_COLUMN("ptr", TEXT, get_pointer, socket_row, id),                                     \
        SHOW_COLUMN("link", TEXT, get_pointer, socket_row, link_id),                               \
        SHOW_COLUMN("remote_pid", INT4, show_get_int, socket_row, remote_pid),                     \
        SHOW_COLUMN("tls", TEXT, show_get_chars, socket_row, tls),                                 \
        SHOW_COLUMN("application_name", TEXT, show_get_chars, socket_row, application_name),       \
        SHOW_COLUMN("prepared_statements", INT4, show_get_unsigned, socket_row,                    \
                    prepared_statements),                                                          \
        SHOW_COLUMN("id", INT4, show_get_uint64, socket_row, id)

static const struct show_column client_columns[] = {
    COLUMNS_BEFORE,
    SHOW_COLUMN("state", TEXT, show_get_string, socket_row, state),
    COLUMNS_BEHIND,
};

static const struct show_column socket_columns[] = {
    COLUMNS_BEFORE,       {"state", PG_TYPE_TEXT, get_list, 0},
    COLUMNS_BEHIND,       NOTHING("recv_pos"),
    NOTHING("pkt_pos"),   NOTHING("pkt_remain"),
    NOTHING("send_pos"),  NOTHING("send_remain"),
    NOTHING("pkt_avail"), NOTHING("send_avail"),
};

static const struct show_column wait_columns[] = {
    SHOW_COLUMN("database", TEXT, show_get_chars, socket_row, database),
    SHOW_COLUMN("user", TEXT, show_get_chars, socket_row, user),
    SHOW_COLUMN("id", INT8, show_get_uint64, socket_row, id),
    SHOW_COLUMN("addr", TEXT, show_get_chars, socket_row, addr),
    SHOW_COLUMN("port", INT4, show_get_int, socket_row, port),
    SHOW_COLUMN("wait", INT4, show_get_seconds, socket_row, wait),
    SHOW_COLUMN("wait_us", INT4, show_get_micros, socket_row, wait),
    SHOW_COLUMN("cause", TEXT, show_get_string, socket_row, wait_cause),
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
session_rows(struct show_output *output)
{
    const struct session *session;

    LIST_FOREACH (session, &output->console->sessions, link)
        session_row(output, session);
}

static void
client_rows(struct show_output *output)
{
    socket_rows(output, false);
    session_rows(output);
}

static void
server_rows(struct show_output *output)
{
    socket_rows(output, true);
}

static void
all_rows(struct show_output *output)
{
    client_rows(output);
    server_rows(output);
}

static void
active_rows(struct show_output *output)
{
    const struct snapshot *snapshot = output->snapshot;

    for (size_t i = 0; i < snapshot->socket_count; i++) {
        if (str_eq(snapshot->sockets[i].state, "active"))
            show_row(output, &snapshot->sockets[i]);
    }
    session_rows(output);
}

static void
wait_rows(struct show_output *output)
{
    const struct snapshot *snapshot = output->snapshot;

    for (size_t i = 0; i < snapshot->socket_count; i++) {
        if (snapshot->sockets[i].wait_cause != NULL)
            show_row(output, &snapshot->sockets[i]);
    }
}

#define SOCKET_SHOW(label, asked, columns_, rows_)                                                 \
    {                                                                                              \
        .name = label, .snapshot = asked, .columns = columns_,                                     \
        .column_count = ARRAY_SIZE(columns_), .rows = rows_                                        \
    }

const struct show show_clients =
    SOCKET_SHOW("CLIENTS", SNAPSHOT_CLIENTS, client_columns, client_rows);
const struct show show_servers =
    SOCKET_SHOW("SERVERS", SNAPSHOT_SERVERS, client_columns, server_rows);
const struct show show_sockets =
    SOCKET_SHOW("SOCKETS", SNAPSHOT_CLIENTS | SNAPSHOT_SERVERS, socket_columns, all_rows);
const struct show show_active_sockets =
    SOCKET_SHOW("ACTIVE_SOCKETS", SNAPSHOT_CLIENTS | SNAPSHOT_SERVERS, socket_columns, active_rows);
const struct show show_waits = SOCKET_SHOW("WAITS", SNAPSHOT_CLIENTS, wait_columns, wait_rows);
