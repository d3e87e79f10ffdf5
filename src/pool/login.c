#include "login.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "build.h"
#include "client.h"
#include "config.h"
#include "engine_int.h"
#include "goodbye.h"
#include "log.h"
#include "login_int.h"
#include "notice.h"
#include "outbox.h"
#include "policy.h"
#include "replication.h"
#include "server.h"
#include "settings.h"
#include "startup.h"
#include "str.h"
#include "visit.h"
#include "welcome.h"
#include "wipe.h"
#include "worker.h"

/* A password message; PostgreSQL's own limit. */
#define AUTH_MESSAGE_MAX 65536

static void login_decided(struct auth *auth, enum auth_status status);

int
login_new(struct client *client, enum tls_mode mode)
{
    struct worker *const worker = client->worker;
    struct login *const login = calloc(1, sizeof *login);

    if (login == NULL)
        return -ENOMEM;
    login->client = client;
    login->tls.mode = mode;
    auth_init(&login->auth, worker->engine->auth, worker->loop, login_decided);
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
    login_tls_done(&login->tls);
    if (login->input.data != NULL) /* may hold what was typed */
        explicit_bzero(login->input.data, login->input.len);
    buf_done(&login->input);
    settings_unref(login->settings);
    free(login->database);
    free(login->user);
    free(login->application_name);
    free(login);
}

void
login_leave(struct login *login)
{
    list_remove(&login->welcome_link);
    if (login->cancel != NULL)
        cancel_forget(TAKE(login->cancel));
}

const char *
login_application_name(const struct login *login)
{
    return login->application_name;
}

const struct settings *
login_settings(const struct login *login)
{
    return login->settings;
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

void
login_refuse(struct client *client, enum close_reason reason, const char *message)
{
    const struct refusal refusal = {.reason = reason, .message = message};

    client_refuse(client, &refusal);
}

bool
login_has_names(const struct login *login)
{
    return login->database != NULL && login->user != NULL;
}

void
login_timed_out(struct client *client)
{
    const bool wants_server = client->state == CLIENT_WELCOME;
    const struct refusal refusal = {
        .reason = wants_server ? CLOSE_LOGIN_TIMEOUT_SERVER : CLOSE_LOGIN_TIMEOUT,
    };
    char what[128] = "the login has lasted";

    if (wants_server && client->replication != NULL)
        (void)snprintf(what, sizeof what, "waited for a connection of its own (%s)",
                       wait_cause_text(client->shard->replication_cause));
    goodbye_time_is_up(client, &refusal, what,
                       loop_now(client->worker->loop) - client->connect_time,
                       "client_login_timeout", client->worker->config->client_login_timeout);
}

bool
login_is_for_console(const struct login *login)
{
    return registry_is_console(login->database);
}

/* ---- the startup packet -----------------------------------------------------------------------
 */

static void login_judge(struct client *client, enum auth_status status);

/* All that the rules ask about; valid as long as the login. */
static void
login_describe(struct client *client, struct auth_login *ret_who)
{
    struct login *const login = client->login;
    const bool for_console = login_is_for_console(login);

    *ret_who = (struct auth_login){
        .user = login->user,
        .database_name = login->database,
        .database = for_console ? NULL : registry_entry(client->worker->config, login->database),
        .address = address_to_socket(&client->address, &login->address),
        .peer_uid = address_uid(&client->address),
        .for_console = for_console,
        .replication = replication_kind_of(client->replication) == REPLICATION_PHYSICAL,
    };
    login_tls_describe(client, ret_who);
}

static void
login_log_attempt(const struct client *client)
{
    const struct login *const login = client->login;
    char tls[CLIENT_TLS_TEXT_MAX];

    client_describe_tls(client, tls);
    client_log(client, LOG_LEVEL_INFO, "login attempt: db=%s user=%s tls=%s replication=%s",
               login->database, login->user, *tls != '\0' ? tls : "no",
               replication_log_word(replication_kind_of(client->replication)));
}

static void
login_begin_auth(struct client *client)
{
    struct login *const login = client->login;
    struct config *const config = client->worker->config;
    struct auth_login who;

    login_describe(client, &who);
    client_set_state(client, CLIENT_AUTH);
    if (config->log_connections)
        login_log_attempt(client);
    login_judge(client, auth_begin(&login->auth, config, &who));
}

/* What it asks for beyond what we have it learns first, as from PostgreSQL. False: closed. */
static bool
login_negotiate(struct client *client, const struct startup *startup)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;

    if (!startup->negotiate)
        return true;
    if (msg_negotiate(&message, startup) < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    }
    client_send(client, &message);
    return true;
}

static void
login_take_startup(struct client *client, const struct startup *startup)
{
    const size_t len = startup->len;

    if (!login_negotiate(client, startup) || !login_tls_allows(client) ||
        !login_take_params(client, startup))
        return;
    buf_consume(&client->login->input, len);
    login_begin_auth(client);
}

/* No GSSAPI: N, and the client goes on as it likes. False: closed. */
static bool
login_decline_gss(struct client *client, const struct startup *startup)
{
    struct login *const login = client->login;

    if (login->asked_gss) {
        client_close(client, CLOSE_PROTOCOL);
        return false;
    }
    if (login->input.len > startup->len) {
        /* Written by who did not wait for the answer: perhaps not by the client. */
        login_refuse(client, CLOSE_UNENCRYPTED_DATA,
                     "received unencrypted data after GSSAPI encryption request");
        return false;
    }
    login->asked_gss = true;
    buf_clear(&login->input);
    stream_send_copy(&client->stream, "N", 1);
    return true;
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
            cancel_begin(client, startup.key, startup.key_len);
            return;
        case STARTUP_SSL:
            if (!login_tls_request(client, &startup))
                return;
            break;
        case STARTUP_GSSENC:
            if (!login_decline_gss(client, &startup))
                return;
            break;
        case STARTUP_DIRECT_TLS:
            login_tls_direct(client);
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

/* Some limit of clients is reached: how many there are, and what the limit is. */
static void
login_refuse_full(struct client *client, const struct pool *pool, const struct policy *policy,
                  enum close_reason reason)
{
    struct engine *const engine = client->worker->engine;
    const unsigned max_client_conn = atomic_load(&engine->max_client_conn);
    const struct {
        enum close_reason reason;
        const char *key;
        unsigned used, limit;
    } limits[] = {
        {CLOSE_MAX_CLIENT_CONN, "max_client_conn", permits_used(&engine->clients), max_client_conn},
        {CLOSE_MAX_DB_CLIENTS, "max_db_client_connections", permits_used(&pool->database->clients),
         policy->max_db_client_connections},
        {CLOSE_MAX_USER_CLIENTS, "max_user_client_connections",
         permits_used(&client->user->clients), policy->max_user_client_connections},
    };
    struct refusal refusal = {.reason = reason};
    char detail[400];

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        if (limits[i].reason != reason)
            continue;
        (void)snprintf(detail, sizeof detail,
                       "Database \"%s\", user \"%s\": %u clients are connected, %s is %u.",
                       client->login->database, client->login->user, limits[i].used, limits[i].key,
                       limits[i].limit);
        refusal.detail = detail;
    }
    client_refuse(client, &refusal);
}

/* Off to the worker of the pool; what the client has sent meanwhile comes along. */
static void
login_depart(struct client *client, struct pool *pool)
{
    struct engine *const engine = client->worker->engine;

    if (client->login->input.len > 0) {
        client->pending = client->login->input;
        buf_init(&client->login->input);
    }
    permits_give(&engine->logins);
    registry_learn_credential(engine_registry(engine), pool, client->login->auth.credential);
    client_move(client, registry_pick_shard(pool));
}

/* Counts the client in, or tells it why not. */
static bool
login_enters(struct client *client, struct pool *pool)
{
    struct policy *policy;
    enum close_reason reason;
    char text[200];

    if (atomic_load(&pool->database->disabled)) {
        (void)snprintf(text, sizeof text, "database \"%s\" is disabled", client->login->database);
        login_refuse(client, CLOSE_DATABASE_DISABLED, text);
        return false;
    }
    (void)pthread_mutex_lock(&pool->mutex);
    policy = policy_ref(pool->policy);
    (void)pthread_mutex_unlock(&pool->mutex);
    reason = login_count(client, pool, policy);
    if (reason != CLOSE_REASON_COUNT)
        login_refuse_full(client, pool, policy, reason);
    policy_unref(policy);
    return reason == CLOSE_REASON_COUNT;
}

static void
login_find_pool(struct client *client)
{
    struct login *const login = client->login;
    struct engine *const engine = client->worker->engine;
    struct pool *pool;
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
    if (login_enters(client, pool)) {
        login_depart(client, pool);
        return;
    }
    client->user = NULL; /* the log has named it */
    registry_release_pool(pool);
}

static void
login_to_console(struct client *client)
{
    struct login *const login = client->login;

    if (auth_console_access(client->worker->config, login->user, client->address.family == AF_UNIX,
                            address_uid(&client->address)) == CONSOLE_ACCESS_NONE) {
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
login_rejected(struct client *client)
{
    const struct auth *const auth = &client->login->auth;
    const struct auth_failure *const why = auth->failure;
    const struct refusal refusal = {.reason = CLOSE_AUTH_FAILED,
                                    .sqlstate = why->sqlstate,
                                    .message = why->message,
                                    .detail = why->detail,
                                    .hint = why->hint,
                                    .log_detail = auth->log_detail};

    client_refuse(client, &refusal);
}

/* SCRAM has a last word for who is accepted, too. */
static void
login_send_reply(struct client *client)
{
    struct buf *const reply = &client->login->auth.reply;

    client_send(client, reply);
    buf_clear(reply);
}

/* What was decided. Afterwards the client may be on another worker, unless it is to answer. */
static void
login_judge(struct client *client, enum auth_status status)
{
    switch (status) {
    case AUTH_ACCEPTED:
        login_send_reply(client);
        login_accepted(client);
        return;
    case AUTH_CONTINUE:
        login_send_reply(client);
        return;
    case AUTH_WAIT: /* what it sends meanwhile stays in the socket */
        stream_set_reading(&client->stream, false);
        return;
    default:
        login_rejected(client);
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
        explicit_bzero(input->data, (size_t)size + 1);
        buf_consume(input, (size_t)size + 1);
        login_judge(client, status);
        if (status != AUTH_CONTINUE)
            return;
    }
}

/* After AUTH_WAIT. */
static void
login_decided(struct auth *auth, enum auth_status status)
{
    struct client *const client = container_of(auth, struct login, auth)->client;

    if (client->state != CLIENT_AUTH) /* closed in this turn */
        return;
    login_judge(client, status);
    if (status != AUTH_CONTINUE)
        return;
    stream_set_reading(&client->stream, true);
    login_auth_messages(client); /* what it sent ahead */
}

void
login_input(struct client *client, const char *data, size_t len)
{
    struct login *const login = client->login;

    if (client->state == CLIENT_TLS) {
        login_tls_input(client, data, len);
        return;
    }
    if (login->input.len + len > STARTUP_PACKET_MAX + AUTH_MESSAGE_MAX ||
        buf_append(&login->input, data, len) < 0) {
        client_close(client, CLOSE_BAD_PACKET);
        return;
    }
    if (client->state == CLIENT_STARTUP) {
        login_startup(client);
    } else {
        wipe_received(data, len); /* perhaps a password */
        login_auth_messages(client);
    }
}

/* ---- the answer -------------------------------------------------------------------------------
 */

/* What the pool's servers report; or the client's own, which was asked for all its wishes. */
static struct settings *
login_base_settings(const struct client *client)
{
    struct pool *const pool = client->shard->pool;
    struct settings *base;

    if (client->replication != NULL)
        return settings_ref(client->replication->server->settings);
    (void)pthread_mutex_lock(&pool->mutex);
    base = settings_ref(pool->welcome);
    (void)pthread_mutex_unlock(&pool->mutex);
    return base;
}

/* Takes over the settings that the client may count on. */
static int
login_take_settings(struct client *client)
{
    struct welcome *const welcome = &client->shard->welcome;
    struct settings *const base = login_base_settings(client);
    struct settings *const none = settings_empty();
    int r;

    r = welcome_prepare(welcome, base,
                        client->replication != NULL ? none : client->login->settings);
    settings_unref(none);
    settings_unref(base);
    if (r < 0)
        return r;
    settings_unref(client->settings);
    client->settings = settings_ref(welcome->settings);
    if (client->replication == NULL)
        client->startup = settings_ref(client->login->settings);
    return 0;
}

int
login_answer(struct client *client)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    const struct login *const login = client->login;
    const struct buf *const parameters = &client->shard->welcome.parameters;
    const struct cancel_key *const key = &client->cancel_key;
    int r;

    r = login_take_settings(client);
    if (r == 0)
        r = cancel_draw_key(client, login->minor);
    if (r == 0)
        r = cancel_enter(client);
    if (r == 0)
        r = msg_auth_ok(&message);
    if (r == 0)
        r = buf_append(&message, parameters->data, parameters->len);
    if (r == 0)
        r = msg_backend_key(&message, pg_get_uint32(key->bytes), key->bytes + PG_CANCEL_PID_SIZE,
                            key->len - PG_CANCEL_PID_SIZE);
    if (r == 0 && *client->worker->config->login_notify_message != '\0')
        r = msg_notice(&message, "NOTICE", SQLSTATE_SUCCESSFUL_COMPLETION,
                       client->worker->config->login_notify_message, NULL, NULL);
    if (r == 0)
        r = msg_ready(&message, READY_IDLE);
    if (r == 0)
        client_send(client, &message);
    return r;
}
