/*
 * tls_handshake.c - the server's side of a handshake over memory, step by step.
 *
 * OpenSSL is given whole records only, so that what a step can do depends on nothing but what has
 * come; when the handshake is done it gets the rest, too, and keeps the beginning of a record for
 * the stream to continue. It reads and writes our buffers by a BIO, whose data is the handshake.
 *
 * A step begins on the loop. When it comes to a signature, OpenSSL lets it be interrupted, and the
 * executor goes on: a session that is resumed, which needs none, is not worth two changes of
 * threads.
 */
#include "tls_handshake.h"

#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor.h"
#include "loop.h"
#include "macros.h"
#include "timer.h"
#include "tls_int.h"

#define RECORD_HEADER_SIZE 5
#define RECORD_MAX         (RECORD_HEADER_SIZE + SSL3_RT_MAX_ENCRYPTED_LENGTH)

/* How often a step asks again for its place in an executor that is full. */
#define RETRY_DELAY (20 * MSEC)

struct tls_handshake {
    struct tls_handshake_options options; /* with a reference to the context */
    struct job job;
    struct timer *retry;        /* owned; runs while the executor is full */
    enum tls_progress progress; /* WORKING: all below `abandoned` is the job's */
    bool abandoned;             /* freed while WORKING */
    bool is_long;               /* computed where that holds up nobody: no session is resumed */

    SSL *tls;          /* owned; NULL once taken */
    struct buf input;  /* what has come and is no step yet */
    size_t given;      /* so much of input OpenSSL may read */
    size_t read;       /* so much it has read */
    struct buf output; /* for the peer */
    struct buf early;  /* plaintext */
    char error[160];
    enum tls_progress outcome; /* the job's */
};

static enum tls_progress handshake_go(struct tls_handshake *handshake);

/* ---- what OpenSSL reads and writes ------------------------------------------------------------
 */

static BIO_METHOD *handshake_bio_method;
static pthread_once_t handshake_bio_once = PTHREAD_ONCE_INIT;

static int
handshake_bio_read(BIO *bio, char *data, int len)
{
    struct tls_handshake *handshake = BIO_get_data(bio);
    const size_t n = MIN((size_t)len, handshake->given - handshake->read);

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(data, handshake->input.data + handshake->read, n);
    handshake->read += n;
    return (int)n;
}

static int
handshake_bio_write(BIO *bio, const char *data, int len)
{
    struct tls_handshake *handshake = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (buf_append(&handshake->output, data, (size_t)len) == 0)
        return len;
    ERR_raise(ERR_LIB_BIO, ERR_R_MALLOC_FAILURE);
    return -1;
}

static long
handshake_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static void
handshake_bio_init(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "handshake");

    if (method == NULL)
        return;
    BIO_meth_set_read(method, handshake_bio_read);
    BIO_meth_set_write(method, handshake_bio_write);
    BIO_meth_set_ctrl(method, handshake_bio_ctrl);
    handshake_bio_method = method;
}

static int
handshake_set_bio(struct tls_handshake *handshake)
{
    BIO *bio;

    (void)pthread_once(&handshake_bio_once, handshake_bio_init);
    if (handshake_bio_method == NULL)
        return -ENOMEM;
    bio = BIO_new(handshake_bio_method);
    if (bio == NULL)
        return -ENOMEM;
    BIO_set_data(bio, handshake);
    BIO_set_init(bio, 1);
    SSL_set_bio(handshake->tls, bio, bio);
    return 0;
}

/* ---- what would take long --------------------------------------------------------------------
 */

/* With a ticket the client means to resume. Asked again after an interruption. */
int
tls_handshake_on_hello(SSL *tls, int *alert, void *arg)
{
    const struct tls_handshake *handshake = BIO_get_data(SSL_get_rbio(tls));
    const unsigned char *data;
    size_t len;

    (void)alert, (void)arg;
    if (handshake->is_long || SSL_client_hello_get0_ext(tls, TLSEXT_TYPE_psk, &data, &len) == 1 ||
        (SSL_client_hello_get0_ext(tls, TLSEXT_TYPE_session_ticket, &data, &len) == 1 && len > 0))
        return SSL_CLIENT_HELLO_SUCCESS;
    return SSL_CLIENT_HELLO_RETRY;
}

/* The ticket was none of ours, or is too old. Negative: asked again. */
static int
handshake_on_certificate(SSL *tls, void *arg)
{
    const struct tls_handshake *handshake = arg;

    return handshake->is_long || SSL_session_reused(tls) ? 1 : -1;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
handshake_retry(void *arg)
{
    struct tls_handshake *handshake = arg;
    const enum tls_progress progress = handshake_go(handshake);

    if (progress != TLS_HANDSHAKE_WORKING)
        handshake->options.stepped(handshake->options.arg, progress);
}

static int
handshake_prepare(struct tls_handshake *handshake)
{
    int r;

    r = tls_context_make(handshake->options.context, handshake->options.needs_certificate,
                         &handshake->tls);
    if (r < 0)
        return r;
    SSL_set_cert_cb(handshake->tls, handshake_on_certificate, handshake);
    r = handshake_set_bio(handshake);
    if (r < 0)
        return r;
    handshake->retry =
        timer_new(handshake->options.loop, "tls handshake", handshake_retry, handshake);
    return handshake->retry != NULL ? 0 : -ENOMEM;
}

static void
handshake_destroy(struct tls_handshake *handshake)
{
    timer_free(handshake->retry);
    SSL_free(handshake->tls);
    tls_context_unref(handshake->options.context);
    buf_done(&handshake->input);
    buf_done(&handshake->output);
    buf_done(&handshake->early);
    free(handshake);
}

int
tls_handshake_new(const struct tls_handshake_options *options, struct tls_handshake **ret_handshake)
{
    struct tls_handshake *handshake = calloc(1, sizeof(*handshake));
    int r;

    if (handshake == NULL)
        return -ENOMEM;
    handshake->options = *options;
    (void)tls_context_ref(options->context);
    handshake->progress = TLS_HANDSHAKE_WANTS_INPUT;
    r = handshake_prepare(handshake);
    if (r < 0) {
        handshake_destroy(handshake);
        return r;
    }
    *ret_handshake = handshake;
    return 0;
}

void
tls_handshake_free(struct tls_handshake *handshake)
{
    if (handshake == NULL)
        return;
    if (handshake->progress == TLS_HANDSHAKE_WORKING && !timer_is_running(handshake->retry)) {
        handshake->abandoned = true;
        timer_free(TAKE(handshake->retry));
    } else
        handshake_destroy(handshake);
}

/* ---- a step, on whatever thread -------------------------------------------------------------- */

static enum tls_progress
handshake_fail(struct tls_handshake *handshake, const char *text)
{
    (void)snprintf(handshake->error, sizeof(handshake->error), "%s", text);
    return TLS_HANDSHAKE_FAILED;
}

/* What OpenSSL did not like; for a certificate, what about it. */
static enum tls_progress
handshake_fail_tls(struct tls_handshake *handshake)
{
    const unsigned long error = ERR_peek_error();
    const long verified = SSL_get_verify_result(handshake->tls);

    if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        (void)snprintf(handshake->error, sizeof(handshake->error), "%s: %s", tls_error_text(),
                       X509_verify_cert_error_string(verified));
    else
        (void)handshake_fail(handshake, tls_error_text());
    ERR_clear_error();
    return TLS_HANDSHAKE_FAILED;
}

/* Whether a header begins a record that OpenSSL would take. */
static bool
is_record(const unsigned char *header, size_t size)
{
    return header[0] >= SSL3_RT_CHANGE_CIPHER_SPEC && header[0] <= SSL3_RT_APPLICATION_DATA &&
           size <= RECORD_MAX;
}

/* How many of the bytes are whole records. What is no record, OpenSSL shall see and refuse. */
static size_t
count_whole_records(const struct buf *input)
{
    size_t whole = 0;

    while (input->len - whole >= RECORD_HEADER_SIZE) {
        const unsigned char *header = (const unsigned char *)input->data + whole;
        const size_t size = RECORD_HEADER_SIZE + ((size_t)header[3] << 8 | header[4]);

        if (!is_record(header, size))
            return input->len;
        if (size > input->len - whole)
            break;
        whole += size;
    }
    return whole;
}

/* Decrypts what the client has sent behind its last message of the handshake. */
static enum tls_progress
handshake_read_early(struct tls_handshake *handshake)
{
    char data[SSL3_RT_MAX_PLAIN_LENGTH];
    size_t len;

    handshake->given = handshake->input.len;
    while (SSL_read_ex(handshake->tls, data, sizeof(data), &len) == 1) {
        if (buf_append(&handshake->early, data, len) < 0)
            return handshake_fail(handshake, "out of memory");
    }
    switch (SSL_get_error(handshake->tls, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_ZERO_RETURN: /* the end, of which the stream will tell */
        return TLS_HANDSHAKE_DONE;
    default:
        return handshake_fail_tls(handshake);
    }
}

static void
key_forget(EVP_PKEY *key)
{
    (void)EVP_PKEY_set_type(key, EVP_PKEY_get_id(key));
    EVP_PKEY_free(key);
}

/* Both sides' keys of the exchange; OpenSSL would keep them as long as the connection lasts. */
static void
handshake_forget_keys(struct tls_handshake *handshake)
{
    EVP_PKEY *key;

    if (SSL_get_tmp_key(handshake->tls, &key) == 1)
        key_forget(key);
    if (SSL_get_peer_tmp_key(handshake->tls, &key) == 1)
        key_forget(key);
    ERR_clear_error();
}

static enum tls_progress
handshake_finish(struct tls_handshake *handshake)
{
    handshake_forget_keys(handshake);
    if (handshake->options.needs_alpn && !tls_has_alpn(handshake->tls))
        return handshake_fail(handshake, "direct TLS without ALPN");
    return handshake_read_early(handshake);
}

static enum tls_progress
handshake_step(struct tls_handshake *handshake)
{
    enum tls_progress progress = TLS_HANDSHAKE_WANTS_INPUT;
    int r;

    ERR_clear_error();
    handshake->given = count_whole_records(&handshake->input);
    r = SSL_do_handshake(handshake->tls);
    switch (SSL_get_error(handshake->tls, r)) {
    case SSL_ERROR_NONE:
        progress = handshake_finish(handshake);
        break;
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_WANT_CLIENT_HELLO_CB:
    case SSL_ERROR_WANT_X509_LOOKUP:
        progress = TLS_HANDSHAKE_WORKING;
        break;
    default:
        progress = handshake_fail_tls(handshake);
    }
    buf_consume(&handshake->input, handshake->read);
    handshake->given -= handshake->read;
    handshake->read = 0;
    return progress;
}

/* ---- on the loop ----------------------------------------------------------------------------- */

static void
handshake_run(struct job *job)
{
    struct tls_handshake *handshake = container_of(job, struct tls_handshake, job);

    handshake->outcome = handshake_step(handshake);
}

static void
handshake_ran(struct job *job, bool cancelled)
{
    struct tls_handshake *handshake = container_of(job, struct tls_handshake, job);

    if (handshake->abandoned) {
        handshake_destroy(handshake);
        return;
    }
    handshake->progress =
        cancelled ? handshake_fail(handshake, "pooler is shutting down") : handshake->outcome;
    handshake->options.stepped(handshake->options.arg, handshake->progress);
}

static enum tls_progress
handshake_submit(struct tls_handshake *handshake)
{
    int r;

    handshake->is_long = true;
    handshake->job.run = handshake_run;
    handshake->job.done = handshake_ran;
    handshake->progress = TLS_HANDSHAKE_WORKING;
    r = executor_submit(handshake->options.executor, handshake->options.loop, &handshake->job);
    if (r == -EAGAIN)
        r = timer_start_common(handshake->retry, RETRY_DELAY);
    if (r < 0)
        handshake->progress = handshake_fail(handshake, "pooler is shutting down");
    return handshake->progress;
}

/*
 * Whether a step of a long one needs the executor, too: once our Finished is out, all that is left
 * is to check the client's, some 40 microseconds, unless it brings a certificate.
 */
static bool
handshake_step_is_long(const struct tls_handshake *handshake)
{
    char finished[EVP_MAX_MD_SIZE];

    return SSL_get_finished(handshake->tls, finished, sizeof(finished)) == 0 ||
           SSL_get_verify_mode(handshake->tls) != SSL_VERIFY_NONE;
}

/* Makes a step here, or has it made. */
static enum tls_progress
handshake_go(struct tls_handshake *handshake)
{
    if (handshake->options.executor == NULL)
        handshake->is_long = true;
    else if (handshake->is_long && handshake_step_is_long(handshake))
        return handshake_submit(handshake);
    handshake->progress = handshake_step(handshake);
    return handshake->progress == TLS_HANDSHAKE_WORKING ? handshake_submit(handshake)
                                                        : handshake->progress;
}

enum tls_progress
tls_handshake_input(struct tls_handshake *handshake, const void *data, size_t len)
{
    assert(handshake->progress == TLS_HANDSHAKE_WANTS_INPUT);
    if (buf_append(&handshake->input, data, len) < 0)
        handshake->progress = handshake_fail(handshake, "out of memory");
    else if (count_whole_records(&handshake->input) > 0)
        return handshake_go(handshake);
    return handshake->progress;
}

struct buf *
tls_handshake_output(struct tls_handshake *handshake)
{
    return &handshake->output;
}

struct buf *
tls_handshake_early(struct tls_handshake *handshake)
{
    return &handshake->early;
}

struct ssl_st *
tls_handshake_take(struct tls_handshake *handshake)
{
    SSL_set_bio(handshake->tls, NULL, NULL); /* ours ends with the handshake */
    return TAKE(handshake->tls);
}

const char *
tls_handshake_error(const struct tls_handshake *handshake)
{
    return handshake->error;
}
