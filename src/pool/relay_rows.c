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

#include "client.h"
#include "hash.h"
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

void
relay_expect_description(const struct mapping *m, const struct prepared_name *name)
{
    struct taught *const taught = &m->server->taught;

    taught->statement = name->then;
    taught->portal = hash_str(m->data + PG_HEADER_SIZE);
    taught->name_len = name->len;
    memcpy(taught->name, name->text, name->len);
}

enum prepared_state
relay_can_read(const struct mapping *m, struct prepared_name *name)
{
    struct prepared_entry *const entry = prepared_get(m->server->prepared, name->then);

    if (!relay_is_described(m) && prepared_asks_other(name, entry))
        return PREPARED_UNSURE;
    if (relay_is_described(m) || !shape_has_rows(name->shape) || name->shape == entry->shape) {
        if (relay_is_news(name, entry))
            relay_expect_description(m, name);
        return PREPARED_IS;
    }
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
    relay_send_about(m, FRONTEND_DESCRIBE, text, len);
    return MAPPED_WAIT;
}

int
relay_push_description(const struct mapping *m, struct prepared_name *name)
{
    struct requests *const requests = &m->server->requests;
    struct prepared_set *const set = name->then_here ? NULL : m->server->prepared;
    struct prepared_entry *const entry = prepared_get(set, name->then);

    if (name->then_here ? name->shape == SHAPE_UNKNOWN
                        : entry != NULL && relay_is_news(name, entry))
        return lesson_push(requests, REQUEST_FORWARD, set, entry, m->client->names, name);
    return requests_push(requests, FRONTEND_DESCRIBE, REQUEST_FORWARD);
}

/* Whom the Describe of this portal teaches something, or NULL. */
static struct prepared_name *
relay_taught(const struct mapping *m, struct name_at portal)
{
    const struct taught *const taught = &m->server->taught;
    struct prepared_name *name;

    if (likely(taught->statement == NULL) || portal.text == NULL ||
        hash_str(portal.text) != taught->portal)
        return NULL;
    name = prepared_find(m->client->names, taught->name, taught->name_len);
    return name != NULL && name->then == taught->statement ? name : NULL;
}

enum mapped
relay_map_portal(const struct mapping *m)
{
    struct prepared_name *const name =
        relay_taught(m, relay_name_at(m->data + PG_HEADER_SIZE + 1, m->data + m->avail));

    if (likely(name == NULL))
        return MAPPED_NOTHING;
    m->server->taught.statement = NULL;
    return relay_push_description(m, name) < 0 ? MAPPED_FAILED : MAPPED_ENTERED;
}
