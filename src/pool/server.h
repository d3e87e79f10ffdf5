/*
 * server.h - one connection to PostgreSQL, from the hand-off to its end.
 *
 *   SETUP ---> IDLE <---> ACTIVE ----> CANCELED      a cancel is still on its way
 *     |         ^  \        |  |          |
 *     |         |   v       v  |          v
 *     |         +-- TESTED <---+--- (as from ACTIVE)  check, rollback, reset, sync: our own queries
 *     |             |
 *     +-------------+--> CLOSING --> freed            from any state
 *
 * IDLE also goes to MOVING, and back to IDLE on another worker.
 *
 * Thread: its worker's. Life: server_open ... server_close; then the connector sees the connection
 * to its end, and the permits come back when the server's process has gone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "buf.h"
#include "close_reason.h"
#include "frame.h"
#include "list.h"
#include "loop.h"
#include "prepared.h"
#include "requests.h"
#include "startup.h"
#include "stream.h"
#include "task.h"
#include "usec.h"

struct cancel_route;
struct client;
struct lookup;
struct plan;
struct prepared_set;
struct settings;
struct shard;

enum server_state {
    SERVER_SETUP,
    SERVER_IDLE,
    SERVER_ACTIVE,
    SERVER_TESTED,
    SERVER_CANCELED,
    SERVER_MOVING,
    SERVER_CLOSING,
};
const char *server_state_name(enum server_state state); /* PgBouncer's word */

/* What the daemon itself asks a server, one at a time; see the table in ask.c. */
enum ask {
    ASK_NOTHING,
    ASK_PROBE,
    ASK_CONNECT_QUERY,
    ASK_CHECK,
    ASK_ROLLBACK,
    ASK_RESET,
    ASK_FORGET,
    ASK_SYNC,
    ASK_LOOKUP,
};

/*
 * How far it has come with what it was last asked.
 *
 *   LINKED --+        +---------------+
 *            v        v               |
 *   READY -> NAMED -> KEEPS -> KEPT --+-> BUSY -> READY
 *
 * Up to KEPT nothing of a transaction was done that could not be done once more; see relay_heal.c.
 */
enum progress {
    PROGRESS_BUSY,
    PROGRESS_READY,  /* it has answered all: ReadyForQuery was the last word */
    PROGRESS_LINKED, /* its client has sent it nothing yet */
    PROGRESS_NAMED,  /* in a new transaction, statements were only prepared, described, closed */
    PROGRESS_KEEPS,  /* then one was used; that message, and what comes behind it, is being kept */
    PROGRESS_KEPT,   /* all up to its Sync is kept, and the use was not answered yet */
};

/* The last Bind, if its client does not know, or we do not, what a Describe of it will say. */
struct taught {
    const struct statement *statement; /* to be compared, no more; NULL: there is none */
    uint64_t portal;                   /* a hash of its name */
    uint8_t name_len;
    char name[PREPARED_NAME_LEN]; /* of the client's for the statement */
};

struct server {
    struct stream stream;
    struct message message;        /* moving; the end of the connection; freeing */
    struct list link;              /* in shard->servers */
    struct list idle_link;         /* in shard->idle while IDLE */
    struct shard *shard;           /* borrowed */
    struct client *client;         /* linked; NULL unless ACTIVE */
    struct backend *backend;       /* owned; the connector's from CLOSING on */
    struct settings *settings;     /* a reference: what the server has reported */
    struct settings *defaults;     /* likewise, before anything was SET */
    struct prepared_set *prepared; /* owned; NULL until it has a client's statement */
    struct plan *plan;  /* owned; what the unnamed statement does, if that matters; relay_sql.c */
    unsigned strangers; /* statements that it has got in this transaction in ways not recognised */
    struct requests requests;
    struct framer framer;
    struct buf held;   /* a message of which only the beginning has come */
    struct buf replay; /* what is KEPT */
    uint32_t kept;     /* the request that it begins with (requests_last) */
    struct taught taught;
    struct task task;      /* the ask under way, but for a lookup's */
    struct lookup *lookup; /* borrowed; NULL unless its query is the ask under way */
    struct client *owner;  /* SETUP for a replication client: who that is; borrowed, else NULL */
    enum replication_kind replication; /* whether it is such a client's, or the pool's */
    enum server_state state;
    enum ask ask;
    enum progress progress;
    struct cancel_request cancel; /* the one under way, while cancelling */
    struct list cancel_told;      /* struct cancel_route: whose cancel that is */
    struct list cancel_asked;     /* the same: who asked when it was under way */
    bool cancelling;
    usec_t cancel_from;    /* not before; 0: any time */
    unsigned generation;   /* of the policy it was made with */
    unsigned barriers;     /* queries on their way that may forget any statement */
    char status;           /* of the last ReadyForQuery: I, T, E */
    bool is_altered;       /* by a SET, say, in this transaction: a text may mean something else */
    bool skip_rest;        /* of the message under way: nobody is to see it */
    bool ask_failed;       /* the ask under way was answered by an error */
    bool syncing_settings; /* the first request sets parameters */
    bool resets;           /* its client has RESET some, and it does not have the client's yet */
    bool said_fatal;       /* its client was told by itself why it ends */
    bool was_canceled;     /* a cancel was sent during this link */
    bool cancel_in_doubt;  /* one may still be on its way: no other client may get the server */
    bool retired;          /* handed to the connector: its message is on its way */
    bool is_outdated;      /* its host's name does not lead to its address any more */
    uint64_t id;
    usec_t connect_time; /* loop time */
    usec_t connect_wall;
    usec_t request_time;
    usec_t idle_since;
    usec_t lifetime;   /* after which it is closed; spread; 0 from the first use on */
    char trouble[200]; /* the error that an ask was answered with */
};

/*
 * Takes over server, which is zeroed memory, and backend, also on failure: so there is no
 * connection that could not be kept until its process has gone. Then the server says SETUP, and
 * comes to pool_put by itself; or to its owner, a replication client (NULL: who has left, and the
 * server will be closed).
 */
int server_open(struct server *server, struct shard *shard, struct backend *backend,
                unsigned generation, enum replication_kind replication, struct client *owner);
/* polite if the protocol is between two messages. Idempotent. A linked client is told as well. */
void server_close(struct server *server, enum close_reason reason);

static inline bool
server_is_ready(const struct server *server)
{
    return server->progress == PROGRESS_READY;
}

/* Whether it has one client for all its life, whatever the mode of the pool. */
static inline bool
server_is_dedicated(const struct server *server)
{
    return server->replication != REPLICATION_NONE;
}

/* IDLE or TESTED or SETUP becomes ACTIVE, and the two know each other. */
void server_link(struct server *server, struct client *client);
/* The client is done: cleans up as needed (rollback, reset, a cancel's end), then pool_put. */
void server_release(struct server *server);
/* IDLE: asks whether it is still there; then pool_put. */
void server_check(struct server *server);
/* IDLE leaves for another shard, which puts it into its own pool. */
void server_move(struct server *server, struct shard *to);
/* Why it may not be given out again; CLOSE_REASON_COUNT if it may. */
enum close_reason server_reason_to_close(const struct server *server);
bool server_is_usable(const struct server *server);
/* Whether the configuration, or the address of its host, has changed since it was connected. */
bool server_is_obsolete(const struct server *server);
/* ACTIVE: an empty query, whose answer comes after all that may still be the client's. */
void server_fence(struct server *server);
/* server_cancel.c: ACTIVE: route asks for a cancel of what it is doing. */
void server_cancel(struct server *server, struct cancel_route *route);
/* Whoever is still waiting comes next. */
void server_cancel_next(struct server *server);
/* ACTIVE, with a request that has waited and is on its way: a cancel must not overtake it. */
void server_cancel_delay(struct server *server);
/* What it was doing has come to its end: a cancel would hit something else. */
void server_cancel_drop(struct server *server);
/* CLOSING: to the connector; polite if the protocol is between two messages. */
void server_retire(struct server *server, bool polite);
/* The only place where the state changes. */
void server_set_state(struct server *server, enum server_state next);

/* ask.c: begins an ask in SETUP or TESTED. */
void server_begin_ask(struct server *server, enum ask ask);
/* Whoever got this server from the pool asks it for a user's secret: it is TESTED until then. */
void server_begin_lookup(struct server *server, struct lookup *lookup);
/* ReadyForQuery has answered the ask. */
void server_ask_done(struct server *server);

void server_log(const struct server *server, enum log_level level, const char *format, ...)
    PRINTF_LIKE(3, 4);
