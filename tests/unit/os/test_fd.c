#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "entropy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_sets_flags(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fd_set_nonblock(ends[0]), 0);
    assert_int_equal(fd_set_cloexec(ends[0]), 0);
    assert_true(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(ends[0], F_GETFD) & FD_CLOEXEC);
    fd_close(ends[0]);
    fd_close(ends[1]);
    assert_int_equal(fd_set_nonblock(ends[0]), -EBADF);
    assert_int_equal(fd_set_cloexec(ends[0]), -EBADF);
}

static void
test_close_leaves_errno_alone(void **state)
{
    (void)state;
    errno = ENOENT;
    fd_close(-1);
    assert_int_equal(errno, ENOENT);
    fd_close(9999);
    assert_int_equal(errno, ENOENT);
}

static void
test_cleanup_closes_what_was_not_taken(void **state)
{
    int closed;
    int kept;

    (void)state;
    {
        CLEANUP(fd_close) int a = dup(STDIN_FILENO);
        CLEANUP(fd_close) int b = dup(STDIN_FILENO);

        closed = a;
        kept = FD_TAKE(b);
        assert_int_equal(b, -1);
    }
    assert_int_equal(fcntl(closed, F_GETFD), -1);
    assert_true(fcntl(kept, F_GETFD) >= 0);
    fd_close(kept);
}

static void
test_raises_the_limit_to_the_hard_one(void **state)
{
    struct rlimit limit;
    uint64_t soft;
    uint64_t hard;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(fd_raise_limit(&soft, &hard), 0);
    assert_true(soft == hard);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(limit.rlim_cur == limit.rlim_max);
}

static void
test_entropy_differs(void **state)
{
    uint64_t a[4] = {0};
    uint64_t b[4] = {0};

    (void)state;
    assert_int_equal(entropy_fill(a, sizeof(a)), 0);
    assert_int_equal(entropy_fill(b, sizeof(b)), 0);
    for (int i = 0; i < 4; i++)
        assert_true(a[i] != b[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets_flags),
        cmocka_unit_test(test_close_leaves_errno_alone),
        cmocka_unit_test(test_cleanup_closes_what_was_not_taken),
        cmocka_unit_test(test_raises_the_limit_to_the_hard_one),
        cmocka_unit_test(test_entropy_differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
