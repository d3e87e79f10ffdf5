/*
 * replication.h - clients that asked for replication= in their startup packet.
 *
 * Such a client gets a server of its own, whatever the mode of its pool: opened with what it asked
 * for, welcomed in that server's words, ended with it. The server counts as one of the pool's.
 *
 *     QUEUED ---> OPENING ---> SETUP ---> linked, from then on as in session mode
 *       ^            |           |
 *       +------------+-----------+        nobody can be reached; a pause
 *
 * QUEUED waits for a permit, and if none is free an idle server of the pool has to go: the client's
 * place is in order of time, before those who wait for a server since later.
 *
 * Thread: that of the client's worker. Life: from the startup packet to the client's end.
 */
#pragma once

#include <stdbool.h>

#include "list.h"
#include "pool.h"
#include "startup.h"
#include "usec.h"

struct backend_error;
struct backend_target;
struct client;
struct opening;
struct server;
struct shard;

struct replication {
    enum replication_kind kind; /* never REPLICATION_NONE */
    struct client *client;      /* borrowed, as the next two */
    struct opening *opening;    /* OPENING */
    struct server *server;      /* SETUP */
    struct list link;           /* in shard->replications while QUEUED */
    char *options;              /* owned: of the startup packet; or NULL */
    usec_t since;               /* the first time QUEUED */
};

/* As SHOW has it: "none", "logical", "physical"; as the log has it: "no", "database", "yes". */
const char *replication_name(enum replication_kind kind);
const char *replication_log_word(enum replication_kind kind);
/* Of a client's replication, which may be NULL. */
enum replication_kind replication_kind_of(const struct replication *replication);

/* For client->replication. options may be NULL. 0 or -ENOMEM. */
int replication_new(struct client *client, enum replication_kind kind, const char *options);
void replication_free(struct replication *replication);
/* What its connection is opened with: the pool's target, and its own wishes. 0 or -ENOMEM. */
int replication_make_target(const struct replication *replication,
                            const struct backend_target *target,
                            struct backend_target **ret_target);

/* The client is with its pool: QUEUED. */
void replication_begin(struct replication *replication);
/* The client goes, wherever it is. */
void replication_leave(struct replication *replication);

/* Those who are QUEUED in the shard, the oldest first, as far as there are permits. */
void replication_serve(struct shard *shard);
/* Since when the oldest waits for a permit that a server of the pool has; 0: it does not. */
usec_t replication_claims_since(const struct shard *shard);
/* A server that is free goes, for the sake of its permit. */
void replication_make_room(struct server *server);
/* The pooler ends: nobody who is QUEUED will be served. */
void replication_refuse_all(struct shard *shard, const struct refusal *refusal);

/* OPENING has failed; error NULL: for a reason that is over. */
void replication_failed(struct replication *replication, const struct backend_error *error);
/* SETUP is over: the client is welcomed, if the pool still lets it. */
void replication_server_ready(struct server *server);
/* The client was welcomed: the two are linked for good. */
void replication_link(struct replication *replication);
