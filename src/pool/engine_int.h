/*
 * engine_int.h - the engine as the rest of the pool layer sees it.
 *
 * Thread: any, for all functions here.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "permits.h"
#include "registry.h"
#include "worker.h"

struct auth_lookup;
struct auth_service;
struct executor;

/* So many may be logging in at once, however small max_client_conn is. */
#define ENGINE_LOGINS_MIN 100

struct engine {
    struct loop *main_loop; /* borrowed, as the next */
    struct connector *connector;
    struct engine_hooks hooks;
    struct timer *janitor; /* owned; on the main loop, once a second */
    pthread_mutex_t config_mutex;
    struct config *config;   /* a reference; written by the main thread, under the mutex */
    struct tls_context *tls; /* a reference or NULL; the same */
    struct registry registry;
    struct executor *handshakes; /* owned, as the next three; for logins */
    struct executor *hashing;
    struct executor *blocking;
    struct auth_service *auth;
    struct worker *workers; /* owned */
    unsigned worker_count;
    struct permits clients; /* who has logged in: max_client_conn */
    struct permits logins;  /* who has not yet: as many again, at least ENGINE_LOGINS_MIN */
    atomic_uint max_client_conn;
    atomic_bool paused;
    atomic_bool stopping;  /* engine_stop was called */
    atomic_int shutdown;   /* enum engine_shutdown */
    atomic_ullong next_id; /* of clients and servers */
    void (*shutdown_done)(void *arg);
    void *shutdown_arg;
    struct engine_drain shutdown_drain; /* WAIT_FOR_SERVERS */
    struct permit_wait clients_gone;    /* WAIT_FOR_CLIENTS */
    struct message shutdown_message;    /* brings shutdown_done to the main loop */
    bool shutdown_posted;

    /* What must be gone before the workers' loops may end: connections and attempts. */
    pthread_mutex_t objects_mutex;
    pthread_cond_t objects_gone;
    unsigned objects;
};

static inline bool
engine_all_paused(const struct engine *engine)
{
    return atomic_load_explicit(&engine->paused, memory_order_relaxed);
}

static inline struct registry *
engine_registry(struct engine *engine)
{
    return &engine->registry;
}

static inline struct connector *
engine_connector(const struct engine *engine)
{
    return engine->connector;
}

static inline uint64_t
engine_new_id(struct engine *engine)
{
    return atomic_fetch_add(&engine->next_id, 1) + 1;
}

/* One more, one less, of what the end of the workers waits for. */
void engine_hold_object(struct engine *engine);
void engine_release_object(struct engine *engine);

/* Lets every worker look at everything again. */
void engine_control_workers(struct engine *engine);

/* moved.c: a connector_moved_fn; arg is the engine. */
void engine_host_moved(void *arg, const char *host, const char *address);

/* drain.c: waits for the pools of database (NULL: all pools) to have no server. */
enum engine_result drain_begin(struct engine *engine, const struct database *database,
                               struct engine_drain *drain);
/* Other references to what is in force. */
struct config *engine_take_config(struct engine *engine, struct tls_context **ret_tls);

/* lookup.c: a question for auth_query; arg is the engine. */
void engine_look_up(void *arg, struct auth_lookup *lookup);

/* snapshot.c: the worker's part, on its loop. */
void snapshot_collect(struct worker *worker, unsigned what, struct snapshot *snapshot);
