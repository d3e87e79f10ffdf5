/*
 * relay_server.c - from the server to the client: whose each answer is, and what the daemon itself
 * takes from it.
 */
#include <errno.h>

#include "buf.h"
#include "cleanup.h"
#include "client.h"
#include "close_reason.h"
#include "lesson.h"
#include "log.h"
#include "lookup.h"
#include "notice.h"
#include "outbox.h"
#include "pg.h"
#include "policy.h"
#include "pool.h"
#include "prepared.h"
#include "relay.h"
#include "relay_int.h"
#include "server.h"
#include "shape.h"
#include "str.h"
#include "worker.h"

static void
relay_count_ready(struct server *server, struct client *client)
{
    struct stats *const stats = &server->shard->stats;
    const usec_t now = loop_now(server->shard->worker->loop);

    client->last_active = now;
    if (client->query_start != 0) {
        stats->queries++;
        stats->query_time += now - client->query_start;
        client->query_start = 0;
    }
    if (server->status == 'I' && client->xact_start != 0) {
        stats->xacts++;
        stats->xact_time += now - client->xact_start;
        client->xact_start = 0;
    } else if (server->status != 'I' && server->shard->policy->idle_transaction_timeout != 0) {
        client_schedule(client, now + server->shard->policy->idle_transaction_timeout);
    }
    if (!requests_empty(&server->requests))
        relay_begin_query(client);
}

/* A transaction that goes on, in statement mode: the error takes the place of ReadyForQuery. */
static bool
relay_refuses(const struct server *server, enum ready_status status)
{
    return status != READY_IDLE && server->shard->policy->mode == POOL_STATEMENT &&
           !server_is_dedicated(server);
}

/* ReadyForQuery. False: the server is gone. */
static bool
relay_ready(struct server *server, const struct frame *frame, enum request_action action)
{
    server->status = (char)ready_status(frame);
    if (server->status == READY_BROKEN || !requests_answer(&server->requests, BACKEND_READY)) {
        server_close(server, CLOSE_SV_OUT_OF_STEP);
        return false;
    }
    if (unlikely(server->requests.is_lost)) {
        server_close(server, CLOSE_PROTOCOL);
        return false;
    }
    if (requests_empty(&server->requests)) {
        server->progress = PROGRESS_READY;
        server->is_altered = server->is_altered && server->status != READY_IDLE;
    }
    if (action == REQUEST_SKIP)
        return !server->syncing_settings || relay_settings_done(server);
    if (unlikely(server->cancelling || !list_empty(&server->cancel_asked)))
        server_cancel_drop(server);
    relay_count_ready(server, server->client);
    if (unlikely(relay_refuses(server, (enum ready_status)server->status))) {
        server_close(server, CLOSE_STATEMENT_TRANSACTION);
        return false;
    }
    if (unlikely(server->resets) && relay_reset_done(server) < 0) {
        server_close(server, CLOSE_NO_MEMORY);
        return false;
    }
    return true;
}

/* If a query was passed over, its client waits for the answer to a Sync. False: no memory. */
static bool
relay_send_owed(struct server *server)
{
    if (likely(!server->requests.owes_ready))
        return true;
    server->requests.owes_ready = false;
    if (relay_send_sync(server, REQUEST_FORWARD) < 0) {
        server_close(server, CLOSE_NO_MEMORY);
        return false;
    }
    return true;
}

static bool
relay_error(struct server *server, const struct frame *frame, enum request_action action)
{
    enum relay_doubt doubt;
    struct notice notice;
    const char *body;
    size_t len;

    body = frame_body(frame, &len);
    if (notice_parse(body, len, &notice) < 0) {
        server_close(server, CLOSE_SV_PROTOCOL);
        return false;
    }
    doubt = relay_doubts(server, body, len, notice.sqlstate);
    if (doubt != DOUBT_NOTHING)
        prepared_doubt(server->prepared, doubt == DOUBT_NAMES);
    relay_note_told(server, doubt);
    relay_unnamed_failed(server);
    requests_answer(&server->requests, BACKEND_ERROR);
    if (!relay_send_owed(server))
        return false;
    if (notice_is_fatal(&notice) || action == REQUEST_SKIP || server->client == NULL)
        (void)str_copy(server->trouble, sizeof server->trouble, notice.message);
    if (server->client == NULL && server->ask == ASK_NOTHING) {
        server_close(server, CLOSE_SV_IDLE_DIRTY);
        return false;
    }
    if (action == REQUEST_SKIP)
        server->ask_failed = true;
    else
        server->said_fatal = notice_is_fatal(&notice);
    return true;
}

/*
 * An error behind the last answer is the server's farewell. Its client, who would have to take it
 * for the answer to what comes next, is not concerned, and goes on with another server.
 */
static bool
relay_is_farewell(const struct server *server, const struct frame *frame)
{
    return frame->type == BACKEND_ERROR && relay_is_over(server);
}

/* False: the server is gone. */
static bool
relay_farewell(struct server *server, const struct frame *frame, bool whole)
{
    struct notice notice;
    const char *body;
    size_t len;

    body = frame_body(frame, &len);
    if (whole && notice_parse(body, len, &notice) == 0)
        (void)str_copy(server->trouble, sizeof server->trouble, notice.message);
    client_unlink(TAKE(server->client));
    server_close(server, CLOSE_SV_IDLE_DIRTY);
    return false;
}

/* Messages that a server sends of itself while nobody uses it. */
static bool
relay_idle_message(struct server *server, char type)
{
    switch (type) {
    case BACKEND_PARAMETER_STATUS:
        return true;
    case BACKEND_NOTIFICATION:
        server_log(server, LOG_LEVEL_WARNING, "dropped a notification that nobody waits for");
        return true;
    default:
        server_close(server, CLOSE_SV_IDLE_DIRTY);
        return false;
    }
}

/* Whether this is the answer to a Describe that somebody is to learn from. */
static bool
relay_teaches(const struct server *server, char type)
{
    return (type == BACKEND_ROW_DESCRIPTION || type == BACKEND_NO_DATA) &&
           requests_head_type(&server->requests) == FRONTEND_DESCRIBE &&
           requests_head_has_op(&server->requests);
}

/* A tag that may tell of the end of all statements is short. */
#define TAG_WHOLE_MAX 32
/* 1664 columns are described in less. */
#define DESCRIPTION_MAX (256 * 1024)

/* Whether a message that has been cut is kept until it is whole. */
static bool
relay_needs_whole(const struct server *server, const struct frame *frame)
{
    if (relay_teaches(server, frame->type))
        return frame->len <= DESCRIPTION_MAX;
    if (frame->type == BACKEND_COMMAND_COMPLETE && server->lookup == NULL)
        return frame->len <= TAG_WHOLE_MAX;
    return frame->len <= RELAY_HOLD_MAX &&
           (frame->type == BACKEND_READY || frame->type == BACKEND_PARAMETER_STATUS ||
            frame->type == BACKEND_ERROR || server->lookup != NULL);
}

/* Without a client there is nobody to forward to. */
static enum request_action
relay_action(const struct server *server)
{
    return server->client != NULL ? requests_action(&server->requests) : REQUEST_SKIP;
}

/* Whether it is a success that is shown in other words, or not at all. */
static bool
relay_is_worded(char type, enum request_action action)
{
    return action > REQUEST_FENCE &&
           (type == BACKEND_PARSE_COMPLETE || type == BACKEND_BIND_COMPLETE ||
            type == BACKEND_CLOSE_COMPLETE || type == BACKEND_COMMAND_COMPLETE ||
            type == BACKEND_PARAMETER_DESCRIPTION || type == BACKEND_ROW_DESCRIPTION ||
            type == BACKEND_NO_DATA);
}

/* False: the server is gone. */
static bool
relay_worded(struct server *server, enum request_action action)
{
    static const char parse_complete[] = {BACKEND_PARSE_COMPLETE, 0, 0, 0, 4};

    if (action == REQUEST_REFUSED) {
        server_close(server, CLOSE_SV_OUT_OF_STEP);
        return false;
    }
    if (action == REQUEST_AS_PARSE)
        stream_send_copy(&server->client->stream, parse_complete, sizeof parse_complete);
    return true;
}

static void
relay_read_shape(const struct server *server, const struct frame *frame)
{
    const char *body;
    size_t len;

    if (likely(!relay_teaches(server, frame->type)))
        return;
    body = frame_body(frame, &len);
    lesson_read(&server->requests,
                frame->type == BACKEND_NO_DATA ? SHAPE_NONE : shape_of_rows(body, len));
}

/* A message from the server, whole or its beginning. False: the server is gone, or moved on. */
static bool
relay_server_message(struct server *server, const struct frame *frame, bool whole,
                     enum request_action *ret_action)
{
    enum request_action action = relay_action(server);

    if (unlikely(relay_is_farewell(server, frame))) {
        *ret_action = REQUEST_SKIP;
        return relay_farewell(server, frame, whole);
    }
    if (frame->type == BACKEND_EMPTY_QUERY && requests_is_fence(&server->requests))
        action = REQUEST_SKIP;
    if (unlikely(relay_is_worded(frame->type, action))) {
        *ret_action = REQUEST_SKIP;
        if (!relay_worded(server, action))
            return false;
        action = REQUEST_SKIP;
    } else if (unlikely(action > REQUEST_FENCE)) {
        action = REQUEST_FORWARD;
    }
    if (unlikely(relay_is_keeping(server)) && action == REQUEST_FORWARD)
        relay_keep_answered(server, frame->type);
    *ret_action = action;
    if (server->client == NULL && requests_empty(&server->requests) &&
        frame->type != BACKEND_ERROR && !relay_idle_message(server, frame->type))
        return false;
    if (whole) {
        switch (frame->type) {
        case BACKEND_READY:
            return relay_ready(server, frame, action);
        case BACKEND_PARAMETER_STATUS:
            return relay_parameter(server, frame, ret_action);
        case BACKEND_ERROR:
            return relay_error(server, frame, action);
        case BACKEND_COMMAND_COMPLETE:
            if (frame->len <= TAG_WHOLE_MAX)
                relay_read_tag(server, frame, action);
            break;
        case BACKEND_ROW_DESCRIPTION:
        case BACKEND_NO_DATA:
            relay_read_shape(server, frame);
            break;
        default:
            break;
        }
    }
    if (unlikely(server->lookup != NULL))
        lookup_read(server->lookup, frame);
    (void)requests_answer(&server->requests, frame->type);
    return relay_send_owed(server);
}

/* A server message kept until it was whole. */
static bool
relay_server_held(struct server *server)
{
    struct buf whole = server->held;
    const struct frame frame = {.data = whole.data,
                                .avail = (uint32_t)whole.len,
                                .len = (uint32_t)whole.len,
                                .type = whole.data[0],
                                .last = true};
    CLEANUP(buf_done) struct buf reworded = BUF_INIT;
    struct client *const client = server->client;
    enum request_action action;
    bool alive;

    buf_init(&server->held);
    if (frame.type == BACKEND_ERROR && relay_heal(server, whole.data, whole.len)) {
        buf_done(&whole);
        return server->state != SERVER_CLOSING;
    }
    if (frame.type == BACKEND_ERROR &&
        relay_reword_error(server, whole.data, whole.len, &reworded) < 0) {
        buf_done(&whole);
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    }
    alive = relay_server_message(server, &frame, true, &action);
    if (action == REQUEST_FORWARD && client != NULL && client->state == CLIENT_ACTIVE)
        client_send(client, reworded.len > 0 ? &reworded : &whole);
    buf_done(&whole);
    return alive;
}

static bool
relay_server_cut(struct server *server, struct span *span, const struct frame *frame,
                 enum frame_kind kind)
{
    struct client *const client = server->client;

    if (server->held.len > 0 || (kind != FRAME_BODY && relay_needs_whole(server, frame))) {
        if (framer_append(&server->framer, frame, &server->held) < 0) {
            server_close(server, CLOSE_NO_MEMORY);
            return false;
        }
        return !frame->last || relay_server_held(server);
    }
    if (kind != FRAME_BODY) {
        enum request_action action;

        if (!relay_server_message(server, frame, false, &action))
            return false;
        server->skip_rest = action == REQUEST_SKIP;
    }
    if (!server->skip_rest && client != NULL) {
        const struct span piece = {&client->stream, frame->data, NULL, span->borrowed, false};
        char header[PG_HEADER_SIZE];

        if (kind != FRAME_BODY && frame->split) {
            framer_header(&server->framer, header);
            stream_send_copy(piece.to, header, sizeof header);
        }
        span_send(&piece, frame->data + frame->avail);
    }
    return true;
}

bool
relay_client_is_cut(const struct server *server)
{
    return server->framer.left > 0 && server->held.len == 0 && !server->skip_rest;
}

/* An error for the client, which may have to see its own words. False: the client is gone. */
static bool
relay_pass_error(const struct server *server, struct span *span, const struct frame *frame,
                 const char *end)
{
    CLEANUP(buf_done) struct buf reworded = BUF_INIT;

    if (relay_reword_error(server, frame->data, frame->avail, &reworded) < 0) {
        relay_span_end(span, frame->data);
        client_close(server->client, CLOSE_NO_MEMORY);
        return false;
    }
    if (reworded.len > 0) {
        relay_span_end(span, frame->data);
        client_send(server->client, &reworded);
        span->start = end;
        span->glued = true;
    } else {
        relay_span_end(span, end);
    }
    return true;
}

static void
relay_server_input(struct server *server, const char *data, size_t len)
{
    const char *const end = data + len;
    const char *pos = data;
    struct client *const client = server->client;
    struct span span = {client != NULL ? &client->stream : NULL, data, NULL, true, false};
    struct frame frame;
    enum frame_kind kind;

    for (;;) {
        enum request_action action = relay_action(server);

        if (unlikely(action == REQUEST_SKIP)) {
            relay_span_end(&span, pos);
            /* Rows that nobody asked for are no rows, and those of a lookup are looked at. */
            if (!requests_empty(&server->requests) && server->lookup == NULL)
                (void)framer_skip_run(&server->framer, &pos, end, BACKEND_DATA_ROW);
            span.start = pos;
        } else {
            (void)framer_skip_run(&server->framer, &pos, end, BACKEND_DATA_ROW);
        }
        kind = framer_next(&server->framer, &pos, end, &frame);
        if (kind >= FRAME_NEED_MORE)
            break;
        if (unlikely(kind != FRAME_WHOLE || frame.split)) {
            relay_span_before(&span, &frame);
            if (!relay_server_cut(server, &span, &frame, kind))
                return;
            span.start = pos;
            continue;
        }
        if (unlikely(frame.type == BACKEND_EMPTY_QUERY)) /* perhaps that of a fence */
            relay_span_end(&span, frame.data);
        if (unlikely(relay_is_worded(frame.type, action) ||
                     (server->resets && frame.type == BACKEND_PARAMETER_STATUS))) {
            relay_span_end(&span, frame.data);
            span.glued = true;
        }
        /* These may end the link, so what the client is to see of them goes out first. */
        if (unlikely(relay_is_farewell(server, &frame))) {
            relay_span_end(&span, frame.data);
        } else if (action != REQUEST_SKIP && frame.type == BACKEND_ERROR) {
            if (unlikely(relay_heal(server, frame.data, frame.avail))) {
                relay_span_end(&span, frame.data);
                span.start = pos;
                if (server->state == SERVER_CLOSING)
                    return;
                continue;
            }
            if (!relay_pass_error(server, &span, &frame, pos))
                return;
        }
        if (action == REQUEST_FORWARD && frame.type == BACKEND_READY)
            relay_span_end(&span, relay_refuses(server, ready_status(&frame)) ? frame.data : pos);
        if (!relay_server_message(server, &frame, true, &action))
            return;
        if (action == REQUEST_SKIP)
            span.start = pos;
    }
    if (kind == FRAME_BAD)
        server_close(server, CLOSE_SV_PROTOCOL);
    else
        relay_span_end(&span, MAX(span.start, pos - framer_kept_back(&server->framer)));
}

/* A client that was too far ahead of its server is read again when that has caught up by half. */
static void
relay_resume_client(const struct server *server)
{
    struct client *const client = server->client;

    if (unlikely(client != NULL && !client->stream.reading) &&
        server->requests.count <= REQUESTS_HIGH / 2 && !relay_client_must_wait(client))
        stream_set_reading(&client->stream, true);
}

/* The server has closed. First a slow client takes in what it said before; then we end. */
static void
relay_server_ended(struct server *server)
{
    if (server->client != NULL) {
        outbox_flush(server->shard->worker->outbox);
        if (stream_backlog_size(&server->client->stream) > 0) {
            stream_set_reading(&server->stream, false);
            return;
        }
    }
    server_close(server, CLOSE_SV_EOF);
}

/*
 * What the client has sent goes on, if it waited for answers that have come, or will be passed over
 * now. True: its server is not this one any more.
 */
static bool
relay_resume_stalled(struct server *server)
{
    struct client *const client = server->client;

    if (likely(client == NULL || !client->stalled) ||
        (client->stalled_at == server->requests.resolved &&
         !requests_passes_over(&server->requests)))
        return false;
    relay_client_pending(client);
    return client->server != server;
}

void
relay_server_readable(struct server *server)
{
    struct shard *const shard = server->shard;
    bool more = true;

    for (unsigned i = 0; i < relay_reads_max(shard->worker) && more; i++) {
        const char *data;
        ssize_t n;

        if (server->client != NULL && stream_backlog_size(&server->client->stream) > 0) {
            stream_set_reading(&server->stream, false);
            return;
        }
        n = stream_recv(&server->stream, &data, &more);
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            relay_server_ended(server);
            return;
        }
        shard->stats.sent += (uint64_t)n;
        relay_server_input(server, data, (size_t)n);
        if (server->state == SERVER_CLOSING)
            return;
        if (relay_resume_stalled(server) || relay_settle(server))
            return;
        relay_resume_client(server);
    }
}
