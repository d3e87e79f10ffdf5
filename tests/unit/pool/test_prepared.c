/*
 * test_prepared.c - named prepared statements, message by message: what a server is sent, and what
 * the client sees.
 */
#include "dialogue.h"

#include <stdlib.h>

#include "buf.h"
#include "client.h"
#include "engine_int.h"
#include "pg.h"
#include "pool.h"
#include "prepared.h"
#include "server.h"
#include "statement.h"

/* --- what is sent -------------------------------------------------------------------------------
 */

static void
test_name_is_the_servers(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE], again[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", name);
    send_bind(client, "s1");
    peer_send(client, 'E', "");
    peer_send(client, 'S', NULL);
    read_name(server, 'B', 1, again);
    assert_string_equal(again, name);
    peer_expect_types(server, "ES");
    finish(client, server, "2");
    send_describe(client, "s1");
    peer_send(client, 'S', NULL);
    read_name(server, 'D', 1, again);
    assert_string_equal(again, name);
}

static void
test_another_client_does_not_parse_again(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE], again[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", name);
    other = fixture_login(f, "db", "alice");
    send_parse(other, "q7", "select 1");
    send_bind(other, "q7");
    peer_send(other, 'E', "");
    peer_send(other, 'S', NULL);
    peer_expect(server, 'C', "Spgweir_");
    read_name(server, 'B', 1, again);
    assert_string_equal(again, name);
    peer_expect_types(server, "ES");
    peer_send_types(server, "32");
    peer_expect_types(other, "12");
    peer_answer(server, other, "SELECT 1", 'I');
}

static void
test_server_that_lacks_it_gets_it_first(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other, *second;
    char name[NAME_SIZE], again[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", name);
    other = fixture_login(f, "db", "alice");
    peer_ask(other, server, "begin");
    send_bind(client, "s1");
    peer_send(client, 'E', "");
    peer_send(client, 'S', NULL);
    second = fixture_serve(f);
    read_name(second, 'P', 0, again);
    assert_string_equal(again, name);
    read_name(second, 'B', 1, again);
    assert_string_equal(again, name);
    peer_expect_types(second, "ES");
    peer_send(second, '1', NULL);
    peer_expect_silence(client);
    peer_send(second, '2', NULL);
    peer_expect(client, '2', NULL);
    peer_answer(second, client, "SELECT 1", 'I');
}

static void
test_prepared_ahead_in_vain(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE], again[NAME_SIZE];

    fixture_begin(f, "max_prepared_statements = 1\n", &client, &server);
    prepare(client, server, "s1", "select a from t", name);
    send_parse(client, "s2", "select 2");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PS");
    answer_sync(client, server, "31", "1");
    /* The table has gone meanwhile: the error is in the place of the Bind's. */
    send_bind(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'C', "pgweir_");
    read_name(server, 'P', 0, again);
    assert_string_equal(again, name);
    peer_expect_types(server, "BS");
    peer_send(server, '3', NULL);
    peer_send_error(server, "ERROR", "42P01", "no such table");
    peer_send_ready(server, 'I');
    peer_expect_error(client, "ERROR", "42P01", "no such table");
    peer_expect_ready(client, 'I');
    /* And the name is still known: it is tried again. */
    send_bind(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "PBS");
    finish(client, server, "12");
}

/* --- names -------------------------------------------------------------------------------------
 */

static void
test_name_in_use(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE], other[NAME_SIZE], error[100];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", name);
    send_parse(client, "s1", "select 2");
    peer_send(client, 'S', NULL);
    read_name(server, 'P', 0, other);
    peer_expect(server, 'P', other);
    peer_expect(server, 'S', NULL);
    peer_send(server, '1', NULL);
    peer_expect_silence(client);
    (void)snprintf(error, sizeof(error), "prepared statement \"%s\" already exists", other);
    peer_send_error(server, "ERROR", "42P05", error);
    peer_send_ready(server, 'I');
    peer_expect_error(client, "ERROR", "42P05", "prepared statement \"s1\" already exists");
    peer_expect_ready(client, 'I');
    send_bind(client, "s1");
    peer_expect(server, 'B', name);
}

static void
test_unknown_name_is_the_servers_to_refuse(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    send_bind(client, "s1");
    send_describe(client, "s1");
    send_close(client, "s1");
    peer_send(client, 'S', NULL);
    refuse_nowhere(server, 'B');
    peer_expect_types(server, "DCS");
    peer_send_ready(server, 'I');
    peer_expect_error(client, "ERROR", "26000", "prepared statement \"s1\" does not exist");
    peer_expect_ready(client, 'I');
}

/* Nobody gets at another's statement by its name on the server. */
static void
test_name_of_ours_is_not_passed_on(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", name);
    other = fixture_login(f, "db", "alice");
    send_bind(other, name);
    refuse_nowhere(server, 'B');
    peer_send(other, 'S', NULL);
    peer_expect(server, 'S', NULL);
    peer_send_ready(server, 'I');
    peer_expect_error(other, "ERROR", "26000", name);
    peer_expect_ready(other, 'I');
    send_close(other, name);
    peer_expect(server, 'C', "Spgweir_");
}

static void
test_close_frees_the_name_only(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", name);
    send_close(client, "s1");
    send_bind(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'C', "Spgweir_");
    peer_send(server, '3', NULL);
    refuse_nowhere(server, 'B');
    peer_expect(server, 'S', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "3EZ");
    assert_int_equal(prepared_count(list_entry(fixture_shard(f, "db", "alice")->servers.next,
                                               struct server, link)
                                        ->prepared),
                     1);
}

static void
test_failed_parse_frees_its_name(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    send_parse(client, "s1", "selekt");
    send_close(client, "s2");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "PCS");
    refuse_text(client, server);
    prepare(client, server, "s1", "select 1", name);
}

/* Behind a Sync it is not certain what became of what came before: so it waits for the answer. */
static void
test_waits_where_it_cannot_know(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    send_parse(client, "s1", "selekt");
    peer_send(client, 'S', NULL);
    send_parse(client, "s1", "select 1");
    send_bind(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'P', "selekt");
    peer_expect(server, 'S', NULL);
    peer_expect_silence(server);
    refuse_text(client, server);
    peer_expect(server, 'P', "select 1");
    peer_expect_types(server, "BS");
    answer_sync(client, server, "12", "12");
}

static void
test_deallocate_all(void **state)
{
    static const char *const tags[] = {"DEALLOCATE ALL", "DISCARD ALL"};
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
        prepare(client, server, "s1", "select 1", name);
        peer_send(client, 'Q', tags[i]);
        peer_expect(server, 'Q', NULL);
        peer_send_complete(server, tags[i], 'I');
        peer_expect_types(client, "CZ");
        send_bind(client, "s1");
        peer_send(client, 'S', NULL);
        refuse_nowhere(server, 'B');
        peer_expect(server, 'S', NULL);
        peer_send_ready(server, 'I');
        peer_expect_types(client, "EZ");
    }
}

/* --- a server's statements ---------------------------------------------------------------------
 */

static void
test_least_used_is_closed(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE], two[NAME_SIZE];

    fixture_begin(f, "max_prepared_statements = 2\n", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    prepare(client, server, "s2", "select 2", two);
    send_bind(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "BS");
    finish(client, server, "2");
    send_parse(client, "s3", "select 3");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'C', two);
    peer_expect_types(server, "PS");
    answer_sync(client, server, "31", "1");
}

/* A Close that the server has passed over has closed nothing. */
static void
test_skipped_close_closes_nothing(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "max_prepared_statements = 1\n", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    send_message(client, 'B', "", "", "\0\0\0\0\0\0", 6);
    send_parse(client, "s2", "select 2");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "CBCPS"); /* the unnamed one of others goes first */
    peer_send(server, '3', NULL);
    peer_send_error(server, "ERROR", "26000", "unnamed prepared statement does not exist");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZ");
    send_bind(client, "s1");
    peer_expect(server, 'B', one);
}

static void
test_stale_statement_is_made_anew(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    send_bind(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "BS");
    refuse_stale(server);
    peer_expect_types(client, "EZ");
    send_bind(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'C', one);
    peer_expect(server, 'P', one);
    peer_expect(server, 'B', one);
    peer_expect(server, 'S', NULL);
    finish(client, server, "312");
    peer_expect_silence(client);
}

/* A server that has no statement forgets them all: so must the client. */
static void
test_discard_on_a_fresh_server(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other, *second;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", name);
    other = fixture_login(f, "db", "alice");
    peer_ask(other, server, "begin");
    peer_send(client, 'Q', "DISCARD ALL");
    second = fixture_serve(f);
    peer_expect(second, 'Q', "DISCARD ALL");
    peer_answer(second, client, "DISCARD ALL", 'I');
    send_parse(client, "s1", "select 1");
    peer_send(client, 'S', NULL);
    peer_expect_types(second, "PS");
    answer_sync(client, second, "1", "1");
}

/* After a SET in a transaction a text may mean what it does to nobody else. */
static void
test_statement_of_an_altered_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    peer_ask(client, server, "begin; set local datestyle = 'ISO, DMY'");
    peer_answer(server, client, "SET", 'T');
    send_parse(client, "s1", "select 1");
    peer_send(client, 'S', NULL);
    read_name(server, 'P', 0, one);
    peer_expect_types(server, "S");
    peer_send(server, '1', NULL);
    peer_send_ready(server, 'T');
    peer_expect_types(client, "1Z");
    peer_commit(client, server);
    /* Another client does not get that; and what it prepares there is everybody's again. */
    other = fixture_login(f, "db", "alice");
    for (unsigned turn = 0; turn < 2; turn++) {
        send_parse(other, turn == 0 ? "s1" : "s2", "select 1");
        peer_send(other, 'S', NULL);
        peer_expect(server, 'C', turn == 0 ? one : "Spgweir_");
        if (turn == 0)
            peer_expect(server, 'P', one);
        peer_expect_types(server, "S");
        peer_send(server, '3', NULL);
        if (turn == 0)
            peer_send(server, '1', NULL);
        peer_send_ready(server, 'I');
        peer_expect_types(other, "1Z");
    }
}

/* The end of what came before the SET is not the end of that. */
static void
test_statement_behind_a_set(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    peer_send(client, 'Q', "select 1");
    peer_send(client, 'Q', "set lc_monetary = 'de_DE'");
    peer_expect_types(server, "QQ");
    peer_answer(server, client, "SELECT 1", 'I');
    send_parse(client, "s1", "select 1");
    peer_send(client, 'S', NULL);
    read_name(server, 'P', 0, one);
    peer_expect_types(server, "S");
    peer_send_complete(server, "SET", 'I');
    answer_sync(client, server, "1", "CZ1");
    other = fixture_login(f, "db", "alice");
    send_parse(other, "s1", "select 1");
    peer_expect(server, 'C', one);
    peer_expect(server, 'P', one);
}

static void
test_success_that_cannot_be_is_the_end(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", name);
    send_parse(client, "s1", "select 2");
    peer_expect_types(server, "PP");
    peer_send_types(server, "11");
    peer_expect(client, 'E', NULL);
    peer_expect_end(client);
}

/* --- where nothing is changed ------------------------------------------------------------------
 */

static void
pass_names(struct fixture *f, const char *text)
{
    struct peer *client, *server;

    fixture_begin(f, text, &client, &server);
    send_parse(client, "s1", "select 1");
    send_bind(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'P', "s1");
    peer_expect(server, 'B', "s1");
    peer_expect(server, 'S', NULL);
}

static void
test_off(void **state)
{
    pass_names(*state, "max_prepared_statements = 0\n");
}

static void
test_session_mode(void **state)
{
    pass_names(*state, "pool_mode = session\n");
}

static void
test_unnamed(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    send_parse(client, "", "select 1");
    send_bind(client, "");
    peer_send(client, 'D', "S");
    peer_send(client, 'C', "S");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'P', "select 1");
    peer_expect_types(server, "BDCS");
}

/* Names that are in use go on working when it is turned off. */
static void
test_turned_off(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", name);
    fixture_reload(f, "max_prepared_statements = 0\n");
    send_bind(client, "s1");
    peer_expect(server, 'B', name);
}

static void
test_client_leaves_in_the_middle(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    send_parse(client, "s1", "select 1");
    send_bind(client, "s1");
    peer_expect_types(server, "PB");
    peer_close(client);
    peer_expect_end(server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_name_is_the_servers),
        TEST(test_discard_on_a_fresh_server),
        TEST(test_statement_of_an_altered_transaction),
        TEST(test_another_client_does_not_parse_again),
        TEST(test_server_that_lacks_it_gets_it_first),
        TEST(test_prepared_ahead_in_vain),
        TEST(test_name_in_use),
        TEST(test_unknown_name_is_the_servers_to_refuse),
        TEST(test_name_of_ours_is_not_passed_on),
        TEST(test_close_frees_the_name_only),
        TEST(test_failed_parse_frees_its_name),
        TEST(test_waits_where_it_cannot_know),
        TEST(test_deallocate_all),
        TEST(test_least_used_is_closed),
        TEST(test_skipped_close_closes_nothing),
        TEST(test_stale_statement_is_made_anew),
        TEST(test_statement_behind_a_set),
        TEST(test_success_that_cannot_be_is_the_end),
        TEST(test_off),
        TEST(test_session_mode),
        TEST(test_unnamed),
        TEST(test_turned_off),
        TEST(test_client_leaves_in_the_middle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
