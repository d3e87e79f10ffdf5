/*
 * test_timeouts.c - clients whose time is over, to the microsecond.
 */
#include "fixture.h"

#include "pg.h"
#include "pool.h"

static void
expect_timeout(struct peer *client, usec_t span, const char *sqlstate, const char *text)
{
    fixture_advance(client->fixture, span - 1);
    peer_expect_silence(client);
    fixture_advance(client->fixture, 1);
    peer_expect_error(client, "FATAL", sqlstate, text);
    peer_expect_end(client);
}

static void
test_query_timeout(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "query_timeout = 10\n", &client, &server);
    peer_ask(client, server, "select pg_sleep(60)");
    expect_timeout(client, 10 * SEC, "57014", "query timeout");
    peer_expect_end(server);
    assert_int_equal(fake_connector_counts(f->connector).impolite, 1);
}

static void
test_query_timeout_is_for_each_query(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "query_timeout = 10\n", &client, &server);
    for (unsigned i = 0; i < 5; i++) {
        peer_ask(client, server, "select pg_sleep(9)");
        fixture_advance(f, 9 * SEC);
        peer_answer(server, client, "SELECT 1", 'T');
        fixture_advance(f, 9 * SEC); /* idle in its transaction, which is no query */
        peer_expect_silence(client);
    }
    peer_ask(client, server, "select pg_sleep(60)");
    expect_timeout(client, 10 * SEC, "57014", "query timeout");
}

static void
test_waiting_is_not_running(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server;

    fixture_begin(f,
                  "default_pool_size = 1\nquery_wait_notify = 0\n[users]\n"
                  "bob = query_timeout=10\n[databases]\ndb = host=10.0.0.1 user=bob\n",
                  &first, &server);
    client = fixture_login(f, "db", "bob");
    peer_begin(first, server);
    peer_send(client, 'Q', "select pg_sleep(60)");
    fixture_advance(f, 9 * SEC);
    peer_expect_silence(client);
    peer_ask(first, server, "commit");
    peer_send_complete(server, "COMMIT", 'I');
    peer_expect_types(server, "Q");
    expect_timeout(client, 10 * SEC, "57014", "query timeout");
}

/* What may not run for so long is not waited for either, also if only the user's entry says so. */
static void
test_query_timeout_in_the_queue(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server;

    fixture_begin(f,
                  "default_pool_size = 1\nquery_wait_notify = 0\nquery_wait_timeout = 20\n[users]\n"
                  "bob = query_timeout=10\n[databases]\ndb = host=10.0.0.1 user=bob\n",
                  &first, &server);
    client = fixture_login(f, "db", "bob");
    peer_send(first, 'Q', "begin");
    peer_expect_types(server, "Q");
    peer_send_complete(server, "BEGIN", 'T');
    peer_expect_types(first, "CZ");
    peer_send(client, 'Q', "select 1");
    expect_timeout(client, 10 * SEC, "57014", "query_timeout");
    peer_expect_silence(first);
}

static void
test_idle_transaction_timeout(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "idle_transaction_timeout = 10\n", &client, &server);
    peer_ask(client, server, "begin");
    fixture_advance(f, MINUTE); /* a slow begin is not idle */
    peer_answer(server, client, "BEGIN", 'T');
    fixture_advance(f, 9 * SEC);
    peer_ask(client, server, "select 1");
    fixture_advance(f, 9 * SEC);
    peer_answer(server, client, "SELECT 1", 'T');
    expect_timeout(client, 10 * SEC, "25P03", "idle transaction timeout");
    /* Nothing is running: the server is cleaned up, and used again. */
    peer_expect(server, 'Q', "ROLLBACK");
    peer_send_complete(server, "ROLLBACK", 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_transaction_timeout(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "transaction_timeout = 10\n", &client, &server);
    peer_begin(client, server);
    fixture_advance(f, 6 * SEC);
    peer_ask(client, server, "select 1");
    expect_timeout(client, 4 * SEC, "25P04", "transaction timeout");
    peer_expect_end(server);
}

static void
test_transaction_timeout_begins_anew(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "transaction_timeout = 10\nserver_check_query =\n", &client, &server);
    for (unsigned i = 0; i < 5; i++) {
        peer_ask(client, server, "select 1");
        fixture_advance(f, 9 * SEC);
        peer_answer(server, client, "SELECT 1", 'I');
    }
    fixture_advance(f, MINUTE);
    peer_expect_silence(client);
}

static void
test_client_idle_timeout(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "client_idle_timeout = 10\n", &client, &server);
    fixture_advance(f, 9 * SEC);
    peer_ask(client, server, "select 1");
    fixture_advance(f, MINUTE); /* is not idle */
    peer_expect_silence(client);
    peer_answer(server, client, "SELECT 1", 'I');
    expect_timeout(client, 10 * SEC, "57P05", "client_idle_timeout");
    peer_expect_silence(server);
}

static void
test_client_idle_timeout_of_one_user(void **state)
{
    struct fixture *f = *state;
    struct peer *alice, *bob, *server;

    fixture_begin(f, "[users]\nbob = client_idle_timeout=10\n", &alice, &server);
    bob = fixture_knock(f, "db", "bob");
    (void)fixture_serve(f);
    peer_expect_login(bob);
    expect_timeout(bob, 10 * SEC, "57P05", "client_idle_timeout");
    fixture_advance(f, HOUR);
    peer_expect_silence(alice);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* Whose it was, for how long, and what the limit is. */
static void
test_figures(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "query_timeout = 10\n", &client, &server);
    peer_ask(client, server, "select pg_sleep(60)");
    expect_timeout(client, 10 * SEC, "57014",
                   "Database \"db\", user \"alice\": the query has run for 10.0 s, query_timeout "
                   "is 10 s.");
    client = fixture_connect(f);
    fixture_advance(f, MINUTE);
    peer_expect_error(client, "FATAL", "28000",
                      "the login has lasted for 60.0 s, client_login_timeout is 60 s.");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_query_timeout),
        TEST(test_figures),
        TEST(test_query_timeout_is_for_each_query),
        TEST(test_waiting_is_not_running),
        TEST(test_query_timeout_in_the_queue),
        TEST(test_idle_transaction_timeout),
        TEST(test_transaction_timeout),
        TEST(test_transaction_timeout_begins_anew),
        TEST(test_client_idle_timeout),
        TEST(test_client_idle_timeout_of_one_user),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
