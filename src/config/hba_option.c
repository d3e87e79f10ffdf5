/*
 * What stands behind the method of a rule: name=value ...
 *
 * To add one: a row here.
 */
#include "hba_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "ldap_options.h"
#include "str.h"
#include "wipe.h"

#define METHOD(method) (1U << AUTH_TYPE_##method)
#define ANY_METHOD     (~0U)

/* What the value may be; others have a meaning in PostgreSQL that there is not here. */
static const char *const clientcert_values[] = {"verify-ca", "verify-full", NULL};
static const char *const clientname_values[] = {"CN", NULL};
static const char *const bool_values[] = {"0", "1", NULL};

static const struct rule_option {
    const char *name;
    unsigned methods;          /* that it is for */
    const char *whose;         /* the same in words */
    const char *const *values; /* NULL: any */
} rule_options[] = {
    {"clientcert", ANY_METHOD, "all methods", clientcert_values},
    {"clientname", METHOD(CERT), "the method cert", clientname_values},
    {"map", METHOD(CERT) | METHOD(PEER), "the methods cert and peer", NULL},
    {"pam_use_hostname", METHOD(PAM), "the method pam", bool_values},
    {"pamservice", METHOD(PAM), "the method pam", NULL},
};

static const struct rule_option ldap_option = {"ldap...", METHOD(LDAP), "the method ldap", NULL};

static const struct rule_option *
find_option(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(rule_options); i++)
        if (str_eq(rule_options[i].name, name))
            return &rule_options[i];
    return ldap_options_has(name) ? &ldap_option : NULL;
}

static bool
is_one_of(const char *const *values, const char *value)
{
    for (; *values != NULL; values++)
        if (str_eq(*values, value))
            return true;
    return false;
}

static int
check_option(struct pgconf *pgconf, const struct place *place, const struct hba_rule *rule,
             const char *name, const char *value)
{
    const struct rule_option *option = find_option(name);

    if (option == NULL)
        return pgconf_complain(pgconf, place, "unknown option \"%s\"", name);
    if ((option->methods & (1U << rule->method)) == 0)
        return pgconf_complain(pgconf, place, "the option \"%s\" is only for %s", name,
                               option->whose);
    if (option->values != NULL && !is_one_of(option->values, value))
        return pgconf_complain(pgconf, place, "%s=%s is not supported, only %s%s%s", name, value,
                               option->values[0], option->values[1] != NULL ? " and " : "",
                               option->values[1] != NULL ? option->values[1] : "");
    if (str_eq(name, "clientcert") && rule->type != HBA_HOSTSSL)
        return pgconf_complain(pgconf, place, "clientcert is only for lines with hostssl");
    if (str_eq(name, "clientcert") && rule->method == AUTH_TYPE_CERT &&
        !str_eq(value, "verify-full"))
        return pgconf_complain(pgconf, place,
                               "with the method cert, clientcert can only be verify-full");
    return 0;
}

static int
add_option(struct hba_rule *rule, const char *name, const char *value)
{
    struct hba_option *options;
    struct hba_option option;

    options = realloc(rule->options, (rule->n_options + 1) * sizeof(*options));
    if (options == NULL)
        return -ENOMEM;
    rule->options = options;
    option = (struct hba_option){strdup(name), strdup(value)};
    if (option.name == NULL || option.value == NULL) {
        free(option.name);
        free(option.value);
        return -ENOMEM;
    }
    options[rule->n_options++] = option;
    return 0;
}

static int
parse_option(struct pgconf *pgconf, const struct place *place, const char *text,
             struct hba_rule *rule)
{
    const char *equals = strchr(text, '=');
    CLEANUP(free) char *name = NULL;
    int r;

    if (equals == NULL)
        return pgconf_complain(pgconf, place, "\"%s\" is not name=value", text);
    name = strndup(text, (size_t)(equals - text));
    if (name == NULL)
        return -ENOMEM;
    r = check_option(pgconf, place, rule, name, equals + 1);
    return r == 0 ? add_option(rule, name, equals + 1) : r;
}

/* What ldap needs, together. */
static int
check_ldap(struct pgconf *pgconf, const struct place *place, const struct hba_rule *rule)
{
    CLEANUP(ldap_options_done) struct ldap_options options = LDAP_OPTIONS_INIT;
    CLEANUP(buf_done) struct buf why = BUF_INIT;
    int r;

    r = ldap_options_from_rule(rule->options, rule->n_options, &options, &why);
    return r == -EINVAL ? pgconf_complain(pgconf, place, "%s", buf_str(&why)) : r;
}

int
hba_options_parse(struct pgconf *pgconf, const struct pgconf_line *line, size_t first,
                  struct hba_rule *rule)
{
    int r = 0;

    for (size_t i = 0; i < line->n_words && r == 0; i++)
        if (line->words[i].field >= first)
            r = parse_option(pgconf, &line->place, line->words[i].text, rule);
    if (r == 0 && rule->method == AUTH_TYPE_LDAP)
        r = check_ldap(pgconf, &line->place, rule);
    return r;
}

void
hba_options_done(struct hba_rule *rule)
{
    for (size_t i = 0; i < rule->n_options; i++) {
        wipe_free(rule->options[i].value); /* ldapbindpasswd */
        free(rule->options[i].name);
    }
    free(rule->options);
}

/* Of several the last counts. */
const char *
hba_rule_option(const struct hba_rule *rule, const char *name)
{
    for (size_t i = rule->n_options; i-- > 0;)
        if (str_eq(rule->options[i].name, name))
            return rule->options[i].value;
    return NULL;
}
