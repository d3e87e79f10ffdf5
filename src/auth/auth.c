#include "auth.h"

#include <unistd.h>

#include "config.h"
#include "sqlstate.h"
#include "str.h"

/*
 * To add a method: its word in the option table of auth_type, and a row here. begin may decide at
 * once, or fill auth->reply and return AUTH_CONTINUE; input is then called with each answer.
 */
struct auth_method {
    const char *name;
    enum auth_status (*begin)(struct auth *auth, const struct config *config,
                              const struct auth_login *login);
    enum auth_status (*input)(struct auth *auth, char type, const void *body, size_t len);
};

static enum auth_status
auth_fail(struct auth *auth, const struct auth_failure *failure)
{
    auth->failure = failure;
    return AUTH_FAILED;
}

/* No check at all, but then the server must not depend on who the client says to be. */
static enum auth_status
any_begin(struct auth *auth, const struct config *config, const struct auth_login *login)
{
    static const struct auth_failure not_forced = {
        .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
        .message = "bouncer config error",
        .detail = "With auth_type = any the database's entry must name the server's user.",
        .hint = "Add user= to the database's line in the configuration file.",
    };

    (void)config;
    if (login->database != NULL && login->database->user == NULL)
        return auth_fail(auth, &not_forced);
    return AUTH_ACCEPTED;
}

/* Believes the name, which must be one that the file knows. */
static enum auth_status
trust_begin(struct auth *auth, const struct config *config, const struct auth_login *login)
{
    static const struct auth_failure unknown = {
        .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
        .message = "\"trust\" authentication failed",
        .hint = "The user must be listed in the file that auth_file names.",
    };

    if (config_find_auth_user(config, login->user) == NULL)
        return auth_fail(auth, &unknown);
    return AUTH_ACCEPTED;
}

/* For methods that ask the client nothing. */
static enum auth_status
unexpected_input(struct auth *auth, char type, const void *body, size_t len)
{
    static const struct auth_failure unexpected = {
        .sqlstate = SQLSTATE_PROTOCOL_VIOLATION,
        .message = "client password pkt before startup packet",
    };

    (void)type;
    (void)body;
    (void)len;
    return auth_fail(auth, &unexpected);
}

static const struct auth_method methods[] = {
    [AUTH_TYPE_ANY] = {"any", any_begin, unexpected_input},
    [AUTH_TYPE_TRUST] = {"trust", trust_begin, unexpected_input},
};

void
auth_init(struct auth *auth)
{
    auth->method = NULL;
    auth->failure = NULL;
    buf_init(&auth->reply);
}

void
auth_done(struct auth *auth)
{
    buf_done(&auth->reply);
}

/* The daemon's own user, through a unix socket: who may kill the process may command it. */
static bool
is_owner(const char *user, bool is_unix, uid_t peer_uid)
{
    return is_unix && peer_uid != (uid_t)-1 && peer_uid == geteuid() &&
           (str_eq(user, "pgbouncer") || str_eq(user, "pgweir"));
}

enum auth_status
auth_begin(struct auth *auth, const struct config *config, const struct auth_login *login)
{
    auth->method = &methods[config->auth_type];
    if (login->for_console && is_owner(login->user, login->is_unix, login->peer_uid))
        return AUTH_ACCEPTED;
    return auth->method->begin(auth, config, login);
}

enum auth_status
auth_input(struct auth *auth, char type, const void *body, size_t len)
{
    buf_clear(&auth->reply);
    return auth->method->input(auth, type, body, len);
}

const char *
auth_method_name(const struct auth *auth)
{
    return auth->method != NULL ? auth->method->name : "none";
}

enum console_access
auth_console_access(const struct config *config, const char *user, bool is_unix, uid_t peer_uid)
{
    if (is_owner(user, is_unix, peer_uid) || str_list_contains(config->admin_users, user))
        return CONSOLE_ACCESS_ADMIN;
    if (str_list_contains(config->stats_users, user))
        return CONSOLE_ACCESS_STATS;
    return CONSOLE_ACCESS_NONE;
}
