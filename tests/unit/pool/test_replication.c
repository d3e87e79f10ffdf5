/*
 * test_replication.c - clients that want a server of their own: opened for them, one at a time with
 * everybody else, and never anybody else's.
 */
#include "fixture.h"

#include "client.h"
#include "pg.h"
#include "pool.h"
#include "server.h"

#define KNOCK(f, ...)                                                                              \
    knock(f, (const char *const[]){"user", "alice", "database", "db", __VA_ARGS__, NULL})

static struct peer *
knock(struct fixture *f, const char *const *parameters)
{
    struct peer *const client = fixture_connect(f);

    fixture_send_startup(client, PG_PROTOCOL_3_0, parameters);
    fixture_settle(f);
    return client;
}

static const struct backend_target *
target(struct fixture *f)
{
    return fake_connector_target(f->connector);
}

static unsigned
pending(struct fixture *f)
{
    return fake_connector_pending(f->connector);
}

/* It was told to go, politely. */
static void
expect_goodbye(struct peer *server)
{
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
}

/* A replication client with its server. */
static void
begin(struct fixture *f, const char *text, struct peer **ret_client, struct peer **ret_server)
{
    fixture_start(f, text);
    *ret_client = KNOCK(f, "replication", "true");
    *ret_server = fixture_serve(f);
    peer_expect_login(*ret_client);
}

/* --- its server ---------------------------------------------------------------------------------
 */

static void
test_opened_with_what_it_asks_for(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "ignore_startup_parameters = noise\n[databases]\n"
                     "db = host=h application_name=entry client_encoding=LATIN1\n");
    client = KNOCK(f, "extra_float_digits", "3", "options", "-c geqo=off", "noise", "1",
                   "application_name", "my app", "replication", "database");
    assert_string_equal(target(f)->replication, "database");
    assert_string_equal(target(f)->options,
                        "-c geqo=off -c application_name=my\\ app -c extra_float_digits=3");
    assert_null(target(f)->application_name);
    assert_string_equal(target(f)->client_encoding, "LATIN1");
    (void)fixture_serve(f);
    peer_expect_login(client);
    client = KNOCK(f, "replication", "1");
    assert_string_equal(target(f)->replication, "true");
    assert_null(target(f)->options);
    assert_string_equal(target(f)->application_name, "entry");
    (void)fixture_serve(f);
    peer_expect_login(client);
    client = KNOCK(f, "replication", "off");
    assert_null(target(f)->replication);
    (void)fixture_serve(f);
    peer_expect_login(client);
}

/* Neither is an idle server taken, nor does its own become one. */
static void
test_shares_nothing(void **state)
{
    struct fixture *f = *state;
    struct peer *other, *idle, *client, *server;

    fixture_begin(f, "", &other, &idle);
    client = KNOCK(f, "replication", "true");
    peer_expect_silence(client);
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_ask(client, server, "IDENTIFY_SYSTEM");
    peer_answer(server, client, "IDENTIFY_SYSTEM", 'I');
    assert_int_equal(fixture_idle_count(f), 1);
    peer_ask(other, idle, "select 1");
    peer_answer(idle, other, "SELECT 1", 'I');
    peer_send(client, 'X', NULL);
    peer_expect_end(client);
    expect_goodbye(server);
    assert_int_equal(fake_connector_counts(f->connector).polite, 1);
    assert_int_equal(fixture_server_count(f), 1);
}

/* What its server reports is its own matter: it has asked for that. */
static void
test_its_parameters_are_not_the_pools(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    begin(f, "", &client, &server);
    other = fixture_knock(f, "db", "alice");
    assert_int_equal(pending(f), 1);
    assert_null(target(f)->replication);
    peer_expect_silence(other);
    (void)fixture_serve(f);
    peer_expect_login(other);
}

/* In statement mode, too, and whatever the reset query is. */
static void
test_transactions_in_any_mode(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin(f, "pool_mode = statement\nserver_reset_query_always = 1\n", &client, &server);
    peer_begin(client, server);
    peer_commit(client, server);
    peer_send(client, 'P', "name");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'P', "name"); /* its names are its own */
    peer_expect(server, 'S', NULL);
    peer_send_error(server, "ERROR", "0A000", "not here");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZ");
    peer_expect_silence(server);
}

static void
test_connect_query_is_for_who_knows_sql(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "[databases]\ndb = host=h connect_query='select 1'\n");
    client = KNOCK(f, "replication", "true");
    (void)fixture_serve(f);
    peer_expect_login(client);
    client = KNOCK(f, "replication", "database");
    server = fixture_serve(f);
    peer_expect_silence(client);
    peer_expect(server, 'Q', "select 1");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_login(client);
}

static void
start_stream(struct peer *client, struct peer *server)
{
    peer_send(client, 'Q', "START_REPLICATION 0/0");
    peer_expect(server, 'Q', "START_REPLICATION");
    peer_send_body(server, BACKEND_COPY_BOTH, "\0\0\0", 3);
    peer_expect_types(client, "W");
}

/* Both directions at once, then the end of both, and the next command. */
static void
test_copy_both(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin(f, "", &client, &server);
    start_stream(client, server);
    peer_send(server, 'd', "wal 1");
    peer_expect(client, 'd', "wal 1");
    peer_send(client, 'd', "status 1");
    peer_expect(server, 'd', "status 1");
    peer_send(server, 'd', "wal 2");
    peer_expect(client, 'd', "wal 2");
    peer_send(server, 'c', NULL);
    peer_send(client, 'd', "status 2");
    peer_send(client, 'c', NULL);
    peer_expect(server, 'd', "status 2");
    peer_expect_types(server, "c");
    peer_send(server, 'C', "START_REPLICATION");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "cCZ");
    peer_ask(client, server, "IDENTIFY_SYSTEM");
    peer_answer(server, client, "IDENTIFY_SYSTEM", 'I');
}

/* The client leaves in the middle of the stream: the server process must not go on. */
static void
test_leaves_a_stream(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin(f, "", &client, &server);
    start_stream(client, server);
    peer_close(client);
    peer_expect_end(server);
    assert_int_equal(fake_connector_counts(f->connector).impolite, 1);
    assert_int_equal(fixture_server_count(f), 0);
}

/* --- permits ------------------------------------------------------------------------------------
 */

/* The bound holds: first the idle server goes, and only when its process has gone comes another. */
static void
test_an_idle_server_makes_room(void **state)
{
    struct fixture *f = *state;
    struct peer *other, *idle, *client;

    fixture_begin(f, "default_pool_size = 2\n", &other, &idle);
    (void)KNOCK(f, "replication", "true");
    (void)fixture_serve(f);
    fake_connector_hold_retired(f->connector);
    client = KNOCK(f, "replication", "true");
    expect_goodbye(idle);
    assert_int_equal(pending(f), 0);
    fake_connector_finish_retired(f->connector);
    (void)fixture_serve(f);
    peer_expect_login(client);
    peer_expect_silence(other);
}

/* First come, first served: who waits since earlier gets the server, then it goes. */
static void
test_in_order_with_other_waiters(void **state)
{
    struct fixture *f = *state;
    struct peer *busy, *earlier, *later, *client, *server;

    fixture_begin(f, "default_pool_size = 1\n", &busy, &server);
    earlier = fixture_login(f, "db", "alice");
    later = fixture_login(f, "db", "alice");
    peer_begin(busy, server);
    peer_send(earlier, 'Q', "select 'earlier'");
    fixture_advance(f, MSEC);
    client = KNOCK(f, "replication", "true");
    fixture_advance(f, MSEC);
    peer_send(later, 'Q', "select 'later'");
    peer_commit(busy, server);
    peer_expect(server, 'Q', "earlier");
    assert_int_equal(pending(f), 0);
    peer_answer(server, earlier, "SELECT 1", 'I');
    expect_goodbye(server);
    assert_int_equal(pending(f), 1);
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_expect_silence(later);
    peer_send(client, 'X', NULL);
    expect_goodbye(server);
    server = fixture_serve(f);
    peer_expect(server, 'Q', "later");
}

/* One permit is wanted, so one server goes, however many come back meanwhile. */
static void
test_no_more_room_than_needed(void **state)
{
    struct fixture *f = *state;
    struct peer *busy[2], *servers[2], *client;

    fixture_begin(f, "default_pool_size = 2\n", &busy[0], &servers[0]);
    peer_begin(busy[0], servers[0]);
    busy[1] = fixture_login(f, "db", "alice");
    peer_send(busy[1], 'Q', "begin");
    servers[1] = fixture_serve(f);
    peer_expect(servers[1], 'Q', "begin");
    peer_send_complete(servers[1], "BEGIN", 'T');
    peer_expect_types(busy[1], "CZ");
    fake_connector_hold_retired(f->connector);
    client = KNOCK(f, "replication", "true");
    peer_commit(busy[0], servers[0]);
    peer_commit(busy[1], servers[1]);
    expect_goodbye(servers[0]);
    peer_expect_silence(servers[1]);
    assert_int_equal(fixture_idle_count(f), 1);
    fake_connector_finish_retired(f->connector);
    (void)fixture_serve(f);
    peer_expect_login(client);
    assert_int_equal(fixture_idle_count(f), 1);
}

/* The permit is held by another shard's server, which is idle, or comes back later. */
static void
test_room_in_another_shard(void **state)
{
    struct fixture *f = *state;

    for (unsigned busy = 0; busy < 2; busy++) {
        struct peer *other, *server, *client;

        fixture_begin(f, "worker_threads = 2\npool_shards = 2\ndefault_pool_size = 1\n", &other,
                      &server);
        if (busy)
            peer_begin(other, server);
        client = KNOCK(f, "replication", "true");
        assert_int_equal(atomic_load(&fixture_pool(f, "db", "alice")->shards[1]->client_count), 1);
        if (busy) {
            fixture_advance(f, SEC);
            assert_int_equal(pending(f), 0);
            peer_commit(other, server);
            fixture_advance(f, SEC);
        }
        expect_goodbye(server);
        (void)fixture_serve(f);
        peer_expect_login(client);
        fixture_stop(f);
    }
}

/* A pool that has nothing but replication servers still says why others cannot be served. */
static void
test_failing_logins_beside_a_stream(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    begin(f, "", &client, &server);
    other = fixture_knock(f, "db", "alice");
    fixture_refuse(f, "28P01", "password authentication failed", true, false);
    peer_expect_error(other, "FATAL", "28P01", "password authentication failed");
    peer_expect_silence(client);
}

static void
test_the_reserve_is_for_it_too(void **state)
{
    struct fixture *f = *state;
    struct peer *busy, *server, *client;

    fixture_begin(f, "default_pool_size = 1\nreserve_pool_size = 1\nreserve_pool_timeout = 3\n",
                  &busy, &server);
    peer_begin(busy, server);
    client = KNOCK(f, "replication", "true");
    fixture_advance(f, 3 * SEC - 1);
    assert_int_equal(pending(f), 0);
    fixture_advance(f, 1);
    (void)fixture_serve(f);
    peer_expect_login(client);
}

/* --- what goes wrong ----------------------------------------------------------------------------
 */

/* The server's answer is for this client; others may well be let in. */
static void
test_refused_by_the_server(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *other;

    fixture_start(f, "");
    client = KNOCK(f, "replication", "true");
    other = fixture_knock(f, "db", "alice");
    fixture_refuse(f, "42501", "must be superuser or replication role to start walsender", true,
                   false);
    peer_expect_error(client, "FATAL", "42501", "must be superuser or replication role");
    peer_expect_end(client);
    (void)fixture_serve(f);
    peer_expect_login(other);
}

/* Nobody answers, or the server is starting: that will be over. */
static void
test_tries_again(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = KNOCK(f, "replication", "true");
    fixture_refuse(f, "08001", "connection refused", false, false);
    peer_expect_silence(client);
    fixture_advance(f, SEC);
    fixture_refuse(f, "57P03", "the database system is starting up", true, true);
    peer_expect_silence(client);
    fixture_advance(f, SEC);
    (void)fixture_serve(f);
    peer_expect_login(client);
}

static void
test_login_timeout_says_why(void **state)
{
    struct fixture *f = *state;
    struct peer *busy, *server, *client;

    fixture_begin(f, "default_pool_size = 1\nclient_login_timeout = 5\n", &busy, &server);
    peer_begin(busy, server);
    client = KNOCK(f, "replication", "true");
    fixture_advance(f, 5 * SEC);
    peer_expect_error(client, "FATAL", "57P03",
                      "waited for a connection of its own (all servers of the pool are busy) for ");
    peer_expect_end(client);
    peer_commit(busy, server);
    assert_int_equal(fixture_idle_count(f), 1); /* and nobody claims it */
}

static void
test_leaves_while_it_is_opened(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = KNOCK(f, "replication", "true");
    peer_close(client);
    fixture_settle(f);
    assert_int_equal(fake_connector_counts(f->connector).abandoned, 1);
    if (pending(f) > 0) { /* too late to call it back */
        server = fixture_accept(f);
        peer_expect_types(server, "S");
        peer_expect_end(server);
    }
    assert_int_equal(fixture_server_count(f), 0);
}

static void
test_leaves_during_the_setup(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = KNOCK(f, "replication", "true");
    server = fixture_accept(f);
    peer_expect(server, 'S', NULL);
    peer_close(client);
    peer_expect_end(server);
    assert_int_equal(fixture_server_count(f), 0);
}

static void
test_lost_during_the_setup(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = KNOCK(f, "replication", "true");
    server = fixture_accept(f);
    peer_expect(server, 'S', NULL);
    peer_close(server);
    peer_expect_error(client, "FATAL", "08006", "server conn crashed?");
    peer_expect_end(client);
}

/* --- the pool's life ----------------------------------------------------------------------------
 */

struct drain {
    struct engine_drain drain;
    bool done;
};

static void
drained(struct engine_drain *drain)
{
    container_of(drain, struct drain, drain)->done = true;
}

static void
shut_down(void *arg)
{
    *(bool *)arg = true;
}

/* What was being opened when the pause came is not used; and the stream has to be over first. */
static void
test_pause(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;
    struct drain drain = {.drain.done = drained};

    begin(f, "", &client, &server);
    second = KNOCK(f, "replication", "true");
    assert_int_equal(engine_pause(f->engine, NULL, &drain.drain), ENGINE_OK);
    fixture_settle(f);
    expect_goodbye(fixture_serve(f));
    peer_expect_silence(second);
    assert_int_equal(pending(f), 0);
    assert_false(drain.done);
    peer_send(client, 'X', NULL);
    expect_goodbye(server);
    assert_true(drain.done);
    assert_int_equal(engine_resume(f->engine, NULL), ENGINE_OK);
    (void)fixture_serve(f);
    peer_expect_login(second);
}

/* It would keep to the old host for as long as it likes. */
static void
test_reload(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin(f, "", &client, &server);
    fixture_reload(f, "log_stats = 0\n");
    peer_expect_silence(client);
    fixture_reload(f, "[databases]\ndb = host=elsewhere\n");
    peer_expect_error(client, "FATAL", "57P01", "database configuration changed");
    peer_expect_end(client);
    expect_goodbye(server);
}

static void
test_shutdown(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;
    bool done = false;

    begin(f, "default_pool_size = 1\n", &client, &server);
    second = KNOCK(f, "replication", "true");
    engine_shutdown(f->engine, ENGINE_WAIT_FOR_SERVERS, shut_down, &done);
    peer_expect_error(second, "FATAL", "57P01", "server shutting down");
    peer_expect_silence(client);
    assert_false(done);
    peer_send(client, 'X', NULL);
    expect_goodbye(server);
    assert_true(done);
}

/* A limit of queries, or of idle clients, is none of a stream. */
static void
test_no_timeouts(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin(f,
          "query_timeout = 1\ntransaction_timeout = 1\nidle_transaction_timeout = 1\n"
          "client_idle_timeout = 1\nserver_lifetime = 1\nserver_idle_timeout = 1\n",
          &client, &server);
    peer_begin(client, server);
    fixture_advance(f, 10 * SEC);
    peer_commit(client, server);
    fixture_advance(f, 10 * SEC);
    peer_send(client, 'Q', "START_REPLICATION 0/0");
    peer_expect(server, 'Q', "START_REPLICATION");
    fixture_advance(f, 10 * SEC);
    peer_expect_silence(client);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_opened_with_what_it_asks_for),
        TEST(test_shares_nothing),
        TEST(test_its_parameters_are_not_the_pools),
        TEST(test_transactions_in_any_mode),
        TEST(test_connect_query_is_for_who_knows_sql),
        TEST(test_copy_both),
        TEST(test_leaves_a_stream),
        TEST(test_an_idle_server_makes_room),
        TEST(test_in_order_with_other_waiters),
        TEST(test_no_more_room_than_needed),
        TEST(test_room_in_another_shard),
        TEST(test_failing_logins_beside_a_stream),
        TEST(test_the_reserve_is_for_it_too),
        TEST(test_refused_by_the_server),
        TEST(test_tries_again),
        TEST(test_login_timeout_says_why),
        TEST(test_leaves_while_it_is_opened),
        TEST(test_leaves_during_the_setup),
        TEST(test_lost_during_the_setup),
        TEST(test_pause),
        TEST(test_reload),
        TEST(test_shutdown),
        TEST(test_no_timeouts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
