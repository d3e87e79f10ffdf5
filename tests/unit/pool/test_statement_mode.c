/*
 * test_statement_mode.c - a server for one statement: what is no more than that passes, and a
 * transaction block is refused in the place of the ReadyForQuery that shows it.
 */
#include "fixture.h"

#include "pg.h"

static const char mode[] = "pool_mode = statement\ndefault_pool_size = 1\n";
static const char refusal[] = "transaction blocks not allowed in statement pooling mode";

/* Two empty strings and three empty lists: a Parse, a Bind of nothing, and so on. */
static void
send_extended(struct peer *client, const char *types)
{
    static const char nothing[8];

    for (const char *type = types; *type != '\0'; type++) {
        if (*type == 'S')
            peer_send(client, *type, NULL);
        else
            peer_send_body(client, *type, nothing, *type == 'P' ? 4 : *type == 'E' ? 5 : 8);
    }
}

static void
expect_refused(struct peer *client)
{
    peer_expect_error(client, "FATAL", "0A000", refusal);
    peer_expect_end(client);
}

/* Nobody learns what became of a transaction that was left behind: it ends with its server. */
static void
test_begin(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    fixture_begin(f, mode, &client, &server);
    other = fixture_login(f, "db", "alice");
    peer_ask(client, server, "begin");
    peer_send(other, 'Q', "select 1");
    peer_send_complete(server, "BEGIN", 'T');
    peer_expect_types(client, "C");
    expect_refused(client);
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 1");
    peer_answer(server, other, "SELECT 1", 'I');
}

/* A block that begins and fails in one Query is none the less one. */
static void
test_a_failed_block(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, mode, &client, &server);
    peer_send(client, 'Q', "begin; select 1/0");
    peer_expect(server, 'Q', "begin");
    peer_send(server, 'C', "BEGIN");
    peer_send_error(server, "ERROR", "22012", "division by zero");
    peer_send_ready(server, 'E');
    peer_expect_types(client, "CE");
    expect_refused(client);
    peer_expect(server, 'X', NULL);
}

/* One that begins and ends in one Query is not seen; PgBouncer does not see it either. */
static void
test_a_block_in_one_query(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, mode, &client, &server);
    peer_send(client, 'Q', "begin; select 1; commit");
    peer_expect(server, 'Q', "begin");
    peer_send(server, 'C', "BEGIN");
    peer_send(server, 'C', "SELECT 1");
    peer_send_complete(server, "COMMIT", 'I');
    peer_expect_types(client, "CCCZ");
    assert_int_equal(fixture_idle_count(f), 1);
}

/* All up to the Sync is one transaction that needs no block. */
static void
test_a_pipeline(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, mode, &client, &server);
    send_extended(client, "PBEPBES");
    peer_expect_types(server, "PBEPBES");
    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    peer_send(server, 'C', "INSERT 0 1");
    peer_expect_types(client, "12C");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    peer_send_complete(server, "INSERT 0 1", 'I');
    peer_expect_types(client, "12CZ");
    assert_int_equal(fixture_idle_count(f), 1);
}

static void
test_begin_in_a_pipeline(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, mode, &client, &server);
    send_extended(client, "PBES");
    peer_expect_types(server, "PBES");
    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    peer_send_complete(server, "BEGIN", 'T');
    peer_expect_types(client, "12C");
    expect_refused(client);
}

/* What was sent behind the BEGIN may run, and is told to nobody: it is cancelled. */
static void
test_more_behind_the_begin(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, mode, &client, &server);
    peer_send(client, 'Q', "begin");
    peer_send(client, 'Q', "insert");
    peer_expect(server, 'Q', "begin");
    peer_expect(server, 'Q', "insert");
    peer_send(server, 'C', "BEGIN");
    peer_send_ready(server, 'T');
    peer_send_complete(server, "INSERT 0 1", 'T');
    peer_expect_types(client, "C");
    expect_refused(client);
    peer_expect_end(server);
    assert_int_equal(fake_connector_counts(f->connector).impolite, 1);
}

/* Other pools have other modes; the user's word counts first. */
static void
test_by_user(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "[users]\nbob = pool_mode=statement\n");
    client = fixture_knock(f, "db", "bob");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_ask(client, server, "begin");
    peer_send_complete(server, "BEGIN", 'T');
    peer_expect_types(client, "C");
    expect_refused(client);
    client = fixture_knock(f, "db", "alice");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_begin(client, server);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_begin),      TEST(test_a_failed_block),      TEST(test_a_block_in_one_query),
        TEST(test_a_pipeline), TEST(test_begin_in_a_pipeline), TEST(test_more_behind_the_begin),
        TEST(test_by_user),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
