#include "portal.h"

#include <errno.h>
#include <stdlib.h>

#include "build.h"
#include "console_int.h"
#include "str.h"
#include "table.h"

/* ---- statements ------------------------------------------------------------------------------ */

struct parsed *
parsed_find(const struct session *session, const char *name)
{
    struct parsed *parsed;

    LIST_FOREACH (parsed, &session->prepared, link) {
        if (str_eq(parsed->name, name))
            return parsed;
    }
    return NULL;
}

struct parsed *
parsed_new(const char *name, const char *sql)
{
    CLEANUP(parsed_free) struct parsed *parsed = calloc(1, sizeof(*parsed));

    if (parsed == NULL || str_set(&parsed->name, name) < 0 || str_set(&parsed->sql, sql) < 0)
        return NULL;
    return TAKE(parsed);
}

void
parsed_free(struct parsed *parsed)
{
    if (parsed == NULL)
        return;
    list_remove(&parsed->link);
    table_free(parsed->columns);
    free(parsed->name);
    free(parsed->sql);
    free(parsed);
}

/* ---- portals --------------------------------------------------------------------------------- */

struct portal *
portal_find(const struct session *session, const char *name)
{
    struct portal *portal;

    LIST_FOREACH (portal, &session->portals, link) {
        if (str_eq(portal->name, name))
            return portal;
    }
    return NULL;
}

struct portal *
portal_new(const char *name, const char *sql, const struct formats *formats)
{
    CLEANUP(portal_free) struct portal *portal = calloc(1, sizeof(*portal));

    if (portal == NULL || str_set(&portal->name, name) < 0 || str_set(&portal->sql, sql) < 0)
        return NULL;
    portal->formats = *formats;
    return TAKE(portal);
}

void
portal_free(struct portal *portal)
{
    if (portal == NULL)
        return;
    list_remove(&portal->link);
    table_free(portal->columns);
    free(portal->name);
    free(portal->sql);
    buf_done(&portal->rest);
    free(portal);
}

/* ---- what is left over ----------------------------------------------------------------------- */

bool
portal_has_rest(const struct portal *portal)
{
    return portal->rest.len > 0;
}

bool
portal_is_too_much_rest(const struct session *session, size_t len)
{
    const struct portal *portal;

    LIST_FOREACH (portal, &session->portals, link)
        len += portal->rest.len;
    return len > PORTAL_REST_MAX;
}

/* Where from a place on so many rows end, if there is another one; else the end. */
static size_t
end_of_rows(const struct buf *rest, size_t at, uint32_t limit)
{
    uint32_t rows = 0;

    if (limit == 0)
        return rest->len;
    while (at < rest->len) {
        if (rest->data[at] == BACKEND_DATA_ROW && rows++ == limit)
            return at;
        at += pg_get_uint32(rest->data + at + 1) + 1;
    }
    return rest->len;
}

int
portal_put_rest(struct portal *portal, uint32_t limit, struct buf *output)
{
    struct buf *const rest = &portal->rest;
    const size_t end = end_of_rows(rest, portal->rest_at, limit);
    struct msg msg;
    int r = buf_append(output, rest->data + portal->rest_at, end - portal->rest_at);

    if (r < 0)
        return r;
    portal->rest_at = end;
    if (end == rest->len) {
        buf_done(rest);
        return 0;
    }
    msg_begin(&msg, output, BACKEND_PORTAL_SUSPENDED);
    return msg_end(&msg);
}

int
portal_limit(const struct session *session, struct portal *portal, uint32_t limit,
             struct buf *output)
{
    if (end_of_rows(output, 0, limit) == output->len)
        return 0;
    if (portal_is_too_much_rest(session, output->len))
        return -ENOMEM;
    portal->rest = *output;
    portal->rest_at = 0;
    buf_init(output);
    return portal_put_rest(portal, limit, output);
}
