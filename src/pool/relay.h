/*
 * relay.h - from the client's bytes to the server's and back: framing, the queue of requests, and
 * the moment when a server is free.
 *
 * Bodies are not looked at but for the few that are needed, and not copied unless a small message
 * was cut in two by the network. Thread: the worker's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct client;
struct server;
struct stream;

/* The readable callbacks of the two streams. */
void relay_client_readable(struct client *client);
void relay_server_readable(struct server *server);
/* Bytes of a logged-in client. borrowed: they lie in the arena, and may be sent from there. */
void relay_client_input(struct client *client, const char *data, size_t len, bool borrowed);
/* client->pending, when a server was found (or is no longer wanted). */
void relay_client_pending(struct client *client);
/* One side has gone on sending: the other may be read again. */
void relay_client_drained(struct client *client);
void relay_server_drained(struct server *server);
/* Whether the server's client has got the beginning of a message whose end has not come yet. */
bool relay_client_is_cut(const struct server *server);
/* Begins a link: sets the server's parameters as the client expects them. */
void relay_begin(struct client *client, struct server *server);
