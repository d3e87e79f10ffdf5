/*
 * instant_session.h - one connection to the instant server: its bytes, and their way in and out.
 *
 * Thread: that whose epoll has the descriptor, after session_new.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdint.h>

struct session;

/*
 * Takes over fd, which must not block. tls may be NULL, which refuses TLS. From now on events of fd
 * come to the epoll, and bring the session along; they are session_run()'s.
 */
void session_new(int epoll, int fd, SSL_CTX *tls, uint32_t number);
/* Does what can be done. The session may be gone then. */
void session_run(struct session *session);
