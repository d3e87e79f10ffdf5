/*
 * login_link.h - one connection of the load generator: PostgreSQL's login with SCRAM-SHA-256, over
 * TLS or not, written to cost the client as little as it can.
 *
 * Everything blocks. Any failure ends the process with a line that says what was wrong: a load with
 * failures measures nothing. Thread: a link and its memory belong to one thread.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#define HASH_SIZE 32

/* Where to log in and as whom; shared by all threads, never changed. */
struct link_target {
    const char *host;
    const char *port;
    const char *database;
    const char *user;
    const char *password;
    SSL_CTX *tls; /* NULL: without TLS */
    bool resume;  /* try to continue the TLS session of the login before */
};

/* What a thread remembers from one login to the next, as a driver's pool of connections would. */
struct link_memory {
    SSL_SESSION *session;            /* owned; NULL before the first one */
    char salt[128];                  /* of salted, as the server writes it; "" before the first */
    int iterations;                  /* of salted */
    unsigned char salted[HASH_SIZE]; /* SCRAM's SaltedPassword */
};

struct link {
    int fd;
    SSL *tls;     /* owned; NULL without */
    bool resumed; /* whether the TLS session was one of before */
};

SSL_CTX *link_tls_new(void);

/* From connect to ReadyForQuery. */
void link_open(struct link *link, const struct link_target *target, struct link_memory *memory);
/* One round trip: SELECT 1. */
void link_query(struct link *link);
/* Says goodbye, and remembers the TLS session. */
void link_close(struct link *link, struct link_memory *memory);
void link_forget(struct link_memory *memory);
