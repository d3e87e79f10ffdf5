#include "server.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "engine_int.h"
#include "log.h"
#include "policy.h"
#include "pool.h"
#include "prepared.h"
#include "relay.h"
#include "relay_int.h"
#include "replication.h"
#include "settings.h"
#include "worker.h"

#define TO(state) (1u << SERVER_##state)

static const struct {
    const char *name;
    const char *shown; /* PgBouncer's word */
    unsigned next;     /* mask of the states that may follow */
} states[] = {
    /* clang-format off */
    [SERVER_SETUP]    = { "setup",    "new",            TO(IDLE) | TO(ACTIVE) | TO(TESTED) | TO(MOVING) | TO(CLOSING) },
    [SERVER_IDLE]     = { "idle",     "idle",           TO(ACTIVE) | TO(TESTED) | TO(MOVING) | TO(CLOSING) },
    [SERVER_ACTIVE]   = { "active",   "active",         TO(IDLE) | TO(ACTIVE) | TO(TESTED) | TO(CANCELED) | TO(MOVING) | TO(CLOSING) },
    [SERVER_TESTED]   = { "tested",   "tested",         TO(IDLE) | TO(ACTIVE) | TO(TESTED) | TO(MOVING) | TO(CLOSING) },
    [SERVER_CANCELED] = { "canceled", "being_canceled", TO(IDLE) | TO(ACTIVE) | TO(TESTED) | TO(MOVING) | TO(CLOSING) },
    [SERVER_MOVING]   = { "moving",   "idle",           TO(IDLE) | TO(ACTIVE) | TO(TESTED) | TO(MOVING) | TO(CLOSING) },
    [SERVER_CLOSING]  = { "closing",  "closing",        0 },
    /* clang-format on */
};

const char *
server_state_name(enum server_state state)
{
    return states[state].shown;
}

/* What holds in each state; a broken promise here could show one client another's rows. */
static void
server_verify(const struct server *server)
{
    assert((server->client != NULL) == (server->state == SERVER_ACTIVE));
    assert(server->lookup == NULL || server->state == SERVER_TESTED);
    assert(server->owner == NULL || server->state == SERVER_SETUP);
    assert(server->replication == REPLICATION_NONE || server->state == SERVER_SETUP ||
           server->state == SERVER_ACTIVE || server->state == SERVER_CLOSING);
    assert(!list_is_linked(&server->idle_link) || server->state == SERVER_IDLE);
    assert(server->state != SERVER_IDLE ||
           (server_is_ready(server) && requests_empty(&server->requests) && !server->cancelling &&
            server->status == READY_IDLE));
}

void
server_set_state(struct server *server, enum server_state next)
{
    const enum server_state before = server->state;

    assert(states[before].next & (1u << next));
    server->state = next;
    if ((before == SERVER_SETUP || before == SERVER_TESTED) && !server_is_dedicated(server))
        server->shard->checking--;
    if (next == SERVER_TESTED)
        server->shard->checking++;
    if (log_level_enabled(LOG_LEVEL_NOISE))
        server_log(server, LOG_LEVEL_NOISE, "%s -> %s", states[before].name, states[next].name);
    server_verify(server);
}

void
server_log(const struct server *server, enum log_level level, const char *format, ...)
{
    const struct backend *const backend = server->backend;
    const struct pool *const pool = server->shard->pool;
    const bool is_v6 = strchr(backend->remote_addr, ':') != NULL;
    char subject[400];
    va_list args;

    if (!log_level_enabled(level))
        return;
    (void)snprintf(subject, sizeof subject, "S-0x%llx: %s/%s@%s%s%s:%d",
                   (unsigned long long)server->id, pool->database->name, pool->user->name,
                   is_v6 ? "[" : "", backend->remote_addr, is_v6 ? "]" : "", backend->remote_port);
    va_start(args, format);
    log_vmsg(level, subject, format, args);
    va_end(args);
}

/* ---- stream -----------------------------------------------------------------------------------
 */

static struct server *
server_of(struct stream *stream)
{
    return container_of(stream, struct server, stream);
}

static void
server_on_readable(struct stream *stream)
{
    relay_server_readable(server_of(stream));
}

static void
server_on_drained(struct stream *stream)
{
    relay_server_drained(server_of(stream));
}

static void
server_on_failed(struct stream *stream, int error)
{
    struct server *const server = server_of(stream);

    server_log(server, LOG_LEVEL_INFO, "sending to the server failed: %s", strerror(error));
    server_close(server, CLOSE_SV_EOF);
}

/*
 * The server has gone while its data waits for a slow client. What it has sent is still to be read:
 * reading goes on when the client has taken its part.
 */
static void
server_on_hung_up(struct stream *stream)
{
    (void)stream;
}

static const struct stream_ops server_stream_ops = {
    .name = "server",
    .readable = server_on_readable,
    .drained = server_on_drained,
    .hung_up = server_on_hung_up,
    .failed = server_on_failed,
};

/* ---- life -------------------------------------------------------------------------------------
 */

/*
 * Spread by a tenth to either side, so that what began together does not end together. 0 is the end
 * after one use, which is still to come.
 */
static usec_t
server_spread_lifetime(struct shard *shard)
{
    const usec_t lifetime = shard->policy->server_lifetime;

    if (lifetime == 0)
        return USEC_NEVER;
    return lifetime - lifetime / 10 + rng_below(&shard->worker->rng, lifetime / 5 + 1);
}

static int
server_read_parameters(struct server *server)
{
    int r = 0;

    for (size_t i = 0; i < server->backend->parameter_count && r == 0; i++)
        r = settings_put(&server->settings, server->backend->parameters[i].name,
                         server->backend->parameters[i].value);
    server->defaults = settings_ref(server->settings);
    return r;
}

/* Among those of its shard; and among those who will come back, or who never will. */
static void
server_enter(struct server *server)
{
    struct shard *const shard = server->shard;

    list_push_back(&shard->servers, &server->link);
    shard->server_count++;
    if (server_is_dedicated(server)) {
        shard->dedicated_count++;
        atomic_fetch_add(&shard->pool->dedicated, 1);
    } else {
        shard->checking++;
    }
}

int
server_open(struct server *server, struct shard *shard, struct backend *backend,
            unsigned generation, enum replication_kind replication, struct client *owner)
{
    int r;

    server->shard = shard;
    server->backend = backend;
    server->generation = generation;
    server->id = engine_new_id(shard->pool->engine);
    server->settings = settings_empty();
    server->defaults = settings_empty();
    server->status = 'I';
    server->connect_time = loop_now(shard->worker->loop);
    server->connect_wall = clock_wall();
    server->lifetime = server_spread_lifetime(shard);
    list_init(&server->cancel_told);
    list_init(&server->cancel_asked);
    requests_init(&server->requests);
    framer_init(&server->framer, FRAMER_NO_LIMIT);
    server->replication = replication;
    server->owner = owner;
    if (owner != NULL)
        owner->replication->server = server;
    server_enter(server);
    r = stream_open(&server->stream, shard->worker->outbox, backend->fd, backend->tls, true,
                    &server_stream_ops);
    if (r == 0)
        r = server_read_parameters(server);
    if (r < 0) {
        server_close(server, CLOSE_NO_MEMORY);
        return r;
    }
    server_log(server, LOG_LEVEL_INFO, "new connection to server (from %s:%d)%s%s",
               backend->local_addr, backend->local_port, backend->tls != NULL ? " TLS: " : "",
               backend->tls != NULL ? backend->tls_version : "");
    server_begin_ask(server, ASK_PROBE);
    return 0;
}

static void
server_free_message(struct message *message)
{
    struct server *const server = container_of(message, struct server, message);

    requests_done(&server->requests);
    prepared_free(server->prepared);
    relay_forget_plan(server);
    buf_done(&server->held);
    buf_done(&server->replay);
    settings_unref(server->settings);
    settings_unref(server->defaults);
    free(server);
}

/* The server's process has gone: now, not before, there may be another connection. */
static void
server_retired(struct message *message)
{
    struct server *const server = container_of(message, struct server, message);
    struct shard *const shard = server->shard;

    atomic_fetch_sub(&shard->pool->closing, 1);
    if (server_is_dedicated(server))
        atomic_fetch_sub(&shard->pool->dedicated, 1);
    shard_return_lease(shard);
    engine_release_object(shard->pool->engine);
    server_free_message(message);
}

void
server_retire(struct server *server, bool polite)
{
    server->retired = true;
    server->message.fn = server_retired;
    connector_retire(engine_connector(server->shard->pool->engine), TAKE(server->backend), polite,
                     server->shard->worker->loop, &server->message);
}

/* Where the protocol is between two messages, and the server has nothing left to do. */
static bool
server_is_quiet(const struct server *server)
{
    return server_is_ready(server) && framer_is_between(&server->framer) &&
           stream_backlog_size(&server->stream) == 0;
}

void
server_close(struct server *server, enum close_reason reason)
{
    const struct close_reason_row *const row = close_reason_row(reason);
    struct client *const client = server->client != NULL ? server->client : server->owner;
    struct lookup *const lookup = server->lookup;
    struct shard *const shard = server->shard;
    const bool polite = server_is_quiet(server);

    if (server->state == SERVER_CLOSING)
        return;
    server_log(server, row->level, "closing because: %s%s%s (age=%llus)", row->text,
               *server->trouble != '\0' ? ": " : "", server->trouble,
               (unsigned long long)((loop_now(shard->worker->loop) - server->connect_time) / SEC));
    if (server->client != NULL)
        client->is_cut = relay_client_is_cut(server);
    if (server->owner != NULL)
        client->replication->server = NULL;
    server_cancel_drop(server);
    requests_abandon_ops(&server->requests); /* they know the client */
    server->client = NULL;
    server->owner = NULL;
    server->lookup = NULL;
    task_finish(&server->task);
    if (server->state == SERVER_IDLE)
        shard_remove_idle(shard, server);
    server_set_state(server, SERVER_CLOSING);
    stream_close(&server->stream);
    list_remove(&server->link);
    shard->server_count--;
    atomic_fetch_add(&shard->pool->closing, 1);
    shard->dedicated_count -= server_is_dedicated(server);
    if (client != NULL)
        client_server_lost(client, server->said_fatal ? CLOSE_SENT_ERROR : reason,
                           *server->trouble != '\0' ? server->trouble : NULL);
    if (lookup != NULL)
        lookup_lost(lookup, *server->trouble != '\0' ? server->trouble : row->text);
    if (!server->cancelling) /* else the end of that retires it */
        server_retire(server, polite);
    shard_grow(shard);
}

bool
server_is_usable(const struct server *server)
{
    const struct policy *const policy = server->shard->policy;

    return policy->check_query == NULL ||
           loop_now(server->shard->worker->loop) - server->idle_since < policy->server_check_delay;
}

bool
server_is_obsolete(const struct server *server)
{
    return server->is_outdated || server->generation != server->shard->policy->generation;
}

enum close_reason
server_reason_to_close(const struct server *server)
{
    const struct shard *const shard = server->shard;
    const struct policy *const policy = shard->policy;
    const usec_t age = loop_now(shard->worker->loop) - server->connect_time;
    /* Those on their way out are surplus no more. */
    const unsigned used =
        usec_sub(permits_used(&shard->pool->servers), atomic_load(&shard->pool->closing));

    if (shard->worker->stopping)
        return CLOSE_SV_STOP;
    if (shard_is_paused(shard))
        return CLOSE_SV_PAUSED;
    if (server_is_obsolete(server))
        return CLOSE_SV_OBSOLETE;
    if (age >= server->lifetime)
        return CLOSE_SV_LIFETIME;
    if (policy->size != 0 && used > policy->size + policy->reserve)
        return CLOSE_SV_TOO_MANY;
    /* The reserve is for waiters; without any, what is over the pool's size goes. */
    if (policy->size != 0 && used > policy->size && list_empty(&shard->waiters))
        return CLOSE_SV_TOO_MANY;
    return CLOSE_REASON_COUNT;
}

void
server_check(struct server *server)
{
    shard_remove_idle(server->shard, server);
    server_set_state(server, SERVER_TESTED);
    server_begin_ask(server, ASK_CHECK);
}

void
server_link(struct server *server, struct client *client)
{
    assert(requests_empty(&server->requests) && !server->cancelling);
    server->client = client;
    server->was_canceled = false;
    server->cancel_from = 0;
    server->said_fatal = false;
    server->progress = PROGRESS_LINKED;
    server->taught.statement = NULL;
    server->is_altered = false;
    server->resets = false;
    relay_forget_plan(server);
    prepared_leave_unnamed(client->names);
    *server->trouble = '\0';
    if (server->shard->policy->server_lifetime == 0)
        server->lifetime = 0;
    server->request_time = loop_now(server->shard->worker->loop);
    server_set_state(server, SERVER_ACTIVE);
    server->shard->stats.server_assignments++;
}

/*
 * The way back to the pool, one obstacle at a time; each ends by coming here again through
 * server_ask_done or server_cancel_done.
 */
void
server_release(struct server *server)
{
    const struct policy *const policy = server->shard->policy;
    const bool reset = policy->mode == POOL_SESSION || policy->reset_always;

    if (server->state == SERVER_ACTIVE && server->client != NULL) {
        struct client *const client = TAKE(server->client);

        client_unlink(client);
    }
    if (server_is_dedicated(server)) {
        server_close(server, CLOSE_SV_REPLICATION);
        return;
    }
    stream_set_reading(&server->stream, true);
    if (!server_is_quiet(server) || server->cancel_in_doubt ||
        !requests_are_certain(&server->requests)) {
        server_close(server, CLOSE_SV_CLIENT_GONE);
        return;
    }
    if (server->cancelling) {
        server_set_state(server, SERVER_CANCELED);
        return;
    }
    if (server->was_canceled) {
        server->was_canceled = false;
        server_set_state(server, SERVER_TESTED);
        server_begin_ask(server, ASK_SYNC);
        return;
    }
    if (server->status != 'I') {
        server_set_state(server, SERVER_TESTED);
        server_begin_ask(server, ASK_ROLLBACK);
        return;
    }
    if (server->strangers > 0 && policy->connect_query != NULL) {
        server_close(server, CLOSE_SV_STRANGERS); /* that query's might be among them */
        return;
    }
    if (server->strangers > 0) {
        server_set_state(server, SERVER_TESTED);
        server_begin_ask(server, ASK_FORGET);
        return;
    }
    if (reset && policy->reset_query != NULL && server->ask != ASK_RESET &&
        server_reason_to_close(server) == CLOSE_REASON_COUNT) {
        server_set_state(server, SERVER_TESTED);
        server_begin_ask(server, ASK_RESET);
        return;
    }
    server->ask = ASK_NOTHING;
    pool_put(server);
}

/* ---- moving -----------------------------------------------------------------------------------
 */

static void
server_arrive(struct message *message)
{
    struct server *const server = container_of(message, struct server, message);
    struct shard *const shard = server->shard;

    atomic_fetch_sub(&shard->incoming, 1);
    list_push_back(&shard->servers, &server->link);
    shard->server_count++;
    if (stream_attach(&server->stream, shard->worker->outbox) < 0) {
        server_close(server, CLOSE_NO_MEMORY);
        return;
    }
    pool_put(server);
}

void
server_move(struct server *server, struct shard *to)
{
    struct shard *const from = server->shard;

    server_set_state(server, SERVER_MOVING);
    list_remove(&server->link);
    from->server_count--;
    stream_detach(&server->stream);
    server->shard = to;
    atomic_fetch_add(&to->incoming, 1);
    server->message.fn = server_arrive;
    loop_post(to->worker->loop, &server->message);
}
