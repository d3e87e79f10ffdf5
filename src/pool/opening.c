/*
 * opening.c - one more server: permits, the attempt on the connector thread, its end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend.h"
#include "client.h"
#include "close_reason.h"
#include "engine_int.h"
#include "log.h"
#include "policy.h"
#include "pool.h"
#include "server.h"
#include "settings.h"
#include "str.h"
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
};

/* The pool's limit for this try: with the reserve once the oldest waiter has waited long enough. */
static unsigned
shard_limit(const struct shard *shard)
{
    const struct policy *const policy = shard->policy;
    const struct waiter *const oldest =
        list_entry(list_first(&shard->waiters), struct waiter, link);

    if (policy->size == 0 || policy->reserve == 0 || policy->reserve_timeout == 0 ||
        oldest == NULL || loop_now(shard->worker->loop) - oldest->since < policy->reserve_timeout)
        return policy->size;
    return policy->size + policy->reserve;
}

/* All three permits, or none and the reason. */
static enum wait_cause
shard_take_lease(struct shard *shard)
{
    struct pool *const pool = shard->pool;
    const struct policy *const policy = shard->policy;
    const unsigned limit = shard_limit(shard);

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

static void
opening_end(struct opening *opening)
{
    struct shard *const shard = opening->shard;

    task_finish(&opening->task);
    list_remove(&opening->link);
    shard->opening--;
    atomic_fetch_sub(&shard->pool->opening, 1);
    backend_target_unref(opening->request.target);
    policy_unref(opening->policy);
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

/* Nobody is to be kept waiting for a server that will not let us in. */
static void
shard_open_failed(struct shard *shard, const struct backend_error *error)
{
    struct pool *const pool = shard->pool;

    shard->error = *error;
    shard->failing = true;
    if (error->hopeless)
        atomic_store(&pool->refused, true);
    shard->retry_at = MAX(error->retry_at, loop_now(shard->worker->loop) + 50 * MSEC);
    if (error->hopeless && permits_used(&pool->servers) <= atomic_load(&pool->opening)) {
        const struct refusal refusal = {
            .reason = CLOSE_SERVER_FAILED,
            .sqlstate = error->sqlstate,
            .message = error->message,
            .detail = str_or_null(error->detail),
            .hint = str_or_null(error->hint),
        };

        shard_refuse_all(shard, &refusal);
    }
    if (!list_empty(&shard->waiters) || !list_empty(&shard->welcoming) ||
        shard->policy->min_size > 0)
        shard_schedule(shard, shard->retry_at);
}

static void
opening_done(struct connect_request *request, struct backend *backend,
             const struct backend_error *error)
{
    struct opening *const opening = container_of(request, struct opening, request);
    struct shard *const shard = opening->shard;
    const unsigned generation = opening->policy->generation;
    const bool is_verdict =
        opening->policy == shard->policy; /* else others come with the new one */
    const struct backend_error why = error != NULL ? *error : (struct backend_error){.retry_at = 0};
    struct server *server;

    opening_end(opening); /* error was part of it */
    if (backend == NULL) {
        shard_return_lease(shard);
        if (!shard->worker->stopping)
            shard_log_failure(shard, &why);
        if (!shard->worker->stopping && is_verdict)
            shard_open_failed(shard, &why);
        engine_release_object(shard->pool->engine);
        return;
    }
    shard->failing = false;
    shard->retry_at = 0;
    atomic_store(&shard->pool->refused, false);
    shard_grow(shard); /* connect_burst has room for another */
    /* The lease, and the engine's count, pass to the server. */
    if (server_new(shard, backend, generation, &server) < 0)
        log_error("%s/%s: no memory for a server connection", shard->pool->database->name,
                  shard->pool->user->name);
    else if (shard->worker->stopping)
        server_close(server, CLOSE_SV_STOP);
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

static enum wait_cause
opening_start(struct shard *shard)
{
    struct opening *const opening = calloc(1, sizeof *opening);
    char owner[SNAPSHOT_NAME];

    (void)snprintf(owner, sizeof owner, "%s/%s", shard->pool->database->name,
                   shard->pool->user->name);
    if (opening == NULL ||
        task_start(&opening->task, shard->worker->tasks, "connect", owner, 0, opening_cancel) < 0) {
        free(opening);
        shard_return_lease(shard);
        return WAIT_BACKOFF;
    }
    opening->shard = shard;
    opening->policy = policy_ref(shard->policy);
    opening->request.loop = shard->worker->loop;
    opening->request.target = shard_pick_target(shard);
    opening->request.done = opening_done;
    list_push_back(&shard->openings, &opening->link);
    shard->opening++;
    atomic_fetch_add(&shard->pool->opening, 1);
    engine_hold_object(shard->pool->engine);
    connector_connect(engine_connector(shard->pool->engine), &opening->request);
    return WAIT_NONE;
}

enum wait_cause
shard_open_server(struct shard *shard)
{
    enum wait_cause cause;

    if (shard->failing && loop_now(shard->worker->loop) < shard->retry_at) {
        shard_schedule(shard, shard->retry_at);
        return WAIT_BACKOFF;
    }
    /* After a failure one attempt at a time finds out whether it is over. */
    if (atomic_load(&shard->pool->opening) >= (shard->failing ? 1 : shard->policy->connect_burst)) {
        if (shard->opening == 0) /* another shard's attempts: nobody tells us when they end */
            shard_schedule(shard, loop_now(shard->worker->loop) + 10 * MSEC);
        return WAIT_CONNECTING;
    }
    cause = shard_take_lease(shard);
    return cause == WAIT_NONE ? opening_start(shard) : cause;
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
        client_welcome(container_of(link, struct client, welcome_link));
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
