#include "fake_connector.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_memory.h"
#include "fd.h"
#include "list.h"
#include "str.h"

#define FIRST_PID 1000

struct connector {
    struct list attempts;    /* struct attempt, oldest first */
    struct list cancels;     /* struct attempt, oldest first */
    struct list retirements; /* struct retirement, oldest first */
    struct fake_connector_counts counts;
    unsigned backends; /* handed out and not retired */
    unsigned keys;     /* struct backend_cancel */
    int next_pid;
    bool hold_retired;
    connector_moved_fn *moved;
    void *moved_arg;
    bool hold_cancels;
    struct forward_request *forward; /* under way; tests need one at a time */
};

/* A request that the test has not decided about; request->private is its way back. */
struct attempt {
    struct list link;
    struct connect_request *connect;
    struct cancel_request *cancel;
    bool waiting; /* of a cancel: its turn has not come */
};

struct retirement {
    struct list link;
    struct loop *loop;
    struct message *retired;
};

struct backend_cancel {
    struct connector *connector;
    int pid;
    int refs;
};

static void complain(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

static void
complain(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("fake connector: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    abort();
}

static void *
allocate(size_t size)
{
    return fake_memory_calloc(1, size);
}

/* --- life ------------------------------------------------------------------------------------ */

struct connector *
fake_connector_new(void)
{
    struct connector *const connector = allocate(sizeof(*connector));

    list_init(&connector->attempts);
    list_init(&connector->cancels);
    list_init(&connector->retirements);
    connector->next_pid = FIRST_PID;
    return connector;
}

void
fake_connector_free(struct connector *connector)
{
    if (!list_empty(&connector->attempts) || !list_empty(&connector->cancels) ||
        !list_empty(&connector->retirements))
        complain("left undecided: %zu connects, %zu cancels, %zu retirements",
                 list_count(&connector->attempts), list_count(&connector->cancels),
                 list_count(&connector->retirements));
    if (connector->forward != NULL)
        complain("left undecided: a request for another pooler");
    if (connector->backends > 0 || connector->keys > 0)
        complain("never given back: %u connections, %u cancel keys", connector->backends,
                 connector->keys);
    free(connector);
}

struct fake_connector_counts
fake_connector_counts(const struct connector *connector)
{
    return connector->counts;
}

void
connector_set_moved(struct connector *connector, connector_moved_fn *fn, void *arg)
{
    connector->moved = fn;
    connector->moved_arg = arg;
}

void
fake_connector_move(struct connector *connector, const char *host, const char *address)
{
    connector->moved(connector->moved_arg, host, address);
}

/* --- connecting ------------------------------------------------------------------------------ */

static void
connect_done(struct message *message)
{
    struct connect_request *const request = container_of(message, struct connect_request, message);

    request->done(request, request->backend, request->backend != NULL ? NULL : &request->error);
}

static void
connect_post(struct attempt *attempt)
{
    struct connect_request *const request = attempt->connect;

    list_remove(&attempt->link);
    free(attempt);
    request->private = NULL;
    request->message.fn = connect_done;
    loop_post(request->loop, &request->message);
}

void
connector_connect(struct connector *connector, struct connect_request *request)
{
    struct attempt *const attempt = allocate(sizeof(*attempt));

    attempt->connect = request;
    request->connector = connector;
    request->private = attempt;
    request->backend = NULL;
    list_push_back(&connector->attempts, &attempt->link);
    connector->counts.connects++;
}

void
connector_abandon(struct connector *connector, struct connect_request *request)
{
    struct attempt *const attempt = request->private;

    connector->counts.abandoned++;
    if (attempt == NULL)
        return; /* too late */
    request->error = (struct backend_error){.sqlstate = "08006", .message = "abandoned"};
    connect_post(attempt);
}

static struct attempt *
oldest_attempt(const struct list *list, const char *what)
{
    struct attempt *const attempt = list_entry(list_first(list), struct attempt, link);

    if (attempt == NULL)
        complain("there is no %s to decide about", what);
    return attempt;
}

unsigned
fake_connector_pending(const struct connector *connector)
{
    return (unsigned)list_count(&connector->attempts);
}

const struct backend_target *
fake_connector_target(const struct connector *connector)
{
    return oldest_attempt(&connector->attempts, "connect")->connect->target;
}

static void
add_parameters(struct backend *backend, const char *const *parameters)
{
    size_t count = 0;

    while (parameters[2 * count] != NULL)
        count++;
    backend->parameters = allocate((count + 1) * sizeof(backend->parameters[0]));
    for (size_t i = 0; i < count; i++) {
        struct backend_parameter *const parameter = &backend->parameters[i];

        if (str_set(&parameter->name, parameters[2 * i]) < 0 ||
            str_set(&parameter->value, parameters[2 * i + 1]) < 0)
            complain("out of memory");
    }
    backend->parameter_count = count;
}

static struct backend_cancel *
cancel_key_new(struct connector *connector, int pid)
{
    struct backend_cancel *const cancel = allocate(sizeof(*cancel));

    *cancel = (struct backend_cancel){.connector = connector, .pid = pid, .refs = 1};
    connector->keys++;
    return cancel;
}

int
fake_connector_accept(struct connector *connector, const char *const *parameters, int *ret_pid)
{
    struct attempt *const attempt = oldest_attempt(&connector->attempts, "connect");
    struct backend *const backend = allocate(sizeof(*backend));
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        complain("socketpair: %m");
    backend->fd = fds[0];
    backend->pid = connector->next_pid++;
    backend->server_version = 150004;
    (void)str_copy(backend->remote_addr, sizeof(backend->remote_addr), FAKE_SERVER_ADDRESS);
    backend->remote_port = attempt->connect->target->port;
    (void)str_copy(backend->local_addr, sizeof(backend->local_addr), "10.0.0.9");
    backend->local_port = 40000;
    backend->target = backend_target_ref(attempt->connect->target);
    backend->cancel = cancel_key_new(connector, backend->pid);
    backend->private = connector;
    add_parameters(backend, parameters);
    connector->backends++;
    *ret_pid = backend->pid;
    attempt->connect->backend = backend;
    connect_post(attempt);
    return fds[1];
}

void
fake_connector_refuse(struct connector *connector, const struct backend_error *error)
{
    struct attempt *const attempt = oldest_attempt(&connector->attempts, "connect");

    attempt->connect->error = *error;
    connect_post(attempt);
}

/* --- the end of a connection ----------------------------------------------------------------- */

static void
backend_free(struct backend *backend)
{
    for (size_t i = 0; i < backend->parameter_count; i++) {
        free(backend->parameters[i].name);
        free(backend->parameters[i].value);
    }
    free(backend->parameters);
    fd_close(backend->fd);
    backend_target_unref(backend->target);
    backend_cancel_unref(backend->cancel);
    free(backend);
}

void
connector_retire(struct connector *connector, struct backend *backend, bool polite,
                 struct loop *loop, struct message *retired)
{
    static const char terminate[] = {'X', 0, 0, 0, 4};
    struct retirement *const retirement = allocate(sizeof(*retirement));

    if (polite)
        (void)send(backend->fd, terminate, sizeof(terminate), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (polite)
        connector->counts.polite++;
    else
        connector->counts.impolite++;
    connector->backends--;
    backend_free(backend);
    retirement->loop = loop;
    retirement->retired = retired;
    list_push_back(&connector->retirements, &retirement->link);
    if (!connector->hold_retired)
        fake_connector_finish_retired(connector);
}

void
fake_connector_hold_retired(struct connector *connector)
{
    connector->hold_retired = true;
}

unsigned
fake_connector_retiring(const struct connector *connector)
{
    return (unsigned)list_count(&connector->retirements);
}

void
fake_connector_finish_retired(struct connector *connector)
{
    struct retirement *const retirement =
        list_entry(list_pop(&connector->retirements), struct retirement, link);

    if (retirement == NULL)
        complain("nothing is being retired");
    if (retirement->retired != NULL)
        loop_post(retirement->loop, retirement->retired);
    free(retirement);
}

/* --- cancels --------------------------------------------------------------------------------- */

struct backend_cancel *
backend_cancel_ref(struct backend_cancel *cancel)
{
    cancel->refs++;
    return cancel;
}

void
backend_cancel_unref(struct backend_cancel *cancel)
{
    if (cancel == NULL || --cancel->refs > 0)
        return;
    cancel->connector->keys--;
    free(cancel);
}

static void
cancel_done(struct message *message)
{
    struct cancel_request *const request = container_of(message, struct cancel_request, message);

    request->done(request, request->error, request->text);
}

void
connector_cancel(struct connector *connector, struct cancel_request *request)
{
    struct attempt *const attempt = allocate(sizeof(*attempt));

    attempt->cancel = request;
    attempt->waiting = connector->hold_cancels;
    request->connector = connector;
    list_push_back(&connector->cancels, &attempt->link);
    connector->counts.cancels++;
}

unsigned
fake_connector_cancelling(const struct connector *connector)
{
    return (unsigned)list_count(&connector->cancels);
}

int
fake_connector_cancelled_pid(const struct connector *connector)
{
    return oldest_attempt(&connector->cancels, "cancel")->cancel->cancel->pid;
}

void
fake_connector_hold_cancels(struct connector *connector, bool hold)
{
    connector->hold_cancels = hold;
}

static void
cancel_post(struct attempt *attempt, int error)
{
    struct cancel_request *const request = attempt->cancel;

    list_remove(&attempt->link);
    free(attempt);
    request->error = error;
    (void)str_copy(request->text, sizeof(request->text), error < 0 ? strerror(-error) : "");
    request->message.fn = cancel_done;
    loop_post(request->loop, &request->message);
}

void
fake_connector_finish_cancel(struct connector *connector, int error)
{
    cancel_post(oldest_attempt(&connector->cancels, "cancel"), error);
}

void
connector_withdraw(struct connector *connector, struct cancel_request *request)
{
    struct attempt *attempt;

    LIST_FOREACH (attempt, &connector->cancels, link) {
        if (attempt->cancel != request || !attempt->waiting)
            continue;
        connector->counts.withdrawn++;
        cancel_post(attempt, -ECANCELED);
        return;
    }
}

/* --- for other poolers ----------------------------------------------------------------------- */

static void
forward_done(struct message *message)
{
    struct forward_request *const request = container_of(message, struct forward_request, message);

    request->done(request, request->error, request->text);
}

void
connector_forward(struct connector *connector, struct forward_request *request)
{
    if (connector->forward != NULL)
        complain("a second request is passed on");
    connector->forward = request;
}

const struct forward_request *
fake_connector_forwarded(const struct connector *connector)
{
    return connector->forward;
}

void
fake_connector_finish_forward(struct connector *connector, int error)
{
    struct forward_request *const request = TAKE(connector->forward);

    if (request == NULL)
        complain("nothing is being passed on");
    request->error = error;
    (void)str_copy(request->text, sizeof(request->text), error < 0 ? strerror(-error) : "");
    request->message.fn = forward_done;
    loop_post(request->loop, &request->message);
}

void
connector_get_forward_load(struct connector *connector, int peer, struct forward_load *ret_load)
{
    const bool sent = connector->forward != NULL && connector->forward->peer == peer;

    *ret_load = (struct forward_load){.sent = sent};
}
