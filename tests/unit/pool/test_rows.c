/*
 * test_rows.c - what the rows of a statement look like, what the client was told of them, and that
 * it never has to read others.
 */
#include "dialogue.h"

#include "buf.h"
#include "pg.h"
#include "pool.h"
#include "shape.h"

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
    describe(second, "a");
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
    describe(second, "b");
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
    peer_begin(client, server);
    send_parse(other, "s1", "select *");
    send_describe(other, "s1");
    peer_send(other, 'S', NULL);
    second = fixture_serve(f);
    peer_expect_types(second, "PDS");
    peer_send(second, '1', NULL);
    describe(second, "new");
    peer_send_ready(second, 'I');
    peer_expect_types(other, "1tTZ");
    peer_commit(client, server);
    /* The first one was used last, so it is the next. */
    send_used(other, "s1");
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PDH");
    peer_send_types(server, "31");
    describe(server, "new");
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
    describe(second, "a");
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
    peer_send_types(server, "312");
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
    peer_send_types(server, "31");
    describe(server, "new");
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
        describe(server, "a");
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
        describe(server, "a");
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
    describe(server, "old");
    describe(server, "old");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "tTZ");
    peer_send_types(server, "3131");
    peer_expect_types(client, "1");
    describe(server, "new");
    refuse_nowhere(server, 'B');
    peer_expect_types(server, "ES");
    peer_send_ready(server, 'I');
    expect_changed(client);
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
    finish_described(client, server, "2", "old");
    change_rows(f, server, "new");
    send_bind(client, "s1");
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PDH");
    peer_expect_silence(client);
    send_execute(client);
    peer_send(client, 'S', NULL);
    peer_send_types(server, "31");
    describe(server, "old");
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
    answer_sync(client, server, "n", "1tn");
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
    finish_described(client, server, "2", "a");
    send_used(client, "s1");
    peer_expect_types(server, "BES");
    finish(client, server, "2");
    second = other_server(f, client, server, "s1");
    peer_expect_types(second, "PDH");
    peer_send(second, '1', NULL);
    describe(second, "a");
    peer_expect_types(second, "BES");
    finish(client, second, "2");
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
    describe(server, "a");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1tTZ");
    second = other_server(f, client, server, "");
    peer_expect_types(second, "PDH");
    peer_send(second, '1', NULL);
    describe(second, "b");
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
    peer_send_types(server, "12");
    send_rows(server, "a");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "12TCZ");
    second = other_server(f, client, server, "");
    peer_expect_types(second, "PDH");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        TEST(test_server_that_lacks_it_is_asked),
        TEST(test_client_that_asks_is_not_kept_waiting),
        TEST(test_server_that_has_other_rows),
        TEST(test_server_that_had_other_rows),
        TEST(test_question_that_is_passed_over_teaches_nothing),
        TEST(test_told_before_what_is_passed_over),
        TEST(test_made_anew_while_it_is_told),
        TEST(test_described_once),
        TEST(test_described_later),
        TEST(test_description_of_another_portal),
        TEST(test_server_that_cannot_prepare_it),
        TEST(test_wide_rows),
        TEST(test_no_rows_need_no_question),
        TEST(test_described_by_portal),
        TEST(test_unnamed_is_compared),
        TEST(test_unnamed_portal_is_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
