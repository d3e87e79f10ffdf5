/*
 * hba.h - the rules of auth_hba_file and the maps of auth_ident_file, read and checked.
 *
 * Their grammar is that of PostgreSQL's pg_hba.conf and pg_ident.conf. Which rule a login meets is
 * found by auth (src/auth/hba.h); here is what stands in the file.
 *
 * Thread: any, as nothing changes. Life: a struct config and its copies share them by reference;
 * whoever holds a reference to the config may keep pointers into them.
 */
#pragma once

#include <netinet/in.h>
#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "ref.h"

enum hba_type {
    HBA_LOCAL, /* through a unix socket */
    HBA_HOST,
    HBA_HOSTSSL,
    HBA_HOSTNOSSL,
    HBA_HOSTGSSENC, /* never, as there is no GSS encryption here */
    HBA_HOSTNOGSSENC,
};

enum hba_name_kind {
    HBA_NAME,
    HBA_REGEX,
    HBA_ALL,
    HBA_SAMEUSER,    /* of databases only: called as the user is */
    HBA_REPLICATION, /* of databases only: physical replication, whatever the name */
};

/* A word of a list of databases or users. */
struct hba_name {
    enum hba_name_kind kind;
    char *text;    /* owned; as in the file */
    regex_t regex; /* of HBA_REGEX */
};

enum hba_address_kind {
    HBA_ADDRESS_ALL,
    HBA_ADDRESS_NETWORK,
    HBA_ADDRESS_SAMEHOST, /* any address of this machine */
    HBA_ADDRESS_SAMENET,  /* any address in a network that this machine is in */
    HBA_ADDRESS_HOST,     /* by the client's name */
    HBA_ADDRESS_SUFFIX,   /* ".example.org" */
};

struct hba_address {
    enum hba_address_kind kind;
    int family; /* of HBA_ADDRESS_NETWORK, as the next two: AF_INET has 4 bytes of each */
    unsigned char bytes[sizeof(struct in6_addr)];
    unsigned char mask[sizeof(struct in6_addr)];
    char *host; /* owned; of the last two kinds */
};

struct hba_option {
    char *name; /* owned, as the value */
    char *value;
};

struct hba_rule {
    char *file; /* owned; where it stands */
    unsigned line;
    enum hba_type type;
    struct hba_name *databases; /* owned, as the next two lists */
    size_t n_databases;
    struct hba_name *users;
    size_t n_users;
    struct hba_address address; /* of HBA_HOST ... */
    enum auth_type method;      /* never AUTH_TYPE_ANY, AUTH_TYPE_HBA */
    struct hba_option *options; /* those that the method knows, with values that it knows */
    size_t n_options;
};

struct hba {
    struct ref ref;
    struct hba_rule *rules; /* owned; the first that fits counts */
    size_t n_rules;
};

/* The value of map=, clientcert=, pamservice=, ldapserver=, ...; NULL: not there. */
const char *hba_rule_option(const struct hba_rule *rule, const char *name);
/* Whether the word stands for the name: HBA_NAME, HBA_REGEX and HBA_ALL, the others never do. */
bool hba_name_fits(const struct hba_name *name, const char *text);

struct hba *hba_ref(struct hba *hba);
void hba_unref(struct hba *hba);
DEFINE_CLEANUP(struct hba *, hba_unref);

/* The maps: "map system-user pg-user" a line. */
struct ident;

/*
 * Whether who is known to the system (or by a certificate) as system_user may log in as pg_user.
 * Without a map (NULL) the names must be the same; ident may be NULL, which has no maps.
 */
bool ident_map_allows(const struct ident *ident, const char *map, const char *system_user,
                      const char *pg_user);
bool ident_has_map(const struct ident *ident, const char *map);

struct ident *ident_ref(struct ident *ident);
void ident_unref(struct ident *ident);
DEFINE_CLEANUP(struct ident *, ident_unref);
