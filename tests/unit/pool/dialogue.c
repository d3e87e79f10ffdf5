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

/* The client prepares, and the server answers; returns the server's name. */
void
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
void
finish(struct peer *client, struct peer *server, const char *types)
{
    for (; *types != '\0'; types++)
        peer_send(server, *types, NULL);
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "2C");
    peer_expect_ready(client, 'I');
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
