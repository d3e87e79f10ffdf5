#include "verifier.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stringprep.h>

#include "cleanup.h"
#include "str.h"

#define PREFIX        "SCRAM-SHA-256$"
#define KEY_TEXT_LEN  BASE64_LEN(SCRAM_KEY_SIZE)
#define MOCK_SALT_LEN 16

DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);

/* ---- as text ---- */

/* Digits that end with ':'. */
static int
parse_iterations(const char **text, int *ret_iterations)
{
    char *end;
    long value;

    if (**text < '0' || **text > '9')
        return -EINVAL;
    errno = 0;
    value = strtol(*text, &end, 10);
    if (errno != 0 || *end != ':' || value < 1 || value > INT_MAX)
        return -EINVAL;
    *text = end + 1;
    *ret_iterations = (int)value;
    return 0;
}

/* Base64 that ends with '$'. */
static int
parse_salt(const char **text, char ret_salt[SCRAM_SALT_TEXT_MAX])
{
    unsigned char salt[BASE64_SIZE(SCRAM_SALT_TEXT_MAX)];
    const size_t len = strcspn(*text, "$");

    if ((*text)[len] != '$' || len == 0 || len >= SCRAM_SALT_TEXT_MAX ||
        base64_decode(*text, len, salt) < 0)
        return -EINVAL;
    memcpy(ret_salt, *text, len);
    ret_salt[len] = '\0';
    *text += len + 1;
    return 0;
}

static int
parse_key(const char *text, unsigned char ret_key[SCRAM_KEY_SIZE])
{
    unsigned char key[BASE64_SIZE(KEY_TEXT_LEN)];

    if (base64_decode(text, KEY_TEXT_LEN, key) != SCRAM_KEY_SIZE)
        return -EINVAL;
    memcpy(ret_key, key, SCRAM_KEY_SIZE);
    OPENSSL_cleanse(key, sizeof(key));
    return 0;
}

int
verifier_parse(const char *text, struct verifier *ret_verifier)
{
    struct verifier verifier;

    if (!str_starts_with(text, PREFIX))
        return -EINVAL;
    text += strlen(PREFIX);
    if (parse_iterations(&text, &verifier.iterations) < 0 || parse_salt(&text, verifier.salt) < 0)
        return -EINVAL;
    if (strlen(text) != 2 * KEY_TEXT_LEN + 1 || text[KEY_TEXT_LEN] != ':' ||
        parse_key(text, verifier.stored_key) < 0 ||
        parse_key(text + KEY_TEXT_LEN + 1, verifier.server_key) < 0)
        return -EINVAL;
    *ret_verifier = verifier;
    return 0;
}

/* ---- hashes ---- */

static EVP_MD *sha256; /* constant, once it is there */

static void
find_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* OpenSSL looks for an algorithm whenever it is not told which: that takes longer than to hash. */
static const EVP_MD *
get_sha256(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, find_sha256);
    return sha256 != NULL ? sha256 : EVP_sha256();
}

int
verifier_hash(const unsigned char key[SCRAM_KEY_SIZE], unsigned char ret_hash[SCRAM_KEY_SIZE])
{
    return EVP_Digest(key, SCRAM_KEY_SIZE, ret_hash, NULL, get_sha256(), NULL) == 1 ? 0 : -EIO;
}

/* The hash of the key, filled up to a block and masked, and the data. */
static bool
hash_with_key(EVP_MD_CTX *digest, const unsigned char *key, size_t key_len, unsigned char mask,
              const void *data, size_t len, unsigned char ret_hash[SCRAM_KEY_SIZE])
{
    unsigned char block[SHA256_CBLOCK];
    bool done;

    memset(block, mask, sizeof(block));
    for (size_t i = 0; i < key_len; i++)
        block[i] ^= key[i];
    done = EVP_DigestInit_ex2(digest, get_sha256(), NULL) == 1 &&
           EVP_DigestUpdate(digest, block, sizeof(block)) == 1 &&
           EVP_DigestUpdate(digest, data, len) == 1 &&
           EVP_DigestFinal_ex(digest, ret_hash, NULL) == 1;
    OPENSSL_cleanse(block, sizeof(block));
    return done;
}

/* RFC 2104, by hand: OpenSSL's takes three times as long for messages as short as ours. */
int
verifier_hmac(const void *key, size_t key_len, const void *data, size_t len,
              unsigned char ret_mac[SCRAM_KEY_SIZE])
{
    CLEANUP(EVP_MD_CTX_free) EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned char inner[SCRAM_KEY_SIZE];

    assert(key_len <= SHA256_CBLOCK);
    if (digest == NULL)
        return -ENOMEM;
    if (!hash_with_key(digest, key, key_len, 0x36, data, len, inner) ||
        !hash_with_key(digest, key, key_len, 0x5c, inner, sizeof(inner), ret_mac))
        return -EIO;
    return 0;
}

/* ---- of a password ---- */

static bool
is_ascii(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text > 127)
            return false;
    }
    return true;
}

/*
 * What SASLprep refuses, or is no UTF-8, is hashed as it is: the password may come from a client
 * with another encoding.
 */
int
verifier_prepare_password(const char *password, char **ret_prepared)
{
    char *prepared = NULL;
    int r = STRINGPREP_OK;

    if (!is_ascii(password))
        r = stringprep_profile(password, &prepared, "SASLprep", STRINGPREP_NO_UNASSIGNED);
    if (r == STRINGPREP_MALLOC_ERROR)
        return -ENOMEM;
    if (r == STRINGPREP_OK && prepared != NULL && *prepared == '\0') {
        free(prepared);
        prepared = NULL;
    }
    if (prepared == NULL)
        prepared = strdup(password);
    if (prepared == NULL)
        return -ENOMEM;
    *ret_prepared = prepared;
    return 0;
}

static int
salt_password(const char *password, const char *salt, int iterations,
              unsigned char ret_salted[SCRAM_KEY_SIZE])
{
    unsigned char salt_bytes[BASE64_SIZE(SCRAM_SALT_TEXT_MAX)];
    const size_t salt_len = strlen(salt);
    ssize_t size;
    char *prepared;
    int r;

    size = salt_len < SCRAM_SALT_TEXT_MAX ? base64_decode(salt, salt_len, salt_bytes) : -EINVAL;
    if (size < 0)
        return -EINVAL;
    r = verifier_prepare_password(password, &prepared);
    if (r < 0)
        return r;
    r = PKCS5_PBKDF2_HMAC(prepared, (int)strlen(prepared), salt_bytes, (int)size, iterations,
                          get_sha256(), SCRAM_KEY_SIZE, ret_salted);
    OPENSSL_cleanse(prepared, strlen(prepared));
    free(prepared);
    return r == 1 ? 0 : -EIO;
}

static int
make_keys(const unsigned char salted[SCRAM_KEY_SIZE], struct verifier *verifier)
{
    unsigned char client_key[SCRAM_KEY_SIZE];
    int r;

    r = verifier_hmac(salted, SCRAM_KEY_SIZE, "Client Key", strlen("Client Key"), client_key);
    if (r == 0)
        r = verifier_hash(client_key, verifier->stored_key);
    if (r == 0)
        r = verifier_hmac(salted, SCRAM_KEY_SIZE, "Server Key", strlen("Server Key"),
                          verifier->server_key);
    OPENSSL_cleanse(client_key, sizeof(client_key));
    return r;
}

int
verifier_make(const char *password, const char *salt, int iterations, struct verifier *ret_verifier)
{
    struct verifier verifier = {.iterations = iterations};
    unsigned char salted[SCRAM_KEY_SIZE];
    int r;

    r = salt_password(password, salt, iterations, salted);
    if (r == 0)
        r = make_keys(salted, &verifier);
    OPENSSL_cleanse(salted, sizeof(salted));
    if (r < 0)
        return r;
    (void)str_copy(verifier.salt, sizeof(verifier.salt), salt);
    *ret_verifier = verifier;
    return 0;
}

/* ---- of nobody ---- */

/* The daemon's secret, a use and a name give bytes that nobody can guess and that never change. */
static int
derive(const unsigned char secret[SCRAM_KEY_SIZE], const char *use, const char *user,
       unsigned char ret_bytes[SCRAM_KEY_SIZE])
{
    unsigned char key[SCRAM_KEY_SIZE];
    int r;

    r = verifier_hmac(secret, SCRAM_KEY_SIZE, use, strlen(use), key);
    if (r == 0)
        r = verifier_hmac(key, sizeof(key), user, strlen(user), ret_bytes);
    OPENSSL_cleanse(key, sizeof(key));
    return r;
}

int
verifier_mock_salt(const unsigned char secret[SCRAM_KEY_SIZE], const char *user,
                   char ret_salt[SCRAM_SALT_TEXT_MAX])
{
    unsigned char bytes[SCRAM_KEY_SIZE];
    const int r = derive(secret, "salt", user, bytes);

    if (r == 0)
        base64_encode(bytes, MOCK_SALT_LEN, ret_salt);
    return r;
}

int
verifier_mock(const unsigned char secret[SCRAM_KEY_SIZE], const char *user, int iterations,
              struct verifier *ret_verifier)
{
    struct verifier verifier = {.iterations = iterations};
    int r;

    r = verifier_mock_salt(secret, user, verifier.salt);
    if (r == 0)
        r = derive(secret, "stored key", user, verifier.stored_key);
    if (r == 0)
        r = derive(secret, "server key", user, verifier.server_key);
    if (r == 0)
        *ret_verifier = verifier;
    return r;
}

int
verifier_mock_password(const unsigned char secret[SCRAM_KEY_SIZE], const char *user,
                       char ret_password[VERIFIER_MOCK_PASSWORD_SIZE])
{
    unsigned char bytes[SCRAM_KEY_SIZE];
    const int r = derive(secret, "password", user, bytes);

    if (r == 0)
        base64_encode(bytes, sizeof(bytes), ret_password);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return r;
}
