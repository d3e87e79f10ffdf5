/*
 * frame.h - finds the messages in a stream that comes in chunks of any size.
 *
 *     while ((kind = framer_next(&framer, &pos, end, &frame)) < FRAME_NEED_MORE)
 *         ... look at the frame, forward frame.data[0 .. frame.avail) ...
 *     if (kind == FRAME_BAD)
 *         ... the stream makes no sense, close it ...
 *
 * Nothing is copied but a header that a chunk ends in. The framer keeps it and gives the message
 * out later, with `split` set: what lies in the chunk then begins behind the header, and who
 * forwards it sends framer_header() first. A header is given out together with the first byte of
 * its body, never alone; so ReadyForQuery, or the kind in a Describe, is never cut in two.
 *
 * A frame borrows from the chunk, framer_header() until the next call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macros.h"
#include "pg.h"

struct buf;

enum frame_kind {
    FRAME_WHOLE,     /* a message, to its end */
    FRAME_BEGIN,     /* a message that goes on in the next chunk */
    FRAME_BODY,      /* more of that message; `last` tells that it ends here */
    FRAME_NEED_MORE, /* the chunk is used up */
    FRAME_BAD,       /* no valid length; framer_header() has the bytes */
};

struct frame {
    const char *data; /* what this chunk holds of the message */
    uint32_t avail;   /* so many bytes */
    uint32_t len;     /* of the whole message with its header */
    char type;
    bool split; /* the header is not at data but in the framer; never with FRAME_BODY */
    bool last;  /* data + avail is the end of the message */
};

struct framer {
    uint32_t left;               /* bytes of the message under way that are still to come */
    uint32_t limit;              /* longest message allowed, header included */
    uint8_t kept;                /* bytes in header; 0 is between two messages */
    char header[PG_HEADER_SIZE]; /* of the message under way or just given out */
};

#define FRAMER_NO_LIMIT ((uint32_t)INT32_MAX) /* of a server; clients: see frontend_max_len() */

void framer_init(struct framer *framer, uint32_t limit);

/* Whatever does not lie plainly in the chunk; called by framer_next. */
enum frame_kind framer_next_slow(struct framer *framer, const char **pos, const char *end,
                                 struct frame *ret_frame);

/*
 * The next message, or piece of one, of the chunk pos .. end; pos moves behind it. *ret_frame is
 * set for the first three kinds. After FRAME_BAD the framer is of no use.
 */
static inline enum frame_kind
framer_next(struct framer *framer, const char **pos, const char *end, struct frame *ret_frame)
{
    const char *data = *pos;
    const size_t avail = (size_t)(end - data);

    if (likely(avail >= PG_HEADER_SIZE && framer->kept == 0)) {
        const uint32_t size = pg_get_uint32(data + 1); /* counts itself and the body */

        if (likely(size >= 4 && size < framer->limit && size < avail)) {
            *pos = data + size + 1;
            *ret_frame = (struct frame){
                .data = data, .avail = size + 1, .len = size + 1, .type = *data, .last = true};
            return FRAME_WHOLE;
        }
    }
    return framer_next_slow(framer, pos, end, ret_frame);
}

/*
 * Moves pos over the messages of this type that lie next in the chunk, whole; returns how many.
 * What stopped it (another type, a cut message, a bad length, the end) is framer_next's to tell.
 */
static inline size_t
framer_skip_run(const struct framer *framer, const char **pos, const char *end, char type)
{
    const char *data = *pos;
    size_t count = 0;

    if (framer->kept != 0)
        return 0;
    while (end - data >= PG_HEADER_SIZE && *data == type) {
        const uint32_t size = pg_get_uint32(data + 1);

        if (unlikely(size < 4 || size >= framer->limit || size >= (size_t)(end - data)))
            break;
        data += size + 1;
        count++;
    }
    *pos = data;
    return count;
}

/* Whether the stream is between two messages. */
static inline bool
framer_is_between(const struct framer *framer)
{
    return framer->kept == 0;
}

/* The header of the frame given out last. */
static inline void
framer_header(const struct framer *framer, char ret_header[PG_HEADER_SIZE])
{
    __builtin_memcpy(ret_header, framer->header, PG_HEADER_SIZE);
}

/* The body, or its beginning, of a FRAME_WHOLE or FRAME_BEGIN. */
static inline const char *
frame_body(const struct frame *frame, size_t *ret_len)
{
    const uint32_t skip = frame->split ? 0 : PG_HEADER_SIZE;

    *ret_len = frame->avail - skip;
    return frame->data + skip;
}

/*
 * Appends what the frame holds, with a split header first: collects a message over several chunks.
 * 0 or -ENOMEM.
 */
int framer_append(const struct framer *framer, const struct frame *frame, struct buf *buf);
