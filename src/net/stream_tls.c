/*
 * stream_tls.c - TLS over a BIO of our own, which has no socket.
 *
 * OpenSSL reads from the ciphertext that one recv brought into the arena, and writes into the
 * outbox; it never sees the descriptor, so it never waits, and its records join the batch. It is
 * fed until it wants more, so all it keeps is the beginning of a record.
 *
 * Plaintext takes the place of the ciphertext that it came from:
 *
 *     |  plaintext ->     gap     |  ciphertext not read yet  |
 *     start                       outbox->ciphertext
 *
 * A record yields less than it consumes, except the first, whose beginning OpenSSL may have kept;
 * the gap is more than that. OpenSSL is never given more room than the gap has, come what may.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "macros.h"
#include "outbox_int.h"
#include "stream_int.h"

/* Twice a record. */
#define TLS_GAP (2 * (SSL3_RT_MAX_PLAIN_LENGTH + SSL3_RT_MAX_ENCRYPTED_OVERHEAD))

/* A peer may make OpenSSL answer (a new key, an alert) so much at most, while it takes nothing. */
#define TLS_ANSWERS_MAX (64 * 1024)

static BIO_METHOD *tls_bio_method;
static pthread_once_t tls_bio_once = PTHREAD_ONCE_INIT;

/*
 * What an earlier call has left behind would be taken for an error of the next. There is nothing,
 * nearly always, and to look is a tenth of the work.
 */
static void
tls_forget_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

static int
tls_bio_read(BIO *bio, char *data, int len)
{
    const struct stream *stream = BIO_get_data(bio);
    struct outbox *outbox = stream != NULL ? stream->outbox : NULL;
    size_t n;

    BIO_clear_retry_flags(bio);
    if (stream == NULL)
        return 0; /* closed: the end */
    if (outbox == NULL || outbox->ciphertext == outbox->ciphertext_end) {
        BIO_set_retry_read(bio);
        return -1;
    }
    n = MIN((size_t)len, (size_t)(outbox->ciphertext_end - outbox->ciphertext));
    memcpy(data, outbox->ciphertext, n);
    outbox->ciphertext += n;
    return (int)n;
}

/* Takes everything: what cannot be sent is the stream's failure, of which its owner is told. */
static int
tls_bio_write(BIO *bio, const char *data, int len)
{
    struct stream *stream = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (stream != NULL)
        stream_send_raw(stream, data, (size_t)len);
    return len;
}

static long
tls_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return BIO_get_data(bio) == NULL;
    default:
        return 0;
    }
}

/* Once for the process, and for good: libpq may free the last BIO long after any stream. */
static void
tls_bio_init(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

    if (method == NULL)
        return;
    BIO_meth_set_read(method, tls_bio_read);
    BIO_meth_set_write(method, tls_bio_write);
    BIO_meth_set_ctrl(method, tls_bio_ctrl);
    tls_bio_method = method;
}

int
stream_tls_open(struct stream *stream)
{
    BIO *bio;

    pthread_once(&tls_bio_once, tls_bio_init);
    if (tls_bio_method == NULL)
        return -ENOMEM;
    bio = BIO_new(tls_bio_method);
    if (bio == NULL)
        return -ENOMEM;
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(stream->tls, bio, bio);
    SSL_set_mode(stream->tls, SSL_MODE_AUTO_RETRY);             /* a read that fails has read all */
    SSL_clear_mode(stream->tls, SSL_MODE_ENABLE_PARTIAL_WRITE); /* a write takes all */
    SSL_set_options(stream->tls, SSL_OP_NO_RENEGOTIATION);      /* a write never has to read */
    if (SSL_get_shutdown(stream->tls) & SSL_RECEIVED_SHUTDOWN)
        stream->end = STREAM_END; /* it came along with the handshake */
    stream->held = SSL_has_pending(stream->tls) || stream->end != STREAM_OPEN;
    return 0;
}

/* A close_notify, if the socket takes it. The stream has left its loop, so it is in the backlog. */
static void
tls_say_end(struct stream *stream)
{
    tls_forget_errors();
    (void)SSL_shutdown(stream->tls);
    if (stream->backlog != NULL)
        (void)stream_backlog_send(stream->backlog, stream->fd);
}

/* The SSL object may live on, with libpq or another stream: its BIO is dead from now on. */
void
stream_tls_close(struct stream *stream, bool polite)
{
    BIO *bio = SSL_get_rbio(stream->tls);

    if (bio != NULL && BIO_get_data(bio) == stream) {
        if (polite && stream->end != STREAM_BROKEN)
            tls_say_end(stream);
        BIO_set_data(bio, NULL);
    }
    if (!stream->keep_fd)
        SSL_free(stream->tls);
    stream->tls = NULL;
}

/* What OpenSSL said instead of giving bytes: that it only wants more, or the end. */
static void
tls_note_end(struct stream *stream, int result)
{
    switch (SSL_get_error(stream->tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        break;
    case SSL_ERROR_ZERO_RETURN:
        stream->end = STREAM_END;
        break;
    default:
        stream->end = STREAM_BROKEN;
        break;
    }
}

/* What decrypting has added to the backlog: without a bound a peer could fill our memory so. */
static void
tls_count_answers(struct stream *stream, size_t backlog)
{
    const size_t now = stream_backlog_size(stream);

    if (now == 0)
        stream->answered = 0;
    else if (now > backlog)
        stream->answered += (uint32_t)(now - backlog);
    if (stream->answered > TLS_ANSWERS_MAX)
        stream->end = STREAM_BROKEN;
}

/* Decrypts n bytes at ciphertext (none: what OpenSSL has) to start. Returns how many came of it. */
static size_t
tls_decrypt(struct stream *stream, char *start, const char *ciphertext, size_t n)
{
    const size_t backlog = stream_backlog_size(stream);
    struct outbox *outbox = stream->outbox;
    char *to = start;
    int r;

    stream->held = false;
    outbox->ciphertext = ciphertext;
    outbox->ciphertext_end = ciphertext + n;
    while (outbox->ciphertext < outbox->ciphertext_end || SSL_has_pending(stream->tls)) {
        const size_t gap = (size_t)(outbox->ciphertext - to);

        if (gap == 0) {
            assert(n == 0);
            stream_hold(stream); /* OpenSSL had more than the arena has room for */
            break;
        }
        tls_forget_errors();
        r = SSL_read(stream->tls, to, (int)MIN(gap, (size_t)INT_MAX));
        if (r <= 0) {
            tls_note_end(stream, r);
            break;
        }
        to += r;
    }
    outbox->ciphertext = NULL;
    outbox->ciphertext_end = NULL;
    tls_count_answers(stream, backlog);
    if (stream->end != STREAM_OPEN && to > start)
        stream_hold(stream); /* first the bytes, then the end */
    return (size_t)(to - start);
}

/* What a receive that brought no bytes means. */
static ssize_t
tls_no_bytes(const struct stream *stream)
{
    switch (stream->end) {
    case STREAM_END:
        return 0;
    case STREAM_BROKEN:
        return -EPROTO;
    default:
        return -EAGAIN;
    }
}

/* Gives out what OpenSSL has already; 0 is nothing. */
static size_t
tls_recv_held(struct stream *stream, const char **ret_data)
{
    size_t room;
    char *start = outbox_receive_begin(stream->outbox, &room);
    const size_t len = tls_decrypt(stream, start, start + room, 0);

    outbox_receive_end(stream->outbox, len);
    *ret_data = start;
    return len;
}

/* Receives from the socket once, and gives out what it held. */
static ssize_t
tls_recv_socket(struct stream *stream, const char **ret_data, bool *ret_more)
{
    size_t room;
    char *start = outbox_receive_begin(stream->outbox, &room);
    const ssize_t n = recv(stream->fd, start + TLS_GAP, room - TLS_GAP, 0);
    const int error = errno;
    size_t len = 0;

    if (n > 0)
        len = tls_decrypt(stream, start, start + TLS_GAP, (size_t)n);
    outbox_receive_end(stream->outbox, len);
    *ret_data = start;
    *ret_more = n > 0 && (size_t)n == room - TLS_GAP;
    if (n <= 0)
        return n == 0 ? 0 : error == EINTR ? -EAGAIN : -error;
    return len > 0 ? (ssize_t)len : tls_no_bytes(stream);
}

ssize_t
stream_tls_recv(struct stream *stream, const char **ret_data, bool *ret_more)
{
    bool more = true;
    ssize_t n = 0;

    if (stream->end == STREAM_OPEN && stream->held)
        n = (ssize_t)tls_recv_held(stream, ret_data);
    stream->held = stream->held && n > 0;
    if (n == 0 && stream->end != STREAM_OPEN)
        return tls_no_bytes(stream);
    if (n == 0)
        n = tls_recv_socket(stream, ret_data, &more);
    if (n > 0)
        stream->received += (size_t)n;
    if (ret_more != NULL)
        *ret_more = more;
    return n;
}

void
stream_tls_send(struct stream *stream, const void *data, size_t len)
{
    size_t sent;

    tls_forget_errors();
    if (SSL_write_ex(stream->tls, data, len, &sent) != 1 || sent != len)
        stream_fail(stream, EPROTO);
}
