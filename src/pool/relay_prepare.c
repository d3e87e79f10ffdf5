/*
 * relay_prepare.c - a server gets the statements that its client needs, and room for them.
 */
#include "client.h"
#include "pg.h"
#include "policy.h"
#include "pool.h"
#include "prepared.h"
#include "relay_int.h"
#include "relay_statement_int.h"
#include "requests.h"
#include "server.h"
#include "statement.h"

int
relay_send_close(const struct mapping *m, const char *name, size_t name_len,
                 enum request_action action, const struct prepared_change *change)
{
    const int r = prepared_push(&m->server->requests, FRONTEND_CLOSE, action, change);

    if (r == 0)
        relay_send_about(m, FRONTEND_CLOSE, name, name_len);
    return r;
}

static int
relay_close_entry(const struct mapping *m, struct prepared_entry *entry)
{
    const struct prepared_change change = {
        .set = m->server->prepared, .entry = entry, .adds = false};
    size_t len;
    const char *const name = statement_name(entry->statement, &len);

    return relay_send_close(m, name, len, REQUEST_QUIET, &change);
}

/* Closes what was not used for longest, until there is room for one more. */
static enum mapped
relay_make_room(const struct mapping *m)
{
    struct prepared_set *const set = m->server->prepared;
    const unsigned max = MAX(m->client->shard->policy->max_prepared, 1);

    while (prepared_count(set) >= max) {
        struct prepared_entry *const oldest = prepared_oldest(set);

        if (prepared_entry_state(oldest, &m->server->requests) == PREPARED_UNSURE)
            return MAPPED_WAIT;
        if (relay_close_entry(m, oldest) < 0)
            return MAPPED_FAILED;
    }
    return MAPPED_NOTHING;
}

/*
 * Who alone may use what the server prepares now, 0 is everybody: its meaning may not be the one
 * that it has for others, because of what this transaction has altered, or the client has since it
 * named the statement.
 */
static uint64_t
relay_owner(const struct mapping *m, const struct statement *statement)
{
    const struct client *const client = m->client;

    return m->server->is_altered || !statement_is_of(statement, client->settings) ? client->id : 0;
}

/* Whether what the server has under this name is what the client means. */
static bool
relay_is_usable(const struct mapping *m, const struct prepared_entry *entry)
{
    return !entry->is_stale && (entry->owner == 0 || entry->owner == m->client->id);
}

enum mapped
relay_make_place(const struct mapping *m, struct statement *statement,
                 struct prepared_change *ret_change)
{
    struct prepared_set **const set = &m->server->prepared;
    struct prepared_entry *entry = prepared_get(*set, statement);
    enum mapped room = MAPPED_NOTHING;

    if (entry == NULL || !entry->then)
        room = relay_make_room(m);
    if (room != MAPPED_NOTHING)
        return room;
    /* Making room may have let go of the entry, too. */
    entry = prepared_get(*set, statement);
    if (entry == NULL && prepared_add(set, statement, &entry) < 0)
        return MAPPED_FAILED;
    if (((*set)->is_doubtful || entry->then) && relay_close_entry(m, entry) < 0)
        return MAPPED_FAILED;
    *ret_change = (struct prepared_change){
        .set = *set, .entry = entry, .adds = true, .owner = relay_owner(m, statement)};
    m->client->shard->stats.server_parses++;
    return MAPPED_SENT;
}

unsigned *
relay_barriers(const struct mapping *m)
{
    return *m->data == FRONTEND_QUERY ? &m->server->barriers : NULL;
}

/* The server makes statement ahead of the client's message: MAPPED_SENT; or why not. */
static enum mapped
relay_make(const struct mapping *m, struct statement *statement)
{
    struct requests *const requests = &m->server->requests;
    struct prepared_change change;
    const enum mapped place = relay_make_place(m, statement, &change);
    const char *messages;
    size_t len;
    int r = 0;

    if (place != MAPPED_SENT)
        return place;
    change.barriers = relay_barriers(m);
    for (const char *step = statement_steps(statement); *step != '\0' && r == 0; step++)
        r = *step == statement_maker(statement)
                ? prepared_push(requests, *step, REQUEST_QUIET, &change)
                : requests_push(requests, *step, REQUEST_QUIET);
    if (r < 0)
        return MAPPED_FAILED;
    messages = statement_messages(statement, &len);
    relay_send(m, messages, len);
    return MAPPED_SENT;
}

enum mapped
relay_ensure(const struct mapping *m, struct statement *statement)
{
    struct prepared_entry *const entry = prepared_get(m->server->prepared, statement);
    const enum prepared_state state = prepared_entry_state(entry, &m->server->requests);

    if (likely(state == PREPARED_IS && relay_is_usable(m, entry))) {
        prepared_use(m->server->prepared, entry);
        return MAPPED_SENT;
    }
    if (state == PREPARED_UNSURE)
        return MAPPED_WAIT;
    return relay_make(m, statement);
}
