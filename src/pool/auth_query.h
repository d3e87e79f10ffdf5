/*
 * auth_query.h - the messages of an auth_query: the question, and what is read of the answer.
 *
 * Pure: no I/O. The query is one of the file's: what it returns is believed only as far as it makes
 * sense, so that nobody logs in with another's secret.
 */
#pragma once

#include "buf.h"

struct frame;

struct auth_query_answer {
    char *secret;     /* owned, wiped; "" for NULL; NULL: no row has come */
    char trouble[64]; /* what is wrong with the answer; "": nothing */
};

/* Appends Parse, Bind, Describe, Execute, Sync. 0 or a negative errno. */
#define AUTH_QUERY_MESSAGES "PBDES"
int auth_query_ask(struct buf *buf, const char *sql, const char *user);
/* Takes in a message of the server's. */
void auth_query_read(struct auth_query_answer *answer, const char *user, const struct frame *frame);
void auth_query_answer_done(struct auth_query_answer *answer);
