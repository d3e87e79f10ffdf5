/* Signals arrive on the loop, one by one, and nowhere else. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_loop.h"
#include "macros.h"
#include "signals.h"

struct seen {
    unsigned count[NSIG];
};

static void
on_signal(void *arg, int signal)
{
    struct seen *seen = arg;

    seen->count[signal]++;
}

static void
test_delivered_by_the_loop(void **state)
{
    static const int handled[] = {SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};
    struct loop *loop = fake_loop_new();
    struct seen seen = {0};
    struct signals *signals;

    (void)state;
    signals_block();
    assert_int_equal(signals_new(loop, on_signal, &seen, &signals), 0);
    for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
        assert_int_equal(kill(getpid(), handled[i]), 0);
    for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
        assert_int_equal(seen.count[handled[i]], 0);
    fake_loop_settle(loop);
    for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
        assert_int_equal(seen.count[handled[i]], 1);
    signals_free(signals);
    loop_free(loop);
}

static void
test_broken_pipe_is_an_error_only(void **state)
{
    int ends[2];

    (void)state;
    signals_block();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    close(ends[1]);
    assert_int_equal(write(ends[0], "x", 1), -1);
    close(ends[0]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delivered_by_the_loop),
        cmocka_unit_test(test_broken_pipe_is_an_error_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
