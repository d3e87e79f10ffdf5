/*
 * frame.c - messages that do not lie whole in a chunk.
 */
#include "frame.h"

#include <string.h>

#include "buf.h"

void
framer_init(struct framer *framer, uint32_t limit)
{
    *framer = (struct framer){.limit = limit};
}

/* A message has begun in an earlier chunk. */
static enum frame_kind
next_body(struct framer *framer, const char **pos, const char *end, struct frame *ret_frame)
{
    const size_t avail = MIN((size_t)(end - *pos), framer->left);

    framer->left -= (uint32_t)avail;
    if (framer->left == 0)
        framer->kept = 0;
    *ret_frame = (struct frame){
        .data = *pos,
        .avail = (uint32_t)avail,
        .len = pg_get_uint32(framer->header + 1) + 1,
        .type = framer->header[0],
        .last = framer->left == 0,
    };
    *pos += avail;
    return FRAME_BODY;
}

/* A message begins here, or has some bytes of its header in an earlier chunk. */
static enum frame_kind
next_header(struct framer *framer, const char **pos, const char *end, struct frame *ret_frame)
{
    const char *data = *pos;
    const bool split = framer->kept > 0;
    const size_t missing = MIN(PG_HEADER_SIZE - (size_t)framer->kept, (size_t)(end - data));
    uint32_t size, body;
    size_t avail;

    memcpy(framer->header + framer->kept, data, missing);
    framer->kept += (uint8_t)missing;
    *pos = data + missing;
    if (framer->kept < PG_HEADER_SIZE)
        return FRAME_NEED_MORE;
    size = pg_get_uint32(framer->header + 1);
    if (size < 4 || size >= framer->limit)
        return FRAME_BAD;
    body = size - 4;
    avail = MIN((size_t)(end - *pos), body);
    if (avail == 0 && body > 0)
        return FRAME_NEED_MORE; /* a header goes out together with some body */

    if (split)
        data = *pos;
    *pos += avail;
    framer->left = body - (uint32_t)avail;
    if (framer->left == 0)
        framer->kept = 0;
    *ret_frame = (struct frame){
        .data = data,
        .avail = (uint32_t)(*pos - data),
        .len = size + 1,
        .type = framer->header[0],
        .split = split,
        .last = framer->left == 0,
    };
    return framer->left == 0 ? FRAME_WHOLE : FRAME_BEGIN;
}

enum frame_kind
framer_next_slow(struct framer *framer, const char **pos, const char *end, struct frame *ret_frame)
{
    if (*pos == end)
        return FRAME_NEED_MORE;
    if (framer->left > 0)
        return next_body(framer, pos, end, ret_frame);
    return next_header(framer, pos, end, ret_frame);
}

int
framer_append(const struct framer *framer, const struct frame *frame, struct buf *buf)
{
    int r;

    r = buf_reserve(buf, PG_HEADER_SIZE + (size_t)frame->avail);
    if (r < 0)
        return r;
    if (frame->split) {
        r = buf_append(buf, framer->header, PG_HEADER_SIZE);
        if (r < 0)
            return r;
    }
    return buf_append(buf, frame->data, frame->avail);
}
