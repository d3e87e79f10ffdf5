/*
 * opening.c - one more server: permits, the attempt on the connector thread, its end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend.h"
#include "cleanup.h"
#include "client.h"
#include "close_reason.h"
#include "engine_int.h"
#include "log.h"
#include "policy.h"
#include "pool.h"
#include "replication.h"
#include "server.h"
#include "settings.h"
#include "task.h"
#include "worker.h"

/* An attempt to open a connection. It holds a lease: a permit of the pool, the database, the user.
 */
struct opening {
    struct connect_request request;
    struct list link; /* in shard->openings */
    struct shard *shard;
    struct policy *policy; /* a reference: of the target, and of the generation */
    struct task task;
    enum replication_kind kind;
    struct replication *replication; /* borrowed: whose it is; NULL: the pool's, or he has left */
    struct server *server;           /* owned: memory for what it will be */
};

/* Since when somebody has waited for this connection. */
static usec_t
shard_waits_since(const struct shard *shard, const struct replication *replication)
{
    const struct waiter *const oldest =
        list_entry(list_first(&shard->waiters), struct waiter, link);

    if (replication != NULL)
        return replication->since;
    return oldest != NULL ? oldest->since : loop_now(shard->worker->loop);
}

/* The pool's limit for this try: with the reserve for who has waited long enough. */
static unsigned
shard_limit(const struct shard *shard, usec_t since)
{
    const struct policy *const policy = shard->policy;

    if (policy->size == 0 || policy->reserve == 0 || policy->reserve_timeout == 0 ||
        loop_now(shard->worker->loop) - since < policy->reserve_timeout)
        return policy->size;
    return policy->size + policy->reserve;
}

/* All three permits, or none and the reason. */
static enum wait_cause
shard_take_lease(struct shard *shard, usec_t since)
{
    struct pool *const pool = shard->pool;
    const struct policy *const policy = shard->policy;
    const unsigned limit = shard_limit(shard, since);

    if (!permits_try_or_wait(&pool->servers, limit, &shard->pool_wait))
        return WAIT_POOL_FULL;
    if (!permits_try_or_wait(&pool->database->servers, policy->max_db_connections,
                             &shard->database_wait)) {
        permits_give(&pool->servers);
        registry_evict(engine_registry(pool->engine), pool, pool->database, NULL);
        return WAIT_DATABASE_FULL;
    }
    if (!permits_try_or_wait(&pool->user->servers, policy->max_user_connections,
                             &shard->user_wait)) {
        permits_give(&pool->servers);
        permits_give(&pool->database->servers);
        registry_evict(engine_registry(pool->engine), pool, NULL, pool->user);
        return WAIT_USER_FULL;
    }
    if (policy->size != 0 && permits_used(&pool->servers) > policy->size)
        log_warning("%s/%s: taking connection from reserve_pool", pool->database->name,
                    pool->user->name);
    return WAIT_NONE;
}

/* Where it counts: only the pool's own will serve whoever waits. */
static unsigned *
opening_count(const struct opening *opening)
{
    struct shard *const shard = opening->shard;

    return opening->kind == REPLICATION_NONE ? &shard->opening : &shard->dedicated_opening;
}

/* It is over: nobody waits for it, or ends it. */
static void
opening_leave(struct opening *opening)
{
    struct shard *const shard = opening->shard;

    task_finish(&opening->task);
    list_remove(&opening->link);
    (*opening_count(opening))--;
    atomic_fetch_sub(&shard->pool->opening, 1);
}

static void
opening_free(struct opening *opening)
{
    backend_target_unref(opening->request.target);
    policy_unref(opening->policy);
    free(opening->server);
    free(opening);
}

static void
shard_log_failure(const struct shard *shard, const struct backend_error *error)
{
    const char *const what = error->from_server ? "server login failed: FATAL "
                                                : "could not connect to the server, will retry: ";

    log_warning("%s/%s: %s%s%s%s", shard->pool->database->name, shard->pool->user->name, what,
                error->message, *error->detail != '\0' ? ": " : "", error->detail);
}

void
shard_back_off(struct shard *shard, const struct backend_error *error)
{
    shard->error = *error;
    shard->failing = true;
    shard->retry_at = MAX(error->retry_at, loop_now(shard->worker->loop) + 50 * MSEC);
}

/* To try again at once would be a loop for as long as there is none. */
static void
shard_lacks_memory(struct shard *shard)
{
    const struct backend_error error = {
        .sqlstate = SQLSTATE_OUT_OF_MEMORY,
        .message = "no memory for a server connection",
        .transient = true,
    };

    log_error("%s/%s: %s", shard->pool->database->name, shard->pool->user->name, error.message);
    shard_back_off(shard, &error);
}

/* Nobody is to be kept waiting for a server that will not let us in. */
static void
shard_open_failed(struct shard *shard, const struct backend_error *error)
{
    struct pool *const pool = shard->pool;

    shard_back_off(shard, error);
    if (error->hopeless)
        atomic_store(&pool->refused, true);
    if (error->hopeless && !pool_has_servers(pool)) {
        const struct refusal refusal = pool_refusal_of(error);

        shard_refuse_all(shard, &refusal);
    }
    if (!list_empty(&shard->waiters) || !list_empty(&shard->welcoming) ||
        shard->policy->min_size > 0)
        shard_schedule(shard, shard->retry_at);
}

static void
opening_failed(const struct opening *opening, const struct backend_error *error)
{
    struct shard *const shard = opening->shard;
    /* Else the policy has changed since: others come with the new one. */
    const bool is_verdict = opening->policy == shard->policy;

    if (shard->worker->stopping)
        return;
    shard_log_failure(shard, error);
    if (opening->replication != NULL)
        replication_failed(opening->replication, is_verdict ? error : NULL);
    else if (opening->kind == REPLICATION_NONE && is_verdict)
        shard_open_failed(shard, error);
}

/* The lease, and the engine's count, pass to the server. */
static void
opening_succeeded(struct opening *opening, struct backend *backend)
{
    struct shard *const shard = opening->shard;
    struct client *const client =
        opening->replication != NULL ? opening->replication->client : NULL;
    struct server *const server = TAKE(opening->server);

    shard->failing = false;
    shard->retry_at = 0;
    atomic_store(&shard->pool->refused, false);
    shard_grow(shard); /* connect_burst has room for another */
    if (server_open(server, shard, backend, opening->policy->generation, opening->kind, client) <
        0) {
        shard_lacks_memory(shard);
        if (client != NULL)
            client_close(client, CLOSE_NO_MEMORY);
    } else if (shard->worker->stopping) {
        server_close(server, CLOSE_SV_STOP);
    } else if (opening->kind != REPLICATION_NONE && client == NULL) {
        server_close(server, CLOSE_SV_REPLICATION);
    }
}

static void
opening_done(struct connect_request *request, struct backend *backend,
             const struct backend_error *error)
{
    struct opening *const opening = container_of(request, struct opening, request);
    struct shard *const shard = opening->shard;

    if (opening->replication != NULL)
        opening->replication->opening = NULL;
    opening_leave(opening);
    if (backend != NULL) {
        opening_succeeded(opening, backend);
    } else {
        shard_return_lease(shard);
        opening_failed(opening, error);
        engine_release_object(shard->pool->engine);
    }
    opening_free(opening);
}

static void
opening_cancel(struct task *task, enum task_why why)
{
    struct opening *const opening = container_of(task, struct opening, task);

    (void)why;
    connector_abandon(engine_connector(opening->shard->pool->engine), &opening->request);
}

static struct backend_target *
shard_pick_target(struct shard *shard)
{
    const struct policy *const policy = shard->policy;
    unsigned turn = atomic_load(&shard->pool->next_target);

    /* A host that was fine is kept on to; one that failed gives way to the next. */
    if (!policy->stick_to_host || shard->failing)
        turn = atomic_fetch_add(&shard->pool->next_target, 1);
    return backend_target_ref(policy->targets[turn % policy->target_count]);
}

/* 0 or -ENOMEM. */
static int
opening_new(struct shard *shard, struct replication *replication, struct opening **ret_opening)
{
    struct opening *const opening = calloc(1, sizeof *opening);
    struct server *const server = calloc(1, sizeof *server);
    struct backend_target *target;
    int r = 0;

    if (opening == NULL || server == NULL) {
        free(opening);
        free(server);
        return -ENOMEM;
    }
    opening->server = server;
    target = shard_pick_target(shard);
    opening->shard = shard;
    opening->policy = policy_ref(shard->policy);
    opening->kind = replication_kind_of(replication);
    opening->replication = replication;
    opening->request.loop = shard->worker->loop;
    opening->request.done = opening_done;
    if (replication == NULL) {
        opening->request.target = target;
    } else {
        r = replication_make_target(replication, target, &opening->request.target);
        backend_target_unref(target);
    }
    if (r < 0)
        opening_free(opening);
    else
        *ret_opening = opening;
    return r;
}

static enum wait_cause
opening_start(struct shard *shard, struct replication *replication)
{
    struct opening *opening;
    char owner[SNAPSHOT_NAME];
    int r;

    (void)snprintf(owner, sizeof owner, "%s/%s", shard->pool->database->name,
                   shard->pool->user->name);
    r = opening_new(shard, replication, &opening);
    if (r == 0) {
        r = task_start(&opening->task, shard->worker->tasks, "connect", owner, 0, opening_cancel);
        if (r < 0)
            opening_free(opening);
    }
    if (r < 0) {
        shard_lacks_memory(shard);
        shard_return_lease(shard);
        return WAIT_BACKOFF;
    }
    if (replication != NULL)
        replication->opening = opening;
    list_push_back(&shard->openings, &opening->link);
    (*opening_count(opening))++;
    atomic_fetch_add(&shard->pool->opening, 1);
    engine_hold_object(shard->pool->engine);
    connector_connect(engine_connector(shard->pool->engine), &opening->request);
    return WAIT_NONE;
}

void
opening_forget(struct opening *opening)
{
    opening->replication = NULL;
    task_cancel(&opening->task);
}

enum wait_cause
shard_open_server(struct shard *shard, struct replication *replication)
{
    enum wait_cause cause;

    if (shard->failing && loop_now(shard->worker->loop) < shard->retry_at) {
        shard_schedule(shard, shard->retry_at);
        return WAIT_BACKOFF;
    }
    /* After a failure one attempt at a time finds out whether it is over. */
    if (atomic_load(&shard->pool->opening) >= (shard->failing ? 1 : shard->policy->connect_burst)) {
        if (list_empty(
                &shard->openings)) /* another shard's attempts: nobody tells us when they end */
            shard_schedule(shard, loop_now(shard->worker->loop) + 10 * MSEC);
        return WAIT_CONNECTING;
    }
    cause = shard_take_lease(shard, shard_waits_since(shard, replication));
    return cause == WAIT_NONE ? opening_start(shard, replication) : cause;
}

void
opening_abandon_all(struct shard *shard)
{
    struct opening *opening;

    LIST_FOREACH_SAFE (opening, &shard->openings, link)
        task_cancel(&opening->task);
}

void
shard_welcome_clients(struct shard *shard)
{
    struct list *link;

    while ((link = list_pop(&shard->welcoming)) != NULL)
        client_welcome(client_to_welcome(link));
}

void
shard_welcome(struct shard *shard, struct settings *settings)
{
    struct pool *const pool = shard->pool;
    const unsigned count = atomic_load_explicit(&pool->shard_count, memory_order_acquire);
    struct settings *old;

    (void)pthread_mutex_lock(&pool->mutex);
    old = pool->welcome;
    pool->welcome = settings_ref(settings);
    (void)pthread_mutex_unlock(&pool->mutex);
    /* The pool's first: there may be clients in any shard that wait for it. */
    for (unsigned i = 0; i < count && old == NULL; i++) {
        if (pool->shards[i] != shard)
            loop_post(pool->shards[i]->worker->loop, &pool->shards[i]->welcome_message);
    }
    settings_unref(old);
    shard_welcome_clients(shard);
}
