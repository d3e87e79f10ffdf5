/*
 * tls_context.c - a server's certificate and rules, read from files, for all who connect to it.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "ref.h"
#include "tls_int.h"

/* What we speak, as ALPN spells it: a length and a name. */
static const unsigned char alpn[] = "\012postgresql";
#define ALPN_SIZE (sizeof(alpn) - 1)

DEFINE_CLEANUP(SSL *, SSL_free);
DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);

struct tls_context {
    struct ref ref;
    SSL_CTX *ctx; /* owned */
    bool has_ca;
    unsigned char binding[EVP_MAX_MD_SIZE];
    size_t binding_len;
    /* Sessions are resumed only where the same clients are welcome. */
    unsigned char session_id[SHA256_DIGEST_LENGTH];
};

/* ---- files ----------------------------------------------------------------------------------- */

static bool
is_set(const char *text)
{
    return text != NULL && *text != '\0';
}

static int
cannot_load(struct buf *error, const char *option, const char *file)
{
    (void)buf_printf(error, "cannot use %s \"%s\": %s", option, file, tls_error_text());
    return -EINVAL;
}

static int
load_certificate(SSL_CTX *ctx, const struct tls_options *options, struct buf *error)
{
    if (!is_set(options->cert_file) || !is_set(options->key_file)) {
        (void)buf_append_str(error, "client_tls_cert_file and client_tls_key_file must be set");
        return -EINVAL;
    }
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, options->cert_file) != 1)
        return cannot_load(error, "client_tls_cert_file", options->cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, options->key_file, SSL_FILETYPE_PEM) != 1)
        return cannot_load(error, "client_tls_key_file", options->key_file);
    return 0;
}

static int
load_authorities(SSL_CTX *ctx, const struct tls_options *options, struct buf *error)
{
    STACK_OF(X509_NAME) * names;

    if (!is_set(options->ca_file))
        return 0;
    ERR_clear_error();
    names = SSL_load_client_CA_file(options->ca_file);
    if (names == NULL || SSL_CTX_load_verify_file(ctx, options->ca_file) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return cannot_load(error, "client_tls_ca_file", options->ca_file);
    }
    SSL_CTX_set_client_CA_list(ctx, names); /* takes them over */
    return 0;
}

/* What leads from the certificate to its root is looked for once, not at every handshake. */
static void
complete_chain(SSL_CTX *ctx)
{
    STACK_OF(X509) *chain = NULL;

    (void)SSL_CTX_get0_chain_certs(ctx, &chain);
    if (chain == NULL)
        (void)SSL_CTX_build_cert_chain(ctx, SSL_BUILD_CHAIN_FLAG_NO_ROOT |
                                                SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR |
                                                SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
}

/* ---- what is computed once ------------------------------------------------------------------- */

/* RFC 5929: by the hash of the certificate's own signature, but by none that is broken. */
static const EVP_MD *
binding_hash(const X509 *certificate)
{
    int hash;

    if (X509_get_signature_info((X509 *)certificate, &hash, NULL, NULL, NULL) != 1)
        return NULL;
    if (hash == NID_md5 || hash == NID_sha1)
        hash = NID_sha256;
    return EVP_get_digestbynid(hash);
}

/* A signature with no hash of its own (Ed25519) has no binding: then none is offered. */
static void
compute_binding(struct tls_context *context)
{
    const X509 *certificate = SSL_CTX_get0_certificate(context->ctx);
    const EVP_MD *hash = binding_hash(certificate);
    unsigned len;

    if (hash != NULL && X509_digest(certificate, hash, context->binding, &len) == 1)
        context->binding_len = len;
}

static bool
digest_certificate(EVP_MD_CTX *digest, const X509 *certificate)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];

    return X509_digest(certificate, EVP_sha256(), hash, NULL) == 1 &&
           EVP_DigestUpdate(digest, hash, sizeof(hash)) == 1;
}

static bool
digest_authorities(EVP_MD_CTX *digest, SSL_CTX *ctx)
{
    const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));

    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        const X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

        if (authority != NULL && !digest_certificate(digest, authority))
            return false;
    }
    return true;
}

/* A resumed session brings the client's certificate along, and nobody verifies it again. */
static int
compute_session_id(struct tls_context *context)
{
    CLEANUP(EVP_MD_CTX_free) EVP_MD_CTX *digest = EVP_MD_CTX_new();

    if (digest == NULL || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1 ||
        !digest_authorities(digest, context->ctx) ||
        EVP_DigestFinal_ex(digest, context->session_id, NULL) != 1)
        return -ENOMEM;
    return 0;
}

/* ---- the rules ------------------------------------------------------------------------------- */

/* A key that is locked by a password: nobody is there to type it. */
static int
no_password(char *text, int size, int writing, void *arg)
{
    (void)text, (void)size, (void)writing, (void)arg;
    return -1;
}

static int
choose_alpn(SSL *tls, const unsigned char **ret_name, unsigned char *ret_len,
            const unsigned char *offered, unsigned offered_len, void *arg)
{
    unsigned char *name;

    (void)tls, (void)arg;
    if (SSL_select_next_proto(&name, ret_len, alpn, ALPN_SIZE, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_name = name;
    return SSL_TLSEXT_ERR_OK;
}

/*
 * Who resumes a session has seen the certificate that it began with, and binds SCRAM to that one
 * even if it was renewed since: so the ticket remembers.
 */
static int
remember_binding(SSL *tls, void *arg)
{
    const struct tls_context *context = arg;

    return SSL_session_reused(tls) ||
           SSL_SESSION_set1_ticket_appdata(SSL_get_session(tls), context->binding,
                                           context->binding_len);
}

static int
set_sessions(struct tls_context *context, struct tls_tickets *tickets)
{
    SSL_CTX *ctx = context->ctx;

    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* the client keeps them */
    if (tickets == NULL) {
        (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        (void)SSL_CTX_set_num_tickets(ctx, 0);
        return 0;
    }
    (void)SSL_CTX_set_num_tickets(ctx, 1);
    (void)SSL_CTX_set_session_ticket_cb(ctx, remember_binding, NULL, context);
    (void)SSL_CTX_set_timeout(ctx, TLS_TICKETS_PERIOD / SEC);
    return tls_tickets_use(tickets, ctx);
}

static int
set_rules(SSL_CTX *ctx, const struct tls_options *options, struct buf *error)
{
    int r;

    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    SSL_CTX_set_client_hello_cb(ctx, tls_handshake_on_hello, NULL);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    r = tls_set_protocols(ctx, options, error);
    if (r == 0)
        r = tls_set_ciphers(ctx, options, error);
    if (r == 0)
        r = tls_set_key_exchange(ctx, options, error);
    return r;
}

static int
context_fill(struct tls_context *context, const struct tls_options *options,
             struct tls_tickets *tickets, struct buf *error)
{
    int r;

    context->ctx = tls_new_ctx(TLS_server_method());
    if (context->ctx == NULL)
        return -ENOMEM;
    context->has_ca = is_set(options->ca_file);
    r = set_rules(context->ctx, options, error);
    if (r == 0)
        r = set_sessions(context, tickets);
    if (r == 0)
        r = load_certificate(context->ctx, options, error);
    if (r == 0)
        r = load_authorities(context->ctx, options, error);
    if (r == 0)
        r = compute_session_id(context);
    if (r < 0)
        return r;
    complete_chain(context->ctx);
    compute_binding(context);
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

int
tls_context_new(const struct tls_options *options, struct tls_tickets *tickets, struct buf *error,
                struct tls_context **ret_context)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    int r;

    if (context == NULL)
        return -ENOMEM;
    ref_init(&context->ref);
    ERR_clear_error();
    r = context_fill(context, options, tickets, error);
    ERR_clear_error();
    if (r < 0) {
        tls_context_unref(context);
        return r;
    }
    *ret_context = context;
    return 0;
}

struct tls_context *
tls_context_ref(struct tls_context *context)
{
    if (context != NULL)
        ref_get(&context->ref);
    return context;
}

void
tls_context_unref(struct tls_context *context)
{
    if (context == NULL || !ref_put(&context->ref))
        return;
    SSL_CTX_free(context->ctx);
    free(context);
}

bool
tls_context_has_ca(const struct tls_context *context)
{
    return context->has_ca;
}

/* ---- one connection -------------------------------------------------------------------------- */

int
tls_context_make(struct tls_context *context, bool needs_certificate, SSL **ret_tls)
{
    CLEANUP(SSL_free) SSL *tls = SSL_new(context->ctx);
    /* Who came in without being asked for a certificate does not resume where one is demanded. */
    unsigned char session_id[SHA256_DIGEST_LENGTH];

    if (tls == NULL)
        return -ENOMEM;
    memcpy(session_id, context->session_id, sizeof(session_id));
    session_id[0] ^= needs_certificate;
    if (SSL_set_session_id_context(tls, session_id, sizeof(session_id)) != 1)
        return -ENOMEM;
    if (needs_certificate)
        SSL_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    else if (context->has_ca)
        SSL_set_verify(tls, SSL_VERIFY_PEER, NULL); /* a bad one is worse than none */
    SSL_set_accept_state(tls);
    *ret_tls = TAKE(tls);
    return 0;
}

void
tls_describe(const struct ssl_st *tls, char *text, size_t size)
{
    (void)snprintf(text, size, "%s/%s", SSL_get_version(tls), SSL_get_cipher_name(tls));
}

const void *
tls_binding(const struct ssl_st *tls, const struct tls_context *context, size_t *ret_len)
{
    void *binding = NULL;

    if (!SSL_session_reused(tls)) {
        *ret_len = context->binding_len;
        return context->binding_len > 0 ? context->binding : NULL;
    }
    (void)SSL_SESSION_get0_ticket_appdata(SSL_get0_session(tls), &binding, ret_len);
    return binding;
}

/* The first of the common names, as PostgreSQL takes it; NULL: there is none. */
static const ASN1_STRING *
certificate_name(const X509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    return index < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index));
}

static int
copy_name(const ASN1_STRING *name, char **ret_name)
{
    unsigned char *text;
    const int len = ASN1_STRING_to_UTF8(&text, name);
    int r = -EBADMSG;

    if (len < 0)
        return r;
    if (memchr(text, '\0', (size_t)len) == NULL) {
        *ret_name = strndup((const char *)text, (size_t)len);
        r = *ret_name != NULL ? 0 : -ENOMEM;
    }
    OPENSSL_free(text);
    return r;
}

int
tls_peer_name(const struct ssl_st *tls, char **ret_name)
{
    const X509 *certificate = SSL_get0_peer_certificate(tls);
    const ASN1_STRING *name = NULL;

    if (certificate != NULL && SSL_get_verify_result(tls) == X509_V_OK)
        name = certificate_name(certificate);
    *ret_name = NULL;
    return name != NULL ? copy_name(name, ret_name) : 0;
}

bool
tls_has_alpn(const struct ssl_st *tls)
{
    const unsigned char *name;
    unsigned len;

    SSL_get0_alpn_selected(tls, &name, &len);
    return len > 0;
}

void
tls_free(struct ssl_st *tls)
{
    SSL_free(tls);
}
