/*
 * dialogue.h - what clients and servers say about prepared statements.
 */
#pragma once

#include "buf.h"
#include "fixture.h"
#include "statement.h"

/* Of a name on servers. */
#define NAME_SIZE (STATEMENT_PREFIX_LEN + 16 + 1)

/* A message at the end of buf: strings (second may be NULL) and what comes behind them. */
void add_message(struct buf *buf, char type, const char *first, const char *second,
                 const void *rest, size_t len);
/* The same, sent. */
void send_message(struct peer *peer, char type, const char *first, const char *second,
                  const void *rest, size_t len);
/* Of names and texts; a Bind has no parameters. */
void send_parse(struct peer *peer, const char *name, const char *text);
void send_bind(struct peer *peer, const char *name);
void send_describe(struct peer *peer, const char *name);
void send_close(struct peer *peer, const char *name);
/* A message that has come: the server's name for a statement, behind skip bytes of its body. */
void read_name(struct peer *peer, char type, size_t skip, char name[NAME_SIZE]);
/* The client prepares, and the server answers; returns the server's name. */
void prepare(struct peer *client, struct peer *server, const char *name, const char *text,
             char ret_name[NAME_SIZE]);
/* The server answers with messages of these types, of which the client sees a BindComplete. */
void finish(struct peer *client, struct peer *server, const char *types);
/* The same up to a Sync: the client sees messages of the types that are seen, and ReadyForQuery. */
void answer_sync(struct peer *client, struct peer *server, const char *types, const char *seen);
/* What the server was asked was no SQL. */
void refuse_text(struct peer *client, struct peer *server);
/* The server is asked for a statement that nobody can have made, and says so. */
void refuse_nowhere(struct peer *server, char type);

/* ---- rows */

/* An Execute of the unnamed portal. */
void send_execute(struct peer *client);
/* A statement is used by a client that knows what its rows look like, */
void send_used(struct peer *client, const char *name);
/* or asks. */
void send_described(struct peer *client, const char *name);

/* The fields of "cached plan must not change result type", in a language of the server's. */
#define STALE_FIELDS "SERROR\0VERROR\0C0A000\0Mgeaendert\0RRevalidateCachedQuery\0"

/* The server says so; */
void send_stale(struct peer *server);
/* and that it is ready. */
void refuse_stale(struct peer *server);
/* The client is told so, in our words. */
void expect_changed(struct peer *client);

/* The body of a RowDescription of one column. */
void put_rows(struct buf *body, const char *column, char type, char format);
/* A RowDescription. */
void send_rows(struct peer *server, const char *column);
/* What a server answers to a Describe of a statement. */
void describe(struct peer *server, const char *column);
/* The same as finish, with a description of the rows. */
void finish_described(struct peer *client, struct peer *server, const char *types,
                      const char *column);
/* The client prepares "s1" and asks what the rows are, which the server says. */
void prepare_described(struct peer *client, struct peer *server, const char *column,
                       char ret_name[NAME_SIZE]);
