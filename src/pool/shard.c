/*
 * shard.c - a shard's life, its idle servers, and what a reload or a pause does to it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "engine_int.h"
#include "familiar.h"
#include "forget.h"
#include "policy.h"
#include "pool.h"
#include "relay_int.h"
#include "server.h"
#include "settings.h"
#include "str.h"
#include "timer.h"
#include "worker.h"

static void
shard_publish_idle(struct shard *shard)
{
    const struct server *const oldest = shard_longest_idle(shard);

    atomic_store(&shard->oldest_idle, oldest != NULL ? oldest->idle_since : 0);
}

void
shard_add_idle(struct shard *shard, struct server *server)
{
    const struct policy *const policy = shard->policy;

    server->idle_since = loop_now(shard->worker->loop);
    list_push_front(&shard->idle, &server->idle_link);
    atomic_fetch_add(&shard->idle_count, 1);
    if (list_last(&shard->idle) == &server->idle_link)
        shard_publish_idle(shard);
    if (policy->server_idle_timeout != 0)
        shard_schedule(shard, server->idle_since + policy->server_idle_timeout);
    shard_schedule(shard, usec_add(server->connect_time, server->lifetime));
}

void
shard_remove_idle(struct shard *shard, struct server *server)
{
    const bool was_oldest = list_last(&shard->idle) == &server->idle_link;

    list_remove(&server->idle_link);
    atomic_fetch_sub(&shard->idle_count, 1);
    if (was_oldest)
        shard_publish_idle(shard);
}

struct server *
shard_longest_idle(const struct shard *shard)
{
    return list_entry(list_last(&shard->idle), struct server, idle_link);
}

/* server_idle_timeout, but for min_pool_size. */
static bool
shard_is_idle_too_long(const struct shard *shard, const struct server *server, usec_t now)
{
    const struct policy *const policy = shard->policy;

    return policy->server_idle_timeout != 0 &&
           now - server->idle_since >= policy->server_idle_timeout &&
           permits_used(&shard->pool->servers) > policy->min_size;
}

void
shard_trim(struct shard *shard)
{
    const usec_t now = loop_now(shard->worker->loop);
    struct server *server;

    LIST_FOREACH_SAFE (server, &shard->idle, idle_link) {
        const enum close_reason reason = server_reason_to_close(server);

        if (reason != CLOSE_REASON_COUNT)
            server_close(server, reason);
        else if (shard_is_idle_too_long(shard, server, now))
            server_close(server, CLOSE_SV_IDLE_TIMEOUT);
    }
}

/* server_fast_close: those who are between two transactions of a session do not wait for its end.
 */
static void
shard_close_obsolete_sessions(struct shard *shard)
{
    struct server *server;

    if (shard->policy->mode != POOL_SESSION || !shard->policy->fast_close)
        return;
    LIST_FOREACH_SAFE (server, &shard->servers, link) {
        if (server->state == SERVER_ACTIVE)
            (void)relay_settle(server);
    }
}

/* One may take others with it, so each time the first that is left. */
void
shard_close_clients(struct shard *shard, enum close_reason reason)
{
    struct client *client;

    while ((client = list_entry(list_first(&shard->clients), struct client, link)) != NULL)
        client_close(client, reason);
}

static void
shard_close_servers(struct shard *shard, enum close_reason reason)
{
    struct server *server;

    while ((server = list_entry(list_first(&shard->servers), struct server, link)) != NULL)
        server_close(server, reason);
}

/* Its database is in the file no more, or was killed: nobody may go on. */
static void
shard_remove(struct shard *shard)
{
    shard_close_clients(shard, CLOSE_DATABASE_REMOVED);
    lookups_close(shard, CLOSE_DATABASE_REMOVED);
    shard_close_servers(shard, CLOSE_SV_REMOVED);
}

/* They would keep to the old configuration for as long as their clients stay. */
static void
shard_close_obsolete_replications(struct shard *shard)
{
    struct server *server;

    LIST_FOREACH_SAFE (server, &shard->servers, link) {
        if (server->replication != REPLICATION_NONE && server->state == SERVER_ACTIVE &&
            server->generation != shard->policy->generation)
            server_close(server, CLOSE_DATABASE_CHANGED);
    }
}

void
shard_review(struct shard *shard)
{
    const struct database *const database = shard->pool->database;
    const unsigned kills = atomic_load(&database->kills);

    if (kills != shard->kills || registry_entry(shard->worker->config, database->name) == NULL)
        shard_remove(shard);
    shard->kills = kills;
    shard_close_obsolete_sessions(shard);
    shard_close_obsolete_replications(shard);
    shard_trim(shard);
    shard_schedule(shard, loop_now(shard->worker->loop));
    shard_grow(shard);
}

void
shard_leave_address(struct shard *shard, const char *host, const char *address)
{
    bool found = false;
    struct server *server;

    LIST_FOREACH (server, &shard->servers, link) {
        if (str_eq(server->backend->target->host, host) &&
            str_eq(server->backend->remote_addr, address))
            found = server->is_outdated = true;
    }
    if (found)
        shard_review(shard);
}

static void
shard_grow_message(struct message *message)
{
    struct shard *const shard = container_of(message, struct shard, message);

    shard->grow_deferred = false;
    shard_grow_now(shard);
}

void
shard_grow(struct shard *shard)
{
    if (shard->grow_deferred)
        return;
    shard->grow_deferred = true;
    shard->message.fn = shard_grow_message;
    loop_defer(shard->worker->loop, &shard->message);
}

void
shard_return_lease(struct shard *shard)
{
    struct pool *const pool = shard->pool;

    shard->making_room = false;
    permits_give(&pool->servers);
    permits_give(&pool->database->servers);
    permits_give(&pool->user->servers);
    shard_grow(shard);
}

/* A permit has come free somewhere. */
static void
shard_permit_woken(struct permit_wait *wait, struct shard *shard)
{
    permits_woken(wait);
    shard_grow(shard);
}

static void
shard_pool_permit(struct message *message)
{
    struct shard *const shard = container_of(message, struct shard, pool_wait.message);

    shard_permit_woken(&shard->pool_wait, shard);
}

static void
shard_database_permit(struct message *message)
{
    struct shard *const shard = container_of(message, struct shard, database_wait.message);

    shard_permit_woken(&shard->database_wait, shard);
}

static void
shard_user_permit(struct message *message)
{
    struct shard *const shard = container_of(message, struct shard, user_wait.message);

    shard_permit_woken(&shard->user_wait, shard);
}

/* Another pool wants the permit of an idle server. */
static void
shard_evict(struct message *message)
{
    struct shard *const shard = container_of(message, struct shard, evict_message);
    struct server *const server = shard_longest_idle(shard);

    atomic_store(&shard->evict_posted, false);
    if (server != NULL && list_empty(&shard->waiters))
        server_close(server, CLOSE_SV_EVICTED);
}

/* The policy that the registry has worked out after a reload takes effect. */
void
shard_take_policy(struct shard *shard)
{
    struct policy *next;

    (void)pthread_mutex_lock(&shard->pool->mutex);
    next = shard->next_policy;
    shard->next_policy = NULL;
    (void)pthread_mutex_unlock(&shard->pool->mutex);
    if (next == NULL)
        return;
    policy_unref(shard->policy);
    shard->policy = next;
    shard->failing = false;
    shard->retry_at = 0;
    lookups_forget(shard);
    shard_review(shard);
}

static void
shard_policy_comes(struct message *message)
{
    struct shard *const shard = container_of(message, struct shard, policy_message);

    (void)pthread_mutex_lock(&shard->pool->mutex);
    shard->policy_posted = false;
    (void)pthread_mutex_unlock(&shard->pool->mutex);
    shard_take_policy(shard);
}

static void
shard_take_welcome(struct message *message)
{
    shard_welcome_clients(container_of(message, struct shard, welcome_message));
}

static void
shard_arrive(struct message *message)
{
    struct shard *const shard = container_of(message, struct shard, message);

    list_push_back(&shard->worker->shards, &shard->link);
    shard_grow_message(message);
}

int
shard_new(struct pool *pool, struct worker *worker, struct shard **ret_shard)
{
    struct shard *const shard = aligned_alloc(_Alignof(struct shard), sizeof *shard);

    if (shard == NULL)
        return -ENOMEM;
    memset(shard, 0, sizeof *shard);
    shard->pool = pool;
    shard->worker = worker;
    shard->policy = policy_ref(pool->policy);
    shard->kills = atomic_load(&pool->database->kills);
    list_init(&shard->servers);
    list_init(&shard->idle);
    list_init(&shard->waiters);
    list_init(&shard->clients);
    list_init(&shard->welcoming);
    list_init(&shard->openings);
    list_init(&shard->replications);
    lookups_init(&shard->lookups);
    shard->evict_message.fn = shard_evict;
    shard->policy_message.fn = shard_policy_comes;
    shard->welcome_message.fn = shard_take_welcome;
    shard->leave_message.fn = forget_shard;
    shard->pool_wait = (struct permit_wait){.loop = worker->loop, .message.fn = shard_pool_permit};
    shard->database_wait =
        (struct permit_wait){.loop = worker->loop, .message.fn = shard_database_permit};
    shard->user_wait = (struct permit_wait){.loop = worker->loop, .message.fn = shard_user_permit};
    shard->message.fn = shard_arrive;
    shard->grow_deferred = true; /* until then: the message is taken, and a client may be faster */
    *ret_shard = shard;          /* before the worker looks at its pool */
    loop_post(worker->loop, &shard->message);
    return 0;
}

void
shard_stop(struct shard *shard)
{
    shard_close_clients(shard, CLOSE_SHUTDOWN);
    lookups_close(shard, CLOSE_SHUTDOWN);
    opening_abandon_all(shard);
    shard_close_servers(shard, CLOSE_SV_STOP);
    (void)permits_leave(&shard->pool_wait);
    (void)permits_leave(&shard->database_wait);
    (void)permits_leave(&shard->user_wait);
    timer_free(shard->timer);
    shard->timer = NULL;
}

void
shard_free(struct shard *shard)
{
    if (shard == NULL)
        return;
    lookups_done(&shard->lookups);
    familiar_free(shard->familiar);
    policy_unref(shard->policy);
    policy_unref(shard->next_policy);
    welcome_done(&shard->welcome);
    free(shard);
}
