/*
 * test_tls.c - TLS as the server: contexts, sessions, and handshakes in steps; the client is plain
 * OpenSSL. Most tests run with TLS 1.2 and 1.3.
 */
#include "tls_client.h"

#include <errno.h>
#include <sys/socket.h>

#include "executor.h"
#include "fake_loop.h"
#include "macros.h"
#include "tls.h"
#include "tls_handshake.h"

/* What the whole group of tests runs with. */
static int version;

struct fixture {
    struct loop *loop;
    struct executor *executor;
    char dir[64];
    char cert[128], key[128], ca[128];
    struct tls_identity authority, server;
    struct tls_tickets *tickets;
    struct tls_context *context;
    struct tls_client client;
    struct tls_handshake *handshake;
    struct ssl_st *tls; /* the server's, once done */
    bool needs_certificate, needs_alpn, has_ca;
    enum tls_progress progress; /* as stepped() says */
    unsigned steps;             /* calls of stepped() */
};

/* --- setting up --------------------------------------------------------------------------------
 */

static void
make_context(struct fixture *f)
{
    const struct tls_options options = {
        .cert_file = f->cert, .key_file = f->key, .ca_file = f->has_ca ? f->ca : NULL};
    CLEANUP(buf_done) struct buf error = BUF_INIT;

    tls_context_unref(f->context);
    assert_int_equal(tls_context_new(&options, f->tickets, &error, &f->context), 0);
}

static void
make_server(struct fixture *f)
{
    f->server = tls_identity_new("server", 6, &f->authority);
    tls_write_certificate(f->dir, "server.crt", &f->server);
    tls_write_key(f->dir, "server.key", &f->server, NULL);
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->loop = fake_loop_new();
    assert_int_equal(executor_new_nice("tls", 1, 1, 5, DAY, &f->executor), 0);
    tls_files_make(f->dir);
    f->authority = tls_identity_new("authority", 9, NULL);
    tls_write_certificate(f->dir, "ca.crt", &f->authority);
    tls_file_path(f->dir, "server.crt", f->cert);
    tls_file_path(f->dir, "server.key", f->key);
    tls_file_path(f->dir, "ca.crt", f->ca);
    make_server(f);
    assert_int_equal(tls_tickets_new(&f->tickets), 0);
    make_context(f);
    tls_client_init(&f->client, version);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    tls_handshake_free(f->handshake);
    executor_free(f->executor);
    tls_free(f->tls);
    tls_client_done(&f->client);
    tls_context_unref(f->context);
    tls_tickets_unref(f->tickets);
    tls_identity_done(&f->server);
    tls_identity_done(&f->authority);
    tls_files_remove(f->dir);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void
stepped(void *arg, enum tls_progress progress)
{
    struct fixture *f = arg;

    f->progress = progress;
    f->steps++;
}

static void
begin(struct fixture *f)
{
    const struct tls_handshake_options options = {
        .context = f->context,
        .executor = f->executor,
        .loop = f->loop,
        .needs_certificate = f->needs_certificate,
        .needs_alpn = f->needs_alpn,
        .stepped = stepped,
        .arg = f,
    };

    tls_handshake_free(TAKE(f->handshake));
    tls_free(TAKE(f->tls));
    assert_int_equal(tls_handshake_new(&options, &f->handshake), 0);
    tls_client_begin(&f->client);
    tls_client_run(&f->client);
}

/* Until the executor has brought the step back; what came of it goes to the client. */
static enum tls_progress
wait_for_step(struct fixture *f, enum tls_progress progress)
{
    const unsigned before = f->steps;

    if (progress == TLS_HANDSHAKE_WORKING) {
        while (f->steps == before)
            fake_loop_wait(f->loop);
        progress = f->progress;
    }
    if (tls_handshake_output(f->handshake)->len > 0) {
        struct buf *output = tls_handshake_output(f->handshake);

        tls_client_take(&f->client, output->data, output->len);
        buf_clear(output);
    }
    return progress;
}

/* In the place of the stream's BIO, memory. */
static void
take(struct fixture *f)
{
    f->tls = tls_handshake_take(f->handshake);
    SSL_set_bio(f->tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
}

/* Carries messages both ways until there is a result. */
static enum tls_progress
shake(struct fixture *f)
{
    enum tls_progress progress = TLS_HANDSHAKE_WANTS_INPUT;
    char data[65536];
    size_t len;

    while (progress == TLS_HANDSHAKE_WANTS_INPUT &&
           (len = tls_client_give(&f->client, data, sizeof(data))) > 0)
        progress = wait_for_step(f, tls_handshake_input(f->handshake, data, len));
    if (progress == TLS_HANDSHAKE_DONE)
        take(f);
    return progress;
}

static bool
connect_once(struct fixture *f)
{
    begin(f);
    assert_int_equal(shake(f), TLS_HANDSHAKE_DONE);
    assert_int_equal(tls_client_status(&f->client), SSL_ERROR_WANT_READ);
    if (version == TLS1_2_VERSION) { /* here a renewed ticket is told to nobody */
        SSL_SESSION_free(f->client.session);
        f->client.session = SSL_get1_session(f->client.tls);
    }
    return SSL_session_reused(f->tls);
}

/* --- handshakes --------------------------------------------------------------------------------
 */

static void
test_handshake(void **state)
{
    struct fixture *f = *state;
    char text[64];
    char *name = NULL;

    assert_false(connect_once(f));
    tls_describe(f->tls, text, sizeof(text));
    assert_string_equal(text, version == TLS1_3_VERSION ? "TLSv1.3/TLS_AES_256_GCM_SHA384"
                                                        : "TLSv1.2/ECDHE-ECDSA-AES256-GCM-SHA384");
    assert_int_equal(tls_peer_name(f->tls, &name), 0);
    assert_null(name);
    assert_false(tls_has_alpn(f->tls));
    assert_int_equal(tls_handshake_early(f->handshake)->len, 0);
}

/* The key exchange is not the loop's business; the end of a handshake costs too little to move. */
static void
test_only_the_costly_steps_move(void **state)
{
    struct fixture *f = *state;

    connect_once(f);
    assert_int_equal(f->steps, version == TLS1_3_VERSION ? 1 : 2);
}

/* What the client writes along with its last message of the handshake. */
static void
test_early_bytes(void **state)
{
    struct fixture *f = *state;
    char data[8192], half[4096];
    size_t len, rest;

    begin(f);
    len = tls_client_give(&f->client, data, sizeof(data));
    assert_int_equal(wait_for_step(f, tls_handshake_input(f->handshake, data, len)),
                     TLS_HANDSHAKE_WANTS_INPUT);
    if (version == TLS1_2_VERSION) { /* here the server has the last word */
        len = tls_client_give(&f->client, data, sizeof(data));
        assert_int_equal(wait_for_step(f, tls_handshake_input(f->handshake, data, len)),
                         TLS_HANDSHAKE_DONE);
        return;
    }
    tls_client_write(&f->client, "startup ");
    tls_client_write(&f->client, "packet");
    len = tls_client_give(&f->client, data, sizeof(data));
    tls_client_write(&f->client, " and more");
    rest = tls_client_give(&f->client, half, sizeof(half));
    memcpy(data + len, half, 10); /* the beginning of one more record */
    assert_int_equal(tls_handshake_input(f->handshake, data, len + 10), TLS_HANDSHAKE_DONE);
    assert_string_equal(buf_str(tls_handshake_early(f->handshake)), "startup packet");
    take(f);
    assert_int_equal(BIO_write(SSL_get_rbio(f->tls), half + 10, (int)rest - 10), rest - 10);
    assert_int_equal(SSL_read(f->tls, data, sizeof(data)), 9);
    assert_memory_equal(data, " and more", 9);
}

/* Byte by byte: no step is made before a whole record is there. */
static void
test_split_everywhere(void **state)
{
    struct fixture *f = *state;
    enum tls_progress progress = TLS_HANDSHAKE_WANTS_INPUT;
    char data[8192];
    size_t len;

    begin(f);
    while ((len = tls_client_give(&f->client, data, sizeof(data))) > 0) {
        for (size_t i = 0; i < len; i++) {
            assert_int_equal(progress, TLS_HANDSHAKE_WANTS_INPUT);
            progress = wait_for_step(f, tls_handshake_input(f->handshake, data + i, 1));
        }
    }
    assert_int_equal(progress, TLS_HANDSHAKE_DONE);
    assert_true(f->steps <= 4); /* TLS 1.2 has so many records */
}

static void
test_garbage(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\n\r\n",    "\x16\x03\x01\xff\xff too long", "\x16\x03\x01\x00\x05 what",
        "\x17\x03\x03\x00\x05 what", "\x15\x03\x01\x00\x02\x02\x28",
    };
    static const size_t lengths[] = {18, 14, 10, 10, 7};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        begin(f);
        assert_int_equal(wait_for_step(f, tls_handshake_input(f->handshake, texts[i], lengths[i])),
                         TLS_HANDSHAKE_FAILED);
        assert_true(strlen(tls_handshake_error(f->handshake)) > 0);
    }
}

/* Who has finished and says goodbye in the same breath. */
static void
test_close_notify_with_the_last_message(void **state)
{
    struct fixture *f = *state;
    char data[8192];
    size_t len;

    if (version == TLS1_2_VERSION)
        return;
    begin(f);
    len = tls_client_give(&f->client, data, sizeof(data));
    assert_int_equal(wait_for_step(f, tls_handshake_input(f->handshake, data, len)),
                     TLS_HANDSHAKE_WANTS_INPUT);
    tls_client_write(&f->client, "cancel");
    (void)SSL_shutdown(f->client.tls);
    len = tls_client_give(&f->client, data, sizeof(data));
    assert_int_equal(tls_handshake_input(f->handshake, data, len), TLS_HANDSHAKE_DONE);
    assert_string_equal(buf_str(tls_handshake_early(f->handshake)), "cancel");
}

/* --- the executor ------------------------------------------------------------------------------
 */

/* Freed while a thread is at it, and before one has begun. */
static void
test_freed_while_working(void **state)
{
    struct fixture *f = *state;
    char data[8192];
    size_t len;

    for (int i = 0; i < 50; i++) {
        begin(f);
        len = tls_client_give(&f->client, data, sizeof(data));
        assert_int_equal(tls_handshake_input(f->handshake, data, len), TLS_HANDSHAKE_WORKING);
        if (i % 2 == 0)
            fake_loop_settle(f->loop);
        tls_handshake_free(TAKE(f->handshake));
    }
    assert_true(f->steps <= 25);
}

static void
job_wait(struct job *job)
{
    (void)job;
    usleep(20000);
}

static void
job_forget(struct job *job, bool cancelled)
{
    (void)job, (void)cancelled;
}

/* A full executor delays. */
static void
test_full_executor(void **state)
{
    struct fixture *f = *state;
    struct job jobs[2];
    char data[8192];
    size_t len;

    for (size_t i = 0; i < ARRAY_SIZE(jobs);) { /* one at work, one in the queue */
        jobs[i] = (struct job){.run = job_wait, .done = job_forget};
        i += executor_submit(f->executor, f->loop, &jobs[i]) == 0;
    }
    begin(f);
    len = tls_client_give(&f->client, data, sizeof(data));
    assert_int_equal(tls_handshake_input(f->handshake, data, len), TLS_HANDSHAKE_WORKING);
    while (f->steps == 0)
        fake_loop_advance(f->loop, 20 * MSEC);
    assert_int_equal(wait_for_step(f, f->progress), TLS_HANDSHAKE_WANTS_INPUT);
    assert_int_equal(shake(f), TLS_HANDSHAKE_DONE);
    begin(f);
    len = tls_client_give(&f->client, data, sizeof(data));
    (void)tls_handshake_input(f->handshake, data, len);
    executor_close(f->executor);
}

static void
test_closed_executor(void **state)
{
    struct fixture *f = *state;

    executor_close(f->executor);
    begin(f);
    assert_int_equal(shake(f), TLS_HANDSHAKE_FAILED);
    assert_string_equal(tls_handshake_error(f->handshake), "pooler is shutting down");
}

/* --- sessions ----------------------------------------------------------------------------------
 */

static void
test_resumption(void **state)
{
    struct fixture *f = *state;

    assert_false(connect_once(f));
    assert_non_null(f->client.session);
    assert_true(connect_once(f));
    assert_true(connect_once(f));
}

/* Without a signature it is quicker made than moved; a ticket that is none of ours saves nothing.
 */
static void
test_resumption_is_made_at_once(void **state)
{
    struct fixture *f = *state;
    unsigned steps;

    connect_once(f);
    steps = f->steps;
    assert_true(connect_once(f));
    assert_int_equal(f->steps, steps);
    tls_tickets_unref(f->tickets);
    assert_int_equal(tls_tickets_new(&f->tickets), 0);
    make_context(f);
    assert_false(connect_once(f));
    assert_int_equal(f->steps, 2 * steps);
}

static void
test_rotation(void **state)
{
    struct fixture *f = *state;
    SSL_SESSION *old;

    assert_false(connect_once(f));
    old = SSL_SESSION_dup(f->client.session);
    assert_int_equal(tls_tickets_rotate(f->tickets), 0);
    assert_true(connect_once(f)); /* and a new ticket comes with it */
    assert_int_equal(tls_tickets_rotate(f->tickets), 0);
    assert_true(connect_once(f));
    SSL_SESSION_free(f->client.session);
    f->client.session = old;
    assert_false(connect_once(f));
}

/* A reload makes another context: the client does not notice. */
static void
test_resumption_across_contexts(void **state)
{
    struct fixture *f = *state;

    assert_false(connect_once(f));
    make_context(f);
    assert_true(connect_once(f));
}

/* ... unless other clients are welcome now. */
static void
test_no_resumption_of_what_has_changed(void **state)
{
    struct fixture *f = *state;

    assert_false(connect_once(f));
    f->has_ca = true;
    make_context(f);
    assert_false(connect_once(f));
    assert_true(connect_once(f));
}

static void
test_no_tickets(void **state)
{
    struct fixture *f = *state;

    tls_tickets_unref(TAKE(f->tickets));
    make_context(f);
    assert_false(connect_once(f));
    assert_false(connect_once(f));
}

/* The keys outlive everybody but the last connection. */
static void
test_connection_outlives_context(void **state)
{
    struct fixture *f = *state;

    connect_once(f);
    tls_handshake_free(TAKE(f->handshake));
    tls_context_unref(TAKE(f->context));
    tls_tickets_unref(TAKE(f->tickets));
    tls_client_write(&f->client, "hello");
    assert_int_equal(SSL_shutdown(f->tls), 0);
}

/* --- ALPN --------------------------------------------------------------------------------------
 */

static void
offer(struct fixture *f, const char *protocols)
{
    assert_int_equal(SSL_CTX_set_alpn_protos(f->client.ctx, (const unsigned char *)protocols,
                                             (unsigned)strlen(protocols)),
                     0);
}

static void
test_alpn(void **state)
{
    struct fixture *f = *state;

    offer(f, "\4what\12postgresql");
    f->needs_alpn = true;
    connect_once(f);
    assert_true(tls_has_alpn(f->tls));
}

static void
test_alpn_unknown(void **state)
{
    struct fixture *f = *state;

    offer(f, "\10http/1.1");
    begin(f);
    assert_int_equal(shake(f), TLS_HANDSHAKE_FAILED);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
}

static void
test_alpn_missing(void **state)
{
    struct fixture *f = *state;

    f->needs_alpn = true;
    begin(f);
    assert_int_equal(shake(f), TLS_HANDSHAKE_FAILED);
    assert_string_equal(tls_handshake_error(f->handshake), "direct TLS without ALPN");
}

/* --- certificates of clients -------------------------------------------------------------------
 */

static void
present(struct fixture *f, const struct tls_identity *identity)
{
    assert_int_equal(SSL_CTX_use_certificate(f->client.ctx, identity->certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(f->client.ctx, identity->key), 1);
}

static void
ask_for_certificates(struct fixture *f, bool needed)
{
    f->has_ca = true;
    f->needs_certificate = needed;
    make_context(f);
}

static void
test_client_certificate(void **state)
{
    struct fixture *f = *state;
    struct tls_identity alice = tls_identity_new("alice", 5, &f->authority);

    assert_false(tls_context_has_ca(f->context));
    for (int needed = 0; needed < 2; needed++) {
        char *name;

        ask_for_certificates(f, needed);
        assert_true(tls_context_has_ca(f->context));
        present(f, &alice);
        assert_false(connect_once(f)); /* resumed, if at all, where the same is asked */
        assert_int_equal(tls_peer_name(f->tls, &name), 0);
        assert_string_equal(name, "alice");
        free(name);
        assert_true(connect_once(f)); /* the session knows who it was */
        assert_int_equal(tls_peer_name(f->tls, &name), 0);
        assert_string_equal(name, "alice");
        free(name);
    }
    tls_identity_done(&alice);
}

static void
test_client_certificate_missing(void **state)
{
    struct fixture *f = *state;
    char *name = NULL;

    ask_for_certificates(f, false);
    connect_once(f);
    assert_int_equal(tls_peer_name(f->tls, &name), 0);
    assert_null(name);
    ask_for_certificates(f, true);
    begin(f);
    assert_int_equal(shake(f), TLS_HANDSHAKE_FAILED);
    assert_string_equal(tls_handshake_error(f->handshake), "peer did not return a certificate");
}

/* Of an authority that nobody knows: also where none is needed. */
static void
test_client_certificate_of_a_stranger(void **state)
{
    struct fixture *f = *state;
    struct tls_identity mallory = tls_identity_new("alice", 5, NULL);

    present(f, &mallory);
    for (int needed = 0; needed < 2; needed++) {
        ask_for_certificates(f, needed);
        begin(f);
        assert_int_equal(shake(f), TLS_HANDSHAKE_FAILED);
        assert_non_null(strstr(tls_handshake_error(f->handshake), "self-signed certificate"));
    }
    tls_identity_done(&mallory);
}

static void
test_client_certificate_with_nul(void **state)
{
    struct fixture *f = *state;
    struct tls_identity alice = tls_identity_new("alice\0.example.com", 18, &f->authority);
    char *name = NULL;

    present(f, &alice);
    ask_for_certificates(f, true);
    connect_once(f);
    assert_int_equal(tls_peer_name(f->tls, &name), -EBADMSG);
    assert_null(name);
    tls_identity_done(&alice);
}

/* --- contexts ----------------------------------------------------------------------------------
 */

static void
expect_error(const struct tls_options *options, const char *expected)
{
    CLEANUP(buf_done) struct buf error = BUF_INIT;
    struct tls_context *context = NULL;

    assert_int_equal(tls_context_new(options, NULL, &error, &context), -EINVAL);
    if (strstr(buf_str(&error), expected) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", buf_str(&error), expected);
    assert_null(context);
    assert_int_equal(ERR_peek_error(), 0);
}

static void
test_bad_options(void **state)
{
    struct fixture *f = *state;
    const struct tls_options good = {.cert_file = f->cert, .key_file = f->key};
    const struct tls_identity other = tls_identity_new("other", 5, NULL);
    char path[128];
    struct tls_options options;

#define WITH(field, value) (options = good, options.field = (value), &options)
    expect_error(WITH(cert_file, ""), "client_tls_cert_file");
    expect_error(WITH(key_file, NULL), "client_tls_key_file");
    expect_error(WITH(cert_file, "/nowhere"), "client_tls_cert_file \"/nowhere\": No such file");
    expect_error(WITH(key_file, "/nowhere"), "client_tls_key_file \"/nowhere\": No such file");
    expect_error(WITH(key_file, f->cert), "client_tls_key_file");
    expect_error(WITH(ca_file, "/nowhere"), "client_tls_ca_file \"/nowhere\": No such file");
    expect_error(WITH(ca_file, f->key), "client_tls_ca_file");
    expect_error(WITH(protocols, "secure, tlsv9"), "unknown TLS protocol \"tlsv9\"");
    expect_error(WITH(protocols, "!secure"), "no TLS protocol is left");
    expect_error(WITH(ciphers, "NONSENSE"), "failed to set the ciphers \"NONSENSE\"");
    expect_error(WITH(tls13_ciphers, "TLS_NONSENSE"), "failed to set the TLSv1.3 cipher suites");
    expect_error(WITH(curves, "circle"), "unknown curve");
    expect_error(WITH(dheparams, "few"), "unknown DHE parameters");
    tls_write_key(f->dir, "other.key", &other, NULL);
    expect_error(WITH(key_file, tls_file_path(f->dir, "other.key", path)), "key values mismatch");
    tls_write_key(f->dir, "locked.key", &f->server, "secret");
    expect_error(WITH(key_file, tls_file_path(f->dir, "locked.key", path)), "client_tls_key_file");
#undef WITH
    tls_identity_done((struct tls_identity *)&other);
}

static void
test_good_options(void **state)
{
    struct fixture *f = *state;
    static const struct tls_options variants[] = {
        {.protocols = "tlsv1.2,tlsv1.3", .ciphers = "secure", .curves = "auto"},
        {.protocols = "all", .ciphers = "all", .curves = "prime256v1", .dheparams = "auto"},
        {.protocols = "legacy", .ciphers = "legacy", .curves = "none", .dheparams = "legacy"},
        {.protocols = "all,!tlsv1.0", .ciphers = "fast", .curves = "X25519,P-256"},
        {.ciphers = "HIGH:!aNULL", .tls13_ciphers = "TLS_AES_128_GCM_SHA256", .dheparams = "none"},
        {.ciphers = "normal"},
        {.ciphers = "compat"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
        struct tls_options options = variants[i];
        CLEANUP(buf_done) struct buf error = BUF_INIT;

        /* Without curves, TLS 1.2 has nothing that goes with our key. */
        if (version == TLS1_2_VERSION && options.curves != NULL && *options.curves == 'n')
            continue;
        options.cert_file = f->cert;
        options.key_file = f->key;
        tls_context_unref(TAKE(f->context));
        assert_int_equal(tls_context_new(&options, f->tickets, &error, &f->context), 0);
        assert_false(connect_once(f));
        SSL_SESSION_free(TAKE(f->client.session));
    }
}

static void
test_protocols_are_obeyed(void **state)
{
    struct fixture *f = *state;
    const struct tls_options options = {
        .cert_file = f->cert,
        .key_file = f->key,
        .protocols = version == TLS1_2_VERSION ? "tlsv1.3" : "tlsv1.2",
    };
    CLEANUP(buf_done) struct buf error = BUF_INIT;

    tls_context_unref(TAKE(f->context));
    assert_int_equal(tls_context_new(&options, f->tickets, &error, &f->context), 0);
    begin(f);
    assert_int_equal(shake(f), TLS_HANDSHAKE_FAILED);
    assert_int_equal(tls_client_status(&f->client), SSL_ERROR_SSL);
}

static void
expect_binding(const struct fixture *f, const struct tls_identity *server)
{
    unsigned char expected[EVP_MAX_MD_SIZE];
    const void *binding;
    unsigned expected_len;
    size_t len = 0;

    assert_int_equal(X509_digest(server->certificate, EVP_sha256(), expected, &expected_len), 1);
    binding = tls_binding(f->tls, f->context, &len);
    assert_int_equal(len, expected_len);
    assert_memory_equal(binding, expected, len);
}

/* It is the one that the client has seen, also after ours was renewed. */
static void
test_binding(void **state)
{
    struct fixture *f = *state;
    struct tls_identity before;

    assert_false(connect_once(f));
    expect_binding(f, &f->server);
    assert_true(connect_once(f));
    expect_binding(f, &f->server);
    before = f->server;
    make_server(f);
    make_context(f);
    for (int i = 0; i < 3; i++) {
        assert_true(connect_once(f));
        expect_binding(f, &before);
    }
    SSL_SESSION_free(TAKE(f->client.session));
    assert_false(connect_once(f));
    expect_binding(f, &f->server);
    tls_identity_done(&before);
}

static int
run(const char *name, int tls_version)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_handshake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_the_costly_steps_move, setup, teardown),
        cmocka_unit_test_setup_teardown(test_early_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_split_everywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_notify_with_the_last_message, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freed_while_working, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_executor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_executor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resumption, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resumption_is_made_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resumption_across_contexts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_resumption_of_what_has_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_tickets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connection_outlives_context, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alpn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alpn_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alpn_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_certificate_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_certificate_of_a_stranger, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_certificate_with_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_good_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_protocols_are_obeyed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_binding, setup, teardown),
    };

    version = tls_version;
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int
main(void)
{
    return run("TLS 1.3", TLS1_3_VERSION) + run("TLS 1.2", TLS1_2_VERSION);
}
