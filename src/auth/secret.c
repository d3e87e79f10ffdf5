#include "secret.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "credential.h"
#include "str.h"
#include "wipe.h"

/* ---- life ---- */

static bool
looks_like_md5(const char *text)
{
    return strlen(text) == MD5_SECRET_LEN && str_starts_with(text, "md5") &&
           strspn(text + 3, "0123456789abcdef") == MD5_SECRET_LEN - 3;
}

enum secret_kind
secret_kind_of(const char *text)
{
    struct verifier verifier;

    if (looks_like_md5(text))
        return SECRET_MD5;
    return verifier_parse(text, &verifier) == 0 ? SECRET_SCRAM : SECRET_PLAIN;
}

int
secret_new(const char *text, struct secret **ret_secret)
{
    CLEANUP(secret_free) struct secret *secret = NULL;

    secret = calloc(1, sizeof(*secret));
    if (secret == NULL)
        return -ENOMEM;
    secret->is_known = true;
    secret->is_mock = *text == '\0';
    if (verifier_parse(text, &secret->verifier) == 0) {
        secret->kind = SECRET_SCRAM;
    } else {
        secret->kind = looks_like_md5(text) ? SECRET_MD5 : SECRET_PLAIN;
        secret->text = strdup(text);
        if (secret->text == NULL)
            return -ENOMEM;
    }
    *ret_secret = TAKE(secret);
    return 0;
}

static int
mock_text(enum secret_kind kind, const unsigned char key[SCRAM_KEY_SIZE], const char *user,
          char **ret_text)
{
    char password[VERIFIER_MOCK_PASSWORD_SIZE], hashed[MD5_SECRET_LEN + 1];
    int r;

    r = verifier_mock_password(key, user, password);
    if (r == 0 && kind == SECRET_MD5)
        r = secret_md5(password, user, strlen(user), hashed);
    if (r < 0)
        return r;
    *ret_text = strdup(kind == SECRET_MD5 ? hashed : password);
    return *ret_text != NULL ? 0 : -ENOMEM;
}

int
secret_new_mock(enum secret_kind kind, const unsigned char key[SCRAM_KEY_SIZE], const char *user,
                int iterations, struct secret **ret_secret)
{
    CLEANUP(secret_free) struct secret *secret = NULL;
    int r;

    secret = calloc(1, sizeof(*secret));
    if (secret == NULL)
        return -ENOMEM;
    secret->kind = kind;
    secret->is_mock = true;
    if (kind == SECRET_SCRAM)
        r = verifier_mock(key, user, iterations, &secret->verifier);
    else
        r = mock_text(kind, key, user, &secret->text);
    if (r < 0)
        return r;
    *ret_secret = TAKE(secret);
    return 0;
}

void
secret_free(struct secret *secret)
{
    if (secret == NULL)
        return;
    wipe_free(secret->text);
    OPENSSL_cleanse(secret, sizeof(*secret));
    free(secret);
}

int
secret_credential(const struct secret *secret, struct credential **ret_credential)
{
    const bool is_useful = !secret->is_mock && secret->kind != SECRET_SCRAM;

    return credential_new_secret(is_useful ? secret->text : "", ret_credential);
}

/* ---- passwords ---- */

/* The same time whatever differs, but for the length. */
static int
compare(const char *a, const char *b)
{
    const size_t len = strlen(a);

    return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0 ? 0 : -EACCES;
}

int
secret_md5(const char *text, const void *salt, size_t salt_len, char ret_secret[MD5_SECRET_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *const ctx = EVP_MD_CTX_new();
    bool ok;

    ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 &&
         EVP_DigestUpdate(ctx, text, strlen(text)) == 1 &&
         EVP_DigestUpdate(ctx, salt, salt_len) == 1 && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return -EIO;
    memcpy(ret_secret, "md5", 3);
    for (size_t i = 0; i < 16; i++) {
        ret_secret[3 + 2 * i] = digits[digest[i] >> 4];
        ret_secret[4 + 2 * i] = digits[digest[i] & 15];
    }
    ret_secret[MD5_SECRET_LEN] = '\0';
    OPENSSL_cleanse(digest, sizeof(digest));
    return 0;
}

int
secret_check_password(const struct secret *secret, const char *user, const char *password)
{
    char hashed[MD5_SECRET_LEN + 1];
    int r;

    assert(secret->kind != SECRET_SCRAM);
    if (secret->kind == SECRET_PLAIN) {
        r = compare(secret->text, password);
    } else {
        r = secret_md5(password, user, strlen(user), hashed);
        if (r == 0)
            r = compare(secret->text, hashed);
    }
    return r == 0 && secret->is_mock ? -EACCES : r;
}

int
secret_check_md5(const struct secret *secret, const char *user,
                 const unsigned char salt[MD5_SALT_SIZE], const char *answer)
{
    char inner[MD5_SECRET_LEN + 1], outer[MD5_SECRET_LEN + 1];
    int r = 0;

    assert(secret->kind != SECRET_SCRAM);
    if (secret->kind == SECRET_MD5)
        (void)str_copy(inner, sizeof(inner), secret->text);
    else
        r = secret_md5(secret->text, user, strlen(user), inner);
    if (r == 0)
        r = secret_md5(inner + 3, salt, MD5_SALT_SIZE, outer);
    if (r == 0)
        r = compare(outer, answer);
    OPENSSL_cleanse(inner, sizeof(inner));
    return r == 0 && secret->is_mock ? -EACCES : r;
}
