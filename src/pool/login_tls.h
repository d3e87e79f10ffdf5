/*
 * login_tls.h - a client that asks for TLS, or begins with it.
 *
 *                SSLRequest: S, or a ClientHello right away
 *     STARTUP -------------------------------------------------> TLS
 *        ^                     done; the startup packet follows   |
 *        +--------------------------------------------------------+
 *
 * Thread: that of the client's worker.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

struct auth_login;
struct client;
struct login;
struct startup;
struct tls_context;
struct tls_handshake;

/* Part of struct login. */
struct login_tls {
    enum tls_mode mode;              /* of the address that the client came through */
    struct tls_context *context;     /* a reference, from the handshake on; else NULL */
    struct tls_handshake *handshake; /* owned; NULL but in CLIENT_TLS */
    char *name;                      /* owned: the common name of a verified certificate, or NULL */
};
void login_tls_done(struct login_tls *tls);

/* SSLRequest: the answer is S and the client is in CLIENT_TLS, or N. False: it was closed. */
bool login_tls_request(struct client *client, const struct startup *startup);
/* What has come is the beginning of a handshake. */
void login_tls_direct(struct client *client);
/* Bytes from a client in CLIENT_TLS. */
void login_tls_input(struct client *client, const char *data, size_t len);
/* Before a login in plain text: false if it is not allowed, and the client was closed. */
bool login_tls_allows(struct client *client);
/* What the rules ask about. */
void login_tls_describe(const struct client *client, struct auth_login *who);
