/* Which sockets are opened for what the file says, and which failures matter. */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"
#include "fake_loop.h"
#include "fd.h"
#include "listeners.h"
#include "log.h"

struct fixture {
    struct loop *loop;
    struct config config;
    char listen_addr[64], dir[64], group[16];
    unsigned accepted_unix, accepted_tcp;
};

static void
on_accepted(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len,
            const char *listen_address)
{
    struct fixture *f = arg;

    (void)peer;
    (void)peer_len;
    if (listen_address == NULL)
        f->accepted_unix++;
    else
        f->accepted_tcp++;
    fd_close(fd);
}

/* A port that nobody listens on, for both families. */
static int
free_port(void)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6};
    socklen_t len = sizeof(addr);
    const int fd = socket(AF_INET6, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    close(fd);
    return ntohs(addr.sin6_port);
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    (void)log_open(&(struct log_options){.quiet = true});
    f->loop = fake_loop_new();
    strcpy(f->dir, "/tmp/pgweir-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->config = (struct config){
        .listen_addr = f->listen_addr,
        .listen_port = free_port(),
        .listen_backlog = 16,
        .unix_socket_dir = f->dir,
        .unix_socket_group = f->group,
        .unix_socket_mode = 0700,
    };
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    loop_free(f->loop);
    if (*f->dir == '/')
        assert_int_equal(rmdir(f->dir), 0); /* the socket file is gone */
    log_close();
    free(f);
    return 0;
}

static bool
can_connect_unix(struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int r;

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.60s/.s.PGSQL.%d", f->dir,
             f->config.listen_port);
    r = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
    fake_loop_settle(f->loop);
    close(fd);
    return r == 0;
}

static bool
can_connect_tcp(struct fixture *f)
{
    const struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)f->config.listen_port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const int r = connect(fd, (const struct sockaddr *)&addr, sizeof(addr));

    fake_loop_settle(f->loop);
    close(fd);
    return r == 0;
}

static void
test_all_and_then_unix_only(void **state)
{
    struct fixture *f = *state;
    struct listeners *listeners;

    strcpy(f->listen_addr, "*");
    assert_int_equal(listeners_open(&f->config, f->loop, on_accepted, f, &listeners), 0);
    assert_true(can_connect_tcp(f));
    assert_true(can_connect_unix(f));
    assert_int_equal(f->accepted_tcp, 1);
    assert_int_equal(f->accepted_unix, 1);
    listeners_close_tcp(listeners);
    listeners_close_tcp(listeners);
    assert_false(can_connect_tcp(f));
    assert_true(can_connect_unix(f));
    listeners_free(listeners);
    assert_false(can_connect_unix(f));
}

static void
test_one_bad_address_is_no_failure(void **state)
{
    struct fixture *f = *state;
    struct listeners *listeners;

    strcpy(f->listen_addr, "192.0.2.1, 127.0.0.1");
    assert_int_equal(listeners_open(&f->config, f->loop, on_accepted, f, &listeners), 0);
    assert_true(can_connect_tcp(f));
    listeners_free(listeners);
}

static void
test_failures(void **state)
{
    struct fixture *f = *state;
    struct listeners *first, *listeners = NULL;

    strcpy(f->listen_addr, "192.0.2.1");
    assert_int_equal(listeners_open(&f->config, f->loop, on_accepted, f, &listeners),
                     -EADDRNOTAVAIL);
    strcpy(f->listen_addr, "");
    strcpy(f->group, "no such group");
    assert_int_equal(listeners_open(&f->config, f->loop, on_accepted, f, &listeners), -ENOENT);
    strcpy(f->group, "");
    assert_int_equal(listeners_open(&f->config, f->loop, on_accepted, f, &first), 0);
    assert_int_equal(listeners_open(&f->config, f->loop, on_accepted, f, &listeners), -EADDRINUSE);
    assert_true(can_connect_unix(f)); /* the first one is as it was */
    listeners_free(first);
    assert_null(listeners);
}

static void
test_nowhere(void **state)
{
    struct fixture *f = *state;
    struct listeners *listeners;
    char none[] = "";

    f->config.unix_socket_dir = none;
    assert_int_equal(listeners_open(&f->config, f->loop, on_accepted, f, &listeners),
                     -EDESTADDRREQ);
}

static void
test_group_by_number_and_mode(void **state)
{
    struct fixture *f = *state;
    struct listeners *listeners;
    struct stat status;
    char path[128];

    snprintf(f->group, sizeof(f->group), "%u", (unsigned)getgid());
    assert_int_equal(listeners_open(&f->config, f->loop, on_accepted, f, &listeners), 0);
    snprintf(path, sizeof(path), "%s/.s.PGSQL.%d", f->dir, f->config.listen_port);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_int_equal(status.st_gid, getgid());
    listeners_free(listeners);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_and_then_unix_only),
        TEST(test_one_bad_address_is_no_failure),
        TEST(test_failures),
        TEST(test_nowhere),
        TEST(test_group_by_number_and_mode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
