/*
 * test_dial.c - connections that are begun without blocking: to numeric addresses and unix sockets.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "dial.h"
#include "fd.h"

/* Listens at any port of the loopback address. */
static int
listen_inet(int *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

static int
result(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLOUT};

    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(poll(&pollfd, 1, 20000), 1);
    return dial_result(fd);
}

static void
test_inet(void **state)
{
    int port, fd;
    const int listener = listen_inet(&port);

    (void)state;
    assert_int_equal(dial_begin("127.0.0.1", port, &fd), 0);
    assert_int_equal(result(fd), 0);
    fd_close(fd);
    fd_close(listener);
    /* Nobody listens there any more. */
    assert_int_equal(dial_begin("127.0.0.1", port, &fd), 0);
    assert_int_equal(result(fd), -ECONNREFUSED);
    fd_close(fd);
}

/* A name is the resolver's: here it would block. */
static void
test_name_is_no_address(void **state)
{
    int fd = -1;

    (void)state;
    assert_int_equal(dial_begin("localhost", 1, &fd), -EINVAL);
    assert_int_equal(fd, -1);
}

static void
expect_unix(const char *directory)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len;
    int fd;

    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                      (size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/.s.PGSQL.7000",
                                       directory));
    if (directory[0] == '@')
        addr.sun_path[0] = '\0';
    else
        len++;
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(dial_begin(directory, 7000, &fd), 0);
    assert_int_equal(result(fd), 0);
    fd_close(fd);
    fd_close(listener);
    if (directory[0] == '/')
        assert_int_equal(unlink(addr.sun_path), 0);
}

static void
test_unix(void **state)
{
    char directory[] = "/tmp/test_dial.XXXXXX";
    char name[64];
    int fd;

    (void)state;
    assert_non_null(mkdtemp(directory));
    expect_unix(directory);
    assert_int_equal(dial_begin(directory, 7000, &fd), -ENOENT);
    assert_int_equal(rmdir(directory), 0);
    (void)snprintf(name, sizeof(name), "@test_dial.%d", (int)getpid());
    expect_unix(name);
}

static void
test_long_path(void **state)
{
    char directory[200];
    int fd;

    (void)state;
    memset(directory, 'x', sizeof(directory) - 1);
    directory[0] = '/';
    directory[sizeof(directory) - 1] = '\0';
    assert_int_equal(dial_begin(directory, 7000, &fd), -ENAMETOOLONG);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inet),
        cmocka_unit_test(test_name_is_no_address),
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_long_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
