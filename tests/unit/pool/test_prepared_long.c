/*
 * test_prepared_long.c - named prepared statements in messages that are long, or come in pieces.
 */
#include "dialogue.h"

#include <stdlib.h>

#include "buf.h"
#include "pg.h"
#include "prepared.h"

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
        answer_sync(client, server, "n", "2Cn");
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
        answer_sync(client, server, "2", "2");
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cut_anywhere), TEST(test_answers_cut_anywhere),
        TEST(test_long_bind),    TEST(test_long_ones_wait),
        TEST(test_long_parse),   TEST(test_parse_that_is_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
