#include "lookup.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "auth_query.h"
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
#include "wipe.h"
#include "worker.h"

/* So many answers are kept by a shard at most, however many names somebody tries. */
#define KNOWN_MAX 4096

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
    struct auth_query_answer answer;
    usec_t forget_at; /* at the latest */
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
lookup_free(struct lookup *lookup)
{
    auth_query_answer_done(&lookup->answer);
    free(lookup->user);
    free(lookup->sql);
    free(lookup);
}

/* ---- answers ----------------------------------------------------------------------------------
 */

/* To another loop; or on this one, at the end of the turn, without a wake-up. */
static void
send_message(struct loop *from, struct loop *to, struct message *message)
{
    if (from == to)
        loop_defer(to, message);
    else
        loop_post(to, message);
}

static void
asker_tell(struct asker *asker, enum auth_lookup_answer answer, const char *secret)
{
    struct auth_lookup *const question = asker->question;
    struct shard *const shard = asker->shard;
    struct engine *const engine = shard->pool->engine;

    question->answer = answer;
    if (answer == AUTH_LOOKUP_FOUND) {
        question->secret = strdup(secret);
        if (question->secret == NULL)
            question->answer = AUTH_LOOKUP_FAILED;
    }
    free(asker);
    send_message(shard->worker->loop, question->loop, &question->message);
    registry_release_pool(shard->pool);
    engine_release_object(engine);
}

static void
lookup_remove(struct lookup *lookup)
{
    if (list_is_linked(&lookup->link))
        lookup->shard->lookups.known_count--;
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

/*
 * Keeps the answer until its time is over. That there is no such user is an answer, too: else the
 * time it takes would tell who exists. False: it is not to be kept, or there is no timer.
 */
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
    if (++lookups->known_count > KNOWN_MAX)
        lookup_remove(list_entry(list_first(&lookups->known), struct lookup, link));
    return true;
}

/* Without a row there is no such user. */
static enum auth_lookup_answer
lookup_answer(const struct lookup *lookup)
{
    return lookup->answer.secret != NULL ? AUTH_LOOKUP_FOUND : AUTH_LOOKUP_UNKNOWN;
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
        asker_tell(container_of(link, struct asker, link), answer, lookup->answer.secret);
    if (answer == AUTH_LOOKUP_FAILED || !lookup_keep(lookup))
        lookup_remove(lookup);
}

/* detail may be NULL. */
static void
lookup_fail(struct lookup *lookup, const char *why, const char *detail)
{
    const struct pool *const pool = lookup->shard->pool;

    log_warning("%s/%s: auth_query for user \"%s\" failed: %s%s%s", pool->database->name,
                pool->user->name, lookup->user, why, detail != NULL ? ": " : "",
                detail != NULL ? detail : "");
    lookup_end(lookup, AUTH_LOOKUP_FAILED);
}

/* ---- with a server ---------------------------------------------------------------------------
 */

static void
lookup_ask(struct lookup *lookup, struct server *server)
{
    CLEANUP(buf_done) struct buf question = BUF_INIT;
    int r = 0;

    lookup->server = server;
    server_begin_lookup(server, lookup);
    for (const char *type = AUTH_QUERY_MESSAGES; *type != '\0' && r == 0; type++)
        r = requests_push(&server->requests, *type, REQUEST_SKIP);
    if (r == 0)
        r = auth_query_ask(&question, lookup->sql, lookup->user);
    if (r == 0)
        stream_send_copy(&server->stream, question.data, question.len);
    else
        server_close(server, CLOSE_NO_MEMORY);
}

void
lookup_read(struct lookup *lookup, const struct frame *frame)
{
    auth_query_read(&lookup->answer, lookup->user, frame);
    wipe_received(frame->data, frame->avail);
}

void
lookup_answered(struct lookup *lookup, const char *error)
{
    const struct server *const server = TAKE(lookup->server);
    const struct auth_query_answer *const answer = &lookup->answer;

    if (error != NULL || *answer->trouble != '\0') {
        server_log(server, LOG_LEVEL_WARNING, "%s%s for user \"%s\"",
                   error != NULL ? "error response from auth_query: " : "",
                   error != NULL ? error : answer->trouble, lookup->user);
        lookup_end(lookup, AUTH_LOOKUP_FAILED);
    } else {
        lookup_end(lookup, lookup_answer(lookup));
    }
}

void
lookup_lost(struct lookup *lookup, const char *why)
{
    lookup->server = NULL;
    lookup_fail(lookup, why, NULL);
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
    lookup_fail(lookup,
                refusal->message != NULL ? refusal->message
                                         : close_reason_row(refusal->reason)->text,
                refusal->detail);
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
    lookup_fail(lookup, "client_login_timeout", wait_cause_text(lookup->shard->cause));
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
        lookup_fail(lookup, refusal.message, refusal.detail);
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
        log_error("auth_query for user \"%s\" failed: out of memory", key->user);
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
        asker_tell(asker, lookup_answer(lookup), lookup->answer.secret);
    } else {
        lookup_remove(lookup);
        lookup_begin(shard, &key, asker);
    }
}

/* What auth_dbname names must be open; a client's own database says so itself, after the login. */
static bool
question_is_barred(const struct pool *pool, const char *auth_dbname)
{
    if (*auth_dbname == '\0' || !atomic_load(&pool->database->disabled))
        return false;
    log_error("authentication database \"%s\" is disabled", auth_dbname);
    return true;
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
    if (r < 0)
        return NULL;
    if (question_is_barred(pool, config_auth_dbname(config, entry))) {
        registry_release_pool(pool);
        return NULL;
    }
    return pool;
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
        if (pool != NULL)
            registry_release_pool(pool);
        loop_defer(question->loop, &question->message);
        return;
    }
    /* Always the same shard for the same user, so that all who ask for him meet. */
    asker->shard = pool->shards[hash_str(question->user) % atomic_load(&pool->shard_count)];
    asker->question = question;
    asker->sql = config_auth_query(config, entry);
    asker->message.fn = asker_arrive;
    engine_hold_object(engine);
    send_message(question->loop, asker->shard->worker->loop, &asker->message);
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
lookups_close(struct shard *shard, enum close_reason reason)
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
            lookup_fail(lookup, close_reason_row(reason)->text, NULL);
        }
    }
}
