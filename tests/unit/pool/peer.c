#include "peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "build.h"
#include "fd.h"
#include "fixture.h"
#include "notice.h"
#include "pg.h"

struct peer *
peer_new(struct fixture *fixture, int fd)
{
    struct peer *const peer = calloc(1, sizeof(*peer));

    assert_non_null(peer);
    peer->fixture = fixture;
    peer->fd = fd;
    list_push_back(&fixture->peers, &peer->link);
    return peer;
}

void
peer_close(struct peer *peer)
{
    fd_close(peer->fd);
    peer->fd = -1;
}

void
peer_free(struct peer *peer)
{
    peer_close(peer);
    list_remove(&peer->link);
    buf_done(&peer->input);
    free(peer);
}

/* --- sending --------------------------------------------------------------------------------- */

void
peer_send_types(struct peer *peer, const char *types)
{
    for (; *types != '\0'; types++)
        peer_send(peer, *types, NULL);
}

size_t
peer_send_some(struct peer *peer, const void *data, size_t len)
{
    size_t sent = 0;

    while (sent < len) {
        const ssize_t n =
            send(peer->fd, (const char *)data + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0)
            break;
        sent += (size_t)n;
    }
    return sent;
}

void
peer_send_bytes(struct peer *peer, const void *data, size_t len)
{
    assert_int_equal(peer_send_some(peer, data, len), len);
}

void
peer_send_body(struct peer *peer, char type, const void *body, size_t len)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    struct msg msg;

    msg_begin(&msg, &message, type);
    msg_put_bytes(&msg, body, len);
    assert_int_equal(msg_end(&msg), 0);
    peer_send_bytes(peer, message.data, message.len);
}

void
peer_send(struct peer *peer, char type, const char *str)
{
    peer_send_body(peer, type, str != NULL ? str : "", str != NULL ? strlen(str) + 1 : 0);
}

void
peer_send_ready(struct peer *peer, char status)
{
    peer_send_body(peer, BACKEND_READY, &status, 1);
}

void
peer_send_complete(struct peer *peer, const char *tag, char status)
{
    peer_send(peer, BACKEND_COMMAND_COMPLETE, tag);
    peer_send_ready(peer, status);
}

void
peer_send_error(struct peer *peer, const char *severity, const char *sqlstate, const char *message)
{
    CLEANUP(buf_done) struct buf buf = BUF_INIT;

    assert_int_equal(msg_error(&buf, severity, sqlstate, message, NULL, NULL), 0);
    peer_send_bytes(peer, buf.data, buf.len);
}

void
peer_send_parameter(struct peer *peer, const char *name, const char *value)
{
    CLEANUP(buf_done) struct buf buf = BUF_INIT;

    assert_int_equal(msg_parameter_status(&buf, name, value), 0);
    peer_send_bytes(peer, buf.data, buf.len);
}

/* --- expecting ------------------------------------------------------------------------------- */

static void complain(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);

static void
complain(const char *file, int line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vprint_error(format, args);
    va_end(args);
    print_error("\n");
    _fail(file, line);
}

size_t
peer_fill(struct peer *peer)
{
    ssize_t n = 1;

    while (n > 0) {
        assert_int_equal(buf_reserve(&peer->input, 65536), 0);
        n = recv(peer->fd, peer->input.data + peer->input.len, 65536, MSG_DONTWAIT);
        if (n > 0)
            peer->input.len += (size_t)n;
    }
    if (n == 0 || errno == ECONNRESET)
        peer->ended = true;
    return peer->input.len;
}

static void
peer_settle(struct peer *peer)
{
    fixture_settle(peer->fixture);
    (void)peer_fill(peer);
}

/* "Q "select 1"", for complaints: what is there, with dots for what cannot be shown. */
static const char *
describe_input(const struct peer *peer)
{
    static char text[200];
    size_t len = 0;

    if (peer->input.len == 0)
        return peer->ended ? "the end" : "nothing";
    for (size_t i = 0; i < peer->input.len && len < sizeof(text) - 1; i++) {
        const char c = peer->input.data[i];

        text[len++] = '.';
        if (c >= ' ' && c <= '~')
            text[len - 1] = c;
    }
    text[len] = '\0';
    return text;
}

/* The length of the whole message at the head of the input, 0 if there is none. */
static size_t
head_len(const struct peer *peer)
{
    size_t len;

    if (peer->input.len < PG_HEADER_SIZE)
        return 0;
    len = pg_get_uint32(peer->input.data + 1) + 1;
    return len <= peer->input.len ? len : 0;
}

void
peer_expect_at(struct peer *peer, char type, const char *text, const char *file, int line)
{
    size_t len;

    peer_settle(peer);
    len = head_len(peer);
    if (len == 0 || peer->input.data[0] != type)
        complain(file, line, "expected '%c' %s, got: %s", type, text != NULL ? text : "",
                 describe_input(peer));
    if (text != NULL &&
        memmem(peer->input.data + PG_HEADER_SIZE, len - PG_HEADER_SIZE, text, strlen(text)) == NULL)
        complain(file, line, "expected '%c' with \"%s\", got: %s", type, text,
                 describe_input(peer));
    buf_consume(&peer->input, len);
}

void
peer_expect_types_at(struct peer *peer, const char *types, const char *file, int line)
{
    for (; *types != '\0'; types++)
        peer_expect_at(peer, *types, NULL, file, line);
}

void
peer_expect_error_at(struct peer *peer, const char *severity, const char *sqlstate,
                     const char *text, const char *file, int line)
{
    struct notice notice;
    size_t len;

    peer_settle(peer);
    len = head_len(peer);
    if (len == 0 || peer->input.data[0] != BACKEND_ERROR ||
        notice_parse(peer->input.data + PG_HEADER_SIZE, len - PG_HEADER_SIZE, &notice) < 0)
        complain(file, line, "expected error %s %s, got: %s", sqlstate, text, describe_input(peer));
    if (strcmp(notice.severity, severity) != 0 || strcmp(notice.sqlstate, sqlstate) != 0)
        complain(file, line, "expected %s %s, got %s %s: %s", severity, sqlstate, notice.severity,
                 notice.sqlstate, notice.message);
    peer_expect_at(peer, BACKEND_ERROR, text, file, line);
}

void
peer_expect_ready_at(struct peer *peer, char status, const char *file, int line)
{
    const char text[] = {status, '\0'};

    peer_expect_at(peer, BACKEND_READY, text, file, line);
}

void
peer_ask_at(struct peer *client, struct peer *server, const char *sql, const char *file, int line)
{
    peer_send(client, FRONTEND_QUERY, sql);
    peer_expect_at(server, FRONTEND_QUERY, sql, file, line);
}

void
peer_answer_at(struct peer *server, struct peer *client, const char *tag, char status,
               const char *file, int line)
{
    peer_send_complete(server, tag, status);
    peer_expect_at(client, BACKEND_COMMAND_COMPLETE, tag, file, line);
    peer_expect_ready_at(client, status, file, line);
}

void
peer_expect_silence_at(struct peer *peer, const char *file, int line)
{
    peer_settle(peer);
    if (peer->input.len > 0 || peer->ended)
        complain(file, line, "expected nothing, got: %s", describe_input(peer));
}

void
peer_expect_end_at(struct peer *peer, const char *file, int line)
{
    peer_settle(peer);
    if (peer->input.len > 0 || !peer->ended)
        complain(file, line, "expected the end, got: %s", describe_input(peer));
}

void
peer_expect_login_at(struct peer *peer, const char *file, int line)
{
    peer_expect_at(peer, BACKEND_AUTHENTICATION, NULL, file, line);
    while (peer->input.len > 0 && peer->input.data[0] == BACKEND_PARAMETER_STATUS)
        peer_expect_at(peer, BACKEND_PARAMETER_STATUS, NULL, file, line);
    if (head_len(peer) > PG_HEADER_SIZE) {
        peer->key_len = MIN(head_len(peer) - PG_HEADER_SIZE, sizeof(peer->key));
        memcpy(peer->key, peer->input.data + PG_HEADER_SIZE, peer->key_len);
    }
    peer_expect_at(peer, BACKEND_KEY_DATA, NULL, file, line);
    peer_expect_ready_at(peer, READY_IDLE, file, line);
}

void
peer_expect_bytes_at(struct peer *peer, const void *data, size_t len, const char *file, int line)
{
    peer_settle(peer);
    if (peer->input.len < len || memcmp(peer->input.data, data, len) != 0)
        complain(file, line, "expected %zu other bytes, got %zu: %s", len, peer->input.len,
                 describe_input(peer));
    buf_consume(&peer->input, len);
}
