#include "libpq_check.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend.h"
#include "config.h"
#include "hba.h"
#include "macros.h"
#include "str.h"

/* ---- the databases --------------------------------------------------------------------------- */

/* Whether some of its servers are reached by TCP: to unix sockets there is no TLS. */
static bool
has_tcp_host(const struct config_database *db)
{
    const char *rest = db->host != NULL ? db->host : "", *host;
    size_t len;

    while (str_list_next(&rest, &host, &len))
        if (*host != '/' && *host != '@')
            return true;
    return false;
}

typedef bool database_test_fn(const struct config *config, const struct config_database *db);

/* The first that passes the test, the template included; NULL: none does. */
static const struct config_database *
find_database(const struct config *config, database_test_fn *test)
{
    for (size_t i = 0; i < config->n_databases; i++)
        if (test(config, config->databases[i]))
            return config->databases[i];
    return config->autodb != NULL && test(config, config->autodb) ? config->autodb : NULL;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static bool
demands_tls(const struct config *config, const struct config_database *db)
{
    return has_tcp_host(db) && config_server_tls_sslmode(config, db) >= TLS_REQUIRE;
}

static bool
would_use_tls(const struct config *config, const struct config_database *db)
{
    return has_tcp_host(db) && config_server_tls_sslmode(config, db) != TLS_DISABLE;
}

static void
check_tls(const struct config *config, const struct backend_features *features,
          struct config_errors *errors)
{
    const struct config_database *const demanding = find_database(config, demands_tls);

    if (features->tls_usable)
        return;
    if (demanding != NULL)
        config_errors_add(
            errors, false, "database \"%s\": server_tls_sslmode = %s is not possible: %s",
            demanding->name, tls_mode_name(config_server_tls_sslmode(config, demanding)),
            features->tls_trouble);
    else if (find_database(config, would_use_tls) != NULL)
        config_errors_add(errors, true, "servers are connected to without TLS: %s",
                          features->tls_trouble);
}

/* ---- SCRAM logins passed on ------------------------------------------------------------------ */

/* Whether clients may prove who they are by SCRAM, which gives us no password. */
static bool
has_scram_logins(const struct config *config)
{
    if (config->hba == NULL)
        return config->auth_type == AUTH_TYPE_SCRAM_SHA_256 || config->auth_type == AUTH_TYPE_MD5;
    for (size_t i = 0; i < config->hba->n_rules; i++)
        if (config->hba->rules[i].method == AUTH_TYPE_SCRAM_SHA_256 ||
            config->hba->rules[i].method == AUTH_TYPE_MD5)
            return true;
    return false;
}

/*
 * Whether clients come to its servers under their own names, and with nothing but a password: a
 * unix socket may know us as peer, and a certificate may do.
 */
static bool
needs_passwords(const struct config *config, const struct config_database *db)
{
    return db->user == NULL && has_tcp_host(db) && *config_server_tls_cert_file(config, db) == '\0';
}

/* Whether the user has a secret that is none to us. Who only uses the console needs no server. */
static bool
has_only_scram(const struct config *config, const struct config_auth_user *user)
{
    return str_starts_with(user->secret, "SCRAM-SHA-256$") &&
           !str_list_contains(config->admin_users, user->name) &&
           !str_list_contains(config->stats_users, user->name);
}

/* libpq's own, in which it looks for what we do not know. */
static bool
has_password_file(void)
{
    const char *const home = getenv("HOME");
    char path[PATH_MAX];

    return home != NULL && snprintf(path, sizeof(path), "%s/.pgpass", home) < (int)sizeof(path) &&
           access(path, R_OK) == 0;
}

static void
check_scram(const struct config *config, const struct backend_features *features,
            struct config_errors *errors)
{
    const struct config_database *const db = find_database(config, needs_passwords);
    const struct config_auth_user *first = NULL;
    size_t others = 0;

    if (features->scram_keys || db == NULL || !has_scram_logins(config) || has_password_file())
        return;
    for (size_t i = 0; i < config->n_auth_users; i++) {
        if (!has_only_scram(config, config->auth_users[i]))
            continue;
        if (first != NULL)
            others++;
        else
            first = config->auth_users[i];
    }
    if (first != NULL)
        config_errors_add(
            errors, false,
            "auth_file has only a SCRAM secret for \"%s\"%s, with which libpq %d.%d cannot log in "
            "to "
            "the servers of database \"%s\"; ways out: libpq 18, the plain password in auth_file, "
            "user= and password= in the entry of the database, or a file ~/.pgpass (an empty one, "
            "if the servers ask for no password)",
            first->name, others > 0 ? " and others" : "", features->libpq_version / 10000,
            features->libpq_version % 10000, db->name);
}

void
libpq_check(const struct config *config, const struct backend_features *features,
            struct config_errors *errors)
{
    check_tls(config, features, errors);
    check_scram(config, features, errors);
}
