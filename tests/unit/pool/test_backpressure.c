/*
 * test_backpressure.c - who does not read slows down who sends to him, and loses nothing.
 */
#include "fixture.h"

#include "pool.h"

static const char row[1 + 50 * 1000] = {'D', 0, 0, 0xc3, 0x50};
static const char data[1 + 60 * 1000] = {'d', 0, 0, 0xea, 0x60};

/* A message over and over, of which so many bytes are sent: as much of the rest as is taken. */
static size_t
send_on(struct peer *peer, const char *message, size_t size, size_t sent)
{
    return peer_send_some(peer, message + sent % size, size - sent % size);
}

/* Until nobody takes any more. */
static size_t
send_all_that_fits(struct fixture *f, struct peer *peer, const char *message, size_t size)
{
    size_t sent = 0, before;

    do {
        before = sent;
        sent += send_on(peer, message, size, sent);
        fixture_settle(f);
    } while (sent > before);
    return sent;
}

/* All that comes is kept in peer->input. */
static size_t
receive_all(struct fixture *f, struct peer *peer)
{
    size_t got = 0, before;

    do {
        before = got;
        fixture_settle(f);
        got = peer_fill(peer);
    } while (got > before);
    return got;
}

static void
test_slow_client_slows_its_server(void **state)
{
    const size_t all = 200 * sizeof(row);
    struct fixture *f = *state;
    struct peer *client, *server;
    size_t sent, before, got = 0;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "select lots");
    sent = send_all_that_fits(f, server, row, sizeof(row));
    assert_true(sent < 3 * 1000 * 1000); /* the daemon does not take it all in */
    while (got < all) {
        if (sent < all)
            sent += send_on(server, row, sizeof(row), sent);
        fixture_settle(f);
        before = got;
        got += peer_fill(client);
        for (size_t i = 0; i < client->input.len; i++)
            assert_int_equal(client->input.data[i], row[(before + i) % sizeof(row)]);
        buf_clear(&client->input);
        assert_true(got > before);
    }
    peer_answer(server, client, "SELECT 200", 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

/* A server that has gone while its client did not read: all that it said still arrives. */
static void
test_slow_client_gets_all_of_a_dead_server(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    size_t sent;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "select lots");
    sent = send_all_that_fits(f, server, row, sizeof(row));
    peer_close(server);
    assert_true(sent % sizeof(row) != 0); /* cut in a row: nothing may follow */
    assert_int_equal(receive_all(f, client), sent);
    for (size_t i = 0; i < sent; i++)
        assert_int_equal(client->input.data[i], row[i % sizeof(row)]);
}

/* The same where the end comes together with more than the client's socket takes. */
static void
test_slow_client_gets_the_last_words(void **state)
{
    static const char big[1 + 180 * 1000] = {'D', 0, 2, 0xbf, 0x20};
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "select lots");
    peer_send_bytes(server, big, sizeof(big));
    fixture_settle(f);
    peer_send_bytes(server, big, sizeof(big));
    peer_send_error(server, "FATAL", "57P01", "terminating connection");
    peer_close(server);
    (void)receive_all(f, client);
    peer_expect_types(client, "DD");
    peer_expect_error(client, "FATAL", "57P01", "terminating connection");
    peer_expect_end(client);
}

static void
test_slow_server_slows_its_client(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    size_t sent, before, got = 0;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "copy t from stdin");
    peer_send(server, 'G', "");
    peer_expect_types(client, "G");
    sent = send_all_that_fits(f, client, data, sizeof(data));
    assert_true(sent < 3 * 1000 * 1000);
    while (got < sent || sent < 50 * sizeof(data)) {
        if (sent < 50 * sizeof(data))
            sent += send_on(client, data, sizeof(data), sent);
        fixture_settle(f);
        before = got;
        got += peer_fill(server);
        buf_clear(&server->input);
        assert_true(got > before);
    }
    assert_int_equal(got, sent);
    peer_send(client, 'c', NULL);
    peer_expect_types(server, "c");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_slow_client_slows_its_server),
        TEST(test_slow_client_gets_all_of_a_dead_server),
        TEST(test_slow_client_gets_the_last_words),
        TEST(test_slow_server_slows_its_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
