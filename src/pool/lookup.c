#include "lookup.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "build.h"
#include "cleanup.h"
#include "config.h"
#include "engine_int.h"
#include "frame.h"
#include "log.h"
#include "pool.h"
#include "server.h"
#include "str.h"
#include "task.h"
#include "timer.h"
#include "worker.h"

/* One query, for all who ask the same while it is under way. */
struct lookup {
    struct map_node node;  /* in lookups->all */
    struct list link;      /* in lookups->known, else unlinked */
    struct shard *shard;   /* borrowed */
    struct waiter waiter;  /* in the queue while WAITING */
    struct server *server; /* borrowed; NULL unless ASKING */
    struct list askers;    /* struct asker */
    struct task task;      /* while under way */
    char *user;            /* owned, as the next two */
    char *sql;
    char *secret;     /* of the row that has come, wiped; NULL: none yet */
    usec_t forget_at; /* at the latest */
    bool broken;      /* the answer makes no sense; the log has it */
};

/* A question on its way to the shard, and until it is answered. */
struct asker {
    struct message message;
    struct list link; /* in lookup->askers */
    struct shard *shard;
    struct auth_lookup *question;
    const char *sql; /* in the question's config */
};

struct lookup_key {
    const char *user, *sql;
};

static uint64_t
lookup_hash(const struct lookup_key *key)
{
    return hash_combine(hash_str(key->user), hash_str(key->sql));
}

static bool
lookup_has_key(const struct map_node *node, const void *key)
{
    const struct lookup *const lookup = container_of(node, struct lookup, node);
    const struct lookup_key *const wanted = key;

    return str_eq(lookup->user, wanted->user) && str_eq(lookup->sql, wanted->sql);
}

static void
secret_free(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static void
lookup_free(struct lookup *lookup)
{
    secret_free(lookup->secret);
    free(lookup->user);
    free(lookup->sql);
    free(lookup);
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static void
asker_tell(struct asker *asker, enum auth_lookup_answer answer, const char *secret)
{
    struct auth_lookup *const question = asker->question;
    struct engine *const engine = asker->shard->pool->engine;

    question->answer = answer;
    if (answer == AUTH_LOOKUP_FOUND) {
        question->secret = strdup(secret);
        if (question->secret == NULL)
            question->answer = AUTH_LOOKUP_FAILED;
    }
    free(asker);
    loop_post(question->loop, &question->message);
    engine_release_object(engine);
}

static void
lookup_remove(struct lookup *lookup)
{
    list_remove(&lookup->link);
    map_remove(&lookup->shard->lookups.all, &lookup->node);
    lookup_free(lookup);
}

static void
lookups_expire(void *arg)
{
    struct shard *const shard = arg;
    struct lookups *const lookups = &shard->lookups;
    const usec_t now = loop_now(shard->worker->loop);
    struct lookup *lookup;

    while ((lookup = list_entry(list_first(&lookups->known), struct lookup, link)) != NULL &&
           lookup->forget_at <= now)
        lookup_remove(lookup);
    if (lookup != NULL && timer_start(lookups->timer, lookup->forget_at - now) < 0)
        lookups_forget(shard);
}

/* Keeps what was found until its time is over. False: there is no timer, so it is not kept. */
static bool
lookup_keep(struct lookup *lookup)
{
    struct shard *const shard = lookup->shard;
    struct lookups *const lookups = &shard->lookups;
    const usec_t now = loop_now(shard->worker->loop);

    if (lookup->forget_at <= now)
        return false;
    if (lookups->timer == NULL)
        lookups->timer = timer_new(shard->worker->loop, "auth_query cache", lookups_expire, shard);
    if (lookups->timer == NULL)
        return false;
    if (!timer_is_running(lookups->timer) &&
        timer_start(lookups->timer, lookup->forget_at - now) < 0)
        return false;
    list_push_back(&lookups->known, &lookup->link);
    return true;
}

/* All who ask get the answer; it is the end of the lookup, unless it may be kept. */
static void
lookup_end(struct lookup *lookup, enum auth_lookup_answer answer)
{
    struct list askers = LIST_INIT(askers);
    struct list *link;

    task_finish(&lookup->task);
    list_append(&askers, &lookup->askers);
    while ((link = list_pop(&askers)) != NULL)
        asker_tell(container_of(link, struct asker, link), answer, lookup->secret);
    if (answer != AUTH_LOOKUP_FOUND || !lookup_keep(lookup))
        lookup_remove(lookup);
}

static void
lookup_fail(struct lookup *lookup, const char *why)
{
    const struct pool *const pool = lookup->shard->pool;

    log_warning("%s/%s: auth_query for user \"%s\" failed: %s", pool->database->name,
                pool->user->name, lookup->user, why);
    lookup_end(lookup, AUTH_LOOKUP_FAILED);
}

/* ---- the query --------------------------------------------------------------------------------
 */

static int
put_message(struct buf *buf, char type, const void *body, size_t len)
{
    struct msg msg;

    msg_begin(&msg, buf, type);
    msg_put_bytes(&msg, body, len);
    return msg_end(&msg);
}

static int
put_parse(struct buf *buf, const char *sql)
{
    struct msg msg;

    msg_begin(&msg, buf, FRONTEND_PARSE);
    msg_put_str(&msg, ""); /* the unnamed statement */
    msg_put_str(&msg, sql);
    msg_put_int16(&msg, 0); /* the server knows the type of $1 */
    return msg_end(&msg);
}

static int
put_bind(struct buf *buf, const char *user)
{
    struct msg msg;

    msg_begin(&msg, buf, FRONTEND_BIND);
    msg_put_str(&msg, "");
    msg_put_str(&msg, "");
    msg_put_int16(&msg, 0); /* all parameters are text */
    msg_put_int16(&msg, 1);
    msg_put_int32(&msg, (uint32_t)strlen(user));
    msg_put_bytes(&msg, user, strlen(user));
    msg_put_int16(&msg, 0); /* and all columns */
    return msg_end(&msg);
}

static int
put_question(struct buf *buf, const struct lookup *lookup)
{
    int r;

    r = put_parse(buf, lookup->sql);
    if (r == 0)
        r = put_bind(buf, lookup->user);
    if (r == 0)
        r = put_message(buf, FRONTEND_DESCRIBE, "P", sizeof "P");
    if (r == 0)
        r = put_message(buf, FRONTEND_EXECUTE, "\0\0\0\0", 1 + sizeof(uint32_t)); /* all rows */
    if (r == 0)
        r = msg_sync(buf);
    return r;
}

static void
lookup_ask(struct lookup *lookup, struct server *server)
{
    static const char types[] = {FRONTEND_PARSE, FRONTEND_BIND, FRONTEND_DESCRIBE, FRONTEND_EXECUTE,
                                 FRONTEND_SYNC};
    CLEANUP(buf_done) struct buf question = BUF_INIT;
    int r = 0;

    lookup->server = server;
    server_begin_lookup(server, lookup);
    for (size_t i = 0; i < sizeof types && r == 0; i++)
        r = requests_push(&server->requests, types[i], REQUEST_SKIP);
    if (r == 0)
        r = put_question(&question, lookup);
    if (r == 0)
        stream_send_copy(&server->stream, question.data, question.len);
    else
        server_close(server, CLOSE_NO_MEMORY);
}

/* ---- the answer of the server -------------------------------------------------------------- */

static void
lookup_complain(struct lookup *lookup, const char *what)
{
    if (!lookup->broken)
        server_log(lookup->server, LOG_LEVEL_WARNING, "auth_query for user \"%s\": %s",
                   lookup->user, what);
    lookup->broken = true;
}

static void
lookup_check_columns(struct lookup *lookup, unsigned count)
{
    char text[80];

    if (count == 2)
        return;
    (void)snprintf(text, sizeof text, "expected 2 columns from auth_query, not %u", count);
    lookup_complain(lookup, text);
}

/* A value of a row; false: there is none. *ret_value is NULL for NULL. */
static bool
take_value(const char **pos, const char *end, const char **ret_value, size_t *ret_len)
{
    uint32_t len;

    if (end - *pos < (ptrdiff_t)sizeof len)
        return false;
    len = pg_get_uint32(*pos);
    *pos += sizeof len;
    *ret_value = NULL;
    *ret_len = 0;
    if (len == UINT32_MAX)
        return true;
    if ((size_t)(end - *pos) < len)
        return false;
    *ret_value = *pos;
    *ret_len = len;
    *pos += len;
    return true;
}

/* The user's name, and the secret, which may be NULL. */
static void
lookup_take_row(struct lookup *lookup, const char *pos, const char *end)
{
    const char *name, *secret;
    size_t name_len, secret_len;

    if (!take_value(&pos, end, &name, &name_len) || !take_value(&pos, end, &secret, &secret_len)) {
        lookup_complain(lookup, "the row makes no sense");
    } else if (name == NULL || name_len != strlen(lookup->user) ||
               memcmp(name, lookup->user, name_len) != 0) {
        /* Never log in one user with another's secret. */
        lookup_complain(lookup, "the row is about another user");
    } else if (lookup->secret != NULL) {
        lookup_complain(lookup, "there is more than one row");
    } else {
        lookup->secret = strndup(secret != NULL ? secret : "", secret_len);
        if (lookup->secret == NULL)
            lookup_complain(lookup, "out of memory");
    }
}

void
lookup_read(struct lookup *lookup, const struct frame *frame)
{
    size_t len;
    const char *const body = frame_body(frame, &len);

    if (lookup->broken)
        return;
    switch (frame->type) {
    case BACKEND_NO_DATA:
        lookup_check_columns(lookup, 0);
        return;
    case BACKEND_ROW_DESCRIPTION:
        lookup_check_columns(lookup, len >= sizeof(uint16_t) ? pg_get_uint16(body) : 0);
        return;
    case BACKEND_DATA_ROW:
        if (len >= sizeof(uint16_t))
            lookup_take_row(lookup, body + sizeof(uint16_t), body + len);
        return;
    default:
        return;
    }
}

void
lookup_answered(struct lookup *lookup, const char *error)
{
    struct server *const server = TAKE(lookup->server);

    if (error != NULL)
        server_log(server, LOG_LEVEL_WARNING, "error response from auth_query for user \"%s\": %s",
                   lookup->user, error);
    if (error != NULL || lookup->broken)
        lookup_end(lookup, AUTH_LOOKUP_FAILED);
    else
        lookup_end(lookup, lookup->secret != NULL ? AUTH_LOOKUP_FOUND : AUTH_LOOKUP_UNKNOWN);
}

void
lookup_lost(struct lookup *lookup, const char *why)
{
    lookup->server = NULL;
    lookup_fail(lookup, why);
}

/* ---- in the queue -----------------------------------------------------------------------------
 */

static struct lookup *
lookup_of(struct waiter *waiter)
{
    return container_of(waiter, struct lookup, waiter);
}

static void
lookup_granted(struct waiter *waiter, struct server *server)
{
    struct lookup *const lookup = lookup_of(waiter);

    lookup->shard->lookups.waiting--;
    lookup_ask(lookup, server);
}

static void
lookup_refused(struct waiter *waiter, const struct refusal *refusal)
{
    struct lookup *const lookup = lookup_of(waiter);

    lookup->shard->lookups.waiting--;
    lookup_fail(lookup, refusal->message != NULL ? refusal->message
                                                 : close_reason_row(refusal->reason)->text);
}

/* There is nobody to be told. */
static void
lookup_notice(struct waiter *waiter, usec_t waited)
{
    (void)waiter;
    (void)waited;
}

static const struct waiter_ops lookup_waiter_ops = {
    .granted = lookup_granted,
    .refused = lookup_refused,
    .notice = lookup_notice,
};

static void
lookup_leave(struct lookup *lookup)
{
    pool_leave(lookup->shard, &lookup->waiter);
    lookup->shard->lookups.waiting--;
}

/* Nobody waits any more: client_login_timeout is over, for the last one, too. */
static void
lookup_cancel(struct task *task, enum task_why why)
{
    struct lookup *const lookup = container_of(task, struct lookup, task);

    if (lookup->server != NULL) {
        server_close(lookup->server, why == TASK_TIMED_OUT ? CLOSE_SV_TIMEOUT : CLOSE_SV_STOP);
        return;
    }
    lookup_leave(lookup);
    lookup_fail(lookup, "no server within client_login_timeout");
}

static void
lookup_find_server(struct lookup *lookup)
{
    struct shard *const shard = lookup->shard;
    char detail[sizeof shard->error.message + 100];
    struct refusal refusal;
    struct server *server;

    switch (pool_acquire(shard, &lookup->waiter, &server)) {
    case ACQUIRE_GRANTED:
        lookup_ask(lookup, server);
        return;
    case ACQUIRE_QUEUED:
        shard->lookups.waiting++;
        return;
    case ACQUIRE_REFUSED:
        pool_refusal(shard, &refusal, detail, sizeof detail);
        lookup_fail(lookup, refusal.message);
    }
}

/* ---- a question arrives -----------------------------------------------------------------------
 */

static struct lookup *
lookup_new(struct shard *shard, const struct lookup_key *key)
{
    struct lookup *const lookup = calloc(1, sizeof *lookup);

    if (lookup == NULL)
        return NULL;
    lookup->shard = shard;
    lookup->waiter.ops = &lookup_waiter_ops;
    list_init(&lookup->askers);
    if (str_set(&lookup->user, key->user) < 0 || str_set(&lookup->sql, key->sql) < 0 ||
        map_add(&shard->lookups.all, &lookup->node, lookup_hash(key)) < 0) {
        lookup_free(lookup);
        return NULL;
    }
    return lookup;
}

/* One more asks: there is time for as long as it has. */
static void
lookup_join(struct lookup *lookup, struct asker *asker)
{
    const struct pool *const pool = lookup->shard->pool;
    char owner[SNAPSHOT_NAME];

    list_push_back(&lookup->askers, &asker->link);
    (void)snprintf(owner, sizeof owner, "%s/%s: %s", pool->database->name, pool->user->name,
                   lookup->user);
    task_finish(&lookup->task);
    /* Without memory for it there is no deadline but query_wait_timeout. */
    (void)task_start(&lookup->task, lookup->shard->worker->tasks, "auth_query", owner,
                     asker->question->config->client_login_timeout, lookup_cancel);
}

static void
lookup_begin(struct shard *shard, const struct lookup_key *key, struct asker *asker)
{
    struct lookup *const lookup = lookup_new(shard, key);

    if (lookup == NULL) {
        asker_tell(asker, AUTH_LOOKUP_FAILED, NULL);
        return;
    }
    lookup->forget_at =
        usec_add(loop_now(shard->worker->loop), asker->question->config->auth_query_cache);
    lookup_join(lookup, asker);
    lookup_find_server(lookup);
}

static bool
lookup_is_known(const struct lookup *lookup)
{
    return list_is_linked(&lookup->link);
}

static void
asker_arrive(struct message *message)
{
    struct asker *const asker = container_of(message, struct asker, message);
    struct shard *const shard = asker->shard;
    const struct lookup_key key = {asker->question->user, asker->sql};
    struct lookup *const lookup =
        map_entry(map_get(&shard->lookups.all, lookup_hash(&key), &key), struct lookup, node);

    if (shard->worker->stopping) {
        asker_tell(asker, AUTH_LOOKUP_FAILED, NULL);
    } else if (lookup == NULL) {
        lookup_begin(shard, &key, asker);
    } else if (!lookup_is_known(lookup)) {
        lookup_join(lookup, asker);
    } else if (lookup->forget_at > loop_now(shard->worker->loop)) {
        asker_tell(asker, AUTH_LOOKUP_FOUND, lookup->secret);
    } else {
        lookup_remove(lookup);
        lookup_begin(shard, &key, asker);
    }
}

/* The pool to ask; else *ret_answer is what there is to say without one. */
static struct pool *
question_find_pool(struct engine *engine, const struct auth_lookup *question,
                   const struct config_database *entry, enum auth_lookup_answer *ret_answer)
{
    struct config *const config = question->config;
    const char *database = config_auth_dbname(config, entry);
    struct pool *pool;
    struct user *user;
    int r;

    *ret_answer = AUTH_LOOKUP_UNKNOWN;
    if (*database == '\0' && entry == NULL) /* as if the password was wrong */
        return NULL;
    if (*database == '\0')
        database = question->database;
    *ret_answer = AUTH_LOOKUP_FAILED;
    if (registry_is_console(database)) {
        log_error("cannot use the reserved \"%s\" database as an auth_dbname", database);
        return NULL;
    }
    r = registry_find_pool(engine_registry(engine), config, database,
                           config_auth_user(config, entry), &pool, &user);
    if (r == -ENOENT)
        log_error("authentication database \"%s\" is not configured", database);
    return r < 0 ? NULL : pool;
}

void
engine_look_up(void *arg, struct auth_lookup *question)
{
    struct engine *const engine = arg;
    const struct config *const config = question->config;
    const struct config_database *const entry =
        registry_is_console(question->database) ? NULL : registry_entry(config, question->database);
    struct pool *const pool = question_find_pool(engine, question, entry, &question->answer);
    struct asker *const asker = pool != NULL ? calloc(1, sizeof *asker) : NULL;

    if (asker == NULL) {
        loop_post(question->loop, &question->message);
        return;
    }
    /* Always the same shard for the same user, so that all who ask for him meet. */
    asker->shard = pool->shards[hash_str(question->user) % atomic_load(&pool->shard_count)];
    asker->question = question;
    asker->sql = config_auth_query(config, entry);
    asker->message.fn = asker_arrive;
    engine_hold_object(engine);
    loop_post(asker->shard->worker->loop, &asker->message);
}

/* ---- all of a shard ---------------------------------------------------------------------------
 */

void
lookups_init(struct lookups *lookups)
{
    map_init(&lookups->all, lookup_has_key);
    list_init(&lookups->known);
}

void
lookups_done(struct lookups *lookups)
{
    assert(map_count(&lookups->all) == 0);
    map_done(&lookups->all);
}

void
lookups_forget(struct shard *shard)
{
    const struct map *const all = &shard->lookups.all;
    struct map_node *node = map_first(all);

    while (node != NULL) {
        struct lookup *const lookup = container_of(node, struct lookup, node);

        node = map_next(all, node);
        if (lookup_is_known(lookup))
            lookup_remove(lookup);
        else
            lookup->forget_at = 0;
    }
}

void
lookups_close(struct shard *shard)
{
    const struct map *const all = &shard->lookups.all;
    struct map_node *node;

    lookups_forget(shard);
    timer_free(TAKE(shard->lookups.timer));
    node = map_first(all);
    while (node != NULL) {
        struct lookup *const lookup = container_of(node, struct lookup, node);

        node = map_next(all, node);
        if (lookup->server == NULL) {
            lookup_leave(lookup);
            lookup_fail(lookup, "there is no such pool any more");
        }
    }
}
