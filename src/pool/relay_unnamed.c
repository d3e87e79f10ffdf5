/*
 * relay_unnamed.c - the unnamed statement. A client has one until its next unnamed Parse or its
 * next Query; a server has one, too, and that is whoever's was there last.
 *
 * A client's is among its names, under the empty one, and is either here (the unnamed one of its
 * server, from its Parse until the server is another client's or has run a query of ours), or
 * elsewhere; then it is known by its text, and used as a named one:
 *
 *     Parse ""            as it is, and remembered; it is here
 *     Bind, Describe ""   here: as it is; elsewhere: with "pgweir_...", as any other
 *     ... without one     behind a Close: the server must not have another client's
 *     Query               forgets it; behind a Close that tells whether the Query was executed, if
 *                         something is on its way that may fail before
 *
 * A command that means something to statements (relay_sql.c), and a text that is too long, are not
 * kept: they are here, or nowhere.
 *
 * With prepare_unnamed, a text that has come before (familiar.h) is a named statement at once: its
 * Parse is a Parse "pgweir_...", or, if the server has that, a Close of nothing. As with names, the
 * latter is only at the start of a transaction: where it can be healed, if it is out of date.
 */
#include <errno.h>

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

/* A longer text does not go to another server, however it came. */
#define UNNAMED_MAX RELAY_HOLD_MAX

/* NULL: no memory. */
static struct prepared_name *
relay_unnamed_name(const struct mapping *m)
{
    struct prepared_name *name = prepared_unnamed(m->client->names);

    if (name == NULL && prepared_add_name(&m->client->names, "", 0, &name) < 0)
        return NULL;
    return name;
}

/* Whether nothing is on its way on account of which the server could pass over what comes now. */
static bool
relay_is_certain(const struct server *server)
{
    return server->requests.count == (server->syncing_settings ? 1 : 0) &&
           requests_are_certain(&server->requests);
}

static int
relay_push_change(const struct mapping *m, struct prepared_name *name, struct statement *statement,
                  bool is_here)
{
    const struct prepared_change change = {
        .names = m->client->names, .name = name, .statement = statement, .is_here = is_here};

    return prepared_push(&m->server->requests, *m->data, REQUEST_FORWARD, &change);
}

/* A Parse as it is. If it is not passed over, only its failure needs to be known. */
static enum mapped
relay_pass_parse(const struct mapping *m, struct prepared_name *name, struct statement *statement)
{
    if (relay_is_certain(m->server)) {
        prepared_set_unnamed(m->client->names, statement, true);
        return MAPPED_NOTHING;
    }
    return relay_push_change(m, name, statement, true) < 0 ? MAPPED_FAILED : MAPPED_ENTERED;
}

void
relay_unnamed_failed(const struct server *server)
{
    const struct requests *const requests = &server->requests;

    if (requests_head_type(requests) == FRONTEND_PARSE && !requests_head_has_op(requests) &&
        server->client != NULL && prepared_unnamed(server->client->names) != NULL)
        prepared_fail_unnamed(server->client->names);
}

/* A Close of the server's, ahead of the message. */
static int
relay_close_unnamed(const struct mapping *m, struct prepared_name *name)
{
    const struct prepared_change change = {.names = m->client->names, .name = name};

    relay_leave_span(m);
    return relay_send_close(m, "", 0, REQUEST_QUIET, &change);
}

int
relay_forget_unnamed(const struct mapping *m)
{
    struct prepared_name *const name = prepared_unnamed(m->client->names);

    if (likely(name == NULL || !prepared_has_unnamed(name)))
        return 0;
    if (!relay_is_certain(m->server))
        return relay_close_unnamed(m, name);
    prepared_set_unnamed(m->client->names, NULL, false);
    return 0;
}

int
relay_push(const struct mapping *m)
{
    struct prepared_name *name;

    if (*m->data != FRONTEND_PARSE)
        return requests_push(&m->server->requests, *m->data, REQUEST_FORWARD);
    name = relay_unnamed_name(m);
    return name != NULL ? relay_push_change(m, name, NULL, true) : -ENOMEM;
}

int
relay_push_long(struct client *client, char type)
{
    struct span nothing = {.to = NULL}; /* all that came before is sent */
    struct server *const server = client->server;
    const struct mapping m = {client, server, &nothing, &type, 0, 0};

    if (type == FRONTEND_PARSE)
        return relay_push(&m);
    if (!requests_passes_over(&server->requests) && relay_forget_unnamed(&m) < 0)
        return -ENOMEM;
    return prepared_push_barrier(&server->requests, type, &server->barriers);
}

/* ---- Parse ------------------------------------------------------------------------------------
 */

/* As a named one; or as it is, where that would be for this use only, or of no use. */
static enum mapped
relay_name_parse(const struct mapping *m, struct prepared_name *name, struct statement *statement)
{
    const struct name_at at = {m->data + PG_HEADER_SIZE, 0};
    struct prepared_entry *const entry = prepared_get(m->server->prepared, statement);
    const enum prepared_state state = prepared_entry_state(entry, &m->server->requests);
    enum mapped mapped = MAPPED_WAIT;

    if (state == PREPARED_UNSURE || m->server->is_altered)
        return relay_pass_parse(m, name, statement);
    relay_leave_span(m);
    if (state == PREPARED_NOT || entry->is_stale || entry->owner != 0)
        mapped = relay_map_first(m, at, statement, name);
    else if (m->server->progress == PROGRESS_NAMED)
        mapped = relay_map_again(m, at, statement, name, entry);
    return mapped == MAPPED_WAIT ? relay_pass_parse(m, name, statement) : mapped;
}

/* Most often it is the client's last one. 0 and a reference, or -ENOMEM. */
static int
relay_find_text(const struct mapping *m, const struct prepared_name *name, const char *text,
                size_t len, struct statement **ret_statement)
{
    struct settings *const settings = m->client->settings;
    struct shard *const shard = m->client->shard;
    const bool names = shard->policy->prepare_unnamed;

    if (names || name->then == NULL || !statement_is_draft_of(name->then, settings, text, len))
        return familiar_get(&shard->familiar, settings, text, len, names, ret_statement);
    *ret_statement = statement_ref(name->then);
    return 0;
}

enum mapped
relay_map_unnamed_parse(const struct mapping *m, const char *text)
{
    const size_t len = (size_t)(m->data + m->avail - text);
    struct prepared_name *name;
    struct statement *statement;
    enum mapped mapped;

    if (len > UNNAMED_MAX)
        return relay_push(m) < 0 ? MAPPED_FAILED : MAPPED_ENTERED;
    name = relay_unnamed_name(m);
    if (name == NULL || relay_find_text(m, name, text, len, &statement) < 0)
        return MAPPED_FAILED;
    mapped = m->client->shard->policy->prepare_unnamed && !statement_is_draft(statement)
                 ? relay_name_parse(m, name, statement)
                 : relay_pass_parse(m, name, statement);
    statement_unref(statement);
    return mapped;
}

/* ---- Bind, Describe, Close --------------------------------------------------------------------
 */

/* What is described here, but used elsewhere, must still look so. */
static enum mapped
relay_use_here(const struct mapping *m, struct prepared_name *name)
{
    if (name->then == NULL || name->shape != SHAPE_UNKNOWN)
        return MAPPED_NOTHING;
    if (*m->data == FRONTEND_DESCRIBE)
        return relay_push_description(m, name) < 0 ? MAPPED_FAILED : MAPPED_ENTERED;
    relay_expect_description(m, name);
    return MAPPED_NOTHING;
}

static enum mapped
relay_use_elsewhere(const struct mapping *m, struct name_at at, struct prepared_name *name)
{
    if (prepared_finish_name(m->client->names, name) < 0)
        return MAPPED_FAILED;
    return relay_map_use(m, at, name);
}

enum mapped
relay_map_unnamed_use(const struct mapping *m, struct name_at at)
{
    struct prepared_name *const name = prepared_unnamed(m->client->names);
    const enum prepared_state state = prepared_name_state(name, &m->server->requests);

    if (state == PREPARED_UNSURE)
        return MAPPED_WAIT;
    if (name != NULL && name->then_here)
        return relay_use_here(m, name);
    if (state == PREPARED_IS)
        return relay_use_elsewhere(m, at, name);
    return relay_close_unnamed(m, NULL) < 0 ? MAPPED_FAILED : MAPPED_NOTHING;
}

enum mapped
relay_map_unnamed_close(const struct mapping *m)
{
    struct prepared_name *const name = prepared_unnamed(m->client->names);

    if (name == NULL || !prepared_has_unnamed(name))
        return MAPPED_NOTHING;
    return relay_push_change(m, name, NULL, false) < 0 ? MAPPED_FAILED : MAPPED_ENTERED;
}
