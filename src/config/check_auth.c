/*
 * Whether what is said about logins fits together, and is all there.
 */
#include "config_int.h"

#include <errno.h>

#include "buf.h"
#include "hba.h"
#include "ldap_options.h"

const char *
auth_type_missing(enum auth_type type)
{
#ifndef HAVE_PAM
    if (type == AUTH_TYPE_PAM)
        return "libpam";
#endif
#ifndef HAVE_LDAP
    if (type == AUTH_TYPE_LDAP)
        return "libldap";
#endif
    (void)type;
    return NULL;
}

static void
check_auth_library(const struct config *config, const struct place *place,
                   struct config_errors *errors)
{
    const enum auth_type type = (enum auth_type)config->auth_type;

    if (auth_type_missing(type) != NULL)
        errors_add(errors, place, "auth_type = %s: this pgweir was built without %s",
                   auth_type_name(type), auth_type_missing(type));
}

/* Also when nothing uses them: the mistake should not wait for the day when something does. */
static void
check_ldap_options(const struct config *config, const struct place *place,
                   struct config_errors *errors)
{
    CLEANUP(ldap_options_done) struct ldap_options options = LDAP_OPTIONS_INIT;
    CLEANUP(buf_done) struct buf why = BUF_INIT;
    int r;

    if (*config->auth_ldap_options == '\0') {
        if (config->auth_type == AUTH_TYPE_LDAP)
            errors_add(errors, place,
                       "auth_ldap_options is not set: auth_type = ldap needs to know where to ask, "
                       "such as ldapserver=... ldapbasedn=\"...\"");
        return;
    }
    r = ldap_options_parse(config->auth_ldap_options, &options, &why);
    if (r == -EINVAL)
        errors_add(errors, place, "auth_ldap_options: %s", buf_str(&why));
    errors->out_of_memory |= r == -ENOMEM;
}

static bool
needs_secrets(enum auth_type type)
{
    return type == AUTH_TYPE_TRUST || type == AUTH_TYPE_PLAIN || type == AUTH_TYPE_MD5 ||
           type == AUTH_TYPE_SCRAM_SHA_256;
}

static bool
has_secrets(const struct config *config)
{
    if (*config->auth_file != '\0' || *config->auth_user != '\0')
        return true;
    for (size_t i = 0; i < config->n_databases; i++)
        if (config->databases[i]->auth_user != NULL)
            return true;
    return config->autodb != NULL && config->autodb->auth_user != NULL;
}

static void
check_secrets(const struct config *config, const struct place *place, struct config_errors *errors)
{
    const enum auth_type type = (enum auth_type)config->auth_type;

    if (needs_secrets(type) && !has_secrets(config))
        errors_warn(errors, place,
                    "neither auth_file nor auth_user is set: with auth_type = %s nobody can log in",
                    auth_type_name(type));
}

static void
check_auth_dbname(const struct config *config, const struct place *place,
                  struct config_errors *errors)
{
    const char *name = config->auth_dbname;

    if (config_is_console(name))
        errors_add(errors, place, "auth_dbname cannot be the console");
    else if (*name != '\0' && config_find_database(config, name) == NULL && config->autodb == NULL)
        errors_warn(errors, place, "auth_dbname: there is no database \"%s\"", name);
}

static void
check_cert(const struct config *config, const struct place *place, struct config_errors *errors)
{
    if (config->auth_type == AUTH_TYPE_CERT && config_highest_tls_mode(config) < TLS_VERIFY_CA)
        errors_add(errors, place, "auth_type = cert needs client_tls_sslmode = verify-full");
}

/* ---- rules ---- */

/* What the rule says is all right, but what it needs is missing. */
static void
check_rule_certificate(const struct config *config, const struct hba_rule *rule,
                       const struct place *place, struct config_errors *errors)
{
    static const char missing[] = "client certificates are only checked with client_tls_ca_file";

    if (rule->method != AUTH_TYPE_CERT && hba_rule_option(rule, "clientcert") == NULL)
        return;
    if (*config->client_tls_ca_file != '\0')
        return;
    if (config->auth_hba_lenient)
        errors_warn(errors, place, missing);
    else
        errors_add(errors, place, missing);
}

static void
check_rule(const struct config *config, const struct hba_rule *rule, struct config_errors *errors)
{
    const struct place place = {.file = rule->file, .line = rule->line};
    const char *map = hba_rule_option(rule, "map");

    check_rule_certificate(config, rule, &place, errors);
    if (rule->type == HBA_HOSTSSL && config_highest_tls_mode(config) == TLS_DISABLE)
        errors_warn(errors, &place, "fits nobody while client_tls_sslmode = disable");
    if (map != NULL && !ident_has_map(config->ident, map))
        errors_warn(errors, &place, "map \"%s\" is not in auth_ident_file: nobody can log in here",
                    map);
}

static void
check_hba(const struct config *config, const struct place *places, struct config_errors *errors)
{
    if (config->auth_type != AUTH_TYPE_HBA)
        return;
    if (*config->auth_hba_file == '\0')
        errors_add(errors, config_place_of(places, "auth_type"),
                   "auth_type = hba needs auth_hba_file");
    if (config->hba == NULL)
        return;
    if (config->hba->n_rules == 0 && !config_errors_fatal(errors))
        errors_warn(errors, config_place_of(places, "auth_hba_file"),
                    "\"%s\" has no rules: nobody can log in", config->auth_hba_file);
    for (size_t i = 0; i < config->hba->n_rules; i++)
        check_rule(config, &config->hba->rules[i], errors);
}

void
config_check_auth(const struct config *config, const struct place *places,
                  struct config_errors *errors)
{
    check_secrets(config, config_place_of(places, "auth_file"), errors);
    check_auth_library(config, config_place_of(places, "auth_type"), errors);
    check_ldap_options(config, config_place_of(places, "auth_ldap_options"), errors);
    check_auth_dbname(config, config_place_of(places, "auth_dbname"), errors);
    check_cert(config, config_place_of(places, "auth_type"), errors);
    check_hba(config, places, errors);
}
