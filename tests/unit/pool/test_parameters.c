/*
 * test_parameters.c - a client's parameters follow it from server to server.
 */
#include "fixture.h"

#include "pg.h"
#include "pool.h"

static struct peer *
login_with(struct fixture *f, const char *name, const char *value)
{
    const char *const parameters[] = {"user", "alice", "database", "db", name, value, NULL};
    struct peer *const peer = fixture_connect(f);

    fixture_send_startup(peer, PG_PROTOCOL_3_0, parameters);
    fixture_settle(f);
    return peer;
}

static void
round_trip(struct peer *client, struct peer *server, const char *sql)
{
    peer_ask(client, server, sql);
    peer_answer(server, client, sql, 'I');
}

/* The server does as it is told, and says so. */
static void
expect_set(struct peer *server, const char *sql, const char *name, const char *value)
{
    peer_expect(server, 'Q', sql);
    peer_send(server, 'C', "SET");
    peer_send_parameter(server, name, value);
    peer_send_ready(server, 'I');
}

static void
test_told_at_login(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = login_with(f, "timezone", "CET");
    (void)fixture_serve(f);
    peer_expect(client, 'R', NULL);
    peer_expect(client, 'S', "application_name");
    peer_expect(client, 'S', "client_encoding");
    peer_expect(client, 'S', "DateStyle");
    peer_expect(client, 'S', "IntervalStyle");
    peer_expect(client, 'S', "is_superuser");
    peer_expect(client, 'S', "server_version");
    peer_expect_bytes(client, "S\0\0\0\x11TimeZone\0CET\0", 18);
    peer_expect_types(client, "KZ");
}

/* In one go with the first message; nothing of it reaches the client. */
static void
test_set_with_the_first_message(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = login_with(f, "TimeZone", "CET");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_expect_silence(server); /* not before it is needed */
    peer_send(client, 'P', "");
    peer_send(client, 'S', NULL);
    fixture_settle(f);
    (void)peer_fill(server);
    expect_set(server, "SET TimeZone='CET'", "TimeZone", "CET");
    peer_expect_types(server, "PS");
    peer_expect_silence(client);
    peer_send(server, '1', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1Z");
    assert_int_equal(fixture_idle_count(f), 1);
    round_trip(client, server, "once is enough");
}

static void
test_not_released_by_the_answer_to_set(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = login_with(f, "TimeZone", "CET");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_send(client, 'Q', "select 1");
    expect_set(server, "SET TimeZone='CET'", "TimeZone", "CET");
    peer_expect(server, 'Q', "select 1");
    peer_expect_silence(client);
    assert_int_equal(fixture_idle_count(f), 0);
    peer_answer(server, client, "SELECT 1", 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_servers_spelling_is_told(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = login_with(f, "TimeZone", "europe/berlin");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_send(client, 'Q', "select 1");
    expect_set(server, "SET TimeZone='europe/berlin'", "TimeZone", "Europe/Berlin");
    peer_expect(server, 'Q', "select 1");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect(client, 'S', "Europe/Berlin");
    peer_expect_types(client, "CZ");
    round_trip(client, server, "and is the client's own now");
}

static void
test_refused_by_the_server(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = login_with(f, "TimeZone", "Mars");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_send(client, 'Q', "insert");
    peer_expect(server, 'Q', "SET TimeZone='Mars'");
    peer_send_error(server, "ERROR", "22023", "invalid value for parameter \"TimeZone\"");
    peer_send_ready(server, 'I');
    peer_expect_error(client, "FATAL", "22023", "invalid value for parameter \"TimeZone\"");
    peer_expect_end(client);
    assert_int_equal(fixture_server_count(f), 0);
}

static void
test_two_clients_on_one_server(void **state)
{
    struct fixture *f = *state;
    struct peer *a, *b, *server;

    fixture_begin(f, "default_pool_size = 1\n", &a, &server);
    b = login_with(f, "application_name", "it's b");
    peer_expect_login(b);
    for (unsigned i = 0; i < 3; i++) {
        peer_send(b, 'Q', "b");
        expect_set(server, "SET application_name='it''s b'", "application_name", "it's b");
        peer_expect(server, 'Q', "b");
        peer_answer(server, b, "B", 'I');
        peer_send(a, 'Q', "a");
        expect_set(server, "SET application_name=''", "application_name", "");
        peer_expect(server, 'Q', "a");
        peer_answer(server, a, "A", 'I');
    }
}

/* What a client sets itself is its own on every server, and not another client's. */
static void
test_clients_own_set(void **state)
{
    struct fixture *f = *state;
    struct peer *a, *b, *server;

    fixture_begin(f, "default_pool_size = 1\n", &a, &server);
    b = fixture_login(f, "db", "alice");
    peer_send(a, 'Q', "set datestyle to german");
    peer_expect(server, 'Q', "german");
    peer_send_parameter(server, "DateStyle", "German, DMY");
    peer_send_complete(server, "SET", 'I');
    peer_expect(a, 'S', "German, DMY");
    peer_expect_types(a, "CZ");
    peer_send(b, 'Q', "b");
    expect_set(server, "SET DateStyle='ISO, MDY'", "DateStyle", "ISO, MDY");
    peer_expect(server, 'Q', "b");
    peer_answer(server, b, "B", 'I');
    /* On a new server, too. */
    peer_close(server);
    fixture_settle(f);
    peer_send(a, 'Q', "a");
    server = fixture_serve(f);
    expect_set(server, "SET DateStyle='German, DMY'", "DateStyle", "German, DMY");
    peer_expect(server, 'Q', "a");
    peer_answer(server, a, "A", 'I');
    peer_expect_silence(a);
}

/* A client with a parameter of its own, on its server. */
static struct peer *
begin_with_zone(struct fixture *f, const char *text, struct peer **ret_server)
{
    struct peer *client;

    fixture_start(f, text);
    client = login_with(f, "TimeZone", "europe/berlin");
    *ret_server = fixture_serve(f);
    peer_expect_login(client);
    peer_send(client, 'Q', "select 1");
    expect_set(*ret_server, "SET TimeZone='europe/berlin'", "TimeZone", "Europe/Berlin");
    peer_expect(*ret_server, 'Q', "select 1");
    peer_send_complete(*ret_server, "SELECT 1", 'I');
    peer_expect_types(client, "SCZ");
    return client;
}

/* The server goes back to what it has itself. */
static void
reset(struct peer *client, struct peer *server, const char *sql, char status)
{
    peer_send(client, 'Q', sql);
    peer_expect(server, 'Q', sql);
    peer_send(server, 'C', "RESET");
    peer_send_parameter(server, "TimeZone", "UTC");
    peer_send_ready(server, status);
}

/* RESET goes back to what the client came with, as if it had a server of its own. */
static void
test_reset(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    client = begin_with_zone(f, "", &server);
    reset(client, server, "reset all", 'I');
    peer_expect_types(client, "CZ"); /* it has had that all the time */
    assert_int_equal(fixture_idle_count(f), 1);
    peer_send(client, 'Q', "select 2");
    expect_set(server, "SET TimeZone='Europe/Berlin'", "TimeZone", "Europe/Berlin");
    peer_expect(server, 'Q', "select 2");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "CZ");
}

static void
test_reset_of_another_value(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    client = begin_with_zone(f, "", &server);
    peer_send(client, 'Q', "set timezone to cet");
    peer_expect_types(server, "Q");
    peer_send_parameter(server, "TimeZone", "CET");
    peer_send_complete(server, "SET", 'I');
    peer_expect_types(client, "SCZ");
    reset(client, server, "reset timezone", 'I');
    peer_expect_types(client, "C");
    peer_expect(client, 'S', "Europe/Berlin");
    peer_expect_types(client, "Z");
    peer_expect_silence(client);
}

/* Where the link goes on, the server has it before the next message. */
static void
test_reset_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    client = begin_with_zone(f, "", &server);
    peer_send(client, 'Q', "begin");
    peer_expect_types(server, "Q");
    peer_send_complete(server, "BEGIN", 'T');
    peer_expect_types(client, "CZ");
    reset(client, server, "reset all", 'T');
    peer_expect_types(client, "CZ");
    peer_expect(server, 'Q', "SET TimeZone='Europe/Berlin'");
    peer_send(client, 'Q', "commit");
    peer_expect(server, 'Q', "commit");
    peer_send(server, 'C', "SET");
    peer_send_parameter(server, "TimeZone", "Europe/Berlin");
    peer_send_ready(server, 'T');
    peer_send_complete(server, "COMMIT", 'I');
    peer_expect_types(client, "CZ");
    assert_int_equal(fixture_idle_count(f), 1);
    peer_expect_silence(server);
}

static void
test_reset_in_a_session(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    client = begin_with_zone(f, "pool_mode = session\n", &server);
    reset(client, server, "reset all", 'I');
    peer_expect_types(client, "CZ");
    expect_set(server, "SET TimeZone='Europe/Berlin'", "TimeZone", "Europe/Berlin");
    round_trip(client, server, "select 2");
}

/* What was sent along with it sees that, too. */
static void
test_reset_and_more(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    client = begin_with_zone(f, "", &server);
    peer_send(client, 'Q', "reset all");
    peer_send(client, 'Q', "show timezone");
    peer_expect(server, 'Q', "reset all");
    peer_expect_silence(server);
    peer_send(server, 'C', "RESET");
    peer_send_parameter(server, "TimeZone", "UTC");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "CZ");
    expect_set(server, "SET TimeZone='Europe/Berlin'", "TimeZone", "Europe/Berlin");
    peer_expect(server, 'Q', "show timezone");
    peer_send_complete(server, "SHOW", 'I');
    peer_expect_types(client, "CZ");
}

/* A SET in the same text is one, whatever else was reset. */
static void
test_set_behind_a_reset(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    client = begin_with_zone(f, "", &server);
    peer_send(client, 'Q', "reset all; set timezone to cet");
    peer_expect_types(server, "Q");
    peer_send(server, 'C', "RESET");
    peer_send(server, 'C', "SET");
    peer_send_parameter(server, "TimeZone", "CET");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "CC");
    peer_expect(client, 'S', "CET");
    peer_expect_types(client, "Z");
    round_trip(client, server, "select 2");
}

static void
test_cut_parameter_status(void **state)
{
    static const char status[] = "S\0\0\0\x19"
                                 "DateStyle\0SQL, DMY\0\0";
    struct fixture *f = *state;
    struct peer *client, *server;
    const size_t len = 5 + 10 + 9;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "set datestyle");
    for (size_t i = 0; i < len; i++) {
        char byte = status[i];

        if (i == 4)
            byte = (char)(len - 1);
        peer_send_bytes(server, &byte, 1);
        fixture_settle(f);
    }
    peer_send_complete(server, "SET", 'I');
    peer_expect(client, 'S', "SQL, DMY");
    peer_expect_types(client, "CZ");
    round_trip(client, server, "the same set on both sides");
}

/* A server that changes of itself while idle is set right for the next client. */
static void
test_server_changes_while_idle(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send_parameter(server, "TimeZone", "CET"); /* the server's file was reloaded */
    fixture_settle(f);
    peer_send(client, 'Q', "select 1");
    expect_set(server, "SET TimeZone='UTC'", "TimeZone", "UTC");
    peer_expect(server, 'Q', "select 1");
}

/* What only a server can say is not set. */
static void
test_servers_own_parameters(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send_parameter(server, "server_version", "16.1");
    fixture_settle(f);
    round_trip(client, server, "select 1");
    round_trip(client, server, "select 2");
}

static void
test_session_mode_sets_too(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "pool_mode = session\n");
    client = login_with(f, "TimeZone", "CET");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_send(client, 'Q', "select 1");
    expect_set(server, "SET TimeZone='CET'", "TimeZone", "CET");
    peer_expect(server, 'Q', "select 1");
    peer_answer(server, client, "SELECT 1", 'I');
    round_trip(client, server, "select 2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_told_at_login),
        TEST(test_set_with_the_first_message),
        TEST(test_not_released_by_the_answer_to_set),
        TEST(test_servers_spelling_is_told),
        TEST(test_refused_by_the_server),
        TEST(test_two_clients_on_one_server),
        TEST(test_clients_own_set),
        TEST(test_reset),
        TEST(test_reset_of_another_value),
        TEST(test_reset_in_a_transaction),
        TEST(test_reset_in_a_session),
        TEST(test_reset_and_more),
        TEST(test_set_behind_a_reset),
        TEST(test_cut_parameter_status),
        TEST(test_server_changes_while_idle),
        TEST(test_servers_own_parameters),
        TEST(test_session_mode_sets_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
