/*
 * test_prepared.c - named prepared statements, message by message: what a server is sent, and what
 * the client sees.
 */
#include "fixture.h"

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

#define NAME_SIZE (STATEMENT_PREFIX_LEN + 16 + 1)

/* --- messages ----------------------------------------------------------------------------------
 */

static void
add_message(struct buf *buf, char type, const char *first, const char *second, const void *rest,
            size_t len)
{
    const size_t start = buf->len;
    char header[PG_HEADER_SIZE] = {0};

    assert_int_equal(buf_append(buf, header, sizeof(header)), 0);
    assert_int_equal(buf_append(buf, first, strlen(first) + 1), 0);
    if (second != NULL)
        assert_int_equal(buf_append(buf, second, strlen(second) + 1), 0);
    assert_int_equal(buf_append(buf, rest, len), 0);
    pg_put_header(buf->data + start, type, (uint32_t)(buf->len - start - PG_HEADER_SIZE));
}

static void
send_message(struct peer *peer, char type, const char *first, const char *second, const void *rest,
             size_t len)
{
    CLEANUP(buf_done) struct buf buf = BUF_INIT;

    add_message(&buf, type, first, second, rest, len);
    peer_send_bytes(peer, buf.data, buf.len);
}

static void
send_parse(struct peer *peer, const char *name, const char *text)
{
    send_message(peer, 'P', name, text, "\0\0", 2);
}

static void
send_bind(struct peer *peer, const char *name)
{
    send_message(peer, 'B', "", name, "\0\0\0\0\0\0", 6);
}

static void
send_describe(struct peer *peer, const char *name)
{
    char what[80];

    (void)snprintf(what, sizeof(what), "S%s", name);
    peer_send(peer, 'D', what);
}

static void
send_close(struct peer *peer, const char *name)
{
    char what[80];

    (void)snprintf(what, sizeof(what), "S%s", name);
    peer_send(peer, 'C', what);
}

/* A message that has come: its body up to the NUL behind skip bytes. */
static void
read_name(struct peer *peer, char type, size_t skip, char name[NAME_SIZE])
{
    fixture_settle(peer->fixture);
    (void)peer_fill(peer);
    assert_true(peer->input.len > PG_HEADER_SIZE + skip + NAME_SIZE);
    assert_int_equal(peer->input.data[0], type);
    memcpy(name, peer->input.data + PG_HEADER_SIZE + skip, NAME_SIZE);
    assert_int_equal(name[NAME_SIZE - 1], '\0');
    assert_memory_equal(name, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN);
    peer_expect(peer, type, name);
}

/* The client prepares, and the server answers; returns the server's name. */
static void
prepare(struct peer *client, struct peer *server, const char *name, const char *text,
        char ret_name[NAME_SIZE])
{
    send_parse(client, name, text);
    peer_send(client, 'S', NULL);
    read_name(server, 'P', 0, ret_name);
    peer_expect(server, 'S', NULL);
    peer_send(server, '1', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1Z");
}

/* The server answers with messages of these types, of which the client sees a BindComplete. */
static void
finish(struct peer *client, struct peer *server, const char *types)
{
    for (; *types != '\0'; types++)
        peer_send(server, *types, NULL);
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "2C");
    peer_expect_ready(client, 'I');
}

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
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(other, "CZ");
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
    peer_send(other, 'Q', "begin");
    peer_expect(server, 'Q', "begin");
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
    peer_send_complete(second, "SELECT 1", 'I');
    peer_expect_types(client, "CZ");
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

/* The server is asked for a statement that nobody can have made, and says so. */
static void
refuse_nowhere(struct peer *server, char type)
{
    char nowhere[STATEMENT_NAME_MAX], text[100];
    size_t len;

    statement_nowhere(nowhere, &len);
    peer_expect(server, type, nowhere);
    (void)snprintf(text, sizeof(text), "prepared statement \"%s\" does not exist", nowhere);
    peer_send_error(server, "ERROR", "26000", text);
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
    peer_expect_types(server, "BCPS");
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
    peer_send(other, 'Q', "begin");
    peer_expect(server, 'Q', "begin");
    peer_send(client, 'Q', "DISCARD ALL");
    second = fixture_serve(f);
    peer_expect(second, 'Q', "DISCARD ALL");
    peer_send_complete(second, "DISCARD ALL", 'I');
    peer_expect_types(client, "CZ");
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
    peer_send(client, 'Q', "begin; set local datestyle = 'ISO, DMY'");
    peer_expect_types(server, "Q");
    peer_send_complete(server, "SET", 'T');
    peer_expect_types(client, "CZ");
    send_parse(client, "s1", "select 1");
    peer_send(client, 'S', NULL);
    read_name(server, 'P', 0, one);
    peer_expect_types(server, "S");
    peer_send(server, '1', NULL);
    peer_send_ready(server, 'T');
    peer_expect_types(client, "1Z");
    peer_send(client, 'Q', "commit");
    peer_expect_types(server, "Q");
    peer_send_complete(server, "COMMIT", 'I');
    peer_expect_types(client, "CZ");
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

static const char stale_fields[] = "SERROR\0VERROR\0C0A000\0Mgeaendert\0RRevalidateCachedQuery\0";

/* A Bind that asks for the description of its rows. */
static void
send_described(struct peer *client, const char *name)
{
    send_bind(client, name);
    peer_send(client, 'D', "P");
    send_message(client, 'E', "", NULL, "\0\0\0\0", 4);
    peer_send(client, 'S', NULL);
}

static void
refuse_stale(struct peer *server)
{
    peer_send_body(server, 'E', stale_fields, sizeof(stale_fields));
    peer_send_ready(server, 'I');
}

/* What a Flush has brought the answers to was done, and is undone by the error. */
static void
test_stale_statement_behind_work(void **state)
{
    static const char inserted[] = "INSERT 0 1";
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    send_parse(client, "", "insert into t values (1)");
    send_bind(client, "");
    send_message(client, 'E', "", NULL, "\0\0\0\0", 4);
    peer_send(client, 'H', NULL);
    peer_expect_types(server, "PBEH");
    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    peer_send_body(server, 'C', inserted, sizeof(inserted));
    peer_expect_types(client, "12C");
    send_described(client, "s1");
    peer_expect(server, 'B', one);
    peer_expect_types(server, "DES");
    refuse_stale(server);
    peer_expect_types(client, "EZ");
}

static void
test_stale_statement_is_run_again(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    for (unsigned turn = 0; turn < 3; turn++) {
        send_described(client, "s1");
        peer_expect(server, 'B', one);
        peer_expect_types(server, "DES");
        refuse_stale(server);
        peer_expect_silence(client);
        peer_expect(server, 'C', one);
        peer_expect(server, 'P', one);
        peer_expect(server, 'B', one);
        peer_expect_types(server, "DES");
        peer_send(server, '3', NULL);
        peer_send(server, '1', NULL);
        peer_send(server, '2', NULL);
        peer_send(server, 'T', "new");
        peer_send_complete(server, "SELECT 1", 'I');
        peer_expect(client, '2', NULL);
        peer_expect(client, 'T', "new");
        peer_expect_types(client, "CZ");
        peer_expect_silence(client);
    }
}

static void
test_stale_twice_is_told(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    send_described(client, "s1");
    peer_expect_types(server, "BDES");
    refuse_stale(server);
    peer_expect_types(server, "CPBDES");
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    refuse_stale(server);
    peer_expect_types(client, "EZ");
    peer_expect_silence(server);
}

/* Not where something else of it was done, or was sent behind it. */
static void
test_stale_is_told_in_a_pipeline(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    send_described(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "BDESS");
    refuse_stale(server);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZZ");
    send_message(client, 'P', "", "insert", "\0\0", 2);
    send_bind(client, "");
    send_described(client, "s1");
    peer_expect(server, 'P', "insert");
    peer_expect_types(server, "BCPBDES");
    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    refuse_stale(server);
    peer_expect_types(client, "12EZ");
    peer_expect_silence(server);
}

static void
test_stale_is_told_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    peer_send(client, 'Q', "begin");
    peer_expect(server, 'Q', NULL);
    peer_send_complete(server, "BEGIN", 'T');
    peer_expect_types(client, "CZ");
    send_described(client, "s1");
    peer_expect_types(server, "BDES");
    peer_send_body(server, 'E', stale_fields, sizeof(stale_fields));
    peer_send_ready(server, 'E');
    peer_expect_types(client, "EZ");
    peer_expect_silence(server);
}

/* The error and the ReadyForQuery, cut anywhere. */
static void
test_stale_cut_anywhere(void **state)
{
    char answer[PG_HEADER_SIZE + sizeof(stale_fields) + 6];
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    pg_put_header(answer, 'E', sizeof(stale_fields));
    memcpy(answer + PG_HEADER_SIZE, stale_fields, sizeof(stale_fields));
    memcpy(answer + sizeof(answer) - 6, "Z\0\0\0\5I", 6);
    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    for (size_t cut = 1; cut < sizeof(answer); cut++) {
        send_described(client, "s1");
        peer_expect_types(server, "BDES");
        peer_send_bytes(server, answer, cut);
        fixture_settle(f);
        peer_send_bytes(server, answer + cut, sizeof(answer) - cut);
        peer_expect_types(server, "CPBDES");
        peer_send(server, '3', NULL);
        peer_send(server, '1', NULL);
        peer_send(server, '2', NULL);
        peer_send(server, 'n', NULL);
        peer_send_complete(server, "INSERT 0 1", 'I');
        peer_expect_types(client, "2nCZ");
    }
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
        TEST(test_stale_statement_behind_work),
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
        TEST(test_stale_statement_is_run_again),
        TEST(test_stale_twice_is_told),
        TEST(test_stale_is_told_in_a_pipeline),
        TEST(test_stale_is_told_in_a_transaction),
        TEST(test_stale_cut_anywhere),
        TEST(test_success_that_cannot_be_is_the_end),
        TEST(test_cut_anywhere),
        TEST(test_answers_cut_anywhere),
        TEST(test_long_bind),
        TEST(test_long_ones_wait),
        TEST(test_long_parse),
        TEST(test_off),
        TEST(test_session_mode),
        TEST(test_unnamed),
        TEST(test_turned_off),
        TEST(test_client_leaves_in_the_middle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
