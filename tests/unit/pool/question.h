/*
 * question.h - a question of auth_query's, its asker and the server that answers.
 */
#pragma once

#include "auth.h"
#include "fixture.h"

#define AUTH_QUERY "SELECT usename, secret FROM users WHERE usename = $1"
#define ASKING     "auth_user = bob\nauth_query = " AUTH_QUERY "\n"

struct question {
    struct auth_lookup lookup;
    unsigned answers;
};

/* Asks for the secret of user. What the question owns is gone once it was answered as expected. */
void ask(struct fixture *f, struct question *question, const char *database, const char *user);
void ask_done(struct question *question);
/* It was answered, once, by this; secret NULL: there is none. */
void expect_answer(struct fixture *f, struct question *question, enum auth_lookup_answer answer,
                   const char *secret);
void expect_no_answer(struct fixture *f, const struct question *question);

/* The query has come, all of it, and nothing before it. */
void expect_query(struct peer *server, const char *user);
void send_columns(struct peer *server, size_t count);
void send_row(struct peer *server, const char *name, const char *secret);
/* A whole answer: no row at all for name NULL. */
void answer_query(struct peer *server, const char *name, const char *secret);
/* An engine whose only server has been asked for dave's secret. */
struct peer *start_and_ask(struct fixture *f, const char *config, struct question *question);
