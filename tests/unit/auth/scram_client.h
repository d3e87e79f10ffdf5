/*
 * scram_client.h - the client's side of SCRAM-SHA-256, for tests: it makes a proof, and checks
 * ours.
 *
 * What a test wants wrong it changes between the steps.
 */
#pragma once

#include "buf.h"
#include "verifier.h"

struct scram_client {
    const char *password;
    const char *header;  /* "n,,", "y,,", "p=tls-server-end-point,,"; */
    const void *binding; /* behind the header in c=, for the last of these */
    size_t binding_len;
    struct buf transcript; /* of all three messages, once there is a final */
    struct buf nonces;
    char salt[SCRAM_SALT_TEXT_MAX]; /* as in the challenge */
    int iterations;
    unsigned char client_key[SCRAM_KEY_SIZE], server_key[SCRAM_KEY_SIZE];
};

void scram_client_init(struct scram_client *client, const char *password);
void scram_client_done(struct scram_client *client);
/* Each appends a message. */
void scram_client_first(struct scram_client *client, struct buf *message);
void scram_client_final(struct scram_client *client, const char *challenge, struct buf *message);
/* Whether the server has proved that it knows us. */
bool scram_client_trusts(const struct scram_client *client, const char *final);
