/*
 * test_stream_loop.c - streams on the real loop: what the kernel reports, and what it is asked.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "fd.h"
#include "loop.h"
#include "macros.h"
#include "outbox.h"
#include "stream.h"

#define ROUNDS 500

/* A stream that forwards what it receives to the other. */
struct side {
    struct stream stream;
    struct side *other;
    struct loop *loop;
    int peer;
    int received;
    int hung_up;
};

struct fixture {
    struct loop *loop;
    struct outbox *outbox;
    struct side sides[2];
};

static unsigned epoll_ctls;

/* Stands in for that of the C library, also for libevent. */
int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    epoll_ctls++;
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

/* Stops reading until the answer is on its way, as a client does that waits for a server. */
static void
side_readable(struct stream *stream)
{
    struct side *side = container_of(stream, struct side, stream);
    const char *data;
    const ssize_t n = stream_recv(stream, &data, NULL);

    if (n == 0)
        loop_stop(side->loop);
    stream_set_reading(stream, false);
    if (n <= 0)
        return;
    side->received++;
    stream_send(&side->other->stream, data, (size_t)n);
    stream_set_reading(stream, true);
}

static void
side_drained(struct stream *stream)
{
    (void)stream;
}

static void
side_hung_up(struct stream *stream)
{
    struct side *side = container_of(stream, struct side, stream);

    side->hung_up++;
    loop_stop(side->loop);
}

static void
side_failed(struct stream *stream, int error)
{
    (void)stream;
    fail_msg("failed: %s", strerror(error));
}

static const struct stream_ops side_ops = {
    .name = "side",
    .readable = side_readable,
    .drained = side_drained,
    .hung_up = side_hung_up,
    .failed = side_failed,
};

/* Two ends of a TCP connection. */
static void
tcp_pair(int *ret_near, int *ret_far)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    *ret_far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*ret_far, (struct sockaddr *)&addr, len), 0);
    *ret_near = accept(listener, NULL, NULL);
    assert_true(*ret_near >= 0);
    fd_close(listener);
}

static int
setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    int near;

    memset(f, 0, sizeof(*f));
    assert_int_equal(loop_new("test", &f->loop), 0);
    assert_int_equal(outbox_new(f->loop, OUTBOX_AUTO, &f->outbox), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct side *side = &f->sides[i];

        side->other = &f->sides[1 - i];
        side->loop = f->loop;
        tcp_pair(&near, &side->peer);
        assert_int_equal(stream_open(&side->stream, f->outbox, near, NULL, false, &side_ops), 0);
    }
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 2; i++) {
        stream_close(&f->sides[i].stream);
        fd_close(f->sides[i].peer);
    }
    outbox_free(f->outbox);
    loop_free(f->loop);
    return 0;
}

/* Both peers: ask and answer, then hang up. Returns f if all went well, else NULL. */
static void *
play_ping_pong(void *arg)
{
    struct fixture *f = arg;
    char data[64];

    for (int i = 0; i < ROUNDS; i++)
        for (int from = 0; from < 2; from++)
            if (write(f->sides[from].peer, "ping", 4) != 4 ||
                read(f->sides[1 - from].peer, data, sizeof(data)) != 4)
                return NULL;
    (void)shutdown(f->sides[0].peer, SHUT_WR);
    return f;
}

/* In the usual life of a relay the kernel is told nothing about what to watch. */
static void
test_relaying_needs_no_epoll_ctl(void **state)
{
    struct fixture *f = *state;
    const unsigned before = epoll_ctls;
    pthread_t thread;
    void *result;

    assert_true(before > 0);
    assert_int_equal(pthread_create(&thread, NULL, play_ping_pong, f), 0);
    loop_run(f->loop);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, f);
    assert_int_equal(f->sides[0].received, ROUNDS);
    assert_int_equal(f->sides[1].received, ROUNDS);
    assert_true(epoll_ctls - before <= 2); /* the end, which nobody wants to read twice */
}

/* A connection that is reset while nobody reads is told, once. */
static void
test_reset_while_not_reading(void **state)
{
    struct fixture *f = *state;
    const struct linger linger = {.l_onoff = 1};
    struct side *side = &f->sides[0];

    stream_set_reading(&side->stream, false);
    assert_int_equal(setsockopt(side->peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    fd_close(FD_TAKE(side->peer));
    loop_run(f->loop);
    assert_int_equal(side->hung_up, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_relaying_needs_no_epoll_ctl, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_while_not_reading, setup, teardown),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
