/*
 * goodbye.h - the last word about a client: to itself and to the log.
 *
 * Thread: that of the client's loop.
 */
#pragma once

#include "usec.h"

struct client;
struct refusal;

/*
 * An error, if the reason has one and the client can still hear it. Without a detail of its own it
 * names the database and the user.
 */
void goodbye_say(struct client *client, const struct refusal *refusal);
void goodbye_log(const struct client *client, const struct refusal *refusal);

/* Closes, and says what has happened behind the names. */
void goodbye_explain(struct client *client, const struct refusal *refusal, const char *what);
/*
 * A limit of time is over: closes for refusal->reason, with the figures as its detail: what, for
 * how long, and that key is limit.
 */
void goodbye_time_is_up(struct client *client, const struct refusal *refusal, const char *what,
                        usec_t spent, const char *key, usec_t limit);
