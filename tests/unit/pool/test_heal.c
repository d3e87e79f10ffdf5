/*
 * test_heal.c - statements that are out of date: what is run again, what the client is told, and
 * what it never has to read.
 */
#include "dialogue.h"

#include "buf.h"
#include "client.h"
#include "engine_int.h"
#include "list.h"
#include "pg.h"
#include "pool.h"
#include "prepared.h"
#include "server.h"
#include "shape.h"

/* --- what is said ------------------------------------------------------------------------------
 */

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
    peer_answer(server, client, "BEGIN", 'T');
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

/* --- rows --------------------------------------------------------------------------------------
 */

/* A RowDescription of one column. */
static void
put_rows(struct buf *body, const char *column, char type, char format)
{
    const char rest[] = {0, 0, 64, 1, 0, 1, 0, 0, 0, type, 0, 4, -1, -1, -1, -1, 0, format};

    buf_clear(body);
    assert_int_equal(buf_append(body, "\0\1", 2), 0);
    assert_int_equal(buf_append(body, column, strlen(column) + 1), 0);
    assert_int_equal(buf_append(body, rest, sizeof(rest)), 0);
}

static void
send_rows(struct peer *server, const char *column)
{
    CLEANUP(buf_done) struct buf body = BUF_INIT;

    put_rows(&body, column, 23, 0);
    peer_send_body(server, 'T', body.data, body.len);
}

/* A Bind of what the client knows. */
static void
send_used(struct peer *client, const char *name)
{
    send_bind(client, name);
    send_message(client, 'E', "", NULL, "\0\0\0\0", 4);
    peer_send(client, 'S', NULL);
}

static void
expect_changed(struct peer *client)
{
    peer_expect_error(client, "ERROR", "0A000", "cached plan must not change result type");
    peer_expect_ready(client, 'I');
}

/* The client prepares and asks what the rows are, which the server says. */
static void
prepare_described(struct peer *client, struct peer *server, const char *column,
                  char ret_name[NAME_SIZE])
{
    send_parse(client, "s1", "select *");
    send_describe(client, "s1");
    peer_send(client, 'S', NULL);
    read_name(server, 'P', 0, ret_name);
    peer_expect_types(server, "DS");
    peer_send(server, '1', NULL);
    peer_send(server, 't', "");
    send_rows(server, column);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1tTZ");
}

/* By another client. */
static void
keep_busy(struct fixture *f, struct peer *server)
{
    struct peer *const other = fixture_login(f, "db", "alice");

    peer_ask(other, server, "begin");
}

/* A second server, since the first one is kept by another client. */
static struct peer *
other_server(struct fixture *f, struct peer *client, struct peer *server, const char *name)
{
    keep_busy(f, server);
    send_used(client, name);
    return fixture_serve(f);
}

static void
test_shape(void **state)
{
    CLEANUP(buf_done) struct buf body = BUF_INIT;
    uint64_t shape;

    (void)state;
    put_rows(&body, "a", 23, 0);
    shape = shape_of_rows(body.data, body.len);
    assert_true(shape_has_rows(shape));
    put_rows(&body, "a", 23, 1);
    assert_true(shape_of_rows(body.data, body.len) == shape); /* binary, or text */
    put_rows(&body, "a", 25, 0);
    assert_true(shape_of_rows(body.data, body.len) != shape);
    put_rows(&body, "b", 23, 0);
    assert_true(shape_of_rows(body.data, body.len) != shape);
    for (size_t len = 0; len < body.len; len++)
        assert_true(shape_of_rows(body.data, len) == SHAPE_BROKEN);
    assert_true(shape_has_rows(shape_of_rows("\0\0", 2)));
    assert_false(shape_has_rows(SHAPE_NONE));
}

/* It was told what the rows are, and they are the same: it does not notice. */
static void
test_known_rows_are_run_again(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "a", name);
    send_used(client, "s1");
    peer_expect(server, 'B', name);
    peer_expect_types(server, "ES");
    refuse_stale(server);
    peer_expect(server, 'C', name);
    peer_expect(server, 'P', name);
    peer_expect(server, 'D', name);
    peer_expect_types(server, "H");
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send(server, 't', "");
    peer_expect_silence(client);
    send_rows(server, "a");
    peer_expect(server, 'B', name);
    peer_expect_types(server, "ES");
    finish(client, server, "2");
    peer_expect_silence(client);
    assert_int_equal(fixture_shard(f, "db", "alice")->stats.heals, 1);
}

/* They are others, which it could not read: it is told so, and its driver prepares anew. */
static void
test_other_rows_are_refused(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "a", name);
    send_used(client, "s1");
    peer_expect_types(server, "BES");
    refuse_stale(server);
    peer_expect_types(server, "CPDH");
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send(server, 't', "");
    send_rows(server, "b");
    refuse_nowhere(server, 'B');
    peer_expect_types(server, "ES");
    peer_send_ready(server, 'I');
    expect_changed(client);
    /* What it is told then it can read. */
    send_described(client, "s1");
    peer_expect(server, 'B', name);
    peer_expect_types(server, "DES");
    peer_send(server, '2', NULL);
    send_rows(server, "b");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "2TCZ");
    send_used(client, "s1");
    peer_expect(server, 'B', name);
}

/* The client waits while a server that lacks the statement is asked. */
static void
test_server_that_lacks_it_is_asked(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "a", name);
    second = other_server(f, client, server, "s1");
    peer_expect(second, 'P', name);
    peer_expect(second, 'D', name);
    peer_expect_types(second, "H");
    peer_send(second, '1', NULL);
    peer_expect_silence(second);
    peer_send(second, 't', "");
    send_rows(second, "a");
    peer_expect(second, 'B', name);
    peer_expect_types(second, "ES");
    finish(client, second, "2");
    /* From here on it is known. */
    send_used(client, "s1");
    peer_expect(second, 'B', name);
    peer_expect_types(second, "ES");
    finish(client, second, "2");
    peer_expect_silence(client);
}

static void
test_server_that_has_other_rows(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "a", name);
    second = other_server(f, client, server, "s1");
    peer_expect_types(second, "PDH");
    peer_send(second, '1', NULL);
    peer_send(second, 't', "");
    send_rows(second, "b");
    refuse_nowhere(second, 'B');
    peer_expect_types(second, "ES");
    peer_send_ready(second, 'I');
    expect_changed(client);
}

/* What another client has prepared there is out of date. */
static void
test_server_that_had_other_rows(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other, *second;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "old", name);
    other = fixture_login(f, "db", "alice");
    peer_ask(client, server, "begin");
    peer_answer(server, client, "BEGIN", 'T');
    send_parse(other, "s1", "select *");
    send_describe(other, "s1");
    peer_send(other, 'S', NULL);
    second = fixture_serve(f);
    peer_expect_types(second, "PDS");
    peer_send(second, '1', NULL);
    peer_send(second, 't', "");
    send_rows(second, "new");
    peer_send_ready(second, 'I');
    peer_expect_types(other, "1tTZ");
    peer_ask(client, server, "commit");
    peer_answer(server, client, "COMMIT", 'I');
    /* The first one was used last, so it is the next. */
    send_used(other, "s1");
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PDH");
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send(server, 't', "");
    send_rows(server, "new");
    peer_expect(server, 'B', name);
    peer_expect_types(server, "ES");
    finish(other, server, "2");
}

/* The client's own question serves as well, and is answered although its Sync waits, too. */
static void
test_client_that_asks_is_not_kept_waiting(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "a", name);
    keep_busy(f, server);
    send_describe(client, "s1");
    send_used(client, "s1");
    second = fixture_serve(f);
    peer_expect(second, 'P', name);
    peer_expect(second, 'D', name);
    peer_expect_types(second, "H");
    peer_send(second, '1', NULL);
    peer_send(second, 't', "");
    send_rows(second, "a");
    peer_expect_types(client, "tT");
    peer_expect(second, 'B', name);
    peer_expect_types(second, "ES");
    finish(client, second, "2");
}

/* Another client prepares the same anew, by which its rows become those with this column. */
static void
change_rows(struct fixture *f, struct peer *server, const char *column)
{
    struct peer *const other = fixture_login(f, "db", "alice");

    send_parse(other, "q", "select *");
    send_described(other, "q");
    peer_expect_types(server, "CBDES");
    peer_send(server, '3', NULL);
    refuse_stale(server);
    peer_expect_types(server, "CPBDES");
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    send_rows(server, column);
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(other, "12TCZ");
}

/* What the client uses has other rows than it was told: it is made anew, in case that helps. */
static void
expect_refused(struct peer *client, struct peer *server, const char *name)
{
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PDH");
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send(server, 't', "");
    send_rows(server, "new");
    refuse_nowhere(server, 'B');
    peer_expect_types(server, "ES");
    peer_send_ready(server, 'I');
    expect_changed(client);
}

/* Who has asked, and had no answer, knows what it knew. */
static void
test_question_that_is_passed_over_teaches_nothing(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "old", name);
    change_rows(f, server, "new");
    for (unsigned turn = 0; turn < 2; turn++) {
        send_bind(client, "nope");
        if (turn == 0) {
            send_describe(client, "s1");
            peer_send(client, 'S', NULL);
        } else {
            send_described(client, "s1");
        }
        refuse_nowhere(server, 'B');
        peer_expect_types(server, turn == 0 ? "DS" : "BDES");
        peer_send_ready(server, 'I');
        peer_expect_types(client, "EZ");
    }
    send_used(client, "s1");
    expect_refused(client, server, name);
}

/* What the client was told it knows, whatever it has sent behind the question that was passed over.
 */
static void
test_told_before_what_is_passed_over(void **state)
{
    static const char *const behind[] = {"C", "CP", "CPC"};
    static const char *const names[] = {"s1", "s2", "s3"};
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    for (size_t i = 0; i < ARRAY_SIZE(behind); i++) {
        send_parse(client, names[i], names[i]);
        send_describe(client, names[i]);
        send_bind(client, "nope");
        for (const char *type = behind[i]; *type != '\0'; type++) {
            if (*type == 'C')
                send_close(client, names[i]);
            else
                send_parse(client, names[i], "select 2");
        }
        peer_send(client, 'S', NULL);
        peer_expect_types(server, "PD");
        peer_send(server, '1', NULL);
        peer_send(server, 't', "");
        send_rows(server, "a");
        refuse_nowhere(server, 'B');
        peer_expect_types(server, behind[i]);
        peer_expect_types(server, "S");
        peer_send_ready(server, 'I');
        peer_expect_types(client, "1tTEZ");
    }
    keep_busy(f, server);
    for (size_t i = 0; i < ARRAY_SIZE(behind); i++) {
        send_used(client, names[i]);
        if (i == 0)
            server = fixture_serve(f);
        peer_expect_types(server, "PDH");
        peer_send(server, '1', NULL);
        peer_send(server, 't', "");
        send_rows(server, "a");
        peer_expect_types(server, "BES");
        finish(client, server, "2");
    }
}

/*
 * Who is being told what the rows of a statement look like waits for that, if it is to use another
 * by then: it is not known yet whether it can read that.
 */
static void
test_made_anew_while_it_is_told(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "max_prepared_statements = 1\n", &client, &server);
    prepare(client, server, "s1", "select *", name);
    send_describe(client, "s1");
    peer_send(client, 'S', NULL);
    send_parse(client, "s2", "select 2");
    send_used(client, "s1");
    peer_expect_types(server, "DDSCPCPDH");
    peer_send(server, 't', "");
    send_rows(server, "old");
    peer_send(server, 't', "");
    send_rows(server, "old");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "tTZ");
    for (const char *type = "3131"; *type != '\0'; type++)
        peer_send(server, *type, NULL);
    peer_expect_types(client, "1");
    peer_send(server, 't', "");
    send_rows(server, "new");
    refuse_nowhere(server, 'B');
    peer_expect_types(server, "ES");
    peer_send_ready(server, 'I');
    expect_changed(client);
}

/* What was made since an error is not what that was about. */
static void
test_made_behind_an_error(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    send_used(client, "s1");
    send_parse(client, "s2", "select *");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "BESCPS");
    refuse_stale(server);
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZ1Z");
    send_used(client, "s2");
    peer_expect_types(server, "BES");
    finish(client, server, "2");
}

/* Who has had a portal described once need not ask again; who is told later is told. */
static void
test_described_once(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    send_described(client, "s1");
    peer_expect_types(server, "BDES");
    peer_send(server, '2', NULL);
    send_rows(server, "old");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "2TCZ");
    change_rows(f, server, "new");
    send_bind(client, "s1");
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PDH");
    peer_expect_silence(client);
    send_message(client, 'E', "", NULL, "\0\0\0\0", 4);
    peer_send(client, 'S', NULL);
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send(server, 't', "");
    send_rows(server, "old");
    peer_expect(server, 'B', name);
    peer_expect_types(server, "ES");
    finish(client, server, "2");
}

/* The Describe comes when the Bind is gone, or behind its Execute. */
static void
test_described_later(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    send_bind(client, "s1");
    peer_expect_types(server, "B");
    peer_send(client, 'D', "P");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "DS");
    peer_send(server, '2', NULL);
    send_rows(server, "old");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "2TZ");
    change_rows(f, server, "new");
    send_used(client, "s1");
    expect_refused(client, server, name);
}

/* The description of another portal says nothing of this one's rows. */
static void
test_description_of_another_portal(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "old", name);
    change_rows(f, server, "new");
    send_bind(client, "s1");
    peer_send(client, 'D', "Pother");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PDH");
}

/* The server has no such table any more: its error is the client's, in the place of the Bind's. */
static void
test_server_that_cannot_prepare_it(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "a", name);
    second = other_server(f, client, server, "s1");
    peer_expect_types(second, "PDH");
    peer_send_error(second, "ERROR", "42P01", "no such table");
    peer_expect_types(second, "BES");
    peer_send_ready(second, 'I');
    peer_expect_error(client, "ERROR", "42P01", "no such table");
    peer_expect_ready(client, 'I');
    peer_expect_silence(client);
}

/* The longest description that there is comes in pieces. */
static void
test_wide_rows(void **state)
{
    enum { COLUMNS = 1600, NAME = 40, COLUMN = NAME + 18 };
    CLEANUP(buf_done) struct buf body = BUF_INIT, message = BUF_INIT;
    struct fixture *f = *state;
    struct peer *client, *server, *second;
    char name[NAME_SIZE], column[COLUMN] = {0};

    memset(column, 'c', NAME - 1);
    assert_int_equal(buf_append(&body, (char[]){COLUMNS >> 8, COLUMNS & 255}, 2), 0);
    for (unsigned i = 0; i < COLUMNS; i++)
        assert_int_equal(buf_append(&body, column, sizeof(column)), 0);
    fixture_begin(f, "", &client, &server);
    send_parse(client, "s1", "select *");
    send_describe(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "PDS");
    peer_send(server, '1', NULL);
    peer_send(server, 't', "");
    peer_send_body(server, 'T', body.data, body.len);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1tTZ");
    second = other_server(f, client, server, "s1");
    read_name(second, 'P', 0, name);
    peer_expect_types(second, "DH");
    peer_send(second, '1', NULL);
    peer_send(second, 't', "");
    assert_int_equal(buf_reserve(&message, PG_HEADER_SIZE + body.len), 0);
    pg_put_header(message.data, 'T', (uint32_t)body.len);
    memcpy(message.data + PG_HEADER_SIZE, body.data, body.len);
    peer_send_bytes(second, message.data, 100);
    fixture_settle(f);
    peer_send_bytes(second, message.data + 100, PG_HEADER_SIZE + body.len - 100);
    peer_expect(second, 'B', name);
    peer_expect_types(second, "ES");
}

/* Without rows there is nothing that could be misread. */
static void
test_no_rows_need_no_question(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    send_parse(client, "s1", "insert");
    send_describe(client, "s1");
    peer_send(client, 'S', NULL);
    read_name(server, 'P', 0, name);
    peer_expect_types(server, "DS");
    peer_send(server, '1', NULL);
    peer_send(server, 't', "");
    peer_send(server, 'n', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1tnZ");
    second = other_server(f, client, server, "s1");
    peer_expect(second, 'P', name);
    peer_expect(second, 'B', name);
    peer_expect_types(second, "ES");
    finish(client, second, "12");
}

/* What a portal's description says is known from then on, too. */
static void
test_described_by_portal(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    send_described(client, "s1");
    peer_expect_types(server, "BDES");
    peer_send(server, '2', NULL);
    send_rows(server, "a");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "2TCZ");
    send_used(client, "s1");
    peer_expect_types(server, "BES");
    finish(client, server, "2");
    second = other_server(f, client, server, "s1");
    peer_expect_types(second, "PDH");
    peer_send(second, '1', NULL);
    peer_send(second, 't', "");
    send_rows(second, "a");
    peer_expect_types(second, "BES");
    finish(client, second, "2");
}

/* Who was told nothing may know them by heart: what PostgreSQL says is for it. */
static void
test_who_was_told_nothing_hears_it(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    send_used(client, "s1");
    peer_expect_types(server, "BES");
    refuse_stale(server);
    peer_expect_types(client, "EZ");
    peer_expect_silence(server);
}

/* --- what is in the way of a new client --------------------------------------------------------
 */

/* It has just parsed it, as far as it knows. */
static void
test_parsed_before_by_another(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    other = fixture_login(f, "db", "alice");
    send_parse(other, "q", "select *");
    send_described(other, "q");
    peer_expect_types(server, "CBDES");
    peer_send(server, '3', NULL);
    refuse_stale(server);
    peer_expect_types(other, "1");
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PBDES");
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    send_rows(server, "a");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(other, "2TCZ");
}

/* The same without a Describe: what was just parsed has the rows of now. */
static void
test_parsed_before_and_not_described(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    other = fixture_login(f, "db", "alice");
    send_parse(other, "q", "select *");
    send_used(other, "q");
    peer_expect_types(server, "CBES");
    peer_send(server, '3', NULL);
    refuse_stale(server);
    peer_expect_types(other, "1");
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PBES");
    finish(other, server, "312");
}

/* Such a text is familiar, and the server has it. */
static void
prepare_unnamed(struct peer *client, struct peer *server, char name[NAME_SIZE])
{
    for (unsigned turn = 0; turn < 2; turn++) {
        send_parse(client, "", "select *");
        send_used(client, "");
        if (turn == 0)
            peer_expect(server, 'P', "select *");
        else
            read_name(server, 'P', 0, name);
        peer_expect_types(server, "BES");
        peer_send(server, '1', NULL);
        peer_send(server, '2', NULL);
        peer_send_complete(server, "SELECT 1", 'I');
        peer_expect_types(client, "12CZ");
    }
}

static void
test_unnamed_is_run_again(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "prepare_unnamed = 1\n", &client, &server);
    prepare_unnamed(client, server, name);
    send_parse(client, "", "select *");
    send_used(client, "");
    peer_expect_types(server, "CBES");
    peer_send(server, '3', NULL);
    refuse_stale(server);
    peer_expect_types(client, "1");
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PBES");
    finish(client, server, "312");
}

/* It goes to another server, and its rows are those that were described on the first. */
static void
test_unnamed_is_compared(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;

    fixture_begin(f, "", &client, &server);
    send_parse(client, "", "select *");
    send_describe(client, "");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'P', "select *");
    peer_expect_types(server, "DS");
    peer_send(server, '1', NULL);
    peer_send(server, 't', "");
    send_rows(server, "a");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1tTZ");
    second = other_server(f, client, server, "");
    peer_expect_types(second, "PDH");
    peer_send(second, '1', NULL);
    peer_send(second, 't', "");
    send_rows(second, "b");
    refuse_nowhere(second, 'B');
    peer_expect_types(second, "ES");
    peer_send_ready(second, 'I');
    expect_changed(client);
}

/* Where nothing could be run again, an unnamed Parse is one, too. */
static void
test_unnamed_portal_is_compared(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;

    fixture_begin(f, "", &client, &server);
    send_parse(client, "", "select *");
    send_described(client, "");
    peer_expect(server, 'P', "select *");
    peer_expect_types(server, "BDES");
    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    send_rows(server, "a");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "12TCZ");
    second = other_server(f, client, server, "");
    peer_expect_types(second, "PDH");
}

static void
test_unnamed_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "prepare_unnamed = 1\n", &client, &server);
    prepare_unnamed(client, server, name);
    peer_send(client, 'Q', "begin");
    peer_expect(server, 'Q', NULL);
    peer_answer(server, client, "BEGIN", 'T');
    send_parse(client, "", "select *");
    send_used(client, "");
    peer_expect(server, 'P', "select *");
    peer_expect_types(server, "BES");
}

/* Who waits for the description, and has sent a Flush, gets it too. */
static void
test_described_without_a_sync(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    other = fixture_login(f, "db", "alice");
    send_parse(other, "q", "select *");
    send_describe(other, "q");
    peer_send(other, 'H', NULL);
    peer_expect_types(server, "CDDH");
    peer_send(server, '3', NULL);
    peer_send_body(server, 'E', stale_fields, sizeof(stale_fields));
    peer_expect_types(other, "1");
    peer_expect_types(server, "S");
    peer_expect(server, 'C', name);
    peer_expect(server, 'P', "select *");
    peer_expect_types(server, "DH");
    peer_send_ready(server, 'I');
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send(server, 't', "");
    send_rows(server, "b");
    peer_expect_types(other, "tT");
    send_used(other, "q");
    peer_expect(server, 'B', name);
    peer_expect_types(server, "ES");
    finish(other, server, "2");
    assert_int_equal(fixture_idle_count(f), 1);
}

/* Only the last of several can be sent again: if another is refused, the client is told. */
static void
test_first_of_two_descriptions(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE], two[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", one);
    prepare(client, server, "s2", "select 2", two);
    for (unsigned turn = 0; turn < 2; turn++) {
        send_describe(client, "s1");
        send_describe(client, "s2");
        peer_send(client, 'S', NULL);
        peer_expect_types(server, turn == 0 ? "DDDDS" : "CPDCPDS");
        if (turn == 1) {
            peer_send(server, '3', NULL);
            peer_send(server, '1', NULL);
        }
        refuse_stale(server);
        peer_expect_types(client, "EZ");
        peer_expect_silence(server);
    }
}

/*
 * A driver that was told prepares anew, once: then it is made, since what the server has may be out
 * of date, too, and nobody knows.
 */
static void
test_who_was_told_parses(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other, *second;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "a", name);
    other = fixture_login(f, "db", "alice");
    peer_send(client, 'Q', "begin");
    peer_expect(server, 'Q', "begin");
    peer_send_complete(server, "BEGIN", 'T');
    peer_expect_types(client, "CZ");
    send_parse(other, "q", "select *");
    peer_send(other, 'S', NULL);
    second = fixture_serve(f);
    peer_expect_types(second, "PS");
    peer_send(second, '1', NULL);
    peer_send_ready(second, 'I');
    peer_expect_types(other, "1Z");
    send_used(client, "s1");
    peer_expect_types(server, "BES");
    peer_send_body(server, 'E', stale_fields, sizeof(stale_fields));
    peer_send_ready(server, 'E');
    peer_expect_types(client, "EZ");
    peer_send(client, 'Q', "rollback");
    peer_expect_types(server, "Q");
    peer_send_complete(server, "ROLLBACK", 'I');
    peer_expect_types(client, "CZ");
    /* The first one is taken; the second has the statement. */
    peer_send(other, 'Q', "begin");
    peer_expect(server, 'Q', "begin");
    for (const char *again = "tu"; *again != '\0'; again++) {
        send_parse(client, (const char[]){*again, '\0'}, "select *");
        send_describe(client, (const char[]){*again, '\0'});
        peer_send(client, 'H', NULL);
        if (*again == 't')
            peer_expect(second, 'C', name);
        peer_expect_types(second, *again == 't' ? "PDH" : "CDDH");
        peer_send(second, '3', NULL);
        peer_send(second, *again == 't' ? '1' : 't', *again == 't' ? NULL : "");
        if (*again == 'u')
            send_rows(second, "b");
        peer_send(second, 't', "");
        send_rows(second, "b");
        peer_expect_types(client, "1tT");
        peer_send(client, 'S', NULL);
        peer_expect_types(second, "S");
        peer_send_ready(second, 'I');
        peer_expect_types(client, "Z");
    }
}

static void
test_described_before_by_another(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    other = fixture_login(f, "db", "alice");
    send_parse(other, "q", "select *");
    send_describe(other, "q");
    peer_send(other, 'S', NULL);
    /* PostgreSQL says what the parameters are, and then looks at the rows. */
    peer_expect_types(server, "CDDS");
    peer_send(server, '3', NULL);
    peer_send(server, 't', "");
    refuse_stale(server);
    peer_expect_types(other, "1");
    peer_expect_types(server, "CPDS");
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send(server, 't', "");
    send_rows(server, "a");
    peer_send_ready(server, 'I');
    peer_expect_types(other, "tTZ");
}

/* In a transaction nothing could be run again, so a Parse is one there. */
static void
test_parsed_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    other = fixture_login(f, "db", "alice");
    peer_send(other, 'Q', "begin");
    peer_expect(server, 'Q', NULL);
    peer_answer(server, other, "BEGIN", 'T');
    send_parse(other, "q", "select *");
    peer_send(other, 'S', NULL);
    peer_expect(server, 'C', name);
    peer_expect(server, 'P', name);
}

/* The server has forgotten it, by a function, say. */
static void
test_forgotten_is_made_anew(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE], error[100];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    send_described(client, "s1");
    peer_expect_types(server, "BDES");
    (void)snprintf(error, sizeof(error), "prepared statement \"%s\" does not exist", name);
    peer_send_error(server, "ERROR", "26000", error);
    peer_send_ready(server, 'I');
    peer_expect_types(server, "CPBDES");
    peer_send(server, '3', NULL);
    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    send_rows(server, "a");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "2TCZ");
}

/* What SQL says of a name is no reason to doubt all others. */
static void
test_error_of_a_query_raises_no_doubt(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    peer_send(client, 'Q', "select f('pgweir_nope')");
    peer_expect(server, 'Q', NULL);
    peer_send_error(server, "ERROR", "26000", "prepared statement \"pgweir_nope\" does not exist");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZ");
    send_used(client, "s1");
    peer_expect(server, 'B', name);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_stale_statement_behind_work),
        TEST(test_stale_statement_is_run_again),
        TEST(test_stale_twice_is_told),
        TEST(test_stale_is_told_in_a_pipeline),
        TEST(test_stale_is_told_in_a_transaction),
        TEST(test_stale_cut_anywhere),
        cmocka_unit_test(test_shape),
        TEST(test_known_rows_are_run_again),
        TEST(test_other_rows_are_refused),
        TEST(test_server_that_lacks_it_is_asked),
        TEST(test_client_that_asks_is_not_kept_waiting),
        TEST(test_server_that_has_other_rows),
        TEST(test_server_that_had_other_rows),
        TEST(test_question_that_is_passed_over_teaches_nothing),
        TEST(test_told_before_what_is_passed_over),
        TEST(test_made_anew_while_it_is_told),
        TEST(test_made_behind_an_error),
        TEST(test_described_once),
        TEST(test_described_later),
        TEST(test_description_of_another_portal),
        TEST(test_server_that_cannot_prepare_it),
        TEST(test_wide_rows),
        TEST(test_no_rows_need_no_question),
        TEST(test_described_by_portal),
        TEST(test_who_was_told_nothing_hears_it),
        TEST(test_parsed_before_by_another),
        TEST(test_parsed_before_and_not_described),
        TEST(test_unnamed_is_run_again),
        TEST(test_unnamed_is_compared),
        TEST(test_unnamed_portal_is_compared),
        TEST(test_unnamed_in_a_transaction),
        TEST(test_described_without_a_sync),
        TEST(test_first_of_two_descriptions),
        TEST(test_who_was_told_parses),
        TEST(test_described_before_by_another),
        TEST(test_parsed_in_a_transaction),
        TEST(test_forgotten_is_made_anew),
        TEST(test_error_of_a_query_raises_no_doubt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
