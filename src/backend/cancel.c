/*
 * cancel.c - cancels, sent over a connection of their own.
 *
 * Since version 17 libpq does it without blocking and through TLS. Before, there is only PQcancel,
 * which blocks until the server has closed, for ever if it must, and cannot be called off. So we
 * send the packet ourselves then, in plain text as PQcancel does. Either way a cancel is over when
 * the server has closed its connection: then the signal has been sent, and not before.
 *
 *     waiting for its turn --> begun --> told how it ended, freed
 *             |                              ^
 *             +-- withdrawn, no more patience-+
 *
 * A cancel in flight keeps the connection's process from being given up as gone (retire.c), so that
 * no cancel meets a stranger with the same process id.
 */
#include "backend_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dial.h"
#include "fd.h"
#include "pg.h"
#include "str.h"
#include "timer.h"

#define CANCEL_TIMEOUT (10 * SEC)
/* So many connections at once. */
#define CANCELS_MAX 64
/* The queue of a unix socket is full: again after that. */
#define CANCEL_RETRY (20 * MSEC)

/* ---- what a cancel needs */

/* As PQcancel: to where the connection leads, without asking for its name again. */
static int
take_packet(struct backend_cancel *cancel, PGconn *conn, const struct trace *trace)
{
    const char *address = PQhostaddr(conn);

    pg_put_uint32(cancel->packet, sizeof(cancel->packet));
    pg_put_uint32(cancel->packet + 4, PG_CANCEL_REQUEST);
    pg_put_uint32(cancel->packet + 8, (uint32_t)trace->pid);
    pg_put_uint32(cancel->packet + 12, (uint32_t)trace->key);
    if (address == NULL || address[0] == '\0')
        address = PQhost(conn); /* the directory of a unix socket */
    cancel->port = atoi(PQport(conn));
    return str_set(&cancel->address, address);
}

int
backend_cancel_new(PGconn *conn, const struct trace *trace, struct backend_cancel **ret_cancel)
{
    struct backend_cancel *cancel = calloc(1, sizeof(*cancel));

    if (cancel == NULL)
        return -ENOMEM;
    ref_init(&cancel->ref);
    if (libpq()->features.cancel_nonblocking)
        cancel->conn = conn;
    else if (take_packet(cancel, conn, trace) < 0) {
        free(cancel);
        return -ENOMEM;
    }
    *ret_cancel = cancel;
    return 0;
}

struct backend_cancel *
backend_cancel_ref(struct backend_cancel *cancel)
{
    ref_get(&cancel->ref);
    return cancel;
}

void
backend_cancel_unref(struct backend_cancel *cancel)
{
    if (cancel == NULL || !ref_put(&cancel->ref))
        return;
    explicit_bzero(cancel->packet, sizeof(cancel->packet));
    free(cancel->address);
    free(cancel);
}

/* ---- one cancel */

struct cancelling {
    struct task task;              /* in the connector's endings, until it is told */
    struct list link;              /* in the connector's cancels.waiting, until its turn comes */
    struct connector *connector;   /* borrowed */
    struct backend_cancel *cancel; /* a reference */
    const _Atomic bool *withdrawn; /* borrowed until told; NULL: it never is */
    cancelling_fn *done;           /* NULL once told */
    void *arg;
    bool begun; /* its turn has come */
    struct message free_message;

    struct libpq_cancel *conn; /* owned; libpq 17 */
    struct io *io;             /* owned; anew for every step */

    int fd;              /* up to libpq 16: owned; -1 while there is none */
    struct drain drain;  /* from when the packet is sent */
    struct timer *timer; /* owned; until a unix socket has room */
    char text[256];
};

static void cancels_go_on(struct connector *connector);

static void
cancelling_free(struct message *message)
{
    struct cancelling *c = container_of(message, struct cancelling, free_message);

    backend_cancel_unref(c->cancel);
    free(c);
}

static void
cancelling_release(struct cancelling *c)
{
    c->free_message.fn = cancelling_free;
    loop_defer(c->connector->loop, &c->free_message);
    if (!c->begun)
        return;
    c->connector->cancels.begun--;
    cancels_go_on(c->connector);
}

static void
cancelling_drop_resources(struct cancelling *c)
{
    io_free(TAKE(c->io));
    timer_free(TAKE(c->timer));
    drain_stop(&c->drain);
    fd_close(FD_TAKE(c->fd));
    if (c->conn != NULL)
        libpq()->cancel_finish(TAKE(c->conn));
}

static void
cancelling_tell(struct cancelling *c, int error, const char *text)
{
    struct connector *connector = c->connector;
    struct backend_cancel *cancel = c->cancel;
    cancelling_fn *done = TAKE(c->done);

    if (done == NULL)
        return;
    cancelling_drop_resources(c);
    list_remove(&c->link);
    task_finish(&c->task);
    if (error == 0)
        (void)atomic_fetch_add(&connector->stats.cancels, 1);
    done(c->arg, error, text);
    if (--cancel->in_flight == 0 && cancel->waiter != NULL)
        retire_continue(cancel->waiter);
    cancelling_release(c);
    connector_check_end(connector);
}

static void
cancelling_timed_out(struct task *task, enum task_why why)
{
    struct cancelling *c = container_of(task, struct cancelling, task);

    (void)why; /* nobody cancels a cancel */
    if (c->begun)
        cancelling_tell(c, -ETIMEDOUT, "the server did not answer the cancel request in time");
    else
        cancelling_tell(c, -EAGAIN, "too many others were under way");
}

/* ---- libpq 17 and later */

static void
poll_failed(struct cancelling *c)
{
    (void)str_copy(c->text, sizeof(c->text), str_trim(libpq()->cancel_error(c->conn)));
    cancelling_tell(c, -ECONNABORTED, c->text);
}

static void poll_step(void *arg, unsigned what);

static void
poll_wait(struct cancelling *c, unsigned what)
{
    c->io =
        io_new(c->connector->loop, libpq()->cancel_socket(c->conn), "libpq cancel", poll_step, c);
    if (c->io == NULL || io_want(c->io, what) < 0)
        cancelling_tell(c, -ENOMEM, "out of memory");
}

static void
poll_step(void *arg, unsigned what)
{
    struct cancelling *c = arg;

    (void)what;
    io_free(TAKE(c->io));
    switch (libpq()->cancel_poll(c->conn)) {
    case PGRES_POLLING_OK:
        cancelling_tell(c, 0, "");
        break;
    case PGRES_POLLING_READING:
        poll_wait(c, IO_READ);
        break;
    case PGRES_POLLING_WRITING:
        poll_wait(c, IO_WRITE);
        break;
    default:
        poll_failed(c);
        break;
    }
}

static void
poll_begin(struct cancelling *c)
{
    c->conn = libpq()->cancel_create(c->cancel->conn);
    if (c->conn == NULL)
        cancelling_tell(c, -ENOMEM, "out of memory");
    else if (!libpq()->cancel_start(c->conn))
        poll_failed(c);
    else
        poll_wait(c, IO_WRITE);
}

/* ---- up to libpq 16 */

static void
packet_fail(struct cancelling *c, int error)
{
    cancelling_tell(c, error, strerror(-error));
}

/* A server that resets the connection has read the packet, too. */
static void
packet_drained(struct drain *drain, bool ended)
{
    (void)ended; /* its limit is the task's */
    cancelling_tell(container_of(drain, struct cancelling, drain), 0, "");
}

static void
packet_send(void *arg, unsigned what)
{
    struct cancelling *c = arg;
    const size_t size = sizeof(c->cancel->packet);
    int r = dial_result(c->fd);

    (void)what;
    io_free(TAKE(c->io));
    if (r == 0 && send(c->fd, c->cancel->packet, size, MSG_NOSIGNAL) != (ssize_t)size)
        r = -errno;
    if (r == 0)
        r = drain_start(&c->drain, c->connector->loop, c->fd, DAY, packet_drained);
    if (r < 0)
        packet_fail(c, r);
}

static void
packet_begin(void *arg)
{
    struct cancelling *c = arg;
    int r = dial_begin(c->cancel->address, c->cancel->port, &c->fd);

    if (r == 0) {
        c->io = io_new(c->connector->loop, c->fd, "cancel", packet_send, c);
        r = c->io != NULL ? io_want(c->io, IO_WRITE) : -ENOMEM;
    } else if (r == -EAGAIN) {
        r = timer_start(c->timer, CANCEL_RETRY);
    }
    if (r < 0)
        packet_fail(c, r);
}

/* ---- their turn */

static bool
cancelling_is_withdrawn(const struct cancelling *c)
{
    return c->withdrawn != NULL && atomic_load(c->withdrawn);
}

static void
cancelling_begin(struct cancelling *c)
{
    struct connector *connector = c->connector;

    c->begun = true;
    connector->cancels.begun++;
    task_finish(&c->task);
    if (task_start(&c->task, connector->endings, "cancel", NULL, CANCEL_TIMEOUT,
                   cancelling_timed_out) < 0)
        cancelling_tell(c, -ENOMEM, "out of memory");
    else if (libpq()->features.cancel_nonblocking)
        poll_begin(c);
    else
        packet_begin(c);
}

/* Begins those whose turn has come; one that fails at once comes here again, from below. */
static void
cancels_go_on(struct connector *connector)
{
    struct cancels *cancels = &connector->cancels;
    struct list *link;

    if (cancels->going_on)
        return;
    cancels->going_on = true;
    while (cancels->begun < CANCELS_MAX && (link = list_pop(&cancels->waiting)) != NULL) {
        struct cancelling *c = list_entry(link, struct cancelling, link);

        if (cancelling_is_withdrawn(c))
            cancelling_tell(c, -ECANCELED, "");
        else
            cancelling_begin(c);
    }
    cancels->going_on = false;
}

void
cancels_reap(struct connector *connector)
{
    struct cancelling *c;

    LIST_FOREACH_SAFE (c, &connector->cancels.waiting, link) {
        if (cancelling_is_withdrawn(c))
            cancelling_tell(c, -ECANCELED, "");
    }
}

int
cancelling_start(struct connector *connector, struct backend_cancel *cancel, usec_t patience,
                 const _Atomic bool *withdrawn, cancelling_fn *done, void *arg)
{
    CLEANUP(free) struct cancelling *c = calloc(1, sizeof(*c));
    int r;

    if (c == NULL)
        return -ENOMEM;
    c->connector = connector;
    c->fd = -1;
    c->withdrawn = withdrawn;
    c->done = done;
    c->arg = arg;
    c->timer = timer_new(connector->loop, "cancel retry", packet_begin, c);
    if (c->timer == NULL)
        return -ENOMEM;
    r = task_start(&c->task, connector->endings, "cancel", NULL, patience, cancelling_timed_out);
    if (r < 0) {
        timer_free(c->timer);
        return r;
    }
    c->cancel = backend_cancel_ref(cancel);
    cancel->in_flight++;
    list_push_back(&connector->cancels.waiting, &c->link);
    (void)TAKE(c); /* it frees itself */
    cancels_go_on(connector);
    return 0;
}
