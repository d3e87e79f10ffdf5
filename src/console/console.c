#include "console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "console_int.h"
#include "executor.h"
#include "log.h"
#include "query.h"
#include "sampler.h"
#include "str.h"

/* SELECTs: two at a time, for the sake of those who work; others wait. */
#define SQL_THREADS 2
#define SQL_QUEUE   32
#define SQL_NICE    10
#define SQL_MEMORY  (128 << 20) /* of all of them */

int
console_new(struct engine *engine, struct loop *loop, struct outbox *outbox,
            const struct console_hooks *hooks, struct console **ret_console)
{
    struct console *console = calloc(1, sizeof(*console));
    int r;

    if (console == NULL)
        return -ENOMEM;
    console->engine = engine;
    console->loop = loop;
    console->outbox = outbox;
    console->hooks = *hooks;
    list_init(&console->sessions);
    query_limit_memory(SQL_MEMORY);
    r = executor_new_nice("sql", SQL_THREADS, SQL_QUEUE, SQL_NICE, USEC_NEVER, &console->executor);
    if (r < 0) {
        free(console);
        return r;
    }
    r = sampler_new(engine, loop, &console->stats, &console->sampler);
    if (r < 0) {
        executor_free(console->executor);
        free(console);
        return r;
    }
    *ret_console = console;
    return 0;
}

void
console_close(struct console *console)
{
    struct session *session;

    console->closed = true;
    sampler_stop(console->sampler);
    LIST_FOREACH_SAFE (session, &console->sessions, link)
        session_close(session, "pooler is shutting down");
    executor_close(console->executor); /* which does not take long: all it has is cancelled */
}

void
console_free(struct console *console)
{
    if (console == NULL)
        return;
    if (!console->closed)
        console_close(console);
    sampler_free(console->sampler);
    executor_free(console->executor);
    free(console);
}

void
console_visit(struct console *console, struct console_visitor *visitor)
{
    int r;

    if (console->closed) {
        engine_visitor_free(visitor);
        return;
    }
    r = session_open(console, visitor);
    if (r < 0)
        log_warning("cannot open a console session: %s", strerror(-r));
}

bool
console_cancel(struct console *console, uint32_t pid, uint32_t key)
{
    struct session *session;

    LIST_FOREACH (session, &console->sessions, link) {
        if (session->cancel_pid != pid || session->cancel_key != key)
            continue;
        admin_cancel(session);
        return true;
    }
    return false;
}

/* Whether what the session has paused is all resumed by a RESUME of database. */
static bool
is_resumed(const struct session *session, const char *database)
{
    return session->state == SESSION_DRAIN && str_eq(session->paused, database);
}

enum engine_result
console_resume(struct console *console, const char *database)
{
    const enum engine_result result = engine_resume(console->engine, database);
    struct session *session;

    if (result != ENGINE_OK)
        return result;
    LIST_FOREACH_SAFE (session, &console->sessions, link) {
        if (!is_resumed(session, database))
            continue;
        engine_drain_cancel(&session->drain);
        session_error(session, "another session has ended the pause");
    }
    return ENGINE_OK;
}
