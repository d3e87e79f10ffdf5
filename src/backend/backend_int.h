/*
 * backend_int.h - what the files of the backend layer share.
 *
 *      connector.c   the thread; requests come in here, results leave from here
 *        attempt.c   one login: resolve, try each address with libpq, hand off
 *          conninfo.c    what libpq is told         trace.c         what the server told libpq
 *          md5_login.c   what libpq cannot do       gate.c          who may try again, and when
 *          login_error.c what libpq said went wrong
 *        handoff.c   from a PGconn to a struct backend
 *        retire.c    from a struct backend to nothing      drain.c  waits for the server's end
 *        cancel.c    cancels                               features.c  what this libpq can do
 *        forward.c   cancels that are for other poolers
 *
 * Thread: the connector's, but for what says otherwise.
 */
#pragma once

#include <assert.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "backend.h"
#include "buf.h"
#include "cleanup.h"
#include "list.h"
#include "loop.h"
#include "macros.h"
#include "map.h"
#include "ref.h"
#include "resolver.h"
#include "rng.h"
#include "task.h"
#include "usec.h"

struct timer;

/* ---- features.c: set once by backend_global_init, constant afterwards; any thread. */

/* libpq 17's cancel family, under names of our own: an older libpq-fe.h does not declare it. */
struct libpq_cancel;
struct libpq {
    struct backend_features features;
    struct libpq_cancel *(*cancel_create)(PGconn *conn);
    int (*cancel_start)(struct libpq_cancel *cancel);
    PostgresPollingStatusType (*cancel_poll)(struct libpq_cancel *cancel);
    int (*cancel_socket)(const struct libpq_cancel *cancel);
    char *(*cancel_error)(const struct libpq_cancel *cancel);
    void (*cancel_finish)(struct libpq_cancel *cancel);
};

const struct libpq *libpq(void);
/* Whether PQconnectStartParams takes this keyword. */
bool libpq_knows(const char *keyword);

/* ---- conninfo.c */

#define CONNINFO_MAX 40

struct conninfo {
    const char *keywords[CONNINFO_MAX + 1]; /* borrowed; NULL ends them */
    const char *values[CONNINFO_MAX + 1];   /* borrowed from the target, the address, or below */
    size_t count;
    struct buf options; /* owned */
    char numbers[6][12];
    size_t number_count;
};

/* Everything libpq is told; address is numeric, NULL for a unix socket. 0 or -ENOMEM. */
int conninfo_init(struct conninfo *info, const struct backend_target *target, const char *address);
void conninfo_done(struct conninfo *info);
DEFINE_CLEANUP_IN_PLACE(struct conninfo, conninfo_done);
/* The value of a keyword, NULL if it is not given. */
const char *conninfo_get(const struct conninfo *info, const char *keyword);

/* ---- target.c */

bool target_is_unix(const struct backend_target *target);
/* " -c name=value", where a blank or a backslash in the value would end or escape it. */
int target_append_setting(struct buf *options, const char *name, const char *value);

/* ---- login_error.c */

void backend_error_set(struct backend_error *error, const char *sqlstate, const char *format, ...)
    PRINTF_LIKE(3, 4);
/*
 * Fills error from libpq's verbose error message. accepted: the server had taken the connection, so
 * that what is not its own text tells of a connection lost, or of something that libpq did not
 * like.
 */
void login_error_parse(struct backend_error *error, const char *text, bool accepted);
/* The server wants a password, and there is none that it takes. */
void login_error_no_password(struct backend_error *error, const struct backend_target *target);

/* ---- md5_login.c */

enum md5_login {
    MD5_LOGIN_NOT_ASKED, /* go on with libpq: the server has said something else, or nothing */
    MD5_LOGIN_WAIT,      /* for the rest of what it says */
    MD5_LOGIN_ANSWERED,  /* go on with libpq, when the server says more */
    MD5_LOGIN_FAILED,    /* the connection is of no use any more */
};

/* To be called before libpq reads, while it awaits what the server demands. */
enum md5_login md5_login(PGconn *conn, const char *secret);

/* ---- trace.c */

/* Listens to what the server reports during the login: the names of its parameters, and the key. */
struct trace {
    FILE *file;       /* owned; NULL while not listening */
    struct buf names; /* each with its NUL */
    char line[160];   /* the beginning of the line that is being received */
    size_t line_len;
    bool failed;      /* no memory for a name */
    int32_t pid, key; /* what a cancel needs; 0 until the server has said so */
};

int trace_start(struct trace *trace, PGconn *conn);
/* Before the hand-off, and before PQfinish. Nothing happens when it does not listen. */
void trace_stop(struct trace *trace, PGconn *conn);
void trace_done(struct trace *trace);
/* What libpq writes; lines may come in pieces. */
void trace_feed(struct trace *trace, const char *data, size_t len);
/* Walks the names: NULL starts, NULL ends. */
const char *trace_next_name(const struct trace *trace, const char *name);

/* ---- gate.c */

/* Whose trouble a failed attempt is. */
enum fault {
    FAULT_NONE,     /* nobody's: abandoned, no memory */
    FAULT_HOST,     /* the host cannot be reached */
    FAULT_STARTING, /* the host is there, but not ready yet, or not any more */
    FAULT_LOGIN,    /* this user or this database only */
};

/* Hosts, and logins on a host, that have failed and must not be asked again just yet. */
struct gates {
    struct map map;
    struct list oldest_failure_first;
    struct rng *rng; /* borrowed */
};

void gates_init(struct gates *gates, struct rng *rng);
void gates_done(struct gates *gates);
/*
 * Whether an attempt may be made now, to be followed by exactly one of the two below. If not,
 * ret_error tells why the last one failed and when to ask again.
 */
bool gates_pass(struct gates *gates, const struct backend_target *target, usec_t now,
                struct backend_error *ret_error);
void gates_succeed(struct gates *gates, const struct backend_target *target);
/* Sets error->retry_at. */
void gates_fail(struct gates *gates, const struct backend_target *target, enum fault fault,
                usec_t now, struct backend_error *error);

/* ---- drain.c */

/* Discards what a peer still sends until it has closed; embedded, all zero while not running. */
struct drain {
    struct io *io;       /* owned */
    struct timer *timer; /* owned */
    int fd;              /* borrowed */
    void (*done)(struct drain *drain, bool ended);
};

/* done is called from the loop: ended, or not after limit. -ENOMEM: it will not be called. */
int drain_start(struct drain *drain, struct loop *loop, int fd, usec_t limit,
                void (*done)(struct drain *drain, bool ended));
void drain_stop(struct drain *drain);

/* ---- cancel.c */

/* A bound of their own, since each takes a connection, and of an old libpq a thread. */
struct cancels {
    struct list waiting; /* struct cancelling, oldest first */
    unsigned begun;
    bool going_on;
};

/* What is passed on to other poolers. */
struct forwards {
    struct list peers;     /* struct peer; changed by the connector's thread, */
    pthread_mutex_t mutex; /* under this; others look at the loads */
};

/* ---- connector.c */

struct connector {
    struct loop *loop;           /* owned */
    struct resolver *resolver;   /* owned */
    struct task_group *attempts; /* owned; cancelled at the close */
    struct task_group *endings;  /* owned; retirements and cancels, seen through at the close */
    struct list attempt_list;    /* struct attempt, not done yet */
    struct cancels cancels;
    struct forwards forwards;
    struct gates gates;
    struct rng rng;
    pthread_t thread;
    enum { CONNECTOR_OPEN, CONNECTOR_CLOSING, CONNECTOR_STOPPED } state;

    /* Said by other threads; poke brings it to the loop. */
    struct message poke;
    atomic_bool poked;
    atomic_bool close_wanted;
    _Atomic usec_t dns_ttl;
    _Atomic usec_t dns_nxdomain_ttl;
    _Atomic usec_t dns_check_period;

    struct {
        _Atomic uint64_t attempts, successes, failures, cancels, retired;
        atomic_uint connecting;
    } stats;
};

/* Gives the request its answer: backend, or NULL and request->error. */
void connector_answer(struct connector *connector, struct connect_request *request,
                      struct backend *backend);
/* A task has ended: the last one ends a connector that is closing. */
void connector_check_end(struct connector *connector);

/* ---- attempt.c */

struct attempt;

/* Takes the request over; it is answered later, or at once when the gates are closed. */
void attempt_start(struct connector *connector, struct connect_request *request);
/* Ends the attempts whose request is cancelled. */
void attempts_reap(struct connector *connector);

/* ---- handoff.c */

/* A server connection as this layer sees it; the owner sees backend. */
struct server {
    struct backend backend;
    PGconn *conn;                /* owned */
    struct connector *connector; /* borrowed; set by connector_retire */
    struct message message;      /* to the connector: retire it */

    /* Its end; see retire.c. */
    struct task task;
    struct drain drain;
    struct loop *retired_loop;
    struct message *retired;
    usec_t retire_started;
    bool polite;
};

/*
 * Takes conn, which has reached CONNECTION_OK, away from libpq. On failure conn stays the caller's
 * and error tells why.
 */
int handoff(PGconn *conn, const struct trace *trace, struct backend_target *target,
            struct server **ret_server, struct backend_error *error);
/* Frees it all, PQfinish included. */
void server_free(struct server *server);

/* ---- retire.c */

void retire_start(struct server *server);

/* ---- cancel.c */

#define CANCEL_PACKET_SIZE 16

struct backend_cancel {
    struct ref ref;
    PGconn *conn;  /* borrowed; from libpq 17 on, until gone */
    char *address; /* owned; up to libpq 16, as port and packet */
    int port;
    char packet[CANCEL_PACKET_SIZE];
    bool gone; /* the connection is being retired: no new cancels */
    unsigned in_flight;
    struct server *waiter; /* told when none is in flight any more */
};

int backend_cancel_new(PGconn *conn, const struct trace *trace, struct backend_cancel **ret_cancel);

struct cancelling;
typedef void cancelling_fn(void *arg, int error, const char *text);
/*
 * patience: how long it may wait for its turn, 0 without end. withdrawn, which may be NULL, is
 * looked at until then. done is called once, maybe before this returns. -ENOMEM: it will not be
 * called.
 */
int cancelling_start(struct connector *connector, struct backend_cancel *cancel, usec_t patience,
                     const _Atomic bool *withdrawn, cancelling_fn *done, void *arg);
/* Ends those that wait for their turn and were withdrawn. */
void cancels_reap(struct connector *connector);
/* Told by cancel.c: cancel->in_flight has become 0. */
void retire_continue(struct server *server);

/* ---- forward.c */

void forwards_init(struct forwards *forwards);
/* When none is under way any more. */
void forwards_done(struct forwards *forwards);
/* The request is answered later; or it is not, when this fails. */
int forward_start(struct connector *connector, struct forward_request *request);
/* Any thread. */
void forward_answer(struct forward_request *request, int error, const char *text);
