/*
 * relay_sql.c - SQL that means something to prepared statements.
 */
#include <string.h>

#include "buf.h"
#include "build.h"
#include "cleanup.h"
#include "client.h"
#include "pg.h"
#include "prepared.h"
#include "relay_int.h"
#include "relay_statement_int.h"
#include "requests.h"
#include "server.h"
#include "sql.h"
#include "statement.h"

/* The name of a statement that is there only to be deallocated. */
#define GONE STATEMENT_PREFIX "gone"

/* In a failed transaction it may have stayed, so first a Close. */
static int
relay_send_gone(const struct mapping *m)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    const struct prepared_change nothing = {.adds = false};
    struct msg msg;
    int r;

    r = relay_send_close(m, GONE, sizeof GONE - 1, REQUEST_QUIET, &nothing);
    if (r == 0)
        r = requests_push(&m->server->requests, FRONTEND_PARSE, REQUEST_QUIET);
    if (r < 0)
        return r;
    msg_begin(&msg, &message, FRONTEND_PARSE);
    msg_put_str(&msg, GONE);
    msg_put_str(&msg, ""); /* can be parsed in a failed transaction, too */
    msg_put_int16(&msg, 0);
    r = msg_end(&msg);
    if (r == 0)
        relay_send(m, message.data, message.len);
    return r;
}

/*
 * A DEALLOCATE of the client's name, as a Query or a Parse: the server deallocates something else,
 * which it gets ahead, and says what PostgreSQL says.
 */
static enum mapped
relay_send_deallocate(const struct mapping *m, struct prepared_name *name)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    const struct prepared_change change = {.names = m->client->names, .name = name};
    struct msg msg;

    relay_leave_span(m);
    msg_begin(&msg, &message, *m->data);
    if (*m->data == FRONTEND_PARSE)
        msg_put_str(&msg, "");
    msg_put_str(&msg, "DEALLOCATE " GONE);
    if (*m->data == FRONTEND_PARSE)
        msg_put_int16(&msg, 0);
    if (msg_end(&msg) < 0 || relay_send_gone(m) < 0 ||
        prepared_push(&m->server->requests, *m->data, REQUEST_FORWARD, &change) < 0)
        return MAPPED_FAILED;
    relay_send(m, message.data, message.len);
    return MAPPED_SENT;
}

/* A query that may forget anything: what comes behind it waits for its answer. */
static enum mapped
relay_send_barrier(const struct mapping *m)
{
    relay_leave_span(m);
    if (prepared_push_barrier(&m->server->requests, &m->server->barriers) < 0)
        return MAPPED_FAILED;
    relay_send(m, m->data, m->avail);
    return MAPPED_SENT;
}

/* The text of a Query, or of a Parse without a name. */
enum mapped
relay_map_sql(const struct mapping *m, const char *text)
{
    char wanted[SQL_WORD_MAX];
    struct prepared_name *name;

    if (m->avail <= PG_HEADER_SIZE)
        return MAPPED_NOTHING;
    /* Most texts are not even looked at: these begin with other letters. */
    if (likely((*text | 0x20) != 'd' && *text > '/'))
        return MAPPED_NOTHING;
    if (m->data[m->avail - 1] != '\0' || m->avail != m->len)
        return MAPPED_NOTHING;
    switch (sql_effect(text, wanted)) {
    case SQL_FORGETS:
        break;
    case SQL_FORGETS_MORE:
        return *m->data == FRONTEND_QUERY ? relay_send_barrier(m) : MAPPED_NOTHING;
    default:
        return MAPPED_NOTHING;
    }
    name = prepared_find(m->client->names, wanted, strlen(wanted));
    switch (prepared_name_state(name, &m->server->requests)) {
    case PREPARED_IS:
        return relay_send_deallocate(m, name);
    case PREPARED_UNSURE:
        return MAPPED_WAIT;
    default:
        return MAPPED_NOTHING;
    }
}
