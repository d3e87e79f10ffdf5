#include "login.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "auth.h"
#include "build.h"
#include "client.h"
#include "config.h"
#include "engine_int.h"
#include "log.h"
#include "notice.h"
#include "outbox.h"
#include "policy.h"
#include "settings.h"
#include "startup.h"
#include "str.h"
#include "visit.h"
#include "welcome.h"
#include "worker.h"

/* A password message; PostgreSQL's own limit. */
#define AUTH_MESSAGE_MAX 65536

struct login {
    struct buf input; /* bytes not looked at yet; the startup packet while it is in use */
    struct auth auth;
    char *database;            /* owned */
    char *user;                /* owned */
    char *application_name;    /* owned, or NULL */
    struct settings *settings; /* a reference: what the startup packet asks for */
    bool asked_ssl, asked_gss; /* each may be asked for once */
    bool negotiate;
    int minor;
    struct buf negotiation; /* the answer to a version or option we do not know */
};

int
login_new(struct client *client)
{
    struct login *const login = calloc(1, sizeof *login);

    if (login == NULL)
        return -ENOMEM;
    auth_init(&login->auth);
    login->settings = settings_empty();
    client->login = login;
    return 0;
}

void
login_free(struct login *login)
{
    if (login == NULL)
        return;
    auth_done(&login->auth);
    buf_done(&login->input);
    buf_done(&login->negotiation);
    settings_unref(login->settings);
    free(login->database);
    free(login->user);
    free(login->application_name);
    free(login);
}

const char *
login_application_name(const struct login *login)
{
    return login->application_name;
}

int
login_minor(const struct login *login)
{
    return login->minor;
}

const char *
login_database(const struct login *login)
{
    return login->database != NULL ? login->database : "(nodb)";
}

const char *
login_user(const struct login *login)
{
    return login->user != NULL ? login->user : "(nouser)";
}

static void
login_refuse(struct client *client, enum close_reason reason, const char *message)
{
    const struct refusal refusal = {.reason = reason, .message = message};

    client_refuse(client, &refusal);
}

void
login_timed_out(struct client *client)
{
    client_close(client, client->state == CLIENT_WELCOME ? CLOSE_LOGIN_TIMEOUT_SERVER
                                                         : CLOSE_LOGIN_TIMEOUT);
}

/* ---- the startup packet -----------------------------------------------------------------------
 */

/* What follows a client from server to server although not every server version reports it. */
static bool
login_is_tracked(const struct config *config, const char *name)
{
    static const char *const tracked[] = {
        "application_name", "client_encoding",  "DateStyle",   "default_transaction_read_only",
        "IntervalStyle",    "scram_iterations", "search_path", "standard_conforming_strings",
        "TimeZone",
    };

    for (size_t i = 0; i < ARRAY_SIZE(tracked); i++) {
        if (str_ieq(name, tracked[i]))
            return true;
    }
    return str_list_contains(config->track_extra_parameters, name);
}

struct option_walk {
    struct client *client;
    const char *refused; /* points into name */
    char name[128];
    int error;
};

static bool
login_take_option(void *arg, const char *name, const char *value)
{
    struct option_walk *const walk = arg;
    struct client *const client = walk->client;
    const struct config *const config = client->worker->config;

    if (login_is_tracked(config, name)) {
        walk->error = settings_put(&client->login->settings, name, value);
        return walk->error == 0;
    }
    if (str_list_contains(config->ignore_startup_parameters, name))
        return true;
    (void)str_copy(walk->name, sizeof walk->name, name);
    walk->refused = walk->name;
    return false;
}

/* False: the client was closed. */
static bool
login_take_options(struct client *client, const char *options)
{
    struct option_walk walk = {.client = client};
    const enum startup_error error = startup_options(options, login_take_option, &walk);
    char text[256];

    if (error == STARTUP_ERROR_NONE)
        return true;
    if (walk.error < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    }
    (void)snprintf(text, sizeof text, "%s%s%s", startup_error_text(error),
                   walk.refused != NULL ? ": " : "", walk.refused != NULL ? walk.refused : "");
    login_refuse(client, CLOSE_STARTUP_PARAMETER, text);
    return false;
}

static bool
login_is_known_key(const char *name)
{
    return str_eq(name, "user") || str_eq(name, "database") || str_eq(name, "options");
}

static bool
login_take_param(struct client *client, const struct startup_param *param)
{
    const struct config *const config = client->worker->config;
    char text[256];

    if (login_is_known_key(param->name) || startup_param_is_protocol(param->name))
        return true;
    if (str_eq(param->name, "replication")) {
        if (str_ieq(param->value, "false") || str_ieq(param->value, "off") ||
            str_eq(param->value, "0") || str_ieq(param->value, "no"))
            return true;
    } else if (login_is_tracked(config, param->name)) {
        if (settings_put(&client->login->settings, param->name, param->value) == 0)
            return true;
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    } else if (str_list_contains(config->ignore_startup_parameters, param->name)) {
        return true;
    }
    (void)snprintf(text, sizeof text, "unsupported startup parameter: %.100s", param->name);
    login_refuse(client, CLOSE_STARTUP_PARAMETER, text);
    return false;
}

/* "app - 10.0.0.7:50112", as application_name_add_host asks for. */
static int
login_add_host(struct client *client)
{
    const char *const name = settings_get(client->login->settings, "application_name");
    char text[128], address[ADDRESS_TEXT_MAX];

    if (!client->worker->config->application_name_add_host)
        return 0;
    (void)snprintf(text, sizeof text, "%.60s - %s", name != NULL ? name : "app",
                   address_text(&client->address, address));
    return settings_put(&client->login->settings, "application_name", text);
}

static int
login_keep_names(struct login *login, const struct startup *startup)
{
    int r;

    r = str_set(&login->user, startup->user);
    if (r == 0)
        r = str_set(&login->database, startup->database);
    if (r == 0)
        r = str_set(&login->application_name, startup->application_name);
    if (r == 0 && startup->negotiate)
        r = msg_negotiate(&login->negotiation, startup);
    login->minor = startup->minor;
    return r;
}

static bool
login_take_params(struct client *client, const struct startup *startup)
{
    const char *pos = startup->params;
    struct startup_param param;
    const struct config *const config = client->worker->config;

    while (startup_next_param(&pos, &param)) {
        if (!login_take_param(client, &param))
            return false;
    }
    if (startup->options != NULL &&
        !str_list_contains(config->ignore_startup_parameters, "options"))
        return login_take_options(client, startup->options);
    return true;
}

static bool
login_is_for_console(const struct login *login)
{
    return str_eq(login->database, "pgbouncer") || str_eq(login->database, "pgweir");
}

static void login_judge(struct client *client, enum auth_status status);

static void
login_begin_auth(struct client *client)
{
    struct login *const login = client->login;
    const struct config *const config = client->worker->config;
    const bool for_console = login_is_for_console(login);
    const struct auth_login who = {
        .user = login->user,
        .database = for_console ? NULL : registry_entry(config, login->database),
        .for_console = for_console,
        .is_unix = client->address.family == AF_UNIX,
        .peer_uid = client->address.uid,
    };

    client_set_state(client, CLIENT_AUTH);
    if (config->log_connections)
        client_log(client, LOG_LEVEL_INFO, "login attempt: db=%s user=%s tls=no replication=no",
                   login->database, login->user);
    login_judge(client, auth_begin(&login->auth, config, &who));
}

static void
login_take_startup(struct client *client, const struct startup *startup)
{
    struct login *const login = client->login;
    const size_t len = startup->len;

    if (login_keep_names(login, startup) < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return;
    }
    if (!login_is_for_console(login) && !login_take_params(client, startup))
        return;
    buf_consume(&login->input, len);
    if (login_add_host(client) < 0)
        client_close(client, CLOSE_NO_MEMORY);
    else
        login_begin_auth(client);
}

/* Neither TLS nor GSSAPI: N, and the client goes on in the clear, if it likes. False: closed. */
static bool
login_decline(struct client *client, const struct startup *startup, bool *asked)
{
    struct login *const login = client->login;

    if (*asked || login->input.len > startup->len) {
        /* Bytes behind the request were written by who did not wait for the answer. */
        client_close(client, *asked ? CLOSE_PROTOCOL : CLOSE_UNENCRYPTED_DATA);
        return false;
    }
    *asked = true;
    buf_clear(&login->input);
    stream_send_copy(&client->stream, "N", 1);
    return true;
}

static uint64_t
login_cancel_key(const struct startup *startup)
{
    uint32_t secret;

    if (startup->key_len != sizeof secret)
        return 0;
    memcpy(&secret, startup->key, sizeof secret);
    return (uint64_t)startup->pid << 32 | ntohl(secret);
}

static void
login_cancel(struct client *client, const struct startup *startup)
{
    cancel_route(client->worker, login_cancel_key(startup));
    client_close(client, CLOSE_CANCEL_DONE);
}

static void
login_bad_startup(struct client *client, enum startup_error error)
{
    const struct refusal refusal = {.reason = CLOSE_PROTOCOL,
                                    .sqlstate = startup_error_sqlstate(error),
                                    .message = startup_error_text(error)};

    client_refuse(client, &refusal);
}

static void
login_startup(struct client *client)
{
    struct login *const login = client->login;

    while (client->state == CLIENT_STARTUP) {
        struct startup startup;

        switch (startup_parse(login->input.data, login->input.len, &startup)) {
        case STARTUP_INCOMPLETE:
            return;
        case STARTUP_LOGIN:
            login_take_startup(client, &startup);
            return;
        case STARTUP_CANCEL:
            login_cancel(client, &startup);
            return;
        case STARTUP_SSL:
            if (!login_decline(client, &startup, &login->asked_ssl))
                return;
            break;
        case STARTUP_GSSENC:
            if (!login_decline(client, &startup, &login->asked_gss))
                return;
            break;
        case STARTUP_DIRECT_TLS:
            login_refuse(client, CLOSE_PROTOCOL, "TLS is not offered on this address");
            return;
        default:
            login_bad_startup(client, startup.error);
            return;
        }
    }
}

/* ---- authentication ---------------------------------------------------------------------------
 */

/* Among the clients of all, of the database, of the user; or refused for the one that is full. */
static enum close_reason
login_count(struct client *client, struct pool *pool, const struct policy *policy)
{
    struct engine *const engine = client->worker->engine;

    if (!permits_try(&engine->clients, atomic_load(&engine->max_client_conn)))
        return CLOSE_MAX_CLIENT_CONN;
    if (!permits_try(&pool->database->clients, policy->max_db_client_connections)) {
        permits_give(&engine->clients);
        return CLOSE_MAX_DB_CLIENTS;
    }
    if (!permits_try(&client->user->clients, policy->max_user_client_connections)) {
        permits_give(&pool->database->clients);
        permits_give(&engine->clients);
        return CLOSE_MAX_USER_CLIENTS;
    }
    return CLOSE_REASON_COUNT;
}

/* Off to the worker of the pool; what the client has sent meanwhile comes along. */
static void
login_depart(struct client *client, struct pool *pool)
{
    client->pending = client->login->input;
    buf_init(&client->login->input);
    permits_give(&client->worker->engine->logins);
    client_move(client, registry_pick_shard(pool));
}

static void
login_find_pool(struct client *client)
{
    struct login *const login = client->login;
    struct engine *const engine = client->worker->engine;
    struct policy *policy;
    struct pool *pool;
    enum close_reason reason;
    char text[200];
    int r;

    r = registry_find_pool(engine_registry(engine), client->worker->config, login->database,
                           login->user, &pool, &client->user);
    if (r == -ENOENT) {
        (void)snprintf(text, sizeof text, "no such database: %s", login->database);
        login_refuse(client, CLOSE_NO_DATABASE, text);
        return;
    }
    if (r < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return;
    }
    (void)pthread_mutex_lock(&pool->mutex);
    policy = policy_ref(pool->policy);
    (void)pthread_mutex_unlock(&pool->mutex);
    reason = login_count(client, pool, policy);
    policy_unref(policy);
    if (reason != CLOSE_REASON_COUNT) {
        client->user = NULL;
        client_close(client, reason);
        return;
    }
    login_depart(client, pool);
}

static void
login_to_console(struct client *client)
{
    struct login *const login = client->login;

    if (auth_console_access(client->worker->config, login->user, client->address.family == AF_UNIX,
                            client->address.uid) == CONSOLE_ACCESS_NONE) {
        client_close(client, CLOSE_NOT_ALLOWED);
        return;
    }
    visit_begin(client);
}

static void
login_accepted(struct client *client)
{
    struct engine *const engine = client->worker->engine;

    if (login_is_for_console(client->login))
        login_to_console(client);
    else if (atomic_load(&engine->shutdown) != ENGINE_RUNNING)
        client_close(client, CLOSE_SHUTDOWN);
    else
        login_find_pool(client);
}

static void
login_judge(struct client *client, enum auth_status status)
{
    struct auth *const auth = &client->login->auth;

    switch (status) {
    case AUTH_ACCEPTED:
        login_accepted(client);
        return;
    case AUTH_CONTINUE:
        client_send(client, &auth->reply);
        buf_clear(&auth->reply);
        return;
    default: {
        const struct auth_failure *const why = auth->failure;
        const struct refusal refusal = {.reason = CLOSE_AUTH_FAILED,
                                        .sqlstate = why->sqlstate,
                                        .message = why->message,
                                        .detail = why->detail,
                                        .hint = why->hint};

        client_refuse(client, &refusal);
    }
    }
}

/* Whole messages of a client that is being asked for its password or the like. */
static void
login_auth_messages(struct client *client)
{
    struct buf *const input = &client->login->input;

    while (client->state == CLIENT_AUTH && input->len >= PG_HEADER_SIZE) {
        const uint32_t size = pg_get_uint32(input->data + 1);
        enum auth_status status;

        if (size < 4 || size > AUTH_MESSAGE_MAX) {
            client_close(client, CLOSE_BAD_PACKET);
            return;
        }
        if (input->len < (size_t)size + 1)
            return;
        status = auth_input(&client->login->auth, input->data[0], input->data + PG_HEADER_SIZE,
                            size - 4);
        buf_consume(input, (size_t)size + 1);
        login_judge(client, status);
        if (status != AUTH_CONTINUE) /* the client may be on another worker by now */
            return;
    }
}

void
login_input(struct client *client, const char *data, size_t len)
{
    struct login *const login = client->login;

    if (login->input.len + len > STARTUP_PACKET_MAX + AUTH_MESSAGE_MAX ||
        buf_append(&login->input, data, len) < 0) {
        client_close(client, CLOSE_BAD_PACKET);
        return;
    }
    if (client->state == CLIENT_STARTUP)
        login_startup(client);
    else
        login_auth_messages(client);
}

/* ---- the answer -------------------------------------------------------------------------------
 */

/* Takes over the settings that the client may count on. */
static int
login_take_settings(struct client *client)
{
    struct shard *const shard = client->shard;
    struct pool *const pool = shard->pool;
    struct settings *base;
    int r;

    (void)pthread_mutex_lock(&pool->mutex);
    base = settings_ref(pool->welcome);
    (void)pthread_mutex_unlock(&pool->mutex);
    r = welcome_prepare(&shard->welcome, base, client->login->settings);
    settings_unref(base);
    if (r < 0)
        return r;
    settings_unref(client->settings);
    client->settings = settings_ref(shard->welcome.settings);
    return 0;
}

int
login_answer(struct client *client)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    const struct login *const login = client->login;
    const struct buf *const parameters = &client->shard->welcome.parameters;
    uint32_t secret;
    int r;

    r = login_take_settings(client);
    if (r == 0)
        r = cancel_draw_key(client);
    if (r == 0)
        r = cancel_enter(client);
    secret = htonl((uint32_t)client->cancel_key);
    if (r == 0 && login->negotiation.len > 0)
        r = buf_append(&message, login->negotiation.data, login->negotiation.len);
    if (r == 0)
        r = msg_auth_ok(&message);
    if (r == 0)
        r = buf_append(&message, parameters->data, parameters->len);
    if (r == 0)
        r = msg_backend_key(&message, (uint32_t)(client->cancel_key >> 32), &secret, sizeof secret);
    if (r == 0 && *client->worker->config->login_notify_message != '\0')
        r = msg_notice(&message, "NOTICE", SQLSTATE_SUCCESSFUL_COMPLETION,
                       client->worker->config->login_notify_message, NULL, NULL);
    if (r == 0)
        r = msg_ready(&message, READY_IDLE);
    if (r == 0)
        client_send(client, &message);
    return r;
}
