/*
 * command.c - what the console can be told to do.
 */
#include "console_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "config.h"
#include "log.h"
#include "sqlstate.h"
#include "statement.h"
#include "str.h"

/* Settings of PostgreSQL that drivers ask for or set without need. */
static const struct {
    const char *name;
    const char *value;
} fake_settings[] = {
    {"client_encoding", "UTF-8"},
    {"default_transaction_isolation", "read committed"},
    {"standard_conforming_strings", "on"},
    {"datestyle", "ISO"},
    {"timezone", "GMT"},
    {"extra_float_digits", "2"},
};

static void
invalid_command(struct session *session, const char *sql)
{
    session_error(session, "invalid command '%s', use SHOW HELP;", sql);
}

/* The console's own database, under one of its names. */
static bool
is_console(const char *database)
{
    return str_eq(database, "pgbouncer") || str_eq(database, "pgweir");
}

/* An empty argument stands for all databases. */
static const char *
database_or_all(const char *arg)
{
    return *arg != '\0' ? arg : NULL;
}

static void
log_issued(const struct session *session, const char *command, const char *arg)
{
    if (*arg != '\0')
        session_log(session, LOG_LEVEL_INFO, "%s '%s' command issued", command, arg);
    else
        session_log(session, LOG_LEVEL_INFO, "%s command issued", command);
}

/* ---- PAUSE, RESUME --------------------------------------------------------------------------- */

/* Tells why it could not be done; database is NULL for all. */
static void
refused(struct session *session, enum engine_result result, const char *database)
{
    switch (result) {
    case ENGINE_NO_SUCH_DATABASE:
        session_error(session, "no such database: %s", database);
        break;
    case ENGINE_ALREADY:
        session_error(session, "already suspended/paused");
        break;
    case ENGINE_NOT_PAUSED:
        if (database != NULL)
            session_error(session, "database %s is not paused", database);
        else
            session_error(session, "pooler is not paused/suspended");
        break;
    case ENGINE_SHUTTING_DOWN:
        session_error(session, "pooler is shutting down");
        break;
    case ENGINE_OK:
    case ENGINE_NO_MEMORY:
        session_no_memory(session);
        break;
    }
}

static void
pause_done(struct engine_drain *drain)
{
    session_complete(container_of(drain, struct session, drain), "PAUSE");
}

static void
command_pause(struct session *session, const struct statement *statement, const char *sql)
{
    const char *database = database_or_all(statement->arg);
    enum engine_result result;

    (void)sql;
    if (database != NULL && is_console(database)) {
        session_error(session, "cannot pause admin db: %s", database);
        return;
    }
    log_issued(session, "PAUSE", statement->arg);
    if (str_set(&session->paused, database) < 0) {
        session_no_memory(session);
        return;
    }
    session->drain.done = pause_done;
    session_wait(session, SESSION_DRAIN);
    result = engine_pause(session->console->engine, database, &session->drain);
    if (result != ENGINE_OK)
        refused(session, result, database);
}

void
command_undo_pause(struct session *session)
{
    struct engine *engine = session->console->engine;

    engine_drain_cancel(&session->drain);
    if (engine_shutdown_mode(engine) == ENGINE_RUNNING)
        (void)engine_resume(engine, session->paused); /* somebody else may have done so */
}

static void
command_resume(struct session *session, const struct statement *statement, const char *sql)
{
    const char *database = database_or_all(statement->arg);
    enum engine_result result;

    (void)sql;
    log_issued(session, "RESUME", statement->arg);
    result = console_resume(session->console, database);
    if (result == ENGINE_OK)
        session_complete(session, "RESUME");
    else
        refused(session, result, database);
}

/* ---- RELOAD, SHUTDOWN ------------------------------------------------------------------------ */

static void
reload_done(struct reload_waiter *waiter, const char *error)
{
    struct session *session = container_of(waiter, struct session, reload);

    if (error == NULL)
        session_complete(session, "RELOAD");
    else
        session_error_state(session, SQLSTATE_CONFIG_FILE_ERROR,
                            "RELOAD failed, see logs for additional details", error);
}

static void
command_reload(struct session *session, const struct statement *statement, const char *sql)
{
    const struct console_hooks *hooks = &session->console->hooks;

    if (*statement->arg != '\0') {
        invalid_command(session, sql);
        return;
    }
    log_issued(session, "RELOAD", "");
    session->reload.done = reload_done;
    session_wait(session, SESSION_RELOAD);
    hooks->reload(hooks->arg, &session->reload);
}

static void
command_shutdown(struct session *session, const struct statement *statement, const char *sql)
{
    static const struct {
        const char *arg;
        const char *logged;
        enum engine_shutdown mode;
    } modes[] = {
        {"", "SHUTDOWN", ENGINE_IMMEDIATE},
        {"WAIT_FOR_SERVERS", "SHUTDOWN WAIT_FOR_SERVERS", ENGINE_WAIT_FOR_SERVERS},
        {"WAIT_FOR_CLIENTS", "SHUTDOWN WAIT_FOR_CLIENTS", ENGINE_WAIT_FOR_CLIENTS},
    };
    const struct console_hooks *hooks = &session->console->hooks;

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        if (!str_ieq(statement->arg, modes[i].arg))
            continue;
        log_issued(session, modes[i].logged, "");
        if (modes[i].mode == ENGINE_IMMEDIATE)
            session_wait(session, SESSION_EXIT); /* the end of the connection is the answer */
        else
            session_complete(session, "SHUTDOWN");
        hooks->shutdown(hooks->arg, modes[i].mode);
        return;
    }
    invalid_command(session, sql);
}

/* ---- SET, SHOW ------------------------------------------------------------------------------- */

static int
put_notice(struct session *session, const char *text)
{
    return msg_notice(&session->output, "NOTICE", SQLSTATE_SUCCESSFUL_COMPLETION, text, NULL, NULL);
}

static bool
is_fake_setting(const char *name, const char **ret_name, const char **ret_value)
{
    for (size_t i = 0; i < ARRAY_SIZE(fake_settings); i++) {
        if (!str_ieq(name, fake_settings[i].name))
            continue;
        *ret_name = fake_settings[i].name;
        *ret_value = fake_settings[i].value;
        return true;
    }
    return false;
}

/* A real key: changed until the next reload. */
static void
set_key(struct session *session, const struct statement *statement)
{
    const struct console_hooks *hooks = &session->console->hooks;
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    char tag[sizeof("SET =") + STATEMENT_ARG_MAX + STATEMENT_VALUE_MAX];
    int r;

    r = hooks->set(hooks->arg, statement->arg, statement->value, &message);
    if (r < 0) {
        session_error_state(session, SQLSTATE_PROTOCOL_VIOLATION, "SET failed",
                            message.len > 0 ? buf_str(&message) : NULL);
        return;
    }
    if (message.len > 0 && put_notice(session, buf_str(&message)) < 0) {
        session_no_memory(session);
        return;
    }
    snprintf(tag, sizeof(tag), "SET %s=%s", statement->arg, statement->value);
    session_complete(session, tag);
}

static void
command_set(struct session *session, const struct statement *statement, const char *sql)
{
    const char *name, *value;

    if (!statement->is_set)
        invalid_command(session, sql);
    else if (is_fake_setting(statement->arg, &name, &value)) {
        if (put_notice(session, "SET ignored") < 0)
            session_no_memory(session);
        else
            session_complete(session, "SET");
    } else if (session->access != CONSOLE_ACCESS_ADMIN)
        session_error(session, "admin access needed");
    else
        set_key(session, statement);
}

static void
show_fake_setting(struct session *session, const char *name, const char *value)
{
    const struct msg_column column = {name, PG_TYPE_TEXT};

    if (msg_row_description(&session->output, &column, 1) < 0 ||
        msg_data_row(&session->output, &value, 1) < 0)
        session_no_memory(session);
    else
        session_complete(session, "SHOW");
}

static void
command_show(struct session *session, const struct statement *statement, const char *sql)
{
    const struct show *show;
    const char *name, *value;

    if (is_fake_setting(statement->arg, &name, &value)) {
        show_fake_setting(session, name, value);
        return;
    }
    show = show_find(statement->arg);
    if (show == NULL)
        invalid_command(session, sql);
    else
        show_execute(session, show);
}

/* ---- dispatch -------------------------------------------------------------------------------- */

/* To add a command: a row here, and its line in SHOW HELP. */
static const struct {
    const char *name;
    void (*execute)(struct session *session, const struct statement *statement, const char *sql);
    bool for_all; /* else administrators only */
} commands[] = {
    // clang-format off
    { "PAUSE",    command_pause,    false },
    { "RELOAD",   command_reload,   false },
    { "RESUME",   command_resume,   false },
    { "SELECT",   command_show,     true },
    { "SET",      command_set,      true },
    { "SHOW",     command_show,     true },
    { "SHUTDOWN", command_shutdown, false },
    // clang-format on
};

static void
dispatch(struct session *session, const struct statement *statement, const char *sql)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!str_ieq(statement->command, commands[i].name))
            continue;
        if (commands[i].for_all || session->access == CONSOLE_ACCESS_ADMIN)
            commands[i].execute(session, statement, sql);
        else
            session_error(session, "admin access needed");
        return;
    }
    invalid_command(session, sql);
}

static void
answer_empty(struct session *session)
{
    struct msg msg;

    msg_begin(&msg, &session->output, BACKEND_EMPTY_QUERY);
    if (msg_end(&msg) < 0)
        session_no_memory(session);
    else
        session_ready(session);
}

void
command_execute(struct session *session, const char *sql)
{
    struct statement statement;

    switch (statement_parse(sql, &statement)) {
    case STATEMENT_OK:
        dispatch(session, &statement, sql);
        break;
    case STATEMENT_EMPTY:
        answer_empty(session);
        break;
    case STATEMENT_SYNTAX:
        invalid_command(session, sql);
        break;
    case STATEMENT_TOO_LONG:
        session_error(session, "bad arguments");
        break;
    }
}
