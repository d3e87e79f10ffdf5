#include "libpq_check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "config.h"
#include "hba.h"
#include "macros.h"
#include "str.h"
#include "tls.h"

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
check_ciphers(const struct config *config, struct config_errors *errors)
{
    const char *bad;
    const int r = tls_check_ciphers(config->server_tls_ciphers, config->server_tls13_ciphers, &bad);

    if (r == -EINVAL)
        config_errors_add(
            errors, false, "%s: \"%s\" are no ciphers that OpenSSL knows",
            bad == config->server_tls_ciphers ? "server_tls_ciphers" : "server_tls13_ciphers", bad);
    else if (r < 0)
        config_errors_add(errors, false, "TLS setup failed: %s", strerror(-r));
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

/* libpq's own, in which it looks for what we do not know. One that others can read it ignores. */
static bool
has_password_file(struct config_errors *errors)
{
    const char *const home = getenv("HOME");
    char path[PATH_MAX];
    struct stat info;

    if (home == NULL || snprintf(path, sizeof(path), "%s/.pgpass", home) >= (int)sizeof(path) ||
        stat(path, &info) < 0 || !S_ISREG(info.st_mode))
        return false;
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return access(path, R_OK) == 0;
    config_errors_add(errors, true, "%s is ignored: others may read it, its mode must be 0600",
                      path);
    return false;
}

/* The first of auth_file, and whether there are more; NULL: there is none. */
static const struct config_auth_user *
find_only_scram(const struct config *config, bool *ret_more)
{
    const struct config_auth_user *first = NULL;

    *ret_more = false;
    for (size_t i = 0; i < config->n_auth_users && !*ret_more; i++) {
        if (!has_only_scram(config, config->auth_users[i]))
            continue;
        *ret_more = first != NULL;
        if (first == NULL)
            first = config->auth_users[i];
    }
    return first;
}

static bool
asks_for_secrets(const struct config *config, const struct config_database *db)
{
    return needs_passwords(config, db) && *config_auth_user(config, db) != '\0';
}

#define WAYS_OUT                                                                                   \
    "libpq 18, the plain password in auth_file, user= and password= in the entry of the "          \
    "database, "                                                                                   \
    "or a file ~/.pgpass (an empty one, if the servers ask for no password)"

/* What auth_file has is known; what auth_query will bring may be of any kind. */
static void
check_scram(const struct config *config, const struct backend_features *features,
            struct config_errors *errors)
{
    const struct config_database *const needing = find_database(config, needs_passwords);
    const struct config_database *const asking = find_database(config, asks_for_secrets);
    const bool has_file = has_password_file(errors);
    const int version = features->libpq_version;
    const struct config_auth_user *user;
    bool more;

    if (features->scram_keys || needing == NULL || has_file || !has_scram_logins(config))
        return;
    user = find_only_scram(config, &more);
    if (user != NULL)
        config_errors_add(errors, false,
                          "auth_file has only a SCRAM secret for \"%s\"%s, with which libpq %d.%d "
                          "cannot log in to the servers of database \"%s\"; ways out: " WAYS_OUT,
                          user->name, more ? " and others" : "", version / 10000, version % 10000,
                          needing->name);
    else if (asking != NULL)
        config_errors_add(errors, true,
                          "database \"%s\": with a SCRAM secret that auth_query brings libpq %d.%d "
                          "cannot log in to the servers; ways out: " WAYS_OUT,
                          asking->name, version / 10000, version % 10000);
}

void
libpq_check(const struct config *config, const struct backend_features *features,
            struct config_errors *errors)
{
    check_ciphers(config, errors);
    check_tls(config, features, errors);
    check_scram(config, features, errors);
}
