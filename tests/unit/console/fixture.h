/*
 * fixture.h - a console on a fake loop and a fake engine, and peers who talk to it.
 */
#pragma once

#include "console.h"
#include "fake_engine.h"
#include "fake_loop.h"

struct config;
struct outbox;

struct fixture {
    struct loop *loop;
    struct outbox *outbox;
    struct config *config;
    struct engine engine;
    struct console *console;
    struct reload_waiter *reload; /* the last that was asked for */
    enum engine_shutdown shutdown;
    int set_result;
    char set_text[64];
    const char *set_message; /* added to message by set */
};

/* For cmocka: admin_users is boss, stats_users is watch, database shop has two hosts. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* A new session's peer; the greeting is read. */
int peer_connect(struct fixture *f, const char *user);
/* The same, nothing read. */
int peer_visit(struct fixture *f, const char *user);
void peer_send(struct fixture *f, int fd, const void *data, size_t len);
void peer_query(struct fixture *f, int fd, const char *sql);
void peer_message(struct fixture *f, int fd, char type, const void *body, size_t len);
/*
 * What came since the last call, message by message, in the form
 *   R S(name=value) K Z T(name,name) D(value,NULL) C(tag) E(ERROR 08P01 text) N(text) EOF
 * Valid until the next call.
 */
const char *peer_read(struct fixture *f, int fd);
void peer_close(struct fixture *f, int fd);
