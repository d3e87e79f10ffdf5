/*
 * link.h - one connection of a load generator: PostgreSQL's login, over TLS or not, written to cost
 * the client as little as it can. The server may want SCRAM-SHA-256, a cleartext password, or
 * nothing.
 *
 * All but link_send, link_receive and link_close block. Any failure ends the process with a line
 * that says what was wrong: a load that does not get in measures nothing. Thread: a link and its
 * memory belong to one thread.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define HASH_SIZE 32

/* Where to log in and as whom; shared by all threads, never changed. */
struct link_target {
    const char *host;
    const char *port;
    const char *database;
    const char *user;
    const char *password; /* "" if none is needed */
    SSL_CTX *tls;         /* NULL: without TLS */
    bool resume;          /* try to continue the TLS session of the login before */
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
/* Sends messages and waits for the ReadyForQuery that they lead to; an error ends the process. */
void link_ask(struct link *link, const char *messages, size_t len);
/* One round trip: SELECT 1. */
void link_query(struct link *link);

/* From here on nothing above may be used. */
void link_stop_blocking(struct link *link);
/* How many bytes; or -EAGAIN, or -ECONNRESET when it is over. */
ssize_t link_send(struct link *link, const char *data, size_t len);
ssize_t link_receive(struct link *link, char *data, size_t size);
/* Whether more was received than was asked for, which no event will tell. */
bool link_has_pending(const struct link *link);

/* Says goodbye, and remembers the TLS session. */
void link_close(struct link *link, struct link_memory *memory);
void link_forget(struct link_memory *memory);
