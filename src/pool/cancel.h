/*
 * cancel.h - cancel requests on their way: from the connection that they came by, to the client
 * that has the key, and back.
 *
 * Who has sent a CancelRequest waits for the end of that connection, and may then go on with
 * something that must not be cancelled. So the connection (a client in CANCEL) is closed when the
 * cancel is through, as PostgreSQL does it, and not when the request was read.
 *
 * A route is a message between workers; whoever holds it ends it, once. Where the key is another
 * pooler's, the request goes on to that one (cancel_peer.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "list.h"
#include "loop.h"
#include "pg.h"

struct client;
struct config;
struct engine;
struct map_node;
struct worker;

/* The length of the secret part since version 3.2 of the protocol; that of PostgreSQL's own. */
#define CANCEL_KEY_LONG 32

/* As it stands in BackendKeyData and CancelRequest: a process id, which is random here, and a
 * secret. */
struct cancel_key {
    uint8_t len;
    char bytes[PG_CANCEL_PID_SIZE + CANCEL_KEY_LONG];
};

struct cancel_route {
    struct message message;
    struct list link; /* of the server that is being asked */
    struct engine *engine;
    struct worker *home;   /* where it came from */
    struct client *client; /* the connection that it came by; home's; NULL once that has ended */
    struct cancel_key key;
    unsigned hops; /* how often it may still be passed on */
    unsigned visited;
    unsigned at; /* index of the worker that it is at */
    bool found;
};

/* The client's whole request was a cancel, with this in it. It may be closed at once. */
void cancel_begin(struct client *client, const char *key, size_t len);
/* The connection has ended before its cancel has. */
void cancel_forget(struct cancel_route *route);
/* Any worker: the connection may be closed. */
void cancel_route_end(struct cancel_route *route);
/*
 * No worker here knows the key: if it is a peer's, the request is passed on to that one, and the
 * route ends when that has ended. False: nothing has happened.
 */
bool cancel_pass_on(struct cancel_route *route, const struct config *config);
/* Those in a list of them. */
void cancel_routes_end(struct list *routes);

/* Draws a key for a client that speaks 3.minor; by it the client can be found on its worker. */
int cancel_draw_key(struct client *client, unsigned minor);
int cancel_enter(struct client *client);
void cancel_leave(struct client *client);
/* The equality of worker->cancel_keys. */
bool cancel_key_equal(const struct map_node *node, const void *key);
