/*
 * test_copy.c - COPY: whose the data are, and what comes behind one that fails.
 */
#include "fixture.h"

#include "pool.h"

static void
test_copy_in(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "copy t from stdin");
    peer_send(server, 'G', "");
    peer_expect_types(client, "G");
    peer_send(client, 'd', "a row");
    peer_expect(server, 'd', "a row");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send(client, 'c', NULL);
    peer_expect_types(server, "c");
    peer_answer(server, client, "COPY 1", 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

/* The rest of the data of a COPY that has failed reaches no server, and no other client's COPY. */
static void
test_late_copy_data_are_dropped(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "copy t from stdin");
    peer_send(server, 'G', "");
    peer_send_error(server, "ERROR", "22P04", "bad data");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "GEZ");
    assert_int_equal(fixture_idle_count(f), 1);
    peer_send(client, 'd', "late");
    peer_send(client, 'c', NULL);
    peer_send(client, 'H', NULL);
    peer_expect_silence(server);
    assert_int_equal(fixture_idle_count(f), 1);
    peer_round_trip(client, server, "select 1");
}

static void
test_copy_out(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "copy t to stdout");
    peer_send(server, 'H', "");
    peer_send(server, 'd', "a row");
    peer_expect_types(client, "Hd");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send(server, 'c', NULL);
    peer_send_complete(server, "COPY 1", 'I');
    peer_expect_types(client, "cCZ");
    assert_int_equal(fixture_idle_count(f), 1);
}

/* A COPY fails, behind whose beginning this was sent: up to the first ReadyForQuery. */
static void
fail_copy(struct peer *client, struct peer *server, const char *behind, char status)
{
    peer_send(client, 'E', "");
    peer_expect_types(server, "E");
    peer_send(server, 'G', "");
    peer_expect_types(client, "G");
    for (const char *types = behind; *types != '\0'; types++)
        peer_send(client, *types, strchr("cS", *types) != NULL ? NULL : "data");
    peer_expect_types(server, behind);
    peer_send_error(server, "ERROR", "22P04", "bad data");
    peer_send_ready(server, status);
    peer_expect_types(client, "EZ");
}

/* The same with Syncs among its data. */
static void
fail_copy_in_doubt(struct peer *client, struct peer *server, char status)
{
    fail_copy(client, server, "dSdcS", status);
}

/* An empty query of the daemon tells when the last answer of all has come. */
static void
test_fence_behind_a_failed_copy(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    fixture_begin(f, "default_pool_size = 1\n", &client, &server);
    other = fixture_login(f, "db", "alice");
    fail_copy_in_doubt(client, server, 'I');
    peer_expect_bytes(server, "Q\0\0\0\5", 6);
    peer_send(other, 'Q', "select 2");
    peer_expect_silence(server);
    peer_send_ready(server, 'I'); /* of the Sync in the data: the first came before it failed */
    peer_expect_ready(client, 'I');
    peer_expect_silence(server);
    peer_send(server, 'I', NULL);
    peer_send_ready(server, 'I');
    peer_expect_silence(client);
    peer_expect(server, 'Q', "select 2");
    peer_expect_silence(other);
}

/* No fence where the server stays with its client: the client's next request tells as well. */
static void
test_no_fence_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    peer_begin(client, server);
    fail_copy_in_doubt(client, server, 'E');
    peer_expect_silence(server);
    peer_ask(client, server, "rollback");
    peer_send_ready(server, 'E'); /* of the Sync in the data */
    peer_expect_ready(client, 'E');
    assert_int_equal(fixture_idle_count(f), 0);
    peer_answer(server, client, "ROLLBACK", 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_no_fence_in_a_session(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "pool_mode = session\n", &client, &server);
    fail_copy_in_doubt(client, server, 'I');
    peer_round_trip(client, server, "select 1");
    fail_copy_in_doubt(client, server, 'I');
    peer_expect_silence(server);
    peer_close(client); /* and nobody else is to get what may still come */
    peer_expect_types(server, "X");
    peer_expect_end(server);
}

/* What is sent behind the client's own Sync is answered, with no fence between. */
static void
test_pipeline_behind_a_failed_copy(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    fail_copy(client, server, "dSSdcSQQ", 'I');
    peer_send_ready(server, 'I');
    peer_expect_types(client, "Z");
    peer_answer(server, client, "SELECT 1", 'I');
    assert_int_equal(fixture_idle_count(f), 0);
    peer_answer(server, client, "SELECT 1", 'I');
    peer_expect_silence(server);
    assert_int_equal(fixture_idle_count(f), 1);
}

/* Between the data and that Sync it cannot be known what is. */
static void
test_too_much_behind_a_failed_copy(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    fail_copy(client, server, "dSdcQS", 'I');
    peer_expect_error(client, "FATAL", "08P01", "protocol violation");
    peer_expect_end(client);
    assert_int_equal(fixture_server_count(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_copy_in),
        TEST(test_late_copy_data_are_dropped),
        TEST(test_copy_out),
        TEST(test_fence_behind_a_failed_copy),
        TEST(test_no_fence_in_a_transaction),
        TEST(test_no_fence_in_a_session),
        TEST(test_pipeline_behind_a_failed_copy),
        TEST(test_too_much_behind_a_failed_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
