/*
 * relay_heal.c - a Bind that the server refuses since what it has prepared is out of date (a table
 * has another column, say) is sent once more, with the statement prepared anew.
 *
 * That is right only if nothing of it was done and nothing of it was seen: so the Bind must be the
 * first message of a transaction of its own, refused, and followed by no more than what belongs to
 * it, up to its Sync. And the client must ask for the description of the rows: one that keeps the
 * description from before would take the new rows for old ones. PostgreSQL refuses for its sake.
 *
 * What the client has sent is kept, as it came, from such a Bind to its first answer.
 */
#include <string.h>

#include "buf.h"
#include "client.h"
#include "log.h"
#include "notice.h"
#include "pg.h"
#include "relay.h"
#include "relay_int.h"
#include "server.h"

/* More is not kept. */
#define HEAL_MAX 4096

static void
relay_keep(struct server *server, const char *data, size_t len)
{
    if (server->replay.len + len > HEAL_MAX || buf_append(&server->replay, data, len) < 0)
        server->heal = HEAL_NOT;
}

void
relay_begin_heal(struct server *server, const char *data, size_t len)
{
    buf_clear(&server->replay);
    server->heal = HEAL_KEEPS;
    server->is_described = false;
    relay_keep(server, data, len);
}

void
relay_note_for_heal(struct server *server, const char *data, size_t len)
{
    const bool is_portal = len > PG_HEADER_SIZE && data[PG_HEADER_SIZE] == 'P';

    if (server->heal == HEAL_CAN) {
        server->heal = HEAL_NOT;
        return;
    }
    switch (*data) {
    case FRONTEND_DESCRIBE:
        server->is_described = is_portal;
        if (!is_portal)
            server->heal = HEAL_NOT;
        break;
    case FRONTEND_SYNC:
        server->heal = server->is_described ? HEAL_CAN : HEAL_NOT;
        break;
    case FRONTEND_EXECUTE:
    case FRONTEND_FLUSH:
        break;
    default:
        server->heal = HEAL_NOT;
    }
    if (server->heal != HEAL_NOT)
        relay_keep(server, data, len);
}

/* Whether the client is between two messages, and has sent no more. */
static bool
relay_is_at_rest(const struct client *client)
{
    return !client->stalled && client->pending.len == 0 && client->held.len == 0 &&
           framer_is_between(&client->framer);
}

bool
relay_heal(struct server *server, const char *data, size_t len)
{
    struct client *const client = server->client;
    const char *const body = data + PG_HEADER_SIZE;
    struct notice notice;
    struct buf replay;

    if (server->heal != HEAL_CAN)
        return false;
    server->heal = HEAL_NOT;
    if (requests_head_type(&server->requests) != FRONTEND_BIND || !relay_is_at_rest(client) ||
        notice_parse(body, len - PG_HEADER_SIZE, &notice) < 0 || notice_is_fatal(&notice) ||
        !relay_doubt_statements(server, body, len - PG_HEADER_SIZE, notice.sqlstate))
        return false;
    (void)requests_answer(&server->requests, BACKEND_ERROR);
    requests_swallow_head(&server->requests);
    server_log(server, LOG_LEVEL_INFO, "a prepared statement is out of date, prepared anew: %s",
               notice.message);
    server->shard->stats.heals++;
    replay = server->replay;
    buf_init(&server->replay);
    relay_client_input(client, replay.data, replay.len, false);
    server->heal = HEAL_NOT; /* once is enough */
    buf_done(&replay);
    return true;
}
