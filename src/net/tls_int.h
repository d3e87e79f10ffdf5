/*
 * tls_int.h - what the files about TLS share.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>

#include "tls.h"

struct buf;

/* ctx makes and opens tickets with these keys, of which it keeps a reference. 0 or -errno. */
int tls_tickets_use(struct tls_tickets *tickets, SSL_CTX *ctx);

/* Ready to accept; needs_certificate refuses who has no verified one. 0 or -errno. */
int tls_context_make(struct tls_context *context, bool needs_certificate, SSL **ret_tls);

/* Of every context: lets a handshake be interrupted before it gets costly. */
int tls_handshake_on_hello(SSL *tls, int *alert, void *arg);

/* As SSL_CTX_new: tls_defaults.c. */
SSL_CTX *tls_new_ctx(const SSL_METHOD *method);

/* What a word for ciphers means to OpenSSL; a text that is no word is returned as it is. */
const char *tls_find_ciphers(const char *text);
/* The words of the options: tls_words.c. Each 0, or -errno with the reason in error. */
int tls_set_protocols(SSL_CTX *ctx, const struct tls_options *options, struct buf *error);
int tls_set_ciphers(SSL_CTX *ctx, const struct tls_options *options, struct buf *error);
int tls_set_key_exchange(SSL_CTX *ctx, const struct tls_options *options, struct buf *error);

/* What OpenSSL, on this thread, has to say of the call that just failed; static or its own. */
const char *tls_error_text(void);
