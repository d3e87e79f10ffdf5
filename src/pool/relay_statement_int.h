/*
 * relay_statement_int.h - what the rewriting of messages (relay_statement.c) and that of SQL
 * (relay_sql.c) share.
 *
 * Thread: the worker's. A struct mapping lives while its message is looked at.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "prepared.h"
#include "relay_int.h"
#include "requests.h"

struct client;
struct prepared_change;
struct prepared_name;
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
/* A Close or Describe of the server's statement with this name, which has a NUL behind it. */
void relay_send_about(const struct mapping *m, char type, const char *name, size_t len);
/* Sends the message with another text in the place of old, if that is anywhere. */
void relay_send_renamed(const struct mapping *m, struct name_at old, const char *text, size_t len);
/*
 * A message that gives statement the name text (as PostgreSQL sees it), which stands at `at` in the
 * message, or nowhere (NULL).
 */
enum mapped relay_map_definition(const struct mapping *m, struct name_at at, const char *text,
                                 size_t len, struct statement *statement);
/* A message that uses what has the name. */
enum mapped relay_map_reference(const struct mapping *m, struct name_at at, const char *name,
                                size_t len);
/* Nothing has it: so nothing must have it on the server. */
enum mapped relay_map_unknown(const struct mapping *m, struct name_at at, const char *name,
                              size_t len);

/* Of a change that goes ahead of the message: what waits for it. */
unsigned *relay_barriers(const struct mapping *m);

/* The message, with the server's name for what has the name. */
enum mapped relay_map_use(const struct mapping *m, struct name_at at, struct prepared_name *name);
/* A definition of a name: the server makes what the client has asked for, */
enum mapped relay_map_first(const struct mapping *m, struct name_at at, struct statement *statement,
                            struct prepared_name *name);
/* or has it already. */
enum mapped relay_map_again(const struct mapping *m, struct name_at at, struct statement *statement,
                            struct prepared_name *name, struct prepared_entry *entry);

/* ---- relay_prepare.c */

/* A Close of a statement of the server, or of what nobody has. */
int relay_send_close(const struct mapping *m, const char *name, size_t name_len,
                     enum request_action action, const struct prepared_change *change);
/*
 * There is room for statement, and nothing in its place: a Close goes ahead of what may be there.
 * MAPPED_SENT, and the change that its making will be; or why not.
 */
enum mapped relay_make_place(const struct mapping *m, struct statement *statement,
                             struct prepared_change *ret_change);
/* The server has statement from here on: MAPPED_SENT; or why not. */
enum mapped relay_ensure(const struct mapping *m, struct statement *statement);

/* ---- relay_unnamed.c */

/* A Parse without a name, which is no command that matters; text is what is behind the name. */
enum mapped relay_map_unnamed_parse(const struct mapping *m, const char *text);
/* A Bind or Describe of the unnamed statement. */
enum mapped relay_map_unnamed_use(const struct mapping *m, struct name_at at);
enum mapped relay_map_unnamed_close(const struct mapping *m);
/* Ahead of a Query, which ends the unnamed statement. 0 or -ENOMEM. */
int relay_forget_unnamed(const struct mapping *m);
/*
 * Enters the message. A Parse makes an unnamed statement that no other server can have (a command
 * that matters; those with a name are entered elsewhere). 0 or -ENOMEM.
 */
int relay_push(const struct mapping *m);

/* ---- relay_rows.c */

/*
 * A Bind, perhaps with a Describe behind it, of a statement that the server has: whether the client
 * can read its rows; PREPARED_UNSURE: that is not known yet.
 */
enum prepared_state relay_can_read(const struct mapping *m, struct prepared_name *name);
/* Whether the client asks, or has asked, what the rows look like. */
bool relay_knows_rows(const struct mapping *m, const struct prepared_name *name);
/* The server is asked what its rows look like (anew, if it is stale), and the client waits. */
enum mapped relay_ask_rows(const struct mapping *m, const struct prepared_name *name);
/* A Bind: a Describe of its portal may come. */
void relay_expect_description(const struct mapping *m, const struct prepared_name *name);
/* Enters a Describe of the client's, from which it learns that. 0 or -ENOMEM. */
int relay_push_description(const struct mapping *m, struct prepared_name *name);
/* A Describe of a portal. */
enum mapped relay_map_portal(const struct mapping *m);

/* ---- relay_sql.c */

/* The text of a Query, or of a Parse without a name. */
enum mapped relay_map_sql(const struct mapping *m, const char *text);
/* Such a Parse, about a name that nobody has: it is refused when it is executed. */
enum mapped relay_plan_unknown(const struct mapping *m, struct name_at at, const char *name);
/* The message as it is; what comes behind it waits for its answer. */
enum mapped relay_send_barrier(const struct mapping *m);
/* An Execute, perhaps of such a Parse. */
enum mapped relay_map_execute(const struct mapping *m);
/* server->plan is not NULL, and the client binds a portal. */
void relay_plan_bind(struct server *server, const char *portal, const char *statement);
