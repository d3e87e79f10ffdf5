/*
 * worker.h - a thread with a loop, and the clients, servers and shards that live on it.
 *
 * Thread: its own, but for what is marked shared.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "list.h"
#include "loop.h"
#include "map.h"
#include "rng.h"
#include "snapshot.h"

struct config;
struct engine;
struct outbox;
struct task_group;
struct timer;
struct tls_context;

struct worker {
    struct engine *engine; /* borrowed */
    unsigned index;
    char name[16];
    pthread_t thread;
    bool started;      /* the engine's */
    struct loop *loop; /* owned, as the next two */
    struct outbox *outbox;
    struct task_group *tasks;
    struct config *config;   /* a reference */
    struct tls_context *tls; /* a reference to what clients are offered; NULL: nothing */
    struct list clients;     /* struct client: those who have not logged in yet */
    struct list shards;      /* struct shard */
    struct list past;        /* what forget.c keeps of shards that have left */
    struct map cancel_keys;  /* struct client by its key */
    struct rng rng;
    char random[512]; /* a stock of secrets for cancel keys, see cancel.c */
    size_t random_left;
    struct timer *tick;         /* owned; once a second, if pools may be sharded */
    unsigned busy_seconds;      /* in a row with a load over the limit */
    struct message turn_end;    /* waits while login_time is not 0 */
    usec_t login_time;          /* what logins have taken of this turn of the loop */
    struct message control;     /* "look at everything", see worker_control */
    atomic_bool control_posted; /* shared */
    bool stopping;
    atomic_uint client_count; /* shared: logins and clients here */
};

int worker_init(struct worker *worker, struct engine *engine, unsigned index);
int worker_start(struct worker *worker);
/* After its thread has ended, or if it was never started. */
void worker_done(struct worker *worker);
/* False when logins have had their share of this turn of the loop. */
bool worker_has_time_for_login(const struct worker *worker);
/* Since then a step of a login was made. */
void worker_count_login(struct worker *worker, usec_t since);
/* Any thread: the engine's configuration, pause or shutdown mode has changed. */
void worker_control(struct worker *worker);
