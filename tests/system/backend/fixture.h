/*
 * fixture.h - a connector under test, the loop that asks it, and a plain way to talk to a server.
 *
 * run.py has started the server: TEST_DIR holds its socket, TEST_PORT is its port, nothing listens
 * on TEST_DEAD_PORT; TEST_CA, TEST_OTHER_CA, TEST_CERT and TEST_KEY are files.
 */
#pragma once

/* cmocka.h wants the first four. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "backend.h"
#include "loop.h"
#include "usec.h"

#define EXECUTOR_THREADS 2

struct fixture {
    struct loop *loop;
    struct executor *executor;
    struct connector *connector;
    struct backend *admin; /* sees what the server sees */
    unsigned waiting;      /* answers that have not come yet */
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

const char *test_dir(void);
/* The file that a variable of the environment names. */
const char *test_file(const char *variable);
int test_port(void);
int test_dead_port(void);

/* Over TCP to the server, sslmode disable; the caller changes what it likes before its first use.
 */
struct backend_target *target_new(const char *dbname, const char *user);
/* The same, over TLS and verified, to the name in the server's certificate. */
struct backend_target *target_new_tls(const char *user, const char *ca_variable);
/* Of the libpq that is loaded. */
bool tls_is_usable(void);
bool scram_keys_are_usable(void);

struct asking {
    struct connect_request request;
    struct fixture *fixture;
    struct backend *backend;    /* the answer */
    struct backend_error error; /* if there is no backend */
    unsigned answers;
};

/* Takes over a reference of target, until asking_done. */
void ask(struct fixture *f, struct asking *asking, struct backend_target *target);
/* An answer has come: lets loop_run return. */
void answered(struct fixture *f);
/* Runs the loop until everything that was asked is answered. */
void settle(struct fixture *f);
void asking_done(struct asking *asking);

/* The three in one; NULL if it failed, with the error. */
struct backend *connect_to(struct fixture *f, struct backend_target *target,
                           struct backend_error *ret_error);

struct retiring {
    struct message message;
    struct fixture *fixture;
};

void retire_begin(struct fixture *f, struct retiring *retiring, struct backend *backend,
                  bool polite);
/* Retires, and returns when `retired` has been called. */
void retire(struct fixture *f, struct backend *backend, bool polite);

/* Sends bytes over the plain descriptor. */
void raw_send(struct backend *backend, const void *data, size_t len);
void raw_query(struct backend *backend, const char *sql);
/*
 * Receives one message: its type; the body goes to body, cut to fit, with a NUL behind it. 0 at the
 * end of the connection.
 */
char raw_receive(struct backend *backend, char *body, size_t size);
/* The first column of the first row; fails the test on an error. Lives until the next call. */
const char *raw_ask(struct backend *backend, const char *sql);
/* Asks until the answer is as expected. */
void raw_await(struct backend *backend, const char *sql, const char *expected);

/* The groups of tests; the number of those that failed. */
int run_login_tests(void);
int run_secret_tests(void);
int run_ending_tests(void);
