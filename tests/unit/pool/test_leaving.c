/*
 * test_leaving.c - one of the two goes while they are linked: what becomes of the other.
 */
#include "fixture.h"

#include <stdlib.h>

#include "pg.h"
#include "pool.h"

static void
begin_transaction(struct peer *client, struct peer *server, char status)
{
    peer_ask(client, server, "begin");
    peer_answer(server, client, "BEGIN", status);
}

/* --- the client goes ----------------------------------------------------------------------------
 */

static void
test_client_leaves_idle(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send(client, 'X', NULL);
    peer_expect_end(client);
    peer_expect_silence(server);
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_client_leaves_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    for (unsigned i = 0; i < 2; i++) {
        fixture_begin(f, "default_pool_size = 1\n", &client, &server);
        other = fixture_login(f, "db", "alice");
        begin_transaction(client, server, "TE"[i]);
        peer_send(other, 'Q', "select 2");
        if (i == 0)
            peer_close(client);
        else
            peer_send(client, 'X', NULL);
        peer_expect(server, 'Q', "ROLLBACK");
        peer_expect_silence(server);
        peer_send_complete(server, "ROLLBACK", 'I');
        peer_expect(server, 'Q', "select 2");
        peer_expect_silence(other);
        fixture_stop(f);
    }
}

static void
test_rollback_fails(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    begin_transaction(client, server, 'T');
    peer_close(client);
    peer_expect(server, 'Q', "ROLLBACK");
    peer_send_error(server, "ERROR", "XX000", "no");
    peer_send_ready(server, 'T');
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
    assert_int_equal(fixture_server_count(f), 0);
}

static void
test_rollback_is_not_answered(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "server_connect_timeout = 15\n", &client, &server);
    begin_transaction(client, server, 'T');
    peer_close(client);
    peer_expect(server, 'Q', "ROLLBACK");
    fixture_advance(f, 15 * SEC - 1);
    peer_expect_silence(server);
    fixture_advance(f, 1);
    peer_expect_end(server);
    assert_int_equal(fake_connector_counts(f->connector).impolite, 1);
}

/* A server with an answer under way is never given to anybody. */
static void
test_client_leaves_in_a_query(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    fixture_begin(f, "default_pool_size = 1\n", &client, &server);
    fake_connector_hold_retired(f->connector);
    other = fixture_login(f, "db", "alice");
    peer_ask(client, server, "select secrets");
    peer_send(server, 'D', "secret");
    peer_expect_types(client, "D");
    peer_send(other, 'Q', "select 2");
    peer_close(client);
    peer_expect_end(server);
    assert_int_equal(fake_connector_counts(f->connector).impolite, 1);
    /* Its process may live on: no other connection before it has gone. */
    assert_int_equal(fake_connector_pending(f->connector), 0);
    fake_connector_finish_retired(f->connector);
    fixture_settle(f);
    assert_int_equal(fake_connector_pending(f->connector), 1);
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 2");
    peer_expect_silence(other);
}

static void
test_client_leaves_after_parse(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send(client, 'P', "");
    peer_send(client, 'H', NULL);
    peer_expect_types(server, "PH");
    peer_send(server, '1', NULL);
    peer_expect_types(client, "1");
    peer_close(client);
    peer_expect_end(server); /* a Sync is missing: nobody knows what state it is in */
    assert_int_equal(fixture_server_count(f), 0);
}

static void
test_client_leaves_in_a_copy(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "copy t from stdin");
    peer_send(server, 'G', "");
    peer_expect_types(client, "G");
    peer_send_bytes(client, "d\0\0\1\0abc", 8); /* part of a row */
    peer_expect_bytes(server, "d\0\0\1\0abc", 8);
    peer_close(client);
    peer_expect_end(server);
    assert_int_equal(fake_connector_counts(f->connector).impolite, 1);
}

/* In a transaction, in the middle of a message that is passed on as it comes. */
static void
test_client_leaves_in_a_message(void **state)
{
    static char message[80 * 1000];
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    begin_transaction(client, server, 'T');
    message[0] = 'Q';
    pg_put_uint32(message + 1, 100 * 1000);
    peer_send_bytes(client, message, sizeof(message));
    peer_expect_bytes(server, message, sizeof(message));
    peer_close(client);
    peer_expect_end(server);
    assert_int_equal(fake_connector_counts(f->connector).impolite, 1);
    assert_int_equal(fixture_server_count(f), 0);
}

static void
test_client_leaves_with_half_a_message(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    begin_transaction(client, server, 'T');
    peer_send_bytes(client, "Q\0\0\1\0sel", 8);
    fixture_settle(f);
    peer_close(client);
    peer_expect(server, 'Q', "ROLLBACK"); /* none of it has reached the server */
    peer_send_complete(server, "ROLLBACK", 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_client_leaves_the_queue(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second, *third;

    fixture_begin(f, "default_pool_size = 1\n", &client, &server);
    second = fixture_login(f, "db", "alice");
    third = fixture_login(f, "db", "alice");
    begin_transaction(client, server, 'T');
    peer_send(second, 'Q', "second");
    fixture_settle(f);
    peer_send(third, 'Q', "third");
    fixture_settle(f);
    peer_close(second);
    fixture_settle(f);
    peer_ask(client, server, "commit");
    peer_send_complete(server, "COMMIT", 'I');
    peer_expect(server, 'Q', "third");
}

static void
test_client_leaves_a_session(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "pool_mode = session\n", &client, &server);
    begin_transaction(client, server, 'T');
    peer_close(client);
    peer_expect(server, 'Q', "ROLLBACK");
    peer_send_complete(server, "ROLLBACK", 'I');
    peer_expect(server, 'Q', "DISCARD ALL");
    peer_expect_silence(server);
    peer_send_complete(server, "DISCARD ALL", 'I');
    peer_expect_silence(server);
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_reset_fails(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "pool_mode = session\n", &client, &server);
    begin_transaction(client, server, 'I');
    peer_close(client);
    peer_expect(server, 'Q', "DISCARD ALL");
    peer_send_error(server, "ERROR", "XX000", "no");
    peer_send_ready(server, 'I');
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
    assert_int_equal(fixture_server_count(f), 0);
}

/* The client vanishes while its result waits for it. */
static void
test_client_leaves_unread_result(void **state)
{
    static char row[60 * 1000 + 1] = {'D', 0, 0, 0xea, 0x60};
    struct fixture *f = *state;
    struct peer *client, *server;
    size_t sent, total = 0;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "select lots");
    do {
        sent = peer_send_some(server, row + total % sizeof(row), sizeof(row) - total % sizeof(row));
        total += sent;
        fixture_settle(f);
    } while (sent > 0);
    peer_close(client);
    peer_expect_end(server);
    assert_int_equal(fixture_server_count(f), 0);
}

/* --- the server goes
 * ------------------------------------------------------------------------------ */

static void
test_server_dies_in_a_result(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "select 1");
    peer_send(server, 'D', "row");
    peer_close(server);
    peer_expect_types(client, "D");
    peer_expect_error(client, "FATAL", "08006", "server conn crashed?");
    peer_expect_end(client);
    assert_int_equal(fixture_server_count(f), 0);
}

/* A row of eight bytes, of which four came: nothing must be taken for the other four. */
static void
test_server_dies_in_a_row(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "select 1");
    peer_send_bytes(server, "D\0\0\0\14half", 9);
    fixture_settle(f);
    peer_close(server);
    peer_expect_bytes(client, "D\0\0\0\14half", 9);
    peer_expect_end(client);
    assert_int_equal(fixture_server_count(f), 0);
}

/* Of a header, or of an error, the client has got nothing before it is whole. */
static void
test_server_dies_in_a_message_not_passed_on(void **state)
{
    static const char *const beginnings[] = {"D", "D\0\0", "E\0\0\0\100SFATAL"};
    static const size_t lens[] = {1, 3, 11};
    struct fixture *f = *state;

    fixture_start(f, "");
    for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
        struct peer *client =
            i == 0 ? fixture_knock(f, "db", "alice") : fixture_login(f, "db", "alice");
        struct peer *server;

        if (i > 0)
            peer_send(client, 'Q', "select 1");
        server = fixture_serve(f);
        if (i == 0) {
            peer_expect_login(client);
            peer_send(client, 'Q', "select 1");
        }
        peer_expect_types(server, "Q");
        peer_send_bytes(server, beginnings[i], lens[i]);
        fixture_settle(f);
        peer_close(server);
        peer_expect_error(client, "FATAL", "08006", "server conn crashed?");
        peer_expect_end(client);
    }
}

static void
test_query_timeout_in_a_row(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "query_timeout = 10\n", &client, &server);
    peer_ask(client, server, "select 1");
    peer_send_bytes(server, "D\0\0\0\14half", 9);
    fixture_settle(f);
    fixture_advance(f, 11 * SEC);
    peer_expect_bytes(client, "D\0\0\0\14half", 9);
    peer_expect_end(client);
}

/* What the server says last is what the client is told, once. */
static void
test_fatal_error_is_forwarded_once(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "select 1");
    peer_send_error(server, "FATAL", "57P01",
                    "terminating connection due to administrator command");
    peer_close(server);
    peer_expect_error(client, "FATAL", "57P01", "administrator command");
    peer_expect_end(client);
    assert_int_equal(fixture_server_count(f), 0);
}

/* The same in two pieces. */
static void
test_fatal_error_is_forwarded_once_if_cut(void **state)
{
    static const char error[] = "E\0\0\0\x1eSFATAL\0VFATAL\0C57P01\0Mno\0";
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    begin_transaction(client, server, 'T');
    peer_send_bytes(server, error, 10);
    peer_expect_silence(client);
    peer_send_bytes(server, error + 10, sizeof(error) - 10);
    peer_close(server);
    peer_expect_error(client, "FATAL", "57P01", "no");
    peer_expect_end(client);
}

static void
test_idle_server_dies(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_close(server);
    fixture_settle(f);
    assert_int_equal(fixture_server_count(f), 0);
    peer_expect_silence(client);
    peer_send(client, 'Q', "select 1");
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 1");
}

static void
test_idle_server_sends_an_error(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send_error(server, "FATAL", "57P01", "terminating connection");
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
    assert_int_equal(fixture_server_count(f), 0);
    peer_expect_silence(client);
}

/*
 * The last words come along with the answer to a client, who has nothing to do with them: he goes
 * on, and so does who comes next.
 */
static void
test_server_ends_behind_an_answer(void **state)
{
    static const char error[] = "E\0\0\0\x1eSFATAL\0VFATAL\0C57P01\0Mno\0";
    static const size_t pieces[] = {0, 1, 5, 10, sizeof(error)};
    struct fixture *f = *state;
    struct peer *client, *other, *server;

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        const size_t piece = pieces[i];

        fixture_begin(f, "default_pool_size = 1\n", &client, &server);
        other = fixture_login(f, "db", "alice");
        peer_ask(client, server, "select 1");
        peer_send(other, 'Q', "select 2");
        fixture_settle(f);
        peer_send_complete(server, "SELECT 1", 'I');
        peer_send_bytes(server, error, piece);
        fixture_settle(f);
        peer_send_bytes(server, error + piece, sizeof(error) - piece);
        if (piece == 0) { /* read when the server is the other one's: he is told */
            peer_expect(server, 'Q', "select 2");
            peer_close(server);
            peer_expect_error(other, "FATAL", "57P01", "no");
            peer_expect_end(other);
        } else {
            peer_expect(server, 'X', NULL);
            peer_expect_end(server);
            peer_close(server);
            server = fixture_serve(f);
            peer_expect(server, 'Q', "select 2");
            peer_answer(server, other, "SELECT 2", 'I');
            peer_close(server);
        }
        peer_expect(client, 'C', "SELECT 1");
        peer_expect_ready(client, 'I');
        peer_send(client, 'Q', "select 3");
        server = fixture_serve(f);
        peer_expect(server, 'Q', "select 3");
        peer_answer(server, client, "SELECT 3", 'I');
        fixture_stop(f);
    }
}

/* In a session, and in a transaction, they are the client's. */
static void
test_server_ends_behind_an_answer_of_a_session(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    for (int session = 0; session < 2; session++) {
        fixture_begin(f, session ? "pool_mode = session\n" : "", &client, &server);
        peer_ask(client, server, "begin");
        peer_send_complete(server, "BEGIN", session ? 'I' : 'T');
        peer_send_error(server, "FATAL", "57P01", "no");
        peer_close(server);
        peer_expect(client, 'C', "BEGIN");
        peer_expect_ready(client, session ? 'I' : 'T');
        peer_expect_error(client, "FATAL", "57P01", "no");
        peer_expect_end(client);
        fixture_stop(f);
    }
}

static void
test_idle_server_sends_rows(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send(server, 'D', "whose?");
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
    peer_expect_silence(client);
}

/* Parameters and notices may come at any time. */
static void
test_idle_server_may_say_some_things(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send_parameter(server, "is_superuser", "on");
    peer_send(server, 'A', "notification");
    peer_expect_silence(server);
    peer_expect_silence(client);
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_answers_nobody_asked_for(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_send(client, 'P', "");
    peer_expect_types(server, "P");
    peer_send_ready(server, 'I');
    peer_expect(client, 'Z', NULL);
    peer_expect_error(client, "FATAL", "08006", NULL);
    peer_expect_end(client);
    assert_int_equal(fixture_server_count(f), 0);
}

static void
test_server_breaks_the_protocol(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "select 1");
    peer_send_bytes(server, "D\0\0\0\1x", 6);
    peer_expect_error(client, "FATAL", "08006", NULL);
    peer_expect_end(client);
    assert_int_equal(fixture_server_count(f), 0);
}

/* The client has sent more than the dead server took: it is told all the same. */
static void
test_server_dies_while_it_is_sent_to(void **state)
{
    static char data[60 * 1000 + 1] = {'d', 0, 0, 0xea, 0x60};
    struct fixture *f = *state;
    struct peer *client, *server;
    size_t sent, total = 0;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "copy t from stdin");
    peer_send(server, 'G', "");
    peer_expect_types(client, "G");
    do {
        sent = peer_send_some(client, data + total % sizeof(data),
                              sizeof(data) - total % sizeof(data));
        total += sent;
        fixture_settle(f);
    } while (sent > 0);
    peer_close(server);
    peer_expect_error(client, "FATAL", "08006", NULL);
    peer_expect_end(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_client_leaves_idle),
        TEST(test_client_leaves_in_a_transaction),
        TEST(test_rollback_fails),
        TEST(test_rollback_is_not_answered),
        TEST(test_client_leaves_in_a_query),
        TEST(test_client_leaves_after_parse),
        TEST(test_client_leaves_in_a_copy),
        TEST(test_client_leaves_in_a_message),
        TEST(test_client_leaves_with_half_a_message),
        TEST(test_client_leaves_the_queue),
        TEST(test_client_leaves_a_session),
        TEST(test_reset_fails),
        TEST(test_client_leaves_unread_result),
        TEST(test_server_dies_in_a_result),
        TEST(test_server_dies_in_a_row),
        TEST(test_server_dies_in_a_message_not_passed_on),
        TEST(test_query_timeout_in_a_row),
        TEST(test_fatal_error_is_forwarded_once),
        TEST(test_fatal_error_is_forwarded_once_if_cut),
        TEST(test_idle_server_dies),
        TEST(test_idle_server_sends_an_error),
        TEST(test_server_ends_behind_an_answer),
        TEST(test_server_ends_behind_an_answer_of_a_session),
        TEST(test_idle_server_sends_rows),
        TEST(test_idle_server_may_say_some_things),
        TEST(test_answers_nobody_asked_for),
        TEST(test_server_breaks_the_protocol),
        TEST(test_server_dies_while_it_is_sent_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
