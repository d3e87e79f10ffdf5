/* The fake loop keeps the promises of loop.h and timer.h that tests of other modules rely on. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "executor.h"
#include "fake_loop.h"
#include "macros.h"
#include "timer.h"

struct fixture {
    struct loop *loop;
    int fd, peer;
    struct io *io;       /* of fd; the callback reads one byte */
    char trace[64];      /* of what happened */
    struct timer *timer; /* notes "t" */
    usec_t fired;
    bool free_io;
};

static void
note(struct fixture *f, const char *what)
{
    strcat(f->trace, what);
}

static void
on_io(void *arg, unsigned what)
{
    struct fixture *f = arg;
    char c;

    note(f, what & IO_READ ? "r" : "");
    note(f, what & IO_WRITE ? "w" : "");
    note(f, what & IO_CLOSED ? "c" : "");
    if (what & IO_READ)
        (void)!read(f->fd, &c, 1);
    if (what & IO_WRITE)
        assert_int_equal(io_want(f->io, io_wanted(f->io) & ~(unsigned)IO_WRITE), 0);
    if (f->free_io) {
        io_free(f->io);
        f->io = NULL;
    }
}

static void
on_timer(void *arg)
{
    struct fixture *f = arg;

    note(f, "t");
    f->fired = loop_now(f->loop);
    (void)!write(f->peer, "x", 1);
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    f->fd = fds[0];
    f->peer = fds[1];
    f->loop = fake_loop_new();
    f->io = io_new(f->loop, f->fd, "io", on_io, f);
    f->timer = timer_new(f->loop, "timer", on_timer, f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    io_free(f->io);
    timer_free(f->timer);
    loop_free(f->loop);
    (void)close(f->fd);
    (void)close(f->peer);
    free(f);
    return 0;
}

static void
test_settle_delivers_all_that_is_ready(void **state)
{
    struct fixture *f = *state;
    const usec_t now = loop_now(f->loop);

    assert_int_equal(write(f->peer, "abc", 3), 3);
    fake_loop_settle(f->loop);
    assert_string_equal(f->trace, "");
    assert_int_equal(io_want(f->io, IO_READ | IO_WRITE), 0);
    fake_loop_settle(f->loop);
    assert_string_equal(f->trace, "rwrr");
    assert_int_equal(io_want(f->io, IO_CLOSED), 0);
    fake_loop_settle(f->loop);
    assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
    fake_loop_settle(f->loop);
    fake_loop_settle(f->loop);
    assert_string_equal(f->trace, "rwrrc");
    assert_int_equal(loop_now(f->loop), now);
}

static void
test_an_io_may_free_itself(void **state)
{
    struct fixture *f = *state;

    f->free_io = true;
    assert_int_equal(write(f->peer, "abc", 3), 3);
    assert_int_equal(io_want(f->io, IO_READ), 0);
    fake_loop_settle(f->loop);
    assert_string_equal(f->trace, "r");
}

static void
test_timers_fire_at_their_time(void **state)
{
    struct fixture *f = *state;
    const usec_t start = loop_now(f->loop);

    assert_int_equal(io_want(f->io, IO_READ), 0);
    assert_int_equal(timer_start_common(f->timer, SEC), 0);
    fake_loop_advance(f->loop, SEC - 1);
    assert_string_equal(f->trace, "");
    assert_true(timer_is_running(f->timer));
    fake_loop_advance(f->loop, MINUTE);
    assert_string_equal(f->trace, "tr"); /* what the timer caused is delivered too */
    assert_int_equal(f->fired, start + SEC);
    assert_int_equal(loop_now(f->loop), start + SEC - 1 + MINUTE);
    assert_false(timer_is_running(f->timer));
    assert_int_equal(timer_start(f->timer, 0), 0);
    fake_loop_settle(f->loop);
    assert_string_equal(f->trace, "trtr");
    assert_int_equal(timer_start(f->timer, SEC), 0);
    timer_stop(f->timer);
    fake_loop_advance(f->loop, HOUR);
    assert_string_equal(f->trace, "trtr");
}

struct mail {
    struct message message;
    struct fixture *f;
    bool again;
};

static void
on_mail(struct message *message)
{
    struct mail *mail = container_of(message, struct mail, message);

    note(mail->f, "m");
    if (!mail->again)
        return;
    mail->again = false;
    loop_defer(mail->f->loop, message);
}

static void
on_turn(void *arg)
{
    struct fixture *f = arg;
    const size_t len = strlen(f->trace);

    if (len > 0 && f->trace[len - 1] != '|')
        note(f, "|");
}

static void
test_messages_before_the_hook(void **state)
{
    struct fixture *f = *state;
    struct mail mail = {.message.fn = on_mail, .f = f, .again = true};

    loop_set_turn_hook(f->loop, on_turn, f);
    loop_post(f->loop, &mail.message);
    fake_loop_settle(f->loop);
    assert_string_equal(f->trace, "mm|");
}

static void
on_turn_write(void *arg)
{
    struct fixture *f = arg;

    if (f->trace[0] == '\0')
        (void)!write(f->peer, "x", 1);
}

/* As an outbox does: the hook sends what was put in before the settle, to another end here. */
static void
test_what_the_hook_causes_is_delivered(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(io_want(f->io, IO_READ), 0);
    loop_set_turn_hook(f->loop, on_turn_write, f);
    fake_loop_settle(f->loop);
    assert_string_equal(f->trace, "r");
}

static void
job_run(struct job *job)
{
    (void)job;
}

static struct fixture *job_fixture;

static void
job_done(struct job *job, bool cancelled)
{
    (void)job;
    note(job_fixture, cancelled ? "x" : "j");
}

static void
test_wait_for_another_thread(void **state)
{
    struct fixture *f = *state;
    struct executor *executor = NULL;
    struct job job = {.run = job_run, .done = job_done};

    job_fixture = f;
    assert_int_equal(executor_new("test", 1, 1, &executor), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(executor_submit(executor, f->loop, &job), 0);
        fake_loop_wait(f->loop);
    }
    assert_string_equal(f->trace, "jjj");
    executor_free(executor);
}

static void *
loop_thread(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void
test_run_and_stop(void **state)
{
    struct fixture *f = *state;
    struct mail mail = {.message.fn = on_mail, .f = f};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, loop_thread, f->loop), 0);
    loop_post(f->loop, &mail.message);
    loop_stop(f->loop);
    pthread_join(thread, NULL);
    assert_string_equal(f->trace, "m");
}

static void
test_load_is_what_the_test_says(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(loop_load(f->loop), 0);
    fake_loop_set_load(f->loop, 850);
    assert_int_equal(loop_load(f->loop), 850);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_settle_delivers_all_that_is_ready),
        TEST(test_an_io_may_free_itself),
        TEST(test_timers_fire_at_their_time),
        TEST(test_messages_before_the_hook),
        TEST(test_what_the_hook_causes_is_delivered),
        TEST(test_wait_for_another_thread),
        TEST(test_run_and_stop),
        TEST(test_load_is_what_the_test_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
