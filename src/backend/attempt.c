/*
 * attempt.c - one login, from a request to a hand-off or an error.
 *
 *     NEW --> RESOLVE --> CONNECT ---------------------> DONE (handed off)
 *                           ^  |
 *              next address |  v
 *                           +-CLOSE --> DONE (with an error)
 *                           |  |
 *                           |  v
 *                           +-PAUSE     (a unix socket whose backlog is full)
 *
 * One PGconn is one address, so that no name is looked up inside libpq and no dead address eats the
 * time of the others. What fails after the server has accepted the connection waits in CLOSE until
 * the server process has noticed: the permit is only given back when there is no process any more.
 */
#include "backend_int.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "str.h"
#include "timer.h"

/* How long a server may take to notice that nobody wants to log in any more. */
#define CLOSE_MAX (1 * SEC)
/* A unix socket with a full backlog does not queue the connect but refuses it. */
#define PAUSE     (20 * MSEC)
#define PAUSE_MAX 100

enum attempt_state {
    ATTEMPT_NEW,
    ATTEMPT_RESOLVE,
    ATTEMPT_CONNECT,
    ATTEMPT_CLOSE,
    ATTEMPT_PAUSE,
    ATTEMPT_DONE,
};

struct attempt {
    enum attempt_state state;
    struct task task;                /* its deadline is connect_timeout */
    struct list link;                /* in the connector's list, until DONE */
    struct message free_message;     /* frees it when nobody on the stack looks at it any more */
    struct connector *connector;     /* borrowed */
    struct connect_request *request; /* borrowed, until it is answered */
    struct timer *timer;             /* owned; runs for the present state only */

    struct resolve_query query; /* RESOLVE */
    bool asking;                /* the query is the resolver's */
    struct resolved addresses;
    size_t address; /* index of the present one */
    unsigned pauses;

    PGconn *conn; /* owned; CONNECT and CLOSE */
    struct trace trace;
    struct io *io;      /* owned; made anew for every step of libpq */
    bool accepted;      /* there may be a server process */
    struct drain drain; /* CLOSE */

    bool final;            /* no further address is tried */
    enum fault fault;      /* of the last failure */
    struct server *server; /* the result, or NULL: then error */
    struct backend_error error;
};

static void resolve_enter(struct attempt *attempt);
static void connect_enter(struct attempt *attempt);
static void close_enter(struct attempt *attempt);
static void pause_enter(struct attempt *attempt);
static void done_enter(struct attempt *attempt);

#define TO(state) (1u << ATTEMPT_##state)

/* clang-format off */
static const struct {
    unsigned next;                           /* mask of the states that may follow */
    void (*enter)(struct attempt *attempt);
} states[] = {
    [ATTEMPT_NEW]     = { TO(RESOLVE),                       NULL },
    [ATTEMPT_RESOLVE] = { TO(CONNECT) | TO(DONE),            resolve_enter },
    [ATTEMPT_CONNECT] = { TO(CLOSE) | TO(DONE),              connect_enter },
    [ATTEMPT_CLOSE]   = { TO(CONNECT) | TO(PAUSE) | TO(DONE), close_enter },
    [ATTEMPT_PAUSE]   = { TO(CONNECT) | TO(DONE),            pause_enter },
    [ATTEMPT_DONE]    = { 0,                                 done_enter },
};
/* clang-format on */

/* The only place where the state changes. What the old state was waiting for is forgotten. */
static void
attempt_set_state(struct attempt *attempt, enum attempt_state next)
{
    assert(states[attempt->state].next & (1u << next));
    timer_stop(attempt->timer);
    drain_stop(&attempt->drain);
    io_free(TAKE(attempt->io));
    if (attempt->asking)
        resolver_cancel(&attempt->query);
    attempt->asking = false;
    attempt->state = next;
    states[next].enter(attempt);
}

static const struct backend_target *
attempt_target(const struct attempt *attempt)
{
    return attempt->request->target;
}

/* To where a failure leads: there may be something to close first. */
static void
attempt_fail(struct attempt *attempt, enum fault fault)
{
    attempt->fault = fault;
    attempt_set_state(attempt, attempt->state == ATTEMPT_CONNECT ? ATTEMPT_CLOSE : ATTEMPT_DONE);
}

static void
attempt_no_memory(struct attempt *attempt)
{
    backend_error_set(&attempt->error, "53200", "out of memory");
    attempt->final = true;
    attempt_fail(attempt, FAULT_NONE);
}

/* ---- RESOLVE */

static void
resolve_done(struct resolve_query *query, const struct resolved *answer)
{
    struct attempt *attempt = container_of(query, struct attempt, query);

    attempt->asking = false;
    if (answer->error != 0 || answer->count == 0) {
        backend_error_set(&attempt->error, "08001", "could not translate host name \"%s\": %s",
                          attempt_target(attempt)->host, gai_strerror(answer->error));
        attempt_fail(attempt, FAULT_HOST);
        return;
    }
    attempt->addresses = *answer;
    attempt_set_state(attempt, ATTEMPT_CONNECT);
}

static void
resolve_enter(struct attempt *attempt)
{
    const struct backend_target *target = attempt_target(attempt);
    int r;

    if (target_is_unix(target)) {
        attempt->addresses.count = 1; /* the path itself */
        attempt_set_state(attempt, ATTEMPT_CONNECT);
        return;
    }
    attempt->query.done = resolve_done;
    r = resolver_ask(attempt->connector->resolver, target->host, &attempt->query);
    if (r < 0) {
        backend_error_set(&attempt->error, "08001", "could not look up host name \"%s\": %s",
                          target->host, strerror(-r));
        attempt_fail(attempt, FAULT_NONE);
        return;
    }
    attempt->asking = true;
}

/* ---- CONNECT */

static void connect_step(void *arg, unsigned what);

static const char *
connect_address(const struct attempt *attempt)
{
    return target_is_unix(attempt_target(attempt)) ? NULL
                                                   : attempt->addresses.address[attempt->address];
}

/* A login that went wrong behind the server's back, or ours: whom shall it keep from trying again?
 */
static enum fault
connect_fault(const struct attempt *attempt)
{
    if (attempt->error.transient)
        return FAULT_STARTING;
    return attempt->error.from_server || attempt->accepted ? FAULT_LOGIN : FAULT_HOST;
}

static void
connect_failed(struct attempt *attempt)
{
    login_error_parse(&attempt->error, PQerrorMessage(attempt->conn), attempt->accepted);
    if (!attempt->error.from_server && PQconnectionNeedsPassword(attempt->conn))
        login_error_no_password(&attempt->error, attempt_target(attempt));
    attempt_fail(attempt, connect_fault(attempt));
}

static void
connect_succeeded(struct attempt *attempt)
{
    trace_stop(&attempt->trace, attempt->conn);
    if (handoff(attempt->conn, &attempt->trace, attempt->request->target, &attempt->server,
                &attempt->error) < 0) {
        attempt->final = true;
        attempt_fail(attempt, FAULT_LOGIN);
        return;
    }
    attempt->conn = NULL; /* the server's now */
    attempt_set_state(attempt, ATTEMPT_DONE);
}

static void
ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

/* libpq may have closed its socket and opened another with the same number: a new io each time. */
static void
connect_wait(struct attempt *attempt, unsigned what)
{
    attempt->io = io_new(attempt->connector->loop, PQsocket(attempt->conn), "libpq connect",
                         connect_step, attempt);
    if (attempt->io == NULL || io_want(attempt->io, what) < 0)
        attempt_no_memory(attempt);
}

/*
 * Some versions of libpq ask to wait for the socket while OpenSSL has already read what they wait
 * for; no event would ever come.
 */
static bool
has_decrypted_input(PGconn *conn)
{
    SSL *tls =
        PQsslInUse(conn) && libpq()->features.tls_usable ? PQsslStruct(conn, "OpenSSL") : NULL;

    return tls != NULL && SSL_pending(tls) > 0;
}

/* What the server demands may be an answer that libpq cannot give. */
static enum md5_login
connect_answer(struct attempt *attempt)
{
    const struct backend_target *target = attempt_target(attempt);

    if (target->password != NULL || target->md5_secret == NULL ||
        PQstatus(attempt->conn) != CONNECTION_AWAITING_RESPONSE)
        return MD5_LOGIN_NOT_ASKED;
    return md5_login(attempt->conn, target->md5_secret);
}

static PostgresPollingStatusType
connect_poll(struct attempt *attempt)
{
    const enum md5_login answer = connect_answer(attempt);
    PostgresPollingStatusType status;

    if (answer == MD5_LOGIN_WAIT || answer == MD5_LOGIN_ANSWERED)
        return PGRES_POLLING_READING;
    if (answer == MD5_LOGIN_FAILED)
        (void)shutdown(PQsocket(attempt->conn), SHUT_RDWR); /* libpq will find that out */
    status = PQconnectPoll(attempt->conn);
    if (PQstatus(attempt->conn) != CONNECTION_STARTED && PQstatus(attempt->conn) != CONNECTION_BAD)
        attempt->accepted = true;
    return status;
}

static void
connect_step(void *arg, unsigned what)
{
    struct attempt *attempt = arg;
    PostgresPollingStatusType status;
    unsigned rounds = 64; /* a few are enough; whatever libpq does, the loop must go on */

    (void)what;
    io_free(TAKE(attempt->io));
    do {
        status = connect_poll(attempt);
    } while (status == PGRES_POLLING_READING && has_decrypted_input(attempt->conn) && --rounds > 0);

    switch (status) {
    case PGRES_POLLING_OK:
        connect_succeeded(attempt);
        break;
    case PGRES_POLLING_READING:
        connect_wait(attempt, IO_READ);
        break;
    case PGRES_POLLING_WRITING:
        connect_wait(attempt, IO_WRITE);
        break;
    default:
        connect_failed(attempt);
        break;
    }
}

/* An address has its share of the time that is left, so that those behind it get theirs. */
static int
connect_set_share(struct attempt *attempt)
{
    const usec_t left = usec_sub(attempt->task.deadline, loop_now(attempt->connector->loop));
    const size_t addresses = attempt->addresses.count - attempt->address;

    if (attempt->task.deadline == USEC_NEVER || addresses == 1)
        return 0; /* the task's own deadline will do */
    return timer_start(attempt->timer, left / addresses);
}

static int
connect_begin(struct attempt *attempt)
{
    CLEANUP(conninfo_done) struct conninfo info = {.count = 0};
    int r;

    r = conninfo_init(&info, attempt_target(attempt), connect_address(attempt));
    if (r < 0)
        return r;
    attempt->accepted = false;
    attempt->conn = PQconnectStartParams(info.keywords, info.values, 0);
    if (attempt->conn == NULL)
        return -ENOMEM;
    (void)PQsetNoticeReceiver(attempt->conn, ignore_notice, NULL);
    (void)PQsetErrorVerbosity(attempt->conn, PQERRORS_VERBOSE);
    r = trace_start(&attempt->trace, attempt->conn);
    if (r < 0)
        return r;
    return connect_set_share(attempt);
}

static void
connect_enter(struct attempt *attempt)
{
    if (connect_begin(attempt) < 0)
        attempt_no_memory(attempt);
    else if (PQstatus(attempt->conn) == CONNECTION_BAD)
        connect_failed(attempt);
    else
        connect_wait(attempt, IO_WRITE); /* as the manual of PQconnectPoll has it */
}

static void
connect_timed_out(struct attempt *attempt)
{
    const struct backend_target *target = attempt_target(attempt);
    const char *address = connect_address(attempt);

    if (address == NULL)
        address = target->host != NULL ? target->host : "unix";
    backend_error_set(&attempt->error, attempt->accepted ? "08006" : "08001",
                      "connection to server at \"%s\", port %d failed: timeout expired", address,
                      target->port);
    attempt_fail(attempt, FAULT_HOST);
}

/* ---- CLOSE */

static bool
is_full_backlog(const struct attempt *attempt)
{
    return connect_address(attempt) == NULL && !attempt->accepted &&
           strstr(attempt->error.message, strerror(EAGAIN)) != NULL && attempt->pauses < PAUSE_MAX;
}

/* A server that says no says it at all its addresses; one that is not ready leaves us the others.
 */
static bool
may_try_next(const struct attempt *attempt)
{
    return (attempt->fault == FAULT_HOST || attempt->fault == FAULT_STARTING) &&
           attempt->address + 1 < attempt->addresses.count;
}

static void
close_done(struct attempt *attempt)
{
    enum attempt_state next = ATTEMPT_DONE;

    drain_stop(&attempt->drain);
    trace_stop(&attempt->trace, attempt->conn);
    trace_done(&attempt->trace);
    PQfinish(TAKE(attempt->conn));
    if (!attempt->final && is_full_backlog(attempt)) {
        next = ATTEMPT_PAUSE;
    } else if (!attempt->final && may_try_next(attempt)) {
        attempt->address++;
        next = ATTEMPT_CONNECT;
    }
    attempt_set_state(attempt, next);
}

static void
close_drained(struct drain *drain, bool ended)
{
    (void)ended; /* what does not answer will not do harm either */
    close_done(container_of(drain, struct attempt, drain));
}

static void
close_enter(struct attempt *attempt)
{
    const int fd = attempt->accepted ? PQsocket(attempt->conn) : -1;

    if (PQstatus(attempt->conn) == CONNECTION_OK)
        (void)PQsetnonblocking(attempt->conn, 1); /* else PQfinish may wait for the socket */
    if (fd >= 0)
        (void)shutdown(fd, SHUT_WR);
    if (fd < 0 ||
        drain_start(&attempt->drain, attempt->connector->loop, fd, CLOSE_MAX, close_drained) < 0)
        close_done(attempt);
}

/* ---- PAUSE */

static void
pause_enter(struct attempt *attempt)
{
    attempt->pauses++;
    if (timer_start(attempt->timer, PAUSE) < 0)
        attempt_no_memory(attempt);
}

/* ---- DONE */

static void
attempt_free(struct message *message)
{
    free(container_of(message, struct attempt, free_message));
}

static void
attempt_judge(struct attempt *attempt)
{
    struct connector *connector = attempt->connector;

    if (attempt->server != NULL)
        gates_succeed(&connector->gates, attempt_target(attempt));
    else
        gates_fail(&connector->gates, attempt_target(attempt), attempt->fault,
                   loop_now(connector->loop), &attempt->error);
}

static void
done_enter(struct attempt *attempt)
{
    struct connector *connector = attempt->connector;
    struct connect_request *request = attempt->request;

    attempt_judge(attempt);
    timer_free(TAKE(attempt->timer));
    trace_done(&attempt->trace);
    list_remove(&attempt->link);
    task_finish(&attempt->task);
    attempt->request = NULL;
    attempt->free_message.fn = attempt_free;
    loop_defer(connector->loop, &attempt->free_message);
    request->error = attempt->error;
    (void)atomic_fetch_sub(&connector->stats.connecting, 1);
    connector_answer(connector, request,
                     attempt->server != NULL ? &attempt->server->backend : NULL);
    connector_check_end(connector);
}

/* ---- from outside */

static void
attempt_timer(void *arg)
{
    struct attempt *attempt = arg;

    if (attempt->state == ATTEMPT_CONNECT)
        connect_timed_out(attempt);
    else
        attempt_set_state(attempt, ATTEMPT_CONNECT); /* the pause is over */
}

static void
attempt_time_is_up(struct attempt *attempt)
{
    switch (attempt->state) {
    case ATTEMPT_CONNECT:
        connect_timed_out(attempt);
        break;
    case ATTEMPT_RESOLVE:
        backend_error_set(&attempt->error, "08001", "could not translate host name \"%s\": %s",
                          attempt_target(attempt)->host, "timeout expired");
        attempt_fail(attempt, FAULT_HOST);
        break;
    case ATTEMPT_PAUSE: /* with the error that led here */
        attempt_fail(attempt, FAULT_HOST);
        break;
    default: /* CLOSE goes on; DONE has no deadline */
        break;
    }
}

static void
attempt_cancel(struct task *task, enum task_why why)
{
    struct attempt *attempt = container_of(task, struct attempt, task);

    attempt->final = true;
    if (why == TASK_TIMED_OUT) {
        attempt_time_is_up(attempt);
        return;
    }
    backend_error_set(&attempt->error, "57014", "the connection is not wanted any more");
    if (attempt->state == ATTEMPT_CLOSE)
        attempt->fault = FAULT_NONE;
    else
        attempt_fail(attempt, FAULT_NONE);
}

void
attempts_reap(struct connector *connector)
{
    struct attempt *attempt;

    /* Ending one never ends another. */
    LIST_FOREACH_SAFE (attempt, &connector->attempt_list, link)
        if (atomic_load(&attempt->request->cancelled))
            task_cancel(&attempt->task);
}

static int
attempt_new(struct connector *connector, struct connect_request *request,
            struct attempt **ret_attempt)
{
    CLEANUP(free) struct attempt *attempt = calloc(1, sizeof(*attempt));
    const struct backend_target *target = request->target;
    char owner[sizeof(attempt->task.owner)];
    int r;

    if (attempt == NULL)
        return -ENOMEM;
    attempt->connector = connector;
    attempt->request = request;
    attempt->timer = timer_new(connector->loop, "libpq connect", attempt_timer, attempt);
    if (attempt->timer == NULL)
        return -ENOMEM;
    (void)snprintf(owner, sizeof(owner), "%s/%s@%s:%d", target->dbname, target->user,
                   target->host != NULL ? target->host : "unix", target->port);
    r = task_start(&attempt->task, connector->attempts, "connect", owner, target->connect_timeout,
                   attempt_cancel);
    if (r < 0) {
        timer_free(attempt->timer);
        return r;
    }
    list_push_back(&connector->attempt_list, &attempt->link);
    *ret_attempt = TAKE(attempt);
    return 0;
}

void
attempt_start(struct connector *connector, struct connect_request *request)
{
    struct attempt *attempt;
    int r;

    if (!gates_pass(&connector->gates, request->target, loop_now(connector->loop),
                    &request->error)) {
        connector_answer(connector, request, NULL);
        return;
    }
    r = attempt_new(connector, request, &attempt);
    if (r < 0) {
        backend_error_set(&request->error, r == -ECANCELED ? "57P01" : "53200", "%s",
                          r == -ECANCELED ? "the daemon is shutting down" : "out of memory");
        gates_fail(&connector->gates, request->target, FAULT_NONE, loop_now(connector->loop),
                   &request->error);
        connector_answer(connector, request, NULL);
        return;
    }
    (void)atomic_fetch_add(&connector->stats.connecting, 1);
    attempt_set_state(attempt, ATTEMPT_RESOLVE);
}
