/*
 * cancel_peer.c - a cancel request whose key is another pooler's goes on to that one.
 *
 * Poolers that share an address (so_reuseport, a load balancer) name each other in [peers]. The
 * key is all that decides: it names its pooler, and says how often the request may travel.
 */
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "cancel.h"
#include "config.h"
#include "engine_int.h"
#include "log.h"
#include "peer_key.h"
#include "worker.h"

#define PACKET_HEADER 8
/* A cancel that comes later means nobody any more; and the end of the daemon waits for it. */
#define PATIENCE_MAX (15 * SEC)

static_assert(FORWARD_PACKET_MAX == PACKET_HEADER + sizeof(((struct cancel_key *)0)->bytes),
              "every key that we can look for fits");

struct passing {
    struct forward_request request;
    struct cancel_route *route;
    char *host; /* owned */
};

static void
passing_done(struct forward_request *request, int error, const char *text)
{
    struct passing *const passing = container_of(request, struct passing, request);

    if (error < 0)
        log_warning("could not pass a cancel request on to peer %d at %s:%d: %s", request->peer,
                    request->host, request->port, text);
    passing->route->found = error == 0;
    cancel_route_end(passing->route);
    free(passing->host);
    free(passing);
}

static void
passing_write_packet(struct forward_request *request, const struct cancel_route *route)
{
    char *const key = request->packet + PACKET_HEADER;

    request->len = PACKET_HEADER + route->key.len;
    pg_put_uint32(request->packet, (uint32_t)request->len);
    pg_put_uint32(request->packet + 4, PG_CANCEL_REQUEST);
    memcpy(key, route->key.bytes, route->key.len);
    peer_key_set_hops(key, route->hops - 1);
}

static struct passing *
passing_new(struct cancel_route *route, const struct config *config, const struct config_peer *peer)
{
    struct passing *const passing = calloc(1, sizeof *passing);

    if (passing == NULL || (passing->host = strdup(peer->host)) == NULL) {
        free(passing);
        return NULL;
    }
    passing->route = route;
    passing->request.loop = route->home->loop;
    passing->request.host = passing->host;
    passing->request.port = peer->port;
    passing->request.peer = peer->id;
    passing->request.limit =
        (unsigned)(peer->pool_size > 0 ? peer->pool_size : config->default_pool_size);
    passing->request.patience = PATIENCE_MAX;
    if (config->cancel_wait_timeout != 0)
        passing->request.patience = MIN(config->cancel_wait_timeout, PATIENCE_MAX);
    passing->request.done = passing_done;
    passing_write_packet(&passing->request, route);
    return passing;
}

bool
cancel_pass_on(struct cancel_route *route, const struct config *config)
{
    const int id = peer_key_id(route->key.bytes);
    const struct config_peer *peer;
    struct passing *passing;

    if (config->peer_id == 0 || id == config->peer_id || route->hops == 0)
        return false;
    peer = config_find_peer(config, id);
    passing = peer != NULL ? passing_new(route, config, peer) : NULL;
    if (passing == NULL)
        return false; /* a cancel may always come to nothing */
    log_debug("cancel request passed on to peer %d at %s:%d", id, peer->host, peer->port);
    connector_forward(engine_connector(route->engine), &passing->request);
    return true;
}

void
engine_get_peer_load(struct engine *engine, int peer, struct engine_peer_load *ret_load)
{
    struct forward_load load;

    connector_get_forward_load(engine_connector(engine), peer, &load);
    *ret_load = (struct engine_peer_load){load.waiting, load.connecting, load.sent};
}
