/*
 * test_barriers.c - queries that others must not overtake: what is sent behind them waits, whatever
 * it is, and goes on in any case.
 */
#include "dialogue.h"

#include "buf.h"
#include "cleanup.h"
#include "pg.h"

/* A client who has prepared "x" by SQL, and asks a second server to execute it. */
static void
begin_execution(struct fixture *f, struct peer **ret_client, struct peer **ret_server)
{
    struct peer *first, *other;

    fixture_begin(f, "", ret_client, &first);
    peer_send(*ret_client, 'Q', "prepare x as select a from t");
    peer_expect(first, 'Q', "prepare pgweir_");
    peer_answer(first, *ret_client, "PREPARE", 'I');
    other = fixture_login(f, "db", "alice");
    peer_ask(other, first, "begin");
    peer_send(*ret_client, 'Q', "execute x");
    *ret_server = fixture_serve(f);
    peer_expect_types(*ret_server, "CPBECC");
    peer_expect(*ret_server, 'Q', "execute pgweir_");
}

/* What goes ahead of the query fails; so the server passes over that, and asks for a Sync. */
static void
fail_execution(struct peer *client, struct peer *server)
{
    peer_send(server, '3', NULL);
    peer_send_error(server, "ERROR", "42P01", "no such table");
    peer_expect_error(client, "ERROR", "42P01", "no such table");
    peer_expect(server, 'S', NULL);
}

/* Else the server would pass over it, too, and its client would wait for ever. */
static void
test_what_is_not_looked_at_waits(void **state)
{
    static const char types[] = {'F', 'E'};
    struct fixture *f = *state;
    struct peer *client, *server;

    begin_execution(f, &client, &server);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        send_message(client, types[i], "", NULL, "\0\0\0\0", 4);
    peer_send(client, 'S', NULL);
    peer_expect_silence(server);
    fail_execution(client, server);
    peer_expect_types(server, "FES");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "Z");
}

static void
test_long_query_waits(void **state)
{
    const size_t len = 200 * 1000;
    char *const text = malloc(len + 1);
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    struct fixture *f = *state;
    struct peer *client, *server;

    assert_non_null(text);
    memset(text, 'q', len);
    text[len] = '\0';
    add_message(&message, 'Q', text, NULL, "", 0);
    begin_execution(f, &client, &server);
    for (size_t half = 0; half < 2; half++) {
        peer_send_bytes(client, message.data + half * len / 2,
                        half == 0 ? len / 2 : message.len - len / 2);
        peer_expect_silence(server);
    }
    fail_execution(client, server);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "Z");
    peer_expect(server, 'Q', text);
    peer_answer(server, client, "SELECT 1", 'I');
    free(text);
}

/* However much the server has to say about that. */
static void
test_long_error(void **state)
{
    const size_t len = 200 * 1000;
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    char *const text = malloc(len + 1);
    struct fixture *f = *state;
    struct peer *client, *server;

    assert_non_null(text);
    memset(text, 'e', len);
    text[len] = '\0';
    memcpy(text, "SERROR", 6);
    add_message(&message, 'E', text, NULL, "", 1);
    begin_execution(f, &client, &server);
    for (size_t half = 0; half < 2; half++) {
        peer_send_bytes(server, message.data + half * len / 2,
                        half == 0 ? len / 2 : message.len - len / 2);
        fixture_settle(f);
        (void)peer_fill(client);
    }
    peer_expect(client, 'E', NULL);
    peer_expect(server, 'S', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "Z");
    free(text);
}

/* A Sync is answered in any case, and what the client waits for may be behind it. */
static void
test_sync_does_not_wait(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin_execution(f, &client, &server);
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "S");
    fail_execution(client, server);
    peer_send_ready(server, 'I');
    peer_send_ready(server, 'I');
    peer_expect_types(client, "ZZ");
}

/* It is not COPY data: that is for PostgreSQL to say. */
static void
test_what_waits_may_break_a_copy(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send(client, 'Q', "copy t from stdin; select 1");
    send_parse(client, "s1", "select 1");
    peer_expect_types(server, "Q");
    peer_expect_silence(server);
    peer_send_body(server, 'G', "\0\0\0", 3);
    peer_expect_types(client, "G");
    peer_expect(server, 'P', "select 1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_not_looked_at_waits),
        TEST(test_long_query_waits),
        TEST(test_long_error),
        TEST(test_sync_does_not_wait),
        TEST(test_what_waits_may_break_a_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
