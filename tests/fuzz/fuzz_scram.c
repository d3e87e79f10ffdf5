/*
 * fuzz_scram.c - the messages of a SCRAM login: only who knows the password gets through.
 *
 * The first byte of the input says which mechanism is used and whether there is a channel to bind
 * to, the first line is client-first, the second client-final. The server's nonce is always the
 * same, so that a login can succeed. Then the first line is taken for a stored secret, and both for
 * what follows the header of the protocol's messages.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "config.h"
#include "pg.h"
#include "scram.h"
#include "secret.h"
#include "wipe.h"

#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char certificate[] = "the hash of a certificate";

/* Made of "pencil" with one round. */
static const struct verifier *
pencil(void)
{
    static struct verifier verifier;

    if (verifier.iterations == 0 && verifier_make("pencil", SALT, 1, &verifier) < 0)
        abort();
    return &verifier;
}

struct input {
    bool is_bound, is_plus;
    const char *first, *final;
    size_t first_len, final_len;
};

static struct input
split(const char *data, size_t size)
{
    const char *const newline = memchr(data + 1, '\n', size - 1);
    const char *const end = newline != NULL ? newline : data + size;
    const char *const final = newline != NULL ? newline + 1 : end;

    return (struct input){
        .is_bound = data[0] & 1,
        .is_plus = (data[0] & 3) == 3, /* it is offered only then */
        .first = data + 1,
        .first_len = (size_t)(end - data) - 1,
        .final = final,
        .final_len = (size_t)(data + size - final),
    };
}

/* Each result is one that scram.h promises. */
static bool
is_fine(const struct scram *scram, int r)
{
    assert(r == 0 || r == -EPROTO);
    assert((r == 0) == (scram->failure == NULL));
    return r == 0;
}

static void
log_in(const struct input *input)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    struct scram scram;
    unsigned char stored[SCRAM_KEY_SIZE];

    scram_init(&scram, input->is_bound ? certificate : NULL, sizeof(certificate));
    if (is_fine(&scram, scram_read_first(&scram, input->is_plus ? SCRAM_PLUS_NAME : SCRAM_NAME,
                                         input->first, input->first_len))) {
        if (scram_write_challenge(&scram, "ours", SALT, 1, &message) < 0)
            abort();
        if (is_fine(&scram, scram_read_final(&scram, input->final, input->final_len)) &&
            scram_verify(&scram, pencil()) == 0) {
            assert(verifier_hash(scram.client_key, stored) == 0);
            assert(memcmp(stored, pencil()->stored_key, sizeof(stored)) == 0);
            assert(scram.is_plus == (scram.gs2_header.data[0] == 'p'));
            assert(!input->is_bound || scram.gs2_header.data[0] != 'y');
        }
    }
    scram_done(&scram);
}

/* A verifier is its text again, but for how the rounds are written. */
static void
parse_secret(const struct input *input)
{
    CLEANUP(free) char *text = strndup(input->first, input->first_len);
    unsigned char salt[BASE64_SIZE(SCRAM_SALT_TEXT_MAX)];
    struct verifier verifier;

    if (text == NULL || verifier_parse(text, &verifier) < 0)
        return;
    assert(verifier.iterations > 0);
    assert(base64_decode(verifier.salt, strlen(verifier.salt), salt) > 0);
    assert(strstr(text, verifier.salt) != NULL);
    assert(secret_kind_of(text) == SECRET_SCRAM);
}

static struct auth_service *
service(void)
{
    static const struct auth_service_options options = {.hashing = NULL};
    static struct auth_service *made;

    if (made == NULL && auth_service_new(&options, &made) < 0)
        abort();
    return made;
}

/* Nobody knows the nonce here: the protocol's messages lead to a question or to a refusal. */
static void
log_in_by_messages(const struct input *input)
{
    static char nothing[] = "";
    static struct config config = {
        .auth_type = AUTH_TYPE_SCRAM_SHA_256,
        .auth_user = nothing,
        .auth_dbname = nothing,
        .scram_iterations = 1,
    };
    const struct auth_login login = {
        .user = "nobody",
        .database_name = "db",
        .tls_binding = input->is_bound ? certificate : NULL,
        .tls_binding_len = sizeof(certificate),
    };
    struct auth auth;
    enum auth_status status;

    if (atomic_load(&config.ref.count) == 0)
        ref_init(&config.ref);
    auth_init(&auth, service(), NULL, NULL);
    status = auth_begin(&auth, &config, &login);
    assert(status == AUTH_CONTINUE);
    status = auth_input(&auth, FRONTEND_PASSWORD, input->first, input->first_len);
    if (status == AUTH_CONTINUE)
        status = auth_input(&auth, FRONTEND_PASSWORD, input->final, input->final_len);
    assert(status == AUTH_FAILED || status == AUTH_CONTINUE);
    assert((status == AUTH_FAILED) == (auth.failure != NULL));
    auth_done(&auth);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;

    if (size < 1)
        return 0;
    input = split((const char *)data, size);
    log_in(&input);
    parse_secret(&input);
    log_in_by_messages(&input);
    return 0;
}
