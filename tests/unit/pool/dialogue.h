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
/* The server is asked for a statement that nobody can have made, and says so. */
void refuse_nowhere(struct peer *server, char type);
