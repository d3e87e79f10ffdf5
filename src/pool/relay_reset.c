/*
 * relay_reset.c - RESET takes a client back to what it came with.
 *
 * With a server of its own that is what its startup packet asks for. Here the server has been SET
 * to that, and goes back to what it has for everybody. So a value that is reported behind a RESET,
 * and is the server's own, is not the client's: it has the one of its startup packet again, and is
 * told so. The server is SET to it before it hears the client's next message: with the next link,
 * or, if this one goes on, at once.
 *
 * What a RESET and other commands of the same text do in between is as the server has it.
 */
#include "buf.h"
#include "build.h"
#include "cleanup.h"
#include "client.h"
#include "policy.h"
#include "pool.h"
#include "relay_int.h"
#include "server.h"
#include "settings.h"
#include "str.h"

const char *
relay_reset_value(const struct server *server, const char *name, const char *value)
{
    const char *own, *asked;

    if (likely(!server->resets) || server->client == NULL)
        return NULL;
    own = settings_get(server->defaults, name);
    asked = settings_get(server->client->startup, name);
    if (asked == NULL)
        return NULL;
    /* And back from the server's own, if the transaction was rolled back: no news for the client.
     */
    return str_eq(asked, value) || (own != NULL && str_eq(own, value)) ? asked : NULL;
}

int
relay_reset_parameter(struct client *client, const char *name, const char *asked)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    const char *const now = settings_get(client->settings, name);
    int r;

    if (now != NULL && str_eq(now, asked))
        return 0;
    r = msg_parameter_status(&message, name, asked);
    if (r == 0)
        r = settings_put(&client->settings, name, asked);
    if (r == 0)
        client_send(client, &message);
    return r;
}

/* Whether the client's next message may be for the server as it is now. */
static bool
relay_goes_on(const struct server *server)
{
    return server->status == READY_IN_TRANSACTION || server->client->stalled ||
           server->shard->policy->mode == POOL_SESSION;
}

int
relay_reset_done(struct server *server)
{
    /* Nothing must be on its way that could fail first. */
    if (!requests_are_syncs(&server->requests) || !requests_are_certain(&server->requests) ||
        server->status == READY_FAILED_TRANSACTION)
        return 0;
    server->resets = false;
    if (!relay_goes_on(server))
        return 0;
    if (requests_empty(&server->requests))
        server->progress = PROGRESS_LINKED;
    return relay_set_server(server);
}
