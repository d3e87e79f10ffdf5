/*
 * log_journal.c - the systemd journal's own protocol: a datagram of fields, one a line
 * (https://systemd.io/JOURNAL_NATIVE_PROTOCOL). Our lines hold no newline and fit a datagram.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fd.h"
#include "log_int.h"
#include "str.h"

int
log_journal_open(const char *socket_path)
{
    CLEANUP(fd_close) int fd = -1;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (str_copy(addr.sun_path, sizeof(addr.sun_path), socket_path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -errno;
    return FD_TAKE(fd);
}

int
log_journal_write(int journal, int priority, const char *message, size_t len)
{
    char head[64];
    const int head_len =
        snprintf(head, sizeof(head), "SYSLOG_IDENTIFIER=pgweir\nPRIORITY=%d\nMESSAGE=", priority);
    struct iovec parts[] = {
        {.iov_base = head, .iov_len = (size_t)head_len},
        {.iov_base = (void *)(uintptr_t)message, .iov_len = len},
        {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1},
    };
    const struct msghdr datagram = {.msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts)};
    ssize_t n;

    do
        n = sendmsg(journal, &datagram, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}
