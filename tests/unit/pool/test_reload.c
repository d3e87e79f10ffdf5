/*
 * test_reload.c - what a change of the configuration does to the servers that are there.
 */
#include "fixture.h"

#include "pg.h"
#include "pool.h"

#define FORCED(user) "[databases]\ndb = host=10.0.0.1 user=" user

static void
round_trip(struct peer *client, struct peer *server, char status)
{
    peer_send(client, 'Q', "select 1");
    peer_expect(server, 'Q', "select 1");
    peer_send_complete(server, "SELECT 1", status);
    peer_expect_types(client, "CZ");
}

static void
expect_closed(struct peer *server)
{
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
}

static void
expect_changed(struct peer *client, struct peer *server)
{
    peer_expect_error(client, "FATAL", "57P01", "database configuration changed");
    peer_expect_end(client);
    expect_closed(server);
}

/* A session keeps its server until it ends. */
static void
test_session_outlasts_a_reload(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "pool_mode = session\n", &client, &server);
    round_trip(client, server, 'I');
    fixture_reload(f, "pool_mode = session\n[databases]\ndb = host=10.0.0.9\n");
    round_trip(client, server, 'I');
    peer_send(client, 'X', NULL);
    peer_expect_end(client);
    expect_closed(server);
}

static void
test_server_fast_close(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "pool_mode = session\nserver_fast_close = 1\n", &client, &server);
    round_trip(client, server, 'I');
    fixture_reload(f, "pool_mode = session\nserver_fast_close = 1\n"
                      "[databases]\ndb = host=10.0.0.9\n");
    expect_changed(client, server);
}

/* The transaction goes on to its end. */
static void
test_server_fast_close_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "pool_mode = session\nserver_fast_close = 1\n", &client, &server);
    round_trip(client, server, 'T');
    fixture_reload(f, "pool_mode = session\nserver_fast_close = 1\n"
                      "[databases]\ndb = host=10.0.0.9\n");
    round_trip(client, server, 'T');
    round_trip(client, server, 'I');
    expect_changed(client, server);
}

/* In transaction mode the next transaction has another server: nobody is disturbed. */
static void
test_server_fast_close_in_transaction_mode(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "server_fast_close = 1\n", &client, &server);
    round_trip(client, server, 'T');
    fixture_reload(f, "server_fast_close = 1\n[databases]\ndb = host=10.0.0.9\n");
    round_trip(client, server, 'I');
    expect_closed(server);
    peer_expect_silence(client);
}

/* The servers of the user who was forced before are not for those who come now. */
static void
test_another_forced_user(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, FORCED("bob") "\n", &client, &server);
    round_trip(client, server, 'I');
    fixture_reload(f, FORCED("carol") "\n");
    expect_closed(server);
    peer_expect_silence(client);
}

/* min_pool_size without clients is for the user that the entry names, as long as it does. */
static void
test_minimum_of_a_forced_user(void **state)
{
    struct fixture *f = *state;
    struct peer *server;

    fixture_start(f, FORCED("bob") " min_pool_size=1\n");
    server = fixture_serve(f);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    fixture_reload(f, "[databases]\ndb = host=10.0.0.1 min_pool_size=1\n");
    expect_closed(server);
    assert_int_equal(fake_connector_pending(f->connector), 0);
}

/* As many go as are too many, also while the first of them have not ended yet. */
static void
test_smaller_pool(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "default_pool_size = 4\nmin_pool_size = 4\n");
    client = fixture_knock(f, "db", "alice");
    for (unsigned i = 0; i < 4; i++)
        (void)fixture_serve(f);
    peer_expect_login(client);
    fake_connector_hold_retired(f->connector);
    fixture_reload(f, "default_pool_size = 3\n");
    assert_int_equal(fixture_idle_count(f), 3);
    fixture_advance(f, MINUTE);
    assert_int_equal(fixture_idle_count(f), 3);
    fake_connector_finish_retired(f->connector);
    fixture_settle(f);
    assert_int_equal(fixture_idle_count(f), 3);
}

/* Who comes while no login can succeed is told so at once; later it is tried again. */
static void
test_login_while_servers_refuse(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_knock(f, "db", "alice");
    fixture_refuse(f, "3D000", "database \"db\" does not exist", true, false);
    peer_expect_error(client, "FATAL", "3D000", "database \"db\" does not exist");
    peer_expect_end(client);
    client = fixture_knock(f, "db", "alice");
    peer_expect_error(client, "FATAL", "3D000", "server login has been failing, cached error: ");
    peer_expect_end(client);
    fixture_advance(f, MINUTE);
    client = fixture_knock(f, "db", "alice");
    (void)fixture_serve(f);
    peer_expect_login(client);
}

/* An idle server at an address that its host has left closes at once, a busy one when it is free.
 */
static void
test_host_moves(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    fake_connector_move(f->connector, "10.0.0.1", "10.9.9.9");
    fake_connector_move(f->connector, "db.example", FAKE_SERVER_ADDRESS);
    round_trip(client, server, 'T');
    fake_connector_move(f->connector, "10.0.0.1", FAKE_SERVER_ADDRESS);
    round_trip(client, server, 'I');
    expect_closed(server);
    peer_expect_silence(client);
    peer_send(client, 'Q', "select 1");
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 1");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "CZ");
    fake_connector_move(f->connector, "10.0.0.1", FAKE_SERVER_ADDRESS);
    expect_closed(server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_session_outlasts_a_reload),
        TEST(test_server_fast_close),
        TEST(test_server_fast_close_in_a_transaction),
        TEST(test_server_fast_close_in_transaction_mode),
        TEST(test_another_forced_user),
        TEST(test_minimum_of_a_forced_user),
        TEST(test_smaller_pool),
        TEST(test_login_while_servers_refuse),
        TEST(test_host_moves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
