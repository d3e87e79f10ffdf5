/*
 * The method "ldap". Home of libldap.
 */
#include <ldap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "buf.h"
#include "config.h"
#include "hba.h"
#include "ldap_check.h"
#include "ldap_options.h"
#include "sqlstate.h"
#include "str.h"

/* No step of a login takes longer: one thread waits for it, and other logins may wait for that. */
#define STEP_TIMEOUT (10 * SEC)

/* ---- where to ask ---- */

/* "db1" -> "ldap://db1:389"; a host that has a port keeps it, "::1" gets its brackets. */
static int
append_uri(struct buf *uris, const struct ldap_options *options, const char *host, size_t len)
{
    const char *const colon = memchr(host, ':', len);
    const bool bracketed = *host == '[';
    const bool is_ipv6 =
        colon != NULL && memchr(colon + 1, ':', len - (size_t)(colon + 1 - host)) != NULL;
    const bool has_port =
        bracketed ? memmem(host, len, "]:", 2) != NULL : colon != NULL && !is_ipv6;
    const bool wants_brackets = is_ipv6 && !bracketed;
    int r;

    r = buf_printf(uris, "%s%s://%s%.*s%s", uris->len > 0 ? " " : "",
                   options->is_ldaps ? "ldaps" : "ldap", wants_brackets ? "[" : "", (int)len, host,
                   wants_brackets ? "]" : "");
    if (r < 0 || has_port || options->port == 0)
        return r;
    return buf_printf(uris, ":%d", options->port);
}

/* For each of the hosts, which have blanks between them. */
static int
append_uris(struct buf *uris, const struct ldap_options *options, const char *hosts)
{
    static const char blanks[] = " \t\r\n\v\f";
    int r = 0;

    for (hosts += strspn(hosts, blanks); *hosts != '\0' && r == 0; hosts += strspn(hosts, blanks)) {
        const size_t len = strcspn(hosts, blanks);

        r = append_uri(uris, options, hosts, len);
        hosts += len;
    }
    return r;
}

/* Without ldapserver the SRV records of the base's domain name them. */
static int
append_uris_from_dns(struct buf *uris, const struct ldap_options *options,
                     char detail[static OUTSIDE_DETAIL_MAX])
{
    char *domain = NULL, *hosts = NULL;
    int r;

    if (ldap_dn2domain(options->base_dn, &domain) != 0 || domain == NULL)
        r = outside_complain(detail, -EIO, "ldapbasedn names no domain: set ldapserver");
    else if (ldap_domain2hostlist(domain, &hosts) != LDAP_SUCCESS)
        r = outside_complain(detail, -EIO, "DNS has no LDAP server for %s: set ldapserver", domain);
    else
        r = append_uris(uris, options, hosts);
    ldap_memfree(hosts);
    ldap_memfree(domain);
    return r;
}

/* ---- names in the languages of LDAP ---- */

/* The same way of escaping is valid in filters (RFC 4515) and in names (RFC 4514). */
static int
append_escaped(struct buf *to, const char *text, const char *specials)
{
    int r = 0;

    for (; *text != '\0' && r == 0; text++) {
        if (strchr(specials, *text) != NULL)
            r = buf_printf(to, "\\%02x", (unsigned char)*text);
        else
            r = buf_append_char(to, *text);
    }
    return r;
}

static int
append_for_filter(struct buf *to, const char *text)
{
    return append_escaped(to, text, "*()\\");
}

/* With the filter's own words, or "(uid=user)". */
static int
append_filter(struct buf *to, const struct ldap_options *options, const char *user)
{
    static const char placeholder[] = "$username";
    const char *rest = options->search_filter, *found;
    int r;

    if (rest == NULL) {
        const char *attribute = options->search_attribute;

        r = buf_printf(to, "(%s=", attribute != NULL ? attribute : "uid");
        r = r < 0 ? r : append_for_filter(to, user);
        return r < 0 ? r : buf_append_char(to, ')');
    }
    while ((found = strstr(rest, placeholder)) != NULL) {
        r = buf_append(to, rest, (size_t)(found - rest));
        r = r < 0 ? r : append_for_filter(to, user);
        if (r < 0)
            return r;
        rest = found + strlen(placeholder);
    }
    return buf_append_str(to, rest);
}

/*
 * What to bind with for a simple bind. Behind "uid=" the user is a part of a distinguished name;
 * with other prefixes ("CORP\", or none before "@example.org") it is none, and nothing is escaped.
 */
static int
append_bind_name(struct buf *to, const struct ldap_options *options, const char *user)
{
    const char *prefix = options->prefix != NULL ? options->prefix : "";
    const size_t len = strlen(prefix);
    const bool in_dn = len > 0 && prefix[len - 1] == '=';
    int r = buf_append_str(to, prefix);

    r = r < 0 ? r : append_escaped(to, user, in_dn ? " \"#+,;<=>\\" : "");
    return r < 0 ? r : buf_append_str(to, options->suffix != NULL ? options->suffix : "");
}

/* ---- the conversation ---- */

struct session {
    LDAP *ldap; /* owned */
    const struct ldap_options *options;
    struct timeval timeout;
    char *detail; /* OUTSIDE_DETAIL_MAX */
};

/* what could not be done, and what the server or the library say about it. Returns -EIO. */
static int
complain(struct session *session, const char *what, int result)
{
    char *diagnostic = NULL;
    const char *said;

    (void)ldap_get_option(session->ldap, LDAP_OPT_DIAGNOSTIC_MESSAGE, &diagnostic);
    said = diagnostic != NULL ? diagnostic : "";
    (void)outside_complain(session->detail, -EIO, "%s: %s%s%s", what, ldap_err2string(result),
                           *said != '\0' ? ": " : "", said);
    ldap_memfree(diagnostic);
    return -EIO;
}

static int
set_options(LDAP *ldap, const struct timeval *timeout)
{
    const int version = LDAP_VERSION3;
    const struct {
        int option;
        const void *value;
    } settings[] = {
        {LDAP_OPT_PROTOCOL_VERSION, &version},
        {LDAP_OPT_REFERRALS, LDAP_OPT_OFF}, /* else other servers would be told the password */
        {LDAP_OPT_RESTART, LDAP_OPT_ON},    /* signals do not matter */
        {LDAP_OPT_NETWORK_TIMEOUT, timeout},
        {LDAP_OPT_TIMEOUT, timeout},
    };

    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (ldap_set_option(ldap, settings[i].option, settings[i].value) != LDAP_OPT_SUCCESS)
            return -EIO;
    return 0;
}

/* Connects lazily, but for StartTLS, to the first of the servers that is there. */
static int
session_open(struct session *session)
{
    CLEANUP(buf_done) struct buf uris = BUF_INIT;
    const struct ldap_options *options = session->options;
    int r, result;

    if (options->server != NULL)
        r = append_uris(&uris, options, options->server);
    else
        r = append_uris_from_dns(&uris, options, session->detail);
    if (r < 0)
        return r;
    result = ldap_initialize(&session->ldap, buf_str(&uris));
    if (result != LDAP_SUCCESS)
        return outside_complain(session->detail, -EIO, "%s: %s", buf_str(&uris),
                                ldap_err2string(result));
    if (set_options(session->ldap, &session->timeout) < 0)
        return outside_complain(session->detail, -EIO, "libldap lacks an option");
    if (!options->starttls)
        return 0;
    result = ldap_start_tls_s(session->ldap, NULL, NULL);
    return result == LDAP_SUCCESS ? 0 : complain(session, "could not begin TLS", result);
}

static void
session_close(struct session *session)
{
    if (session->ldap != NULL)
        (void)ldap_unbind_ext_s(session->ldap, NULL, NULL);
}
DEFINE_CLEANUP_IN_PLACE(struct session, session_close);

static int
session_bind(struct session *session, const char *name, const char *password)
{
    struct berval credentials = {
        .bv_len = strlen(password),
        .bv_val = (char *)(uintptr_t)password,
    };

    return ldap_sasl_bind_s(session->ldap, name, LDAP_SASL_SIMPLE, &credentials, NULL, NULL, NULL);
}

/* The name of the only entry of a search's result. */
static int
only_entry(struct session *session, LDAPMessage *found, struct buf *name)
{
    const int count = ldap_count_entries(session->ldap, found);
    LDAPMessage *entry = ldap_first_entry(session->ldap, found);
    char *dn;
    int r;

    if (entry == NULL || count != 1)
        return outside_complain(session->detail, -EACCES, "the search has found %s",
                                entry == NULL ? "no such user" : "several such users");
    dn = ldap_get_dn(session->ldap, entry);
    if (dn == NULL)
        return -ENOMEM;
    if (*dn != '\0')
        r = buf_append_str(name, dn);
    else /* to bind with it would be to log in as nobody in particular */
        r = outside_complain(session->detail, -EACCES,
                             "the search has found an entry without name");
    ldap_memfree(dn);
    return r;
}

static int
session_search(struct session *session, const char *filter, struct buf *name)
{
    static const int scopes[] = {
        [LDAP_SEARCH_BASE] = LDAP_SCOPE_BASE,
        [LDAP_SEARCH_ONE] = LDAP_SCOPE_ONELEVEL,
        [LDAP_SEARCH_SUB] = LDAP_SCOPE_SUBTREE,
    };
    char no_attributes[] = LDAP_NO_ATTRS;
    char *attributes[] = {no_attributes, NULL};
    const struct ldap_options *options = session->options;
    LDAPMessage *found = NULL;
    int result, r;

    /* One more than wanted, to see that there are others. */
    result = ldap_search_ext_s(session->ldap, options->base_dn, scopes[options->scope], filter,
                               attributes, 0, NULL, NULL, &session->timeout, 2, &found);
    if (result == LDAP_SUCCESS || result == LDAP_SIZELIMIT_EXCEEDED)
        r = only_entry(session, found, name);
    else
        r = complain(session, "could not search", result);
    ldap_msgfree(found);
    return r;
}

/* Search+bind: looks for the user's entry as somebody who may. */
static int
find_name(struct session *session, const char *user, struct buf *name)
{
    CLEANUP(buf_done) struct buf filter = BUF_INIT;
    const struct ldap_options *options = session->options;
    int r, result;

    r = append_filter(&filter, options, user);
    if (r < 0)
        return r;
    result = session_bind(session, options->bind_dn != NULL ? options->bind_dn : "",
                          options->bind_password != NULL ? options->bind_password : "");
    if (result != LDAP_SUCCESS)
        return complain(session, "could not bind for the search", result);
    return session_search(session, buf_str(&filter), name);
}

/* The login itself. A code of the server's is an answer, one of the library's is none. */
static int
bind_user(struct session *session, const char *name, const char *password)
{
    const int result = session_bind(session, name, password);

    if (result == LDAP_SUCCESS)
        return 0;
    (void)complain(session, "could not bind", result);
    return LDAP_API_ERROR(result) || result == LDAP_BUSY || result == LDAP_UNAVAILABLE ? -EIO
                                                                                       : -EACCES;
}

int
ldap_check(const struct ldap_options *options, const char *user, const char *password,
           usec_t timeout, char detail[static OUTSIDE_DETAIL_MAX])
{
    CLEANUP(session_close)
    struct session session = {
        .options = options,
        .timeout = {.tv_sec = (time_t)(timeout / SEC), .tv_usec = (suseconds_t)(timeout % SEC)},
        .detail = detail,
    };
    CLEANUP(buf_done) struct buf name = BUF_INIT;
    int r;

    if (*password == '\0')
        return outside_complain(detail, -EACCES, "the password is empty");
    (void)outside_complain(detail, 0, "out of memory"); /* what has no words of its own below */
    r = session_open(&session);
    if (r == 0)
        r = options->base_dn != NULL ? find_name(&session, user, &name)
                                     : append_bind_name(&name, options, user);
    return r == 0 ? bind_user(&session, buf_str(&name), password) : r;
}

/* ---- the method ---- */

struct ldap_login {
    struct outside outside;
    struct ldap_options options;
    usec_t timeout;
};

static int
check(struct outside *outside)
{
    struct ldap_login *login = container_of(outside, struct ldap_login, outside);

    return ldap_check(&login->options, outside->user, outside->password, login->timeout,
                      outside->detail);
}

static void
free_login(struct outside *outside)
{
    struct ldap_login *login = container_of(outside, struct ldap_login, outside);

    ldap_options_done(&login->options);
    free(login);
}

/* They were checked when the file was loaded: what fails here is memory. */
static int
parse_options(const struct auth *auth, struct ldap_options *options)
{
    CLEANUP(buf_done) struct buf why = BUF_INIT;

    if (auth->rule != NULL)
        return ldap_options_from_rule(auth->rule->options, auth->rule->n_options, options, &why);
    return ldap_options_parse(auth->config->auth_ldap_options, options, &why);
}

static enum auth_status
input(struct auth *auth, const void *body, size_t len)
{
    static const struct outside_method method = {
        .failure = {.sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
                    .message = "LDAP authentication failed"},
        .check = check,
        .free = free_login,
    };
    const char *password = auth_read_password(auth, body, len);
    struct ldap_login *login;

    if (password == NULL)
        return AUTH_FAILED;
    login = calloc(1, sizeof(*login));
    if (login == NULL)
        return auth_fail_error(auth, -ENOMEM);
    login->options = (struct ldap_options)LDAP_OPTIONS_INIT;
    login->timeout = STEP_TIMEOUT;
    if (parse_options(auth, &login->options) < 0) {
        free_login(&login->outside);
        return auth_fail_error(auth, -ENOMEM);
    }
    return outside_start(auth, &method, &login->outside, password);
}

const struct auth_method auth_method_ldap = {
    .name = "ldap",
    .begin = auth_ask_password,
    .input = input,
};
