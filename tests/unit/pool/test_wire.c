/*
 * test_wire.c - how bytes travel: in few pieces, and whole, wherever the network cuts them.
 */
#include "fixture.h"

#include <sys/socket.h>

#include "model.h"
#include "pg.h"

/* --- calls ------------------------------------------------------------------------------------
 */

ssize_t __real_send(int fd, const void *data, size_t len, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

static unsigned sends;

ssize_t
__wrap_send(int fd, const void *data, size_t len, int flags)
{
    sends++;
    return __real_send(fd, data, len, flags);
}

ssize_t
__wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    sends++;
    return __real_sendmsg(fd, message, flags);
}

/* How often the daemon sends until nothing is left to do. */
static unsigned
count_sends(struct fixture *f)
{
    sends = 0;
    fixture_settle(f);
    return sends;
}

/* --- what a client says ------------------------------------------------------------------------
 */

static void
append(struct buf *buf, char type, const void *body, size_t len)
{
    char header[PG_HEADER_SIZE];

    pg_put_header(header, type, (uint32_t)len);
    assert_int_equal(buf_append(buf, header, sizeof(header)), 0);
    assert_int_equal(buf_append(buf, body, len), 0);
}

/* sizeof counts the NUL that ends it. */
#define APPEND(buf, type, text) append(buf, type, text, sizeof(text))

static void
append_use(struct buf *buf)
{
    APPEND(buf, 'B', "\0name\0\0\0\0\1\0\0\0\6 c0.1;\0");
    APPEND(buf, 'E', "\0\0\0\0");
}

static void
append_sync(struct buf *buf)
{
    append(buf, 'S', NULL, 0);
}

/* A client and a server, which a model plays. */
struct pair {
    struct fixture *f;
    struct peer *client, *server;
    struct model_fates fates;
    struct model model;  /* of the server */
    struct model direct; /* what the client would get without us */
    struct buf said;
};

static void
pair_begin(struct pair *pair, struct fixture *f, const char *text)
{
    memset(pair, 0, sizeof(*pair));
    pair->f = f;
    model_init(&pair->model, &pair->fates);
    model_init(&pair->direct, &pair->fates);
    fixture_begin(f, text, &pair->client, &pair->server);
}

static void
pair_end(struct pair *pair)
{
    model_done(&pair->model);
    model_done(&pair->direct);
    buf_done(&pair->said);
}

static void
tell(struct model *model, struct buf *input)
{
    while (input->len >= PG_HEADER_SIZE && pg_get_uint32(input->data + 1) < input->len) {
        const size_t len = pg_get_uint32(input->data + 1) + 1;

        model_message(model, input->data, len);
        buf_consume(input, len);
    }
}

/* The server takes what has come; its answers are in pair->model.output. */
static void
server_works(struct pair *pair)
{
    fixture_settle(pair->f);
    (void)peer_fill(pair->server);
    tell(&pair->model, &pair->server->input);
}

static void
server_answers(struct pair *pair, size_t len)
{
    peer_send_bytes(pair->server, pair->model.output.data, len);
    buf_consume(&pair->model.output, len);
}

/* What the client has got is what a server of its own would have said. */
static void
expect_answers(struct pair *pair)
{
    tell(&pair->direct, &pair->said);
    peer_expect_bytes(pair->client, pair->direct.output.data, pair->direct.output.len);
    peer_expect_silence(pair->client);
    buf_clear(&pair->direct.output);
}

/* --- in few pieces ----------------------------------------------------------------------------
 */

/* All that is said leaves in one send, and all that is answered in another. */
static void
travel_together(struct pair *pair)
{
    peer_send_bytes(pair->client, pair->said.data, pair->said.len);
    assert_int_equal(count_sends(pair->f), 1);
    server_works(pair);
    server_answers(pair, pair->model.output.len);
    assert_int_equal(count_sends(pair->f), 1);
    expect_answers(pair);
    pair_end(pair);
}

static void
test_queries_travel_together(void **state)
{
    struct pair pair;

    pair_begin(&pair, *state, "");
    for (unsigned i = 0; i < 200; i++)
        APPEND(&pair.said, 'Q', "a query");
    travel_together(&pair);
}

/* Though most of these messages, and some of their answers, are put into other words. */
static void
test_statements_travel_together(void **state)
{
    struct pair pair;

    pair_begin(&pair, *state, "");
    for (unsigned i = 0; i < 200; i++) {
        APPEND(&pair.said, 'P', "name\0one\0\0");
        append_use(&pair.said);
        APPEND(&pair.said, 'C', "Sname");
    }
    append_sync(&pair.said);
    travel_together(&pair);
}

/* Errors, each in its segment, with a name in the client's words. */
static void
test_errors_travel_together(void **state)
{
    struct pair pair;

    pair_begin(&pair, *state, "");
    APPEND(&pair.said, 'P', "name\0one\0\0");
    append_sync(&pair.said);
    for (unsigned i = 0; i < 100; i++) {
        APPEND(&pair.said, 'P', "name\0one\0\0");
        append_use(&pair.said);
        append_sync(&pair.said);
        append_use(&pair.said);
        append_sync(&pair.said);
    }
    peer_send_bytes(pair.client, pair.said.data, pair.said.len);
    for (unsigned i = 0; i < 4; i++) { /* some wait for an answer */
        server_works(&pair);
        server_answers(&pair, pair.model.output.len);
        assert_in_range(count_sends(pair.f), 0, 2);
    }
    expect_answers(&pair);
    pair_end(&pair);
}

/* --- wherever they are cut --------------------------------------------------------------------
 */

static void
append_dialogue(struct buf *buf)
{
    APPEND(buf, 'Q', "SET application_name = 'x'");
    APPEND(buf, 'P', "name\0one\0\0");
    append_use(buf);
    APPEND(buf, 'D', "Sname");
    append(buf, 'H', NULL, 0);
    APPEND(buf, 'D', "P");
    append_sync(buf);
    APPEND(buf, 'P', "name\0two\0\0"); /* in use: all is passed over */
    append_use(buf);
    append_sync(buf);
    APPEND(buf, 'Q', "begin");
    APPEND(buf, 'Q', "die");
    APPEND(buf, 'F', "call");
    APPEND(buf, 'Q', "rollback");
    APPEND(buf, 'F', "call");
    APPEND(buf, 'Q', "copy in");
    APPEND(buf, 'd', "row");
    append(buf, 'c', NULL, 0);
    APPEND(buf, 'Q', "copy in");
    APPEND(buf, 'd', "bad row");
    APPEND(buf, 'd', "a late row");
    append(buf, 'c', NULL, 0);
    APPEND(buf, 'Q', "copy in");
    APPEND(buf, 'f', "not wanted");
    APPEND(buf, 'P', "\0copy out\0\0");
    APPEND(buf, 'B', "\0\0\0\0\0\1\0\0\0\6 c0.1;\0");
    APPEND(buf, 'E', "\0\0\0\0");
    append_sync(buf);
    APPEND(buf, 'Q', "");
    APPEND(buf, 'Q', "notice");
    APPEND(buf, 'Q', "DEALLOCATE name");
    APPEND(buf, 'Q', "SET application_name = ''");
}

static void
finish(struct pair *pair)
{
    /* A message may wait for the answer to one before it. */
    for (unsigned round = 0; round < 6; round++) {
        server_works(pair);
        server_answers(pair, pair->model.output.len);
    }
    expect_answers(pair);
}

static void
test_client_cut_anywhere(void **state)
{
    struct pair pair;
    size_t len = 1;

    pair_begin(&pair, *state, "");
    for (size_t at = 0; at < len; at++) {
        append_dialogue(&pair.said);
        len = pair.said.len;
        peer_send_bytes(pair.client, pair.said.data, at);
        if (at % 2 == 0)
            fixture_settle(pair.f);
        else
            for (unsigned round = 0; round < 2; round++) {
                server_works(&pair);
                server_answers(&pair, pair.model.output.len);
            }
        fixture_settle(pair.f);
        peer_send_bytes(pair.client, pair.said.data + at, len - at);
        finish(&pair);
    }
    pair_end(&pair);
}

static void
test_server_cut_anywhere(void **state)
{
    struct pair pair;
    size_t len = 1;

    pair_begin(&pair, *state, "");
    for (size_t at = 0; at < len; at++) {
        append_dialogue(&pair.said);
        peer_send_bytes(pair.client, pair.said.data, pair.said.len);
        for (unsigned round = 0; round < 6; round++) {
            server_works(&pair);
            len = MAX(len, pair.model.output.len);
            server_answers(&pair, MIN(at, pair.model.output.len));
            fixture_settle(pair.f);
            server_answers(&pair, pair.model.output.len);
        }
        expect_answers(&pair);
    }
    pair_end(&pair);
}

static void
test_byte_by_byte(void **state)
{
    struct pair pair;

    pair_begin(&pair, *state, "");
    append_dialogue(&pair.said);
    for (size_t i = 0; i < pair.said.len; i++) {
        peer_send_bytes(pair.client, pair.said.data + i, 1);
        server_works(&pair);
        while (pair.model.output.len > 0) {
            server_answers(&pair, 1);
            fixture_settle(pair.f);
        }
    }
    finish(&pair);
    pair_end(&pair);
}

/* --- both ways at once ------------------------------------------------------------------------
 */

/* Either side may end its half first; what comes behind the end is nobody else's. */
static void
test_copy_both(void **state)
{
    struct pair pair;

    pair_begin(&pair, *state, "pool_mode = session\n");
    APPEND(&pair.said, 'Q', "copy both");
    for (unsigned i = 0; i < 3; i++)
        APPEND(&pair.said, 'd', "there and back");
    append(&pair.said, 'c', NULL, 0);
    APPEND(&pair.said, 'Q', "next");
    peer_send_bytes(pair.client, pair.said.data, pair.said.len);
    finish(&pair);
    APPEND(&pair.said, 'Q', "copy both");
    peer_send_bytes(pair.client, pair.said.data, pair.said.len);
    finish(&pair);
    peer_send(pair.server, 'd', "first");
    peer_send(pair.server, 'c', NULL);
    peer_expect_types(pair.client, "dc");
    peer_send(pair.client, 'd', "late");
    peer_send(pair.client, 'c', NULL);
    peer_expect_types(pair.server, "dc");
    peer_send_complete(pair.server, "COPY 0", 'I');
    peer_expect_types(pair.client, "CZ");
    assert_int_equal(fixture_idle_count(pair.f), 0); /* it is a session */
    pair_end(&pair);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_queries_travel_together),
        TEST(test_statements_travel_together),
        TEST(test_errors_travel_together),
        TEST(test_client_cut_anywhere),
        TEST(test_server_cut_anywhere),
        TEST(test_byte_by_byte),
        TEST(test_copy_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
