/*
 * test_stream_tls.c - streams through TLS; the peer is plain OpenSSL over memory BIOs.
 *
 * Each test runs with TLS 1.2 and 1.3, with the stream as the server and as the client.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "stream_end.h"

/* What the whole group of tests runs with. */
static int version;
static bool stream_is_server;

struct fixture {
    struct loop *loop;
    struct outbox *outbox;
    SSL_CTX *ctx[2]; /* client, server */
    SSL *peer;       /* over memory; peer_pump carries its ciphertext */
    SSL *tls;        /* the stream's */
    struct end end;
    struct buf peer_received;
    bool peer_ended; /* it has seen close_notify */
};

/* --- setting up --------------------------------------------------------------------------------
 */

static EVP_PKEY *key;
static X509 *certificate;

/* A key and a certificate that it has signed itself. */
static void
make_certificate(void)
{
    key = EVP_EC_gen("P-256");
    certificate = X509_new();
    assert_non_null(key);
    assert_non_null(certificate);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
}

static SSL_CTX *
make_ctx(bool server)
{
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

    assert_non_null(ctx);
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    if (server) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    }
    return ctx;
}

static SSL *
make_ssl(struct fixture *f, bool server)
{
    SSL *ssl = SSL_new(f->ctx[server]);

    assert_non_null(ssl);
    if (server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

/* What the peer has encrypted, to its descriptor; false when that is full. */
static bool
peer_push(struct fixture *f)
{
    BIO *bio = SSL_get_wbio(f->peer);
    char *data;
    const long len = BIO_get_mem_data(bio, &data);
    const ssize_t n = send(f->end.peer, data, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
    char sent[16384];

    for (ssize_t left = MAX(n, 0); left > 0;) /* drop what was sent */
        left -= BIO_read(bio, sent, (int)MIN(left, (ssize_t)sizeof(sent)));
    return n == len;
}

/* What came over the descriptor, to the peer. */
static void
peer_pull(struct fixture *f)
{
    char data[16384];
    ssize_t n;

    while ((n = recv(f->end.peer, data, sizeof(data), MSG_DONTWAIT)) > 0)
        assert_int_equal(BIO_write(SSL_get_rbio(f->peer), data, (int)n), n);
}

/* Carries ciphertext both ways and decrypts what came. */
static void
peer_pump(struct fixture *f)
{
    char data[16384];
    int n;

    peer_pull(f);
    ERR_clear_error();
    while ((n = SSL_read(f->peer, data, sizeof(data))) > 0)
        assert_int_equal(buf_append(&f->peer_received, data, (size_t)n), 0);
    f->peer_ended |= SSL_get_error(f->peer, n) == SSL_ERROR_ZERO_RETURN;
    (void)peer_push(f);
}

static void
handshake(struct fixture *f)
{
    bool done = false;

    while (!done) {
        done = SSL_do_handshake(f->tls) == 1;
        peer_pull(f);
        done &= SSL_do_handshake(f->peer) == 1;
        assert_true(peer_push(f));
    }
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int pair[2];

    assert_non_null(f);
    assert_int_equal(loop_new("test", &f->loop), 0);
    assert_int_equal(outbox_new(f->loop, OUTBOX_AUTO, &f->outbox), 0);
    f->ctx[0] = make_ctx(false);
    f->ctx[1] = make_ctx(true);
    f->tls = make_ssl(f, stream_is_server);
    f->peer = make_ssl(f, !stream_is_server);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    f->end.stream.fd = pair[0];
    f->end.peer = pair[1];
    SSL_set_bio(f->peer, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_fd(f->tls, pair[0]);
    handshake(f);
    *state = f;
    return 0;
}

/* The stream takes over what OpenSSL has done so far; the test keeps a reference. */
static void
open_stream(struct fixture *f)
{
    const int fd = f->end.stream.fd;

    assert_int_equal(SSL_up_ref(f->tls), 1);
    assert_int_equal(stream_open(&f->end.stream, f->outbox, fd, f->tls, false, &end_ops), 0);
}

static int
setup_open(void **state)
{
    (void)setup(state);
    open_stream(*state);
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    end_done(&f->end);
    SSL_free(f->tls);
    SSL_free(f->peer);
    SSL_CTX_free(f->ctx[0]);
    SSL_CTX_free(f->ctx[1]);
    buf_done(&f->peer_received);
    outbox_free(f->outbox);
    loop_free(f->loop);
    free(f);
    return 0;
}

/* Everything that is under way arrives. */
static void
settle(struct fixture *f)
{
    for (int i = 0; i < 3; i++) {
        peer_pump(f);
        fake_loop_settle(f->loop);
    }
}

static void
peer_write(struct fixture *f, const char *text)
{
    assert_int_equal(SSL_write(f->peer, text, (int)strlen(text)), strlen(text));
}

/* A new key for both directions, where TLS knows how. */
static void
peer_update_key(struct fixture *f)
{
    if (version != TLS1_3_VERSION)
        return;
    assert_int_equal(SSL_key_update(f->peer, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(f->peer), 1);
}

static void
expect_received(struct fixture *f, const char *text)
{
    assert_string_equal(buf_str(&f->end.received), text);
    assert_int_equal(f->end.received.len, strlen(text));
    buf_clear(&f->end.received);
}

static void
expect_peer_received(struct fixture *f, const char *text)
{
    assert_string_equal(buf_str(&f->peer_received), text);
    buf_clear(&f->peer_received);
}

/* --- the way of the bytes ----------------------------------------------------------------------
 */

static void
test_both_ways(void **state)
{
    struct fixture *f = *state;

    peer_write(f, "hello");
    stream_send_copy(&f->end.stream, "good ", 5);
    stream_send_copy(&f->end.stream, "day", 3);
    settle(f);
    expect_received(f, "hello");
    expect_peer_received(f, "good day");
    assert_int_equal(f->end.stream.received, 5);
    assert_int_equal(f->end.stream.sent, 8);
}

/* Three records, the stream of which is cut at every byte. */
static void
test_records_split_everywhere(void **state)
{
    struct fixture *f = *state;
    char wire[512];
    int len = 0;

    for (int cut = 0; cut == 0 || cut < len; cut++) {
        peer_write(f, "one, ");
        peer_write(f, "two, ");
        peer_write(f, "three");
        len = BIO_read(SSL_get_wbio(f->peer), wire, sizeof(wire));
        assert_true(len > 0 && len < (int)sizeof(wire));
        assert_int_equal(write(f->end.peer, wire, (size_t)cut), cut);
        fake_loop_settle(f->loop);
        assert_false(f->end.stream.held);
        assert_int_equal(write(f->end.peer, wire + cut, (size_t)(len - cut)), len - cut);
        fake_loop_settle(f->loop);
        expect_received(f, "one, two, three");
    }
}

static void
test_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    char wire[512];
    int len;

    peer_write(f, "slowly");
    len = BIO_read(SSL_get_wbio(f->peer), wire, sizeof(wire));
    for (int i = 0; i < len; i++) {
        assert_int_equal(write(f->end.peer, wire + i, 1), 1);
        fake_loop_settle(f->loop);
    }
    expect_received(f, "slowly");
}

struct transfer {
    struct rng rng;
    uint64_t to_stream; /* written by the peer */
    uint64_t from_stream;
    uint64_t received;
    uint64_t peer_received;
};

static void
transfer_step(struct fixture *f, struct transfer *t, uint64_t total)
{
    char data[60000];
    size_t n = 1 + rng_below(&t->rng, sizeof(data));

    n = MIN(n, total - t->to_stream);
    if (n > 0 && BIO_pending(SSL_get_wbio(f->peer)) < 200000) {
        text_fill(1, t->to_stream, data, n);
        assert_int_equal(SSL_write(f->peer, data, (int)n), n);
        t->to_stream += n;
    }
    n = 1 + rng_below(&t->rng, sizeof(data));
    n = MIN(n, total - t->from_stream);
    if (n > 0 && stream_backlog_size(&f->end.stream) < 200000) {
        text_fill(2, t->from_stream, data, n);
        stream_send_copy(&f->end.stream, data, n);
        t->from_stream += n;
    }
    if (rng_below(&t->rng, 3) == 0)
        peer_pump(f);
    if (rng_below(&t->rng, 40) == 0)
        peer_update_key(f);
    fake_loop_settle(f->loop);
}

/* A lot, both ways at once, with records of all sizes, short sends and changes of key. */
static void
test_large_transfer(void **state)
{
    struct fixture *f = *state;
    const uint64_t total = 3000000;
    struct transfer t = {0};

    rng_seed(&t.rng, test_seed());
    squeeze(f->end.stream.fd);
    while (t.received < total || t.peer_received < total) {
        transfer_step(f, &t, total);
        text_expect(1, t.received, f->end.received.data, f->end.received.len);
        t.received += f->end.received.len;
        buf_clear(&f->end.received);
        text_expect(2, t.peer_received, f->peer_received.data, f->peer_received.len);
        t.peer_received += f->peer_received.len;
        buf_clear(&f->peer_received);
    }
    assert_int_equal(f->end.failed, 0);
}

/* Pieces of a chunk go out through TLS; the chunk may fill the arena. */
static void
test_send_from_a_chunk(void **state)
{
    struct fixture *f = *state;
    const size_t total = 180000;
    char *text = malloc(total);
    struct end from;
    ssize_t n;

    assert_non_null(text);
    text_fill(5, 0, text, total);
    end_open(&from, f->outbox);
    from.forward = &f->end;
    from.rng = &(struct rng){{1, 2}};
    for (size_t at = 0; at < total; at += (size_t)n) {
        n = send(from.peer, text + at, total - at, MSG_DONTWAIT);
        n = MAX(n, 0);
        settle(f);
        stream_set_reading(&from.stream, true);
    }
    settle(f);
    assert_int_equal(f->peer_received.len, total);
    assert_memory_equal(f->peer_received.data, text, total);
    end_done(&from);
    free(text);
}

/* --- records without data ----------------------------------------------------------------------
 */

static void
test_key_update(void **state)
{
    struct fixture *f = *state;

    if (version != TLS1_3_VERSION)
        return;
    settle(f); /* session tickets */
    peer_update_key(f);
    assert_true(peer_push(f));
    f->end.last = 1;
    fake_loop_settle(f->loop);
    assert_int_equal(f->end.last, -EAGAIN);
    peer_write(f, "new key");
    stream_send_copy(&f->end.stream, "mine too", 8);
    settle(f);
    expect_received(f, "new key");
    expect_peer_received(f, "mine too");
}

/* A peer that makes us answer for ever and reads nothing is cut off before it costs much. */
static void
test_endless_key_updates(void **state)
{
    struct fixture *f = *state;

    if (version != TLS1_3_VERSION)
        return;
    squeeze(f->end.stream.fd);
    for (int i = 0; i < 20000 && f->end.last != -EPROTO; i++) {
        peer_update_key(f);
        assert_true(peer_push(f));
        fake_loop_settle(f->loop);
    }
    assert_int_equal(f->end.last, -EPROTO);
    assert_true(stream_backlog_size(&f->end.stream) < 128 * 1024);
}

/* --- what OpenSSL had when the stream was opened -----------------------------------------------
 */

/* Decrypted bytes for which no event will come are handed out all the same. */
static void
test_pending_at_open(void **state)
{
    struct fixture *f = *state;
    char byte;

    peer_write(f, "hello");
    assert_true(peer_push(f));
    assert_int_equal(SSL_read(f->tls, &byte, 1), 1);
    assert_int_equal(SSL_pending(f->tls), 4);
    open_stream(f);
    assert_int_equal(f->end.readable, 0);
    fake_loop_settle(f->loop);
    expect_received(f, "ello");
}

static void
test_pending_waits_for_reading(void **state)
{
    struct fixture *f = *state;
    char byte;

    peer_write(f, "hello");
    assert_true(peer_push(f));
    assert_int_equal(SSL_read(f->tls, &byte, 1), 1);
    open_stream(f);
    stream_set_reading(&f->end.stream, false);
    fake_loop_settle(f->loop);
    assert_int_equal(f->end.readable, 0);
    stream_detach(&f->end.stream);
    assert_int_equal(stream_attach(&f->end.stream, f->outbox), 0);
    fake_loop_settle(f->loop);
    assert_int_equal(f->end.readable, 0);
    stream_set_reading(&f->end.stream, true);
    fake_loop_settle(f->loop);
    expect_received(f, "ello");
}

/* Several records that OpenSSL read ahead. */
static void
test_read_ahead_at_open(void **state)
{
    struct fixture *f = *state;
    char byte;

    SSL_set_read_ahead(f->tls, 1);
    peer_write(f, "one, ");
    peer_write(f, "two, ");
    peer_write(f, "three");
    assert_true(peer_push(f));
    assert_int_equal(SSL_read(f->tls, &byte, 1), 1);
    open_stream(f);
    fake_loop_settle(f->loop);
    expect_received(f, "ne, two, three");
    peer_write(f, "four");
    settle(f);
    expect_received(f, "four");
}

/* The beginning of a record. */
static void
test_partial_record_at_open(void **state)
{
    struct fixture *f = *state;
    char wire[512], byte;
    int len;

    peer_write(f, "hello");
    len = BIO_read(SSL_get_wbio(f->peer), wire, sizeof(wire));
    assert_int_equal(write(f->end.peer, wire, 12), 12);
    assert_int_equal(SSL_read(f->tls, &byte, 1), -1);
    open_stream(f);
    fake_loop_settle(f->loop);
    assert_int_equal(f->end.received.len, 0);
    assert_int_equal(write(f->end.peer, wire + 12, (size_t)(len - 12)), len - 12);
    fake_loop_settle(f->loop);
    expect_received(f, "hello");
}

/* --- ends and errors ---------------------------------------------------------------------------
 */

/* First the bytes, then the end, though the socket has nothing more to say. */
static void
test_close_notify(void **state)
{
    struct fixture *f = *state;

    peer_write(f, "bye");
    assert_int_equal(SSL_shutdown(f->peer), 0);
    settle(f);
    expect_received(f, "bye");
    assert_int_equal(f->end.last, 0);
    assert_int_equal(end_recv(&f->end), 0);
}

/* In mid-result, on a slow network, while the stream itself has more to send than the peer takes.
 */
static void
test_close_notify_behind_a_lot(void **state)
{
    struct fixture *f = *state;
    const size_t total = 400000;
    char *text = malloc(total);

    assert_non_null(text);
    squeeze(f->end.stream.fd);
    text_fill(1, 0, text, total);
    stream_send_copy(&f->end.stream, text, total);
    assert_int_equal(SSL_write(f->peer, text, (int)total), total);
    assert_int_equal(SSL_shutdown(f->peer), 0);
    f->end.last = 1;
    while (f->end.last > 0 || f->end.last == -EAGAIN) {
        (void)peer_push(f);
        fake_loop_settle(f->loop);
    }
    assert_int_equal(f->end.last, 0);
    assert_int_equal(f->end.failed, 0);
    assert_int_equal(f->end.received.len, total);
    assert_memory_equal(f->end.received.data, text, total);
    assert_true(stream_backlog_size(&f->end.stream) > 0);
    free(text);
}

static void
test_close_without_notify(void **state)
{
    struct fixture *f = *state;

    peer_write(f, "bye");
    assert_true(peer_push(f));
    end_close_peer(&f->end);
    fake_loop_settle(f->loop);
    expect_received(f, "bye");
    assert_int_equal(f->end.last, 0);
}

static void
test_garbage(void **state)
{
    struct fixture *f = *state;

    peer_write(f, "good");
    assert_true(peer_push(f));
    assert_int_equal(write(f->end.peer, "\x17\x03\x03\x00\x20 this was never encrypted, no.!", 37),
                     37);
    fake_loop_settle(f->loop);
    expect_received(f, "good");
    assert_int_equal(f->end.last, -EPROTO);
    assert_int_equal(end_recv(&f->end), -EPROTO);
}

static void
test_close_tells_the_peer(void **state)
{
    struct fixture *f = *state;

    stream_send_copy(&f->end.stream, "bye", 3);
    fake_loop_settle(f->loop);
    stream_close(&f->end.stream);
    peer_pump(f);
    expect_peer_received(f, "bye");
    assert_true(f->peer_ended);
}

/* What is not sent is forgotten, and no record follows the hole that it leaves. */
static void
test_close_forgets(void **state)
{
    struct fixture *f = *state;

    stream_send_copy(&f->end.stream, "bye", 3);
    stream_close(&f->end.stream);
    peer_pump(f);
    assert_int_equal(f->peer_received.len, 0);
    assert_false(f->peer_ended);
}

/* As libpq does it: PQfinish still writes and shuts down, long after the stream is gone. */
static void
test_tls_used_after_close(void **state)
{
    struct fixture *f = *state;
    const int fd = f->end.stream.fd;
    struct stream *stream = malloc(sizeof(*stream));
    char byte;

    assert_non_null(stream);
    assert_int_equal(stream_open(stream, f->outbox, fd, f->tls, true, &end_ops), 0);
    stream_close(stream);
    free(stream);
    ERR_clear_error();
    assert_int_equal(SSL_write(f->tls, "X\0\0\0\4", 5), 5);
    assert_int_equal(SSL_shutdown(f->tls), 0);
    assert_true(SSL_read(f->tls, &byte, 1) <= 0);
    assert_int_equal(recv(f->end.peer, &byte, 1, MSG_DONTWAIT), -1);
    f->end.stream.fd = -1;
    fd_close(fd);
}

static void
test_failed(void **state)
{
    struct fixture *f = *state;

    settle(f);
    end_close_peer(&f->end);
    stream_set_reading(&f->end.stream, false);
    stream_send_copy(&f->end.stream, "hello", 5);
    assert_int_equal(f->end.failed, 0);
    fake_loop_settle(f->loop);
    assert_int_equal(f->end.failed, 1);
    assert_int_equal(f->end.error, EPIPE);
}

#define OPEN(name)   cmocka_unit_test_setup_teardown(name, setup_open, teardown)
#define CLOSED(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int
run(int with_version, bool as_server)
{
    const struct CMUnitTest tests[] = {
        OPEN(test_both_ways),
        OPEN(test_records_split_everywhere),
        OPEN(test_byte_by_byte),
        OPEN(test_large_transfer),
        OPEN(test_send_from_a_chunk),
        OPEN(test_key_update),
        OPEN(test_endless_key_updates),
        CLOSED(test_pending_at_open),
        CLOSED(test_pending_waits_for_reading),
        CLOSED(test_read_ahead_at_open),
        CLOSED(test_partial_record_at_open),
        OPEN(test_close_notify),
        OPEN(test_close_notify_behind_a_lot),
        OPEN(test_close_without_notify),
        OPEN(test_garbage),
        OPEN(test_close_tells_the_peer),
        OPEN(test_close_forgets),
        CLOSED(test_tls_used_after_close),
        OPEN(test_failed),
    };
    char name[64];

    version = with_version;
    stream_is_server = as_server;
    (void)snprintf(name, sizeof(name), "TLS 1.%d, as %s", version == TLS1_3_VERSION ? 3 : 2,
                   as_server ? "server" : "client");
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int
main(void)
{
    int failures;

    make_certificate();
    failures = run(TLS1_2_VERSION, false) + run(TLS1_2_VERSION, true) + run(TLS1_3_VERSION, false) +
               run(TLS1_3_VERSION, true);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return failures;
}
