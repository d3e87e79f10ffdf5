/*
 * auth.c - the stages of a login: the rule, the secret, the method.
 *
 *     auth_begin --> find_rule --> use_method --> find_secret --> method->begin
 *                        |  \                        |                 \
 *                        |   +--> the client's name -+--> auth_query    +--> method->input ...
 *
 * What must be waited for is a struct auth_work, and goes on at its finish function.
 */
#include "auth.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build.h"
#include "config.h"
#include "credential.h"
#include "hba.h"
#include "hba_find.h"
#include "service.h"
#include "str.h"
#include "wipe.h"

/* To add a method: its word in the option table of auth_type, and a row here. */
static const struct auth_method *const methods[] = {
    [AUTH_TYPE_ANY] = &auth_method_any,
    [AUTH_TYPE_TRUST] = &auth_method_trust,
    [AUTH_TYPE_PLAIN] = &auth_method_plain,
    [AUTH_TYPE_MD5] = &auth_method_md5,
    [AUTH_TYPE_SCRAM_SHA_256] = &auth_method_scram,
    [AUTH_TYPE_CERT] = &auth_method_cert,
    [AUTH_TYPE_PEER] = &auth_method_peer,
#ifdef HAVE_PAM
    [AUTH_TYPE_PAM] = &auth_method_pam,
#endif
#ifdef HAVE_LDAP
    [AUTH_TYPE_LDAP] = &auth_method_ldap,
#endif
    [AUTH_TYPE_REJECT] = &auth_method_reject,
};

/* ---- life ---- */

void
auth_init(struct auth *auth, struct auth_service *service, struct loop *loop,
          void (*decided)(struct auth *auth, enum auth_status status))
{
    *auth = (struct auth){.service = service, .loop = loop, .decided = decided};
}

void
auth_done(struct auth *auth)
{
    if (auth->work != NULL)
        auth_work_abandon(TAKE(auth->work));
    if (auth->state != NULL)
        auth->method->done(auth);
    secret_free(TAKE(auth->secret));
    credential_unref(TAKE(auth->credential));
    config_unref(TAKE(auth->config));
    buf_done(&auth->reply);
}

const char *
auth_method_name(const struct auth *auth)
{
    return auth->method != NULL ? auth->method->name : "none";
}

/* ---- third: the method ---- */

static const struct auth_failure unexpected = {
    .sqlstate = SQLSTATE_PROTOCOL_VIOLATION,
    .message = "client password pkt before startup packet",
};

enum auth_status
auth_input(struct auth *auth, char type, const void *body, size_t len)
{
    static const struct auth_failure other_type = {
        .sqlstate = SQLSTATE_PROTOCOL_VIOLATION,
        .message = "expected password response",
    };
    static const struct auth_failure too_long = {
        .sqlstate = SQLSTATE_PROTOCOL_VIOLATION,
        .message = "password too long",
    };

    buf_clear(&auth->reply);
    if (auth->method == NULL || auth->method->input == NULL || auth->work != NULL)
        return auth_fail(auth, &unexpected);
    if (type != FRONTEND_PASSWORD)
        return auth_fail(auth, &other_type);
    if (len > PG_PASSWORD_MAX - PG_HEADER_SIZE)
        return auth_fail(auth, &too_long);
    return auth->method->input(auth, body, len);
}

/* ---- second: the secret ---- */

static bool
has_auth_query(const struct auth *auth)
{
    const struct auth_login *const login = &auth->login;

    if (*config_auth_user(auth->config, login->database) == '\0')
        return false;
    return !login->for_console || *config_auth_dbname(auth->config, login->database) != '\0';
}

/*
 * What most users here have, as far as we know: a made-up secret must not stand out. Without
 * auth_query the file tells; where it is not all SCRAM, the first that is not decides.
 */
static enum secret_kind
usual_kind(const struct auth *auth)
{
    const struct config_auth_user *const user = auth->config->auth_user_not_scram;

    if (has_auth_query(auth))
        return atomic_load_explicit(&auth->service->queried_kind, memory_order_relaxed);
    return user != NULL ? secret_kind_of(user->secret) : SECRET_SCRAM;
}

/* text is "" for who has no secret; one is made up if he will be asked for something. */
static enum auth_status
use_secret(struct auth *auth, bool is_known, const char *text)
{
    int r;

    if (*text != '\0' || auth->method->input == NULL)
        r = secret_new(text, &auth->secret);
    else
        r = secret_new_mock(usual_kind(auth), auth->service->mock_key, auth->login.user,
                            auth->config->scram_iterations, &auth->secret);
    if (r < 0)
        return auth_fail_error(auth, r);
    auth->secret->is_known = is_known;
    if (auth->secret->is_mock)
        auth_explain(auth, is_known ? "the user has no password" : "no such user");
    return auth->method->begin(auth);
}

struct question {
    struct auth_work work;
    struct auth_lookup lookup;
};

static struct question *
question_of(struct auth_work *work)
{
    return container_of(work, struct question, work);
}

static enum auth_status
question_finish(struct auth_work *work, struct auth *auth)
{
    const struct auth_lookup *const lookup = &question_of(work)->lookup;

    switch (lookup->answer) {
    case AUTH_LOOKUP_FOUND:
        if (*lookup->secret != '\0')
            atomic_store_explicit(&auth->service->queried_kind, secret_kind_of(lookup->secret),
                                  memory_order_relaxed);
        return use_secret(auth, true, lookup->secret);
    case AUTH_LOOKUP_UNKNOWN:
        return use_secret(auth, false, "");
    default:
        return auth_fail(auth, &auth_config_error);
    }
}

static void
question_free(struct auth_work *work)
{
    struct question *const question = question_of(work);

    config_unref(question->lookup.config);
    free(question->lookup.database);
    free(question->lookup.user);
    wipe_free(question->lookup.secret);
    free(question);
}

static void
question_answered(struct message *message)
{
    struct auth_lookup *const lookup = container_of(message, struct auth_lookup, message);

    auth_work_arrive(&container_of(lookup, struct question, lookup)->work);
}

static enum auth_status
ask_server(struct auth *auth)
{
    struct question *const question = calloc(1, sizeof(*question));
    const struct auth_service_options *const options = &auth->service->options;

    if (question == NULL)
        return auth_fail_error(auth, -ENOMEM);
    question->work.finish = question_finish;
    question->work.free = question_free;
    question->lookup.message.fn = question_answered;
    question->lookup.loop = auth->loop;
    question->lookup.config = config_ref(auth->config);
    question->lookup.database = strdup(auth->login.database_name);
    question->lookup.user = strdup(auth->login.user);
    if (question->lookup.database == NULL || question->lookup.user == NULL) {
        question_free(&question->work);
        return auth_fail_error(auth, -ENOMEM);
    }
    auth_work_expect(auth, &question->work);
    options->lookup(options->arg, &question->lookup);
    return AUTH_WAIT;
}

static enum auth_status
find_secret(struct auth *auth)
{
    const struct config_auth_user *const user =
        config_find_auth_user(auth->config, auth->login.user);

    if (user != NULL)
        return use_secret(auth, true, user->secret);
    if (auth->service->options.lookup != NULL && has_auth_query(auth))
        return ask_server(auth);
    return use_secret(auth, false, "");
}

/* ---- first: the rule ---- */

static enum auth_status
use_method(struct auth *auth, enum auth_type type)
{
    auth->method = methods[type];
    if (auth->method == NULL) /* not built in, which the configuration's check has told */
        return auth_fail(auth, &auth_config_error);
    return auth->method->wants_secret ? find_secret(auth) : auth->method->begin(auth);
}

/* clientcert: whatever the method asks, a certificate is wanted too, maybe one in this name. */
static bool
has_certificate(const struct auth *auth)
{
    const char *const wanted = hba_rule_option(auth->rule, "clientcert");
    const char *const name = auth->login.tls_name;

    if (wanted == NULL)
        return true;
    return name != NULL && (str_eq(wanted, "verify-ca") || auth_name_fits(auth, name));
}

static enum auth_status find_rule(struct auth *auth, const char *client_name);

struct name_search {
    struct auth_work work;
    struct sockaddr_storage address;
    char name[NI_MAXHOST];
};

static void
name_search_run(struct auth_work *work)
{
    struct name_search *const search = container_of(work, struct name_search, work);

    hba_find_name((const struct sockaddr *)&search->address, search->name);
}

static enum auth_status
name_search_finish(struct auth_work *work, struct auth *auth)
{
    return find_rule(auth, container_of(work, struct name_search, work)->name);
}

static void
name_search_free(struct auth_work *work)
{
    free(container_of(work, struct name_search, work));
}

static enum auth_status
search_name(struct auth *auth)
{
    struct name_search *const search = calloc(1, sizeof(*search));
    const struct sockaddr *const address = auth->login.address;

    if (search == NULL)
        return auth_fail_error(auth, -ENOMEM);
    memcpy(&search->address, address,
           address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in));
    search->work.run = name_search_run;
    search->work.finish = name_search_finish;
    search->work.free = name_search_free;
    return auth_work_start(auth, &search->work, AUTH_WORK_BLOCKING);
}

static enum auth_status
use_rule(struct auth *auth)
{
    static const struct auth_failure no_certificate = {
        .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
        .message = "connection requires a valid client certificate",
    };

    if (!has_certificate(auth))
        return auth_fail(auth, &no_certificate);
    return use_method(auth, auth->rule->method);
}

/* client_name is NULL as long as no rule has asked for it. */
static enum auth_status
find_rule(struct auth *auth, const char *client_name)
{
    static const struct auth_failure no_rule = {
        .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
        .message = "no authentication method is found",
    };

    switch (hba_find(auth->config->hba, &auth->login, client_name, &auth->rule)) {
    case HBA_FOUND:
        return use_rule(auth);
    case HBA_NEEDS_NAME:
        assert(client_name == NULL);
        return search_name(auth);
    default:
        auth_explain(auth, "no line of auth_hba_file fits");
        return auth_fail(auth, &no_rule);
    }
}

/* ---- the beginning ---- */

/* The daemon's own user, through a unix socket: who may kill the process may command it. */
bool
auth_is_owner(const char *user, bool is_unix, uid_t peer_uid)
{
    return is_unix && peer_uid != (uid_t)-1 && peer_uid == geteuid() &&
           (str_eq(user, "pgbouncer") || str_eq(user, "pgweir"));
}

enum auth_status
auth_begin(struct auth *auth, struct config *config, const struct auth_login *login)
{
    assert(auth->config == NULL);
    auth->config = config_ref(config);
    auth->login = *login;
    if (login->for_console &&
        auth_is_owner(login->user, auth_login_is_unix(login), login->peer_uid)) {
        auth->method = &auth_method_peer;
        return AUTH_ACCEPTED;
    }
    if (config->auth_type == AUTH_TYPE_HBA)
        return find_rule(auth, NULL);
    return use_method(auth, (enum auth_type)config->auth_type);
}

enum console_access
auth_console_access(const struct config *config, const char *user, bool is_unix, uid_t peer_uid)
{
    if (auth_is_owner(user, is_unix, peer_uid) || str_list_contains(config->admin_users, user))
        return CONSOLE_ACCESS_ADMIN;
    if (str_list_contains(config->stats_users, user))
        return CONSOLE_ACCESS_STATS;
    return CONSOLE_ACCESS_NONE;
}
