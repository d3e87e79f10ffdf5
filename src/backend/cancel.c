/*
 * cancel.c - cancels, sent over a connection of their own.
 *
 * Since version 17 libpq does it without blocking and through TLS; before, PQcancel blocks until
 * the server has closed, so it runs on the executor, in plain text. Either way a cancel is over
 * when the server has closed its connection: then the signal has been sent, and not before.
 *
 *     waiting for its turn --> begun --> told how it ended --> freed, when its job has ended, too
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

#include "str.h"
#include "timer.h"

#define CANCEL_TIMEOUT (10 * SEC)
/*
 * So many at once: connections of libpq; or, of a libpq that blocks, threads of the executor. Those
 * may be stuck for minutes when a host does not answer, and others need a thread, too.
 */
#define CANCELS_MAX     64
#define CANCEL_JOBS_MAX 4
/* The executor's queue is full: again after that. */
#define CANCEL_RETRY (20 * MSEC)

/* ---- what a cancel needs */

int
backend_cancel_new(PGconn *conn, struct backend_cancel **ret_cancel)
{
    struct backend_cancel *cancel = calloc(1, sizeof(*cancel));

    if (cancel == NULL)
        return -ENOMEM;
    ref_init(&cancel->ref);
    if (libpq()->features.cancel_nonblocking)
        cancel->conn = conn;
    else
        cancel->cancel = PQgetCancel(conn);
    if (cancel->conn == NULL && cancel->cancel == NULL) {
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
    PQfreeCancel(cancel->cancel);
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

    struct job job;      /* up to libpq 16 */
    bool working;        /* the job is the executor's */
    struct timer *timer; /* owned; until the executor has room */
    int error;           /* of the job */
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

/* When nothing refers to it any more, neither the asker nor the executor. */
static void
cancelling_release(struct cancelling *c)
{
    if (c->done != NULL || c->working)
        return;
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
job_run(struct job *job)
{
    struct cancelling *c = container_of(job, struct cancelling, job);

    c->error = PQcancel(c->cancel->cancel, c->text, sizeof(c->text)) ? 0 : -ECONNABORTED;
}

static void
job_done(struct job *job, bool cancelled)
{
    struct cancelling *c = container_of(job, struct cancelling, job);

    c->working = false;
    if (c->done == NULL)
        cancelling_release(c); /* it was told that it took too long */
    else if (cancelled)
        cancelling_tell(c, -ESHUTDOWN, "the daemon is shutting down");
    else
        cancelling_tell(c, c->error, c->text);
}

static void
job_begin(void *arg)
{
    struct cancelling *c = arg;
    int r;

    c->job.run = job_run;
    c->job.done = job_done;
    r = executor_submit(c->connector->executor, c->connector->loop, &c->job);
    c->working = r == 0;
    if (r == -EAGAIN)
        r = timer_start(c->timer, CANCEL_RETRY);
    if (r < 0)
        cancelling_tell(c, r, strerror(-r));
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
        job_begin(c);
}

/* Begins those whose turn has come; one that fails at once comes here again, from below. */
static void
cancels_go_on(struct connector *connector)
{
    const unsigned max = libpq()->features.cancel_nonblocking ? CANCELS_MAX : CANCEL_JOBS_MAX;
    struct cancels *cancels = &connector->cancels;
    struct list *link;

    if (cancels->going_on)
        return;
    cancels->going_on = true;
    while (cancels->begun < max && (link = list_pop(&cancels->waiting)) != NULL) {
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
    c->withdrawn = withdrawn;
    c->done = done;
    c->arg = arg;
    c->timer = timer_new(connector->loop, "cancel retry", job_begin, c);
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
