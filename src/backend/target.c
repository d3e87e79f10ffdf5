/*
 * target.c - how to reach one database.
 */
#include "backend_int.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "str.h"

DEFINE_CLEANUP(struct backend_target *, backend_target_unref);

/* All that a target owns. */
static const struct {
    size_t offset;
    bool is_secret;
} strings[] = {
#define STRING(field)                                                                              \
    {                                                                                              \
        offsetof(struct backend_target, field), false                                              \
    }
#define SECRET(field)                                                                              \
    {                                                                                              \
        offsetof(struct backend_target, field), true                                               \
    }
    /* clang-format off */
    STRING(host), STRING(dbname), STRING(user),
    SECRET(password), SECRET(md5_secret), SECRET(scram_client_key), SECRET(scram_server_key),
    STRING(sslmode), STRING(sslrootcert), STRING(sslcert), STRING(sslkey),
    STRING(ssl_min_protocol), STRING(ssl_max_protocol),
    STRING(application_name), STRING(client_encoding), STRING(datestyle), STRING(timezone),
    STRING(replication), STRING(options),
/* clang-format on */
#undef STRING
#undef SECRET
};

static char **
string_at(struct backend_target *target, size_t index)
{
    return (char **)(void *)((char *)target + strings[index].offset);
}

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
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
        if (strings[i].is_secret)
            secret_free(*string_at(target, i));
        else
            free(*string_at(target, i));
    }
    free(target);
}

int
backend_target_copy(const struct backend_target *target, struct backend_target **ret_copy)
{
    CLEANUP(backend_target_unref) struct backend_target *copy = backend_target_new();

    if (copy == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
        const char *const value = *string_at((struct backend_target *)target, i);

        if (str_set(string_at(copy, i), value) < 0)
            return -ENOMEM;
    }
    copy->port = target->port;
    copy->tcp = target->tcp;
    copy->connect_timeout = target->connect_timeout;
    copy->login_retry = target->login_retry;
    *ret_copy = TAKE(copy);
    return 0;
}

int
target_append_setting(struct buf *options, const char *name, const char *value)
{
    int r;

    r = buf_printf(options, "%s-c %s=", options->len > 0 ? " " : "", name);
    for (const char *c = value; r == 0 && *c != '\0'; c++) {
        if (str_is_blank(*c) || *c == '\\')
            r = buf_append_char(options, '\\');
        if (r == 0)
            r = buf_append_char(options, *c);
    }
    return r;
}

/* The packet's own fields come after the options, so what has a field of its own leaves it. */
static void
target_forget_setting(struct backend_target *target, const char *name)
{
    const struct {
        const char *name;
        char **field;
    } fields[] = {
        {"application_name", &target->application_name},
        {"client_encoding", &target->client_encoding},
    };

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (str_ieq(fields[i].name, name))
            free(TAKE(*fields[i].field));
    }
}

int
backend_target_add_setting(struct backend_target *target, const char *name, const char *value)
{
    CLEANUP(buf_done) struct buf options = BUF_INIT;
    int r = 0;

    if (target->options != NULL)
        r = buf_append_str(&options, target->options);
    if (r == 0)
        r = target_append_setting(&options, name, value);
    if (r == 0)
        r = str_set(&target->options, buf_str(&options));
    if (r == 0)
        target_forget_setting(target, name);
    return r;
}

bool
target_is_unix(const struct backend_target *target)
{
    return target->host == NULL || target->host[0] == '/' || target->host[0] == '@';
}
