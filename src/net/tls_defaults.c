/*
 * tls_defaults.c - the ciphers of connections that a library (libpq) makes by itself.
 *
 * OpenSSL applies the section "system_default" of its configuration to each context that anybody
 * in the process makes. So that section is made here, in memory.
 */
#include <errno.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <pthread.h>
#include <string.h>

#include "buf.h"
#include "str.h"
#include "tls_int.h"

/* A context is not made while the section is being replaced. */
static pthread_mutex_t defaults_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool defaults_are_ours;

SSL_CTX *
tls_new_ctx(const SSL_METHOD *method)
{
    SSL_CTX *ctx;

    (void)pthread_mutex_lock(&defaults_mutex);
    ctx = SSL_CTX_new(method);
    (void)pthread_mutex_unlock(&defaults_mutex);
    return ctx;
}

static const char *
list_of(const char *ciphers)
{
    return *ciphers == '\0' || str_ieq(ciphers, "default") ? "DEFAULT" : tls_find_ciphers(ciphers);
}

static const char *
suites_of(const char *tls13_ciphers)
{
    return *tls13_ciphers == '\0' ? TLS_DEFAULT_CIPHERSUITES : tls13_ciphers;
}

/* Whether it means in a configuration file of OpenSSL what it says. */
static bool
is_plain(const char *text)
{
    return text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                             ":+-!@=_., ")] == '\0';
}

int
tls_check_ciphers(const char *ciphers, const char *tls13_ciphers, const char **ret_bad)
{
    SSL_CTX *ctx = tls_new_ctx(TLS_client_method());

    *ret_bad = NULL;
    if (ctx == NULL)
        return -ENOMEM;
    if (!is_plain(ciphers) || SSL_CTX_set_cipher_list(ctx, list_of(ciphers)) != 1)
        *ret_bad = ciphers;
    else if (!is_plain(tls13_ciphers) ||
             SSL_CTX_set_ciphersuites(ctx, suites_of(tls13_ciphers)) != 1)
        *ret_bad = tls13_ciphers;
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return *ret_bad == NULL ? 0 : -EINVAL;
}

static int
load_section(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    CONF *conf = NCONF_new(NULL);
    int r = -ENOMEM;

    if (bio != NULL && conf != NULL && NCONF_load_bio(conf, bio, NULL) == 1 &&
        CONF_modules_load(conf, "pgweir", 0) == 1)
        r = 0;
    NCONF_free(conf);
    BIO_free(bio);
    ERR_clear_error();
    return r;
}

int
tls_set_default_ciphers(const char *ciphers, const char *tls13_ciphers)
{
    const bool as_openssl = str_eq(list_of(ciphers), "DEFAULT") && *tls13_ciphers == '\0';
    CLEANUP(buf_done) struct buf text = BUF_INIT;
    int r = 0;

    r = buf_printf(&text,
                   "pgweir = modules\n[modules]\nssl_conf = uses\n[uses]\nsystem_default = all\n"
                   "[all]\nCipherString = %s\nCiphersuites = %s\n",
                   list_of(ciphers), suites_of(tls13_ciphers));
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&defaults_mutex);
    /* A site's own configuration of OpenSSL stays in force until somebody wants something else. */
    if (!as_openssl || defaults_are_ours) {
        r = load_section(buf_str(&text));
        defaults_are_ours = true;
    }
    (void)pthread_mutex_unlock(&defaults_mutex);
    return r;
}
