/* The real loop's descriptors. turn() is one turn that does not sleep. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "loop.h"

#define ALL (IO_READ | IO_WRITE | IO_CLOSED)

struct watch {
    struct io *io;
    unsigned what; /* told since it was last looked at */
    int calls;
    struct watch *frees; /* whose io is freed from within the next call, or NULL */
};

struct fixture {
    struct loop *loop;
    int fd, peer;
    struct watch watch; /* of fd */
};

static void
watch_told(void *arg, unsigned what)
{
    struct watch *watch = arg;

    watch->what |= what;
    watch->calls++;
    if (watch->frees == NULL)
        return;
    io_free(watch->frees->io);
    watch->frees->io = NULL;
    watch->frees = NULL;
}

static void
watch_init(struct watch *watch, struct loop *loop, int fd, unsigned want)
{
    *watch = (struct watch){0};
    watch->io = io_new(loop, fd, "test", watch_told, watch);
    assert_non_null(watch->io);
    assert_int_equal(io_want(watch->io, want), 0);
}

static void
turn(struct loop *loop)
{
    loop_stop(loop);
    loop_run(loop);
}

/* What one turn tells. */
static unsigned
told(struct fixture *f)
{
    f->watch.what = 0;
    f->watch.calls = 0;
    turn(f->loop);
    return f->watch.what;
}

static void
open_pair(int *fd, int *peer)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *fd = fds[0];
    *peer = fds[1];
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(loop_new("test", &f->loop), 0);
    open_pair(&f->fd, &f->peer);
    watch_init(&f->watch, f->loop, f->fd, 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    io_free(f->watch.io);
    loop_free(f->loop);
    (void)close(f->fd);
    (void)close(f->peer);
    free(f);
    return 0;
}

static void
send_to(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void
test_readiness_is_told_while_it_lasts(void **state)
{
    struct fixture *f = *state;
    char c;

    assert_int_equal(io_want(f->watch.io, IO_READ), 0);
    assert_int_equal(io_wanted(f->watch.io), IO_READ);
    assert_int_equal(told(f), 0);
    send_to(f->peer);
    assert_int_equal(told(f), IO_READ);
    assert_int_equal(told(f), IO_READ);
    assert_int_equal(io_want(f->watch.io, IO_READ | IO_WRITE), 0);
    assert_int_equal(told(f), IO_READ | IO_WRITE);
    assert_int_equal(io_want(f->watch.io, IO_WRITE), 0);
    assert_int_equal(told(f), IO_WRITE);
    assert_int_equal(io_want(f->watch.io, 0), 0);
    assert_int_equal(told(f), 0);
    assert_int_equal(io_want(f->watch.io, IO_READ), 0);
    assert_int_equal(told(f), IO_READ);
    assert_int_equal(read(f->fd, &c, 1), 1);
    assert_int_equal(told(f), 0);
}

static void
test_closed_alone_is_told_once(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(io_want(f->watch.io, IO_CLOSED), 0);
    assert_int_equal(told(f), 0);
    send_to(f->peer);
    assert_int_equal(told(f), 0); /* data is not what it waits for */
    assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
    assert_int_equal(told(f), IO_CLOSED);
    assert_int_equal(told(f), 0);
    assert_int_equal(io_want(f->watch.io, IO_READ), 0);
    assert_int_equal(told(f), IO_READ);
    assert_int_equal(io_want(f->watch.io, IO_CLOSED), 0); /* anew: told anew */
    assert_int_equal(told(f), IO_CLOSED);
    assert_int_equal(told(f), 0);
}

/* From each mask to each other, on a socket that is readable, writable and half closed. */
static void
test_every_change_of_mask(void **state)
{
    struct fixture *f = *state;

    send_to(f->peer);
    assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
    for (unsigned from = 0; from <= ALL; from++)
        for (unsigned to = 0; to <= ALL; to++) {
            assert_int_equal(io_want(f->watch.io, from), 0);
            assert_int_equal(told(f), from);
            assert_int_equal(io_want(f->watch.io, to), 0);
            if (from != to || to != IO_CLOSED)
                assert_int_equal(told(f), to);
            assert_int_equal(io_want(f->watch.io, 0), 0);
        }
}

/* A peer that goes without reading what it was sent resets the connection. */
static void
test_a_reset_connection(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(io_want(f->watch.io, IO_CLOSED), 0);
    send_to(f->fd);
    (void)close(f->peer);
    assert_int_equal(told(f), IO_CLOSED);
    assert_int_equal(f->watch.calls, 1);
    assert_int_equal(told(f), 0);
    assert_int_equal(io_want(f->watch.io, IO_READ), 0);
    assert_int_equal(told(f), IO_READ);
    assert_int_equal(io_want(f->watch.io, IO_WRITE), 0);
    assert_int_equal(told(f), IO_WRITE);
    f->peer = -1;
}

static void
open_tcp_pair(int *fd, int *peer)
{
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    *peer = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(*peer, (struct sockaddr *)&address, len), 0);
    *fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(*fd >= 0);
    (void)close(listener);
}

/* The kernel reports the reset as an error only; a loop that missed it would spin, deaf, for ever.
 */
static void
test_a_tcp_reset_while_waiting_for_the_end_only(void **state)
{
    const struct linger at_once = {.l_onoff = 1};
    struct fixture *f = *state;
    struct watch watch;
    int fd, peer;

    open_tcp_pair(&fd, &peer);
    watch_init(&watch, f->loop, fd, IO_CLOSED);
    turn(f->loop);
    assert_int_equal(watch.calls, 0);
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    (void)close(peer);
    turn(f->loop);
    assert_int_equal(watch.what, IO_CLOSED);
    turn(f->loop);
    assert_int_equal(watch.calls, 1);
    io_free(watch.io);
    (void)close(fd);
}

static void
test_an_io_may_free_itself(void **state)
{
    struct fixture *f = *state;

    send_to(f->peer);
    f->watch.frees = &f->watch;
    assert_int_equal(io_want(f->watch.io, ALL), 0);
    turn(f->loop);
    assert_int_equal(f->watch.calls, 1);
    turn(f->loop);
    assert_int_equal(f->watch.calls, 1);
}

/* Two that are ready in one turn, each of which frees the other: the second is not called. */
static void
test_an_io_may_free_another(void **state)
{
    struct fixture *f = *state;
    struct watch other;
    int fd, peer;

    open_pair(&fd, &peer);
    watch_init(&other, f->loop, fd, IO_READ);
    other.frees = &f->watch;
    f->watch.frees = &other;
    assert_int_equal(io_want(f->watch.io, IO_READ), 0);
    send_to(f->peer);
    send_to(peer);
    turn(f->loop);
    assert_int_equal(f->watch.calls + other.calls, 1);
    io_free(other.io);
    (void)close(fd);
    (void)close(peer);
}

struct replacement {
    struct fixture *f;
    struct io *trigger;
    int trigger_fd;
    struct watch fresh;
};

/* Closes the fixture's descriptor and opens another under the same number. */
static void
replace_fd(void *arg, unsigned what)
{
    struct replacement *replacement = arg;
    struct fixture *f = replacement->f;
    const int number = f->fd;
    int fd, peer;

    (void)what;
    io_free(f->watch.io);
    f->watch.io = NULL;
    (void)close(f->fd);
    (void)close(f->peer);
    open_pair(&fd, &peer);
    if (fd != number)
        assert_int_equal(dup2(fd, number), number);
    if (fd != number)
        (void)close(fd);
    f->peer = peer;
    watch_init(&replacement->fresh, f->loop, number, IO_READ);
    assert_int_equal(io_want(replacement->trigger, 0), 0);
}

/* Readiness of a closed descriptor is not taken for that of its successor. */
static void
test_a_descriptor_number_is_used_again(void **state)
{
    struct fixture *f = *state;
    struct replacement replacement = {.f = f};
    int peer;

    open_pair(&replacement.trigger_fd, &peer);
    replacement.trigger =
        io_new(f->loop, replacement.trigger_fd, "trigger", replace_fd, &replacement);
    assert_int_equal(io_want(replacement.trigger, IO_READ), 0);
    send_to(peer);
    turn(f->loop);
    turn(f->loop);
    assert_int_equal(replacement.fresh.calls, 0);
    send_to(f->peer);
    turn(f->loop);
    assert_int_equal(replacement.fresh.what, IO_READ);
    io_free(replacement.fresh.io);
    io_free(replacement.trigger);
    (void)close(replacement.trigger_fd);
    (void)close(peer);
}

static void
test_a_descriptor_that_cannot_be_watched(void **state)
{
    struct fixture *f = *state;
    struct watch watch;
    const int fd = memfd_create("test", 0);

    log_set_level(LOG_LEVEL_FATAL); /* libevent complains */
    watch_init(&watch, f->loop, fd, 0);
    assert_int_equal(io_want(watch.io, IO_READ), -EPERM);
    assert_int_equal(io_wanted(watch.io), 0);
    assert_int_equal(io_want(watch.io, IO_WRITE | IO_READ), -EPERM);
    turn(f->loop);
    assert_int_equal(watch.calls, 0);
    io_free(watch.io);
    io_free(NULL);
    (void)close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_readiness_is_told_while_it_lasts),
        TEST(test_closed_alone_is_told_once),
        TEST(test_every_change_of_mask),
        TEST(test_a_reset_connection),
        TEST(test_a_tcp_reset_while_waiting_for_the_end_only),
        TEST(test_an_io_may_free_itself),
        TEST(test_an_io_may_free_another),
        TEST(test_a_descriptor_number_is_used_again),
        TEST(test_a_descriptor_that_cannot_be_watched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
