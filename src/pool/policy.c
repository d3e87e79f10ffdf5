#include "policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "cleanup.h"
#include "credential.h"
#include "str.h"
#include "targets.h"

/* A check, reset or other query of our own that takes longer has failed. */
#define ASK_TIMEOUT_DEFAULT (15 * SEC)

DEFINE_CLEANUP(struct backend_target *, backend_target_unref);
DEFINE_CLEANUP(struct policy *, policy_unref);

static unsigned
policy_limit(int value)
{
    return value > 0 ? (unsigned)value : 0;
}

static int
policy_set_if_given(char **field, const char *value)
{
    return value != NULL && *value != '\0' ? str_set(field, value) : 0;
}

/* What the file knows of the user's secret: of the entry that forces him, else of auth_file. */
static const char *
policy_secret(const struct config *config, const struct config_database *db, const char *user)
{
    const struct config_auth_user *const entry = config_find_auth_user(config, user);

    if (db->user != NULL && db->password != NULL)
        return db->password;
    return entry != NULL ? entry->secret : "";
}

/*
 * What the server is logged in with. A client's own login comes before auth_file: it cannot be
 * older, and knows more where only a SCRAM secret is stored.
 */
static int
policy_credential(const struct config *config, const struct config_database *db, const char *user,
                  struct credential *of_login, struct credential **ret_credential)
{
    if (db->user == NULL && of_login != NULL) {
        *ret_credential = credential_ref(of_login);
        return 0;
    }
    return credential_new_secret(policy_secret(config, db, user), ret_credential);
}

static int
policy_set_credential(struct backend_target *target, const struct credential *credential)
{
    if (credential == NULL)
        return 0;
    switch (credential_kind(credential)) {
    case CREDENTIAL_PASSWORD:
        return policy_set_if_given(&target->password, credential_text(credential));
    case CREDENTIAL_MD5:
        return str_set(&target->md5_secret, credential_text(credential));
    case CREDENTIAL_SCRAM_KEYS:
        return backend_target_set_scram_keys(target, credential_client_key(credential),
                                             credential_server_key(credential));
    }
    return 0;
}

static int
policy_set_identity(struct backend_target *target, const struct config_database *db,
                    const char *database, const char *user)
{
    int r;

    r = str_set(&target->dbname, db->dbname != NULL ? db->dbname : database);
    if (r == 0)
        r = str_set(&target->user, user);
    if (r == 0)
        r = policy_set_if_given(&target->application_name, db->application_name);
    if (r == 0)
        r = policy_set_if_given(&target->client_encoding, db->client_encoding);
    if (r == 0)
        r = policy_set_if_given(&target->datestyle, db->datestyle);
    if (r == 0)
        r = policy_set_if_given(&target->timezone, db->timezone);
    return r;
}

/* The lowest and the highest version that the list of server_tls_protocols allows. */
static int
policy_set_tls_versions(struct backend_target *target, const char *list)
{
    static const char *const versions[] = {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
    static const struct {
        const char *word;
        size_t lowest, highest; /* of versions */
    } words[] = {
        {"secure", 2, 3},  {"all", 0, 3},     {"legacy", 0, 3},  {"tlsv1.0", 0, 0},
        {"tlsv1.1", 1, 1}, {"tlsv1.2", 2, 2}, {"tlsv1.3", 3, 3},
    };
    size_t lowest = ARRAY_SIZE(versions), highest = 0;
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (str_list_contains(list, words[i].word)) {
            lowest = MIN(lowest, words[i].lowest);
            highest = MAX(highest, words[i].highest);
        }
    }
    if (lowest < ARRAY_SIZE(versions)) {
        r = str_set(&target->ssl_min_protocol, versions[lowest]);
        if (r == 0)
            r = str_set(&target->ssl_max_protocol, versions[highest]);
    }
    return r;
}

static int
policy_set_tls(struct backend_target *target, const struct config *config,
               const struct config_database *db)
{
    int r;

    r = str_set(&target->sslmode, tls_mode_name(config_server_tls_sslmode(config, db)));
    if (r == 0)
        r = policy_set_if_given(&target->sslrootcert, config_server_tls_ca_file(config, db));
    if (r == 0)
        r = policy_set_if_given(&target->sslcert, config_server_tls_cert_file(config, db));
    if (r == 0)
        r = policy_set_if_given(&target->sslkey, config_server_tls_key_file(config, db));
    if (r == 0)
        r = policy_set_tls_versions(target, config_server_tls_protocols(config, db));
    return r;
}

static void
policy_set_tcp(struct tcp_options *tcp, const struct config *config)
{
    tcp->keepalive = config->tcp_keepalive;
    tcp->keepcnt = config->tcp_keepcnt;
    tcp->keepidle = (int)(config->tcp_keepidle / SEC);
    tcp->keepintvl = (int)(config->tcp_keepintvl / SEC);
    tcp->socket_buffer = (int)config->tcp_socket_buffer;
    tcp->user_timeout = (unsigned)(config->tcp_user_timeout / MSEC);
}

static int
policy_add_target(struct policy *policy, const struct config_database *db, const char *database,
                  const char *user, const struct credential *credential, const char *host,
                  size_t host_len)
{
    const struct config *const config = policy->config;
    CLEANUP(backend_target_unref) struct backend_target *target = backend_target_new();
    struct backend_target **targets;
    int r;

    targets =
        realloc(policy->targets, (policy->target_count + 1) * sizeof(struct backend_target *));
    if (targets != NULL)
        policy->targets = targets;
    if (target == NULL || targets == NULL)
        return -ENOMEM;
    target->host = strndup(host, host_len);
    if (target->host == NULL)
        return -ENOMEM;
    target->port = db->port;
    target->connect_timeout = config->server_connect_timeout;
    target->login_retry = config->server_login_retry;
    policy_set_tcp(&target->tcp, config);
    r = policy_set_identity(target, db, database, user);
    if (r == 0)
        r = policy_set_credential(target, credential);
    if (r == 0)
        r = policy_set_tls(target, config, db);
    if (r == 0)
        policy->targets[policy->target_count++] = TAKE(target);
    return r;
}

static int
policy_add_targets(struct policy *policy, const struct config_database *db, const char *database,
                   const char *user, const struct credential *credential)
{
    const char *rest = db->host != NULL ? db->host : "";
    const char *host;
    size_t len;
    int r = 0;

    while (r == 0 && str_list_next(&rest, &host, &len))
        r = policy_add_target(policy, db, database, user, credential, host, len);
    if (r == 0 && policy->target_count == 0) {
        host = *policy->config->unix_socket_dir != '\0' ? policy->config->unix_socket_dir : "/tmp";
        r = policy_add_target(policy, db, database, user, credential, host, strlen(host));
    }
    return r;
}

/* NULL for a query that is not to be sent. */
static const char *
policy_query(const char *text)
{
    return text == NULL || *text == '\0' ? NULL : text;
}

static void
policy_set_limits(struct policy *policy, const struct config_database *db,
                  const struct config_user *user)
{
    const struct config *const config = policy->config;

    policy->mode = config_pool_mode(config, db, user);
    policy->size = policy_limit(config_pool_size(config, db, user));
    policy->reserve = policy_limit(config_reserve_pool_size(config, db, user));
    policy->min_size = policy_limit(config_min_pool_size(config, db));
    policy->max_db_connections = policy_limit(config_max_db_connections(config, db));
    policy->max_user_connections = policy_limit(config_max_user_connections(config, user));
    policy->max_db_client_connections = policy_limit(config_max_db_client_connections(config, db));
    policy->max_user_client_connections =
        policy_limit(config_max_user_client_connections(config, user));
    if (policy->mode != POOL_SESSION)
        policy->max_prepared = (unsigned)MAX(config->max_prepared_statements, 0);
    policy->prepare_unnamed = config->prepare_unnamed && policy->max_prepared > 0;
    policy->connect_burst = config->connect_burst > 0 ? (unsigned)config->connect_burst : 1;
}

static void
policy_set_times(struct policy *policy, const struct config_database *db,
                 const struct config_user *user)
{
    const struct config *const config = policy->config;

    policy->reserve_timeout = config->reserve_pool_timeout;
    policy->server_lifetime = config_server_lifetime(config, db);
    policy->server_idle_timeout = config->server_idle_timeout;
    policy->server_check_delay = config->server_check_delay;
    policy->ask_timeout =
        config->server_connect_timeout != 0 ? config->server_connect_timeout : ASK_TIMEOUT_DEFAULT;
    policy->query_wait_timeout = config_query_wait_timeout(config, db, user);
    policy->query_wait_notify = config->query_wait_notify;
    policy->query_timeout = config_query_timeout(config, user);
    policy->transaction_timeout = config_transaction_timeout(config, user);
    policy->idle_transaction_timeout = config_idle_transaction_timeout(config, user);
    policy->client_idle_timeout = config_client_idle_timeout(config, user);
}

/*
 * Whether a server connection made to one target may serve for the other. With what it was logged
 * in does not matter: it is in.
 */
static bool
policy_target_fits(const struct backend_target *a, const struct backend_target *b)
{
    return a->port == b->port && str_eq(a->host, b->host) && str_eq(a->dbname, b->dbname) &&
           str_eq(a->user, b->user) && str_eq(a->sslmode, b->sslmode) &&
           str_eq(a->sslrootcert, b->sslrootcert) && str_eq(a->sslcert, b->sslcert) &&
           str_eq(a->sslkey, b->sslkey) && str_eq(a->ssl_min_protocol, b->ssl_min_protocol) &&
           str_eq(a->ssl_max_protocol, b->ssl_max_protocol) &&
           str_eq(a->application_name, b->application_name) &&
           str_eq(a->client_encoding, b->client_encoding) && str_eq(a->datestyle, b->datestyle) &&
           str_eq(a->timezone, b->timezone);
}

/* The only part of TLS that is not the target's: libpq cannot be told. */
static bool
policy_ciphers_fit(const struct config *a, const struct config *b)
{
    return str_eq(a->server_tls_ciphers, b->server_tls_ciphers) &&
           str_eq(a->server_tls13_ciphers, b->server_tls13_ciphers);
}

static bool
policy_servers_fit(const struct policy *a, const struct policy *b)
{
    if (a->target_count != b->target_count || a->stick_to_host != b->stick_to_host ||
        !str_eq(a->forced_user, b->forced_user) || !str_eq(a->connect_query, b->connect_query) ||
        !policy_ciphers_fit(a->config, b->config))
        return false;
    for (size_t i = 0; i < a->target_count; i++) {
        if (!policy_target_fits(a->targets[i], b->targets[i]))
            return false;
    }
    return true;
}

int
policy_new(struct config *config, const struct config_database *db, const char *database,
           const char *user, struct credential *of_login, const struct policy *before,
           struct policy **ret_policy)
{
    const struct config_user *const user_entry = config_find_user(config, user);
    CLEANUP(credential_unref) struct credential *credential = NULL;
    CLEANUP(policy_unref) struct policy *policy = calloc(1, sizeof *policy);
    int r;

    if (policy == NULL)
        return -ENOMEM;
    ref_init(&policy->ref);
    policy->config = config_ref(config);
    policy_set_limits(policy, db, user_entry);
    policy_set_times(policy, db, user_entry);
    policy->round_robin = config->server_round_robin;
    policy->reset_always = config->server_reset_query_always;
    policy->fast_close = config->server_fast_close;
    policy->user_is_forced = db->user != NULL;
    policy->forced_user = db->user;
    policy->stick_to_host = db->load_balance_hosts == LOAD_BALANCE_DISABLE;
    policy->check_query = policy_query(config->server_check_query);
    if (str_eq(policy->check_query, "<empty>"))
        policy->check_query = "";
    policy->reset_query = policy_query(config->server_reset_query);
    policy->connect_query = policy_query(db->connect_query);
    r = policy_credential(config, db, user, of_login, &credential);
    if (r == 0)
        r = policy_add_targets(policy, db, database, user, credential);
    if (r < 0)
        return r;
    if (before != NULL)
        policy->generation = before->generation + (policy_servers_fit(before, policy) ? 0 : 1);
    *ret_policy = TAKE(policy);
    return 0;
}

int
targets_new(struct config *config, const struct config_database *db, const char *database,
            const char *user, struct backend_target ***ret_targets, size_t *ret_count)
{
    CLEANUP(policy_unref) struct policy *policy = NULL;
    const int r = policy_new(config, db, database, user, NULL, NULL, &policy);

    if (r < 0)
        return r;
    *ret_count = policy->target_count;
    *ret_targets = TAKE(policy->targets);
    policy->target_count = 0;
    return 0;
}

void
targets_free(struct backend_target **targets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        backend_target_unref(targets[i]);
    free(targets);
}

struct policy *
policy_ref(struct policy *policy)
{
    ref_get(&policy->ref);
    return policy;
}

void
policy_unref(struct policy *policy)
{
    if (policy == NULL || !ref_put(&policy->ref))
        return;
    targets_free(policy->targets, policy->target_count);
    config_unref(policy->config);
    free(policy);
}
