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
        int value; /* 0 leaves the kernel's default */
    } settings[] = {
        { IPPROTO_TCP, TCP_NODELAY,      1 },
        { SOL_SOCKET,  SO_KEEPALIVE,     options->keepalive },
        { IPPROTO_TCP, TCP_KEEPCNT,      options->keepalive ? options->keepcnt : 0 },
        { IPPROTO_TCP, TCP_KEEPIDLE,     options->keepalive ? options->keepidle : 0 },
        { IPPROTO_TCP, TCP_KEEPINTVL,    options->keepalive ? options->keepintvl : 0 },
        { IPPROTO_TCP, TCP_USER_TIMEOUT, user_timeout },
        { SOL_SOCKET,  SO_SNDBUF,        options->socket_buffer },
        { SOL_SOCKET,  SO_RCVBUF,        options->socket_buffer },
    };
    /* clang-format on */

    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (settings[i].value != 0 && setsockopt(fd, settings[i].level, settings[i].name,
                                                 &settings[i].value, sizeof(int)) < 0)
            return -errno;
    return 0;
}
