/*
 * relay_statement.c - named prepared statements of clients that change their servers: names are
 * rewritten, and what a server lacks is prepared ahead.
 *
 *     Parse "x", new      Parse "pgweir_..." if the server lacks it;
 *                         else a Close of nothing, whose answer is shown as ParseComplete
 *     Parse "x", in use   Parse "pgweir_..." twice: the second one fails (42P05)
 *     Bind, Describe "x"  with "pgweir_...", and, if the server lacks that, a Parse of it ahead
 *     ... "x" unknown     as it is: the server does not know it either (26000)
 *     Close "x"           a Close of nothing
 *
 * Where a server gets one more than max_prepared_statements, a Close of the one goes ahead that
 * was not used for longest.
 *
 * So every message of the client is answered by the server, in its place, after an error not at
 * all, and an error of a statement ends the server's transaction as it would: nothing is made up
 * but words. This costs a small message for a Parse that is not needed and for a Close; neither
 * comes often, and nothing has to be put between two answers at the right moment.
 *
 * In a failed transaction a Parse must fail, while a Close would not: so there, and where we cannot
 * know, it is parsed again.
 */
#include <errno.h>
#include <string.h>

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

bool
relay_maps(const struct client *client, char type)
{
    if (type == FRONTEND_EXECUTE)
        return client->server != NULL && client->server->plan != NULL;
    if (type != FRONTEND_BIND && type != FRONTEND_PARSE && type != FRONTEND_DESCRIBE &&
        type != FRONTEND_CLOSE && type != FRONTEND_QUERY)
        return false;
    return (client->shard->policy->max_prepared > 0 && client->replication == NULL) ||
           client->names != NULL;
}

struct name_at
relay_name_at(const char *text, const char *end)
{
    const char *const nul = text < end ? memchr(text, '\0', (size_t)(end - text)) : NULL;

    return nul != NULL ? (struct name_at){text, (size_t)(nul - text)} : (struct name_at){NULL, 0};
}

static struct name_at
relay_bind_name(const char *data, size_t len)
{
    const char *const end = data + len;
    const struct name_at portal = relay_name_at(data + PG_HEADER_SIZE, end);

    return portal.text != NULL ? relay_name_at(portal.text + portal.len + 1, end) : portal;
}

bool
relay_has_bind_names(const char *data, size_t len)
{
    return len > PG_HEADER_SIZE && relay_bind_name(data, len).text != NULL;
}

/* What goes to the server from here on is not what stands in the span. */
void
relay_leave_span(const struct mapping *m)
{
    relay_span_end(m->span, m->data);
    m->span->glued = true;
    m->server->ready = false;
}

void
relay_send(const struct mapping *m, const char *data, size_t len)
{
    stream_send_copy(&m->server->stream, data, len);
}

/* Sends the message with another text in the place of len bytes at text, and is done with it. */
void
relay_send_renamed(const struct mapping *m, struct name_at old, const char *text, size_t len)
{
    struct span rest = {&m->server->stream, m->data, m->span->borrowed, m->span->glued};
    size_t before;
    char head[256];

    if (old.text == NULL) {
        span_send(&rest, m->data + m->avail);
        return;
    }
    rest.start = old.text + old.len;
    before = (size_t)(old.text - m->data);
    pg_put_header(head, *m->data, (uint32_t)(m->len - old.len + len - PG_HEADER_SIZE));
    if (likely(before + len <= sizeof head)) {
        memcpy(head + PG_HEADER_SIZE, m->data + PG_HEADER_SIZE, before - PG_HEADER_SIZE);
        memcpy(head + before, text, len);
        relay_send(m, head, before + len);
    } else {
        relay_send(m, head, PG_HEADER_SIZE);
        relay_send(m, m->data + PG_HEADER_SIZE, before - PG_HEADER_SIZE);
        relay_send(m, text, len);
    }
    span_send(&rest, m->data + m->avail);
}

/* A name that no client may use, since it could be another's statement: in capitals it is free. */
static bool
relay_is_ours(struct name_at name)
{
    return name.len >= STATEMENT_PREFIX_LEN &&
           memcmp(name.text, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN) == 0;
}

/* In SQL it is refused by the server when it is executed: at once, or later if it is a Parse. */
static enum mapped
relay_send_unknown_sql(const struct mapping *m, struct name_at at, const char *name, size_t len)
{
    static const char nobodys[] = STATEMENT_PREFIX "none";
    struct requests *const requests = &m->server->requests;
    const int r = *m->data == FRONTEND_QUERY ? prepared_push_refused(requests, *m->data, name, len)
                                             : requests_push(requests, *m->data, REQUEST_FORWARD);

    if (r < 0)
        return MAPPED_FAILED;
    relay_send_renamed(m, at, nobodys, sizeof nobodys - 1);
    return MAPPED_SENT;
}

enum mapped
relay_map_unknown(const struct mapping *m, struct name_at at, const char *name, size_t len)
{
    if (!relay_is_ours((struct name_at){name, len}))
        return MAPPED_NOTHING;
    relay_leave_span(m);
    if (*m->data == FRONTEND_QUERY || *m->data == FRONTEND_PARSE)
        return relay_send_unknown_sql(m, at, name, len);
    if (requests_push(&m->server->requests, *m->data, REQUEST_FORWARD) < 0)
        return MAPPED_FAILED;
    relay_send_renamed(m, (struct name_at){at.text, STATEMENT_PREFIX_LEN}, "PGWEIR_",
                       STATEMENT_PREFIX_LEN);
    return MAPPED_SENT;
}

/* ---- what a server has ------------------------------------------------------------------------
 */

/* A Close of a statement of the server, or of what nobody has. */
int
relay_send_close(const struct mapping *m, const char *name, size_t name_len,
                 enum request_action action, const struct prepared_change *change)
{
    char message[PG_HEADER_SIZE + 1 + STATEMENT_NAME_MAX];
    const size_t len = PG_HEADER_SIZE + 1 + name_len + 1;
    int r;

    r = prepared_push(&m->server->requests, FRONTEND_CLOSE, action, change);
    if (r < 0)
        return r;
    pg_put_header(message, FRONTEND_CLOSE, (uint32_t)(len - PG_HEADER_SIZE));
    message[PG_HEADER_SIZE] = 'S';
    memcpy(message + PG_HEADER_SIZE + 1, name, name_len);
    message[len - 1] = '\0';
    relay_send(m, message, len);
    return 0;
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
 * There is room for statement, and nothing in its place: a Close goes ahead of what may be there.
 * MAPPED_SENT, and the change that its making will be; or why not.
 */
static enum mapped
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
    *ret_change = (struct prepared_change){.set = *set, .entry = entry, .adds = true};
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

/* The server has statement from here on: MAPPED_SENT; or why not. */
static enum mapped
relay_ensure(const struct mapping *m, struct statement *statement)
{
    struct prepared_entry *const entry = prepared_get(m->server->prepared, statement);
    const enum prepared_state state = prepared_entry_state(entry, &m->server->requests);

    if (likely(state == PREPARED_IS && !entry->is_stale)) {
        prepared_use(m->server->prepared, entry);
        return MAPPED_SENT;
    }
    if (state == PREPARED_UNSURE)
        return MAPPED_WAIT;
    return relay_make(m, statement);
}

/* ---- the client's messages --------------------------------------------------------------------
 */

/*
 * Whether nothing of a transaction was sent yet; settings of the daemon's may be on their way. That
 * all was answered does not tell: a Flush brings answers in mid-transaction.
 */
static bool
relay_is_first(const struct server *server)
{
    return server->status == READY_IDLE && (server->untouched || server->ready) &&
           server->requests.count == (server->syncing_settings ? 1 : 0);
}

/*
 * The message, with the server's name for statement; name is NULL, or the one in use, which a Parse
 * is refused for.
 */
static enum mapped
relay_map_use(const struct mapping *m, struct name_at at, struct statement *statement,
              const struct prepared_name *name)
{
    struct requests *const requests = &m->server->requests;
    const bool can_heal =
        *m->data == FRONTEND_BIND && m->avail == m->len && relay_is_first(m->server);
    const char *text;
    size_t len;
    enum mapped ensured;
    int r;

    relay_leave_span(m);
    ensured = relay_ensure(m, statement);
    if (ensured != MAPPED_SENT)
        return ensured;
    r = name != NULL ? prepared_push_refused(requests, *m->data, name->text, name->len)
                     : requests_push(requests, *m->data, REQUEST_FORWARD);
    if (r < 0)
        return MAPPED_FAILED;
    text = statement_name(statement, &len);
    relay_send_renamed(m, at, text, len);
    if (can_heal)
        relay_begin_heal(m->server, m->data, m->len);
    return MAPPED_SENT;
}

enum mapped
relay_map_reference(const struct mapping *m, struct name_at at, const char *name, size_t len)
{
    const struct prepared_name *const found = prepared_find(m->client->names, name, len);

    switch (prepared_name_state(found, &m->server->requests)) {
    case PREPARED_IS:
        return relay_map_use(m, at, found->then, NULL);
    case PREPARED_UNSURE:
        return MAPPED_WAIT;
    default:
        return relay_map_unknown(m, at, name, len);
    }
}

static enum mapped
relay_map_named(const struct mapping *m, struct name_at at)
{
    if (at.text == NULL || at.len == 0)
        return MAPPED_NOTHING;
    return relay_map_reference(m, at, at.text, at.len);
}

static enum mapped
relay_map_bind(const struct mapping *m)
{
    const struct name_at at = relay_bind_name(m->data, m->avail);
    enum mapped mapped;

    if (unlikely(m->server->plan != NULL) && at.text != NULL)
        relay_plan_bind(m->server, m->data + PG_HEADER_SIZE, at.text);
    mapped = relay_map_named(m, at);
    if (mapped == MAPPED_SENT)
        m->client->shard->stats.binds++;
    return mapped;
}

/* Of Describe and Close: a statement's name, or none. */
static struct name_at
relay_statement_at(const struct mapping *m)
{
    if (m->avail <= PG_HEADER_SIZE || m->data[PG_HEADER_SIZE] != 'S')
        return (struct name_at){NULL, 0};
    return relay_name_at(m->data + PG_HEADER_SIZE + 1, m->data + m->avail);
}

static enum mapped
relay_map_close(const struct mapping *m)
{
    const struct name_at at = relay_statement_at(m);
    struct prepared_change change = {.names = m->client->names};

    if (at.text == NULL || at.len == 0)
        return MAPPED_NOTHING;
    change.name = prepared_find(m->client->names, at.text, at.len);
    switch (prepared_name_state(change.name, &m->server->requests)) {
    case PREPARED_IS:
        relay_leave_span(m);
        return relay_send_close(m, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN, REQUEST_FORWARD,
                                &change) < 0
                   ? MAPPED_FAILED
                   : MAPPED_SENT;
    case PREPARED_UNSURE:
        return MAPPED_WAIT;
    default:
        return relay_map_unknown(m, at, at.text, at.len);
    }
}

/* A Parse whose parts are all there; else PostgreSQL will say what is wrong with it. */
static bool
relay_parse_is_sound(const struct mapping *m, const char *text)
{
    const char *const end = m->data + m->avail;
    const struct name_at query = relay_name_at(text, end);
    const char *types;

    if (query.text == NULL || m->avail != m->len)
        return false;
    types = query.text + query.len + 1;
    return end - types >= 2 && end - types == 2 + 4 * (ptrdiff_t)pg_get_uint16(types);
}

/* Whether the server may be in a failed transaction; it is asked what it was asked before. */
static bool
relay_may_have_failed(const struct server *server)
{
    return server->status == READY_FAILED_TRANSACTION || server->requests.readies > 0;
}

/* The server makes what the client has asked for. */
static enum mapped
relay_map_first(const struct mapping *m, struct name_at at, struct statement *statement,
                struct prepared_name *name)
{
    struct prepared_change change;
    const enum mapped place = relay_make_place(m, statement, &change);
    const char *text;
    size_t len;

    if (place != MAPPED_SENT)
        return place;
    change.names = m->client->names;
    change.name = name;
    change.statement = statement;
    if (prepared_push(&m->server->requests, *m->data, REQUEST_FORWARD, &change) < 0)
        return MAPPED_FAILED;
    text = statement_name(statement, &len);
    relay_send_renamed(m, at, text, len);
    return MAPPED_SENT;
}

/* The server has it already. */
static enum mapped
relay_map_again(const struct mapping *m, struct statement *statement, struct prepared_name *name,
                struct prepared_entry *entry)
{
    const struct prepared_change change = {
        .names = m->client->names, .name = name, .statement = statement};

    prepared_use(m->server->prepared, entry);
    return relay_send_close(m, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN, REQUEST_AS_PARSE, &change) <
                   0
               ? MAPPED_FAILED
               : MAPPED_SENT;
}

/* A name that is free becomes statement. */
static enum mapped
relay_map_new(const struct mapping *m, struct name_at at, struct statement *statement,
              struct prepared_name *name)
{
    struct prepared_entry *const entry = prepared_get(m->server->prepared, statement);
    const enum prepared_state state = prepared_entry_state(entry, &m->server->requests);

    if (state == PREPARED_UNSURE)
        return MAPPED_WAIT;
    if (*m->data != FRONTEND_PARSE || state == PREPARED_NOT || entry->is_stale ||
        relay_may_have_failed(m->server))
        return relay_map_first(m, at, statement, name);
    return relay_map_again(m, statement, name, entry);
}

/* A name that is free; or that was, until the statement was found not to be possible now. */
static enum mapped
relay_map_free(const struct mapping *m, struct name_at at, struct statement *statement,
               struct prepared_name *name)
{
    const enum mapped mapped = relay_map_new(m, at, statement, name);

    if (mapped == MAPPED_WAIT)
        prepared_drop_name(m->client->names, name);
    if (mapped == MAPPED_SENT)
        m->client->shard->stats.client_parses++;
    return mapped;
}

enum mapped
relay_map_definition(const struct mapping *m, struct name_at at, const char *text, size_t len,
                     struct statement *statement)
{
    struct prepared_name *name = prepared_find(m->client->names, text, len);

    switch (prepared_name_state(name, &m->server->requests)) {
    case PREPARED_IS:
        return relay_map_use(m, at, statement, name);
    case PREPARED_UNSURE:
        return MAPPED_WAIT;
    default:
        relay_leave_span(m);
        if (name == NULL && prepared_add_name(&m->client->names, text, len, &name) < 0)
            return MAPPED_FAILED;
        return relay_map_free(m, at, statement, name);
    }
}

uint64_t
relay_owner(const struct mapping *m)
{
    return m->server->is_altered ? m->client->id : 0;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static enum mapped
relay_map_parse(const struct mapping *m)
{
    const char *const end = m->data + m->avail;
    const struct name_at at = relay_name_at(m->data + PG_HEADER_SIZE, end);
    struct statement *statement;
    enum mapped mapped;
    const char *text;

    if (at.text == NULL || !relay_parse_is_sound(m, at.text + at.len + 1))
        return MAPPED_NOTHING;
    text = at.text + at.len + 1;
    if (at.len == 0)
        return relay_map_sql(m, text);
    if (statement_get(m->client->settings, relay_owner(m), STATEMENT_PARSED, text,
                      (size_t)(end - text), &statement) < 0)
        return MAPPED_FAILED;
    mapped = relay_map_definition(m, at, at.text, at.len, statement);
    statement_unref(statement);
    return mapped;
}

static enum mapped
relay_map_message(const struct mapping *m)
{
    switch (*m->data) {
    case FRONTEND_BIND:
        return relay_map_bind(m);
    case FRONTEND_PARSE:
        return relay_map_parse(m);
    case FRONTEND_CLOSE:
        return relay_map_close(m);
    case FRONTEND_QUERY:
        return relay_map_sql(m, m->data + PG_HEADER_SIZE);
    case FRONTEND_EXECUTE:
        return relay_map_execute(m);
    default:
        return relay_map_named(m, relay_statement_at(m));
    }
}

enum mapped
relay_map(struct client *client, struct span *span, const char *data, size_t avail, size_t len)
{
    const struct mapping m = {client, client->server, span, data, avail, len};
    enum mapped mapped;

    /* After an error the server looks at nothing up to the Sync; neither do we. */
    if (unlikely(requests_passes_over(&client->server->requests)))
        return MAPPED_NOTHING;
    if (unlikely(client->server->barriers > 0))
        return MAPPED_WAIT;
    mapped = relay_map_message(&m);
    if (mapped == MAPPED_SENT)
        span->start = data + avail;
    return mapped;
}
