/*
 * credential.h - what a login gives us to log in to the server with, as the same user.
 *
 * Immutable, shared by reference between threads; the memory is wiped with the last reference.
 */
#pragma once

#include <stdbool.h>

#include "cleanup.h"

enum credential_kind {
    CREDENTIAL_PASSWORD,   /* typed by the client, or plain in auth_file or auth_query's answer */
    CREDENTIAL_MD5,        /* "md5...": enough for a server that asks for md5 */
    CREDENTIAL_SCRAM_KEYS, /* the client's key, proved in its own login, and the server's */
};

#define CREDENTIAL_KEY_SIZE 32

struct credential;

/* NULL: no memory. */
struct credential *credential_new_password(const char *password);
struct credential *credential_new_md5(const char *secret);
struct credential *credential_new_keys(const unsigned char client_key[CREDENTIAL_KEY_SIZE],
                                       const unsigned char server_key[CREDENTIAL_KEY_SIZE]);
/*
 * What a stored secret, as of auth_file, is worth to a server: *ret_credential is NULL for "" and
 * for a SCRAM secret, with which only a client's own login is of use. 0 or -ENOMEM.
 */
int credential_new_secret(const char *secret, struct credential **ret_credential);
struct credential *credential_ref(struct credential *credential);
void credential_unref(struct credential *credential);
DEFINE_CLEANUP(struct credential *, credential_unref);

enum credential_kind credential_kind(const struct credential *credential);
/* Of the first two kinds; else NULL. */
const char *credential_text(const struct credential *credential);
/* Of the last kind; else NULL. */
const unsigned char *credential_client_key(const struct credential *credential);
const unsigned char *credential_server_key(const struct credential *credential);
bool credential_equal(const struct credential *a, const struct credential *b);
