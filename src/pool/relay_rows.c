/*
 * relay_rows.c - whether a client can read the rows of the statement that it uses.
 *
 * A client may ask for the description of a statement's rows once, and use it many times. With a
 * server of its own that is safe: PostgreSQL refuses a statement whose rows look different by now.
 * Here the next server may have prepared it before the table was changed, or after. So it is known
 * what the rows of each server's statement look like, and what the client was told (shape.h):
 *
 *     Bind, Describe    it is told each time, nothing can go wrong
 *     the same          it goes on
 *     another           one of the two is out of date, so the server prepares it anew
 *     not known         the server is asked, and the client's messages wait for the answer
 *     another even so   it is refused, in PostgreSQL's words; drivers prepare it anew then
 *
 * A question is needed only when a server gets a statement that its client has had described. What
 * the client was told is what was answered, not what it has asked: that may be passed over.
 */
#include <string.h>

#include "build.h"
#include "client.h"
#include "lesson.h"
#include "pg.h"
#include "prepared.h"
#include "relay_int.h"
#include "relay_statement_int.h"
#include "server.h"
#include "shape.h"
#include "statement.h"

/* Whether a Describe of its portal comes with this Bind: next, whole, so nothing is between. */
static bool
relay_is_described(const struct mapping *m)
{
    const char *const next = m->data + m->len;
    const char *const end = m->span->end;
    struct name_at portal, other;

    if (m->avail != m->len || end == NULL || end - next <= PG_HEADER_SIZE + 1 ||
        *next != FRONTEND_DESCRIBE || next[PG_HEADER_SIZE] != 'P' ||
        pg_get_uint32(next + 1) >= (size_t)(end - next))
        return false;
    portal = relay_name_at(m->data + PG_HEADER_SIZE, next);
    other = relay_name_at(next + PG_HEADER_SIZE + 1, end);
    return other.text != NULL && portal.len == other.len &&
           memcmp(portal.text, other.text, portal.len) == 0;
}

/* Whether the client does not know, or we do not, what a description will say. */
static bool
relay_is_news(const struct prepared_name *name, const struct prepared_entry *entry)
{
    return entry->shape == SHAPE_UNKNOWN || entry->shape != name->shape;
}

enum prepared_state
relay_can_read(const struct mapping *m, struct prepared_name *name)
{
    struct prepared_entry *const entry = prepared_get(m->server->prepared, name->then);

    m->server->taught = NULL;
    if (relay_is_described(m)) {
        if (relay_is_news(name, entry))
            m->server->taught = name;
        return PREPARED_IS;
    }
    if (!shape_has_rows(name->shape) || name->shape == entry->shape)
        return PREPARED_IS;
    if (entry->shape != SHAPE_UNKNOWN && entry->changes.segment == m->server->requests.segment)
        return PREPARED_NOT; /* although it was made just now */
    entry->is_stale = entry->shape != SHAPE_UNKNOWN;
    return PREPARED_UNSURE;
}

bool
relay_knows_rows(const struct mapping *m, const struct prepared_name *name)
{
    /* Of an unnamed one it knows what it was told since its Parse: now and then, nothing. */
    return name->shape != SHAPE_UNKNOWN || name->len == 0 || relay_is_described(m);
}

enum mapped
relay_ask_rows(const struct mapping *m, const struct prepared_name *name)
{
    const enum mapped ensured = relay_ensure(m, name->then);
    struct prepared_entry *const entry = prepared_get(m->server->prepared, name->then);
    char message[PG_HEADER_SIZE + 1 + STATEMENT_NAME_MAX];
    const char *text;
    size_t len;

    if (ensured != MAPPED_SENT)
        return ensured;
    if (entry->is_asked)
        return MAPPED_WAIT;
    if (lesson_push(&m->server->requests, REQUEST_QUIET, m->server->prepared, entry, NULL, NULL) <
        0)
        return MAPPED_FAILED;
    requests_mark(&m->server->requests, name->number);
    text = statement_name(name->then, &len);
    pg_put_header(message, FRONTEND_DESCRIBE, (uint32_t)(1 + len + 1));
    message[PG_HEADER_SIZE] = 'S';
    memcpy(message + PG_HEADER_SIZE + 1, text, len + 1);
    relay_send(m, message, PG_HEADER_SIZE + 1 + len + 1);
    return MAPPED_WAIT;
}

int
relay_push_description(const struct mapping *m, struct prepared_name *name)
{
    struct prepared_set *const set = m->server->prepared;
    struct prepared_entry *const entry = prepared_get(set, name->then);

    if (entry != NULL && relay_is_news(name, entry))
        return lesson_push(&m->server->requests, REQUEST_FORWARD, set, entry, m->client->names,
                           name);
    return requests_push(&m->server->requests, FRONTEND_DESCRIBE, REQUEST_FORWARD);
}

enum mapped
relay_map_portal(const struct mapping *m)
{
    struct prepared_name *const name = TAKE(m->server->taught);

    if (likely(name == NULL))
        return MAPPED_NOTHING;
    relay_leave_span(m);
    if (relay_push_description(m, name) < 0)
        return MAPPED_FAILED;
    relay_send(m, m->data, m->avail);
    return MAPPED_SENT;
}
