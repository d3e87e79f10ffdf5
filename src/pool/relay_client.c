/*
 * relay_client.c - from the client to the server: which messages are sent, which wait for a server,
 * and which mean nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "build.h"
#include "cleanup.h"
#include "client.h"
#include "close_reason.h"
#include "config.h"
#include "pg.h"
#include "policy.h"
#include "pool.h"
#include "prepared.h"
#include "relay.h"
#include "relay_int.h"
#include "server.h"
#include "worker.h"

/* What becomes of a message before it is sent. */
enum verdict {
    VERDICT_SEND,
    VERDICT_DROP,   /* without a server it means nothing */
    VERDICT_SENT,   /* it was, in other words */
    VERDICT_QUEUE,  /* it needs a server, and there is none yet */
    VERDICT_WAIT,   /* it needs the answers to what was sent before it */
    VERDICT_CLOSED, /* the client is no more */
};

static enum verdict
relay_closed(struct client *client, enum close_reason reason)
{
    client_close(client, reason);
    return VERDICT_CLOSED;
}

/* A header that no message of this client can have. */
static void
relay_refuse_header(struct client *client, const char header[PG_HEADER_SIZE])
{
    const unsigned char *const bytes = (const unsigned char *)header;
    struct refusal refusal = {.reason = CLOSE_BAD_PACKET};
    char text[64];

    (void)snprintf(text, sizeof text, "bad packet header: '%02x%02x%02x%02x%02x'", bytes[0],
                   bytes[1], bytes[2], bytes[3], bytes[4]);
    refusal.message = text;
    client_refuse(client, &refusal);
}

static enum verdict
relay_acquire(struct client *client)
{
    struct server *server;

    client->request_time = loop_now(client->worker->loop);
    switch (pool_acquire(client->shard, &client->waiter, &server)) {
    case ACQUIRE_GRANTED:
        relay_begin(client, server);
        return client->state == CLIENT_ACTIVE ? VERDICT_SEND : VERDICT_CLOSED;
    case ACQUIRE_QUEUED:
        client_set_state(client, CLIENT_WAITING);
        return VERDICT_QUEUE;
    default:
        client_refuse_hopeless(client);
        return VERDICT_CLOSED;
    }
}

/* After a cancel in the queue: that request is not wanted any more. */
static enum verdict
relay_skip(struct client *client, char type)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;

    if (client->skip == SKIP_MESSAGE) {
        client->skip = SKIP_NOTHING;
        if (type == FRONTEND_QUERY && prepared_unnamed(client->names) != NULL)
            prepared_set_unnamed(client->names, NULL, false);
        return VERDICT_DROP;
    }
    if (type != FRONTEND_SYNC)
        return VERDICT_DROP;
    client->skip = SKIP_NOTHING;
    if (msg_ready(&message, READY_IDLE) < 0)
        return relay_closed(client, CLOSE_NO_MEMORY);
    client_send(client, &message);
    return VERDICT_DROP;
}

/* The message begins, or is there as a whole. With VERDICT_SEND there is a server for it. */
static enum verdict
relay_admit(struct client *client, char type, uint32_t len)
{
    if (type == FRONTEND_TERMINATE)
        return relay_closed(client, CLOSE_CLIENT_LEFT);
    if (unlikely(frontend_max_len(type) == 0 || type == FRONTEND_PASSWORD))
        return relay_closed(client, CLOSE_UNKNOWN_PACKET);
    if (unlikely(len > frontend_max_len(type))) {
        char header[PG_HEADER_SIZE];

        pg_put_header(header, type, len - PG_HEADER_SIZE);
        relay_refuse_header(client, header);
        return VERDICT_CLOSED;
    }
    if (unlikely(client->skip != SKIP_NOTHING))
        return relay_skip(client, type);
    if (unlikely(type == FRONTEND_QUERY && client->worker->config->disable_pqexec))
        return relay_closed(client, CLOSE_PQEXEC);
    if (client->server == NULL) {
        if (type == FRONTEND_COPY_DATA || type == FRONTEND_COPY_DONE ||
            type == FRONTEND_COPY_FAIL || type == FRONTEND_FLUSH)
            return VERDICT_DROP;
        return relay_acquire(client);
    }
    return VERDICT_SEND;
}

/* The server has work, and the clocks run. */
static void
relay_note_work(struct client *client, char type)
{
    /* The rest of a COPY that has failed, say, is nothing that the server is busy with. */
    if (requests_empty(&client->server->requests))
        return;
    relay_progress(client->server, type);
    if (type != FRONTEND_COPY_DATA)
        relay_begin_query(client);
}

/* An admitted message is entered among the requests. */
static enum verdict
relay_enter(struct client *client, char type)
{
    if (requests_push(&client->server->requests, type, REQUEST_FORWARD) < 0)
        return relay_closed(client, CLOSE_NO_MEMORY);
    relay_note_work(client, type);
    return VERDICT_SEND;
}

/* A message too long to be looked at: what an SQL does is known only when it was answered. */
static enum verdict
relay_enter_long(struct client *client, char type)
{
    struct server *const server = client->server;

    relay_keep_no_more(server);
    relay_forget_plan(server);
    server->is_altered = server->is_altered || type == FRONTEND_QUERY || type == FRONTEND_PARSE;
    if ((type != FRONTEND_QUERY && type != FRONTEND_PARSE) || !relay_maps(client, type))
        return relay_enter(client, type);
    if (relay_push_long(client, type) < 0)
        return relay_closed(client, CLOSE_NO_MEMORY);
    relay_note_work(client, type);
    return VERDICT_SEND;
}

/*
 * Whether it must not be sent yet, since a query on its way may be passed over, and what comes
 * behind it as well; or since that query may forget any statement.
 */
static bool
relay_is_barred(const struct client *client, char type)
{
    const struct server *const server = client->server;

    return unlikely(server->barriers > 0) && type != FRONTEND_SYNC && type != FRONTEND_FLUSH &&
           type != FRONTEND_COPY_DATA && type != FRONTEND_COPY_DONE && type != FRONTEND_COPY_FAIL &&
           !requests_passes_over(&server->requests);
}

/*
 * The message at data waits for answers. The client's own Sync or Flush may be waiting behind it,
 * so it is seen to here that they come.
 */
static enum verdict
relay_begin_wait(struct client *client, struct span *span, const char *data)
{
    static const char flush[] = {FRONTEND_FLUSH, 0, 0, 0, 4};
    struct server *const server = client->server;

    relay_span_end(span, data);
    if (requests_must_flush(&server->requests))
        stream_send_copy(&server->stream, flush, sizeof flush);
    client->stalled = true;
    client->stalled_at = server->requests.resolved;
    return VERDICT_WAIT;
}

/* The message at data was looked at. */
static enum verdict
relay_judge_mapped(struct client *client, struct span *span, const char *data, char type,
                   enum mapped mapped)
{
    switch (mapped) {
    case MAPPED_NOTHING:
        return relay_enter(client, type);
    case MAPPED_ENTERED:
        relay_note_work(client, type);
        return VERDICT_SEND;
    case MAPPED_SENT:
        relay_note_work(client, type);
        return VERDICT_SENT;
    case MAPPED_WAIT:
        return relay_begin_wait(client, span, data);
    default:
        return relay_closed(client, CLOSE_NO_MEMORY);
    }
}

/*
 * A message of len bytes, of which avail lie at data with the header, behind what is in the span.
 */
static enum verdict
relay_judge(struct client *client, struct span *span, const char *data, size_t avail, uint32_t len)
{
    const bool had_server = client->server != NULL;
    const char type = *data;
    enum verdict verdict;

    verdict = relay_admit(client, type, len);
    if (unlikely(verdict != VERDICT_SEND))
        return verdict;
    if (!had_server)
        span->start = data;
    span->to = &client->server->stream;
    if (relay_is_barred(client, type))
        return relay_begin_wait(client, span, data);
    if (unlikely(relay_is_keeping(client->server)))
        relay_keep_more(client->server, data, avail);
    if (relay_maps(client, type))
        return relay_judge_mapped(client, span, data, type,
                                  relay_map(client, span, data, avail, len));
    return relay_enter(client, type);
}

/* Whether it is a Parse with a name, and names are looked at. */
static bool
relay_names_statement(const struct client *client, const struct frame *frame)
{
    size_t len;

    return frame->type == FRONTEND_PARSE && relay_maps(client, frame->type) &&
           *frame_body(frame, &len) != '\0';
}

/* The beginning of one that is passed on piece by piece, or dropped. */
static enum verdict
relay_judge_long(struct client *client, struct span *span, const struct frame *frame)
{
    const enum verdict verdict = relay_admit(client, frame->type, frame->len);

    if (verdict != VERDICT_SEND)
        return verdict;
    span->to = &client->server->stream;
    if (relay_is_barred(client, frame->type))
        return relay_begin_wait(client, span, span->start);
    if (relay_names_statement(client, frame))
        return relay_judge_mapped(client, span, span->start, frame->type,
                                  relay_refuse_long(client, span));
    return relay_enter_long(client, frame->type);
}

/* The rest of a chunk waits with the client until there is a server, or an answer. */
static void
relay_keep_pending(struct client *client, const char *start, const char *end)
{
    if (buf_append(&client->pending, start, (size_t)(end - start)) < 0)
        client_close(client, CLOSE_NO_MEMORY);
}

/*
 * A message that was kept until it was whole; or, with more than was kept, the beginning of one
 * that is passed on from here. False: the walk over the chunk ends here.
 */
static bool
relay_held_message(struct client *client, uint32_t len, const char *rest, const char *end)
{
    struct buf held = client->held;
    struct span span = {.start = held.data};
    enum verdict verdict;

    buf_init(&client->held);
    verdict = relay_judge(client, &span, held.data, held.len, len);
    switch (verdict) {
    case VERDICT_SEND:
        stream_send_copy(&client->server->stream, held.data, held.len);
        break;
    case VERDICT_QUEUE:
    case VERDICT_WAIT:
        /* Before what came behind it; a part of a message is taken up again from there. */
        framer_init(&client->framer, client->framer.limit);
        if (buf_append(&client->pending, held.data, held.len) < 0 ||
            buf_append(&client->pending, rest, (size_t)(end - rest)) < 0)
            client_close(client, CLOSE_NO_MEMORY);
        break;
    default:
        break;
    }
    client->passing = len > held.len && (verdict == VERDICT_SEND || verdict == VERDICT_SENT);
    buf_done(&held);
    return verdict == VERDICT_SEND || verdict == VERDICT_SENT || verdict == VERDICT_DROP;
}

/* A long Bind is passed on in pieces once its names are known. */
static bool
relay_held_bind(struct client *client, struct span *span, const struct frame *frame,
                const char *end)
{
    if (!relay_has_bind_names(client->held.data, client->held.len)) {
        if (client->held.len <= RELAY_HOLD_MAX)
            return true;
        client_close(client, CLOSE_BAD_PACKET);
        return false;
    }
    if (!relay_held_message(client, frame->len, frame->data + frame->avail, end))
        return false;
    span->to = client->server != NULL ? &client->server->stream : NULL;
    return true;
}

/*
 * Whether a message is kept until it is whole, or, of a Bind, until its names are. A statement with
 * a name is known by all of its text.
 */
static bool
relay_is_held(const struct client *client, const struct frame *frame)
{
    if (frame->type == FRONTEND_COPY_DATA || frame->len > frontend_max_len(frame->type))
        return false; /* the latter is refused at once */
    if (likely(frame->len <= RELAY_HOLD_MAX))
        return true;
    if (frame->type == FRONTEND_BIND)
        return relay_maps(client, frame->type);
    return relay_names_statement(client, frame) && frame->len <= PREPARED_BYTES_MAX;
}

static void
relay_pass_piece(struct client *client, const struct span *span, const struct frame *frame,
                 enum frame_kind kind)
{
    const struct span piece = {span->to, frame->data, NULL, span->borrowed, span->glued};
    char header[PG_HEADER_SIZE];

    if (!client->passing)
        return;
    if (kind != FRAME_BODY && frame->split) {
        framer_header(&client->framer, header);
        stream_send_copy(piece.to, header, sizeof header);
    }
    span_send(&piece, frame->data + frame->avail);
}

/*
 * A message that does not lie in the chunk in one piece. False: the walk over the chunk ends here.
 */
static bool
relay_cut_message(struct client *client, struct span *span, const struct frame *frame,
                  enum frame_kind kind, const char *end)
{
    const char *const rest = frame->data + frame->avail;

    if (client->held.len > 0 || (kind != FRAME_BODY && relay_is_held(client, frame))) {
        if (framer_append(&client->framer, frame, &client->held) < 0) {
            client_close(client, CLOSE_NO_MEMORY);
            return false;
        }
        if (frame->last)
            return relay_held_message(client, frame->len, rest, end);
        if (frame->type == FRONTEND_BIND && frame->len > RELAY_HOLD_MAX)
            return relay_held_bind(client, span, frame, end);
        return true;
    }
    if (kind != FRAME_BODY) {
        const enum verdict verdict = relay_judge_long(client, span, frame);

        if (verdict == VERDICT_QUEUE || verdict == VERDICT_WAIT) {
            /* Too large to be kept: it is taken up again from here, when its time has come. */
            char header[PG_HEADER_SIZE];

            framer_header(&client->framer, header);
            framer_init(&client->framer, client->framer.limit);
            if ((frame->split && buf_append(&client->pending, header, sizeof header) < 0))
                client_close(client, CLOSE_NO_MEMORY);
            else
                relay_keep_pending(client, frame->data, end);
            return false;
        }
        if (verdict == VERDICT_CLOSED)
            return false;
        client->passing = verdict == VERDICT_SEND;
        span->to = client->server != NULL ? &client->server->stream : NULL;
    }
    relay_pass_piece(client, span, frame, kind);
    if (frame->last)
        client->passing = false;
    return true;
}

void
relay_client_input(struct client *client, const char *data, size_t len, bool borrowed)
{
    const char *const end = data + len;
    const char *pos = data;
    struct span span = {client->server != NULL ? &client->server->stream : NULL, data, end,
                        borrowed, false};
    struct frame frame;
    enum frame_kind kind;

    while ((kind = framer_next(&client->framer, &pos, end, &frame)) < FRAME_NEED_MORE) {
        if (likely(kind == FRAME_WHOLE && !frame.split)) {
            const enum verdict verdict =
                relay_judge(client, &span, frame.data, frame.avail, frame.len);

            if (likely(verdict == VERDICT_SEND))
                continue; /* the span grows */
            if (verdict == VERDICT_CLOSED)
                return;
            /* With a server nothing is dropped or queued, so there is no span to send. */
            if (verdict == VERDICT_QUEUE || verdict == VERDICT_WAIT) {
                relay_keep_pending(client, frame.data, end);
                return;
            }
        } else {
            relay_span_before(&span, &frame);
            if (!relay_cut_message(client, &span, &frame, kind, end))
                return;
        }
        span.start = pos;
    }
    if (unlikely(kind == FRAME_BAD)) {
        char header[PG_HEADER_SIZE];

        framer_header(&client->framer, header);
        relay_refuse_header(client, header);
        return;
    }
    /* The beginning of a header stays with the framer. */
    relay_span_end(&span, MAX(span.start, pos - framer_kept_back(&client->framer)));
    if (client->server != NULL)
        (void)relay_settle(client->server);
}

void
relay_client_pending(struct client *client)
{
    struct buf pending = client->pending;

    client->stalled = false;
    buf_init(&client->pending);
    relay_client_input(client, pending.data, pending.len, false);
    buf_done(&pending);
}

void
relay_client_readable(struct client *client)
{
    const unsigned limit = relay_reads_max(client->worker);
    bool more = true;

    for (unsigned i = 0; i < limit && more; i++) {
        const char *data;
        ssize_t n;

        if (relay_client_must_wait(client)) {
            stream_set_reading(&client->stream, false);
            return;
        }
        n = stream_recv(&client->stream, &data, &more);
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            client_close(client, CLOSE_CLIENT_GONE);
            return;
        }
        client->shard->stats.received += (uint64_t)n;
        if (client->state == CLIENT_WAITING || client->stalled) {
            if (buf_append(&client->pending, data, (size_t)n) < 0)
                client_close(client, CLOSE_NO_MEMORY);
        } else {
            relay_client_input(client, data, (size_t)n, true);
        }
        if (client->state == CLIENT_CLOSING)
            return;
    }
}
