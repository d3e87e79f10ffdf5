/*
 * test_cancel.c - a cancel request finds its client, and never hits another.
 */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>

#include "engine_int.h"
#include "pg.h"
#include "pool.h"

/* A client who is the second in a pool of one: what it sends waits. */
static void
begin_queued(struct fixture *f, const char *text, struct peer **ret_first, struct peer **ret_queued,
             struct peer **ret_server)
{
    fixture_begin(f, text, ret_first, ret_server);
    *ret_queued = fixture_login(f, "db", "alice");
    peer_ask(*ret_first, *ret_server, "begin");
    peer_answer(*ret_server, *ret_first, "BEGIN", 'T');
}

/* A client whose "select 1" is with the server. */
static void
begin_running(struct fixture *f, const char *text, struct peer **ret_client,
              struct peer **ret_server)
{
    fixture_begin(f, text, ret_client, ret_server);
    peer_ask(*ret_client, *ret_server, "select 1");
}

static void
end_first(struct peer *first, struct peer *server)
{
    peer_commit(first, server);
}

static const char one[] = "default_pool_size = 1\nquery_wait_notify = 0\n";

/* --- in the queue ----------------------------------------------------------------------------- */

static void
test_queued_query(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server;

    begin_queued(f, one, &first, &client, &server);
    peer_send(client, 'Q', "select 1");
    fixture_settle(f);
    peer_expect_end(fixture_cancel(client));
    peer_expect_error(client, "ERROR", "57014", "canceling statement due to user request");
    peer_expect_ready(client, 'I');
    peer_expect_silence(client);
    end_first(first, server);
    peer_expect_silence(server); /* nothing of it was left in the queue */
    assert_int_equal(fixture_idle_count(f), 1);
    assert_int_equal(fake_connector_counts(f->connector).cancels, 0);
    /* The connection goes on. */
    peer_ask(client, server, "select 2");
}

/* What was sent behind the cancelled query takes its turn. */
static void
test_queued_pipeline(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server;

    begin_queued(f, one, &first, &client, &server);
    peer_send(client, 'Q', "select 1");
    peer_send(client, 'Q', "select 2");
    fixture_settle(f);
    (void)fixture_cancel(client);
    peer_expect_types(client, "EZ");
    peer_expect_silence(client);
    end_first(first, server);
    peer_expect(server, 'Q', "select 2");
    peer_answer(server, client, "SELECT 2", 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_queued_extended(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server;

    begin_queued(f, one, &first, &client, &server);
    for (const char *types = "PBDE"; *types != '\0'; types++)
        peer_send(client, *types, "");
    fixture_settle(f);
    (void)fixture_cancel(client);
    peer_expect_error(client, "ERROR", "57014", "canceling statement");
    peer_expect_silence(client); /* as PostgreSQL: ReadyForQuery at the Sync */
    peer_send(client, 'P', "");
    peer_expect_silence(client);
    peer_send(client, 'S', NULL);
    peer_expect_ready(client, 'I');
    end_first(first, server);
    peer_expect_silence(server);
    assert_int_equal(fixture_idle_count(f), 1);
    peer_ask(client, server, "select 2");
}

static void
test_queued_extended_with_sync_there(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server;

    begin_queued(f, one, &first, &client, &server);
    for (const char *types = "PBES"; *types != '\0'; types++)
        peer_send(client, *types, *types == 'S' ? NULL : "");
    peer_send(client, 'Q', "select 2");
    fixture_settle(f);
    (void)fixture_cancel(client);
    peer_expect_types(client, "EZ");
    peer_expect_silence(client);
    end_first(first, server);
    peer_expect(server, 'Q', "select 2");
}

/*
 * Of a big query only the beginning has come. What comes after the cancel is still the query's
 * text, whatever it looks like.
 */
static void
test_queued_big_query(void **state)
{
    static const char text[] = "Q\0\0\0\x0b"
                               "DELETE\0";
    const size_t size = 200 * 1000;
    struct fixture *f = *state;
    struct peer *first, *client, *server;
    char *const message = calloc(1, size + 1);
    size_t at;

    assert_non_null(message);
    message[0] = 'Q';
    pg_put_uint32(message + 1, (uint32_t)size);
    for (at = PG_HEADER_SIZE; at + 12 <= size; at += 12)
        memcpy(message + at, text, 12);
    begin_queued(f, one, &first, &client, &server);
    at = PG_HEADER_SIZE + 7000 * 12;
    peer_send_bytes(client, message, at);
    fixture_settle(f);
    (void)fixture_cancel(client);
    peer_expect_types(client, "EZ");
    peer_send_bytes(client, message + at, size + 1 - at);
    peer_expect_silence(client);
    end_first(first, server);
    peer_expect_silence(server);
    peer_ask(client, server, "select 2");
    peer_expect_silence(server);
    free(message);
}

/* Who was cancelled is no longer counted for, nor timed out. */
static void
test_queued_cancel_stops_the_clock(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server;

    begin_queued(f, "default_pool_size = 1\nquery_wait_timeout = 10\nquery_timeout = 20\n", &first,
                 &client, &server);
    peer_send(client, 'Q', "select 1");
    fixture_settle(f);
    (void)fixture_cancel(client);
    peer_expect_types(client, "EZ");
    fixture_advance(f, MINUTE);
    peer_expect_silence(client);
}

/* --- running ------------------------------------------------------------------------------------
 */

static void
test_running_query(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *other, *server, *asker;

    fixture_begin(f, one, &client, &server);
    other = fixture_login(f, "db", "alice");
    peer_ask(client, server, "select pg_sleep(60)");
    peer_send(other, 'Q', "select 2");
    asker = fixture_cancel(client);
    assert_int_equal(fake_connector_cancelling(f->connector), 1);
    assert_int_equal(fake_connector_cancelled_pid(f->connector), server->pid);
    peer_send_error(server, "ERROR", "57014", "canceling statement due to user request");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZ");
    /* The cancel is on its way for all we know: nobody gets this server. */
    peer_expect_silence(server);
    assert_int_equal(fixture_idle_count(f), 0);
    peer_expect_silence(asker); /* who may go on with something else only when it is through */
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_end(asker);
    /* It has arrived; a Sync proves that the server has dealt with it. */
    peer_expect_types(server, "S");
    peer_expect_silence(server);
    peer_send_ready(server, 'I');
    peer_expect(server, 'Q', "select 2");
    peer_expect_silence(client);
}

/* The cancel ends before the answer comes. */
static void
test_running_query_cancel_first(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, one, &client, &server);
    peer_ask(client, server, "select pg_sleep(60)");
    (void)fixture_cancel(client);
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_silence(server);
    peer_send_error(server, "ERROR", "57014", "canceling statement due to user request");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZ");
    peer_expect_types(server, "S");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send_ready(server, 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

/* A late cancel hits the Sync: its error is nobody's. */
static void
test_late_cancel_hits_nobody(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *other, *server;

    fixture_begin(f, one, &client, &server);
    other = fixture_login(f, "db", "alice");
    peer_ask(client, server, "select 1");
    (void)fixture_cancel(client);
    peer_answer(server, client, "SELECT 1", 'I');
    peer_send(other, 'Q', "select 2");
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_types(server, "S");
    peer_send_error(server, "ERROR", "57014", "canceling statement due to user request");
    peer_send_ready(server, 'I');
    peer_expect(server, 'Q', "select 2");
    peer_expect_silence(other);
    peer_expect_silence(client);
    peer_answer(server, other, "SELECT 2", 'I');
}

/* Who asks while one is under way, and gets an answer, does not want another. */
static void
test_impatient_cancels(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *first, *second;

    begin_running(f, one, &client, &server);
    first = fixture_cancel(client);
    second = fixture_cancel(client);
    assert_int_equal(fake_connector_cancelling(f->connector), 1);
    peer_expect_silence(second);
    peer_answer(server, client, "SELECT 1", 'I');
    peer_expect_end(second);
    peer_expect_silence(first);
    peer_expect_silence(server);
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_end(first);
    peer_expect_types(server, "S");
    peer_send_ready(server, 'I');
    assert_int_equal(fixture_idle_count(f), 1);
    assert_int_equal(fake_connector_counts(f->connector).cancels, 1);
}

/* The first came too early, perhaps. */
static void
test_cancel_again(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *first, *others[20];

    begin_running(f, one, &client, &server);
    first = fixture_cancel(client);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        others[i] = fixture_cancel(client);
    peer_expect_end(others[ARRAY_SIZE(others) - 1]); /* there are enough of them */
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_end(first);
    peer_expect_silence(others[0]);
    assert_int_equal(fake_connector_cancelling(f->connector), 1);
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_end(others[0]);
    assert_int_equal(fake_connector_counts(f->connector).cancels, 2);
}

/* A cancel is on its way when its query ends; it may not be what stops the next. */
static void
test_cancel_of_the_next_query(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;

    fixture_begin(f, one, &client, &server);
    peer_ask(client, server, "begin; select 1");
    (void)fixture_cancel(client);
    peer_answer(server, client, "SELECT 1", 'T');
    peer_ask(client, server, "select 2");
    second = fixture_cancel(client);
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_silence(second);
    assert_int_equal(fake_connector_cancelling(f->connector), 1);
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_end(second);
}

/* The query ends before its cancel's turn has come: the next query is none of its business. */
static void
test_cancel_is_withdrawn(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *other, *server, *asker;

    fixture_begin(f, one, &client, &server);
    other = fixture_login(f, "db", "alice");
    fake_connector_hold_cancels(f->connector, true);
    peer_ask(client, server, "begin; select 1");
    asker = fixture_cancel(client);
    peer_expect_silence(asker);
    peer_answer(server, client, "SELECT 1", 'T');
    peer_expect_end(asker);
    assert_int_equal(fake_connector_counts(f->connector).withdrawn, 1);
    /* And for nobody is the server held back, nor asked for a Sync. */
    peer_ask(client, server, "commit");
    (void)fixture_cancel(client);
    peer_send(other, 'Q', "select 2");
    peer_answer(server, client, "COMMIT", 'I');
    peer_expect(server, 'Q', "select 2");
    assert_int_equal(fake_connector_counts(f->connector).withdrawn, 2);
}

/* Its turn did not come within cancel_wait_timeout: so the server has not been asked. */
static void
test_cancel_waits_too_long(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *asker;

    begin_running(f, one, &client, &server);
    asker = fixture_cancel(client);
    fake_connector_finish_cancel(f->connector, -EAGAIN);
    peer_expect_end(asker);
    peer_answer(server, client, "SELECT 1", 'I');
    peer_expect_silence(server);
    assert_int_equal(fixture_idle_count(f), 1);
}

/* The query is on its way behind the SET, which is not what is to be cancelled. */
static void
test_cancel_while_settings_are_set(void **state)
{
    struct fixture *f = *state;
    const char *const parameters[] = {"user",     "alice",      "database", "db",
                                      "TimeZone", "Asia/Tokyo", NULL};
    struct peer *client, *other, *server, *asker;

    fixture_begin(f, one, &client, &server);
    other = fixture_connect(f);
    fixture_send_startup(other, PG_PROTOCOL_3_0, parameters);
    peer_expect_login(other);
    peer_send(other, 'Q', "select 1");
    peer_expect(server, 'Q', "SET");
    peer_expect(server, 'Q', "select 1");
    asker = fixture_cancel(other);
    peer_expect_silence(asker);
    assert_int_equal(fake_connector_cancelling(f->connector), 0);
    peer_send_parameter(server, "TimeZone", "Asia/Tokyo");
    peer_send_complete(server, "SET", 'I');
    peer_expect_silence(other);
    assert_int_equal(fake_connector_cancelling(f->connector), 1);
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_end(asker);
}

/* Who does not wait for the end of the cancel still gets it. */
static void
test_asker_hangs_up(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin_running(f, one, &client, &server);
    peer_close(fixture_cancel(client));
    fixture_settle(f);
    assert_int_equal(permits_used(&f->engine->logins), 0);
    assert_int_equal(fake_connector_cancelling(f->connector), 1);
    fake_connector_finish_cancel(f->connector, 0);
    fixture_settle(f);
}

/* Who has waited does not know that the query is on its way only now: it must not be overtaken. */
static void
test_cancel_behind_a_wait(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server, *asker;

    begin_queued(f, "default_pool_size = 1\nquery_timeout = 100\n", &first, &client, &server);
    peer_send(client, 'Q', "select 1");
    fixture_settle(f);
    end_first(first, server);
    peer_expect(server, 'Q', "select 1");
    asker = fixture_cancel(client);
    assert_int_equal(fake_connector_cancelling(f->connector), 0);
    fixture_advance(f, 50 * MSEC - 1);
    peer_expect_silence(asker);
    assert_int_equal(fake_connector_cancelling(f->connector), 0);
    fixture_advance(f, 1);
    assert_int_equal(fake_connector_cancelling(f->connector), 1);
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_end(asker);
    fixture_advance(f, 100 * SEC); /* the other time limits are still there */
    peer_expect_error(client, "FATAL", "57014", "query timeout");
}

/* It has its answer before. */
static void
test_cancel_behind_a_wait_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *client, *server, *asker;

    begin_queued(f, one, &first, &client, &server);
    peer_send(client, 'Q', "select 1");
    fixture_settle(f);
    end_first(first, server);
    peer_expect(server, 'Q', "select 1");
    asker = fixture_cancel(client);
    peer_answer(server, client, "SELECT 1", 'I');
    peer_expect_end(asker);
    peer_ask(client, server, "select 2");
    fixture_advance(f, SEC);
    assert_int_equal(fake_connector_counts(f->connector).cancels, 0);
}

/* Its own time limits are not those of a login. */
static void
test_asker_outlives_the_time_for_logins(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *asker;

    begin_running(f, "client_login_timeout = 5\n", &client, &server);
    asker = fixture_cancel(client);
    fixture_advance(f, MINUTE);
    peer_expect_silence(asker);
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_end(asker);
}

/* Perhaps it still arrives, some time: nobody else may be there then. */
static void
test_failed_cancel_costs_the_server(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin_running(f, one, &client, &server);
    (void)fixture_cancel(client);
    fake_connector_finish_cancel(f->connector, -ETIMEDOUT);
    peer_answer(server, client, "SELECT 1", 'I');
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
    peer_expect_silence(client);
    assert_int_equal(fixture_server_count(f), 0);
}

/* In a transaction the client keeps its server, and may go on while the cancel is under way. */
static void
test_cancel_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, one, &client, &server);
    peer_ask(client, server, "begin; select pg_sleep(60)");
    (void)fixture_cancel(client);
    peer_send_error(server, "ERROR", "57014", "canceling statement due to user request");
    peer_send_ready(server, 'E');
    peer_expect_types(client, "EZ");
    peer_ask(client, server, "rollback");
    peer_answer(server, client, "ROLLBACK", 'I');
    peer_expect_silence(server);
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_types(server, "S");
    peer_send_ready(server, 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

/* The server of a client that has gone is retired only when the cancel is through. */
static void
test_client_leaves_with_a_cancel_under_way(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin_running(f, one, &client, &server);
    (void)fixture_cancel(client);
    peer_close(client);
    fixture_settle(f);
    assert_int_equal(fake_connector_counts(f->connector).impolite, 0);
    assert_int_equal(fixture_server_count(f), 1);
    fake_connector_finish_cancel(f->connector, 0);
    peer_expect_end(server);
    assert_int_equal(fake_connector_counts(f->connector).impolite, 1);
    assert_int_equal(fixture_server_count(f), 0);
}

static void
test_server_dies_while_being_cancelled(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin_running(f, one, &client, &server);
    (void)fixture_cancel(client);
    peer_answer(server, client, "SELECT 1", 'I');
    peer_close(server);
    fixture_settle(f);
    assert_int_equal(fixture_server_count(f), 1);
    fake_connector_finish_cancel(f->connector, 0);
    assert_int_equal(fixture_server_count(f), 0);
    peer_expect_silence(client);
}

/* --- nothing to cancel ---------------------------------------------------------------------------
 */

static void
test_idle_client(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, one, &client, &server);
    peer_expect_end(fixture_cancel(client));
    peer_expect_silence(client);
    peer_begin(client, server);
    peer_expect_end(fixture_cancel(client)); /* idle in a transaction */
    peer_expect_silence(client);
    assert_int_equal(fake_connector_counts(f->connector).cancels, 0);
}

static void
test_unknown_key(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin_running(f, one, &client, &server);
    assert_int_equal(client->key_len, 8);
    /* Two bits of the eighth byte are no secret: see peer_key.h. */
    for (size_t i = 0; i < client->key_len; i++) {
        client->key[i] ^= 4;
        peer_expect_end(fixture_cancel(client));
        client->key[i] ^= 4;
    }
    client->key_len = sizeof(client->key); /* the longest that there can be */
    peer_expect_end(fixture_cancel(client));
    client->key_len = 4 + 32;
    peer_expect_end(fixture_cancel(client));
    assert_int_equal(fake_connector_counts(f->connector).cancels, 0);
    peer_expect_silence(client);
    /* A key dies with its client. */
    client->key_len = 8;
    peer_answer(server, client, "SELECT 1", 'I');
    peer_send(client, 'X', NULL);
    peer_expect_end(client);
    peer_expect_end(fixture_cancel(client));
    assert_int_equal(fake_connector_counts(f->connector).cancels, 0);
}

/* Since protocol 3.2: longer than anybody can guess, and of use only as a whole. */
static void
test_long_key(void **state)
{
    const char *const parameters[] = {"user", "alice", "database", "db", NULL};
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, one);
    client = fixture_connect(f);
    fixture_send_startup(client, PG_PROTOCOL(3, 2), parameters);
    server = fixture_serve(f);
    peer_expect_login(client);
    assert_int_equal(client->key_len, 4 + 32);
    assert_true((client->key[0] & 0x80) == 0);
    peer_ask(client, server, "select 1");
    client->key[35] ^= 1;
    peer_expect_end(fixture_cancel(client));
    client->key[35] ^= 1;
    client->key_len = 8;
    peer_expect_end(fixture_cancel(client));
    assert_int_equal(fake_connector_cancelling(f->connector), 0);
    client->key_len = 4 + 32;
    (void)fixture_cancel(client);
    assert_int_equal(fake_connector_cancelling(f->connector), 1);
}

/* The request comes to whatever worker, and goes round until it finds the client. */
static void
test_request_goes_from_worker_to_worker(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    begin_running(f, "worker_threads = 4\n", &client, &server);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned w = 0; w < 4; w++)
            fake_loop_set_load(f->engine->workers[w].loop, w == i ? 0 : 900);
        (void)fixture_cancel(client);
        assert_int_equal(fake_connector_cancelling(f->connector), 1);
        fake_connector_finish_cancel(f->connector, 0);
        fixture_settle(f);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_queued_query),
        TEST(test_queued_pipeline),
        TEST(test_queued_extended),
        TEST(test_queued_extended_with_sync_there),
        TEST(test_queued_big_query),
        TEST(test_queued_cancel_stops_the_clock),
        TEST(test_running_query),
        TEST(test_running_query_cancel_first),
        TEST(test_late_cancel_hits_nobody),
        TEST(test_impatient_cancels),
        TEST(test_cancel_again),
        TEST(test_cancel_of_the_next_query),
        TEST(test_cancel_is_withdrawn),
        TEST(test_cancel_waits_too_long),
        TEST(test_cancel_while_settings_are_set),
        TEST(test_asker_hangs_up),
        TEST(test_cancel_behind_a_wait),
        TEST(test_cancel_behind_a_wait_is_dropped),
        TEST(test_asker_outlives_the_time_for_logins),
        TEST(test_failed_cancel_costs_the_server),
        TEST(test_cancel_in_a_transaction),
        TEST(test_client_leaves_with_a_cancel_under_way),
        TEST(test_server_dies_while_being_cancelled),
        TEST(test_idle_client),
        TEST(test_unknown_key),
        TEST(test_long_key),
        TEST(test_request_goes_from_worker_to_worker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
