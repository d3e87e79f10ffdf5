#include "service.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "client_tls.h"
#include "config.h"
#include "daemon.h"
#include "executor.h"
#include "fd.h"
#include "listeners.h"
#include "log.h"
#include "loop.h"
#include "outbox.h"
#include "reloader.h"
#include "sdnotify.h"
#include "service_int.h"
#include "signals.h"
#include "timer.h"
#include "tls.h"

#define EXECUTOR_THREADS 6 /* four of them may be cancelling, with a libpq that blocks */
#define EXECUTOR_QUEUE   1024

/* Descriptors that are no connection: loops, mailboxes, listeners, log, libraries' files. */
#define OWN_DESCRIPTORS 64

/* ---- making ---------------------------------------------------------------------------------- */

static void
on_visit(void *arg, struct console_visitor *visitor)
{
    struct service *service = arg;

    console_visit(service->console, visitor);
}

static void
on_cancel(void *arg, uint32_t pid, uint32_t key)
{
    struct service *service = arg;

    if (!console_cancel(service->console, pid, key))
        log_debug("failed cancel request");
}

static void
on_accepted(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len,
            const char *listen_address)
{
    struct service *service = arg;

    engine_accept(service->engine, fd, peer, peer_len, listen_address);
}

static void
on_watchdog(void *arg)
{
    struct service *service = arg;

    notify_watchdog();
    (void)timer_start(service->watchdog, notify_watchdog_interval());
}

static int
make_loop(struct service *service)
{
    int r;

    r = loop_new("main", &service->loop);
    if (r < 0)
        return r;
    loop_set_slow_callback(service->loop, service->config->slow_callback_duration);
    /* Nothing but the console sends here: there is no batch to make. */
    r = outbox_new(service->loop, OUTBOX_SEND, &service->outbox);
    if (r < 0)
        return r;
    service->patience = timer_new(service->loop, "shutdown", lifecycle_give_up, service);
    return service->patience != NULL ? 0 : -ENOMEM;
}

static int
make_threads(struct service *service)
{
    int r;

    r = executor_new("executor", EXECUTOR_THREADS, EXECUTOR_QUEUE, &service->executor);
    if (r < 0)
        return r;
    r = connector_new(service->executor, &service->connector);
    if (r < 0)
        return r;
    connector_set_dns(service->connector, service->config->dns_max_ttl,
                      service->config->dns_nxdomain_ttl, service->config->dns_zone_check_period);
    return connector_set_ciphers(service->connector, service->config->server_tls_ciphers,
                                 service->config->server_tls13_ciphers);
}

/* Old tickets stay good for one more period. */
static void
on_rotation(void *arg)
{
    struct service *service = arg;
    const int r = tls_tickets_rotate(service->tickets);

    if (r < 0)
        log_error("cannot make another key for TLS tickets: %s", strerror(-r));
    (void)timer_start(service->rotation, TLS_TICKETS_PERIOD);
}

static int
make_tls(struct service *service)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    int r;

    r = tls_tickets_new(&service->tickets);
    if (r < 0)
        return r;
    service->rotation = timer_new(service->loop, "ticket keys", on_rotation, service);
    if (service->rotation == NULL)
        return -ENOMEM;
    r = client_tls_load(service->config, service->tickets, &errors, &service->tls);
    for (size_t i = 0; i < errors.count; i++)
        log_error("%s", errors.list[i].message);
    return r < 0 ? r : timer_start(service->rotation, TLS_TICKETS_PERIOD);
}

static int
make_engine(struct service *service)
{
    const struct engine_hooks hooks = {.arg = service, .visit = on_visit, .cancel = on_cancel};

    return engine_new(service->loop, service->config, service->tls, service->connector, &hooks,
                      &service->engine);
}

static int
make_console(struct service *service)
{
    const struct console_hooks hooks = {
        .arg = service,
        .reload = lifecycle_reload,
        .shutdown = lifecycle_shutdown,
        .set = lifecycle_set,
    };

    return console_new(service->engine, service->loop, service->outbox, &hooks, &service->console);
}

static int
make_reloader(struct service *service)
{
    const struct reloader_hooks hooks = {
        .arg = service,
        .current = lifecycle_config,
        .check = lifecycle_check,
        .apply = lifecycle_apply,
    };

    return reloader_new(service->loop, service->executor, &hooks, &service->reloader);
}

static int
make_signals(struct service *service)
{
    return signals_new(service->loop, lifecycle_signal, service, &service->signals);
}

/* systemd wants to hear from us now and then, if it says so. */
static int
make_watchdog(struct service *service)
{
    if (notify_watchdog_interval() == 0)
        return 0;
    service->watchdog = timer_new(service->loop, "watchdog", on_watchdog, service);
    if (service->watchdog == NULL)
        return -ENOMEM;
    return timer_start(service->watchdog, notify_watchdog_interval());
}

int
service_new(struct config *config, const struct backend_features *features,
            const struct log_setup *log_setup, struct service **ret_service)
{
    static const struct {
        const char *what;
        int (*make)(struct service *service);
    } parts[] = {
        {"main loop", make_loop},  {"threads", make_threads},   {"TLS context", make_tls},
        {"engine", make_engine},   {"console", make_console},   {"reloader", make_reloader},
        {"signals", make_signals}, {"watchdog", make_watchdog},
    };
    CLEANUP(service_free) struct service *service = calloc(1, sizeof(*service));

    if (service == NULL)
        return -ENOMEM;
    service->features = features;
    service->log_setup = log_setup;
    service->config = config_ref(config);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const int r = parts[i].make(service);

        if (r < 0) {
            log_fatal("cannot make the %s: %s", parts[i].what, strerror(-r));
            return r;
        }
    }
    *ret_service = TAKE(service);
    return 0;
}

/* ---- running --------------------------------------------------------------------------------- */

/* As many as the file allows for; users of auth_file count where none is forced. */
static unsigned long long
max_expected_fds(const struct config *config)
{
    const unsigned long long users = MAX(config->n_auth_users, (size_t)1);
    unsigned long long count = (unsigned long long)config->max_client_conn + OWN_DESCRIPTORS;

    for (size_t i = 0; i < config->n_databases; i++) {
        const struct config_database *db = config->databases[i];
        const unsigned long long size = (unsigned long long)config_pool_size(config, db, NULL) +
                                        (unsigned)config_reserve_pool_size(config, db, NULL);

        count += db->user != NULL ? size : size * users;
    }
    return count;
}

static void
raise_limits(const struct config *config)
{
    const unsigned long long expected = max_expected_fds(config);
    uint64_t soft, hard;
    const int r = fd_raise_limit(&soft, &hard);

    if (r < 0) {
        log_warning("cannot raise the limit of file descriptors: %s", strerror(-r));
        return;
    }
    log_info("kernel file descriptor limit: %llu (hard: %llu); max_client_conn: %d, "
             "max expected fd use: %llu",
             (unsigned long long)soft, (unsigned long long)hard, config->max_client_conn, expected);
    if (soft < expected)
        log_warning("more file descriptors may be needed than the kernel allows: "
                    "raise LimitNOFILE, or lower max_client_conn");
}

static void
log_process_up(const struct service *service)
{
    const int libpq = service->features->libpq_version;

    log_info("process up: %s, libpq %d.%d, tls: %s, workers: %u", CONSOLE_VERSION, libpq / 10000,
             libpq % 10000, OpenSSL_version(OPENSSL_VERSION), engine_worker_count(service->engine));
}

struct opening_listeners {
    struct service *service;
    int result;
};

static void
listeners_open_there(struct loop *loop, void *arg)
{
    struct opening_listeners *opening = arg;
    struct service *service = opening->service;

    opening->result =
        listeners_open(service->config, loop, on_accepted, service, &service->listeners);
}

static int
open_listeners(struct service *service)
{
    struct opening_listeners opening = {.service = service};

    engine_call_acceptor(service->engine, listeners_open_there, &opening);
    return opening.result;
}

int
service_run(struct service *service)
{
    int r;

    raise_limits(service->config);
    r = engine_start(service->engine);
    if (r < 0) {
        log_fatal("cannot start the workers: %s", strerror(-r));
        return r;
    }
    r = open_listeners(service);
    if (r < 0)
        return r;
    log_process_up(service);
    notify_ready();
    daemon_report_ready();
    loop_run(service->loop);
    return 0;
}

/* ---- taking apart ---------------------------------------------------------------------------- */

/* The last message: all that was posted before it has arrived. */
struct last_message {
    struct message message;
    struct loop *loop;
};

static void
last_arrives(struct message *message)
{
    loop_stop(container_of(message, struct last_message, message)->loop);
}

/* Lets arrive what other threads have posted to the main loop before they ended. */
static void
settle(struct loop *loop)
{
    struct last_message last = {.message = {.fn = last_arrives}, .loop = loop};

    loop_post(loop, &last.message);
    loop_run(loop);
}

/*
 * Ends all other threads. Loops are freed later: who has posted to one may still be inside of
 * loop_post when the message has arrived already.
 */
static int
stop_threads(struct service *service)
{
    int r = 0;

    if (service->engine != NULL) {
        r = engine_stop(service->engine);
        engine_drain_cancel(&service->pause);
    }
    if (service->connector != NULL)
        connector_close(service->connector);
    if (service->executor != NULL)
        executor_close(service->executor);
    if (service->loop != NULL)
        settle(service->loop);
    return r;
}

static void
listeners_free_there(struct loop *loop, void *arg)
{
    (void)loop;
    listeners_free(arg);
}

int
service_stop(struct service *service)
{
    service->stopped = true;
    if (service->listeners != NULL)
        engine_call_acceptor(service->engine, listeners_free_there, service->listeners);
    signals_free(service->signals);
    timer_free(service->watchdog);
    timer_free(service->patience);
    timer_free(service->rotation);
    if (service->reloader != NULL)
        reloader_close(service->reloader);
    if (service->console != NULL)
        console_close(service->console);
    return stop_threads(service);
}

void
service_free(struct service *service)
{
    if (service == NULL)
        return;
    if (!service->stopped)
        (void)service_stop(service); /* it never ran: nobody can be inside of anything */
    console_free(service->console);
    engine_free(service->engine);
    connector_free(service->connector);
    executor_free(service->executor);
    outbox_free(service->outbox);
    loop_free(service->loop);
    reloader_free(service->reloader);
    tls_context_unref(service->tls);
    tls_tickets_unref(service->tickets);
    config_unref(service->config);
    free(service);
}
