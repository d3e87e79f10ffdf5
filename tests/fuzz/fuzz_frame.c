/*
 * fuzz_frame.c - a stream cut in pieces is framed like the stream in one piece.
 *
 * The first byte of the input gives the size of the pieces, the rest is the stream.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "frame.h"

#define LIMIT 5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Appends the bytes of one piece as a relay would send them on; tells how it ended. */
static enum frame_kind
relay(struct framer *framer, const char *data, size_t len, struct buf *out)
{
    const char *pos = data;
    struct frame frame;
    enum frame_kind kind;

    while ((kind = framer_next(framer, &pos, data + len, &frame)) < FRAME_NEED_MORE) {
        assert(frame.len <= LIMIT && frame.avail <= frame.len);
        assert(frame.data + frame.avail == pos && pos <= data + len);
        assert(frame.last == framer_is_between(framer));
        if (framer_append(framer, &frame, out) < 0)
            abort();
    }
    assert(kind == FRAME_BAD || pos == data + len);
    return kind;
}

/* Whole messages as a reader that has all bytes at once finds them; the bytes they take. */
static size_t
walk(const char *data, size_t len, bool *ret_bad)
{
    size_t pos = 0;

    *ret_bad = false;
    while (len - pos >= PG_HEADER_SIZE) {
        const uint32_t size = pg_get_uint32(data + pos + 1);

        *ret_bad = size < 4 || size >= LIMIT;
        if (*ret_bad || size + 1 > len - pos)
            break;
        pos += size + 1;
    }
    return pos;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_done) struct buf out = BUF_INIT;
    const char *stream = (const char *)data + 1;
    enum frame_kind kind = FRAME_NEED_MORE;
    struct framer framer;
    size_t len, piece, whole;
    bool bad;

    if (size < 2)
        return 0;
    len = size - 1;
    framer_init(&framer, LIMIT);
    for (size_t pos = 0; pos < len && kind != FRAME_BAD; pos += piece) {
        piece = MIN((size_t)data[0] + 1, len - pos);
        kind = relay(&framer, stream + pos, piece, &out);
    }
    whole = walk(stream, len, &bad);
    assert(bad == (kind == FRAME_BAD));
    assert(out.len >= whole && out.len <= len);
    assert(framer_is_between(&framer) == (whole == len));
    if (out.len > 0)
        assert(memcmp(out.data, stream, out.len) == 0);
    return 0;
}
