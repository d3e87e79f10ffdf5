#include "engine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth.h"
#include "backend.h"
#include "build.h"
#include "cleanup.h"
#include "client.h"
#include "close_reason.h"
#include "config.h"
#include "engine_int.h"
#include "executor.h"
#include "fd.h"
#include "forget.h"
#include "log.h"
#include "pool.h"
#include "process.h"
#include "settings.h"
#include "timer.h"
#include "tls.h"

/* How long engine_stop waits for server processes to go before it gives up on them. */
#define ENGINE_STOP_SECONDS 30

/*
 * Threads for logins. Handshakes and hashing are CPU work, a thread each for half of the CPUs,
 * nicer than the workers; who blocks (PAM, LDAP, names) mostly sleeps. What their queues do not
 * take waits: a storm of logins delays logins. But where other processes of the same scheduling
 * group take all CPU, nicer threads get a hundredth of it: so what has been in a queue for the
 * patience, which it is not in such a storm, is computed by a thread that is not nice.
 */
#define COMPUTING_NICE     19
#define COMPUTING_PATIENCE (2 * SEC)
#define HANDSHAKES_QUEUE   1024
#define HASHING_QUEUE      256
#define BLOCKING_THREADS   8
#define BLOCKING_QUEUE     64

/* How long the shutdown waits for who blocks. */
#define BLOCKING_PATIENCE (1 * SEC)

/* While the acceptor has less to do than this, in per mille, clients log in on its thread. */
#define ENGINE_BUSY_LOAD 600

/* ---- life -------------------------------------------------------------------------------------
 */

static unsigned
engine_workers_wanted(const struct config *config)
{
    if (config->worker_threads > 0)
        return (unsigned)config->worker_threads;
    return MAX(cpu_count() / 2, 1u);
}

static int
engine_init_workers(struct engine *engine)
{
    const unsigned count = engine_workers_wanted(engine->config);
    int r = 0;

    engine->workers = calloc(count, sizeof engine->workers[0]);
    if (engine->workers == NULL)
        return -ENOMEM;
    while (r == 0 && engine->worker_count < count) {
        const unsigned index = engine->worker_count++;

        r = worker_init(&engine->workers[index], engine, index);
    }
    return r;
}

static int
engine_init_auth(struct engine *engine)
{
    struct auth_service_options options = {.lookup = engine_look_up, .arg = engine};
    const unsigned threads = MAX(cpu_count() / 2, 1u);
    int r;

    r = executor_new_nice("tls", threads, HANDSHAKES_QUEUE, COMPUTING_NICE, COMPUTING_PATIENCE,
                          &engine->handshakes);
    if (r == 0)
        r = executor_new_nice("hashing", threads, HASHING_QUEUE, COMPUTING_NICE, COMPUTING_PATIENCE,
                              &engine->hashing);
    if (r == 0)
        r = executor_new("blocking", BLOCKING_THREADS, BLOCKING_QUEUE, &engine->blocking);
    if (r < 0)
        return r;
    options.hashing = engine->hashing;
    options.blocking = engine->blocking;
    return auth_service_new(&options, &engine->auth);
}

/* ---- once a second ----------------------------------------------------------------------------
 */

static void
engine_look_around(void *arg)
{
    struct engine *const engine = arg;

    forget_unused(engine);
    (void)timer_start(engine->janitor, SEC);
}

static int
engine_init_janitor(struct engine *engine)
{
    engine->janitor = timer_new(engine->main_loop, "janitor", engine_look_around, engine);
    return engine->janitor != NULL ? timer_start(engine->janitor, SEC) : -ENOMEM;
}

int
engine_new(struct loop *main_loop, struct config *config, struct tls_context *tls,
           struct connector *connector, const struct engine_hooks *hooks,
           struct engine **ret_engine)
{
    struct engine *const engine = calloc(1, sizeof *engine);
    int r;

    if (engine == NULL)
        return -ENOMEM;
    engine->main_loop = main_loop;
    engine->connector = connector;
    engine->hooks = *hooks;
    engine->config = config_ref(config);
    engine->tls = tls_context_ref(tls);
    atomic_init(&engine->max_client_conn, (unsigned)config->max_client_conn);
    (void)pthread_mutex_init(&engine->config_mutex, NULL);
    (void)pthread_mutex_init(&engine->objects_mutex, NULL);
    (void)pthread_cond_init(&engine->objects_gone, NULL);
    permits_init(&engine->clients);
    permits_init(&engine->logins);
    registry_init(&engine->registry, engine);
    connector_set_moved(connector, engine_host_moved, engine);
    r = engine_init_auth(engine);
    if (r == 0)
        r = engine_init_workers(engine);
    if (r == 0)
        r = engine_init_janitor(engine);
    if (r < 0) {
        engine_free(engine);
        return r;
    }
    *ret_engine = engine;
    return 0;
}

int
engine_start(struct engine *engine)
{
    int r = 0;

    for (unsigned i = 0; i < engine->worker_count && r == 0; i++)
        r = worker_start(&engine->workers[i]);
    if (r == 0)
        r = registry_open_minimum(&engine->registry, engine->config);
    return r;
}

unsigned
engine_worker_count(const struct engine *engine)
{
    return engine->worker_count;
}

void
engine_free(struct engine *engine)
{
    if (engine == NULL || engine->objects > 0) /* what leaked may still refer to it */
        return;
    timer_free(engine->janitor);
    for (unsigned i = 0; i < engine->worker_count; i++)
        worker_done(&engine->workers[i]); /* the last that is under way comes back */
    free(engine->workers);
    auth_service_free(engine->auth);
    executor_free(engine->handshakes);
    executor_free(engine->hashing);
    executor_free(engine->blocking);
    registry_done(&engine->registry);
    permits_done(&engine->clients);
    permits_done(&engine->logins);
    config_unref(engine->config);
    tls_context_unref(engine->tls);
    (void)pthread_mutex_destroy(&engine->config_mutex);
    (void)pthread_mutex_destroy(&engine->objects_mutex);
    (void)pthread_cond_destroy(&engine->objects_gone);
    free(engine);
}

void
engine_hold_object(struct engine *engine)
{
    (void)pthread_mutex_lock(&engine->objects_mutex);
    engine->objects++;
    (void)pthread_mutex_unlock(&engine->objects_mutex);
}

void
engine_release_object(struct engine *engine)
{
    (void)pthread_mutex_lock(&engine->objects_mutex);
    assert(engine->objects > 0);
    if (--engine->objects == 0)
        (void)pthread_cond_broadcast(&engine->objects_gone);
    (void)pthread_mutex_unlock(&engine->objects_mutex);
}

void
engine_control_workers(struct engine *engine)
{
    for (unsigned i = 0; i < engine->worker_count; i++)
        worker_control(&engine->workers[i]);
}

/* ---- clients ----------------------------------------------------------------------------------
 */

struct engine_call {
    struct message message;
    struct loop *loop;
    void (*fn)(struct loop *loop, void *arg);
    void *arg;
    pthread_mutex_t mutex;
    pthread_cond_t done;
    bool is_done;
};

static void
engine_call_arrives(struct message *message)
{
    struct engine_call *const call = container_of(message, struct engine_call, message);

    call->fn(call->loop, call->arg);
    (void)pthread_mutex_lock(&call->mutex);
    call->is_done = true;
    (void)pthread_cond_signal(&call->done);
    (void)pthread_mutex_unlock(&call->mutex);
}

void
engine_call_acceptor(struct engine *engine, void (*fn)(struct loop *loop, void *arg), void *arg)
{
    struct engine_call call = {
        .message.fn = engine_call_arrives,
        .loop = engine->workers[0].loop,
        .fn = fn,
        .arg = arg,
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .done = PTHREAD_COND_INITIALIZER,
    };

    loop_post(call.loop, &call.message);
    (void)pthread_mutex_lock(&call.mutex);
    while (!call.is_done)
        (void)pthread_cond_wait(&call.done, &call.mutex);
    (void)pthread_mutex_unlock(&call.mutex);
    (void)pthread_cond_destroy(&call.done);
    (void)pthread_mutex_destroy(&call.mutex);
}

/* A connection on its way to another worker than the one that accepted it. */
struct engine_arrival {
    struct message message;
    struct worker *worker;
    struct address address;
    enum tls_mode tls_mode; /* of the address that it came through */
    int fd;
};

static void
engine_begin_login(struct worker *worker, int fd, const struct address *address,
                   enum tls_mode tls_mode)
{
    if (worker->stopping) {
        fd_close(fd);
        permits_give(&worker->engine->logins);
        engine_release_object(worker->engine);
        return;
    }
    (void)client_accept(worker, fd, address, tls_mode, engine_new_id(worker->engine));
}

static void
engine_arrive(struct message *message)
{
    struct engine_arrival *const arrival = container_of(message, struct engine_arrival, message);

    engine_begin_login(arrival->worker, arrival->fd, &arrival->address, arrival->tls_mode);
    free(arrival);
}

/* 0 or -ENOMEM. */
static int
engine_send_to(struct worker *worker, int fd, const struct address *address, enum tls_mode tls_mode)
{
    struct engine_arrival *const arrival = calloc(1, sizeof *arrival);

    if (arrival == NULL)
        return -ENOMEM;
    arrival->fd = fd;
    arrival->address = *address;
    arrival->tls_mode = tls_mode;
    arrival->worker = worker;
    arrival->message.fn = engine_arrive;
    loop_post(worker->loop, &arrival->message);
    return 0;
}

/*
 * Who logs in: the acceptor, as long as it has the time. A login is little work, and to begin it
 * elsewhere is to wake another thread for it.
 */
static struct worker *
engine_pick_worker(struct engine *engine)
{
    struct worker *best = &engine->workers[0];

    if (loop_load(best->loop) < ENGINE_BUSY_LOAD)
        return best;
    for (unsigned i = 1; i < engine->worker_count; i++) {
        if (loop_load(engine->workers[i].loop) < loop_load(best->loop))
            best = &engine->workers[i];
    }
    return best;
}

/* One try to say why; then the door closes. */
static void
engine_turn_away(int fd, enum close_reason reason, const char *detail)
{
    const struct close_reason_row *const row = close_reason_row(reason);
    CLEANUP(buf_done) struct buf message = BUF_INIT;

    if (msg_error(&message, "FATAL", row->sqlstate, row->text, detail, row->hint) == 0)
        (void)send(fd, message.data, message.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    fd_close(fd);
}

/* So many are logging in already. */
static void
engine_turn_away_login(const struct engine *engine, int fd, unsigned limit)
{
    char detail[100];

    log_warning("pooler error: too many logins are in progress");
    (void)snprintf(detail, sizeof detail,
                   "%u logins are in progress, %u may be; max_client_conn is %u.",
                   permits_used(&engine->logins), limit, atomic_load(&engine->max_client_conn));
    engine_turn_away(fd, CLOSE_MAX_CLIENT_CONN, detail);
}

void
engine_accept(struct engine *engine, int fd, const struct sockaddr *addr, socklen_t len,
              const char *listen_address)
{
    struct worker *const acceptor = &engine->workers[0];
    struct worker *const worker = engine_pick_worker(engine);
    const unsigned limit = MAX(atomic_load(&engine->max_client_conn), (unsigned)ENGINE_LOGINS_MIN);
    const enum tls_mode tls_mode = config_client_tls_sslmode(acceptor->config, listen_address);
    struct sockaddr_storage any = {.ss_family = AF_UNIX};
    struct address address;

    if (!permits_try(&engine->logins, limit)) {
        engine_turn_away_login(engine, fd, limit);
        return;
    }
    if (listen_address != NULL && addr != NULL && len > 0 && len <= sizeof any)
        memcpy(&any, addr, len);
    address_from_socket(&address, fd, (struct sockaddr *)&any,
                        (unsigned)acceptor->config->listen_port);
    engine_hold_object(engine);
    if (worker == acceptor) {
        engine_begin_login(worker, fd, &address, tls_mode);
    } else if (engine_send_to(worker, fd, &address, tls_mode) < 0) {
        log_warning("pooler error: out of memory");
        engine_turn_away(fd, CLOSE_NO_MEMORY, NULL);
        permits_give(&engine->logins);
        engine_release_object(engine);
    }
}

/* ---- configuration ----------------------------------------------------------------------------
 */

struct config *
engine_config(const struct engine *engine)
{
    return engine->config;
}

struct config *
engine_take_config(struct engine *engine, struct tls_context **ret_tls)
{
    struct config *config;

    (void)pthread_mutex_lock(&engine->config_mutex);
    config = config_ref(engine->config);
    *ret_tls = tls_context_ref(engine->tls);
    (void)pthread_mutex_unlock(&engine->config_mutex);
    return config;
}

void
engine_reload(struct engine *engine, struct config *config, struct tls_context *tls)
{
    struct tls_context *tls_before;
    struct config *before;

    (void)pthread_mutex_lock(&engine->config_mutex);
    before = engine->config;
    engine->config = config_ref(config);
    tls_before = engine->tls;
    engine->tls = tls_context_ref(tls);
    (void)pthread_mutex_unlock(&engine->config_mutex);
    atomic_store(&engine->max_client_conn, (unsigned)config->max_client_conn);
    registry_reload(&engine->registry, config);
    (void)registry_open_minimum(&engine->registry, config);
    engine_control_workers(engine);
    tls_context_unref(tls_before);
    config_unref(before);
}

/* ---- shutdown ---------------------------------------------------------------------------------
 */

enum engine_shutdown
engine_shutdown_mode(const struct engine *engine)
{
    return (enum engine_shutdown)atomic_load(&engine->shutdown);
}

static void
engine_shutdown_call(struct engine *engine)
{
    if (engine->shutdown_done != NULL)
        engine->shutdown_done(engine->shutdown_arg);
}

static void
engine_servers_gone(struct engine_drain *drain)
{
    engine_shutdown_call(drain->engine);
}

static void
engine_clients_gone(struct message *message)
{
    struct engine *const engine = container_of(message, struct engine, clients_gone.message);

    permits_woken(&engine->clients_gone);
    engine_shutdown_call(engine);
}

static void
engine_nothing_to_wait_for(struct message *message)
{
    struct engine *const engine = container_of(message, struct engine, shutdown_message);

    engine->shutdown_posted = false;
    engine_shutdown_call(engine);
}

/* Also where nothing is to be waited for, done comes later, not from inside the caller. */
static void
engine_post_shutdown(struct engine *engine)
{
    if (engine->shutdown_posted)
        return;
    engine->shutdown_posted = true;
    engine->shutdown_message.fn = engine_nothing_to_wait_for;
    loop_post(engine->main_loop, &engine->shutdown_message);
}

static void
engine_wait_for_clients(struct engine *engine)
{
    engine->clients_gone.loop = engine->main_loop;
    engine->clients_gone.message.fn = engine_clients_gone;
    if (permits_watch_empty(&engine->clients, &engine->clients_gone))
        engine_post_shutdown(engine);
}

void
engine_shutdown(struct engine *engine, enum engine_shutdown mode, void (*done)(void *arg),
                void *arg)
{
    const enum engine_shutdown before = engine_shutdown_mode(engine);

    engine->shutdown_done = done;
    engine->shutdown_arg = arg;
    engine->shutdown_drain.done = engine_servers_gone;
    if (mode == before)
        return;
    atomic_store(&engine->shutdown, mode);
    if (before == ENGINE_WAIT_FOR_CLIENTS)
        (void)permits_leave(&engine->clients_gone);
    if (mode == ENGINE_WAIT_FOR_SERVERS)
        atomic_store(&engine->paused, true);
    engine_control_workers(engine);
    switch (mode) {
    case ENGINE_WAIT_FOR_SERVERS:
        if (drain_begin(engine, NULL, &engine->shutdown_drain) != ENGINE_OK)
            engine_post_shutdown(engine);
        break;
    case ENGINE_WAIT_FOR_CLIENTS:
        engine_wait_for_clients(engine);
        break;
    default:
        engine_post_shutdown(engine);
        break;
    }
}

/* Everything that lives on the workers has gone, or the patience for it has. */
static void
engine_await_objects(struct engine *engine)
{
    struct timespec until;
    int r = 0;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ENGINE_STOP_SECONDS;
    (void)pthread_mutex_lock(&engine->objects_mutex);
    while (engine->objects > 0 && r == 0)
        r = pthread_cond_timedwait(&engine->objects_gone, &engine->objects_mutex, &until);
    if (engine->objects > 0)
        log_warning("leaked at exit: %u connections", engine->objects);
    (void)pthread_mutex_unlock(&engine->objects_mutex);
}

/* Nobody waits for the outcome any more: the clients are gone. */
static int
engine_close_blocking(struct engine *engine)
{
    const int r = executor_close_within(engine->blocking, BLOCKING_PATIENCE);

    if (r < 0)
        log_warning("PAM, LDAP or a name server has not answered yet, not waiting for it");
    return r;
}

int
engine_stop(struct engine *engine)
{
    int r;

    atomic_store(&engine->stopping, true);
    timer_stop(engine->janitor);
    if (engine->shutdown_drain.waiting)
        engine_drain_cancel(&engine->shutdown_drain);
    (void)permits_leave(&engine->clients_gone);
    engine_control_workers(engine);
    engine_await_objects(engine);
    executor_close(engine->handshakes); /* what comes back finds the loops alive */
    executor_close(engine->hashing);
    r = engine_close_blocking(engine);
    for (unsigned i = 0; i < engine->worker_count; i++) {
        struct worker *const worker = &engine->workers[i];

        loop_stop(worker->loop);
        if (worker->started)
            (void)pthread_join(worker->thread, NULL);
        worker->started = false;
    }
    if (permits_used(&engine->clients) + permits_used(&engine->logins) > 0)
        log_warning("leaked at exit: %u clients, %u logins", permits_used(&engine->clients),
                    permits_used(&engine->logins));
    return r;
}
