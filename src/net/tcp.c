/*
 * tcp.c - what a TCP socket is set to.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "listener.h"
#include "macros.h"

int
tcp_set_options(int fd, const struct tcp_options *options)
{
    const int user_timeout = (int)options->user_timeout;
    /* clang-format off */
    const struct {
        int level;
        int name;
        int value;
        bool wanted; /* else the kernel's default stays */
    } settings[] = {
        { IPPROTO_TCP, TCP_NODELAY,      1,                      true },
        { SOL_SOCKET,  SO_KEEPALIVE,     options->keepalive,     true },
        { IPPROTO_TCP, TCP_KEEPCNT,      options->keepcnt,       options->keepcnt != 0 },
        { IPPROTO_TCP, TCP_KEEPIDLE,     options->keepidle,      options->keepidle != 0 },
        { IPPROTO_TCP, TCP_KEEPINTVL,    options->keepintvl,     options->keepintvl != 0 },
        { IPPROTO_TCP, TCP_USER_TIMEOUT, user_timeout,           user_timeout != 0 },
        { SOL_SOCKET,  SO_SNDBUF,        options->socket_buffer, options->socket_buffer != 0 },
        { SOL_SOCKET,  SO_RCVBUF,        options->socket_buffer, options->socket_buffer != 0 },
    };
    /* clang-format on */

    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (settings[i].wanted && setsockopt(fd, settings[i].level, settings[i].name,
                                             &settings[i].value, sizeof(int)) < 0)
            return -errno;
    return 0;
}
