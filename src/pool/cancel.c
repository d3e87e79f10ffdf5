/*
 * cancel.c - from a cancel request to the client that it means, and to what that client is doing.
 *
 * The key is all that a request says. No table is shared for it: the request visits one worker
 * after the other, each with the keys of its own clients. Queued clients leave the queue, running
 * queries are cancelled by the connector, and whoever is idle stays so.
 */
#include <errno.h>
#include <stdlib.h>

#include "build.h"
#include "client.h"
#include "engine_int.h"
#include "entropy.h"
#include "log.h"
#include "pg.h"
#include "relay.h"
#include "server.h"
#include "stream.h"
#include "worker.h"

struct cancel_route {
    struct message message;
    struct engine *engine;
    uint64_t key;
    unsigned visited;
    unsigned at; /* index of the worker that it is at */
};

int
cancel_enter(struct client *client)
{
    const int r =
        map_add(&client->worker->cancel_keys, &client->key_node, hash_u64(client->cancel_key));

    client->can_be_cancelled = r == 0;
    return r;
}

void
cancel_leave(struct client *client)
{
    if (client->can_be_cancelled)
        map_remove(&client->worker->cancel_keys, &client->key_node);
    client->can_be_cancelled = false;
}

/* Random bytes are fetched for many clients at a time, and forgotten once used. */
static int
cancel_draw_random(struct worker *worker, uint64_t *ret_random)
{
    if (worker->random_left == 0) {
        const int r = entropy_fill(worker->random, sizeof worker->random);

        if (r < 0)
            return r;
        worker->random_left = ARRAY_SIZE(worker->random);
    }
    *ret_random = worker->random[--worker->random_left];
    worker->random[worker->random_left] = 0;
    return 0;
}

/* Bit 7 of the first byte is clear: a process id is a positive number. */
int
cancel_draw_key(struct client *client)
{
    const struct map *const keys = &client->worker->cancel_keys;
    uint64_t key = 0;
    int r;

    do {
        r = cancel_draw_random(client->worker, &key);
        key &= UINT64_C(0x7fffffffffffffff);
    } while (r == 0 && (key == 0 || map_get(keys, hash_u64(key), &key) != NULL));
    if (r == 0)
        client->cancel_key = key;
    return r;
}

bool
cancel_key_equal(const struct map_node *node, const void *key)
{
    return container_of(node, struct client, key_node)->cancel_key == *(const uint64_t *)key;
}

static void
cancel_end(struct cancel_route *route)
{
    engine_release_object(route->engine);
    free(route);
}

/* On the main loop, when no worker knew the key. */
static void
cancel_visit_console(struct message *message)
{
    struct cancel_route *const route = container_of(message, struct cancel_route, message);
    const struct engine_hooks *const hooks = &route->engine->hooks;

    if (hooks->cancel != NULL)
        hooks->cancel(hooks->arg, (uint32_t)(route->key >> 32), (uint32_t)route->key);
    free(route);
}

static void
cancel_visit(struct message *message)
{
    struct cancel_route *const route = container_of(message, struct cancel_route, message);
    struct worker *const worker = &route->engine->workers[route->at];
    struct client *const client = map_entry(
        map_get(&worker->cancel_keys, hash_u64(route->key), &route->key), struct client, key_node);

    if (client != NULL) {
        client_cancel(client);
        cancel_end(route);
    } else if (++route->visited < route->engine->worker_count) {
        route->at = (route->at + 1) % route->engine->worker_count;
        loop_post(route->engine->workers[route->at].loop, &route->message);
    } else {
        struct engine *const engine = route->engine;

        route->message.fn = cancel_visit_console;
        loop_post(engine->main_loop, &route->message);
        engine_release_object(engine); /* the main loop outlives the workers */
    }
}

void
cancel_route(struct worker *worker, uint64_t key)
{
    struct cancel_route *const route = calloc(1, sizeof *route);

    if (route == NULL || key == 0) {
        free(route);
        return; /* a cancel may always come to nothing */
    }
    route->engine = worker->engine;
    route->key = key;
    route->at = worker->index;
    route->message.fn = cancel_visit;
    engine_hold_object(worker->engine);
    cancel_visit(&route->message);
}

/*
 * The request at the head of a queued client's bytes is answered with the error that PostgreSQL has
 * for it, and skipped: one message of the simple protocol, or all up to the next Sync.
 */
static int
cancel_queued(struct client *client)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    const char first = client->pending.data[0];
    const bool simple = first == FRONTEND_QUERY || first == FRONTEND_FUNCTION_CALL;
    int r;

    r = msg_error(&message, "ERROR", SQLSTATE_QUERY_CANCELED,
                  "canceling statement due to user request",
                  "The statement was waiting for a server and has not been sent.", NULL);
    if (r == 0 && simple)
        r = msg_ready(&message, READY_IDLE);
    if (r < 0)
        return r;
    client_send(client, &message);
    client->skip = simple ? SKIP_MESSAGE : SKIP_TO_SYNC;
    return 0;
}

void
client_cancel(struct client *client)
{
    client_log(client, LOG_LEVEL_DEBUG, "cancel request");
    switch (client->state) {
    case CLIENT_WAITING:
        pool_leave(client->shard, &client->waiter);
        client->query_start = 0;
        client->xact_start = 0;
        client_set_state(client, CLIENT_IDLE);
        if (cancel_queued(client) < 0) {
            client_close(client, CLOSE_NO_MEMORY);
            return;
        }
        relay_client_pending(client);
        if (client->state != CLIENT_CLOSING)
            stream_set_reading(&client->stream, true);
        return;
    case CLIENT_ACTIVE:
        /* While its settings are being set, it has not begun yet. */
        if (!client->server->ready && !client->server->syncing_settings)
            server_cancel(client->server);
        return;
    default:
        return; /* nothing is running */
    }
}
