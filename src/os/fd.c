#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

void
fd_close(int fd)
{
    const int saved_errno = errno;

    if (fd >= 0)
        (void)close(fd);
    errno = saved_errno;
}

int
fd_set_nonblock(int fd)
{
    const int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && (flags & O_NONBLOCK) != 0)
        return 0;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

int
fd_set_cloexec(int fd)
{
    const int flags = fcntl(fd, F_GETFD);

    if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
        return -errno;
    return 0;
}

static uint64_t
limit_number(rlim_t limit)
{
    return limit == RLIM_INFINITY ? UINT64_MAX : limit;
}

int
fd_raise_limit(uint64_t *ret_soft, uint64_t *ret_hard)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    if (limit.rlim_cur != limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            return -errno;
    }
    *ret_soft = limit_number(limit.rlim_cur);
    *ret_hard = limit_number(limit.rlim_max);
    return 0;
}
