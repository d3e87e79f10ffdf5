/*
 * The rules of auth_hba_file:
 *
 *     local  databases users                  method { option=value }
 *     host   databases users address          method { option=value }
 *     host   databases users address mask     method { option=value }
 */
#include "hba_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"

/* A file that is being read. */
struct reading {
    struct pgconf pgconf;
    struct hba *hba; /* owned by the caller */
};

static void
names_free(struct hba_name *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hba_name_done(&names[i]);
    free(names);
}

static void
rule_done(struct hba_rule *rule)
{
    names_free(rule->databases, rule->n_databases);
    names_free(rule->users, rule->n_users);
    free(rule->address.host);
    hba_options_done(rule);
    free(rule->file);
}
DEFINE_CLEANUP_IN_PLACE(struct hba_rule, rule_done);

/* ---- the fields of a line ---- */

static int
parse_type(struct pgconf *pgconf, const struct pgconf_line *line, struct hba_rule *rule)
{
    static const char *const types[] = {
        [HBA_LOCAL] = "local",           [HBA_HOST] = "host",
        [HBA_HOSTSSL] = "hostssl",       [HBA_HOSTNOSSL] = "hostnossl",
        [HBA_HOSTGSSENC] = "hostgssenc", [HBA_HOSTNOGSSENC] = "hostnogssenc",
    };
    const struct pgconf_word *word;
    int r;

    r = hba_single_word(pgconf, line, 0, "connection type", &word);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (str_eq(word->text, types[i])) {
            rule->type = (enum hba_type)i;
            return 0;
        }
    }
    return pgconf_complain(pgconf, &line->place,
                           "\"%s\" is no connection type; local, host, hostssl, hostnossl, "
                           "hostgssenc and hostnogssenc are",
                           word->text);
}

static int
parse_database(struct pgconf *pgconf, const struct place *place, const struct pgconf_word *word,
               struct hba_name *ret_name)
{
    int r;

    if (pgconf_word_is(word, "samerole") || pgconf_word_is(word, "samegroup"))
        return pgconf_complain(pgconf, place,
                               "\"%s\" is not supported: who has a role stands in the catalog of a "
                               "server; list the names, in an @file maybe, or use a /regex",
                               word->text);
    r = hba_name_parse(pgconf, place, word, ret_name);
    if (r == 0 && pgconf_word_is(word, "sameuser"))
        ret_name->kind = HBA_SAMEUSER;
    if (r == 0 && pgconf_word_is(word, "replication"))
        ret_name->kind = HBA_REPLICATION;
    return r;
}

static int
parse_user(struct pgconf *pgconf, const struct place *place, const struct pgconf_word *word,
           struct hba_name *ret_name)
{
    const int r = hba_name_check_group(pgconf, place, word);

    return r == 0 ? hba_name_parse(pgconf, place, word, ret_name) : r;
}

typedef int parse_name_fn(struct pgconf *pgconf, const struct place *place,
                          const struct pgconf_word *word, struct hba_name *ret_name);

/* An @file without words is a list of nobody, and fits nothing. */
static int
parse_names(struct pgconf *pgconf, const struct pgconf_line *line, size_t field, const char *what,
            parse_name_fn *parse, struct hba_name **names, size_t *count)
{
    const struct pgconf_field words = pgconf_field(line, field);
    int r;

    if (field >= line->n_fields)
        return pgconf_complain(pgconf, &line->place, "the line ends before the %s", what);
    *names = calloc(words.count + 1, sizeof(**names));
    if (*names == NULL)
        return -ENOMEM;
    for (; *count < words.count; (*count)++) {
        r = parse(pgconf, &line->place, &words.words[*count], &(*names)[*count]);
        if (r < 0)
            return r;
    }
    return 0;
}

static const struct method {
    const char *name;
    bool is_supported;
    enum auth_type type;
} methods[] = {
    {"trust", true, AUTH_TYPE_TRUST},
    {"reject", true, AUTH_TYPE_REJECT},
    {"scram-sha-256", true, AUTH_TYPE_SCRAM_SHA_256},
    {"md5", true, AUTH_TYPE_MD5},
    {"password", true, AUTH_TYPE_PLAIN},
    {"cert", true, AUTH_TYPE_CERT},
    {"peer", true, AUTH_TYPE_PEER},
    {"pam", true, AUTH_TYPE_PAM},
    {"ldap", true, AUTH_TYPE_LDAP},
    {.name = "bsd"},
    {.name = "gss"},
    {.name = "ident"},
    {.name = "oauth"},
    {.name = "radius"},
    {.name = "sspi"},
};

static const struct method *
find_method(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (str_eq(methods[i].name, name))
            return &methods[i];
    return NULL;
}

static int
parse_method(struct pgconf *pgconf, const struct pgconf_line *line, size_t field,
             struct hba_rule *rule)
{
    const struct pgconf_word *word = NULL;
    const struct method *method;
    int r;

    r = hba_single_word(pgconf, line, field, "authentication method", &word);
    if (r < 0)
        return r;
    method = find_method(word->text);
    if (method == NULL)
        return pgconf_complain(pgconf, &line->place, "\"%s\" is no authentication method",
                               word->text);
    if (!method->is_supported)
        return pgconf_complain(pgconf, &line->place,
                               "the authentication method \"%s\" is not supported", word->text);
    if (auth_type_missing(method->type) != NULL)
        return pgconf_complain(pgconf, &line->place,
                               "the method %s: this pgweir was built without %s", method->name,
                               auth_type_missing(method->type));
    if (method->type == AUTH_TYPE_PEER && rule->type != HBA_LOCAL)
        return pgconf_complain(pgconf, &line->place,
                               "the method peer is only for lines with local");
    if (method->type == AUTH_TYPE_CERT && rule->type != HBA_HOSTSSL)
        return pgconf_complain(pgconf, &line->place,
                               "the method cert is only for lines with hostssl");
    rule->method = method->type;
    return 0;
}

static int
parse_rule(struct pgconf *pgconf, const struct pgconf_line *line, struct hba_rule *rule)
{
    size_t field = 3;
    int r;

    r = parse_type(pgconf, line, rule);
    if (r == 0)
        r = parse_names(pgconf, line, 1, "database", parse_database, &rule->databases,
                        &rule->n_databases);
    if (r == 0)
        r = parse_names(pgconf, line, 2, "user", parse_user, &rule->users, &rule->n_users);
    if (r == 0 && rule->type != HBA_LOCAL)
        r = hba_address_parse(pgconf, line, &field, &rule->address);
    if (r == 0)
        r = parse_method(pgconf, line, field, rule);
    if (r == 0)
        r = hba_options_parse(pgconf, line, field + 1, rule);
    return r;
}

/* ---- the file ---- */

/* Takes what rule has over. */
static int
add_rule(struct hba *hba, struct hba_rule *rule)
{
    struct hba_rule *rules = hba->rules;

    if ((hba->n_rules & (hba->n_rules - 1)) == 0) /* doubles at each power of two */
        rules = realloc(rules, MAX(2 * hba->n_rules, (size_t)1) * sizeof(*rules));
    if (rules == NULL)
        return -ENOMEM;
    hba->rules = rules;
    rules[hba->n_rules++] = *rule;
    *rule = (struct hba_rule){0};
    return 0;
}

static int
read_line(void *arg, const struct pgconf_line *line)
{
    struct reading *reading = arg;
    CLEANUP(rule_done) struct hba_rule rule = {.line = line->place.line};
    int r;

    r = parse_rule(&reading->pgconf, line, &rule);
    if (r < 0)
        return r;
    rule.file = strdup(line->place.file);
    return rule.file != NULL ? add_rule(reading->hba, &rule) : -ENOMEM;
}

int
hba_read(const char *path, const struct place *place, bool is_lenient, struct config_errors *errors,
         struct hba **ret_hba)
{
    CLEANUP(hba_unref) struct hba *hba = calloc(1, sizeof(*hba));
    struct reading reading = {.hba = hba};
    int r;

    if (hba == NULL)
        return -ENOMEM;
    ref_init(&hba->ref);
    reading.pgconf = (struct pgconf){
        .errors = errors, .is_lenient = is_lenient, .line = read_line, .arg = &reading};
    r = pgconf_read(&reading.pgconf, path, "auth_hba_file", place);
    if (r < 0)
        return r;
    *ret_hba = TAKE(hba);
    return 0;
}

struct hba *
hba_ref(struct hba *hba)
{
    ref_get(&hba->ref);
    return hba;
}

void
hba_unref(struct hba *hba)
{
    if (hba == NULL || !ref_put(&hba->ref))
        return;
    for (size_t i = 0; i < hba->n_rules; i++)
        rule_done(&hba->rules[i]);
    free(hba->rules);
    free(hba);
}
