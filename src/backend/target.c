/*
 * target.c - how to reach one database.
 */
#include "backend_int.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* Base64 of a key: four letters for three bytes, and the NUL that EVP_EncodeBlock adds. */
#define SCRAM_KEY_TEXT (4 * ((BACKEND_SCRAM_KEY_SIZE + 2) / 3) + 1)

struct backend_target *
backend_target_new(void)
{
    struct backend_target *target = calloc(1, sizeof(*target));

    if (target != NULL)
        atomic_init(&target->refs, 1);
    return target;
}

struct backend_target *
backend_target_ref(struct backend_target *target)
{
    (void)atomic_fetch_add_explicit(&target->refs, 1, memory_order_relaxed);
    return target;
}

static void
secret_free(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static char *
scram_key_text(const unsigned char *key)
{
    char *text = malloc(SCRAM_KEY_TEXT);

    if (text != NULL)
        (void)EVP_EncodeBlock((unsigned char *)text, key, BACKEND_SCRAM_KEY_SIZE);
    return text;
}

int
backend_target_set_scram_keys(struct backend_target *target, const unsigned char *client_key,
                              const unsigned char *server_key)
{
    secret_free(target->scram_client_key);
    secret_free(target->scram_server_key);
    target->scram_client_key = scram_key_text(client_key);
    target->scram_server_key = scram_key_text(server_key);
    return target->scram_client_key != NULL && target->scram_server_key != NULL ? 0 : -ENOMEM;
}

void
backend_target_unref(struct backend_target *target)
{
    if (target == NULL || atomic_fetch_sub_explicit(&target->refs, 1, memory_order_acq_rel) > 1)
        return;
    free(target->host);
    free(target->dbname);
    free(target->user);
    secret_free(target->password);
    secret_free(target->md5_secret);
    secret_free(target->scram_client_key);
    secret_free(target->scram_server_key);
    free(target->sslmode);
    free(target->sslrootcert);
    free(target->sslcert);
    free(target->sslkey);
    free(target->ssl_min_protocol);
    free(target->ssl_max_protocol);
    free(target->application_name);
    free(target->client_encoding);
    free(target->datestyle);
    free(target->timezone);
    free(target->replication);
    free(target->options);
    free(target);
}

bool
target_is_unix(const struct backend_target *target)
{
    return target->host == NULL || target->host[0] == '/' || target->host[0] == '@';
}
