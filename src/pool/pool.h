/*
 * pool.h - the servers of one (database, user), and the queue of those who want one.
 *
 * A pool is made of shards, one unless it is too much for one core. A shard lives on one worker,
 * with its servers, its clients and its first-come queue; only counts and permits are shared by all
 * shards, and a server goes from one shard to another as a message.
 *
 *     pool_acquire --> a server at once (idle, newest first), or a place in the queue
 *     pool_put     <-- a clean server: to the oldest waiter (of another shard, if that one waits
 *                      much longer), else idle
 *
 * Thread: struct shard belongs to its worker's loop but for the fields marked shared; database,
 * user and pool are shared, and live until the engine ends.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "backend.h"
#include "close_reason.h"
#include "list.h"
#include "lookup.h"
#include "map.h"
#include "permits.h"
#include "snapshot.h"
#include "task.h"
#include "usec.h"
#include "welcome.h"

struct credential;
struct engine;
struct familiar;
struct opening;
struct policy;
struct replication;
struct server;
struct settings;
struct shard;
struct timer;
struct waiter;
struct worker;

#define CACHE_LINE 64

struct database {
    struct map_node node; /* in the registry, by name */
    char *name;           /* owned */
    struct permits servers;
    struct permits clients;
    atomic_bool paused;
    atomic_bool disabled; /* no new clients */
    atomic_uint kills;    /* how often all that is in it was to be closed */
    /* Under the registry's mutex: */
    bool is_auto;   /* made from the template */
    unsigned pools; /* of it, those that are leaving included */
    usec_t used_at; /* the main loop's time, when it was last seen in use; 0: not yet */
};

struct user {
    struct map_node node; /* in the registry, by name */
    char *name;           /* owned */
    struct permits servers;
    struct permits clients;
};

#define POOL_SHARDS_MAX 64

struct pool {
    struct map_node node;      /* in the registry, by database and user */
    struct engine *engine;     /* borrowed */
    struct database *database; /* borrowed, as the next */
    struct user *user;
    struct permits servers;
    pthread_mutex_t mutex;         /* for policy, welcome and credential */
    struct policy *policy;         /* a reference: what new shards begin with */
    struct settings *welcome;      /* a reference, or NULL: what the newest server login reported */
    struct credential *credential; /* a reference, or NULL: of the newest login of the user */
    struct shard *shards[POOL_SHARDS_MAX]; /* owned; [0, shard_count) never change */
    atomic_uint shard_count;
    atomic_uint opening;     /* connections being opened */
    atomic_uint closing;     /* servers that are on their way out: their permits come back */
    atomic_uint dedicated;   /* servers of replication clients: of no use to anybody else */
    atomic_bool refused;     /* the server did not take what it was last logged in to with */
    atomic_uint next_target; /* of the policy's targets: whose turn it is */
    atomic_uint holds;       /* who has found it: clients, and questions to its servers */
    /* Under the registry's mutex: */
    usec_t used_at;   /* as of a database */
    struct list link; /* in registry->leaving, then in no map */
    unsigned staying; /* shards that have not left yet; 0 before they are told to */
};

/* Why a waiter waits; what the notice, the timeout's detail and SHOW say. */
enum wait_cause {
    WAIT_NONE,
    WAIT_POOL_FULL,
    WAIT_DATABASE_FULL,
    WAIT_USER_FULL,
    WAIT_CONNECTING,
    WAIT_BACKOFF,
    WAIT_PAUSED,
    WAIT_CHECKING,
};
const char *wait_cause_text(enum wait_cause cause);

struct shard {
    struct list link;       /* in its worker */
    struct message message; /* for its first arrival at the worker, and to grow later */
    struct message evict_message;
    struct message leave_message;
    atomic_bool evict_posted;   /* shared */
    struct pool *pool;          /* borrowed */
    struct worker *worker;      /* borrowed */
    struct policy *policy;      /* a reference */
    struct policy *next_policy; /* a reference on its way, or NULL; under the pool's mutex */
    bool policy_posted;         /* likewise: the message is on its way */
    struct message policy_message;
    struct message welcome_message; /* posted once, by the shard with the pool's first server */
    struct list servers;            /* all of them, struct server */
    struct list idle;               /* struct server, newest first */
    struct list waiters;            /* struct waiter, oldest first */
    struct list clients;            /* struct client, logged in or waiting for the welcome */
    struct list welcoming;          /* struct client in CLIENT_WELCOME */
    struct list openings;           /* struct opening */
    struct list replications;       /* struct replication, oldest first */
    struct lookups lookups;
    struct familiar *familiar; /* owned; NULL until it is needed */
    unsigned opening;          /* for whoever wants one, as the next */
    unsigned checking;         /* servers being checked or reset: they come back soon */
    unsigned dedicated_opening;
    unsigned server_count;
    unsigned dedicated_count; /* how many of them are those of replication clients */
    unsigned waiter_count;
    enum wait_cause cause;             /* of all its waiters */
    enum wait_cause replication_cause; /* of all in replications */
    bool making_room;                  /* a server is being closed for the first of these */
    struct timer *timer;               /* owned; the next deadline of anything here */
    usec_t notified;                   /* who has waited since then, or longer, was told so */
    struct permit_wait pool_wait, database_wait, user_wait;
    struct backend_error error; /* of the last failed connect */
    unsigned kills;             /* of its database, as far as they have been done here */
    bool failing;               /* the last connect failed */
    usec_t retry_at;
    bool grow_deferred;
    struct message ask;   /* travels to a sibling and back: have you an idle server? */
    struct message offer; /* looks for waiters elsewhere at the end of the turn */
    bool offer_deferred;
    struct message share; /* moves clients at the end of the turn */
    bool share_deferred;
    unsigned surplus; /* clients that are to move to other shards once they are idle */
    bool asking;
    unsigned ask_next;      /* which sibling is asked next */
    struct welcome welcome; /* what the client who came last was told */
    struct stats stats;
    /* Other workers read these; what else changes often lies on other cache lines. */
    _Alignas(CACHE_LINE) atomic_uint client_count; /* shared */
    _Atomic usec_t oldest_wait; /* shared: since when the oldest waiter waits; 0: none */
    atomic_uint waiting;        /* shared: how many wait */
    atomic_uint incoming;       /* shared: servers that others have sent here */
    atomic_uint idle_count;     /* shared */
    _Atomic usec_t oldest_idle; /* shared: since when the longest idle server is; 0: none */
};

struct waiter_ops {
    /* The waiter left the queue and owns the server's use from here on. */
    void (*granted)(struct waiter *waiter, struct server *server);
    /* The waiter left the queue: its time is over, or there will be no server. */
    void (*refused)(struct waiter *waiter, const struct refusal *refusal);
    /* It has waited for query_wait_notify. */
    void (*notice)(struct waiter *waiter, usec_t waited);
};

/* Embedded in who wants a server. */
struct waiter {
    struct list link; /* in the shard's queue */
    const struct waiter_ops *ops;
    usec_t since;
};

/* Whether nothing but failed logins is to be had now: then pool_refusal tells why. */
bool shard_is_hopeless(const struct shard *shard);

enum acquire { ACQUIRE_GRANTED, ACQUIRE_QUEUED, ACQUIRE_REFUSED };

/*
 * A server at once, or a place in the queue; refused when servers cannot be logged in to at all:
 * then pool_refusal tells why.
 */
enum acquire pool_acquire(struct shard *shard, struct waiter *waiter, struct server **ret_server);
/* What a client is told of that error, in its own words, which are borrowed. */
struct refusal pool_refusal_of(const struct backend_error *error);
/* The same of shard->error, as an older one. detail is the caller's memory. */
void pool_refusal(const struct shard *shard, struct refusal *ret_refusal, char *detail,
                  size_t detail_size);
/* Leaves the queue; nothing happens if it is not in it. */
void pool_leave(struct shard *shard, struct waiter *waiter);
/* A server that is clean and free. */
void pool_put(struct server *server);
/* Place in the queue, from 1. */
size_t pool_place(const struct shard *shard, const struct waiter *waiter);

/* Asks for what is missing: servers for waiters, min_pool_size. At the end of this turn. */
void shard_grow(struct shard *shard);
/* Somebody waits for the welcome, or a server has gone: the same, at once. */
void shard_grow_now(struct shard *shard);
/* See to it that shard_tick comes at that time, or earlier. */
void shard_schedule(struct shard *shard, usec_t at);
/* Whether there is any server but those of replication clients. */
bool pool_has_servers(struct pool *pool);
/* Whether no server may be assigned now. */
bool shard_is_paused(const struct shard *shard);
/* The idle lists, with what is published of them. */
void shard_add_idle(struct shard *shard, struct server *server);
void shard_remove_idle(struct shard *shard, struct server *server);
struct server *shard_longest_idle(const struct shard *shard);
/* Closes idle servers that may not be used any more, or are not needed. */
void shard_trim(struct shard *shard);
/* Pause, resume, a new policy: look at everything again. */
void shard_review(struct shard *shard);
/* The host's name leads to the address no more: its servers go when they are free. */
void shard_leave_address(struct shard *shard, const char *host, const char *address);
/* The policy that the pool has now, should it still be on its way. */
void shard_take_policy(struct shard *shard);
void shard_close_clients(struct shard *shard, enum close_reason reason);
/* Everything goes: clients, servers, attempts. */
void shard_stop(struct shard *shard);
/* A server's permits come back. */
void shard_return_lease(struct shard *shard);

/* opening.c: one more server, with permits for it; for that client alone, unless it is NULL. */
enum wait_cause shard_open_server(struct shard *shard, struct replication *replication);
/* The client has left. */
void opening_forget(struct opening *opening);
/* After an error that may be over later. */
void shard_back_off(struct shard *shard, const struct backend_error *error);
void opening_abandon_all(struct shard *shard);
/* A server of this shard has proved itself: its parameters are the pool's welcome. */
void shard_welcome(struct shard *shard, struct settings *settings);
/* Another shard has seen to the welcome: those who wait for it go on. */
void shard_welcome_clients(struct shard *shard);
/* All who wait are told that there is no server to be had. */
void shard_refuse_all(struct shard *shard, const struct refusal *refusal);

/* sharing.c: between the shards of a pool. */
bool sharing_is_alone(const struct shard *shard);
/* The oldest waiter of this shard has changed. */
void sharing_publish_waiters(struct shard *shard);
/* Gives server to another shard if its waiter is much older than ours; false: it stays. */
bool sharing_give(struct shard *shard, struct server *server);
/* There may be idle servers: who has waited elsewhere for a moment gets one, if nobody here wants
 * it in this turn. */
void sharing_offer(struct shard *shard);
/* Asks a shard with idle servers for one; whether an answer is on its way. */
bool sharing_ask(struct shard *shard);

/* Lets clients go to the pool's other shards, each when it is idle, until all have as many. */
void sharing_spread_clients(struct shard *shard);
/* A client has come idle. */
void sharing_client_idle(struct shard *shard);

/* shard.c */
int shard_new(struct pool *pool, struct worker *worker, struct shard **ret_shard);
void shard_free(struct shard *shard);
