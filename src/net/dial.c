#include "dial.h"

#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "fd.h"
#include "unix_address.h"

int
unix_address(const char *path, struct sockaddr_un *ret_addr, socklen_t *ret_len)
{
    const size_t len = strlen(path);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (len == 0 || len >= sizeof(addr.sun_path))
        return len == 0 ? -EINVAL : -ENAMETOOLONG;
    memcpy(addr.sun_path, path, len);
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (path[0] == '@')
        addr.sun_path[0] = '\0';
    else
        *ret_len += 1;
    *ret_addr = addr;
    return 0;
}

static int
dial(const struct sockaddr *addr, socklen_t len, int *ret_fd)
{
    CLEANUP(fd_close)
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || (connect(fd, addr, len) < 0 && errno != EINPROGRESS))
        return -errno;
    *ret_fd = FD_TAKE(fd);
    return 0;
}

static int
dial_unix(const char *directory, int port, int *ret_fd)
{
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    struct sockaddr_un addr;
    socklen_t len;
    int r;

    if (snprintf(path, sizeof(path), "%s/.s.PGSQL.%d", directory, port) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    r = unix_address(path, &addr, &len);
    return r == 0 ? dial((struct sockaddr *)&addr, len, ret_fd) : r;
}

static int
dial_inet(const char *address, int port, int *ret_fd)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char service[12];
    int r;

    (void)snprintf(service, sizeof(service), "%d", port);
    r = getaddrinfo(address, service, &hints, &found);
    if (r != 0)
        return r == EAI_MEMORY ? -ENOMEM : -EINVAL;
    r = dial(found->ai_addr, found->ai_addrlen, ret_fd);
    freeaddrinfo(found);
    return r;
}

int
dial_begin(const char *address, int port, int *ret_fd)
{
    if (address[0] == '/' || address[0] == '@')
        return dial_unix(address, port, ret_fd);
    return dial_inet(address, port, ret_fd);
}

int
dial_result(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    return -error;
}
