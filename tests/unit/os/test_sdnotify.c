#include "sdnotify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Plays systemd: a socket with an abstract name that the kernel picks. */
static int
setup(void **state)
{
    static int server;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(sa_family_t);
    char name[sizeof(addr.sun_path) + 1];

    server = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (server < 0 || bind(server, (struct sockaddr *)&addr, len) < 0)
        return -1;
    len = sizeof(addr);
    if (getsockname(server, (struct sockaddr *)&addr, &len) < 0)
        return -1;
    len -= (socklen_t)offsetof(struct sockaddr_un, sun_path);
    (void)snprintf(name, sizeof(name), "@%.*s", (int)len - 1, addr.sun_path + 1);
    *state = &server;
    return setenv("NOTIFY_SOCKET", name, 1);
}

static int
teardown(void **state)
{
    fd_close(*(int *)*state);
    return unsetenv("NOTIFY_SOCKET");
}

static const char *
received(void **state)
{
    static char message[2048];
    const ssize_t n = recv(*(int *)*state, message, sizeof(message) - 1, MSG_DONTWAIT);

    message[n > 0 ? n : 0] = '\0';
    return message;
}

static void
test_says_what_systemd_expects(void **state)
{
    unsigned long long usec;

    notify_ready();
    assert_string_equal(received(state), "READY=1");
    notify_reloading();
    assert_int_equal(sscanf(received(state), "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
    assert_true(usec > 0);
    notify_stopping();
    assert_string_equal(received(state), "STOPPING=1");
    notify_watchdog();
    assert_string_equal(received(state), "WATCHDOG=1");
    notify_status("stats: %d xacts/s\nREADY=%d", 7, 0);
    assert_string_equal(received(state), "STATUS=stats: 7 xacts/s READY=0");
}

static void
test_a_long_status_is_cut(void **state)
{
    notify_status("%02000d", 0);
    assert_int_equal(strlen(received(state)), 1023);
}

static void
test_is_silent_without_systemd(void **state)
{
    char too_long[200] = "/";

    memset(too_long + 1, 'x', sizeof(too_long) - 2);
    assert_int_equal(setenv("NOTIFY_SOCKET", too_long, 1), 0);
    notify_ready();
    assert_int_equal(setenv("NOTIFY_SOCKET", "relative", 1), 0);
    notify_ready();
    assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
    notify_ready();
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    notify_ready();
    assert_string_equal(received(state), "");
}

static void
set_number(const char *name, long number)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%ld", number);
    assert_int_equal(setenv(name, text, 1), 0);
}

static void
test_watchdog_is_due_at_half_time(void **state)
{
    (void)state;
    assert_int_equal(notify_watchdog_interval(), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "30000000", 1), 0);
    assert_int_equal(notify_watchdog_interval(), 15 * SEC);
    set_number("WATCHDOG_PID", getpid());
    assert_int_equal(notify_watchdog_interval(), 15 * SEC);
    set_number("WATCHDOG_PID", getppid());
    assert_int_equal(notify_watchdog_interval(), 0);
    assert_int_equal(unsetenv("WATCHDOG_PID"), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "soon", 1), 0);
    assert_int_equal(notify_watchdog_interval(), 0);
    assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
}

/* In a process of its own, where descriptors 3 and 4 can be anything. */
static int
take_two(void)
{
    int first = -1;

    if (dup2(STDIN_FILENO, 3) != 3 || dup2(STDIN_FILENO, 4) != 4)
        return 1;
    set_number("LISTEN_PID", getpid());
    set_number("LISTEN_FDS", 2);
    if (listen_fds_take(&first) != 2 || first != 3)
        return 2;
    if (!(fcntl(3, F_GETFD) & FD_CLOEXEC) || !(fcntl(4, F_GETFD) & FD_CLOEXEC))
        return 3;
    if (getenv("LISTEN_PID") != NULL || getenv("LISTEN_FDS") != NULL)
        return 4;
    return listen_fds_take(&first) == 0 ? 0 : 5;
}

static void
test_takes_the_sockets_once(void **state)
{
    const pid_t child = fork();
    int status;

    (void)state;
    assert_true(child >= 0);
    if (child == 0)
        _exit(take_two());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void
test_sockets_of_others_are_left_alone(void **state)
{
    int first = -1;

    (void)state;
    assert_int_equal(listen_fds_take(&first), 0);
    set_number("LISTEN_PID", getppid());
    set_number("LISTEN_FDS", 2);
    assert_int_equal(listen_fds_take(&first), 0);
    assert_int_equal(first, -1);
}

static void
test_nonsense_is_refused(void **state)
{
    static const char *const counts[] = {"many", "-1", "1000000"};
    int first = -1;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        set_number("LISTEN_PID", getpid());
        assert_int_equal(setenv("LISTEN_FDS", counts[i], 1), 0);
        assert_int_equal(listen_fds_take(&first), -EINVAL);
    }
    assert_int_equal(first, -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_says_what_systemd_expects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_long_status_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_is_silent_without_systemd, setup, teardown),
        cmocka_unit_test(test_watchdog_is_due_at_half_time),
        cmocka_unit_test(test_takes_the_sockets_once),
        cmocka_unit_test(test_sockets_of_others_are_left_alone),
        cmocka_unit_test(test_nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
