#include "admin.h"

#include <errno.h>
#include <stdlib.h>

#include "console_int.h"
#include "log.h"
#include "sqlstate.h"
#include "statement.h"
#include "str.h"
#include "timer.h"

/* How often WAIT_CLOSE looks whether the servers have gone. */
#define WATCH_INTERVAL (100 * MSEC)

/* The console's own database, under one of its names. */
static bool
is_console(const char *database)
{
    return str_eq(database, "pgbouncer") || str_eq(database, "pgweir");
}

/* An empty argument stands for all databases. */
static const char *
database_or_all(const struct statement *statement)
{
    return str_or_null(statement->arg);
}

void
admin_log_issued(const struct session *session, const char *command, const char *arg)
{
    if (*arg != '\0')
        session_log(session, LOG_LEVEL_INFO, "%s '%s' command issued", command, arg);
    else
        session_log(session, LOG_LEVEL_INFO, "%s command issued", command);
}

/* False, and the session was told: the command is not for the console's own database. */
static bool
may_do(struct session *session, const struct statement *statement, const char *to_do,
       const char *command)
{
    if (is_console(statement->arg)) {
        session_error(session, "cannot %s admin db: %s", to_do, statement->arg);
        return false;
    }
    admin_log_issued(session, command, statement->arg);
    return true;
}

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

/* ---- until all workers have done it ---------------------------------------------------------- */

/* A question about nothing, which each worker answers after what it was told before. */
static void
barrier_reached(struct snapshot_request *request, struct snapshot *snapshot)
{
    struct session *const session = container_of(request, struct session, request);

    snapshot_free(snapshot);
    session->engine_pending = false;
    if (session->state == SESSION_CLOSED)
        session_wake(session);
    else
        session_complete(session, session->tag);
}

/* Tells the outcome, after all workers have heard of it. */
static void
answer(struct session *session, enum engine_result result, const char *database, const char *tag)
{
    if (result != ENGINE_OK) {
        refused(session, result, database);
        return;
    }
    session->tag = tag;
    session->request.what = 0;
    session->request.done = barrier_reached;
    session->engine_pending = true;
    session_wait(session, SESSION_BARRIER);
    engine_snapshot(session->console->engine, &session->request);
}

void
admin_kill(struct session *session, const struct statement *statement, const char *sql)
{
    const char *const database = database_or_all(statement);

    (void)sql;
    if (may_do(session, statement, "kill", "KILL"))
        answer(session, engine_kill(session->console->engine, database), database, "KILL");
}

void
admin_reconnect(struct session *session, const struct statement *statement, const char *sql)
{
    const char *const database = database_or_all(statement);

    (void)sql;
    if (may_do(session, statement, "reconnect", "RECONNECT"))
        answer(session, engine_reconnect(session->console->engine, database), database,
               "RECONNECT");
}

static void
set_disabled(struct session *session, const struct statement *statement, bool disabled)
{
    struct engine *const engine = session->console->engine;
    const char *const command = disabled ? "DISABLE" : "ENABLE";

    if (*statement->arg == '\0')
        session_error(session, "a database is required");
    else if (may_do(session, statement, disabled ? "disable" : "enable", command))
        answer(session, engine_set_disabled(engine, statement->arg, disabled), statement->arg,
               command);
}

void
admin_disable(struct session *session, const struct statement *statement, const char *sql)
{
    (void)sql;
    set_disabled(session, statement, true);
}

void
admin_enable(struct session *session, const struct statement *statement, const char *sql)
{
    (void)sql;
    set_disabled(session, statement, false);
}

/* ---- PAUSE, RESUME --------------------------------------------------------------------------- */

static void
pause_done(struct engine_drain *drain)
{
    session_complete(container_of(drain, struct session, drain), "PAUSE");
}

void
admin_pause(struct session *session, const struct statement *statement, const char *sql)
{
    const char *const database = database_or_all(statement);
    enum engine_result result;

    (void)sql;
    if (!may_do(session, statement, "pause", "PAUSE"))
        return;
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
admin_resume(struct session *session, const struct statement *statement, const char *sql)
{
    const char *const database = database_or_all(statement);
    enum engine_result result = ENGINE_NOT_PAUSED;

    (void)sql;
    admin_log_issued(session, "RESUME", statement->arg);
    if (!is_console(statement->arg))
        result = console_resume(session->console, database);
    if (result == ENGINE_OK)
        session_complete(session, "RESUME");
    else
        refused(session, result, database);
}

/* ---- WAIT_CLOSE ------------------------------------------------------------------------------ */

static void
interrupted(struct session *session)
{
    session_error_state(session, SQLSTATE_QUERY_CANCELED, "canceling statement due to user request",
                        NULL);
}

static bool
is_to_be_closed(const struct session *session, const struct socket_row *row)
{
    return row->is_server && row->close_needed &&
           (session->watched == NULL || str_eq(session->watched, row->database));
}

static void
watch_saw(struct snapshot_request *request, struct snapshot *snapshot)
{
    struct session *const session = container_of(request, struct session, request);
    bool is_done = snapshot != NULL && !snapshot->incomplete;

    session->engine_pending = false;
    for (size_t i = 0; is_done && i < snapshot->socket_count; i++)
        is_done = !is_to_be_closed(session, &snapshot->sockets[i]);
    snapshot_free(snapshot);
    if (session->state == SESSION_CLOSED)
        session_wake(session);
    else if (session->interrupted)
        interrupted(session);
    else if (is_done)
        session_complete(session, "WAIT_CLOSE");
    else if (timer_start(session->timer, WATCH_INTERVAL) < 0)
        session_no_memory(session);
}

static void
watch_look(void *arg)
{
    struct session *const session = arg;

    session->request.what = SNAPSHOT_SERVERS;
    session->request.done = watch_saw;
    session->engine_pending = true;
    engine_snapshot(session->console->engine, &session->request);
}

void
admin_wait_close(struct session *session, const struct statement *statement, const char *sql)
{
    struct engine *const engine = session->console->engine;
    const char *const database = database_or_all(statement);

    (void)sql;
    if (!may_do(session, statement, "wait in", "WAIT_CLOSE"))
        return;
    if (database != NULL && !engine_has_database(engine, database)) {
        refused(session, ENGINE_NO_SUCH_DATABASE, database);
        return;
    }
    if (session->timer == NULL)
        session->timer = timer_new(session->console->loop, "WAIT_CLOSE", watch_look, session);
    if (session->timer == NULL || str_set(&session->watched, database) < 0) {
        session_no_memory(session);
        return;
    }
    session->interrupted = false;
    session_wait(session, SESSION_WATCH);
    watch_look(session);
}

/* ---- KILL_CLIENT ----------------------------------------------------------------------------- */

static void
answer_killed(struct session *session, bool found)
{
    if (found)
        session_complete(session, "KILL_CLIENT");
    else
        session_error(session, "client not found");
}

static void
kill_done(struct engine_kill *kill, bool found)
{
    struct session *const session = container_of(kill, struct session, kill);

    session->engine_pending = false;
    if (session->state == SESSION_CLOSED)
        session_wake(session);
    else
        answer_killed(session, found);
}

/* Other sessions of the console are clients, too. */
static bool
kill_session(struct session *killer, uint64_t id)
{
    struct session *session;

    LIST_FOREACH (session, &killer->console->sessions, link) {
        if (session->visitor->id != id)
            continue;
        session_fatal(session, SQLSTATE_ADMIN_SHUTDOWN, "admin forced disconnect");
        if (killer->state != SESSION_CLOSED) /* it may have been its own */
            session_complete(killer, "KILL_CLIENT");
        return true;
    }
    return false;
}

void
admin_kill_client(struct session *session, const struct statement *statement, const char *sql)
{
    char *end;
    uint64_t id;

    (void)sql;
    errno = 0;
    id = strtoull(statement->arg, &end, 10);
    if (errno != 0 || end == statement->arg || *end != '\0') {
        session_error(session, "invalid client pointer supplied");
        return;
    }
    admin_log_issued(session, "KILL_CLIENT", statement->arg);
    if (kill_session(session, id))
        return;
    session->kill.id = id;
    session->kill.done = kill_done;
    session->engine_pending = true;
    session_wait(session, SESSION_KILL);
    engine_kill_client(session->console->engine, &session->kill);
}

/* ---- ^C, and the end of the session ---------------------------------------------------------- */

static void
undo_pause(struct session *session)
{
    struct engine *const engine = session->console->engine;

    engine_drain_cancel(&session->drain);
    if (engine_shutdown_mode(engine) == ENGINE_RUNNING)
        (void)engine_resume(engine, session->paused); /* somebody else may have done so */
}

void
admin_give_up(struct session *session)
{
    if (session->state == SESSION_DRAIN)
        undo_pause(session);
}

void
admin_cancel(struct session *session)
{
    if (session->state == SESSION_WATCH && session->engine_pending) {
        session->interrupted = true;
    } else if (session->state == SESSION_WATCH) {
        timer_stop(session->timer);
        interrupted(session);
    } else if (session->state == SESSION_DRAIN) {
        undo_pause(session);
        interrupted(session);
    } else if (session->state == SESSION_SQL) {
        select_give_up(session);
        interrupted(session);
    }
}
