/*
 * forward.c - cancel requests that are passed on to other poolers.
 *
 * A packet of a few bytes over a connection of its own, in plain text as PgBouncer does it. Who
 * gets it closes the connection when the cancel is through; until then it is under way.
 *
 *     WAITING --> CONNECTING --> SENT --> told, freed
 *        |            |                    ^
 *        +------------+- no more patience -+
 */
#include "backend_int.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dial.h"
#include "fd.h"
#include "str.h"
#include "timer.h"

/* How long the other one may take for the cancel. */
#define SENT_LIMIT (10 * SEC)
/* So many wait for one peer at most; who cannot be reached is not remembered for ever. */
#define WAITING_MAX 1000
/* The executor's queue is full, or the peer's: again after that. */
#define RETRY_AFTER (20 * MSEC)

/* All that goes to one other pooler. */
struct peer {
    struct list link; /* in forwards->peers */
    int id;
    struct list waiting;      /* struct forward, oldest first */
    struct forward_load load; /* under the mutex: others look at it */
    bool going_on;
};

enum forward_state { FORWARD_WAITING, FORWARD_CONNECTING, FORWARD_SENT, FORWARD_TOLD };

struct forward {
    enum forward_state state;
    struct task task;                /* in the connector's endings, until it is told */
    struct list link;                /* in peer->waiting */
    struct connector *connector;     /* borrowed */
    struct peer *peer;               /* borrowed */
    struct forward_request *request; /* borrowed until told */
    struct resolve_query query;
    struct resolved addresses;
    size_t next; /* of the addresses */
    int fd;      /* owned; -1 while there is none */
    struct io *io;
    struct timer *retry;
    struct drain drain;
    struct message free_message;
};

/* ---- peers -----------------------------------------------------------------------------------
 */

void
forwards_init(struct forwards *forwards)
{
    list_init(&forwards->peers);
    (void)pthread_mutex_init(&forwards->mutex, NULL);
}

void
forwards_done(struct forwards *forwards)
{
    struct list *link;

    while ((link = list_pop(&forwards->peers)) != NULL)
        free(list_entry(link, struct peer, link));
    (void)pthread_mutex_destroy(&forwards->mutex);
}

static struct peer *
peer_find(struct forwards *forwards, int id)
{
    struct peer *peer;

    LIST_FOREACH (peer, &forwards->peers, link) {
        if (peer->id == id)
            return peer;
    }
    return NULL;
}

/* Peers are few, and stay. */
static struct peer *
peer_need(struct forwards *forwards, int id)
{
    struct peer *peer = peer_find(forwards, id);

    if (peer != NULL)
        return peer;
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return NULL;
    peer->id = id;
    list_init(&peer->waiting);
    (void)pthread_mutex_lock(&forwards->mutex);
    list_push_back(&forwards->peers, &peer->link);
    (void)pthread_mutex_unlock(&forwards->mutex);
    return peer;
}

void
connector_get_forward_load(struct connector *connector, int id, struct forward_load *ret_load)
{
    struct forwards *forwards = &connector->forwards;
    const struct peer *peer;

    (void)pthread_mutex_lock(&forwards->mutex);
    peer = peer_find(forwards, id);
    *ret_load = peer != NULL ? peer->load : (struct forward_load){0};
    (void)pthread_mutex_unlock(&forwards->mutex);
}

static unsigned *
peer_count(struct peer *peer, enum forward_state state)
{
    switch (state) {
    case FORWARD_WAITING:
        return &peer->load.waiting;
    case FORWARD_CONNECTING:
        return &peer->load.connecting;
    case FORWARD_SENT:
        return &peer->load.sent;
    default:
        return NULL;
    }
}

/* The only place where the state changes. */
static void
forward_set_state(struct forward *f, enum forward_state next)
{
    unsigned *const before = peer_count(f->peer, f->state), *const after =
                                                                peer_count(f->peer, next);

    assert(next > f->state);
    (void)pthread_mutex_lock(&f->connector->forwards.mutex);
    (*before)--;
    if (after != NULL)
        (*after)++;
    (void)pthread_mutex_unlock(&f->connector->forwards.mutex);
    f->state = next;
}

/* ---- its end ---------------------------------------------------------------------------------
 */

static void peer_go_on(struct peer *peer);

static void
forward_drop_connection(struct forward *f)
{
    io_free(TAKE(f->io));
    drain_stop(&f->drain);
    fd_close(FD_TAKE(f->fd));
}

static void
forward_free(struct message *message)
{
    struct forward *f = container_of(message, struct forward, free_message);

    free(f);
}

static void
request_answered(struct message *message)
{
    struct forward_request *request = container_of(message, struct forward_request, message);

    request->done(request, request->error, request->text);
}

void
forward_answer(struct forward_request *request, int error, const char *text)
{
    request->error = error;
    (void)str_copy(request->text, sizeof(request->text), text);
    request->message.fn = request_answered;
    loop_post(request->loop, &request->message);
}

static void
forward_tell(struct forward *f, int error, const char *text)
{
    struct connector *connector = f->connector;

    if (f->state == FORWARD_TOLD)
        return;
    forward_set_state(f, FORWARD_TOLD);
    forward_drop_connection(f);
    timer_free(TAKE(f->retry));
    resolver_cancel(&f->query);
    list_remove(&f->link);
    task_finish(&f->task);
    forward_answer(f->request, error, text);
    f->free_message.fn = forward_free;
    loop_defer(connector->loop, &f->free_message);
    peer_go_on(f->peer);
    connector_check_end(connector);
}

static void
forward_fail(struct forward *f, int error)
{
    forward_tell(f, error, strerror(-error));
}

static void
forward_timed_out(struct task *task, enum task_why why)
{
    struct forward *f = container_of(task, struct forward, task);

    (void)why; /* nobody cancels it */
    forward_tell(f, -ETIMEDOUT,
                 f->state == FORWARD_WAITING ? "too many others are under way"
                                             : "it could not be reached in time");
}

/* ---- connect, send, wait for the end ---------------------------------------------------------
 */

static void
forward_ended(struct drain *drain, bool ended)
{
    struct forward *f = container_of(drain, struct forward, drain);

    if (ended)
        forward_tell(f, 0, "");
    else
        forward_tell(f, -ETIMEDOUT, "it did not answer in time");
}

/* From here on it is not tried again: the cancel must not come twice. */
static void
forward_send(struct forward *f)
{
    struct forward_request *request = f->request;
    ssize_t n;
    int r;

    forward_set_state(f, FORWARD_SENT);
    task_finish(&f->task);
    r = task_start(&f->task, f->connector->endings, "forward", NULL, 0, forward_timed_out);
    if (r == 0)
        r = drain_start(&f->drain, f->connector->loop, f->fd, SENT_LIMIT, forward_ended);
    if (r < 0) {
        forward_fail(f, r);
        return;
    }
    n = send(f->fd, request->packet, request->len, MSG_NOSIGNAL);
    if (n != (ssize_t)request->len)
        forward_fail(f, n < 0 ? -errno : -EIO);
}

static void forward_try_next(struct forward *f, int error);

static void
forward_connected(void *arg, unsigned what)
{
    struct forward *f = arg;
    const int r = dial_result(f->fd);

    (void)what;
    io_free(TAKE(f->io));
    if (r < 0)
        forward_try_next(f, r);
    else
        forward_send(f);
}

static int
forward_dial(struct forward *f, const char *address)
{
    int r;

    forward_drop_connection(f);
    r = dial_begin(address, f->request->port, &f->fd);
    if (r < 0)
        return r;
    f->io = io_new(f->connector->loop, f->fd, "forward", forward_connected, f);
    return f->io != NULL ? io_want(f->io, IO_WRITE) : -ENOMEM;
}

/* error: what has become of the address before. */
static void
forward_try_next(struct forward *f, int error)
{
    while (f->next < f->addresses.count) {
        error = forward_dial(f, f->addresses.address[f->next++]);
        if (error == 0)
            return;
    }
    forward_fail(f, error);
}

static void
forward_resolved(struct resolve_query *query, const struct resolved *answer)
{
    struct forward *f = container_of(query, struct forward, query);

    if (answer->error != 0) {
        forward_tell(f, -EHOSTUNREACH, gai_strerror(answer->error));
        return;
    }
    f->addresses = *answer;
    forward_try_next(f, -EHOSTUNREACH);
}

static int
forward_try(struct forward *f)
{
    const char *host = f->request->host;

    if (host[0] == '/' || host[0] == '@')
        return forward_dial(f, host);
    f->query.done = forward_resolved;
    return resolver_ask(f->connector->resolver, host, &f->query);
}

static void
forward_connect(void *arg)
{
    struct forward *f = arg;
    int r = forward_try(f);

    if (r == -EAGAIN)
        r = timer_start(f->retry, RETRY_AFTER);
    if (r < 0)
        forward_fail(f, r);
}

/* ---- its turn --------------------------------------------------------------------------------
 */

static bool
peer_has_room(const struct peer *peer, const struct forward *f)
{
    return f->request->limit == 0 || peer->load.connecting + peer->load.sent < f->request->limit;
}

/* Begins those whose turn has come; one that fails at once comes here again, from below. */
static void
peer_go_on(struct peer *peer)
{
    struct forward *f;

    if (peer->going_on)
        return;
    peer->going_on = true;
    while ((f = list_entry(list_first(&peer->waiting), struct forward, link)) != NULL &&
           peer_has_room(peer, f)) {
        list_remove(&f->link);
        forward_set_state(f, FORWARD_CONNECTING);
        forward_connect(f);
    }
    peer->going_on = false;
}

static struct forward *
forward_new(struct connector *connector, struct forward_request *request)
{
    struct forward *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return NULL;
    f->connector = connector;
    f->request = request;
    f->fd = -1;
    f->peer = peer_need(&connector->forwards, request->peer);
    f->retry = timer_new(connector->loop, "forward retry", forward_connect, f);
    if (f->peer != NULL && f->retry != NULL &&
        task_start(&f->task, connector->endings, "forward", NULL, request->patience,
                   forward_timed_out) == 0)
        return f;
    timer_free(f->retry);
    free(f);
    return NULL;
}

int
forward_start(struct connector *connector, struct forward_request *request)
{
    const struct peer *const peer = peer_find(&connector->forwards, request->peer);
    struct forward *f;

    if (peer != NULL && peer->load.waiting >= WAITING_MAX)
        return -EAGAIN;
    f = forward_new(connector, request);
    if (f == NULL)
        return -ENOMEM;
    (void)pthread_mutex_lock(&connector->forwards.mutex);
    f->peer->load.waiting++;
    (void)pthread_mutex_unlock(&connector->forwards.mutex);
    list_push_back(&f->peer->waiting, &f->link);
    peer_go_on(f->peer);
    return 0;
}
