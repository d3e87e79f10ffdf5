/*
 * client_timeouts.c - how long a client may do what it does: one timer for whatever comes first.
 */
#include "client.h"
#include "config.h"
#include "goodbye.h"
#include "login.h"
#include "pg.h"
#include "policy.h"
#include "server.h"
#include "timer.h"
#include "worker.h"

usec_t
client_idle_timeout(const struct client *client)
{
    const struct policy *const policy = client->shard->policy;

    if (likely(policy->forced_user == NULL))
        return policy->client_idle_timeout;
    return config_client_idle_timeout(policy->config,
                                      config_find_user(policy->config, client->user->name));
}

/* Something that may not last for longer than its limit. */
struct time_limit {
    usec_t since, limit; /* 0: does not last now; there is none */
    enum close_reason reason;
    const char *what, *key;
};

/* The one that is over first; returns when, USEC_NEVER: none is running. */
static usec_t
client_next_timeout(const struct client *client, struct time_limit *ret_limit)
{
    const struct policy *const policy = client->shard->policy;
    /* Waiting for a server is not running. */
    const usec_t query_start = client->server != NULL ? client->query_start : 0;
    const usec_t xact_start = client->server != NULL ? client->xact_start : 0;
    const bool in_xact =
        client->server != NULL && client->server->status != READY_IDLE && client->query_start == 0;
    const struct time_limit limits[] = {
        {query_start, policy->query_timeout, CLOSE_QUERY_TIMEOUT, "the query has run",
         "query_timeout"},
        {xact_start, policy->transaction_timeout, CLOSE_TRANSACTION_TIMEOUT,
         "the transaction has been open", "transaction_timeout"},
        {in_xact ? client->last_active : 0, policy->idle_transaction_timeout,
         CLOSE_IDLE_TRANSACTION_TIMEOUT, "the transaction has been idle",
         "idle_transaction_timeout"},
        {client->state == CLIENT_IDLE ? client->last_active : 0, client_idle_timeout(client),
         CLOSE_CLIENT_IDLE_TIMEOUT, "the client has been idle", "client_idle_timeout"},
    };
    usec_t next = USEC_NEVER;

    if (client->replication != NULL) /* a stream is no query: it lasts */
        return USEC_NEVER;
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        if (limits[i].since == 0 || limits[i].limit == 0)
            continue;
        if (limits[i].since + limits[i].limit < next) {
            next = limits[i].since + limits[i].limit;
            *ret_limit = limits[i];
        }
    }
    return next;
}

static void
client_check_timeouts(void *arg)
{
    struct client *const client = arg;
    const usec_t now = loop_now(client->worker->loop);
    struct time_limit limit = {.reason = CLOSE_CLIENT_IDLE_TIMEOUT};
    usec_t next;

    if (client->state < CLIENT_IDLE) {
        login_timed_out(client);
        return;
    }
    if (client->server != NULL)
        server_cancel_next(client->server);
    next = client_next_timeout(client, &limit);
    if (next <= now)
        goodbye_time_is_up(client, &(struct refusal){.reason = limit.reason}, limit.what,
                           now - limit.since, limit.key, limit.limit);
    else if (next != USEC_NEVER)
        client_schedule(client, next);
}

void
client_schedule(struct client *client, usec_t at)
{
    if (client->timer == NULL)
        client->timer =
            timer_new(client->worker->loop, "client timeout", client_check_timeouts, client);
    if (client->timer != NULL)
        (void)timer_hasten(client->timer, at);
    /* Without memory the timeout is missed rather than the client dropped. */
}

void
client_stop_timer(struct client *client)
{
    timer_free(client->timer);
    client->timer = NULL;
}
