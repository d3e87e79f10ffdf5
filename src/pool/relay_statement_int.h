/*
 * relay_statement_int.h - what the rewriting of messages (relay_statement.c) and that of SQL
 * (relay_sql.c) share.
 *
 * Thread: the worker's. A struct mapping lives while its message is looked at.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "relay_int.h"
#include "requests.h"

struct client;
struct prepared_change;
struct server;
struct statement;

/* A message under work. */
struct mapping {
    struct client *client;
    struct server *server;
    struct span *span;
    const char *data;
    size_t avail;
    size_t len;
};

/* A name in it; text is NULL if there is none that could be one. */
struct name_at {
    const char *text;
    size_t len;
};

struct name_at relay_name_at(const char *text, const char *end);
/* What goes to the server from here on is not what stands in the span. */
void relay_leave_span(const struct mapping *m);
void relay_send(const struct mapping *m, const char *data, size_t len);
/* Sends the message with another text in the place of old, and is done with it. */
void relay_send_renamed(const struct mapping *m, struct name_at old, const char *text, size_t len);
/* A Close of a statement of the server, or of what nobody has. */
int relay_send_close(const struct mapping *m, const char *name, size_t name_len,
                     enum request_action action, const struct prepared_change *change);
/* The server has statement from here on: MAPPED_SENT; or why not. */
enum mapped relay_ensure(const struct mapping *m, struct statement *statement);

/* relay_sql.c: the text of a Query, or of a Parse without a name. */
enum mapped relay_map_sql(const struct mapping *m, const char *text);
