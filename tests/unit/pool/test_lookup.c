/*
 * test_lookup.c - auth_query: a question for each user, a server for each question, an answer for
 * each who asks.
 */
#include "question.h"

#include <stdio.h>

#include "build.h"
#include "engine_int.h"
#include "pg.h"
#include "pool.h"
#include "snapshot.h"

/* --- one question --------------------------------------------------------------------------------
 */

static void
test_found(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    fixture_start(f, ASKING);
    ask(f, &question, "db", "dave");
    expect_no_answer(f, &question);
    assert_string_equal(fake_connector_target(f->connector)->user, "bob");
    assert_string_equal(fake_connector_target(f->connector)->dbname, "db");
    server = fixture_serve(f);
    expect_query(server, "dave");
    answer_query(server, "dave", "SCRAM-SHA-256$4096:x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "SCRAM-SHA-256$4096:x");
}

static void
test_other_answers(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    server = start_and_ask(f, ASKING, &question);
    answer_query(server, NULL, NULL);
    expect_answer(f, &question, AUTH_LOOKUP_UNKNOWN, NULL);
    /* The same server serves the next. */
    ask(f, &question, "db", "erin");
    expect_query(server, "erin");
    answer_query(server, "erin", NULL);
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "");
    assert_int_equal(fake_connector_counts(f->connector).connects, 1);
}

static void
test_answer_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_done) struct buf buf = BUF_INIT;
    struct question question;
    struct peer *server;

    server = start_and_ask(f, ASKING, &question);
    send_columns(server, 2);
    assert_int_equal(msg_data_row(&buf, (const char *const[]){"dave", "secret"}, 2), 0);
    assert_int_equal(msg_command_complete(&buf, "SELECT 1"), 0);
    assert_int_equal(msg_ready(&buf, READY_IDLE), 0);
    for (size_t i = 0; i < buf.len; i++) {
        expect_no_answer(f, &question);
        peer_send_bytes(server, buf.data + i, 1);
    }
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "secret");
}

static void
test_error_response(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    server = start_and_ask(f, ASKING, &question);
    peer_send_error(server, "ERROR", "42P01", "relation \"users\" does not exist");
    peer_send_ready(server, READY_IDLE);
    expect_answer(f, &question, AUTH_LOOKUP_FAILED, NULL);
    /* Nothing is wrong with the server. */
    ask(f, &question, "db", "dave");
    expect_query(server, "dave");
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
}

static void
test_broken_answers(void **state)
{
    static const struct {
        size_t columns;
        const char *rows[2];
    } broken[] = {
        {0, {NULL}}, {1, {NULL}}, {3, {"dave"}}, {2, {"mallory"}}, {2, {"dave", "dave"}},
    };
    struct fixture *f = *state;
    struct peer *server = NULL;

    fixture_start(f, ASKING);
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        struct question question;

        ask(f, &question, "db", "dave");
        if (server == NULL)
            server = fixture_serve(f);
        expect_query(server, "dave");
        send_columns(server, broken[i].columns);
        for (size_t row = 0; row < 2 && broken[i].rows[row] != NULL; row++)
            send_row(server, broken[i].rows[row], "secret");
        peer_send_complete(server, "SELECT", 'I');
        expect_answer(f, &question, AUTH_LOOKUP_FAILED, NULL);
    }
}

/* A row whose lengths lead out of it. */
static void
test_lying_row(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    server = start_and_ask(f, ASKING, &question);
    send_columns(server, 2);
    peer_send_body(server, 'D', "\0\2\0\0\0\4dave\0\0\0\11secret", 20);
    peer_send_complete(server, "SELECT 1", 'I');
    expect_answer(f, &question, AUTH_LOOKUP_FAILED, NULL);
}

/* What the query has left behind does not stay. */
static void
test_transaction_is_rolled_back(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    server = start_and_ask(f, ASKING, &question);
    send_columns(server, 2);
    send_row(server, "dave", "x");
    peer_send_complete(server, "SELECT 1", 'T');
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
    peer_expect(server, 'Q', "ROLLBACK");
    peer_send_complete(server, "ROLLBACK", 'I');
    ask(f, &question, "db", "erin");
    expect_query(server, "erin");
    answer_query(server, NULL, NULL);
    expect_answer(f, &question, AUTH_LOOKUP_UNKNOWN, NULL);
}

static void
test_session_mode_resets(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    server = start_and_ask(f, ASKING "pool_mode = session\n", &question);
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
    peer_expect(server, 'Q', "DISCARD ALL");
    peer_send_complete(server, "DISCARD ALL", 'I');
    peer_expect_silence(server);
}

/* --- where ---------------------------------------------------------------------------------------
 */

static void
test_auth_dbname(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    fixture_start(f, ASKING "auth_dbname = two\n");
    ask(f, &question, "db", "dave");
    assert_string_equal(fake_connector_target(f->connector)->dbname, "two");
    server = fixture_serve(f);
    expect_query(server, "dave");
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
    /* That a database does not exist is not told before the password. */
    ask(f, &question, "nowhere", "dave");
    expect_query(server, "dave");
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
    ask(f, &question, "pgbouncer", "dave");
    expect_query(server, "dave");
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
}

static void
test_entry_overrides(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    fixture_start(f, ASKING "[databases]\nspecial = host=10.0.0.9 auth_user=carol "
                            "auth_query='SELECT 1, 2' auth_dbname=two\n");
    ask(f, &question, "special", "dave");
    assert_string_equal(fake_connector_target(f->connector)->user, "carol");
    assert_string_equal(fake_connector_target(f->connector)->dbname, "two");
    server = fixture_serve(f);
    peer_expect(server, 'P', "SELECT 1, 2");
    peer_expect_types(server, "BDES");
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
}

static void
test_nowhere_to_ask(void **state)
{
    struct fixture *f = *state;
    struct question question;

    fixture_start(f, ASKING "[databases]\nlost = host=10.0.0.9 auth_dbname=nowhere\n");
    ask(f, &question, "nowhere", "dave");
    expect_answer(f, &question, AUTH_LOOKUP_UNKNOWN, NULL);
    ask(f, &question, "pgbouncer", "dave");
    expect_answer(f, &question, AUTH_LOOKUP_UNKNOWN, NULL);
    ask(f, &question, "lost", "dave");
    expect_answer(f, &question, AUTH_LOOKUP_FAILED, NULL);
    assert_int_equal(fake_connector_counts(f->connector).connects, 0);
}

/* --- many ----------------------------------------------------------------------------------------
 */

#define MANY 20

static void
test_one_query_for_many(void **state)
{
    struct fixture *f = *state;
    struct question questions[MANY], other;
    struct peer *server;

    fixture_start(f, ASKING "default_pool_size = 1\n");
    for (size_t i = 0; i < MANY / 2; i++)
        ask(f, &questions[i], "db", "dave");
    server = fixture_serve(f);
    expect_query(server, "dave");
    for (size_t i = MANY / 2; i < MANY; i++)
        ask(f, &questions[i], "db", "dave");
    ask(f, &other, "db", "erin");
    answer_query(server, "dave", "x");
    for (size_t i = 0; i < MANY; i++)
        expect_answer(f, &questions[i], AUTH_LOOKUP_FOUND, "x");
    expect_query(server, "erin");
    answer_query(server, "erin", "y");
    expect_answer(f, &other, AUTH_LOOKUP_FOUND, "y");
    /* Nothing is kept unless the file says so. */
    ask(f, &other, "db", "dave");
    expect_query(server, "dave");
    answer_query(server, NULL, NULL);
    expect_answer(f, &other, AUTH_LOOKUP_UNKNOWN, NULL);
}

static void
test_answers_are_kept(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    server = start_and_ask(f, ASKING "auth_query_cache = 10\n", &question);
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
    fixture_advance(f, 10 * SEC - 1);
    ask(f, &question, "db", "dave");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
    fixture_advance(f, 1);
    ask(f, &question, "db", "dave");
    expect_query(server, "dave");
    answer_query(server, "dave", "new");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "new");
    peer_expect_silence(server);
}

/* Else the time that it takes would tell who exists. */
static void
test_unknown_users_are_kept(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    server = start_and_ask(f, ASKING "auth_query_cache = 10\n", &question);
    answer_query(server, NULL, NULL);
    expect_answer(f, &question, AUTH_LOOKUP_UNKNOWN, NULL);
    ask(f, &question, "db", "dave");
    expect_answer(f, &question, AUTH_LOOKUP_UNKNOWN, NULL);
    fixture_advance(f, 10 * SEC);
    ask(f, &question, "db", "dave");
    expect_query(server, "dave");
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
}

static void
test_not_too_many_are_kept(void **state)
{
    struct fixture *f = *state;
    struct peer *server = NULL;
    struct question question;

    fixture_start(f, ASKING "auth_query_cache = 1h\n");
    for (unsigned i = 0; i < 5000; i++) {
        char user[16];

        (void)snprintf(user, sizeof(user), "u%u", i);
        ask(f, &question, "db", user);
        if (server == NULL)
            server = fixture_serve(f);
        (void)peer_fill(server);
        buf_clear(&server->input);
        answer_query(server, NULL, NULL);
        expect_answer(f, &question, AUTH_LOOKUP_UNKNOWN, NULL);
    }
    assert_int_equal(fixture_shard(f, "db", "bob")->lookups.known_count, 4096);
    ask(f, &question, "db", "u4999");
    expect_answer(f, &question, AUTH_LOOKUP_UNKNOWN, NULL);
}

static void
test_what_is_not_kept(void **state)
{
    struct fixture *f = *state;
    struct question question;
    struct peer *server;

    server = start_and_ask(f, ASKING "auth_query_cache = 10\n", &question);
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
    /* A failure tells nothing. */
    ask(f, &question, "db", "frank");
    expect_query(server, "frank");
    peer_send_error(server, "ERROR", "57014", "canceling statement");
    peer_send_ready(server, READY_IDLE);
    expect_answer(f, &question, AUTH_LOOKUP_FAILED, NULL);
    ask(f, &question, "db", "frank");
    expect_query(server, "frank");
    answer_query(server, NULL, NULL);
    expect_answer(f, &question, AUTH_LOOKUP_UNKNOWN, NULL);
    /* A reload forgets, also what is only just being asked. */
    ask(f, &question, "db", "erin");
    expect_query(server, "erin");
    fixture_reload(f, ASKING "auth_query_cache = 10\n");
    answer_query(server, "erin", "y");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "y");
    ask(f, &question, "db", "erin");
    expect_query(server, "erin");
    answer_query(server, "erin", "y");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "y");
    ask(f, &question, "db", "dave");
    expect_query(server, "dave");
    answer_query(server, "dave", "x");
    expect_answer(f, &question, AUTH_LOOKUP_FOUND, "x");
}

/* --- what the console sees -----------------------------------------------------------------------
 */

struct looking {
    struct snapshot_request request;
    struct snapshot *snapshot;
};

static void
seen(struct snapshot_request *request, struct snapshot *snapshot)
{
    container_of(request, struct looking, request)->snapshot = snapshot;
}

static void
test_snapshot(void **state)
{
    struct fixture *f = *state;
    struct looking looking = {.request = {.done = seen, .what = SNAPSHOT_POOLS | SNAPSHOT_TASKS}};
    struct question asking, waiting;
    struct peer *server;

    fixture_start(f, ASKING "default_pool_size = 1\n");
    ask(f, &asking, "db", "dave");
    server = fixture_serve(f);
    expect_query(server, "dave");
    ask(f, &waiting, "db", "erin");
    engine_snapshot(f->engine, &looking.request);
    fixture_settle(f);
    assert_non_null(looking.snapshot);
    assert_int_equal(looking.snapshot->pool_count, 1);
    assert_string_equal(looking.snapshot->pools[0].user, "bob");
    assert_int_equal(looking.snapshot->pools[0].sv_active, 1);
    assert_int_equal(looking.snapshot->pools[0].sv_tested, 0);
    assert_int_equal(looking.snapshot->pools[0].cl_waiting, 1);
    assert_int_equal(looking.snapshot->task_count, 2);
    assert_string_equal(looking.snapshot->tasks[0].name, "auth_query");
    assert_string_equal(looking.snapshot->tasks[0].owner, "db/bob: dave");
    snapshot_free(looking.snapshot);
    answer_query(server, NULL, NULL);
    expect_answer(f, &asking, AUTH_LOOKUP_UNKNOWN, NULL);
    expect_query(server, "erin");
    answer_query(server, NULL, NULL);
    expect_answer(f, &waiting, AUTH_LOOKUP_UNKNOWN, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_found),
        TEST(test_other_answers),
        TEST(test_answer_byte_by_byte),
        TEST(test_error_response),
        TEST(test_broken_answers),
        TEST(test_lying_row),
        TEST(test_transaction_is_rolled_back),
        TEST(test_session_mode_resets),
        TEST(test_auth_dbname),
        TEST(test_entry_overrides),
        TEST(test_nowhere_to_ask),
        TEST(test_one_query_for_many),
        TEST(test_answers_are_kept),
        TEST(test_unknown_users_are_kept),
        TEST(test_not_too_many_are_kept),
        TEST(test_what_is_not_kept),
        TEST(test_snapshot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
