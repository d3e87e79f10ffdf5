/*
 * test_relay.c - when a server goes from client to client, and that every byte goes where it
 * belongs.
 */
#include "fixture.h"

#include <stdlib.h>

#include "pg.h"
#include "pool.h"
#include "rng.h"

/* --- when a server is free -------------------------------------------------------------------- */

static void
test_released_at_ready(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    assert_int_equal(fixture_idle_count(f), 1);
    peer_ask(client, server, "select 1");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send(server, 'C', "SELECT 1");
    peer_expect(client, 'C', "SELECT 1");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send_ready(server, 'I');
    peer_expect_ready(client, 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_kept_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_begin(client, server);
    assert_int_equal(fixture_idle_count(f), 0);
    peer_ask(client, server, "nonsense");
    peer_send_error(server, "ERROR", "42601", "syntax error");
    peer_send_ready(server, 'E');
    peer_expect_types(client, "EZ");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_ask(client, server, "rollback");
    peer_answer(server, client, "ROLLBACK", 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_kept_by_a_pipeline(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send(client, 'Q', "one");
    peer_send(client, 'Q', "two");
    peer_expect_types(server, "QQ");
    peer_answer(server, client, "ONE", 'I');
    assert_int_equal(fixture_idle_count(f), 0);
    peer_answer(server, client, "TWO", 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

/* Without a Sync the transaction is open, though every message has been answered. */
static void
test_kept_until_sync(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send(client, 'P', "");
    peer_send(client, 'H', NULL);
    peer_expect_types(server, "PH");
    peer_send(server, '1', NULL);
    peer_expect_types(client, "1");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "S");
    peer_send_ready(server, 'I');
    peer_expect_ready(client, 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_kept_after_an_error_until_sync(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    for (const char *types = "PBE"; *types != '\0'; types++)
        peer_send(client, *types, "");
    peer_expect_types(server, "PBE");
    peer_send_error(server, "ERROR", "42601", "syntax error");
    peer_expect_types(client, "E");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send(client, 'B', "");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "BS");
    peer_send_ready(server, 'I');
    peer_expect_ready(client, 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_function_call(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send(client, 'F', "call");
    peer_expect(server, 'F', "call");
    peer_send(server, 'V', "value");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "VZ");
    assert_int_equal(fixture_idle_count(f), 1);
}

/* --- cut messages ------------------------------------------------------------------------------
 */

static void
test_half_a_message_holds_no_server(void **state)
{
    static const char query[] = "Q\0\0\0\rselect 1";
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    fixture_begin(f, "default_pool_size = 1\n", &client, &server);
    other = fixture_login(f, "db", "alice");
    for (size_t i = 0; i < sizeof(query) - 1; i++) {
        peer_send_bytes(client, query + i, 1);
        peer_expect_silence(server);
    }
    peer_round_trip(other, server, "select 2");
    peer_send_bytes(client, query + sizeof(query) - 1, 1);
    peer_expect(server, 'Q', "select 1");
}

/* A big one cannot be kept: it is passed on as it comes, and holds its server. */
static void
test_big_message_is_passed_on_in_pieces(void **state)
{
    const size_t size = 300 * 1000;
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char *const message = calloc(1, size + 1);

    assert_non_null(message);
    memset(message, 'x', size);
    message[0] = 'Q';
    pg_put_uint32(message + 1, (uint32_t)size);
    fixture_begin(f, "default_pool_size = 1\n", &client, &server);
    other = fixture_login(f, "db", "alice");
    peer_send_bytes(client, message, 70 * 1000);
    peer_expect_bytes(server, message, 70 * 1000);
    peer_send(other, 'Q', "select 2");
    peer_expect_silence(server);
    peer_send_bytes(client, message + 70 * 1000, 130 * 1000);
    peer_expect_bytes(server, message + 70 * 1000, 130 * 1000);
    peer_send_bytes(client, message + 200 * 1000, size + 1 - 200 * 1000);
    peer_expect_bytes(server, message + 200 * 1000, size + 1 - 200 * 1000);
    peer_answer(server, client, "DONE", 'I');
    peer_expect(server, 'Q', "select 2");
    free(message);
}

/* It waits for a server, and goes on when there is one, with what came meanwhile. */
static void
test_big_message_waits_for_a_server(void **state)
{
    const size_t size = 150 * 1000;
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char *const message = calloc(1, size + 1);

    assert_non_null(message);
    memset(message, 'x', size);
    message[0] = 'Q';
    pg_put_uint32(message + 1, (uint32_t)size);
    fixture_begin(f, "default_pool_size = 1\n", &client, &server);
    other = fixture_login(f, "db", "alice");
    peer_ask(other, server, "select 2");
    peer_send_bytes(client, message, 1);
    fixture_settle(f);
    peer_send_bytes(client, message + 1, 70 * 1000);
    fixture_settle(f);
    peer_send_bytes(client, message + 70 * 1000 + 1, 20 * 1000);
    peer_expect_silence(server);
    peer_answer(server, other, "DONE", 'I');
    peer_expect_bytes(server, message, 90 * 1000 + 1);
    peer_send_bytes(client, message + 90 * 1000 + 1, size - 90 * 1000);
    peer_expect_bytes(server, message + 90 * 1000 + 1, size - 90 * 1000);
    peer_answer(server, client, "DONE", 'I');
    assert_int_equal(fixture_idle_count(f), 1);
    free(message);
}

/* Some random messages of types, with bodies up to max. */
static void
flow_add(struct buf *flow, struct rng *rng, const char *types, unsigned count, size_t max)
{
    while (count-- > 0) {
        char body[3000], header[PG_HEADER_SIZE];
        const size_t len = rng_below(rng, max);

        memset(body, 'a' + (int)rng_below(rng, 26), len);
        pg_put_header(header, types[rng_below(rng, strlen(types))], (uint32_t)len);
        assert_int_equal(buf_append(flow, header, sizeof(header)), 0);
        assert_int_equal(buf_append(flow, body, len), 0);
    }
}

/* Sends it in pieces of any size, and checks that exactly this arrives. */
static void
flow_run(struct buf *flow, struct rng *rng, struct peer *from, struct peer *to)
{
    size_t sent = 0;

    while (sent < flow->len) {
        const size_t wish = 1 + rng_below(rng, rng_below(rng, 4) == 0 ? 8 : 5000);
        const size_t n = MIN(wish, flow->len - sent);

        peer_send_bytes(from, flow->data + sent, n);
        sent += n;
        fixture_settle(from->fixture);
    }
    peer_expect_bytes(to, flow->data, flow->len);
    buf_done(flow);
}

static void
test_every_byte_arrives(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    struct rng rng;

    rng_seed(&rng, 7);
    fixture_begin(f, "", &client, &server);
    for (unsigned round = 0; round < 60; round++) {
        struct buf ask = BUF_INIT, tell = BUF_INIT;
        const unsigned count = 1 + (unsigned)rng_below(&rng, 10);

        flow_add(&ask, &rng, "PBDE", count, 3000);
        flow_add(&ask, &rng, "S", 1, 1);
        flow_run(&ask, &rng, client, server);
        flow_add(&tell, &rng, "DDDDNA", 3 * count, 3000);
        flow_run(&tell, &rng, server, client);
        peer_send_error(server, "ERROR", "42601", "syntax error");
        peer_send_ready(server, 'I');
        peer_expect_types(client, "EZ");
        assert_int_equal(fixture_idle_count(f), 1);
    }
}

/* --- several clients -------------------------------------------------------------------------- */

static void
test_first_come_first_served(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[4], *server;
    char text[16];

    fixture_begin(f, "default_pool_size = 1\n", &clients[0], &server);
    for (unsigned i = 1; i < 4; i++)
        clients[i] = fixture_login(f, "db", "alice");
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(text, sizeof(text), "query %u", i);
        peer_send(clients[i], 'Q', text);
        fixture_settle(f);
    }
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(text, sizeof(text), "query %u", i);
        peer_expect(server, 'Q', text);
        peer_expect_silence(server);
        for (unsigned k = 0; k < 4; k++)
            peer_expect_silence(clients[k]);
        peer_send_complete(server, text, 'I');
        peer_expect(clients[i], 'C', text);
        peer_expect_ready(clients[i], 'I');
    }
}

/* Who comes back for more goes to the end of the queue, even in the turn of the release. */
static void
test_nobody_overtakes(void **state)
{
    struct fixture *f = *state;
    struct peer *a, *b, *server;

    fixture_begin(f, "default_pool_size = 1\n", &a, &server);
    b = fixture_login(f, "db", "alice");
    peer_ask(a, server, "a1");
    peer_send(b, 'Q', "b1");
    fixture_settle(f);
    peer_answer(server, a, "A", 'I');
    peer_send(a, 'Q', "a2");
    peer_expect(server, 'Q', "b1");
    peer_expect_silence(server);
    peer_answer(server, b, "B", 'I');
    peer_expect(server, 'Q', "a2");
}

static void
test_stalled_transaction_keeps_others_waiting(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    fixture_begin(f, "default_pool_size = 1\n", &client, &server);
    other = fixture_login(f, "db", "alice");
    peer_begin(client, server);
    peer_send_bytes(client, "Q\0\0", 3); /* and no more */
    peer_send(other, 'Q', "select 2");
    fixture_advance(f, 4 * SEC);
    peer_expect_silence(server);
    peer_expect_silence(other);
    peer_send_bytes(client, "\0\5", 3);
    peer_expect_types(server, "Q");
    peer_send_complete(server, "COMMIT", 'I');
    peer_expect(server, 'Q', "select 2");
}

static void
test_newest_idle_server_first(void **state)
{
    struct fixture *f = *state;
    struct peer *a, *b, *servers[2];

    fixture_begin(f, "", &a, &servers[0]);
    b = fixture_login(f, "db", "alice");
    peer_send(a, 'Q', "a");
    peer_send(b, 'Q', "b");
    fixture_settle(f);
    servers[1] = fixture_serve(f);
    peer_expect(servers[0], 'Q', "a");
    peer_expect(servers[1], 'Q', "b");
    peer_send_complete(servers[1], "B", 'I');
    peer_expect_types(b, "CZ");
    peer_send_complete(servers[0], "A", 'I');
    peer_expect_types(a, "CZ");
    peer_send(b, 'Q', "newest");
    peer_expect(servers[0], 'Q', "newest");
}

static void
test_oldest_idle_server_first_if_wanted(void **state)
{
    struct fixture *f = *state;
    struct peer *a, *b, *servers[2];

    fixture_begin(f, "server_round_robin = 1\n", &a, &servers[0]);
    b = fixture_login(f, "db", "alice");
    peer_send(a, 'Q', "a");
    peer_send(b, 'Q', "b");
    fixture_settle(f);
    servers[1] = fixture_serve(f);
    peer_send_complete(servers[1], "B", 'I');
    peer_expect_types(b, "CZ");
    peer_send_complete(servers[0], "A", 'I');
    peer_expect_types(a, "CZ");
    peer_expect_types(servers[1], "Q");
    peer_send(b, 'Q', "oldest");
    peer_expect(servers[1], 'Q', "oldest");
}

/* --- the other modes ---------------------------------------------------------------------------
 */

static void
test_statement_mode_allows_no_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "pool_mode = statement\n", &client, &server);
    peer_round_trip(client, server, "select 1");
    peer_ask(client, server, "begin");
    peer_send_complete(server, "BEGIN", 'T');
    peer_expect_types(client, "C");
    peer_expect_error(client, "FATAL", "0A000", "transaction blocks not allowed");
    peer_expect_end(client);
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
    assert_int_equal(fixture_server_count(f), 0);
}

static void
test_session_mode_keeps_the_server(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    fixture_begin(f, "pool_mode = session\ndefault_pool_size = 1\n", &client, &server);
    other = fixture_login(f, "db", "alice");
    peer_round_trip(client, server, "select 1");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send(other, 'Q', "select 2");
    peer_expect_silence(server);
    peer_round_trip(client, server, "select 1");
    peer_send(client, 'X', NULL);
    peer_expect(server, 'Q', "DISCARD ALL");
    peer_expect_silence(server);
    peer_send_complete(server, "DISCARD ALL", 'I');
    peer_expect(server, 'Q', "select 2");
    peer_expect_end(client);
    peer_expect_silence(other); /* DISCARD's answer is not for it */
}

/* More than the daemon wants to remember at once: it stops reading, and goes on. */
static void
test_long_pipeline_in_a_session(void **state)
{
    static const char sync[] = {'S', 0, 0, 0, 4};
    static const char ready[] = {'Z', 0, 0, 0, 5, 'I'};
    const size_t count = 100 * 1000;
    struct fixture *f = *state;
    struct peer *client, *server;
    size_t asked = 0, seen = 0, answered = 0, got = 0, idle = 0;

    fixture_begin(f, "pool_mode = session\n", &client, &server);
    while (got < count * sizeof(ready)) {
        const size_t before = asked + seen + got;

        while (asked < count * sizeof(sync) &&
               peer_send_some(client, sync + asked % sizeof(sync), 1) == 1)
            asked++;
        fixture_settle(f);
        seen += peer_fill(server);
        buf_clear(&server->input);
        /* The server answers late, so that requests pile up. */
        if (asked == count * sizeof(sync) || asked + seen + got == before)
            while (answered < seen / sizeof(sync) &&
                   peer_send_some(server, ready, sizeof(ready)) == sizeof(ready))
                answered++;
        fixture_settle(f);
        got += peer_fill(client);
        buf_clear(&client->input);
        idle = asked + seen + got == before ? idle + 1 : 0;
        assert_true(idle < 5);
    }
    assert_int_equal(got, count * sizeof(ready));
}

/* --- nonsense -----------------------------------------------------------------------------------
 */

static void
test_unknown_message_type(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    fixture_begin(f, "", &client, &server);
    other = fixture_login(f, "db", "alice");
    peer_send(client, 'y', "");
    peer_expect_error(client, "FATAL", "08P01", "unknown pkt");
    peer_expect_end(client);
    peer_round_trip(other, server, "select 1");
    peer_send(other, 'p', "secret");
    peer_expect_error(other, "FATAL", "08P01", "unknown pkt");
    peer_expect_end(other);
}

static void
test_bad_lengths(void **state)
{
    static const char *const bad[] = {"Q\0\0\0\3", "Q\xff\xff\xff\xff", "S\0\1\0\0"};
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    for (size_t i = 0; i < 3; i++) {
        client = fixture_login(f, "db", "alice");
        peer_send_bytes(client, bad[i], 5);
        peer_send_bytes(client, "x", 1);
        peer_expect_error(client, "FATAL", "08P01", "bad packet header");
        peer_expect_end(client);
    }
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_max_packet_size(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char text[2000] = "";

    fixture_begin(f, "max_packet_size = 1024\n", &client, &server);
    memset(text, 'x', sizeof(text) - 1);
    peer_send(client, 'Q', text);
    peer_expect_error(client, "FATAL", "08P01", "bad packet header");
    peer_expect_end(client);
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_garbage_in_a_query_closes_its_server(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send(client, 'Q', "select 1");
    peer_send_bytes(client, "\1\2\3\4\5\6", 6);
    peer_expect_error(client, "FATAL", "08P01", NULL);
    peer_expect_end(client);
    assert_int_equal(fixture_server_count(f), 0);
    assert_int_equal(fake_connector_counts(f->connector).impolite, 1);
}

static void
test_disable_pqexec(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "disable_pqexec = 1\n", &client, &server);
    peer_send(client, 'P', "");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "PS");
    peer_send(server, '1', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1Z");
    peer_send(client, 'Q', "select 1");
    peer_expect_error(client, "FATAL", "08P01", "PQexec disallowed");
    peer_expect_end(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_released_at_ready),
        TEST(test_kept_in_a_transaction),
        TEST(test_kept_by_a_pipeline),
        TEST(test_kept_until_sync),
        TEST(test_kept_after_an_error_until_sync),
        TEST(test_function_call),
        TEST(test_half_a_message_holds_no_server),
        TEST(test_big_message_is_passed_on_in_pieces),
        TEST(test_big_message_waits_for_a_server),
        TEST(test_every_byte_arrives),
        TEST(test_first_come_first_served),
        TEST(test_nobody_overtakes),
        TEST(test_stalled_transaction_keeps_others_waiting),
        TEST(test_newest_idle_server_first),
        TEST(test_oldest_idle_server_first_if_wanted),
        TEST(test_statement_mode_allows_no_transaction),
        TEST(test_session_mode_keeps_the_server),
        TEST(test_long_pipeline_in_a_session),
        TEST(test_unknown_message_type),
        TEST(test_bad_lengths),
        TEST(test_max_packet_size),
        TEST(test_garbage_in_a_query_closes_its_server),
        TEST(test_disable_pqexec),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
