/*
 * by_name.c - the methods that ask the client nothing: what is known of it already decides.
 */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth_int.h"
#include "config.h"
#include "hba.h"
#include "secret.h"
#include "sqlstate.h"
#include "str.h"

/* ---- any: no check at all; but then the server must not depend on who the client says to be ----
 */

static enum auth_status
any_begin(struct auth *auth)
{
    static const struct auth_failure not_forced = {
        .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
        .message = "bouncer config error",
        .detail = "With auth_type = any the database's entry must name the server's user.",
        .hint = "Add user= to the database's line in the configuration file.",
    };
    const struct config_database *const database = auth->login.database;

    if (database != NULL && database->user == NULL)
        return auth_fail(auth, &not_forced);
    return auth_accept(auth, NULL);
}

const struct auth_method auth_method_any = {
    .name = "any",
    .begin = any_begin,
};

/* ---- trust: believes the name, which must be one that we know ---- */

static enum auth_status
trust_begin(struct auth *auth)
{
    static const struct auth_failure unknown = {
        .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
        .message = "\"trust\" authentication failed",
        .hint = "The user must be listed in the file that auth_file names, or be found by "
                "auth_query.",
    };

    if (!auth->secret->is_known)
        return auth_fail(auth, &unknown);
    return auth_accept_secret(auth);
}

const struct auth_method auth_method_trust = {
    .name = "trust",
    .wants_secret = true,
    .begin = trust_begin,
};

/* ---- cert: the name in a certificate that was verified ---- */

bool
auth_name_fits(const struct auth *auth, const char *system_name)
{
    const char *const map = auth->rule != NULL ? hba_rule_option(auth->rule, "map") : NULL;

    return ident_map_allows(auth->config->ident, map, system_name, auth->login.user);
}

static enum auth_status
cert_begin(struct auth *auth)
{
    static const struct auth_failure failed = {
        .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
        .message = "certificate authentication failed",
    };
    const char *const name = auth->login.tls_name;

    if (name == NULL)
        auth_explain(auth, "there is no verified certificate");
    else if (!auth_name_fits(auth, name))
        auth_explain(auth, "the certificate is of \"%s\"", name);
    else if (auth->secret->is_known)
        return auth_accept_secret(auth);
    return auth_fail(auth, &failed);
}

const struct auth_method auth_method_cert = {
    .name = "cert",
    .wants_secret = true,
    .begin = cert_begin,
};

/* ---- peer: the system's user at the other end of a unix socket ---- */

#define SYSTEM_NAME_MAX 256

/* The name may come from the network (sssd, LDAP), so it is asked for on a thread that may wait. */
struct peer {
    struct auth_work work;
    uid_t uid;
    char name[SYSTEM_NAME_MAX]; /* "" for a user whom the system does not know */
};

static struct peer *
peer_of(struct auth_work *work)
{
    return container_of(work, struct peer, work);
}

static void
peer_run(struct auth_work *work)
{
    struct peer *const peer = peer_of(work);
    struct passwd entry, *found;
    char text[16384];

    if (getpwuid_r(peer->uid, &entry, text, sizeof(text), &found) != 0 || found == NULL)
        return;
    if (str_copy(peer->name, sizeof(peer->name), found->pw_name) >= sizeof(peer->name))
        peer->name[0] = '\0'; /* cut, it would be somebody else's */
}

static const struct auth_failure peer_failed = {
    .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
    .message = "unix socket login rejected",
};

static enum auth_status
peer_finish(struct auth_work *work, struct auth *auth)
{
    const struct peer *const peer = peer_of(work);

    if (peer->name[0] == '\0')
        auth_explain(auth, "the system has no user %u", (unsigned)peer->uid);
    else if (!auth_name_fits(auth, peer->name))
        auth_explain(auth, "the system's user is \"%s\"", peer->name);
    else if (auth->secret->is_known)
        return auth_accept_secret(auth);
    return auth_fail(auth, &peer_failed);
}

static void
peer_free(struct auth_work *work)
{
    free(peer_of(work));
}

static enum auth_status
peer_begin(struct auth *auth)
{
    struct peer *peer;

    if (!auth_login_is_unix(&auth->login) || auth->login.peer_uid == (uid_t)-1) {
        auth_explain(auth, "the other end of the socket is not known");
        return auth_fail(auth, &peer_failed);
    }
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return auth_fail_error(auth, -ENOMEM);
    peer->uid = auth->login.peer_uid;
    peer->work.run = peer_run;
    peer->work.finish = peer_finish;
    peer->work.free = peer_free;
    return auth_work_start(auth, &peer->work, AUTH_WORK_BLOCKING);
}

const struct auth_method auth_method_peer = {
    .name = "peer",
    .wants_secret = true,
    .begin = peer_begin,
};

/* ---- reject ---- */

static enum auth_status
reject_begin(struct auth *auth)
{
    static const struct auth_failure rejected = {
        .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
        .message = "login rejected",
    };

    auth_explain(auth, "by line %u of %s", auth->rule->line, auth->rule->file);
    return auth_fail(auth, &rejected);
}

const struct auth_method auth_method_reject = {
    .name = "reject",
    .begin = reject_begin,
};
