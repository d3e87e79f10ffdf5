/*
 * listener.h - sockets that clients connect to: TCP (v4, v6, `*`), unix (path, abstract) or
 * inherited.
 *
 * Thread: the loop's. Accepts up to a bounded number a turn. When the process is out of descriptors
 * it pauses for a while, and says so once, instead of spinning.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

struct addrinfo;
struct listener;
struct loop;

/* What a TCP socket, accepted or connected, is set to; zeros leave the kernel's defaults. */
struct tcp_options {
    bool keepalive;
    int keepcnt, keepidle, keepintvl; /* keepidle and keepintvl in seconds */
    int socket_buffer;                /* bytes */
    unsigned user_timeout;            /* milliseconds */
};

struct listener_options {
    struct tcp_options tcp; /* accepted sockets inherit them */
    int backlog;
    bool reuseport;
    int defer_accept; /* seconds for TCP_DEFER_ACCEPT; 0 is off */
    mode_t unix_mode;
    gid_t unix_group; /* (gid_t)-1: leave it */
};

/* accepted owns fd, which is non-blocking and close-on-exec. peer is only valid during the call. */
typedef void listener_fn(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len,
                         bool is_unix);

/* host is an address or a name to bind ("*" has been resolved by the caller into "0.0.0.0" and
 * "::"). */
int listener_open_tcp(struct loop *loop, const struct sockaddr *addr, socklen_t len,
                      const struct listener_options *options, listener_fn *fn, void *arg,
                      struct listener **ret_listener);
/* path starts with '@' for an abstract socket. -EADDRINUSE when somebody listens there. */
int listener_open_unix(struct loop *loop, const char *path, const struct listener_options *options,
                       listener_fn *fn, void *arg, struct listener **ret_listener);
/* A socket that systemd has opened. */
int listener_open_fd(struct loop *loop, int fd, listener_fn *fn, void *arg,
                     struct listener **ret_listener);
/* Where it listens: "127.0.0.1:6432", "[::1]:6432", "unix:/tmp/.s.PGSQL.6432". */
const char *listener_name(const struct listener *listener);
bool listener_is_unix(const struct listener *listener);
/* TCP only: for the sockets accepted from now on. 0 or -errno. */
int listener_set_tcp(struct listener *listener, const struct tcp_options *options);
void listener_pause(struct listener *listener, bool paused);
/* Closes, and removes the socket file. */
void listener_close(struct listener *listener);

int tcp_set_options(int fd, const struct tcp_options *options);
