/*
 * forget.c - pool_idle_timeout, autodb_idle_timeout, and databases that have left the file.
 *
 *     in the registry --(unused for long)--> leaving --> each shard leaves its worker --> freed
 *
 * What was posted to a shard before the pool left the registry comes before its leave message, and
 * afterwards nobody can find it. What a shard has set going itself (a permit that it waits for, a
 * question to a sibling) is waited for.
 */
#include "forget.h"

#include <stdlib.h>

#include "config.h"
#include "engine_int.h"
#include "log.h"
#include "policy.h"
#include "pool.h"
#include "str.h"
#include "timer.h"
#include "worker.h"

/* Counters of a database must not go back because a pool of it was forgotten. */
struct past {
    struct list link; /* in worker->past */
    char database[SNAPSHOT_NAME];
    struct stats stats;
};

/* ---- a shard leaves ---------------------------------------------------------------------------
 */

static struct past *
past_of(struct worker *worker, const char *database)
{
    struct past *past;

    LIST_FOREACH (past, &worker->past, link) {
        if (str_eq(past->database, database))
            return past;
    }
    past = calloc(1, sizeof *past);
    if (past == NULL)
        return NULL;
    (void)str_copy(past->database, sizeof past->database, database);
    list_push_back(&worker->past, &past->link);
    return past;
}

/* Only of databases that the file names: these are few, and stay. */
static void
past_keep(const struct shard *shard)
{
    const char *const database = shard->pool->database->name;
    struct past *past;

    if (config_find_database(shard->worker->config, database) == NULL)
        return;
    past = past_of(shard->worker, database);
    if (past != NULL)
        stats_add(&past->stats, &shard->stats);
}

void
forget_each_past(struct worker *worker,
                 void (*fn)(void *arg, const char *database, const struct stats *stats), void *arg)
{
    const struct past *past;

    LIST_FOREACH (past, &worker->past, link)
        fn(arg, past->database, &past->stats);
}

void
forget_done(struct worker *worker)
{
    struct list *link;

    while ((link = list_pop(&worker->past)) != NULL)
        free(container_of(link, struct past, link));
}

/* Whether a message of it is still to come, from its own turn or from elsewhere. */
static bool
shard_is_expected(struct shard *shard)
{
    const bool waits_for_permit = !permits_leave(&shard->pool_wait) ||
                                  !permits_leave(&shard->database_wait) ||
                                  !permits_leave(&shard->user_wait);

    return waits_for_permit || shard->grow_deferred || shard->offer_deferred ||
           shard->share_deferred || shard->asking || atomic_load(&shard->evict_posted);
}

static void
pool_shard_left(struct pool *pool)
{
    struct registry *const registry = engine_registry(pool->engine);
    struct engine *const engine = pool->engine;

    (void)pthread_mutex_lock(&registry->mutex);
    if (--pool->staying == 0) {
        list_remove(&pool->link);
        pool->database->pools--;
        registry_free_pool(pool);
    }
    (void)pthread_mutex_unlock(&registry->mutex);
    engine_release_object(engine);
}

void
forget_shard(struct message *message)
{
    struct shard *const shard = container_of(message, struct shard, leave_message);

    if (shard->worker->stopping) { /* the registry frees it in the end */
        engine_release_object(shard->pool->engine);
        return;
    }
    if (shard_is_expected(shard)) {
        loop_post(shard->worker->loop, &shard->leave_message);
        return;
    }
    past_keep(shard);
    list_remove(&shard->link);
    shard_stop(shard);
    pool_shard_left(shard->pool);
}

/* ---- looking around ---------------------------------------------------------------------------
 */

/* Under the registry's mutex, as all below. */
static bool
pool_is_used(const struct pool *pool, const struct config_database *entry)
{
    const struct policy *const policy = pool->policy;

    return atomic_load(&pool->holds) > 0 || permits_used(&pool->servers) > 0 ||
           (entry != NULL && policy->min_size > 0 && str_eq(policy->forced_user, pool->user->name));
}

/* For how long a pool may be unused; 0: for ever. */
static usec_t
pool_patience(const struct pool *pool, const struct config *config)
{
    const usec_t timeout = config->pool_idle_timeout;
    const bool is_auto = config_find_database(config, pool->database->name) == NULL;

    if (!is_auto || config->autodb_idle_timeout == 0)
        return timeout;
    return timeout != 0 ? MIN(timeout, config->autodb_idle_timeout) : config->autodb_idle_timeout;
}

/* used_at is 0 for what was not seen before: its time begins now. */
static bool
is_over(usec_t *used_at, usec_t patience, usec_t now)
{
    if (*used_at == 0)
        *used_at = now;
    return patience != 0 && now - *used_at >= patience;
}

static void
pool_leave_registry(struct registry *registry, struct pool *pool)
{
    const unsigned count = atomic_load(&pool->shard_count);

    log_info("%s/%s: cleaning up idle pool", pool->database->name, pool->user->name);
    map_remove(&registry->pools, &pool->node);
    list_push_back(&registry->leaving, &pool->link);
    pool->staying = count;
    for (unsigned i = 0; i < count; i++) {
        engine_hold_object(registry->engine);
        loop_post(pool->shards[i]->worker->loop, &pool->shards[i]->leave_message);
    }
}

static void
forget_pools(struct registry *registry, const struct config *config, usec_t now)
{
    struct map_node *node = map_first(&registry->pools);

    while (node != NULL) {
        struct pool *const pool = container_of(node, struct pool, node);
        const struct config_database *const entry = registry_entry(config, pool->database->name);

        node = map_next(&registry->pools, node);
        if (pool_is_used(pool, entry))
            pool->database->used_at = pool->used_at = now;
        else if (entry == NULL || is_over(&pool->used_at, pool_patience(pool, config), now))
            pool_leave_registry(registry, pool);
    }
}

static bool
database_is_empty(const struct database *database)
{
    return database->pools == 0 && permits_used(&database->clients) == 0 &&
           permits_used(&database->servers) == 0;
}

static bool
database_may_go(struct database *database, const struct config *config, usec_t now)
{
    if (!database_is_empty(database) || config_find_database(config, database->name) != NULL)
        return false;
    if (config->autodb == NULL)
        return true;
    if (atomic_load(&database->paused) ||
        atomic_load(&database->disabled)) /* somebody wants it so */
        database->used_at = now;
    return is_over(&database->used_at, config->autodb_idle_timeout, now);
}

static void
forget_databases(struct registry *registry, const struct config *config, usec_t now)
{
    struct map_node *node = map_first(&registry->databases);

    while (node != NULL) {
        struct database *const database = container_of(node, struct database, node);

        node = map_next(&registry->databases, node);
        if (!database_may_go(database, config, now))
            continue;
        log_warning("dropping database '%s' as it does not exist anymore or inactive auto-database",
                    database->name);
        map_remove(&registry->databases, &database->node);
        registry_free_database(database);
    }
}

void
forget_unused(struct engine *engine)
{
    struct registry *const registry = engine_registry(engine);
    const struct config *const config = engine_config(engine);
    const usec_t now = loop_now(engine->main_loop);

    if (atomic_load(&engine->stopping))
        return;
    (void)pthread_mutex_lock(&registry->mutex);
    forget_pools(registry, config, now);
    forget_databases(registry, config, now);
    (void)pthread_mutex_unlock(&registry->mutex);
}
