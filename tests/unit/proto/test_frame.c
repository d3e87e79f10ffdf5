/*
 * test_frame.c - the framer against a stream whose messages are known, cut in every way.
 */
#include "frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "test_seed.h"

#define MESSAGES_MAX 64

/* A stream and where its messages are. */
struct stream {
    struct buf bytes;
    size_t start[MESSAGES_MAX + 1];
    size_t count;
};

/* What a caller of the framer has gathered from the chunks. */
struct reader {
    struct framer framer;
    struct buf forwarded; /* as a relay would send it on */
    struct buf message;   /* the one being collected */
    const struct stream *stream;
    size_t count; /* messages that are complete */
};

static void
stream_add(struct stream *stream, char type, size_t body_len)
{
    char header[PG_HEADER_SIZE];

    assert_true(stream->count < MESSAGES_MAX);
    pg_put_header(header, type, (uint32_t)body_len);
    assert_int_equal(buf_append(&stream->bytes, header, sizeof(header)), 0);
    for (size_t i = 0; i < body_len; i++)
        assert_int_equal(buf_append_char(&stream->bytes, (char)(i * 7 + body_len)), 0);
    stream->start[++stream->count] = stream->bytes.len;
}

static void
stream_done(struct stream *stream)
{
    buf_done(&stream->bytes);
}
DEFINE_CLEANUP_IN_PLACE(struct stream, stream_done);

static void
reader_init(struct reader *reader, const struct stream *stream)
{
    *reader = (struct reader){.stream = stream};
    framer_init(&reader->framer, FRAMER_NO_LIMIT);
}

static void
reader_done(struct reader *reader)
{
    buf_done(&reader->forwarded);
    buf_done(&reader->message);
}

static void
reader_check_message(struct reader *reader)
{
    const struct stream *stream = reader->stream;
    const size_t start = stream->start[reader->count];

    assert_true(reader->count < stream->count);
    assert_int_equal(reader->message.len, stream->start[reader->count + 1] - start);
    assert_memory_equal(reader->message.data, stream->bytes.data + start, reader->message.len);
    buf_clear(&reader->message);
    reader->count++;
}

static void
reader_take(struct reader *reader, enum frame_kind kind, const struct frame *frame)
{
    const struct stream *stream = reader->stream;
    const char *expected = stream->bytes.data + stream->start[reader->count];
    char header[PG_HEADER_SIZE];

    assert_int_equal(frame->type, expected[0]);
    assert_int_equal(frame->len, stream->start[reader->count + 1] - stream->start[reader->count]);
    assert_int_equal(frame->last, kind == FRAME_WHOLE || (kind == FRAME_BODY && frame->last));
    assert_true(frame->avail > 0 || (frame->split && frame->len == PG_HEADER_SIZE));
    assert_int_equal(kind == FRAME_BODY, reader->message.len > 0);
    if (frame->len <= PG_HEADER_SIZE + 1)
        assert_int_equal(kind, FRAME_WHOLE);
    if (kind != FRAME_BODY && frame->len > PG_HEADER_SIZE) {
        size_t len;
        const char *body = frame_body(frame, &len);

        assert_true(len > 0);
        assert_memory_equal(body, expected + PG_HEADER_SIZE, len);
    }
    if (frame->split) {
        assert_int_not_equal(kind, FRAME_BODY);
        framer_header(&reader->framer, header);
        assert_int_equal(buf_append(&reader->forwarded, header, sizeof(header)), 0);
    }
    assert_int_equal(buf_append(&reader->forwarded, frame->data, frame->avail), 0);
    assert_int_equal(framer_append(&reader->framer, frame, &reader->message), 0);
    assert_int_equal(framer_is_between(&reader->framer), frame->last);
    if (frame->last)
        reader_check_message(reader);
}

/* The chunk is copied to memory of its own size, so that the sanitizer sees a step beyond it. */
static void
reader_feed(struct reader *reader, const char *data, size_t len)
{
    CLEANUP(free) char *chunk = malloc(len + (len == 0));
    const char *pos = chunk;
    const char *end = chunk + len;
    struct frame frame;
    enum frame_kind kind;

    assert_non_null(chunk);
    memcpy(chunk, data, len);
    while ((kind = framer_next(&reader->framer, &pos, end, &frame)) < FRAME_NEED_MORE)
        reader_take(reader, kind, &frame);
    assert_int_equal(kind, FRAME_NEED_MORE);
    assert_ptr_equal(pos, end);
}

/* All that went in has come out, in order, and only then. */
static void
reader_check_end(struct reader *reader)
{
    assert_int_equal(reader->count, reader->stream->count);
    assert_true(framer_is_between(&reader->framer));
    assert_int_equal(reader->forwarded.len, reader->stream->bytes.len);
    assert_memory_equal(reader->forwarded.data, reader->stream->bytes.data, reader->forwarded.len);
    reader_done(reader);
}

static void
make_small_stream(struct stream *stream)
{
    stream_add(stream, BACKEND_PARSE_COMPLETE, 0);
    stream_add(stream, BACKEND_DATA_ROW, 9);
    stream_add(stream, BACKEND_COMMAND_COMPLETE, 2);
    stream_add(stream, BACKEND_NO_DATA, 0);
    stream_add(stream, BACKEND_READY, 1);
}

static void
test_whole_stream_in_one_chunk(void **state)
{
    CLEANUP(stream_done) struct stream stream = {.count = 0};
    struct reader reader;

    (void)state;
    make_small_stream(&stream);
    reader_init(&reader, &stream);
    reader_feed(&reader, stream.bytes.data, stream.bytes.len);
    reader_check_end(&reader);
}

static void
test_two_cuts_at_every_pair_of_places(void **state)
{
    CLEANUP(stream_done) struct stream stream = {.count = 0};
    struct reader reader;

    (void)state;
    make_small_stream(&stream);
    for (size_t a = 0; a <= stream.bytes.len; a++) {
        for (size_t b = a; b <= stream.bytes.len; b++) {
            reader_init(&reader, &stream);
            reader_feed(&reader, stream.bytes.data, a);
            reader_feed(&reader, stream.bytes.data + a, b - a);
            reader_feed(&reader, stream.bytes.data + b, stream.bytes.len - b);
            reader_check_end(&reader);
        }
    }
}

static void
test_byte_by_byte(void **state)
{
    CLEANUP(stream_done) struct stream stream = {.count = 0};
    struct reader reader;

    (void)state;
    make_small_stream(&stream);
    reader_init(&reader, &stream);
    for (size_t i = 0; i < stream.bytes.len; i++)
        reader_feed(&reader, stream.bytes.data + i, 1);
    reader_check_end(&reader);
}

/* Sizes of bodies and chunks are mostly small, so that many headers are cut. */
static size_t
random_size(struct rng *rng)
{
    static const size_t limits[] = {2, 8, 40, 5000};

    return rng_below(rng, limits[rng_below(rng, ARRAY_SIZE(limits))]);
}

static void
test_random_messages_in_random_chunks(void **state)
{
    struct rng rng;

    (void)state;
    test_seed(&rng);
    for (int round = 0; round < 500; round++) {
        CLEANUP(stream_done) struct stream stream = {.count = 0};
        struct reader reader;

        for (size_t i = rng_below(&rng, MESSAGES_MAX) + 1; i > 0; i--)
            stream_add(&stream, (char)rng_below(&rng, 256), random_size(&rng));
        reader_init(&reader, &stream);
        for (size_t pos = 0, len; pos < stream.bytes.len; pos += len) {
            len = random_size(&rng);
            len = MIN(len, stream.bytes.len - pos);
            reader_feed(&reader, stream.bytes.data + pos, len);
        }
        reader_check_end(&reader);
    }
}

/* Feeds a header cut at the place given, and tells what comes of it. */
static enum frame_kind
feed_cut_header(struct framer *framer, const char *header, size_t cut)
{
    const char *pos = header;
    struct frame frame;

    if (cut > 0)
        assert_int_equal(framer_next(framer, &pos, header + cut, &frame), FRAME_NEED_MORE);
    return framer_next(framer, &pos, header + PG_HEADER_SIZE, &frame);
}

static void
test_length_that_makes_no_sense(void **state)
{
    static const struct {
        const char *header;
        uint32_t limit;
        enum frame_kind kind;
    } cases[] = {
        {"Q\0\0\0\0", 100, FRAME_BAD},
        {"Q\0\0\0\3", 100, FRAME_BAD},
        {"Q\0\0\0\4", 100, FRAME_WHOLE},
        {"Q\0\0\0\143", 100, FRAME_NEED_MORE},
        {"Q\0\0\0\144", 100, FRAME_BAD},
        {"Q\177\377\377\376", FRAMER_NO_LIMIT, FRAME_NEED_MORE},
        {"Q\177\377\377\377", FRAMER_NO_LIMIT, FRAME_BAD},
        {"Q\200\0\0\0", FRAMER_NO_LIMIT, FRAME_BAD},
        {"Q\377\377\377\377", FRAMER_NO_LIMIT, FRAME_BAD},
        {"GET /", FRAMER_NO_LIMIT, FRAME_NEED_MORE}, /* 1.1 GB: the caller's limit is the answer */
        {"GET /", 0x3fffffff, FRAME_BAD},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t cut = 0; cut < PG_HEADER_SIZE; cut++) {
            struct framer framer;
            char header[PG_HEADER_SIZE];

            framer_init(&framer, cases[i].limit);
            assert_int_equal(feed_cut_header(&framer, cases[i].header, cut), cases[i].kind);
            if (cases[i].kind == FRAME_BAD) {
                framer_header(&framer, header);
                assert_memory_equal(header, cases[i].header, PG_HEADER_SIZE);
            }
        }
    }
}

static void
test_run_ends_at_what_is_not_a_whole_message_of_the_type(void **state)
{
    CLEANUP(stream_done) struct stream stream = {.count = 0};
    const char *start, *pos;

    (void)state;
    for (size_t i = 0; i < 5; i++)
        stream_add(&stream, BACKEND_DATA_ROW, i * i);
    stream_add(&stream, BACKEND_COMMAND_COMPLETE, 3);
    start = stream.bytes.data;
    for (size_t len = 0; len <= stream.bytes.len; len++) {
        struct framer framer;
        size_t expected = 0;

        framer_init(&framer, FRAMER_NO_LIMIT);
        while (expected < 5 && stream.start[expected + 1] <= len)
            expected++;
        pos = start;
        assert_int_equal(framer_skip_run(&framer, &pos, start + len, BACKEND_DATA_ROW), expected);
        assert_ptr_equal(pos, start + stream.start[expected]);
        assert_int_equal(framer_skip_run(&framer, &pos, start + len, BACKEND_DATA_ROW), 0);
    }
}

static void
test_run_skips_nothing_inside_a_message(void **state)
{
    static const char rest[] = "D\0\0\0\4D\0\0\0\4";
    const char *pos = rest;
    struct framer framer;
    struct frame frame;

    (void)state;
    framer_init(&framer, FRAMER_NO_LIMIT);
    pos = "D\0\0\0\16";
    assert_int_equal(framer_next(&framer, &pos, pos + 5, &frame), FRAME_NEED_MORE);
    pos = rest;
    assert_int_equal(framer_skip_run(&framer, &pos, rest + 10, 'D'), 0);
    assert_ptr_equal(pos, rest);
    assert_int_equal(framer_next(&framer, &pos, rest + 10, &frame), FRAME_WHOLE);
    assert_int_equal(frame.avail, 10);
}

static void
test_run_leaves_bad_lengths_to_framer_next(void **state)
{
    static const char bytes[] = "D\0\0\0\4D\0\0\0\3";
    const char *pos = bytes;
    struct framer framer;
    struct frame frame;

    (void)state;
    framer_init(&framer, FRAMER_NO_LIMIT);
    assert_int_equal(framer_skip_run(&framer, &pos, bytes + 10, 'D'), 1);
    assert_int_equal(framer_next(&framer, &pos, bytes + 10, &frame), FRAME_BAD);
}

static void
test_framer_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct framer) <= 16);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_stream_in_one_chunk),
        cmocka_unit_test(test_two_cuts_at_every_pair_of_places),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_random_messages_in_random_chunks),
        cmocka_unit_test(test_length_that_makes_no_sense),
        cmocka_unit_test(test_run_ends_at_what_is_not_a_whole_message_of_the_type),
        cmocka_unit_test(test_run_skips_nothing_inside_a_message),
        cmocka_unit_test(test_run_leaves_bad_lengths_to_framer_next),
        cmocka_unit_test(test_framer_is_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
