/*
 * backend.h - server connections: made by libpq on the connector thread, then handed off for good.
 *
 * connector_connect asks for a connection; when it is there, the asking loop is given a struct
 * backend: a descriptor (with TLS: an SSL object) that nobody else touches, just behind
 * ReadyForQuery, and what the login told. From there the owner speaks the protocol itself, over a
 * stream, and gives the connection back with connector_retire, which sees it to its very end: the
 * server process is gone when `retired` is called, so a permit may be given back then, not before.
 *
 * The connector also keeps, per host, the back-off and the breaker, and it sends cancels.
 *
 * Thread: connector_* functions may be called from any loop's thread; callbacks come on the loop
 * that is named in the request. No other folder sees libpq.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "listener.h"
#include "loop.h"
#include "usec.h"

struct backend_cancel;
struct buf;
struct connector;
struct executor;
struct ssl_st;

/*
 * How to reach one database; immutable, shared by reference (any thread). What it is logged in with
 * are the four secrets, each of which may be missing; without a password libpq also looks into the
 * password file (~/.pgpass) of the user that the daemon runs as.
 */
struct backend_target {
    /* All strings are owned; NULL is unset. The secrets are wiped with the target. */
    char *host; /* one name, address, /directory or @abstract; NULL: libpq's own directory */
    char *dbname;
    char *user;
    char *password;
    char *md5_secret;       /* "md5..." as PostgreSQL stores it; for a server that asks for md5 */
    char *scram_client_key; /* base64, both or none: a SCRAM login without the password, with */
    char *scram_server_key; /* a libpq that has features.scram_keys; else they are not used */
    char *sslmode;     /* disable, allow, prefer, require, verify-ca, verify-full; NULL is prefer */
    char *sslrootcert; /* looked at by verify-ca and verify-full only */
    char *sslcert, *sslkey;
    char *ssl_min_protocol, *ssl_max_protocol; /* "TLSv1.2"; NULL: libpq's default */
    char *application_name, *client_encoding, *datestyle, *timezone; /* of the [databases] entry */
    char *replication; /* "true", "database" or NULL */
    char *options;     /* "-c name=value ..."; have the last word; NULL is none */
    int port;
    struct tcp_options tcp;
    usec_t connect_timeout; /* from the first packet to ReadyForQuery; 0 is none */
    usec_t login_retry;     /* ceiling of the back-off of its host */
    _Atomic int refs;
};

struct backend_target *backend_target_new(void); /* all unset, one reference; NULL: no memory */
/* Sets the two fields of that name; the keys have BACKEND_SCRAM_KEY_SIZE bytes. 0 or -ENOMEM. */
#define BACKEND_SCRAM_KEY_SIZE 32
int backend_target_set_scram_keys(struct backend_target *target, const unsigned char *client_key,
                                  const unsigned char *server_key);
/* A copy that may still be changed. 0 or -ENOMEM. */
int backend_target_copy(const struct backend_target *target, struct backend_target **ret_copy);
/* A setting for the session: goes to the options, and in the place of the target's own. */
int backend_target_add_setting(struct backend_target *target, const char *name, const char *value);
struct backend_target *backend_target_ref(struct backend_target *target);
void backend_target_unref(struct backend_target *target);

/* Why there is no connection. */
struct backend_error {
    char sqlstate[6];  /* the server's own, or 08006 / 08001 when it is the network's fault */
    char message[512]; /* the server's own text, or libpq's, on one line */
    char detail[512];  /* "" without one, as the next */
    char hint[256];
    bool from_server; /* the server has answered with this error */
    bool hopeless;  /* the server is there, and no login will do until somebody changes something */
    bool transient; /* 57P03 and the like: waiting is sensible */
    usec_t retry_at; /* loop_now-like time before which nobody need ask again; 0 is now */
};

struct backend_parameter {
    char *name;
    char *value;
};

/* A connection handed off. Owned by whoever got it; ends with connector_retire. */
struct backend {
    int fd;                  /* libpq closes it */
    struct ssl_st *tls;      /* libpq frees it; NULL is plain */
    int pid;                 /* of the server process */
    int server_version;      /* 150004 */
    const char *tls_version; /* "TLSv1.3" or NULL */
    const char *tls_cipher;
    struct backend_parameter *parameters; /* all that the login reported */
    size_t parameter_count;
    char remote_addr[64]; /* "10.0.0.1", "::1", "unix" */
    int remote_port;
    char local_addr[64];
    int local_port;
    struct backend_target *target; /* a reference */
    struct backend_cancel *cancel; /* one reference; what a cancel needs */
    void *private;                 /* the PGconn */
};

/* Embedded in the asker. */
struct connect_request {
    struct message message;        /* the connector's */
    struct connector *connector;   /* the connector's */
    struct loop *loop;             /* where done is called; set by the asker */
    struct backend_target *target; /* the asker's reference; must live until done */
    void (*done)(struct connect_request *request, struct backend *backend,
                 const struct backend_error *error);
    void *private;           /* the connector's attempt under way */
    struct backend *backend; /* result on its way */
    struct backend_error error;
    _Atomic bool cancelled;
};

/* What a server has room for. */
struct backend_capacity {
    int max_connections;
    int reserved; /* of them for superusers and the like */
};
/*
 * Asks, as the target says, and waits for the answer, for patience at most (and for as long as it
 * takes to look up the host). Not for a loop. 0; -errno, of which ret_error says more unless it is
 * -ENOMEM.
 */
int backend_ask_capacity(const struct backend_target *target, usec_t patience,
                         struct backend_capacity *ret_capacity, struct backend_error *ret_error);

/* Starts the thread. */
int connector_new(struct executor *executor, struct connector **ret_connector);
/*
 * Ends what is under way (done is still posted, with an error), sees the retirements and cancels
 * through (bounded by seconds), joins the thread. Blocks; not on a loop that others wait for.
 */
void connector_close(struct connector *connector);
/* After connector_close, then executor_close: a look-up may have been under way. */
void connector_free(struct connector *connector);
/* How long the addresses of a name, or that there are none, are kept; and how often all names are
 * looked up again in any case, 0 is never. */
void connector_set_dns(struct connector *connector, usec_t ttl, usec_t nxdomain_ttl,
                       usec_t check_period);
/*
 * fn is called on the connector's thread when the name of a host does not lead to an address any
 * more. To be set before there is anything to connect.
 */
typedef void connector_moved_fn(void *arg, const char *host, const char *address);
void connector_set_moved(struct connector *connector, connector_moved_fn *fn, void *arg);
/* For connections that are asked for from now on; see tls_check_ciphers of tls.h. 0 or -ENOMEM. */
int connector_set_ciphers(struct connector *connector, const char *ciphers,
                          const char *tls13_ciphers);

/*
 * done is called exactly once, later: with a backend, or with NULL and the reason. While the host's
 * breaker is open it fails at once with the error that opened it and retry_at.
 */
void connector_connect(struct connector *connector, struct connect_request *request);
/* Wants it no more: done still comes, with a backend if it was too late. */
void connector_abandon(struct connector *connector, struct connect_request *request);

/*
 * Ends a connection whose stream is closed (stream_close with keep_fd): says Terminate if polite,
 * waits for the server's end of the connection (bounded by a few seconds), frees everything, and
 * then posts `retired` (may be NULL) to loop. Not polite: the protocol is in the middle of
 * something; then a cancel is sent first, so that the server process does not go on working for
 * nobody.
 */
void connector_retire(struct connector *connector, struct backend *backend, bool polite,
                      struct loop *loop, struct message *retired);

/* Asks the server to cancel what the connection is running; any thread may hold a reference. */
struct backend_cancel *backend_cancel_ref(struct backend_cancel *cancel);
void backend_cancel_unref(struct backend_cancel *cancel);

struct cancel_request {
    struct message message;        /* the connector's */
    struct connector *connector;   /* the connector's */
    struct loop *loop;             /* where done is called; set by the asker */
    struct backend_cancel *cancel; /* a reference held by the asker until done */
    usec_t patience; /* how long it may wait for its turn, 0: without end; the asker's */
    void (*done)(struct cancel_request *request, int error, const char *text);
    _Atomic bool withdrawn;
    int error;
    char text[256];
};

/*
 * A few cancels are under way at a time, the others wait for their turn. done is called once the
 * server has closed the cancel connection, or it failed or timed out (10 s); or when the server was
 * not asked at all: -ECANCELED when it was withdrawn before its turn came, -EAGAIN when that did
 * not come in time.
 */
void connector_cancel(struct connector *connector, struct cancel_request *request);
/* Wants it no more: done still comes, with -ECANCELED unless its turn has come. */
void connector_withdraw(struct connector *connector, struct cancel_request *request);

/* The longest packet that is passed on: a cancel request of protocol 3.2. */
#define FORWARD_PACKET_MAX 44

/* A cancel request for another pooler; what is not the connector's is the asker's to set. */
struct forward_request {
    struct message message;      /* the connector's */
    struct connector *connector; /* the connector's */
    struct loop *loop;           /* where done is called */
    const char *host;            /* a name, an address, a /directory, an @abstract socket */
    int port;
    int peer;        /* its id: requests for one peer share the limit */
    unsigned limit;  /* so many are under way at once; 0: any number */
    usec_t patience; /* until it is connected, its turn included */
    char packet[FORWARD_PACKET_MAX];
    size_t len;
    void (*done)(struct forward_request *request, int error, const char *text);
    int error;
    char text[128];
};

/*
 * Sends the packet over a connection of its own, once and in plain text. done is called when the
 * other has closed that connection, or it came to nothing: -ETIMEDOUT, -EAGAIN when too many wait.
 */
void connector_forward(struct connector *connector, struct forward_request *request);

/* Requests for one peer, for SHOW; any thread. */
struct forward_load {
    unsigned waiting, connecting, sent;
};
void connector_get_forward_load(struct connector *connector, int peer,
                                struct forward_load *ret_load);

/* Counters of the connector, for SHOW; any thread. */
struct connector_stats {
    uint64_t attempts, successes, failures, cancels, retired;
    unsigned connecting; /* now */
};
void connector_get_stats(struct connector *connector, struct connector_stats *ret_stats);

/* What the loaded libpq can do, found once at start. */
struct backend_features {
    int libpq_version;       /* 150020 */
    bool cancel_nonblocking; /* PQcancelCreate family (17) */
    bool scram_keys;         /* scram_client_key (18) */
    bool require_auth;       /* 16 */
    bool tls_usable;         /* libpq has TLS, by the OpenSSL that the daemon uses itself */
    const char *tls_trouble; /* static: why it is not usable; NULL if it is */
};
/*
 * Called once, first thing in main, before any thread: unsets PG* in the environment (an empty
 * value would not protect), ignores SIGPIPE, finds out what libpq can do and whether its libssl is
 * the daemon's own (if not, no connection uses TLS, and sslmode=require and above fail). Fails,
 * with the reason, only when this libpq is of no use at all.
 */
int backend_global_init(struct backend_features *ret_features, struct buf *ret_error);
