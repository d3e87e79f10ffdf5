/*
 * scram_login.c - the method scram-sha-256: the messages of scram.h in those of the protocol.
 *
 *     AuthenticationSASL, our mechanisms  ------>
 *                                        <------  SASLInitialResponse: mechanism, client-first
 *     AuthenticationSASLContinue          ------>
 *                                        <------  SASLResponse: client-final
 *     AuthenticationSASLFinal             ------>
 *
 * Who has a password instead of a verifier gets one made of it when the client's proof has come.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "auth_int.h"
#include "build.h"
#include "config.h"
#include "credential.h"
#include "scram.h"
#include "secret.h"
#include "service.h"

enum scram_step {
    EXPECT_MECHANISM,
    EXPECT_FIRST, /* the mechanism came alone */
    EXPECT_FINAL,
};

/* auth->state */
struct scram_login {
    struct scram scram;
    enum scram_step step;
    char mechanism[sizeof(SCRAM_PLUS_NAME)];
    char salt[SCRAM_SALT_TEXT_MAX];
    int iterations;
};

static enum auth_status
fail(struct auth *auth, int r)
{
    static const struct auth_failure wrong = {
        .sqlstate = SQLSTATE_INVALID_PASSWORD,
        .message = "SASL authentication failed",
    };
    const struct scram_login *const login = auth->state;

    if (r == -EACCES)
        return auth_fail(auth, &wrong);
    if (r == -EPROTO)
        return auth_fail(auth, login->scram.failure);
    return auth_fail_error(auth, r);
}

/* ---- our messages ---- */

static enum auth_status
offer_mechanisms(struct auth *auth)
{
    struct msg msg;
    int r;

    msg_begin(&msg, &auth->reply, BACKEND_AUTHENTICATION);
    msg_put_int32(&msg, AUTH_SASL);
    if (auth->login.tls_binding != NULL)
        msg_put_str(&msg, SCRAM_PLUS_NAME);
    msg_put_str(&msg, SCRAM_NAME);
    msg_put_byte(&msg, '\0');
    r = msg_end(&msg);
    return r == 0 ? AUTH_CONTINUE : fail(auth, r);
}

static int
reply(struct auth *auth, enum auth_code code, const struct buf *data)
{
    struct msg msg;

    msg_begin(&msg, &auth->reply, BACKEND_AUTHENTICATION);
    msg_put_int32(&msg, code);
    msg_put_bytes(&msg, data->data, data->len);
    return msg_end(&msg);
}

/* ---- what the proof is checked with ---- */

/* An md5 secret cannot be proved here: it is as if there were none. */
static int
replace_md5(struct auth *auth)
{
    const bool is_known = auth->secret->is_known;
    struct secret *mock;
    int r;

    r = secret_new_mock(SECRET_SCRAM, auth->service->mock_key, auth->login.user,
                        auth->config->scram_iterations, &mock);
    if (r < 0)
        return r;
    auth_explain(auth, "the stored secret is md5");
    secret_free(auth->secret);
    auth->secret = mock;
    mock->is_known = is_known;
    return 0;
}

static int
choose_salt(struct auth *auth, struct scram_login *login)
{
    const struct verifier *const verifier = &auth->secret->verifier;

    if (auth->secret->kind == SECRET_SCRAM) {
        memcpy(login->salt, verifier->salt, sizeof(login->salt));
        login->iterations = verifier->iterations;
        return 0;
    }
    login->iterations = auth->config->scram_iterations;
    return verifier_mock_salt(auth->service->mock_key, auth->login.user, login->salt);
}

static enum auth_status
scram_begin(struct auth *auth)
{
    struct scram_login *const login = calloc(1, sizeof(*login));
    int r = 0;

    if (login == NULL)
        return auth_fail_error(auth, -ENOMEM);
    auth->state = login;
    scram_init(&login->scram, auth->login.tls_binding, auth->login.tls_binding_len);
    if (auth->secret->kind == SECRET_MD5)
        r = replace_md5(auth);
    if (r == 0)
        r = choose_salt(auth, login);
    return r == 0 ? offer_mechanisms(auth) : fail(auth, r);
}

/* ---- the client's messages ---- */

static enum auth_status
take_first(struct auth *auth, const char *message, size_t len)
{
    CLEANUP(buf_done) struct buf challenge = BUF_INIT;
    struct scram_login *const login = auth->state;
    char nonce[SCRAM_NONCE_LEN + 1];
    int r;

    login->step = EXPECT_FINAL;
    r = scram_read_first(&login->scram, login->mechanism, message, len);
    if (r == 0)
        r = scram_make_nonce(nonce);
    if (r == 0)
        r = scram_write_challenge(&login->scram, nonce, login->salt, login->iterations, &challenge);
    if (r == 0)
        r = reply(auth, AUTH_SASL_CONTINUE, &challenge);
    return r == 0 ? AUTH_CONTINUE : fail(auth, r);
}

/* A mechanism that came without a message is answered with an empty challenge. */
static enum auth_status
ask_first(struct auth *auth)
{
    struct scram_login *const login = auth->state;
    const struct buf nothing = BUF_INIT;
    const int r = reply(auth, AUTH_SASL_CONTINUE, &nothing);

    login->step = EXPECT_FIRST;
    return r == 0 ? AUTH_CONTINUE : fail(auth, r);
}

static enum auth_status
take_mechanism(struct auth *auth, const char *body, size_t len)
{
    static const struct auth_failure broken = {
        .sqlstate = SQLSTATE_PROTOCOL_VIOLATION,
        .message = "invalid SASL response packet",
    };
    static const struct auth_failure unknown = {
        .sqlstate = SQLSTATE_PROTOCOL_VIOLATION,
        .message = "client selected an invalid SASL authentication mechanism",
    };
    struct scram_login *const login = auth->state;
    const char *const end = memchr(body, '\0', len);
    const size_t name_size = end != NULL ? (size_t)(end - body) + 1 : 0;

    if (end == NULL || len - name_size < 4)
        return auth_fail(auth, &broken);
    if (!scram_is_offered(&login->scram, body))
        return auth_fail(auth, &unknown);
    memcpy(login->mechanism, body, name_size);
    body += name_size;
    len -= name_size + 4;
    if (pg_get_uint32(body) == UINT32_MAX && len == 0)
        return ask_first(auth);
    if (pg_get_uint32(body) != len)
        return auth_fail(auth, &broken);
    return take_first(auth, body + 4, len);
}

static int
make_credential(const struct auth *auth, const struct verifier *verifier,
                struct credential **ret_credential)
{
    const struct scram_login *const login = auth->state;

    if (auth->secret->kind == SECRET_PLAIN)
        return secret_credential(auth->secret, ret_credential);
    *ret_credential = credential_new_keys(login->scram.client_key, verifier->server_key);
    return *ret_credential != NULL ? 0 : -ENOMEM;
}

static enum auth_status
judge(struct auth *auth, const struct verifier *verifier)
{
    CLEANUP(buf_done) struct buf final = BUF_INIT;
    struct scram_login *const login = auth->state;
    struct credential *credential;
    int r;

    r = scram_verify(&login->scram, verifier);
    if (r == 0 && auth->secret->is_mock)
        r = -EACCES;
    if (r == 0)
        r = scram_write_final(&login->scram, verifier, &final);
    if (r == 0)
        r = reply(auth, AUTH_SASL_FINAL, &final);
    if (r == 0)
        r = make_credential(auth, verifier, &credential);
    return r == 0 ? auth_accept(auth, credential) : fail(auth, r);
}

static enum auth_status
take_final(struct auth *auth, const char *message, size_t len)
{
    struct scram_login *const login = auth->state;
    const struct secret *const secret = auth->secret;
    const int r = scram_read_final(&login->scram, message, len);

    if (r < 0)
        return fail(auth, r);
    if (secret->kind == SECRET_SCRAM)
        return judge(auth, &secret->verifier);
    return verifiers_want(auth, secret->text, login->salt, login->iterations, judge);
}

static enum auth_status
scram_input(struct auth *auth, const void *body, size_t len)
{
    const struct scram_login *const login = auth->state;

    switch (login->step) {
    case EXPECT_MECHANISM:
        return take_mechanism(auth, body, len);
    case EXPECT_FIRST:
        return take_first(auth, body, len);
    default:
        return take_final(auth, body, len);
    }
}

static void
scram_login_done(struct auth *auth)
{
    struct scram_login *const login = auth->state;

    scram_done(&login->scram);
    free(login);
}

const struct auth_method auth_method_scram = {
    .name = "scram-sha-256",
    .wants_secret = true,
    .begin = scram_begin,
    .input = scram_input,
    .done = scram_login_done,
};
