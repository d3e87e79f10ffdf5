/*
 * relay_client.c - from the client to the server: which messages are sent, which wait for a server,
 * and which mean nothing.
 */
#include <errno.h>
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
#include "relay.h"
#include "relay_int.h"
#include "server.h"
#include "worker.h"

/* What becomes of a message before it is sent. */
enum verdict {
    VERDICT_SEND,
    VERDICT_DROP,   /* without a server it means nothing */
    VERDICT_QUEUE,  /* it needs a server, and there is none yet */
    VERDICT_CLOSED, /* the client is no more */
};

static enum verdict
relay_closed(struct client *client, enum close_reason reason)
{
    client_close(client, reason);
    return VERDICT_CLOSED;
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
    default: {
        struct refusal refusal;
        char detail[700];

        pool_refusal(client->shard, &refusal, detail, sizeof detail);
        client_refuse(client, &refusal);
        return VERDICT_CLOSED;
    }
    }
}

/* After a cancel in the queue: that request is not wanted any more. */
static enum verdict
relay_skip(struct client *client, char type)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;

    if (client->skip == SKIP_MESSAGE) {
        client->skip = SKIP_NOTHING;
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

/* The message begins (or is there as a whole); decides, and enters it among the requests. */
static enum verdict
relay_judge(struct client *client, char type, uint32_t len)
{
    enum verdict verdict = VERDICT_SEND;

    if (type == FRONTEND_TERMINATE)
        return relay_closed(client, CLOSE_CLIENT_LEFT);
    if (unlikely(frontend_max_len(type) == 0 || type == FRONTEND_PASSWORD))
        return relay_closed(client, CLOSE_UNKNOWN_PACKET);
    if (unlikely(len > frontend_max_len(type)))
        return relay_closed(client, CLOSE_BAD_PACKET);
    if (unlikely(client->skip != SKIP_NOTHING))
        return relay_skip(client, type);
    if (unlikely(type == FRONTEND_QUERY && client->worker->config->disable_pqexec))
        return relay_closed(client, CLOSE_PQEXEC);
    if (client->server == NULL) {
        if (type == FRONTEND_COPY_DATA || type == FRONTEND_COPY_DONE ||
            type == FRONTEND_COPY_FAIL || type == FRONTEND_FLUSH)
            return VERDICT_DROP;
        verdict = relay_acquire(client);
        if (verdict != VERDICT_SEND)
            return verdict;
    }
    if (requests_push(&client->server->requests, type, REQUEST_FORWARD) < 0)
        return relay_closed(client, CLOSE_NO_MEMORY);
    /* The rest of a COPY that has failed, say, is nothing that the server is busy with. */
    if (requests_empty(&client->server->requests))
        return verdict;
    client->server->ready = false;
    if (type != FRONTEND_COPY_DATA)
        relay_begin_query(client);
    return verdict;
}

/* The rest of a chunk waits with the client until there is a server. */
static void
relay_keep_pending(struct client *client, const char *start, const char *end)
{
    if (buf_append(&client->pending, start, (size_t)(end - start)) < 0)
        client_close(client, CLOSE_NO_MEMORY);
}

/* A message that was kept until it was whole. */
static bool
relay_held_message(struct client *client, const char *rest, const char *end)
{
    enum verdict verdict;

    verdict = relay_judge(client, client->held.data[0], (uint32_t)client->held.len);
    switch (verdict) {
    case VERDICT_SEND:
        stream_send_copy(&client->server->stream, client->held.data, client->held.len);
        break;
    case VERDICT_QUEUE:
        /* Into the queue in front of what came behind it. */
        if (buf_append(&client->pending, client->held.data, client->held.len) < 0 ||
            buf_append(&client->pending, rest, (size_t)(end - rest)) < 0)
            client_close(client, CLOSE_NO_MEMORY);
        break;
    default:
        break;
    }
    if (client->state != CLIENT_CLOSING)
        buf_done(&client->held);
    return verdict == VERDICT_SEND || verdict == VERDICT_DROP;
}

static bool
relay_is_held(const struct frame *frame)
{
    return frame->type != FRONTEND_COPY_DATA && frame->len <= RELAY_HOLD_MAX;
}

static void
relay_pass_piece(struct client *client, const struct span *span, const struct frame *frame,
                 enum frame_kind kind)
{
    const struct span piece = {span->to, frame->data, span->borrowed};
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

    if (client->held.len > 0 || (kind != FRAME_BODY && relay_is_held(frame))) {
        if (framer_append(&client->framer, frame, &client->held) < 0) {
            client_close(client, CLOSE_NO_MEMORY);
            return false;
        }
        return !frame->last || relay_held_message(client, rest, end);
    }
    if (kind != FRAME_BODY) {
        const enum verdict verdict = relay_judge(client, frame->type, frame->len);

        if (verdict == VERDICT_QUEUE) {
            /* Too large to be kept: it is taken up again from here when there is a server. */
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
    struct span span = {client->server != NULL ? &client->server->stream : NULL, data, borrowed};
    struct frame frame;
    enum frame_kind kind;

    while ((kind = framer_next(&client->framer, &pos, end, &frame)) < FRAME_NEED_MORE) {
        if (likely(kind == FRAME_WHOLE && !frame.split)) {
            struct server *const before = client->server;
            const enum verdict verdict = relay_judge(client, frame.type, frame.len);

            if (likely(verdict == VERDICT_SEND)) {
                if (before == NULL)
                    span.start = frame.data;
                span.to = &client->server->stream;
                continue; /* the span grows */
            }
            if (verdict == VERDICT_CLOSED)
                return;
            /* With a server nothing is dropped or queued, so there is no span to send. */
            if (verdict == VERDICT_QUEUE) {
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
        client_close(client, CLOSE_BAD_PACKET);
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
        if (client->state == CLIENT_WAITING) {
            if (buf_append(&client->pending, data, (size_t)n) < 0)
                client_close(client, CLOSE_NO_MEMORY);
        } else {
            relay_client_input(client, data, (size_t)n, true);
        }
        if (client->state == CLIENT_CLOSING)
            return;
    }
}
