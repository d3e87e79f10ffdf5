/*
 * tls_words.c - what the words of PgBouncer's client_tls_* keys mean to OpenSSL.
 */
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#include "buf.h"
#include "macros.h"
#include "str.h"
#include "tls_int.h"

/* An option's text, or what stands for it when it is not set. */
static const char *
word_or(const char *text, const char *otherwise)
{
    return text != NULL && *text != '\0' ? text : otherwise;
}

const char *
tls_error_text(void)
{
    const unsigned long error = ERR_peek_error();
    const char *text = ERR_reason_error_string(error);

    if (ERR_GET_LIB(error) == ERR_LIB_SYS)
        text = strerror(ERR_GET_REASON(error));
    return text != NULL ? text : "unknown error";
}

/* ---- protocols ------------------------------------------------------------------------------- */

enum { TLS_1_0 = 1, TLS_1_1 = 2, TLS_1_2 = 4, TLS_1_3 = 8 };
#define TLS_SECURE (TLS_1_2 | TLS_1_3)
#define TLS_ALL    (TLS_1_0 | TLS_1_1 | TLS_SECURE)

static const struct {
    const char *word;
    unsigned versions;
} protocol_words[] = {
    {"secure", TLS_SECURE}, {"default", TLS_SECURE}, {"all", TLS_ALL},
    {"legacy", TLS_ALL},    {"tlsv1.0", TLS_1_0},    {"tlsv1.1", TLS_1_1},
    {"tlsv1.2", TLS_1_2},   {"tlsv1.3", TLS_1_3},    {"tlsv1", TLS_ALL},
};

/* 0: no such word. */
static unsigned
find_protocol(const char *word, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocol_words); i++) {
        if (strlen(protocol_words[i].word) == len &&
            strncasecmp(protocol_words[i].word, word, len) == 0)
            return protocol_words[i].versions;
    }
    return 0;
}

static int
parse_protocols(const char *list, unsigned *ret_versions, struct buf *error)
{
    const char *word;
    size_t len;

    *ret_versions = 0;
    while (str_list_next(&list, &word, &len)) {
        const bool without = *word == '!';
        const unsigned versions = find_protocol(word + without, len - without);

        if (versions == 0) {
            (void)buf_printf(error, "unknown TLS protocol \"%.*s\"", (int)len, word);
            return -EINVAL;
        }
        *ret_versions = without ? *ret_versions & ~versions : *ret_versions | versions;
    }
    if (*ret_versions != 0)
        return 0;
    (void)buf_append_str(error, "no TLS protocol is left");
    return -EINVAL;
}

int
tls_set_protocols(SSL_CTX *ctx, const struct tls_options *options, struct buf *error)
{
    unsigned versions;
    const int r = parse_protocols(word_or(options->protocols, "secure"), &versions, error);

    if (r < 0)
        return r;
    (void)SSL_CTX_set_options(ctx, (versions & TLS_1_0 ? 0 : SSL_OP_NO_TLSv1) |
                                       (versions & TLS_1_1 ? 0 : SSL_OP_NO_TLSv1_1) |
                                       (versions & TLS_1_2 ? 0 : SSL_OP_NO_TLSv1_2) |
                                       (versions & TLS_1_3 ? 0 : SSL_OP_NO_TLSv1_3));
    (void)SSL_CTX_set_min_proto_version(ctx, versions & TLS_ALL & ~TLS_SECURE ? TLS1_VERSION
                                                                              : TLS1_2_VERSION);
    /* OpenSSL has put these out of reach; who names them wants them nevertheless. */
    if (versions & ~(unsigned)TLS_SECURE)
        SSL_CTX_set_security_level(ctx, 0);
    return 0;
}

/* ---- ciphers --------------------------------------------------------------------------------- */

/* For TLS 1.2 and older. */
static const struct {
    const char *word;
    const char *ciphers;
} cipher_words[] = {
    /* clang-format off */
    /* forward secrecy and authenticated encryption, which all but relics speak */
    { "default",  "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!DSS" },
    { "secure",   "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!DSS" },
    /* the smallest key that is beyond reach comes first */
    { "fast",     "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!DSS" },
    { "normal",   "HIGH:!aNULL:!DSS" },
    { "compat",   "HIGH:!aNULL" },
    { "legacy",   "HIGH:MEDIUM:!aNULL" },
    { "all",      "ALL:!aNULL:!eNULL" },
    { "insecure", "ALL:!aNULL:!eNULL" },
    /* clang-format on */
};

const char *
tls_find_ciphers(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(cipher_words); i++) {
        if (str_ieq(cipher_words[i].word, text))
            return cipher_words[i].ciphers;
    }
    return text;
}

static int
set_old_ciphers(SSL_CTX *ctx, const struct tls_options *options, struct buf *error)
{
    CLEANUP(buf_done) struct buf list = BUF_INIT;
    const char *ciphers = word_or(options->ciphers, "default");
    int r;

    r = buf_append_str(&list, tls_find_ciphers(ciphers));
    /* TLS 1.3 cannot do without curves; so "none" is of the older ones only. */
    if (r == 0 && str_ieq(options->curves, "none"))
        r = buf_append_str(&list, ":!kECDHE");
    if (r == 0 && SSL_CTX_set_cipher_list(ctx, buf_str(&list)) != 1) {
        (void)buf_printf(error, "failed to set the ciphers \"%s\": %s", ciphers, tls_error_text());
        r = -EINVAL;
    }
    return r;
}

int
tls_set_ciphers(SSL_CTX *ctx, const struct tls_options *options, struct buf *error)
{
    const char *suites = word_or(options->tls13_ciphers, TLS_DEFAULT_CIPHERSUITES);
    const int r = set_old_ciphers(ctx, options, error);

    if (r < 0)
        return r;
    if (SSL_CTX_set_ciphersuites(ctx, suites) == 1)
        return 0;
    (void)buf_printf(error, "failed to set the TLSv1.3 cipher suites \"%s\": %s", suites,
                     tls_error_text());
    return -EINVAL;
}

/* ---- key exchange ---------------------------------------------------------------------------- */

/* The two that are fast, then what some rule books ask for. */
#define CURVES_AUTO "X25519:P-256:X448:P-384:P-521"

/* Commas and blanks to the colons of OpenSSL. */
static int
put_curve_names(struct buf *names, const char *list)
{
    const char *item;
    size_t len;
    int r = 0;

    while (r == 0 && str_list_next(&list, &item, &len)) {
        if (names->len > 0)
            r = buf_append_char(names, ':');
        if (r == 0)
            r = buf_append(names, item, len);
    }
    return r;
}

static int
set_curves(SSL_CTX *ctx, const char *curves, struct buf *error)
{
    CLEANUP(buf_done) struct buf names = BUF_INIT;
    int r;

    if (str_ieq(curves, "none") || str_ieq(curves, "auto"))
        curves = CURVES_AUTO;
    r = put_curve_names(&names, curves);
    if (r == 0 && SSL_CTX_set1_groups_list(ctx, buf_str(&names)) != 1) {
        (void)buf_printf(error, "unknown curve in \"%s\"", curves);
        r = -EINVAL;
    }
    return r;
}

static int
set_dheparams(SSL_CTX *ctx, const char *dheparams, struct buf *error)
{
    if (str_ieq(dheparams, "none"))
        return 0;
    if (str_ieq(dheparams, "auto")) {
        (void)SSL_CTX_set_dh_auto(ctx, 1); /* as strong as the certificate */
        return 0;
    }
    if (str_ieq(dheparams, "legacy")) {
        (void)SSL_CTX_set_dh_auto(ctx, 2); /* 1024 bits, which are refused at higher levels */
        SSL_CTX_set_security_level(ctx, MIN(SSL_CTX_get_security_level(ctx), 1));
        return 0;
    }
    (void)buf_printf(error, "unknown DHE parameters \"%s\": none, auto or legacy", dheparams);
    return -EINVAL;
}

int
tls_set_key_exchange(SSL_CTX *ctx, const struct tls_options *options, struct buf *error)
{
    const int r = set_curves(ctx, word_or(options->curves, "auto"), error);

    return r == 0 ? set_dheparams(ctx, word_or(options->dheparams, "auto"), error) : r;
}
