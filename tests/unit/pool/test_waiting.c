/*
 * test_waiting.c - waiting for a server: in order, not for ever, and never above a limit.
 */
#include "fixture.h"

#include <stdlib.h>

#include "pg.h"
#include "pool.h"

/* --- how long -----------------------------------------------------------------------------------
 */

static void
test_wait_timeout(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server;

    fixture_begin(f, "default_pool_size = 1\nquery_wait_timeout = 10\nquery_wait_notify = 0\n",
                  &first, &server);
    client = fixture_login(f, "db", "alice");
    peer_begin(first, server);
    peer_send(client, 'Q', "select 1");
    fixture_advance(f, 10 * SEC - 1);
    peer_expect_silence(client);
    fixture_advance(f, 1);
    peer_expect_error(client, "FATAL", "53300",
                      "Waited 10.0 s for a server of pool db/alice (1 of 1 in use): "
                      "all servers of the pool are busy.");
    peer_expect_end(client);
    peer_commit(first, server);
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_each_waiter_has_its_deadline(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *clients[3], *server;

    fixture_begin(f, "default_pool_size = 1\nquery_wait_timeout = 10\n", &first, &server);
    peer_begin(first, server);
    for (unsigned i = 0; i < 3; i++) {
        clients[i] = fixture_login(f, "db", "alice");
        peer_send(clients[i], 'Q', "select 1");
        fixture_advance(f, SEC);
    }
    fixture_advance(f, 7 * SEC - 1);
    for (unsigned i = 0; i < 3; i++) {
        peer_expect(clients[i], 'N', "client being queued");
        peer_expect_silence(clients[i]);
        fixture_advance(f, i == 0 ? 1 : SEC);
        peer_expect_error(clients[i], "FATAL", "53300", "query_wait_timeout");
    }
}

static void
test_served_just_in_time(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server;

    fixture_begin(f, "default_pool_size = 1\nquery_wait_timeout = 10\nquery_wait_notify = 0\n",
                  &first, &server);
    client = fixture_login(f, "db", "alice");
    peer_begin(first, server);
    peer_send(client, 'Q', "select 1");
    fixture_advance(f, 10 * SEC - 1);
    peer_commit(first, server);
    fixture_advance(f, MINUTE);
    peer_expect_silence(client);
    peer_expect(server, 'Q', "select 1");
}

static void
test_notice(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *clients[2], *server;

    fixture_begin(f, "default_pool_size = 1\nquery_wait_notify = 5\n", &first, &server);
    peer_begin(first, server);
    for (unsigned i = 0; i < 2; i++) {
        clients[i] = fixture_login(f, "db", "alice");
        peer_send(clients[i], 'Q', "select 1");
        fixture_settle(f);
    }
    fixture_advance(f, 5 * SEC - 1);
    peer_expect_silence(clients[0]);
    fixture_advance(f, 1);
    peer_expect(clients[0], 'N',
                "Waiting for 5.0 s, place 1 in the queue of pool db/alice (1 servers): "
                "all servers of the pool are busy.");
    peer_expect(clients[1], 'N', "place 2 in the queue");
    fixture_advance(f, MINUTE);
    peer_expect_silence(clients[0]); /* once */
    peer_expect_silence(clients[1]);
}

/* --- the reserve ---------------------------------------------------------------------------------
 */

static const char reserve[] = "default_pool_size = 1\nreserve_pool_size = 1\n"
                              "reserve_pool_timeout = 5\nquery_wait_notify = 0\n";

static void
test_reserve_is_for_who_waits_long(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server, *extra;

    fixture_begin(f, reserve, &first, &server);
    client = fixture_login(f, "db", "alice");
    peer_begin(first, server);
    peer_send(client, 'Q', "select 1");
    fixture_advance(f, 5 * SEC - 1);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    fixture_advance(f, 1);
    assert_int_equal(fake_connector_pending(f->connector), 1);
    extra = fixture_serve(f);
    peer_expect(extra, 'Q', "select 1");
    assert_int_equal(fixture_server_count(f), 2);
    /* Nobody waits: the pool goes back to its size. */
    peer_answer(extra, client, "SELECT 1", 'I');
    peer_expect(extra, 'X', NULL);
    assert_int_equal(fixture_server_count(f), 1);
}

static void
test_reserve_has_a_limit(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *clients[3], *server;

    fixture_begin(f, reserve, &first, &server);
    peer_begin(first, server);
    for (unsigned i = 0; i < 3; i++) {
        clients[i] = fixture_login(f, "db", "alice");
        peer_send(clients[i], 'Q', "select 1");
    }
    fixture_advance(f, MINUTE);
    assert_int_equal(fake_connector_pending(f->connector), 1);
    assert_int_equal(fixture_server_count(f), 2);
}

/* Who comes first in the queue because another was served is due for the reserve in time, too. */
static void
test_reserve_for_the_next_in_line(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[4], *server, *extra;

    fixture_begin(f, reserve, &clients[0], &server);
    for (unsigned i = 1; i < 4; i++)
        clients[i] = fixture_login(f, "db", "alice");
    peer_begin(clients[0], server);
    peer_send(clients[1], 'Q', "begin");
    fixture_advance(f, 5 * SEC);
    extra = fixture_serve(f);
    peer_expect_types(extra, "Q");
    peer_send(clients[2], 'Q', "select 2");
    fixture_advance(f, 4 * SEC);
    peer_send(clients[3], 'Q', "select 3");
    fixture_advance(f, 2 * SEC);
    peer_commit(clients[0], server); /* 2 was due since a second, 3 is not */
    peer_expect(server, 'Q', "select 2");
    peer_close(extra);
    fixture_settle(f);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    fixture_advance(f, 3 * SEC - 1);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    fixture_advance(f, 1);
    assert_int_equal(fake_connector_pending(f->connector), 1);
}

/* --- other limits
 * --------------------------------------------------------------------------------- */

static void
test_idle_server_of_another_pool_is_evicted(void **state)
{
    struct fixture *f = *state;
    struct peer *alice, *bob, *server;

    fixture_begin(f, "max_db_connections = 1\n", &alice, &server);
    fake_connector_hold_retired(f->connector);
    bob = fixture_knock(f, "db", "bob");
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
    assert_int_equal(fake_connector_pending(f->connector), 0); /* its process may still be there */
    fake_connector_finish_retired(f->connector);
    server = fixture_serve(f);
    peer_expect_login(bob);
    peer_ask(bob, server, "select 1");
    peer_expect_silence(alice);
}

static void
test_busy_server_goes_to_another_pool_afterwards(void **state)
{
    struct fixture *f = *state;
    struct peer *alice, *bob, *server;

    fixture_begin(f, "max_db_connections = 1\nquery_wait_notify = 1\n", &alice, &server);
    peer_begin(alice, server);
    bob = fixture_knock(f, "db", "bob");
    fixture_advance(f, 2 * SEC);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    peer_commit(alice, server);
    peer_expect(server, 'X', NULL);
    server = fixture_serve(f);
    peer_expect_login(bob);
}

static void
test_max_user_connections(void **state)
{
    struct fixture *f = *state;
    struct peer *alice, *again, *server;

    fixture_begin(f, "max_user_connections = 1\nquery_wait_notify = 1\n", &alice, &server);
    peer_begin(alice, server);
    again = fixture_knock(f, "two", "alice");
    assert_int_equal(fake_connector_pending(f->connector), 0);
    (void)fixture_knock(f, "two", "bob"); /* is another user */
    assert_int_equal(fake_connector_pending(f->connector), 1);
    (void)fixture_serve(f);
    peer_commit(alice, server);
    peer_expect(server, 'X', NULL);
    assert_string_equal(fake_connector_target(f->connector)->host, "10.0.0.2");
    assert_string_equal(fake_connector_target(f->connector)->user, "alice");
    (void)fixture_serve(f);
    peer_expect_login(again);
}

static void
test_pool_size_holds(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "default_pool_size = 3\nconnect_burst = 100\n", &client, &server);
    for (unsigned i = 0; i < 10; i++) {
        client = fixture_login(f, "db", "alice");
        peer_send(client, 'Q', "select 1");
    }
    fixture_settle(f);
    assert_int_equal(fake_connector_pending(f->connector), 2);
    assert_int_equal(fixture_server_count(f), 3);
    peer_expect(server, 'Q', "select 1");
}

static void
test_connect_burst(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "connect_burst = 4\n", &client, &server);
    for (unsigned i = 0; i < 8; i++) {
        client = fixture_login(f, "db", "alice");
        peer_send(client, 'Q', "select 1");
    }
    fixture_settle(f);
    for (unsigned left = 7; left > 0; left--) { /* one had the idle server */
        assert_int_equal(fake_connector_pending(f->connector), MIN(left, 4u));
        (void)fixture_accept(f);
    }
    assert_int_equal(fake_connector_pending(f->connector), 0);
}

/* A server that came free serves the waiter for whom a connection was being opened. */
static void
test_no_more_connects_than_waiters(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server, *extra;

    fixture_begin(f, "", &first, &server);
    client = fixture_login(f, "db", "alice");
    peer_begin(first, server);
    peer_send(client, 'Q', "select 1");
    fixture_settle(f);
    assert_int_equal(fake_connector_pending(f->connector), 1);
    peer_commit(first, server);
    peer_expect(server, 'Q', "select 1");
    extra = fixture_serve(f);
    peer_expect_silence(extra); /* comes idle */
    assert_int_equal(fixture_idle_count(f), 1);
    assert_int_equal(fake_connector_counts(f->connector).connects, 2);
}

/* --- no server to be had
 * ---------------------------------------------------------------------------- */

static void
test_refused_login_reaches_the_client(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_knock(f, "db", "alice");
    peer_expect_silence(client);
    fixture_refuse(f, "3D000", "database \"db\" does not exist", true, false);
    peer_expect_error(client, "FATAL", "3D000", "database \"db\" does not exist");
    peer_expect_end(client);
    assert_int_equal(fixture_server_count(f), 0);
}

static void
test_refused_login_reaches_all_who_wait(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[3], *server;

    fixture_begin(f, "", &clients[0], &server);
    for (unsigned i = 1; i < 3; i++)
        clients[i] = fixture_login(f, "db", "alice");
    peer_close(server);
    fixture_settle(f);
    for (unsigned i = 0; i < 3; i++)
        peer_send(clients[i], 'Q', "select 1");
    fixture_settle(f);
    assert_int_equal(fake_connector_pending(f->connector), 3);
    for (unsigned i = 0; i < 3; i++)
        fixture_refuse(f, "28P01", "password authentication failed", true, false);
    for (unsigned i = 0; i < 3; i++) {
        peer_expect_error(clients[i], "FATAL", "28P01", "password authentication failed");
        peer_expect_end(clients[i]);
    }
}

/* While another server is there, its clients do not suffer for one failed login. */
static void
test_refused_login_with_servers_left(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server;

    fixture_begin(f, "", &first, &server);
    client = fixture_login(f, "db", "alice");
    peer_begin(first, server);
    peer_send(client, 'Q', "select 1");
    fixture_settle(f);
    fixture_refuse(f, "53300", "too many clients already", true, false);
    peer_expect_silence(client);
    peer_commit(first, server);
    peer_expect(server, 'Q', "select 1");
}

static void
test_starting_server_keeps_clients_waiting(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "query_wait_notify = 0\n");
    client = fixture_knock(f, "db", "alice");
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(fake_connector_pending(f->connector), 1);
        fixture_refuse(f, "57P03", "the database system is starting up", true, true);
        peer_expect_silence(client);
        assert_int_equal(fake_connector_pending(f->connector), 0);
        fixture_advance(f, SEC);
    }
    (void)fixture_serve(f);
    peer_expect_login(client);
}

static void
test_unreachable_server_keeps_clients_waiting(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "client_login_timeout = 60\n");
    client = fixture_knock(f, "db", "alice");
    fixture_refuse(f, "08001", "connection refused", false, false);
    peer_expect_silence(client);
    fixture_advance(f, 50 * MSEC - 1);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    fixture_advance(f, 1);
    assert_int_equal(fake_connector_pending(f->connector), 1);
    fixture_refuse(f, "08001", "connection refused", false, false);
    fixture_advance(f, MINUTE - 50 * MSEC - 1);
    peer_expect_silence(client);
    fixture_advance(f, 1);
    peer_expect_error(client, "FATAL", "57P03", "client_login_timeout (server down)");
    peer_expect_end(client);
    /* The attempt under way is for nobody now; the next client profits. */
    (void)fixture_serve(f);
    (void)fixture_login(f, "db", "alice");
}

/* The connector's word on when to come back is kept to. */
static void
test_retry_time(void **state)
{
    struct fixture *f = *state;
    const struct backend_error error = {
        .sqlstate = "08001", .message = "no route to host", .retry_at = 0};
    struct backend_error later = error;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_knock(f, "db", "alice");
    later.retry_at = loop_now(f->main_loop) + 10 * SEC;
    fake_connector_refuse(f->connector, &later);
    fixture_advance(f, 10 * SEC - 1);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    fixture_advance(f, 1);
    assert_int_equal(fake_connector_pending(f->connector), 1);
    peer_expect_silence(client);
}

static void
test_hopeless_pool_refuses_at_once(void **state)
{
    struct fixture *f = *state;
    struct backend_error error = {.sqlstate = "28P01",
                                  .message = "password authentication failed",
                                  .from_server = true,
                                  .hopeless = true};
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_close(server);
    fixture_settle(f);
    peer_send(client, 'Q', "select 1");
    fixture_settle(f);
    error.retry_at = loop_now(f->main_loop) + 10 * SEC;
    fake_connector_refuse(f->connector, &error);
    peer_expect_error(client, "FATAL", "28P01", "password authentication failed");
    client = fixture_login(f, "db", "alice"); /* the welcome is known */
    peer_send(client, 'Q', "select 1");
    peer_expect_error(client, "FATAL", "28P01",
                      "server login has been failing, cached error: "
                      "password authentication failed (server_login_retry)");
    peer_expect_end(client);
    fixture_advance(f, 10 * SEC);
    client = fixture_login(f, "db", "alice");
    peer_send(client, 'Q', "select 2");
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wait_timeout),
        TEST(test_each_waiter_has_its_deadline),
        TEST(test_served_just_in_time),
        TEST(test_notice),
        TEST(test_reserve_is_for_who_waits_long),
        TEST(test_reserve_has_a_limit),
        TEST(test_reserve_for_the_next_in_line),
        TEST(test_idle_server_of_another_pool_is_evicted),
        TEST(test_busy_server_goes_to_another_pool_afterwards),
        TEST(test_max_user_connections),
        TEST(test_pool_size_holds),
        TEST(test_connect_burst),
        TEST(test_no_more_connects_than_waiters),
        TEST(test_refused_login_reaches_the_client),
        TEST(test_refused_login_reaches_all_who_wait),
        TEST(test_refused_login_with_servers_left),
        TEST(test_starting_server_keeps_clients_waiting),
        TEST(test_unreachable_server_keeps_clients_waiting),
        TEST(test_retry_time),
        TEST(test_hopeless_pool_refuses_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
