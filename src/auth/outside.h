/*
 * outside.h - passwords that somebody else checks: what PAM and LDAP have in common.
 *
 * The client is asked for the password; the check, which may wait for seconds, runs as work on the
 * blocking executor; what was typed becomes the credential for the server, and is wiped.
 */
#pragma once

#include <errno.h>

#include "auth_int.h"

/* Room for what a check tells the log. */
#define OUTSIDE_DETAIL_MAX 160

/* Embedded in what a method's check needs; all zero before outside_start. */
struct outside {
    struct auth_work work;
    const struct outside_method *method; /* static */
    char *user;                          /* owned, as the next */
    char *password;
    int result; /* of check */
    char detail[OUTSIDE_DETAIL_MAX];
};

struct outside_method {
    struct auth_failure failure;
    /*
     * On a thread of the executor. 0: it is the user's password. -EACCES: it is not, or he may not
     * log in. Else: nobody could be asked. On failure detail says more, for the log.
     */
    int (*check)(struct outside *outside);
    /* Frees the struct that outside is embedded in, but for what outside.h knows. */
    void (*free)(struct outside *outside);
};

/* Takes over outside, also on failure. */
enum auth_status outside_start(struct auth *auth, const struct outside_method *method,
                               struct outside *outside, const char *password);

/* For a check that failed: prints its detail and returns error. */
int outside_complain(char detail[static OUTSIDE_DETAIL_MAX], int error, const char *format, ...)
    PRINTF_LIKE(3, 4);
