/*
 * service_int.h - what service.c (how the parts are made and taken apart) and lifecycle.c (what
 * happens in between: signals, reload, shutdown) share.
 */
#pragma once

#include <stdbool.h>

#include "console.h"
#include "engine.h"

struct backend_features;
struct config_errors;
struct log_setup;
struct tls_context;
struct tls_tickets;

struct service {
    const struct backend_features *features; /* borrowed */
    const struct log_setup *log_setup;       /* borrowed */
    struct config *config;                   /* owned: a reference to what is in force */
    struct tls_context *tls;                 /* the same; NULL without */

    /* owned, in the order in which they are made */
    struct loop *loop;
    struct outbox *outbox;
    struct executor *executor;
    struct connector *connector;
    struct tls_tickets *tickets;
    struct timer *rotation; /* of their keys */
    struct engine *engine;
    struct console *console;
    struct reloader *reloader;
    struct signals *signals;
    struct timer *watchdog; /* NULL without one */
    struct timer *patience; /* runs while a shutdown with a bound is under way */
    struct listeners *listeners;
    bool stopped; /* service_stop was called */

    struct engine_drain pause; /* SIGUSR1's */
};

/* lifecycle.c */

/* Adds to errors what of a configuration this process cannot do, and makes its TLS; any thread. */
void lifecycle_check(void *service, const struct config *config, struct config_errors *errors,
                     struct tls_context **ret_tls);
/* Puts both in force. 0, or -errno after it is logged, and nothing has changed. */
int lifecycle_apply(void *service, struct config *config, struct tls_context *tls);
struct config *lifecycle_config(void *service);
void lifecycle_reload(void *service, struct reload_waiter *waiter);
int lifecycle_set(void *service, const char *key, const char *value, struct buf *message);
/* Begins to shut down, or goes on to a harder mode. */
void lifecycle_shutdown(void *service, enum engine_shutdown mode);
void lifecycle_signal(void *service, int signal);
/* Patience is over: what is not done by now is cut off. */
void lifecycle_give_up(void *service);
