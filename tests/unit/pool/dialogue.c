#include "dialogue.h"

#include <stdio.h>

#include "cleanup.h"
#include "pg.h"

void
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

void
send_message(struct peer *peer, char type, const char *first, const char *second, const void *rest,
             size_t len)
{
    CLEANUP(buf_done) struct buf buf = BUF_INIT;

    add_message(&buf, type, first, second, rest, len);
    peer_send_bytes(peer, buf.data, buf.len);
}

void
send_parse(struct peer *peer, const char *name, const char *text)
{
    send_message(peer, 'P', name, text, "\0\0", 2);
}

void
send_bind(struct peer *peer, const char *name)
{
    send_message(peer, 'B', "", name, "\0\0\0\0\0\0", 6);
}

void
send_describe(struct peer *peer, const char *name)
{
    char what[80];

    (void)snprintf(what, sizeof(what), "S%s", name);
    peer_send(peer, 'D', what);
}

void
send_close(struct peer *peer, const char *name)
{
    char what[80];

    (void)snprintf(what, sizeof(what), "S%s", name);
    peer_send(peer, 'C', what);
}

/* A message that has come: its body up to the NUL behind skip bytes. */
void
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

/* The server answers with messages of these types, of which the client sees a BindComplete. */
void
finish(struct peer *client, struct peer *server, const char *types)
{
    peer_send_types(server, types);
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "2C");
    peer_expect_ready(client, 'I');
}

void
answer_sync(struct peer *client, struct peer *server, const char *types, const char *seen)
{
    peer_send_types(server, types);
    peer_send_ready(server, 'I');
    peer_expect_types(client, seen);
    peer_expect_ready(client, 'I');
}

/* The client prepares, and the server answers; returns the server's name. */
void
prepare(struct peer *client, struct peer *server, const char *name, const char *text,
        char ret_name[NAME_SIZE])
{
    send_parse(client, name, text);
    peer_send(client, 'S', NULL);
    read_name(server, 'P', 0, ret_name);
    peer_expect(server, 'S', NULL);
    answer_sync(client, server, "1", "1");
}

void
refuse_text(struct peer *client, struct peer *server)
{
    peer_send_error(server, "ERROR", "42601", "syntax error");
    answer_sync(client, server, "", "E");
}

/* The server is asked for a statement that nobody can have made, and says so. */
void
refuse_nowhere(struct peer *server, char type)
{
    size_t len;
    const char *const nowhere = statement_nowhere(&len);
    char text[100];

    peer_expect(server, type, nowhere);
    (void)snprintf(text, sizeof(text), "prepared statement \"%s\" does not exist", nowhere);
    peer_send_error(server, "ERROR", "26000", text);
}

/* ---- rows -------------------------------------------------------------------------------------
 */

void
send_execute(struct peer *client)
{
    send_message(client, 'E', "", NULL, "\0\0\0\0", 4);
}

void
send_used(struct peer *client, const char *name)
{
    send_bind(client, name);
    send_execute(client);
    peer_send(client, 'S', NULL);
}

void
send_described(struct peer *client, const char *name)
{
    send_bind(client, name);
    peer_send(client, 'D', "P");
    send_execute(client);
    peer_send(client, 'S', NULL);
}

void
send_stale(struct peer *server)
{
    peer_send_body(server, 'E', STALE_FIELDS, sizeof(STALE_FIELDS));
}

void
refuse_stale(struct peer *server)
{
    send_stale(server);
    peer_send_ready(server, 'I');
}

void
expect_changed(struct peer *client)
{
    peer_expect_error(client, "ERROR", "0A000", "cached plan must not change result type");
    peer_expect_ready(client, 'I');
}

void
put_rows(struct buf *body, const char *column, char type, char format)
{
    const char rest[] = {0, 0, 64, 1, 0, 1, 0, 0, 0, type, 0, 4, -1, -1, -1, -1, 0, format};

    buf_clear(body);
    assert_int_equal(buf_append(body, "\0\1", 2), 0);
    assert_int_equal(buf_append(body, column, strlen(column) + 1), 0);
    assert_int_equal(buf_append(body, rest, sizeof(rest)), 0);
}

void
send_rows(struct peer *server, const char *column)
{
    CLEANUP(buf_done) struct buf body = BUF_INIT;

    put_rows(&body, column, 23, 0);
    peer_send_body(server, 'T', body.data, body.len);
}

void
describe(struct peer *server, const char *column)
{
    peer_send(server, 't', "");
    send_rows(server, column);
}

void
finish_described(struct peer *client, struct peer *server, const char *types, const char *column)
{
    peer_send_types(server, types);
    send_rows(server, column);
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "2TCZ");
}

void
prepare_described(struct peer *client, struct peer *server, const char *column,
                  char ret_name[NAME_SIZE])
{
    send_parse(client, "s1", "select *");
    send_describe(client, "s1");
    peer_send(client, 'S', NULL);
    read_name(server, 'P', 0, ret_name);
    peer_expect_types(server, "DS");
    peer_send(server, '1', NULL);
    describe(server, column);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1tTZ");
}
