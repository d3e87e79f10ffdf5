/*
 * connector.c - the thread that makes server connections, and ends them.
 *
 * Requests come in as messages; whatever belongs to libpq, to OpenSSL's handshakes or to the
 * look-up of names happens here, where milliseconds do not matter to any client.
 */
#include "backend_int.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "entropy.h"
#include "log.h"
#include "str.h"
#include "tls.h"

#define DNS_TTL (15 * SEC)

/* ---- life */

static void *
connector_main(void *arg)
{
    struct connector *connector = arg;

    loop_run(connector->loop);
    return NULL;
}

static void
connector_close_begin(struct connector *connector)
{
    if (connector->state != CONNECTOR_OPEN)
        return;
    connector->state = CONNECTOR_CLOSING;
    task_group_cancel(connector->attempts, NULL, NULL);
    connector_check_end(connector);
}

void
connector_check_end(struct connector *connector)
{
    if (connector->state != CONNECTOR_CLOSING || task_group_count(connector->attempts) > 0 ||
        task_group_count(connector->endings) > 0)
        return;
    connector->state = CONNECTOR_STOPPED; /* what comes later in this turn is too late */
    loop_stop(connector->loop);
}

/* Another thread has said something that has no message of its own. */
static void
connector_poked(struct message *message)
{
    struct connector *connector = container_of(message, struct connector, poke);

    atomic_store(&connector->poked, false); /* first: what is said from now on pokes again */
    if (connector->state == CONNECTOR_STOPPED)
        return;
    resolver_set_ttl(connector->resolver, atomic_load(&connector->dns_ttl),
                     atomic_load(&connector->dns_nxdomain_ttl));
    resolver_set_check_period(connector->resolver, atomic_load(&connector->dns_check_period));
    attempts_reap(connector);
    cancels_reap(connector);
    if (atomic_load(&connector->close_wanted))
        connector_close_begin(connector);
}

static void
connector_do_poke(struct connector *connector)
{
    if (!atomic_exchange(&connector->poked, true))
        loop_post(connector->loop, &connector->poke);
}

/* Signals are the main thread's. */
static int
connector_start_thread(struct connector *connector)
{
    sigset_t all, before;
    int r;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&connector->thread, NULL, connector_main, connector);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        (void)pthread_setname_np(connector->thread, "connector");
    return -r;
}

static int
connector_init(struct connector *connector, struct executor *executor)
{
    uint64_t seed;
    int r;

    connector->state = CONNECTOR_STOPPED;
    connector->poke.fn = connector_poked;
    atomic_init(&connector->dns_ttl, DNS_TTL);
    atomic_init(&connector->dns_nxdomain_ttl, DNS_TTL);
    list_init(&connector->attempt_list);
    list_init(&connector->cancels.waiting);
    gates_init(&connector->gates, &connector->rng);
    forwards_init(&connector->forwards);
    r = entropy_fill(&seed, sizeof(seed));
    if (r < 0)
        return r;
    rng_seed(&connector->rng, seed);
    r = loop_new("connector", &connector->loop);
    if (r == 0)
        r = resolver_new(connector->loop, executor, &connector->resolver);
    if (r < 0)
        return r;
    connector->attempts = task_group_new(connector->loop, "connects");
    connector->endings = task_group_new(connector->loop, "endings");
    return connector->attempts != NULL && connector->endings != NULL ? 0 : -ENOMEM;
}

int
connector_new(struct executor *executor, struct connector **ret_connector)
{
    struct connector *connector = calloc(1, sizeof(*connector));
    int r;

    if (connector == NULL)
        return -ENOMEM;
    r = connector_init(connector, executor);
    if (r == 0) {
        connector->state = CONNECTOR_OPEN;
        r = connector_start_thread(connector);
    }
    if (r < 0) {
        connector->state = CONNECTOR_STOPPED;
        connector_free(connector);
        return r;
    }
    *ret_connector = connector;
    return 0;
}

void
connector_close(struct connector *connector)
{
    atomic_store(&connector->close_wanted, true);
    connector_do_poke(connector);
    (void)pthread_join(connector->thread, NULL);
    assert(connector->state == CONNECTOR_STOPPED);
}

void
connector_free(struct connector *connector)
{
    if (connector == NULL)
        return;
    assert(connector->state == CONNECTOR_STOPPED);
    resolver_free(connector->resolver);
    loop_free(connector->loop); /* what still comes in is refused, or ended at once */
    task_group_free(connector->attempts);
    task_group_free(connector->endings);
    gates_done(&connector->gates);
    forwards_done(&connector->forwards);
    free(connector);
}

void
connector_set_dns(struct connector *connector, usec_t ttl, usec_t nxdomain_ttl, usec_t check_period)
{
    atomic_store(&connector->dns_ttl, ttl);
    atomic_store(&connector->dns_nxdomain_ttl, nxdomain_ttl);
    atomic_store(&connector->dns_check_period, check_period);
    connector_do_poke(connector);
}

void
connector_set_moved(struct connector *connector, connector_moved_fn *fn, void *arg)
{
    resolver_set_moved(connector->resolver, fn, arg);
}

/* On its way to the thread where libpq makes its connections. */
struct ciphers_message {
    struct message message;
    char *ciphers; /* owned, as the next */
    char *tls13_ciphers;
};

static void
ciphers_free(struct ciphers_message *ciphers)
{
    free(ciphers->ciphers);
    free(ciphers->tls13_ciphers);
    free(ciphers);
}

static void
ciphers_arrived(struct message *message)
{
    struct ciphers_message *ciphers = container_of(message, struct ciphers_message, message);

    if (tls_set_default_ciphers(ciphers->ciphers, ciphers->tls13_ciphers) < 0)
        log_error("could not set the ciphers of server connections: out of memory");
    ciphers_free(ciphers);
}

int
connector_set_ciphers(struct connector *connector, const char *ciphers, const char *tls13_ciphers)
{
    struct ciphers_message *message = calloc(1, sizeof(*message));

    if (message == NULL)
        return -ENOMEM;
    if (str_set(&message->ciphers, ciphers) < 0 ||
        str_set(&message->tls13_ciphers, tls13_ciphers) < 0) {
        ciphers_free(message);
        return -ENOMEM;
    }
    message->message.fn = ciphers_arrived;
    loop_post(connector->loop, &message->message);
    return 0;
}

/* ---- connects */

static void
request_answered(struct message *message)
{
    struct connect_request *request = container_of(message, struct connect_request, message);
    struct backend *backend = request->backend;

    request->done(request, backend, backend == NULL ? &request->error : NULL);
}

void
connector_answer(struct connector *connector, struct connect_request *request,
                 struct backend *backend)
{
    if (backend != NULL)
        (void)atomic_fetch_add(&connector->stats.successes, 1);
    else
        (void)atomic_fetch_add(&connector->stats.failures, 1);
    request->backend = backend;
    request->message.fn = request_answered;
    loop_post(request->loop, &request->message);
}

static void
request_arrived(struct message *message)
{
    struct connect_request *request = container_of(message, struct connect_request, message);
    struct connector *connector = request->connector;

    if (connector->state != CONNECTOR_OPEN) {
        backend_error_set(&request->error, "57P01", "the daemon is shutting down");
        connector_answer(connector, request, NULL);
    } else if (atomic_load(&request->cancelled)) {
        backend_error_set(&request->error, "57014", "the connection is not wanted any more");
        connector_answer(connector, request, NULL);
    } else {
        attempt_start(connector, request);
    }
}

void
connector_connect(struct connector *connector, struct connect_request *request)
{
    (void)atomic_fetch_add(&connector->stats.attempts, 1);
    request->connector = connector;
    request->backend = NULL;
    atomic_store(&request->cancelled, false);
    request->message.fn = request_arrived;
    loop_post(connector->loop, &request->message);
}

void
connector_abandon(struct connector *connector, struct connect_request *request)
{
    atomic_store(&request->cancelled, true);
    connector_do_poke(connector);
}

/* ---- retirements and cancels */

static void
retire_arrived(struct message *message)
{
    retire_start(container_of(message, struct server, message));
}

void
connector_retire(struct connector *connector, struct backend *backend, bool polite,
                 struct loop *loop, struct message *retired)
{
    struct server *server = container_of(backend, struct server, backend);

    server->connector = connector;
    server->polite = polite;
    server->retired_loop = loop;
    server->retired = retired;
    server->message.fn = retire_arrived;
    loop_post(connector->loop, &server->message);
}

static void
cancel_answered(struct message *message)
{
    struct cancel_request *request = container_of(message, struct cancel_request, message);

    request->done(request, request->error, request->text);
}

static void
cancel_answer(void *arg, int error, const char *text)
{
    struct cancel_request *request = arg;

    request->error = error;
    (void)str_copy(request->text, sizeof(request->text), text);
    request->message.fn = cancel_answered;
    loop_post(request->loop, &request->message);
}

static void
cancel_arrived(struct message *message)
{
    struct cancel_request *request = container_of(message, struct cancel_request, message);
    int r = -ESHUTDOWN;

    if (atomic_load(&request->withdrawn))
        r = -ECANCELED;
    else if (request->cancel->gone)
        r = -ENOTCONN;
    else if (request->connector->state == CONNECTOR_OPEN)
        r = cancelling_start(request->connector, request->cancel, request->patience,
                             &request->withdrawn, cancel_answer, request);
    if (r < 0)
        cancel_answer(request, r, strerror(-r));
}

void
connector_cancel(struct connector *connector, struct cancel_request *request)
{
    request->connector = connector;
    atomic_store(&request->withdrawn, false);
    request->message.fn = cancel_arrived;
    loop_post(connector->loop, &request->message);
}

void
connector_withdraw(struct connector *connector, struct cancel_request *request)
{
    if (!atomic_exchange(&request->withdrawn, true))
        connector_do_poke(connector);
}

static void
forward_arrived(struct message *message)
{
    struct forward_request *request = container_of(message, struct forward_request, message);
    int r = -ESHUTDOWN;

    if (request->connector->state == CONNECTOR_OPEN)
        r = forward_start(request->connector, request);
    if (r < 0)
        forward_answer(request, r, strerror(-r));
}

void
connector_forward(struct connector *connector, struct forward_request *request)
{
    request->connector = connector;
    request->message.fn = forward_arrived;
    loop_post(connector->loop, &request->message);
}

void
connector_get_stats(struct connector *connector, struct connector_stats *ret_stats)
{
    *ret_stats = (struct connector_stats){
        .attempts = atomic_load(&connector->stats.attempts),
        .successes = atomic_load(&connector->stats.successes),
        .failures = atomic_load(&connector->stats.failures),
        .cancels = atomic_load(&connector->stats.cancels),
        .retired = atomic_load(&connector->stats.retired),
        .connecting = atomic_load(&connector->stats.connecting),
    };
}
