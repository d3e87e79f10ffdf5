/*
 * test_stream.c - plain streams over an outbox, with each way to submit.
 */
#include <signal.h>

#include "stream_end.h"

/* Which way to submit the whole group of tests uses. */
static enum outbox_method method;

struct fixture {
    struct loop *loop;
    struct outbox *outbox;
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(loop_new("test", &f->loop), 0);
    assert_int_equal(outbox_new(f->loop, method, &f->outbox), 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    outbox_free(f->outbox);
    loop_free(f->loop);
    free(f);
    return 0;
}

/* Reads all that is there at the peer's end and compares it with the text from *at on. */
static void
peer_expect_text(struct end *end, unsigned seed, uint64_t *at)
{
    char data[8192];
    ssize_t n;

    while ((n = recv(end->peer, data, sizeof(data), MSG_DONTWAIT)) > 0) {
        text_expect(seed, *at, data, (size_t)n);
        *at += (uint64_t)n;
    }
}

static void
peer_expect_string(struct end *end, const char *expected)
{
    char data[256];
    const ssize_t n = recv(end->peer, data, sizeof(data), MSG_DONTWAIT);

    assert_int_equal(n, strlen(expected));
    assert_memory_equal(data, expected, (size_t)n);
}

/* Sends the text from at on as a copy. */
static void
send_text(struct end *end, unsigned seed, uint64_t at, size_t len)
{
    char *data = malloc(len);

    assert_non_null(data);
    text_fill(seed, at, data, len);
    stream_send_copy(&end->stream, data, len);
    free(data);
}

/* The peer sends the text from at on; returns how much of it. */
static size_t
peer_send_text(struct end *end, unsigned seed, uint64_t at, size_t len)
{
    char *data = malloc(len);
    ssize_t n;

    assert_non_null(data);
    text_fill(seed, at, data, len);
    n = send(end->peer, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    free(data);
    return n > 0 ? (size_t)n : 0;
}

/* --- the way of the bytes ----------------------------------------------------------------------
 */

#define RELAYS 9

/* From a peer through a stream, and out through another whose socket takes little at a time. */
struct relay {
    struct end in;
    struct end out;
    uint64_t fed;
    uint64_t arrived;
};

static void
relay_step(struct relay *relay, unsigned seed, struct rng *rng, uint64_t total)
{
    if (relay->fed < total && rng_below(rng, 2) == 0)
        relay->fed += peer_send_text(&relay->in, seed, relay->fed,
                                     1 + rng_below(rng, MIN(total - relay->fed, 60000)));
    if (rng_below(rng, 4) == 0)
        peer_expect_text(&relay->out, seed, &relay->arrived);
    if (stream_backlog_size(&relay->out.stream) == 0)
        stream_set_reading(&relay->in.stream, true);
}

/* All bytes arrive, in order, whatever the kernel takes at a time. */
static void
test_random_relay(void **state)
{
    struct fixture *f = *state;
    struct relay *relays = calloc(RELAYS, sizeof(*relays));
    const uint64_t total = 2000000;
    unsigned running = RELAYS;
    struct rng rng;

    assert_non_null(relays);
    rng_seed(&rng, test_seed());
    for (unsigned i = 0; i < RELAYS; i++) {
        end_open(&relays[i].in, f->outbox);
        end_open(&relays[i].out, f->outbox);
        relays[i].in.forward = &relays[i].out;
        relays[i].in.rng = &rng;
        if (i % 3 != 0)
            squeeze(relays[i].out.stream.fd);
    }
    while (running > 0) {
        running = 0;
        for (unsigned i = 0; i < RELAYS; i++) {
            relay_step(&relays[i], i, &rng, total);
            running += relays[i].arrived < total;
        }
        fake_loop_settle(f->loop);
    }
    for (unsigned i = 0; i < RELAYS; i++) {
        assert_int_equal(relays[i].in.stream.received, total);
        assert_int_equal(relays[i].out.stream.sent, total);
        assert_int_equal(relays[i].in.failed + relays[i].out.failed, 0);
        end_done(&relays[i].in);
        end_done(&relays[i].out);
    }
    free(relays);
}

/* Sends wait for the end of the turn, and go as one. */
static void
test_sends_wait_for_the_turn(void **state)
{
    struct fixture *f = *state;
    struct end end;
    char byte;

    end_open(&end, f->outbox);
    stream_send_copy(&end.stream, "one ", 4);
    stream_send_copy(&end.stream, "two", 3);
    assert_int_equal(recv(end.peer, &byte, 1, MSG_DONTWAIT), -1);
    fake_loop_settle(f->loop);
    peer_expect_string(&end, "one two");
    assert_int_equal(end.stream.sent, 7);
    end_done(&end);
}

/* What the socket does not take is kept, and drained is called once when it is gone. */
static void
test_backlog(void **state)
{
    struct fixture *f = *state;
    struct end end;
    uint64_t at = 0;

    end_open(&end, f->outbox);
    squeeze(end.stream.fd);
    send_text(&end, 1, 0, 100000);
    assert_int_equal(stream_backlog_size(&end.stream), 0);
    fake_loop_settle(f->loop);
    assert_true(stream_backlog_size(&end.stream) > 0);
    send_text(&end, 1, 100000, 400000);
    while (at < 500000) {
        peer_expect_text(&end, 1, &at);
        assert_int_equal(end.drained, stream_backlog_size(&end.stream) == 0);
        fake_loop_settle(f->loop);
    }
    assert_int_equal(end.drained, 1);
    assert_null(end.stream.backlog);
    send_text(&end, 1, 500000, 1000);
    fake_loop_settle(f->loop);
    peer_expect_text(&end, 1, &at);
    assert_int_equal(at, 501000);
    end_done(&end);
}

/* More streams than a batch has entries. */
static void
test_many_streams_in_a_turn(void **state)
{
    enum { COUNT = 3 * OUTBOX_BATCH_MAX + 5 };
    struct fixture *f = *state;
    struct end *ends = calloc(COUNT, sizeof(*ends));
    uint64_t at;

    assert_non_null(ends);
    for (unsigned i = 0; i < COUNT; i++)
        end_open(&ends[i], f->outbox);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < COUNT; i++)
            send_text(&ends[i], i, round * 100, 100);
    fake_loop_settle(f->loop);
    for (unsigned i = 0; i < COUNT; i++) {
        at = 0;
        peer_expect_text(&ends[i], i, &at);
        assert_int_equal(at, 200);
        end_done(&ends[i]);
    }
    free(ends);
}

/* A few bytes of a chunk here and there: more pieces than an entry has room for. */
static void
test_many_pieces(void **state)
{
    struct fixture *f = *state;
    struct end from, to;
    char expected[128] = "";
    const char *data;

    end_open(&from, f->outbox);
    end_open(&to, f->outbox);
    assert_int_equal(write(from.peer, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", 52),
                     52);
    assert_int_equal(stream_recv(&from.stream, &data, NULL), 52);
    for (size_t i = 0; i < 52; i += 2) {
        stream_send(&to.stream, data + i, 1);
        strncat(expected, data + i, 1);
    }
    fake_loop_settle(f->loop);
    peer_expect_string(&to, expected);
    end_done(&from);
    end_done(&to);
}

/* --- the arena ---------------------------------------------------------------------------------
 */

/* Copies that fill the arena do not touch the chunk that the caller still walks. */
static void
test_copies_leave_the_chunk_alone(void **state)
{
    struct fixture *f = *state;
    struct end from, to, other;
    const size_t step = 30000;
    uint64_t at = 0, other_at = 0;
    size_t len;
    const char *data;

    end_open(&from, f->outbox);
    end_open(&to, f->outbox);
    end_open(&other, f->outbox);
    len = peer_send_text(&from, 7, 0, 90000);
    assert_int_equal(stream_recv(&from.stream, &data, NULL), len);
    for (unsigned i = 0; i < 20; i++) {
        send_text(&other, 8, i * step, step);
        text_expect(7, 0, data, len);
        if (i < 10) {
            stream_send(&to.stream, data + len * i / 10, len * (i + 1) / 10 - len * i / 10);
            peer_expect_text(&other, 8, &other_at);
        }
    }
    while (at < len || other_at < 20 * step) {
        fake_loop_settle(f->loop);
        peer_expect_text(&to, 7, &at);
        peer_expect_text(&other, 8, &other_at);
    }
    end_done(&from);
    end_done(&to);
    end_done(&other);
}

/* Receives that need the arena again within a turn first see to what is in it. */
static void
test_arena_is_used_again(void **state)
{
    enum { COUNT = 12 };
    struct fixture *f = *state;
    struct end in[COUNT], out[COUNT];
    uint64_t at[COUNT] = {0};
    size_t len[COUNT];
    const char *data;

    for (unsigned i = 0; i < COUNT; i++) {
        end_open(&in[i], f->outbox);
        end_open(&out[i], f->outbox);
        if (i % 2 == 0)
            squeeze(out[i].stream.fd);
        len[i] = peer_send_text(&in[i], i, 0, 80000);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(stream_recv(&in[i].stream, &data, NULL), len[i]);
        stream_send(&out[i].stream, data, len[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        while (at[i] < len[i]) {
            fake_loop_settle(f->loop);
            peer_expect_text(&out[i], i, &at[i]);
        }
        end_done(&in[i]);
        end_done(&out[i]);
    }
}

/* A receive that filled its room says that there may be more. */
static void
test_more(void **state)
{
    struct fixture *f = *state;
    struct end end, other;
    const char *data;
    bool more;
    size_t len;
    ssize_t n;

    end_open(&end, f->outbox);
    end_open(&other, f->outbox);
    len = peer_send_text(&end, 3, 0, 120000);
    assert_true(len > 70000);
    send_text(&other, 4, 0, OUTBOX_ARENA_SIZE - 66000);
    n = stream_recv(&end.stream, &data, &more);
    assert_int_equal(n, 66000);
    assert_true(more);
    n = stream_recv(&end.stream, &data, &more);
    assert_int_equal(n, len - 66000);
    assert_false(more);
    text_expect(3, 66000, data, (size_t)n);
    assert_int_equal(stream_recv(&end.stream, &data, &more), -EAGAIN);
    end_done(&end);
    end_done(&other);
}

/* --- ends and errors ---------------------------------------------------------------------------
 */

static void
test_failed_is_called_once_from_the_loop(void **state)
{
    struct fixture *f = *state;
    struct end ends[4];

    for (unsigned i = 0; i < 4; i++)
        end_open(&ends[i], f->outbox);
    end_close_peer(&ends[1]);
    for (unsigned i = 0; i < 4; i++)
        stream_send_copy(&ends[i].stream, "hello", 5);
    outbox_flush(f->outbox);
    assert_int_equal(ends[1].failed, 0);
    assert_int_equal(ends[1].stream.error, EPIPE);
    fake_loop_settle(f->loop);
    stream_send_copy(&ends[1].stream, "more", 4);
    fake_loop_settle(f->loop);
    assert_int_equal(ends[1].failed, 1);
    assert_int_equal(ends[1].error, EPIPE);
    for (unsigned i = 0; i < 4; i++) {
        if (i != 1)
            peer_expect_string(&ends[i], "hello");
        end_done(&ends[i]);
    }
}

static void
test_backlog_fails(void **state)
{
    struct fixture *f = *state;
    struct end end;

    end_open(&end, f->outbox);
    squeeze(end.stream.fd);
    send_text(&end, 1, 0, 100000);
    fake_loop_settle(f->loop);
    assert_int_equal(end.failed, 0);
    end_close_peer(&end);
    fake_loop_settle(f->loop);
    assert_int_equal(end.failed, 1);
    assert_int_equal(end.drained, 0);
    assert_int_equal(stream_backlog_size(&end.stream), 0);
    end_done(&end);
}

static void
test_closed_stream_is_not_called(void **state)
{
    struct fixture *f = *state;
    struct end end;

    end_open(&end, f->outbox);
    end_close_peer(&end);
    stream_send_copy(&end.stream, "hello", 5);
    outbox_flush(f->outbox);
    stream_close(&end.stream);
    stream_close(&end.stream);
    assert_false(stream_is_open(&end.stream));
    fake_loop_settle(f->loop);
    assert_int_equal(end.failed, 0);
    end_done(&end);
}

/* A stream that is closed while it is in the batch sends nothing; the others do. */
static void
test_close_blanks_the_entry(void **state)
{
    struct fixture *f = *state;
    struct end ends[5];
    char byte;

    for (unsigned i = 0; i < 5; i++) {
        end_open(&ends[i], f->outbox);
        stream_send_copy(&ends[i].stream, "hello", 5);
    }
    stream_close(&ends[2].stream);
    fake_loop_settle(f->loop);
    assert_int_equal(recv(ends[2].peer, &byte, 1, MSG_DONTWAIT), 0);
    for (unsigned i = 0; i < 5; i++) {
        if (i != 2)
            peer_expect_string(&ends[i], "hello");
        end_done(&ends[i]);
    }
}

static void
test_kept_descriptor_stays_open(void **state)
{
    struct fixture *f = *state;
    struct stream stream;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(stream_open(&stream, f->outbox, pair[0], NULL, true, &end_ops), 0);
    stream_close(&stream);
    assert_int_equal(stream.fd, -1);
    assert_true(fcntl(pair[0], F_GETFD) >= 0);
    fd_close(pair[0]);
    fd_close(pair[1]);
}

static void
test_end_of_stream(void **state)
{
    struct fixture *f = *state;
    struct end end;

    end_open(&end, f->outbox);
    assert_int_equal(write(end.peer, "bye", 3), 3);
    end_close_peer(&end);
    fake_loop_settle(f->loop);
    assert_int_equal(end.received.len, 3);
    assert_int_equal(end.last, 0);
    assert_int_equal(end.failed, 0);
    end_done(&end);
}

/* --- reading on and off ------------------------------------------------------------------------
 */

static void
test_reading_off(void **state)
{
    struct fixture *f = *state;
    struct end end;

    end_open(&end, f->outbox);
    stream_set_reading(&end.stream, false);
    assert_int_equal(write(end.peer, "hello", 5), 5);
    fake_loop_settle(f->loop);
    assert_int_equal(end.readable, 0);
    end_close_peer(&end);
    fake_loop_settle(f->loop);
    assert_int_equal(end.hung_up, 1);
    fake_loop_settle(f->loop);
    assert_int_equal(end.hung_up, 1);
    assert_int_equal(end.readable, 0);
    stream_set_reading(&end.stream, true);
    fake_loop_settle(f->loop);
    assert_int_equal(end.received.len, 5);
    assert_int_equal(end.last, 0);
    end_done(&end);
}

/* Off and on between events leaves what the kernel watches as it was. */
static void
test_reading_off_and_on_is_free(void **state)
{
    struct fixture *f = *state;
    struct end end;
    unsigned before;

    end_open(&end, f->outbox);
    before = io_wanted(end.stream.io);
    stream_set_reading(&end.stream, false);
    assert_int_equal(io_wanted(end.stream.io), before);
    fake_loop_settle(f->loop);
    assert_int_equal(io_wanted(end.stream.io), before);
    stream_set_reading(&end.stream, true);
    assert_int_equal(write(end.peer, "hello", 5), 5);
    fake_loop_settle(f->loop);
    assert_int_equal(end.received.len, 5);
    end_done(&end);
}

/* Someone who waits for room is told of both: room, and the peer's end. */
static void
test_backlog_while_not_reading(void **state)
{
    struct fixture *f = *state;
    struct end end;
    uint64_t at = 0;

    end_open(&end, f->outbox);
    squeeze(end.stream.fd);
    stream_set_reading(&end.stream, false);
    send_text(&end, 1, 0, 50000);
    while (at < 50000) {
        fake_loop_settle(f->loop);
        peer_expect_text(&end, 1, &at);
    }
    fake_loop_settle(f->loop);
    assert_int_equal(end.drained, 1);
    assert_int_equal(shutdown(end.peer, SHUT_WR), 0);
    fake_loop_settle(f->loop);
    assert_int_equal(end.hung_up, 1);
    end_done(&end);
}

/* --- from loop to loop -------------------------------------------------------------------------
 */

static void
test_moves_with_its_backlog(void **state)
{
    struct fixture *f = *state;
    struct fixture *other;
    struct end end;
    uint64_t at = 0;

    (void)setup((void **)&other);
    end_open(&end, f->outbox);
    squeeze(end.stream.fd);
    send_text(&end, 1, 0, 100000);
    stream_detach(&end.stream);
    assert_true(stream_backlog_size(&end.stream) > 0);
    send_text(&end, 1, 100000, 1000);
    fake_loop_settle(f->loop);
    assert_int_equal(stream_attach(&end.stream, other->outbox), 0);
    send_text(&end, 1, 101000, 1000);
    assert_int_equal(write(end.peer, "hello", 5), 5);
    while (at < 102000) {
        fake_loop_settle(other->loop);
        peer_expect_text(&end, 1, &at);
    }
    fake_loop_settle(other->loop);
    assert_int_equal(end.drained, 1);
    assert_int_equal(end.received.len, 5);
    end_done(&end);
    (void)teardown((void **)&other);
}

/* A failure that nobody was told of yet is told on the next loop. */
static void
test_moves_with_its_failure(void **state)
{
    struct fixture *f = *state;
    struct fixture *other;
    struct end end;

    (void)setup((void **)&other);
    end_open(&end, f->outbox);
    end_close_peer(&end);
    stream_send_copy(&end.stream, "hello", 5);
    stream_detach(&end.stream);
    fake_loop_settle(f->loop);
    assert_int_equal(end.failed, 0);
    assert_int_equal(stream_attach(&end.stream, other->outbox), 0);
    fake_loop_settle(other->loop);
    assert_int_equal(end.failed, 1);
    end_done(&end);
    (void)teardown((void **)&other);
}

/* The descriptor goes to somebody else; what was to be sent is sent before. */
static void
test_descriptor_taken(void **state)
{
    struct fixture *f = *state;
    struct ssl_st *tls;
    struct end end;
    int fd;

    end_open(&end, f->outbox);
    stream_send_copy(&end.stream, "hello", 5);
    fd = stream_take_fd(&end.stream, &tls);
    assert_null(tls);
    assert_false(stream_is_open(&end.stream));
    assert_int_equal(write(fd, " you", 4), 4);
    peer_expect_string(&end, "hello you");
    fd_close(fd);
    end_done(&end);
}

/* The outbox may go while its message still waits in the loop. */
static void
test_outbox_freed_with_a_call_owed(void **state)
{
    struct fixture *f = *state;
    struct end end;

    end_open(&end, f->outbox);
    end_close_peer(&end);
    stream_send_copy(&end.stream, "hello", 5);
    outbox_flush(f->outbox);
    end_done(&end);
}

static void
test_method(void **state)
{
    struct fixture *f = *state;

    if (outbox_method(f->outbox) != method)
        print_message("%s is refused here: %s instead\n", outbox_method_name(method),
                      outbox_method_name(outbox_method(f->outbox)));
    assert_true(outbox_method(f->outbox) >= method);
    assert_ptr_equal(outbox_loop(f->outbox), f->loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int
run(enum outbox_method with)
{
    const struct CMUnitTest tests[] = {
        TEST(test_method),
        TEST(test_random_relay),
        TEST(test_sends_wait_for_the_turn),
        TEST(test_backlog),
        TEST(test_many_streams_in_a_turn),
        TEST(test_many_pieces),
        TEST(test_copies_leave_the_chunk_alone),
        TEST(test_arena_is_used_again),
        TEST(test_more),
        TEST(test_failed_is_called_once_from_the_loop),
        TEST(test_backlog_fails),
        TEST(test_closed_stream_is_not_called),
        TEST(test_close_blanks_the_entry),
        TEST(test_kept_descriptor_stays_open),
        TEST(test_end_of_stream),
        TEST(test_reading_off),
        TEST(test_reading_off_and_on_is_free),
        TEST(test_backlog_while_not_reading),
        TEST(test_moves_with_its_backlog),
        TEST(test_moves_with_its_failure),
        TEST(test_descriptor_taken),
        TEST(test_outbox_freed_with_a_call_owed),
    };

    method = with;
    return cmocka_run_group_tests_name(outbox_method_name(with), tests, NULL, NULL);
}

int
main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    return run(OUTBOX_URING) + run(OUTBOX_AIO) + run(OUTBOX_SEND);
}
