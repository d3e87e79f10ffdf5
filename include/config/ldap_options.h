/*
 * ldap_options.h - where and how LDAP checks a password, in the words of PostgreSQL's pg_hba.conf.
 *
 * There are two ways. With ldapprefix or ldapsuffix the name to bind with is made of the user's
 * ("simple bind"). With ldapbasedn the user's entry is searched for first, as ldapbinddn or
 * anonymously, and then bound to ("search+bind"). ldapurl stands for several of the others.
 *
 * Thread: any; an object belongs to one at a time. Life: LDAP_OPTIONS_INIT ... ldap_options_done.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cleanup.h"

struct buf;
struct hba_option;

enum ldap_search_scope { LDAP_SEARCH_BASE, LDAP_SEARCH_ONE, LDAP_SEARCH_SUB };

/* Strings are owned, NULL where nothing is set. */
struct ldap_options {
    char *server; /* hosts, blanks between them; NULL: those that DNS names for the base */
    int port;     /* 0: that of the scheme */
    bool is_ldaps;
    bool starttls;
    char *prefix, *suffix; /* of a simple bind */
    char *base_dn;         /* search+bind, if not NULL; the next five are for that */
    char *bind_dn, *bind_password;
    char *search_attribute; /* NULL: "uid" */
    char *search_filter;    /* with $username in it */
    enum ldap_search_scope scope;
};

#define LDAP_OPTIONS_INIT                                                                          \
    {                                                                                              \
        .scope = LDAP_SEARCH_SUB                                                                   \
    }

/* Frees all of it, the password's memory wiped. */
void ldap_options_done(struct ldap_options *options);
DEFINE_CLEANUP_IN_PLACE(struct ldap_options, ldap_options_done);

/* "ldapserver", "ldapport", ... */
bool ldap_options_has(const char *name);

/*
 * All of these return 0, -ENOMEM, or -EINVAL: then why, which is not NULL, says what is wrong in
 * words that begin with the option's name.
 */

/* Sets one. */
int ldap_options_set(struct ldap_options *options, const char *name, const char *value,
                     struct buf *why);
/* Whether they fit together; when all are set. */
int ldap_options_check(const struct ldap_options *options, struct buf *why);
/*
 * A whole auth_ldap_options: name=value ..., with blanks or commas between, quoted as in
 * pg_hba.conf: ldapbasedn="dc=example,dc=org". Checked, too.
 */
int ldap_options_parse(const char *text, struct ldap_options *options, struct buf *why);
/* Those of a rule of the HBA file. Checked, too. */
int ldap_options_from_rule(const struct hba_option *rule_options, size_t count,
                           struct ldap_options *options, struct buf *why);
