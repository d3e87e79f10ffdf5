#include "registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "config.h"
#include "credential.h"
#include "engine_int.h"
#include "log.h"
#include "policy.h"
#include "pool.h"
#include "settings.h"
#include "str.h"
#include "worker.h"

struct pool_key {
    const struct database *database;
    const struct user *user;
};

static bool
database_has_name(const struct map_node *node, const void *name)
{
    return strcmp(container_of(node, struct database, node)->name, name) == 0;
}

static bool
user_has_name(const struct map_node *node, const void *name)
{
    return strcmp(container_of(node, struct user, node)->name, name) == 0;
}

static bool
pool_has_key(const struct map_node *node, const void *key)
{
    const struct pool *const pool = container_of(node, struct pool, node);
    const struct pool_key *const wanted = key;

    return pool->database == wanted->database && pool->user == wanted->user;
}

void
registry_init(struct registry *registry, struct engine *engine)
{
    registry->engine = engine;
    (void)pthread_mutex_init(&registry->mutex, NULL);
    map_init(&registry->databases, database_has_name);
    map_init(&registry->users, user_has_name);
    map_init(&registry->pools, pool_has_key);
    list_init(&registry->leaving);
}

void
registry_free_pool(struct pool *pool)
{
    for (unsigned i = 0; i < atomic_load(&pool->shard_count); i++)
        shard_free(pool->shards[i]);
    settings_unref(pool->welcome);
    credential_unref(pool->credential);
    policy_unref(pool->policy);
    permits_done(&pool->servers);
    (void)pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

void
registry_free_database(struct database *database)
{
    permits_done(&database->servers);
    permits_done(&database->clients);
    free(database->name);
    free(database);
}

void
registry_release_pool(struct pool *pool)
{
    atomic_fetch_sub(&pool->holds, 1);
}

/* All elements of a map; body may free the element. */
#define MAP_FOREACH_SAFE(pos, map, type)                                                           \
    for (struct map_node *pos##_node = map_first(map), *pos##_next;                                \
         pos##_node != NULL && (pos##_next = map_next((map), pos##_node), true) &&                 \
         ((pos) = map_entry(pos##_node, type, node), true);                                        \
         pos##_node = pos##_next)

void
registry_done(struct registry *registry)
{
    struct pool *pool;
    struct database *database;
    struct user *user;
    struct list *link;

    MAP_FOREACH_SAFE(pool, &registry->pools, struct pool)
    registry_free_pool(pool);
    while ((link = list_pop(&registry->leaving)) != NULL)
        registry_free_pool(container_of(link, struct pool, link));
    MAP_FOREACH_SAFE(database, &registry->databases, struct database)
    registry_free_database(database);
    MAP_FOREACH_SAFE(user, &registry->users, struct user)
    {
        permits_done(&user->servers);
        permits_done(&user->clients);
        free(user->name);
        free(user);
    }
    map_done(&registry->pools);
    map_done(&registry->databases);
    map_done(&registry->users);
    (void)pthread_mutex_destroy(&registry->mutex);
}

bool
registry_is_console(const char *database)
{
    return str_eq(database, "pgbouncer") || str_eq(database, "pgweir");
}

const struct config_database *
registry_entry(const struct config *config, const char *database)
{
    const struct config_database *const entry = config_find_database(config, database);

    return entry != NULL ? entry : config->autodb;
}

/* ---- finding and making, under the mutex ------------------------------------------------------
 */

static struct database *
registry_database_locked(struct registry *registry, const struct config *config, const char *name)
{
    const uint64_t hash = hash_str(name);
    struct database *database =
        map_entry(map_get(&registry->databases, hash, name), struct database, node);

    if (database != NULL)
        return database;
    database = calloc(1, sizeof *database);
    if (database == NULL)
        return NULL;
    permits_init(&database->servers);
    permits_init(&database->clients);
    database->is_auto = config_find_database(config, name) == NULL;
    database->name = strdup(name);
    if (database->name == NULL || map_add(&registry->databases, &database->node, hash) < 0) {
        free(database->name);
        free(database);
        return NULL;
    }
    if (database->is_auto)
        log_info("registered new auto-database: %s", name);
    return database;
}

static struct user *
registry_user_locked(struct registry *registry, const char *name)
{
    const uint64_t hash = hash_str(name);
    struct user *user = map_entry(map_get(&registry->users, hash, name), struct user, node);

    if (user != NULL)
        return user;
    user = calloc(1, sizeof *user);
    if (user == NULL)
        return NULL;
    permits_init(&user->servers);
    permits_init(&user->clients);
    user->name = strdup(name);
    if (user->name == NULL || map_add(&registry->users, &user->node, hash) < 0) {
        free(user->name);
        free(user);
        return NULL;
    }
    return user;
}

/* The worker without a shard of this pool that has the least to do; NULL: all have one. The pool is
 * entered already. */
static struct worker *
registry_pick_worker(const struct registry *registry, const struct pool *pool)
{
    struct engine *const engine = registry->engine;
    const unsigned shard_count = atomic_load(&pool->shard_count);
    struct worker *best = NULL;
    unsigned best_load = 0;

    for (unsigned i = 0; i < engine->worker_count; i++) {
        /* Pools are dealt out in turn; only a busy worker is passed over. */
        struct worker *const worker =
            &engine->workers[(map_count(&registry->pools) - 1 + i) % engine->worker_count];
        const unsigned load = loop_load(worker->loop) / 200;
        bool taken = false;

        for (unsigned s = 0; s < shard_count; s++)
            taken = taken || pool->shards[s]->worker == worker;
        if (!taken && (best == NULL || load < best_load)) {
            best = worker;
            best_load = load;
        }
    }
    return best;
}

static bool
registry_add_shard_locked(struct registry *registry, struct pool *pool)
{
    const unsigned count = atomic_load(&pool->shard_count);
    struct worker *const worker =
        count < POOL_SHARDS_MAX && pool->staying == 0 ? registry_pick_worker(registry, pool) : NULL;

    if (worker == NULL || shard_new(pool, worker, &pool->shards[count]) < 0)
        return false;
    atomic_store_explicit(&pool->shard_count, count + 1, memory_order_release);
    return true;
}

static struct pool *
registry_new_pool_locked(struct registry *registry, struct config *config,
                         const struct config_database *entry, struct database *database,
                         struct user *user, uint64_t hash)
{
    struct pool *const pool = calloc(1, sizeof *pool);
    const int shards = MAX(config->pool_shards, 1);

    if (pool == NULL)
        return NULL;
    permits_init(&pool->servers);
    (void)pthread_mutex_init(&pool->mutex, NULL);
    pool->engine = registry->engine;
    pool->database = database;
    pool->user = user;
    if (policy_new(config, entry, database->name, user->name, NULL, NULL, &pool->policy) < 0 ||
        map_add(&registry->pools, &pool->node, hash) < 0) {
        registry_free_pool(pool);
        return NULL;
    }
    /* A shard on its way to its worker cannot be called back: this comes last. */
    if (!registry_add_shard_locked(registry, pool)) {
        map_remove(&registry->pools, &pool->node);
        registry_free_pool(pool);
        return NULL;
    }
    for (int i = 1; i < shards; i++)
        (void)registry_add_shard_locked(registry, pool);
    database->pools++;
    return pool;
}

static struct pool *
registry_pool_locked(struct registry *registry, struct config *config,
                     const struct config_database *entry, struct database *database,
                     struct user *user)
{
    const struct pool_key key = {database, user};
    const uint64_t hash = hash_combine(hash_str(database->name), hash_str(user->name));
    struct pool *const pool = map_entry(map_get(&registry->pools, hash, &key), struct pool, node);

    return pool != NULL ? pool
                        : registry_new_pool_locked(registry, config, entry, database, user, hash);
}

int
registry_find_pool(struct registry *registry, struct config *config, const char *database_name,
                   const char *user_name, struct pool **ret_pool, struct user **ret_user)
{
    const struct config_database *const entry = registry_entry(config, database_name);
    struct database *database;
    struct pool *pool = NULL;
    struct user *user, *pool_user;

    if (entry == NULL)
        return -ENOENT;
    (void)pthread_mutex_lock(&registry->mutex);
    database = registry_database_locked(registry, config, database_name);
    user = registry_user_locked(registry, user_name);
    pool_user = entry->user != NULL ? registry_user_locked(registry, entry->user) : user;
    if (database != NULL && user != NULL && pool_user != NULL)
        pool = registry_pool_locked(registry, config, entry, database, pool_user);
    if (pool != NULL)
        atomic_fetch_add(&pool->holds, 1);
    (void)pthread_mutex_unlock(&registry->mutex);
    if (pool == NULL)
        return -ENOMEM;
    *ret_pool = pool;
    *ret_user = user;
    return 0;
}

struct shard *
registry_pick_shard(struct pool *pool)
{
    const unsigned count = atomic_load_explicit(&pool->shard_count, memory_order_acquire);
    struct shard *best = pool->shards[0];

    for (unsigned i = 1; i < count; i++) {
        if (atomic_load(&pool->shards[i]->client_count) < atomic_load(&best->client_count))
            best = pool->shards[i];
    }
    return best;
}

bool
registry_add_shard(struct registry *registry, struct pool *pool)
{
    bool added;

    (void)pthread_mutex_lock(&registry->mutex);
    added = registry_add_shard_locked(registry, pool);
    (void)pthread_mutex_unlock(&registry->mutex);
    return added;
}

/* ---- everything at once -----------------------------------------------------------------------
 */

static struct shard *
pool_longest_idle(const struct pool *pool, struct shard *best)
{
    const unsigned count = atomic_load_explicit(&pool->shard_count, memory_order_acquire);

    for (unsigned i = 0; i < count; i++) {
        struct shard *const shard = pool->shards[i];
        const usec_t since = atomic_load(&shard->oldest_idle);

        if (since != 0 && (best == NULL || since < atomic_load(&best->oldest_idle)))
            best = shard;
    }
    return best;
}

void
registry_evict(struct registry *registry, const struct pool *asker, const struct database *database,
               const struct user *user)
{
    struct shard *best = NULL;
    struct pool *pool;

    (void)pthread_mutex_lock(&registry->mutex);
    MAP_FOREACH_SAFE(pool, &registry->pools, struct pool)
    {
        if (pool != asker && (pool->database == database || pool->user == user))
            best = pool_longest_idle(pool, best);
    }
    /* Still under the mutex: else its pool might have left meanwhile. */
    if (best != NULL && !atomic_exchange(&best->evict_posted, true))
        loop_post(best->worker->loop, &best->evict_message);
    (void)pthread_mutex_unlock(&registry->mutex);
}

int
registry_open_minimum(struct registry *registry, struct config *config)
{
    int r = 0;

    for (size_t i = 0; i < config->n_databases && r == 0; i++) {
        const struct config_database *const entry = config->databases[i];
        struct pool *pool;
        struct user *user;

        if (entry->user != NULL && config_min_pool_size(config, entry) > 0)
            r = registry_find_pool(registry, config, entry->name, entry->user, &pool, &user);
        else
            continue;
        if (r == 0)
            registry_release_pool(pool);
    }
    return r;
}

/* Under the pool's mutex: all shards follow. */
static void
pool_set_policy(struct pool *pool, struct policy *policy)
{
    const unsigned count = atomic_load(&pool->shard_count);

    for (unsigned i = 0; i < count; i++) {
        struct shard *const shard = pool->shards[i];

        policy_unref(shard->next_policy);
        shard->next_policy = policy_ref(policy);
        if (!shard->policy_posted)
            loop_post(shard->worker->loop, &shard->policy_message);
        shard->policy_posted = true;
    }
    policy_unref(pool->policy);
    pool->policy = policy;
}

static void
pool_set_credential(struct pool *pool, struct credential *credential)
{
    credential_unref(pool->credential);
    pool->credential = credential != NULL ? credential_ref(credential) : NULL;
    atomic_store(&pool->refused, false);
}

/*
 * Works out the policy anew, under both mutexes; is_obsolete: the servers that there are go,
 * whether they fit or not. It stays as it is when memory has run out.
 */
static void
registry_renew_policy(struct pool *pool, struct config *config, bool is_obsolete)
{
    const struct config_database *const entry = registry_entry(config, pool->database->name);
    struct policy *policy;

    if (entry == NULL) /* in the file no more */
        return;
    if (policy_new(config, entry, pool->database->name, pool->user->name, pool->credential,
                   pool->policy, &policy) < 0) {
        log_error("%s/%s: no memory to reload, the pool keeps its configuration",
                  pool->database->name, pool->user->name);
        return;
    }
    if (is_obsolete)
        policy->generation = pool->policy->generation + 1;
    pool_set_policy(pool, policy);
}

static const char *
secret_in_file(const struct config *config, const char *user)
{
    const struct config_auth_user *const entry = config_find_auth_user(config, user);

    return entry != NULL ? entry->secret : NULL;
}

static void
registry_reload_pool(struct pool *pool, struct config *config)
{
    const char *const user = pool->user->name;

    (void)pthread_mutex_lock(&pool->mutex);
    /* A secret that is new in the file is newer than the last login. */
    if (!str_eq(secret_in_file(pool->policy->config, user), secret_in_file(config, user)))
        pool_set_credential(pool, NULL);
    registry_renew_policy(pool, config, false);
    (void)pthread_mutex_unlock(&pool->mutex);
}

/* A password serves every server; what is less replaces it only when it was of no use. */
static bool
pool_has_better(const struct pool *pool, const struct credential *credential)
{
    return credential_kind(pool->credential) == CREDENTIAL_PASSWORD &&
           credential_kind(credential) != CREDENTIAL_PASSWORD && !atomic_load(&pool->refused);
}

static bool
pool_wants_credential(struct pool *pool, const struct credential *credential)
{
    bool wants;

    (void)pthread_mutex_lock(&pool->mutex);
    wants = !pool->policy->user_is_forced &&
            (pool->credential == NULL || (!credential_equal(pool->credential, credential) &&
                                          !pool_has_better(pool, credential)));
    (void)pthread_mutex_unlock(&pool->mutex);
    return wants;
}

void
registry_learn_credential(struct registry *registry, struct pool *pool,
                          struct credential *credential)
{
    if (credential == NULL || !pool_wants_credential(pool, credential))
        return;
    (void)pthread_mutex_lock(&registry->mutex); /* no shard is to come in between */
    (void)pthread_mutex_lock(&pool->mutex);
    pool_set_credential(pool, credential);
    registry_renew_policy(pool, pool->policy->config, false);
    (void)pthread_mutex_unlock(&pool->mutex);
    (void)pthread_mutex_unlock(&registry->mutex);
}

void
registry_reload(struct registry *registry, struct config *config)
{
    struct pool *pool;

    (void)pthread_mutex_lock(&registry->mutex);
    MAP_FOREACH_SAFE(pool, &registry->pools, struct pool)
    registry_reload_pool(pool, config);
    (void)pthread_mutex_unlock(&registry->mutex);
}

void
registry_reconnect(struct registry *registry, const struct database *database)
{
    struct pool *pool;

    (void)pthread_mutex_lock(&registry->mutex);
    MAP_FOREACH_SAFE(pool, &registry->pools, struct pool)
    {
        if (database != NULL && pool->database != database)
            continue;
        (void)pthread_mutex_lock(&pool->mutex);
        registry_renew_policy(pool, pool->policy->config, true);
        (void)pthread_mutex_unlock(&pool->mutex);
    }
    (void)pthread_mutex_unlock(&registry->mutex);
}

struct database *
registry_find_database(struct registry *registry, const char *name)
{
    struct database *database;

    (void)pthread_mutex_lock(&registry->mutex);
    database =
        map_entry(map_get(&registry->databases, hash_str(name), name), struct database, node);
    (void)pthread_mutex_unlock(&registry->mutex);
    return database;
}

struct database *
registry_need_database(struct registry *registry, struct config *config, const char *name)
{
    struct database *database = NULL;

    if (registry_entry(config, name) == NULL)
        return registry_find_database(registry, name);
    (void)pthread_mutex_lock(&registry->mutex);
    database = registry_database_locked(registry, config, name);
    (void)pthread_mutex_unlock(&registry->mutex);
    return database;
}

void
registry_each_pool(struct registry *registry, void (*fn)(struct pool *pool, void *arg), void *arg)
{
    struct pool *pool;

    (void)pthread_mutex_lock(&registry->mutex);
    MAP_FOREACH_SAFE(pool, &registry->pools, struct pool)
    fn(pool, arg);
    (void)pthread_mutex_unlock(&registry->mutex);
}

void
registry_each_database(struct registry *registry, void (*fn)(struct database *database, void *arg),
                       void *arg)
{
    struct database *database;

    (void)pthread_mutex_lock(&registry->mutex);
    MAP_FOREACH_SAFE(database, &registry->databases, struct database)
    fn(database, arg);
    (void)pthread_mutex_unlock(&registry->mutex);
}

void
registry_each_user(struct registry *registry, void (*fn)(struct user *user, void *arg), void *arg)
{
    struct user *user;

    (void)pthread_mutex_lock(&registry->mutex);
    MAP_FOREACH_SAFE(user, &registry->users, struct user)
    fn(user, arg);
    (void)pthread_mutex_unlock(&registry->mutex);
}
