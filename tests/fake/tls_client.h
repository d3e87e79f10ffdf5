/*
 * tls_client.h - for tests of the server's side of TLS: keys and certificates made on the spot, in
 * files, and a client that is plain OpenSSL over memory.
 */
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"

/* ---- keys and certificates ------------------------------------------------------------------ */

struct tls_identity {
    EVP_PKEY *key;
    X509 *certificate;
};

/* name may hold any bytes. issuer NULL: signs itself, as an authority. */
static inline struct tls_identity
tls_identity_new(const char *name, size_t len, const struct tls_identity *issuer)
{
    static long serial;
    struct tls_identity self = {.key = EVP_EC_gen("P-256"), .certificate = X509_new()};
    X509_NAME *subject = X509_get_subject_name(self.certificate);

    assert_non_null(self.key);
    assert_int_equal(X509_set_version(self.certificate, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(self.certificate), ++serial), 1);
    X509_gmtime_adj(X509_getm_notBefore(self.certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(self.certificate), 3600);
    assert_int_equal(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                                (const unsigned char *)name, (int)len, -1, 0),
                     1);
    if (issuer == NULL) {
        X509_EXTENSION *extension =
            X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");

        assert_int_equal(X509_add_ext(self.certificate, extension, -1), 1);
        X509_EXTENSION_free(extension);
        issuer = &self;
    }
    assert_int_equal(
        X509_set_issuer_name(self.certificate, X509_get_subject_name(issuer->certificate)), 1);
    assert_int_equal(X509_set_pubkey(self.certificate, self.key), 1);
    assert_true(X509_sign(self.certificate, issuer->key, EVP_sha256()) > 0);
    return self;
}

static inline void
tls_identity_done(struct tls_identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
}

/* A place for files; the caller removes them with tls_files_remove. */
static inline void
tls_files_make(char *dir)
{
    strcpy(dir, "/tmp/pgweir-tls-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static inline char *
tls_file_path(const char *dir, const char *name, char *path)
{
    sprintf(path, "%s/%s", dir, name);
    return path;
}

static inline void
tls_write_certificate(const char *dir, const char *name, const struct tls_identity *identity)
{
    char path[128];
    FILE *file = fopen(tls_file_path(dir, name, path), "w");

    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, identity->certificate), 1);
    fclose(file);
}

static inline void
tls_write_key(const char *dir, const char *name, const struct tls_identity *identity,
              const char *password)
{
    char path[128];
    FILE *file = fopen(tls_file_path(dir, name, path), "w");

    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, identity->key,
                                          password != NULL ? EVP_aes_128_cbc() : NULL,
                                          (const unsigned char *)password,
                                          password != NULL ? (int)strlen(password) : 0, NULL, NULL),
                     1);
    fclose(file);
}

static inline void
tls_files_remove(const char *dir)
{
    char command[160];

    sprintf(command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

/* ---- the client ----------------------------------------------------------------------------- */

struct tls_client {
    SSL_CTX *ctx;
    SSL *tls;             /* over memory */
    SSL_SESSION *session; /* the newest that the server has offered */
    struct buf received;  /* plaintext */
    int result;           /* of the last SSL_do_handshake or SSL_read */
};

static inline int
tls_client_keep_session(SSL *tls, SSL_SESSION *session)
{
    struct tls_client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls));

    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

/* version 0: the best. */
static inline void
tls_client_init(struct tls_client *client, int version)
{
    *client = (struct tls_client){.ctx = SSL_CTX_new(TLS_client_method())};
    assert_non_null(client->ctx);
    SSL_CTX_set_min_proto_version(client->ctx, version);
    SSL_CTX_set_max_proto_version(client->ctx, version);
    SSL_CTX_set_app_data(client->ctx, client);
    SSL_CTX_set_session_cache_mode(client->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client->ctx, tls_client_keep_session);
}

/* A new connection, which resumes the session if there is one. */
static inline void
tls_client_begin(struct tls_client *client)
{
    if (client->tls != NULL)
        SSL_set_shutdown(client->tls, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(client->tls);
    client->tls = SSL_new(client->ctx);
    assert_non_null(client->tls);
    SSL_set_bio(client->tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(client->tls);
    if (client->session != NULL)
        assert_int_equal(SSL_set_session(client->tls, client->session), 1);
    buf_clear(&client->received);
}

static inline void
tls_client_done(struct tls_client *client)
{
    SSL_free(client->tls);
    SSL_SESSION_free(client->session);
    SSL_CTX_free(client->ctx);
    buf_done(&client->received);
}

/* Goes on as far as it can. */
static inline void
tls_client_run(struct tls_client *client)
{
    char data[4096];

    ERR_clear_error();
    client->result = SSL_do_handshake(client->tls);
    while (client->result == 1 || client->result > 0) {
        ERR_clear_error();
        client->result = SSL_read(client->tls, data, sizeof(data));
        if (client->result > 0)
            assert_int_equal(buf_append(&client->received, data, (size_t)client->result), 0);
    }
}

/* SSL_ERROR_WANT_READ while all is well. */
static inline int
tls_client_status(const struct tls_client *client)
{
    return SSL_get_error(client->tls, client->result);
}

static inline void
tls_client_take(struct tls_client *client, const void *data, size_t len)
{
    assert_int_equal(BIO_write(SSL_get_rbio(client->tls), data, (int)len), len);
    tls_client_run(client);
}

static inline void
tls_client_write(struct tls_client *client, const char *text)
{
    assert_int_equal(SSL_write(client->tls, text, (int)strlen(text)), strlen(text));
}

/* Takes what it has for the server; returns how much. */
static inline size_t
tls_client_give(struct tls_client *client, char *data, size_t size)
{
    const int n = BIO_read(SSL_get_wbio(client->tls), data, (int)size);

    return n > 0 ? (size_t)n : 0;
}
