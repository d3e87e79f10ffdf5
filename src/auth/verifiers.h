/*
 * verifiers.h - verifiers made of passwords, each of them once for all logins of the daemon.
 *
 * Logins that want the same one while it is being made wait for it together. The ones used last are
 * kept; a changed password is another one. Passwords are not kept, not even as keys.
 *
 * Thread: any; a struct verifiers is under the service's mutex.
 */
#pragma once

#include "auth_int.h"
#include "map.h"
#include "verifier.h"

struct auth_service;

struct verifiers {
    struct map map;   /* struct entry of verifiers.c, by the digest of what they are made of */
    struct list kept; /* those that are there to stay, last used first */
};

typedef enum auth_status verifiers_fn(struct auth *auth, const struct verifier *verifier);

void verifiers_init(struct verifiers *verifiers);
/* Nothing may be under way. */
void verifiers_done(struct verifiers *verifiers);

/*
 * Calls finish with the verifier of password: at once if there is one, else later (AUTH_WAIT). If
 * it cannot be made the login fails, and finish is not called. salt is in base64.
 */
enum auth_status verifiers_want(struct auth *auth, const char *password, const char *salt,
                                int iterations, verifiers_fn *finish);
