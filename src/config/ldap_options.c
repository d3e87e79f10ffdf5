#include "ldap_options.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "config_int.h"
#include "hba.h"
#include "str.h"
#include "units.h"

#define BLANKS  " \t\r\n\v\f"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

struct row {
    const char *name;
    int (*set)(struct ldap_options *options, const struct row *row, const char *value,
               struct buf *why);
    size_t field; /* of set_text */
};

static int complain(struct buf *why, const char *format, ...) PRINTF_LIKE(2, 3);

static int
complain(struct buf *why, const char *format, ...)
{
    va_list args;
    int r;

    va_start(args, format);
    r = buf_vprintf(why, format, args);
    va_end(args);
    return r < 0 ? r : -EINVAL;
}

/* ---- one option ---- */

static void
wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

static int
replace(char **field, const char *value)
{
    char *copy = strdup(value);

    if (copy == NULL)
        return -ENOMEM;
    wipe(*field);
    *field = copy;
    return 0;
}

static int
set_text(struct ldap_options *options, const struct row *row, const char *value, struct buf *why)
{
    (void)why;
    return replace((char **)(void *)((char *)options + row->field), value);
}

/* Without a host libldap would ask one of its own choice. */
static int
set_server(struct ldap_options *options, const struct row *row, const char *value, struct buf *why)
{
    if (value[strspn(value, BLANKS)] == '\0')
        return complain(why, "%s: no host is named", row->name);
    return replace(&options->server, value);
}

/* It becomes a part of a filter. */
static bool
is_attribute(const char *name)
{
    return *name != '\0' && name[strspn(name, LETTERS "0123456789-.;")] == '\0';
}

static int
set_attribute(struct ldap_options *options, const struct row *row, const char *value,
              struct buf *why)
{
    if (!is_attribute(value))
        return complain(why, "%s: \"%s\" is no name of an attribute", row->name, value);
    return replace(&options->search_attribute, value);
}

static int
set_port(struct ldap_options *options, const struct row *row, const char *value, struct buf *why)
{
    int64_t port;

    if (units_parse_int(value, &port) < 0 || port < 1 || port > UINT16_MAX)
        return complain(why, "%s: \"%s\" is not a port number", row->name, value);
    options->port = (int)port;
    return 0;
}

static int
set_scheme(struct ldap_options *options, const struct row *row, const char *value, struct buf *why)
{
    options->is_ldaps = strcasecmp(value, "ldaps") == 0;
    if (!options->is_ldaps && strcasecmp(value, "ldap") != 0)
        return complain(why, "%s: \"%s\" is none of ldap, ldaps", row->name, value);
    return 0;
}

static int
set_starttls(struct ldap_options *options, const struct row *row, const char *value,
             struct buf *why)
{
    if (units_parse_bool(value, &options->starttls) < 0)
        return complain(why, "%s: \"%s\" is none of 0, 1", row->name, value);
    return 0;
}

/* ---- ldapurl: ldap[s]://host[:port]/base[?attribute[?scope[?filter]]] ---- */

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %20 and such become what they stand for, in place; false: broken, or a NUL. */
static bool
percent_decode(char *text)
{
    char *to = text;

    for (; *text != '\0'; text++) {
        if (*text == '%') {
            const int high = hex_digit(text[1]);
            const int low = high >= 0 ? hex_digit(text[2]) : -1;

            if (low < 0 || high + low == 0)
                return false;
            *to++ = (char)(high << 4 | low);
            text += 2;
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
    return true;
}

/* Sets what the URL may say to "not said". */
static int
url_begin(struct ldap_options *options, char **rest)
{
    char *const scheme_end = strstr(*rest, "://");

    if (scheme_end == NULL)
        return -EINVAL;
    *scheme_end = '\0';
    options->is_ldaps = strcasecmp(*rest, "ldaps") == 0;
    if (!options->is_ldaps && strcasecmp(*rest, "ldap") != 0)
        return -EINVAL;
    *rest = scheme_end + strlen("://");
    options->port = 0;
    options->scope = LDAP_SEARCH_BASE;
    return 0;
}

/* "host:389", "[::1]:389", or nothing at all. */
static int
url_set_host(struct ldap_options *options, char *host)
{
    char *const bracket = strchr(host, ']');
    char *const colon = strchr(bracket != NULL ? bracket : host, ':');
    int64_t port;

    if (colon != NULL) {
        *colon = '\0';
        if (units_parse_int(colon + 1, &port) < 0 || port < 1 || port > UINT16_MAX)
            return -EINVAL;
        options->port = (int)port;
    }
    return *host != '\0' ? replace(&options->server, host) : 0;
}

static int
url_set_scope(struct ldap_options *options, char *scope)
{
    static const struct {
        const char *name;
        enum ldap_search_scope scope;
    } scopes[] = {
        {"", LDAP_SEARCH_BASE},   {"base", LDAP_SEARCH_BASE},   {"one", LDAP_SEARCH_ONE},
        {"sub", LDAP_SEARCH_SUB}, {"subtree", LDAP_SEARCH_SUB}, {"onelevel", LDAP_SEARCH_ONE},
    };

    for (size_t i = 0; i < ARRAY_SIZE(scopes); i++) {
        if (strcasecmp(scope, scopes[i].name) == 0) {
            options->scope = scopes[i].scope;
            return 0;
        }
    }
    return -EINVAL;
}

/* Of several attributes the first counts, as for PostgreSQL. */
static int
url_set_attribute(struct ldap_options *options, char *attributes)
{
    attributes[strcspn(attributes, ",")] = '\0';
    if (*attributes == '\0')
        return 0;
    return is_attribute(attributes) ? replace(&options->search_attribute, attributes) : -EINVAL;
}

static int
url_set_base_dn(struct ldap_options *options, char *base_dn)
{
    return replace(&options->base_dn, base_dn);
}

static int
url_set_filter(struct ldap_options *options, char *filter)
{
    return *filter != '\0' ? replace(&options->search_filter, filter) : 0;
}

static int
url_parse(struct ldap_options *options, char *rest)
{
    static const struct {
        const char *end;
        int (*set)(struct ldap_options *options, char *text);
    } parts[] = {
        {"/", url_set_host},  {"?", url_set_base_dn}, {"?", url_set_attribute},
        {"?", url_set_scope}, {"?", url_set_filter},
    };
    int r = url_begin(options, &rest);

    for (size_t i = 0; i < ARRAY_SIZE(parts) && rest != NULL && r == 0; i++) {
        char *part = strsep(&rest, parts[i].end);

        r = percent_decode(part) ? parts[i].set(options, part) : -EINVAL;
    }
    /* What follows would be extensions, and libldap knows none that is of use here. */
    return r == 0 && rest != NULL ? -EINVAL : r;
}

static int
set_url(struct ldap_options *options, const struct row *row, const char *value, struct buf *why)
{
    CLEANUP(free) char *url = strdup(value);
    int r;

    if (url == NULL)
        return -ENOMEM;
    r = url_parse(options, url);
    if (r == -EINVAL)
        return complain(why,
                        "%s: \"%s\" is not of the form "
                        "ldap[s]://host[:port]/base[?attribute[?base|one|sub[?filter]]]",
                        row->name, value);
    return r;
}

/* ---- all of them ---- */

#define FIELD(field) offsetof(struct ldap_options, field)

/* clang-format off */
static const struct row rows[] = {
    { "ldapserver",          set_server,    0 },
    { "ldapport",            set_port,      0 },
    { "ldapscheme",          set_scheme,    0 },
    { "ldaptls",             set_starttls,  0 },
    { "ldapprefix",          set_text,      FIELD(prefix) },
    { "ldapsuffix",          set_text,      FIELD(suffix) },
    { "ldapbasedn",          set_text,      FIELD(base_dn) },
    { "ldapbinddn",          set_text,      FIELD(bind_dn) },
    { "ldapbindpasswd",      set_text,      FIELD(bind_password) },
    { "ldapsearchattribute", set_attribute, 0 },
    { "ldapsearchfilter",    set_text,      FIELD(search_filter) },
    { "ldapurl",             set_url,       0 },
};
/* clang-format on */

static const struct row *
find_row(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (str_eq(rows[i].name, name))
            return &rows[i];
    return NULL;
}

void
ldap_options_done(struct ldap_options *options)
{
    wipe(options->server);
    wipe(options->prefix);
    wipe(options->suffix);
    wipe(options->base_dn);
    wipe(options->bind_dn);
    wipe(options->bind_password);
    wipe(options->search_attribute);
    wipe(options->search_filter);
    *options = (struct ldap_options)LDAP_OPTIONS_INIT;
}

bool
ldap_options_has(const char *name)
{
    return find_row(name) != NULL;
}

static int
complain_unknown(const char *name, struct buf *why)
{
    struct nearest nearest;

    nearest_init(&nearest, name);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        nearest_offer(&nearest, rows[i].name);
    if (nearest.name != NULL)
        return complain(why, "unknown option \"%s\", did you mean \"%s\"?", name, nearest.name);
    return complain(why,
                    "unknown option \"%s\" (a value with commas or blanks needs quotes: "
                    "ldapbasedn=\"dc=example,dc=org\")",
                    name);
}

int
ldap_options_set(struct ldap_options *options, const char *name, const char *value, struct buf *why)
{
    const struct row *row = find_row(name);

    return row != NULL ? row->set(options, row, value, why) : complain_unknown(name, why);
}

static int
check_simple_bind(const struct ldap_options *options, struct buf *why)
{
    if (options->base_dn != NULL || options->bind_dn != NULL || options->bind_password != NULL ||
        options->search_attribute != NULL || options->search_filter != NULL)
        return complain(why, "ldapprefix and ldapsuffix are for a bind without a search, "
                             "ldapbasedn, ldapbinddn, ldapbindpasswd, ldapsearchattribute, "
                             "ldapsearchfilter and ldapurl for one with it: choose");
    if (options->server == NULL)
        return complain(why, "ldapserver must be set");
    return 0;
}

static int
check_search(const struct ldap_options *options, struct buf *why)
{
    if (options->base_dn == NULL)
        return complain(why, "ldapbasedn, ldapprefix or ldapsuffix must be set");
    if (options->search_attribute != NULL && options->search_filter != NULL)
        return complain(why, "ldapsearchattribute and ldapsearchfilter exclude each other");
    if (options->search_filter != NULL && strstr(options->search_filter, "$username") == NULL)
        return complain(why, "ldapsearchfilter: without $username it finds the same entry for "
                             "everybody");
    if (options->server == NULL && *options->base_dn == '\0')
        return complain(why, "ldapserver must be set");
    return 0;
}

int
ldap_options_check(const struct ldap_options *options, struct buf *why)
{
    if (options->starttls && options->is_ldaps)
        return complain(why, "ldaptls=1 and ldaps exclude each other");
    if (options->prefix != NULL || options->suffix != NULL)
        return check_simple_bind(options, why);
    return check_search(options, why);
}

/* ---- the text of auth_ldap_options ---- */

static bool
separates(char c)
{
    return c == ',' || str_is_blank(c);
}

/*
 * Puts the next word into word, which has room for all, its quotes taken off: 1, 0 at the end, or
 * -EINVAL for a quote that does not end.
 */
static int
next_word(const char **rest, char *word)
{
    const char *from = *rest;
    bool quoted = false;

    while (separates(*from))
        from++;
    if (*from == '\0')
        return 0;
    for (; *from != '\0' && (quoted || !separates(*from)); from++) {
        if (*from != '"') {
            *word++ = *from;
        } else if (quoted && from[1] == '"') {
            *word++ = '"';
            from++;
        } else {
            quoted = !quoted;
        }
    }
    *word = '\0';
    *rest = from;
    return quoted ? -EINVAL : 1;
}

static int
set_word(struct ldap_options *options, char *word, struct buf *why)
{
    char *const equals = strchr(word, '=');

    if (equals == NULL)
        return complain(why, "\"%s\": name=value expected", word);
    *equals = '\0';
    return ldap_options_set(options, word, equals + 1, why);
}

int
ldap_options_parse(const char *text, struct ldap_options *options, struct buf *why)
{
    const char *rest = text;
    char *word = strdup(text);
    int r;

    if (word == NULL)
        return -ENOMEM;
    while ((r = next_word(&rest, word)) > 0) {
        r = set_word(options, word, why);
        if (r < 0)
            break;
    }
    if (r == -EINVAL && why->len == 0)
        r = complain(why, "a quote does not end");
    explicit_bzero(word, strlen(text));
    free(word);
    return r < 0 ? r : ldap_options_check(options, why);
}

int
ldap_options_from_rule(const struct hba_option *rule_options, size_t count,
                       struct ldap_options *options, struct buf *why)
{
    for (size_t i = 0; i < count; i++) {
        int r;

        if (!ldap_options_has(rule_options[i].name)) /* map= and such are not ours */
            continue;
        r = ldap_options_set(options, rule_options[i].name, rule_options[i].value, why);
        if (r < 0)
            return r;
    }
    return ldap_options_check(options, why);
}
