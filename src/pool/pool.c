#include "pool.h"

#include <assert.h>
#include <stdio.h>

#include "client.h"
#include "close_reason.h"
#include "engine_int.h"
#include "policy.h"
#include "replication.h"
#include "server.h"
#include "str.h"
#include "timer.h"
#include "units.h"
#include "worker.h"

const char *
wait_cause_text(enum wait_cause cause)
{
    static const char *const texts[] = {
        [WAIT_NONE] = "waiting for a server",
        [WAIT_POOL_FULL] = "all servers of the pool are busy",
        [WAIT_DATABASE_FULL] = "max_db_connections is reached",
        [WAIT_USER_FULL] = "max_user_connections is reached",
        [WAIT_CONNECTING] = "a connection to the server is being opened",
        [WAIT_BACKOFF] = "the server cannot be reached, will retry",
        [WAIT_PAUSED] = "the database is paused",
        [WAIT_CHECKING] = "a server is being checked or reset",
    };

    return texts[cause];
}

bool
shard_is_paused(const struct shard *shard)
{
    return atomic_load_explicit(&shard->pool->database->paused, memory_order_relaxed) ||
           engine_all_paused(shard->pool->engine);
}

bool
pool_has_servers(struct pool *pool)
{
    return permits_used(&pool->servers) >
           atomic_load_explicit(&pool->opening, memory_order_relaxed) +
               atomic_load_explicit(&pool->dedicated, memory_order_relaxed);
}

/* Whether nothing but failed logins is to be had here: no server, and the last attempt hopeless. */
bool
shard_is_hopeless(const struct shard *shard)
{
    return shard->failing && shard->error.hopeless && !pool_has_servers(shard->pool) &&
           loop_now(shard->worker->loop) < shard->retry_at;
}

/*
 * How long a client may wait, 0 is for ever, and what it is told then. A query that may not run for
 * longer than query_timeout is not waited for any longer either, as with PgBouncer.
 */
static usec_t
shard_patience(const struct shard *shard, struct refusal *ret_refusal)
{
    const struct policy *const policy = shard->policy;

    if (policy->query_timeout != 0 &&
        (policy->query_wait_timeout == 0 || policy->query_timeout <= policy->query_wait_timeout)) {
        *ret_refusal = (struct refusal){.reason = CLOSE_QUERY_TIMEOUT, .message = "query_timeout"};
        return policy->query_timeout;
    }
    *ret_refusal = (struct refusal){.reason = CLOSE_QUERY_WAIT_TIMEOUT};
    return policy->query_wait_timeout;
}

/* When the next thing happens to the waiter: notice, timeout, or the reserve is opened for it. */
static usec_t
waiter_next(const struct shard *shard, const struct waiter *waiter)
{
    const struct policy *const policy = shard->policy;
    struct refusal refusal;
    const usec_t patience = shard_patience(shard, &refusal);
    usec_t next = patience != 0 ? waiter->since + patience : USEC_NEVER;

    if (policy->query_wait_notify != 0 && waiter->since > shard->notified)
        next = MIN(next, waiter->since + policy->query_wait_notify);
    if (policy->reserve > 0 && policy->reserve_timeout != 0) {
        const usec_t reserve_at = waiter->since + policy->reserve_timeout;

        if (reserve_at > loop_now(shard->worker->loop))
            next = MIN(next, reserve_at);
    }
    return next;
}

static void
shard_enqueue(struct shard *shard, struct waiter *waiter)
{
    list_push_back(&shard->waiters, &waiter->link);
    shard->waiter_count++;
    sharing_publish_waiters(shard);
    shard_schedule(shard, waiter_next(shard, waiter));
    shard_grow(shard);
}

enum acquire
pool_acquire(struct shard *shard, struct waiter *waiter, struct server **ret_server)
{
    assert(!list_is_linked(&waiter->link));
    waiter->since = loop_now(shard->worker->loop);
    if (list_empty(&shard->waiters) && !shard_is_paused(shard)) {
        struct list *const link =
            shard->policy->round_robin ? list_last(&shard->idle) : list_first(&shard->idle);
        struct server *const server = list_entry(link, struct server, idle_link);

        if (server != NULL && server_is_usable(server)) {
            shard_remove_idle(shard, server);
            *ret_server = server;
            return ACQUIRE_GRANTED;
        }
        if (server == NULL && shard_is_hopeless(shard))
            return ACQUIRE_REFUSED;
    }
    shard_enqueue(shard, waiter);
    return ACQUIRE_QUEUED;
}

struct refusal
pool_refusal_of(const struct backend_error *error)
{
    return (struct refusal){
        .reason = CLOSE_SERVER_FAILED,
        .sqlstate = error->sqlstate,
        .message = error->message,
        .detail = str_or_null(error->detail),
        .hint = str_or_null(error->hint),
    };
}

void
pool_refusal(const struct shard *shard, struct refusal *ret_refusal, char *detail,
             size_t detail_size)
{
    (void)snprintf(detail, detail_size,
                   "server login has been failing, cached error: %s (server_login_retry)",
                   shard->error.message);
    *ret_refusal = pool_refusal_of(&shard->error);
    ret_refusal->message = detail;
}

static void
waiter_unlink(struct shard *shard, struct waiter *waiter)
{
    list_remove(&waiter->link);
    shard->waiter_count--;
    sharing_publish_waiters(shard);
}

void
pool_leave(struct shard *shard, struct waiter *waiter)
{
    if (list_is_linked(&waiter->link))
        waiter_unlink(shard, waiter);
}

size_t
pool_place(const struct shard *shard, const struct waiter *waiter)
{
    size_t place = 1;

    for (const struct list *link = list_first(&shard->waiters);
         link != NULL && link != &waiter->link; link = list_next(&shard->waiters, link))
        place++;
    return place;
}

/* To the oldest waiter, who is served before anybody who comes now. */
static void
shard_grant(struct shard *shard, struct server *server)
{
    struct waiter *const waiter = list_entry(list_first(&shard->waiters), struct waiter, link);

    waiter_unlink(shard, waiter);
    waiter->ops->granted(waiter, server);
}

/*
 * A cap of the database or of the user holds up another pool: an idle server here would keep what
 * is waited for there.
 */
static bool
shard_is_wanted_elsewhere(const struct shard *shard)
{
    return permits_contended(&shard->pool->database->servers) ||
           permits_contended(&shard->pool->user->servers);
}

/* A client that needs a permit for a server of its own was here before those who wait for any. */
static bool
shard_owes_room(const struct shard *shard)
{
    const struct waiter *const waiter =
        list_entry(list_first(&shard->waiters), struct waiter, link);
    const usec_t since = replication_claims_since(shard);

    return since != 0 && (waiter == NULL || since <= waiter->since);
}

void
pool_put(struct server *server)
{
    struct shard *const shard = server->shard;
    const enum close_reason reason = server_reason_to_close(server);

    if (reason != CLOSE_REASON_COUNT) {
        server_close(server, reason);
        shard_grow(shard);
        return;
    }
    if (shard_owes_room(shard)) {
        replication_make_room(server);
        return;
    }
    if (!list_empty(&shard->waiters)) {
        if (sharing_is_alone(shard) || !sharing_give(shard, server))
            shard_grant(shard, server);
        return;
    }
    if (shard_is_wanted_elsewhere(shard)) {
        server_close(server, CLOSE_SV_EVICTED);
        return;
    }
    server_set_state(server, SERVER_IDLE);
    shard_add_idle(shard, server);
    sharing_offer(shard);
}

void
shard_refuse_all(struct shard *shard, const struct refusal *refusal)
{
    struct list all = LIST_INIT(all);
    struct list *link;

    list_append(&all, &shard->waiters);
    shard->waiter_count = 0;
    sharing_publish_waiters(shard);
    while ((link = list_pop(&all)) != NULL) {
        struct waiter *const waiter = container_of(link, struct waiter, link);

        waiter->ops->refused(waiter, refusal);
    }
    list_append(&all, &shard->welcoming);
    while ((link = list_pop(&all)) != NULL)
        client_refuse(client_to_welcome(link), refusal);
}

/* ---- what is missing ------------------------------------------------------------------------ */

/* How many servers those who are here could use beside the ones that are coming. */
static size_t
shard_shortage(const struct shard *shard)
{
    const size_t supply = shard->opening + shard->checking + (shard->asking ? 1 : 0);
    size_t demand = shard->waiter_count;

    if (!list_empty(&shard->welcoming) && shard->server_count == shard->dedicated_count)
        demand = MAX(demand, 1);
    return demand > supply ? demand - supply : 0;
}

/* min_pool_size counts while somebody may come: with clients, or with a user named in the file. */
static bool
shard_is_below_minimum(const struct shard *shard)
{
    const struct pool *const pool = shard->pool;
    const struct policy *const policy = shard->policy;

    return permits_used(&pool->servers) < policy->min_size && shard == pool->shards[0] &&
           (!list_empty(&shard->clients) || str_eq(policy->forced_user, pool->user->name));
}

/* One more server for a waiter, by whatever way is the cheapest. */
static enum wait_cause
shard_supply(struct shard *shard)
{
    struct server *const idle = list_entry(list_first(&shard->idle), struct server, idle_link);

    if (idle != NULL) { /* idle for long: pool_acquire has passed it by */
        server_check(idle);
        return WAIT_NONE;
    }
    if (!sharing_is_alone(shard) && sharing_ask(shard))
        return WAIT_NONE;
    return shard_open_server(shard, NULL);
}

/* A pause will be over some day; the pause of a shutdown will not. */
static void
shard_wait_paused(struct shard *shard)
{
    const struct refusal refusal = {.reason = CLOSE_SERVER_SHUTDOWN};

    shard->cause = WAIT_PAUSED;
    if (engine_shutdown_mode(shard->pool->engine) == ENGINE_WAIT_FOR_SERVERS) {
        shard_refuse_all(shard, &refusal);
        replication_refuse_all(shard, &refusal);
    }
}

void
shard_grow_now(struct shard *shard)
{
    enum wait_cause cause = WAIT_NONE;

    if (shard->worker->stopping)
        return;
    if (shard_is_paused(shard)) {
        shard_wait_paused(shard);
        return;
    }
    /* A server that came idle while somebody waited for a check or a connection. */
    while (!list_empty(&shard->waiters) && !list_empty(&shard->idle)) {
        struct server *const server =
            list_entry(list_first(&shard->idle), struct server, idle_link);

        if (!server_is_usable(server))
            break;
        shard_remove_idle(shard, server);
        shard_grant(shard, server);
    }
    replication_serve(shard);
    while (cause == WAIT_NONE && shard_shortage(shard) > 0)
        cause = shard_supply(shard);
    while (cause == WAIT_NONE && shard_is_below_minimum(shard))
        cause = shard_open_server(shard, NULL);
    if (cause == WAIT_NONE)
        cause = shard->opening > 0 ? WAIT_CONNECTING : WAIT_CHECKING;
    shard->cause = cause;
    /* Who is the first now may be the first to be due for the reserve. */
    if (!list_empty(&shard->waiters))
        shard_schedule(shard, waiter_next(shard, list_entry(list_first(&shard->waiters),
                                                            struct waiter, link)));
}

/* ---- time ----------------------------------------------------------------------------------- */

static void
shard_expire(struct shard *shard, usec_t now)
{
    struct refusal refusal;
    const usec_t timeout = shard_patience(shard, &refusal);
    struct waiter *waiter;

    while (timeout != 0 &&
           (waiter = list_entry(list_first(&shard->waiters), struct waiter, link)) != NULL &&
           waiter->since + timeout <= now) {
        char detail[512], limit[UNITS_TEXT_MAX];
        const struct pool *const pool = shard->pool;

        refusal.detail = detail;
        (void)snprintf(detail, sizeof detail,
                       "Waited %.1f s for a server of pool %s/%s (%u of %u in use): %s. "
                       "%s is %s s.",
                       (double)(now - waiter->since) / USEC_PER_SEC, pool->database->name,
                       pool->user->name, permits_used(&pool->servers), shard->policy->size,
                       wait_cause_text(shard->cause),
                       refusal.message != NULL ? "query_timeout" : "query_wait_timeout",
                       units_format_duration(limit, timeout));
        waiter_unlink(shard, waiter);
        waiter->ops->refused(waiter, &refusal);
    }
}

static void
shard_notify(struct shard *shard, usec_t now)
{
    const usec_t notify = shard->policy->query_wait_notify;
    const usec_t notified = shard->notified;
    struct waiter *waiter;

    if (notify == 0)
        return;
    shard->notified = MAX(notified, usec_sub(now, notify));
    LIST_FOREACH (waiter, &shard->waiters, link) {
        if (waiter->since > shard->notified)
            return;
        if (waiter->since > notified)
            waiter->ops->notice(waiter, now - waiter->since);
    }
}

/* The queue is in order of time, and so are the deadlines of one kind: the first of each will do.
 */
static usec_t
shard_next_of_waiters(const struct shard *shard)
{
    usec_t next = USEC_NEVER;
    struct waiter *waiter;

    LIST_FOREACH (waiter, &shard->waiters, link) {
        next = MIN(next, waiter_next(shard, waiter));
        if (waiter->since > shard->notified)
            break;
    }
    return next;
}

static usec_t
shard_next_of_servers(const struct shard *shard)
{
    const struct policy *const policy = shard->policy;
    usec_t next = USEC_NEVER;
    struct server *server;

    LIST_FOREACH (server, &shard->idle, idle_link) {
        if (policy->server_idle_timeout != 0)
            next = MIN(next, server->idle_since + policy->server_idle_timeout);
        next = MIN(next, usec_add(server->connect_time, server->lifetime));
    }
    return next;
}

static void
shard_tick(void *arg)
{
    struct shard *const shard = arg;
    const usec_t now = loop_now(shard->worker->loop);
    usec_t next;

    shard_expire(shard, now);
    shard_notify(shard, now);
    shard_trim(shard);
    shard_grow_now(shard);
    sharing_offer(shard);
    next = MIN(shard_next_of_waiters(shard), shard_next_of_servers(shard));
    if (shard->retry_at > now &&
        (!list_empty(&shard->waiters) || !list_empty(&shard->welcoming) ||
         !list_empty(&shard->replications) || shard_is_below_minimum(shard)))
        next = MIN(next, shard->retry_at);
    /* What could not be done now is tried again, but not in a hurry. */
    shard_schedule(shard, next <= now ? now + 100 * MSEC : next);
}

void
shard_schedule(struct shard *shard, usec_t at)
{
    if (shard->worker->stopping)
        return;
    if (shard->timer == NULL)
        shard->timer = timer_new(shard->worker->loop, "pool", shard_tick, shard);
    /* Without memory for a timer the next event of the pool does its work. */
    if (shard->timer != NULL)
        (void)timer_hasten(shard->timer, at);
}
