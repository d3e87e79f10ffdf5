#include "login_tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "engine_int.h"
#include "login.h"
#include "login_int.h"
#include "outbox.h"
#include "startup.h"
#include "stream.h"
#include "tls.h"
#include "tls_handshake.h"
#include "worker.h"

void
login_tls_done(struct login_tls *tls)
{
    tls_handshake_free(TAKE(tls->handshake));
    tls_context_unref(TAKE(tls->context));
    free(TAKE(tls->name));
}

/* ---- the handshake's end ----------------------------------------------------------------------
 */

static void
tls_refuse(struct client *client, const char *why)
{
    char text[200];

    (void)snprintf(text, sizeof text, "%s: %s", close_reason_row(CLOSE_TLS_FAILED)->text, why);
    login_refuse(client, CLOSE_TLS_FAILED, text);
}

/* Learns who the client is; false: it was closed. */
static bool
tls_take_name(struct client *client, const struct ssl_st *connection)
{
    switch (tls_peer_name(connection, &client->login->tls.name)) {
    case 0:
        return true;
    case -ENOMEM:
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    default:
        tls_refuse(client, "bad common name in the client's certificate");
        return false;
    }
}

/* All goes through TLS from here on; the startup packet may have come already. */
static void
tls_finish(struct client *client)
{
    struct login_tls *const tls = &client->login->tls;
    CLEANUP(tls_free) struct ssl_st *connection = tls_handshake_take(tls->handshake);
    CLEANUP(buf_done) struct buf early = *tls_handshake_early(tls->handshake);

    buf_init(tls_handshake_early(tls->handshake));
    tls_handshake_free(TAKE(tls->handshake));
    if (!tls_take_name(client, connection))
        return;
    if (stream_start_tls(&client->stream, TAKE(connection)) < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return;
    }
    client_set_state(client, CLIENT_STARTUP);
    stream_set_reading(&client->stream, true);
    if (early.len > 0)
        login_input(client, early.data, early.len);
}

static void
tls_judge(struct client *client, enum tls_progress progress)
{
    struct login_tls *const tls = &client->login->tls;

    if (progress == TLS_HANDSHAKE_WORKING) {
        stream_set_reading(&client->stream, false);
        return;
    }
    client_send(client, tls_handshake_output(tls->handshake));
    buf_clear(tls_handshake_output(tls->handshake));
    switch (progress) {
    case TLS_HANDSHAKE_DONE:
        tls_finish(client);
        return;
    case TLS_HANDSHAKE_FAILED:
        outbox_flush(client->worker->outbox); /* the alert */
        tls_refuse(client, tls_handshake_error(tls->handshake));
        return;
    default:
        stream_set_reading(&client->stream, true);
    }
}

static void
tls_stepped(void *arg, enum tls_progress progress)
{
    struct client *const client = arg;

    if (client->state == CLIENT_TLS) /* else closed in this turn */
        tls_judge(client, progress);
}

/* ---- its beginning ----------------------------------------------------------------------------
 */

static bool
tls_is_offered(const struct client *client)
{
    return client->login->tls.mode != TLS_DISABLE && client->worker->tls != NULL;
}

/* False: closed. */
static bool
tls_begin(struct client *client, bool is_direct)
{
    struct login_tls *const tls = &client->login->tls;
    const struct tls_handshake_options options = {
        .context = client->worker->tls,
        .executor = client->worker->engine->handshakes,
        .loop = client->worker->loop,
        .needs_certificate = tls->mode >= TLS_VERIFY_CA,
        .needs_alpn = is_direct,
        .stepped = tls_stepped,
        .arg = client,
    };

    tls->context = tls_context_ref(client->worker->tls);
    client->login->asked_ssl = true;
    if (tls_handshake_new(&options, &tls->handshake) < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    }
    client_set_state(client, CLIENT_TLS);
    return true;
}

bool
login_tls_request(struct client *client, const struct startup *startup)
{
    struct login *const login = client->login;

    if (login->asked_ssl) {
        client_close(client, client->stream.tls != NULL ? CLOSE_TLS_IN_TLS : CLOSE_PROTOCOL);
        return false;
    }
    if (login->input.len > startup->len) {
        /* Written by who did not wait for the answer: perhaps not by the client. */
        login_refuse(client, CLOSE_UNENCRYPTED_DATA, "received unencrypted data after SSL request");
        return false;
    }
    login->asked_ssl = true;
    buf_clear(&login->input);
    if (!tls_is_offered(client)) {
        stream_send_copy(&client->stream, "N", 1);
        return true;
    }
    stream_send_copy(&client->stream, "S", 1);
    return tls_begin(client, false);
}

void
login_tls_direct(struct client *client)
{
    struct login *const login = client->login;
    CLEANUP(buf_done) struct buf input = BUF_INIT;

    if (login->asked_ssl || !tls_is_offered(client)) {
        login_refuse(client, CLOSE_PROTOCOL,
                     login->asked_ssl ? NULL : "TLS is not offered on this address");
        return;
    }
    input = login->input;
    buf_init(&login->input);
    if (tls_begin(client, true))
        login_tls_input(client, input.data, input.len);
}

void
login_tls_input(struct client *client, const char *data, size_t len)
{
    tls_judge(client, tls_handshake_input(client->login->tls.handshake, data, len));
}

/* ---- what TLS means to the login --------------------------------------------------------------
 */

bool
login_tls_allows(struct client *client)
{
    if (client->stream.tls != NULL || client->login->tls.mode < TLS_REQUIRE)
        return true;
    client_close(client, CLOSE_TLS_REQUIRED);
    return false;
}

void
login_tls_describe(const struct client *client, struct auth_login *who)
{
    const struct login_tls *const tls = &client->login->tls;

    who->is_tls = client->stream.tls != NULL;
    if (!who->is_tls)
        return;
    who->tls_name = tls->name;
    who->tls_binding = tls_binding(client->stream.tls, tls->context, &who->tls_binding_len);
}
