/*
 * session.c - one connection to the console: its bytes, its states, its end.
 */
#include "console_int.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "clock.h"
#include "config.h"
#include "entropy.h"
#include "fd.h"
#include "log.h"
#include "outbox.h"
#include "peer_key.h"
#include "pg.h"
#include "timer.h"

/* No statement is longer; so a session's memory is bounded. */
#define MESSAGE_MAX 65536

#define TO(state) (1u << SESSION_##state)

/* What a state is called, where it may lead, and whether the peer's end ends it, too. */
static const struct {
    const char *name;
    unsigned next;
    bool reading;      /* else hung_up tells the peer's end */
    bool ends_at_once; /* when the peer has hung up; else when its turn to read comes */
} states[] = {
    // clang-format off
    [SESSION_IDLE]     = { "idle",     TO(SNAPSHOT) | TO(BARRIER) | TO(RELOAD) | TO(DRAIN) |
                                       TO(WATCH) | TO(KILL) | TO(SQL) | TO(FLUSH) |
                                       TO(EXIT) | TO(CLOSED),               true,  false },
    [SESSION_SNAPSHOT] = { "snapshot", TO(IDLE) | TO(CLOSED),    false, false },
    [SESSION_BARRIER]  = { "barrier",  TO(IDLE) | TO(CLOSED),    false, false },
    [SESSION_RELOAD]   = { "reload",   TO(IDLE) | TO(CLOSED),    false, false },
    [SESSION_DRAIN]    = { "drain",    TO(IDLE) | TO(CLOSED),    false, true },
    [SESSION_WATCH]    = { "watch",    TO(IDLE) | TO(CLOSED),    false, true },
    [SESSION_KILL]     = { "kill",     TO(IDLE) | TO(CLOSED),    false, false },
    [SESSION_SQL]      = { "sql",      TO(IDLE) | TO(CLOSED),    false, true },
    [SESSION_FLUSH]    = { "flush",    TO(IDLE) | TO(CLOSED),    false, false },
    [SESSION_EXIT]     = { "exit",     TO(CLOSED),               false, true },
    [SESSION_CLOSED]   = { "closed",   0,                        false, false },
    // clang-format on
};

static void session_turn(struct message *message);

const char *
session_state_name(enum session_state state)
{
    return states[state].name;
}

/* The only place where the state changes. */
static void
session_set_state(struct session *session, enum session_state next)
{
    assert(states[session->state].next & (1u << next));
    session->state = next;
    if (next != SESSION_CLOSED)
        stream_set_reading(&session->stream, states[next].reading);
}

void
session_wake(struct session *session)
{
    if (session->turn_pending)
        return;
    session->turn_pending = true;
    session->turn.fn = session_turn;
    loop_defer(session->console->loop, &session->turn);
}

void
session_log(const struct session *session, int level, const char *format, ...)
{
    const struct console_visitor *visitor = session->visitor;
    const bool is_v6 = strchr(visitor->peer.host, ':') != NULL;
    char subject[512];
    va_list args;

    if (!log_level_enabled(level))
        return;
    snprintf(subject, sizeof(subject), "C-0x%llx: %s/%s@%s%s%s:%d", (unsigned long long)visitor->id,
             visitor->database, visitor->user, is_v6 ? "[" : "", visitor->peer.host,
             is_v6 ? "]" : "", visitor->peer.port);
    va_start(args, format);
    log_vmsg(level, subject, format, args);
    va_end(args);
}

/* ---- answers --------------------------------------------------------------------------------- */

void
session_send_output(struct session *session)
{
    session->console->stats.sent += session->output.len;
    stream_send_copy(&session->stream, session->output.data, session->output.len);
    buf_done(&session->output); /* a big answer's memory is not kept */
}

void
session_go_on(struct session *session)
{
    session_send_output(session);
    if (session->state == SESSION_IDLE)
        return;
    session_set_state(session, SESSION_IDLE);
    session_wake(session);
}

/* The statement has its answer. */
static void
session_finish(struct session *session)
{
    struct stats *stats = &session->console->stats;
    const usec_t spent = usec_sub(clock_now(), session->query_start);

    session->portal = NULL;
    stats->queries++;
    stats->xacts++;
    stats->query_time += spent;
    stats->xact_time += spent;
    session_go_on(session);
}

/* What of the answer is not to be sent now is kept; a ReadyForQuery follows, or comes with the
 * Sync. */
static int
session_end_answer(struct session *session)
{
    const int r = extended_limit(session);

    if (r < 0 || session->mode != SESSION_SIMPLE)
        return r;
    return msg_ready(&session->output, session->status);
}

void
session_ready(struct session *session)
{
    if (session_end_answer(session) < 0)
        session_no_memory(session);
    else
        session_finish(session);
}

void
session_complete(struct session *session, const char *tag)
{
    if (msg_command_complete(&session->output, tag) < 0)
        session_no_memory(session);
    else
        session_ready(session);
}

void
session_fault(struct session *session, const char *sqlstate, const char *message,
              const char *detail, const char *hint)
{
    if (engine_config(session->console->engine)->log_pooler_errors)
        session_log(session, LOG_LEVEL_WARNING, "pooler error: %s", message);
    buf_clear(&session->output);
    session->portal = NULL;
    if (session->status == READY_IN_TRANSACTION)
        session->status = READY_FAILED_TRANSACTION;
    if (msg_error(&session->output, "ERROR", sqlstate, message, detail, hint) < 0 ||
        session_end_answer(session) < 0) {
        session_close(session, "out of memory");
        return;
    }
    if (session->mode == SESSION_EXTENDED)
        session->mode = SESSION_SKIPPING;
    session_finish(session);
}

void
session_error_state(struct session *session, const char *sqlstate, const char *message,
                    const char *detail)
{
    session_fault(session, sqlstate, message, detail, NULL);
}

void
session_error(struct session *session, const char *format, ...)
{
    char message[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    session_error_state(session, SQLSTATE_PROTOCOL_VIOLATION, message, NULL);
}

void
session_no_memory(struct session *session)
{
    buf_done(&session->output);
    session_error_state(session, SQLSTATE_OUT_OF_MEMORY, "out of memory", NULL);
}

void
session_wait(struct session *session, enum session_state state)
{
    session_set_state(session, state);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void
session_free(struct session *session)
{
    buf_done(&session->input);
    buf_done(&session->output);
    free(session->paused);
    free(session->watched);
    free(session);
}

void
session_close(struct session *session, const char *reason)
{
    struct console_visitor *visitor = session->visitor;
    const enum session_state prev = session->state;

    if (prev == SESSION_CLOSED)
        return;
    if (engine_config(session->console->engine)->log_disconnections)
        session_log(session, LOG_LEVEL_INFO, "closing because: %s (age=%llus)", reason,
                    (unsigned long long)(usec_sub(clock_wall(), visitor->connect_time) / SEC));
    admin_give_up(session);
    select_give_up(session);
    session_set_state(session, SESSION_CLOSED);
    extended_forget(session);
    timer_free(session->timer);
    session->timer = NULL;
    list_remove(&session->reload.link);
    list_remove(&session->link);
    stream_close(&session->stream);
    engine_visitor_free(TAKE(session->visitor));
    session_wake(session);
}

/* Tells the peer why, as far as it will listen, and closes. */
void
session_fatal(struct session *session, const char *sqlstate, const char *reason)
{
    if (session->state == SESSION_CLOSED) /* for want of memory, say */
        return;
    if (engine_config(session->console->engine)->log_pooler_errors)
        session_log(session, LOG_LEVEL_WARNING, "pooler error: %s", reason);
    buf_clear(&session->output);
    if (msg_error(&session->output, "FATAL", sqlstate, reason, NULL, NULL) == 0) {
        session_send_output(session);
        outbox_flush(session->console->outbox);
    }
    session_close(session, reason);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void
session_query(struct session *session, const char *sql, size_t len)
{
    if (len == 0 || memchr(sql, '\0', len) != sql + len - 1) {
        session_fatal(session, SQLSTATE_PROTOCOL_VIOLATION, "incomplete query");
        return;
    }
    session->mode = SESSION_SIMPLE;
    session_execute(session, sql);
}

void
session_begin(struct session *session, const char *sql)
{
    session->query_start = clock_now();
    session->request_time = clock_wall();
    session_log(session, LOG_LEVEL_DEBUG, "got admin query: %s", sql);
}

void
session_execute(struct session *session, const char *sql)
{
    session_begin(session, sql);
    command_execute(session, sql);
}

static void
session_message(struct session *session, char type, const char *body, size_t len)
{
    if (type == FRONTEND_TERMINATE) {
        session_close(session, "client close request");
    } else if (extended_message(session, type, body, len) || session->mode == SESSION_SKIPPING) {
        return; /* up to a Sync, nothing else is looked at */
    } else if (type == FRONTEND_QUERY) {
        session_query(session, body, len);
    } else {
        session_error(session, "unsupported packet type for admin console: %d", type);
        session_fatal(session, SQLSTATE_PROTOCOL_VIOLATION, "bad packet");
    }
}

/* Executes the oldest message, if all of it is there. */
static bool
session_step(struct session *session)
{
    const char *data = session->input.data;
    uint32_t len; /* of the message but for its type */

    if (session->input.len < PG_HEADER_SIZE)
        return false;
    len = pg_get_uint32(data + 1);
    if (len < 4 || len > MESSAGE_MAX) {
        session_fatal(session, SQLSTATE_PROTOCOL_VIOLATION, "bad packet header");
        return false;
    }
    if (session->input.len < (size_t)len + 1)
        return false;
    session_message(session, *data, data + PG_HEADER_SIZE, len - 4);
    buf_consume(&session->input, (size_t)len + 1);
    return true;
}

/* As far as there is input, and somebody who takes the answers. */
static void
session_run(struct session *session)
{
    while (session->state == SESSION_IDLE) {
        if (stream_backlog_size(&session->stream) > 0)
            session_set_state(session, SESSION_FLUSH);
        else if (!session_step(session))
            break;
    }
}

static void
session_turn(struct message *message)
{
    struct session *session = container_of(message, struct session, turn);

    session->turn_pending = false;
    if (session->state != SESSION_CLOSED)
        session_run(session);
    else if (!session->engine_pending)
        session_free(session);
}

/* ---- the stream ------------------------------------------------------------------------------ */

static void
session_readable(struct stream *stream)
{
    struct session *session = container_of(stream, struct session, stream);
    const char *data;
    const ssize_t n = stream_recv(stream, &data, NULL);

    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        session_close(session, n == 0 ? "client unexpected eof" : strerror((int)-n));
        return;
    }
    session->console->stats.received += (size_t)n;
    if (buf_append(&session->input, data, (size_t)n) < 0) {
        session_close(session, "out of memory");
        return;
    }
    session_run(session);
}

static void
session_drained(struct stream *stream)
{
    struct session *session = container_of(stream, struct session, stream);

    if (session->state != SESSION_FLUSH)
        return;
    session_set_state(session, SESSION_IDLE);
    session_run(session);
}

static void
session_hung_up(struct stream *stream)
{
    struct session *session = container_of(stream, struct session, stream);

    if (states[session->state].ends_at_once)
        session_close(session, "client unexpected eof");
}

static void
session_failed(struct stream *stream, int error)
{
    session_close(container_of(stream, struct session, stream), strerror(error));
}

static const struct stream_ops session_stream_ops = {
    .name = "console session",
    .readable = session_readable,
    .drained = session_drained,
    .hung_up = session_hung_up,
    .failed = session_failed,
};

/* ---- the beginning --------------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *value;
} greeting[] = {
    {"server_version", CONSOLE_SERVER_VERSION},
    {"client_encoding", "UTF8"},
    {"server_encoding", "UTF8"},
    {"DateStyle", "ISO"},
    {"TimeZone", "GMT"},
    {"standard_conforming_strings", "on"},
    {"is_superuser", "on"},
};

static int
session_greet(struct session *session)
{
    struct buf *out = &session->output;
    char key[4];
    int r;

    pg_put_uint32(key, session->cancel_key);
    r = msg_auth_ok(out);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(greeting); i++)
        r = msg_parameter_status(out, greeting[i].name, greeting[i].value);
    if (r == 0)
        r = msg_backend_key(out, session->cancel_pid, key, sizeof(key));
    if (r == 0)
        r = msg_ready(out, READY_IDLE);
    if (r == 0)
        session_send_output(session);
    return r;
}

/* Everything but the stream. */
static struct session *
session_new(struct console *console, struct console_visitor *visitor)
{
    struct session *session = calloc(1, sizeof(*session));
    char key[8];

    if (session == NULL)
        return NULL;
    if (entropy_fill(key, sizeof(key)) < 0) {
        free(session);
        return NULL;
    }
    session->console = console;
    session->visitor = visitor;
    session->state = SESSION_IDLE;
    session->status = READY_IDLE;
    list_init(&session->prepared);
    list_init(&session->portals);
    peer_key_mark(key, engine_config(console->engine)->peer_id);
    session->cancel_pid = pg_get_uint32(key) & INT32_MAX; /* a process number is positive */
    session->cancel_key = pg_get_uint32(key + 4);
    buf_init(&session->input);
    buf_init(&session->output);
    return session;
}

int
session_open(struct console *console, struct console_visitor *visitor)
{
    struct session *session = session_new(console, visitor);
    int r;

    if (session == NULL) {
        engine_visitor_free(visitor);
        return -ENOMEM;
    }
    r = stream_open(&session->stream, console->outbox, FD_TAKE(visitor->fd), TAKE(visitor->tls),
                    false, &session_stream_ops);
    if (r < 0) {
        engine_visitor_free(visitor);
        session_free(session);
        return r;
    }
    list_push_back(&console->sessions, &session->link);
    console->stats.client_logins++;
    session->access = auth_console_access(engine_config(console->engine), visitor->user,
                                          visitor->peer.is_unix, visitor->peer.uid);
    if (auth_is_owner(visitor->user, visitor->peer.is_unix, visitor->peer.uid))
        session_log(session, LOG_LEVEL_INFO, "pgbouncer access from unix socket");
    if (session->access == CONSOLE_ACCESS_NONE)
        session_fatal(session, SQLSTATE_PROTOCOL_VIOLATION, "not allowed");
    else if (session_greet(session) < 0)
        session_close(session, "out of memory");
    return 0;
}
