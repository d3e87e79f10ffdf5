/*
 * lookup.h - auth_query: what a server knows of a user's secret.
 *
 * A question goes to a shard of the pool of auth_user in auth_dbname (else in the client's own
 * database). There it waits in the queue as a client would, and has a server for one query:
 *
 *     engine_look_up ~~> arrival ---> WAITING ---> ASKING ---> answered, freed
 *                           |            |           |  \
 *                           |            +-----------+   +---> KNOWN for auth_query_cache
 *                           +---> joins the one under way, or is told what is known
 *
 * Nothing is SET on that server before the query. Whatever happens, each question is answered,
 * once: also when the server is lost, time is over, or the daemon stops.
 *
 * Thread: the shard's, but for engine_look_up (engine_int.h), which is called on that of the asker.
 */
#pragma once

#include "close_reason.h"
#include "list.h"
#include "map.h"

struct frame;
struct lookup;
struct shard;
struct timer;

/* Of a shard. */
struct lookups {
    struct map all;    /* struct lookup, by user and query */
    struct list known; /* those that are kept for others, oldest first */
    unsigned known_count;
    struct timer *timer; /* owned, or NULL: when the oldest is to be forgotten */
    unsigned waiting;    /* those in the queue */
};

void lookups_init(struct lookups *lookups);
/* There must be none left. */
void lookups_done(struct lookups *lookups);
/* What is kept is not to be used any more: the configuration was loaded anew. */
void lookups_forget(struct shard *shard);
/* No server will be had: all that wait are answered, nothing is kept. */
void lookups_close(struct shard *shard, enum close_reason reason);

/* The server's side: a message of the answer. */
void lookup_read(struct lookup *lookup, const struct frame *frame);
/* ReadyForQuery: the answer is complete; error (or NULL) is what the server said against it. */
void lookup_answered(struct lookup *lookup, const char *error);
/* The server is lost; why is static, or lives until the call returns. */
void lookup_lost(struct lookup *lookup, const char *why);
