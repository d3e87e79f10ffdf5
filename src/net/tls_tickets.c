/*
 * tls_tickets.c - the keys that a session's state is encrypted with, for the client to keep.
 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "entropy.h"
#include "ref.h"
#include "tls_int.h"

#define TICKET_NAME_SIZE 16 /* OpenSSL's */

struct ticket_key {
    unsigned char name[TICKET_NAME_SIZE];
    unsigned char cipher[32];
    unsigned char mac[32];
};

struct tls_tickets {
    struct ref ref;
    pthread_mutex_t mutex;
    struct ticket_key current; /* under the mutex, as the next two */
    struct ticket_key previous;
    bool has_previous;
};

int
tls_tickets_new(struct tls_tickets **ret_tickets)
{
    struct tls_tickets *tickets = calloc(1, sizeof(*tickets));
    int r;

    if (tickets == NULL)
        return -ENOMEM;
    r = entropy_fill(&tickets->current, sizeof(tickets->current));
    if (r < 0) {
        free(tickets);
        return r;
    }
    ref_init(&tickets->ref);
    (void)pthread_mutex_init(&tickets->mutex, NULL);
    *ret_tickets = tickets;
    return 0;
}

struct tls_tickets *
tls_tickets_ref(struct tls_tickets *tickets)
{
    ref_get(&tickets->ref);
    return tickets;
}

void
tls_tickets_unref(struct tls_tickets *tickets)
{
    if (tickets == NULL || !ref_put(&tickets->ref))
        return;
    (void)pthread_mutex_destroy(&tickets->mutex);
    OPENSSL_cleanse(tickets, sizeof(*tickets));
    free(tickets);
}

int
tls_tickets_rotate(struct tls_tickets *tickets)
{
    struct ticket_key key;
    const int r = entropy_fill(&key, sizeof(key));

    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&tickets->mutex);
    tickets->previous = tickets->current;
    tickets->current = key;
    tickets->has_previous = true;
    (void)pthread_mutex_unlock(&tickets->mutex);
    OPENSSL_cleanse(&key, sizeof(key));
    return 0;
}

/* ---- the context's reference ----------------------------------------------------------------- */

/* An SSL_CTX may live longer than the context that made it: as long as its last connection. */
static void
tickets_let_go(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
    (void)parent, (void)data, (void)index, (void)number, (void)arg;
    tls_tickets_unref(pointer);
}

static int tickets_ex_index = -1;

static void
tickets_make_index(void)
{
    tickets_ex_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, tickets_let_go);
}

/* Where an SSL_CTX keeps its tickets; negative when there is no memory. */
static int
tickets_index(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, tickets_make_index);
    return tickets_ex_index;
}

/* ---- what OpenSSL asks ------------------------------------------------------------------------
 */

/* The key of this name; *ret_current tells whether new tickets are made with it. */
static bool
tickets_find(struct tls_tickets *tickets, const unsigned char *name, struct ticket_key *ret_key,
             bool *ret_current)
{
    bool found = true;

    (void)pthread_mutex_lock(&tickets->mutex);
    *ret_current = memcmp(name, tickets->current.name, TICKET_NAME_SIZE) == 0;
    if (*ret_current)
        *ret_key = tickets->current;
    else if (tickets->has_previous && memcmp(name, tickets->previous.name, TICKET_NAME_SIZE) == 0)
        *ret_key = tickets->previous;
    else
        found = false;
    (void)pthread_mutex_unlock(&tickets->mutex);
    return found;
}

/* Sets up both algorithms, AES-256-CBC and HMAC-SHA256; CBC is what OpenSSL's format is made for.
 */
static bool
ticket_prepare(const struct ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
               EVP_MAC_CTX *mac, int encrypt)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, encrypt) == 1;
}

/* What the callback says in OpenSSL's language. */
enum { TICKET_FAIL = -1, TICKET_UNKNOWN = 0, TICKET_GOOD = 1, TICKET_RENEW = 2 };

static int
ticket_make(struct tls_tickets *tickets, unsigned char *name, unsigned char *iv,
            struct ticket_key *ret_key)
{
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
        return TICKET_FAIL;
    (void)pthread_mutex_lock(&tickets->mutex);
    *ret_key = tickets->current;
    (void)pthread_mutex_unlock(&tickets->mutex);
    memcpy(name, ret_key->name, sizeof(ret_key->name));
    return TICKET_GOOD;
}

/* TLS 1.3 wants each ticket to be used once: so there is always another. */
static int
ticket_open(struct tls_tickets *tickets, const SSL *tls, const unsigned char *name,
            struct ticket_key *ret_key)
{
    bool is_current;

    if (!tickets_find(tickets, name, ret_key, &is_current))
        return TICKET_UNKNOWN;
    return is_current && SSL_version(tls) < TLS1_3_VERSION ? TICKET_GOOD : TICKET_RENEW;
}

static int
ticket_callback(SSL *tls, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac, int encrypt)
{
    struct tls_tickets *tickets = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls), tickets_index());
    struct ticket_key key;
    int result;

    result = encrypt ? ticket_make(tickets, name, iv, &key) : ticket_open(tickets, tls, name, &key);
    if (result <= TICKET_UNKNOWN)
        return result;
    if (!ticket_prepare(&key, iv, cipher, mac, encrypt))
        result = TICKET_FAIL;
    OPENSSL_cleanse(&key, sizeof(key));
    return result;
}

int
tls_tickets_use(struct tls_tickets *tickets, SSL_CTX *ctx)
{
    if (tickets_index() < 0)
        return -ENOMEM;
    if (SSL_CTX_set_ex_data(ctx, tickets_index(), tickets) != 1)
        return -ENOMEM;
    (void)tls_tickets_ref(tickets);
    if (SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_callback) != 1)
        return -ENOMEM;
    return 0;
}
