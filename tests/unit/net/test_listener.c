/*
 * test_listener.c - sockets that listen: where, with which rights, and when descriptors run out.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fake_loop.h"
#include "fd.h"
#include "listener.h"
#include "log.h"
#include "loop.h"
#include "usec.h"

#define CLIENTS_MAX 100

struct fixture {
    struct loop *loop;
    struct listener *listener;
    char dir[64];
    char path[80];
    int clients[CLIENTS_MAX];  /* connected */
    int accepted[CLIENTS_MAX]; /* the other ends */
    unsigned client_count;
    unsigned accepted_count;
    bool is_unix;
    bool close_after_one;
};

static const struct listener_options options = {
    .backlog = 128,
    .unix_mode = 0660,
    .unix_group = (gid_t)-1,
};

static void
accepted(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len, bool is_unix)
{
    struct fixture *f = arg;

    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(peer->sa_family == AF_UNIX, is_unix);
    assert_true(peer_len >= sizeof(peer->sa_family));
    f->accepted[f->accepted_count++] = fd;
    f->is_unix = is_unix;
    if (f->close_after_one)
        listener_close(TAKE(f->listener));
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->loop = fake_loop_new();
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_listener.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof(f->path), "%s/.s.PGSQL.6432", f->dir);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    listener_close(f->listener);
    for (unsigned i = 0; i < f->client_count; i++)
        fd_close(f->clients[i]);
    for (unsigned i = 0; i < f->accepted_count; i++)
        fd_close(f->accepted[i]);
    (void)unlink(f->path);
    assert_int_equal(rmdir(f->dir), 0);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void
open_tcp(struct fixture *f, const char *address)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};

    assert_int_equal(inet_pton(AF_INET, address, &addr.sin_addr), 1);
    assert_int_equal(listener_open_tcp(f->loop, (struct sockaddr *)&addr, sizeof(addr), &options,
                                       accepted, f, &f->listener),
                     0);
}

static int
open_unix(struct fixture *f, const char *path)
{
    return listener_open_unix(f->loop, path, &options, accepted, f, &f->listener);
}

/* Connects to where the listener says that it listens. */
static void
connect_tcp(struct fixture *f)
{
    const char *name = listener_name(f->listener);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    addr.sin_port = htons((uint16_t)atoi(strrchr(name, ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    f->clients[f->client_count++] = fd;
}

static void
connect_unix(struct fixture *f, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t len = sizeof(addr);

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (path[0] == '@') {
        addr.sun_path[0] = '\0';
        len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    }
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, len), 0);
    f->clients[f->client_count++] = fd;
}

/* --- where --------------------------------------------------------------------------------------
 */

static void
test_tcp(void **state)
{
    struct fixture *f = *state;

    open_tcp(f, "127.0.0.1");
    assert_int_equal(strncmp(listener_name(f->listener), "127.0.0.1:", 10), 0);
    assert_false(listener_is_unix(f->listener));
    connect_tcp(f);
    fake_loop_settle(f->loop);
    assert_int_equal(f->accepted_count, 1);
    assert_false(f->is_unix);
}

static void
test_tcp6(void **state)
{
    struct fixture *f = *state;
    const struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const int r = listener_open_tcp(f->loop, (const struct sockaddr *)&addr, sizeof(addr), &options,
                                    accepted, f, &f->listener);

    if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT)
        skip(); /* a machine without IPv6 */
    assert_int_equal(r, 0);
    assert_int_equal(strncmp(listener_name(f->listener), "[::1]:", 6), 0);
}

static void
test_tcp_in_use(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct listener *second = NULL;

    open_tcp(f, "127.0.0.1");
    addr.sin_port = htons((uint16_t)atoi(strrchr(listener_name(f->listener), ':') + 1));
    assert_int_equal(listener_open_tcp(f->loop, (struct sockaddr *)&addr, sizeof(addr), &options,
                                       accepted, f, &second),
                     -EADDRINUSE);
    assert_null(second);
}

static void
test_unix(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    char name[100];

    assert_int_equal(open_unix(f, f->path), 0);
    (void)snprintf(name, sizeof(name), "unix:%s", f->path);
    assert_string_equal(listener_name(f->listener), name);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    connect_unix(f, f->path);
    fake_loop_settle(f->loop);
    assert_int_equal(f->accepted_count, 1);
    assert_true(f->is_unix);
    listener_close(TAKE(f->listener));
    assert_int_equal(stat(f->path, &st), -1);
}

static void
test_abstract(void **state)
{
    struct fixture *f = *state;
    struct listener *second = NULL;
    char path[64];
    char name[80];

    (void)snprintf(path, sizeof(path), "@test_listener.%d", (int)getpid());
    (void)snprintf(name, sizeof(name), "unix:%s", path);
    assert_int_equal(open_unix(f, path), 0);
    assert_string_equal(listener_name(f->listener), name);
    assert_int_equal(listener_open_unix(f->loop, path, &options, accepted, f, &second),
                     -EADDRINUSE);
    connect_unix(f, path);
    fake_loop_settle(f->loop);
    assert_int_equal(f->accepted_count, 1);
}

/* The socket of one who lives is respected, that of the dead replaced, other files left alone. */
static void
test_unix_path_taken(void **state)
{
    struct fixture *f = *state;
    struct listener *second = NULL;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd;

    assert_int_equal(open_unix(f, f->path), 0);
    assert_int_equal(listener_open_unix(f->loop, f->path, &options, accepted, f, &second),
                     -EADDRINUSE);
    connect_unix(f, f->path);
    listener_close(TAKE(f->listener));

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(addr.sun_path, f->path, sizeof(f->path));
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    fd_close(fd);
    assert_int_equal(open_unix(f, f->path), 0);
    listener_close(TAKE(f->listener));

    fd = open(f->path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    fd_close(fd);
    assert_int_equal(open_unix(f, f->path), -ENOTSOCK);
    assert_int_equal(access(f->path, F_OK), 0);
}

/* Who has put a socket of his own in the place of ours keeps it. */
static void
test_successor_keeps_its_socket(void **state)
{
    struct fixture *f = *state;
    struct listener *first;

    assert_int_equal(open_unix(f, f->path), 0);
    first = TAKE(f->listener);
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(open_unix(f, f->path), 0);
    listener_close(first);
    connect_unix(f, f->path);
    fake_loop_settle(f->loop);
    assert_int_equal(f->accepted_count, 1);
}

static void
test_unix_path_impossible(void **state)
{
    struct fixture *f = *state;
    char path[200];

    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(open_unix(f, path), -ENAMETOOLONG);
    assert_int_equal(open_unix(f, ""), -EINVAL);
    assert_int_equal(open_unix(f, "/nowhere/at/all"), -ENOENT);
}

/* Systemd's socket is used as it is, and its file stays. */
static void
test_inherited(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memcpy(addr.sun_path, f->path, sizeof(f->path));
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(listener_open_fd(f->loop, fd, accepted, f, &f->listener), 0);
    assert_true(listener_is_unix(f->listener));
    connect_unix(f, f->path);
    fake_loop_settle(f->loop);
    assert_int_equal(f->accepted_count, 1);
    listener_close(TAKE(f->listener));
    assert_int_equal(access(f->path, F_OK), 0);
}

/* --- when ---------------------------------------------------------------------------------------
 */

static void
test_many_at_once(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_unix(f, f->path), 0);
    for (int i = 0; i < CLIENTS_MAX; i++)
        connect_unix(f, f->path);
    fake_loop_settle(f->loop);
    assert_int_equal(f->accepted_count, CLIENTS_MAX);
}

static void
test_pause(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_unix(f, f->path), 0);
    listener_pause(f->listener, true);
    connect_unix(f, f->path);
    fake_loop_settle(f->loop);
    assert_int_equal(f->accepted_count, 0);
    listener_pause(f->listener, false);
    fake_loop_settle(f->loop);
    assert_int_equal(f->accepted_count, 1);
}

static void
test_close_from_within(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_unix(f, f->path), 0);
    f->close_after_one = true;
    connect_unix(f, f->path);
    connect_unix(f, f->path);
    fake_loop_settle(f->loop);
    assert_int_equal(f->accepted_count, 1);
}

/* Without a descriptor to spare it waits, and goes on when there is one. */
static void
test_out_of_descriptors(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, none;

    assert_int_equal(open_unix(f, f->path), 0);
    connect_unix(f, f->path);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)f->clients[0] + 1; /* the highest in use; all below are, too */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    fake_loop_settle(f->loop);
    assert_int_equal(f->accepted_count, 0);
    fake_loop_advance(f->loop, 100 * MSEC);
    assert_int_equal(f->accepted_count, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    fake_loop_advance(f->loop, 100 * MSEC - 1);
    assert_int_equal(f->accepted_count, 0);
    fake_loop_advance(f->loop, 1);
    assert_int_equal(f->accepted_count, 1);
}

static unsigned
count_lines(int file)
{
    char log[4096];
    const ssize_t len = pread(file, log, sizeof(log), 0);
    unsigned lines = 0;

    for (ssize_t i = 0; i < len; i++)
        lines += log[i] == '\n';
    return lines;
}

/* At the limit, where one comes for each that goes, it is said once; and that it is over, too. */
static void
test_out_of_descriptors_is_said_once(void **state)
{
    char path[] = "/tmp/test_listener.XXXXXX";
    const int file = mkstemp(path);
    struct fixture *f = *state;
    struct rlimit before, none;

    assert_true(file >= 0);
    assert_int_equal(open_unix(f, f->path), 0);
    assert_int_equal(
        log_open(&(struct log_options){.file = path, .level = LOG_LEVEL_INFO, .quiet = true}), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (unsigned i = 0; i < 5; i++) {
        connect_unix(f, f->path);
        none = before;
        none.rlim_cur = 3;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        fake_loop_advance(f->loop, 100 * MSEC);
        assert_int_equal(f->accepted_count, i);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        fake_loop_advance(f->loop, 100 * MSEC);
        assert_int_equal(f->accepted_count, i + 1);
        assert_int_equal(count_lines(file), 1);
    }
    fake_loop_advance(f->loop, MINUTE);
    connect_unix(f, f->path);
    fake_loop_settle(f->loop);
    assert_int_equal(count_lines(file), 2);
    log_close();
    (void)close(file);
}

static void
test_tcp_options(void **state)
{
    struct fixture *f = *state;
    const struct tcp_options tcp = {.keepalive = true, .keepidle = 77, .user_timeout = 5000};
    int value;
    socklen_t len = sizeof(value);

    open_tcp(f, "127.0.0.1");
    connect_tcp(f);
    assert_int_equal(tcp_set_options(f->clients[0], &tcp), 0);
    assert_int_equal(getsockopt(f->clients[0], IPPROTO_TCP, TCP_KEEPIDLE, &value, &len), 0);
    assert_int_equal(value, 77);
    assert_int_equal(getsockopt(f->clients[0], IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &len), 0);
    assert_int_equal(value, 5000);
    assert_int_equal(getsockopt(f->clients[0], IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    assert_int_equal(value, 1);
    assert_int_equal(tcp_set_options(-1, &tcp), -EBADF);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tcp),
        TEST(test_tcp6),
        TEST(test_tcp_in_use),
        TEST(test_unix),
        TEST(test_abstract),
        TEST(test_unix_path_taken),
        TEST(test_successor_keeps_its_socket),
        TEST(test_unix_path_impossible),
        TEST(test_inherited),
        TEST(test_many_at_once),
        TEST(test_pause),
        TEST(test_close_from_within),
        TEST(test_out_of_descriptors),
        TEST(test_out_of_descriptors_is_said_once),
        TEST(test_tcp_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
