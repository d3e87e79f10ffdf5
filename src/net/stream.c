/*
 * stream.c - one socket's bytes: received into the arena, sent by the outbox, the rest kept.
 *
 * What is sent goes, in this order of preference: behind what is kept already (backlog); into the
 * batch of this turn (entry); straight to the socket, when the arena has no room for a copy. A
 * stream has an entry or a backlog or neither, never both, so bytes cannot overtake each other.
 */
#include "stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "fd.h"
#include "loop.h"
#include "outbox_int.h"
#include "stream_int.h"

static void stream_event(void *arg, unsigned what);

/* Waits for what the stream's state asks for. */
static void
stream_watch(struct stream *stream)
{
    unsigned want = 0;
    int r;

    if (stream->io == NULL)
        return;
    if (stream->reading)
        want |= IO_READ;
    else if (!stream->told_hung_up)
        want |= IO_CLOSED;
    if (stream->backlog != NULL)
        want |= IO_WRITE;
    r = io_want(stream->io, want);
    if (r < 0)
        stream_fail(stream, -r);
}

/* Joins outbox and its loop. */
static int
stream_join(struct stream *stream, struct outbox *outbox)
{
    struct io *io = io_new(outbox->loop, stream->fd, stream->ops->name, stream_event, stream);

    if (io == NULL)
        return -ENOMEM;
    stream->io = io;
    stream->outbox = outbox;
    stream_watch(stream);
    if (stream->held || (stream->error != 0 && !stream->told_failed))
        outbox_owe(outbox, stream);
    return 0;
}

int
stream_open(struct stream *stream, struct outbox *outbox, int fd, struct ssl_st *tls, bool keep_fd,
            const struct stream_ops *ops)
{
    int r = 0;

    *stream = (struct stream){
        .ops = ops,
        .tls = tls,
        .fd = fd,
        .reading = true,
        .keep_fd = keep_fd,
    };
    if (tls != NULL)
        r = stream_tls_open(stream);
    if (r >= 0)
        r = stream_join(stream, outbox);
    if (r < 0)
        stream_close(stream);
    return r;
}

/* Takes the stream out of the loop's and the outbox's sight. */
static void
stream_leave(struct stream *stream)
{
    list_remove(&stream->link);
    io_free(TAKE(stream->io));
    stream->outbox = NULL;
}

void
stream_close(struct stream *stream)
{
    const bool all_sent = stream->entry == NULL && stream->backlog == NULL && stream->error == 0;

    if (!stream_is_open(stream))
        return;
    if (stream->entry != NULL)
        TAKE(stream->entry)->stream = NULL;
    stream_leave(stream);
    if (stream->tls != NULL)
        stream_tls_close(stream, all_sent && !stream->keep_fd);
    free(TAKE(stream->backlog));
    if (!stream->keep_fd)
        fd_close(stream->fd);
    stream->fd = -1;
    stream->ops = NULL;
}

int
stream_start_tls(struct stream *stream, struct ssl_st *tls)
{
    int r;

    assert(stream->tls == NULL && !stream->keep_fd);
    stream->tls = tls;
    r = stream_tls_open(stream);
    if (r == 0 && stream->held)
        stream_hold(stream);
    return r;
}

int
stream_take_fd(struct stream *stream, struct ssl_st **ret_tls)
{
    const int fd = stream->fd;

    outbox_flush(stream->outbox);
    *ret_tls = stream->tls;
    stream->keep_fd = true;
    stream_close(stream);
    return fd;
}

bool
stream_is_open(const struct stream *stream)
{
    return stream->ops != NULL;
}

ssize_t
stream_recv(struct stream *stream, const char **ret_data, bool *ret_more)
{
    size_t room;
    char *data;
    ssize_t n;

    if (stream->tls != NULL)
        return stream_tls_recv(stream, ret_data, ret_more);
    data = outbox_receive_begin(stream->outbox, &room);
    n = recv(stream->fd, data, room, 0);
    outbox_receive_end(stream->outbox, n > 0 ? (size_t)n : 0);
    if (ret_more != NULL)
        *ret_more = n > 0 && (size_t)n == room;
    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    stream->received += (size_t)n;
    *ret_data = data;
    return n;
}

/* Keeps bytes until the socket takes them. */
static void
stream_keep(struct stream *stream, const void *data, size_t len)
{
    const int r = stream_backlog_append(&stream->backlog, data, len);

    if (r < 0)
        stream_fail(stream, -r);
    else
        stream_watch(stream);
}

void
stream_sent(struct stream *stream, const struct iovec *iov, unsigned count, ssize_t result)
{
    size_t skip;

    if (result < 0 && result != -EAGAIN && result != -EINTR) {
        stream_fail(stream, (int)-result);
        return;
    }
    skip = result > 0 ? (size_t)result : 0;
    for (unsigned i = 0; i < count && stream->error == 0; i++) {
        const size_t gone = MIN(skip, iov[i].iov_len);

        skip -= gone;
        if (gone < iov[i].iov_len)
            stream_keep(stream, (const char *)iov[i].iov_base + gone, iov[i].iov_len - gone);
    }
}

/* Sends data, for a copy of which the arena has no room, from where it is. */
static void
stream_send_now(struct stream *stream, const void *data, size_t len)
{
    const struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
    ssize_t n;

    outbox_flush(stream->outbox); /* may hold what goes before it */
    if (stream->error != 0)
        return;
    if (stream->backlog != NULL) {
        stream_keep(stream, data, len);
        return;
    }
    n = send(stream->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    stream_sent(stream, &iov, 1, n < 0 ? -errno : n);
}

/* Sends data, which lies in the arena, with this turn's batch. */
static void
stream_queue(struct stream *stream, const void *data, size_t len)
{
    if (outbox_add(stream->outbox, stream, data, len))
        return;
    outbox_flush(stream->outbox);
    if (stream->backlog != NULL)
        stream_keep(stream, data, len);
    else if (stream->error == 0)
        (void)outbox_add(stream->outbox, stream, data, len); /* the batch is empty now */
}

void
stream_send_raw(struct stream *stream, const void *data, size_t len)
{
    const void *copy;

    if (stream->error != 0 || len == 0)
        return;
    if (stream->backlog != NULL || stream->outbox == NULL) {
        stream_keep(stream, data, len);
        return;
    }
    copy = outbox_copy(stream->outbox, data, len);
    if (copy != NULL)
        stream_queue(stream, copy, len);
    else
        stream_send_now(stream, data, len);
}

void
stream_send(struct stream *stream, const void *data, size_t len)
{
    if (stream->error != 0 || len == 0)
        return;
    stream->sent += len;
    if (stream->tls != NULL)
        stream_tls_send(stream, data, len);
    else if (stream->backlog != NULL)
        stream_keep(stream, data, len);
    else
        stream_queue(stream, data, len);
}

void
stream_send_copy(struct stream *stream, const void *data, size_t len)
{
    if (stream->error != 0 || len == 0)
        return;
    stream->sent += len;
    if (stream->tls != NULL)
        stream_tls_send(stream, data, len);
    else
        stream_send_raw(stream, data, len);
}

size_t
stream_backlog_size(const struct stream *stream)
{
    return stream_backlog_len(stream->backlog);
}

void
stream_fail(struct stream *stream, int error)
{
    if (stream->error != 0)
        return;
    stream->error = (unsigned char)error;
    free(TAKE(stream->backlog));
    if (stream->outbox != NULL)
        outbox_owe(stream->outbox, stream);
}

void
stream_hold(struct stream *stream)
{
    stream->held = true;
    if (stream->reading && stream->outbox != NULL)
        outbox_owe(stream->outbox, stream);
}

void
stream_pay(struct stream *stream)
{
    const bool readable = stream->held && stream->reading;

    if (stream->error != 0 && !stream->told_failed) {
        stream->told_failed = true;
        if (readable)
            outbox_owe(stream->outbox, stream);
        stream_watch(stream);
        stream->ops->failed(stream, stream->error); /* may close and free it */
    } else if (readable) {
        stream->ops->readable(stream);
    }
}

/*
 * Turning reading off changes nothing in the kernel yet: most often it is on again before a byte
 * arrives. The first event that comes while it is off does.
 */
void
stream_set_reading(struct stream *stream, bool reading)
{
    if (stream->reading == reading)
        return;
    stream->reading = reading;
    if (!reading)
        return;
    stream_watch(stream);
    if (stream->held && stream->outbox != NULL)
        outbox_owe(stream->outbox, stream);
}

/* Sends what is kept. True when all is gone and the owner was told: it may have freed the stream.
 */
static bool
stream_drain(struct stream *stream)
{
    const int r = stream_backlog_send(stream->backlog, stream->fd);

    if (r < 0)
        stream_fail(stream, -r);
    if (r <= 0)
        return false;
    free(TAKE(stream->backlog));
    stream_watch(stream);
    stream->ops->drained(stream);
    return true;
}

/* The loop's. The socket stays ready for what is not done now, and the loop calls again. */
static void
stream_event(void *arg, unsigned what)
{
    struct stream *stream = arg;

    if ((what & IO_WRITE) && stream->backlog != NULL && stream_drain(stream))
        return;
    if ((what & IO_READ) && stream->reading) {
        stream->ops->readable(stream);
        return;
    }
    if ((what & IO_CLOSED) && !stream->reading && !stream->told_hung_up) {
        stream->told_hung_up = true;
        stream_watch(stream);
        stream->ops->hung_up(stream);
        return;
    }
    stream_watch(stream); /* what it was called for is not wanted any more */
}

void
stream_detach(struct stream *stream)
{
    outbox_flush(stream->outbox);
    stream_leave(stream);
}

int
stream_attach(struct stream *stream, struct outbox *outbox)
{
    const int r = stream_join(stream, outbox);

    if (r < 0)
        stream_close(stream);
    return r;
}
