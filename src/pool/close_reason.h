/*
 * close_reason.h - why a connection ends: one row each, for the log, the client and the manual.
 *
 * SQLSTATE "" closes without a word to the client. The texts are PgBouncer's where it has one.
 */
#pragma once

#include "log.h"
#include "sqlstate.h"

/* name, SQLSTATE for the client, log level, text, hint (or NULL) */
#define CLOSE_REASONS(X)                                                                           \
    X(CLIENT_GONE, "", INFO, "client unexpected eof", NULL)                                        \
    X(CLIENT_LEFT, "", INFO, "client close request", NULL)                                         \
    X(VISITS_CONSOLE, "", NOISE, "goes on to the console", NULL)                                   \
    X(CANCEL_FAILED, "", INFO, "failed cancel request", NULL)                                      \
    X(CANCEL_DONE, "", DEBUG, "cancel request delivered", NULL)                                    \
    X(SENT_ERROR, "", INFO, "the server has ended the connection", NULL)                           \
    X(PROTOCOL, SQLSTATE_PROTOCOL_VIOLATION, WARNING, "protocol violation",                        \
      "Is this a client of PostgreSQL, and is its driver up to date?")                             \
    X(UNKNOWN_PACKET, SQLSTATE_PROTOCOL_VIOLATION, WARNING, "unknown pkt",                         \
      "Is this a client of PostgreSQL, and is its driver up to date?")                             \
    X(BAD_PACKET, SQLSTATE_PROTOCOL_VIOLATION, WARNING, "bad packet header",                       \
      "No message may be longer than max_packet_size, or than PostgreSQL takes it.")               \
    X(PQEXEC, SQLSTATE_PROTOCOL_VIOLATION, WARNING, "PQexec disallowed",                           \
      "disable_pqexec lets nothing in but the extended protocol.")                                 \
    X(UNENCRYPTED_DATA, SQLSTATE_PROTOCOL_VIOLATION, WARNING,                                      \
      "received unencrypted data after SSL or GSSAPI request",                                     \
      "This may be a fault of the driver, or somebody in between.")                                \
    X(TLS_FAILED, "", INFO, "failed to accept SSL", NULL)                                          \
    X(TLS_IN_TLS, "", WARNING, "SSL req inside SSL", NULL)                                         \
    X(TLS_REQUIRED, SQLSTATE_INVALID_AUTHORIZATION, WARNING, "SSL required",                       \
      "Connect with sslmode=require or a stronger one.")                                           \
    X(STARTUP_PARAMETER, SQLSTATE_PROTOCOL_VIOLATION, WARNING, "unsupported startup parameter",    \
      "Name the parameter in ignore_startup_parameters to have it dropped.")                       \
    X(AUTH_FAILED, SQLSTATE_INVALID_AUTHORIZATION, WARNING, "login rejected",                      \
      "The log of the pooler tells why.")                                                          \
    X(NOT_ALLOWED, SQLSTATE_INSUFFICIENT_PRIVILEGE, WARNING, "not allowed",                        \
      "The console is open to admin_users and stats_users.")                                       \
    X(NO_DATABASE, SQLSTATE_UNDEFINED_DATABASE, WARNING, "no such database",                       \
      "The databases are those of [databases]; an entry * there stands for all other names.")      \
    X(DATABASE_REMOVED, SQLSTATE_ADMIN_SHUTDOWN, WARNING, "database removed",                      \
      "It has left the configuration, or was ended by KILL on the console.")                       \
    X(DATABASE_DISABLED, SQLSTATE_NOT_IN_PREREQUISITE_STATE, WARNING, "database is disabled",      \
      "ENABLE on the console opens it again.")                                                     \
    X(KILLED, SQLSTATE_ADMIN_SHUTDOWN, WARNING, "admin forced disconnect",                         \
      "KILL_CLIENT on the console has ended this connection.")                                     \
    X(LOGIN_TIMEOUT, SQLSTATE_INVALID_AUTHORIZATION, WARNING, "client_login_timeout",              \
      "A login must be done within client_login_timeout.")                                         \
    X(LOGIN_TIMEOUT_SERVER, SQLSTATE_CANNOT_CONNECT_NOW, WARNING,                                  \
      "client_login_timeout (server down)",                                                        \
      "No server has answered; the log of the pooler tells why.")                                  \
    X(MAX_CLIENT_CONN, SQLSTATE_TOO_MANY_CONNECTIONS, WARNING,                                     \
      "no more connections allowed (max_client_conn)", "Raise max_client_conn.")                   \
    X(MAX_DB_CLIENTS, SQLSTATE_TOO_MANY_CONNECTIONS, WARNING,                                      \
      "client connections exceeded (max_db_client_connections)",                                   \
      "Raise max_db_client_connections.")                                                          \
    X(MAX_USER_CLIENTS, SQLSTATE_TOO_MANY_CONNECTIONS, WARNING,                                    \
      "client connections exceeded (max_user_client_connections)",                                 \
      "Raise max_user_client_connections.")                                                        \
    X(QUERY_WAIT_TIMEOUT, SQLSTATE_TOO_MANY_CONNECTIONS, WARNING, "query_wait_timeout",            \
      "See SHOW POOLS; a larger pool_size or shorter transactions help.")                          \
    X(QUERY_TIMEOUT, SQLSTATE_QUERY_CANCELED, WARNING, "query timeout",                            \
      "Make the query shorter, or raise query_timeout.")                                           \
    X(IDLE_TRANSACTION_TIMEOUT, SQLSTATE_IDLE_TRANSACTION_TIMEOUT, WARNING,                        \
      "idle transaction timeout",                                                                  \
      "End transactions that are not worked in, or raise idle_transaction_timeout.")               \
    X(TRANSACTION_TIMEOUT, SQLSTATE_TRANSACTION_TIMEOUT, WARNING, "transaction timeout",           \
      "Make transactions shorter, or raise transaction_timeout.")                                  \
    X(CLIENT_IDLE_TIMEOUT, SQLSTATE_IDLE_SESSION_TIMEOUT, INFO, "client_idle_timeout",             \
      "Connect again when there is something to do, or raise client_idle_timeout.")                \
    X(SERVER_FAILED, SQLSTATE_CONNECTION_FAILURE, WARNING, "server login has been failing",        \
      "The server is asked again after at most server_login_retry; the log tells why it failed.")  \
    X(SERVER_LOST, SQLSTATE_CONNECTION_FAILURE, WARNING, "server conn crashed?",                   \
      "The statement that was running may or may not have taken effect.")                          \
    X(SERVER_PARAMETER, SQLSTATE_INVALID_PARAMETER_VALUE, WARNING, "invalid server parameter",     \
      "The server has refused a setting that this client began with or has made.")                 \
    X(STATEMENT_TRANSACTION, SQLSTATE_FEATURE_NOT_SUPPORTED, WARNING,                              \
      "transaction blocks not allowed in statement pooling mode",                                  \
      "Use pool_mode = transaction for what needs transaction blocks.")                            \
    X(DATABASE_CHANGED, SQLSTATE_ADMIN_SHUTDOWN, INFO, "database configuration changed",           \
      "Connect again.")                                                                            \
    X(SERVER_SHUTDOWN, SQLSTATE_ADMIN_SHUTDOWN, INFO, "server shutting down",                      \
      "The pooler is shutting down; connect again when it is back.")                               \
    X(SHUTDOWN, SQLSTATE_ADMIN_SHUTDOWN, INFO, "pooler is shutting down",                          \
      "Connect again when it is back.")                                                            \
    X(NO_MEMORY, SQLSTATE_OUT_OF_MEMORY, ERROR, "out of memory",                                   \
      "The pooler's machine has no memory left; try again later.")                                 \
    /* of servers; what a linked client is told is SERVER_LOST unless a row above says more */     \
    X(SV_EOF, "", INFO, "server conn crashed?", NULL)                                              \
    X(SV_PROTOCOL, "", ERROR, "bad pkt header", NULL)                                              \
    X(SV_CLIENT_GONE, "", INFO, "client disconnect while server was not ready", NULL)              \
    X(SV_CLIENT_IN_QUERY, "", INFO, "client disconnected with query in progress", NULL)            \
    X(SV_REPLICATION, "", INFO, "replication client was closed", NULL)                             \
    X(SV_IDLE_DIRTY, "", INFO, "idle server got dirty", NULL)                                      \
    X(SV_IDLE_TIMEOUT, "", INFO, "server idle timeout", NULL)                                      \
    X(SV_LIFETIME, "", INFO, "server lifetime over", NULL)                                         \
    X(SV_OBSOLETE, "", INFO, "connect string changed", NULL)                                       \
    X(SV_REMOVED, "", INFO, "database removed", NULL)                                              \
    X(SV_PAUSED, "", INFO, "pause mode", NULL)                                                     \
    X(SV_STRANGERS, "", INFO, "prepared statements that are nobody's", NULL)                       \
    X(SV_TOO_MANY, "", INFO, "too many servers in the pool", NULL)                                 \
    X(SV_EVICTED, "", INFO, "evicted", NULL)                                                       \
    X(SV_TEST_FAILED, "", INFO, "test query failed", NULL)                                         \
    X(SV_RESET_FAILED, "", INFO, "reset query failed", NULL)                                       \
    X(SV_CONNECT_QUERY, "", WARNING, "exec_on_connect query failed", NULL)                         \
    X(SV_OUT_OF_STEP, "", ERROR, "the server's stream is out of step", NULL)                       \
    X(SV_TIMEOUT, "", WARNING, "no answer to the pooler's own query", NULL)                        \
    X(SV_STOP, "", INFO, "shutdown", NULL)

enum close_reason {
#define CLOSE_REASON_ENUM(name, sqlstate, level, text, hint) CLOSE_##name,
    CLOSE_REASONS(CLOSE_REASON_ENUM)
#undef CLOSE_REASON_ENUM
        CLOSE_REASON_COUNT
};

struct close_reason_row {
    const char *name;
    const char *sqlstate;
    enum log_level level;
    const char *text;
    const char *hint;
};

const struct close_reason_row *close_reason_row(enum close_reason reason);

/* What a client is told when it is refused or closed; strings are borrowed for the call. */
struct refusal {
    enum close_reason reason;
    const char *sqlstate;   /* NULL: the reason's */
    const char *message;    /* NULL: the reason's text */
    const char *detail;     /* or NULL */
    const char *hint;       /* NULL: the reason's */
    const char *log_detail; /* what the log says instead of detail; or NULL, or "" */
};
