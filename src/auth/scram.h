/*
 * scram.h - SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677), the server's side.
 *
 *     client                                        server
 *       client-first: binding flag, nonce    ------>  scram_read_first
 *                                            <------  scram_write_challenge: nonces, salt, rounds
 *       client-final: nonces, proof          ------>  scram_read_final, scram_verify
 *                                            <------  scram_write_final: our own proof
 *
 * Messages in, messages out: no I/O, no user, no time. What a client may get wrong is -EPROTO, and
 * scram->failure says what; a proof that is wrong is -EACCES. -ENOMEM, or -EIO if OpenSSL fails.
 *
 * Thread: any, one at a time. Life: scram_init ... scram_done, which wipes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "verifier.h"

#define SCRAM_NAME      "SCRAM-SHA-256"
#define SCRAM_PLUS_NAME "SCRAM-SHA-256-PLUS"

/* Characters in a server's nonce. */
#define SCRAM_NONCE_LEN 24

struct auth_failure;

struct scram {
    const void *binding; /* borrowed: the channel's, tls-server-end-point; NULL: it has none */
    size_t binding_len;
    bool is_plus;          /* the client has chosen SCRAM-SHA-256-PLUS */
    struct buf gs2_header; /* how client-first begins; client-final must repeat it */
    struct buf nonce;      /* the client's, then both */
    struct buf transcript; /* what the proofs are made of */
    unsigned char proof[SCRAM_KEY_SIZE];
    unsigned char client_key[SCRAM_KEY_SIZE]; /* of a proof that was right */
    const struct auth_failure *failure;       /* static; after -EPROTO */
};

void scram_init(struct scram *scram, const void *binding, size_t binding_len);
void scram_done(struct scram *scram);

/* mechanism is one that scram_is_offered. */
bool scram_is_offered(const struct scram *scram, const char *mechanism);
int scram_read_first(struct scram *scram, const char *mechanism, const char *message, size_t len);
/* nonce is printable and holds no comma; salt is in base64. */
int scram_write_challenge(struct scram *scram, const char *nonce, const char *salt, int iterations,
                          struct buf *message);
int scram_read_final(struct scram *scram, const char *message, size_t len);
/* Whether the proof is that of the verifier's password; sets scram->client_key. */
int scram_verify(struct scram *scram, const struct verifier *verifier);
int scram_write_final(const struct scram *scram, const struct verifier *verifier,
                      struct buf *message);

/* Fresh randomness for scram_write_challenge. 0 or -errno. */
int scram_make_nonce(char ret_nonce[SCRAM_NONCE_LEN + 1]);
