/*
 * registry.h - which databases, users and pools there are, and where their shards live.
 *
 * Looked into at a login, a reload, a pause, an eviction and by the console; never for a query.
 * What is in it stays until the engine ends.
 *
 * Thread: any; one mutex.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "list.h"
#include "map.h"

struct config;
struct config_database;
struct credential;
struct database;
struct engine;
struct pool;
struct shard;
struct user;

struct registry {
    struct engine *engine;
    pthread_mutex_t mutex;
    struct map databases;
    struct map users;
    struct map pools;
    struct list leaving; /* struct pool; see forget.h */
};

void registry_init(struct registry *registry, struct engine *engine);
void registry_done(struct registry *registry);

/* Whether database is the console's name. */
bool registry_is_console(const char *database);
/* The entry that serves database: its own, or the template. NULL when there is none. */
const struct config_database *registry_entry(const struct config *config, const char *database);
/*
 * The pool for a client who is `user` of `database`, made if need be, and held until
 * registry_release_pool: meanwhile it is not forgotten. -ENOENT: no such database.
 * *ret_user is the client's own user, whom limits of clients are counted for.
 */
int registry_find_pool(struct registry *registry, struct config *config, const char *database,
                       const char *user, struct pool **ret_pool, struct user **ret_user);
/* Any thread. */
void registry_release_pool(struct pool *pool);
/* Nobody uses it any more; under the mutex, as the next. */
void registry_free_pool(struct pool *pool);
void registry_free_database(struct database *database);
/*
 * The user has logged in with this (borrowed; NULL is nothing): the pool's new servers are logged
 * in to with it, unless the entry names the user.
 */
void registry_learn_credential(struct registry *registry, struct pool *pool,
                               struct credential *credential);
/* The shard of pool with the fewest clients. */
struct shard *registry_pick_shard(struct pool *pool);
/* One more shard, on the least busy worker without one; false: there is none to be had. */
bool registry_add_shard(struct registry *registry, struct pool *pool);
/* Asks the pool with the longest idle server of that database (or user) to close it. */
void registry_evict(struct registry *registry, const struct pool *asker,
                    const struct database *database, const struct user *user);
/* Makes the pools of entries with a user and a min_pool_size. */
int registry_open_minimum(struct registry *registry, struct config *config);
/* Works out every pool's policy anew and sends it to its shards. */
void registry_reload(struct registry *registry, struct config *config);
/* The servers of database (NULL: of all) are obsolete: each goes when it is free. */
void registry_reconnect(struct registry *registry, const struct database *database);
struct database *registry_find_database(struct registry *registry, const char *name);
/* The same, made if it has an entry. NULL: no entry, or no memory. */
struct database *registry_need_database(struct registry *registry, struct config *config,
                                        const char *name);
/* Calls fn for each, under the mutex. */
void registry_each_pool(struct registry *registry, void (*fn)(struct pool *pool, void *arg),
                        void *arg);
void registry_each_database(struct registry *registry,
                            void (*fn)(struct database *database, void *arg), void *arg);
void registry_each_user(struct registry *registry, void (*fn)(struct user *user, void *arg),
                        void *arg);
