/*
 * fixture.h - logins against a service with real executors on a fake loop, and a server for
 * auth_query that the test plays.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth.h"
#include "config.h"
#include "fake_loop.h"
#include "macros.h"

/* A password, and the same for SCRAM. */
#define PENCIL "pencil"
#define PENCIL_SCRAM                                                                               \
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"    \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

#define QUESTIONS_MAX 16

struct fixture {
    struct loop *loop;
    struct executor *hashing, *blocking; /* a thread each; the second has room for one job */
    struct auth_service *service;
    struct config config;
    struct config_auth_user *users[4];
    struct config_database database;
    struct auth_lookup *questions[QUESTIONS_MAX]; /* not answered yet */
    size_t n_questions;
};

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Puts a user into auth_file; sorted by name is the caller's business. Texts are static. */
void fixture_add_user(struct fixture *f, char *name, char *secret);
/* Answers the oldest question to the server. */
void fixture_answer(struct fixture *f, enum auth_lookup_answer answer, const char *secret);
/* No more work is taken, as when the daemon ends. */
void fixture_close_executors(struct fixture *f);

/* A login under way. */
struct attempt {
    struct auth auth;
    struct fixture *f;
    struct auth_login who;
    enum auth_status status; /* the last one */
};

/* through TCP, in the clear; what else is to be known of it the test sets in who. */
void attempt_init(struct attempt *attempt, struct fixture *f, const char *user);
void attempt_done(struct attempt *attempt);
enum auth_status attempt_begin(struct attempt *attempt);
/* Until something is decided. */
enum auth_status attempt_wait(struct attempt *attempt);
/* Sends a message, without waiting. */
enum auth_status attempt_send(struct attempt *attempt, const void *body, size_t len);
/* The whole of a method from its first message on; AUTH_WAIT is waited for. */
enum auth_status attempt_plain(struct attempt *attempt, const char *password);
enum auth_status attempt_md5(struct attempt *attempt, const char *password);
enum auth_status attempt_scram(struct attempt *attempt, const char *mechanism,
                               const char *password);
/* Up to the client's last message, which is sent, and not waited for. */
enum auth_status attempt_scram_start(struct attempt *attempt, const char *password);

/* The code of the Authentication message in the reply; and what follows it. */
uint32_t attempt_code(const struct attempt *attempt);
const char *attempt_data(const struct attempt *attempt);
void attempt_expect_failure(const struct attempt *attempt, const char *sqlstate,
                            const char *message);
