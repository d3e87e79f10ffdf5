#include "relay.h"

#include <limits.h>

#include "client.h"
#include "close_reason.h"
#include "config.h"
#include "pg.h"
#include "policy.h"
#include "pool.h"
#include "relay_int.h"
#include "server.h"
#include "worker.h"

/* What a waiting client may send ahead before it is read no more. */
#define RELAY_PENDING_MAX (64 * 1024)

/* The session keeps its server, but not one that must go and is not to wait for the session. */
static bool
relay_settle_session(struct server *server)
{
    if (likely(!server_is_obsolete(server)) || !server->shard->policy->fast_close)
        return false;
    server_close(server, CLOSE_DATABASE_CHANGED);
    return true;
}

/* The server has nothing left to do for its client, nor has that begun anything. */
static bool
relay_is_done(const struct server *server)
{
    const struct client *const client = server->client;

    return server_is_ready(server) && client != NULL && !client->passing &&
           !server_is_dedicated(server) && server->status == READY_IDLE;
}

bool
relay_is_over(const struct server *server)
{
    return relay_is_done(server) && !server->client->stalled &&
           server->shard->policy->mode != POOL_SESSION && requests_are_certain(&server->requests);
}

bool
relay_settle(struct server *server)
{
    if (!server_is_ready(server) || !framer_is_between(&server->framer))
        return false;
    if (server->ask != ASK_NOTHING) {
        server_ask_done(server);
        return true;
    }
    if (!relay_is_done(server))
        return false;
    if (server->shard->policy->mode == POOL_SESSION)
        return requests_are_certain(&server->requests) && relay_settle_session(server);
    if (unlikely(!requests_are_certain(&server->requests))) {
        server_fence(server);
        return false;
    }
    server_release(server);
    return true;
}

bool
relay_client_must_wait(const struct client *client)
{
    const struct server *const server = client->server;

    return stream_backlog_size(&client->stream) > 0 || client->pending.len > RELAY_PENDING_MAX ||
           (server != NULL &&
            (stream_backlog_size(&server->stream) > 0 || server->requests.count >= REQUESTS_HIGH));
}

unsigned
relay_reads_max(const struct worker *worker)
{
    const int limit = worker->config->sbuf_loopcnt;

    return limit > 0 ? (unsigned)limit : UINT_MAX;
}

int
relay_send_sync(struct server *server, enum request_action action)
{
    static const char sync[] = {FRONTEND_SYNC, 0, 0, 0, 4};
    const int r = requests_push(&server->requests, FRONTEND_SYNC, action);

    if (r == 0)
        stream_send_copy(&server->stream, sync, sizeof sync);
    return r;
}

void
relay_begin_query(struct client *client)
{
    const usec_t now = loop_now(client->worker->loop);
    const struct policy *const policy = client->shard->policy;

    client->request_time = now;
    if (client->query_start == 0) {
        client->query_start = now;
        if (policy->query_timeout != 0)
            client_schedule(client, now + policy->query_timeout);
    }
    if (client->xact_start == 0) {
        client->xact_start = now;
        if (policy->transaction_timeout != 0)
            client_schedule(client, now + policy->transaction_timeout);
    }
}

void
relay_begin(struct client *client, struct server *server)
{
    client->server = server;
    server_link(server, client);
    client_set_state(client, CLIENT_ACTIVE);
    if (unlikely(client->settings != server->settings) && relay_set_server(server) < 0)
        client_close(client, CLOSE_NO_MEMORY);
}

void
relay_client_drained(struct client *client)
{
    if (client->server != NULL)
        stream_set_reading(&client->server->stream, true);
    if (!relay_client_must_wait(client))
        stream_set_reading(&client->stream, true);
}

void
relay_server_drained(struct server *server)
{
    struct client *const client = server->client;

    if (client != NULL && !relay_client_must_wait(client))
        stream_set_reading(&client->stream, true);
}
