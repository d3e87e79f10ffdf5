/*
 * policy.h - what the configuration says about one pool, worked out once for each (re)load.
 *
 * Immutable; shared by the pool's shards by reference (any thread).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "ref.h"
#include "usec.h"

struct backend_target;
struct credential;

struct policy {
    struct ref ref;
    struct config *config; /* a reference; the strings below live in it */
    enum pool_mode mode;
    unsigned size; /* servers of the pool; 0 is no limit */
    unsigned reserve;
    unsigned min_size;
    unsigned max_db_connections; /* 0 is no limit, here and below */
    unsigned max_user_connections;
    unsigned max_db_client_connections;
    unsigned max_user_client_connections;
    unsigned connect_burst; /* at least 1 */
    unsigned max_prepared;  /* statements on a server; 0: names are not looked at */
    bool prepare_unnamed;   /* so is the unnamed one, if its text comes again */
    bool round_robin;
    bool reset_always;
    bool fast_close;
    usec_t reserve_timeout; /* 0: the reserve is not used */
    usec_t server_lifetime;
    usec_t server_idle_timeout;
    usec_t server_check_delay;
    usec_t ask_timeout;        /* for the daemon's own queries */
    usec_t query_wait_timeout; /* 0 is none, here and below */
    usec_t query_wait_notify;
    usec_t query_timeout;
    usec_t transaction_timeout;
    usec_t idle_transaction_timeout;
    usec_t client_idle_timeout;
    const char *check_query;         /* NULL: no check; "": an empty query */
    const char *reset_query;         /* NULL: none */
    const char *connect_query;       /* NULL: none */
    struct backend_target **targets; /* owned references; one a host, at least one */
    size_t target_count;
    bool stick_to_host;  /* load_balance_hosts = disable */
    bool user_is_forced; /* by the entry: logins of clients are of no use to the servers */
    const char
        *forced_user;    /* by the entry, or NULL; another than the pool's if that has changed */
    unsigned generation; /* servers of another one are closed when free */
};

/*
 * db is the entry (or the template) that database is served by, user the name of the pool's user.
 * of_login (or NULL) is what the last login of the user left to log in to the server with; it does
 * not count where the entry forces a user. before (or NULL) is the policy so far: the generation is
 * the same if its servers still fit.
 */
int policy_new(struct config *config, const struct config_database *db, const char *database,
               const char *user, struct credential *of_login, const struct policy *before,
               struct policy **ret_policy);
struct policy *policy_ref(struct policy *policy);
void policy_unref(struct policy *policy);
