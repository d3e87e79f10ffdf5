/*
 * server_cancel.c - cancels of what a server is doing.
 *
 * A cancel that comes before its query has no effect. Who has waited in the queue does not know
 * that the query was sent only now, so that has a head start.
 *
 * One is under way at a time. Who asks meanwhile may mean more than that one will do: it may come
 * before their query, or hit the one before. So if the server is still at the same work when it has
 * ended, another one follows; whatever they asked for is over with the next ReadyForQuery.
 *
 * Until a cancel under way has ended, nobody else gets the server; nor, after one that may still be
 * on its way for all we know, ever again. One that has not begun by then is withdrawn.
 */
#include <errno.h>

#include "cancel.h"
#include "client.h"
#include "config.h"
#include "engine_int.h"
#include "log.h"
#include "pool.h"
#include "server.h"
#include "worker.h"

/* More of them would do no more than these. */
#define ASKED_MAX 16
/* What a busy machine may need until a server process has read what was sent to it. */
#define HEAD_START (50 * MSEC)

static struct connector *
server_connector(const struct server *server)
{
    return engine_connector(server->shard->pool->engine);
}

static void
server_cancel_judge(struct server *server, int error, const char *text)
{
    switch (error) {
    case 0:
        server->was_canceled = true;
        return;
    case -ECANCELED: /* the server has not been asked */
        return;
    case -EAGAIN:
        server_log(server, LOG_LEVEL_WARNING,
                   "cancel request not sent within cancel_wait_timeout: %s", text);
        return;
    default:
        server->cancel_in_doubt = true;
        if (server->state != SERVER_CLOSING)
            server_log(server, LOG_LEVEL_WARNING, "could not send a cancel request: %s", text);
    }
}

static void
server_cancel_done(struct cancel_request *request, int error, const char *text)
{
    struct server *const server = container_of(request, struct server, cancel);

    backend_cancel_unref(request->cancel);
    server->cancelling = false;
    cancel_routes_end(&server->cancel_told);
    server_cancel_judge(server, error, text);
    switch (server->state) {
    case SERVER_CLOSING:
        server_retire(server, false);
        return;
    case SERVER_CANCELED:
        server_release(server);
        return;
    default:
        server_cancel_next(server);
    }
}

void
server_cancel_next(struct server *server)
{
    struct list *link;

    if (server->cancelling || server->syncing_settings || list_empty(&server->cancel_asked))
        return;
    if (loop_now(server->shard->worker->loop) < server->cancel_from) {
        client_schedule(server->client, server->cancel_from);
        return;
    }
    while ((link = list_pop(&server->cancel_asked)) != NULL)
        list_push_back(&server->cancel_told, link);
    server->cancelling = true;
    server->cancel.loop = server->shard->worker->loop;
    server->cancel.cancel = backend_cancel_ref(server->backend->cancel);
    server->cancel.patience = server->shard->worker->config->cancel_wait_timeout;
    server->cancel.done = server_cancel_done;
    connector_cancel(server_connector(server), &server->cancel);
}

void
server_cancel(struct server *server, struct cancel_route *route)
{
    if (requests_empty(&server->requests) || list_count(&server->cancel_asked) >= ASKED_MAX) {
        cancel_route_end(route);
        return;
    }
    list_push_back(&server->cancel_asked, &route->link);
    server_cancel_next(server);
}

void
server_cancel_delay(struct server *server)
{
    server->cancel_from = loop_now(server->shard->worker->loop) + HEAD_START;
}

void
server_cancel_drop(struct server *server)
{
    cancel_routes_end(&server->cancel_asked);
    if (server->cancelling)
        connector_withdraw(server_connector(server), &server->cancel);
}
