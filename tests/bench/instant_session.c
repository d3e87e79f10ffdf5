#include "instant_session.h"

#include <err.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "instant_answer.h"
#include "startup.h"

#define RECEIVE_MIN ((size_t)(16 << 10))
#define ROWS_A_TURN 8 /* times answer_rows, so that nobody waits for a client who reads fast */

enum io {
    IO_DONE,
    IO_WANTS_INPUT,
    IO_WANTS_ROOM, /* for output */
    IO_CLOSED,
};

enum phase {
    PHASE_STARTUP,
    PHASE_HANDSHAKE,
    PHASE_DIALOGUE,
};

struct session {
    int epoll; /* borrowed */
    int fd;    /* owned */
    uint32_t number;
    uint32_t interest; /* in events */
    enum phase phase;
    bool drained;        /* nothing more to receive for now */
    SSL_CTX *tls_config; /* borrowed; NULL: no TLS */
    SSL *tls;            /* owned; NULL without */
    struct buf in;       /* not answered yet */
    struct buf out;      /* not sent yet; the rows of dialogue follow */
    struct dialogue dialogue;
};

void
session_new(int epoll, int fd, SSL_CTX *tls, uint32_t number)
{
    struct session *session = malloc(sizeof(*session));
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = session}};

    if (session == NULL)
        errx(1, "no memory");
    *session = (struct session){
        .epoll = epoll, .fd = fd, .number = number, .interest = EPOLLIN, .tls_config = tls};
    dialogue_init(&session->dialogue);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        err(1, "epoll_ctl");
}

static void
session_free(struct session *session)
{
    SSL_free(session->tls);
    close(session->fd);
    dialogue_done(&session->dialogue);
    buf_done(&session->in);
    buf_done(&session->out);
    free(session);
}

/* Bytes --------------------------------------------------------------------------------------- */

static enum io
tls_result(struct session *session, int result)
{
    switch (SSL_get_error(session->tls, result)) {
    case SSL_ERROR_WANT_READ:
        return IO_WANTS_INPUT;
    case SSL_ERROR_WANT_WRITE:
        return IO_WANTS_ROOM;
    default:
        ERR_clear_error();
        return IO_CLOSED;
    }
}

static enum io
send_some(struct session *session, const char *data, size_t len, size_t *ret_sent)
{
    ssize_t n;

    if (session->tls != NULL) {
        const int result = SSL_write_ex(session->tls, data, len, ret_sent);

        return result == 1 ? IO_DONE : tls_result(session, result);
    }
    n = send(session->fd, data, len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN ? IO_WANTS_ROOM : IO_CLOSED;
    *ret_sent = (size_t)n;
    return IO_DONE;
}

/* The end of the rows is answered in its turn. */
static enum io
send_rows(struct session *session)
{
    struct dialogue *dialogue = &session->dialogue;

    for (int i = 0; i < ROWS_A_TURN && dialogue->rows_left > 0; i++) {
        const size_t skip = dialogue_row_offset(dialogue);
        const size_t len = MIN(dialogue->rows_left, ANSWER_ROWS_SIZE - skip);
        size_t sent;
        const enum io io = send_some(session, answer_rows + skip, len, &sent);

        if (io != IO_DONE)
            return io;
        dialogue->rows_left -= sent;
        if (dialogue->rows_left == 0)
            dialogue_end_rows(dialogue, &session->out);
    }
    return dialogue->rows_left > 0 ? IO_WANTS_ROOM : IO_DONE;
}

static enum io
send_all(struct session *session)
{
    while (session->out.len > 0) {
        size_t sent;
        const enum io io = send_some(session, session->out.data, session->out.len, &sent);

        if (io != IO_DONE)
            return io;
        buf_consume(&session->out, sent);
    }
    return send_rows(session);
}

static enum io
receive_tls(struct session *session, char *data, size_t size, size_t *ret_received)
{
    const int result = SSL_read_ex(session->tls, data, size, ret_received);

    if (result != 1)
        return tls_result(session, result);
    session->drained = SSL_pending(session->tls) == 0;
    return IO_DONE;
}

static enum io
receive_plain(struct session *session, char *data, size_t size, size_t *ret_received)
{
    const ssize_t n = recv(session->fd, data, size, 0);

    if (n <= 0)
        return n < 0 && errno == EAGAIN ? IO_WANTS_INPUT : IO_CLOSED;
    session->drained = (size_t)n < size;
    *ret_received = (size_t)n;
    return IO_DONE;
}

static enum io
receive(struct session *session)
{
    struct buf *in = &session->in;
    size_t received;
    enum io io;

    if (session->drained)
        return IO_WANTS_INPUT;
    if (buf_reserve(in, RECEIVE_MIN) < 0)
        errx(1, "no memory");
    io = (session->tls != NULL ? receive_tls : receive_plain)(session, in->data + in->len,
                                                              in->cap - in->len - 1, &received);
    if (io != IO_DONE)
        return io;
    in->len += received;
    in->data[in->len] = '\0';
    return IO_DONE;
}

/* Phases -------------------------------------------------------------------------------------- */

static void
say(struct session *session, char letter)
{
    if (buf_append_char(&session->out, letter) < 0)
        errx(1, "no memory");
}

/* IO_DONE: something was said. */
static enum io
begin(struct session *session)
{
    struct startup startup;
    enum startup_kind kind;

    if (session->in.len == 0)
        return IO_WANTS_INPUT;
    kind = startup_parse(session->in.data, session->in.len, &startup);
    switch (kind) {
    case STARTUP_INCOMPLETE:
        return IO_WANTS_INPUT;
    case STARTUP_LOGIN:
        dialogue_welcome(&startup, session->number, &session->out);
        session->phase = PHASE_DIALOGUE;
        break;
    case STARTUP_SSL:
        say(session, session->tls_config != NULL ? 'S' : 'N');
        if (session->tls_config != NULL)
            session->phase = PHASE_HANDSHAKE;
        break;
    case STARTUP_GSSENC:
        say(session, 'N');
        break;
    case STARTUP_CANCEL:
    case STARTUP_DIRECT_TLS:
    case STARTUP_BAD:
        return IO_CLOSED;
    }
    buf_consume(&session->in, startup.len);
    return IO_DONE;
}

static enum io
shake_hands(struct session *session)
{
    int result;

    if (session->tls == NULL) {
        session->tls = SSL_new(session->tls_config);
        if (session->tls == NULL || SSL_set_fd(session->tls, session->fd) != 1)
            errx(1, "no TLS");
    }
    result = SSL_accept(session->tls);
    if (result != 1)
        return tls_result(session, result);
    session->phase = PHASE_STARTUP;
    return IO_DONE;
}

/* Answers what is there. IO_DONE: something was answered. */
static enum io
converse(struct session *session)
{
    const char *pos = session->in.data, *const end = pos + session->in.len;
    size_t done;

    while (session->dialogue.rows_left == 0 && end - pos >= PG_HEADER_SIZE) {
        const size_t len = (size_t)pg_get_uint32(pos + 1) + 1;

        if (*pos == FRONTEND_TERMINATE)
            return IO_CLOSED;
        if (len < PG_HEADER_SIZE || len > frontend_max_len(*pos))
            return IO_CLOSED;
        if (len > (size_t)(end - pos))
            break;
        if (dialogue_answer(&session->dialogue, *pos, pos + PG_HEADER_SIZE, &session->out))
            pos += len;
    }
    done = (size_t)(pos - session->in.data);
    buf_consume(&session->in, done);
    return done > 0 || session->out.len > 0 ? IO_DONE : IO_WANTS_INPUT;
}

static enum io
answer(struct session *session)
{
    switch (session->phase) {
    case PHASE_STARTUP:
        return begin(session);
    case PHASE_HANDSHAKE:
        return shake_hands(session);
    case PHASE_DIALOGUE:
        return converse(session);
    }
    return IO_CLOSED;
}

/* A handshake receives by itself. */
static enum io
session_step(struct session *session)
{
    enum io io = send_all(session);

    if (io != IO_DONE)
        return io;
    io = answer(session);
    if (io == IO_WANTS_INPUT && session->phase != PHASE_HANDSHAKE)
        io = receive(session);
    return io;
}

static void
set_interest(struct session *session, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data = {.ptr = session}};

    if (interest == session->interest)
        return;
    session->interest = interest;
    if (epoll_ctl(session->epoll, EPOLL_CTL_MOD, session->fd, &event) < 0)
        err(1, "epoll_ctl");
}

void
session_run(struct session *session)
{
    enum io io;

    session->drained = false;
    do {
        io = session_step(session);
    } while (io == IO_DONE);
    if (io == IO_CLOSED)
        session_free(session);
    else
        set_interest(session, io == IO_WANTS_ROOM ? EPOLLOUT : EPOLLIN);
}
