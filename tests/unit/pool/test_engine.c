/*
 * test_engine.c - what is done to all pools at once: pause, reload, shutdown; and the snapshot.
 */
#include "fixture.h"

#include "engine_int.h"
#include "pg.h"
#include "pool.h"
#include "snapshot.h"

struct drain {
    struct engine_drain drain;
    unsigned done;
};

static void
drain_done(struct engine_drain *drain)
{
    container_of(drain, struct drain, drain)->done++;
}

static void
count(void *arg)
{
    (*(unsigned *)arg)++;
}

static void
begin_transaction(struct peer *client, struct peer *server)
{
    peer_begin(client, server);
}

static void
end_transaction(struct peer *client, struct peer *server)
{
    peer_commit(client, server);
}

/* --- pause
 * ---------------------------------------------------------------------------------------- */

static void
test_pause_and_resume(void **state)
{
    struct fixture *f = *state;
    struct drain drain = {.drain.done = drain_done};
    struct peer *client, *other, *server;

    fixture_begin(f, "", &client, &server);
    other = fixture_login(f, "db", "alice");
    begin_transaction(client, server);
    assert_int_equal(engine_pause(f->engine, NULL, &drain.drain), ENGINE_OK);
    assert_true(engine_is_paused(f->engine));
    peer_send(other, 'Q', "select 2");
    peer_expect_silence(other);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    assert_int_equal(drain.done, 0);
    end_transaction(client, server); /* may still end what it has begun */
    peer_expect(server, 'X', NULL);
    fixture_settle(f);
    assert_int_equal(drain.done, 1);
    assert_int_equal(fixture_server_count(f), 0);
    assert_int_equal(engine_pause(f->engine, NULL, &drain.drain), ENGINE_ALREADY);
    peer_send(client, 'Q', "select 1");
    peer_expect_silence(client);
    assert_int_equal(engine_resume(f->engine, NULL), ENGINE_OK);
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 2"); /* was there first */
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 1");
    assert_int_equal(engine_resume(f->engine, NULL), ENGINE_NOT_PAUSED);
}

static void
test_pause_closes_idle_servers_and_waits_for_their_end(void **state)
{
    struct fixture *f = *state;
    struct drain drain = {.drain.done = drain_done};
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    fake_connector_hold_retired(f->connector);
    assert_int_equal(engine_pause(f->engine, NULL, &drain.drain), ENGINE_OK);
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
    assert_int_equal(drain.done, 0);
    fake_connector_finish_retired(f->connector);
    fixture_settle(f);
    assert_int_equal(drain.done, 1);
}

static void
test_pause_twice(void **state)
{
    struct fixture *f = *state;
    struct drain drain = {.drain.done = drain_done};

    fixture_start(f, "");
    assert_int_equal(engine_resume(f->engine, "db"), ENGINE_NOT_PAUSED);
    for (int i = 1; i <= 2; i++) { /* also when it is paused already */
        assert_int_equal(engine_pause(f->engine, "db", &drain.drain), ENGINE_OK);
        fixture_settle(f);
        assert_int_equal(drain.done, i);
    }
    assert_int_equal(engine_resume(f->engine, "db"), ENGINE_OK);
    assert_int_equal(engine_resume(f->engine, "db"), ENGINE_NOT_PAUSED);
    assert_int_equal(engine_resume(f->engine, "nowhere"), ENGINE_NO_SUCH_DATABASE);
    assert_int_equal(engine_pause(f->engine, NULL, &drain.drain), ENGINE_OK);
    fixture_settle(f);
    assert_int_equal(engine_pause(f->engine, "db", &drain.drain), ENGINE_ALREADY);
    assert_int_equal(engine_resume(f->engine, "db"), ENGINE_NOT_PAUSED);
    assert_int_equal(engine_resume(f->engine, NULL), ENGINE_OK);
}

static void
test_pause_of_nothing(void **state)
{
    struct fixture *f = *state;
    struct drain drain = {.drain.done = drain_done};

    fixture_start(f, "");
    assert_int_equal(engine_pause(f->engine, NULL, &drain.drain), ENGINE_OK);
    assert_int_equal(drain.done, 0); /* never from inside the call */
    fixture_settle(f);
    assert_int_equal(drain.done, 1);
}

static void
test_pause_of_one_database(void **state)
{
    struct fixture *f = *state;
    struct drain drain = {.drain.done = drain_done};
    struct peer *client, *other, *server, *another;

    fixture_begin(f, "", &client, &server);
    other = fixture_knock(f, "two", "alice");
    another = fixture_serve(f);
    peer_expect_login(other);
    assert_int_equal(engine_pause(f->engine, "nosuch", &drain.drain), ENGINE_NO_SUCH_DATABASE);
    assert_int_equal(engine_pause(f->engine, "db", &drain.drain), ENGINE_OK);
    peer_expect(server, 'X', NULL);
    assert_int_equal(drain.done, 1);
    assert_false(engine_is_paused(f->engine));
    peer_send(client, 'Q', "select 1");
    peer_expect_silence(client);
    peer_ask(other, another, "select 2");
    assert_int_equal(engine_resume(f->engine, "db"), ENGINE_OK);
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 1");
}

static void
test_pause_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct drain drain = {.drain.done = drain_done};
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    begin_transaction(client, server);
    assert_int_equal(engine_pause(f->engine, NULL, &drain.drain), ENGINE_OK);
    fixture_settle(f);
    engine_drain_cancel(&drain.drain);
    end_transaction(client, server);
    fixture_settle(f);
    assert_int_equal(drain.done, 0);
    assert_true(engine_is_paused(f->engine));
}

/* A server that is logging in when the pause comes does not slip through. */
static void
test_pause_while_a_server_is_opened(void **state)
{
    struct fixture *f = *state;
    struct drain drain = {.drain.done = drain_done};
    struct peer *client, *server;

    fixture_start(f, "");
    client = fixture_knock(f, "db", "alice");
    assert_int_equal(engine_pause(f->engine, NULL, &drain.drain), ENGINE_OK);
    fixture_settle(f);
    assert_int_equal(drain.done, 0);
    server = fixture_serve(f);
    peer_expect(server, 'X', NULL);
    fixture_settle(f);
    assert_int_equal(drain.done, 1);
    peer_expect_login(client); /* what the server told is good for the login */
    peer_send(client, 'Q', "select 1");
    peer_expect_silence(client);
}

/* --- reload
 * ----------------------------------------------------------------------------------------- */

static void
test_reload_with_another_host(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[2], *servers[2];

    fixture_begin(f, "", &clients[0], &servers[0]);
    clients[1] = fixture_login(f, "db", "alice");
    begin_transaction(clients[0], servers[0]);
    peer_send(clients[1], 'Q', "begin");
    servers[1] = fixture_serve(f);
    peer_expect_types(servers[1], "Q");
    peer_send_complete(servers[1], "BEGIN", 'I');
    peer_expect_types(clients[1], "CZ");
    fixture_reload(f, "[databases]\ndb = host=10.0.0.5\n");
    peer_expect(servers[1], 'X', NULL); /* idle: at once */
    peer_expect_silence(servers[0]);    /* busy: when its client is done with it */
    end_transaction(clients[0], servers[0]);
    peer_expect(servers[0], 'X', NULL);
    peer_send(clients[0], 'Q', "select 1");
    fixture_settle(f);
    assert_string_equal(fake_connector_target(f->connector)->host, "10.0.0.5");
    servers[0] = fixture_serve(f);
    peer_expect(servers[0], 'Q', "select 1");
}

/* A connection that was begun with the old file is not used. */
static void
test_reload_while_a_server_is_opened(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = fixture_knock(f, "db", "alice");
    peer_send(client, 'Q', "select 1");
    fixture_reload(f, "[databases]\ndb = host=10.0.0.5\n");
    assert_string_equal(fake_connector_target(f->connector)->host, "10.0.0.1");
    server = fixture_serve(f);
    peer_expect(server, 'X', NULL);
    assert_string_equal(fake_connector_target(f->connector)->host, "10.0.0.5");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_expect(server, 'Q', "select 1");
}

static void
test_reload_without_a_change(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    fixture_reload(f, "");
    peer_expect_silence(server);
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_reload_with_another_size(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[3], *servers[3];

    fixture_begin(f, "default_pool_size = 1\nquery_wait_notify = 0\n", &clients[0], &servers[0]);
    begin_transaction(clients[0], servers[0]);
    for (unsigned i = 1; i < 3; i++) {
        clients[i] = fixture_login(f, "db", "alice");
        peer_send(clients[i], 'Q', "begin");
    }
    fixture_settle(f);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    fixture_reload(f, "default_pool_size = 3\nquery_wait_notify = 0\n");
    assert_int_equal(fake_connector_pending(f->connector), 2);
    for (unsigned i = 1; i < 3; i++) {
        servers[i] = fixture_serve(f);
        peer_expect_types(servers[i], "Q");
        peer_send_complete(servers[i], "BEGIN", 'T');
        peer_expect_types(clients[i], "CZ");
    }
    fixture_reload(f, "default_pool_size = 1\nquery_wait_notify = 0\n");
    for (unsigned i = 0; i < 3; i++) {
        end_transaction(clients[i], servers[i]);
        if (i < 2)
            peer_expect(servers[i], 'X', NULL);
    }
    peer_expect_silence(servers[2]);
    assert_int_equal(fixture_server_count(f), 1);
}

static void
test_reload_without_the_database(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "[databases]\nmore = host=10.0.0.3\n", &client, &server);
    client = fixture_knock(f, "more", "alice");
    server = fixture_serve(f);
    peer_expect_login(client);
    begin_transaction(client, server);
    fixture_reload(f, "");
    peer_expect_error(client, "FATAL", "57P01", "database removed");
    peer_expect_end(client);
    peer_expect_error(fixture_knock(f, "more", "alice"), "FATAL", "3D000", "no such database");
}

static void
test_reload_with_other_timeouts(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    fixture_reload(f, "query_timeout = 5\n");
    peer_ask(client, server, "select pg_sleep(60)");
    fixture_advance(f, 5 * SEC);
    peer_expect_error(client, "FATAL", "57014", "query timeout");
}

/* --- shutdown
 * ---------------------------------------------------------------------------------------- */

static void
test_shutdown_waits_for_servers(void **state)
{
    struct fixture *f = *state;
    struct drain drain = {.drain.done = drain_done};
    struct peer *client, *waiting, *server;
    unsigned done = 0;

    fixture_begin(f, "default_pool_size = 1\n", &client, &server);
    waiting = fixture_login(f, "db", "alice");
    begin_transaction(client, server);
    peer_send(waiting, 'Q', "select 2");
    fixture_settle(f);
    engine_shutdown(f->engine, ENGINE_WAIT_FOR_SERVERS, count, &done);
    peer_expect_error(waiting, "FATAL", "57P01", "server shutting down");
    peer_expect_end(waiting);
    peer_expect_silence(client);
    assert_int_equal(engine_pause(f->engine, NULL, &drain.drain), ENGINE_SHUTTING_DOWN);
    peer_expect_error(fixture_knock(f, "db", "alice"), "FATAL", "57P01", "shutting down");
    assert_int_equal(done, 0);
    end_transaction(client, server);
    peer_expect(server, 'X', NULL);
    fixture_settle(f);
    assert_int_equal(done, 1);
    assert_int_equal(engine_shutdown_mode(f->engine), ENGINE_WAIT_FOR_SERVERS);
}

/* Who asks for a server during the shutdown is not kept for ever. */
static void
test_shutdown_and_a_query_afterwards(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *idle, *server;
    unsigned done = 0;

    fixture_begin(f, "", &client, &server);
    idle = fixture_login(f, "db", "alice");
    begin_transaction(client, server);
    engine_shutdown(f->engine, ENGINE_WAIT_FOR_SERVERS, count, &done);
    fixture_settle(f);
    peer_send(idle, 'Q', "select 1");
    peer_expect_error(idle, "FATAL", "57P01", "server shutting down");
    peer_expect_end(idle);
    fixture_stop(f); /* counts, too */
}

static void
test_shutdown_waits_for_clients(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[2], *server;
    unsigned done = 0;

    fixture_begin(f, "", &clients[0], &server);
    clients[1] = fixture_login(f, "db", "alice");
    engine_shutdown(f->engine, ENGINE_WAIT_FOR_CLIENTS, count, &done);
    begin_transaction(clients[0], server); /* life goes on */
    end_transaction(clients[0], server);
    peer_close(clients[0]);
    fixture_settle(f);
    assert_int_equal(done, 0);
    peer_close(clients[1]);
    fixture_settle(f);
    assert_int_equal(done, 1);
}

static void
test_shutdown_gets_harder(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    unsigned done = 0, now = 0;

    fixture_begin(f, "", &client, &server);
    begin_transaction(client, server);
    engine_shutdown(f->engine, ENGINE_WAIT_FOR_SERVERS, count, &done);
    fixture_settle(f);
    engine_shutdown(f->engine, ENGINE_WAIT_FOR_CLIENTS, count, &done);
    fixture_settle(f);
    assert_int_equal(done, 0);
    engine_shutdown(f->engine, ENGINE_IMMEDIATE, count, &now);
    assert_int_equal(now, 0); /* never from inside the call */
    peer_expect_error(client, "FATAL", "57P01", "pooler is shutting down");
    peer_expect_end(client);
    assert_int_equal(done, 0);
    assert_true(now >= 1);
    fixture_stop(f); /* counts, too */
}

/* Clients, servers and attempts in every state; the fixture checks that nothing is left. */
static void
test_stop_in_the_middle_of_everything(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *silent;

    fixture_begin(f, "default_pool_size = 3\n", &client, &server);
    fake_connector_hold_retired(f->connector);
    silent = fixture_connect(f);
    begin_transaction(client, server);
    client = fixture_login(f, "db", "alice");
    peer_send(client, 'Q', "select 1");
    server = fixture_serve(f);
    peer_expect_types(server, "Q");
    fixture_cancel(client);
    for (unsigned i = 0; i < 3; i++) {
        client = fixture_login(f, "db", "alice");
        peer_send(client, 'Q', "select 1");
        peer_send_bytes(client, "Q\0\0\1\0half", 9);
    }
    (void)fixture_accept(f);              /* in its probe */
    (void)fixture_knock(f, "two", "bob"); /* waits for its login */
    assert_int_equal(fake_connector_pending(f->connector), 1);
    fixture_stop(f);
    (void)peer_fill(client);
    assert_true(client->ended);
    (void)peer_fill(silent);
    assert_true(silent->ended);
}

static void
test_stop_with_a_reset_under_way(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    begin_transaction(client, server);
    peer_close(client);
    peer_expect(server, 'Q', "ROLLBACK");
    fixture_stop(f);
    (void)peer_fill(server);
    assert_true(server->ended);
}

/* --- looking in
 * --------------------------------------------------------------------------------------- */

struct look {
    struct snapshot_request request;
    struct snapshot *snapshot;
};

static void
look_done(struct snapshot_request *request, struct snapshot *snapshot)
{
    container_of(request, struct look, request)->snapshot = snapshot;
}

static struct snapshot *
look(struct fixture *f, unsigned what)
{
    struct look look_ = {.request = {.done = look_done, .what = what}};

    engine_snapshot(f->engine, &look_.request);
    assert_null(look_.snapshot);
    fixture_settle(f);
    assert_non_null(look_.snapshot);
    return look_.snapshot;
}

static void
test_snapshot(void **state)
{
    struct fixture *f = *state;
    struct snapshot *snapshot;
    struct peer *clients[3], *server;

    fixture_begin(f, "worker_threads = 3\ndefault_pool_size = 1\nquery_wait_notify = 0\n",
                  &clients[0], &server);
    begin_transaction(clients[0], server);
    for (unsigned i = 1; i < 3; i++)
        clients[i] = fixture_login(f, "db", "alice");
    peer_send(clients[1], 'Q', "select 1");
    fixture_advance(f, 3 * SEC);
    snapshot = look(f, SNAPSHOT_POOLS | SNAPSHOT_CLIENTS | SNAPSHOT_SERVERS | SNAPSHOT_DATABASES);
    assert_false(snapshot->incomplete);
    assert_int_equal(snapshot->clients, 3);
    assert_int_equal(snapshot->servers, 1);
    assert_int_equal(snapshot->pool_count, 1);
    assert_string_equal(snapshot->pools[0].database, "db");
    assert_string_equal(snapshot->pools[0].user, "alice");
    assert_int_equal(snapshot->pools[0].cl_active, 2);
    assert_int_equal(snapshot->pools[0].cl_waiting, 1);
    assert_int_equal(snapshot->pools[0].sv_active, 1);
    assert_int_equal(snapshot->pools[0].max_wait, 3 * SEC);
    assert_int_equal(snapshot->socket_count, 4);
    for (size_t i = 0; i < snapshot->socket_count; i++) {
        const struct socket_row *const row = &snapshot->sockets[i];

        if (row->is_server) {
            assert_int_equal(row->remote_pid, server->pid);
            assert_int_not_equal(row->link_id, 0);
        } else if (row->wait > 0) {
            assert_int_equal(row->wait, 3 * SEC);
            assert_string_equal(row->wait_cause, "all servers of the pool are busy");
        }
    }
    assert_int_equal(snapshot->database_count, 2);
    snapshot_free(snapshot);
}

/* The acceptor lets others do the logins only when it is busy itself. */
static void
test_logins_leave_a_busy_acceptor(void **state)
{
    struct fixture *f = *state;
    struct worker *workers;

    fixture_start(f, "worker_threads = 3\n");
    workers = f->engine->workers;
    (void)fixture_connect(f);
    (void)fixture_connect(f);
    assert_int_equal(atomic_load(&workers[0].client_count), 2);
    fake_loop_set_load(workers[0].loop, 900);
    fake_loop_set_load(workers[1].loop, 950);
    fake_loop_set_load(workers[2].loop, 700);
    (void)fixture_connect(f);
    assert_int_equal(atomic_load(&workers[2].client_count), 1);
    fake_loop_set_load(workers[2].loop, 990);
    (void)fixture_connect(f);
    assert_int_equal(atomic_load(&workers[0].client_count), 3);
}

static void
test_stats(void **state)
{
    struct fixture *f = *state;
    struct snapshot *snapshot;
    struct peer *client, *server;
    const struct stats *stats;

    fixture_begin(f, "", &client, &server);
    begin_transaction(client, server);
    fixture_advance(f, 2 * SEC);
    peer_ask(client, server, "commit");
    fixture_advance(f, SEC);
    peer_answer(server, client, "COMMIT", 'I');
    snapshot = look(f, SNAPSHOT_STATS);
    stats = &snapshot->databases[0].total;
    assert_int_equal(stats->xacts, 1);
    assert_int_equal(stats->queries, 2);
    assert_int_equal(stats->query_time, SEC);
    assert_int_equal(stats->xact_time, 3 * SEC);
    assert_int_equal(stats->server_assignments, 1);
    assert_int_equal(stats->client_logins, 1);
    assert_int_equal(stats->received, 11 + 12);
    snapshot_free(snapshot);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pause_and_resume),
        TEST(test_pause_closes_idle_servers_and_waits_for_their_end),
        TEST(test_pause_twice),
        TEST(test_pause_of_nothing),
        TEST(test_pause_of_one_database),
        TEST(test_pause_is_given_up),
        TEST(test_pause_while_a_server_is_opened),
        TEST(test_reload_with_another_host),
        TEST(test_reload_while_a_server_is_opened),
        TEST(test_reload_without_a_change),
        TEST(test_reload_with_another_size),
        TEST(test_reload_without_the_database),
        TEST(test_reload_with_other_timeouts),
        TEST(test_shutdown_waits_for_servers),
        TEST(test_shutdown_and_a_query_afterwards),
        TEST(test_shutdown_waits_for_clients),
        TEST(test_shutdown_gets_harder),
        TEST(test_stop_in_the_middle_of_everything),
        TEST(test_stop_with_a_reset_under_way),
        TEST(test_snapshot),
        TEST(test_logins_leave_a_busy_acceptor),
        TEST(test_stats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
