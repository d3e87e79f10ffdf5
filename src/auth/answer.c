/*
 * answer.c - what the methods tell the client, and the password that they ask it for.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "auth_int.h"
#include "build.h"
#include "credential.h"
#include "secret.h"

const struct auth_failure auth_wrong_password = {
    .sqlstate = SQLSTATE_INVALID_PASSWORD,
    .message = "password authentication failed",
};

const struct auth_failure auth_config_error = {
    .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
    .message = "bouncer config error",
};

enum auth_status
auth_fail(struct auth *auth, const struct auth_failure *failure)
{
    auth->failure = failure;
    return AUTH_FAILED;
}

enum auth_status
auth_fail_error(struct auth *auth, int error)
{
    static const struct auth_failure no_memory = {
        .sqlstate = SQLSTATE_OUT_OF_MEMORY,
        .message = "out of memory",
    };
    static const struct auth_failure shutting_down = {
        .sqlstate = SQLSTATE_ADMIN_SHUTDOWN,
        .message = "pooler is shutting down",
    };
    static const struct auth_failure internal = {
        .sqlstate = SQLSTATE_INTERNAL_ERROR,
        .message = "bouncer resources exhaustion",
    };

    assert(error < 0);
    if (error == -ENOMEM)
        return auth_fail(auth, &no_memory);
    if (error == -ESHUTDOWN)
        return auth_fail(auth, &shutting_down);
    auth_explain(auth, "a failure of our own: %s", strerrordesc_np(-error));
    return auth_fail(auth, &internal);
}

void
auth_explain(struct auth *auth, const char *format, ...)
{
    va_list args;

    if (auth->log_detail[0] != '\0')
        return;
    va_start(args, format);
    (void)vsnprintf(auth->log_detail, sizeof(auth->log_detail), format, args);
    va_end(args);
}

enum auth_status
auth_accept(struct auth *auth, struct credential *credential)
{
    credential_unref(auth->credential);
    auth->credential = credential;
    return AUTH_ACCEPTED;
}

enum auth_status
auth_accept_secret(struct auth *auth)
{
    struct credential *credential;
    const int r = secret_credential(auth->secret, &credential);

    return r == 0 ? auth_accept(auth, credential) : auth_fail_error(auth, r);
}

/* ---- a password in clear text ---- */

enum auth_status
auth_ask_password(struct auth *auth)
{
    struct msg msg;
    int r;

    msg_begin(&msg, &auth->reply, BACKEND_AUTHENTICATION);
    msg_put_int32(&msg, AUTH_CLEARTEXT);
    r = msg_end(&msg);
    return r == 0 ? AUTH_CONTINUE : auth_fail_error(auth, r);
}

const char *
auth_read_password(struct auth *auth, const void *body, size_t len)
{
    static const struct auth_failure broken = {
        .sqlstate = SQLSTATE_PROTOCOL_VIOLATION,
        .message = "invalid password packet size",
    };
    static const struct auth_failure empty = {
        .sqlstate = SQLSTATE_INVALID_PASSWORD,
        .message = "empty password returned by client",
    };
    const char *const password = body;

    if (len == 0 || memchr(password, '\0', len) != password + len - 1) {
        (void)auth_fail(auth, &broken);
        return NULL;
    }
    if (len == 1) {
        (void)auth_fail(auth, &empty);
        return NULL;
    }
    return password;
}

enum auth_status
auth_accept_password(struct auth *auth, const char *password)
{
    struct credential *const credential = credential_new_password(password);

    return credential != NULL ? auth_accept(auth, credential) : auth_fail_error(auth, -ENOMEM);
}
