#include "relay.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "build.h"
#include "client.h"
#include "engine_int.h"
#include "log.h"
#include "notice.h"
#include "pg.h"
#include "policy.h"
#include "pool.h"
#include "server.h"
#include "settings.h"
#include "str.h"
#include "worker.h"

/*
 * A message up to this size that the network has cut is kept until it is whole: so a client that
 * stalls in the middle of one holds no server, and leaves none in the middle of a message. Larger
 * ones, and COPY data, are passed on as they come.
 */
#define RELAY_HOLD_MAX (64 * 1024)
/* What a waiting client may send ahead before it is read no more. */
#define RELAY_PENDING_MAX (64 * 1024)

/* A run of bytes of one chunk that goes out in one piece. */
struct span {
    struct stream *to;
    const char *start;
    bool borrowed; /* in the arena */
};

/* What the framer has taken of the end of a chunk that is not given out yet: part of a header. */
static size_t
framer_kept_back(const struct framer *framer)
{
    return framer->left == 0 ? framer->kept : 0;
}

static void
span_send(const struct span *span, const char *end)
{
    const size_t len = (size_t)(end - span->start);

    if (len == 0)
        return;
    if (span->borrowed)
        stream_send(span->to, span->start, len);
    else
        stream_send_copy(span->to, span->start, len);
}

/*
 * The end of a chunk is the moment to let a server go: nothing that came with it is for another
 * client then. True: it went, and may be another thread's by now.
 */
static bool
relay_settle(struct server *server)
{
    const struct client *const client = server->client;

    if (!server->ready || !framer_is_between(&server->framer))
        return false;
    if (server->ask != ASK_NOTHING) {
        server_ask_done(server);
        return true;
    }
    if (client == NULL || client->passing)
        return false;
    if (unlikely(server->requests.doubt == REQUESTS_MAYBE_SYNCS)) {
        server_fence(server);
        return false;
    }
    if (server->status != READY_IDLE || server->shard->policy->mode == POOL_SESSION)
        return false;
    server_release(server);
    return true;
}

/* Sends what has gathered up to end, and goes on from there. */
static void
relay_span_end(struct span *span, const char *end)
{
    if (span->to != NULL)
        span_send(span, end);
    span->start = end;
}

/* The same before a cut message. The rest of a split header, which goes with the message, may lie
 * before it: such a message is the first of its chunk, so there is nothing else.
 */
static void
relay_span_before(struct span *span, const struct frame *frame)
{
    if (!frame->split)
        relay_span_end(span, frame->data);
}

/* ---- client to server -------------------------------------------------------------------------
 */

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

static void
relay_begin_query(struct client *client)
{
    const usec_t now = loop_now(client->worker->loop);
    const struct policy *const policy = client->shard->policy;

    client->request_time = now;
    if (client->query_start == 0) {
        client->query_start = now;
        if (policy->query_timeout != 0)
            client_schedule(client, now + policy->query_timeout);
    }
    if (client->xact_start == 0) {
        client->xact_start = now;
        if (policy->transaction_timeout != 0)
            client_schedule(client, now + policy->transaction_timeout);
    }
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

/* Receive calls for one event; then it is the others' turn. */
static unsigned
relay_reads_max(const struct worker *worker)
{
    const int limit = worker->config->sbuf_loopcnt;

    return limit > 0 ? (unsigned)limit : UINT_MAX;
}

/* Whether the client is not to be read now. */
static bool
relay_client_must_wait(const struct client *client)
{
    const struct server *const server = client->server;

    return stream_backlog_size(&client->stream) > 0 || client->pending.len > RELAY_PENDING_MAX ||
           (server != NULL &&
            (stream_backlog_size(&server->stream) > 0 || server->requests.count >= REQUESTS_HIGH));
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

/* ---- server to client -------------------------------------------------------------------------
 */

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

/* The client has what the server made of its wishes; what came out differently it is told. */
static bool
relay_settings_done(struct server *server)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    struct client *const client = server->client;
    struct settings *const wanted = client->settings;
    int r = 0;

    server->syncing_settings = false;
    if (server->ask_failed) {
        server->ask_failed = false;
        server_close(server, CLOSE_SERVER_PARAMETER);
        return false;
    }
    for (size_t i = 0; i < settings_count(wanted) && r == 0; i++) {
        const char *name, *value, *now;

        settings_at(wanted, i, &name, &value);
        now = settings_get(server->settings, name);
        if (now != NULL && strcmp(now, value) != 0 && settings_is_settable(name))
            r = msg_parameter_status(&message, name, now);
    }
    if (r < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    }
    client->settings = settings_ref(server->settings);
    settings_unref(wanted);
    client_send(client, &message);
    return true;
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
    if (unlikely(server->requests.doubt == REQUESTS_MAYBE_MORE)) {
        server_close(server, CLOSE_PROTOCOL);
        return false;
    }
    server->ready = requests_empty(&server->requests);
    if (action == REQUEST_SKIP)
        return !server->syncing_settings || relay_settings_done(server);
    relay_count_ready(server, server->client);
    if (unlikely(server->status != 'I' && server->shard->policy->mode == POOL_STATEMENT)) {
        server_close(server, CLOSE_STATEMENT_TRANSACTION);
        return false;
    }
    return true;
}

static bool
relay_parameter(struct server *server, const struct frame *frame, enum request_action action)
{
    const char *name, *value, *body;
    size_t len;
    int r;

    body = frame_body(frame, &len);
    r = parameter_status_parse(body, len, &name, &value);
    if (r == 0)
        r = settings_put(&server->settings, name, value);
    if (r == 0 && server->client != NULL && action == REQUEST_FORWARD)
        r = settings_put(&server->client->settings, name, value);
    if (r < 0) {
        server_close(server, r == -ENOMEM ? CLOSE_NO_MEMORY : CLOSE_SV_PROTOCOL);
        return false;
    }
    return true;
}

static bool
relay_error(struct server *server, const struct frame *frame, enum request_action action)
{
    struct notice notice;
    const char *body;
    size_t len;

    requests_answer(&server->requests, BACKEND_ERROR);
    body = frame_body(frame, &len);
    if (notice_parse(body, len, &notice) < 0) {
        server_close(server, CLOSE_SV_PROTOCOL);
        return false;
    }
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

static bool
relay_needs_whole(char type)
{
    return type == BACKEND_READY || type == BACKEND_PARAMETER_STATUS || type == BACKEND_ERROR;
}

/* Without a client there is nobody to forward to. */
static enum request_action
relay_action(const struct server *server)
{
    return server->client != NULL ? requests_action(&server->requests) : REQUEST_SKIP;
}

/* A message from the server, whole or its beginning. False: the server is gone, or moved on. */
static bool
relay_server_message(struct server *server, const struct frame *frame, bool whole,
                     enum request_action *ret_action)
{
    enum request_action action = relay_action(server);

    if (frame->type == BACKEND_EMPTY_QUERY && requests_is_fence(&server->requests))
        action = REQUEST_SKIP;
    *ret_action = action;
    if (server->client == NULL && requests_empty(&server->requests) &&
        frame->type != BACKEND_ERROR && !relay_idle_message(server, frame->type))
        return false;
    if (whole) {
        switch (frame->type) {
        case BACKEND_READY:
            return relay_ready(server, frame, action);
        case BACKEND_PARAMETER_STATUS:
            return relay_parameter(server, frame, action);
        case BACKEND_ERROR:
            return relay_error(server, frame, action);
        default:
            break;
        }
    }
    (void)requests_answer(&server->requests, frame->type);
    return true;
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
    struct client *const client = server->client;
    enum request_action action;
    bool alive;

    buf_init(&server->held);
    alive = relay_server_message(server, &frame, true, &action);
    if (action == REQUEST_FORWARD && client != NULL && client->state == CLIENT_ACTIVE)
        client_send(client, &whole);
    buf_done(&whole);
    return alive;
}

static bool
relay_server_cut(struct server *server, struct span *span, const struct frame *frame,
                 enum frame_kind kind)
{
    struct client *const client = server->client;

    if (server->held.len > 0 ||
        (kind != FRAME_BODY && relay_needs_whole(frame->type) && frame->len <= RELAY_HOLD_MAX)) {
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
        const struct span piece = {&client->stream, frame->data, span->borrowed};
        char header[PG_HEADER_SIZE];

        if (kind != FRAME_BODY && frame->split) {
            framer_header(&server->framer, header);
            stream_send_copy(piece.to, header, sizeof header);
        }
        span_send(&piece, frame->data + frame->avail);
    }
    return true;
}

static void
relay_server_input(struct server *server, const char *data, size_t len)
{
    const char *const end = data + len;
    const char *pos = data;
    struct client *const client = server->client;
    struct span span = {client != NULL ? &client->stream : NULL, data, true};
    struct frame frame;
    enum frame_kind kind;

    for (;;) {
        enum request_action action = relay_action(server);

        if (unlikely(action == REQUEST_SKIP)) {
            relay_span_end(&span, pos);
            if (!requests_empty(&server->requests)) /* rows that nobody asked for are no rows */
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
        /* These may end the link, so what the client is to see of them goes out first. */
        if (action == REQUEST_FORWARD &&
            (frame.type == BACKEND_READY || frame.type == BACKEND_ERROR))
            relay_span_end(&span, pos);
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
            server_close(server, CLOSE_SV_EOF);
            return;
        }
        shard->stats.sent += (uint64_t)n;
        relay_server_input(server, data, (size_t)n);
        if (server->state == SERVER_CLOSING)
            return;
        if (relay_settle(server))
            return;
        relay_resume_client(server);
    }
}

/* ---- beginning, and going on ------------------------------------------------------------------
 */

void
relay_begin(struct client *client, struct server *server)
{
    CLEANUP(buf_done) struct buf sql = BUF_INIT;
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    int r = 0;

    client->server = server;
    server_link(server, client);
    client_set_state(client, CLIENT_ACTIVE);
    if (likely(client->settings == server->settings))
        return;
    r = settings_diff_sql(server->settings, client->settings, &sql);
    if (r == 0 && sql.len > 0) {
        r = requests_push(&server->requests, FRONTEND_QUERY, REQUEST_SKIP);
        if (r == 0)
            r = msg_query(&message, sql.data);
        server->syncing_settings = r == 0;
        if (r == 0)
            stream_send_copy(&server->stream, message.data, message.len);
    }
    if (r < 0)
        client_close(client, CLOSE_NO_MEMORY);
}

void
relay_client_drained(struct client *client)
{
    if (client->server != NULL)
        stream_set_reading(&client->server->stream, true);
    if (!relay_client_must_wait(client))
        stream_set_reading(&client->stream, true);
}

void
relay_server_drained(struct server *server)
{
    struct client *const client = server->client;

    if (client != NULL && !relay_client_must_wait(client))
        stream_set_reading(&client->stream, true);
}
