/*
 * test_unnamed.c - the unnamed statement in transaction mode, message by message: it goes with its
 * client, and nobody meets another's.
 */
#include "dialogue.h"

#include <stdlib.h>

#include "buf.h"
#include "cleanup.h"
#include "pg.h"

#define NO_UNNAMED "unnamed prepared statement does not exist"

/* The client parses in a transaction of its own. */
static void
parse(struct peer *client, struct peer *server, const char *text)
{
    send_parse(client, "", text);
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "PS");
    answer_sync(client, server, "1", "1");
}

static void
use(struct peer *client)
{
    send_bind(client, "");
    peer_send(client, 'E', "");
    peer_send(client, 'S', NULL);
}

/* The server is not asked for what it may have of others. */
static void
expect_none(struct peer *client, struct peer *server)
{
    use(client);
    peer_expect(server, 'C', "S");
    peer_expect_types(server, "BES");
    peer_send(server, '3', NULL);
    peer_send_error(server, "ERROR", "26000", NO_UNNAMED);
    peer_send_ready(server, 'I');
    peer_expect_error(client, "ERROR", "26000", NO_UNNAMED);
    peer_expect_ready(client, 'I');
}

/* It is to be made by a name, and used. */
static void
expect_asked(struct peer *client, struct peer *server)
{
    char name[NAME_SIZE], again[NAME_SIZE];

    use(client);
    read_name(server, 'P', 0, name);
    read_name(server, 'B', 1, again);
    assert_string_equal(again, name);
    peer_expect_types(server, "ES");
}

static void
expect_made(struct peer *client, struct peer *server)
{
    expect_asked(client, server);
    finish(client, server, "12");
}

static void
test_it_comes_along(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    fixture_begin(f, "default_pool_size = 1\n", &client, &server);
    other = fixture_login(f, "db", "alice");
    parse(client, server, "select 1");
    parse(other, server, "select 2");
    expect_made(client, server);
    expect_made(other, server);
}

static void
test_nobody_meets_anothers(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;

    fixture_begin(f, "default_pool_size = 1\n", &client, &server);
    other = fixture_login(f, "db", "alice");
    parse(client, server, "select 1");
    expect_none(other, server);
    send_describe(other, "");
    peer_send(other, 'S', NULL);
    peer_expect_types(server, "CDS");
}

/* A Parse that the server passes over leaves what it had of others. */
static void
test_parse_that_is_passed_over(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    send_parse(client, "x", "bad");
    send_parse(client, "", "select 1");
    peer_send(client, 'S', NULL);
    use(client);
    peer_expect_types(server, "PPS");
    peer_expect_silence(server); /* what follows depends on the answer */
    refuse_text(client, server);
    peer_expect(server, 'C', "S");
    peer_expect_types(server, "BES");
}

/* The same, where there was one before. */
static void
test_passed_over_is_as_before(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    parse(client, server, "select 1");
    send_parse(client, "x", "bad");
    send_parse(client, "", "select 2");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "PPS");
    refuse_text(client, server);
    use(client);
    read_name(server, 'P', 0, name);
    peer_expect_types(server, "BES");
}

static void
test_failed_parse_leaves_none(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    parse(client, server, "select 1");
    send_parse(client, "", "bad");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "PS");
    refuse_text(client, server);
    expect_none(client, server);
}

static void
test_query_ends_it(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    parse(client, server, "select 1");
    peer_ask(client, server, "select 2");
    peer_answer(server, client, "SELECT 1", 'I');
    expect_none(client, server);
}

/* One that the server passes over does not. */
static void
test_query_that_is_passed_over(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    parse(client, server, "select 1");
    send_parse(client, "x", "bad");
    peer_send(client, 'Q', "select 2");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'P', STATEMENT_PREFIX);
    peer_expect(server, 'C', "S");
    peer_expect_types(server, "QS");
    refuse_text(client, server);
    expect_made(client, server);
}

static void
test_close_ends_it(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    parse(client, server, "select 1");
    send_close(client, "");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "CS");
    answer_sync(client, server, "3", "3");
    expect_none(client, server);
}

/* PREPARE, say: it was put into words for that server. */
static void
test_command_stays(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    send_parse(client, "", "PREPARE x AS select 1");
    peer_send(client, 'S', NULL);
    use(client);
    peer_expect_types(server, "PS");
    peer_send(server, '1', NULL);
    peer_send_ready(server, 'T');
    peer_expect_types(client, "1Z");
    peer_expect_types(server, "BES"); /* here it is good */
    peer_send(server, '2', NULL);
    peer_send_complete(server, "PREPARE", 'I');
    peer_expect_types(client, "2CZ");
    expect_none(client, server);
}

static void
test_long_text_stays(void **state)
{
    const size_t len = 150 * 1000;
    char *const text = malloc(len + 1);
    struct fixture *f = *state;
    struct peer *client, *server;

    assert_non_null(text);
    memset(text, 't', len);
    text[len] = '\0';
    fixture_begin(f, "", &client, &server);
    parse(client, server, text);
    expect_none(client, server);
    free(text);
}

/* What was described on one server looks so on the next, or is not shown. */
static void
test_rows_are_as_described(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    send_parse(client, "", "select 1");
    send_describe(client, "");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "PDS");
    peer_send(server, '1', NULL);
    peer_send_body(server, 't', "\0\0", 2);
    peer_send_body(server, 'T', "\0\1a\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0", 22);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1tTZ");
    use(client);
    peer_expect(server, 'P', STATEMENT_PREFIX);
    peer_expect_types(server, "DH"); /* first it is asked */
    peer_expect_silence(server);
    peer_send(server, '1', NULL);
    peer_send_body(server, 't', "\0\0", 2);
    peer_send_body(server, 'T', "\0\1a\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0", 22);
    peer_expect_types(server, "BES");
    finish(client, server, "2");
}

/* As any query does. What the client has goes on. */
static void
test_fence_ends_the_servers(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    send_parse(client, "", "select 1");
    peer_send(client, 'E', "");
    peer_expect_types(server, "PE");
    peer_send(server, '1', NULL);
    peer_send(server, 'G', "");
    peer_expect_types(client, "1G");
    for (const char *types = "dSdcS"; *types != '\0'; types++)
        peer_send(client, *types, *types == 'd' ? "data" : NULL);
    peer_expect_types(server, "dSdcS");
    peer_send_error(server, "ERROR", "22P04", "bad data");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZ");
    peer_expect_types(server, "Q");
    expect_asked(client, server);
    peer_send(server, 'I', NULL);
    peer_send_ready(server, 'I');
    finish(client, server, "12");
}

/* ---- prepare_unnamed --------------------------------------------------------------------------
 */

static void
ask(struct peer *client, const char *text)
{
    send_parse(client, "", text);
    use(client);
}

static void
answer(struct peer *client, struct peer *server, char parsed)
{
    peer_send(server, parsed, NULL);
    peer_send(server, '2', NULL);
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "12C");
    peer_expect_ready(client, 'I');
}

/* Parsed once, then once to be kept; then not any more. */
static void
test_familiar_text_is_not_parsed(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE], again[NAME_SIZE];

    fixture_begin(f, "default_pool_size = 1\nprepare_unnamed = 1\n", &client, &server);
    other = fixture_login(f, "db", "alice");
    ask(client, "select 1");
    peer_expect(server, 'P', "");
    peer_expect_types(server, "BES");
    answer(client, server, '1');
    ask(other, "select 1");
    read_name(server, 'P', 0, name);
    read_name(server, 'B', 1, again);
    assert_string_equal(again, name);
    peer_expect_types(server, "ES");
    answer(other, server, '1');
    for (int i = 0; i < 3; i++) {
        ask(client, "select 1");
        peer_expect_types(server, "C");
        read_name(server, 'B', 1, again);
        assert_string_equal(again, name);
        peer_expect_types(server, "ES");
        answer(client, server, '3');
    }
}

/* In a transaction it could be out of date, which could not be healed. */
static void
test_in_a_transaction_it_is_parsed(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "prepare_unnamed = 1\n", &client, &server);
    for (int i = 0; i < 2; i++) {
        ask(client, "select 1");
        peer_expect_types(server, "PBES");
        answer(client, server, '1');
    }
    peer_begin(client, server);
    ask(client, "select 1");
    peer_expect(server, 'P', "");
    peer_expect_types(server, "BES");
}

/* PostgreSQL alone would have parsed it, and said nothing of this. */
static void
test_out_of_date_is_made_anew(void **state)
{
    static const char out_of_date[] = "SERROR\0VERROR\0C0A000\0"
                                      "Mcached plan must not change result type\0"
                                      "RRevalidateCachedQuery\0";
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "prepare_unnamed = 1\n", &client, &server);
    for (int i = 0; i < 2; i++) {
        ask(client, "select 1");
        peer_expect_types(server, "PBES");
        answer(client, server, '1');
    }
    ask(client, "select 1");
    peer_expect_types(server, "CBES");
    peer_send(server, '3', NULL);
    peer_send_body(server, 'E', out_of_date, sizeof out_of_date);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1");
    peer_expect_types(server, "CPBES");
    peer_send_types(server, "31");
    finish(client, server, "2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_it_comes_along),
        TEST(test_nobody_meets_anothers),
        TEST(test_parse_that_is_passed_over),
        TEST(test_passed_over_is_as_before),
        TEST(test_failed_parse_leaves_none),
        TEST(test_query_ends_it),
        TEST(test_query_that_is_passed_over),
        TEST(test_close_ends_it),
        TEST(test_command_stays),
        TEST(test_long_text_stays),
        TEST(test_rows_are_as_described),
        TEST(test_fence_ends_the_servers),
        TEST(test_familiar_text_is_not_parsed),
        TEST(test_in_a_transaction_it_is_parsed),
        TEST(test_out_of_date_is_made_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
