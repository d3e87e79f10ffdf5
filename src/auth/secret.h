/*
 * secret.h - what is stored of a user, in auth_file or in the server's catalog, to know him by.
 *
 * A user who does not exist, or who has no secret, gets one that looks like those of the others and
 * that nothing fits; so a login with it takes the same steps and the same time.
 *
 * Thread: any, one at a time. Life: secret_new ... secret_free, which wipes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cleanup.h"
#include "verifier.h"

struct credential;

enum secret_kind {
    SECRET_PLAIN,
    SECRET_MD5,   /* "md5" and 32 hexadecimal digits: of password and name */
    SECRET_SCRAM, /* "SCRAM-SHA-256$..." */
};

struct secret {
    enum secret_kind kind;
    char *text;               /* owned; the password, or the 35 characters; NULL of SECRET_SCRAM */
    struct verifier verifier; /* of SECRET_SCRAM */
    bool is_known;            /* the user exists */
    bool is_mock;             /* nothing fits */
};

/* What looks like neither of the other kinds is a password. */
enum secret_kind secret_kind_of(const char *text);
/* Of text "" it is one that nothing fits, and that shows it. 0 or -ENOMEM. */
int secret_new(const char *text, struct secret **ret_secret);
/* Of any kind, for which key and user decide what it is. 0, -ENOMEM, -EIO. */
int secret_new_mock(enum secret_kind kind, const unsigned char key[SCRAM_KEY_SIZE],
                    const char *user, int iterations, struct secret **ret_secret);
void secret_free(struct secret *secret);
DEFINE_CLEANUP(struct secret *, secret_free);

/* What a server may be logged in with by who knows only this; NULL: nothing. 0 or -ENOMEM. */
int secret_credential(const struct secret *secret, struct credential **ret_credential);

/* ---- SECRET_PLAIN and SECRET_MD5 ---- */

#define MD5_SECRET_LEN 35
#define MD5_SALT_SIZE  4

/* All three: 0, -EACCES for a password that is wrong, -EIO if there is no MD5 (FIPS). */
int secret_check_password(const struct secret *secret, const char *user, const char *password);
int secret_check_md5(const struct secret *secret, const char *user,
                     const unsigned char salt[MD5_SALT_SIZE], const char *answer);
/* "md5" and the digest of text and salt, in hexadecimal. */
int secret_md5(const char *text, const void *salt, size_t salt_len,
               char ret_secret[MD5_SECRET_LEN + 1]);
