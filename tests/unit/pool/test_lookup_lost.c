/*
 * test_lookup_lost.c - auth_query without a server: none is to be had, or it goes in the middle.
 */
#include "question.h"

#include <stdio.h>

#include "engine_int.h"
#include "pool.h"

static void
test_server_is_lost(void **state)
{
    struct fixture *f = *state;
    struct question questions[2];
    struct peer *server;

    fixture_start(f, ASKING);
    ask(f, &questions[0], "db", "dave");
    ask(f, &questions[1], "db", "dave");
    server = fixture_serve(f);
    expect_query(server, "dave");
    send_columns(server, 2);
    send_row(server, "dave", "x");
    peer_close(server);
    expect_answer(f, &questions[0], AUTH_LOOKUP_FAILED, NULL);
    expect_answer(f, &questions[1], AUTH_LOOKUP_FAILED, NULL);
}

static void
test_server_lets_nobody_in(void **state)
{
    struct fixture *f = *state;
    struct question question;

    fixture_start(f, ASKING);
    ask(f, &question, "db", "dave");
    fixture_refuse(f, "28P01", "password authentication failed for user \"bob\"", true, false);
    expect_answer(f, &question, AUTH_LOOKUP_FAILED, NULL);
}

static void
test_server_is_out_of_reach(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    fixture_start(f, ASKING "client_login_timeout = 5\n");
    ask(f, &question, "db", "dave");
    fixture_refuse(f, "08006", "connection refused", false, true);
    expect_no_answer(f, &question);
    fixture_advance(f, 5 * SEC - 1);
    expect_no_answer(f, &question);
    fixture_advance(f, 1);
    expect_answer(f, &question, AUTH_LOOKUP_FAILED, NULL);
    /* The next has as much time. */
    ask(f, &question, "db", "dave");
    server = fixture_serve(f);
    expect_query(server, "dave");
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
}

static void
test_slow_query(void **state)
{
    struct fixture *f = *state;
    struct question questions[2];
    struct peer *server;

    fixture_start(f, ASKING "client_login_timeout = 5\n");
    ask(f, &questions[0], "db", "dave");
    server = fixture_serve(f);
    expect_query(server, "dave");
    fixture_advance(f, 3 * SEC);
    ask(f, &questions[1], "db", "dave");
    fixture_advance(f, 5 * SEC - 1);
    expect_no_answer(f, &questions[1]);
    fixture_advance(f, 1);
    expect_answer(f, &questions[0], AUTH_LOOKUP_FAILED, NULL);
    expect_answer(f, &questions[1], AUTH_LOOKUP_FAILED, NULL);
    peer_expect_end(server);
}

static void
test_in_the_queue(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *client, *late, *server;

    fixture_start(f, ASKING "default_pool_size = 1\nquery_wait_timeout = 10\n");
    client = fixture_knock(f, "db", "bob");
    server = fixture_serve(f);
    peer_expect_login(client);
    late = fixture_login(f, "db", "bob");
    peer_begin(client, server);
    ask(f, &question, "db", "dave");
    peer_send(late, 'Q', "select 1");
    expect_no_answer(f, &question);
    assert_int_equal(fixture_shard(f, "db", "bob")->lookups.waiting, 1);
    /* First come, first served. */
    peer_ask(client, server, "commit");
    peer_send_complete(server, "COMMIT", 'I');
    expect_query(server, "dave");
    assert_int_equal(fixture_shard(f, "db", "bob")->lookups.waiting, 0);
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
    peer_expect(server, 'Q', "select 1");
    /* Nobody waits for longer than query_wait_timeout. */
    ask(f, &question, "db", "dave");
    fixture_advance(f, 10 * SEC - 1);
    expect_no_answer(f, &question);
    fixture_advance(f, 1);
    expect_answer(f, &question, AUTH_LOOKUP_FAILED, NULL);
    peer_answer(server, late, "SELECT 1", 'I');
}

static void
drained(struct engine_drain *drain)
{
    (void)drain;
}

static void
test_paused(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct engine_drain drain = {.done = drained};
    struct peer *server;

    fixture_start(f, ASKING);
    assert_int_equal(engine_pause(f->engine, "db", &drain), ENGINE_OK);
    ask(f, &question, "db", "dave");
    fixture_advance(f, 30 * SEC);
    expect_no_answer(f, &question);
    assert_int_equal(engine_resume(f->engine, "db"), ENGINE_OK);
    server = fixture_serve(f);
    expect_query(server, "dave");
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
}

static void
test_database_removed(void **state)
{
    struct fixture *f = *state;
    struct question waiting, asking;
    struct peer *server;

    fixture_start(f, ASKING "default_pool_size = 1\n[databases]\nx = host=10.0.0.9\n");
    ask(f, &asking, "x", "dave");
    server = fixture_serve(f);
    expect_query(server, "dave");
    ask(f, &waiting, "x", "erin");
    fixture_reload(f, ASKING "default_pool_size = 1\n");
    expect_answer(f, &asking, AUTH_LOOKUP_FAILED, NULL);
    expect_answer(f, &waiting, AUTH_LOOKUP_FAILED, NULL);
    peer_expect_end(server);
}

static void
test_stop(void **state)
{
    struct fixture *f = *state;
    struct question waiting, asking, kept;
    struct peer *server;

    fixture_start(f, ASKING "default_pool_size = 1\nauth_query_cache = 60\n");
    ask(f, &kept, "db", "alice");
    server = fixture_serve(f);
    expect_query(server, "alice");
    answer_query(server, "alice", "x");
    expect_answer(f, &kept, AUTH_LOOKUP_FOUND, "x");
    ask(f, &asking, "db", "dave");
    expect_query(server, "dave");
    ask(f, &waiting, "db", "erin");
    fixture_stop(f);
    assert_int_equal(asking.answers, 1);
    assert_int_equal(asking.lookup.answer, AUTH_LOOKUP_FAILED);
    assert_int_equal(waiting.answers, 1);
    assert_int_equal(waiting.lookup.answer, AUTH_LOOKUP_FAILED);
    ask_done(&asking);
    ask_done(&waiting);
}

static void
test_shutdown(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    server = start_and_ask(f, ASKING, &question);
    engine_shutdown(f->engine, ENGINE_WAIT_FOR_SERVERS, NULL, NULL);
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
    peer_expect(server, 'X', NULL);
    ask(f, &question, "db", "dave");
    expect_answer(f, &question, AUTH_LOOKUP_FAILED, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_server_is_lost),
        TEST(test_server_lets_nobody_in),
        TEST(test_server_is_out_of_reach),
        TEST(test_slow_query),
        TEST(test_in_the_queue),
        TEST(test_paused),
        TEST(test_database_removed),
        TEST(test_stop),
        TEST(test_shutdown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
