/*
 * engine.h - the pooler as a whole, as main and the console see it: workers, pools, and the few
 * things that can be done to all of them.
 *
 * Thread: the main loop's, unless a function says otherwise. Callbacks come on the main loop.
 * Life: engine_new, engine_start, ..., engine_stop, its done callback, engine_free.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "loop.h"
#include "usec.h"

struct config;
struct connector;
struct engine;
struct settings;
struct snapshot;
struct ssl_st;
struct tls_context;

/* Where a connection comes from, as the log and SHOW print it. */
struct peer_address {
    char host[64]; /* "10.0.0.7", "::1", "unix", "unix(4711)" */
    int port;      /* of a unix socket: the listening port */
    bool is_unix;
    uid_t uid; /* of a unix socket's peer; (uid_t)-1 if not known */
};

/*
 * A client that has asked for the console's database and may have it: its connection, taken off its
 * worker, after the startup packet; nothing was answered yet. The receiver owns it, and frees it
 * with engine_visitor_free, which closes fd unless it was set to -1, and gives back its place among
 * max_client_conn.
 */
struct console_visitor {
    struct message message; /* the engine's */
    struct engine *engine;
    int fd;
    struct ssl_st *tls; /* NULL: plain; freed by engine_visitor_free unless it was set to NULL */
    uint64_t id;        /* SHOW CLIENTS' id */
    char *database;     /* "pgbouncer" or "pgweir", as asked for */
    char *user;
    char *application_name; /* or NULL */
    struct peer_address peer;
    struct peer_address local;
    usec_t connect_time; /* wall clock */
};
void engine_visitor_free(struct console_visitor *visitor);

struct engine_hooks {
    void *arg;
    /* A console session begins. */
    void (*visit)(void *arg, struct console_visitor *visitor);
    /* A CancelRequest whose key no client has: perhaps that of a console session. */
    void (*cancel)(void *arg, uint32_t pid, uint32_t key);
};

/*
 * Keeps references to config and tls (NULL: clients are offered none); connector and loop are
 * borrowed. Starts the threads for logins.
 */
int engine_new(struct loop *main_loop, struct config *config, struct tls_context *tls,
               struct connector *connector, const struct engine_hooks *hooks,
               struct engine **ret_engine);
/* Starts the worker threads and the pools of forced users with min_pool_size. */
int engine_start(struct engine *engine);
unsigned engine_worker_count(const struct engine *engine);
void engine_free(struct engine *engine);

/*
 * Accepting is the first worker's business: so with one worker, a client is nobody else's from the
 * beginning. Runs fn on that worker's loop, and waits for its end; between engine_start and
 * engine_stop. The listeners are opened and closed in this way.
 */
void engine_call_acceptor(struct engine *engine, void (*fn)(struct loop *loop, void *arg),
                          void *arg);
/*
 * A new connection (fd is taken over): logs in on the acceptor, or, while that one is busy, on the
 * least busy worker. listen_address is the item of listen_addr that it came through, NULL for a
 * unix socket. On the acceptor's loop.
 */
void engine_accept(struct engine *engine, int fd, const struct sockaddr *addr, socklen_t len,
                   const char *listen_address);
/* The configuration in force: borrowed until the next reload. */
struct config *engine_config(const struct engine *engine);
/* Takes references to both; workers follow at their next turn. Cannot fail. */
void engine_reload(struct engine *engine, struct config *config, struct tls_context *tls);

/* ---- pause, drain, stop --------------------------------------------------------------------- */

enum engine_result {
    ENGINE_OK,
    ENGINE_NO_SUCH_DATABASE,
    ENGINE_ALREADY, /* already paused */
    ENGINE_NOT_PAUSED,
    ENGINE_SHUTTING_DOWN,
    ENGINE_NO_MEMORY,
};

/* Embedded by who waits for the last server (or client) to go. */
struct engine_drain {
    void (*done)(struct engine_drain *drain);
    struct engine *engine; /* the engine's from here on */
    bool waiting;
    void *waits;
};

/*
 * No server is assigned any more in database (NULL: in all); idle ones are closed, busy ones when
 * their client is done with them. done is called once none is left. New clients queue.
 * ENGINE_ALREADY: everything is paused, and nothing was done; one database may be paused again.
 */
enum engine_result engine_pause(struct engine *engine, const char *database,
                                struct engine_drain *drain);
enum engine_result engine_resume(struct engine *engine, const char *database);
bool engine_is_paused(const struct engine *engine);
/* Forgets a drain: done is not called. The pause stays. */
void engine_drain_cancel(struct engine_drain *drain);

/* ---- one database, one client ---------------------------------------------------------------- */

/* Whether there is such a database, or the template would serve it. */
bool engine_has_database(struct engine *engine, const char *database);
/* Others take the place of its servers (NULL: of all), as these come free. */
enum engine_result engine_reconnect(struct engine *engine, const char *database);
/*
 * Closes its clients and servers (NULL: all), and leaves it paused. ENGINE_ALREADY: everything is
 * paused, and nothing was done.
 */
enum engine_result engine_kill(struct engine *engine, const char *database);
/* A disabled database takes no new clients. */
enum engine_result engine_set_disabled(struct engine *engine, const char *database, bool disabled);

/* Embedded by who wants a client closed; id and done are the asker's. */
struct engine_kill {
    uint64_t id; /* of SHOW CLIENTS */
    void (*done)(struct engine_kill *kill, bool found);
    struct message message; /* the engine's from here on */
    struct engine *engine;
    unsigned at;
    bool found;
};
/* Never cancelled: done comes before engine_stop returns, or right after it. */
void engine_kill_client(struct engine *engine, struct engine_kill *kill);

enum engine_shutdown {
    ENGINE_RUNNING,
    ENGINE_WAIT_FOR_SERVERS, /* pause; waiting clients are told `server shutting down` */
    ENGINE_WAIT_FOR_CLIENTS, /* until the last client has left */
    ENGINE_IMMEDIATE,        /* clients are told `pooler is shutting down` and closed */
};

/*
 * Begins to shut down, or goes on to a harder mode; done (may be replaced by a later call) is
 * called on the main loop when nothing is left to wait for. Listeners are the caller's to close.
 */
void engine_shutdown(struct engine *engine, enum engine_shutdown mode, void (*done)(void *arg),
                     void *arg);
enum engine_shutdown engine_shutdown_mode(const struct engine *engine);
/*
 * After the shutdown is done or when patience is over: closes every client and server, ends the
 * worker threads and joins them. Returns when they are gone. Then what still holds something is a
 * leak: logged as `leaked at exit: ...`. -ETIMEDOUT, which is logged: a thread is still inside of
 * PAM, say, and will come back to what the engine has, which so must not be freed.
 */
int engine_stop(struct engine *engine);

/* ---- looking in ----------------------------------------------------------------------------- */

/* Embedded by the asker; done gets a snapshot that it owns (snapshot_free), NULL: no memory. */
struct snapshot_request {
    void (*done)(struct snapshot_request *request, struct snapshot *snapshot);
    unsigned what;         /* SNAPSHOT_* of snapshot.h */
    struct engine *engine; /* the engine's from here on */
    struct snapshot *snapshot;
    unsigned pending;
};
/* Each worker copies its rows at its next turn. Never cancelled: done comes before engine_stop
 * returns. */
void engine_snapshot(struct engine *engine, struct snapshot_request *request);

/* Cancel requests on their way to another pooler, by its peer_id. */
struct engine_peer_load {
    unsigned waiting, connecting, sent;
};
void engine_get_peer_load(struct engine *engine, int peer, struct engine_peer_load *ret_load);
