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

#include "buf.h"
#include "build.h"
#include "cleanup.h"
#include "client.h"
#include "config.h"
#include "log.h"
#include "pg.h"
#include "policy.h"
#include "pool.h"
#include "prepared.h"
#include "relay_int.h"
#include "relay_statement_int.h"
#include "requests.h"
#include "server.h"
#include "statement.h"
#include "worker.h"

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
    relay_begin_work(m->server);
}

void
relay_send(const struct mapping *m, const char *data, size_t len)
{
    stream_send_copy(&m->server->stream, data, len);
}

void
relay_send_about(const struct mapping *m, char type, const char *name, size_t len)
{
    char message[PG_HEADER_SIZE + 1 + STATEMENT_NAME_MAX];
    const size_t body_len = 1 + len + 1;

    pg_put_header(message, type, (uint32_t)body_len);
    message[PG_HEADER_SIZE] = 'S';
    memcpy(message + PG_HEADER_SIZE + 1, name, len + 1);
    relay_send(m, message, PG_HEADER_SIZE + body_len);
}

/* Sends the message with another text in the place of len bytes at text, and is done with it. */
void
relay_send_renamed(const struct mapping *m, struct name_at old, const char *text, size_t len)
{
    struct span rest = {&m->server->stream, m->data, NULL, m->span->borrowed, m->span->glued};
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

/* The server refuses the message, since it is about what nobody has. */
static enum mapped
relay_send_nowhere(const struct mapping *m, struct name_at at, enum refused_why why,
                   const char *name, size_t len)
{
    size_t nowhere_len;
    const char *const nowhere = statement_nowhere(&nowhere_len);

    if (prepared_push_refused(&m->server->requests, *m->data, why, name, len) < 0)
        return MAPPED_FAILED;
    relay_send_renamed(m, at, nowhere, nowhere_len);
    return MAPPED_SENT;
}

/* Whether it is a name on servers, which no client may use: it could be another's statement. */
static bool
relay_is_ours(const char *name, size_t len)
{
    return len >= STATEMENT_PREFIX_LEN && memcmp(name, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN) == 0;
}

/* Whether it may be a name that the client has given by SQL that was not recognised. */
static bool
relay_may_be_stranger(const struct mapping *m, const char *name, size_t len)
{
    return m->server->strangers > 0 && !relay_is_ours(name, len);
}

enum mapped
relay_map_unknown(const struct mapping *m, struct name_at at, const char *name, size_t len)
{
    if (relay_may_be_stranger(m, name, len))
        return MAPPED_NOTHING;
    if (*m->data == FRONTEND_PARSE)
        return relay_plan_unknown(m, at, name);
    if (m->client->worker->config->log_pooler_errors)
        client_log(m->client, LOG_LEVEL_WARNING, "pooler error: prepared statement did not exist");
    relay_leave_span(m);
    return relay_send_nowhere(m, at, REFUSED_NAME, name, len);
}

/* A Bind of what nobody has, in the place of the client's message. */
static enum mapped
relay_refuse(const struct mapping *m, enum refused_why why, const char *name, size_t len)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    size_t nowhere_len;

    relay_leave_span(m);
    if (msg_bind(&message, "", statement_nowhere(&nowhere_len)) < 0 ||
        prepared_push_refused(&m->server->requests, FRONTEND_BIND, why, name, len) < 0)
        return MAPPED_FAILED;
    relay_send(m, message.data, message.len);
    return MAPPED_SENT;
}

enum mapped
relay_refuse_long(struct client *client, struct span *span)
{
    const struct mapping m = {
        .client = client, .server = client->server, .span = span, .data = span->start};

    return relay_refuse(&m, REFUSED_LONG, "", 0);
}

/* ---- the client's messages --------------------------------------------------------------------
 */

/*
 * Whether the rows may look as they do now: the client is told, or compares them, or has parsed the
 * statement just now, as far as it knows.
 */
static bool
relay_takes_rows(const struct mapping *m, const struct prepared_name *name)
{
    return *m->data == FRONTEND_DESCRIBE ||
           (*m->data == FRONTEND_BIND && (name->changes.count > 0 || relay_knows_rows(m, name)));
}

/* If the server says that the statement is out of date, the message can be sent once more. */
static void
relay_keep_use(const struct mapping *m, const struct prepared_name *name)
{
    if (relay_takes_rows(m, name) && m->server->progress == PROGRESS_NAMED && m->avail == m->len)
        relay_begin_keep(m->server, m->data, m->len);
}

/*
 * PostgreSQL describes the parameters before it looks whether the statement is out of date; then it
 * would be too late. So a Describe of what was not made just now goes ahead, which nobody sees.
 */
static int
relay_describe_ahead(const struct mapping *m, struct name_at at, const struct prepared_name *name)
{
    struct requests *const requests = &m->server->requests;
    const struct prepared_entry *const entry = prepared_get(m->server->prepared, name->then);
    const char *text;
    size_t len;

    if (m->server->progress != PROGRESS_NAMED || entry->changes.count > 0)
        return 0;
    if (requests_push(requests, FRONTEND_DESCRIBE, REQUEST_QUIET) < 0)
        return -ENOMEM;
    requests_mark(requests, name->number);
    text = statement_name(name->then, &len);
    relay_send_renamed(m, at, text, len);
    return 0;
}

/* The server has the statement, and what it says of it is what the client takes it for. */
static enum mapped
relay_send_use(const struct mapping *m, struct name_at at, struct prepared_name *name)
{
    const char *text;
    size_t len;
    int r = 0;

    if (*m->data == FRONTEND_DESCRIBE)
        r = relay_describe_ahead(m, at, name);
    if (r == 0)
        r = *m->data == FRONTEND_DESCRIBE ? relay_push_description(m, name) : relay_push(m);
    if (r < 0)
        return MAPPED_FAILED;
    requests_mark(&m->server->requests, name->number);
    m->server->is_altered = m->server->is_altered || statement_alters(name->then);
    text = statement_name(name->then, &len);
    relay_send_renamed(m, at, text, len);
    relay_keep_use(m, name);
    return MAPPED_SENT;
}

enum mapped
relay_map_use(const struct mapping *m, struct name_at at, struct prepared_name *name)
{
    enum mapped ensured;

    relay_leave_span(m);
    ensured = relay_ensure(m, name->then);
    if (ensured != MAPPED_SENT)
        return ensured;
    switch (*m->data == FRONTEND_BIND ? relay_can_read(m, name) : PREPARED_IS) {
    case PREPARED_IS:
        return relay_send_use(m, at, name);
    case PREPARED_UNSURE:
        return relay_ask_rows(m, name);
    default:
        return relay_send_nowhere(m, at, REFUSED_CHANGED, name->text, name->len);
    }
}

/* A definition of a name that is in use is one of what the server has already: it fails. */
static enum mapped
relay_map_in_use(const struct mapping *m, struct name_at at, struct statement *statement,
                 const struct prepared_name *name)
{
    enum mapped ensured;
    const char *text;
    size_t len;

    relay_leave_span(m);
    ensured = relay_ensure(m, statement);
    if (ensured != MAPPED_SENT)
        return ensured;
    if (prepared_push_refused(&m->server->requests, *m->data, REFUSED_NAME, name->text, name->len) <
        0)
        return MAPPED_FAILED;
    text = statement_name(statement, &len);
    relay_send_renamed(m, at, text, len);
    return MAPPED_SENT;
}

enum mapped
relay_map_reference(const struct mapping *m, struct name_at at, const char *name, size_t len)
{
    struct prepared_name *const found = prepared_find(m->client->names, name, len);

    switch (prepared_name_state(found, &m->server->requests)) {
    case PREPARED_IS:
        return relay_map_use(m, at, found);
    case PREPARED_UNSURE:
        return MAPPED_WAIT;
    default:
        return relay_map_unknown(m, at, name, len);
    }
}

static enum mapped
relay_map_named(const struct mapping *m, struct name_at at)
{
    if (at.text == NULL)
        return MAPPED_NOTHING;
    if (at.len == 0)
        return relay_map_unnamed_use(m, at);
    return relay_map_reference(m, at, at.text, at.len);
}

static enum mapped
relay_map_bind(const struct mapping *m)
{
    const struct name_at at = relay_bind_name(m->data, m->avail);
    enum mapped mapped;

    m->server->taught.statement = NULL;
    if (unlikely(m->server->plan != NULL) && at.text != NULL)
        relay_plan_bind(m->server, m->data + PG_HEADER_SIZE, at.text);
    mapped = relay_map_named(m, at);
    if (mapped == MAPPED_SENT && at.len > 0)
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

/* A Close that closes nothing on the server, but is answered. */
static enum mapped
relay_close_nothing(const struct mapping *m, enum request_action action,
                    const struct prepared_change *change)
{
    size_t len;
    const char *const nowhere = statement_nowhere(&len);

    relay_leave_span(m);
    return relay_send_close(m, nowhere, len, action, change) < 0 ? MAPPED_FAILED : MAPPED_SENT;
}

static enum mapped
relay_map_close(const struct mapping *m)
{
    const struct name_at at = relay_statement_at(m);
    struct prepared_change change = {.names = m->client->names};

    if (at.text == NULL)
        return MAPPED_NOTHING;
    if (at.len == 0)
        return relay_map_unnamed_close(m);
    change.name = prepared_find(m->client->names, at.text, at.len);
    switch (prepared_name_state(change.name, &m->server->requests)) {
    case PREPARED_IS:
        return relay_close_nothing(m, REQUEST_FORWARD, &change);
    case PREPARED_UNSURE:
        return MAPPED_WAIT;
    default:
        return relay_may_be_stranger(m, at.text, at.len)
                   ? MAPPED_NOTHING
                   : relay_close_nothing(m, REQUEST_FORWARD, &change);
    }
}

static enum mapped
relay_map_describe(const struct mapping *m)
{
    const struct name_at at = relay_statement_at(m);

    return at.text == NULL ? relay_map_portal(m) : relay_map_named(m, at);
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

/* The server makes what the client has asked for. */
enum mapped
relay_map_first(const struct mapping *m, struct name_at at, struct statement *statement,
                struct prepared_name *name)
{
    struct prepared_change change;
    const enum mapped place = relay_make_place(m, statement, &change);
    const char *text;
    size_t len;

    if (place != MAPPED_SENT)
        return place;
    prepared_tell_no_more(m->client->names, statement);
    change.names = m->client->names;
    change.name = name;
    change.statement = statement;
    if (prepared_push(&m->server->requests, *m->data, REQUEST_FORWARD, &change) < 0)
        return MAPPED_FAILED;
    text = statement_name(statement, &len);
    relay_send_renamed(m, at, text, len);
    return MAPPED_SENT;
}

/* The server has it already; perhaps from before what the client was told. */
enum mapped
relay_map_again(const struct mapping *m, struct name_at at, struct statement *statement,
                struct prepared_name *name, struct prepared_entry *entry)
{
    const struct prepared_change change = {
        .names = m->client->names, .name = name, .statement = statement};

    if (unlikely(prepared_was_told(m->client->names, statement)))
        return relay_map_first(m, at, statement, name);
    prepared_use(m->server->prepared, entry);
    return relay_close_nothing(m, REQUEST_AS_PARSE, &change);
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
        entry->owner != 0 || m->server->progress != PROGRESS_NAMED)
        return relay_map_first(m, at, statement, name);
    return relay_map_again(m, at, statement, name, entry);
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
        return relay_map_in_use(m, at, statement, name);
    case PREPARED_UNSURE:
        return MAPPED_WAIT;
    default:
        if (prepared_is_full(m->client->names, statement))
            return relay_refuse(m, REFUSED_FULL, text, len);
        relay_leave_span(m);
        if (name == NULL && prepared_add_name(&m->client->names, text, len, &name) < 0)
            return MAPPED_FAILED;
        return relay_map_free(m, at, statement, name);
    }
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
    if (statement_get(m->client->settings, STATEMENT_PARSED, text, (size_t)(end - text),
                      &statement) < 0)
        return MAPPED_FAILED;
    mapped = relay_map_definition(m, at, at.text, at.len, statement);
    statement_unref(statement);
    return mapped;
}

struct prepared_entry *
relay_entry_of(const struct server *server, const char *data, size_t len)
{
    const struct mapping m = {.data = data, .avail = len, .len = len};
    const struct name_at at =
        *data == FRONTEND_BIND ? relay_bind_name(data, len) : relay_statement_at(&m);
    const struct prepared_name *const name =
        at.text != NULL ? prepared_find(server->client->names, at.text, at.len) : NULL;

    return name != NULL && name->then != NULL ? prepared_get(server->prepared, name->then) : NULL;
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
        return relay_map_describe(m);
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
    mapped = relay_map_message(&m);
    if (mapped == MAPPED_SENT)
        span->start = data + avail;
    return mapped;
}
