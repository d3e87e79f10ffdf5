#include "scram_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>

#define BARE_FIRST "n=,r=the-client's-nonce"

void
scram_client_init(struct scram_client *client, const char *password)
{
    *client = (struct scram_client){.password = password, .header = "n,,"};
}

void
scram_client_done(struct scram_client *client)
{
    buf_done(&client->transcript);
    buf_done(&client->nonces);
}

void
scram_client_first(struct scram_client *client, struct buf *message)
{
    assert_int_equal(buf_printf(message, "%s%s", client->header, BARE_FIRST), 0);
}

static void
make_keys(struct scram_client *client)
{
    unsigned char salt[BASE64_SIZE(SCRAM_SALT_TEXT_MAX)], salted[SCRAM_KEY_SIZE];
    const ssize_t salt_len = base64_decode(client->salt, strlen(client->salt), salt);

    assert_true(salt_len > 0);
    assert_int_equal(PKCS5_PBKDF2_HMAC(client->password, (int)strlen(client->password), salt,
                                       (int)salt_len, client->iterations, EVP_sha256(),
                                       SCRAM_KEY_SIZE, salted),
                     1);
    assert_int_equal(verifier_hmac(salted, sizeof(salted), "Client Key", 10, client->client_key),
                     0);
    assert_int_equal(verifier_hmac(salted, sizeof(salted), "Server Key", 10, client->server_key),
                     0);
}

static void
read_challenge(struct scram_client *client, const char *challenge)
{
    char nonces[256];

    assert_int_equal(
        sscanf(challenge, "r=%255[^,],s=%172[^,],i=%d", nonces, client->salt, &client->iterations),
        3);
    assert_int_equal(buf_append_str(&client->nonces, nonces), 0);
    assert_non_null(strstr(nonces, "the-client's-nonce"));
}

static void
append_binding(const struct scram_client *client, struct buf *message)
{
    CLEANUP(buf_done) struct buf bytes = BUF_INIT;
    char text[512];

    (void)buf_append_str(&bytes, client->header);
    (void)buf_append(&bytes, client->binding, client->binding_len);
    assert_true(BASE64_LEN(bytes.len) < sizeof(text));
    base64_encode(bytes.data, bytes.len, text);
    (void)buf_printf(message, "c=%s", text);
}

static void
append_proof(const struct scram_client *client, struct buf *message)
{
    unsigned char proof[SCRAM_KEY_SIZE], stored_key[SCRAM_KEY_SIZE];
    char text[BASE64_LEN(SCRAM_KEY_SIZE) + 1];

    assert_int_equal(verifier_hash(client->client_key, stored_key), 0);
    assert_int_equal(verifier_hmac(stored_key, sizeof(stored_key), client->transcript.data,
                                   client->transcript.len, proof),
                     0);
    for (size_t i = 0; i < sizeof(proof); i++)
        proof[i] ^= client->client_key[i];
    base64_encode(proof, sizeof(proof), text);
    (void)buf_printf(message, ",p=%s", text);
}

void
scram_client_final(struct scram_client *client, const char *challenge, struct buf *message)
{
    const size_t start = message->len;

    read_challenge(client, challenge);
    make_keys(client);
    append_binding(client, message);
    (void)buf_printf(message, ",r=%s", buf_str(&client->nonces));
    (void)buf_printf(&client->transcript, "%s,%s,%s", BARE_FIRST, challenge, message->data + start);
    append_proof(client, message);
}

bool
scram_client_trusts(const struct scram_client *client, const char *final)
{
    unsigned char signature[SCRAM_KEY_SIZE];
    char text[BASE64_LEN(SCRAM_KEY_SIZE) + 1];

    assert_int_equal(verifier_hmac(client->server_key, SCRAM_KEY_SIZE, client->transcript.data,
                                   client->transcript.len, signature),
                     0);
    base64_encode(signature, sizeof(signature), text);
    return strncmp(final, "v=", 2) == 0 && strcmp(final + 2, text) == 0;
}
