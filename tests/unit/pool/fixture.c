#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"
#include "engine_int.h"
#include "fake_memory.h"
#include "fd.h"
#include "log.h"
#include "pg.h"
#include "pool.h"
#include "settings.h"
#include "statement.h"
#include "worker.h"

/* What a server's login reports. */
static const char *const server_parameters[] = {
    "application_name",
    "",
    "client_encoding",
    "UTF8",
    "DateStyle",
    "ISO, MDY",
    "server_version",
    "15.4",
    "TimeZone",
    "UTC",
    "is_superuser",
    "off",
    "IntervalStyle",
    "postgres",
    NULL,
};

static const char base[] = "[databases]\n"
                           "db = host=10.0.0.1 port=5432\n"
                           "two = host=10.0.0.2 port=5432\n"
                           "[pgbouncer]\n"
                           "auth_type = trust\n"
                           "auth_file = /proc/self/fd/%d\n"
                           "worker_threads = 1\n"
                           "pool_shards = 1\n"
                           "batch_sends = off\n"
                           "pool_mode = transaction\n"
                           "%s\n";

/* A file without a name, to be read by way of /proc/self/fd. */
static int
file_of(const char *text)
{
    const int fd = memfd_create("test", MFD_CLOEXEC);
    const size_t len = strlen(text);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    return fd;
}

static struct config *
load(const char *text)
{
    CLEANUP(fd_close) int users = file_of("\"alice\" \"\"\n\"bob\" \"\"\n\"carol\" \"\"\n");
    CLEANUP(fd_close) int file = -1;
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    struct config *config = NULL;
    char *whole, path[40];

    assert_true(asprintf(&whole, base, users, text) > 0);
    file = file_of(whole);
    free(whole);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    if (config_load(path, &errors, &config) < 0) {
        config_errors_print(&errors, stderr);
        fail_msg("the test's configuration is wrong");
    }
    return config;
}

/* --- life ------------------------------------------------------------------------------------ */

int
fixture_setup(void **state)
{
    struct fixture *const f = calloc(1, sizeof(*f));

    assert_non_null(f);
    log_set_level(getenv("TEST_LOG") != NULL ? LOG_LEVEL_NOISE : LOG_LEVEL_FATAL);
    list_init(&f->peers);
    f->memory = -1;
    *state = f;
    return 0;
}

static void
visit(void *arg, struct console_visitor *visitor)
{
    struct fixture *const f = arg;

    engine_visitor_free(f->visitor);
    f->visitor = visitor;
}

void
fixture_start(struct fixture *f, const char *text)
{
    const struct engine_hooks hooks = {.arg = f, .visit = visit};

    f->main_loop = fake_loop_new();
    f->connector = fake_connector_new();
    f->config = load(text);
    assert_int_equal(engine_new(f->main_loop, f->config, f->tls, f->connector, &hooks, &f->engine),
                     0);
    assert_int_equal(registry_open_minimum(&f->engine->registry, f->config), 0);
    fixture_settle(f);
}

void
fixture_reload(struct fixture *f, const char *text)
{
    config_unref(f->config);
    f->config = load(text);
    engine_reload(f->engine, f->config, f->tls);
    fixture_settle(f);
}

/* Around what the engine does; not what the test does for it. */
static void
begin_limit(const struct fixture *f)
{
    if (f->memory >= 0)
        fake_memory_limit(f->memory);
}

static void
end_limit(struct fixture *f)
{
    if (f->memory >= 0)
        f->memory = fake_memory_unlimit();
}

void
fixture_settle(struct fixture *f)
{
    begin_limit(f);
    /* A message may go from loop to loop and back a few times. */
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < f->engine->worker_count; i++)
            fake_loop_settle(f->engine->workers[i].loop);
        fake_loop_settle(f->main_loop);
    }
    end_limit(f);
}

void
fixture_advance(struct fixture *f, usec_t span)
{
    fixture_settle(f);
    begin_limit(f);
    for (unsigned i = 0; i < f->engine->worker_count; i++)
        fake_loop_advance(f->engine->workers[i].loop, span);
    fake_loop_advance(f->main_loop, span);
    end_limit(f);
    fixture_settle(f);
}

/* What engine_stop does first, and would wait for: nobody turns the loops while it does. */
static void
stop_workers(struct fixture *f)
{
    atomic_store(&f->engine->stopping, true);
    for (unsigned i = 0; i < f->engine->worker_count; i++)
        worker_control(&f->engine->workers[i]);
    fixture_settle(f);
    while (fake_connector_cancelling(f->connector) > 0) {
        fake_connector_finish_cancel(f->connector, 0);
        fixture_settle(f);
    }
    while (fake_connector_retiring(f->connector) > 0) {
        fake_connector_finish_retired(f->connector);
        fixture_settle(f);
    }
}

void
fixture_stop(struct fixture *f)
{
    if (f->engine == NULL)
        return;
    stop_workers(f);
    engine_visitor_free(f->visitor);
    f->visitor = NULL;
    assert_int_equal(f->engine->objects, 0);
    assert_int_equal(permits_used(&f->engine->clients), 0);
    assert_int_equal(permits_used(&f->engine->logins), 0);
    engine_stop(f->engine);
    engine_free(f->engine);
    f->engine = NULL;
    loop_free(f->main_loop);
    fake_connector_free(f->connector);
    config_unref(f->config);
    assert_int_equal(settings_global_done(), 0);
    assert_int_equal(statement_global_done(), 0);
}

void
fixture_forget_peers(struct fixture *f)
{
    struct peer *peer;

    LIST_FOREACH_SAFE (peer, &f->peers, link)
        peer_free(peer);
}

int
fixture_teardown(void **state)
{
    struct fixture *const f = *state;

    fixture_stop(f);
    fixture_forget_peers(f);
    free(f);
    return 0;
}

/* --- clients --------------------------------------------------------------------------------- */

struct peer *
fixture_connect(struct fixture *f)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    begin_limit(f);
    engine_accept(f->engine, fds[0], NULL, 0, f->listen_address);
    end_limit(f);
    fixture_settle(f);
    return peer_new(f, fds[1]);
}

static void
send_packet(struct peer *peer, const struct buf *body)
{
    char length[4];

    (void)peer_fill(peer);
    if (peer->ended)
        return; /* it was not even let in */
    pg_put_uint32(length, (uint32_t)(sizeof(length) + body->len));
    peer_send_bytes(peer, length, sizeof(length));
    peer_send_bytes(peer, body->data, body->len);
}

static void
append_uint32(struct buf *buf, uint32_t value)
{
    char bytes[4];

    pg_put_uint32(bytes, value);
    assert_int_equal(buf_append(buf, bytes, sizeof(bytes)), 0);
}

void
fixture_send_startup(struct peer *peer, uint32_t version, const char *const *parameters)
{
    CLEANUP(buf_done) struct buf body = BUF_INIT;

    append_uint32(&body, version);
    for (; *parameters != NULL; parameters++)
        assert_int_equal(buf_append(&body, *parameters, strlen(*parameters) + 1), 0);
    assert_int_equal(buf_append_char(&body, '\0'), 0);
    send_packet(peer, &body);
}

struct peer *
fixture_knock(struct fixture *f, const char *database, const char *user)
{
    const char *const parameters[] = {"user", user, "database", database, NULL};
    struct peer *const peer = fixture_connect(f);

    fixture_send_startup(peer, PG_PROTOCOL_3_0, parameters);
    fixture_settle(f);
    return peer;
}

struct peer *
fixture_login(struct fixture *f, const char *database, const char *user)
{
    struct peer *const peer = fixture_knock(f, database, user);

    peer_expect_login(peer);
    return peer;
}

struct peer *
fixture_cancel(struct peer *client)
{
    CLEANUP(buf_done) struct buf body = BUF_INIT;
    struct peer *const peer = fixture_connect(client->fixture);

    append_uint32(&body, PG_CANCEL_REQUEST);
    assert_int_equal(buf_append(&body, client->key, client->key_len), 0);
    send_packet(peer, &body);
    fixture_settle(client->fixture);
    return peer;
}

/* --- servers --------------------------------------------------------------------------------- */

struct peer *
fixture_accept(struct fixture *f)
{
    struct peer *peer;
    int pid;

    fixture_settle(f);
    peer = peer_new(f, fake_connector_accept(f->connector, server_parameters, &pid));
    peer->pid = (uint32_t)pid;
    fixture_settle(f);
    return peer;
}

struct peer *
fixture_serve(struct fixture *f)
{
    struct peer *const peer = fixture_accept(f);

    peer_expect(peer, FRONTEND_SYNC, NULL);
    peer_send_ready(peer, READY_IDLE);
    fixture_settle(f);
    return peer;
}

void
fixture_refuse(struct fixture *f, const char *sqlstate, const char *message, bool from_server,
               bool transient)
{
    struct backend_error error = {
        .from_server = from_server, .transient = transient, .hopeless = from_server && !transient};

    (void)snprintf(error.sqlstate, sizeof(error.sqlstate), "%s", sqlstate);
    (void)snprintf(error.message, sizeof(error.message), "%s", message);
    fake_connector_refuse(f->connector, &error);
    fixture_settle(f);
}

void
fixture_begin(struct fixture *f, const char *text, struct peer **ret_client,
              struct peer **ret_server)
{
    fixture_start(f, text);
    *ret_client = fixture_knock(f, "db", "alice");
    *ret_server = fixture_serve(f);
    peer_expect_login(*ret_client);
}

/* --- looking inside -------------------------------------------------------------------------- */

struct search {
    const char *database, *user;
    struct pool *found;
};

static void
match(struct pool *pool, void *arg)
{
    struct search *const search = arg;

    if (strcmp(pool->database->name, search->database) == 0 &&
        strcmp(pool->user->name, search->user) == 0)
        search->found = pool;
}

struct pool *
fixture_pool(struct fixture *f, const char *database, const char *user)
{
    struct search search = {.database = database, .user = user};

    fixture_settle(f);
    registry_each_pool(&f->engine->registry, match, &search);
    assert_non_null(search.found);
    return search.found;
}

struct shard *
fixture_shard(struct fixture *f, const char *database, const char *user)
{
    return fixture_pool(f, database, user)->shards[0];
}

unsigned
fixture_server_count(struct fixture *f)
{
    return permits_used(&fixture_pool(f, "db", "alice")->servers);
}

unsigned
fixture_idle_count(struct fixture *f)
{
    return atomic_load(&fixture_shard(f, "db", "alice")->idle_count);
}
