/*
 * command.c - what the console can be told to do.
 */
#include "console_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "build.h"
#include "config.h"
#include "driver.h"
#include "log.h"
#include "result.h"
#include "select.h"
#include "sqlstate.h"
#include "statement.h"
#include "str.h"

static void
invalid_command(struct session *session, const char *sql)
{
    session_error(session, "invalid command '%s', use SHOW HELP;", sql);
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
    admin_log_issued(session, "RELOAD", "");
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
        admin_log_issued(session, modes[i].logged, "");
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
    if (!statement->is_set)
        invalid_command(session, sql);
    else
        set_key(session, statement);
}

static void
command_show(struct session *session, const struct statement *statement, const char *sql)
{
    const struct show *const show = show_find(statement->arg);

    if (show == NULL)
        invalid_command(session, sql);
    else
        show_execute(session, show);
}

/* ---- what drivers say ------------------------------------------------------------------------ */

/* One row of one column, where there is one. */
static int
put_driver_answer(struct session *session, const struct driver_answer *answer)
{
    const struct msg_column column = {.name = answer->column, .type = answer->type};
    const struct formats *const formats = extended_formats(session);
    int r = 0;

    if (answer->effect == DRIVER_IGNORED)
        return put_notice(session, "SET ignored");
    if (answer->column == NULL)
        return 0;
    if (session->mode == SESSION_SIMPLE)
        r = result_describe(&session->output, &column, 1, formats);
    return r < 0 ? r : result_row(&session->output, &column, &answer->value, 1, formats);
}

static void
answer_driver(struct session *session, const struct driver_answer *answer)
{
    const bool failed = session->status == READY_FAILED_TRANSACTION;
    const char *tag = answer->tag;

    if (put_driver_answer(session, answer) < 0) {
        session_no_memory(session);
        return;
    }
    if (answer->effect == DRIVER_BEGIN || (answer->effect == DRIVER_RECOVER && failed))
        session->status = READY_IN_TRANSACTION;
    else if (answer->effect == DRIVER_COMMIT || answer->effect == DRIVER_ROLLBACK)
        session->status = READY_IDLE;
    if (answer->effect == DRIVER_COMMIT && failed)
        tag = "ROLLBACK";
    session_complete(session, tag);
}

void
command_refuse_in_failed_transaction(struct session *session)
{
    session_error_state(session, SQLSTATE_FAILED_TRANSACTION,
                        "current transaction is aborted, commands ignored until end of "
                        "transaction block",
                        NULL);
}

/* As PostgreSQL: the driver is to notice that something has failed. */
static bool
is_refused_in_failed_transaction(const struct session *session, const struct driver_answer *answer)
{
    if (session->status != READY_FAILED_TRANSACTION)
        return false;
    return answer == NULL ||
           !(answer->effect == DRIVER_COMMIT || answer->effect == DRIVER_ROLLBACK ||
             answer->effect == DRIVER_RECOVER);
}

/* ---- dispatch -------------------------------------------------------------------------------- */

/* To add a command: a row here, and its line in SHOW HELP. */
static const struct {
    const char *name;
    void (*execute)(struct session *session, const struct statement *statement, const char *sql);
    bool for_all; /* else administrators only */
} commands[] = {
    // clang-format off
    { "DISABLE",     admin_disable,     false },
    { "ENABLE",      admin_enable,      false },
    { "KILL",        admin_kill,        false },
    { "KILL_CLIENT", admin_kill_client, false },
    { "PAUSE",       admin_pause,       false },
    { "RECONNECT",   admin_reconnect,   false },
    { "RELOAD",      command_reload,    false },
    { "RESUME",      admin_resume,      false },
    { "SELECT",      command_show,      true },
    { "SET",         command_set,       false },
    { "SHOW",        command_show,      true },
    { "SHUTDOWN",    command_shutdown,  false },
    { "WAIT_CLOSE",  admin_wait_close,  false },
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
    struct driver_answer answer;
    struct statement statement;
    const bool from_driver = driver_find(sql, &answer);

    if (is_refused_in_failed_transaction(session, from_driver ? &answer : NULL)) {
        command_refuse_in_failed_transaction(session);
        return;
    }
    if (from_driver) {
        answer_driver(session, &answer);
        return;
    }
    if (select_is_query(sql)) {
        select_execute(session, sql);
        return;
    }
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

size_t
command_describe(const struct session *session, const char *sql, struct msg_column *columns)
{
    struct driver_answer answer;
    struct statement statement;

    if (driver_find(sql, &answer)) {
        columns[0] = (struct msg_column){.name = answer.column, .type = answer.type};
        return answer.column != NULL ? 1 : 0;
    }
    if (statement_parse(sql, &statement) != STATEMENT_OK ||
        !(str_ieq(statement.command, "SHOW") || str_ieq(statement.command, "SELECT")))
        return 0;
    return show_describe(engine_config(session->console->engine), show_find(statement.arg),
                         columns);
}
