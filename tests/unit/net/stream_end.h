/*
 * stream_end.h - for tests of streams: an owner of a stream that notes what it is told, and a
 * peer's descriptor at the other end of a socketpair.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "fake_loop.h"
#include "fd.h"
#include "loop.h"
#include "macros.h"
#include "outbox.h"
#include "rng.h"
#include "stream.h"

struct end {
    struct stream stream;
    int peer;            /* -1 when closed */
    struct buf received; /* all that stream_recv gave */
    ssize_t last;        /* what stream_recv said last */
    struct end *forward; /* where received bytes go, if anywhere */
    struct rng *rng;     /* cuts what is forwarded */
    int readable, drained, hung_up, failed;
    int error;
    bool inside; /* a call to the stream is under way: no callback may come */
};

/* Hands a chunk on in random pieces, now without a copy, now with one. */
static inline void
end_forward(struct end *end, const char *data, size_t len)
{
    while (len > 0) {
        const size_t limit = 1 + rng_below(end->rng, 9000);
        const size_t n = 1 + rng_below(end->rng, MIN(len, limit));

        if (rng_below(end->rng, 3) == 0)
            stream_send_copy(&end->forward->stream, data, n);
        else
            stream_send(&end->forward->stream, data, n);
        data += n;
        len -= n;
    }
    if (stream_backlog_size(&end->forward->stream) > 256 * 1024)
        stream_set_reading(&end->stream, false);
}

/* Receives once; remembers, and forwards if so told. */
static inline ssize_t
end_recv(struct end *end)
{
    const char *data = NULL;
    bool more;

    end->inside = true;
    end->last = stream_recv(&end->stream, &data, &more);
    end->inside = false;
    if (end->last <= 0)
        return end->last;
    if (end->forward != NULL)
        end_forward(end, data, (size_t)end->last);
    else
        assert_int_equal(buf_append(&end->received, data, (size_t)end->last), 0);
    return end->last;
}

static inline void
end_readable(struct stream *stream)
{
    struct end *end = container_of(stream, struct end, stream);

    assert_false(end->inside);
    assert_true(stream->reading);
    end->readable++;
    if (end_recv(end) == 0 || (end->last < 0 && end->last != -EAGAIN))
        stream_set_reading(stream, false);
}

static inline void
end_drained(struct stream *stream)
{
    struct end *end = container_of(stream, struct end, stream);

    assert_false(end->inside);
    assert_int_equal(stream_backlog_size(stream), 0);
    end->drained++;
}

static inline void
end_hung_up(struct stream *stream)
{
    struct end *end = container_of(stream, struct end, stream);

    assert_false(end->inside);
    assert_false(stream->reading);
    end->hung_up++;
}

static inline void
end_failed(struct stream *stream, int error)
{
    struct end *end = container_of(stream, struct end, stream);

    assert_false(end->inside);
    end->failed++;
    end->error = error;
}

static const struct stream_ops end_ops = {
    .name = "end",
    .readable = end_readable,
    .drained = end_drained,
    .hung_up = end_hung_up,
    .failed = end_failed,
};

/* Makes the least of the kernel's buffers. */
static inline void
squeeze(int fd)
{
    const int least = 1;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)), 0);
}

static inline void
end_open(struct end *end, struct outbox *outbox)
{
    int pair[2];

    memset(end, 0, sizeof(*end));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    end->peer = pair[1];
    assert_int_equal(stream_open(&end->stream, outbox, pair[0], NULL, false, &end_ops), 0);
}

static inline void
end_close_peer(struct end *end)
{
    fd_close(FD_TAKE(end->peer));
}

static inline void
end_done(struct end *end)
{
    stream_close(&end->stream);
    end_close_peer(end);
    buf_done(&end->received);
}

/* Byte `at` of the endless text that seed stands for. */
static inline char
text_byte(unsigned seed, uint64_t at)
{
    uint64_t x = (at + 1) * UINT64_C(0x9e3779b97f4a7c15) + seed;

    x ^= x >> 29;
    return (char)(x * UINT64_C(0xbf58476d1ce4e5b9) >> 56);
}

static inline void
text_fill(unsigned seed, uint64_t at, char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = text_byte(seed, at + i);
}

static inline void
text_expect(unsigned seed, uint64_t at, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != text_byte(seed, at + i))
            fail_msg("byte %llu of text %u is wrong", (unsigned long long)(at + i), seed);
}

/* The seed of a test with random numbers: given, to repeat a failure, or new. */
static inline uint64_t
test_seed(void)
{
    const char *given = getenv("TEST_SEED");
    struct timespec now;
    uint64_t seed;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)now.tv_nsec;
    print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}
