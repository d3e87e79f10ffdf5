#include "fake_engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fd.h"
#include "str.h"

struct console_visitor *
fake_engine_visitor(struct engine *engine, int fd, const char *user)
{
    struct console_visitor *visitor = calloc(1, sizeof(*visitor));

    assert(visitor != NULL);
    visitor->engine = engine;
    visitor->fd = fd;
    visitor->id = 7;
    visitor->database = strdup("pgbouncer");
    visitor->user = strdup(user);
    visitor->application_name = strdup("psql");
    visitor->peer = (struct peer_address){.host = "unix(4711)", .port = 6432, .is_unix = true};
    visitor->local = (struct peer_address){.host = "unix", .port = 6432, .is_unix = true};
    visitor->peer.uid = (uid_t)-1;
    engine->visitors++;
    return visitor;
}

void
engine_visitor_free(struct console_visitor *visitor)
{
    visitor->engine->visitors--;
    fd_close(visitor->fd);
    free(visitor->database);
    free(visitor->user);
    free(visitor->application_name);
    free(visitor);
}

struct config *
engine_config(const struct engine *engine)
{
    return engine->config;
}

enum engine_shutdown
engine_shutdown_mode(const struct engine *engine)
{
    return engine->mode;
}

bool
engine_is_paused(const struct engine *engine)
{
    return engine->paused;
}

static void
remember_database(struct engine *engine, const char *database)
{
    str_copy(engine->database, sizeof(engine->database), database != NULL ? database : "*");
}

enum engine_result
engine_pause(struct engine *engine, const char *database, struct engine_drain *drain)
{
    remember_database(engine, database);
    if (engine->pause_result != ENGINE_OK)
        return engine->pause_result;
    engine->pauses++;
    engine->paused = true;
    engine->drain = drain;
    return ENGINE_OK;
}

enum engine_result
engine_resume(struct engine *engine, const char *database)
{
    remember_database(engine, database);
    if (engine->resume_result != ENGINE_OK)
        return engine->resume_result;
    engine->resumes++;
    engine->paused = false;
    return ENGINE_OK;
}

bool
engine_has_database(struct engine *engine, const char *database)
{
    remember_database(engine, database);
    return engine->pause_result != ENGINE_NO_SUCH_DATABASE;
}

enum engine_result
engine_reconnect(struct engine *engine, const char *database)
{
    remember_database(engine, database);
    engine->reconnects++;
    return engine->pause_result;
}

enum engine_result
engine_kill(struct engine *engine, const char *database)
{
    remember_database(engine, database);
    engine->kills++;
    return engine->pause_result;
}

enum engine_result
engine_set_disabled(struct engine *engine, const char *database, bool disabled)
{
    remember_database(engine, database);
    engine->disabled = disabled;
    return engine->pause_result;
}

void
engine_kill_client(struct engine *engine, struct engine_kill *kill)
{
    engine->kill = kill;
}

void
fake_engine_killed(struct engine *engine, bool found)
{
    struct engine_kill *kill = engine->kill;

    engine->kill = NULL;
    kill->done(kill, found);
}

void
engine_drain_cancel(struct engine_drain *drain)
{
    (void)drain;
}

void
fake_engine_drained(struct engine *engine)
{
    struct engine_drain *drain = engine->drain;

    engine->drain = NULL;
    drain->done(drain);
}

void
engine_snapshot(struct engine *engine, struct snapshot_request *request)
{
    assert(engine->request_count < FAKE_REQUESTS_MAX);
    engine->requests[engine->request_count++] = request;
}

void
fake_engine_answer(struct engine *engine, struct snapshot *snapshot)
{
    struct snapshot_request *request = engine->requests[0];

    assert(engine->request_count > 0);
    engine->request_count--;
    memmove(engine->requests, engine->requests + 1,
            engine->request_count * sizeof(engine->requests[0]));
    request->done(request, snapshot);
}

void
engine_get_peer_load(struct engine *engine, int peer, struct engine_peer_load *ret_load)
{
    *ret_load = peer == 2 ? engine->peer_load : (struct engine_peer_load){0};
}

void
snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    free(snapshot->pools);
    free(snapshot->sockets);
    free(snapshot->databases);
    free(snapshot->tasks);
    free(snapshot->users);
    free(snapshot);
}

void
stats_add(struct stats *sum, const struct stats *more)
{
    uint64_t *to = &sum->server_assignments;
    const uint64_t *from = &more->server_assignments;

    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        to[i] += from[i];
}
