/*
 * The values in force: user, database, general section, in the order that PgBouncer has for each.
 */
#include "config.h"

/* For what may be set to 0. */
static int
first_set(int a, int b, int c)
{
    if (a != CONFIG_UNSET)
        return a;
    return b != CONFIG_UNSET ? b : c;
}

static usec_t
first_set_time(usec_t a, usec_t b, usec_t c)
{
    if (a != USEC_NEVER)
        return a;
    return b != USEC_NEVER ? b : c;
}

/* For what an entry cannot set to 0. */
static int
local_or_general(int local, int general)
{
    return local > 0 ? local : general;
}

static usec_t
local_or_general_time(usec_t local, usec_t general)
{
    return local != 0 && local != USEC_NEVER ? local : general;
}

/* An entry's field, or what an entry without it would have. */
#define OF(entry, field)      ((entry) != NULL ? (entry)->field : CONFIG_UNSET)
#define TIME_OF(entry, field) ((entry) != NULL ? (entry)->field : USEC_NEVER)
#define TEXT_OF(entry, field, general)                                                             \
    ((entry) != NULL && (entry)->field != NULL ? (entry)->field : (general))

enum pool_mode
config_pool_mode(const struct config *config, const struct config_database *db,
                 const struct config_user *user)
{
    return (enum pool_mode)first_set(OF(user, pool_mode), OF(db, pool_mode), config->pool_mode);
}

int
config_pool_size(const struct config *config, const struct config_database *db,
                 const struct config_user *user)
{
    return first_set(OF(user, pool_size), OF(db, pool_size), config->default_pool_size);
}

int
config_reserve_pool_size(const struct config *config, const struct config_database *db,
                         const struct config_user *user)
{
    return first_set(OF(user, reserve_pool_size), OF(db, reserve_pool_size),
                     config->reserve_pool_size);
}

int
config_min_pool_size(const struct config *config, const struct config_database *db)
{
    return first_set(CONFIG_UNSET, OF(db, min_pool_size), config->min_pool_size);
}

int
config_max_db_connections(const struct config *config, const struct config_database *db)
{
    return local_or_general(OF(db, max_db_connections), config->max_db_connections);
}

int
config_max_db_client_connections(const struct config *config, const struct config_database *db)
{
    return local_or_general(OF(db, max_db_client_connections), config->max_db_client_connections);
}

int
config_max_user_connections(const struct config *config, const struct config_user *user)
{
    return local_or_general(OF(user, max_user_connections), config->max_user_connections);
}

int
config_max_user_client_connections(const struct config *config, const struct config_user *user)
{
    return local_or_general(OF(user, max_user_client_connections),
                            config->max_user_client_connections);
}

usec_t
config_server_lifetime(const struct config *config, const struct config_database *db)
{
    return local_or_general_time(TIME_OF(db, server_lifetime), config->server_lifetime);
}

usec_t
config_query_wait_timeout(const struct config *config, const struct config_database *db,
                          const struct config_user *user)
{
    return first_set_time(TIME_OF(user, query_wait_timeout), TIME_OF(db, query_wait_timeout),
                          config->query_wait_timeout);
}

usec_t
config_query_timeout(const struct config *config, const struct config_user *user)
{
    return local_or_general_time(TIME_OF(user, query_timeout), config->query_timeout);
}

usec_t
config_transaction_timeout(const struct config *config, const struct config_user *user)
{
    return local_or_general_time(TIME_OF(user, transaction_timeout), config->transaction_timeout);
}

usec_t
config_idle_transaction_timeout(const struct config *config, const struct config_user *user)
{
    return local_or_general_time(TIME_OF(user, idle_transaction_timeout),
                                 config->idle_transaction_timeout);
}

usec_t
config_client_idle_timeout(const struct config *config, const struct config_user *user)
{
    return local_or_general_time(TIME_OF(user, client_idle_timeout), config->client_idle_timeout);
}

const char *
config_auth_user(const struct config *config, const struct config_database *db)
{
    return TEXT_OF(db, auth_user, config->auth_user);
}

const char *
config_auth_dbname(const struct config *config, const struct config_database *db)
{
    return TEXT_OF(db, auth_dbname, config->auth_dbname);
}

const char *
config_auth_query(const struct config *config, const struct config_database *db)
{
    return TEXT_OF(db, auth_query, config->auth_query);
}

enum tls_mode
config_server_tls_sslmode(const struct config *config, const struct config_database *db)
{
    return (enum tls_mode)first_set(CONFIG_UNSET, OF(db, server_tls_sslmode),
                                    config->server_tls_sslmode);
}

const char *
config_server_tls_ca_file(const struct config *config, const struct config_database *db)
{
    return TEXT_OF(db, server_tls_ca_file, config->server_tls_ca_file);
}

const char *
config_server_tls_cert_file(const struct config *config, const struct config_database *db)
{
    return TEXT_OF(db, server_tls_cert_file, config->server_tls_cert_file);
}

const char *
config_server_tls_key_file(const struct config *config, const struct config_database *db)
{
    return TEXT_OF(db, server_tls_key_file, config->server_tls_key_file);
}

const char *
config_server_tls_protocols(const struct config *config, const struct config_database *db)
{
    return TEXT_OF(db, server_tls_protocols, config->server_tls_protocols);
}
