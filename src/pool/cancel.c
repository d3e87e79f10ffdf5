/*
 * cancel.c - from a cancel request to the client that it means, and to what that client is doing.
 *
 * The key is all that a request says. No table is shared for it: the request visits one worker
 * after the other, each with the keys of its own clients. Queued clients leave the queue, running
 * queries are cancelled by the connector, and whoever is idle stays so.
 */
#include "cancel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "client.h"
#include "config.h"
#include "engine_int.h"
#include "entropy.h"
#include "log.h"
#include "login_int.h"
#include "peer_key.h"
#include "pg.h"
#include "relay.h"
#include "server.h"
#include "stream.h"
#include "worker.h"

/* ---- keys -------------------------------------------------------------------------------------
 */

static uint64_t
cancel_key_hash(const struct cancel_key *key)
{
    return hash_bytes(key->bytes, key->len);
}

bool
cancel_key_equal(const struct map_node *node, const void *key)
{
    const struct cancel_key *const a = &container_of(node, struct client, key_node)->cancel_key;
    const struct cancel_key *const b = key;

    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

int
cancel_enter(struct client *client)
{
    const int r = map_add(&client->worker->cancel_keys, &client->key_node,
                          cancel_key_hash(&client->cancel_key));

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
cancel_draw_random(struct worker *worker, char *bytes, size_t len)
{
    if (worker->random_left < len) {
        const int r = entropy_fill(worker->random, sizeof worker->random);

        if (r < 0)
            return r;
        worker->random_left = sizeof worker->random;
    }
    worker->random_left -= len;
    memcpy(bytes, worker->random + worker->random_left, len);
    explicit_bzero(worker->random + worker->random_left, len);
    return 0;
}

/* A process id is a positive number. */
static bool
cancel_key_is_good(const struct map *keys, const struct cancel_key *key)
{
    return pg_get_uint32(key->bytes) != 0 && map_get(keys, cancel_key_hash(key), key) == NULL;
}

int
cancel_draw_key(struct client *client, unsigned minor)
{
    struct cancel_key key = {.len = PG_CANCEL_PID_SIZE +
                                    (minor >= 2 ? CANCEL_KEY_LONG : PG_CANCEL_KEY_MIN)};
    int r;

    do {
        r = cancel_draw_random(client->worker, key.bytes, key.len);
        key.bytes[0] &= 0x7f;
        peer_key_mark(key.bytes, client->worker->config->peer_id);
    } while (r == 0 && !cancel_key_is_good(&client->worker->cancel_keys, &key));
    if (r == 0)
        client->cancel_key = key;
    return r;
}

/* ---- the way there and back -------------------------------------------------------------------
 */

/* On the main loop, when no worker knew the key: perhaps a session of the console has it. */
static void
cancel_visit_console(struct message *message)
{
    struct cancel_route *const route = container_of(message, struct cancel_route, message);
    const struct engine_hooks *const hooks = &route->engine->hooks;
    const char *const bytes = route->key.bytes;

    if (hooks->cancel != NULL && route->key.len == PG_CANCEL_PID_SIZE + PG_CANCEL_KEY_MIN)
        hooks->cancel(hooks->arg, pg_get_uint32(bytes), pg_get_uint32(bytes + PG_CANCEL_PID_SIZE));
    free(route);
}

/* The connection ends; but for what the console makes of it, that is all. */
static void
cancel_come_home(struct message *message)
{
    struct cancel_route *const route = container_of(message, struct cancel_route, message);
    struct engine *const engine = route->engine;
    const bool found = route->found;

    if (route->client != NULL)
        client_close(route->client, found ? CLOSE_CANCEL_DONE : CLOSE_CANCEL_FAILED);
    if (found) {
        free(route);
    } else {
        route->message.fn = cancel_visit_console;
        loop_post(engine->main_loop, &route->message);
    }
    engine_release_object(engine); /* the main loop outlives the workers */
}

void
cancel_route_end(struct cancel_route *route)
{
    route->message.fn = cancel_come_home;
    loop_post(route->home->loop, &route->message);
}

void
cancel_routes_end(struct list *routes)
{
    struct list *link;

    while ((link = list_pop(routes)) != NULL)
        cancel_route_end(list_entry(link, struct cancel_route, link));
}

void
cancel_forget(struct cancel_route *route)
{
    route->client = NULL;
}

static void
cancel_visit(struct message *message)
{
    struct cancel_route *const route = container_of(message, struct cancel_route, message);
    struct worker *const worker = &route->engine->workers[route->at];
    struct client *const client =
        map_entry(map_get(&worker->cancel_keys, cancel_key_hash(&route->key), &route->key),
                  struct client, key_node);

    if (client != NULL) {
        route->found = true;
        client_cancel(client, route);
    } else if (++route->visited < route->engine->worker_count) {
        route->at = (route->at + 1) % route->engine->worker_count;
        loop_post(route->engine->workers[route->at].loop, &route->message);
    } else if (!cancel_pass_on(route, worker->config)) {
        cancel_route_end(route);
    }
}

void
cancel_begin(struct client *client, const char *key, size_t len)
{
    struct worker *const worker = client->worker;
    struct cancel_route *route;

    if (len > sizeof route->key.bytes) {
        client_close(client, CLOSE_CANCEL_FAILED);
        return;
    }
    route = calloc(1, sizeof *route);
    if (route == NULL) {
        client_close(client, CLOSE_NO_MEMORY);
        return;
    }
    route->engine = worker->engine;
    route->home = worker;
    route->client = client;
    route->at = worker->index;
    route->key.len = (uint8_t)len;
    memcpy(route->key.bytes, key, len);
    route->hops = peer_key_hops(key);
    peer_key_set_hops(route->key.bytes, PEER_KEY_HOPS);
    engine_hold_object(worker->engine);
    client->login->cancel = route;
    client_set_state(client, CLIENT_CANCEL);
    client_stop_timer(client); /* the cancel has its own */
    stream_set_reading(&client->stream, false);
    route->message.fn = cancel_visit;
    cancel_visit(&route->message);
}

/* ---- its effect -------------------------------------------------------------------------------
 */

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

static void
client_cancel_queued(struct client *client)
{
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
}

void
client_cancel(struct client *client, struct cancel_route *route)
{
    client_log(client, LOG_LEVEL_DEBUG, "cancel request");
    if (client->state == CLIENT_ACTIVE) {
        server_cancel(client->server, route);
        return;
    }
    if (client->state == CLIENT_WAITING)
        client_cancel_queued(client);
    cancel_route_end(route); /* else nothing is running */
}
