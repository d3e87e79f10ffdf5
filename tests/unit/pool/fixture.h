/*
 * fixture.h - a whole engine whose threads were never started: its loops are fake loops, turned by
 * the test, its connector is the fake one, and its clients and servers are peers.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine.h"
#include "fake_connector.h"
#include "fake_loop.h"
#include "list.h"
#include "peer.h"
#include "usec.h"

struct config;
struct console_visitor;
struct pool;
struct shard;
struct tls_context;

struct fixture {
    struct loop *main_loop;
    struct connector *connector;
    struct config *config;      /* the engine's, as last loaded */
    struct engine *engine;      /* NULL before fixture_start and after fixture_stop */
    struct tls_context *tls;    /* the test's; what fixture_start and fixture_reload give it */
    const char *listen_address; /* where clients come in; NULL: through a unix socket */
    long memory;                /* allocations left to the engine; negative: no end */
    struct list peers;
    struct console_visitor *visitor; /* the last one, owned */
};

/* For cmocka: *state is a fixture that is not started; all that it held is gone at the end. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/*
 * Starts an engine. text is appended to a file with databases db and two, users alice, bob and
 * carol, one worker, transaction mode; it begins in the general section, may begin others, and has
 * the last word.
 */
void fixture_start(struct fixture *f, const char *text);
/* The same file with another text at its end is put in force. */
void fixture_reload(struct fixture *f, const char *text);
/* Ends it, and checks that nothing is left behind. */
void fixture_stop(struct fixture *f);
/* All peers are closed and freed. */
void fixture_forget_peers(struct fixture *f);
/* All loops do what there is to do. No time passes. */
void fixture_settle(struct fixture *f);
void fixture_advance(struct fixture *f, usec_t span);

/* A connection that has said nothing yet. */
struct peer *fixture_connect(struct fixture *f);
/* Sends a startup packet: name, value, ..., NULL. */
void fixture_send_startup(struct peer *peer, uint32_t version, const char *const *parameters);
/* A client who has asked for a login, and not got an answer. */
struct peer *fixture_knock(struct fixture *f, const char *database, const char *user);
/* The same, and it got in: the pool has, or had, a server. */
struct peer *fixture_login(struct fixture *f, const char *database, const char *user);
/* A CancelRequest with the key of client, on the connection that is returned. */
struct peer *fixture_cancel(struct peer *client);

/* The oldest attempt to connect succeeds; the server has not answered the probe. */
struct peer *fixture_accept(struct fixture *f);
/* The same, and it has: a server of the pool, idle or with its first client. */
struct peer *fixture_serve(struct fixture *f);
/* The oldest attempt fails. */
void fixture_refuse(struct fixture *f, const char *sqlstate, const char *message, bool from_server,
                    bool transient);
/* A started fixture with a client who has logged in and an idle server. */
void fixture_begin(struct fixture *f, const char *text, struct peer **ret_client,
                   struct peer **ret_server);

/* The pool of (database, user), which must be there; its only shard; what it has. */
struct pool *fixture_pool(struct fixture *f, const char *database, const char *user);
struct shard *fixture_shard(struct fixture *f, const char *database, const char *user);
unsigned fixture_server_count(struct fixture *f);
unsigned fixture_idle_count(struct fixture *f);
