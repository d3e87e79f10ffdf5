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
#include "settings.h"
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
    peer_send(server, '2', NULL);
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "2CZ");
    send_describe(client, "s1");
    peer_send(client, 'S', NULL);
    read_name(server, 'D', 1, again);
    assert_string_equal(again, name);
}

/* The same in every process, so it is written down here. */
static void
test_name_stays_the_same(void **state)
{
    struct settings *settings = settings_empty();
    struct statement *statement;
    size_t len;

    (void)state;
    assert_int_equal(settings_put(&settings, "client_encoding", "UTF8"), 0);
    assert_int_equal(statement_get(settings, STATEMENT_PARSED, "select 1\0\0", 11, &statement), 0);
    assert_string_equal(statement_name(statement, &len), "pgweir_2766fc31e0025035");
    assert_int_equal(len, NAME_SIZE - 1);
    statement_unref(statement);
    settings_unref(settings);
    assert_int_equal(statement_global_done(), 0);
}

static void
test_same_text_is_one_statement(void **state)
{
    struct settings *iso = settings_empty(), *sql = settings_empty();
    struct statement *a, *b, *c, *d;

    (void)state;
    assert_int_equal(settings_put(&iso, "DateStyle", "ISO"), 0);
    assert_int_equal(settings_put(&sql, "DateStyle", "SQL"), 0);
    assert_int_equal(statement_get(iso, STATEMENT_PARSED, "select\0\0", 9, &a), 0);
    assert_int_equal(statement_get(iso, STATEMENT_PARSED, "select\0\0", 9, &b), 0);
    assert_int_equal(statement_get(sql, STATEMENT_PARSED, "select\0\0", 9, &c), 0);
    assert_int_equal(statement_get(iso, STATEMENT_PARSED, "select\0\0\1\0\0\0\x17", 13, &d), 0);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_ptr_not_equal(a, d);
    statement_unref(a);
    statement_unref(c);
    statement_unref(d);
    assert_int_equal(statement_global_done(), 1);
    statement_unref(b);
    assert_int_equal(statement_global_done(), 0);
    settings_unref(iso);
    settings_unref(sql);
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
    peer_send(server, '3', NULL);
    peer_send(server, '2', NULL);
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
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1Z");
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
    peer_send_error(server, "ERROR", "42601", "syntax error");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZ");
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
    peer_send_error(server, "ERROR", "42601", "syntax error");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZ");
    peer_expect(server, 'P', "select 1");
    peer_expect_types(server, "BS");
    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "12Z");
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
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1Z");
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
    static const char fields[] = "SERROR\0VERROR\0C0A000\0Mgeaendert\0RRevalidateCachedQuery\0";
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    send_bind(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "BS");
    peer_send_body(server, 'E', fields, sizeof(fields));
    peer_send_ready(server, 'I');
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
    peer_send(second, '1', NULL);
    peer_send_ready(second, 'I');
    peer_expect_types(client, "1Z");
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
    peer_ask(client, server, "commit");
    peer_answer(server, client, "COMMIT", 'I');
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
    peer_send(server, '1', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "CZ1Z");
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
    peer_send(server, '1', NULL);
    peer_send(server, '1', NULL);
    peer_expect(client, 'E', NULL);
    peer_expect_end(client);
}

/* --- sizes and cuts ----------------------------------------------------------------------------
 */

static void
test_cut_anywhere(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    CLEANUP(buf_done) struct buf script = BUF_INIT;
    char name[NAME_SIZE], again[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", name);
    add_message(&script, 'B', "portal", "s1", "\0\0\0\0\0\0", 6);
    add_message(&script, 'E', "portal", NULL, "\0\0\0\0", 4);
    add_message(&script, 'D', "Ss1", NULL, NULL, 0);
    assert_int_equal(buf_append(&script, "S\0\0\0\4", 5), 0);
    for (size_t cut = 1; cut < script.len; cut++) {
        peer_send_bytes(client, script.data, cut);
        fixture_settle(f);
        peer_send_bytes(client, script.data + cut, script.len - cut);
        read_name(server, 'B', 7, again);
        assert_string_equal(again, name);
        peer_expect(server, 'E', "portal");
        peer_expect(server, 'D', name);
        peer_expect(server, 'S', NULL);
        peer_send(server, '2', NULL);
        peer_send(server, 'C', "SELECT 1");
        peer_send(server, 'n', NULL);
        peer_send_ready(server, 'I');
        peer_expect_types(client, "2CnZ");
    }
}

/* The answers to what the daemon has added, cut anywhere, too. */
static void
test_answers_cut_anywhere(void **state)
{
    static const char answers[] = "3\0\0\0\4"
                                  "1\0\0\0\4"
                                  "2\0\0\0\4"
                                  "Z\0\0\0\5I";
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE], two[NAME_SIZE];

    fixture_begin(f, "max_prepared_statements = 1\n", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    send_parse(client, "s2", "select 2");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'C', one);
    read_name(server, 'P', 0, two);
    peer_expect(server, 'S', NULL);
    peer_send_bytes(server, answers, 10);
    peer_send_bytes(server, answers + 15, 6);
    peer_expect_types(client, "1Z");
    for (size_t cut = 1; cut < sizeof(answers) - 1; cut++) {
        send_bind(client, cut % 2 == 1 ? "s1" : "s2");
        peer_send(client, 'S', NULL);
        peer_expect(server, 'C', cut % 2 == 1 ? two : one);
        peer_expect_types(server, "PBS");
        peer_send_bytes(server, answers, cut);
        fixture_settle(f);
        peer_send_bytes(server, answers + cut, sizeof(answers) - 1 - cut);
        peer_expect_types(client, "2Z");
        peer_expect_silence(client);
    }
}

/* What has come at the server's end is read away, so that more can come. */
static size_t
pump(struct peer *to, struct buf *all)
{
    fixture_settle(to->fixture);
    (void)peer_fill(to);
    assert_int_equal(buf_append(all, to->input.data, to->input.len), 0);
    buf_clear(&to->input);
    return all->len;
}

static void
send_long(struct peer *from, struct peer *to, const struct buf *message, size_t first,
          struct buf *all)
{
    size_t sent = peer_send_some(from, message->data, first);

    assert_int_equal(sent, first);
    (void)pump(to, all);
    while (sent < message->len) {
        sent += peer_send_some(from, message->data + sent, MIN(message->len - sent, 50000));
        (void)pump(to, all);
    }
    for (unsigned i = 0; i < 20; i++)
        (void)pump(to, all);
}

/* A Bind too long to be kept is passed on in pieces, whatever its first piece is. */
static void
test_long_bind(void **state)
{
    const size_t len = 300 * 1000;
    char *const value = calloc(1, len);
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    assert_non_null(value);
    memset(value, 'v', len);
    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", name);
    add_message(&message, 'B', "p", "s1", value, len);
    for (size_t first = 1; first < 30; first++) {
        CLEANUP(buf_done) struct buf got = BUF_INIT;

        send_long(client, server, &message, first, &got);
        assert_int_equal(got.len, message.len - 2 + NAME_SIZE - 1);
        assert_int_equal(pg_get_uint32(got.data + 1), got.len - 1);
        assert_memory_equal(got.data + PG_HEADER_SIZE, "p", 2);
        assert_string_equal(got.data + PG_HEADER_SIZE + 2, name);
        assert_memory_equal(got.data + got.len - len, value, len);
        peer_send(client, 'S', NULL);
        peer_expect(server, 'S', NULL);
        peer_send(server, '2', NULL);
        peer_send_ready(server, 'I');
        peer_expect_types(client, "2Z");
    }
    free(value);
}

/* Long messages behind one that must be answered first. */
static void
test_long_ones_wait(void **state)
{
    const size_t len = 200 * 1000;
    char *const value = malloc(len + 1);
    CLEANUP(buf_done) struct buf messages = BUF_INIT;
    CLEANUP(buf_done) struct buf got = BUF_INIT;
    struct fixture *f = *state;
    struct peer *client, *server;
    size_t sent = 0;

    assert_non_null(value);
    memset(value, 'v', len);
    value[len] = '\0';
    fixture_begin(f, "", &client, &server);
    send_parse(client, "s1", "select 1");
    send_parse(client, "s2", "selekt");
    peer_send(client, 'S', NULL);
    add_message(&messages, 'B', "", "s1", value, len);
    add_message(&messages, 'P', "s2", value, "\0\0", 2);
    assert_int_equal(buf_append(&messages, "S\0\0\0\4", 5), 0);
    sent = peer_send_some(client, messages.data, 100);
    peer_expect_types(server, "PPS");
    for (unsigned i = 0; i < 10; i++) {
        sent += peer_send_some(client, messages.data + sent, messages.len - sent);
        peer_expect_silence(server);
    }
    peer_send(server, '1', NULL);
    peer_send_error(server, "ERROR", "42601", "syntax error");
    peer_send_ready(server, 'I');
    for (unsigned i = 0; i < 100 && (i < 20 || sent < messages.len); i++) {
        sent += peer_send_some(client, messages.data + sent, messages.len - sent);
        (void)pump(server, &got);
    }
    assert_int_equal(got.len, messages.len + 2 * (NAME_SIZE - 3));
    assert_int_equal(got.data[0], 'B');
    assert_memory_equal(got.data + got.len - 5, "S\0\0\0\4", 5);
    peer_expect_types(client, "1EZ");
    free(value);
}

static void
test_long_parse(void **state)
{
    const size_t len = 200 * 1000;
    char *const text = malloc(len + 1);
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    CLEANUP(buf_done) struct buf got = BUF_INIT;
    struct fixture *f = *state;
    struct peer *client, *server;

    assert_non_null(text);
    memset(text, 't', len);
    text[len] = '\0';
    fixture_begin(f, "", &client, &server);
    add_message(&message, 'P', "s1", text, "\0\0", 2);
    send_long(client, server, &message, 3, &got);
    assert_int_equal(got.len, message.len - 2 + NAME_SIZE - 1);
    assert_memory_equal(got.data + PG_HEADER_SIZE, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN);
    assert_memory_equal(got.data + PG_HEADER_SIZE + NAME_SIZE, text, len + 1);
    free(text);
}

/* One that nobody has room for is refused at its beginning, and the rest of it is dropped. */
static void
test_parse_that_is_too_long(void **state)
{
    const size_t len = PREPARED_BYTES_MAX + 1;
    char beginning[PG_HEADER_SIZE + 100];
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];
    char *piece;
    size_t sent = 0;

    fixture_begin(f, "", &client, &server);
    pg_put_header(beginning, 'P', (uint32_t)len);
    memset(beginning + PG_HEADER_SIZE, 't', 100);
    peer_send_bytes(client, beginning, sizeof(beginning));
    refuse_nowhere(server, 'B');
    peer_expect_error(client, "ERROR", "54000", "too long");
    piece = calloc(1, 64 * 1024);
    assert_non_null(piece);
    while (sent < len - 100) {
        sent += peer_send_some(client, piece, MIN(len - 100 - sent, (size_t)64 * 1024));
        fixture_settle(f);
    }
    free(piece);
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "S");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "Z");
    prepare(client, server, "s1", "select 1", name);
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
        cmocka_unit_test(test_name_stays_the_same),
        cmocka_unit_test(test_same_text_is_one_statement),
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
        TEST(test_cut_anywhere),
        TEST(test_answers_cut_anywhere),
        TEST(test_long_bind),
        TEST(test_long_ones_wait),
        TEST(test_long_parse),
        TEST(test_parse_that_is_too_long),
        TEST(test_off),
        TEST(test_session_mode),
        TEST(test_unnamed),
        TEST(test_turned_off),
        TEST(test_client_leaves_in_the_middle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
