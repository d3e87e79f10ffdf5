/*
 * relay_unnamed.c - the unnamed statement. A client has one until its next unnamed Parse or its
 * next Query; a server has one, too, and that is whoever's was there last.
 *
 * So a Bind or Describe of it by a client that has none goes behind a Close: the server must not
 * have another client's. The unnamed statement of a client is among its names, under the empty one,
 * and goes with it from server to server:
 *
 *     Parse ""            as it is, and remembered
 *     Bind, Describe ""   as it is, if the server has got that; else as a named one
 *     Query               it is forgotten; unless nothing can be ahead of the Query that fails, by
 *                         a Close that tells whether the Query was executed
 *
 * With prepare_unnamed, a text that has come before (familiar.h) is one of the server's named
 * statements at once: its Parse is a Parse "pgweir_...", or, if the server has that, a Close of
 * nothing.
 *
 * A command that means something to statements (relay_sql.c) is not good for another server.
 */
#include <errno.h>
#include <string.h>

#include "client.h"
#include "familiar.h"
#include "pg.h"
#include "policy.h"
#include "pool.h"
#include "prepared.h"
#include "relay_int.h"
#include "relay_statement_int.h"
#include "requests.h"
#include "server.h"
#include "shape.h"
#include "statement.h"

void
relay_leave_unnamed(struct server *server)
{
    if (likely(server->unnamed == NULL))
        return;
    statement_unref(server->unnamed);
    server->unnamed = NULL;
}

static struct prepared_name *
relay_unnamed(const struct mapping *m)
{
    return prepared_find(m->client->names, "", 0);
}

/* A Close of the server's, ahead of the message. */
static enum mapped
relay_send_unnamed_close(const struct mapping *m, const struct prepared_change *change)
{
    relay_leave_span(m);
    return relay_send_close(m, "", 0, REQUEST_QUIET, change) < 0 ? MAPPED_FAILED : MAPPED_NOTHING;
}

enum mapped
relay_forget_unnamed(const struct mapping *m)
{
    struct prepared_change change = {.names = m->client->names, .name = relay_unnamed(m)};

    if (likely(change.name == NULL))
        return MAPPED_NOTHING;
    if (m->server->requests.count > (m->server->syncing_settings ? 1 : 0))
        return relay_send_unnamed_close(m, &change);
    prepared_forget_unnamed(change.names);
    return MAPPED_NOTHING;
}

/* From here on it is statement, which the server has got as it came, or is getting. */
static struct prepared_change
relay_take_unnamed(const struct mapping *m, struct prepared_name *name, struct statement *statement)
{
    relay_leave_unnamed(m->server);
    if (statement != NULL)
        m->server->unnamed = statement_ref(statement);
    return (struct prepared_change){.names = m->client->names,
                                    .name = name,
                                    .statement = statement,
                                    .unnamed = &m->server->unnamed};
}

/* The message as it is. */
static enum mapped
relay_pass_unnamed(const struct mapping *m, struct prepared_name *name, struct statement *statement)
{
    const struct prepared_change change = relay_take_unnamed(m, name, statement);

    relay_leave_span(m);
    if (prepared_push(&m->server->requests, *m->data, REQUEST_FORWARD, &change) < 0)
        return MAPPED_FAILED;
    relay_send(m, m->data, m->avail);
    return MAPPED_SENT;
}

/* As in relay_map_new: only where what is out of date can be healed, and a Parse cannot fail. */
static enum mapped
relay_name_unnamed(const struct mapping *m, struct name_at at, struct prepared_name *name,
                   struct statement *statement)
{
    struct prepared_entry *const entry = prepared_get(m->server->prepared, statement);
    const enum prepared_state state = prepared_entry_state(entry, &m->server->requests);
    enum mapped mapped;

    relay_leave_span(m);
    if (state == PREPARED_UNSURE || m->server->is_altered || m->server->progress != PROGRESS_NAMED)
        return relay_pass_unnamed(m, name, statement);
    relay_leave_unnamed(m->server);
    if (state == PREPARED_IS && relay_is_usable(m, entry))
        return relay_map_again(m, at, statement, name, entry);
    mapped = relay_map_first(m, at, statement, name);
    if (mapped == MAPPED_WAIT)
        prepared_drop_name(m->client->names, name);
    return mapped;
}

/* The client's, under the empty name. 0 or -ENOMEM. */
static int
relay_begin_unnamed(const struct mapping *m, struct prepared_name **ret_name)
{
    *ret_name = relay_unnamed(m);
    if (*ret_name == NULL && prepared_add_name(&m->client->names, "", 0, ret_name) < 0)
        return -ENOMEM;
    (*ret_name)->shape = SHAPE_UNKNOWN;
    return 0;
}

enum mapped
relay_map_unnamed_parse(const struct mapping *m, const char *text)
{
    const struct name_at at = {text - 1, 0};
    struct shard *const shard = m->client->shard;
    struct prepared_name *name;
    struct statement *statement;
    bool is_familiar;
    enum mapped mapped;

    if (relay_begin_unnamed(m, &name) < 0 ||
        familiar_get(&shard->familiar, m->client->settings, text,
                     (size_t)(m->data + m->avail - text), &statement, &is_familiar) < 0)
        return MAPPED_FAILED;
    mapped = is_familiar && shard->policy->prepare_unnamed
                 ? relay_name_unnamed(m, at, name, statement)
                 : relay_pass_unnamed(m, name, statement);
    statement_unref(statement);
    return mapped;
}

/* The change to one that is good for this server only. 0 or -ENOMEM. */
static int
relay_take_command(const struct mapping *m, struct prepared_change *ret_change)
{
    struct prepared_name *name;
    struct statement *statement;
    int r;

    r = relay_begin_unnamed(m, &name);
    if (r == 0)
        r = statement_get(m->client->settings, STATEMENT_COMMAND, "", 0, &statement);
    if (r < 0)
        return r;
    *ret_change = relay_take_unnamed(m, name, statement);
    statement_unref(statement); /* the server has a reference */
    return 0;
}

enum mapped
relay_end_unnamed_command(const struct mapping *m)
{
    struct prepared_change change;

    if (relay_take_command(m, &change) < 0 ||
        relay_send_close(m, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN, REQUEST_QUIET, &change) < 0)
        return MAPPED_FAILED;
    return MAPPED_SENT;
}

int
relay_push_long_unnamed(struct client *client)
{
    const struct mapping m = {.client = client, .server = client->server};
    struct prepared_change change;

    return relay_take_command(&m, &change) < 0
               ? -ENOMEM
               : prepared_push(&m.server->requests, FRONTEND_PARSE, REQUEST_FORWARD, &change);
}

enum mapped
relay_map_unnamed_use(const struct mapping *m, struct name_at at)
{
    const struct prepared_change nothing = {.adds = false};
    struct prepared_name *const name = relay_unnamed(m);

    switch (prepared_name_state(name, &m->server->requests)) {
    case PREPARED_UNSURE:
        return MAPPED_WAIT;
    case PREPARED_IS:
        if (name->then == m->server->unnamed)
            return MAPPED_NOTHING;
        if (statement_kind(name->then) != STATEMENT_COMMAND)
            return relay_map_use(m, at, name);
        break;
    default:
        break;
    }
    return relay_send_unnamed_close(m, &nothing);
}

enum mapped
relay_map_unnamed_close(const struct mapping *m)
{
    struct prepared_name *const name = relay_unnamed(m);

    return name != NULL ? relay_pass_unnamed(m, name, NULL) : MAPPED_NOTHING;
}
