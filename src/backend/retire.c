/*
 * retire.c - the end of a server connection.
 *
 *     say goodbye --> wait for the server's end --(a second has passed)--> cancel --+
 *                       |         ^                                                 |
 *                       v         +-------------------------------------------------+
 *                     freed, `retired` posted
 *
 * A connection that ends in the middle of something starts with a cancel. It is said again and
 * again, because a cancel that arrives before its query is lost, and the query then runs on with
 * nobody to tell it.
 */
#include "backend_int.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "log.h"

#define RETIRE_MAX   (10 * SEC) /* then the server is left to itself */
#define RETIRE_ROUND (1 * SEC)  /* between two cancels */

static const char terminate[5] = {'X', 0, 0, 0, 4};

static void
retire_finish(struct server *server)
{
    struct connector *connector = server->connector;
    struct loop *loop = server->retired_loop;
    struct message *retired = server->retired;

    task_finish(&server->task);
    server_free(server);
    (void)atomic_fetch_add(&connector->stats.retired, 1);
    if (retired != NULL)
        loop_post(loop, retired);
    connector_check_end(connector);
}

/* The stream has left the SSL without a way out: libpq's own socket is one. */
static void
say_terminate(struct server *server)
{
    SSL *tls = server->backend.tls;

    if (tls == NULL) {
        (void)send(server->backend.fd, terminate, sizeof(terminate), MSG_DONTWAIT | MSG_NOSIGNAL);
        return;
    }
    ERR_clear_error();
    if (SSL_set_fd(tls, server->backend.fd))
        (void)SSL_write(tls, terminate, sizeof(terminate));
    ERR_clear_error();
}

static void
say_goodbye(struct server *server)
{
    if (server->polite)
        say_terminate(server);
    /* Also for a server that did not get it: it reads the end of file next. */
    (void)shutdown(server->backend.fd, SHUT_WR);
}

static void
retire_give_up(const struct server *server)
{
    const struct backend *backend = &server->backend;

    log_warning("server process %d of %s/%s at %s:%d did not end within %u s, leaving it to itself",
                backend->pid, backend->target->dbname, backend->target->user, backend->remote_addr,
                backend->remote_port, (unsigned)(RETIRE_MAX / SEC));
}

static void retire_wait(struct server *server);

static void
retire_cancelled(void *arg, int error, const char *text)
{
    (void)arg; /* retire_continue comes when all cancels are over */
    (void)error;
    (void)text;
}

/* Cancels, then waits on; retire_continue is where that leads. */
static void
retire_cancel(struct server *server)
{
    if (cancelling_start(server->connector, server->backend.cancel, RETIRE_MAX, NULL,
                         retire_cancelled, server) < 0)
        retire_continue(server);
}

static void
retire_drained(struct drain *drain, bool ended)
{
    struct server *server = container_of(drain, struct server, drain);
    const usec_t now = loop_now(server->connector->loop);

    if (ended) {
        retire_finish(server);
    } else if (now - server->retire_started < RETIRE_MAX) {
        retire_cancel(server);
    } else {
        retire_give_up(server);
        retire_finish(server);
    }
}

static void
retire_wait(struct server *server)
{
    if (drain_start(&server->drain, server->connector->loop, server->backend.fd, RETIRE_ROUND,
                    retire_drained) < 0) {
        retire_give_up(server);
        retire_finish(server);
    }
}

/* No cancel is in flight: the process may be seen to its end. */
void
retire_continue(struct server *server)
{
    if (server->backend.cancel->in_flight == 0)
        retire_wait(server);
}

static void
retire_task_cancelled(struct task *task, enum task_why why)
{
    (void)task; /* has no deadline; and is seen through, whoever asks */
    (void)why;
}

void
retire_start(struct server *server)
{
    struct connector *connector = server->connector;
    struct backend_cancel *cancel = server->backend.cancel;
    char owner[sizeof(server->task.owner)];

    cancel->gone = true; /* no new ones but ours */
    if (connector->state == CONNECTOR_STOPPED) {
        retire_finish(server);
        return;
    }
    (void)snprintf(owner, sizeof(owner), "%s/%s pid %d", server->backend.target->dbname,
                   server->backend.target->user, server->backend.pid);
    (void)task_start(&server->task, connector->endings, "retire", owner, 0, retire_task_cancelled);
    cancel->waiter = server;
    server->retire_started = loop_now(connector->loop);
    say_goodbye(server);
    if (server->polite)
        retire_continue(server);
    else
        retire_cancel(server);
}
