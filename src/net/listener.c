/*
 * listener.c - sockets that clients connect to.
 *
 * A listener is paused by its owner, or pauses itself for a moment when the process is out of
 * descriptors or memory: the connection stays in the kernel's queue, and the loop does not spin.
 */
#include "listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "fd.h"
#include "log.h"
#include "loop.h"
#include "timer.h"
#include "unix_address.h"
#include "usec.h"

#define EXHAUSTED_PAUSE (100 * MSEC)
#define EXHAUSTED_CALM  (10 * SEC) /* without a failure, until it is said to be over */

struct listener {
    struct loop *loop;      /* borrowed */
    struct io *io;          /* owned; NULL once closed */
    struct timer *timer;    /* owned; runs while exhausted */
    struct message message; /* frees it */
    listener_fn *fn;
    void *arg;
    int fd; /* owned; -1 once closed */
    bool is_unix;
    bool paused;         /* by the owner */
    bool exhausted;      /* logged already; until all has been well for EXHAUSTED_CALM */
    usec_t exhausted_at; /* when it last was so */
    dev_t dev;           /* of our socket file, which nobody may have replaced when we remove it */
    ino_t ino;           /* 0: there is none to remove */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 64];
};

union address {
    struct sockaddr any;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

DEFINE_CLEANUP(struct listener *, listener_close);

static void
listener_watch(struct listener *listener)
{
    const bool accepting = !listener->paused && !timer_is_running(listener->timer);
    const int r = io_want(listener->io, accepting ? IO_READ : 0);

    if (r < 0)
        log_error("could not watch %s: %s", listener->name, strerror(-r));
}

static void
listener_resume(void *arg)
{
    listener_watch(arg);
}

/* Waits for somebody to give something back. */
static void
listener_exhausted(struct listener *listener, int error)
{
    if (!listener->exhausted)
        log_warning("could not accept on %s, trying again every %u ms: %s", listener->name,
                    (unsigned)(EXHAUSTED_PAUSE / MSEC), strerror(error));
    listener->exhausted = true;
    listener->exhausted_at = loop_now(listener->loop);
    if (timer_start_common(listener->timer, EXHAUSTED_PAUSE) == 0)
        listener_watch(listener);
}

static void
listener_recovered(struct listener *listener)
{
    if (loop_now(listener->loop) - listener->exhausted_at < EXHAUSTED_CALM)
        return;
    log_info("accepting on %s again", listener->name);
    listener->exhausted = false;
}

/* Whether accept failed for one connection, which is gone, and the next may be well. */
static bool
is_passing(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: /* a firewall rule */
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

/*
 * Accepts one and gives it away; the owner may close the listener. One a turn: most often no other
 * waits, and if one does the loop calls again.
 */
static void
listener_readable(void *arg, unsigned what)
{
    struct listener *listener = arg;
    union address peer;
    socklen_t len = sizeof(peer);
    const int fd = accept4(listener->fd, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)what;
    if (fd < 0) {
        if (errno != EAGAIN && !is_passing(errno))
            listener_exhausted(listener, errno);
        return;
    }
    if (listener->exhausted) /* at the limit, one comes for each that goes: no line for each */
        listener_recovered(listener);
    listener->fn(listener->arg, fd, &peer.any, len, listener->is_unix);
}

static void
listener_free(struct message *message)
{
    free(container_of(message, struct listener, message));
}

static void
name_tcp(const struct sockaddr *addr, socklen_t len, char *name, size_t size)
{
    char host[64];
    char port[8];

    if (getnameinfo(addr, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        (void)snprintf(name, size, "unknown address");
    else
        (void)snprintf(name, size, addr->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void
name_unix(const struct sockaddr_un *addr, socklen_t len, char *name, size_t size)
{
    const int path_len = (int)(len - offsetof(struct sockaddr_un, sun_path));

    if (path_len > 0 && addr->sun_path[0] == '\0')
        (void)snprintf(name, size, "unix:@%.*s", path_len - 1, addr->sun_path + 1);
    else
        (void)snprintf(name, size, "unix:%.*s", path_len, addr->sun_path);
}

/* Learns from the socket itself where it listens. */
static int
listener_learn_name(struct listener *listener)
{
    union address addr = {0};
    socklen_t len = sizeof(addr);

    if (getsockname(listener->fd, &addr.any, &len) < 0)
        return -errno;
    listener->is_unix = addr.any.sa_family == AF_UNIX;
    if (listener->is_unix)
        name_unix(&addr.un, len, listener->name, sizeof(listener->name));
    else
        name_tcp(&addr.any, len, listener->name, sizeof(listener->name));
    return 0;
}

/* Takes fd, which listens, over, also on failure. */
static int
listener_new(struct loop *loop, int fd, listener_fn *fn, void *arg, struct listener **ret_listener)
{
    CLEANUP(listener_close) struct listener *listener = NULL;
    int r;

    listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        fd_close(fd);
        return -ENOMEM;
    }
    listener->loop = loop;
    listener->message.fn = listener_free;
    listener->fn = fn;
    listener->arg = arg;
    listener->fd = fd;
    r = listener_learn_name(listener);
    if (r < 0)
        return r;
    listener->timer = timer_new(loop, "accept again", listener_resume, listener);
    listener->io = io_new(loop, fd, "accept", listener_readable, listener);
    if (listener->timer == NULL || listener->io == NULL)
        return -ENOMEM;
    r = io_want(listener->io, IO_READ);
    if (r < 0)
        return r;
    *ret_listener = TAKE(listener);
    return 0;
}

static int
set_flag(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int
tcp_prepare(int fd, int family, const struct listener_options *options)
{
    int r = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);

    if (r >= 0 && options->reuseport)
        r = set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (r >= 0 && family == AF_INET6)
        r = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (r >= 0 && options->defer_accept > 0)
        r = set_flag(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, options->defer_accept);
    return r;
}

int
listener_open_tcp(struct loop *loop, const struct sockaddr *addr, socklen_t len,
                  const struct listener_options *options, listener_fn *fn, void *arg,
                  struct listener **ret_listener)
{
    CLEANUP(fd_close) int fd = -1;
    int r;

    fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    r = tcp_prepare(fd, addr->sa_family, options);
    if (r >= 0)
        r = tcp_set_options(fd, &options->tcp);
    if (r < 0)
        return r;
    if (bind(fd, addr, len) < 0 || listen(fd, options->backlog) < 0)
        return -errno;
    return listener_new(loop, FD_TAKE(fd), fn, arg, ret_listener);
}

/*
 * Removes a socket file that nobody listens on any more. -EADDRINUSE when somebody does (or it
 * cannot be known), -ENOTSOCK when it is no socket.
 */
static int
unix_remove_stale(const struct sockaddr_un *addr, socklen_t len)
{
    CLEANUP(fd_close) int fd = -1;
    struct stat st;

    if (lstat(addr->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)addr, len) == 0 || errno != ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(addr->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int
unix_bind(int fd, const struct sockaddr_un *addr, socklen_t len)
{
    int r;

    if (bind(fd, (const struct sockaddr *)addr, len) == 0)
        return 0;
    if (errno != EADDRINUSE || addr->sun_path[0] == '\0')
        return -errno;
    r = unix_remove_stale(addr, len);
    if (r < 0)
        return r;
    return bind(fd, (const struct sockaddr *)addr, len) < 0 ? -errno : 0;
}

/* Nobody can connect before listen, so nobody finds the file with other rights. */
static int
unix_set_rights(const char *path, const struct listener_options *options, struct stat *ret_st)
{
    if (options->unix_group != (gid_t)-1 && chown(path, (uid_t)-1, options->unix_group) < 0)
        return -errno;
    if (chmod(path, options->unix_mode) < 0)
        return -errno;
    return stat(path, ret_st) < 0 ? -errno : 0;
}

static int
unix_listen(int fd, const char *path, const struct listener_options *options, struct stat *ret_st)
{
    const bool is_file = path[0] != '@';
    struct sockaddr_un addr;
    socklen_t len;
    int r;

    r = unix_address(path, &addr, &len);
    if (r >= 0)
        r = unix_bind(fd, &addr, len);
    if (r < 0)
        return r;
    if (is_file)
        r = unix_set_rights(path, options, ret_st);
    if (r >= 0 && listen(fd, options->backlog) < 0)
        r = -errno;
    if (r < 0 && is_file)
        (void)unlink(path);
    return r;
}

int
listener_open_unix(struct loop *loop, const char *path, const struct listener_options *options,
                   listener_fn *fn, void *arg, struct listener **ret_listener)
{
    CLEANUP(fd_close) int fd = -1;
    struct stat st = {0};
    int r;

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    r = unix_listen(fd, path, options, &st);
    if (r < 0)
        return r;
    r = listener_new(loop, FD_TAKE(fd), fn, arg, ret_listener);
    if (r < 0) {
        if (path[0] != '@')
            (void)unlink(path);
        return r;
    }
    (*ret_listener)->dev = st.st_dev;
    (*ret_listener)->ino = st.st_ino;
    memcpy((*ret_listener)->path, path, strlen(path) + 1);
    return 0;
}

int
listener_open_fd(struct loop *loop, int fd, listener_fn *fn, void *arg,
                 struct listener **ret_listener)
{
    int r = fd_set_nonblock(fd);

    if (r >= 0)
        r = fd_set_cloexec(fd);
    if (r < 0) {
        fd_close(fd);
        return r;
    }
    return listener_new(loop, fd, fn, arg, ret_listener);
}

const char *
listener_name(const struct listener *listener)
{
    return listener->name;
}

bool
listener_is_unix(const struct listener *listener)
{
    return listener->is_unix;
}

int
listener_set_tcp(struct listener *listener, const struct tcp_options *options)
{
    return listener->is_unix ? 0 : tcp_set_options(listener->fd, options);
}

void
listener_pause(struct listener *listener, bool paused)
{
    listener->paused = paused;
    listener_watch(listener);
}

static void
listener_remove_file(const struct listener *listener)
{
    struct stat st;

    if (listener->ino != 0 && lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
        st.st_ino == listener->ino)
        (void)unlink(listener->path);
}

void
listener_close(struct listener *listener)
{
    if (listener == NULL || listener->fd < 0)
        return;
    listener_remove_file(listener);
    io_free(TAKE(listener->io));
    timer_free(TAKE(listener->timer));
    fd_close(FD_TAKE(listener->fd));
    loop_defer(listener->loop, &listener->message);
}
