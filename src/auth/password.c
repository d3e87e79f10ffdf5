/*
 * password.c - the methods plain (HBA's "password") and md5.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "auth_int.h"
#include "build.h"
#include "secret.h"
#include "verifiers.h"
#include "wipe.h"

static enum auth_status
fail(struct auth *auth, int r)
{
    return r == -EACCES ? auth_fail(auth, &auth_wrong_password) : auth_fail_error(auth, r);
}

/* ---- plain: the client sends the password itself; auth->state is a copy while we hash ---- */

static enum auth_status
plain_hashed(struct auth *auth, const struct verifier *verifier)
{
    const struct secret *const secret = auth->secret;

    if (CRYPTO_memcmp(verifier->stored_key, secret->verifier.stored_key, SCRAM_KEY_SIZE) != 0 ||
        secret->is_mock)
        return fail(auth, -EACCES);
    return auth_accept_password(auth, auth->state);
}

static enum auth_status
plain_input(struct auth *auth, const void *body, size_t len)
{
    const char *const password = auth_read_password(auth, body, len);
    const struct secret *const secret = auth->secret;
    int r;

    if (password == NULL)
        return AUTH_FAILED;
    if (secret->kind == SECRET_SCRAM) {
        auth->state = strdup(password);
        if (auth->state == NULL)
            return fail(auth, -ENOMEM);
        return verifiers_want(auth, password, secret->verifier.salt, secret->verifier.iterations,
                              plain_hashed);
    }
    r = secret_check_password(secret, auth->login.user, password);
    return r == 0 ? auth_accept_password(auth, password) : fail(auth, r);
}

static void
plain_done(struct auth *auth)
{
    wipe_free(auth->state);
}

const struct auth_method auth_method_plain = {
    .name = "plain",
    .wants_secret = true,
    .begin = auth_ask_password,
    .input = plain_input,
    .done = plain_done,
};

/* ---- md5: the client hashes the password with a salt of ours, which is auth->state ---- */

static enum auth_status
md5_begin(struct auth *auth)
{
    struct msg msg;
    int r;

    if (auth->secret->kind == SECRET_SCRAM) {
        auth->method = &auth_method_scram;
        return auth->method->begin(auth);
    }
    auth->state = malloc(MD5_SALT_SIZE);
    if (auth->state == NULL)
        return fail(auth, -ENOMEM);
    if (RAND_bytes(auth->state, MD5_SALT_SIZE) != 1)
        return fail(auth, -EIO);
    msg_begin(&msg, &auth->reply, BACKEND_AUTHENTICATION);
    msg_put_int32(&msg, AUTH_MD5);
    msg_put_bytes(&msg, auth->state, MD5_SALT_SIZE);
    r = msg_end(&msg);
    return r == 0 ? AUTH_CONTINUE : fail(auth, r);
}

static enum auth_status
md5_input(struct auth *auth, const void *body, size_t len)
{
    const char *const answer = auth_read_password(auth, body, len);
    int r;

    if (answer == NULL)
        return AUTH_FAILED;
    r = secret_check_md5(auth->secret, auth->login.user, auth->state, answer);
    return r == 0 ? auth_accept_secret(auth) : fail(auth, r);
}

static void
md5_done(struct auth *auth)
{
    free(auth->state);
}

const struct auth_method auth_method_md5 = {
    .name = "md5",
    .wants_secret = true,
    .begin = md5_begin,
    .input = md5_input,
    .done = md5_done,
};
