/*
 * verifier.h - what a server keeps of a password for SCRAM-SHA-256: it can check with it that a
 * client knows the password, but not log in itself.
 *
 * Thread: any. All functions return 0, -EINVAL, -ENOMEM, or -EIO if OpenSSL fails.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base64.h"

#define SCRAM_KEY_SIZE 32
/* Longest salt that is accepted; PostgreSQL's have 16 bytes. */
#define SCRAM_SALT_MAX      128
#define SCRAM_SALT_TEXT_MAX (BASE64_LEN(SCRAM_SALT_MAX) + 1)

struct verifier {
    int iterations;
    char salt[SCRAM_SALT_TEXT_MAX]; /* in base64 */
    unsigned char stored_key[SCRAM_KEY_SIZE];
    unsigned char server_key[SCRAM_KEY_SIZE];
};

/* "SCRAM-SHA-256$4096:salt$stored:server", as pg_authid has it. -EINVAL for anything else. */
int verifier_parse(const char *text, struct verifier *ret_verifier);
/*
 * Of a password, with SASLprep as PostgreSQL does it. Takes milliseconds: PBKDF2. salt is in
 * base64; -EINVAL if it is not.
 */
int verifier_make(const char *password, const char *salt, int iterations,
                  struct verifier *ret_verifier);

/*
 * For users who have none: salt and keys follow from the daemon's secret and the name, so that
 * whoever asks twice sees the same salt.
 */
int verifier_mock(const unsigned char secret[SCRAM_KEY_SIZE], const char *user, int iterations,
                  struct verifier *ret_verifier);
/* Only the salt: for who has a password, but no verifier yet. */
int verifier_mock_salt(const unsigned char secret[SCRAM_KEY_SIZE], const char *user,
                       char ret_salt[SCRAM_SALT_TEXT_MAX]);
/* A password that nobody can know. */
#define VERIFIER_MOCK_PASSWORD_SIZE (BASE64_LEN(SCRAM_KEY_SIZE) + 1)
int verifier_mock_password(const unsigned char secret[SCRAM_KEY_SIZE], const char *user,
                           char ret_password[VERIFIER_MOCK_PASSWORD_SIZE]);

/* The password as SCRAM hashes it. The caller wipes and frees it. */
int verifier_prepare_password(const char *password, char **ret_prepared);
int verifier_hash(const unsigned char key[SCRAM_KEY_SIZE], unsigned char ret_hash[SCRAM_KEY_SIZE]);
int verifier_hmac(const void *key, size_t key_len, const void *data, size_t len,
                  unsigned char ret_mac[SCRAM_KEY_SIZE]);
