#include "client.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "clock.h"
#include "engine_int.h"
#include "fd.h"
#include "goodbye.h"
#include "log.h"
#include "login.h"
#include "login_int.h"
#include "outbox.h"
#include "policy.h"
#include "prepared.h"
#include "relay.h"
#include "replication.h"
#include "server.h"
#include "settings.h"
#include "tls.h"
#include "worker.h"

/*
 * An idle client is this, its io and what epoll has to know of it; ten thousand of them are why a
 * pooler is there. A field that only a login needs belongs to struct login.
 */
static_assert(sizeof(struct client) <= 440, "a client is 700 bytes, all in all");

#define TO(state) (1u << CLIENT_##state)

static const struct {
    const char *name;
    const char *shown; /* PgBouncer's word */
    unsigned next;     /* mask of the states that may follow */
} states[] = {
    /* clang-format off */
    [CLIENT_STARTUP] = { "startup", "login",   TO(TLS) | TO(CANCEL) | TO(AUTH) | TO(CLOSING) },
    [CLIENT_TLS]     = { "tls",     "login",   TO(STARTUP) | TO(CLOSING) },
    [CLIENT_CANCEL]  = { "cancel",  "active_cancel_req", TO(CLOSING) },
    [CLIENT_AUTH]    = { "auth",    "login",   TO(MOVING) | TO(CLOSING) },
    [CLIENT_MOVING]  = { "moving",  "login",   TO(WELCOME) | TO(IDLE) | TO(CLOSING) },
    [CLIENT_WELCOME] = { "welcome", "waiting", TO(IDLE) | TO(CLOSING) },
    [CLIENT_IDLE]    = { "idle",    "idle",    TO(MOVING) | TO(WAITING) | TO(ACTIVE) | TO(CLOSING) },
    [CLIENT_WAITING] = { "waiting", "waiting", TO(IDLE) | TO(ACTIVE) | TO(CLOSING) },
    [CLIENT_ACTIVE]  = { "active",  "active",  TO(IDLE) | TO(CLOSING) },
    [CLIENT_CLOSING] = { "closing", "closing", 0 },
    /* clang-format on */
};

const char *
client_state_name(enum client_state state)
{
    return states[state].shown;
}

/* What holds in each state; checked at every change of state. */
static void
client_verify(const struct client *client)
{
    assert((client->server != NULL) == (client->state == CLIENT_ACTIVE));
    assert(!list_is_linked(&client->waiter.link) || client->state == CLIENT_WAITING ||
           client->state == CLIENT_IDLE); /* is about to wait */
    assert(client->shard != NULL || client->state < CLIENT_MOVING ||
           client->state == CLIENT_CLOSING);
    assert(client->login == NULL || client->login->cancel == NULL ||
           client->state == CLIENT_CANCEL);
}

void
client_set_state(struct client *client, enum client_state next)
{
    const enum client_state before = client->state;

    assert(states[before].next & (1u << next));
    client->state = next;
    if (log_level_enabled(LOG_LEVEL_NOISE))
        client_log(client, LOG_LEVEL_NOISE, "%s -> %s", states[before].name, states[next].name);
    client_verify(client);
}

const char *
client_database(const struct client *client)
{
    if (client->shard != NULL)
        return client->shard->pool->database->name;
    return client->login != NULL ? login_database(client->login) : "(nodb)";
}

const char *
client_user(const struct client *client)
{
    if (client->user != NULL)
        return client->user->name;
    return client->login != NULL ? login_user(client->login) : "(nouser)";
}

void
client_describe_tls(const struct client *client, char text[CLIENT_TLS_TEXT_MAX])
{
    *text = '\0';
    if (client->stream.tls != NULL)
        tls_describe(client->stream.tls, text, CLIENT_TLS_TEXT_MAX);
}

void
client_log(const struct client *client, enum log_level level, const char *format, ...)
{
    char subject[400], address[ADDRESS_TEXT_MAX];
    va_list args;

    if (!log_level_enabled(level))
        return;
    (void)snprintf(subject, sizeof subject, "C-0x%llx: %s/%s@%s", (unsigned long long)client->id,
                   client_database(client), client_user(client),
                   address_text(&client->address, address));
    va_start(args, format);
    log_vmsg(level, subject, format, args);
    va_end(args);
}

void
client_send(struct client *client, const struct buf *buf)
{
    if (buf->len > 0 && stream_is_open(&client->stream))
        stream_send_copy(&client->stream, buf->data, buf->len);
}

/* ---- stream -----------------------------------------------------------------------------------
 */

static struct client *
client_of(struct stream *stream)
{
    return container_of(stream, struct client, stream);
}

/*
 * In a storm of logins, each turn of the loop takes a few of their steps and then looks after those
 * who work. What is not read now makes an event in the next turn; what TLS holds would not.
 */
static void
client_on_login_readable(struct client *client)
{
    struct worker *const worker = client->worker;
    const usec_t now = clock_now();
    const char *data;
    ssize_t n;

    if (!client->stream.held && !worker_has_time_for_login(worker))
        return;
    n = stream_recv(&client->stream, &data, NULL);
    if (n > 0)
        login_input(client, data, (size_t)n);
    else if (n != -EAGAIN)
        client_close(client, CLOSE_CLIENT_GONE);
    worker_count_login(worker, now);
}

static void
client_on_readable(struct stream *stream)
{
    struct client *const client = client_of(stream);

    if (client->state <= CLIENT_AUTH)
        client_on_login_readable(client);
    else
        relay_client_readable(client);
}

static void
client_on_drained(struct stream *stream)
{
    struct client *const client = client_of(stream);

    if (client->state >= CLIENT_IDLE)
        relay_client_drained(client);
}

static void
client_on_gone(struct stream *stream)
{
    client_close(client_of(stream), CLOSE_CLIENT_GONE);
}

static void
client_on_failed(struct stream *stream, int error)
{
    struct client *const client = client_of(stream);

    client_log(client, LOG_LEVEL_DEBUG, "sending to the client failed: %s", strerror(error));
    client_close(client, CLOSE_CLIENT_GONE);
}

static const struct stream_ops client_stream_ops = {
    .name = "client",
    .readable = client_on_readable,
    .drained = client_on_drained,
    .hung_up = client_on_gone,
    .failed = client_on_failed,
};

/* ---- waiting for a server ---------------------------------------------------------------------
 */

static struct client *
client_of_waiter(struct waiter *waiter)
{
    return container_of(waiter, struct client, waiter);
}

static void
client_granted(struct waiter *waiter, struct server *server)
{
    struct client *const client = client_of_waiter(waiter);

    client->shard->stats.wait_time += loop_now(client->worker->loop) - waiter->since;
    /* Its query begins now: what came before was waiting. */
    client->query_start = 0;
    client->xact_start = 0;
    relay_begin(client, server);
    if (client->state != CLIENT_ACTIVE)
        return;
    server_cancel_delay(server);
    relay_client_pending(client);
    if (client->state != CLIENT_CLOSING)
        stream_set_reading(&client->stream, true);
}

static void
client_wait_refused(struct waiter *waiter, const struct refusal *refusal)
{
    client_refuse(client_of_waiter(waiter), refusal);
}

static void
client_wait_notice(struct waiter *waiter, usec_t waited)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    struct client *const client = client_of_waiter(waiter);
    const struct pool *const pool = client->shard->pool;
    char text[200], detail[300];

    (void)snprintf(text, sizeof text,
                   "No server connection available in pgweir, client being queued");
    (void)snprintf(detail, sizeof detail,
                   "Waiting for %.1f s, place %zu in the queue of pool %s/%s (%u servers): %s.",
                   (double)waited / USEC_PER_SEC, pool_place(client->shard, waiter),
                   pool->database->name, pool->user->name, permits_used(&pool->servers),
                   wait_cause_text(client->shard->cause));
    if (msg_notice(&message, "NOTICE", SQLSTATE_SUCCESSFUL_COMPLETION, text, detail, NULL) == 0)
        client_send(client, &message);
}

static const struct waiter_ops client_waiter_ops = {
    .granted = client_granted,
    .refused = client_wait_refused,
    .notice = client_wait_notice,
};

/* ---- life -------------------------------------------------------------------------------------
 */

static void client_arrive(struct message *message);
static void client_settle(struct client *client);
static void client_free_message(struct message *message);

int
client_accept(struct worker *worker, int fd, const struct address *address, enum tls_mode tls_mode,
              uint64_t id)
{
    struct client *const client = calloc(1, sizeof *client);
    int r;

    if (client == NULL) {
        fd_close(fd);
        permits_give(&worker->engine->logins);
        engine_release_object(worker->engine);
        return -ENOMEM;
    }
    client->worker = worker;
    client->address = *address;
    client->id = id;
    client->settings = settings_empty();
    client->startup = settings_empty();
    client->waiter.ops = &client_waiter_ops;
    client->connect_time = loop_now(worker->loop);
    client->connect_wall = (uint32_t)(clock_wall() / SEC);
    client->last_active = client->connect_time;
    framer_init(&client->framer,
                (uint32_t)MIN(worker->config->max_packet_size, (uint64_t)FRAMER_NO_LIMIT));
    list_push_back(&worker->clients, &client->link);
    atomic_fetch_add(&worker->client_count, 1);
    r = stream_open(&client->stream, worker->outbox, fd, NULL, false, &client_stream_ops);
    if (r == 0)
        r = login_new(client, tls_mode);
    if (r < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return r;
    }
    if (worker->config->client_login_timeout != 0)
        client_schedule(client, client->connect_time + worker->config->client_login_timeout);
    /* With tcp_defer_accept, or after a moment's wait for us, the startup packet is there. */
    client_on_login_readable(client);
    return 0;
}

static void
client_free_message(struct message *message)
{
    struct client *const client = container_of(message, struct client, message);

    login_free(client->login);
    replication_free(client->replication);
    buf_done(&client->held);
    buf_done(&client->pending);
    prepared_free_names(client->names);
    settings_unref(client->settings);
    settings_unref(client->startup);
    free(client);
}

/* The server is closed in mid-work, or cleaned up and reused. */
static void
client_leave_server(struct client *client)
{
    struct server *const server = client->server;

    if (server_is_ready(server) && !client_is_mid_message(client)) {
        server_release(server); /* unlinks the client */
        return;
    }
    client->is_cut = relay_client_is_cut(server);
    client->server = NULL;
    server->client = NULL;
    server_close(server, requests_empty(&server->requests) ? CLOSE_SV_CLIENT_GONE
                                                           : CLOSE_SV_CLIENT_IN_QUERY);
}

static void
client_uncount(struct client *client)
{
    struct engine *const engine = client->worker->engine;

    atomic_fetch_sub(&client->worker->client_count, 1);
    if (client->shard == NULL) {
        permits_give(&engine->logins);
    } else {
        atomic_fetch_sub(&client->shard->client_count, 1);
        permits_give(&client->shard->pool->database->clients);
        permits_give(&client->user->clients);
        permits_give(&engine->clients);
        registry_release_pool(client->shard->pool);
    }
    engine_release_object(engine);
}

void
client_refuse(struct client *client, const struct refusal *refusal)
{
    if (client->state == CLIENT_CLOSING)
        return;
    goodbye_log(client, refusal);
    if (client->server != NULL)
        client_leave_server(client);
    if (client->shard != NULL)
        pool_leave(client->shard, &client->waiter);
    if (client->replication != NULL)
        replication_leave(client->replication);
    goodbye_say(client, refusal);
    if (client->login != NULL)
        login_leave(client->login);
    client_set_state(client, CLIENT_CLOSING);
    client_stop_timer(client);
    cancel_leave(client);
    list_remove(&client->link);
    stream_close(&client->stream);
    client_uncount(client);
    client->message.fn = client_free_message;
    loop_defer(client->worker->loop, &client->message);
}

void
client_close(struct client *client, enum close_reason reason)
{
    const struct refusal refusal = {.reason = reason};

    client_refuse(client, &refusal);
}

/* ---- to the pool's worker ---------------------------------------------------------------------
 */

/* Its shard counts it from here on. */
static void
client_join_shard(struct client *client, struct shard *shard)
{
    if (client->shard != NULL)
        atomic_fetch_sub(&client->shard->client_count, 1);
    client->shard = shard;
    atomic_fetch_add(&shard->client_count, 1);
}

void
client_move(struct client *client, struct shard *to)
{
    client_stop_timer(client);
    cancel_leave(client);
    list_remove(&client->link);
    client_join_shard(client, to);
    client_set_state(client, CLIENT_MOVING);
    if (to->worker == client->worker) { /* no need to travel */
        client_settle(client);
        return;
    }
    stream_detach(&client->stream);
    atomic_fetch_sub(&client->worker->client_count, 1);
    atomic_fetch_add(&to->worker->client_count, 1);
    client->message.fn = client_arrive;
    loop_post(to->worker->loop, &client->message);
}

/* From the pool's other shard, where it was idle. */
static void
client_go_on(struct client *client)
{
    const usec_t idle_timeout = client_idle_timeout(client);

    if (cancel_enter(client) < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return;
    }
    client_set_state(client, CLIENT_IDLE);
    if (idle_timeout != 0)
        client_schedule(client, client->last_active + idle_timeout);
}

void
client_refuse_hopeless(struct client *client)
{
    struct refusal refusal;
    char detail[sizeof client->shard->error.message + 100];

    pool_refusal(client->shard, &refusal, detail, sizeof detail);
    client_refuse(client, &refusal);
}

static void
client_begin_welcome(struct client *client)
{
    const usec_t timeout = client->worker->config->client_login_timeout;

    client_set_state(client, CLIENT_WELCOME);
    stream_set_reading(&client->stream, false);
    if (timeout != 0)
        client_schedule(client, client->connect_time + timeout);
}

/*
 * From its login: the pool may know what its servers report, or has to ask one first. Who is to
 * have a server alone is told what that one reports.
 */
static void
client_await_welcome(struct client *client)
{
    struct shard *const shard = client->shard;
    bool known;

    shard_take_policy(shard); /* with the secret of this very login, if that is new */
    if (client->state == CLIENT_CLOSING)
        return; /* its database was removed */
    if (client->replication != NULL) {
        client_begin_welcome(client);
        replication_begin(client->replication);
        return;
    }
    (void)pthread_mutex_lock(&shard->pool->mutex);
    known = shard->pool->welcome != NULL;
    (void)pthread_mutex_unlock(&shard->pool->mutex);
    if (known) {
        client_welcome(client);
        return;
    }
    if (shard_is_hopeless(shard)) {
        client_refuse_hopeless(client);
        return;
    }
    client_begin_welcome(client);
    list_push_back(&shard->welcoming, &client->login->welcome_link);
    shard_grow(shard);
}

/* It is on its pool's worker. */
static void
client_settle(struct client *client)
{
    list_push_back(&client->shard->clients, &client->link);
    if (client->worker->stopping)
        client_close(client, CLOSE_SHUTDOWN);
    else if (client->login != NULL)
        client_await_welcome(client);
    else
        client_go_on(client);
}

static void
client_arrive(struct message *message)
{
    struct client *const client = container_of(message, struct client, message);

    client->worker = client->shard->worker;
    if (stream_attach(&client->stream, client->worker->outbox) < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return;
    }
    client_settle(client);
}

struct client *
client_to_welcome(struct list *link)
{
    return container_of(link, struct login, welcome_link)->client;
}

void
client_welcome(struct client *client)
{
    const usec_t idle_timeout = client_idle_timeout(client);

    client_stop_timer(client);
    if (login_answer(client) < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return;
    }
    login_free(TAKE(client->login));
    client->shard->stats.client_logins++;
    client->last_active = loop_now(client->worker->loop);
    client_set_state(client, CLIENT_IDLE);
    if (client->replication != NULL)
        replication_link(client->replication);
    stream_set_reading(&client->stream, true);
    if (idle_timeout != 0)
        client_schedule(client, client->last_active + idle_timeout);
    if (client->shard->policy->min_size > 0)
        shard_grow(client->shard);
    /* What the client sent along with its password. */
    if (client->pending.len > 0)
        relay_client_pending(client);
}

void
client_unlink(struct client *client)
{
    const usec_t idle_timeout = client_idle_timeout(client);

    assert(!client->stalled); /* what it waits for has been answered */
    client->server = NULL;
    client->query_start = 0;
    client->xact_start = 0;
    client_set_state(client, CLIENT_IDLE);
    if (stream_backlog_size(&client->stream) == 0)
        stream_set_reading(&client->stream, true);
    if (idle_timeout != 0)
        client_schedule(client, client->last_active + idle_timeout);
    sharing_client_idle(client->shard);
}

/* The client learns why its server has gone; it cannot go on, since its state is lost with it. */
void
client_server_lost(struct client *client, enum close_reason server_reason, const char *detail)
{
    const struct refusal refusal = {
        .reason =
            *close_reason_row(server_reason)->sqlstate != '\0' || server_reason == CLOSE_SENT_ERROR
                ? server_reason
                : CLOSE_SERVER_LOST,
    };

    client->server = NULL;
    client_set_state(client, CLIENT_IDLE);
    if (detail != NULL)
        goodbye_explain(client, &refusal, detail);
    else
        client_refuse(client, &refusal);
}
