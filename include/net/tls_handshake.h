/*
 * tls_handshake.h - one TLS handshake as the server, in steps: the loop receives and sends, and an
 * executor computes.
 *
 *     receive --> input --> WANTS_INPUT: send the output, receive more
 *                   |  \--> WORKING ... stepped(): one of the others
 *                   |-----> DONE: send the output, take the connection and what came early
 *                   +-----> FAILED: send the output (an alert), close
 *
 * Most of a handshake's cost, hundreds of microseconds, is the signature and the key exchange in
 * answer to the first message. That step goes to the executor, unless the client resumes a session:
 * it is then made at once, as is any step without either.
 *
 * Thread: the loop's. Life: tls_handshake_new ... tls_handshake_free, at any time: what is under
 * way then is finished unseen. Until it is done the descriptor is the caller's alone, and what is
 * kept is bounded by what the caller puts in: he reads nothing while it is WORKING.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

struct executor;
struct loop;
struct ssl_st;
struct tls_context;
struct tls_handshake;

enum tls_progress {
    TLS_HANDSHAKE_WORKING,
    TLS_HANDSHAKE_WANTS_INPUT,
    TLS_HANDSHAKE_DONE,
    TLS_HANDSHAKE_FAILED,
};

struct tls_handshake_options {
    struct tls_context *context; /* a reference is kept */
    struct executor *executor;   /* borrowed; NULL: every step is made at once */
    struct loop *loop;           /* borrowed */
    bool needs_certificate;      /* a client without a verified one fails */
    bool needs_alpn;             /* so does one that does not say what it will speak */
    /* From the loop, after WORKING; may free the handshake. */
    void (*stepped)(void *arg, enum tls_progress progress);
    void *arg;
};
/* 0 or -errno. */
int tls_handshake_new(const struct tls_handshake_options *options,
                      struct tls_handshake **ret_handshake);
void tls_handshake_free(struct tls_handshake *handshake);

/* Bytes of the peer; not while WORKING. */
enum tls_progress tls_handshake_input(struct tls_handshake *handshake, const void *data,
                                      size_t len);
/* What is to be sent; the caller clears it. Not while WORKING, as those below. */
struct buf *tls_handshake_output(struct tls_handshake *handshake);
/* DONE: what the client has written already; the caller may take it away. */
struct buf *tls_handshake_early(struct tls_handshake *handshake);
/* DONE: the connection, the caller's from here on (stream_start_tls). */
struct ssl_st *tls_handshake_take(struct tls_handshake *handshake);
/* FAILED: why, for the log. */
const char *tls_handshake_error(const struct tls_handshake *handshake);
