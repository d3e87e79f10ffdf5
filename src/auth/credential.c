#include "credential.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include "ref.h"
#include "secret.h"
#include "str.h"
#include "wipe.h"

struct credential {
    struct ref ref;
    enum credential_kind kind;
    char *text;                                    /* owned; NULL of the last kind */
    unsigned char client_key[CREDENTIAL_KEY_SIZE]; /* of the last kind, both */
    unsigned char server_key[CREDENTIAL_KEY_SIZE];
};

static struct credential *
credential_new(enum credential_kind kind)
{
    struct credential *const credential = calloc(1, sizeof(*credential));

    if (credential == NULL)
        return NULL;
    ref_init(&credential->ref);
    credential->kind = kind;
    return credential;
}

static struct credential *
credential_new_text(enum credential_kind kind, const char *text)
{
    CLEANUP(credential_unref) struct credential *credential = credential_new(kind);

    if (credential == NULL)
        return NULL;
    credential->text = strdup(text);
    return credential->text != NULL ? TAKE(credential) : NULL;
}

struct credential *
credential_new_password(const char *password)
{
    return credential_new_text(CREDENTIAL_PASSWORD, password);
}

struct credential *
credential_new_md5(const char *secret)
{
    return credential_new_text(CREDENTIAL_MD5, secret);
}

int
credential_new_secret(const char *secret, struct credential **ret_credential)
{
    const enum secret_kind kind = secret_kind_of(secret);
    struct credential *credential;

    if (*secret == '\0' || kind == SECRET_SCRAM) {
        *ret_credential = NULL;
        return 0;
    }
    credential = kind == SECRET_MD5 ? credential_new_md5(secret) : credential_new_password(secret);
    if (credential == NULL)
        return -ENOMEM;
    *ret_credential = credential;
    return 0;
}

struct credential *
credential_new_keys(const unsigned char client_key[CREDENTIAL_KEY_SIZE],
                    const unsigned char server_key[CREDENTIAL_KEY_SIZE])
{
    struct credential *const credential = credential_new(CREDENTIAL_SCRAM_KEYS);

    if (credential == NULL)
        return NULL;
    memcpy(credential->client_key, client_key, CREDENTIAL_KEY_SIZE);
    memcpy(credential->server_key, server_key, CREDENTIAL_KEY_SIZE);
    return credential;
}

struct credential *
credential_ref(struct credential *credential)
{
    if (credential != NULL)
        ref_get(&credential->ref);
    return credential;
}

void
credential_unref(struct credential *credential)
{
    if (credential == NULL || !ref_put(&credential->ref))
        return;
    wipe_free(credential->text);
    OPENSSL_cleanse(credential, sizeof(*credential));
    free(credential);
}

enum credential_kind
credential_kind(const struct credential *credential)
{
    return credential->kind;
}

const char *
credential_text(const struct credential *credential)
{
    return credential->text;
}

const unsigned char *
credential_client_key(const struct credential *credential)
{
    return credential->kind == CREDENTIAL_SCRAM_KEYS ? credential->client_key : NULL;
}

const unsigned char *
credential_server_key(const struct credential *credential)
{
    return credential->kind == CREDENTIAL_SCRAM_KEYS ? credential->server_key : NULL;
}

/* Both are secrets that we hold: how long it takes tells nobody anything. */
bool
credential_equal(const struct credential *a, const struct credential *b)
{
    if (a == b)
        return true;
    if (a == NULL || b == NULL || a->kind != b->kind)
        return false;
    return str_eq(a->text, b->text) &&
           CRYPTO_memcmp(a->client_key, b->client_key, CREDENTIAL_KEY_SIZE) == 0 &&
           CRYPTO_memcmp(a->server_key, b->server_key, CREDENTIAL_KEY_SIZE) == 0;
}
