/*
 * relay_int.h - what the two directions of the relay share: spans, limits, and the end of a link.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "frame.h"
#include "stream.h"

struct client;
struct server;
struct worker;

/*
 * A message up to this size that the network has cut is kept until it is whole: so a client that
 * stalls in the middle of one holds no server, and leaves none in the middle of a message. Larger
 * ones, and COPY data, are passed on as they come.
 */
#define RELAY_HOLD_MAX (64 * 1024)
/* A run of bytes of one chunk that goes out in one piece. */
struct span {
    struct stream *to;
    const char *start;
    bool borrowed; /* in the arena */
};

/* What the framer has taken of the end of a chunk that is not given out yet: part of a header. */
static inline size_t
framer_kept_back(const struct framer *framer)
{
    return framer->left == 0 ? framer->kept : 0;
}

static inline void
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

/* Sends what has gathered up to end, and goes on from there. */
static inline void
relay_span_end(struct span *span, const char *end)
{
    if (span->to != NULL)
        span_send(span, end);
    span->start = end;
}

/* The same before a cut message. The rest of a split header, which goes with the message, may lie
 * before it: such a message is the first of its chunk, so there is nothing else.
 */
static inline void
relay_span_before(struct span *span, const struct frame *frame)
{
    if (!frame->split)
        relay_span_end(span, frame->data);
}

/*
 * The end of a chunk is the moment to let a server go: nothing that came with it is for another
 * client then. True: it went, and may be another thread's by now.
 */
bool relay_settle(struct server *server);
/* Whether the client is not to be read now: the other side, or its own, does not keep up. */
bool relay_client_must_wait(const struct client *client);
/* Receive calls for one event; then it is the others' turn. */
unsigned relay_reads_max(const struct worker *worker);
/* The client has asked for something: the clocks of its query and its transaction run. */
void relay_begin_query(struct client *client);
