/*
 * test_login_tls.c - clients that ask for TLS, begin with it, or should have; and those who go, or
 * do nonsense, in the middle of a handshake.
 */
#include "tls_client.h"

#include <sys/socket.h>

#include "client.h"
#include "engine_int.h"
#include "fixture.h"
#include "pg.h"
#include "str.h"
#include "tls.h"
#include "worker.h"

/* A fixture, what it offers, and a client that talks TLS over a peer's descriptor. */
struct secure {
    struct fixture *f;
    char dir[64];
    struct tls_identity identity;
    struct tls_tickets *tickets;
    struct tls_client tls;
    struct peer *peer;
};

/* --- setting up --------------------------------------------------------------------------------
 */

static int
setup(void **state)
{
    struct secure *s = calloc(1, sizeof(*s));
    char cert[128], key[128];
    const struct tls_options options = {.cert_file = cert, .key_file = key};
    CLEANUP(buf_done) struct buf error = BUF_INIT;

    assert_non_null(s);
    assert_int_equal(fixture_setup((void **)&s->f), 0);
    tls_files_make(s->dir);
    s->identity = tls_identity_new("server", 6, NULL);
    tls_write_certificate(s->dir, "server.crt", &s->identity);
    tls_write_key(s->dir, "server.key", &s->identity, NULL);
    tls_file_path(s->dir, "server.crt", cert);
    tls_file_path(s->dir, "server.key", key);
    assert_int_equal(tls_tickets_new(&s->tickets), 0);
    assert_int_equal(tls_context_new(&options, s->tickets, &error, &s->f->tls), 0);
    s->f->listen_address = "127.0.0.1";
    tls_client_init(&s->tls, 0);
    *state = s;
    return 0;
}

static int
teardown(void **state)
{
    struct secure *s = *state;
    struct tls_context *context = s->f->tls;

    assert_int_equal(fixture_teardown((void **)&s->f), 0);
    tls_client_done(&s->tls);
    tls_context_unref(context);
    tls_tickets_unref(s->tickets);
    tls_identity_done(&s->identity);
    tls_files_remove(s->dir);
    free(s);
    return 0;
}

#define TLS_FILES                                                                                  \
    "client_tls_cert_file = /dev/null\nclient_tls_key_file = /dev/null\nlisten_addr = 127.0.0.1\n"

static void
start(struct secure *s, const char *mode)
{
    char text[300];

    sprintf(text, TLS_FILES "client_tls_sslmode = %s\n", mode);
    fixture_start(s->f, text);
    s->peer = fixture_connect(s->f);
    tls_client_begin(&s->tls);
}

static void
send_request(struct secure *s, uint32_t code)
{
    char packet[8];

    pg_put_uint32(packet, 8);
    pg_put_uint32(packet + 4, code);
    peer_send_bytes(s->peer, packet, sizeof(packet));
}

/* --- the client's TLS --------------------------------------------------------------------------
 */

/* What the client has for us, to the descriptor. */
static void
push(struct secure *s)
{
    char data[65536];
    const size_t len = tls_client_give(&s->tls, data, sizeof(data));

    if (len > 0)
        peer_send_bytes(s->peer, data, len);
}

/* What has come over the descriptor, to the client. */
static void
pull(struct secure *s)
{
    fixture_settle(s->f);
    (void)peer_fill(s->peer);
    tls_client_take(&s->tls, s->peer->input.data, s->peer->input.len);
    buf_clear(&s->peer->input);
}

static struct client *
the_client(const struct secure *s)
{
    return list_entry(list_first(&s->f->engine->workers[0].clients), struct client, link);
}

/* Until the step that an executor makes has come back. */
static void
await_step(struct secure *s)
{
    struct client *const client = the_client(s);

    fixture_settle(s->f);
    while (the_client(s) == client && client->state == CLIENT_TLS && !client->stream.reading)
        fake_loop_wait(s->f->engine->workers[0].loop);
}

static void
shake(struct secure *s)
{
    tls_client_run(&s->tls);
    while (!SSL_is_init_finished(s->tls.tls)) {
        push(s);
        await_step(s);
        pull(s);
    }
}

static void
begin_tls(struct secure *s)
{
    send_request(s, PG_SSL_REQUEST);
    peer_expect_bytes(s->peer, "S", 1);
    shake(s);
}

static void
write_startup(struct secure *s, const char *database)
{
    char packet[200];
    size_t len = 8;

    len += (size_t)sprintf(packet + len, "user") + 1;
    len += (size_t)sprintf(packet + len, "alice") + 1;
    len += (size_t)sprintf(packet + len, "database") + 1;
    len += (size_t)sprintf(packet + len, "%s", database) + 1;
    packet[len++] = '\0';
    pg_put_uint32(packet, (uint32_t)len);
    pg_put_uint32(packet + 4, PG_PROTOCOL_3_0);
    assert_int_equal(SSL_write(s->tls.tls, packet, (int)len), len);
}

static void
expect_welcome(struct secure *s)
{
    const struct buf *received = &s->tls.received;

    (void)fixture_serve(s->f);
    pull(s);
    assert_true(received->len > 6);
    assert_int_equal(received->data[0], 'R');
    assert_int_equal(received->data[received->len - 6], 'Z');
}

/* --- good ones ---------------------------------------------------------------------------------
 */

static void
test_login(void **state)
{
    struct secure *s = *state;

    start(s, "prefer");
    begin_tls(s);
    write_startup(s, "db");
    push(s);
    expect_welcome(s);
}

/* The startup packet comes along with the end of the handshake. */
static void
test_startup_in_the_same_segment(void **state)
{
    struct secure *s = *state;

    start(s, "require");
    send_request(s, PG_SSL_REQUEST);
    peer_expect_bytes(s->peer, "S", 1);
    tls_client_run(&s->tls);
    push(s);
    await_step(s);
    pull(s);
    write_startup(s, "db");
    push(s);
    expect_welcome(s);
}

static void
test_byte_by_byte(void **state)
{
    struct secure *s = *state;
    char data[4096];
    size_t len;

    start(s, "require");
    send_request(s, PG_SSL_REQUEST);
    peer_expect_bytes(s->peer, "S", 1);
    tls_client_run(&s->tls);
    for (int flight = 0; flight < 2; flight++) {
        if (flight == 1)
            write_startup(s, "db");
        len = tls_client_give(&s->tls, data, sizeof(data));
        for (size_t i = 0; i < len; i++) {
            peer_send_bytes(s->peer, data + i, 1);
            await_step(s);
        }
        pull(s);
    }
    expect_welcome(s);
}

static void
test_direct(void **state)
{
    struct secure *s = *state;

    assert_int_equal(SSL_CTX_set_alpn_protos(s->tls.ctx, (const uint8_t *)"\12postgresql", 11), 0);
    start(s, "require");
    shake(s);
    write_startup(s, "db");
    push(s);
    expect_welcome(s);
}

/* A visitor's connection is encrypted on the main loop, too. */
static void
test_console(void **state)
{
    struct secure *s = *state;

    start(s, "require\nadmin_users = alice");
    begin_tls(s);
    write_startup(s, "pgbouncer");
    push(s);
    fixture_settle(s->f);
    assert_non_null(s->f->visitor);
    assert_non_null(s->f->visitor->tls);
}

/* A reload changes nothing for those who have begun. */
static void
test_reload_in_mid_handshake(void **state)
{
    struct secure *s = *state;
    struct tls_context *context = s->f->tls;

    start(s, "require");
    send_request(s, PG_SSL_REQUEST);
    peer_expect_bytes(s->peer, "S", 1);
    s->f->tls = NULL;
    fixture_reload(s->f, "");
    s->f->tls = context;
    shake(s);
    write_startup(s, "db");
    push(s);
    expect_welcome(s);
}

/* --- refusals ----------------------------------------------------------------------------------
 */

static void
test_required(void **state)
{
    struct secure *s = *state;
    struct peer *client;

    start(s, "require");
    client = fixture_knock(s->f, "db", "alice");
    peer_expect_error(client, "FATAL", "28000", "SSL required");
    peer_expect_end(client);
}

static void
test_not_offered(void **state)
{
    struct secure *s = *state;

    start(s, "require, 127.0.0.1=disable");
    send_request(s, PG_SSL_REQUEST);
    peer_expect_bytes(s->peer, "N", 1);
    s->peer = fixture_connect(s->f);
    tls_client_run(&s->tls);
    push(s);
    peer_expect_error(s->peer, "FATAL", "08P01", "TLS is not offered on this address");
    peer_expect_end(s->peer);
}

static void
test_never_on_unix_sockets(void **state)
{
    struct secure *s = *state;

    s->f->listen_address = NULL;
    start(s, "require");
    send_request(s, PG_SSL_REQUEST);
    peer_expect_bytes(s->peer, "N", 1);
    (void)fixture_knock(s->f, "db", "alice");
    (void)fixture_serve(s->f);
}

/* Written in the clear by who did not wait for our answer. */
static void
test_bytes_behind_the_request(void **state)
{
    struct secure *s = *state;
    char packet[12] = "\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x08";

    start(s, "prefer");
    peer_send_bytes(s->peer, packet, sizeof(packet));
    peer_expect_error(s->peer, "FATAL", "08P01", "received unencrypted data after SSL request");
    peer_expect_end(s->peer);
}

static void
test_tls_in_tls(void **state)
{
    struct secure *s = *state;

    start(s, "prefer");
    begin_tls(s);
    push(s);
    pull(s);
    assert_int_equal(SSL_write(s->tls.tls, "\0\0\0\x08\x04\xd2\x16\x2f", 8), 8);
    push(s);
    pull(s);
    assert_int_equal(s->tls.received.len, 0);
    assert_int_equal(tls_client_status(&s->tls), SSL_ERROR_ZERO_RETURN);
}

static void
test_direct_without_alpn(void **state)
{
    struct secure *s = *state;

    start(s, "require");
    shake(s);
    push(s);
    fixture_settle(s->f);
    (void)peer_fill(s->peer);
    assert_true(s->peer->ended);
}

/* What is no TLS gets an alert at most, and never our words in the clear. */
static void
test_garbage(void **state)
{
    struct secure *s = *state;

    start(s, "prefer");
    send_request(s, PG_SSL_REQUEST);
    peer_expect_bytes(s->peer, "S", 1);
    peer_send_bytes(s->peer, "\0\0\0\x10 no handshake", 17);
    await_step(s);
    (void)peer_fill(s->peer);
    assert_true(s->peer->ended);
    assert_true(s->peer->input.len == 0 || s->peer->input.data[0] == SSL3_RT_ALERT);
}

/* --- those who go ------------------------------------------------------------------------------
 */

static void
test_gone_in_mid_handshake(void **state)
{
    struct secure *s = *state;

    start(s, "require");
    for (int i = 0; i < 60; i++) {
        s->peer = fixture_connect(s->f);
        tls_client_begin(&s->tls);
        tls_client_run(&s->tls);
        send_request(s, PG_SSL_REQUEST);
        peer_expect_bytes(s->peer, "S", 1);
        push(s);
        if (i % 3 > 0)
            fixture_settle(s->f);
        if (i % 3 > 1)
            await_step(s);
        peer_close(s->peer);
    }
    fixture_settle(s->f);
}

static void
test_timeout_in_mid_handshake(void **state)
{
    struct secure *s = *state;

    start(s, "require\nclient_login_timeout = 5");
    send_request(s, PG_SSL_REQUEST);
    peer_expect_bytes(s->peer, "S", 1);
    peer_send_bytes(s->peer, "\x16\x03\x01", 3);
    fixture_advance(s->f, 5 * SEC + 20 * MSEC);
    peer_expect_end(s->peer); /* and nothing in the clear */
}

static void
test_shutdown_in_mid_handshake(void **state)
{
    struct secure *s = *state;

    start(s, "require");
    send_request(s, PG_SSL_REQUEST);
    peer_expect_bytes(s->peer, "S", 1);
    tls_client_run(&s->tls);
    push(s);
    fixture_settle(s->f);
    fixture_stop(s->f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_login, setup, teardown),
        cmocka_unit_test_setup_teardown(test_startup_in_the_same_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_direct, setup, teardown),
        cmocka_unit_test_setup_teardown(test_console, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reload_in_mid_handshake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_required, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_offered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_never_on_unix_sockets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_behind_the_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tls_in_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_direct_without_alpn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone_in_mid_handshake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timeout_in_mid_handshake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shutdown_in_mid_handshake, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
