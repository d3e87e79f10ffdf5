/*
 * client.h - one application connected to the daemon.
 *
 *                TLS    CANCEL
 *                ^ |     ^    \
 *                | v    /      v
 *   accept --> STARTUP --> AUTH --> MOVING --> WELCOME --> IDLE <--> WAITING
 *                 |          |         |          |         ^ \         |
 *                 |          |         |          |         |  v        v
 *                 |          |         |          |         +- ACTIVE <-+
 *                 +----------+---------+----------+---------+--> CLOSING --> freed
 *
 * STARTUP, TLS (a handshake) and AUTH run on the worker that the connection was given to; MOVING
 * takes it to the worker of its pool, where it stays. WELCOME waits for what the pool's first
 * server reports. IDLE has no server (and may be moved to another worker if the pool gets one),
 * WAITING has a place in the queue, ACTIVE has a server.
 *
 * Thread: its worker's. Life: client_accept ... client_close; freed later, from the loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "buf.h"
#include "cancel.h"
#include "close_reason.h"
#include "config.h"
#include "frame.h"
#include "list.h"
#include "loop.h"
#include "map.h"
#include "pool.h"
#include "stream.h"
#include "usec.h"

struct login;
struct prepared_names;
struct replication;
struct server;
struct settings;
struct shard;
struct timer;
struct worker;

#define CLIENT_TLS_TEXT_MAX 48

enum client_state {
    CLIENT_STARTUP,
    CLIENT_TLS,
    CLIENT_CANCEL,
    CLIENT_AUTH,
    CLIENT_MOVING,
    CLIENT_WELCOME,
    CLIENT_IDLE,
    CLIENT_WAITING,
    CLIENT_ACTIVE,
    CLIENT_CLOSING,
};
const char *client_state_name(enum client_state state); /* PgBouncer's word */

/* What is dropped of a request that was cancelled in the queue. It may still be on its way. */
enum client_skip {
    SKIP_NOTHING,
    SKIP_MESSAGE, /* the next message, which is all of it */
    SKIP_TO_SYNC, /* all messages up to a Sync, which is answered */
};

struct client {
    struct stream stream;
    struct message message; /* moving; freeing */
    struct list link;       /* in worker->clients, later in shard->clients */
    struct worker *worker;  /* borrowed, as the next three */
    struct shard *shard;    /* NULL before MOVING */
    struct user *user;      /* who the client is; its servers may be another's */
    struct server *server;  /* NULL unless ACTIVE */
    struct waiter waiter;
    struct framer framer;
    struct buf held;                 /* a message of which only the beginning has come */
    struct buf pending;              /* whole messages that wait for a server */
    struct settings *settings;       /* a reference: what the client expects of a server */
    struct settings *startup;        /* a reference: what it came with, and RESET goes back to */
    struct prepared_names *names;    /* owned; NULL until it names a statement */
    struct login *login;             /* owned; NULL once logged in */
    struct replication *replication; /* owned; NULL: it wants SQL, and any server will do */
    struct timer *timer;             /* owned; NULL while no timeout can apply */
    struct map_node key_node;        /* in worker->cancel_keys, once logged in */
    struct cancel_key cancel_key;
    bool can_be_cancelled; /* key_node is in the map */
    enum client_state state : 8;
    enum client_skip skip : 8;
    bool passing;        /* the message under way goes to the server piece by piece */
    bool is_cut;         /* it has the beginning of a server's message, and will not get the rest */
    bool stalled;        /* pending waits for answers to what was sent before it */
    uint32_t stalled_at; /* its server's requests.resolved then */
    uint32_t connect_wall; /* in seconds: nobody is shown more */
    struct address address;
    uint64_t id;
    usec_t connect_time;
    usec_t request_time; /* when its last request came */
    usec_t xact_start;   /* 0: in none */
    usec_t query_start;  /* 0: nothing is running */
    usec_t last_active;  /* when it last had an answer */
};

/*
 * Takes over fd, also on failure, and with it a permit of engine->logins and an object of the
 * engine's count.
 */
int client_accept(struct worker *worker, int fd, const struct address *address,
                  enum tls_mode tls_mode, uint64_t id);
/* Tells the client why, if the reason has something to say, and closes. Idempotent. */
void client_close(struct client *client, enum close_reason reason);
/* The same in other words. */
void client_refuse(struct client *client, const struct refusal *refusal);
/* There is no server to be had; it would only wait for the next failure: the cached error. */
void client_refuse_hopeless(struct client *client);
/* The only place where the state changes. */
void client_set_state(struct client *client, enum client_state next);
/* To its pool's worker after the login; or, while IDLE, to another shard of the pool. */
void client_move(struct client *client, struct shard *to);
/* WELCOME: the parameters are known; or they cannot be had. */
void client_welcome(struct client *client);
/* Whose link in shard->welcoming this is. */
struct client *client_to_welcome(struct list *link);
/* Sees to it that client_check_timeouts comes at that time or earlier. */
void client_schedule(struct client *client, usec_t at);
void client_stop_timer(struct client *client);
/* For how long it may be idle; 0: for ever. Its own user's, also where servers have another. */
usec_t client_idle_timeout(const struct client *client);
/* A cancel request has arrived for it; whoever sees to it ends the route. */
void client_cancel(struct client *client, struct cancel_route *route);
/* The link to its server ends; the client is IDLE. */
void client_unlink(struct client *client);
/* Its server is lost in mid-work. */
void client_server_lost(struct client *client, enum close_reason server_reason, const char *detail);

const char *client_database(const struct client *client);
const char *client_user(const struct client *client);
/* "TLSv1.3/TLS_AES_256_GCM_SHA384"; "" in plain text. */
void client_describe_tls(const struct client *client, char text[CLIENT_TLS_TEXT_MAX]);
void client_log(const struct client *client, enum log_level level, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Sends what is in buf. */
void client_send(struct client *client, const struct buf *buf);

/* Whether part of a message has been passed on to the server, and the rest has not come yet. */
static inline bool
client_is_mid_message(const struct client *client)
{
    return client->passing && !framer_is_between(&client->framer);
}
