/*
 * relay_heal.c - a statement that the server refuses to use, since what it has prepared is out of
 * date (a table has another column, say) or was forgotten, is prepared anew and used once more.
 *
 * That is right only if nothing of it was done and nothing of it was seen: so it must be a Bind, or
 * a Describe, before which nothing was done in a transaction of its own, refused, and followed by
 * no more than what belongs to it, up to its Sync. And the client must know what its rows look
 * like, or ask, or have parsed it just now: relay_rows.c. One that takes the new rows for old ones
 * is worse off than with the error, which PostgreSQL says for its sake. A client that has sent a
 * Flush, and waits, gets a Sync of the daemon's ahead of what is sent once more.
 *
 * What the client has sent is kept, as it came, from such a message to its first answer.
 */
#include <string.h>

#include "buf.h"
#include "client.h"
#include "close_reason.h"
#include "log.h"
#include "notice.h"
#include "pg.h"
#include "prepared.h"
#include "relay.h"
#include "relay_int.h"
#include "server.h"

/* More is not kept. */
#define KEPT_MAX (16 * 1024)

void
relay_progress(struct server *server, char type)
{
    relay_begin_work(server);
    if (server->progress == PROGRESS_NAMED && type != FRONTEND_PARSE && type != FRONTEND_DESCRIBE &&
        type != FRONTEND_CLOSE && type != FRONTEND_SYNC && type != FRONTEND_FLUSH)
        server->progress = PROGRESS_BUSY;
}

static void
relay_keep(struct server *server, const char *data, size_t len, enum progress next)
{
    const bool is_kept =
        server->replay.len + len <= KEPT_MAX && buf_append(&server->replay, data, len) == 0;

    server->progress = is_kept ? next : PROGRESS_BUSY;
}

void
relay_begin_keep(struct server *server, const char *data, size_t len)
{
    buf_clear(&server->replay);
    server->kept = requests_last(&server->requests);
    relay_keep(server, data, len, PROGRESS_KEEPS);
}

void
relay_keep_more(struct server *server, const char *data, size_t len)
{
    const bool is_use = *server->replay.data == FRONTEND_BIND;
    const bool is_of_statement = len > PG_HEADER_SIZE && data[PG_HEADER_SIZE] == 'S';
    const bool goes_on =
        *data == FRONTEND_FLUSH ||
        (is_use && (*data == FRONTEND_EXECUTE || (*data == FRONTEND_DESCRIBE && !is_of_statement)));

    if (server->progress == PROGRESS_KEPT)
        server->progress = PROGRESS_BUSY;
    else if (*data == FRONTEND_SYNC)
        relay_keep(server, data, len, PROGRESS_KEPT);
    else if (goes_on)
        relay_keep(server, data, len, PROGRESS_KEEPS);
    else
        relay_keep_no_more(server);
}

void
relay_keep_no_more(struct server *server)
{
    if (!relay_is_keeping(server))
        return;
    /* After a Describe still nothing was done. */
    server->progress = *server->replay.data == FRONTEND_DESCRIBE ? PROGRESS_NAMED : PROGRESS_BUSY;
}

/* Whether it is what was kept that is being answered, and not what came before. */
static bool
relay_is_kept(const struct server *server)
{
    return requests_before(&server->requests, server->kept) == 0;
}

void
relay_keep_answered(struct server *server, char type)
{
    const bool is_use = *server->replay.data == FRONTEND_BIND;

    if (type == BACKEND_ERROR)
        server->progress = PROGRESS_BUSY;
    else if (relay_is_kept(server) &&
             type == (is_use ? BACKEND_BIND_COMPLETE : BACKEND_PARAMETER_DESCRIPTION))
        relay_keep_no_more(server);
}

/* Whether the client is between two messages, and has sent no more. */
static bool
relay_is_at_rest(const struct client *client)
{
    return !client->stalled && client->pending.len == 0 && client->held.len == 0 &&
           framer_is_between(&client->framer);
}

/* Whether it is the Describe that went ahead of the one that was kept. */
static bool
relay_is_ahead_of_kept(const struct server *server)
{
    return requests_before(&server->requests, server->kept) == 1 &&
           *server->replay.data == FRONTEND_DESCRIBE &&
           requests_head_type(&server->requests) == FRONTEND_DESCRIBE &&
           requests_action(&server->requests) == REQUEST_QUIET;
}

/* Not what made the statement, nor what the client has sent before. */
static bool
relay_is_for_kept(const struct server *server)
{
    return relay_is_keeping(server) && (relay_is_kept(server) || relay_is_ahead_of_kept(server));
}

/* It is in doubt, or only that which was to be used. */
static void
relay_doubt_kept(struct server *server, enum relay_doubt doubt)
{
    struct prepared_entry *const entry =
        relay_entry_of(server, server->replay.data, server->replay.len);

    if (doubt == DOUBT_RESULT && entry != NULL)
        entry->is_stale = true;
    else
        prepared_doubt(server->prepared, doubt == DOUBT_NAMES);
}

/* The server is to read on: the answer to the client's Sync, or to one of ours, is nobody's. */
static int
relay_end_failure(struct server *server)
{
    (void)requests_answer(&server->requests, BACKEND_ERROR);
    if (server->progress == PROGRESS_KEPT) {
        requests_swallow_head(&server->requests);
        return 0;
    }
    return relay_send_sync(server, REQUEST_SKIP);
}

bool
relay_heal(struct server *server, const char *data, size_t len)
{
    const char *const body = data + PG_HEADER_SIZE;
    struct client *const client = server->client;
    struct notice notice;
    struct buf replay;
    enum relay_doubt doubt;

    if (!relay_is_for_kept(server) || !relay_is_at_rest(client) ||
        notice_parse(body, len - PG_HEADER_SIZE, &notice) < 0 || notice_is_fatal(&notice))
        return false;
    doubt = relay_doubts(server, body, len - PG_HEADER_SIZE, notice.sqlstate);
    if (doubt == DOUBT_NOTHING)
        return false;
    relay_doubt_kept(server, doubt);
    if (relay_end_failure(server) < 0) {
        server_close(server, CLOSE_NO_MEMORY);
        return true;
    }
    server_log(server, LOG_LEVEL_INFO, "a prepared statement is out of date, prepared anew: %s",
               notice.message);
    server->shard->stats.heals++;
    server->progress = PROGRESS_BUSY; /* once is enough */
    replay = server->replay;
    buf_init(&server->replay);
    relay_client_input(client, replay.data, replay.len, false);
    buf_done(&replay);
    return true;
}
