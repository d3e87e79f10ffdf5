/*
 * lifecycle.c - what happens to a daemon that runs: signals, reloads, and the phases of its end.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "backend.h"
#include "buf.h"
#include "client_tls.h"
#include "config.h"
#include "libpq_check.h"
#include "listeners.h"
#include "log.h"
#include "log_setup.h"
#include "loop.h"
#include "macros.h"
#include "reloader.h"
#include "sdnotify.h"
#include "service_int.h"
#include "str.h"
#include "timer.h"
#include "tls.h"

/* How long clients have to take in that the pooler is shutting down. */
#define FAST_EXIT_PATIENCE (2 * SEC)

/* ---- configuration --------------------------------------------------------------------------- */

struct config *
lifecycle_config(void *arg)
{
    const struct service *service = arg;

    return service->config;
}

void
lifecycle_check(void *arg, const struct config *config, struct config_errors *errors,
                struct tls_context **ret_tls)
{
    const struct service *service = arg;

    libpq_check(config, service->features, errors);
    (void)client_tls_load(config, service->tickets, errors, ret_tls);
}

static void
listeners_reload_there(struct loop *loop, void *arg)
{
    const struct service *service = arg;

    (void)loop;
    listeners_reload(service->listeners, service->config);
}

int
lifecycle_apply(void *arg, struct config *config, struct tls_context *tls)
{
    struct service *service = arg;
    int r = log_setup_apply(service->log_setup, config);

    if (r == 0)
        r = connector_set_ciphers(service->connector, config->server_tls_ciphers,
                                  config->server_tls13_ciphers);
    if (r < 0)
        return r;
    engine_reload(service->engine, config, tls);
    connector_set_dns(service->connector, config->dns_max_ttl, config->dns_nxdomain_ttl,
                      config->dns_zone_check_period);
    loop_set_slow_callback(service->loop, config->slow_callback_duration);
    config_unref(service->config);
    service->config = config_ref(config);
    tls_context_unref(service->tls);
    service->tls = tls_context_ref(tls);
    engine_call_acceptor(service->engine, listeners_reload_there, service);
    return 0;
}

void
lifecycle_reload(void *arg, struct reload_waiter *waiter)
{
    struct service *service = arg;

    reloader_start(service->reloader, waiter);
}

/* Errors or warnings, one after the other. */
static void
describe(const struct config_errors *errors, struct buf *message)
{
    for (size_t i = 0; i < errors->count; i++)
        (void)buf_printf(message, "%s%s", i > 0 ? "; " : "", errors->list[i].message);
}

/* Of a change to one key, as lifecycle_check; the files of TLS are read only if it is about them.
 */
static void
check_change(struct service *service, const char *key, const struct config *config,
             struct config_errors *errors, struct tls_context **ret_tls)
{
    if (str_starts_with(key, "client_tls")) {
        lifecycle_check(service, config, errors, ret_tls);
        return;
    }
    libpq_check(config, service->features, errors);
    *ret_tls = tls_context_ref(service->tls);
}

int
lifecycle_set(void *arg, const char *key, const char *value, struct buf *message)
{
    struct service *service = arg;
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    CLEANUP(tls_context_unref) struct tls_context *tls = NULL;
    CLEANUP(config_unref) struct config *config = NULL;
    int r;

    r = config_set(service->config, key, value, &errors, &config);
    if (r == 0)
        check_change(service, key, config, &errors, &tls);
    describe(&errors, message);
    if (r == 0 && config_errors_fatal(&errors))
        r = -EINVAL;
    return r < 0 ? r : lifecycle_apply(service, config, tls);
}

/* ---- shutdown -------------------------------------------------------------------------------- */

/*
 *   RUNNING --> WAIT_FOR_SERVERS --+--> IMMEDIATE --> the loop stops
 *      |------> WAIT_FOR_CLIENTS --+                       ^
 *      |             |                                     |
 *      |             +-- all gone, or shutdown_timeout ----+
 *      +--------------------------------> IMMEDIATE -------+
 */
static void
shutdown_done(void *arg)
{
    struct service *service = arg;

    loop_stop(service->loop);
}

void
lifecycle_give_up(void *arg)
{
    struct service *service = arg;

    if (engine_shutdown_mode(service->engine) == ENGINE_IMMEDIATE) {
        loop_stop(service->loop);
        return;
    }
    log_warning("shutdown_timeout reached, closing the remaining connections");
    lifecycle_shutdown(service, ENGINE_IMMEDIATE);
}

static void
listeners_close_there(struct loop *loop, void *arg)
{
    (void)loop;
    listeners_close_tcp(arg);
}

void
lifecycle_shutdown(void *arg, enum engine_shutdown mode)
{
    struct service *service = arg;
    const enum engine_shutdown before = engine_shutdown_mode(service->engine);
    usec_t patience = service->config->shutdown_timeout;

    if (mode == before || before == ENGINE_IMMEDIATE)
        return;
    if (before == ENGINE_RUNNING) {
        notify_stopping();
        engine_call_acceptor(service->engine, listeners_close_there, service->listeners);
    }
    if (mode == ENGINE_IMMEDIATE)
        patience = FAST_EXIT_PATIENCE;
    if (patience > 0 && timer_start(service->patience, patience) < 0)
        log_warning("no timer for the end of the shutdown");
    engine_shutdown(service->engine, mode, shutdown_done, service);
}

static bool
is_shutting_down(const struct service *service)
{
    return engine_shutdown_mode(service->engine) != ENGINE_RUNNING;
}

/* ---- signals --------------------------------------------------------------------------------- */

static void
on_hangup(struct service *service)
{
    if (is_shutting_down(service)) {
        log_info("got SIGHUP while shutting down, ignoring");
        return;
    }
    log_info("got SIGHUP, re-reading config");
    reloader_start(service->reloader, NULL);
}

static void
on_terminate(struct service *service)
{
    if (is_shutting_down(service)) {
        log_info("got SIGTERM while shutting down, fast exit");
        lifecycle_shutdown(service, ENGINE_IMMEDIATE);
        return;
    }
    log_info("got SIGTERM, shutting down, waiting for all clients disconnect");
    lifecycle_shutdown(service, ENGINE_WAIT_FOR_CLIENTS);
}

static void
on_interrupt(struct service *service)
{
    if (is_shutting_down(service)) {
        log_info("got SIGINT while shutting down, fast exit");
        lifecycle_shutdown(service, ENGINE_IMMEDIATE);
        return;
    }
    log_info("got SIGINT, shutting down, waiting for all servers connections to be released");
    lifecycle_shutdown(service, ENGINE_WAIT_FOR_SERVERS);
}

static void
on_quit(struct service *service)
{
    log_info("got SIGQUIT, fast exit");
    lifecycle_shutdown(service, ENGINE_IMMEDIATE);
}

static void
pause_done(struct engine_drain *drain)
{
    (void)drain;
    log_info("all activity is paused");
}

static void
on_pause(struct service *service)
{
    enum engine_result result;

    log_info("got SIGUSR1, pausing all activity");
    engine_drain_cancel(&service->pause); /* of an earlier signal, if it waits still */
    service->pause.done = pause_done;
    result = engine_pause(service->engine, NULL, &service->pause);
    if (result == ENGINE_ALREADY)
        log_info("already paused");
    else if (result != ENGINE_OK)
        log_warning("cannot pause: %s",
                    is_shutting_down(service) ? "pooler is shutting down" : strerror(ENOMEM));
}

static void
on_resume(struct service *service)
{
    if (is_shutting_down(service)) {
        log_info("got SIGUSR2 while shutting down, ignoring");
        return;
    }
    if (!engine_is_paused(service->engine)) {
        log_info("got SIGUSR2, but not paused");
        return;
    }
    log_info("got SIGUSR2, continuing from PAUSE");
    engine_drain_cancel(&service->pause);
    (void)console_resume(service->console, NULL);
}

void
lifecycle_signal(void *arg, int signal)
{
    static void (*const handlers[])(struct service *) = {
        [SIGHUP] = on_hangup, [SIGTERM] = on_terminate, [SIGINT] = on_interrupt,
        [SIGQUIT] = on_quit,  [SIGUSR1] = on_pause,     [SIGUSR2] = on_resume,
    };
    struct service *service = arg;

    if ((size_t)signal < ARRAY_SIZE(handlers) && handlers[signal] != NULL)
        handlers[signal](service);
}
