/*
 * tls.h - TLS to those who connect to us: the certificate and the rules (a context), the keys of
 * session tickets, and what is known of a connection once its handshake is done.
 *
 * A context is made from files, never changes, and is shared by reference: a reload makes another,
 * connections keep theirs. The ticket keys outlive contexts, so clients resume across reloads.
 *
 * Thread: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cleanup.h"
#include "usec.h"

struct buf;
struct ssl_st;
struct tls_context;
struct tls_tickets;

/* ---- session tickets ------------------------------------------------------------------------ */

/* How often the owner is to rotate them. A ticket is good for one such time at least. */
#define TLS_TICKETS_PERIOD (3600 * SEC)

/* Random keys, which are never written anywhere. 0 or -errno. */
int tls_tickets_new(struct tls_tickets **ret_tickets);
/* A new key for new tickets; the one before still opens those it has made, the one before that is
 * wiped. 0, or -errno and nothing has changed. */
int tls_tickets_rotate(struct tls_tickets *tickets);
struct tls_tickets *tls_tickets_ref(struct tls_tickets *tickets);
void tls_tickets_unref(struct tls_tickets *tickets);
DEFINE_CLEANUP(struct tls_tickets *, tls_tickets_unref);

/* ---- context -------------------------------------------------------------------------------- */

/* PgBouncer's client_tls_* keys, in its words; "" and NULL are "not set". */
struct tls_options {
    const char *cert_file; /* PEM: the certificate, then what leads to its root */
    const char *key_file;
    const char *ca_file;       /* PEM: clients who have a certificate must have one of these */
    const char *protocols;     /* list of secure, all, legacy, tlsv1.0 ... tlsv1.3 */
    const char *ciphers;       /* default, secure, fast, ..., all; or OpenSSL's language */
    const char *tls13_ciphers; /* OpenSSL's names, with colons */
    const char *curves;        /* auto, none, or names */
    const char *dheparams;     /* auto, none, legacy */
};

/*
 * Reads the files. tickets may be NULL: no session is resumed then. On failure returns a negative
 * errno, and error tells why, the option and the file named.
 */
int tls_context_new(const struct tls_options *options, struct tls_tickets *tickets,
                    struct buf *error, struct tls_context **ret_context);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);
DEFINE_CLEANUP(struct tls_context *, tls_context_unref);
/* Whether a client's certificate can be verified at all. */
bool tls_context_has_ca(const struct tls_context *context);

/* ---- connections that libpq makes ----------------------------------------------------------- */

/*
 * Whether these are ciphers: PgBouncer's words or OpenSSL's language; "" is OpenSSL's choice.
 * -EINVAL: *ret_bad is the one that is none; -ENOMEM.
 */
int tls_check_ciphers(const char *ciphers, const char *tls13_ciphers, const char **ret_bad);
/*
 * The ciphers, which were checked, of whatever context is made from now on without ciphers of its
 * own. To be called on the thread where the others make theirs. 0 or -ENOMEM.
 */
int tls_set_default_ciphers(const char *ciphers, const char *tls13_ciphers);

/* ---- a connection whose handshake is done --------------------------------------------------- */

/* "TLSv1.3/TLS_AES_256_GCM_SHA384" */
void tls_describe(const struct ssl_st *tls, char *text, size_t size);
/*
 * tls-server-end-point of RFC 5929: the hash of our certificate, as this client has seen it, when
 * it came here first. NULL: it has none. Lives as long as tls and its context.
 */
const void *tls_binding(const struct ssl_st *tls, const struct tls_context *context,
                        size_t *ret_len);
/*
 * The common name of the peer's certificate, if it has one that was verified; else NULL. 0;
 * -EBADMSG when there is a NUL in the name, which would pass for a shorter one; -ENOMEM.
 */
int tls_peer_name(const struct ssl_st *tls, char **ret_name);
/* Whether the client named the protocol that we speak (ALPN). */
bool tls_has_alpn(const struct ssl_st *tls);
void tls_free(struct ssl_st *tls);
DEFINE_CLEANUP(struct ssl_st *, tls_free);
