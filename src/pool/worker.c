#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "config.h"
#include "engine_int.h"
#include "forget.h"
#include "log.h"
#include "macros.h"
#include "outbox.h"
#include "pool.h"
#include "task.h"
#include "timer.h"
#include "tls.h"

/* A pool gets one more shard when its worker has been this busy for so long. */
#define WORKER_BUSY_LOAD    800
#define WORKER_BUSY_SECONDS 3

/* In a turn, logins get so much time, whatever they do with it: a step takes 10 to 400 us. */
#define WORKER_LOGIN_TIME 800

/* ---- shards as needed -------------------------------------------------------------------------
 */

static uint64_t
shard_work(const struct shard *shard)
{
    return shard->stats.queries;
}

/* The shard that does the most is the one to relieve. */
static struct shard *
worker_busiest_shard(const struct worker *worker)
{
    struct shard *shard, *busiest = NULL;

    LIST_FOREACH (shard, &worker->shards, link) {
        if (busiest == NULL || shard_work(shard) > shard_work(busiest))
            busiest = shard;
    }
    return busiest;
}

static void
worker_tick(void *arg)
{
    struct worker *const worker = arg;
    struct shard *busiest;

    (void)timer_start_common(worker->tick, SEC);
    worker->busy_seconds =
        loop_load(worker->loop) >= WORKER_BUSY_LOAD ? worker->busy_seconds + 1 : 0;
    if (worker->busy_seconds < WORKER_BUSY_SECONDS || worker->config->pool_shards != 0)
        return;
    worker->busy_seconds = 0;
    busiest = worker_busiest_shard(worker);
    if (busiest == NULL || !registry_add_shard(engine_registry(worker->engine), busiest->pool))
        return;
    log_info("%s/%s: %s is busy, the pool has %u shards now", busiest->pool->database->name,
             busiest->pool->user->name, worker->name, atomic_load(&busiest->pool->shard_count));
    sharing_spread_clients(busiest);
}

static void
worker_watch_load(struct worker *worker)
{
    const bool wanted = worker->config->pool_shards == 0 && worker->engine->worker_count > 1;

    if (!wanted || worker->stopping)
        timer_stop(worker->tick);
    else if (!timer_is_running(worker->tick))
        (void)timer_start_common(worker->tick, SEC);
}

/* ---- logins -----------------------------------------------------------------------------------
 */

static void
worker_turn_ends(struct message *message)
{
    container_of(message, struct worker, turn_end)->login_time = 0;
}

bool
worker_has_time_for_login(const struct worker *worker)
{
    return worker->login_time < WORKER_LOGIN_TIME;
}

void
worker_count_login(struct worker *worker, usec_t since)
{
    const usec_t time = clock_now() - since;

    if (worker->login_time == 0)
        loop_defer(worker->loop, &worker->turn_end);
    worker->login_time += MAX(time, 1);
}

/* ---- control ----------------------------------------------------------------------------------
 */

static void
worker_close_logins(struct worker *worker, enum close_reason reason)
{
    struct client *client;

    while ((client = list_entry(list_first(&worker->clients), struct client, link)) != NULL)
        client_close(client, reason);
}

static void
worker_close_all(struct worker *worker)
{
    struct shard *shard;

    worker->stopping = true;
    worker_close_logins(worker, CLOSE_SHUTDOWN);
    LIST_FOREACH (shard, &worker->shards, link)
        shard_stop(shard);
}

static void
worker_close_clients(struct worker *worker)
{
    const struct refusal refusal = {.reason = CLOSE_SHUTDOWN};
    struct shard *shard;

    worker_close_logins(worker, CLOSE_SHUTDOWN);
    LIST_FOREACH (shard, &worker->shards, link) {
        /* First those who wait: no server is to be handed to one that is about to be closed. */
        shard_refuse_all(shard, &refusal);
        shard_close_clients(shard, CLOSE_SHUTDOWN);
    }
}

static void
worker_on_control(struct message *message)
{
    struct worker *const worker = container_of(message, struct worker, control);
    struct shard *shard;

    atomic_store(&worker->control_posted, false);
    if (worker->stopping)
        return;
    config_unref(worker->config);
    tls_context_unref(worker->tls);
    worker->config = engine_take_config(worker->engine, &worker->tls);
    loop_set_slow_callback(worker->loop, worker->config->slow_callback_duration);
    if (atomic_load(&worker->engine->stopping)) {
        worker_close_all(worker);
        return;
    }
    if (engine_shutdown_mode(worker->engine) == ENGINE_IMMEDIATE)
        worker_close_clients(worker);
    LIST_FOREACH (shard, &worker->shards, link)
        shard_review(shard);
    worker_watch_load(worker);
}

void
worker_control(struct worker *worker)
{
    if (!atomic_exchange(&worker->control_posted, true))
        loop_post(worker->loop, &worker->control);
}

/* ---- life -------------------------------------------------------------------------------------
 */

static enum outbox_method
worker_outbox_method(const struct config *config)
{
    switch ((enum batch_sends)config->batch_sends) {
    case BATCH_URING:
        return OUTBOX_URING;
    case BATCH_AIO:
        return OUTBOX_AIO;
    case BATCH_OFF:
        return OUTBOX_SEND;
    default:
        return OUTBOX_AUTO;
    }
}

int
worker_init(struct worker *worker, struct engine *engine, unsigned index)
{
    int r;

    worker->engine = engine;
    worker->index = index;
    worker->control.fn = worker_on_control;
    worker->turn_end.fn = worker_turn_ends;
    (void)snprintf(worker->name, sizeof worker->name, "worker-%u", index);
    list_init(&worker->clients);
    list_init(&worker->shards);
    list_init(&worker->past);
    map_init(&worker->cancel_keys, cancel_key_equal);
    rng_seed(&worker->rng, clock_now() ^ (uint64_t)index << 32);
    worker->config = engine_take_config(engine, &worker->tls);
    r = loop_new(worker->name, &worker->loop);
    if (r == 0)
        r = outbox_new(worker->loop, worker_outbox_method(worker->config), &worker->outbox);
    if (r < 0)
        return r;
    loop_set_slow_callback(worker->loop, worker->config->slow_callback_duration);
    worker->tasks = task_group_new(worker->loop, worker->name);
    worker->tick = timer_new(worker->loop, "worker tick", worker_tick, worker);
    return worker->tasks != NULL && worker->tick != NULL ? 0 : -ENOMEM;
}

static void *
worker_run(void *arg)
{
    struct worker *const worker = arg;

    (void)pthread_setname_np(pthread_self(), worker->name);
    worker_watch_load(worker);
    loop_run(worker->loop);
    return NULL;
}

/* Signals are the main thread's. */
int
worker_start(struct worker *worker)
{
    sigset_t all, before;
    int r;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&worker->thread, NULL, worker_run, worker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->started = r == 0;
    return -r;
}

void
worker_done(struct worker *worker)
{
    timer_free(worker->tick);
    if (worker->tasks != NULL)
        task_group_free(worker->tasks);
    if (worker->outbox != NULL)
        outbox_free(worker->outbox);
    if (worker->loop != NULL)
        loop_free(worker->loop);
    map_done(&worker->cancel_keys);
    forget_done(worker);
    config_unref(worker->config);
    tls_context_unref(worker->tls);
}
