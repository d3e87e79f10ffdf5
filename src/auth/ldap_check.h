/*
 * ldap_check.h - one password, checked by an LDAP server. Blocks.
 */
#pragma once

#include "outside.h"
#include "usec.h"

struct ldap_options;

/*
 * timeout is for each step: to connect to one of the servers, to begin TLS, and for each answer. An
 * empty password is wrong: many servers would take it for an anonymous login.
 *
 * Thread: any, several at once. 0; -EACCES: the server knows no such user with this password;
 * -ENOMEM; -EIO: no server has answered, or not sensibly. On failure detail says why.
 */
int ldap_check(const struct ldap_options *options, const char *user, const char *password,
               usec_t timeout, char detail[static OUTSIDE_DETAIL_MAX]);
