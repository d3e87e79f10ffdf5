/*
 * goodbye.h - the last word about a client: to itself and to the log.
 *
 * Thread: that of the client's loop.
 */
#pragma once

#include <stddef.h>

#include "usec.h"

struct client;
struct refusal;

/*
 * An error, if the reason has one and the client can still hear it. Without a detail of its own it
 * names the database and the user.
 */
void goodbye_say(struct client *client, const struct refusal *refusal);
void goodbye_log(const struct client *client, const struct refusal *refusal);

/* `Database "shop", user "alice"`, or "" before it has said. Returns its length. */
size_t goodbye_name(const struct client *client, char *text, size_t size);
/*
 * A limit of time is over: closes for refusal->reason, with the figures as its detail: what, for
 * how long, and that key is limit.
 */
void goodbye_time_is_up(struct client *client, const struct refusal *refusal, const char *what,
                        usec_t spent, const char *key, usec_t limit);
